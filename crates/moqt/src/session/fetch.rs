//! FETCH in both directions (sections 5.3, 10.13 and 10.14).
//!
//! Data streams do not pass through the session, so whoever owns them says when an answer is complete.

use crate::{
    Fetch, FetchOk, FetchRange, Location, Message, RequestCode, RequestError, RequestId, ResetCode,
    StreamId, TrackProperties, VarInt, draft::Layout,
};

use super::{
    CallError, Event, FetchAnswer, FetchOptions, Session,
    fault::Fault,
    receive::misplaced,
    request::{Kind, Phase, Side},
};

impl Session {
    /// Asks for objects that were published already (FETCH). Answer: [`Event::FetchOk`] or [`Event::Rejected`], and a
    /// stream whose [`FetchHeader`](crate::data::FetchHeader) has the id; either may come first.
    ///
    /// When the stream has ended and [`Event::FetchOk`] is there, call [`finish_fetch`](Self::finish_fetch). To give up,
    /// [`cancel`](Self::cancel) and stop the stream.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; a range that ends before it starts, or the join of a request that is no subscription to a
    /// track of the peer (up to draft 16: from the largest object on), is [`CallError::WrongState`].
    pub fn fetch(
        &mut self,
        range: FetchRange,
        options: FetchOptions,
    ) -> Result<RequestId, CallError> {
        let FetchOptions { params } = options;
        let range = self.within_varints(range);
        self.check_ranges(&params)?;
        let start = match &range {
            FetchRange::Standalone { start, end, .. } => {
                if end.last_before_end() < *start {
                    return Err(CallError::WrongState);
                }
                Some(*start)
            }
            FetchRange::RelativeJoining { subscription, .. } => {
                self.check_joins(Side::Ours, *subscription)?;
                None
            }
            FetchRange::AbsoluteJoining {
                subscription,
                group,
            } => {
                self.check_joins(Side::Ours, *subscription)?;
                Some(Location::new(*group, 0))
            }
        };
        let message = Message::Fetch(Fetch {
            id: self.next_request,
            range,
            params,
        });
        self.open(Kind::Fetch { start }, &message)
    }

    /// Accepts the peer's FETCH. Its objects may be sent before.
    ///
    /// When the data stream has ended, call [`finish_fetch`](Self::finish_fetch). When it cannot be finished, reset it
    /// and [`cancel`](Self::cancel) the request.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn accept_fetch(&mut self, id: RequestId, answer: FetchAnswer) -> Result<(), CallError> {
        let FetchAnswer {
            end_of_track,
            end,
            mut params,
            properties,
        } = answer;
        if self.config.draft.table().layout != Layout::Fields {
            params.group_order = None;
        }
        let request = self.open_request(id)?;
        if !request.is(Side::Peers, Phase::Pending) || !matches!(request.kind, Kind::Fetch { .. }) {
            return Err(CallError::WrongState);
        }
        let ok = FetchOk {
            end_of_track,
            end,
            params,
            properties,
        };
        self.write(id, &Message::FetchOk(ok))?;
        self.open_request(id)?.phase = Phase::Established;
        Ok(())
    }

    /// Forgets an accepted FETCH of either side whose data stream has ended.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; [`CallError::WrongState`] when it is not accepted yet.
    pub fn finish_fetch(&mut self, id: RequestId) -> Result<(), CallError> {
        let request = self.open_request(id)?;
        if request.phase != Phase::Established || !matches!(request.kind, Kind::Fetch { .. }) {
            return Err(CallError::WrongState);
        }
        self.finish(id);
        Ok(())
    }

    pub(super) fn receive_fetch(
        &mut self,
        stream: Option<StreamId>,
        fetch: Fetch,
    ) -> Result<(), Fault> {
        let Fetch { id, range, params } = fetch;
        let (namespace, start, joins) = match &range {
            FetchRange::Standalone { track, start, .. } => {
                (Some(track.namespace()), Some(*start), None)
            }
            FetchRange::RelativeJoining { subscription, .. } => (None, None, Some(*subscription)),
            FetchRange::AbsoluteJoining {
                subscription,
                group,
            } => {
                let start = Location::new(*group, 0);
                (None, Some(start), Some(*subscription))
            }
        };
        let Some((params, tokens)) =
            self.admit(stream, id, Kind::Fetch { start }, params, namespace)?
        else {
            return Ok(());
        };
        if let Some(subscription) = joins
            && self.joins_another_filter(subscription)
        {
            return Err(Fault::violation(
                "a FETCH joins a subscription whose filter is not Largest Object",
            ));
        }
        if let Some(error) = self.refusal(&range, joins) {
            self.refuse(id, error);
            return Ok(());
        }
        self.event(Event::Fetch {
            id,
            range,
            params,
            tokens,
        });
        Ok(())
    }

    pub(super) fn receive_fetch_ok(&mut self, id: RequestId, ok: FetchOk) -> Result<(), Fault> {
        let Some(request) = self.requests.get_mut(&id) else {
            return Ok(());
        };
        let Kind::Fetch { start } = request.kind else {
            return Err(misplaced());
        };
        if !request.is(Side::Ours, Phase::Pending) {
            return Err(misplaced());
        }
        if start.is_some_and(|start| ok.end.last_before_end() < start) {
            return Err(Fault::violation("FETCH_OK ends before the FETCH starts"));
        }
        request.phase = Phase::Established;
        let properties = TrackProperties::read(self.config.draft, &ok.properties)?;
        if let Some(error) = self.not_understood(&properties) {
            self.abort(id, ResetCode::Cancelled);
            self.event(Event::Rejected { id, error });
            return Ok(());
        }
        self.event(Event::FetchOk {
            id,
            end_of_track: ok.end_of_track,
            end: ok.end,
            params: ok.params,
            properties: ok.properties,
        });
        Ok(())
    }

    /// Ends a range where ids end: what is beyond cannot exist in this draft.
    fn within_varints(&self, mut range: FetchRange) -> FetchRange {
        let max = VarInt::max(self.config.draft.varint());
        if let FetchRange::Standalone { end, .. } = &mut range {
            if end.group > max {
                *end = Location::new(max, 0);
            } else if end.object > max {
                end.object = 0;
            }
        }
        range
    }

    /// What is wrong with the peer's FETCH whatever the track holds.
    fn refusal(&self, range: &FetchRange, joins: Option<RequestId>) -> Option<RequestError> {
        if let Some(subscription) = joins {
            let unknown = self.check_joins(Side::Peers, subscription).is_err();
            return unknown.then(|| {
                RequestError::new(
                    RequestCode::InvalidJoiningRequestId,
                    "no such subscription to join",
                )
            });
        }
        match range {
            FetchRange::Standalone { start, end, .. } if end.last_before_end() < *start => Some(
                RequestError::new(RequestCode::InvalidRange, "the range ends before it starts"),
            ),
            _ => None,
        }
    }

    /// Up to draft 16 only subscriptions from the largest object on can be joined (section 9.16.2).
    fn joins_another_filter(&self, subscription: RequestId) -> bool {
        let joined = self.requests.get(&subscription);
        self.one_stream.is_some() && joined.is_some_and(|joined| joined.begins_elsewhere)
    }

    /// Checks that a request is a subscription of that side: its own SUBSCRIBE, or the other side's PUBLISH once it is
    /// accepted (section 10.13.2).
    fn check_joins(&self, subscriber: Side, subscription: RequestId) -> Result<(), CallError> {
        let request = self.requests.get(&subscription);
        let request = request.ok_or(CallError::UnknownRequest)?;
        let joinable = match request.kind {
            _ if self.joins_another_filter(subscription) => false,
            Kind::Subscribe { .. } => request.side == subscriber,
            Kind::Publish { .. } => {
                request.side != subscriber && request.phase == Phase::Established
            }
            _ => false,
        };
        joinable.then_some(()).ok_or(CallError::WrongState)
    }
}
