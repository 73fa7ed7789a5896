//! HTTP API, signaling WebSocket, tokens.
//!
//! [`Control`] serves the web page, `/api/v1/*` and the signaling socket (docs/protocol.md). What
//! devices and Asterisk ask for comes out of a bounded queue as [`Request`]s in the words of
//! `moqrelay-room`; what the switchboard decides goes back by [`Reply`] and [`Control::notify`].
//! Sessions, their event logs and resume keys live here; calls do not. [`serve_ops`] is the small
//! listener for metrics, health and a look into the relay.

mod config;
mod control;
pub mod directory;
mod files;
mod guest;
mod http;
mod listener;
pub mod media;
mod ops;
mod page;
mod place;
mod random;
mod rate;
mod request;
mod session;
mod socket;
mod ticket;
pub mod token;
mod translate;

pub use config::{Calls, Config, Files, Guests, Limits, Transport, TransportSource, Web};
pub use control::{Control, Counts};
pub use directory::Directory;
pub use files::file_id;
pub use listener::{secure, secure_client};
pub use ops::{
    Backlog, Cache, NoLog, Operated, Ops, ProgramPlace, RelayOps, RelaySession, RelaySessions,
    RelayTrack, RelayTracks, Room, Traffic, Trunk, serve_ops,
};
pub use place::PlaceKey;
pub use request::{
    Bidden, FileDone, FileOperation, FileRequest, Operation, Reply, Request, Requests, RoomRequest,
    Visitor,
};
pub use translate::{action, participant};
