//! Subscriptions of the peer: what the log of a track says becomes streams and datagrams.

use std::{
    collections::BTreeSet,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use moqrelay_moqt::{
    Filter, GroupOrder, Location, Parameters, PublishDoneCode, RequestCode, RequestError,
    RequestId, ResetCode, SubscribeAnswer, TrackProperties,
};

use super::{
    Driver, Due, Farewell,
    host::Delivery,
    outgoing::{Out, Outs},
    selection::Selection,
    timeouts::Timeouts,
};
use crate::{
    mlog::Way,
    stats::Dropped,
    table::Subscribed,
    track::{Ending, Entry, Item, Live, ReaderKey, Track, datagram_wire, track_properties},
};

/// Subgroups of which nothing more is sent because some of it was too late or not wanted.
const DEAD_MAX: usize = 256;

/// Priority of a subscription whose subscriber names none (draft-18 section 10.2.8).
const PRIORITY_DEFAULT: u8 = 128;

/// A subscription of the peer, or a track that we publish to it.
pub(super) struct Subscription {
    pub(super) request: RequestId,
    pub(super) track: Arc<Track>,
    pub(super) key: ReaderKey,
    pub(super) wanted: Wanted,
    /// The next entry that it has not seen.
    cursor: u64,
    phase: Phase,
}

/// New entries of a track.
#[derive(Default)]
pub(crate) struct Batch {
    /// The position of the first one.
    pub(crate) first: u64,
    pub(crate) entries: Vec<Arc<Entry>>,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// What a subscriber wants.
pub(super) struct Wanted {
    /// When the right to it ends, if that is not the session's.
    pub(super) until: Option<SystemTime>,
    /// Only to know how the track stands (TRACK_STATUS).
    status: bool,
    /// A track that we offered, and the peer has not answered.
    pub(super) unanswered: bool,
    pub(super) forward: bool,
    pub(super) priority: u8,
    filter: Option<Filter>,
    order: Option<GroupOrder>,
    object_timeout: Option<Duration>,
    subgroup_timeout: Option<Duration>,
    pub(super) selection: Selection,
}

enum Phase {
    /// For a publisher; until then, or at most until the upstream answer.
    Waiting {
        until: Option<Instant>,
    },
    Active(Active),
}

/// A subscription that gets objects.
pub(super) struct Active {
    start: Location,
    end_group: Option<u64>,
    /// The largest location when forwarding began: where a FETCH that joins ends (section 5.1).
    pub(super) joining: Option<Location>,
    pub(super) order: GroupOrder,
    pub(super) publisher_priority: u8,
    pub(super) timeouts: Timeouts,
    /// Streams to the peer.
    pub(super) outs: Outs,
    pub(super) dead: BTreeSet<u64>,
    /// Streams that were ever opened, for PUBLISH_DONE.
    pub(super) opened: u64,
    /// A check for objects that became too old is set.
    pub(super) stall_watched: bool,
    /// The connection did not take everything: streams may fall behind the log.
    pub(super) blocked: bool,
    /// The track is over: streams are still being written.
    ending: Option<Ending>,
    /// There is a limit to how long they may take.
    ending_timed: bool,
}

/// What an entry means for a subscription.
enum Step {
    /// On to the next one.
    On,
    /// The subscription is over and gone.
    Over,
}

impl Wanted {
    pub(super) fn new(params: &Parameters, until: Option<SystemTime>) -> Self {
        Self {
            until,
            status: false,
            unanswered: false,
            forward: params.forward.unwrap_or(true),
            priority: params.subscriber_priority.unwrap_or(PRIORITY_DEFAULT),
            filter: params.filter,
            order: params.group_order,
            object_timeout: params.object_delivery_timeout,
            subgroup_timeout: params.subgroup_delivery_timeout,
            selection: Selection::new(&params.range_filters),
        }
    }

    pub(super) fn status() -> Self {
        Self {
            status: true,
            forward: false,
            ..Self::new(&Parameters::default(), None)
        }
    }

    /// A track that we offer because of SUBSCRIBE_TRACKS with these parameters.
    pub(super) fn offered(params: &Parameters) -> Self {
        Self {
            unanswered: true,
            ..Self::new(params, None)
        }
    }
}

impl Subscription {
    pub(super) fn new(
        request: RequestId,
        subscribed: &Subscribed,
        key: ReaderKey,
        wanted: Wanted,
        until: Option<Instant>,
    ) -> Box<Self> {
        Box::new(Self {
            request,
            track: subscribed.track.clone(),
            key,
            wanted,
            cursor: subscribed.cursor,
            phase: Phase::Waiting { until },
        })
    }

    /// Begins to send objects; `largest` is what the filter counts from, `joining` what the subscriber was told.
    pub(super) fn activate(
        &mut self,
        live: &Live,
        largest: Option<Location>,
        joining: Option<Location>,
    ) {
        let (start, end_group) = range(self.wanted.filter, largest);
        let mut active = Active {
            start,
            end_group,
            joining,
            order: GroupOrder::Ascending,
            publisher_priority: TrackProperties::PRIORITY_DEFAULT,
            timeouts: Timeouts::default(),
            outs: Outs::default(),
            dead: BTreeSet::new(),
            opened: 0,
            stall_watched: false,
            blocked: false,
            ending: None,
            ending_timed: false,
        };
        active.combine(&self.wanted, &live.known);
        self.phase = Phase::Active(active);
    }

    pub(super) fn active(&self) -> Option<&Active> {
        match &self.phase {
            Phase::Active(active) => Some(active),
            Phase::Waiting { .. } => None,
        }
    }

    /// The track, and the subscription to it when it is active.
    pub(super) fn parts(&mut self) -> Option<(&Arc<Track>, &mut Active)> {
        match &mut self.phase {
            Phase::Active(active) => Some((&self.track, active)),
            Phase::Waiting { .. } => None,
        }
    }

    pub(super) fn active_mut(&mut self) -> Option<&mut Active> {
        match &mut self.phase {
            Phase::Active(active) => Some(active),
            Phase::Waiting { .. } => None,
        }
    }
}

impl Active {
    /// Combines the subscriber's wishes with the publisher's.
    fn combine(&mut self, wanted: &Wanted, track: &TrackProperties) {
        self.order = wanted.order.unwrap_or(track.group_order);
        self.publisher_priority = track
            .publisher_priority
            .unwrap_or(TrackProperties::PRIORITY_DEFAULT);
        let wanted = (wanted.object_timeout, wanted.subgroup_timeout);
        self.timeouts = Timeouts::new(wanted, track);
    }

    fn passes(&self, location: Location) -> bool {
        location >= self.start && self.end_group.is_none_or(|end| location.group <= end)
    }

    pub(super) fn bury(&mut self, serial: u64) {
        if self.dead.len() == DEAD_MAX {
            self.dead.pop_first();
        }
        self.dead.insert(serial);
    }
}

impl Driver {
    /// Serves the subscriptions whose tracks have something new; ready when the session is over.
    pub(super) fn deliver_due(
        &mut self,
        due: &mut Vec<Delivery>,
        batches: &[Batch],
    ) -> Poll<Farewell> {
        if due.len() > 1 {
            // Lower numbers are served first: the connection may not take everything.
            due.sort_by_key(|delivery| {
                let subscription = self.subscriptions.get(delivery.slot);
                subscription.map(|subscription| subscription.wanted.priority)
            });
        }
        for delivery in due.drain(..) {
            self.deliver(delivery.slot, delivery.key, &batches[delivery.batch]);
        }
        self.carry_out();
        self.join_waiting();
        self.rest()
    }

    fn deliver(&mut self, slot: u32, key: ReaderKey, batch: &Batch) {
        let Some(mut subscription) = self.subscriptions.take(slot) else {
            return; // It has ended.
        };
        let end = batch.first + batch.entries.len() as u64;
        if subscription.key != key || subscription.cursor >= end {
            // Another one, or it began later than this.
            return self.subscriptions.put(slot, subscription);
        }
        let mut step = Step::On;
        let lost = batch.first.saturating_sub(subscription.cursor);
        if lost > 0 {
            step = self.fell_behind(&mut subscription, lost);
        }
        let seen = subscription.cursor.saturating_sub(batch.first);
        let seen = usize::try_from(seen).unwrap_or(usize::MAX);
        subscription.cursor = end;
        for (position, entry) in (batch.first..).zip(&batch.entries).skip(seen) {
            if matches!(step, Step::Over) {
                break;
            }
            step = self.deliver_entry(&mut subscription, slot, position, entry);
        }
        match step {
            Step::On => {
                self.give_up_lost(&mut subscription);
                self.subscriptions.put(slot, subscription);
                self.finish_if_ended(slot);
            }
            Step::Over => self.forget_subscription(slot, subscription),
        }
    }

    fn deliver_entry(
        &mut self,
        subscription: &mut Subscription,
        slot: u32,
        position: u64,
        entry: &Arc<Entry>,
    ) -> Step {
        if let Phase::Waiting { until } = subscription.phase {
            return self.await_publisher(subscription, until, entry);
        }
        let Phase::Active(active) = &mut subscription.phase else {
            return Step::On;
        };
        match &entry.item {
            Item::Began(live) => {
                active.combine(&subscription.wanted, &live.known);
                self.reset_outs(active, ResetCode::Cancelled);
            }
            Item::Datagram { object, wire } => {
                let location = object.location();
                let late = active
                    .timeouts
                    .of_datagrams()
                    .is_some_and(|timeout| entry.at.elapsed() > timeout);
                let priority = active.publisher_priority;
                let wanted = &subscription.wanted;
                if wanted.forward
                    && active.passes(location)
                    && wanted.selection.passes_datagram(object, priority)
                {
                    // Once a second, as voices are grouped.
                    if object.id == 0 {
                        self.tell_bandwidth(&subscription.track);
                    }
                    let draft = self.machine.draft();
                    let alias = subscription.track.alias;
                    let make = || datagram_wire(draft, alias, object, priority);
                    if late {
                        self.tally.drop(Dropped::Late, 1);
                    } else if let Some(wire) = wire.of(draft, make) {
                        self.send_voice(entry.at, wire, object.payload.len());
                        if let Some(log) = &mut self.log {
                            let alias = subscription.track.alias;
                            log.datagram(Way::Created, &object.clone().into_datagram(alias));
                        }
                    } else {
                        // The draft has no way to write it.
                        self.tally.drop(Dropped::Unsendable, 1);
                    }
                }
                self.check_range(subscription, location.group);
            }
            Item::Object(object) => {
                let location = Location::new(object.subgroup.group, object.object.id);
                let wanted = &subscription.wanted;
                let priority = active.publisher_priority;
                if !wanted.selection.passes_object(object, priority) {
                    // Its subgroup goes on with those that pass.
                } else if wanted.forward && active.passes(location) {
                    self.send_object(subscription, slot, position, entry);
                } else if active.outs.contains(object.subgroup.serial) {
                    self.kill(active, object.subgroup.serial, ResetCode::Cancelled);
                }
                self.check_range(subscription, location.group);
            }
            Item::Closed {
                subgroup, empty, ..
            } => {
                let wanted = subscription.wanted.forward
                    && active.passes(Location::new(subgroup.group, u64::MAX));
                self.send_end(subscription, slot, position, entry, *empty && wanted);
            }
            Item::Refused(_) => {
                active.ending = Some(Ending::over("the publisher is gone"));
            }
            Item::Ended(ending) => active.ending = Some(ending.clone()),
        }
        Step::On
    }

    /// Looks whether a publisher has come.
    fn await_publisher(
        &mut self,
        subscription: &mut Subscription,
        until: Option<Instant>,
        entry: &Arc<Entry>,
    ) -> Step {
        match &entry.item {
            Item::Began(live) => self.begin(subscription, live, live.largest),
            Item::Refused(error) => {
                let missing = error.code == RequestCode::DoesNotExist;
                if until.is_some() && missing {
                    return Step::On; // Another publisher may come in time.
                }
                self.reject_with(subscription.request, error.clone());
                Step::Over
            }
            // It would have been next; whoever comes later publishes another track.
            Item::Ended(ending) => {
                self.reject(
                    subscription.request,
                    RequestCode::DoesNotExist,
                    &ending.reason,
                );
                Step::Over
            }
            Item::Datagram { .. } | Item::Object(_) | Item::Closed { .. } => Step::On,
        }
    }

    /// Answers a subscription whose track has a publisher.
    pub(super) fn answer(&mut self, slot: u32, live: &Live, largest: Option<Location>) {
        let Some(mut subscription) = self.subscriptions.take(slot) else {
            return;
        };
        match self.begin(&mut subscription, live, largest) {
            Step::On => self.subscriptions.put(slot, subscription),
            Step::Over => self.forget_subscription(slot, subscription),
        }
    }

    fn begin(
        &mut self,
        subscription: &mut Subscription,
        live: &Live,
        largest: Option<Location>,
    ) -> Step {
        let id = subscription.request;
        let mut params = Parameters {
            largest_object: self.quirks.largest(largest),
            ..Parameters::default()
        };
        if subscription.wanted.status {
            let properties = track_properties(self.machine.draft(), &live.properties);
            self.accept(id, params, properties);
            return Step::Over;
        }
        let (_, end_group) = range(subscription.wanted.filter, largest);
        if end_group.is_some_and(|end| largest.is_some_and(|largest| largest.group > end)) {
            self.reject(
                id,
                RequestCode::InvalidRange,
                "the range has been published",
            );
            return Step::Over;
        }
        params.expires = subscription
            .wanted
            .until
            .and_then(|until| until.duration_since(SystemTime::now()).ok());
        let answer = SubscribeAnswer {
            alias: Some(subscription.track.alias),
            params,
            properties: track_properties(self.machine.draft(), &live.properties),
        };
        match self.machine.accept_subscribe(id, answer) {
            Ok(_alias) => {
                if let Phase::Waiting { until: Some(until) } = subscription.phase
                    && let Some(slot) = self.subscribed.get(&id)
                {
                    self.timers.cancel(until, Due::Rendezvous(*slot));
                }
                subscription.activate(live, largest, largest);
                Step::On
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a subscription");
                Step::Over
            }
        }
    }

    /// Ends a subscription whose range is over.
    fn check_range(&self, subscription: &mut Subscription, group: u64) {
        if let Phase::Active(active) = &mut subscription.phase
            && active.end_group.is_some_and(|end| group > end)
            && active.ending.is_none()
            && active.outs.is_empty()
        {
            active.ending = Some(Ending {
                status: PublishDoneCode::SubscriptionEnded,
                reason: "the range is over".to_owned(),
            });
        }
    }

    fn fell_behind(&mut self, subscription: &mut Subscription, lost: u64) -> Step {
        self.tally.drop(Dropped::Behind, lost);
        tracing::debug!(track = %subscription.track.name, lost, "a subscriber fell behind");
        if let Phase::Active(active) = &mut subscription.phase {
            self.reset_outs(active, ResetCode::TooFarBehind);
            return Step::On;
        }
        // The beginning itself may be lost: the track knows whether there was one.
        match subscription.track.status() {
            (Some(live), largest) => self.begin(subscription, &live, largest),
            (None, _) => Step::On,
        }
    }

    /// A subscriber has waited long enough for a publisher.
    pub(super) fn rendezvous_over(&mut self, slot: u32) {
        let now = Instant::now();
        let over = self.subscriptions.get(slot).is_some_and(|subscription| {
            matches!(subscription.phase, Phase::Waiting { until: Some(until) } if until <= now)
        });
        if !over {
            return;
        }
        if let Some(subscription) = self.subscriptions.take(slot) {
            let error = RequestError::new(RequestCode::Timeout, "no publisher came in time");
            self.reject_with(subscription.request, error);
            self.forget_subscription(slot, subscription);
        }
    }

    /// Sends PUBLISH_DONE once every stream of a track that is over has been written.
    pub(super) fn finish_if_ended(&mut self, slot: u32) {
        let Some(subscription) = self.subscriptions.get_mut(slot) else {
            return;
        };
        let Some(active) = subscription.active_mut() else {
            return;
        };
        let Some(ending) = active.ending.clone() else {
            return;
        };
        // What the publisher left open will never be complete; what is being written may be.
        let writing = active.outs.iter().any(|out| !out.is_idle());
        if writing {
            if std::mem::replace(&mut active.ending_timed, true) {
                return;
            }
            let at = Instant::now() + self.limits.done_wait;
            self.timers.set(at, Due::Ending(slot));
            return;
        }
        let Some(mut subscription) = self.subscriptions.take(slot) else {
            return;
        };
        self.say_done(&mut subscription, ending);
        self.forget_subscription(slot, subscription);
    }

    /// Ends a subscription that should be gone by now.
    pub(super) fn ending_overdue(&mut self, slot: u32) {
        let Some(mut subscription) = self.subscriptions.take(slot) else {
            return;
        };
        let ending = subscription
            .active_mut()
            .and_then(|active| active.ending.clone());
        match ending {
            Some(ending) => {
                self.say_done(&mut subscription, ending);
                self.forget_subscription(slot, subscription);
            }
            None => self.subscriptions.put(slot, subscription),
        }
    }

    fn say_done(&mut self, subscription: &mut Subscription, ending: Ending) {
        let mut opened = 0;
        if let Some(active) = subscription.active_mut() {
            self.reset_outs(active, ResetCode::Cancelled);
            opened = active.opened;
        }
        let Ending { status, reason } = ending;
        let done = self
            .machine
            .publish_done(subscription.request, status, Some(opened), &reason);
        if let Err(error) = done {
            tracing::debug!(%error, "cannot end a subscription");
        }
    }

    /// Ends a subscription for a reason of ours.
    fn end_with(&mut self, slot: u32, status: PublishDoneCode, reason: &str) {
        let Some(mut subscription) = self.subscriptions.take(slot) else {
            return;
        };
        if subscription.active_mut().is_some() {
            let ending = Ending {
                status,
                reason: reason.to_owned(),
            };
            self.say_done(&mut subscription, ending);
        } else {
            let code = match status {
                PublishDoneCode::GoingAway => RequestCode::GoingAway,
                PublishDoneCode::Unauthorized => RequestCode::Unauthorized,
                _ => RequestCode::ExpiredAuthToken,
            };
            self.reject(subscription.request, code, reason);
        }
        self.forget_subscription(slot, subscription);
    }

    /// The token of a subscription has ended; false when the request is no subscription.
    pub(super) fn expire_subscription(&mut self, id: RequestId) -> bool {
        let Some(slot) = self.subscribed.get(&id).copied() else {
            return false;
        };
        self.end_with(slot, PublishDoneCode::Expired, "the token has expired");
        true
    }

    /// The right to a subscription was taken back.
    pub(super) fn end_unauthorized(&mut self, slot: u32) {
        self.end_with(
            slot,
            PublishDoneCode::Unauthorized,
            "the right to it was taken back",
        );
    }

    pub(super) fn end_because_peer_leaves(&mut self, slot: u32) {
        self.end_with(slot, PublishDoneCode::GoingAway, "the peer is going away");
    }

    pub(super) fn fail_update(&mut self, slot: u32) {
        self.end_with(slot, PublishDoneCode::UpdateFailed, "the update failed");
    }

    /// The peer ended a subscription.
    pub(super) fn end_subscription(&mut self, id: RequestId, code: ResetCode) {
        let Some(slot) = self.subscribed.get(&id).copied() else {
            return;
        };
        if let Some(mut subscription) = self.subscriptions.take(slot) {
            if let Some(active) = subscription.active_mut() {
                self.reset_outs(active, code);
            }
            self.forget_subscription(slot, subscription);
        }
    }

    fn forget_subscription(&mut self, slot: u32, mut subscription: Box<Subscription>) {
        self.forget_lent(subscription.request);
        if let Phase::Waiting { until: Some(until) } = subscription.phase {
            self.timers.cancel(until, Due::Rendezvous(slot));
        }
        if let Some(active) = subscription.active_mut() {
            self.reset_outs(active, ResetCode::Cancelled);
        }
        self.subscribed.remove(&subscription.request);
        self.subscriptions.release(slot);
        self.shared
            .unsubscribe(&subscription.track, subscription.key);
        self.update_card();
    }

    /// Applies a REQUEST_UPDATE, or the answer to a PUBLISH of ours.
    pub(super) fn change_subscription(&mut self, slot: u32, params: &Parameters) {
        let Some(mut subscription) = self.subscriptions.take(slot) else {
            return;
        };
        let wanted = &mut subscription.wanted;
        let forwarded = wanted.forward;
        wanted.forward = params.forward.unwrap_or(wanted.forward);
        wanted.priority = params.subscriber_priority.unwrap_or(wanted.priority);
        wanted.filter = params.filter.or(wanted.filter);
        wanted.order = params.group_order.or(wanted.order);
        wanted.object_timeout = params.object_delivery_timeout.or(wanted.object_timeout);
        wanted.subgroup_timeout = params.subgroup_delivery_timeout.or(wanted.subgroup_timeout);
        wanted.selection.update(&params.range_filters);
        if wanted.forward != forwarded {
            self.shared
                .set_forward(&subscription.track, subscription.key, wanted.forward);
        }
        if let Phase::Active(active) = &mut subscription.phase {
            let (live, largest) = subscription.track.status();
            if params.filter.is_some() {
                (active.start, active.end_group) = range(params.filter, largest);
                self.reset_outside(active);
            }
            if let Some(live) = live {
                active.combine(&subscription.wanted, &live.known);
            }
            if forwarded && !subscription.wanted.forward {
                // What is left out makes the open subgroups incomplete (section 11.4.3).
                self.reset_outs(active, ResetCode::Cancelled);
            }
            let priority = subscription.wanted.priority;
            for out in active.outs.iter_mut() {
                out.prioritise(priority, active.publisher_priority, active.order);
            }
        }
        self.subscriptions.put(slot, subscription);
    }

    /// Resets the streams of groups that the filter no longer lets through (section 11.4.3).
    fn reset_outside(&mut self, active: &mut Active) {
        let (first, last) = (active.start.group, active.end_group);
        let outside = |group: u64| group < first || last.is_some_and(|last| group > last);
        let streams = active.outs.iter();
        let outside: Vec<u64> = streams
            .filter(|out| outside(out.group()))
            .map(Out::serial)
            .collect();
        for serial in outside {
            self.kill(active, serial, ResetCode::Cancelled);
        }
    }

    /// Returns whether the peer subscribes to a track or waits for it.
    pub(super) fn subscribes_to(&self, track: &Arc<Track>) -> bool {
        self.subscriptions.slots().any(|slot| {
            self.subscriptions
                .get(slot)
                .is_some_and(|subscription| Arc::ptr_eq(&subscription.track, track))
        })
    }
}

/// First location and last group that a filter lets through (section 5.1.2).
fn range(filter: Option<Filter>, largest: Option<Location>) -> (Location, Option<u64>) {
    let beginning = Location::default();
    match filter {
        None => (beginning, None),
        Some(Filter::LargestObject) => {
            let after = |largest: Location| match largest.object.checked_add(1) {
                Some(object) => Location::new(largest.group, object),
                None => Location::new(largest.group.saturating_add(1), 0),
            };
            (largest.map_or(beginning, after), None)
        }
        Some(Filter::NextGroupStart) => {
            let next = |largest: Location| Location::new(largest.group.saturating_add(1), 0);
            (largest.map_or(beginning, next), None)
        }
        Some(Filter::AbsoluteStart(start)) => (start, None),
        Some(Filter::AbsoluteRange { start, end_group }) => (start, Some(end_group)),
    }
}
