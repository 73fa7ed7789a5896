//! What a browser publishes, as the relay gets it.

use core::time::Duration;

use bytes::Bytes;
use moqrelay_moqt::{
    Event, Parameters, PublishDoneCode, RequestOk, TrackProperties, data::ObjectDatagram,
};
use moqrelay_wasm::session::{Kind, Via};
use moqrelay_wire::audio_object::{Level, Properties};

use super::{DRAFT, GROUP, object, publish, second, subgroup, token};
use crate::common::{Pair, packet, track};

#[test]
fn setup_carries_the_token_and_the_relays_comes_back() {
    let pair = Pair::new();

    let setup = pair.event(|event| match event {
        Event::Setup(setup) => Some(setup.clone()),
        _ => None,
    });
    assert_eq!(setup.tokens, [token(b"secret")]);
    assert!(setup.implementation.unwrap().starts_with("moqrelay-web/"));
    assert_eq!(pair.told(Kind::Ready).len(), 1);
}

#[test]
fn a_published_track_says_what_it_is() {
    let mut pair = Pair::new();

    let (id, _) = publish(&mut pair, Via::Datagram);

    let (name, tokens, properties) = pair.event(|event| match event {
        Event::Publish {
            track,
            tokens,
            properties,
            ..
        } => Some((track.clone(), tokens.clone(), properties.clone())),
        _ => None,
    });
    assert_eq!(name, track("p1"));
    assert_eq!(tokens, [token(b"ticket")]);
    let own = TrackProperties::read(DRAFT, &properties).unwrap();
    assert_eq!(own.publisher_priority, Some(0x20));
    assert_eq!(
        own.object_delivery_timeout,
        Some(Duration::from_millis(500))
    );
    assert_eq!(
        Properties::decode(&properties).unwrap().timescale,
        Some(48_000)
    );

    assert!(pair.told(Kind::Live).is_empty());
    pair.relay.accept(id, RequestOk::default()).unwrap();
    pair.settle();
    assert_eq!(pair.told(Kind::Live)[0].id, 7);
}

#[test]
fn voice_goes_out_in_groups_of_a_second() {
    let mut pair = Pair::new();
    let (_, alias) = publish(&mut pair, Via::Datagram);

    for number in 0..51 {
        let at = u64::from(number) * 960;
        let place = second(number);
        let sent = pair.client.voice(7, place, at, 0x80 | 30, packet(number));
        assert_eq!(sent, Ok(true));
    }
    pair.settle();

    let sent: Vec<ObjectDatagram> = pair.datagrams.iter().map(object).collect();
    assert_eq!(sent.len(), 51);
    assert_eq!(
        (sent[0].alias, sent[0].group, sent[0].id),
        (alias, GROUP, 0)
    );
    assert_eq!(
        (sent[49].group, sent[49].id, sent[49].end_of_group),
        (GROUP, 49, true)
    );
    assert_eq!((sent[50].group, sent[50].id), (GROUP + 1, 0));
    assert_eq!(sent[50].payload, packet(50));
    let properties = Properties::decode(&sent[50].properties).unwrap();
    assert_eq!(properties.timestamp, Some(48_000));
    assert_eq!(
        properties.level,
        Some(Level {
            below_overload_db: 30,
            voice: true
        })
    );
}

#[test]
fn without_datagrams_each_group_is_a_subgroup() {
    let mut pair = Pair::new();
    let (id, alias) = publish(&mut pair, Via::Stream);

    for number in 0..51 {
        let at = u64::from(number) * 960;
        pair.client
            .voice(7, second(number), at, 127, packet(number))
            .unwrap();
    }
    pair.client.end(7).unwrap();
    pair.settle();

    assert!(pair.datagrams.is_empty());
    let groups: Vec<_> = pair
        .streams
        .values()
        .map(|(bytes, fin)| {
            assert!(fin, "every stream was finished");
            subgroup(bytes.clone().freeze())
        })
        .collect();
    assert_eq!(groups.len(), 2);
    assert_eq!(
        (groups[0].0.alias, groups[0].0.group, groups[0].1.len()),
        (alias, GROUP, 50)
    );
    assert_eq!((groups[1].0.group, groups[1].1.len()), (GROUP + 1, 1));
    assert_eq!(groups[1].1[0].payload, packet(50));
    let (request, status, streams) = pair.event(|event| match event {
        Event::PublishDone {
            id,
            status,
            streams,
            ..
        } => Some((*id, *status, *streams)),
        _ => None,
    });
    assert_eq!(
        (request, status, streams),
        (id, PublishDoneCode::TrackEnded, Some(2))
    );
}

#[test]
fn nothing_is_sent_while_nobody_wants_it() {
    let mut pair = Pair::new();
    let (id, _) = publish(&mut pair, Via::Datagram);
    let mut silent = RequestOk::default();
    silent.params.forward = Some(false);
    pair.relay.accept(id, silent).unwrap();
    pair.settle();

    let unsent = pair.client.voice(7, second(0), 0, 127, packet(0));
    pair.settle();
    assert_eq!(unsent, Ok(false), "so that its number may be used again");
    assert!(pair.datagrams.is_empty());

    let wanted = Parameters {
        forward: Some(true),
        ..Parameters::default()
    };
    pair.relay.update(id, wanted).unwrap();
    pair.settle();
    let sent = pair.client.voice(7, second(0), 960, 127, packet(1));
    pair.settle();
    assert_eq!(sent, Ok(true));
    assert_eq!(object(&pair.datagrams[0]).id, 0);
    assert!(
        pair.events
            .iter()
            .any(|event| matches!(event, Event::Updated { .. }))
    );
}

#[test]
fn a_catalog_is_a_group_of_one_object_on_a_stream() {
    let mut pair = Pair::new();
    publish(&mut pair, Via::Stream);

    for group in [GROUP, GROUP + 1] {
        let sent = pair.client.single(7, group, Bytes::from_static(b"{}"));
        assert_eq!(sent, Ok(true));
    }
    pair.settle();

    let groups: Vec<u64> = pair
        .streams
        .values()
        .map(|(bytes, fin)| {
            assert!(fin);
            let (header, objects) = subgroup(bytes.clone().freeze());
            assert_eq!((objects.len(), &objects[0].payload[..]), (1, &b"{}"[..]));
            header.group
        })
        .collect();
    assert_eq!(groups, [GROUP, GROUP + 1]);
}

#[test]
fn a_publisher_that_moves_goes_on_in_mid_group() {
    let mut pair = Pair::new();
    publish(&mut pair, Via::Stream);

    for number in [23, 24, 49, 50] {
        pair.client
            .voice(7, second(number), 0, 127, packet(number))
            .unwrap();
    }
    pair.client.end(7).unwrap();
    pair.settle();

    let groups: Vec<_> = pair
        .streams
        .values()
        .map(|(bytes, _)| subgroup(bytes.clone().freeze()))
        .map(|(header, objects)| (header.group, header.first_object, objects[0].id))
        .collect();
    assert_eq!(groups, [(GROUP, false, 23), (GROUP + 1, true, 0)]);
}
