//! Draft 16 and earlier: one control stream carries all requests, and messages say which request they are about.
//!
//! Only SUBSCRIBE_NAMESPACE of draft 16 has a stream of its own. Beside that, this is where the session differs between
//! drafts: how a request ends without a stream to end, how many requests the peer lets us make (MAX_REQUEST_ID), and how
//! SUBSCRIBE_NAMESPACE asks for namespaces and tracks at once. See `docs/adr/0008-drafts.md`.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::collections::BTreeMap;
use crate::{
    About, CallError, EncodeError, Envelope, Message, Namespace, PublishDone, PublishDoneCode,
    RequestCode, RequestError, RequestId, RequestKind, ResetCode, Role, SessionCode, StreamId,
    VarInt,
    draft::{Layout, MessageType},
    message::Head,
};

use super::{
    Config, Output, Session, State, StreamRole,
    fault::Fault,
    receive::misplaced,
    request::{Kind, Phase, Request, Side},
};

/// Stands for the control stream until the client has opened it.
const UNNAMED: StreamId = StreamId(u64::MAX);

/// Marks the id of a request that exists only here: the half of SUBSCRIBE_NAMESPACE that asks for tracks. Ids on the
/// wire have 62 bits.
const HALF: u64 = 1 << 63;

/// What a session with one control stream knows beside the requests.
#[derive(Debug)]
pub(super) struct OneStream {
    /// Our ids must be below this.
    granted: u64,
    /// The peer's ids must be below this.
    allowed: u64,
    /// Our requests that the peer does not let us make yet, in the order of their ids, with what follows them.
    waiting: VecDeque<(RequestId, Vec<Output>)>,
    /// The peer has heard that this grant is used up.
    told_blocked: Option<u64>,
    /// Our unanswered updates: what they change.
    updates: BTreeMap<RequestId, RequestId>,
    /// What is to be said as soon as there is a control stream.
    early: Vec<Bytes>,
}

/// What a message is about, and whether it answers the request itself or an update.
enum Found {
    Request(RequestId),
    Update(RequestId, RequestId),
    /// It is over; the message was on its way.
    Over,
}

impl OneStream {
    pub(super) fn new(config: &Config) -> Option<Self> {
        config.draft.one_control_stream().then(|| Self {
            granted: 0,
            allowed: first_grant(config),
            waiting: VecDeque::new(),
            told_blocked: None,
            updates: BTreeMap::new(),
            early: Vec::new(),
        })
    }
}

impl OneStream {
    pub(super) fn forget_update(&mut self, update: RequestId) {
        self.updates.remove(&update);
    }
}

/// MAX_REQUEST_ID in our SETUP.
pub(super) fn first_grant(config: &Config) -> u64 {
    2 * config.limits.peer_requests_max as u64 + config.role.peer().parity()
}

impl Session {
    /// Returns true when a request of that kind has a stream of its own.
    pub(super) fn has_own_stream(&self, kind: &Kind) -> bool {
        let about_prefix = matches!(
            kind,
            Kind::SubscribeNamespace { .. } | Kind::SubscribeTracks { .. }
        );
        match self.config.draft.table().layout {
            Layout::Typed => true,
            Layout::Pairs => about_prefix,
            Layout::Fields => false,
        }
    }

    /// Judges the first bytes of a stream that came before SETUP. Returns true when it is now the control stream.
    pub(super) fn recognize_control(&mut self, stream: StreamId) -> Result<bool, Fault> {
        if self.one_stream.is_none() || self.config.role == Role::Client {
            return Ok(false);
        }
        let Some(entry) = self.streams.get_mut(&stream) else {
            return Ok(false);
        };
        let Some(head) = Head::peek(self.config.draft, &entry.buffer)? else {
            return Ok(false);
        };
        match head.message {
            MessageType::ClientSetup => {}
            MessageType::SubscribeNamespace
                if self.config.draft.table().layout == Layout::Pairs =>
            {
                return Ok(false);
            }
            _ => {
                return Err(Fault::violation(
                    "the first message on the control stream is not CLIENT_SETUP",
                ));
            }
        }
        entry.role = StreamRole::Control;
        self.peer_control = Some(stream);
        self.our_control = Some(stream);
        Ok(true)
    }

    /// Takes a message from the one control stream.
    pub(super) fn receive_on_control(&mut self, envelope: Envelope) -> Result<(), Fault> {
        let Envelope { about, message } = envelope;
        if self.config.draft.table().layout == Layout::Pairs
            && matches!(
                message,
                Message::SubscribeNamespace(_)
                    | Message::SubscribeTracks(_)
                    | Message::SubscribeBoth(_)
            )
        {
            return Err(Fault::violation(
                "SUBSCRIBE_NAMESPACE belongs on a stream of its own",
            ));
        }
        match (message, about) {
            (Message::MaxRequestId(id), _) => self.receive_grant(id),
            (Message::RequestsBlocked(_), _) => {
                self.grant_requests(1);
                Ok(())
            }
            (message, Some(about)) => self.receive_about(&about, message),
            (message, None) => self.receive_first(None, message),
        }
    }

    /// Takes a message that names the request it is about.
    pub(super) fn receive_about(&mut self, about: &About, message: Message) -> Result<(), Fault> {
        match self.find(about, &message)? {
            Found::Over => match message {
                // It uses up an id all the same.
                Message::RequestUpdate(update) => self.take_request_id(update.id),
                _ => Ok(()),
            },
            Found::Request(id) => self.receive_on_request(id, message),
            Found::Update(id, update) => {
                if let Some(one) = &mut self.one_stream {
                    one.updates.remove(&update);
                }
                let Some(request) = self.requests.get_mut(&id) else {
                    return Ok(());
                };
                // Answers may overtake each other; the application hears them in this order.
                if let Some(index) = request
                    .updates_out
                    .iter()
                    .position(|sent| sent.id == update)
                    && let Some(sent) = request.updates_out.remove(index)
                {
                    request.updates_out.push_front(sent);
                }
                match message {
                    Message::RequestOk(ok) => self.receive_update_ok(id, ok),
                    Message::RequestError(error) => self.receive_update_error(id, error),
                    _ => Err(misplaced()),
                }
            }
        }
    }

    fn find(&self, about: &About, message: &Message) -> Result<Found, Fault> {
        let (id, kind) = match about {
            About::Namespace(namespace) => return Ok(self.find_by_name(namespace, message)),
            About::Request { id, kind } => (*id, *kind),
        };
        if let Some(request) = self.requests.get(&id) {
            if kind.is_some_and(|kind| kind != request.kind.request_kind()) {
                return Err(misplaced());
            }
            return Ok(Found::Request(id));
        }
        let half = RequestId(id.0 | HALF);
        if self.requests.contains_key(&half) {
            return Ok(Found::Request(half));
        }
        let one = self.one_stream.as_ref();
        if let Some(request) = one.and_then(|one| one.updates.get(&id)) {
            return Ok(Found::Update(*request, id));
        }
        let ours = id.0 % 2 == self.config.role.parity();
        let existed = if ours {
            id < self.next_request
        } else {
            self.seen.contains(id)
        };
        if existed {
            Ok(Found::Over)
        } else {
            Err(Fault::violation(format!(
                "a message about request {id}, which never existed"
            )))
        }
    }

    /// Draft 14 names some requests by their namespace.
    fn find_by_name(&self, namespace: &Namespace, message: &Message) -> Found {
        let found = self.requests.iter().find(|(_, request)| match message {
            Message::PublishNamespaceDone => {
                request.side == Side::Peers && request.kind.offers(namespace)
            }
            Message::PublishNamespaceCancel(_) => {
                request.side == Side::Ours && request.kind.offers(namespace)
            }
            _ => request.side == Side::Peers && request.prefix() == Some(namespace),
        });
        found.map_or(Found::Over, |(id, _)| Found::Request(*id))
    }

    /// Says what a message is about, for the drafts that want to know.
    pub(super) fn about(&self, id: RequestId, message: &Message) -> Option<About> {
        self.one_stream.as_ref()?;
        let kind = &self.requests.get(&id)?.kind;
        let by_name = self.config.draft.table().layout == Layout::Fields;
        match (message, kind) {
            (
                Message::PublishNamespaceDone | Message::PublishNamespaceCancel(_),
                Kind::PublishNamespace { namespace, .. },
            ) if by_name => Some(About::Namespace(namespace.clone())),
            (
                Message::UnsubscribeNamespace,
                Kind::SubscribeNamespace { prefix, .. } | Kind::SubscribeTracks { prefix },
            ) => Some(About::Namespace(prefix.clone())),
            _ => Some(About::Request {
                id: RequestId(id.0 & !HALF),
                kind: Some(kind.request_kind()),
            }),
        }
    }

    /// What a request's end says where there is no stream to reset; `None`: nothing can be said.
    pub(super) fn farewell(&self, request: &Request, code: ResetCode) -> Option<Message> {
        let by_name = self.config.draft.table().layout == Layout::Fields;
        let refused = || {
            let code = match code {
                ResetCode::MalformedTrack => RequestCode::MalformedTrack,
                ResetCode::ExpiredAuthToken => RequestCode::ExpiredAuthToken,
                _ => RequestCode::InternalError,
            };
            Some(Message::RequestError(RequestError::new(code, "")))
        };
        match (request.side, &request.kind, request.phase) {
            (Side::Ours, Kind::Subscribe { .. }, _)
            | (Side::Peers, Kind::Publish { .. }, Phase::Established) => Some(Message::Unsubscribe),
            (Side::Ours, Kind::Publish { .. }, _)
            | (Side::Peers, Kind::Subscribe { .. }, Phase::Established) => {
                Some(Message::PublishDone(PublishDone {
                    status: done_code(code),
                    streams: None,
                    reason: String::new(),
                }))
            }
            (Side::Ours, Kind::Fetch { .. }, _) => Some(Message::FetchCancel),
            (Side::Ours, Kind::PublishNamespace { .. }, _) => Some(Message::PublishNamespaceDone),
            (Side::Peers, Kind::PublishNamespace { .. }, Phase::Established) => {
                let error = RequestError::new(RequestCode::InternalError, "");
                Some(Message::PublishNamespaceCancel(error))
            }
            (Side::Ours, Kind::SubscribeNamespace { .. } | Kind::SubscribeTracks { .. }, _) => {
                by_name.then_some(Message::UnsubscribeNamespace)
            }
            (Side::Ours, Kind::TrackStatus, _) => None,
            (
                Side::Peers,
                Kind::Fetch { .. }
                | Kind::SubscribeNamespace { .. }
                | Kind::SubscribeTracks { .. }
                | Kind::TrackStatus,
                Phase::Established,
            ) => None,
            (Side::Peers, _, Phase::Pending) => refused(),
        }
    }

    /// Writes on the control stream what is about no request.
    pub(super) fn write_control(&mut self, bytes: Bytes) {
        match (self.our_control, &mut self.one_stream) {
            (Some(stream), _) => self.outputs.push_back(Output::Write(stream, bytes)),
            (None, Some(one)) => one.early.push(bytes),
            (None, None) => {}
        }
    }

    /// Puts out what a request has to say, after the request itself.
    pub(super) fn put(&mut self, id: RequestId, output: Output) {
        if let Some(one) = &mut self.one_stream
            && let Some((_, outputs)) = one.waiting.iter_mut().find(|(waiting, _)| *waiting == id)
        {
            outputs.push(output);
            return;
        }
        self.outputs.push_back(output);
    }

    /// Returns the stream on which a request's messages go.
    pub(super) fn stream_of(&self, request: &Request) -> StreamId {
        request.stream.or(self.our_control).unwrap_or(UNNAMED)
    }

    /// Puts out a new request, now or when the peer lets us.
    pub(super) fn put_request(&mut self, id: RequestId, outputs: Vec<Output>) {
        match &mut self.one_stream {
            Some(one) if id.0 >= one.granted || !one.waiting.is_empty() => {
                one.waiting.push_back((id, outputs));
                self.tell_blocked();
            }
            Some(_) | None => self.outputs.extend(outputs),
        }
    }

    /// Returns how many of our requests wait for the peer's leave.
    pub(super) fn waiting_requests(&self) -> usize {
        self.one_stream.as_ref().map_or(0, |one| one.waiting.len())
    }

    /// Notes an update of ours; it does not wait, so that it can never outlive what it changes.
    ///
    /// # Errors
    ///
    /// [`CallError::TooMany`] when the peer does not let us.
    pub(super) fn note_update(
        &mut self,
        id: RequestId,
        update: RequestId,
    ) -> Result<(), CallError> {
        let answered = self.config.draft.table().layout != Layout::Fields;
        let Some(one) = &mut self.one_stream else {
            return Ok(());
        };
        if update.0 >= one.granted || !one.waiting.is_empty() {
            self.tell_blocked();
            return Err(CallError::TooMany);
        }
        if answered {
            one.updates.insert(update, id);
        }
        Ok(())
    }

    /// The session is open: says what had to wait, and makes the requests that may be made.
    pub(super) fn begin_one_stream(&mut self, granted: Option<u64>) {
        let Some(one) = &mut self.one_stream else {
            return;
        };
        one.granted = granted.unwrap_or(0);
        let early = core::mem::take(&mut one.early);
        early
            .into_iter()
            .for_each(|bytes| self.write_control(bytes));
        self.make_waiting_requests();
    }

    /// Lets the peer make more requests once at least `least` can be added.
    pub(super) fn grant_requests(&mut self, least: u64) {
        let max = self.config.limits.peer_requests_max;
        let free = max.saturating_sub(self.peer_requests) as u64;
        let next = self.seen.next().0;
        let Some(one) = &mut self.one_stream else {
            return;
        };
        let allowed = next
            .saturating_add(2 * free)
            .min(VarInt::max(self.config.draft.varint()));
        if self.state != State::Open || allowed < one.allowed.saturating_add(2 * least) {
            return;
        }
        one.allowed = allowed;
        if let Ok(bytes) = self.encode(None, &Message::MaxRequestId(allowed)) {
            self.write_control(bytes);
        }
    }

    /// Checks a request id of the peer against what we allowed, and against the sequence where all come on one stream.
    pub(super) fn check_request_id(&self, RequestId(id): RequestId) -> Result<(), Fault> {
        let Some(one) = &self.one_stream else {
            return Ok(());
        };
        if id >= one.allowed {
            return Err(Fault::new(
                SessionCode::TooManyRequests,
                format!("request id {id} is not below {}", one.allowed),
            ));
        }
        // SUBSCRIBE_NAMESPACE of draft 16 may overtake others, or be overtaken.
        if self.config.draft.table().layout == Layout::Fields && id != self.seen.next().0 {
            return Err(Fault::new(
                SessionCode::InvalidRequestId,
                format!("request id {id} is not the next one"),
            ));
        }
        Ok(())
    }

    /// Adds the half of a SUBSCRIBE_NAMESPACE that asks for tracks.
    pub(super) fn add_half(&mut self, id: RequestId, prefix: Namespace) -> Option<RequestId> {
        let request = self.requests.get_mut(&id)?;
        let half = RequestId(id.0 | HALF);
        request.other_half = Some(half);
        let mut added = Request::new(
            request.stream,
            Side::Peers,
            Kind::SubscribeTracks { prefix },
        );
        added.other_half = Some(id);
        self.requests.insert(half, added);
        self.peer_requests += 1;
        Some(half)
    }

    /// Tells whether an answer to a request is still to be written: the first OK of two halves is, and an error that
    /// no OK of the other half can follow.
    pub(super) fn answers(&self, id: RequestId, refuses: bool) -> bool {
        let other = self
            .requests
            .get(&id)
            .and_then(|request| request.other_half);
        let other = other.and_then(|other| self.requests.get(&other));
        match other {
            None => !self.half_answered(id),
            Some(other) => !refuses && other.phase == Phase::Pending,
        }
    }

    fn half_answered(&self, id: RequestId) -> bool {
        self.requests
            .get(&id)
            .is_some_and(|request| request.half_answered)
    }

    /// Parts a request that is over from its other half, which goes on alone with the stream; returns false when there
    /// is none.
    pub(super) fn leave_to_other_half(&mut self, request: &Request) -> bool {
        let Some(other) = request.other_half else {
            return false;
        };
        let Some(left) = self.requests.get_mut(&other) else {
            return false;
        };
        left.other_half = None;
        left.half_answered |= request.phase == Phase::Established;
        if let Some(entry) = request
            .stream
            .and_then(|stream| self.streams.get_mut(&stream))
        {
            entry.role = StreamRole::Request(other);
        }
        true
    }

    fn receive_grant(&mut self, id: u64) -> Result<(), Fault> {
        let Some(one) = &mut self.one_stream else {
            return Err(misplaced());
        };
        if id <= one.granted {
            return Err(Fault::violation("MAX_REQUEST_ID does not increase"));
        }
        one.granted = id;
        self.make_waiting_requests();
        Ok(())
    }

    fn make_waiting_requests(&mut self) {
        let control = self.our_control;
        let Some(one) = &mut self.one_stream else {
            return;
        };
        while let Some((id, _)) = one.waiting.front()
            && id.0 < one.granted
        {
            let Some((_, outputs)) = one.waiting.pop_front() else {
                break;
            };
            self.outputs
                .extend(outputs.into_iter().map(|output| match (output, control) {
                    (Output::Write(UNNAMED, bytes), Some(control)) => Output::Write(control, bytes),
                    (output, _) => output,
                }));
        }
        self.tell_blocked();
    }

    /// Says once for each grant that it is used up (REQUESTS_BLOCKED).
    fn tell_blocked(&mut self) {
        let open = self.state == State::Open;
        let Some(one) = &mut self.one_stream else {
            return;
        };
        let granted = one.granted;
        if !open || one.told_blocked == Some(granted) {
            return;
        }
        let blocked = match one.waiting.front() {
            Some((id, _)) => id.0 >= granted,
            None => self.next_request.0 >= granted,
        };
        if !blocked || one.waiting.is_empty() {
            return;
        }
        one.told_blocked = Some(granted);
        if let Ok(bytes) = self.encode(None, &Message::RequestsBlocked(granted)) {
            self.write_control(bytes);
        }
    }

    pub(super) fn encode(
        &self,
        about: Option<&About>,
        message: &Message,
    ) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::new();
        message.encode_about(about, self.config.draft, &mut out)?;
        Ok(out.freeze())
    }
}

impl Kind {
    pub(super) fn request_kind(&self) -> RequestKind {
        match self {
            Self::Subscribe { .. } => RequestKind::Subscribe,
            Self::Publish { .. } => RequestKind::Publish,
            Self::TrackStatus => RequestKind::TrackStatus,
            Self::Fetch { .. } => RequestKind::Fetch,
            Self::PublishNamespace { .. } => RequestKind::PublishNamespace,
            Self::SubscribeNamespace { .. } | Self::SubscribeTracks { .. } => {
                RequestKind::SubscribeNamespace
            }
        }
    }

    fn offers(&self, wanted: &Namespace) -> bool {
        matches!(self, Self::PublishNamespace { namespace, .. } if namespace == wanted)
    }
}

fn done_code(code: ResetCode) -> PublishDoneCode {
    match code {
        ResetCode::Cancelled | ResetCode::SessionClosed => PublishDoneCode::SubscriptionEnded,
        ResetCode::GoingAway => PublishDoneCode::GoingAway,
        ResetCode::TooFarBehind | ResetCode::DeliveryTimeout => PublishDoneCode::TooFarBehind,
        ResetCode::ExpiredAuthToken => PublishDoneCode::Expired,
        ResetCode::ExcessiveLoad => PublishDoneCode::ExcessiveLoad,
        ResetCode::MalformedTrack => PublishDoneCode::MalformedTrack,
        ResetCode::InternalError | ResetCode::UnknownObjectStatus | ResetCode::Other(_) => {
            PublishDoneCode::InternalError
        }
    }
}
