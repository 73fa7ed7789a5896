//! A publisher and a subscriber that exchange 20 ms objects, and what is lost between them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use moqrelay_moqt::{
    Config, Parameters, PublishOptions, Role, TrackAlias, Transport,
    data::{ObjectDatagram, ObjectStatus},
};
use web_transport_quinn as wt;

use super::{
    peer::{D18, Peer, quic},
    soon, track,
};

/// The distance of voice objects.
pub const VOICE: Duration = Duration::from_millis(20);

/// Two sessions, one of which hears the other.
pub struct Talk {
    pub publisher: Peer,
    pub subscriber: Peer,
    alias: TrackAlias,
    sent: u64,
}

/// What arrived.
#[derive(Default)]
pub struct Heard {
    pub objects: u64,
    pub lost: u64,
    /// The longest time without an object.
    pub gap: Duration,
    /// Of a [`Call`] only: how late each object was, sorted.
    pub latencies: Vec<Duration>,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            objects, lost, gap, ..
        } = self;
        write!(f, "{objects} objects, {lost} lost, longest gap {gap:.1?}")
    }
}

/// Connects by raw QUIC; the certificate that was shown comes with it.
pub async fn connect(addr: SocketAddr) -> (Peer, Vec<u8>) {
    let connection = soon(quic(addr, "moqt-18")).await.unwrap();
    let shown = connection.peer_identity().unwrap();
    let shown = shown
        .downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>()
        .unwrap();
    let config = Config::new(D18, Role::Client, Transport::Quic);
    let mut peer = Peer::over(wt::Session::raw(connection), config).await;
    let moqrelay_moqt::Event::Setup(_) = peer.event().await else {
        panic!("SETUP comes first");
    };
    (peer, shown[0].to_vec())
}

impl Talk {
    pub async fn begin(addr: SocketAddr, path: &str) -> Self {
        let name = track(path, "audio");
        let (mut publisher, _) = connect(addr).await;
        let (_, alias) = publisher.publish(&name, PublishOptions::default()).await;
        let (mut subscriber, _) = connect(addr).await;
        subscriber.subscribed(&name, Parameters::default()).await;
        Self {
            publisher,
            subscriber,
            alias,
            sent: 0,
        }
    }

    /// Sends one object.
    pub fn say(&mut self) {
        self.sent += 1;
        self.publisher.datagram(&voice(self.alias, self.sent));
    }

    /// Sends one object and waits for it.
    pub async fn exchange(&mut self) {
        self.say();
        assert_eq!(self.subscriber.object().await.0, self.sent);
    }

    /// Talks at voice's pace until `meanwhile` is over and some more, and says what arrived.
    pub async fn during<T>(&mut self, meanwhile: impl Future<Output = T>) -> (Heard, T) {
        let mut meanwhile = std::pin::pin!(meanwhile);
        let mut tick = tokio::time::interval(VOICE);
        let (first, mut heard) = (self.sent, Heard::default());
        let (mut last, mut done, mut more) = (Instant::now(), None, 5);
        loop {
            tokio::select! {
                outcome = &mut meanwhile, if done.is_none() => done = Some(outcome),
                _ = tick.tick(), if more > 0 => {
                    self.say();
                    if done.is_some() {
                        more -= 1;
                    }
                }
                (group, _, _) = self.subscriber.object() => {
                    heard.objects += 1;
                    heard.gap = heard.gap.max(last.elapsed());
                    last = Instant::now();
                    if more == 0 && group == self.sent {
                        break;
                    }
                }
            }
        }
        heard.lost = self.sent - first - heard.objects;
        (heard, done.unwrap())
    }
}

/// A call: two sessions that talk with each other.
pub struct Call {
    sides: [Side; 2],
    sent: u64,
    /// When each object was said.
    said: Vec<Instant>,
}

struct Side {
    peer: Peer,
    alias: TrackAlias,
}

impl Call {
    /// Two clients that reach the relay by these addresses.
    pub async fn begin(one: SocketAddr, other: SocketAddr) -> Self {
        let (mut a, mut b) = (
            Side::connect(one, "a").await,
            Side::connect(other, "b").await,
        );
        for (side, hears) in [(&mut a, "b"), (&mut b, "a")] {
            let name = track("call", hears);
            side.peer.subscribed(&name, Parameters::default()).await;
        }
        Self {
            sides: [a, b],
            sent: 0,
            said: Vec::new(),
        }
    }

    /// Lets both talk for so many objects, waits a little for the last ones, and returns what each
    /// has heard of the other.
    pub async fn talk(&mut self, objects: u64) -> [Heard; 2] {
        let mut tick = tokio::time::interval(VOICE);
        let first = self.sent;
        let mut heard = [Heard::default(), Heard::default()];
        let mut last = [Instant::now(); 2];
        let mut left = objects + LINGER;
        while left > 0 {
            let [a, b] = &mut self.sides;
            let (side, group) = tokio::select! {
                _ = tick.tick() => {
                    left -= 1;
                    if left >= LINGER {
                        self.sent += 1;
                        self.said.push(Instant::now());
                        self.sides.iter().for_each(|side| side.say(self.sent));
                    }
                    continue;
                }
                object = a.peer.object() => (0, object.0),
                object = b.peer.object() => (1, object.0),
            };
            let now = Instant::now();
            let index = usize::try_from(group - 1).unwrap();
            heard[side].latencies.push(now - self.said[index]);
            if group <= first {
                continue; // Of an earlier talk.
            }
            heard[side].objects += 1;
            // What comes after the last word is no gap.
            heard[side].gap = heard[side].gap.max(now - last[side]);
            last[side] = now;
        }
        for heard in &mut heard {
            heard.lost = objects - heard.objects.min(objects);
            heard.latencies.sort();
        }
        heard
    }

    /// Fails when one of the sessions does not answer any more.
    pub async fn is_alive(&mut self) {
        for (n, side) in self.sides.iter_mut().enumerate() {
            let namespace = super::namespace(&format!("alive/{n}/{}", self.sent));
            side.peer.publish_namespace(&namespace).await;
        }
    }
}

/// How many ticks the last objects are waited for.
const LINGER: u64 = 10;

impl Side {
    async fn connect(addr: SocketAddr, says: &str) -> Self {
        let (mut peer, _) = connect(addr).await;
        let options = PublishOptions::default();
        let (_, alias) = peer.publish(&track("call", says), options).await;
        Self { peer, alias }
    }

    fn say(&self, group: u64) {
        let bytes = voice(self.alias, group).encode(D18).unwrap();
        // A connection that is over is seen later.
        drop(self.peer.session.send_datagram(bytes));
    }
}

fn voice(alias: TrackAlias, group: u64) -> ObjectDatagram {
    ObjectDatagram {
        alias,
        group,
        id: 0,
        priority: None,
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: Bytes::new(),
        payload: Bytes::from_static(&[7; 80]),
    }
}
