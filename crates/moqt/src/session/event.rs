//! What a session wants done and what it has to tell.

use core::time::Duration;

use bytes::Bytes;

use crate::{
    AuthToken, FetchRange, FullTrackName, Location, Namespace, Parameters, PublishDoneCode,
    RequestError, RequestId, ResetCode, SessionCode, StreamId, TrackAlias,
};

/// What the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "few exist at a time, and each is taken apart at once"
)]
pub enum Output {
    /// Open a stream; when the transport has none to give, queue it and what follows for it.
    Open(StreamId, Direction),
    /// Write to a stream.
    Write(StreamId, Bytes),
    /// Send FIN after what was written.
    Finish(StreamId),
    /// Reset our direction (RESET_STREAM).
    Reset(StreamId, ResetCode),
    /// Ask the peer to stop sending (STOP_SENDING).
    Stop(StreamId, ResetCode),
    /// Close the transport; nothing follows.
    Close(SessionCode, String),
    /// Tell the application.
    Event(Event),
}

/// Which way a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    Bi,
    /// From its opener.
    Uni,
}

/// What the peer said in SETUP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerSetup {
    /// PATH with query.
    pub path: Option<String>,
    /// AUTHORITY.
    pub authority: Option<String>,
    /// MOQT_IMPLEMENTATION, control characters and broken UTF-8 replaced.
    pub implementation: Option<String>,
    /// Tokens.
    pub tokens: Vec<AuthToken>,
    /// How much we may register with the peer, in bytes.
    pub auth_token_cache_bytes_max: u64,
}

/// What happened. In `params` the tokens are taken out: `tokens` has them, aliases resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer's SETUP arrived. Always the first event.
    Setup(PeerSetup),

    /// SUBSCRIBE: answer with `accept_subscribe` or `reject`.
    Subscribe {
        /// The request.
        id: RequestId,
        /// The track.
        track: FullTrackName,
        /// Parameters.
        params: Parameters,
        /// Tokens.
        tokens: Vec<AuthToken>,
    },
    /// PUBLISH: answer with `accept` or `reject`. Objects may arrive before the answer.
    Publish {
        /// The request.
        id: RequestId,
        /// The track.
        track: FullTrackName,
        /// What its objects carry.
        alias: TrackAlias,
        /// Parameters.
        params: Parameters,
        /// Track properties, raw but checked.
        properties: Bytes,
        /// Tokens.
        tokens: Vec<AuthToken>,
    },
    /// TRACK_STATUS: answer with `accept` or `reject`.
    TrackStatus {
        /// The request.
        id: RequestId,
        /// The track.
        track: FullTrackName,
        /// Parameters.
        params: Parameters,
        /// Tokens.
        tokens: Vec<AuthToken>,
    },
    /// FETCH: answer with `accept_fetch` or `reject`, and a data stream. A joined subscription exists, but may be
    /// unanswered: then answer it first.
    Fetch {
        /// The request.
        id: RequestId,
        /// What is wanted.
        range: FetchRange,
        /// Parameters.
        params: Parameters,
        /// Tokens.
        tokens: Vec<AuthToken>,
    },
    /// PUBLISH_NAMESPACE: answer with `accept` or `reject`.
    PublishNamespace {
        /// The request.
        id: RequestId,
        /// The namespace.
        namespace: Namespace,
        /// Tokens.
        tokens: Vec<AuthToken>,
    },
    /// SUBSCRIBE_NAMESPACE: answer with `accept` or `reject`, then `namespace` and `namespace_done`.
    SubscribeNamespace {
        /// The request.
        id: RequestId,
        /// The prefix.
        prefix: Namespace,
        /// Tokens.
        tokens: Vec<AuthToken>,
    },
    /// SUBSCRIBE_TRACKS: answer with `accept` or `reject`, then `publish` each track.
    SubscribeTracks {
        /// The request.
        id: RequestId,
        /// The prefix.
        prefix: Namespace,
        /// Parameters: forward.
        params: Parameters,
        /// Tokens.
        tokens: Vec<AuthToken>,
    },
    /// REQUEST_UPDATE of a request: answer with `accept_update` or `reject_update`.
    Update {
        /// The request that is changed: the peer's, or a PUBLISH of ours.
        id: RequestId,
        /// What changes.
        params: Parameters,
        /// Tokens.
        tokens: Vec<AuthToken>,
    },

    /// Our SUBSCRIBE was accepted.
    SubscribeOk {
        /// The request.
        id: RequestId,
        /// What its objects carry.
        alias: TrackAlias,
        /// Parameters.
        params: Parameters,
        /// Track properties, raw but checked.
        properties: Bytes,
    },
    /// Our FETCH was accepted; it lasts until `finish_fetch`.
    FetchOk {
        /// The request.
        id: RequestId,
        /// `end` is the last object of the track.
        end_of_track: bool,
        /// Last object plus one; object 0: the whole group. See [`Location::last_before_end`].
        end: Location,
        /// Parameters.
        params: Parameters,
        /// Track properties, raw but checked.
        properties: Bytes,
    },
    /// Another request of ours was accepted.
    Accepted {
        /// The request.
        id: RequestId,
        /// Parameters.
        params: Parameters,
        /// Track properties, raw but checked: only after `track_status`.
        properties: Bytes,
    },
    /// A request of ours was refused; it is over.
    Rejected {
        /// The request.
        id: RequestId,
        /// Why.
        error: RequestError,
    },
    /// Our oldest unanswered update was accepted.
    Updated {
        /// The request.
        id: RequestId,
        /// Parameters.
        params: Parameters,
    },
    /// Our oldest unanswered update was refused.
    UpdateRejected {
        /// The request.
        id: RequestId,
        /// Why.
        error: RequestError,
    },
    /// The publisher ended a subscription of which we are the subscriber; it is over, but objects may still arrive.
    PublishDone {
        /// The request: our SUBSCRIBE or the peer's PUBLISH.
        id: RequestId,
        /// Why.
        status: PublishDoneCode,
        /// How many data streams there were; `None`: not known.
        streams: Option<u64>,
        /// For people.
        reason: String,
    },
    /// A request of either side ended without a further word: stream reset, stopped or finished by the peer.
    Cancelled {
        /// The request.
        id: RequestId,
        /// Why; `None`: by FIN.
        code: Option<ResetCode>,
    },
    /// A namespace exists below the prefix of our SUBSCRIBE_NAMESPACE.
    Namespace {
        /// The request.
        id: RequestId,
        /// What follows the prefix.
        suffix: Namespace,
    },
    /// It exists no longer; comes for each one when the request ends, too.
    NamespaceDone {
        /// The request.
        id: RequestId,
        /// What follows the prefix.
        suffix: Namespace,
    },
    /// The peer has no streams to publish a track below the prefix of our SUBSCRIBE_TRACKS: subscribe to it.
    PublishBlocked {
        /// The request.
        id: RequestId,
        /// What follows the prefix.
        suffix: Namespace,
        /// The track's name.
        name: Bytes,
    },

    /// The peer wants us to leave: make no new requests, go to `uri` and close within `timeout`.
    GoAway {
        /// Where to; empty: the same.
        uri: String,
        /// How long the peer waits; zero: not said.
        timeout: Duration,
        /// Requests of ours from this one on were not processed.
        unprocessed: RequestId,
    },
    /// The peer wants one request moved.
    RequestGoAway {
        /// The request.
        id: RequestId,
        /// Where to; empty: the same.
        uri: String,
        /// How long the peer waits; zero: not said.
        timeout: Duration,
    },
}
