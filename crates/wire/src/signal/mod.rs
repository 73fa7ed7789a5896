//! Signaling messages (docs/protocol.md, section 4): JSON text, one object for each message.
//!
//! [`decode`] is what a server does with a client's text; [`ServerMessage`] is what it sends.
//! [`to_typescript`] prints the same types for the web page. Who may do what is not decided here.

mod client;
mod room;
mod server;
mod types;
mod typescript;

pub use client::{ClientMessage, DecodeError, Request, Resume, decode};
pub use room::{
    Act, ChatFile, ChatMessage, DialState, FilesTaken, Join, Joined, LEVEL_DB_MAX, LEVEL_DB_MIN,
    PlaceState, REACTION_LEN_MAX, RoomId, RoomMedia, RoomView,
};
pub use server::{Done, Event, Limits, Notice, Registered, Sequenced, ServerMessage};
pub use types::{
    CallId, CallState, CallView, Cause, Code, Digits, Direction, Heard, InvalidCallId,
    InvalidDigits, Media, OwnPresence, ParkedCall, Party, PartyKind, Peer, Presence, PresenceState,
    Rules, Services, Silence, Transferring,
};
pub use typescript::to_typescript;

/// The WebSocket subprotocol; the number changes when an old client would misunderstand.
pub const SUBPROTOCOL: &str = "moqrelay.v1";

/// The longest message in either direction, in bytes: a token and room to spare.
pub const MESSAGE_LEN_MAX: usize = 16 * 1024;

/// The longest token in a `register`, in bytes; ours are below one KiB.
pub const TOKEN_LEN_MAX: usize = 8 * 1024;

/// The longest `to` of a call or transfer, in bytes: the longest user id.
pub const TARGET_LEN_MAX: usize = 64;

/// The longest name that a `join` may bring, in bytes; what is shown of it is shorter.
pub const ROOM_TEXT_LEN_MAX: usize = 1024;

/// The longest key of a place, in bytes; ours are below half of it.
pub const ROOM_KEY_LEN_MAX: usize = 1024;

/// How many digits one `dtmf` carries at most; at four a second this is eight seconds of tones.
pub const DIGITS_MAX: usize = 32;

/// The largest request `id`: what every JavaScript number holds exactly.
pub const REQUEST_ID_MAX: u64 = (1 << 53) - 1;
