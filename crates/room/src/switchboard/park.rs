//! Calls that wait in a slot, and calls that ring at one place and are taken at another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::call::{Call, End, Invite, LegKind, Parked, Side, State, Transfer};
use super::place::{Target, Way};
use super::transfer::Asker;
use super::{Due, Switchboard, refusal};
use crate::{
    CallId, CallRecord, Cause, DeviceId, Event, Lamp, LegId, Number, Output, ParkedCall, Parking,
    ParticipantId, Party, PartyKind, Reason, Refusal, TransferProgress,
};

/// A call that exists already and is dialled by a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It waits in a slot.
    Parked(CallId),
    /// It rings elsewhere.
    Ringing(CallId),
}

impl Switchboard {
    /// Lets the other side wait; the one who asks is out of the call.
    pub(super) fn park(&mut self, asker: Asker, id: CallId, now: Instant) -> Result<(), Refusal> {
        self.refuse_when_draining()?;
        let by = self.asker_in(asker, id)?;
        let Some(parking) = self.config.parking.clone() else {
            return Err(refusal(Reason::NotFound, "calls cannot be parked here"));
        };
        let call = self.calls.get(&id).ok_or_else(no_call)?;
        let State::Up { since, until } = call.state else {
            return Err(wrong("only an answered call can be parked"));
        };
        let service = |(_, end): (ParticipantId, &End)| {
            let leg = end.side.leg();
            leg.is_some_and(|leg| leg.kind == LegKind::Service)
        };
        if call.ends.len() != 2 || call.others(by).any(service) {
            return Err(wrong("only a call between two people can be parked"));
        }
        let slot = self.free_slot(&parking)?;
        let party = call.ends.get(&by).map(|end| end.party.clone());
        let party = party.ok_or_else(no_call)?;
        let parked = Parked {
            slot,
            until: now + parking.timeout,
            by,
            back_to: self.back_to(asker, &party),
            party,
        };
        self.tell_asker(id, by, TransferProgress::Answered);
        self.put_into_slot(id, (since, until), parked);
        self.remove_end(id, by, Cause::Transferred, now);
        self.sync_hearing(id);
        Ok(())
    }

    /// Returns the number that takes a transferred call into a slot.
    pub(super) fn is_lot(&self, to: &str) -> bool {
        let lot = self.config.parking.as_ref().map(|parking| &parking.lot);
        lot.is_some_and(|lot| lot.as_str() == to)
    }

    /// A telephone is called back when it may be called at all: what a caller says about itself is not to
    /// be dialled.
    fn back_to(&self, asker: Asker, party: &Party) -> Option<String> {
        match asker {
            Asker::Device(device) => {
                let user = self.roster.user_of(device).ok()?;
                Some(user.id.as_str().to_owned())
            }
            Asker::Leg(_) if self.config.telephones_dial => party.number.clone(),
            Asker::Leg(_) => None,
        }
    }

    fn free_slot(&self, parking: &Parking) -> Result<u32, Refusal> {
        let parked = self.calls.values().filter_map(|call| call.state.parked());
        let returning = self.calls.values().filter_map(|call| {
            let transfer = call.state.transfer()?;
            transfer.from_slot.as_ref()
        });
        let taken: BTreeSet<u32> = parked.chain(returning).map(|it| it.slot).collect();
        let mut slots = parking.first..parking.first.saturating_add(parking.slots);
        slots
            .find(|slot| !taken.contains(slot))
            .ok_or_else(|| refusal(Reason::TooMany, "every slot is taken"))
    }

    fn put_into_slot(&mut self, id: CallId, (since, until): (Instant, Instant), parked: Parked) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        self.deadlines.insert((parked.until, Due::Park(id)));
        let (line, by) = (parked.slot.to_string(), parked.by);
        call.state = State::Parked {
            since,
            until,
            parked,
        };
        let held = true;
        self.tell_all(id, &Event::Held { call: id, held, by });
        if let Some(parked) = self.calls.get(&id).and_then(view) {
            self.tell_everybody(&Event::Parked(parked));
        }
        let lamp = Lamp::InUse;
        self.outputs.push_back(Output::Lamp { line, lamp });
    }

    /// The slot is free again.
    pub(super) fn leave_slot(&mut self, id: CallId, parked: &Parked) {
        self.deadlines.remove(&(parked.until, Due::Park(id)));
        let slot = parked.slot.to_string();
        self.tell_everybody(&Event::Unparked { slot: slot.clone() });
        let lamp = Lamp::Unavailable;
        self.outputs.push_back(Output::Lamp { line: slot, lamp });
    }

    /// It has waited long enough: back to who has parked it. When that one cannot be called it waits on.
    pub(super) fn park_due(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let State::Parked {
            since,
            until,
            parked,
        } = &call.state
        else {
            return;
        };
        let (since, until, parked) = (*since, *until, parked.clone());
        let waiting = call.ends.values().next().map(|end| end.party.clone());
        let here = call.devices();
        let route = parked.back_to.as_deref().map(|to| {
            let mut route = self.route(to, None, None)?;
            self.keep_apart(&mut route.target, &here)?;
            Ok::<Way, Refusal>(route)
        });
        let (Some(Ok(route)), Some(from)) = (route, waiting) else {
            return self.wait_on(id, now);
        };
        self.leave_slot(id, &parked);
        let (by, via) = (parked.by, Some(parked.party.name.clone()));
        let Some(invite) = self.invite(id, &from, via, route, now) else {
            return;
        };
        let rung = invite.devices();
        let due = now + self.config.ring_timeout;
        if let Some(call) = self.calls.get_mut(&id) {
            call.state = State::Transferring {
                since,
                until,
                transfer: Transfer {
                    by,
                    invite,
                    until: due,
                    from_slot: Some(parked),
                },
            };
        }
        self.deadlines.insert((due, Due::Transfer(id)));
        self.tell_transferring(id);
        self.ring_invited(id, rung, &from);
        self.sync_hearing(id);
    }

    fn wait_on(&mut self, id: CallId, now: Instant) {
        let timeout = self.config.parking.as_ref().map(|parking| parking.timeout);
        let Some(Call {
            state: State::Parked { parked, .. },
            ..
        }) = self.calls.get_mut(&id)
        else {
            return;
        };
        parked.until = now + timeout.unwrap_or(self.config.ring_timeout);
        self.deadlines.insert((parked.until, Due::Park(id)));
    }

    /// Nobody has answered where it came from: it waits again.
    pub(super) fn park_again(&mut self, id: CallId, parked: Parked, now: Instant) {
        let Some(Call {
            state: State::Up { since, until },
            ..
        }) = self.calls.get(&id)
        else {
            return;
        };
        let times = (*since, *until);
        let timeout = self.config.parking.as_ref().map(|parking| parking.timeout);
        let until = now + timeout.unwrap_or(self.config.ring_timeout);
        self.put_into_slot(id, times, Parked { until, ..parked });
        self.sync_hearing(id);
    }

    /// Returns the calls that are parked.
    pub(super) fn parked_calls(&self) -> Vec<ParkedCall> {
        self.calls.values().filter_map(view).collect()
    }

    /// Returns the call that is meant when what is dialled names one that exists.
    pub(super) fn existing(&self, to: &str) -> Result<Option<Existing>, Refusal> {
        if self.config.routing.is_emergency(to) {
            return Ok(None);
        }
        if let Some(parking) = &self.config.parking
            && let Ok(slot) = to.parse::<u32>()
            && (parking.first..parking.first.saturating_add(parking.slots)).contains(&slot)
            && !to.starts_with(['0', '+'])
        {
            let waits = |call: &Call| call.state.parked().is_some_and(|it| it.slot == slot);
            let found = self.calls.iter().find(|(_, call)| waits(call));
            let nobody = || refusal(Reason::NotFound, format!("nobody waits in {slot}"));
            return Ok(Some(Existing::Parked(*found.ok_or_else(nobody)?.0)));
        }
        let prefix = self.config.pick_up.as_ref().map(Number::as_str);
        let Some(line) = prefix.and_then(|prefix| to.strip_prefix(prefix)) else {
            return Ok(None);
        };
        let nothing = || refusal(Reason::NotFound, format!("nothing rings at {line}"));
        let user = self.roster.find(line).ok_or_else(nothing)?;
        let offered = |id: &CallId| {
            let state = self.calls.get(id).map(|call| &call.state);
            matches!(state, Some(State::Offered { .. }))
        };
        let ringing = self.offers_to(&user.id).into_iter().find(offered);
        Ok(Some(Existing::Ringing(ringing.ok_or_else(nothing)?)))
    }

    /// Begins a call whose other side is that of a call that exists, which ends.
    pub(super) fn take_existing(
        &mut self,
        id: CallId,
        (side, from): (Side, Party),
        existing: Existing,
        now: Instant,
    ) -> Result<(), Refusal> {
        let (Existing::Parked(other) | Existing::Ringing(other)) = existing;
        let device = side.device();
        let own = |call: &Call| device.is_some_and(|device| call.participant(device).is_some());
        let taken = self.calls.get(&other).ok_or_else(no_call)?;
        if own(taken) {
            return Err(wrong("this is your own call"));
        }
        let Some(mut taken) = self.calls.remove(&other) else {
            return Err(no_call());
        };
        self.deadlines
            .remove(&(taken.state.until(), Due::Call(other)));
        if let Some(parked) = taken.state.parked() {
            let parked = parked.clone();
            self.leave_slot(other, &parked);
        }
        let user = self.user_at(&side);
        let answered = taken.state.since();
        let over = State::Up {
            since: now,
            until: now,
        };
        let state = std::mem::replace(&mut taken.state, over);
        self.begin_answered(id, side, from, &taken, now);
        let rung = match state {
            State::Offered { invite, .. } => self.ring_no_more(other, invite, &mut taken, now),
            State::Up { .. } | State::Transferring { .. } | State::Parked { .. } => BTreeSet::new(),
        };
        let mut moved = Vec::new();
        for (old, mut end) in std::mem::take(&mut taken.ends) {
            let unanswered = take_up(&mut end, now);
            moved.extend(self.move_end(old, end, &taken, other, id, now));
            self.outputs.extend(unanswered.map(Output::Answer));
        }
        self.greet(id, ParticipantId::CALLER);
        for participant in moved {
            self.tell_change(id, participant, other);
            if answered.is_none() {
                self.greet(id, participant);
            }
        }
        self.sync_hearing(id);
        self.outputs.push_back(Output::Ended(CallRecord {
            call: other,
            from: taken.from,
            to: taken.to,
            started: taken.started,
            rang: taken.rang,
            answered,
            ended: now,
            cause: Cause::Transferred,
            ended_by: None,
            went_on_in: Some(id),
            legs: taken.past,
        }));
        for user in user.into_iter().chain(rung) {
            self.refresh_presence(&user, None, false);
        }
        Ok(())
    }

    /// Puts one who takes a call into a room that the others move to.
    fn begin_answered(&mut self, id: CallId, side: Side, from: Party, taken: &Call, now: Instant) {
        let until = now + self.config.call_duration_max;
        self.deadlines.insert((until, Due::Call(id)));
        if let Side::Device(device) = side {
            self.roster.add_call(device, id);
        }
        let to = taken.ends.values().next().map(|end| end.party.clone());
        let mut end = End {
            side,
            party: from.clone(),
            began: now,
            answered: None,
        };
        self.outputs
            .extend(take_up(&mut end, now).map(Output::Answer));
        let call = Call {
            to: to.unwrap_or_else(|| from.clone()),
            from,
            ends: BTreeMap::from([(ParticipantId::CALLER, end)]),
            past: Vec::new(),
            next_participant: ParticipantId::CALLEE.0,
            state: State::Up { since: now, until },
            started: now,
            rang: None,
            held_by: BTreeSet::new(),
            muted: BTreeSet::new(),
            diverted_by: BTreeSet::new(),
        };
        self.calls.insert(id, call);
    }

    fn ring_no_more(
        &mut self,
        id: CallId,
        invite: Invite,
        call: &mut Call,
        now: Instant,
    ) -> BTreeSet<crate::UserId> {
        self.forget_divert(id, &invite);
        let mut users = BTreeSet::new();
        let cause = Cause::AnsweredElsewhere;
        for device in invite.devices() {
            users.extend(self.roster.remove_call(device, id));
            self.notify(device, Event::Ended { call: id, cause });
        }
        call.past.push(invite.record(now, Cause::Transferred));
        users
    }

    /// Devices that are in the call already are not rung for it.
    pub(super) fn keep_apart(
        &self,
        target: &mut Target,
        here: &BTreeSet<DeviceId>,
    ) -> Result<(), Refusal> {
        if let Target::User(user, devices) = target {
            devices.retain(|device| !here.contains(device));
            if devices.is_empty() {
                let text = format!("{} is in this call", user.name);
                return Err(refusal(Reason::Busy, text));
            }
        }
        Ok(())
    }

    /// Tells every device of this node.
    pub(super) fn tell_everybody(&mut self, event: &Event) {
        let devices: Vec<DeviceId> = self.roster.devices().collect();
        for device in devices {
            self.notify(device, event.clone());
        }
    }
}

/// Returns the telephone that waits for an answer and now gets it.
fn take_up(end: &mut End, now: Instant) -> Option<LegId> {
    end.answered = end.answered.or(Some(now));
    let Side::Leg(leg) = &mut end.side else {
        return None;
    };
    let waits = std::mem::replace(&mut leg.kind, LegKind::Phone) == LegKind::Unanswered;
    waits.then_some(leg.id)
}

fn view(call: &Call) -> Option<ParkedCall> {
    let parked = call.state.parked()?;
    let who = call.others(parked.by).next();
    let who = who.map(|(_, end)| end.party.clone());
    let nobody = || Party {
        id: String::new(),
        name: String::new(),
        number: None,
        kind: PartyKind::Phone,
    };
    Some(ParkedCall {
        slot: parked.slot.to_string(),
        who: who.unwrap_or_else(nobody),
        by: parked.party.clone(),
    })
}

fn wrong(text: &str) -> Refusal {
    refusal(Reason::WrongState, text)
}

fn no_call() -> Refusal {
    refusal(Reason::NoSuchCall, "there is no such call here")
}
