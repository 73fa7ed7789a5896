//! What a leg says: PCM from Asterisk, coded once, published as objects for however many listen.

use std::time::Duration;

use bytes::Bytes;
use moqrelay_audio::{
    Frame,
    level::{AudioLevel, Meter},
    opus, packet,
};
use moqrelay_relay::track::WriteError;
use moqrelay_wire::audio_object::Level;
use tokio::time::Instant;

use super::{Coding, Stats, timeline::Timeline};
use crate::publication::Publication;

/// The way from frames to objects.
#[derive(Debug)]
pub(super) struct Voice {
    coding: Coding,
    encoder: Option<opus::Encoder>,
    meter: Meter,
    timeline: Timeline,
    publication: Option<Publication>,
    muted: bool,
}

impl Voice {
    pub(super) fn new(coding: Coding) -> Self {
        Self {
            coding,
            encoder: None,
            meter: Meter::new(),
            timeline: Timeline::default(),
            publication: None,
            muted: false,
        }
    }

    /// Publishes from now on.
    pub(super) fn publish(&mut self, publication: Publication) {
        self.publication = Some(publication);
    }

    /// Stops or resumes publishing; silence is what others hear meanwhile.
    pub(super) fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Takes a frame that came at `now` (since the leg's start), together with `after` frames that follow it.
    pub(super) fn say(&mut self, frame: &Frame, after: usize, now: Duration, stats: &mut Stats) {
        let level = self.meter.measure(frame.samples());
        stats.level = level.level.minus_dbov();
        if self.publication.is_none() || self.muted {
            return;
        }
        let Some(timestamp) = self.timeline.stamp(now, after) else {
            stats.frames_dropped += 1;
            return;
        };
        match self.publish_frame(frame, timestamp, level) {
            Ok(()) => stats.objects_out += 1,
            Err(error) => {
                stats.objects_failed += 1;
                self.give_up(&error);
            }
        }
    }

    /// So much before the next frame was lost: listeners conceal it.
    pub(super) fn lose(&mut self, length: Duration) {
        self.timeline.lose(length);
    }

    /// Takes an Opus packet that came at `now` and publishes it untouched, without a level: nobody has decoded it.
    pub(super) fn pass(&mut self, packet: Bytes, now: Duration, stats: &mut Stats) {
        let Ok(length) = packet::duration(&packet) else {
            stats.malformed += 1;
            return;
        };
        let Some(publication) = self.publication.as_mut().filter(|_| !self.muted) else {
            return;
        };
        let Some(timestamp) = self.timeline.stamp_piece(now, 0, length) else {
            stats.frames_dropped += 1;
            return;
        };
        match publication.voice(timestamp, None, packet) {
            Ok(()) => stats.objects_out += 1,
            Err(error) => {
                stats.objects_failed += 1;
                self.give_up(&error.into());
            }
        }
    }

    /// Keeps the catalog fresh.
    pub(super) fn tick(&mut self, now: Instant) {
        if let Some(publication) = &mut self.publication {
            publication.tick(now);
        }
    }

    fn publish_frame(
        &mut self,
        frame: &Frame,
        timestamp: u64,
        level: AudioLevel,
    ) -> Result<(), Error> {
        let Some(publication) = &mut self.publication else {
            return Ok(());
        };
        let encoder = match self.encoder.take() {
            Some(encoder) if encoder.rate() == frame.rate() => encoder,
            _ => opus::Encoder::new(self.coding.opus(frame.rate()))?,
        };
        let packet = self.encoder.insert(encoder).encode(frame)?;
        let level = Level {
            below_overload_db: level.level.minus_dbov(),
            voice: level.voice,
        };
        Ok(publication.voice(timestamp, Some(level), packet)?)
    }

    /// Logs the fault, and ends the publication when another publisher has taken its name.
    fn give_up(&mut self, error: &Error) {
        match error {
            Error::Coding(error) => tracing::debug!(%error, "a frame could not be coded"),
            Error::Writing(WriteError::Superseded) => {
                tracing::warn!("another publisher took the leg's track over: it is silent now");
                self.publication = None;
            }
            Error::Writing(error) => tracing::debug!(%error, "an object was not published"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Coding(#[from] opus::Error),
    #[error(transparent)]
    Writing(#[from] WriteError),
}
