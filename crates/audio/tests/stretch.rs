//! Time-scale modification: right length, same pitch, no click.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Rng, sine, speech};
use moqrelay_audio::SampleRate::{Hz8000, Hz48000};
use moqrelay_audio::level;
use moqrelay_audio::stretch::{Limits, lengthen, shorten};
use moqrelay_audio::tone::Detector;
use proptest::prelude::*;

#[test]
fn a_tone_gets_shorter_and_longer_at_its_pitch() {
    for rate in [Hz8000, Hz48000] {
        for hz in [200.0, 440.0, 1004.0] {
            let frame = sine(rate, hz, 8_000.0, 0);
            let limits = Limits::voice(rate, rate.frame_samples(), 0.85);

            let mut short = frame.clone();
            let cut = shorten(&mut short, &limits);
            let mut long = frame.clone();
            let added = lengthen(&mut long, &limits);

            assert!(cut >= rate.frame_samples() / 8, "{hz} Hz at {rate}: {cut}");
            assert_eq!(short.len(), frame.len() - cut);
            assert_eq!(long.len(), frame.len() + added);
            for sound in [&short, &long] {
                let level = Detector::new(rate, hz as f32).dbov(sound);
                let want = level::dbov(&frame);
                assert!(
                    (level - want).abs() < 1.0,
                    "{hz} Hz at {rate}: {level} for {want}"
                );
                let slope = 8_000.0 * core::f64::consts::TAU * hz / f64::from(rate.hz());
                assert!(
                    f64::from(steps(sound)) < slope * 1.2 + 2.0,
                    "{hz} Hz at {rate}"
                );
            }
        }
    }
}

#[test]
fn the_ends_stay_as_they_are() {
    let frame = speech(Hz8000, 7);
    let limits = Limits::voice(Hz8000, 160, -1.0);

    let mut short = frame.clone();
    shorten(&mut short, &limits);
    let mut long = frame.clone();
    lengthen(&mut long, &limits);

    for sound in [short, long] {
        assert_eq!(sound.first(), frame.first());
        assert_eq!(sound.last(), frame.last());
    }
}

#[test]
fn noise_is_left_alone_unless_it_must_change() {
    let mut rng = Rng::new(5);
    let noise: Vec<i16> = (0..960)
        .map(|_| ((rng.unit() - 0.5) * 8_000.0) as i16)
        .collect();

    let mut sound = noise.clone();
    assert_eq!(shorten(&mut sound, &Limits::voice(Hz48000, 960, 0.85)), 0);
    assert_eq!(sound, noise);

    assert!(shorten(&mut sound, &Limits::voice(Hz48000, 960, -1.0)) > 0);
}

#[test]
fn silence_is_shortened_by_as_much_as_allowed() {
    let mut sound = vec![0i16; 160];

    assert_eq!(shorten(&mut sound, &Limits::voice(Hz8000, 50, 0.85)), 50);
    assert_eq!(sound.len(), 110);
}

proptest! {
    #[test]
    fn any_sound_and_any_limits_are_taken(
        sound in proptest::collection::vec(any::<i16>(), 0..400),
        least in 0usize..500,
        most in 0usize..500,
        alike_min in -1.0f32..1.0,
    ) {
        let limits = Limits { samples: least..=most, alike_min };
        let mut short = sound.clone();
        let cut = shorten(&mut short, &limits);
        prop_assert_eq!(short.len(), sound.len() - cut);
        prop_assert!(cut <= most);

        let mut long = sound.clone();
        let added = lengthen(&mut long, &limits);
        prop_assert_eq!(long.len(), sound.len() + added);
        prop_assert!(added <= most);
    }
}

fn steps(sound: &[i16]) -> i32 {
    sound
        .windows(2)
        .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
        .max()
        .unwrap()
}
