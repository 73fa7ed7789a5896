//! REQUEST_UPDATE in both directions.

use crate::{
    About, AuthToken, EncodeError, Message, Namespace, Parameters, PublishDone, PublishDoneCode,
    RangeFilter, RequestCode, RequestError, RequestId, RequestOk, RequestUpdate, Scope, Selector,
    SessionCode, draft::Layout,
};

use super::{
    CallError, Event, Output, Session,
    fault::Fault,
    receive::misplaced,
    request::{Kind, Phase, Request, Side, Update},
};

impl Session {
    /// Changes an open request (REQUEST_UPDATE): one of ours, or a subscription that the peer began with PUBLISH.
    /// Answer: [`Event::Updated`] or [`Event::UpdateRejected`], in the order of the updates.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn update(&mut self, id: RequestId, params: Parameters) -> Result<(), CallError> {
        let updates_max = self.config.limits.updates_max;
        let request = self.open_request(id)?;
        let scope = request
            .update_scope(Side::Ours)
            .ok_or(CallError::WrongState)?;
        if !request.sending {
            return Err(CallError::WrongState);
        }
        let waiting = request.updates_out.len();
        let theirs_max = self.peer_updates_max;
        if waiting >= updates_max || theirs_max.is_some_and(|max| waiting as u64 >= max) {
            return Err(CallError::TooMany);
        }
        self.check_ranges(&params)?;
        let request = self.open_request(id)?;
        let kind = request.kind.clone();
        params.check_to_write(self.config.draft, scope)?;
        if self.config.draft.table().layout == Layout::Fields {
            return self.update_fields(id, params);
        }
        let prefix = params.prefix.clone();
        if let Some(prefix) = &prefix
            && self.overlaps(Side::Ours, &kind, prefix, Some(id))
        {
            return Err(CallError::Duplicate);
        }
        let update = self.next_request;
        let message = Message::RequestUpdate(RequestUpdate { id: update, params });
        self.encode(self.about(id, &message).as_ref(), &message)?;
        self.note_update(id, update)?;
        self.write(id, &message)?;
        self.next_request.0 += 2;
        let request = self.open_request(id)?;
        request.updates_out.push_back(Update { id: update, prefix });
        Ok(())
    }

    /// SUBSCRIBE_UPDATE of draft 14: it says everything anew, nobody answers it, and it changes subscriptions only.
    fn update_fields(&mut self, id: RequestId, params: Parameters) -> Result<(), CallError> {
        let request = self.open_request(id)?;
        if !matches!(request.kind, Kind::Subscribe { .. } | Kind::Publish { .. }) {
            return Err(EncodeError::NotInDraft("update of such a request").into());
        }
        let asked = &request.asked;
        let merged = Parameters {
            filter: params.filter.or(asked.filter),
            subscriber_priority: params.subscriber_priority.or(asked.subscriber_priority),
            forward: params.forward.or(asked.forward),
            ..params
        };
        let kept = Parameters {
            filter: merged.filter,
            subscriber_priority: merged.subscriber_priority,
            forward: merged.forward,
            ..Parameters::default()
        };
        let update = self.next_request;
        let message = Message::RequestUpdate(RequestUpdate {
            id: update,
            params: merged,
        });
        self.encode(self.about(id, &message).as_ref(), &message)?;
        self.note_update(id, update)?;
        self.write(id, &message)?;
        self.next_request.0 += 2;
        self.open_request(id)?.asked = kept;
        self.event(Event::Updated {
            id,
            params: Parameters::default(),
        });
        Ok(())
    }

    /// Writes the answer to the oldest unanswered update of the peer, where it is answered.
    fn answer_update(&mut self, id: RequestId, message: &Message) -> Result<(), EncodeError> {
        let update = self
            .requests
            .get(&id)
            .and_then(|request| request.updates_in.front());
        let about = match (&self.one_stream, update) {
            (Some(_), Some(_)) if self.config.draft.table().layout == Layout::Fields => {
                return Ok(());
            }
            (Some(_), Some(update)) => Some(About::Request {
                id: update.id,
                kind: None,
            }),
            (Some(_), None) | (None, _) => None,
        };
        let bytes = self.encode(about.as_ref(), message)?;
        if let Some(request) = self.requests.get(&id)
            && request.sending
        {
            let stream = self.stream_of(request);
            self.put(id, Output::Write(stream, bytes));
        }
        Ok(())
    }

    /// Forgets what only the updates of a request that is over are known by.
    pub(super) fn forget_updates(&mut self, request: &Request) {
        if let Some(one) = &mut self.one_stream {
            for update in &request.updates_out {
                one.forget_update(update.id);
            }
        }
    }

    /// Accepts the oldest unanswered REQUEST_UPDATE of a request.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; [`CallError::WrongState`] when there is none.
    pub fn accept_update(&mut self, id: RequestId, params: Parameters) -> Result<(), CallError> {
        self.check_update(id)?;
        params.check_to_write(self.config.draft, Scope::UpdateOk)?;
        self.answer_update(
            id,
            &Message::RequestOk(RequestOk {
                params,
                ..RequestOk::default()
            }),
        )?;
        let request = self.open_request(id)?;
        if let Some(prefix) = request
            .updates_in
            .pop_front()
            .and_then(|update| update.prefix)
        {
            request.set_prefix(prefix);
        }
        Ok(())
    }

    /// Refuses the oldest unanswered REQUEST_UPDATE of a request.
    ///
    /// A publisher must then end the subscription: close its streams and call [`publish_done`](Self::publish_done) with
    /// [`PublishDoneCode::UpdateFailed`]. Requests about namespaces end by themselves.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; [`CallError::WrongState`] when there is none.
    pub fn reject_update(&mut self, id: RequestId, error: RequestError) -> Result<(), CallError> {
        self.check_update(id)?;
        self.check_redirect_to_write(&error)?;
        self.answer_update(id, &Message::RequestError(error))?;
        let request = self.open_request(id)?;
        request.updates_in.pop_front();
        // Section 10.10.1: the responder closes the stream.
        if !matches!(request.kind, Kind::Subscribe { .. } | Kind::Publish { .. }) {
            self.finish(id);
        }
        Ok(())
    }

    pub(super) fn receive_update(
        &mut self,
        id: RequestId,
        update: RequestUpdate,
    ) -> Result<(), Fault> {
        self.take_request_id(update.id)?;
        let updates_max = self.config.limits.updates_max;
        let Some(request) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        let scope = request.update_scope(Side::Peers).ok_or_else(misplaced)?;
        update.params.check(self.config.draft, scope)?;
        request.updates_in.push_back(Update {
            id: update.id,
            prefix: update.params.prefix.clone(),
        });
        if request.updates_in.len() > updates_max {
            let code = if self.config.draft.shares_tracks() {
                SessionCode::TooManyRequestUpdates
            } else {
                SessionCode::InternalError
            };
            return Err(Fault::new(code, "too many unanswered updates"));
        }
        let kind = request.kind.clone();
        let mut params = update.params;
        let publishes = request.side == Side::Peers && matches!(kind, Kind::Publish { .. });
        if publishes && !params.range_filters.is_empty() {
            return Err(Fault::violation("a publisher filters its own track"));
        }
        let mut filters = request.range_filters.clone();
        RangeFilter::update(&mut filters, &params.range_filters);
        let ranges_max = self.config.limits.filter_ranges_max;
        let filtered = Selector::new(&filters, ranges_max);
        if filtered.is_ok() {
            request.range_filters = filters;
        }
        let tokens = match self.resolve_tokens(&mut params)? {
            Ok(tokens) => tokens,
            Err(error) => {
                self.fail_update(id, error);
                return Ok(());
            }
        };
        match filtered {
            Ok(_) => self.accept_or_refuse_prefix(id, &kind, params, tokens),
            Err(error) => self.fail_update(id, error.into()),
        }
        Ok(())
    }

    pub(super) fn receive_update_ok(&mut self, id: RequestId, ok: RequestOk) -> Result<(), Fault> {
        let Some(request) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        let Some(Update { prefix, .. }) = request.updates_out.pop_front() else {
            return Err(misplaced());
        };
        ok.params.check(self.config.draft, Scope::UpdateOk)?;
        if !ok.properties.is_empty() {
            return Err(Fault::violation("REQUEST_UPDATE_OK with track properties"));
        }
        if let Some(prefix) = prefix {
            request.set_prefix(prefix);
        }
        self.event(Event::Updated {
            id,
            params: ok.params,
        });
        Ok(())
    }

    /// Returns true when a prefix overlaps with another request of the same kind and side (section 10.19).
    pub(super) fn overlaps(
        &self,
        side: Side,
        kind: &Kind,
        prefix: &Namespace,
        except: Option<RequestId>,
    ) -> bool {
        self.requests.iter().any(|(id, request)| {
            Some(*id) != except
                && request.side == side
                && (self.one_stream.is_some() || request.same_prefix_kind(kind))
                && request.prefix().is_some_and(|other| other.overlaps(prefix))
        })
    }

    fn accept_or_refuse_prefix(
        &mut self,
        id: RequestId,
        kind: &Kind,
        params: Parameters,
        tokens: Vec<AuthToken>,
    ) {
        match &params.prefix {
            Some(prefix) if self.overlaps(Side::Peers, kind, prefix, Some(id)) => {
                self.fail_update(
                    id,
                    RequestError::new(RequestCode::PrefixOverlap, "overlapping prefix"),
                );
            }
            Some(_) | None => self.event(Event::Update { id, params, tokens }),
        }
    }

    /// Refuses an update that the application never sees, and ends the request (section 10.10.1).
    fn fail_update(&mut self, id: RequestId, error: RequestError) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let unanswered = request.is(Side::Peers, Phase::Pending);
        // The answers to what came before are still missing, so this one has no place yet: end the request by reset.
        if unanswered || request.updates_in.len() > 1 {
            self.abort(id, crate::ResetCode::Cancelled);
        } else {
            let publisher = matches!(
                (request.side, &request.kind),
                (Side::Peers, Kind::Subscribe { .. }) | (Side::Ours, Kind::Publish { .. })
            );
            // What we write here is always short enough.
            let mut written = self.answer_update(id, &Message::RequestError(error));
            if publisher && written.is_ok() {
                let status = PublishDoneCode::UpdateFailed;
                let done = PublishDone {
                    status,
                    streams: None,
                    reason: "update failed".to_owned(),
                };
                written = self.write(id, &Message::PublishDone(done));
            }
            match written {
                Ok(()) => self.finish(id),
                Err(_) => self.abort(id, crate::ResetCode::InternalError),
            }
        }
        self.event(Event::Cancelled {
            id,
            code: Some(crate::ResetCode::Cancelled),
        });
    }

    fn check_update(&mut self, id: RequestId) -> Result<(), CallError> {
        let request = self.open_request(id)?;
        let answered = !request.is(Side::Peers, Phase::Pending);
        if answered && !request.updates_in.is_empty() {
            Ok(())
        } else {
            Err(CallError::WrongState)
        }
    }
}
