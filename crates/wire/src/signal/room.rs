//! What is said about rooms of many.

use serde::{Deserialize, Serialize};

use super::types::CallId;
use super::{ROOM_KEY_LEN_MAX, ROOM_TEXT_LEN_MAX, TARGET_LEN_MAX};
use crate::conference::{Mos, Role, Roster};

/// An open room is named as a call is, and differently each time it opens.
pub type RoomId = CallId;

/// The loudest a participant can be made, in decibels.
pub const LEVEL_DB_MAX: i8 = 10;

/// The softest.
pub const LEVEL_DB_MIN: i8 = -20;

/// The longest reaction, in bytes: a family with skin colours has 41.
pub const REACTION_LEN_MAX: usize = 64;

/// Who wants to come into a room, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The room's name or number, as in a link.
    pub room: String,
    /// The name to show; absent: the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What opens the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// What the last `ok` to a `join` gave: the place is wanted back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// True: to hear only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listen: bool,
}

impl Join {
    pub(super) fn check(&self) -> Result<(), String> {
        super::client::within("room", &self.room, TARGET_LEN_MAX)?;
        let optional = [
            ("name", &self.name, ROOM_TEXT_LEN_MAX),
            ("pin", &self.pin, TARGET_LEN_MAX),
            ("key", &self.key, ROOM_KEY_LEN_MAX),
        ];
        for (field, value, len_max) in optional {
            if let Some(value) = value {
                super::client::within(field, value, len_max)?;
            }
        }
        Ok(())
    }
}

/// What somebody in a room wants. Those of hosts alone are said in docs/protocol.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Mutes a participant, or no longer.
    Mute {
        /// Whom.
        participant: String,
        /// True: silent.
        muted: bool,
    },
    /// Mutes everyone but the hosts.
    MuteAll {},
    /// Raises a hand or lowers it.
    Hand {
        /// Whose.
        participant: String,
        /// True: up.
        raised: bool,
    },
    /// Lets nobody in any more, or again.
    Lock {
        /// True: nobody.
        locked: bool,
    },
    /// Lets people in one by one, or freely.
    Lobby {
        /// True: one by one.
        lobby: bool,
    },
    /// Lets one in who waits.
    Admit {
        /// Whom.
        participant: String,
    },
    /// Puts somebody out who may come again.
    Remove {
        /// Whom.
        participant: String,
    },
    /// Puts somebody out until the room closes.
    Ban {
        /// Whom.
        participant: String,
    },
    /// Makes somebody host, speaker or listener.
    Role {
        /// Whom.
        participant: String,
        /// What.
        role: Role,
    },
    /// Makes somebody louder or softer for everyone.
    Level {
        /// Whom.
        participant: String,
        /// By how many decibels, [`LEVEL_DB_MIN`] to [`LEVEL_DB_MAX`].
        db: i8,
    },
    /// Ends the room for all.
    End {},
    /// Is not listening for the moment, or again.
    Hold {
        /// True: not listening.
        held: bool,
    },
    /// Calls a telephone into the room.
    Dial {
        /// Its number.
        number: String,
    },
    /// Says something in words.
    Say {
        /// What; nothing where there is a file.
        #[serde(default)]
        text: String,
        /// To one alone; absent: to all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// A file that the server has taken from the same participant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// Shows a sign to all.
    React {
        /// Which.
        emoji: String,
    },
    /// Tells how well one hears and is heard.
    Quality {
        /// As a mean opinion score.
        mos: Mos,
    },
    /// Tells what is to be seen of oneself.
    Video {
        /// Whether the camera is on.
        camera: bool,
        /// Whether a screen is shown.
        screen: bool,
    },
}

impl Act {
    pub(super) fn check(&self) -> Result<(), String> {
        use super::client::within;
        match self {
            Self::Mute { participant, .. }
            | Self::Hand { participant, .. }
            | Self::Admit { participant }
            | Self::Remove { participant }
            | Self::Ban { participant }
            | Self::Role { participant, .. } => within("participant", participant, TARGET_LEN_MAX),
            Self::Level { participant, db } => {
                within("participant", participant, TARGET_LEN_MAX)?;
                if !(LEVEL_DB_MIN..=LEVEL_DB_MAX).contains(db) {
                    return Err(format!(
                        "db must be from {LEVEL_DB_MIN} to {LEVEL_DB_MAX}, is {db}"
                    ));
                }
                Ok(())
            }
            Self::Dial { number } => within("number", number, TARGET_LEN_MAX),
            Self::Say { text, to, file } => {
                if let Some(to) = to {
                    within("to", to, TARGET_LEN_MAX)?;
                }
                match file {
                    Some(file) => within("file", file, TARGET_LEN_MAX),
                    None => within("text", text, super::MESSAGE_LEN_MAX),
                }
            }
            Self::React { emoji } => within("emoji", emoji, REACTION_LEN_MAX),
            Self::MuteAll {}
            | Self::Lock { .. }
            | Self::Lobby { .. }
            | Self::End {}
            | Self::Hold { .. }
            | Self::Quality { .. }
            | Self::Video { .. } => Ok(()),
        }
    }
}

/// What names a room to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomView {
    /// The open room.
    pub id: RoomId,
    /// Its name in links.
    pub name: String,
    /// What people call it, when that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What telephones dial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// Where somebody in a room publishes and whom to hear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomMedia {
    /// The room.
    pub room: RoomId,
    /// The own place.
    pub participant: String,
    /// `["room", room, participant]`: what is published goes here.
    pub namespace: Vec<String>,
    /// Goes with each PUBLISH and SUBSCRIBE of the room. Of a listener's it grants no PUBLISH.
    pub token: String,
    /// How many seats carry those who are heard; 0: each participant's own track is to be subscribed to.
    pub seats: u32,
    /// Whether cameras and screens are welcome.
    pub video: bool,
    /// What files may be given to the others; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesTaken>,
}

/// Whether one is in a room or waits to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceState {
    /// Inside.
    Here,
    /// Until a host lets one in.
    Waiting,
}

/// What `ok` carries for `join`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// The room.
    pub room: RoomView,
    /// The own place.
    pub participant: String,
    /// What gives the place back, also after a restart of the server.
    pub key: String,
    /// What one may.
    pub role: Role,
    /// Whether one is inside.
    pub state: PlaceState,
    /// Absent while waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<RoomMedia>,
    /// Everyone; who waits sees but itself.
    pub roster: Roster,
    /// What was said lately, oldest first.
    pub chat: Vec<ChatMessage>,
}

/// A file in a room: to be had at `/api/v1/rooms/{room}/files/{id}` while the room is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatFile {
    /// Its name in links.
    pub id: String,
    /// Its name for people: text, whatever it looks like.
    pub name: String,
    /// Its media type.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Its length.
    pub bytes: u64,
}

/// What files a room takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesTaken {
    /// The longest one, in bytes.
    pub bytes: u64,
    /// Of which media types.
    pub types: Vec<String>,
}

/// Something said in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Counted from 1 in each room.
    pub n: u64,
    /// Who said it.
    pub from: String,
    /// How the roster called who said it.
    pub name: String,
    /// To whom alone; absent: to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What: text, whatever it looks like.
    pub text: String,
    /// A file that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ChatFile>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// How far the call of a telephone into a room has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialState {
    /// It is being called.
    Calling,
    /// It rings.
    Ringing,
    /// It is in the room.
    Up,
    /// It did not come in.
    Ended,
}
