//! What people in a room say in words.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Conferences;
use super::files::{File, FileId};
use super::room::Room;
use super::types::{Denied, Output, Who};
use crate::{DeviceId, ParticipantId};

/// What a late joiner gets to read.
pub const MESSAGES_MAX: usize = 100;

/// All of it together, in bytes: what fits into one message to a page.
const BYTES_MAX: usize = 64 * 1024;

/// The longest message, in characters; the rest is cut off.
pub const TEXT_CHARS_MAX: usize = 2000;

/// One a second is more than anybody types for long, or reads.
const INTERVAL: Duration = Duration::from_secs(1);

/// What may come at once: a thought in several lines, some applause.
const BURST: u32 = 8;

/// Something said in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Counted from 1 in each room.
    pub n: u64,
    /// Who said it.
    pub from: ParticipantId,
    /// How the roster called who said it.
    pub name: String,
    /// To whom alone; `None`: to all.
    pub to: Option<ParticipantId>,
    /// What. Control characters are left out, and what is too long.
    pub text: String,
    /// A file that goes with it.
    pub file: Option<File>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Message {
    /// Returns the bytes that its author chose.
    fn len(&self) -> usize {
        self.text.len() + self.file.as_ref().map_or(0, |file| file.name.len())
    }
}

/// What was said lately.
#[derive(Debug, Default)]
pub(super) struct Chat {
    messages: VecDeque<Message>,
    bytes: usize,
    last: u64,
}

impl Chat {
    fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.messages.push_back(message);
        while self.messages.len() > MESSAGES_MAX || self.bytes > BYTES_MAX {
            let oldest = self.messages.pop_front();
            self.bytes -= oldest.map_or(0, |oldest| oldest.len());
        }
    }

    /// Returns what one may read, oldest first.
    fn readable(&self, by: ParticipantId) -> impl Iterator<Item = &Message> {
        let readable = move |it: &&Message| it.to.is_none_or(|to| to == by || it.from == by);
        self.messages.iter().filter(readable)
    }
}

/// What so many may be brought in.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// How fast somebody talks, or brings files.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When everything said until now is used up.
    until: Option<Instant>,
}

impl Pace {
    /// Tells whether nothing of it is used up.
    pub(super) fn is_rested(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Takes one of `burst` that come back one by one.
    pub(super) fn take(
        &mut self,
        now: Instant,
        interval: Duration,
        burst: u32,
    ) -> Result<(), Denied> {
        let until = self.until.unwrap_or(now).max(now);
        if until - now > interval * burst.saturating_sub(1) {
            return Err(Denied::TooFast);
        }
        self.until = Some(until + interval);
        Ok(())
    }
}

impl Conferences {
    /// Says something to all in the room, or to one of them, with a file of one's own or without. `at_ms` is the wall
    /// clock.
    ///
    /// # Errors
    ///
    /// When it is not inside, talks too fast, nothing of it can be shown, the other one cannot read it, or there is no
    /// such file.
    pub fn say(
        &mut self,
        who: Who,
        text: &str,
        to: Option<ParticipantId>,
        file: Option<FileId>,
        at_ms: u64,
        now: Instant,
    ) -> Result<(), Denied> {
        let text = visible(text, TEXT_CHARS_MAX, |_| true);
        if text.is_empty() && file.is_none() {
            return Err(Denied::NothingToShow);
        }
        let (room, from) = self.talker(who)?;
        if let Some(to) = to {
            let it = room.people.get(&to).ok_or(Denied::NoSuchParticipant)?;
            if it.state.is_waiting() || !matches!(it.who, Who::Device(_)) {
                return Err(Denied::WrongState);
            }
        }
        let own = room.people.get_mut(&from).ok_or(Denied::NotIn)?;
        own.pace.take(now, INTERVAL, BURST)?;
        let name = own.name.clone();
        let give = |id| room.shelf.give(id, from, to).ok_or(Denied::NoSuchFile);
        let file = file.map(give).transpose()?;
        room.chat.last += 1;
        let message = Message {
            n: room.chat.last,
            from,
            name,
            to,
            text,
            file,
            at_ms,
        };
        room.chat.push(message.clone());
        let id = room.id;
        self.outputs.push_back(Output::Said(id, message));
        Ok(())
    }

    /// Shows a sign to all in the room.
    ///
    /// # Errors
    ///
    /// When it is not inside, shows too many, or it is no sign.
    pub fn react(&mut self, who: Who, emoji: &str, now: Instant) -> Result<(), Denied> {
        let emoji = visible(emoji, EMOJI_CHARS_MAX, |c| c != '\n');
        let plain = |c: char| c.is_alphabetic() || c.is_whitespace() || c.is_ascii_punctuation();
        if emoji.is_empty() || emoji.is_ascii() || emoji.chars().any(plain) {
            return Err(Denied::NothingToShow);
        }
        let (room, from) = self.talker(who)?;
        let own = room.people.get_mut(&from).ok_or(Denied::NotIn)?;
        own.pace.take(now, INTERVAL, BURST)?;
        let room = room.id;
        self.outputs
            .push_back(Output::Reacted { room, from, emoji });
        Ok(())
    }

    /// Returns what somebody inside may read of what was said, oldest first.
    #[must_use]
    pub fn chat(&self, who: Who) -> Vec<Message> {
        let Some((name, me)) = self.places.get(&who) else {
            return Vec::new();
        };
        let Some(room) = self.room(name) else {
            return Vec::new();
        };
        let own = room.people.get(me);
        if own.is_none_or(|own| own.state.is_waiting()) {
            return Vec::new();
        }
        room.chat.readable(*me).cloned().collect()
    }

    /// Returns the devices of those who are inside a room, or away from it for the moment.
    pub fn devices(
        &self,
        room: super::RoomId,
    ) -> impl Iterator<Item = (ParticipantId, DeviceId)> + '_ {
        let room = self.names.get(&room).and_then(|name| self.room(name));
        let people = room.into_iter().flat_map(|room| &room.people);
        people.filter_map(|(id, it)| match it.who {
            Who::Device(device) if !it.state.is_waiting() => Some((*id, device)),
            Who::Device(_) | Who::Leg(_) | Who::Program(_) => None,
        })
    }

    pub(super) fn talker(&mut self, who: Who) -> Result<(&mut Room, ParticipantId), Denied> {
        let (name, me) = self.places.get(&who).cloned().ok_or(Denied::NotIn)?;
        let known = self.rooms.get_mut(&name).ok_or(Denied::NotIn)?;
        let room = known.open.as_mut().ok_or(Denied::NotIn)?;
        let own = room.people.get(&me).ok_or(Denied::NotIn)?;
        match own.state.is_waiting() {
            true => Err(Denied::WrongState),
            false => Ok((room, me)),
        }
    }
}

/// The longest sign, in characters: a family of four with joiners and colours.
const EMOJI_CHARS_MAX: usize = 16;

/// Returns what of a text can be shown, without what turns the direction of the text around it or hides in it.
pub(super) fn visible(text: &str, chars_max: usize, fits: impl Fn(char) -> bool) -> String {
    let harmless = |c: &char| (*c == '\n' || !c.is_control()) && !is_invisible(*c) && fits(*c);
    let short: String = text.chars().filter(harmless).take(chars_max).collect();
    short.trim().to_owned()
}

/// The joiners are none: without them some scripts and signs come apart.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{061c}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}
