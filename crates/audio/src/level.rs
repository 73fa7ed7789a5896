//! How loud a sound is (RFC 6464) and whether someone speaks.

use crate::Sample;

/// The level of digital silence, and the lowest that RFC 6464 can say.
pub const SILENCE: Level = Level(127);

/// A level in -dBov: 0 is a square wave at full scale, 3 a full-scale sine, 127 silence
/// (RFC 6464 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// Measures samples: their RMS against full scale, rounded; none at all are silence.
    #[must_use]
    pub fn of<S: Sample>(samples: &[S]) -> Self {
        let rms = rms(samples);
        if rms <= 0.0 {
            return SILENCE;
        }
        Self((-20.0 * rms.log10()).round().clamp(0.0, 127.0) as u8)
    }

    /// Makes a level of -dBov; above 127 is 127.
    #[must_use]
    pub const fn new(minus_dbov: u8) -> Self {
        Self(if minus_dbov > 127 { 127 } else { minus_dbov })
    }

    /// Returns the level in -dBov, 0 (loudest) to 127 (silence).
    #[must_use]
    pub const fn minus_dbov(self) -> u8 {
        self.0
    }
}

/// Level and voice activity of one frame: the value of the property Audio Level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// How loud.
    pub level: Level,
    /// Whether it is probably speech.
    pub voice: bool,
}

impl AudioLevel {
    /// Silence without voice.
    pub const SILENCE: Self = Self {
        level: SILENCE,
        voice: false,
    };

    /// Returns the octet: bits 0 to 6 the level, bit 7 the voice (our docs/protocol.md section 3).
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.level.0 | (self.voice as u8) << 7
    }

    /// Reads the octet.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self {
            level: Level(byte & 0x7f),
            voice: byte & 0x80 != 0,
        }
    }
}

/// Measures a track frame by frame and tells voice from background noise.
///
/// The floor follows the quietest frames within seconds; voice is what stands out of it by
/// [`MARGIN_DB`], and holds on for [`HANGOVER_FRAMES`] so that word ends are kept.
#[derive(Clone, Debug)]
pub struct Meter {
    floor_db: f32,
    hangover: u8,
}

/// What voice must be louder than the noise, in dB.
pub const MARGIN_DB: f32 = 9.0;

/// 200 ms of 20 ms frames: gaps within words are shorter.
pub const HANGOVER_FRAMES: u8 = 10;

/// Below this, in -dBov, nothing is voice whatever the floor.
pub const QUIET: Level = Level(60);

impl Meter {
    /// Makes a meter.
    #[must_use]
    pub fn new() -> Self {
        Self {
            floor_db: FLOOR_MAX_DB,
            hangover: 0,
        }
    }

    /// Measures the next frame of about 20 ms.
    pub fn measure<S: Sample>(&mut self, samples: &[S]) -> AudioLevel {
        let level = Level::of(samples);
        let db = -f32::from(level.0);
        if db < self.floor_db {
            self.floor_db = db.max(FLOOR_MIN_DB);
        } else {
            self.floor_db = (self.floor_db + FLOOR_RISE_DB).min(FLOOR_MAX_DB);
        }
        if level < QUIET && db > self.floor_db + MARGIN_DB {
            self.hangover = HANGOVER_FRAMES;
        } else {
            self.hangover = self.hangover.saturating_sub(1);
        }
        AudioLevel {
            level,
            voice: self.hangover > 0,
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

/// The floor climbs 3 dB a second: a fan that starts is noise after some seconds.
const FLOOR_RISE_DB: f32 = 0.06;
const FLOOR_MIN_DB: f32 = -80.0;
/// A steady tone or music on hold counts as voice: it never lifts the floor above this.
const FLOOR_MAX_DB: f32 = -45.0;

/// Returns the root mean square with full scale 1; 0 without samples.
#[must_use]
pub fn rms<S: Sample>(samples: &[S]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    (S::power(samples) / samples.len() as f64).sqrt() as f32
}

/// Returns the RMS in dBov, exactly rather than rounded; silence is -127.
#[must_use]
pub fn dbov<S: Sample>(samples: &[S]) -> f32 {
    (20.0 * rms(samples).log10()).max(-127.0)
}
