//! A worker that has more to do than it can leaves out what is old, for all its sessions alike.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use common::{
    Anyone,
    peer::{Arrived, Peer, Via},
    soon, track,
};
use moqrelay_moqt::{Parameters, ResetCode};
use moqrelay_relay::{
    Limits, Relay, Server, ServerConfig, server, tls,
    track::{Info, Object, Writer},
};

/// How late the worker may be.
const LAG: Duration = Duration::from_millis(40);

/// How long something else has its thread each time.
const HELD_UP: Duration = Duration::from_millis(60);

/// Between two objects.
const PACE: Duration = Duration::from_millis(5);

/// The last object, by its id; no run comes near it.
const LAST: u64 = 1_000_000;

/// A relay with one worker, on whose thread something else runs whenever it is told to.
struct HeldUp {
    relay: Relay,
    server: Server,
    hold: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[tokio::test]
async fn a_worker_that_is_late_for_long_leaves_out_what_is_old_for_all_alike() {
    let mut held_up = HeldUp::start();
    let name = track("overload", "audio");
    let mut writer = held_up.relay.publish(&name, Info::default()).unwrap();
    let mut peers = Vec::new();
    for via in [Via::WebTransport, Via::Quic, Via::Quic] {
        let mut peer = Peer::connect(held_up.server.local_addr(), via).await;
        peer.subscribed(&name, Parameters::default()).await;
        peers.push(peer);
    }

    held_up.hold.store(true, Relaxed);
    let mut written = 0;
    let overloaded = async {
        while held_up.relay.stats().objects_dropped == 0 {
            write(&mut writer, written);
            written += 1;
            tokio::time::sleep(PACE).await;
        }
    };
    soon(overloaded).await;
    held_up.hold.store(false, Relaxed);
    write(&mut writer, LAST);

    let mut heard = Vec::new();
    for peer in &mut peers {
        heard.push(until_last(peer).await);
    }
    let dropped = held_up.relay.stats().objects_dropped;
    let each = dropped / peers.len() as u64;
    assert_eq!(each * peers.len() as u64, dropped, "all alike");
    for (ids, resets) in heard {
        assert!(ids.is_sorted(), "what is left comes in its order: {ids:?}");
        assert!(ids.len() as u64 <= written + 1 - each);
        // A stream with a gap cannot go on.
        assert!(!resets.is_empty());
        assert!(resets.iter().all(|code| *code == ResetCode::TooFarBehind));
    }
    held_up.end().await;
}

/// All of it is one group on one stream.
fn write(writer: &mut Writer, id: u64) {
    let object = Object {
        subgroup: Some(0),
        id,
        payload: Bytes::from_static(b"voice"),
        ..Object::default()
    };
    writer.write(object).unwrap();
}

/// Returns what came until the last object, and how streams ended before their time.
async fn until_last(peer: &mut Peer) -> (Vec<u64>, Vec<ResetCode>) {
    let (mut ids, mut resets) = (Vec::new(), Vec::new());
    while ids.last() != Some(&LAST) {
        match peer.arrived().await {
            Arrived::Object(_, object) => ids.push(object.id),
            Arrived::Reset(_, code) => resets.push(code),
            Arrived::Header(_) | Arrived::Fin(_) => {}
            Arrived::Datagram(_) => panic!("a datagram"),
        }
    }
    (ids, resets)
}

impl HeldUp {
    fn start() -> Self {
        let relay = Relay::new(moqrelay_relay::Config::default());
        let config = ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: tls::development(vec!["localhost".into()], SystemTime::now()).unwrap(),
            authorize: Arc::new(Anyone),
            limits: Limits {
                lag: LAG,
                ..Limits::default()
            },
            workers: NonZeroUsize::MIN,
        };
        let (server, mut workers) = server(&relay, config).unwrap();
        let worker = workers.pop().unwrap();
        let hold = Arc::new(AtomicBool::new(false));
        let holds = hold.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let other = async {
                    loop {
                        if holds.load(Relaxed) {
                            thread::sleep(HELD_UP);
                        }
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::select! {
                    () = worker.run() => {}
                    () = other => {}
                }
            });
        });
        Self {
            relay,
            server,
            hold,
            thread: Some(thread),
        }
    }

    async fn end(&mut self) {
        soon(self.server.drain("", Duration::ZERO)).await;
        self.thread.take().unwrap().join().unwrap();
    }
}
