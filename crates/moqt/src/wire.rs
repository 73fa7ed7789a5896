//! Reading and writing the fields that messages are made of.

use core::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    DecodeError, Draft, EncodeError, FullTrackName, KeyValue, Location, NameError, Namespace,
    Value, VarInt,
    draft::{Keys, Layout},
    kvp::{VALUE_LEN_BYTES_MAX, next_key},
};

/// Longest reason phrase, in bytes (section 1.4.4).
pub(crate) const REASON_LEN_BYTES_MAX: usize = 1024;
/// Longest URI in GOAWAY, in bytes (section 10.4); redirects have the same kind of URI.
pub(crate) const URI_LEN_BYTES_MAX: usize = 8192;

/// Takes fields from the front of one message's payload.
pub(crate) struct Reader {
    pub(crate) draft: Draft,
    bytes: Bytes,
}

impl Reader {
    pub(crate) fn new(draft: Draft, bytes: Bytes) -> Self {
        Self { draft, bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes what is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        core::mem::take(&mut self.bytes)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        VarInt::decode(self.draft.varint(), &mut self.bytes).ok_or(DecodeError::Truncated(field))
    }

    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        if self.bytes.is_empty() {
            return Err(DecodeError::Truncated(field));
        }
        Ok(self.bytes.get_u8())
    }

    /// Takes a byte that is 0 or 1.
    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.byte(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Forbidden(field, other.into())),
        }
    }

    /// Takes a length and as many bytes.
    pub(crate) fn sized(&mut self, field: &'static str, max: usize) -> Result<Bytes, DecodeError> {
        let len = self.varint(field)?;
        if len > max as u64 {
            return Err(DecodeError::TooLong {
                field,
                len,
                max: max as u64,
            });
        }
        // `len` is at most `max`, so it fits in usize.
        let len = len as usize;
        if len > self.bytes.len() {
            return Err(DecodeError::Truncated(field));
        }
        Ok(self.bytes.split_to(len))
    }

    pub(crate) fn milliseconds(&mut self, field: &'static str) -> Result<Duration, DecodeError> {
        self.varint(field).map(Duration::from_millis)
    }

    pub(crate) fn location(&mut self, field: &'static str) -> Result<Location, DecodeError> {
        Ok(Location {
            group: self.varint(field)?,
            object: self.varint(field)?,
        })
    }

    pub(crate) fn reason(&mut self) -> Result<String, DecodeError> {
        let bytes = self.sized("reason phrase", REASON_LEN_BYTES_MAX)?;
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        // Replacing broken UTF-8 may have made it longer.
        text.truncate(text.floor_char_boundary(REASON_LEN_BYTES_MAX));
        Ok(text)
    }

    pub(crate) fn namespace(&mut self) -> Result<Namespace, DecodeError> {
        let (namespace, _) = own_names(self.namespace_fields()?, &Bytes::new())?;
        Ok(namespace)
    }

    pub(crate) fn track(&mut self) -> Result<FullTrackName, DecodeError> {
        let fields = self.namespace_fields()?;
        if fields.is_empty() && self.draft.one_control_stream() {
            return Err(DecodeError::Forbidden("number of namespace fields", 0));
        }
        let name = self.sized("track name", Namespace::LEN_BYTES_MAX)?;
        let (namespace, name) = own_names(fields, &name)?;
        Ok(FullTrackName::new(namespace, name)?)
    }

    /// Takes a key-value pair; `last`: the key before it.
    pub(crate) fn pair(&mut self, last: u64) -> Result<KeyValue, DecodeError> {
        let written = self.varint("parameter type")?;
        let key = next_key(self.draft, "parameter type", last, written)?;
        let value = if key.is_multiple_of(2) {
            Value::Int(self.varint("parameter")?)
        } else {
            Value::Bytes(self.sized("parameter", VALUE_LEN_BYTES_MAX as usize)?)
        };
        Ok(KeyValue { key, value })
    }

    /// Takes a small number: a byte where parameters are typed, otherwise an integer of variable length.
    pub(crate) fn small(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        match self.draft.table().layout {
            Layout::Typed => self.byte(field).map(u64::from),
            Layout::Pairs | Layout::Fields => self.varint(field),
        }
    }

    /// Takes the bytes of a parameter: with a length where parameters are typed, otherwise all that are left.
    pub(crate) fn value(&mut self, field: &'static str) -> Result<Bytes, DecodeError> {
        match self.draft.table().layout {
            Layout::Typed => self.sized(field, crate::Message::PAYLOAD_LEN_BYTES_MAX),
            Layout::Pairs | Layout::Fields => Ok(self.rest()),
        }
    }

    /// Reads a pair's value as if it stood alone.
    pub(crate) fn pair_value(draft: Draft, value: Value) -> Self {
        match value {
            Value::Bytes(bytes) => Self::new(draft, bytes),
            Value::Int(value) => {
                let mut out = BytesMut::new();
                VarInt::encode(draft.varint(), value, &mut out);
                Self::new(draft, out.freeze())
            }
        }
    }

    /// Takes what is left, in a buffer of its own: properties outlive their message.
    pub(crate) fn properties(&mut self) -> Bytes {
        Bytes::copy_from_slice(&self.rest())
    }

    fn namespace_fields(&mut self) -> Result<Vec<Bytes>, DecodeError> {
        let count = self.varint("namespace")?;
        if count > Namespace::FIELDS_MAX as u64 {
            return Err(NameError::TooManyFields(count).into());
        }
        let mut fields = Vec::new();
        for _ in 0..count {
            fields.push(self.sized("namespace field", Namespace::LEN_BYTES_MAX)?);
        }
        Ok(fields)
    }
}

/// Copies names into one buffer of their own: they outlive their message, which must not stay in memory for their sake.
fn own_names(fields: Vec<Bytes>, name: &Bytes) -> Result<(Namespace, Bytes), NameError> {
    let mut buffer =
        BytesMut::with_capacity(fields.iter().map(Bytes::len).sum::<usize>() + name.len());
    fields
        .iter()
        .chain([name])
        .for_each(|part| buffer.put_slice(part));
    let mut buffer = buffer.freeze();
    let namespace = Namespace::new(fields.iter().map(|field| buffer.split_to(field.len())))?;
    Ok((namespace, buffer))
}

/// Adds fields to a message's payload.
pub(crate) struct Writer<'a> {
    pub(crate) draft: Draft,
    pub(crate) out: &'a mut BytesMut,
}

impl Writer<'_> {
    pub(crate) fn varint(&mut self, value: u64) {
        VarInt::encode(self.draft.varint(), value, self.out);
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.out.put_u8(value);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub(crate) fn sized(
        &mut self,
        field: &'static str,
        bytes: &[u8],
        max: usize,
    ) -> Result<(), EncodeError> {
        if bytes.len() > max {
            return Err(EncodeError::TooLong(field, bytes.len()));
        }
        self.varint(bytes.len() as u64);
        self.raw(bytes);
        Ok(())
    }

    pub(crate) fn milliseconds(&mut self, value: Duration) {
        self.varint(u64::try_from(value.as_millis()).unwrap_or(u64::MAX));
    }

    pub(crate) fn location(&mut self, value: Location) {
        self.varint(value.group);
        self.varint(value.object);
    }

    /// Writes a reason, cut at a character's border when it is too long: it is for people only.
    pub(crate) fn reason(&mut self, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(REASON_LEN_BYTES_MAX)];
        self.varint(reason.len() as u64);
        self.raw(reason.as_bytes());
    }

    pub(crate) fn namespace(&mut self, namespace: &Namespace) {
        self.varint(namespace.fields().len() as u64);
        for field in namespace.fields() {
            self.varint(field.len() as u64);
            self.raw(field);
        }
    }

    /// Up to draft 16 a track has a namespace.
    pub(crate) fn track(&mut self, track: &FullTrackName) -> Result<(), EncodeError> {
        if track.namespace().is_empty() && self.draft.one_control_stream() {
            return Err(EncodeError::Value("track namespace"));
        }
        self.namespace(track.namespace());
        self.varint(track.name().len() as u64);
        self.raw(track.name());
        Ok(())
    }

    /// Writes a key-value pair with an integer; `last`: the key before it, from then on this one.
    pub(crate) fn int_pair(&mut self, last: &mut u64, key: u64, value: u64) {
        self.key(last, key);
        self.varint(value);
    }

    /// Writes a key-value pair with bytes.
    pub(crate) fn bytes_pair(
        &mut self,
        last: &mut u64,
        key: u64,
        value: &[u8],
    ) -> Result<(), EncodeError> {
        self.key(last, key);
        self.sized("parameter", value, VALUE_LEN_BYTES_MAX as usize)
    }

    pub(crate) fn key(&mut self, last: &mut u64, key: u64) {
        let before = core::mem::replace(last, key);
        self.varint(match self.draft.table().keys {
            Keys::Delta => key - before,
            Keys::Plain => key,
        });
    }
}
