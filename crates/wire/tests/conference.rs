//! Rosters and events of rooms.

use moqrelay_wire::conference::{
    BYTES_MAX, DecodeError, Happened, Kind, Leaving, Mos, Person, Presence, Role, Roster, VERSION,
    Video, What,
};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn a_roster_is_the_json_of_the_protocol() {
    let text = roster().to_json();

    let value: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        value,
        json!({
            "version": 1, "room": "0f", "name": "tea", "title": "Tea", "number": "8001",
            "locked": false, "lobby": true, "recording": true, "listening": ["Minutes"],
            "people": [
                {"participant": "p1", "name": "<b>Anna</b>", "kind": "browser", "role": "host",
                 "presence": "here", "muted": false, "speaking": true, "level_db": -6, "held": false,
                 "quality": 4.25, "video": ["camera", "screen"]},
                {"participant": "p2", "name": "1001", "kind": "telephone", "role": "speaker",
                 "presence": "away", "muted": true, "hand": 1, "speaking": false, "level_db": 0,
                 "held": true, "video": []},
            ],
        })
    );
    assert_eq!(Roster::decode(&text).unwrap(), roster());
}

#[test]
fn events_are_the_json_of_the_protocol() {
    let p = || "p2".to_owned();
    let cases = [
        (
            What::Joined { participant: p() },
            json!({"type": "joined", "participant": "p2"}),
        ),
        (
            What::Waiting { participant: p() },
            json!({"type": "waiting", "participant": "p2"}),
        ),
        (
            What::Away { participant: p() },
            json!({"type": "away", "participant": "p2"}),
        ),
        (
            What::Back { participant: p() },
            json!({"type": "back", "participant": "p2"}),
        ),
        (
            What::Left {
                participant: p(),
                why: Leaving::Banned,
            },
            json!({"type": "left", "participant": "p2", "why": "banned"}),
        ),
        (
            What::Muted {
                participant: p(),
                muted: true,
            },
            json!({"type": "muted", "participant": "p2", "muted": true}),
        ),
        (What::AllMuted {}, json!({"type": "all_muted"})),
        (
            What::Hand {
                participant: p(),
                raised: false,
            },
            json!({"type": "hand", "participant": "p2", "raised": false}),
        ),
        (
            What::Role {
                participant: p(),
                role: Role::Listener,
            },
            json!({"type": "role", "participant": "p2", "role": "listener"}),
        ),
        (
            What::Level {
                participant: p(),
                db: -6,
            },
            json!({"type": "level", "participant": "p2", "db": -6}),
        ),
        (
            What::Held {
                participant: p(),
                held: true,
            },
            json!({"type": "held", "participant": "p2", "held": true}),
        ),
        (
            What::Lobby { lobby: true },
            json!({"type": "lobby", "lobby": true}),
        ),
        (
            What::Locked { locked: true },
            json!({"type": "locked", "locked": true}),
        ),
    ];
    for (what, mut expected) in cases {
        let happened = Happened {
            seq: 7,
            by: Some("p1".into()),
            what,
        };
        expected["seq"] = json!(7);
        expected["by"] = json!("p1");

        let text = happened.to_json();

        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
        assert_eq!(Happened::decode(&text).unwrap(), happened);
    }
}

#[test]
fn an_event_of_nobody_s_doing_says_nobody() {
    let what = What::Away {
        participant: "p1".into(),
    };
    let happened = Happened {
        seq: 1,
        by: None,
        what,
    };

    let value: Value = serde_json::from_slice(&happened.to_json()).unwrap();

    assert_eq!(value.get("by"), None);
    assert_eq!(Happened::decode(&happened.to_json()).unwrap(), happened);
}

#[test]
fn another_version_and_what_is_too_long_are_refused() {
    let mut other = roster();
    other.version = 2;

    assert!(matches!(
        Roster::decode(&other.to_json()),
        Err(DecodeError::Version(2))
    ));
    let long = vec![b' '; BYTES_MAX + 1];
    assert!(matches!(
        Roster::decode(&long),
        Err(DecodeError::TooLong(_))
    ));
    assert!(matches!(
        Happened::decode(&long),
        Err(DecodeError::TooLong(_))
    ));
}

#[test]
fn a_score_that_cannot_be_is_brought_within_the_scale() {
    for (said, kept) in [(f64::NAN, 1.0), (-3.0, 1.0), (1e300, 5.0), (4.256, 4.26)] {
        assert!((f64::from(Mos::from(said)) - kept).abs() < 1e-9, "{said}");
    }
}

#[test]
fn a_roster_of_a_writer_that_knows_less_is_read() {
    let text = json!({
        "version": 1, "room": "0f", "name": "tea", "title": "Tea", "locked": false, "lobby": false,
        "people": [{"participant": "p1", "name": "Anna", "kind": "browser", "role": "host",
                    "presence": "here", "muted": false}],
    });

    let roster = Roster::decode(text.to_string().as_bytes()).unwrap();

    assert!(!roster.recording && roster.listening.is_empty());
    assert_eq!(
        (roster.people[0].level_db, roster.people[0].held),
        (0, false)
    );
}

#[test]
fn what_is_cut_off_is_refused() {
    let text = roster().to_json();
    for len in 0..text.len() {
        assert!(Roster::decode(&text[..len]).is_err(), "{len}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Roster::decode(&bytes));
        drop(Happened::decode(&bytes));
    }

    #[test]
    fn names_of_any_kind_come_through(name in ".{0,80}", title in ".{0,80}") {
        let mut roster = roster();
        roster.people[0].name = name;
        roster.title = title;
        prop_assert_eq!(Roster::decode(&roster.to_json()).unwrap(), roster);
    }
}

fn roster() -> Roster {
    let anna = Person {
        participant: "p1".into(),
        name: "<b>Anna</b>".into(),
        kind: Kind::Browser,
        role: Role::Host,
        presence: Presence::Here,
        muted: false,
        hand: None,
        speaking: true,
        level_db: -6,
        held: false,
        quality: Some(Mos::from(4.2499)),
        video: vec![Video::Camera, Video::Screen],
    };
    let bob = Person {
        participant: "p2".into(),
        name: "1001".into(),
        kind: Kind::Telephone,
        role: Role::Speaker,
        presence: Presence::Away,
        muted: true,
        hand: Some(1),
        speaking: false,
        level_db: 0,
        held: true,
        quality: None,
        video: Vec::new(),
    };
    Roster {
        version: VERSION,
        room: "0f".into(),
        name: "tea".into(),
        title: "Tea".into(),
        number: Some("8001".into()),
        locked: false,
        lobby: true,
        recording: true,
        listening: vec!["Minutes".into()],
        people: vec![anna, bob],
    }
}
