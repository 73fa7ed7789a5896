//! The track `speakers` of a room.

use moqrelay_wire::speakers::{BYTES_MAX, DecodeError, Speakers, VERSION};

#[test]
fn speakers_are_what_docs_protocol_says() {
    let text = r#"{"version":1,"front":"p3","speaking":["p1","p3"],"seats":["p3",null,"p1"]}"#;
    let speakers = Speakers {
        version: VERSION,
        front: Some("p3".into()),
        speaking: vec!["p1".into(), "p3".into()],
        seats: vec![Some("p3".into()), None, Some("p1".into())],
    };

    assert_eq!(speakers.to_json(), text);
    assert_eq!(Speakers::decode(text.as_bytes()).unwrap(), speakers);
}

#[test]
fn fields_that_come_later_are_ignored_and_versions_are_not() {
    let later = br#"{"version":1,"speaking":[],"seats":[],"hue":7}"#;
    let other = br#"{"version":2,"speaking":[],"seats":[]}"#;
    let long = vec![b' '; BYTES_MAX + 1];

    assert_eq!(Speakers::decode(later).unwrap().front, None);
    let refused = [&other[..], &long, b"{}"].map(|text| Speakers::decode(text).unwrap_err());

    assert!(matches!(refused[0], DecodeError::Version(2)));
    assert!(matches!(refused[1], DecodeError::TooLong(_)));
    assert!(matches!(refused[2], DecodeError::Json(_)));
}
