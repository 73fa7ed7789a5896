//! How a session is set up, what local calls take, and how they fail.

use core::time::Duration;

use bytes::Bytes;

use crate::{Draft, EncodeError, Location, Parameters, Token, TrackAlias};

/// Which side of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Opened the connection; even request ids.
    Client,
    /// Was connected to; odd request ids.
    Server,
}

impl Role {
    /// Returns the other side.
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Lowest bit of the request ids that this side chooses, and its first one.
    pub(super) fn parity(self) -> u64 {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// What carries a session; only raw QUIC has PATH and AUTHORITY in SETUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// WebTransport over HTTP/3.
    WebTransport,
    /// QUIC without HTTP.
    Quic,
    /// A WebSocket ([`qmux`](crate::qmux)).
    WebSocket,
}

/// How a session is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The negotiated draft.
    pub draft: Draft,
    /// Our side.
    pub role: Role,
    /// What carries the session.
    pub transport: Transport,
    /// PATH with query: clients on raw QUIC.
    pub path: Option<String>,
    /// AUTHORITY: clients on raw QUIC.
    pub authority: Option<String>,
    /// MOQT_IMPLEMENTATION: name and version, for people who debug.
    pub implementation: Option<String>,
    /// Tokens sent in SETUP.
    pub authorization: Vec<Token>,
    /// Mandatory track properties that the application understands; tracks with others are refused.
    pub mandatory_properties: Vec<u64>,
    /// What the peer may use up.
    pub limits: Limits,
}

/// What the peer may use up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long the peer may take to send SETUP.
    pub setup_timeout: Duration,
    /// Requests of the peer open at a time; beyond: REQUEST_ERROR, EXCESSIVE_LOAD.
    pub peer_requests_max: usize,
    /// Our requests open at a time; beyond: [`CallError::TooMany`].
    pub local_requests_max: usize,
    /// Largest control message from the peer, in bytes, at most 65,535; beyond: the session ends.
    pub message_bytes_max: usize,
    /// Bytes kept for incomplete messages and early requests, all streams together; beyond: the session ends.
    pub buffered_bytes_max: usize,
    /// Size of the peer's registered tokens, in bytes; announced as MAX_AUTH_TOKEN_CACHE_SIZE.
    pub auth_token_cache_bytes_max: u64,
    /// Unanswered REQUEST_UPDATEs of one request, either direction; beyond: the session ends. Announced as
    /// MAX_REQUEST_UPDATES (draft 19).
    pub updates_max: usize,
    /// Ranges in all range filters of one request; announced as MAX_FILTER_RANGES (draft 19), 0: no such filters.
    pub filter_ranges_max: usize,
    /// Namespaces that one SUBSCRIBE_NAMESPACE of ours may yield; beyond: the request is cancelled.
    pub namespaces_max: usize,
}

impl Config {
    /// Sets up a session with default limits and nothing optional.
    pub fn new(draft: Draft, role: Role, transport: Transport) -> Self {
        Self {
            draft,
            role,
            transport,
            path: None,
            authority: None,
            implementation: None,
            authorization: Vec::new(),
            mandatory_properties: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            setup_timeout: Duration::from_secs(10),
            peer_requests_max: 1024,
            local_requests_max: 1024,
            message_bytes_max: 0x4000,
            buffered_bytes_max: 0x4_0000,
            auth_token_cache_bytes_max: 0x4000,
            updates_max: 16,
            filter_ranges_max: 0,
            namespaces_max: 4096,
        }
    }
}

/// What to ask for with SUBSCRIBE.
#[derive(Debug, Clone, Default)]
pub struct SubscribeOptions {
    /// Parameters: tokens, rendezvous timeout, priority, filter, ….
    pub params: Parameters,
}

/// What to offer with PUBLISH.
#[derive(Debug, Clone, Default)]
pub struct PublishOptions {
    /// The alias of the track in this session; `None`: the session chooses.
    pub alias: Option<TrackAlias>,
    /// Parameters: tokens, largest object, forward, ….
    pub params: Parameters,
    /// Track properties, raw.
    pub properties: Bytes,
}

/// What to say with FETCH.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// Parameters: tokens, fill timeout, priority, group order.
    pub params: Parameters,
}

/// How to accept a FETCH.
#[derive(Debug, Clone, Default)]
pub struct FetchAnswer {
    /// `end` is the last object of the track.
    pub end_of_track: bool,
    /// Last object plus one; object 0: the whole group. See [`Location::end_after`].
    pub end: Location,
    /// Parameters. GROUP_ORDER, the order in which objects come, is said in draft 14 only, and left out elsewhere.
    pub params: Parameters,
    /// Track properties, raw.
    pub properties: Bytes,
}

/// How to accept a SUBSCRIBE.
#[derive(Debug, Clone, Default)]
pub struct SubscribeAnswer {
    /// The alias of the track in this session; `None`: the session chooses.
    pub alias: Option<TrackAlias>,
    /// Parameters: largest object, expires.
    pub params: Parameters,
    /// Track properties, raw.
    pub properties: Bytes,
}

/// Why a local call did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The session is closed.
    #[error("the session is closed")]
    Closed,
    /// The peer asked us to leave: no new requests.
    #[error("the peer is going away")]
    GoingAway,
    /// No open request has that id.
    #[error("no such request")]
    UnknownRequest,
    /// The request is of another kind, or answered already, or not yet.
    #[error("the request is not in a state for that")]
    WrongState,
    /// Too many requests or updates are open.
    #[error("too many open requests")]
    TooMany,
    /// There is a subscription to that track in the same role, or an overlapping prefix.
    #[error("there is one already")]
    Duplicate,
    /// The alias stands for another track.
    #[error("track alias {0} is in use")]
    AliasInUse(TrackAlias),
    /// The peer takes no range filters, or not so many.
    #[error("the peer takes no more than {0} ranges in filters")]
    TooManyRanges(u64),
    /// Only servers name a new URI in GOAWAY.
    #[error("a client must not name a URI")]
    UriFromClient,
    /// It cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
