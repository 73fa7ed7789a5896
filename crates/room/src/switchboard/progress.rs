//! What becomes of a call, and how it ends.

use std::collections::BTreeSet;
use std::time::Instant;

use super::call::{Call, Leg, LegKind, Offer, Side, Stage, State};
use super::{Due, Switchboard};
use crate::{CallId, CallRecord, Cause, DeviceId, Event, Output, ParticipantId};

impl Switchboard {
    pub(super) fn far_end_rings(&mut self, id: CallId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let State::Offered {
            stage: stage @ Stage::Calling,
            ..
        } = &mut call.state
        else {
            return;
        };
        *stage = Stage::Ringing;
        call.rang = Some(now);
        match &call.caller {
            Side::Device(device) => {
                let device = *device;
                self.notify(device, Event::Ringing(id));
            }
            Side::Leg(Leg {
                id: leg,
                kind: LegKind::Unanswered,
                ..
            }) => {
                self.outputs.push_back(Output::Ring(*leg));
            }
            Side::Leg(_) => {}
        }
    }

    /// The leg that was called has answered.
    pub(super) fn callee_leg_up(&mut self, id: CallId, now: Instant) {
        if let Some(leg) = self.calls.get(&id).and_then(Call::callee_leg) {
            let callee = Side::Leg(leg.clone());
            self.up(id, callee, now);
        }
    }

    pub(super) fn take_from_others(&mut self, id: CallId, winner: DeviceId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let State::Offered {
            to: Offer::User { devices, .. },
            ..
        } = &mut call.state
        else {
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

    pub(super) fn up(&mut self, id: CallId, callee: Side, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let until = now + self.config.call_duration_max;
        self.deadlines.remove(&(call.until(), Due::Call(id)));
        self.deadlines.insert((until, Due::Call(id)));
        call.state = State::Up {
            callee: callee.clone(),
            since: now,
            until,
        };
        match &mut call.caller {
            Side::Leg(leg) => match std::mem::replace(&mut leg.kind, LegKind::Phone) {
                LegKind::Unanswered => self.outputs.push_back(Output::Answer(leg.id)),
                LegKind::HearsRingback => self.outputs.push_back(Output::StopTone(leg.id)),
                LegKind::Phone | LegKind::Service => {}
            },
            Side::Device(device) => {
                let (device, media) = (*device, call.media(ParticipantId::CALLER));
                self.notify(device, Event::Up { call: id, media });
            }
        }
        self.greet_callee(id, &callee);
        self.sync_listening(id);
        if let Some(user) = self.user_at(&callee) {
            self.refresh_presence(&user, None, false);
        }
    }

    fn greet_callee(&mut self, id: CallId, callee: &Side) {
        let (Side::Device(device), Some(call)) = (callee, self.calls.get(&id)) else {
            return;
        };
        let media = call.media(ParticipantId::CALLEE);
        let muted: Vec<ParticipantId> = call.muted.iter().copied().collect();
        self.notify(*device, Event::Up { call: id, media });
        for participant in muted {
            self.notify(
                *device,
                Event::Muted {
                    call: id,
                    participant,
                    muted: true,
                },
            );
        }
    }

    /// A device is gone for good.
    pub(super) fn leave(&mut self, device: DeviceId, id: CallId, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Some(participant) = call.participant(device) {
            self.end(id, Cause::Lost, Some(participant), now);
            return;
        }
        let State::Offered {
            to: Offer::User { devices, .. },
            ..
        } = &mut call.state
        else {
            return;
        };
        // The last one to ring takes the call along; `end` tells it too.
        if devices.len() == 1 {
            self.end(id, Cause::Unreachable, Some(ParticipantId::CALLEE), now);
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
        self.deadlines.remove(&(call.until(), Due::Call(id)));
        let mut users = BTreeSet::new();
        for device in call.devices() {
            users.extend(self.roster.remove_call(device, id));
            self.notify(device, Event::Ended { call: id, cause });
        }
        for (leg, _) in call.legs_mut() {
            // A leg that ended by itself is no longer in the table.
            if self.legs.remove(&leg.id).is_some() {
                self.outputs
                    .push_back(Output::HangUp { leg: leg.id, cause });
            }
        }
        let answered = match call.state {
            State::Up { since, .. } => Some(since),
            State::Offered { .. } => None,
        };
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
        }));
        // Last: it is told to everyone, and what has ended must not wait for that.
        for user in users {
            self.refresh_presence(&user, None, false);
        }
    }

    /// Tells each leg to begin or to stop listening, as the call's state now is.
    pub(super) fn sync_listening(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let listen = call.legs_listen();
        for (leg, participant) in call.legs_mut() {
            if leg.listens == listen {
                continue;
            }
            leg.listens = listen;
            let (leg, room) = (leg.id, id);
            self.outputs.push_back(if listen {
                Output::Listen {
                    leg,
                    room,
                    participant,
                }
            } else {
                Output::Unlisten {
                    leg,
                    room,
                    participant,
                }
            });
        }
    }

    pub(super) fn tell_all(&mut self, id: CallId, event: &Event) {
        let devices = self.calls.get(&id).map(Call::devices).unwrap_or_default();
        for device in devices {
            self.notify(device, event.clone());
        }
    }
}
