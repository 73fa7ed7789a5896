//! Namespaces and full track names: limits, prefixes, the printed form.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use moqrelay_moqt::{FullTrackName, NameError, Namespace};
use proptest::prelude::*;

#[test]
fn the_example_of_the_draft_is_printed_and_parsed() {
    let namespace = Namespace::new(["example.net", "team2", "project_x"]).unwrap();
    let track = FullTrackName::new(namespace, "report").unwrap();

    assert_eq!(track.to_string(), "example.2enet-team2-project_x--report");
    assert_eq!(track.to_string().parse(), Ok(track));
}

#[test]
fn only_the_canonical_form_is_parsed() {
    for (text, at) in [
        ("a.2E", 1),
        (".61", 0),
        ("a.", 1),
        ("a.2", 1),
        ("a.-b", 1),
        ("a b", 1),
        ("\u{fc}", 0),
    ] {
        assert_eq!(
            text.parse::<Namespace>(),
            Err(NameError::NotCanonical(at)),
            "{text}"
        );
    }
    assert_eq!(
        "ab-c.7a--x".parse::<FullTrackName>(),
        Err(NameError::NotCanonical(4))
    );
    assert_eq!("a-b".parse::<FullTrackName>(), Err(NameError::NoTrackName));
    assert_eq!(
        "a--b-c".parse::<FullTrackName>(),
        Err(NameError::NotCanonical(4)),
        "a hyphen in a name is .2d"
    );
    for text in ["a-", "-a", "a--b"] {
        assert_eq!(
            text.parse::<Namespace>(),
            Err(NameError::EmptyField),
            "{text}"
        );
    }
}

#[test]
fn empty_names_have_a_printed_form_too() {
    let nothing = FullTrackName::new(Namespace::empty(), Bytes::new()).unwrap();

    assert_eq!(nothing.to_string(), "--");
    assert_eq!("--".parse(), Ok(nothing));
    assert_eq!("".parse(), Ok(Namespace::empty()));
}

#[test]
fn limits_are_those_of_the_draft() {
    assert!(Namespace::new(vec!["x"; 32]).is_ok());
    assert_eq!(
        Namespace::new(vec!["x"; 33]),
        Err(NameError::TooManyFields(33))
    );
    assert_eq!(Namespace::new(["a", ""]), Err(NameError::EmptyField));
    assert_eq!(
        Namespace::new([vec![0; 4000], vec![0; 97]]),
        Err(NameError::TooLong(4097))
    );

    let full = Namespace::new([vec![0; 4000], vec![0; 96]]).unwrap();
    assert!(FullTrackName::new(full.clone(), Bytes::new()).is_ok());
    assert_eq!(FullTrackName::new(full, "x"), Err(NameError::TooLong(4097)));
}

#[test]
fn prefixes_are_compared_field_by_field() {
    let name = |fields: &[&'static str]| Namespace::new(fields.iter().copied()).unwrap();
    let room = name(&["room", "a"]);

    assert!(name(&["room"]).is_prefix_of(&room));
    assert!(room.is_prefix_of(&room));
    assert!(Namespace::empty().is_prefix_of(&room));
    assert!(!room.is_prefix_of(&name(&["room", "ab"])));
    assert!(!room.is_prefix_of(&name(&["room"])));
    assert!(room.overlaps(&name(&["room"])));
    assert!(!room.overlaps(&name(&["room", "ab"])));
    assert_eq!(room.strip_prefix(&name(&["room"])), Some(name(&["a"])));
    assert_eq!(room.strip_prefix(&name(&["r"])), None);
    assert_eq!(name(&["room"]).join(&name(&["a"])), Ok(room));
}

proptest! {
    #[test]
    fn every_name_survives_its_printed_form(
        fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..32),
        name: Vec<u8>,
    ) {
        let track = FullTrackName::new(Namespace::new(fields).unwrap(), name).unwrap();

        let printed = track.to_string();

        prop_assert!(printed.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)));
        prop_assert_eq!(track.namespace().to_string().parse(), Ok(track.namespace().clone()));
        prop_assert_eq!(printed.parse(), Ok(track));
    }

    #[test]
    fn whatever_parses_prints_the_same(text in "[a-c0-9_.A-F-]{0,24}") {
        if let Ok(track) = text.parse::<FullTrackName>() {
            prop_assert_eq!(track.to_string(), text.clone());
        }
        if let Ok(namespace) = text.parse::<Namespace>() {
            prop_assert_eq!(namespace.to_string(), text);
        }
    }
}
