//! What an operator sees of the relay: its sessions and tracks as they are now.
//!
//! Snapshots cost nothing while nobody looks: a session keeps a small card up to date, and a page of
//! them is read without asking any session's task.

use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use moqrelay_moqt::{self as moqt, Draft, FullTrackName, Location, SessionCode};

use crate::{
    mlog::LogError, relay::Relay, session::Mail, stats::Meters, table::SessionId, transport::Probe,
};

/// The most sessions or tracks that one page holds: a few hundred kilobytes of text.
pub const PAGE_MAX: usize = 1000;

/// One MoQ session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionView {
    /// Its name in the process, in logs too.
    pub id: u64,
    /// Where its packets come from now.
    pub peer: SocketAddr,
    /// What carries it.
    pub transport: &'static str,
    /// The draft's number.
    pub draft: u32,
    /// What the peer calls itself; `None`: it said nothing, or not yet.
    pub implementation: Option<String>,
    /// When it began.
    pub since: SystemTime,
    /// Tracks that it subscribes to, waits for, or is offered.
    pub subscriptions: u32,
    /// Tracks that it publishes.
    pub publishes: u32,
    /// Round trip of its connection.
    pub rtt: Duration,
    /// Packets that its connection lost on the way to the peer.
    pub lost_packets: u64,
    /// Bytes of control messages that wait for it.
    pub control_waiting_bytes: u64,
    /// Objects of its subscriptions that wait for its connection, those not counted that the connection itself holds.
    pub waiting_objects: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
}

/// One track.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackView {
    /// Its name.
    pub name: FullTrackName,
    /// Publishers that are there, and those that were asked and have not answered.
    pub publishers: usize,
    /// Sessions and readers of this process that follow it.
    pub subscribers: usize,
    /// Groups of which something is kept.
    pub groups: usize,
    /// Entries that are kept for readers that are behind.
    pub entries: usize,
    /// What they take, in bytes.
    pub bytes: usize,
    /// The largest location.
    pub largest: Option<Location>,
    /// Objects since the track is known.
    pub objects_total: u64,
    /// Bytes of their payloads.
    pub bytes_total: u64,
    /// Objects in the last whole second.
    pub objects_per_second: u64,
    /// Bytes of their payloads.
    pub bytes_per_second: u64,
}

/// Some of many, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, K> {
    /// How many there are in all.
    pub total: usize,
    /// The page.
    pub items: Vec<T>,
    /// Where the next page begins: pass it as `after`. `None`: this is the last one.
    pub next: Option<K>,
}

impl Relay {
    /// Returns sessions with ids above `after`, at most `limit` and at most [`PAGE_MAX`].
    pub fn sessions(&self, after: Option<u64>, limit: usize) -> Page<SessionView, u64> {
        let limit = limit.clamp(1, PAGE_MAX);
        let (total, mut seats) = self.shared.seats(after.map(SessionId), limit + 1);
        let more = seats.len() > limit;
        seats.truncate(limit);
        let next = seats.last().filter(|_| more).map(|(id, _)| id.0);
        // The connections are asked without the table's lock.
        let items = seats.iter().map(|(id, card)| card.view(*id)).collect();
        Page { total, items, next }
    }

    /// Returns tracks with names after `after`, at most `limit` and at most [`PAGE_MAX`].
    pub fn tracks(
        &self,
        after: Option<&FullTrackName>,
        limit: usize,
    ) -> Page<TrackView, FullTrackName> {
        let limit = limit.clamp(1, PAGE_MAX);
        let (total, mut items) = self.shared.track_views(after, limit + 1);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|view| view.name.clone());
        Page { total, items, next }
    }

    /// Asks one session to leave (GOAWAY); false: there is none of that id.
    ///
    /// `uri`: where it should go; empty: the same again. When it still has requests after `timeout`
    /// it is closed with GOAWAY_TIMEOUT; zero: it may stay.
    pub fn goaway(&self, session: u64, uri: &str, timeout: Duration) -> bool {
        let uri = uri.to_owned();
        self.shared
            .post_to(SessionId(session), Mail::GoAway { uri, timeout })
    }

    /// Logs what one session says from now on, and returns where.
    ///
    /// # Errors
    ///
    /// See [`LogError`].
    pub fn log_session(&self, session: u64) -> Result<PathBuf, LogError> {
        let id = SessionId(session);
        let logs = self.shared.logs().ok_or(LogError::Off)?;
        let card = self.shared.card(id).ok_or(LogError::NoSession)?;
        if !self.shared.post_to(id, Mail::Log) {
            return Err(LogError::NoSession);
        }
        Ok(logs.path(id, card.since()))
    }

    /// Ends one session; false: there is none of that id.
    pub fn end_session(&self, session: u64) -> bool {
        let letter = Mail::Close {
            code: SessionCode::NoError,
            reason: "ended by the operator",
        };
        self.shared.post_to(SessionId(session), letter)
    }
}

/// What is known of a session without asking it.
pub(crate) struct Card {
    probe: Probe,
    transport: moqt::Transport,
    draft: Draft,
    since: SystemTime,
    implementation: OnceLock<String>,
    pub(crate) levels: Levels,
}

/// What changes all the time; the session's task writes, who looks reads.
#[derive(Default)]
pub(crate) struct Levels {
    pub(crate) subscriptions: AtomicU32,
    pub(crate) publishes: AtomicU32,
    pub(crate) control_waiting: AtomicU64,
    pub(crate) waiting_objects: AtomicU64,
    pub(crate) waiting_bytes: AtomicU64,
}

impl Card {
    pub(crate) fn new(probe: Probe, transport: moqt::Transport, draft: Draft) -> Self {
        Self {
            probe,
            transport,
            draft,
            since: SystemTime::now(),
            implementation: OnceLock::new(),
            levels: Levels::default(),
        }
    }

    pub(crate) fn name_implementation(&self, implementation: &str) {
        // SETUP comes once.
        drop(self.implementation.set(implementation.to_owned()));
    }

    pub(crate) fn count_end(&self, meters: &Meters) {
        meters.session_gone(transport_name(self.transport), self.draft);
    }

    pub(crate) fn since(&self) -> SystemTime {
        self.since
    }

    fn view(&self, id: SessionId) -> SessionView {
        let path = self.probe.path();
        SessionView {
            id: id.0,
            peer: path.peer,
            transport: transport_name(self.transport),
            draft: self.draft.number(),
            implementation: self.implementation.get().cloned(),
            since: self.since,
            subscriptions: self.levels.subscriptions.load(Relaxed),
            publishes: self.levels.publishes.load(Relaxed),
            rtt: path.rtt,
            lost_packets: path.lost_packets,
            control_waiting_bytes: self.levels.control_waiting.load(Relaxed),
            waiting_objects: self.levels.waiting_objects.load(Relaxed),
            waiting_bytes: self.levels.waiting_bytes.load(Relaxed),
        }
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Card").field(&self.since).finish()
    }
}

/// What a transport is called in metrics and in the API.
pub(crate) fn transport_name(transport: moqt::Transport) -> &'static str {
    match transport {
        moqt::Transport::WebTransport => "webtransport",
        moqt::Transport::Quic => "quic",
        moqt::Transport::WebSocket => "websocket",
    }
}
