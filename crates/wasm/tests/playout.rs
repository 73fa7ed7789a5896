//! What a browser hears of its peers.
#![allow(clippy::unwrap_used, clippy::panic)]

use core::f32::consts::TAU;

use moqrelay_audio::jitter::Push;
use moqrelay_wasm::playout::{Mixer, PEERS_MAX, PUSH_SAMPLES_MAX};

const FRAME: usize = 960;
const QUANTUM: usize = 128;

#[test]
fn a_tone_is_heard_soon_without_a_gap_and_as_loud_as_it_was() {
    let mut mixer = Mixer::default();
    assert!(mixer.add(1));

    let heard = play(&mut mixer, 100, &[(1, 440.0, 0.3)]);

    let begin = heard.iter().position(|sample| sample.abs() > 0.01).unwrap();
    // The first frame arrives when its last sample was captured.
    let delay_ms = (begin as f64 - FRAME as f64) / 48.0;
    assert!((20.0..=40.0).contains(&delay_ms), "{delay_ms} ms");
    assert!(
        quiet_run(&heard[begin..]) < 48,
        "less than a millisecond of quiet"
    );
    assert!((mixer.level(1) - 20.0 * (0.3_f64 / 2_f64.sqrt()).log10()).abs() < 1.0);
    assert!(mixer.is_heard(1));
    let [target, delay, ..] = mixer.numbers(1).unwrap();
    assert!(
        (10.0..=30.0).contains(&target) && (5.0..=40.0).contains(&delay),
        "{target} {delay}"
    );
}

#[test]
fn a_peer_that_says_it_is_silent_is_silent_at_once() {
    for announced in [true, false] {
        let mut mixer = Mixer::default();
        mixer.add(1);
        play(&mut mixer, 50, &[(1, 440.0, 0.3)]);

        if announced {
            assert!(mixer.pause(1, (1 << 32) + 49 * FRAME as u64));
        }
        for quantum in 0..100 {
            mixer.render(QUANTUM, (50 * FRAME + quantum * QUANTUM) as u64);
        }

        let [_, _, _, concealed_ms, _, underruns, _] = mixer.numbers(1).unwrap();
        assert_eq!(
            announced,
            concealed_ms == 0.0 && underruns == 0.0,
            "{concealed_ms} ms"
        );
    }
    assert!(!Mixer::default().pause(1, 0), "nobody is there");
}

#[test]
fn two_peers_are_heard_together() {
    let mut mixer = Mixer::default();
    mixer.add(1);
    mixer.add(2);

    let heard = play(&mut mixer, 60, &[(1, 440.0, 0.3), (2, 1_000.0, 0.3)]);

    let last = &heard[heard.len() - 24_000..];
    assert!((strength(last, 440.0) - 0.3).abs() < 0.03);
    assert!((strength(last, 1_000.0) - 0.3).abs() < 0.03);
}

#[test]
fn a_peer_that_is_made_softer_lets_another_one_be_heard() {
    let mut mixer = Mixer::default();
    mixer.add(1);
    mixer.add(2);
    assert!(mixer.set_gain(2, 0.125));
    assert!(!mixer.set_gain(3, 0.125));

    let heard = play(&mut mixer, 60, &[(1, 440.0, 0.3), (2, 1_000.0, 0.4)]);

    let last = &heard[heard.len() - 24_000..];
    assert!((strength(last, 440.0) - 0.3).abs() < 0.03);
    assert!((strength(last, 1_000.0) - 0.05).abs() < 0.01);
}

#[test]
fn the_sum_never_passes_full_scale() {
    let mut mixer = Mixer::default();
    let peers: Vec<(u32, f32, f32)> = (1..=8).map(|id| (id, 440.0, 0.9)).collect();
    for &(id, ..) in &peers {
        mixer.add(id);
    }

    let heard = play(&mut mixer, 50, &peers);

    let peak = heard
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    assert!((0.9..=1.0).contains(&peak), "{peak}");
}

#[test]
fn one_voice_is_not_bent() {
    let mut mixer = Mixer::default();
    mixer.add(1);

    let heard = play(&mut mixer, 50, &[(1, 440.0, 0.8)]);

    let peak = heard
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    assert!((peak - 0.8).abs() < 0.01, "{peak}");
}

#[test]
fn a_lost_frame_is_not_heard_as_a_hole() {
    let mut mixer = Mixer::default();
    mixer.add(1);

    let heard = run(&mut mixer, 100, &[(1, 440.0, 0.3)], |frame| frame == 50);

    let begin = heard.iter().position(|sample| sample.abs() > 0.01).unwrap();
    assert!(quiet_run(&heard[begin..]) < 240, "no 5 ms of quiet");
    let [.., concealed, late, _, _] = mixer.numbers(1).unwrap();
    assert!((15.0..=45.0).contains(&concealed), "{concealed} ms");
    assert_eq!(late, 0.0);
}

#[test]
fn peers_come_and_go_within_limits() {
    let mut mixer = Mixer::default();
    for id in 0..PEERS_MAX as u32 {
        assert!(mixer.add(id));
    }
    assert!(!mixer.add(1_000), "too many");
    mixer.remove(5);
    assert!(!mixer.add(4), "there already");
    assert!(mixer.add(1_000));

    assert_eq!(mixer.push(5, 0, &[0.0; FRAME], 0), None);
    assert_eq!(mixer.push(4, 0, &[], 0), None);
    assert_eq!(mixer.push(4, 0, &[0.0; PUSH_SAMPLES_MAX + 1], 0), None);
    assert_eq!(mixer.numbers(5), None);
    assert_eq!(mixer.level(5), -127.0);
    assert!(mixer.render(1 << 20, 0).len() < 1 << 20);
}

#[test]
fn numbers_that_make_no_sense_do_no_harm() {
    let mut mixer = Mixer::default();
    mixer.add(1);
    let values = [0, 1, 1 << 32, u64::MAX / 2, u64::MAX];
    for at in values {
        for frame in values {
            assert_ne!(mixer.push(1, at, &[f32::NAN; FRAME], frame), None);
            assert!(
                mixer
                    .render(QUANTUM, frame)
                    .iter()
                    .all(|sample| sample.abs() <= 1.0)
            );
        }
    }
    assert_eq!(
        mixer.push(1, 0, &[0.5; 7], 0),
        Some(Push::Refused),
        "not even 2.5 ms"
    );
}

/// Plays `frames` of these tones that arrive on time.
fn play(mixer: &mut Mixer, frames: usize, tones: &[(u32, f32, f32)]) -> Vec<f32> {
    run(mixer, frames, tones, |_| false)
}

/// Each frame arrives when its last sample would have been captured, unless it is lost.
fn run(
    mixer: &mut Mixer,
    frames: usize,
    tones: &[(u32, f32, f32)],
    lost: impl Fn(usize) -> bool,
) -> Vec<f32> {
    let mut heard = Vec::new();
    let mut arrived = 0;
    while heard.len() < frames * FRAME {
        let now = heard.len();
        while (arrived + 1) * FRAME <= now {
            for &(id, hz, loud) in tones {
                let samples: Vec<f32> = (arrived * FRAME..(arrived + 1) * FRAME)
                    .map(|i| loud * (TAU * hz * (i % 48_000) as f32 / 48_000.0).sin())
                    .collect();
                let at = (1 << 32) + (arrived * FRAME) as u64;
                if !lost(arrived) {
                    assert_ne!(mixer.push(id, at, &samples, now as u64), None);
                }
            }
            arrived += 1;
        }
        heard.extend_from_slice(mixer.render(QUANTUM, now as u64));
    }
    heard
}

/// The longest run of samples that are as good as nothing.
fn quiet_run(samples: &[f32]) -> usize {
    samples
        .split(|sample| sample.abs() > 0.003)
        .map(<[f32]>::len)
        .max()
        .unwrap_or(0)
}

/// The amplitude of one frequency.
fn strength(samples: &[f32], hz: f32) -> f32 {
    let (mut sin, mut cos) = (0.0, 0.0);
    for (i, sample) in samples.iter().enumerate() {
        let phase = TAU * hz * i as f32 / 48_000.0;
        sin += sample * phase.sin();
        cos += sample * phase.cos();
    }
    2.0 * f32::hypot(sin, cos) / samples.len() as f32
}
