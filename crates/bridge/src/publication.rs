//! The two tracks of a participant that is made here: its voice and its catalog.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use moqrelay_relay::{
    PublishError, Relay,
    track::{Info, Object, WriteError, Writer},
};
use moqrelay_wire::{
    audio_object::{ENCODED_BYTES_MAX, GROUP_OBJECTS, Level, Properties, track_properties},
    catalog::Catalog,
};
use tokio::time::Instant;

use crate::Place;

/// How often the catalog is sent again, for those who came since.
const CATALOG_INTERVAL: Duration = Duration::from_secs(5);

/// Properties of some eighty objects. The relay keeps a voice for some seconds, and a block until the last of it is gone.
const BLOCK_BYTES: usize = 1024;

/// What a participant publishes; dropping it ends both tracks.
#[derive(Debug)]
pub(crate) struct Publication {
    audio: Writer,
    /// Where objects' properties are written one after the other: a block holds those of a second.
    block: BytesMut,
    position: Position,
    /// The group whose stream is open, where a stream carries the voice.
    open_group: Option<u64>,
    catalog: Writer,
    catalog_text: Bytes,
    catalog_group: u64,
    catalog_due: Instant,
}

impl Publication {
    /// Begins both tracks and says what they are.
    pub(crate) fn open(
        relay: &Relay,
        place: &Place,
        catalog: &Catalog,
        now: Instant,
    ) -> Result<Self, PublishError> {
        let info = Info {
            properties: track_properties(),
        };
        Self::open_as(relay, place, catalog, info, now)
    }

    /// Begins both tracks, the voice with the properties of another publisher's track.
    pub(crate) fn open_as(
        relay: &Relay,
        place: &Place,
        catalog: &Catalog,
        info: Info,
        now: Instant,
    ) -> Result<Self, PublishError> {
        let first_group = unix_seconds();
        let mut publication = Self {
            audio: relay.publish(place.audio(), info)?,
            block: BytesMut::with_capacity(BLOCK_BYTES),
            position: Position {
                first_group,
                objects: 0,
            },
            open_group: None,
            catalog: relay.publish(place.catalog(), Info::default())?,
            catalog_text: catalog.to_json(),
            catalog_group: first_group,
            catalog_due: now,
        };
        publication.tick(now);
        Ok(publication)
    }

    /// Says from now on that there are these tracks.
    pub(crate) fn describe(&mut self, catalog: &Catalog, now: Instant) {
        self.catalog_text = catalog.to_json();
        self.catalog_due = now;
        self.tick(now);
    }

    /// Publishes a packet of voice as the next object.
    pub(crate) fn voice(
        &mut self,
        timestamp: u64,
        level: Option<Level>,
        packet: Bytes,
    ) -> Result<(), WriteError> {
        let properties = Properties {
            timestamp: Some(timestamp),
            level,
            ..Properties::default()
        };
        self.say(properties, packet)
    }

    /// Publishes what `properties` describe as the next object.
    pub(crate) fn say(&mut self, properties: Properties, packet: Bytes) -> Result<(), WriteError> {
        let (group, id) = self.position.next();
        self.block.reserve(ENCODED_BYTES_MAX);
        properties.encode(&mut self.block);
        let properties = self.block.split().freeze();
        self.pass(Object {
            group,
            id,
            properties,
            payload: packet,
            ..Object::default()
        })
    }

    /// Publishes an object as it is; on streams a group ends when another one begins.
    pub(crate) fn pass(&mut self, object: Object) -> Result<(), WriteError> {
        let group = object.subgroup.map(|_| object.group);
        if let Some(ended) = self
            .open_group
            .filter(|open| group.is_some_and(|now| now != *open))
        {
            self.audio.finish_group(ended);
        }
        self.open_group = group.or(self.open_group);
        self.audio.write(object)
    }

    /// Sends the catalog again when it is time.
    pub(crate) fn tick(&mut self, now: Instant) {
        if now < self.catalog_due {
            return;
        }
        self.catalog_due = now + CATALOG_INTERVAL;
        let object = Object {
            group: self.catalog_group,
            subgroup: Some(0),
            end_of_group: true,
            payload: self.catalog_text.clone(),
            ..Object::default()
        };
        self.catalog_group += 1;
        if let Err(error) = self.catalog.write(object) {
            tracing::debug!(%error, "the catalog was not published");
        }
    }

    /// Returns what the slowest connection to a listener carried since the last call, bits per second, if it is known.
    pub(crate) fn take_bandwidth(&self) -> Option<u32> {
        self.audio.take_bandwidth()
    }

    /// Tells whether anybody hears the voice.
    pub(crate) fn is_read(&self) -> bool {
        self.audio.is_read()
    }

    /// Returns when the next [`tick`](Self::tick) has something to do.
    pub(crate) fn due(&self) -> Instant {
        self.catalog_due
    }
}

/// Group and object ids: a group is a second, and the first one is named after the wall clock, so that a publisher
/// that comes back goes on above its old groups.
#[derive(Debug)]
struct Position {
    first_group: u64,
    objects: u64,
}

impl Position {
    fn next(&mut self) -> (u64, u64) {
        let group = self.first_group + self.objects / GROUP_OBJECTS;
        let id = self.objects % GROUP_OBJECTS;
        self.objects += 1;
        (group, id)
    }
}

/// Returns where group ids of a track begin, so that a publisher that comes back goes on above its old ones.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_fifty_objects() {
        let mut position = Position {
            first_group: 7,
            objects: 0,
        };

        let ids: Vec<_> = (0..101).map(|_| position.next()).collect();

        assert_eq!(ids[0], (7, 0));
        assert_eq!(ids[49], (7, 49));
        assert_eq!(ids[50], (8, 0));
        assert_eq!(ids[100], (9, 0));
    }
}
