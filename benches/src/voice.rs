//! Sound that is as much work for a codec as a voice is.

use std::f32::consts::TAU;

/// Seconds until it repeats.
const SECONDS: usize = 4;

/// Loudness of the loudest syllable, full scale being 1.
const PEAK: f32 = 0.3;

/// Four seconds of a pretended voice at `hz` samples a second: syllables of a gliding pitch with its harmonics,
/// hissing consonants, and pauses. The same on every call.
pub(crate) fn samples(hz: u32) -> Vec<i16> {
    let mut phase = 0.0_f32;
    let mut noise = 0x2545_f491_u32;
    (0..hz as usize * SECONDS)
        .map(|n| {
            let t = n as f32 / hz as f32;
            // Four syllables a second; every fifth one is a pause.
            let syllable = (t * 4.0).floor();
            let within = (t * 4.0).fract();
            let pitch = 110.0 + 30.0 * (syllable * 1.7).sin() + 20.0 * within;
            phase = (phase + pitch / hz as f32).fract();
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let hiss = noise as f32 / u32::MAX as f32 - 0.5;
            let loud = if syllable as usize % 5 == 4 {
                0.0
            } else {
                (within * TAU / 2.0).sin()
            };
            let vowel: f32 = (1..=20)
                .map(|k| (phase * k as f32 * TAU).sin() * formant(k as f32 * pitch, syllable))
                .sum();
            let hissing = if within < 0.2 { 0.3 } else { 0.02 };
            let sample = PEAK * loud * (vowel * 0.25 + hiss * hissing) + hiss * 0.001;
            (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16
        })
        .collect()
}

/// How much of a frequency a mouth lets out: two resonances that move from syllable to syllable.
fn formant(hz: f32, syllable: f32) -> f32 {
    let resonance = |centre: f32, width: f32| 1.0 / (1.0 + ((hz - centre) / width).powi(2));
    let low = 500.0 + 200.0 * (syllable * 2.3).sin();
    let high = 1600.0 + 600.0 * (syllable * 3.1).cos();
    resonance(low, 120.0) + 0.5 * resonance(high, 200.0)
}

#[cfg(test)]
mod tests {
    #[allow(unused_imports, reason = "a bench takes this file without its tests")]
    use super::*;

    #[test]
    fn it_is_loud_pauses_and_repeats_itself() {
        let voice = samples(16_000);

        assert_eq!(voice.len(), 64_000);
        assert_eq!(voice, samples(16_000));
        let peak = |part: &[i16]| part.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(
            peak(&voice) > 5_000 && peak(&voice) < 30_000,
            "{}",
            peak(&voice)
        );
        assert!(
            peak(&voice[16_400..19_600]) < 100,
            "the fifth syllable is a pause"
        );
    }
}
