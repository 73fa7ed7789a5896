//! The driver's part for rooms: carries out what [`Conferences`] decide.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use moqrelay_bridge::{
    self as bridge, Chime, Place, ari,
    leg::{Beep, OutRate, Spec},
};
use moqrelay_relay::{
    FullTrackName, Namespace, Relay, Rights,
    track::{Info, Object, Writer},
};
use moqrelay_room::{
    Arrival, Caller, Cause, Digit, LegId, ParticipantId, Reason, Refusal,
    conference::{
        self, Applicant, Conferences, Denied, Fresh, Happened, Input, Key, Kind, Leaving, Output,
        Prompt, Role, RoomId, RoomName, What, Who,
    },
};
use moqrelay_wire::conference as wire;
use uuid::Uuid;

use super::{
    ATTACH_TIMEOUT, Driver, Road,
    words::{to_ari, to_bridge, to_wire, told, told_ari},
};

/// Legs of rooms have names from here on, those of calls below, so that each event finds the one who knows the leg.
const LEGS_FIRST: u64 = 1 << 48;

/// How often a roster is written again, for those who came since: the relay keeps a track for a minute.
const ROSTER_INTERVAL: Duration = Duration::from_secs(5);

/// Tickets for rooms that wait for their connection.
const TICKETS_MAX: usize = 500;

/// What the driver knows of rooms.
pub(super) struct Rooms {
    pub(super) board: Conferences,
    relay: Relay,
    tracks: BTreeMap<RoomId, Tracks>,
    /// Telephones that were promised a connection, and what they dialled.
    tickets: BTreeMap<LegId, (String, Caller)>,
    legs: u64,
    roster_due: Instant,
}

/// What the daemon itself publishes in a room.
struct Tracks {
    roster: Writer,
    events: Writer,
    rosters: u64,
    happened: u64,
}

impl Rooms {
    pub(super) fn new(config: conference::Config, relay: Relay) -> Self {
        Self {
            board: Conferences::new(config),
            relay,
            tracks: BTreeMap::new(),
            tickets: BTreeMap::new(),
            legs: LEGS_FIRST,
            roster_due: Instant::now(),
        }
    }

    /// Returns when something is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let rosters = (!self.tracks.is_empty()).then_some(self.roster_due);
        self.board.poll_timeout().into_iter().chain(rosters).min()
    }

    /// Tells whether nobody is in any room.
    pub(super) fn is_empty(&self) -> bool {
        self.board.counts() == conference::Counts::default()
    }

    /// Says what is left to a participant whatever its token says.
    pub(super) fn revoke(&self, place: &Place, left: Rights, until: SystemTime) {
        let participant = place.audio().namespace();
        self.relay.revoke(participant, left, until);
    }

    fn new_leg(&mut self) -> LegId {
        let leg = LegId(self.legs);
        self.legs += 1;
        leg
    }

    fn open(&mut self, room: RoomId, name: &RoomName) {
        let track = |track: &'static str| {
            let room = room.to_string();
            let fields = ["room", &room].map(|field| Bytes::copy_from_slice(field.as_bytes()));
            let name = FullTrackName::new(Namespace::new(fields)?, track);
            Ok::<_, anyhow::Error>(self.relay.publish(&name?, Info::default())?)
        };
        match (track("roster"), track("events")) {
            (Ok(roster), Ok(events)) => {
                let tracks = Tracks {
                    roster,
                    events,
                    rosters: 0,
                    happened: 0,
                };
                self.tracks.insert(room, tracks);
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%room, %name, %error, "the room's roster is not published");
            }
        }
    }

    fn write_roster(&mut self, room: RoomId) {
        let (Some(tracks), Some(roster)) = (self.tracks.get_mut(&room), self.board.roster(room))
        else {
            return;
        };
        let text = to_wire_roster(&roster).to_json();
        let object = whole_group(tracks.rosters, text);
        tracks.rosters += 1;
        if let Err(error) = tracks.roster.write(object) {
            tracing::debug!(%room, %error, "a roster was not published");
        }
    }

    fn write_event(&mut self, room: RoomId, happened: Happened) {
        tracing::info!(%room, seq = happened.seq, by = ?happened.by, what = ?happened.what, "in the room");
        let Some(tracks) = self.tracks.get_mut(&room) else {
            return;
        };
        let object = whole_group(tracks.happened, to_wire_event(happened).to_json());
        tracks.happened += 1;
        if let Err(error) = tracks.events.write(object) {
            tracing::debug!(%room, %error, "an event was not published");
        }
    }

    /// Does what is due at `now`.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.board.handle_timeout(now);
        if now < self.roster_due {
            return;
        }
        self.roster_due = now + ROSTER_INTERVAL;
        let rooms: Vec<RoomId> = self.tracks.keys().copied().collect();
        for room in rooms {
            self.write_roster(room);
        }
    }
}

/// Telephones.
impl Driver {
    /// A telephone calls a room's number by ARI.
    pub(super) fn room_incoming(&mut self, ari: &ari::Handle, incoming: ari::Incoming) {
        let leg = self.rooms.new_leg();
        let uuid = Uuid::new_v4();
        let (number, name) = (incoming.from.number, incoming.from.name);
        let caller = applicant(leg, &Caller { number, name });
        tracing::info!(%leg, channel = incoming.channel, to = incoming.to, "a telephone calls a room");
        let now = Instant::now();
        match self
            .rooms
            .board
            .dial(leg, &incoming.to, caller, fresh(), now)
        {
            Ok(()) => {
                self.legs.insert(leg, Road::Ari { uuid });
                self.expect_room_leg(leg, uuid, self.ari_rate, ATTACH_TIMEOUT);
                told_ari(ari.adopt(incoming.call, to_ari(leg)));
            }
            Err(denied) => {
                tracing::info!(%leg, %denied, "the telephone is turned away");
                told_ari(ari.refuse(incoming.call, to_wire(cause_of(denied))));
            }
        }
    }

    /// Prepares the connection of a telephone that is to dial a room's number.
    pub(super) fn room_ticket(
        &mut self,
        arrival: Arrival,
        uuid: Uuid,
        ttl: Duration,
    ) -> Result<(), Refusal> {
        if self.rooms.tickets.len() >= TICKETS_MAX {
            return Err(Refusal {
                reason: Reason::TooMany,
                text: "too many tickets wait for their connection".into(),
            });
        }
        let leg = self.rooms.new_leg();
        self.legs.insert(leg, Road::AudioSocket(to_bridge(leg)));
        self.rooms.tickets.insert(leg, (arrival.to, arrival.from));
        self.expect_room_leg(leg, uuid, OutRate::Follow, ttl);
        Ok(())
    }

    fn expect_room_leg(&mut self, leg: LegId, uuid: Uuid, rate: OutRate, ttl: Duration) {
        let spec = Spec {
            leg: to_bridge(leg),
            place: None,
            rate,
        };
        if let Err(error) = self.bridge.expect(uuid, spec, ttl) {
            tracing::warn!(%leg, %error, "the bridge does not take the leg");
            self.legs.remove(&leg);
            self.rooms.tickets.remove(&leg);
            self.room_input(Input::LegEnded(leg));
        }
    }

    /// The connection of a room's leg is there.
    pub(super) fn room_leg_attached(&mut self, leg: LegId) {
        let Some((to, from)) = self.rooms.tickets.remove(&leg) else {
            return;
        };
        let caller = applicant(leg, &from);
        let dialled = self
            .rooms
            .board
            .dial(leg, &to, caller, fresh(), Instant::now());
        if let Err(denied) = dialled {
            tracing::info!(%leg, %denied, "the telephone is turned away");
            self.hang_up(leg, cause_of(denied));
        }
    }

    pub(super) fn room_leg_ended(&mut self, leg: LegId) {
        self.rooms.tickets.remove(&leg);
        self.room_input(Input::LegEnded(leg));
    }

    pub(super) fn room_leg_digit(&mut self, leg: LegId, digit: Digit) {
        self.room_input(Input::LegDigit(leg, digit));
    }

    pub(super) fn room_input(&mut self, input: Input) {
        self.rooms.board.handle(input, Instant::now());
    }

    /// Carries out everything that rooms have decided.
    pub(super) fn carry_out_rooms(&mut self) {
        let mut any = false;
        while let Some(output) = self.rooms.board.poll_output() {
            self.room_output(output);
            any = true;
        }
        if any {
            let counts = self.rooms.board.counts();
            #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
            let value = |count: usize| count as f64;
            metrics::gauge!("moqrelay_rooms").set(value(counts.rooms));
            metrics::gauge!("moqrelay_room_participants").set(value(counts.people));
        }
    }

    fn room_output(&mut self, output: Output) {
        match output {
            Output::Opened(room, name) => {
                tracing::info!(%room, %name, "the room opens");
                self.rooms.open(room, &name);
                if let Some(mix) = mix_place(room) {
                    self.bridge.publish_mix(mix);
                }
                self.bridge.publish_seats(&room.to_string());
            }
            Output::Closed(room, name) => {
                tracing::info!(%room, %name, "the room closes");
                self.rooms.tracks.remove(&room);
                if let Some(mix) = mix_place(room) {
                    self.bridge.end_mix(mix);
                }
                self.bridge.end_seats(&room.to_string());
            }
            Output::Answer(leg) => match self.legs.get(&leg) {
                Some(Road::Ari { .. }) => {
                    self.with_ari(leg, |ari, uuid| ari.answer(to_ari(leg), uuid));
                }
                _ => told(self.bridge.answer(to_bridge(leg))),
            },
            Output::Prompt(leg, prompt) => {
                told(self.bridge.beep(to_bridge(leg), beep(prompt)));
            }
            Output::Enter {
                room,
                participant,
                who,
                role,
                muted,
            } => self.enter_room(room, participant, who, role, muted),
            Output::Role {
                room,
                participant,
                who,
                role,
            } => self.set_room_role(room, participant, who, role),
            Output::Mute {
                room,
                participant,
                who,
                muted,
            } => self.mute_in_room(room, participant, who, muted),
            Output::Leave {
                room,
                participant,
                who,
                why,
            } => self.leave_room(room, participant, who, why),
            Output::HangUp(leg, cause) => self.hang_up(leg, cause),
            Output::Happened(room, happened) => self.rooms.write_event(room, happened),
            Output::Roster(room) => self.rooms.write_roster(room),
        }
    }

    fn enter_room(
        &mut self,
        room: RoomId,
        participant: ParticipantId,
        who: Who,
        role: Role,
        muted: bool,
    ) {
        let Some(place) = room_place(room, participant) else {
            return;
        };
        if role.speaks() && !muted {
            self.bridge.add_voice(place.clone());
        }
        self.bridge.chime(place.room(), Chime::Joined);
        match who {
            Who::Leg(leg) => {
                let leg = to_bridge(leg);
                told(self.bridge.mute(leg, muted || !role.speaks()));
                told(self.bridge.join(leg, place.clone()));
                told(self.bridge.hear_room(leg, place));
            }
            Who::Device(_) => {}
        }
    }

    fn set_room_role(&mut self, room: RoomId, participant: ParticipantId, who: Who, role: Role) {
        let Some(place) = room_place(room, participant) else {
            return;
        };
        let roster = self.rooms.board.roster(room);
        let person = roster.and_then(|roster| {
            let mut people = roster.people.into_iter();
            people.find(|it| it.participant == participant)
        });
        let silent = !role.speaks() || person.is_some_and(|it| it.muted);
        self.silence_in_room(place, who, silent);
    }

    fn mute_in_room(&mut self, room: RoomId, participant: ParticipantId, who: Who, muted: bool) {
        let Some(place) = room_place(room, participant) else {
            return;
        };
        let place_of = self.rooms.board.place_of(who);
        let speaks = place_of.is_some_and(|place| place.role.speaks());
        self.silence_in_room(place, who, muted || !speaks);
    }

    fn silence_in_room(&mut self, place: Place, who: Who, silent: bool) {
        // A page that goes on publishing is not heard in the mix either.
        match silent {
            true => self.bridge.remove_voice(place),
            false => self.bridge.add_voice(place),
        }
        if let Who::Leg(leg) = who {
            told(self.bridge.mute(to_bridge(leg), silent));
        }
    }

    fn leave_room(&mut self, room: RoomId, participant: ParticipantId, who: Who, why: Leaving) {
        let Some(place) = room_place(room, participant) else {
            return;
        };
        if why != Leaving::Elsewhere {
            self.bridge.remove_voice(place.clone());
            self.bridge.chime(place.room(), Chime::Left);
        }
        if let Who::Leg(leg) = who {
            let cause = match why {
                Leaving::Removed | Leaving::Banned => Cause::Rejected,
                Leaving::Shutdown => Cause::Shutdown,
                Leaving::Left | Leaving::Lost | Leaving::Ended | Leaving::Elsewhere => {
                    Cause::Normal
                }
            };
            self.hang_up(leg, cause);
        }
    }
}

/// Tells whether a leg is a room's.
pub(super) fn is_room_leg(leg: LegId) -> bool {
    leg.0 >= LEGS_FIRST && leg.0 < bridge::LegId::STANDING_FIRST.0
}

fn fresh() -> Fresh {
    Fresh {
        room: RoomId(Uuid::new_v4().as_u128()),
        key: Key(Uuid::new_v4().as_u128()),
    }
}

fn applicant(leg: LegId, from: &Caller) -> Applicant {
    let number = from.number.clone().filter(|number| !number.is_empty());
    Applicant {
        who: Who::Leg(leg),
        user: None,
        name: from
            .name
            .clone()
            .or_else(|| number.clone())
            .unwrap_or_default(),
        kind: Kind::Telephone,
        role: Role::Speaker,
        // Who withholds the number is one caller with all who do.
        caller: number.unwrap_or_default(),
        pin: None,
        key: None,
    }
}

fn room_place(room: RoomId, participant: ParticipantId) -> Option<Place> {
    // Never none: 32 hex digits and a short name are far below the longest namespace.
    Place::new(room.to_string(), participant.to_string()).ok()
}

/// Where the mix of a room is published.
fn mix_place(room: RoomId) -> Option<Place> {
    Place::new(room.to_string(), "mix").ok()
}

fn beep(prompt: Prompt) -> Beep {
    match prompt {
        Prompt::Number | Prompt::Pin => Beep::Ask,
        Prompt::Wrong => Beep::Wrong,
        Prompt::Refused => Beep::Refused,
        Prompt::Wait | Prompt::Alone => Beep::Wait,
        Prompt::Muted | Prompt::HandDown => Beep::Off,
        Prompt::Unmuted | Prompt::HandUp => Beep::On,
    }
}

fn cause_of(denied: Denied) -> Cause {
    match denied {
        Denied::NoSuchRoom => Cause::NotFound,
        Denied::TooManyTries | Denied::Banned | Denied::Locked => Cause::Rejected,
        Denied::Full | Denied::TooManyRooms => Cause::Busy,
        Denied::ShuttingDown => Cause::Shutdown,
        _ => Cause::Failed,
    }
}

/// An object that is a group of its own: who comes later finds the newest whole.
fn whole_group(group: u64, payload: Bytes) -> Object {
    Object {
        group,
        subgroup: Some(0),
        end_of_group: true,
        payload,
        ..Object::default()
    }
}

fn to_wire_roster(roster: &conference::Roster) -> wire::Roster {
    let person = |it: &conference::Person| wire::Person {
        participant: it.participant.to_string(),
        name: it.name.clone(),
        kind: match it.kind {
            Kind::Browser => wire::Kind::Browser,
            Kind::Telephone => wire::Kind::Telephone,
            Kind::Recorder => wire::Kind::Recorder,
            Kind::Program => wire::Kind::Program,
        },
        role: to_wire_role(it.role),
        presence: match it.presence {
            conference::Presence::Waiting => wire::Presence::Waiting,
            conference::Presence::Here => wire::Presence::Here,
            conference::Presence::Away => wire::Presence::Away,
        },
        muted: it.muted,
        hand: it.hand,
    };
    wire::Roster {
        version: wire::VERSION,
        room: roster.room.to_string(),
        name: roster.name.to_string(),
        title: roster.title.clone(),
        number: roster.number.clone(),
        locked: roster.locked,
        lobby: roster.lobby,
        people: roster.people.iter().map(person).collect(),
    }
}

fn to_wire_role(role: Role) -> wire::Role {
    match role {
        Role::Host => wire::Role::Host,
        Role::Speaker => wire::Role::Speaker,
        Role::Listener => wire::Role::Listener,
        Role::Recorder => wire::Role::Recorder,
    }
}

fn to_wire_event(happened: Happened) -> wire::Happened {
    let name = |participant: ParticipantId| participant.to_string();
    let what = match happened.what {
        What::Joined(it) => wire::What::Joined {
            participant: name(it),
        },
        What::Waiting(it) => wire::What::Waiting {
            participant: name(it),
        },
        What::Away(it) => wire::What::Away {
            participant: name(it),
        },
        What::Back(it) => wire::What::Back {
            participant: name(it),
        },
        What::Left(it, why) => wire::What::Left {
            participant: name(it),
            why: to_wire_leaving(why),
        },
        What::Muted(it, muted) => wire::What::Muted {
            participant: name(it),
            muted,
        },
        What::AllMuted => wire::What::AllMuted {},
        What::Hand(it, raised) => wire::What::Hand {
            participant: name(it),
            raised,
        },
        What::Role(it, role) => wire::What::Role {
            participant: name(it),
            role: to_wire_role(role),
        },
        What::Locked(locked) => wire::What::Locked { locked },
    };
    wire::Happened {
        seq: happened.seq,
        by: happened.by.map(name),
        what,
    }
}

fn to_wire_leaving(why: Leaving) -> wire::Leaving {
    match why {
        Leaving::Left => wire::Leaving::Left,
        Leaving::Lost => wire::Leaving::Lost,
        Leaving::Removed => wire::Leaving::Removed,
        Leaving::Banned => wire::Leaving::Banned,
        Leaving::Ended => wire::Leaving::Ended,
        Leaving::Shutdown => wire::Leaving::Shutdown,
        Leaving::Elsewhere => wire::Leaving::Elsewhere,
    }
}
