//! Where a participant publishes.

use bytes::Bytes;
use moqrelay_relay::{FullTrackName, NameError, Namespace};

/// A participant's place in a room: the namespace `room/<room>/<participant>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    room: String,
    participant: String,
    audio: FullTrackName,
    catalog: FullTrackName,
    text: FullTrackName,
}

impl Place {
    /// Makes the place of `participant` (`p1`, `p2`, …) in `room` (32 hex digits).
    ///
    /// # Errors
    ///
    /// When one of them is empty, or both together are longer than a track's name may be.
    pub fn new(room: impl Into<String>, participant: impl Into<String>) -> Result<Self, NameError> {
        let (room, participant) = (room.into(), participant.into());
        let fields =
            ["room", &room, &participant].map(|field| Bytes::copy_from_slice(field.as_bytes()));
        let namespace = Namespace::new(fields)?;
        Ok(Self {
            audio: FullTrackName::new(namespace.clone(), "audio")?,
            catalog: FullTrackName::new(namespace.clone(), "catalog")?,
            text: FullTrackName::new(namespace, "text")?,
            room,
            participant,
        })
    }

    /// Returns the room's name.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.room
    }

    /// Returns the participant's name.
    #[must_use]
    pub fn participant(&self) -> &str {
        &self.participant
    }

    /// Returns the name of the track with the participant's voice.
    #[must_use]
    pub fn audio(&self) -> &FullTrackName {
        &self.audio
    }

    /// Returns the name of the track with what a media processor says in words.
    #[must_use]
    pub fn text(&self) -> &FullTrackName {
        &self.text
    }

    /// Returns the name of the track that says which tracks there are.
    #[must_use]
    pub fn catalog(&self) -> &FullTrackName {
        &self.catalog
    }
}
