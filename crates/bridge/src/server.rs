//! The bridge's own task: accepts connections, finds out whose they are, and keeps the legs.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io::{self, Write as _},
    pin::Pin,
    time::Duration,
};

use bytes::BytesMut;
use moqrelay_relay::{FullTrackName, PublishError, Relay};
use moqrelay_wire::audiosocket::HANGUP;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::{self, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    Config, Event, LegId, Listeners, Place, Service, Stray, Way,
    exchange::Exchange,
    expectation::{Claim, Expectations, Turned},
    governor::{self, BusyTime, Change, Governor, Load, Throttle},
    identify::{self, identify},
    leg::{
        self, Command, End, Leg, OutRate, Reason, Road, RtpLine, Socket, Spec, Stats, Surroundings,
    },
    media,
    meters::Meters,
    publication::Publication,
    service::{Hall, echo},
    wheel::Wheel,
};

/// What the handle wants.
#[derive(Debug)]
pub(crate) enum Order {
    Expect {
        id: Uuid,
        spec: Spec,
        until: Instant,
    },
    ExpectStanding {
        id: Uuid,
        rate: OutRate,
    },
    Forget(Uuid),
    TurnAway(Uuid),
    Reach {
        id: Uuid,
        way: Way,
    },
    Tell(LegId, Command),
    Start {
        leg: LegId,
        service: Service,
        place: Place,
        source: Option<FullTrackName>,
    },
    HangUp(LegId),
    HangUpAll,
    StopAccepting,
    LeaveStraysTo(mpsc::Sender<Stray>),
    TakeIn(Stray),
    ShutDown,
    Stats(oneshot::Sender<Vec<(LegId, Stats)>>),
}

/// Commands that may wait for one leg, which takes them within 20 ms.
const LEG_COMMANDS_MAX: usize = 64;

/// How long a call that has knocked waits for a word: the daemon decides in one turn of its loop.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// After a failed accept (no file descriptor left) the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The state behind a [`Bridge`](crate::Bridge).
pub(crate) struct Server {
    config: Config,
    around: Surroundings,
    /// `None` once it shuts down.
    listener: Option<TcpListener>,
    websocket: Option<TcpListener>,
    rtp: Option<Exchange>,
    /// Dropped then too: whoever is still at the door goes.
    open: Option<watch::Sender<()>>,
    accepting: bool,
    /// Another process accepts from now on.
    retired: bool,
    /// Where connections go that nobody expects here.
    strays: Option<mpsc::Sender<Stray>>,
    orders: mpsc::Receiver<Order>,
    /// Events of legs that have no task (any more); no more than there are legs and expectations.
    outgoing: VecDeque<Event>,
    expectations: Expectations,
    legs: BTreeMap<LegId, Handle>,
    hall: Option<Hall>,
    unidentified: usize,
    /// Legs have begun since the governor's last look.
    beginning: bool,
    /// Requests whose call nobody has announced; they are counted among the unidentified, and limited with them.
    knocking: BTreeMap<Uuid, Knocking>,
    tasks: JoinSet<Outcome>,
    task_legs: HashMap<task::Id, LegId>,
    /// The exchange's work, until it is a task.
    exchange: Option<Work>,
    wheel: Wheel,
    /// The wheel's work, until it is a task.
    turning: Option<Work>,
}

/// A request that waits for a word.
struct Knocking {
    request: media::Request,
    until: Instant,
}

/// The way to a leg.
enum Handle {
    /// Dropping the sender hangs up.
    Phone {
        commands: mpsc::Sender<Command>,
        stats: watch::Receiver<Stats>,
    },
    Echo {
        commands: mpsc::Sender<Command>,
    },
    Milliwatt,
    /// It was told to hang up and has not ended yet.
    Ending,
}

/// What a task ends with.
enum Outcome {
    Identified {
        stream: TcpStream,
        inbox: BytesMut,
        id: Uuid,
    },
    /// A request for a media WebSocket has come.
    Asked(media::Request),
    /// A connection was turned away, or went by itself.
    Refused,
    Leg(End),
    Echo(LegId),
    Hall,
    /// A leg's connection is closed.
    Closed,
    /// It is time to accept again.
    Rested,
}

/// A task of the bridge's own that is still to be spawned.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A road that is being opened, or is open.
type Opening = Pin<Box<dyn Future<Output = Result<Road, media::Error>> + Send>>;

impl Server {
    pub(crate) fn new(
        config: Config,
        relay: Relay,
        listeners: Listeners,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<Event>,
        (wheel, turning): (Wheel, Work),
    ) -> Self {
        let around = Surroundings {
            relay,
            coding: config.coding,
            shaping: config.shaping,
            throttle: Throttle::new(config.coding.complexity),
            jitter: config.jitter,
            events,
            meters: Meters::new(),
        };
        let mut server = Self {
            config,
            around,
            listener: Some(listeners.audiosocket),
            websocket: listeners.websocket,
            rtp: None,
            open: Some(watch::Sender::new(())),
            accepting: true,
            retired: false,
            strays: None,
            orders,
            outgoing: VecDeque::new(),
            expectations: Expectations::default(),
            legs: BTreeMap::new(),
            hall: None,
            unidentified: 0,
            beginning: false,
            knocking: BTreeMap::new(),
            tasks: JoinSet::new(),
            task_legs: HashMap::new(),
            exchange: None,
            wheel,
            turning: Some(turning),
        };
        if let Some(socket) = listeners.rtp {
            let (exchange, work) = Exchange::new(socket);
            server.rtp = Some(exchange);
            server.exchange = Some(Box::pin(work));
        }
        server
    }

    /// Runs until it was shut down and every leg has ended.
    pub(crate) async fn run(mut self) {
        for work in [self.exchange.take(), self.turning.take()] {
            let Some(work) = work else { continue };
            self.tasks.spawn(async move {
                work.await;
                Outcome::Closed
            });
        }
        let events = self.around.events.clone();
        let mut orders_open = true;
        let mut governor = Governor::new(self.config.coding.complexity);
        let mut busy = BusyTime::start();
        let mut looks = interval(governor::INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.listener.is_some() || !self.tasks.is_empty() || !self.outgoing.is_empty() {
            let knocks = self.knocking.values().map(|knocking| knocking.until);
            let deadline = knocks.chain(self.expectations.deadline()).min();
            tokio::select! {
                order = self.orders.recv(), if orders_open => match order {
                    Some(order) => self.obey(order),
                    None => {
                        orders_open = false;
                        self.shut_down();
                    }
                },
                accepted = accept(self.listener.as_ref()), if self.accepting => {
                    self.accepted(accepted, Door::AudioSocket);
                }
                accepted = accept(self.websocket.as_ref()), if self.accepting => {
                    self.accepted(accepted, Door::WebSocket);
                }
                Some(done) = self.tasks.join_next_with_id() => self.done(done),
                permit = events.reserve(), if !self.outgoing.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.outgoing.pop_front() {
                            permit.send(event);
                        }
                    }
                    Err(_) => self.outgoing.clear(),
                },
                () = until(deadline) => self.expire(),
                _ = looks.tick(), if self.config.governed && !self.legs.is_empty() => self.govern(&mut governor, &mut busy),
            }
        }
    }

    /// Lets encoders work as hard as there is time for.
    fn govern(&mut self, governor: &mut Governor, busy: &mut BusyTime) {
        let now = std::time::Instant::now();
        let load = Load {
            busy: busy.take(now),
            late: self.around.throttle.take_late(),
            beginning: std::mem::take(&mut self.beginning),
        };
        let Some(change) = governor.handle(load, now) else {
            return;
        };
        let effort = governor.effort();
        self.around.throttle.allow(effort);
        self.around.meters.effort(effort, change);
        let governor::Effort { complexity, narrow } = effort;
        let (busy_percent, late_ms) = (load.busy * 100.0, load.late.as_millis() as u64);
        match change {
            Change::Lower => tracing::warn!(
                complexity,
                narrow,
                busy_percent,
                late_ms,
                legs = self.legs.len(),
                "the cores are busy: encoders work less hard"
            ),
            Change::Raise => tracing::info!(
                complexity,
                narrow,
                busy_percent,
                "encoders work harder again"
            ),
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Expect { id, spec, until } => self.expect(id, spec, until),
            Order::ExpectStanding { id, rate } => {
                if !self.expectations.add_standing(id, rate) {
                    tracing::warn!(%id, "not expected: too many call ids, or this one is taken");
                }
            }
            Order::Forget(id) => {
                if let Some(leg) = self.expectations.remove(id) {
                    self.detached(leg, Reason::HungUp);
                }
            }
            Order::TurnAway(id) => self.turn_knock_away(id, "unknown"),
            Order::Reach { id, way } => self.reach(id, way),
            Order::Tell(leg, command) => self.tell(leg, command),
            Order::Start {
                leg,
                service,
                place,
                source,
            } => self.start(leg, service, &place, source),
            Order::HangUp(leg) => self.hang_up(leg),
            Order::HangUpAll => self.hang_up_all(),
            Order::StopAccepting => {
                self.accepting = false;
                self.retired = true;
            }
            Order::LeaveStraysTo(strays) => self.strays = Some(strays),
            Order::TakeIn(stray) => self.take_in(stray),
            Order::ShutDown => self.shut_down(),
            Order::Stats(answer) => {
                // Whoever asked may have gone.
                answer.send(self.stats()).unwrap_or_default();
            }
        }
    }

    fn expect(&mut self, id: Uuid, spec: Spec, until: Instant) {
        let leg = spec.leg;
        let taken = leg >= LegId::STANDING_FIRST || self.legs.contains_key(&leg);
        if self.listener.is_none() || taken || !self.expectations.add_once(id, spec, until) {
            tracing::warn!(%leg, %id, "not expected: too many call ids, this one or the leg is taken, or we end");
            self.detached(leg, Reason::Refused);
        } else if let Some(Knocking { request, .. }) = self.knocking.remove(&id) {
            self.let_in(request, id);
        }
    }

    fn tell(&mut self, leg: LegId, command: Command) {
        let taken = match self.legs.get(&leg) {
            None => self.expectations.tell(leg, command),
            Some(Handle::Phone { commands, .. } | Handle::Echo { commands }) => {
                commands.try_send(command).is_ok()
            }
            Some(Handle::Milliwatt | Handle::Ending) => true,
        };
        if !taken {
            tracing::debug!(%leg, "a command came too late, or was one too many");
        }
    }

    fn start(
        &mut self,
        leg: LegId,
        service: Service,
        place: &Place,
        source: Option<FullTrackName>,
    ) {
        if self.listener.is_none()
            || self.legs.len() >= self.config.legs_max
            || self.legs.contains_key(&leg)
        {
            tracing::warn!(%leg, ?service, "not started: too many legs, or we end");
            return self.detached(leg, Reason::Refused);
        }
        tracing::info!(%leg, ?service, room = place.room(), participant = place.participant(), "service begins");
        let handle = match service {
            Service::Echo => self.start_echo(leg, place, source),
            Service::Milliwatt => match self.start_milliwatt(leg, place) {
                Ok(handle) => handle,
                Err(error) => {
                    tracing::warn!(%leg, %error, "not started");
                    return self.detached(leg, Reason::Refused);
                }
            },
        };
        self.legs.insert(leg, handle);
        self.around.meters.legs(self.legs.len());
    }

    fn start_echo(&mut self, leg: LegId, place: &Place, source: Option<FullTrackName>) -> Handle {
        let (commands, told) = mpsc::channel(LEG_COMMANDS_MAX);
        let catalog = self.around.coding.catalog();
        let life = echo(
            self.around.relay.clone(),
            place.clone(),
            catalog,
            source,
            told,
        );
        let life = async move {
            life.await;
            Outcome::Echo(leg)
        };
        let task = self
            .tasks
            .spawn(life.instrument(tracing::info_span!("echo", %leg, room = place.room())));
        self.task_legs.insert(task.id(), leg);
        Handle::Echo { commands }
    }

    fn start_milliwatt(&mut self, leg: LegId, place: &Place) -> Result<Handle, PublishError> {
        let catalog = self.around.coding.catalog();
        let publication = Publication::open(&self.around.relay, place, &catalog, Instant::now())?;
        self.enter_hall(leg, publication);
        Ok(Handle::Milliwatt)
    }

    /// The hall's task exists from its first member on.
    fn enter_hall(&mut self, leg: LegId, publication: Publication) {
        let Self {
            hall,
            tasks,
            around,
            ..
        } = self;
        let hall = hall.get_or_insert_with(|| {
            let (hall, task) = Hall::new(around.coding);
            tasks.spawn(async move {
                task.await;
                Outcome::Hall
            });
            hall
        });
        hall.enter(leg, publication);
    }

    fn hang_up(&mut self, leg: LegId) {
        match self.legs.get_mut(&leg) {
            None if self.expectations.cancel(leg) => self.detached(leg, Reason::HungUp),
            None | Some(Handle::Ending) => {}
            Some(Handle::Milliwatt) => {
                if let Some(hall) = &self.hall {
                    hall.leave(leg);
                }
                self.forget(leg);
                self.detached(leg, Reason::HungUp);
            }
            Some(handle @ (Handle::Phone { .. } | Handle::Echo { .. })) => {
                *handle = Handle::Ending;
            }
        }
    }

    fn hang_up_all(&mut self) {
        let legs: Vec<_> = self.legs.keys().copied().collect();
        for leg in legs {
            self.hang_up(leg);
        }
        for leg in self.expectations.cancel_all() {
            self.detached(leg, Reason::HungUp);
        }
    }

    fn shut_down(&mut self) {
        self.listener = None;
        self.websocket = None;
        self.rtp = None;
        self.open = None;
        self.accepting = false;
        for (_, knocking) in std::mem::take(&mut self.knocking) {
            self.decline(
                knocking.request,
                StatusCode::SERVICE_UNAVAILABLE,
                Refusal::Ending.as_str(),
            );
        }
        self.hang_up_all();
        self.hall = None;
        self.wheel.end();
    }

    fn stats(&self) -> Vec<(LegId, Stats)> {
        let stats = |(leg, handle): (&LegId, &Handle)| match handle {
            Handle::Phone { stats, .. } => Some((*leg, stats.borrow().clone())),
            Handle::Echo { .. } | Handle::Milliwatt | Handle::Ending => None,
        };
        self.legs.iter().filter_map(stats).collect()
    }

    fn accepted(&mut self, accepted: io::Result<TcpStream>, door: Door) {
        let mut stream = match accepted {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                self.accepting = false;
                self.tasks.spawn(async {
                    sleep(ACCEPT_PAUSE).await;
                    Outcome::Rested
                });
                return;
            }
        };
        if self.unidentified >= self.config.unidentified_max {
            self.around.meters.refused("too_many");
            tracing::debug!("refused: too many connections that do not say which call they are");
            return match door {
                Door::AudioSocket => turn_away_at_once(stream),
                Door::WebSocket => drop(stream),
            };
        }
        self.unidentified += 1;
        self.around.meters.unidentified(self.unidentified);
        let within = self.config.identify_timeout;
        let meters = self.around.meters.clone();
        let open = self.open.as_ref().map(watch::Sender::subscribe);
        if door == Door::WebSocket {
            let tls = self.config.media_tls.clone();
            self.tasks.spawn(async move {
                let asked = tokio::select! {
                    asked = media::read_request(stream, tls, within) => asked,
                    () = closed(open) => Err(media::Error::Ending),
                };
                match asked {
                    Ok(request) => Outcome::Asked(request),
                    Err(error) => {
                        meters.refused(error.as_str());
                        tracing::debug!(%error, "request refused");
                        Outcome::Refused
                    }
                }
            });
            return;
        }
        self.tasks.spawn(async move {
            let mut inbox = BytesMut::new();
            let identified = tokio::select! {
                identified = identify(&mut stream, &mut inbox, within) => identified,
                () = closed(open) => Err(identify::Error::Ending),
            };
            match identified {
                Ok(id) => Outcome::Identified { stream, inbox, id },
                Err(error) => {
                    refused(&meters, &error);
                    leg::refuse(stream).await;
                    Outcome::Refused
                }
            }
        });
    }

    fn done(&mut self, done: Result<(task::Id, Outcome), JoinError>) {
        match done {
            Ok((_, Outcome::Identified { stream, inbox, id })) => {
                self.identified(stream, inbox, id)
            }
            Ok((_, Outcome::Asked(request))) => self.asked(request),
            Ok((_, Outcome::Refused)) => self.left_the_door(),
            Ok((task, Outcome::Leg(end))) => {
                self.task_legs.remove(&task);
                self.ended(end);
            }
            Ok((task, Outcome::Echo(leg))) => {
                self.task_legs.remove(&task);
                self.forget(leg);
                self.detached(leg, Reason::HungUp);
            }
            Ok((_, Outcome::Hall | Outcome::Closed)) => {}
            Ok((_, Outcome::Rested)) => {
                self.accepting = self.listener.is_some() && !self.retired;
            }
            Err(error) => self.failed(&error),
        }
    }

    fn identified(&mut self, stream: TcpStream, inbox: BytesMut, id: Uuid) {
        let claim = match self.claim(id) {
            Ok(claim) => claim,
            Err(Refusal::Turned(Turned::Unknown)) if self.strays.is_some() => {
                return self.leave(stream, inbox, id);
            }
            Err(refusal) => {
                let peer = stream.peer_addr().ok();
                tracing::warn!(%id, ?peer, %refusal, "connection refused");
                return self.turn_away(stream, refusal.as_str());
            }
        };
        self.left_the_door();
        let road = Road::AudioSocket(Socket::new(stream, inbox));
        self.attach(claim, Box::pin(async { Ok(road) }), id);
    }

    /// A request for a media WebSocket.
    fn asked(&mut self, request: media::Request) {
        let peer = request.peer();
        if !request.is_authorized(self.config.media_credentials.as_ref()) {
            tracing::warn!(?peer, "WebSocket refused: wrong user or password");
            return self.decline(request, StatusCode::UNAUTHORIZED, "unauthorized");
        }
        let query = request.query();
        match (query.id, query.call) {
            (Some(id), _) => self.let_in(request, id),
            (None, Some(_)) if self.listener.is_none() => {
                self.decline(request, StatusCode::SERVICE_UNAVAILABLE, "ending");
            }
            (None, Some(call)) => {
                let id = Uuid::new_v4();
                let until = Instant::now() + KNOCK_TIMEOUT;
                self.knocking.insert(id, Knocking { request, until });
                self.outgoing.push_back(Event::Knocked { id, call });
            }
            (None, None) => {
                tracing::warn!(
                    ?peer,
                    "WebSocket refused: its address has neither id=UUID nor to=NUMBER"
                );
                self.decline(request, StatusCode::BAD_REQUEST, "malformed");
            }
        }
    }

    /// Gives a request its leg.
    fn let_in(&mut self, request: media::Request, id: Uuid) {
        let peer = request.peer();
        match self.claim(id) {
            Ok(claim) => {
                self.left_the_door();
                let opening = async {
                    let socket = request.accept().await?;
                    Ok(Road::WebSocket(Box::new(socket)))
                };
                self.attach(claim, Box::pin(opening), id);
            }
            Err(refusal) => {
                tracing::warn!(%id, ?peer, %refusal, "WebSocket refused");
                self.decline(request, StatusCode::NOT_FOUND, refusal.as_str());
            }
        }
    }

    /// Turns a call away that has knocked, if it is there still.
    fn turn_knock_away(&mut self, id: Uuid, reason: &'static str) {
        if let Some(knocking) = self.knocking.remove(&id) {
            self.decline(knocking.request, StatusCode::NOT_FOUND, reason);
        }
    }

    fn decline(&mut self, request: media::Request, status: StatusCode, reason: &'static str) {
        self.around.meters.refused(reason);
        self.tasks.spawn(async move {
            request.refuse(status).await;
            Outcome::Refused
        });
    }

    /// Goes to Asterisk.
    fn reach(&mut self, id: Uuid, way: Way) {
        let claim = match self.claim(id) {
            Ok(claim) => claim,
            // The call has ended meanwhile.
            Err(refusal) => return tracing::debug!(%id, %refusal, "not reached"),
        };
        let opening: Opening = match way {
            Way::WebSocket { host, connection } => Box::pin(async move {
                let socket = media::connect(&host, &connection).await?;
                Ok(Road::WebSocket(Box::new(socket)))
            }),
            Way::Rtp { peers, codec } => {
                let exchange = self.rtp.clone();
                Box::pin(async move {
                    let exchange = exchange.ok_or(media::Error::NoRtp)?;
                    let line = RtpLine::open(exchange, peers, codec).await?;
                    let line = line.ok_or(media::Error::Codec(codec.name().into()))?;
                    Ok(Road::Rtp(Box::new(line)))
                })
            }
        };
        self.attach(claim, opening, id);
    }

    /// Takes the expectation of whoever says `id`.
    fn claim(&mut self, id: Uuid) -> Result<Claim, Refusal> {
        let claim = self.expectations.claim(id, Instant::now())?;
        let leg = claim.spec.leg;
        if self.listener.is_none() {
            self.expectations.release(leg);
            return Err(Refusal::Ending);
        }
        if self.legs.len() >= self.config.legs_max {
            self.expectations.release(leg);
            if !claim.standing {
                self.detached(leg, Reason::Refused);
            }
            return Err(Refusal::TooManyLegs);
        }
        Ok(claim)
    }

    /// Leaves a connection to whoever may expect it.
    fn leave(&mut self, stream: TcpStream, inbox: BytesMut, id: Uuid) {
        self.left_the_door();
        let refuse = |error: &dyn std::fmt::Display| {
            tracing::warn!(%id, %error, "connection refused: nobody expects this call id");
            self.around.meters.refused("unknown");
        };
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return refuse(&error),
        };
        let inbox = inbox.to_vec();
        let stray = Stray { id, inbox, stream };
        let sent = match &self.strays {
            Some(strays) => strays.try_send(stray),
            None => Err(mpsc::error::TrySendError::Closed(stray)),
        };
        if let Err(error) = sent {
            refuse(&error);
            farewell(&mut error.into_inner().stream);
        }
    }

    fn take_in(&mut self, stray: Stray) {
        let Stray { id, inbox, stream } = stray;
        self.unidentified += 1;
        match TcpStream::from_std(stream) {
            Ok(stream) => self.identified(stream, BytesMut::from(&inbox[..]), id),
            Err(error) => {
                tracing::warn!(%id, %error, "a connection cannot be taken in");
                self.left_the_door();
            }
        }
    }

    fn attach(&mut self, claim: Claim, opening: Opening, id: Uuid) {
        let Claim {
            spec,
            standing,
            commands: told,
        } = claim;
        let leg = spec.leg;
        let span = tracing::info_span!("leg", %leg, room = tracing::field::Empty);
        let (commands, commands_rx) = mpsc::channel(LEG_COMMANDS_MAX);
        let (report, stats) = watch::channel(Stats::default());
        self.legs.insert(leg, Handle::Phone { commands, stats });
        self.beginning = true;
        self.around.meters.legs(self.legs.len());
        for command in told {
            self.tell(leg, command);
        }
        let around = self.around.clone();
        let life = async move {
            let road = match opening.await {
                Ok(road) => road,
                Err(error) => {
                    tracing::warn!(%id, %error, "no way to Asterisk");
                    return Outcome::Leg(End::before(leg));
                }
            };
            tracing::info!(%id, standing, "attached");
            around.meters.attached();
            let attached = Event::Attached { leg, id, standing };
            let leg = Leg::new(spec, attached, road, commands_rx, report, around);
            Outcome::Leg(leg.run().await)
        };
        let task = self.tasks.spawn(life.instrument(span));
        self.task_legs.insert(task.id(), leg);
    }

    fn ended(&mut self, end: End) {
        let End {
            leg,
            reason,
            stats,
            unsent,
            road,
        } = end;
        self.forget(leg);
        self.around.meters.ended(reason);
        self.outgoing.extend(unsent);
        self.outgoing
            .push_back(Event::Detached { leg, reason, stats });
        if let Some(road) = road {
            self.tasks.spawn(async move {
                road.close().await;
                Outcome::Closed
            });
        }
    }

    /// A task panicked: a fault of ours that costs one leg.
    fn failed(&mut self, error: &JoinError) {
        tracing::error!(%error, "a task of the bridge failed");
        if let Some(leg) = self.task_legs.remove(&error.id()) {
            self.forget(leg);
            self.detached(leg, Reason::Failed);
            return;
        }
        // A connection at the door, a farewell, or the hall. A hall that is gone takes its members with it.
        if self.hall.as_ref().is_some_and(Hall::is_gone) {
            self.hall = None;
            let members = self
                .legs
                .iter()
                .filter(|(_, handle)| matches!(handle, Handle::Milliwatt));
            let members: Vec<_> = members.map(|(leg, _)| *leg).collect();
            for leg in members {
                self.forget(leg);
                self.detached(leg, Reason::Failed);
            }
        } else {
            self.left_the_door();
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let late = self.knocking.iter().filter(|(_, one)| one.until <= now);
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            tracing::warn!(%id, "nobody decided about a call that knocked");
            self.turn_knock_away(id, "timeout");
        }
        for leg in self.expectations.expire(now) {
            tracing::info!(%leg, "nobody came");
            self.detached(leg, Reason::Expired);
        }
    }

    fn forget(&mut self, leg: LegId) {
        self.legs.remove(&leg);
        self.expectations.release(leg);
        self.around.meters.legs(self.legs.len());
    }

    /// Reports the end of a leg that had no connection.
    fn detached(&mut self, leg: LegId, reason: Reason) {
        self.around.meters.ended(reason);
        self.outgoing.push_back(Event::Detached {
            leg,
            reason,
            stats: Box::default(),
        });
    }

    fn turn_away(&mut self, stream: TcpStream, reason: &'static str) {
        self.around.meters.refused(reason);
        self.tasks.spawn(async move {
            leg::refuse(stream).await;
            Outcome::Refused
        });
    }

    fn left_the_door(&mut self) {
        self.unidentified = self.unidentified.saturating_sub(1);
        self.around.meters.unidentified(self.unidentified);
    }
}

/// By which listener a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    AudioSocket,
    WebSocket,
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Turned(#[from] Turned),
    #[error("the bridge ends")]
    Ending,
    #[error("too many legs")]
    TooManyLegs,
}

impl Refusal {
    /// Returns the name that metrics have for it.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Turned(Turned::Unknown) => "unknown",
            Self::Turned(Turned::Busy) => "busy",
            Self::Ending => "ending",
            Self::TooManyLegs => "too_many_legs",
        }
    }
}

fn refused(meters: &Meters, error: &identify::Error) {
    meters.refused(error.as_str());
    tracing::debug!(%error, "connection refused");
}

/// Refuses without a task: those are for connections that are let in.
fn turn_away_at_once(stream: TcpStream) {
    match stream.into_std() {
        Ok(mut stream) => farewell(&mut stream),
        Err(error) => tracing::trace!(%error, "the connection was gone before our hang-up"),
    }
}

fn farewell(stream: &mut std::net::TcpStream) {
    if let Err(error) = stream.write_all(&HANGUP) {
        tracing::trace!(%error, "the connection was gone before our hang-up");
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (stream, peer) = listener.accept().await?;
    tracing::debug!(%peer, "connection");
    // A message that waits for an acknowledgement is a frame too late. On a connection that is gone already it fails.
    stream
        .set_nodelay(true)
        .map_err(|_| io::ErrorKind::ConnectionAborted)?;
    Ok(stream)
}

/// Waits until the bridge shuts down.
async fn closed(open: Option<watch::Receiver<()>>) {
    if let Some(mut open) = open {
        while open.changed().await.is_ok() {}
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
