//! The names of one engine in the words of another.

use std::time::Duration;

use moqrelay_bridge::{self as bridge, Place, ari, leg::Reason};
use moqrelay_room::{CallId, Cause, Lamp, LegId, ParticipantId};
use moqrelay_wire::signal;
use uuid::Uuid;

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn new_call() -> CallId {
    CallId(Uuid::new_v4().as_u128())
}

pub(super) fn place(call: CallId, participant: ParticipantId) -> Option<Place> {
    // Never none: 32 hex digits and a short name are far below the longest namespace.
    Place::new(call.to_string(), participant.to_string()).ok()
}

pub(super) fn to_bridge(leg: LegId) -> bridge::LegId {
    bridge::LegId(leg.0)
}

/// A command that is not taken leaves a leg in a wrong state: the operator should know.
pub(super) fn told(result: Result<(), bridge::CommandError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the bridge was not told");
    }
}

pub(super) fn told_ari(result: Result<(), ari::CommandRefused>) {
    if let Err(error) = result {
        tracing::warn!(%error, "ARI was not told");
    }
}

pub(super) fn to_ari(leg: LegId) -> ari::LegId {
    ari::LegId(leg.0)
}

pub(super) fn cause_of(reason: Reason) -> Cause {
    match reason {
        Reason::HungUp | Reason::Closed => Cause::Normal,
        Reason::Expired => Cause::Unreachable,
        Reason::Stalled | Reason::Broken => Cause::Lost,
        _ => Cause::Failed,
    }
}

/// What the end of its sound means for a call that ARI has not ended.
pub(super) fn without_sound(reason: Reason) -> Cause {
    match reason {
        Reason::Closed => Cause::Lost,
        reason => cause_of(reason),
    }
}

/// A cause's name in records and metrics.
pub(crate) fn word(cause: Cause) -> &'static str {
    to_wire(cause).as_str()
}

pub(super) fn to_wire(cause: Cause) -> signal::Cause {
    match cause {
        Cause::Normal => signal::Cause::Normal,
        Cause::Cancelled => signal::Cause::Cancelled,
        Cause::Rejected => signal::Cause::Rejected,
        Cause::Busy => signal::Cause::Busy,
        Cause::NoAnswer => signal::Cause::NoAnswer,
        Cause::NotFound => signal::Cause::NotFound,
        Cause::Unreachable => signal::Cause::Unreachable,
        Cause::AnsweredElsewhere => signal::Cause::AnsweredElsewhere,
        Cause::Lost => signal::Cause::Lost,
        Cause::Transferred => signal::Cause::Transferred,
        Cause::TooLong => signal::Cause::TooLong,
        Cause::Failed => signal::Cause::Failed,
        Cause::Shutdown => signal::Cause::Shutdown,
    }
}

pub(super) fn to_lamp(lamp: Lamp) -> ari::Lamp {
    match lamp {
        Lamp::Unavailable => ari::Lamp::Unavailable,
        Lamp::Idle => ari::Lamp::Idle,
        Lamp::Ringing => ari::Lamp::Ringing,
        Lamp::InUse => ari::Lamp::InUse,
        Lamp::RingInUse => ari::Lamp::RingInUse,
        Lamp::Busy => ari::Lamp::Busy,
    }
}

pub(super) fn from_wire(cause: signal::Cause) -> Cause {
    match cause {
        signal::Cause::Normal => Cause::Normal,
        signal::Cause::Cancelled => Cause::Cancelled,
        signal::Cause::Rejected => Cause::Rejected,
        signal::Cause::Busy => Cause::Busy,
        signal::Cause::NoAnswer => Cause::NoAnswer,
        signal::Cause::NotFound => Cause::NotFound,
        signal::Cause::Unreachable => Cause::Unreachable,
        signal::Cause::AnsweredElsewhere => Cause::AnsweredElsewhere,
        signal::Cause::Lost => Cause::Lost,
        signal::Cause::Transferred => Cause::Transferred,
        signal::Cause::TooLong => Cause::TooLong,
        signal::Cause::Failed => Cause::Failed,
        signal::Cause::Shutdown => Cause::Shutdown,
    }
}
