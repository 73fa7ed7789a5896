//! What a crowd hears of several tracks within a moment goes out together; nobody else waits.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{
    Anyone,
    peer::{Arrived, Peer, Via},
    relay_with, soon, track,
};
use moqrelay_moqt::Parameters;
use moqrelay_relay::{
    Limits,
    track::{Info, Object, Writer},
};

/// Long enough to be told from no wait at all.
const GATHER: Duration = Duration::from_millis(40);

#[tokio::test]
async fn tracks_of_a_crowd_wait_for_each_other_and_for_nobody_else() {
    let limits = Limits {
        gather: GATHER,
        gather_from: 2,
        ..Limits::default()
    };
    let running = relay_with("127.0.0.1:0", Anyone, limits);
    let mut voices = Vec::new();
    for name in ["a", "b", "alone"] {
        let name = track("gather", name);
        let writer = running.relay.publish(&name, Info::default()).unwrap();
        voices.push((name, writer));
    }
    let mut peers = Vec::new();
    for heard in [3, 2] {
        let mut peer = Peer::connect(running.addr(), Via::Quic).await;
        for (name, _) in &voices[..heard] {
            peer.subscribed(name, Parameters::default()).await;
        }
        peers.push(peer);
    }
    let [(_, a), (_, b), (_, alone)] = &mut voices[..] else {
        panic!("there are three");
    };

    let mut group = 0;
    // It takes some rounds until the relay knows that they come together.
    let waited = soon(async {
        loop {
            group += 1;
            say(a, group, "a");
            say(b, group, "b");
            for peer in &mut peers {
                payload(peer).await;
                payload(peer).await;
            }

            group += 1;
            let said = Instant::now();
            say(a, group, "a");
            say(alone, group, "alone");
            let first = payload(&mut peers[0]).await;
            let second = payload(&mut peers[0]).await;
            payload(&mut peers[1]).await;
            assert_ne!(first, second);
            if first == "alone" {
                break said.elapsed();
            }
        }
    })
    .await;

    assert!(waited >= GATHER, "{waited:?}");
    // Those who speak together are heard at once, whoever comes first.
    group += 1;
    say(b, group, "b");
    say(a, group, "a");
    for peer in &mut peers {
        let mut both = [payload(peer).await, payload(peer).await];
        both.sort_unstable();
        assert_eq!(both, ["a", "b"]);
    }
}

fn say(writer: &mut Writer, group: u64, text: &'static str) {
    let object = Object {
        group,
        payload: Bytes::from_static(text.as_bytes()),
        ..Object::default()
    };
    writer.write(object).unwrap();
}

async fn payload(peer: &mut Peer) -> String {
    match peer.arrived().await {
        Arrived::Datagram(object) => String::from_utf8(object.payload.to_vec()).unwrap(),
        _ => panic!("not a datagram"),
    }
}
