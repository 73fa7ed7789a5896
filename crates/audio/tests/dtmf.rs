//! Digits in sound are found, and speech is not taken for them.

mod common;

use core::time::Duration;

use common::{Rng, ms, speech};
use moqrelay_audio::dtmf::{Detector, Digit};
use moqrelay_audio::tone::{Tone, dtmf_hz};
use moqrelay_audio::{Sample, SampleRate};

const RATES: [SampleRate; 3] = [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz48000];
const DIGITS: &str = "0123456789*#ABCD";

#[test]
fn every_digit_is_found_once_with_its_length_at_every_rate() {
    for rate in RATES {
        let mut sound = Vec::new();
        for digit in DIGITS.chars() {
            sound.extend(digit_of(rate, digit, 80, 80));
        }

        let found = detect(rate, &sound, 20);

        assert_eq!(text(&found), DIGITS, "{rate}");
        for digit in found {
            assert!(
                (ms(digit.duration) - 80.0).abs() <= 26.0,
                "{rate}: {digit:?}"
            );
        }
    }
}

#[test]
fn the_shortest_digits_and_pauses_of_q_24_are_found_at_any_offset() {
    let rate = SampleRate::Hz8000;
    for offset in (0..102).step_by(7) {
        let mut sound = vec![0; offset];
        for digit in "1590*".chars() {
            sound.extend(digit_of(rate, digit, 40, 40));
        }

        assert_eq!(text(&detect(rate, &sound, 20)), "1590*", "offset {offset}");
    }
}

#[test]
fn blips_are_ignored_and_a_long_press_is_one_digit() {
    let rate = SampleRate::Hz8000;
    for offset in (0..102).step_by(11) {
        let mut sound = vec![0; offset];
        sound.extend(digit_of(rate, '5', 20, 100));
        assert_eq!(text(&detect(rate, &sound, 20)), "", "offset {offset}");
    }

    let long = digit_of(rate, '5', 5_000, 100);
    let found = detect(rate, &long, 20);
    assert_eq!(text(&found), "5");
    assert!((ms(found[0].duration) - 5_000.0).abs() < 30.0);
}

#[test]
fn a_digit_survives_noise_and_twist() {
    let rate = SampleRate::Hz8000;
    let mut rng = Rng::new(3);
    for (low, high) in [(0.1, 0.1), (0.08, 0.12), (0.15, 0.07)] {
        let mut sound = pair(rate, '7', low, high, 100);
        for sample in &mut sound {
            // 18 dB below the pair.
            *sample = sample.saturating_add(((rng.unit() - 0.5) * 1_600.0) as i16);
        }
        sound.extend(vec![0; 800]);

        assert_eq!(text(&detect(rate, &sound, 20)), "7", "{low} {high}");
    }
}

#[test]
fn too_much_twist_and_single_tones_are_no_digits() {
    let rate = SampleRate::Hz8000;
    for (low, high) in [(0.02, 0.2), (0.2, 0.02), (0.2, 0.0), (0.0, 0.2)] {
        let sound = pair(rate, '7', low, high, 500);
        assert_eq!(text(&detect(rate, &sound, 20)), "", "{low} {high}");
    }
}

#[test]
fn the_tones_of_calls_are_no_digits() {
    let rate = SampleRate::Hz8000;
    for mut tone in [
        Tone::ringback(rate),
        Tone::busy(rate),
        Tone::congestion(rate),
        Tone::milliwatt(rate),
    ] {
        let mut sound = vec![0_i16; 80_000];
        tone.fill(&mut sound);
        assert_eq!(text(&detect(rate, &sound, 20)), "");
    }
}

#[test]
fn voices_of_every_pitch_hold_no_digit() {
    let rate = SampleRate::Hz8000;
    let mut detector = Detector::new(rate);
    let mut found = Vec::new();
    for number in 0..3_000 {
        detector.process(&speech(rate, number), |digit| found.push(digit));
    }
    // Vowels that glide from 80 to 280 Hz, with formants where digits have their tones.
    let mut phase = 0.0_f64;
    let mut frame = vec![0_i16; rate.frame_samples()];
    for number in 0..3_000 {
        let pitch = 80.0 + f64::from(number % 2_000) / 10.0;
        let shape = f64::from(number / 40 % 12);
        for sample in &mut frame {
            phase = (phase + pitch / f64::from(rate.hz())).fract();
            let value: f64 = (1..=12)
                .map(|k| {
                    let hz = f64::from(k) * pitch;
                    let near =
                        |centre: f64, width: f64| 1.0 / (1.0 + ((hz - centre) / width).powi(2));
                    let formants = near(600.0 + shape * 35.0, 90.0)
                        + 0.7 * near(1_150.0 + shape * 50.0, 120.0);
                    (phase * f64::from(k) * core::f64::consts::TAU).sin()
                        * (0.6 / f64::from(k) + formants)
                })
                .sum();
            *sample = i16::from_f32((value * 0.15) as f32);
        }
        detector.process(&frame, |digit| found.push(digit));
    }

    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn pieces_of_any_size_give_the_same_digits() {
    let rate = SampleRate::Hz16000;
    let sound: Vec<i16> = "31#"
        .chars()
        .flat_map(|digit| digit_of(rate, digit, 70, 60))
        .collect();

    let by_frames = detect(rate, &sound, 20);
    let mut detector = Detector::new(rate);
    let mut by_pieces = Vec::new();
    for piece in sound.chunks(37) {
        detector.process(piece, |digit| by_pieces.push(digit));
    }

    assert_eq!(by_pieces, by_frames);
}

fn detect(rate: SampleRate, sound: &[i16], piece_ms: u64) -> Vec<Digit> {
    let mut detector = Detector::new(rate);
    let mut found = Vec::new();
    let mut sound = sound.to_vec();
    sound.extend(vec![0; rate.samples_in(Duration::from_millis(60))]);
    for piece in sound.chunks(rate.samples_in(Duration::from_millis(piece_ms))) {
        detector.process(piece, |digit| found.push(digit));
    }
    found
}

fn text(found: &[Digit]) -> String {
    found.iter().map(|digit| digit.digit).collect()
}

fn digit_of(rate: SampleRate, digit: char, on_ms: u64, off_ms: u64) -> Vec<i16> {
    let on = Duration::from_millis(on_ms);
    let mut tone = Tone::dtmf(rate, digit, on).expect("a digit");
    let mut sound = vec![0; rate.samples_in(on + Duration::from_millis(off_ms))];
    tone.fill(&mut sound);
    sound
}

fn pair(rate: SampleRate, digit: char, low: f64, high: f64, on_ms: u64) -> Vec<i16> {
    let (low_hz, high_hz) = dtmf_hz(digit).expect("a digit");
    (0..rate.samples_in(Duration::from_millis(on_ms)))
        .map(|i| {
            let turn = i as f64 / f64::from(rate.hz()) * core::f64::consts::TAU;
            let value =
                (turn * f64::from(low_hz)).sin() * low + (turn * f64::from(high_hz)).sin() * high;
            i16::from_f32(value as f32)
        })
        .collect()
}
