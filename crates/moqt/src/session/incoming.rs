//! The peer's new requests: what the session refuses by itself, and what the application hears of.

use core::ops::ControlFlow;

use crate::{
    AuthToken, FullTrackName, Message, Namespace, Parameters, Publish, RequestCode, RequestError,
    RequestId, Selector, SessionCode, StreamId, Subscribe, SubscribePrefix, TokenError, TrackAlias,
    TrackProperties,
};

use crate::collections::BTreeSet;
use crate::draft::Layout;

use super::{
    Event, Session, StreamRole,
    fault::Fault,
    request::{Kind, Phase, Request, Side},
};

/// Goes on with a request, or refuses it.
type Verdict = ControlFlow<RequestError>;

impl Session {
    pub(super) fn receive_first(
        &mut self,
        stream: Option<StreamId>,
        message: Message,
    ) -> Result<(), Fault> {
        self.check_own_stream(stream, &message)?;
        match message {
            Message::Subscribe(subscribe) => self.receive_subscribe(stream, subscribe),
            Message::Publish(publish) => self.receive_publish(stream, publish),
            Message::TrackStatus(status) => self.receive_track_status(stream, status),
            Message::Fetch(fetch) => self.receive_fetch(stream, fetch),
            Message::PublishNamespace(request) => self.receive_offer(stream, request),
            Message::SubscribeNamespace(SubscribePrefix { id, prefix, params }) => {
                let kind = Kind::SubscribeNamespace {
                    prefix: prefix.clone(),
                    told: BTreeSet::new(),
                };
                if let Some((_, tokens)) = self.admit_prefix(stream, id, kind, &prefix, params)? {
                    self.event(Event::SubscribeNamespace { id, prefix, tokens });
                }
                Ok(())
            }
            Message::SubscribeBoth(SubscribePrefix { id, prefix, params }) => {
                let kind = Kind::SubscribeNamespace {
                    prefix: prefix.clone(),
                    told: BTreeSet::new(),
                };
                let Some((params, tokens)) =
                    self.admit_prefix(stream, id, kind, &prefix, params)?
                else {
                    return Ok(());
                };
                let half = self.add_half(id, prefix.clone());
                self.event(Event::SubscribeNamespace {
                    id,
                    prefix: prefix.clone(),
                    tokens: tokens.clone(),
                });
                if let Some(id) = half {
                    self.event(Event::SubscribeTracks {
                        id,
                        prefix,
                        params,
                        tokens,
                    });
                }
                Ok(())
            }
            Message::SubscribeTracks(SubscribePrefix { id, prefix, params }) => {
                let kind = Kind::SubscribeTracks {
                    prefix: prefix.clone(),
                };
                if let Some((params, tokens)) =
                    self.admit_prefix(stream, id, kind, &prefix, params)?
                {
                    self.event(Event::SubscribeTracks {
                        id,
                        prefix,
                        params,
                        tokens,
                    });
                }
                Ok(())
            }
            Message::Setup(_)
            | Message::GoAway(_)
            | Message::SubscribeOk(_)
            | Message::PublishDone(_)
            | Message::FetchOk(_)
            | Message::Namespace(_)
            | Message::NamespaceDone(_)
            | Message::PublishBlocked(_)
            | Message::RequestUpdate(_)
            | Message::RequestOk(_)
            | Message::RequestError(_)
            | Message::MaxRequestId(_)
            | Message::RequestsBlocked(_)
            | Message::Unsubscribe
            | Message::FetchCancel
            | Message::PublishNamespaceDone
            | Message::PublishNamespaceCancel(_)
            | Message::UnsubscribeNamespace => {
                Err(Fault::violation("a stream does not begin with a request"))
            }
        }
    }

    /// Notes a request id of the peer.
    pub(super) fn take_request_id(&mut self, id: RequestId) -> Result<(), Fault> {
        self.check_request_id(id)?;
        if self.seen.insert(id) {
            return Ok(());
        }
        Err(Fault::new(
            SessionCode::InvalidRequestId,
            format!("request id {id} is used or of the wrong side"),
        ))
    }

    /// Takes the tokens out of parameters and resolves them; the inner error refuses the request.
    pub(super) fn resolve_tokens(
        &mut self,
        params: &mut Parameters,
    ) -> Result<Result<Vec<AuthToken>, RequestError>, Fault> {
        let mut tokens: Vec<AuthToken> = Vec::new();
        let mut refused = None;
        // All of them, even after one that is refused: registrations count in any case (section 10.2.2).
        for token in core::mem::take(&mut params.authorization) {
            match self.tokens.resolve(token) {
                Ok(Some(token)) if tokens.contains(&token) => {
                    refused = Some(RequestError::new(
                        RequestCode::MalformedAuthToken,
                        "the same token twice",
                    ));
                }
                Ok(Some(token)) => tokens.push(token),
                Ok(None) => {}
                Err(TokenError::Request(code, reason)) => {
                    refused = Some(RequestError::new(code, reason))
                }
                Err(error @ TokenError::Session(..)) => return Err(error.into()),
            }
        }
        Ok(refused.map_or(Ok(tokens), Err))
    }

    /// Notes what the peer calls a track (section 11.1).
    pub(super) fn take_peer_alias(
        &mut self,
        id: RequestId,
        alias: TrackAlias,
        track: &FullTrackName,
    ) -> Result<(), Fault> {
        if let Some(other) = self
            .peer_aliases
            .get(&alias)
            .and_then(|other| self.requests.get(other))
        {
            let same = match &other.kind {
                Kind::Subscribe { track: other, .. } | Kind::Publish { track: other, .. } => {
                    other == track
                }
                _ => false,
            };
            if !same {
                let reason = format!("track alias {alias} stands for two tracks");
                return Err(Fault::new(SessionCode::DuplicateTrackAlias, reason));
            }
        }
        self.peer_aliases.insert(alias, id);
        Ok(())
    }

    /// Refuses tracks with mandatory properties that the application does not understand (section 2.5.1).
    pub(super) fn not_understood(&self, properties: &TrackProperties) -> Option<RequestError> {
        let understood = &self.config.mandatory_properties;
        let unknown = properties
            .mandatory
            .iter()
            .find(|property| !understood.contains(property))?;
        let reason = format!("mandatory track property {unknown:#x} is not understood");
        Some(RequestError::new(RequestCode::UnsupportedExtension, reason))
    }

    fn receive_subscribe(
        &mut self,
        stream: Option<StreamId>,
        subscribe: Subscribe,
    ) -> Result<(), Fault> {
        let Subscribe { id, track, params } = subscribe;
        let kind = Kind::Subscribe {
            track: track.clone(),
            alias: None,
        };
        let Some((params, tokens)) =
            self.admit(stream, id, kind, params, Some(track.namespace()))?
        else {
            return Ok(());
        };
        if self.publishing.contains_key(&track) && !self.config.draft.shares_tracks() {
            self.refuse(id, duplicate());
            return Ok(());
        }
        if let Some(request) = self.requests.get_mut(&id) {
            request.begins(params.filter);
        }
        self.publishing.insert(track.clone(), id);
        self.event(Event::Subscribe {
            id,
            track,
            params,
            tokens,
        });
        Ok(())
    }

    fn receive_publish(&mut self, stream: Option<StreamId>, publish: Publish) -> Result<(), Fault> {
        let Publish {
            id,
            track,
            alias,
            params,
            properties,
        } = publish;
        let kind = Kind::Publish {
            track: track.clone(),
            alias,
        };
        let Some((params, tokens)) =
            self.admit(stream, id, kind, params, Some(track.namespace()))?
        else {
            return Ok(());
        };
        let read = TrackProperties::read(self.config.draft, &properties)?;
        let established = self
            .subscribing
            .get(&track)
            .and_then(|ours| self.requests.get(ours));
        let established = established.is_some_and(|ours| ours.phase == Phase::Established);
        let duplicate_of = established || self.offered.contains_key(&track);
        if duplicate_of && !self.config.draft.shares_tracks() {
            self.refuse(id, duplicate());
            return Ok(());
        }
        self.take_peer_alias(id, alias, &track)?;
        self.offered.insert(track.clone(), id);
        if let Some(error) = self.not_understood(&read) {
            self.refuse(id, error);
            return Ok(());
        }
        self.event(Event::Publish {
            id,
            track,
            alias,
            params,
            properties,
            tokens,
        });
        Ok(())
    }

    /// Until draft 16 only SUBSCRIBE_NAMESPACE has a stream of its own, until draft 14 nothing.
    fn check_own_stream(&self, stream: Option<StreamId>, message: &Message) -> Result<(), Fault> {
        let about_prefix = matches!(
            message,
            Message::SubscribeNamespace(_)
                | Message::SubscribeTracks(_)
                | Message::SubscribeBoth(_)
        );
        let allowed = match self.config.draft.table().layout {
            Layout::Typed => true,
            Layout::Pairs => stream.is_none() || about_prefix,
            Layout::Fields => stream.is_none(),
        };
        if allowed {
            return Ok(());
        }
        Err(Fault::violation(
            "a bidirectional stream beside the control stream",
        ))
    }

    fn receive_offer(
        &mut self,
        stream: Option<StreamId>,
        request: SubscribePrefix,
    ) -> Result<(), Fault> {
        let SubscribePrefix {
            id,
            prefix: namespace,
            params,
        } = request;
        let told_to = self.asked_for(&namespace);
        let kind = Kind::PublishNamespace {
            namespace: namespace.clone(),
            told_to,
        };
        let Some((_, tokens)) = self.admit(stream, id, kind, params, Some(&namespace))? else {
            return Ok(());
        };
        match told_to {
            Some(told_to) => self.receive_told(id, told_to, &namespace),
            None => {
                self.event(Event::PublishNamespace {
                    id,
                    namespace,
                    tokens,
                });
                Ok(())
            }
        }
    }

    fn receive_track_status(
        &mut self,
        stream: Option<StreamId>,
        status: Subscribe,
    ) -> Result<(), Fault> {
        let Subscribe { id, track, params } = status;
        let admitted = self.admit(
            stream,
            id,
            Kind::TrackStatus,
            params,
            Some(track.namespace()),
        )?;
        if let Some((params, tokens)) = admitted {
            self.event(Event::TrackStatus {
                id,
                track,
                params,
                tokens,
            });
        }
        Ok(())
    }

    fn admit_prefix(
        &mut self,
        stream: Option<StreamId>,
        id: RequestId,
        kind: Kind,
        prefix: &Namespace,
        params: Parameters,
    ) -> Result<Option<(Parameters, Vec<AuthToken>)>, Fault> {
        let overlaps = self.overlaps(Side::Peers, &kind, prefix, None);
        let admitted = self.admit(stream, id, kind, params, Some(prefix))?;
        if admitted.is_some() && overlaps {
            self.refuse(
                id,
                RequestError::new(RequestCode::PrefixOverlap, "overlapping prefix"),
            );
            return Ok(None);
        }
        Ok(admitted)
    }

    /// Opens a request of the peer; `None`: it was refused. Returns its parameters, and its tokens apart from them.
    pub(super) fn admit(
        &mut self,
        stream: Option<StreamId>,
        id: RequestId,
        kind: Kind,
        mut params: Parameters,
        namespace: Option<&Namespace>,
    ) -> Result<Option<(Parameters, Vec<AuthToken>)>, Fault> {
        self.take_request_id(id)?;
        let tokens = self.resolve_tokens(&mut params)?;
        let verdict = self.judge(namespace);
        let ranges_max = self.config.limits.filter_ranges_max;
        let filters = Selector::new(&params.range_filters, ranges_max).map_err(RequestError::from);
        if let Some(entry) = stream.and_then(|stream| self.streams.get_mut(&stream)) {
            entry.role = StreamRole::Request(id);
            self.own_streams += 1;
        }
        let mut request = Request::new(stream, Side::Peers, kind);
        request.range_filters.clone_from(&params.range_filters);
        self.requests.insert(id, request);
        self.peer_requests += 1;
        self.grant_requests(self.config.limits.peer_requests_max as u64 / 2 + 1);
        match (tokens, verdict, filters) {
            (Ok(tokens), Verdict::Continue(()), Ok(_)) => Ok(Some((params, tokens))),
            (Err(error), _, _)
            | (Ok(_), Verdict::Break(error), _)
            | (Ok(_), Verdict::Continue(()), Err(error)) => {
                self.refuse(id, error);
                Ok(None)
            }
        }
    }

    fn judge(&self, namespace: Option<&Namespace>) -> Verdict {
        if self.our_goaway.is_some() {
            return Verdict::Break(RequestError::new(RequestCode::GoingAway, "going away"));
        }
        if self.peer_requests >= self.config.limits.peer_requests_max {
            let error = RequestError::new(RequestCode::ExcessiveLoad, "too many open requests");
            return Verdict::Break(error.retry_after(RETRY_AFTER));
        }
        // Nothing is defined below `.session` yet, and nothing ever below `.` (section 3.2).
        if namespace
            .is_some_and(|namespace| namespace.is_forbidden() || namespace.is_session_level())
        {
            return Verdict::Break(RequestError::new(
                RequestCode::DoesNotExist,
                "reserved namespace",
            ));
        }
        Verdict::Continue(())
    }

    /// Refuses a request of the peer that the application has not seen.
    pub(super) fn refuse(&mut self, id: RequestId, error: RequestError) {
        // The errors made here are short, so writing them cannot fail.
        match self.write(id, &Message::RequestError(error)) {
            Ok(()) => self.finish(id),
            Err(_) => self.abort(id, crate::ResetCode::InternalError),
        }
    }
}

/// What a peer with too many requests should wait: long enough for some of them to end.
const RETRY_AFTER: core::time::Duration = core::time::Duration::from_secs(1);

fn duplicate() -> RequestError {
    RequestError::new(
        RequestCode::DuplicateSubscription,
        "there is a subscription to this track",
    )
}
