//! Publishers and subscribers find each other.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{
    namespace, open_relay,
    peer::{Arrived, BOTH, Peer, Via},
    track, until,
};
use moqrelay_moqt::{
    Event, Filter, Location, Parameters, PublishDoneCode, PublishOptions, RequestCode, ResetCode,
    SubscribeAnswer, TrackAlias, TrackProperties,
    data::{ObjectDatagram, ObjectStatus, SubgroupHeader, SubgroupId},
};
use moqrelay_relay::track::{self, Info};

#[tokio::test]
async fn a_publisher_of_the_namespace_is_asked_once_for_all_subscribers() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("room/a/p1", "audio");
        let mut publisher = Peer::connect(relay.addr(), via).await;
        publisher.publish_namespace(&namespace("room/a")).await;
        let mut first = Peer::connect(relay.addr(), via).await;
        let mut second = Peer::connect(relay.addr(), via).await;
        let asked = first.subscribe(&name, Parameters::default()).await;
        let (request, alias, got) = publisher.serve(SubscribeAnswer::default()).await;
        assert_eq!(got, name);
        first
            .event_of(|event| matches!(event, Event::SubscribeOk { .. }).then_some(()))
            .await;

        let (also, _, _) = second.subscribed(&name, Parameters::default()).await;
        publisher.datagram(&datagram(alias, 1, 0));

        assert_eq!(first.object().await.0, 1);
        assert_eq!(second.object().await.0, 1);
        first.cancel(asked).await;
        publisher.datagram(&datagram(alias, 2, 0));
        assert_eq!(second.object().await.0, 2);
        second.cancel(also).await;
        let cancelled = publisher
            .event_of(|event| match event {
                Event::Cancelled { id, .. } => Some(id),
                Event::Subscribe { .. } => panic!("asked twice"),
                _ => None,
            })
            .await;
        assert_eq!(cancelled, request);
    }
}

#[tokio::test]
async fn every_publisher_of_a_matching_namespace_is_asked_and_heard() {
    let relay = open_relay();
    let mut publishers = Vec::new();
    for prefix in ["room", "room/a", "room/a"] {
        let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
        publisher.publish_namespace(&namespace(prefix)).await;
        publishers.push(publisher);
    }
    let mut elsewhere = Peer::connect(relay.addr(), Via::Quic).await;
    elsewhere.publish_namespace(&namespace("room/b")).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;

    let name = track("room/a", "audio");
    subscriber.subscribe(&name, Parameters::default()).await;
    let mut aliases = Vec::new();
    for publisher in &mut publishers {
        let (_, alias, asked) = publisher.serve(SubscribeAnswer::default()).await;
        assert_eq!(asked, name);
        aliases.push(alias);
    }

    subscriber
        .event_of(|event| matches!(event, Event::SubscribeOk { .. }).then_some(()))
        .await;
    for (group, (publisher, alias)) in (1..).zip(publishers.iter().zip(aliases)) {
        publisher.datagram(&datagram(alias, group, 0));
        assert_eq!(subscriber.object().await.0, group);
    }
    assert_not_asked(&mut elsewhere).await;
}

#[tokio::test]
async fn the_four_best_publishers_are_asked_and_the_next_when_one_refuses() {
    let relay = open_relay();
    let mut far = Peer::connect(relay.addr(), Via::Quic).await;
    far.publish_namespace(&namespace("room")).await;
    let mut near = Vec::new();
    for _ in 0..4 {
        let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
        publisher.publish_namespace(&namespace("room/a")).await;
        near.push(publisher);
    }
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;

    let name = track("room/a", "audio");
    subscriber.subscribe(&name, Parameters::default()).await;
    let mut asked = Vec::new();
    for publisher in &mut near {
        let event = publisher.event_of(|event| match event {
            Event::Subscribe { id, .. } => Some(id),
            _ => None,
        });
        asked.push(event.await);
    }
    // Four are enough.
    assert_not_asked(&mut far).await;
    for (publisher, id) in near.iter_mut().zip(asked) {
        let refusal = moqrelay_moqt::RequestError::new(RequestCode::DoesNotExist, "not mine");
        publisher.machine.reject(id, refusal).unwrap();
        publisher.flush().await;
    }
    far.serve(SubscribeAnswer::default()).await;

    subscriber
        .event_of(|event| matches!(event, Event::SubscribeOk { .. }).then_some(()))
        .await;
}

#[tokio::test]
async fn a_new_publisher_of_the_namespace_is_asked_beside_the_older_one() {
    let relay = open_relay();
    let name = track("room/c/p1", "audio");
    let mut old = Peer::connect(relay.addr(), Via::Quic).await;
    old.publish_namespace(&namespace("room/c")).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    subscriber.subscribe(&name, Parameters::default()).await;
    let (before, old_alias, _) = old.serve(SubscribeAnswer::default()).await;
    old.datagram(&datagram(old_alias, 1, 0));
    assert_eq!(subscriber.object().await.0, 1);

    let mut new = Peer::connect(relay.addr(), Via::Quic).await;
    new.publish_namespace(&namespace("room/c")).await;
    let (_, alias, _) = new.serve(SubscribeAnswer::default()).await;
    new.datagram(&datagram(alias, 2, 0));
    assert_eq!(subscriber.object().await.0, 2);
    old.datagram(&datagram(old_alias, 3, 0));
    assert_eq!(subscriber.object().await.0, 3);
    old.done(before, 0).await;
    new.datagram(&datagram(alias, 4, 0));

    assert_eq!(subscriber.object().await.0, 4);
}

#[tokio::test]
async fn when_a_publisher_vanishes_the_older_one_goes_on() {
    let relay = open_relay();
    let name = track("room/d/p1", "audio");
    let mut old = Peer::connect(relay.addr(), Via::Quic).await;
    old.publish_namespace(&namespace("room/d")).await;
    let mut new = Peer::connect(relay.addr(), Via::Quic).await;
    new.publish_namespace(&namespace("room/d")).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    subscriber.subscribe(&name, Parameters::default()).await;
    let (_, alias, _) = new.serve(SubscribeAnswer::default()).await;
    new.datagram(&datagram(alias, 1, 0));
    assert_eq!(subscriber.object().await.0, 1);

    new.session.close(0, b"bye");
    let (_, alias, _) = old.serve(SubscribeAnswer::default()).await;
    old.datagram(&datagram(alias, 2, 0));

    assert_eq!(subscriber.object().await.0, 2);
}

#[tokio::test]
async fn when_the_only_publisher_vanishes_the_subscription_ends() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("room/e/p1", "audio");
        let mut publisher = Peer::connect(relay.addr(), via).await;
        let (_, alias) = publisher.publish(&name, PublishOptions::default()).await;
        let mut subscriber = Peer::connect(relay.addr(), via).await;
        subscriber.subscribed(&name, Parameters::default()).await;
        let mut stream = publisher.subgroup(header(alias, 1)).await;
        stream.payload(0, "x").await;
        subscriber.object().await;

        publisher.session.close(0, b"bye");

        let (status, streams, _) = subscriber.publish_done().await;
        assert_eq!((status, streams), (PublishDoneCode::TrackEnded, Some(1)));
        loop {
            if let Arrived::Reset(_, code) = subscriber.arrived().await {
                assert_eq!(code, ResetCode::Cancelled);
                break;
            }
        }
        let again = subscriber.subscribe(&name, Parameters::default()).await;
        assert_eq!(subscriber.rejected(again).await, RequestCode::DoesNotExist);
    }
}

#[tokio::test]
async fn a_subscriber_waits_for_a_publisher_as_long_as_it_said() {
    let relay = open_relay();
    let name = track("room/f/p1", "audio");
    let mut subscriber = Peer::connect(relay.addr(), Via::WebTransport).await;
    let waiting = Parameters {
        rendezvous_timeout: Some(Duration::from_secs(30)),
        ..Parameters::default()
    };
    subscriber.subscribe(&name, waiting).await;
    let short = Parameters {
        rendezvous_timeout: Some(Duration::from_millis(20)),
        ..Parameters::default()
    };
    let other = subscriber.subscribe(&track("room/f", "never"), short).await;
    assert_eq!(subscriber.rejected(other).await, RequestCode::Timeout);
    let none = subscriber
        .subscribe(&track("room/f", "now"), Parameters::default())
        .await;
    assert_eq!(subscriber.rejected(none).await, RequestCode::DoesNotExist);

    let mut publisher = Peer::connect(relay.addr(), Via::WebTransport).await;
    let (_, alias) = publisher.publish(&name, PublishOptions::default()).await;
    publisher.datagram(&datagram(alias, 7, 0));

    subscriber
        .event_of(|event| matches!(event, Event::SubscribeOk { .. }).then_some(()))
        .await;
    assert_eq!(subscriber.object().await.0, 7);
}

#[tokio::test]
async fn a_waiting_subscriber_survives_a_publisher_that_does_not_have_the_track() {
    let relay = open_relay();
    let name = track("room/g/p1", "audio");
    let mut empty = Peer::connect(relay.addr(), Via::Quic).await;
    empty.publish_namespace(&namespace("room/g")).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    let waiting = Parameters {
        rendezvous_timeout: Some(Duration::from_secs(30)),
        ..Parameters::default()
    };
    subscriber.subscribe(&name, waiting).await;
    let id = empty
        .event_of(|event| match event {
            Event::Subscribe { id, .. } => Some(id),
            _ => None,
        })
        .await;
    let refusal = moqrelay_moqt::RequestError::new(RequestCode::DoesNotExist, "not yet");
    empty.machine.reject(id, refusal).unwrap();
    empty.flush().await;

    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    publisher.publish(&name, PublishOptions::default()).await;

    subscriber
        .event_of(|event| matches!(event, Event::SubscribeOk { .. }).then_some(()))
        .await;
}

#[tokio::test]
async fn namespaces_below_a_prefix_are_told_and_taken_back() {
    for via in BOTH {
        let relay = open_relay();
        let mut before = Peer::connect(relay.addr(), via).await;
        before.publish_namespace(&namespace("room/h/p1")).await;
        before.publish_namespace(&namespace("other/h")).await;
        let mut watcher = Peer::connect(relay.addr(), via).await;
        let watch = watcher
            .machine
            .subscribe_namespace(namespace("room/h"), Parameters::default())
            .unwrap();
        watcher.flush().await;
        watcher.accepted(watch).await;
        assert_eq!(namespace_event(&mut watcher).await, ("p1".into(), true));

        let mut after = Peer::connect(relay.addr(), via).await;
        let offered = after.publish_namespace(&namespace("room/h/p2")).await;
        assert_eq!(namespace_event(&mut watcher).await, ("p2".into(), true));
        after.cancel(offered).await;
        assert_eq!(namespace_event(&mut watcher).await, ("p2".into(), false));
        let name = track("room/h/p3", "audio");
        let writer = relay.relay.publish(&name, Info::default()).unwrap();
        assert_eq!(namespace_event(&mut watcher).await, ("p3".into(), true));
        drop(writer);
        assert_eq!(namespace_event(&mut watcher).await, ("p3".into(), false));
        before.session.close(0, b"");
        assert_eq!(namespace_event(&mut watcher).await, ("p1".into(), false));
    }
}

#[tokio::test]
async fn tracks_below_a_prefix_are_published_to_who_wants_them_all() {
    for via in BOTH {
        let relay = open_relay();
        let mut writer = relay
            .relay
            .publish(&track("room/i/p1", "audio"), Info::default())
            .unwrap();
        let mut subscriber = Peer::connect(relay.addr(), via).await;
        let own = track("room/i/own", "audio");
        subscriber.publish(&own, PublishOptions::default()).await;
        let watch = subscriber
            .machine
            .subscribe_tracks(namespace("room/i"), Parameters::default())
            .unwrap();
        subscriber.flush().await;
        let (first, name) = publish_event(&mut subscriber).await;
        assert_eq!(name, track("room/i/p1", "audio"));
        subscriber.accept(first, Parameters::default()).await;

        let mut other = Peer::connect(relay.addr(), via).await;
        let second = track("room/i/p2", "audio");
        let (_, alias) = other.publish(&second, PublishOptions::default()).await;
        let (request, name) = publish_event(&mut subscriber).await;
        assert_eq!(name, second);
        let paused = Parameters {
            forward: Some(false),
            ..Parameters::default()
        };
        subscriber.accept(request, paused).await;
        writer.write(object(1)).unwrap();
        assert_eq!(subscriber.object().await.0, 1);
        let resumed = Parameters {
            forward: Some(true),
            ..Parameters::default()
        };
        subscriber.update(request, resumed).await;
        other.datagram(&datagram(alias, 2, 0));
        assert_eq!(subscriber.object().await.0, 2);

        drop(writer);
        let (status, _, _) = subscriber.publish_done().await;
        assert_eq!(status, PublishDoneCode::TrackEnded);
        subscriber.cancel(watch).await;
    }
}

#[tokio::test]
async fn a_tracks_status_is_told_without_objects() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("room/j/p1", "audio");
        let mut writer = relay.relay.publish(&name, dynamic_groups()).unwrap();
        writer.write(object(11)).unwrap();
        let mut peer = Peer::connect(relay.addr(), via).await;

        let known = peer
            .machine
            .track_status(name, Parameters::default())
            .unwrap();
        peer.flush().await;
        let (params, properties) = peer.accepted(known).await;
        let unknown = peer
            .machine
            .track_status(track("room/j", "nothing"), Parameters::default())
            .unwrap();
        peer.flush().await;

        assert_eq!(params.largest_object, Some(Location::new(11, 0)));
        assert_eq!(properties, dynamic_groups().properties);
        assert_eq!(peer.rejected(unknown).await, RequestCode::DoesNotExist);
        until("nobody is subscribed", || {
            relay.relay.stats().subscriptions == 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_status_is_asked_of_the_publisher_of_the_namespace() {
    let relay = open_relay();
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    publisher.publish_namespace(&namespace("room/k")).await;
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let asked = peer
        .machine
        .track_status(track("room/k", "audio"), Parameters::default())
        .unwrap();
    peer.flush().await;
    let answer = SubscribeAnswer {
        params: Parameters {
            largest_object: Some(Location::new(3, 4)),
            ..Parameters::default()
        },
        ..SubscribeAnswer::default()
    };
    publisher.serve(answer).await;

    let (params, _) = peer.accepted(asked).await;

    assert_eq!(params.largest_object, Some(Location::new(3, 4)));
    publisher
        .event_of(|event| matches!(event, Event::Cancelled { .. }).then_some(()))
        .await;
}

#[tokio::test]
async fn filters_choose_where_a_subscription_begins_and_ends() {
    let relay = open_relay();
    let name = track("room/l/p1", "audio");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut write = |group, id| {
        let object = track::Object {
            group,
            id,
            ..track::Object::default()
        };
        writer.write(object).unwrap();
    };
    write(5, 9);
    let filters = [
        (None, vec![(5, 3), (5, 10), (6, 0), (7, 0)]),
        (Some(Filter::LargestObject), vec![(5, 10), (6, 0), (7, 0)]),
        (Some(Filter::NextGroupStart), vec![(6, 0), (7, 0)]),
        (
            Some(Filter::AbsoluteStart(Location::new(7, 0))),
            vec![(7, 0)],
        ),
        (
            Some(Filter::AbsoluteRange {
                start: Location::new(5, 10),
                end_group: 6,
            }),
            vec![(5, 10), (6, 0)],
        ),
    ];
    let mut peers = Vec::new();
    for (filter, _) in &filters {
        let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
        let params = Parameters {
            filter: *filter,
            ..Parameters::default()
        };
        let (_, params, _) = peer.subscribed(&name, params).await;
        assert_eq!(params.largest_object, Some(Location::new(5, 9)));
        peers.push(peer);
    }
    let past = Parameters {
        filter: Some(Filter::AbsoluteRange {
            start: Location::new(1, 0),
            end_group: 4,
        }),
        ..Parameters::default()
    };
    let mut late = Peer::connect(relay.addr(), Via::Quic).await;
    let refused = late.subscribe(&name, past).await;

    for (group, id) in [(5, 3), (5, 10), (6, 0), (7, 0)] {
        write(group, id);
    }

    assert_eq!(late.rejected(refused).await, RequestCode::InvalidRange);
    for (peer, (filter, expected)) in peers.iter_mut().zip(&filters) {
        for (group, id) in expected {
            let (got_group, got_id, _) = peer.object().await;
            assert_eq!((got_group, got_id), (*group, *id), "{filter:?}");
        }
        if let Some(Filter::AbsoluteRange { .. }) = filter {
            let (status, _, _) = peer.publish_done().await;
            assert_eq!(status, PublishDoneCode::SubscriptionEnded);
        }
    }
}

#[tokio::test]
async fn forwarding_stops_and_goes_on_as_the_subscriber_says() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("room/m/p1", "audio");
        let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
        let mut subscriber = Peer::connect(relay.addr(), via).await;
        let paused = Parameters {
            forward: Some(false),
            ..Parameters::default()
        };
        let (request, _, _) = subscriber.subscribed(&name, paused.clone()).await;
        writer.write(object(1)).unwrap();

        let resumed = Parameters {
            forward: Some(true),
            ..Parameters::default()
        };
        let answer = subscriber.update(request, resumed).await;
        writer.write(object(2)).unwrap();
        assert_eq!(answer.largest_object, Some(Location::new(1, 0)));
        assert_eq!(subscriber.object().await.0, 2);
        subscriber.update(request, paused).await;
        writer.write(object(3)).unwrap();
        drop(writer);

        let (_, streams, _) = subscriber.publish_done().await;
        assert_eq!(streams, Some(0));
        assert_eq!(subscriber.try_arrived(), None);
    }
}

#[tokio::test]
async fn a_wish_for_a_new_group_reaches_the_publisher_once() {
    let relay = open_relay();
    let name = track("room/n/p1", "video");
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    let options = PublishOptions {
        properties: dynamic_groups().properties,
        ..PublishOptions::default()
    };
    let (_, alias) = publisher.publish(&name, options).await;
    let wish = |group| Parameters {
        new_group_request: Some(group),
        ..Parameters::default()
    };
    let mut first = Peer::connect(relay.addr(), Via::Quic).await;
    let mut second = Peer::connect(relay.addr(), Via::Quic).await;
    first.subscribed(&name, Parameters::default()).await;
    publisher.datagram(&datagram(alias, 3, 0));
    first.object().await;

    let (id, _, _) = second.subscribed(&name, wish(0)).await;
    let wanted = new_group_event(&mut publisher).await;
    second.update(id, wish(2)).await; // Not above the largest: it has begun already.
    second.update(id, wish(4)).await;
    let again = new_group_event(&mut publisher).await;

    assert_eq!((wanted, again), (0, 4));
}

#[tokio::test]
async fn a_track_for_which_the_peer_has_no_stream_is_named() {
    let relay = open_relay();
    let mut transport = quinn::TransportConfig::default();
    transport.max_concurrent_bidi_streams(2u32.into());
    let connection = common::peer::quic_with(relay.addr(), "moqt-18", transport)
        .await
        .unwrap();
    let session = web_transport_quinn::Session::raw(connection);
    let config = moqrelay_moqt::Config::new(
        common::peer::D18,
        moqrelay_moqt::Role::Client,
        moqrelay_moqt::Transport::Quic,
    );
    let mut peer = Peer::over(session, config).await;
    let watch = peer
        .machine
        .subscribe_tracks(namespace("room/p"), Parameters::default())
        .unwrap();
    peer.flush().await;
    peer.accepted(watch).await;

    let _writers: Vec<_> = (0..5)
        .map(|n| {
            let name = track("room/p", &format!("{n}"));
            relay.relay.publish(&name, Info::default()).unwrap()
        })
        .collect();

    let mut published = 0;
    let blocked = peer
        .event_of(|event| match event {
            Event::Publish { .. } => {
                published += 1;
                None
            }
            Event::PublishBlocked { name, .. } => Some(name),
            _ => None,
        })
        .await;
    assert!(published <= 2);
    assert!((2..5).contains(&(blocked[0] - b'0')), "{blocked:?}");
}

/// Fails when a SUBSCRIBE comes before the answer to a request made now.
async fn assert_not_asked(peer: &mut Peer) {
    let parameters = Parameters::default();
    let elsewhere = namespace("elsewhere");
    let request = peer.machine.publish_namespace(elsewhere, parameters);
    let request = request.unwrap();
    peer.flush().await;
    peer.event_of(|event| match event {
        Event::Subscribe { track, .. } => panic!("asked for {track}"),
        Event::Accepted { id, .. } => (id == request).then_some(()),
        _ => None,
    })
    .await;
}

async fn namespace_event(peer: &mut Peer) -> (String, bool) {
    peer.event_of(|event| match event {
        Event::Namespace { suffix, .. } => Some((suffix.to_string(), true)),
        Event::NamespaceDone { suffix, .. } => Some((suffix.to_string(), false)),
        _ => None,
    })
    .await
}

async fn publish_event(
    peer: &mut Peer,
) -> (moqrelay_moqt::RequestId, moqrelay_moqt::FullTrackName) {
    peer.event_of(|event| match event {
        Event::Publish { id, track, .. } => Some((id, track)),
        _ => None,
    })
    .await
}

async fn new_group_event(peer: &mut Peer) -> u64 {
    let (id, group) = peer
        .event_of(|event| match event {
            Event::Update { id, params, .. } => Some((id, params.new_group_request?)),
            _ => None,
        })
        .await;
    peer.machine
        .accept_update(id, Parameters::default())
        .unwrap();
    peer.flush().await;
    group
}

fn dynamic_groups() -> Info {
    let properties = TrackProperties {
        dynamic_groups: true,
        ..TrackProperties::default()
    };
    Info {
        properties: properties.write(common::peer::D18),
    }
}

fn object(group: u64) -> track::Object {
    track::Object {
        group,
        payload: "voice".into(),
        ..track::Object::default()
    }
}

fn datagram(alias: TrackAlias, group: u64, id: u64) -> ObjectDatagram {
    ObjectDatagram {
        alias,
        group,
        id,
        priority: None,
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: bytes::Bytes::new(),
        payload: "voice".into(),
    }
}

fn header(alias: TrackAlias, group: u64) -> SubgroupHeader {
    SubgroupHeader {
        alias,
        group,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties: false,
        end_of_group: false,
        first_object: true,
    }
}
