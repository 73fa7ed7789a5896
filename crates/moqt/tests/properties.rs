//! Properties of tracks and objects, read on demand.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::D18;
use moqrelay_moqt::{
    DecodeError, GroupOrder, KeyValue, KeyValueEncoder, KeyValues, ObjectProperties,
    TrackProperties, Value,
};
use proptest::{collection::vec, option, prelude::*};

#[test]
fn a_tracks_properties_are_found_among_unknown_ones() {
    let mut pairs = KeyValueEncoder::new(D18);
    pairs
        .int(0x02, 500)
        .unwrap()
        .int(0x04, 60_000)
        .unwrap()
        .int(0x06, 0)
        .unwrap();
    pairs
        .int(0x08, 48_000)
        .unwrap()
        .bytes(0x0d, b"unknown")
        .unwrap()
        .int(0x0e, 32)
        .unwrap();
    pairs
        .int(0x22, 2)
        .unwrap()
        .int(0x30, 1)
        .unwrap()
        .int(0x4000, 7)
        .unwrap()
        .bytes(0x7fff, b"")
        .unwrap();

    let properties = TrackProperties::read(D18, &pairs.finish()).unwrap();

    let expected = TrackProperties {
        object_delivery_timeout: Some(Duration::from_millis(500)),
        subgroup_delivery_timeout: Some(Duration::ZERO),
        cache_duration_max: Some(Duration::from_secs(60)),
        publisher_priority: Some(32),
        group_order: GroupOrder::Descending,
        dynamic_groups: true,
        mandatory: vec![0x4000, 0x7fff],
    };
    assert_eq!(properties, expected);
}

#[test]
fn absent_properties_have_the_drafts_defaults() {
    let properties = TrackProperties::read(D18, &Bytes::new()).unwrap();

    assert_eq!(properties, TrackProperties::default());
    assert_eq!(properties.group_order, GroupOrder::Ascending);
    assert_eq!(
        ObjectProperties::read(D18, &Bytes::new()),
        Ok(ObjectProperties::default())
    );
}

#[test]
fn properties_inside_the_immutable_ones_count_too() {
    let mut inner = KeyValueEncoder::new(D18);
    inner.int(0x0e, 9).unwrap();
    let track = TrackProperties::read(D18, &immutable(&inner.finish())).unwrap();
    assert_eq!(track.publisher_priority, Some(9));

    let mut inner = KeyValueEncoder::new(D18);
    inner.int(0x3c, 2).unwrap().int(0x3e, 5).unwrap();
    let object = ObjectProperties::read(D18, &immutable(&inner.finish()));
    assert_eq!(
        object,
        Ok(ObjectProperties {
            prior_group_gap: Some(2),
            prior_object_gap: Some(5)
        })
    );
}

#[test]
fn malformed_properties_are_told_from_good_ones() {
    let malformed: [&[u8]; 8] = [
        b"\x0b\x02\x0b\x00", // immutable within immutable
        b"\x0b\x01\x02",     // immutable that is no list
        b"\x0b\x00\x00\x00", // immutable twice
        b"\x3c\x01\x00\x02", // a gap twice
        b"\xc0\x40\x00\x01", // a track's mandatory property
        b"\x02",             // no value
        b"\x01\x03ab",       // a value that goes past the end
        b"\x01\xc1\x00\x00", // a value beyond 65,535 bytes
    ];
    for bytes in malformed {
        assert!(
            ObjectProperties::read(D18, &Bytes::from_static(bytes)).is_err(),
            "{bytes:x?}"
        );
    }
    for (bytes, error) in [
        (
            &b"\x0e\x81\x00"[..],
            DecodeError::Forbidden("DEFAULT_PUBLISHER_PRIORITY", 256),
        ),
        (
            b"\x22\x00",
            DecodeError::Forbidden("DEFAULT_PUBLISHER_GROUP_ORDER", 0),
        ),
        (b"\x30\x02", DecodeError::Forbidden("DYNAMIC_GROUPS", 2)),
    ] {
        assert_eq!(
            TrackProperties::read(D18, &Bytes::copy_from_slice(bytes)),
            Err(error)
        );
    }
}

#[test]
fn the_example_of_the_draft_is_a_list_of_two() {
    let bytes = Bytes::from_static(b"\x04\xf0\x82\x57\xdc\xd3\x49\x0etraceID:123456");

    let pairs: Vec<_> = KeyValues::new(D18, bytes).map(Result::unwrap).collect();

    let text = Bytes::from_static(b"traceID:123456");
    let expected = [
        KeyValue {
            key: 4,
            value: Value::Int(2_186_796_243),
        },
        KeyValue {
            key: 77,
            value: Value::Bytes(text),
        },
    ];
    assert_eq!(pairs, expected);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        times in (option::of(any::<u32>()), option::of(any::<u32>()), option::of(any::<u32>())),
        publisher_priority in option::of(any::<u8>()),
        descending: bool,
        dynamic_groups: bool,
    ) {
        let time = |time: Option<u32>| time.map(|time| Duration::from_millis(time.into()));
        let properties = TrackProperties {
            object_delivery_timeout: time(times.0),
            subgroup_delivery_timeout: time(times.1),
            cache_duration_max: time(times.2),
            publisher_priority,
            group_order: if descending { GroupOrder::Descending } else { GroupOrder::Ascending },
            dynamic_groups,
            mandatory: vec![],
        };

        prop_assert_eq!(TrackProperties::read(D18, &properties.write(D18)), Ok(properties));
    }

    #[test]
    fn any_list_of_pairs_is_read_back(mut keys in vec(any::<u32>(), 0..10), value in vec(any::<u8>(), 0..9)) {
        keys.sort_unstable();
        let mut encoder = KeyValueEncoder::new(D18);
        let mut expected = Vec::new();
        for key in keys.into_iter().map(u64::from) {
            if key.is_multiple_of(2) {
                encoder.int(key, key * 3).unwrap();
                expected.push(KeyValue { key, value: Value::Int(key * 3) });
            } else {
                encoder.bytes(key, &value).unwrap();
                expected.push(KeyValue { key, value: Value::Bytes(Bytes::from(value.clone())) });
            }
        }

        let pairs: Vec<_> = KeyValues::new(D18, encoder.finish()).map(Result::unwrap).collect();

        prop_assert_eq!(pairs, expected);
    }

    #[test]
    fn no_bytes_make_properties_panic(bytes in vec(prop_oneof![0_u8..0x40, any::<u8>()], 0..40)) {
        let bytes = Bytes::from(bytes);
        let _track = TrackProperties::read(D18, &bytes);
        let _object = ObjectProperties::read(D18, &bytes);
        prop_assert!(KeyValues::new(D18, bytes).filter(Result::is_err).count() <= 1, "it ends after an error");
    }
}

fn immutable(inner: &[u8]) -> Bytes {
    let mut outer = KeyValueEncoder::new(D18);
    outer.bytes(0x0b, inner).unwrap();
    outer.finish()
}
