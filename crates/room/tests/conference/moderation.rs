//! What hosts may and others may not.

use moqrelay_room::conference::{
    Action, Applicant, Config, Denied, Leaving, Limits, Output, Role, Shown, Spec, What,
};

use crate::world::{P1, P2, P3, World, browser, device, name};

#[test]
fn only_hosts_moderate() {
    let mut world = three();
    let actions = [
        Action::Mute(P1, true),
        Action::Hand(P1, false),
        Action::MuteAll,
        Action::Lock(true),
        Action::Lobby(true),
        Action::Level(P2, 3),
        Action::Admit(P3),
        Action::Role(P3, Role::Listener),
        Action::Remove(P3),
        Action::Ban(P3),
        Action::End,
    ];

    for action in actions {
        assert_eq!(world.act(2, action), Err(Denied::NotHost), "{action:?}");
    }
    assert_eq!(world.outputs(), []);
}

#[test]
fn a_host_mutes_one_or_all_and_opens_no_microphone() {
    let mut world = three();

    world.act(1, Action::Mute(P2, true)).unwrap();
    assert_eq!(world.act(1, Action::Mute(P2, false)), Err(Denied::NotHost));
    world.act(1, Action::MuteAll).unwrap();

    assert_eq!(
        world.happened(),
        [
            (Some(P1), What::Muted(P2, true)),
            (Some(P1), What::Muted(P3, true)),
            (Some(P1), What::AllMuted),
        ]
    );
    world.act(2, Action::Mute(P2, false)).unwrap();
    assert_eq!(world.happened(), [(Some(P2), What::Muted(P2, false))]);
    assert!(
        !world.roster("tea").people[0].muted,
        "hosts are not meant by all"
    );
}

#[test]
fn mute_is_told_to_the_one_it_concerns_and_only_when_it_changes() {
    let mut world = three();

    world.act(1, Action::Mute(P2, true)).unwrap();
    world.act(1, Action::Mute(P2, true)).unwrap();

    let mutes: Vec<_> = world
        .outputs()
        .into_iter()
        .filter(|it| matches!(it, Output::Mute { .. }))
        .collect();
    assert!(matches!(
        mutes[..],
        [Output::Mute {
            participant: P2,
            muted: true,
            ..
        }]
    ));
}

#[test]
fn hands_are_in_the_order_in_which_they_went_up() {
    let mut world = three();
    for (device, own) in [(3, P3), (1, P1), (2, P2)] {
        world.act(device, Action::Hand(own, true)).unwrap();
    }

    world.act(1, Action::Hand(P3, false)).unwrap();

    let hands: Vec<_> = world
        .roster("tea")
        .people
        .iter()
        .map(|it| it.hand)
        .collect();
    assert_eq!(hands, [Some(1), Some(2), None]);
    assert_eq!(world.act(1, Action::Hand(P3, true)), Err(Denied::NotHost));
}

#[test]
fn a_locked_room_lets_nobody_in_and_those_inside_come_back() {
    let mut world = three();
    let place = world.enter("tea", 2, "bert");
    world.act(1, Action::Lock(true)).unwrap();

    assert_eq!(world.join("tea", browser(4, "dora")), Err(Denied::Locked));
    let back = Applicant {
        key: Some(place.key),
        ..browser(5, "bert")
    };
    assert!(world.join("tea", back).is_ok());
    world.act(1, Action::Lock(false)).unwrap();
    assert!(world.join("tea", browser(4, "dora")).is_ok());
}

#[test]
fn who_is_removed_may_come_again_and_who_is_banned_may_not() {
    let mut world = three();
    world.act(1, Action::Remove(P2)).unwrap();
    world.act(1, Action::Ban(P3)).unwrap();

    assert_eq!(
        world.left(),
        [(device(2), Leaving::Removed), (device(3), Leaving::Banned)]
    );
    assert!(world.join("tea", browser(2, "bert")).is_ok());
    assert_eq!(world.join("tea", browser(3, "carla")), Err(Denied::Banned));
    assert_eq!(
        world.join("tea", browser(9, "carla")),
        Err(Denied::Banned),
        "by any device"
    );
}

#[test]
fn a_ban_ends_with_the_room() {
    let mut world = three();
    world.act(1, Action::Ban(P3)).unwrap();
    world.act(1, Action::End).unwrap();

    assert!(world.join("tea", browser(3, "carla")).is_ok());
}

#[test]
fn bans_are_limited() {
    let mut world = World::new(Config {
        limits: Limits {
            bans: 2,
            ..Limits::default()
        },
        ..Config::default()
    });
    world.enter("tea", 1, "anna");
    for at in 2..6 {
        let place = world.enter("tea", at, &format!("u{at}"));
        world.act(1, Action::Ban(place.participant)).unwrap();
    }

    let refused = (2..6).filter(|at| world.join("tea", browser(*at, &format!("u{at}"))).is_err());

    assert_eq!(refused.count(), 2);
}

#[test]
fn a_host_puts_neither_itself_nor_nobody_out() {
    let mut world = three();

    assert_eq!(world.act(1, Action::Remove(P1)), Err(Denied::WrongState));
    assert_eq!(world.act(1, Action::Ban(P1)), Err(Denied::WrongState));
    let nobody = moqrelay_room::ParticipantId(77);
    assert_eq!(
        world.act(1, Action::Remove(nobody)),
        Err(Denied::NoSuchParticipant)
    );
    assert_eq!(world.act(9, Action::Leave), Err(Denied::NotIn));
    assert!(
        world.join("tea", browser(4, "anna")).is_ok(),
        "not banned by the attempt"
    );
}

#[test]
fn a_host_makes_a_listener_a_speaker_and_hands_the_room_over() {
    let mut world = three();
    world.act(1, Action::Role(P2, Role::Listener)).unwrap();
    assert_eq!(world.role("tea", P2), Role::Listener);

    world.act(1, Action::Role(P2, Role::Host)).unwrap();
    world.act(1, Action::Role(P1, Role::Speaker)).unwrap();

    assert_eq!(world.role("tea", P2), Role::Host);
    assert_eq!(world.act(1, Action::MuteAll), Err(Denied::NotHost));
    world.act(2, Action::MuteAll).unwrap();
    assert_eq!(
        world.act(2, Action::Role(P2, Role::Speaker)),
        Err(Denied::WrongState),
        "the last host stays one"
    );
}

#[test]
fn nobody_is_made_a_recorder_nor_a_recorder_anything_else() {
    let mut world = three();
    let recorder = Applicant {
        role: Role::Recorder,
        ..browser(4, "rec")
    };
    let place = world.join("tea", recorder).unwrap();

    let to_speaker = Action::Role(place.participant, Role::Speaker);
    assert_eq!(world.act(1, to_speaker), Err(Denied::WrongState));
    assert_eq!(
        world.act(1, Action::Role(P2, Role::Recorder)),
        Err(Denied::WrongState)
    );
    assert_eq!(
        world.role("tea", place.participant),
        Role::Recorder,
        "everyone sees it"
    );
}

#[test]
fn when_the_last_host_goes_the_longest_present_one_becomes_host() {
    let mut world = three();

    world.act(1, Action::Leave).unwrap();

    assert_eq!(world.role("tea", P2), Role::Host);
    assert!(
        world
            .happened()
            .contains(&(None, What::Role(P2, Role::Host)))
    );
}

#[test]
fn the_end_of_a_room_is_the_end_for_all() {
    let mut world = three();

    world.act(1, Action::End).unwrap();

    let left = world.left();
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|(_, why)| *why == Leaving::Ended));
    assert_eq!(world.conferences.counts().rooms, 0);
}

#[test]
fn a_level_is_within_limits_told_once_and_known_to_all() {
    let mut world = three();

    world.act(1, Action::Level(P2, -99)).unwrap();
    world.act(1, Action::Level(P2, -20)).unwrap();

    let level = |it: &Output| {
        matches!(
            it,
            Output::Level {
                participant: P2,
                db: -20,
                ..
            }
        )
    };
    let outputs = world.outputs();
    assert_eq!(outputs.iter().filter(|it| level(it)).count(), 1);
    assert_eq!(world.roster("tea").people[1].level_db, -20);
    world.act(1, Action::Level(P2, 99)).unwrap();
    assert_eq!(world.happened(), [(Some(P1), What::Level(P2, 10))]);
}

#[test]
fn who_holds_or_shows_itself_is_known_to_all() {
    let mut world = three();
    let shown = Shown {
        camera: true,
        screen: false,
    };

    world.act(2, Action::Hold(true)).unwrap();
    world.act(2, Action::Hold(true)).unwrap();
    assert_eq!(world.happened(), [(Some(P2), What::Held(P2, true))]);
    world.act(2, Action::Show(shown)).unwrap();

    assert!(matches!(world.outputs()[..], [Output::Roster(_)]));
    let bert = world.roster("tea").people[1].clone();
    assert_eq!((bert.held, bert.shown), (true, shown));
}

#[test]
fn a_lobby_can_be_set_up_while_the_room_is_open_and_ends_with_it() {
    let mut world = three();

    world.act(1, Action::Lobby(true)).unwrap();
    assert_eq!(world.happened(), [(Some(P1), What::Lobby(true))]);
    assert!(world.enter("tea", 4, "dora").waiting);
    world.act(1, Action::End).unwrap();

    world.enter("tea", 1, "anna");
    assert!(!world.enter("tea", 2, "bert").waiting);
}

#[test]
fn an_operator_does_what_hosts_do_and_nobody_is_named() {
    let mut world = three();
    let operate = |world: &mut World, room: &str, action| {
        let done = world.conferences.operate(&name(room), action, world.now);
        world.check();
        done
    };

    operate(&mut world, "tea", Action::Mute(P2, true)).unwrap();
    operate(&mut world, "tea", Action::Lock(true)).unwrap();
    operate(&mut world, "tea", Action::Role(P2, Role::Host)).unwrap();
    operate(&mut world, "tea", Action::Ban(P3)).unwrap();

    assert_eq!(
        world.happened(),
        [
            (None, What::Muted(P2, true)),
            (None, What::Locked(true)),
            (None, What::Role(P2, Role::Host)),
            (None, What::Left(P3, Leaving::Banned)),
        ]
    );
    // No microphone is opened, nobody is spoken for.
    for (action, denied) in [
        (Action::Mute(P2, false), Denied::NotHost),
        (Action::Hand(P2, true), Denied::NotHost),
        (Action::Hold(true), Denied::NotIn),
        (Action::Leave, Denied::NotIn),
        (Action::Remove(P3), Denied::NoSuchParticipant),
    ] {
        assert_eq!(
            operate(&mut world, "tea", action),
            Err(denied),
            "{action:?}"
        );
    }
    let nobody = operate(&mut world, "elsewhere", Action::End);
    assert_eq!(nobody, Err(Denied::NoSuchRoom));
    operate(&mut world, "tea", Action::End).unwrap();
    assert_eq!(world.conferences.counts().rooms, 0);
}

#[test]
fn a_room_that_takes_few_is_full_with_few() {
    let mut world = World::new(Config {
        rooms: vec![Spec {
            people_max: Some(1),
            ..Spec::open(name("booth"))
        }],
        ..Config::default()
    });
    world.enter("booth", 1, "anna");

    let full = world.join("booth", browser(2, "bert"));

    assert_eq!(full.unwrap_err(), Denied::Full);
}

fn three() -> World {
    let mut world = World::new(Config::default());
    for (device, who) in [(1, "anna"), (2, "bert"), (3, "carla")] {
        world.enter("tea", device, who);
    }
    world.outputs();
    world
}
