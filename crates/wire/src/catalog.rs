//! The catalog of a participant: which tracks it has, as MSF (draft-ietf-moq-msf) JSON.
//!
//! Only independent catalogs of audio and text, as `docs/protocol.md` section 3 shows them; delta updates and the fields of
//! video are not ours, and fields that are unknown here are ignored as MSF demands.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of MSF that is written and understood.
pub const VERSION: &str = "1";

/// A longer catalog is not looked at: ours have some 200 bytes.
pub const CATALOG_BYTES_MAX: usize = 65_536;

/// An independent catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    version: String,
    /// The tracks in the namespace of the catalog itself, unless they name another one.
    pub tracks: Vec<Track>,
}

impl Catalog {
    /// Describes a participant whose one track is `audio`.
    #[must_use]
    pub fn audio(track: Track) -> Self {
        Self {
            version: VERSION.into(),
            tracks: vec![track],
        }
    }

    /// Returns the JSON text, without line breaks.
    ///
    /// # Panics
    ///
    /// Never: strings, numbers and booleans always have a form in JSON.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("a catalog holds nothing that JSON lacks")
            .into()
    }

    /// Reads a catalog.
    ///
    /// # Errors
    ///
    /// When it is too long, not JSON, of another version (which MSF forbids to guess at), or lacks a mandatory field.
    pub fn decode(text: &[u8]) -> Result<Self, DecodeError> {
        if text.len() > CATALOG_BYTES_MAX {
            return Err(DecodeError::TooLong(text.len()));
        }
        let head: Head = serde_json::from_slice(text)?;
        if head.version != VERSION {
            return Err(DecodeError::Version(
                head.version.chars().take(32).collect(),
            ));
        }
        Ok(serde_json::from_slice(text)?)
    }

    /// Returns the first audio track that can be played from this catalog: LOC with Opus.
    #[must_use]
    pub fn opus(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| {
            track.packaging == "loc"
                && track
                    .codec
                    .as_deref()
                    .is_some_and(|codec| codec.eq_ignore_ascii_case("opus"))
        })
    }
}

/// One track of a catalog. MSF calls every field but name and packaging optional or conditional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    /// The MoQT track name, unique in its namespace.
    pub name: String,
    /// Its namespace, when it is not the catalog's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How objects are built: `loc`.
    pub packaging: String,
    /// Whether objects are still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_live: Option<bool>,
    /// What it is for: `audio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The codec's name as WebCodecs knows it: `opus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Samples per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samplerate: Option<u32>,
    /// The layout of the channels; for Opus their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_config: Option<String>,
    /// The most it takes, bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u64>,
    /// Units of timestamps per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timescale: Option<u64>,
    /// The type of the objects, where no codec says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// What the records of an event timeline are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// The tracks of the same namespace that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends: Option<Vec<String>>,
}

impl Track {
    /// Describes a mono Opus track named `audio` with objects as `audio_object` has them.
    ///
    /// `samplerate` is what a decoder shall be set to, `bitrate` the encoder's, in bits per second.
    #[must_use]
    pub fn opus(samplerate: u32, bitrate: u64) -> Self {
        Self {
            name: "audio".into(),
            namespace: None,
            packaging: "loc".into(),
            is_live: Some(true),
            role: Some("audio".into()),
            codec: Some("opus".into()),
            samplerate: Some(samplerate),
            channel_config: Some("1".into()),
            bitrate: Some(bitrate),
            timescale: Some(crate::audio_object::TIMESCALE),
            mime_type: None,
            event_type: None,
            depends: None,
        }
    }

    /// Describes a track named `text` with objects as `text_track` has them, for the voice of [`opus`](Self::opus).
    #[must_use]
    pub fn text() -> Self {
        Self {
            name: "text".into(),
            namespace: None,
            packaging: "eventtimeline".into(),
            is_live: Some(true),
            role: Some("caption".into()),
            codec: None,
            samplerate: None,
            channel_config: None,
            bitrate: None,
            timescale: None,
            mime_type: Some("application/json".into()),
            event_type: Some(crate::text_track::EVENT_TYPE.into()),
            depends: Some(vec!["audio".into()]),
        }
    }
}

/// A catalog that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than anything sensible.
    #[error("catalog of {0} bytes, at most {CATALOG_BYTES_MAX}")]
    TooLong(usize),
    /// Another version of MSF.
    #[error("catalog version {0:?}, not {VERSION:?}")]
    Version(String),
    /// Not JSON, or a mandatory field is missing or of the wrong type.
    #[error("catalog: {0}")]
    Json(#[from] serde_json::Error),
}

/// What must be read before anything else.
#[derive(Deserialize)]
struct Head {
    version: String,
}
