//! One answer to a FETCH: what is taken in from the publisher, and what is written.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    Draft, EncodeError, GroupOrder, Location,
    data::{Absence, FetchItem, FetchObject},
    translate_properties,
};

use super::{COPIED_PAYLOAD, Channel, Serving};
use crate::{
    session::fill::{Fill, FillAnswer},
    table::SessionId,
    track::{self, Object, lock},
    transport::WriteError,
};

impl Serving {
    /// Returns how urgent it is that the stream goes on.
    pub(in crate::session) fn urgency(&self) -> i32 {
        self.priority
    }

    /// Wants no more of the publisher; for sessions that end.
    pub(in crate::session) fn abandon(&mut self) -> Option<(SessionId, Arc<Fill>)> {
        let filled = self.fill.take()?;
        Some((filled.session, filled.fill))
    }

    pub(super) fn prioritise(&mut self, priority: i32) {
        self.priority = priority;
        if let Channel::Open(stream) = &self.stream {
            stream.set_priority(priority);
        }
    }

    /// Writes what the connection takes of `rest`.
    pub(super) fn flush(&mut self) -> Poll<Result<(), WriteError>> {
        let waker = Waker::from(self.bell.clone());
        let mut cx = Context::from_waker(&waker);
        if let Channel::Opening(opening) = &mut self.stream {
            match opening.poll(&mut cx) {
                Poll::Ready(Some(stream)) => {
                    stream.set_priority(self.priority);
                    self.stream = Channel::Open(stream);
                }
                Poll::Ready(None) => return Poll::Ready(Err(WriteError::Lost)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let Channel::Open(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        let written = stream.poll_write(&mut cx, &mut self.rest);
        self.rest.retain(|chunk| !chunk.is_empty());
        self.rest_bytes = self.rest.iter().map(Bytes::len).sum();
        written
    }

    pub(super) fn finish(&mut self) {
        if let Channel::Open(stream) = &mut self.stream {
            stream.finish();
        }
    }

    pub(super) fn reset(&mut self, code: u32) {
        if let Channel::Open(stream) = &mut self.stream {
            stream.reset(code);
        }
    }

    /// Takes in what the publisher sent, up to `last`; true: that has been passed.
    pub(super) fn take_in(&mut self, item: &FetchItem, last: Location) -> bool {
        let (Some(at), Some(next)) = (item.location(), self.next) else {
            return false;
        };
        if self.span.is_before(at, next) {
            return false; // Not asked for, or there already.
        }
        let beyond = self.span.is_before(last, at);
        match item {
            FetchItem::Header(_) => {}
            FetchItem::Object(object) => {
                self.learn(next, at);
                if beyond {
                    self.absent(Absence::NonExistent, last);
                    return true;
                }
                let object = Object {
                    group: at.group,
                    id: at.object,
                    subgroup: object.subgroup,
                    priority: Some(object.priority),
                    properties: object.properties.clone(),
                    payload: object.payload.clone(),
                    ..Object::default()
                };
                lock(&self.cache).insert(&object, None, Instant::now());
                self.object(&object);
            }
            FetchItem::RangeEnd { absence, .. } => {
                let until = if beyond { last } else { at };
                if *absence == Absence::Unknown {
                    self.unknown_to = Some(until);
                    return false; // What the cache has of it comes first.
                }
                if self.span.order == GroupOrder::Ascending {
                    lock(&self.cache).learn_absent(next, until);
                }
                self.absent(*absence, until);
                if beyond {
                    return true;
                }
            }
        }
        self.next = self.span.after(at);
        at == last
    }

    /// Notes that nothing exists from `next` to before `at`.
    fn learn(&self, next: Location, at: Location) {
        let one_way = self.span.order == GroupOrder::Ascending || next.group == at.group;
        if one_way && next < at {
            lock(&self.cache).learn_absent(next, track::location_before(at));
        }
    }

    /// The publisher has said all that it has of what was asked for up to `last`. Returns what comes next.
    pub(super) fn fill_ended(&mut self, answer: &FillAnswer, last: Location) -> Option<Location> {
        let next = self.next?;
        let one_way = self.span.order == GroupOrder::Ascending;
        let all = if one_way {
            answer.end.last_before_end().min(last)
        } else {
            last
        };
        let mut goes_on = Some(next);
        if next <= all || !one_way {
            self.absent(Absence::NonExistent, all);
            if one_way {
                lock(&self.cache).learn_absent(next, all);
            }
            goes_on = self.span.after(all);
        }
        if all < last && one_way {
            self.unknown_to = Some(last);
        }
        goes_on
    }

    /// Adds an object to what is to be written.
    pub(super) fn object(&mut self, object: &Object) {
        match self.gap {
            Some((Absence::Unknown, _)) => self.write_gap(),
            Some((Absence::NonExistent, _)) | None => self.gap = None, // It goes without saying.
        }
        let Ok(properties) = translate_properties(Draft::D18, self.draft, &object.properties)
        else {
            return tracing::debug!("an object's properties cannot be read");
        };
        self.has_objects = true;
        let object = FetchObject {
            location: object.location(),
            subgroup: object.subgroup,
            priority: object.priority.unwrap_or(self.default_priority),
            properties,
            payload: object.payload.clone(),
        };
        if !self.selection.passes_fetched(&object) {
            return;
        }
        let mut bytes = BytesMut::new();
        if let Err(error) = self.encoder.object(&object, &mut bytes) {
            tracing::debug!(%error, "an object is not in order");
            return;
        }
        self.rest_bytes += object.payload.len();
        if object.payload.len() <= COPIED_PAYLOAD {
            bytes.extend_from_slice(&object.payload);
            self.rest.push(bytes.freeze());
        } else {
            self.rest.extend([bytes.freeze(), object.payload]);
        }
    }

    /// Notes that there is nothing up to `last`.
    pub(super) fn absent(&mut self, absence: Absence, last: Location) {
        if self.gap.is_some_and(|(before, _)| before != absence) {
            self.write_gap();
        }
        self.gap = Some((absence, last));
    }

    /// Nothing follows: what does not exist up to the end goes without saying.
    pub(super) fn end(&mut self) {
        if self
            .gap
            .is_some_and(|(absence, _)| absence == Absence::Unknown)
        {
            self.write_gap();
        }
    }

    fn write_gap(&mut self) {
        let Some((absence, last)) = self.gap.take() else {
            return;
        };
        let mut bytes = BytesMut::new();
        match self.encoder.range_end(absence, last, &mut bytes) {
            Ok(()) => self.rest.push(bytes.freeze()),
            Err(EncodeError::NotInDraft(_)) => self.unsayable = true,
            Err(error) => tracing::debug!(%error, "a gap is not in order"),
        }
    }
}
