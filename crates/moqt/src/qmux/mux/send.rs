//! What goes to the peer, and in which order.

use std::{cmp::Reverse, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{
    super::{
        event::{Event, StreamKey, WriteError},
        frame::{DATAGRAM_HEADER_MAX, Frame, STREAM_HEADER_MAX},
        params::{Parameters, RECORD_BYTES_MIN},
        streams::{Receiving, SendHalf, Sending},
    },
    Config, LOCAL, Mux, Remote, index,
};
use crate::{Direction, Role};

/// Sending.
impl Mux {
    /// Returns the next message for the WebSocket; `None`: there is nothing to send.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Bytes> {
        let mut out = BytesMut::new();
        if self.closed.is_some() {
            self.farewell.take()?.encode(&mut out);
            return Some(out.freeze());
        }
        if !std::mem::replace(&mut self.introduced, true) {
            Frame::Parameters(self.parameters()).encode(&mut out);
            self.stuck_since = None;
            return Some(out.freeze());
        }
        self.transmit_control(now, &mut out);
        self.transmit_datagrams(now, &mut out);
        let before = self.queued;
        self.transmit_streams(&mut out);
        self.pace
            .sent(before - self.queued, self.queued, now, &self.config);
        self.wake_if_room();
        if out.is_empty() {
            return None;
        }
        self.stuck_since = None;
        Some(out.freeze())
    }

    /// Returns whether [`Self::poll_transmit`] has something to say.
    #[must_use]
    pub fn has_output(&self) -> bool {
        if self.closed.is_some() {
            return self.farewell.is_some();
        }
        let streams_due = |remote: &Remote| remote.more_streams().is_some();
        !self.introduced
            || !self.ready.is_empty()
            || !self.outbox.queue.is_empty()
            || !self.resets.is_empty()
            || !self.stops.is_empty()
            || !self.grants.is_empty()
            || self.more_data().is_some()
            || self.remote.iter().any(streams_due)
            || self.ping.is_some()
            || self.pong.is_some()
    }

    /// Returns how many bytes the peer should be allowed now, when that is much more than it is.
    fn more_data(&self) -> Option<u64> {
        let low = self.granted - self.consumed < self.config.window / 2;
        low.then(|| self.consumed + self.config.window)
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            idle_timeout_ms: u64::try_from(self.config.idle_timeout.as_millis()).unwrap_or(0),
            data: self.config.window,
            stream_data_bi_local: self.config.stream_window,
            stream_data_bi_remote: self.config.stream_window,
            stream_data_uni: self.config.stream_window,
            streams_bi: self.config.streams_bi,
            streams_uni: self.config.streams_uni,
            datagram_frame_bytes: RECORD_BYTES_MIN,
            record_bytes: RECORD_BYTES_MIN,
        }
    }

    fn transmit_control(&mut self, now: Duration, out: &mut BytesMut) {
        let fits = |out: &BytesMut| out.len() + CONTROL_MAX <= RECORD;
        if let Some(sequence) = self.pong.take() {
            let response = true;
            Frame::Ping { sequence, response }.encode(out);
        }
        if let Some(sequence) = self.ping.take() {
            self.asked = Some((sequence, now));
            let response = false;
            Frame::Ping { sequence, response }.encode(out);
        }
        if let Some(allowed) = self.more_data() {
            self.granted = allowed;
            Frame::MaxData(allowed).encode(out);
        }
        for direction in [Direction::Bi, Direction::Uni] {
            let remote = &mut self.remote[index(direction)];
            if let Some(allowed) = remote.more_streams() {
                remote.granted = allowed;
                Frame::MaxStreams(direction, allowed).encode(out);
            }
        }
        while fits(out)
            && let Some((id, (code, final_size))) = self.resets.pop_first()
        {
            let code = code.into();
            Frame::Reset {
                id,
                code,
                final_size,
            }
            .encode(out);
        }
        while fits(out)
            && let Some((id, code)) = self.stops.pop_first()
        {
            let code = code.into();
            Frame::Stop { id, code }.encode(out);
        }
        while fits(out)
            && let Some(key) = self.grants.pop_first()
        {
            if let Some(stream) = self.streams.get_mut(&key)
                && let Some(id) = stream.id
            {
                stream.recv.granted = stream.recv.consumed + self.config.stream_window;
                let max = stream.recv.granted;
                Frame::MaxStreamData { id, max }.encode(out);
            }
        }
    }

    fn transmit_datagrams(&mut self, now: Duration, out: &mut BytesMut) {
        while let Some((at, datagram)) = self.outbox.queue.front() {
            let late = now.saturating_sub(*at) > self.config.datagram_send_time;
            let len = out.len() + DATAGRAM_HEADER_MAX + datagram.len();
            if !late && !out.is_empty() && len > RECORD {
                return;
            }
            let Some((_, datagram)) = self.outbox.queue.pop_front() else {
                return;
            };
            self.outbox.bytes -= datagram.len();
            if late {
                self.dropped += 1;
            } else {
                Frame::Datagram(datagram).encode(out);
            }
        }
    }

    fn transmit_streams(&mut self, out: &mut BytesMut) {
        while let Some((_, _, key)) = self.ready.last().copied() {
            let room = RECORD.saturating_sub(out.len() + STREAM_HEADER_MAX);
            if room < PIECE_MIN {
                return;
            }
            let Some(id) = self.announce(key) else {
                self.ready.pop_last();
                continue;
            };
            let mut sent = 0;
            let mut finished = false;
            self.turn += 1;
            let turn = self.turn;
            self.with_ready(key, |send| {
                sent = send.queued.min(room);
                finished = send.state == Sending::Finishing && sent == send.queued;
                Frame::encode_stream_header(id, send.sent, sent, finished, out);
                send.take(sent, out);
                send.turn = turn;
                if finished {
                    send.state = Sending::Over;
                }
            });
            self.queued -= sent;
            self.sent += sent as u64;
            if finished {
                self.events.push_back(Event::Done(StreamKey(key)));
                self.retire(key);
            }
        }
    }

    /// Gives a stream its number, when the first of it is sent.
    fn announce(&mut self, key: u64) -> Option<u64> {
        let stream = self.streams.get_mut(&key)?;
        if stream.id.is_some() {
            return stream.id;
        }
        let local = &mut self.local[index(stream.direction)];
        let role = u64::from(self.role == Role::Server);
        let kind = u64::from(stream.direction == Direction::Uni) << 1;
        let id = local.announced << 2 | kind | role;
        local.announced += 1;
        stream.id = Some(id);
        self.announced.insert(id, key);
        Some(id)
    }

    /// Changes our direction of a stream and sorts it in anew.
    pub(super) fn with_ready(&mut self, key: u64, change: impl FnOnce(&mut SendHalf)) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let send = &mut stream.send;
        let was_ready = self.ready.remove(&(send.priority, Reverse(send.turn), key));
        change(send);
        if send.is_ready() && self.closed.is_none() {
            if !was_ready {
                self.turn += 1;
                send.turn = self.turn;
            }
            self.ready.insert((send.priority, Reverse(send.turn), key));
        }
    }

    /// Returns how many bytes a stream may queue. What is queued can always be sent: the peer has allowed it.
    pub(super) fn room(&self, key: StreamKey) -> Result<usize, WriteError> {
        let stream = self.streams.get(&key.0).ok_or(WriteError::Lost)?;
        let send = &stream.send;
        match send.state {
            Sending::Open if self.closed.is_none() => {}
            Sending::Stopped(code) => return Err(WriteError::Stopped(code)),
            Sending::Open | Sending::Finishing | Sending::Over => return Err(WriteError::Lost),
        }
        let stream = send.max - send.sent - send.queued as u64;
        let connection = self.send_max - self.sent - self.queued as u64;
        let allowed = usize::try_from(stream.min(connection)).unwrap_or(usize::MAX);
        let lowest = self.ready.first().map(|(priority, ..)| *priority);
        let urgent = lowest.is_some_and(|lowest| lowest < send.priority);
        let space = match self.pace.room.checked_sub(self.queued) {
            Some(space) if space > 0 => space,
            _ if urgent && self.queued < 2 * self.config.send_bytes => {
                URGENT.saturating_sub(send.queued)
            }
            _ => 0,
        };
        Ok(space.min(allowed))
    }

    pub(super) fn wake_if_room(&mut self) {
        if self.queued < self.pace.room / 2 {
            self.wake_blocked();
        }
    }

    pub(super) fn wake_blocked(&mut self) {
        while let Some(key) = self.blocked.pop_last() {
            self.events.push_back(Event::Writable(StreamKey(key)));
        }
    }

    /// Gives up what was not sent of a stream, and tells the peer if it has heard of it.
    pub(super) fn give_up(&mut self, key: u64, code: u32, state: Sending) {
        let mut dropped = 0;
        let mut was_open = false;
        let mut sent = 0;
        self.with_ready(key, |send| {
            was_open = matches!(send.state, Sending::Open | Sending::Finishing);
            if was_open {
                dropped = send.clear();
                sent = send.sent;
                send.state = state;
            }
        });
        if !was_open || self.closed.is_some() {
            return;
        }
        self.queued -= dropped;
        self.wake_if_room();
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        match stream.id {
            Some(id) => drop(self.resets.insert(id, (code, sent))),
            None => {
                // The peer has never heard of it: its number is free for another.
                stream.recv.state = Receiving::Reset(code);
                let direction = stream.direction;
                let local = &mut self.local[index(direction)];
                local.claimed -= 1;
                if std::mem::take(&mut local.awaited) {
                    self.events.push_back(Event::Openable(direction));
                }
            }
        }
        self.retire(key);
    }

    /// Forgets a stream that is over.
    pub(super) fn retire(&mut self, key: u64) {
        let Some(stream) = self.streams.get(&key).filter(|stream| stream.is_over()) else {
            return;
        };
        let direction = stream.direction;
        if let Some(id) = stream.id {
            self.announced.remove(&id);
        }
        if key & LOCAL == 0 {
            self.remote[index(direction)].closed += 1;
        }
        self.grants.remove(&key);
        self.streams.remove(&key);
    }
}

impl Remote {
    /// Returns how many streams the peer should be allowed now, when that is more than it is by a good part.
    fn more_streams(&self) -> Option<u64> {
        let allowed = self.closed + self.limit;
        (allowed - self.granted > self.limit / 4).then_some(allowed)
    }
}

/// How fast the socket takes bytes, and how many may therefore wait for it.
#[derive(Debug)]
pub(super) struct Pace {
    room: usize,
    since: Duration,
    bytes: usize,
    /// Nothing waited at some time: the socket is faster than we are.
    idle: bool,
}

impl Pace {
    pub(super) fn new(room: usize, now: Duration) -> Self {
        Self {
            room,
            since: now,
            bytes: 0,
            idle: true,
        }
    }

    fn sent(&mut self, bytes: usize, queued: usize, now: Duration, config: &Config) {
        self.bytes += bytes;
        self.idle |= queued == 0;
        let elapsed = now.saturating_sub(self.since);
        if elapsed < PACE {
            return;
        }
        self.room = if self.idle {
            config.send_bytes
        } else {
            let allowed =
                self.bytes as u128 * config.send_time.as_micros() / elapsed.as_micros().max(1);
            let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
            allowed.clamp(SEND_MIN.min(config.send_bytes), config.send_bytes)
        };
        *self = Self {
            room: self.room,
            since: now,
            bytes: 0,
            idle: queued == 0,
        };
    }
}

/// Most bytes of streams in one record: on a link of 250 kbit/s voice waits 130 ms for it.
const RECORD: usize = 4 << 10;

/// Room that is too small for another STREAM frame to be worth its header.
const PIECE_MIN: usize = 64;

/// A control frame, at its longest, but for the parameters and the close.
const CONTROL_MAX: usize = 32;

/// Bytes that an urgent stream may queue although less urgent ones have filled the room: a few voice objects.
const URGENT: usize = 4 << 10;

/// What may always be queued, however slow the network: a record, and one more.
const SEND_MIN: usize = 2 * RECORD;

/// How long the pace of the socket is watched before the room is set anew.
const PACE: Duration = Duration::from_millis(100);
