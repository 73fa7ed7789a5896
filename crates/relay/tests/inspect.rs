//! What an operator sees and does: sessions, tracks, GOAWAY.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{
    open_relay,
    peer::{BOTH, Peer, Via},
    track, until,
};
use moqrelay_moqt::{Event, Parameters};
use moqrelay_relay::track::{Info, Object};

#[tokio::test]
async fn sessions_are_seen_with_their_transport_draft_and_name() {
    let relay = open_relay();
    let mut peers = Vec::new();
    for via in BOTH {
        let named = |config: &mut moqrelay_moqt::Config| {
            config.implementation = Some("tester/1".into());
        };
        peers.push(Peer::connect_with(relay.addr(), via, named).await);
    }
    until("both have said who they are", || {
        let page = relay.relay.sessions(None, 10);
        page.items.len() == 2 && page.items.iter().all(|view| view.implementation.is_some())
    })
    .await;

    let page = relay.relay.sessions(None, 10);

    let transports: Vec<_> = page.items.iter().map(|view| view.transport).collect();
    assert_eq!(transports, ["webtransport", "quic"]);
    assert_eq!((page.total, page.next), (2, None));
    for view in page.items {
        assert_eq!(view.draft, 18);
        assert_eq!(view.implementation.as_deref(), Some("tester/1"));
        assert!(view.peer.ip().is_loopback());
        assert!(view.rtt > Duration::ZERO);
    }
}

#[tokio::test]
async fn sessions_come_in_pages_that_meet_without_gap_or_overlap() {
    let relay = open_relay();
    let mut peers = Vec::new();
    for _ in 0..5 {
        peers.push(Peer::connect(relay.addr(), Via::Quic).await);
    }

    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = relay.relay.sessions(after, 2);
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|view| view.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }

    let all: Vec<_> = relay
        .relay
        .sessions(None, 100)
        .items
        .iter()
        .map(|view| view.id)
        .collect();
    assert_eq!(seen, all);
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn one_session_is_asked_to_leave_and_the_other_stays() {
    let relay = open_relay();
    let mut leaver = Peer::connect(relay.addr(), Via::WebTransport).await;
    let mut stayer = Peer::connect(relay.addr(), Via::Quic).await;
    let id = relay.relay.sessions(None, 1).items.first().unwrap().id;

    let asked = relay
        .relay
        .goaway(id, "https://elsewhere/moq", Duration::from_secs(5));

    assert!(asked);
    assert_eq!(
        leaver.event().await,
        Event::GoAway {
            uri: "https://elsewhere/moq".into(),
            timeout: Duration::from_secs(5),
            unprocessed: moqrelay_moqt::RequestId(0),
        }
    );
    let waits = stayer
        .subscribe(&track("a", "b"), Parameters::default())
        .await;
    stayer.rejected(waits).await;
    assert!(!relay.relay.goaway(u64::MAX, "", Duration::ZERO));
}

#[tokio::test]
async fn one_session_is_ended_and_the_list_forgets_it() {
    let relay = open_relay();
    let mut ended = Peer::connect(relay.addr(), Via::Quic).await;
    let _stays = Peer::connect(relay.addr(), Via::Quic).await;
    let id = relay.relay.sessions(None, 1).items.first().unwrap().id;

    assert!(relay.relay.end_session(id));

    assert_eq!(ended.end().await, (0, "ended by the operator".into()));
    until("it is gone from the list", || {
        relay.relay.sessions(None, 9).total == 1
    })
    .await;
}

#[tokio::test]
async fn tracks_show_who_publishes_and_hears_them_and_what_is_kept() {
    let relay = open_relay();
    let name = track("room/1", "voice");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    subscriber.subscribed(&name, Parameters::default()).await;
    for group in 0..3 {
        let object = Object {
            group,
            payload: vec![0; 10].into(),
            ..Object::default()
        };
        writer.write(object).unwrap();
    }

    let page = relay.relay.tracks(None, 10);

    assert_eq!((page.total, page.next), (1, None));
    let view = page.items.first().unwrap();
    assert_eq!(view.name, name);
    assert_eq!((view.publishers, view.subscribers), (1, 1));
    assert_eq!(view.groups, 3);
    assert_eq!((view.objects_total, view.bytes_total), (3, 30));
    assert_eq!(view.largest.unwrap().group, 2);
    let session = relay.relay.sessions(None, 1).items.remove(0);
    assert_eq!(session.subscriptions, 1);
}

#[tokio::test]
async fn tracks_come_in_pages_in_the_order_of_their_names() {
    let relay = open_relay();
    let names: Vec<_> = ["a", "b", "c"].map(|name| track("room", name)).into();
    let _writers: Vec<_> = names
        .iter()
        .map(|name| relay.relay.publish(name, Info::default()).unwrap())
        .collect();

    let first = relay.relay.tracks(None, 2);
    let second = relay.relay.tracks(first.next.as_ref(), 2);

    let seen: Vec<_> = first
        .items
        .iter()
        .chain(&second.items)
        .map(|view| view.name.clone())
        .collect();
    assert_eq!(seen, names);
    assert_eq!(second.next, None);
}
