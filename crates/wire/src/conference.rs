//! What the tracks `roster` and `events` of a room hold (docs/protocol.md, section 3): JSON, one object each.
//!
//! The daemon writes them and anybody in the room reads them. Fields that are unknown here are ignored.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The version of both that is written; a reader of another one has to know what changed.
pub const VERSION: u32 = 1;

/// A longer roster or event is not looked at; one of 1,200 people has some 150 KiB.
pub const BYTES_MAX: usize = 1 << 20;

/// Everyone in a room and what holds for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// [`VERSION`].
    pub version: u32,
    /// The room's id, as in its namespace.
    pub room: String,
    /// Its name in links.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What telephones dial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Whether nobody is let in.
    pub locked: bool,
    /// Whether a host lets people in one by one.
    pub lobby: bool,
    /// Whether somebody keeps what is said.
    #[serde(default)]
    pub recording: bool,
    /// The names of programs that listen.
    #[serde(default)]
    pub listening: Vec<String>,
    /// Everyone, in the order in which they came.
    pub people: Vec<Person>,
}

/// One of a roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The place: `p1`, `p2`, …; the last field of the namespace in which it publishes.
    pub participant: String,
    /// The name to show: text, whatever it looks like.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it may.
    pub role: Role,
    /// How it is there.
    pub presence: Presence,
    /// Whether it is silent.
    pub muted: bool,
    /// The order of the raised hands: the first has 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand: Option<u32>,
    /// Whether it is heard at the moment.
    #[serde(default)]
    pub speaking: bool,
    /// How much louder everyone is to play it, in decibels.
    #[serde(default)]
    pub level_db: i8,
    /// Whether it is not listening for the moment.
    #[serde(default)]
    pub held: bool,
    /// How well it is heard: a mean opinion score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Mos>,
    /// What is to be seen of it.
    #[serde(default)]
    pub video: Vec<Video>,
}

/// What is to be seen of a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Video {
    /// A camera.
    Camera,
    /// A screen that is shown.
    Screen,
}

/// A mean opinion score to the hundredth, 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Mos(u16);

impl From<f64> for Mos {
    fn from(mos: f64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::manual_clamp,
            reason = "100 to 500; what is no number becomes 1"
        )]
        Self((mos.max(1.0).min(5.0) * 100.0).round() as u16)
    }
}

impl From<Mos> for f64 {
    fn from(mos: Mos) -> Self {
        Self::from(mos.0) / 100.0
    }
}

/// What a participant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// What a participant may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Host,
    /// Speak and hear.
    Speaker,
    /// Hear.
    Listener,
    /// Hear and keep.
    Recorder,
}

/// How a participant is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Waits to be let in.
    Waiting,
    /// Is there.
    Here,
    /// The connection is lost for the moment.
    Away,
}

/// Something that happened in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Counted from 1 in each room.
    pub seq: u64,
    /// Who did it; absent when nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened in a room. `participant` is whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// Came in.
    Joined {
        /// Who.
        participant: String,
    },
    /// Waits to be let in.
    Waiting {
        /// Who.
        participant: String,
    },
    /// Its connection is lost.
    Away {
        /// Who.
        participant: String,
    },
    /// Is back.
    Back {
        /// Who.
        participant: String,
    },
    /// Is there no more.
    Left {
        /// Who.
        participant: String,
        /// Why.
        why: Leaving,
    },
    /// Is muted, or no longer.
    Muted {
        /// Who.
        participant: String,
        /// True: silent.
        muted: bool,
    },
    /// All but the hosts are muted.
    AllMuted {},
    /// A hand is up or down.
    Hand {
        /// Whose.
        participant: String,
        /// True: up.
        raised: bool,
    },
    /// Has another role.
    Role {
        /// Who.
        participant: String,
        /// Which.
        role: Role,
    },
    /// Is made louder or softer for everyone.
    Level {
        /// Who.
        participant: String,
        /// By how many decibels.
        db: i8,
    },
    /// Is not listening for the moment, or again.
    Held {
        /// Who.
        participant: String,
        /// True: not listening.
        held: bool,
    },
    /// The room is locked, or no longer.
    Locked {
        /// True: nobody is let in.
        locked: bool,
    },
    /// A host lets people in one by one, or no longer.
    Lobby {
        /// True: one by one.
        lobby: bool,
    },
}

/// Why somebody is in a room no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaving {
    /// By the own wish.
    Left,
    /// The connection was lost.
    Lost,
    /// A host put it out.
    Removed,
    /// A host put it out until the room closes.
    Banned,
    /// A host ended the room.
    Ended,
    /// The server goes down.
    Shutdown,
    /// The same participant came by another device.
    Elsewhere,
}

/// Why a text is none of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is too long to be looked at.
    #[error("{0} bytes, at most {BYTES_MAX}")]
    TooLong(usize),
    /// It is not JSON of that form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It is of a version that is not known here.
    #[error("a roster of version {0}")]
    Version(u32),
}

impl Roster {
    /// Returns the JSON text.
    ///
    /// # Panics
    ///
    /// Never: strings, numbers and booleans always have a form in JSON.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        to_json(self)
    }

    /// Reads a roster.
    ///
    /// # Errors
    ///
    /// When it is too long, of another version, or not a roster.
    pub fn decode(text: &[u8]) -> Result<Self, DecodeError> {
        let roster: Self = from_json(text)?;
        match roster.version {
            VERSION => Ok(roster),
            other => Err(DecodeError::Version(other)),
        }
    }
}

impl Happened {
    /// Returns the JSON text.
    ///
    /// # Panics
    ///
    /// Never: strings, numbers and booleans always have a form in JSON.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        to_json(self)
    }

    /// Reads an event.
    ///
    /// # Errors
    ///
    /// When it is too long, or not an event that is known here.
    pub fn decode(text: &[u8]) -> Result<Self, DecodeError> {
        from_json(text)
    }
}

fn to_json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value)
        .expect("nothing here that JSON lacks")
        .into()
}

fn from_json<T: for<'a> Deserialize<'a>>(text: &[u8]) -> Result<T, DecodeError> {
    if text.len() > BYTES_MAX {
        return Err(DecodeError::TooLong(text.len()));
    }
    Ok(serde_json::from_slice(text)?)
}
