//! Streams and objects that come in, as far as they are for a track of ours.

use core::time::Duration;

use bytes::Bytes;
use moqrelay_audio::packet;
use moqrelay_moqt::data::ObjectStatus;
use moqrelay_moqt::{DecodeError, Location, ResetCode, TrackAlias};
use moqrelay_wire::audio_object::{self, Properties};

use super::inbound::{Step, Stream};
use super::{Client, Kind, NO_LEVEL, NO_STAMP, Record, Track, Wish};

impl Client {
    pub(super) fn handle_uni(
        &mut self,
        id: u32,
        bytes: Bytes,
        fin: bool,
        now: Duration,
    ) -> Result<(), DecodeError> {
        match self.inbound.feed(self.draft, id, bytes, fin)? {
            Step::Wait => {
                if fin {
                    self.inbound.streams.remove(&id);
                }
            }
            Step::Stop => self.stop(id),
            Step::Objects => self.deliver(id)?,
            Step::Past => self.deliver_past(id)?,
            Step::Control(bytes) => {
                let stream = match self.inbound.streams.get(&id) {
                    Some(Stream::Control(stream)) => *stream,
                    _ => {
                        let stream = self.session.accept_control();
                        self.inbound.streams.insert(id, Stream::Control(stream));
                        stream
                    }
                };
                self.session.handle_stream(stream, bytes, fin, now);
            }
        }
        Ok(())
    }

    /// Hands on the objects of a stream as far as its track is known.
    fn deliver(&mut self, id: u32) -> Result<(), DecodeError> {
        loop {
            let Some(Stream::Subgroup(subgroup)) = self.inbound.streams.get_mut(&id) else {
                return Ok(());
            };
            let Some(header) = subgroup.header() else {
                return Ok(());
            };
            if !self.aliases.contains_key(&header.alias) {
                let too_early = subgroup.is_too_early();
                if self.retired.contains(&header.alias) || too_early || self.inbound.is_full() {
                    self.stop(id);
                }
                return Ok(());
            }
            match subgroup.object()? {
                Some(object) if object.status == ObjectStatus::Normal => {
                    let payload = object.payload;
                    self.object(
                        header.alias,
                        header.group,
                        object.id,
                        &object.properties,
                        payload,
                    );
                    self.supersede(header.alias, header.group);
                }
                Some(_) => {}
                None => {
                    if subgroup.is_finished() {
                        self.inbound.streams.remove(&id);
                    } else if subgroup.is_large() && self.inbound.is_full() {
                        self.stop(id);
                        self.cut(Some(header));
                    }
                    return Ok(());
                }
            }
        }
    }

    pub(super) fn object(
        &mut self,
        alias: TrackAlias,
        group: u64,
        id: u64,
        properties: &[u8],
        payload: Bytes,
    ) {
        let Some(&key) = self.aliases.get(&alias) else {
            return; // Not subscribed yet, or no longer.
        };
        let Some(Track::In(incoming)) = self.tracks.get(&key) else {
            return;
        };
        let timescale = incoming.timescale;
        let place = Location::new(group, id);
        match incoming.wish {
            Wish::Voice => self.packet(key, timescale, place, properties, payload),
            Wish::Pictures(_) => self.seen(key, timescale, place, properties, &payload),
            Wish::Objects => self.records.push_back(Record {
                group,
                object: id,
                bytes: payload,
                ..Record::new(Kind::Object, key)
            }),
        }
    }

    /// Tells of an Opus packet, or of announced silence: a packet without bytes.
    pub(super) fn packet(
        &mut self,
        key: u32,
        timescale: Option<u64>,
        place: Location,
        properties: &[u8],
        payload: Bytes,
    ) {
        // Neither kills the session: what a publisher says of its objects is not the relay's fault.
        let Ok(properties) = Properties::decode(properties) else {
            return;
        };
        let (duration, payload) = match packet::duration(&payload) {
            _ if properties.kind == audio_object::Kind::Silence => (Duration::ZERO, Bytes::new()),
            Ok(duration) => (duration, payload),
            Err(_) => return,
        };
        let stamp = properties.timestamp_48k(timescale);
        let record = Record {
            code: properties
                .level
                .map_or(NO_LEVEL, |level| level.to_byte().into()),
            at: stamp.map_or(NO_STAMP, |stamp| stamp as f64),
            group: place.group,
            object: place.object,
            participant: properties
                .participant
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(0),
            ticks: (duration.as_micros() * 48 / 1_000) as u32,
            bytes: payload,
            ..Record::new(Kind::Packet, key)
        };
        self.records.push_back(record);
    }

    /// Wants no more of a stream; what comes all the same is dropped.
    pub(super) fn stop(&mut self, id: u32) {
        self.inbound.streams.remove(&id);
        let code = ResetCode::Cancelled.to_code(self.draft);
        self.records
            .push_back(Record::new(Kind::Stop, id).code(code));
    }

    /// Drops the oldest stream that is not the control stream.
    pub(super) fn evict(&mut self) {
        let oldest = self
            .inbound
            .streams
            .iter()
            .find(|(_, stream)| !matches!(stream, Stream::Control(_)))
            .map(|(id, _)| id);
        if let Some(id) = oldest {
            let header = self.inbound.header(id);
            self.stop(id);
            self.cut(header);
        }
    }

    /// Delivers what waited for a track.
    pub(super) fn deliver_all(&mut self) {
        let ids: Vec<u32> = self.inbound.streams.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Err(error) = self.deliver(id) {
                self.uni_failed(id, &error);
            }
        }
    }
}
