//! One MoQT session of a browser: the machine of `moqt`, the voice tracks on top of it, and a queue
//! of [`Record`]s that say what to do.
//!
//! Streams have numbers of our own (`u32`); those of the machine are even, those of objects odd.
//! Tracks have numbers that the caller chooses.

mod arrivals;
pub mod exports;
mod inbound;
mod outputs;
mod past;
mod pictures;
mod record;
mod track;

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use moqrelay_moqt::data::{Datagram, ObjectStatus};
use moqrelay_moqt::{
    Config, Draft, EncodeError, FullTrackName, Location, Parameters, PublishDoneCode,
    PublishOptions, RequestId, ResetCode, Role, Session, StreamId, SubscribeOptions, TrackAlias,
    Transport,
};
use moqrelay_wire::audio_object::{Level, Properties};

use inbound::{Inbound, STREAMS_MAX, Stream};
pub use pictures::Picture;
pub use record::{Kind, Record, Wire};
pub use track::{Content, Urgency, Via, Wish};
use track::{Incoming, Named, Outgoing, Past, Step};

use crate::map::Map;

/// Tracks of either direction: two of ours and 31 others in each of a few rooms.
const TRACKS_MAX: usize = 256;

/// Pings without an answer; beyond that the relay is gone anyhow.
const PINGS_MAX: usize = 4;

/// Aliases of ended subscriptions whose late objects are dropped rather than kept.
const RETIRED_MAX: usize = 64;

/// A level that the packet does not tell.
const NO_LEVEL: u32 = 255;

/// A timestamp that the object does not tell.
const NO_STAMP: f64 = -1.0;

/// One session.
#[derive(Debug)]
pub struct Client {
    draft: Draft,
    session: Session,
    tracks: Map<u32, Track>,
    requests: Map<RequestId, u32>,
    aliases: Map<TrackAlias, u32>,
    retired: VecDeque<TrackAlias>,
    pings: Map<RequestId, Duration>,
    inbound: Inbound,
    /// The next number of a stream of objects.
    next_stream: u32,
    records: VecDeque<Record>,
    now: Duration,
}

#[derive(Debug)]
enum Track {
    In(Incoming),
    Out(Outgoing),
    Past(Past),
}

/// Why a call did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// No such track.
    Unknown,
    /// The arguments make no sense.
    Invalid,
    /// A limit is reached, the session is closed, or the track is there already.
    Refused,
}

/// A track as it is asked for or offered.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Namespace and name.
    pub name: FullTrackName,
    /// A token for this request; empty: none.
    pub token: Bytes,
}

impl Client {
    /// Begins a session over WebTransport; `token` goes into SETUP unless it is empty.
    #[must_use]
    pub fn new(token: &Bytes, now: Duration) -> Self {
        let draft = Draft::D18;
        let mut config = Config::new(draft, Role::Client, Transport::WebTransport);
        config.authorization = track::tokens(token);
        config.implementation = Some(concat!("moqrelay-web/", env!("CARGO_PKG_VERSION")).into());
        let mut client = Self {
            draft,
            session: Session::new(config, now),
            tracks: Map::default(),
            requests: Map::default(),
            aliases: Map::default(),
            retired: VecDeque::new(),
            pings: Map::default(),
            inbound: Inbound::default(),
            next_stream: 1,
            records: VecDeque::new(),
            now,
        };
        client.drain();
        client
    }

    /// Returns what to do next; drain until `None` after every call.
    pub fn poll(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.session.poll_timeout()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = now;
        self.session.handle_timeout(now);
        self.drain();
    }

    /// Names a bidirectional stream that the relay opened.
    pub fn accept_bi(&mut self) -> u32 {
        let stream = self.session.accept_bi();
        control_number(stream)
    }

    /// Names a unidirectional stream that the relay opened.
    pub fn accept_uni(&mut self) -> u32 {
        if self.inbound.streams.len() >= STREAMS_MAX {
            self.evict();
        }
        let id = self.free_stream();
        self.inbound
            .streams
            .insert(id, Stream::New(Default::default()));
        id
    }

    /// Takes bytes that arrived on a stream; `fin`: they are the last ones.
    pub fn handle_stream(&mut self, id: u32, bytes: Bytes, fin: bool, now: Duration) {
        self.now = now;
        if let Some(stream) = control_stream(id) {
            self.session.handle_stream(stream, bytes, fin, now);
        } else if let Err(error) = self.handle_uni(id, bytes, fin, now) {
            self.uni_failed(id, &error);
        }
        self.drain();
    }

    /// The relay reset its direction of a stream.
    pub fn handle_reset(&mut self, id: u32, code: u32, now: Duration) {
        self.now = now;
        if let Some(stream) = control_stream(id) {
            self.session.handle_reset(stream, u64::from(code), now);
        } else {
            match self.inbound.streams.remove(&id) {
                Some(Stream::Control(stream)) => {
                    self.session.handle_reset(stream, u64::from(code), now);
                }
                Some(Stream::Fetch(fetch)) => self.past_reset(fetch.header(), code),
                Some(Stream::Subgroup(subgroup)) => self.cut(subgroup.header()),
                Some(Stream::New(_)) | None => {}
            }
        }
        self.drain();
    }

    /// The relay does not want what we send on a stream.
    pub fn handle_stop(&mut self, id: u32, code: u32, now: Duration) {
        self.now = now;
        if let Some(stream) = control_stream(id) {
            self.session.handle_stop(stream, u64::from(code), now);
        } else {
            self.stopped(id);
        }
        self.drain();
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, bytes: Bytes, now: Duration) {
        self.now = now;
        match Datagram::decode(self.draft, bytes) {
            Ok(Datagram::Padding) => {}
            Ok(Datagram::Object(object)) if object.status == ObjectStatus::Normal => {
                let (group, id) = (object.group, object.id);
                self.object(object.alias, group, id, &object.properties, object.payload);
            }
            Ok(Datagram::Object(_)) => {}
            Err(error) => self.session.close(error.session_code(), &error.to_string()),
        }
        self.drain();
    }

    /// Subscribes; a relay may wait `rendezvous` for a publisher. Answer: [`Kind::Live`],
    /// [`Kind::Refused`].
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn subscribe(
        &mut self,
        key: u32,
        offer: Offer,
        wish: Wish,
        rendezvous: Duration,
    ) -> Result<(), CallError> {
        self.room_for(key)?;
        let named = Named {
            name: offer.name,
            token: offer.token,
        };
        let params = Parameters {
            authorization: named.authorization(),
            rendezvous_timeout: Some(rendezvous),
            ..wish.parameters()
        };
        let options = SubscribeOptions { params };
        let request = self
            .session
            .subscribe(named.name.clone(), options)
            .map_err(refused)?;
        let incoming = Incoming {
            request,
            named,
            alias: None,
            timescale: None,
            wish,
            newest: None,
        };
        self.remember(key, request, Track::In(incoming));
        Ok(())
    }

    /// Publishes. Objects may be sent at once. Answer: [`Kind::Live`] or [`Kind::Refused`].
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn publish(
        &mut self,
        key: u32,
        offer: Offer,
        via: Via,
        content: Content,
    ) -> Result<(), CallError> {
        self.room_for(key)?;
        let named = Named {
            name: offer.name,
            token: offer.token,
        };
        let options = PublishOptions {
            alias: None,
            params: Parameters {
                authorization: named.authorization(),
                ..Parameters::default()
            },
            properties: content.properties(),
        };
        let (request, alias) = self
            .session
            .publish(named.name.clone(), options)
            .map_err(refused)?;
        let outgoing = Outgoing::new(request, alias, named, via);
        self.remember(key, request, Track::Out(outgoing));
        Ok(())
    }

    /// Ends a track of either direction. No answer follows.
    ///
    /// # Errors
    ///
    /// [`CallError::Unknown`].
    pub fn end(&mut self, key: u32) -> Result<(), CallError> {
        let track = self.forget(key).ok_or(CallError::Unknown)?;
        match track {
            Track::In(incoming) => {
                // It may have ended by itself a moment ago.
                self.session
                    .cancel(incoming.request, ResetCode::Cancelled)
                    .ok();
            }
            Track::Past(past) => self.end_past(&past, ResetCode::Cancelled),
            Track::Out(mut outgoing) => {
                let last = outgoing.end_stream();
                self.carry_out(last);
                let streams = Some(outgoing.streams);
                let done = PublishDoneCode::TrackEnded;
                self.session
                    .publish_done(outgoing.request, done, streams, "")
                    .ok();
            }
        }
        self.drain();
        Ok(())
    }

    /// Sends one Opus packet as the object of `place`, which must ascend; `at`: 1/48000 s, `level`:
    /// as in RFC 6464. Returns whether the relay wants objects now; otherwise nothing happened.
    ///
    /// # Errors
    ///
    /// [`CallError::Unknown`] when no such track goes out; [`CallError::Invalid`].
    pub fn voice(
        &mut self,
        key: u32,
        place: Location,
        at: u64,
        level: u8,
        payload: Bytes,
    ) -> Result<bool, CallError> {
        let free = self.next_stream;
        let Some(Track::Out(outgoing)) = self.tracks.get_mut(&key) else {
            return Err(CallError::Unknown);
        };
        if !outgoing.forward {
            return Ok(false);
        }
        let level = Level {
            below_overload_db: level & 0x7f,
            voice: level & 0x80 != 0,
        };
        let properties = Properties::of_object(at, level).to_bytes();
        let steps = outgoing.voice(self.draft, place, properties, payload, free);
        self.sent(steps)
    }

    /// Sends a group of one object on a stream of its own.
    ///
    /// # Errors
    ///
    /// As [`voice`](Self::voice).
    pub fn single(&mut self, key: u32, group: u64, payload: Bytes) -> Result<bool, CallError> {
        let free = self.next_stream;
        let Some(Track::Out(outgoing)) = self.tracks.get_mut(&key) else {
            return Err(CallError::Unknown);
        };
        if !outgoing.forward {
            return Ok(false);
        }
        let steps = outgoing.single(self.draft, group, payload, free);
        self.sent(steps)
    }

    /// Asks for the status of a track, for the round trip alone. Answer: [`Kind::Pong`].
    ///
    /// # Errors
    ///
    /// See [`CallError`]; refused while earlier ones are unanswered.
    pub fn ping(&mut self, key: u32, now: Duration) -> Result<(), CallError> {
        self.now = now;
        if self.pings.len() >= PINGS_MAX {
            return Err(CallError::Refused);
        }
        let named = match self.tracks.get(&key).ok_or(CallError::Unknown)? {
            Track::In(incoming) => incoming.named.clone(),
            Track::Out(outgoing) => outgoing.named.clone(),
            Track::Past(past) => past.named.clone(),
        };
        let params = Parameters {
            authorization: named.authorization(),
            ..Parameters::default()
        };
        let request = self
            .session
            .track_status(named.name, params)
            .map_err(refused)?;
        self.pings.insert(request, now);
        self.drain();
        Ok(())
    }

    fn room_for(&self, key: u32) -> Result<(), CallError> {
        if self.tracks.len() >= TRACKS_MAX || self.tracks.contains_key(&key) {
            return Err(CallError::Refused);
        }
        Ok(())
    }

    fn remember(&mut self, key: u32, request: RequestId, track: Track) {
        self.tracks.insert(key, track);
        self.requests.insert(request, key);
        self.drain();
    }

    fn forget(&mut self, key: u32) -> Option<Track> {
        let track = self.tracks.remove(&key)?;
        match &track {
            Track::Out(outgoing) => {
                self.requests.remove(&outgoing.request);
            }
            Track::Past(past) => {
                self.requests.remove(&past.request);
            }
            Track::In(incoming) => {
                self.requests.remove(&incoming.request);
                if let Some(alias) = incoming.alias {
                    self.aliases.remove(&alias);
                    self.retire(alias);
                }
            }
        }
        Some(track)
    }

    fn retire(&mut self, alias: TrackAlias) {
        if self.retired.len() >= RETIRED_MAX {
            self.retired.pop_front();
        }
        self.retired.push_back(alias);
    }

    fn free_stream(&mut self) -> u32 {
        let id = self.next_stream;
        self.next_stream = self.next_stream.wrapping_add(2);
        id
    }

    fn sent(&mut self, steps: Result<Vec<Step>, EncodeError>) -> Result<bool, CallError> {
        self.carry_out(steps.map_err(|_| CallError::Invalid)?);
        Ok(true)
    }

    fn carry_out(&mut self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            let record = match step {
                Step::Datagram(bytes) => Record::new(Kind::Datagram, 0).bytes(bytes),
                Step::Open(id) => {
                    self.next_stream = id.wrapping_add(2);
                    Record::new(Kind::OpenUni, id)
                }
                Step::OpenBulk(id) => {
                    self.next_stream = id.wrapping_add(2);
                    Record::new(Kind::OpenUni, id).code(1)
                }
                Step::Write(id, bytes) => Record::new(Kind::Write, id).bytes(bytes),
                Step::Finish(id) => Record::new(Kind::Finish, id),
                Step::Reset(id) => {
                    let code = ResetCode::DeliveryTimeout.to_code(self.draft);
                    Record::new(Kind::Reset, id).code(code)
                }
            };
            self.records.push_back(record);
        }
    }
}

fn refused(_: moqrelay_moqt::CallError) -> CallError {
    CallError::Refused
}

/// Our number of a stream of the machine. It counts its streams; 2^31 of them do not happen.
fn control_number(stream: StreamId) -> u32 {
    (stream.0 as u32).wrapping_mul(2)
}

/// The machine's stream of that number, if it is one.
fn control_stream(id: u32) -> Option<StreamId> {
    id.is_multiple_of(2).then(|| StreamId(u64::from(id / 2)))
}
