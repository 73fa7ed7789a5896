//! A MoQ peer of our own codec, driven step by step.

mod dial;
mod fetching;
mod hearing;
mod requests;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    Config, Direction, Draft, Event, Output, ResetCode, Role, Session, StreamId, Transport,
    data::{Object, ObjectDatagram, SubgroupEncoder, SubgroupHeader},
};
use tokio::sync::mpsc;
use web_transport_quinn as wt;

#[allow(unused_imports, reason = "each test needs some of it")]
pub use self::{
    dial::{
        client_config, connect, connect_as, quic, quic_over, quic_with, status_of, url,
        web_transport,
    },
    fetching::{Answer, Fetched},
};
use self::{
    fetching::Orders,
    hearing::{Heard, Sinks, spawn_reader, spawn_receivers},
};
use super::soon;

pub const D18: Draft = Draft::D18;

/// How a peer reaches the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    WebTransport,
    Quic,
}

pub const BOTH: [Via; 2] = [Via::WebTransport, Via::Quic];

/// What arrived as objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    Header(SubgroupHeader),
    Object(SubgroupHeader, Object),
    Fin(SubgroupHeader),
    Reset(SubgroupHeader, ResetCode),
    Datagram(ObjectDatagram),
}

pub struct Peer {
    pub session: wt::Session,
    pub machine: Session,
    began: Instant,
    heard: mpsc::UnboundedReceiver<Heard>,
    heard_tx: mpsc::UnboundedSender<Heard>,
    arrived: mpsc::UnboundedReceiver<Arrived>,
    fetched: mpsc::UnboundedReceiver<Fetched>,
    orders: Orders,
    sends: BTreeMap<StreamId, wt::SendStream>,
    events: VecDeque<Event>,
    listens: tokio::sync::watch::Sender<bool>,
    pub closed: Option<(u64, String)>,
}

/// A subgroup that is being sent.
pub struct Subgroup {
    draft: Draft,
    stream: wt::SendStream,
    encoder: SubgroupEncoder,
}

impl Peer {
    pub async fn connect(addr: SocketAddr, via: Via) -> Self {
        Self::connect_with(addr, via, |_| {}).await
    }

    pub async fn connect_with(
        addr: SocketAddr,
        via: Via,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut peer = Self::begin(addr, via, change).await;
        let Event::Setup(_) = peer.event().await else {
            panic!("SETUP comes first");
        };
        peer
    }

    /// Connects in some draft.
    pub async fn of(draft: Draft, addr: SocketAddr, via: Via) -> Self {
        Self::connect_with(addr, via, |config| config.draft = draft).await
    }

    /// Connects without waiting for the relay's SETUP.
    pub async fn begin(addr: SocketAddr, via: Via, change: impl FnOnce(&mut Config)) -> Self {
        let transport = match via {
            Via::WebTransport => Transport::WebTransport,
            Via::Quic => Transport::Quic,
        };
        let mut config = Config::new(D18, Role::Client, transport);
        config.implementation = Some("peer".to_owned());
        change(&mut config);
        let session = soon(connect_as(addr, via, config.draft)).await;
        Self::over(session, config).await
    }

    /// Connects a peer that does not read what streams of objects bring until it is told to
    /// [`listen`](Self::listen), and has little room for it.
    pub async fn deaf(addr: SocketAddr) -> Self {
        let mut transport = quinn::TransportConfig::default();
        transport.receive_window(0x8000u32.into());
        let connection = quic_with(addr, "moqt-18", transport).await.unwrap();
        let config = Config::new(D18, Role::Client, Transport::Quic);
        let mut peer = Self::listening(wt::Session::raw(connection), config, false).await;
        let Event::Setup(_) = peer.event().await else {
            panic!("SETUP comes first");
        };
        peer
    }

    pub async fn over(session: wt::Session, config: Config) -> Self {
        Self::listening(session, config, true).await
    }

    async fn listening(session: wt::Session, config: Config, listens: bool) -> Self {
        let (heard_tx, heard) = mpsc::unbounded_channel();
        let (arrived_tx, arrived) = mpsc::unbounded_channel();
        let (fetched_tx, fetched) = mpsc::unbounded_channel();
        let orders = Orders::default();
        let listens = tokio::sync::watch::Sender::new(listens);
        let sinks = Sinks {
            heard: heard_tx.clone(),
            arrived: arrived_tx,
            fetched: fetched_tx,
            orders: orders.clone(),
        };
        spawn_receivers(&session, config.draft, &sinks, &listens);
        let mut peer = Self {
            session,
            machine: Session::new(config, Duration::ZERO),
            began: Instant::now(),
            heard,
            heard_tx,
            arrived,
            fetched,
            orders,
            sends: BTreeMap::new(),
            events: VecDeque::new(),
            listens,
            closed: None,
        };
        peer.flush().await;
        peer
    }

    /// Reads from now on.
    pub fn listen(&self) {
        self.listens.send_replace(true);
    }

    /// Waits for the next event.
    pub async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let heard = soon(self.heard.recv()).await.unwrap();
            if let Heard::Closed(error) = &heard {
                panic!("the session ended: {error}");
            }
            self.hear(heard).await;
        }
    }

    /// Waits for the next event that `wanted` takes; others are thrown away.
    pub async fn event_of<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.event().await) {
                return found;
            }
        }
    }

    /// Waits for the session's end, and returns the code and the reason.
    pub async fn end(&mut self) -> (u64, String) {
        loop {
            match soon(self.heard.recv()).await.unwrap() {
                Heard::Closed(wt::SessionError::WebTransportError(
                    wt::WebTransportError::Closed(code, reason),
                )) => return (code.into(), reason),
                Heard::Closed(other) => panic!("not closed with a code: {other}"),
                heard => self.hear(heard).await,
            }
        }
    }

    /// Waits for the next thing among the objects.
    pub async fn arrived(&mut self) -> Arrived {
        soon(self.arrived.recv()).await.unwrap()
    }

    pub fn try_arrived(&mut self) -> Option<Arrived> {
        self.arrived.try_recv().ok()
    }

    /// Waits for the next object, however it is sent; its id and payload.
    pub async fn object(&mut self) -> (u64, u64, Bytes) {
        loop {
            match self.arrived().await {
                Arrived::Object(header, object) => {
                    return (header.group, object.id, object.payload);
                }
                Arrived::Datagram(object) => return (object.group, object.id, object.payload),
                Arrived::Header(_) | Arrived::Fin(_) | Arrived::Reset(..) => {}
            }
        }
    }

    pub fn datagram(&self, object: &ObjectDatagram) {
        let bytes = object.encode(self.machine.draft()).unwrap();
        self.session.send_datagram(bytes).unwrap();
    }

    pub async fn subgroup(&self, header: SubgroupHeader) -> Subgroup {
        let mut stream = self.session.open_uni().await.unwrap();
        let encoder = SubgroupEncoder::new(self.machine.draft(), header);
        let mut bytes = BytesMut::new();
        encoder.header(&mut bytes);
        stream.write_all(&bytes).await.unwrap();
        Subgroup {
            draft: self.machine.draft(),
            stream,
            encoder,
        }
    }

    async fn hear(&mut self, heard: Heard) {
        let now = self.began.elapsed();
        match heard {
            Heard::Bi(send, recv) => {
                let id = self.machine.accept_bi();
                self.sends.insert(id, send);
                spawn_reader(id, recv, self.heard_tx.clone());
            }
            Heard::Control(first, recv) => {
                let id = self.machine.accept_control();
                self.machine.handle_stream(id, first, false, now);
                spawn_reader(id, recv, self.heard_tx.clone());
            }
            Heard::Bytes(id, bytes) => self.machine.handle_stream(id, bytes, false, now),
            Heard::Fin(id) => self.machine.handle_stream(id, Bytes::new(), true, now),
            Heard::Reset(id, code) => self.machine.handle_reset(id, code, now),
            Heard::Closed(_) => {}
        }
        self.flush().await;
    }

    /// Does what the machine wants done.
    pub async fn flush(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            let closed = self.session.close_reason().is_some();
            match output {
                Output::Open(..) if closed => {}
                Output::Open(id, Direction::Uni) => {
                    let send = self.session.open_uni().await.unwrap();
                    self.sends.insert(id, send);
                }
                Output::Open(id, Direction::Bi) => {
                    let (send, recv) = self.session.open_bi().await.unwrap();
                    self.sends.insert(id, send);
                    spawn_reader(id, recv, self.heard_tx.clone());
                }
                Output::Write(id, bytes) => {
                    if let Some(send) = self.sends.get_mut(&id) {
                        // The relay may have stopped the stream or ended the session.
                        drop(send.write_all(&bytes).await);
                    }
                }
                Output::Finish(id) => {
                    if let Some(mut send) = self.sends.remove(&id) {
                        drop(send.finish());
                    }
                }
                Output::Reset(id, code) => {
                    if let Some(mut send) = self.sends.remove(&id) {
                        drop(
                            send.reset(u32::try_from(code.to_code(self.machine.draft())).unwrap()),
                        );
                    }
                }
                Output::Stop(..) => {} // The reset says the same.
                Output::Close(code, reason) => {
                    let code = u32::try_from(code.to_code(self.machine.draft())).unwrap();
                    self.session.close(code, reason.as_bytes());
                    self.closed = Some((code.into(), reason));
                }
                Output::Event(event) => self.events.push_back(event),
            }
        }
    }
}

impl Subgroup {
    pub async fn object(&mut self, object: Object) {
        let mut bytes = BytesMut::new();
        self.encoder.object(&object, &mut bytes).unwrap();
        bytes.extend_from_slice(&object.payload);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub async fn payload(&mut self, id: u64, payload: impl Into<Bytes>) {
        self.object(Object {
            id,
            payload: payload.into(),
            ..Object::default()
        })
        .await;
    }

    pub fn finish(mut self) {
        self.stream.finish().unwrap();
    }

    pub fn reset(mut self, code: ResetCode) {
        let code = u32::try_from(code.to_code(self.draft)).unwrap();
        self.stream.reset(code).unwrap();
    }
}
