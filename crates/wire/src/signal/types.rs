//! What messages in both directions are made of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::DIGITS_MAX;

/// The name of a call, which is also the name of its room: 32 lower-case hex digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CallId(pub u128);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

/// The text is not 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a call is named by 32 lower-case hex digits")]
pub struct InvalidCallId;

impl FromStr for CallId {
    type Err = InvalidCallId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(hex) {
            return Err(InvalidCallId);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidCallId)
    }
}

impl TryFrom<String> for CallId {
    type Error = InvalidCallId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CallId> for String {
    fn from(id: CallId) -> Self {
        id.to_string()
    }
}

/// 1 to [`DIGITS_MAX`] digits of `0-9A-D*#`; a `w` among them is a pause of half a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digits(String);

impl Digits {
    /// Returns the digits as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("digits are 1 to {DIGITS_MAX} of 0-9, A-D, *, # and w, a pause")]
pub struct InvalidDigits;

impl TryFrom<String> for Digits {
    type Error = InvalidDigits;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let valid = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'D' | b'*' | b'#' | b'w');
        if text.is_empty() || text.len() > DIGITS_MAX || !text.bytes().all(valid) {
            return Err(InvalidDigits);
        }
        Ok(Self(text))
    }
}

impl From<Digits> for String {
    fn from(digits: Digits) -> Self {
        digits.0
    }
}

/// What a user says about being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnPresence {
    /// Calls are welcome.
    Available,
    /// Do not disturb: callers are refused as busy.
    Busy,
    /// Not at the desk; calls ring.
    Away,
}

/// What others see of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// Calls are welcome.
    Available,
    /// In a call, or not to be disturbed.
    Busy,
    /// Not at the desk; calls ring.
    Away,
    /// No device is registered.
    Offline,
    /// Somebody calls it; said of telephones only.
    Ringing,
}

/// A user, or a telephone of Asterisk's, as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The user's id.
    pub user: String,
    /// The name to show.
    pub name: String,
    /// The number telephones dial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Whether the user can be called.
    pub state: PresenceState,
    /// `phone` for a telephone; absent: a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PartyKind>,
}

/// What a user wants done with calls: targets are ids or numbers, as in `call`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Do not disturb; the same as the state `busy`.
    #[serde(default)]
    pub undisturbed: bool,
    /// Where every call goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always: Option<String>,
    /// Where calls go that find the user busy, or not to be disturbed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<String>,
    /// Where calls go that nobody answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer: Option<String>,
    /// How long it rings before that, in seconds.
    #[serde(default = "Rules::after_default")]
    pub after_s: u32,
}

impl Rules {
    fn after_default() -> u32 {
        20
    }
}

/// A call that waits in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedCall {
    /// What to dial to take it.
    pub slot: String,
    /// Who waits.
    pub who: Party,
    /// Who has parked it.
    pub by: Party,
}

/// What can be dialled for more than a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// The voice mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<String>,
    /// A call that is transferred there is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub park: Option<String>,
    /// Before a number: takes the call that rings there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick_up: Option<String>,
}

/// What kind of thing takes part in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyKind {
    /// A registered user.
    Browser,
    /// Someone behind Asterisk.
    Phone,
    /// A built-in party.
    Service,
}

/// Who is at an end of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// A user's id, a telephone number (`anonymous` when withheld) or a service's name.
    pub id: String,
    /// The name to show.
    pub name: String,
    /// The number, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// What kind of party.
    pub kind: PartyKind,
}

/// Another participant whose audio can be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// `p1`, `p2`, ….
    pub participant: String,
    /// `["room", room, participant]`.
    pub namespace: Vec<String>,
    /// The name to show.
    pub name: String,
    /// What kind of party.
    pub kind: PartyKind,
}

/// Where a device publishes its audio and whom it hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// The room, named as its call.
    pub room: CallId,
    /// The device's own participant.
    pub participant: String,
    /// `["room", room, participant]`: the device publishes here.
    pub namespace: Vec<String>,
    /// Goes with each PUBLISH and SUBSCRIBE of this call.
    pub token: String,
    /// The others.
    pub peers: Vec<Peer>,
}

/// Who began a call, seen from a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The other side called.
    In,
    /// This device called.
    Out,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Nobody has said yet that it rings.
    Calling,
    /// It rings.
    Ringing,
    /// There is sound before the answer.
    Early,
    /// Answered.
    Up,
}

/// A call that is alive, as one of its devices sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// The call.
    pub call: CallId,
    /// Who began it.
    pub direction: Direction,
    /// How far it has come.
    pub state: CallState,
    /// The other side.
    pub peer: Party,
    /// The participants that hold the call.
    pub held_by: Vec<String>,
    /// The participants that are muted.
    pub muted: Vec<String>,
    /// Milliseconds since the answer; absent before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_ms: Option<u64>,
    /// Present when there is something to hear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// Present while somebody is asked to take a participant's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transferring: Option<Transferring>,
    /// Who was called first, or transfers the call: a name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

/// One direction of a telephone's sound. Figures are absent when nothing was to be heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// Estimated mean opinion score, 1 to 4.5 (E-model, ITU-T G.107).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mos: Option<f64>,
    /// The E-model's rating that it comes from, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<f64>,
    /// Packets that did not come in time, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_percent: Option<f64>,
    /// From mouth to ear, estimated, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How much later than the earliest 95 % of the packets came, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<u64>,
    /// The likeliest cause when nothing has been heard for 3 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<Silence>,
}

/// Why nothing is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// Asterisk has sent nothing since the call began.
    TelephoneNeverSent,
    /// Asterisk sent sound and stopped.
    TelephoneStopped,
    /// What Asterisk sends is silence.
    TelephoneMute,
    /// Of the others nobody ever sent anything.
    OthersNeverSent,
    /// The others stopped sending.
    OthersStopped,
}

/// A transfer on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferring {
    /// The participant that transfers.
    pub by: String,
    /// Who is asked.
    pub to: Party,
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Another device of the same user took it.
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

impl Cause {
    /// Returns the cause as it stands on the wire, in call records and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::NotFound => "not_found",
            Self::Unreachable => "unreachable",
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::Lost => "lost",
            Self::Transferred => "transferred",
            Self::TooLong => "too_long",
            Self::Failed => "failed",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not JSON, an unknown type, a missing or wrong field.
    BadMessage,
    /// The message is longer than allowed.
    TooLarge,
    /// The client's version of this protocol is not spoken here.
    UnsupportedVersion,
    /// No token, or one that does not hold.
    Unauthorized,
    /// The token's time is over.
    Expired,
    /// `register` must come first.
    NotRegistered,
    /// `register` came twice.
    AlreadyRegistered,
    /// Nobody has that id or number.
    NotFound,
    /// The user is known but not there.
    Offline,
    /// The user takes no further call.
    Busy,
    /// There is no such call, or the device is not part of it.
    NoSuchCall,
    /// The call is not in a state that allows this.
    WrongState,
    /// The bearer may not do this.
    Forbidden,
    /// No way to the telephone network.
    NoRoute,
    /// Nobody may dial that number.
    Blocked,
    /// The trunk that the number would go by is down.
    TrunkDown,
    /// A limit on calls, devices or users is reached.
    TooMany,
    /// Requests come too fast.
    RateLimited,
    /// No room has that name or number.
    NoSuchRoom,
    /// The room has a PIN, and none was given.
    PinRequired,
    /// That is not the PIN.
    PinWrong,
    /// Nobody is let into the room.
    Locked,
    /// The room is full.
    Full,
    /// A host has put this one out.
    Banned,
    /// Only a host may.
    NotHost,
    /// The daemon goes down and takes nothing new.
    ShuttingDown,
    /// A fault of the server.
    Internal,
}

impl Code {
    /// Returns the code as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::TooLarge => "too_large",
            Self::UnsupportedVersion => "unsupported_version",
            Self::Unauthorized => "unauthorized",
            Self::Expired => "expired",
            Self::NotRegistered => "not_registered",
            Self::AlreadyRegistered => "already_registered",
            Self::NotFound => "not_found",
            Self::Offline => "offline",
            Self::Busy => "busy",
            Self::NoSuchCall => "no_such_call",
            Self::WrongState => "wrong_state",
            Self::Forbidden => "forbidden",
            Self::NoRoute => "no_route",
            Self::Blocked => "blocked",
            Self::TrunkDown => "trunk_down",
            Self::TooMany => "too_many",
            Self::RateLimited => "rate_limited",
            Self::NoSuchRoom => "no_such_room",
            Self::PinRequired => "pin_required",
            Self::PinWrong => "pin_wrong",
            Self::Locked => "locked",
            Self::Full => "full",
            Self::Banned => "banned",
            Self::NotHost => "not_host",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}
