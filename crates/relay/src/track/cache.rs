//! What a track keeps for those who come late: its objects by location, and what is known of the gaps between them.
//!
//! The log beside it is short and in the order of arrival, for readers that follow; the cache is long and in the
//! order of locations, for FETCH and for readers that begin in the past. Time comes in as an argument.

mod answer;
mod pages;
mod ranges;
mod shelf;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use moqrelay_moqt::{Location, ObjectProperties, TrackProperties, data::ObjectStatus};

pub(crate) use self::answer::{Piece, Span};
use self::{
    pages::{PageId, Pages},
    ranges::Ranges,
    shelf::Shelf,
};
use super::{Item, Live, Object, SubgroupEnd};
use crate::{
    budget::{Budget, CacheKey, Reason},
    limits::CachePolicy,
};

/// Properties and payload up to this size together are copied: they may be small slices of large network buffers, which
/// must not stay in memory for their sake. Larger ones fill most of theirs.
const COPIED_MAX: usize = 4096;

/// The cached objects of one track.
pub(crate) struct Cache {
    policy: CachePolicy,
    /// The policy's age, or less when the publisher wants it.
    age: Duration,
    key: CacheKey,
    budget: Arc<Budget>,
    groups: Shelf<u64, Group>,
    objects: Shelf<Location, Cached>,
    /// Where the objects are, in the order of arrival.
    order: Shelf<u64, Location>,
    /// How many objects were ever kept.
    arrivals: u64,
    /// What small objects hold.
    pages: Pages,
    /// What large ones hold, in bytes.
    shared_bytes: usize,
    /// All of it.
    bytes: usize,
    /// What is known not to exist, beside what the groups say.
    absent: Ranges,
    /// From here on everything that exists is here: the publisher is in this process and nothing was evicted.
    whole_from: Option<Location>,
    /// Nothing exists at or after this location.
    end: Option<Location>,
    largest: Option<Location>,
    /// The last publisher.
    live: Option<Arc<Live>>,
    /// Which publisher counts now.
    epoch: u64,
}

#[derive(Debug, Default)]
struct Group {
    /// Streams of it that have not ended.
    open: u32,
    /// Something of it may be missing in the middle or at the end.
    doubtful: bool,
    /// Something of it may be missing at the beginning.
    headless: bool,
    /// No object has this id or a higher one.
    end: Option<u64>,
}

/// An object whose location is known.
#[derive(Debug)]
struct Cached {
    at: Instant,
    arrival: u64,
    epoch: u64,
    /// Where the track's log has it, when it came that way.
    position: Option<u64>,
    subgroup: Option<u64>,
    body: Body,
    priority: Option<u8>,
    end_of_group: bool,
}

/// Properties and payload.
#[derive(Debug)]
enum Body {
    /// A copy of both, one after the other.
    Copied {
        page: PageId,
        properties_len: u16,
        bytes: Bytes,
    },
    /// Those that came, which others share.
    Shared(Box<[Bytes; 2]>),
}

impl Cache {
    pub(crate) fn new(policy: CachePolicy, key: CacheKey, budget: Arc<Budget>) -> Self {
        Self {
            policy,
            age: policy.age,
            key,
            budget,
            groups: Shelf::default(),
            objects: Shelf::default(),
            order: Shelf::default(),
            arrivals: 0,
            pages: Pages::default(),
            shared_bytes: 0,
            bytes: 0,
            absent: Ranges::default(),
            whole_from: None,
            end: None,
            largest: None,
            live: None,
            epoch: 0,
        }
    }

    /// Another track of the same name goes on with it: its log has nothing of what is here.
    pub(crate) fn inherit(&mut self) {
        for cached in self.objects.values_mut() {
            cached.position = None;
        }
        self.interrupted();
    }

    /// A publisher began.
    fn began(&mut self, live: &Arc<Live>) {
        self.epoch += 1;
        self.interrupted();
        self.end = None;
        self.joined(live);
        // What came before this publisher may have been forgotten by now.
        let before = live.largest.max(self.largest);
        self.whole_from = (live.is_local && self.keeps()).then(|| after(before));
    }

    /// Another publisher joined those that are there.
    pub(crate) fn joined(&mut self, live: &Arc<Live>) {
        self.age = live
            .known
            .cache_duration_max
            .map_or(self.policy.age, |most| most.min(self.policy.age));
        self.live = Some(live.clone());
    }

    /// The publisher is gone: what it left open will not be completed.
    pub(crate) fn interrupted(&mut self) {
        for group in self.groups.values_mut() {
            group.doubtful |= group.open > 0;
            group.open = 0;
        }
        let objects = &self.objects;
        self.groups
            .retain(|number, _| last_of(objects, *number).is_some());
        self.weigh();
    }

    /// Keeps what happened; `position`: where the log will have it.
    pub(crate) fn keep(&mut self, item: &Item, position: u64, now: Instant) {
        match item {
            Item::Began(live) => self.began(live),
            Item::Datagram { object, .. } => self.keep_object(object, position, now),
            Item::Object(sub) => {
                self.keep_object(&sub.to_object(), position, now);
                if sub.previous.is_none() && sub.object.status == ObjectStatus::Normal {
                    self.opened(sub.subgroup.group, sub.subgroup.first_object);
                }
            }
            Item::Closed {
                subgroup,
                end,
                empty: false,
            } => {
                let complete = *end == SubgroupEnd::Fin;
                self.closed(subgroup.group, complete, subgroup.end_of_group);
            }
            Item::Closed { .. } | Item::Refused(_) => {}
            Item::Ended(_) => self.interrupted(),
        }
    }

    /// The publisher skipped what an object says that it skipped.
    pub(crate) fn skipped(&mut self, location: Location, properties: &ObjectProperties) {
        let Location { group, object } = location;
        if let Some(gap) = properties
            .prior_group_gap
            .filter(|gap| (1..=group).contains(gap))
        {
            let last = Location::new(group - 1, u64::MAX);
            self.learn_absent(Location::new(group - gap, 0), last);
        }
        if let Some(gap) = properties
            .prior_object_gap
            .filter(|gap| (1..=object).contains(gap))
        {
            let last = Location::new(group, object - 1);
            self.learn_absent(Location::new(group, object - gap), last);
        }
    }

    fn keep_object(&mut self, object: &Object, position: u64, now: Instant) {
        let location = object.location();
        match object.status {
            ObjectStatus::EndOfGroup => self.group_ends(location),
            ObjectStatus::EndOfTrack => self.track_ends(location),
            ObjectStatus::Normal => {
                self.insert(object, Some(position), now);
                if object.subgroup.is_none() {
                    self.doubt(object.group);
                }
                if object.end_of_group {
                    self.group_ends(Location::new(object.group, object.id.saturating_add(1)));
                }
            }
        }
    }

    /// Adds an object; `position`: where the log has it. What is there already stays, unless it is from an earlier
    /// publisher.
    pub(crate) fn insert(&mut self, object: &Object, position: Option<u64>, now: Instant) {
        if !self.keeps() {
            return;
        }
        let location = object.location();
        if let Some(before) = self.objects.get_mut(location) {
            if before.epoch == self.epoch || position.is_none() {
                before.position = before.position.or(position);
                return;
            }
            self.forget(location, Reason::Replaced);
        }
        if self.groups.get(location.group).is_none() {
            // Without a position: a part of a group that nobody has followed.
            let unknown = position.is_none();
            let group = Group {
                doubtful: unknown,
                headless: unknown,
                ..Group::default()
            };
            self.groups.insert(location.group, group);
        }
        let cached = Cached {
            at: now,
            arrival: self.arrivals,
            epoch: self.epoch,
            position,
            subgroup: object.subgroup,
            body: self.body(object),
            priority: object.priority,
            end_of_group: object.end_of_group,
        };
        self.order.insert(self.arrivals, location);
        self.arrivals += 1;
        self.objects.insert(location, cached);
        self.budget.came();
        self.weigh();
        self.largest = self.largest.max(Some(location));
        self.evict(now);
    }

    /// A copy that keeps no network buffer alive, where that is worth the copy.
    fn body(&mut self, object: &Object) -> Body {
        let (properties, payload) = (&object.properties, &object.payload);
        if let Ok(properties_len) = u16::try_from(properties.len())
            && properties.len() + payload.len() <= COPIED_MAX
        {
            let (page, bytes) = self.pages.keep([properties, payload]);
            return Body::Copied {
                page,
                properties_len,
                bytes,
            };
        }
        self.shared_bytes += shared_cost(properties, payload);
        Body::Shared(Box::new([properties.clone(), payload.clone()]))
    }

    /// A publisher's stream began; `first_object`: with the first object of its subgroup.
    fn opened(&mut self, group: u64, first_object: bool) {
        let Some(group) = self.groups.get_mut(group) else {
            return; // Not cached.
        };
        group.open = group.open.saturating_add(1);
        group.headless |= !first_object;
    }

    /// A publisher's stream ended; `complete`: with FIN; `last`: it had the group's last object.
    fn closed(&mut self, number: u64, complete: bool, last: bool) {
        let Some(group) = self.groups.get_mut(number) else {
            return;
        };
        group.open = group.open.saturating_sub(1);
        group.doubtful |= !complete;
        let last_id = last_of(&self.objects, number);
        if complete && last {
            group.end = last_id.map(|id| id.saturating_add(1));
        }
        if group.open == 0 && last_id.is_none() {
            self.groups.remove(number);
            self.weigh();
        }
    }

    /// Datagrams of a group may be lost on the way without anyone knowing.
    fn doubt(&mut self, group: u64) {
        if let Some(group) = self.groups.get_mut(group) {
            group.doubtful = true;
            group.headless = true;
        }
    }

    /// No object of a group has this id or a higher one.
    fn group_ends(&mut self, end: Location) {
        // Without its objects there is nothing to keep it for.
        if let Some(group) = self.groups.get_mut(end.group) {
            group.end = Some(group.end.map_or(end.object, |id| id.min(end.object)));
        }
    }

    /// Nothing exists at this location or after it.
    fn track_ends(&mut self, end: Location) {
        self.end = Some(end);
    }

    /// No more objects will come than there are.
    pub(crate) fn is_over(&mut self) {
        self.interrupted();
        self.end = self.end.or_else(|| self.largest.map(|at| after(Some(at))));
    }

    /// Nothing exists from `first` to `last`, both included.
    pub(crate) fn learn_absent(&mut self, first: Location, last: Location) {
        if self.keeps() {
            self.absent.insert(first, last);
        }
    }

    /// Forgets what is too old.
    pub(crate) fn trim(&mut self, now: Instant) {
        self.evict(now);
        if self.is_empty() {
            self.absent = Ranges::default();
        }
    }

    /// Forgets the oldest objects until the rest takes no more than `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        while self.bytes > bytes && self.evict_oldest(Reason::Total) {}
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Returns the largest location of an object that was ever here.
    pub(crate) fn largest(&self) -> Option<Location> {
        self.largest
    }

    /// Returns the last publisher.
    pub(crate) fn live(&self) -> Option<&Arc<Live>> {
        self.live.as_ref()
    }

    /// Returns the end of the track once it is known.
    pub(crate) fn end(&self) -> Option<Location> {
        self.end
    }

    /// Returns the priority of objects whose publisher names none.
    pub(crate) fn default_priority(&self) -> u8 {
        let named = self
            .live
            .as_ref()
            .and_then(|live| live.known.publisher_priority);
        named.unwrap_or(TrackProperties::PRIORITY_DEFAULT)
    }

    /// Returns whether anything is kept at all.
    fn keeps(&self) -> bool {
        !self.age.is_zero() && self.policy.bytes > 0 && self.policy.objects > 0
    }

    fn evict(&mut self, now: Instant) {
        while let Some((_, location)) = self.order.first() {
            let at = self.objects.get(*location).map_or(now, |cached| cached.at);
            let reason = if now.saturating_duration_since(at) > self.age {
                Reason::Age
            } else if self.bytes > self.policy.bytes {
                Reason::Bytes
            } else if self.objects.len() > self.policy.objects {
                Reason::Objects
            } else {
                break;
            };
            self.evict_oldest(reason);
        }
    }

    fn evict_oldest(&mut self, reason: Reason) -> bool {
        let Some((_, location)) = self.order.first() else {
            return false;
        };
        let location = *location;
        self.forget(location, reason);
        let first = first_of(&self.objects, location.group);
        if let Some(group) = self.groups.get_mut(location.group) {
            let at_head = first.is_none_or(|first| first > location.object);
            group.headless |= at_head;
            group.doubtful |= !at_head || first.is_none();
            if group.open == 0 && first.is_none() {
                self.groups.remove(location.group);
            }
        }
        if let Some(from) = &mut self.whole_from {
            *from = (*from).max(after(Some(location)));
        }
        self.weigh();
        true
    }

    fn forget(&mut self, location: Location, reason: Reason) {
        let Some(cached) = self.objects.remove(location) else {
            return;
        };
        self.order.remove(cached.arrival);
        match cached.body {
            Body::Copied { page, bytes, .. } => {
                drop(bytes);
                self.pages.release(page);
            }
            Body::Shared(parts) => self.shared_bytes -= shared_cost(&parts[0], &parts[1]),
        }
        if self.is_empty() {
            self.pages.clear();
        }
        self.budget.went(reason);
    }

    /// Finds out what all of it takes.
    fn weigh(&mut self) {
        let places = self.objects.bytes() + self.order.bytes() + self.groups.bytes();
        let bytes = places + self.pages.bytes() + self.shared_bytes;
        self.budget.weigh(self.bytes, bytes);
        self.bytes = bytes;
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        while self.evict_oldest(Reason::Gone) {}
        self.budget.forget(self.key);
    }
}

impl Cached {
    /// Returns it as it came.
    fn to_object(&self, location: Location) -> Object {
        let (properties, payload) = match &self.body {
            Body::Copied {
                properties_len,
                bytes,
                ..
            } => {
                let middle = usize::from(*properties_len);
                (bytes.slice(..middle), bytes.slice(middle..))
            }
            Body::Shared(parts) => (parts[0].clone(), parts[1].clone()),
        };
        Object {
            group: location.group,
            subgroup: self.subgroup,
            id: location.object,
            priority: self.priority,
            status: ObjectStatus::Normal,
            end_of_group: self.end_of_group,
            properties,
            payload,
        }
    }
}

/// What a large object costs beside its place.
fn shared_cost(properties: &Bytes, payload: &Bytes) -> usize {
    size_of::<[Bytes; 2]>() + properties.len() + payload.len()
}

/// Returns the lowest id of a group's objects.
fn first_of(objects: &Shelf<Location, Cached>, group: u64) -> Option<u64> {
    let (location, _) = objects.from(Location::new(group, 0)).next()?;
    (location.group == group).then_some(location.object)
}

/// Returns the highest id of a group's objects.
fn last_of(objects: &Shelf<Location, Cached>, group: u64) -> Option<u64> {
    let (location, _) = objects.up_to(Location::new(group, u64::MAX))?;
    (location.group == group).then_some(location.object)
}

/// The location after another one, or the first of all.
pub(crate) fn after(location: Option<Location>) -> Location {
    match location {
        None => Location::default(),
        Some(Location { group, object }) => match object.checked_add(1) {
            Some(object) => Location::new(group, object),
            None => Location::new(group.saturating_add(1), 0),
        },
    }
}

/// The location before another one, which is not the first of all.
pub(crate) fn before(location: Location) -> Location {
    match location.object.checked_sub(1) {
        Some(object) => Location::new(location.group, object),
        None => Location::new(location.group.saturating_sub(1), u64::MAX),
    }
}

#[cfg(test)]
mod tests;
