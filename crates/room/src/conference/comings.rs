//! Who comes and goes, as those in a room are told who see no roster: by two notes in its mix, or by name.
//!
//! Who comes within a moment is said in one sentence, and while a sentence is being said the next one waits and grows:
//! there is never more than one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::config::RoomName;
use super::room::{Participant, State};
use super::types::{Kind, Leaving, Output, RoomId, Who};
use super::{Conferences, Due};
use crate::{LegId, ParticipantId};

/// How telephones in a room hear that somebody comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Announce {
    /// By their names, said to the telephones alone.
    Names,
    /// By two notes in the room's mix.
    #[default]
    Tone,
    /// Not at all.
    Off,
}

impl Announce {
    /// Returns how it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Tone => "tone",
            Self::Off => "off",
        }
    }

    /// Returns what is written so, if anything.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let all = [Self::Names, Self::Tone, Self::Off];
        all.into_iter().find(|it| it.as_str() == text)
    }
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coming {
    /// In.
    Joined,
    /// Out.
    Left,
}

/// Those who have come, or gone, since that was said last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct News {
    /// Which way.
    pub coming: Coming,
    /// How many.
    pub people: usize,
    /// What they are called, when they are few enough for that.
    pub named: Vec<Called>,
}

/// What somebody is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Called {
    /// By the name that is shown.
    Name(String),
    /// A telephone by its number, digits alone.
    Number(String),
    /// A telephone that withholds even that.
    Telephone,
    /// Somebody else without a name.
    Somebody,
}

/// Who comes within this time after the first is said together with it: a group that follows one link.
const GATHER: Duration = Duration::from_secs(1);

/// The longest sentence; whoever speaks them cuts what is longer. So much is left for each before the next.
pub const SENTENCE: Duration = Duration::from_secs(6);

/// Those who are named in one sentence; of more only the number is said.
const NAMED_MAX: usize = 2;

/// Who has come and gone since telephones were told. No more than the room has people, twice: who comes and goes
/// between two sentences is in none.
#[derive(Debug, Default)]
pub(super) struct Comings {
    joined: BTreeMap<ParticipantId, Called>,
    left: BTreeMap<ParticipantId, Called>,
    /// When they are told next; `None`: there is nothing to tell.
    pub(super) due: Option<Instant>,
    /// Until then what was told last is being said.
    busy: Option<Instant>,
}

impl Conferences {
    /// Somebody is inside now.
    pub(super) fn comes(&mut self, name: &RoomName, whom: ParticipantId, now: Instant) {
        let own = self.room(name).and_then(|room| room.people.get(&whom));
        if let Some(called) = own.map(|own| called(whom, own)) {
            self.note(name, whom, Coming::Joined, called, now);
        }
    }

    /// Somebody is there no longer.
    pub(super) fn goes(
        &mut self,
        name: &RoomName,
        whom: ParticipantId,
        own: &Participant,
        why: Leaving,
        now: Instant,
    ) {
        let room_ends = match why {
            Leaving::Ended | Leaving::Shutdown => true,
            Leaving::Left
            | Leaving::Lost
            | Leaving::Removed
            | Leaving::Banned
            | Leaving::Elsewhere => false,
        };
        // Who never was inside does not leave.
        if !room_ends && !own.state.is_waiting() {
            self.note(name, whom, Coming::Left, called(whom, own), now);
        }
    }

    /// `called`: `None` for what is no person and has announcements of its own.
    fn note(
        &mut self,
        name: &RoomName,
        whom: ParticipantId,
        coming: Coming,
        called: Option<Called>,
        now: Instant,
    ) {
        let announce = self.config.announce;
        let Some(known) = self.rooms.get_mut(name) else {
            return;
        };
        let Some(room) = &mut known.open else { return };
        match (known.spec.announce.unwrap_or(announce), called) {
            (Announce::Off, _) | (Announce::Names, None) => {}
            // Who is the first comes to nobody.
            (Announce::Tone, _) if coming == Coming::Joined && room.people.len() == 1 => {}
            (Announce::Tone, _) => self.outputs.push_back(Output::Chime(room.id, coming)),
            (Announce::Names, Some(called)) => {
                let comings = &mut room.comings;
                comings.note(whom, coming, called);
                if comings.due.is_none() && !comings.is_empty() {
                    let soon = now + GATHER;
                    let due = comings.busy.map_or(soon, |busy| busy.max(soon));
                    comings.due = Some(due);
                    self.deadlines.insert((due, Due::Comings(room.id)));
                }
            }
        }
    }

    /// Lets telephones be told what there is to tell.
    pub(super) fn announce_comings(&mut self, id: RoomId, now: Instant) {
        let Some(name) = self.names.get(&id) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(name).and_then(|it| it.open.as_mut()) else {
            return;
        };
        let news = room.comings.take();
        let mut told: BTreeMap<Vec<News>, Vec<LegId>> = BTreeMap::new();
        for (own, it) in &room.people {
            let (Who::Leg(leg), State::Here) = (it.who, it.state) else {
                continue;
            };
            let news = news.for_one(*own);
            if !news.is_empty() {
                told.entry(news).or_default().push(leg);
            }
        }
        let sentences = told.keys().map(Vec::len).max().unwrap_or(0);
        // At most two: those who came, those who went.
        room.comings.busy = Some(now + SENTENCE * sentences as u32);
        let outputs = told.into_iter().map(|(news, legs)| Output::Announce {
            room: id,
            legs,
            news,
        });
        self.outputs.extend(outputs);
    }
}

impl Comings {
    fn note(&mut self, whom: ParticipantId, coming: Coming, called: Called) {
        match coming {
            Coming::Joined => drop(self.joined.insert(whom, called)),
            Coming::Left => {
                if self.joined.remove(&whom).is_none() {
                    self.left.insert(whom, called);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty()
    }

    fn take(&mut self) -> Untold {
        self.due = None;
        Untold {
            joined: std::mem::take(&mut self.joined),
            left: std::mem::take(&mut self.left),
        }
    }
}

/// What there is to tell.
struct Untold {
    joined: BTreeMap<ParticipantId, Called>,
    left: BTreeMap<ParticipantId, Called>,
}

impl Untold {
    /// Returns what one is told: nobody hears that it comes itself.
    fn for_one(&self, own: ParticipantId) -> Vec<News> {
        let ways = [(Coming::Joined, &self.joined), (Coming::Left, &self.left)];
        let news = ways.map(|(coming, all)| {
            let people = all.len() - usize::from(all.contains_key(&own));
            let others = all.iter().filter(|(id, _)| **id != own);
            let named = match people <= NAMED_MAX {
                true => others.map(|(_, called)| called.clone()).collect(),
                false => Vec::new(),
            };
            News {
                coming,
                people,
                named,
            }
        });
        news.into_iter().filter(|it| it.people > 0).collect()
    }
}

/// Returns what somebody is called; `None` for what is no person.
fn called(id: ParticipantId, own: &Participant) -> Option<Called> {
    let telephone = match own.kind {
        Kind::Telephone => true,
        Kind::Browser => false,
        Kind::Recorder | Kind::Program => return None,
    };
    // Who has no name is shown as its place.
    let nameless = own.name == id.to_string();
    Some(match (telephone, nameless) {
        (true, true) => Called::Telephone,
        (false, true) => Called::Somebody,
        (true, false) => {
            number(&own.name).map_or_else(|| Called::Name(own.name.clone()), Called::Number)
        }
        (false, false) => Called::Name(own.name.clone()),
    })
}

/// Returns the digits of what is a telephone's number and nothing else.
fn number(name: &str) -> Option<String> {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    let sign = |c| matches!(c, '+' | '*' | '#' | '-' | '/' | '.' | '(' | ')' | ' ');
    let only = name.chars().all(|c| c.is_ascii_digit() || sign(c));
    (only && !digits.is_empty()).then_some(digits)
}
