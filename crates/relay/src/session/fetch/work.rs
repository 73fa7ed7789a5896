//! How an answer is written: batch by batch, from the cache and from what the publisher sends.

use std::{
    sync::Arc,
    task::{Poll, Wake, Waker},
    time::Instant,
};

use bytes::Bytes;
use moqrelay_moqt::{
    FetchAnswer, GroupOrder, Location, RequestCode, RequestError, ResetCode, data::Absence,
};

use super::{BATCH, BATCH_BYTES, Filled, Outcome, Serving, span_end};
use crate::{
    session::{
        Driver, Stream,
        control::wire_code,
        fill::{Fill, FillAnswer, FillEnd, News},
    },
    track::{Piece, Span, lock},
};

impl Driver {
    /// Lets an answer go on.
    pub(in crate::session) fn poll_fetch(&mut self, slot: u32, mut serving: Box<Serving>) {
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
