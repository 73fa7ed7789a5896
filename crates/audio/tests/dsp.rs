//! What each stage does to sound, by property.

mod common;

use core::time::Duration;

use common::{Rng, sine, speech};
use moqrelay_audio::dsp::{
    ComfortNoise, DcBlocker, GAIN_MAX_DB, LevelControl, Loop, LoopWatch, TARGET_DBOV, TOLERANCE_DB,
    clipped, fade_in, fade_out,
};
use moqrelay_audio::level::{AudioLevel, Level, Meter, SILENCE, dbov};
use moqrelay_audio::tone::Detector;
use moqrelay_audio::{Sample, SampleRate};

const RATE: SampleRate = SampleRate::Hz16000;

#[test]
fn direct_current_is_gone_after_a_quarter_second_and_speech_stays() {
    for rate in [SampleRate::Hz8000, RATE, SampleRate::Hz48000] {
        let mut blocker = DcBlocker::new(rate);
        let mut out = Vec::new();
        for number in 0..50 {
            let mut frame = sine(rate, 300.0, 3_000.0, number);
            frame.iter_mut().for_each(|sample| *sample += 2_000);
            blocker.process(&mut frame);
            out.extend(frame);
        }

        let settled = &out[out.len() / 4..];
        let mean = settled.iter().map(|s| f64::from(*s)).sum::<f64>() / settled.len() as f64;
        assert!(mean.abs() < 5.0, "{rate}: {mean}");
        let level = Detector::new(rate, 300.0).dbov(settled);
        let before = Detector::new(rate, 300.0).dbov(&sine(rate, 300.0, 3_000.0, 0));
        assert!(
            (level - before).abs() < 0.2,
            "{rate}: {level} dBov of {before}"
        );
    }
}

#[test]
fn the_lowest_voice_passes_and_silence_stays_silence() {
    let mut blocker = DcBlocker::new(RATE);
    let mut out = Vec::new();
    for number in 0..50 {
        let mut frame = sine(RATE, 80.0, 3_000.0, number);
        blocker.process(&mut frame);
        out.extend(frame);
    }
    assert!((dbov(&out) - dbov(&sine(RATE, 80.0, 3_000.0, 0))).abs() < 0.5);

    let mut silence = vec![0; 320];
    for _ in 0..100 {
        silence.fill(0);
        blocker.process(&mut silence);
    }
    assert!(silence.iter().all(|sample| *sample == 0));
}

#[test]
fn only_flat_tops_are_clipping() {
    let loud = |peak: f64| sine(RATE, 440.0, peak, 0);
    assert_eq!(clipped(&loud(32_000.0)), 0);
    assert!(clipped(&loud(60_000.0)) > 100);
    assert_eq!(clipped(&[0, i16::MAX, 0, i16::MIN, i16::MIN, 0]), 0);
    assert_eq!(clipped(&[i16::MIN; 3]), 3);
    assert_eq!(clipped(&[]), 0);
}

#[test]
fn level_control_brings_soft_and_loud_speech_near_the_target() {
    for scale in [0.04, 0.15, 1.0, 3.0] {
        let (before, after, _) = controlled(scale, 12);

        let wanted = (TARGET_DBOV - before).abs() - TOLERANCE_DB;
        let moved = after - before;
        if wanted <= 0.0 {
            assert!(moved.abs() < 0.1, "{before} dBov moved by {moved}");
        } else if wanted < GAIN_MAX_DB {
            assert!(
                (after - TARGET_DBOV).abs() < TOLERANCE_DB + 1.5,
                "{before} to {after}"
            );
        } else {
            assert!(
                (moved.abs() - GAIN_MAX_DB).abs() < 1.0,
                "{before} moved by {moved}"
            );
        }
    }
}

#[test]
fn level_control_changes_nothing_that_is_loud_enough() {
    let mut control = LevelControl::new();
    let mut meter = Meter::new();
    for number in 0..200 {
        let mut frame = scaled(number, 0.5);
        let before = frame.clone();
        let level = meter.measure(&frame);
        control.process(&mut frame, level);
        assert!(
            frame == before,
            "frame {number}, gain {}",
            control.gain_db()
        );
    }
}

#[test]
fn level_control_moves_without_a_step_and_never_in_pauses() {
    let (_, _, gains) = controlled(0.04, 12);

    assert!(
        gains
            .windows(2)
            .all(|pair| (pair[1] - pair[0]).abs() < 0.25)
    );

    let mut control = LevelControl::new();
    let mut noise = vec![3; 320];
    for _ in 0..500 {
        control.process(
            &mut noise,
            AudioLevel {
                level: Level::new(80),
                voice: false,
            },
        );
    }
    assert_eq!(control.gain_db(), 0.0);
}

#[test]
fn comfort_noise_has_the_level_that_was_asked_for() {
    for level in [45, 55, 65] {
        let mut noise = ComfortNoise::new(7);
        let mut out = Vec::new();
        for _ in 0..100 {
            let mut frame = vec![0; 320];
            noise.add(Level::new(level), &mut frame);
            out.extend(frame);
        }

        let made = dbov(&out[320..]);
        assert!(
            (made + f32::from(level)).abs() < 1.5,
            "{made} dBov for -{level}"
        );
    }
}

#[test]
fn comfort_noise_fades_out_and_is_never_loud() {
    let mut noise = ComfortNoise::new(7);
    let mut frame = vec![0; 320];
    noise.add(Level::new(0), &mut frame);
    frame.fill(0);
    noise.add(Level::new(0), &mut frame);
    assert!(dbov(&frame) < -40.0);

    frame.fill(0);
    noise.add(SILENCE, &mut frame);
    let (begin, end) = (dbov(&frame[..160]), dbov(&frame[300..]));
    assert!(end < begin - 10.0, "{begin} then {end}");
    frame.fill(5);
    noise.add(SILENCE, &mut frame);
    assert!(frame.iter().all(|sample| *sample == 5));
}

#[test]
fn fades_begin_and_end_in_silence() {
    let mut sound = vec![10_000_i16; 320];
    fade_in(&mut sound, 80);
    assert!(sound[0] < 100 && sound[40] > 4_000 && sound[80] == 10_000);

    let mut sound = vec![0.5_f32; 320];
    fade_out(&mut sound, 80);
    assert!(sound[0] > 0.49 && sound[79] < 0.01);
    assert!(sound[80..].iter().all(|sample| *sample == 0.0));

    fade_in::<i16>(&mut [], 80);
}

#[test]
fn an_echo_is_found_whatever_its_delay_and_loss() {
    for (delay, loss_db) in [(3, 6), (12, 12), (40, 20)] {
        let found = watch(60, |sent, tick, noise| {
            let echo = tick
                .checked_sub(delay)
                .map_or(127, |then| sent[then].saturating_add(loss_db));
            echo.min(70 + noise)
        });

        let Loop {
            delay: found,
            loss_db: lost,
        } = found.expect("an echo");
        assert!(
            (found.as_millis() as i64 - delay as i64 * 20).abs() <= 20,
            "{found:?}"
        );
        assert!(
            (lost - f32::from(loss_db)).abs() < 12.0,
            "{lost} dB of {loss_db}"
        );
    }
}

#[test]
fn two_people_are_no_echo_of_each_other() {
    for seed in 0..20 {
        let mut other = Talker::new(1_000 + seed);
        let found = watch(120, |_, _, _| other.next());
        assert_eq!(found, None, "seed {seed}");
    }
}

#[test]
fn people_who_take_turns_are_no_echo() {
    let mut other = Talker::new(99);
    // Answers whenever the first one has been silent for 300 ms.
    let found = watch(120, |sent, tick, _| {
        let level = other.next();
        let quiet = sent[tick.saturating_sub(15)..=tick]
            .iter()
            .all(|level| *level > 50);
        if quiet { level.min(40) } else { 70 }
    });

    assert_eq!(found, None);
}

#[test]
fn a_steady_tone_both_ways_is_not_judged() {
    let mut watch = LoopWatch::new();
    for _ in 0..3_000 {
        assert_eq!(watch.handle(Level::new(20), Level::new(26)), None);
    }
}

/// Speech by the level of its frames.
struct Talker {
    rng: Rng,
    left: u32,
    talks: bool,
}

impl Talker {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            left: 0,
            talks: false,
        }
    }

    fn next(&mut self) -> u8 {
        if self.left == 0 {
            self.talks = !self.talks;
            // Half a second to three of speech, a fifth to two of pause.
            let (least, more) = if self.talks {
                (25.0, 125.0)
            } else {
                (10.0, 90.0)
            };
            self.left = (least + self.rng.unit() * more) as u32;
        }
        self.left -= 1;
        if self.talks {
            (22.0 + self.rng.unit() * 22.0) as u8
        } else {
            70
        }
    }
}

/// Lets one talk for `seconds` while `heard` says what comes back.
fn watch(seconds: usize, mut heard: impl FnMut(&[u8], usize, u8) -> u8) -> Option<Loop> {
    let mut watch = LoopWatch::new();
    let mut talker = Talker::new(5);
    let mut rng = Rng::new(17);
    let mut sent = Vec::new();
    for tick in 0..seconds * 50 {
        sent.push(talker.next());
        let noise = (rng.unit() * 3.0) as u8;
        let back = heard(&sent, tick, noise);
        let found = watch.handle(Level::new(sent[tick]), Level::new(back));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Level of speech before and after 12 s of control, and the gain after each frame.
fn controlled(scale: f64, seconds: u64) -> (f32, f32, Vec<f32>) {
    let mut control = LevelControl::new();
    let mut meter = Meter::new();
    let (mut before, mut after, mut gains) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..seconds * 50 {
        let mut frame = scaled(number, scale);
        let level = meter.measure(&frame);
        let talking = number % 100 < 60 && number >= (seconds - 2) * 50;
        if talking {
            before.extend_from_slice(&frame);
        }
        control.process(&mut frame, level);
        gains.push(control.gain_db());
        if talking {
            after.extend_from_slice(&frame);
        }
    }
    (dbov(&before), dbov(&after), gains)
}

fn scaled(number: u64, scale: f64) -> Vec<i16> {
    speech(RATE, number)
        .into_iter()
        .map(|sample| i16::from_f32((f64::from(sample) * scale / 32_768.0) as f32))
        .collect()
}

#[test]
fn stages_take_any_length() {
    let mut empty = [];
    DcBlocker::new(RATE).process(&mut empty);
    LevelControl::new().process(&mut empty, AudioLevel::SILENCE);
    ComfortNoise::new(1).add(Level::new(50), &mut empty);
    assert_eq!(Duration::ZERO, RATE.duration_of(empty.len()));
}
