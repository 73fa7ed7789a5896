//! Who comes and goes, as telephones in a room are told.

use std::time::Duration;

use moqrelay_room::conference::{
    Action, Announce, Called, Coming, Config, Does, Input, Leaving, News, Output, Program,
    ProgramId, RoomId, SENTENCE, Spec,
};
use moqrelay_room::{Cause, LegId, ParticipantId};

use crate::world::{P1, World, browser, name, number, telephone, user};

const GATHER: Duration = Duration::from_secs(1);

#[test]
fn telephones_inside_are_told_the_name_and_nobody_hears_the_own_one() {
    let mut world = named();
    call(&mut world, 1, "8100");
    world.enter("den", 2, "anna");

    let told = announced(&mut world, GATHER);

    // The telephone was the first: its own coming is told to nobody.
    assert_eq!(told, [(vec![1], vec![joined(&["anna"])])]);
    call(&mut world, 3, "8100");
    let told = announced(&mut world, SENTENCE);
    let number = News {
        coming: Coming::Joined,
        people: 1,
        named: vec![Called::Number("03".into())],
    };
    assert_eq!(told, [(vec![1], vec![number])]);
    world.act(2, Action::Leave).unwrap();
    let told = announced(&mut world, SENTENCE);
    assert_eq!(told, [(vec![1, 3], vec![left(&["anna"])])]);
}

#[test]
fn two_are_named_and_of_a_crowd_the_number_is_said() {
    let mut world = named();
    call(&mut world, 1, "8100");
    settle(&mut world);

    world.enter("den", 2, "anna");
    world.pass(GATHER / 2);
    world.enter("den", 3, "bert");
    let two = announced(&mut world, GATHER / 2);
    for device in 10..15 {
        world.enter("den", device, &format!("guest{device}"));
    }
    world.act(2, Action::Leave).unwrap();
    let crowd = announced(&mut world, SENTENCE);

    assert_eq!(two, [(vec![1], vec![joined(&["anna", "bert"])])]);
    let five = News {
        coming: Coming::Joined,
        people: 5,
        named: Vec::new(),
    };
    assert_eq!(crowd, [(vec![1], vec![five, left(&["anna"])])]);
}

#[test]
fn while_a_sentence_is_said_the_next_one_waits_and_grows() {
    let mut world = named();
    call(&mut world, 1, "8100");
    settle(&mut world);
    world.enter("den", 2, "anna");
    assert_eq!(announced(&mut world, GATHER).len(), 1);

    let mut sentences = 0;
    for second in 0..60 {
        world.enter("den", 100 + second, &format!("guest{second}"));
        sentences += announced(&mut world, Duration::from_secs(1)).len();
    }

    assert_eq!(sentences, 10);
    // Who comes and goes meanwhile is not worth a word.
    settle(&mut world);
    world.enter("den", 300, "carla");
    world.act(300, Action::Leave).unwrap();
    assert_eq!(announced(&mut world, 3 * SENTENCE), []);
}

#[test]
fn those_who_come_together_hear_of_each_other() {
    let mut world = named();
    call(&mut world, 1, "8100");
    settle(&mut world);

    call(&mut world, 2, "8100");
    call(&mut world, 3, "8100");
    let told = announced(&mut world, GATHER);

    let numbers = |numbers: &[&str]| News {
        coming: Coming::Joined,
        people: numbers.len(),
        named: numbers
            .iter()
            .map(|it| Called::Number((*it).into()))
            .collect(),
    };
    let mut expected = vec![
        (vec![1], vec![numbers(&["02", "03"])]),
        (vec![2], vec![numbers(&["03"])]),
        (vec![3], vec![numbers(&["02"])]),
    ];
    expected.sort_by(|(_, a), (_, b)| a.cmp(b));
    assert_eq!(told, expected);
}

#[test]
fn who_waits_is_told_when_let_in_and_who_gives_up_waiting_is_not() {
    let mut world = named();
    world.enter("hall", 1, "olga");
    call(&mut world, 2, "8300");
    world.act(1, Action::Admit(ParticipantId(2))).unwrap();
    settle(&mut world);

    world.enter("hall", 3, "anna");
    world.enter("hall", 4, "bert");
    world.act(4, Action::Leave).unwrap();
    assert_eq!(announced(&mut world, SENTENCE), []);
    world.act(1, Action::Admit(ParticipantId(3))).unwrap();
    // Once more changes nothing.
    world.act(1, Action::Admit(ParticipantId(3))).unwrap();

    let told = announced(&mut world, SENTENCE);
    assert_eq!(told, [(vec![2], vec![joined(&["anna"])])]);
}

#[test]
fn a_connection_that_is_lost_for_a_moment_and_a_room_that_ends_are_no_news() {
    let mut world = named();
    world.enter("den", 1, "anna");
    call(&mut world, 2, "8100");
    settle(&mut world);

    world.handle(Input::DeviceLost(moqrelay_room::DeviceId(1)));
    world.pass(Duration::from_secs(2));
    world.handle(Input::DeviceBack(moqrelay_room::DeviceId(1)));
    assert_eq!(announced(&mut world, SENTENCE), []);
    world.handle(Input::DeviceLost(moqrelay_room::DeviceId(1)));
    world.pass(Duration::from_secs(10));
    let told = announced(&mut world, SENTENCE);
    assert_eq!(told, [(vec![2], vec![left(&["anna"])])]);

    world.enter("den", 3, "bert");
    let now = world.now;
    world
        .conferences
        .operate(&name("den"), Action::End, now)
        .unwrap();
    world.check();
    assert_eq!(announced(&mut world, 3 * SENTENCE), []);
    assert_eq!(world.conferences.poll_timeout(), None);
}

#[test]
fn programs_have_announcements_of_their_own() {
    let mut world = named();
    call(&mut world, 1, "8100");
    settle(&mut world);
    let (fresh, now) = (world.fresh(), world.now);
    let program = Program {
        id: ProgramId(1),
        name: "writer".into(),
        does: Does::Records,
        until: now + Duration::from_secs(3600),
    };

    let conferences = &mut world.conferences;
    let place = conferences.bring(&name("den"), program, fresh, now);
    conferences
        .take_out(&name("den"), place.unwrap().participant, now)
        .unwrap();

    assert_eq!(announced(&mut world, SENTENCE), []);
}

#[test]
fn who_has_neither_name_nor_number_is_a_telephone() {
    let mut world = named();
    call(&mut world, 1, "8100");
    settle(&mut world);
    let fresh = world.fresh();
    for (leg, shown) in [(2, ""), (3, "+49 (30) 901-820")] {
        let mut caller = telephone(leg);
        caller.name = shown.into();
        world
            .conferences
            .dial(LegId(leg), "8100", caller, fresh, world.now)
            .unwrap();
    }

    let told = announced(&mut world, GATHER);

    let all = told.iter().find(|(legs, _)| legs == &[1]).unwrap();
    let named = vec![Called::Telephone, Called::Number("4930901820".into())];
    assert_eq!(all.1[0].named, named);
}

#[test]
fn by_default_there_are_two_notes_for_each_who_comes_or_goes_and_a_room_can_have_nothing() {
    let quiet = Spec {
        number: number("8400"),
        announce: Some(Announce::Off),
        ..Spec::open(name("quiet"))
    };
    let mut world = World::new(Config {
        rooms: vec![quiet],
        ..Config::default()
    });
    let place = world.enter("tea", 1, "anna");
    world.enter("tea", 2, "bert");
    // Who reloads the page has not gone.
    let again = moqrelay_room::conference::Applicant {
        key: Some(place.key),
        ..browser(3, "anna")
    };
    world.join("tea", again).unwrap();
    world.act(2, Action::Leave).unwrap();
    call(&mut world, 1, "8400");
    call(&mut world, 2, "8400");
    world.handle(Input::LegEnded(LegId(2), Cause::Normal));

    let outputs = world.outputs();

    let chime = |output: &Output| match output {
        Output::Chime(room, coming) => Some((*room, *coming)),
        _ => None,
    };
    let chimes: Vec<(RoomId, Coming)> = outputs.iter().filter_map(chime).collect();
    // Who is the first comes to nobody.
    let room = place.room;
    assert_eq!(chimes, [(room, Coming::Joined), (room, Coming::Left)]);
    for announce in [Announce::Names, Announce::Tone, Announce::Off] {
        assert_eq!(Announce::named(announce.as_str()), Some(announce));
    }
    assert_eq!(Announce::named("Names"), None);
    assert!(
        !outputs
            .iter()
            .any(|it| matches!(it, Output::Announce { .. }))
    );
    let left = |output: &Output| {
        matches!(
            output,
            Output::Leave {
                why: Leaving::Left,
                ..
            }
        )
    };
    assert_eq!(outputs.iter().filter(|it| left(it)).count(), 2);
    assert_eq!(place.participant, P1);
}

/// A node where names are said: `den` (8100) is open to all, in `hall` (8300) Olga lets people in.
fn named() -> World {
    let den = Spec {
        number: number("8100"),
        ..Spec::open(name("den"))
    };
    let hall = Spec {
        number: number("8300"),
        lobby: true,
        owner: Some(user("olga")),
        ..Spec::open(name("hall"))
    };
    World::new(Config {
        rooms: vec![den, hall],
        announce: Announce::Names,
        ..Config::default()
    })
}

fn call(world: &mut World, leg: u64, to: &str) {
    world.dial(leg, to).unwrap();
}

/// Lets everything be said that there is to say.
fn settle(world: &mut World) {
    announced(world, 3 * SENTENCE);
}

/// Lets time pass; returns what telephones were told.
fn announced(world: &mut World, time: Duration) -> Vec<(Vec<u64>, Vec<News>)> {
    world.pass(time);
    let told = |output| match output {
        Output::Announce { legs, news, .. } => {
            Some((legs.into_iter().map(|leg| leg.0).collect(), news))
        }
        _ => None,
    };
    world.outputs().into_iter().filter_map(told).collect()
}

fn joined(names: &[&str]) -> News {
    news(Coming::Joined, names)
}

fn left(names: &[&str]) -> News {
    news(Coming::Left, names)
}

fn news(coming: Coming, names: &[&str]) -> News {
    News {
        coming,
        people: names.len(),
        named: names.iter().map(|it| Called::Name((*it).into())).collect(),
    }
}
