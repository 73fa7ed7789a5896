//! The two directions of a stream.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::Direction;

/// Small pieces are gathered up to this size, in bytes: a record of 16 KiB must not stay for one byte of it.
const GATHERED: usize = 4 << 10;

/// A stream; a direction that it does not have is over from the start.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) direction: Direction,
    /// Its number; `None`: the peer has not heard of it.
    pub(super) id: Option<u64>,
    pub(super) send: SendHalf,
    pub(super) recv: RecvHalf,
}

/// Our direction.
#[derive(Debug)]
pub(super) struct SendHalf {
    queue: VecDeque<Bytes>,
    pub(super) queued: usize,
    /// Bytes that went out.
    pub(super) sent: u64,
    /// Bytes that the peer takes.
    pub(super) max: u64,
    pub(super) priority: i32,
    /// When it had its turn, among streams of its priority.
    pub(super) turn: u64,
    pub(super) state: Sending,
    /// Nobody holds it any more.
    pub(super) released: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    Open,
    /// What is queued is the end of it.
    Finishing,
    /// The peer wants no more of it.
    Stopped(u32),
    Over,
}

/// The peer's direction.
#[derive(Debug)]
pub(super) struct RecvHalf {
    queue: VecDeque<BytesMut>,
    pub(super) received: u64,
    pub(super) consumed: u64,
    /// Bytes that the peer may send.
    pub(super) granted: u64,
    pub(super) state: Receiving,
    /// Someone waits for more.
    pub(super) awaited: bool,
    /// Nobody holds it any more: what comes is thrown away.
    pub(super) released: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiving {
    Open,
    Finished,
    Reset(u32),
}

impl Stream {
    pub(super) fn is_over(&self) -> bool {
        let sent = matches!(self.send.state, Sending::Over | Sending::Stopped(_));
        let received = self.recv.state != Receiving::Open;
        sent && self.send.released && received && self.recv.released
    }
}

impl SendHalf {
    pub(super) fn new(max: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            sent: 0,
            max,
            priority: 0,
            turn: 0,
            state: Sending::Open,
            released: false,
        }
    }

    pub(super) fn none() -> Self {
        Self {
            state: Sending::Over,
            released: true,
            ..Self::new(0)
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match self.state {
            Sending::Open => self.queued > 0,
            Sending::Finishing => true,
            Sending::Stopped(_) | Sending::Over => false,
        }
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.queued += piece.len();
        self.queue.push_back(piece);
    }

    /// Moves `len` bytes, which must be queued, to `out`.
    pub(super) fn take(&mut self, mut len: usize, out: &mut BytesMut) {
        self.queued -= len;
        self.sent += len as u64;
        while len > 0
            && let Some(front) = self.queue.front_mut()
        {
            if front.len() > len {
                out.extend_from_slice(&front.split_to(len));
                return;
            }
            len -= front.len();
            out.extend_from_slice(front);
            self.queue.pop_front();
        }
    }

    /// Drops what is queued and returns how much it was.
    pub(super) fn clear(&mut self) -> usize {
        self.queue = VecDeque::new();
        std::mem::take(&mut self.queued)
    }
}

impl RecvHalf {
    pub(super) fn new(granted: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            received: 0,
            consumed: 0,
            granted,
            state: Receiving::Open,
            awaited: false,
            released: false,
        }
    }

    pub(super) fn none() -> Self {
        Self {
            state: Receiving::Finished,
            released: true,
            ..Self::new(0)
        }
    }

    pub(super) fn push(&mut self, payload: &[u8]) {
        match self.queue.back_mut() {
            Some(back) if back.len() + payload.len() <= GATHERED => back.extend_from_slice(payload),
            _ => self.queue.push_back(BytesMut::from(payload)),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let piece = self.queue.pop_front()?.freeze();
        self.consumed += piece.len() as u64;
        Some(piece)
    }

    /// Drops what was not read and returns how much it was.
    pub(super) fn clear(&mut self) -> u64 {
        self.queue = VecDeque::new();
        let unread = self.received - self.consumed;
        self.consumed = self.received;
        unread
    }
}
