//! FETCH across drafts: what was published in one is fetched in another.

use bytes::Bytes;
use moqrelay_moqt::{
    Draft, Event, FetchRange, Filter,
    GroupOrder::{Ascending, Descending},
    KeyValueEncoder, Location, Parameters, PublishOptions, RequestCode, RequestError,
    SubscribeAnswer, TrackAlias, TrackProperties,
    data::{FetchItem, FetchObject, ObjectDatagram, ObjectStatus, SubgroupHeader, SubgroupId},
};

use super::{
    common::{
        Running, namespace,
        peer::{Fetched, Peer, Via},
        relay_of_every_draft,
    },
    fetch, hear, name, standalone,
};

#[tokio::test]
async fn what_one_draft_published_is_fetched_in_another() {
    for (from, to) in pairs() {
        let relay = relay_of_every_draft();
        let publisher = published(&relay, from).await;
        let mut peer = Peer::of(to, relay.addr(), Via::WebTransport).await;

        let id = fetch(&mut peer, (1, 0), (9, 0), Ascending).await;
        let end = peer.fetch_ok(id).await;
        assert_eq!(end, (Location::new(3, 3), false), "{from:?} to {to:?}");
        let (plain, described, last) = (
            object(&mut peer).await,
            object(&mut peer).await,
            object(&mut peer).await,
        );
        assert_eq!(plain.location, Location::new(1, 0));
        assert_eq!((plain.subgroup, plain.priority), (Some(7), 9));
        assert_eq!(plain.payload, "plain");
        assert_eq!(described.location, Location::new(1, 4));
        assert_eq!(described.properties, properties(to), "{from:?} to {to:?}");
        assert_eq!(described.payload, "");
        assert_eq!(last.location, Location::new(3, 2));
        // Draft 14 has no other place for what makes a datagram.
        let datagram = (to == Draft::D14).then_some(2);
        assert_eq!((last.subgroup, last.priority), (datagram, 3));
        assert_eq!(peer.answer().await, "");

        let id = fetch(&mut peer, (1, 1), (3, 3), Descending).await;
        peer.fetch_ok(id).await;
        assert_eq!(peer.answer().await, "3/2 1/4", "{from:?} to {to:?}");
        drop(publisher);
    }
}

#[tokio::test]
async fn a_subscription_is_joined_in_every_draft() {
    for (from, to) in pairs() {
        let relay = relay_of_every_draft();
        let publisher = published(&relay, from).await;
        let mut peer = Peer::of(to, relay.addr(), Via::Quic).await;
        let params = Parameters {
            filter: Some(Filter::LargestObject),
            ..Parameters::default()
        };
        let (subscription, ..) = peer.subscribed(&name(), params).await;

        for (groups, expected) in [(0, "3/2"), (2, "1/0 1/4 3/2")] {
            let range = FetchRange::RelativeJoining {
                subscription,
                groups,
            };
            let id = peer.fetch(range, Parameters::default()).await;
            assert_eq!(peer.fetch_ok(id).await.0, Location::new(3, 3));
            assert_eq!(peer.answer().await, expected, "{from:?} to {to:?}");
        }
        let range = FetchRange::AbsoluteJoining {
            subscription,
            group: 2,
        };
        peer.fetch(range, Parameters::default()).await;
        assert_eq!(peer.answer().await, "3/2", "{from:?} to {to:?}");
        drop(publisher);
    }
}

#[tokio::test]
async fn the_publisher_is_asked_in_its_draft_for_what_is_not_here() {
    for (from, to) in pairs() {
        for order in [Ascending, Descending] {
            let relay = relay_of_every_draft();
            let mut publisher = offering(&relay, from).await;
            let mut peer = Peer::of(to, relay.addr(), Via::Quic).await;

            let wanted = fetch(&mut peer, (4, 0), (5, 3), order).await;
            let (id, range, params) = publisher.asked_to_fetch().await;
            assert_eq!(range, standalone((4, 0), (5, 3)), "{from:?} to {to:?}");
            assert_eq!(params.group_order.unwrap_or_default(), order);
            publisher.accept_fetch(id, Location::new(5, 3)).await;
            let mut answer = publisher.answering(id, order).await;
            let mut groups = [4, 5];
            if order == Descending {
                groups.reverse();
            }
            for group in groups {
                answer.described(group, 2, properties(from)).await;
            }
            answer.finish();

            assert_eq!(peer.fetch_ok(wanted).await.0, Location::new(5, 3));
            for group in groups {
                let got = object(&mut peer).await;
                assert_eq!(got.location, Location::new(group, 2));
                assert_eq!(got.properties, properties(to), "{from:?} to {to:?}");
            }
            assert_eq!(peer.answer().await, "");
        }
    }
}

#[tokio::test]
async fn a_refusal_reaches_who_asked_in_any_draft() {
    for (from, to) in pairs() {
        let relay = relay_of_every_draft();
        let mut publisher = offering(&relay, from).await;
        let mut peer = Peer::of(to, relay.addr(), Via::Quic).await;
        let wanted = fetch(&mut peer, (4, 0), (5, 3), Ascending).await;
        let (id, ..) = publisher.asked_to_fetch().await;

        let error = RequestError::new(RequestCode::InvalidRange, "not there");
        publisher.machine.reject(id, error).unwrap();
        publisher.flush().await;

        let code = peer.rejected(wanted).await;
        assert_eq!(code, RequestCode::InvalidRange, "{from:?} to {to:?}");
    }
}

#[tokio::test]
async fn who_gives_up_is_heard_by_the_publisher_in_any_draft() {
    for (from, to) in pairs() {
        let relay = relay_of_every_draft();
        let mut publisher = offering(&relay, from).await;
        let mut peer = Peer::of(to, relay.addr(), Via::Quic).await;
        let wanted = fetch(&mut peer, (4, 0), (5, 3), Ascending).await;
        let (asked, ..) = publisher.asked_to_fetch().await;

        peer.cancel(wanted).await;

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
async fn draft_14_refuses_a_range_without_objects() {
    let relay = relay_of_every_draft();
    let publisher = published(&relay, Draft::D18).await;
    let mut peer = Peer::of(Draft::D14, relay.addr(), Via::Quic).await;

    let id = fetch(&mut peer, (2, 0), (2, 0), Ascending).await;

    assert_eq!(peer.rejected(id).await, RequestCode::NoObjects);
    drop(publisher);
}

#[tokio::test]
async fn what_nobody_knows_breaks_an_answer_of_draft_14_off() {
    let relay = relay_of_every_draft();
    let mut publisher = published(&relay, Draft::D18).await;
    let mut peer = Peer::of(Draft::D14, relay.addr(), Via::Quic).await;
    publisher.datagram(&datagram(5, Bytes::new()));
    let mut witness = Peer::connect(relay.addr(), Via::Quic).await;
    until_largest(&mut witness, Location::new(5, 2)).await;

    // The objects before come, and then a reset.
    let id = fetch(&mut peer, (3, 0), (5, 3), Ascending).await;
    refuse(&mut publisher).await;
    peer.fetch_ok(id).await;
    assert_eq!(object(&mut peer).await.location, Location::new(3, 2));
    assert_eq!(peer.answer().await, "reset InternalError");

    // With no object before there is no FETCH_OK either.
    let id = fetch(&mut peer, (4, 0), (5, 3), Ascending).await;
    assert_eq!(peer.rejected(id).await, RequestCode::UnknownStatus);
}

#[tokio::test]
async fn an_empty_range_of_a_publisher_of_draft_14_is_one_for_others_too() {
    let relay = relay_of_every_draft();
    let mut publisher = offering(&relay, Draft::D14).await;
    let mut peer = Peer::of(Draft::D18, relay.addr(), Via::Quic).await;
    let subscription = peer.subscribe(&name(), Parameters::default()).await;
    let answer = SubscribeAnswer {
        params: Parameters {
            largest_object: Some(Location::new(6, 1)),
            ..Parameters::default()
        },
        ..SubscribeAnswer::default()
    };
    publisher.serve(answer).await;
    let range = FetchRange::RelativeJoining {
        subscription,
        groups: 1,
    };
    let joining = peer.fetch(range, Parameters::default()).await;
    let (id, ..) = publisher.asked_to_fetch().await;

    let error = RequestError::new(RequestCode::NoObjects, "nothing");
    publisher.machine.reject(id, error).unwrap();
    publisher.flush().await;

    assert_eq!(peer.fetch_ok(joining).await.0, Location::new(6, 2));
    assert_eq!(peer.answer().await, "");
}

#[tokio::test]
async fn draft_14_leaves_the_order_to_the_publisher() {
    let relay = relay_of_every_draft();
    let mut publisher = Peer::of(Draft::D18, relay.addr(), Via::Quic).await;
    let prefers = TrackProperties {
        group_order: Descending,
        ..TrackProperties::default()
    };
    let options = PublishOptions {
        alias: Some(TrackAlias(1)),
        properties: prefers.write(Draft::D18),
        ..PublishOptions::default()
    };
    publisher.publish(&name(), options).await;
    send_all(&relay, &publisher).await;
    let mut peer = Peer::of(Draft::D14, relay.addr(), Via::Quic).await;

    let range = standalone((1, 0), (3, 3));
    let id = peer.fetch(range, Parameters::default()).await;

    peer.fetch_ok(id).await;
    assert_eq!(peer.answer().await, "3/2 1/0 1/4");
}

fn pairs() -> impl Iterator<Item = (Draft, Draft)> {
    let drafts = [Draft::D19, Draft::D18, Draft::D16, Draft::D14];
    drafts
        .into_iter()
        .flat_map(move |from| drafts.into_iter().map(move |to| (from, to)))
}

/// Waits for the next object of an answer.
async fn object(peer: &mut Peer) -> FetchObject {
    loop {
        match peer.fetched().await {
            Fetched::Item(_, FetchItem::Object(object)) => return object,
            Fetched::Item(_, FetchItem::Header(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A publisher that is asked for every track of the room.
async fn offering(relay: &Running, draft: Draft) -> Peer {
    let mut publisher = Peer::of(draft, relay.addr(), Via::Quic).await;
    publisher.publish_namespace(&namespace("room")).await;
    publisher
}

/// A publisher whose objects have arrived: two of a subgroup, and a datagram two groups later.
async fn published(relay: &Running, draft: Draft) -> Peer {
    let mut publisher = Peer::of(draft, relay.addr(), Via::Quic).await;
    let options = PublishOptions {
        alias: Some(TrackAlias(1)),
        ..PublishOptions::default()
    };
    publisher.publish(&name(), options).await;
    send_all(relay, &publisher).await;
    publisher
}

async fn send_all(relay: &Running, publisher: &Peer) {
    let draft = publisher.machine.draft();
    let mut witness = relay.relay.subscribe(name());
    let header = SubgroupHeader {
        alias: TrackAlias(1),
        group: 1,
        subgroup: SubgroupId::Explicit(7),
        priority: Some(9),
        properties: true,
        end_of_group: true,
        first_object: draft == Draft::D18,
    };
    let mut stream = publisher.subgroup(header).await;
    stream.payload(0, "plain").await;
    let described = moqrelay_moqt::data::Object {
        id: 4,
        properties: properties(draft),
        ..moqrelay_moqt::data::Object::default()
    };
    stream.object(described).await;
    stream.finish();
    hear(&mut witness, 2).await;
    publisher.datagram(&datagram(3, gap(draft)));
    hear(&mut witness, 1).await;
}

fn datagram(group: u64, properties: Bytes) -> ObjectDatagram {
    ObjectDatagram {
        alias: TrackAlias(1),
        group,
        id: 2,
        priority: Some(3),
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties,
        payload: Bytes::from_static(b"datagram"),
    }
}

/// Says that the publisher has no FETCH.
async fn refuse(publisher: &mut Peer) {
    let (id, ..) = publisher.asked_to_fetch().await;
    let error = RequestError::new(RequestCode::NotSupported, "no");
    publisher.machine.reject(id, error).unwrap();
    publisher.flush().await;
}

/// Waits until the relay knows the track's largest object.
async fn until_largest(peer: &mut Peer, largest: Location) {
    loop {
        let status = peer.machine.track_status(name(), Parameters::default());
        peer.flush().await;
        let (params, _) = peer.accepted(status.unwrap()).await;
        if params.largest_object == Some(largest) {
            return;
        }
    }
}

/// Group 2, and what would come before this object in group 3, do not exist.
fn gap(draft: Draft) -> Bytes {
    let mut pairs = KeyValueEncoder::new(draft);
    pairs.int(0x3c, 1).unwrap();
    pairs.int(0x3e, 2).unwrap();
    pairs.finish()
}

fn properties(draft: Draft) -> Bytes {
    let mut pairs = KeyValueEncoder::new(draft);
    pairs.int(0x40, 1000).unwrap();
    pairs.bytes(0x41, b"level").unwrap();
    pairs.finish()
}
