use crate::level::{AudioLevel, rms};
use crate::mix::soften;

/// Brings speech to one loudness, slowly: loud telephones down, soft ones up.
///
/// It follows speech only (what its caller takes for voice), so pauses are not pumped up; within
/// [`TOLERANCE_DB`] of the target it does nothing, bit for bit. The gain never jumps: it is ramped
/// through each frame, and what would pass full scale is bent ([`soften`]).
#[derive(Clone, Debug)]
pub struct LevelControl {
    /// Mean power of speech so far, full scale being 1: silent frames within it count little.
    speech: Option<f32>,
    gain_db: f32,
    /// Factor at the end of the last frame.
    factor: f32,
}

/// Where speech is brought to, dBov: as loud as ITU-T P.56 recordings with some headroom less.
pub const TARGET_DBOV: f32 = -24.0;

/// What is loud enough already.
pub const TOLERANCE_DB: f32 = 4.0;

/// More would lift the noise of a line into the speech.
pub const GAIN_MAX_DB: f32 = 12.0;

/// A frame of 20 ms may be louder by this than the one before: 3 dB a second.
const RISE_DB: f32 = 0.06;

/// And softer by this, 12 dB a second: too loud hurts more than too soft.
const FALL_DB: f32 = 0.24;

/// -90 dBov: softer is no speech, and has no logarithm.
const POWER_MIN: f32 = 1e-9;

/// Time constant of the speech level, in frames of speech: 1.5 s.
const FOLLOW_FRAMES: f32 = 75.0;

impl LevelControl {
    /// Makes a control that has heard no speech.
    #[must_use]
    pub fn new() -> Self {
        Self {
            speech: None,
            gain_db: 0.0,
            factor: 1.0,
        }
    }

    /// Returns the gain, dB.
    #[must_use]
    pub fn gain_db(&self) -> f32 {
        self.gain_db
    }

    /// Changes the next 20 ms in place. `heard` is what they were before: level and whether they
    /// are voice.
    pub fn process(&mut self, samples: &mut [i16], heard: AudioLevel) {
        if heard.voice {
            self.listen(rms(samples).powi(2));
        }
        let from = self.factor;
        self.factor = if self.gain_db == 0.0 {
            1.0
        } else {
            10f32.powf(self.gain_db / 20.0)
        };
        if from == 1.0 && self.factor == 1.0 {
            return;
        }
        let step = (self.factor - from) / samples.len().max(1) as f32;
        for (i, sample) in samples.iter_mut().enumerate() {
            let factor = from + step * (i + 1) as f32;
            *sample = soften((f32::from(*sample) * factor) as i32);
        }
    }

    fn listen(&mut self, power: f32) {
        let speech = self.speech.get_or_insert(power);
        *speech += (power - *speech) / FOLLOW_FRAMES;
        let off = TARGET_DBOV - 10.0 * speech.max(POWER_MIN).log10();
        let wanted = if off.abs() <= TOLERANCE_DB {
            // Inside the tolerance nothing has to move, unless it is on its way back to nothing.
            self.gain_db.clamp(off - TOLERANCE_DB, off + TOLERANCE_DB)
        } else {
            (off - TOLERANCE_DB.copysign(off)).clamp(-GAIN_MAX_DB, GAIN_MAX_DB)
        };
        self.gain_db += (wanted - self.gain_db).clamp(-FALL_DB, RISE_DB);
    }
}

impl Default for LevelControl {
    fn default() -> Self {
        Self::new()
    }
}
