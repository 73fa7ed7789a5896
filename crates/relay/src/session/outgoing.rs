//! One stream to the peer: a subgroup, written as far as the connection takes it.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{Draft, GroupOrder, ResetCode, TrackAlias, data::SubgroupHeader};

use super::{
    Driver, Due, Stream,
    backlog::Amount,
    control::wire_code,
    deliver::{Active, Subscription},
    signal::{Signal, StreamBell},
};
use crate::{
    mlog::Way,
    stats::Dropped,
    track::{self, Entry, Item, Subgroup, SubgroupEnd, SubgroupObject},
    transport::{OpeningUni, SendStream, WriteError},
};

/// Streams of one subscription that are open at a time; beyond, the oldest is given up. A group
/// has a few subgroups, and groups older than the ring are lost anyway.
const OUTS_MAX: usize = 128;

/// A stream that carries one subgroup to the peer.
pub(super) struct Out {
    slot: u32,
    draft: Draft,
    /// Made when the stream has to wait for the first time.
    bell: Option<Arc<StreamBell>>,
    subgroup: Arc<Subgroup>,
    stream: Channel,
    priority: i32,
    /// The track's priority.
    publisher: u8,
    /// Objects may be left out between others: the subscriber has range filters.
    filtered: bool,
    /// The last object that was given to the stream.
    last: Option<u64>,
    /// The header went out, or is on its way.
    begun: bool,
    /// What the connection did not take yet.
    rest: [Bytes; 2],
    /// When the relay had what is in `rest`.
    rest_at: Instant,
    /// Positions in the log of what comes after `rest`.
    pending: VecDeque<u64>,
    /// Bytes of their payloads.
    pending_bytes: usize,
    /// What the session's backlog counts of it.
    counted: Amount,
    /// When the relay knew that nothing will be added to the subgroup.
    closed: Option<Instant>,
    /// When the stream ended; it is kept until the subgroup's timeout or the last acknowledgement.
    finished: Option<Instant>,
}

enum Channel {
    Opening(OpeningUni),
    Open(SendStream),
}

/// The streams of one subscription, the oldest first. There are one or two, mostly: looking at all
/// costs less than a tree.
#[derive(Default)]
pub(super) struct Outs(Vec<Out>);

impl Outs {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, serial: u64) -> bool {
        self.find(serial).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Out> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Out> {
        self.0.iter_mut()
    }

    fn get(&self, serial: u64) -> Option<&Out> {
        self.find(serial).map(|index| &self.0[index])
    }

    fn get_mut(&mut self, serial: u64) -> Option<&mut Out> {
        self.find(serial).map(|index| &mut self.0[index])
    }

    fn remove(&mut self, serial: u64) -> Option<Out> {
        self.find(serial).map(|index| self.0.remove(index))
    }

    /// The newest is asked for most often.
    fn find(&self, serial: u64) -> Option<usize> {
        self.0.iter().rposition(|out| out.serial() == serial)
    }
}

/// What became of a stream.
enum Outcome {
    /// It waits for the connection, or for objects.
    Open,
    /// It is over.
    Over,
    /// The peer wants no more of it.
    Unwanted,
    /// It was given up.
    Reset(ResetCode),
}

impl Out {
    /// Returns whether the connection has everything that was meant for the stream.
    pub(super) fn is_idle(&self) -> bool {
        self.rest_is_empty() && self.pending.is_empty() && matches!(self.stream, Channel::Open(_))
    }

    pub(super) fn group(&self) -> u64 {
        self.subgroup.group
    }

    pub(super) fn prioritise(&mut self, subscriber: u8, publisher: u8, order: GroupOrder) {
        let publisher = self.subgroup.priority.unwrap_or(publisher);
        self.priority = priority(subscriber, publisher, order, &self.subgroup);
        if let Channel::Open(stream) = &self.stream {
            stream.set_priority(self.priority);
        }
    }

    /// Returns what the connection did not take yet.
    fn waiting(&self) -> Amount {
        Amount {
            objects: self.pending.len() + usize::from(!self.rest_is_empty()),
            bytes: self.pending_bytes + self.rest.iter().map(Bytes::len).sum::<usize>(),
        }
    }

    /// Keeps an entry for later.
    fn keep(&mut self, position: u64, entry: &Entry) {
        self.pending.push_back(position);
        self.pending_bytes += entry.item.payload_len();
    }

    fn rest_is_empty(&self) -> bool {
        self.rest.iter().all(Bytes::is_empty)
    }

    /// Gives an object to a stream that waits for nothing; false: it would leave a gap.
    fn give(&mut self, entry: &Entry, object: &SubgroupObject, alias: TrackAlias) -> bool {
        self.rest_at = entry.at;
        if self.begun && self.last == object.previous {
            match self.wire(object, alias) {
                Some(wire) => self.rest[0] = wire,
                None => return false,
            }
        } else if self.begun && self.filtered && self.last < Some(object.object.id) {
            let (subgroup, whole) = (&object.subgroup, object.whole);
            let (draft, last) = (self.draft, self.last);
            match track::object_wire(draft, alias, subgroup, &object.object, last, whole) {
                Some(wire) => self.rest[0] = wire,
                None => return false,
            }
        } else if self.begun {
            return false;
        } else {
            match self.first_bytes(object, alias) {
                Some(bytes) => self.rest[0] = bytes,
                None => return false,
            }
            self.begun = true;
        }
        if !object.whole {
            self.rest[1] = object.object.payload.clone();
        }
        self.last = Some(object.object.id);
        true
    }

    /// An object after the one that was before it on the publisher's stream.
    fn wire(&self, object: &SubgroupObject, alias: TrackAlias) -> Option<Bytes> {
        object.wire.of(self.draft, || {
            track::object_wire(
                self.draft,
                alias,
                &object.subgroup,
                &object.object,
                object.previous,
                object.whole,
            )
        })
    }

    /// The stream's header, and the object that comes first.
    fn first_bytes(&self, object: &SubgroupObject, alias: TrackAlias) -> Option<Bytes> {
        let from_start = object.previous.is_none();
        let header = self.header(alias, from_start);
        let begin = |object: Bytes| {
            let mut bytes = BytesMut::new();
            header.encode(self.draft, &mut bytes);
            bytes.extend_from_slice(&object);
            bytes.freeze()
        };
        if !from_start {
            // Who came in the middle of it.
            let (subgroup, whole) = (&object.subgroup, object.whole);
            let wire =
                track::object_wire(self.draft, alias, subgroup, &object.object, None, whole)?;
            return Some(begin(wire));
        }
        let make = || self.wire(object, alias).map(begin);
        if header.priority == self.subgroup.priority {
            // All who hear it from its beginning share it.
            object.opening.of(self.draft, make)
        } else {
            make()
        }
    }

    fn header(&self, alias: TrackAlias, from_start: bool) -> SubgroupHeader {
        let header = track::stream_header(alias, &self.subgroup, from_start);
        SubgroupHeader {
            priority: track::priority_of(self.draft, header.priority, self.publisher),
            ..header
        }
    }

    /// Returns the serial of the publisher's stream.
    pub(super) fn serial(&self) -> u64 {
        self.subgroup.serial
    }

    /// Writes what the connection takes of `rest`.
    fn flush(&mut self, signal: &Arc<Signal>) -> Poll<Result<(), WriteError>> {
        // Mostly the connection takes it all, and nobody has to be woken.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(flushed) = self.poll_flush(&mut cx) {
            return Poll::Ready(flushed);
        }
        let slot = self.slot;
        let bell = self
            .bell
            .get_or_insert_with(|| StreamBell::new(signal.clone(), slot));
        let waker = Waker::from(bell.clone());
        self.poll_flush(&mut Context::from_waker(&waker))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if let Channel::Opening(opening) = &mut self.stream {
            match ready!(opening.poll(cx)) {
                Some(stream) => {
                    stream.set_priority(self.priority);
                    self.stream = Channel::Open(stream);
                }
                None => return Poll::Ready(Err(WriteError::Lost)),
            }
        }
        match &mut self.stream {
            Channel::Open(stream) => stream.poll_write(cx, &mut self.rest),
            Channel::Opening(_) => Poll::Pending,
        }
    }

    fn end(&mut self, end: SubgroupEnd) {
        let Channel::Open(stream) = &mut self.stream else {
            return; // Never opened: the peer has not heard of it.
        };
        match end {
            SubgroupEnd::Fin => stream.finish(),
            SubgroupEnd::Reset(code) => stream.reset(wire_code(self.draft, code)),
        }
    }
}

impl Driver {
    /// Sends an object on its subgroup's stream, which is opened if need be.
    pub(super) fn send_object(
        &mut self,
        subscription: &mut Subscription,
        slot: u32,
        position: u64,
        entry: &Arc<Entry>,
    ) {
        let Item::Object(object) = &entry.item else {
            return;
        };
        let serial = object.subgroup.serial;
        if !self.ensure_out(subscription, slot, &object.subgroup) {
            return;
        }
        self.go_on(subscription, slot, serial, Some((position, entry)));
    }

    /// Ends a subgroup's stream. With `open` a stream is opened even though no object was on it.
    pub(super) fn send_end(
        &mut self,
        subscription: &mut Subscription,
        slot: u32,
        position: u64,
        entry: &Arc<Entry>,
        open: bool,
    ) {
        let Item::Closed { subgroup, .. } = &entry.item else {
            return;
        };
        let serial = subgroup.serial;
        let Some(active) = subscription.active_mut() else {
            return;
        };
        if active.dead.remove(&serial) {
            return;
        }
        let there = active.outs.contains(serial);
        if !there && !open {
            return;
        }
        if !there && !self.ensure_out(subscription, slot, subgroup) {
            return;
        }
        self.go_on(subscription, slot, serial, Some((position, entry)));
    }

    /// A stream that was blocked can go on.
    pub(super) fn resume(&mut self, slot: u32, serial: u64) {
        let Some(mut subscription) = self.subscriptions.take(slot) else {
            return;
        };
        if let Some(out) = subscription
            .active_mut()
            .and_then(|active| active.outs.get_mut(serial))
        {
            if let Some(bell) = &out.bell {
                bell.silence();
            }
            self.go_on(&mut subscription, slot, serial, None);
        }
        self.subscriptions.put(slot, subscription);
        self.finish_if_ended(slot);
    }

    /// Returns the priority of a stream, or the lowest when it is gone.
    pub(super) fn priority_of(&self, slot: u32, serial: u64) -> i32 {
        let subscription = self.subscriptions.get(slot);
        let out = subscription
            .and_then(|subscription| subscription.active())
            .and_then(|active| active.outs.get(serial));
        out.map_or(i32::MIN, |out| out.priority)
    }

    /// Makes sure that a subgroup has a stream; false: nothing of it shall be sent.
    fn ensure_out(
        &mut self,
        subscription: &mut Subscription,
        slot: u32,
        subgroup: &Arc<Subgroup>,
    ) -> bool {
        let subscriber = subscription.wanted.priority;
        let filtered = !subscription.wanted.selection.is_empty();
        let Some(active) = subscription.active_mut() else {
            return false;
        };
        let serial = subgroup.serial;
        if active.dead.contains(&serial) {
            return false;
        }
        if active.outs.contains(serial) {
            return true;
        }
        if active.outs.0.len() >= OUTS_MAX
            && let Some(oldest) = active.outs.0.first().map(Out::serial)
        {
            self.kill(active, oldest, ResetCode::TooFarBehind);
        }
        let stream = self.streams.reserve();
        let out = Stream::Outgoing {
            subscription: slot,
            serial,
        };
        self.streams.put(stream, out);
        let publisher = subgroup.priority.unwrap_or(active.publisher_priority);
        let out = Out {
            slot: stream,
            draft: self.machine.draft(),
            bell: None,
            subgroup: subgroup.clone(),
            stream: Channel::Opening(self.transport.open_uni()),
            priority: priority(subscriber, publisher, active.order, subgroup),
            publisher: active.publisher_priority,
            filtered,
            last: None,
            begun: false,
            rest: [Bytes::new(), Bytes::new()],
            rest_at: Instant::now(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            counted: Amount::default(),
            closed: None,
            finished: None,
        };
        active.outs.0.push(out);
        active.opened += 1;
        true
    }

    /// Writes what a stream has, `next` last.
    fn go_on(
        &mut self,
        subscription: &mut Subscription,
        slot: u32,
        serial: u64,
        next: Option<(u64, &Arc<Entry>)>,
    ) {
        let Some((track, active)) = subscription.parts() else {
            return;
        };
        let timeouts = active.timeouts;
        let Some(out) = active.outs.get_mut(serial) else {
            return;
        };
        let timeouts = timeouts.of(&out.subgroup);
        if let Some((_, entry)) = next
            && let Item::Closed {
                end: SubgroupEnd::Fin,
                ..
            } = &entry.item
        {
            out.closed = Some(entry.at);
        }
        let mut at_hand = next;
        if !out.pending.is_empty()
            && let Some((position, entry)) = at_hand.take()
        {
            out.keep(position, entry); // Not its turn yet.
        }
        let outcome = loop {
            match out.flush(&self.signal) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_unwanted)) => break Outcome::Unwanted,
                Poll::Pending => {
                    if let Some((position, entry)) = at_hand {
                        out.keep(position, entry);
                    }
                    break Outcome::Open;
                }
            }
            let written = match (out.pending.pop_front(), at_hand.take()) {
                (None, None) => break Outcome::Open,
                (None, Some((_, entry))) => self.write_entry(timeouts, out, entry, track),
                // The log has it, unless it is too old.
                (Some(position), _) => match track.log().get(position).cloned() {
                    Some(entry) => {
                        out.pending_bytes -= entry.item.payload_len();
                        self.write_entry(timeouts, out, &entry, track)
                    }
                    None => break Outcome::Reset(ResetCode::TooFarBehind),
                },
            };
            match written {
                Outcome::Open => {}
                other => break other,
            }
        };
        if matches!(outcome, Outcome::Open) {
            let now = out.waiting();
            let before = std::mem::replace(&mut out.counted, now);
            if before != now {
                self.count_stream(before, now);
            }
            return self.watch_out(active, serial, slot);
        }
        let Some(out) = active.outs.remove(serial) else {
            return;
        };
        match outcome {
            Outcome::Open | Outcome::Over => {
                self.count_stream(out.counted, Amount::default());
                self.streams.release(out.slot);
            }
            Outcome::Unwanted => {
                active.bury(serial);
                self.count_stream(out.counted, Amount::default());
                self.streams.release(out.slot);
            }
            Outcome::Reset(code) => {
                if code == ResetCode::DeliveryTimeout {
                    active.bury(serial);
                }
                self.give_up(out, code);
            }
        }
    }

    fn write_entry(
        &mut self,
        (object_timeout, subgroup_timeout): (Option<Duration>, Option<Duration>),
        out: &mut Out,
        entry: &Arc<Entry>,
        track: &track::Track,
    ) -> Outcome {
        match &entry.item {
            Item::Object(object) => {
                let late = object_timeout.is_some_and(|timeout| entry.at.elapsed() > timeout);
                if late {
                    return Outcome::Reset(ResetCode::DeliveryTimeout);
                }
                let opens = !out.begun;
                if !out.give(entry, object, track.alias) {
                    return Outcome::Reset(ResetCode::Cancelled);
                }
                if let Some(log) = &mut self.log {
                    if opens {
                        let whole = object.previous.is_none();
                        let header = track::stream_header(track.alias, &out.subgroup, whole);
                        log.subgroup(Way::Created, out.slot, &header);
                    }
                    log.object(Way::Created, out.slot, &object.object);
                }
                self.tally.sent += 1;
                self.tally.sent_bytes += object.object.payload.len() as u64;
                Outcome::Open
            }
            Item::Closed { end, .. } if out.begun => {
                out.end(*end);
                if *end == SubgroupEnd::Fin && subgroup_timeout.is_some() {
                    out.finished = Some(entry.at);
                    return Outcome::Open;
                }
                Outcome::Over
            }
            Item::Closed { .. } => {
                // A subgroup without objects: its header, then this end once more.
                let mut bytes = BytesMut::new();
                out.header(track.alias, true).encode(out.draft, &mut bytes);
                out.rest[0] = bytes.freeze();
                out.begun = true;
                match out.flush(&self.signal) {
                    Poll::Ready(Ok(())) => {
                        let timeouts = (object_timeout, subgroup_timeout);
                        self.write_entry(timeouts, out, entry, track)
                    }
                    Poll::Ready(Err(_)) | Poll::Pending => Outcome::Reset(ResetCode::Cancelled),
                }
            }
            Item::Began(_) | Item::Datagram { .. } | Item::Refused(_) | Item::Ended(_) => {
                Outcome::Open
            }
        }
    }

    /// Makes sure that somebody looks when what waits in a stream becomes too old.
    fn watch_out(&mut self, active: &mut Active, serial: u64, slot: u32) {
        let Some(out) = active.outs.get(serial) else {
            return;
        };
        active.blocked |= !out.pending.is_empty();
        if !out.rest_is_empty() {
            self.fit_window();
        }
        let blocked = !out.rest_is_empty() || out.finished.is_some();
        if blocked && !active.stall_watched {
            let (object, subgroup) = active.timeouts.of(&out.subgroup);
            let timeout = object.into_iter().chain(subgroup).min();
            if let Some(timeout) = timeout {
                active.stall_watched = true;
                self.timers
                    .set(Instant::now() + timeout, Due::Stalled(slot));
            }
        }
    }

    /// Resets streams whose objects have become too old (section 8).
    pub(super) fn check_stalled(&mut self, slot: u32, now: Instant) {
        let Some(mut subscription) = self.subscriptions.take(slot) else {
            return;
        };
        if let Some(active) = subscription.active_mut() {
            active.stall_watched = false;
            let mut next = None::<Instant>;
            let mut late = Vec::new();
            for out in active.outs.iter() {
                let (object, subgroup) = active.timeouts.of(&out.subgroup);
                let due = out.due(object, subgroup);
                match due {
                    Some(at) if at <= now => late.push(out.serial()),
                    Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                    None => {}
                }
            }
            if let Some(at) = next {
                active.stall_watched = true;
                self.timers.set(at, Due::Stalled(slot));
            }
            for serial in late {
                self.time_out(active, serial);
            }
        }
        self.subscriptions.put(slot, subscription);
        self.finish_if_ended(slot);
    }

    /// Resets streams whose next object is too old to be sent, or gone from the log. What comes
    /// next begins a new stream: the subscriber is in the present again.
    pub(super) fn give_up_lost(&mut self, subscription: &mut Subscription) {
        let Some((track, active)) = subscription.parts() else {
            return;
        };
        if !active.blocked {
            return;
        }
        let log = track.log();
        let too_old = |position: u64| {
            let entry = log.get(position);
            entry.is_none_or(|entry| entry.at.elapsed() > self.limits.backlog_age)
        };
        active.blocked = false;
        let mut lost = Vec::new();
        for out in active.outs.iter() {
            match out.pending.front() {
                Some(next) if too_old(*next) => lost.push(out.serial()),
                Some(_) => active.blocked = true,
                None => {}
            }
        }
        drop(log);
        for serial in lost {
            if let Some(out) = active.outs.remove(serial) {
                self.give_up(out, ResetCode::TooFarBehind);
            }
        }
    }

    fn time_out(&mut self, active: &mut Active, serial: u64) {
        let Some(mut out) = active.outs.remove(serial) else {
            return;
        };
        if out.finished.is_some() && out.is_acknowledged() {
            self.streams.release(out.slot);
            return;
        }
        if out.finished.is_none() {
            active.bury(serial);
        }
        self.give_up(out, ResetCode::DeliveryTimeout);
    }

    /// Resets a stream, of which nothing more will be sent.
    pub(super) fn kill(&mut self, active: &mut Active, serial: u64, code: ResetCode) {
        if let Some(out) = active.outs.remove(serial) {
            active.bury(serial);
            self.give_up(out, code);
        }
    }

    /// Resets every stream of a subscription; what comes later gets new ones.
    pub(super) fn reset_outs(&mut self, active: &mut Active, code: ResetCode) {
        for out in std::mem::take(&mut active.outs).0 {
            if out.finished.is_some() {
                self.streams.release(out.slot); // Complete, as far as we know.
            } else {
                self.give_up(out, code);
            }
        }
    }

    fn give_up(&mut self, mut out: Out, code: ResetCode) {
        let unsent = out.pending.len() as u64 + u64::from(!out.rest_is_empty());
        let why = match code {
            ResetCode::DeliveryTimeout => Dropped::Late,
            ResetCode::TooFarBehind => Dropped::Behind,
            _ => Dropped::Cancelled,
        };
        self.tally.drop(why, unsent);
        self.count_stream(out.counted, Amount::default());
        self.shared.meters().streams_reset.add(1);
        out.end(SubgroupEnd::Reset(code));
        self.streams.release(out.slot);
    }
}

impl Out {
    /// When what waits becomes too old.
    fn due(&self, object: Option<Duration>, subgroup: Option<Duration>) -> Option<Instant> {
        if let Some(finished) = self.finished {
            return Some(finished + subgroup?);
        }
        if self.rest_is_empty() {
            return None;
        }
        let object = object.map(|timeout| self.rest_at + timeout);
        let subgroup = subgroup.and_then(|timeout| Some(self.closed? + timeout));
        object.into_iter().chain(subgroup).min()
    }

    fn is_acknowledged(&mut self) -> bool {
        match &mut self.stream {
            Channel::Open(stream) => stream.is_done(),
            Channel::Opening(_) => false,
        }
    }
}

/// Translates MoQ's order of sending (draft-18 section 7.2) to quinn's, where higher goes first:
/// the subscriber's priority, then the publisher's, then the group, then the subgroup.
///
/// Groups are compared modulo 1,024: of a subscription only neighbours are open at a time.
fn priority(subscriber: u8, publisher: u8, order: GroupOrder, subgroup: &Subgroup) -> i32 {
    const GROUPS: u64 = 1 << 10;
    const SUBGROUPS: u64 = 1 << 4;
    let group = subgroup.group % GROUPS;
    let group = match order {
        GroupOrder::Ascending => GROUPS - 1 - group,
        GroupOrder::Descending => group,
    };
    let id = SUBGROUPS - 1 - subgroup.id.min(SUBGROUPS - 1);
    let rank = u64::from(u8::MAX - subscriber) << 22
        | u64::from(u8::MAX - publisher) << 14
        | group << 4
        | id;
    i32::try_from(rank).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use moqrelay_moqt::data::SubgroupId;

    use super::*;

    fn subgroup(group: u64, id: u64) -> Subgroup {
        Subgroup {
            serial: 0,
            group,
            id,
            mode: SubgroupId::Zero,
            priority: None,
            properties: false,
            end_of_group: false,
            first_object: true,
            timeouts: (None, None),
        }
    }

    #[test]
    fn the_subscribers_priority_counts_first_and_lower_numbers_go_first() {
        let high = priority(0, 255, GroupOrder::Ascending, &subgroup(1000, 15));
        let low = priority(1, 0, GroupOrder::Ascending, &subgroup(0, 0));

        assert!(high > low);
    }

    #[test]
    fn then_the_publishers_then_the_group_order_then_the_subgroup() {
        let (up, down) = (GroupOrder::Ascending, GroupOrder::Descending);

        assert!(priority(9, 1, up, &subgroup(7, 3)) > priority(9, 2, up, &subgroup(1, 0)));
        assert!(priority(9, 1, up, &subgroup(1, 9)) > priority(9, 1, up, &subgroup(2, 0)));
        assert!(priority(9, 1, down, &subgroup(2, 9)) > priority(9, 1, down, &subgroup(1, 0)));
        assert!(priority(9, 1, up, &subgroup(1, 0)) > priority(9, 1, up, &subgroup(1, 1)));
    }

    #[test]
    fn objects_never_reach_the_priority_of_requests() {
        let highest = priority(0, 0, GroupOrder::Descending, &subgroup(1023, 0));

        assert!(highest < i32::MAX - 1);
    }
}
