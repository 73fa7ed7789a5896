//! A bad network, and a client whose address changes, are no reason to end a call.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use common::{
    Anyone,
    voice::{Call, VOICE},
};
use moqrelay_relay::{Config, Limits, Relay, Server, ServerConfig, Worker, server, tls};
use moqrelay_testkit::{Impairment, Proxy};
use tokio::task::JoinSet;

/// What a call may be silent for when an address changes.
const SILENCE_MAX: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_call_goes_on_at_once_when_a_nat_gives_a_client_another_address() {
    let (server, _workers) = relay_of_four_workers();
    let proxy = network(&server, Impairment::default()).await;
    let mut call = Call::begin(proxy.addr(), server.local_addr()).await;
    call.talk(10).await;

    proxy.rebind().await;
    let heard = call.talk(20).await;

    for (who, heard) in ["behind the NAT", "elsewhere"].into_iter().zip(heard) {
        println!("NAT rebinding, {who}: {heard:?}");
        assert!(heard.gap < SILENCE_MAX, "{who}: {heard:?}");
        assert!(heard.objects > 10, "{who}: {heard:?}");
    }
    call.is_alive().await;
}

#[tokio::test]
async fn a_fifth_of_all_packets_lost_ends_no_session() {
    let (server, _workers) = relay_of_four_workers();
    let proxy = network(&server, Impairment::default()).await;
    let mut call = Call::begin(proxy.addr(), server.local_addr()).await;
    proxy
        .change(Impairment {
            lost_of_1000: 200,
            delay: VOICE,
            jitter: VOICE,
            early_of_1000: 50,
            bytes_per_second: None,
        })
        .await;

    let heard = call.talk(20).await;

    assert!(heard.iter().all(|heard| heard.objects > 5), "{heard:?}");
    call.is_alive().await;
}

async fn network(server: &Server, impairment: Impairment) -> Proxy {
    Proxy::start(server.local_addr(), impairment, 1)
        .await
        .unwrap()
}

fn relay_of_four_workers() -> (Server, JoinSet<()>) {
    let relay = Relay::new(Config::default());
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: tls::development(vec!["localhost".into()], SystemTime::now()).unwrap(),
        authorize: Arc::new(Anyone),
        limits: Limits::default(),
        workers: NonZeroUsize::new(4).unwrap(),
    };
    let (server, workers) = server(&relay, config).unwrap();
    (server, workers.into_iter().map(Worker::run).collect())
}
