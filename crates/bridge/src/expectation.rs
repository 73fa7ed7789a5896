//! Which connections are expected: by UUID, for one call within some seconds or for one call at a time for ever.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use uuid::Uuid;

use crate::leg::{Command, LegId, OutRate, Spec};

/// Calls that are expected at once, and standing ones. Each is a ticket or an outgoing call of the last seconds.
pub(crate) const EXPECTATIONS_MAX: usize = 10_000;

/// Commands that a leg may be given before it comes.
pub(crate) const COMMANDS_MAX: usize = 32;

/// All expectations of a bridge.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    by_id: BTreeMap<Uuid, Expectation>,
    by_leg: BTreeMap<LegId, Uuid>,
    deadlines: BTreeSet<(Instant, Uuid)>,
    standing_legs: u64,
}

#[derive(Debug)]
enum Expectation {
    Once {
        spec: Box<Spec>,
        until: Instant,
        commands: Vec<Command>,
    },
    Standing {
        rate: OutRate,
        leg: Option<LegId>,
    },
}

/// A connection that was expected.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) spec: Spec,
    pub(crate) standing: bool,
    /// What the leg was told before it came.
    pub(crate) commands: Vec<Command>,
}

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Turned {
    #[error("nobody expects this call id (any more)")]
    Unknown,
    #[error("the call id has a connection already")]
    Busy,
}

impl Expectations {
    /// Expects one call until then; false when there is no room, or the id or the leg is taken.
    pub(crate) fn add_once(&mut self, id: Uuid, spec: Spec, until: Instant) -> bool {
        let taken = self.by_id.contains_key(&id) || self.by_leg.contains_key(&spec.leg);
        if taken || self.by_id.len() >= EXPECTATIONS_MAX {
            return false;
        }
        self.by_leg.insert(spec.leg, id);
        self.deadlines.insert((until, id));
        self.by_id.insert(
            id,
            Expectation::Once {
                spec: Box::new(spec),
                until,
                commands: Vec::new(),
            },
        );
        true
    }

    /// Expects calls one after the other for ever; false when there is no room. Again: the rate changes.
    pub(crate) fn add_standing(&mut self, id: Uuid, rate: OutRate) -> bool {
        if let Some(Expectation::Standing { rate: old, .. }) = self.by_id.get_mut(&id) {
            *old = rate;
            return true;
        }
        let room = self.by_id.len() < EXPECTATIONS_MAX && !self.by_id.contains_key(&id);
        if room {
            self.by_id
                .insert(id, Expectation::Standing { rate, leg: None });
        }
        room
    }

    /// Expects this id no longer; returns the leg that will never come.
    pub(crate) fn remove(&mut self, id: Uuid) -> Option<LegId> {
        match self.by_id.remove(&id)? {
            Expectation::Standing { .. } => None,
            Expectation::Once { spec, until, .. } => {
                self.deadlines.remove(&(until, id));
                self.by_leg.remove(&spec.leg);
                Some(spec.leg)
            }
        }
    }

    /// Expects this leg no longer; false when it was not expected (or has come).
    pub(crate) fn cancel(&mut self, leg: LegId) -> bool {
        self.by_leg
            .get(&leg)
            .copied()
            .is_some_and(|id| self.remove(id).is_some())
    }

    /// Expects no single call any more and returns their legs.
    pub(crate) fn cancel_all(&mut self) -> Vec<LegId> {
        let ids: Vec<_> = self.by_leg.values().copied().collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Keeps a command for a leg that is still to come; false when it is not expected or was told too much.
    pub(crate) fn tell(&mut self, leg: LegId, command: Command) -> bool {
        let expectation = self.by_leg.get(&leg).and_then(|id| self.by_id.get_mut(id));
        let Some(Expectation::Once { commands, .. }) = expectation else {
            return false;
        };
        let room = commands.len() < COMMANDS_MAX;
        if room {
            commands.push(command);
        }
        room
    }

    /// Takes a connection's expectation.
    pub(crate) fn claim(&mut self, id: Uuid, now: Instant) -> Result<Claim, Turned> {
        match self.by_id.get_mut(&id) {
            None => Err(Turned::Unknown),
            Some(Expectation::Standing { leg: Some(_), .. }) => Err(Turned::Busy),
            Some(Expectation::Standing { rate, leg }) => {
                let next = LegId(LegId::STANDING_FIRST.0 + self.standing_legs);
                self.standing_legs += 1;
                *leg = Some(next);
                let spec = Spec {
                    leg: next,
                    place: None,
                    rate: *rate,
                };
                Ok(Claim {
                    spec,
                    standing: true,
                    commands: Vec::new(),
                })
            }
            Some(Expectation::Once { until, .. }) if *until <= now => Err(Turned::Unknown),
            Some(Expectation::Once { spec, commands, .. }) => {
                let (spec, commands) = (Spec::clone(spec), std::mem::take(commands));
                self.remove(id);
                Ok(Claim {
                    spec,
                    standing: false,
                    commands,
                })
            }
        }
    }

    /// Lets a standing expectation take the next connection.
    pub(crate) fn release(&mut self, leg: LegId) {
        if leg < LegId::STANDING_FIRST {
            return;
        }
        for expectation in self.by_id.values_mut() {
            if let Expectation::Standing { leg: busy, .. } = expectation
                && *busy == Some(leg)
            {
                *busy = None;
            }
        }
    }

    /// Returns when something expires next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Forgets what has not come by now, and returns their legs.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<LegId> {
        let mut expired = Vec::new();
        while let Some((until, id)) = self.deadlines.first().copied()
            && until <= now
        {
            self.deadlines.pop_first();
            expired.extend(self.remove(id));
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ID: Uuid = Uuid::from_u128(1);
    const TTL: Duration = Duration::from_secs(30);

    #[test]
    fn an_expected_call_is_taken_once() {
        let (mut expectations, now) = expecting();

        assert_eq!(expectations.claim(ID, now).unwrap().spec.leg, LegId(7));
        assert_eq!(expectations.claim(ID, now).unwrap_err(), Turned::Unknown);
        assert_eq!(expectations.deadline(), None);
    }

    #[test]
    fn an_expected_call_that_does_not_come_expires() {
        let (mut expectations, now) = expecting();

        assert_eq!(expectations.deadline(), Some(now + TTL));
        assert_eq!(expectations.expire(now + TTL - Duration::from_nanos(1)), []);
        assert_eq!(expectations.expire(now + TTL), [LegId(7)]);
        assert_eq!(
            expectations.claim(ID, now + TTL).unwrap_err(),
            Turned::Unknown
        );
    }

    #[test]
    fn an_expired_call_is_unknown_even_before_it_is_swept() {
        let (mut expectations, now) = expecting();

        assert_eq!(
            expectations.claim(ID, now + TTL).unwrap_err(),
            Turned::Unknown
        );
    }

    #[test]
    fn neither_an_id_nor_a_leg_is_expected_twice() {
        let (mut expectations, now) = expecting();

        assert!(!expectations.add_once(ID, spec(8), now + TTL));
        assert!(!expectations.add_once(Uuid::from_u128(2), spec(7), now + TTL));
        assert!(!expectations.add_standing(ID, OutRate::Follow));
    }

    #[test]
    fn a_standing_id_has_one_call_at_a_time_each_with_a_name_of_its_own() {
        let mut expectations = Expectations::default();
        let now = Instant::now();
        expectations.add_standing(ID, OutRate::Hz8000);

        let first = expectations.claim(ID, now).unwrap();
        let meanwhile = expectations.claim(ID, now).unwrap_err();
        expectations.release(first.spec.leg);
        let second = expectations.claim(ID, now).unwrap();

        assert!(first.standing && first.spec.rate == OutRate::Hz8000);
        assert_eq!(meanwhile, Turned::Busy);
        assert_ne!(first.spec.leg, second.spec.leg);
    }

    #[test]
    fn what_a_leg_is_told_before_it_comes_is_kept_for_it() {
        let (mut expectations, now) = expecting();

        assert!(expectations.tell(LegId(7), Command::StopTone));
        assert!(!expectations.tell(LegId(8), Command::StopTone));
        let told: Vec<_> = (0..COMMANDS_MAX)
            .map(|_| expectations.tell(LegId(7), Command::StopTone))
            .collect();

        assert!(!told[COMMANDS_MAX - 1], "not without limit");
        assert_eq!(
            expectations.claim(ID, now).unwrap().commands.len(),
            COMMANDS_MAX
        );
    }

    #[test]
    fn a_cancelled_leg_is_not_expected_any_more() {
        let (mut expectations, now) = expecting();

        assert!(expectations.cancel(LegId(7)));
        assert!(!expectations.cancel(LegId(7)));
        assert_eq!(expectations.claim(ID, now).unwrap_err(), Turned::Unknown);
        assert_eq!(expectations.deadline(), None);
    }

    fn expecting() -> (Expectations, Instant) {
        let mut expectations = Expectations::default();
        let now = Instant::now();
        assert!(expectations.add_once(ID, spec(7), now + TTL));
        (expectations, now)
    }

    fn spec(leg: u64) -> Spec {
        Spec {
            leg: LegId(leg),
            place: None,
            rate: OutRate::Follow,
        }
    }
}
