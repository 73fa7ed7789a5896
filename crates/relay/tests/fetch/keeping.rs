//! What is kept, for how long, and what a reader of it may cost.

use std::time::Duration;

use bytes::Bytes;
use moqrelay_moqt::{FetchRange, GroupOrder, Location, Parameters, RequestCode, ResetCode};
use moqrelay_relay::{
    CacheLimits, CachePolicy, Config, Limits,
    track::{Event, Info, Start},
};

use super::{
    common::{
        Anyone, namespace, open_relay,
        peer::{Fetched, Peer, Via},
        relay_from, relay_with, soon, track,
    },
    fetch, name, object, payload_of, publish, write,
};

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
