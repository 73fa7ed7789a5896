//! Objects on fetch streams of draft 14: every field each time (section 10.4.4).

use bytes::{BufMut, BytesMut};

use crate::{
    DecodeError, Draft, Location, VarInt,
    data::{Cursor, Limits, ObjectStatus},
};

use super::{Absence, FetchObject, Fields};

/// Looks at an item; `None`: more bytes needed.
///
/// An object that marks an end, or says that it does not exist, is the end of a range in which nothing exists: that is
/// what any gap means here.
pub(super) fn peek(mut cursor: Cursor<'_>, limits: Limits) -> Result<Option<Fields>, DecodeError> {
    let Some((location, subgroup, priority)) = place(&mut cursor) else {
        return Ok(None);
    };
    let Some(properties) = cursor.sized("properties", limits.properties_bytes_max)? else {
        return Ok(None);
    };
    let Some(payload) = cursor.sized("payload", limits.payload_bytes_max)? else {
        return Ok(None);
    };
    if payload.end > cursor.bytes.len() {
        return Ok(None);
    }
    let object = |payload| Fields::Object {
        location,
        // A datagram has its object id here; so may any other object.
        subgroup: Some(subgroup),
        priority,
        properties: properties.clone(),
        payload,
    };
    if !payload.is_empty() {
        return Ok(Some(object(payload)));
    }
    let Some(code) = cursor.varint() else {
        return Ok(None);
    };
    Ok(Some(match ObjectStatus::from_code(Draft::D14, code)? {
        Some(ObjectStatus::Normal) => object(cursor.at..cursor.at),
        Some(ObjectStatus::EndOfGroup | ObjectStatus::EndOfTrack) | None => Fields::RangeEnd {
            absence: Absence::NonExistent,
            last: location,
            len: cursor.at,
        },
    }))
}

/// Writes what stands before an object's payload.
pub(super) fn write(draft: Draft, object: &FetchObject, out: &mut BytesMut) {
    let Location { group, object: id } = object.location;
    let flavour = draft.varint();
    for field in [group, object.subgroup.unwrap_or(id), id] {
        VarInt::encode(flavour, field, out);
    }
    out.put_u8(object.priority);
    VarInt::encode(flavour, object.properties.len() as u64, out);
    out.extend_from_slice(&object.properties);
    VarInt::encode(flavour, object.payload.len() as u64, out);
    if object.payload.is_empty() {
        VarInt::encode(flavour, ObjectStatus::Normal.to_code(), out);
    }
}

fn place(cursor: &mut Cursor<'_>) -> Option<(Location, u64, u8)> {
    let group = cursor.varint()?;
    let subgroup = cursor.varint()?;
    let object = cursor.varint()?;
    Some((Location::new(group, object), subgroup, cursor.byte()?))
}
