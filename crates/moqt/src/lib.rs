//! MoQT on the wire: the codec of every draft and the state machine of a session.
//!
//! There is no I/O here: no sockets, no tasks, no clock. Whoever owns the transport (a *driver*) moves bytes
//! between it and a [`Session`], and hands the time in as [`Duration`](core::time::Duration) since an arbitrary start.
//! The same source serves the relay (native) and the browser (WebAssembly). Speaks draft-ietf-moq-transport-18, 16, 14, and 19.
//!
//! # Order of calls: control
//!
//! 1. When the transport is up: [`Session::new`], then drain [`Session::poll_output`]. The first outputs open the
//!    control stream and write SETUP on it.
//! 2. The peer opened a bidirectional stream: [`Session::accept_bi`] gives it an id. The peer opened a
//!    unidirectional stream: peek at its first bytes with [`data::classify`]; for [`data::StreamKind::Control`]
//!    call [`Session::accept_control`] and hand it *all* bytes, the peeked ones too.
//! 3. Bytes, FIN, RESET_STREAM, STOP_SENDING on those streams: [`Session::handle_stream`],
//!    [`Session::handle_reset`], [`Session::handle_stop`].
//! 4. At the time [`Session::poll_timeout`] names: [`Session::handle_timeout`].
//! 5. After each of these and after every local call ([`Session::subscribe`], [`Session::accept_subscribe`], …) drain
//!    [`Session::poll_output`] until `None` and ask [`Session::poll_timeout`] again.
//! 6. After [`Output::Close`] the session is dead: close the transport with that code and drop it.
//!
//! Requests may be made before the peer's SETUP arrived; what the peer sends early is kept, within limits, until it has.
//!
//! # Order of calls: objects
//!
//! Data streams and datagrams do not pass through [`Session`]. The driver keeps a table from [`TrackAlias`] to its own
//! subscriptions ([`Event::SubscribeOk`] and [`Event::Publish`] bring the peer's aliases; [`Session::publish`] and
//! [`Session::accept_subscribe`] return ours) and uses [`data`]:
//!
//! - receiving a stream: [`data::classify`], then [`data::SubgroupDecoder`]; at FIN [`data::SubgroupDecoder::finish`];
//! - receiving the answer to a FETCH: [`data::FetchDecoder`] and [`data::FetchCheck`], then
//!   [`Session::finish_fetch`]; answering one: [`data::FetchEncoder`];
//! - receiving a datagram: [`data::Datagram::decode`];
//! - sending: [`data::SubgroupEncoder`] (headers apart from the payload, so that payloads are shared) and
//!   [`data::ObjectDatagram::encode`].
//!
//! A [`DecodeError`] there names the code with which the whole session must end: pass it to [`Session::close`].
//!
//! # The fallback
//!
//! [`qmux`] is the transport where there is neither WebTransport nor QUIC: streams and datagrams over a WebSocket.
//!
//! # Limits
//!
//! Everything the peer can make grow is bounded by [`Limits`] and [`data::Limits`].

mod code;
mod collections;
pub mod data;
mod draft;
mod error;
mod ids;
mod kvp;
mod message;
mod name;
mod param;
mod property;
pub mod qmux;
mod session;
mod token;
mod varint;
mod wire;

pub use code::{PublishDoneCode, RequestCode, ResetCode, SessionCode};
pub use draft::{Draft, VarIntFlavour};
pub use error::{DecodeError, EncodeError};
pub use ids::{Location, RequestId, StreamId, TrackAlias};
pub use kvp::{KeyValue, KeyValueEncoder, KeyValues, Value};
pub use message::{
    About, Envelope, Fetch, FetchOk, FetchRange, GoAway, Message, Publish, PublishBlocked,
    PublishDone, Redirect, RequestError, RequestKind, RequestOk, RequestUpdate, Setup, Subscribe,
    SubscribeOk, SubscribePrefix,
};
pub use name::{FullTrackName, NameError, Namespace};
pub use param::{
    Candidate, Filter, GroupOrder, InvalidFilter, Parameters, RangeFilter, RangeKind, Scope,
    Selector,
};
pub use property::{ObjectProperties, TrackProperties, translate_properties};
pub use session::{
    CallError, Config, Direction, Event, FetchAnswer, FetchOptions, Limits, Output, PeerSetup,
    PublishOptions, Role, Session, SubscribeAnswer, SubscribeOptions, Transport,
};
pub use token::{AuthToken, Token, TokenCache, TokenError};
pub use varint::VarInt;
