//! What the switchboard is told.

use crate::{
    Attachment, CallId, Caller, Cause, DeviceId, Digit, LegId, LineState, Number, Rules, TrunkName,
};

/// What a registered device wants; see [`Switchboard::request`](crate::Switchboard::request).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Says how the user is.
    Presence(OwnPresence),
    /// Says what becomes of calls to the user, from now on and on every device.
    Rules(Rules),
    /// Calls someone.
    Call {
        /// Drawn at random for this call.
        call: CallId,
        /// A user's id, a number or a service, as typed.
        to: String,
    },
    /// The device rings.
    Ringing(CallId),
    /// Takes a call.
    Answer(CallId),
    /// Turns a call down on every device of the user.
    Reject(CallId),
    /// Gives up before the answer.
    Cancel(CallId),
    /// Ends a call.
    Hangup(CallId),
    /// Holds a call (true) or takes it up again.
    Hold(CallId, bool),
    /// Tells the other side whether the microphone is off.
    Mute(CallId, bool),
    /// Sends digits, at most [`Switchboard::DIGITS_MAX`](crate::Switchboard::DIGITS_MAX).
    Dtmf(CallId, Vec<Digit>),
    /// Lets somebody else take the device's place; without an answer the call comes back.
    Transfer {
        /// An answered call between two.
        call: CallId,
        /// A user's id, a number or a service, as typed.
        to: String,
    },
    /// Connects the others of two answered calls and leaves both.
    Connect {
        /// Goes on.
        call: CallId,
        /// Ends: who is in it moves to the first.
        with: CallId,
    },
    /// Lets the other side of an answered call between two wait until somebody takes the call.
    Park(CallId),
    /// Makes two answered calls one.
    Merge {
        /// Goes on.
        call: CallId,
        /// Ends: who is in it moves to the first.
        with: CallId,
    },
}

/// What a user says about being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnPresence {
    /// Calls are welcome.
    Available,
    /// Do not disturb: callers are refused as busy.
    Busy,
    /// Not at the desk; calls ring.
    Away,
}

/// Someone at the telephone side calls a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Drawn at random for this call.
    pub call: CallId,
    /// A user's id or number, as dialled.
    pub to: String,
    /// Who calls.
    pub from: Caller,
    /// Who was called first, when the call was sent on. Free text from the network.
    pub via: Option<String>,
    /// What the telephone side has done so far.
    pub trunk: Trunk,
}

/// How much control the telephone side leaves us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trunk {
    /// Not yet answered (ARI): it is told to ring and to answer.
    Early,
    /// Answered already (AudioSocket alone): the caller hears a ringing tone that we make.
    Answered,
}

/// Something that happened outside; see [`Switchboard::handle`](crate::Switchboard::handle).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A device's socket is gone; the grace period begins unless a newer socket has taken over.
    Dropped {
        /// The device.
        device: DeviceId,
        /// Which of its sockets.
        attachment: Attachment,
    },
    /// The AudioSocket connection of a ticket is there: the call begins.
    LegAttached(LegId),
    /// The far telephone rings.
    LegRinging(LegId),
    /// The telephone network speaks before the answer.
    LegEarly(LegId),
    /// The far telephone was picked up.
    LegAnswered(LegId),
    /// The leg is over; the switchboard will not name it again.
    LegEnded {
        /// The leg.
        leg: LegId,
        /// Why. After the answer [`Cause::Normal`] is usual.
        cause: Cause,
    },
    /// The telephone pressed a key.
    LegDigit {
        /// The leg.
        leg: LegId,
        /// The key.
        digit: Digit,
    },
    /// The telephone holds the call, or takes it up again.
    LegHeld {
        /// The leg.
        leg: LegId,
        /// Whether it is held now.
        held: bool,
    },
    /// The telephone transfers its call: SIP's REFER. [`Output::Transfer`](crate::Output::Transfer)
    /// tells it what becomes of that.
    LegTransfers {
        /// The leg.
        leg: LegId,
        /// A user's id, a number or a service.
        to: String,
    },
    /// The telephone has two calls here and connects the others: REFER with Replaces.
    LegConnects {
        /// The leg of the call that goes on.
        leg: LegId,
        /// The leg of the other one.
        with: LegId,
    },
    /// Whether numbers can be dialled now. They cannot at start.
    TrunkAvailable(bool),
    /// A trunk of [`Routing`](crate::Routing) is up or down now. At start they count as up.
    Trunk {
        /// Which.
        name: TrunkName,
        /// Whether it takes calls.
        up: bool,
    },
    /// A telephone whose state is shown has another one.
    Line {
        /// Which.
        number: Number,
        /// Its state.
        state: LineState,
    },
    /// Messages wait in a mailbox, or none does any more.
    Messages {
        /// The user's number, or else the id.
        line: String,
        /// Whether there are any.
        waiting: bool,
    },
    /// The daemon goes down: every call ends with [`Cause::Shutdown`], nothing new begins.
    Drain,
    /// Another process takes over: nothing new begins, calls go on, and devices are forgotten as
    /// soon as they have none, so that they come back to the other process.
    Retire,
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub text: String,
}

/// Why something was refused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The device is not registered.
    NotRegistered,
    /// The device is registered already.
    AlreadyRegistered,
    /// A field does not have the form.
    BadRequest,
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
    /// A limit of [`Limits`](crate::Limits) is reached.
    TooMany,
    /// The daemon goes down.
    ShuttingDown,
}

impl Refusal {
    /// Returns what a telephone caller is told by the hang-up cause.
    pub fn cause(&self) -> Cause {
        match self.reason {
            Reason::NotFound | Reason::BadRequest => Cause::NotFound,
            Reason::Busy => Cause::Busy,
            Reason::Offline => Cause::Unreachable,
            Reason::ShuttingDown => Cause::Shutdown,
            Reason::Forbidden => Cause::Rejected,
            Reason::NotRegistered
            | Reason::AlreadyRegistered
            | Reason::NoSuchCall
            | Reason::WrongState
            | Reason::NoRoute
            | Reason::TooMany => Cause::Failed,
            Reason::Blocked => Cause::Rejected,
            Reason::TrunkDown => Cause::Unreachable,
        }
    }
}
