//! Control messages (section 10).

mod codec;

pub(crate) use codec::Head;

use core::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::{
    DecodeError, Draft, EncodeError, FullTrackName, Location, Namespace, Parameters,
    PublishDoneCode, RequestCode, RequestId, Role, Token, TrackAlias,
};

/// A control message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// SETUP: first on a control stream.
    Setup(Setup),
    /// GOAWAY: on control and request streams.
    GoAway(GoAway),
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// SUBSCRIBE_OK.
    SubscribeOk(SubscribeOk),
    /// PUBLISH.
    Publish(Publish),
    /// PUBLISH_DONE.
    PublishDone(PublishDone),
    /// FETCH.
    Fetch(Fetch),
    /// FETCH_OK.
    FetchOk(FetchOk),
    /// TRACK_STATUS; the fields are those of SUBSCRIBE.
    TrackStatus(Subscribe),
    /// PUBLISH_NAMESPACE.
    PublishNamespace(SubscribePrefix),
    /// SUBSCRIBE_NAMESPACE.
    SubscribeNamespace(SubscribePrefix),
    /// SUBSCRIBE_TRACKS; draft 16: SUBSCRIBE_NAMESPACE that wants PUBLISH.
    SubscribeTracks(SubscribePrefix),
    /// SUBSCRIBE_NAMESPACE that wants namespaces and PUBLISH: drafts 14 and 16.
    SubscribeBoth(SubscribePrefix),
    /// NAMESPACE: the namespace without the subscribed prefix.
    Namespace(Namespace),
    /// NAMESPACE_DONE: the namespace without the subscribed prefix.
    NamespaceDone(Namespace),
    /// PUBLISH_BLOCKED; draft 19 calls it PUBLISH_SKIPPED.
    PublishBlocked(PublishBlocked),
    /// REQUEST_UPDATE.
    RequestUpdate(RequestUpdate),
    /// REQUEST_OK.
    RequestOk(RequestOk),
    /// REQUEST_ERROR.
    RequestError(RequestError),
    /// MAX_REQUEST_ID: the peer's request ids must be below this. Up to draft 16, as all that follow.
    MaxRequestId(u64),
    /// REQUESTS_BLOCKED: the sender has come to this MAX_REQUEST_ID.
    RequestsBlocked(u64),
    /// UNSUBSCRIBE.
    Unsubscribe,
    /// FETCH_CANCEL.
    FetchCancel,
    /// PUBLISH_NAMESPACE_DONE: the publisher takes PUBLISH_NAMESPACE back.
    PublishNamespaceDone,
    /// PUBLISH_NAMESPACE_CANCEL: the subscriber takes its answer to PUBLISH_NAMESPACE back.
    PublishNamespaceCancel(RequestError),
    /// UNSUBSCRIBE_NAMESPACE: draft 14.
    UnsubscribeNamespace,
}

/// A control message and the request it is about, where messages say so themselves: on the one control stream of
/// draft 16 and earlier. Later drafts have a stream for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What an answer, an update or an end is about; `None` in other messages, and always from draft 17 on.
    pub about: Option<About>,
    /// The message.
    pub message: Message,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// An open request.
    Request {
        /// Its id.
        id: RequestId,
        /// Its kind, where the message's type tells; when it is written it must be there.
        kind: Option<RequestKind>,
    },
    /// The open request about this namespace or prefix (draft 14).
    Namespace(Namespace),
}

/// The kinds of requests that earlier drafts answer with messages of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestKind {
    /// SUBSCRIBE.
    Subscribe,
    /// PUBLISH.
    Publish,
    /// FETCH.
    Fetch,
    /// TRACK_STATUS.
    TrackStatus,
    /// PUBLISH_NAMESPACE.
    PublishNamespace,
    /// SUBSCRIBE_NAMESPACE, whatever it wants.
    SubscribeNamespace,
}

/// Options of SETUP (section 10.3.1); unknown ones are ignored.
///
/// Drafts 14 and 16: parameters of CLIENT_SETUP and SERVER_SETUP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setup {
    /// Who says it: up to draft 16, where the message's type tells.
    pub sender: Option<Role>,
    /// Versions the client offers, or the one the server has chosen: draft 14.
    pub versions: Vec<u64>,
    /// MAX_REQUEST_ID: request ids must be below this; absent: none may be sent. Up to draft 16.
    pub max_request_id: Option<u64>,
    /// MAX_FILTER_RANGES: ranges in all range filters of one request; absent: 0. Draft 19.
    pub filter_ranges_max: Option<u64>,
    /// MAX_REQUEST_UPDATES: unanswered updates of one request; absent or 0: no limit. Draft 19.
    pub request_updates_max: Option<u64>,
    /// PATH: client only, raw QUIC only.
    pub path: Option<Bytes>,
    /// AUTHORITY: client only, raw QUIC only.
    pub authority: Option<Bytes>,
    /// AUTHORIZATION_TOKEN, may repeat.
    pub authorization: Vec<Token>,
    /// MAX_AUTH_TOKEN_CACHE_SIZE in bytes; absent: 0.
    pub auth_token_cache_bytes_max: Option<u64>,
    /// MOQT_IMPLEMENTATION.
    pub implementation: Option<Bytes>,
}

/// GOAWAY (section 10.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoAway {
    /// Where to go instead; empty: the same URI. At most 8,192 bytes.
    pub uri: Bytes,
    /// How long the sender waits; zero: not said.
    pub timeout: Duration,
    /// On the control stream of draft 18: the smallest request that was not processed.
    pub request: Option<RequestId>,
}

/// SUBSCRIBE and TRACK_STATUS (sections 10.7 and 10.15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The request.
    pub id: RequestId,
    /// The track.
    pub track: FullTrackName,
    /// Parameters.
    pub params: Parameters,
}

/// SUBSCRIBE_OK (section 10.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOk {
    /// What objects of the track carry.
    pub alias: TrackAlias,
    /// Parameters.
    pub params: Parameters,
    /// Track properties, raw.
    pub properties: Bytes,
}

/// PUBLISH (section 10.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The request.
    pub id: RequestId,
    /// The track.
    pub track: FullTrackName,
    /// What objects of the track carry.
    pub alias: TrackAlias,
    /// Parameters.
    pub params: Parameters,
    /// Track properties, raw.
    pub properties: Bytes,
}

/// PUBLISH_DONE (section 10.12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishDone {
    /// Why.
    pub status: PublishDoneCode,
    /// How many data streams were opened; `None`: not known.
    pub streams: Option<u64>,
    /// For people; at most 1,024 bytes.
    pub reason: String,
}

/// FETCH (section 10.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The request.
    pub id: RequestId,
    /// What is wanted.
    pub range: FetchRange,
    /// Parameters.
    pub params: Parameters,
}

/// What a FETCH wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchRange {
    /// A range of any track.
    Standalone {
        /// The track.
        track: FullTrackName,
        /// First object.
        start: Location,
        /// Last object plus one; object 0: the whole group.
        end: Location,
    },
    /// Groups before the start of a subscription.
    RelativeJoining {
        /// The subscription.
        subscription: RequestId,
        /// How many groups before.
        groups: u64,
    },
    /// From a group to the start of a subscription.
    AbsoluteJoining {
        /// The subscription.
        subscription: RequestId,
        /// The group.
        group: u64,
    },
}

/// FETCH_OK (section 10.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOk {
    /// `end` is the last object of the track.
    pub end_of_track: bool,
    /// Last object plus one; object 0: the whole group.
    pub end: Location,
    /// Parameters.
    pub params: Parameters,
    /// Track properties, raw.
    pub properties: Bytes,
}

/// PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE, SUBSCRIBE_TRACKS: a namespace and parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribePrefix {
    /// The request.
    pub id: RequestId,
    /// The namespace, or the prefix of namespaces.
    pub prefix: Namespace,
    /// Parameters.
    pub params: Parameters,
}

/// PUBLISH_BLOCKED (section 10.20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishBlocked {
    /// The track's namespace without the subscribed prefix.
    pub suffix: Namespace,
    /// The track's name.
    pub name: Bytes,
}

/// REQUEST_UPDATE (section 10.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestUpdate {
    /// The update's own request id.
    pub id: RequestId,
    /// What changes.
    pub params: Parameters,
}

/// REQUEST_OK (section 10.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestOk {
    /// Parameters.
    pub params: Parameters,
    /// Track properties, raw: only in answer to TRACK_STATUS.
    pub properties: Bytes,
}

/// REQUEST_ERROR (section 10.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError {
    /// Why.
    pub code: RequestCode,
    /// After which time it may be tried again; `None`: never.
    pub retry: Option<Duration>,
    /// For people; at most 1,024 bytes.
    pub reason: String,
    /// Where to go instead: exactly with [`RequestCode::Redirect`].
    pub redirect: Option<Redirect>,
}

/// Where to repeat a request (section 10.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The URI; empty: the same. At most 8,192 bytes. Servers must not receive one.
    pub uri: Bytes,
    /// The namespace and track; `None`: the same.
    pub track: Option<FullTrackName>,
}

impl RequestError {
    /// Makes an error that is final.
    pub fn new(code: RequestCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            retry: None,
            reason: reason.into(),
            redirect: None,
        }
    }

    /// Says after which time the request may be tried again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry = Some(after);
        self
    }
}

impl Message {
    /// Longest payload of a message, in bytes.
    pub const PAYLOAD_LEN_BYTES_MAX: usize = 0xffff;
    /// Most versions in CLIENT_SETUP: far more than there have been.
    pub const VERSIONS_MAX: usize = 64;

    /// Takes one message from the front of `buf`; `None`, and nothing taken: more bytes needed.
    ///
    /// What the message is about is lost where it says so: see [`Envelope::decode`].
    ///
    /// # Errors
    ///
    /// When the bytes break the draft; the session must end.
    pub fn decode(draft: Draft, buf: &mut BytesMut) -> Result<Option<Self>, DecodeError> {
        Ok(Envelope::decode(draft, buf)?.map(|envelope| envelope.message))
    }

    /// Adds the message to `out`.
    ///
    /// # Errors
    ///
    /// When a field is longer than the draft allows, a parameter does not belong there, or the draft wants to know what
    /// it is about (see [`Envelope::encode`]); `out` is then unchanged.
    pub fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        codec::encode(self, None, draft, out)
    }
}

impl Message {
    pub(crate) fn encode_about(
        &self,
        about: Option<&About>,
        draft: Draft,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        codec::encode(self, about, draft, out)
    }
}

impl Envelope {
    /// Takes one message from the front of `buf`; `None`, and nothing taken: more bytes needed.
    ///
    /// # Errors
    ///
    /// When the bytes break the draft; the session must end.
    pub fn decode(draft: Draft, buf: &mut BytesMut) -> Result<Option<Self>, DecodeError> {
        codec::decode(draft, buf)
    }

    /// Adds the message to `out`. What the draft has no way to say (a redirect, a parameter) is left out.
    ///
    /// # Errors
    ///
    /// When the draft has no such message, a field is longer than it allows, a parameter does not belong there, or it
    /// is not said what the message is about; `out` is then unchanged.
    pub fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        codec::encode(&self.message, self.about.as_ref(), draft, out)
    }
}
