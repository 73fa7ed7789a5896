//! Past objects that another session wants: they are asked of the peer with FETCH and handed over as they come.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    task::{Poll, Waker},
};

use bytes::Bytes;
use moqrelay_moqt::{
    Draft, FetchOptions, FetchRange, FullTrackName, GroupOrder, Location, Parameters, RequestCode,
    RequestError, RequestId, ResetCode,
    data::{FetchCheck, FetchDecoder, FetchHeader, FetchItem},
    translate_properties,
};

use super::Driver;
use crate::track::Span;

/// Payload bytes that wait for whoever asked; beyond, nothing more is read of the stream, so that flow control holds
/// the publisher back.
const WAITING_MAX: usize = 128 << 10;

/// Objects that wait so, however small.
const WAITING_OBJECTS_MAX: usize = 256;

/// Past objects on their way from one session to another.
pub(crate) struct Fill {
    track: FullTrackName,
    span: Span,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answer: Option<FillAnswer>,
    items: VecDeque<FetchItem>,
    bytes: usize,
    end: Option<FillEnd>,
    asker: Option<Waker>,
    feeder: Option<Waker>,
}

/// What FETCH_OK said.
#[derive(Debug, Clone)]
pub(crate) struct FillAnswer {
    pub(crate) end_of_track: bool,
    pub(crate) end: Location,
    pub(crate) properties: Bytes,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(crate) enum FillEnd {
    /// Everything is there.
    Complete,
    /// The publisher refused.
    Refused(RequestError),
    /// The publisher broke off, or is gone.
    Failed,
    /// What it sent cannot be.
    Malformed,
}

/// What there is for the asker.
pub(super) enum News {
    Item(FetchItem),
    End(FillEnd),
}

/// A FETCH of ours.
pub(super) struct Filling {
    fill: Arc<Fill>,
    accepted: bool,
    /// Its stream has ended with FIN.
    finished: bool,
}

/// A stream that answers a FETCH of ours.
pub(super) struct Answering {
    pub(super) request: RequestId,
    decoder: FetchDecoder,
    check: FetchCheck,
    fill: Arc<Fill>,
    draft: Draft,
}

/// What became of the bytes of such a stream.
pub(super) enum Fed {
    /// More are needed.
    Hungry,
    /// The asker has not taken what came before.
    Full,
    /// They break the protocol.
    Broken(moqrelay_moqt::DecodeError),
    /// They are not what was asked for.
    Malformed,
}

impl Fill {
    pub(super) fn new(track: FullTrackName, span: Span) -> Arc<Self> {
        Arc::new(Self {
            track,
            span,
            state: Mutex::default(),
        })
    }

    /// Returns what FETCH_OK said, once it has come.
    pub(super) fn answer(&self) -> Option<FillAnswer> {
        self.state().answer.clone()
    }

    /// Returns what there is; wakes `waker` when there is more.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<News> {
        let mut state = self.state();
        if let Some(item) = state.items.pop_front() {
            state.bytes -= weight(&item);
            let feeder = state.has_room().then(|| state.feeder.take()).flatten();
            drop(state);
            if let Some(feeder) = feeder {
                feeder.wake();
            }
            return Poll::Ready(News::Item(item));
        }
        state.asker = Some(waker.clone());
        match &state.end {
            Some(end) => Poll::Ready(News::End(end.clone())),
            None => Poll::Pending,
        }
    }

    /// Returns how it ended, whatever waits to be taken; wakes `waker` when something happens.
    pub(super) fn poll_end(&self, waker: &Waker) -> Poll<FillEnd> {
        let mut state = self.state();
        state.asker = Some(waker.clone());
        match &state.end {
            Some(end) => Poll::Ready(end.clone()),
            None => Poll::Pending,
        }
    }

    /// Ends it, unless it has ended.
    pub(crate) fn end(&self, end: FillEnd) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        wake(state);
    }

    fn accept(&self, answer: FillAnswer) {
        let mut state = self.state();
        state.answer = Some(answer);
        wake(state);
    }

    /// Hands an item over; false: no more, until `feeder` is woken.
    fn push(&self, item: FetchItem, feeder: &Waker) -> bool {
        let mut state = self.state();
        state.bytes += weight(&item);
        state.items.push_back(item);
        let room = state.has_room();
        if !room {
            state.feeder = Some(feeder.clone());
        }
        wake(state);
        room
    }

    /// Returns whether more may be pushed; if not, `feeder` is woken when it may.
    fn has_room(&self, feeder: &Waker) -> bool {
        let mut state = self.state();
        if !state.has_room() {
            state.feeder = Some(feeder.clone());
        }
        state.has_room()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.bytes < WAITING_MAX && self.items.len() < WAITING_OBJECTS_MAX
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let asker = state.asker.take();
    drop(state);
    if let Some(asker) = asker {
        asker.wake();
    }
}

fn weight(item: &FetchItem) -> usize {
    match item {
        FetchItem::Object(object) => object.payload.len() + object.properties.len(),
        FetchItem::Header(_) | FetchItem::RangeEnd { .. } => 0,
    }
}

impl Answering {
    /// Takes bytes, and hands on what they hold.
    pub(super) fn feed(&mut self, bytes: Option<Bytes>, waker: &Waker) -> Fed {
        if let Some(bytes) = bytes {
            self.decoder.push(bytes);
        }
        if !self.fill.has_room(waker) {
            return Fed::Full;
        }
        loop {
            let mut item = match self.decoder.poll() {
                Ok(Some(item)) => item,
                Ok(None) => return Fed::Hungry,
                Err(error) => return Fed::Broken(error),
            };
            if let Err(error) = self.check.check(&item) {
                tracing::debug!(%error, "the peer answers a FETCH with a malformed track");
                self.fill.end(FillEnd::Malformed);
                return Fed::Malformed;
            }
            if let FetchItem::Object(object) = &mut item {
                match translate_properties(self.draft, Draft::D18, &object.properties) {
                    Ok(properties) => object.properties = properties,
                    Err(error) => return Fed::Broken(error),
                }
            }
            if !self.fill.push(item, waker) {
                return Fed::Full;
            }
        }
    }

    pub(super) fn finish(&self) -> Result<(), moqrelay_moqt::DecodeError> {
        self.decoder.finish()
    }
}

impl Driver {
    /// Asks the peer for past objects because another session wants them.
    pub(super) fn fill(&mut self, fill: Arc<Fill>) {
        if self.no_fetch {
            let error = RequestError::new(RequestCode::NotSupported, "the publisher has no FETCH");
            return fill.end(FillEnd::Refused(error));
        }
        let Span { order, first, last } = fill.span;
        let range = FetchRange::Standalone {
            track: fill.track.clone(),
            start: first,
            end: last.end_after(),
        };
        // Draft 14 would leave it to the publisher.
        let named = order == GroupOrder::Descending || self.machine.draft() == Draft::D14;
        let params = Parameters {
            group_order: named.then_some(order),
            ..Parameters::default()
        };
        match self.machine.fetch(range, FetchOptions { params }) {
            Ok(request) => {
                let filling = Filling {
                    fill,
                    accepted: false,
                    finished: false,
                };
                self.fills.insert(request, filling);
            }
            Err(error) => {
                tracing::debug!(%error, "cannot ask for past objects");
                fill.end(FillEnd::Failed);
            }
        }
    }

    /// Whoever asked wants no more.
    pub(super) fn stop_fill(&mut self, fill: &Arc<Fill>) {
        let found = self
            .fills
            .iter()
            .find(|(_, filling)| Arc::ptr_eq(&filling.fill, fill));
        if let Some(request) = found.map(|(request, _)| *request) {
            self.fills.remove(&request);
            self.cancel(request, ResetCode::Cancelled);
        }
    }

    /// The peer accepted a FETCH of ours.
    pub(super) fn fill_accepted(&mut self, request: RequestId, answer: FillAnswer) {
        if let Some(filling) = self.fills.get_mut(&request) {
            filling.accepted = true;
            filling.fill.accept(answer);
            self.finish_fill(request);
        }
    }

    /// The peer refused a FETCH of ours; false: it was no FETCH.
    pub(super) fn fill_refused(&mut self, request: RequestId, error: &RequestError) -> bool {
        let Some(filling) = self.fills.remove(&request) else {
            return false;
        };
        self.no_fetch |= error.code == RequestCode::NotSupported;
        filling.fill.end(FillEnd::Refused(error.clone()));
        true
    }

    /// A FETCH of ours ended without a further word; false: it was no FETCH.
    pub(super) fn fill_cancelled(&mut self, request: RequestId) -> bool {
        let filling = self.fills.remove(&request);
        if let Some(filling) = &filling {
            filling.fill.end(FillEnd::Failed);
        }
        filling.is_some()
    }

    /// Returns what reads a stream that answers a FETCH of ours; `None`: nobody wants it.
    pub(super) fn answering(&self, header: FetchHeader) -> Option<Answering> {
        let filling = self.fills.get(&header.id)?;
        let Span { order, first, last } = filling.fill.span;
        Some(Answering {
            request: header.id,
            decoder: FetchDecoder::new(self.machine.draft(), order, self.object_limits()),
            check: FetchCheck::new(order, Some(first), Some(last.end_after())),
            fill: filling.fill.clone(),
            draft: self.machine.draft(),
        })
    }

    /// A stream that answers a FETCH of ours has ended.
    pub(super) fn fill_stream_ended(&mut self, request: RequestId, complete: bool) {
        let Some(filling) = self.fills.get_mut(&request) else {
            return;
        };
        if complete {
            filling.finished = true;
            return self.finish_fill(request);
        }
        self.fill_cancelled(request);
        self.cancel(request, ResetCode::Cancelled);
    }

    /// Nothing more comes from this session.
    pub(super) fn end_fills(&mut self) {
        for (_, filling) in std::mem::take(&mut self.fills) {
            filling.fill.end(FillEnd::Failed);
        }
    }

    fn finish_fill(&mut self, request: RequestId) {
        let done = |filling: &Filling| filling.accepted && filling.finished;
        if !self.fills.get(&request).is_some_and(done) {
            return;
        }
        if let Some(filling) = self.fills.remove(&request) {
            filling.fill.end(FillEnd::Complete);
        }
        // It is accepted: it cannot fail.
        drop(self.machine.finish_fetch(request));
    }
}
