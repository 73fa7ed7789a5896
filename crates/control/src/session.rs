//! Signaling sessions: what outlives a socket.
//!
//! A session keeps the last events and the last answers, so that a device that comes back loses
//! none. Everything towards a device passes here under one lock: what the daemon did first arrives
//! first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use moqrelay_room::{Attachment, DeviceId, UserId};
use moqrelay_wire::signal::{Code, Event, Notice, Request, ServerMessage};
use tokio::sync::{mpsc, oneshot};

/// Events kept for a resume: ten seconds of a busy call and of a hundred people's presence.
const EVENTS_KEPT_MAX: usize = 256;

/// Answers kept for requests that are repeated after a resume; a client has few unanswered.
const ANSWERS_KEPT_MAX: usize = 64;

/// Why a socket is to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A resume has brought another socket.
    Replaced,
    /// It does not read what it is sent.
    TooSlow,
    /// The daemon has forgotten the device.
    Forgotten,
}

/// The way to a socket.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) messages: mpsc::Sender<Utf8Bytes>,
    pub(crate) cut: oneshot::Sender<Cut>,
}

/// What a session is, whatever socket it has.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) device: DeviceId,
    pub(crate) user: UserId,
    pub(crate) name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    key: String,
    /// The newest attachment that was asked for.
    asked: u64,
    /// The attachment whose socket counts.
    attached: u64,
    outbound: Option<Outbound>,
    seq: u64,
    events: VecDeque<(u64, Utf8Bytes)>,
    answers: BTreeMap<u64, Answer>,
    forgotten: bool,
}

#[derive(Debug)]
struct Answer {
    request: Request,
    /// Absent while the daemon decides.
    text: Option<Utf8Bytes>,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is new: carry it out.
    New,
    /// It was answered, or will be, under the same id; nothing to do.
    Repeated,
}

impl Session {
    pub(crate) fn new(device: DeviceId, user: UserId, name: String) -> Self {
        Self {
            device,
            user,
            name,
            state: Mutex::default(),
        }
    }

    /// Returns whether a key is the one that was last given out.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        let state = self.lock();
        !state.key.is_empty() && crate::random::same_secret(&state.key, key)
    }

    /// Names the socket that is about to be attached.
    pub(crate) fn next_attachment(&self) -> Attachment {
        let mut state = self.lock();
        state.asked += 1;
        Attachment(state.asked)
    }

    /// Makes a socket the one that counts: sends it `ok` and every event kept after `seq`. The one
    /// before it is cut.
    pub(crate) fn attach(
        &self,
        attachment: Attachment,
        outbound: Outbound,
        key: String,
        ok: Utf8Bytes,
        seq: u64,
    ) {
        let mut state = self.lock();
        if attachment.0 <= state.attached || state.forgotten {
            // Overtaken by a later resume while the daemon decided.
            cut(Some(outbound), Cut::Replaced);
            return;
        }
        state.attached = attachment.0;
        state.key = key;
        cut(state.outbound.replace(outbound), Cut::Replaced);
        state.send(ok);
        let missed: Vec<Utf8Bytes> = state
            .events
            .iter()
            .filter(|(at, _)| *at > seq)
            .map(|(_, text)| text.clone())
            .collect();
        for text in missed {
            state.send(text);
        }
    }

    /// Returns whether the daemon must hear that this socket is gone.
    pub(crate) fn detach(&self, attachment: Attachment) -> bool {
        let mut state = self.lock();
        if state.attached != attachment.0 || state.forgotten {
            return false;
        }
        state.outbound = None;
        true
    }

    /// Returns whether a socket is attached.
    pub(crate) fn is_attached(&self) -> bool {
        self.lock().outbound.is_some()
    }

    /// Numbers an event, keeps it and sends it.
    pub(crate) fn notify(&self, event: Event) {
        self.tell(&encode_event(&event));
    }

    /// As [`notify`](Self::notify), with the text of an event by [`encode_event`].
    pub(crate) fn tell(&self, event: &str) {
        let mut state = self.lock();
        let text = state.number(event);
        state.keep(text.clone());
        state.send(text);
    }

    /// Sends the text of an event that is not kept: what it says is said anew when a socket comes back.
    pub(crate) fn show(&self, event: &str) {
        let mut state = self.lock();
        if state.outbound.is_some() {
            let text = state.number(event);
            state.send(text);
        }
    }

    /// Sends what need not be kept.
    pub(crate) fn send(&self, notice: Notice) {
        self.lock().send(encode(notice));
    }

    /// Notes a request before the daemon is asked. Ids up to `repeats_below` may repeat requests of
    /// earlier sockets; such a one that was answered is answered the same again.
    pub(crate) fn begin(&self, id: u64, request: &Request, repeats_below: u64) -> Begun {
        let mut state = self.lock();
        if id < repeats_below
            && let Some(answer) = state.answers.get(&id)
            && answer.request == *request
        {
            if let Some(text) = answer.text.clone() {
                state.send(text);
            }
            return Begun::Repeated;
        }
        while state.answers.len() >= ANSWERS_KEPT_MAX {
            state.answers.pop_first();
        }
        state.answers.insert(
            id,
            Answer {
                request: request.clone(),
                text: None,
            },
        );
        Begun::New
    }

    /// Answers a request.
    pub(crate) fn answer(&self, id: u64, notice: Notice) {
        let mut state = self.lock();
        let text = encode(notice);
        if let Some(answer) = state.answers.get_mut(&id) {
            answer.text = Some(text.clone());
        }
        state.send(text);
    }

    /// Ends the session; a socket it still has is cut.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.forgotten = true;
        cut(state.outbound.take(), Cut::Forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts the next number before an event's other fields.
    fn number(&mut self, event: &str) -> Utf8Bytes {
        self.seq += 1;
        let fields = event.strip_prefix('{').unwrap_or(event);
        format!("{{\"seq\":{},{fields}", self.seq).into()
    }

    fn keep(&mut self, text: Utf8Bytes) {
        if self.events.len() >= EVENTS_KEPT_MAX {
            self.events.pop_front();
        }
        self.events.push_back((self.seq, text));
    }

    /// A socket that has let its queue fill up does not read: it is cut, and may come back for what
    /// is kept.
    fn send(&mut self, text: Utf8Bytes) {
        let Some(outbound) = &self.outbound else {
            return;
        };
        if outbound.messages.try_send(text).is_err() {
            cut(self.outbound.take(), Cut::TooSlow);
        }
    }
}

/// Returns the text of an event without its number.
pub(crate) fn encode_event(event: &Event) -> String {
    event.encode()
}

/// Returns the text of a notice.
pub(crate) fn encode(notice: Notice) -> Utf8Bytes {
    ServerMessage::Notice(notice).encode().into()
}

/// Returns a refusal.
pub(crate) fn refused(id: u64, code: Code, reason: impl Into<String>) -> Notice {
    Notice::Refused {
        id,
        code,
        reason: reason.into(),
    }
}

fn cut(outbound: Option<Outbound>, why: Cut) {
    if let Some(outbound) = outbound {
        // Without a receiver the socket is gone already.
        let _gone = outbound.cut.send(why);
    }
}

/// Every session of this node.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_device: BTreeMap<DeviceId, Arc<Session>>,
    by_name: BTreeMap<String, DeviceId>,
    by_user: BTreeMap<UserId, usize>,
    last_device: u64,
}

impl Sessions {
    /// Begins a session.
    pub(crate) fn begin(&mut self, user: UserId, limit: usize) -> Option<Arc<Session>> {
        if self.by_device.len() >= limit {
            return None;
        }
        self.last_device += 1;
        let device = DeviceId(self.last_device);
        let session = Arc::new(Session::new(device, user, crate::random::name()));
        self.by_name.insert(session.name.clone(), device);
        *self.by_user.entry(session.user.clone()).or_default() += 1;
        self.by_device.insert(device, Arc::clone(&session));
        Some(session)
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Session>> {
        self.get(*self.by_name.get(name)?)
    }

    pub(crate) fn get(&self, device: DeviceId) -> Option<Arc<Session>> {
        self.by_device.get(&device).cloned()
    }

    pub(crate) fn remove(&mut self, device: DeviceId) -> Option<Arc<Session>> {
        let session = self.by_device.remove(&device)?;
        self.by_name.remove(&session.name);
        if let Some(count) = self.by_user.get_mut(&session.user) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(&session.user);
            }
        }
        Some(session)
    }

    /// Returns whether a user has a session.
    pub(crate) fn has_user(&self, user: &UserId) -> bool {
        self.by_user.contains_key(user)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_device.len()
    }

    pub(crate) fn attached_len(&self) -> usize {
        self.by_device
            .values()
            .filter(|session| session.is_attached())
            .count()
    }
}

#[cfg(test)]
mod tests {
    use moqrelay_wire::signal::{CallId, Done, Sequenced};

    use super::*;

    #[test]
    fn a_resume_brings_ok_and_then_every_event_after_the_last_that_arrived() {
        let session = session();
        for call in 1..=5 {
            session.notify(ringing(call));
        }

        let mut socket = attach(&session, 3);

        assert_eq!(received(&mut socket), ["ok", "4", "5"]);
    }

    #[test]
    fn events_without_a_socket_are_kept_up_to_the_limit() {
        let session = session();
        for call in 0..EVENTS_KEPT_MAX + 10 {
            session.notify(ringing(call as u128));
        }

        let mut socket = attach(&session, 0);

        let received = received(&mut socket);
        assert_eq!(received.len(), 1 + EVENTS_KEPT_MAX);
        assert_eq!(received[1], "11");
    }

    #[test]
    fn what_is_shown_is_numbered_and_not_repeated() {
        let session = session();
        let mut first = attach(&session, 0);
        session.notify(ringing(1));
        session.show(&encode_event(&ringing(2)));
        session.notify(ringing(3));

        assert_eq!(received(&mut first), ["ok", "1", "2", "3"]);
        assert_eq!(received(&mut attach(&session, 0)), ["ok", "1", "3"]);
    }

    #[test]
    fn a_new_socket_cuts_the_old_one_whose_end_is_then_nobody_s_business() {
        let session = session();
        let mut old = attach(&session, 0);
        let _new = attach(&session, 0);

        assert_eq!(old.1.try_recv(), Ok(Cut::Replaced));
        assert!(!session.detach(Attachment(1)));
        assert!(session.detach(Attachment(2)));
    }

    #[test]
    fn an_attachment_that_was_overtaken_is_cut_itself() {
        let session = session();
        let (slow, fast) = (session.next_attachment(), session.next_attachment());
        let (first, _first_end) = outbound(10);
        session.attach(fast, first, "k2".into(), "ok".into(), 0);
        let (late, mut late_end) = outbound(10);

        session.attach(slow, late, "k1".into(), "ok".into(), 0);

        assert_eq!(late_end.1.try_recv(), Ok(Cut::Replaced));
        assert!(session.has_key("k2"));
    }

    #[test]
    fn a_socket_that_does_not_read_is_cut_and_loses_nothing() {
        let session = session();
        let attachment = session.next_attachment();
        let (slow, mut end) = outbound(2);
        session.attach(attachment, slow, "k".into(), "ok".into(), 0);
        for call in 1..=4 {
            session.notify(ringing(call));
        }

        assert_eq!(end.1.try_recv(), Ok(Cut::TooSlow));
        assert!(session.detach(attachment), "the daemon hears of it");
        assert_eq!(received(&mut attach(&session, 1)), ["ok", "2", "3", "4"]);
    }

    #[test]
    fn a_repeated_request_is_answered_as_before() {
        let session = session();
        let request = Request::Call { to: "anna".into() };
        assert_eq!(session.begin(7, &request, 1), Begun::New);
        let done = Done::Called { call: CallId(9) };
        session.answer(7, Notice::Ok { id: 7, done });

        let mut socket = attach(&session, 0);
        assert_eq!(session.begin(7, &request, 8), Begun::Repeated);

        let received = received(&mut socket);
        assert_eq!(received.len(), 2);
        assert!(received[1].contains("\"call\":\"00000000000000000000000000000009\""));
    }

    #[test]
    fn a_repeated_request_that_is_under_way_waits_for_its_answer() {
        let session = session();
        let request = Request::Call { to: "anna".into() };
        session.begin(7, &request, 1);
        let mut socket = attach(&session, 0);
        assert_eq!(session.begin(7, &request, 8), Begun::Repeated);

        session.answer(7, refused(7, Code::Busy, "busy"));

        assert_eq!(received(&mut socket).len(), 2);
    }

    #[test]
    fn a_page_that_counts_anew_after_its_register_repeats_nothing() {
        let session = session();
        let request = Request::Call { to: "echo".into() };
        session.begin(2, &request, 1);
        session.answer(2, refused(2, Code::Busy, "busy"));

        assert_eq!(session.begin(2, &request, 1), Begun::New);
        let other = Request::Call {
            to: "milliwatt".into(),
        };
        assert_eq!(session.begin(2, &other, 9), Begun::New);
    }

    #[test]
    fn answers_are_kept_up_to_the_limit() {
        let session = session();
        let request = Request::Call { to: "echo".into() };
        for id in 0..1000 {
            session.begin(id, &request, 0);
        }

        assert_eq!(session.lock().answers.len(), ANSWERS_KEPT_MAX);
    }

    #[test]
    fn sessions_are_found_by_every_name_until_they_are_gone() {
        let mut sessions = Sessions::default();
        let user = UserId::new("anna").unwrap();
        let one = sessions.begin(user.clone(), 2).unwrap();
        let two = sessions.begin(user.clone(), 2).unwrap();
        assert!(sessions.begin(user.clone(), 2).is_none());
        assert_ne!(one.name, two.name);

        sessions.remove(one.device);
        assert!(sessions.named(&one.name).is_none() && sessions.get(one.device).is_none());
        assert!(sessions.has_user(&user));
        sessions.remove(two.device);
        assert!(!sessions.has_user(&user));
        assert_eq!((sessions.by_name.len(), sessions.len()), (0, 0));
    }

    type Socket = (mpsc::Receiver<Utf8Bytes>, oneshot::Receiver<Cut>);

    fn session() -> Session {
        Session::new(DeviceId(1), UserId::new("anna").unwrap(), "s".into())
    }

    fn outbound(capacity: usize) -> (Outbound, Socket) {
        let (messages, messages_rx) = mpsc::channel(capacity);
        let (cut, cut_rx) = oneshot::channel();
        (Outbound { messages, cut }, (messages_rx, cut_rx))
    }

    fn attach(session: &Session, seq: u64) -> Socket {
        let attachment = session.next_attachment();
        let (outbound, socket) = outbound(1000);
        session.attach(attachment, outbound, "k".into(), "ok".into(), seq);
        socket
    }

    fn ringing(call: u128) -> Event {
        Event::Ringing { call: CallId(call) }
    }

    /// The numbers of events, and other messages as they are.
    fn received(socket: &mut Socket) -> Vec<String> {
        let text = |text: Utf8Bytes| match serde_json::from_str(&text) {
            Ok(ServerMessage::Event(Sequenced { seq, .. })) => seq.to_string(),
            Ok(ServerMessage::Notice(_)) | Err(_) => text.to_string(),
        };
        std::iter::from_fn(|| socket.0.try_recv().ok())
            .map(text)
            .collect()
    }
}
