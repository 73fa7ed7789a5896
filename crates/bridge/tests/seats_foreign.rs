//! Seats by real sessions of an implementation that is not ours.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{BufMut, Bytes, BytesMut};
use moq_transport::{
    coding::{KeyValuePairs, TrackNamespace, Value},
    data::{ExtensionHeaders, ObjectStatus},
    serve::{Datagram, Track, TrackReaderMode},
    session::{Publisher, Session, Subscriber, Transport, transport},
};
use moqrelay_audio::FRAME_DURATION;
use moqrelay_bridge::{Bridge, Config, Place};
use moqrelay_relay::{
    AuthError, Authorize, Grants, Limits, Relay, ServerConfig, Worker, server, tls,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use web_transport_quinn_0_11 as wt;

/// Only a fault takes this long.
const DEADLINE: Duration = Duration::from_secs(30);

const AUDIO_LEVEL: u64 = 0x0c;
const TIMESTAMP: u64 = 0x10;
const PARTICIPANT: u64 = 0x1d58;

/// Who speaks of twelve.
const SPEAKING: [u64; 3] = [2, 7, 11];

#[tokio::test]
async fn a_foreign_subscriber_hears_on_its_seats_those_of_twelve_foreign_publishers_who_speak() {
    let mut house = House::new();
    for participant in 1..=12 {
        house.bridge.add_voice(place(&format!("p{participant}")));
        house.publish(participant).await;
    }
    let mut heard_rx = house.subscribe().await;

    let mut heard = BTreeMap::new();
    while SPEAKING
        .iter()
        .any(|who| heard.get(who).is_none_or(|count| *count < 10))
    {
        let (participant, payload) = soon(heard_rx.recv()).await.unwrap();
        assert!(SPEAKING.contains(&participant), "p{participant} is silent");
        assert_eq!(
            u64::from(payload[1]),
            participant,
            "another voice than the seat says"
        );
        *heard.entry(participant).or_insert(0) += 1;
    }

    house.bridge.remove_voice(place("p7"));
    let mut heard = BTreeMap::new();
    while [2, 11]
        .iter()
        .any(|who| heard.get(who).is_none_or(|count| *count < 20))
    {
        let (participant, _) = soon(heard_rx.recv()).await.unwrap();
        *heard.entry(participant).or_insert(0) += 1;
    }
    let muted = heard.get(&7).copied().unwrap_or(0);
    assert!(
        muted <= 5,
        "{muted} objects of who is muted, beside what was on its way"
    );
}

/// A relay and a bridge, and those who are connected to it.
struct House {
    addr: SocketAddr,
    bridge: Bridge,
    /// Aborted when it is dropped.
    tasks: JoinSet<()>,
    client: wt::Client,
}

impl House {
    fn new() -> Self {
        let relay = Relay::new(moqrelay_relay::Config::default());
        let config = ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: tls::development(vec!["localhost".into()], SystemTime::now()).unwrap(),
            authorize: Arc::new(Anyone),
            limits: Limits::default(),
            workers: NonZeroUsize::MIN,
        };
        let (server, workers) = server(&relay, config).unwrap();
        let mut tasks: JoinSet<()> = workers.into_iter().map(Worker::run).collect();
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            ..Config::default()
        };
        let (bridge, events, run) = Bridge::bind(config, relay).unwrap();
        let addr = server.local_addr();
        tasks.spawn(async move {
            let _kept = (events, server);
            run.await;
        });
        bridge.publish_seats("r");
        Self {
            addr,
            bridge,
            tasks,
            client: wt::ClientBuilder::new()
                .dangerous()
                .with_no_certificate_verification()
                .unwrap(),
        }
    }

    /// Lets a participant publish 20 ms every 20 ms.
    async fn publish(&mut self, participant: u64) {
        let (mut publisher, _) = self.connect().await;
        let (writer, reader) = Track::new(namespace(&format!("p{participant}")), "audio").produce();
        let mut published = publisher
            .publish(reader, KeyValuePairs::default())
            .await
            .unwrap();
        soon(published.ok()).await.unwrap();
        self.tasks.spawn(async move {
            published.serve().await.unwrap();
        });
        self.tasks.spawn(async move {
            let _publisher = publisher;
            let mut datagrams = writer.datagrams().unwrap();
            let mut ticks = interval(FRAME_DURATION);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for object in 0.. {
                ticks.tick().await;
                datagrams.write(voice(participant, object)).unwrap();
            }
        });
    }

    /// Hears all seats: who it is, by the property, and what is said.
    async fn subscribe(&mut self) -> mpsc::UnboundedReceiver<(u64, Bytes)> {
        let (publisher, mut subscriber) = self.connect().await;
        let (heard, heard_rx) = mpsc::unbounded_channel();
        for seat in 1..=5 {
            let (writer, reader) = Track::new(namespace(&format!("s{seat}")), "audio").produce();
            let subscription =
                soon(subscriber.subscribe_open_with_params(writer, KeyValuePairs::default()))
                    .await
                    .unwrap();
            let heard = heard.clone();
            self.tasks.spawn(async move {
                let _subscription = subscription;
                let TrackReaderMode::Datagrams(mut datagrams) = reader.mode().await.unwrap() else {
                    panic!("datagrams stay datagrams");
                };
                while let Ok(Some(datagram)) = datagrams.read().await {
                    let said = datagram.extension_headers.get(PARTICIPANT);
                    let Some(Value::IntValue(participant)) = said.map(|it| it.value.clone()) else {
                        panic!("a seat says whose it is: {datagram:?}");
                    };
                    if heard.send((participant, datagram.payload)).is_err() {
                        return;
                    }
                }
            });
        }
        self.tasks.spawn(async move {
            let _session = (publisher, subscriber);
            std::future::pending::<()>().await;
        });
        heard_rx
    }

    async fn connect(&mut self) -> (Publisher, Subscriber) {
        let url: url::Url = format!("https://{}/moq", self.addr).parse().unwrap();
        let request = wt::proto::ConnectRequest::new(url.clone()).with_protocol("moqt-18");
        let session = soon(self.client.connect(request)).await.unwrap();
        let session = transport::Session::new(session, url);
        let session = Session::connect(session, None, Transport::WebTransport);
        let (session, publisher, subscriber) = soon(session).await.unwrap();
        self.tasks.spawn(async move {
            session.run().await.ok();
        });
        (publisher, subscriber)
    }
}

/// Everyone may do everything.
struct Anyone;

impl Authorize for Anyone {
    fn authorize(&self, _token: Option<&str>) -> Result<Grants, AuthError> {
        Ok(Grants::everything())
    }
}

fn voice(participant: u64, object: u64) -> Datagram {
    let speaks = SPEAKING.contains(&participant);
    let level = if speaks {
        0x80 | (30 + object % 12)
    } else {
        80
    };
    let mut extension_headers = ExtensionHeaders::new();
    extension_headers.set_intvalue(AUDIO_LEVEL, level);
    extension_headers.set_intvalue(TIMESTAMP, 960 * object);
    let mut payload = BytesMut::from(&[0xf8, participant as u8][..]);
    payload.put_u64(object);
    Datagram {
        group_id: object / 50,
        object_id: object % 50,
        priority: 32,
        status: ObjectStatus::NormalObject,
        end_of_group: false,
        payload: payload.freeze(),
        extension_headers,
    }
}

fn namespace(participant: &str) -> TrackNamespace {
    TrackNamespace::from_utf8_path(&format!("room/r/{participant}"))
}

fn place(participant: &str) -> Place {
    Place::new("r", participant).unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it never happened")
}
