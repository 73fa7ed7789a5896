//! The TCP connection of a leg: reads within a budget, writes whole messages or none, never waits.

use std::{
    io,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use moqrelay_wire::audiosocket::{DecodeError, HANGUP, Message, Rate, encode_audio};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::road::Sent;

/// What is read between two ticks: eight times the fastest sound there is (192 kHz), so that a backlog is read away
/// quickly and a flood costs little.
const READ_BYTES_PER_TICK: usize = 64 * 1024;

/// What is read at a time: two messages of 48 kHz.
const READ_BYTES: usize = 4 * 1024;

/// A buffer that an oversized message has grown is given back beyond this.
const INBOX_BYTES_KEPT: usize = 16 * 1024;

/// Asterisk that reads nothing for so long will not read again: some seconds of sound wait in its own buffers then.
pub(super) const STALL_MAX: Duration = Duration::from_secs(10);

/// How long the other end may take to answer our hang-up with its own close.
pub(super) const LINGER_MAX: Duration = Duration::from_millis(500);

/// One connection whose call is known.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    inbox: BytesMut,
    /// The rest of a message of which the kernel took only a part; it must go out before anything else.
    outbox: BytesMut,
    budget: usize,
    arrived: Arrived,
    stalled: Option<Instant>,
}

/// What [`Socket::poll_ready`] has read and [`Socket::read`] has not told yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrived {
    /// Nothing; the kernel has no more.
    Nothing,
    /// Something that did not fill the buffer: the kernel has no more.
    All,
    /// Something, and there may be more.
    Part,
    /// Told; there may be more.
    Told,
    /// The other end has closed.
    End,
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Bytes.
    Some,
    /// Nothing more for now.
    Empty,
    /// The budget is used up; more may wait.
    Spent,
    /// The other end has closed.
    Ended,
}

impl Socket {
    /// Takes a connection, and what was read from it behind the call's id.
    pub(crate) fn new(stream: TcpStream, inbox: BytesMut) -> Self {
        Self {
            stream,
            inbox,
            outbox: BytesMut::new(),
            budget: READ_BYTES_PER_TICK,
            arrived: Arrived::Nothing,
            stalled: None,
        }
    }

    /// Ready when something was read within the budget, or the rest of a message can be written.
    ///
    /// It reads by itself because tokio knows then, after a read that did not fill the buffer, that the kernel has no
    /// more: asking for readiness first costs a second call to the kernel for every message.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outbox.is_empty() && self.stream.poll_write_ready(cx)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        match self.budget {
            0 => Poll::Pending,
            // What the last budget left.
            _ if self.arrived == Arrived::Told => Poll::Ready(Ok(())),
            _ => self.poll_receive(cx),
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.make_room();
        // Nothing is lost with this future: the socket itself remembers whom to wake.
        let read = pin!(self.stream.read_buf(&mut self.inbox));
        let len = ready!(read.poll(cx))?;
        self.received(len);
        self.arrived = match len {
            0 => Arrived::End,
            _ if self.inbox.len() == self.inbox.capacity() => Arrived::Part,
            _ => Arrived::All,
        };
        Poll::Ready(Ok(()))
    }

    fn make_room(&mut self) {
        if self.inbox.is_empty() && self.inbox.capacity() > INBOX_BYTES_KEPT {
            self.inbox = BytesMut::new();
        }
        self.inbox.reserve(READ_BYTES);
    }

    fn received(&mut self, len: usize) {
        self.budget = self.budget.saturating_sub(len);
    }

    /// Begins the budget of the next tick.
    pub(super) fn refill(&mut self) {
        self.budget = READ_BYTES_PER_TICK;
    }

    /// Tells of what [`poll_ready`](Self::poll_ready) has read, and then reads on while there may be more.
    pub(super) fn read(&mut self) -> io::Result<Read> {
        match self.arrived {
            Arrived::Nothing => return Ok(Read::Empty),
            Arrived::End => return Ok(Read::Ended),
            Arrived::All => {
                self.arrived = Arrived::Nothing;
                return Ok(Read::Some);
            }
            Arrived::Part => {
                self.arrived = Arrived::Told;
                return Ok(Read::Some);
            }
            Arrived::Told => {}
        }
        if self.budget == 0 {
            return Ok(Read::Spent);
        }
        self.make_room();
        match self.stream.try_read_buf(&mut self.inbox) {
            Ok(0) => {
                self.arrived = Arrived::End;
                Ok(Read::Ended)
            }
            Ok(len) => {
                self.received(len);
                Ok(Read::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.arrived = Arrived::Nothing;
                Ok(Read::Empty)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Read::Some),
            Err(error) => Err(error),
        }
    }

    /// Takes the next message of what was read.
    pub(super) fn next_message(&mut self) -> Result<Option<Message>, DecodeError> {
        Message::decode(&mut self.inbox)
    }

    /// Sends one frame by one write; `samples` are those of 20 ms at `rate`.
    pub(super) fn send(&mut self, rate: Rate, samples: &[i16], now: Instant) -> io::Result<Sent> {
        self.flush()?;
        if self.outbox.is_empty() && encode_audio(rate, samples, &mut self.outbox).is_ok() {
            let whole = self.outbox.len();
            self.flush()?;
            if self.outbox.len() < whole {
                self.stalled = None;
                return Ok(Sent::Yes);
            }
            // Nothing of it is out: it may be dropped, and the next one is fresher.
            self.outbox.clear();
        }
        let since = *self.stalled.get_or_insert(now);
        Ok(if now.duration_since(since) < STALL_MAX {
            Sent::Dropped
        } else {
            Sent::Stalled
        })
    }

    /// Writes the rest of a message, as much as the kernel takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.try_write(&self.outbox) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.outbox.advance(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says `00 0000` behind whatever has begun; what the kernel does not take at once waits for
    /// [`close`](Self::close).
    pub(super) fn say_hangup(&mut self) {
        self.outbox.extend_from_slice(&HANGUP);
        if let Err(error) = self.flush() {
            tracing::trace!(%error, "the connection was gone before our hang-up");
            self.outbox.clear();
        }
    }

    /// Ends the connection after the hang-up was said: what is left goes out and the other end closes, or
    /// [`LINGER_MAX`] passes.
    ///
    /// Closing at once while sound is unread would send a reset.
    pub(crate) async fn close(mut self) {
        let farewell = async {
            self.stream.write_all_buf(&mut self.outbox).await?;
            self.stream.shutdown().await?;
            self.inbox.clear();
            loop {
                self.inbox.clear();
                self.inbox.reserve(READ_BYTES);
                if self.stream.read_buf(&mut self.inbox).await? == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        match timeout(LINGER_MAX, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::trace!(%error, "the connection was gone before its end"),
            Err(_) => tracing::debug!("the other end did not close after our hang-up"),
        }
    }
}

/// Refuses a connection: `00 0000`, then the close.
pub(crate) async fn refuse(stream: TcpStream) {
    let mut socket = Socket::new(stream, BytesMut::new());
    socket.say_hangup();
    socket.close().await;
}
