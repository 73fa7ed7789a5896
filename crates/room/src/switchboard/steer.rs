//! What devices ask of their calls.

use std::time::Instant;

use super::call::{Call, LegKind, Side, Stage, State};
use super::{Switchboard, refusal};
use crate::{CallId, Cause, DeviceId, Digit, Event, Output, ParticipantId, Reason, Refusal};

impl Switchboard {
    pub(super) fn device_rings(
        &mut self,
        device: DeviceId,
        id: CallId,
        now: Instant,
    ) -> Result<(), Refusal> {
        if !self.call_of(device, id)?.is_offered_to(device) {
            return Err(wrong_state("the call does not ring here"));
        }
        self.far_end_rings(id, now);
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        device: DeviceId,
        id: CallId,
        now: Instant,
    ) -> Result<(), Refusal> {
        let call = self.call_of(device, id)?;
        if call.participant(device) == Some(ParticipantId::CALLEE) {
            return Ok(());
        }
        if !call.is_offered_to(device) {
            return Err(wrong_state("the call does not ring here"));
        }
        self.take_from_others(id, device);
        self.up(id, Side::Device(device), now);
        Ok(())
    }

    pub(super) fn reject(
        &mut self,
        device: DeviceId,
        id: CallId,
        now: Instant,
    ) -> Result<(), Refusal> {
        if !self.call_of(device, id)?.is_offered_to(device) {
            return Err(wrong_state("the call does not ring here"));
        }
        self.end(id, Cause::Rejected, Some(ParticipantId::CALLEE), now);
        Ok(())
    }

    pub(super) fn cancel(
        &mut self,
        device: DeviceId,
        id: CallId,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.call_of(device, id)?.participant(device) != Some(ParticipantId::CALLER) {
            return Err(wrong_state("only the caller can give up"));
        }
        self.hang_up(device, id, now)
    }

    /// Before the answer this is `cancel` or `reject`: a person presses the same key.
    pub(super) fn hang_up(
        &mut self,
        device: DeviceId,
        id: CallId,
        now: Instant,
    ) -> Result<(), Refusal> {
        let call = self.call_of(device, id)?;
        let (cause, by) = match (call.participant(device), &call.state) {
            (None, _) => (Cause::Rejected, ParticipantId::CALLEE),
            (Some(by), State::Offered { .. }) => (Cause::Cancelled, by),
            (Some(by), State::Up { .. }) => (Cause::Normal, by),
        };
        self.end(id, cause, Some(by), now);
        Ok(())
    }

    pub(super) fn hold(&mut self, device: DeviceId, id: CallId, held: bool) -> Result<(), Refusal> {
        let call = self.call_of_mut(device, id)?;
        let (Some(by), State::Up { .. }) = (call.participant(device), &call.state) else {
            return Err(wrong_state("the call is not answered"));
        };
        let changed = if held {
            call.held_by.insert(by)
        } else {
            call.held_by.remove(&by)
        };
        if changed {
            self.sync_listening(id);
            self.tell_all(id, &Event::Held { call: id, held, by });
        }
        Ok(())
    }

    pub(super) fn mute(
        &mut self,
        device: DeviceId,
        id: CallId,
        muted: bool,
    ) -> Result<(), Refusal> {
        let call = self.call_of_mut(device, id)?;
        let Some(participant) = call.participant(device) else {
            return Err(wrong_state("the call is not answered"));
        };
        let muted_by = &mut call.muted;
        let changed = if muted {
            muted_by.insert(participant)
        } else {
            muted_by.remove(&participant)
        };
        // Before the answer nobody is there to be told; the one who answers is told then.
        if changed && matches!(call.state, State::Up { .. }) {
            self.tell_all(
                id,
                &Event::Muted {
                    call: id,
                    participant,
                    muted,
                },
            );
        }
        Ok(())
    }

    pub(super) fn dtmf(
        &mut self,
        device: DeviceId,
        id: CallId,
        digits: Vec<Digit>,
    ) -> Result<(), Refusal> {
        if digits.is_empty() || digits.len() > Self::DIGITS_MAX {
            let text = format!("1 to {} digits at once", Self::DIGITS_MAX);
            return Err(refusal(Reason::BadRequest, text));
        }
        let call = self.call_of(device, id)?;
        let Some(participant) = call.participant(device) else {
            return Err(wrong_state("the call is not answered"));
        };
        // A telephone network may ask for digits before it answers.
        let early = matches!(
            call.state,
            State::Offered {
                stage: Stage::Early,
                ..
            }
        );
        let far_leg = match call.other_side(participant) {
            Some(Side::Device(other)) => {
                let other = *other;
                for digit in digits {
                    self.notify(
                        other,
                        Event::Dtmf {
                            call: id,
                            participant,
                            digit,
                        },
                    );
                }
                return Ok(());
            }
            Some(Side::Leg(leg)) => Some(leg),
            None if early => call.callee_leg(),
            None => None,
        };
        match far_leg.map(|leg| (leg.id, leg.kind)) {
            Some((_, LegKind::Service)) => Ok(()),
            Some((leg, LegKind::Phone | LegKind::Unanswered | LegKind::HearsRingback)) => {
                self.outputs.push_back(Output::SendDigits { leg, digits });
                Ok(())
            }
            None => Err(wrong_state("the call is not answered")),
        }
    }

    fn call_of(&self, device: DeviceId, id: CallId) -> Result<&Call, Refusal> {
        self.calls
            .get(&id)
            .filter(|call| call.participant(device).is_some() || call.is_offered_to(device))
            .ok_or_else(|| no_such_call(id))
    }

    fn call_of_mut(&mut self, device: DeviceId, id: CallId) -> Result<&mut Call, Refusal> {
        self.calls
            .get_mut(&id)
            .filter(|call| call.participant(device).is_some() || call.is_offered_to(device))
            .ok_or_else(|| no_such_call(id))
    }
}

fn wrong_state(text: &str) -> Refusal {
    refusal(Reason::WrongState, text)
}

fn no_such_call(id: CallId) -> Refusal {
    refusal(Reason::NoSuchCall, format!("there is no call {id} here"))
}
