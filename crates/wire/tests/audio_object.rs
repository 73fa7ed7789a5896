//! The properties of audio objects: LOC over draft-18 key-value pairs.

use moqrelay_wire::audio_object::{
    DecodeError, Kind, Level, Mode, Properties, TIMESCALE, of_seat, track_properties,
};
use proptest::prelude::*;

const VOICE: Level = Level {
    below_overload_db: 20,
    voice: true,
};
const HUM: Level = Level {
    below_overload_db: 60,
    voice: false,
};

#[test]
fn an_object_carries_its_level_and_then_its_timestamp() {
    let properties = Properties::of_object(960, HUM);

    // 0x0C, level 60; 4 more is 0x10, 960 in two bytes.
    assert_eq!(properties.to_bytes()[..], [0x0c, 60, 0x04, 0x83, 0xc0]);
    assert_eq!(Properties::decode(&properties.to_bytes()), Ok(properties));
}

#[test]
fn voice_is_the_eighth_bit_of_the_level() {
    let bytes = Properties::of_object(0, VOICE).to_bytes();

    assert_eq!(bytes[..], [0x0c, 0x80, 0x94, 0x04, 0]);
    assert_eq!(Properties::decode(&bytes).unwrap().level, Some(VOICE));
}

#[test]
fn an_object_says_when_it_is_no_plain_speech() {
    let silence = Properties::of_object(960, HUM).with_kind(Kind::Silence);
    let key = Properties::of_object(960, VOICE).with_kind(Kind::Key);

    // 0x1D52 is 0x1D42 after 0x10.
    let bytes = silence.to_bytes();
    assert_eq!(bytes[..], [0x0c, 60, 0x04, 0x83, 0xc0, 0x9d, 0x42, 1]);
    assert_eq!(Properties::decode(&bytes), Ok(silence));
    assert_eq!(Properties::decode(&key.to_bytes()), Ok(key));
}

#[test]
fn a_kind_that_nobody_knows_is_sound() {
    let properties = Properties::decode(&[0x9d, 0x52, 77]).unwrap();

    assert_eq!(properties.kind, Kind::Speech);
}

#[test]
fn a_track_carries_delivery_timeout_timescale_and_priority() {
    let bytes = track_properties();

    // 0x02 = 500, 0x08 = 48000, 0x0E = 0x20.
    assert_eq!(
        bytes[..],
        [0x02, 0x81, 0xf4, 0x06, 0xc0, 0xbb, 0x80, 0x06, 0x20]
    );
    assert_eq!(
        Properties::decode(&bytes).unwrap().timescale,
        Some(TIMESCALE)
    );
}

#[test]
fn no_properties_are_no_bytes() {
    assert!(Properties::default().to_bytes().is_empty());
    assert_eq!(Properties::decode(&[]), Ok(Properties::default()));
}

#[test]
fn unknown_properties_are_skipped() {
    // 0x02 = 5, 0x09 = three bytes, 0x0C = 127, 0x0D = no bytes, 0x10 = 7, 0x3c = 1.
    let block = [
        0x02, 5, 0x07, 3, 1, 2, 3, 0x03, 127, 0x01, 0, 0x03, 7, 0x2c, 1,
    ];

    let properties = Properties::decode(&block).unwrap();

    assert_eq!(properties, Properties::of_object(7, Level::SILENCE));
}

#[test]
fn immutable_properties_are_looked_into_but_must_not_be_nested() {
    // 0x0B holds 0x0C = 9; then 0x10 = 3.
    let properties = Properties::decode(&[0x0b, 2, 0x0c, 9, 0x05, 3]).unwrap();
    let nested = Properties::decode(&[0x0b, 3, 0x0b, 1, 0x42]);

    assert_eq!(
        properties.level,
        Some(Level {
            below_overload_db: 9,
            voice: false
        })
    );
    assert_eq!(properties.timestamp, Some(3));
    assert_eq!(nested, Err(DecodeError::Nested));
}

#[test]
fn of_a_type_that_comes_twice_the_first_one_counts() {
    let properties = Properties::decode(&[0x10, 3, 0, 4]).unwrap();

    assert_eq!(properties.timestamp, Some(3));
}

#[test]
fn every_truncation_is_an_error_or_a_shorter_block() {
    let whole = [
        0x02, 5, 0x07, 3, 1, 2, 3, 0x03, 0x80, 0xff, 0x04, 0x83, 0xc0,
    ];
    let boundaries = [0, 2, 7, 10];
    for len in 0..whole.len() {
        let result = Properties::decode(&whole[..len]);

        if boundaries.contains(&len) {
            assert!(result.is_ok(), "{len} bytes");
        } else {
            assert_eq!(result, Err(DecodeError::Truncated), "{len} bytes");
        }
    }
}

#[test]
fn types_and_values_past_the_draft_s_limits_are_refused() {
    let mut block = vec![0xff; 9];
    block[8] = 0xfe;
    block.extend([1, 0x02, 1]);
    assert_eq!(Properties::decode(&block), Err(DecodeError::TypeTooLarge));

    assert_eq!(
        Properties::decode(&[0x09, 0xc1, 0x00, 0x00]),
        Err(DecodeError::ValueTooLong(65_536))
    );
}

#[test]
fn timestamps_of_other_units_are_converted() {
    let at = |timestamp, timescale| Properties {
        timestamp: Some(timestamp),
        timescale,
        ..Properties::default()
    };

    assert_eq!(at(960, None).timestamp_48k(Some(TIMESCALE)), Some(960));
    assert_eq!(
        at(20_000, None).timestamp_48k(None),
        Some(960),
        "microseconds by default"
    );
    assert_eq!(
        at(20, Some(1_000)).timestamp_48k(Some(TIMESCALE)),
        Some(960),
        "the object's own"
    );
    assert_eq!(at(u64::MAX, Some(1)).timestamp_48k(None), None, "past 2^64");
    assert_eq!(at(1, Some(0)).timestamp_48k(None), None);
    assert_eq!(Properties::default().timestamp_48k(None), None);
}

#[test]
fn the_mode_is_one_octet() {
    let mode = Mode {
        length_ms: 40,
        kbps: 24,
        fec: true,
        saving: true,
    };

    assert_eq!(mode.to_byte(), 0b1110_0101);
    for byte in 0..=255 {
        assert_eq!(Mode::from_byte(byte).to_byte(), byte);
    }
    let beyond = Mode {
        length_ms: 80,
        kbps: 128,
        ..mode
    };
    assert_eq!(Mode::from_byte(beyond.to_byte()).kbps, 64);
}

#[test]
fn in_a_seat_an_object_says_the_same_and_whose_it_is() {
    let key = Properties::of_object(960, VOICE).with_kind(Kind::Key);

    let seat = of_seat(&key.to_bytes(), 3, None).unwrap();

    // 0x1D58 is 6 after 0x1D52.
    assert_eq!(seat[..seat.len() - 2], key.to_bytes()[..]);
    assert_eq!(seat[seat.len() - 2..], [6, 3]);
    let expected = Properties {
        participant: Some(3),
        ..key
    };
    assert_eq!(Properties::decode(&seat), Ok(expected));
}

#[test]
fn nobody_says_that_a_voice_is_another_s() {
    // Participant 9, twice; then Immutable Properties with it inside, which mean nothing.
    let claims = [0x9d, 0x58, 9, 0, 9];
    let hidden = [0x0b, 3, 0x9d, 0x58, 9];

    let seat = of_seat(&claims, 3, None).unwrap();
    assert_eq!(Properties::decode(&seat).unwrap().participant, Some(3));
    assert_eq!(seat[..], [0x9d, 0x58, 3]);
    assert_eq!(Properties::decode(&hidden).unwrap().participant, None);
    let seat = of_seat(&hidden, 3, None).unwrap();
    assert_eq!(Properties::decode(&seat).unwrap().participant, Some(3));
}

#[test]
fn a_timescale_of_the_track_goes_with_the_object() {
    let timestamp = [0x10, 7];

    let seat = of_seat(&timestamp, 3, Some(1_000)).unwrap();

    let properties = Properties::decode(&seat).unwrap();
    assert_eq!(properties.timestamp_48k(Some(TIMESCALE)), Some(336));
    assert_eq!(properties.participant, Some(3));
}

#[test]
fn what_is_said_of_other_objects_is_not_true_in_a_seat() {
    // Prior Group ID Gap 5, Prior Object ID Gap 6, then 0x40 = 1.
    let gaps = [0x3c, 5, 2, 6, 2, 1];

    assert_eq!(
        of_seat(&gaps, 3, None).unwrap()[..],
        [0x40, 1, 0x9d, 0x18, 3]
    );
    assert_eq!(
        of_seat(&[0x0b, 2, 0x3c, 5], 3, None),
        Err(DecodeError::Misplaced(0x3c))
    );
    assert_eq!(of_seat(&[0x0c], 3, None), Err(DecodeError::Truncated));
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(
        timestamp: Option<u64>,
        timescale: Option<u64>,
        level in prop::option::of((0u8..128, any::<bool>())),
        kind in prop::sample::select(vec![Kind::Speech, Kind::Silence, Kind::Key]),
        mode in prop::option::of(any::<u8>()),
        participant: Option<u64>,
    ) {
        let level = level.map(|(below_overload_db, voice)| Level { below_overload_db, voice });
        let mode = mode.map(Mode::from_byte);
        let properties = Properties { timestamp, timescale, level, kind, mode, participant };

        prop_assert_eq!(Properties::decode(&properties.to_bytes()), Ok(properties));
    }

    #[test]
    fn random_bytes_never_panic(block in prop::collection::vec(any::<u8>(), 0..256)) {
        let outcome = Properties::decode(&block);
        if let (Ok(properties), Ok(seat)) = (outcome, of_seat(&block, 7, None)) {
            let expected = Properties { participant: Some(7), ..properties };
            prop_assert_eq!(Properties::decode(&seat), Ok(expected));
        }
    }
}
