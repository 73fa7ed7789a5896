//! What devices ask of their calls.

use std::time::Instant;

use super::call::{Call, Invite, LegKind, Side, State};
use super::progress::Joins;
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
        match call.participant(device) {
            Some(participant) if participant != ParticipantId::CALLER => return Ok(()),
            Some(_) | None => {}
        }
        if !call.is_offered_to(device) {
            return Err(wrong_state("the call does not ring here"));
        }
        self.take_from_others(id, device);
        self.join(id, Joins::Device(device), now);
        Ok(())
    }

    pub(super) fn reject(
        &mut self,
        device: DeviceId,
        id: CallId,
        now: Instant,
    ) -> Result<(), Refusal> {
        let call = self.call_of(device, id)?;
        match call.state.invite() {
            Some(invite) if call.is_offered_to(device) => {
                let by = invite.participant;
                self.declined(id, Cause::Rejected, by, now);
                Ok(())
            }
            Some(_) | None => Err(wrong_state("the call does not ring here")),
        }
    }

    /// The caller gives up, or the one who transfers wants the call back.
    pub(super) fn cancel(
        &mut self,
        device: DeviceId,
        id: CallId,
        now: Instant,
    ) -> Result<(), Refusal> {
        let call = self.call_of(device, id)?;
        let participant = call.participant(device);
        if let Some(transfer) = call.state.transfer() {
            if participant != Some(transfer.by) {
                return Err(wrong_state("only who transfers can take the call back"));
            }
            self.cancel_transfer(id, now);
            return Ok(());
        }
        if participant != Some(ParticipantId::CALLER) {
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
        match (call.participant(device), call.state.since()) {
            (None, _) => self.reject(device, id, now)?,
            (Some(by), None) => self.end(id, Cause::Cancelled, Some(by), now),
            (Some(by), Some(_)) => self.depart(id, by, Cause::Normal, now),
        }
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
            self.sync_hearing(id);
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
        if changed && call.state.since().is_some() {
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
        let mut devices = Vec::new();
        let mut legs = Vec::new();
        for (_, end) in call.others(participant) {
            match &end.side {
                Side::Device(other) => devices.push(*other),
                Side::Leg(leg) => legs.push((leg.id, leg.kind)),
            }
        }
        // A telephone network may ask for digits before it answers.
        if let Some(leg) = call.early().and_then(Invite::leg)
            && call.waiting().any(|(waiting, _)| waiting == participant)
        {
            legs.push((leg.id, leg.kind));
        }
        if devices.is_empty() && legs.is_empty() {
            return Err(wrong_state("the call is not answered"));
        }
        for other in devices {
            // Only a machine waits for a pause.
            for digit in digits.iter().copied().filter(|digit| !digit.is_pause()) {
                let event = Event::Dtmf {
                    call: id,
                    participant,
                    digit,
                };
                self.notify(other, event);
            }
        }
        for (leg, kind) in legs {
            if kind != LegKind::Service {
                let digits = digits.clone();
                self.outputs.push_back(Output::SendDigits { leg, digits });
            }
        }
        Ok(())
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
