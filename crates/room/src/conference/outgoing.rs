//! Telephones that a host calls into the room.

use std::time::Instant;

use super::config::RoomName;
use super::types::{Applicant, CallState, Denied, Fresh, Kind, Output, Role, Who};
use super::{Conferences, Due};
use crate::{Cause, DeviceId, LegId};

/// A telephone that was called and is not inside yet.
#[derive(Debug)]
pub(super) struct Outgoing {
    room: RoomName,
    number: String,
    fresh: Fresh,
    until: Instant,
}

/// As what a room calls a telephone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallingAs {
    /// What people call the room.
    pub title: String,
    /// What telephones dial to come in by themselves.
    pub number: Option<String>,
}

impl Conferences {
    /// Lets a host call a telephone into the room; `leg` is new and is to be dialled next. It comes in when it answers,
    /// without PIN and past the lobby.
    ///
    /// # Errors
    ///
    /// When it may not, or too many are being called; nothing is to be dialled then.
    pub fn call_in(
        &mut self,
        who: Who,
        leg: LegId,
        number: &str,
        fresh: Fresh,
        now: Instant,
    ) -> Result<CallingAs, Denied> {
        if self.draining {
            return Err(Denied::ShuttingDown);
        }
        let (name, me) = self.places.get(&who).cloned().ok_or(Denied::NotIn)?;
        let known = self.rooms.get(&name).ok_or(Denied::NotIn)?;
        let room = known.open.as_ref().ok_or(Denied::NotIn)?;
        let own = room.people.get(&me).ok_or(Denied::NotIn)?;
        if own.role != Role::Host {
            return Err(Denied::NotHost);
        }
        let mut calling = self.outgoing.values().filter(|it| it.room == name);
        if calling.any(|it| it.number == number) {
            return Err(Denied::WrongState);
        }
        let calling = self.outgoing.values().filter(|it| it.room == name).count();
        let limits = &self.config.limits;
        if calling >= limits.calling || room.people.len() + calling >= limits.people {
            return Err(Denied::Full);
        }
        let calling_as = CallingAs {
            title: known.spec.title.clone(),
            number: known.spec.number.as_ref().map(ToString::to_string),
        };
        let until = now + self.config.ring_timeout;
        self.deadlines.insert((until, Due::Outgoing(leg)));
        let outgoing = Outgoing {
            room: name,
            number: number.to_owned(),
            fresh,
            until,
        };
        self.tell_calling(&outgoing, CallState::Calling);
        self.outgoing.insert(leg, outgoing);
        Ok(calling_as)
    }

    /// Returns the hosts of a room that are reached by a device.
    #[must_use]
    pub fn hosts(&self, room: super::RoomId) -> Vec<DeviceId> {
        let name = self.names.get(&room);
        let room = name.and_then(|name| self.room(name));
        let people = room.into_iter().flat_map(|room| room.people.values());
        let hosts = people.filter(|it| it.role == Role::Host);
        hosts
            .filter_map(|it| match it.who {
                Who::Device(device) => Some(device),
                Who::Leg(_) | Who::Program(_) => None,
            })
            .collect()
    }

    pub(super) fn outgoing_rings(&mut self, leg: LegId) {
        if let Some(outgoing) = self.outgoing.remove(&leg) {
            self.tell_calling(&outgoing, CallState::Ringing);
            self.outgoing.insert(leg, outgoing);
        }
    }

    /// It has answered: it comes in, unless there is nothing to come into any more.
    pub(super) fn outgoing_answered(&mut self, leg: LegId, now: Instant) {
        let Some(outgoing) = self.take_outgoing(leg) else {
            return;
        };
        let applicant = Applicant {
            who: Who::Leg(leg),
            user: None,
            name: outgoing.number.clone(),
            kind: Kind::Telephone,
            role: Role::Speaker,
            caller: outgoing.number.clone(),
            pin: None,
            key: None,
            was: Some(Role::Speaker),
        };
        let room = outgoing.room.clone();
        match self.join(&room, applicant, outgoing.fresh, now) {
            Ok(_) => self.tell_calling(&outgoing, CallState::Up),
            Err(_) => {
                let cause = Cause::Rejected;
                self.outputs.push_back(Output::HangUp(leg, cause));
                self.tell_calling(&outgoing, CallState::Ended(cause));
            }
        }
    }

    /// It does not come; false when it was not being called.
    pub(super) fn outgoing_ended(&mut self, leg: LegId, cause: Cause) -> bool {
        let Some(outgoing) = self.take_outgoing(leg) else {
            return false;
        };
        self.tell_calling(&outgoing, CallState::Ended(cause));
        true
    }

    /// Nobody answers.
    pub(super) fn outgoing_timeout(&mut self, leg: LegId) {
        let cause = Cause::NoAnswer;
        if self.outgoing_ended(leg, cause) {
            self.outputs.push_back(Output::HangUp(leg, cause));
        }
    }

    /// Nobody waits for those who were called into a room any more.
    pub(super) fn give_up_outgoing(&mut self, room: &RoomName) {
        let calling = self.outgoing.iter().filter(|(_, it)| it.room == *room);
        let calling: Vec<LegId> = calling.map(|(leg, _)| *leg).collect();
        for leg in calling {
            self.take_outgoing(leg);
            self.outputs
                .push_back(Output::HangUp(leg, Cause::Cancelled));
        }
    }

    fn take_outgoing(&mut self, leg: LegId) -> Option<Outgoing> {
        let outgoing = self.outgoing.remove(&leg)?;
        self.deadlines.remove(&(outgoing.until, Due::Outgoing(leg)));
        Some(outgoing)
    }

    fn tell_calling(&mut self, outgoing: &Outgoing, state: CallState) {
        let room = self.room(&outgoing.room).map(|room| room.id);
        if let Some(room) = room {
            let number = outgoing.number.clone();
            self.outputs.push_back(Output::Calling {
                room,
                number,
                state,
            });
        }
    }
}
