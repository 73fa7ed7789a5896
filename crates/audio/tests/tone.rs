//! Tones are where and as loud as they should be, and do not click.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use core::time::Duration;

use moqrelay_audio::SampleRate;
use moqrelay_audio::level::{self, Level};
use moqrelay_audio::tone::{Detector, Tone, dtmf_hz};

#[test]
fn the_milliwatt_is_1004_hz_at_ten_below_a_milliwatt() {
    for rate in SampleRate::ALL {
        let sound = second(&mut Tone::milliwatt(rate), rate);

        let detector = Detector::new(rate, 1004.0);
        assert!(detector.purity(&sound) > 0.999, "{rate}");
        assert!((detector.dbov(&sound) + 16.18).abs() < 0.05, "{rate}");
        assert_eq!(Level::of(&sound).minus_dbov(), 16);
    }
}

#[test]
fn a_sine_goes_on_at_its_phase_whatever_is_asked_for_at_once() {
    let rate = SampleRate::Hz48000;
    let whole = second(&mut Tone::sine(rate, 440.0, -10.0), rate);

    let mut tone = Tone::sine(rate, 440.0, -10.0);
    let mut pieces = vec![0; whole.len()];
    for piece in pieces.chunks_mut(128) {
        tone.fill(piece);
    }

    assert_eq!(pieces, whole);
}

#[test]
fn a_sine_does_not_drift_in_an_hour() {
    let rate = SampleRate::Hz8000;
    let mut tone = Tone::sine(rate, 1004.0, -10.0);
    let mut frame = vec![0i16; rate.frame_samples()];
    for _ in 0..180_000 {
        tone.fill(&mut frame);
    }

    // An hour holds whole periods of 1004 Hz, so the phase is where it began.
    let mut first = vec![0i16; rate.frame_samples()];
    Tone::sine(rate, 1004.0, -10.0).fill(&mut first);
    tone.fill(&mut frame);
    assert!(frame.iter().zip(&first).all(|(a, b)| (a - b).abs() <= 2));
}

#[test]
fn ringback_sounds_two_seconds_of_six() {
    let rate = SampleRate::Hz16000;
    let mut tone = Tone::ringback(rate);
    let seconds: Vec<_> = (0..7).map(|_| second(&mut tone, rate)).collect();

    for on in [0, 1, 6] {
        for hz in [440.0, 480.0] {
            let level = Detector::new(rate, hz).dbov(&seconds[on]);
            assert!(
                (level + 19.0 + 6.18).abs() < 0.3,
                "second {on}, {hz} Hz: {level}"
            );
        }
    }
    for off in &seconds[2..6] {
        assert_eq!(Level::of(off), level::SILENCE);
    }
    assert!(!tone.is_over());
}

#[test]
fn busy_and_congestion_differ_in_their_cadence() {
    let rate = SampleRate::Hz8000;
    for (mut tone, half_ms) in [(Tone::busy(rate), 500), (Tone::congestion(rate), 250)] {
        for _ in 0..3 {
            let mut on = vec![0i16; rate.samples_in(Duration::from_millis(half_ms))];
            let mut off = on.clone();
            tone.fill(&mut on);
            tone.fill(&mut off);

            assert!(Detector::new(rate, 620.0).purity(&on) > 0.4);
            assert_eq!(Level::of(&off), level::SILENCE);
        }
    }
}

#[test]
fn each_digit_has_its_two_frequencies() {
    let rate = SampleRate::Hz8000;
    for digit in "0123456789*#ABCD".chars() {
        let mut tone = Tone::dtmf(rate, digit, Duration::from_millis(100)).unwrap();
        let mut sound = vec![0i16; 800];
        tone.fill(&mut sound);

        let (low, high) = dtmf_hz(digit).unwrap();
        let found: f32 = [low, high]
            .map(|hz| Detector::new(rate, hz).purity(&sound))
            .iter()
            .sum();
        assert!(found > 0.95, "{digit}: {found}");
        assert!(tone.is_over());
        let mut after = vec![1i16; 800];
        tone.fill(&mut after);
        assert!(after.iter().all(|sample| *sample == 0));
    }
    assert!(Tone::dtmf(rate, 'x', Duration::from_millis(100)).is_none());
}

#[test]
fn a_tone_begins_and_ends_without_a_click() {
    let rate = SampleRate::Hz48000;
    let mut sound = vec![0i16; 3 * 48_000];
    Tone::ringback(rate).fill(&mut sound);

    // The steepest that two sines of this level ever are.
    let steps = |part: &[i16]| part.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
    let inside = steps(&sound[24_000..72_000]);
    assert!(steps(&sound) <= inside);
}

#[test]
fn the_detector_finds_no_tone_elsewhere() {
    let rate = SampleRate::Hz8000;
    let sound = second(&mut Tone::sine(rate, 440.0, -10.0), rate);

    assert!((Detector::new(rate, 440.0).dbov(&sound) + 10.0).abs() < 0.01);
    assert!(Detector::new(rate, 480.0).dbov(&sound) < -60.0);
    assert!(Detector::new(rate, 1004.0).purity(&sound) < 1e-5);
    assert_eq!(Detector::new(rate, 440.0).purity(&[0i16; 160]), 0.0);
    assert_eq!(Detector::new(rate, 440.0).dbov::<i16>(&[]), -127.0);
}

fn second(tone: &mut Tone, rate: SampleRate) -> Vec<i16> {
    let mut sound = vec![0; rate.hz() as usize];
    tone.fill(&mut sound);
    sound
}
