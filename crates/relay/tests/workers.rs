//! Several workers share a port: sessions meet across them, and stay where they began.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    collections::HashSet,
    net::UdpSocket,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use common::{
    Anyone,
    peer::{D18, Peer, Via, quic, quic_over},
    soon, track, until,
};
use moqrelay_moqt::{
    Config, Event, Parameters, PublishOptions, Role, SessionCode, Transport,
    data::{ObjectDatagram, ObjectStatus},
};
use moqrelay_relay::{
    Limits, Relay, Server, ServerConfig, server, tls,
    track::{Info, Object},
};
use web_transport_quinn as wt;

const WORKERS: usize = 4;

/// So many that each worker gets some: that one gets none has a chance of 1 in 40,000.
const SESSIONS: u64 = 40;

/// A relay whose workers have threads, until it is dropped.
struct Threads {
    relay: Relay,
    server: Server,
    threads: Vec<JoinHandle<()>>,
}

#[tokio::test]
async fn an_object_reaches_the_sessions_of_every_worker() {
    let mut threads = Threads::start();
    let name = track("workers", "audio");
    let mut publisher = Peer::connect(threads.server.local_addr(), Via::WebTransport).await;
    let options = PublishOptions::default();
    let (_, alias) = publisher.publish(&name, options).await;
    let mut subscribers = Vec::new();
    for _ in 0..SESSIONS {
        let mut peer = Peer::connect(threads.server.local_addr(), Via::WebTransport).await;
        peer.subscribed(&name, Parameters::default()).await;
        subscribers.push(peer);
    }

    for group in 0..3 {
        publisher.datagram(&ObjectDatagram {
            alias,
            group,
            id: 0,
            priority: None,
            end_of_group: false,
            status: ObjectStatus::Normal,
            properties: Bytes::new(),
            payload: Bytes::from_static(b"voice"),
        });
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.object().await, (group, 0, "voice".into()));
        }
    }

    assert_eq!(threads.relay.stats().objects_out, 3 * SESSIONS);
    let workers = threads.server.workers();
    let sessions: usize = workers.iter().map(|worker| worker.sessions).sum();
    assert_eq!((workers.len(), sessions as u64), (WORKERS, SESSIONS + 1));
    threads.end("").await;
}

#[tokio::test]
async fn an_errand_runs_on_the_thread_of_each_worker() {
    let mut threads = Threads::start();
    let ran = Arc::<Mutex<HashSet<ThreadId>>>::default();

    until("each worker ran it", || {
        let notes = ran.clone();
        // Who does not run yet does not hear of it.
        let errand = move || {
            notes.lock().unwrap().insert(thread::current().id());
        };
        threads.server.on_each_worker(errand);
        ran.lock().unwrap().len() == WORKERS
    })
    .await;

    assert!(!ran.lock().unwrap().contains(&thread::current().id()));
    threads.end("").await;
}

#[tokio::test]
async fn a_session_whose_client_moves_stays_with_its_worker() {
    let mut threads = Threads::start();
    let name = track("workers", "moving");
    let mut writer = threads.relay.publish(&name, Info::default()).unwrap();
    let later = track("workers", "later");
    let mut later_writer = threads.relay.publish(&later, Info::default()).unwrap();
    let mut movers = Vec::new();
    for _ in 0..SESSIONS {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = threads.server.local_addr();
        let connected = quic_over(
            &endpoint,
            addr,
            "moqt-18",
            quinn::TransportConfig::default(),
        );
        let session = wt::Session::raw(soon(connected).await.unwrap());
        let config = Config::new(D18, Role::Client, Transport::Quic);
        let mut peer = Peer::over(session, config).await;
        peer.subscribed(&name, Parameters::default()).await;
        movers.push((endpoint, peer));
    }

    // The kernel would choose another worker for most of the new addresses.
    for (endpoint, _) in &movers {
        let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
        endpoint.rebind(elsewhere).unwrap();
    }

    for (_, peer) in &mut movers {
        // What is heard of a request shows that the relay hears the new address.
        peer.subscribed(&later, Parameters::default()).await;
    }
    for writer in [&mut writer, &mut later_writer] {
        let object = Object {
            payload: Bytes::from_static(b"still here"),
            ..Object::default()
        };
        writer.write(object).unwrap();
        for (_, peer) in &mut movers {
            assert_eq!(peer.object().await.2, "still here");
        }
    }
    threads.end("").await;
}

#[tokio::test]
async fn draining_ends_the_sessions_of_every_worker_and_the_threads() {
    let mut threads = Threads::start();
    let mut peers = Vec::new();
    for _ in 0..SESSIONS {
        peers.push(Peer::connect(threads.server.local_addr(), Via::Quic).await);
    }
    let relay = &threads.relay;
    until("all are there", || relay.stats().sessions == SESSIONS).await;

    threads.end("").await;

    for peer in &mut peers {
        assert_eq!(peer.end().await.0, SessionCode::GoawayTimeout.to_code(D18));
    }
    assert_eq!(threads.relay.stats().sessions, 0);
}

/// New clients come to the socket of any worker, also of one that has no sessions any more.
#[tokio::test]
async fn while_one_session_is_left_every_worker_refuses_at_once() {
    let threads = Threads::start();
    let addr = threads.server.local_addr();
    let mut last = Peer::connect(addr, Via::Quic).await;
    let relay = &threads.relay;
    until("it is there", || relay.stats().sessions == 1).await;

    let drained = threads.server.drain("", Duration::from_secs(60));
    let newcomers = async {
        last.event_of(|event| matches!(event, Event::GoAway { .. }).then_some(()))
            .await;
        for _ in 0..SESSIONS {
            let refused = soon(quic(addr, "moqt-18")).await;
            assert!(
                matches!(refused, Err(quinn::ConnectionError::ConnectionClosed(_))),
                "{refused:?}"
            );
        }
        last.session.close(0, b"");
    };
    soon(async { tokio::join!(drained, newcomers) }).await;

    for thread in threads.threads {
        thread.join().unwrap();
    }
}

impl Threads {
    fn start() -> Self {
        let relay = Relay::new(moqrelay_relay::Config::default());
        let config = ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: tls::development(vec!["localhost".into()], SystemTime::now()).unwrap(),
            authorize: Arc::new(Anyone),
            limits: Limits::default(),
            workers: NonZeroUsize::new(WORKERS).unwrap(),
        };
        let (server, workers) = server(&relay, config).unwrap();
        assert_eq!(
            workers.len(),
            WORKERS,
            "this kernel routes by connection id"
        );
        let threads = workers
            .into_iter()
            .map(|worker| thread::spawn(|| worker.run_here().unwrap()))
            .collect();
        Self {
            relay,
            server,
            threads,
        }
    }

    async fn end(&mut self, uri: &str) {
        soon(self.server.drain(uri, Duration::from_millis(50))).await;
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}
