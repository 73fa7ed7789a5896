//! The handle.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use moqrelay_room::conference::{Role, RoomId};
use moqrelay_room::{
    CallId, DeviceId, Event, Number, ParticipantId, Reason, Refusal, User, UserId,
};
use moqrelay_wire::signal::{self, MESSAGE_LEN_MAX};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::{Config, Guests, Limits};
use crate::files::Uploads;
use crate::guest::{Entry, GuestBook, GuestError, Surroundings};
use crate::listener::{self, Connections, Listener};
use crate::ops::Operated;
use crate::place::{self, PlaceKey};
use crate::rate::{Bucket, ByAddress, Rate, Verdict, household};
use crate::request::{Failure, Operation, Reply, Request, Requests, Visitor};
use crate::session::{Session, Sessions, encode_event};
use crate::token::{Claims, LEEWAY};
use crate::{http, translate};

/// A media token outlives the longest call by so much: clocks differ, and a call may ring first.
const MEDIA_TOKEN_MARGIN: Duration = Duration::from_secs(300);

/// The web page, the API and the signaling sockets. Clones are the same thing.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

/// How much is going on, for gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// TCP connections.
    pub connections: usize,
    /// Signaling sessions, those without socket included.
    pub sessions: usize,
    /// Sessions with a socket.
    pub attached: usize,
    /// Guests whose token holds.
    pub guests: usize,
}

impl Control {
    /// Returns the handle and the queue of what it will ask.
    pub fn new(config: Config) -> (Self, Requests) {
        let (requests, queue) = mpsc::channel(config.limits.requests.max(1));
        let tickets = Bucket::full(config.limits.tickets(), Instant::now());
        let shared = Shared {
            config,
            requests,
            sessions: Mutex::default(),
            guests: Mutex::default(),
            guest_rates: Mutex::default(),
            tickets: Mutex::new(tickets),
            uploads: Uploads::default(),
            connections: Arc::default(),
            sockets: watch::Sender::new(0),
            closing: watch::Sender::new(false),
            retired: watch::Sender::new(false),
            draining: AtomicBool::new(false),
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            queue,
        )
    }

    /// Serves a listener until `shutdown` completes; then says `bye` to each device, closes its
    /// socket with 1001 and waits for the connections to end.
    ///
    /// The future must run to its end: the tasks of its connections are its own.
    ///
    /// # Errors
    ///
    /// When the listener fails for good.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let limits = &self.shared.config.limits;
        let limits = listener::Limits {
            connections: limits.connections,
            per_address: limits.connections_per_address,
            header_timeout: limits.header_timeout,
        };
        let listener = Listener::new(
            listener,
            self.shared.retired.subscribe(),
            self.shared.config.tls.clone(),
            Arc::clone(&self.shared.connections),
            limits,
        );
        let shared = Arc::clone(&self.shared);
        let shutdown = async move {
            shutdown.await;
            shared.draining.store(true, Ordering::Relaxed);
            shared.closing.send_replace(true);
        };
        http::run(listener, http::router(Arc::clone(&self.shared)), shutdown).await?;
        let mut sockets = self.shared.sockets.subscribe();
        // The sender is ours: this ends when the last socket has.
        let _last = sockets.wait_for(|count| *count == 0).await;
        Ok(())
    }

    /// Tells a device. Without a socket the event waits for the device's return; a device that
    /// does not read is cut off. Never blocks.
    pub fn notify(&self, device: DeviceId, event: Event) {
        let Some(session) = self.shared.sessions().get(device) else {
            return;
        };
        session.notify(translate::event(event, &|call, participant| {
            self.shared.mint(call, participant)
        }));
    }

    /// As [`notify`](Self::notify), with what the switchboard has no word for.
    pub fn tell(&self, device: DeviceId, event: signal::Event) {
        if let Some(session) = self.shared.sessions().get(device) {
            session.notify(event);
        }
    }

    /// Tells several devices the same.
    pub fn tell_all(&self, devices: impl IntoIterator<Item = DeviceId>, event: &signal::Event) {
        let text = encode_event(event);
        for session in self.sessions_of(devices) {
            session.tell(&text);
        }
    }

    /// Shows several devices how something is now. It is not kept for their return: whoever tells must show it anew
    /// then.
    pub fn show_all(&self, devices: impl IntoIterator<Item = DeviceId>, event: &signal::Event) {
        let text = encode_event(event);
        for session in self.sessions_of(devices) {
            session.show(&text);
        }
    }

    fn sessions_of(&self, devices: impl IntoIterator<Item = DeviceId>) -> Vec<Arc<Session>> {
        let sessions = self.shared.sessions();
        let devices = devices.into_iter();
        devices.filter_map(|device| sessions.get(device)).collect()
    }

    /// Returns the token of a participant of a room: it hears the room, and publishes as itself when its role speaks.
    pub fn room_token(&self, room: RoomId, participant: ParticipantId, role: Role) -> String {
        self.program_token(room, participant, role, place::TTL)
    }

    /// Returns the same for a program that stays for so long, at most as long as anybody.
    pub fn program_token(
        &self,
        room: RoomId,
        participant: ParticipantId,
        role: Role,
        lifetime: Duration,
    ) -> String {
        let own = || format!("room/{room}/{participant}");
        let end = SystemTime::now() + lifetime.min(place::TTL);
        self.shared.config.keys.sign(&Claims {
            sub: None,
            name: None,
            number: None,
            put: role.speaks().then(own).into_iter().collect(),
            get: vec![format!("room/{room}")],
            participant: Some(own()),
            nbf: None,
            exp: end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        })
    }

    /// Returns when the last of the tokens of rooms that were made until now ends.
    pub fn room_tokens_end(&self) -> SystemTime {
        SystemTime::now() + place::TTL + LEEWAY
    }

    /// Returns the text of a key that gives a place in a room back.
    pub fn sign_place(&self, place: &PlaceKey) -> String {
        self.shared.config.keys.sign_place(place)
    }

    /// Returns what such a text says, if it is one of ours.
    pub fn read_place(&self, text: &str) -> Option<PlaceKey> {
        self.shared.config.keys.read_place(text, SystemTime::now())
    }

    /// Asks for what an operator wants of rooms.
    pub(crate) async fn operate(&self, operation: Operation) -> Result<Operated, Failure> {
        let (answer, answered) = oneshot::channel();
        let reply = Reply::new(move |result| {
            // Without a receiver the operator has hung up.
            let _gone = answer.send(result);
        });
        self.shared.ask(Request::Operate { operation, reply });
        answered.await.unwrap_or(Err(Failure::Dropped))
    }

    /// Forgets a device's session: it cannot be resumed any more, and a socket it still has closes.
    pub fn forget(&self, device: DeviceId) {
        self.shared.remove_session(device);
    }

    /// Returns whether a user is a guest of this node.
    pub fn is_guest(&self, user: &UserId) -> bool {
        lock(&self.shared.guests).knows(user)
    }

    /// Takes nothing new from now on: registrations, guests and tickets are refused (503). What is
    /// connected stays until the shutdown of [`serve`](Self::serve).
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// Accepts no connections from now on, because another process does. What is connected stays,
    /// but is asked to connect anew for its next request.
    pub fn retire(&self) {
        self.drain();
        self.shared.retired.send_replace(true);
    }

    /// Returns when the last of the participants' tokens that are made now or were made before ends.
    pub fn tokens_end(&self) -> SystemTime {
        self.shared.tokens_end() + LEEWAY
    }

    /// Returns how much is going on.
    pub fn counts(&self) -> Counts {
        let (sessions, attached) = {
            let sessions = self.shared.sessions();
            (sessions.len(), sessions.attached_len())
        };
        let connections = self.shared.connections.len();
        Counts {
            connections,
            sessions,
            attached,
            guests: lock(&self.shared.guests).len(),
        }
    }
}

/// What the tasks of connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    requests: mpsc::Sender<Request>,
    sessions: Mutex<Sessions>,
    guests: Mutex<GuestBook>,
    guest_rates: Mutex<ByAddress>,
    tickets: Mutex<Bucket>,
    pub(crate) uploads: Uploads,
    connections: Arc<Connections>,
    sockets: watch::Sender<usize>,
    closing: watch::Sender<bool>,
    retired: watch::Sender<bool>,
    draining: AtomicBool,
}

/// Asking the daemon.
impl Shared {
    /// Asks; a full queue answers by itself.
    pub(crate) fn ask(&self, request: Request) {
        let Err(error) = self.requests.try_send(request) else {
            return;
        };
        let mpsc::error::TrySendError::Full(request) = error else {
            return;
        };
        metrics::counter!("moqrelay_control_queue_full_total").increment(1);
        let text = || "the server has too much to do".to_owned();
        let busy = || Refusal {
            reason: Reason::TooMany,
            text: text(),
        };
        match request {
            Request::Register { reply, .. } | Request::Resume { reply, .. } => {
                reply.send(Err(busy()));
            }
            Request::Signal { reply, .. } => reply.send(Err(busy())),
            Request::Room { reply, .. } => reply.send(Err(busy())),
            Request::Operate { reply, .. } => reply.send(Err(busy())),
            Request::File { reply, .. } => reply.send(Err(busy())),
            Request::Ticket { reply, .. } => reply.send(Err(busy())),
            Request::Dropped { .. } => {}
        }
    }

    /// Tells what must not be lost, however long the queue.
    pub(crate) async fn tell(&self, request: Request) {
        if self.requests.send(request).await.is_err() {
            tracing::debug!("the daemon takes no requests any more");
        }
    }
}

/// Sessions.
impl Shared {
    pub(crate) fn session_named(&self, name: &str) -> Option<Arc<Session>> {
        self.sessions().named(name)
    }

    pub(crate) fn begin_session(&self, user: UserId) -> Option<Arc<Session>> {
        self.sessions().begin(user, self.config.limits.sessions)
    }

    pub(crate) fn remove_session(&self, device: DeviceId) {
        let Some(session) = self.sessions().remove(device) else {
            return;
        };
        session.forget();
        lock(&self.guests).seen(&session.user, Instant::now());
    }

    /// Returns whom a token names; what it leaves open the directory says.
    pub(crate) fn user(&self, claims: &Claims) -> Option<User> {
        let id = UserId::new(claims.sub.as_deref()?).ok()?;
        let known = self.config.directory.user(&id);
        let name = claims
            .name
            .clone()
            .or_else(|| known.map(|user| user.name.clone()));
        let number = claims
            .number
            .as_deref()
            .and_then(|number| Number::new(number).ok());
        Some(User {
            name: name.unwrap_or_else(|| id.to_string()),
            number: number.or_else(|| known.and_then(|user| user.number.clone())),
            id,
        })
    }

    /// Returns what a `register` tells a device.
    pub(crate) fn advertised(&self) -> signal::Limits {
        let calls = self.config.calls;
        signal::Limits {
            message_bytes: MESSAGE_LEN_MAX as u64,
            calls: u32::try_from(calls.per_device).unwrap_or(u32::MAX),
            ring_seconds: calls.ring_timeout.as_secs(),
            call_seconds: calls.duration_max.as_secs(),
            grace_seconds: calls.grace.as_secs(),
        }
    }

    /// Makes the token of a participant: it publishes as itself and hears the room.
    pub(crate) fn mint(&self, call: CallId, participant: ParticipantId) -> String {
        let end = self.tokens_end();
        self.config.keys.sign(&Claims {
            sub: None,
            name: None,
            number: None,
            put: vec![format!("room/{call}/{participant}")],
            get: vec![format!("room/{call}")],
            participant: Some(format!("room/{call}/{participant}")),
            nbf: None,
            exp: end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        })
    }

    fn tokens_end(&self) -> SystemTime {
        let calls = self.config.calls;
        SystemTime::now() + calls.ring_timeout + calls.duration_max + MEDIA_TOKEN_MARGIN
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }
}

/// Guests.
impl Shared {
    pub(crate) fn enter_guest(
        &self,
        name: &str,
        config: &Guests,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Entry, GuestError> {
        let is_here = |user: &UserId| self.sessions().has_user(user);
        let directory = &self.config.directory;
        let around = Surroundings {
            config,
            directory,
            is_here: &is_here,
            now,
            wall,
        };
        lock(&self.guests).enter(name, &around)
    }

    /// Returns whether a user's token that ends then opens signaling.
    pub(crate) fn admits(&self, user: &User, exp: u64) -> bool {
        let Some(config) = &self.config.guests else {
            return true;
        };
        let is_here = |user: &UserId| self.sessions().has_user(user);
        let directory = &self.config.directory;
        let (now, wall) = (Instant::now(), SystemTime::now());
        let around = Surroundings {
            config,
            directory,
            is_here: &is_here,
            now,
            wall,
        };
        lock(&self.guests).admit(user, exp, &around)
    }

    /// Returns as whom rooms know a user who came from an address.
    pub(crate) fn visitor(&self, user: User, address: IpAddr) -> Visitor {
        let caller = match lock(&self.guests).knows(&user.id) {
            true => format!("guest at {}", household(address)),
            false => user.id.to_string(),
        };
        Visitor { user, caller }
    }

    pub(crate) fn guests_rate(&self, address: IpAddr, config: &Guests, now: Instant) -> Verdict {
        lock(&self.guest_rates).take(address, Rate::per_minute(config.per_minute), now)
    }
}

/// The end, and limits.
impl Shared {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    pub(crate) fn tickets_rate(&self, now: Instant) -> Verdict {
        lock(&self.tickets).take(self.config.limits.tickets(), now)
    }

    /// Counts a socket's task while the answer lives.
    pub(crate) fn count_socket(self: &Arc<Self>) -> Counted {
        self.sockets.send_modify(|count| *count += 1);
        Counted(Arc::clone(self))
    }
}

/// A socket's task.
pub(crate) struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sockets.send_modify(|count| *count -= 1);
    }
}

impl Limits {
    fn tickets(&self) -> Rate {
        Rate::per_second(self.tickets_per_second, self.tickets_per_second)
    }

    /// A resume must fit: `ok`, the events that are kept, and some more.
    pub(crate) fn outbound_len(&self) -> usize {
        self.outbound.max(OUTBOUND_LEN_MIN)
    }
}

/// The events kept for a resume, `ok`, and as much for what happens meanwhile.
const OUTBOUND_LEN_MIN: usize = 320;

/// A lock whose holder panicked protects nothing that is half done: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
