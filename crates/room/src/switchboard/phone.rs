//! What the telephone side tells of its legs.

use std::time::Instant;

use super::call::{Call, Side, Stage};
use super::transfer::{Asker, Then};
use super::{Due, Switchboard};
use crate::{
    CallId, Cause, DeviceId, Digit, Event, LegId, Output, ParticipantId, Refusal, TransferProgress,
};

impl Switchboard {
    /// Returns the call of a telephone's leg, its place there, and the devices in that call.
    pub fn audience(&self, leg: LegId) -> Option<(CallId, ParticipantId, Vec<DeviceId>)> {
        let id = *self.legs.get(&leg)?;
        let call = self.calls.get(&id)?;
        let participant = call.participant_of_leg(leg)?;
        let devices = call.ends.values().filter_map(|end| match end.side {
            Side::Device(device) => Some(device),
            Side::Leg(_) => None,
        });
        Some((id, participant, devices.collect()))
    }

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
        let Some(invite) = call.state.invite_mut() else {
            return;
        };
        let before = std::mem::replace(&mut invite.stage, Stage::Early);
        if before == Stage::Early {
            return;
        }
        if before == Stage::Calling
            && let Some(by) = call.state.transfer().map(|transfer| transfer.by)
        {
            self.tell_asker(id, by, TransferProgress::Ringing);
        }
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let told: Vec<_> = call
            .waiting()
            .filter_map(|(participant, end)| Some((end.side.device()?, call.media(participant))))
            .collect();
        for (device, media) in told {
            self.notify(device, Event::Early { call: id, media });
        }
        self.sync_hearing(id);
    }

    pub(super) fn leg_answered(&mut self, leg: LegId, now: Instant) {
        if let Some(id) = self.offered_to_leg(leg) {
            self.called_leg_up(id, now);
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
        match (call.participant_of_leg(leg), call.state.invite()) {
            (Some(by), _) if call.state.since().is_some() => {
                self.depart(id, by, after_answer(cause), now);
            }
            (Some(by), _) => self.end(id, by_caller(cause), Some(by), now),
            (None, Some(invite)) => {
                let by = invite.participant;
                self.declined(id, by_callee(cause), by, now);
            }
            (None, None) => {}
        }
    }

    pub(super) fn leg_digit(&mut self, leg: LegId, digit: Digit) {
        let Some((id, participant)) = self.place_of(leg) else {
            return;
        };
        let Some(call) = self.calls.get(&id).filter(|call| call.has_sound()) else {
            return;
        };
        let others = call.others(participant);
        let devices: Vec<_> = others.filter_map(|(_, end)| end.side.device()).collect();
        for device in devices {
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

    /// The telephone holds: it hears nothing, and Asterisk plays music to us.
    pub(super) fn leg_held(&mut self, leg: LegId, held: bool) {
        let Some((id, by)) = self.place_of(leg) else {
            return;
        };
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.state.since().is_none() {
            return;
        }
        let changed = if held {
            call.held_by.insert(by)
        } else {
            call.held_by.remove(&by)
        };
        if changed {
            self.sync_hearing(id);
            self.tell_all(id, &Event::Held { call: id, held, by });
        }
    }

    /// The telephone transfers its call.
    pub(super) fn leg_transfers(&mut self, leg: LegId, to: &str, now: Instant) {
        let Some(id) = self.legs.get(&leg).copied() else {
            return;
        };
        let result = self.transfer(Asker::Leg(leg), id, to, now);
        self.refuse_leg(leg, result);
    }

    /// The telephone connects the two whom it talks to.
    pub(super) fn leg_connects(&mut self, leg: LegId, with: LegId, now: Instant) {
        let (Some(id), Some(other)) = (self.legs.get(&leg), self.legs.get(&with)) else {
            return;
        };
        let (id, other) = (*id, *other);
        let asker = (Asker::Leg(leg), Asker::Leg(with));
        let result = self.merge(asker, id, other, Then::Leave, now);
        self.refuse_leg(leg, result);
    }

    fn refuse_leg(&mut self, leg: LegId, result: Result<(), Refusal>) {
        if let Err(refusal) = result {
            let progress = TransferProgress::Failed(refusal.cause());
            self.outputs.push_back(Output::Transfer { leg, progress });
        }
    }

    /// Returns the call that a leg is in, and as whom: not while it is only called.
    fn place_of(&self, leg: LegId) -> Option<(CallId, ParticipantId)> {
        let id = *self.legs.get(&leg)?;
        let call = self.calls.get(&id)?;
        if let Some(participant) = call.participant_of_leg(leg) {
            return Some((id, participant));
        }
        let invite = call.state.invite()?;
        let is_called = invite.leg().is_some_and(|called| called.id == leg);
        is_called.then_some((id, invite.participant))
    }

    /// Returns the call that waits for this leg's answer.
    fn offered_to_leg(&self, leg: LegId) -> Option<CallId> {
        let id = self.legs.get(&leg)?;
        let called = self.calls.get(id).and_then(Call::called_leg);
        called.is_some_and(|called| called.id == leg).then_some(*id)
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
        | Cause::Transferred
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
        Cause::Normal | Cause::Cancelled | Cause::AnsweredElsewhere | Cause::Transferred => {
            Cause::Rejected
        }
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
