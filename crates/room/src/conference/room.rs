//! One open room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use super::activity::Quality;
use super::chat::{Chat, Pace, visible};
use super::comings::Comings;
use super::config::{Limits, Spec};
use super::files::Shelf;
use super::types::{
    Applicant, Denied, Happened, Key, Kind, Output, Person, Presence, Role, RoomId, Roster, Shown,
    What, Who,
};
use crate::{LegId, ParticipantId, UserId};

/// The longest name that is shown, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Those who are in a room, and what holds for it while it is open.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) locked: bool,
    /// Whether a host lets people in; begins as the room is set up.
    pub(super) lobby: bool,
    pub(super) chat: Chat,
    pub(super) shelf: Shelf,
    pub(super) people: BTreeMap<ParticipantId, Participant>,
    bans: BTreeSet<Banned>,
    next: u32,
    seq: u64,
    hands: u32,
    changed: bool,
    /// Whether somebody begins or ends to speak, or is heard better or worse.
    stirred: bool,
    /// The telephone that is the only one here.
    pub(super) alone: Option<LegId>,
    /// Who has come and gone since telephones were told.
    pub(super) comings: Comings,
}

/// Who must not come in again: a user, or a caller whom nobody knows better.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Banned {
    User(UserId),
    Caller(String),
}

/// One in a room.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) who: Who,
    pub(super) key: Key,
    user: Option<UserId>,
    caller: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) role: Role,
    pub(super) state: State,
    pub(super) muted: bool,
    /// The order in which hands went up.
    pub(super) hand: Option<u32>,
    pub(super) level_db: i8,
    pub(super) held: bool,
    pub(super) shown: Shown,
    pub(super) speaking: bool,
    pub(super) quality: Option<Quality>,
    pub(super) pace: Pace,
    pub(super) offers: Pace,
    /// A program has to go then.
    pub(super) until: Option<Instant>,
}

/// How one is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Until a host lets it in.
    Waiting,
    Here,
    /// It may come back until then.
    Away {
        until: Instant,
        waiting: bool,
    },
}

impl Room {
    pub(super) fn new(id: RoomId, lobby: bool) -> Self {
        Self {
            id,
            locked: false,
            lobby,
            chat: Chat::default(),
            shelf: Shelf::default(),
            people: BTreeMap::new(),
            bans: BTreeSet::new(),
            next: 1,
            seq: 0,
            hands: 0,
            changed: false,
            stirred: false,
            alone: None,
            comings: Comings::default(),
        }
    }

    /// Returns as what an applicant may come, PIN aside; `host`: it has said the one for hosts.
    pub(super) fn admits(
        &self,
        spec: &Spec,
        applicant: &Applicant,
        host: bool,
        limits: &Limits,
    ) -> Result<Role, Denied> {
        let entitled = host || self.entitled(spec, applicant);
        if !entitled && self.locked {
            return Err(Denied::Locked);
        }
        if self.people.len() >= spec.people_max.unwrap_or(limits.people).min(limits.people) {
            return Err(Denied::Full);
        }
        let speakers = self.people.values().filter(|it| it.role.speaks()).count();
        Ok(match applicant.role {
            Role::Host | Role::Speaker if entitled => Role::Host,
            Role::Host | Role::Speaker if speakers >= limits.speakers => Role::Listener,
            Role::Host | Role::Speaker => Role::Speaker,
            other @ (Role::Listener | Role::Recorder) => other,
        })
    }

    /// Tells whether an applicant was put out for good.
    pub(super) fn has_banned(&self, applicant: &Applicant) -> bool {
        let caller = || Banned::Caller(applicant.caller.clone());
        let of = applicant.user.clone().map_or_else(caller, Banned::User);
        self.bans.contains(&of)
    }

    /// Tells whether an applicant would be host: the owner, or in a room that nobody owns who comes first.
    pub(super) fn entitled(&self, spec: &Spec, applicant: &Applicant) -> bool {
        match (&spec.owner, &applicant.user) {
            (Some(owner), Some(user)) => owner == user,
            (Some(_), None) | (None, None) => false,
            (None, Some(_)) => !self.has_host(),
        }
    }

    pub(super) fn has_host(&self) -> bool {
        self.people.values().any(|it| it.role == Role::Host)
    }

    /// Gives an applicant the next place.
    pub(super) fn add(
        &mut self,
        applicant: &Applicant,
        role: Role,
        waiting: bool,
        key: Key,
    ) -> ParticipantId {
        let id = ParticipantId(self.next);
        self.next += 1;
        let participant = Participant {
            who: applicant.who,
            key,
            user: applicant.user.clone(),
            caller: applicant.caller.clone(),
            name: shown(&applicant.name, id),
            kind: applicant.kind,
            role,
            state: if waiting { State::Waiting } else { State::Here },
            muted: false,
            hand: None,
            level_db: 0,
            held: false,
            shown: Shown::default(),
            speaking: false,
            quality: None,
            pace: Pace::default(),
            offers: Pace::default(),
            until: None,
        };
        self.people.insert(id, participant);
        id
    }

    pub(super) fn by_key(&self, key: Key) -> Option<ParticipantId> {
        let mut found = self.people.iter().filter(|(_, it)| it.key == key);
        found.next().map(|(id, _)| *id)
    }

    pub(super) fn ban(&mut self, participant: ParticipantId, limits: &Limits) {
        let Some(it) = self.people.get(&participant) else {
            return;
        };
        if self.bans.len() >= limits.bans {
            self.bans.pop_first();
        }
        let caller = || Banned::Caller(it.caller.clone());
        self.bans
            .insert(it.user.clone().map_or_else(caller, Banned::User));
    }

    /// Notes that the roster has changed without anything to tell.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    /// Raises a hand behind those that are up, or lowers it; false when it is so already.
    pub(super) fn hand(&mut self, participant: ParticipantId, raised: bool) -> bool {
        let Some(it) = self.people.get_mut(&participant) else {
            return false;
        };
        if it.hand.is_some() == raised {
            return false;
        }
        self.hands += u32::from(raised);
        it.hand = raised.then_some(self.hands);
        true
    }

    /// Returns who becomes host when the last one is gone: the first who came of those that are signed in.
    pub(super) fn heir(&self) -> Option<ParticipantId> {
        let fit = |it: &&Participant| {
            it.state == State::Here && it.role == Role::Speaker && it.user.is_some()
        };
        let mut fit = self.people.iter().filter(|(_, it)| fit(it));
        fit.next().map(|(id, _)| *id)
    }

    /// Tells everyone what happened.
    pub(super) fn happened(
        &mut self,
        by: Option<ParticipantId>,
        what: What,
        outputs: &mut VecDeque<Output>,
    ) {
        self.seq += 1;
        let seq = self.seq;
        outputs.push_back(Output::Happened(self.id, Happened { seq, by, what }));
        self.changed = true;
    }

    /// Tells whether the roster is another than when this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Notes that something has changed that changes all the time.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Tells whether something has stirred since this was asked last.
    pub(super) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    pub(super) fn roster(&self, spec: &Spec) -> Roster {
        let mut hands: Vec<u32> = self.people.values().filter_map(|it| it.hand).collect();
        hands.sort_unstable();
        let place = |hand: u32| hands.iter().position(|other| *other == hand);
        let person = |(id, it): (&ParticipantId, &Participant)| Person {
            participant: *id,
            name: it.name.clone(),
            kind: it.kind,
            role: it.role,
            presence: match it.state {
                State::Waiting => Presence::Waiting,
                State::Here => Presence::Here,
                State::Away { .. } => Presence::Away,
            },
            muted: it.muted,
            hand: it.hand.and_then(place).map(|place| place as u32 + 1),
            level_db: it.level_db,
            held: it.held,
            shown: it.shown,
            speaking: it.speaking,
            quality: it.quality,
        };
        Roster {
            room: self.id,
            name: spec.name.clone(),
            title: spec.title.clone(),
            number: spec.number.as_ref().map(ToString::to_string),
            locked: self.locked,
            lobby: self.lobby,
            people: self.people.iter().map(person).collect(),
        }
    }
}

impl State {
    pub(super) fn is_waiting(self) -> bool {
        matches!(self, Self::Waiting | Self::Away { waiting: true, .. })
    }
}

/// Returns what of a name can be shown.
fn shown(name: &str, id: ParticipantId) -> String {
    let short = visible(name, NAME_CHARS_MAX, |c| {
        !matches!(c, '\n' | '\u{200c}' | '\u{200d}')
    });
    match short.is_empty() {
        true => id.to_string(),
        false => short,
    }
}
