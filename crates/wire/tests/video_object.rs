//! Properties of pictures.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use moqrelay_wire::audio_object::{self, DecodeError};
use moqrelay_wire::video_object::{CONFIG_BYTES_MAX, Marking, Properties, track_properties};
use proptest::prelude::*;

const KEY: Marking = Marking {
    independent: true,
    discardable: false,
};

#[test]
fn what_is_written_is_read() {
    for (config, marking, timescale) in [
        (&b"avcC"[..], Some(KEY), None),
        (b"", None, Some(90_000)),
        (b"", Some(Marking::from_byte(0xd0)), None),
    ] {
        let properties = Properties {
            timestamp: Some(1 << 40),
            timescale,
            config: Bytes::copy_from_slice(config),
            marking,
        };

        assert_eq!(Properties::decode(&properties.to_bytes()), Ok(properties));
    }
}

#[test]
fn bytes_are_those_of_the_drafts() {
    let properties = Properties {
        timestamp: Some(3),
        config: Bytes::from_static(&[7, 8]),
        marking: Some(KEY),
        timescale: None,
    };

    // Types 0x09, 0x0D and 0x10 as deltas; S, E and I of RFC 9626.
    let expected = [0x09, 1, 0xe0, 0x04, 2, 7, 8, 0x03, 3];
    assert_eq!(properties.to_bytes(), expected[..]);
}

#[test]
fn every_cut_is_an_error_or_fewer_properties() {
    let properties = Properties {
        timestamp: Some(1_000_000),
        config: Bytes::from_static(b"config"),
        marking: Some(KEY),
        timescale: Some(48_000),
    };
    let bytes = properties.to_bytes();

    for len in 0..bytes.len() {
        match Properties::decode(&bytes[..len]) {
            Ok(read) => assert_ne!(read, properties),
            Err(error) => assert_eq!(error, DecodeError::Truncated),
        }
    }
}

#[test]
fn immutable_ones_count_and_long_configurations_do_not() {
    let inner = Properties {
        marking: Some(KEY),
        ..Properties::default()
    }
    .to_bytes();
    let mut block = vec![0x0b, inner.len() as u8];
    block.extend_from_slice(&inner);
    assert_eq!(Properties::decode(&block).unwrap().marking, Some(KEY));

    let mut long = vec![0x0d, 0x80 | 0x04, 0x01];
    long.resize(3 + CONFIG_BYTES_MAX + 1, 0);
    assert_eq!(Properties::decode(&long), Ok(Properties::default()));
}

#[test]
fn a_track_says_its_timescale() {
    let properties = track_properties(0x70);

    assert_eq!(
        audio_object::Properties::decode(&properties)
            .unwrap()
            .timescale,
        Some(48_000)
    );
    let picture = Properties {
        timestamp: Some(90_000),
        ..Properties::default()
    };
    assert_eq!(picture.timestamp_48k(Some(90_000)), Some(48_000));
}

proptest! {
    #[test]
    fn whatever_can_be_read_is_written_and_reads_the_same(block in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(properties) = Properties::decode(&block) {
            let _timestamp = properties.timestamp_48k(Some(90_000));
            prop_assert_eq!(Properties::decode(&properties.to_bytes()), Ok(properties));
        }
    }
}
