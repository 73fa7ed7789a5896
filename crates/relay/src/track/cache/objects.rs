//! The objects of one group, by their ids.

use std::collections::VecDeque;

/// Sorted by id. A group of voice has one object, for which a map would take the room of eleven
/// (2 KB); a group of video grows at its end and shrinks at its beginning.
#[derive(Debug)]
pub(super) struct Objects<T>(VecDeque<(u64, T)>);

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Objects<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first_id(&self) -> Option<u64> {
        self.0.front().map(|(id, _)| *id)
    }

    pub(super) fn last_id(&self) -> Option<u64> {
        self.0.back().map(|(id, _)| *id)
    }

    pub(super) fn get(&self, id: u64) -> Option<&T> {
        let at = self.find(id).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let at = self.find(id).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Puts an object in its place; what had the id before is returned.
    pub(super) fn insert(&mut self, id: u64, value: T) -> Option<T> {
        match self.find(id) {
            Ok(at) => self
                .0
                .get_mut(at)
                .map(|(_, old)| std::mem::replace(old, value)),
            Err(at) => {
                if self.0.capacity() == 0 {
                    // The library's first step is four.
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (id, value));
                None
            }
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<T> {
        let at = self.find(id).ok()?;
        self.0.remove(at).map(|(_, value)| value)
    }

    /// Returns the objects with this id and higher ones, in order.
    pub(super) fn from(&self, id: u64) -> impl Iterator<Item = (u64, &T)> {
        let at = self.find(id).unwrap_or_else(|at| at);
        self.0.range(at..).map(|(id, value)| (*id, value))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Where it is, or where it belongs.
    fn find(&self, id: u64) -> Result<usize, usize> {
        match self.last_id() {
            // Nearly always.
            Some(last) if last < id => Err(self.0.len()),
            _ => self.0.binary_search_by_key(&id, |(id, _)| *id),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn they_are_what_a_map_would_have() {
        let (mut objects, mut map) = (Objects::default(), BTreeMap::new());
        let mut seed = 7_u64;
        for step in 0..20_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let id = (seed >> 33) % 40;
            match (seed >> 20) % 3 {
                0 => assert_eq!(objects.remove(id), map.remove(&id)),
                1 => assert_eq!(objects.insert(id, step), map.insert(id, step)),
                _ => {
                    assert_eq!(objects.get(id), map.get(&id));
                    assert_eq!(objects.get_mut(id), map.get_mut(&id));
                    let rest: Vec<_> = objects.from(id).collect();
                    let wanted: Vec<_> = map.range(id..).map(|(id, value)| (*id, value)).collect();
                    assert_eq!(rest, wanted);
                }
            }
            assert_eq!(objects.is_empty(), map.is_empty());
            assert_eq!(objects.first_id(), map.keys().next().copied());
            assert_eq!(objects.last_id(), map.keys().next_back().copied());
        }
    }

    #[test]
    fn the_only_object_of_a_group_takes_the_room_of_one() {
        let mut objects = Objects::default();

        objects.insert(0, [0_u8; 160]);

        assert_eq!(objects.0.capacity(), 1);
    }
}
