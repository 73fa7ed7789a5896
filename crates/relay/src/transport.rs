//! The connection under a session: from here on every transport looks alike.
//!
//! Everything is polled by the session's one task. Only this module, `handshake` and `endpoint`
//! know which library carries the bytes.

mod quic;

use std::{net::SocketAddr, time::Duration};

pub(crate) use quic::{Opening, Probe, RecvStream, SendStream, Transport};

/// How a connection does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) peer: SocketAddr,
    pub(crate) rtt: Duration,
    pub(crate) lost_packets: u64,
}

/// Why nothing more can be read from a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The peer gave the stream up, with this code.
    Reset(u32),
    /// The connection is over.
    Lost,
}

/// Why nothing more can be written to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// The peer wants no more of it, with this code.
    Stopped(u32),
    /// The connection is over, or our end of the stream was closed before.
    Lost,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The peer's application ended it.
    Peer {
        /// A session's code.
        code: u32,
        /// The peer's own words, which may be anything.
        reason: String,
    },
    /// Nothing was heard for too long.
    TimedOut,
    /// Any other end, our own included.
    Lost(String),
}
