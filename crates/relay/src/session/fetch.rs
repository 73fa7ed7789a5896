//! FETCHes of the peer: answered from the cache, and from the publisher where the cache has gaps.
//!
//! An answer is written as the connection takes it. It holds a small batch of objects at a time and no place in any
//! log, so that a slow one costs nobody anything.

mod said;
mod serving;

use std::{
    sync::{Arc, Mutex},
    task::{Poll, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    AuthToken, Draft, FetchAnswer, FetchRange, FullTrackName, GroupOrder, Location, Parameters,
    RequestCode, RequestError, RequestId, ResetCode, TrackProperties,
    data::{Absence, FetchEncoder, FetchHeader},
};

use super::{
    Driver, Due, Stream,
    access::{Need, Right},
    control::wire_code,
    fill::{Fill, FillAnswer, FillEnd, News},
    selection::Selection,
    signal::StreamBell,
};
use crate::{
    table::{Found, SessionId},
    track::{Cache, Piece, Span, lock},
    transport::{OpeningUni, SendStream},
};

/// Objects taken from the cache before others have their turn.
const BATCH: usize = 256;

/// Payload bytes taken so, not counting the last object's.
const BATCH_BYTES: usize = 64 << 10;

/// Payloads up to this size are copied behind their header: a chunk of its own costs more.
const COPIED_PAYLOAD: usize = 1024;

/// Times that one FETCH may ask the publisher. The first time asks for every gap that is known then; others appear
/// only when objects are evicted meanwhile.
const FILLS_MAX: usize = 4;

/// Priority of a FETCH whose requester names none (draft-18 section 10.2.7).
const PRIORITY_DEFAULT: u8 = 128;

/// What a requester with too many FETCHes should wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A FETCH that is being answered.
pub(super) struct Serving {
    request: RequestId,
    bell: Arc<StreamBell>,
    name: FullTrackName,
    cache: Arc<Mutex<Cache>>,
    /// Nobody knows the cache yet.
    cache_is_new: bool,
    /// Who can be asked for what is missing.
    upstream: Option<SessionId>,
    span: Span,
    /// What comes next; `None`: everything has been written.
    next: Option<Location>,
    /// Until the end is known nothing is written.
    accepted: bool,
    /// FETCH_OK that waits for the first object: draft 14 refuses what turns out to be empty.
    held: Option<FetchAnswer>,
    fill: Option<Filled>,
    fills_left: usize,
    deadline: Instant,
    encoder: FetchEncoder,
    stream: Channel,
    priority: i32,
    /// What the connection did not take yet.
    rest: Vec<Bytes>,
    rest_bytes: usize,
    /// A gap that is not written yet.
    gap: Option<(Absence, Location)>,
    /// A gap that the draft has no way to write: the answer must break off.
    unsayable: bool,
    has_objects: bool,
    selection: Selection,
    draft: Draft,
    /// The publisher does not know what is from `next` up to here. The cache may.
    unknown_to: Option<Location>,
    default_priority: u8,
}

/// What the publisher is asked for.
struct Filled {
    session: SessionId,
    fill: Arc<Fill>,
    /// The last location of it.
    last: Location,
}

enum Channel {
    Opening(OpeningUni),
    Open(SendStream),
}

/// A FETCH that joins a subscription which is not answered yet.
pub(super) struct Joining {
    request: RequestId,
    range: FetchRange,
    params: Parameters,
}

/// What is to become of an answer after it was worked on.
enum Outcome {
    /// It waits for the connection, for the publisher, or for its next turn.
    Open,
    /// Everything is written.
    Done,
    /// It cannot go on.
    Failed(ResetCode),
    /// The requester must hear of it.
    Refused(Box<RequestError>),
}

impl Driver {
    /// Answers a FETCH.
    pub(super) fn fetch(
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
    pub(super) fn join_waiting(&mut self) {
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

    fn ask_for(&mut self, serving: &mut Serving, span: Span, last: Location) {
        let Some(session) = serving.upstream else {
            return;
        };
        let fill = Fill::new(serving.name.clone(), span);
        self.shared.ask_past(session, fill.clone());
        serving.fills_left -= 1;
        serving.fill = Some(Filled {
            session,
            fill,
            last,
        });
    }

    /// Lets an answer go on.
    pub(super) fn poll_fetch(&mut self, slot: u32, mut serving: Box<Serving>) {
        serving.bell.silence();
        let outcome = match serving.flush() {
            Poll::Pending => Outcome::Open,
            Poll::Ready(Err(_unwanted)) => Outcome::Failed(ResetCode::Cancelled),
            Poll::Ready(Ok(())) => self.work(&mut serving),
        };
        let request = serving.request;
        match outcome {
            Outcome::Open => self.streams.put(slot, Stream::Fetch(serving)),
            Outcome::Done => {
                serving.finish();
                self.forget_fetch(slot, &serving);
                if let Err(error) = self.machine.finish_fetch(request) {
                    tracing::debug!(%error, "cannot finish a FETCH");
                }
            }
            Outcome::Failed(code) => {
                serving.reset(wire_code(self.machine.draft(), code));
                self.forget_fetch(slot, &serving);
                self.cancel(request, code);
            }
            Outcome::Refused(error) => {
                serving.reset(wire_code(self.machine.draft(), ResetCode::Cancelled));
                self.forget_fetch(slot, &serving);
                self.reject_with(request, *error);
            }
        }
    }

    /// Makes the next batch, and writes what the connection takes of it.
    fn work(&mut self, serving: &mut Serving) -> Outcome {
        let outcome = if let Some(until) = serving.unknown_to {
            self.work_on_unknown(serving, until)
        } else if serving.fill.is_some() {
            self.work_on_fill(serving)
        } else {
            self.work_on_cache(serving)
        };
        let outcome = match outcome {
            Outcome::Open | Outcome::Done => self.say_late(serving, outcome),
            Outcome::Failed(_) | Outcome::Refused(_) => outcome,
        };
        if !matches!(outcome, Outcome::Open | Outcome::Done) {
            return outcome;
        }
        match serving.flush() {
            Poll::Ready(Ok(())) => outcome,
            Poll::Pending => Outcome::Open,
            Poll::Ready(Err(_unwanted)) => Outcome::Failed(ResetCode::Cancelled),
        }
    }

    fn work_on_cache(&mut self, serving: &mut Serving) -> Outcome {
        let Some(from) = serving.next else {
            serving.end();
            return Outcome::Done;
        };
        let mut pieces = Vec::new();
        let span = serving.span;
        let next = {
            let mut cache = lock(&serving.cache);
            cache.collect(&span, from, BATCH, BATCH_BYTES, Instant::now(), &mut pieces)
        };
        let mut from = from;
        for piece in pieces {
            let last = match piece {
                Piece::Object(object) => {
                    self.shared.meters().cache_hits.add(1);
                    serving.object(&object);
                    object.location()
                }
                Piece::Gap {
                    absence: Absence::NonExistent,
                    last,
                } => {
                    serving.absent(Absence::NonExistent, last);
                    last
                }
                Piece::Gap {
                    absence: Absence::Unknown,
                    last,
                } => {
                    self.shared.meters().cache_misses.add(1);
                    if self.ask_for_gaps(serving, from) {
                        serving.next = Some(from);
                        serving.bell.wake_by_ref();
                        return Outcome::Open;
                    }
                    serving.absent(Absence::Unknown, last);
                    last
                }
            };
            from = span.after(last).unwrap_or(last);
        }
        serving.next = next;
        if next.is_none() {
            serving.end();
            return Outcome::Done;
        }
        serving.bell.wake_by_ref(); // There is more: others first.
        Outcome::Open
    }

    /// Writes what the cache has of what the publisher does not know.
    fn work_on_unknown(&mut self, serving: &mut Serving, until: Location) -> Outcome {
        let span = serving.span;
        let mut pieces = Vec::new();
        let mut next = serving.next;
        if let Some(from) = next {
            let mut cache = lock(&serving.cache);
            next = cache.collect(&span, from, BATCH, BATCH_BYTES, Instant::now(), &mut pieces);
        }
        let beyond = |at: Location| span.is_before(until, at);
        for piece in pieces {
            match piece {
                Piece::Object(object) if beyond(object.location()) => {
                    next = span.after(until);
                    break;
                }
                Piece::Object(object) => {
                    self.shared.meters().cache_hits.add(1);
                    serving.object(&object);
                }
                Piece::Gap { absence, last } if beyond(last) => {
                    serving.absent(absence, until);
                    next = span.after(until);
                    break;
                }
                Piece::Gap { absence, last } => serving.absent(absence, last),
            }
        }
        serving.next = next;
        if next.is_none_or(beyond) {
            serving.unknown_to = None;
            if serving.fill.as_ref().is_some_and(|fill| fill.last == until) {
                self.stop_filling(serving);
                return self.go_on_after_fill(serving, next);
            }
        }
        if next.is_none() {
            self.stop_filling(serving);
            serving.end();
            return Outcome::Done;
        }
        serving.bell.wake_by_ref(); // There is more: others first.
        Outcome::Open
    }

    /// Asks the publisher for what is not known from `from` on; false: nobody can be asked.
    fn ask_for_gaps(&mut self, serving: &mut Serving, from: Location) -> bool {
        let late = Instant::now() >= serving.deadline;
        if serving.upstream.is_none() || serving.fills_left == 0 || late {
            return false;
        }
        let span = serving.span;
        let Some(last) = lock(&serving.cache).last_unknown(&span, from) else {
            return false;
        };
        let wanted = match span.order {
            GroupOrder::Ascending => Span {
                first: from,
                last,
                ..span
            },
            // Whole groups: the parts that are not wanted are left out when they come.
            GroupOrder::Descending => Span {
                first: Location::new(last.group, 0).max(span.first),
                last: Location::new(from.group, span.high(from.group)),
                ..span
            },
        };
        self.ask_for(serving, wanted, last);
        true
    }

    fn work_on_fill(&mut self, serving: &mut Serving) -> Outcome {
        let Some(Filled { fill, last, .. }) = &serving.fill else {
            return Outcome::Open;
        };
        let (fill, last) = (fill.clone(), *last);
        if !serving.accepted {
            match self.accept_filled(serving, &fill) {
                Ok(true) => {}
                Ok(false) => return Outcome::Open,
                Err(outcome) => return outcome,
            }
        }
        // The end of the track may have turned out to be nearer.
        let end = span_end(&serving.span);
        let last = if serving.span.is_before(end, last) {
            end
        } else {
            last
        };
        let waker = Waker::from(serving.bell.clone());
        for _ in 0..BATCH {
            let full = serving.rest_bytes >= BATCH_BYTES;
            if full || serving.next.is_none() || serving.unknown_to.is_some() {
                break;
            }
            match fill.poll(&waker) {
                Poll::Pending => return Outcome::Open,
                Poll::Ready(News::Item(item)) => {
                    if serving.take_in(&item, last) {
                        self.stop_filling(serving);
                        let next = serving.span.after(last);
                        return self.go_on_after_fill(serving, next);
                    }
                }
                Poll::Ready(News::End(FillEnd::Malformed)) => {
                    serving.fill = None;
                    return Outcome::Failed(ResetCode::MalformedTrack);
                }
                Poll::Ready(News::End(end)) => {
                    serving.fill = None;
                    let Some(answer) = said_at_end(&fill, &end, last) else {
                        // What it did not say the cache may have, here and there.
                        serving.upstream = None;
                        let next = serving.next;
                        return self.go_on_after_fill(serving, next);
                    };
                    let next = serving.fill_ended(&answer, last);
                    return self.go_on_after_fill(serving, next);
                }
            }
        }
        if serving.next.is_none() {
            self.stop_filling(serving);
            serving.end();
            return Outcome::Done;
        }
        serving.bell.wake_by_ref();
        Outcome::Open
    }

    /// Sends FETCH_OK once the publisher has; false: it has not.
    fn accept_filled(&mut self, serving: &mut Serving, fill: &Arc<Fill>) -> Result<bool, Outcome> {
        let waker = Waker::from(serving.bell.clone());
        let Some(answer) = fill.answer() else {
            return match fill.poll_end(&waker) {
                Poll::Pending => Ok(false),
                Poll::Ready(FillEnd::Refused(error)) => Err(Outcome::Refused(Box::new(error))),
                Poll::Ready(FillEnd::Complete | FillEnd::Failed | FillEnd::Malformed) => {
                    let reason = "the publisher broke off";
                    let error = RequestError::new(RequestCode::InternalError, reason);
                    Err(Outcome::Refused(Box::new(error)))
                }
            };
        };
        serving.accepted = true;
        let last = answer.end.last_before_end().min(serving.span.last);
        serving.span.last = last;
        serving.next = Some(serving.span.begin());
        let accepted = FetchAnswer {
            end_of_track: answer.end_of_track,
            end: last.end_after(),
            properties: answer.properties,
            ..FetchAnswer::default()
        };
        self.shared.meters().cache_misses.add(1);
        match self.say_accepted(serving, accepted) {
            Ok(()) => Ok(true),
            Err(_said) => Err(Outcome::Failed(ResetCode::InternalError)),
        }
    }

    fn go_on_after_fill(&mut self, serving: &mut Serving, next: Option<Location>) -> Outcome {
        serving.next = next;
        if std::mem::take(&mut serving.cache_is_new) {
            self.shared.keep_past(&serving.name, &serving.cache);
        }
        serving.bell.wake_by_ref();
        Outcome::Open
    }

    fn stop_filling(&mut self, serving: &mut Serving) {
        if let Some(Filled { session, fill, .. }) = serving.fill.take() {
            self.shared.stop_past(session, fill);
        }
    }

    /// The publisher took too long.
    pub(super) fn fill_overdue(&mut self, request: RequestId) {
        let Some(slot) = self.fetching.get(&request).copied() else {
            return;
        };
        let Some(Stream::Fetch(mut serving)) = self.streams.take(slot) else {
            return;
        };
        serving.upstream = None;
        if serving.accepted {
            // The cache may have what comes after the gap.
            self.stop_filling(&mut serving);
            serving.bell.wake_by_ref();
            return self.streams.put(slot, Stream::Fetch(serving));
        }
        serving.reset(wire_code(self.machine.draft(), ResetCode::Cancelled));
        self.forget_fetch(slot, &serving);
        let error = RequestError::new(RequestCode::Timeout, "the publisher did not answer in time");
        self.reject_with(request, error);
    }

    /// Changes the priority of an answer; false: the request is no FETCH.
    pub(super) fn change_fetch(&mut self, request: RequestId, params: &Parameters) -> bool {
        let Some(slot) = self.fetching.get(&request) else {
            return false;
        };
        if let Some(Stream::Fetch(serving)) = self.streams.get_mut(*slot)
            && let Some(subscriber) = params.subscriber_priority
        {
            serving.prioritise(priority(subscriber));
        }
        true
    }

    /// A FETCH of the peer is over before it is answered; false: the request is none.
    /// Returns the FETCHes to whose tracks there is no right any more. One that waits for the subscription that it
    /// joins ends with it.
    pub(super) fn fetches_without_right(&self) -> Vec<RequestId> {
        let served = self.fetching.iter();
        let served = served.filter(|(_, slot)| match self.streams.get(**slot) {
            Some(Stream::Fetch(serving)) => {
                !self.has_right(Need::Subscribe, serving.name.namespace())
            }
            _no_fetch => false,
        });
        served.map(|(id, _)| *id).collect()
    }

    pub(super) fn fetch_cancelled(&mut self, request: RequestId) -> bool {
        let joins = self.joins.len();
        self.joins.retain(|joining| joining.request != request);
        if self.joins.len() < joins {
            return true;
        }
        let is_fetch = self.fetching.contains_key(&request);
        self.drop_fetch(request, ResetCode::Cancelled);
        is_fetch
    }

    fn drop_fetch(&mut self, request: RequestId, code: ResetCode) {
        let Some(slot) = self.fetching.get(&request).copied() else {
            return;
        };
        if let Some(Stream::Fetch(mut serving)) = self.streams.take(slot) {
            serving.reset(wire_code(self.machine.draft(), code));
            self.forget_fetch(slot, &serving);
        }
    }

    fn forget_fetch(&mut self, slot: u32, serving: &Serving) {
        if let Some(Filled { session, fill, .. }) = &serving.fill {
            self.shared.stop_past(*session, fill.clone());
        }
        self.timers
            .cancel(serving.deadline, Due::Fill(serving.request));
        self.forget_lent(serving.request);
        self.fetching.remove(&serving.request);
        self.streams.release(slot);
    }

    fn reject_join(&mut self, id: RequestId) {
        self.forget_lent(id);
        let code = RequestCode::InvalidJoiningRequestId;
        self.reject(id, code, "no such subscription to join");
    }

    fn reject_fetch(&mut self, id: RequestId, reason: &str) {
        self.forget_lent(id);
        self.reject(id, RequestCode::InvalidRange, reason);
    }
}

/// Returns what the publisher said of the whole range that it was asked for, once it has ended.
fn said_at_end(fill: &Fill, end: &FillEnd, last: Location) -> Option<FillAnswer> {
    match end {
        FillEnd::Complete => fill.answer(),
        // Draft 14 refuses where later drafts answer with nothing.
        FillEnd::Refused(error) if error.code == RequestCode::NoObjects => Some(FillAnswer {
            end_of_track: false,
            end: last.end_after(),
            properties: Bytes::new(),
        }),
        FillEnd::Refused(_) | FillEnd::Failed | FillEnd::Malformed => None,
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

/// The last location of a span in its order.
fn span_end(span: &Span) -> Location {
    match span.order {
        GroupOrder::Ascending => span.last,
        GroupOrder::Descending => Location::new(span.first.group, span.high(span.first.group)),
    }
}

/// Of the same subscriber priority, what is past goes after everything that is live; otherwise that priority counts
/// (draft-18 section 7.2). The scale is that of subgroups.
fn priority(subscriber: u8) -> i32 {
    i32::from(u8::MAX - subscriber) << 22
}
