//! Somebody else takes one's place in a call, and two calls become one.

use std::time::Instant;

use super::call::{Call, End, Hears, LegKind, Side, Stage, State, Transfer};
use super::divert::no_route;
use super::place::{Target, Way};
use super::progress::hear;
use super::{Due, Switchboard, refusal};
use crate::{
    CallId, CallRecord, Cause, DeviceId, Event, LegId, Output, ParticipantId, Reason, Refusal,
    TransferProgress, UserId,
};

/// Who asks for something of a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Device(DeviceId),
    Leg(LegId),
}

/// What becomes of the one who puts two calls together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Leaves: an attended transfer.
    Leave,
    /// Stays: a conference.
    Stay,
}

impl Switchboard {
    /// Asks somebody in for the one who asks. Until an answer the other side hears a ringing tone;
    /// without one the call is again what it was.
    pub(super) fn transfer(
        &mut self,
        asker: Asker,
        id: CallId,
        to: &str,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.is_lot(to) {
            return self.park(asker, id, now);
        }
        self.refuse_when_draining()?;
        let by = self.asker_in(asker, id)?;
        let call = self.calls.get(&id).ok_or_else(over)?;
        if !matches!(call.state, State::Up { .. }) || call.ends.len() != 2 {
            return Err(refusal(
                Reason::WrongState,
                "only an answered call between two can be transferred",
            ));
        }
        let route = self.transfer_target(asker, id, to)?;
        let from = call.peer_of(by).clone();
        let via = call.ends.get(&by).map(|end| end.party.name.clone());
        let until = now + self.config.ring_timeout;
        let Some(invite) = self.invite(id, &from, via, route, now) else {
            return Err(over());
        };
        let (rung, service) = (invite.devices(), invite.is_service());
        let Some(call) = self.calls.get_mut(&id) else {
            return Err(over());
        };
        let State::Up { since, until: end } = call.state else {
            return Err(over());
        };
        let transfer = Transfer {
            by,
            invite,
            until,
            from_slot: None,
        };
        call.state = State::Transferring {
            since,
            until: end,
            transfer,
        };
        self.deadlines.insert((until, Due::Transfer(id)));
        self.tell_transferring(id);
        self.ring_invited(id, rung, &from);
        if service {
            self.called_leg_up(id, now);
        } else {
            self.sync_hearing(id);
        }
        Ok(())
    }

    /// Tells those in the room who is to come, if somebody is.
    pub(super) fn tell_transferring(&mut self, id: CallId) {
        let call = self.calls.get(&id);
        let Some(transfer) = call.and_then(|call| call.state.transfer()) else {
            return;
        };
        let (by, to) = (transfer.by, transfer.invite.party.clone());
        self.tell_participants(id, &Event::Transferring { call: id, by, to });
    }

    /// Whom a transfer reaches. A telephone may not always send calls back into its network.
    fn transfer_target(&self, asker: Asker, id: CallId, to: &str) -> Result<Way, Refusal> {
        let device = match asker {
            Asker::Device(device) => Some(device),
            Asker::Leg(_) => None,
        };
        if self.existing(to)?.is_some() {
            return Err(refusal(Reason::Forbidden, "that is a call of its own"));
        }
        let mut route = self.route(to, device, None)?;
        let by_asker = device.is_none() && route.diversion.is_none();
        match &route.target {
            Target::Number(number) if by_asker && !self.config.telephones_dial => {
                return Err(refusal(
                    Reason::Forbidden,
                    format!("telephones may not dial {}", number.shown),
                ));
            }
            Target::Number(_) if !self.trunk => return Err(no_route()),
            Target::Number(_) | Target::Service(_) | Target::User(..) => {}
        }
        let here = self.calls.get(&id).map(Call::devices).unwrap_or_default();
        self.keep_apart(&mut route.target, &here)?;
        Ok(route)
    }

    /// The one who transfers wants the call back.
    pub(super) fn cancel_transfer(&mut self, id: CallId, now: Instant) {
        self.transfer_failed(id, Cause::Cancelled, None, now);
    }

    /// Somebody has taken the place of the one who transfers.
    pub(super) fn transferred(
        &mut self,
        id: CallId,
        by: ParticipantId,
        joined: ParticipantId,
        now: Instant,
    ) {
        self.tell_asker(id, by, TransferProgress::Answered);
        self.remove_end(id, by, Cause::Transferred, now);
        self.greet(id, joined);
        self.tell_changed_but(id, Some(joined));
    }

    /// Nobody takes the place: the call is again what it was, or over when the other has left.
    pub(super) fn transfer_failed(
        &mut self,
        id: CallId,
        cause: Cause,
        ended_by: Option<ParticipantId>,
        now: Instant,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let State::Transferring { since, until, .. } = call.state else {
            return;
        };
        let state = std::mem::replace(&mut call.state, State::Up { since, until });
        let State::Transferring { transfer, .. } = state else {
            return;
        };
        self.deadlines.remove(&(transfer.until, Due::Transfer(id)));
        let (by, invite, from_slot) = (transfer.by, transfer.invite, transfer.from_slot);
        let was_heard = invite.stage == Stage::Early;
        self.forget_divert(id, &invite);
        let mut users: Vec<UserId> = Vec::new();
        for device in invite.devices() {
            users.extend(self.roster.remove_call(device, id));
            self.notify(device, Event::Ended { call: id, cause });
        }
        if let Some(leg) = invite.leg() {
            self.hang_up_leg(leg.id, cause);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.past.push(invite.record(now, cause));
        }
        let is_there = |call: &Call| call.ends.contains_key(&by);
        let waits_again = from_slot.filter(|_| cause != Cause::Rejected);
        if let Some(parked) = waits_again {
            self.park_again(id, parked, now);
            if was_heard {
                self.tell_changed(id);
            }
        } else if self.calls.get(&id).is_some_and(is_there) {
            self.tell_asker(id, by, TransferProgress::Failed(cause));
            self.tell_participants(id, &Event::TransferFailed { call: id, cause });
            // Who has heard the target before its answer hears the other one again.
            if was_heard {
                self.tell_changed_but(id, Some(by));
            }
            self.sync_hearing(id);
        } else {
            self.end(id, cause, ended_by, now);
        }
        for user in users {
            self.refresh_presence(&user, None, false);
        }
    }

    /// Tells the telephone that transfers how it goes; devices hear events.
    pub(super) fn tell_asker(&mut self, id: CallId, by: ParticipantId, progress: TransferProgress) {
        let end = self.calls.get(&id).and_then(|call| call.ends.get(&by));
        if let Some(leg) = end.and_then(|end| end.side.leg()) {
            let leg = leg.id;
            self.outputs.push_back(Output::Transfer { leg, progress });
        }
    }

    /// Puts all of two calls into the first one's room.
    pub(super) fn merge(
        &mut self,
        asker: (Asker, Asker),
        id: CallId,
        other: CallId,
        then: Then,
        now: Instant,
    ) -> Result<(), Refusal> {
        let by = self.asker_in(asker.0, id)?;
        let by_other = self.asker_in(asker.1, other)?;
        self.check_merge(id, other, by_other)?;
        let Some(mut merged) = self.calls.remove(&other) else {
            return Err(over());
        };
        self.deadlines
            .remove(&(merged.state.until(), Due::Call(other)));
        let asking = merged.ends.remove(&by_other);
        let ends = std::mem::take(&mut merged.ends);
        let mut moved: Vec<(ParticipantId, CallId)> = Vec::new();
        for (old, end) in ends {
            let Some(new) = self.move_end(old, end, &merged, other, id, now) else {
                continue;
            };
            moved.push((new, other));
        }
        if let Some(end) = asking {
            self.leave_merged(other, by_other, end, &mut merged, now);
        }
        match then {
            Then::Leave => {
                self.tell_asker(id, by, TransferProgress::Answered);
                self.remove_end(id, by, Cause::Transferred, now);
            }
            Then::Stay => self.take_up(id, by),
        }
        self.tell_moved(id, &moved);
        self.sync_hearing(id);
        self.outputs.push_back(Output::Ended(CallRecord {
            call: other,
            from: merged.from,
            to: merged.to,
            started: merged.started,
            rang: merged.rang,
            answered: merged.state.since(),
            ended: now,
            cause: Cause::Transferred,
            ended_by: Some(by_other),
            went_on_in: Some(id),
            legs: merged.past,
        }));
        Ok(())
    }

    /// The one who brings others in talks to them.
    fn take_up(&mut self, id: CallId, by: ParticipantId) {
        let held = |call: &mut Call| call.held_by.remove(&by);
        if self.calls.get_mut(&id).is_some_and(held) {
            let held = false;
            self.tell_all(id, &Event::Held { call: id, held, by });
        }
    }

    fn check_merge(
        &self,
        id: CallId,
        other: CallId,
        by_other: ParticipantId,
    ) -> Result<(), Refusal> {
        let wrong = |text: &str| refusal(Reason::WrongState, text);
        let (Some(call), Some(joined)) = (self.calls.get(&id), self.calls.get(&other)) else {
            return Err(over());
        };
        if id == other {
            return Err(wrong("these are one call already"));
        }
        let up = |call: &Call| matches!(call.state, State::Up { .. });
        if !up(call) || !up(joined) {
            return Err(wrong("both calls must be answered"));
        }
        let is_service = |end: &End| {
            end.side
                .leg()
                .is_some_and(|leg| leg.kind == LegKind::Service)
        };
        if joined.ends.values().any(is_service) {
            return Err(wrong("a built-in party cannot be brought along"));
        }
        let here = call.devices();
        let twice = |end: &End| {
            end.side
                .device()
                .is_some_and(|device| here.contains(&device))
        };
        if joined.others(by_other).any(|(_, end)| twice(end)) {
            return Err(wrong("somebody is in both calls"));
        }
        if call.ends.len() + joined.ends.len() - 1 > self.config.limits.participants_per_call {
            return Err(refusal(Reason::TooMany, "too many in one call"));
        }
        Ok(())
    }

    /// Gives one of another call a place in this one.
    pub(super) fn move_end(
        &mut self,
        old: ParticipantId,
        mut end: End,
        from: &Call,
        other: CallId,
        id: CallId,
        now: Instant,
    ) -> Option<ParticipantId> {
        let call = self.calls.get_mut(&id)?;
        let participant = call.new_participant();
        if from.held_by.contains(&old) {
            call.held_by.insert(participant);
        }
        if from.muted.contains(&old) {
            call.muted.insert(participant);
        }
        match &mut end.side {
            Side::Device(device) => {
                self.roster.remove_call(*device, other);
                self.roster.add_call(*device, id);
            }
            Side::Leg(leg) => {
                let hears = std::mem::take(&mut leg.hears);
                let silence = Hears::default();
                hear(&mut self.outputs, leg.id, other, &hears, &silence);
                self.legs.insert(leg.id, id);
                self.outputs.push_back(Output::Move {
                    leg: leg.id,
                    call: id,
                    participant,
                });
            }
        }
        end.began = end.began.min(now);
        let call = self.calls.get_mut(&id)?;
        call.ends.insert(participant, end);
        Some(participant)
    }

    /// The one who merges is out of the call that was merged.
    fn leave_merged(
        &mut self,
        other: CallId,
        by: ParticipantId,
        end: End,
        merged: &mut Call,
        now: Instant,
    ) {
        let cause = Cause::Transferred;
        if let Some(device) = end.side.device() {
            self.roster.remove_call(device, other);
            self.notify(device, Event::Ended { call: other, cause });
        }
        if let Some(leg) = end.side.leg() {
            self.hang_up_leg(leg.id, cause);
        }
        merged.past.push(end.record(by, now, cause));
    }

    /// Tells those who came of their new room, and the others who came and in what state.
    fn tell_moved(&mut self, id: CallId, moved: &[(ParticipantId, CallId)]) {
        let participants: Vec<ParticipantId> = match self.calls.get(&id) {
            Some(call) => call.ends.keys().copied().collect(),
            None => return,
        };
        for participant in participants {
            let from = moved.iter().find(|(new, _)| *new == participant);
            let before = from.map_or(id, |(_, other)| *other);
            self.tell_change(id, participant, before);
        }
        for (participant, _) in moved.iter().copied() {
            let Some(call) = self.calls.get(&id) else {
                return;
            };
            let (held, muted) = (
                call.held_by.contains(&participant),
                call.muted.contains(&participant),
            );
            if held {
                let by = participant;
                self.tell_all(id, &Event::Held { call: id, held, by });
            }
            if muted {
                let event = Event::Muted {
                    call: id,
                    participant,
                    muted,
                };
                self.tell_all(id, &event);
            }
        }
    }

    /// Tells every device in the call who is in it now.
    pub(super) fn tell_changed(&mut self, id: CallId) {
        self.tell_changed_but(id, None);
    }

    fn tell_changed_but(&mut self, id: CallId, except: Option<ParticipantId>) {
        let participants: Vec<ParticipantId> = match self.calls.get(&id) {
            Some(call) => call.ends.keys().copied().collect(),
            None => return,
        };
        for participant in participants {
            if Some(participant) != except {
                self.tell_change(id, participant, id);
            }
        }
    }

    pub(super) fn tell_change(&mut self, id: CallId, participant: ParticipantId, before: CallId) {
        let (Some(device), Some(call)) = (self.device_at(id, participant), self.calls.get(&id))
        else {
            return;
        };
        let (peer, media) = (call.peer_of(participant).clone(), call.media(participant));
        let event = Event::Changed {
            call: before,
            now: id,
            peer,
            media,
        };
        self.notify(device, event);
    }

    /// Tells the devices of those who are in the room.
    pub(super) fn tell_participants(&mut self, id: CallId, event: &Event) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let devices: Vec<DeviceId> = call
            .ends
            .values()
            .filter_map(|end| end.side.device())
            .collect();
        for device in devices {
            self.notify(device, event.clone());
        }
    }

    pub(super) fn asker_in(&self, asker: Asker, id: CallId) -> Result<ParticipantId, Refusal> {
        let call = self.calls.get(&id).ok_or_else(over)?;
        let participant = match asker {
            Asker::Device(device) => call.participant(device),
            Asker::Leg(leg) => call.participant_of_leg(leg),
        };
        participant.ok_or_else(over)
    }
}

fn over() -> Refusal {
    refusal(Reason::NoSuchCall, "there is no such call here")
}
