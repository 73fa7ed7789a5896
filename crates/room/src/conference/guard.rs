//! How often a caller may be wrong.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::config::Limits;

/// The wrong PINs of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Guard {
    wrong: BTreeMap<String, VecDeque<Instant>>,
}

impl Guard {
    /// Tells whether a caller may try.
    pub(super) fn admits(&mut self, caller: &str, limits: &Limits, now: Instant) -> bool {
        let Some(times) = self.wrong.get_mut(caller) else {
            return true;
        };
        while times
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= limits.tries_window)
        {
            times.pop_front();
        }
        if times.is_empty() {
            self.wrong.remove(caller);
            return true;
        }
        times.len() < limits.tries_per_caller
    }

    /// Notes that a caller was wrong.
    pub(super) fn wrong(&mut self, caller: &str, limits: &Limits, now: Instant) {
        if !self.wrong.contains_key(caller) && self.wrong.len() >= limits.callers {
            let oldest = self
                .wrong
                .iter()
                .min_by_key(|(_, times)| times.back().copied());
            if let Some(oldest) = oldest.map(|(caller, _)| caller.clone()) {
                self.wrong.remove(&oldest);
            }
        }
        let times = self.wrong.entry(caller.to_owned()).or_default();
        times.push_back(now);
        if times.len() > limits.tries_per_caller {
            times.pop_front();
        }
    }
}
