//! What telephones' lamps show of users.

use moqrelay_room::{Config, Lamp, Output, OwnPresence, Request};

use crate::world::{ANNA, BERT, BERT_MOBILE, CALL, CARLA, OTHER_CALL, World, user};

#[test]
fn a_lamp_follows_its_user_through_a_call() {
    let mut world = World::new(Config::default());

    world.register(ANNA, "anna", Some("7001")).unwrap();
    world.register(BERT, "bert", None).unwrap();
    assert_eq!(
        lamps(&mut world),
        [("7001", Lamp::Idle), ("bert", Lamp::Idle)]
    );
    world.call(ANNA, CALL, "bert").unwrap();
    assert_eq!(
        lamps(&mut world),
        [("7001", Lamp::InUse), ("bert", Lamp::Ringing)]
    );
    world.ask(BERT, Request::Answer(CALL)).unwrap();
    assert_eq!(lamps(&mut world), [("bert", Lamp::InUse)]);
    world.ask(ANNA, Request::Hangup(CALL)).unwrap();
    assert_eq!(
        lamps(&mut world),
        [("7001", Lamp::Idle), ("bert", Lamp::Idle)]
    );
}

#[test]
fn a_waiting_call_blinks() {
    let mut world = World::talking();
    world.register(CARLA, "carla", None).unwrap();
    world.outputs();

    world.call(CARLA, OTHER_CALL, "bert").unwrap();

    assert!(lamps(&mut world).contains(&("7002", Lamp::RingInUse)));
}

#[test]
fn a_user_who_is_not_to_be_disturbed_shows_busy() {
    let mut world = World::two_people();

    world
        .ask(ANNA, Request::Presence(OwnPresence::Busy))
        .unwrap();

    assert_eq!(lamps(&mut world), [("7001", Lamp::Busy)]);
}

#[test]
fn what_changes_nothing_is_not_said() {
    let mut world = World::talking();

    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.ask(ANNA, Request::Hold(CALL, true)).unwrap();

    assert_eq!(lamps(&mut world), []);
}

#[test]
fn a_user_who_leaves_leaves_a_dark_lamp() {
    let mut world = World::two_people();
    world.drop_socket(ANNA);

    world.wait();

    assert_eq!(lamps(&mut world), [("7001", Lamp::Unavailable)]);
}

#[test]
fn a_user_with_another_number_leaves_the_old_one_dark() {
    let mut world = World::two_people();
    let renamed = user("anna", Some("7999"));

    let attachment = moqrelay_room::Attachment(1);
    world.board.register(CARLA, renamed, attachment).unwrap();

    assert_eq!(
        lamps(&mut world),
        [("7001", Lamp::Unavailable), ("7999", Lamp::Idle)]
    );
}

fn lamps(world: &mut World) -> Vec<(&'static str, Lamp)> {
    let lamp = |output| match output {
        Output::Lamp { line, lamp } => Some((known(&line), lamp)),
        _ => None,
    };
    world.outputs().into_iter().filter_map(lamp).collect()
}

fn known(line: &str) -> &'static str {
    let lines = ["7001", "7002", "7999", "bert", "carla"];
    let found = lines.into_iter().find(|known| *known == line);
    found.expect("a line of these tests")
}
