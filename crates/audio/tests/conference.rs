//! The mixes of a room, beside a plain implementation that adds up for each listener anew.

#![allow(clippy::cast_possible_truncation, reason = "test signals are in range")]

use std::collections::BTreeMap;

use moqrelay_audio::conference::{CEILING, CHIMES_MAX, Chime, Config, Mixer};
use moqrelay_audio::level::{Meter, dbov};
use moqrelay_audio::mix::soften;
use moqrelay_audio::speakers::{self, Selector};
use moqrelay_audio::tone::{Detector, Tone};
use moqrelay_audio::{FRAME_DURATION, SampleRate};

mod common;
use common::Rng;

const RATE: SampleRate = SampleRate::Hz16000;
const LEN: usize = RATE.frame_samples();

#[test]
fn every_mix_is_to_the_sample_what_a_plain_sum_for_each_listener_gives() {
    let mut mixer = Mixer::new(config());
    let mut plain = Plain::default();
    let mut talk = Talk::new(12, 7);
    let mut heard = [0u32; 12];

    // Twelve talk at random, some of them far too loud, for half a minute; one leaves in the middle.
    for tick in 0..1500 {
        if tick == 700 {
            mixer.remove(3);
            plain.remove(3);
        }
        let frames = talk.next();
        for (who, frame) in &frames {
            mixer.put(*who, frame);
        }
        mixer.mix();
        plain.mix(&frames);

        for who in 0..14 {
            let mut out = [0; LEN];
            mixer.hear(who, &mut out);
            let same = out[..] == plain.hear(who)[..];
            assert!(same, "tick {tick}, listener {who}");
            if let Some(heard) = heard.get_mut(usize::from(who)) {
                *heard += u32::from(mixer.is_heard(who));
            }
        }
    }

    assert!(
        heard.iter().all(|ticks| *ticks > 20),
        "all were in the mix: {heard:?}"
    );
}

#[test]
fn everyone_hears_the_others_and_not_the_own_voice() {
    let mut mixer = Mixer::new(config());
    let hz = [400.0, 700.0, 1100.0];
    let mut tones = hz.map(|hz| Tone::sine(RATE, hz, -25.0));

    let heard = converse(&mut mixer, &mut tones, 100);

    for (who, heard) in heard.iter().enumerate() {
        for (other, hz) in hz.iter().enumerate() {
            let level = Detector::new(RATE, *hz).dbov(heard);
            if who == other {
                assert!(level < -80.0, "{who} hears itself: {level}");
            } else {
                assert!((level + 25.0).abs() < 0.5, "{who} hears {other}: {level}");
            }
        }
    }
}

#[test]
fn a_listener_hears_all_and_so_does_who_is_not_among_the_loudest() {
    let mut mixer = Mixer::new(Config {
        speakers: speakers::Config {
            seats: 2,
            ..speakers::Config::default()
        },
        ..config()
    });
    let mut tones = [400.0, 700.0, 1100.0].map(|hz| Tone::sine(RATE, hz, -25.0));
    tones[2] = Tone::sine(RATE, 1100.0, -34.0);

    let heard = converse(&mut mixer, &mut tones, 100);

    let level = |hz, samples: &[i16]| Detector::new(RATE, hz).dbov(samples);
    assert!(level(1100.0, &heard[0]) < -80.0, "the third has no seat");
    for hz in [400.0, 700.0] {
        assert!((level(hz, &heard[2]) + 25.0).abs() < 0.5);
    }
    let mut out = [0; LEN];
    mixer.hear(77, &mut out);
    assert_eq!(out[..], mixer.shared()[..]);
}

#[test]
fn a_lone_voice_comes_out_unchanged_once_it_is_in() {
    let mut mixer = Mixer::new(config());
    let mut tone = Tone::sine(RATE, 440.0, -12.0);
    let mut frame = [0i16; LEN];
    for _ in 0..5 {
        tone.fill(&mut frame);
        mixer.put(1, &frame);
        mixer.mix();
    }

    for _ in 0..50 {
        tone.fill(&mut frame);
        mixer.put(1, &frame);
        mixer.mix();
        assert_eq!(mixer.shared()[..], frame[..]);
    }
}

#[test]
fn five_at_full_scale_do_not_clip() {
    let mut mixer = Mixer::new(config());
    let mut tones = [300.0, 410.0, 530.0, 660.0, 790.0].map(|hz| Tone::sine(RATE, hz, -3.1));

    let heard = converse(&mut mixer, &mut tones, 100);

    for heard in heard {
        let peak = heard.iter().map(|s| i32::from(*s).abs()).max().unwrap();
        assert!(peak <= CEILING, "{peak}");
        assert!(dbov(&heard) > -12.0, "and are still loud: {}", dbov(&heard));
    }
}

#[test]
fn the_level_comes_back_softly_after_a_shout() {
    let mut mixer = Mixer::new(config());
    let mut soft = Tone::sine(RATE, 500.0, -30.0);
    let mut loud = Tone::sine(RATE, 900.0, -0.5);
    let mut frame = [0i16; LEN];
    let mut levels = Vec::new();

    for tick in 0..150 {
        soft.fill(&mut frame);
        mixer.put(1, &frame);
        loud.fill(&mut frame);
        if (20..60).contains(&tick) {
            mixer.put(2, &frame);
        }
        mixer.mix();
        levels.push(Detector::new(RATE, 500.0).dbov(mixer.shared()));
    }

    assert!(levels[55] < -31.0, "turned down: {}", levels[55]);
    for pair in levels[62..].windows(2) {
        assert!(pair[1] - pair[0] < 0.7, "no jump up: {pair:?}");
    }
    assert!(
        (levels[149] + 30.0).abs() < 0.2,
        "and back: {}",
        levels[149]
    );
}

#[test]
fn soft_and_loud_talkers_are_brought_together_when_asked() {
    let mut mixer = Mixer::new(Config {
        level_control: true,
        ..config()
    });
    let hz = [400.0, 700.0, 1000.0];
    let mut tones = [
        Tone::sine(RATE, hz[0], -34.0),
        Tone::sine(RATE, hz[1], -14.0),
        Tone::sine(RATE, hz[2], -24.0),
    ];

    let heard = converse(&mut mixer, &mut tones, 700);

    let at = |hz| Detector::new(RATE, hz).dbov(&heard[2]);
    assert!(
        at(hz[1]) - at(hz[0]) < 10.0,
        "of 20 dB: {} and {}",
        at(hz[1]),
        at(hz[0])
    );
}

#[test]
fn a_chime_is_heard_by_all_and_says_whether_somebody_came_or_went() {
    for (chime, hz) in [
        (Chime::Joined, [587.3, 880.0]),
        (Chime::Left, [880.0, 587.3]),
    ] {
        let mut mixer: Mixer<u8> = Mixer::new(config());
        mixer.chime(chime);

        let mut notes = [Vec::new(), Vec::new()];
        for tick in 0..10 {
            mixer.mix();
            notes[tick / 5].extend_from_slice(mixer.shared());
        }
        mixer.mix();

        for (note, hz) in notes.iter().zip(hz) {
            assert!(Detector::new(RATE, hz).purity(note) > 0.9, "{chime:?} {hz}");
        }
        assert!(
            mixer.shared().iter().all(|sample| *sample == 0),
            "and it ends"
        );
    }
}

#[test]
fn a_crowd_that_comes_at_once_chimes_three_times() {
    let mut mixer: Mixer<u8> = Mixer::new(config());
    for _ in 0..20 {
        mixer.chime(Chime::Joined);
    }

    let mut sounding = 0;
    for _ in 0..500 {
        mixer.mix();
        sounding += usize::from(mixer.shared().iter().any(|sample| *sample != 0));
    }

    assert_eq!(sounding, CHIMES_MAX * 10);
}

#[test]
fn who_comes_into_the_mix_and_leaves_it_does_not_click() {
    let mut mixer = Mixer::new(config());
    let mut tone = Tone::sine(RATE, 150.0, -12.0);
    let mut frame = [0i16; LEN];
    let mut all = Vec::new();
    let quiet = [0i16; LEN];

    for tick in 0..400 {
        tone.fill(&mut frame);
        mixer.put(1, if tick < 100 { &frame } else { &quiet });
        mixer.mix();
        all.extend_from_slice(mixer.shared());
    }

    // 150 Hz at -9 dBFS moves by 690 in a sample at most; the talker's own end is not ours to fade.
    let own_end = 100 * LEN;
    let worst = all[..own_end]
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .max();
    assert!(worst.unwrap() < 800, "{worst:?}");
    assert!(all[own_end..].iter().all(|sample| *sample == 0));
}

#[test]
fn a_voice_that_a_host_made_softer_is_so_for_all_and_without_a_click() {
    let mut mixer = Mixer::new(config());
    let mut tone = Tone::sine(RATE, 400.0, -25.0);
    let mut frame = vec![0; mixer.frame_samples()];
    let mut tick = |mixer: &mut Mixer<u32>| {
        tone.fill(&mut frame);
        mixer.put(1, &frame);
        mixer.mix();
        mixer.shared().to_vec()
    };
    let peak = |samples: &[i16]| samples.iter().map(|it| it.unsigned_abs()).max().unwrap();
    for _ in 0..20 {
        tick(&mut mixer);
    }
    let before = tick(&mut mixer);

    mixer.set_level(1, -12);
    let change = tick(&mut mixer);
    let after = tick(&mut mixer);

    // A quarter, in decibels 12.04.
    let ratio = f64::from(peak(&after)) / f64::from(peak(&before));
    assert!((ratio - 0.251).abs() < 0.003, "{ratio}");
    let jump = |a: &[i16]| {
        let pairs = a.windows(2);
        pairs.map(|it| it[0].abs_diff(it[1])).max().unwrap()
    };
    assert!(jump(&change) <= jump(&before) + 1, "a click");
    mixer.set_level(1, 0);
    tick(&mut mixer);
    assert_eq!(peak(&tick(&mut mixer)), peak(&before));
}

fn config() -> Config {
    Config {
        rate: RATE,
        speakers: speakers::Config::default(),
        level_control: false,
    }
}

/// Lets each of `tones` speak for so many ticks; returns the last 200 ms that each of them heard.
fn converse<const N: usize>(
    mixer: &mut Mixer<usize>,
    tones: &mut [Tone; N],
    ticks: usize,
) -> [Vec<i16>; N] {
    assert_eq!(FRAME_DURATION.as_millis(), 20);
    let mut heard = [const { Vec::new() }; N];
    let mut frame = [0i16; LEN];
    for tick in 0..ticks {
        for (who, tone) in tones.iter_mut().enumerate() {
            tone.fill(&mut frame);
            mixer.put(who, &frame);
        }
        mixer.mix();
        for (who, heard) in heard.iter_mut().enumerate() {
            mixer.hear(who, &mut frame);
            if tick + 10 >= ticks {
                heard.extend_from_slice(&frame);
            }
        }
    }
    heard
}

/// People who talk in bursts of noise, each with a loudness of its own.
struct Talk {
    rng: Rng,
    people: Vec<(bool, f64)>,
}

impl Talk {
    fn new(people: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let people = (0..people)
            .map(|_| (false, 400.0 + 30_000.0 * rng.unit().powi(2)))
            .collect();
        Self { rng, people }
    }

    /// Returns the next frames; who is silent sends nothing half of the time.
    fn next(&mut self) -> BTreeMap<u8, Vec<i16>> {
        let rng = &mut self.rng;
        let mut frames = BTreeMap::new();
        for (who, (talks, peak)) in self.people.iter_mut().enumerate() {
            *talks = if rng.chance(0.02) { !*talks } else { *talks };
            if !*talks && rng.chance(0.5) {
                continue;
            }
            let peak = if *talks { *peak } else { 10.0 };
            let frame = (0..LEN).map(|_| (peak * (2.0 * rng.unit() - 1.0)) as i16);
            frames.insert(who as u8, frame.collect());
        }
        frames
    }
}

/// The same rules in the plainest way: for each listener all others are added up from the start.
#[derive(Default)]
struct Plain {
    seats: Option<Selector<u8>>,
    meters: BTreeMap<u8, Meter>,
    was_in: BTreeMap<u8, bool>,
    now: BTreeMap<u8, Vec<i64>>,
    gains: BTreeMap<u8, i64>,
    shared_gain: i64,
    first: bool,
}

impl Plain {
    fn remove(&mut self, who: u8) {
        self.meters.remove(&who);
        self.was_in.remove(&who);
        if let Some(seats) = &mut self.seats {
            seats.remove(who);
        }
    }

    fn mix(&mut self, frames: &BTreeMap<u8, Vec<i16>>) {
        let seats = self
            .seats
            .get_or_insert_with(|| Selector::new(speakers::Config::default()));
        if !std::mem::replace(&mut self.first, true) {
            self.shared_gain = 32_768;
        }
        for (who, frame) in frames {
            let meter = self.meters.entry(*who).or_default();
            seats.hear(*who, meter.measure(frame));
        }
        seats.tick();
        self.now.clear();
        for who in self.meters.keys().copied() {
            let mut frame: Vec<i64> = match frames.get(&who) {
                Some(frame) => frame.iter().map(|s| i64::from(*s)).collect(),
                None => vec![0; LEN],
            };
            let before = self
                .was_in
                .insert(who, seats.is_seated(who))
                .unwrap_or(false);
            let after = seats.is_seated(who);
            // 5 ms at 16 kHz are 80 samples.
            for (i, sample) in frame.iter_mut().enumerate() {
                let i = i as i64;
                *sample = match (before, after) {
                    (true, true) => *sample,
                    (false, false) => 0,
                    (false, true) if i < 80 => *sample * (i + 1) / 81,
                    (false, true) => *sample,
                    (true, false) if i < 80 => *sample * (80 - i) / 81,
                    (true, false) => 0,
                };
            }
            if !before && after {
                self.gains.insert(who, self.shared_gain);
            }
            if before || after {
                self.now.insert(who, frame);
            }
        }
        self.shared_out();
    }

    fn shared_out(&mut self) {
        let sum = self.sum_for(None);
        let (gain, _) = limited(self.shared_gain, &sum);
        // Kept for those who are not in the mix, who all hear this one.
        self.now.insert(255, limited(self.shared_gain, &sum).1);
        self.shared_gain = gain;
    }

    fn hear(&mut self, who: u8) -> Vec<i16> {
        let is_in = self.was_in.get(&who).copied().unwrap_or(false);
        let out = if is_in {
            let sum = self.sum_for(Some(who));
            let (gain, out) = limited(self.gains[&who], &sum);
            self.gains.insert(who, gain);
            out
        } else {
            self.now[&255].clone()
        };
        out.iter().map(|sample| *sample as i16).collect()
    }

    fn sum_for(&self, listener: Option<u8>) -> Vec<i64> {
        let mut sum = vec![0i64; LEN];
        for (who, frame) in self.now.iter().filter(|(who, _)| **who != 255) {
            if Some(*who) != listener {
                sum.iter_mut()
                    .zip(frame)
                    .for_each(|(sum, sample)| *sum += sample);
            }
        }
        sum
    }
}

/// Returns the gain after and what comes out.
fn limited(before: i64, sum: &[i64]) -> (i64, Vec<i64>) {
    let peak = sum.iter().map(|s| s.abs()).max().unwrap_or(0);
    let fits = if peak > 24_575 {
        24_575 * 32_768 / peak
    } else {
        32_768
    };
    let risen = before + (before + 16) / 17;
    let after = fits.min(risen).min(32_768);
    let out = sum.iter().enumerate().map(|(i, sample)| {
        // Down within 2 ms, which are 32 samples; up over the whole frame.
        let steps = if after < before { 32 } else { LEN as i64 };
        let step = (i as i64 + 1).min(steps);
        let gain = before + (after - before) * step / steps;
        i64::from(soften(((sample * gain) >> 15) as i32))
    });
    (after, out.collect())
}
