//! Requests beside the tracks, and those that cannot be.

use core::time::Duration;

use bytes::Bytes;
use moqrelay_moqt::{Event, Location, Parameters, RequestCode, RequestError};
use moqrelay_wasm::session::{CallError, Kind, Via, Wish};

use super::{RENDEZVOUS, publish, second};
use crate::common::{NOW, Pair, offer, packet, track};

#[test]
fn a_ping_measures_the_round_trip_whatever_the_answer() {
    let mut pair = Pair::new();
    publish(&mut pair, Via::Datagram);
    pair.client.ping(7, NOW).unwrap();
    pair.settle();
    let id = pair.event(|event| match event {
        Event::TrackStatus { id, .. } => Some(*id),
        _ => None,
    });

    pair.now = NOW + Duration::from_millis(25);
    pair.relay
        .reject(id, RequestError::new(RequestCode::DoesNotExist, ""))
        .unwrap();
    pair.settle();

    assert_eq!(pair.told(Kind::Pong)[0].at, 25.0);
}

#[test]
fn requests_of_the_relay_are_answered() {
    let mut pair = Pair::new();
    publish(&mut pair, Via::Datagram);
    let unknown = pair
        .relay
        .subscribe(track("p8"), Default::default())
        .unwrap();
    let prefix = moqrelay_moqt::Namespace::empty();
    let names = pair
        .relay
        .subscribe_namespace(prefix, Parameters::default())
        .unwrap();
    pair.settle();

    let codes: Vec<_> = pair
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Rejected { id, error } => Some((*id, error.code)),
            _ => None,
        })
        .collect();
    assert_eq!(codes, [(unknown, RequestCode::DoesNotExist)]);
    assert!(
        pair.events
            .iter()
            .any(|event| matches!(event, Event::Accepted { id, .. } if *id == names))
    );
}

#[test]
fn limits_and_mistakes_are_refused() {
    let mut pair = Pair::new();
    publish(&mut pair, Via::Datagram);

    assert_eq!(
        pair.client
            .subscribe(7, offer("p2"), Wish::Voice, RENDEZVOUS),
        Err(CallError::Refused)
    );
    assert_eq!(
        pair.client.voice(8, second(0), 0, 0, packet(0)),
        Err(CallError::Unknown)
    );
    assert_eq!(pair.client.ping(8, NOW), Err(CallError::Unknown));
    let (from, last) = (Location::new(5, 0), Location::new(5, 1));
    assert_eq!(
        pair.client.fetch(9, 7, from, last),
        Err(CallError::Unknown),
        "our own track is nobody's past"
    );
    for _ in 0..4 {
        pair.client.ping(7, NOW).unwrap();
    }
    assert_eq!(pair.client.ping(7, NOW), Err(CallError::Refused));
    pair.client
        .handle_stream(12_345, Bytes::from_static(b"x"), true, NOW);
    pair.client.handle_reset(12_345, 0, NOW);
    pair.client.handle_stop(12_345, 0, NOW);
    pair.settle();
    assert_eq!(pair.closed, None);
}
