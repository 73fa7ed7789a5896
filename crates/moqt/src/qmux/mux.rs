//! The state machine of a connection.

use std::{cmp::Reverse, collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{
    Version,
    frame::{DATAGRAM_HEADER_MAX, Frame, FrameError, STREAM_HEADER_MAX},
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

/// Names a stream of one connection, for as long as it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(u64);

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
    fn code(self) -> u64 {
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

    // --- sending

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
    fn with_ready(&mut self, key: u64, change: impl FnOnce(&mut SendHalf)) {
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
    fn room(&self, key: StreamKey) -> Result<usize, WriteError> {
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

    fn wake_if_room(&mut self) {
        if self.queued < self.pace.room / 2 {
            self.wake_blocked();
        }
    }

    fn wake_blocked(&mut self) {
        while let Some(key) = self.blocked.pop_last() {
            self.events.push_back(Event::Writable(StreamKey(key)));
        }
    }

    /// Gives up what was not sent of a stream, and tells the peer if it has heard of it.
    fn give_up(&mut self, key: u64, code: u32, state: Sending) {
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
    fn retire(&mut self, key: u64) {
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

/// What the peer says.
impl Mux {
    fn handle_record(&mut self, record: &mut Bytes) -> Result<(), Violation> {
        if record.len() as u64 > RECORD_BYTES_MIN {
            return Err(Violation::RecordSize(record.len()));
        }
        while let Some(frame) = Frame::decode(record)? {
            let introduction = matches!(frame, Frame::Parameters(_));
            if introduction == self.peer.is_some() {
                return Err(Violation::Order);
            }
            self.handle_frame(frame)?;
            if self.closed.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: Frame) -> Result<(), Violation> {
        match frame {
            Frame::Parameters(parameters) => {
                self.peer = Some(parameters);
                self.send_max = parameters.data;
                self.allow_streams(Direction::Bi, parameters.streams_bi);
                self.allow_streams(Direction::Uni, parameters.streams_uni);
            }
            Frame::Stream {
                id,
                offset,
                fin,
                payload,
            } => self.handle_stream(id, offset, fin, &payload)?,
            Frame::Reset {
                id,
                code,
                final_size,
            } => self.handle_reset(id, code, final_size)?,
            Frame::Stop { id, code } => {
                if let Some(key) = self.locate_send(id)? {
                    let code = short_code(code);
                    self.give_up(key, code, Sending::Stopped(code));
                    self.blocked.remove(&key);
                    self.events.push_back(Event::Writable(StreamKey(key)));
                    self.events.push_back(Event::Done(StreamKey(key)));
                }
            }
            Frame::MaxData(max) => {
                self.send_max = self.send_max.max(max);
                self.wake_blocked();
            }
            Frame::MaxStreamData { id, max } => {
                if let Some(key) = self.locate_send(id)?
                    && let Some(stream) = self.streams.get_mut(&key)
                {
                    stream.send.max = stream.send.max.max(max);
                    if self.blocked.remove(&key) {
                        self.events.push_back(Event::Writable(StreamKey(key)));
                    }
                }
            }
            Frame::MaxStreams(direction, max) => self.allow_streams(direction, max),
            Frame::Ping {
                sequence,
                response: false,
            } => self.pong = Some(self.pong.map_or(sequence, |pong| pong.max(sequence))),
            Frame::Ping {
                sequence,
                response: true,
            } => {
                if let Some((_, at)) = self.asked.take_if(|(asked, _)| *asked == sequence) {
                    self.rtt = Some(self.heard_at.saturating_sub(at));
                }
            }
            Frame::Blocked => {}
            Frame::Datagram(payload) => self.handle_datagram(&payload)?,
            Frame::Close {
                application,
                code,
                mut reason,
            } => {
                reason.truncate(shortened(&reason).len());
                let closed = match application {
                    true => Closed::Peer {
                        code: short_code(code),
                        reason,
                    },
                    false => Closed::Failed { code, reason },
                };
                self.end(closed, None);
            }
        }
        Ok(())
    }

    fn allow_streams(&mut self, direction: Direction, max: u64) {
        let local = &mut self.local[index(direction)];
        if max > local.max {
            local.max = max;
            if std::mem::take(&mut local.awaited) {
                self.events.push_back(Event::Openable(direction));
            }
        }
    }

    fn handle_stream(
        &mut self,
        id: u64,
        offset: Option<u64>,
        fin: bool,
        payload: &[u8],
    ) -> Result<(), Violation> {
        let key = self.locate_recv(id)?;
        let len = payload.len() as u64;
        self.received += len;
        if self.received > self.granted {
            return Err(Violation::FlowControl);
        }
        let Some(stream) = key.and_then(|key| self.streams.get_mut(&key)) else {
            self.consumed += len; // For a stream that we have forgotten.
            return Ok(());
        };
        let recv = &mut stream.recv;
        if recv.state != Receiving::Open || offset.is_some_and(|offset| offset != recv.received) {
            return Err(Violation::FinalSize(id));
        }
        recv.received += len;
        if recv.received > recv.granted {
            return Err(Violation::FlowControl);
        }
        if recv.released {
            // Its own window is not topped up: the peer will hear of the stop.
            recv.consumed += len;
            self.consumed += len;
        } else if len > 0 {
            recv.push(payload);
        }
        if fin {
            recv.state = Receiving::Finished;
        }
        self.readable(key);
        Ok(())
    }

    fn handle_reset(&mut self, id: u64, code: u64, final_size: u64) -> Result<(), Violation> {
        let key = self.locate_recv(id)?;
        let Some(stream) = key.and_then(|key| self.streams.get_mut(&key)) else {
            return Ok(());
        };
        let recv = &mut stream.recv;
        if recv.state != Receiving::Open || final_size < recv.received {
            return Err(Violation::FinalSize(id));
        }
        recv.state = Receiving::Reset(short_code(code));
        self.consumed += recv.clear();
        self.readable(key);
        Ok(())
    }

    fn readable(&mut self, key: Option<u64>) {
        let Some(key) = key else {
            return;
        };
        if let Some(stream) = self.streams.get_mut(&key) {
            if stream.recv.state != Receiving::Open
                && let Some(id) = stream.id
            {
                self.stops.remove(&id);
            }
            if std::mem::take(&mut stream.recv.awaited) {
                self.events.push_back(Event::Readable(StreamKey(key)));
            }
        }
        self.retire(key);
    }

    fn handle_datagram(&mut self, payload: &[u8]) -> Result<(), Violation> {
        if payload.len() as u64 > RECORD_BYTES_MIN {
            return Err(Violation::DatagramSize(payload.len()));
        }
        if self.inbox.queue.is_empty() {
            self.events.push_back(Event::Datagram);
        }
        self.inbox.bytes += payload.len();
        self.inbox.queue.push_back(Bytes::copy_from_slice(payload));
        while self.inbox.bytes > self.config.datagram_receive_bytes
            || self.inbox.queue.len() > DATAGRAMS_WAITING
        {
            let Some(oldest) = self.inbox.queue.pop_front() else {
                break;
            };
            self.inbox.bytes -= oldest.len();
            self.dropped += 1;
        }
        Ok(())
    }

    /// Finds the stream whose receiving direction a frame is about; `None`: it is forgotten.
    fn locate_recv(&mut self, id: u64) -> Result<Option<u64>, Violation> {
        if self.is_local(id) && direction_of(id) == Direction::Uni {
            return Err(Violation::StreamState(id));
        }
        self.locate(id)
    }

    /// Finds the stream whose sending direction a frame is about; `None`: it is forgotten.
    fn locate_send(&mut self, id: u64) -> Result<Option<u64>, Violation> {
        if !self.is_local(id) && direction_of(id) == Direction::Uni {
            return Err(Violation::StreamState(id));
        }
        self.locate(id)
    }

    fn locate(&mut self, id: u64) -> Result<Option<u64>, Violation> {
        let direction = direction_of(id);
        let number = id >> 2;
        if self.is_local(id) {
            if number >= self.local[index(direction)].announced {
                return Err(Violation::StreamState(id));
            }
            return Ok(self.announced.get(&id).copied());
        }
        let remote = &mut self.remote[index(direction)];
        if number >= remote.granted {
            return Err(Violation::StreamLimit);
        }
        if number >= remote.next {
            remote.holes.extend(remote.next..number);
            remote.next = number + 1;
        } else if !remote.holes.remove(&number) {
            return Ok(self.streams.contains_key(&id).then_some(id));
        }
        if remote.waiting.is_empty() {
            self.events.push_back(Event::Incoming(direction));
        }
        remote.waiting.push_back(id);
        let send = match (direction, &self.peer) {
            (Direction::Bi, Some(peer)) => SendHalf::new(peer.stream_data_bi_local),
            (Direction::Uni, _) | (_, None) => SendHalf::none(),
        };
        let stream = Stream {
            direction,
            id: Some(id),
            send,
            recv: RecvHalf::new(self.config.stream_window),
        };
        self.streams.insert(id, stream);
        Ok(Some(id))
    }

    fn is_local(&self, id: u64) -> bool {
        (id & 1 == 1) == (self.role == Role::Server)
    }
}

impl Remote {
    /// Returns how many streams the peer should be allowed now, when that is more than it is by a good part.
    fn more_streams(&self) -> Option<u64> {
        let allowed = self.closed + self.limit;
        (allowed - self.granted > self.limit / 4).then_some(allowed)
    }
}

/// Datagrams that wait to be read, however small they are.
const DATAGRAMS_WAITING: usize = 1024;

impl<T> Datagrams<T> {
    fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
        }
    }
}

/// How fast the socket takes bytes, and how many may therefore wait for it.
#[derive(Debug)]
struct Pace {
    room: usize,
    since: Duration,
    bytes: usize,
    /// Nothing waited at some time: the socket is faster than we are.
    idle: bool,
}

impl Pace {
    fn new(room: usize, now: Duration) -> Self {
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

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Bi => 0,
        Direction::Uni => 1,
    }
}

const fn direction_of(id: u64) -> Direction {
    match id & 2 {
        0 => Direction::Bi,
        _ => Direction::Uni,
    }
}

/// Codes of applications have 32 bits; others mean nothing here.
fn short_code(code: u64) -> u32 {
    u32::try_from(code).unwrap_or(0)
}

fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
