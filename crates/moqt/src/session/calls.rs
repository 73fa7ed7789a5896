//! What the application asks for: requests, answers, ends.

use core::time::Duration;

use bytes::Bytes;

use crate::collections::BTreeSet;
use crate::{
    EncodeError, FullTrackName, GoAway, Message, Namespace, Parameters, Publish, PublishBlocked,
    PublishDone, PublishDoneCode, RangeFilter, RequestCode, RequestError, RequestId, RequestOk,
    ResetCode, Selector, Subscribe, SubscribeOk, SubscribePrefix, TrackAlias, draft::Layout,
};

use super::{
    CallError, Direction, Event, GoAwaySent, Output, PublishOptions, Role, Session, State, Stream,
    StreamRole, SubscribeAnswer, SubscribeOptions,
    request::{Kind, Phase, Request, Side},
};

impl Session {
    /// Asks for a track (SUBSCRIBE). Answer: [`Event::SubscribeOk`] or [`Event::Rejected`].
    ///
    /// # Errors
    ///
    /// See [`CallError`]; a second subscription to the same track is [`CallError::Duplicate`].
    pub fn subscribe(
        &mut self,
        track: FullTrackName,
        options: SubscribeOptions,
    ) -> Result<RequestId, CallError> {
        let SubscribeOptions { params } = options;
        let duplicate = self.subscribing.contains_key(&track) || self.offered.contains_key(&track);
        if duplicate && !self.config.draft.shares_tracks() {
            return Err(CallError::Duplicate);
        }
        self.check_ranges(&params)?;
        let asked = Parameters {
            filter: params.filter,
            subscriber_priority: params.subscriber_priority,
            forward: params.forward,
            ..Parameters::default()
        };
        let message = Message::Subscribe(Subscribe {
            id: self.next_request,
            track: track.clone(),
            params,
        });
        let id = self.open(
            Kind::Subscribe {
                track: track.clone(),
                alias: None,
            },
            &message,
        )?;
        let request = self.open_request(id)?;
        request.begins(asked.filter);
        request.asked = asked;
        self.subscribing.insert(track, id);
        Ok(id)
    }

    /// Offers a track (PUBLISH). Answer: [`Event::Accepted`] or [`Event::Rejected`].
    ///
    /// Objects may be sent at once under the returned alias. Subscribers change it with [`Event::Update`]. End it with
    /// [`publish_done`](Self::publish_done).
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn publish(
        &mut self,
        track: FullTrackName,
        options: PublishOptions,
    ) -> Result<(RequestId, TrackAlias), CallError> {
        let PublishOptions {
            alias,
            params,
            properties,
        } = options;
        if self.publishing.contains_key(&track) && !self.config.draft.shares_tracks() {
            return Err(CallError::Duplicate);
        }
        let alias = self.choose_alias(alias, &track)?;
        let id = self.next_request;
        let message = Message::Publish(Publish {
            id,
            track: track.clone(),
            alias,
            params,
            properties,
        });
        let id = self.open(
            Kind::Publish {
                track: track.clone(),
                alias,
            },
            &message,
        )?;
        self.publishing.insert(track, id);
        self.our_aliases.insert(alias, id);
        Ok((id, alias))
    }

    /// Asks for a track's status (TRACK_STATUS). Answer: [`Event::Accepted`] or [`Event::Rejected`]; then it is over.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn track_status(
        &mut self,
        track: FullTrackName,
        params: Parameters,
    ) -> Result<RequestId, CallError> {
        let message = Message::TrackStatus(Subscribe {
            id: self.next_request,
            track,
            params,
        });
        let id = self.open(Kind::TrackStatus, &message)?;
        // It is the only message of its stream (section 10.15).
        let request = self.open_request(id)?;
        if let Some(stream) = request.stream {
            request.sending = false;
            self.put(id, Output::Finish(stream));
        }
        Ok(id)
    }

    /// Offers every track below a namespace (PUBLISH_NAMESPACE). Answer: [`Event::Accepted`] or [`Event::Rejected`].
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn publish_namespace(
        &mut self,
        namespace: Namespace,
        params: Parameters,
    ) -> Result<RequestId, CallError> {
        let kind = Kind::PublishNamespace {
            namespace: namespace.clone(),
            told_to: None,
        };
        let message = SubscribePrefix {
            id: self.next_request,
            prefix: namespace,
            params,
        };
        self.open(kind, &Message::PublishNamespace(message))
    }

    /// Asks which namespaces exist below a prefix (SUBSCRIBE_NAMESPACE). Answer: [`Event::Accepted`] or
    /// [`Event::Rejected`], then [`Event::Namespace`] and [`Event::NamespaceDone`].
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn subscribe_namespace(
        &mut self,
        prefix: Namespace,
        params: Parameters,
    ) -> Result<RequestId, CallError> {
        let kind = Kind::SubscribeNamespace {
            prefix: prefix.clone(),
            told: BTreeSet::new(),
        };
        if self.overlaps(Side::Ours, &kind, &prefix, None) {
            return Err(CallError::Duplicate);
        }
        let message = SubscribePrefix {
            id: self.next_request,
            prefix,
            params,
        };
        self.open(kind, &Message::SubscribeNamespace(message))
    }

    /// Asks for PUBLISH of every track below a prefix (SUBSCRIBE_TRACKS). Answer: [`Event::Accepted`] or
    /// [`Event::Rejected`], then [`Event::Publish`] and [`Event::PublishBlocked`].
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn subscribe_tracks(
        &mut self,
        prefix: Namespace,
        params: Parameters,
    ) -> Result<RequestId, CallError> {
        let kind = Kind::SubscribeTracks {
            prefix: prefix.clone(),
        };
        if self.overlaps(Side::Ours, &kind, &prefix, None) {
            return Err(CallError::Duplicate);
        }
        self.check_ranges(&params)?;
        let message = SubscribePrefix {
            id: self.next_request,
            prefix,
            params,
        };
        self.open(kind, &Message::SubscribeTracks(message))
    }

    /// Ends a request of either side at once: resets and stops its stream. No event follows.
    ///
    /// A publisher ends a subscription with [`publish_done`](Self::publish_done) where it can.
    ///
    /// # Errors
    ///
    /// [`CallError::UnknownRequest`] when it is over already.
    pub fn cancel(&mut self, id: RequestId, code: ResetCode) -> Result<(), CallError> {
        self.open_request(id)?;
        self.abort(id, code);
        Ok(())
    }

    /// Accepts the peer's SUBSCRIBE and returns the alias under which to send its objects.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn accept_subscribe(
        &mut self,
        id: RequestId,
        answer: SubscribeAnswer,
    ) -> Result<TrackAlias, CallError> {
        let SubscribeAnswer {
            alias,
            params,
            properties,
        } = answer;
        let request = self.open_request(id)?;
        let track = match &request.kind {
            Kind::Subscribe { track, .. } if request.is(Side::Peers, Phase::Pending) => {
                track.clone()
            }
            _ => return Err(CallError::WrongState),
        };
        let chosen = self.choose_alias(alias, &track)?;
        self.write(
            id,
            &Message::SubscribeOk(SubscribeOk {
                alias: chosen,
                params,
                properties,
            }),
        )?;
        let request = self.open_request(id)?;
        request.phase = Phase::Established;
        if let Kind::Subscribe { alias, .. } = &mut request.kind {
            *alias = Some(chosen);
        }
        self.our_aliases.insert(chosen, id);
        Ok(chosen)
    }

    /// Accepts the peer's PUBLISH, TRACK_STATUS, PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE or SUBSCRIBE_TRACKS.
    ///
    /// Accepting a PUBLISH ends a SUBSCRIBE of ours for the same track that is still unanswered.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn accept(&mut self, id: RequestId, ok: RequestOk) -> Result<(), CallError> {
        let draft = self.config.draft;
        let request = self.open_request(id)?;
        if !request.is(Side::Peers, Phase::Pending) {
            return Err(CallError::WrongState);
        }
        let scope = request.ok_scope().ok_or(CallError::WrongState)?;
        let track = match &request.kind {
            Kind::Publish { track, .. } => Some(track.clone()),
            _ => None,
        };
        let is_status = request.kind == Kind::TrackStatus;
        ok.params.check_to_write(draft, scope)?;
        if !is_status && !ok.properties.is_empty() {
            return Err(EncodeError::Value("track properties").into());
        }
        self.check_ranges(&ok.params)?;
        if let Some(track) = track {
            self.give_way(id, &track)?;
        }
        let asked = Parameters {
            filter: ok.params.filter,
            subscriber_priority: ok.params.subscriber_priority,
            forward: ok.params.forward,
            ..Parameters::default()
        };
        if self.answers(id, false) {
            self.write(id, &Message::RequestOk(ok))?;
        }
        if is_status {
            self.finish(id);
        } else {
            let request = self.open_request(id)?;
            request.phase = Phase::Established;
            request.begins(asked.filter);
            request.asked = asked;
        }
        Ok(())
    }

    /// Refuses a request of the peer that is not answered yet.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn reject(&mut self, id: RequestId, error: RequestError) -> Result<(), CallError> {
        let request = self.open_request(id)?;
        if !request.is(Side::Peers, Phase::Pending) {
            return Err(CallError::WrongState);
        }
        self.check_redirect_to_write(&error)?;
        if self.answers(id, true) {
            self.write(id, &Message::RequestError(error))?;
        }
        self.finish(id);
        Ok(())
    }

    /// Ends a subscription that we publish, after all its data streams are closed (PUBLISH_DONE).
    ///
    /// `streams`: how many data streams were opened for it; `None`: not known.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn publish_done(
        &mut self,
        id: RequestId,
        status: PublishDoneCode,
        streams: Option<u64>,
        reason: &str,
    ) -> Result<(), CallError> {
        let request = self.open_request(id)?;
        match (request.side, &request.kind, request.phase) {
            (Side::Peers, Kind::Subscribe { .. }, Phase::Established)
            | (Side::Ours, Kind::Publish { .. }, _) => {}
            _ => return Err(CallError::WrongState),
        }
        let done = PublishDone {
            status,
            streams,
            reason: reason.to_owned(),
        };
        self.write(id, &Message::PublishDone(done))?;
        self.finish(id);
        Ok(())
    }

    /// Tells a peer's SUBSCRIBE_NAMESPACE of a namespace; `suffix` is what follows the prefix. Repeating it is harmless.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn namespace(&mut self, id: RequestId, suffix: Namespace) -> Result<(), CallError> {
        let (full, told) = self.told(id, &suffix)?;
        if !told.insert(full.clone()) {
            return Ok(());
        }
        if self.config.draft.table().layout == Layout::Fields {
            return self.tell_by_offer(id, full);
        }
        self.write(id, &Message::Namespace(suffix))?;
        Ok(())
    }

    /// Takes back what [`namespace`](Self::namespace) told; does nothing when it was never told.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn namespace_done(&mut self, id: RequestId, suffix: Namespace) -> Result<(), CallError> {
        let (full, told) = self.told(id, &suffix)?;
        if !told.remove(&full) {
            return Ok(());
        }
        if self.config.draft.table().layout == Layout::Fields {
            self.withdraw_offer(id, &full);
            return Ok(());
        }
        self.write(id, &Message::NamespaceDone(suffix))?;
        Ok(())
    }

    /// Tells a peer's SUBSCRIBE_TRACKS that a track cannot be published for want of streams (PUBLISH_BLOCKED).
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn publish_blocked(
        &mut self,
        id: RequestId,
        suffix: Namespace,
        name: Bytes,
    ) -> Result<(), CallError> {
        let request = self.open_request(id)?;
        let allowed = request.is(Side::Peers, Phase::Established);
        if !allowed || !matches!(request.kind, Kind::SubscribeTracks { .. }) {
            return Err(CallError::WrongState);
        }
        self.write(
            id,
            &Message::PublishBlocked(PublishBlocked { suffix, name }),
        )?;
        Ok(())
    }

    /// Asks the peer to leave (GOAWAY); new requests of the peer are refused from now on.
    ///
    /// `uri`: where to go, empty for the same, always empty from a client. When requests are still open after `timeout`
    /// (zero: never) the session closes with GOAWAY_TIMEOUT.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; [`CallError::WrongState`] the second time.
    pub fn goaway(&mut self, uri: &str, timeout: Duration, now: Duration) -> Result<(), CallError> {
        self.check_open()?;
        if self.our_goaway.is_some() {
            return Err(CallError::WrongState);
        }
        let goaway = GoAway {
            uri: self.goaway_bytes(uri)?,
            timeout,
            request: Some(self.seen.next()),
        };
        let bytes = self.encode(None, &Message::GoAway(goaway))?;
        self.write_control(bytes);
        let until = (!timeout.is_zero()).then(|| now.saturating_add(timeout));
        self.our_goaway = Some(GoAwaySent { until });
        Ok(())
    }

    /// Asks the peer to move one request (GOAWAY on a request stream); it is reset after `timeout` (zero: never).
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn goaway_request(
        &mut self,
        id: RequestId,
        uri: &str,
        timeout: Duration,
        now: Duration,
    ) -> Result<(), CallError> {
        let uri = self.goaway_bytes(uri)?;
        if self.one_stream.is_some() {
            return Err(EncodeError::NotInDraft("GOAWAY of one request").into());
        }
        if self.open_request(id)?.goaway_sent {
            return Err(CallError::WrongState);
        }
        self.write(
            id,
            &Message::GoAway(GoAway {
                uri,
                timeout,
                request: None,
            }),
        )?;
        let request = self.open_request(id)?;
        request.goaway_sent = true;
        if !timeout.is_zero() {
            let deadline = now.saturating_add(timeout);
            request.deadline = Some(deadline);
            self.deadlines.insert((deadline, id));
        }
        Ok(())
    }

    /// Writes a message on a request's stream; nothing when the peer does not want to hear more.
    pub(super) fn write(&mut self, id: RequestId, message: &Message) -> Result<(), EncodeError> {
        let bytes = self.encode(self.about(id, message).as_ref(), message)?;
        if let Some(request) = self.requests.get(&id)
            && request.sending
        {
            let stream = self.stream_of(request);
            self.put(id, Output::Write(stream, bytes));
        }
        Ok(())
    }

    pub(super) fn open_request(&mut self, id: RequestId) -> Result<&mut Request, CallError> {
        self.check_open()?;
        self.requests.get_mut(&id).ok_or(CallError::UnknownRequest)
    }

    /// Only servers redirect to another URI (section 10.6.1).
    pub(super) fn check_redirect_to_write(&self, error: &RequestError) -> Result<(), CallError> {
        let names_uri = error
            .redirect
            .as_ref()
            .is_some_and(|redirect| !redirect.uri.is_empty());
        if names_uri && self.config.role == Role::Client {
            return Err(CallError::UriFromClient);
        }
        Ok(())
    }

    /// Opens a stream and begins a request on it; `message` carries `next_request`.
    pub(super) fn open(&mut self, kind: Kind, message: &Message) -> Result<RequestId, CallError> {
        self.check_open()?;
        if self.peer_goaway {
            return Err(CallError::GoingAway);
        }
        let open = self.requests.len() - self.peer_requests;
        if open.max(self.waiting_requests()) >= self.config.limits.local_requests_max {
            return Err(CallError::TooMany);
        }
        let bytes = self.encode(None, message)?;
        let id = self.next_request;
        self.next_request.0 += 2;
        let stream = self.has_own_stream(&kind).then(|| self.new_stream());
        let mut outputs = Vec::with_capacity(2);
        if let Some(stream) = stream {
            self.streams
                .insert(stream, Stream::new(StreamRole::Request(id)));
            self.own_streams += 1;
            outputs.push(Output::Open(stream, Direction::Bi));
        }
        let request = Request::new(stream, Side::Ours, kind);
        outputs.push(Output::Write(self.stream_of(&request), bytes));
        self.requests.insert(id, request);
        self.put_request(id, outputs);
        Ok(id)
    }

    fn check_open(&self) -> Result<(), CallError> {
        if self.state == State::Closed {
            Err(CallError::Closed)
        } else {
            Ok(())
        }
    }

    /// Checks that the peer takes these range filters.
    pub(super) fn check_ranges(&self, params: &Parameters) -> Result<(), CallError> {
        let max = self.peer_filter_ranges;
        let ranges_max = usize::try_from(max).unwrap_or(usize::MAX);
        // Those that an update takes away count for nothing.
        let mut filters = Vec::new();
        RangeFilter::update(&mut filters, &params.range_filters);
        match Selector::new(&filters, ranges_max) {
            Ok(_) => Ok(()),
            Err(_invalid) => Err(CallError::TooManyRanges(max)),
        }
    }

    /// Aliases are not used again: late objects must not end up in another track.
    fn choose_alias(
        &mut self,
        wanted: Option<TrackAlias>,
        track: &FullTrackName,
    ) -> Result<TrackAlias, CallError> {
        if let Some(alias) = wanted {
            let user = self.our_aliases.get(&alias);
            let user = user.map(|id| self.requests.get(id).map(|request| &request.kind));
            // Subscriptions to a track may share one in draft 19.
            let shared = self.config.draft.shares_tracks()
                && matches!(
                    user,
                    Some(Some(Kind::Subscribe { track: same, .. } | Kind::Publish { track: same, .. }))
                        if same == track
                );
            return if user.is_some() && !shared {
                Err(CallError::AliasInUse(alias))
            } else {
                Ok(alias)
            };
        }
        while self.our_aliases.contains_key(&TrackAlias(self.next_alias)) {
            self.next_alias = self.next_alias.wrapping_add(1);
        }
        let alias = TrackAlias(self.next_alias);
        self.next_alias = self.next_alias.wrapping_add(1);
        Ok(alias)
    }

    /// Makes room for the peer's PUBLISH of a track that we subscribe to (section 5.1).
    fn give_way(&mut self, publish: RequestId, track: &FullTrackName) -> Result<(), CallError> {
        let Some(ours) = self.subscribing.get(track).copied() else {
            return Ok(());
        };
        if self.config.draft.shares_tracks() {
            return Ok(()); // Both may go on.
        }
        if self.open_request(ours)?.phase == Phase::Established {
            let error = RequestError::new(
                RequestCode::DuplicateSubscription,
                "there is a subscription to this track",
            );
            self.write(publish, &Message::RequestError(error))?;
            self.finish(publish);
            return Err(CallError::Duplicate);
        }
        self.abort(ours, ResetCode::Cancelled);
        self.event(Event::Cancelled {
            id: ours,
            code: Some(ResetCode::Cancelled),
        });
        Ok(())
    }

    /// Returns a namespace with its prefix, and what a peer's SUBSCRIBE_NAMESPACE has been told.
    fn told(
        &mut self,
        id: RequestId,
        suffix: &Namespace,
    ) -> Result<(Namespace, &mut BTreeSet<Namespace>), CallError> {
        let request = self.open_request(id)?;
        let allowed = request.is(Side::Peers, Phase::Established);
        match &mut request.kind {
            Kind::SubscribeNamespace { prefix, told } if allowed => {
                let full = prefix
                    .join(suffix)
                    .map_err(|_| EncodeError::Value("namespace suffix"))?;
                Ok((full, told))
            }
            _ => Err(CallError::WrongState),
        }
    }

    fn goaway_bytes(&self, uri: &str) -> Result<Bytes, CallError> {
        if self.config.role == Role::Client && !uri.is_empty() {
            return Err(CallError::UriFromClient);
        }
        Ok(Bytes::copy_from_slice(uri.as_bytes()))
    }
}
