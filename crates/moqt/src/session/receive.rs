//! Messages from the peer: on its control stream, and on the streams of open requests.

use crate::{
    DecodeError, Envelope, GoAway, Message, Namespace, RequestError, RequestId, RequestOk,
    Selector, SessionCode, Setup, SubscribeOk, TrackProperties,
};

use super::{
    Event, Role, Session, State, StreamRole,
    fault::Fault,
    request::{Kind, Phase, Request, Side},
    setup,
};

impl Session {
    pub(super) fn receive_control(&mut self, envelope: Envelope) -> Result<(), Fault> {
        let opening = matches!(self.state, State::Opening { .. });
        match envelope.message {
            Message::Setup(setup) if opening => self.receive_setup(setup),
            _ if opening => Err(Fault::violation(
                "the first message on a control stream is not SETUP",
            )),
            Message::GoAway(goaway) => self.receive_goaway(goaway),
            Message::Setup(_) => Err(Fault::violation("second SETUP")),
            _ if self.one_stream.is_some() => self.receive_on_control(envelope),
            _ => Err(Fault::violation(
                "a message that does not belong on a control stream",
            )),
        }
    }

    /// Takes a message from a request's own stream.
    pub(super) fn receive_on_stream(
        &mut self,
        id: RequestId,
        envelope: Envelope,
    ) -> Result<(), Fault> {
        match envelope.about {
            // It says the same once more, or which update it answers.
            Some(about) => self.receive_about(&about, envelope.message),
            None => self.receive_on_request(id, envelope.message),
        }
    }

    pub(super) fn receive_on_request(
        &mut self,
        id: RequestId,
        message: Message,
    ) -> Result<(), Fault> {
        let Some(request) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        match message {
            Message::SubscribeOk(ok) => self.receive_subscribe_ok(id, ok),
            Message::FetchOk(ok) => self.receive_fetch_ok(id, ok),
            Message::RequestOk(ok) => self.receive_ok(id, ok),
            Message::RequestError(error) => self.receive_error(id, error),
            Message::RequestUpdate(update) => self.receive_update(id, update),
            Message::PublishDone(done) => {
                let ends = matches!(
                    (request.side, &request.kind, request.phase),
                    (Side::Ours, Kind::Subscribe { .. }, Phase::Established)
                        | (Side::Peers, Kind::Publish { .. }, _)
                );
                if !ends {
                    return Err(Fault::violation("PUBLISH_DONE without a subscription"));
                }
                self.finish(id);
                let (status, streams, reason) = (done.status, done.streams, done.reason);
                self.event(Event::PublishDone {
                    id,
                    status,
                    streams,
                    reason,
                });
                Ok(())
            }
            Message::Namespace(suffix) => self.receive_namespace(id, suffix),
            Message::NamespaceDone(suffix) => {
                let Kind::SubscribeNamespace { prefix, told } = &mut request.kind else {
                    return Err(misplaced());
                };
                if request.side != Side::Ours || !told.remove(&prefix.join(&suffix)?) {
                    return Err(Fault::violation("NAMESPACE_DONE before NAMESPACE"));
                }
                self.event(Event::NamespaceDone { id, suffix });
                Ok(())
            }
            Message::PublishBlocked(blocked) => {
                let allowed = request.is(Side::Ours, Phase::Established);
                if !allowed || !matches!(request.kind, Kind::SubscribeTracks { .. }) {
                    return Err(misplaced());
                }
                self.event(Event::PublishBlocked {
                    id,
                    suffix: blocked.suffix,
                    name: blocked.name,
                });
                Ok(())
            }
            Message::GoAway(goaway) => {
                if core::mem::replace(&mut request.goaway_received, true) {
                    return Err(Fault::violation("second GOAWAY on a request"));
                }
                if goaway.request.is_some() {
                    return Err(Fault::violation(
                        "GOAWAY with a request id on a request's stream",
                    ));
                }
                let uri = self.goaway_uri(&goaway)?;
                self.event(Event::RequestGoAway {
                    id,
                    uri,
                    timeout: goaway.timeout,
                });
                Ok(())
            }
            Message::Unsubscribe => {
                let ends = matches!(
                    (request.side, &request.kind),
                    (Side::Peers, Kind::Subscribe { .. }) | (Side::Ours, Kind::Publish { .. })
                );
                self.receive_end(id, ends)
            }
            Message::FetchCancel => {
                let ends = request.side == Side::Peers;
                self.receive_end(id, ends)
            }
            Message::PublishNamespaceDone => {
                let ends = request.side == Side::Peers;
                self.receive_withdrawal(id, ends)
            }
            Message::PublishNamespaceCancel(_) => {
                let ends = request.side == Side::Ours;
                self.receive_withdrawal(id, ends)
            }
            Message::UnsubscribeNamespace => {
                let ends = request.side == Side::Peers && request.prefix().is_some();
                self.receive_end(id, ends)
            }
            Message::Setup(_)
            | Message::MaxRequestId(_)
            | Message::RequestsBlocked(_)
            | Message::SubscribeBoth(_)
            | Message::Subscribe(_)
            | Message::Publish(_)
            | Message::Fetch(_)
            | Message::TrackStatus(_)
            | Message::PublishNamespace(_)
            | Message::SubscribeNamespace(_)
            | Message::SubscribeTracks(_) => Err(misplaced()),
        }
    }

    /// Tells the application that the namespaces of a SUBSCRIBE_NAMESPACE of ours are gone (section 10.19).
    pub(super) fn tell_namespaces_done(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let Kind::SubscribeNamespace { prefix, told } = &mut request.kind else {
            return;
        };
        if request.side != Side::Ours {
            return;
        }
        let suffixes: Vec<Namespace> = core::mem::take(told)
            .iter()
            .filter_map(|namespace| namespace.strip_prefix(prefix))
            .collect();
        for suffix in suffixes {
            self.event(Event::NamespaceDone { id, suffix });
        }
    }

    fn receive_setup(&mut self, setup: Setup) -> Result<(), Fault> {
        let granted = setup.max_request_id;
        self.peer_filter_ranges = setup.filter_ranges_max.unwrap_or(0);
        // Zero: as many as one likes.
        self.peer_updates_max = setup.request_updates_max.filter(|max| *max > 0);
        let peer = setup::check(&self.config, &mut self.tokens, setup)?;
        self.state = State::Open;
        if self.one_stream.is_some() && self.config.role == Role::Server {
            self.send_setup();
        }
        self.event(Event::Setup(peer));
        self.begin_one_stream(granted);
        // What came early, in the order in which the streams were opened.
        let early = self
            .streams
            .iter()
            .filter(|(_, entry)| entry.role != StreamRole::Control);
        let early: Vec<_> = early.map(|(stream, _)| *stream).collect();
        for stream in early {
            self.process(stream);
        }
        Ok(())
    }

    fn receive_goaway(&mut self, goaway: GoAway) -> Result<(), Fault> {
        if core::mem::replace(&mut self.peer_goaway, true) {
            return Err(Fault::violation("second GOAWAY"));
        }
        let unprocessed = match (goaway.request, &self.one_stream) {
            (Some(request), _) => request,
            // It does not say; what is open may still be answered.
            (None, Some(_)) => self.next_request,
            (None, None) if !self.config.draft.table().goaway_names_request => self.next_request,
            (None, None) => return Err(DecodeError::Truncated("request id of GOAWAY").into()),
        };
        if unprocessed.0 % 2 != self.config.role.parity() {
            return Err(Fault::new(
                SessionCode::InvalidRequestId,
                "GOAWAY names a request of the wrong side",
            ));
        }
        let uri = self.goaway_uri(&goaway)?;
        self.event(Event::GoAway {
            uri,
            timeout: goaway.timeout,
            unprocessed,
        });
        Ok(())
    }

    fn goaway_uri(&self, goaway: &GoAway) -> Result<String, Fault> {
        if self.config.role == Role::Server && !goaway.uri.is_empty() {
            return Err(Fault::violation("a client named a URI in GOAWAY"));
        }
        Ok(String::from_utf8_lossy(&goaway.uri).into_owned())
    }

    fn receive_subscribe_ok(&mut self, id: RequestId, ok: SubscribeOk) -> Result<(), Fault> {
        let Some(request) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        if !request.is(Side::Ours, Phase::Pending) {
            return Err(misplaced());
        }
        let Kind::Subscribe { track, alias } = &mut request.kind else {
            return Err(misplaced());
        };
        *alias = Some(ok.alias);
        request.phase = Phase::Established;
        request.asked.filter = request
            .asked
            .filter
            .map(|filter| filter.after(ok.params.largest_object));
        let track = track.clone();
        self.take_peer_alias(id, ok.alias, &track)?;
        let properties = TrackProperties::read(self.config.draft, &ok.properties)?;
        if let Some(error) = self.not_understood(&properties) {
            self.abort(id, crate::ResetCode::Cancelled);
            self.event(Event::Rejected { id, error });
            return Ok(());
        }
        self.event(Event::SubscribeOk {
            id,
            alias: ok.alias,
            params: ok.params,
            properties: ok.properties,
        });
        Ok(())
    }

    /// REQUEST_OK answers the request itself first, then its updates one after the other.
    fn receive_ok(&mut self, id: RequestId, ok: RequestOk) -> Result<(), Fault> {
        let draft = self.config.draft;
        let Some(request) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        if !request.is(Side::Ours, Phase::Pending) {
            return self.receive_update_ok(id, ok);
        }
        let scope = request.ok_scope().ok_or_else(misplaced)?;
        ok.params.check(draft, scope)?;
        let ranges_max = self.config.limits.filter_ranges_max;
        if let Err(error) = Selector::new(&ok.params.range_filters, ranges_max) {
            // There is no answer to an answer.
            return Err(Fault::violation(error.to_string()));
        }
        request.range_filters.clone_from(&ok.params.range_filters);
        request.phase = Phase::Established;
        request.begins(ok.params.filter);
        if request.is_hidden() {
            return Ok(());
        }
        if request.kind == Kind::TrackStatus {
            TrackProperties::read(draft, &ok.properties)?;
            self.finish(id);
        } else if !ok.properties.is_empty() {
            return Err(Fault::violation("REQUEST_OK with track properties"));
        }
        self.event(Event::Accepted {
            id,
            params: ok.params,
            properties: ok.properties,
        });
        Ok(())
    }

    fn receive_error(&mut self, id: RequestId, error: RequestError) -> Result<(), Fault> {
        let Some(request) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        check_redirect(self.config.role, request, &error)?;
        if request.is(Side::Ours, Phase::Pending) {
            let hidden = request.is_hidden();
            self.finish(id);
            if !hidden {
                self.event(Event::Rejected { id, error });
            }
            return Ok(());
        }
        self.receive_update_error(id, error)
    }

    pub(super) fn receive_update_error(
        &mut self,
        id: RequestId,
        error: RequestError,
    ) -> Result<(), Fault> {
        let Some(request) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        match request.updates_out.pop_front() {
            Some(_) => self.event(Event::UpdateRejected { id, error }),
            None => return Err(misplaced()),
        }
        Ok(())
    }

    /// UNSUBSCRIBE and its like: the peer ends a request.
    fn receive_end(&mut self, id: RequestId, ends: bool) -> Result<(), Fault> {
        if !ends {
            return Err(misplaced());
        }
        self.end_by_peer(id, Some(crate::ResetCode::Cancelled));
        Ok(())
    }

    /// PUBLISH_NAMESPACE_DONE or PUBLISH_NAMESPACE_CANCEL.
    fn receive_withdrawal(&mut self, id: RequestId, ends: bool) -> Result<(), Fault> {
        let Some(Kind::PublishNamespace { namespace, told_to }) =
            self.requests.get(&id).map(|request| request.kind.clone())
        else {
            return Err(misplaced());
        };
        match told_to {
            Some(told_to) if ends => {
                self.forget(id);
                self.receive_told_done(told_to, &namespace);
                Ok(())
            }
            Some(_) | None => self.receive_end(id, ends),
        }
    }

    fn receive_namespace(&mut self, id: RequestId, suffix: Namespace) -> Result<(), Fault> {
        let Some(request) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        if !request.is(Side::Ours, Phase::Established) {
            return Err(misplaced());
        }
        let Kind::SubscribeNamespace { prefix, told } = &mut request.kind else {
            return Err(misplaced());
        };
        told.insert(prefix.join(&suffix)?);
        if told.len() > self.config.limits.namespaces_max {
            self.end_by_us(id, crate::ResetCode::ExcessiveLoad);
            return Ok(());
        }
        self.event(Event::Namespace { id, suffix });
        Ok(())
    }

    /// Ends a request for a reason of our own and tells the application.
    pub(super) fn end_by_us(&mut self, id: RequestId, code: crate::ResetCode) {
        self.tell_namespaces_done(id);
        self.abort(id, code);
        self.event(Event::Cancelled {
            id,
            code: Some(code),
        });
    }
}

pub(super) fn misplaced() -> Fault {
    Fault::violation("a message that does not belong on this request's stream")
}

/// Section 10.6.1.
fn check_redirect(role: Role, request: &Request, error: &RequestError) -> Result<(), Fault> {
    let Some(redirect) = &error.redirect else {
        return Ok(());
    };
    if role == Role::Server && !redirect.uri.is_empty() {
        return Err(Fault::violation("a client redirects to a URI"));
    }
    let names_track = redirect
        .track
        .as_ref()
        .is_some_and(|track| !track.name().is_empty());
    let about_namespace = matches!(
        request.kind,
        Kind::PublishNamespace { .. }
            | Kind::SubscribeNamespace { .. }
            | Kind::SubscribeTracks { .. }
    );
    if names_track && about_namespace {
        return Err(Fault::violation(
            "a request about namespaces redirected to a track",
        ));
    }
    Ok(())
}
