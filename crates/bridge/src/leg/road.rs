//! How 20 ms of sound travel between a leg and Asterisk: the one seam between a leg and its transport.
//!
//! Nothing here ever waits but [`Road::close`]; a leg looks at its road when its clock or the
//! road itself says so.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use moqrelay_wire::audiosocket::{Audio, Message, Rate};
use tokio::time::Instant;

use super::{MediaSocket, RtpLine, Socket, rtp_line::Counts, socket::Read};
use crate::codec::Codec;

/// A leg's way to Asterisk.
#[derive(Debug)]
pub(crate) enum Road {
    /// TCP, PCM of any rate, one message for each 20 ms.
    AudioSocket(Socket),
    /// `chan_websocket`.
    WebSocket(Box<MediaSocket>),
    /// RTP by the port of all legs.
    Rtp(Box<RtpLine>),
}

/// What a road takes from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// PCM of the rate that the leg is told, or that arrives.
    AnyPcm,
    /// PCM of this rate only.
    Pcm(Rate),
    /// Opus packets.
    Opus,
}

/// What came from Asterisk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// PCM under AudioSocket's label, which may be wrong.
    Labelled(Audio),
    /// PCM of the road's rate.
    Pcm(Audio),
    /// So much before the next sound never came.
    Lost(Duration),
    /// An Opus packet.
    Packet(Bytes),
    /// A key of the telephone.
    Digit(char),
    /// Asterisk hangs up.
    Ended,
    /// Nothing that matters here.
    Nothing,
    /// Something that makes no sense; the road goes on.
    Nonsense(String),
    /// Something after which nothing can be trusted.
    Broken(&'static str),
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The kernel has it, or the rest of it will go out first.
    Yes,
    /// Asterisk or the kernel takes nothing now: the frame is dropped.
    Dropped,
    /// As before, for too long.
    Stalled,
}

impl Road {
    /// Returns the name that logs and reports have for it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::AudioSocket(_) => "audiosocket",
            Self::WebSocket(_) => "websocket",
            Self::Rtp(_) => "rtp",
        }
    }

    /// Returns the codec, where it does not depend on what arrives.
    pub(super) fn codec(&self) -> Option<Codec> {
        match self {
            Self::AudioSocket(_) => None,
            Self::WebSocket(socket) => Some(socket.codec()),
            Self::Rtp(line) => Some(line.codec()),
        }
    }

    /// Returns what of RTP was not taken; nothing on other roads.
    pub(super) fn counts(&self) -> Counts {
        match self {
            Self::AudioSocket(_) | Self::WebSocket(_) => Counts::default(),
            Self::Rtp(line) => line.counts(),
        }
    }

    /// Passes over frames that are never sent.
    pub(super) fn skip(&mut self, frames: u64) {
        match self {
            // Their sound has no time of its own.
            Self::AudioSocket(_) | Self::WebSocket(_) => {}
            Self::Rtp(line) => line.skip(frames),
        }
    }

    /// Returns what it takes.
    pub(super) fn carries(&self) -> Carries {
        match self.codec().map(Codec::rate) {
            None => Carries::AnyPcm,
            Some(Some(rate)) => Carries::Pcm(rate),
            Some(None) => Carries::Opus,
        }
    }

    /// Ready when something came, within the budget, or the rest of a message can be written.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::AudioSocket(socket) => socket.poll_ready(cx),
            Self::WebSocket(socket) => socket.poll_ready(cx),
            Self::Rtp(line) => line.poll_ready(cx).map(Ok),
        }
    }

    /// Begins the next 20 ms: the budget is whole again.
    pub(super) fn refill(&mut self, now: Instant) -> io::Result<()> {
        match self {
            Self::AudioSocket(socket) => {
                socket.refill();
                Ok(())
            }
            Self::WebSocket(socket) => socket.refill(now),
            Self::Rtp(line) => line.refill(now),
        }
    }

    /// Reads once, and writes what could not be written before.
    pub(super) fn read(&mut self) -> io::Result<Read> {
        match self {
            Self::AudioSocket(socket) => {
                socket.flush()?;
                socket.read()
            }
            Self::WebSocket(socket) => Ok(socket.read()),
            Self::Rtp(line) => Ok(line.read()),
        }
    }

    /// Takes the next of what was read.
    pub(super) fn next(&mut self) -> Option<Arrival> {
        match self {
            Self::AudioSocket(socket) => match socket.next_message() {
                Ok(None) => None,
                Ok(Some(message)) => Some(from_audiosocket(message)),
                Err(error) => Some(Arrival::Nonsense(error.to_string())),
            },
            Self::WebSocket(socket) => socket.next(),
            Self::Rtp(line) => line.next(),
        }
    }

    /// Sends 20 ms of PCM.
    pub(super) fn send(&mut self, rate: Rate, samples: &[i16], now: Instant) -> io::Result<Sent> {
        match self {
            Self::AudioSocket(socket) => socket.send(rate, samples, now),
            Self::WebSocket(socket) => socket.send(samples, now),
            Self::Rtp(line) => line.send(samples),
        }
    }

    /// Sends an Opus packet on a road that [`Carries::Opus`].
    pub(super) fn send_packet(&mut self, packet: Bytes, now: Instant) -> io::Result<Sent> {
        match self {
            // Never asked for.
            Self::AudioSocket(_) | Self::Rtp(_) => Ok(Sent::Dropped),
            Self::WebSocket(socket) => socket.send_packet(packet, now),
        }
    }

    /// Answers a call that Asterisk leaves to us to answer.
    pub(super) fn answer(&mut self) -> io::Result<()> {
        match self {
            // Asterisk has answered it by connecting, or ARI does it.
            Self::AudioSocket(_) | Self::Rtp(_) => Ok(()),
            Self::WebSocket(socket) => socket.answer(),
        }
    }

    /// Tells Asterisk that the leg is over; the rest is done by [`close`](Self::close).
    pub(super) fn say_hangup(&mut self) {
        match self {
            Self::AudioSocket(socket) => socket.say_hangup(),
            Self::WebSocket(socket) => socket.say_hangup(),
            Self::Rtp(line) => line.say_hangup(),
        }
    }

    /// Ends the connection after the hang-up was said, within a moment.
    pub(crate) async fn close(self) {
        match self {
            Self::AudioSocket(socket) => socket.close().await,
            Self::WebSocket(socket) => socket.close().await,
            // Dropping it leaves the exchange.
            Self::Rtp(_) => {}
        }
    }
}

fn from_audiosocket(message: Message) -> Arrival {
    match message {
        Message::Audio(audio) => Arrival::Labelled(audio),
        Message::Digit(digit) => Arrival::Digit(digit),
        Message::Hangup => Arrival::Ended,
        Message::Id(_) => Arrival::Broken("a second call id on one connection"),
        Message::Fault(code) => Arrival::Nonsense(format!("fault reported, code {code:?}")),
        _ => Arrival::Nothing,
    }
}
