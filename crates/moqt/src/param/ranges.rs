//! Range filters: which objects, and which tracks, a subscriber wants by their numbers (draft 19, section 5.1.3).

use bytes::{Bytes, BytesMut};

use crate::{
    Draft, KeyValues, RequestCode, RequestError, Value, VarInt,
    collections::{BTreeMap, BTreeSet},
    draft::Param,
};

/// One range filter as it stands in a message; what it holds is judged by [`Selector::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeFilter {
    /// What is compared.
    pub kind: RangeKind,
    /// SetID, property type and ranges; empty in an update: no filter of this kind any more.
    pub value: Bytes,
}

/// What a range filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RangeKind {
    /// SUBGROUP_FILTER: the subgroup.
    Subgroup,
    /// OBJECTID_FILTER: the object id.
    Object,
    /// PRIORITY_FILTER: the publisher's priority.
    Priority,
    /// OBJECT_PROPERTY_FILTER: a property of the object.
    ObjectProperty,
    /// TRACK_PROPERTY_FILTER: a property of the track, in SUBSCRIBE_TRACKS.
    TrackProperty,
}

/// What all range filters of a request mean together.
///
/// Filters of one set must all let something through, and one set that does is enough.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    sets: BTreeMap<u8, Vec<Criterion>>,
}

/// Why range filters refuse their request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFilter(&'static str);

impl From<InvalidFilter> for RequestError {
    fn from(why: InvalidFilter) -> Self {
        Self::new(RequestCode::InvalidFilter, why.0)
    }
}

/// What a selector looks at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// `None`: a datagram has no subgroup, and passes no filter of subgroups.
    pub subgroup: Option<u64>,
    /// The object id.
    pub object: u64,
    /// The publisher's priority.
    pub priority: u8,
    /// Properties, raw.
    pub properties: &'a Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Criterion {
    kind: RangeKind,
    property: Option<u64>,
    /// First and last; the last one may have no end.
    ranges: Vec<(u64, u64)>,
}

impl RangeKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Subgroup,
        Self::Object,
        Self::Priority,
        Self::ObjectProperty,
        Self::TrackProperty,
    ];

    pub(crate) fn of(param: Param) -> Option<Self> {
        match param {
            Param::SubgroupFilter => Some(Self::Subgroup),
            Param::ObjectIdFilter => Some(Self::Object),
            Param::PriorityFilter => Some(Self::Priority),
            Param::ObjectPropertyFilter => Some(Self::ObjectProperty),
            Param::TrackPropertyFilter => Some(Self::TrackProperty),
            _ => None,
        }
    }

    fn has_property(self) -> bool {
        matches!(self, Self::ObjectProperty | Self::TrackProperty)
    }
}

impl RangeFilter {
    /// Writes a filter; each range is its first and its last number, and only the last range may have no end.
    ///
    /// `property`: its type, for filters of properties.
    pub fn new(
        kind: RangeKind,
        set: u8,
        property: Option<u64>,
        ranges: &[(u64, Option<u64>)],
    ) -> Self {
        let flavour = Draft::D19.varint();
        let mut out = BytesMut::new();
        out.extend_from_slice(&[set]);
        if let Some(property) = property {
            VarInt::encode(flavour, property, &mut out);
        }
        let mut last = 0;
        for (start, end) in ranges {
            VarInt::encode(flavour, start.wrapping_sub(last), &mut out);
            if let Some(end) = end {
                VarInt::encode(flavour, end.wrapping_sub(*start), &mut out);
                last = *end;
            }
        }
        Self {
            kind,
            value: out.freeze(),
        }
    }

    /// Returns its SetID; `None`: it has none.
    pub fn set(&self) -> Option<u8> {
        self.value.first().copied()
    }

    /// Carries out an update: it replaces every filter of the kinds that it names.
    pub fn update(filters: &mut Vec<Self>, update: &[Self]) {
        filters.retain(|old| update.iter().all(|new| new.kind != old.kind));
        filters.extend(update.iter().filter(|new| !new.value.is_empty()).cloned());
    }

    /// Reads set and criterion; `None`: it cannot be.
    fn read(&self) -> Option<(u8, Criterion)> {
        let mut value = self.value.clone();
        let flavour = Draft::D19.varint();
        let set = *value.first()?;
        value = value.slice(1..);
        let property = if self.kind.has_property() {
            let property = VarInt::decode(flavour, &mut value)?;
            // Only even types have a number for a value.
            Some(property).filter(|property| property.is_multiple_of(2))
        } else {
            None
        };
        if self.kind.has_property() != property.is_some() || value.is_empty() {
            return None;
        }
        let mut ranges = Vec::new();
        let mut last = 0_u64;
        while !value.is_empty() {
            let start = last.checked_add(VarInt::decode(flavour, &mut value)?)?;
            let end = if value.is_empty() {
                u64::MAX
            } else {
                start.checked_add(VarInt::decode(flavour, &mut value)?)?
            };
            let open = value.is_empty() && end == u64::MAX;
            let beyond = |number: u64| number > u8::MAX.into();
            if self.kind == RangeKind::Priority && (beyond(start) || (beyond(end) && !open)) {
                return None;
            }
            ranges.push((start, end));
            last = end;
        }
        let criterion = Criterion {
            kind: self.kind,
            property,
            ranges,
        };
        Some((set, criterion))
    }
}

impl Selector {
    /// Reads filters; `None`: there are none.
    ///
    /// # Errors
    ///
    /// When one cannot be, when two are about the same, or when there are more than `ranges_max` ranges.
    pub fn new(filters: &[RangeFilter], ranges_max: usize) -> Result<Option<Self>, InvalidFilter> {
        let mut selector = Self::default();
        let mut seen = BTreeSet::new();
        let mut ranges = 0;
        for filter in filters {
            let (set, criterion) = filter
                .read()
                .ok_or(InvalidFilter("a range filter cannot be read"))?;
            if !seen.insert((criterion.kind, set, criterion.property)) {
                return Err(InvalidFilter("two range filters are about the same"));
            }
            ranges += criterion.ranges.len();
            selector.sets.entry(set).or_default().push(criterion);
        }
        if ranges > ranges_max {
            return Err(InvalidFilter("more ranges than MAX_FILTER_RANGES"));
        }
        Ok((!selector.sets.is_empty()).then_some(selector))
    }

    /// Returns what is left to be compared for objects of a track with these properties, raw, as `draft` writes them;
    /// `None`: the track itself is not wanted.
    pub fn for_track(&self, draft: Draft, properties: &Bytes) -> Option<Self> {
        let of_track = |criterion: &Criterion| criterion.kind == RangeKind::TrackProperty;
        let sets = self.sets.iter().filter(|(_, set)| {
            let mut wanted = set.iter().filter(|criterion| of_track(criterion));
            wanted.all(|criterion| criterion.passes_property(draft, properties))
        });
        let sets: BTreeMap<u8, Vec<Criterion>> = sets
            .map(|(id, set)| {
                let rest = set.iter().filter(|criterion| !of_track(criterion));
                (*id, rest.cloned().collect())
            })
            .collect();
        (!sets.is_empty()).then_some(Self { sets })
    }

    /// Tells whether a set with that id is there.
    pub fn has_set(&self, set: u8) -> bool {
        self.sets.contains_key(&set)
    }

    /// Tells whether an object is wanted; its properties are raw, as `draft` writes them.
    pub fn passes(&self, draft: Draft, candidate: Candidate<'_>) -> bool {
        self.sets.values().any(|set| {
            set.iter()
                .all(|criterion| criterion.passes(draft, candidate))
        })
    }
}

impl Criterion {
    fn passes(&self, draft: Draft, candidate: Candidate<'_>) -> bool {
        match self.kind {
            RangeKind::Subgroup => candidate.subgroup.is_some_and(|id| self.contains(id)),
            RangeKind::Object => self.contains(candidate.object),
            RangeKind::Priority => self.contains(candidate.priority.into()),
            RangeKind::ObjectProperty => self.passes_property(draft, candidate.properties),
            // It was looked at when the track was offered.
            RangeKind::TrackProperty => true,
        }
    }

    /// The property must be there; among the immutable ones will do.
    fn passes_property(&self, draft: Draft, properties: &Bytes) -> bool {
        let immutable = draft.table().properties.immutable;
        KeyValues::new(draft, properties.clone())
            .map_while(Result::ok)
            .any(|pair| match pair.value {
                Value::Int(value) => Some(pair.key) == self.property && self.contains(value),
                Value::Bytes(inner) => pair.key == immutable
                    && KeyValues::new(draft, inner)
                        .map_while(Result::ok)
                        .any(|pair| {
                            Some(pair.key) == self.property
                                && matches!(pair.value, Value::Int(value) if self.contains(value))
                        }),
            })
    }

    fn contains(&self, number: u64) -> bool {
        self.ranges
            .iter()
            .any(|(start, end)| (*start..=*end).contains(&number))
    }
}
