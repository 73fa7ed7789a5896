//! What the server sends.

use serde::{Deserialize, Serialize};

use super::room::{ChatMessage, DialState, Joined, RoomId, RoomMedia};
use super::types::{
    CallId, CallView, Cause, Code, Heard, Media, ParkedCall, Party, Presence, Rules, Services,
};
use crate::conference::{Happened, Leaving, Role, Roster};

/// A message to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ServerMessage {
    /// Something happened; kept for a resume.
    Event(Sequenced),
    /// An answer, or a word about the connection itself; never repeated.
    Notice(Notice),
}

impl ServerMessage {
    /// Returns the JSON text.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("only text keys and finite numbers")
    }
}

/// An event and its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sequenced {
    /// Counted from 1 in each session.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A user came, went or changed state.
    Presence(Presence),
    /// Someone calls.
    Incoming {
        /// The call.
        call: CallId,
        /// Who calls.
        from: Party,
        /// Who was called first, or transfers the call: a name or number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via: Option<String>,
    },
    /// The far end rings.
    Ringing {
        /// The call.
        call: CallId,
    },
    /// There is sound before the answer.
    Early {
        /// The call.
        call: CallId,
        /// Where the sound is.
        media: Media,
    },
    /// The call is answered.
    Up {
        /// The call.
        call: CallId,
        /// Where to publish and whom to hear.
        media: Media,
    },
    /// A participant holds the call or took it up again.
    Held {
        /// The call.
        call: CallId,
        /// True when held.
        held: bool,
        /// The participant.
        by: String,
    },
    /// A participant's microphone went off or on.
    Muted {
        /// The call.
        call: CallId,
        /// The participant.
        participant: String,
        /// True when off.
        muted: bool,
    },
    /// A participant pressed a digit.
    Dtmf {
        /// The call.
        call: CallId,
        /// The participant.
        participant: String,
        /// One of `0-9A-D*#`.
        digit: char,
    },
    /// Somebody is asked to take a participant's place; the others hear a ringing tone.
    Transferring {
        /// The call.
        call: CallId,
        /// The participant that transfers.
        by: String,
        /// Who is asked.
        to: Party,
    },
    /// Nobody took the place: the call is as before.
    TransferFailed {
        /// The call.
        call: CallId,
        /// Why.
        cause: Cause,
        /// For people.
        reason: String,
    },
    /// Others are in the call now, or it has moved into another one's room.
    Changed {
        /// The call as it was called until now.
        call: CallId,
        /// What it is called from now on.
        now: CallId,
        /// The other side; the first of several.
        peer: Party,
        /// Where to publish and whom to hear.
        media: Media,
    },
    /// How a telephone of the call sounds, over the last 5 s; also when one direction falls silent.
    Quality {
        /// The call.
        call: CallId,
        /// The telephone's participant.
        participant: String,
        /// What it says.
        from: Box<Heard>,
        /// What it hears.
        to: Box<Heard>,
    },
    /// The call rings elsewhere now: where it was sent on to.
    Diverted {
        /// The call.
        call: CallId,
        /// Who is called now.
        to: Party,
    },
    /// What the user wants done with calls is different now.
    Rules(Rules),
    /// Whether messages wait in the user's mailbox.
    Messages {
        /// True when there are any.
        waiting: bool,
    },
    /// A call is parked.
    Parked(ParkedCall),
    /// A slot is free again.
    Unparked {
        /// Which.
        slot: String,
    },
    /// A host has let this device into a room.
    RoomAdmitted {
        /// The room.
        room: RoomId,
        /// What gives the place back from now on.
        key: String,
        /// What this device may there.
        role: Role,
        /// Where to publish and whom to hear.
        media: RoomMedia,
        /// Everyone.
        roster: Box<Roster>,
        /// What was said lately, oldest first.
        chat: Vec<ChatMessage>,
    },
    /// This device may something else in a room now, or goes on with another token.
    RoomMedia {
        /// The room.
        room: RoomId,
        /// What gives the place back from now on.
        key: String,
        /// What this device may there.
        role: Role,
        /// Where to publish and whom to hear.
        media: RoomMedia,
    },
    /// Who is in a room, and what holds for it; not repeated after a resume, but sent as it is then.
    Roster {
        /// The room.
        room: RoomId,
        /// Everyone.
        roster: Box<Roster>,
    },
    /// Something happened in a room.
    RoomEvent {
        /// The room.
        room: RoomId,
        /// What.
        event: Happened,
    },
    /// Somebody said something in words.
    Chat {
        /// The room.
        room: RoomId,
        /// What.
        message: ChatMessage,
    },
    /// Somebody shows a sign.
    Reaction {
        /// The room.
        room: RoomId,
        /// Who.
        from: String,
        /// Which.
        emoji: String,
    },
    /// A telephone is called into a room; said to its hosts.
    RoomDial {
        /// The room.
        room: RoomId,
        /// The telephone.
        number: String,
        /// How far it has come.
        state: DialState,
        /// Why it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    /// This device is in a room no more; exactly once for each place.
    RoomLeft {
        /// The room.
        room: RoomId,
        /// Why.
        why: Leaving,
    },
    /// The call is over; exactly once for each call.
    Ended {
        /// The call.
        call: CallId,
        /// Why.
        cause: Cause,
        /// For people.
        reason: String,
    },
}

impl Event {
    /// Returns the JSON text without a number.
    ///
    /// # Panics
    ///
    /// Never: only text keys and finite numbers.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("only text keys and finite numbers")
    }
}

/// An answer, or a word about the connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Notice {
    /// The request was carried out.
    Ok {
        /// The request's id.
        id: u64,
        /// What it brought.
        #[serde(flatten)]
        done: Done,
    },
    /// The request was not carried out.
    Refused {
        /// The request's id.
        id: u64,
        /// Why.
        code: Code,
        /// For people.
        reason: String,
    },
    /// Something without an id was wrong.
    Error {
        /// What.
        code: Code,
        /// For people.
        reason: String,
    },
    /// Answer `pong`.
    Ping,
    /// The daemon goes; the socket closes with 1001.
    Bye {
        /// For people.
        reason: String,
    },
}

/// What an `ok` carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Done {
    /// To `register`.
    Registered(Box<Registered>),
    /// To `join`.
    Joined(Box<Joined>),
    /// To `call`.
    Called {
        /// The new call.
        call: CallId,
    },
    /// To all others.
    Plain {},
}

/// What a device learns when it has registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// Names the session for a resume.
    pub session: String,
    /// Proves it; a new one at each register.
    pub key: String,
    /// The user.
    pub user: String,
    /// Names this device among the user's.
    pub device: String,
    /// Whether the session named in `resume` was taken over.
    pub resumed: bool,
    /// The calls that are alive: what holds when events were lost.
    pub calls: Vec<CallView>,
    /// Every user known.
    pub presence: Vec<Presence>,
    /// What the user wants done with calls.
    pub rules: Rules,
    /// Whether messages wait in the user's mailbox.
    pub messages: bool,
    /// The calls that are parked.
    pub parked: Vec<ParkedCall>,
    /// What can be dialled for more than a call.
    pub services: Services,
    /// What the server allows.
    pub limits: Limits,
}

/// What the server allows a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The longest message in bytes.
    pub message_bytes: u64,
    /// Calls at the same time.
    pub calls: u32,
    /// How long a call rings, in seconds.
    pub ring_seconds: u64,
    /// How long a call lasts, in seconds.
    pub call_seconds: u64,
    /// How long calls outlive the socket, in seconds.
    pub grace_seconds: u64,
}
