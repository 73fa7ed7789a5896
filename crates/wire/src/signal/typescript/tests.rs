//! The table against what serde makes of the types.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::*;
use crate::conference::{
    Happened, Kind, Leaving, Person, Presence as InRoom, Role, Roster, Video, What,
};

use super::{Field, Shape, TYPES, Type, Variant, to_typescript};

#[test]
fn the_words_are_serde_s_words() {
    assert_eq!(words("OwnPresence"), variants::<OwnPresence>(json!("?")));
    assert_eq!(
        words("PresenceState"),
        variants::<PresenceState>(json!("?"))
    );
    assert_eq!(words("PartyKind"), variants::<PartyKind>(json!("?")));
    assert_eq!(words("Direction"), variants::<Direction>(json!("?")));
    assert_eq!(words("CallState"), variants::<CallState>(json!("?")));
    assert_eq!(words("Cause"), variants::<Cause>(json!("?")));
    assert_eq!(words("Code"), variants::<Code>(json!("?")));
    assert_eq!(words("Silence"), variants::<Silence>(json!("?")));
    assert_eq!(words("RoomKind"), variants::<Kind>(json!("?")));
    assert_eq!(words("RoomRole"), variants::<Role>(json!("?")));
    assert_eq!(words("RoomPresence"), variants::<InRoom>(json!("?")));
    assert_eq!(words("VideoSource"), variants::<Video>(json!("?")));
    assert_eq!(words("RoomLeaving"), variants::<Leaving>(json!("?")));
    assert_eq!(words("PlaceState"), variants::<PlaceState>(json!("?")));
    assert_eq!(words("DialState"), variants::<DialState>(json!("?")));
}

#[test]
fn the_kinds_of_message_are_serde_s_kinds() {
    let unknown = json!({"type": "?"});
    assert_eq!(tags("Request"), variants::<Request>(unknown.clone()));
    assert_eq!(tags("Event"), variants::<Event>(unknown.clone()));
    assert_eq!(tags("RoomWhat"), variants::<What>(unknown.clone()));
    assert_eq!(tags("RoomAct"), variants::<Act>(json!({"act": "?"})));
    let mut notices = tags("Notice");
    notices.insert("ok".into());
    assert_eq!(notices, variants::<Notice>(unknown));
}

#[test]
fn a_code_names_itself_as_serde_does() {
    for word in words("Code") {
        let code: Code = serde_json::from_value(json!(word)).unwrap();
        assert_eq!(code.as_str(), word);
    }
}

#[test]
fn a_cause_names_itself_as_serde_does() {
    for word in words("Cause") {
        let cause: Cause = serde_json::from_value(json!(word)).unwrap();
        assert_eq!(cause.as_str(), word);
    }
}

#[test]
fn requests_have_the_fields_of_the_table() {
    let samples = requests();
    assert_eq!(kinds(&samples), tags("Request"), "a sample of each kind");
    for sample in &samples {
        check_both_ways(sample, "Request");
    }
}

#[test]
fn events_have_the_fields_of_the_table() {
    let samples = events();
    assert_eq!(kinds(&samples), tags("Event"), "a sample of each kind");
    for sample in &samples {
        check_both_ways(sample, "Event");
    }
}

#[test]
fn acts_and_happenings_have_the_fields_of_the_table() {
    let acts = acts();
    let known: BTreeSet<String> = acts
        .iter()
        .map(|act| {
            serde_json::to_value(act).unwrap()["act"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(known, tags("RoomAct"), "a sample of each act");
    for act in &acts {
        check_both_ways(act, "RoomAct");
    }
    let happenings = happenings();
    assert_eq!(
        kinds(&happenings),
        tags("RoomWhat"),
        "a sample of each kind"
    );
    for what in &happenings {
        check_both_ways(what, "RoomWhat");
    }
}

#[test]
fn an_ok_to_join_has_the_fields_of_the_table() {
    check_both_ways(&joined(true), "Joined");
    check_both_ways(&joined(false), "Joined");
}

#[test]
fn an_ok_to_register_has_the_fields_of_the_table() {
    check_both_ways(&registered(), "Registered");
}

#[test]
fn notices_have_the_fields_of_the_table() {
    let reason = "why".to_owned();
    for sample in [
        Notice::Refused {
            id: 1,
            code: Code::Busy,
            reason: reason.clone(),
        },
        Notice::Error {
            code: Code::BadMessage,
            reason: reason.clone(),
        },
        Notice::Ping,
        Notice::Bye { reason },
    ] {
        check_both_ways(&sample, "Notice");
    }
}

#[test]
fn server_messages_read_back_as_what_they_were() {
    let ok = |done| ServerMessage::Notice(Notice::Ok { id: 7, done });
    let mut messages = vec![
        ok(Done::Registered(Box::new(registered()))),
        ok(Done::Joined(Box::new(joined(true)))),
        ok(Done::Joined(Box::new(joined(false)))),
        ok(Done::Called { call: CallId(5) }),
        ok(Done::Plain {}),
        ServerMessage::Notice(Notice::Ping),
    ];
    let event = |event| ServerMessage::Event(Sequenced { seq: 3, event });
    messages.extend(events().into_iter().map(event));
    for message in messages {
        let read: ServerMessage = serde_json::from_str(&message.encode()).unwrap();
        assert_eq!(read, message);
    }
}

#[test]
fn an_event_is_one_flat_object() {
    let event = Event::Ringing { call: CallId(0xab) };

    let text = ServerMessage::Event(Sequenced { seq: 9, event }).encode();

    let value: Value = serde_json::from_str(&text).unwrap();
    let call = "000000000000000000000000000000ab";
    assert_eq!(value, json!({"type": "ringing", "seq": 9, "call": call}));
}

#[test]
fn declarations_are_complete_and_name_only_each_other() {
    let text = to_typescript();
    for Type { name, .. } in TYPES {
        assert!(text.contains(&format!(" {name} ")), "{name}");
    }
    assert!(text.contains("\t| { type: \"hold\"; call: CallId; held: boolean }\n"));
    assert!(text.contains("export type Direction = \"in\" | \"out\";\n"));
    assert!(text.contains("export interface Resume {\n\tsession: string;\n"));
}

/// Checks a value against the table, without optional fields too, and reads it back.
fn check_both_ways<T>(sample: &T, name: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let value = serde_json::to_value(sample).unwrap();
    conforms(&value, name);
    let read: T = serde_json::from_value(value).unwrap();
    assert_eq!(read, *sample);
}

/// Panics when a value has not exactly the shape of a TypeScript type.
fn conforms(value: &Value, kind: &str) {
    if let Some(item) = kind.strip_suffix("[]") {
        let items = value
            .as_array()
            .unwrap_or_else(|| panic!("{value} is no {kind}"));
        return items.iter().for_each(|value| conforms(value, item));
    }
    if kind == "RoomHappened" {
        let mut what = value.clone();
        let fields = what.as_object_mut().unwrap();
        assert!(fields.remove("seq").unwrap().is_number(), "{value}");
        assert!(
            fields.remove("by").is_none_or(|by| by.is_string()),
            "{value}"
        );
        return conforms(&what, "RoomWhat");
    }
    match kind {
        "string" => return assert!(value.is_string(), "{value} is no {kind}"),
        "number" => return assert!(value.is_number(), "{value} is no {kind}"),
        "boolean" => return assert!(value.is_boolean(), "{value} is no {kind}"),
        _ => {}
    }
    match shape(kind) {
        Shape::Alias(target) => conforms(value, target),
        Shape::Words(words) => assert!(words.contains(&value.as_str().unwrap()), "{value}"),
        Shape::Object(fields) => has_fields(value, fields, None),
        Shape::OneOf(variants) => {
            let said = |tag: &str, name: &str| value[tag].as_str() == Some(name);
            let fields = variants.iter().find_map(|variant| match variant {
                Variant::Tagged(name, fields) if said("type", name) => Some(("type", *fields)),
                Variant::Act(name, fields) if said("act", name) => Some(("act", *fields)),
                Variant::Wraps(name, inner) if said("type", name) => Some(("type", fields(inner))),
                _ => None,
            });
            let (tag, fields) = fields.unwrap_or_else(|| panic!("{value} is no kind of {kind}"));
            has_fields(value, fields, Some(tag));
        }
    }
}

fn has_fields(value: &Value, fields: &[Field], tag: Option<&str>) {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("{value} is no object"));
    let mut known: BTreeSet<&str> = tag.into_iter().collect();
    for (name, kind) in fields {
        let plain = name.trim_end_matches('?');
        known.insert(plain);
        match object.get(plain) {
            Some(value) => conforms(value, kind),
            None => assert!(name.ends_with('?'), "{plain} is missing in {value}"),
        }
    }
    let found: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    assert!(found.is_subset(&known), "{found:?} has more than {known:?}");
}

fn shape(name: &str) -> &'static Shape {
    let found = TYPES.iter().find(|entry| entry.name == name);
    &found.unwrap_or_else(|| panic!("no type {name}")).shape
}

fn fields(name: &str) -> &'static [Field] {
    match shape(name) {
        Shape::Object(fields) => fields,
        _ => panic!("{name} is no object"),
    }
}

fn words(name: &str) -> BTreeSet<String> {
    match shape(name) {
        Shape::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        _ => panic!("{name} is no list of words"),
    }
}

fn tags(name: &str) -> BTreeSet<String> {
    let Shape::OneOf(variants) = shape(name) else {
        panic!("{name} is no union")
    };
    let tag = |variant: &Variant| match variant {
        Variant::Tagged(tag, _) | Variant::Act(tag, _) | Variant::Wraps(tag, _) => {
            Some((*tag).to_owned())
        }
        Variant::Verbatim(_) => None,
    };
    variants.iter().filter_map(tag).collect()
}

/// What serde says it would have accepted.
fn variants<T: DeserializeOwned>(unknown: Value) -> BTreeSet<String> {
    let Err(error) = serde_json::from_value::<T>(unknown) else {
        panic!("`?` is known")
    };
    let text = error.to_string();
    let (_, expected) = text
        .split_once("expected ")
        .unwrap_or_else(|| panic!("{text}"));
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn kinds<T: Serialize>(samples: &[T]) -> BTreeSet<String> {
    let kind = |sample| {
        let value = serde_json::to_value(sample).unwrap();
        value["type"].as_str().unwrap().to_owned()
    };
    samples.iter().map(kind).collect()
}

fn requests() -> Vec<Request> {
    let call = CallId(u128::MAX);
    let resume = Resume {
        session: "s".into(),
        key: "k".into(),
        seq: 4,
    };
    vec![
        Request::Register {
            token: "t".into(),
            resume: None,
        },
        Request::Register {
            token: "t".into(),
            resume: Some(resume),
        },
        Request::Presence {
            state: OwnPresence::Away,
        },
        Request::Call { to: "anna".into() },
        Request::Ringing { call },
        Request::Answer { call },
        Request::Reject { call },
        Request::Cancel { call },
        Request::Hangup { call },
        Request::Hold { call, held: true },
        Request::Mute { call, muted: false },
        Request::Dtmf {
            call,
            digits: Digits::try_from("1A*#".to_owned()).unwrap(),
        },
        Request::Transfer {
            call,
            to: "carla".into(),
        },
        Request::Rules(rules()),
        Request::Rules(Rules::default()),
        Request::Park { call },
        Request::Connect {
            call,
            with: CallId(2),
        },
        Request::Merge {
            call,
            with: CallId(2),
        },
        Request::Join(Join {
            room: "board".into(),
            ..Join::default()
        }),
        Request::Join(Join {
            room: "board".into(),
            name: Some("Anna".into()),
            pin: Some("1234".into()),
            key: Some("k".into()),
            listen: true,
        }),
        Request::Leave { room: call },
        Request::Room {
            room: call,
            r#do: Act::Lock { locked: true },
        },
    ]
}

fn acts() -> Vec<Act> {
    let p = || "p2".to_owned();
    vec![
        Act::Mute {
            participant: p(),
            muted: true,
        },
        Act::MuteAll {},
        Act::Hand {
            participant: p(),
            raised: true,
        },
        Act::Lock { locked: true },
        Act::Lobby { lobby: true },
        Act::Admit { participant: p() },
        Act::Remove { participant: p() },
        Act::Ban { participant: p() },
        Act::Role {
            participant: p(),
            role: Role::Listener,
        },
        Act::Level {
            participant: p(),
            db: -6,
        },
        Act::End {},
        Act::Hold { held: true },
        Act::Dial {
            number: "1001".into(),
        },
        Act::Say {
            text: "hello".into(),
            to: None,
            file: None,
        },
        Act::Say {
            text: "hello".into(),
            to: Some(p()),
            file: Some("f1".into()),
        },
        Act::React {
            emoji: "👍".into()
        },
        Act::Quality { mos: 4.2.into() },
        Act::Video {
            camera: true,
            screen: false,
        },
    ]
}

fn happenings() -> Vec<What> {
    let participant = "p2".to_owned();
    vec![
        What::Joined {
            participant: participant.clone(),
        },
        What::Waiting {
            participant: participant.clone(),
        },
        What::Away {
            participant: participant.clone(),
        },
        What::Back {
            participant: participant.clone(),
        },
        What::Left {
            participant: participant.clone(),
            why: Leaving::Removed,
        },
        What::Muted {
            participant: participant.clone(),
            muted: true,
        },
        What::AllMuted {},
        What::Hand {
            participant: participant.clone(),
            raised: true,
        },
        What::Role {
            participant: participant.clone(),
            role: Role::Host,
        },
        What::Level {
            participant: participant.clone(),
            db: 3,
        },
        What::Held {
            participant,
            held: true,
        },
        What::Locked { locked: true },
        What::Lobby { lobby: true },
    ]
}

fn joined(inside: bool) -> Joined {
    Joined {
        room: RoomView {
            id: CallId(5),
            name: "board".into(),
            title: inside.then(|| "Board meeting".into()),
            number: inside.then(|| "7810".into()),
        },
        participant: "p1".into(),
        key: "k".into(),
        role: Role::Host,
        state: match inside {
            true => PlaceState::Here,
            false => PlaceState::Waiting,
        },
        media: inside.then(room_media),
        roster: roster(),
        chat: vec![message(None), message(Some("p2"))],
    }
}

fn room_media() -> RoomMedia {
    RoomMedia {
        room: CallId(5),
        participant: "p1".into(),
        namespace: vec!["room".into(), "5".into(), "p1".into()],
        token: "t".into(),
        seats: 5,
        video: true,
        files: Some(FilesTaken {
            bytes: 8 << 20,
            types: vec!["image/png".into()],
        }),
    }
}

fn message(to: Option<&str>) -> ChatMessage {
    ChatMessage {
        n: 1,
        from: "p1".into(),
        name: "Anna".into(),
        to: to.map(str::to_owned),
        text: "hello".into(),
        file: to.map(|_| ChatFile {
            id: "f1".into(),
            name: "a.png".into(),
            media_type: "image/png".into(),
            bytes: 7,
        }),
        at_ms: 1_800_000_000_000,
    }
}

fn roster() -> Roster {
    let person = |whole: bool| Person {
        participant: "p1".into(),
        name: "Anna".into(),
        kind: Kind::Browser,
        role: Role::Host,
        presence: InRoom::Here,
        muted: false,
        hand: whole.then_some(1),
        speaking: true,
        level_db: -3,
        held: false,
        quality: whole.then(|| 4.2.into()),
        video: vec![Video::Camera],
    };
    Roster {
        version: 1,
        room: "5".into(),
        name: "board".into(),
        title: "Board meeting".into(),
        number: Some("7810".into()),
        locked: false,
        lobby: false,
        recording: true,
        listening: vec!["Minutes".into()],
        people: vec![person(true), person(false)],
    }
}

fn events() -> Vec<Event> {
    let call = CallId(1);
    let (participant, by) = ("p1".to_owned(), "p2".to_owned());
    vec![
        Event::Presence(presence(None)),
        Event::Presence(presence(Some("7001"))),
        Event::Incoming {
            call,
            from: party(None),
            via: None,
        },
        Event::Incoming {
            call,
            from: party(Some("7001")),
            via: Some("1002".into()),
        },
        Event::Ringing { call },
        Event::Early {
            call,
            media: media(),
        },
        Event::Up {
            call,
            media: media(),
        },
        Event::Held {
            call,
            held: true,
            by,
        },
        Event::Muted {
            call,
            participant: participant.clone(),
            muted: true,
        },
        Event::Dtmf {
            call,
            participant,
            digit: '#',
        },
        Event::Transferring {
            call,
            by: "p1".into(),
            to: party(None),
        },
        Event::TransferFailed {
            call,
            cause: Cause::Busy,
            reason: "why".into(),
        },
        Event::Changed {
            call,
            now: CallId(2),
            peer: party(None),
            media: media(),
        },
        Event::Quality {
            call,
            participant: "p2".into(),
            from: Box::new(Heard {
                mos: Some(4.25),
                r: Some(90.0),
                lost_percent: Some(0.5),
                delay_ms: Some(80),
                jitter_ms: Some(10),
                silent: Some(Silence::TelephoneMute),
            }),
            to: Box::default(),
        },
        Event::Diverted {
            call,
            to: party(None),
        },
        Event::Rules(rules()),
        Event::Messages { waiting: true },
        Event::Parked(parked()),
        Event::Unparked { slot: "701".into() },
        Event::RoomAdmitted {
            room: call,
            key: "k".into(),
            role: Role::Speaker,
            media: room_media(),
            roster: Box::new(roster()),
            chat: vec![message(None)],
        },
        Event::RoomMedia {
            room: call,
            key: "k".into(),
            role: Role::Listener,
            media: room_media(),
        },
        Event::Roster {
            room: call,
            roster: Box::new(roster()),
        },
        Event::RoomEvent {
            room: call,
            event: Happened {
                seq: 4,
                by: Some("p1".into()),
                what: What::AllMuted {},
            },
        },
        Event::Chat {
            room: call,
            message: message(Some("p2")),
        },
        Event::Reaction {
            room: call,
            from: "p1".into(),
            emoji: "👍".into(),
        },
        Event::RoomDial {
            room: call,
            number: "1001".into(),
            state: DialState::Ended,
            cause: Some(Cause::Busy),
        },
        Event::RoomDial {
            room: call,
            number: "1001".into(),
            state: DialState::Ringing,
            cause: None,
        },
        Event::RoomLeft {
            room: call,
            why: Leaving::Removed,
        },
        Event::Ended {
            call,
            cause: Cause::TooLong,
            reason: "why".into(),
        },
    ]
}

fn registered() -> Registered {
    let view = |media: Option<Media>| CallView {
        call: CallId(1),
        direction: Direction::In,
        state: CallState::Up,
        peer: party(None),
        held_by: vec!["p1".into()],
        muted: Vec::new(),
        up_ms: media.is_some().then_some(5),
        transferring: media.is_some().then(|| Transferring {
            by: "p1".into(),
            to: party(None),
        }),
        via: media.is_some().then(|| "1002".into()),
        media,
    };
    Registered {
        session: "s".into(),
        key: "k".into(),
        user: "anna".into(),
        device: "d1".into(),
        resumed: false,
        calls: vec![view(None), view(Some(media()))],
        presence: vec![presence(None)],
        rules: rules(),
        messages: true,
        parked: vec![parked()],
        services: Services {
            voicemail: Some("*97".into()),
            park: Some("700".into()),
            pick_up: Some("*8".into()),
        },
        limits: Limits {
            message_bytes: 16384,
            calls: 2,
            ring_seconds: 45,
            call_seconds: 14400,
            grace_seconds: 10,
        },
    }
}

fn presence(number: Option<&str>) -> Presence {
    let (user, name) = ("anna".to_owned(), "Anna".to_owned());
    Presence {
        user,
        name,
        number: number.map(str::to_owned),
        state: PresenceState::Offline,
        kind: number.map(|_| PartyKind::Phone),
    }
}

fn rules() -> Rules {
    let target = || Some("1002".to_owned());
    Rules {
        undisturbed: true,
        always: target(),
        busy: target(),
        no_answer: target(),
        after_s: 20,
    }
}

fn parked() -> ParkedCall {
    ParkedCall {
        slot: "701".into(),
        who: party(None),
        by: party(None),
    }
}

fn party(number: Option<&str>) -> Party {
    let (id, name) = ("anna".to_owned(), "Anna".to_owned());
    Party {
        id,
        name,
        number: number.map(str::to_owned),
        kind: PartyKind::Service,
    }
}

fn media() -> Media {
    let namespace = |participant: &str| vec!["room".into(), "0".into(), participant.into()];
    let peer = Peer {
        participant: "p2".into(),
        namespace: namespace("p2"),
        name: "Bert".into(),
        kind: PartyKind::Browser,
    };
    Media {
        room: CallId(1),
        participant: "p1".into(),
        namespace: namespace("p1"),
        token: "t".into(),
        peers: vec![peer],
    }
}
