//! Fetch streams (section 11.4.4; 10.4.4 of drafts 14 and 16).
//!
//! Draft 16 writes ids as they are where later drafts write differences; draft 14 writes every field of each object.

mod fixed;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    DecodeError, Draft, EncodeError, GroupOrder, Location, RequestId, VarInt,
    data::{Cursor, Limits, buffer::Buffer, check_ids},
    draft::Layout,
};

/// FETCH_HEADER: what a fetch stream begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchHeader {
    /// The FETCH that this stream answers.
    pub id: RequestId,
}

/// One object on a fetch stream; objects that mark an end do not travel there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchObject {
    /// Group and object id.
    pub location: Location,
    /// The subgroup; `None`: it was published as a datagram.
    pub subgroup: Option<u64>,
    /// Publisher priority, lower goes first.
    pub priority: u8,
    /// Properties, raw, without their length.
    pub properties: Bytes,
    /// Payload, possibly empty.
    pub payload: Bytes,
}

/// Why objects are missing in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Absence {
    /// They do not exist.
    NonExistent,
    /// Whoever answers does not know whether they exist.
    Unknown,
}

/// What a fetch stream yields.
///
/// What lies between two items does not exist, unless the second one is a [`RangeEnd`](Self::RangeEnd).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// First, and once.
    Header(FetchHeader),
    /// An object.
    Object(FetchObject),
    /// Everything after the item before, or after the start, up to and with `last` is absent.
    RangeEnd {
        /// Why.
        absence: Absence,
        /// The last absent location.
        last: Location,
    },
}

/// Reads a fetch stream: feed it with [`push`](Self::push), drain it with [`poll`](Self::poll).
///
/// It keeps at most one object, as [`SubgroupDecoder`](crate::data::SubgroupDecoder) does. Whether the items are those
/// that were asked for is another matter: see [`FetchCheck`].
#[derive(Debug)]
pub struct FetchDecoder {
    draft: Draft,
    order: GroupOrder,
    limits: Limits,
    buffer: Buffer,
    header: Option<FetchHeader>,
    prior: Prior,
}

/// Writes a fetch stream; payloads stay with the caller.
#[derive(Debug, Clone)]
pub struct FetchEncoder {
    draft: Draft,
    order: GroupOrder,
    prior: Prior,
}

/// Checks what a fetch stream yields against what was asked for; it needs no memory but the last location.
///
/// A track whose answer fails is malformed (section 2.4.2): cancel the FETCH with
/// [`ResetCode::MalformedTrack`](crate::ResetCode::MalformedTrack).
#[derive(Debug, Clone)]
pub struct FetchCheck {
    order: GroupOrder,
    start: Location,
    last: Option<Location>,
    prior: Option<Location>,
}

/// What an answer does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchFault {
    /// Within a group objects ascend, and groups go the way that was asked for.
    #[error("{0} comes after {1}")]
    Order(Location, Location),
    /// It was not asked for.
    #[error("{0} is outside of what was asked for")]
    Range(Location),
}

/// What the next object's fields may refer to (section 11.4.4.2).
#[derive(Debug, Clone, Copy, Default)]
struct Prior {
    /// Of the last object or end of a range.
    location: Option<Location>,
    /// Of the last object.
    subgroup: Option<u64>,
    /// Of the last object.
    priority: Option<u8>,
    /// The end of a range came last.
    after_range: bool,
}

/// An item's fields before the payload, all of which are there.
enum Fields {
    Object {
        location: Location,
        subgroup: Option<u64>,
        priority: u8,
        properties: core::ops::Range<usize>,
        payload: core::ops::Range<usize>,
    },
    RangeEnd {
        absence: Absence,
        last: Location,
        len: usize,
    },
}

/// Serialization flags (section 11.4.4.1).
const SUBGROUP_MODE: u64 = 0x03;
const SUBGROUP_ZERO: u64 = 0x00;
const SUBGROUP_PRIOR: u64 = 0x01;
const SUBGROUP_NEXT: u64 = 0x02;
const SUBGROUP_EXPLICIT: u64 = 0x03;
const OBJECT_ID: u64 = 0x04;
const GROUP_ID: u64 = 0x08;
const PRIORITY: u64 = 0x10;
const PROPERTIES: u64 = 0x20;
const DATAGRAM: u64 = 0x40;
/// Values above the flags.
const FLAGS_MAX: u64 = 0x7f;
const END_OF_NON_EXISTENT: u64 = 0x8c;
const END_OF_UNKNOWN: u64 = 0x10c;

impl FetchHeader {
    /// Reads a fetch stream's first bytes, its type too; `None`: more bytes needed. Returns how many bytes it took.
    ///
    /// # Errors
    ///
    /// When the stream is none of this kind.
    pub fn peek(draft: Draft, bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let mut cursor = Cursor::new(draft, bytes);
        let Some(code) = cursor.varint() else {
            return Ok(None);
        };
        if code != draft.table().streams.fetch {
            return Err(DecodeError::UnknownStream(code));
        }
        Ok(cursor
            .varint()
            .map(|id| (Self { id: RequestId(id) }, cursor.at)))
    }

    /// Adds a fetch stream's first bytes to `out`.
    pub fn encode(&self, draft: Draft, out: &mut BytesMut) {
        VarInt::encode(draft.varint(), draft.table().streams.fetch, out);
        VarInt::encode(draft.varint(), self.id.0, out);
    }
}

impl FetchItem {
    /// Returns the object's location, or the end of the range.
    pub fn location(&self) -> Option<Location> {
        match self {
            Self::Header(_) => None,
            Self::Object(object) => Some(object.location),
            Self::RangeEnd { last, .. } => Some(*last),
        }
    }
}

impl FetchDecoder {
    /// Begins at the first byte of a stream, its type; `order` is the one that the FETCH asked for.
    pub fn new(draft: Draft, order: GroupOrder, limits: Limits) -> Self {
        Self {
            draft,
            order,
            limits,
            buffer: Buffer::default(),
            header: None,
            prior: Prior::default(),
        }
    }

    /// Feeds what arrived. Drain [`poll`](Self::poll) before feeding more, or pieces are joined by copying.
    pub fn push(&mut self, bytes: Bytes) {
        self.buffer.push(bytes);
    }

    /// Returns the next item; `None`: more bytes needed.
    ///
    /// # Errors
    ///
    /// When the bytes break the draft or a limit. The decoder must not be used further.
    pub fn poll(&mut self) -> Result<Option<FetchItem>, DecodeError> {
        if self.header.is_none() {
            let Some((header, len)) = FetchHeader::peek(self.draft, self.buffer.as_slice())? else {
                return Ok(None);
            };
            self.buffer.take(len);
            self.header = Some(header);
            return Ok(Some(FetchItem::Header(header)));
        }
        Ok(match self.peek_item()? {
            None => None,
            Some(Fields::RangeEnd { absence, last, len }) => {
                self.buffer.take(len);
                self.prior.pass(last);
                Some(FetchItem::RangeEnd { absence, last })
            }
            Some(Fields::Object {
                location,
                subgroup,
                priority,
                properties,
                payload,
            }) => {
                let bytes = self.buffer.take(payload.end);
                self.prior.observe(location, subgroup, priority);
                Some(FetchItem::Object(FetchObject {
                    location,
                    subgroup,
                    priority,
                    properties: bytes.slice(properties),
                    payload: bytes.slice(payload),
                }))
            }
        })
    }

    /// Returns the header once it has been read.
    pub fn header(&self) -> Option<FetchHeader> {
        self.header
    }

    /// Checks at FIN that the stream did not end within a header or an object.
    ///
    /// # Errors
    ///
    /// When it did.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.header {
            None => Err(DecodeError::Truncated("fetch header")),
            Some(_) if self.buffer.as_slice().is_empty() => Ok(()),
            Some(_) => Err(DecodeError::Truncated("object")),
        }
    }

    fn peek_item(&self) -> Result<Option<Fields>, DecodeError> {
        let bytes = self.buffer.as_slice();
        let mut cursor = Cursor::new(self.draft, bytes);
        if self.draft.table().layout == Layout::Fields {
            return fixed::peek(cursor, self.limits);
        }
        let Some(flags) = cursor.varint() else {
            return Ok(None);
        };
        let absence = match flags {
            0..=FLAGS_MAX => return self.peek_object(cursor, flags),
            END_OF_NON_EXISTENT => Absence::NonExistent,
            END_OF_UNKNOWN => Absence::Unknown,
            _ => return Err(DecodeError::Forbidden("serialization flags", flags)),
        };
        // Both ids are written out, not as deltas: within the group before, a delta could not reach them.
        let (Some(group), Some(object)) = (cursor.varint(), cursor.varint()) else {
            return Ok(None);
        };
        Ok(Some(Fields::RangeEnd {
            absence,
            last: Location::new(group, object),
            len: cursor.at,
        }))
    }

    fn peek_object(
        &self,
        mut cursor: Cursor<'_>,
        flags: u64,
    ) -> Result<Option<Fields>, DecodeError> {
        let missing = |_| DecodeError::Forbidden("flags that refer to a missing object", flags);
        let Some((group, subgroup, object, priority)) = object_fields(&mut cursor, flags) else {
            return Ok(None);
        };
        let location = match self.draft.table().layout {
            Layout::Typed => self.prior.location(self.order, group, object)?,
            Layout::Pairs | Layout::Fields => self.prior.plain_location(group, object)?,
        };
        let subgroup = match flags & SUBGROUP_MODE {
            _ if flags & DATAGRAM != 0 => None,
            SUBGROUP_ZERO => Some(0),
            SUBGROUP_PRIOR => Some(self.prior.subgroup.ok_or(()).map_err(missing)?),
            SUBGROUP_NEXT => {
                let prior = self.prior.subgroup.ok_or(()).map_err(missing)?;
                let next = prior.checked_add(1);
                Some(next.ok_or(DecodeError::Overflow("subgroup id"))?)
            }
            _ => subgroup,
        };
        check_reach(self.draft, location.object, "object id")?;
        check_reach(self.draft, subgroup.unwrap_or_default(), "subgroup id")?;
        let priority = priority
            .or(self.prior.priority)
            .ok_or(())
            .map_err(missing)?;
        let mut properties = 0..0;
        if flags & PROPERTIES != 0 {
            let max = self.limits.properties_bytes_max;
            let Some(range) = cursor.sized("properties", max)? else {
                return Ok(None);
            };
            properties = range;
        }
        let Some(payload) = cursor.sized("payload", self.limits.payload_bytes_max)? else {
            return Ok(None);
        };
        if payload.end > cursor.bytes.len() {
            return Ok(None);
        }
        Ok(Some(Fields::Object {
            location,
            subgroup,
            priority,
            properties,
            payload,
        }))
    }
}

impl FetchEncoder {
    /// Begins a stream; `order` is the one that the FETCH asked for.
    pub fn new(draft: Draft, order: GroupOrder) -> Self {
        Self {
            draft,
            order,
            prior: Prior::default(),
        }
    }

    /// Adds the stream's first bytes to `out`.
    pub fn header(&self, header: FetchHeader, out: &mut BytesMut) {
        header.encode(self.draft, out);
    }

    /// Adds what stands before an object's payload to `out`. Write `object.payload` right after it.
    ///
    /// # Errors
    ///
    /// When it does not come after what was written before; `out` is then unchanged.
    pub fn object(&mut self, object: &FetchObject, out: &mut BytesMut) -> Result<(), EncodeError> {
        let FetchObject {
            location,
            subgroup,
            priority,
            properties,
            payload,
        } = object;
        let (group_delta, object_delta) = self.deltas(*location)?;
        check_ids(self.draft, [location.group, location.object])?;
        check_ids(self.draft, [subgroup.unwrap_or_default(), 0])?;
        if self.draft.table().layout == Layout::Fields {
            fixed::write(self.draft, object, out);
            self.prior.observe(*location, *subgroup, *priority);
            return Ok(());
        }
        let (mode, explicit) = self.prior.subgroup_mode(*subgroup);
        let mut flags = mode;
        for (set, bit) in [
            (group_delta.is_some(), GROUP_ID),
            (object_delta.is_some(), OBJECT_ID),
            (self.prior.priority != Some(*priority), PRIORITY),
            (!properties.is_empty(), PROPERTIES),
        ] {
            flags |= if set { bit } else { 0 };
        }
        let flavour = self.draft.varint();
        VarInt::encode(flavour, flags, out);
        for field in [group_delta, explicit, object_delta].into_iter().flatten() {
            VarInt::encode(flavour, field, out);
        }
        if flags & PRIORITY != 0 {
            out.put_u8(*priority);
        }
        if flags & PROPERTIES != 0 {
            VarInt::encode(flavour, properties.len() as u64, out);
            out.extend_from_slice(properties);
        }
        VarInt::encode(flavour, payload.len() as u64, out);
        self.prior.observe(*location, *subgroup, *priority);
        Ok(())
    }

    /// Says that everything after the item before, up to and with `last`, is absent.
    ///
    /// # Errors
    ///
    /// When `last` does not come after what was written before, or when nothing is known of the range and the draft has
    /// no way to say so (14); `out` is then unchanged.
    pub fn range_end(
        &mut self,
        absence: Absence,
        last: Location,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        self.deltas(last)?;
        check_ids(self.draft, [last.group, last.object])?;
        if self.draft.table().layout == Layout::Fields {
            return match absence {
                // What is not there does not exist.
                Absence::NonExistent => Ok(()),
                Absence::Unknown => Err(EncodeError::NotInDraft("range of unknown objects")),
            };
        }
        let flavour = self.draft.varint();
        let flags = match absence {
            Absence::NonExistent => END_OF_NON_EXISTENT,
            Absence::Unknown => END_OF_UNKNOWN,
        };
        for field in [flags, last.group, last.object] {
            VarInt::encode(flavour, field, out);
        }
        self.prior.pass(last);
        Ok(())
    }

    /// Returns the group's and the object's field; `None`: it is left out.
    fn deltas(&self, location: Location) -> Result<(Option<u64>, Option<u64>), EncodeError> {
        let Location { group, object } = location;
        let Some(prior) = self.prior.location else {
            return Ok((Some(group), Some(object)));
        };
        let plain = self.draft.table().layout != Layout::Typed;
        // Draft 16 does not say what comes before an object after the end of a range.
        let whole = plain && self.prior.after_range;
        let follows = prior.object.checked_add(1) == Some(object) && !whole;
        if group == prior.group {
            return match object.checked_sub(prior.object) {
                None | Some(0) => Err(EncodeError::NotAscending(object, prior.object)),
                Some(_) if plain => Ok((whole.then_some(group), (!follows).then_some(object))),
                Some(delta) => Ok((None, (!follows).then_some(delta))),
            };
        }
        let distance = match self.order {
            GroupOrder::Ascending => group.checked_sub(prior.group),
            GroupOrder::Descending => prior.group.checked_sub(group),
        };
        let distance = distance.ok_or(EncodeError::GroupOrder(group, prior.group))?;
        let field = if plain { group } else { distance - 1 };
        Ok((Some(field), (!follows).then_some(object)))
    }
}

impl FetchCheck {
    /// Begins with what was asked for: `start` and `end` as in FETCH; `None`: the publisher chooses, as when joining.
    pub fn new(order: GroupOrder, start: Option<Location>, end: Option<Location>) -> Self {
        Self {
            order,
            start: start.unwrap_or_default(),
            last: end.map(Location::last_before_end),
            prior: None,
        }
    }

    /// Takes the end that FETCH_OK named.
    pub fn set_end(&mut self, end: Location) {
        let end = end.last_before_end();
        self.last = Some(self.last.map_or(end, |last| last.min(end)));
    }

    /// Checks the next item.
    ///
    /// # Errors
    ///
    /// See [`FetchFault`].
    pub fn check(&mut self, item: &FetchItem) -> Result<(), FetchFault> {
        let Some(location) = item.location() else {
            return Ok(());
        };
        if location < self.start || self.last.is_some_and(|last| location > last) {
            return Err(FetchFault::Range(location));
        }
        if let Some(prior) = self.prior {
            let after = match self.order {
                _ if location.group == prior.group => location.object > prior.object,
                GroupOrder::Ascending => location.group > prior.group,
                GroupOrder::Descending => location.group < prior.group,
            };
            if !after {
                return Err(FetchFault::Order(location, prior));
            }
        }
        self.prior = Some(location);
        Ok(())
    }
}

impl Prior {
    fn observe(&mut self, location: Location, subgroup: Option<u64>, priority: u8) {
        self.location = Some(location);
        self.subgroup = subgroup;
        self.priority = Some(priority);
        self.after_range = false;
    }

    fn pass(&mut self, last: Location) {
        self.location = Some(last);
        self.after_range = true;
    }

    /// The same where ids are written as they are (draft 16).
    fn plain_location(
        &self,
        group: Option<u64>,
        object: Option<u64>,
    ) -> Result<Location, DecodeError> {
        let missing = || DecodeError::Forbidden("first object without its location", 0);
        let group = group.or(self.location.map(|prior| prior.group));
        let object = match (object, self.location) {
            (Some(object), _) => object,
            (None, Some(prior)) => prior
                .object
                .checked_add(1)
                .ok_or(DecodeError::Overflow("object id"))?,
            (None, None) => return Err(missing()),
        };
        Ok(Location::new(group.ok_or_else(missing)?, object))
    }

    /// Computes where an object is from the fields that are there.
    fn location(
        &self,
        order: GroupOrder,
        group: Option<u64>,
        object: Option<u64>,
    ) -> Result<Location, DecodeError> {
        let Some(prior) = self.location else {
            return match (group, object) {
                (Some(group), Some(object)) => Ok(Location::new(group, object)),
                _ => Err(DecodeError::Forbidden(
                    "first object without its location",
                    0,
                )),
            };
        };
        let next = || prior.object.checked_add(1);
        let (group, object) = match (group, object) {
            (Some(delta), object) => {
                let step = delta.checked_add(1);
                let group = step.and_then(|step| match order {
                    GroupOrder::Ascending => prior.group.checked_add(step),
                    GroupOrder::Descending => prior.group.checked_sub(step),
                });
                (group, object.or_else(next))
            }
            (None, Some(delta)) => (Some(prior.group), prior.object.checked_add(delta)),
            (None, None) => (Some(prior.group), next()),
        };
        Ok(Location {
            group: group.ok_or(DecodeError::Overflow("group id"))?,
            object: object.ok_or(DecodeError::Overflow("object id"))?,
        })
    }

    /// Returns the flags for a subgroup, and the field if there must be one.
    fn subgroup_mode(&self, subgroup: Option<u64>) -> (u64, Option<u64>) {
        match subgroup {
            None => (DATAGRAM, None),
            Some(0) => (SUBGROUP_ZERO, None),
            Some(id) if self.subgroup == Some(id) => (SUBGROUP_PRIOR, None),
            Some(id) if self.subgroup == id.checked_sub(1) => (SUBGROUP_NEXT, None),
            Some(id) => (SUBGROUP_EXPLICIT, Some(id)),
        }
    }
}

/// Counting on must not leave the draft's integers either.
fn check_reach(draft: Draft, id: u64, field: &'static str) -> Result<(), DecodeError> {
    if id > VarInt::max(draft.varint()) {
        return Err(DecodeError::Overflow(field));
    }
    Ok(())
}

type ObjectFields = (Option<u64>, Option<u64>, Option<u64>, Option<u8>);

/// Takes group, subgroup, object and priority as far as the flags announce them; `None`: more bytes needed.
fn object_fields(cursor: &mut Cursor<'_>, flags: u64) -> Option<ObjectFields> {
    let group = flags & GROUP_ID != 0;
    let group = if group { Some(cursor.varint()?) } else { None };
    let subgroup = flags & (DATAGRAM | SUBGROUP_MODE) == SUBGROUP_EXPLICIT;
    let subgroup = if subgroup {
        Some(cursor.varint()?)
    } else {
        None
    };
    let object = flags & OBJECT_ID != 0;
    let object = if object { Some(cursor.varint()?) } else { None };
    let priority = flags & PRIORITY != 0;
    let priority = if priority { Some(cursor.byte()?) } else { None };
    Some((group, subgroup, object, priority))
}
