//! Times at which a session has something to do.

use std::{collections::BTreeSet, time::Instant};

use moqrelay_moqt::RequestId;

/// What is to be done. Each is checked again when its time comes; those that may lie far ahead are
/// taken back when they are no longer needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The session's token ends.
    SessionExpires,
    /// The token of one request ends.
    RequestExpires(RequestId),
    /// A subscriber has waited long enough for a publisher.
    Rendezvous(u32),
    /// The peer should have answered a request of ours.
    Unanswered(RequestId),
    /// Objects whose track is unknown have waited long enough.
    Early,
    /// A track that is over has been waited for long enough.
    SourceDone(RequestId),
    /// Objects of a subscription may be too old to be sent.
    Stalled(u32),
    /// What a FETCH asked the publisher for should be there.
    Fill(RequestId),
    /// A subscription that is over should be gone.
    Ending(u32),
    /// The connection may have room for datagrams that wait.
    Backlog,
}

/// What is due when.
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeSet<(Instant, Due)>,
    armed: Option<Instant>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Instant, due: Due) {
        self.due.insert((at, due));
    }

    pub(super) fn cancel(&mut self, at: Instant, due: Due) {
        self.due.remove(&(at, due));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, due)| due)
    }

    /// Returns the time for which the clock must be set; `None`: it is set right.
    pub(super) fn rearm(&mut self, next: Option<Instant>) -> Option<Instant> {
        if self.armed == next {
            return None;
        }
        self.armed = next;
        next
    }

    pub(super) fn forget_armed(&mut self) {
        self.armed = None;
    }
}
