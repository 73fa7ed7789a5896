//! What a peer may use up: each limit refuses or ends its own session, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use common::{
    Anyone, Running, namespace, open_relay,
    peer::{BOTH, D18, Peer, Via, client_config, connect, quic},
    relay_with, soon, track, until,
};
use moqrelay_moqt::{
    Config, Event, Parameters, PublishOptions, RequestCode, Role, SessionCode, Transport,
    data::{ObjectDatagram, ObjectStatus},
};
use moqrelay_relay::{Limits, track::Info};
use quinn::ConnectionError;
use web_transport_quinn as wt;

#[tokio::test]
async fn one_session_more_than_allowed_is_refused_until_another_ends() {
    for via in BOTH {
        let relay = limited(Limits {
            sessions: 1,
            ..Limits::default()
        });
        let mut first = Peer::connect(relay.addr(), via).await;

        assert!(refused(quic(relay.addr(), "moqt-18").await));
        first.publish_namespace(&namespace("still/untouched")).await;
        first.session.close(0, b"");
        until("its place is free", || relay.relay.stats().sessions == 0).await;

        // The place is given back when the connection is gone, a moment after the session.
        until_welcome(relay.addr()).await;
        assert!(relay.relay.stats().refused_total > 0);
    }
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_others() {
    let relay = limited(Limits {
        sessions_per_address: 2,
        ..Limits::default()
    });
    let _greedy = [
        quic_from("127.0.0.2:0", relay.addr()).await.unwrap(),
        quic_from("127.0.0.2:0", relay.addr()).await.unwrap(),
    ];

    assert!(refused(quic_from("127.0.0.2:0", relay.addr()).await));

    Peer::connect(relay.addr(), Via::Quic).await;
    assert_eq!(relay.relay.stats().refused_total, 1);
}

#[tokio::test]
async fn handshakes_that_are_never_completed_have_a_limit_and_end() {
    let relay = limited(Limits {
        handshakes: 3,
        setup_timeout: Duration::from_millis(500),
        ..Limits::default()
    });
    let mut session = Peer::connect(relay.addr(), Via::Quic).await;
    let mut lazy = Vec::new();
    for _ in 0..3 {
        // HTTP/3 without a request: no session ever comes of it.
        lazy.push(quic(relay.addr(), wt::ALPN).await.unwrap());
    }

    assert!(refused(quic(relay.addr(), wt::ALPN).await));
    session
        .publish_namespace(&namespace("still/untouched"))
        .await;

    for connection in lazy {
        soon(connection.closed()).await;
    }
    until_welcome(relay.addr()).await;
}

#[tokio::test]
async fn under_load_a_client_shows_first_that_its_address_is_its_own() {
    for via in BOTH {
        let relay = limited(Limits {
            handshakes_before_retry: 0,
            ..Limits::default()
        });

        let mut peer = Peer::connect(relay.addr(), via).await;

        peer.publish_namespace(&namespace("it/works")).await;
        assert_eq!(relay.relay.stats().retried_total, 1);
        assert_eq!(relay.relay.stats().refused_total, 0);
    }
}

#[tokio::test]
async fn tracks_namespaces_and_subscriptions_of_a_session_have_limits() {
    for via in BOTH {
        let relay = limited(Limits {
            tracks: 1,
            namespaces: 1,
            subscriptions: 1,
            ..Limits::default()
        });
        let _held = relay
            .relay
            .publish(&track("limits", "held"), Info::default())
            .unwrap();
        let mut peer = Peer::connect(relay.addr(), via).await;
        peer.publish(&track("limits", "a"), PublishOptions::default())
            .await;
        peer.publish_namespace(&namespace("limits/a")).await;
        let (kept, _, _) = peer
            .subscribed(&track("limits", "held"), Parameters::default())
            .await;

        let published = peer
            .machine
            .publish(track("limits", "b"), PublishOptions::default());
        let offered = peer
            .machine
            .publish_namespace(namespace("limits/b"), Parameters::default());
        peer.flush().await;
        for request in [published.unwrap().0, offered.unwrap()] {
            assert_eq!(peer.rejected(request).await, RequestCode::ExcessiveLoad);
        }
        let request = peer
            .subscribe(&track("limits", "a"), Parameters::default())
            .await;
        assert_eq!(peer.rejected(request).await, RequestCode::ExcessiveLoad);

        peer.cancel(kept).await;
        peer.subscribed(&track("limits", "a"), Parameters::default())
            .await;
    }
}

#[tokio::test]
async fn namespaces_that_are_too_deep_or_too_long_are_refused_in_every_request() {
    for via in BOTH {
        let relay = limited(Limits {
            namespace_fields: 3,
            namespace_bytes: 20,
            ..Limits::default()
        });
        let mut peer = Peer::connect(relay.addr(), via).await;
        for path in ["a/b/c/d", "a/twenty-one-bytes-here"] {
            let there = track(path, "t");
            let machine = &mut peer.machine;
            let requests = [
                machine
                    .publish(there.clone(), PublishOptions::default())
                    .unwrap()
                    .0,
                machine
                    .subscribe(there, moqrelay_moqt::SubscribeOptions::default())
                    .unwrap(),
                machine
                    .publish_namespace(namespace(path), Parameters::default())
                    .unwrap(),
                machine
                    .subscribe_namespace(namespace(path), Parameters::default())
                    .unwrap(),
            ];
            peer.flush().await;
            for request in requests {
                assert_eq!(peer.rejected(request).await, RequestCode::NotSupported);
            }
        }

        peer.publish_namespace(&namespace("a/b/twenty-bytes-are-ok"[..20].trim()))
            .await;
    }
}

#[tokio::test]
async fn requests_that_come_too_fast_are_refused_with_a_time_to_come_again() {
    for via in BOTH {
        // A burst of five, and no more within this test's time.
        let relay = limited(Limits {
            requests_per_second: 1,
            ..Limits::default()
        });
        let mut peer = Peer::connect(relay.addr(), via).await;
        for n in 0..5 {
            peer.publish_namespace(&namespace(&format!("fast/{n}")))
                .await;
        }

        let request = peer
            .machine
            .publish_namespace(namespace("fast/5"), Parameters::default())
            .unwrap();
        peer.flush().await;

        let error = peer
            .event_of(|event| match event {
                Event::Rejected { id, error } if id == request => Some(error),
                _ => None,
            })
            .await;
        assert_eq!(error.code, RequestCode::ExcessiveLoad);
        assert!(error.retry.is_some());
    }
}

#[tokio::test]
async fn who_does_not_heed_refusals_is_sent_away() {
    for via in BOTH {
        let relay = limited(Limits {
            requests_per_second: 1,
            ..Limits::default()
        });
        let mut witness = Peer::connect(relay.addr(), via).await;
        let mut peer = Peer::connect(relay.addr(), via).await;

        for n in 0..30 {
            drop(
                peer.machine
                    .publish_namespace(namespace(&format!("flood/{n}")), Parameters::default()),
            );
        }
        peer.flush().await;

        let (code, reason) = peer.end().await;
        assert_eq!(code, SessionCode::InternalError.to_code(D18), "{reason}");
        assert!(reason.contains("too many requests"), "{reason}");
        witness
            .publish_namespace(&namespace("still/untouched"))
            .await;
    }
}

#[tokio::test]
async fn too_many_bytes_in_a_second_end_the_session() {
    for via in BOTH {
        let relay = limited(Limits {
            bytes_per_second: 20_000,
            ..Limits::default()
        });
        let mut witness = Peer::connect(relay.addr(), via).await;
        let mut peer = Peer::connect(relay.addr(), via).await;
        let (_, alias) = peer
            .publish(&track("fat", "t"), PublishOptions::default())
            .await;

        for id in 0..100 {
            let object = ObjectDatagram {
                alias,
                group: 1,
                id,
                priority: None,
                end_of_group: false,
                status: ObjectStatus::Normal,
                properties: Bytes::new(),
                payload: Bytes::from(vec![7; 1000]),
            };
            let bytes = object.encode(D18).unwrap();
            // The relay may end the session before the last one.
            drop(peer.session.send_datagram(bytes));
            tokio::task::yield_now().await;
        }

        let (code, reason) = peer.end().await;
        assert_eq!(code, SessionCode::InternalError.to_code(D18), "{reason}");
        assert!(reason.contains("too many bytes"), "{reason}");
        witness
            .publish_namespace(&namespace("still/untouched"))
            .await;
    }
}

#[tokio::test]
async fn a_stream_that_brings_too_many_bytes_ends_the_session() {
    for via in BOTH {
        let relay = limited(Limits {
            bytes_per_second: 20_000,
            ..Limits::default()
        });
        let session = soon(connect(relay.addr(), via)).await;
        let kind = match via {
            Via::WebTransport => Transport::WebTransport,
            Via::Quic => Transport::Quic,
        };
        let mut peer = Peer::over(session, Config::new(D18, Role::Client, kind)).await;
        let (_, alias) = peer
            .publish(&track("fat", "t"), PublishOptions::default())
            .await;
        let header = moqrelay_moqt::data::SubgroupHeader {
            alias,
            group: 1,
            subgroup: moqrelay_moqt::data::SubgroupId::Zero,
            priority: None,
            properties: false,
            end_of_group: false,
            first_object: true,
        };
        let mut encoder = moqrelay_moqt::data::SubgroupEncoder::new(D18, header);
        let mut bytes = bytes::BytesMut::new();
        encoder.header(&mut bytes);
        let object = moqrelay_moqt::data::Object {
            payload: Bytes::from(vec![7; 100_000]),
            ..moqrelay_moqt::data::Object::default()
        };
        encoder.object(&object, &mut bytes).unwrap();
        bytes.extend_from_slice(&object.payload);

        let mut stream = peer.session.open_uni().await.unwrap();
        drop(stream.write_all(&bytes).await);

        let (code, reason) = peer.end().await;
        assert_eq!(code, SessionCode::InternalError.to_code(D18), "{reason}");
    }
}

#[tokio::test]
async fn a_client_that_comes_again_has_no_early_data_to_repeat() {
    let relay = open_relay();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(client_config("moqt-18", quinn::TransportConfig::default()));
    let first = soon(endpoint.connect(relay.addr(), "localhost").unwrap())
        .await
        .unwrap();
    // The relay's SETUP comes after the ticket for coming again.
    let mut setup = soon(first.accept_uni()).await.unwrap();
    soon(setup.read_chunk(1, true)).await.unwrap();
    first.close(0u32.into(), b"");

    let again = endpoint.connect(relay.addr(), "localhost").unwrap();

    let Err(again) = again.into_0rtt() else {
        panic!("early data was allowed");
    };
    soon(again).await.unwrap();
}

fn limited(limits: Limits) -> Running {
    relay_with("127.0.0.1:0", Anyone, limits)
}

fn refused(outcome: Result<quinn::Connection, ConnectionError>) -> bool {
    // CONNECTION_REFUSED (RFC 9000 section 20.1).
    matches!(outcome, Err(ConnectionError::ConnectionClosed(close)) if u64::from(close.error_code) == 2)
}

async fn quic_from(
    local: &str,
    addr: SocketAddr,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    let endpoint = quinn::Endpoint::client(local.parse().unwrap()).unwrap();
    let config = client_config("moqt-18", quinn::TransportConfig::default());
    endpoint
        .connect_with(config, addr, "localhost")
        .unwrap()
        .await
}

/// Waits until a place that was given back is had.
async fn until_welcome(addr: SocketAddr) {
    soon(async { while quic(addr, "moqt-18").await.is_err() {} }).await;
}
