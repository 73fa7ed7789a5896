//! One call.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::{DeviceId, LegId, ParticipantId, Party, UserId};

#[derive(Debug)]
pub(super) struct Call {
    pub(super) from: Party,
    pub(super) to: Party,
    pub(super) caller: Side,
    pub(super) state: State,
    pub(super) started: Instant,
    pub(super) rang: Option<Instant>,
    pub(super) held_by: BTreeSet<ParticipantId>,
    pub(super) muted: BTreeSet<ParticipantId>,
}

#[derive(Debug)]
pub(super) enum State {
    Offered {
        to: Offer,
        stage: Stage,
        until: Instant,
    },
    Up {
        callee: Side,
        since: Instant,
        until: Instant,
    },
}

/// Who could answer.
#[derive(Debug)]
pub(super) enum Offer {
    User {
        user: UserId,
        devices: BTreeSet<DeviceId>,
    },
    Phone(Leg),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Calling,
    Ringing,
    Early,
}

/// One party's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Side {
    Device(DeviceId),
    Leg(Leg),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) kind: LegKind,
    /// Whether the leg was told to listen to the other side.
    pub(super) listens: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegKind {
    /// A telephone that called and waits for us to answer.
    Unanswered,
    /// A telephone that called, is answered, and hears our ringing tone.
    HearsRingback,
    /// Any other telephone.
    Phone,
    /// A built-in party.
    Service,
}

impl Leg {
    pub(super) fn new(id: LegId, kind: LegKind) -> Self {
        Self {
            id,
            kind,
            listens: false,
        }
    }
}

impl Call {
    /// Returns which participant a device is: none while it is only rung.
    pub(super) fn participant(&self, device: DeviceId) -> Option<ParticipantId> {
        if self.caller == Side::Device(device) {
            return Some(ParticipantId::CALLER);
        }
        match &self.state {
            State::Up { callee, .. } if *callee == Side::Device(device) => {
                Some(ParticipantId::CALLEE)
            }
            State::Up { .. } | State::Offered { .. } => None,
        }
    }

    /// Returns whether the call rings on a device.
    pub(super) fn is_offered_to(&self, device: DeviceId) -> bool {
        match &self.state {
            State::Offered {
                to: Offer::User { devices, .. },
                ..
            } => devices.contains(&device),
            State::Offered {
                to: Offer::Phone(_),
                ..
            }
            | State::Up { .. } => false,
        }
    }

    /// Returns the leg at the callee's end.
    pub(super) fn callee_leg(&self) -> Option<&Leg> {
        match &self.state {
            State::Offered {
                to: Offer::Phone(leg),
                ..
            } => Some(leg),
            State::Up {
                callee: Side::Leg(leg),
                ..
            } => Some(leg),
            State::Offered {
                to: Offer::User { .. },
                ..
            }
            | State::Up {
                callee: Side::Device(_),
                ..
            } => None,
        }
    }

    /// Returns every leg with its place in the room and whom it may hear.
    pub(super) fn legs_mut(&mut self) -> impl Iterator<Item = (&mut Leg, ParticipantId)> {
        let caller = match &mut self.caller {
            Side::Leg(leg) => Some((leg, ParticipantId::CALLEE)),
            Side::Device(_) => None,
        };
        let callee = match &mut self.state {
            State::Offered {
                to: Offer::Phone(leg),
                ..
            } => Some((leg, ParticipantId::CALLER)),
            State::Up {
                callee: Side::Leg(leg),
                ..
            } => Some((leg, ParticipantId::CALLER)),
            State::Offered {
                to: Offer::User { .. },
                ..
            }
            | State::Up {
                callee: Side::Device(_),
                ..
            } => None,
        };
        caller.into_iter().chain(callee)
    }

    /// Returns every device that knows of the call.
    pub(super) fn devices(&self) -> BTreeSet<DeviceId> {
        let mut devices = BTreeSet::new();
        if let Side::Device(device) = self.caller {
            devices.insert(device);
        }
        match &self.state {
            State::Offered {
                to: Offer::User { devices: rung, .. },
                ..
            } => devices.extend(rung),
            State::Up {
                callee: Side::Device(device),
                ..
            } => {
                devices.insert(*device);
            }
            State::Offered {
                to: Offer::Phone(_),
                ..
            }
            | State::Up {
                callee: Side::Leg(_),
                ..
            } => {}
        }
        devices
    }

    /// Returns what is at the other end from a participant; none when nobody has answered.
    pub(super) fn other_side(&self, participant: ParticipantId) -> Option<&Side> {
        if participant == ParticipantId::CALLEE {
            return Some(&self.caller);
        }
        match &self.state {
            State::Up { callee, .. } => Some(callee),
            State::Offered { .. } => None,
        }
    }

    /// Returns whether there is something to hear: answered or early.
    pub(super) fn has_sound(&self) -> bool {
        match &self.state {
            State::Up { .. } => true,
            State::Offered { stage, .. } => *stage == Stage::Early,
        }
    }

    /// Returns whether legs are to listen.
    pub(super) fn legs_listen(&self) -> bool {
        self.has_sound() && self.held_by.is_empty()
    }

    pub(super) fn until(&self) -> Instant {
        match &self.state {
            State::Offered { until, .. } | State::Up { until, .. } => *until,
        }
    }
}
