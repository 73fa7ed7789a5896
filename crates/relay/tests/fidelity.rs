//! What a publisher sends is what subscribers get, byte for byte.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::Bytes;
use common::{
    open_relay,
    peer::{Arrived, BOTH, D18, Peer},
    track,
};
use moqrelay_moqt::{
    KeyValueEncoder, Location, Parameters, PublishDoneCode, PublishOptions, ResetCode, TrackAlias,
    data::{Object, ObjectDatagram, ObjectStatus, SubgroupHeader, SubgroupId},
};

#[tokio::test]
async fn datagrams_keep_every_field() {
    for via in BOTH {
        let (_relay, publisher, mut subscriber, alias) = pair(via).await;
        let sent = [
            datagram(alias, 7, 0, Some(3), b"", b"first"),
            datagram(alias, 7, 1, None, &properties(), b""),
            ObjectDatagram {
                end_of_group: true,
                ..datagram(alias, 7, 2, Some(255), &properties(), &[9; 1000])
            },
            ObjectDatagram {
                status: ObjectStatus::EndOfGroup,
                ..datagram(alias, 8, 0, None, b"", b"")
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
                ..object.clone()
            };
            assert_eq!(got, expected);
        }
    }
}

#[tokio::test]
async fn subgroups_keep_header_objects_and_end() {
    for via in BOTH {
        let (_relay, publisher, mut subscriber, alias) = pair(via).await;
        for header in headers(alias) {
            let objects = objects(header.properties);
            let mut stream = publisher.subgroup(header).await;
            for object in &objects {
                stream.object(object.clone()).await;
            }
            stream.finish();

            let got = match subscriber.arrived().await {
                Arrived::Header(got) => got,
                other => panic!("the header comes first: {other:?}"),
            };
            let expected = SubgroupHeader {
                alias: got.alias,
                ..header
            };
            assert_eq!(got, expected);
            for object in objects {
                assert_eq!(subscriber.arrived().await, Arrived::Object(got, object));
            }
            assert_eq!(subscriber.arrived().await, Arrived::Fin(got));
        }
    }
}

#[tokio::test]
async fn a_reset_subgroup_is_reset_with_the_same_code() {
    for via in BOTH {
        let (_relay, publisher, mut subscriber, alias) = pair(via).await;
        let mut stream = publisher.subgroup(plain(alias, 1, SubgroupId::Zero)).await;
        stream.payload(0, "one").await;
        let Arrived::Header(header) = subscriber.arrived().await else {
            panic!("the header comes first");
        };
        assert!(matches!(subscriber.arrived().await, Arrived::Object(..)));

        stream.reset(ResetCode::Other(0x77));

        let reset = Arrived::Reset(header, ResetCode::Other(0x77));
        assert_eq!(subscriber.arrived().await, reset);
    }
}

#[tokio::test]
async fn subgroups_without_objects_arrive_too() {
    for via in BOTH {
        let (_relay, publisher, mut subscriber, alias) = pair(via).await;
        let header = plain(alias, 4, SubgroupId::Explicit(9));

        publisher.subgroup(header).await.finish();

        let Arrived::Header(got) = subscriber.arrived().await else {
            panic!("the header comes first");
        };
        assert_eq!((got.group, got.subgroup), (4, SubgroupId::Explicit(9)));
        assert_eq!(subscriber.arrived().await, Arrived::Fin(got));
    }
}

#[tokio::test]
async fn who_joins_within_a_subgroup_is_not_told_that_it_begins() {
    let relay = open_relay();
    let name = track("fidelity", "joined");
    let mut publisher = Peer::connect(relay.addr(), common::peer::Via::Quic).await;
    let (_, alias) = publisher.publish(&name, PublishOptions::default()).await;
    let mut witness = Peer::connect(relay.addr(), common::peer::Via::Quic).await;
    witness.subscribed(&name, Parameters::default()).await;
    let mut stream = publisher
        .subgroup(plain(alias, 5, SubgroupId::FirstObject))
        .await;
    stream.payload(3, "before").await;
    witness.object().await;

    let mut subscriber = Peer::connect(relay.addr(), common::peer::Via::Quic).await;
    let (_, params, _) = subscriber.subscribed(&name, Parameters::default()).await;
    stream.payload(8, "after").await;

    assert_eq!(params.largest_object, Some(Location::new(5, 3)));
    let Arrived::Header(header) = subscriber.arrived().await else {
        panic!("the header comes first");
    };
    assert!(!header.first_object);
    assert_eq!(header.subgroup, SubgroupId::Explicit(3));
    assert_eq!(subscriber.object().await, (5, 8, Bytes::from("after")));
}

#[tokio::test]
async fn track_properties_and_publish_done_are_passed_on() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("fidelity", "properties");
        let mut publisher = Peer::connect(relay.addr(), via).await;
        let options = PublishOptions {
            properties: properties(),
            params: Parameters {
                largest_object: Some(Location::new(41, 2)),
                ..Parameters::default()
            },
            ..PublishOptions::default()
        };
        let (request, alias) = publisher.publish(&name, options).await;
        let mut subscriber = Peer::connect(relay.addr(), via).await;

        let (_, params, got) = subscriber.subscribed(&name, Parameters::default()).await;
        for group in 42..45 {
            let mut stream = publisher
                .subgroup(plain(alias, group, SubgroupId::Zero))
                .await;
            stream.payload(0, "x").await;
            stream.finish();
        }
        publisher.done(request, 3).await;

        assert_eq!(got, properties());
        assert_eq!(params.largest_object, Some(Location::new(41, 2)));
        let done = subscriber.publish_done().await;
        assert_eq!(
            done,
            (PublishDoneCode::TrackEnded, Some(3), "over".to_owned())
        );
        for _ in 0..3 {
            subscriber.object().await;
        }
    }
}

async fn pair(via: common::peer::Via) -> (common::Running, Peer, Peer, TrackAlias) {
    let relay = open_relay();
    let name = track("fidelity", "track");
    let mut publisher = Peer::connect(relay.addr(), via).await;
    let (_, alias) = publisher.publish(&name, PublishOptions::default()).await;
    let mut subscriber = Peer::connect(relay.addr(), via).await;
    subscriber.subscribed(&name, Parameters::default()).await;
    (relay, publisher, subscriber, alias)
}

fn datagram(
    alias: TrackAlias,
    group: u64,
    id: u64,
    priority: Option<u8>,
    properties: &[u8],
    payload: &[u8],
) -> ObjectDatagram {
    ObjectDatagram {
        alias,
        group,
        id,
        priority,
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: Bytes::copy_from_slice(properties),
        payload: Bytes::copy_from_slice(payload),
    }
}

fn plain(alias: TrackAlias, group: u64, subgroup: SubgroupId) -> SubgroupHeader {
    SubgroupHeader {
        alias,
        group,
        subgroup,
        priority: None,
        properties: false,
        end_of_group: false,
        first_object: true,
    }
}

fn headers(alias: TrackAlias) -> Vec<SubgroupHeader> {
    let flags = [(false, true), (true, false)];
    let ids = [
        SubgroupId::Zero,
        SubgroupId::FirstObject,
        SubgroupId::Explicit(1 << 40),
    ];
    let mut headers = Vec::new();
    for (group, subgroup) in ids.into_iter().enumerate() {
        for (properties, flag) in flags {
            headers.push(SubgroupHeader {
                alias,
                group: (1 << 60) + group as u64 * 2 + u64::from(flag),
                subgroup,
                priority: flag.then_some(17),
                properties,
                end_of_group: flag,
                first_object: !flag,
            });
        }
    }
    headers
}

/// Sequential and sparse ids, empty, small and large payloads, a status at the end.
fn objects(with_properties: bool) -> Vec<Object> {
    let object = |id: u64, payload: Vec<u8>| Object {
        id,
        properties: if with_properties && id != 3 {
            properties()
        } else {
            Bytes::new()
        },
        payload: payload.into(),
        status: ObjectStatus::Normal,
    };
    vec![
        object(3, b"first".to_vec()),
        object(4, Vec::new()),
        object(1000, vec![1; 300_000]),
        object(1001, vec![2; 1200]),
        Object {
            id: 1 << 50,
            status: ObjectStatus::EndOfGroup,
            ..Object::default()
        },
    ]
}

/// Known and unknown properties, integers and bytes.
fn properties() -> Bytes {
    let mut pairs = KeyValueEncoder::new(D18);
    pairs.int(0x10, 48_000).unwrap();
    pairs.int(0x3b_00, u64::MAX).unwrap();
    pairs.bytes(0x3b_01, b"\0\xffopaque").unwrap();
    pairs.finish()
}
