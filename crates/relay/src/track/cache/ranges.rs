//! Ranges of locations that are known not to exist.

use std::collections::BTreeMap;

use moqrelay_moqt::Location;

use super::{after, before};

/// Ranges kept for one track; beyond, the lowest one is forgotten and can be learned again. Publishers that skip
/// groups skip a few.
const RANGES_MAX: usize = 1024;

/// Ranges that neither overlap nor touch: the first location of each, and its last.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<Location, Location>);

impl Ranges {
    pub(super) fn insert(&mut self, first: Location, last: Location) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        // The one that begins before may reach into it, those that begin within it or right after it are taken in.
        let left = self.0.range(..first).next_back().map(|(a, b)| (*a, *b));
        if let Some((begin, end)) = left
            && after(Some(end)) >= first
        {
            first = begin;
            last = last.max(end);
            self.0.remove(&begin);
        }
        while let Some((begin, end)) = self.0.range(first..).next().map(|(a, b)| (*a, *b))
            && begin <= after(Some(last))
        {
            last = last.max(end);
            self.0.remove(&begin);
        }
        self.0.insert(first, last);
        if self.0.len() > RANGES_MAX {
            self.0.pop_first();
        }
    }

    /// Returns the last location of the range that has `at`.
    pub(super) fn covers(&self, at: Location) -> Option<Location> {
        let (_, last) = self.0.range(..=at).next_back()?;
        (*last >= at).then_some(*last)
    }

    /// Returns the first location of the range that has `at`.
    pub(super) fn start_of(&self, at: Location) -> Option<Location> {
        let (first, last) = self.0.range(..=at).next_back()?;
        (*last >= at).then_some(*first)
    }

    /// Returns where the next range after `at` begins.
    pub(super) fn next(&self, at: Location) -> Option<Location> {
        self.0
            .range(after(Some(at))..)
            .next()
            .map(|(first, _)| *first)
    }

    /// Returns where the range before `at` ends.
    pub(super) fn before(&self, at: Location) -> Option<Location> {
        let (_, last) = self.0.range(..at).next_back()?;
        Some((*last).min(before(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(group: u64, object: u64) -> Location {
        Location::new(group, object)
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        let mut ranges = Ranges::default();
        ranges.insert(at(1, 5), at(1, 9));
        ranges.insert(at(3, 0), at(3, 4));
        ranges.insert(at(1, 10), at(2, u64::MAX));

        assert_eq!(
            ranges.0.into_iter().collect::<Vec<_>>(),
            [(at(1, 5), at(3, 4))]
        );
    }

    #[test]
    fn a_range_covers_its_ends_and_nothing_else() {
        let mut ranges = Ranges::default();
        ranges.insert(at(1, 5), at(2, 3));

        assert_eq!(ranges.covers(at(1, 4)), None);
        assert_eq!(ranges.covers(at(1, 5)), Some(at(2, 3)));
        assert_eq!(ranges.covers(at(2, 3)), Some(at(2, 3)));
        assert_eq!(ranges.covers(at(2, 4)), None);
        assert_eq!(ranges.next(at(0, 0)), Some(at(1, 5)));
        assert_eq!(ranges.next(at(1, 5)), None);
        assert_eq!(ranges.before(at(4, 0)), Some(at(2, 3)));
    }

    #[test]
    fn the_lowest_ranges_are_forgotten_beyond_the_limit() {
        let mut ranges = Ranges::default();
        for group in 0..2000 {
            ranges.insert(at(group, 5), at(group, 6));
        }

        assert_eq!(ranges.0.len(), RANGES_MAX);
        assert_eq!(ranges.covers(at(0, 5)), None);
        assert!(ranges.covers(at(1999, 5)).is_some());
    }
}
