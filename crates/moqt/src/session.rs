//! The state machine of one MoQ session: control streams, requests, answers.

mod calls;
mod config;
mod event;
mod fault;
mod fetch;
mod incoming;
mod offers;
mod one_stream;
mod receive;
mod request;
mod seen;
mod setup;
mod update;

pub use config::{
    CallError, Config, FetchAnswer, FetchOptions, Limits, PublishOptions, Role, SubscribeAnswer,
    SubscribeOptions, Transport,
};
pub use event::{Direction, Event, Output, PeerSetup};

use core::time::Duration;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::collections::{BTreeMap, BTreeSet};
use crate::{
    Draft, Envelope, FullTrackName, Message, RequestId, ResetCode, SessionCode, StreamId,
    TokenCache, TrackAlias, message::Head,
};
use fault::Fault;
use one_stream::OneStream;
use request::{Kind, Request};
use seen::Seen;

/// One MoQ session, either side, without its data streams.
///
/// Inputs are the `handle*` and `accept_bi`/`accept_control` methods; after each of them, and after local calls, drain
/// [`poll_output`](Self::poll_output) and ask [`poll_timeout`](Self::poll_timeout). Times must not go backwards.
/// After [`Output::Close`] nothing more comes out and every local call fails with [`CallError::Closed`].
///
/// A request that is over is forgotten at once: bytes that still arrive on its stream are ignored, and its id is
/// unknown to local calls. Keep reading its stream until it ends, or until [`Output::Stop`].
#[derive(Debug)]
pub struct Session {
    config: Config,
    outputs: VecDeque<Output>,
    state: State,
    next_stream: u64,
    streams: BTreeMap<StreamId, Stream>,
    /// Bytes in the buffers of all streams.
    buffered_bytes: usize,
    /// Not there yet for servers that share the client's (draft 16 and earlier).
    our_control: Option<StreamId>,
    peer_control: Option<StreamId>,
    /// Drafts with one control stream.
    one_stream: Option<OneStream>,
    /// Requests with a stream of their own.
    own_streams: usize,

    requests: BTreeMap<RequestId, Request>,
    peer_requests: usize,
    next_request: RequestId,
    seen: Seen,
    tokens: TokenCache,
    peer_goaway: bool,
    our_goaway: Option<GoAwaySent>,
    /// Requests with a deadline after a GOAWAY of their own.
    deadlines: BTreeSet<(Duration, RequestId)>,

    /// Tracks of which we are the publisher: the peer's SUBSCRIBE or our PUBLISH.
    publishing: BTreeMap<FullTrackName, RequestId>,
    /// Tracks that we subscribe to with SUBSCRIBE.
    subscribing: BTreeMap<FullTrackName, RequestId>,
    /// Tracks that the peer publishes with PUBLISH.
    offered: BTreeMap<FullTrackName, RequestId>,
    our_aliases: BTreeMap<TrackAlias, RequestId>,
    next_alias: u64,
    peer_aliases: BTreeMap<TrackAlias, RequestId>,
    /// The peer's MAX_FILTER_RANGES.
    peer_filter_ranges: u64,
    /// The peer's MAX_REQUEST_UPDATES.
    peer_updates_max: Option<u64>,
}

/// How far the session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The peer's SETUP is missing.
    Opening { until: Duration },
    /// Both SETUPs are there.
    Open,
    /// Nothing more happens.
    Closed,
}

/// A stream that the peer writes to.
#[derive(Debug)]
struct Stream {
    role: StreamRole,
    buffer: BytesMut,
    fin: bool,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamRole {
    /// The peer's control stream.
    Control,
    /// The peer's bidirectional stream, before its first message.
    Fresh,
    /// A request's.
    Request(RequestId),
}

/// Our GOAWAY on the control stream; the peer's new requests are refused from then on.
#[derive(Debug, Clone, Copy)]
struct GoAwaySent {
    /// When the session closes if requests are open.
    until: Option<Duration>,
}

impl Session {
    /// Begins a session on a transport that is up; the first outputs open the control stream and send SETUP.
    pub fn new(config: Config, now: Duration) -> Self {
        let one_stream = OneStream::new(&config);
        let mut session = Self {
            outputs: VecDeque::new(),
            state: State::Opening {
                until: now.saturating_add(config.limits.setup_timeout),
            },
            next_stream: 0,
            streams: BTreeMap::new(),
            buffered_bytes: 0,
            our_control: None,
            peer_control: None,
            one_stream,
            own_streams: 0,
            requests: BTreeMap::new(),
            peer_requests: 0,
            next_request: RequestId(config.role.parity()),
            seen: Seen::new(config.role.peer()),
            tokens: TokenCache::new(config.limits.auth_token_cache_bytes_max),
            peer_goaway: false,
            our_goaway: None,
            deadlines: BTreeSet::new(),
            publishing: BTreeMap::new(),
            subscribing: BTreeMap::new(),
            offered: BTreeMap::new(),
            our_aliases: BTreeMap::new(),
            next_alias: 0,
            peer_aliases: BTreeMap::new(),
            peer_filter_ranges: 0,
            peer_updates_max: None,
            config,
        };
        session.open_control();
        session
    }

    /// Opens our control stream, or the one that both sides share.
    fn open_control(&mut self) {
        let direction = match (&self.one_stream, self.config.role) {
            (None, _) => Direction::Uni,
            (Some(_), Role::Client) => Direction::Bi,
            // The client opens it.
            (Some(_), Role::Server) => return,
        };
        let control = self.new_stream();
        self.our_control = Some(control);
        if direction == Direction::Bi {
            self.peer_control = Some(control);
            self.streams
                .insert(control, Stream::new(StreamRole::Control));
        }
        self.outputs.push_back(Output::Open(control, direction));
        self.send_setup();
    }

    fn send_setup(&mut self) {
        let setup = Message::Setup(setup::ours(&self.config));
        match self.encode(None, &setup) {
            Ok(bytes) => self.write_control(bytes),
            Err(error) => self.close(SessionCode::InternalError, &error.to_string()),
        }
    }

    /// Names a bidirectional stream that the peer opened.
    pub fn accept_bi(&mut self) -> StreamId {
        let stream = self.new_stream();
        if self.state == State::Closed {
            return stream;
        }
        let fresh = self.streams.len().saturating_sub(self.own_streams);
        if fresh > self.config.limits.peer_requests_max {
            self.outputs
                .push_back(Output::Reset(stream, ResetCode::ExcessiveLoad));
            self.outputs
                .push_back(Output::Stop(stream, ResetCode::ExcessiveLoad));
            return stream;
        }
        self.streams.insert(stream, Stream::new(StreamRole::Fresh));
        stream
    }

    /// Names the peer's control stream; hand all its bytes, the type too, to [`handle_stream`](Self::handle_stream).
    ///
    /// A second one ends the session.
    pub fn accept_control(&mut self) -> StreamId {
        let stream = self.new_stream();
        if self.state == State::Closed {
            return stream;
        }
        if self.peer_control.is_some() {
            self.close(SessionCode::ProtocolViolation, "second control stream");
            return stream;
        }
        self.peer_control = Some(stream);
        self.streams
            .insert(stream, Stream::new(StreamRole::Control));
        stream
    }

    /// Takes bytes that arrived on a stream; `fin`: they are the last ones. Empty bytes with `fin` are fine.
    ///
    /// Streams that are over are ignored.
    pub fn handle_stream(&mut self, stream: StreamId, bytes: Bytes, fin: bool, now: Duration) {
        self.handle_timeout(now);
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        entry.buffer.extend_from_slice(&bytes);
        entry.fin |= fin;
        self.buffered_bytes += bytes.len();
        self.process(stream);
        if self.buffered_bytes > self.config.limits.buffered_bytes_max {
            self.close(
                SessionCode::InternalError,
                "too many incomplete or early messages",
            );
        }
    }

    /// The peer reset its direction of a stream (RESET_STREAM); `code` as on the wire.
    pub fn handle_reset(&mut self, stream: StreamId, code: u64, now: Duration) {
        self.handle_timeout(now);
        let Some(entry) = self.streams.get(&stream) else {
            return;
        };
        match entry.role {
            StreamRole::Control => self.close(
                SessionCode::ProtocolViolation,
                "the control stream was reset",
            ),
            StreamRole::Fresh => {
                self.forget_stream(stream);
                self.outputs
                    .push_back(Output::Reset(stream, ResetCode::Cancelled));
            }
            StreamRole::Request(id) => {
                if let Some(request) = self.requests.get_mut(&id) {
                    request.receiving = false;
                }
                self.end_by_peer(id, Some(ResetCode::from_code(self.config.draft, code)));
            }
        }
    }

    /// The peer does not want what we send on a stream (STOP_SENDING); `code` as on the wire.
    pub fn handle_stop(&mut self, stream: StreamId, code: u64, now: Duration) {
        self.handle_timeout(now);
        if Some(stream) == self.our_control && self.state != State::Closed {
            self.close(
                SessionCode::ProtocolViolation,
                "the control stream was stopped",
            );
        }
        let Some(entry) = self.streams.get(&stream) else {
            return;
        };
        match entry.role {
            // The peer opened it: it cannot be stopped.
            StreamRole::Control => {}
            StreamRole::Fresh => {
                self.forget_stream(stream);
                self.outputs
                    .push_back(Output::Reset(stream, ResetCode::Cancelled));
                self.outputs
                    .push_back(Output::Stop(stream, ResetCode::Cancelled));
            }
            StreamRole::Request(id) => {
                let Some(request) = self.requests.get_mut(&id) else {
                    return;
                };
                if core::mem::replace(&mut request.sending, false) {
                    self.outputs
                        .push_back(Output::Reset(stream, ResetCode::Cancelled));
                }
                if request.ends_with_stop() {
                    self.end_by_peer(id, Some(ResetCode::from_code(self.config.draft, code)));
                }
            }
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        if let State::Opening { until } = self.state
            && now >= until
        {
            self.close(SessionCode::ControlMessageTimeout, "no SETUP in time");
        }
        if let Some(GoAwaySent { until: Some(until) }) = self.our_goaway
            && now >= until
        {
            self.our_goaway = Some(GoAwaySent { until: None });
            if !self.requests.is_empty() {
                self.close(SessionCode::GoawayTimeout, "requests are still open");
            }
        }
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && now >= deadline
        {
            self.abort(id, ResetCode::GoingAway);
            self.outputs.push_back(Output::Event(Event::Cancelled {
                id,
                code: Some(ResetCode::GoingAway),
            }));
        }
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let setup = match self.state {
            State::Opening { until } => Some(until),
            State::Open | State::Closed => None,
        };
        let goaway = self.our_goaway.and_then(|goaway| goaway.until);
        let request = self.deadlines.first().map(|(deadline, _)| *deadline);
        [setup, goaway, request].into_iter().flatten().min()
    }

    /// Returns what to do next; drain until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the draft.
    pub fn draft(&self) -> Draft {
        self.config.draft
    }

    /// Returns our side.
    pub fn role(&self) -> Role {
        self.config.role
    }

    /// Returns true once the peer's SETUP has arrived, until the session closes.
    pub fn is_established(&self) -> bool {
        self.state == State::Open
    }

    /// Returns true after [`Output::Close`].
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Returns how many requests of either side are open.
    pub fn open_requests(&self) -> usize {
        self.requests.len()
    }

    /// Returns what an open request is called, for logs and counters.
    pub fn request_name(&self, id: RequestId) -> Option<&'static str> {
        Some(match self.requests.get(&id)?.kind {
            Kind::Subscribe { .. } => "subscribe",
            Kind::Publish { .. } => "publish",
            Kind::TrackStatus => "track_status",
            Kind::Fetch { .. } => "fetch",
            Kind::PublishNamespace { .. } => "publish_namespace",
            Kind::SubscribeNamespace { .. } => "subscribe_namespace",
            Kind::SubscribeTracks { .. } => "subscribe_tracks",
        })
    }

    /// Ends the session. Does nothing the second time.
    pub fn close(&mut self, code: SessionCode, reason: &str) {
        if self.state == State::Closed {
            return;
        }
        self.outputs
            .push_back(Output::Close(code, reason.to_owned()));
        self.state = State::Closed;
        self.streams.clear();
        self.buffered_bytes = 0;
        self.requests.clear();
        self.own_streams = 0;
        self.peer_requests = 0;
        self.our_goaway = None;
        self.deadlines.clear();
        self.publishing.clear();
        self.subscribing.clear();
        self.offered.clear();
        self.our_aliases.clear();
        self.peer_aliases.clear();
    }

    /// Takes whole messages out of a stream's buffer, then looks at its end.
    fn process(&mut self, stream: StreamId) {
        if let Err(Fault { code, reason }) = self.try_process(stream) {
            self.close(code, &reason);
        }
    }

    fn try_process(&mut self, stream: StreamId) -> Result<(), Fault> {
        let draft = self.config.draft;
        loop {
            // Looked up anew each time: a message may end the stream or the session.
            let Some(entry) = self.streams.get_mut(&stream) else {
                return Ok(());
            };
            let early =
                matches!(self.state, State::Opening { .. }) && entry.role != StreamRole::Control;
            if early && !self.recognize_control(stream)? {
                return Ok(());
            }
            let Some(entry) = self.streams.get_mut(&stream) else {
                return Ok(());
            };
            let role = entry.role;
            if let Some(head) = Head::peek(draft, &entry.buffer)?
                && head.payload_len > self.config.limits.message_bytes_max
            {
                return Err(Fault::new(
                    SessionCode::InternalError,
                    "control message beyond our limit",
                ));
            }
            let before = entry.buffer.len();
            let envelope = Envelope::decode(draft, &mut entry.buffer)?;
            self.buffered_bytes -= before - entry.buffer.len();
            if entry.buffer.is_empty() {
                // Gives the memory back.
                entry.buffer = BytesMut::new();
            }
            let Some(envelope) = envelope else {
                break;
            };
            match role {
                StreamRole::Control => self.receive_control(envelope)?,
                StreamRole::Fresh => self.receive_first(Some(stream), envelope.message)?,
                StreamRole::Request(id) => self.receive_on_stream(id, envelope)?,
            }
        }
        match self.streams.get(&stream) {
            Some(entry) if entry.fin && entry.buffer.is_empty() => {
                self.finished(stream, entry.role)
            }
            Some(entry) if entry.fin => Err(Fault::violation("a stream ends within a message")),
            Some(_) | None => Ok(()),
        }
    }

    /// The peer has sent FIN and everything before it is processed.
    fn finished(&mut self, stream: StreamId, role: StreamRole) -> Result<(), Fault> {
        match role {
            StreamRole::Control => return Err(Fault::violation("the control stream was finished")),
            StreamRole::Fresh => {
                self.forget_stream(stream);
                self.outputs.push_back(Output::Finish(stream));
            }
            StreamRole::Request(id) => {
                let Some(request) = self.requests.get_mut(&id) else {
                    return Ok(());
                };
                request.receiving = false;
                if request.ends_with_fin(self.config.draft) {
                    self.end_by_peer(id, None);
                }
            }
        }
        Ok(())
    }

    /// The peer has ended a request without a further word.
    fn end_by_peer(&mut self, id: RequestId, code: Option<ResetCode>) {
        let other = self
            .requests
            .get(&id)
            .and_then(|request| request.other_half);
        for id in [Some(id), other].into_iter().flatten() {
            self.tell_namespaces_done(id);
            self.withdraw_told(id);
            let own_stream = self
                .requests
                .get(&id)
                .is_some_and(|request| request.stream.is_some());
            if own_stream {
                self.abort(id, ResetCode::Cancelled);
            } else {
                self.forget(id);
            }
            self.outputs
                .push_back(Output::Event(Event::Cancelled { id, code }));
        }
    }

    /// Ends whatever directions of a request's stream are open, or says that it ends, and forgets it.
    fn abort(&mut self, id: RequestId, code: ResetCode) {
        self.withdraw_told(id);
        let farewell = match self.requests.get(&id) {
            Some(request) if request.stream.is_none() => self.farewell(request, code),
            Some(_) | None => None,
        };
        if let Some(message) = farewell
            && self.answers(id, true)
            && let Err(error) = self.write(id, &message)
        {
            return self.close(SessionCode::InternalError, &error.to_string());
        }
        let Some((request, Some(stream))) = self.forget(id) else {
            return;
        };
        if request.sending {
            self.put(id, Output::Reset(stream, code));
        }
        if request.receiving {
            self.put(id, Output::Stop(stream, code));
        }
    }

    /// Ends our direction of a request's stream, and forgets it.
    fn finish(&mut self, id: RequestId) {
        let Some((request, Some(stream))) = self.forget(id) else {
            return;
        };
        if request.sending {
            self.put(id, Output::Finish(stream));
        }
    }

    /// Returns the request and its own stream, if nobody else uses it now.
    fn forget(&mut self, id: RequestId) -> Option<(Request, Option<StreamId>)> {
        let request = self.requests.remove(&id)?;
        let mut stream = request.stream;
        if self.leave_to_other_half(&request) {
            stream = None;
        }
        if let Some(stream) = stream {
            self.forget_stream(stream);
            self.own_streams = self.own_streams.saturating_sub(1);
        }
        self.forget_updates(&request);
        if request.side == request::Side::Peers {
            self.peer_requests -= 1;
        }
        if let Some(deadline) = request.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        match (&request.side, &request.kind) {
            (request::Side::Peers, Kind::Subscribe { track, alias }) => {
                remove_if(&mut self.publishing, track, id);
                alias.map(|alias| remove_if(&mut self.our_aliases, &alias, id));
            }
            (request::Side::Ours, Kind::Publish { track, alias }) => {
                remove_if(&mut self.publishing, track, id);
                remove_if(&mut self.our_aliases, alias, id);
            }
            (request::Side::Ours, Kind::Subscribe { track, alias }) => {
                remove_if(&mut self.subscribing, track, id);
                alias.map(|alias| remove_if(&mut self.peer_aliases, &alias, id));
            }
            (request::Side::Peers, Kind::Publish { track, alias }) => {
                remove_if(&mut self.offered, track, id);
                remove_if(&mut self.peer_aliases, alias, id);
            }
            _ => {}
        }
        if self.config.draft.shares_tracks() {
            self.leave_to_others(&request);
        }
        if request.side == request::Side::Peers {
            self.grant_requests(self.config.limits.peer_requests_max as u64 / 2 + 1);
        }
        Some((request, stream))
    }

    /// Lets another subscription to the same track stand in the tables for one that is over.
    fn leave_to_others(&mut self, over: &Request) {
        let (Kind::Subscribe { track, .. } | Kind::Publish { track, .. }) = &over.kind else {
            return;
        };
        for (id, request) in &self.requests {
            let (table, aliases, alias) = match (&request.side, &request.kind) {
                (request::Side::Peers, Kind::Subscribe { track: same, alias }) if same == track => {
                    (&mut self.publishing, &mut self.our_aliases, *alias)
                }
                (request::Side::Ours, Kind::Publish { track: same, alias }) if same == track => {
                    (&mut self.publishing, &mut self.our_aliases, Some(*alias))
                }
                (request::Side::Ours, Kind::Subscribe { track: same, alias }) if same == track => {
                    (&mut self.subscribing, &mut self.peer_aliases, *alias)
                }
                (request::Side::Peers, Kind::Publish { track: same, alias }) if same == track => {
                    (&mut self.offered, &mut self.peer_aliases, Some(*alias))
                }
                _ => continue,
            };
            table.entry(track.clone()).or_insert(*id);
            if let Some(alias) = alias {
                aliases.entry(alias).or_insert(*id);
            }
        }
    }

    fn forget_stream(&mut self, stream: StreamId) {
        if let Some(entry) = self.streams.remove(&stream) {
            self.buffered_bytes -= entry.buffer.len();
        }
    }

    fn new_stream(&mut self) -> StreamId {
        let stream = StreamId(self.next_stream);
        self.next_stream += 1;
        stream
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

impl Stream {
    fn new(role: StreamRole) -> Self {
        Self {
            role,
            buffer: BytesMut::new(),
            fin: false,
        }
    }
}

/// Removes an entry only if it is still this request's.
fn remove_if<K: Ord>(map: &mut BTreeMap<K, RequestId>, key: &K, id: RequestId) {
    if map.get(key) == Some(&id) {
        map.remove(key);
    }
}
