//! What the noise suppressor does to noise, to speech and to what is neither.

#![cfg(feature = "noise")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use core::f64::consts::TAU;

use common::{Rng, sine};
use moqrelay_audio::SampleRate;
use moqrelay_audio::dsp::NoiseSuppressor;
use moqrelay_audio::level::dbov;

const RATES: [SampleRate; 5] = [
    SampleRate::Hz8000,
    SampleRate::Hz12000,
    SampleRate::Hz16000,
    SampleRate::Hz24000,
    SampleRate::Hz48000,
];

/// Words of 1.2 s, pauses of 0.8 s.
const PERIOD: usize = 100;
const WORD: usize = 60;

/// Twelve seconds, of which the last four are judged.
const FRAMES: usize = 600;
const JUDGED: usize = 400;

#[test]
fn noise_in_pauses_is_lowered_and_speech_is_kept() {
    for rate in RATES {
        let heard = talk(rate, 160.0);
        let made = suppressed(rate, &heard);

        let (before, after) = (pauses(rate, &heard), pauses(rate, &made));
        assert!(after < before - 9.0, "{rate}: noise {before} to {after}");
        let (before, after) = (words(rate, &heard), words(rate, &made));
        assert!(
            (after - before).abs() < 1.0,
            "{rate}: speech {before} to {after}"
        );
    }
}

#[test]
fn clean_speech_comes_out_later_and_as_it_was() {
    for rate in RATES {
        let heard = talk(rate, 1.0);
        let delay = NoiseSuppressor::new(rate).unwrap().delay_samples();
        let made = suppressed(rate, &heard);

        // A word and no more: what is between words is lowered.
        let word = JUDGED * rate.frame_samples()..(JUDGED + WORD - 2) * rate.frame_samples();
        let likeness = |lag: usize| likeness(&heard[word.clone()], &made[word.start + lag..]);
        let best = (0..2 * delay).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)));
        let best = best.unwrap_or_default();
        assert!(
            best.abs_diff(delay) <= 1 && likeness(delay) > 0.9,
            "{rate}: {delay} samples late, at {best} {} alike, there {}",
            likeness(best),
            likeness(delay)
        );
        assert!(
            rate.duration_of(delay).as_millis() <= 15,
            "{rate}: {delay} samples late"
        );
    }
}

#[test]
fn what_a_voice_has_above_8_khz_is_kept_while_it_speaks() {
    let rate = SampleRate::Hz48000;
    let mut heard = talk(rate, 10.0);
    let mut rng = Rng::new(9);
    for (number, frame) in heard.chunks_mut(rate.frame_samples()).enumerate() {
        if number % PERIOD < WORD {
            let hiss = sine(rate, 11_000.0, 500.0, number as u64);
            for (sample, hiss) in frame.iter_mut().zip(hiss) {
                // An "s" has all frequencies.
                let breath = (2.0 * rng.unit() - 1.0) * 1_500.0;
                *sample = sample.saturating_add(hiss + breath as i16);
            }
        }
    }

    let made = suppressed(rate, &heard);

    let level = |samples: &[i16]| {
        moqrelay_audio::tone::Detector::new(rate, 11_000.0)
            .dbov(&samples[JUDGED * 960..(JUDGED + WORD) * 960])
    };
    let lost = level(&heard) - level(&made);
    assert!(lost < 3.0, "{lost} dB lost");
}

#[test]
fn silence_stays_silence_and_nothing_overflows() {
    for rate in RATES {
        let mut suppressor = NoiseSuppressor::new(rate).unwrap();
        let mut frame = vec![0; rate.frame_samples()];
        for _ in 0..50 {
            suppressor.process(&mut frame);
            assert!(frame.iter().all(|sample| *sample == 0), "{rate}");
        }
        for number in 0..100 {
            let sign = if number % 2 == 0 { i16::MAX } else { i16::MIN };
            frame.fill(sign);
            suppressor.process(&mut frame);
        }
        frame.fill(0);
        for _ in 0..50 {
            frame.fill(0);
            suppressor.process(&mut frame);
        }
        assert!(dbov(&frame) < -60.0, "{rate}: {}", dbov(&frame));
    }
}

#[test]
fn only_rates_of_opus_are_served() {
    for rate in SampleRate::ALL {
        assert_eq!(NoiseSuppressor::new(rate).is_some(), rate.is_opus());
    }
}

/// Syllables of a gliding voice at about -21 dBov with noise of `peak` behind them.
fn talk(rate: SampleRate, peak: f64) -> Vec<i16> {
    let mut rng = Rng::new(3);
    let step = 1.0 / f64::from(rate.hz());
    let mut phase = 0.0;
    (0..FRAMES * rate.frame_samples())
        .map(|at| {
            let t = at as f64 * step;
            let frame = at / rate.frame_samples();
            phase += step * (130.0 + 30.0 * (TAU * 0.7 * t).sin());
            let noise = (2.0 * rng.unit() - 1.0) * peak;
            if frame % PERIOD >= WORD {
                return noise as i16;
            }
            let syllable = (TAU * 2.0 * t).sin().abs().sqrt();
            let voice: f64 = (1..24)
                .map(|harmonic| {
                    (TAU * phase * f64::from(harmonic)).sin() / f64::from(harmonic).sqrt()
                })
                .sum();
            (voice * syllable * 1_800.0 + noise) as i16
        })
        .collect()
}

/// The correlation of both, -1 to 1.
fn likeness(a: &[i16], b: &[i16]) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        (ab, aa, bb) = (ab + a * b, aa + a * a, bb + b * b);
    }
    ab / (aa * bb).sqrt().max(1.0)
}

fn suppressed(rate: SampleRate, heard: &[i16]) -> Vec<i16> {
    let mut suppressor = NoiseSuppressor::new(rate).unwrap();
    let mut made = heard.to_vec();
    for frame in made.chunks_mut(rate.frame_samples()) {
        suppressor.process(frame);
    }
    made
}

/// The level within words, without the two frames at either end that a delay moves.
fn words(rate: SampleRate, samples: &[i16]) -> f32 {
    level(rate, samples, 2..WORD - 2)
}

fn pauses(rate: SampleRate, samples: &[i16]) -> f32 {
    level(rate, samples, WORD + 10..PERIOD - 2)
}

fn level(rate: SampleRate, samples: &[i16], of: core::ops::Range<usize>) -> f32 {
    let frames = samples
        .chunks(rate.frame_samples())
        .enumerate()
        .skip(JUDGED);
    let chosen: Vec<i16> = frames
        .filter(|(number, _)| of.contains(&(number % PERIOD)))
        .flat_map(|(_, frame)| frame.iter().copied())
        .collect();
    dbov(&chosen)
}
