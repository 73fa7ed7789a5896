//! Concealment by waveform substitution: goes on, fades, comes back without a click.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Rng, sine, speech};
use moqrelay_audio::SampleRate::{self, Hz8000, Hz16000, Hz48000};
use moqrelay_audio::conceal::Concealer;
use moqrelay_audio::level;
use moqrelay_audio::tone::Detector;

#[test]
fn a_lost_frame_of_a_tone_is_nearly_what_it_was() {
    for rate in [Hz8000, Hz16000, Hz48000] {
        for hz in [150.0, 440.0, 1004.0] {
            let mut concealer = warmed(rate, |n| sine(rate, hz, 8_000.0, n));
            let mut lost = vec![0i16; rate.frame_samples()];
            concealer.conceal(&mut lost);

            let was = sine(rate, hz, 8_000.0, 5);
            let error = level::dbov(&difference(&lost, &was)) - level::dbov(&was);
            // The fade alone, 10 % down at the end of the frame, is an error of about -21 dB.
            assert!(error < -9.0, "{hz} Hz at {rate}: error {error} dB");
        }
    }
}

#[test]
fn speech_is_concealed_better_than_by_silence_or_repetition() {
    let rate = Hz8000;
    let mut concealer = warmed(rate, |n| speech(rate, n));
    let mut lost = vec![0i16; rate.frame_samples()];
    concealer.conceal(&mut lost);

    let was = speech(rate, 5);
    let error = level::rms(&difference(&lost, &was));
    assert!(error < level::rms(&was) * 0.4);
    assert!(error < level::rms(&difference(&speech(rate, 4), &was)));
}

#[test]
fn it_fades_and_is_silent_after_60_ms() {
    let rate = Hz48000;
    let mut concealer = warmed(rate, |n| sine(rate, 440.0, 8_000.0, n));
    let levels: Vec<f32> = (0..8)
        .map(|_| {
            let mut out = vec![0i16; rate.frame_samples() / 2];
            concealer.conceal(&mut out);
            level::dbov(&out)
        })
        .collect();

    assert!((levels[0] - level::dbov(&sine(rate, 440.0, 8_000.0, 0))).abs() < 0.5);
    assert!(levels.windows(2).all(|w| w[1] <= w[0] + 0.1), "{levels:?}");
    assert_eq!(levels[6..], [-127.0, -127.0]);
}

#[test]
fn neither_joint_clicks() {
    for rate in [Hz8000, Hz48000] {
        for lost in 1..6 {
            let source = |n: u64| sine(rate, 397.0, 8_000.0, n);
            let mut concealer = warmed(rate, source);
            let mut sound = source(4);
            for _ in 0..lost {
                let mut out = vec![0i16; rate.frame_samples()];
                concealer.conceal(&mut out);
                sound.extend(out);
            }
            let mut back = source(5 + lost);
            concealer.heard(&mut back);
            sound.extend(back);

            // The steepest step of the sine itself, and a quarter more.
            let slope = 8_000.0 * core::f64::consts::TAU * 397.0 / f64::from(rate.hz());
            let steepest = steps(&sound);
            assert!(
                f64::from(steepest) < slope * 1.25,
                "{rate}, {lost} lost: {steepest}"
            );
        }
    }
}

#[test]
fn noise_stays_noise() {
    let rate = Hz48000;
    let mut rng = Rng::new(3);
    let noise: Vec<i16> = (0..4_800)
        .map(|_| ((rng.unit() - 0.5) * 4_000.0) as i16)
        .collect();
    let mut concealer = Concealer::new(rate);
    concealer.heard(&mut noise.clone());

    let mut out = vec![0i16; rate.frame_samples()];
    concealer.conceal(&mut out);

    assert!((level::dbov(&out[..480]) - level::dbov(&noise)).abs() < 1.5);
    let purest = (100..4_000)
        .step_by(50)
        .map(|hz| Detector::new(rate, hz as f32).purity(&out));
    assert!(purest.fold(0.0, f32::max) < 0.3);
}

#[test]
fn silence_is_concealed_by_silence_also_before_anything_was_heard() {
    let mut out = [1.0f32; 960];
    Concealer::new(Hz48000).conceal(&mut out);
    assert_eq!(out, [0.0; 960]);
}

#[test]
fn pieces_of_any_size_make_the_same_sound() {
    let rate = Hz48000;
    let source = |n| sine(rate, 233.0, 8_000.0, n);
    let mut whole = vec![0i16; 4_000];
    warmed(rate, source).conceal(&mut whole);

    let mut pieces = vec![0i16; 4_000];
    let mut concealer = warmed(rate, source);
    for piece in pieces.chunks_mut(37) {
        concealer.conceal(piece);
    }

    assert_eq!(pieces, whole);
}

#[test]
fn wild_floats_do_no_harm() {
    let wild = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN_POSITIVE,
    ];
    let mut concealer = Concealer::new(Hz48000);
    for value in wild {
        concealer.heard(&mut [value; 960]);
        let mut out = [0.0; 1_000];
        concealer.conceal(&mut out);
        assert!(out.iter().all(|x| (-1.0..=1.0).contains(x)), "{value}");
    }
}

/// A concealer that has heard frames 0 to 4.
fn warmed(rate: SampleRate, source: impl Fn(u64) -> Vec<i16>) -> Concealer<i16> {
    let mut concealer = Concealer::new(rate);
    for number in 0..5 {
        concealer.heard(&mut source(number));
    }
    concealer
}

fn difference(a: &[i16], b: &[i16]) -> Vec<i16> {
    a.iter().zip(b).map(|(a, b)| a.saturating_sub(*b)).collect()
}

fn steps(sound: &[i16]) -> i32 {
    sound
        .windows(2)
        .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
        .max()
        .unwrap()
}
