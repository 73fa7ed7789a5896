//! Removing from Asterisk what is no longer wanted.

use std::time::{Duration, Instant};

use super::super::request::{Method, Target};
use super::{Purpose, RequestId, Steering};

/// How often a removal is tried before it is left to the next reconnection.
const ATTEMPTS_MAX: u32 = 6;
/// The wait after the first failed removal; it doubles.
const RETRY: Duration = Duration::from_millis(500);

/// Something to be removed.
#[derive(Debug)]
pub(super) struct Doom {
    /// What to DELETE.
    target: String,
    state: State,
    attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The request that makes it has no response yet: a removal might overtake it.
    After(RequestId),
    /// Asked for.
    Asked,
    /// To be asked for again.
    Again(Instant),
}

impl Doom {
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Again(at) => Some(at),
            State::After(_) | State::Asked => None,
        }
    }
}

impl Steering {
    /// Hangs a channel up, when the request `after` has its response.
    pub(super) fn doom_channel(&mut self, id: String, q850: u16, after: Option<RequestId>) {
        let target = Target::new("channels")
            .segment(&id)
            .query("reason_code", &q850.to_string())
            .finish();
        self.doom(id, target, after);
    }

    pub(super) fn doom_bridge(&mut self, id: String, after: Option<RequestId>) {
        let target = Target::new("bridges").segment(&id).finish();
        self.doom(id, target, after);
    }

    fn doom(&mut self, id: String, target: String, after: Option<RequestId>) {
        if self.dooms.contains_key(&id) {
            return;
        }
        let after = after.filter(|request| self.pending.contains_key(request));
        let state = after.map_or(State::Asked, State::After);
        self.dooms.insert(
            id.clone(),
            Doom {
                target,
                state,
                attempts: 0,
            },
        );
        if state == State::Asked {
            self.remove(&id);
        }
    }

    /// Sends the removal.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(doom) = self.dooms.get_mut(id) else {
            return;
        };
        doom.state = State::Asked;
        doom.attempts += 1;
        let target = doom.target.clone();
        self.ask(Method::Delete, target, None, Purpose::Remove(id.to_owned()));
    }

    /// A request that made something has its response: what waited for it can be removed.
    pub(super) fn remove_after(&mut self, request: RequestId) {
        let waiting = |doom: &Doom| doom.state == State::After(request);
        let id = self
            .dooms
            .iter()
            .find(|(_, doom)| waiting(doom))
            .map(|(id, _)| id.clone());
        if let Some(id) = id {
            self.remove(&id);
        }
    }

    /// A removal failed.
    pub(super) fn remove_again(&mut self, id: &str, now: Instant) {
        let Some(doom) = self.dooms.get_mut(id) else {
            return;
        };
        if doom.attempts >= ATTEMPTS_MAX {
            tracing::warn!(
                id,
                "could not be removed from asterisk, left for the next connection"
            );
            self.dooms.remove(id);
            return;
        }
        doom.state = State::Again(now + RETRY * (1 << (doom.attempts - 1)));
    }

    pub(super) fn retry_dooms(&mut self, now: Instant) {
        let due = |doom: &Doom| doom.due().is_some_and(|at| at <= now);
        let ids: Vec<_> = self
            .dooms
            .iter()
            .filter(|(_, doom)| due(doom))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.remove(&id);
        }
    }

    /// Tries what failed again, now that Asterisk is back.
    pub(super) fn retry_all_dooms(&mut self) {
        let failed = |doom: &Doom| doom.due().is_some();
        let ids: Vec<_> = self
            .dooms
            .iter()
            .filter(|(_, doom)| failed(doom))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.remove(&id);
        }
    }
}
