//! The fallback: sessions over a WebSocket beside those over WebTransport.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use common::{
    Anyone, Running, namespace, open_relay,
    peer::{Arrived, D18, Peer, Via},
    relay_from, relay_with, soon, track as name, until,
};
use moqrelay_moqt::{
    Direction, Event, Output, Parameters, PublishDoneCode, PublishOptions, Role, Session, StreamId,
    SubscribeOptions, TrackAlias, Transport,
    data::{
        self, Datagram, Object, ObjectDatagram, ObjectStatus, StreamKind, SubgroupDecoder,
        SubgroupItem,
    },
    qmux::{Closed, Config as MuxConfig, Frame, Mux, Received, StreamKey, Version},
};
use moqrelay_relay::{
    AuthError, Authorize, Config, Grants, Limits, TrackLimits,
    fallback::{Knock, Socket},
    track::{self, Info},
};

#[tokio::test]
async fn an_object_published_on_webtransport_is_heard_on_a_websocket_and_the_other_way_round() {
    let relay = open_relay();
    let (up, down) = (name("room/a", "video"), name("room/b", "video"));
    let mut web = Peer::connect(relay.addr(), Via::WebTransport).await;
    let mut socket = SocketPeer::connect(&relay).await;
    let (_, alias) = web.publish(&up, PublishOptions::default()).await;
    let own = socket.publish(&down).await;
    socket.subscribed(&up).await;
    web.subscribed(&down, Parameters::default()).await;

    let mut subgroup = web.subgroup(header(alias, 7)).await;
    subgroup.payload(0, "from the web").await;
    subgroup.finish();
    socket.send_subgroup(header(own, 9), &["from", "the socket"]);

    assert_eq!(socket.object().await, (7, 0, "from the web".into()));
    assert_eq!(web.object().await, (9, 0, "from".into()));
    assert_eq!(web.object().await, (9, 1, "the socket".into()));
}

#[tokio::test]
async fn datagrams_stay_datagrams_in_both_directions() {
    let relay = open_relay();
    let (up, down) = (name("room/a", "audio"), name("room/b", "audio"));
    let mut web = Peer::connect(relay.addr(), Via::WebTransport).await;
    let mut socket = SocketPeer::connect(&relay).await;
    let (_, alias) = web.publish(&up, PublishOptions::default()).await;
    let own = socket.publish(&down).await;
    socket.subscribed(&up).await;
    web.subscribed(&down, Parameters::default()).await;

    web.datagram(&datagram(alias, 3, "voice"));
    socket.send_datagram(&datagram(own, 4, "answer"));

    let Arrived::Datagram(heard) = socket.arrived().await else {
        panic!("not a datagram");
    };
    assert_eq!((heard.group, heard.payload), (3, "voice".into()));
    let Arrived::Datagram(heard) = web.arrived().await else {
        panic!("not a datagram");
    };
    assert_eq!((heard.group, heard.payload), (4, "answer".into()));
}

#[tokio::test]
async fn a_slow_reader_costs_nobody_anything_and_gets_what_is_new() {
    let config = Config {
        track: TrackLimits {
            entries: 64,
            ..TrackLimits::default()
        },
        ..Config::default()
    };
    let relay = relay_from(config, "127.0.0.1:0", Anyone, Limits::default());
    let track = name("room/a", "video");
    let mut writer = relay.relay.publish(&track, Info::default()).unwrap();
    let mut slow = SocketPeer::connect(&relay).await;
    slow.subscribed(&track).await;
    let mut fast = Peer::connect(relay.addr(), Via::WebTransport).await;
    fast.subscribed(&track, Parameters::default()).await;

    const GROUPS: u64 = 60;
    for group in 0..GROUPS {
        for id in 0..5 {
            writer.write(payload(group, id, 10_000)).unwrap();
            assert_eq!(fast.object().await.0, group);
        }
        writer.finish_group(group);
    }

    // One message waits for the reader, 64 KiB behind it, and the log's 64 entries.
    assert!(slow.wire.waiting() <= 1);
    until("what was too old is counted", || {
        relay.relay.stats().objects_dropped > GROUPS
    })
    .await;
    drop(writer);
    let mut last = 0;
    let status = loop {
        match slow.next().await {
            Next::Arrived(Arrived::Object(header, _)) => last = header.group,
            Next::Event(event) => {
                if let Event::PublishDone { status, .. } = *event {
                    break status;
                }
            }
            Next::Arrived(_) => {}
        }
    };
    assert_eq!(status, PublishDoneCode::TrackEnded);
    assert!(last >= GROUPS - 13, "{last}");
}

#[tokio::test]
async fn voice_goes_before_video_that_waits_for_the_same_socket() {
    let relay = open_relay();
    let (video, voice) = (name("room/a", "video"), name("room/a", "voice"));
    let mut images = relay.relay.publish(&video, Info::default()).unwrap();
    let mut sounds = relay.relay.publish(&voice, Info::default()).unwrap();
    let mut peer = SocketPeer::connect(&relay).await;
    peer.subscribe(&video, 200).await;
    peer.subscribe(&voice, 10).await;

    images.write(payload(1, 0, 500_000)).unwrap();
    until("the video fills the socket", || peer.wire.waiting() == 1).await;
    sounds.write(payload(1, 0, 100)).unwrap();

    let mut video_bytes = 0;
    let mut records = 0;
    loop {
        let sizes: Vec<usize> = peer.receive().await;
        records += 1;
        // The object with its headers.
        if sizes.iter().any(|size| (100..200).contains(size)) {
            break;
        }
        video_bytes += sizes.iter().sum::<usize>();
        assert!(records < 100, "{video_bytes} bytes of video went before");
    }
    // What the socket had already, and no more than what was on its way to it.
    assert!(video_bytes < 64 << 10, "{video_bytes}");
}

#[tokio::test]
async fn a_hostile_record_ends_its_own_session_with_quics_code() {
    let relay = open_relay();
    let mut good = SocketPeer::connect(&relay).await;
    for (record, code) in [
        (Bytes::from_static(b"\x1e"), 0x07),
        (Bytes::from_static(b"\x0e\x03\x00\x01x"), 0x05),
        (Bytes::from(vec![0; 20_000]), 0x0a),
    ] {
        let before = relay.relay.stats().violations;
        let mut bad = SocketPeer::connect(&relay).await;
        bad.wire.deliver(record);

        let Closed::Failed { code: said, .. } = bad.end().await else {
            panic!("not failed");
        };
        assert_eq!(said, code);
        until("it is counted", || {
            relay.relay.stats().violations == before + 1
        })
        .await;
    }

    let track = name("room/a", "still");
    let mut writer = relay.relay.publish(&track, Info::default()).unwrap();
    good.subscribed(&track).await;
    writer.write(payload(0, 0, 10)).unwrap();
    assert_eq!(good.object().await.2.len(), 10);
}

#[tokio::test]
async fn a_violation_of_moqt_ends_the_session_with_moqts_code() {
    let relay = open_relay();
    let mut peer = SocketPeer::connect(&relay).await;
    let key = peer.mux.open(Direction::Bi).unwrap();
    // A request stream that begins with SETUP.
    let setup = &mut [Bytes::from_static(b"\xaf\x00\x00\x00")];
    assert_eq!(peer.mux.write(key, setup), Ok(true));
    peer.step();

    let Closed::Peer { code, .. } = peer.end().await else {
        panic!("not closed by the session");
    };
    assert_eq!(code, 3);
}

#[tokio::test]
async fn a_websocket_that_breaks_takes_its_session_with_it() {
    let relay = open_relay();
    let track = name("room/a", "audio");
    let mut peer = SocketPeer::connect(&relay).await;
    peer.publish(&track).await;
    assert_eq!(relay.relay.stats().sessions, 1);

    peer.wire.cut();

    until("the session is gone", || relay.relay.stats().sessions == 0).await;
    soon(peer.running).await.unwrap();
}

#[tokio::test]
async fn who_may_not_come_in_hears_why() {
    let limits = Limits {
        sessions: 1,
        ..Limits::default()
    };
    let relay = relay_with("127.0.0.1:0", Strict, limits);
    let refused = |offer: &str, query: &str| {
        let refused = relay.server.knock(knock(offer, query)).unwrap_err();
        refused.status()
    };
    assert_eq!(refused("qmux-00.moqt-18", "token=good"), 400);
    assert_eq!(refused("qmux-02.moqt-18", "token=bad"), 401);

    let with_header = Knock {
        authorization: Some("Bearer good".to_owned()),
        ..knock("qmux-02.moqt-18", "")
    };
    let visitor = relay.server.knock(with_header).unwrap();
    assert_eq!(visitor.subprotocol(), "qmux-02.moqt-18");
    assert_eq!(refused("qmux-02.moqt-18", "token=good"), 503);
    drop(visitor);
    assert!(
        relay
            .server
            .knock(knock("qmux-01.moqt-18", "token=good"))
            .is_ok()
    );
}

#[tokio::test]
async fn a_drain_asks_the_session_to_leave_and_then_ends_it() {
    let relay = open_relay();
    let mut peer = SocketPeer::connect(&relay).await;
    let server = relay.server.clone();
    let drained = tokio::spawn(async move {
        server.drain("", Duration::from_millis(200)).await;
    });

    peer.event_of(|event| matches!(event, Event::GoAway { .. }).then_some(()))
        .await;
    let Closed::Peer { .. } = peer.end().await else {
        panic!("not closed by the session");
    };
    soon(drained).await.unwrap();
    assert_eq!(
        relay
            .server
            .knock(knock("qmux-02.moqt-18", ""))
            .unwrap_err()
            .status(),
        503
    );
}

#[tokio::test]
async fn operators_see_the_transport() {
    let relay = open_relay();
    let _peer = SocketPeer::connect(&relay).await;

    let sessions = relay.relay.sessions(None, 10);

    assert_eq!(sessions.items[0].transport, "websocket");
}

/// Only one token is good.
struct Strict;

impl Authorize for Strict {
    fn authorize(&self, token: Option<&str>) -> Result<Grants, AuthError> {
        match token {
            Some("good") => Ok(Grants {
                publish: vec![namespace("")],
                ..Grants::default()
            }),
            _ => Err(AuthError::Denied),
        }
    }
}

fn knock(offer: &str, query: &str) -> Knock {
    Knock {
        peer: ([127, 0, 0, 1], 9).into(),
        offered: vec!["webtransport".to_owned(), offer.to_owned()],
        query: Some(query.to_owned()),
        authorization: None,
    }
}

fn header(alias: TrackAlias, group: u64) -> data::SubgroupHeader {
    data::SubgroupHeader {
        alias,
        group,
        subgroup: data::SubgroupId::Zero,
        priority: Some(1),
        properties: false,
        end_of_group: true,
        first_object: true,
    }
}

fn datagram(alias: TrackAlias, group: u64, payload: &'static str) -> ObjectDatagram {
    ObjectDatagram {
        alias,
        group,
        id: 0,
        priority: None,
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: Bytes::new(),
        payload: payload.into(),
    }
}

fn payload(group: u64, id: u64, len: usize) -> track::Object {
    track::Object {
        group,
        subgroup: Some(0),
        id,
        payload: vec![0; len].into(),
        ..track::Object::default()
    }
}

/// A WebSocket without a network: it holds one message for a peer that does not read.
#[derive(Default)]
struct Wire(Mutex<WireState>);

#[derive(Default)]
struct WireState {
    to_relay: VecDeque<Bytes>,
    to_peer: VecDeque<Bytes>,
    relay: Option<Waker>,
    peer: Option<Waker>,
    over: bool,
}

impl Wire {
    fn with<R>(&self, act: impl FnOnce(&mut WireState) -> R) -> R {
        act(&mut self.0.lock().unwrap())
    }

    fn deliver(&self, message: Bytes) {
        self.with(|wire| {
            wire.to_relay.push_back(message);
            wake(&mut wire.relay);
        });
    }

    fn waiting(&self) -> usize {
        self.with(|wire| wire.to_peer.len())
    }

    fn cut(&self) {
        self.with(|wire| {
            wire.over = true;
            wake(&mut wire.relay);
        });
    }

    async fn receive(&self) -> Option<Bytes> {
        std::future::poll_fn(|cx| {
            self.with(|wire| {
                if let Some(message) = wire.to_peer.pop_front() {
                    wake(&mut wire.relay);
                    return Poll::Ready(Some(message));
                }
                if wire.over {
                    return Poll::Ready(None);
                }
                wire.peer = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

struct RelaysEnd(Arc<Wire>);

impl Socket for RelaysEnd {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.with(|wire| {
            if wire.over {
                return Poll::Ready(None);
            }
            if let Some(message) = wire.to_relay.pop_front() {
                return Poll::Ready(Some(message));
            }
            wire.relay = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.0.with(|wire| {
            if wire.over || wire.to_peer.is_empty() {
                return Poll::Ready(!wire.over);
            }
            wire.relay = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn send(&mut self, message: Bytes) {
        self.0.with(|wire| {
            wire.to_peer.push_back(message);
            wake(&mut wire.peer);
        });
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Drop for RelaysEnd {
    fn drop(&mut self) {
        self.0.with(|wire| {
            wire.over = true;
            wake(&mut wire.peer);
        });
    }
}

/// A peer on a WebSocket, which reads only when it is asked for something.
struct SocketPeer {
    wire: Arc<Wire>,
    running: tokio::task::JoinHandle<()>,
    mux: Mux,
    machine: Session,
    began: Instant,
    pipes: BTreeMap<StreamId, StreamKey>,
    reading: BTreeMap<StreamKey, Reading>,
    next: VecDeque<Next>,
}

#[derive(Debug)]
enum Next {
    Event(Box<Event>),
    Arrived(Arrived),
}

/// What a stream that is read brings.
enum Reading {
    Unknown(BytesMut),
    Pipe(StreamId),
    Objects(SubgroupDecoder),
}

impl SocketPeer {
    async fn connect(relay: &Running) -> Self {
        let visitor = relay.server.knock(knock("qmux-02.moqt-18", "")).unwrap();
        let wire = Arc::new(Wire::default());
        let running = tokio::spawn(visitor.enter(RelaysEnd(wire.clone())));
        let mux = Mux::new(
            Role::Client,
            Version::V02,
            MuxConfig::default(),
            Duration::ZERO,
        );
        let config = moqrelay_moqt::Config::new(D18, Role::Client, Transport::WebSocket);
        let mut peer = Self {
            wire,
            running,
            mux,
            machine: Session::new(config, Duration::ZERO),
            began: Instant::now(),
            pipes: BTreeMap::new(),
            reading: BTreeMap::new(),
            next: VecDeque::new(),
        };
        peer.transmit();
        // The relay allows streams with its first message.
        peer.receive().await;
        peer.event_of(|event| matches!(event, Event::Setup(_)).then_some(()))
            .await;
        peer
    }

    async fn publish(&mut self, track: &moqrelay_moqt::FullTrackName) -> TrackAlias {
        let (wanted, alias) = self
            .machine
            .publish(track.clone(), PublishOptions::default())
            .unwrap();
        self.step();
        self.event_of(|event| match event {
            Event::Accepted { id, .. } if id == wanted => Some(()),
            _ => None,
        })
        .await;
        alias
    }

    async fn subscribed(&mut self, track: &moqrelay_moqt::FullTrackName) {
        self.subscribe(track, 128).await;
    }

    async fn subscribe(&mut self, track: &moqrelay_moqt::FullTrackName, priority: u8) {
        let params = Parameters {
            subscriber_priority: Some(priority),
            ..Parameters::default()
        };
        let options = SubscribeOptions { params };
        let wanted = self.machine.subscribe(track.clone(), options).unwrap();
        self.step();
        self.event_of(|event| match event {
            Event::SubscribeOk { id, .. } if id == wanted => Some(()),
            _ => None,
        })
        .await;
    }

    fn send_subgroup(&mut self, header: data::SubgroupHeader, payloads: &[&'static str]) {
        let mut encoder = data::SubgroupEncoder::new(D18, header);
        let mut bytes = BytesMut::new();
        encoder.header(&mut bytes);
        for (id, payload) in (0..).zip(payloads) {
            let object = Object {
                id,
                payload: Bytes::from_static(payload.as_bytes()),
                ..Object::default()
            };
            encoder.object(&object, &mut bytes).unwrap();
            bytes.extend_from_slice(payload.as_bytes());
        }
        let key = self.mux.open(Direction::Uni).unwrap();
        assert_eq!(self.mux.write(key, &mut [bytes.freeze()]), Ok(true));
        self.mux.release_send(key);
        self.step();
    }

    fn send_datagram(&mut self, object: &ObjectDatagram) {
        let bytes = object.encode(D18).unwrap();
        assert!(self.mux.send_datagram(bytes, self.began.elapsed()));
        self.step();
    }

    async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.next.pop_front() {
                return next;
            }
            self.receive().await;
        }
    }

    async fn event_of<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            if let Next::Event(event) = self.next().await
                && let Some(found) = wanted(*event)
            {
                return found;
            }
        }
    }

    async fn arrived(&mut self) -> Arrived {
        loop {
            if let Next::Arrived(arrived) = self.next().await {
                return arrived;
            }
        }
    }

    async fn object(&mut self) -> (u64, u64, Bytes) {
        loop {
            if let Arrived::Object(header, object) = self.arrived().await {
                return (header.group, object.id, object.payload);
            }
        }
    }

    async fn end(&mut self) -> Closed {
        while self.mux.closed().is_none() {
            self.receive().await;
        }
        self.mux.closed().unwrap().clone()
    }

    /// Takes one message, and returns how long the payloads of its STREAM frames are.
    async fn receive(&mut self) -> Vec<usize> {
        let now = self.began.elapsed();
        let Some(message) = soon(self.wire.receive()).await else {
            self.mux.handle_lost();
            return Vec::new();
        };
        let mut record = message.clone();
        let frames = std::iter::from_fn(|| Frame::decode(&mut record).unwrap());
        let sizes = frames
            .filter_map(|frame| match frame {
                Frame::Stream { payload, .. } => Some(payload.len()),
                _ => None,
            })
            .collect();
        self.mux.handle_message(message, now);
        self.step();
        sizes
    }

    fn transmit(&mut self) {
        while let Some(message) = self.mux.poll_transmit(self.began.elapsed()) {
            self.wire.deliver(message);
        }
    }

    /// Does what there is to do on both machines.
    fn step(&mut self) {
        self.carry_out();
        while let Some(key) = self.mux.accept(Direction::Bi) {
            let id = self.machine.accept_bi();
            self.pipes.insert(id, key);
            self.reading.insert(key, Reading::Pipe(id));
        }
        while let Some(key) = self.mux.accept(Direction::Uni) {
            self.reading.insert(key, Reading::Unknown(BytesMut::new()));
        }
        while let Some(bytes) = self.mux.receive_datagram() {
            let Datagram::Object(object) = Datagram::decode(D18, bytes).unwrap() else {
                panic!("padding");
            };
            self.next
                .push_back(Next::Arrived(Arrived::Datagram(object)));
        }
        for (key, mut reading) in std::mem::take(&mut self.reading) {
            if self.read(key, &mut reading) {
                self.reading.insert(key, reading);
            }
        }
        self.carry_out();
        while self.mux.poll_event().is_some() {}
        self.transmit();
    }

    /// Reads a stream as far as it goes; false: it is over.
    fn read(&mut self, key: StreamKey, reading: &mut Reading) -> bool {
        let now = self.began.elapsed();
        loop {
            let received = match self.mux.read(key) {
                Ok(Received::Bytes(bytes)) => Some(bytes),
                Ok(Received::Finished) => None,
                Ok(Received::Blocked) => return true,
                Err(_reset) => return false,
            };
            let over = received.is_none();
            let bytes = received.unwrap_or_default();
            match reading {
                Reading::Pipe(id) => self.machine.handle_stream(*id, bytes, over, now),
                Reading::Unknown(start) => {
                    start.extend_from_slice(&bytes);
                    if let Some(kind) = data::classify(D18, start).unwrap() {
                        let start = start.split().freeze();
                        *reading = self.classified(kind, start, now);
                    }
                }
                Reading::Objects(decoder) => decoder.push(bytes),
            }
            if let Reading::Objects(decoder) = reading {
                while let Some(item) = decoder.poll().unwrap() {
                    let header = *decoder.header().unwrap();
                    if let SubgroupItem::Object(object) = item {
                        let arrived = Arrived::Object(header, object);
                        self.next.push_back(Next::Arrived(arrived));
                    }
                }
            }
            if over {
                self.mux.release_recv(key);
                return false;
            }
        }
    }

    fn classified(&mut self, kind: StreamKind, start: Bytes, now: Duration) -> Reading {
        match kind {
            StreamKind::Control => {
                let id = self.machine.accept_control();
                self.machine.handle_stream(id, start, false, now);
                Reading::Pipe(id)
            }
            StreamKind::Subgroup => {
                let limits = data::Limits {
                    payload_bytes_max: 1 << 20,
                    properties_bytes_max: 1 << 10,
                };
                let mut decoder = SubgroupDecoder::new(D18, limits);
                decoder.push(start);
                Reading::Objects(decoder)
            }
            StreamKind::Fetch | StreamKind::Padding => panic!("not asked for"),
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Open(id, direction) => {
                    // Before the relay's first message the mux has none to give; SETUP is then sent after it.
                    let key = self.mux.open(direction).unwrap();
                    self.pipes.insert(id, key);
                    if direction == Direction::Bi {
                        self.reading.insert(key, Reading::Pipe(id));
                    }
                }
                Output::Write(id, bytes) => {
                    let key = self.pipes[&id];
                    assert_eq!(self.mux.write(key, &mut [bytes]), Ok(true));
                }
                Output::Finish(id) => self.mux.finish(self.pipes[&id]),
                Output::Reset(id, code) => {
                    let code = u32::try_from(code.to_code(D18)).unwrap();
                    self.mux.reset(self.pipes[&id], code);
                }
                Output::Stop(..) => {}
                Output::Close(code, reason) => {
                    let code = u32::try_from(code.to_code(D18)).unwrap();
                    self.mux.close(code, &reason);
                }
                Output::Event(event) => self.next.push_back(Next::Event(Box::new(event))),
            }
        }
    }
}
