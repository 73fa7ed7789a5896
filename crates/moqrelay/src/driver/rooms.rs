//! The driver's part for rooms: carries out what [`Conferences`] decide.

mod activity;
mod browsers;
mod comings;
mod files;
mod operators;
mod programs;
mod telephones;
mod tracks;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use moqrelay_bridge::{
    self as bridge, Place, ari,
    leg::{Beep, OutRate, Spec},
};
use moqrelay_relay::{Relay, Rights};
use moqrelay_room::{
    Arrival, Attachment, Caller, Cause, DeviceId, Digit, LegId, ParticipantId, Reason, Refusal,
    conference::{
        self, Applicant, Conferences, Denied, FileId, Fresh, Happened, Input, Key, Kind, Leaving,
        Output, Prompt, Role, RoomId, RoomName, What, Who,
    },
};
use moqrelay_wire::{conference as wire, signal};
use uuid::Uuid;

pub(crate) use self::comings::Names;
use self::tracks::Tracks;
use super::{
    ATTACH_TIMEOUT, Driver, Road,
    words::{to_ari, to_bridge, to_wire, told, told_ari},
};
use crate::{room_file::Keeper, sounds::Sounds};

/// Legs of rooms have names from here on, those of calls below, so that each event finds the one who knows the leg.
const LEGS_FIRST: u64 = 1 << 48;

/// Tickets for rooms that wait for their connection.
const TICKETS_MAX: usize = 500;

/// What telephones in rooms hear beside the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Voice {
    /// What is spoken.
    pub(crate) sounds: Sounds,
    /// Whether who is alone hears music.
    pub(crate) music: bool,
}

/// What the driver knows of rooms.
pub(super) struct Rooms {
    pub(super) board: Conferences,
    relay: Relay,
    tracks: BTreeMap<RoomId, Tracks>,
    /// Telephones that were promised a connection, and what they dialled.
    tickets: BTreeMap<LegId, (String, Caller)>,
    legs: u64,
    /// Programs that operators have ever let in.
    programs: u64,
    /// Browsers' sessions in rooms: their sockets, and whose they are.
    devices: BTreeMap<DeviceId, (Attachment, String)>,
    /// When this server was started: places that were given out before can be had back.
    started: SystemTime,
    /// Seats that each room has for those who decode voices themselves.
    seats: u32,
    /// What is spoken to telephones.
    sounds: Sounds,
    /// Whether who is alone hears music.
    music: bool,
    /// Speaks names, if anything does.
    names: Option<Names>,
    /// What was brought into rooms.
    files: BTreeMap<(RoomId, FileId), Bytes>,
    /// What may be.
    taken: Option<signal::FilesTaken>,
    /// Keeps what operators have set up.
    keeper: Option<Keeper>,
    /// Telephones that are alone, and when their music begins; `None`: it plays.
    lonely: BTreeMap<LegId, Option<Instant>>,
}

impl Rooms {
    pub(super) fn new(
        config: conference::Config,
        seats: usize,
        relay: Relay,
        voice: Voice,
        names: Option<Names>,
        taken: Option<signal::FilesTaken>,
        keeper: Option<Keeper>,
    ) -> Self {
        let mut board = Conferences::new(config);
        for spec in keeper.iter().flat_map(Keeper::all) {
            let name = spec.name.clone();
            if let Err(denied) = board.create(spec) {
                tracing::warn!(%name, %denied, "a room that was kept is not set up");
            }
        }
        Self {
            board,
            relay,
            tracks: BTreeMap::new(),
            tickets: BTreeMap::new(),
            legs: LEGS_FIRST,
            programs: 0,
            devices: BTreeMap::new(),
            started: SystemTime::now(),
            // 16 at most.
            seats: u32::try_from(seats).unwrap_or(u32::MAX),
            sounds: voice.sounds,
            music: voice.music,
            names,
            files: BTreeMap::new(),
            taken,
            keeper,
            lonely: BTreeMap::new(),
        }
    }

    /// Returns when something is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let tracks = self.tracks.values().filter_map(Tracks::due);
        let music = self.lonely.values().flatten().copied();
        let other = self.board.poll_timeout().into_iter().chain(tracks);
        other.chain(music).min()
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
        match Tracks::publish(&self.relay, room) {
            Ok(tracks) => drop(self.tracks.insert(room, tracks)),
            Err(error) => {
                tracing::warn!(%room, %name, %error, "the room's roster is not published");
            }
        }
    }

    fn write_event(&mut self, room: RoomId, happened: &Happened) {
        tracing::info!(%room, seq = happened.seq, by = ?happened.by, what = ?happened.what, "in the room");
        if let Some(tracks) = self.tracks.get_mut(&room) {
            tracks.write_event(&to_wire_event(*happened));
        }
    }

    fn write_chat(&mut self, room: RoomId, message: &signal::ChatMessage) {
        if let Some(tracks) = self.tracks.get_mut(&room) {
            tracks.write_message(message.clone(), Instant::now());
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
        let from = Caller { number, name };
        let caller = applicant(leg, &from);
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
                self.process(to_bridge(leg), from.number.as_deref(), Some(&incoming.to));
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
        let (number, called) = (arrival.from.number.clone(), arrival.to.clone());
        self.rooms.tickets.insert(leg, (arrival.to, arrival.from));
        self.expect_room_leg(leg, uuid, OutRate::Follow, ttl);
        self.process(to_bridge(leg), number.as_deref(), Some(&called));
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
            self.room_input(Input::LegEnded(leg, Cause::Failed));
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

    pub(super) fn room_leg_ended(&mut self, leg: LegId, cause: Cause) {
        self.rooms.tickets.remove(&leg);
        self.rooms.lonely.remove(&leg);
        self.room_input(Input::LegEnded(leg, cause));
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
            metrics::gauge!("moqrelay_room_file_bytes").set(value(self.rooms.file_bytes()));
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
                self.rooms.drop_files(room);
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
            Output::Prompt(leg, prompt) => self.prompt(leg, prompt),
            Output::Hush(leg) => self.hush(leg),
            Output::Chime(room, coming) => self.chime(room, coming),
            Output::Announce { room, legs, news } => self.announce_comings(room, legs, &news),
            Output::Alone(leg, alone) => self.alone(leg, alone),
            Output::Calling {
                room,
                number,
                state,
            } => self.tell_calling(room, &number, state),
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
            Output::Admitted { who, .. } => {
                if let Who::Device(device) = who {
                    self.tell_admitted(device);
                }
            }
            Output::Level {
                room,
                participant,
                db,
            } => {
                if let Some(place) = room_place(room, participant) {
                    self.bridge.set_level(place, db);
                }
            }
            Output::Said(room, message) => self.tell_said(room, message),
            Output::FileGone(room, file) => self.rooms.drop_file(room, file),
            Output::Reacted { room, from, emoji } => self.tell_reacted(room, from, emoji),
            Output::HangUp(leg, cause) => self.hang_up(leg, cause),
            Output::Happened(room, happened) => {
                self.rooms.write_event(room, &happened);
                self.tell_happened(room, happened);
            }
            Output::Roster(room) => self.roster_changed(room),
            Output::Activity(room) => self.activity_changed(room),
        }
    }

    fn roster_changed(&mut self, room: RoomId) {
        let Some(roster) = self.rooms.board.roster(room) else {
            return;
        };
        let Some(tracks) = self.rooms.tracks.get_mut(&room) else {
            return;
        };
        if tracks.roster_changed(roster.people.len(), Instant::now()) {
            self.write_roster(room);
        }
    }

    fn write_roster(&mut self, room: RoomId) {
        let (Some(roster), Some(tracks)) = (
            self.rooms.board.roster(room),
            self.rooms.tracks.get_mut(&room),
        ) else {
            return;
        };
        let roster = to_wire_roster(&roster);
        if tracks.write_roster(&roster, Instant::now()) {
            self.show_roster(room, roster);
        }
    }

    /// Does what is due at `now`.
    pub(super) fn pass_time_in_rooms(&mut self, now: Instant) {
        self.rooms.board.handle_timeout(now);
        self.play_music(now);
        let tracks = self.rooms.tracks.iter_mut();
        let due = tracks.filter_map(|(room, it)| it.handle_timeout(now).then_some(*room));
        let due: Vec<RoomId> = due.collect();
        for room in due {
            self.write_roster(room);
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
        match who {
            Who::Leg(leg) => {
                let leg = to_bridge(leg);
                told(self.bridge.mute(leg, muted || !role.speaks()));
                told(self.bridge.join(leg, place.clone()));
                told(self.bridge.hear_room(leg, place));
            }
            Who::Device(_) | Who::Program(_) => {}
        }
    }

    fn set_room_role(&mut self, room: RoomId, participant: ParticipantId, who: Who, role: Role) {
        let Some(place) = room_place(room, participant) else {
            return;
        };
        let silent = self.is_silent_in_room(room, participant, role);
        self.silence_in_room(place, who, silent);
        if let Who::Device(device) = who {
            self.tell_role(room, participant, device);
        }
    }

    fn mute_in_room(&mut self, room: RoomId, participant: ParticipantId, who: Who, muted: bool) {
        let Some(place) = room_place(room, participant) else {
            return;
        };
        let place_of = self.rooms.board.place_of(who);
        let silent = place_of.is_none_or(|own| self.is_silent_in_room(room, participant, own.role));
        self.silence_in_room(place, who, muted || silent);
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
        }
        if let Who::Device(device) = who {
            self.tell_left(room, participant, device, why);
        }
        if let Who::Program(_) = who {
            let until = self.control.room_tokens_end();
            self.rooms.revoke(&place, Rights::Nothing, until);
        }
        if let Who::Leg(leg) = who {
            self.rooms.lonely.remove(&leg);
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
        was: None,
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
        Prompt::Wrong | Prompt::HostOnly => Beep::Wrong,
        Prompt::Refused => Beep::Refused,
        Prompt::Wait | Prompt::Alone => Beep::Wait,
        Prompt::Muted | Prompt::HandDown | Prompt::AllMuted | Prompt::Locked => Beep::Off,
        Prompt::Unmuted | Prompt::HandUp | Prompt::Unlocked => Beep::On,
        Prompt::Recorded | Prompt::Listening => Beep::Ask,
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
        speaking: it.speaking,
        level_db: it.level_db,
        held: it.held,
        quality: it.quality.map(|quality| quality.mos().into()),
        video: [
            (it.shown.camera, wire::Video::Camera),
            (it.shown.screen, wire::Video::Screen),
        ]
        .into_iter()
        .filter_map(|(on, video)| on.then_some(video))
        .collect(),
    };
    let here = |kind: Kind| {
        let people = roster.people.iter();
        people.filter(move |it| it.kind == kind && it.presence != conference::Presence::Waiting)
    };
    wire::Roster {
        version: wire::VERSION,
        room: roster.room.to_string(),
        name: roster.name.to_string(),
        title: roster.title.clone(),
        number: roster.number.clone(),
        locked: roster.locked,
        lobby: roster.lobby,
        recording: here(Kind::Recorder).next().is_some(),
        listening: here(Kind::Program).map(|it| it.name.clone()).collect(),
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
        What::Level(it, db) => wire::What::Level {
            participant: name(it),
            db,
        },
        What::Held(it, held) => wire::What::Held {
            participant: name(it),
            held,
        },
        What::Locked(locked) => wire::What::Locked { locked },
        What::Lobby(lobby) => wire::What::Lobby { lobby },
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
