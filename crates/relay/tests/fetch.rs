//! FETCH: from the cache, from the publisher, and from both.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{
    Anyone, Running, namespace, open_relay,
    peer::{BOTH, Fetched, Peer, Via},
    relay_from, relay_with, soon, track,
};
use moqrelay_moqt::{
    FetchRange, FullTrackName, GroupOrder, Location, Parameters, PublishOptions, RequestCode,
    RequestError, RequestId, ResetCode, SubscribeAnswer, TrackAlias,
    data::{self, Absence, FetchItem, ObjectDatagram, ObjectStatus, SubgroupHeader, SubgroupId},
};
use moqrelay_relay::{
    CacheLimits, CachePolicy, Config, Limits,
    track::{Event, Info, Object, Reader, Start, Writer},
};

const WHOLE: u64 = u64::MAX;

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
async fn what_the_cache_lacks_is_asked_of_the_publisher_once() {
    for order in [GroupOrder::Ascending, GroupOrder::Descending] {
        let relay = open_relay();
        let (mut publisher, mut peer, mut witness) = published(&relay).await;
        for group in [1, 4] {
            send(&publisher, group).await;
        }
        hear(&mut witness, 6).await;

        fetch(&mut peer, (1, 0), (4, 2), order).await;
        let (id, range, params) = publisher.asked_to_fetch().await;
        let descending = order == GroupOrder::Descending;
        assert_eq!(params.group_order, descending.then_some(order));
        assert_eq!(range, standalone((2, 0), (3, 0)));
        publisher.accept_fetch(id, Location::new(3, 0)).await;
        let mut answer = publisher.answering(id, order).await;
        if descending {
            answer.absent(Absence::Unknown, 3, 5).await;
            answer.object(3, 7, "late").await;
            answer.object(2, 1, "fetched").await;
        } else {
            answer.object(2, 1, "fetched").await;
            answer.absent(Absence::Unknown, 3, 5).await;
            answer.object(3, 7, "late").await;
        }
        answer.finish();

        let expected = if descending {
            "4/0 4/1 ?3/5 3/7 2/1 1/0 1/1"
        } else {
            "1/0 1/1 2/1 ?3/5 3/7 4/0 4/1"
        };
        assert_eq!(peer.answer().await, expected);

        // Objects and what does not exist are known from now on; what is unknown is asked for again, and only that.
        fetch(&mut peer, (1, 0), (2, 2), GroupOrder::Ascending).await;
        if descending {
            let (id, range, _) = publisher.asked_to_fetch().await;
            assert_eq!(range, standalone((2, 0), (2, 1)));
            publisher.accept_fetch(id, Location::new(2, 1)).await;
            let answer = publisher.answering(id, GroupOrder::Ascending).await;
            answer.finish();
        }
        assert_eq!(peer.answer().await, "1/0 1/1 2/1");
    }
}

#[tokio::test]
async fn what_the_publisher_has_forgotten_comes_from_the_cache() {
    for order in [GroupOrder::Ascending, GroupOrder::Descending] {
        let relay = open_relay();
        let (mut publisher, mut peer, mut witness) = published(&relay).await;
        for group in [1, 3, 5] {
            send(&publisher, group).await;
        }
        hear(&mut witness, 9).await;

        // It says so.
        fetch(&mut peer, (1, 0), (5, 2), order).await;
        let (id, range, _) = publisher.asked_to_fetch().await;
        assert_eq!(range, standalone((2, 0), (4, 0)));
        publisher.accept_fetch(id, Location::new(4, 0)).await;
        let mut answer = publisher.answering(id, order).await;
        let last = if order == GroupOrder::Ascending { 4 } else { 2 };
        answer.absent(Absence::Unknown, last, WHOLE).await;
        answer.finish();
        let expected = if order == GroupOrder::Ascending {
            format!("1/0 1/1 -1/{WHOLE} ?2/{WHOLE} 3/0 3/1 -3/{WHOLE} ?4/{WHOLE} 5/0 5/1")
        } else {
            format!("5/0 5/1 ?4/{WHOLE} 3/0 3/1 -3/{WHOLE} ?2/{WHOLE} 1/0 1/1")
        };
        assert_eq!(peer.answer().await, expected);
    }
}

#[tokio::test]
async fn where_the_publishers_answer_ends_early_the_cache_goes_on() {
    let relay = open_relay();
    let (mut publisher, mut peer, mut witness) = published(&relay).await;
    for group in [1, 3, 5] {
        send(&publisher, group).await;
    }
    hear(&mut witness, 9).await;

    fetch(&mut peer, (1, 0), (5, 2), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    publisher.accept_fetch(id, Location::new(2, 0)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    answer.object(2, 0, "two").await;
    answer.finish();

    assert_eq!(
        peer.answer().await,
        format!("1/0 1/1 2/0 3/0 3/1 -3/{WHOLE} ?4/{WHOLE} 5/0 5/1")
    );
}

#[tokio::test]
async fn what_nobody_knows_is_said_to_be_unknown() {
    let relay = open_relay();
    let (mut publisher, mut peer, mut witness) = published(&relay).await;
    for group in [1, 3] {
        send(&publisher, group).await;
    }
    hear(&mut witness, 6).await;

    // At once, when the requester does not want to wait.
    let params = Parameters {
        fill_timeout: Some(Duration::ZERO),
        ..Parameters::default()
    };
    peer.fetch(standalone((1, 0), (3, 2)), params).await;
    assert_eq!(
        peer.answer().await,
        format!("1/0 1/1 -1/{WHOLE} ?2/{WHOLE} 3/0 3/1")
    );

    // When the publisher does not answer in time.
    let params = Parameters {
        fill_timeout: Some(Duration::from_millis(50)),
        ..Parameters::default()
    };
    peer.fetch(standalone((1, 1), (3, 1)), params).await;
    let (answer, _) = tokio::join!(peer.answer(), publisher.asked_to_fetch());
    assert_eq!(answer, format!("1/1 -1/{WHOLE} ?2/{WHOLE} 3/0"));

    // When it breaks off.
    fetch(&mut peer, (1, 1), (3, 1), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    publisher.accept_fetch(id, Location::new(2, 0)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    answer.object(2, 0, "two").await;
    // The reset must not overtake the object.
    has_come(&mut peer, (2, 0)).await;
    answer.reset(ResetCode::InternalError);
    assert_eq!(peer.answer().await, format!("?2/{WHOLE} 3/0"));

    // When it has no FETCH at all, it is not asked again.
    fetch(&mut peer, (1, 1), (3, 1), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    let error = RequestError::new(RequestCode::NotSupported, "no");
    publisher.machine.reject(id, error).unwrap();
    publisher.flush().await;
    assert_eq!(peer.answer().await, format!("1/1 2/0 ?2/{WHOLE} 3/0"));
    fetch(&mut peer, (2, 0), (3, 1), GroupOrder::Ascending).await;
    assert_eq!(peer.answer().await, format!("2/0 ?2/{WHOLE} 3/0"));
}

#[tokio::test]
async fn datagrams_of_a_publisher_without_fetch_come_from_the_cache() {
    for order in [GroupOrder::Ascending, GroupOrder::Descending] {
        let relay = open_relay();
        let (mut publisher, mut peer, mut witness) = published(&relay).await;
        for group in 1..=3 {
            let object = ObjectDatagram {
                alias: TrackAlias(1),
                group,
                id: 0,
                priority: None,
                end_of_group: false,
                status: ObjectStatus::Normal,
                properties: Bytes::new(),
                payload: payload_of(group, 0),
            };
            publisher.datagram(&object);
            // They must not pass each other.
            hear(&mut witness, 1).await;
        }
        let expected = if order == GroupOrder::Ascending {
            format!("1/0 ?1/{WHOLE} 2/0 ?2/{WHOLE} 3/0")
        } else {
            format!("3/0 2/0 ?2/{WHOLE} 1/0 ?1/{WHOLE}")
        };

        // What may have been lost between them is asked for; whatever the publisher says, they come.
        fetch(&mut peer, (1, 0), (3, 1), order).await;
        let (id, ..) = publisher.asked_to_fetch().await;
        let error = RequestError::new(RequestCode::NotSupported, "no");
        publisher.machine.reject(id, error).unwrap();
        publisher.flush().await;
        assert_eq!(peer.answer().await, expected);
    }
}

#[tokio::test]
async fn a_track_without_subscribers_is_fetched_from_whoever_offers_its_namespace() {
    let relay = open_relay();
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    publisher.publish_namespace(&namespace("room")).await;
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;

    let id = fetch(&mut peer, (0, 0), (9, 0), GroupOrder::Ascending).await;
    let (asked, range, _) = publisher.asked_to_fetch().await;
    assert_eq!(range, standalone((0, 0), (9, 0)));
    publisher.accept_fetch(asked, Location::new(2, 2)).await;
    let mut answer = publisher.answering(asked, GroupOrder::Ascending).await;
    answer.object(1, 0, "one").await;
    answer.object(2, 1, "two").await;
    answer.finish();
    assert_eq!(peer.fetch_ok(id).await, (Location::new(2, 2), false));
    assert_eq!(peer.answer().await, "1/0 2/1");

    // Once more, now from the cache.
    fetch(&mut peer, (1, 0), (2, 2), GroupOrder::Ascending).await;
    assert_eq!(peer.answer().await, "1/0 2/1");

    let id = fetch(&mut peer, (5, 0), (9, 0), GroupOrder::Ascending).await;
    let (asked, ..) = publisher.asked_to_fetch().await;
    let error = RequestError::new(RequestCode::InvalidRange, "beyond the end");
    publisher.machine.reject(asked, error).unwrap();
    publisher.flush().await;
    assert_eq!(peer.rejected(id).await, RequestCode::InvalidRange);
}

#[tokio::test]
async fn a_malformed_answer_of_a_publisher_is_not_passed_on() {
    let relay = open_relay();
    let (mut publisher, mut peer, mut witness) = published(&relay).await;
    for group in [1, 3] {
        send(&publisher, group).await;
    }
    hear(&mut witness, 6).await;

    fetch(&mut peer, (1, 1), (3, 1), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    publisher.accept_fetch(id, Location::new(2, 0)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    has_come(&mut peer, (1, 1)).await;
    answer.object(9, 0, "outside of what was asked for").await;
    assert_eq!(peer.answer().await, "reset MalformedTrack");
    answer.stopped().await;

    // The session goes on, until it breaks the protocol.
    fetch(&mut peer, (1, 1), (3, 1), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    publisher.accept_fetch(id, Location::new(2, 0)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    answer.raw(&[0x80, 0x80, 1]).await;
    let (code, _) = publisher.end().await;
    assert_eq!(code, 0x3);
    assert_eq!(
        peer.answer().await,
        format!("1/1 -1/{WHOLE} ?2/{WHOLE} 3/0")
    );
}

#[tokio::test]
async fn a_track_that_is_over_can_be_fetched_for_a_while() {
    let relay = open_relay();
    let mut writer = publish(&relay);
    write(&mut writer, 1, 0..2);
    drop(writer);
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;

    let id = fetch(&mut peer, (0, 0), (9, 0), GroupOrder::Ascending).await;
    assert_eq!(peer.fetch_ok(id).await, (Location::new(1, 2), true));
    assert_eq!(peer.answer().await, "1/0 1/1");

    // Whoever goes on with it has its past.
    let mut writer = publish(&relay);
    write(&mut writer, 2, 0..1);
    let id = fetch(&mut peer, (1, 1), (9, 0), GroupOrder::Ascending).await;
    assert_eq!(peer.fetch_ok(id).await, (Location::new(2, 1), false));
    assert_eq!(peer.answer().await, "1/1 2/0");
}

#[tokio::test]
async fn policies_say_what_is_kept_below_which_prefix() {
    let policy = |objects| CachePolicy {
        objects,
        ..CachePolicy::default()
    };
    let config = Config {
        cache: CacheLimits {
            policies: vec![
                (namespace("room"), policy(2)),
                (namespace("room/secret"), CachePolicy::NONE),
            ],
            ..CacheLimits::default()
        },
        ..Config::default()
    };
    let relay = relay_from(config, "127.0.0.1:0", Anyone, Limits::default());
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    for (path, expected) in [
        ("room", "?1/2 1/3 1/4"),
        ("room/secret", "?1/4"),
        ("elsewhere", "1/0 1/1 1/2 1/3 1/4"),
    ] {
        let name = track(path, "voice");
        let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
        write(&mut writer, 1, 0..5);
        let range = FetchRange::Standalone {
            track: name,
            start: Location::new(1, 0),
            end: Location::new(2, 0),
        };

        peer.fetch(range, Parameters::default()).await;

        assert_eq!(peer.answer().await, expected, "{path}");
    }
    assert_eq!(relay.relay.stats().cache_objects, 7);
}

#[tokio::test]
async fn a_slow_fetcher_costs_nobody_anything_and_gets_everything_in_the_end() {
    let relay = open_relay();
    let mut writer = publish(&relay);
    for id in 0..200 {
        let payload = Bytes::from(vec![u8::try_from(id).unwrap(); 50_000]);
        writer.write(object(1, id, payload)).unwrap();
    }
    let mut slow = Peer::deaf(relay.addr()).await;
    let mut listener = Peer::connect(relay.addr(), Via::Quic).await;
    listener.subscribed(&name(), Parameters::default()).await;

    let id = fetch(&mut slow, (1, 0), (1, 0), GroupOrder::Ascending).await;
    slow.fetch_ok(id).await;
    for id in 200..300 {
        writer.write(object(1, id, payload_of(1, id))).unwrap();
        let (_, got, _) = listener.object().await;
        assert_eq!(got, id);
    }

    slow.listen();
    let answer = slow.answer().await;
    assert_eq!(answer.split(' ').count(), 200);
    assert_eq!(relay.relay.stats().objects_dropped, 0);
}

#[tokio::test]
async fn a_fetch_can_be_cancelled_and_reprioritised_while_it_runs() {
    let relay = open_relay();
    let mut writer = publish(&relay);
    for id in 0..100 {
        writer
            .write(object(1, id, Bytes::from(vec![1; 50_000])))
            .unwrap();
    }
    let mut peer = Peer::deaf(relay.addr()).await;
    let id = fetch(&mut peer, (1, 0), (1, 0), GroupOrder::Ascending).await;
    peer.fetch_ok(id).await;

    let params = Parameters {
        subscriber_priority: Some(1),
        ..Parameters::default()
    };
    // Its answer is behind what the peer does not read.
    peer.machine.update(id, params).unwrap();
    peer.cancel(id).await;
    peer.listen();

    loop {
        match peer.fetched().await {
            Fetched::Item(..) => {}
            Fetched::Reset(got, code) => {
                assert_eq!((got, code), (id, ResetCode::Cancelled));
                break;
            }
            Fetched::Fin(_) => panic!("it went on"),
        }
    }
}

#[tokio::test]
async fn a_session_has_a_limited_number_of_fetches_at_a_time() {
    let limits = Limits {
        fetches: 2,
        ..Limits::default()
    };
    let relay = relay_with("127.0.0.1:0", Anyone, limits);
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    publisher.publish_namespace(&namespace("room")).await;
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let first = fetch(&mut peer, (0, 0), (1, 0), GroupOrder::Ascending).await;
    fetch(&mut peer, (0, 0), (1, 0), GroupOrder::Ascending).await;
    publisher.asked_to_fetch().await;

    let third = fetch(&mut peer, (0, 0), (1, 0), GroupOrder::Ascending).await;
    assert_eq!(peer.rejected(third).await, RequestCode::ExcessiveLoad);

    peer.cancel(first).await;
    let cancelled = |event| matches!(event, moqrelay_moqt::Event::Cancelled { .. }).then_some(());
    publisher.event_of(cancelled).await;
    fetch(&mut peer, (0, 0), (1, 0), GroupOrder::Ascending).await;
    publisher.asked_to_fetch().await;
}

#[tokio::test]
async fn all_tracks_together_keep_to_the_limit() {
    let config = Config {
        cache: CacheLimits {
            bytes: 1 << 20,
            ..CacheLimits::default()
        },
        ..Config::default()
    };
    let relay = relay_from(config, "127.0.0.1:0", Anyone, Limits::default());
    let mut small = relay
        .relay
        .publish(&track("room", "small"), Info::default())
        .unwrap();
    write(&mut small, 1, 0..10);
    let mut large = publish(&relay);
    for id in 0..1000 {
        large
            .write(object(1, id, Bytes::from(vec![0; 10_000])))
            .unwrap();
        assert!(relay.relay.stats().cache_bytes <= 1 << 20);
    }

    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let range = FetchRange::Standalone {
        track: track("room", "small"),
        start: Location::new(1, 0),
        end: Location::new(1, 0),
    };
    peer.fetch(range, Parameters::default()).await;
    assert_eq!(
        peer.answer().await,
        "1/0 1/1 1/2 1/3 1/4 1/5 1/6 1/7 1/8 1/9"
    );
    assert!(relay.relay.stats().cache_evictions > 800);
}

#[tokio::test]
async fn a_reader_in_the_process_can_begin_in_the_past() {
    let all = [1, 2, 3, 4].map(|group| [(group, 0), (group, 1)]).concat();
    for (start, past) in [
        (Start::Now, 0),
        (Start::Groups(0), 2),
        (Start::Groups(1), 4),
        (Start::Ago(Duration::from_secs(60)), 8),
        (Start::Ago(Duration::MAX), 8),
    ] {
        let relay = open_relay();
        let mut writer = publish(&relay);
        for group in 1..5 {
            write(&mut writer, group, 0..2);
        }
        let mut reader = relay.relay.subscribe_from(name(), start);
        write(&mut writer, 9, 0..1);

        let mut got = Vec::new();
        while got.len() < past + 1 {
            match soon(reader.next()).await {
                Some(Event::Object(object)) => got.push((object.group, object.id)),
                Some(Event::Began(_)) => {}
                other => panic!("{other:?}"),
            }
        }

        assert_eq!(got[..past], all[all.len() - past..], "{start:?}");
        assert_eq!(got[past..], [(9, 0)]);
        assert_eq!(reader.try_next(), None);
    }
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

fn name() -> FullTrackName {
    track("room", "voice")
}

fn publish(relay: &Running) -> Writer {
    relay.relay.publish(&name(), Info::default()).unwrap()
}

fn write(writer: &mut Writer, group: u64, ids: std::ops::Range<u64>) {
    for id in ids {
        writer
            .write(object(group, id, payload_of(group, id)))
            .unwrap();
    }
}

fn object(group: u64, id: u64, payload: Bytes) -> Object {
    Object {
        group,
        id,
        subgroup: Some(0),
        payload,
        ..Object::default()
    }
}

fn payload_of(group: u64, id: u64) -> Bytes {
    Bytes::from(format!("{group}/{id}"))
}

fn standalone(start: (u64, u64), end: (u64, u64)) -> FetchRange {
    FetchRange::Standalone {
        track: name(),
        start: Location::new(start.0, start.1),
        end: Location::new(end.0, end.1),
    }
}

async fn fetch(
    peer: &mut Peer,
    start: (u64, u64),
    end: (u64, u64),
    order: GroupOrder,
) -> RequestId {
    let params = Parameters {
        group_order: Some(order),
        ..Parameters::default()
    };
    peer.fetch(standalone(start, end), params).await
}

async fn join(peer: &mut Peer, subscription: RequestId, groups: u64) -> RequestId {
    let range = FetchRange::RelativeJoining {
        subscription,
        groups,
    };
    peer.fetch(range, Parameters::default()).await
}

/// A peer that publishes the track, another one, and a reader that hears what arrives.
async fn published(relay: &Running) -> (Peer, Peer, Reader) {
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    let options = PublishOptions {
        alias: Some(TrackAlias(1)),
        ..PublishOptions::default()
    };
    publisher.publish(&name(), options).await;
    let peer = Peer::connect(relay.addr(), Via::Quic).await;
    (publisher, peer, relay.relay.subscribe(name()))
}

/// Sends a group of two objects, and its end, on a stream of its own.
async fn send(publisher: &Peer, group: u64) {
    let header = SubgroupHeader {
        alias: TrackAlias(1),
        group,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties: false,
        end_of_group: false,
        first_object: true,
    };
    let mut stream = publisher.subgroup(header).await;
    stream.payload(0, payload_of(group, 0)).await;
    stream.payload(1, payload_of(group, 1)).await;
    let end = data::Object {
        id: 2,
        status: ObjectStatus::EndOfGroup,
        ..data::Object::default()
    };
    stream.object(end).await;
    stream.finish();
}

/// Waits until the relay has so many objects.
async fn hear(witness: &mut Reader, objects: usize) {
    let mut heard = 0;
    while heard < objects {
        let event = soon(witness.next()).await;
        heard += usize::from(matches!(event, Some(Event::Object(_))));
    }
}

/// Waits for an object of an answer.
async fn has_come(peer: &mut Peer, (group, object): (u64, u64)) {
    loop {
        if let Fetched::Item(_, FetchItem::Object(got)) = peer.fetched().await
            && got.location == Location::new(group, object)
        {
            return;
        }
    }
}
