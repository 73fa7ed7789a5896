//! Key-value pairs: SETUP options and properties (section 1.4.3).

use bytes::{BufMut, Bytes, BytesMut};

use crate::{DecodeError, Draft, EncodeError, VarInt, draft::Keys};

/// Longest value of an odd key, in bytes.
pub(crate) const VALUE_LEN_BYTES_MAX: u64 = 0xffff;

/// One pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key; even keys carry integers, odd keys bytes.
    pub key: u64,
    /// The value.
    pub value: Value,
}

/// The value of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of an even key.
    Int(u64),
    /// Of an odd key, at most 65,535 bytes.
    Bytes(Bytes),
}

/// Reads pairs one after the other; values share the buffer. Ends after the first error.
#[derive(Debug, Clone)]
pub struct KeyValues {
    draft: Draft,
    rest: Bytes,
    key: u64,
}

impl KeyValues {
    /// Reads all of `bytes` as pairs.
    pub fn new(draft: Draft, bytes: Bytes) -> Self {
        Self {
            draft,
            rest: bytes,
            key: 0,
        }
    }

    fn read(&mut self) -> Result<KeyValue, DecodeError> {
        let flavour = self.draft.varint();
        let key = VarInt::decode(flavour, &mut self.rest).ok_or(DecodeError::Truncated("key"))?;
        self.key = next_key(self.draft, "key", self.key, key)?;
        let number =
            VarInt::decode(flavour, &mut self.rest).ok_or(DecodeError::Truncated("value"))?;
        if self.key.is_multiple_of(2) {
            return Ok(KeyValue {
                key: self.key,
                value: Value::Int(number),
            });
        }
        if number > VALUE_LEN_BYTES_MAX {
            return Err(DecodeError::TooLong {
                field: "value",
                len: number,
                max: VALUE_LEN_BYTES_MAX,
            });
        }
        if number > self.rest.len() as u64 {
            return Err(DecodeError::Truncated("value"));
        }
        let value = self.rest.split_to(number as usize);
        Ok(KeyValue {
            key: self.key,
            value: Value::Bytes(value),
        })
    }
}

impl Iterator for KeyValues {
    type Item = Result<KeyValue, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let pair = self.read();
        if pair.is_err() {
            self.rest.clear();
        }
        Some(pair)
    }
}

/// Returns the key that stands as `written` after `last`.
pub(crate) fn next_key(
    draft: Draft,
    field: &'static str,
    last: u64,
    written: u64,
) -> Result<u64, DecodeError> {
    match draft.table().keys {
        Keys::Plain => Ok(written),
        Keys::Delta => last
            .checked_add(written)
            .ok_or(DecodeError::Overflow(field)),
    }
}

/// Writes pairs; keys must not descend.
#[derive(Debug, Clone)]
pub struct KeyValueEncoder {
    draft: Draft,
    out: BytesMut,
    key: u64,
}

impl KeyValueEncoder {
    /// Begins an empty list.
    pub fn new(draft: Draft) -> Self {
        Self {
            draft,
            out: BytesMut::new(),
            key: 0,
        }
    }

    /// Adds an integer under an even key.
    ///
    /// # Errors
    ///
    /// When the key is odd or below the last one.
    pub fn int(&mut self, key: u64, value: u64) -> Result<&mut Self, EncodeError> {
        if !key.is_multiple_of(2) {
            return Err(EncodeError::KeyKind(key));
        }
        self.key(key)?;
        VarInt::encode(self.draft.varint(), value, &mut self.out);
        Ok(self)
    }

    /// Adds bytes under an odd key.
    ///
    /// # Errors
    ///
    /// When the key is even or below the last one, or there are more than 65,535 bytes.
    pub fn bytes(&mut self, key: u64, value: &[u8]) -> Result<&mut Self, EncodeError> {
        if key.is_multiple_of(2) {
            return Err(EncodeError::KeyKind(key));
        }
        if value.len() as u64 > VALUE_LEN_BYTES_MAX {
            return Err(EncodeError::TooLong("value", value.len()));
        }
        self.key(key)?;
        VarInt::encode(self.draft.varint(), value.len() as u64, &mut self.out);
        self.out.put_slice(value);
        Ok(self)
    }

    /// Returns the list.
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }

    fn key(&mut self, key: u64) -> Result<(), EncodeError> {
        let delta = key
            .checked_sub(self.key)
            .ok_or(EncodeError::KeyOrder(key, self.key))?;
        let written = match self.draft.table().keys {
            Keys::Plain => key,
            Keys::Delta => delta,
        };
        VarInt::encode(self.draft.varint(), written, &mut self.out);
        self.key = key;
        Ok(())
    }
}
