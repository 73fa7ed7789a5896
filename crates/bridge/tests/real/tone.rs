//! Tones, made and found.

use std::f64::consts::TAU;

/// Returns samples of a sine, little endian, from sample `start` on.
pub fn sine(hz: f64, rate: u32, start: u32, count: u32) -> impl Iterator<Item = u8> {
    (start..start + count).flat_map(move |n| {
        let turn = TAU * hz * f64::from(n) / f64::from(rate);
        ((8000.0 * turn.sin()) as i16).to_le_bytes()
    })
}

/// Returns how much of the sound is the tone `hz`: 1 all of it, 0 nothing (Goertzel).
/// Sound below an RMS of 100 counts as silence.
pub fn strength(samples: &[i16], rate: u32, hz: f64) -> f64 {
    let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    if energy / (samples.len().max(1) as f64) < 100.0 * 100.0 {
        return 0.0;
    }
    let factor = 2.0 * (TAU * hz / f64::from(rate)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        (last, before) = (f64::from(*sample) + factor * last - before, last);
    }
    let power = last * last + before * before - factor * last * before;
    2.0 * power / (energy * samples.len() as f64)
}

/// Returns in how many of the sound's tenths of a second the tone `hz` is nearly all there is, from
/// 0 to 1. A digit, a gap or a late packet spoils a tenth or two.
pub fn share(samples: &[i16], rate: u32, hz: f64) -> f64 {
    let tenths = samples.chunks_exact(rate as usize / 10);
    let count = tenths.len().max(1);
    let good = tenths
        .filter(|tenth| strength(tenth, rate, hz) > 0.9)
        .count();
    good as f64 / count as f64
}

/// Returns the last `count` samples of a WAV file of 16 bit mono.
pub fn wav_tail(file: &[u8], count: usize) -> Vec<i16> {
    let samples: Vec<_> = file[44..]
        .chunks_exact(2)
        .map(|s| i16::from_le_bytes([s[0], s[1]]))
        .collect();
    samples[samples.len().saturating_sub(count)..].to_vec()
}
