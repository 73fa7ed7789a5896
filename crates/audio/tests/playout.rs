//! Whole players: Opus packets or PCM in, sound out.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use core::time::Duration;

use common::{Conditions, Network, Report, arrivals, ms, run, sine, speech};
use moqrelay_audio::SampleRate::{Hz8000, Hz48000};
use moqrelay_audio::jitter::Config;
use moqrelay_audio::level::{self, Level};
use moqrelay_audio::playout::PcmPlayer;
use moqrelay_audio::tone::Detector;

#[test]
fn a_steady_tone_is_unbroken_while_clocks_drift_and_there_is_no_quiet_moment() {
    // Three times worse than a bad crystal, so that five minutes show what fifteen would.
    for ppm in [-300.0, 300.0] {
        for (step, phase) in [(160, 11.0), (21, 5.0)] {
            let conditions = Conditions {
                jitter_ms: 5.0,
                ..Conditions::default()
            };
            let report = tone_call(300, ppm, conditions, (step, phase));

            let stats = report.stats();
            assert_eq!(
                stats.concealed,
                Duration::ZERO,
                "{ppm} ppm, {step}: {stats:?}"
            );
            let moved = if ppm > 0.0 { stats.shed } else { stats.gained };
            assert!(
                (60.0..160.0).contains(&ms(moved)),
                "{ppm} ppm, {step}: {moved:?}"
            );
            assert_unbroken(&report.sound[8_000..], &format!("{ppm} ppm, {step}"));
        }
    }
}

#[test]
fn a_lost_frame_in_a_hundred_leaves_a_tone_nearly_unbroken() {
    let conditions = Conditions {
        jitter_ms: 5.0,
        loss: 0.01,
        ..Conditions::default()
    };
    let report = tone_call(60, 0.0, conditions, (160, 3.0));

    assert!(report.stats().lost > 10);
    let sound = &report.sound[8_000..];
    let weakest = sound.chunks(160).map(level::dbov).fold(0.0, f32::min);
    assert!(weakest > -20.0, "{weakest} dBov");
    assert!(Detector::new(Hz8000, 440.0).purity(&sound[..80_000]) > 0.9);
}

#[test]
fn sound_ends_and_begins_without_a_click() {
    let mut player = PcmPlayer::<i16>::pcm(Hz48000, Config::default());
    let mut sound = Vec::new();
    let mut out = vec![0i16; 960];
    for number in 0..100u64 {
        let now = Duration::from_millis(20 * number);
        if !(40..70).contains(&number) {
            let _ = player.push(number * 960, &sine(Hz48000, 440.0, 8_000.0, number), now);
        }
        player.pull(now + Duration::from_millis(3), &mut out);
        sound.extend_from_slice(&out);
    }

    let steepest = sound.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
    let slope = 8_000.0 * core::f64::consts::TAU * 440.0 / 48_000.0;
    assert!(f64::from(steepest) < slope * 1.3, "{steepest}");
    // 100 ms of concealment and then silence until the sound comes back.
    let silent = sound
        .chunks(960)
        .filter(|frame| Level::of(frame) == level::SILENCE)
        .count();
    assert!((25..=29).contains(&silent), "{silent}");
}

#[test]
fn a_recorded_trace_of_a_busy_machine_is_played_without_a_gap() {
    // Arrival minus sending time in ms as a busy browser shows it: mostly 1 to 8, a stall of the
    // sender's event loop now and then, whose packets come at once.
    let lateness = [
        1.0, 0.8, 3.1, 0.9, 7.8, 1.2, 0.7, 2.2, 4.9, 1.0, 1.1, 0.9, 5.5, 1.3, 0.8, 2.7, 1.0, 6.1,
        0.9, 1.4, 28.0, 8.0, 1.5, 0.9, 1.2, 3.3, 0.8, 1.0, 7.1, 2.0, 0.9, 1.1, 4.4, 0.8, 1.6, 0.9,
        1.0, 2.9, 0.7, 1.2, 0.9, 3.8, 1.1, 0.8, 104.0, 84.0, 64.0, 44.0, 24.0, 4.0, 1.0, 0.9, 2.1,
    ];
    for (step, phase) in [(160, 3.0), (160, 13.0), (21, 5.0)] {
        let arrivals: Vec<_> = (0..3_000u64)
            .map(|number| common::Arrival {
                number,
                at_ms: number as f64 * 20.0 + 10.0 + lateness[number as usize % lateness.len()],
            })
            .collect();
        let report = play(60, &arrivals, (step, phase), |n| speech(Hz8000, n));

        let stats = report.stats();
        // The first stall is heard; the target then stays above it.
        assert!(report.concealed_ms(0..60) <= 100.0, "{step}: {stats:?}");
        assert_eq!(report.concealed_ms(5..60), 0.0, "{step}: {stats:?}");
        assert_eq!(
            stats.late + stats.overflowed + stats.restarts,
            0,
            "{step}: {stats:?}"
        );
        assert!(
            report.delay_ms(10..60) < 130.0,
            "{step}: {}",
            report.delay_ms(10..60)
        );
    }
}

#[test]
fn the_delay_that_is_told_is_the_delay_that_is_heard() {
    for (step, late_ms) in [(960, 0.0), (960, 13.0), (128, 0.0), (480, 5.0)] {
        let config = Config {
            step: Hz48000.duration_of(step),
            ..Config::default()
        };
        let mut player = PcmPlayer::<f32>::pcm(Hz48000, config);
        let mut out = vec![0.0f32; step];
        let mut pushed = 0u32;
        for tick in 0..5 * 48_000 / step {
            let now = Hz48000.duration_of(tick * step);
            while f64::from(pushed) * 20.0 + late_ms <= ms(now) {
                // Each frame holds its own number.
                let frame = [pushed as f32 / 1_000.0; 960];
                let arrived = Duration::from_secs_f64((f64::from(pushed) * 20.0 + late_ms) / 1e3);
                let _ = player.push(u64::from(pushed) * 960, &frame, arrived);
                pushed += 1;
            }
            player.pull(now, &mut out);
        }

        // The first sample of the last tick, to within the frame that holds it.
        let heard = f64::from(out[0]) * 1_000.0;
        let began_ms = heard * 20.0 + late_ms;
        let last_ms = ms(Hz48000.duration_of((5 * 48_000 / step - 1) * step));
        let told = ms(player.stats().delay);
        let age = last_ms - began_ms;
        assert!(
            (told - 1.0..told + 21.0).contains(&age),
            "{step}: {age} ms, told {told} ms"
        );
    }
}

#[test]
fn a_reset_player_is_silent_at_once() {
    let mut player = PcmPlayer::<i16>::pcm(Hz8000, Config::default());
    let mut out = vec![0i16; 160];
    for number in 0..20u64 {
        let now = Duration::from_millis(20 * number);
        let _ = player.push(number * 960, &sine(Hz8000, 440.0, 8_000.0, number), now);
        player.pull(now, &mut out);
    }
    assert!(Level::of(&out) < level::SILENCE);

    player.reset();

    assert_eq!(
        player.pull(Duration::from_millis(400), &mut out),
        level::SILENCE
    );
    assert_eq!(out, [0; 160]);
}

#[cfg(feature = "opus")]
mod opus {
    use bytes::Bytes;
    use moqrelay_audio::opus::{Config as Coding, Encoder};
    use moqrelay_audio::playout::OpusPlayer;
    use moqrelay_audio::{Frame, SampleRate};

    use super::*;

    #[test]
    fn a_tone_coded_at_48_khz_is_heard_at_every_leg_rate() {
        let packets = encode(Hz48000, 150, |n| sine(Hz48000, 1004.0, 5_000.0, n));
        for rate in SampleRate::ALL.into_iter().filter(|rate| rate.is_opus()) {
            let report = listen(rate, 3, &packets, Conditions::default());

            let settled = &report.sound[rate.hz() as usize..rate.hz() as usize * 2];
            let found = Detector::new(rate, 1004.0).dbov(settled);
            let want = level::dbov(&sine(Hz48000, 1004.0, 5_000.0, 0));
            assert!((found - want).abs() < 1.0, "{rate}: {found} for {want}");
        }
    }

    #[test]
    fn on_a_lossy_network_most_losses_are_recovered_for_one_frame_of_delay() {
        let packets = encode(Hz8000, 3_000, |n| speech(Hz8000, n));
        let conditions = Conditions {
            jitter_ms: 5.0,
            loss: 0.05,
            ..Conditions::default()
        };
        let report = listen(Hz8000, 60, &packets, conditions);

        let stats = report.stats();
        assert!(stats.lost > 100, "{stats:?}");
        assert!(stats.recovered * 10 > stats.lost * 8, "{stats:?}");
        assert!(
            report.delay_ms(10..60) < 60.0,
            "{}",
            report.delay_ms(10..60)
        );
    }

    #[test]
    fn foreign_packets_of_other_durations_are_played_at_their_pace() {
        for (samples, count) in [(20, 8), (40, 4), (80, 2), (320, 1), (480, 1)] {
            let per_step = Duration::from_micros(samples as u64 * count * 125);
            let packets = foreign(samples, 440.0);
            let mut player = OpusPlayer::opus(Hz8000, Config::default()).unwrap();
            let mut sent = 0usize;
            let mut sound = Vec::new();
            let mut out = vec![0i16; 160];
            for tick in 0..150u32 {
                let now = Duration::from_millis(20) * tick;
                while sent < packets.len() && per_step * (sent as u32 / count as u32) <= now {
                    let timestamp = (sent * samples * 6) as u64;
                    let _ = player.push(timestamp, packets[sent].clone(), now).unwrap();
                    sent += 1;
                }
                player.pull(now + Duration::from_millis(4), &mut out);
                sound.extend_from_slice(&out);
            }

            let stats = player.stats();
            assert_eq!(stats.lost + stats.late, 0, "{samples}: {stats:?}");
            assert_eq!(stats.concealed, Duration::ZERO, "{samples}: {stats:?}");
            let settled = &sound[8_000..16_000];
            let purity = Detector::new(Hz8000, 440.0).purity(settled);
            assert!(purity > 0.9, "{samples}: {purity}");
        }
    }

    #[test]
    fn a_damaged_packet_is_concealed_and_the_next_is_heard() {
        let packets = encode(Hz8000, 100, |n| sine(Hz8000, 440.0, 8_000.0, n));
        let mut player = OpusPlayer::opus(Hz8000, Config::default()).unwrap();
        let mut out = vec![0i16; 160];
        let mut levels = Vec::new();
        for (number, packet) in packets.iter().enumerate() {
            let now = Duration::from_millis(20) * number as u32;
            // Code 1 with an odd length: the header is good, libopus refuses.
            let packet = if number == 50 {
                Bytes::from_static(&[0x41, 1, 2, 3])
            } else {
                packet.clone()
            };
            let _ = player.push(number as u64 * 960, packet, now).unwrap();
            levels.push(player.pull(now + Duration::from_millis(4), &mut out));
        }

        let quietest = levels[10..].iter().max().unwrap();
        assert!(quietest.minus_dbov() < 35, "{quietest:?}");
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        let mut player = OpusPlayer::opus(Hz8000, Config::default()).unwrap();
        assert!(player.push(0, Bytes::new(), Duration::ZERO).is_err());
        assert_eq!(player.stats().received, 0);
    }

    fn encode(rate: SampleRate, count: u64, source: impl Fn(u64) -> Vec<i16>) -> Vec<Bytes> {
        let mut encoder = Encoder::new(Coding::new(rate)).unwrap();
        (0..count)
            .map(|n| {
                encoder
                    .encode(&Frame::new(rate, &source(n)).unwrap())
                    .unwrap()
            })
            .collect()
    }

    /// Three seconds of a tone in packets of so many samples at 8 kHz, as another publisher may
    /// send them.
    fn foreign(samples: usize, hz: f64) -> Vec<Bytes> {
        let mut encoder =
            ::opus::Encoder::new(8_000, ::opus::Channels::Mono, ::opus::Application::Audio)
                .unwrap();
        encoder.set_bitrate(::opus::Bitrate::Bits(64_000)).unwrap();
        let sound: Vec<i16> = (0..150)
            .flat_map(|n| sine(Hz8000, hz, 8_000.0, n))
            .collect();
        sound
            .chunks_exact(samples)
            .map(|chunk| Bytes::from(encoder.encode_vec(chunk, 1_000).unwrap()))
            .collect()
    }

    fn listen(
        rate: SampleRate,
        seconds: usize,
        packets: &[Bytes],
        conditions: Conditions,
    ) -> Report<i16> {
        let mut network = Network::new(11, conditions);
        let arrivals = arrivals(packets.len() as u64, 0.0, &mut network);
        let mut player = OpusPlayer::opus(rate, Config::default()).unwrap();
        run(
            &mut player,
            &arrivals,
            seconds,
            (rate.frame_samples(), 3.0),
            |player, number, now| {
                let _ = player
                    .push(number * 960, packets[number as usize].clone(), now)
                    .unwrap();
            },
            rate,
        )
    }
}

fn tone_call(
    seconds: usize,
    ppm: f64,
    conditions: Conditions,
    player: (usize, f64),
) -> Report<i16> {
    let mut network = Network::new(5, conditions);
    let arrivals = arrivals(seconds as u64 * 50 + 50, ppm, &mut network);
    play(seconds, &arrivals, player, |n| {
        sine(Hz8000, 440.0, 8_000.0, n)
    })
}

fn play(
    seconds: usize,
    arrivals: &[common::Arrival],
    (step, phase): (usize, f64),
    source: impl Fn(u64) -> Vec<i16>,
) -> Report<i16> {
    let config = Config {
        step: Hz8000.duration_of(step),
        ..Config::default()
    };
    let mut player = PcmPlayer::pcm(Hz8000, config);
    run(
        &mut player,
        arrivals,
        seconds,
        (step, phase),
        |player, number, now| {
            let _ = player.push(number * 960, &source(number), now);
        },
        Hz8000,
    )
}

/// No stretch of 10 ms is more than 1.5 dB weaker than the tone, and no step is steeper.
fn assert_unbroken(sound: &[i16], case: &str) {
    let want = level::dbov(&sine(Hz8000, 440.0, 8_000.0, 0));
    for (i, part) in sound.chunks(80).enumerate() {
        let found = level::dbov(part);
        assert!(
            (found - want).abs() < 1.5,
            "{case}: {found} for {want} dBov at {} ms",
            i * 10
        );
    }
    let steepest = sound.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
    let slope = 8_000.0 * core::f64::consts::TAU * 440.0 / 8_000.0;
    assert!(f64::from(steepest) < slope * 1.2, "{case}: {steepest}");
}
