//! One leg.

use std::time::Instant;

use moqrelay_wire::signal::Cause;

use super::super::{Choice, Plan, after_answer, before_answer};
use super::RequestId;

/// One party behind Asterisk: its channel (*far*), the AudioSocket's channel (*external*), and the
/// bridge that joins them (*mix*).
#[derive(Debug)]
pub(super) struct Leg {
    /// The far channel's id.
    pub(super) far: String,
    pub(super) far_part: Part,
    pub(super) external: Part,
    pub(super) mix: Part,
    pub(super) joining: Joining,
    pub(super) phase: Phase,
    /// The far channel's driver has taken the number.
    pub(super) dialled: bool,
    /// The daemon was told that it rings.
    pub(super) rang: bool,
    /// The daemon was told that it speaks before the answer.
    pub(super) early: bool,
    /// The last cause that Asterisk named, Q.850.
    pub(super) q850: Option<u16>,
    /// Known since before the connection was lost.
    pub(super) stale: bool,
    /// What the telephone speaks, by Asterisk's name.
    pub(super) codec: Option<String>,
    /// How the way of its sound is chosen.
    pub(super) choice: Choice,
    /// By which way the sound goes.
    pub(super) plan: Option<Plan>,
    /// The sound to make once the far channel is there.
    pub(super) sound: Option<uuid::Uuid>,
    /// Tells the far end what became of its transfer.
    pub(super) farewell: Option<RequestId>,
}

/// How far a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Incoming, not answered.
    Offered { until: Instant },
    /// Incoming, not answered, with sound.
    Early { until: Instant },
    /// Incoming; the sound is set up, then the call is answered.
    Answering { until: Instant, saying: Saying },
    /// Outgoing; the channels and the bridge are made.
    SettingUp { until: Instant },
    /// Outgoing, not answered.
    Dialling { until: Instant },
    /// Answered.
    Up,
    /// It has left; the cause is to follow.
    Leaving { until: Instant, answered: bool },
}

impl Phase {
    pub(super) fn until(&self) -> Option<Instant> {
        match *self {
            Self::Offered { until }
            | Self::Early { until }
            | Self::Answering { until, .. }
            | Self::SettingUp { until }
            | Self::Dialling { until }
            | Self::Leaving { until, .. } => Some(until),
            Self::Up => None,
        }
    }
}

/// Whether the channel was told to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Saying {
    Not,
    Asked,
    Done,
}

/// Whether the channels are in the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    Not,
    Asked,
    Done,
}

/// What a channel of a leg is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Far,
    External,
}

/// Something in Asterisk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Never made, or gone.
    Absent,
    /// Asked for.
    Asked(RequestId),
    /// Made, as far as we know; a channel is not in our application yet.
    Made,
    /// Can be used.
    Ready,
}

impl Part {
    /// Returns whether it is to be removed, and after the response to which request.
    pub(super) fn to_remove(self) -> Option<Option<RequestId>> {
        match self {
            Self::Absent => None,
            Self::Asked(request) => Some(Some(request)),
            Self::Made | Self::Ready => Some(None),
        }
    }
}

impl Leg {
    pub(super) fn new(far: String, far_part: Part, phase: Phase, choice: Choice) -> Self {
        Self {
            far,
            far_part,
            external: Part::Absent,
            mix: Part::Absent,
            joining: Joining::Not,
            phase,
            dialled: false,
            rang: false,
            early: false,
            q850: None,
            stale: false,
            codec: None,
            choice,
            plan: None,
            sound: None,
            farewell: None,
        }
    }

    /// Returns whether somebody calls and hears nothing of us but ringing.
    pub(super) fn is_unanswered_caller(&self) -> bool {
        matches!(self.phase, Phase::Offered { .. })
    }

    /// Returns what it means that the far end has left, given the cause in Q.850.
    pub(super) fn cause_of_end(&self, q850: u16) -> Cause {
        match self.phase {
            Phase::Offered { .. } | Phase::Early { .. } | Phase::Answering { .. } => {
                Cause::Cancelled
            }
            Phase::Up | Phase::Leaving { answered: true, .. } => after_answer(q850),
            // A Local channel whose extension does not exist ends like this.
            Phase::Leaving {
                answered: false, ..
            } if !self.dialled && q850 == 16 => Cause::NotFound,
            Phase::SettingUp { .. } | Phase::Dialling { .. } | Phase::Leaving { .. } => {
                before_answer(q850, self.rang)
            }
        }
    }

    /// Returns what it means that the far end is found to be gone, nobody knows why.
    pub(super) fn cause_of_absence(&self) -> Cause {
        match self.phase {
            Phase::Offered { .. } | Phase::Early { .. } | Phase::Answering { .. } => {
                Cause::Cancelled
            }
            Phase::SettingUp { .. }
            | Phase::Dialling { .. }
            | Phase::Leaving {
                answered: false, ..
            } => Cause::Unreachable,
            Phase::Up | Phase::Leaving { answered: true, .. } => Cause::Lost,
        }
    }
}
