//! The state machine of a connection.

mod receive;
mod send;

use std::{cmp::Reverse, collections::VecDeque, time::Duration};

use bytes::Bytes;

use self::send::Pace;
use super::{
    Version,
    event::{Closed, Event, ReadError, Received, StreamKey, Violation, WriteError},
    frame::{DATAGRAM_HEADER_MAX, Frame},
    params::{Parameters, RECORD_BYTES_MIN},
    streams::{Receiving, RecvHalf, SendHalf, Sending, Stream},
};
use crate::collections::{BTreeMap, BTreeSet};
use crate::{Direction, Role};

/// What a peer may use up, and how patient we are.
#[derive(Debug, Clone)]
pub struct Config {
    /// After so long a silence the connection is over.
    pub idle_timeout: Duration,
    /// The peer is asked for a sign of life so often.
    pub keep_alive: Duration,
    /// Bidirectional streams that the peer may have open.
    pub streams_bi: u64,
    /// Unidirectional streams that the peer may have open.
    pub streams_uni: u64,
    /// Bytes that the peer may send on one stream before they are read.
    pub stream_window: u64,
    /// Bytes that the peer may send on all streams before they are read.
    pub window: u64,
    /// Bytes of datagrams that wait to be read; the oldest go first.
    pub datagram_receive_bytes: usize,
    /// Bytes of streams that wait for the socket, at most.
    pub send_bytes: usize,
    /// How long they wait there: on a slow network fewer bytes are taken.
    pub send_time: Duration,
    /// Bytes of datagrams that wait for the socket; the oldest go first.
    pub datagram_send_bytes: usize,
    /// Datagrams that waited longer are not sent.
    pub datagram_send_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            streams_bi: 256,
            streams_uni: 1024,
            stream_window: 512 << 10,
            window: 2 << 20,
            datagram_receive_bytes: 64 << 10,
            send_bytes: 64 << 10,
            send_time: Duration::from_millis(250),
            datagram_send_bytes: 16 << 10,
            datagram_send_time: Duration::from_millis(500),
        }
    }
}

/// The longest reason that is sent or kept, in bytes; a session's reason has at most 1,024.
const REASON: usize = 1024;

/// Keys of streams opened here; the others have their number.
const LOCAL: u64 = 1 << 63;

/// A connection.
#[derive(Debug)]
pub struct Mux {
    role: Role,
    version: Version,
    config: Config,
    peer: Option<Parameters>,
    streams: BTreeMap<u64, Stream>,
    /// Keys of streams opened here that the peer has heard of, by number.
    announced: BTreeMap<u64, u64>,
    serial: u64,
    local: [Local; 2],
    remote: [Remote; 2],

    sent: u64,
    send_max: u64,
    received: u64,
    consumed: u64,
    granted: u64,

    /// Bytes of streams that wait for the socket.
    queued: usize,
    /// Streams with something to send; the last one goes first.
    ready: BTreeSet<(i32, Reverse<u64>, u64)>,
    turn: u64,
    blocked: BTreeSet<u64>,
    pace: Pace,

    introduced: bool,
    resets: BTreeMap<u64, (u32, u64)>,
    stops: BTreeMap<u64, u32>,
    grants: BTreeSet<u64>,
    ping: Option<u64>,
    pong: Option<u64>,
    pings: u64,
    /// The last question that went out, and when.
    asked: Option<(u64, Duration)>,
    rtt: Option<Duration>,
    outbox: Datagrams<(Duration, Bytes)>,
    inbox: Datagrams<Bytes>,
    dropped: u64,

    heard_at: Duration,
    pinged_at: Duration,
    /// Since when something waits and the socket takes nothing.
    stuck_since: Option<Duration>,
    closed: Option<Closed>,
    farewell: Option<Frame>,
    events: VecDeque<Event>,
}

/// Streams opened here.
#[derive(Debug, Default)]
struct Local {
    /// Open, or announced before.
    claimed: u64,
    announced: u64,
    max: u64,
    awaited: bool,
}

/// Streams opened by the peer.
#[derive(Debug, Default)]
struct Remote {
    limit: u64,
    next: u64,
    /// Numbers below `next` that were not heard of yet.
    holes: BTreeSet<u64>,
    closed: u64,
    granted: u64,
    waiting: VecDeque<u64>,
}

#[derive(Debug)]
struct Datagrams<T> {
    queue: VecDeque<T>,
    bytes: usize,
}

impl Mux {
    /// Begins a connection whose WebSocket is open.
    #[must_use]
    pub fn new(role: Role, version: Version, config: Config, now: Duration) -> Self {
        let remote = |limit| Remote {
            limit,
            granted: limit,
            ..Remote::default()
        };
        Self {
            role,
            version,
            peer: None,
            streams: BTreeMap::new(),
            announced: BTreeMap::new(),
            serial: 0,
            local: [Local::default(), Local::default()],
            remote: [remote(config.streams_bi), remote(config.streams_uni)],
            sent: 0,
            send_max: 0,
            received: 0,
            consumed: 0,
            granted: config.window,
            queued: 0,
            ready: BTreeSet::new(),
            turn: 0,
            blocked: BTreeSet::new(),
            pace: Pace::new(config.send_bytes, now),
            introduced: false,
            resets: BTreeMap::new(),
            stops: BTreeMap::new(),
            grants: BTreeSet::new(),
            ping: None,
            pong: None,
            pings: 0,
            asked: None,
            rtt: None,
            outbox: Datagrams::new(),
            inbox: Datagrams::new(),
            dropped: 0,
            heard_at: now,
            pinged_at: now,
            stuck_since: None,
            closed: None,
            farewell: None,
            events: VecDeque::new(),
            config,
        }
    }

    // --- getters

    /// Returns how the connection ended; `None`: it has not.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Returns the version that is spoken.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns how long the peer took to answer the last ping; `None`: it has not been asked yet.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Returns how many bytes of streams wait for the socket.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued
    }

    /// Returns how many streams there are.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Returns how many datagrams were dropped, either way, since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    // --- what happened

    /// Takes a message of the WebSocket.
    pub fn handle_message(&mut self, mut record: Bytes, now: Duration) {
        if self.closed.is_some() {
            return;
        }
        self.heard_at = now;
        // A peer that talks all the time but takes nothing is over too.
        self.check_stuck(now);
        let outcome = self.handle_record(&mut record);
        if let Err(violation) = outcome {
            self.fail(violation);
        }
    }

    /// Takes a message that is not binary, or another fault of the WebSocket's: the connection is over.
    pub fn handle_lost(&mut self) {
        self.end(Closed::Lost, None);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.closed.is_some() {
            return;
        }
        self.check_stuck(now);
        if now >= self.heard_at + self.idle_timeout() {
            return self.end(Closed::TimedOut, None);
        }
        if now >= self.ping_at() {
            self.pinged_at = now;
            // One at a time: a socket that is stuck must not collect them.
            if self.ping.is_none() {
                self.ping = Some(self.pings);
                self.pings += 1;
            }
        }
    }

    fn check_stuck(&mut self, now: Duration) {
        if !self.has_output() {
            self.stuck_since = None;
            return;
        }
        let since = *self.stuck_since.get_or_insert(now);
        if now >= since + self.idle_timeout() {
            self.end(Closed::TimedOut, None);
        }
    }

    /// Returns when [`Self::handle_timeout`] is to be called; it changes with every call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.closed.is_some() {
            return None;
        }
        let idle = self.heard_at + self.idle_timeout();
        Some(idle.min(self.ping_at()))
    }

    /// Returns what happened, one after the other.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    // --- streams

    /// Opens a stream; `None`: the peer allows no more yet, and [`Event::Openable`] will come.
    pub fn open(&mut self, direction: Direction) -> Option<StreamKey> {
        let local = &mut self.local[index(direction)];
        let peer = match self.peer {
            Some(peer) if self.closed.is_none() && local.claimed < local.max => peer,
            _ => {
                local.awaited = true;
                return None;
            }
        };
        local.claimed += 1;
        let window = self.config.stream_window;
        let (max, recv) = match direction {
            Direction::Bi => (peer.stream_data_bi_remote, RecvHalf::new(window)),
            Direction::Uni => (peer.stream_data_uni, RecvHalf::none()),
        };
        let key = LOCAL | self.serial;
        self.serial += 1;
        let stream = Stream {
            direction,
            id: None,
            send: SendHalf::new(max),
            recv,
        };
        self.streams.insert(key, stream);
        Some(StreamKey(key))
    }

    /// Returns the next stream that the peer opened; `None`: [`Event::Incoming`] will come.
    pub fn accept(&mut self, direction: Direction) -> Option<StreamKey> {
        let key = self.remote[index(direction)].waiting.pop_front()?;
        Some(StreamKey(key))
    }

    /// Queues as much as there is room for and takes it out of `pieces`; true: all of it. Else [`Event::Writable`] will
    /// come.
    ///
    /// # Errors
    ///
    /// When the stream cannot be written any more.
    pub fn write(&mut self, key: StreamKey, pieces: &mut [Bytes]) -> Result<bool, WriteError> {
        for piece in pieces {
            while !piece.is_empty() {
                let room = self.room(key)?;
                if room == 0 {
                    self.blocked.insert(key.0);
                    return Ok(false);
                }
                let part = piece.split_to(room.min(piece.len()));
                self.queued += part.len();
                self.with_ready(key.0, |send| send.push(part));
            }
        }
        Ok(true)
    }

    /// Ends a stream after what was written.
    pub fn finish(&mut self, key: StreamKey) {
        self.with_ready(key.0, |send| {
            if send.state == Sending::Open {
                send.state = Sending::Finishing;
            }
        });
    }

    /// Gives a stream up: what was not sent will never be.
    pub fn reset(&mut self, key: StreamKey, code: u32) {
        self.give_up(key.0, code, Sending::Over);
    }

    /// Sets which streams go first: those with the higher number.
    pub fn set_priority(&mut self, key: StreamKey, priority: i32) {
        self.with_ready(key.0, |send| send.priority = priority);
    }

    /// Returns whether everything was sent, a FIN included; if not, [`Event::Done`] will come.
    ///
    /// # Errors
    ///
    /// When the peer wants no more of it, or the connection is over.
    pub fn done(&mut self, key: StreamKey) -> Result<bool, WriteError> {
        match self.streams.get(&key.0).map(|stream| stream.send.state) {
            None | Some(Sending::Over) => Ok(true),
            Some(Sending::Stopped(code)) => Err(WriteError::Stopped(code)),
            Some(Sending::Open | Sending::Finishing) if self.closed.is_some() => {
                Err(WriteError::Lost)
            }
            Some(Sending::Open | Sending::Finishing) => Ok(false),
        }
    }

    /// Reads what a stream has.
    ///
    /// # Errors
    ///
    /// When it was reset, or the connection is over.
    pub fn read(&mut self, key: StreamKey) -> Result<Received, ReadError> {
        let Some(stream) = self.streams.get_mut(&key.0) else {
            return Err(ReadError::Lost);
        };
        let recv = &mut stream.recv;
        if let Some(piece) = recv.pop() {
            let open = recv.state == Receiving::Open;
            if open && recv.granted - recv.consumed < self.config.stream_window / 2 {
                self.grants.insert(key.0);
            }
            self.consumed += piece.len() as u64;
            return Ok(Received::Bytes(piece));
        }
        match recv.state {
            Receiving::Finished => Ok(Received::Finished),
            Receiving::Reset(code) => Err(ReadError::Reset(code)),
            Receiving::Open if self.closed.is_some() => Err(ReadError::Lost),
            Receiving::Open => {
                recv.awaited = true;
                Ok(Received::Blocked)
            }
        }
    }

    /// Tells the peer that no more of a stream is wanted.
    pub fn stop(&mut self, key: StreamKey, code: u32) {
        let Some(stream) = self.streams.get_mut(&key.0) else {
            return;
        };
        self.consumed += stream.recv.clear();
        if stream.recv.state == Receiving::Open
            && !std::mem::replace(&mut stream.recv.released, true)
        {
            self.grants.remove(&key.0);
            if let Some(id) = stream.id {
                self.stops.insert(id, code);
            }
        }
    }

    /// Nobody will write to the stream any more. One that has not ended is finished.
    pub fn release_send(&mut self, key: StreamKey) {
        self.finish(key);
        self.blocked.remove(&key.0);
        if let Some(stream) = self.streams.get_mut(&key.0) {
            stream.send.released = true;
        }
        self.retire(key.0);
    }

    /// Nobody will read from the stream any more. One that has not ended is stopped with code 0.
    pub fn release_recv(&mut self, key: StreamKey) {
        self.stop(key, 0);
        if let Some(stream) = self.streams.get_mut(&key.0) {
            stream.recv.released = true;
        }
        self.retire(key.0);
    }

    // --- datagrams

    /// Returns the largest payload of a datagram; 0: the peer takes none.
    #[must_use]
    pub fn datagram_bytes_max(&self) -> usize {
        let Some(peer) = &self.peer else {
            return 0;
        };
        let frame = peer.datagram_frame_bytes.min(RECORD_BYTES_MIN);
        usize::try_from(frame).map_or(0, |frame| frame.saturating_sub(DATAGRAM_HEADER_MAX))
    }

    /// Queues a datagram, before every stream; the oldest ones make room. False: it can never be sent.
    pub fn send_datagram(&mut self, payload: Bytes, now: Duration) -> bool {
        let largest = self
            .datagram_bytes_max()
            .min(self.config.datagram_send_bytes);
        if self.closed.is_some() || payload.len() > largest || largest == 0 {
            return false;
        }
        self.outbox.bytes += payload.len();
        self.outbox.queue.push_back((now, payload));
        while self.outbox.bytes > self.config.datagram_send_bytes
            && let Some((_, oldest)) = self.outbox.queue.pop_front()
        {
            self.outbox.bytes -= oldest.len();
            self.dropped += 1;
        }
        true
    }

    /// Returns the next datagram that arrived; `None`: [`Event::Datagram`] will come.
    pub fn receive_datagram(&mut self) -> Option<Bytes> {
        let datagram = self.inbox.queue.pop_front()?;
        self.inbox.bytes -= datagram.len();
        Some(datagram)
    }

    // --- the end

    /// Ends the connection. The next message tells the peer.
    pub fn close(&mut self, code: u32, reason: &str) {
        let farewell = Frame::Close {
            application: true,
            code: code.into(),
            reason: shortened(reason).to_owned(),
        };
        self.end(Closed::Ours, Some(farewell));
    }

    fn fail(&mut self, violation: Violation) {
        let farewell = Frame::Close {
            application: false,
            code: violation.code(),
            reason: violation.to_string(),
        };
        self.end(Closed::Violation(violation), Some(farewell));
    }

    fn end(&mut self, closed: Closed, farewell: Option<Frame>) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(closed);
        self.farewell = farewell;
        self.outbox = Datagrams::new();
        self.queued = 0;
        self.ready.clear();
        self.events.push_back(Event::Closed);
        for direction in [Direction::Bi, Direction::Uni] {
            self.events.push_back(Event::Incoming(direction));
            self.events.push_back(Event::Openable(direction));
        }
        for (key, stream) in &mut self.streams {
            stream.send.clear();
            let key = StreamKey(*key);
            self.events.push_back(Event::Readable(key));
            self.events.push_back(Event::Writable(key));
            self.events.push_back(Event::Done(key));
        }
    }

    fn idle_timeout(&self) -> Duration {
        let peer = self.peer.map_or(0, |peer| peer.idle_timeout_ms);
        match peer {
            0 => self.config.idle_timeout,
            peer => self.config.idle_timeout.min(Duration::from_millis(peer)),
        }
    }

    fn ping_at(&self) -> Duration {
        let every = self.config.keep_alive.min(self.idle_timeout() / 3);
        self.pinged_at + every
    }
}

impl<T> Datagrams<T> {
    fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
        }
    }
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Bi => 0,
        Direction::Uni => 1,
    }
}

fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
