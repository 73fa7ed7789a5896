//! What was granted can be taken back while its token still holds.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use common::{
    Running, namespace,
    peer::{BOTH, Peer, Via},
    relay_with, track, until,
};
use moqrelay_moqt::{
    AuthToken, Event, FetchRange, FullTrackName, Location, Parameters, PublishDoneCode,
    PublishOptions, RequestCode, RequestId, SessionCode, Token,
};
use moqrelay_relay::{
    AuthError, Authorize, Grants, Limits, Rights,
    track::{Info, Object},
};

/// `a/p1` is a token of participant `room/a/p1`, which publishes as itself and hears the room.
struct Participants;

impl Authorize for Participants {
    fn authorize(&self, token: Option<&str>) -> Result<Grants, AuthError> {
        let Some(token) = token else {
            return Ok(Grants::default());
        };
        let (room, _) = token.split_once('/').ok_or(AuthError::Malformed)?;
        let own = namespace(&format!("room/{token}"));
        Ok(Grants {
            publish: vec![own.clone()],
            subscribe: vec![namespace(&format!("room/{room}"))],
            participant: Some(own),
            ..Grants::default()
        })
    }
}

#[tokio::test]
async fn who_has_left_neither_hears_nor_speaks_any_more() {
    for via in BOTH {
        let relay = relay();
        let roster = track("room/a", "roster");
        let mut writer = relay.relay.publish(&roster, Info::default()).unwrap();
        let mut leaver = participant(&relay, via, "a/p1").await;
        let mut other = participant(&relay, via, "a/p2").await;
        let running = Running4::begin(&mut leaver, &roster).await;
        other.subscribed(&roster, Parameters::default()).await;

        revoke(&relay, "room/a/p1", Rights::Nothing);

        running.all_end(&mut leaver).await;
        refused_everything(&mut leaver, "room/a/p1", &roster).await;
        writer.write(object()).unwrap();
        assert_eq!(other.object().await.2, "voice");
        assert_eq!(relay.relay.stats().subscriptions, 1);
        other
            .publish(&track("room/a/p2", "audio"), PublishOptions::default())
            .await;
    }
}

#[tokio::test]
async fn who_may_not_speak_any_more_hears_on_until_it_may_again() {
    for via in BOTH {
        let relay = relay();
        let roster = track("room/a", "roster");
        let mut writer = relay.relay.publish(&roster, Info::default()).unwrap();
        let mut peer = participant(&relay, via, "a/p1").await;
        peer.subscribed(&roster, Parameters::default()).await;
        let own = track("room/a/p1", "audio");
        let (published, _) = peer.publish(&own, PublishOptions::default()).await;

        revoke(&relay, "room/a/p1", Rights::Subscribe);

        assert_eq!(cancelled(&mut peer, 1).await, [published].into());
        let again = peer.machine.publish(own.clone(), PublishOptions::default());
        peer.flush().await;
        let refused = peer.rejected(again.unwrap().0).await;
        assert_eq!(refused, RequestCode::Unauthorized);
        writer.write(object()).unwrap();
        assert_eq!(peer.object().await.2, "voice");

        revoke(&relay, "room/a/p1", Rights::Everything);

        peer.publish(&own, PublishOptions::default()).await;
    }
}

#[tokio::test]
async fn a_session_does_not_begin_with_a_token_that_was_taken_back() {
    for via in BOTH {
        let relay = relay();
        revoke(&relay, "room/a", Rights::Nothing);

        let mut peer = Peer::begin(relay.addr(), via, |config| {
            config.authorization = vec![token("a/p1")];
        })
        .await;

        let code = SessionCode::Unauthorized.to_code(common::peer::D18);
        assert_eq!(peer.end().await.0, code);
        participant(&relay, via, "b/p1").await;
    }
}

#[tokio::test]
async fn a_session_keeps_what_its_other_tokens_grant() {
    for via in BOTH {
        let relay = relay();
        let (here, there) = (track("room/a", "roster"), track("room/b", "roster"));
        let _here = relay.relay.publish(&here, Info::default()).unwrap();
        let mut writer = relay.relay.publish(&there, Info::default()).unwrap();
        let mut peer = Peer::connect_with(relay.addr(), via, |config| {
            config.authorization = vec![token("a/p1"), token("b/p7")];
        })
        .await;
        let (ends, _, _) = peer.subscribed(&here, Parameters::default()).await;
        peer.subscribed(&there, Parameters::default()).await;

        revoke(&relay, "room/a/p1", Rights::Nothing);

        assert_eq!(done(&mut peer).await, (ends, PublishDoneCode::Unauthorized));
        writer.write(object()).unwrap();
        assert_eq!(peer.object().await.2, "voice");
    }
}

#[tokio::test]
async fn a_request_ends_whose_own_token_was_taken_back() {
    for via in BOTH {
        let relay = relay();
        let roster = track("room/a", "roster");
        let _writer = relay.relay.publish(&roster, Info::default()).unwrap();
        let mut peer = Peer::connect(relay.addr(), via).await;
        let (ends, _, _) = peer.subscribed(&roster, with("a/p1")).await;

        revoke(&relay, "room/a/p1", Rights::Nothing);

        assert_eq!(done(&mut peer).await, (ends, PublishDoneCode::Unauthorized));
        let again = peer.subscribe(&roster, with("a/p1")).await;
        assert_eq!(peer.rejected(again).await, RequestCode::Unauthorized);
        peer.subscribed(&roster, with("a/p2")).await;
    }
}

#[tokio::test]
async fn what_waits_for_its_publisher_is_refused() {
    for via in BOTH {
        let relay = relay();
        let mut peer = participant(&relay, via, "a/p1").await;
        let params = Parameters {
            rendezvous_timeout: Some(Duration::from_secs(20)),
            ..Parameters::default()
        };
        let waits = peer.subscribe(&track("room/a/p2", "audio"), params).await;
        until("it waits", || relay.relay.stats().subscriptions == 1).await;

        revoke(&relay, "room/a/p1", Rights::Nothing);

        assert_eq!(peer.rejected(waits).await, RequestCode::Unauthorized);
    }
}

/// A request of each kind that goes on.
struct Running4 {
    heard: RequestId,
    others: BTreeSet<RequestId>,
}

impl Running4 {
    async fn begin(peer: &mut Peer, heard: &FullTrackName) -> Self {
        let own = track("room/a/p1", "audio");
        let (heard, _, _) = peer.subscribed(heard, Parameters::default()).await;
        let (spoken, _) = peer.publish(&own, PublishOptions::default()).await;
        let offered = peer.publish_namespace(&namespace("room/a/p1/more")).await;
        let machine = &mut peer.machine;
        let watched = machine.subscribe_namespace(namespace("room/a"), Parameters::default());
        let watched = watched.unwrap();
        peer.flush().await;
        peer.accepted(watched).await;
        Self {
            heard,
            others: [spoken, offered, watched].into(),
        }
    }

    async fn all_end(self, peer: &mut Peer) {
        let mut cancelled = BTreeSet::new();
        let mut over = None;
        while over.is_none() || cancelled.len() < self.others.len() {
            peer.event_of(|event| match event {
                Event::PublishDone { id, status, .. } => {
                    over = Some((id, status));
                    Some(())
                }
                Event::Cancelled { id, .. } => {
                    cancelled.insert(id);
                    Some(())
                }
                _ => None,
            })
            .await;
        }
        assert_eq!(over, Some((self.heard, PublishDoneCode::Unauthorized)));
        assert_eq!(cancelled, self.others);
    }
}

async fn refused_everything(peer: &mut Peer, own: &str, heard: &FullTrackName) {
    let code = RequestCode::Unauthorized;
    let params = Parameters::default;
    let subscribe = peer.subscribe(heard, params()).await;
    assert_eq!(peer.rejected(subscribe).await, code);
    let range = FetchRange::Standalone {
        track: heard.clone(),
        start: Location::new(0, 0),
        end: Location::new(0, 0),
    };
    let fetch = peer.fetch(range, params()).await;
    assert_eq!(peer.rejected(fetch).await, code);
    let again = track(own, "again");
    let (publish, _) = peer
        .machine
        .publish(again, PublishOptions::default())
        .unwrap();
    peer.flush().await;
    assert_eq!(peer.rejected(publish).await, code);
    let requests = [
        peer.machine.publish_namespace(namespace(own), params()),
        peer.machine
            .subscribe_namespace(namespace("room/a"), params()),
        peer.machine.subscribe_tracks(namespace("room/a"), params()),
    ];
    peer.flush().await;
    for request in requests {
        assert_eq!(peer.rejected(request.unwrap()).await, code);
    }
}

async fn cancelled(peer: &mut Peer, count: usize) -> BTreeSet<RequestId> {
    let mut cancelled = BTreeSet::new();
    while cancelled.len() < count {
        let id = peer.event_of(|event| match event {
            Event::Cancelled { id, .. } => Some(id),
            Event::PublishDone { .. } => panic!("a subscription ended"),
            _ => None,
        });
        cancelled.insert(id.await);
    }
    cancelled
}

async fn done(peer: &mut Peer) -> (RequestId, PublishDoneCode) {
    peer.event_of(|event| match event {
        Event::PublishDone { id, status, .. } => Some((id, status)),
        _ => None,
    })
    .await
}

fn relay() -> Running {
    relay_with("127.0.0.1:0", Participants, Limits::default())
}

fn revoke(relay: &Running, below: &str, left: Rights) {
    let until = SystemTime::now() + Duration::from_secs(3600);
    relay.relay.revoke(&namespace(below), left, until);
}

async fn participant(relay: &Running, via: Via, name: &str) -> Peer {
    let name = name.to_owned();
    Peer::connect_with(relay.addr(), via, move |config| {
        config.authorization = vec![token(&name)];
    })
    .await
}

fn object() -> Object {
    Object {
        subgroup: Some(0),
        payload: "voice".into(),
        ..Object::default()
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
