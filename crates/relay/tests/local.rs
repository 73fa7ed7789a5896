//! Readers and writers in the process, without a network.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{future::poll_fn, time::Duration};

use common::{soon, track};
use moqrelay_moqt::{PublishDoneCode, data::ObjectStatus};
use moqrelay_relay::{
    Config, Relay, TrackLimits,
    track::{Event, Info, Object, WriteError},
};

#[tokio::test]
async fn a_reader_hears_what_a_writer_writes() {
    let relay = Relay::new(Config::default());
    let name = track("room/1/p1", "audio");
    let info = Info {
        properties: vec![0x08, 0x01].into(),
    };
    let mut reader = relay.subscribe(name.clone());
    let mut writer = relay.publish(&name, info.clone()).unwrap();
    let sent = [
        object(1, None, 0),
        Object {
            priority: Some(4),
            properties: vec![0x10, 0x05].into(),
            ..object(1, Some(0), 1)
        },
        Object {
            status: ObjectStatus::EndOfGroup,
            payload: bytes::Bytes::new(),
            ..object(1, Some(7), 2)
        },
    ];

    for object in &sent {
        writer.write(object.clone()).unwrap();
    }
    drop(writer);

    assert_eq!(soon(reader.next()).await, Some(Event::Began(info)));
    for object in sent {
        assert_eq!(soon(reader.next()).await, Some(Event::Object(object)));
    }
    let Some(Event::Ended(ending)) = soon(reader.next()).await else {
        panic!("dropping the writer ends the track");
    };
    assert_eq!(ending.status, PublishDoneCode::TrackEnded);
    assert_eq!(reader.try_next(), None);
}

#[tokio::test]
async fn a_writer_is_woken_when_it_has_readers_and_when_it_has_none() {
    let relay = Relay::new(Config::default());
    let name = track("room/1/s1", "audio");
    let writer = relay.publish(&name, Info::default()).unwrap();
    let writer = &writer;
    let changed = |known| poll_fn(move |cx| writer.poll_read(known, cx));

    let (read, first) = soon(async {
        tokio::join!(biased; changed(false), async { relay.subscribe(name.clone()) })
    })
    .await;
    assert!(read);
    let second = relay.subscribe(name.clone());
    drop(first);
    assert!(writer.is_read(), "one is left");
    let (read, ()) =
        soon(async { tokio::join!(biased; changed(true), async { drop(second) }) }).await;

    assert!(!read);
}

#[tokio::test]
async fn a_reader_survives_its_publishers() {
    let relay = Relay::new(Config::default());
    let name = track("room/1/p1", "audio");
    let mut reader = relay.subscribe(name.clone());

    for group in 0..3 {
        let mut writer = relay.publish(&name, Info::default()).unwrap();
        writer.write(object(group, None, 0)).unwrap();
        drop(writer);

        assert!(matches!(soon(reader.next()).await, Some(Event::Began(_))));
        let got = soon(reader.next()).await;
        assert_eq!(got, Some(Event::Object(object(group, None, 0))));
        assert!(matches!(soon(reader.next()).await, Some(Event::Ended(_))));
    }
    drop(reader);
    assert_eq!(relay.stats().tracks, 0);
}

#[tokio::test]
async fn the_newest_writer_wins() {
    let relay = Relay::new(Config::default());
    let name = track("room/1/p1", "audio");
    let mut old = relay.publish(&name, Info::default()).unwrap();
    let mut reader = relay.subscribe(name.clone());
    let mut new = relay.publish(&name, Info::default()).unwrap();

    let refused = old.write(object(1, None, 0));
    new.write(object(2, None, 0)).unwrap();
    drop(old);

    assert_eq!(refused, Err(WriteError::Superseded));
    let mut heard = Vec::new();
    while let Some(event) = reader.try_next() {
        heard.push(event);
    }
    assert_eq!(
        heard.last(),
        Some(&Event::Object(object(2, None, 0))),
        "the older writer's end is not the track's"
    );
}

#[tokio::test]
async fn a_reader_that_is_too_slow_loses_the_oldest_and_knows_how_much() {
    let config = Config {
        track: TrackLimits {
            entries: 10,
            ..TrackLimits::default()
        },
        ..Config::default()
    };
    let relay = Relay::new(config);
    let name = track("room/1/p1", "audio");
    let mut writer = relay.publish(&name, Info::default()).unwrap();
    let mut slow = relay.subscribe(name.clone());
    let mut fast = relay.subscribe(name);
    assert!(matches!(slow.try_next(), Some(Event::Began(_))));
    assert!(matches!(fast.try_next(), Some(Event::Began(_))));

    for id in 0..100 {
        writer.write(object(1, None, id)).unwrap();
        assert_eq!(fast.try_next(), Some(Event::Object(object(1, None, id))));
    }

    assert_eq!(slow.try_next(), Some(Event::Lost { entries: 90 }));
    for id in 90..100 {
        assert_eq!(slow.try_next(), Some(Event::Object(object(1, None, id))));
    }
    assert_eq!(slow.try_next(), None);
}

#[tokio::test]
async fn a_track_is_bounded_in_bytes_and_age() {
    let config = Config {
        track: TrackLimits {
            entries: 1000,
            bytes: 10_000,
            age: Duration::ZERO,
        },
        ..Config::default()
    };
    let relay = Relay::new(config);
    let name = track("room/1/p1", "video");
    let mut writer = relay.publish(&name, Info::default()).unwrap();
    let mut reader = relay.subscribe(name);
    assert!(matches!(reader.try_next(), Some(Event::Began(_))));

    for id in 0..20 {
        let large = Object {
            payload: vec![0; 4000].into(),
            ..object(1, Some(0), id)
        };
        writer.write(large).unwrap();
    }

    let Some(Event::Lost { entries }) = reader.try_next() else {
        panic!("most of it is gone");
    };
    assert!(entries >= 18, "{entries}");
}

#[tokio::test]
async fn a_relay_knows_no_more_tracks_than_it_may() {
    let config = Config {
        tracks: 2,
        ..Config::default()
    };
    let relay = Relay::new(config);
    let _first = relay.publish(&track("a", "1"), Info::default()).unwrap();
    let mut second = relay.subscribe(track("a", "2"));

    let third = relay.publish(&track("a", "3"), Info::default());
    let mut fourth = relay.subscribe(track("a", "4"));

    assert!(third.is_err());
    assert_eq!(soon(fourth.next()).await, None);
    assert_eq!(second.try_next(), None);
    assert_eq!(relay.stats().tracks, 2);
}

#[tokio::test]
async fn objects_that_contradict_themselves_are_refused() {
    let relay = Relay::new(Config::default());
    let name = track("room/1/p1", "audio");
    let mut writer = relay.publish(&name, Info::default()).unwrap();
    let contradiction = Object {
        status: ObjectStatus::EndOfTrack,
        ..object(1, None, 0)
    };

    let refused = writer.write(contradiction);
    writer.write(object(1, Some(0), 5)).unwrap();
    let backwards = writer.write(object(1, Some(0), 5));

    assert!(matches!(refused, Err(WriteError::Invalid(_))));
    assert!(matches!(backwards, Err(WriteError::Invalid(_))));
}

fn object(group: u64, subgroup: Option<u64>, id: u64) -> Object {
    Object {
        group,
        subgroup,
        id,
        payload: format!("{group}/{id}").into(),
        ..Object::default()
    }
}
