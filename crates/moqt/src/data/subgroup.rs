//! Subgroup streams (section 11.4.2).

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    DecodeError, Draft, EncodeError, TrackAlias, TrackProperties, VarInt,
    data::{
        Cursor, Limits, ObjectStatus,
        buffer::{Buffer, within},
        check_ids,
    },
};

/// SUBGROUP_HEADER: what a subgroup stream begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubgroupHeader {
    /// The track.
    pub alias: TrackAlias,
    /// The group.
    pub group: u64,
    /// The subgroup.
    pub subgroup: SubgroupId,
    /// Publisher priority, lower goes first; `None`: the track's default.
    pub priority: Option<u8>,
    /// Objects have a properties field.
    pub properties: bool,
    /// The subgroup has the group's last object: at FIN nothing above the last object exists.
    pub end_of_group: bool,
    /// The first object on the stream is the first one ever published in the subgroup.
    pub first_object: bool,
}

/// How a header names its subgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubgroupId {
    /// Zero, implied.
    Zero,
    /// The id of the first object on the stream.
    FirstObject,
    /// Written out.
    Explicit(u64),
}

/// One object on a subgroup stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Object id within the group.
    pub id: u64,
    /// What it says about what exists; other than normal: no payload, no properties.
    pub status: ObjectStatus,
    /// Properties, raw, without their length.
    pub properties: Bytes,
    /// Payload, possibly empty.
    pub payload: Bytes,
}

/// What a subgroup stream yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubgroupItem {
    /// First, and once.
    Header(SubgroupHeader),
    /// Then the objects, ids ascending.
    Object(Object),
}

/// Reads a subgroup stream: feed it with [`push`](Self::push), drain it with [`poll`](Self::poll).
///
/// A payload that arrives in one piece is a slice of that piece; one that arrives in several is put together once. What
/// is kept between calls is at most one object, so never more than the limits plus what was pushed last.
#[derive(Debug)]
pub struct SubgroupDecoder {
    draft: Draft,
    limits: Limits,
    buffer: Buffer,
    header: Option<SubgroupHeader>,
    last: Option<u64>,
    subgroup: Option<u64>,
    ended: bool,
}

/// Writes a subgroup stream; payloads stay with the caller.
#[derive(Debug, Clone)]
pub struct SubgroupEncoder {
    draft: Draft,
    header: SubgroupHeader,
    last: Option<u64>,
}

/// An object's fields before its payload, all of which are there.
struct Fields {
    id: u64,
    /// `None`: the object does not exist.
    status: Option<ObjectStatus>,
    properties: core::ops::Range<usize>,
    payload: core::ops::Range<usize>,
}

/// Bits of the stream type (section 11.4.2).
const BASE: u64 = 0x10;
const PROPERTIES: u64 = 0x01;
const ID_MODE: u64 = 0x06;
const ID_ZERO: u64 = 0x00;
const ID_FIRST_OBJECT: u64 = 0x02;
const ID_EXPLICIT: u64 = 0x04;
const END_OF_GROUP: u64 = 0x08;
const DEFAULT_PRIORITY: u64 = 0x20;
const FIRST_OBJECT: u64 = 0x40;

/// Tells whether a stream type is one of subgroups: no bits but the draft's, and the subgroup id's mode is not the
/// reserved one.
pub(super) fn is_type(draft: Draft, code: u64) -> bool {
    let bits = draft.table().streams.subgroup;
    code & !bits == 0 && code & BASE != 0 && code & ID_MODE != ID_MODE
}

impl SubgroupDecoder {
    /// Begins at the first byte of a stream, its type.
    pub fn new(draft: Draft, limits: Limits) -> Self {
        Self {
            draft,
            limits,
            buffer: Buffer::default(),
            header: None,
            last: None,
            subgroup: None,
            ended: false,
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
    pub fn poll(&mut self) -> Result<Option<SubgroupItem>, DecodeError> {
        let Some(header) = self.header else {
            let Some((header, len)) = SubgroupHeader::peek(self.draft, self.buffer.as_slice())?
            else {
                return Ok(None);
            };
            self.buffer.take(len);
            self.header = Some(header);
            self.subgroup = match header.subgroup {
                SubgroupId::Zero => Some(0),
                SubgroupId::Explicit(id) => Some(id),
                SubgroupId::FirstObject => None,
            };
            return Ok(Some(SubgroupItem::Header(header)));
        };
        loop {
            let Some(fields) = self.peek_object(header)? else {
                return Ok(None);
            };
            let bytes = self.buffer.take(fields.payload.end);
            self.last = Some(fields.id);
            self.subgroup.get_or_insert(fields.id);
            let Some(status) = fields.status else {
                // It does not exist.
                continue;
            };
            self.ended = status != ObjectStatus::Normal;
            return Ok(Some(SubgroupItem::Object(Object {
                id: fields.id,
                status,
                properties: bytes.slice(fields.properties),
                payload: bytes.slice(fields.payload),
            })));
        }
    }

    /// Returns how many bytes were fed in and not yet taken as items.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.as_slice().len()
    }

    /// Returns the header once it has been read.
    pub fn header(&self) -> Option<&SubgroupHeader> {
        self.header.as_ref()
    }

    /// Returns the subgroup's id once it is known: with the header, or with the first object.
    pub fn subgroup_id(&self) -> Option<u64> {
        self.subgroup
    }

    /// Checks at FIN that the stream did not end within a header or an object.
    ///
    /// # Errors
    ///
    /// When it did.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.header {
            None => Err(DecodeError::Truncated("subgroup header")),
            Some(_) if self.buffer.as_slice().is_empty() => Ok(()),
            Some(_) => Err(DecodeError::Truncated("object")),
        }
    }

    fn peek_object(&self, header: SubgroupHeader) -> Result<Option<Fields>, DecodeError> {
        let bytes = self.buffer.as_slice();
        let mut cursor = Cursor::new(self.draft, bytes);
        let Some(delta) = cursor.varint() else {
            return Ok(None);
        };
        if self.ended {
            return Err(DecodeError::Forbidden(
                "object after the end of its group or track",
                delta,
            ));
        }
        let id = match self.last {
            None => Some(delta),
            Some(last) => last.checked_add(delta).and_then(|id| id.checked_add(1)),
        };
        // Counting on must not leave the draft's integers either.
        let max = crate::VarInt::max(self.draft.varint());
        let id = id.filter(|id| *id <= max);
        let id = id.ok_or(DecodeError::Overflow("object id"))?;
        let mut properties = 0..0;
        if header.properties {
            let Some(len) = cursor.varint() else {
                return Ok(None);
            };
            let len = within("properties", len, self.limits.properties_bytes_max)?;
            properties = cursor.at..cursor.at + len;
            cursor.at = properties.end;
        }
        let Some(len) = cursor.varint() else {
            return Ok(None);
        };
        let len = within("payload", len, self.limits.payload_bytes_max)?;
        let mut status = Some(ObjectStatus::Normal);
        if len == 0 {
            let Some(code) = cursor.varint() else {
                return Ok(None);
            };
            status = ObjectStatus::from_code(self.draft, code)?;
            if code != ObjectStatus::Normal.to_code() && self.draft == Draft::D14 {
                // It lets them have some; nobody after it does.
                properties = 0..0;
            }
            if code != ObjectStatus::Normal.to_code() && !properties.is_empty() {
                return Err(DecodeError::Forbidden(
                    "properties of an object with status",
                    code,
                ));
            }
        }
        let payload = cursor.at..cursor.at + len;
        if payload.end > bytes.len() {
            return Ok(None);
        }
        Ok(Some(Fields {
            id,
            status,
            properties,
            payload,
        }))
    }
}

impl SubgroupHeader {
    /// Reads a stream's first bytes, its type too; `None`: more bytes needed. Returns how many bytes it took.
    ///
    /// # Errors
    ///
    /// When the stream is none of this kind; the session must end.
    pub fn peek(draft: Draft, bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let mut cursor = Cursor::new(draft, bytes);
        let Some(code) = cursor.varint() else {
            return Ok(None);
        };
        if !is_type(cursor.draft, code) {
            return Err(DecodeError::UnknownStream(code));
        }
        Ok(Self::peek_fields(&mut cursor, code).map(|header| (header, cursor.at)))
    }

    /// Adds a stream's first bytes to `out`.
    pub fn encode(&self, draft: Draft, out: &mut BytesMut) {
        let mut code = BASE;
        code |= match self.subgroup {
            SubgroupId::Zero => ID_ZERO,
            SubgroupId::FirstObject => ID_FIRST_OBJECT,
            SubgroupId::Explicit(_) => ID_EXPLICIT,
        };
        for (set, bit) in [
            (self.properties, PROPERTIES),
            (self.end_of_group, END_OF_GROUP),
            (self.priority.is_none(), DEFAULT_PRIORITY),
            (self.first_object, FIRST_OBJECT),
        ] {
            code |= if set { bit } else { 0 };
        }
        // What the draft cannot say is left unsaid.
        code &= draft.table().streams.subgroup;
        let flavour = draft.varint();
        VarInt::encode(flavour, code, out);
        VarInt::encode(flavour, self.alias.0, out);
        VarInt::encode(flavour, self.group, out);
        if let SubgroupId::Explicit(id) = self.subgroup {
            VarInt::encode(flavour, id, out);
        }
        if code & DEFAULT_PRIORITY == 0 {
            let priority = self.priority.unwrap_or(TrackProperties::PRIORITY_DEFAULT);
            out.put_u8(priority);
        }
    }

    fn peek_fields(cursor: &mut Cursor<'_>, code: u64) -> Option<Self> {
        Some(Self {
            alias: TrackAlias(cursor.varint()?),
            group: cursor.varint()?,
            subgroup: match code & ID_MODE {
                ID_ZERO => SubgroupId::Zero,
                ID_FIRST_OBJECT => SubgroupId::FirstObject,
                _ => SubgroupId::Explicit(cursor.varint()?),
            },
            priority: if code & DEFAULT_PRIORITY == 0 {
                Some(cursor.byte()?)
            } else {
                None
            },
            properties: code & PROPERTIES != 0,
            end_of_group: code & END_OF_GROUP != 0,
            first_object: code & FIRST_OBJECT != 0,
        })
    }
}

impl SubgroupEncoder {
    /// Begins a stream.
    pub fn new(draft: Draft, header: SubgroupHeader) -> Self {
        Self {
            draft,
            header,
            last: None,
        }
    }

    /// Goes on with a stream whose header is written; `last`: the object that was written last.
    pub fn resume(draft: Draft, header: SubgroupHeader, last: Option<u64>) -> Self {
        Self {
            last,
            ..Self::new(draft, header)
        }
    }

    /// Adds the stream's first bytes to `out`.
    pub fn header(&self, out: &mut BytesMut) {
        self.header.encode(self.draft, out);
    }

    /// Adds what stands before an object's payload (id, properties, length, status) to `out`.
    ///
    /// Write `object.payload` right after it. The bytes depend only on the draft, the previous object's id and whether
    /// the header has properties, so that they can be shared among streams that carry the same objects.
    ///
    /// # Errors
    ///
    /// When the id does not ascend, the draft has no way to write it or its group, or properties or payload are not
    /// allowed there; `out` is then unchanged.
    pub fn object(&mut self, object: &Object, out: &mut BytesMut) -> Result<(), EncodeError> {
        let delta = match self.last {
            None => object.id,
            Some(last) => match object.id.checked_sub(last) {
                None | Some(0) => return Err(EncodeError::NotAscending(object.id, last)),
                Some(difference) => difference - 1,
            },
        };
        if !self.header.properties && !object.properties.is_empty() {
            return Err(EncodeError::Object(
                "the stream's header says that objects have no properties",
            ));
        }
        object.status.check(&object.properties, &object.payload)?;
        check_ids(self.draft, [self.header.group, object.id])?;
        let flavour = self.draft.varint();
        VarInt::encode(flavour, delta, out);
        if self.header.properties {
            VarInt::encode(flavour, object.properties.len() as u64, out);
            out.extend_from_slice(&object.properties);
        }
        VarInt::encode(flavour, object.payload.len() as u64, out);
        if object.payload.is_empty() {
            VarInt::encode(flavour, object.status.to_code(), out);
        }
        self.last = Some(object.id);
        Ok(())
    }
}
