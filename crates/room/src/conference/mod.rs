//! Rooms of many: who comes in, as what, who is heard, and when it ends.
//!
//! A state machine like [`Switchboard`](crate::Switchboard), and beside it: calls between two are
//! not here. Where the sound goes is the business of those who carry out the outputs.

mod activity;
mod announce;
mod chat;
mod comings;
mod config;
mod dial;
mod files;
mod flood;
mod guard;
mod inside;
mod outgoing;
mod programs;
mod room;
mod types;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

pub use self::activity::Quality;
pub use self::chat::{MESSAGES_MAX, Message, TEXT_CHARS_MAX};
pub use self::comings::{Announce, Called, Coming, News, SENTENCE};
pub use self::config::{Config, KeyAction, Limits, Pin, RoomName, Spec};
pub use self::files::{File, FileId};
pub use self::outgoing::CallingAs;
pub use self::programs::{Does, Program};
pub use self::types::{
    Action, Applicant, CallState, Denied, Fresh, Happened, Input, Key, Kind, Leaving, Output,
    Person, Place, Presence, ProgramId, Prompt, Role, RoomId, Roster, Shown, What, Who,
};
use self::{
    dial::Dial,
    flood::Flood,
    guard::Guard,
    outgoing::Outgoing,
    room::{Room, State},
};
use crate::{LegId, Number, ParticipantId};

/// Every conference of this node.
///
/// Browsers ask by [`join`](Self::join) and [`act`](Self::act), telephones come by
/// [`dial`](Self::dial); what else happens is told to [`handle`](Self::handle), the passing of time
/// to [`handle_timeout`](Self::handle_timeout) at the time that [`poll_timeout`](Self::poll_timeout)
/// gave. After any of them drain [`poll_output`](Self::poll_output). Times must not go backwards.
#[derive(Debug)]
pub struct Conferences {
    config: Config,
    rooms: BTreeMap<RoomName, Known>,
    numbers: BTreeMap<Number, RoomName>,
    names: BTreeMap<RoomId, RoomName>,
    places: BTreeMap<Who, (RoomName, ParticipantId)>,
    dials: BTreeMap<LegId, Dial>,
    outgoing: BTreeMap<LegId, Outgoing>,
    /// When a telephone inside pressed `*`.
    stars: BTreeMap<LegId, Instant>,
    guard: Guard,
    /// Files that were ever brought into any room.
    files: u64,
    flood: Flood,
    deadlines: BTreeSet<(Instant, Due)>,
    /// Rooms whose rosters may have changed.
    touched: BTreeSet<RoomName>,
    outputs: VecDeque<Output>,
    draining: bool,
}

/// A room that has a name.
#[derive(Debug)]
struct Known {
    spec: Spec,
    /// It stays known when it closes.
    ahead: bool,
    open: Option<Room>,
}

/// What is due at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Away(RoomId, ParticipantId),
    Comings(RoomId),
    Key(LegId),
    Outgoing(LegId),
}

/// How much is going on, for gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rooms that somebody is in.
    pub rooms: usize,
    /// Those who are in them, the waiting ones included.
    pub people: usize,
    /// Telephones that are on their way in.
    pub dialling: usize,
}

impl Conferences {
    /// Begins with nobody in any room.
    ///
    /// Of configured rooms with a name or number that is taken the first one counts.
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        let rooms = std::mem::take(&mut config.rooms);
        let mut conferences = Self {
            config,
            rooms: BTreeMap::new(),
            numbers: BTreeMap::new(),
            names: BTreeMap::new(),
            places: BTreeMap::new(),
            dials: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            stars: BTreeMap::new(),
            guard: Guard::default(),
            files: 0,
            flood: Flood::default(),
            deadlines: BTreeSet::new(),
            touched: BTreeSet::new(),
            outputs: VecDeque::new(),
            draining: false,
        };
        for spec in rooms {
            // The caller has checked them; one that clashes is left out.
            conferences.create(spec).unwrap_or_default();
        }
        conferences
    }

    /// Sets a room up ahead. It stays known until [`forget`](Self::forget).
    ///
    /// # Errors
    ///
    /// When its name or number is taken, or there are too many.
    pub fn create(&mut self, spec: Spec) -> Result<(), Denied> {
        if self.draining {
            return Err(Denied::ShuttingDown);
        }
        self.know(spec, true)
    }

    /// Lets a room be known no longer; everyone in it leaves.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub fn forget(&mut self, name: &RoomName, now: Instant) -> Result<(), Denied> {
        let known = self.rooms.get_mut(name).ok_or(Denied::NoSuchRoom)?;
        known.ahead = false;
        self.end(name, None, Leaving::Ended, now);
        self.unknow(name);
        Ok(())
    }

    /// Lets somebody in, or back in, or wait. Asking again for what one has gives the same place.
    ///
    /// # Errors
    ///
    /// When it cannot come in, or comes too often; nothing has changed then, but that it is counted.
    pub fn join(
        &mut self,
        name: &RoomName,
        applicant: Applicant,
        fresh: Fresh,
        now: Instant,
    ) -> Result<Place, Denied> {
        if self.draining {
            return Err(Denied::ShuttingDown);
        }
        if let Some((room, me)) = self.places.get(&applicant.who) {
            let (room, me) = (room.clone(), *me);
            return match room == *name {
                true => self.place(&room, me).ok_or(Denied::NotIn),
                false => Err(Denied::AlreadyIn),
            };
        }
        // Telephones come at the pace of a trunk, and wrong PINs are counted apart.
        let user = applicant.user.as_ref();
        if let Some(user) = user.filter(|_| applicant.key.is_some()) {
            self.flood.take(user.as_str(), now)?;
        }
        if let Some(place) = self.come_back(name, &applicant) {
            return Ok(place);
        }
        let role = self.may_enter(name, &applicant, now)?;
        if let Some(user) = user.filter(|_| applicant.key.is_none()) {
            self.flood.take(user.as_str(), now)?;
        }
        if !self.rooms.contains_key(name) {
            self.know_on_demand(name)?;
        }
        Ok(self.seat(name, &applicant, role, fresh, now))
    }

    /// Carries out what somebody in a room wants. What holds already is accepted again.
    ///
    /// # Errors
    ///
    /// When it may not, or it cannot be done; nothing has changed then.
    pub fn act(&mut self, who: Who, action: Action, now: Instant) -> Result<(), Denied> {
        let (name, me) = self.places.get(&who).cloned().ok_or(Denied::NotIn)?;
        let room = self.room(&name).ok_or(Denied::NotIn)?;
        let own = room.people.get(&me).ok_or(Denied::NotIn)?;
        let host = own.role == Role::Host;
        if own.state.is_waiting() && action != Action::Leave {
            return Err(Denied::WrongState);
        }
        match action {
            Action::Leave => {}
            // Nobody opens another one's microphone, or speaks up for another.
            Action::Mute(whom, muted) if whom != me && (!host || !muted) => {
                return Err(Denied::NotHost);
            }
            Action::Hand(whom, raised) if whom != me && (!host || raised) => {
                return Err(Denied::NotHost);
            }
            Action::Mute(..) | Action::Hand(..) | Action::Hold(_) | Action::Show(_) => {}
            Action::MuteAll
            | Action::Lock(_)
            | Action::Lobby(_)
            | Action::Level(..)
            | Action::Admit(_)
            | Action::Role(..)
            | Action::Remove(_)
            | Action::Ban(_)
            | Action::End
                if !host =>
            {
                return Err(Denied::NotHost);
            }
            Action::MuteAll
            | Action::Lock(_)
            | Action::Lobby(_)
            | Action::Level(..)
            | Action::Admit(_)
            | Action::Role(..)
            | Action::Remove(_)
            | Action::Ban(_)
            | Action::End => {}
        }
        self.apply(&name, Some(me), action, now)
    }

    /// Applies something that happened outside. What is unknown or too late is ignored.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::DeviceLost(device) | Input::DeviceGone(device) => {
                self.lost(Who::Device(device), now);
            }
            Input::DeviceBack(device) => self.back(Who::Device(device)),
            Input::LegEnded(leg, cause) => {
                if !self.forget_dial(leg) && !self.outgoing_ended(leg, cause) {
                    self.leave(Who::Leg(leg), None, Leaving::Left, now);
                }
            }
            Input::LegDigit(leg, digit) => self.key(leg, digit, now),
            Input::LegRinging(leg) => self.outgoing_rings(leg),
            Input::LegAnswered(leg) => self.outgoing_answered(leg, now),
            Input::LegHeld(leg, held) => {
                // One that is not inside holds nothing.
                self.act(Who::Leg(leg), Action::Hold(held), now)
                    .unwrap_or_default();
            }
            Input::Drain => {
                self.draining = true;
                let names: Vec<RoomName> = self.rooms.keys().cloned().collect();
                for name in names {
                    self.end(&name, None, Leaving::Shutdown, now);
                }
                let calling = std::mem::take(&mut self.outgoing).into_keys();
                for leg in calling.chain(std::mem::take(&mut self.dials).into_keys()) {
                    self.outputs
                        .push_back(Output::HangUp(leg, crate::Cause::Shutdown));
                }
                self.deadlines.clear();
            }
        }
    }

    /// Applies what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((until, _)) = self.deadlines.first()
            && *until <= now
        {
            match self.deadlines.pop_first() {
                Some((_, Due::Key(leg))) => self.key_timeout(leg, now),
                Some((_, Due::Outgoing(leg))) => self.outgoing_timeout(leg),
                Some((_, Due::Away(room, participant))) => {
                    self.away_too_long(room, participant, now);
                }
                Some((_, Due::Comings(room))) => self.announce_comings(room, now),
                None => {}
            }
        }
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Returns the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        while self.outputs.is_empty()
            && let Some(name) = self.touched.pop_first()
        {
            self.look_who_is_alone(&name);
            let room = self.rooms.get_mut(&name).and_then(|it| it.open.as_mut());
            let Some(room) = room else { continue };
            match (room.take_changed(), room.take_stirred()) {
                (true, _) => self.outputs.push_back(Output::Roster(room.id)),
                (false, true) => self.outputs.push_back(Output::Activity(room.id)),
                (false, false) => {}
            }
        }
        self.outputs.pop_front()
    }

    /// Returns who is in an open room.
    #[must_use]
    pub fn roster(&self, room: RoomId) -> Option<Roster> {
        self.roster_named(self.names.get(&room)?)
    }

    /// Returns who is in the room of that name, if it is open.
    #[must_use]
    pub fn roster_named(&self, name: &RoomName) -> Option<Roster> {
        let known = self.rooms.get(name)?;
        Some(known.open.as_ref()?.roster(&known.spec))
    }

    /// Returns every room that is known, and who is in it.
    pub fn rooms(&self) -> impl Iterator<Item = (&Spec, Option<Roster>)> + '_ {
        let roster = |known: &Known| known.open.as_ref().map(|open| open.roster(&known.spec));
        self.rooms.values().map(move |it| (&it.spec, roster(it)))
    }

    /// Returns where somebody is.
    #[must_use]
    pub fn place_of(&self, who: Who) -> Option<Place> {
        let (name, me) = self.places.get(&who)?;
        self.place(name, *me)
    }

    /// Tells whether a leg is a conference's: in a room, or on its way in.
    #[must_use]
    pub fn has_leg(&self, leg: LegId) -> bool {
        self.dials.contains_key(&leg)
            || self.outgoing.contains_key(&leg)
            || self.places.contains_key(&Who::Leg(leg))
    }

    /// Returns how much is going on.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            rooms: self.names.len(),
            people: self.places.len(),
            dialling: self.dials.len(),
        }
    }
}

/// Coming in.
impl Conferences {
    fn know(&mut self, spec: Spec, ahead: bool) -> Result<(), Denied> {
        let number = spec.number.as_ref();
        if spec.host_pin.is_some() && spec.host_pin == spec.pin {
            return Err(Denied::BadPin);
        }
        let door = number.is_some() && number == self.config.door.as_ref();
        let taken = number.is_some_and(|number| self.numbers.contains_key(number));
        if door || taken || self.rooms.contains_key(&spec.name) {
            return Err(Denied::Taken);
        }
        if self.rooms.len() >= self.config.limits.rooms {
            return Err(Denied::TooManyRooms);
        }
        if let Some(number) = number {
            self.numbers.insert(number.clone(), spec.name.clone());
        }
        let name = spec.name.clone();
        let open = None;
        self.rooms.insert(name, Known { spec, ahead, open });
        Ok(())
    }

    fn know_on_demand(&mut self, name: &RoomName) -> Result<(), Denied> {
        let numbers = self.config.numbers.clone();
        let free = numbers
            .filter_map(|number| Number::new(&number.to_string()).ok())
            .find(|number| {
                !self.numbers.contains_key(number) && self.config.door.as_ref() != Some(number)
            });
        let spec = Spec {
            number: free,
            ..Spec::open(name.clone())
        };
        self.know(spec, false)
    }

    fn unknow(&mut self, name: &RoomName) {
        if let Some(known) = self.rooms.remove(name)
            && let Some(number) = known.spec.number
        {
            self.numbers.remove(&number);
        }
    }

    /// Gives a place back to who has its key.
    fn come_back(&mut self, name: &RoomName, applicant: &Applicant) -> Option<Place> {
        let key = applicant.key?;
        let room = self.rooms.get_mut(name)?.open.as_mut()?;
        let me = room.by_key(key)?;
        let own = room.people.get_mut(&me)?;
        let before = std::mem::replace(&mut own.who, applicant.who);
        let (room, role, muted) = (room.id, own.role, own.muted);
        let waiting = own.state.is_waiting();
        self.outputs.push_back(Output::Leave {
            room,
            participant: me,
            who: before,
            why: Leaving::Elsewhere,
        });
        if !waiting {
            self.outputs.push_back(Output::Enter {
                room,
                participant: me,
                who: applicant.who,
                role,
                muted,
            });
        }
        self.places.remove(&before);
        self.places.insert(applicant.who, (name.clone(), me));
        self.back(applicant.who);
        self.place(name, me)
    }

    fn may_enter(
        &mut self,
        name: &RoomName,
        applicant: &Applicant,
        now: Instant,
    ) -> Result<Role, Denied> {
        let limits = self.config.limits;
        let Some(known) = self.rooms.get(name) else {
            if let Some(role) = applicant.was.filter(|_| self.config.on_demand) {
                return Ok(role);
            }
            // On demand: for those whom somebody knows.
            let speaks = applicant.role.speaks();
            return match self.config.on_demand && applicant.user.is_some() && speaks {
                true => Ok(Role::Host),
                false => Err(Denied::NoSuchRoom),
            };
        };
        let none = Room::new(RoomId(0), known.spec.lobby);
        let room = known.open.as_ref().unwrap_or(&none);
        if room.has_banned(applicant) {
            return Err(Denied::Banned);
        }
        if let Some(role) = applicant.was {
            return match room.people.len() >= limits.people {
                true => Err(Denied::Full),
                false => Ok(role),
            };
        }
        let owner = known.spec.owner.is_some() && room.entitled(&known.spec, applicant);
        let tried = applicant.pin.as_deref();
        let is = |pin: &Option<Pin>| {
            pin.as_ref()
                .zip(tried)
                .is_some_and(|(pin, tried)| pin.is(tried))
        };
        let (guest, host) = (is(&known.spec.pin), is(&known.spec.host_pin));
        // In a room with a PIN for hosts alone others need none, but who says one must know it.
        let asks = known.spec.pin.is_some() || (known.spec.host_pin.is_some() && tried.is_some());
        if asks && !owner {
            if !self.guard.admits(&applicant.caller, &limits, now) {
                return Err(Denied::TooManyTries);
            }
            if tried.is_none() {
                return Err(Denied::PinWanted);
            }
            if !guest && !host {
                self.guard.wrong(&applicant.caller, &limits, now);
                return Err(Denied::WrongPin);
            }
        }
        room.admits(&known.spec, applicant, host, &limits)
    }

    fn seat(
        &mut self,
        name: &RoomName,
        applicant: &Applicant,
        role: Role,
        fresh: Fresh,
        now: Instant,
    ) -> Place {
        let who = applicant.who;
        let outputs = &mut self.outputs;
        let known = self.rooms.entry(name.clone()).or_insert_with(|| Known {
            spec: Spec::open(name.clone()),
            ahead: false,
            open: None,
        });
        let room = known.open.get_or_insert_with(|| {
            outputs.push_back(Output::Opened(fresh.room, name.clone()));
            Room::new(fresh.room, known.spec.lobby)
        });
        let waiting = room.lobby && role != Role::Host && applicant.was.is_none();
        let me = room.add(applicant, role, waiting, fresh.key);
        let what = if waiting {
            What::Waiting(me)
        } else {
            What::Joined(me)
        };
        if !waiting {
            let (room, muted) = (room.id, false);
            outputs.push_back(Output::Enter {
                room,
                participant: me,
                who,
                role,
                muted,
            });
            if let Who::Leg(leg) = who
                && known
                    .open
                    .as_ref()
                    .is_some_and(|room| room.people.len() == 1)
            {
                outputs.push_back(Output::Prompt(leg, Prompt::Alone));
            }
        }
        if let Some(room) = &mut known.open {
            room.happened(None, what, outputs);
            self.names.insert(room.id, name.clone());
        }
        let room = known.open.as_ref().map_or(fresh.room, |room| room.id);
        self.places.insert(who, (name.clone(), me));
        self.touched.insert(name.clone());
        if !waiting {
            self.announce(name, me);
            self.comes(name, me, now);
        }
        Place {
            room,
            participant: me,
            role,
            key: fresh.key,
            waiting,
        }
    }

    fn place(&self, name: &RoomName, me: ParticipantId) -> Option<Place> {
        let room = self.room(name)?;
        let own = room.people.get(&me)?;
        Some(Place {
            room: room.id,
            participant: me,
            role: own.role,
            key: own.key,
            waiting: own.state.is_waiting(),
        })
    }

    fn room(&self, name: &RoomName) -> Option<&Room> {
        self.rooms.get(name)?.open.as_ref()
    }
}

/// Inside.
impl Conferences {
    /// A connection is lost: the place is kept for a while.
    fn lost(&mut self, who: Who, now: Instant) {
        let until = now + self.config.away;
        let Some((name, me)) = self.places.get(&who).cloned() else {
            return;
        };
        let room = self.rooms.get_mut(&name).and_then(|it| it.open.as_mut());
        let Some(room) = room else { return };
        let Some(own) = room.people.get_mut(&me) else {
            return;
        };
        let waiting = match own.state {
            State::Here => false,
            State::Waiting => true,
            State::Away { .. } => return,
        };
        own.state = State::Away { until, waiting };
        self.deadlines.insert((until, Due::Away(room.id, me)));
        room.happened(None, What::Away(me), &mut self.outputs);
        self.touched.insert(name);
    }

    fn back(&mut self, who: Who) {
        let Some((name, me)) = self.places.get(&who).cloned() else {
            return;
        };
        let room = self.rooms.get_mut(&name).and_then(|it| it.open.as_mut());
        let Some(room) = room else { return };
        let Some(own) = room.people.get_mut(&me) else {
            return;
        };
        let State::Away { until, waiting } = own.state else {
            return;
        };
        own.state = if waiting { State::Waiting } else { State::Here };
        self.deadlines.remove(&(until, Due::Away(room.id, me)));
        room.happened(None, What::Back(me), &mut self.outputs);
        self.touched.insert(name);
    }

    fn away_too_long(&mut self, room: RoomId, participant: ParticipantId, now: Instant) {
        let room = self.names.get(&room).and_then(|name| self.room(name));
        let own = room.and_then(|room| room.people.get(&participant));
        if let Some(who) = own.map(|own| own.who) {
            self.leave(who, None, Leaving::Lost, now);
        }
    }

    /// Takes somebody out, and closes the room behind the last one.
    fn leave(&mut self, who: Who, by: Option<ParticipantId>, why: Leaving, now: Instant) {
        let Some((name, me)) = self.places.remove(&who) else {
            return;
        };
        if let Who::Leg(leg) = who {
            self.stars.remove(&leg);
        }
        let Some(known) = self.rooms.get_mut(&name) else {
            return;
        };
        let Some(room) = &mut known.open else { return };
        let Some(own) = room.people.remove(&me) else {
            return;
        };
        let away = match own.state {
            State::Away { until, .. } => Some(until),
            State::Here | State::Waiting => None,
        };
        for until in away.into_iter().chain(own.until) {
            self.deadlines.remove(&(until, Due::Away(room.id, me)));
        }
        let outputs = &mut self.outputs;
        outputs.push_back(Output::Leave {
            room: room.id,
            participant: me,
            who,
            why,
        });
        room.happened(by, What::Left(me, why), outputs);
        if own.role == Role::Host
            && !room.has_host()
            && let Some(heir) = room.heir()
            && let Some(next) = room.people.get_mut(&heir)
        {
            next.role = Role::Host;
            outputs.push_back(Output::Role {
                room: room.id,
                participant: heir,
                who: next.who,
                role: Role::Host,
            });
            room.happened(None, What::Role(heir, Role::Host), outputs);
        }
        let nobody = room.people.values().all(|it| it.kind.is_machine());
        let machines: Vec<Who> = match nobody {
            true => room.people.values().map(|it| it.who).collect(),
            false => Vec::new(),
        };
        if room.people.is_empty() {
            let id = room.id;
            if let Some(due) = room.comings.due {
                self.deadlines.remove(&(due, Due::Comings(id)));
            }
            outputs.push_back(Output::Closed(id, name.clone()));
            known.open = None;
            let ahead = known.ahead;
            self.names.remove(&id);
            self.touched.remove(&name);
            if !ahead {
                self.unknow(&name);
            }
            self.give_up_outgoing(&name);
        } else {
            self.goes(&name, me, &own, why, now);
            self.touched.insert(name);
        }
        for machine in machines {
            self.leave(machine, None, Leaving::Ended, now);
        }
    }

    /// Everyone leaves.
    fn end(&mut self, name: &RoomName, by: Option<ParticipantId>, why: Leaving, now: Instant) {
        let Some(room) = self.room(name) else { return };
        // The hosts last, so that nobody becomes host on the way out.
        let mut people: Vec<_> = room.people.values().map(|it| (it.role, it.who)).collect();
        people.sort_by_key(|(role, _)| *role == Role::Host);
        for (_, who) in people {
            self.leave(who, by, why, now);
        }
    }
}
