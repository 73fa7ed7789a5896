//! Sample-rate conversion: exact length, flat pass band, deep stop band, little delay.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::sine;
use moqrelay_audio::resample::Resampler;
use moqrelay_audio::tone::Detector;
use moqrelay_audio::{SampleRate, level};

const PEAK: f64 = 20_000.0;

#[test]
fn whole_frames_give_whole_frames_between_all_rates() {
    for from in SampleRate::ALL {
        for to in SampleRate::ALL {
            let mut resampler = Resampler::new(from, to);
            for number in 0..3 {
                let mut out = Vec::new();
                resampler.process(&sine(from, 440.0, PEAK, number), &mut out);
                assert_eq!(
                    out.len(),
                    to.frame_samples(),
                    "{from} to {to}, frame {number}"
                );
            }
        }
    }
}

#[test]
fn the_way_the_input_is_cut_does_not_matter() {
    let from = SampleRate::Hz44100;
    let input: Vec<i16> = (0..10).flat_map(|n| sine(from, 700.0, PEAK, n)).collect();
    let mut whole = Vec::new();
    Resampler::new(from, SampleRate::Hz48000).process(&input, &mut whole);

    let mut pieces = Vec::new();
    let mut resampler = Resampler::new(from, SampleRate::Hz48000);
    for piece in input.chunks(17) {
        resampler.process(piece, &mut pieces);
    }

    assert_eq!(pieces, whole);
}

#[test]
fn a_tone_in_the_pass_band_keeps_its_level_and_nothing_is_added() {
    for (from, to) in odd() {
        let lower = f64::from(from.min(to).hz());
        for part in [0.01, 0.1, 0.2, 0.3, 0.4] {
            let hz = lower * part;
            let out = convert(from, to, hz);

            let detector = Detector::new(to, hz as f32);
            let level = detector.dbov(&out);
            let want = 20.0 * (PEAK / 32_768.0 / 2f64.sqrt()).log10();
            assert!(
                (f64::from(level) - want).abs() < 0.1,
                "{from} to {to}, {hz} Hz: {level}"
            );
            let noise = 10.0 * (1.0 - detector.purity(&out)).max(1e-12).log10();
            assert!(
                noise < -60.0,
                "{from} to {to}, {hz} Hz: {noise} dB beside the tone"
            );
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_carry_is_gone() {
    for (from, to) in odd().into_iter().filter(|(from, to)| from > to) {
        for part in [0.5, 0.55, 0.7, 0.9] {
            let hz = f64::from(to.hz()) * part;
            if hz >= f64::from(from.hz()) / 2.0 {
                continue;
            }
            let out = convert(from, to, hz);

            // The tone went in at -7 dBov: 81 dB down.
            let left = level::dbov(&out);
            assert!(left < -88.0, "{from} to {to}, {hz} Hz: {left} dBov left");
        }
    }
}

#[test]
fn a_click_comes_out_within_two_milliseconds() {
    for (from, to) in odd() {
        let mut input = vec![0; from.frame_samples()];
        input[0] = 30_000;
        let mut out = Vec::new();
        Resampler::new(from, to).process(&input, &mut out);

        let peak = (0..out.len())
            .max_by_key(|i| out[*i].unsigned_abs())
            .unwrap();
        let delay_ms = peak as f64 * 1e3 / f64::from(to.hz());
        assert!(delay_ms <= 2.0, "{from} to {to}: {delay_ms} ms");
        assert!(delay_ms >= 0.3, "{from} to {to}: {delay_ms} ms");
    }
}

/// AudioSocket's odd rates to the codec's, back, and one between the codec's own.
fn odd() -> Vec<(SampleRate, SampleRate)> {
    let odd = [
        SampleRate::Hz32000,
        SampleRate::Hz44100,
        SampleRate::Hz96000,
        SampleRate::Hz192000,
    ];
    let mut pairs: Vec<_> = odd
        .into_iter()
        .map(|from| (from, SampleRate::Hz48000))
        .collect();
    pairs.extend([
        (SampleRate::Hz48000, SampleRate::Hz32000),
        (SampleRate::Hz48000, SampleRate::Hz44100),
        (SampleRate::Hz48000, SampleRate::Hz96000),
        (SampleRate::Hz44100, SampleRate::Hz32000),
    ]);
    pairs
}

/// A second of a sine, so that whole Hz make whole periods, after the start has settled.
fn convert(from: SampleRate, to: SampleRate, hz: f64) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to);
    let mut out = Vec::new();
    for number in 0..52 {
        resampler.process(&sine(from, hz, PEAK, number), &mut out);
    }
    out.split_off(2 * to.frame_samples())
}
