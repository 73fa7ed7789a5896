//! Legs by RTP, with what stands in for Asterisk: a socket that says and hears µ-law.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use common::{Publisher, Scene, decode, objects, place, purity, timestamp, within};
use moqrelay_audio::{SampleRate, g711::Law, tone::Tone};
use moqrelay_bridge::{
    Codec, Event, LegId, Way,
    leg::{OutRate, Reason},
};
use moqrelay_wire::{
    audio_object::{Level, Mode},
    rtp::{Packet, Reports, is_rtcp},
};
use tokio::net::UdpSocket;

#[tokio::test(start_paused = true)]
async fn packets_are_numbered_timed_and_carry_their_level() {
    let world = World::start().await;
    let _publisher = Publisher::new(&world.scene.relay, place(2).audio(), 1500.0).run();
    world
        .scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();

    let heard = world.hear(100).await;

    for pair in heard.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert_eq!((pair[1].payload_type, pair[1].marker), (0, false));
    }
    assert!(heard[0].marker);
    assert!(heard[99].level.unwrap().below_overload_db < 40);
    let modes: Vec<_> = heard.iter().filter_map(|packet| packet.mode).collect();
    assert!(matches!(
        modes[..],
        [
            Mode {
                length_ms: 20,
                kbps: 64,
                fec: false,
                saving: false
            },
            _
        ]
    ));
    let mut samples = Vec::new();
    for packet in &heard[50..] {
        Law::Mu.decode(&packet.payload, &mut samples);
    }
    assert!(purity(SampleRate::Hz8000, &samples, 1500.0) > 0.9);
}

#[tokio::test(start_paused = true)]
async fn what_the_telephone_says_is_published_with_its_gaps() {
    let mut world = World::start().await;
    let mut reader = world.scene.reader(1);

    for number in 0..100 {
        if ![40, 41].contains(&number) {
            world.say(number).await;
        }
    }

    let heard = objects(&mut reader, 98).await;
    let stamps: Vec<_> = heard.iter().map(|object| timestamp(object) / 960).collect();
    let gap = stamps.windows(2).position(|pair| pair[1] - pair[0] == 3);
    assert_eq!(gap, Some(39), "{stamps:?}");
    assert!(purity(SampleRate::Hz48000, &decode(&heard), 1000.0) > 0.9);
    let stats = world.end().await;
    assert_eq!((stats.packets_lost, stats.frames_in), (2, 98));
}

#[tokio::test(start_paused = true)]
async fn late_and_doubled_packets_and_strangers_are_not_heard() {
    let mut world = World::start().await;
    let mut reader = world.scene.reader(1);
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    world.say(0).await;
    world.say(1).await;
    world.say(3).await;
    world.say(2).await;
    world.say(3).await;
    let packet = world.packet(4);
    stranger.send_to(&packet, world.ours).await.unwrap();
    let mut other = Packet::decode(&packet).unwrap();
    other.ssrc += 1;
    other.sequence = 900;
    world.send(&other).await;
    for number in 4..30 {
        world.say(number).await;
    }

    objects(&mut reader, 29).await;

    let stats = world.end().await;
    assert_eq!((stats.packets_late, stats.packets_duplicate), (1, 1));
    assert_eq!((stats.packets_strange, stats.packets_lost), (1, 1));
    assert_eq!((stats.frames_in, stats.malformed), (29, 0));
}

#[tokio::test(start_paused = true)]
async fn what_packets_say_of_themselves_is_reported() {
    let mut world = World::start().await;
    let mode = Mode {
        length_ms: 40,
        kbps: 12,
        fec: true,
        saving: true,
    };
    let mut packet = Packet::decode(&world.packet(0)).unwrap();
    packet.level = Some(Level::SILENCE);
    packet.mode = Some(mode);

    world.send(&packet).await;
    world.say(1).await;

    let stats = world.end().await;
    assert_eq!(stats.said_level, Some(Level::SILENCE));
    assert_eq!(stats.said_mode, Some(mode));
}

#[tokio::test(start_paused = true)]
async fn reports_say_what_was_sent_and_what_was_lost() {
    let mut world = World::start().await;
    for number in [0, 1, 2, 4] {
        world.say(number).await;
    }

    let report = within(world.report()).await;

    let sender = report.sender.unwrap();
    assert!((200..=260).contains(&sender.packets), "{}", sender.packets);
    assert_eq!(sender.bytes, sender.packets * 160);
    let block = report.blocks[0];
    assert_eq!((block.ssrc, block.highest, block.lost), (SSRC, 4, 1));
    assert_eq!(block.fraction_lost, 51);
    world.scene.bridge.hang_up(LegId(1)).unwrap();
    while !within(world.report()).await.bye {}
}

#[tokio::test(start_paused = true)]
async fn what_is_no_rtp_is_counted_and_ends_the_leg_when_it_is_too_much() {
    let mut world = World::start().await;

    for _ in 0..50 {
        world.socket.send_to(&[0; 20], world.ours).await.unwrap();
        common::pass(Duration::from_millis(20)).await;
    }

    let (_, reason, stats) = world.scene.detached().await;
    assert_eq!((reason, stats.malformed), (Reason::Malformed, 50));
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_rtp_does_not_carry_is_no_way() {
    let mut scene = Scene::new();
    let id = scene.expect(1, OutRate::Follow);
    let peers = vec![SocketAddr::from(([127, 0, 0, 1], 9))];

    let codec = Codec::SLIN16;
    scene.bridge.reach(id, Way::Rtp { peers, codec }).unwrap();

    assert_eq!(scene.detached().await.1, Reason::Unreached);
}

const SSRC: u32 = 0x1234_5678;

/// A leg by RTP, and the other end.
struct World {
    scene: Scene,
    socket: UdpSocket,
    /// Where our reports come.
    reports: UdpSocket,
    ours: SocketAddr,
    tone: Tone,
}

impl World {
    async fn start() -> Self {
        let mut scene = Scene::new();
        let (socket, reports) = pair().await;
        let id = scene.expect(1, OutRate::Follow);
        let peers = vec![socket.local_addr().unwrap()];
        let codec = Codec::Ulaw;
        scene.bridge.reach(id, Way::Rtp { peers, codec }).unwrap();
        let event = scene.event().await;
        assert!(matches!(event, Event::Attached { .. }), "{event:?}");
        let ours = scene.bridge.rtp_addr().unwrap();
        let tone = Tone::sine(SampleRate::Hz8000, 1000.0, -10.0);
        Self {
            scene,
            socket,
            reports,
            ours,
            tone,
        }
    }

    fn packet(&mut self, number: u16) -> Bytes {
        let mut samples = [0; 160];
        self.tone.fill(&mut samples);
        let mut payload = Vec::new();
        Law::Mu.encode(&samples, &mut payload);
        let packet = Packet {
            sequence: number,
            timestamp: u32::from(number) * 160,
            ssrc: SSRC,
            payload: payload.into(),
            ..Packet::default()
        };
        let mut out = BytesMut::new();
        packet.encode(&mut out);
        out.freeze()
    }

    /// Sends a packet of the tone and lets 20 ms pass.
    async fn say(&mut self, number: u16) {
        let packet = self.packet(number);
        self.socket.send_to(&packet, self.ours).await.unwrap();
        common::pass(Duration::from_millis(20)).await;
    }

    async fn send(&self, packet: &Packet) {
        let mut out = BytesMut::new();
        packet.encode(&mut out);
        self.socket.send_to(&out, self.ours).await.unwrap();
    }

    async fn hear(&self, packets: usize) -> Vec<Packet> {
        let mut heard = Vec::new();
        let mut buffer = [0; 1500];
        while heard.len() < packets {
            let len = within(self.socket.recv(&mut buffer)).await.unwrap();
            heard.push(Packet::decode(&Bytes::copy_from_slice(&buffer[..len])).unwrap());
        }
        heard
    }

    async fn report(&self) -> Reports {
        let mut buffer = [0; 1500];
        let len = self.reports.recv(&mut buffer).await.unwrap();
        assert!(is_rtcp(&buffer[..len]));
        Reports::decode(&buffer[..len]).unwrap()
    }

    async fn end(&mut self) -> moqrelay_bridge::leg::Stats {
        self.scene.bridge.hang_up(LegId(1)).unwrap();
        let (_, reason, stats) = self.scene.detached().await;
        assert_eq!(reason, Reason::HungUp);
        stats
    }
}

/// Two sockets, the second on the port above the first.
async fn pair() -> (UdpSocket, UdpSocket) {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        if let Some(above) = port.checked_add(1)
            && let Ok(second) = UdpSocket::bind(("127.0.0.1", above)).await
        {
            return (first, second);
        }
    }
}
