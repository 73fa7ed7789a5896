//! Tracks that the peer publishes to us.

use std::time::Instant;

use bytes::Bytes;
use moqrelay_moqt::{
    Draft, Location, Namespace, ObjectProperties, Parameters, PublishDoneCode, RequestCode,
    RequestError, RequestId, ResetCode, SubscribeOptions, TrackAlias, TrackProperties,
    data::{self, ObjectDatagram, SubgroupHeader},
};

use super::{Driver, Due};
use crate::{
    table::Published,
    track::{Ending, Inlet, InletError, Lane, Malformed, SourceId, SubgroupEnd, Track},
};

/// How long datagrams may still arrive after PUBLISH_DONE when all streams have: a round trip.
const DATAGRAM_GRACE: std::time::Duration = std::time::Duration::from_millis(100);

/// A subscription of which we are the subscriber.
pub(super) struct Source {
    id: SourceId,
    state: State,
    forward: Forward,
    /// We asked for it; the peer did not offer it.
    asked: bool,
    streams_open: usize,
    streams_seen: u64,
    datagrams_seen: bool,
}

/// Whether the peer is to send objects.
struct Forward {
    wanted: bool,
    told: bool,
    /// It was told, and has not answered.
    asking: bool,
}

enum State {
    /// Our SUBSCRIBE is not answered.
    Asked,
    Live {
        inlet: Inlet,
        alias: TrackAlias,
    },
    /// PUBLISH_DONE came; objects may be late.
    Done {
        inlet: Inlet,
        alias: TrackAlias,
        ending: Ending,
        streams: Option<u64>,
    },
}

impl Source {
    fn new(id: SourceId, state: State, forward: bool) -> Self {
        Self {
            id,
            asked: matches!(state, State::Asked),
            state,
            forward: Forward {
                wanted: forward,
                told: forward,
                asking: false,
            },
            streams_open: 0,
            streams_seen: 0,
            datagrams_seen: false,
        }
    }

    pub(super) fn begin_stream(&mut self, header: SubgroupHeader) -> Option<Lane> {
        let lane = self.inlet()?.lane(header);
        self.streams_open += 1;
        self.streams_seen += 1;
        Some(lane)
    }

    pub(super) fn object(
        &self,
        lane: &mut Lane,
        object: data::Object,
        properties: ObjectProperties,
    ) -> Result<bool, InletError> {
        match self.inlet() {
            Some(inlet) => inlet.object(lane, object, properties),
            None => Ok(false),
        }
    }

    pub(super) fn end_stream(&mut self, lane: Lane, end: SubgroupEnd) -> Result<(), Malformed> {
        self.streams_open = self.streams_open.saturating_sub(1);
        self.inlet().map_or(Ok(()), |inlet| inlet.close(lane, end))
    }

    pub(super) fn datagram(
        &mut self,
        object: ObjectDatagram,
        properties: ObjectProperties,
    ) -> Result<bool, InletError> {
        self.datagrams_seen = true;
        match self.inlet() {
            Some(inlet) => inlet.datagram(object, properties),
            None => Ok(false),
        }
    }

    /// Returns whether its track is below a namespace; not asked of one that is not answered.
    pub(super) fn is_below(&self, namespace: &Namespace) -> bool {
        self.inlet()
            .is_some_and(|inlet| namespace.is_prefix_of(inlet.track.name.namespace()))
    }

    /// Returns where its track belongs, once it is answered.
    pub(super) fn namespace(&self) -> Option<&Namespace> {
        self.inlet().map(|inlet| inlet.track.name.namespace())
    }

    fn inlet(&self) -> Option<&Inlet> {
        match &self.state {
            State::Asked => None,
            State::Live { inlet, .. } | State::Done { inlet, .. } => Some(inlet),
        }
    }

    fn alias(&self) -> Option<TrackAlias> {
        match &self.state {
            State::Asked => None,
            State::Live { alias, .. } | State::Done { alias, .. } => Some(*alias),
        }
    }

    /// Returns whether everything that PUBLISH_DONE announced has arrived.
    fn is_complete(&self) -> bool {
        match &self.state {
            State::Done {
                streams: Some(streams),
                ..
            } => self.streams_open == 0 && self.streams_seen >= *streams,
            State::Done { streams: None, .. } | State::Asked | State::Live { .. } => false,
        }
    }
}

impl Driver {
    /// Subscribes at the peer because the table wants it.
    pub(super) fn ask(&mut self, source: SourceId, track: &Track, new_group: Option<u64>) {
        // Everything, forwarded at once: subscribers with filters of their own come and go.
        let params = Parameters {
            forward: Some(true),
            new_group_request: new_group,
            ..Parameters::default()
        };
        match self
            .machine
            .subscribe(track.name.clone(), SubscribeOptions { params })
        {
            Ok(request) => {
                let asked = Source::new(source, State::Asked, true);
                self.sources.insert(request, asked);
                self.await_answer(request);
            }
            Err(error) => self.refuse_ask(source, &error.to_string()),
        }
    }

    /// Tells the table that this peer will not publish a track.
    pub(super) fn refuse_ask(&self, source: SourceId, reason: &str) {
        let error = RequestError::new(RequestCode::DoesNotExist, reason);
        self.shared.refused(source, error);
    }

    /// The peer accepted a SUBSCRIBE of ours.
    pub(super) fn asked_and_accepted(
        &mut self,
        request: RequestId,
        alias: TrackAlias,
        properties: Bytes,
        largest: Option<Location>,
    ) {
        let Some(source) = self.sources.get_mut(&request) else {
            return;
        };
        let draft = self.machine.draft();
        // The session has read them, so they can be read.
        let properties =
            TrackProperties::translate(draft, Draft::D18, &properties).unwrap_or_default();
        let Some(inlet) = self.shared.answered(source.id, properties, largest) else {
            // It took too long: nobody wants the track any more.
            self.sources.remove(&request);
            self.cancel(request, ResetCode::Cancelled);
            return;
        };
        let inlet = Inlet {
            draft: self.machine.draft(),
            ..inlet
        };
        source.state = State::Live { inlet, alias };
        self.aliases.insert(alias, request);
        self.alias_known(alias);
    }

    /// The peer refused a SUBSCRIBE of ours.
    pub(super) fn asked_and_refused(&mut self, request: RequestId, error: RequestError) -> bool {
        let Some(source) = self.sources.remove(&request) else {
            return false;
        };
        self.shared.refused(source.id, error);
        true
    }

    /// The peer publishes a track of its own accord.
    pub(super) fn add_published(
        &mut self,
        request: RequestId,
        published: Published,
        alias: TrackAlias,
    ) {
        let Published { inlet, forward } = published;
        let inlet = Inlet {
            draft: self.machine.draft(),
            ..inlet
        };
        let source = Source::new(inlet.source, State::Live { inlet, alias }, forward);
        self.sources.insert(request, source);
        self.aliases.insert(alias, request);
        self.alias_known(alias);
    }

    /// The publisher says that its track is over; late objects are awaited.
    pub(super) fn source_done(
        &mut self,
        request: RequestId,
        status: PublishDoneCode,
        streams: Option<u64>,
        reason: String,
    ) {
        let Some(source) = self.sources.get_mut(&request) else {
            return;
        };
        let ending = Ending { status, reason };
        match std::mem::replace(&mut source.state, State::Asked) {
            State::Live { inlet, alias } => {
                source.state = State::Done {
                    inlet,
                    alias,
                    ending,
                    streams,
                };
            }
            other @ (State::Asked | State::Done { .. }) => source.state = other,
        }
        let now = Instant::now();
        self.timers
            .set(now + self.limits.done_wait, Due::SourceDone(request));
        self.finish_source_if_done(request);
    }

    pub(super) fn finish_source_if_done(&mut self, request: RequestId) {
        let Some(source) = self.sources.get_mut(&request) else {
            return;
        };
        if !source.is_complete() {
            return;
        }
        if std::mem::take(&mut source.datagrams_seen) {
            let at = Instant::now() + DATAGRAM_GRACE;
            self.timers.set(at, Due::SourceDone(request));
            return;
        }
        self.source_overdue(request);
    }

    /// What has not arrived by now will not be waited for.
    pub(super) fn source_overdue(&mut self, request: RequestId) {
        let done = self
            .sources
            .get(&request)
            .is_some_and(|source| matches!(source.state, State::Done { .. }));
        if !done {
            return;
        }
        if let Some(source) = self.sources.remove(&request) {
            self.lose_source(request, source);
        }
    }

    /// An object of a track contradicts the draft: the track ends, the session goes on.
    pub(super) fn malformed(&mut self, request: RequestId, error: &dyn std::fmt::Display) {
        let Some(source) = self.sources.remove(&request) else {
            return;
        };
        tracing::debug!(%error, "the peer publishes a malformed track");
        self.shared.meters().tracks_malformed.add(1);
        self.forget_lent(request);
        self.forget_alias(request, &source);
        self.cancel(request, ResetCode::MalformedTrack);
        let ending = Ending {
            status: PublishDoneCode::MalformedTrack,
            reason: error.to_string(),
        };
        self.shared.ended(source.id, ending);
    }

    /// A request about a track that the peer publishes ended without a word.
    pub(super) fn source_cancelled(&mut self, request: RequestId) -> bool {
        let Some(source) = self.sources.remove(&request) else {
            return false;
        };
        self.lose_source(request, source);
        true
    }

    /// Tells the table of a source's end.
    pub(super) fn lose_source(&mut self, request: RequestId, source: Source) {
        self.forget_lent(request);
        self.forget_alias(request, &source);
        match source.state {
            State::Asked => self.refuse_ask(source.id, "the publisher is gone"),
            State::Live { .. } => {
                let ending = Ending::over("the publisher is gone");
                self.shared.vanished(source.id, ending);
            }
            State::Done { ending, .. } => self.shared.ended(source.id, ending),
        }
    }

    /// The table wants no more of a source.
    pub(super) fn drop_source(&mut self, id: SourceId, code: ResetCode) {
        let Some((request, _)) = self.sources.iter().find(|(_, source)| source.id == id) else {
            return;
        };
        let request = *request;
        self.forget_lent(request);
        if let Some(source) = self.sources.remove(&request) {
            self.forget_alias(request, &source);
        }
        self.cancel(request, code);
    }

    fn forget_alias(&mut self, request: RequestId, source: &Source) {
        let Some(alias) = source.alias() else {
            return;
        };
        // The peer may use the alias for the track's next subscription already.
        if self.aliases.get(&alias) == Some(&request) {
            self.aliases.remove(&alias);
            self.alias_gone(alias);
        }
    }

    /// Someone wants objects of a source, or nobody any more.
    pub(super) fn set_forward(&mut self, id: SourceId, forward: bool) {
        let mut sources = self.sources.iter_mut();
        if let Some((request, source)) = sources.find(|(_, source)| source.id == id) {
            source.forward.wanted = forward;
            let request = *request;
            self.tell_forward(request);
        }
    }

    /// Tells the peer whether to send objects, one update at a time: only the last wish counts.
    fn tell_forward(&mut self, request: RequestId) {
        if !self.quirks.can_pause() {
            return; // It forwards all the time.
        }
        let Some(source) = self.sources.get_mut(&request) else {
            return;
        };
        let Forward {
            wanted,
            told,
            asking,
        } = source.forward;
        if asking || wanted == told || !matches!(source.state, State::Live { .. }) {
            return;
        }
        let params = Parameters {
            forward: Some(wanted),
            ..Parameters::default()
        };
        match self.machine.update(request, params) {
            Ok(()) => {
                source.forward.told = wanted;
                source.forward.asking = true;
                self.await_answer(request);
            }
            Err(error) => tracing::debug!(%error, "cannot change the forwarding of a track"),
        }
    }

    /// The peer accepted an update of a subscription of ours.
    pub(super) fn source_updated(&mut self, request: RequestId, largest: Option<Location>) {
        if let Some(source) = self.sources.get_mut(&request) {
            source.forward.asking = false;
            self.shared.raise_largest(source.id, largest);
            self.tell_forward(request);
        }
    }

    /// The track goes on without this publisher: another one has taken it over.
    pub(super) fn superseded(&mut self, request: RequestId) {
        if let Some(source) = self.sources.remove(&request) {
            self.cancel(request, ResetCode::Cancelled);
            self.lose_source(request, source);
        }
    }

    /// The peer wants to move a request of ours (GOAWAY on its stream): what it served is asked of
    /// others, or of the peer again.
    pub(super) fn move_source(&mut self, request: RequestId) -> bool {
        let asked = self
            .sources
            .get(&request)
            .is_some_and(|source| source.asked);
        if !asked {
            return false; // The peer's own PUBLISH: it is for the peer to begin another one.
        }
        if let Some(source) = self.sources.remove(&request) {
            self.cancel(request, ResetCode::GoingAway);
            self.lose_source(request, source);
        }
        true
    }

    /// A request of ours that the peer did not answer in time.
    pub(super) fn unanswered(&mut self, request: RequestId) {
        let Some(source) = self.sources.get(&request) else {
            return self.offer_unanswered(request);
        };
        if matches!(source.state, State::Asked) {
            let id = source.id;
            self.sources.remove(&request);
            self.cancel(request, ResetCode::Cancelled);
            let error = RequestError::new(RequestCode::Timeout, "the publisher does not answer");
            self.shared.refused(id, error);
        } else if source.forward.asking
            && let Some(source) = self.sources.remove(&request)
        {
            self.cancel(request, ResetCode::Cancelled);
            self.lose_source(request, source);
        }
    }

    fn await_answer(&mut self, request: RequestId) {
        let at = Instant::now() + self.limits.answer;
        self.timers.set(at, Due::Unanswered(request));
    }

    /// Subscribers want the peer to begin a new group.
    pub(super) fn ask_new_group(&mut self, id: SourceId, group: u64) {
        let Some((request, _)) = self.sources.iter().find(|(_, source)| source.id == id) else {
            return;
        };
        let params = Parameters {
            new_group_request: Some(group),
            ..Parameters::default()
        };
        if let Err(error) = self.machine.update(*request, params) {
            tracing::debug!(%error, "cannot ask for a new group");
        }
    }

    pub(super) fn cancel(&mut self, request: RequestId, code: ResetCode) {
        // Fails only for a request that is over already.
        drop(self.machine.cancel(request, code));
    }
}
