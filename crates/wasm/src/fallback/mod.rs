//! QMux over a WebSocket, for a session whose network lets no UDP through: the machine of `moqt`, and
//! a queue of [`Record`]s that say what came.
//!
//! Streams have numbers that the caller chooses for those it opens, and ours (odd, from the top of
//! the range down) for those that the relay opens.

pub mod exports;

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use moqrelay_moqt::qmux::{
    Closed, Config, Event, Mux, ReadError, Received, StreamKey, Version, WriteError,
};
use moqrelay_moqt::{Direction, Role};

use crate::map::Map;
use crate::session::{Kind, Record};

/// Datagrams that waited longer for the socket are not sent: voice would only come too late.
const DATAGRAM_AGE: Duration = Duration::from_millis(200);

/// Streams of pictures go after those of 0, which is what streams have by themselves.
const BULK_PRIORITY: i32 = -1;

/// A connection.
#[derive(Debug)]
pub struct Fallback {
    mux: Mux,
    streams: Map<u32, Stream>,
    ids: Map<StreamKey, u32>,
    /// The next number for a stream of the relay.
    next: u32,
    records: VecDeque<Record>,
    over: bool,
}

/// A stream and what could not be handed on yet.
#[derive(Debug)]
struct Stream {
    /// `None`: the relay allows no more streams yet.
    key: Option<StreamKey>,
    direction: Direction,
    /// It goes after the others, and nobody waits for it.
    bulk: bool,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// How our direction ends once everything before was taken.
    end: Option<End>,
    /// Directions that are still of use.
    sends: bool,
    receives: bool,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Finish,
    Reset(u32),
}

impl Fallback {
    /// Begins a connection whose WebSocket is open.
    #[must_use]
    pub fn new(version: Version, now: Duration) -> Self {
        let config = Config {
            datagram_send_time: DATAGRAM_AGE,
            ..Config::default()
        };
        let mut fallback = Self {
            mux: Mux::new(Role::Client, version, config, now),
            streams: Map::default(),
            ids: Map::default(),
            next: u32::MAX,
            records: VecDeque::new(),
            over: false,
        };
        fallback.accept(Direction::Bi);
        fallback.accept(Direction::Uni);
        fallback
    }

    /// Returns what came; drain until `None` after every call.
    pub fn poll(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.mux.poll_timeout()
    }

    /// Returns the next message for the WebSocket. Ask only while the socket has room: what waits in
    /// here goes by urgency, and can still be dropped.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Bytes> {
        let message = self.mux.poll_transmit(now);
        self.drain();
        message
    }

    /// Takes a message of the WebSocket.
    pub fn handle_message(&mut self, message: Bytes, now: Duration) {
        self.mux.handle_message(message, now);
        self.drain();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.mux.handle_timeout(now);
        self.drain();
    }

    /// The WebSocket is gone.
    pub fn handle_lost(&mut self) {
        self.mux.handle_lost();
        self.drain();
    }

    /// Opens a stream.
    pub fn open(&mut self, id: u32, direction: Direction) {
        self.begin(id, direction, false);
    }

    /// Opens a unidirectional stream for pictures: the others go before it.
    pub fn open_bulk(&mut self, id: u32) {
        self.begin(id, Direction::Uni, true);
    }

    fn begin(&mut self, id: u32, direction: Direction, bulk: bool) {
        let stream = Stream {
            key: None,
            direction,
            bulk,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            end: None,
            sends: true,
            receives: direction == Direction::Bi,
        };
        self.streams.insert(id, stream);
        self.open_more(direction);
        self.drain();
    }

    /// Sends bytes on a stream, as soon as there is room for them.
    pub fn write(&mut self, id: u32, bytes: Bytes) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.sends
            && stream.end.is_none()
        {
            stream.waiting_bytes += bytes.len();
            stream.waiting.push_back(bytes);
            self.push(id);
            self.drain();
        }
    }

    /// Ends a stream after what was written.
    pub fn finish(&mut self, id: u32) {
        self.end(id, End::Finish);
    }

    /// Gives a stream up.
    pub fn reset(&mut self, id: u32, code: u32) {
        self.end(id, End::Reset(code));
    }

    /// Wants no more of a stream.
    pub fn stop(&mut self, id: u32, code: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.receives = false;
            if let Some(key) = stream.key {
                self.mux.stop(key, code);
                self.mux.release_recv(key);
            }
            self.retire(id);
            self.drain();
        }
    }

    /// Sends a datagram, before all streams; false: it can never be sent.
    pub fn datagram(&mut self, bytes: Bytes, now: Duration) -> bool {
        self.mux.send_datagram(bytes, now)
    }

    /// Returns the largest payload of a datagram; 0: there are none, or the relay has not said it.
    #[must_use]
    pub fn datagram_bytes_max(&self) -> usize {
        self.mux.datagram_bytes_max()
    }

    /// Returns how many bytes wait on the stream where most wait, those of pictures left out.
    #[must_use]
    pub fn waiting_bytes_max(&self) -> usize {
        self.waiting(false).max().unwrap_or(0)
    }

    /// Returns how many bytes wait on all streams of pictures.
    #[must_use]
    pub fn bulk_waiting_bytes(&self) -> usize {
        self.waiting(true).sum()
    }

    fn waiting(&self, bulk: bool) -> impl Iterator<Item = usize> {
        let streams = self.streams.iter();
        let fitting = streams.filter(move |(_, stream)| stream.bulk == bulk);
        fitting.map(|(_, stream)| stream.waiting_bytes)
    }

    /// Returns how long the relay took to answer, if it was asked.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.mux.rtt()
    }

    /// Ends the connection. The next message tells the relay.
    pub fn close(&mut self, code: u32, reason: &str) {
        self.over = true;
        self.mux.close(code, reason);
    }

    fn end(&mut self, id: u32, end: End) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.sends
            && stream.end.is_none()
        {
            if let End::Reset(_) = end {
                stream.waiting.clear();
                stream.waiting_bytes = 0;
            }
            stream.end = Some(end);
            self.push(id);
            self.drain();
        }
    }

    /// Opens those streams that the relay allows now, in the order in which they were asked for.
    fn open_more(&mut self, direction: Direction) {
        let unopened: Vec<u32> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.key.is_none() && stream.direction == direction)
            .map(|(id, _)| id)
            .collect();
        for id in unopened {
            let Some(key) = self.mux.open(direction) else {
                return;
            };
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.key = Some(key);
                if stream.bulk {
                    self.mux.set_priority(key, BULK_PRIORITY);
                }
            }
            self.ids.insert(key, id);
            self.push(id);
            self.watch(id, key);
        }
    }

    /// Waits for the relay to stop our direction, and reads the other one.
    fn watch(&mut self, id: u32, key: StreamKey) {
        self.check_stopped(id, key);
        self.read(id, key);
    }

    fn accept(&mut self, direction: Direction) {
        while let Some(key) = self.mux.accept(direction) {
            let id = self.next;
            self.next = self.next.wrapping_sub(2);
            let both = direction == Direction::Bi;
            let stream = Stream {
                key: Some(key),
                direction,
                bulk: false,
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                end: None,
                sends: both,
                receives: true,
            };
            self.streams.insert(id, stream);
            self.ids.insert(key, id);
            let record = Record::new(Kind::Incoming, id).code(both.into());
            self.records.push_back(record);
            self.watch(id, key);
        }
    }

    /// Hands on what was written.
    fn push(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(key) = stream.key.filter(|_| stream.sends) else {
            return;
        };
        if let Some(End::Reset(code)) = stream.end {
            self.mux.reset(key, code);
            self.done_sending(id, key);
            return;
        }
        match self.mux.write(key, stream.waiting.make_contiguous()) {
            Ok(taken) => {
                stream.waiting.retain(|piece| !piece.is_empty());
                stream.waiting_bytes = stream.waiting.iter().map(Bytes::len).sum();
                if taken && stream.end.is_some() {
                    self.mux.finish(key);
                    self.done_sending(id, key);
                }
            }
            // Told by `Done`.
            Err(WriteError::Stopped(_) | WriteError::Lost) => {
                stream.waiting.clear();
                stream.waiting_bytes = 0;
            }
        }
    }

    fn done_sending(&mut self, id: u32, key: StreamKey) {
        self.mux.release_send(key);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.sends = false;
        }
        self.retire(id);
    }

    fn read(&mut self, id: u32, key: StreamKey) {
        loop {
            let receives = self.streams.get(&id).is_some_and(|stream| stream.receives);
            if !receives {
                return;
            }
            let record = match self.mux.read(key) {
                Ok(Received::Blocked) | Err(ReadError::Lost) => return,
                Ok(Received::Bytes(bytes)) => Record::new(Kind::Arrived, id).bytes(bytes),
                Ok(Received::Finished) => {
                    self.done_receiving(id, key);
                    Record::new(Kind::Arrived, id).code(FIN)
                }
                Err(ReadError::Reset(code)) => {
                    self.done_receiving(id, key);
                    Record::new(Kind::WasReset, id).code(code.into())
                }
            };
            self.records.push_back(record);
        }
    }

    fn done_receiving(&mut self, id: u32, key: StreamKey) {
        self.mux.release_recv(key);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.receives = false;
        }
        self.retire(id);
    }

    /// Forgets a stream that is of no more use.
    fn retire(&mut self, id: u32) {
        let unused = |stream: &Stream| !stream.sends && !stream.receives;
        if !self.streams.get(&id).is_some_and(unused) {
            return;
        }
        if let Some(key) = self.streams.remove(&id).and_then(|stream| stream.key) {
            self.ids.remove(&key);
        }
    }

    fn check_stopped(&mut self, id: u32, key: StreamKey) {
        let sends = self.streams.get(&id).is_some_and(|stream| stream.sends);
        if let Err(WriteError::Stopped(code)) = self.mux.done(key)
            && sends
        {
            self.done_sending(id, key);
            self.records
                .push_back(Record::new(Kind::WasStopped, id).code(code.into()));
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Incoming(direction) => self.accept(direction),
                Event::Openable(direction) => self.open_more(direction),
                Event::Readable(key) => self.known(key, Self::read),
                Event::Writable(key) => self.known(key, |fallback, id, _| fallback.push(id)),
                Event::Done(key) => self.known(key, Self::check_stopped),
                Event::Datagram => self.datagrams(),
                Event::Closed => self.closed(),
            }
        }
    }

    fn known(&mut self, key: StreamKey, what: impl FnOnce(&mut Self, u32, StreamKey)) {
        if let Some(&id) = self.ids.get(&key) {
            what(self, id, key);
        }
    }

    fn datagrams(&mut self) {
        while let Some(bytes) = self.mux.receive_datagram() {
            self.records
                .push_back(Record::new(Kind::DatagramArrived, 0).bytes(bytes));
        }
    }

    fn closed(&mut self) {
        if core::mem::replace(&mut self.over, true) {
            return;
        }
        let (code, reason) = match self.mux.closed() {
            Some(Closed::Peer { code, reason }) => (f64::from(*code), reason.clone()),
            Some(Closed::Failed { code, reason }) => (NO_CODE, format!("QMux {code}: {reason}")),
            Some(Closed::Violation(violation)) => (NO_CODE, violation.to_string()),
            Some(Closed::TimedOut) => (NO_CODE, "nothing was heard".to_owned()),
            Some(Closed::Ours | Closed::Lost) | None => (NO_CODE, String::new()),
        };
        self.records
            .push_back(Record::new(Kind::Over, 0).at(code).bytes(reason));
    }
}

/// [`Kind::Arrived`]: nothing follows.
const FIN: u64 = 1;

/// [`Kind::Over`]: the session's own code is not known.
const NO_CODE: f64 = -1.0;
