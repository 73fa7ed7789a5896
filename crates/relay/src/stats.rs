//! Counters: for a snapshot in the process, and through the `metrics` facade for everyone else.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram};
use moqrelay_moqt::{Draft, RequestCode, SessionCode};

use crate::budget::Reason;

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
    /// Bytes of their payloads.
    pub bytes_out: u64,
    /// Objects that a subscriber did not get because it, or its connection, was too slow.
    pub objects_dropped: u64,
    /// Objects that one publisher sent after another one did; they went on once.
    pub objects_repeated: u64,
    /// Streams to subscribers that were given up before their end.
    pub streams_reset: u64,
    /// Sessions ended because the peer broke the protocol.
    pub violations: u64,
    /// Objects kept for those who come late.
    pub cache_objects: u64,
    /// What they take, in bytes.
    pub cache_bytes: u64,
    /// Objects served by FETCH from the cache.
    pub cache_hits: u64,
    /// Gaps for which a publisher was asked, or of which nothing was known.
    pub cache_misses: u64,
    /// Objects that the cache gave up.
    pub cache_evictions: u64,
    /// FETCHes accepted.
    pub fetches: u64,
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
    pub(crate) bytes_out: Count,
    lag: Histogram,
    pub(crate) dropped: [Count; Dropped::ALL.len()],
    pub(crate) objects_repeated: Count,
    pub(crate) tracks_malformed: Count,
    pub(crate) streams_reset: Count,
    pub(crate) violations: Count,
    pub(crate) revoked: Count,
    pub(crate) revocations: Level,
    pub(crate) cache_objects: Level,
    pub(crate) cache_bytes: Level,
    pub(crate) cache_hits: Count,
    pub(crate) cache_misses: Count,
    evictions: [Count; Reason::ALL.len()],
    pub(crate) fetches: Count,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            // Exported by transport and draft: see `session_began`.
            sessions: Level::new(Gauge::noop()),
            sessions_total: Count::new(metrics::counter!("moqrelay_relay_sessions_total")),
            refused: AtomicU64::new(0),
            retried: Count::new(metrics::counter!("moqrelay_relay_retried_total")),
            tracks: Level::new(metrics::gauge!("moqrelay_relay_tracks")),
            subscriptions: Level::new(metrics::gauge!("moqrelay_relay_subscriptions")),
            objects_in: Count::new(metrics::counter!("moqrelay_relay_objects_in_total")),
            bytes_in: Count::new(metrics::counter!("moqrelay_relay_bytes_in_total")),
            objects_out: Count::new(metrics::counter!("moqrelay_relay_objects_out_total")),
            bytes_out: Count::new(metrics::counter!("moqrelay_relay_bytes_out_total")),
            lag: metrics::histogram!("moqrelay_relay_delivery_lag_seconds"),
            dropped: Dropped::ALL.map(|why| {
                let name = "moqrelay_relay_objects_dropped_total";
                Count::new(metrics::counter!(name, "reason" => why.name()))
            }),
            objects_repeated: Count::new(metrics::counter!(
                "moqrelay_relay_objects_repeated_total"
            )),
            streams_reset: Count::new(metrics::counter!("moqrelay_relay_streams_reset_total")),
            tracks_malformed: Count::new(metrics::counter!(
                "moqrelay_relay_tracks_malformed_total"
            )),
            violations: Count::new(metrics::counter!("moqrelay_relay_violations_total")),
            revoked: Count::new(metrics::counter!("moqrelay_relay_requests_revoked_total")),
            revocations: Level::new(metrics::gauge!("moqrelay_relay_revocations")),
            cache_objects: Level::new(metrics::gauge!("moqrelay_relay_cache_objects")),
            cache_bytes: Level::new(metrics::gauge!("moqrelay_relay_cache_bytes")),
            cache_hits: Count::new(metrics::counter!("moqrelay_relay_cache_hits_total")),
            cache_misses: Count::new(metrics::counter!("moqrelay_relay_cache_misses_total")),
            evictions: Reason::ALL.map(|reason| {
                Count::new(metrics::counter!(
                    "moqrelay_relay_cache_evictions_total",
                    "reason" => reason.label()
                ))
            }),
            fetches: Count::new(metrics::counter!("moqrelay_relay_fetches_total")),
        }
    }

    /// Notes how long objects took from their arrival to the connections of their subscribers.
    pub(crate) fn lagged(&self, lag: Duration) {
        self.lag.record(lag.as_secs_f64());
    }

    /// Counts a session that begins.
    pub(crate) fn session_began(&self, transport: &'static str, draft: Draft) {
        self.sessions.up();
        self.sessions_total.add(1);
        sessions_of(transport, draft).increment(1.0);
    }

    /// Counts a session that is gone.
    pub(crate) fn session_gone(&self, transport: &'static str, draft: Draft) {
        self.sessions.down();
        sessions_of(transport, draft).decrement(1.0);
    }

    /// Counts a request of a peer. Rare enough to look the counter up.
    pub(crate) fn requested(&self, request: &'static str) {
        metrics::counter!("moqrelay_relay_requests_total", "type" => request).increment(1);
    }

    /// Counts the end of a session under its code. Rare enough to look the counter up.
    pub(crate) fn session_ended(&self, code: SessionCode) {
        // The peer chooses unknown codes; each would be a new time series.
        let label = match code {
            SessionCode::Other(_) => "other".to_owned(),
            known => known.number().to_string(),
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
    pub(crate) fn request_refused(&self, request: &'static str, code: RequestCode) {
        let label = match code {
            RequestCode::Other(_) => "other".to_owned(),
            known => known.number().to_string(),
        };
        let name = "moqrelay_relay_requests_refused_total";
        metrics::counter!(name, "type" => request, "code" => label).increment(1);
    }

    /// Counts an object that the cache gave up.
    pub(crate) fn evicted(&self, reason: Reason) {
        if let Some(count) = self.evictions.get(reason as usize) {
            count.add(1);
        }
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
            bytes_out: self.bytes_out.get(),
            objects_dropped: self.dropped.iter().map(Count::get).sum(),
            objects_repeated: self.objects_repeated.get(),
            streams_reset: self.streams_reset.get(),
            violations: self.violations.get(),
            cache_objects: self.cache_objects.get(),
            cache_bytes: self.cache_bytes.get(),
            cache_hits: self.cache_hits.get(),
            cache_misses: self.cache_misses.get(),
            cache_evictions: self.evictions.iter().map(Count::get).sum(),
            fetches: self.fetches.get(),
        }
    }
}

/// Why a subscriber did not get an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It was older than it may be.
    Late,
    /// The relay had forgotten it before the subscriber's turn came.
    Behind,
    /// The connection did not carry it in time.
    Slow,
    /// The connection cannot carry it: no datagrams, or none of that size.
    Unsendable,
    /// Its stream was given up: the publisher's was, or nobody wants it any more.
    Cancelled,
}

impl Dropped {
    pub(crate) const ALL: [Self; 5] = [
        Self::Late,
        Self::Behind,
        Self::Slow,
        Self::Unsendable,
        Self::Cancelled,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Behind => "behind",
            Self::Slow => "slow",
            Self::Unsendable => "unsendable",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What became of objects, on its way to the counters: all sessions share those, and on each
/// object they would cost more than the object.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    /// Bytes of payloads.
    pub(crate) sent_bytes: u64,
    dropped: [u64; Dropped::ALL.len()],
}

impl Tally {
    pub(crate) fn drop(&mut self, why: Dropped, objects: u64) {
        self.dropped[why as usize] += objects;
    }

    pub(crate) fn add(&mut self, other: &mut Self) {
        self.sent += std::mem::take(&mut other.sent);
        self.sent_bytes += std::mem::take(&mut other.sent_bytes);
        for (sum, dropped) in self.dropped.iter_mut().zip(&mut other.dropped) {
            *sum += std::mem::take(dropped);
        }
    }

    pub(crate) fn flush(&mut self, meters: &Meters) {
        if self.sent > 0 {
            meters.objects_out.add(std::mem::take(&mut self.sent));
            meters.bytes_out.add(std::mem::take(&mut self.sent_bytes));
        }
        for (count, dropped) in meters.dropped.iter().zip(&mut self.dropped) {
            if *dropped > 0 {
                count.add(std::mem::take(dropped));
            }
        }
    }
}

fn sessions_of(transport: &'static str, draft: Draft) -> Gauge {
    let draft = draft.number().to_string();
    metrics::gauge!("moqrelay_relay_sessions", "transport" => transport, "draft" => draft)
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

    pub(crate) fn set(&self, n: u64) {
        self.own.store(n, Relaxed);
        self.exported.set(n as f64);
    }

    pub(crate) fn up(&self) {
        self.add(1);
    }

    pub(crate) fn down(&self) {
        self.sub(1);
    }

    pub(crate) fn add(&self, n: u64) {
        self.own.fetch_add(n, Relaxed);
        self.exported.increment(n as f64);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.own.fetch_sub(n, Relaxed);
        self.exported.decrement(n as f64);
    }

    pub(crate) fn get(&self) -> u64 {
        self.own.load(Relaxed)
    }
}
