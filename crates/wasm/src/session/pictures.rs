//! Pictures, in both directions: groups on streams, the newest of which counts.

use bytes::Bytes;
use moqrelay_moqt::data::SubgroupHeader;
use moqrelay_moqt::{DecodeError, Filter, GroupOrder, Location, Parameters, TrackAlias};
use moqrelay_wire::video_object::{self, CONFIG_BYTES_MAX, Marking};

use super::inbound::{OBJECT_BYTES_MAX, Stream};
use super::{CallError, Client, Kind, NO_STAMP, Record, Track, Wish};

/// [`Record::code`] of a picture that needs no other one.
const INDEPENDENT: u64 = 1;
/// The same of one that no other needs.
const DISCARDABLE: u64 = 2;

impl Wish {
    /// What the request says of it.
    pub(super) fn parameters(self) -> Parameters {
        match self {
            Self::Voice => Parameters::default(),
            Self::Pictures(urgency) => Parameters {
                filter: Some(Filter::NextGroupStart),
                group_order: Some(GroupOrder::Descending),
                subscriber_priority: Some(urgency.priority),
                object_delivery_timeout: Some(urgency.timeout),
                new_group_request: Some(0),
                ..Parameters::default()
            },
            Self::Objects => Parameters {
                new_group_request: Some(0),
                ..Parameters::default()
            },
        }
    }
}

/// A picture that goes out.
#[derive(Debug, Clone)]
pub struct Picture {
    /// When it was taken, 1/48000 s.
    pub at: u64,
    /// What it is to the others.
    pub marking: Marking,
    /// What the decoder must know first; empty: nothing new.
    pub config: Bytes,
    /// The coded picture.
    pub payload: Bytes,
}

impl Client {
    /// Sends a picture as the object of `place`, which must ascend; the first of a group needs no other
    /// picture. Returns whether the relay wants it; otherwise nothing happened.
    ///
    /// # Errors
    ///
    /// [`CallError::Unknown`] when no such track goes out; [`CallError::Invalid`], also for what is too
    /// large.
    pub fn picture(
        &mut self,
        key: u32,
        place: Location,
        picture: Picture,
    ) -> Result<bool, CallError> {
        let free = self.next_stream;
        let Some(Track::Out(outgoing)) = self.tracks.get_mut(&key) else {
            return Err(CallError::Unknown);
        };
        if picture.config.len() > CONFIG_BYTES_MAX || picture.payload.len() > OBJECT_BYTES_MAX {
            return Err(CallError::Invalid);
        }
        if !outgoing.forward {
            return Ok(false);
        }
        let properties = video_object::Properties {
            timestamp: Some(picture.at),
            timescale: None,
            config: picture.config,
            marking: Some(picture.marking),
        };
        let properties = properties.to_bytes();
        let steps = outgoing
            .picture(self.draft, place, properties, picture.payload, free)
            .map_err(|_| CallError::Invalid)?;
        let sent = steps.is_some();
        self.carry_out(steps.unwrap_or_default());
        Ok(sent)
    }

    /// Gives up the group of pictures that is being sent: its stream is reset, and what else comes of it
    /// is left out.
    ///
    /// # Errors
    ///
    /// [`CallError::Unknown`].
    pub fn give_up(&mut self, key: u32) -> Result<(), CallError> {
        let Some(Track::Out(outgoing)) = self.tracks.get_mut(&key) else {
            return Err(CallError::Unknown);
        };
        let step = outgoing.give_up();
        self.carry_out(step);
        Ok(())
    }

    /// Asks the publisher of an incoming track to begin a new group, not below `group`.
    ///
    /// # Errors
    ///
    /// [`CallError::Unknown`]; [`CallError::Refused`] while too many such requests are unanswered.
    pub fn ask_group(&mut self, key: u32, group: u64) -> Result<(), CallError> {
        let Some(Track::In(incoming)) = self.tracks.get(&key) else {
            return Err(CallError::Unknown);
        };
        let params = Parameters {
            new_group_request: Some(group),
            ..Parameters::default()
        };
        self.session
            .update(incoming.request, params)
            .map_err(super::refused)?;
        self.drain();
        Ok(())
    }

    /// A picture came.
    pub(super) fn seen(
        &mut self,
        key: u32,
        timescale: Option<u64>,
        place: Location,
        properties: &[u8],
        payload: &Bytes,
    ) {
        // What a publisher says of its objects is not the relay's fault.
        let Ok(properties) = video_object::Properties::decode(properties) else {
            return;
        };
        // Who marks nothing has at least its groups begin so.
        let first = Marking {
            independent: place.object == 0,
            discardable: false,
        };
        let marking = properties.marking.unwrap_or(first);
        let flags = [
            (marking.independent, INDEPENDENT),
            (marking.discardable, DISCARDABLE),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag);
        let stamp = properties.timestamp_48k(timescale);
        let bytes = [&properties.config[..], payload].concat();
        let record = Record {
            at: stamp.map_or(NO_STAMP, |stamp| stamp as f64),
            group: place.group,
            object: place.object,
            ticks: properties.config.len() as u32,
            ..Record::new(Kind::Picture, key)
        };
        self.records
            .push_back(record.code(flags.sum()).bytes(bytes));
    }

    /// Something of a group came: what is still under way of older ones is worth nothing.
    pub(super) fn supersede(&mut self, alias: TrackAlias, group: u64) {
        let Some(&key) = self.aliases.get(&alias) else {
            return;
        };
        let Some(Track::In(incoming)) = self.tracks.get_mut(&key) else {
            return;
        };
        if !matches!(incoming.wish, Wish::Pictures(_)) || incoming.newest >= Some(group) {
            return;
        }
        incoming.newest = Some(group);
        let older = |header: SubgroupHeader| header.alias == alias && header.group < group;
        let late: Vec<u32> = self.inbound.streams.iter().map(|(id, _)| id).collect();
        for id in late {
            if self.inbound.header(id).is_some_and(older) {
                self.stop(id);
            }
        }
    }

    /// Tells that nothing more comes of a group of pictures.
    pub(super) fn cut(&mut self, header: Option<SubgroupHeader>) {
        let Some(header) = header else { return };
        let Some(&key) = self.aliases.get(&header.alias) else {
            return;
        };
        let Some(Track::In(incoming)) = self.tracks.get(&key) else {
            return;
        };
        if matches!(incoming.wish, Wish::Pictures(_)) {
            self.records.push_back(Record {
                group: header.group,
                ..Record::new(Kind::Cut, key)
            });
        }
    }

    /// The relay wants no more of a stream of ours: pictures go on with a new group.
    pub(super) fn stopped(&mut self, stream: u32) {
        let mut told = None;
        for (key, track) in self.tracks.iter_mut() {
            if let Track::Out(outgoing) = track
                && let Some(group) = outgoing.stopped(stream)
            {
                told = Some((key, group + 1));
            }
        }
        if let Some((key, group)) = told {
            self.records.push_back(Record {
                group,
                ..Record::new(Kind::NewGroup, key)
            });
        }
    }

    /// What came on a stream of objects cannot be read. One object that is too large is its publisher's
    /// fault and ends its stream; anything else the relay's, and ends the session.
    pub(super) fn uni_failed(&mut self, id: u32, error: &DecodeError) {
        if matches!(error, DecodeError::Limit { .. })
            && let Some(Stream::Subgroup(subgroup)) = self.inbound.streams.get(&id)
        {
            let header = subgroup.header();
            self.stop(id);
            self.cut(header);
            return;
        }
        self.session.close(error.session_code(), &error.to_string());
    }
}
