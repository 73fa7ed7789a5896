//! The connection under a session: from here on every transport looks alike.
//!
//! Everything is polled by the session's one task. Only this module, `handshake`, `endpoint` and
//! `fallback` know what carries the bytes. Which transport it is, is a branch, not a virtual call:
//! objects pass here one by one.

pub(crate) mod qmux;
mod quic;

use std::{
    future::Future,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use moqrelay_moqt::Direction;
use web_transport_quinn::Session;

/// A connection that carries one MoQ session.
#[allow(clippy::large_enum_variant, reason = "nearly every session is on QUIC")]
pub(crate) enum Transport {
    /// WebTransport or raw QUIC.
    Quic(quic::Transport),
    /// QMux over a WebSocket.
    Qmux(qmux::Transport),
}

/// How a connection does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) peer: SocketAddr,
    pub(crate) rtt: Duration,
    pub(crate) lost_packets: u64,
}

/// How a connection did until now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) rtt: Duration,
    /// The congestion window: what may be under way.
    pub(crate) window_bytes: u64,
    /// Since the connection began, with the headers of IP and UDP.
    pub(crate) sent_bytes: u64,
    pub(crate) sent_packets: u64,
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

impl Transport {
    /// `bi_max`, `uni_max`: how many streams the connection's configuration lets the peer open.
    pub(crate) fn quic(session: Session, bi_max: u32, uni_max: u32) -> Self {
        Self::Quic(quic::Transport::new(session, bi_max, uni_max))
    }

    /// Waits for the peer's first stream, and tells whether it is a bidirectional one that begins
    /// with this byte. It is accepted and read again later.
    pub(crate) async fn begins_with(&mut self, byte: u8) -> bool {
        match self {
            Self::Quic(quic) => quic.begins_with(byte).await,
            Self::Qmux(_) => false,
        }
    }

    pub(crate) fn probe(&self) -> Probe {
        match self {
            Self::Quic(quic) => Probe::Quic(quic.probe()),
            Self::Qmux(qmux) => Probe::Qmux(qmux.probe()),
        }
    }

    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        match self {
            Self::Quic(quic) => quic.poll_closed(cx),
            Self::Qmux(qmux) => qmux.poll_closed(cx),
        }
    }

    /// `None`: the connection is over, of which [`Self::poll_closed`] tells.
    pub(crate) fn poll_accept_uni(&mut self, cx: &mut Context<'_>) -> Poll<Option<RecvStream>> {
        match self {
            Self::Quic(quic) => quic
                .poll_accept_uni(cx)
                .map(|recv| recv.map(RecvStream::Quic)),
            Self::Qmux(qmux) => qmux
                .poll_accept_uni(cx)
                .map(|recv| recv.map(RecvStream::Qmux)),
        }
    }

    /// As [`Self::poll_accept_uni`].
    pub(crate) fn poll_accept_bi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(SendStream, RecvStream)>> {
        match self {
            Self::Quic(quic) => quic.poll_accept_bi(cx).map(|pair| pair.map(of_quic)),
            Self::Qmux(qmux) => qmux.poll_accept_bi(cx).map(|pair| pair.map(of_qmux)),
        }
    }

    /// Moves what has arrived to `out`.
    pub(crate) fn receive_datagrams(&mut self, cx: &mut Context<'_>, out: &mut Vec<Bytes>) {
        match self {
            Self::Quic(quic) => quic.receive_datagrams(cx, out),
            Self::Qmux(qmux) => qmux.receive_datagrams(cx, out),
        }
    }

    /// Opens a stream without asking the heap for anything, unless it has to be waited for.
    pub(crate) fn open_uni(&self) -> OpeningUni {
        match self {
            Self::Quic(quic) => OpeningUni::Quic(quic.open_uni()),
            Self::Qmux(qmux) => OpeningUni::Qmux(qmux.open(Direction::Uni)),
        }
    }

    pub(crate) fn open_bi(&self) -> OpeningBi {
        match self {
            Self::Quic(quic) => OpeningBi::Quic(quic.open_bi()),
            Self::Qmux(qmux) => OpeningBi::Qmux(qmux.open(Direction::Bi)),
        }
    }

    /// Sends a datagram, or drops the oldest waiting ones; false when it can never be sent.
    pub(crate) fn send_datagram(&self, datagram: Bytes) -> bool {
        match self {
            Self::Quic(quic) => quic.send_datagram(datagram),
            Self::Qmux(qmux) => qmux.send_datagram(datagram),
        }
    }

    /// Returns how many bytes of datagrams the connection takes without dropping any.
    pub(crate) fn datagram_room(&self) -> usize {
        match self {
            Self::Quic(quic) => quic.datagram_room(),
            // It drops the oldest by itself.
            Self::Qmux(_) => usize::MAX,
        }
    }

    /// Returns how many bytes the connection carries in that time, roughly.
    pub(crate) fn carries_in(&self, time: Duration) -> usize {
        match self {
            Self::Quic(quic) => quic.carries_in(time),
            // Nobody knows: TCP is below.
            Self::Qmux(_) => usize::MAX,
        }
    }

    /// Returns how the connection did until now; `None`: nobody knows, TCP is below.
    pub(crate) fn sample(&self) -> Option<Sample> {
        match self {
            Self::Quic(quic) => Some(quic.sample()),
            Self::Qmux(_) => None,
        }
    }

    /// Lets the connection hold no more of its streams than it carries soon, at most `most` bytes.
    pub(crate) fn fit_window(&self, most: u64) {
        match self {
            Self::Quic(quic) => quic.fit_window(most),
            // Its window is fixed.
            Self::Qmux(_) => {}
        }
    }

    pub(crate) fn close(&self, code: u32, reason: &str) {
        match self {
            Self::Quic(quic) => quic.close(code, reason),
            Self::Qmux(qmux) => qmux.close(code, reason),
        }
    }

    /// Waits for a closed connection to be gone: until then its streams must be kept.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + use<> {
        let gone = match self {
            Self::Quic(quic) => Some(quic.gone()),
            // Its socket has a future of its own.
            Self::Qmux(_) => None,
        };
        async move {
            if let Some(gone) = gone {
                gone.await;
            }
        }
    }

    /// Lets the peer open more streams when it has many open already.
    pub(crate) fn allow_streams(&mut self, bi_open: usize, uni_open: usize, most: u32) {
        match self {
            Self::Quic(quic) => quic.allow_streams(bi_open, uni_open, most),
            // It may open as many as it ever may from the start: a stream that is not there costs nothing.
            Self::Qmux(_) => {}
        }
    }
}

/// Tells how a connection does, for as long as someone may ask.
pub(crate) enum Probe {
    Quic(quic::Probe),
    Qmux(qmux::Probe),
}

impl Probe {
    pub(crate) fn path(&self) -> Path {
        match self {
            Self::Quic(quic) => quic.path(),
            Self::Qmux(qmux) => qmux.path(),
        }
    }
}

/// A unidirectional stream that is being opened.
pub(crate) enum OpeningUni {
    Quic(quic::Opening<quic::SendStream>),
    Qmux(qmux::Opening),
}

impl OpeningUni {
    /// `None`: the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<SendStream>> {
        match self {
            Self::Quic(quic) => quic.poll(cx).map(|send| send.map(SendStream::Quic)),
            Self::Qmux(qmux) => qmux.poll_uni(cx).map(|send| send.map(SendStream::Qmux)),
        }
    }
}

/// A bidirectional stream that is being opened.
pub(crate) enum OpeningBi {
    Quic(quic::Opening<(quic::SendStream, quic::RecvStream)>),
    Qmux(qmux::Opening),
}

impl OpeningBi {
    /// `None`: the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<(SendStream, RecvStream)>> {
        match self {
            Self::Quic(quic) => quic.poll(cx).map(|pair| pair.map(of_quic)),
            Self::Qmux(qmux) => qmux.poll_bi(cx).map(|pair| pair.map(of_qmux)),
        }
    }
}

/// Our direction of a stream. Dropped without an end of its own it is finished.
pub(crate) enum SendStream {
    Quic(quic::SendStream),
    Qmux(qmux::SendStream),
}

impl SendStream {
    /// Writes as much as goes; ready when all is written. What was written is taken out of
    /// `chunks`.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        match self {
            Self::Quic(quic) => quic.poll_write(cx, chunks),
            Self::Qmux(qmux) => qmux.poll_write(cx, chunks),
        }
    }

    /// Waits for the peer to have everything (`Ok`; on TCP, for it to be sent) or to want no more.
    pub(crate) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        match self {
            Self::Quic(quic) => quic.poll_done(cx),
            Self::Qmux(qmux) => qmux.poll_done(cx),
        }
    }

    /// Returns what [`Self::poll_done`] waits for, without waiting.
    pub(crate) fn is_done(&mut self) -> bool {
        match self {
            Self::Quic(quic) => quic.is_done(),
            Self::Qmux(qmux) => qmux.is_done(),
        }
    }

    /// Ends the stream. Nothing happens when it has ended, or the peer has stopped it.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Quic(quic) => quic.finish(),
            Self::Qmux(qmux) => qmux.finish(),
        }
    }

    /// Gives the stream up. Nothing happens when it has ended, or the peer has stopped it.
    pub(crate) fn reset(&mut self, code: u32) {
        match self {
            Self::Quic(quic) => quic.reset(code),
            Self::Qmux(qmux) => qmux.reset(code),
        }
    }

    /// Sets which streams go before others: the higher first.
    pub(crate) fn set_priority(&self, priority: i32) {
        match self {
            Self::Quic(quic) => quic.set_priority(priority),
            Self::Qmux(qmux) => qmux.set_priority(priority),
        }
    }
}

/// The peer's direction of a stream. Dropped before its end, it is stopped.
pub(crate) enum RecvStream {
    Quic(quic::RecvStream),
    Qmux(qmux::RecvStream),
}

impl RecvStream {
    /// Reads what a stream has; `None`: it has ended.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        match self {
            Self::Quic(quic) => quic.poll_read(cx),
            Self::Qmux(qmux) => qmux.poll_read(cx),
        }
    }

    /// Tells the peer that no more is wanted. Nothing happens when the stream has ended.
    pub(crate) fn stop(&mut self, code: u32) {
        match self {
            Self::Quic(quic) => quic.stop(code),
            Self::Qmux(qmux) => qmux.stop(code),
        }
    }
}

fn of_quic((send, recv): (quic::SendStream, quic::RecvStream)) -> (SendStream, RecvStream) {
    (SendStream::Quic(send), RecvStream::Quic(recv))
}

fn of_qmux((send, recv): (qmux::SendStream, qmux::RecvStream)) -> (SendStream, RecvStream) {
    (SendStream::Qmux(send), RecvStream::Qmux(recv))
}
