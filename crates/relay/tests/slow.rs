//! A subscriber that does not keep up costs the others nothing.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{
    Anyone,
    gate::Gate,
    peer::{Arrived, Peer, Via},
    relay_from, soon, track, until,
};
use moqrelay_moqt::{Parameters, PublishDoneCode, ResetCode, TrackProperties};
use moqrelay_relay::{
    Config, Limits, TrackLimits,
    track::{Info, Object, Writer},
};

const GROUPS: u64 = 60;
const OBJECTS: u64 = 10;
const PAYLOAD: usize = 10_000;

#[tokio::test]
async fn a_slow_subscriber_does_not_slow_a_fast_one() {
    let limits = Limits {
        done_wait: Duration::from_millis(100),
        ..Limits::default()
    };
    let relay = relay_from(small(), "127.0.0.1:0", Anyone, limits);
    let name = track("slow", "video");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut deaf = Peer::deaf(relay.addr()).await;
    deaf.subscribed(&name, Parameters::default()).await;
    let mut fast = Peer::connect(relay.addr(), Via::WebTransport).await;
    fast.subscribed(&name, Parameters::default()).await;

    for group in 0..GROUPS {
        for id in 0..OBJECTS {
            write(&mut writer, group, id);
            let got = fast.object().await;
            assert_eq!((got.0, got.1, got.2.len()), (group, id, PAYLOAD));
        }
        writer.finish_group(group);
    }

    // The deaf one's connection took a few groups at most; the rest fell off the ring.
    let dropped = relay.relay.stats().objects_dropped;
    assert!(dropped > GROUPS * OBJECTS / 2, "{dropped} dropped");
    drop(writer);
    let (status, streams, _) = soon(deaf.publish_done()).await;
    assert_eq!(status, PublishDoneCode::TrackEnded);
    assert!(streams.unwrap() <= GROUPS + 1);
}

#[tokio::test]
async fn what_waits_for_a_session_is_seen() {
    let relay = relay_from(small(), "127.0.0.1:0", Anyone, Limits::default());
    let name = track("slow", "seen");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut deaf = Peer::deaf(relay.addr()).await;
    let (request, ..) = deaf.subscribed(&name, Parameters::default()).await;
    let waiting = || {
        let sessions = relay.relay.sessions(None, 1).items;
        let [view] = sessions.as_slice() else {
            panic!("one session: {sessions:?}");
        };
        (view.waiting_objects, view.waiting_bytes)
    };
    assert_eq!(waiting(), (0, 0));

    for id in 0..20 {
        write(&mut writer, 1, id);
    }
    until("something waits", || {
        let (objects, bytes) = waiting();
        objects > 1 && bytes > (objects - 1) * PAYLOAD as u64 && objects < 20
    })
    .await;

    deaf.cancel(request).await;
    until("nothing waits any more", || waiting() == (0, 0)).await;
}

#[tokio::test]
async fn objects_that_are_too_old_are_not_sent_and_their_stream_is_reset() {
    let relay = relay_from(Config::default(), "127.0.0.1:0", Anyone, Limits::default());
    let name = track("slow", "live");
    let properties = TrackProperties {
        object_delivery_timeout: Some(Duration::from_millis(100)),
        ..TrackProperties::default()
    };
    let info = Info {
        properties: properties.write(common::peer::D18),
    };
    let mut writer = relay.relay.publish(&name, info).unwrap();
    let mut deaf = Peer::deaf(relay.addr()).await;
    deaf.subscribed(&name, Parameters::default()).await;

    for group in 0..GROUPS {
        for id in 0..OBJECTS {
            write(&mut writer, group, id);
        }
        writer.finish_group(group);
    }

    // No ring has overflown: only the timeout drops anything.
    until("what could not be sent in time was given up", || {
        relay.relay.stats().objects_dropped > GROUPS * OBJECTS / 2
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_that_stops_a_stream_gets_no_more_of_that_subgroup() {
    let relay = relay_from(Config::default(), "127.0.0.1:0", Anyone, Limits::default());
    let name = track("slow", "stopped");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let session = soon(common::peer::connect(relay.addr(), Via::Quic)).await;
    let config = moqrelay_moqt::Config::new(
        common::peer::D18,
        moqrelay_moqt::Role::Client,
        moqrelay_moqt::Transport::Quic,
    );
    let mut peer = Peer::over(session, config).await;
    peer.subscribed(&name, Parameters::default()).await;
    let mut other = Peer::connect(relay.addr(), Via::Quic).await;
    let (request, _, _) = other.subscribed(&name, Parameters::default()).await;
    write(&mut writer, 1, 0);
    peer.object().await;
    other.object().await;

    // The whole subscription here; single streams are stopped by the same means.
    other.cancel(request).await;
    loop {
        if let Arrived::Reset(_, code) = other.arrived().await {
            assert_eq!(code, ResetCode::Cancelled);
            break;
        }
    }
    write(&mut writer, 1, 1);

    assert_eq!(peer.object().await.1, 1);
    assert_eq!(other.try_arrived(), None);
}

#[tokio::test]
async fn what_is_more_important_goes_first_when_not_everything_goes() {
    for (order, first) in [((200, 10), "late"), ((10, 200), "early")] {
        let relay = relay_from(Config::default(), "127.0.0.1:0", Anyone, Limits::default());
        let mut writers = ["early", "late"].map(|name| {
            let name = track("slow", name);
            relay.relay.publish(&name, Info::default()).unwrap()
        });
        let mut peer = Peer::deaf(relay.addr()).await;
        for (name, priority) in [("early", order.0), ("late", order.1)] {
            let params = Parameters {
                subscriber_priority: Some(priority),
                ..Parameters::default()
            };
            peer.subscribed(&track("slow", name), params).await;
        }

        for writer in &mut writers {
            for id in 0..20 {
                write(writer, 1, id);
            }
            writer.finish_group(1);
        }
        // The relay's tasks have not run since: all of it is there when the session looks.
        peer.listen();

        let mut ends = Vec::new();
        while ends.len() < 2 {
            match peer.arrived().await {
                Arrived::Fin(header) => ends.push(header.alias),
                Arrived::Object(..) | Arrived::Header(_) => {}
                other => panic!("{other:?}"),
            }
        }
        // The relay's aliases ascend in the order in which tracks became known.
        let expected = if first == "early" {
            ends[0] < ends[1]
        } else {
            ends[0] > ends[1]
        };
        assert!(expected, "{first} should have ended first");
    }
}

#[tokio::test]
async fn a_link_that_was_cut_brings_the_newest_voice_and_nobody_else_notices() {
    const VOICE: u64 = 300;
    let limits = Limits {
        // However long this machine takes.
        datagram_age: common::DEADLINE,
        ..Limits::default()
    };
    let relay = relay_from(Config::default(), "127.0.0.1:0", Anyone, limits);
    let name = track("slow", "voice");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let gate = Gate::to(relay.addr()).await;
    let mut slow = Peer::connect(gate.addr, Via::WebTransport).await;
    let mut fast = Peer::connect(relay.addr(), Via::WebTransport).await;
    for peer in [&mut slow, &mut fast] {
        peer.subscribed(&name, Parameters::default()).await;
    }
    say(&mut writer, 0);
    assert_eq!((slow.object().await.0, fast.object().await.0), (0, 0));

    gate.shut();
    for group in 1..=VOICE {
        say(&mut writer, group);
        assert_eq!(fast.object().await.0, group);
    }
    gate.open();

    let mut heard = vec![slow.object().await.0];
    while heard.last() != Some(&VOICE) {
        heard.push(slow.object().await.0);
    }
    assert!(heard.is_sorted(), "{heard:?}");
    // The last 64 KB waited; what had left the relay before them is lost or at most 30 KB.
    let newest: Vec<u64> = (VOICE - 60..=VOICE).collect();
    assert!(heard.ends_with(&newest), "{heard:?}");
    let dropped = relay.relay.stats().objects_dropped;
    assert!((150..VOICE).contains(&dropped), "{dropped} dropped");
}

#[tokio::test]
async fn voice_that_waits_for_too_long_is_dropped() {
    let limits = Limits {
        datagram_age: Duration::from_millis(20),
        ..Limits::default()
    };
    let relay = relay_from(Config::default(), "127.0.0.1:0", Anyone, limits);
    let name = track("slow", "stale");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let gate = Gate::to(relay.addr()).await;
    let mut slow = Peer::connect(gate.addr, Via::Quic).await;
    slow.subscribed(&name, Parameters::default()).await;

    gate.shut();
    for group in 0..60 {
        say(&mut writer, group);
    }

    // Nothing else is said, and less waits than may.
    until("what waited is dropped", || {
        relay.relay.stats().objects_dropped >= 20
    })
    .await;
    gate.open();
    let mut heard = Vec::new();
    soon(async {
        for group in 60.. {
            // Until the link is seen to be open, this too may wait for too long.
            say(&mut writer, group);
            let object = tokio::time::timeout(Duration::from_millis(20), slow.object());
            heard.extend(object.await.map(|(group, _, _)| group));
            if heard.last().is_some_and(|last| *last >= 60) {
                break;
            }
        }
    })
    .await;
    assert!(heard.iter().filter(|group| **group < 60).count() <= 40);
}

#[tokio::test]
async fn a_stream_that_is_blocked_for_too_long_is_reset_and_the_next_group_arrives() {
    let limits = Limits {
        backlog_age: Duration::from_millis(20),
        ..Limits::default()
    };
    let relay = relay_from(Config::default(), "127.0.0.1:0", Anyone, limits);
    let name = track("slow", "stalled");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut peer = Peer::deaf(relay.addr()).await;
    peer.subscribed(&name, Parameters::default()).await;

    for id in 0..20 {
        write(&mut writer, 0, id);
    }
    let mut group = 0;
    until("the old group is given up", || {
        group += 1;
        write(&mut writer, group, 0);
        relay.relay.stats().objects_dropped > 0
    })
    .await;
    peer.listen();

    // What the peer had not read of the old group is gone with its stream, and perhaps its header.
    write(&mut writer, group + 1, 0);
    let mut heard = Vec::new();
    while heard.last() != Some(&(group + 1, 0)) {
        let (group, id, _) = peer.object().await;
        heard.push((group, id));
    }
    let old = heard.iter().filter(|(group, _)| *group == 0).count();
    assert!(old < 20, "all of the old group arrived");
}

fn say(writer: &mut Writer, group: u64) {
    let object = Object {
        group,
        payload: vec![7; 1000].into(),
        ..Object::default()
    };
    writer.write(object).unwrap();
}

fn small() -> Config {
    Config {
        track: TrackLimits {
            entries: 32,
            ..TrackLimits::default()
        },
        ..Config::default()
    }
}

fn write(writer: &mut Writer, group: u64, id: u64) {
    let object = Object {
        group,
        subgroup: Some(0),
        id,
        payload: vec![7; PAYLOAD].into(),
        ..Object::default()
    };
    writer.write(object).unwrap();
}
