//! Fetch streams: objects, ends of ranges, both orders.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::{Bytes, BytesMut};
use common::{D18, arbitrary};
use moqrelay_moqt::{
    DecodeError, EncodeError,
    GroupOrder::{self, Ascending, Descending},
    Location, RequestId, SessionCode,
    data::{
        Absence, FetchCheck, FetchDecoder, FetchEncoder, FetchFault, FetchHeader, FetchItem,
        FetchObject, Limits,
    },
};
use proptest::{collection::vec, option, prelude::*};

const LIMITS: Limits = Limits {
    payload_bytes_max: 1000,
    properties_bytes_max: 100,
};
const HEADER: FetchItem = FetchItem::Header(FetchHeader { id: RequestId(300) });
const HEADER_WIRE: &[u8] = &[0x05, 0x81, 0x2c];

#[test]
fn every_field_of_an_object_has_its_flag() {
    // Flags, group, object, priority, length; then the same object's neighbours in the shortest form.
    let wire: &[&[u8]] = &[
        &[0x1c, 7, 3, 5, 1, b'a'],
        &[0x00, 1, b'b'],
        &[0x03, 9, 0],
        &[0x01, 0],
        &[0x02, 0],
        &[0x40, 0],
        &[0x04, 4, 0],
        &[0x0c, 2, 0, 0],
        &[0x08, 0, 0],
        &[0x10, 6, 0],
        &[0x20, 2, 0x02, 0x09, 0],
    ];
    let items = [
        object(7, 3, Some(0), 5, b"a"),
        object(7, 4, Some(0), 5, b"b"),
        object(7, 5, Some(9), 5, b""),
        object(7, 6, Some(9), 5, b""),
        object(7, 7, Some(10), 5, b""),
        object(7, 8, None, 5, b""),
        object(7, 12, Some(0), 5, b""),
        object(10, 0, Some(0), 5, b""),
        object(11, 1, Some(0), 5, b""),
        object(11, 2, Some(0), 6, b""),
        FetchItem::Object(FetchObject {
            location: Location::new(11, 3),
            subgroup: Some(0),
            priority: 6,
            properties: Bytes::from_static(&[0x02, 0x09]),
            payload: Bytes::new(),
        }),
    ];
    is_read_and_written(Ascending, wire, &items);
}

#[test]
fn groups_go_down_when_that_was_asked_for() {
    let wire: &[&[u8]] = &[
        &[0x1c, 7, 0, 5, 0],
        &[0x00, 0],
        &[0x0c, 0, 0, 0],
        &[0x0c, 5, 0, 0],
    ];
    let items = [
        object(7, 0, Some(0), 5, b""),
        object(7, 1, Some(0), 5, b""),
        object(6, 0, Some(0), 5, b""),
        object(0, 0, Some(0), 5, b""),
    ];
    is_read_and_written(Descending, wire, &items);
}

#[test]
fn an_end_of_range_has_whole_ids_and_moves_the_prior_location_only() {
    let wire: &[&[u8]] = &[
        &[0x80, 0x8c, 2, 5],
        &[0x17, 4, 9, 5, 0],
        &[0x81, 0x0c, 2, 20],
        &[0x01, 0],
        &[0x81, 0x0c, 5, 8],
        &[0x09, 0, 0],
    ];
    let items = [
        range(Absence::NonExistent, 2, 5),
        object(2, 14, Some(4), 5, b""),
        range(Absence::Unknown, 2, 20),
        object(2, 21, Some(4), 5, b""),
        range(Absence::Unknown, 5, 8),
        object(6, 9, Some(4), 5, b""),
    ];
    is_read_and_written(Ascending, wire, &items);
}

#[test]
fn the_bits_of_the_subgroup_do_not_count_for_a_datagram() {
    let (items, error) = read(
        Ascending,
        &joined(&[&[0x5f, 1, 0, 5, 0], &[0x42, 0]]),
        usize::MAX,
    );

    assert_eq!(error, None);
    assert_eq!(
        items[1..],
        [object(1, 0, None, 5, b""), object(1, 1, None, 5, b"")]
    );
}

#[test]
fn what_the_draft_forbids_ends_the_session() {
    let forbidden: &[&[&[u8]]] = &[
        // The first object without group, object id, or priority, or with a subgroup that refers to another.
        &[&[0x14, 3, 5, 0]],
        &[&[0x18, 7, 5, 0]],
        &[&[0x0c, 7, 3, 0]],
        &[&[0x1d, 7, 3, 5, 0]],
        &[&[0x1e, 7, 3, 5, 0]],
        // The same after an end of range only.
        &[&[0x80, 0x8c, 2, 5], &[0x04, 1, 0]],
        &[&[0x80, 0x8c, 2, 5], &[0x15, 1, 5, 0]],
        // After a datagram there is no subgroup to refer to.
        &[&[0x5c, 7, 3, 5, 0], &[0x01, 0]],
        // Flags that do not exist.
        &[&[0x80, 0x80]],
        &[&[0x81, 0x8c, 1, 1]],
        &[&[0x82, 0x0c, 1, 1]],
        // Beyond 64 bits.
        &[
            &[0x80, 0x8c, 2, 0xff, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0x10, 5, 0],
        ],
        &[
            &[0x80, 0x8c, 2, 3],
            &[0x1c, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 5, 0],
        ],
    ];
    for wire in forbidden {
        let (_, error) = read(Ascending, &joined(wire), usize::MAX);
        let error = error.unwrap();
        assert_eq!(
            error.session_code(),
            SessionCode::ProtocolViolation,
            "{wire:x?}: {error}"
        );
    }
    let below = joined(&[&[0x1c, 3, 0, 5, 0], &[0x0c, 3, 0, 0]]);
    assert_eq!(
        read(Descending, &below, usize::MAX).1,
        Some(DecodeError::Overflow("group id"))
    );
}

#[test]
fn lengths_beyond_the_limits_are_refused_before_they_are_waited_for() {
    let payload = joined(&[&[0x1c, 7, 3, 5, 0x83, 0xe9]]);
    assert!(matches!(
        read(Ascending, &payload, usize::MAX).1,
        Some(DecodeError::Limit { len: 1001, .. })
    ));
    let properties = joined(&[&[0x3c, 7, 3, 5, 101]]);
    assert!(matches!(
        read(Ascending, &properties, usize::MAX).1,
        Some(DecodeError::Limit { len: 101, .. })
    ));
}

#[test]
fn a_stream_cut_short_is_noticed_at_its_end() {
    let wire = joined(&[&[0x3c, 7, 3, 5, 2, 0x02, 0x09, 2, b'a', b'b']]);
    for len in 0..wire.len() {
        let (items, error) = read(Ascending, &wire.slice(..len), usize::MAX);
        let complete = len == HEADER_WIRE.len();
        assert_eq!(items.len(), usize::from(len >= HEADER_WIRE.len()), "{len}");
        assert_eq!(error.is_none(), complete, "{len}");
    }
}

#[test]
fn only_what_comes_later_can_be_written() {
    let mut encoder = FetchEncoder::new(D18, Ascending);
    let mut out = BytesMut::new();
    let FetchItem::Object(first) = object(5, 5, Some(0), 1, b"") else {
        panic!()
    };
    encoder.object(&first, &mut out).unwrap();
    let len = out.len();

    assert_eq!(
        encoder.object(&first, &mut out),
        Err(EncodeError::NotAscending(5, 5))
    );
    let before = Location::new(4, 9);
    assert_eq!(
        encoder.range_end(Absence::Unknown, before, &mut out),
        Err(EncodeError::GroupOrder(4, 5))
    );
    assert_eq!(out.len(), len);
}

#[test]
fn an_answer_stays_within_what_was_asked_for() {
    let start = Location::new(3, 2);
    let end = Location::new(5, 0);
    let check = || FetchCheck::new(Ascending, Some(start), Some(end));
    let at = |group, number| object(group, number, None, 0, b"");

    let mut fine = check();
    for item in [HEADER, at(3, 2), at(3, 9), at(5, u64::MAX)] {
        fine.check(&item).unwrap();
    }
    for outside in [at(3, 1), at(6, 0), range(Absence::Unknown, 6, 0)] {
        let location = outside.location().unwrap();
        assert_eq!(check().check(&outside), Err(FetchFault::Range(location)));
    }
    let mut shorter = check();
    shorter.set_end(Location::new(4, 3));
    shorter.check(&at(4, 2)).unwrap();
    assert_eq!(
        shorter.check(&at(4, 3)),
        Err(FetchFault::Range(Location::new(4, 3)))
    );
}

#[test]
fn an_answer_goes_one_way() {
    let at = |group, number| object(group, number, None, 0, b"");
    let mut up = FetchCheck::new(Ascending, None, None);
    up.check(&at(4, 4)).unwrap();
    let mut down = FetchCheck::new(Descending, None, None);
    down.check(&at(4, 4)).unwrap();

    assert!(up.clone().check(&at(4, 4)).is_err());
    assert!(up.clone().check(&at(4, 3)).is_err());
    assert!(up.clone().check(&at(3, 9)).is_err());
    assert!(up.check(&at(5, 0)).is_ok());
    assert!(down.clone().check(&at(4, 3)).is_err());
    assert!(down.clone().check(&at(5, 0)).is_err());
    assert!(down.check(&at(3, 0)).is_ok());
}

#[test]
fn an_end_is_the_last_location_plus_one() {
    let whole = Location::new(4, 0);
    assert_eq!(whole.last_before_end(), Location::new(4, u64::MAX));
    assert_eq!(Location::new(4, u64::MAX).end_after(), whole);
    assert_eq!(Location::new(4, 7).last_before_end(), Location::new(4, 6));
    assert_eq!(Location::new(4, 6).end_after(), Location::new(4, 7));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_however_it_is_cut(
        mut items in vec(item(), 0..20),
        descending in any::<bool>(),
        piece in 1_usize..40,
    ) {
        let order = if descending { Descending } else { Ascending };
        items.sort_by_key(|item| {
            let Location { group, object } = item.location().unwrap();
            (if descending { u64::MAX - group } else { group }, object)
        });
        items.dedup_by_key(|item| item.location());

        let wire = write(order, &items).unwrap();
        let mut check = FetchCheck::new(order, None, None);
        for item in &items {
            check.check(item).unwrap();
        }
        items.insert(0, HEADER);

        prop_assert_eq!(read(order, &wire, piece), (items, None));
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        bytes in vec(any::<u8>(), 0..100),
        piece in 1_usize..10,
    ) {
        let wire = joined(&[&bytes]);
        prop_assert_eq!(read(Ascending, &wire, piece), read(Ascending, &wire, usize::MAX));
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

fn range(absence: Absence, group: u64, object: u64) -> FetchItem {
    FetchItem::RangeEnd {
        absence,
        last: Location::new(group, object),
    }
}

fn item() -> impl Strategy<Value = FetchItem> {
    let location = (arbitrary::number(), arbitrary::number());
    let location = location.prop_map(|(group, object)| Location { group, object });
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

fn is_read_and_written(order: GroupOrder, wire: &[&[u8]], items: &[FetchItem]) {
    let wire = joined(wire);
    assert_eq!(write(order, items).unwrap(), wire);
    let (read, error) = read(order, &wire, usize::MAX);
    assert_eq!(error, None);
    assert_eq!(read[0], HEADER);
    assert_eq!(read[1..], *items);
}

fn joined(parts: &[&[u8]]) -> Bytes {
    Bytes::from([HEADER_WIRE, &parts.concat()].concat())
}

fn write(order: GroupOrder, items: &[FetchItem]) -> Result<Bytes, EncodeError> {
    let mut encoder = FetchEncoder::new(D18, order);
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

fn read(order: GroupOrder, wire: &Bytes, piece: usize) -> (Vec<FetchItem>, Option<DecodeError>) {
    let mut decoder = FetchDecoder::new(D18, order, LIMITS);
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
