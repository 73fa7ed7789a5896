//! The track `text` as docs/protocol.md shows it.

use moqrelay_wire::catalog::{Catalog, Track};
use moqrelay_wire::text_track::{Record, Text, to_json};
use serde_json::{Value, json};

#[test]
fn an_object_is_an_array_of_records() {
    let text = Record::text(Text {
        id: 7,
        text: "good morning".into(),
        r#final: true,
        begin: 57_600,
        end: 100_800,
        language: "en".into(),
    });
    let event = Record::event(100_800, "speech_ended".into(), "x".into());

    let value: Value = serde_json::from_slice(&to_json([&text, &event])).unwrap();

    let expected = json!([
        {"M": 1200, "data": {
            "type": "text", "id": 7, "text": "good morning", "final": true, "until": 2100, "language": "en"}},
        {"M": 2100, "data": {"type": "event", "name": "speech_ended", "data": "x"}},
    ]);
    assert_eq!(value, expected);
    assert!(text.is_final() && !event.is_final());
}

#[test]
fn what_is_not_known_is_absent() {
    let record = Record::text(Text::default());

    let value: Value = serde_json::from_slice(&to_json([&record])).unwrap();

    let expected = json!([{"M": 0, "data": {"type": "text", "id": 0, "text": "", "final": false, "until": 0}}]);
    assert_eq!(value, expected);
    assert_eq!(to_json([]), "[]");
}

#[test]
fn the_catalog_has_the_track_beside_the_voice() {
    let mut catalog = Catalog::audio(Track::opus(48_000, 32_000));
    catalog.tracks.push(Track::text());

    let value: Value = serde_json::from_slice(&catalog.to_json()).unwrap();

    let expected = json!({
        "name": "text", "packaging": "eventtimeline", "isLive": true, "role": "caption",
        "mimeType": "application/json", "eventType": "moqrelay.text.v1", "depends": ["audio"],
    });
    assert_eq!(value["tracks"][1], expected);
    let read = Catalog::decode(&catalog.to_json()).unwrap();
    assert_eq!(read, catalog);
    assert_eq!(read.opus().map(|track| track.name.as_str()), Some("audio"));
}
