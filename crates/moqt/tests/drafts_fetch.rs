//! FETCH of drafts 14 and 16: its stream, its messages, its end.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::{Bytes, BytesMut};
use common::{D14, D16, arbitrary, pair::Pair, track};
use moqrelay_moqt::{
    CallError, DecodeError, Draft, EncodeError, Event, FetchAnswer, FetchOptions, FetchRange,
    Filter,
    GroupOrder::{self, Ascending, Descending},
    Location, Parameters, RequestCode, RequestError, RequestId, ResetCode, SessionCode,
    SubscribeAnswer, SubscribeOptions,
    data::{Absence, FetchDecoder, FetchEncoder, FetchHeader, FetchItem, FetchObject, Limits},
};
use proptest::{collection::vec, option, prelude::*};

const OLD: [Draft; 2] = [D16, D14];
const LIMITS: Limits = Limits {
    payload_bytes_max: 1000,
    properties_bytes_max: 100,
};
const HEADER: FetchItem = FetchItem::Header(FetchHeader { id: RequestId(300) });
const HEADER_WIRE: &[u8] = &[0x05, 0x41, 0x2c];

#[test]
fn draft_16_writes_ids_as_they_are() {
    // Flags (in two bytes from 0x40 on), group, subgroup, object, priority, properties, length.
    let wire: &[&[u8]] = &[
        &[0x1c, 7, 3, 5, 1, b'a'],
        &[0x00, 1, b'b'],
        &[0x07, 9, 8, 0],
        &[0x01, 0],
        &[0x02, 0],
        &[0x40, 0x40, 0],
        &[0x0c, 10, 0, 0],
        &[0x08, 11, 0],
        &[0x40, 0x8c, 11, 9],
        &[0x2c, 11, 10, 2, 0x02, 0x09, 0],
        &[0x41, 0x0c, 11, 20],
        &[0x0c, 11, 21, 0],
    ];
    let items = [
        object(7, 3, Some(0), 5, b"a"),
        object(7, 4, Some(0), 5, b"b"),
        object(7, 8, Some(9), 5, b""),
        object(7, 9, Some(9), 5, b""),
        object(7, 10, Some(10), 5, b""),
        object(7, 11, None, 5, b""),
        object(10, 0, Some(0), 5, b""),
        object(11, 1, Some(0), 5, b""),
        range(Absence::NonExistent, 11, 9),
        with_properties(object(11, 10, Some(0), 5, b"")),
        range(Absence::Unknown, 11, 20),
        object(11, 21, Some(0), 5, b""),
    ];

    is_read_and_written(D16, Ascending, wire, &items);
}

#[test]
fn draft_14_writes_every_field_of_every_object() {
    // Group, subgroup, object, priority, properties, payload or its absence and a status.
    let wire: &[&[u8]] = &[
        &[7, 0, 3, 5, 0, 1, b'a'],
        &[7, 9, 4, 6, 2, 0x02, 0x09, 0, 0],
        &[6, 2, 2, 5, 0, 0, 0],
    ];
    let items = [
        object(7, 3, Some(0), 5, b"a"),
        with_properties(object(7, 4, Some(9), 6, b"")),
        object(6, 2, Some(2), 5, b""),
    ];

    is_read_and_written(D14, Descending, wire, &items);
}

#[test]
fn a_datagram_of_draft_14_has_its_id_for_a_subgroup() {
    let mut encoder = FetchEncoder::new(D14, Ascending);
    let mut out = BytesMut::new();
    let FetchItem::Object(datagram) = object(7, 12, None, 5, b"x") else {
        panic!()
    };

    encoder.object(&datagram, &mut out).unwrap();

    assert_eq!(out, [7, 12, 12, 5, 0, 1].as_slice());
}

#[test]
fn what_marks_an_end_or_nothing_in_draft_14_is_nothing() {
    let wire = joined(&[
        &[7, 0, 3, 5, 0, 0, 1],
        &[7, 0, 4, 5, 0, 0, 3],
        &[8, 0, 0, 5, 0, 0, 4],
    ]);

    let (items, error) = read(D14, Ascending, &wire, usize::MAX);

    assert_eq!(error, None);
    let nothing = |group, object| range(Absence::NonExistent, group, object);
    assert_eq!(items[1..], [nothing(7, 3), nothing(7, 4), nothing(8, 0)]);
    let unknown = joined(&[&[7, 0, 3, 5, 0, 0, 2]]);
    let (_, error) = read(D14, Ascending, &unknown, usize::MAX);
    assert_eq!(
        error.unwrap().session_code(),
        SessionCode::ProtocolViolation
    );
}

#[test]
fn draft_14_cannot_say_that_nothing_is_known() {
    let mut encoder = FetchEncoder::new(D14, Ascending);
    let mut out = BytesMut::new();

    let unknown = encoder.range_end(Absence::Unknown, Location::new(3, 1), &mut out);
    let nothing = encoder.range_end(Absence::NonExistent, Location::new(3, 1), &mut out);

    assert!(matches!(unknown, Err(EncodeError::NotInDraft(_))));
    assert_eq!(nothing, Ok(()));
    assert!(out.is_empty());
}

#[test]
fn what_draft_16_forbids_ends_the_session() {
    let forbidden: &[&[&[u8]]] = &[
        &[&[0x14, 3, 5, 0]],
        &[&[0x18, 7, 5, 0]],
        &[&[0x0c, 7, 3, 0]],
        &[&[0x1d, 7, 3, 5, 0]],
        &[&[0x40, 0x80]],
        // Beyond 62 bits.
        &[
            &[0x40, 0x8c, 2, 0xff, 255, 255, 255, 255, 255, 255, 255],
            &[0x10, 5, 0],
        ],
        &[
            &[0x1f, 2, 0xff, 255, 255, 255, 255, 255, 255, 255, 0, 5, 0],
            &[0x02, 0],
        ],
    ];
    for wire in forbidden {
        let (_, error) = read(D16, Ascending, &joined(wire), usize::MAX);
        assert_eq!(
            error.unwrap().session_code(),
            SessionCode::ProtocolViolation,
            "{wire:x?}"
        );
    }
}

#[test]
fn ids_beyond_62_bits_are_not_written() {
    for draft in OLD {
        let mut out = BytesMut::new();
        let mut encoder = FetchEncoder::new(draft, Ascending);
        let FetchItem::Object(large) = object(0, 1 << 62, None, 0, b"") else {
            panic!()
        };
        assert!(encoder.object(&large, &mut out).is_err());
        let last = Location::new(1 << 62, 0);
        assert!(
            encoder
                .range_end(Absence::NonExistent, last, &mut out)
                .is_err()
        );
        assert!(out.is_empty());
    }
}

#[test]
fn a_stream_cut_short_is_noticed_at_its_end() {
    let object: [(Draft, &[u8]); 2] = [
        (D16, &[0x3c, 7, 3, 5, 2, 0x02, 0x09, 2, b'a', b'b']),
        (D14, &[7, 0, 3, 5, 2, 0x02, 0x09, 2, b'a', b'b']),
    ];
    for (draft, object) in object {
        let wire = joined(&[object]);
        for len in 0..wire.len() {
            let (items, error) = read(draft, Ascending, &wire.slice(..len), usize::MAX);
            let complete = len == HEADER_WIRE.len();
            assert_eq!(items.len(), usize::from(len >= HEADER_WIRE.len()), "{len}");
            assert_eq!(error.is_none(), complete, "{draft:?} {len}");
        }
    }
}

#[test]
fn a_fetch_is_asked_for_answered_and_over() {
    for draft in OLD {
        let mut pair = Pair::of(draft);
        let params = Parameters {
            group_order: Some(Descending),
            subscriber_priority: Some(7),
            ..Parameters::default()
        };
        let options = FetchOptions {
            params: params.clone(),
        };
        let wanted = pair.client.session.fetch(standalone(), options).unwrap();
        pair.pump();
        let asked = Event::Fetch {
            id: wanted,
            range: standalone(),
            params,
            tokens: vec![],
        };
        assert_eq!(pair.server.take(), [asked]);

        let answer = FetchAnswer {
            end_of_track: true,
            end: Location::new(4, 8),
            params: Parameters {
                group_order: Some(Descending),
                ..Parameters::default()
            },
            ..FetchAnswer::default()
        };
        pair.server.session.accept_fetch(wanted, answer).unwrap();
        pair.server.session.finish_fetch(wanted).unwrap();
        pair.pump();
        let Event::FetchOk {
            id,
            end_of_track,
            end,
            params,
            ..
        } = pair.client.one()
        else {
            panic!("{draft:?}");
        };
        assert_eq!((id, end_of_track, end), (wanted, true, Location::new(4, 8)));
        let order = (draft == D14).then_some(Descending);
        assert_eq!(params.group_order, order);
        pair.client.session.finish_fetch(id).unwrap();
        pair.pump();
        assert_eq!(open(&pair), (0, 0), "{draft:?}");
    }
}

#[test]
fn a_range_ends_where_ids_end() {
    for draft in OLD {
        let max = (1 << 62) - 1;
        let whole = Location::new(9, 0);
        for (end, sent) in [
            (Location::new(u64::MAX, 3), Location::new(max, 0)),
            (Location::new(9, u64::MAX), whole),
            (Location::new(9, max), Location::new(9, max)),
        ] {
            let mut pair = Pair::of(draft);
            let range = FetchRange::Standalone {
                track: track(&["room"], "audio"),
                start: Location::new(3, 0),
                end,
            };
            fetch(&mut pair, range);
            let Event::Fetch {
                range: FetchRange::Standalone { end, .. },
                ..
            } = pair.server.one()
            else {
                panic!("{draft:?}");
            };
            assert_eq!(end, sent);
        }
    }
}

#[test]
fn either_side_may_give_a_fetch_up() {
    for draft in OLD {
        let mut pair = Pair::of(draft);
        let unanswered = fetch(&mut pair, standalone());
        let answered = fetch(&mut pair, standalone());
        pair.server.take();
        accept(&mut pair, answered);
        for id in [unanswered, answered] {
            let session = &mut pair.client.session;
            session.cancel(id, ResetCode::Cancelled).unwrap();
        }
        pair.pump();
        let cancelled = |id| Event::Cancelled {
            id,
            code: Some(ResetCode::Cancelled),
        };
        assert_eq!(
            pair.server.take(),
            [cancelled(unanswered), cancelled(answered)],
            "{draft:?}"
        );
        assert_eq!(open(&pair), (0, 0));

        let refused = fetch(&mut pair, standalone());
        pair.server.take();
        let error = RequestError::new(RequestCode::InvalidRange, "nothing there");
        pair.server.session.reject(refused, error.clone()).unwrap();
        pair.pump();
        assert_eq!(pair.client.one(), Event::Rejected { id: refused, error });
        assert_eq!(open(&pair), (0, 0));
    }
}

#[test]
fn draft_14_has_codes_of_its_own_for_a_refused_fetch() {
    for code in [
        RequestCode::NoObjects,
        RequestCode::UnknownStatus,
        RequestCode::InvalidJoiningRequestId,
        RequestCode::MalformedTrack,
    ] {
        let mut pair = Pair::of(D14);
        let id = fetch(&mut pair, standalone());
        pair.server.take();
        let error = RequestError::new(code, "");
        pair.server.session.reject(id, error.clone()).unwrap();
        pair.pump();
        assert_eq!(pair.client.one(), Event::Rejected { id, error });
    }
}

#[test]
fn a_subscription_from_the_largest_object_on_is_joined() {
    for draft in OLD {
        let mut pair = Pair::of(draft);
        let subscription = subscribe(&mut pair, Filter::LargestObject);
        for range in [
            FetchRange::RelativeJoining {
                subscription,
                groups: 2,
            },
            FetchRange::AbsoluteJoining {
                subscription,
                group: 3,
            },
        ] {
            fetch(&mut pair, range.clone());
            let Event::Fetch { range: asked, .. } = pair.server.one() else {
                panic!("{draft:?}");
            };
            assert_eq!(asked, range);
        }
    }
}

#[test]
fn a_subscription_that_begins_elsewhere_cannot_be_joined_before_draft_17() {
    for draft in OLD {
        let mut pair = Pair::of(draft);
        let subscription = subscribe(&mut pair, Filter::NextGroupStart);
        let joining = FetchRange::RelativeJoining {
            subscription,
            groups: 0,
        };
        let options = FetchOptions::default();
        assert_eq!(
            pair.client.session.fetch(joining, options),
            Err(CallError::WrongState)
        );
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_however_it_is_cut(
        mut items in vec(item(), 0..20),
        fixed in any::<bool>(),
        descending in any::<bool>(),
        piece in 1_usize..40,
    ) {
        let draft = if fixed { D14 } else { D16 };
        let order = if descending { Descending } else { Ascending };
        if fixed {
            // Draft 14 knows no ranges, and no datagrams.
            items.retain(|item| matches!(item, FetchItem::Object(object) if object.subgroup.is_some()));
        }
        items.sort_by_key(|item| {
            let Location { group, object } = item.location().unwrap();
            (if descending { u64::MAX - group } else { group }, object)
        });
        items.dedup_by_key(|item| item.location());

        let wire = write(draft, order, &items).unwrap();
        items.insert(0, HEADER);

        prop_assert_eq!(read(draft, order, &wire, piece), (items, None));
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        bytes in vec(any::<u8>(), 0..100),
        fixed in any::<bool>(),
        piece in 1_usize..10,
    ) {
        let draft = if fixed { D14 } else { D16 };
        let wire = joined(&[&bytes]);
        prop_assert_eq!(
            read(draft, Ascending, &wire, piece),
            read(draft, Ascending, &wire, usize::MAX)
        );
    }
}

fn object(
    group: u64,
    id: u64,
    subgroup: Option<u64>,
    priority: u8,
    payload: &'static [u8],
) -> FetchItem {
    FetchItem::Object(FetchObject {
        location: Location::new(group, id),
        subgroup,
        priority,
        properties: Bytes::new(),
        payload: Bytes::from_static(payload),
    })
}

fn with_properties(item: FetchItem) -> FetchItem {
    let FetchItem::Object(object) = item else {
        panic!()
    };
    FetchItem::Object(FetchObject {
        properties: Bytes::from_static(&[0x02, 0x09]),
        ..object
    })
}

fn range(absence: Absence, group: u64, object: u64) -> FetchItem {
    FetchItem::RangeEnd {
        absence,
        last: Location::new(group, object),
    }
}

fn item() -> impl Strategy<Value = FetchItem> {
    let id = || arbitrary::number().prop_map(|number| number >> 2);
    let location = (id(), id()).prop_map(|(group, object)| Location { group, object });
    let object = (
        location.clone(),
        option::of(0_u64..4),
        0_u8..3,
        arbitrary::bytes(20),
        arbitrary::bytes(50),
    );
    let object = object.prop_map(|(location, subgroup, priority, properties, payload)| {
        FetchItem::Object(FetchObject {
            location,
            subgroup,
            priority,
            properties,
            payload,
        })
    });
    let absence = prop_oneof![Just(Absence::NonExistent), Just(Absence::Unknown)];
    let range =
        (absence, location).prop_map(|(absence, last)| FetchItem::RangeEnd { absence, last });
    prop_oneof![4 => object, 1 => range]
}

fn is_read_and_written(draft: Draft, order: GroupOrder, wire: &[&[u8]], items: &[FetchItem]) {
    let wire = joined(wire);
    assert_eq!(write(draft, order, items).unwrap(), wire);
    let (read, error) = read(draft, order, &wire, usize::MAX);
    assert_eq!(error, None);
    assert_eq!(read[0], HEADER);
    assert_eq!(read[1..], *items);
}

fn joined(parts: &[&[u8]]) -> Bytes {
    Bytes::from([HEADER_WIRE, &parts.concat()].concat())
}

fn write(draft: Draft, order: GroupOrder, items: &[FetchItem]) -> Result<Bytes, EncodeError> {
    let mut encoder = FetchEncoder::new(draft, order);
    let mut out = BytesMut::new();
    encoder.header(FetchHeader { id: RequestId(300) }, &mut out);
    for item in items {
        match item {
            FetchItem::Header(_) => {}
            FetchItem::Object(object) => {
                encoder.object(object, &mut out)?;
                out.extend_from_slice(&object.payload);
            }
            FetchItem::RangeEnd { absence, last } => {
                encoder.range_end(*absence, *last, &mut out)?
            }
        }
    }
    Ok(out.freeze())
}

fn read(
    draft: Draft,
    order: GroupOrder,
    wire: &Bytes,
    piece: usize,
) -> (Vec<FetchItem>, Option<DecodeError>) {
    let mut decoder = FetchDecoder::new(draft, order, LIMITS);
    let mut items = Vec::new();
    let mut rest = wire.clone();
    while !rest.is_empty() {
        decoder.push(rest.split_to(piece.min(rest.len())));
        loop {
            match decoder.poll() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, decoder.finish().err())
}

fn standalone() -> FetchRange {
    FetchRange::Standalone {
        track: track(&["room"], "audio"),
        start: Location::new(3, 0),
        end: Location::new(5, 0),
    }
}

fn fetch(pair: &mut Pair, range: FetchRange) -> RequestId {
    let id = pair.client.session.fetch(range, FetchOptions::default());
    pair.pump();
    id.unwrap()
}

fn accept(pair: &mut Pair, id: RequestId) {
    let answer = FetchAnswer {
        end: Location::new(4, 8),
        ..FetchAnswer::default()
    };
    pair.server.session.accept_fetch(id, answer).unwrap();
    pair.pump();
    assert!(matches!(pair.client.one(), Event::FetchOk { .. }));
}

fn subscribe(pair: &mut Pair, filter: Filter) -> RequestId {
    let params = Parameters {
        filter: Some(filter),
        ..Parameters::default()
    };
    let options = SubscribeOptions { params };
    let name = track(&["room"], "audio");
    let id = pair.client.session.subscribe(name, options).unwrap();
    pair.pump();
    pair.server.take();
    let answer = SubscribeAnswer::default();
    pair.server.session.accept_subscribe(id, answer).unwrap();
    pair.pump();
    pair.client.take();
    id
}

fn open(pair: &Pair) -> (usize, usize) {
    (
        pair.client.session.open_requests(),
        pair.server.session.open_requests(),
    )
}
