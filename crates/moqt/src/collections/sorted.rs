//! A map and a set that are vectors. What they have of `BTreeMap` and `BTreeSet` means the same.

/// Entries in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Map<K, V>(Vec<(K, V)>);

/// Values in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set<T>(Map<T, ()>);

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Map<K, V> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    pub(crate) fn pop_last(&mut self) -> Option<(K, V)> {
        self.0.pop()
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }
}

impl<K: Ord, V> Map<K, V> {
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

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => self
                .0
                .get_mut(at)
                .map(|(_, old)| core::mem::replace(old, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    pub(crate) fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        Entry { map: self, key }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key).ok()?;
        Some(self.0.remove(at).1)
    }

    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }
}

/// The place of a key, taken or free.
#[derive(Debug)]
pub(crate) struct Entry<'a, K, V> {
    map: &'a mut Map<K, V>,
    key: K,
}

impl<'a, K: Ord, V> Entry<'a, K, V> {
    pub(crate) fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    pub(crate) fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    fn or_insert_with(self, value: impl FnOnce() -> V) -> &'a mut V {
        let at = match self.map.find(&self.key) {
            Ok(at) => at,
            Err(at) => {
                self.map.0.insert(at, (self.key, value()));
                at
            }
        };
        let entry = self.map.0.get_mut(at);
        &mut entry.expect("it was found or inserted there").1
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter =
        core::iter::Map<core::slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl<'a, K, V> IntoIterator for &'a mut Map<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter =
        core::iter::Map<core::slice::IterMut<'a, (K, V)>, fn(&'a mut (K, V)) -> (&'a K, &'a mut V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Set<T> {
    pub(crate) const fn new() -> Self {
        Self(Map::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.keys()
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.iter().next()
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.iter().next_back()
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.0.retain(|value, ()| keep(value));
    }

    pub(crate) fn pop_first(&mut self) -> Option<T> {
        self.0.pop_first().map(|(value, ())| value)
    }

    pub(crate) fn pop_last(&mut self) -> Option<T> {
        self.0.pop_last().map(|(value, ())| value)
    }
}

impl<T: Ord> Set<T> {
    pub(crate) fn insert(&mut self, value: T) -> bool {
        self.0.insert(value, ()).is_none()
    }

    pub(crate) fn extend(&mut self, values: impl Iterator<Item = T>) {
        for value in values {
            self.insert(value);
        }
    }

    pub(crate) fn remove(&mut self, value: &T) -> bool {
        self.0.remove(value).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Map, Set};

    /// Keys that come, go and come again, out of order.
    fn steps() -> impl Iterator<Item = (bool, u32)> {
        (0..2_000_u32).map(|i| {
            let key = i.wrapping_mul(2_654_435_761) >> 26;
            (i % 3 != 2, key)
        })
    }

    #[test]
    fn a_map_does_what_a_tree_does() {
        let mut tree = BTreeMap::new();
        let mut map = Map::new();
        for (add, key) in steps() {
            if add {
                assert_eq!(map.insert(key, key + 1), tree.insert(key, key + 1));
            } else {
                assert_eq!(map.remove(&key), tree.remove(&key));
            }
            assert_eq!(map.get(&key), tree.get(&key));
            assert_eq!(map.contains_key(&key), tree.contains_key(&key));
            assert_eq!(map.len(), tree.len());
            assert_eq!(map.is_empty(), tree.is_empty());
            *map.entry(key / 2).or_insert(7) += 1;
            *tree.entry(key / 2).or_insert(7) += 1;
            *map.entry(key / 3).or_default() += 1;
            *tree.entry(key / 3).or_default() += 1;
        }
        map.retain(|key, _| key % 2 == 0);
        tree.retain(|key, _| key % 2 == 0);
        (&mut map).into_iter().for_each(|(_, value)| *value += 1);
        tree.values_mut().for_each(|value| *value += 1);

        assert!(map.iter().eq(tree.iter()));
        assert!(map.keys().eq(tree.keys()));
        assert!(map.values().eq(tree.values()));
        assert!((&map).into_iter().eq(&tree));
        let back: Map<_, _> = tree
            .iter()
            .rev()
            .map(|(key, value)| (*key, *value))
            .collect();
        assert_eq!(back, map);
        assert_eq!(map.pop_first(), tree.pop_first());
        assert_eq!(map.pop_last(), tree.pop_last());
        *map.get_mut(&20).unwrap() = 0;
        assert_eq!(map.get(&20), Some(&0));
        map.clear();
        assert_eq!(map.pop_first(), None);
    }

    #[test]
    fn a_set_does_what_a_tree_does() {
        let mut tree = BTreeSet::new();
        let mut set = Set::new();
        for (add, value) in steps() {
            if add {
                assert_eq!(set.insert(value), tree.insert(value));
            } else {
                assert_eq!(set.remove(&value), tree.remove(&value));
            }
            assert_eq!(set.first(), tree.first());
            assert_eq!(set.last(), tree.last());
            assert_eq!(set.len(), tree.len());
        }

        set.extend([70, 3, 71].into_iter());
        tree.extend([70, 3, 71]);
        set.retain(|value| value % 2 == 1);
        tree.retain(|value| value % 2 == 1);
        assert!(set.iter().eq(tree.iter()));
        assert_eq!(set.pop_last(), tree.pop_last());
        assert_eq!(set.pop_first(), tree.pop_first());
        set.clear();
        assert!(set.is_empty());
    }
}
