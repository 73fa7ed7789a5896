//! The way objects come into a track: one inlet for each publisher, one lane for each stream.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use moqrelay_moqt::{
    Draft, EncodeError, Location, ObjectProperties, TrackAlias, TrackProperties,
    data::{self, ObjectDatagram, ObjectStatus, SubgroupEncoder, SubgroupHeader, SubgroupId},
    translate_properties,
};

use super::{
    Intake, Object, SourceId, Track,
    log::{Item, Subgroup, SubgroupEnd, SubgroupObject},
    merge::{Malformed, Merge, Place, Placed, Said, StreamEnd, Verdict},
    wire::{ByDraft, Wire},
};

/// Payloads up to this size are copied behind their header, once for all subscribers: a second
/// chunk costs each of them more than the copy. Larger ones are shared.
const COPIED_PAYLOAD: usize = 1024;

/// As which draft writes them the log has properties: for it a datagram can be written from its object at any time.
const LOG_DRAFT: Draft = Draft::D18;

/// What stands before and between an object's properties and payload, in bytes, at most.
const AROUND: usize = 64;

/// One publisher of a track.
#[derive(Clone)]
pub(crate) struct Inlet {
    pub(crate) track: Arc<Track>,
    pub(crate) source: SourceId,
    /// What the publisher speaks.
    pub(crate) draft: Draft,
}

/// One stream of a publisher.
pub(crate) struct Lane {
    header: SubgroupHeader,
    /// Known with the header, or with the first object.
    subgroup: Option<u64>,
    /// Its beginning was told to the track.
    open: bool,
    /// The last object that came on it.
    previous: Option<u64>,
}

/// Why an object is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InletError {
    /// It cannot be written to subscribers.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It contradicts what the track said before.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Inlet {
    /// Adds an object that came in a datagram; false when its publisher is heard no more.
    pub(crate) fn datagram(
        &self,
        datagram: ObjectDatagram,
        properties: ObjectProperties,
    ) -> Result<bool, InletError> {
        let datagram = ObjectDatagram {
            alias: self.track.alias,
            ..datagram
        };
        let properties_len = datagram.properties.len();
        // A voice that only legs hear never goes over the wire.
        let later = self.draft == LOG_DRAFT && !self.track.has_outlets();
        let Intake { merge, sheet } = &mut *self.track.intake();
        if later {
            datagram.check(self.draft)?;
        } else {
            sheet.write(AROUND + properties_len + datagram.payload.len(), |out| {
                datagram.encode_header(self.draft, out)?;
                out.extend_from_slice(&datagram.payload);
                Ok::<_, EncodeError>(())
            })?;
        }
        let said = Said {
            location: Location::new(datagram.group, datagram.id),
            status: datagram.status,
            end_of_group: datagram.end_of_group,
            properties,
        };
        let translated = self.properties(datagram.properties)?;
        let verdict = self.judge(merge, &said, None, &datagram.payload)?;
        if verdict == Verdict::New || verdict == Verdict::Restarted {
            let (wire, properties, payload) = if later {
                (Wire::later(self.draft), translated, datagram.payload)
            } else {
                let bytes = sheet.take();
                let payload = bytes.slice(bytes.len() - datagram.payload.len()..);
                let properties = sheet.copy(&translated);
                (Wire::new(self.draft, bytes), properties, payload)
            };
            let object = Object {
                group: datagram.group,
                subgroup: None,
                id: datagram.id,
                priority: datagram.priority,
                status: datagram.status,
                end_of_group: datagram.end_of_group,
                properties,
                payload,
            };
            self.track.count(object.payload.len());
            self.track.push(Item::Datagram { object, wire });
            self.track.skipped(said.location, &said.properties);
        }
        Ok(verdict != Verdict::Superseded)
    }

    /// Begins a stream.
    pub(crate) fn lane(&self, header: SubgroupHeader) -> Lane {
        let header = SubgroupHeader {
            alias: self.track.alias,
            ..header
        };
        let subgroup = match header.subgroup {
            SubgroupId::Zero => Some(0),
            SubgroupId::Explicit(id) => Some(id),
            SubgroupId::FirstObject => None,
        };
        Lane {
            header,
            subgroup,
            open: false,
            previous: None,
        }
    }

    /// Adds an object that came on a stream; false when its publisher is heard no more.
    pub(crate) fn object(
        &self,
        lane: &mut Lane,
        object: data::Object,
        properties: ObjectProperties,
    ) -> Result<bool, InletError> {
        let group = lane.header.group;
        let marks_end = object.status != ObjectStatus::Normal;
        if marks_end && !(object.properties.is_empty() && object.payload.is_empty()) {
            let reason = "an object that marks an end has neither properties nor payload";
            return Err(EncodeError::Object(reason).into());
        }
        if let Some(last) = lane.previous.filter(|last| *last >= object.id) {
            return Err(EncodeError::NotAscending(object.id, last).into());
        }
        let subgroup = *lane.subgroup.get_or_insert(object.id);
        let said = Said {
            location: Location::new(group, object.id),
            status: object.status,
            end_of_group: false,
            properties,
        };
        let Intake { merge, sheet } = &mut *self.track.intake();
        if !merge.hears(self.source) {
            return Ok(false);
        }
        if !std::mem::replace(&mut lane.open, true) {
            merge.open(self.source, group, subgroup, lane.header.priority)?;
        }
        let before = lane.previous.replace(object.id);
        match self.judge(merge, &said, Some(subgroup), &object.payload)? {
            Verdict::Superseded => return Ok(false),
            Verdict::Repeated => return Ok(true),
            // Its stream is the first of a new life.
            Verdict::Restarted => merge.open(self.source, group, subgroup, lane.header.priority)?,
            Verdict::New => {}
        }
        let place = Place {
            group,
            subgroup,
            object: object.id,
            before,
            has_properties: !object.properties.is_empty(),
        };
        let begin = || {
            let timeouts = self.timeouts(lane, before, &object.properties);
            lane.begin(&self.track, subgroup, before.is_none(), timeouts)
        };
        let Placed {
            subgroup,
            previous,
            left,
        } = merge.place(self.source, place, begin)?;
        if let Some(left) = left {
            self.track.push(Item::ended(left));
        }
        let header = SubgroupHeader {
            properties: subgroup.properties,
            ..lane.header
        };
        let mut encoder = SubgroupEncoder::resume(self.draft, header, previous);
        let whole = object.payload.len() <= COPIED_PAYLOAD;
        let copied = if whole { object.payload.len() } else { 0 };
        let need = AROUND + object.properties.len() + copied;
        sheet.write(need, |out| {
            encoder.object(&object, out)?;
            out.extend_from_slice(&object.payload[..copied]);
            Ok::<_, EncodeError>(())
        })?;
        let wire = sheet.take();
        let translated = self.properties(object.properties)?;
        // What is copied keeps no network buffer alive; of the rest there is one copy in all.
        let object = data::Object {
            properties: sheet.copy(&translated),
            payload: match whole {
                true => wire.slice(wire.len() - copied..),
                false => object.payload,
            },
            ..object
        };
        self.track.count(object.payload.len());
        self.track.push(Item::Object(SubgroupObject {
            subgroup,
            object,
            previous,
            wire: Wire::new(self.draft, wire),
            whole,
            opening: ByDraft::default(),
        }));
        self.track.skipped(said.location, &said.properties);
        Ok(true)
    }

    /// Ends a stream.
    pub(crate) fn close(&self, lane: Lane, end: SubgroupEnd) -> Result<(), Malformed> {
        // A stream without any object whose name depended on the first one names nothing.
        let Some(subgroup) = lane.subgroup else {
            return Ok(());
        };
        let Intake { merge, .. } = &mut *self.track.intake();
        if !merge.hears(self.source) {
            return Ok(());
        }
        if lane.previous.is_none() {
            let empty = Item::Closed {
                subgroup: lane.begin(&self.track, subgroup, true, Timeouts::default()),
                end,
                empty: true,
            };
            self.track.push(empty);
            return Ok(());
        }
        let how = match end {
            SubgroupEnd::Fin if lane.header.end_of_group => StreamEnd::FinEndOfGroup,
            SubgroupEnd::Fin => StreamEnd::Fin,
            SubgroupEnd::Reset(_) => StreamEnd::Reset,
        };
        let group = lane.header.group;
        let ended = merge.close(self.source, group, subgroup, lane.previous, how)?;
        if let Some(ended) = ended {
            let item = match end {
                // With the publisher's own code.
                SubgroupEnd::Reset(_) if !ended.well => Item::Closed {
                    subgroup: ended.subgroup,
                    end,
                    empty: false,
                },
                SubgroupEnd::Fin | SubgroupEnd::Reset(_) => Item::ended(ended),
            };
            self.track.push(item);
        }
        Ok(())
    }

    /// What the first object of a subgroup says of all of them (draft-19 section 8).
    fn timeouts(&self, lane: &Lane, before: Option<u64>, properties: &Bytes) -> Timeouts {
        // Up to draft 18 these keys mean something else on objects.
        let named = self.draft == Draft::D19 && lane.header.first_object && before.is_none();
        if !named || properties.is_empty() {
            return Timeouts::default();
        }
        let read = TrackProperties::read(self.draft, properties).unwrap_or_default();
        (read.object_delivery_timeout, read.subgroup_delivery_timeout)
    }

    /// The log has properties as one draft writes them, whatever the publisher speaks.
    fn properties(&self, properties: Bytes) -> Result<Bytes, EncodeError> {
        if self.draft == LOG_DRAFT {
            return Ok(properties);
        }
        translate_properties(self.draft, LOG_DRAFT, &properties)
            .map_err(|_| EncodeError::Value("properties"))
    }

    /// Judges an object, and lets the track begin anew when it says so.
    fn judge(
        &self,
        merge: &mut Merge,
        said: &Said,
        subgroup: Option<u64>,
        payload: &Bytes,
    ) -> Result<Verdict, Malformed> {
        let same = || {
            let log = self.track.log();
            let sent = log.find(said.location)?;
            Some(sent.item.same(subgroup, said.status, payload))
        };
        let verdict = merge.judge(self.source, said, same)?;
        if verdict == Verdict::Repeated {
            self.track.meters.objects_repeated.add(1);
        }
        if verdict == Verdict::Restarted {
            let (live, _) = self.track.status();
            self.track.push_anew(live);
        }
        Ok(verdict)
    }
}

/// OBJECT_DELIVERY_TIMEOUT and SUBGROUP_DELIVERY_TIMEOUT.
type Timeouts = (Option<Duration>, Option<Duration>);

impl Lane {
    /// Makes a stream to subscribers; `whole`: from the first object that the publisher sent on its.
    fn begin(&self, track: &Track, id: u64, whole: bool, timeouts: Timeouts) -> Arc<Subgroup> {
        let mode = match self.header.subgroup {
            SubgroupId::FirstObject if !whole => SubgroupId::Explicit(id),
            mode => mode,
        };
        Arc::new(Subgroup {
            serial: track.next_subgroup(),
            group: self.header.group,
            id,
            mode,
            priority: self.header.priority,
            properties: self.header.properties,
            end_of_group: self.header.end_of_group,
            first_object: self.header.first_object && whole,
            timeouts,
        })
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
