//! How a call begins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::call::{Call, Diversion, End, Leg, LegKind, Offer, Side, State};
use super::divert::no_route;
use super::park::Existing;
use super::view::showable;
use super::{Due, Switchboard, refusal};
use crate::routing::NoWay;
use crate::{
    Arrival, CallId, Cause, DeviceId, Event, LegId, Number, Output, OwnPresence, ParticipantId,
    Party, Reason, Refusal, Route, Service, Trunk, User, UserId,
};

/// Where a call goes.
#[derive(Debug)]
pub(super) enum Target {
    User(User, BTreeSet<DeviceId>),
    Number(Route),
    Service(Service),
}

/// Whom a call reaches, and by whose wish.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) target: Target,
    pub(super) diversion: Option<Diversion>,
}

/// What a telephone caller reaches.
#[derive(Debug)]
pub(super) enum Goal {
    New(Way),
    Existing(Existing),
}

impl Switchboard {
    /// A device calls.
    pub(super) fn call(
        &mut self,
        device: DeviceId,
        call: CallId,
        to: &str,
        now: Instant,
    ) -> Result<(), Refusal> {
        let user = self.roster.user_of(device)?.clone();
        self.room_for_call(call)?;
        let limits = &self.config.limits;
        let full = self.roster.calls_len(device) >= limits.calls_per_device
            || self.roster.calls_of_user(&user.id).len() >= limits.calls_per_user;
        if full && !self.config.routing.is_emergency(to) {
            return Err(refusal(Reason::TooMany, "end another call first"));
        }
        let from = Party::user(&user);
        let side = Side::Device(device);
        if let Some(existing) = self.existing(to)? {
            return self.take_existing(call, (side, from), existing, now);
        }
        let route = self.route(to, Some(device), None)?;
        self.place(call, side, (from, None), route, now);
        Ok(())
    }

    /// Returns whom a telephone caller would reach.
    pub(super) fn reachable(&self, arrival: &Arrival) -> Result<Goal, Refusal> {
        self.room_for_call(arrival.call)?;
        if let Some(existing) = self.existing(&arrival.to)? {
            return Ok(Goal::Existing(existing));
        }
        let nobody = || refusal(Reason::NotFound, format!("nobody has {}", arrival.to));
        let route =
            self.route(&arrival.to, None, None)
                .map_err(|refused| match refused.reason {
                    Reason::Blocked | Reason::TrunkDown => nobody(),
                    _ => refused,
                })?;
        match (&route.target, &route.diversion) {
            // From the telephone network straight back into it would be a loop or toll fraud; a user's
            // own wish is neither.
            (Target::Number(_), None) => Err(nobody()),
            (Target::Number(_), Some(_)) | (Target::User(..) | Target::Service(_), _) => {
                Ok(Goal::New(route))
            }
        }
    }

    /// Begins the call of a telephone caller.
    pub(super) fn place_arrival(
        &mut self,
        leg: LegId,
        arrival: Arrival,
        goal: Goal,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.legs.insert(leg, arrival.call);
        let kind = match arrival.trunk {
            Trunk::Early => LegKind::Unanswered,
            Trunk::Answered => LegKind::Phone,
        };
        let caller = Side::Leg(Leg::new(leg, kind));
        let from = self.config.routing.caller(arrival.from);
        let via = arrival.via.as_deref().and_then(showable);
        let from = Party::phone(&from);
        match goal {
            Goal::New(route) => {
                self.place(arrival.call, caller, (from, via), route, now);
                Ok(())
            }
            Goal::Existing(existing) => {
                let taken = self.take_existing(arrival.call, (caller, from), existing, now);
                if taken.is_err() {
                    self.legs.remove(&leg);
                }
                taken
            }
        }
    }

    /// The connection of a ticket is there.
    pub(super) fn leg_attached(&mut self, leg: LegId, now: Instant) {
        let Some(ticket) = self.tickets.remove(&leg) else {
            let was_ours = leg.0 < self.next_leg;
            if was_ours && !self.legs.contains_key(&leg) {
                let cause = Cause::Failed;
                self.outputs.push_back(Output::HangUp { leg, cause });
            }
            return;
        };
        self.deadlines.remove(&(ticket.until, Due::Ticket(leg)));
        let arrival = Arrival {
            trunk: Trunk::Answered,
            ..ticket.arrival
        };
        let goal = self.reachable(&arrival);
        if let Err(refused) = goal.and_then(|goal| self.place_arrival(leg, arrival, goal, now)) {
            let cause = refused.cause();
            self.outputs.push_back(Output::HangUp { leg, cause });
        }
    }

    /// Returns the calls that ring for a user.
    pub(super) fn offers_to(&self, user: &UserId) -> Vec<CallId> {
        let mut calls = self.roster.calls_of_user(user);
        calls.retain(|call| {
            let invite = self.calls.get(call).and_then(|call| call.state.invite());
            match invite.map(|invite| &invite.offer) {
                Some(Offer::User { user: callee, .. }) => callee == user,
                Some(Offer::Phone(_)) | None => false,
            }
        });
        calls.into_iter().collect()
    }

    /// A device that came later rings too.
    pub(super) fn join_offer(&mut self, device: DeviceId, id: CallId) {
        if self.roster.calls_len(device) >= self.config.limits.calls_per_device {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let by = call.state.transfer().map(|transfer| transfer.by);
        let from = match by {
            Some(by) => call.peer_of(by).clone(),
            None => call.from.clone(),
        };
        let Some(invite) = call.state.invite_mut() else {
            return;
        };
        let via = invite.via.clone();
        let Offer::User { devices, .. } = &mut invite.offer else {
            return;
        };
        devices.insert(device);
        self.roster.add_call(device, id);
        let event = Event::Incoming {
            call: id,
            from,
            via,
        };
        self.notify(device, event);
    }

    fn room_for_call(&self, call: CallId) -> Result<(), Refusal> {
        self.refuse_when_draining()?;
        if self.calls.contains_key(&call) {
            return Err(refusal(Reason::BadRequest, format!("call {call} exists")));
        }
        if self.calls.len() >= self.config.limits.calls {
            return Err(refusal(Reason::TooMany, "too many calls"));
        }
        Ok(())
    }

    pub(super) fn find_target(
        &self,
        to: &str,
        caller: Option<DeviceId>,
    ) -> Result<Target, Refusal> {
        if let Some(service) = Service::ALL
            .into_iter()
            .find(|service| service.name() == to)
        {
            return Ok(Target::Service(service));
        }
        let routing = &self.config.routing;
        let user = match routing.is_emergency(to) {
            true => None,
            false => self.find_user(to),
        };
        if let Some(user) = user {
            let devices = self.devices_to_ring(user, caller)?;
            return Ok(Target::User(user.clone(), devices));
        }
        match Number::new(to) {
            Ok(_) if !self.trunk && caller.is_some() => Err(no_route()),
            Ok(number) => self.way_to(&number).map(Target::Number),
            Err(_) => Err(refusal(Reason::NotFound, "nobody has that name or number")),
        }
    }

    /// Returns the way to a telephone, as a device that dials its number has it.
    ///
    /// # Errors
    ///
    /// When there is none: a user's number, one that nobody may dial, no number at all, or no way out.
    pub fn telephone(&self, number: &str) -> Result<Route, Refusal> {
        self.refuse_when_draining()?;
        if self.find_user(number).is_some() && !self.config.routing.is_emergency(number) {
            let text = "users of the web phone come into a room by its link";
            return Err(refusal(Reason::WrongState, text));
        }
        let number = Number::new(number)
            .map_err(|_| refusal(Reason::NotFound, "nobody has that name or number"))?;
        match self.trunk {
            true => self.way_to(&number),
            false => Err(no_route()),
        }
    }

    fn way_to(&self, number: &Number) -> Result<Route, Refusal> {
        let way = self.config.routing.route(number, &self.down);
        way.map_err(|none| match none {
            NoWay::Blocked(prefix) => refusal(
                Reason::Blocked,
                format!("calls to {} are not allowed here", prefix.as_str()),
            ),
            NoWay::TrunkDown(trunk) => {
                refusal(Reason::TrunkDown, format!("the trunk {trunk} is down"))
            }
        })
    }

    /// Returns the user with this id, or with this number in whatever form it was dialled.
    pub(super) fn find_user(&self, to: &str) -> Option<&User> {
        let in_e164 = || {
            let number = self.config.routing.e164(&Number::new(to).ok()?)?;
            self.roster.find(number.as_str())
        };
        self.roster.find(to).or_else(in_e164)
    }

    /// Returns the devices of a user that can ring; the caller's own is not one of them.
    fn devices_to_ring(
        &self,
        user: &User,
        caller: Option<DeviceId>,
    ) -> Result<BTreeSet<DeviceId>, Refusal> {
        let limits = &self.config.limits;
        let mut devices: BTreeSet<DeviceId> = self.roster.devices_of(&user.id).collect();
        if devices.is_empty() {
            return Err(refusal(
                Reason::Offline,
                format!("{} is not there", user.name),
            ));
        }
        if caller.is_some_and(|caller| devices.remove(&caller)) && devices.is_empty() {
            return Err(refusal(Reason::Forbidden, "this is your only device"));
        }
        let busy = || refusal(Reason::Busy, format!("{} is busy", user.name));
        if self.roster.own_presence(&user.id) == Some(OwnPresence::Busy)
            || self.roster.calls_of_user(&user.id).len() >= limits.calls_per_user
        {
            return Err(busy());
        }
        devices.retain(|device| self.roster.calls_len(*device) < limits.calls_per_device);
        if devices.is_empty() {
            return Err(busy());
        }
        Ok(devices)
    }

    fn place(
        &mut self,
        id: CallId,
        caller: Side,
        (from, via): (Party, Option<String>),
        route: Way,
        now: Instant,
    ) {
        let until = now + self.config.ring_timeout;
        self.deadlines.insert((until, Due::Call(id)));
        if let Side::Device(device) = caller {
            self.roster.add_call(device, id);
        }
        let engaged = self.user_at(&caller);
        let participant = ParticipantId::CALLEE;
        let (diverted_by, is_diverted) = (route.users(), route.diversion.is_some());
        let invite = self.new_invite(id, participant, &from, via, route, now);
        let to = invite.party.clone();
        let (rung, service) = (invite.devices(), invite.is_service());
        let caller = End {
            side: caller,
            party: from.clone(),
            began: now,
            answered: None,
        };
        let shown = from.clone();
        let call = Call {
            from,
            to: to.clone(),
            ends: BTreeMap::from([(ParticipantId::CALLER, caller)]),
            past: Vec::new(),
            next_participant: ParticipantId::CALLEE.0 + 1,
            state: State::Offered { invite, until },
            started: now,
            rang: None,
            held_by: BTreeSet::new(),
            muted: BTreeSet::new(),
            diverted_by: diverted_by.into_iter().collect(),
        };
        self.calls.insert(id, call);
        if is_diverted {
            self.tell_participants(id, &Event::Diverted { call: id, to });
        }
        self.ring_invited(id, rung, &shown);
        if service {
            self.called_leg_up(id, now);
        } else {
            self.sync_hearing(id);
        }
        if let Some(user) = engaged {
            self.refresh_presence(&user, None, false);
        }
    }

    /// Offers a call to devices.
    pub(super) fn ring_devices(
        &mut self,
        id: CallId,
        devices: BTreeSet<DeviceId>,
        from: &Party,
        via: Option<&str>,
    ) {
        for device in devices {
            self.roster.add_call(device, id);
            self.notify(
                device,
                Event::Incoming {
                    call: id,
                    from: from.clone(),
                    via: via.map(str::to_owned),
                },
            );
        }
    }

    /// Begins the callee's end, as far as it is ours to begin.
    pub(super) fn offer(
        &mut self,
        call: CallId,
        participant: ParticipantId,
        from: &Party,
        target: Target,
        diversion: Option<&Diversion>,
    ) -> (Party, Offer) {
        match target {
            Target::User(user, devices) => (
                Party::user(&user),
                Offer::User {
                    user: user.id,
                    devices,
                },
            ),
            Target::Number(route) => {
                let leg = self.new_leg();
                self.legs.insert(leg, call);
                let (to, from) = (Party::number(&route.shown), from.clone());
                self.outputs.push_back(Output::Dial {
                    leg,
                    call,
                    participant,
                    route,
                    from,
                    diverted: diversion.and_then(Diversion::told),
                });
                (to, Offer::Phone(Leg::new(leg, LegKind::Phone)))
            }
            Target::Service(service) => {
                let leg = self.new_leg();
                self.legs.insert(leg, call);
                self.outputs.push_back(Output::StartService {
                    leg,
                    service,
                    call,
                    participant,
                });
                (
                    Party::service(service),
                    Offer::Phone(Leg::new(leg, LegKind::Service)),
                )
            }
        }
    }
}
