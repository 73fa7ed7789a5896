//! FETCHes of the peer: answered from the cache, and from the publisher where the cache has gaps.
//!
//! An answer is written as the connection takes it. It holds a small batch of objects at a time and no place in any
//! log, so that a slow one costs nobody anything.

mod begin;
mod said;
mod serving;
mod work;

use std::{
    sync::{Arc, Mutex},
    task::Wake,
    time::{Duration, Instant},
};

use bytes::Bytes;
use moqrelay_moqt::{
    Draft, FetchAnswer, FetchRange, FullTrackName, GroupOrder, Location, Parameters, RequestCode,
    RequestError, RequestId, ResetCode,
    data::{Absence, FetchEncoder},
};

use super::{
    Driver, Due, Stream, access::Need, control::wire_code, fill::Fill, selection::Selection,
    signal::StreamBell,
};
use crate::{
    table::SessionId,
    track::{Cache, Span},
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

    /// A FETCH of the peer is over before it is answered; false: the request is none.
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
