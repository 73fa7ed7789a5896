//! What an operator can set, and the form of names.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Announce, Denied};
use crate::{Digit, Number, UserId};

/// What conferences go by.
#[derive(Debug, Clone)]
pub struct Config {
    /// Rooms that exist before anybody is in them.
    pub rooms: Vec<Spec>,
    /// Whether who is signed in may open a room by its name.
    pub on_demand: bool,
    /// The numbers that rooms on demand get, for telephones; without one they have none.
    pub numbers: RangeInclusive<u32>,
    /// The number that asks for a room's number.
    pub door: Option<Number>,
    /// How long one whose connection was lost keeps the place.
    pub away: Duration,
    /// How long a telephone may think between two keys.
    pub key_timeout: Duration,
    /// How long a telephone rings that was called into a room.
    pub ring_timeout: Duration,
    /// How telephones in rooms hear that somebody comes or goes, unless a room's own setting says it.
    pub announce: Announce,
    /// What a telephone in a room does by `*` and this key.
    pub keys: BTreeMap<Digit, KeyAction>,
    /// What is refused beyond which size.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        let keys = [
            ('6', KeyAction::Mute),
            ('5', KeyAction::Hand),
            ('8', KeyAction::Leave),
            ('2', KeyAction::MuteAll),
            ('3', KeyAction::Admit),
            ('7', KeyAction::Lock),
        ];
        let keys = keys.map(|(key, action)| Some((Digit::new(key).ok()?, action)));
        Self {
            rooms: Vec::new(),
            on_demand: true,
            // In the thousand that the dialplan sends here, away from the guests' numbers.
            numbers: 7801..=7899,
            door: None,
            // Long enough for a reload or a change of network, short enough for those who wait.
            away: Duration::from_secs(10),
            // Somebody reads the number off a paper.
            key_timeout: Duration::from_secs(10),
            // As calls ring.
            ring_timeout: Duration::from_secs(30),
            announce: Announce::default(),
            keys: keys.into_iter().flatten().collect(),
            limits: Limits::default(),
        }
    }
}

/// What a telephone in a room can do by its keys; those after [`Leave`](Self::Leave) if it is host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyAction {
    /// Mutes itself, or no longer.
    Mute,
    /// Raises the hand, or lowers it.
    Hand,
    /// Leaves the room.
    Leave,
    /// Mutes all others.
    MuteAll,
    /// Locks the room, or unlocks it.
    Lock,
    /// Admits who has waited the longest.
    Admit,
}

/// The sizes of the tables, and how often may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rooms, known and open.
    pub rooms: usize,
    /// Participants of a room, the waiting ones included.
    pub people: usize,
    /// Of those, hosts and speakers; who comes then is a listener.
    pub speakers: usize,
    /// PINs that one application, or one telephone call, may try.
    pub tries: u32,
    /// Wrong PINs of one caller within [`Limits::tries_window`], whatever the room.
    pub tries_per_caller: usize,
    /// How long a wrong PIN counts.
    pub tries_window: Duration,
    /// Callers whose wrong PINs are counted; then the oldest are forgotten.
    pub callers: usize,
    /// Those who are banned from one room.
    pub bans: usize,
    /// Telephones that are being called into one room.
    pub calling: usize,
    /// Programs in one room.
    pub programs: usize,
    /// The longest file in bytes; 0: none are taken.
    pub file_bytes: u64,
    /// The files of one room together, in bytes; then the oldest go.
    pub file_total: u64,
    /// The same of all rooms.
    pub files_total: u64,
    /// Files of one room.
    pub files: usize,
    /// Files that one participant may bring in a minute.
    pub files_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms: 500,
            people: 1200,
            // More speakers than seats are of no use to who listens; a choir is no conference.
            speakers: 100,
            tries: 3,
            // A PIN of four digits then stands for a week on average against one caller.
            tries_per_caller: 10,
            tries_window: Duration::from_secs(600),
            callers: 4096,
            bans: 256,
            // More than a host can follow, and few enough to be no means of ringing at strangers.
            calling: 10,
            // More ears than anybody can keep in mind.
            programs: 16,
            // Photographs as telephones take them.
            file_bytes: 8 << 20,
            file_total: 64 << 20,
            // They are in memory.
            files_total: 256 << 20,
            // As many as there are messages in the chat, twice.
            files: 200,
            files_per_minute: 10,
        }
    }
}

/// A room as it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name in links.
    pub name: RoomName,
    /// What people call it.
    pub title: String,
    /// What telephones dial.
    pub number: Option<Number>,
    /// What one has to know to come in.
    pub pin: Option<Pin>,
    /// What makes one who says it for the PIN host, past lobby and lock. Another one than the PIN.
    pub host_pin: Option<Pin>,
    /// Whether a host lets people in one by one.
    pub lobby: bool,
    /// Who is host whenever present, and needs neither PIN nor admission.
    pub owner: Option<UserId>,
    /// How many it takes, the waiting ones included, when that is less than [`Limits::people`].
    pub people_max: Option<usize>,
    /// How telephones in it hear that somebody comes or goes, when that is another way than [`Config::announce`].
    pub announce: Option<Announce>,
}

impl Spec {
    /// Describes a room that is open to everyone who knows its name.
    #[must_use]
    pub fn open(name: RoomName) -> Self {
        Self {
            title: name.to_string(),
            name,
            number: None,
            pin: None,
            host_pin: None,
            lobby: false,
            owner: None,
            people_max: None,
            announce: None,
        }
    }
}

/// A room's name: `[a-z0-9-]{1,64}`, so that it can be part of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomName(String);

impl RoomName {
    /// The longest name in bytes.
    pub const LEN_MAX: usize = 64;

    /// Takes a name.
    ///
    /// # Errors
    ///
    /// [`Denied::BadName`] when the text is not `[a-z0-9-]{1,64}`.
    pub fn new(text: &str) -> Result<Self, Denied> {
        let valid = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if text.is_empty() || text.len() > Self::LEN_MAX || !text.bytes().all(valid) {
            return Err(Denied::BadName);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What opens a room: 4 to 16 digits, so that a telephone can send it. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// The longest PIN.
    pub const LEN_MAX: usize = 16;
    /// The shortest one: fewer digits are soon guessed.
    pub const LEN_MIN: usize = 4;

    /// Takes a PIN.
    ///
    /// # Errors
    ///
    /// [`Denied::BadPin`] when the text is not 4 to 16 digits.
    pub fn new(text: &str) -> Result<Self, Denied> {
        let len = Self::LEN_MIN..=Self::LEN_MAX;
        if !len.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Denied::BadPin);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the PIN as text, for those who keep it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Tells whether `tried` is this PIN, in a time that says nothing of where they differ.
    pub(super) fn is(&self, tried: &str) -> bool {
        let differ = |sum: u8, (a, b): (u8, u8)| sum | (a ^ b);
        let pairs = self.0.bytes().zip(tried.bytes());
        self.0.len() == tried.len() && pairs.fold(0, differ) == 0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}
