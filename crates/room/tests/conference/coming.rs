//! Coming, going, and coming back.

use std::time::Duration;

use moqrelay_room::DeviceId;
use moqrelay_room::conference::{
    Action, Applicant, Config, Denied, Input, Leaving, Limits, Output, Pin, Presence, Role,
    RoomName, Spec, What,
};

use crate::world::{P1, P2, P3, World, browser, device, name, number, telephone, user};

#[test]
fn a_room_opens_with_the_first_one_and_closes_behind_the_last() {
    let mut world = World::new(Config::default());

    let place = world.enter("tea", 1, "anna");

    assert_eq!(
        (place.participant, place.role, place.waiting),
        (P1, Role::Host, false)
    );
    assert!(
        world
            .outputs()
            .contains(&Output::Opened(place.room, name("tea")))
    );
    world.act(1, Action::Leave).unwrap();
    assert!(
        world
            .outputs()
            .contains(&Output::Closed(place.room, name("tea")))
    );
    assert_eq!(
        world.conferences.rooms().count(),
        0,
        "made on demand, it is forgotten"
    );
}

#[test]
fn a_room_that_opens_again_has_another_id() {
    let mut world = World::furnished();
    let first = world.enter("hall", 1, "olga");
    world.act(1, Action::Leave).unwrap();

    let second = world.enter("hall", 1, "olga");

    assert_ne!(first.room, second.room);
    assert_eq!(second.participant, P1);
}

#[test]
fn a_room_on_demand_gets_the_first_free_number() {
    let mut world = World::new(Config {
        numbers: 8001..=8002,
        ..Config::default()
    });
    for (device, room) in [(1, "a"), (2, "b"), (3, "c")] {
        world.enter(room, device, "anna");
    }

    let numbers = ["a", "b", "c"].map(|room| world.roster(room).number);

    assert_eq!(numbers, [Some("8001".into()), Some("8002".into()), None]);
    world.act(1, Action::Leave).unwrap();
    world.enter("d", 4, "dora");
    assert_eq!(world.roster("d").number, Some("8001".into()));
}

#[test]
fn who_is_not_signed_in_opens_no_room_but_may_come_into_one() {
    let mut world = World::new(Config::default());
    let stranger = |device| Applicant {
        user: None,
        ..browser(device, "x")
    };

    assert_eq!(world.join("tea", stranger(1)), Err(Denied::NoSuchRoom));
    world.enter("tea", 2, "anna");

    assert_eq!(world.join("tea", stranger(1)).unwrap().role, Role::Speaker);
}

#[test]
fn without_rooms_on_demand_only_those_known_can_be_entered() {
    let mut world = World::new(Config {
        on_demand: false,
        rooms: vec![Spec::open(name("tea"))],
        ..Config::default()
    });

    assert_eq!(
        world.join("other", browser(1, "anna")),
        Err(Denied::NoSuchRoom)
    );
    world.enter("tea", 1, "anna");
}

#[test]
fn asking_again_gives_the_same_place_and_nobody_is_in_two_rooms() {
    let mut world = World::new(Config::default());
    let place = world.enter("tea", 1, "anna");
    world.outputs();

    assert_eq!(world.enter("tea", 1, "anna"), place);
    assert_eq!(world.outputs(), []);
    assert_eq!(
        world.join("other", browser(1, "anna")),
        Err(Denied::AlreadyIn)
    );
}

#[test]
fn who_vanishes_is_away_for_ten_seconds_and_then_gone() {
    let mut world = World::new(Config::default());
    world.enter("tea", 1, "anna");
    world.enter("tea", 2, "bert");
    world.outputs();

    world.handle(Input::DeviceLost(DeviceId(2)));
    assert_eq!(world.presence("tea", P2), Some(Presence::Away));
    world.pass(Duration::from_millis(9_999));
    assert_eq!(world.presence("tea", P2), Some(Presence::Away));
    world.pass(Duration::from_millis(1));

    assert_eq!(world.presence("tea", P2), None);
    assert_eq!(
        world.happened(),
        [
            (None, What::Away(P2)),
            (None, What::Left(P2, Leaving::Lost))
        ]
    );
}

#[test]
fn who_comes_back_in_time_keeps_place_role_mute_and_hand() {
    let mut world = World::new(Config::default());
    world.enter("tea", 1, "anna");
    world.enter("tea", 2, "bert");
    world.act(2, Action::Mute(P2, true)).unwrap();
    world.act(2, Action::Hand(P2, true)).unwrap();
    let before = world.roster("tea");

    world.handle(Input::DeviceLost(DeviceId(2)));
    world.pass(Duration::from_secs(9));
    world.handle(Input::DeviceBack(DeviceId(2)));
    world.pass(Duration::from_secs(60));

    assert_eq!(world.roster("tea"), before);
}

#[test]
fn a_page_that_is_loaded_anew_has_its_place_back_by_the_key() {
    let mut world = World::new(Config::default());
    world.enter("tea", 1, "anna");
    let before = world.enter("tea", 2, "bert");
    world.handle(Input::DeviceGone(DeviceId(2)));
    world.pass(Duration::from_secs(5));

    let again = Applicant {
        key: Some(before.key),
        ..browser(3, "bert")
    };
    let after = world.join("tea", again).unwrap();

    assert_eq!(after, before);
    assert_eq!(world.presence("tea", P2), Some(Presence::Here));
    world.pass(Duration::from_secs(60));
    assert_eq!(
        world.presence("tea", P2),
        Some(Presence::Here),
        "the old deadline is off"
    );
    world.act(3, Action::Leave).unwrap();
    assert_eq!(world.presence("tea", P2), None);
}

#[test]
fn a_key_takes_the_place_from_a_device_that_is_not_missed_yet() {
    let mut world = World::new(Config::default());
    world.enter("tea", 1, "anna");
    let before = world.enter("tea", 2, "bert");
    world.outputs();

    let again = Applicant {
        key: Some(before.key),
        ..browser(3, "bert")
    };
    world.join("tea", again).unwrap();

    assert_eq!(world.left(), [(device(2), Leaving::Elsewhere)]);
    assert_eq!(world.act(2, Action::Leave), Err(Denied::NotIn));
    world.handle(Input::DeviceGone(DeviceId(2)));
    assert_eq!(world.presence("tea", P2), Some(Presence::Here));
}

#[test]
fn another_one_s_key_opens_nothing_when_the_room_is_another() {
    let mut world = World::furnished();
    let place = world.enter("tea", 1, "anna");

    let thief = Applicant {
        key: Some(place.key),
        ..browser(2, "bert")
    };

    assert_eq!(world.join("den", thief), Err(Denied::PinWanted));
}

#[test]
fn a_pin_is_asked_for_and_compared() {
    let mut world = World::furnished();
    let with = |pin: &str| Applicant {
        pin: Some(pin.to_owned()),
        ..browser(1, "anna")
    };

    assert_eq!(
        world.join("den", browser(1, "anna")),
        Err(Denied::PinWanted)
    );
    for wrong in ["", "4712", "471", "47110", "x"] {
        assert_eq!(
            world.join("den", with(wrong)),
            Err(Denied::WrongPin),
            "{wrong}"
        );
    }
    assert!(world.join("den", with("4711")).is_ok());
}

#[test]
fn a_storm_of_wrong_pins_ends_after_ten_for_that_caller_and_for_no_other() {
    let mut world = World::furnished();
    let with = |caller: &str, pin: &str| Applicant {
        pin: Some(pin.to_owned()),
        caller: caller.to_owned(),
        ..browser(1, "anna")
    };
    for _ in 0..10 {
        assert_eq!(
            world.join("den", with("10.0.0.9", "0000")),
            Err(Denied::WrongPin)
        );
    }

    assert_eq!(
        world.join("den", with("10.0.0.9", "4711")),
        Err(Denied::TooManyTries)
    );
    world.pass(Duration::from_secs(599));
    assert_eq!(
        world.join("den", with("10.0.0.9", "4711")),
        Err(Denied::TooManyTries)
    );
    let other = Applicant {
        who: device(2),
        ..with("10.0.0.8", "4711")
    };
    assert!(world.join("den", other).is_ok());
    world.pass(Duration::from_secs(1));
    assert!(world.join("den", with("10.0.0.9", "4711")).is_ok());
}

#[test]
fn the_table_of_callers_forgets_the_oldest() {
    let pin = Some(Pin::new("4711").unwrap());
    let mut world = World::new(Config {
        rooms: vec![Spec {
            pin,
            ..Spec::open(name("den"))
        }],
        limits: Limits {
            callers: 2,
            tries_per_caller: 1,
            ..Limits::default()
        },
        ..Config::default()
    });
    let mut guess = |caller: &str| {
        world.pass(Duration::from_secs(1));
        world.join(
            "den",
            Applicant {
                pin: Some("0000".to_owned()),
                caller: caller.to_owned(),
                ..browser(1, "anna")
            },
        )
    };

    for caller in ["a", "b", "c"] {
        assert_eq!(guess(caller), Err(Denied::WrongPin));
    }

    assert_eq!(guess("c"), Err(Denied::TooManyTries));
    assert_eq!(guess("a"), Err(Denied::WrongPin), "forgotten");
}

#[test]
fn the_lobby_holds_everyone_but_the_owner_until_a_host_admits() {
    let mut world = World::furnished();
    let bert = world.enter("hall", 2, "bert");
    assert!(bert.waiting);
    assert_eq!(world.presence("hall", P1), Some(Presence::Waiting));
    assert!(
        !world
            .outputs()
            .iter()
            .any(|it| matches!(it, Output::Enter { .. }))
    );
    assert_eq!(
        world.act(2, Action::Hand(P1, true)),
        Err(Denied::WrongState)
    );

    let olga = world.enter("hall", 1, "olga");
    assert_eq!((olga.role, olga.waiting), (Role::Host, false));
    world.outputs();
    world.act(1, Action::Admit(P1)).unwrap();

    let entered = world.outputs();
    let admitted = |it: &Output| {
        matches!(
            it,
            Output::Admitted {
                participant: P1,
                ..
            }
        )
    };
    assert_eq!(entered.iter().filter(|it| admitted(it)).count(), 1);
    assert!(entered.iter().any(|it| matches!(
        it,
        Output::Enter {
            participant: P1,
            ..
        }
    )));
    assert_eq!(world.presence("hall", P1), Some(Presence::Here));
    assert_eq!(world.act(1, Action::Admit(P1)), Ok(()), "again is fine");
}

#[test]
fn who_was_in_the_room_before_a_restart_is_what_it_was_past_pin_lobby_and_lock() {
    let mut world = World::furnished();
    let was = |device, who, role| Applicant {
        was: Some(role),
        ..browser(device, who)
    };

    let bert = world.join("hall", was(2, "bert", Role::Speaker)).unwrap();
    assert_eq!((bert.role, bert.waiting), (Role::Speaker, false));
    let anna = world.join("den", was(1, "anna", Role::Host)).unwrap();
    assert_eq!(anna.role, Role::Host);
    world.act(1, Action::Lock(true)).unwrap();
    let carla = world.join("den", was(3, "carla", Role::Listener)).unwrap();

    assert_eq!(carla.role, Role::Listener);
    let locked = world.join("den", browser(4, "dora"));
    assert_eq!(locked.unwrap_err(), Denied::PinWanted);
    // A room on demand is there again with the first of them, whatever that one is.
    let tea = world.join("tea", was(5, "emil", Role::Listener)).unwrap();
    assert_eq!(tea.role, Role::Listener);
}

#[test]
fn a_room_is_meant_by_its_name_or_its_number() {
    let world = World::furnished();

    for text in ["den", "DEN", "8200"] {
        assert_eq!(world.conferences.named(text), Ok(name("den")), "{text}");
    }
    // Nobody has that number: it may be the name of a room on demand.
    assert_eq!(world.conferences.named("8201"), Ok(name("8201")));
    for none in ["", "a b", "ä", "+8200"] {
        assert_eq!(
            world.conferences.named(none),
            Err(Denied::NoSuchRoom),
            "{none}"
        );
    }
}

#[test]
fn who_is_admitted_while_away_is_inside_when_back() {
    let mut world = World::furnished();
    world.enter("hall", 1, "olga");
    world.enter("hall", 2, "bert");
    world.handle(Input::DeviceLost(DeviceId(2)));

    world.act(1, Action::Admit(P2)).unwrap();
    assert_eq!(world.presence("hall", P2), Some(Presence::Away));
    world.handle(Input::DeviceBack(DeviceId(2)));

    assert_eq!(world.presence("hall", P2), Some(Presence::Here));
}

#[test]
fn a_full_room_is_full_and_one_speaker_too_many_listens() {
    let mut world = World::new(Config {
        limits: Limits {
            people: 3,
            speakers: 2,
            ..Limits::default()
        },
        ..Config::default()
    });
    world.enter("tea", 1, "anna");
    world.enter("tea", 2, "bert");

    assert_eq!(world.enter("tea", 3, "carla").role, Role::Listener);
    assert_eq!(world.join("tea", browser(4, "dora")), Err(Denied::Full));
    assert_eq!(
        world.act(1, Action::Role(P3, Role::Speaker)),
        Err(Denied::Full)
    );
}

#[test]
fn the_number_of_rooms_is_limited() {
    let mut world = World::new(Config {
        limits: Limits {
            rooms: 1,
            ..Limits::default()
        },
        ..Config::default()
    });
    world.enter("a", 1, "anna");

    assert_eq!(
        world.join("b", browser(2, "bert")),
        Err(Denied::TooManyRooms)
    );
    assert_eq!(
        world.conferences.create(Spec::open(name("c"))),
        Err(Denied::TooManyRooms)
    );
}

#[test]
fn a_name_and_a_number_belong_to_one_room() {
    let mut world = World::furnished();
    let with = |room: &str, dialled: &str| Spec {
        number: number(dialled),
        ..Spec::open(name(room))
    };

    assert_eq!(
        world.conferences.create(with("den", "1")),
        Err(Denied::Taken)
    );
    assert_eq!(
        world.conferences.create(with("new", "8200")),
        Err(Denied::Taken)
    );
    assert_eq!(
        world.conferences.create(with("new", "8000")),
        Err(Denied::Taken),
        "the door"
    );
    assert_eq!(world.conferences.create(with("new", "8400")), Ok(()));
    assert!(world.conferences.answers("8400"));
    world.conferences.forget(&name("new"), world.now).unwrap();
    assert!(!world.conferences.answers("8400"));
}

#[test]
fn to_forget_a_room_puts_everyone_out() {
    let mut world = World::new(Config {
        rooms: vec![Spec::open(name("tea"))],
        ..Config::default()
    });
    world.enter("tea", 1, "anna");
    world.outputs();

    world.conferences.forget(&name("tea"), world.now).unwrap();

    assert_eq!(world.left(), [(device(1), Leaving::Ended)]);
    assert_eq!(world.conferences.rooms().count(), 0);
}

#[test]
fn hostile_names_are_shown_as_text_without_controls() {
    let mut world = World::new(Config::default());
    let long = "x".repeat(500);
    let names = ["a\u{0}b\n\u{202e}c", "  \u{200b} ", &long, "<b>&amp;</b>"];
    for (at, text) in names.into_iter().enumerate() {
        world
            .join(
                "tea",
                Applicant {
                    name: text.to_owned(),
                    ..browser(at as u64, "u")
                },
            )
            .unwrap();
    }

    let shown: Vec<_> = world
        .roster("tea")
        .people
        .into_iter()
        .map(|it| it.name)
        .collect();

    assert_eq!(shown[0], "abc");
    assert_eq!(shown[1], "p2");
    assert_eq!(shown[2].len(), 64);
    assert_eq!(shown[3], "<b>&amp;</b>");
}

#[test]
fn the_roster_is_told_once_for_all_that_happened_at_once() {
    let mut world = World::new(Config::default());
    world.enter("tea", 1, "anna");
    world.enter("tea", 2, "bert");
    world.act(1, Action::MuteAll).unwrap();

    let outputs = world.outputs();

    let rosters = outputs.iter().filter(|it| matches!(it, Output::Roster(_)));
    assert_eq!(rosters.count(), 1);
    assert!(matches!(outputs.last(), Some(Output::Roster(_))));
    assert_eq!(world.outputs(), []);
}

#[test]
fn events_are_counted_in_each_room_from_one() {
    let mut world = World::new(Config::default());
    for (device, room) in [(1, "a"), (2, "a"), (3, "b")] {
        world.enter(room, device, "anna");
    }

    let seq = |output: &Output| match output {
        Output::Happened(room, it) => Some((room.0, it.seq)),
        _ => None,
    };
    let seqs: Vec<_> = world.outputs().iter().filter_map(seq).collect();

    assert_eq!(seqs, [(1, 1), (1, 2), (3, 1)]);
}

#[test]
fn at_the_end_everyone_leaves_and_nobody_comes() {
    let mut world = World::furnished();
    world.enter("tea", 1, "anna");
    world.dial(7, "8000").unwrap();
    world.outputs();

    world.handle(Input::Drain);

    assert_eq!(world.left(), [(device(1), Leaving::Shutdown)]);
    assert_eq!(world.conferences.counts(), Default::default());
    assert_eq!(world.conferences.poll_timeout(), None);
    assert_eq!(
        world.join("tea", browser(2, "bert")),
        Err(Denied::ShuttingDown)
    );
    assert_eq!(world.dial(8, "8000"), Err(Denied::ShuttingDown));
    assert_eq!(
        world.conferences.create(Spec::open(name("x"))),
        Err(Denied::ShuttingDown)
    );
}

#[test]
fn names_and_pins_have_a_form() {
    for bad in ["", "A", "a b", "ä", "a/b", &"x".repeat(65)] {
        assert_eq!(RoomName::new(bad), Err(Denied::BadName), "{bad}");
    }
    for bad in ["", "123", "12a4", "12345678901234567"] {
        assert!(matches!(Pin::new(bad), Err(Denied::BadPin)), "{bad}");
    }
    assert_eq!(format!("{:?}", Pin::new("4711").unwrap()), "Pin(…)");
    assert_eq!(telephone(1).user, None);
    assert_eq!(user("anna").as_str(), "anna");
}

#[test]
fn who_comes_and_goes_all_the_time_has_to_wait_and_keeps_nobody_else_out() {
    let mut world = World::new(Config::default());
    world.enter("tea", 1, "anna");
    let mut comings = 0;

    // Twenty a second for a minute, by whatever sessions.
    for n in 0..1200 {
        world.pass(Duration::from_millis(50));
        match world.join("tea", browser(100 + n, "eve")) {
            Ok(_) => {
                comings += 1;
                world.act(100 + n, Action::Leave).unwrap();
            }
            Err(denied) => assert_eq!(denied, Denied::TooFast),
        }
    }

    assert!((35..=42).contains(&comings), "{comings}");
    for n in 0..50 {
        world.enter("tea", 2000 + n, &format!("guest{n}"));
    }
    assert_eq!(world.roster("tea").people.len(), 51);
    world.pass(Duration::from_secs(2));
    world.enter("tea", 3000, "eve");
}
