//! A small map in one piece of memory. Each kind of `BTreeMap` costs a browser some 10 KB of code, and
//! what is kept here are some dozens of entries.

/// Entries in the order of their keys.
#[derive(Debug)]
pub(crate) struct Map<K, V>(Vec<(K, V)>);

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord + Copy, V> Map<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let at = self.find(key).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Returns the value of `key`, which is made if there is none.
    pub(crate) fn get_or_insert(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.find(&key) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (key, make()));
                at
            }
        };
        &mut self.0[at].1
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key).ok()?;
        Some(self.0.remove(at).1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (*key, value))
    }

    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_replaced_and_removed_in_order() {
        let mut map = Map::default();
        for key in [5, 1, 9, 3, 5] {
            map.insert(key, key * 10);
        }
        map.insert(9, 1);
        *map.get_or_insert(2, || 7) += 1;
        assert_eq!(map.remove(&3), Some(30));
        assert_eq!(map.remove(&3), None);

        assert_eq!(map.len(), 4);
        assert!(map.contains_key(&1) && !map.contains_key(&3));
        assert_eq!((map.get(&5), map.get(&4)), (Some(&50), None));
        *map.get_mut(&5).unwrap() = 6;
        map.iter_mut().for_each(|(_, value)| *value += 0);
        let all: Vec<_> = map.iter().map(|(key, value)| (key, *value)).collect();
        assert_eq!(all, [(1, 10), (2, 8), (5, 6), (9, 1)]);
    }
}
