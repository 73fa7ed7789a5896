//! What goes in and out.

use std::fmt;

use super::activity::Quality;
use super::chat::Message;
use super::comings::{Coming, News};
use super::config::RoomName;
use super::files::FileId;
use crate::{Cause, DeviceId, Digit, LegId, ParticipantId, UserId};

/// An open room; drawn at random when it opens and never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub u128);

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomId({self})")
    }
}

/// What one shows to have a place back: drawn at random, known to its participant alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub u128);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// By what a participant is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A browser's signaling session.
    Device(DeviceId),
    /// A telephone.
    Leg(LegId),
    /// A program that an operator let in.
    Program(ProgramId),
}

/// A program that takes part in a room; never used again on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramId(pub u64);

/// What a participant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A page.
    Browser,
    /// Someone behind Asterisk.
    Telephone,
    /// Something that writes down what is said.
    Recorder,
    /// Another program.
    Program,
}

impl Kind {
    /// Tells whether it is nobody: a room with such participants alone is empty.
    #[must_use]
    pub fn is_machine(self) -> bool {
        match self {
            Self::Recorder | Self::Program => true,
            Self::Browser | Self::Telephone => false,
        }
    }
}

/// What a participant may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    Host,
    /// Speak and hear.
    Speaker,
    /// Hear.
    Listener,
    /// Hear, and be shown to everyone as one who keeps it.
    Recorder,
}

impl Role {
    /// Tells whether the role may publish.
    #[must_use]
    pub fn speaks(self) -> bool {
        matches!(self, Self::Host | Self::Speaker)
    }
}

/// Someone who wants to come in.
#[derive(Debug, Clone)]
pub struct Applicant {
    /// By what it is reached.
    pub who: Who,
    /// Who is signed in there.
    pub user: Option<UserId>,
    /// The name to show; control characters are left out, and what is too long.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The most it wants to be: a host must be entitled, a speaker may find too many.
    pub role: Role,
    /// Whose wrong PINs are counted together: a user, a number, an address.
    pub caller: String,
    /// What it takes for the PIN.
    pub pin: Option<String>,
    /// What it was given when it came in the first time.
    pub key: Option<Key>,
    /// What it was in this room before the server was started anew, as its key says: it has said the PIN and was let in
    /// then.
    pub was: Option<Role>,
}

/// Names drawn at random for what may begin.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    /// For a room that opens.
    pub room: RoomId,
    /// For a participant who is new.
    pub key: Key,
}

/// A place in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The room.
    pub room: RoomId,
    /// The place in it.
    pub participant: ParticipantId,
    /// What it may.
    pub role: Role,
    /// What gives it back.
    pub key: Key,
    /// Whether a host has to let it in first.
    pub waiting: bool,
}

/// What a participant wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Mutes (true) a participant, or no longer. Others than oneself: hosts only, and only to mute.
    Mute(ParticipantId, bool),
    /// Mutes everyone but the hosts. Hosts only.
    MuteAll,
    /// Raises (true) or lowers a hand. Others than one's own: hosts only, and only to lower it.
    Hand(ParticipantId, bool),
    /// Lets nobody in any more (true), or again. Hosts only.
    Lock(bool),
    /// Lets people in one by one (true), or freely. Hosts only.
    Lobby(bool),
    /// Lets one in who waits. Hosts only.
    Admit(ParticipantId),
    /// Makes somebody host, speaker or listener. Hosts only.
    Role(ParticipantId, Role),
    /// Puts somebody out who may come again. Hosts only.
    Remove(ParticipantId),
    /// Puts somebody out until the room closes. Hosts only.
    Ban(ParticipantId),
    /// Makes somebody so many decibels louder for everyone. Hosts only.
    Level(ParticipantId, i8),
    /// Is not listening for the moment (true), or again.
    Hold(bool),
    /// Tells what is to be seen of oneself.
    Show(Shown),
    /// Goes.
    Leave,
    /// Ends the room for all. Hosts only.
    End,
}

/// What is to be seen of a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// The camera is on.
    pub camera: bool,
    /// A screen is shown.
    pub screen: bool,
}

/// Something that happened outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A device's connection is lost; it may come back.
    DeviceLost(DeviceId),
    /// A device is back, or it never was away.
    DeviceBack(DeviceId),
    /// A device is gone for good: its session has ended.
    DeviceGone(DeviceId),
    /// A telephone has hung up, or one that was called does not come.
    LegEnded(LegId, Cause),
    /// A telephone that was called into a room rings.
    LegRinging(LegId),
    /// A telephone that was called into a room has answered.
    LegAnswered(LegId),
    /// A telephone holds the line (true), or no longer.
    LegHeld(LegId, bool),
    /// A telephone pressed a key.
    LegDigit(LegId, Digit),
    /// The daemon goes down: everyone leaves, nothing new begins.
    Drain,
}

/// Why somebody is in a room no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaving {
    /// By the own wish.
    Left,
    /// The connection was lost and did not come back.
    Lost,
    /// A host put it out.
    Removed,
    /// A host put it out until the room closes.
    Banned,
    /// A host ended the room.
    Ended,
    /// The daemon goes down.
    Shutdown,
    /// The same participant came by another device.
    Elsewhere,
}

/// What a telephone is to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prompt {
    /// Enter the room's number and `#`.
    Number,
    /// Enter the PIN and `#`.
    Pin,
    /// That was wrong.
    Wrong,
    /// A host has to let you in.
    Wait,
    /// You are the only one.
    Alone,
    /// You are muted now.
    Muted,
    /// You are heard again.
    Unmuted,
    /// Your hand is raised.
    HandUp,
    /// Your hand is lowered.
    HandDown,
    /// You cannot come in: it is full, locked, or you tried too often.
    Refused,
    /// All others are muted.
    AllMuted,
    /// Nobody is let in any more.
    Locked,
    /// People are let in again.
    Unlocked,
    /// Only a host may do that.
    HostOnly,
    /// What is said is kept.
    Recorded,
    /// A program hears what is said.
    Listening,
}

/// Something to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A room opens.
    Opened(RoomId, RoomName),
    /// Answer a telephone that is not answered yet.
    Answer(LegId),
    /// Let a telephone hear something, once.
    Prompt(LegId, Prompt),
    /// A telephone presses keys: what it is being told can end.
    Hush(LegId),
    /// Let a room's mix have the sign that somebody comes or goes.
    Chime(RoomId, Coming),
    /// Say to these telephones in a room, and to nobody else, who has come and gone.
    Announce {
        /// The room.
        room: RoomId,
        /// To whom, if it is still there when there is something to be heard.
        legs: Vec<LegId>,
        /// At least one.
        news: Vec<News>,
    },
    /// A telephone is the only one in its room (true), or no longer.
    Alone(LegId, bool),
    /// Somebody is in the room now, or is let in after waiting: as `role`, muted or not.
    Enter {
        /// The room.
        room: RoomId,
        /// The place.
        participant: ParticipantId,
        /// Who.
        who: Who,
        /// As what.
        role: Role,
        /// Whether it is heard.
        muted: bool,
    },
    /// Somebody has another role now: what it may publish changes.
    Role {
        /// The room.
        room: RoomId,
        /// The place.
        participant: ParticipantId,
        /// Who.
        who: Who,
        /// As what.
        role: Role,
    },
    /// Somebody is muted, or no longer.
    Mute {
        /// The room.
        room: RoomId,
        /// The place.
        participant: ParticipantId,
        /// Who.
        who: Who,
        /// Whether it is silent now.
        muted: bool,
    },
    /// Somebody who waited was let in: said after its [`Enter`](Self::Enter).
    Admitted {
        /// The room.
        room: RoomId,
        /// The place.
        participant: ParticipantId,
        /// Who.
        who: Who,
    },
    /// Somebody is to be so many decibels louder in mixes.
    Level {
        /// The room.
        room: RoomId,
        /// The place.
        participant: ParticipantId,
        /// How much louder.
        db: i8,
    },
    /// Somebody said something in words.
    Said(RoomId, Message),
    /// A file is not to be had any more.
    FileGone(RoomId, FileId),
    /// Somebody shows a sign.
    Reacted {
        /// The room.
        room: RoomId,
        /// Who.
        from: ParticipantId,
        /// Which.
        emoji: String,
    },
    /// Somebody is in the room no more. A telephone is to be hung up, unless it did so itself.
    Leave {
        /// The room.
        room: RoomId,
        /// The place.
        participant: ParticipantId,
        /// Who.
        who: Who,
        /// Why.
        why: Leaving,
    },
    /// A telephone that a host calls into the room: how far it is. For the hosts.
    Calling {
        /// The room.
        room: RoomId,
        /// What was dialled.
        number: String,
        /// How far.
        state: CallState,
    },
    /// Hang a telephone up that never came in. It is not named again.
    HangUp(LegId, Cause),
    /// Something to tell everyone in the room.
    Happened(RoomId, Happened),
    /// [`Conferences::roster`](super::Conferences::roster) has changed since it was said last.
    Roster(RoomId),
    /// In that roster nothing has changed but who speaks and how well they are heard: it may wait for a moment.
    Activity(RoomId),
    /// The last one has left: the room's tracks end.
    Closed(RoomId, RoomName),
}

/// How far a telephone is that is called into a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// It was dialled.
    Calling,
    /// It rings.
    Ringing,
    /// It is in the room.
    Up,
    /// It does not come.
    Ended(Cause),
}

/// Something that happened in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    /// Counted from 1 in each room.
    pub seq: u64,
    /// Who did it; `None` when nobody did.
    pub by: Option<ParticipantId>,
    /// What.
    pub what: What,
}

/// What happened in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Came in.
    Joined(ParticipantId),
    /// Waits to be let in.
    Waiting(ParticipantId),
    /// Its connection is lost.
    Away(ParticipantId),
    /// Is back.
    Back(ParticipantId),
    /// Is there no more.
    Left(ParticipantId, Leaving),
    /// Is muted, or no longer.
    Muted(ParticipantId, bool),
    /// All but the hosts are muted.
    AllMuted,
    /// The hand is up or down.
    Hand(ParticipantId, bool),
    /// Has another role.
    Role(ParticipantId, Role),
    /// Is made so many decibels louder.
    Level(ParticipantId, i8),
    /// Is not listening for the moment, or again.
    Held(ParticipantId, bool),
    /// The room is locked, or no longer.
    Locked(bool),
    /// A host lets people in one by one, or no longer.
    Lobby(bool),
}

/// Everyone in a room and what holds for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The room.
    pub room: RoomId,
    /// Its name in links.
    pub name: RoomName,
    /// What people call it.
    pub title: String,
    /// What telephones dial.
    pub number: Option<String>,
    /// Whether nobody is let in.
    pub locked: bool,
    /// Whether a host lets people in.
    pub lobby: bool,
    /// Everyone, in the order of their places.
    pub people: Vec<Person>,
}

/// One of a roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The place.
    pub participant: ParticipantId,
    /// The name to show.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it may.
    pub role: Role,
    /// How it is there.
    pub presence: Presence,
    /// Whether it is silent.
    pub muted: bool,
    /// When its hand went up: the first has 1.
    pub hand: Option<u32>,
    /// How many decibels louder it is to be.
    pub level_db: i8,
    /// Whether it is not listening for the moment.
    pub held: bool,
    /// What is to be seen of it.
    pub shown: Shown,
    /// Whether it speaks, and is heard.
    pub speaking: bool,
    /// How well it is heard, where that is known.
    pub quality: Option<Quality>,
}

/// How somebody is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Waits to be let in.
    Waiting,
    /// Is there.
    Here,
    /// The connection is lost for the moment.
    Away,
}

/// Why something is refused. What is refused has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Not a room's name.
    #[error("a room's name is 1 to 64 of a-z, 0-9 and hyphen")]
    BadName,
    /// Not a PIN.
    #[error("a PIN is 4 to 16 digits")]
    BadPin,
    /// No room has that name or number.
    #[error("there is no such room")]
    NoSuchRoom,
    /// The name or the number is another room's.
    #[error("another room has that name or number")]
    Taken,
    /// The limit of rooms is reached.
    #[error("there are too many rooms")]
    TooManyRooms,
    /// One has to say the PIN.
    #[error("this room has a PIN")]
    PinWanted,
    /// It was another one.
    #[error("that is not the PIN")]
    WrongPin,
    /// Too many wrong ones.
    #[error("too many wrong PINs: try again later")]
    TooManyTries,
    /// Nobody is let in.
    #[error("the room is locked")]
    Locked,
    /// The limit of people is reached.
    #[error("the room is full")]
    Full,
    /// A host has put this one out.
    #[error("you were put out of this room")]
    Banned,
    /// The asker is not in that room.
    #[error("you are not in this room")]
    NotIn,
    /// The asker is in a room already.
    #[error("you are in a room already")]
    AlreadyIn,
    /// Only hosts may.
    #[error("only a host may do this")]
    NotHost,
    /// Nobody has that place.
    #[error("nobody has that place")]
    NoSuchParticipant,
    /// More than anybody has to say.
    #[error("that is too much at once")]
    TooFast,
    /// No text that can be shown.
    #[error("there is nothing in it that can be shown")]
    NothingToShow,
    /// Nobody is in it.
    #[error("nobody is in the room")]
    Empty,
    /// Files are not taken.
    #[error("files are not taken here")]
    NoFiles,
    /// Longer than the configuration allows.
    #[error("the file is too long")]
    FileTooLong,
    /// There is none of that name for this one.
    #[error("there is no such file any more")]
    NoSuchFile,
    /// It is not in a state for that.
    #[error("this cannot be done now")]
    WrongState,
    /// The daemon goes down.
    #[error("the server is going down")]
    ShuttingDown,
}
