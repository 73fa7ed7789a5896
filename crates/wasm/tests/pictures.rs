//! What a browser's session does with pictures, seen from the relay's side and from its owner's.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{Pair, offer, track};
use moqrelay_moqt::data::{
    Object, SubgroupDecoder, SubgroupEncoder, SubgroupHeader, SubgroupId, SubgroupItem,
};
use moqrelay_moqt::{
    Draft, Event, Filter, GroupOrder, Location, Parameters, RequestId, RequestOk, SubscribeAnswer,
    TrackAlias, TrackProperties,
};
use moqrelay_wasm::session::{CallError, Content, Kind, Picture, Urgency, Via, Wish};
use moqrelay_wire::video_object::{self, Marking, Properties};

const DRAFT: Draft = Draft::D18;
const RENDEZVOUS: Duration = Duration::from_secs(10);
const KEY: Marking = Marking {
    independent: true,
    discardable: false,
};
const DELTA: Marking = Marking {
    independent: false,
    discardable: false,
};
const WISH: Wish = Wish::Pictures(Urgency {
    priority: 140,
    timeout: Duration::from_millis(800),
});
/// As the relay numbers its tracks for the tests.
const ALIAS: TrackAlias = TrackAlias(5);

#[test]
fn a_track_of_pictures_says_that_groups_can_be_asked_for() {
    let mut pair = Pair::new();

    show(&mut pair);

    let properties = pair.event(|event| match event {
        Event::Publish { properties, .. } => Some(properties.clone()),
        _ => None,
    });
    let read = TrackProperties::read(DRAFT, &properties).unwrap();
    assert_eq!(read.publisher_priority, Some(0x70));
    assert!(read.dynamic_groups);
    assert_eq!(read.object_delivery_timeout, Some(Duration::from_secs(1)));
}

#[test]
fn each_group_goes_on_a_stream_of_its_own() {
    let mut pair = Pair::new();
    let (id, alias) = show(&mut pair);
    pair.relay.accept(id, RequestOk::default()).unwrap();
    pair.settle();

    let large = Bytes::from(vec![7; 300_000]);
    for (place, marking, payload) in [
        ((10, 0), KEY, large.clone()),
        ((10, 1), DELTA, Bytes::from_static(b"delta")),
        ((11, 0), KEY, large.clone()),
    ] {
        assert_eq!(send(&mut pair, place, marking, payload), Ok(true));
    }
    pair.settle();

    let groups: Vec<_> = pair
        .streams
        .values()
        .map(|(bytes, fin)| (read(bytes), *fin))
        .collect();
    assert_eq!(groups.len(), 2);
    let ((header, objects), fin) = &groups[0];
    assert_eq!((header.alias, header.group, *fin), (alias, 10, true));
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0].payload, large);
    let properties = Properties::decode(&objects[0].properties).unwrap();
    assert_eq!(properties.marking, Some(KEY));
    assert_eq!(properties.config, "avcC");
    assert_eq!(properties.timestamp, Some(480_000));
    assert!(!groups[1].1, "the newest group goes on");
}

#[test]
fn a_group_that_is_given_up_is_left_out_until_the_next() {
    let mut pair = Pair::new();
    let (id, _) = show(&mut pair);
    pair.relay.accept(id, RequestOk::default()).unwrap();
    pair.settle();
    send(&mut pair, (10, 0), KEY, Bytes::from_static(b"key")).unwrap();

    pair.client.give_up(7).unwrap();

    assert_eq!(
        send(&mut pair, (10, 1), DELTA, Bytes::from_static(b"late")),
        Ok(false)
    );
    assert_eq!(
        send(&mut pair, (11, 0), KEY, Bytes::from_static(b"key")),
        Ok(true)
    );
    pair.settle();
    assert_eq!(pair.streams.len(), 2);
}

#[test]
fn a_relay_that_stops_a_stream_gets_a_new_group() {
    let mut pair = Pair::new();
    let (id, _) = show(&mut pair);
    pair.relay.accept(id, RequestOk::default()).unwrap();
    pair.settle();
    send(&mut pair, (10, 0), KEY, Bytes::from_static(b"key")).unwrap();
    pair.settle();
    let stream = *pair.streams.keys().next().unwrap();

    let now = pair.now;
    pair.client.handle_stop(stream, 1, now);
    pair.settle();

    let wanted = pair.told(Kind::NewGroup)[0];
    assert_eq!((wanted.id, wanted.group), (7, 11));
    assert_eq!(
        send(&mut pair, (10, 1), DELTA, Bytes::from_static(b"more")),
        Ok(false)
    );
}

#[test]
fn nothing_is_sent_until_somebody_watches() {
    let mut pair = Pair::new();
    let (id, _) = show(&mut pair);
    let quiet = Parameters {
        forward: Some(false),
        ..Parameters::default()
    };
    let answer = RequestOk {
        params: quiet,
        ..RequestOk::default()
    };
    pair.relay.accept(id, answer).unwrap();
    pair.settle();
    assert_eq!(pair.told(Kind::Idle).len(), 1);
    assert_eq!(
        send(&mut pair, (1, 0), KEY, Bytes::from_static(b"key")),
        Ok(false)
    );

    let watched = Parameters {
        forward: Some(true),
        new_group_request: Some(0),
        ..Parameters::default()
    };
    pair.relay.update(id, watched).unwrap();
    pair.settle();

    assert_eq!(pair.told(Kind::Live).len(), 2);
    assert_eq!(pair.told(Kind::NewGroup)[0].group, 0);
    assert_eq!(
        send(&mut pair, (1, 0), KEY, Bytes::from_static(b"key")),
        Ok(true)
    );
}

#[test]
fn a_picture_that_is_too_large_is_refused_here() {
    let mut pair = Pair::new();
    show(&mut pair);

    let sent = send(&mut pair, (1, 0), KEY, vec![0; 1 << 20].into());

    assert_eq!(sent, Err(CallError::Invalid));
}

#[test]
fn watching_asks_for_a_new_group_newest_first() {
    let mut pair = Pair::new();

    pair.client
        .subscribe(9, offer("p2"), WISH, RENDEZVOUS)
        .unwrap();
    pair.settle();

    let params = pair.event(|event| match event {
        Event::Subscribe { params, .. } => Some(params.clone()),
        _ => None,
    });
    assert_eq!(params.new_group_request, Some(0));
    assert_eq!(params.filter, Some(Filter::NextGroupStart));
    assert_eq!(params.group_order, Some(GroupOrder::Descending));
    assert_eq!(params.subscriber_priority, Some(140));
    assert_eq!(
        params.object_delivery_timeout,
        Some(Duration::from_millis(800))
    );
}

#[test]
fn pictures_come_in_pieces() {
    let mut pair = Pair::new();
    watch(&mut pair);
    let payload: Bytes = (0..200_000_u32).map(|n| n as u8).collect();

    let stream = pair.open();
    let bytes = group(
        3,
        &[(KEY, payload.clone()), (DELTA, Bytes::from_static(b"d"))],
    );
    for piece in bytes.chunks(1_200) {
        pair.send(stream, Bytes::copy_from_slice(piece), false);
    }

    let seen = pair.told(Kind::Picture);
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].id, seen[0].group, seen[0].object), (9, 3, 0));
    assert_eq!((seen[0].code, seen[1].code), (1, 0));
    assert_eq!(seen[0].ticks, 4);
    assert_eq!(seen[0].bytes.slice(4..), payload);
    assert_eq!(seen[0].bytes.slice(..4), "avcC");
    assert!((seen[0].at - 480_000.0).abs() < 1e-9);
}

#[test]
fn a_newer_group_stops_what_is_left_of_the_older_ones() {
    let mut pair = Pair::new();
    watch(&mut pair);
    let picture = Bytes::from(vec![1; 50_000]);
    let (old, new) = (pair.open(), pair.open());
    let late = group(3, &[(KEY, picture.clone())]);
    pair.send(old, late.slice(..40_000), false);

    pair.send(new, group(4, &[(KEY, picture)]), false);
    pair.send(old, late.slice(40_000..), true);

    let seen = pair.told(Kind::Picture);
    assert_eq!(seen.iter().map(|seen| seen.group).collect::<Vec<_>>(), [4]);
    assert_eq!(pair.told(Kind::Stop)[0].id, old);
    assert!(pair.closed.is_none());
}

#[test]
fn a_group_that_the_relay_gives_up_is_told_and_another_one_asked_for() {
    let mut pair = Pair::new();
    let id = watch(&mut pair);
    let stream = pair.open();
    pair.send(
        stream,
        group(3, &[(KEY, Bytes::from_static(b"key"))]),
        false,
    );

    let now = pair.now;
    pair.client.handle_reset(stream, 2, now);
    pair.settle();
    assert_eq!(
        (pair.told(Kind::Cut)[0].id, pair.told(Kind::Cut)[0].group),
        (9, 3)
    );

    pair.client.ask_group(9, 4).unwrap();
    pair.settle();
    let (asked, params) = pair.event(|event| match event {
        Event::Update { id, params, .. } => Some((*id, params.clone())),
        _ => None,
    });
    assert_eq!((asked, params.new_group_request), (id, Some(4)));
}

#[test]
fn an_object_that_is_too_large_costs_its_group_not_the_session() {
    let mut pair = Pair::new();
    watch(&mut pair);
    let stream = pair.open();

    let huge = group(3, &[(KEY, vec![0; 2 << 20].into())]);
    pair.send(stream, huge.slice(..2_000), false);

    assert!(pair.closed.is_none());
    assert_eq!(pair.told(Kind::Stop)[0].id, stream);
    assert_eq!(pair.told(Kind::Cut)[0].group, 3);
}

#[test]
fn streams_that_never_complete_are_bounded_together() {
    let mut pair = Pair::new();
    watch(&mut pair);
    let part = group(3, &[(KEY, vec![0; 900_000].into())]).slice(..800_000);

    for _ in 0..20 {
        let stream = pair.open();
        pair.send(stream, part.clone(), false);
    }

    assert!(pair.closed.is_none());
    assert_eq!(pair.told(Kind::Stop).len(), 10, "ten times 800 kB fit");
}

#[test]
fn other_objects_come_as_they_are() {
    let mut pair = Pair::new();
    pair.client
        .subscribe(9, offer("p2"), Wish::Objects, RENDEZVOUS)
        .unwrap();
    pair.settle();
    accept(&mut pair, &Bytes::new());
    let stream = pair.open();

    let mut bytes = BytesMut::new();
    let mut encoder = begin(6, false, &mut bytes);
    put(
        &mut encoder,
        0,
        Bytes::new(),
        &Bytes::from_static(b"{}"),
        &mut bytes,
    );
    pair.send(stream, bytes, true);

    let told = pair.told(Kind::Object)[0];
    assert_eq!((told.id, told.group, &told.bytes[..]), (9, 6, &b"{}"[..]));
}

fn show(pair: &mut Pair) -> (RequestId, TrackAlias) {
    let content = Content::Pictures(0x70);
    pair.client
        .publish(7, offer("p1"), Via::Stream, content)
        .unwrap();
    pair.settle();
    pair.event(|event| match event {
        Event::Publish { id, alias, .. } => Some((*id, *alias)),
        _ => None,
    })
}

fn send(
    pair: &mut Pair,
    (group, object): (u64, u64),
    marking: Marking,
    payload: Bytes,
) -> Result<bool, CallError> {
    let config = if marking.independent {
        &b"avcC"[..]
    } else {
        b""
    };
    let picture = Picture {
        at: group * 48_000,
        marking,
        config: Bytes::copy_from_slice(config),
        payload,
    };
    pair.client
        .picture(7, Location::new(group, object), picture)
}

/// Subscribes to pictures as track 9; the relay accepts.
fn watch(pair: &mut Pair) -> RequestId {
    pair.client
        .subscribe(9, offer("p2"), WISH, RENDEZVOUS)
        .unwrap();
    pair.settle();
    accept(pair, &video_object::track_properties(0x70))
}

fn accept(pair: &mut Pair, properties: &Bytes) -> RequestId {
    let id = pair.event(|event| match event {
        Event::Subscribe {
            id, track: asked, ..
        } if *asked == track("p2") => Some(*id),
        _ => None,
    });
    let answer = SubscribeAnswer {
        alias: Some(ALIAS),
        properties: properties.clone(),
        ..SubscribeAnswer::default()
    };
    pair.relay.accept_subscribe(id, answer).unwrap();
    pair.settle();
    id
}

/// The bytes of a whole group, without FIN; its first picture has a configuration.
fn group(group: u64, pictures: &[(Marking, Bytes)]) -> Bytes {
    let mut out = BytesMut::new();
    let mut encoder = begin(group, true, &mut out);
    for (id, (marking, payload)) in pictures.iter().enumerate() {
        let config = if id == 0 { &b"avcC"[..] } else { b"" };
        let properties = Properties {
            timestamp: Some(480_000),
            timescale: None,
            config: Bytes::copy_from_slice(config),
            marking: Some(*marking),
        };
        put(
            &mut encoder,
            id as u64,
            properties.to_bytes(),
            payload,
            &mut out,
        );
    }
    out.freeze()
}

fn begin(group: u64, properties: bool, out: &mut BytesMut) -> SubgroupEncoder {
    let header = SubgroupHeader {
        alias: ALIAS,
        group,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties,
        end_of_group: true,
        first_object: true,
    };
    let encoder = SubgroupEncoder::new(DRAFT, header);
    encoder.header(out);
    encoder
}

fn put(
    encoder: &mut SubgroupEncoder,
    id: u64,
    properties: Bytes,
    payload: &Bytes,
    out: &mut BytesMut,
) {
    let object = Object {
        id,
        properties,
        payload: payload.clone(),
        ..Object::default()
    };
    encoder.object(&object, out).unwrap();
    out.extend_from_slice(payload);
}

fn read(bytes: &BytesMut) -> (SubgroupHeader, Vec<Object>) {
    let limits = moqrelay_moqt::data::Limits {
        payload_bytes_max: 1 << 20,
        properties_bytes_max: 4096,
    };
    let mut decoder = SubgroupDecoder::new(DRAFT, limits);
    decoder.push(bytes.clone().freeze());
    let Some(SubgroupItem::Header(header)) = decoder.poll().unwrap() else {
        panic!("no header");
    };
    let mut objects = Vec::new();
    while let Some(SubgroupItem::Object(object)) = decoder.poll().unwrap() {
        objects.push(object);
    }
    (header, objects)
}
