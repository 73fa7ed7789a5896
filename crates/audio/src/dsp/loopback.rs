use core::time::Duration;

use crate::FRAME_DURATION;
use crate::level::Level;

/// Finds out whether what comes back on a line is what was sent into it: an echo, or a loop.
///
/// It compares how the levels of 20 ms frames go up and down, at lags up to a second, over the last
/// ten. Two people's speech never agrees for so long; a steady sound says nothing and is not judged.
#[derive(Clone, Debug)]
pub struct LoopWatch {
    /// What was sent, dB above [`FLOOR_DB`], newest at `at`.
    sent: [f32; LAGS],
    at: usize,
    sent_mean: f32,
    heard_mean: f32,
    sent_power: f32,
    heard_power: f32,
    product: [f32; LAGS],
    frames: u32,
    alike_frames: u32,
    told: bool,
}

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loop {
    /// How long after it was sent, to 20 ms.
    pub delay: Duration,
    /// How much softer, dB.
    pub loss_db: f32,
}

/// 1 s: what comes back later is somebody's answer.
const LAGS: usize = 50;

/// Levels below this are one silence, dBov.
const FLOOR_DB: f32 = -66.0;

/// Memory of the comparison, in frames: 10 s.
const MEMORY: f32 = 500.0;

/// Nothing is said of the first 6 s: too little was compared.
const FRAMES_MIN: u32 = 300;

/// Deviation of the levels below which a sound is steady, dB.
const LIVELY_DB: f32 = 5.0;

/// How alike the two must be, and for how long: 3 s.
const ALIKE: f32 = 0.85;
const ALIKE_FRAMES: u32 = 150;

/// How little alike they must be before another loop is told.
const UNLIKE: f32 = 0.5;

impl LoopWatch {
    /// Makes a watch that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sent: [0.0; LAGS],
            at: 0,
            sent_mean: 0.0,
            heard_mean: 0.0,
            sent_power: 0.0,
            heard_power: 0.0,
            product: [0.0; LAGS],
            frames: 0,
            alike_frames: 0,
            told: false,
        }
    }

    /// Takes the levels of one tick: what is sent now, and what was heard meanwhile. Returns a loop
    /// once, when it is certain.
    pub fn handle(&mut self, sent: Level, heard: Level) -> Option<Loop> {
        self.frames = self.frames.saturating_add(1);
        // A plain mean at first, so that the beginning does not count for ever.
        let part = 1.0 / MEMORY.min(self.frames as f32);
        let heard = above_floor(heard);
        self.at = (self.at + 1) % LAGS;
        self.sent[self.at] = above_floor(sent);
        self.sent_mean += part * (self.sent[self.at] - self.sent_mean);
        self.heard_mean += part * (heard - self.heard_mean);
        let (off_sent, off_heard) = (self.sent[self.at] - self.sent_mean, heard - self.heard_mean);
        self.sent_power += part * (off_sent * off_sent - self.sent_power);
        self.heard_power += part * (off_heard * off_heard - self.heard_power);
        // The ring in two straight runs: lag 0 is at `at`, lag 1 before it, and so on round.
        let (newer, older) = self.sent.split_at(self.at + 1);
        let by_lag = newer.iter().rev().chain(older.iter().rev());
        for (product, sent) in self.product.iter_mut().zip(by_lag) {
            *product += part * ((sent - self.sent_mean) * off_heard - *product);
        }
        self.judge()
    }

    fn judge(&mut self) -> Option<Loop> {
        let lively = LIVELY_DB * LIVELY_DB;
        if self.frames < FRAMES_MIN || self.sent_power < lively || self.heard_power < lively {
            self.alike_frames = 0;
            return None;
        }
        let start = (0, f32::NEG_INFINITY);
        let (lag, product) =
            self.product
                .iter()
                .enumerate()
                .fold(start, |best, (lag, &product)| {
                    if product > best.1 {
                        (lag, product)
                    } else {
                        best
                    }
                });
        let alike = product / (self.sent_power * self.heard_power).sqrt();
        if alike < UNLIKE {
            self.told = false;
        }
        self.alike_frames = if alike < ALIKE {
            0
        } else {
            self.alike_frames + 1
        };
        if self.alike_frames < ALIKE_FRAMES || self.told {
            return None;
        }
        self.told = true;
        Some(Loop {
            delay: FRAME_DURATION * lag as u32,
            loss_db: self.sent_mean - self.heard_mean,
        })
    }
}

impl Default for LoopWatch {
    fn default() -> Self {
        Self::new()
    }
}

fn above_floor(level: Level) -> f32 {
    (-f32::from(level.minus_dbov()) - FLOOR_DB).max(0.0)
}
