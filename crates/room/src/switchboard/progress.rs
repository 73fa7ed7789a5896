//! What becomes of a call, and how it ends.

use std::collections::BTreeSet;
use std::time::Instant;

use super::call::{Call, End, Hears, LegKind, Offer, Side, Stage, State};
use super::{Due, Switchboard};
use crate::{
    CallId, CallRecord, Cause, DeviceId, Event, LegId, Output, ParticipantId, TransferProgress,
    UserId,
};

impl Switchboard {
    pub(super) fn far_end_rings(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(invite) = call.state.invite_mut() else {
            return;
        };
        if invite.stage != Stage::Calling {
            return;
        }
        invite.stage = Stage::Ringing;
        if let Some(by) = call.state.transfer().map(|transfer| transfer.by) {
            self.tell_asker(id, by, TransferProgress::Ringing);
            return;
        }
        call.rang = Some(now);
        match call.ends.get(&ParticipantId::CALLER).map(|end| &end.side) {
            Some(Side::Device(device)) => {
                let device = *device;
                self.notify(device, Event::Ringing(id));
            }
            Some(Side::Leg(leg)) if leg.kind == LegKind::Unanswered => {
                self.outputs.push_back(Output::Ring(leg.id));
            }
            Some(Side::Leg(_)) | None => {}
        }
    }

    /// The leg that was called has answered.
    pub(super) fn called_leg_up(&mut self, id: CallId, now: Instant) {
        let called = self.calls.get(&id).and_then(Call::called_leg);
        if called.is_some() {
            self.join(id, Joins::CalledLeg, now);
        }
    }

    /// Others that ring are told that somebody else has taken the call.
    pub(super) fn take_from_others(&mut self, id: CallId, winner: DeviceId) {
        let Some(invite) = self
            .calls
            .get_mut(&id)
            .and_then(|call| call.state.invite_mut())
        else {
            return;
        };
        let Offer::User { devices, .. } = &mut invite.offer else {
            return;
        };
        let mut others = std::mem::take(devices);
        others.remove(&winner);
        for device in others {
            self.roster.remove_call(device, id);
            self.notify(
                device,
                Event::Ended {
                    call: id,
                    cause: Cause::AnsweredElsewhere,
                },
            );
        }
    }

    /// Somebody who was asked in has answered.
    pub(super) fn join(&mut self, id: CallId, who: Joins, now: Instant) {
        let longest = self.config.call_duration_max;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let old = (call.state.until(), Due::Call(id));
        // The state in between is never seen: each way out of here sets the true one.
        let until = now + longest;
        let state = std::mem::replace(&mut call.state, State::Up { since: now, until });
        let (invite, transfer) = match state {
            State::Offered { invite, .. } => {
                self.deadlines.remove(&old);
                self.deadlines.insert((until, Due::Call(id)));
                (invite, None)
            }
            State::Transferring {
                since,
                until,
                transfer,
            } => {
                call.state = State::Up { since, until };
                self.deadlines.remove(&(transfer.until, Due::Transfer(id)));
                (transfer.invite, Some(transfer.by))
            }
            State::Up { .. } | State::Parked { .. } => {
                call.state = state;
                return;
            }
        };
        self.forget_divert(id, &invite);
        let side = match (who, invite.offer) {
            (Joins::Device(device), _) => Side::Device(device),
            (Joins::CalledLeg, Offer::Phone(leg)) => Side::Leg(leg),
            // Looked at by `called_leg_up`.
            (Joins::CalledLeg, Offer::User { .. }) => return,
        };
        let joined = invite.participant;
        let user = self.user_at(&side);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let end = End {
            side,
            party: invite.party,
            began: invite.began,
            answered: Some(now),
        };
        call.ends.insert(joined, end);
        match transfer {
            None => self.answered(id, joined, now),
            Some(by) => self.transferred(id, by, joined, now),
        }
        self.sync_hearing(id);
        if let Some(user) = user {
            self.refresh_presence(&user, None, false);
        }
    }

    fn answered(&mut self, id: CallId, joined: ParticipantId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Some(caller) = call.ends.get_mut(&ParticipantId::CALLER) {
            caller.answered = Some(now);
            if let Side::Leg(leg) = &mut caller.side
                && leg.kind == LegKind::Unanswered
            {
                leg.kind = LegKind::Phone;
                self.outputs.push_back(Output::Answer(leg.id));
            }
        }
        self.greet(id, ParticipantId::CALLER);
        self.greet(id, joined);
        let muted = self.calls.get(&id).map(|call| call.muted.clone());
        if let Some(device) = self.device_at(id, joined) {
            for participant in muted.unwrap_or_default() {
                let muted = true;
                let event = Event::Muted {
                    call: id,
                    participant,
                    muted,
                };
                self.notify(device, event);
            }
        }
    }

    /// Tells a participant's device where the sound is.
    pub(super) fn greet(&mut self, id: CallId, participant: ParticipantId) {
        let (Some(device), Some(call)) = (self.device_at(id, participant), self.calls.get(&id))
        else {
            return;
        };
        let media = call.media(participant);
        self.notify(device, Event::Up { call: id, media });
    }

    /// Returns the device of a participant.
    pub(super) fn device_at(&self, id: CallId, participant: ParticipantId) -> Option<DeviceId> {
        self.calls.get(&id)?.ends.get(&participant)?.side.device()
    }

    /// A device is gone for good.
    pub(super) fn leave(&mut self, device: DeviceId, id: CallId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Some(participant) = call.participant(device) {
            self.depart(id, participant, Cause::Lost, now);
            return;
        }
        let Some(invite) = call.state.invite_mut() else {
            return;
        };
        let by = invite.participant;
        let Offer::User { devices, .. } = &mut invite.offer else {
            return;
        };
        // The last one to ring takes the call along; it is told of that, too.
        if devices.len() == 1 {
            self.declined(id, Cause::Unreachable, by, now);
            return;
        }
        devices.remove(&device);
        self.roster.remove_call(device, id);
        self.notify(
            device,
            Event::Ended {
                call: id,
                cause: Cause::Lost,
            },
        );
    }

    /// Nobody comes of those who were asked in.
    pub(super) fn declined(&mut self, id: CallId, cause: Cause, by: ParticipantId, now: Instant) {
        let transfers = |call: &Call| call.state.transfer().is_some();
        if self.calls.get(&id).is_some_and(transfers) {
            self.transfer_failed(id, cause, Some(by), now);
        } else {
            self.end(id, cause, Some(by), now);
        }
    }

    /// One leaves. The call goes on while two are left, or one who waits for somebody else.
    pub(super) fn depart(
        &mut self,
        id: CallId,
        participant: ParticipantId,
        cause: Cause,
        now: Instant,
    ) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let goes_on = match &call.state {
            State::Offered { .. } | State::Parked { .. } => false,
            State::Up { .. } => call.ends.len() > 2,
            State::Transferring { transfer, .. } => transfer.by == participant,
        };
        if !goes_on {
            self.end(id, cause, Some(participant), now);
            return;
        }
        self.remove_end(id, participant, cause, now);
        self.tell_changed(id);
        self.tell_transferring(id);
        self.sync_hearing(id);
    }

    /// Takes one out of the room.
    pub(super) fn remove_end(
        &mut self,
        id: CallId,
        participant: ParticipantId,
        cause: Cause,
        now: Instant,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(end) = call.ends.remove(&participant) else {
            return;
        };
        call.held_by.remove(&participant);
        call.muted.remove(&participant);
        let (device, leg) = (end.side.device(), end.side.leg().map(|leg| leg.id));
        call.past.push(end.record(participant, now, cause));
        if let Some(leg) = leg {
            self.hang_up_leg(leg, cause);
        }
        if let Some(device) = device {
            let user = self.roster.remove_call(device, id);
            self.notify(device, Event::Ended { call: id, cause });
            self.outputs.push_back(Output::Left {
                room: id,
                participant,
            });
            if let Some(user) = user {
                self.refresh_presence(&user, None, false);
            }
        }
    }

    /// A leg that ended by itself is no longer in the table.
    pub(super) fn hang_up_leg(&mut self, leg: LegId, cause: Cause) {
        if self.legs.remove(&leg).is_some() {
            self.outputs.push_back(Output::HangUp { leg, cause });
        }
    }

    /// The one place where calls end.
    pub(super) fn end(
        &mut self,
        id: CallId,
        cause: Cause,
        by: Option<ParticipantId>,
        now: Instant,
    ) {
        let Some(mut call) = self.calls.remove(&id) else {
            return;
        };
        self.deadlines.remove(&(call.state.until(), Due::Call(id)));
        if let Some(transfer) = call.state.transfer() {
            self.deadlines.remove(&(transfer.until, Due::Transfer(id)));
        }
        if let Some(parked) = call.state.parked() {
            self.leave_slot(id, parked);
        }
        let mut users: BTreeSet<UserId> = BTreeSet::new();
        for device in call.devices() {
            users.extend(self.roster.remove_call(device, id));
            self.notify(device, Event::Ended { call: id, cause });
        }
        let answered = call.state.since();
        for (participant, end) in std::mem::take(&mut call.ends) {
            if let Some(leg) = end.side.leg() {
                self.hang_up_leg(leg.id, cause);
            }
            call.past.push(end.record(participant, now, cause));
        }
        let invite = match call.state {
            State::Offered { invite, .. } => Some(invite),
            State::Transferring { transfer, .. } => Some(transfer.invite),
            State::Up { .. } | State::Parked { .. } => None,
        };
        if let Some(invite) = invite {
            self.forget_divert(id, &invite);
            if let Some(leg) = invite.leg() {
                self.hang_up_leg(leg.id, cause);
            }
            call.past.push(invite.record(now, cause));
        }
        self.outputs.push_back(Output::Ended(CallRecord {
            call: id,
            from: call.from,
            to: call.to,
            started: call.started,
            rang: call.rang,
            answered,
            ended: now,
            cause,
            ended_by: by,
            went_on_in: None,
            legs: call.past,
        }));
        // Last: it is told to everyone, and what has ended must not wait for that.
        for user in users {
            self.refresh_presence(&user, None, false);
        }
    }

    /// Tells each leg what to hear, as the call's state now is: first what ends, then what begins.
    pub(super) fn sync_hearing(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        for (leg, wanted) in call.legs_to_hear() {
            let old = std::mem::replace(&mut leg.hears, wanted.clone());
            hear(&mut self.outputs, leg.id, id, &old, &wanted);
        }
    }

    pub(super) fn tell_all(&mut self, id: CallId, event: &Event) {
        let devices = self.calls.get(&id).map(Call::devices).unwrap_or_default();
        for device in devices {
            self.notify(device, event.clone());
        }
    }
}

/// Who answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Joins {
    Device(DeviceId),
    CalledLeg,
}

/// Says what is different between two states of hearing.
pub(super) fn hear(
    outputs: &mut std::collections::VecDeque<Output>,
    leg: LegId,
    room: CallId,
    old: &Hears,
    new: &Hears,
) {
    if old.ringback && !new.ringback {
        outputs.push_back(Output::StopTone(leg));
    }
    if old.music && !new.music {
        outputs.push_back(Output::StopMusic(leg));
    }
    for &participant in old.participants.difference(&new.participants) {
        outputs.push_back(Output::Unlisten {
            leg,
            room,
            participant,
        });
    }
    for &participant in new.participants.difference(&old.participants) {
        outputs.push_back(Output::Listen {
            leg,
            room,
            participant,
        });
    }
    if new.ringback && !old.ringback {
        outputs.push_back(Output::PlayRingback(leg));
    }
    if new.music && !old.music {
        outputs.push_back(Output::PlayMusic(leg));
    }
}
