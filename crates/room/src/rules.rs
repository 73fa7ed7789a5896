//! What a user wants done with calls.

use std::time::Duration;

use crate::{Number, User};

/// What becomes of calls to a user. By default they ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Do not disturb: callers are refused as busy, or sent to where `busy` says.
    pub undisturbed: bool,
    /// Where every call goes.
    pub always: Option<Forward>,
    /// Where calls go that find the user busy, or not to be disturbed.
    pub busy: Option<Forward>,
    /// Where calls go that nobody has answered in time, or that find no device.
    pub no_answer: Option<Forward>,
    /// How long it rings before that, from [`AFTER_MIN`](Self::AFTER_MIN) to [`AFTER_MAX`](Self::AFTER_MAX).
    pub after: Duration,
}

impl Rules {
    /// Less is no time to reach for the telephone.
    pub const AFTER_MIN: Duration = Duration::from_secs(3);
    /// Most networks have given up by then.
    pub const AFTER_MAX: Duration = Duration::from_secs(120);

    /// Returns the rules with a time that is allowed.
    pub(crate) fn within_bounds(mut self) -> Self {
        self.after = self.after.clamp(Self::AFTER_MIN, Self::AFTER_MAX);
        self
    }

    /// Returns whether they say anything.
    pub fn are_default(&self) -> bool {
        let forwards = [&self.always, &self.busy, &self.no_answer];
        !self.undisturbed && forwards.iter().all(|forward| forward.is_none())
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            undisturbed: false,
            always: None,
            busy: None,
            no_answer: None,
            after: Duration::from_secs(20),
        }
    }
}

/// Where a call is sent on to: a user's id or a number, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward(String);

impl Forward {
    /// The longest in bytes, as in the protocol.
    pub const LEN_MAX: usize = 64;

    /// Takes a target; none when it is empty, too long, or has characters that cannot be shown.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let valid =
            (1..=Self::LEN_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        valid.then(|| Self(text.to_owned()))
    }

    /// Returns the target.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A change of one rule, as a telephone asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// Do not disturb.
    Undisturbed(bool),
    /// Send every call on, or none.
    Always(Option<Forward>),
    /// Send calls on that find the user busy, or not.
    Busy(Option<Forward>),
    /// Send calls on that nobody answers, or not.
    NoAnswer(Option<Forward>),
}

/// Why a call was sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DivertReason {
    /// The user wants every call sent on.
    Always,
    /// The user was busy, or not to be disturbed.
    Busy,
    /// Nobody has answered.
    NoAnswer,
    /// The user was not there.
    Unreachable,
}

/// What a telephone network is told of a call that was sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverted {
    /// Who was called last before.
    pub by: User,
    /// Why it did not stay there.
    pub reason: DivertReason,
    /// How often it was sent on.
    pub times: u32,
}

/// Where calls wait until somebody takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parking {
    /// A call that is transferred to this number is parked.
    pub lot: Number,
    /// The first slot's number; the others are counted on.
    pub first: u32,
    /// How many calls can be parked.
    pub slots: u32,
    /// How long a call waits before it goes back to who has parked it.
    pub timeout: Duration,
}

/// A call that is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedCall {
    /// What to dial to take it.
    pub slot: String,
    /// Who waits.
    pub who: crate::Party,
    /// Who has parked it.
    pub by: crate::Party,
}

/// A telephone of Asterisk's whose state is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What to dial.
    pub number: Number,
    /// The name to show.
    pub name: String,
}

/// A telephone's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineState {
    /// Can be called.
    Available,
    /// Somebody calls it.
    Ringing,
    /// In a call.
    Busy,
    /// Not registered, or nothing is known of it.
    Offline,
}

/// A telephone and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineView {
    /// The telephone.
    pub line: Line,
    /// Its state.
    pub state: LineState,
}
