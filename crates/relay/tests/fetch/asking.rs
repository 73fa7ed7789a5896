//! What is asked for, and what joins a subscription.

use std::time::Duration;

use bytes::Bytes;
use moqrelay_moqt::{
    FetchRange, GroupOrder, Location, Parameters, PublishOptions, RequestCode, SubscribeAnswer,
    data::FetchItem,
};
use moqrelay_relay::track::Object;

use super::{
    common::{
        namespace, open_relay,
        peer::{BOTH, Fetched, Peer, Via},
        track,
    },
    fetch, join, name, payload_of, publish, standalone, write,
};

#[tokio::test]
async fn a_late_joiner_hears_the_current_group_at_once_and_goes_on() {
    for via in BOTH {
        let relay = open_relay();
        let mut writer = publish(&relay);
        write(&mut writer, 7, 0..5);
        let mut peer = Peer::connect(relay.addr(), via).await;

        let (subscription, params, _) = peer.subscribed(&name(), Parameters::default()).await;
        assert_eq!(params.largest_object, Some(Location::new(7, 4)));
        let id = join(&mut peer, subscription, 0).await;

        assert_eq!(peer.fetch_ok(id).await, (Location::new(7, 5), false));
        assert_eq!(peer.answer().await, "7/0 7/1 7/2 7/3 7/4");
        write(&mut writer, 7, 5..6);
        let (group, object, payload) = peer.object().await;
        assert_eq!((group, object), (7, 5));
        assert_eq!(payload, payload_of(7, 5));
    }
}

#[tokio::test]
async fn several_groups_come_in_either_order_and_end_with_the_largest_object() {
    let relay = open_relay();
    let mut writer = publish(&relay);
    for group in [2, 3, 5] {
        write(&mut writer, group, 0..3);
        writer.finish_group(group);
    }
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;

    let id = fetch(&mut peer, (2, 1), (9, 0), GroupOrder::Ascending).await;
    assert_eq!(peer.fetch_ok(id).await, (Location::new(5, 3), false));
    assert_eq!(peer.answer().await, "2/1 2/2 3/0 3/1 3/2 5/0 5/1 5/2");

    let id = fetch(&mut peer, (2, 1), (5, 2), GroupOrder::Descending).await;
    assert_eq!(peer.fetch_ok(id).await, (Location::new(5, 2), false));
    assert_eq!(peer.answer().await, "5/0 5/1 3/0 3/1 3/2 2/1 2/2");

    let id = fetch(&mut peer, (4, 0), (4, 0), GroupOrder::Ascending).await;
    assert_eq!(peer.fetch_ok(id).await, (Location::new(4, 0), false));
    assert_eq!(peer.answer().await, "", "a group that does not exist");
    assert_eq!(relay.relay.stats().fetches, 3);
    assert_eq!(relay.relay.stats().cache_misses, 0);
}

#[tokio::test]
async fn an_object_is_fetched_as_it_was_published() {
    let relay = open_relay();
    let mut writer = publish(&relay);
    let published = [
        Object {
            group: 1,
            subgroup: None,
            id: 0,
            priority: Some(3),
            properties: Bytes::from_static(&[0x3c, 0x01]),
            payload: Bytes::from_static(b"datagram"),
            ..Object::default()
        },
        Object {
            group: 1,
            subgroup: Some(4),
            id: 1,
            payload: Bytes::from(vec![7; 100_000]),
            ..Object::default()
        },
    ];
    for object in published.clone() {
        writer.write(object).unwrap();
    }
    let mut peer = Peer::connect(relay.addr(), Via::WebTransport).await;

    fetch(&mut peer, (1, 0), (1, 0), GroupOrder::Ascending).await;

    peer.fetched().await;
    for (object, priority) in published.iter().zip([3, 128]) {
        let Fetched::Item(_, FetchItem::Object(got)) = peer.fetched().await else {
            panic!()
        };
        assert_eq!(got.location, Location::new(object.group, object.id));
        assert_eq!((got.subgroup, got.priority), (object.subgroup, priority));
        assert_eq!(got.properties, object.properties);
        assert_eq!(got.payload, object.payload);
    }
}

#[tokio::test]
async fn what_cannot_be_fetched_is_refused_with_its_code() {
    let relay = open_relay();
    let mut writer = publish(&relay);
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;

    let id = fetch(&mut peer, (0, 0), (9, 0), GroupOrder::Ascending).await;
    assert_eq!(peer.rejected(id).await, RequestCode::InvalidRange, "empty");
    let (subscription, ..) = peer.subscribed(&name(), Parameters::default()).await;
    let id = join(&mut peer, subscription, 0).await;
    assert_eq!(peer.rejected(id).await, RequestCode::InvalidRange, "empty");

    write(&mut writer, 4, 0..2);
    let id = fetch(&mut peer, (4, 2), (4, 0), GroupOrder::Ascending).await;
    assert_eq!(peer.rejected(id).await, RequestCode::InvalidRange, "beyond");
    let range = FetchRange::Standalone {
        track: track("room", "nobody"),
        start: Location::new(0, 0),
        end: Location::new(1, 0),
    };
    let id = peer.fetch(range, Parameters::default()).await;
    assert_eq!(peer.rejected(id).await, RequestCode::DoesNotExist);

    // The subscription began when there was nothing; once it forwards anew there is.
    let silent = Parameters {
        forward: Some(false),
        ..Parameters::default()
    };
    peer.update(subscription, silent).await;
    let id = join(&mut peer, subscription, 0).await;
    assert_eq!(peer.rejected(id).await, RequestCode::InvalidRange, "silent");
    let loud = Parameters {
        forward: Some(true),
        ..Parameters::default()
    };
    let updated = peer.update(subscription, loud).await;
    assert_eq!(updated.largest_object, Some(Location::new(4, 1)));
    let range = FetchRange::AbsoluteJoining {
        subscription,
        group: 5,
    };
    let id = peer.fetch(range, Parameters::default()).await;
    assert_eq!(peer.rejected(id).await, RequestCode::InvalidRange, "later");
    join(&mut peer, subscription, 99).await;
    assert_eq!(peer.answer().await, "4/0 4/1");
}

#[tokio::test]
async fn a_join_waits_for_the_answer_to_its_subscription() {
    let relay = open_relay();
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let patient = Parameters {
        rendezvous_timeout: Some(Duration::from_secs(9)),
        ..Parameters::default()
    };
    let subscription = peer.subscribe(&name(), patient).await;
    let joining = join(&mut peer, subscription, 1).await;
    let given_up = join(&mut peer, subscription, 1).await;
    peer.cancel(given_up).await;

    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    let params = Parameters {
        largest_object: Some(Location::new(8, 1)),
        ..Parameters::default()
    };
    let options = PublishOptions {
        params,
        ..PublishOptions::default()
    };
    publisher.publish(&name(), options).await;
    let (id, range, _) = publisher.asked_to_fetch().await;
    assert_eq!(range, standalone((7, 0), (8, 2)));
    publisher.accept_fetch(id, Location::new(8, 2)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    answer.object(7, 3, "seven").await;
    answer.finish();

    assert_eq!(peer.fetch_ok(joining).await, (Location::new(8, 2), false));
    assert_eq!(peer.answer().await, "7/3");
}

#[tokio::test]
async fn a_join_whose_subscription_ends_is_refused() {
    let relay = open_relay();
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let patient = Parameters {
        rendezvous_timeout: Some(Duration::from_millis(100)),
        ..Parameters::default()
    };
    let subscription = peer.subscribe(&name(), patient).await;

    let joining = join(&mut peer, subscription, 1).await;

    assert_eq!(peer.rejected(subscription).await, RequestCode::Timeout);
    let code = RequestCode::InvalidJoiningRequestId;
    assert_eq!(peer.rejected(joining).await, code);
}

#[tokio::test]
async fn a_join_reaches_back_before_the_relays_own_subscription() {
    let relay = open_relay();
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    publisher.publish_namespace(&namespace("room")).await;
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let subscription = peer.subscribe(&name(), Parameters::default()).await;
    let answer = SubscribeAnswer {
        params: Parameters {
            largest_object: Some(Location::new(10, 5)),
            ..Parameters::default()
        },
        ..SubscribeAnswer::default()
    };
    publisher.serve(answer).await;

    let joining = join(&mut peer, subscription, 1).await;
    let (id, range, _) = publisher.asked_to_fetch().await;
    assert_eq!(range, standalone((9, 0), (10, 6)));
    publisher.accept_fetch(id, Location::new(10, 6)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    answer.object(10, 5, "largest").await;
    answer.finish();

    assert_eq!(peer.fetch_ok(joining).await, (Location::new(10, 6), false));
    assert_eq!(peer.answer().await, "10/5");
}
