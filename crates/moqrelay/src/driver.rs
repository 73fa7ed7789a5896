//! The driver: owns the switchboard, tells it what happens, and carries out what it decides.
//!
//! Everything that decides is in `moqrelay-room`; everything that moves sound is in the engines. Here
//! the names of one are looked up in the tables of the other, and nothing else.

mod rooms;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{self, Future},
    time::{Duration, Instant},
};

use moqrelay_bridge::{
    self as bridge, Bridge, Place, ami, ari,
    leg::{self, OutRate, Reason, Spec, Stats, Tone},
};
use moqrelay_control::{Control, Request, Requests};
use moqrelay_relay::Relay;
use moqrelay_room::{
    Arrival, CallId, CallRecord, Caller, Cause, Config, Counts, Digit, Input, Lamp, LegId, Number,
    Output, ParticipantId, Refusal, Route, Service, Switchboard, TransferProgress, Trunk,
    TrunkName, UserId, conference,
};
use moqrelay_wire::signal;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use self::rooms::{Rooms, is_room_leg};
use crate::{
    cdr::Cdr,
    ledger::{Ledger, Sound, hundredths},
    processors::Processors,
    rules::Keeper,
    services,
    trunks::Trunks,
    upgrade::{Ticket, Tickets},
};

/// An AudioSocket connection that Asterisk was told to make comes within milliseconds; this is for a
/// machine that is very busy.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(30);

/// The ends of the engines that the driver holds.
pub(crate) struct Engines {
    pub(crate) control: Control,
    pub(crate) requests: Requests,
    pub(crate) bridge: Bridge,
    pub(crate) bridge_events: bridge::Events,
    /// The users of fixed UUIDs.
    pub(crate) standing: BTreeMap<Uuid, String>,
    pub(crate) ari: Option<(ari::Handle, mpsc::Receiver<ari::Event>)>,
    /// What ARI's AudioSocket is asked to speak.
    pub(crate) ari_rate: OutRate,
    /// Whether keys are listened for in the sound of calls without ARI.
    pub(crate) detect_digits: bool,
    /// Shows the tickets that wait.
    pub(crate) tickets: Tickets,
    /// Tickets of the process before this one.
    pub(crate) inherited: Vec<Ticket>,
    /// Where call records go, if anywhere.
    pub(crate) cdr: Option<Cdr>,
    /// What rooms go by.
    pub(crate) rooms: conference::Config,
    /// Where the daemon publishes what it says in rooms.
    pub(crate) relay: Relay,
    pub(crate) processors: Processors,
    pub(crate) trunks: Trunks,
    /// What is known of Asterisk's registrations, if anybody asks.
    pub(crate) registrations: Option<watch::Receiver<ami::Registrations>>,
    /// Where users' rules are kept, if anywhere.
    pub(crate) rules: Option<Keeper>,
    /// The numbers of devices whose state Asterisk tells.
    pub(crate) lines: BTreeMap<String, Number>,
}

/// How a leg reaches its telephone, or that it has none.
#[derive(Debug)]
enum Road {
    /// A built-in party.
    Service,
    /// AudioSocket alone: a ticket or a fixed UUID.
    AudioSocket(bridge::LegId),
    /// AudioSocket for the sound, ARI for the rest.
    Ari { uuid: Uuid },
}

/// The loop and what it knows.
pub(crate) struct Driver {
    board: Switchboard,
    control: Control,
    bridge: Bridge,
    ari: Option<ari::Handle>,
    /// Whether ARI is there at the moment.
    ari_up: bool,
    ari_rate: OutRate,
    standing: BTreeMap<Uuid, String>,
    detect_digits: bool,
    tickets: Tickets,
    /// Tickets of the process before this one, and until when they are good.
    inherited: BTreeMap<Uuid, (Ticket, Instant)>,
    legs: BTreeMap<LegId, Road>,
    /// Legs that the bridge named, by its name.
    by_bridge: BTreeMap<bridge::LegId, LegId>,
    rooms: Rooms,
    processors: Processors,
    ledger: Ledger,
    trunks: Trunks,
    rules: Option<Keeper>,
    lines: BTreeMap<String, Number>,
    shown: Shown,
    retired: bool,
}

/// What others see of the calls.
pub(crate) struct Shown {
    pub(crate) counts: watch::Sender<Counts>,
    /// Known once another process takes what is new.
    pub(crate) staying: watch::Sender<Option<Staying>>,
}

/// Users whose calls go on while another process takes what is new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Staying {
    pub(crate) in_calls: BTreeSet<String>,
    /// Those of them with a call that nobody has answered yet.
    pub(crate) unanswered: BTreeSet<String>,
}

impl Driver {
    /// Runs until `drain` completes and the last call has ended. `shown` follows what is going on.
    /// When `retire` completes, another process takes what is new.
    pub(crate) async fn run(
        config: Config,
        engines: Engines,
        shown: Shown,
        retire: impl Future<Output = ()>,
        drain: impl Future<Output = ()>,
    ) {
        let (handle, mut ari_events) = engines.ari.unzip();
        let mut driver = Self {
            board: Switchboard::new(config),
            control: engines.control,
            bridge: engines.bridge,
            ari: handle,
            ari_up: false,
            ari_rate: engines.ari_rate,
            standing: engines.standing,
            detect_digits: engines.detect_digits,
            tickets: engines.tickets,
            inherited: BTreeMap::new(),
            legs: BTreeMap::new(),
            by_bridge: BTreeMap::new(),
            rooms: Rooms::new(engines.rooms, engines.relay),
            processors: engines.processors,
            ledger: Ledger::new(engines.cdr),
            trunks: engines.trunks,
            rules: engines.rules,
            lines: engines.lines,
            shown,
            retired: false,
        };
        let mut registrations = engines.registrations;
        driver.inherit(engines.inherited);
        let (mut requests, mut bridge_events) = (engines.requests, engines.bridge_events);
        let (mut retire, mut drain) = (std::pin::pin!(retire), std::pin::pin!(drain));
        let mut draining = false;
        while !(draining && driver.is_idle()) {
            let inherited = driver.inherited.values().map(|(_, until)| *until);
            let due = inherited.chain(driver.board.poll_timeout());
            let due = due.chain(driver.rooms.due()).min();
            let late = driver.ledger.poll_timeout();
            tokio::select! {
                Some(request) = requests.recv() => driver.request(request),
                Some(event) = bridge_events.recv() => driver.bridge_event(event),
                Some(event) = next(&mut ari_events) => driver.ari_event(event),
                Some(now) = changed(&mut registrations) => driver.registrations(&now),
                () = until(late) => {
                    let legs = &driver.legs;
                    driver.ledger.handle_timeout(&|leg| legs.contains_key(&leg), Instant::now());
                }
                () = until(due) => driver.pass_time(Instant::now()),
                () = &mut retire, if !driver.retired => {
                    driver.retired = true;
                    driver.handle(Input::Retire);
                }
                () = &mut drain, if !draining => {
                    draining = true;
                    driver.handle(Input::Drain);
                    driver.room_input(conference::Input::Drain);
                }
                else => break,
            }
            driver.carry_out();
        }
    }

    /// Tells whether there is neither a call nor anybody in a room, and every record is written.
    fn is_idle(&self) -> bool {
        let counts = self.board.counts();
        counts.legs == 0 && counts.calls == 0 && self.rooms.is_empty() && self.ledger.is_done()
    }

    fn pass_time(&mut self, now: Instant) {
        self.board.handle_timeout(now);
        self.rooms.handle_timeout(now);
        let bridge = &self.bridge;
        self.inherited.retain(|id, (_, until)| {
            let good = *until > now;
            if !good {
                told(bridge.forget(*id));
            }
            good
        });
    }

    /// Expects the connections of tickets that the process before this one gave.
    fn inherit(&mut self, tickets: Vec<Ticket>) {
        let now = Instant::now();
        for ticket in tickets {
            told(self.bridge.expect_standing(ticket.id, OutRate::Follow));
            let until = ticket.until(now);
            self.inherited.insert(ticket.id, (ticket, until));
        }
    }

    fn handle(&mut self, input: Input) {
        self.board.handle(input, Instant::now());
    }

    fn request(&mut self, request: Request) {
        let now = Instant::now();
        match request {
            Request::Register {
                device,
                user,
                attachment,
                reply,
            } => {
                reply.send(match self.control.is_guest(&user.id) {
                    true => self.board.register_guest(device, user, attachment),
                    false => self.board.register(device, user, attachment),
                });
            }
            Request::Resume {
                device,
                attachment,
                reply,
            } => {
                reply.send(self.board.resume(device, attachment));
            }
            Request::Signal {
                device,
                request,
                reply,
            } => {
                reply.send(self.board.request(device, request, now));
            }
            Request::Dropped { device, attachment } => {
                self.handle(Input::Dropped { device, attachment });
            }
            Request::Ticket { arrival, reply } => reply.send(self.ticket(arrival)),
        }
    }

    /// Prepares a telephone leg whose caller was promised a connection.
    fn ticket(&mut self, arrival: Arrival) -> Result<Uuid, Refusal> {
        let uuid = Uuid::new_v4();
        self.promise(arrival, uuid)?;
        Ok(uuid)
    }

    /// Expects a connection under `uuid` for a telephone's call.
    fn promise(&mut self, arrival: Arrival, uuid: Uuid) -> Result<(), Refusal> {
        let now = Instant::now();
        let call = arrival.call;
        let ttl = self.board.config().ticket_ttl;
        if self.rooms.board.answers(&arrival.to) {
            return self.room_ticket(arrival, uuid, ttl);
        }
        let (to, from) = (arrival.to.clone(), arrival.from.clone());
        let (number, called) = (from.number.clone(), to.clone());
        let leg = self.board.ticket(arrival, now)?;
        self.tickets
            .add(uuid, to, (from.number, from.name), now + ttl);
        self.expect(leg, uuid, call, ParticipantId::CALLER, OutRate::Follow, ttl);
        self.process(to_bridge(leg), number.as_deref(), Some(&called));
        self.begin(leg, Road::AudioSocket(to_bridge(leg)));
        Ok(())
    }

    /// A telephone's call whose media WebSocket says who calls whom: as with a ticket, but that nobody asked for one.
    fn knocked(&mut self, id: Uuid, knock: bridge::Knock) {
        let call = new_call();
        let arrival = Arrival {
            call,
            to: knock.to,
            from: Caller {
                number: knock.from,
                name: knock.name,
            },
            via: None,
            trunk: Trunk::Answered,
        };
        if let Err(refusal) = self.promise(arrival, id) {
            tracing::info!(%call, %refusal, "a caller by WebSocket is turned away");
            told(self.bridge.turn_away(id));
        }
    }

    fn expect(
        &mut self,
        leg: LegId,
        uuid: Uuid,
        call: CallId,
        participant: ParticipantId,
        rate: OutRate,
        ttl: Duration,
    ) {
        let spec = Spec {
            leg: to_bridge(leg),
            place: place(call, participant),
            rate,
        };
        if let Err(error) = self.bridge.expect(uuid, spec, ttl) {
            tracing::warn!(%call, %leg, %error, "the bridge does not take the leg");
            self.handle(Input::LegEnded {
                leg,
                cause: Cause::Failed,
            });
        }
    }

    /// Leads a telephone's sound through the service that is configured for its number or whom it has called, if one
    /// is.
    fn process(&self, leg: bridge::LegId, number: Option<&str>, called: Option<&str>) {
        if let Some(processor) = self.processors.of(number, called) {
            told(self.bridge.process(leg, processor.clone()));
        }
    }

    fn bridge_event(&mut self, event: bridge::Event) {
        match event {
            bridge::Event::Attached {
                leg,
                id,
                standing: true,
            } => self.standing_arrives(leg, id),
            bridge::Event::Attached {
                leg,
                id,
                standing: false,
            } => {
                self.tickets.remove(id);
                self.listen_for_digits(leg);
                match LegId(leg.0) {
                    leg if is_room_leg(leg) => self.room_leg_attached(leg),
                    leg => self.handle(Input::LegAttached(leg)),
                }
            }
            bridge::Event::Knocked { id, call } => self.knocked(id, call),
            bridge::Event::Digit { leg, digit } => self.bridge_digit(leg, digit),
            bridge::Event::Quality {
                leg,
                quality,
                silent,
            } => self.quality(leg, quality, silent),
            bridge::Event::Detached { leg, reason, stats } => self.detached(leg, reason, &stats),
            _ => {}
        }
    }

    /// A call by a fixed UUID, of which only whom it rings is known, or by a ticket of the process before this one.
    fn standing_arrives(&mut self, leg: bridge::LegId, uuid: Uuid) {
        let inherited = self.inherited.remove(&uuid);
        if inherited.is_some() {
            told(self.bridge.forget(uuid));
        }
        let (to, from) = match (inherited, self.standing.get(&uuid)) {
            (Some((ticket, _)), _) => {
                let (number, name) = (ticket.number, ticket.name);
                (ticket.to, Caller { number, name })
            }
            (None, Some(user)) => (user.clone(), Caller::default()),
            (None, None) => return told(self.bridge.hang_up(leg)),
        };
        let (call, called, number) = (new_call(), to.clone(), from.number.clone());
        let arrival = Arrival {
            call,
            to,
            from,
            via: None,
            trunk: Trunk::Answered,
        };
        match self.board.arrive(arrival, Instant::now()) {
            Ok(id) => {
                self.begin(id, Road::AudioSocket(leg));
                self.by_bridge.insert(leg, id);
                self.listen_for_digits(leg);
                if let Some(place) = place(call, ParticipantId::CALLER) {
                    told(self.bridge.join(leg, place));
                }
                self.process(leg, number.as_deref(), Some(&called));
            }
            Err(refusal) => {
                tracing::info!(%leg, %uuid, %refusal, "a caller by fixed UUID or an earlier ticket is turned away");
                told(self.bridge.hang_up(leg));
            }
        }
    }

    /// Listens for keys in a leg's sound where they may have no other way.
    fn listen_for_digits(&self, leg: bridge::LegId) {
        let id = self.to_room(leg);
        if self.detect_digits && matches!(self.legs.get(&id), Some(Road::AudioSocket(_))) {
            told(self.bridge.detect_digits(leg, true));
        }
    }

    fn bridge_digit(&mut self, leg: bridge::LegId, digit: char) {
        let leg = self.to_room(leg);
        let counts = match self.legs.get(&leg) {
            Some(Road::AudioSocket(_)) => true,
            // ARI reports the same key again, also on Asterisks whose AudioSocket does not. What it
            // has to report while it is away is lost.
            Some(Road::Ari { .. }) => !self.ari_up,
            Some(Road::Service) | None => false,
        };
        if counts && let Ok(digit) = Digit::new(digit) {
            self.leg_digit(leg, digit);
        }
    }

    fn leg_digit(&mut self, leg: LegId, digit: Digit) {
        match is_room_leg(leg) {
            true => self.room_leg_digit(leg, digit),
            false => self.handle(Input::LegDigit { leg, digit }),
        }
    }

    fn leg_ended(&mut self, leg: LegId, cause: Cause) {
        match is_room_leg(leg) {
            true => self.room_leg_ended(leg),
            false => self.handle(Input::LegEnded { leg, cause }),
        }
    }

    /// Those who are in the call are told how the telephone sounds.
    fn quality(
        &self,
        leg: bridge::LegId,
        quality: [Option<leg::Quality>; 2],
        silent: [Option<leg::Cause>; 2],
    ) {
        let Some((call, participant, devices)) = self.board.audience(self.to_room(leg)) else {
            return;
        };
        let [from, to] = [0, 1].map(|side: usize| heard(quality[side].as_ref(), silent[side]));
        for device in devices {
            let event = signal::Event::Quality {
                call: signal::CallId(call.0),
                participant: participant.to_string(),
                from: Box::new(from),
                to: Box::new(to),
            };
            self.control.tell(device, event);
        }
    }

    fn detached(&mut self, leg: bridge::LegId, reason: Reason, stats: &Stats) {
        let id = self.to_room(leg);
        self.by_bridge.remove(&leg);
        let legs = &self.legs;
        self.ledger
            .sounded(id, Sound::of(stats), &|leg| legs.contains_key(&leg));
        match self.legs.get(&id) {
            Some(Road::AudioSocket(_)) => {
                self.legs.remove(&id);
                self.leg_ended(id, cause_of(reason));
            }
            // By ARI the sound ends after the call, because we say so. If it is lost before, or has
            // never come, the call is of no use any more.
            Some(Road::Ari { .. }) => {
                tracing::info!(leg = %id, %reason, "the sound is lost: the call ends");
                if let Some(ari) = &self.ari {
                    told_ari(ari.hang_up(to_ari(id), to_wire(without_sound(reason))));
                }
            }
            Some(Road::Service) | None => {}
        }
    }

    fn ari_event(&mut self, event: ari::Event) {
        match event {
            ari::Event::Up => {
                self.ari_up = true;
                self.handle(Input::TrunkAvailable(true));
            }
            ari::Event::Down => {
                tracing::warn!("calls to telephones are refused until ARI is back");
                self.ari_up = false;
                self.handle(Input::TrunkAvailable(false));
            }
            ari::Event::Incoming(incoming) => self.incoming(incoming),
            ari::Event::Ringing(leg) => self.handle(Input::LegRinging(LegId(leg.0))),
            ari::Event::Early(leg) => self.handle(Input::LegEarly(LegId(leg.0))),
            ari::Event::Answered(leg) => self.handle(Input::LegAnswered(LegId(leg.0))),
            ari::Event::Digit { leg, digit } => {
                if let Ok(digit) = Digit::new(digit) {
                    self.leg_digit(LegId(leg.0), digit);
                }
            }
            ari::Event::Held { leg, held } => {
                let leg = LegId(leg.0);
                tracing::debug!(%leg, held, "the telephone holds");
                self.handle(Input::LegHeld { leg, held });
            }
            ari::Event::Linked { leg, id } => {
                self.ledger.linked(LegId(leg.0), id);
            }
            ari::Event::Trunk { trunk, state } => {
                for input in self.trunks.endpoint(&trunk, state) {
                    self.handle(input);
                }
            }
            ari::Event::Transfers { leg, to } => {
                let leg = LegId(leg.0);
                self.handle(Input::LegTransfers { leg, to });
            }
            ari::Event::Connects { leg, with } => {
                let (leg, with) = (LegId(leg.0), LegId(with.0));
                self.handle(Input::LegConnects { leg, with });
            }
            ari::Event::Device { device, state } => {
                if let Some(number) = self.lines.get(&device).cloned() {
                    let state = services::line_state(state);
                    self.handle(Input::Line { number, state });
                }
            }
            ari::Event::Messages { line, waiting } => {
                self.handle(Input::Messages { line, waiting });
            }
            ari::Event::Setting {
                call,
                user,
                what,
                value,
            } => self.setting(call, &user, &what, &value),
            ari::Event::Chosen { leg, plan } => {
                told(self.bridge.explain(to_bridge(LegId(leg.0)), plan.why));
            }
            ari::Event::Reach { leg, way } => {
                if let Some(Road::Ari { uuid }) = self.legs.get(&LegId(leg.0)) {
                    told(self.bridge.reach(*uuid, way));
                }
            }
            ari::Event::Ended { leg, cause } => {
                let leg = LegId(leg.0);
                self.forget_leg(leg);
                self.leg_ended(leg, from_wire(cause));
            }
        }
    }

    fn registrations(&mut self, registrations: &ami::Registrations) {
        for input in self.trunks.registrations(registrations) {
            self.handle(input);
        }
    }

    /// A telephone changes what becomes of a user's calls.
    fn setting(&mut self, call: ari::IncomingId, user: &str, what: &str, value: &str) {
        let result = match services::setting(what, value) {
            Some(setting) => match self.board.set(user, setting) {
                Ok(()) => "ok",
                Err(refusal) => {
                    tracing::info!(user, what, %refusal, "a setting is refused");
                    word(refusal.cause())
                }
            },
            None => {
                tracing::info!(user, what, value, "no such setting");
                "failed"
            }
        };
        if let Some(ari) = &self.ari {
            told_ari(ari.answer_setting(call, result));
        }
    }

    /// A telephone calls by ARI.
    fn incoming(&mut self, incoming: ari::Incoming) {
        let Some(ari) = self.ari.clone() else { return };
        if self.rooms.board.answers(&incoming.to) {
            return self.room_incoming(&ari, incoming);
        }
        let call = new_call();
        let (number, called) = (incoming.from.number.clone(), incoming.to.clone());
        let from = Caller {
            number: incoming.from.number,
            name: incoming.from.name,
        };
        tracing::info!(%call, channel = incoming.channel, "the telephone's call has an id");
        let arrival = Arrival {
            call,
            to: incoming.to,
            from,
            via: incoming.via,
            trunk: Trunk::Early,
        };
        match self.board.arrive(arrival, Instant::now()) {
            Ok(leg) => {
                let uuid = Uuid::new_v4();
                self.begin(leg, Road::Ari { uuid });
                // The person may take a while to answer; the connection comes after that.
                let ttl = self.board.config().ring_timeout + ATTACH_TIMEOUT;
                self.expect(leg, uuid, call, ParticipantId::CALLER, self.ari_rate, ttl);
                self.process(to_bridge(leg), number.as_deref(), Some(&called));
                told_ari(ari.adopt(incoming.call, to_ari(leg)));
            }
            Err(refusal) => {
                tracing::info!(%call, %refusal, "the telephone is turned away");
                told_ari(ari.refuse(incoming.call, to_wire(refusal.cause())));
            }
        }
    }

    /// Carries out everything the switchboard has decided.
    fn carry_out(&mut self) {
        let mut ended = Vec::new();
        while let Some(output) = self.board.poll_output() {
            match output {
                Output::Ended(record) => ended.push(record),
                other => self.output(other),
            }
        }
        // Now it is known which of their legs go on in other calls.
        for record in ended {
            log_ended(&record);
            let legs = &self.legs;
            self.ledger
                .ended(record, &|leg| legs.contains_key(&leg), Instant::now());
        }
        self.carry_out_rooms();
        let counts = self.board.counts();
        self.shown
            .counts
            .send_if_modified(|old| std::mem::replace(old, counts) != counts);
        if self.retired {
            let names = |users: BTreeSet<UserId>| users.iter().map(ToString::to_string).collect();
            let staying = Some(Staying {
                in_calls: names(self.board.users_in_calls()),
                unanswered: names(self.board.users_unanswered()),
            });
            self.shown
                .staying
                .send_if_modified(|old| match *old == staying {
                    true => false,
                    false => {
                        *old = staying;
                        true
                    }
                });
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Notify { device, event } => self.control.notify(device, event),
            Output::Forget(device) => self.control.forget(device),
            Output::Dial {
                leg,
                call,
                participant,
                route,
                from,
                diverted,
            } => {
                let caller = ari::Caller {
                    name: Some(from.name),
                    number: from.number,
                    sent_on: diverted.map(services::sent_on),
                };
                self.dial(leg, call, participant, &route, caller);
            }
            Output::StartService {
                leg,
                service,
                call,
                participant,
            } => {
                self.start_service(leg, service, call, participant);
            }
            Output::Ring(leg) => self.with_ari(leg, |ari, _| ari.ring(to_ari(leg))),
            Output::Answer(leg) => self.with_ari(leg, |ari, uuid| ari.answer(to_ari(leg), uuid)),
            Output::PlayRingback(leg) => {
                told(self.bridge.play(self.to_bridge(leg), Tone::Ringback));
            }
            Output::StopTone(leg) => told(self.bridge.stop_tone(self.to_bridge(leg))),
            // A telephone without ARI hears silence.
            Output::PlayMusic(leg) => self.with_ari(leg, |ari, _| ari.hold(to_ari(leg))),
            Output::StopMusic(leg) => self.with_ari(leg, |ari, _| ari.resume(to_ari(leg))),
            Output::Move {
                leg,
                call,
                participant,
            } => self.move_leg(leg, call, participant),
            Output::Transfer { leg, progress } => {
                let progress = match progress {
                    TransferProgress::Ringing => ari::TransferProgress::Ringing,
                    TransferProgress::Answered => ari::TransferProgress::Answered,
                    TransferProgress::Failed(cause) => {
                        ari::TransferProgress::Failed(to_wire(cause))
                    }
                };
                self.with_ari(leg, |ari, _| ari.transfer(to_ari(leg), progress));
            }
            Output::Listen {
                leg,
                room,
                participant,
            } => {
                if let Some(place) = place(room, participant) {
                    told(
                        self.bridge
                            .listen(self.to_bridge(leg), place.audio().clone()),
                    );
                }
                // A media WebSocket without ARI rings until we say this; AudioSocket takes no notice.
                if let Some(Road::AudioSocket(named)) = self.legs.get(&leg) {
                    told(self.bridge.answer(*named));
                }
            }
            Output::Unlisten {
                leg,
                room,
                participant,
            } => {
                if let Some(place) = place(room, participant) {
                    told(
                        self.bridge
                            .unlisten(self.to_bridge(leg), place.audio().clone()),
                    );
                }
            }
            Output::SendDigits { leg, digits } => self.send_digits(leg, &digits),
            Output::Lamp { line, lamp } => {
                if let Some(ari) = &self.ari {
                    told_ari(ari.lamp(&line, to_lamp(lamp)));
                }
            }
            Output::Mailbox { line, watched } => {
                if let Some(ari) = &self.ari {
                    told_ari(ari.mailbox(&line, watched));
                }
            }
            Output::Keep { user, rules } => {
                if let Some(keeper) = &mut self.rules {
                    keeper.keep(user, rules);
                }
            }
            Output::HangUp { leg, cause } => self.hang_up(leg, cause),
            // Kept back by the caller.
            Output::Ended(_) => {}
        }
    }

    fn move_leg(&self, leg: LegId, call: CallId, participant: ParticipantId) {
        let Some(place) = place(call, participant) else {
            return;
        };
        tracing::info!(%leg, %call, %participant, "the leg goes on in another call");
        told(self.bridge.join(self.to_bridge(leg), place));
    }

    /// ARI sends digits as they should be; a leg without it gets them as tones in its sound.
    fn send_digits(&self, leg: LegId, digits: &[Digit]) {
        let digits = digits.iter().copied().map(Digit::as_char);
        match self.legs.get(&leg) {
            Some(Road::Ari { .. }) => {
                self.with_ari(leg, |ari, _| {
                    ari.dtmf(to_ari(leg), &digits.collect::<String>())
                });
            }
            Some(Road::AudioSocket(named)) => {
                told(self.bridge.send_digits(*named, digits.collect()));
            }
            Some(Road::Service) | None => {}
        }
    }

    fn begin(&mut self, leg: LegId, road: Road) {
        self.ledger.begin(leg);
        self.legs.insert(leg, road);
    }

    fn dial(
        &mut self,
        leg: LegId,
        call: CallId,
        participant: ParticipantId,
        route: &Route,
        caller: ari::Caller,
    ) {
        let Some(ari) = self.ari.clone() else {
            return self.handle(Input::LegEnded {
                leg,
                cause: Cause::Unreachable,
            });
        };
        let (number, trunk) = (&route.number, route.trunk.as_ref());
        let trunk = trunk.map(TrunkName::as_str);
        let from = caller.number.as_deref();
        tracing::info!(%call, %leg, %number, trunk, from, "a telephone is dialled");
        let uuid = Uuid::new_v4();
        self.begin(leg, Road::Ari { uuid });
        if let Some(trunk) = trunk {
            self.ledger.goes_by(leg, trunk);
            metrics::counter!("moqrelay_trunk_calls_total", "trunk" => trunk.to_owned())
                .increment(1);
        }
        self.expect(leg, uuid, call, participant, self.ari_rate, ATTACH_TIMEOUT);
        self.process(to_bridge(leg), Some(number.as_str()), None);
        if let Err(error) = ari.dial(to_ari(leg), number.as_str(), trunk, caller, uuid) {
            tracing::warn!(%call, %leg, %error, "the telephone is not dialled");
            self.forget_leg(leg);
            self.handle(Input::LegEnded {
                leg,
                cause: Cause::Failed,
            });
        }
    }

    fn start_service(
        &mut self,
        leg: LegId,
        service: Service,
        call: CallId,
        participant: ParticipantId,
    ) {
        let service = match service {
            Service::Echo => bridge::Service::Echo,
            Service::Milliwatt => bridge::Service::Milliwatt,
        };
        let Some(place) = place(call, participant) else {
            return;
        };
        self.begin(leg, Road::Service);
        told(
            self.bridge
                .start_service(to_bridge(leg), service, place, None),
        );
    }

    fn hang_up(&mut self, leg: LegId, cause: Cause) {
        match self.legs.get(&leg) {
            Some(Road::Ari { .. }) => {
                if let Some(ari) = &self.ari {
                    told_ari(ari.hang_up(to_ari(leg), to_wire(cause)));
                }
                told(self.bridge.hang_up(to_bridge(leg)));
            }
            Some(Road::AudioSocket(named)) => {
                told(self.bridge.hang_up(*named));
            }
            Some(Road::Service) => told(self.bridge.hang_up(to_bridge(leg))),
            None => {}
        }
        self.legs.remove(&leg);
    }

    fn forget_leg(&mut self, leg: LegId) {
        if let Some(Road::Ari { .. }) = self.legs.remove(&leg) {
            told(self.bridge.hang_up(to_bridge(leg)));
        }
    }

    fn with_ari(
        &self,
        leg: LegId,
        act: impl FnOnce(&ari::Handle, Uuid) -> Result<(), ari::CommandRefused>,
    ) {
        if let (Some(Road::Ari { uuid }), Some(ari)) = (self.legs.get(&leg), &self.ari) {
            told_ari(act(ari, *uuid));
        }
    }

    fn to_bridge(&self, leg: LegId) -> bridge::LegId {
        match self.legs.get(&leg) {
            Some(Road::AudioSocket(named)) => *named,
            _ => to_bridge(leg),
        }
    }

    fn to_room(&self, leg: bridge::LegId) -> LegId {
        self.by_bridge.get(&leg).copied().unwrap_or(LegId(leg.0))
    }
}

/// Returns one direction of a leg in the words of the protocol.
fn heard(quality: Option<&leg::Quality>, silent: Option<leg::Cause>) -> signal::Heard {
    signal::Heard {
        mos: quality.map(|it| hundredths(it.rating.mos())),
        r: quality.map(|it| hundredths(it.rating.r())),
        lost_percent: quality.map(|it| hundredths(it.lost * 100.0)),
        delay_ms: quality.map(|it| millis(it.delay)),
        jitter_ms: quality.map(|it| millis(it.jitter)),
        silent: silent.and_then(silence),
    }
}

fn silence(cause: leg::Cause) -> Option<signal::Silence> {
    Some(match cause {
        leg::Cause::TelephoneNeverSent => signal::Silence::TelephoneNeverSent,
        leg::Cause::TelephoneStopped => signal::Silence::TelephoneStopped,
        leg::Cause::TelephoneMute => signal::Silence::TelephoneMute,
        leg::Cause::OthersNeverSent => signal::Silence::OthersNeverSent,
        leg::Cause::OthersStopped => signal::Silence::OthersStopped,
        _ => return None,
    })
}

/// The story of a call ends with this line.
fn log_ended(record: &CallRecord) {
    tracing::info!(
        call = %record.call,
        from = record.from.id,
        to = record.to.id,
        cause = ?record.cause,
        ended_by = record.ended_by.map(|by| by.to_string()),
        went_on_in = record.went_on_in.map(|call| call.to_string()),
        rang_ms = record.rang.map(|at| millis(at - record.started)),
        answered_ms = record.answered.map(|at| millis(at - record.started)),
        talked_s = record.talked().as_secs_f32(),
        "the call has ended"
    );
    for leg in &record.legs {
        tracing::info!(
            call = %record.call,
            participant = %leg.participant,
            party = leg.party.id,
            leg = leg.leg.map(|leg| leg.to_string()),
            began_ms = millis(leg.began - record.started),
            talked_s = leg.talked().as_secs_f32(),
            cause = ?leg.cause,
            "a leg's part has ended"
        );
    }
    metrics::counter!("moqrelay_calls_ended_total", "cause" => word(record.cause)).increment(1);
    if let Some(answered) = record.answered {
        metrics::histogram!("moqrelay_call_answer_seconds")
            .record((answered - record.started).as_secs_f64());
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn new_call() -> CallId {
    CallId(Uuid::new_v4().as_u128())
}

fn place(call: CallId, participant: ParticipantId) -> Option<Place> {
    // Never none: 32 hex digits and a short name are far below the longest namespace.
    Place::new(call.to_string(), participant.to_string()).ok()
}

fn to_bridge(leg: LegId) -> bridge::LegId {
    bridge::LegId(leg.0)
}

/// A command that is not taken leaves a leg in a wrong state: the operator should know.
fn told(result: Result<(), bridge::CommandError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the bridge was not told");
    }
}

fn told_ari(result: Result<(), ari::CommandRefused>) {
    if let Err(error) = result {
        tracing::warn!(%error, "ARI was not told");
    }
}

fn to_ari(leg: LegId) -> ari::LegId {
    ari::LegId(leg.0)
}

async fn next(events: &mut Option<mpsc::Receiver<ari::Event>>) -> Option<ari::Event> {
    match events {
        Some(events) => events.recv().await,
        None => future::pending().await,
    }
}

/// Waits for news; for ever when there will be none.
async fn changed(
    watching: &mut Option<watch::Receiver<ami::Registrations>>,
) -> Option<ami::Registrations> {
    let Some(watching) = watching else {
        return future::pending().await;
    };
    match watching.changed().await {
        Ok(()) => Some(watching.borrow_and_update().clone()),
        Err(_) => future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => future::pending().await,
    }
}

fn cause_of(reason: Reason) -> Cause {
    match reason {
        Reason::HungUp | Reason::Closed => Cause::Normal,
        Reason::Expired => Cause::Unreachable,
        Reason::Stalled | Reason::Broken => Cause::Lost,
        _ => Cause::Failed,
    }
}

/// What the end of its sound means for a call that ARI has not ended.
fn without_sound(reason: Reason) -> Cause {
    match reason {
        Reason::Closed => Cause::Lost,
        reason => cause_of(reason),
    }
}

/// A cause's name in records and metrics.
pub(crate) fn word(cause: Cause) -> &'static str {
    to_wire(cause).as_str()
}

fn to_wire(cause: Cause) -> signal::Cause {
    match cause {
        Cause::Normal => signal::Cause::Normal,
        Cause::Cancelled => signal::Cause::Cancelled,
        Cause::Rejected => signal::Cause::Rejected,
        Cause::Busy => signal::Cause::Busy,
        Cause::NoAnswer => signal::Cause::NoAnswer,
        Cause::NotFound => signal::Cause::NotFound,
        Cause::Unreachable => signal::Cause::Unreachable,
        Cause::AnsweredElsewhere => signal::Cause::AnsweredElsewhere,
        Cause::Lost => signal::Cause::Lost,
        Cause::Transferred => signal::Cause::Transferred,
        Cause::TooLong => signal::Cause::TooLong,
        Cause::Failed => signal::Cause::Failed,
        Cause::Shutdown => signal::Cause::Shutdown,
    }
}

fn to_lamp(lamp: Lamp) -> ari::Lamp {
    match lamp {
        Lamp::Unavailable => ari::Lamp::Unavailable,
        Lamp::Idle => ari::Lamp::Idle,
        Lamp::Ringing => ari::Lamp::Ringing,
        Lamp::InUse => ari::Lamp::InUse,
        Lamp::RingInUse => ari::Lamp::RingInUse,
        Lamp::Busy => ari::Lamp::Busy,
    }
}

fn from_wire(cause: signal::Cause) -> Cause {
    match cause {
        signal::Cause::Normal => Cause::Normal,
        signal::Cause::Cancelled => Cause::Cancelled,
        signal::Cause::Rejected => Cause::Rejected,
        signal::Cause::Busy => Cause::Busy,
        signal::Cause::NoAnswer => Cause::NoAnswer,
        signal::Cause::NotFound => Cause::NotFound,
        signal::Cause::Unreachable => Cause::Unreachable,
        signal::Cause::AnsweredElsewhere => Cause::AnsweredElsewhere,
        signal::Cause::Lost => Cause::Lost,
        signal::Cause::Transferred => Cause::Transferred,
        signal::Cause::TooLong => Cause::TooLong,
        signal::Cause::Failed => Cause::Failed,
        signal::Cause::Shutdown => Cause::Shutdown,
    }
}
