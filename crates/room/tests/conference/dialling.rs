//! Telephones: their way in, and their keys inside.

use std::time::Duration;

use moqrelay_room::conference::{
    Action, Applicant, Config, Denied, Input, KeyAction, Leaving, Output, Pin, Presence, Prompt,
    Role, Spec, Who,
};
use moqrelay_room::{Cause, Digit, LegId};

use crate::world::{P1, P2, P3, World, browser, name, number, user};

const TIMEOUT: Duration = Duration::from_secs(10);
const REFUSING: Duration = Duration::from_secs(2);

#[test]
fn a_room_s_number_leads_straight_in_after_its_pin() {
    let mut world = World::furnished();

    world.dial(7, "8200").unwrap();
    assert_eq!(
        world.outputs(),
        [
            Output::Answer(LegId(7)),
            Output::Prompt(LegId(7), Prompt::Pin)
        ]
    );
    world.press(7, "4711#");

    let place = world.conferences.place_of(Who::Leg(LegId(7))).unwrap();
    assert_eq!((place.participant, place.role), (P1, Role::Speaker));
    assert_eq!(world.prompts(), [Prompt::Alone]);
}

#[test]
fn the_door_asks_for_the_room_first() {
    let mut world = World::furnished();

    world.dial(7, "8000").unwrap();
    assert_eq!(world.prompts(), [Prompt::Number]);
    world.press(7, "8200#");
    assert_eq!(world.prompts(), [Prompt::Pin]);
    world.press(7, "4711#");

    assert_eq!(world.conferences.counts().people, 1);
}

#[test]
fn a_number_that_is_no_room_s_is_somebody_else_s() {
    let mut world = World::furnished();

    assert!(!world.conferences.answers("7001"));
    assert!(!world.conferences.answers("not a number"));
    assert_eq!(world.dial(7, "7001"), Err(Denied::NoSuchRoom));
    assert_eq!(world.outputs(), []);
}

#[test]
fn a_pause_ends_a_number_as_the_hash_does_and_a_star_begins_anew() {
    let mut world = World::furnished();
    world.dial(7, "8200").unwrap();

    world.press(7, "99*4711");
    world.pass(TIMEOUT);

    assert_eq!(world.conferences.counts().people, 1);
}

#[test]
fn three_wrong_pins_are_the_end_of_the_call() {
    let mut world = World::furnished();
    world.dial(7, "8200").unwrap();
    world.outputs();

    for pin in ["1111#", "2222#", "3333#"] {
        world.press(7, pin);
    }

    assert_eq!(
        world.prompts(),
        [Prompt::Wrong, Prompt::Wrong, Prompt::Refused]
    );
    world.press(7, "4711#");
    assert_eq!(world.conferences.counts().people, 0, "too late");
    world.pass(REFUSING);
    assert_eq!(world.outputs(), [Output::HangUp(LegId(7), Cause::Rejected)]);
    assert!(!world.conferences.has_leg(LegId(7)));
}

#[test]
fn who_says_nothing_is_asked_three_times() {
    let mut world = World::furnished();
    world.dial(7, "8000").unwrap();
    world.outputs();

    for _ in 0..3 {
        world.pass(TIMEOUT);
    }

    assert_eq!(
        world.prompts(),
        [Prompt::Wrong, Prompt::Wrong, Prompt::Refused]
    );
    world.pass(REFUSING);
    assert_eq!(world.conferences.counts(), Default::default());
    assert_eq!(world.conferences.poll_timeout(), None);
}

#[test]
fn keys_while_being_refused_do_not_prolong_it() {
    let mut world = World::furnished();
    world.dial(7, "8200").unwrap();
    world.press(7, "1#2#3#");
    world.outputs();

    world.pass(Duration::from_secs(1));
    world.press(7, "12#34*#");
    world.pass(Duration::from_secs(1));

    assert_eq!(world.outputs(), [Output::HangUp(LegId(7), Cause::Rejected)]);
}

#[test]
fn a_caller_who_calls_again_and_again_is_not_even_answered() {
    let mut world = World::furnished();
    // Each of these calls is from one number: the applicant's caller is the leg's name.
    for _ in 0..4 {
        world.dial(7, "8200").unwrap();
        world.press(7, "1#2#3#");
        world.pass(REFUSING);
    }

    assert_eq!(world.dial(7, "8200"), Err(Denied::TooManyTries));
    world.dial(8, "8200").unwrap();
}

#[test]
fn who_hangs_up_on_the_way_in_is_forgotten() {
    let mut world = World::furnished();
    world.dial(7, "8200").unwrap();
    world.outputs();

    world.handle(Input::LegEnded(LegId(7), Cause::Normal));

    assert_eq!(world.conferences.counts(), Default::default());
    assert_eq!(world.conferences.poll_timeout(), None);
    assert_eq!(world.outputs(), []);
}

#[test]
fn who_hangs_up_inside_has_left_at_once() {
    let mut world = inside();

    world.handle(Input::LegEnded(LegId(7), Cause::Normal));

    assert_eq!(world.left(), [(Who::Leg(LegId(7)), Leaving::Left)]);
    assert_eq!(world.roster("tea").people.len(), 1);
}

#[test]
fn star_six_mutes_and_unmutes() {
    let mut world = inside();

    world.press(7, "*6");
    let outputs = world.outputs();
    assert!(outputs.iter().any(|it| matches!(
        it,
        Output::Mute {
            participant: P2,
            muted: true,
            ..
        }
    )));
    assert!(outputs.contains(&Output::Prompt(LegId(7), Prompt::Muted)));
    assert!(world.roster("tea").people[1].muted);
    world.press(7, "*6");

    assert!(!world.roster("tea").people[1].muted);
    assert_eq!(world.prompts(), [Prompt::Unmuted]);
}

#[test]
fn star_five_raises_the_hand_and_star_eight_leaves() {
    let mut world = inside();

    world.press(7, "*5");
    assert_eq!(world.roster("tea").people[1].hand, Some(1));
    world.press(7, "*5");
    assert_eq!(world.roster("tea").people[1].hand, None);
    assert_eq!(world.prompts(), [Prompt::HandUp, Prompt::HandDown]);
    world.press(7, "*8");

    assert_eq!(world.left(), [(Who::Leg(LegId(7)), Leaving::Left)]);
}

#[test]
fn keys_without_a_star_or_long_after_it_do_nothing() {
    let mut world = inside();

    world.press(7, "6658#");
    world.press(7, "*");
    world.pass(TIMEOUT + Duration::from_millis(1));
    world.press(7, "6");
    world.press(7, "*4");

    let idle = |it: &Output| matches!(it, Output::Hush(_));
    assert!(world.outputs().iter().all(idle));
}

#[test]
fn host_keys_work_for_hosts_only() {
    let mut config = Config::default();
    for (key, action) in [
        ('1', KeyAction::MuteAll),
        ('2', KeyAction::Lock),
        ('3', KeyAction::Admit),
    ] {
        config.keys.insert(Digit::new(key).unwrap(), action);
    }
    let mut world = World::new(config);
    world.enter("tea", 1, "anna");
    let dialled = world.roster("tea").number.unwrap();
    world.dial(7, &dialled).unwrap();
    world.outputs();

    world.press(7, "*1");
    assert_eq!(world.prompts(), [Prompt::HostOnly]);
    world.act(1, Action::Role(P2, Role::Host)).unwrap();
    world.press(7, "*2");

    assert!(world.roster("tea").locked);
    world.press(7, "*3");
    world.press(7, "*2");
    assert!(!world.roster("tea").locked);
}

#[test]
fn a_telephone_waits_in_the_lobby_and_is_let_in() {
    let mut world = World::furnished();
    world.enter("hall", 1, "olga");
    world.dial(7, "8300").unwrap();
    assert_eq!(world.prompts(), [Prompt::Wait]);

    world.act(1, Action::Admit(P2)).unwrap();

    let entered = |it: &Output| {
        matches!(
            it,
            Output::Enter {
                who: Who::Leg(LegId(7)),
                ..
            }
        )
    };
    assert!(world.outputs().iter().any(entered));
}

fn inside() -> World {
    let mut world = World::new(Config::default());
    world.enter("tea", 1, "anna");
    let dialled = world
        .conferences
        .roster_named(&name("tea"))
        .unwrap()
        .number
        .unwrap();
    world.dial(7, &dialled).unwrap();
    world.outputs();
    world
}

#[test]
fn who_dials_in_with_the_pin_of_hosts_is_host_past_lobby_and_lock() {
    let mut world = hosted(Some("4711"));
    world.dial(1, "8400").unwrap();
    world.press(1, "4711#");
    assert_eq!(world.role("club", P1), Role::Speaker);
    assert_eq!(world.presence("club", P1), Some(Presence::Waiting));

    world.dial(2, "8400").unwrap();
    world.press(2, "90210#");

    assert_eq!(world.role("club", P2), Role::Host);
    assert_eq!(world.presence("club", P2), Some(Presence::Here));
    // Keys of hosts are its own now: it lets in who waits, and locks.
    world.press(2, "*3*7");
    assert_eq!(world.presence("club", P1), Some(Presence::Here));
    world.dial(3, "8400").unwrap();
    world.press(3, "90210#");
    assert_eq!(world.role("club", P3), Role::Host);
}

#[test]
fn in_a_room_with_a_pin_for_hosts_alone_others_go_in_without() {
    let mut world = hosted(None);
    world.dial(1, "8400").unwrap();
    assert_eq!(world.prompts(), [Prompt::Pin]);
    world.press(1, "9021#");
    assert!(world.prompts().contains(&Prompt::Wrong));
    world.press(1, "#");
    world.dial(2, "8400").unwrap();
    world.press(2, "90210#");

    assert_eq!(world.role("club", P1), Role::Speaker);
    assert_eq!(world.role("club", P2), Role::Host);
    let wrong = Applicant {
        pin: Some("1234".into()),
        ..browser(5, "eve")
    };
    assert_eq!(world.join("club", wrong), Err(Denied::WrongPin));
    let place = world.enter("club", 6, "fred");
    assert!(place.waiting);
}

/// A room with a lobby and a PIN for hosts.
fn hosted(pin: Option<&str>) -> World {
    let club = Spec {
        number: number("8400"),
        pin: pin.map(|pin| Pin::new(pin).unwrap()),
        host_pin: Some(Pin::new("90210").unwrap()),
        lobby: true,
        owner: Some(user("olga")),
        ..Spec::open(name("club"))
    };
    World::new(Config {
        rooms: vec![club],
        ..Config::default()
    })
}
