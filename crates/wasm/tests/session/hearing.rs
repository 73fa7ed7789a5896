//! What a browser hears of the tracks that it subscribes to.

use core::time::Duration;

use bytes::Bytes;
use moqrelay_moqt::{
    Event, PublishDoneCode, RequestCode, RequestError, SubscribeAnswer, TrackAlias,
    data::ObjectDatagram,
};
use moqrelay_wasm::lines::{Counts, Lines, Packet};
use moqrelay_wasm::session::{CallError, Kind, Record, Wish};
use moqrelay_wire::audio_object::Properties;

use super::{DRAFT, RENDEZVOUS, accept, bare, group, subscribe, token, voice};
use crate::common::{NOW, Pair, offer, packet};

#[test]
fn a_subscription_waits_for_its_publisher_and_hears_it() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    let (wait, tokens) = pair.event(|event| match event {
        Event::Subscribe { params, tokens, .. } => {
            Some((params.rendezvous_timeout, tokens.clone()))
        }
        _ => None,
    });
    assert_eq!((wait, tokens), (Some(RENDEZVOUS), vec![token(b"ticket")]));

    let alias = accept(&mut pair, id);
    for number in 0..3 {
        let bytes = voice(
            alias,
            5,
            number.into(),
            Some(100 + 960 * u64::from(number)),
            number,
        );
        pair.client.handle_datagram(bytes, NOW);
    }
    pair.settle();

    assert_eq!(pair.told(Kind::Live)[0].id, 9);
    let heard = pair.told(Kind::Packet);
    assert_eq!(heard.len(), 3);
    assert_eq!(
        (heard[2].id, heard[2].code, &heard[2].bytes),
        (9, 0x80 | 20, &packet(2))
    );
    assert_eq!(
        (heard[2].group, heard[2].object, heard[2].at, heard[2].ticks),
        (5, 2, 2_020.0, 960)
    );
}

#[test]
fn a_foreign_publisher_without_timestamps_is_heard_in_order() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    let alias = accept(&mut pair, id);

    for (group, object) in [(5, 0), (5, 1), (6, 0), (6, 1)] {
        let bytes = ObjectDatagram {
            properties: Bytes::new(),
            ..bare(alias, group, object)
        };
        pair.client
            .handle_datagram(bytes.encode(DRAFT).unwrap(), NOW);
    }
    pair.settle();

    let heard = pair.told(Kind::Packet);
    let mut lines = Lines::default();
    let places: Vec<u64> = heard
        .iter()
        .map(|record| lines.place(9, described(record)).unwrap())
        .collect();
    let from_first: Vec<u64> = places.iter().map(|place| place - places[0]).collect();
    assert_eq!(from_first, [0, 960, 1920, 2880]);
    let (received, lost) = (4, 0);
    assert_eq!(lines.counts(9), Counts { received, lost });
    assert_eq!(heard[0].code, 255, "no level is told");
}

#[test]
fn an_object_in_a_seat_says_whose_it_is() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    let alias = accept(&mut pair, id);

    let in_seats = [Some(3), None, Some(u64::MAX)];
    for (object, participant) in (0..).zip(in_seats) {
        let said = Properties {
            participant,
            ..Properties::default()
        };
        let bytes = ObjectDatagram {
            properties: said.to_bytes(),
            ..bare(alias, 5, object)
        };
        pair.client
            .handle_datagram(bytes.encode(DRAFT).unwrap(), NOW);
    }
    pair.settle();

    let heard = pair.told(Kind::Packet);
    let whose: Vec<u32> = heard.iter().map(|record| record.participant).collect();
    assert_eq!(whose, [3, 0, 0]);
}

#[test]
fn objects_that_come_before_the_answer_are_kept() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    let alias = TrackAlias(77);
    let stream = pair.open();
    for piece in group(alias, 5, 3).chunks(7) {
        pair.send(stream, Bytes::copy_from_slice(piece), false);
    }
    assert!(pair.told(Kind::Packet).is_empty());

    let answer = SubscribeAnswer {
        alias: Some(alias),
        ..SubscribeAnswer::default()
    };
    pair.relay.accept_subscribe(id, answer).unwrap();
    pair.settle();

    assert_eq!(pair.told(Kind::Packet).len(), 3);
}

#[test]
fn a_refusal_says_why_and_when_to_come_back() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);

    let error =
        RequestError::new(RequestCode::Timeout, "nobody").retry_after(Duration::from_secs(2));
    pair.relay.reject(id, error).unwrap();
    pair.settle();

    let refused = pair.told(Kind::Refused)[0];
    assert_eq!(
        (refused.id, refused.code, refused.at, &refused.bytes[..]),
        (9, 2, 2000.0, &b"nobody"[..])
    );
    assert_eq!(pair.client.end(9), Err(CallError::Unknown));
    // The same number and track may be used again.
    pair.client
        .subscribe(9, offer("p2"), Wish::Voice, RENDEZVOUS)
        .unwrap();
}

#[test]
fn a_track_that_ends_is_told() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    accept(&mut pair, id);

    pair.relay
        .publish_done(id, PublishDoneCode::TrackEnded, Some(0), "bye")
        .unwrap();
    pair.settle();

    let ended = pair.told(Kind::Ended)[0];
    assert_eq!(
        (ended.id, ended.code, &ended.bytes[..]),
        (9, 2, &b"bye"[..])
    );
}

/// A packet as the time lines take it.
fn described(record: &Record) -> Packet {
    Packet {
        group: record.group,
        object: record.object,
        stamp: (record.at >= 0.0).then_some(record.at as u64),
        ticks: record.ticks,
    }
}
