//! What the daemon tells the steering and is told by it.

use std::fmt;

use moqrelay_wire::signal::Cause;
use uuid::Uuid;

use super::{EndpointState, Plan};
use crate::{LegId, Way};

/// A call from a telephone that has no leg yet: its channel's id in Asterisk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncomingId(pub(crate) String);

impl fmt::Display for IncomingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A telephone calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// For [`Handle::adopt`](super::Handle::adopt) or [`Handle::refuse`](super::Handle::refuse).
    pub call: IncomingId,
    /// The second argument of `Stasis()`, or else the extension dialled. Free text.
    pub to: String,
    /// Who calls. Free text from the network.
    pub from: Caller,
    /// Who was called first, when the call was sent on: the third argument of `Stasis()`. Free text.
    pub via: Option<String>,
    /// The channel's name, for example `PJSIP/alice-00000001`.
    pub channel: String,
    /// The SIP Call-ID, for logs.
    pub sip_call_id: Option<String>,
}

/// Who calls, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The name to show.
    pub name: Option<String>,
    /// The number.
    pub number: Option<String>,
    /// Who has sent the call on to where it is dialled now, if anybody.
    pub sent_on: Option<SentOn>,
}

/// A call was sent on: what SIP's Diversion header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentOn {
    /// The name of who has sent it on.
    pub name: String,
    /// The number.
    pub number: Option<String>,
    /// Why.
    pub reason: SentOnReason,
    /// How often it was sent on.
    pub times: u32,
}

/// Why a call was sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentOnReason {
    /// Every call is.
    Always,
    /// Busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Nobody was there.
    Unreachable,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Asterisk is reachable: calls can be made and come in. First said once after the start.
    Up,
    /// Asterisk is not reachable: [`Handle::dial`](super::Handle::dial) ends at once. Legs that
    /// are up keep their sound. Said once for each loss.
    Down,
    /// A telephone calls.
    Incoming(Incoming),
    /// The dialled telephone rings.
    Ringing(LegId),
    /// The network speaks before the answer.
    Early(LegId),
    /// The dialled telephone was picked up.
    Answered(LegId),
    /// The telephone pressed a key, one of `0-9A-D*#`.
    Digit {
        /// The leg.
        leg: LegId,
        /// The key.
        digit: char,
    },
    /// The telephone holds the call (and hears no more), or takes it up again.
    Held {
        /// The leg.
        leg: LegId,
        /// Whether it is held now.
        held: bool,
    },
    /// The way of the leg's sound was chosen; not said where the configuration names one for all calls.
    Chosen {
        /// The leg.
        leg: LegId,
        /// Which, and why.
        plan: Plan,
    },
    /// The leg's sound is to be had there: tell the bridge, with the UUID that the leg was given
    /// ([`Bridge::reach`](crate::Bridge::reach)). Never said of AudioSocket, by which Asterisk comes.
    Reach {
        /// The leg.
        leg: LegId,
        /// Where.
        way: Way,
    },
    /// What Asterisk's own call records know the call by (`linkedid`). At most once for each leg.
    Linked {
        /// The leg.
        leg: LegId,
        /// The name.
        id: String,
    },
    /// The telephone transfers its call; tell it by [`Handle::transfer`](super::Handle::transfer)
    /// what becomes of that.
    Transfers {
        /// The leg.
        leg: LegId,
        /// The number. Free text.
        to: String,
    },
    /// The telephone connects the other ends of two of its calls; tell the first leg what becomes
    /// of that.
    Connects {
        /// The leg of the call that goes on.
        leg: LegId,
        /// The leg of the other one.
        with: LegId,
    },
    /// The state of a trunk's endpoint is known, or has changed.
    Trunk {
        /// The trunk's name.
        trunk: String,
        /// How its endpoint is.
        state: EndpointState,
    },
    /// A device of [`Config::lines`](super::Config::lines) has another state. Nothing is known of it
    /// before the first time, and after [`Event::Down`].
    Device {
        /// Which.
        device: String,
        /// Its state.
        state: DeviceState,
    },
    /// Messages wait in a line's mailbox, or none does any more.
    Messages {
        /// The line, as [`Handle::mailbox`](super::Handle::mailbox) named it.
        line: String,
        /// Whether there are any.
        waiting: bool,
    },
    /// A telephone wants a setting changed: answer by [`Handle::answer_setting`](super::Handle::answer_setting).
    Setting {
        /// The call by which it asks.
        call: IncomingId,
        /// Whose setting: a user's id or number. Free text.
        user: String,
        /// Which: what stands behind `set:` in the first argument of `Stasis()`. Free text.
        what: String,
        /// To what: the third argument, or empty. Free text.
        value: String,
    },
    /// The leg is over. Exactly once for each leg, also after
    /// [`Handle::hang_up`](super::Handle::hang_up).
    Ended {
        /// The leg; it is not named again.
        leg: LegId,
        /// Why.
        cause: Cause,
    },
}

/// A device's state in Asterisk, as far as we tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// Can be called.
    Idle,
    /// Somebody calls it, and it is in no call.
    Ringing,
    /// In a call, or it wants none.
    Busy,
    /// Not there, or not known.
    Unavailable,
}

impl DeviceState {
    /// Reads Asterisk's name of a state.
    pub fn from_word(word: &str) -> Self {
        match word {
            "NOT_INUSE" => Self::Idle,
            "RINGING" => Self::Ringing,
            "INUSE" | "BUSY" | "RINGINUSE" | "ONHOLD" => Self::Busy,
            _ => Self::Unavailable,
        }
    }
}

/// What a lamp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lamp {
    /// Nobody is there.
    Unavailable,
    /// Can be called.
    Idle,
    /// Somebody calls.
    Ringing,
    /// In a call.
    InUse,
    /// In a call, and somebody else calls.
    RingInUse,
    /// Not to be disturbed.
    Busy,
}

/// How far a transfer is that a telephone asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferProgress {
    /// The new one rings.
    Ringing,
    /// The new one has answered. The leg can be ended now; the telephone hears of this before.
    Answered,
    /// Nothing came of it, and why.
    Failed(Cause),
}

/// What to do. Commands for a leg that is over, or in a state that does not allow them, are
/// ignored: they may have crossed with its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make an incoming call a leg. If the caller has left, the leg ends at once.
    Adopt {
        /// The call.
        call: IncomingId,
        /// The new leg.
        leg: LegId,
    },
    /// Turn an incoming call away.
    Refuse {
        /// The call.
        call: IncomingId,
        /// What to tell the caller.
        cause: Cause,
    },
    /// Call a number.
    Dial {
        /// The new leg.
        leg: LegId,
        /// `[0-9*#+]{1,32}`; anything else ends the leg with [`Cause::NotFound`].
        number: String,
        /// By which trunk; none, or one that is not configured: [`Config::dial`](super::Config::dial).
        trunk: Option<String>,
        /// Whom to show.
        caller: Caller,
        /// What the AudioSocket will say first.
        uuid: Uuid,
    },
    /// Let the caller hear that it rings here.
    Ring(LegId),
    /// Connect the sound of an incoming leg without answering.
    Early {
        /// The leg.
        leg: LegId,
        /// What the AudioSocket will say first.
        uuid: Uuid,
    },
    /// Answer an incoming leg, and connect its sound unless [`Command::Early`] did.
    Answer {
        /// The leg.
        leg: LegId,
        /// What the AudioSocket will say first.
        uuid: Uuid,
    },
    /// Another run of the daemon takes what comes in from now on; legs go on.
    StepAside,
    /// That run has not come about: take what comes in again.
    StepBack,
    /// End a leg.
    HangUp {
        /// The leg.
        leg: LegId,
        /// What to tell the far end.
        cause: Cause,
    },
    /// Send digits, 1 to 32 of `0-9A-D*#` and `w` for a pause, to the far end of a leg that is up.
    Dtmf {
        /// The leg.
        leg: LegId,
        /// The keys.
        digits: String,
    },
    /// Let the far end hear music instead of us.
    Hold(LegId),
    /// End the music.
    Resume(LegId),
    /// Let the lamps of telephones show a line's state: the device state `Custom:APP-LINE`.
    Lamp {
        /// The line, as hints name it.
        line: String,
        /// What it shows.
        lamp: Lamp,
    },
    /// Tell whether messages wait for a line, or no longer.
    Mailbox {
        /// The line.
        line: String,
        /// Whether to tell.
        watched: bool,
    },
    /// Tell the dialplan what became of a setting, in `MOQRELAY_RESULT`, and let it go on.
    AnswerSetting {
        /// The call.
        call: IncomingId,
        /// `ok`, or why not.
        result: &'static str,
    },
    /// Tell a telephone that transfers what becomes of it.
    Transfer {
        /// The leg.
        leg: LegId,
        /// How far it is.
        progress: TransferProgress,
    },
}
