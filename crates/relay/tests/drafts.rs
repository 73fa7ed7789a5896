//! Peers of different drafts meet in the relay: what one publishes the other hears.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{
    Running, namespace,
    peer::{Arrived, BOTH, Peer, Via, url, web_transport},
    relay_of_every_draft, track,
};
use moqrelay_moqt::{
    Draft, Event, Filter, FullTrackName, GroupOrder, KeyValue, KeyValueEncoder, KeyValues,
    Location, Parameters, PublishDoneCode, PublishOptions, RequestCode, RequestId, ResetCode,
    SubscribeAnswer, TrackAlias, TrackProperties,
    data::{Object, ObjectDatagram, ObjectStatus, SubgroupHeader, SubgroupId},
};
use web_transport_quinn as wt;

const DRAFTS: [Draft; 4] = [Draft::D19, Draft::D18, Draft::D16, Draft::D14];

#[tokio::test]
async fn subgroups_cross_drafts_whole() {
    let relay = relay_of_every_draft();
    for (from, to) in pairs() {
        let (publisher, mut subscriber, alias) = meet(&relay, from, to).await;
        for header in headers(alias) {
            let mut objects = objects(from, header.properties);
            if header.end_of_group {
                objects.pop(); // The end is said once.
            }
            let mut stream = publisher.subgroup(header).await;
            for object in &objects {
                stream.object(object.clone()).await;
            }
            stream.finish();

            let Arrived::Header(got) = subscriber.arrived().await else {
                panic!("{from:?} to {to:?}: the header comes first");
            };
            assert_eq!((got.group, got.subgroup), (header.group, header.subgroup));
            assert_eq!(got.end_of_group, header.end_of_group);
            assert_eq!(got.properties, header.properties);
            assert_eq!(got.priority, priority(from, to, header.priority));
            for object in objects {
                let Arrived::Object(_, heard) = subscriber.arrived().await else {
                    panic!("{from:?} to {to:?}: an object");
                };
                let plain = |object: &Object| (object.id, object.status, object.payload.clone());
                assert_eq!(plain(&heard), plain(&object), "{from:?} to {to:?}");
                assert_eq!(
                    values(to, &heard.properties),
                    values(from, &object.properties),
                    "{from:?} to {to:?}"
                );
            }
            assert_eq!(subscriber.arrived().await, Arrived::Fin(got));
        }
    }
}

#[tokio::test]
async fn datagrams_cross_drafts_whole() {
    let relay = relay_of_every_draft();
    for (from, to) in pairs() {
        let (publisher, mut subscriber, alias) = meet(&relay, from, to).await;
        let object = |id, priority, properties: Bytes, payload: &[u8]| ObjectDatagram {
            alias,
            group: 7,
            id,
            priority,
            end_of_group: false,
            status: ObjectStatus::Normal,
            properties,
            payload: Bytes::copy_from_slice(payload),
        };
        let sent = [
            object(0, Some(3), Bytes::new(), b"first"),
            object(1, None, properties(from), b""),
            ObjectDatagram {
                end_of_group: true,
                ..object(2, Some(255), properties(from), &[9; 900])
            },
            ObjectDatagram {
                status: ObjectStatus::EndOfTrack,
                ..object(3, None, Bytes::new(), b"")
            },
        ];
        for object in &sent {
            publisher.datagram(object);
        }
        for object in &sent {
            let Arrived::Datagram(got) = subscriber.arrived().await else {
                panic!("a datagram stays a datagram");
            };
            let expected = ObjectDatagram {
                alias: got.alias,
                priority: priority(from, to, object.priority),
                properties: got.properties.clone(),
                ..object.clone()
            };
            assert_eq!(got, expected, "{from:?} to {to:?}");
            assert_eq!(
                values(to, &got.properties),
                values(from, &object.properties)
            );
        }
    }
}

#[tokio::test]
async fn who_joins_within_a_subgroup_hears_the_rest_in_any_draft() {
    for (from, to) in pairs() {
        // A relay for each: the track has the same name.
        let relay = relay_of_every_draft();
        let (publisher, mut witness, alias) = meet(&relay, from, Draft::D18).await;
        let mut stream = publisher.subgroup(plain(alias, 1, SubgroupId::Zero)).await;
        stream.payload(0, "early").await;
        witness.object().await;
        let mut late = Peer::of(to, relay.addr(), Via::Quic).await;
        let name = met(from, Draft::D18);
        let (_, params, _) = late.subscribed(&name, Parameters::default()).await;
        assert_eq!(params.largest_object, Some(Location::new(1, 0)));

        stream.payload(1, "on").await;
        stream.payload(5, "time").await;

        assert_eq!(
            late.object().await,
            (1, 1, "on".into()),
            "{from:?} to {to:?}"
        );
        assert_eq!(late.object().await, (1, 5, "time".into()));
        stream.reset(ResetCode::Cancelled);
        loop {
            if let Arrived::Reset(_, code) = late.arrived().await {
                assert_eq!(code, ResetCode::Cancelled);
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_publisher_is_asked_in_its_own_draft() {
    let relay = relay_of_every_draft();
    for (from, to) in pairs() {
        let mut publisher = Peer::of(from, relay.addr(), Via::Quic).await;
        publisher
            .publish_namespace(&namespace("drafts/asked"))
            .await;
        let mut subscriber = Peer::of(to, relay.addr(), Via::Quic).await;
        let name = track("drafts/asked", "audio");
        let wanted = subscriber
            .subscribe(
                &name,
                Parameters {
                    filter: Some(Filter::NextGroupStart),
                    group_order: Some(GroupOrder::Descending),
                    ..Parameters::default()
                },
            )
            .await;

        let said = TrackProperties {
            cache_duration_max: Some(Duration::from_secs(60)),
            object_delivery_timeout: Some(Duration::from_secs(5)),
            group_order: GroupOrder::Descending,
            ..TrackProperties::default()
        };
        let answer = SubscribeAnswer {
            params: Parameters {
                largest_object: Some(Location::new(4, 2)),
                ..Parameters::default()
            },
            properties: said.write(from),
            ..SubscribeAnswer::default()
        };
        let (asked, alias, heard) = publisher.serve(answer).await;
        assert_eq!(heard, name);
        let (largest, raw) = subscriber
            .event_of(|event| match event {
                Event::SubscribeOk {
                    id,
                    params,
                    properties,
                    ..
                } if id == wanted => Some((params.largest_object, properties)),
                _ => None,
            })
            .await;
        assert_eq!(largest, Some(Location::new(4, 2)));
        assert_eq!(
            TrackProperties::read(to, &raw),
            Ok(said),
            "{from:?} to {to:?}"
        );
        let mut stream = publisher.subgroup(plain(alias, 5, SubgroupId::Zero)).await;
        stream.payload(0, "new group").await;
        stream.finish();
        assert_eq!(subscriber.object().await, (5, 0, "new group".into()));

        publisher.done(asked, 1).await;
        let (status, streams, _) = subscriber.publish_done().await;
        assert_eq!((status, streams), (PublishDoneCode::TrackEnded, Some(1)));
    }
}

#[tokio::test]
async fn the_last_subscribers_end_is_heard_by_the_publisher_it_was_asked_of() {
    let relay = relay_of_every_draft();
    for (from, to) in pairs() {
        let mut publisher = Peer::of(from, relay.addr(), Via::Quic).await;
        publisher.publish_namespace(&namespace("drafts/left")).await;
        let mut subscriber = Peer::of(to, relay.addr(), Via::Quic).await;
        let wanted = subscriber
            .subscribe(&track("drafts/left", "audio"), Parameters::default())
            .await;
        let (asked, ..) = publisher.serve(SubscribeAnswer::default()).await;
        subscriber
            .event_of(|event| matches!(event, Event::SubscribeOk { .. }).then_some(()))
            .await;

        subscriber.cancel(wanted).await;

        let cancelled = publisher
            .event_of(|event| match event {
                Event::Cancelled { id, .. } => Some(id),
                _ => None,
            })
            .await;
        assert_eq!(cancelled, asked, "{from:?} to {to:?}");
    }
}

#[tokio::test]
async fn forwarding_can_be_switched_in_every_draft() {
    let relay = relay_of_every_draft();
    for to in DRAFTS {
        let (publisher, mut subscriber, alias) = meet(&relay, Draft::D18, to).await;
        let pause = |forward| Parameters {
            forward: Some(forward),
            ..Parameters::default()
        };
        let id = RequestId(0);
        let heard = |id| ObjectDatagram {
            alias,
            group: 0,
            id,
            priority: None,
            end_of_group: false,
            status: ObjectStatus::Normal,
            properties: Bytes::new(),
            payload: Bytes::from_static(b"x"),
        };
        publisher.datagram(&heard(0));
        assert_eq!(subscriber.object().await.1, 0);
        subscriber.update(id, pause(false)).await;
        // Nobody answers an update of draft 14; what follows it on the same stream is answered.
        let status = subscriber
            .machine
            .track_status(met(Draft::D18, to), Parameters::default())
            .unwrap();
        subscriber.flush().await;
        let (params, _) = subscriber.accepted(status).await;
        assert_eq!(params.largest_object, Some(Location::new(0, 0)));
        publisher.datagram(&heard(1));
        let mut witness = Peer::connect(relay.addr(), Via::Quic).await;
        let name = met(Draft::D18, to);
        until_largest(&mut witness, &name, Location::new(0, 1)).await;

        subscriber.update(id, pause(true)).await;
        let status = subscriber
            .machine
            .track_status(name.clone(), Parameters::default())
            .unwrap();
        subscriber.flush().await;
        subscriber.accepted(status).await;
        publisher.datagram(&heard(2));

        assert_eq!(subscriber.object().await.1, 2, "{to:?}");
    }
}

#[tokio::test]
async fn namespaces_and_tracks_are_discovered_across_drafts() {
    let relay = relay_of_every_draft();
    for (from, to) in pairs() {
        let room = format!("drafts/room{}-{}", from.number(), to.number());
        let mut publisher = Peer::of(from, relay.addr(), Via::Quic).await;
        let offered = publisher
            .publish_namespace(&namespace(&format!("{room}/p1")))
            .await;
        let mut watcher = Peer::of(to, relay.addr(), Via::Quic).await;
        let asked = watcher
            .machine
            .subscribe_namespace(namespace(&room), Parameters::default())
            .unwrap();
        watcher.flush().await;
        watcher.accepted(asked).await;
        let told = watcher
            .event_of(|event| match event {
                Event::Namespace { suffix, .. } => Some(suffix),
                _ => None,
            })
            .await;
        assert_eq!(told, namespace("p1"), "{from:?} to {to:?}");
        publisher.cancel(offered).await;
        watcher
            .event_of(|event| matches!(event, Event::NamespaceDone { .. }).then_some(()))
            .await;

        let mut listener = Peer::of(to, relay.addr(), Via::Quic).await;
        let asked = listener
            .machine
            .subscribe_tracks(namespace(&room), Parameters::default())
            .unwrap();
        listener.flush().await;
        listener.accepted(asked).await;
        let name = track(&format!("{room}/p2"), "audio");
        let (_, alias) = publisher.publish(&name, PublishOptions::default()).await;
        let (id, heard) = listener
            .event_of(|event| match event {
                Event::Publish { id, track, .. } => Some((id, track)),
                _ => None,
            })
            .await;
        assert_eq!(heard, name);
        listener.accept(id, Parameters::default()).await;
        let mut stream = publisher.subgroup(plain(alias, 0, SubgroupId::Zero)).await;
        stream.payload(0, "hello").await;
        assert_eq!(listener.object().await, (0, 0, "hello".into()));
    }
}

#[tokio::test]
async fn what_nobody_publishes_does_not_exist_in_any_draft() {
    let relay = relay_of_every_draft();
    for draft in DRAFTS {
        for via in BOTH {
            let mut peer = Peer::of(draft, relay.addr(), via).await;
            let id = peer
                .subscribe(&track("drafts", "nowhere"), Parameters::default())
                .await;
            assert_eq!(peer.rejected(id).await, RequestCode::DoesNotExist);
        }
    }
}

#[tokio::test]
async fn a_client_of_draft_14_may_name_itself_to_webtransport() {
    let relay = relay_of_every_draft();
    let request = wt::proto::ConnectRequest::new(url(relay.addr(), "")).with_protocol("moq-00");
    let session = web_transport(relay.addr(), request).await.unwrap();
    let config = moqrelay_moqt::Config::new(
        Draft::D14,
        moqrelay_moqt::Role::Client,
        moqrelay_moqt::Transport::WebTransport,
    );

    let mut peer = Peer::over(session, config).await;

    assert!(matches!(peer.event().await, Event::Setup(_)));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_known_by_its_first_stream() {
    let relay = relay_of_every_draft();
    for draft in [Draft::D18, Draft::D14] {
        let request = wt::proto::ConnectRequest::new(url(relay.addr(), ""));
        let session = web_transport(relay.addr(), request).await.unwrap();
        let config = moqrelay_moqt::Config::new(
            draft,
            moqrelay_moqt::Role::Client,
            moqrelay_moqt::Transport::WebTransport,
        );

        let mut peer = Peer::over(session, config).await;

        assert!(matches!(peer.event().await, Event::Setup(_)), "{draft:?}");
    }
}

/// Every draft with every other.
fn pairs() -> impl Iterator<Item = (Draft, Draft)> {
    DRAFTS
        .into_iter()
        .flat_map(|from| DRAFTS.into_iter().map(move |to| (from, to)))
}

/// A publisher and a subscriber of one track.
async fn meet(relay: &Running, from: Draft, to: Draft) -> (Peer, Peer, TrackAlias) {
    let name = met(from, to);
    let mut publisher = Peer::of(from, relay.addr(), Via::Quic).await;
    let (_, alias) = publisher.publish(&name, PublishOptions::default()).await;
    let mut subscriber = Peer::of(to, relay.addr(), Via::WebTransport).await;
    subscriber.subscribed(&name, Parameters::default()).await;
    (publisher, subscriber, alias)
}

/// Each pair has a track of its own: repeated objects would not be sent again.
fn met(from: Draft, to: Draft) -> FullTrackName {
    track("drafts", &format!("{}-{}", from.number(), to.number()))
}

/// Waits until the relay knows a track's largest object.
async fn until_largest(peer: &mut Peer, name: &FullTrackName, largest: Location) {
    loop {
        let id = peer
            .machine
            .track_status(name.clone(), Parameters::default())
            .unwrap();
        peer.flush().await;
        let (params, _) = peer.accepted(id).await;
        if params.largest_object == Some(largest) {
            return;
        }
    }
}

/// What becomes of a priority: draft 14 always has one.
fn priority(from: Draft, to: Draft, named: Option<u8>) -> Option<u8> {
    match (from, to) {
        (Draft::D14, _) | (_, Draft::D14) => Some(named.unwrap_or(128)),
        _ => named,
    }
}

fn headers(alias: TrackAlias) -> Vec<SubgroupHeader> {
    let mut headers = Vec::new();
    let ids = [
        SubgroupId::Zero,
        SubgroupId::FirstObject,
        SubgroupId::Explicit(9),
    ];
    for (group, subgroup) in (0..).zip(ids) {
        headers.push(SubgroupHeader {
            properties: subgroup != SubgroupId::Zero,
            priority: (subgroup == SubgroupId::FirstObject).then_some(7),
            end_of_group: subgroup == SubgroupId::Explicit(9),
            ..plain(alias, group, subgroup)
        });
    }
    headers
}

fn plain(alias: TrackAlias, group: u64, subgroup: SubgroupId) -> SubgroupHeader {
    SubgroupHeader {
        alias,
        group,
        subgroup,
        priority: None,
        properties: false,
        end_of_group: false,
        first_object: false,
    }
}

fn objects(draft: Draft, with_properties: bool) -> Vec<Object> {
    let properties = if with_properties {
        properties(draft)
    } else {
        Bytes::new()
    };
    let object = |id, payload: Vec<u8>| Object {
        id,
        properties: properties.clone(),
        payload: payload.into(),
        ..Object::default()
    };
    vec![
        object(0, b"first".to_vec()),
        object(1, Vec::new()),
        // Too large to be copied behind its header.
        object(70, (0..5000).map(|n| n as u8).collect()),
        Object {
            id: 71,
            status: ObjectStatus::EndOfGroup,
            ..Object::default()
        },
    ]
}

fn properties(draft: Draft) -> Bytes {
    let mut inner = KeyValueEncoder::new(draft);
    inner.int(0x40, 1000).unwrap();
    let inner = inner.finish();
    let mut pairs = KeyValueEncoder::new(draft);
    pairs.int(0x06, 200).unwrap();
    pairs.bytes(0x0b, &inner).unwrap();
    pairs.bytes(0x21, b"level").unwrap();
    pairs.int(0x42, 3).unwrap();
    pairs.finish()
}

/// Keys and values, whatever they look like on the wire.
fn values(draft: Draft, properties: &Bytes) -> Vec<KeyValue> {
    let pairs = KeyValues::new(draft, properties.clone());
    pairs
        .map(|pair| {
            let mut pair = pair.unwrap();
            if let (0x0b, moqrelay_moqt::Value::Bytes(inner)) = (pair.key, &pair.value) {
                let inner = KeyValues::new(draft, inner.clone());
                let inner: Vec<_> = inner.map(Result::unwrap).collect();
                pair.value = moqrelay_moqt::Value::Bytes(format!("{inner:?}").into());
            }
            pair
        })
        .collect()
}
