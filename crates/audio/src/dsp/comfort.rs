use crate::level::{Level, SILENCE};
use crate::mix::soften;

/// Soft noise in place of silence that was not sent, so that nobody thinks the line is dead.
///
/// White noise through one pole, which sounds like a room. It comes and goes within a frame.
#[derive(Clone, Debug)]
pub struct ComfortNoise {
    random: u32,
    pole: f32,
    /// Amplitude at the end of the last frame.
    now: f32,
}

/// Louder noise, -dBov, is not imitated: a machine hall does not comfort.
pub const LOUDEST: Level = Level::new(42);

/// Softer noise, -dBov, is not heard.
pub const SOFTEST: Level = Level::new(80);

/// How much of a new value the pole takes.
const MIX: f32 = 0.3;

/// Root mean square of what [`ComfortNoise::next`] makes: uniform noise of ±1 has 1/sqrt(3), the
/// pole leaves sqrt(MIX / (2 - MIX)) of it.
const NEXT_RMS: f32 = 0.577_35 * 0.420_08;

impl ComfortNoise {
    /// Makes a generator that is silent; the same seed makes the same noise.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self {
            random: seed | 1,
            pole: 0.0,
            now: 0.0,
        }
    }

    /// Adds noise of `level` to the next frame; [`SILENCE`] lets it fade out. Levels above
    /// [`LOUDEST`] count as that, below [`SOFTEST`] as silence.
    pub fn add(&mut self, level: Level, out: &mut [i16]) {
        let wanted = amplitude(level);
        if wanted == 0.0 && self.now == 0.0 {
            return;
        }
        let step = (wanted - self.now) / out.len().max(1) as f32;
        for sample in out {
            self.now += step;
            let noise = self.next() * self.now;
            *sample = soften(i32::from(*sample) + noise as i32);
        }
        self.now = wanted;
    }

    fn next(&mut self) -> f32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let white = self.random as i32 as f32 / 2_147_483_648.0;
        self.pole += MIX * (white - self.pole);
        self.pole
    }
}

fn amplitude(level: Level) -> f32 {
    if level == SILENCE || level > SOFTEST {
        return 0.0;
    }
    let db = f32::from(level.max(LOUDEST).minus_dbov());
    10f32.powf(-db / 20.0) * 32_768.0 / NEXT_RMS
}
