//! Datagrams (section 11.3).

use bytes::{Bytes, BytesMut};

use crate::{
    DecodeError, Draft, EncodeError, TrackAlias, TrackProperties, VarInt,
    data::{ObjectStatus, check_ids},
    wire::{Reader, Writer},
};

/// A datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datagram {
    /// One object.
    Object(ObjectDatagram),
    /// Nothing: discard it. Draft 14: an object that does not exist.
    Padding,
}

/// OBJECT_DATAGRAM: one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDatagram {
    /// The track.
    pub alias: TrackAlias,
    /// The group.
    pub group: u64,
    /// Object id within the group.
    pub id: u64,
    /// Publisher priority, lower goes first; `None`: the track's default.
    pub priority: Option<u8>,
    /// No object above this one exists in the group.
    pub end_of_group: bool,
    /// What it says about what exists; other than normal: no payload, no properties.
    pub status: ObjectStatus,
    /// Properties, raw, without their length.
    pub properties: Bytes,
    /// Payload, possibly empty.
    pub payload: Bytes,
}

/// Bits of the datagram type (section 11.3.1).
const PROPERTIES: u64 = 0x01;
const END_OF_GROUP: u64 = 0x02;
const ZERO_OBJECT_ID: u64 = 0x04;
const DEFAULT_PRIORITY: u64 = 0x08;
const STATUS: u64 = 0x20;

impl Datagram {
    /// Reads a whole datagram; payload and properties share its buffer.
    ///
    /// # Errors
    ///
    /// When the bytes break the draft; the session must end.
    pub fn decode(draft: Draft, bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(draft, bytes);
        let code = reader.varint("datagram type")?;
        let streams = &draft.table().streams;
        if Some(code) == streams.padding_datagram {
            return Ok(Self::Padding);
        }
        let not_with_status = END_OF_GROUP | status_forbids(draft);
        if code & !streams.datagram != 0 || (code & STATUS != 0 && code & not_with_status != 0) {
            return Err(DecodeError::UnknownDatagram(code));
        }
        let object = ObjectDatagram::read(&mut reader, code)?;
        Ok(object.map_or(Self::Padding, Self::Object))
    }
}

impl ObjectDatagram {
    /// Writes the whole datagram.
    ///
    /// Subscribers of several sessions can share the result when each session knows the track by the same alias.
    ///
    /// # Errors
    ///
    /// When the status forbids the properties, the payload or the end of the group.
    pub fn encode(&self, draft: Draft) -> Result<Bytes, EncodeError> {
        let mut out = BytesMut::with_capacity(
            HEADER_LEN_BYTES_MAX + self.properties.len() + self.payload.len(),
        );
        self.encode_header(draft, &mut out)?;
        out.extend_from_slice(&self.payload);
        Ok(out.freeze())
    }

    /// Tells whether [`encode`](Self::encode) would succeed, without its work.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn check(&self, draft: Draft) -> Result<(), EncodeError> {
        self.status.check(&self.properties, &self.payload)?;
        if self.status != ObjectStatus::Normal && self.end_of_group {
            return Err(EncodeError::Object(
                "an object that marks an end cannot end its group, too",
            ));
        }
        check_ids(draft, [self.group, self.id])
    }

    /// Adds what stands before the payload to `out`.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode); `out` is then unchanged.
    pub fn encode_header(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.check(draft)?;
        let is_status = self.status != ObjectStatus::Normal;
        let bits = draft.table().streams.datagram;
        let without_id = self.id == 0 && !(is_status && status_forbids(draft) != 0);
        let default_priority = self.priority.is_none() && bits & DEFAULT_PRIORITY != 0;
        let mut code = 0;
        for (set, bit) in [
            (!self.properties.is_empty(), PROPERTIES),
            (self.end_of_group, END_OF_GROUP),
            (without_id, ZERO_OBJECT_ID),
            (default_priority, DEFAULT_PRIORITY),
            (is_status, STATUS),
        ] {
            code |= if set { bit } else { 0 };
        }
        let mut writer = Writer { draft, out };
        writer.varint(code);
        writer.varint(self.alias.0);
        writer.varint(self.group);
        if !without_id {
            writer.varint(self.id);
        }
        if !default_priority {
            let priority = self.priority.unwrap_or(TrackProperties::PRIORITY_DEFAULT);
            writer.byte(priority);
        }
        if !self.properties.is_empty() {
            writer.varint(self.properties.len() as u64);
            writer.raw(&self.properties);
        }
        if is_status {
            writer.varint(self.status.to_code());
        }
        Ok(())
    }

    /// `None`: the object does not exist.
    fn read(reader: &mut Reader, code: u64) -> Result<Option<Self>, DecodeError> {
        let alias = TrackAlias(reader.varint("track alias")?);
        let group = reader.varint("group id")?;
        let id = if code & ZERO_OBJECT_ID == 0 {
            reader.varint("object id")?
        } else {
            0
        };
        let priority = if code & DEFAULT_PRIORITY == 0 {
            Some(reader.byte("publisher priority")?)
        } else {
            None
        };
        let mut properties = Bytes::new();
        if code & PROPERTIES != 0 {
            // A datagram is never longer than this.
            properties = reader.sized("properties", usize::from(u16::MAX))?;
            if properties.is_empty() {
                return Err(DecodeError::Forbidden(
                    "length of a datagram's properties",
                    0,
                ));
            }
        }
        let mut status = ObjectStatus::Normal;
        if code & STATUS != 0 {
            let code = reader.varint("object status")?;
            let read = ObjectStatus::from_code(reader.draft, code)?;
            reader.end()?;
            let Some(read) = read else {
                return Ok(None);
            };
            status = read;
        }
        if status != ObjectStatus::Normal && reader.draft == Draft::D14 {
            // It lets them have some; nobody after it does.
            properties = Bytes::new();
        }
        if status != ObjectStatus::Normal && !properties.is_empty() {
            return Err(DecodeError::Forbidden(
                "properties of an object with status",
                status.to_code(),
            ));
        }
        Ok(Some(Self {
            alias,
            group,
            id,
            priority,
            end_of_group: code & END_OF_GROUP != 0,
            status,
            properties,
            payload: reader.rest(),
        }))
    }
}

/// Bits that draft 14 does not combine with a status.
fn status_forbids(draft: Draft) -> u64 {
    match draft {
        Draft::D14 => ZERO_OBJECT_ID,
        Draft::D16 | Draft::D18 | Draft::D19 => 0,
    }
}

/// Type, alias, group, object, priority, length of the properties, status: six integers and a byte.
const HEADER_LEN_BYTES_MAX: usize = 6 * VarInt::LEN_BYTES_MAX + 1;
