//! What a browser's session does, seen from the relay's side and from its owner's.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{NOW, Pair, offer, packet, track};
use moqrelay_moqt::data::{
    Datagram, FetchEncoder, FetchHeader, FetchObject, Object, ObjectDatagram, ObjectStatus,
    SubgroupDecoder, SubgroupEncoder, SubgroupHeader, SubgroupId, SubgroupItem,
};
use moqrelay_moqt::{
    AuthToken, Draft, Event, FetchAnswer, FetchRange, GroupOrder, Location, Parameters,
    PublishDoneCode, RequestCode, RequestError, RequestId, RequestOk, SubscribeAnswer, TrackAlias,
    TrackProperties,
};
use moqrelay_wasm::lines::{Counts, Lines, Packet};
use moqrelay_wasm::session::{CallError, Content, Kind, Record, Via, Wish};
use moqrelay_wire::audio_object::{self, Level, Properties};

const DRAFT: Draft = Draft::D18;
const RENDEZVOUS: Duration = Duration::from_secs(10);
const GROUP: u64 = 1_800_000_000;

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

fn publish(pair: &mut Pair, via: Via) -> (RequestId, TrackAlias) {
    pair.client
        .publish(7, offer("p1"), via, Content::Voice)
        .unwrap();
    pair.settle();
    pair.event(|event| match event {
        Event::Publish { id, alias, .. } => Some((*id, *alias)),
        _ => None,
    })
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

/// Where the n-th packet goes in groups of a second.
fn second(number: u8) -> Location {
    Location::new(GROUP + u64::from(number) / 50, u64::from(number) % 50)
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

fn subscribe(pair: &mut Pair) -> RequestId {
    pair.client
        .subscribe(9, offer("p2"), Wish::Voice, RENDEZVOUS)
        .unwrap();
    pair.settle();
    pair.event(|event| match event {
        Event::Subscribe {
            id, track: name, ..
        } if *name == track("p2") => Some(*id),
        _ => None,
    })
}

fn accept(pair: &mut Pair, id: RequestId) -> TrackAlias {
    let answer = SubscribeAnswer {
        params: Parameters {
            largest_object: Some(Location::new(4, 49)),
            ..Parameters::default()
        },
        properties: audio_object::track_properties(),
        ..SubscribeAnswer::default()
    };
    let alias = pair.relay.accept_subscribe(id, answer).unwrap();
    pair.settle();
    alias
}

fn bare(alias: TrackAlias, group: u64, id: u64) -> ObjectDatagram {
    ObjectDatagram {
        alias,
        group,
        id,
        priority: None,
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: Bytes::new(),
        payload: packet(id as u8),
    }
}

fn properties(at: u64) -> Bytes {
    Properties::of_object(
        at,
        Level {
            below_overload_db: 20,
            voice: true,
        },
    )
    .to_bytes()
}

fn voice(alias: TrackAlias, group: u64, id: u64, at: Option<u64>, number: u8) -> Bytes {
    let properties = at.map(properties).unwrap_or_default();
    let payload = packet(number);
    ObjectDatagram {
        properties,
        payload,
        ..bare(alias, group, id)
    }
    .encode(DRAFT)
    .unwrap()
}

/// A subgroup stream of `count` objects.
fn group(alias: TrackAlias, group: u64, count: u64) -> Bytes {
    let header = SubgroupHeader {
        alias,
        group,
        subgroup: SubgroupId::Explicit(3),
        priority: Some(1),
        properties: true,
        end_of_group: false,
        first_object: true,
    };
    let mut encoder = SubgroupEncoder::new(DRAFT, header);
    let mut out = BytesMut::new();
    encoder.header(&mut out);
    for id in 0..count {
        let object = Object {
            id,
            status: ObjectStatus::Normal,
            properties: properties(id * 960),
            payload: packet(id as u8),
        };
        encoder.object(&object, &mut out).unwrap();
        out.extend_from_slice(&object.payload);
    }
    out.freeze()
}

fn object(bytes: &Bytes) -> ObjectDatagram {
    match Datagram::decode(DRAFT, bytes.clone()).unwrap() {
        Datagram::Object(object) => object,
        Datagram::Padding => panic!("padding"),
    }
}

fn subgroup(bytes: Bytes) -> (SubgroupHeader, Vec<Object>) {
    let limits = moqrelay_moqt::data::Limits {
        payload_bytes_max: 4096,
        properties_bytes_max: 64,
    };
    let mut decoder = SubgroupDecoder::new(DRAFT, limits);
    decoder.push(bytes);
    let mut objects = Vec::new();
    while let Some(item) = decoder.poll().unwrap() {
        if let SubgroupItem::Object(object) = item {
            objects.push(object);
        }
    }
    decoder.finish().unwrap();
    (*decoder.header().unwrap(), objects)
}

fn token(value: &'static [u8]) -> AuthToken {
    AuthToken {
        token_type: 0,
        value: Bytes::from_static(value),
    }
}
