//! The WebSocket of a leg, towards Asterisk's `chan_websocket`: one binary message for each 20 ms, control as text.

use std::{
    collections::VecDeque,
    future, io,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use moqrelay_wire::{
    chan_websocket::{Command, Event, Form},
    websocket::{Message, Opcode},
};
use tokio::time::{Instant, timeout};

use super::{
    coder::Coder,
    line::{Line, LineError},
    road::{Arrival, Sent},
    socket::{LINGER_MAX, Read, STALL_MAX},
};
use crate::codec::Codec;

/// Messages that are read between two ticks: a backlog is read away quickly, and a flood costs little.
const MESSAGES_PER_TICK: usize = 64;

/// How often Asterisk is asked how much of our sound waits there.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// What waits in Asterisk from there on is thrown away at once: half a second, after one of its threads stood still.
const QUEUED_MAX: u32 = 25;

/// Asterisk takes one piece every 20 ms by its own clock; one or two wait, as the clocks' phases are. What waits
/// beyond that at two looks in a row is delay that two clocks have added up to.
const QUEUED_USUAL: u32 = 2;

/// One connection whose call is known and whose `MEDIA_START` has come.
pub(crate) struct MediaSocket {
    line: Line,
    codec: Codec,
    coder: Coder,
    form: Form,
    inbox: VecDeque<Message>,
    /// Came to an end; what is in the inbox comes first.
    ended: bool,
    budget: usize,
    /// The kernel did not take all of what was sent.
    unflushed: bool,
    stalled: Option<Instant>,
    /// Asterisk's queue is full (XOFF).
    held: bool,
    answered: bool,
    status_due: Instant,
    /// What waited in Asterisk at the last look.
    queued: u32,
    /// Frames to leave out so that no more than usual waits there.
    surplus: u32,
    /// So much waits there that it is to be thrown away.
    flooded: bool,
}

impl MediaSocket {
    /// Takes a connection, and what came on it before and after `MEDIA_START`.
    pub(crate) fn new(line: Line, codec: Codec, form: Form, now: Instant) -> Self {
        Self {
            line,
            codec,
            coder: Coder::new(codec),
            form,
            inbox: VecDeque::new(),
            ended: false,
            budget: MESSAGES_PER_TICK,
            unflushed: false,
            stalled: None,
            held: false,
            answered: false,
            status_due: now + STATUS_INTERVAL,
            queued: 0,
            surplus: 0,
            flooded: false,
        }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Reads what is there into the inbox; ready when that was something.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed
            && let Poll::Ready(flushed) = self.line.poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        while self.budget > 0 && !self.ended {
            match self.line.poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    self.budget -= 1;
                    self.inbox.push_back(message.map_err(broken)?);
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending if self.inbox.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if self.inbox.is_empty() && !self.ended {
            // The budget is used up: the next tick brings another.
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn read(&mut self) -> Read {
        if !self.inbox.is_empty() {
            Read::Some
        } else if self.ended {
            Read::Ended
        } else {
            Read::Empty
        }
    }

    pub(super) fn next(&mut self) -> Option<Arrival> {
        let message = self.inbox.pop_front()?;
        Some(match message {
            Message::Binary(sound) if sound.is_empty() => Arrival::Nothing,
            Message::Binary(sound) if self.codec == Codec::Opus => Arrival::Packet(sound),
            Message::Binary(sound) => {
                let len = sound.len();
                match self.coder.decode(sound) {
                    Some(audio) => Arrival::Pcm(audio),
                    None => Arrival::Nonsense(format!("{len} bytes are not {}", self.codec)),
                }
            }
            Message::Text(text) => match Event::decode(&text) {
                Ok((event, _)) => self.take(event),
                Err(error) => Arrival::Nonsense(error.to_string()),
            },
            Message::Close(_) => Arrival::Ended,
            Message::Ping(_) => {
                // The answer goes out with the next turn at the latest.
                self.unflushed = true;
                Arrival::Nothing
            }
            Message::Pong(_) => Arrival::Nothing,
        })
    }

    fn take(&mut self, event: Event) -> Arrival {
        match event {
            Event::Digit(digit) => return Arrival::Digit(digit),
            Event::Xoff => {
                tracing::debug!("Asterisk's queue is full");
                self.held = true;
            }
            Event::Xon => self.held = false,
            Event::Status(status) => {
                self.held = status.full;
                // Asterisk has no such command for what it only passes on.
                self.flooded = status.queued >= QUEUED_MAX && self.codec != Codec::Opus;
                if self.flooded {
                    (self.queued, self.surplus, self.held) = (0, 0, false);
                    return Arrival::Nothing;
                }
                self.surplus = self.queued.min(status.queued).saturating_sub(QUEUED_USUAL);
                self.queued = status.queued;
            }
            Event::Fault(text) => return Arrival::Nonsense(text),
            Event::Start(_) => return Arrival::Nonsense("MEDIA_START twice".into()),
            _ => {}
        }
        Arrival::Nothing
    }

    /// Begins the budget of the next tick, and asks how Asterisk's queue is when it is time.
    pub(super) fn refill(&mut self, now: Instant) -> io::Result<()> {
        self.budget = MESSAGES_PER_TICK;
        if std::mem::take(&mut self.flooded) {
            tracing::info!("half a second of sound waits in Asterisk: it is thrown away there");
            self.command(Command::Flush)?;
        }
        if now >= self.status_due && !self.unflushed {
            self.status_due = now + STATUS_INTERVAL;
            self.command(Command::Status)?;
        }
        Ok(())
    }

    pub(super) fn send(&mut self, samples: &[i16], now: Instant) -> io::Result<Sent> {
        let bytes = self.coder.encode(samples);
        self.send_packet(bytes, now)
    }

    pub(super) fn send_packet(&mut self, packet: Bytes, now: Instant) -> io::Result<Sent> {
        if self.surplus > 0 {
            self.surplus -= 1;
            return Ok(Sent::Dropped);
        }
        if self.held || !self.flush()? {
            let since = *self.stalled.get_or_insert(now);
            return Ok(if now.duration_since(since) < STALL_MAX {
                Sent::Dropped
            } else {
                Sent::Stalled
            });
        }
        self.stalled = None;
        self.write(Opcode::Binary, &packet)?;
        Ok(Sent::Yes)
    }

    /// Says once that the call is answered, whether or not Asterisk waits for it.
    pub(super) fn answer(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.answered, true) {
            return Ok(());
        }
        self.command(Command::Answer)
    }

    fn command(&mut self, command: Command<'_>) -> io::Result<()> {
        let text = command.encode(self.form).map_err(io::Error::other)?;
        self.write(Opcode::Text, text.as_bytes())
    }

    fn write(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.line.send(opcode, payload);
        self.unflushed = true;
        self.flush().map(|_| ())
    }

    /// Returns whether nothing is left to be written.
    fn flush(&mut self) -> io::Result<bool> {
        if self.unflushed {
            // Whoever waits for the socket to be writable is `poll_ready`, which asks again with its own waker.
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready(flushed) = self.line.poll_flush(&mut cx) else {
                return Ok(false);
            };
            flushed?;
            self.unflushed = false;
        }
        Ok(true)
    }

    pub(super) fn say_hangup(&mut self) {
        if let Err(error) = self.command(Command::HangUp) {
            tracing::trace!(%error, "the connection was gone before our hang-up");
        }
    }

    /// Closes the connection: Asterisk answers with its own close, or [`LINGER_MAX`] passes.
    pub(super) async fn close(mut self) {
        let farewell = async {
            self.line.send(Opcode::Close, &[]);
            future::poll_fn(|cx| self.line.poll_flush(cx)).await?;
            while let Some(message) = self.line.next().await {
                message?;
            }
            Ok::<_, LineError>(())
        };
        match timeout(LINGER_MAX, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::trace!(%error, "the connection was gone before its end"),
            Err(_) => tracing::debug!("the other end did not close after our hang-up"),
        }
    }
}

impl std::fmt::Debug for MediaSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaSocket")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

fn broken(error: LineError) -> io::Error {
    match error {
        LineError::Io(error) => error,
        LineError::Malformed(error) => io::Error::other(error),
    }
}
