//! A sorted sequence in leaves of one size.

use std::collections::VecDeque;

/// What a leaf takes, in bytes: of a size that many leaves share, so that one fits where another one was.
const LEAF_BYTES: usize = 4096;

/// A map in the order of its keys that mostly grows at its end and shrinks at its beginning.
///
/// Its memory comes and goes in whole leaves, all of one size, and the last leaf that became empty is the next one
/// that is filled: what is forgotten leaves no holes among what other parts of the process keep. A map of the library
/// has nodes of another size for each type, half of each empty when it grows at its end.
#[derive(Debug)]
pub(super) struct Shelf<K, V> {
    /// None is empty.
    leaves: VecDeque<Leaf<K, V>>,
    len: usize,
    spare: Option<Leaf<K, V>>,
}

type Leaf<K, V> = VecDeque<(K, V)>;

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self {
            leaves: VecDeque::new(),
            len: 0,
            spare: None,
        }
    }
}

impl<K: Ord + Copy, V> Shelf<K, V> {
    /// Entries of a whole leaf.
    const FULL: usize = LEAF_BYTES / size_of::<(K, V)>();

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns what it takes, in bytes: whole leaves, unless there is only one.
    pub(super) fn bytes(&self) -> usize {
        match self.leaves.len() {
            0 | 1 => self.len * size_of::<(K, V)>(),
            leaves => (leaves + usize::from(self.spare.is_some())) * LEAF_BYTES,
        }
    }

    pub(super) fn first(&self) -> Option<&(K, V)> {
        self.leaves.front()?.front()
    }

    pub(super) fn last(&self) -> Option<&(K, V)> {
        self.leaves.back()?.back()
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let (leaf, at) = self.find(key).ok()?;
        self.leaves.get(leaf)?.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (leaf, at) = self.find(key).ok()?;
        let entry = self.leaves.get_mut(leaf)?.get_mut(at);
        entry.map(|(_, value)| value)
    }

    /// Returns what has the highest key that is not above this one.
    pub(super) fn up_to(&self, key: K) -> Option<&(K, V)> {
        let (leaf, at) = match self.find(key) {
            Ok(found) => found,
            Err((0, 0)) => return None,
            Err((leaf, 0)) => return self.leaves.get(leaf - 1)?.back(),
            Err((leaf, at)) => (leaf, at - 1),
        };
        self.leaves.get(leaf)?.get(at)
    }

    /// Returns everything from a key on, in order.
    pub(super) fn from(&self, key: K) -> impl Iterator<Item = &(K, V)> {
        let (leaf, at) = self.find(key).unwrap_or_else(|place| place);
        let head = self.leaves.get(leaf).map(|leaf| leaf.range(at..));
        let rest = self.leaves.range((leaf + 1).min(self.leaves.len())..);
        head.into_iter().flatten().chain(rest.flatten())
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &(K, V)> {
        self.leaves.iter().flatten()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let entries = self.leaves.iter_mut().flatten();
        entries.map(|(_, value)| value)
    }

    /// Puts something in its place; what had the key before is returned.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (mut leaf, mut at) = match self.find(key) {
            Ok((leaf, at)) => {
                let (_, before) = self.leaves.get_mut(leaf)?.get_mut(at)?;
                return Some(std::mem::replace(before, value));
            }
            Err(place) => place,
        };
        self.len += 1;
        if leaf == self.leaves.len() {
            let new = self.new_leaf();
            self.leaves.push_back(new);
        }
        let has_room = |leaf: &Leaf<K, V>| leaf.len() < Self::FULL;
        if at == Self::FULL && self.leaves.get(leaf + 1).is_some_and(has_room) {
            (leaf, at) = (leaf + 1, 0);
        } else if !self.leaves.get(leaf).is_some_and(has_room) {
            // It is parted where this belongs: what goes on there, upwards or downwards, fills leaves to the end.
            let mut new = self.new_leaf();
            new.extend(self.leaves.get_mut(leaf)?.drain(at..));
            self.leaves.insert(leaf + 1, new);
            if at == Self::FULL {
                (leaf, at) = (leaf + 1, 0);
            }
        }
        self.leaves.get_mut(leaf)?.insert(at, (key, value));
        None
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let (leaf, at) = self.find(key).ok()?;
        let (_, value) = self.leaves.get_mut(leaf)?.remove(at)?;
        self.len -= 1;
        self.close_up(leaf);
        if let Some(before) = leaf.checked_sub(1) {
            self.close_up(before);
        }
        if self.leaves.len() < 2 {
            // It is not needed soon.
            self.spare = None;
        }
        Some(value)
    }

    /// Removes whatever is not wanted.
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(&K, &V) -> bool) {
        let unwanted: Vec<K> = self
            .iter()
            .filter(|(key, value)| !wanted(key, value))
            .map(|(key, _)| *key)
            .collect();
        for key in unwanted {
            self.remove(key);
        }
    }

    /// Lets a leaf go that has become empty, and puts what is left of it together with the next one when both have
    /// become small.
    fn close_up(&mut self, leaf: usize) {
        let len = |leaf: usize| self.leaves.get(leaf).map(VecDeque::len);
        match (len(leaf), len(leaf + 1)) {
            (Some(0), _) => self.spare = self.leaves.remove(leaf),
            (Some(here), Some(next)) if here + next <= Self::FULL / 2 => {
                let next = self.leaves.remove(leaf + 1);
                if let (Some(here), Some(next)) = (self.leaves.get_mut(leaf), next) {
                    here.extend(next);
                }
            }
            _ => {}
        }
    }

    /// The first one grows as it is filled, for most shelves of small tracks have one.
    fn new_leaf(&mut self) -> Leaf<K, V> {
        if self.leaves.is_empty() {
            return VecDeque::new();
        }
        let spare = self.spare.take();
        let spare = spare.filter(|leaf| leaf.capacity() >= Self::FULL);
        spare.unwrap_or_else(|| VecDeque::with_capacity(Self::FULL))
    }

    /// Where it is, or where it belongs: the leaf, and the place in it. What belongs behind a last leaf that is full
    /// belongs into a new one.
    fn find(&self, key: K) -> Result<(usize, usize), (usize, usize)> {
        let Some(end) = self.leaves.len().checked_sub(1) else {
            return Err((0, 0));
        };
        let last = &self.leaves[end];
        // Nearly always.
        if last.back().is_some_and(|(last, _)| *last < key) {
            return match last.len() < Self::FULL {
                true => Err((end, last.len())),
                false => Err((end + 1, 0)),
            };
        }
        let begins_before =
            |leaf: &Leaf<K, V>| leaf.front().is_some_and(|(first, _)| *first <= key);
        let leaf = self.leaves.partition_point(begins_before);
        let leaf = leaf.saturating_sub(1);
        let found = self.leaves[leaf].binary_search_by_key(&key, |(key, _)| *key);
        found.map(|at| (leaf, at)).map_err(|at| (leaf, at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Large enough that a leaf has 16.
    type Large = [u64; 31];

    #[test]
    fn it_is_what_a_map_would_be() {
        let (mut shelf, mut map) = (Shelf::default(), BTreeMap::new());
        let mut seed = 7_u64;
        for step in 0..30_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (seed >> 33) % 400;
            let value = [step; 31];
            // It grows for a while, and shrinks for a while.
            let growing = (step / 3000) % 2 == 0;
            match (seed >> 20) % 4 {
                0 => assert_eq!(shelf.remove(key), map.remove(&key)),
                1 if growing => assert_eq!(shelf.insert(key, value), map.insert(key, value)),
                1 => assert_eq!(shelf.remove(key), map.remove(&key)),
                2 => {
                    assert_eq!(shelf.get(key), map.get(&key));
                    assert_eq!(shelf.get_mut(key), map.get_mut(&key));
                    let below = map
                        .range(..=key)
                        .next_back()
                        .map(|(key, value)| (*key, *value));
                    assert_eq!(shelf.up_to(key).copied(), below);
                }
                _ => {
                    let rest: Vec<&Large> = shelf.from(key).map(|(_, value)| value).collect();
                    let wanted: Vec<&Large> = map.range(key..).map(|(_, value)| value).collect();
                    assert_eq!(rest, wanted);
                }
            }
            assert_eq!(shelf.len(), map.len());
            assert_eq!(shelf.first().map(|(key, _)| key), map.keys().next());
            assert_eq!(shelf.last().map(|(key, _)| key), map.keys().next_back());
            let leaves = shelf.leaves.len() + usize::from(shelf.spare.is_some());
            let bytes = if leaves < 2 {
                256 * shelf.len()
            } else {
                4096 * leaves
            };
            assert_eq!(shelf.bytes(), bytes);
        }
        shelf.retain(|key, _| key % 3 == 0);
        map.retain(|key, _| key % 3 == 0);
        let backwards: Vec<_> = shelf.iter().rev().map(|(key, _)| *key).collect();
        assert_eq!(backwards, map.keys().rev().copied().collect::<Vec<_>>());
    }

    #[test]
    fn what_moves_on_takes_no_new_memory() {
        let mut shelf = Shelf::default();
        for key in 0..100_u64 {
            shelf.insert(key, [key; 31]);
        }
        let place =
            |leaf: &Leaf<u64, Large>| leaf.as_slices().0.as_ptr_range().start as usize / 4096;
        let mut before: Vec<_> = shelf.leaves.iter().map(place).collect();

        for key in 100..10_000 {
            shelf.remove(key - 100);
            shelf.insert(key, [key; 31]);
        }

        assert_eq!(
            shelf.leaves.len() + usize::from(shelf.spare.is_some()),
            before.len() + 1
        );
        before.sort_unstable();
        assert!(shelf.leaves.iter().all(|leaf| leaf.capacity() == 16));
        for key in 9900..10_000 {
            shelf.remove(key);
        }
        assert!(shelf.spare.is_none() && shelf.leaves.is_empty());
    }

    #[test]
    fn what_goes_on_in_the_middle_fills_its_leaves() {
        let mut shelf = Shelf::default();
        // One goes down and three go up, in turn.
        for step in 0..320_u64 {
            for key in [999 - step, 1000 + step, 2000 + step, 3000 + step] {
                shelf.insert(key, [key; 31]);
            }
        }

        assert!(
            shelf.leaves.len() <= 1280 / 16 + 4,
            "{}",
            shelf.leaves.len()
        );
    }

    #[test]
    fn one_that_holds_one_thing_takes_little() {
        let mut shelf = Shelf::default();

        shelf.insert(1_u64, [0_u64; 31]);

        assert!(shelf.leaves[0].capacity() <= 4);
    }
}
