//! One open request: what it is about and how far it has come.

use core::time::Duration;
use std::collections::VecDeque;

use crate::collections::BTreeSet;
use crate::{
    Draft, Filter, FullTrackName, Location, Namespace, Parameters, RangeFilter, RequestId, Scope,
    StreamId, TrackAlias,
};

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Peers,
}

/// How far a request has come; when it is over it is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not answered.
    Pending,
    /// Answered with an OK.
    Established,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The alias is there once it is established.
    Subscribe {
        track: FullTrackName,
        alias: Option<TrackAlias>,
    },
    Publish {
        track: FullTrackName,
        alias: TrackAlias,
    },
    TrackStatus,
    /// `start`: unless the publisher computes it.
    Fetch {
        start: Option<Location>,
    },
    /// `told_to`: it stands for NAMESPACE in answer to that SUBSCRIBE_NAMESPACE (draft 14), and the application does not
    /// hear of it.
    PublishNamespace {
        namespace: Namespace,
        told_to: Option<RequestId>,
    },
    /// `told`: namespaces that exist for the subscriber, prefix included.
    SubscribeNamespace {
        prefix: Namespace,
        told: BTreeSet<Namespace>,
    },
    SubscribeTracks {
        prefix: Namespace,
    },
}

/// An open request of either side.
#[derive(Debug)]
pub(super) struct Request {
    /// Its own; `None`: its messages go on the one control stream.
    pub(super) stream: Option<StreamId>,
    pub(super) side: Side,
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    /// Our direction of the stream can still be written.
    pub(super) sending: bool,
    /// The peer's direction has not ended.
    pub(super) receiving: bool,
    /// The peer's unanswered updates.
    pub(super) updates_in: VecDeque<Update>,
    /// Our unanswered updates.
    pub(super) updates_out: VecDeque<Update>,
    /// What the subscriber last asked for, where each update says everything anew (draft 14).
    pub(super) asked: Parameters,
    /// A subscription that begins elsewhere than after the largest object; up to draft 16 no FETCH may join it.
    pub(super) begins_elsewhere: bool,
    /// The peer's range filters, updates carried out (draft 19).
    pub(super) range_filters: Vec<RangeFilter>,
    /// The other half of a SUBSCRIBE_NAMESPACE that asks for namespaces and tracks.
    pub(super) other_half: Option<RequestId>,
    /// The other half was accepted and is over.
    pub(super) half_answered: bool,
    /// The peer has sent GOAWAY for this request.
    pub(super) goaway_received: bool,
    /// We have sent GOAWAY for this request.
    pub(super) goaway_sent: bool,
    /// When it is reset after our GOAWAY.
    pub(super) deadline: Option<Duration>,
}

/// A REQUEST_UPDATE that is not answered.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) id: RequestId,
    /// The new prefix, if it brings one.
    pub(super) prefix: Option<Namespace>,
}

impl Request {
    pub(super) fn new(stream: Option<StreamId>, side: Side, kind: Kind) -> Self {
        Self {
            stream,
            side,
            kind,
            phase: Phase::Pending,
            sending: true,
            receiving: true,
            updates_in: VecDeque::new(),
            updates_out: VecDeque::new(),
            asked: Parameters::default(),
            begins_elsewhere: false,
            range_filters: Vec::new(),
            other_half: None,
            half_answered: false,
            goaway_received: false,
            goaway_sent: false,
            deadline: None,
        }
    }

    pub(super) fn is(&self, side: Side, phase: Phase) -> bool {
        self.side == side && self.phase == phase
    }

    /// Returns true when the application does not know of it.
    pub(super) fn is_hidden(&self) -> bool {
        matches!(
            self.kind,
            Kind::PublishNamespace {
                told_to: Some(_),
                ..
            }
        )
    }

    /// Returns true when the peer's FIN ends the request.
    ///
    /// A requester without updates to come may send FIN right after its request, and a responder after its answer,
    /// so FIN is an end only where the draft says so (section 6.1) or where something must still have come.
    ///
    /// Draft 19 lets it be an end nowhere else than where something must still have come (section 3.3.3).
    pub(super) fn ends_with_fin(&self, draft: Draft) -> bool {
        match (self.side, &self.kind) {
            (Side::Peers, Kind::SubscribeNamespace { .. } | Kind::SubscribeTracks { .. })
                if draft.shares_tracks() =>
            {
                !self.sending
            }
            (_, Kind::SubscribeNamespace { .. } | Kind::SubscribeTracks { .. }) => true,
            (Side::Ours, Kind::Subscribe { .. } | Kind::TrackStatus) => true,
            // Once it is accepted the data stream says when it is over.
            (Side::Ours, Kind::Fetch { .. }) => self.phase == Phase::Pending,
            // PUBLISH_DONE comes before FIN (section 10.12).
            (Side::Peers, Kind::Publish { .. }) => true,
            (Side::Ours, Kind::Publish { .. } | Kind::PublishNamespace { .. }) => {
                self.phase == Phase::Pending || !self.sending
            }
            (
                Side::Peers,
                Kind::Subscribe { .. }
                | Kind::TrackStatus
                | Kind::Fetch { .. }
                | Kind::PublishNamespace { .. },
            ) => !self.sending,
        }
    }

    /// Returns true when the peer's STOP_SENDING ends the request.
    ///
    /// Where an answer or PUBLISH_DONE may be on its way, it only says that the peer wants to hear no more: it can
    /// overtake them. What then ends the request is the end of the peer's own direction.
    pub(super) fn ends_with_stop(&self) -> bool {
        match (self.side, &self.kind, self.phase) {
            (Side::Peers, Kind::Publish { .. }, _) => !self.receiving,
            (Side::Peers, _, _) => true,
            (
                Side::Ours,
                Kind::Publish { .. } | Kind::PublishNamespace { .. },
                Phase::Established,
            ) => true,
            // Once it is accepted the data stream says when it is over.
            (Side::Ours, Kind::Fetch { .. }, Phase::Established) => false,
            (Side::Ours, _, _) => !self.receiving,
        }
    }

    /// Where the parameters of the REQUEST_OK belong that answers this request.
    pub(super) fn ok_scope(&self) -> Option<Scope> {
        match self.kind {
            Kind::Publish { .. } => Some(Scope::PublishOk),
            Kind::TrackStatus => Some(Scope::TrackStatusOk),
            Kind::PublishNamespace { .. }
            | Kind::SubscribeNamespace { .. }
            | Kind::SubscribeTracks { .. } => Some(Scope::NamespaceOk),
            Kind::Subscribe { .. } | Kind::Fetch { .. } => None,
        }
    }

    /// Where the parameters of a REQUEST_UPDATE of this request belong; `None`: it cannot be updated by `sender`.
    pub(super) fn update_scope(&self, sender: Side) -> Option<Scope> {
        match &self.kind {
            // The subscriber of a PUBLISH changes it, too, once it has accepted it (section 10.10).
            Kind::Publish { .. } if sender != self.side => {
                (self.phase == Phase::Established).then_some(Scope::UpdateSubscription)
            }
            _ if sender != self.side => None,
            Kind::Subscribe { .. } | Kind::Publish { .. } => Some(Scope::UpdateSubscription),
            Kind::Fetch { .. } => Some(Scope::UpdateFetch),
            Kind::PublishNamespace { .. } => Some(Scope::UpdatePublishNamespace),
            Kind::SubscribeNamespace { .. } | Kind::SubscribeTracks { .. } => {
                Some(Scope::UpdatePrefix)
            }
            Kind::TrackStatus => None,
        }
    }

    /// Notes where a subscription begins.
    pub(super) fn begins(&mut self, filter: Option<Filter>) {
        self.begins_elsewhere = filter.is_some_and(|filter| filter != Filter::LargestObject);
    }

    /// Returns the prefix of a request about namespaces.
    pub(super) fn prefix(&self) -> Option<&Namespace> {
        match &self.kind {
            Kind::SubscribeNamespace { prefix, .. } | Kind::SubscribeTracks { prefix } => {
                Some(prefix)
            }
            _ => None,
        }
    }

    /// Carries out an accepted change of the prefix.
    pub(super) fn set_prefix(&mut self, new: Namespace) {
        match &mut self.kind {
            Kind::SubscribeNamespace { prefix, told } => {
                told.retain(|namespace| new.is_prefix_of(namespace));
                *prefix = new;
            }
            Kind::SubscribeTracks { prefix } => *prefix = new,
            _ => {}
        }
    }

    /// Returns true when both are SUBSCRIBE_NAMESPACE, or both SUBSCRIBE_TRACKS.
    pub(super) fn same_prefix_kind(&self, other: &Kind) -> bool {
        matches!(
            (&self.kind, other),
            (
                Kind::SubscribeNamespace { .. },
                Kind::SubscribeNamespace { .. }
            ) | (Kind::SubscribeTracks { .. }, Kind::SubscribeTracks { .. })
        )
    }
}
