//! What to do about each event: the whole of call steering, without I/O.

mod back;
mod doom;
mod lamps;
mod leg;
mod messages;
mod requests;
mod responses;
mod sync;
mod trunks;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use moqrelay_wire::signal::Cause;

use super::message::is_digit;
use super::road::{Abilities, Calls, Choice};
use super::{Caller, Command, Config, Event, Failure, Incoming, IncomingId, LegId};
use super::{Message, Request, RequestId, Response, TransferProgress, to_q850};
use doom::Doom;
use lamps::Shown;
use leg::{Joining, Leg, Part, Phase, Piece, Saying};
use responses::Purpose;
use sync::Link;
use trunks::Watched;
use watch::Watch;

/// How long an incoming call waits to be adopted or refused.
pub const ADOPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the set-up of a leg may take in Asterisk; some milliseconds are usual.
const SET_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than the ring timeout we wait for Asterisk to end the ringing itself.
const RING_GRACE: Duration = Duration::from_secs(3);
/// How long the cause of a leg's end may be behind its leaving.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest number, as in the protocol.
const NUMBER_LEN_MAX: usize = 32;
/// The most digits at once, as in the protocol.
const DIGITS_MAX: usize = 32;
/// Half a second without a digit, for Asterisk and in the protocol.
const PAUSE: char = 'w';
/// The longest name or number that is taken over from the network, in characters.
const TEXT_LEN_MAX: usize = 128;

/// Every leg that Asterisk carries for us.
///
/// Call a `handle…` method for what happened and [`handle_timeout`](Self::handle_timeout) at the
/// time [`poll_timeout`](Self::poll_timeout) gave; after either, drain
/// [`poll_output`](Self::poll_output). Times must not go backwards. Each request must be followed
/// by exactly one [`handle_response`](Self::handle_response).
#[derive(Debug)]
pub struct Steering {
    config: Config,
    /// Begins the ids of what we make, in whatever run of the daemon.
    mark: String,
    /// Like `prefix`, of runs that still have calls.
    elders: Vec<String>,
    /// Another run takes what comes in.
    aside: bool,
    /// The application of this run alone.
    own_app: String,
    /// Begins the ids of what we make in this run.
    prefix: String,
    link: Link,
    abilities: Abilities,
    legs: BTreeMap<LegId, Leg>,
    /// The channels of the legs.
    channels: BTreeMap<String, (LegId, Piece)>,
    /// Incoming calls without a leg, by channel.
    waiting: BTreeMap<String, Waiting>,
    /// What is still to be removed from Asterisk, by id.
    dooms: BTreeMap<String, Doom>,
    /// The trunks that have an endpoint.
    trunks: Vec<Watched>,
    /// When their endpoints are asked for again.
    trunks_due: Option<Instant>,
    /// What lamps show, by line.
    lamps: BTreeMap<String, Shown>,
    /// Devices whose states are heard, by name.
    watches: BTreeMap<String, Watch>,
    /// Calls that ask for a setting and wait for the answer.
    settings: BTreeSet<String>,
    pending: BTreeMap<RequestId, Purpose>,
    next_request: u64,
    outputs: VecDeque<Output>,
}

/// Something to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a request.
    Request(Request),
    /// Tell the daemon.
    Event(Event),
    /// The connection is of no use: close the events WebSocket and open it again.
    Reconnect,
    /// Another client has taken our application's place: the same, but late.
    GiveWay,
    /// Another run takes what comes in from now on, but for these channels and those that bear the
    /// name of a run. From now on an events WebSocket is opened for the application of this run alone.
    StepAside(BTreeSet<String>),
}

/// An incoming call without a leg.
#[derive(Debug)]
struct Waiting {
    until: Instant,
    /// Known since before the connection was lost.
    stale: bool,
    /// A SIP telephone's own channel.
    sip: bool,
    /// How its road is chosen.
    choice: Choice,
}

impl Steering {
    /// Returns a steering that is not connected. `run` tells this run of the daemon from others:
    /// what an earlier one left in Asterisk is removed.
    pub fn new(config: Config, run: u32) -> Self {
        let mark = format!("{}-leg-", config.app);
        let prefix_of = |run: u32| format!("{mark}{run:08x}-");
        let (prefix, own_app) = (prefix_of(run), config.own_app(run));
        let elders = config.elders.iter().copied().map(prefix_of).collect();
        let watches = watch::of_lines(&config);
        Self {
            trunks: Watched::all(&config.trunks),
            trunks_due: None,
            config,
            mark,
            elders,
            aside: false,
            own_app,
            prefix,
            link: Link::Down,
            abilities: Abilities::default(),
            legs: BTreeMap::new(),
            channels: BTreeMap::new(),
            waiting: BTreeMap::new(),
            dooms: BTreeMap::new(),
            lamps: BTreeMap::new(),
            watches,
            settings: BTreeSet::new(),
            pending: BTreeMap::new(),
            next_request: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Returns how many legs there are.
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// Returns whether nothing of ours is in Asterisk or on its way there.
    pub fn is_clean(&self) -> bool {
        self.legs.is_empty()
            && self.waiting.is_empty()
            && self.dooms.is_empty()
            && self.pending.values().all(Purpose::is_only_a_question)
    }

    /// Returns what to do next, or nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let legs = self.legs.values().filter_map(|leg| leg.phase.until());
        let waiting = self.waiting.values().map(|waiting| waiting.until);
        let dooms = self.dooms.values().filter_map(Doom::due);
        legs.chain(waiting)
            .chain(dooms)
            .chain(self.trunks_due)
            .min()
    }

    /// Applies what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let legs: Vec<_> = self
            .legs
            .iter()
            .filter(|(_, leg)| late(leg.phase.until()))
            .map(|(id, _)| *id)
            .collect();
        for id in legs {
            let Some(leg) = self.legs.get(&id) else {
                continue;
            };
            match leg.phase {
                Phase::Offered { .. } | Phase::Early { .. } | Phase::Dialling { .. } => {
                    self.end(id, Cause::NoAnswer);
                }
                Phase::SettingUp { .. } | Phase::Answering { .. } => self.end(id, Cause::Failed),
                Phase::Leaving { .. } => {
                    let cause = leg.cause_of_end(leg.q850.unwrap_or(16));
                    self.end(id, cause);
                }
                Phase::Up => {}
            }
        }
        let calls: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, w)| w.until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for channel in calls {
            self.waiting.remove(&channel);
            self.doom_channel(channel, to_q850(Cause::Failed), None);
        }
        self.retry_dooms(now);
        if late(self.trunks_due) {
            self.ask_trunks(now);
        }
    }

    /// Applies a command of the daemon.
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Adopt { call, leg } => self.adopt(call, leg, now),
            Command::Refuse {
                call: IncomingId(channel),
                cause,
            } => {
                if self.waiting.remove(&channel).is_some() {
                    self.turn_away(channel, cause);
                }
            }
            Command::Dial {
                leg,
                number,
                trunk,
                caller,
                uuid,
            } => {
                let to = (number.as_str(), trunk.as_deref());
                self.dial(leg, to, &caller, uuid, now);
            }
            Command::StepAside => self.step_aside(),
            Command::StepBack => self.step_back(),
            Command::Ring(leg) => self.ring(leg),
            Command::Early { leg, uuid } => {
                if let Some(Phase::Offered { until }) = self.phase(leg) {
                    self.set_phase(leg, Phase::Early { until });
                    self.build_audio(leg, uuid);
                }
            }
            Command::Answer { leg, uuid } => self.answer(leg, uuid, now),
            Command::HangUp { leg, cause } => self.end(leg, cause),
            Command::Dtmf { leg, digits } => self.dtmf(leg, &digits),
            Command::Transfer { leg, progress } => self.report_transfer(leg, progress),
            Command::Lamp { line, lamp } => self.light(line, lamp),
            Command::Mailbox { line, watched } => self.watch_mailbox(&line, watched),
            Command::AnswerSetting {
                call: IncomingId(channel),
                result,
            } => self.answer_setting(channel, result),
            Command::Hold(leg) => self.hold(leg, true),
            Command::Resume(leg) => self.hold(leg, false),
        }
    }

    /// Ends every leg and turns every waiting call away. [`is_clean`](Self::is_clean) says when
    /// Asterisk has obeyed.
    pub fn handle_shutdown(&mut self) {
        self.darken();
        let legs: Vec<_> = self.legs.keys().copied().collect();
        for id in legs {
            self.end(id, Cause::Shutdown);
        }
        for (channel, _) in std::mem::take(&mut self.waiting) {
            self.doom_channel(channel, to_q850(Cause::Shutdown), None);
        }
    }

    fn adopt(&mut self, call: IncomingId, id: LegId, now: Instant) {
        if self.legs.contains_key(&id) {
            tracing::error!(leg = %id, "leg adopted twice");
            return;
        }
        let IncomingId(channel) = call;
        let Some(waiting) = self.waiting.remove(&channel) else {
            self.tell(Event::Ended {
                leg: id,
                cause: Cause::Cancelled,
            });
            return;
        };
        if waiting.sip {
            self.take_transfers(&channel);
        }
        self.channels.insert(channel.clone(), (id, Piece::Far));
        let until = now + self.config.ring_timeout + RING_GRACE;
        let phase = Phase::Offered { until };
        let mut leg = Leg::new(channel, Part::Ready, phase, waiting.choice);
        leg.stale = waiting.stale;
        self.legs.insert(id, leg);
        self.ask_link(id);
        if waiting.choice == Choice::Cheapest {
            self.ask_codec(id);
        }
    }

    fn dial(
        &mut self,
        id: LegId,
        (number, trunk): (&str, Option<&str>),
        caller: &Caller,
        uuid: uuid::Uuid,
        now: Instant,
    ) {
        if self.legs.contains_key(&id) {
            tracing::error!(leg = %id, "leg dialled twice");
            return;
        }
        // Letters would reach the dialplan's special extensions, '/' and '&' other channels.
        let plain = |c: u8| c.is_ascii_digit() || matches!(c, b'*' | b'#' | b'+');
        let refusal = if !matches!(self.link, Link::Up) {
            Some(Cause::Unreachable)
        } else if number.is_empty() || number.len() > NUMBER_LEN_MAX || !number.bytes().all(plain) {
            Some(Cause::NotFound)
        } else if self.is_full() {
            Some(Cause::Failed)
        } else {
            None
        };
        if let Some(cause) = refusal {
            self.tell(Event::Ended { leg: id, cause });
            return;
        }
        let far = self.name(id, "far");
        self.channels.insert(far.clone(), (id, Piece::Far));
        let until = now + SET_UP_TIMEOUT;
        let choice = self.config.choice_for(Calls::Out, number);
        let phase = Phase::SettingUp { until };
        let mut leg = Leg::new(far, Part::Absent, phase, choice);
        // Asterisk writes a call's record by the channel that was made first, and ours is answered from the beginning.
        leg.sound = Some(uuid);
        self.legs.insert(id, leg);
        self.choose_way(id);
        self.create_far(id, number, trunk, caller);
    }

    fn answer(&mut self, id: LegId, uuid: uuid::Uuid, now: Instant) {
        let until = now + SET_UP_TIMEOUT;
        let answering = Phase::Answering {
            until,
            saying: Saying::Not,
        };
        match self.phase(id) {
            Some(Phase::Offered { .. }) => {
                self.set_phase(id, answering);
                self.build_audio(id, uuid);
            }
            Some(Phase::Early { .. }) => {
                self.set_phase(id, answering);
                self.advance(id, now);
            }
            _ => {}
        }
    }

    /// Takes the next step of a leg's set-up if all it needs is there.
    fn advance(&mut self, id: LegId, now: Instant) {
        let Some(leg) = self.legs.get(&id) else {
            return;
        };
        let sound = leg.mix == Part::Ready && leg.external == Part::Ready;
        match (leg.phase, leg.joining) {
            (Phase::SettingUp { .. }, Joining::Not) if sound && leg.far_part == Part::Ready => {
                self.join(id);
            }
            (Phase::SettingUp { .. }, Joining::Done) => {
                let until = now + self.config.ring_timeout + RING_GRACE;
                self.set_phase(id, Phase::Dialling { until });
                self.start_dialling(id);
                self.ask_link(id);
            }
            (Phase::Early { .. }, Joining::Not) if sound => self.join(id),
            (
                Phase::Answering {
                    until,
                    saying: Saying::Not,
                },
                _,
            ) if sound => {
                self.set_phase(
                    id,
                    Phase::Answering {
                        until,
                        saying: Saying::Asked,
                    },
                );
                self.say_answer(id);
            }
            (
                Phase::Answering {
                    saying: Saying::Done,
                    ..
                },
                Joining::Not,
            ) => self.join(id),
            (
                Phase::Answering {
                    saying: Saying::Done,
                    ..
                },
                Joining::Done,
            ) => {
                self.set_phase(id, Phase::Up);
            }
            _ => {}
        }
    }

    /// Ends a leg: tells the daemon, and removes what is left of it in Asterisk.
    fn end(&mut self, id: LegId, cause: Cause) {
        let Some(mut leg) = self.legs.remove(&id) else {
            return;
        };
        self.tell(Event::Ended { leg: id, cause });
        self.channels.remove(&leg.far);
        let external = self.name(id, "audio");
        self.channels.remove(&external);
        let goes_back = leg.is_unanswered_caller() && leg.farewell.is_none();
        if goes_back && leg.far_part == Part::Ready {
            self.turn_away(leg.far.clone(), cause);
            leg.far_part = Part::Absent;
        }
        // The far end goes first: it is told the cause, after all else that it was told.
        if let Some(after) = leg.far_part.to_remove() {
            self.doom_channel(leg.far, to_q850(cause), after.or(leg.farewell));
        }
        if let Some(after) = leg.external.to_remove() {
            self.doom_channel(external, to_q850(Cause::Normal), after);
        }
        if let Some(after) = leg.mix.to_remove() {
            self.doom_bridge(self.name(id, "mix"), after);
        }
    }

    fn dtmf(&mut self, id: LegId, digits: &str) {
        let speaks = matches!(self.phase(id), Some(Phase::Up | Phase::Dialling { .. }));
        let valid = (1..=DIGITS_MAX).contains(&digits.len())
            && digits.chars().all(|c| is_digit(c) || c == PAUSE);
        if speaks && valid {
            self.send_digits(id, digits);
        } else {
            tracing::debug!(leg = %id, speaks, valid, "digits not sent");
        }
    }

    fn is_full(&self) -> bool {
        self.legs.len() + self.waiting.len() >= self.config.legs_max
    }

    fn phase(&self, id: LegId) -> Option<Phase> {
        self.legs.get(&id).map(|leg| leg.phase)
    }

    fn set_phase(&mut self, id: LegId, phase: Phase) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.phase = phase;
        }
    }

    /// Returns the id of something of ours in Asterisk.
    fn name(&self, leg: LegId, what: &str) -> String {
        format!("{}{}-{what}", self.prefix, leg.0)
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
