//! Counters: for a snapshot in the process, and through the `metrics` facade for everyone else.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Counter, Gauge};
use moqrelay_moqt::{Draft, RequestCode, SessionCode};

/// What has happened since the relay was made, and what is there now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sessions open now.
    pub sessions: u64,
    /// Sessions that ever began.
    pub sessions_total: u64,
    /// Connections and sessions refused.
    pub refused_total: u64,
    /// Connections that had to show first that their address is their own.
    pub retried_total: u64,
    /// Tracks known now.
    pub tracks: u64,
    /// Subscriptions of sessions and in-process readers open now.
    pub subscriptions: u64,
    /// Objects received from sessions and in-process writers.
    pub objects_in: u64,
    /// Objects handed to sessions' connections.
    pub objects_out: u64,
    /// Objects that a subscriber did not get because it, or its connection, was too slow.
    pub objects_dropped: u64,
    /// Sessions ended because the peer broke the protocol.
    pub violations: u64,
}

/// The counters themselves. Handles are looked up once: counting an object allocates nothing.
pub(crate) struct Meters {
    pub(crate) sessions: Level,
    pub(crate) sessions_total: Count,
    refused: AtomicU64,
    pub(crate) retried: Count,
    pub(crate) tracks: Level,
    pub(crate) subscriptions: Level,
    pub(crate) objects_in: Count,
    pub(crate) bytes_in: Count,
    pub(crate) objects_out: Count,
    pub(crate) objects_dropped: Count,
    pub(crate) violations: Count,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Level::new(metrics::gauge!("moqrelay_relay_sessions")),
            sessions_total: Count::new(metrics::counter!("moqrelay_relay_sessions_total")),
            refused: AtomicU64::new(0),
            retried: Count::new(metrics::counter!("moqrelay_relay_retried_total")),
            tracks: Level::new(metrics::gauge!("moqrelay_relay_tracks")),
            subscriptions: Level::new(metrics::gauge!("moqrelay_relay_subscriptions")),
            objects_in: Count::new(metrics::counter!("moqrelay_relay_objects_in_total")),
            bytes_in: Count::new(metrics::counter!("moqrelay_relay_bytes_in_total")),
            objects_out: Count::new(metrics::counter!("moqrelay_relay_objects_out_total")),
            objects_dropped: Count::new(metrics::counter!("moqrelay_relay_objects_dropped_total")),
            violations: Count::new(metrics::counter!("moqrelay_relay_violations_total")),
        }
    }

    /// Counts the end of a session under its code. Rare enough to look the counter up.
    pub(crate) fn session_ended(&self, code: SessionCode) {
        // The peer chooses unknown codes; each would be a new time series.
        let label = match code {
            SessionCode::Other(_) => "other".to_owned(),
            known => known.to_code(Draft::D18).to_string(),
        };
        metrics::counter!("moqrelay_relay_session_ends_total", "code" => label).increment(1);
        match code {
            SessionCode::NoError
            | SessionCode::Unauthorized
            | SessionCode::ExpiredAuthToken
            | SessionCode::GoawayTimeout => {}
            _ => self.violations.add(1),
        }
    }

    /// Counts a connection or session that was turned away. Rare enough to look the counter up.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.fetch_add(1, Relaxed);
        metrics::counter!("moqrelay_relay_refused_total", "reason" => reason).increment(1);
    }

    /// Counts a limit that a session met. Rare enough to look the counter up.
    pub(crate) fn breach(&self, limit: &'static str) {
        metrics::counter!("moqrelay_relay_limits_met_total", "limit" => limit).increment(1);
    }

    /// Counts a refused request under its code. Rare enough to look the counter up.
    pub(crate) fn request_refused(&self, code: RequestCode) {
        let label = match code {
            RequestCode::Other(_) => "other".to_owned(),
            known => known.to_code(Draft::D18).to_string(),
        };
        metrics::counter!("moqrelay_relay_requests_refused_total", "code" => label).increment(1);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            sessions: self.sessions.get(),
            sessions_total: self.sessions_total.get(),
            refused_total: self.refused.load(Relaxed),
            retried_total: self.retried.get(),
            tracks: self.tracks.get(),
            subscriptions: self.subscriptions.get(),
            objects_in: self.objects_in.get(),
            objects_out: self.objects_out.get(),
            objects_dropped: self.objects_dropped.get(),
            violations: self.violations.get(),
        }
    }
}

/// A number that only grows.
pub(crate) struct Count {
    own: AtomicU64,
    exported: Counter,
}

impl Count {
    fn new(exported: Counter) -> Self {
        Self {
            own: AtomicU64::new(0),
            exported,
        }
    }

    pub(crate) fn add(&self, n: u64) {
        self.own.fetch_add(n, Relaxed);
        self.exported.increment(n);
    }

    pub(crate) fn get(&self) -> u64 {
        self.own.load(Relaxed)
    }
}

/// A number of things that exist now.
pub(crate) struct Level {
    own: AtomicU64,
    exported: Gauge,
}

impl Level {
    fn new(exported: Gauge) -> Self {
        Self {
            own: AtomicU64::new(0),
            exported,
        }
    }

    pub(crate) fn up(&self) {
        self.own.fetch_add(1, Relaxed);
        self.exported.increment(1.0);
    }

    pub(crate) fn down(&self) {
        self.own.fetch_sub(1, Relaxed);
        self.exported.decrement(1.0);
    }

    pub(crate) fn get(&self) -> u64 {
        self.own.load(Relaxed)
    }
}
