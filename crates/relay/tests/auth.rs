//! Who may do what, and for how long.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, SystemTime};

use common::{
    Running, namespace,
    peer::{BOTH, D18, Peer, Via, status_of, url, web_transport},
    relay_with, soon, track, until,
};
use moqrelay_moqt::{
    AuthToken, Config, Event, Parameters, PublishDoneCode, PublishOptions, RequestCode, Role,
    SessionCode, Token, Transport,
};
use moqrelay_relay::{AuthError, Authorize, Grants, Keep, Limits, track::Info};
use web_transport_quinn::{self as wt, proto::ConnectRequest};

/// Long enough for a handshake and a request on a busy machine.
const SHORT: Duration = Duration::from_millis(700);

/// `a` may publish and subscribe below `a`; `a-soon` too, but not for long.
struct Paths;

impl Authorize for Paths {
    fn authorize(&self, token: Option<&str>) -> Result<Grants, AuthError> {
        let Some(token) = token else {
            return Ok(Grants::default());
        };
        let (path, expires_at) = match token {
            "bad" => return Err(AuthError::Malformed),
            "late" => return Err(AuthError::Expired),
            "forged" => return Err(AuthError::Denied),
            token => match token.strip_suffix("-soon") {
                Some(path) => (path, Some(SystemTime::now() + SHORT)),
                None => (token, None),
            },
        };
        Ok(Grants {
            publish: vec![namespace(path)],
            subscribe: vec![namespace(path)],
            expires_at,
            bearer: Some(path.into()),
            participant: None,
        })
    }
}

/// Nobody without a token.
struct NoAnonymous;

impl Authorize for NoAnonymous {
    fn authorize(&self, token: Option<&str>) -> Result<Grants, AuthError> {
        token.map_or(Err(AuthError::Denied), |_| Ok(Grants::everything()))
    }
}

fn relay() -> Running {
    relay_with("127.0.0.1:0", Paths, Limits::default())
}

#[tokio::test]
async fn a_session_without_grants_may_do_nothing() {
    for via in BOTH {
        let relay = relay();
        let _writer = relay
            .relay
            .publish(&track("a", "t"), Info::default())
            .unwrap();
        let mut peer = Peer::connect(relay.addr(), via).await;

        refused_everything(&mut peer, "a", RequestCode::Unauthorized).await;
    }
}

#[tokio::test]
async fn a_token_of_setup_grants_its_namespace_and_what_is_below() {
    for via in BOTH {
        let relay = relay();
        let _writer = relay
            .relay
            .publish(&track("a/b", "t"), Info::default())
            .unwrap();
        let mut peer = Peer::connect_with(relay.addr(), via, |config| {
            config.authorization = vec![token("a")];
        })
        .await;

        peer.subscribed(&track("a/b", "t"), Parameters::default())
            .await;
        peer.publish_namespace(&namespace("a/c")).await;
        peer.publish(&track("a", "own"), PublishOptions::default())
            .await;
        refused_everything(&mut peer, "ab", RequestCode::Unauthorized).await;
    }
}

#[tokio::test]
async fn a_token_of_the_url_or_the_header_grants_too() {
    let relay = relay();
    let plain = ConnectRequest::new(url(relay.addr(), ""));
    let header = plain.clone().with_header(
        "authorization".parse().unwrap(),
        "Bearer a".parse().unwrap(),
    );
    let query = ConnectRequest::new(url(relay.addr(), "?x=1&token=a"));

    for request in [header, query] {
        let session = soon(web_transport(relay.addr(), request)).await.unwrap();
        let config = Config::new(D18, Role::Client, Transport::WebTransport);
        let mut peer = Peer::over(session, config).await;

        peer.publish_namespace(&namespace("a/1")).await;
    }
}

#[tokio::test]
async fn who_is_named_stays_when_the_others_are_asked_to_leave() {
    let keep = |bearers: &[&str]| Keep {
        below: namespace("room"),
        bearers: bearers.iter().map(|&bearer| bearer.to_owned()).collect(),
    };
    let told = |event| match event {
        Event::GoAway { timeout, .. } => Some(timeout),
        _ => None,
    };
    let (first, second) = (Duration::from_secs(40), Duration::from_secs(50));
    for via in BOTH {
        let relay = relay();
        let of = |name| {
            Peer::connect_with(relay.addr(), via, move |config| {
                config.authorization = vec![token(name)]
            })
        };
        let (mut named, mut other) = (of("a").await, of("b").await);

        relay.server.retire(keep(&["a"]), first);

        assert_eq!(soon(other.event_of(told)).await, first);
        named.publish_namespace(&namespace("a/1")).await;
        relay.server.retire(keep(&[]), second);
        assert_eq!(soon(named.event_of(told)).await, second);
    }
}

#[tokio::test]
async fn a_token_in_the_path_of_raw_quic_grants_too() {
    let relay = relay();
    let mut peer = Peer::connect_with(relay.addr(), Via::Quic, |config| {
        config.path = Some("/moq?token=a".to_owned());
        config.authority = Some("localhost".to_owned());
    })
    .await;

    peer.publish_namespace(&namespace("a/1")).await;
}

#[tokio::test]
async fn a_connection_with_a_bad_token_is_refused_as_http_says() {
    let relay = relay();
    for token in ["bad", "late", "forged"] {
        let query = format!("?token={token}");
        let request = ConnectRequest::new(url(relay.addr(), &query));

        let refused = soon(web_transport(relay.addr(), request)).await;

        assert_eq!(status_of(refused), wt::http::StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_session_with_a_bad_token_ends_with_the_right_code() {
    let cases = [
        ("bad", SessionCode::MalformedAuthToken),
        ("late", SessionCode::ExpiredAuthToken),
        ("forged", SessionCode::Unauthorized),
    ];
    for via in BOTH {
        let relay = relay();
        for (name, code) in cases {
            let mut peer = Peer::begin(relay.addr(), via, |config| {
                config.authorization = vec![token(name)];
            })
            .await;

            assert_eq!(peer.end().await.0, code.to_code(D18), "{name}");
        }
    }
}

#[tokio::test]
async fn who_brings_no_token_can_be_turned_away() {
    for via in BOTH {
        let relay = relay_with("127.0.0.1:0", NoAnonymous, Limits::default());
        let mut peer = Peer::begin(relay.addr(), via, |_| {}).await;

        assert_eq!(peer.end().await.0, SessionCode::Unauthorized.to_code(D18));
    }
}

#[tokio::test]
async fn a_token_of_a_request_counts_for_that_request_alone() {
    for via in BOTH {
        let relay = relay();
        let name = track("a", "t");
        let _writer = relay.relay.publish(&name, Info::default()).unwrap();
        let mut peer = Peer::connect(relay.addr(), via).await;

        let (first, _, _) = peer.subscribed(&name, with("a")).await;
        peer.cancel(first).await;
        until("it has ended", || relay.relay.stats().subscriptions == 0).await;
        let second = peer.subscribe(&name, Parameters::default()).await;
        assert_eq!(peer.rejected(second).await, RequestCode::Unauthorized);
        let third = peer.subscribe(&name, with("b")).await;
        assert_eq!(peer.rejected(third).await, RequestCode::Unauthorized);
        let cases = [
            ("bad", RequestCode::MalformedAuthToken),
            ("late", RequestCode::ExpiredAuthToken),
            ("forged", RequestCode::Unauthorized),
        ];
        for (token, code) in cases {
            let request = peer.subscribe(&name, with(token)).await;
            assert_eq!(peer.rejected(request).await, code);
        }
        let options = PublishOptions {
            params: with("a"),
            ..PublishOptions::default()
        };
        peer.publish(&track("a", "own"), options).await;
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    for via in BOTH {
        let relay = relay();
        let mut peer = Peer::connect_with(relay.addr(), via, |config| {
            config.authorization = vec![token("a-soon")];
        })
        .await;
        peer.publish_namespace(&namespace("a/1")).await;

        let (code, _) = peer.end().await;

        assert_eq!(code, SessionCode::Unauthorized.to_code(D18));
    }
}

#[tokio::test]
async fn a_subscription_ends_with_its_token_unless_it_gets_another_one() {
    for via in BOTH {
        let relay = relay();
        let first = track("a", "1");
        let second = track("a", "2");
        let _one = relay.relay.publish(&first, Info::default()).unwrap();
        let _two = relay.relay.publish(&second, Info::default()).unwrap();
        let mut peer = Peer::connect(relay.addr(), via).await;
        let (ends, params, _) = peer.subscribed(&first, with("a-soon")).await;
        assert!(params.expires.unwrap() <= SHORT);
        let (stays, _, _) = peer.subscribed(&second, with("a-soon")).await;
        peer.update(stays, with("a")).await;

        let (id, status) = peer
            .event_of(|event| match event {
                Event::PublishDone { id, status, .. } => Some((id, status)),
                _ => None,
            })
            .await;

        assert_eq!((id, status), (ends, PublishDoneCode::Expired));
        until("one subscription is left", || {
            relay.relay.stats().subscriptions == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_published_track_and_namespace_end_with_their_token() {
    for via in BOTH {
        let relay = relay();
        let mut peer = Peer::connect(relay.addr(), via).await;
        let options = PublishOptions {
            params: with("a-soon"),
            ..PublishOptions::default()
        };
        let (track, _) = peer.publish(&track("a", "t"), options).await;
        let offered = peer
            .machine
            .publish_namespace(namespace("a/n"), with("a-soon"))
            .unwrap();
        peer.flush().await;
        peer.accepted(offered).await;

        let mut cancelled = Vec::new();
        while cancelled.len() < 2 {
            cancelled.push(
                peer.event_of(|event| match event {
                    Event::Cancelled { id, .. } => Some(id),
                    _ => None,
                })
                .await,
            );
        }

        cancelled.sort();
        assert_eq!(cancelled, [track, offered]);
        assert_eq!(relay.relay.stats().tracks, 0);
    }
}

async fn refused_everything(peer: &mut Peer, path: &str, code: RequestCode) {
    let name = track(path, "t");
    let subscribe = peer.subscribe(&name, Parameters::default()).await;
    assert_eq!(peer.rejected(subscribe).await, code);
    let (publish, _) = peer
        .machine
        .publish(name.clone(), PublishOptions::default())
        .unwrap();
    peer.flush().await;
    assert_eq!(peer.rejected(publish).await, code);
    let params = Parameters::default;
    let requests = [
        peer.machine.track_status(name, params()),
        peer.machine.publish_namespace(namespace(path), params()),
        peer.machine.subscribe_namespace(namespace(path), params()),
        peer.machine.subscribe_tracks(namespace(path), params()),
    ];
    peer.flush().await;
    for request in requests {
        assert_eq!(peer.rejected(request.unwrap()).await, code);
    }
}

fn token(text: &str) -> Token {
    Token::UseValue(AuthToken {
        token_type: 0,
        value: text.to_owned().into(),
    })
}

fn with(text: &str) -> Parameters {
    Parameters {
        authorization: vec![token(text)],
        ..Parameters::default()
    }
}
