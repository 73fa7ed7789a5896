//! Sets of numbers that mostly follow each other.

/// What is remembered of the ids of a group's objects, or of groups.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Runs(pub(super) Vec<(u64, u64)>);

impl Runs {
    pub(super) fn insert(&mut self, first: u64, last: u64) {
        // The usual case: the next one.
        if let Some(run) = self.0.last_mut()
            && run.1.checked_add(1) == Some(first)
        {
            run.1 = last;
            return;
        }
        let from = self
            .0
            .partition_point(|run| run.1.saturating_add(1) < first);
        let to = self
            .0
            .partition_point(|run| run.0 <= last.saturating_add(1));
        let touched = self.0.get(from..to).unwrap_or_default();
        let low = touched.first().map_or(first, |run| run.0.min(first));
        let high = touched.last().map_or(last, |run| run.1.max(last));
        self.0.splice(from..to.max(from), [(low, high)]);
        if self.0.len() > RUNS_MAX {
            self.0.remove(0);
        }
    }

    pub(super) fn absorb(&mut self, other: Self) {
        for (first, last) in other.0 {
            self.insert(first, last);
        }
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.overlaps(id, id)
    }

    pub(super) fn overlaps(&self, first: u64, last: u64) -> bool {
        let index = self.0.partition_point(|run| run.1 < first);
        self.0.get(index).is_some_and(|run| run.0 <= last)
    }
}

/// Runs of object ids that are remembered of a group and publisher. Datagrams arrive out of order a
/// few at a time, and gaps that never close are the publisher's own.
pub(super) const RUNS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_grow_meet_and_keep_their_order() {
        let mut runs = Runs::default();

        for id in [5, 7, 6, 0, u64::MAX, u64::MAX - 1, 2, 1] {
            runs.insert(id, id);
        }

        assert_eq!(runs.0, [(0, 2), (5, 7), (u64::MAX - 1, u64::MAX)]);
        assert!(runs.contains(1) && !runs.contains(3) && runs.overlaps(3, 5));
    }
}
