//! What the telephone side tells of its legs.

use std::time::Instant;

use super::call::{Offer, Side, Stage, State};
use super::{Due, Switchboard};
use crate::{CallId, Cause, Digit, Event, LegId, ParticipantId};

impl Switchboard {
    pub(super) fn leg_rings(&mut self, leg: LegId, now: Instant) {
        if let Some(id) = self.offered_to_leg(leg) {
            self.far_end_rings(id, now);
        }
    }

    pub(super) fn leg_early(&mut self, leg: LegId) {
        let Some(id) = self.offered_to_leg(leg) else {
            return;
        };
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let State::Offered { stage, .. } = &mut call.state else {
            return;
        };
        if *stage == Stage::Early {
            return;
        }
        *stage = Stage::Early;
        if let Side::Device(device) = call.caller {
            let media = call.media(ParticipantId::CALLER);
            self.notify(device, Event::Early { call: id, media });
        }
        self.sync_listening(id);
    }

    pub(super) fn leg_answered(&mut self, leg: LegId, now: Instant) {
        if let Some(id) = self.offered_to_leg(leg) {
            self.callee_leg_up(id, now);
        }
    }

    pub(super) fn leg_ended(&mut self, leg: LegId, cause: Cause, now: Instant) {
        if let Some(ticket) = self.tickets.remove(&leg) {
            self.deadlines.remove(&(ticket.until, Due::Ticket(leg)));
        }
        let Some(id) = self.legs.remove(&leg) else {
            return;
        };
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let by = match &call.caller {
            Side::Leg(caller) if caller.id == leg => ParticipantId::CALLER,
            Side::Leg(_) | Side::Device(_) => ParticipantId::CALLEE,
        };
        let cause = match (&call.state, by) {
            (State::Up { .. }, _) => after_answer(cause),
            (State::Offered { .. }, ParticipantId::CALLER) => by_caller(cause),
            (State::Offered { .. }, _) => by_callee(cause),
        };
        self.end(id, cause, Some(by), now);
    }

    pub(super) fn leg_digit(&mut self, leg: LegId, digit: Digit) {
        let Some((&id, call)) = self
            .legs
            .get(&leg)
            .and_then(|id| Some((id, self.calls.get(id)?)))
        else {
            return;
        };
        if !call.has_sound() {
            return;
        }
        let participant = match &call.caller {
            Side::Leg(caller) if caller.id == leg => ParticipantId::CALLER,
            Side::Leg(_) | Side::Device(_) => ParticipantId::CALLEE,
        };
        if let Some(Side::Device(device)) = call.other_side(participant) {
            let device = *device;
            self.notify(
                device,
                Event::Dtmf {
                    call: id,
                    participant,
                    digit,
                },
            );
        }
    }

    /// Returns the call that waits for this leg's answer.
    fn offered_to_leg(&self, leg: LegId) -> Option<CallId> {
        let id = self.legs.get(&leg)?;
        match &self.calls.get(id)?.state {
            State::Offered {
                to: Offer::Phone(callee),
                ..
            } if callee.id == leg => Some(*id),
            State::Offered { .. } | State::Up { .. } => None,
        }
    }
}

/// A leg that was up can only hang up or break; what else a network says then is about itself.
fn after_answer(cause: Cause) -> Cause {
    match cause {
        Cause::Lost | Cause::Failed => cause,
        Cause::Normal
        | Cause::Cancelled
        | Cause::Rejected
        | Cause::Busy
        | Cause::NoAnswer
        | Cause::NotFound
        | Cause::Unreachable
        | Cause::AnsweredElsewhere
        | Cause::TooLong
        | Cause::Shutdown => Cause::Normal,
    }
}

/// A caller who goes before the answer has given up, however the network words it.
fn by_caller(cause: Cause) -> Cause {
    match after_answer(cause) {
        Cause::Normal => Cause::Cancelled,
        other => other,
    }
}

/// A callee who hangs up without answering has turned the call down.
fn by_callee(cause: Cause) -> Cause {
    match cause {
        Cause::Normal | Cause::Cancelled | Cause::AnsweredElsewhere => Cause::Rejected,
        Cause::TooLong | Cause::Shutdown => Cause::Failed,
        Cause::Rejected
        | Cause::Busy
        | Cause::NoAnswer
        | Cause::NotFound
        | Cause::Unreachable
        | Cause::Lost
        | Cause::Failed => cause,
    }
}
