//! The track `text` of a participant: what was said in words and what happened, as an MSF event timeline
//! (draft-ietf-moq-msf, "Event Timeline track").
//!
//! An object is a JSON array of records. The first one of a group holds what is still of interest, each later one what
//! is new. Only the writing side: pages read it with what they have for JSON.

use bytes::Bytes;
use serde::Serialize;

use crate::audio_object::TIMESCALE;

/// What the catalog calls the structure of a record's data.
pub const EVENT_TYPE: &str = "moqrelay.text.v1";

/// One record of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// When, in milliseconds of the media time of the participant's audio.
    #[serde(rename = "M")]
    at_ms: u64,
    data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Data {
    Text {
        id: u64,
        text: String,
        r#final: bool,
        until: u64,
        #[serde(skip_serializing_if = "String::is_empty")]
        language: String,
    },
    Event {
        name: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        data: String,
    },
}

/// Something that was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// Texts with the same id are stages of the same; the last one counts.
    pub id: u64,
    /// The words.
    pub text: String,
    /// Whether they stay as they are.
    pub r#final: bool,
    /// When it began and ended, as the audio objects' timestamps have it.
    pub begin: u64,
    /// See `begin`.
    pub end: u64,
    /// A language tag; empty: not known.
    pub language: String,
}

impl Record {
    /// Makes a record of something that was said.
    #[must_use]
    pub fn text(text: Text) -> Self {
        Self {
            at_ms: ms(text.begin),
            data: Data::Text {
                id: text.id,
                text: text.text,
                r#final: text.r#final,
                until: ms(text.end),
                language: text.language,
            },
        }
    }

    /// Makes a record of something that happened at `timestamp`.
    #[must_use]
    pub fn event(timestamp: u64, name: String, data: String) -> Self {
        Self {
            at_ms: ms(timestamp),
            data: Data::Event { name, data },
        }
    }

    /// Returns whether it is worth keeping for those who come late.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.data, Data::Text { r#final: true, .. })
    }
}

/// Returns the payload of an object.
///
/// # Panics
///
/// Never: strings, numbers and booleans always have a form in JSON.
#[must_use]
pub fn to_json<'a>(records: impl IntoIterator<Item = &'a Record>) -> Bytes {
    let records: Vec<&Record> = records.into_iter().collect();
    serde_json::to_vec(&records)
        .expect("a record holds nothing that JSON lacks")
        .into()
}

const fn ms(timestamp: u64) -> u64 {
    timestamp / (TIMESCALE / 1_000)
}
