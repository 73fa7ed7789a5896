//! What was said a moment ago: FETCH.

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    Event, FetchAnswer, FetchRange, GroupOrder, Location, RequestCode, RequestError, RequestId,
    data::{FetchEncoder, FetchHeader, FetchObject},
};
use moqrelay_wasm::session::{CallError, Kind};

use super::{DRAFT, accept, properties, subscribe, token};
use crate::common::{NOW, Pair, packet, track};

#[test]
fn what_was_said_a_moment_ago_is_told_again() {
    let mut pair = Pair::new();
    let of = subscribe(&mut pair);
    accept(&mut pair, of);
    let (from, last) = (Location::new(5, 0), Location::new(6, 1));
    pair.client.fetch(11, 9, from, last).unwrap();
    pair.settle();
    let (id, range, tokens) = pair.event(|event| match event {
        Event::Fetch {
            id, range, tokens, ..
        } => Some((*id, range.clone(), tokens.clone())),
        _ => None,
    });
    let wanted = FetchRange::Standalone {
        track: track("p2"),
        start: from,
        end: Location::new(6, 2),
    };
    assert_eq!((range, tokens), (wanted, vec![token(b"ticket")]));

    let stream = pair.open();
    let objects = [(5, 0), (5, 49), (6, 1)];
    for piece in past(id, &objects).chunks(9) {
        pair.send(stream, Bytes::copy_from_slice(piece), false);
    }
    pair.send(stream, Bytes::new(), true);
    assert!(pair.told(Kind::Ended).is_empty(), "FETCH_OK is missing");
    let answer = FetchAnswer {
        end: Location::new(6, 2),
        ..FetchAnswer::default()
    };
    pair.relay.accept_fetch(id, answer).unwrap();
    pair.settle();

    let heard: Vec<_> = pair
        .told(Kind::Packet)
        .iter()
        .map(|record| (record.id, record.group, record.object, record.at))
        .collect();
    assert_eq!(heard, [(11, 5, 0, 0.0), (11, 5, 49, 49.0), (11, 6, 1, 1.0)]);
    let ended = pair.told(Kind::Ended);
    assert_eq!((ended.len(), ended[0].id, ended[0].code), (1, 11, 0));
    assert_eq!(pair.client.end(11), Err(CallError::Unknown));
    assert_eq!(pair.client.end(9), Ok(()), "the live track goes on");
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_ends_the_fetch_alone() {
    for objects in [&[(4, 0)][..], &[(6, 2)], &[(5, 1), (5, 0)]] {
        let mut pair = Pair::new();
        let id = ask_for_the_past(&mut pair);
        let stream = pair.open();

        pair.send(stream, past(id, objects), true);

        let ended = pair.told(Kind::Ended)[0];
        assert_eq!(ended.id, 11);
        assert_ne!(ended.code, 0, "{objects:?}");
        assert_eq!(pair.closed, None);
    }
}

#[test]
fn a_fetch_that_is_refused_reset_or_given_up_is_forgotten() {
    let mut pair = Pair::new();
    let id = ask_for_the_past(&mut pair);
    let error = RequestError::new(RequestCode::InvalidRange, "gone");
    pair.relay.reject(id, error).unwrap();
    pair.settle();
    assert_eq!(pair.told(Kind::Refused)[0].id, 11);

    pair.client
        .fetch(12, 9, Location::new(5, 0), Location::new(6, 1))
        .unwrap();
    pair.settle();
    let id = pair.event(|event| match event {
        Event::Fetch { id, .. } => Some(*id),
        _ => None,
    });
    let stream = pair.open();
    pair.send(stream, past(id, &[(5, 0)]), false);
    pair.client.handle_reset(stream, 0, NOW);
    pair.settle();
    let ended = pair.told(Kind::Ended)[0];
    assert_eq!((ended.id, ended.code), (12, 1));

    let id = {
        let (from, last) = (Location::new(5, 0), Location::new(6, 1));
        pair.client.fetch(13, 9, from, last).unwrap();
        pair.settle();
        pair.event(|event| match event {
            Event::Fetch { id, .. } => Some(*id),
            _ => None,
        })
    };
    let stream = pair.open();
    pair.send(stream, past(id, &[(5, 0)]), false);
    pair.client.end(13).unwrap();
    pair.settle();
    assert!(pair.told(Kind::Stop).iter().any(|stop| stop.id == stream));
    pair.send(stream, past(id, &[(5, 0)]), true);
    assert_eq!(pair.told(Kind::Packet).len(), 2);
    assert_eq!(pair.closed, None);
}

/// Returns the relay's FETCH of groups 5 and 6, which the client knows as 11.
fn ask_for_the_past(pair: &mut Pair) -> RequestId {
    let of = subscribe(pair);
    accept(pair, of);
    let (from, last) = (Location::new(5, 0), Location::new(6, 1));
    pair.client.fetch(11, 9, from, last).unwrap();
    pair.settle();
    pair.event(|event| match event {
        Event::Fetch { id, .. } => Some(*id),
        _ => None,
    })
}

/// A fetch stream of these objects; their timestamps are their ids.
fn past(id: RequestId, objects: &[(u64, u64)]) -> Bytes {
    let mut out = BytesMut::new();
    FetchHeader { id }.encode(DRAFT, &mut out);
    // What breaks the order cannot be written as it is meant to be.
    let mut encoder = FetchEncoder::new(DRAFT, GroupOrder::Ascending);
    for (group, object) in objects {
        let object = FetchObject {
            location: Location::new(*group, *object),
            subgroup: None,
            priority: 0x20,
            properties: properties(*object),
            payload: packet(*object as u8),
        };
        if encoder.object(&object, &mut out).is_err() {
            encoder = FetchEncoder::new(DRAFT, GroupOrder::Ascending);
            encoder.object(&object, &mut out).unwrap();
        }
        out.extend_from_slice(&object.payload);
    }
    out.freeze()
}
