//! A relay's side of one session, in memory: the machine of `moqt` in the other role.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::data::{self, StreamKind};
use moqrelay_moqt::{
    Config, Draft, Event, FullTrackName, Namespace, Output, Role, Session, StreamId, Transport,
};
use moqrelay_wasm::session::{Client, Kind, Offer, Record};

pub(crate) const NOW: Duration = Duration::from_secs(1);

/// A browser's session and its relay; [`settle`](Self::settle) carries bytes until both are silent.
pub(crate) struct Pair {
    pub(crate) client: Client,
    pub(crate) relay: Session,
    /// What the client tells its owner.
    pub(crate) told: Vec<Record>,
    /// What the client's machine tells the relay's.
    pub(crate) events: Vec<Event>,
    /// Datagrams and finished streams of objects that the client sent.
    pub(crate) datagrams: Vec<Bytes>,
    pub(crate) streams: BTreeMap<u32, (BytesMut, bool)>,
    pub(crate) now: Duration,
    to_relay: BTreeMap<u32, StreamId>,
    to_client: BTreeMap<StreamId, u32>,
    pub(crate) closed: Option<u32>,
}

impl Pair {
    /// A session whose SETUPs were exchanged.
    pub(crate) fn new() -> Self {
        let mut pair = Self {
            client: Client::new(&Bytes::from_static(b"secret"), NOW),
            relay: Session::new(
                Config::new(Draft::D18, Role::Server, Transport::WebTransport),
                NOW,
            ),
            told: Vec::new(),
            events: Vec::new(),
            datagrams: Vec::new(),
            streams: BTreeMap::new(),
            now: NOW,
            to_relay: BTreeMap::new(),
            to_client: BTreeMap::new(),
            closed: None,
        };
        pair.settle();
        pair
    }

    /// Carries out what both want until neither wants anything.
    pub(crate) fn settle(&mut self) {
        loop {
            if let Some(record) = self.client.poll() {
                self.carry_out(record);
            } else if let Some(output) = self.relay.poll_output() {
                self.answer(output);
            } else {
                return;
            }
        }
    }

    /// The last event of the relay that `pick` accepts.
    pub(crate) fn event<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> T {
        self.events.iter().rev().find_map(pick).unwrap()
    }

    /// What the client told of that kind.
    pub(crate) fn told(&self, kind: Kind) -> Vec<&Record> {
        self.told
            .iter()
            .filter(|record| record.kind == kind)
            .collect()
    }

    /// Opens a stream of objects to the client.
    pub(crate) fn open(&mut self) -> u32 {
        self.client.accept_uni()
    }

    pub(crate) fn send(&mut self, stream: u32, bytes: impl Into<Bytes>, fin: bool) {
        self.client
            .handle_stream(stream, bytes.into(), fin, self.now);
        self.settle();
    }

    fn carry_out(&mut self, record: Record) {
        let Record {
            kind,
            id,
            code,
            bytes,
            ..
        } = &record;
        match kind {
            Kind::OpenBi => {
                let stream = self.relay.accept_bi();
                self.tie(*id, stream);
            }
            Kind::OpenUni => {
                self.streams.insert(*id, (BytesMut::new(), false));
            }
            Kind::Write => self.written(*id, bytes.clone(), false),
            Kind::Finish => self.written(*id, Bytes::new(), true),
            Kind::Reset => {
                if let Some(&stream) = self.to_relay.get(id) {
                    self.relay.handle_reset(stream, (*code).into(), self.now);
                }
            }
            Kind::Stop => {
                if let Some(&stream) = self.to_relay.get(id) {
                    self.relay.handle_stop(stream, (*code).into(), self.now);
                } else {
                    self.told.push(record);
                }
            }
            Kind::Close => self.closed = Some(*code),
            Kind::Datagram => self.datagrams.push(bytes.clone()),
            _ => self.told.push(record),
        }
    }

    fn written(&mut self, id: u32, bytes: Bytes, fin: bool) {
        if let Some(&stream) = self.to_relay.get(&id) {
            self.relay.handle_stream(stream, bytes, fin, self.now);
            return;
        }
        let (held, finished) = self.streams.get_mut(&id).unwrap();
        held.extend_from_slice(&bytes);
        *finished |= fin;
        if data::classify(Draft::D18, held).unwrap() == Some(StreamKind::Control) {
            let (held, _) = self.streams.remove(&id).unwrap();
            let stream = self.relay.accept_control();
            self.tie(id, stream);
            self.relay
                .handle_stream(stream, held.freeze(), fin, self.now);
        }
    }

    fn answer(&mut self, output: Output) {
        match output {
            Output::Open(stream, direction) => {
                let id = match direction {
                    moqrelay_moqt::Direction::Bi => self.client.accept_bi(),
                    moqrelay_moqt::Direction::Uni => self.client.accept_uni(),
                };
                self.tie(id, stream);
            }
            Output::Write(stream, bytes) => {
                let id = self.to_client[&stream];
                self.client.handle_stream(id, bytes, false, self.now);
            }
            Output::Finish(stream) => {
                let id = self.to_client[&stream];
                self.client.handle_stream(id, Bytes::new(), true, self.now);
            }
            Output::Reset(stream, code) => {
                let id = self.to_client[&stream];
                self.client
                    .handle_reset(id, code.to_code(Draft::D18) as u32, self.now);
            }
            Output::Stop(stream, code) => {
                let id = self.to_client[&stream];
                self.client
                    .handle_stop(id, code.to_code(Draft::D18) as u32, self.now);
            }
            Output::Close(code, reason) => panic!("the relay closed: {code:?} {reason}"),
            Output::Event(event) => self.events.push(event),
        }
    }

    fn tie(&mut self, id: u32, stream: StreamId) {
        self.to_relay.insert(id, stream);
        self.to_client.insert(stream, id);
    }
}

pub(crate) fn track(participant: &'static str) -> FullTrackName {
    let namespace = Namespace::new(["room", "0123456789abcdef0123456789abcdef", participant]);
    FullTrackName::new(namespace.unwrap(), "audio").unwrap()
}

pub(crate) fn offer(participant: &'static str) -> Offer {
    Offer {
        name: track(participant),
        token: Bytes::from_static(b"ticket"),
    }
}

/// An Opus packet of 20 ms (TOC: CELT, full band, 20 ms, one frame) with a number inside.
pub(crate) fn packet(number: u8) -> Bytes {
    vec![31 << 3, number, 0, 0].into()
}
