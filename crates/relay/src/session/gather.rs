//! What is due to the same crowd within a moment goes out together.
//!
//! Five people speak and a thousand listen: each object alone would be a packet for each listener, and a packet is what
//! costs. So a track waits a moment for the others, but only when many hear it and most of them hear others in that
//! moment, too: a call is never held up, nor is a voice that is heard alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{limits::Limits, track::Outlet};

/// Tracks of one worker that wait for each other.
pub(super) struct Gather {
    /// How long what is oldest may wait.
    time: Duration,
    /// Fewer sessions are no crowd.
    crowd: usize,
    waiting: Vec<Arc<Outlet>>,
    until: Option<Instant>,
}

impl Gather {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            time: limits.gather,
            crowd: limits.gather_from,
            waiting: Vec::new(),
            until: None,
        }
    }

    /// Takes the tracks that can wait out of those with something new; adds those that have waited.
    pub(super) fn hold(&mut self, outlets: &mut Vec<Arc<Outlet>>, now: Instant) {
        if self.time.is_zero() {
            return;
        }
        let (waiting, until) = (&mut self.waiting, &mut self.until);
        outlets.retain(|outlet| {
            let Some(since) = outlet.gathers_since() else {
                return true;
            };
            let at = since + self.time;
            *until = Some(until.map_or(at, |until| until.min(at)));
            waiting.push(outlet.clone());
            false
        });
        if until.is_some_and(|until| until <= now) {
            *until = None;
            outlets.append(waiting);
        }
    }

    /// Returns when to look again; `None`: nothing waits.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Notes, for each track that is being served, whether its crowd gets more than that. `served` returns, for a
    /// seat, what is due to it now and when it got something before.
    pub(super) fn learn(
        &self,
        outlets: &[Arc<Outlet>],
        now: Instant,
        served: impl Fn(u32) -> Option<(usize, Instant)>,
    ) {
        if self.time.is_zero() {
            return;
        }
        let shares = |seat: u32| {
            served(seat).is_some_and(|(due, before)| {
                due > 1 || now.saturating_duration_since(before) < self.time
            })
        };
        for outlet in outlets {
            outlet.learn(self.crowd, shares);
        }
    }
}

/// Whether those who hear a track get something else at about the same time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Habit(u8);

/// Rounds after which a habit is as sure as can be: a track that stays alone is held up for half of these.
const SURE: u8 = 8;

impl Habit {
    /// Notes a round.
    pub(crate) fn note(&mut self, shared: bool) {
        self.0 = if shared {
            (self.0 + 1).min(SURE)
        } else {
            self.0.saturating_sub(1)
        };
    }

    pub(crate) fn is_shared(self) -> bool {
        self.0 > SURE / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_habit_is_made_and_lost_in_some_rounds() {
        let mut habit = Habit::default();
        let mut rounds = |shared, count| {
            (0..count).for_each(|_| habit.note(shared));
            habit.is_shared()
        };

        assert!(!rounds(true, 4));
        assert!(rounds(true, 1));
        assert!(rounds(true, 100));
        assert!(rounds(false, 3), "now and then one is alone");
        assert!(!rounds(false, 1));
        assert!(!rounds(false, 100));
        assert!(rounds(true, 5));
    }
}
