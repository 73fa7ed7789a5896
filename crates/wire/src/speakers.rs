//! What the track `speakers` of a room holds (docs/protocol.md, section 3): JSON, one object each, the newest counts.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The version that is written; a reader of another one has to know what changed.
pub const VERSION: u32 = 1;

/// A longer text is not looked at; one with 16 seats has less than 1 KiB.
pub const BYTES_MAX: usize = 64 << 10;

/// Who speaks in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speakers {
    /// [`VERSION`].
    pub version: u32,
    /// The loudest of those who speak, or who spoke last: `p1`, `p2`, …; absent when nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<String>,
    /// Everyone who speaks and has a seat, in order of their places.
    pub speaking: Vec<String>,
    /// Who has which seat, `s1` first; null: nobody.
    pub seats: Vec<Option<String>>,
}

/// Why a text is none of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is too long to be looked at.
    #[error("{0} bytes, at most {BYTES_MAX}")]
    TooLong(usize),
    /// It is not JSON of that form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It is of a version that is not known here.
    #[error("speakers of version {0}")]
    Version(u32),
}

impl Speakers {
    /// Returns the JSON text.
    ///
    /// # Panics
    ///
    /// Never: strings, numbers and lists always have a form in JSON.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("nothing here that JSON lacks")
            .into()
    }

    /// Reads what [`to_json`](Self::to_json) writes.
    ///
    /// # Errors
    ///
    /// When it is too long, of another version, or something else.
    pub fn decode(text: &[u8]) -> Result<Self, DecodeError> {
        if text.len() > BYTES_MAX {
            return Err(DecodeError::TooLong(text.len()));
        }
        let speakers: Self = serde_json::from_slice(text)?;
        match speakers.version {
            VERSION => Ok(speakers),
            other => Err(DecodeError::Version(other)),
        }
    }
}
