//! When to change the length of what is played, and by how much.

use super::{Pace, When};
use crate::ticks::{self, GRAIN};

/// 2 ms beyond half a step: clocks that tremble must not start a correction.
const TREMBLE: i64 = 96;

/// 5 ms: with fine steps the delay may be off by this before it is touched.
const BAND_MIN: i64 = 240;

/// 100 ms: what is off only for a moment is left alone.
const PATIENCE: i64 = 4_800;

/// 1 s without a quiet frame: then in speech.
const PATIENCE_SPEECH: i64 = 48_000;

/// 5 s without anything alike: then anywhere.
const PATIENCE_ANY: i64 = 240_000;

/// Beyond 60 ms, delay is shed in speech at once, and beyond 200 ms anywhere.
const MUCH: i64 = 2_880;
const FAR: i64 = 9_600;

/// In speech one item in five is changed (one in two when much is off): 5 to 10 % faster.
const REST_ITEMS: u32 = 4;

/// What the pace is derived from, in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// By how much the delay at the time of the call exceeds the target.
    pub(super) over: i64,
    /// Sound that the player holds already.
    pub(super) ahead: i64,
    /// How much the player takes at a time.
    pub(super) step: i64,
}

impl Position {
    /// Returns what to take out (positive) or to put in (negative) so that the delay comes within
    /// half a step of the target.
    ///
    /// A player that takes whole steps asks for the next item at most a step early; that part of
    /// its delay protects from nothing, so it is always worth shedding. What is to be put in is a
    /// grain more than needed: a step that is missed by less would leave all of it useless.
    pub(super) fn excess(self) -> i64 {
        let half = self.step / 2;
        let band = band(self.step);
        let whole_steps = |off: i64| (off - half + self.step - 1) / self.step * self.step;
        if self.over > band {
            whole_steps(self.over) + self.ahead
        } else if self.over < -band {
            self.ahead.min(self.step) - whole_steps(-self.over) - GRAIN
        } else if self.step <= BAND_MIN || self.ahead < GRAIN {
            0
        } else if self.over < -half {
            // On the way to a step more: shedding would lead back to where this began.
            self.ahead.min(self.step) - self.step - GRAIN
        } else {
            self.ahead
        }
    }
}

/// Returns by how much the delay may be off: half of what the player takes at a time, as nothing
/// finer can be reached, and some more against trembling.
pub(super) fn band(step: i64) -> i64 {
    (step / 2 + TREMBLE).max(BAND_MIN)
}

/// Remembers for how long something has been off.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    off: Option<Off>,
    rested: u32,
}

#[derive(Clone, Copy, Debug)]
struct Off {
    since: i64,
    shorten: bool,
}

impl Pacer {
    /// Returns the pace of the item that is played now.
    pub(super) fn pace(&mut self, position: Position, at: i64) -> Pace {
        let excess = position.excess();
        if excess.abs() < GRAIN {
            self.off = None;
            return Pace::Keep;
        }
        let shorten = excess > 0;
        let off = match self.off {
            Some(off) if off.shorten == shorten && off.since <= at => off,
            _ => *self.off.insert(Off { since: at, shorten }),
        };
        let waited = at - off.since;
        if shorten {
            if waited < PATIENCE {
                return Pace::Keep;
            }
            let when = self.when(waited, position.over);
            Pace::Shorten(ticks::duration(excess), when)
        } else {
            // Too little delay: the next late item would leave a gap.
            let when = self.when(waited + PATIENCE_SPEECH, -position.over);
            Pace::Lengthen(ticks::duration(-excess), when)
        }
    }

    fn when(&mut self, waited: i64, off: i64) -> When {
        self.rested += 1;
        let rest = if off > MUCH { 1 } else { REST_ITEMS };
        if self.rested <= rest {
            return When::Quiet;
        }
        let when = if waited > PATIENCE_ANY || off > FAR {
            When::Now
        } else if waited > PATIENCE_SPEECH || off > MUCH {
            When::Alike
        } else {
            return When::Quiet;
        };
        self.rested = 0;
        when
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_of_whole_frames_is_left_within_half_a_frame() {
        for over in -570..=570 {
            assert_eq!(at(over, 0, 960).excess(), 0);
        }
        assert_eq!(at(600, 0, 960).excess(), 960);
        assert_eq!(at(-600, 0, 960).excess(), -960 - GRAIN);
        assert_eq!(at(1_500, 0, 960).excess(), 1_920);
    }

    #[test]
    fn sound_that_was_asked_for_too_early_is_shed() {
        assert_eq!(at(0, 480, 960).excess(), 480);
        assert_eq!(at(600, 480, 960).excess(), 1_440);
        assert_eq!(at(-600, 480, 960).excess(), -480 - GRAIN);
    }

    #[test]
    fn a_step_that_was_begun_is_finished() {
        assert_eq!(at(-575, 480, 960).excess(), -480 - GRAIN);
        assert_eq!(at(-500, 950, 960).excess(), -10 - GRAIN);
        assert_eq!(at(-380, 480, 960).excess(), 480);
    }

    #[test]
    fn a_worklet_is_steered_finely() {
        assert_eq!(at(200, 100, 128).excess(), 0);
        assert_eq!(at(250, 0, 128).excess(), 256);
    }

    #[test]
    fn speech_is_touched_only_when_it_must_be() {
        let mut pacer = Pacer::default();
        let whens: Vec<_> = (0..60)
            .map(|n| pacer.pace(at(700, 0, 960), n * 960))
            .collect();

        assert!(whens[..5].iter().all(|pace| *pace == Pace::Keep));
        assert!(
            whens[5..50]
                .iter()
                .all(|pace| matches!(pace, Pace::Shorten(_, When::Quiet)))
        );
        assert!(
            whens[50..]
                .iter()
                .any(|pace| matches!(pace, Pace::Shorten(_, When::Alike)))
        );
    }

    fn at(over: i64, ahead: i64, step: i64) -> Position {
        Position { over, ahead, step }
    }
}
