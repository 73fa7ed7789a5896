//! Hang-up causes: ours (protocol, section 4) and those of ITU-T Q.850, which Asterisk uses.

use moqrelay_wire::signal::Cause;

/// Returns what the cause of a leg that was never answered means.
///
/// `rang` says whether the far end rang: many dialplans end an unanswered call with 16.
pub fn before_answer(q850: u16, rang: bool) -> Cause {
    match q850 {
        // Unallocated; changed; invalid format.
        1 | 22 | 28 => Cause::NotFound,
        // No route to network, to destination; subscriber absent; out of order.
        2 | 3 | 20 | 27 => Cause::Unreachable,
        17 => Cause::Busy,
        // No user responding; no answer.
        18 | 19 => Cause::NoAnswer,
        // Rejected; facility rejected; not permitted (50..=57).
        21 | 29 | 50..=57 => Cause::Rejected,
        26 => Cause::AnsweredElsewhere,
        // Normal clearing and normal, unspecified, without an answer.
        16 | 31 if rang => Cause::NoAnswer,
        16 | 31 => Cause::Unreachable,
        // Congestion, network out of order, temporary failure, switching equipment, resources.
        34..=47 | 102 => Cause::Unreachable,
        _ => Cause::Failed,
    }
}

/// Returns what the cause of a leg that was answered means.
pub fn after_answer(q850: u16) -> Cause {
    match q850 {
        // Out of order; the network's failures; recovery on timer expiry.
        27 | 34..=47 | 102 => Cause::Lost,
        _ => Cause::Normal,
    }
}

/// Returns what Asterisk is told when we end a leg.
pub fn to_q850(cause: Cause) -> u16 {
    match cause {
        Cause::Normal | Cause::Cancelled | Cause::Transferred | Cause::TooLong => 16,
        Cause::Rejected => 21,
        Cause::Busy => 17,
        Cause::NoAnswer => 19,
        Cause::NotFound => 1,
        Cause::Unreachable => 20,
        Cause::AnsweredElsewhere => 26,
        // A SIP caller hears 500.
        Cause::Lost | Cause::Failed => 38,
        // A SIP caller hears 503, so its provider may try another way.
        Cause::Shutdown => 34,
    }
}
