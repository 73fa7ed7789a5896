//! The data plane: stream types, subgroups, datagrams, padding.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::{Bytes, BytesMut};
use common::{D18, arbitrary};
use moqrelay_moqt::{
    DecodeError, EncodeError, RequestId, SessionCode, TrackAlias,
    data::{
        Datagram, FetchHeader, Limits, Object, ObjectDatagram, ObjectStatus, StreamKind,
        SubgroupDecoder, SubgroupEncoder, SubgroupHeader, SubgroupId, SubgroupItem, classify,
        padding_datagram, padding_stream_header,
    },
};
use proptest::{collection::vec, option, prelude::*};

const LIMITS: Limits = Limits {
    payload_bytes_max: 1000,
    properties_bytes_max: 100,
};

#[test]
fn stream_types_are_those_of_the_draft() {
    let subgroups: Vec<u64> = (0..0x1000)
        .filter(|code| kind(*code) == Ok(Some(StreamKind::Subgroup)))
        .collect();
    let ranges = [
        0x10..=0x15,
        0x18..=0x1d,
        0x30..=0x35,
        0x38..=0x3d,
        0x50..=0x55,
        0x58..=0x5d,
        0x70..=0x75,
        0x78..=0x7d,
    ];
    assert_eq!(
        subgroups,
        ranges.into_iter().flatten().collect::<Vec<u64>>()
    );

    assert_eq!(kind(0x2f00), Ok(Some(StreamKind::Control)));
    assert_eq!(kind(0x05), Ok(Some(StreamKind::Fetch)));
    assert_eq!(kind(0x132b_3e28), Ok(Some(StreamKind::Padding)));
    assert_eq!(kind(0x16), Err(DecodeError::UnknownStream(0x16)));
    assert_eq!(classify(D18, &[]), Ok(None));
    assert_eq!(
        classify(D18, &[0xaf]),
        Ok(None),
        "the second byte is missing"
    );
    assert_eq!(
        classify(D18, &padding_stream_header(D18).unwrap()),
        Ok(Some(StreamKind::Padding))
    );
}

#[test]
fn the_first_example_of_the_draft_is_read_and_written() {
    let wire = b"\x14\x02\x00\x00\x00\x00\x04abcd\x00\x04efgh";
    let header = SubgroupHeader {
        alias: TrackAlias(2),
        group: 0,
        subgroup: SubgroupId::Explicit(0),
        priority: Some(0),
        properties: false,
        end_of_group: false,
        first_object: false,
    };
    let objects = [object(0, b"", b"abcd"), object(1, b"", b"efgh")];

    assert_eq!(read(wire).unwrap(), (header, objects.to_vec()));
    assert_eq!(write(header, &objects), wire);
}

#[test]
fn the_second_example_of_the_draft_is_read_and_written() {
    // The draft prints 33 and 21 as lengths, but the values that it prints take 22 and 14 bytes.
    let properties = b"\x04\xf0\x82\x57\xdc\xd3\x49\x0etraceID:123456";
    let wire = [
        b"\x35\x02\x00\x00\x00\x16",
        &properties[..],
        b"\x04abcd\x00\x00\x04efgh",
    ]
    .concat();
    let header = SubgroupHeader {
        alias: TrackAlias(2),
        group: 0,
        subgroup: SubgroupId::Explicit(0),
        priority: None,
        properties: true,
        end_of_group: false,
        first_object: false,
    };
    let objects = [object(0, properties, b"abcd"), object(1, b"", b"efgh")];

    assert_eq!(read(&wire).unwrap(), (header, objects.to_vec()));
    assert_eq!(write(header, &objects), wire);
}

#[test]
fn a_payload_that_arrives_whole_is_not_copied() {
    let wire = Bytes::from_static(b"\x30\x01\x00\x00\x05hello\x00\x05world");
    let mut decoder = SubgroupDecoder::new(D18, LIMITS);
    decoder.push(wire.clone());
    decoder.poll().unwrap();

    for at in [5, 12] {
        let Some(SubgroupItem::Object(object)) = decoder.poll().unwrap() else {
            panic!()
        };
        assert_eq!(object.payload.as_ptr(), wire[at..].as_ptr());
    }
}

#[test]
fn the_subgroup_is_known_from_the_header_or_the_first_object() {
    let mut decoder = SubgroupDecoder::new(D18, LIMITS);
    decoder.push(Bytes::from_static(b"\x32\x01\x00"));
    decoder.poll().unwrap();
    assert_eq!(decoder.subgroup_id(), None);

    decoder.push(Bytes::from_static(b"\x07\x00\x00\x02\x00\x00"));
    decoder.poll().unwrap();
    decoder.poll().unwrap();

    assert_eq!(decoder.subgroup_id(), Some(7));
    assert_eq!(
        decoder.header().map(|header| header.subgroup),
        Some(SubgroupId::FirstObject)
    );
}

#[test]
fn a_stream_that_ends_within_an_object_breaks_the_draft() {
    let wire = b"\x10\x01\x00\x80\x05\x03abc";
    for len in 0..=wire.len() {
        let mut decoder = SubgroupDecoder::new(D18, LIMITS);
        decoder.push(Bytes::copy_from_slice(&wire[..len]));
        while decoder.poll().unwrap().is_some() {}

        let whole = len == 4 || len == wire.len();
        assert_eq!(decoder.finish().is_ok(), whole, "{len} bytes");
    }
}

#[test]
fn forbidden_objects_end_the_session() {
    let error = |wire: &[u8]| read(wire).unwrap_err();
    let status = |code| error(&[0x30, 1, 0, 0, 0, code]);

    assert_eq!(status(1), DecodeError::Forbidden("object status", 1));
    assert_eq!(status(5), DecodeError::Forbidden("object status", 5));
    assert!(matches!(
        error(b"\x31\x01\x00\x00\x02\x04\x01\x00\x03"),
        DecodeError::Forbidden(_, 3)
    ));
    assert!(matches!(
        error(b"\x30\x01\x00\x00\x00\x03\x00\x01x"),
        DecodeError::Forbidden(..)
    ));
    let wrap = [b"\x30\x01\x00\x01\x01x".as_slice(), &[0xff; 9], b"\x01x"].concat();
    assert_eq!(error(&wrap), DecodeError::Overflow("object id"));
    assert_eq!(error(b"\x16\x01\x00"), DecodeError::UnknownStream(0x16));
    for wire in [&b"\x30\x01\x00\x00\x00\x07"[..], b"\x17"] {
        assert_eq!(error(wire).session_code(), SessionCode::ProtocolViolation);
    }
}

#[test]
fn what_is_larger_than_the_limits_is_refused_before_it_arrives() {
    let payload = read(b"\x30\x01\x00\x00\x83\xe9").unwrap_err();
    assert_eq!(
        payload,
        DecodeError::Limit {
            field: "payload",
            len: 1001,
            max: 1000
        }
    );
    let properties = read(b"\x31\x01\x00\x00\x65").unwrap_err();
    assert_eq!(
        properties,
        DecodeError::Limit {
            field: "properties",
            len: 101,
            max: 100
        }
    );
    let huge = [b"\x30\x01\x00\x00".as_slice(), &[0xff; 9]].concat();
    assert!(matches!(
        read(&huge),
        Err(DecodeError::Limit { len: u64::MAX, .. })
    ));
    assert!(
        read(b"\x30\x01\x00\x00\x83\xe8").is_ok(),
        "a thousand bytes may come"
    );
}

#[test]
fn an_encoder_refuses_what_the_draft_forbids() {
    let header = SubgroupHeader {
        properties: false,
        ..any_header()
    };
    let mut encoder = SubgroupEncoder::new(D18, header);
    let mut out = BytesMut::new();
    encoder.object(&object(5, b"", b"x"), &mut out).unwrap();
    let before = out.clone();

    assert_eq!(
        encoder.object(&object(5, b"", b"x"), &mut out),
        Err(EncodeError::NotAscending(5, 5))
    );
    assert_eq!(
        encoder.object(&object(4, b"", b"x"), &mut out),
        Err(EncodeError::NotAscending(4, 5))
    );
    assert!(matches!(
        encoder.object(&object(6, b"\x02\x00", b""), &mut out),
        Err(EncodeError::Object(_))
    ));
    let end = Object {
        status: ObjectStatus::EndOfGroup,
        ..object(6, b"", b"x")
    };
    assert!(matches!(
        encoder.object(&end, &mut out),
        Err(EncodeError::Object(_))
    ));
    assert_eq!(out, before);
    assert!(
        encoder.object(&object(6, b"", b"x"), &mut out).is_ok(),
        "and goes on where it was"
    );
}

#[test]
fn an_objects_head_is_the_same_on_every_stream_that_carries_the_same_objects() {
    let head = |header: SubgroupHeader| {
        let mut encoder = SubgroupEncoder::new(D18, header);
        let mut out = BytesMut::new();
        encoder
            .object(&object(3, b"\x02\x07", b"x"), &mut out)
            .unwrap();
        out
    };

    let one = SubgroupHeader {
        alias: TrackAlias(1),
        properties: true,
        ..any_header()
    };
    let two = SubgroupHeader {
        alias: TrackAlias(99),
        priority: None,
        ..one
    };
    assert_eq!(head(one), head(two));
}

#[test]
fn datagram_types_are_those_of_the_draft() {
    let good: Vec<u8> = (0..0x80_u8)
        .filter(|code| datagram_of_type(*code).is_ok())
        .collect();

    let ranges = [
        0x00..=0x0f,
        0x20..=0x21,
        0x24..=0x25,
        0x28..=0x29,
        0x2c..=0x2d,
    ];
    assert_eq!(good, ranges.into_iter().flatten().collect::<Vec<u8>>());
    assert_eq!(
        datagram_of_type(0x22),
        Err(DecodeError::UnknownDatagram(0x22))
    );
}

#[test]
fn datagrams_look_on_the_wire_as_the_draft_draws_them() {
    let voice = ObjectDatagram {
        alias: TrackAlias(3),
        group: 200,
        id: 7,
        priority: Some(0x20),
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: Bytes::from_static(b"\x10\x81\x00"),
        payload: Bytes::from_static(b"opus"),
    };
    assert_eq!(
        voice.encode(D18).unwrap().as_ref(),
        b"\x01\x03\x80\xc8\x07\x20\x03\x10\x81\x00opus"
    );

    let first = ObjectDatagram {
        id: 0,
        priority: None,
        end_of_group: true,
        properties: Bytes::new(),
        ..voice.clone()
    };
    assert_eq!(first.encode(D18).unwrap().as_ref(), b"\x0e\x03\x80\xc8opus");

    let end = ObjectDatagram {
        status: ObjectStatus::EndOfTrack,
        properties: Bytes::new(),
        payload: Bytes::new(),
        ..voice.clone()
    };
    assert_eq!(
        end.encode(D18).unwrap().as_ref(),
        b"\x20\x03\x80\xc8\x07\x20\x04"
    );

    let both = ObjectDatagram {
        end_of_group: true,
        ..end.clone()
    };
    let with_payload = ObjectDatagram {
        payload: Bytes::from_static(b"x"),
        ..end
    };
    for wrong in [both, with_payload] {
        assert!(matches!(wrong.encode(D18), Err(EncodeError::Object(_))));
    }
}

#[test]
fn forbidden_datagrams_end_the_session() {
    let error = |wire: &'static [u8]| Datagram::decode(D18, Bytes::from_static(wire)).unwrap_err();

    assert!(
        matches!(error(b"\x0d\x01\x01\x00"), DecodeError::Forbidden(..)),
        "properties of no length"
    );
    assert!(
        matches!(
            error(b"\x2d\x01\x01\x02\x02\x00\x03"),
            DecodeError::Forbidden(..)
        ),
        "an end with properties"
    );
    assert!(matches!(
        error(b"\x2c\x01\x01\x02"),
        DecodeError::Forbidden("object status", 2)
    ));
    assert_eq!(error(b"\x2c\x01\x01\x03x"), DecodeError::TrailingBytes(1));
    assert_eq!(error(b"\x40"), DecodeError::UnknownDatagram(0x40));
    assert_eq!(error(b"").session_code(), SessionCode::ProtocolViolation);
    assert_eq!(
        error(b"\x01\x01\x01\x01\x01\x09ab"),
        DecodeError::Truncated("properties")
    );
}

#[test]
fn padding_is_recognised_and_holds_only_zeros() {
    let datagram = padding_datagram(D18, 20).unwrap();

    assert_eq!(
        datagram.as_ref(),
        [&[0xf0, 0x13, 0x2b, 0x3e, 0x29][..], &[0; 20]].concat()
    );
    assert_eq!(Datagram::decode(D18, datagram), Ok(Datagram::Padding));
}

#[test]
fn a_fetch_header_names_its_request() {
    let mut out = BytesMut::new();
    let header = FetchHeader { id: RequestId(300) };
    header.encode(D18, &mut out);

    assert_eq!(out.as_ref(), b"\x05\x81\x2c");
    assert_eq!(FetchHeader::peek(D18, &out), Ok(Some((header, 3))));
    assert_eq!(FetchHeader::peek(D18, &out[..2]), Ok(None));
    assert!(FetchHeader::peek(D18, b"\x10").is_err());
}

proptest! {
    #[test]
    fn a_subgroup_in_any_pieces_is_read_as_written(
        header in header(),
        objects in objects(),
        cuts in vec(1_usize..40, 0..40),
    ) {
        let objects = fit(&header, objects);
        let wire = Bytes::from(write(header, &objects));

        let mut decoder = SubgroupDecoder::new(D18, LIMITS);
        let mut items = Vec::new();
        let mut rest = wire.clone();
        for cut in cuts.into_iter().chain([usize::MAX]) {
            decoder.push(rest.split_to(cut.min(rest.len())));
            while let Some(item) = decoder.poll().unwrap() {
                items.push(item);
            }
        }

        let expected = [SubgroupItem::Header(header)].into_iter();
        let expected: Vec<_> = expected.chain(objects.iter().cloned().map(SubgroupItem::Object)).collect();
        prop_assert_eq!(items, expected);
        prop_assert_eq!(decoder.finish(), Ok(()));
        let first = objects.first().map(|object| object.id);
        let subgroup = match header.subgroup {
            SubgroupId::Zero => Some(0),
            SubgroupId::Explicit(id) => Some(id),
            SubgroupId::FirstObject => first,
        };
        prop_assert_eq!(decoder.subgroup_id(), subgroup);
    }

    #[test]
    fn a_cut_subgroup_never_yields_more_than_its_beginning(header in header(), objects in objects()) {
        let objects = fit(&header, objects);
        let wire = write(header, &objects);

        for len in 0..wire.len() {
            let mut decoder = SubgroupDecoder::new(D18, LIMITS);
            decoder.push(Bytes::copy_from_slice(&wire[..len]));
            let mut count = 0;
            while let Some(item) = decoder.poll().unwrap() {
                if let SubgroupItem::Object(object) = item {
                    prop_assert_eq!(&object, &objects[count]);
                    count += 1;
                }
            }
        }
    }

    #[test]
    fn a_datagram_is_read_as_written(datagram in datagram()) {
        let wire = datagram.encode(D18).unwrap();

        prop_assert_eq!(Datagram::decode(D18, wire.clone()), Ok(Datagram::Object(datagram.clone())));
        for len in 0..wire.len() {
            let cut = Datagram::decode(D18, wire.slice(..len));
            prop_assert_ne!(cut, Ok(Datagram::Object(datagram.clone())));
        }
    }

    #[test]
    fn no_bytes_make_the_data_plane_panic(
        first in prop_oneof![0x10_u8..0x80, any::<u8>()],
        bytes in vec(prop_oneof![0_u8..8, any::<u8>()], 0..100),
        cut: prop::sample::Index,
    ) {
        let wire = Bytes::from([&[first][..], &bytes].concat());
        let _kind = classify(D18, &wire);
        let _fetch = FetchHeader::peek(D18, &wire);
        if let Ok(Datagram::Object(datagram)) = Datagram::decode(D18, wire.clone()) {
            // Forms that are longer than needed come out shorter, but mean the same.
            let again = datagram.encode(D18).unwrap();
            prop_assert_eq!(Datagram::decode(D18, again), Ok(Datagram::Object(datagram)));
        }
        let mut decoder = SubgroupDecoder::new(D18, LIMITS);
        let cut = cut.index(wire.len());
        for piece in [wire.slice(..cut), wire.slice(cut..)] {
            decoder.push(piece);
            while let Ok(Some(_)) = decoder.poll() {}
        }
        let _end = decoder.finish();
    }
}

fn kind(code: u64) -> Result<Option<StreamKind>, DecodeError> {
    let mut out = BytesMut::new();
    moqrelay_moqt::VarInt::encode(D18.varint(), code, &mut out);
    classify(D18, &out)
}

/// A datagram of that type whose fields are as they should be.
fn datagram_of_type(code: u8) -> Result<Datagram, DecodeError> {
    let mut wire = vec![code, 1, 1];
    if code & 0x04 == 0 {
        wire.push(1);
    }
    if code & 0x08 == 0 {
        wire.push(1);
    }
    if code & 0x01 != 0 {
        wire.extend([2, 2, 0]);
    }
    if code & 0x20 != 0 {
        wire.push(0);
    }
    Datagram::decode(D18, Bytes::from(wire))
}

fn object(id: u64, properties: &'static [u8], payload: &'static [u8]) -> Object {
    Object {
        id,
        status: ObjectStatus::Normal,
        properties: Bytes::from_static(properties),
        payload: Bytes::from_static(payload),
    }
}

fn any_header() -> SubgroupHeader {
    SubgroupHeader {
        alias: TrackAlias(1),
        group: 2,
        subgroup: SubgroupId::Zero,
        priority: Some(3),
        properties: true,
        end_of_group: false,
        first_object: true,
    }
}

fn read(wire: &[u8]) -> Result<(SubgroupHeader, Vec<Object>), DecodeError> {
    let mut decoder = SubgroupDecoder::new(D18, LIMITS);
    decoder.push(Bytes::copy_from_slice(wire));
    let mut objects = Vec::new();
    let mut header = None;
    while let Some(item) = decoder.poll()? {
        match item {
            SubgroupItem::Header(read) => header = Some(read),
            SubgroupItem::Object(object) => objects.push(object),
        }
    }
    Ok((header.unwrap(), objects))
}

fn write(header: SubgroupHeader, objects: &[Object]) -> Vec<u8> {
    let mut encoder = SubgroupEncoder::new(D18, header);
    let mut out = BytesMut::new();
    encoder.header(&mut out);
    for object in objects {
        encoder.object(object, &mut out).unwrap();
        out.extend_from_slice(&object.payload);
    }
    out.to_vec()
}

fn header() -> impl Strategy<Value = SubgroupHeader> {
    let subgroup = prop_oneof![
        Just(SubgroupId::Zero),
        Just(SubgroupId::FirstObject),
        arbitrary::number().prop_map(SubgroupId::Explicit)
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (
        arbitrary::number(),
        arbitrary::number(),
        subgroup,
        option::of(any::<u8>()),
        flags,
    )
        .prop_map(
            |(alias, group, subgroup, priority, (properties, end_of_group, first_object))| {
                SubgroupHeader {
                    alias: TrackAlias(alias),
                    group,
                    subgroup,
                    priority,
                    properties,
                    end_of_group,
                    first_object,
                }
            },
        )
}

/// Ids, properties, payloads; the last one may mark an end.
fn objects() -> impl Strategy<Value = Vec<Object>> {
    let object = (0_u64..300, arbitrary::bytes(20), arbitrary::bytes(60));
    let end = option::of(prop_oneof![
        Just(ObjectStatus::EndOfGroup),
        Just(ObjectStatus::EndOfTrack)
    ]);
    (vec(object, 0..6), end).prop_map(|(parts, end)| {
        let mut next = 0;
        let mut objects = Vec::new();
        for (delta, properties, payload) in parts {
            objects.push(Object {
                id: next + delta,
                status: ObjectStatus::Normal,
                properties,
                payload,
            });
            next += delta + 1;
        }
        if let Some(status) = end {
            objects.push(Object {
                id: next,
                status,
                ..Object::default()
            });
        }
        objects
    })
}

/// Takes the properties away where the header has none.
fn fit(header: &SubgroupHeader, mut objects: Vec<Object>) -> Vec<Object> {
    if !header.properties {
        objects
            .iter_mut()
            .for_each(|object| object.properties = Bytes::new());
    }
    objects
}

fn datagram() -> impl Strategy<Value = ObjectDatagram> {
    let ids = (
        arbitrary::number(),
        arbitrary::number(),
        prop_oneof![Just(0), arbitrary::number()],
    );
    let status = prop_oneof![
        4 => Just(ObjectStatus::Normal),
        1 => Just(ObjectStatus::EndOfGroup),
        1 => Just(ObjectStatus::EndOfTrack),
    ];
    let bytes = (arbitrary::bytes(20), arbitrary::bytes(60));
    (ids, option::of(any::<u8>()), any::<bool>(), status, bytes).prop_map(
        |((alias, group, id), priority, end_of_group, status, (properties, payload))| {
            let normal = status == ObjectStatus::Normal;
            ObjectDatagram {
                alias: TrackAlias(alias),
                group,
                id,
                priority,
                end_of_group: end_of_group && normal,
                status,
                properties: if normal { properties } else { Bytes::new() },
                payload: if normal { payload } else { Bytes::new() },
            }
        },
    )
}
