//! The bridge's own task: accepts connections, finds out whose they are, and keeps the legs.

mod door;
mod services;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    pin::Pin,
};

use bytes::BytesMut;
use moqrelay_relay::{FullTrackName, Relay};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::{self, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tracing::Instrument as _;
use uuid::Uuid;

use self::door::{Door, Refusal, accept};
use crate::{
    Config, Event, LegId, Listeners, Place, Service, Stray, Way,
    exchange::Exchange,
    expectation::{Claim, Expectations},
    governor::{self, BusyTime, Change, CoderSeat, Governor, Load, Throttle},
    leg::{Command, End, Leg, OutRate, Reason, Road, RtpLine, Spec, Stats, Surroundings},
    media,
    meters::Meters,
    seats::Seats,
    service::Hall,
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
    governor: Governor,
    /// Legs have begun since the governor's last look.
    beginning: bool,
    /// Requests whose call nobody has announced; they are counted among the unidentified, and limited with them.
    knocking: BTreeMap<Uuid, Knocking>,
    tasks: JoinSet<Outcome>,
    task_legs: HashMap<task::Id, LegId>,
    /// The exchange's work, until it is a task.
    exchange: Option<Work>,
    rooms: Rooms,
}

/// What the bridge has for rooms of many.
pub(crate) struct Rooms {
    pub(crate) wheel: Wheel,
    pub(crate) seats: Seats,
    /// Their work, until each is a task.
    pub(crate) work: Vec<Work>,
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
        rooms: Rooms,
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
            governor: Governor::new(config.coding.complexity),
            beginning: false,
            knocking: BTreeMap::new(),
            tasks: JoinSet::new(),
            task_legs: HashMap::new(),
            exchange: None,
            rooms,
            config,
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
        let rooms = std::mem::take(&mut self.rooms.work);
        for work in rooms.into_iter().chain(self.exchange.take()) {
            self.tasks.spawn(async move {
                work.await;
                Outcome::Closed
            });
        }
        let events = self.around.events.clone();
        let mut orders_open = true;
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
                _ = looks.tick(), if self.config.governed && !self.legs.is_empty() => self.govern(&mut busy),
            }
        }
    }

    /// Lets encoders work as hard as there is time for.
    fn govern(&mut self, busy: &mut BusyTime) {
        let now = std::time::Instant::now();
        let load = Load {
            busy: busy.take(now),
            late: self.around.throttle.take_late(),
            beginning: std::mem::take(&mut self.beginning),
        };
        let Some(change) = self.governor.handle(load, now) else {
            return;
        };
        let governor::Effort { complexity, narrow } = self.allow(change);
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

    /// Counts a leg that will code, and lets encoders work as hard as there will be time for.
    fn coder_begins(&mut self) -> CoderSeat {
        let (seat, coders) = self.around.throttle.enter();
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        let now = std::time::Instant::now();
        if self.config.governed
            && let Some(change) = self.governor.begin(coders, threads, now)
        {
            let governor::Effort { complexity, narrow } = self.allow(change);
            tracing::info!(
                complexity,
                narrow,
                coders,
                "many legs: encoders work less hard"
            );
        }
        seat
    }

    fn allow(&self, change: Change) -> governor::Effort {
        let effort = self.governor.effort();
        self.around.throttle.allow(effort);
        self.around.meters.effort(effort, change);
        effort
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
        self.rooms.wheel.end();
        self.rooms.seats.end();
    }

    fn stats(&self) -> Vec<(LegId, Stats)> {
        let stats = |(leg, handle): (&LegId, &Handle)| match handle {
            Handle::Phone { stats, .. } => Some((*leg, stats.borrow().clone())),
            Handle::Echo { .. } | Handle::Milliwatt | Handle::Ending => None,
        };
        self.legs.iter().filter_map(stats).collect()
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

    /// Goes to Asterisk.
    fn reach(&mut self, id: Uuid, way: Way) {
        let claim = match self.claim(id) {
            Ok(claim) => claim,
            // The call has ended meanwhile.
            Err(refusal) => return tracing::debug!(%id, %refusal, "not reached"),
        };
        let mut seat = None;
        let opening: Opening = match way {
            Way::WebSocket { site, connection } => Box::pin(async move {
                let socket = media::connect(&site, &connection).await?;
                Ok(Road::WebSocket(Box::new(socket)))
            }),
            Way::Rtp { peers, codec } => {
                let exchange = self.rtp.clone();
                seat = Some(self.coder_begins());
                Box::pin(async move {
                    let exchange = exchange.ok_or(media::Error::NoRtp)?;
                    let line = RtpLine::open(exchange, peers, codec).await?;
                    let line = line.ok_or(media::Error::Codec(codec.name().into()))?;
                    Ok(Road::Rtp(Box::new(line)))
                })
            }
        };
        self.attach(claim, opening, seat, id);
    }

    /// Begins a leg; one that surely codes has a seat, of a WebSocket that is not known yet.
    fn attach(&mut self, claim: Claim, opening: Opening, seat: Option<CoderSeat>, id: Uuid) {
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
            let _seat = seat;
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
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
