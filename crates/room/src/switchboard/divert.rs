//! Where calls are sent on to, by the wish of whom they were for.

use std::time::Instant;

use super::call::{Diversion, Invite, Offer, Stage, State};
use super::place::{Target, Way};
use super::{Due, Switchboard, refusal};
use crate::{
    CallId, Cause, DeviceId, DivertReason, Diverted, Event, Forward, Output, OwnPresence,
    ParticipantId, Party, Reason, Refusal, Rules, Service, Setting, User, UserId,
};

/// How often one call is sent on: as SIP networks do, who would otherwise send it round and round.
const DIVERSIONS_MAX: usize = 5;

impl Switchboard {
    /// Changes one of a user's rules, as a telephone asks for it. `whose` is an id or a number.
    ///
    /// # Errors
    ///
    /// When nobody has that id or number.
    pub fn set(&mut self, whose: &str, setting: Setting) -> Result<(), Refusal> {
        let Some(user) = self.roster.find(whose).map(|user| user.id.clone()) else {
            return Err(refusal(Reason::NotFound, "nobody has that name or number"));
        };
        let mut rules = self.roster.rules(&user);
        match setting {
            Setting::Undisturbed(on) => rules.undisturbed = on,
            Setting::Always(to) => rules.always = to,
            Setting::Busy(to) => rules.busy = to,
            Setting::NoAnswer(to) => rules.no_answer = to,
        }
        self.set_rules(&user, rules);
        Ok(())
    }

    /// A user says how things are: do not disturb is one of the rules.
    pub(super) fn set_presence(&mut self, user: &UserId, own: OwnPresence) {
        self.roster.set_presence(user, own);
        let rules = Rules {
            undisturbed: own == OwnPresence::Busy,
            ..self.roster.rules(user)
        };
        self.set_rules(user, rules);
    }

    /// What holds from now on is told to each of the user's devices, and kept.
    pub(super) fn set_rules(&mut self, user: &UserId, rules: Rules) {
        let rules = rules.within_bounds();
        if self.roster.set_rules(user, rules.clone()) {
            let devices: Vec<DeviceId> = self.roster.devices_of(user).collect();
            for device in devices {
                self.notify(device, Event::Rules(rules.clone()));
            }
            if let Some(user) = self.roster.lasting(user) {
                let user = user.clone();
                self.outputs.push_back(Output::Keep { user, rules });
            }
        }
        self.refresh_presence(user, None, false);
        self.roster.remove_user_if_gone(user);
    }

    /// Returns who is to be called when `to` is, by the rules of all on the way.
    ///
    /// `before`: the call has been sent on already.
    pub(super) fn route(
        &self,
        to: &str,
        caller: Option<DeviceId>,
        before: Option<Diversion>,
    ) -> Result<Way, Refusal> {
        let own = caller.and_then(|device| self.roster.user_of(device).ok());
        let own = own.map(|user| user.id.clone());
        let (mut to, mut diversion) = (to.to_owned(), before);
        loop {
            let Some(user) = self.user_called(&to) else {
                let target = self.find_target(&to, caller)?;
                let by_rule = diversion.is_some();
                if by_rule && matches!(target, Target::Number(_)) && !self.trunk {
                    return Err(no_route());
                }
                return Ok(Way { target, diversion });
            };
            let rings = self.find_target(&to, caller);
            let next = match own.as_ref() == Some(&user.id) {
                true => None,
                false => self.next_stop(user, &rings, own.as_ref()),
            };
            let Some((forward, reason)) = next else {
                let target = rings?;
                return Ok(Way { target, diversion });
            };
            diversion = Some(self.sent_on(user, reason, diversion)?);
            to = forward.as_str().to_owned();
        }
    }

    fn user_called(&self, to: &str) -> Option<&User> {
        let is_service = Service::ALL.iter().any(|service| service.name() == to);
        let is_emergency = self.config.routing.is_emergency(to);
        self.find_user(to).filter(|_| !is_service && !is_emergency)
    }

    /// Returns where a user's rules send a call at once.
    fn next_stop(
        &self,
        user: &User,
        rings: &Result<Target, Refusal>,
        caller: Option<&UserId>,
    ) -> Option<(Forward, DivertReason)> {
        let rules = self.roster.rules(&user.id);
        let found = match (rules.always, rings) {
            (Some(to), _) => (Some(to), DivertReason::Always),
            (None, Err(refused)) => match refused.reason {
                Reason::Busy => (rules.busy, DivertReason::Busy),
                Reason::Offline => (rules.no_answer, DivertReason::Unreachable),
                _ => return None,
            },
            (None, Ok(_)) => return None,
        };
        let (Some(to), reason) = found else {
            return None;
        };
        // Who calls the one that forwards here, means that one.
        let back = self.user_called(to.as_str()).map(|user| &user.id);
        (back.is_none() || back != caller).then_some((to, reason))
    }

    /// Notes that a user sends a call on, unless it goes round in a circle.
    fn sent_on(
        &self,
        user: &User,
        reason: DivertReason,
        before: Option<Diversion>,
    ) -> Result<Diversion, Refusal> {
        let mut by = before.map(|diversion| diversion.by).unwrap_or_default();
        if by.len() >= DIVERSIONS_MAX || by.iter().any(|other| other.id == user.id) {
            let text = format!("the call to {} is sent round in a circle", user.name);
            return Err(refusal(Reason::Offline, text));
        }
        // A circle through another network comes back as a new call each time.
        let calls = self.calls.values();
        let sent = calls.filter(|call| call.diverted_by.contains(&user.id));
        if sent.count() >= self.config.limits.calls_per_user {
            let text = format!("too many calls to {} are sent on already", user.name);
            return Err(refusal(Reason::Busy, text));
        }
        by.push(user.clone());
        Ok(Diversion { by, reason })
    }

    /// Prepares to ask somebody in.
    pub(super) fn new_invite(
        &mut self,
        id: CallId,
        participant: ParticipantId,
        from: &Party,
        via: Option<String>,
        Way { target, diversion }: Way,
        now: Instant,
    ) -> Invite {
        let divert_at = match &target {
            Target::User(user, _) => {
                let rules = self.roster.rules(&user.id);
                rules.no_answer.is_some().then_some(now + rules.after)
            }
            Target::Number(_) | Target::Service(_) => None,
        };
        if let Some(at) = divert_at {
            self.deadlines.insert((at, Due::Divert(id)));
        }
        let first = diversion
            .as_ref()
            .and_then(|diversion| diversion.by.first());
        let via = first.map(|user| user.name.clone()).or(via);
        let (party, offer) = self.offer(id, participant, from, target, diversion.as_ref());
        Invite {
            participant,
            party,
            offer,
            stage: Stage::Calling,
            began: now,
            via,
            diversion,
            divert_at,
        }
    }

    /// The same for a call that exists.
    pub(super) fn invite(
        &mut self,
        id: CallId,
        from: &Party,
        via: Option<String>,
        route: Way,
        now: Instant,
    ) -> Option<Invite> {
        let call = self.calls.get_mut(&id)?;
        let participant = call.new_participant();
        call.diverted_by.extend(route.users());
        Some(self.new_invite(id, participant, from, via, route, now))
    }

    /// Nobody needs to send it on any more.
    pub(super) fn forget_divert(&mut self, id: CallId, invite: &Invite) {
        if let Some(at) = invite.divert_at {
            self.deadlines.remove(&(at, Due::Divert(id)));
        }
    }

    /// Nobody has answered in time: the call goes where the rules say. When that is nowhere it rings on.
    pub(super) fn divert_due(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let Some(invite) = call.state.invite() else {
            return;
        };
        let Offer::User { user, devices } = &invite.offer else {
            return;
        };
        let by = match &call.state {
            State::Transferring { transfer, .. } => transfer.by,
            State::Offered { .. } | State::Up { .. } | State::Parked { .. } => {
                ParticipantId::CALLER
            }
        };
        let from = match &call.state {
            State::Transferring { .. } => call.peer_of(by).clone(),
            State::Offered { .. } | State::Up { .. } | State::Parked { .. } => call.from.clone(),
        };
        let mut here = call.devices();
        here.retain(|device| !devices.contains(device));
        let (before, rules) = (invite.diversion.clone(), self.roster.rules(user));
        let via = invite.via.clone();
        let (Some(forward), Some(user)) = (rules.no_answer, self.roster.user(user)) else {
            return;
        };
        let found = self
            .sent_on(user, DivertReason::NoAnswer, before)
            .and_then(|diversion| {
                let caller = self.device_at(id, by);
                let mut route = self.route(forward.as_str(), caller, Some(diversion))?;
                self.keep_apart(&mut route.target, &here)?;
                Ok(route)
            });
        match found {
            Ok(route) => self.ring_elsewhere(id, &from, via, route, now),
            Err(_) => {
                if let Some(invite) = self
                    .calls
                    .get_mut(&id)
                    .and_then(|call| call.state.invite_mut())
                {
                    invite.divert_at = None;
                }
            }
        }
    }

    /// Somebody else is asked in.
    fn ring_elsewhere(
        &mut self,
        id: CallId,
        from: &Party,
        via: Option<String>,
        route: Way,
        now: Instant,
    ) {
        let Some(invite) = self.invite(id, from, via, route, now) else {
            return;
        };
        let (party, rung) = (invite.party.clone(), invite.devices());
        let service = invite.is_service();
        let due = now + self.config.ring_timeout;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let old = match &mut call.state {
            State::Offered { invite: old, until } => {
                self.deadlines.remove(&(*until, Due::Call(id)));
                self.deadlines.insert((due, Due::Call(id)));
                *until = due;
                std::mem::replace(old, invite)
            }
            State::Transferring { transfer, .. } => {
                self.deadlines.remove(&(transfer.until, Due::Transfer(id)));
                self.deadlines.insert((due, Due::Transfer(id)));
                transfer.until = due;
                std::mem::replace(&mut transfer.invite, invite)
            }
            State::Up { .. } | State::Parked { .. } => return,
        };
        let cause = Cause::NoAnswer;
        let mut users = Vec::new();
        for device in old.devices() {
            users.extend(self.roster.remove_call(device, id));
            self.notify(device, Event::Ended { call: id, cause });
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.past.push(old.record(now, cause));
        }
        self.tell_participants(
            id,
            &Event::Diverted {
                call: id,
                to: party,
            },
        );
        self.ring_invited(id, rung, from);
        if service {
            self.called_leg_up(id, now);
        } else {
            self.sync_hearing(id);
        }
        for user in users {
            self.refresh_presence(&user, None, false);
        }
    }

    /// Offers a call to the devices that its invite is for.
    pub(super) fn ring_invited(
        &mut self,
        id: CallId,
        devices: std::collections::BTreeSet<DeviceId>,
        from: &Party,
    ) {
        let invite = self.calls.get(&id).and_then(|call| call.state.invite());
        let via = invite.and_then(|invite| invite.via.clone());
        self.ring_devices(id, devices, from, via.as_deref());
    }
}

impl Way {
    /// Returns the users who send the call on.
    pub(super) fn users(&self) -> Vec<UserId> {
        let by = self.diversion.iter().flat_map(|diversion| &diversion.by);
        by.map(|user| user.id.clone()).collect()
    }
}

impl Diversion {
    /// Returns what a telephone network is told.
    pub(super) fn told(&self) -> Option<Diverted> {
        Some(Diverted {
            by: self.by.last()?.clone(),
            reason: self.reason,
            times: u32::try_from(self.by.len()).unwrap_or(u32::MAX),
        })
    }
}

pub(super) fn no_route() -> Refusal {
    refusal(Reason::NoRoute, "the telephone network cannot be reached")
}
