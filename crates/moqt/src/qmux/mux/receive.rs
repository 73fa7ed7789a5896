//! What comes from the peer.

use bytes::Bytes;

use super::{
    super::{
        event::{Closed, Event, StreamKey, Violation},
        frame::Frame,
        params::RECORD_BYTES_MIN,
        streams::{Receiving, RecvHalf, SendHalf, Sending, Stream},
    },
    Mux, index, shortened,
};
use crate::{Direction, Role};

/// Receiving.
impl Mux {
    pub(super) fn handle_record(&mut self, record: &mut Bytes) -> Result<(), Violation> {
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

/// Datagrams that wait to be read, however small they are.
const DATAGRAMS_WAITING: usize = 1024;
