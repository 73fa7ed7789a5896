//! What draft 19 adds, in the relay: only for who is let speak it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{
    Running, namespace, open_relay,
    peer::{Arrived, Peer, Via, quic},
    relay_of_every_draft, soon, track, until,
};
use moqrelay_moqt::{
    Draft, Event, FetchRange, FullTrackName, GroupOrder, KeyValueEncoder, Location, Parameters,
    PublishOptions, RangeFilter, RangeKind, RequestCode, ResetCode, TrackAlias, TrackProperties,
    data::{Object, ObjectDatagram, ObjectStatus, SubgroupHeader, SubgroupId},
};

const D19: Draft = Draft::D19;

#[tokio::test]
async fn nobody_is_offered_it_by_default() {
    let relay = open_relay();
    assert!(quic(relay.addr(), D19.alpn()).await.is_err());

    let relay = relay_of_every_draft();
    assert!(quic(relay.addr(), D19.alpn()).await.is_ok());
}

#[tokio::test]
async fn only_objects_that_pass_the_ranges_are_sent() {
    for from in [Draft::D18, D19] {
        let relay = relay_of_every_draft();
        let publisher = publisher(&relay, from).await;
        let mut odd = Peer::of(D19, relay.addr(), Via::Quic).await;
        let filter = RangeFilter::new(RangeKind::Object, 0, None, &[(1, Some(1)), (3, Some(3))]);
        odd.subscribed(&name(), filtered(filter)).await;
        let mut loud = Peer::of(D19, relay.addr(), Via::Quic).await;
        let filter = RangeFilter::new(RangeKind::ObjectProperty, 0, Some(0x40), &[(5, None)]);
        loud.subscribed(&name(), filtered(filter)).await;

        let mut stream = publisher.subgroup(header(4, true)).await;
        for id in 0..5 {
            stream.object(object(id, level(id + 2))).await;
        }
        stream.finish();

        // One stream has them all, and ends as the publisher's did.
        let Arrived::Header(got) = odd.arrived().await else {
            panic!("the header comes first");
        };
        assert_eq!(numbers(&mut odd, 2).await, [1, 3]);
        assert_eq!(odd.arrived().await, Arrived::Fin(got));
        assert_eq!(numbers(&mut loud, 2).await, [3, 4], "{from:?}");
    }
}

#[tokio::test]
async fn datagrams_pass_by_priority_and_never_by_subgroup() {
    let relay = relay_of_every_draft();
    let publisher = publisher(&relay, D19).await;
    let mut urgent = Peer::of(D19, relay.addr(), Via::Quic).await;
    let filter = RangeFilter::new(RangeKind::Priority, 0, None, &[(0, Some(9))]);
    let (id, ..) = urgent.subscribed(&name(), filtered(filter)).await;
    let mut layered = Peer::of(D19, relay.addr(), Via::Quic).await;
    let filter = RangeFilter::new(RangeKind::Subgroup, 0, None, &[(0, None)]);
    layered.subscribed(&name(), filtered(filter)).await;

    for (number, priority) in [(0, 9), (1, 10), (2, 3)] {
        publisher.datagram(&datagram(number, priority));
    }
    assert_eq!(numbers(&mut urgent, 2).await, [0, 2]);
    let mut stream = publisher.subgroup(header(4, false)).await;
    stream.payload(0, "in a subgroup").await;
    assert_eq!(layered.object().await.0, 4, "no datagram before");

    // An update without a value takes the filter away.
    let none = RangeFilter {
        kind: RangeKind::Priority,
        value: Bytes::new(),
    };
    urgent.update(id, filtered(none)).await;
    publisher.datagram(&datagram(3, 200));
    loop {
        if urgent.object().await.1 == 3 {
            break;
        }
    }
}

#[tokio::test]
async fn a_filter_that_cannot_be_is_refused() {
    let relay = relay_of_every_draft();
    let _publisher = publisher(&relay, D19).await;
    let mut peer = Peer::of(D19, relay.addr(), Via::Quic).await;
    // An odd property type has no number.
    let filter = RangeFilter {
        kind: RangeKind::ObjectProperty,
        value: Bytes::from_static(&[0, 0x41, 1]),
    };
    let mut payload = vec![100, 1, 4];
    payload.extend(b"room");
    payload.push(5);
    payload.extend(b"voice");
    payload.extend([1, 0x28, 3]);
    payload.extend(&filter.value);
    let mut wire = vec![0x03, 0, u8::try_from(payload.len()).unwrap()];
    wire.extend(payload);

    let (mut send, mut recv) = peer.session.open_bi().await.unwrap();
    send.write_all(&wire).await.unwrap();

    let mut answer = [0; 4];
    soon(recv.read_exact(&mut answer)).await.unwrap();
    assert_eq!((answer[0], answer[3]), (0x05, 0x36), "INVALID_FILTER");
    // Only the request was lost.
    peer.subscribed(&track("room", "voice"), Parameters::default())
        .await;
}

#[tokio::test]
async fn tracks_are_offered_by_their_properties_and_in_the_order_asked_for() {
    let relay = relay_of_every_draft();
    let mut listener = Peer::of(D19, relay.addr(), Via::Quic).await;
    let params = Parameters {
        group_order: Some(GroupOrder::Descending),
        range_filters: vec![
            RangeFilter::new(RangeKind::TrackProperty, 0, Some(0x40), &[(2, Some(3))]),
            RangeFilter::new(RangeKind::Object, 0, None, &[(7, None)]),
            RangeFilter::new(RangeKind::TrackProperty, 1, Some(0x40), &[(9, None)]),
        ],
        ..Parameters::default()
    };
    let asked = listener
        .machine
        .subscribe_tracks(namespace("room"), params)
        .unwrap();
    listener.flush().await;
    listener.accepted(asked).await;
    let mut publisher = Peer::of(Draft::D18, relay.addr(), Via::Quic).await;
    let mut aliases = Vec::new();
    for (name, value) in [("a", 1), ("b", 3), ("c", 9)] {
        let options = PublishOptions {
            properties: level(value),
            ..PublishOptions::default()
        };
        let (_, alias) = publisher.publish(&track("room", name), options).await;
        aliases.push(alias);
    }

    for (name, alias, ids) in [("b", aliases[1], [7, 8]), ("c", aliases[2], [0, 7])] {
        let (id, offered, order) = listener
            .event_of(|event| match event {
                Event::Publish {
                    id, track, params, ..
                } => Some((id, track, params.group_order)),
                _ => None,
            })
            .await;
        assert_eq!(offered, track("room", name));
        assert_eq!(order, Some(GroupOrder::Descending));
        listener.accept(id, Parameters::default()).await;
        // What a track's set says of objects counts for that track only.
        let mut stream = publisher
            .subgroup(SubgroupHeader {
                alias,
                ..header(0, false)
            })
            .await;
        for id in [0, 7, 8] {
            stream.payload(id, "x").await;
        }
        assert_eq!(numbers(&mut listener, 2).await, ids, "{name}");
        stream.finish();
        loop {
            if let Arrived::Fin(_) = listener.arrived().await {
                break;
            }
        }
    }
}

#[tokio::test]
async fn two_subscriptions_to_a_track_are_both_served() {
    let relay = relay_of_every_draft();
    let publisher = publisher(&relay, Draft::D18).await;
    let mut peer = Peer::of(D19, relay.addr(), Via::Quic).await;
    let (first, ..) = peer.subscribed(&name(), Parameters::default()).await;
    let filter = RangeFilter::new(RangeKind::Object, 0, None, &[(5, None)]);
    peer.subscribed(&name(), filtered(filter)).await;

    for number in [4, 5] {
        publisher.datagram(&datagram(number, 0));
    }
    let mut heard = numbers(&mut peer, 3).await;
    heard.sort_unstable();
    assert_eq!(heard, [4, 5, 5]);

    peer.cancel(first).await;
    until_over(&mut peer).await;
    for number in [6, 7] {
        publisher.datagram(&datagram(number, 0));
    }
    assert_eq!(numbers(&mut peer, 2).await, [6, 7]);
}

#[tokio::test]
async fn a_fetch_brings_what_passes() {
    let relay = relay_of_every_draft();
    let publisher = publisher(&relay, D19).await;
    let mut witness = Peer::of(D19, relay.addr(), Via::Quic).await;
    witness.subscribed(&name(), Parameters::default()).await;
    let mut stream = publisher.subgroup(header(4, true)).await;
    for id in 0..5 {
        stream.object(object(id, level(id))).await;
    }
    numbers(&mut witness, 5).await;
    let filter = RangeFilter::new(
        RangeKind::ObjectProperty,
        0,
        Some(0x40),
        &[(1, Some(2)), (4, None)],
    );
    let range = FetchRange::Standalone {
        track: name(),
        start: Location::new(4, 0),
        end: Location::new(4, 5),
    };

    let id = witness.fetch(range, filtered(filter)).await;

    assert_eq!(witness.fetch_ok(id).await, (Location::new(4, 5), false));
    assert_eq!(witness.answer().await, "4/1 4/2 4/4");
}

#[tokio::test]
async fn a_timeout_of_the_first_object_counts_for_its_subgroup() {
    let relay = relay_of_every_draft();
    let publisher = publisher(&relay, D19).await;
    let mut deaf = Peer::deaf(relay.addr()).await;
    deaf.subscribed(&name(), Parameters::default()).await;
    let timeout = TrackProperties {
        object_delivery_timeout: Some(Duration::from_millis(50)),
        ..TrackProperties::default()
    };

    let mut stream = publisher.subgroup(header(4, true)).await;
    // More than the subscriber's connection takes.
    let large = Object {
        payload: vec![7; 400_000].into(),
        ..object(0, timeout.write(D19))
    };
    stream.object(large).await;
    until("the stream is given up", || {
        relay.relay.stats().streams_reset == 1
    })
    .await;
    deaf.listen();

    loop {
        if let Arrived::Reset(_, code) = deaf.arrived().await {
            assert_eq!(code, ResetCode::DeliveryTimeout);
            break;
        }
    }
}

#[tokio::test]
async fn a_track_is_wanted_once_of_a_session() {
    let relay = relay_of_every_draft();
    let mut publisher = publisher(&relay, D19).await;

    let (again, _) = publisher
        .machine
        .publish(name(), PublishOptions::default())
        .unwrap();
    publisher.flush().await;

    assert_eq!(publisher.rejected(again).await, RequestCode::Uninterested);
}

fn name() -> FullTrackName {
    track("room", "voice")
}

fn filtered(filter: RangeFilter) -> Parameters {
    Parameters {
        range_filters: vec![filter],
        ..Parameters::default()
    }
}

async fn publisher(relay: &Running, draft: Draft) -> Peer {
    let mut publisher = Peer::of(draft, relay.addr(), Via::Quic).await;
    let options = PublishOptions {
        alias: Some(TrackAlias(1)),
        ..PublishOptions::default()
    };
    publisher.publish(&name(), options).await;
    publisher
}

/// Waits until the relay has done what was said before.
async fn until_over(peer: &mut Peer) {
    let status = peer
        .machine
        .track_status(name(), Parameters::default())
        .unwrap();
    peer.flush().await;
    peer.accepted(status).await;
}

/// The ids of the next objects.
async fn numbers(peer: &mut Peer, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(peer.object().await.1);
    }
    numbers
}

fn header(group: u64, properties: bool) -> SubgroupHeader {
    SubgroupHeader {
        alias: TrackAlias(1),
        group,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties,
        end_of_group: false,
        first_object: true,
    }
}

fn object(id: u64, properties: Bytes) -> Object {
    Object {
        id,
        properties,
        payload: Bytes::from_static(b"voice"),
        ..Object::default()
    }
}

fn datagram(id: u64, priority: u8) -> ObjectDatagram {
    ObjectDatagram {
        alias: TrackAlias(1),
        group: 0,
        id,
        priority: Some(priority),
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: Bytes::new(),
        payload: Bytes::from_static(b"voice"),
    }
}

fn level(value: u64) -> Bytes {
    let mut pairs = KeyValueEncoder::new(D19);
    pairs.int(0x40, value).unwrap();
    pairs.finish()
}
