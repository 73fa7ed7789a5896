//! What a cache answers to those who come late.

use std::time::Instant;

use moqrelay_moqt::{GroupOrder, Location, data::Absence};

use super::{Cache, Cached, after, before, first_of};
use crate::track::Object;

/// Steps taken to find the last unknown location of a range; beyond, the end of the range stands for it.
const SCAN_MAX: usize = 2048;

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Object(Object),
    /// Nothing is here from the location asked for up to and with `last`.
    Gap {
        absence: Absence,
        last: Location,
    },
}

/// A range of locations and the order in which they are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) order: GroupOrder,
    pub(crate) first: Location,
    pub(crate) last: Location,
}

impl Span {
    /// Returns the location that is wanted first.
    pub(crate) fn begin(&self) -> Location {
        match self.order {
            GroupOrder::Ascending => self.first,
            GroupOrder::Descending => Location::new(self.last.group, self.low(self.last.group)),
        }
    }

    /// Returns the location that is wanted after another one; `None`: that was the last.
    pub(crate) fn after(&self, location: Location) -> Option<Location> {
        let Location { group, object } = location;
        if object < self.high(group) {
            return Some(Location::new(group, object + 1));
        }
        let next = match self.order {
            GroupOrder::Ascending if group < self.last.group => group + 1,
            GroupOrder::Descending if group > self.first.group => group - 1,
            GroupOrder::Ascending | GroupOrder::Descending => return None,
        };
        Some(Location::new(next, self.low(next)))
    }

    /// Returns true when `a` is wanted before `b`.
    pub(crate) fn is_before(&self, a: Location, b: Location) -> bool {
        match self.order {
            GroupOrder::Ascending => a < b,
            GroupOrder::Descending => (b.group, a.object) < (a.group, b.object),
        }
    }

    fn low(&self, group: u64) -> u64 {
        if group == self.first.group {
            self.first.object
        } else {
            0
        }
    }

    /// Returns the last object id that is wanted of a group.
    pub(crate) fn high(&self, group: u64) -> u64 {
        if group == self.last.group {
            self.last.object
        } else {
            u64::MAX
        }
    }
}

impl Cache {
    /// Returns the first location of the group so many groups before the newest one.
    pub(crate) fn groups_back(&self, count: usize) -> Option<Location> {
        let groups = || {
            let numbers = self.groups.iter().map(|(number, _)| *number);
            numbers.filter(|number| first_of(&self.objects, *number).is_some())
        };
        let group = groups().rev().nth(count).or_else(|| groups().next());
        group.map(|group| Location::new(group, 0))
    }

    /// Returns the first location of the earliest group with an object that came since `then`.
    pub(crate) fn since(&self, then: Instant) -> Option<Location> {
        let newest_first = self.order.iter().rev().map(|(_, location)| *location);
        let recent = newest_first.take_while(|location| {
            let cached = self.objects.get(*location);
            cached.is_some_and(|cached| cached.at >= then)
        });
        let group = recent.map(|location| location.group).min();
        group.map(|group| Location::new(group, 0))
    }

    /// Adds the parts of a span from `from` on to `out`: at most `max` objects and gaps, or `bytes` of payload. Returns
    /// where to go on; `None`: the span is over.
    pub(crate) fn collect(
        &mut self,
        span: &Span,
        from: Location,
        max: usize,
        bytes: usize,
        now: Instant,
        out: &mut Vec<Piece>,
    ) -> Option<Location> {
        self.evict(now);
        let mut from = from;
        let mut sum = 0;
        for _ in 0..max {
            let (piece, last) = self.step(span, from);
            match piece {
                Step::Gap(absence) => out.push(Piece::Gap { absence, last }),
                Step::Object(cached) => {
                    let object = cached.to_object(last);
                    sum += object.payload.len();
                    out.push(Piece::Object(object));
                }
            }
            from = span.after(last)?;
            if sum >= bytes {
                break;
            }
        }
        Some(from)
    }

    /// Returns the last location from `from` on of which nothing is known, in the order of the span.
    pub(crate) fn last_unknown(&self, span: &Span, from: Location) -> Option<Location> {
        let mut found = None;
        let mut next = Some(from);
        for _ in 0..SCAN_MAX {
            let Some(from) = next else {
                return found;
            };
            let (piece, last) = self.step(span, from);
            if matches!(piece, Step::Gap(Absence::Unknown)) {
                found = Some(last);
            }
            next = span.after(last);
        }
        let end = match span.order {
            GroupOrder::Ascending => span.last,
            GroupOrder::Descending => Location::new(span.first.group, span.high(span.first.group)),
        };
        Some(end)
    }

    /// Adds objects from `from` on to `out` that the log had before `position` or never had; returns where to go on.
    pub(crate) fn replay(
        &self,
        from: Location,
        position: u64,
        max: usize,
        out: &mut Vec<Object>,
    ) -> Option<Location> {
        let mut objects = self.objects.from(from);
        let before = out.len();
        let mut last = None;
        for (location, cached) in &mut objects {
            last = Some(*location);
            if cached.position.is_none_or(|at| at < position) {
                out.push(cached.to_object(*location));
            }
            if out.len() - before == max {
                break;
            }
        }
        objects.next()?;
        last.map(|last| after(Some(last)))
    }

    /// What is at `from`, and the last location of the span for which that holds.
    fn step(&self, span: &Span, from: Location) -> (Step<'_>, Location) {
        let limit = match span.order {
            GroupOrder::Ascending => span.last,
            GroupOrder::Descending => Location::new(from.group, span.high(from.group)),
        };
        let next = self.next_object(from).filter(|(at, _)| *at <= limit);
        let gap_limit = match next {
            Some((at, cached)) if at == from => return (Step::Object(cached), from),
            Some((at, _)) => before(at),
            None => limit,
        };
        let (absence, last) = self.classify(from, gap_limit);
        let whole_group = last == limit && from.object == span.low(from.group);
        if span.order == GroupOrder::Descending && whole_group {
            let floor = self.floor(span, from.group, absence);
            return (Step::Gap(absence), Location::new(floor, span.high(floor)));
        }
        (Step::Gap(absence), last)
    }

    pub(super) fn next_object(&self, from: Location) -> Option<(Location, &Cached)> {
        let (location, cached) = self.objects.from(from).next()?;
        Some((*location, cached))
    }

    /// What is known of `from`, where no object is, and up to which location, at most `limit`, that holds.
    fn classify(&self, from: Location, limit: Location) -> (Absence, Location) {
        let is_beyond = |end: Option<Location>| end.is_some_and(|end| from >= end);
        if is_beyond(self.end) || is_beyond(self.whole_from) {
            return (Absence::NonExistent, limit);
        }
        if let Some(last) = self.absent.covers(from) {
            return (Absence::NonExistent, last.min(limit));
        }
        let mut limit = limit;
        for known in [self.end, self.whole_from, self.absent.next(from)] {
            if let Some(known) = known.filter(|known| *known > from) {
                limit = limit.min(before(known));
            }
        }
        let Some(group) = self.groups.get(from.group) else {
            let next = self.groups.from(from.group).next();
            let until = next.map(|(number, _)| before(Location::new(*number, 0)));
            return (
                Absence::Unknown,
                until.map_or(limit, |until| until.min(limit)),
            );
        };
        let limit = limit.min(Location::new(from.group, u64::MAX));
        let newest = self.groups.last().map(|(number, _)| *number) == Some(from.group);
        if group.end.is_some_and(|end| from.object >= end) {
            return (Absence::NonExistent, limit);
        }
        let complete = !group.doubtful && group.open == 0 && (group.end.is_some() || !newest);
        let at_head = first_of(&self.objects, from.group).is_none_or(|first| first >= from.object);
        if complete && !(at_head && group.headless) {
            return (Absence::NonExistent, limit);
        }
        let end = group.end.filter(|end| *end > from.object);
        let until = end.map_or(limit, |end| limit.min(Location::new(from.group, end - 1)));
        (Absence::Unknown, until)
    }

    /// The lowest group down to which every group is as absent as `group` is.
    fn floor(&self, span: &Span, group: u64, absence: Absence) -> u64 {
        let mut floor = span.first.group;
        let below = group
            .checked_sub(1)
            .and_then(|below| self.groups.up_to(below));
        // An empty group that is known counts as its neighbours do not.
        floor = floor.max(below.map_or(0, |(number, _)| number.saturating_add(1)));
        if self.groups.get(group).is_some() {
            return group;
        }
        let from = Location::new(group, 0);
        let whole = |first: Location| first.group.saturating_add(u64::from(first.object > 0));
        match absence {
            Absence::NonExistent => {
                let known = [self.end, self.whole_from, self.absent.start_of(from)];
                let first = known
                    .into_iter()
                    .flatten()
                    .filter(|known| *known <= from)
                    .min();
                first.map_or(group, |first| floor.max(whole(first)).min(group))
            }
            Absence::Unknown => {
                let known = self
                    .absent
                    .before(from)
                    .map_or(0, |last| last.group.saturating_add(1));
                floor.max(known).min(group)
            }
        }
    }
}

enum Step<'a> {
    Object(&'a Cached),
    Gap(Absence),
}
