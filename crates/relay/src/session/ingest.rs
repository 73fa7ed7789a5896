//! Objects from the peer: streams and datagrams.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    DecodeError, Draft, ObjectProperties, RequestId, ResetCode, SessionCode, TrackAlias,
    data::{
        self, Datagram, FetchHeader, ObjectDatagram, StreamKind, SubgroupDecoder, SubgroupItem,
    },
};

use super::{
    Driver, Due, Note, Stream,
    control::wire_code,
    fill::{Answering, Fed},
    signal::StreamBell,
};
use crate::{
    mlog::Way,
    track::{InletError, Lane, SubgroupEnd},
    transport::{ReadError, RecvStream},
};

/// Pieces read from one stream before others have their turn.
const CHUNKS_AT_ONCE: usize = 32;

/// Streams accepted before others have their turn.
const STREAMS_AT_ONCE: usize = 64;

/// A unidirectional stream from the peer.
pub(super) struct Incoming {
    recv: RecvStream,
    bell: Arc<StreamBell>,
    state: State,
}

enum State {
    /// The control stream, with what was read of it.
    Control(Bytes),
    /// Its first bytes are not all there.
    Unknown(BytesMut),
    /// Objects, whose header is incomplete.
    Header(SubgroupDecoder),
    /// Objects of a track whose alias is early. Nothing more is read of them meanwhile.
    Parked(SubgroupDecoder),
    /// The answer to a FETCH of ours.
    Answer(Answering),
    /// Objects of a track.
    Objects {
        decoder: SubgroupDecoder,
        request: RequestId,
        lane: Lane,
    },
}

/// What became of a stream after it was read.
enum Verdict {
    /// There is nothing to read now.
    Wait,
    /// It is over or handed on.
    Gone,
    /// The peer need not send more of it.
    Unwanted(ResetCode),
}

/// Objects that came before the message that explains their alias.
#[derive(Default)]
pub(super) struct Early {
    datagrams: VecDeque<(Instant, ObjectDatagram)>,
    streams: VecDeque<(Instant, TrackAlias, u32)>,
    /// Aliases of subscriptions that ended a moment ago: what comes for them is late, not early.
    gone: VecDeque<TrackAlias>,
}

/// Ended subscriptions whose late objects are told from early ones. More than end at a time.
const GONE_MAX: usize = 64;

impl Driver {
    pub(super) fn accept_uni(&mut self) {
        let waker = self.wakers.uni.clone();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..STREAMS_AT_ONCE {
            match self.transport.poll_accept_uni(&mut cx) {
                Poll::Ready(Some(recv)) => self.add_incoming(recv),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
        self.signal.raise(Note::Uni);
    }

    fn add_incoming(&mut self, recv: RecvStream) {
        let slot = self.streams.reserve();
        let incoming = Incoming {
            recv,
            bell: StreamBell::new(self.signal.clone(), slot),
            state: State::Unknown(BytesMut::new()),
        };
        self.incoming_open += 1;
        self.streams.put(slot, Stream::Incoming(incoming));
        self.poll_stream(slot);
    }

    /// Looks at the streams that can go on.
    pub(super) fn poll_streams(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        self.signal.take_streams(&mut ready);
        if ready.len() > 1 {
            // A connection wakes all its blocked streams at once, and has room for the first.
            ready.sort_by_key(|slot| std::cmp::Reverse(self.urgency(*slot)));
        }
        for slot in ready.drain(..) {
            self.poll_stream(slot);
        }
        self.ready = ready;
    }

    fn urgency(&self, slot: u32) -> i32 {
        match self.streams.get(slot) {
            Some(Stream::Outgoing {
                subscription,
                serial,
            }) => self.priority_of(*subscription, *serial),
            Some(Stream::Fetch(serving)) => serving.urgency(),
            Some(Stream::Pipe(_) | Stream::Incoming(_)) | None => i32::MAX,
        }
    }

    pub(super) fn poll_stream(&mut self, slot: u32) {
        match self.streams.take(slot) {
            Some(Stream::Pipe(pipe)) => self.poll_pipe(slot, pipe),
            Some(Stream::Incoming(incoming)) => self.poll_incoming(slot, incoming),
            Some(Stream::Fetch(serving)) => self.poll_fetch(slot, serving),
            Some(Stream::Outgoing {
                subscription,
                serial,
            }) => {
                let stream = Stream::Outgoing {
                    subscription,
                    serial,
                };
                self.streams.put(slot, stream);
                self.resume(subscription, serial);
            }
            None => {} // A note from before the place was used again.
        }
    }

    fn poll_incoming(&mut self, slot: u32, mut incoming: Incoming) {
        incoming.bell.silence();
        if matches!(incoming.state, State::Parked(_)) {
            return self.streams.put(slot, Stream::Incoming(incoming));
        }
        let waker = Waker::from(incoming.bell.clone());
        let mut cx = Context::from_waker(&waker);
        if matches!(incoming.state, State::Answer(_))
            && let Some(verdict) = self.answer_stream(&mut incoming, None)
        {
            return self.conclude(slot, incoming, verdict);
        }
        for _ in 0..CHUNKS_AT_ONCE {
            let verdict = match incoming.recv.poll_read(&mut cx) {
                Poll::Ready(Ok(Some(bytes))) => match self.feed(slot, &mut incoming, bytes) {
                    None => continue,
                    Some(verdict) => verdict,
                },
                Poll::Ready(Ok(None)) => self.finish_incoming(&mut incoming),
                Poll::Ready(Err(error)) => self.reset_incoming(&mut incoming, error),
                Poll::Pending => Verdict::Wait,
            };
            return self.conclude(slot, incoming, verdict);
        }
        waker.wake();
        self.conclude(slot, incoming, Verdict::Wait);
    }

    fn conclude(&mut self, slot: u32, mut incoming: Incoming, verdict: Verdict) {
        match verdict {
            Verdict::Wait => return self.streams.put(slot, Stream::Incoming(incoming)),
            Verdict::Gone => {}
            Verdict::Unwanted(code) => {
                incoming.recv.stop(wire_code(self.machine.draft(), code));
            }
        }
        self.incoming_open -= 1;
        self.streams.release(slot);
        match incoming.state {
            State::Control(first) => self.add_control(incoming.recv, first),
            state => self.end_lane(state, SubgroupEnd::Reset(ResetCode::Cancelled)),
        }
    }

    /// Takes bytes of a stream; `None`: go on reading.
    fn feed(&mut self, slot: u32, incoming: &mut Incoming, bytes: Bytes) -> Option<Verdict> {
        self.charge_bytes(bytes.len());
        if let State::Unknown(start) = &mut incoming.state {
            start.extend_from_slice(&bytes);
            return self.classify(slot, incoming);
        }
        match &mut incoming.state {
            State::Unknown(_) | State::Control(_) => {}
            State::Answer(_) => return self.answer_stream(incoming, Some(bytes)),
            State::Header(decoder) | State::Parked(decoder) | State::Objects { decoder, .. } => {
                decoder.push(bytes);
            }
        }
        self.decode(slot, incoming)
    }

    fn classify(&mut self, slot: u32, incoming: &mut Incoming) -> Option<Verdict> {
        let State::Unknown(start) = &mut incoming.state else {
            return None;
        };
        let kind = match data::classify(self.machine.draft(), start) {
            Ok(kind) => kind?,
            Err(error) => return Some(self.broken(&error)),
        };
        if kind == StreamKind::Fetch {
            return self.classify_answer(incoming);
        }
        let bytes = std::mem::take(start).freeze();
        match kind {
            StreamKind::Control => {
                incoming.state = State::Control(bytes);
                Some(Verdict::Gone)
            }
            StreamKind::Subgroup => {
                let limits = self.object_limits();
                let mut decoder = SubgroupDecoder::new(self.machine.draft(), limits);
                decoder.push(bytes);
                incoming.state = State::Header(decoder);
                self.decode(slot, incoming)
            }
            // Padding is for the peer's use only.
            StreamKind::Fetch | StreamKind::Padding => {
                Some(Verdict::Unwanted(ResetCode::Cancelled))
            }
        }
    }

    /// Finds the FETCH of ours that a stream answers.
    fn classify_answer(&mut self, incoming: &mut Incoming) -> Option<Verdict> {
        let State::Unknown(start) = &mut incoming.state else {
            return None;
        };
        let header = match FetchHeader::peek(self.machine.draft(), start) {
            Ok(header) => header?.0,
            Err(error) => return Some(self.broken(&error)),
        };
        let Some(answering) = self.answering(header) else {
            return Some(Verdict::Unwanted(ResetCode::Cancelled));
        };
        let bytes = std::mem::take(start).freeze();
        incoming.state = State::Answer(answering);
        self.answer_stream(incoming, Some(bytes))
    }

    /// Hands on what a stream that answers a FETCH of ours holds; `None`: go on reading.
    fn answer_stream(&mut self, incoming: &mut Incoming, bytes: Option<Bytes>) -> Option<Verdict> {
        let State::Answer(answering) = &mut incoming.state else {
            return None;
        };
        let waker = Waker::from(incoming.bell.clone());
        match answering.feed(bytes, &waker) {
            Fed::Hungry => None,
            Fed::Full => Some(Verdict::Wait),
            Fed::Broken(error) => Some(self.broken(&error)),
            Fed::Malformed => Some(Verdict::Unwanted(ResetCode::MalformedTrack)),
        }
    }

    pub(super) fn object_limits(&self) -> data::Limits {
        data::Limits {
            payload_bytes_max: self.limits.object_bytes,
            properties_bytes_max: self.limits.properties_bytes,
        }
    }

    fn decode(&mut self, slot: u32, incoming: &mut Incoming) -> Option<Verdict> {
        loop {
            match &mut incoming.state {
                State::Unknown(_) | State::Control(_) | State::Parked(_) | State::Answer(_) => {
                    return None;
                }
                State::Header(decoder) => {
                    match decoder.poll() {
                        Ok(Some(_header)) => {
                            if let (Some(log), Some(header)) = (&mut self.log, decoder.header()) {
                                log.subgroup(Way::Parsed, slot, header);
                            }
                        }
                        Ok(None) => return None,
                        Err(error) => return Some(self.broken(&error)),
                    }
                    if let Some(verdict) = self.explain(slot, incoming) {
                        return Some(verdict);
                    }
                }
                State::Objects {
                    decoder,
                    request,
                    lane,
                } => {
                    let object = match decoder.poll() {
                        Ok(Some(SubgroupItem::Object(object))) => {
                            if let Some(log) = &mut self.log {
                                log.object(Way::Parsed, slot, &object);
                            }
                            object
                        }
                        Ok(Some(SubgroupItem::Header(_))) => continue,
                        Ok(None) => return None,
                        Err(error) => return Some(self.broken(&error)),
                    };
                    let request = *request;
                    let properties = match read(self.machine.draft(), &object.properties) {
                        Ok(properties) => properties,
                        Err(error) => {
                            self.malformed(request, &error);
                            return Some(Verdict::Unwanted(ResetCode::MalformedTrack));
                        }
                    };
                    let Some(source) = self.sources.get(&request) else {
                        return Some(Verdict::Unwanted(ResetCode::Cancelled));
                    };
                    match source.object(lane, object, properties) {
                        Ok(true) => {}
                        Ok(false) => {
                            self.superseded(request);
                            return Some(Verdict::Unwanted(ResetCode::Cancelled));
                        }
                        Err(error) => return Some(self.not_taken(request, error)),
                    }
                }
            }
        }
    }

    /// Finds the track of a stream whose header is known.
    fn explain(&mut self, slot: u32, incoming: &mut Incoming) -> Option<Verdict> {
        let (State::Header(decoder) | State::Parked(decoder)) = &mut incoming.state else {
            return None;
        };
        let header = *decoder.header()?;
        let unused = SubgroupDecoder::new(
            self.machine.draft(),
            data::Limits {
                payload_bytes_max: 0,
                properties_bytes_max: 0,
            },
        );
        let decoder = std::mem::replace(decoder, unused);
        let Some(request) = self.aliases.get(&header.alias).copied() else {
            incoming.state = State::Parked(decoder);
            return Some(self.park(slot, header.alias));
        };
        let lane = self
            .sources
            .get_mut(&request)
            .and_then(|source| source.begin_stream(header));
        let Some(lane) = lane else {
            return Some(Verdict::Unwanted(ResetCode::Cancelled));
        };
        incoming.state = State::Objects {
            decoder,
            request,
            lane,
        };
        None
    }

    /// Lets a stream wait for its alias: nothing more is read of it, so that flow control holds
    /// the peer back.
    fn park(&mut self, slot: u32, alias: TrackAlias) -> Verdict {
        let late = self.early.gone.contains(&alias);
        if late || self.early.streams.len() >= self.limits.early_streams {
            return Verdict::Unwanted(ResetCode::Cancelled);
        }
        let until = Instant::now() + self.limits.early_wait;
        self.early.streams.push_back((until, alias, slot));
        self.timers.set(until, Due::Early);
        Verdict::Wait
    }

    /// An alias was explained: what waited for it goes on.
    pub(super) fn alias_known(&mut self, alias: TrackAlias) {
        self.early.gone.retain(|gone| *gone != alias);
        let (known, early) = std::mem::take(&mut self.early.streams)
            .into_iter()
            .partition(|(_, waiting, _)| *waiting == alias);
        self.early.streams = early;
        let known: VecDeque<(Instant, TrackAlias, u32)> = known;
        for (_, _, slot) in known {
            self.unpark(slot);
        }
        let (known, early) = std::mem::take(&mut self.early.datagrams)
            .into_iter()
            .partition(|(_, datagram)| datagram.alias == alias);
        self.early.datagrams = early;
        let known: VecDeque<(Instant, ObjectDatagram)> = known;
        for (_, datagram) in known {
            self.object_datagram(datagram);
        }
    }

    /// A subscription ended; objects may still be on their way.
    pub(super) fn alias_gone(&mut self, alias: TrackAlias) {
        if self.early.gone.len() == GONE_MAX {
            self.early.gone.pop_front();
        }
        self.early.gone.push_back(alias);
    }

    fn unpark(&mut self, slot: u32) {
        match self.streams.take(slot) {
            Some(Stream::Incoming(mut incoming)) => {
                let verdict = self
                    .explain(slot, &mut incoming)
                    .or_else(|| self.decode(slot, &mut incoming));
                match verdict {
                    Some(verdict) => self.conclude(slot, incoming, verdict),
                    None => self.poll_incoming(slot, incoming),
                }
            }
            Some(other) => self.streams.put(slot, other),
            None => {}
        }
    }

    /// Gives up on what waited too long.
    pub(super) fn early_over(&mut self, now: Instant) {
        while let Some((_, _, slot)) = self
            .early
            .streams
            .pop_front_if(|(until, _, _)| *until <= now)
        {
            if let Some(Stream::Incoming(incoming)) = self.streams.take(slot) {
                tracing::debug!("a stream's track alias was never explained");
                self.conclude(slot, incoming, Verdict::Unwanted(ResetCode::Cancelled));
            }
        }
        while let Some(_dropped) = self
            .early
            .datagrams
            .pop_front_if(|(until, _)| *until <= now)
        {}
    }

    fn finish_incoming(&mut self, incoming: &mut Incoming) -> Verdict {
        let finished = match &incoming.state {
            State::Unknown(start) if start.is_empty() => Ok(()),
            State::Unknown(_) => Err(DecodeError::Truncated("stream type")),
            State::Control(_) => Ok(()),
            State::Answer(answering) => answering.finish(),
            State::Header(decoder) | State::Parked(decoder) | State::Objects { decoder, .. } => {
                decoder.finish()
            }
        };
        match finished {
            Ok(()) => self.close_lane(incoming, SubgroupEnd::Fin),
            Err(error) => self.broken(&error),
        }
    }

    fn reset_incoming(&mut self, incoming: &mut Incoming, error: ReadError) -> Verdict {
        let draft = self.machine.draft();
        let code = match error {
            ReadError::Reset(code) => ResetCode::from_code(draft, code.into()),
            ReadError::Lost => ResetCode::Cancelled,
        };
        self.close_lane(incoming, SubgroupEnd::Reset(code))
    }

    fn close_lane(&mut self, incoming: &mut Incoming, end: SubgroupEnd) -> Verdict {
        let state = std::mem::replace(&mut incoming.state, State::Unknown(BytesMut::new()));
        self.end_lane(state, end);
        Verdict::Gone
    }

    fn end_lane(&mut self, state: State, end: SubgroupEnd) {
        if let State::Answer(answering) = &state {
            self.fill_stream_ended(answering.request, end == SubgroupEnd::Fin);
        }
        let State::Objects { request, lane, .. } = state else {
            return;
        };
        if let Some(source) = self.sources.get_mut(&request) {
            match source.end_stream(lane, end) {
                Ok(()) => self.finish_source_if_done(request),
                Err(error) => self.malformed(request, &error),
            }
        }
    }

    pub(super) fn read_datagrams(&mut self) {
        let mut datagrams = std::mem::take(&mut self.datagrams);
        let waker = self.wakers.datagram.clone();
        let mut cx = Context::from_waker(&waker);
        self.transport.receive_datagrams(&mut cx, &mut datagrams);
        for bytes in datagrams.drain(..) {
            self.charge_bytes(bytes.len());
            match Datagram::decode(self.machine.draft(), bytes) {
                Ok(Datagram::Object(object)) => {
                    if let Some(log) = &mut self.log {
                        log.datagram(Way::Parsed, &object);
                    }
                    self.object_datagram(object);
                }
                Ok(Datagram::Padding) => {}
                Err(error) => {
                    self.broken(&error);
                    break;
                }
            }
        }
        self.datagrams = datagrams;
    }

    fn object_datagram(&mut self, object: ObjectDatagram) {
        let Some(request) = self.aliases.get(&object.alias).copied() else {
            let late = self.early.gone.contains(&object.alias);
            if !late && self.early.datagrams.len() < self.limits.early_datagrams {
                let until = Instant::now() + self.limits.early_wait;
                self.early.datagrams.push_back((until, object));
                self.timers.set(until, Due::Early);
            }
            return;
        };
        let properties = match read(self.machine.draft(), &object.properties) {
            Ok(properties) => properties,
            Err(error) => return self.malformed(request, &error),
        };
        let Some(source) = self.sources.get_mut(&request) else {
            return;
        };
        match source.datagram(object, properties) {
            Ok(true) => {}
            Ok(false) => self.superseded(request),
            Err(error) => drop(self.not_taken(request, error)),
        }
    }

    fn not_taken(&mut self, request: RequestId, error: InletError) -> Verdict {
        match error {
            InletError::Malformed(error) => {
                self.malformed(request, &error);
                Verdict::Unwanted(ResetCode::MalformedTrack)
            }
            InletError::Encode(error) => {
                self.violation(SessionCode::ProtocolViolation, &error.to_string());
                Verdict::Gone
            }
        }
    }

    /// The peer's bytes make no sense: the session must end.
    fn broken(&mut self, error: &DecodeError) -> Verdict {
        self.violation(error.session_code(), &error.to_string());
        Verdict::Gone
    }
}

/// Reads an object's properties; an error makes its track malformed (section 2.4.2).
fn read(draft: Draft, properties: &Bytes) -> Result<ObjectProperties, DecodeError> {
    if properties.is_empty() {
        return Ok(ObjectProperties::default());
    }
    ObjectProperties::read(draft, properties)
}
