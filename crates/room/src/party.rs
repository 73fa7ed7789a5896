//! Who talks, and why a call ends.

use crate::{Number, UserId};

/// A person with a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Names the user.
    pub id: UserId,
    /// The name others see.
    pub name: String,
    /// What telephones dial; no two users have the same.
    pub number: Option<Number>,
}

/// What others see of a user's being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Calls are welcome.
    Available,
    /// In a call, or not to be disturbed.
    Busy,
    /// Not at the desk; calls ring.
    Away,
    /// No device is registered.
    Offline,
}

/// What a telephone's lamp for a user shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lamp {
    /// No device is registered.
    Unavailable,
    /// Can be called.
    Idle,
    /// Somebody calls, and the user is in no call.
    Ringing,
    /// In a call.
    InUse,
    /// In a call, and somebody else calls.
    RingInUse,
    /// Not to be disturbed.
    Busy,
}

/// Someone at the telephone side who calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The number, unless withheld. Free text from the network, shown and never dialled.
    pub number: Option<String>,
    /// The name, where the network gave one.
    pub name: Option<String>,
}

/// A built-in party; answers at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Sends back what it hears.
    Echo,
    /// 1004 Hz.
    Milliwatt,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 2] = [Self::Echo, Self::Milliwatt];

    /// Returns what a caller dials.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Milliwatt => "milliwatt",
        }
    }
}

/// What kind of thing takes part in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartyKind {
    /// A registered user.
    Browser,
    /// Someone behind Asterisk.
    Phone,
    /// A built-in party.
    Service,
}

/// Who is at an end of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// A user's id, a telephone number (`anonymous` when withheld) or a service's name.
    pub id: String,
    /// The name to show.
    pub name: String,
    /// The number, where there is one.
    pub number: Option<String>,
    /// What kind of party.
    pub kind: PartyKind,
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Somebody hung up after the answer.
    Normal,
    /// The caller gave up.
    Cancelled,
    /// The callee did not want it.
    Rejected,
    /// The far end is in another call.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// Nobody has that number.
    NotFound,
    /// The far end cannot be reached now.
    Unreachable,
    /// Another device of the same user took it; only devices hear this, never a record.
    AnsweredElsewhere,
    /// The connection to one side was lost.
    Lost,
    /// It went on without this side: somebody else has taken its place.
    Transferred,
    /// The longest duration was reached.
    TooLong,
    /// Something broke.
    Failed,
    /// The daemon goes down.
    Shutdown,
}
