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

use crate::common::{
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
#[derive(Debug, Default)]
pub struct Heard {
    pub objects: u64,
    pub lost: u64,
    pub gap: Duration,
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
        self.publisher.datagram(&ObjectDatagram {
            alias: self.alias,
            group: self.sent,
            id: 0,
            priority: None,
            end_of_group: false,
            status: ObjectStatus::Normal,
            properties: Bytes::new(),
            payload: Bytes::from_static(&[7; 80]),
        });
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
