//! How far somebody who says how loud it is can be believed.
//!
//! The level of an object is its publisher's word. A loud word would take a seat from those who speak; so a level counts
//! only as far as speech can have it, and no further than what was measured where somebody decodes that voice. Not here:
//! who gets a seat, see [`speakers`](crate::speakers).

use crate::level::{AudioLevel, Level};

/// What is believed of one publisher's levels, in ticks of 20 ms.
///
/// Call [`say`](Self::say) for each object as it comes and [`tick`](Self::tick) every 20 ms.
#[derive(Clone, Debug)]
pub struct Claims {
    /// What the newest object said; `None`: nothing.
    said: Option<AudioLevel>,
    /// Ticks for which that is to be given out.
    due: u32,
    /// Ticks without a pause, and of the pause that there is.
    voiced: u32,
    pause: u32,
    /// The range of claims in this second of voice, and in the one before.
    now: Range,
    before: Option<Range>,
    steady: bool,
    loudest: Loudest,
}

/// The loudest that counts, in -dBov: 20 ms of speech at a good level stay below. Who says more gains nothing.
pub const LOUDEST: Level = Level::new(12);

/// What somebody counts as who says no level or is not believed: far softer than anything that a
/// [`Meter`](crate::level::Meter) takes for voice, so that everybody ousts it and it takes no seat from who pauses
/// between two sentences, and still a voice, so that it is heard while there is room.
pub const SOFT: Level = Level::new(120);

/// Within 2 s of speech syllables are louder and softer by more than this, in dB; what is not is a hum, or an invention.
pub const SPREAD_DB: u8 = 6;

/// Speech pauses: within 10 s there is one. Recordings of announcements have one every 1.5 s at least.
pub const BREATH_TICKS: u32 = 500;

/// A pause, 100 ms.
pub const PAUSE_TICKS: u32 = 5;

/// It is silent, or softer by this, in dB, than the loudest of the last second.
pub const PAUSE_DB: u8 = 12;

/// What is measured may be softer than what is said by this, in dB: not everybody measures alike.
pub const MEASURE_DB: u8 = 6;

/// Measurements are made for so many ticks each.
pub const MEASURE_TICKS: u32 = 25;

/// Objects that come late and then at once say how loud it was, 100 ms at most: a burst does not hold a seat.
const DUE_MAX: u32 = 5;

/// Ticks of voice whose range is taken together.
const RANGE_TICKS: u32 = 50;

/// Measurements that are looked at together. They are later than what was said by a jitter buffer, at most half a
/// second: in 2.5 s of them is everything that was said from 2 s to half a second ago.
const MEASUREMENTS: usize = 5;

/// That, in units of [`MEASURE_TICKS`], and the one that goes on.
const CLAIMS: usize = 4;
const COMPARED: core::ops::Range<usize> = 2..CLAIMS;

impl Claims {
    /// Makes it for somebody who has said nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            said: None,
            due: 0,
            voiced: 0,
            pause: 0,
            now: Range::NONE,
            before: None,
            steady: false,
            loudest: Loudest::default(),
        }
    }

    /// Takes what an object of `ticks` says; `None`: nothing.
    pub fn say(&mut self, level: Option<AudioLevel>, ticks: u32) {
        self.said = level;
        self.due = (self.due + ticks).min(DUE_MAX);
    }

    /// Takes that nothing is sent from now on.
    pub fn fall_silent(&mut self) {
        self.due = 0;
    }

    /// Takes the loudest 20 ms that were measured within the last [`MEASURE_TICKS`].
    pub fn measure(&mut self, level: AudioLevel) {
        self.loudest.measure(level);
    }

    /// Ends a tick; returns how loud it was as far as that is believed, `None` when nothing was said.
    pub fn tick(&mut self) -> Option<AudioLevel> {
        let said = (self.due > 0).then_some(self.said);
        self.due = self.due.saturating_sub(1);
        let voice = match said {
            Some(Some(said)) => said.voice.then_some(said.level),
            Some(None) => Some(SOFT),
            None => None,
        };
        self.loudest.tick(voice);
        if voice.is_none_or(|level| self.is_pause(level)) {
            self.pause = self.pause.saturating_add(1);
        } else {
            self.pause = 0;
        }
        self.voiced = if self.pause < PAUSE_TICKS {
            self.voiced.saturating_add(1)
        } else {
            0
        };
        let Some(level) = voice else {
            return said.flatten();
        };
        self.spread(level);
        let level = if self.steady || self.voiced > BREATH_TICKS {
            SOFT
        } else {
            self.loudest.believed(level.max(LOUDEST))
        };
        Some(AudioLevel { level, voice: true })
    }

    fn is_pause(&self, level: Level) -> bool {
        let before = self.before.unwrap_or(Range::NONE);
        level.minus_dbov() >= before.with(self.now).loudest.saturating_add(PAUSE_DB)
    }

    /// Looks whether claims move.
    fn spread(&mut self, level: Level) {
        self.now.add(level);
        if self.steady && self.before.is_some_and(|it| it.with(self.now).moves()) {
            self.steady = false;
        }
        if self.now.ticks == RANGE_TICKS {
            let before = self.before.replace(self.now);
            self.steady = before.is_some_and(|it| !it.with(self.now).moves());
            self.now = Range::NONE;
        }
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self::new()
    }
}

/// The range of some levels, in -dBov.
#[derive(Clone, Copy, Debug)]
struct Range {
    loudest: u8,
    softest: u8,
    ticks: u32,
}

impl Range {
    const NONE: Self = Self {
        loudest: 127,
        softest: 0,
        ticks: 0,
    };

    fn add(&mut self, level: Level) {
        self.loudest = self.loudest.min(level.minus_dbov());
        self.softest = self.softest.max(level.minus_dbov());
        self.ticks += 1;
    }

    fn with(self, other: Self) -> Self {
        Self {
            loudest: self.loudest.min(other.loudest),
            softest: self.softest.max(other.softest),
            ticks: self.ticks + other.ticks,
        }
    }

    fn moves(self) -> bool {
        self.softest.saturating_sub(self.loudest) >= SPREAD_DB
    }
}

/// The loudest that was said and that was measured, in -dBov, within some units of [`MEASURE_TICKS`], the newest first.
#[derive(Clone, Debug)]
struct Loudest {
    said: [u8; CLAIMS],
    measured: [u8; MEASUREMENTS],
    /// How many of those are there.
    measurements: usize,
    /// Ticks since the last of either.
    ticks: u32,
    since: u32,
    /// How much louder it says than it is, in dB.
    excess: u8,
}

impl Default for Loudest {
    fn default() -> Self {
        Self {
            said: [SILENT; CLAIMS],
            measured: [SILENT; MEASUREMENTS],
            measurements: 0,
            ticks: 0,
            since: 0,
            excess: 0,
        }
    }
}

const SILENT: u8 = 127;

impl Loudest {
    fn tick(&mut self, voice: Option<Level>) {
        self.ticks += 1;
        if self.ticks >= MEASURE_TICKS {
            self.ticks = 0;
            self.said.rotate_right(1);
            self.said[0] = SILENT;
        }
        if let Some(level) = voice {
            self.said[0] = self.said[0].min(level.minus_dbov());
        }
        self.since = self.since.saturating_add(1);
        if self.since > MEASURE_TICKS * MEASUREMENTS as u32 {
            // Nobody decodes it any more.
            self.measurements = 0;
            self.excess = 0;
        }
    }

    fn measure(&mut self, level: AudioLevel) {
        self.since = 0;
        self.measured.rotate_right(1);
        self.measured[0] = if level.voice {
            level.level.minus_dbov()
        } else {
            SILENT
        };
        self.measurements = (self.measurements + 1).min(MEASUREMENTS);
        if self.measurements < MEASUREMENTS {
            return;
        }
        let said = self.said[COMPARED].iter().min().copied().unwrap_or(SILENT);
        let measured = self.measured.iter().min().copied().unwrap_or(SILENT);
        let excess = measured.saturating_sub(said);
        self.excess = if excess > MEASURE_DB { excess } else { 0 };
    }

    fn believed(&self, level: Level) -> Level {
        Level::new(level.minus_dbov().saturating_add(self.excess)).min(SOFT)
    }
}
