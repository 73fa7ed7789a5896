//! QMux (draft-ietf-quic-qmux, 01 and 02): QUIC's streams and datagrams over a WebSocket.
//!
//! The fallback of a session whose network lets no UDP through. One binary WebSocket message is one QMux record: a few
//! frames, encoded as QUIC's are (RFC 9000 section 19). [`Mux`] is the state machine of a connection, without I/O and
//! for both roles, so that the relay and the browser share it: messages and the time go in, messages and [`Event`]s
//! come out.
//!
//! # Order of calls
//!
//! 1. [`Mux::new`] when the WebSocket is open; [`Subprotocol`] says what it agreed on.
//! 2. A message arrived: [`Mux::handle_message`]. At the time [`Mux::poll_timeout`] names: [`Mux::handle_timeout`].
//! 3. Whenever the socket can take a message: [`Mux::poll_transmit`], until it has none. A message that was handed out
//!    can be overtaken by nothing, so ask for one only when the socket has room: what waits in here is sent by priority
//!    and can still be dropped.
//! 4. After each call [`Mux::poll_event`] until `None`. A stream that said "blocked" has one event to come; nothing is
//!    told twice.
//! 5. [`Mux::closed`] ends it: send what [`Mux::poll_transmit`] still has, then close the WebSocket.
//!
//! # Limits
//!
//! The peer's streams, their bytes and its datagrams are bounded by [`Config`]; so is what waits for the socket, in bytes
//! and in time. A stream that was reset before anything of it was sent costs nothing.

mod event;
mod frame;
mod mux;
mod params;
mod streams;

pub use event::{Closed, Event, ReadError, Received, StreamKey, WriteError};
pub use frame::{Frame, FrameError};
pub use mux::{Config, Mux};
pub use params::Parameters;

/// A version of QMux. Both have the same frames; 02 is stricter about their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// draft-ietf-quic-qmux-02.
    V02,
    /// draft-ietf-quic-qmux-01.
    V01,
}

impl Version {
    /// Every version spoken here, the preferred one first.
    pub const ALL: &'static [Self] = &[Self::V02, Self::V01];

    /// Returns its name in a WebSocket's subprotocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V02 => "qmux-02",
            Self::V01 => "qmux-01",
        }
    }
}

/// What `Sec-WebSocket-Protocol` says: a version of QMux and the protocol inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subprotocol<'a> {
    /// The version.
    pub version: Version,
    /// The protocol inside, such as `moqt-18`; empty: not said.
    pub inner: &'a str,
}

impl<'a> Subprotocol<'a> {
    /// Reads one name, such as `qmux-02.moqt-18`; `None`: it is not QMux, or of a version unknown here.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        Version::ALL.iter().find_map(|version| {
            let inner = match name.strip_prefix(version.name())? {
                "" => "",
                rest => rest.strip_prefix('.').filter(|inner| !inner.is_empty())?,
            };
            Some(Self {
                version: *version,
                inner,
            })
        })
    }
}

impl std::fmt::Display for Subprotocol<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.version.name())?;
        if !self.inner.is_empty() {
            write!(f, ".{}", self.inner)?;
        }
        Ok(())
    }
}
