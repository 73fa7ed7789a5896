//! Several publishers of one track are heard as one, and one that contradicts itself is not heard.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::Bytes;
use common::{
    Running, namespace, open_relay,
    peer::{Arrived, BOTH, D18, Peer, Via},
    relay_with, track, until,
};
use moqrelay_moqt::{
    Event, FullTrackName, KeyValueEncoder, Parameters, PublishDoneCode, PublishOptions, Redirect,
    RequestCode, RequestError, RequestId, ResetCode, SubscribeAnswer, TrackAlias, TrackProperties,
    data::{ObjectDatagram, ObjectStatus, SubgroupHeader, SubgroupId},
};
use moqrelay_relay::{
    Limits,
    track::{self, Info},
};

#[tokio::test]
async fn a_hand_over_between_sessions_loses_and_doubles_nothing() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("room/a/p1", "audio");
        let mut old = Peer::connect(relay.addr(), via).await;
        let (first, old_alias) = old.publish(&name, PublishOptions::default()).await;
        let mut subscriber = Peer::connect(relay.addr(), via).await;
        subscriber.subscribed(&name, Parameters::default()).await;
        old.datagram(&datagram(old_alias, 7, 0));
        assert_eq!(subscriber.object().await.1, 0);

        let mut new = Peer::connect(relay.addr(), via).await;
        let (_, alias) = new.publish(&name, PublishOptions::default()).await;
        for id in 1..6 {
            old.datagram(&datagram(old_alias, 7, id));
            assert_eq!(subscriber.object().await.1, id);
            new.datagram(&datagram(alias, 7, id));
        }
        until("what was doubled is left out", || {
            relay.relay.stats().objects_repeated == 5
        })
        .await;
        old.done(first, 0).await;
        for id in 6..9 {
            new.datagram(&datagram(alias, 7, id));
            assert_eq!(subscriber.object().await.1, id);
        }

        assert_eq!(subscriber.try_arrived(), None);
    }
}

#[tokio::test]
async fn two_publishers_of_a_subgroup_fill_one_stream() {
    let relay = open_relay();
    let name = track("room/b/p1", "video");
    let mut old = Peer::connect(relay.addr(), Via::Quic).await;
    let (_, old_alias) = old.publish(&name, PublishOptions::default()).await;
    let mut new = Peer::connect(relay.addr(), Via::Quic).await;
    let (_, alias) = new.publish(&name, PublishOptions::default()).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    subscriber.subscribed(&name, Parameters::default()).await;

    let mut one = old.subgroup(header(old_alias, 3)).await;
    for id in 0..3 {
        one.payload(id, payload(id)).await;
        assert_eq!(subscriber.object().await, (3, id, payload(id)));
    }
    let mut other = new.subgroup(header(alias, 3)).await;
    for id in 1..5 {
        other.payload(id, payload(id)).await;
    }
    for id in 3..5 {
        assert_eq!(subscriber.object().await, (3, id, payload(id)));
    }
    one.reset(ResetCode::GoingAway);
    other.payload(5, payload(5)).await;
    other.finish();

    assert_eq!(subscriber.object().await, (3, 5, payload(5)));
    let Arrived::Fin(ended) = subscriber.arrived().await else {
        panic!("the stream ends well, for nothing is missing on it");
    };
    assert!(ended.first_object);
    assert_eq!(subscriber.try_arrived(), None, "there was one stream");
}

#[tokio::test]
async fn who_comes_back_and_counts_from_the_beginning_is_heard_at_once() {
    let relay = open_relay();
    let name = track("room/c/p1", "audio");
    let mut dead = Peer::connect(relay.addr(), Via::Quic).await;
    let (_, old_alias) = dead.publish(&name, PublishOptions::default()).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    subscriber.subscribed(&name, Parameters::default()).await;
    for id in 0..3 {
        dead.datagram(&datagram(old_alias, 0, id));
        subscriber.object().await;
    }

    let mut back = Peer::connect(relay.addr(), Via::Quic).await;
    let (_, alias) = back.publish(&name, PublishOptions::default()).await;
    for id in 0..3 {
        let object = ObjectDatagram {
            payload: "new voice".into(),
            ..datagram(alias, 0, id)
        };
        back.datagram(&object);
        assert_eq!(subscriber.object().await, (0, id, "new voice".into()));
    }
    dead.datagram(&datagram(old_alias, 0, 3));

    dead.event_of(|event| matches!(event, Event::Cancelled { .. }).then_some(()))
        .await;
    back.datagram(&datagram(alias, 0, 3));
    assert_eq!(subscriber.object().await.1, 3);
}

#[tokio::test]
async fn the_fifth_publisher_of_a_track_pushes_the_first_out() {
    let relay = open_relay();
    let name = track("room/d/p1", "audio");
    let mut publishers = Vec::new();
    for _ in 0..5 {
        let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
        publisher.publish(&name, PublishOptions::default()).await;
        publishers.push(publisher);
    }

    let cancelled = publishers[0]
        .event_of(|event| match event {
            Event::Cancelled { code, .. } => Some(code),
            _ => None,
        })
        .await;

    assert_eq!(cancelled, Some(ResetCode::Cancelled));
    assert_eq!(relay.relay.tracks(None, 1).items[0].publishers, 4);
}

#[tokio::test]
async fn a_writer_of_this_process_takes_a_track_from_sessions() {
    let relay = open_relay();
    let name = track("room/e/p1", "audio");
    let mut session = Peer::connect(relay.addr(), Via::Quic).await;
    session.publish(&name, PublishOptions::default()).await;

    let _writer = relay.relay.publish(&name, Info::default()).unwrap();

    session
        .event_of(|event| matches!(event, Event::Cancelled { .. }).then_some(()))
        .await;
}

#[tokio::test]
async fn what_contradicts_itself_is_malformed_and_ends_for_its_subscribers() {
    type Sends = (&'static str, fn(TrackAlias) -> [ObjectDatagram; 2]);
    let stories: [Sends; 6] = [
        ("other contents at the same place", |alias| {
            let other = ObjectDatagram {
                payload: "other".into(),
                ..datagram(alias, 1, 0)
            };
            [datagram(alias, 1, 0), other]
        }),
        ("an object after the end of its group", |alias| {
            let last = ObjectDatagram {
                end_of_group: true,
                ..datagram(alias, 1, 3)
            };
            [last, datagram(alias, 1, 4)]
        }),
        ("an object after the end of the track", |alias| {
            [
                mark(alias, 1, ObjectStatus::EndOfTrack),
                datagram(alias, 1, 7),
            ]
        }),
        ("the end of a group before its objects", |alias| {
            [
                datagram(alias, 1, 9),
                mark(alias, 1, ObjectStatus::EndOfGroup),
            ]
        }),
        ("a group that was said not to exist", |alias| {
            [gap(alias, 9, 0x3c, 3), datagram(alias, 8, 0)]
        }),
        ("an object that was said not to exist", |alias| {
            let mut object = gap(alias, 9, 0x3e, 3);
            object.id = 5;
            [object, datagram(alias, 9, 3)]
        }),
    ];
    let relay = open_relay();
    for (index, (story, sends)) in stories.into_iter().enumerate() {
        let name = track("room/f", &index.to_string());
        let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
        let (request, alias) = publisher.publish(&name, PublishOptions::default()).await;
        let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
        subscriber.subscribed(&name, Parameters::default()).await;
        let [good, bad] = sends(alias);

        publisher.datagram(&good);
        subscriber.arrived().await;
        publisher.datagram(&bad);

        let (status, ..) = subscriber.publish_done().await;
        assert_eq!(status, PublishDoneCode::MalformedTrack, "{story}");
        let cancelled = publisher
            .event_of(|event| match event {
                Event::Cancelled { id, code } => Some((id, code)),
                _ => None,
            })
            .await;
        assert_eq!(
            cancelled,
            (request, Some(ResetCode::MalformedTrack)),
            "{story}"
        );
        assert_eq!(subscriber.try_arrived(), None, "{story}");
        publisher.publish_namespace(&namespace("lives/on")).await;
    }
}

#[tokio::test]
async fn streams_that_contradict_themselves_are_malformed() {
    type Streams = [(SubgroupHeader, &'static [u64], bool); 2];
    type Story = (&'static str, fn(TrackAlias) -> Streams);
    let stories: [Story; 5] = [
        ("an object after its subgroup's end", |alias| {
            [
                (header(alias, 1), &[0, 1], true),
                (header(alias, 1), &[2], false),
            ]
        }),
        ("two ends of a subgroup", |alias| {
            let repeated: &[u64] = &[0];
            [
                (header(alias, 1), &[0, 1], true),
                (header(alias, 1), repeated, true),
            ]
        }),
        ("two priorities of a subgroup", |alias| {
            let of = |priority| SubgroupHeader {
                priority: Some(priority),
                ..header(alias, 1)
            };
            [(of(1), &[0], false), (of(2), &[1], false)]
        }),
        ("an object after a group that a stream ended", |alias| {
            let last = SubgroupHeader {
                end_of_group: true,
                ..header(alias, 1)
            };
            let other = SubgroupHeader {
                subgroup: SubgroupId::Explicit(1),
                ..header(alias, 1)
            };
            [(last, &[0], true), (other, &[1], false)]
        }),
        ("one object in two subgroups", |alias| {
            let other = SubgroupHeader {
                subgroup: SubgroupId::Explicit(1),
                ..header(alias, 1)
            };
            [(header(alias, 1), &[0], false), (other, &[0], false)]
        }),
    ];
    let relay = open_relay();
    for (index, (story, streams)) in stories.into_iter().enumerate() {
        let name = track("room/g", &index.to_string());
        let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
        let (_, alias) = publisher.publish(&name, PublishOptions::default()).await;
        let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
        subscriber.subscribed(&name, Parameters::default()).await;

        let mut kept = Vec::new();
        for (index, (header, objects, fin)) in streams(alias).into_iter().enumerate() {
            let mut stream = publisher.subgroup(header).await;
            for id in objects {
                stream.payload(*id, payload(*id)).await;
            }
            if index == 0 {
                for _ in objects {
                    subscriber.object().await;
                }
            }
            if fin {
                stream.finish();
                if index == 0 {
                    while !matches!(subscriber.arrived().await, Arrived::Fin(_)) {}
                }
            } else {
                kept.push(stream);
            }
        }

        let (status, ..) = subscriber.publish_done().await;
        assert_eq!(status, PublishDoneCode::MalformedTrack, "{story}");
    }
}

#[tokio::test]
async fn of_two_publishers_only_the_one_that_contradicts_is_lost() {
    let relay = open_relay();
    let name = track("room/h/p1", "audio");
    let mut bad = Peer::connect(relay.addr(), Via::Quic).await;
    let (_, bad_alias) = bad.publish(&name, PublishOptions::default()).await;
    let mut good = Peer::connect(relay.addr(), Via::Quic).await;
    let (_, alias) = good.publish(&name, PublishOptions::default()).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    subscriber.subscribed(&name, Parameters::default()).await;
    good.datagram(&datagram(alias, 1, 0));
    subscriber.object().await;

    let other = ObjectDatagram {
        payload: "other".into(),
        ..datagram(bad_alias, 1, 0)
    };
    bad.datagram(&other);
    let cancelled = bad
        .event_of(|event| match event {
            Event::Cancelled { code, .. } => Some(code),
            _ => None,
        })
        .await;
    assert_eq!(cancelled, Some(ResetCode::MalformedTrack));
    good.datagram(&datagram(alias, 1, 1));

    assert_eq!(subscriber.object().await.1, 1);
}

#[tokio::test]
async fn a_publisher_forwards_only_while_someone_listens() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("room/i/p1", "audio");
        let mut publisher = Peer::connect(relay.addr(), via).await;
        let (_, forward) = publish(&mut publisher, &name).await;
        assert_eq!(forward, Some(false));
        let mut subscriber = Peer::connect(relay.addr(), via).await;
        let quiet = Parameters {
            forward: Some(false),
            ..Parameters::default()
        };

        let (id, ..) = subscriber.subscribed(&name, quiet).await;
        let listen = Parameters {
            forward: Some(true),
            ..Parameters::default()
        };
        subscriber.update(id, listen).await;
        assert!(forward_event(&mut publisher).await);
        subscriber.cancel(id).await;
        assert!(!forward_event(&mut publisher).await);
        let _reader = relay.relay.subscribe(name.clone());
        assert!(forward_event(&mut publisher).await);
    }
}

#[tokio::test]
async fn a_publisher_that_is_waited_for_forwards_at_once() {
    let relay = open_relay();
    let name = track("room/j/p1", "audio");
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    let patient = Parameters {
        rendezvous_timeout: Some(common::DEADLINE),
        ..Parameters::default()
    };
    subscriber.subscribe(&name, patient).await;
    until("it waits", || relay.relay.stats().subscriptions == 1).await;

    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    let (_, forward) = publish(&mut publisher, &name).await;

    assert_eq!(forward, Some(true));
}

#[tokio::test]
async fn a_second_publisher_is_told_what_the_first_one_was() {
    let relay = open_relay();
    let name = track("room/k/p1", "audio");
    let mut first = Peer::connect(relay.addr(), Via::Quic).await;
    publish(&mut first, &name).await;
    let mut second = Peer::connect(relay.addr(), Via::Quic).await;
    publish(&mut second, &name).await;

    let _reader = relay.relay.subscribe(name.clone());

    assert!(forward_event(&mut first).await);
    assert!(forward_event(&mut second).await);
}

#[tokio::test]
async fn a_wish_for_a_new_group_reaches_a_writer_of_this_process() {
    let relay = open_relay();
    let name = track("room/l/p1", "video");
    let properties = TrackProperties {
        dynamic_groups: true,
        ..TrackProperties::default()
    };
    let info = Info {
        properties: properties.write(D18),
    };
    let mut writer = relay.relay.publish(&name, info).unwrap();
    let object = track::Object {
        group: 4,
        payload: "key frame".into(),
        ..track::Object::default()
    };
    writer.write(object).unwrap();
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    let (id, ..) = subscriber.subscribed(&name, Parameters::default()).await;
    let wish = |group| Parameters {
        new_group_request: Some(group),
        ..Parameters::default()
    };

    subscriber.update(id, wish(4)).await; // It has begun already.
    subscriber.update(id, wish(5)).await;

    assert_eq!(common::soon(writer.new_group_wanted()).await, 5);
    assert_eq!(writer.take_new_group_wish(), None);
}

#[tokio::test]
async fn a_publisher_that_does_not_answer_is_given_up_for_the_next() {
    let relay = impatient();
    let name = track("room/m/p1", "audio");
    let mut slow = Peer::connect(relay.addr(), Via::Quic).await;
    let mut other = Peer::connect(relay.addr(), Via::Quic).await;
    other.publish_namespace(&namespace("room/m")).await;
    slow.publish_namespace(&namespace("room/m")).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;

    subscriber.subscribe(&name, Parameters::default()).await;
    let asked = slow
        .event_of(|event| match event {
            Event::Subscribe { id, .. } => Some(id),
            _ => None,
        })
        .await;
    other.serve(SubscribeAnswer::default()).await;

    let given_up = slow
        .event_of(|event| match event {
            Event::Cancelled { id, .. } => Some(id),
            _ => None,
        })
        .await;
    assert_eq!(given_up, asked);
    subscriber
        .event_of(|event| matches!(event, Event::SubscribeOk { .. }).then_some(()))
        .await;
}

#[tokio::test]
async fn without_another_publisher_the_subscriber_hears_that_it_took_too_long() {
    let relay = impatient();
    let mut slow = Peer::connect(relay.addr(), Via::Quic).await;
    slow.publish_namespace(&namespace("room/n")).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;

    let name = track("room/n", "audio");
    let id = subscriber.subscribe(&name, Parameters::default()).await;

    assert_eq!(subscriber.rejected(id).await, RequestCode::Timeout);
}

#[tokio::test]
async fn an_offer_that_is_not_answered_is_taken_back() {
    let relay = impatient();
    let mut watcher = Peer::connect(relay.addr(), Via::Quic).await;
    let watch = watcher
        .machine
        .subscribe_tracks(namespace("room"), Parameters::default())
        .unwrap();
    watcher.flush().await;
    watcher.accepted(watch).await;

    let _writer = relay.relay.publish(&track("room", "o"), Info::default());
    let offered = watcher
        .event_of(|event| match event {
            Event::Publish { id, .. } => Some(id),
            _ => None,
        })
        .await;

    let taken_back = watcher
        .event_of(|event| match event {
            Event::Cancelled { id, .. } => Some(id),
            _ => None,
        })
        .await;
    assert_eq!(taken_back, offered);
    until("nothing is left of it", || {
        relay.relay.stats().subscriptions == 0
    })
    .await;
}

#[tokio::test]
async fn a_publisher_that_says_goaway_is_asked_for_nothing_more_and_what_it_serves_goes_on() {
    for via in BOTH {
        let relay = open_relay();
        let mut publisher = Peer::connect(relay.addr(), via).await;
        publisher.publish_namespace(&namespace("room/p")).await;
        let mut subscriber = Peer::connect(relay.addr(), via).await;
        let name = track("room/p", "audio");
        subscriber.subscribe(&name, Parameters::default()).await;
        let (_, alias, _) = publisher.serve(SubscribeAnswer::default()).await;

        publisher
            .machine
            .goaway("", std::time::Duration::ZERO, std::time::Duration::ZERO)
            .unwrap();
        publisher.flush().await;
        let other = track("room/p", "video");
        loop {
            let id = subscriber.subscribe(&other, Parameters::default()).await;
            match answer(&mut subscriber, id).await {
                Some(RequestCode::DoesNotExist) => break,
                other => assert_eq!(other, Some(RequestCode::GoingAway), "it was on its way"),
            }
        }
        publisher.datagram(&datagram(alias, 1, 0));

        assert_eq!(subscriber.object().await.0, 1);
    }
}

#[tokio::test]
async fn a_subscriber_that_says_goaway_is_offered_nothing_more() {
    let relay = open_relay();
    let mut watcher = Peer::connect(relay.addr(), Via::Quic).await;
    let watch = watcher
        .machine
        .subscribe_tracks(namespace("room"), Parameters::default())
        .unwrap();
    watcher.flush().await;
    watcher.accepted(watch).await;
    watcher
        .machine
        .goaway("", std::time::Duration::ZERO, std::time::Duration::ZERO)
        .unwrap();
    watcher.flush().await;
    // Its answer comes after what was said before.
    watcher.publish_namespace(&namespace("elsewhere")).await;
    let name = track("room", "q");

    let _writer = relay.relay.publish(&name, Info::default()).unwrap();

    let blocked = watcher
        .event_of(|event| match event {
            Event::PublishBlocked { name, .. } => Some(name),
            Event::Publish { .. } => panic!("it is leaving"),
            _ => None,
        })
        .await;
    assert_eq!(blocked, "q");
}

#[tokio::test]
async fn a_request_that_a_publisher_wants_moved_is_asked_of_another_one() {
    let relay = open_relay();
    let mut other = Peer::connect(relay.addr(), Via::Quic).await;
    other.publish_namespace(&namespace("room/r")).await;
    let mut leaver = Peer::connect(relay.addr(), Via::Quic).await;
    leaver.publish_namespace(&namespace("room")).await;
    let moved = leaver.publish_namespace(&namespace("room/r")).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    let name = track("room/r", "audio");
    subscriber.subscribe(&name, Parameters::default()).await;
    let (request, ..) = leaver.serve(SubscribeAnswer::default()).await;
    leaver.cancel(moved).await;

    leaver
        .machine
        .goaway_request(request, "", common::DEADLINE, std::time::Duration::ZERO)
        .unwrap();
    leaver.flush().await;
    let (_, alias, _) = other.serve(SubscribeAnswer::default()).await;
    other.datagram(&datagram(alias, 1, 0));

    assert_eq!(subscriber.object().await.0, 1);
}

#[tokio::test]
async fn a_subscriber_that_wants_its_request_moved_is_let_go() {
    let relay = open_relay();
    let name = track("room/s", "audio");
    let _writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    let (id, ..) = subscriber.subscribed(&name, Parameters::default()).await;

    subscriber
        .machine
        .goaway_request(id, "", common::DEADLINE, std::time::Duration::ZERO)
        .unwrap();
    subscriber.flush().await;

    let (status, ..) = subscriber.publish_done().await;
    assert_eq!(status, PublishDoneCode::GoingAway);
}

#[tokio::test]
async fn a_redirect_of_the_only_publisher_is_passed_on() {
    let relay = open_relay();
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    publisher.publish_namespace(&namespace("room/t")).await;
    let mut subscriber = Peer::connect(relay.addr(), Via::Quic).await;
    let asked = subscriber
        .subscribe(&track("room/t", "old"), Parameters::default())
        .await;
    let id = publisher
        .event_of(|event| match event {
            Event::Subscribe { id, .. } => Some(id),
            _ => None,
        })
        .await;
    let mut error = RequestError::new(RequestCode::Redirect, "it has another name");
    error.redirect = Some(Redirect {
        uri: Bytes::new(),
        track: Some(track("room/t", "new")),
    });

    publisher.machine.reject(id, error).unwrap();
    publisher.flush().await;

    let got = subscriber
        .event_of(|event| match event {
            Event::Rejected { id, error } if id == asked => Some(error),
            _ => None,
        })
        .await;
    assert_eq!(got.code, RequestCode::Redirect);
    assert_eq!(got.redirect.unwrap().track, Some(track("room/t", "new")));
}

/// A relay that waits for answers only as long as loopback needs.
fn impatient() -> Running {
    let limits = Limits {
        answer: std::time::Duration::from_millis(100),
        ..Limits::default()
    };
    relay_with("127.0.0.1:0", common::Anyone, limits)
}

/// Publishes, and returns what the answer says about forwarding.
async fn publish(peer: &mut Peer, name: &FullTrackName) -> (RequestId, Option<bool>) {
    let (id, _) = peer
        .machine
        .publish(name.clone(), PublishOptions::default())
        .unwrap();
    peer.flush().await;
    let (params, _) = peer.accepted(id).await;
    (id, params.forward)
}

/// Waits for an update of the forwarding, and agrees.
async fn forward_event(peer: &mut Peer) -> bool {
    let (id, forward) = peer
        .event_of(|event| match event {
            Event::Update { id, params, .. } => Some((id, params.forward.unwrap())),
            _ => None,
        })
        .await;
    peer.machine
        .accept_update(id, Parameters::default())
        .unwrap();
    peer.flush().await;
    forward
}

/// Waits for the answer to a SUBSCRIBE; `None`: it was accepted.
async fn answer(peer: &mut Peer, wanted: RequestId) -> Option<RequestCode> {
    peer.event_of(|event| match event {
        Event::Rejected { id, error } if id == wanted => Some(Some(error.code)),
        Event::SubscribeOk { id, .. } if id == wanted => Some(None),
        _ => None,
    })
    .await
}

fn datagram(alias: TrackAlias, group: u64, id: u64) -> ObjectDatagram {
    ObjectDatagram {
        alias,
        group,
        id,
        priority: None,
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: Bytes::new(),
        payload: payload(id),
    }
}

/// Says that from object 5 of a group on there are none.
fn mark(alias: TrackAlias, group: u64, status: ObjectStatus) -> ObjectDatagram {
    ObjectDatagram {
        status,
        payload: Bytes::new(),
        ..datagram(alias, group, 5)
    }
}

/// Says that so many groups (0x3c) or objects (0x3e) before it do not exist.
fn gap(alias: TrackAlias, group: u64, property: u64, missing: u64) -> ObjectDatagram {
    let mut properties = KeyValueEncoder::new(D18);
    properties.int(property, missing).unwrap();
    ObjectDatagram {
        properties: properties.finish(),
        ..datagram(alias, group, 0)
    }
}

fn payload(id: u64) -> Bytes {
    format!("voice {id}").into()
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
