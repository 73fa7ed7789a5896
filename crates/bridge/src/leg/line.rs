//! One media WebSocket whose handshake is over: messages from and to a stream of bytes. Nothing here waits.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use moqrelay_wire::{
    chan_websocket::EVENT_BYTES_MAX,
    websocket::{DecodeError, Decoder, Message, Opcode, Role, encode},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

/// The longest message that makes sense: 20 ms of 192 kHz, or an event.
const MESSAGE_BYTES_MAX: usize = 2 * EVENT_BYTES_MAX;

/// What messages are read into, one behind the other: a second of Opus. Each is a slice of it, and the relay keeps a
/// voice for some seconds.
const BLOCK_BYTES: usize = 4 * 1024;

/// Less room than this is not worth a read: a message of 48 kHz may come.
const ROOM_BYTES_MIN: usize = 1024;

/// Answers to pings that wait; who asks for more and reads none gets no more.
const ANSWERS_BYTES_MAX: usize = 1024;

/// A byte stream below a WebSocket: TCP, or TLS over it.
pub trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for T {}

/// A WebSocket to Asterisk.
pub(crate) struct Line {
    stream: Box<dyn Bytestream>,
    decoder: Decoder,
    inbox: BytesMut,
    outbox: BytesMut,
    masks: Option<Masks>,
    /// The other side has said that nothing follows.
    closed: bool,
}

/// Why there is no next message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

impl Line {
    /// Takes a stream behind the handshake; `inbox`: what came with it.
    pub(crate) fn new(stream: Box<dyn Bytestream>, role: Role, inbox: BytesMut) -> Self {
        Self {
            stream,
            decoder: Decoder::new(role, MESSAGE_BYTES_MAX),
            inbox,
            outbox: BytesMut::new(),
            masks: match role {
                Role::Server => None,
                Role::Client => Some(Masks::default()),
            },
            closed: false,
        }
    }

    /// Waits for the next message; `None`: the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, LineError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same; a ping is answered by what is written next.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, LineError>>> {
        loop {
            if let Some(message) = self.decoder.decode(&mut self.inbox)? {
                match &message {
                    Message::Ping(payload) if self.outbox.len() < ANSWERS_BYTES_MAX => {
                        self.send(Opcode::Pong, payload);
                    }
                    Message::Close(_) => self.closed = true,
                    Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Binary(_) => {
                    }
                }
                return Poll::Ready(Some(Ok(message)));
            }
            if self.closed {
                return Poll::Ready(None);
            }
            if self.inbox.capacity() - self.inbox.len() < ROOM_BYTES_MIN {
                self.inbox.reserve(BLOCK_BYTES);
            }
            // Nothing is lost with this future: the stream itself remembers whom to wake.
            let read = pin!(self.stream.read_buf(&mut self.inbox));
            if ready!(read.poll(cx))? == 0 {
                return Poll::Ready(None);
            }
        }
    }

    /// Adds a message to what is to be written; when the other side has closed, only our own close.
    pub(super) fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.closed && opcode != Opcode::Close {
            return;
        }
        let mask = self.masks.as_mut().map(Masks::next);
        encode(opcode, payload, mask, &mut self.outbox);
    }

    /// Writes what waits.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outbox))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                // The usual case leaves the buffer where it is.
                len if len == self.outbox.len() => self.outbox.clear(),
                len => self.outbox.advance(len),
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

/// What a client's messages are masked with: nobody can foresee it (RFC 6455 section 5.3).
#[derive(Debug, Default)]
struct Masks {
    key: RandomState,
    count: u64,
}

impl Masks {
    fn next(&mut self) -> [u8; 4] {
        self.count += 1;
        let [a, b, c, d, ..] = self.key.hash_one(self.count).to_ne_bytes();
        [a, b, c, d]
    }
}
