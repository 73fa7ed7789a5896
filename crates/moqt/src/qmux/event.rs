//! What a connection tells: what happened, how a call ended, how it all ended.

use bytes::Bytes;

use super::FrameError;
use crate::Direction;

/// Names a stream of one connection, for as long as it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub(super) u64);

/// What happened. Each but `Closed` answers a call that had nothing to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The peer opened streams: [`Mux::accept`].
    Incoming(Direction),
    /// The peer allows more streams: [`Mux::open`].
    Openable(Direction),
    /// There is something to read: [`Mux::read`].
    Readable(StreamKey),
    /// There is room: [`Mux::write`]. Of several streams the most urgent should write first.
    Writable(StreamKey),
    /// Everything was sent, or is unwanted: [`Mux::done`].
    Done(StreamKey),
    /// Datagrams arrived: [`Mux::receive_datagram`].
    Datagram,
    /// The connection is over: [`Mux::closed`].
    Closed,
}

/// What a stream has to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing now; [`Event::Readable`] will come.
    Blocked,
    /// The end.
    Finished,
}

/// Why nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// The peer gave the stream up.
    Reset(u32),
    /// The connection is over.
    Lost,
}

/// Why nothing more can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// The peer wants no more of it.
    Stopped(u32),
    /// The connection is over, or the stream has ended.
    Lost,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// We ended it.
    Ours,
    /// The peer's application ended it.
    Peer {
        /// Its code.
        code: u32,
        /// Its words.
        reason: String,
    },
    /// The peer's QMux found a fault.
    Failed {
        /// The code of QUIC.
        code: u64,
        /// Its words.
        reason: String,
    },
    /// The peer broke the protocol.
    Violation(Violation),
    /// Nothing was heard for too long, or nothing of ours was taken.
    TimedOut,
    /// The WebSocket ended without a word.
    Lost,
}

/// How a peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Bytes that are no frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A record beyond what we allowed.
    #[error("a record of {0} bytes")]
    RecordSize(usize),
    /// Transport parameters that are not the first frame, or come twice.
    #[error("transport parameters must be the first frame, and come once")]
    Order,
    /// More bytes than allowed.
    #[error("more bytes than flow control allows")]
    FlowControl,
    /// More streams than allowed.
    #[error("more streams than allowed")]
    StreamLimit,
    /// A frame about a stream that cannot have it.
    #[error("a frame that stream {0} cannot have")]
    StreamState(u64),
    /// Bytes that are not where the last ones ended, or beyond the end.
    #[error("stream {0} has a gap, or goes on after its end")]
    FinalSize(u64),
    /// A datagram larger than allowed.
    #[error("a datagram of {0} bytes")]
    DatagramSize(usize),
}

impl Violation {
    /// Returns QUIC's code for it (RFC 9000 section 20.1).
    pub(super) fn code(self) -> u64 {
        match self {
            Self::FlowControl => 0x03,
            Self::StreamLimit => 0x04,
            Self::StreamState(_) => 0x05,
            Self::FinalSize(_) => 0x06,
            Self::Frame(FrameError::Truncated | FrameError::UnknownType(_)) => 0x07,
            Self::Frame(FrameError::Parameter(_)) => 0x08,
            Self::RecordSize(_) | Self::Order | Self::DatagramSize(_) => 0x0a,
        }
    }
}
