//! The relay as the rest of the process sees it.

use std::{fmt, time::SystemTime};

use moqrelay_moqt::{FullTrackName, Namespace};

use crate::{
    Rights,
    stats::Stats,
    table::{Config, Shared},
    track,
};

/// The tracks of this process; cheap to clone, all clones are one.
///
/// Sessions of [`server`](crate::server) read and write the same tracks as the readers and writers
/// made here, without a network between them.
#[derive(Clone)]
pub struct Relay {
    pub(crate) shared: Shared,
}

/// Why a track cannot be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// [`Config::tracks`] is reached.
    #[error("the relay knows too many tracks")]
    TooManyTracks,
}

impl Relay {
    /// Makes a relay without tracks. Install the recorder of the `metrics` crate before.
    pub fn new(config: Config) -> Self {
        Self {
            shared: Shared::new(config),
        }
    }

    /// Publishes a track. The newest publisher wins: an older one is heard no more.
    ///
    /// # Errors
    ///
    /// When the relay knows too many tracks.
    pub fn publish(
        &self,
        track: &FullTrackName,
        info: track::Info,
    ) -> Result<track::Writer, PublishError> {
        let inlet = self
            .shared
            .publish_local(track, info.properties)
            .map_err(|_too_many| PublishError::TooManyTracks)?;
        Ok(track::Writer::new(self.shared.clone(), inlet))
    }

    /// Subscribes to a track, whether anyone publishes it yet or not.
    pub fn subscribe(&self, track: FullTrackName) -> track::Reader {
        self.subscribe_from(track, track::Start::Now)
    }

    /// Subscribes to a track beginning in its past, as far as the cache has it: first what is there, in the order of
    /// locations, then what comes.
    pub fn subscribe_from(&self, track: FullTrackName, start: track::Start) -> track::Reader {
        let key = self.shared.reader_key();
        track::Reader::new(self.shared.clone(), track, key, start)
    }

    /// Says what is left to a participant, or to all below a namespace, whatever their tokens
    /// ([`Grants::participant`](crate::Grants::participant)) say: what runs without a right to it ends at once
    /// (subscriptions with UNAUTHORIZED), and nothing new begins.
    ///
    /// It holds until `until`, when the last of those tokens must have ended, or until it is called with
    /// [`Rights::Everything`].
    pub fn revoke(&self, below: &Namespace, left: Rights, until: SystemTime) {
        self.shared.revoke(below, left, until);
    }

    /// Returns what has been counted.
    pub fn stats(&self) -> Stats {
        self.shared.meters().snapshot()
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relay").field(&self.stats()).finish()
    }
}
