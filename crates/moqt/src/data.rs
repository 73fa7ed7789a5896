//! The data plane: subgroup streams, datagrams, fetch streams, padding (section 11).
//!
//! Payloads are never copied when they arrive in one piece: they are slices of what was fed in. Properties are kept
//! byte for byte.

mod buffer;
mod datagram;
mod fetch;
mod subgroup;

pub use datagram::{Datagram, ObjectDatagram};
pub use fetch::{
    Absence, FetchCheck, FetchDecoder, FetchEncoder, FetchFault, FetchHeader, FetchItem,
    FetchObject,
};
pub use subgroup::{
    Object, SubgroupDecoder, SubgroupEncoder, SubgroupHeader, SubgroupId, SubgroupItem,
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{DecodeError, Draft, EncodeError, VarInt};

/// What a unidirectional stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// The peer's control stream: give it to [`Session::accept_control`](crate::Session::accept_control).
    Control,
    /// Objects of one subgroup: use a [`SubgroupDecoder`].
    Subgroup,
    /// The answer to a FETCH: peek at its [`FetchHeader`] to see to which one, then use a [`FetchDecoder`].
    Fetch,
    /// Nothing: read and discard, or stop it.
    Padding,
}

/// What a receiver accepts at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload of an object on a stream, in bytes.
    pub payload_bytes_max: usize,
    /// Largest properties of an object, in bytes.
    pub properties_bytes_max: usize,
}

/// What an object says about what exists (section 11.2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ObjectStatus {
    /// An object like any other.
    #[default]
    Normal,
    /// No object of this id or above exists in the group.
    EndOfGroup,
    /// No object at this location or after it exists in the track.
    EndOfTrack,
}

impl Default for Limits {
    /// Enough for a key frame of video.
    fn default() -> Self {
        Self {
            payload_bytes_max: 4 << 20,
            properties_bytes_max: 0x1_0000,
        }
    }
}

impl ObjectStatus {
    /// Reads a status; `None`: the object does not exist, which only draft 14 says so.
    pub(crate) fn from_code(draft: Draft, code: u64) -> Result<Option<Self>, DecodeError> {
        match code {
            0x0 => Ok(Some(Self::Normal)),
            0x1 if draft == Draft::D14 => Ok(None),
            0x3 => Ok(Some(Self::EndOfGroup)),
            0x4 => Ok(Some(Self::EndOfTrack)),
            other => Err(DecodeError::Forbidden("object status", other)),
        }
    }

    /// Checks what an object of this status may have (section 11.2.1).
    fn check(self, properties: &Bytes, payload: &Bytes) -> Result<(), EncodeError> {
        if self == Self::Normal || (properties.is_empty() && payload.is_empty()) {
            return Ok(());
        }
        Err(EncodeError::Object(
            "an object that marks an end has neither properties nor payload",
        ))
    }

    pub(crate) fn to_code(self) -> u64 {
        match self {
            Self::Normal => 0x0,
            Self::EndOfGroup => 0x3,
            Self::EndOfTrack => 0x4,
        }
    }
}

/// Tells from its first bytes what a unidirectional stream carries; `None`: more bytes needed (at most 9).
///
/// Nothing is consumed: the decoders want the type, too.
///
/// # Errors
///
/// When the type is unknown; the session must end.
pub fn classify(draft: Draft, bytes: &[u8]) -> Result<Option<StreamKind>, DecodeError> {
    let Some((code, _)) = VarInt::peek(draft.varint(), bytes) else {
        return Ok(None);
    };
    let streams = &draft.table().streams;
    if Some(code) == streams.control {
        Ok(Some(StreamKind::Control))
    } else if code == streams.fetch {
        Ok(Some(StreamKind::Fetch))
    } else if Some(code) == streams.padding {
        Ok(Some(StreamKind::Padding))
    } else if subgroup::is_type(draft, code) {
        Ok(Some(StreamKind::Subgroup))
    } else {
        Err(DecodeError::UnknownStream(code))
    }
}

/// Returns the bytes that a padding stream begins with; only zeros may follow. `None`: the draft has no padding.
pub fn padding_stream_header(draft: Draft) -> Option<Bytes> {
    let code = draft.table().streams.padding?;
    let mut out = BytesMut::new();
    VarInt::encode(draft.varint(), code, &mut out);
    Some(out.freeze())
}

/// Returns a padding datagram of `len_bytes` zeros after its type. `None`: the draft has no padding.
pub fn padding_datagram(draft: Draft, len_bytes: usize) -> Option<Bytes> {
    let code = draft.table().streams.padding_datagram?;
    let mut out = BytesMut::with_capacity(VarInt::LEN_BYTES_MAX + len_bytes);
    VarInt::encode(draft.varint(), code, &mut out);
    out.put_bytes(0, len_bytes);
    Some(out.freeze())
}

/// Checks that ids can be written: up to draft 16 integers have 62 bits.
fn check_ids(draft: Draft, ids: [u64; 2]) -> Result<(), EncodeError> {
    if ids.iter().all(|id| *id <= VarInt::max(draft.varint())) {
        Ok(())
    } else {
        Err(EncodeError::Value("group or object id"))
    }
}

/// Looks at fields without taking them; `None`: more bytes needed.
struct Cursor<'a> {
    draft: Draft,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(draft: Draft, bytes: &'a [u8]) -> Self {
        Self {
            draft,
            bytes,
            at: 0,
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, len) = VarInt::peek(self.draft.varint(), self.bytes.get(self.at..)?)?;
        self.at += len;
        Some(value)
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Passes over a length and what it announces, which may not be there yet; `None`: more bytes needed.
    fn sized(
        &mut self,
        field: &'static str,
        max: usize,
    ) -> Result<Option<core::ops::Range<usize>>, DecodeError> {
        let Some(len) = self.varint() else {
            return Ok(None);
        };
        let range = self.at..self.at + buffer::within(field, len, max)?;
        self.at = range.end;
        Ok(Some(range))
    }
}
