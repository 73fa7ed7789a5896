//! What a stream's decoder has been fed and has not yet taken.

use bytes::{Bytes, BytesMut};

use crate::DecodeError;

/// What was fed in and not yet taken.
#[derive(Debug)]
pub(super) enum Buffer {
    /// One piece, shared with whoever fed it.
    Shared(Bytes),
    /// Several pieces, put together.
    Joined(BytesMut),
}

impl Default for Buffer {
    fn default() -> Self {
        Self::Shared(Bytes::new())
    }
}

impl Buffer {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }

    pub(super) fn push(&mut self, more: Bytes) {
        match self {
            Self::Shared(bytes) if bytes.is_empty() => *bytes = more,
            Self::Shared(bytes) => {
                let mut joined = BytesMut::with_capacity(bytes.len() + more.len());
                joined.extend_from_slice(bytes);
                joined.extend_from_slice(&more);
                *self = Self::Joined(joined);
            }
            Self::Joined(bytes) => bytes.extend_from_slice(&more),
        }
    }

    /// Takes `len` bytes, which must be there. What is left of joined pieces can be shared from then on.
    pub(super) fn take(&mut self, len: usize) -> Bytes {
        if let Self::Joined(bytes) = self {
            *self = Self::Shared(core::mem::take(bytes).freeze());
        }
        match self {
            Self::Shared(bytes) => bytes.split_to(len),
            Self::Joined(bytes) => bytes.split_to(len).freeze(),
        }
    }
}

/// Checks an announced length against the receiver's limit.
pub(super) fn within(field: &'static str, len: u64, max: usize) -> Result<usize, DecodeError> {
    match usize::try_from(len) {
        Ok(len) if len <= max => Ok(len),
        _ => Err(DecodeError::Limit {
            field,
            len,
            max: max as u64,
        }),
    }
}
