//! Things with small numbers for names, which are used again.

/// A table of things, each under the number that `insert` gave it.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

enum Place<T> {
    Free,
    /// Taken out to be worked on; the number is not given away meanwhile.
    Out,
    Here(T),
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Keeps a place without putting anything there yet: [`put`](Self::put) does, or
    /// [`release`](Self::release) gives it back.
    pub(crate) fn reserve(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.places[slot as usize] = Place::Out;
            return slot;
        }
        self.places.push(Place::Out);
        u32::try_from(self.places.len() - 1).expect("limits keep tables below 2^32 entries")
    }

    /// Takes a thing out to work on it.
    pub(crate) fn take(&mut self, slot: u32) -> Option<T> {
        let place = self.places.get_mut(slot as usize)?;
        match std::mem::replace(place, Place::Out) {
            Place::Here(thing) => Some(thing),
            other => {
                *place = other;
                None
            }
        }
    }

    /// Puts a thing at a place that was reserved, or back where it was taken from.
    pub(crate) fn put(&mut self, slot: u32, thing: T) {
        self.places[slot as usize] = Place::Here(thing);
    }

    /// Gives a place back; what was there is returned.
    pub(crate) fn release(&mut self, slot: u32) -> Option<T> {
        let place = self.places.get_mut(slot as usize)?;
        match std::mem::replace(place, Place::Free) {
            Place::Free => None,
            Place::Out => {
                self.free.push(slot);
                None
            }
            Place::Here(thing) => {
                self.free.push(slot);
                Some(thing)
            }
        }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        match self.places.get(slot as usize)? {
            Place::Here(thing) => Some(thing),
            Place::Free | Place::Out => None,
        }
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.places.get_mut(slot as usize)? {
            Place::Here(thing) => Some(thing),
            Place::Free | Place::Out => None,
        }
    }

    /// Returns how many places are in use.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + use<T> {
        let used: Vec<u32> = (0u32..)
            .zip(&self.places)
            .filter(|(_, place)| matches!(place, Place::Here(_)))
            .map(|(slot, _)| slot)
            .collect();
        used.into_iter()
    }
}
