//! The catalog, as docs/protocol.md section 3 shows it.

use moqrelay_wire::catalog::{CATALOG_BYTES_MAX, Catalog, DecodeError, Track};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn our_catalog_is_that_of_the_documentation() {
    let catalog = Catalog::audio(Track::opus(48_000, 32_000));

    let written: serde_json::Value = serde_json::from_slice(&catalog.to_json()).unwrap();

    let documented = json!({"version": "1", "tracks": [{"name": "audio", "packaging": "loc",
        "isLive": true, "role": "audio", "codec": "opus", "samplerate": 48000,
        "channelConfig": "1", "bitrate": 32000, "timescale": 48000}]});
    assert_eq!(written, documented);
    assert_eq!(Catalog::decode(&catalog.to_json()).unwrap(), catalog);
}

#[test]
fn unknown_fields_are_ignored_and_optional_ones_may_be_missing() {
    let text = br#"{"version": "1", "generatedAt": 5, "com.example.x": {}, "tracks": [
        {"name": "video", "packaging": "loc", "codec": "av01", "width": 1280},
        {"name": "voice", "packaging": "loc", "codec": "Opus", "lang": "en"}]}"#;

    let catalog = Catalog::decode(text).unwrap();

    assert_eq!(catalog.opus().unwrap().name, "voice");
    assert_eq!(catalog.tracks.len(), 2);
}

#[test]
fn another_version_is_not_guessed_at() {
    let error = Catalog::decode(br#"{"version": "2", "tracks": "of another kind"}"#).unwrap_err();

    assert!(matches!(error, DecodeError::Version(version) if version == "2"));
}

#[test]
fn what_is_no_catalog_is_refused() {
    for text in [
        &b""[..],
        b"[]",
        b"\xff\xfe",
        br#"{"tracks": []}"#,
        br#"{"version": 1, "tracks": []}"#,
        br#"{"version": "1"}"#,
        br#"{"version": "1", "tracks": [{"name": "audio"}]}"#,
        br#"{"version": "1", "tracks": [{"name": 5, "packaging": "loc"}]}"#,
    ] {
        assert!(
            matches!(Catalog::decode(text), Err(DecodeError::Json(_))),
            "{text:?}"
        );
    }
}

#[test]
fn an_oversized_catalog_is_not_looked_at() {
    let text = vec![b' '; CATALOG_BYTES_MAX + 1];

    assert!(matches!(
        Catalog::decode(&text),
        Err(DecodeError::TooLong(_))
    ));
}

#[test]
fn every_truncation_is_an_error() {
    let whole = Catalog::audio(Track::opus(16_000, 24_000)).to_json();
    for len in 0..whole.len() {
        assert!(Catalog::decode(&whole[..len]).is_err(), "{len} bytes");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(name in ".{0,32}", samplerate: u32, bitrate: u64) {
        let mut track = Track::opus(samplerate, bitrate);
        track.name = name;
        let catalog = Catalog::audio(track);

        prop_assert_eq!(Catalog::decode(&catalog.to_json()).unwrap(), catalog);
    }

    #[test]
    fn random_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..256)) {
        let _outcome = Catalog::decode(&text);
    }
}
