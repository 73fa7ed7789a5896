//! Which request ids the peer has used.

use std::collections::BTreeMap;

use crate::{RequestId, Role};

/// Request streams overtake each other, so ids come out of order: runs of used ids, and the gaps between them.
#[derive(Debug)]
pub(super) struct Seen {
    parity: u64,
    /// First and last of each run, counted in steps of two.
    runs: BTreeMap<u64, u64>,
}

/// Far more gaps than streams can be on their way; beyond, the oldest gap counts as used.
const GAPS_MAX: usize = 1024;

impl Seen {
    pub(super) fn new(peer: Role) -> Self {
        Self {
            parity: peer.parity(),
            runs: BTreeMap::new(),
        }
    }

    /// Returns false when the id has the wrong parity or was used before.
    pub(super) fn insert(&mut self, RequestId(id): RequestId) -> bool {
        if id % 2 != self.parity {
            return false;
        }
        let step = id / 2;
        let mut first = step;
        let mut last = step;
        if let Some((before, end)) = self
            .runs
            .range(..=step)
            .next_back()
            .map(|(first, last)| (*first, *last))
        {
            if end >= step {
                return false;
            }
            if end + 1 == step {
                first = before;
            }
        }
        // `step` is at most u64::MAX / 2.
        if let Some(end) = self.runs.remove(&(step + 1)) {
            last = end;
        }
        self.runs.insert(first, last);
        self.bound();
        true
    }

    /// Returns true when the id was used.
    pub(super) fn contains(&self, RequestId(id): RequestId) -> bool {
        let run = self.runs.range(..=id / 2).next_back();
        id % 2 == self.parity && run.is_some_and(|(_, last)| *last >= id / 2)
    }

    /// Returns the smallest id above all used ones.
    pub(super) fn next(&self) -> RequestId {
        let step = self.runs.last_key_value().map_or(0, |(_, last)| last + 1);
        RequestId(step.saturating_mul(2) + self.parity)
    }

    fn bound(&mut self) {
        if self.runs.len() <= GAPS_MAX {
            return;
        }
        let (Some((first, _)), Some((_, last))) = (self.runs.pop_first(), self.runs.pop_first())
        else {
            return;
        };
        self.runs.insert(first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen::new(Role::Client)
    }

    #[test]
    fn ids_may_come_in_any_order_but_only_once() {
        let mut seen = seen();

        let order = [4, 0, 2, 8, 6, 2, 8, 4, 0, 6, 10];
        let fresh: Vec<u64> = order
            .into_iter()
            .filter(|id| seen.insert(RequestId(*id)))
            .collect();

        assert_eq!(fresh, [4, 0, 2, 8, 6, 10]);
        assert_eq!(seen.runs.len(), 1);
        assert_eq!(seen.next(), RequestId(12));
    }

    #[test]
    fn used_ids_are_known_and_others_are_not() {
        let mut seen = seen();
        for id in [0, 2, 6] {
            assert!(seen.insert(RequestId(id)));
        }

        let known: Vec<u64> = (0..10).filter(|id| seen.contains(RequestId(*id))).collect();

        assert_eq!(known, [0, 2, 6]);
    }

    #[test]
    fn ids_of_the_wrong_parity_are_refused() {
        assert!(!seen().insert(RequestId(1)));
        assert!(!Seen::new(Role::Server).insert(RequestId(2)));
        assert!(Seen::new(Role::Server).insert(RequestId(1)));
    }

    #[test]
    fn the_largest_ids_do_not_overflow() {
        let mut seen = seen();

        assert!(seen.insert(RequestId(u64::MAX - 1)));
        assert!(!seen.insert(RequestId(u64::MAX - 1)));
        assert!(seen.insert(RequestId(u64::MAX - 3)));
        assert!(seen.next().0 >= u64::MAX - 1);
    }

    #[test]
    fn gaps_do_not_grow_without_bound() {
        let mut seen = seen();

        for id in 0..10_000 {
            assert!(seen.insert(RequestId(id * 4)));
        }

        assert_eq!(seen.runs.len(), GAPS_MAX);
        assert!(!seen.insert(RequestId(2)), "the oldest gap counts as used");
        assert!(
            seen.insert(RequestId(9_998 * 4 + 2)),
            "the newest one does not"
        );
    }
}
