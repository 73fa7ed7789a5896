//! A bridge with a relay and without a network, and what stands in for Asterisk.
//!
//! Tests run on a paused clock: it jumps to the next deadline whenever nobody has anything to do, so that minutes of
//! a call take milliseconds and every 20 ms are exact.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::let_underscore_must_use,
    reason = "helpers of tests, of which each test program uses a part"
)]

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use moqrelay_audio::{Frame, SampleRate, opus, tone};
use moqrelay_bridge::{
    Bridge, Config, Event, Events, LegId, Listeners, Place,
    leg::{OutRate, Reason, Spec, Stats},
};
use moqrelay_relay::{
    FullTrackName, Relay,
    track::{self, Object, Reader, Writer},
};
use moqrelay_wire::{
    audio_object::{Level, Properties, track_properties},
    audiosocket::{Audio, HANGUP, Message, Rate, encode_audio},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{Instant, interval, timeout},
};
use uuid::Uuid;

pub const FRAME: Duration = Duration::from_millis(20);

/// Only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(30);

/// A bridge that runs.
pub struct Scene {
    pub bridge: Bridge,
    pub events: Events,
    pub relay: Relay,
    pub task: JoinHandle<()>,
}

impl Scene {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(moqrelay_relay::Config::default(), change)
    }

    /// The relay keeps nothing for those who come late.
    pub fn without_cache() -> Self {
        let mut relay = moqrelay_relay::Config::default();
        relay.cache.default = moqrelay_relay::CachePolicy::NONE;
        Self::on(relay, |_| {})
    }

    /// With a relay of one's own making.
    pub fn on(relay: moqrelay_relay::Config, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            // By a clock that stands still while they work, the cores are always busy.
            governed: false,
            ..Config::default()
        };
        change(&mut config);
        let relay = Relay::new(relay);
        let listeners = Listeners {
            audiosocket: Bridge::open_listener(config.listen).unwrap(),
            websocket: Some(Bridge::open_listener(config.listen).unwrap()),
            rtp: Some(Bridge::open_rtp(config.listen).unwrap()),
        };
        let (bridge, events, run) = Bridge::with(listeners, config, relay.clone()).unwrap();
        Self {
            bridge,
            events,
            relay,
            task: tokio::spawn(run),
        }
    }

    /// Expects `leg` as participant `p<leg>` of the room `r` for 30 s.
    pub fn expect(&self, leg: u64, rate: OutRate) -> Uuid {
        let id = Uuid::from_u128(0xfeed_0000 + u128::from(leg));
        let spec = Spec {
            leg: LegId(leg),
            place: Some(place(leg)),
            rate,
        };
        self.bridge
            .expect(id, spec, Duration::from_secs(30))
            .unwrap();
        id
    }

    pub async fn connect(&self) -> Asterisk {
        Asterisk::new(TcpStream::connect(self.bridge.local_addr()).await.unwrap())
    }

    /// Brings a leg up: expected, connected, attached.
    pub async fn call(&mut self, leg: u64) -> Asterisk {
        self.call_at(leg, OutRate::Hz16000).await
    }

    pub async fn call_at(&mut self, leg: u64, rate: OutRate) -> Asterisk {
        let id = self.expect(leg, rate);
        let mut asterisk = self.connect().await;
        asterisk.identify(id).await;
        let event = self.event().await;
        assert_eq!(
            event,
            Event::Attached {
                leg: LegId(leg),
                id,
                standing: false
            }
        );
        asterisk
    }

    pub async fn event(&mut self) -> Event {
        loop {
            let event = within(self.events.recv()).await.unwrap();
            if !matches!(event, Event::Quality { .. } | Event::Speaking { .. }) {
                return event;
            }
        }
    }

    pub async fn detached(&mut self) -> (LegId, Reason, Stats) {
        match self.event().await {
            Event::Detached { leg, reason, stats } => (leg, reason, *stats),
            other => panic!("{other:?}"),
        }
    }

    pub fn no_event(&mut self) -> bool {
        loop {
            match self.events.try_recv() {
                Ok(Event::Quality { .. } | Event::Speaking { .. }) => {}
                Ok(_) => return false,
                Err(_) => return true,
            }
        }
    }

    pub fn reader(&self, participant: u64) -> Reader {
        self.relay.subscribe(place(participant).audio().clone())
    }
}

/// Waits with a deadline.
pub async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what)
        .await
        .expect("nothing happened for 30 s")
}

pub fn place(participant: u64) -> Place {
    Place::new("r", format!("p{participant}")).unwrap()
}

/// Asterisk's end of an AudioSocket connection.
pub struct Asterisk {
    pub stream: TcpStream,
    inbox: BytesMut,
}

impl Asterisk {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            inbox: BytesMut::new(),
        }
    }

    /// Connects with a receive buffer of a few frames.
    pub async fn connect_small(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::new(socket.connect(addr).await.unwrap())
    }

    pub async fn identify(&mut self, id: Uuid) {
        self.send(&Message::Id(id)).await;
    }

    pub async fn send(&mut self, message: &Message) {
        let mut out = BytesMut::new();
        message.encode(&mut out).unwrap();
        self.write(&out).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Says samples in one message.
    pub async fn say(&mut self, rate: Rate, samples: &[i16]) {
        let mut out = BytesMut::new();
        encode_audio(rate, samples, &mut out).unwrap();
        self.write(&out).await;
    }

    /// Says a tone of -20 dBov, 20 ms every 20 ms.
    pub async fn say_tone(&mut self, rate: Rate, hz: f32, frames: usize) {
        let mut tone = tone::Tone::sine(SampleRate::from_hz(rate.hz()).unwrap(), hz, -20.0);
        let mut samples = vec![0; rate.frame_samples()];
        let mut ticks = interval(FRAME);
        for _ in 0..frames {
            ticks.tick().await;
            tone.fill(&mut samples);
            self.say(rate, &samples).await;
        }
    }

    /// Takes the next message; `None` when the other end closed.
    pub async fn next(&mut self) -> Option<Message> {
        within(async {
            loop {
                if let Some(message) = Message::decode(&mut self.inbox).unwrap() {
                    return Some(message);
                }
                if self.stream.read_buf(&mut self.inbox).await.unwrap_or(0) == 0 {
                    assert!(self.inbox.is_empty(), "half a message: {:?}", self.inbox);
                    return None;
                }
            }
        })
        .await
    }

    /// Hears 20 ms; anything but sound is a fault.
    pub async fn hear(&mut self) -> Audio {
        match self.next().await {
            Some(Message::Audio(audio)) => {
                assert_eq!(audio.pcm.len(), audio.rate.frame_bytes(), "not 20 ms");
                audio
            }
            other => panic!("{other:?}"),
        }
    }

    /// Hears so many frames of one rate.
    pub async fn hear_frames(&mut self, frames: usize) -> Heard {
        let mut heard = Heard {
            rate: self.hear().await.rate,
            samples: Vec::new(),
        };
        for _ in 0..frames {
            let audio = self.hear().await;
            assert_eq!(audio.rate, heard.rate);
            heard.samples.extend(audio.samples());
        }
        heard
    }

    /// Hears sound until our side hangs up and closes; returns how many frames came.
    pub async fn hear_to_the_end(&mut self) -> usize {
        let mut frames = 0;
        loop {
            match self.next().await {
                Some(Message::Audio(_)) => frames += 1,
                Some(Message::Hangup) => break,
                other => panic!("{other:?} after {frames} frames"),
            }
        }
        assert_eq!(self.next().await, None, "something after {HANGUP:?}");
        frames
    }
}

/// Some sound.
pub struct Heard {
    pub rate: Rate,
    pub samples: Vec<i16>,
}

impl Heard {
    /// The part of the power that is a sine of `hz`, 0 to 1.
    pub fn purity(&self, hz: f32) -> f32 {
        purity(
            SampleRate::from_hz(self.rate.hz()).unwrap(),
            &self.samples,
            hz,
        )
    }

    pub fn is_silent(&self) -> bool {
        self.samples.iter().all(|sample| *sample == 0)
    }

    /// The loudest sample.
    pub fn peak(&self) -> u16 {
        self.samples
            .iter()
            .map(|sample| sample.unsigned_abs())
            .max()
            .unwrap_or(0)
    }
}

pub fn purity(rate: SampleRate, samples: &[i16], hz: f32) -> f32 {
    tone::Detector::new(rate, hz).purity(samples)
}

/// A MoQ client that publishes a tone.
pub struct Publisher {
    writer: Writer,
    encoder: opus::Encoder,
    tone: tone::Tone,
    frame: Frame,
    sent: u64,
}

impl Publisher {
    pub fn new(relay: &Relay, name: &FullTrackName, hz: f32) -> Self {
        let rate = SampleRate::Hz48000;
        let info = track::Info {
            properties: track_properties(),
        };
        Self {
            writer: relay.publish(name, info).unwrap(),
            encoder: opus::Encoder::new(opus::Config::new(rate)).unwrap(),
            tone: tone::Tone::sine(rate, hz, -20.0),
            frame: Frame::silence(rate),
            sent: 0,
        }
    }

    /// Publishes the next 20 ms.
    pub fn send(&mut self) -> Object {
        self.tone.fill(self.frame.samples_mut());
        let payload = self.encoder.encode(&self.frame).unwrap();
        let level = Level {
            below_overload_db: 20,
            voice: true,
        };
        let object = Object {
            group: 100 + self.sent / 50,
            id: self.sent % 50,
            properties: Properties::of_object(self.sent * 960, level).to_bytes(),
            payload,
            ..Object::default()
        };
        self.sent += 1;
        self.writer.write(object.clone()).unwrap();
        object
    }

    /// Publishes an object as it is.
    pub fn send_as(&mut self, object: Object) {
        self.writer.write(object).unwrap();
    }

    /// Publishes 20 ms every 20 ms until it is dropped.
    pub fn run(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut ticks = interval(FRAME);
            loop {
                ticks.tick().await;
                self.send();
            }
        })
    }
}

/// Takes the next object of a track.
pub async fn object(reader: &mut Reader) -> Object {
    within(async {
        loop {
            match reader.next().await {
                Some(track::Event::Object(object)) => return object,
                Some(track::Event::Began(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await
}

pub async fn objects(reader: &mut Reader, count: usize) -> Vec<Object> {
    let mut objects = Vec::new();
    while objects.len() < count {
        objects.push(object(reader).await);
    }
    objects
}

/// Waits until the publisher of a track has ended it.
pub async fn ended(reader: &mut Reader) {
    within(async {
        loop {
            match reader.next().await {
                Some(track::Event::Ended(_)) => return,
                Some(_) => {}
                None => panic!("the relay is full"),
            }
        }
    })
    .await;
}

/// Decodes objects at 48 kHz, the first quarter thrown away: a decoder has to find its feet.
pub fn decode(objects: &[Object]) -> Vec<i16> {
    let mut decoder = opus::Decoder::new(SampleRate::Hz48000).unwrap();
    let mut samples = Vec::new();
    for object in objects {
        decoder.decode(&object.payload, &mut samples).unwrap();
    }
    samples.split_off(samples.len() / 4)
}

pub fn timestamp(object: &Object) -> u64 {
    Properties::decode(&object.properties)
        .unwrap()
        .timestamp
        .unwrap()
}

pub fn level(object: &Object) -> Level {
    Properties::decode(&object.properties)
        .unwrap()
        .level
        .unwrap()
}

/// Lets `time` of the paused clock pass while everything else goes on.
pub async fn pass(time: Duration) {
    tokio::time::sleep_until(Instant::now() + time).await;
}

pub fn noise(len: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
