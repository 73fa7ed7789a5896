//! One call: who is in its room, and who is asked in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::{Cause, DeviceId, DivertReason, LegId, LegRecord, ParticipantId, Party, User, UserId};

#[derive(Debug)]
pub(super) struct Call {
    pub(super) from: Party,
    pub(super) to: Party,
    /// Who is in the room.
    pub(super) ends: BTreeMap<ParticipantId, End>,
    /// Who was in the room, or asked in.
    pub(super) past: Vec<LegRecord>,
    pub(super) next_participant: u32,
    pub(super) state: State,
    pub(super) started: Instant,
    pub(super) rang: Option<Instant>,
    pub(super) held_by: BTreeSet<ParticipantId>,
    pub(super) muted: BTreeSet<ParticipantId>,
    /// Users who have sent it on.
    pub(super) diverted_by: BTreeSet<UserId>,
}

#[derive(Debug)]
pub(super) enum State {
    /// The caller waits for somebody to answer.
    Offered { invite: Invite, until: Instant },
    /// Answered.
    Up { since: Instant, until: Instant },
    /// Answered, and somebody is asked in to take the place of one who is in it.
    Transferring {
        since: Instant,
        until: Instant,
        transfer: Transfer,
    },
    /// Answered, and the one who was called or called has left: the other waits in a slot.
    Parked {
        since: Instant,
        until: Instant,
        parked: Parked,
    },
}

/// Where a call waits, and whom it goes back to.
#[derive(Debug, Clone)]
pub(super) struct Parked {
    pub(super) slot: u32,
    pub(super) until: Instant,
    /// Who has parked it: the place in the room, who that is, and where to call back.
    pub(super) by: ParticipantId,
    pub(super) party: Party,
    pub(super) back_to: Option<String>,
}

#[derive(Debug)]
pub(super) struct Transfer {
    /// Who transfers; may have left.
    pub(super) by: ParticipantId,
    pub(super) invite: Invite,
    pub(super) until: Instant,
    /// The call comes back from there, and goes there again when nobody answers.
    pub(super) from_slot: Option<Parked>,
}

/// Somebody who is asked in.
#[derive(Debug)]
pub(super) struct Invite {
    pub(super) participant: ParticipantId,
    pub(super) party: Party,
    pub(super) offer: Offer,
    pub(super) stage: Stage,
    pub(super) began: Instant,
    /// Who was called first, or transfers.
    pub(super) via: Option<String>,
    /// How it has come here.
    pub(super) diversion: Option<Diversion>,
    /// When it is sent on unless somebody answers.
    pub(super) divert_at: Option<Instant>,
}

/// The way of a call that was sent on.
#[derive(Debug, Clone)]
pub(super) struct Diversion {
    /// Who has sent it on, the first one first.
    pub(super) by: Vec<User>,
    /// Why the last one did.
    pub(super) reason: DivertReason,
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

/// One who is in the room.
#[derive(Debug)]
pub(super) struct End {
    pub(super) side: Side,
    pub(super) party: Party,
    pub(super) began: Instant,
    pub(super) answered: Option<Instant>,
}

/// One party's end.
#[derive(Debug)]
pub(super) enum Side {
    Device(DeviceId),
    Leg(Leg),
}

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) kind: LegKind,
    pub(super) hears: Hears,
}

/// What a leg was told to hear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hears {
    pub(super) participants: BTreeSet<ParticipantId>,
    pub(super) ringback: bool,
    pub(super) music: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegKind {
    /// A telephone that called and waits for us to answer.
    Unanswered,
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
            hears: Hears::default(),
        }
    }
}

impl Side {
    pub(super) fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Device(device) => Some(*device),
            Self::Leg(_) => None,
        }
    }

    pub(super) fn leg(&self) -> Option<&Leg> {
        match self {
            Self::Leg(leg) => Some(leg),
            Self::Device(_) => None,
        }
    }
}

impl End {
    pub(super) fn record(
        self,
        participant: ParticipantId,
        ended: Instant,
        cause: Cause,
    ) -> LegRecord {
        LegRecord {
            participant,
            party: self.party,
            leg: self.side.leg().map(|leg| leg.id),
            began: self.began,
            answered: self.answered,
            ended,
            cause,
        }
    }
}

impl Invite {
    pub(super) fn leg(&self) -> Option<&Leg> {
        match &self.offer {
            Offer::Phone(leg) => Some(leg),
            Offer::User { .. } => None,
        }
    }

    pub(super) fn devices(&self) -> BTreeSet<DeviceId> {
        match &self.offer {
            Offer::User { devices, .. } => devices.clone(),
            Offer::Phone(_) => BTreeSet::new(),
        }
    }

    /// Returns whether it is a built-in party: those answer at once.
    pub(super) fn is_service(&self) -> bool {
        self.leg().is_some_and(|leg| leg.kind == LegKind::Service)
    }

    pub(super) fn record(self, ended: Instant, cause: Cause) -> LegRecord {
        LegRecord {
            participant: self.participant,
            leg: self.leg().map(|leg| leg.id),
            party: self.party,
            began: self.began,
            answered: None,
            ended,
            cause,
        }
    }
}

impl State {
    pub(super) fn invite(&self) -> Option<&Invite> {
        match self {
            Self::Offered { invite, .. } => Some(invite),
            Self::Transferring { transfer, .. } => Some(&transfer.invite),
            Self::Up { .. } | Self::Parked { .. } => None,
        }
    }

    pub(super) fn invite_mut(&mut self) -> Option<&mut Invite> {
        match self {
            Self::Offered { invite, .. } => Some(invite),
            Self::Transferring { transfer, .. } => Some(&mut transfer.invite),
            Self::Up { .. } | Self::Parked { .. } => None,
        }
    }

    /// Returns when the call was answered.
    pub(super) fn since(&self) -> Option<Instant> {
        match self {
            Self::Up { since, .. }
            | Self::Transferring { since, .. }
            | Self::Parked { since, .. } => Some(*since),
            Self::Offered { .. } => None,
        }
    }

    /// Returns when the call ends at the latest.
    pub(super) fn until(&self) -> Instant {
        match self {
            Self::Offered { until, .. }
            | Self::Up { until, .. }
            | Self::Transferring { until, .. }
            | Self::Parked { until, .. } => *until,
        }
    }

    pub(super) fn transfer(&self) -> Option<&Transfer> {
        match self {
            Self::Transferring { transfer, .. } => Some(transfer),
            Self::Offered { .. } | Self::Up { .. } | Self::Parked { .. } => None,
        }
    }

    pub(super) fn parked(&self) -> Option<&Parked> {
        match self {
            Self::Parked { parked, .. } => Some(parked),
            Self::Offered { .. } | Self::Up { .. } | Self::Transferring { .. } => None,
        }
    }
}

impl Call {
    /// Returns which participant a device is: none while it is only rung.
    pub(super) fn participant(&self, device: DeviceId) -> Option<ParticipantId> {
        let is = |end: &End| end.side.device() == Some(device);
        let mut ends = self.ends.iter();
        ends.find(|(_, end)| is(end)).map(|(id, _)| *id)
    }

    /// Returns which participant a leg is: none while it is only called.
    pub(super) fn participant_of_leg(&self, leg: LegId) -> Option<ParticipantId> {
        let is = |end: &End| end.side.leg().is_some_and(|it| it.id == leg);
        let mut ends = self.ends.iter();
        ends.find(|(_, end)| is(end)).map(|(id, _)| *id)
    }

    /// Returns whether the call rings on a device.
    pub(super) fn is_offered_to(&self, device: DeviceId) -> bool {
        self.state
            .invite()
            .is_some_and(|invite| invite.devices().contains(&device))
    }

    /// Returns the leg that is called and has not answered.
    pub(super) fn called_leg(&self) -> Option<&Leg> {
        self.state.invite().and_then(Invite::leg)
    }

    /// Returns the others in the room.
    pub(super) fn others(
        &self,
        participant: ParticipantId,
    ) -> impl Iterator<Item = (ParticipantId, &End)> {
        self.ends
            .iter()
            .map(|(id, end)| (*id, end))
            .filter(move |(id, _)| *id != participant)
    }

    /// Returns whom a participant talks to first: who is there, or else who is called.
    pub(super) fn peer_of(&self, participant: ParticipantId) -> &Party {
        let by = self.state.transfer().map(|transfer| transfer.by);
        let mut others = self.others(participant).filter(|(id, _)| Some(*id) != by);
        match (others.next(), self.state.invite()) {
            (Some((_, end)), _) => &end.party,
            (None, Some(invite)) => &invite.party,
            (None, None) => self.state.parked().map_or(&self.to, |parked| &parked.party),
        }
    }

    /// Returns every device that knows of the call.
    pub(super) fn devices(&self) -> BTreeSet<DeviceId> {
        let mut devices = self.state.invite().map(Invite::devices).unwrap_or_default();
        devices.extend(self.ends.values().filter_map(|end| end.side.device()));
        devices
    }

    pub(super) fn new_participant(&mut self) -> ParticipantId {
        let participant = ParticipantId(self.next_participant);
        self.next_participant += 1;
        participant
    }

    /// Returns every leg with what it is to hear now.
    pub(super) fn legs_to_hear(&mut self) -> Vec<(&mut Leg, Hears)> {
        let wanted: BTreeMap<ParticipantId, Hears> = self
            .ends
            .iter()
            .filter_map(|(id, end)| Some((*id, self.end_hears(*id, end.side.leg()?))))
            .collect();
        let called = self.called_hears();
        let ends = self
            .ends
            .iter_mut()
            .filter_map(|(id, end)| match &mut end.side {
                Side::Leg(leg) => Some((leg, wanted.get(id).cloned().unwrap_or_default())),
                Side::Device(_) => None,
            });
        let invited = match self.state.invite_mut() {
            Some(Invite {
                offer: Offer::Phone(leg),
                ..
            }) => Some((leg, called)),
            _ => None,
        };
        ends.chain(invited).collect()
    }

    fn end_hears(&self, own: ParticipantId, leg: &Leg) -> Hears {
        let is_phone = leg.kind == LegKind::Phone;
        match &self.state {
            State::Offered { invite, .. } if invite.stage == Stage::Early => Hears {
                participants: BTreeSet::from([invite.participant]),
                ..Hears::default()
            },
            State::Offered { .. } => Hears {
                ringback: is_phone,
                ..Hears::default()
            },
            State::Transferring { transfer, .. } if transfer.by == own => Hears::default(),
            State::Transferring { transfer, .. } if transfer.invite.stage == Stage::Early => {
                Hears {
                    participants: BTreeSet::from([transfer.invite.participant]),
                    ..Hears::default()
                }
            }
            State::Transferring { .. } => Hears {
                ringback: is_phone,
                ..Hears::default()
            },
            State::Parked { .. } => Hears {
                music: is_phone,
                ..Hears::default()
            },
            State::Up { .. } if self.held_by.contains(&own) => Hears::default(),
            State::Up { .. } => {
                let others = self.others(own).map(|(id, _)| id);
                let (held, talking) =
                    others.partition::<BTreeSet<_>, _>(|id| self.held_by.contains(id));
                Hears {
                    music: is_phone && talking.is_empty() && !held.is_empty(),
                    participants: talking,
                    ringback: false,
                }
            }
        }
    }

    /// The network may want to hear the caller before it answers.
    fn called_hears(&self) -> Hears {
        match self.early() {
            Some(_) => Hears {
                participants: self.waiting().map(|(id, _)| id).collect(),
                ..Hears::default()
            },
            None => Hears::default(),
        }
    }

    /// Returns who is heard before the answer.
    pub(super) fn early(&self) -> Option<&Invite> {
        let invite = self.state.invite();
        invite.filter(|invite| invite.stage == Stage::Early)
    }

    /// Returns those who are to talk with the one who is asked in: all but the one who transfers.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (ParticipantId, &End)> {
        let by = self.state.transfer().map(|transfer| transfer.by);
        let ends = self.ends.iter().map(|(id, end)| (*id, end));
        ends.filter(move |(id, _)| Some(*id) != by)
    }

    /// Returns whether there is something to hear: answered or early.
    pub(super) fn has_sound(&self) -> bool {
        match &self.state {
            State::Up { .. } | State::Transferring { .. } | State::Parked { .. } => true,
            State::Offered { invite, .. } => invite.stage == Stage::Early,
        }
    }
}
