//! What a device is told.

use std::time::Instant;

use crate::{
    CallId, Cause, Digit, LineView, ParkedCall, ParticipantId, Party, PartyKind, Presence, Rules,
    User,
};

/// Something that happened, for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A user came, went or changed state.
    Presence(UserPresence),
    /// Someone calls.
    Incoming {
        /// The call.
        call: CallId,
        /// Who calls.
        from: Party,
        /// Who was called first, or transfers the call: a name or number.
        via: Option<String>,
    },
    /// The far end rings.
    Ringing(CallId),
    /// There is sound before the answer.
    Early {
        /// The call.
        call: CallId,
        /// Where it is.
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
        /// Who did it.
        by: ParticipantId,
    },
    /// A participant's microphone went off or on.
    Muted {
        /// The call.
        call: CallId,
        /// Whose.
        participant: ParticipantId,
        /// True when off.
        muted: bool,
    },
    /// A participant pressed a digit.
    Dtmf {
        /// The call.
        call: CallId,
        /// Who.
        participant: ParticipantId,
        /// What.
        digit: Digit,
    },
    /// Somebody is asked to take a participant's place; the others hear a ringing tone.
    Transferring {
        /// The call.
        call: CallId,
        /// Who transfers.
        by: ParticipantId,
        /// Who is asked.
        to: Party,
    },
    /// Nobody took the place: the call is as before.
    TransferFailed {
        /// The call.
        call: CallId,
        /// Why.
        cause: Cause,
    },
    /// Others are in the call now, or it has moved into another one's room.
    Changed {
        /// The call as the device knows it.
        call: CallId,
        /// Its name from now on.
        now: CallId,
        /// The other side; the first of several.
        peer: Party,
        /// Where to publish and whom to hear.
        media: Media,
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
    Messages(bool),
    /// A telephone of Asterisk's has another state.
    Line(LineView),
    /// A call is parked.
    Parked(ParkedCall),
    /// A slot is free again.
    Unparked {
        /// Which.
        slot: String,
    },
    /// The call is over for this device; once for each call it was part of.
    Ended {
        /// The call.
        call: CallId,
        /// Why.
        cause: Cause,
    },
}

/// A user and the state others see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPresence {
    /// The user.
    pub user: User,
    /// The state.
    pub state: Presence,
}

/// Where a device publishes and whom it may hear. The room is named as the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The device's own participant.
    pub participant: ParticipantId,
    /// The others.
    pub peers: Vec<Peer>,
}

/// Another participant of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Which.
    pub participant: ParticipantId,
    /// The name to show.
    pub name: String,
    /// What kind of party.
    pub kind: PartyKind,
}

/// What a device learns when it registers or comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The calls that are alive on this device.
    pub calls: Vec<CallView>,
    /// Every user known.
    pub presence: Vec<UserPresence>,
    /// What the user wants done with calls.
    pub rules: Rules,
    /// Whether messages wait in the user's mailbox.
    pub messages: bool,
    /// The telephones whose state is shown.
    pub lines: Vec<LineView>,
    /// The calls that are parked.
    pub parked: Vec<ParkedCall>,
}

/// Who began a call, seen from a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The other side called.
    In,
    /// This device called.
    Out,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nobody has said yet that it rings.
    Calling,
    /// It rings.
    Ringing,
    /// There is sound before the answer.
    Early,
    /// Answered.
    Up {
        /// When.
        since: Instant,
    },
}

/// A call that is alive, as one of its devices sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// The call.
    pub call: CallId,
    /// Who began it.
    pub direction: Direction,
    /// How far it has come.
    pub progress: Progress,
    /// The other side.
    pub peer: Party,
    /// The participants that hold it.
    pub held_by: Vec<ParticipantId>,
    /// The participants that are muted.
    pub muted: Vec<ParticipantId>,
    /// Present when there is something to hear.
    pub media: Option<Media>,
    /// Present while somebody is asked to take a participant's place.
    pub transferring: Option<Transferring>,
    /// Who was called first, or transfers the call: a name or number.
    pub via: Option<String>,
}

/// A transfer on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferring {
    /// Who transfers.
    pub by: ParticipantId,
    /// Who is asked.
    pub to: Party,
}
