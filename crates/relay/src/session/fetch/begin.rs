//! How a FETCH begins: standalone, or joined to a subscription.

use std::{
    task::Wake,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use moqrelay_moqt::{
    AuthToken, Draft, FetchAnswer, FetchRange, FullTrackName, GroupOrder, Location, Parameters,
    RequestCode, RequestError, RequestId, ResetCode, TrackProperties,
    data::{FetchEncoder, FetchHeader},
};

use super::{
    Channel, FILLS_MAX, Joining, PRIORITY_DEFAULT, RETRY_AFTER, Serving, priority, span_end,
};
use crate::{
    session::{
        Driver, Due, Stream,
        access::{Need, Right},
        selection::Selection,
        signal::StreamBell,
    },
    table::Found,
    track::{Span, lock},
};

impl Driver {
    /// Answers a FETCH.
    pub(in crate::session) fn fetch(
        &mut self,
        id: RequestId,
        range: FetchRange,
        params: Parameters,
        tokens: &[AuthToken],
    ) {
        if self.fetching.len() + self.joins.len() >= self.limits.fetches {
            let error = RequestError::new(RequestCode::ExcessiveLoad, "too many FETCHes");
            return self.reject_with(id, error.retry_after(RETRY_AFTER));
        }
        let namespace = match &range {
            FetchRange::Standalone { track, .. } => track.namespace().clone(),
            FetchRange::RelativeJoining { subscription, .. }
            | FetchRange::AbsoluteJoining { subscription, .. } => {
                let slot = self.subscribed.get(subscription);
                let joined = slot.and_then(|slot| self.subscriptions.get(*slot));
                match joined {
                    Some(joined) => joined.track.name.namespace().clone(),
                    None => return self.reject_join(id),
                }
            }
        };
        match self.check(tokens, Need::Subscribe, &namespace) {
            Ok(right) => self.start_fetch(id, range, params, right),
            Err(error) => self.reject_with(id, *error),
        }
    }

    fn start_fetch(&mut self, id: RequestId, range: FetchRange, params: Parameters, right: Right) {
        self.lend(id, right);
        match range {
            FetchRange::Standalone { track, start, end } => {
                self.serve(id, &track, start, end.last_before_end(), &params);
            }
            range => {
                self.joins.push(Joining {
                    request: id,
                    range,
                    params,
                });
                // It is joined before the session rests.
            }
        }
    }

    /// Answers FETCHes whose subscription is answered, and refuses those whose subscription is over.
    pub(in crate::session) fn join_waiting(&mut self) {
        if self.joins.is_empty() {
            return;
        }
        for joining in std::mem::take(&mut self.joins) {
            self.join(joining);
        }
        self.carry_out();
    }

    fn join(&mut self, joining: Joining) {
        let (subscription, relative) = match joining.range {
            FetchRange::RelativeJoining {
                subscription,
                groups,
            } => (subscription, Ok(groups)),
            FetchRange::AbsoluteJoining {
                subscription,
                group,
            } => (subscription, Err(group)),
            FetchRange::Standalone { .. } => return,
        };
        let id = joining.request;
        let slot = self.subscribed.get(&subscription);
        let Some(joined) = slot.and_then(|slot| self.subscriptions.get(*slot)) else {
            return self.reject_join(id);
        };
        let Some(active) = joined.active() else {
            return self.joins.push(joining); // The publisher has not answered.
        };
        if !joined.wanted.forward {
            return self.reject_fetch(id, "the subscription does not forward");
        }
        let Some(last) = active.joining else {
            return self.reject_fetch(id, "nothing was published before the subscription");
        };
        let group = match relative {
            Ok(groups) => last.group.saturating_sub(groups),
            Err(group) if group > last.group => {
                return self.reject_fetch(id, "the range begins after the subscription");
            }
            Err(group) => group,
        };
        let name = joined.track.name.clone();
        self.serve(id, &name, Location::new(group, 0), last, &joining.params);
    }

    fn serve(
        &mut self,
        id: RequestId,
        name: &FullTrackName,
        first: Location,
        last: Location,
        params: &Parameters,
    ) {
        let mut found = self.shared.find_past(name, self.id);
        let order = params.group_order.unwrap_or(match self.machine.draft() {
            // Who names no order leaves it to the publisher (draft-14 section 9.16).
            Draft::D14 => preference(&found),
            _ => GroupOrder::Ascending,
        });
        let span = Span { order, first, last };
        let patience = params
            .fill_timeout
            .unwrap_or(self.limits.fill)
            .min(self.limits.fill);
        if patience.is_zero() {
            found.upstream = None;
        }
        let largest = match &found.live {
            Some((_, largest)) => *largest,
            None => known_largest(&found, &span),
        };
        match largest {
            Some(largest) if first > largest => {
                self.reject_fetch(id, "the range begins after the largest object");
            }
            Some(largest) => {
                let last = last.min(largest);
                let span = Span { last, ..span };
                let slot = self.add_serving(id, name, span, &found, patience, params);
                let answer = answer_of(&found, span.last);
                self.accept_serving(slot, answer);
            }
            None if found.live.is_some() => {
                self.reject_fetch(id, "nothing was published");
            }
            None if found.upstream.is_some() => {
                // Whoever publishes the track knows where it ends.
                let slot = self.add_serving(id, name, span, &found, patience, params);
                self.ask_upstream(slot);
            }
            None => {
                self.forget_lent(id);
                self.reject(id, RequestCode::DoesNotExist, "nobody publishes this track");
            }
        }
    }

    fn add_serving(
        &mut self,
        request: RequestId,
        name: &FullTrackName,
        span: Span,
        found: &Found,
        patience: Duration,
        params: &Parameters,
    ) -> u32 {
        let slot = self.streams.reserve();
        let cache_is_new = found.cache.is_none();
        let cache = match &found.cache {
            Some(cache) => cache.clone(),
            None => self.shared.new_cache(name),
        };
        let draft = self.machine.draft();
        let encoder = FetchEncoder::new(draft, span.order);
        let mut header = BytesMut::new();
        encoder.header(FetchHeader { id: request }, &mut header);
        let deadline = Instant::now() + patience;
        let default_priority = lock(&cache).default_priority();
        let serving = Serving {
            request,
            bell: StreamBell::new(self.signal.clone(), slot),
            name: name.clone(),
            cache,
            cache_is_new,
            upstream: found.upstream,
            span,
            next: Some(span.begin()),
            accepted: false,
            held: None,
            fill: None,
            fills_left: FILLS_MAX,
            deadline,
            encoder,
            stream: Channel::Opening(self.transport.open_uni()),
            priority: priority(params.subscriber_priority.unwrap_or(PRIORITY_DEFAULT)),
            rest: vec![header.freeze()],
            rest_bytes: 0,
            gap: None,
            unsayable: false,
            has_objects: false,
            selection: Selection::new(&params.range_filters),
            draft,
            unknown_to: None,
            default_priority,
        };
        if found.upstream.is_some() {
            self.timers.set(deadline, Due::Fill(request));
        }
        self.fetching.insert(request, slot);
        self.streams.put(slot, Stream::Fetch(Box::new(serving)));
        slot
    }

    fn accept_serving(&mut self, slot: u32, answer: FetchAnswer) {
        let Some(Stream::Fetch(mut serving)) = self.streams.take(slot) else {
            return;
        };
        let (request, bell) = (serving.request, serving.bell.clone());
        let said = self.say_accepted(&mut serving, answer);
        self.streams.put(slot, Stream::Fetch(serving));
        if said.is_err() {
            return self.drop_fetch(request, ResetCode::InternalError);
        }
        bell.wake_by_ref();
    }

    fn ask_upstream(&mut self, slot: u32) {
        let Some(Stream::Fetch(mut serving)) = self.streams.take(slot) else {
            return;
        };
        let span = serving.span;
        self.ask_for(&mut serving, span, span_end(&span));
        serving.bell.wake_by_ref();
        self.streams.put(slot, Stream::Fetch(serving));
    }
}

/// Returns the order that the publisher prefers.
fn preference(found: &Found) -> GroupOrder {
    let properties = answer_of(found, Location::default()).properties;
    TrackProperties::read(Draft::D18, &properties)
        .map(|known| known.group_order)
        .unwrap_or_default()
}

/// Returns the largest location of a track that nobody publishes to us now, if that is all there is to know: nobody can
/// be asked, or everything that is wanted is there.
fn known_largest(found: &Found, span: &Span) -> Option<Location> {
    let cache = lock(found.cache.as_ref()?);
    let largest = cache.largest()?;
    if found.upstream.is_none() {
        return Some(largest);
    }
    let here = span.last <= largest && cache.last_unknown(span, span.begin()).is_none();
    here.then_some(largest)
}

/// FETCH_OK for an answer that ends with `last`.
fn answer_of(found: &Found, last: Location) -> FetchAnswer {
    let kept = found.cache.as_ref().map(|cache| {
        let cache = lock(cache);
        (cache.live().cloned(), cache.end())
    });
    let (kept, end) = kept.unwrap_or_default();
    let live = found.live.as_ref().map(|(live, _)| live.clone()).or(kept);
    FetchAnswer {
        end_of_track: end.is_some_and(|end| end <= last.end_after()),
        end: last.end_after(),
        properties: live.map(|live| live.properties.clone()).unwrap_or_default(),
        ..FetchAnswer::default()
    }
}
