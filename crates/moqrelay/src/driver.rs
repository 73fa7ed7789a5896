//! The driver: owns the switchboard, tells it what happens, and carries out what it decides.
//!
//! Everything that decides is in `moqrelay-room`; everything that moves sound is in the engines. Here
//! the names of one are looked up in the tables of the other, and nothing else.

mod asterisk;
mod legs;
mod output;
mod rooms;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{self, Future},
    time::{Duration, Instant},
};

use moqrelay_bridge::{self as bridge, Bridge, ami, ari, leg::OutRate};
use moqrelay_control::{Control, Request, Requests};
use moqrelay_relay::Relay;
use moqrelay_room::{Config, Counts, Input, LegId, Number, Switchboard, conference};
use moqrelay_wire::signal;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use self::{rooms::Rooms, words::told};
pub(crate) use self::{
    rooms::{Names as RoomNames, Voice as RoomVoice},
    words::word,
};
use crate::{
    cdr::Cdr,
    ledger::Ledger,
    processors::Processors,
    room_file,
    rules::Keeper,
    speech::Spoken,
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
    /// Seats that each room has for those who decode voices themselves.
    pub(crate) seats: usize,
    /// What telephones in rooms hear.
    pub(crate) room_voice: RoomVoice,
    /// What speaks names in rooms, and what it has spoken, if anything does.
    pub(crate) names: Option<(RoomNames, mpsc::Receiver<Spoken>)>,
    /// What files may be brought into rooms, if any.
    pub(crate) room_files: Option<signal::FilesTaken>,
    /// Where rooms that operators set up are kept, if anywhere.
    pub(crate) room_keeper: Option<room_file::Keeper>,
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
        let (names, mut spoken) = engines.names.unzip();
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
            rooms: Rooms::new(
                engines.rooms,
                engines.seats,
                engines.relay,
                engines.room_voice,
                names,
                engines.room_files,
                engines.room_keeper,
            ),
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
                Some(spoken) = next(&mut spoken) => driver.spoken(spoken),
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
        self.pass_time_in_rooms(now);
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
                self.room_device_back(device, attachment);
            }
            Request::Signal {
                device,
                request,
                reply,
            } => {
                reply.send(self.board.request(device, request, now));
            }
            Request::Room {
                device,
                attachment,
                visitor,
                request,
                reply,
            } => self.room_request(device, attachment, visitor, request, reply),
            Request::Operate { operation, reply } => match self.operate_rooms(operation) {
                Ok(done) => reply.send(Ok(done)),
                Err(denied) => reply.deny(denied),
            },
            Request::File { request, reply } => match self.room_file(request) {
                Ok(done) => reply.send(Ok(done)),
                Err(denied) => reply.deny(denied),
            },
            Request::Dropped { device, attachment } => {
                self.room_device_lost(device, attachment);
                self.handle(Input::Dropped { device, attachment });
            }
            Request::Ticket { arrival, reply } => reply.send(self.ticket(arrival)),
        }
    }
}

async fn next<T>(events: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
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
