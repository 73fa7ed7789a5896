//! The way objects come into a track: one inlet for each publisher, one lane for each stream.

use std::sync::Arc;

use bytes::BytesMut;
use moqrelay_moqt::{
    Draft, EncodeError, TrackAlias,
    data::{self, ObjectDatagram, SubgroupEncoder, SubgroupHeader, SubgroupId},
};

use super::{
    Object, SourceId, Track,
    log::{Item, Subgroup, SubgroupEnd, SubgroupObject},
};

/// Payloads up to this size are copied behind their header, once for all subscribers: a second
/// chunk costs each of them more than the copy. Larger ones are shared.
const COPIED_PAYLOAD: usize = 1024;

/// One publisher of a track.
#[derive(Clone)]
pub(crate) struct Inlet {
    pub(crate) track: Arc<Track>,
    pub(crate) source: SourceId,
}

/// One stream of a publisher.
pub(crate) struct Lane {
    header: SubgroupHeader,
    encoder: SubgroupEncoder,
    /// Known with the header, or with the first object.
    subgroup: Option<Arc<Subgroup>>,
    previous: Option<u64>,
}

impl Inlet {
    /// Adds an object that came in a datagram; false when another publisher has taken over.
    pub(crate) fn datagram(&self, datagram: ObjectDatagram) -> Result<bool, EncodeError> {
        let datagram = ObjectDatagram {
            alias: self.track.alias,
            ..datagram
        };
        let wire = datagram.encode(Draft::D18)?;
        let object = Object {
            group: datagram.group,
            subgroup: None,
            id: datagram.id,
            priority: datagram.priority,
            status: datagram.status,
            end_of_group: datagram.end_of_group,
            properties: datagram.properties,
            payload: datagram.payload,
        };
        self.count(object.payload.len());
        Ok(self
            .track
            .append(self.source, Item::Datagram { object, wire }))
    }

    /// Begins a stream.
    pub(crate) fn lane(&self, header: SubgroupHeader) -> Lane {
        let header = SubgroupHeader {
            alias: self.track.alias,
            ..header
        };
        let mut lane = Lane {
            header,
            encoder: SubgroupEncoder::new(Draft::D18, header),
            subgroup: None,
            previous: None,
        };
        match header.subgroup {
            SubgroupId::Zero => lane.name(&self.track, 0),
            SubgroupId::Explicit(id) => lane.name(&self.track, id),
            SubgroupId::FirstObject => {}
        }
        lane
    }

    /// Adds an object that came on a stream; false when another publisher has taken over.
    pub(crate) fn object(
        &self,
        lane: &mut Lane,
        object: data::Object,
    ) -> Result<bool, EncodeError> {
        let mut wire = BytesMut::new();
        lane.encoder.object(&object, &mut wire)?;
        let whole = object.payload.len() <= COPIED_PAYLOAD;
        if whole {
            wire.extend_from_slice(&object.payload);
        }
        if lane.subgroup.is_none() {
            lane.name(&self.track, object.id);
        }
        let Some(subgroup) = lane.subgroup.clone() else {
            return Ok(false);
        };
        self.count(object.payload.len());
        let previous = lane.previous.replace(object.id);
        let item = Item::Object(SubgroupObject {
            subgroup,
            object,
            previous,
            wire: wire.freeze(),
            whole,
        });
        Ok(self.track.append(self.source, item))
    }

    /// Ends a stream.
    pub(crate) fn close(&self, lane: Lane, end: SubgroupEnd) {
        // A stream without any object whose name depended on the first one names nothing.
        if let Some(subgroup) = lane.subgroup {
            let empty = lane.previous.is_none();
            let item = Item::Closed {
                subgroup,
                end,
                empty,
            };
            self.track.append(self.source, item);
        }
    }

    fn count(&self, payload: usize) {
        self.track.count(payload);
    }
}

impl Lane {
    fn name(&mut self, track: &Track, id: u64) {
        self.subgroup = Some(Arc::new(Subgroup {
            serial: track.next_subgroup(),
            group: self.header.group,
            id,
            mode: self.header.subgroup,
            priority: self.header.priority,
            properties: self.header.properties,
            end_of_group: self.header.end_of_group,
            first_object: self.header.first_object,
        }));
    }
}

/// The header of a stream that goes to a subscriber.
///
/// `from_start`: the object is the first one on the publisher's stream, so that what the publisher
/// said about it still holds.
pub(crate) fn stream_header(
    alias: TrackAlias,
    subgroup: &Subgroup,
    from_start: bool,
) -> SubgroupHeader {
    let named = match subgroup.mode {
        SubgroupId::FirstObject if !from_start => SubgroupId::Explicit(subgroup.id),
        mode => mode,
    };
    SubgroupHeader {
        alias,
        group: subgroup.group,
        subgroup: named,
        priority: subgroup.priority,
        properties: subgroup.properties,
        end_of_group: subgroup.end_of_group,
        first_object: subgroup.first_object && from_start,
    }
}
