//! The ring itself.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use moqrelay_moqt::{
    Location, RequestError, ResetCode,
    data::{self, ObjectStatus, SubgroupId},
};

use super::{
    Ending, Live, Object,
    merge::Ended,
    wire::{ByDraft, Wire},
};
use crate::limits::TrackLimits;

/// What an entry costs beside properties and payload, in bytes, roughly.
const ENTRY_OVERHEAD: usize = 320;

/// The last entries of a track, numbered from 0 since the track exists.
#[derive(Default)]
pub(crate) struct Log {
    entries: VecDeque<Arc<Entry>>,
    first: u64,
    bytes: usize,
    largest: Option<Location>,
    live: Option<Arc<Live>>,
    /// The place of the entry that was forgotten last, for the next one: what comes and goes for as long as a track
    /// lives leaves no holes between what sessions keep.
    spare: Option<Arc<Entry>>,
}

/// One thing that happened on a track.
#[derive(Debug)]
pub(crate) struct Entry {
    /// When the relay had it; delivery timeouts count from here.
    pub(crate) at: Instant,
    pub(crate) item: Item,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Item {
    /// A publisher began. Streams of an earlier one will not go on.
    Began(Arc<Live>),
    /// An object in a datagram, and the datagram as every subscriber gets it.
    Datagram { object: Object, wire: Wire },
    /// An object on a stream.
    Object(SubgroupObject),
    /// A stream ended.
    Closed {
        subgroup: Arc<Subgroup>,
        end: SubgroupEnd,
        /// No object was on it.
        empty: bool,
    },
    /// Nobody publishes the track, and those who wait for it need not go on.
    Refused(RequestError),
    /// The publisher ended the track or is gone.
    Ended(Ending),
}

/// One stream of one publisher.
#[derive(Debug)]
pub(crate) struct Subgroup {
    /// Unique within the track.
    pub(crate) serial: u64,
    pub(crate) group: u64,
    pub(crate) id: u64,
    /// How the publisher's header named the subgroup.
    pub(crate) mode: SubgroupId,
    pub(crate) priority: Option<u8>,
    pub(crate) properties: bool,
    pub(crate) end_of_group: bool,
    /// The publisher's stream began with the first object of the subgroup.
    pub(crate) first_object: bool,
    /// Delivery timeouts that the first object names: of objects, of the subgroup (draft 19).
    pub(crate) timeouts: (Option<Duration>, Option<Duration>),
}

/// An object on a stream.
#[derive(Debug)]
pub(crate) struct SubgroupObject {
    pub(crate) subgroup: Arc<Subgroup>,
    /// Its properties are written as draft 18 does.
    pub(crate) object: data::Object,
    /// The object before it on the publisher's stream.
    pub(crate) previous: Option<u64>,
    /// What stands on the wire for a stream on which `previous` was the last object: all of it
    /// when `whole`, otherwise what stands before the payload.
    pub(crate) wire: Wire,
    pub(crate) whole: bool,
    /// What a stream begins with that begins with this object: its header, then `wire`.
    pub(crate) opening: ByDraft,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubgroupEnd {
    Fin,
    Reset(ResetCode),
}

impl SubgroupObject {
    /// Returns the object apart from its stream.
    pub(crate) fn to_object(&self) -> Object {
        Object {
            group: self.subgroup.group,
            subgroup: Some(self.subgroup.id),
            id: self.object.id,
            priority: self.subgroup.priority,
            status: self.object.status,
            end_of_group: false,
            properties: self.object.properties.clone(),
            payload: self.object.payload.clone(),
        }
    }
}

impl Log {
    pub(crate) fn push(&mut self, item: Item, limits: &TrackLimits) {
        let at = Instant::now();
        match &item {
            Item::Began(live) => {
                self.largest = live.largest;
                self.live = Some(live.clone());
            }
            Item::Ended(_) => self.live = None,
            Item::Datagram { .. } | Item::Object(_) | Item::Closed { .. } | Item::Refused(_) => {}
        }
        self.largest = self.largest.max(item.location());
        let entry = Entry { at, item };
        self.bytes += entry.cost();
        let entry = self.place(entry);
        self.entries.push_back(entry);
        self.trim(limits, at);
    }

    fn place(&mut self, entry: Entry) -> Arc<Entry> {
        let Some(mut spare) = self.spare.take() else {
            return Arc::new(entry);
        };
        match Arc::get_mut(&mut spare) {
            Some(place) => {
                *place = entry;
                spare
            }
            None => Arc::new(entry),
        }
    }

    /// Lets what a publisher says of the track stand for what an older one said.
    pub(crate) fn replace_live(&mut self, live: Arc<Live>) {
        self.raise_largest(live.largest);
        self.live = Some(live);
    }

    pub(crate) fn raise_largest(&mut self, largest: Option<Location>) {
        self.largest = self.largest.max(largest);
    }

    /// Returns the object at a location; `None`: it is gone, or never was.
    pub(crate) fn find(&self, location: Location) -> Option<&Arc<Entry>> {
        let mut newest_first = self.entries.iter().rev();
        newest_first.find(|entry| entry.item.location() == Some(location))
    }

    /// Forgets what is beyond the limits.
    pub(crate) fn trim(&mut self, limits: &TrackLimits, now: Instant) {
        while let Some(oldest) = self.entries.front() {
            let over = self.entries.len() > limits.entries
                || self.bytes > limits.bytes
                || now.saturating_duration_since(oldest.at) > limits.age;
            if !over {
                break;
            }
            self.bytes -= oldest.cost();
            // Unless somebody still reads it.
            let gone = self.entries.pop_front();
            self.spare = gone.filter(|gone| Arc::strong_count(gone) == 1);
            self.first += 1;
        }
        if self.entries.is_empty() {
            self.spare = None;
            if self.entries.capacity() > 64 {
                self.entries.shrink_to(0);
            }
        }
    }

    /// Copies up to `max` entries from `cursor` on to `out`, moves the cursor past them, and
    /// returns how many were gone already.
    pub(crate) fn read(&self, cursor: &mut u64, max: usize, out: &mut Vec<Arc<Entry>>) -> u64 {
        let lost = self.first.saturating_sub(*cursor);
        *cursor = (*cursor).max(self.first);
        let skip = usize::try_from(*cursor - self.first).unwrap_or(usize::MAX);
        let before = out.len();
        out.extend(self.entries.iter().skip(skip).take(max).cloned());
        *cursor += (out.len() - before) as u64;
        lost
    }

    /// Returns the first position from `cursor` on that came at that time or later, and never goes past the last entry:
    /// it may be the track's end.
    pub(crate) fn skip(&self, cursor: u64, from: Instant) -> u64 {
        let index = self.entries.partition_point(|entry| entry.at < from);
        let index = index.min(self.entries.len().saturating_sub(1));
        cursor.max(self.first + index as u64)
    }

    /// Returns one entry; `None`: it is gone.
    pub(crate) fn get(&self, position: u64) -> Option<&Arc<Entry>> {
        let index = usize::try_from(position.checked_sub(self.first)?).ok()?;
        self.entries.get(index)
    }

    /// Returns the position of the next entry.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns what the entries take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns of how many groups there is an object.
    pub(crate) fn groups(&self) -> usize {
        let groups: BTreeSet<u64> = self
            .entries
            .iter()
            .filter_map(|entry| entry.item.location())
            .map(|location| location.group)
            .collect();
        groups.len()
    }

    pub(crate) fn largest(&self) -> Option<Location> {
        self.largest
    }

    pub(crate) fn live(&self) -> Option<&Arc<Live>> {
        self.live.as_ref()
    }
}

impl Item {
    /// A stream ends because of what became of its publishers.
    pub(crate) fn ended(ended: Ended) -> Self {
        let end = if ended.well {
            SubgroupEnd::Fin
        } else {
            SubgroupEnd::Reset(ResetCode::Cancelled)
        };
        Self::Closed {
            subgroup: ended.subgroup,
            end,
            empty: false,
        }
    }

    /// Whether this is the same object as another one at the same location (section 9.1).
    pub(crate) fn same(
        &self,
        subgroup: Option<u64>,
        status: ObjectStatus,
        payload: &Bytes,
    ) -> bool {
        match self {
            Self::Datagram { object, .. } => {
                subgroup.is_none() && object.status == status && object.payload == payload
            }
            Self::Object(sent) => {
                subgroup == Some(sent.subgroup.id)
                    && sent.object.status == status
                    && sent.object.payload == payload
            }
            Self::Began(_) | Self::Closed { .. } | Self::Refused(_) | Self::Ended(_) => false,
        }
    }

    /// Returns how many bytes of payload it has.
    pub(crate) fn payload_len(&self) -> usize {
        match self {
            Self::Datagram { object, .. } => object.payload.len(),
            Self::Object(sent) => sent.object.payload.len(),
            Self::Began(_) | Self::Closed { .. } | Self::Refused(_) | Self::Ended(_) => 0,
        }
    }

    /// Returns where an object is; `None`: it is something else.
    fn location(&self) -> Option<Location> {
        match self {
            Self::Datagram { object, .. } => Some(object.location()),
            Self::Object(SubgroupObject {
                subgroup, object, ..
            }) => Some(Location::new(subgroup.group, object.id)),
            Self::Began(_) | Self::Closed { .. } | Self::Refused(_) | Self::Ended(_) => None,
        }
    }
}

impl Entry {
    fn cost(&self) -> usize {
        ENTRY_OVERHEAD
            + match &self.item {
                // The wire's copy may be made at any time, or never: it counts from the beginning.
                Item::Datagram { object, .. } => {
                    2 * (object.payload.len() + object.properties.len())
                }
                // A small payload is a part of it.
                Item::Object(sent) => {
                    let apart = if sent.whole {
                        0
                    } else {
                        sent.object.payload.len()
                    };
                    sent.wire.len() + apart + sent.object.properties.len()
                }
                Item::Began(live) => live.properties.len(),
                Item::Closed { .. } | Item::Refused(_) | Item::Ended(_) => 0,
            }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_too_old_is_skipped_but_never_the_last_entry() {
        let mut log = Log::default();
        for reason in ["one", "two", "three"] {
            log.push(Item::Ended(Ending::over(reason)), &TrackLimits::default());
            // Their times differ.
            while Some(Instant::now()) <= log.get(log.end() - 1).map(|last| last.at) {}
        }
        let at = |position| log.get(position).map(|entry| entry.at).unwrap();

        assert_eq!(log.skip(0, at(0)), 0);
        assert_eq!(log.skip(0, at(1)), 1);
        assert_eq!(log.skip(2, at(1)), 2, "never back");
        assert_eq!(log.skip(0, at(2) + Duration::from_secs(1)), 2);
        assert_eq!(Log::default().skip(7, at(0)), 7);
    }

    #[test]
    fn an_entry_takes_the_place_of_one_that_nobody_reads_any_more() {
        let limits = TrackLimits {
            entries: 2,
            ..TrackLimits::default()
        };
        let mut log = Log::default();
        let mut push = |reason| {
            log.push(Item::Ended(Ending::over(reason)), &limits);
            log.get(log.end() - 1).unwrap().clone()
        };
        let first = Arc::as_ptr(&push("first"));
        let read = push("second, which is read");
        drop(push("third, for which the first is forgotten"));

        assert_eq!(Arc::as_ptr(&push("fourth")), first);
        let fifth = push("fifth");

        assert_ne!(Arc::as_ptr(&fifth), Arc::as_ptr(&read));
        let Item::Ended(ending) = &read.item else {
            panic!("{:?}", read.item);
        };
        assert_eq!(ending.reason, "second, which is read");
    }
}
