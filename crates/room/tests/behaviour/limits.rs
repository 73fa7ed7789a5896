//! What is refused beyond which size.

use moqrelay_room::{CallId, Config, DeviceId, Limits, Reason, Request, Trunk};

use crate::world::{ANNA, BERT, BERT_MOBILE, CALL, CARLA, OTHER_CALL, World, arrival};

#[test]
fn a_second_call_waits_and_a_third_finds_busy() {
    let mut world = World::talking();
    world.register(CARLA, "carla", None).unwrap();
    world.register(DeviceId(9), "dora", None).unwrap();

    world.call(CARLA, OTHER_CALL, "bert").unwrap();

    assert_eq!(
        world.call(DeviceId(9), CallId(3), "bert"),
        Err(Reason::Busy)
    );
}

#[test]
fn a_device_with_room_rings_when_another_is_full() {
    let limits = Limits {
        calls_per_device: 1,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });
    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.call(BERT, CALL, "echo").unwrap();
    world.outputs();

    world.call(ANNA, OTHER_CALL, "bert").unwrap();

    let rung: Vec<DeviceId> = world
        .events()
        .into_iter()
        .map(|(device, _)| device)
        .collect();
    assert_eq!(rung, [BERT_MOBILE]);
}

#[test]
fn a_user_has_so_many_calls_over_all_devices() {
    let limits = Limits {
        calls_per_user: 1,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });
    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.call(BERT, CALL, "echo").unwrap();

    assert_eq!(
        world.call(BERT_MOBILE, OTHER_CALL, "echo"),
        Err(Reason::TooMany)
    );
    assert_eq!(world.call(ANNA, OTHER_CALL, "bert"), Err(Reason::Busy));
}

#[test]
fn a_device_places_so_many_calls() {
    let mut world = World::two_people();
    world.call(ANNA, CallId(1), "echo").unwrap();
    world.call(ANNA, CallId(2), "echo").unwrap();

    assert_eq!(world.call(ANNA, CallId(3), "echo"), Err(Reason::TooMany));
    world.ask(ANNA, Request::Hangup(CallId(1))).unwrap();
    world.call(ANNA, CallId(3), "echo").unwrap();
}

#[test]
fn a_node_carries_so_many_calls() {
    let limits = Limits {
        calls: 1,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });
    world.call(ANNA, CALL, "echo").unwrap();

    assert_eq!(world.call(BERT, OTHER_CALL, "echo"), Err(Reason::TooMany));
}

#[test]
fn a_user_has_so_many_devices() {
    let limits = Limits {
        devices_per_user: 1,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });

    assert_eq!(
        world.register(BERT_MOBILE, "bert", Some("7002")),
        Err(Reason::TooMany)
    );
    assert_eq!(world.board.counts().devices, 2);
}

#[test]
fn a_node_knows_so_many_users() {
    let limits = Limits {
        users: 2,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });

    assert_eq!(
        world.register(CARLA, "carla", Some("7003")),
        Err(Reason::TooMany)
    );
    assert_eq!(world.board.counts().users, 2);
}

#[test]
fn so_many_tickets_wait() {
    let limits = Limits {
        tickets: 1,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });
    world
        .board
        .ticket(arrival("7002", Trunk::Answered), world.now)
        .unwrap();

    let second = world
        .board
        .ticket(arrival("7002", Trunk::Answered), world.now);

    assert_eq!(second.unwrap_err().reason, Reason::TooMany);
    world.wait();
    assert!(
        world
            .board
            .ticket(arrival("7002", Trunk::Answered), world.now)
            .is_ok()
    );
}

#[test]
fn a_device_whose_call_was_answered_elsewhere_has_room_again() {
    let limits = Limits {
        calls_per_device: 1,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });
    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.register(CARLA, "carla", None).unwrap();
    world.call(ANNA, CALL, "bert").unwrap();
    world.ask(BERT_MOBILE, Request::Answer(CALL)).unwrap();
    world.outputs();

    world.call(CARLA, OTHER_CALL, "bert").unwrap();

    let rung: Vec<DeviceId> = world
        .events()
        .into_iter()
        .map(|(device, _)| device)
        .collect();
    assert_eq!(rung, [BERT]);
}

#[test]
fn calls_that_are_over_leave_room_for_the_next() {
    let limits = Limits {
        calls_per_device: 1,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });
    for call in 0..10 {
        world.call(ANNA, CallId(call), "bert").unwrap();
        world.ask(BERT, Request::Reject(CallId(call))).unwrap();
    }

    assert_eq!(world.board.counts().calls, 0);
}
