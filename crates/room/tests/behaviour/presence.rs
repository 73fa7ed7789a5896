//! Who is there.

use moqrelay_room::{
    Config, DeviceId, Event, Output, OwnPresence, Presence, Reason, Request, Snapshot,
};

use crate::world::{ANNA, BERT, CALL, World, user};

#[test]
fn who_registers_sees_all_and_is_seen() {
    let mut world = World::new(Config::default());
    world.register(ANNA, "anna", None).unwrap();
    world.outputs();

    let snapshot = world.register(BERT, "bert", None).unwrap();

    let available = Presence::Available;
    assert_eq!(
        states(&snapshot),
        [("anna".into(), available), ("bert".into(), available)]
    );
    assert_eq!(
        changes(&mut world),
        [(ANNA, "bert".into(), Presence::Available)]
    );
}

#[test]
fn a_configured_user_is_known_while_away() {
    let users = vec![user("carla", Some("7003"))];
    let mut world = World::with(Config {
        users,
        ..Config::default()
    });

    assert_eq!(world.call(ANNA, CALL, "carla"), Err(Reason::Offline));
    assert_eq!(world.call(ANNA, CALL, "7003"), Err(Reason::Offline));
}

#[test]
fn a_user_who_is_gone_is_offline_and_then_unknown() {
    let mut world = World::two_people();
    world.drop_socket(BERT);
    assert_eq!(changes(&mut world), [], "the grace keeps him");

    world.wait();

    assert_eq!(
        changes(&mut world),
        [(ANNA, "bert".into(), Presence::Offline)]
    );
    assert_eq!(world.call(ANNA, CALL, "bert"), Err(Reason::NotFound));
}

#[test]
fn away_is_shown_and_still_rings() {
    let mut world = World::two_people();

    world
        .ask(BERT, Request::Presence(OwnPresence::Away))
        .unwrap();

    let away = |device| (device, "bert".into(), Presence::Away);
    assert_eq!(changes(&mut world), [away(ANNA), away(BERT)]);
    world.call(ANNA, CALL, "bert").unwrap();
}

#[test]
fn who_says_busy_is_not_rung() {
    let mut world = World::two_people();
    world
        .ask(BERT, Request::Presence(OwnPresence::Busy))
        .unwrap();

    assert_eq!(world.call(ANNA, CALL, "bert"), Err(Reason::Busy));
}

#[test]
fn a_call_makes_the_caller_busy_at_once_and_the_callee_from_the_answer() {
    let mut world = World::two_people();

    world.call(ANNA, CALL, "bert").unwrap();
    let called = changes(&mut world);
    world.ask(BERT, Request::Answer(CALL)).unwrap();
    let answered = changes(&mut world);
    world.ask(BERT, Request::Hangup(CALL)).unwrap();
    let ended = changes(&mut world);

    let all = |user: &str, state| [(ANNA, user.into(), state), (BERT, user.into(), state)];
    assert_eq!(called, all("anna", Presence::Busy));
    assert_eq!(answered, all("bert", Presence::Busy));
    let [anna, bert] = [
        all("anna", Presence::Available),
        all("bert", Presence::Available),
    ];
    assert_eq!(ended, [anna, bert].concat());
}

#[test]
fn what_a_user_said_returns_after_the_call() {
    let mut world = World::two_people();
    world
        .ask(ANNA, Request::Presence(OwnPresence::Away))
        .unwrap();
    world.call(ANNA, CALL, "echo").unwrap();
    world.outputs();

    world.ask(ANNA, Request::Hangup(CALL)).unwrap();

    assert!(changes(&mut world).contains(&(BERT, "anna".into(), Presence::Away)));
}

type Change = (DeviceId, String, Presence);

fn changes(world: &mut World) -> Vec<Change> {
    let change = |output| match output {
        Output::Notify {
            device,
            event: Event::Presence(presence),
        } => Some((device, presence.user.id.to_string(), presence.state)),
        _ => None,
    };
    world.outputs().into_iter().filter_map(change).collect()
}

fn states(snapshot: &Snapshot) -> Vec<(String, Presence)> {
    let state =
        |presence: &moqrelay_room::UserPresence| (presence.user.id.to_string(), presence.state);
    snapshot.presence.iter().map(state).collect()
}
