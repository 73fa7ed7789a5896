//! Levels by RFC 6464, and who speaks.

mod common;

use common::{Rng, sine, speech};
use moqrelay_audio::SampleRate::Hz8000;
use moqrelay_audio::level::{AudioLevel, Level, Meter, SILENCE};

#[test]
fn a_full_scale_square_is_0_and_a_sine_3() {
    let square: Vec<i16> = (0..160)
        .map(|i| if i % 8 < 4 { 32_767 } else { -32_768 })
        .collect();

    assert_eq!(Level::of(&square).minus_dbov(), 0);
    assert_eq!(Level::of(&sine(Hz8000, 400.0, 32_767.0, 0)).minus_dbov(), 3);
    assert_eq!(Level::of(&sine(Hz8000, 400.0, 3_276.7, 0)).minus_dbov(), 23);
}

#[test]
fn silence_is_127_and_the_least_step_is_not() {
    assert_eq!(Level::of(&[0i16; 160]), SILENCE);
    assert_eq!(Level::of::<i16>(&[]), SILENCE);
    assert_eq!(Level::of(&[1i16; 160]).minus_dbov(), 90);
    assert_eq!(Level::of(&[f32::NAN; 160]), SILENCE);
    assert_eq!(Level::of(&[f32::INFINITY; 160]).minus_dbov(), 0);
}

#[test]
fn the_octet_carries_level_and_voice() {
    let loud = AudioLevel {
        level: Level::new(26),
        voice: true,
    };

    assert_eq!(loud.to_byte(), 0x80 | 26);
    assert_eq!(AudioLevel::SILENCE.to_byte(), 127);
    for byte in 0..=255 {
        assert_eq!(AudioLevel::from_byte(byte).to_byte(), byte);
    }
}

#[test]
fn speech_is_voice_and_the_pause_after_it_is_not() {
    let mut meter = Meter::new();
    let voice: Vec<bool> = (0..200)
        .map(|n| meter.measure(&speech(Hz8000, n)).voice)
        .collect();

    // Talking from 0 to 59 and 100 to 159; the end is held for 10 frames.
    assert!(voice[..60].iter().all(|v| *v));
    assert!(voice[75..100].iter().all(|v| !*v));
    assert!(voice[100..160].iter().all(|v| *v));
}

#[test]
fn a_steady_noise_is_not_voice_for_long() {
    let mut rng = Rng::new(1);
    let mut meter = Meter::new();
    // A fan at about -58 dBov.
    let mut noise = || -> Vec<i16> {
        (0..160)
            .map(|_| ((rng.unit() - 0.5) * 140.0) as i16)
            .collect()
    };
    let voice: Vec<bool> = (0..500).map(|_| meter.measure(&noise()).voice).collect();

    assert!(voice[20..].iter().all(|v| !*v));
}
