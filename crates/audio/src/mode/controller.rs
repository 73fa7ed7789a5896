use core::time::Duration;

use super::{Length, Mode};

/// What a voice is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Least delay and best sound that the way allows: 10 or 20 ms, up to the highest bitrate.
    Quality,
    /// Few bytes: 40 ms, the base bitrate and less.
    Saving,
}

/// What was measured since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// The part of packets that were lost, 0 to 1.
    pub loss: f64,
    /// What the way carries for this voice, bits per second; `None`: nobody knows.
    pub bandwidth_bps: Option<u32>,
}

/// Chooses the mode.
///
/// Give it a [`handle`](Self::handle) whenever something was measured, every few seconds; then look
/// at [`mode`](Self::mode). It goes to a more careful mode at once and back only after
/// [`PATIENCE`] of good news.
#[derive(Clone, Debug)]
pub struct Controller {
    aim: Aim,
    base_bps: u32,
    length_min: Length,
    loss: f64,
    /// Since when loss was small, and since when a richer rung would have fitted.
    calm_since: Option<Duration>,
    fits_since: Option<Duration>,
    lossy: bool,
    rung: usize,
    fec_percent: u8,
}

/// How long it must be better before it is believed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// From this loss on packets are short and repeat each other; below the second it is over.
const LOSS_BEGIN: f64 = 0.01;
const LOSS_END: f64 = 0.005;

/// What Opus spends on the packet before: for this share of loss, at least and at most.
const FEC_PERCENT: core::ops::RangeInclusive<f64> = 5.0..=30.0;

/// The part of the bandwidth that a voice may take: the rest is for what else the way carries, and
/// for the estimate's error.
const SHARE: f64 = 0.75;

/// Opus for voice at the least and at the most.
const BITRATE_BPS: core::ops::RangeInclusive<u32> = 12_000..=64_000;

/// A rung of the ladder: length, and the part of the base bitrate in percent.
type Rung = (Length, u32);

/// From the richest to the poorest.
const QUALITY: [Rung; 6] = [
    (Length::Ms10, 200),
    (Length::Ms20, 133),
    (Length::Ms20, 100),
    (Length::Ms40, 83),
    (Length::Ms60, 67),
    (Length::Ms60, 50),
];
const SAVING: [Rung; 4] = [
    (Length::Ms40, 100),
    (Length::Ms40, 83),
    (Length::Ms60, 67),
    (Length::Ms60, 50),
];
/// While packets are lost: none longer than it must be.
const LOSSY: [Rung; 4] = [
    (Length::Ms20, 100),
    (Length::Ms20, 83),
    (Length::Ms40, 67),
    (Length::Ms60, 50),
];

impl Controller {
    /// Makes a controller for a source whose pieces are `length_min` long; `base_bps` is what 100 %
    /// is, put between 12 and 64 kbit/s.
    #[must_use]
    pub fn new(aim: Aim, base_bps: u32, length_min: Length) -> Self {
        let mut controller = Self {
            aim,
            base_bps: base_bps.clamp(*BITRATE_BPS.start(), *BITRATE_BPS.end()),
            length_min,
            loss: 0.0,
            calm_since: None,
            fits_since: None,
            lossy: false,
            rung: 0,
            fec_percent: 0,
        };
        // Of an unknown way nobody asks for more than the usual.
        controller.rung = controller.usual();
        controller
    }

    /// Returns how the voice is to be sent.
    #[must_use]
    pub fn mode(&self) -> Mode {
        Mode {
            fec_percent: self.fec_percent,
            ..self.mode_at(self.rung)
        }
    }

    /// Takes what was measured up to `now`.
    pub fn handle(&mut self, report: Report, now: Duration) {
        // Bad news counts at once, good news by and by.
        self.loss = report.loss.clamp(0.0, 1.0).max(self.loss * 0.5);
        self.follow_loss(now);
        if let Some(bandwidth) = report.bandwidth_bps {
            self.handle_bandwidth(bandwidth, now);
        }
    }

    /// Takes what the way carried at `now`, bits per second, by itself: it may be known more often than loss is.
    pub fn handle_bandwidth(&mut self, bandwidth_bps: u32, now: Duration) {
        let budget = (f64::from(bandwidth_bps) * SHARE) as u32;
        let fits = |rung: usize| self.mode_at(rung).wire_bps() <= budget;
        let last = self.ladder().len() - 1;
        let best = (0..=last).find(|rung| fits(*rung)).unwrap_or(last);
        if best >= self.rung {
            self.rung = best;
            self.fits_since = None;
        } else if passed(&mut self.fits_since, now) {
            // One rung at a time: an estimate of an unused way is a guess.
            self.rung -= 1;
            self.fits_since = None;
        }
    }

    /// Returns whether the way is too narrow for the usual mode.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        self.rung > self.usual()
    }

    fn follow_loss(&mut self, now: Duration) {
        if self.loss >= LOSS_BEGIN {
            self.calm_since = None;
            if !self.lossy {
                self.lossy = true;
                self.rung = 0;
                self.fits_since = None;
            }
        } else if self.loss >= LOSS_END {
            self.calm_since = None;
        } else if self.lossy && passed(&mut self.calm_since, now) {
            self.lossy = false;
            self.rung = self.usual();
            self.fits_since = None;
        }
        self.fec_percent = if self.lossy {
            // Half as much again: loss comes in bursts.
            let percent = self.loss * 150.0;
            percent.clamp(*FEC_PERCENT.start(), *FEC_PERCENT.end()) as u8
        } else {
            0
        };
    }

    fn usual(&self) -> usize {
        match self.aim {
            Aim::Quality if !self.lossy => 2,
            Aim::Quality | Aim::Saving => 0,
        }
    }

    fn ladder(&self) -> &'static [Rung] {
        match self.aim {
            _ if self.lossy => &LOSSY,
            Aim::Quality => &QUALITY,
            Aim::Saving => &SAVING,
        }
    }

    fn mode_at(&self, rung: usize) -> Mode {
        let (length, percent) = self.ladder()[rung];
        let bitrate_bps = self.base_bps * percent / 100;
        Mode {
            length: length.max(self.length_min),
            bitrate_bps: bitrate_bps.clamp(*BITRATE_BPS.start(), *BITRATE_BPS.end()),
            fec_percent: 0,
        }
    }
}

/// Tells whether [`PATIENCE`] has passed since the first of these calls in a row.
fn passed(since: &mut Option<Duration>, now: Duration) -> bool {
    now.saturating_sub(*since.get_or_insert(now)) >= PATIENCE
}
