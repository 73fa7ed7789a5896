//! Where and how the relay is reached, and how it goes away.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{net::SocketAddr, time::Duration};

use common::{
    Anyone, DEADLINE, namespace, open_relay,
    peer::{BOTH, D18, Peer, Via, quic, status_of, url, web_transport},
    relay_with, soon, track, until,
};
use moqrelay_moqt::{Config, Event, Parameters, Role, SessionCode, Transport};
use moqrelay_relay::{Limits, Relay, ServerConfig, ServerError, server, tls, track::Info};
use web_transport_quinn::{self as wt, proto::ConnectRequest};

#[tokio::test]
async fn one_port_serves_both_transports_over_ipv4_and_ipv6() {
    let relay = relay_with("[::]:0", Anyone, Limits::default());
    let port = relay.addr().port();
    for ip in ["127.0.0.1", "::1"] {
        let addr = SocketAddr::new(ip.parse().unwrap(), port);
        for via in BOTH {
            let mut peer = Peer::connect(addr, via).await;

            peer.publish_namespace(&namespace("here")).await;
        }
    }
}

#[tokio::test]
async fn loopback_of_either_family_can_be_bound_alone() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let relay = relay_with(listen, Anyone, Limits::default());
        let mut peer = Peer::connect(relay.addr(), Via::WebTransport).await;

        peer.publish_namespace(&namespace("here")).await;
    }
}

#[tokio::test]
async fn a_client_without_a_subprotocol_gets_draft_18() {
    let relay = open_relay();
    for query in ["", "?moqt=18"] {
        let request = ConnectRequest::new(url(relay.addr(), query));
        let session = soon(web_transport(relay.addr(), request)).await.unwrap();
        assert_eq!(session.protocol(), None);
        let config = Config::new(D18, Role::Client, Transport::WebTransport);
        let mut peer = Peer::over(session, config).await;

        peer.publish_namespace(&namespace("here")).await;
    }
}

#[tokio::test]
async fn the_common_subprotocol_is_chosen_and_others_are_refused() {
    let relay = open_relay();
    let offer = |protocols: &[&str], query: &str| {
        let protocols = protocols.iter().map(|name| (*name).to_owned());
        ConnectRequest::new(url(relay.addr(), query)).with_protocols(protocols)
    };

    let common = offer(&["moq-lite-05", "moqt-18"], "");
    let session = soon(web_transport(relay.addr(), common)).await.unwrap();

    assert_eq!(session.protocol(), Some("moqt-18"));
    for refused in [
        offer(&["moqt-07", "moq-lite-05"], ""),
        offer(&[], "?moqt=7"),
    ] {
        let status = status_of(soon(web_transport(relay.addr(), refused)).await);
        assert_eq!(status, wt::http::StatusCode::BAD_REQUEST);
    }
    assert!(soon(quic(relay.addr(), "moqt-07")).await.is_err());
}

#[tokio::test]
async fn draining_asks_sessions_to_leave_and_ends_when_they_have() {
    for via in BOTH {
        let relay = open_relay();
        let mut peer = Peer::connect(relay.addr(), via).await;
        peer.publish_namespace(&namespace("here")).await;
        let server = relay.server.clone();
        let drained = tokio::spawn(async move {
            server.drain("https://other.example/moq", DEADLINE).await;
        });

        let (uri, timeout) = peer
            .event_of(|event| match event {
                Event::GoAway { uri, timeout, .. } => Some((uri, timeout)),
                _ => None,
            })
            .await;
        assert_eq!(uri, "https://other.example/moq");
        assert_eq!(timeout, DEADLINE);
        assert!(!drained.is_finished());
        peer.session.close(0, b"on my way");

        soon(drained).await.unwrap();
        assert_eq!(relay.relay.stats().sessions, 0);
    }
}

#[tokio::test]
async fn sessions_that_do_not_leave_are_closed_when_the_time_is_over() {
    for via in BOTH {
        let relay = open_relay();
        let mut peer = Peer::connect(relay.addr(), via).await;
        peer.publish_namespace(&namespace("here")).await;

        let server = relay.server.clone();
        let drained = tokio::spawn(async move {
            server.drain("", Duration::from_millis(50)).await;
        });
        let (code, _) = peer.end().await;

        assert_eq!(code, SessionCode::GoawayTimeout.to_code(D18));
        soon(drained).await.unwrap();
    }
}

#[tokio::test]
async fn an_occupied_port_is_named() {
    let first = open_relay();
    let config = ServerConfig {
        listen: first.addr(),
        tls: tls::development(vec!["localhost".into()], std::time::SystemTime::now()).unwrap(),
        authorize: std::sync::Arc::new(Anyone),
        limits: Limits::default(),
        workers: std::num::NonZeroUsize::MIN,
    };

    let Err(error) = server(&Relay::new(moqrelay_relay::Config::default()), config) else {
        panic!("two servers on one port");
    };

    assert!(matches!(error, ServerError::Bind { addr, .. } if addr == first.addr()));
    assert!(error.to_string().contains(&first.addr().to_string()));
}

#[tokio::test]
async fn more_sessions_than_allowed_are_refused() {
    let limits = Limits {
        sessions: 2,
        ..Limits::default()
    };
    let relay = relay_with("127.0.0.1:0", Anyone, limits);
    let first = Peer::connect(relay.addr(), Via::Quic).await;
    let _second = Peer::connect(relay.addr(), Via::WebTransport).await;

    assert!(soon(quic(relay.addr(), "moqt-18")).await.is_err());
    first.session.close(0, b"");
    until("a place is free", || relay.relay.stats().sessions == 1).await;
    // The session's task lives on until the connection is gone.
    loop {
        if soon(quic(relay.addr(), "moqt-18")).await.is_ok() {
            break;
        }
    }
    assert!(relay.relay.stats().refused_total >= 1);
}

#[tokio::test]
async fn limits_of_one_session_refuse_its_requests() {
    let limits = Limits {
        subscriptions: 1,
        tracks: 1,
        namespaces: 1,
        ..Limits::default()
    };
    let relay = relay_with("127.0.0.1:0", Anyone, limits);
    let writers = ["1", "2"].map(|name| {
        let name = track("limits", name);
        relay.relay.publish(&name, Info::default()).unwrap()
    });
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    peer.subscribed(&track("limits", "1"), Parameters::default())
        .await;
    peer.publish(&track("own", "1"), Default::default()).await;
    peer.publish_namespace(&namespace("own/1")).await;

    let subscribe = peer
        .subscribe(&track("limits", "2"), Parameters::default())
        .await;
    assert_eq!(
        peer.rejected(subscribe).await,
        moqrelay_moqt::RequestCode::ExcessiveLoad
    );
    let (publish, _) = peer
        .machine
        .publish(track("own", "2"), Default::default())
        .unwrap();
    peer.flush().await;
    assert_eq!(
        peer.rejected(publish).await,
        moqrelay_moqt::RequestCode::ExcessiveLoad
    );
    drop(writers);
}

#[tokio::test]
async fn a_prefix_with_too_many_namespaces_is_refused() {
    let limits = Limits {
        control_bytes: 4096,
        ..Limits::default()
    };
    let relay = relay_with("127.0.0.1:0", Anyone, limits);
    let writers: Vec<_> = (0..100)
        .map(|n| {
            let name = track(&format!("many/{n}"), "t");
            relay.relay.publish(&name, Info::default()).unwrap()
        })
        .collect();
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let params = Parameters::default;

    let all = peer
        .machine
        .subscribe_namespace(namespace("many"), params())
        .unwrap();
    peer.flush().await;
    assert_eq!(
        peer.rejected(all).await,
        moqrelay_moqt::RequestCode::NamespaceTooLarge
    );
    let one = peer
        .machine
        .subscribe_namespace(namespace("many/7"), params())
        .unwrap();
    peer.flush().await;

    peer.accepted(one).await;
    drop(writers);
}
