//! What a relay should never send.

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{Event, TrackAlias, data::ObjectDatagram};
use moqrelay_wasm::session::{CallError, Kind, Wish};

use super::{DRAFT, RENDEZVOUS, accept, bare, group, subscribe, voice};
use crate::common::{NOW, Pair, offer};

#[test]
fn what_nobody_asked_for_is_stopped() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    let alias = accept(&mut pair, id);
    let stream = pair.open();
    pair.send(stream, group(alias, 5, 1), false);
    pair.client.end(9).unwrap();
    pair.settle();

    let late = pair.open();
    pair.send(late, group(alias, 6, 1), false);
    let flood = pair.open();
    let mut bytes = BytesMut::from(&group(TrackAlias(500), 1, 1)[..]);
    bytes.resize(300_000, 0);
    pair.send(flood, bytes, false);

    let stopped: Vec<u32> = pair
        .told(Kind::Stop)
        .iter()
        .map(|record| record.id)
        .collect();
    assert!(stopped.contains(&late) && stopped.contains(&flood));
    assert_eq!(pair.closed, None);
    assert!(
        pair.events
            .iter()
            .any(|event| matches!(event, Event::Cancelled { .. }))
    );
}

#[test]
fn streams_of_unknown_tracks_do_not_pile_up() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    for _ in 0..1_000 {
        let stream = pair.open();
        pair.send(stream, group(TrackAlias(500), 1, 1), false);
    }

    let alias = accept(&mut pair, id);
    let stream = pair.open();
    pair.send(stream, group(alias, 1, 2), true);

    assert_eq!(pair.told(Kind::Packet).len(), 2);
    assert!(pair.told(Kind::Stop).len() > 700);
}

#[test]
fn garbage_in_a_payload_or_property_is_left_out() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    let alias = accept(&mut pair, id);
    let broken = [
        ObjectDatagram {
            payload: Bytes::new(),
            ..bare(alias, 1, 0)
        },
        ObjectDatagram {
            payload: vec![31 << 3 | 3, 63].into(),
            ..bare(alias, 1, 1)
        },
        ObjectDatagram {
            payload: vec![0; 5_000].into(),
            ..bare(alias, 1, 2)
        },
        ObjectDatagram {
            properties: Bytes::from_static(b"\x10"),
            ..bare(alias, 1, 3)
        },
    ];
    for object in broken {
        pair.client
            .handle_datagram(object.encode(DRAFT).unwrap(), NOW);
    }
    pair.client
        .handle_datagram(voice(alias, 1, 4, Some(1), 4), NOW);
    pair.settle();

    assert_eq!(pair.told(Kind::Packet).len(), 1);
    assert_eq!(pair.closed, None);
}

#[test]
fn a_datagram_that_breaks_the_draft_ends_the_session() {
    let mut pair = Pair::new();

    pair.client
        .handle_datagram(Bytes::from_static(b"\x3f\x00"), NOW);
    pair.settle();

    assert_eq!(pair.closed, Some(3));
    assert_eq!(
        pair.client
            .subscribe(9, offer("p2"), Wish::Voice, RENDEZVOUS),
        Err(CallError::Refused)
    );
}

#[test]
fn random_bytes_never_panic() {
    // SplitMix64: the same bytes on every run.
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    for round in 0..3_000 {
        let mut pair = Pair::new();
        let id = subscribe(&mut pair);
        let alias = accept(&mut pair, id);
        let good = [voice(alias, 1, 0, Some(5), 0), group(alias, 1, 2)][round % 2].clone();
        let mut bytes = good.to_vec();
        for _ in 0..=random() % 4 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        bytes.truncate(1 + random() as usize % bytes.len());
        if round % 2 == 0 {
            pair.client.handle_datagram(bytes.into(), NOW);
        } else {
            let stream = pair.open();
            pair.client
                .handle_stream(stream, bytes.into(), random() % 2 == 0, NOW);
        }
        while pair.client.poll().is_some() {}
    }
}
