//! Telephones: how they come in by their keys, and what they do by them inside.

use std::time::{Duration, Instant};

use super::config::{KeyAction, RoomName};
use super::types::{Action, Applicant, Denied, Fresh, Output, Prompt, Who};
use super::{Conferences, Due, room::State};
use crate::{Cause, Digit, LegId, Number};

/// How long one who is refused hears why.
const REFUSING: Duration = Duration::from_secs(2);

/// More keys than any number or PIN has.
const TYPED_MAX: usize = 32;

/// A telephone that is not inside yet.
#[derive(Debug)]
pub(super) struct Dial {
    applicant: Applicant,
    fresh: Fresh,
    asked: Asked,
    typed: String,
    wrong: u32,
    until: Instant,
}

/// What a telephone was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Number,
    Pin(RoomName),
    /// Nothing more: it hears that it is refused.
    Nothing,
}

impl Conferences {
    /// Tells whether a number is ours: a room's, or the door's.
    #[must_use]
    pub fn answers(&self, number: &str) -> bool {
        let Ok(number) = Number::new(number) else {
            return false;
        };
        self.config.door.as_ref() == Some(&number) || self.numbers.contains_key(&number)
    }

    /// Returns the name of the room that is meant by a name or a number.
    ///
    /// # Errors
    ///
    /// [`Denied::NoSuchRoom`] when it is neither a room's number nor what a name could be.
    pub fn named(&self, text: &str) -> Result<RoomName, Denied> {
        let number = Number::new(text).ok();
        match number.and_then(|number| self.numbers.get(&number)) {
            Some(name) => Ok(name.clone()),
            None => RoomName::new(&text.to_lowercase()).map_err(|_| Denied::NoSuchRoom),
        }
    }

    /// Takes a telephone that dialled a number of ours. [`Applicant::who`] must be the leg.
    ///
    /// # Errors
    ///
    /// [`Denied::NoSuchRoom`] when the number is not ours; others when it is to be turned away at once.
    pub fn dial(
        &mut self,
        leg: LegId,
        number: &str,
        applicant: Applicant,
        fresh: Fresh,
        now: Instant,
    ) -> Result<(), Denied> {
        if self.draining {
            return Err(Denied::ShuttingDown);
        }
        if !self.answers(number) {
            return Err(Denied::NoSuchRoom);
        }
        if !self
            .guard
            .admits(&applicant.caller, &self.config.limits, now)
        {
            return Err(Denied::TooManyTries);
        }
        self.outputs.push_back(Output::Answer(leg));
        let number = Number::new(number).ok();
        let room = number.and_then(|number| self.numbers.get(&number).cloned());
        let dial = Dial {
            applicant,
            fresh,
            asked: Asked::Number,
            typed: String::new(),
            wrong: 0,
            until: now,
        };
        match room {
            None => self.ask(leg, dial, Prompt::Number, now),
            Some(room) => self.at_room(leg, dial, room, now),
        }
        Ok(())
    }

    pub(super) fn key(&mut self, leg: LegId, digit: Digit, now: Instant) {
        let Some(mut dial) = self.take_dial(leg) else {
            return self.key_inside(leg, digit, now);
        };
        if dial.asked == Asked::Nothing {
            // Who is being refused does not win time by pressing keys.
            let until = dial.until;
            return self.wait(leg, dial, until);
        }
        self.outputs.push_back(Output::Hush(leg));
        match digit.as_char() {
            '#' => return self.entered(leg, dial, now),
            // Begins anew.
            '*' => dial.typed.clear(),
            key if dial.typed.len() < TYPED_MAX => dial.typed.push(key),
            _ => {}
        }
        self.wait(leg, dial, now + self.config.key_timeout);
    }

    /// Nothing was pressed for a while.
    pub(super) fn key_timeout(&mut self, leg: LegId, now: Instant) {
        let Some(dial) = self.dials.remove(&leg) else {
            return;
        };
        self.entered(leg, dial, now);
    }

    /// Forgets a telephone that hung up before it was inside; false when it was not there.
    pub(super) fn forget_dial(&mut self, leg: LegId) -> bool {
        self.take_dial(leg).is_some()
    }

    fn take_dial(&mut self, leg: LegId) -> Option<Dial> {
        let dial = self.dials.remove(&leg)?;
        self.deadlines.remove(&(dial.until, Due::Key(leg)));
        Some(dial)
    }

    fn entered(&mut self, leg: LegId, mut dial: Dial, now: Instant) {
        let typed = std::mem::take(&mut dial.typed);
        match dial.asked.clone() {
            Asked::Nothing => self.outputs.push_back(Output::HangUp(leg, Cause::Rejected)),
            Asked::Number => {
                let number = Number::new(&typed).ok();
                match number.and_then(|number| self.numbers.get(&number).cloned()) {
                    Some(room) => self.at_room(leg, dial, room, now),
                    None => {
                        // Trying numbers is guessing, too.
                        let caller = &dial.applicant.caller;
                        self.guard.wrong(caller, &self.config.limits, now);
                        self.wrong(leg, dial, now);
                    }
                }
            }
            Asked::Pin(room) => {
                let known = self.rooms.get(&room);
                let optional = known.is_some_and(|it| it.spec.pin.is_none());
                let applicant = Applicant {
                    pin: Some(typed).filter(|typed| !optional || !typed.is_empty()),
                    ..dial.applicant.clone()
                };
                self.enter(leg, dial, &room, applicant, now);
            }
        }
    }

    /// The room is known: asks for its PIN, or goes in.
    fn at_room(&mut self, leg: LegId, dial: Dial, room: RoomName, now: Instant) {
        let known = self.rooms.get(&room);
        let hosts_only =
            known.is_some_and(|it| it.spec.pin.is_none() && it.spec.host_pin.is_some());
        if hosts_only {
            // Whoever is no host goes on by # alone.
            return self.ask_pin(leg, dial, room, now);
        }
        let applicant = dial.applicant.clone();
        self.enter(leg, dial, &room, applicant, now);
    }

    fn ask_pin(&mut self, leg: LegId, dial: Dial, room: RoomName, now: Instant) {
        let dial = Dial {
            asked: Asked::Pin(room),
            wrong: 0,
            ..dial
        };
        self.ask(leg, dial, Prompt::Pin, now);
    }

    fn enter(
        &mut self,
        leg: LegId,
        dial: Dial,
        room: &RoomName,
        applicant: Applicant,
        now: Instant,
    ) {
        match self.join(room, applicant, dial.fresh, now) {
            Ok(place) if place.waiting => self.prompt(leg, Prompt::Wait),
            Ok(_) => {}
            Err(Denied::PinWanted) => self.ask_pin(leg, dial, room.clone(), now),
            Err(Denied::WrongPin) => self.wrong(leg, dial, now),
            Err(_) => self.refuse(leg, dial, now),
        }
    }

    fn ask(&mut self, leg: LegId, dial: Dial, prompt: Prompt, now: Instant) {
        self.prompt(leg, prompt);
        self.wait(leg, dial, now + self.config.key_timeout);
    }

    fn wrong(&mut self, leg: LegId, mut dial: Dial, now: Instant) {
        dial.wrong += 1;
        if dial.wrong >= self.config.limits.tries {
            return self.refuse(leg, dial, now);
        }
        self.ask(leg, dial, Prompt::Wrong, now);
    }

    fn refuse(&mut self, leg: LegId, mut dial: Dial, now: Instant) {
        dial.asked = Asked::Nothing;
        self.prompt(leg, Prompt::Refused);
        self.wait(leg, dial, now + REFUSING);
    }

    fn wait(&mut self, leg: LegId, mut dial: Dial, until: Instant) {
        dial.until = until;
        self.deadlines.insert((dial.until, Due::Key(leg)));
        self.dials.insert(leg, dial);
    }

    pub(super) fn prompt(&mut self, leg: LegId, prompt: Prompt) {
        self.outputs.push_back(Output::Prompt(leg, prompt));
    }

    /// `*` and a key within the time.
    fn key_inside(&mut self, leg: LegId, digit: Digit, now: Instant) {
        if !self.places.contains_key(&Who::Leg(leg)) {
            return;
        }
        self.outputs.push_back(Output::Hush(leg));
        if digit.as_char() == '*' {
            self.stars.insert(leg, now);
            return;
        }
        let Some(star) = self.stars.remove(&leg) else {
            return;
        };
        if now.saturating_duration_since(star) > self.config.key_timeout {
            return;
        }
        if let Some(action) = self.config.keys.get(&digit).copied() {
            self.key_action(leg, action, now);
        }
    }

    fn key_action(&mut self, leg: LegId, action: KeyAction, now: Instant) {
        let who = Who::Leg(leg);
        let Some((name, me)) = self.places.get(&who).cloned() else {
            return;
        };
        let Some(room) = self.rooms.get(&name).and_then(|known| known.open.as_ref()) else {
            return;
        };
        let Some(own) = room.people.get(&me) else {
            return;
        };
        let (muted, hand, locked) = (own.muted, own.hand.is_some(), room.locked);
        let mut waiting = room
            .people
            .iter()
            .filter(|(_, it)| it.state == State::Waiting);
        let first = waiting.next().map(|(id, _)| *id);
        let (action, said) = match action {
            KeyAction::Mute if muted => (Action::Mute(me, false), Some(Prompt::Unmuted)),
            KeyAction::Mute => (Action::Mute(me, true), Some(Prompt::Muted)),
            KeyAction::Hand if hand => (Action::Hand(me, false), Some(Prompt::HandDown)),
            KeyAction::Hand => (Action::Hand(me, true), Some(Prompt::HandUp)),
            KeyAction::Leave => (Action::Leave, None),
            KeyAction::MuteAll => (Action::MuteAll, Some(Prompt::AllMuted)),
            KeyAction::Lock if locked => (Action::Lock(false), Some(Prompt::Unlocked)),
            KeyAction::Lock => (Action::Lock(true), Some(Prompt::Locked)),
            KeyAction::Admit => match first {
                Some(first) => (Action::Admit(first), None),
                None => return,
            },
        };
        match self.act(who, action, now) {
            Ok(()) => {
                if let Some(said) = said {
                    self.prompt(leg, said);
                }
            }
            Err(Denied::NotHost) => self.prompt(leg, Prompt::HostOnly),
            Err(_) => self.prompt(leg, Prompt::Wrong),
        }
    }
}
