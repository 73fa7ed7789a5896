//! What changes hands in the moment of a take-over: callers that stay, and tickets that go.
//!
//! A ticket's connection comes to the process that listens, and whom it calls is there too by then: browsers without a
//! call have moved. So the ticket moves as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What goes of a caller's name or number; more is shown nowhere.
const TEXT_CHARS_MAX: usize = 128;

/// The last word of the old process before the new one begins.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Farewell {
    /// Channels in Asterisk that belong to older processes.
    pub(crate) callers: BTreeSet<String>,
    /// What waits for a connection that the new process will get.
    pub(crate) tickets: Vec<Ticket>,
}

/// A telephone's call that was promised a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) id: Uuid,
    pub(crate) to: String,
    pub(crate) number: Option<String>,
    pub(crate) name: Option<String>,
    /// How long it is good for.
    left_ms: u64,
}

impl Ticket {
    /// Returns until when it is good, as of now.
    pub(crate) fn until(&self, now: Instant) -> Instant {
        now + Duration::from_millis(self.left_ms)
    }
}

/// The tickets that wait, as the driver sees them. Clones show the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tickets(Arc<Mutex<BTreeMap<Uuid, (Ticket, Instant)>>>);

impl Tickets {
    /// Notes a ticket that is good until then.
    pub(crate) fn add(
        &self,
        id: Uuid,
        to: String,
        (number, name): (Option<String>, Option<String>),
        until: Instant,
    ) {
        let short = |text: Option<String>| text.map(|it| it.chars().take(TEXT_CHARS_MAX).collect());
        let ticket = Ticket {
            id,
            to,
            number: short(number),
            name: short(name),
            left_ms: 0,
        };
        let mut waiting = self.lock();
        // As many come as go; what never came is over by now.
        let now = Instant::now();
        waiting.retain(|_, (_, until)| *until > now);
        waiting.insert(id, (ticket, until));
    }

    /// Its connection is there.
    pub(crate) fn remove(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    /// Returns those that are good still.
    pub(crate) fn good(&self, now: Instant) -> Vec<Ticket> {
        let waiting = self.lock();
        let good = waiting.values().filter(|(_, until)| *until > now);
        good.map(|(ticket, until)| Ticket {
            left_ms: u64::try_from((*until - now).as_millis()).unwrap_or(u64::MAX),
            ..ticket.clone()
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, (Ticket, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(7);
    const TTL: Duration = Duration::from_secs(30);

    #[test]
    fn a_ticket_goes_with_the_time_that_is_left() {
        let tickets = Tickets::default();
        let now = Instant::now();
        let from = (Some("1001".to_owned()), Some("Alice".to_owned()));
        tickets.add(ID, "7001".into(), from, now + TTL);

        let told = Farewell {
            tickets: tickets.good(now + TTL / 3),
            ..Farewell::default()
        };
        let text = serde_json::to_vec(&told).unwrap();
        let heard: Farewell = serde_json::from_slice(&text).unwrap();

        assert_eq!(heard.tickets, told.tickets);
        let [ticket] = &heard.tickets[..] else {
            panic!("{heard:?}")
        };
        assert_eq!((ticket.id, &*ticket.to), (ID, "7001"));
        assert_eq!(ticket.until(now), now + Duration::from_secs(20));
    }

    #[test]
    fn what_was_used_or_is_too_old_stays() {
        let tickets = Tickets::default();
        let now = Instant::now();
        tickets.add(ID, "7001".into(), (None, None), now + TTL);

        assert_eq!(tickets.good(now + TTL), []);
        tickets.remove(ID);

        assert_eq!(tickets.good(now), []);
    }
}
