//! Recorders and other programs: seen by everyone, and never the reason that a room is open.

use std::time::Duration;

use moqrelay_room::ParticipantId;
use moqrelay_room::conference::{
    Action, Config, Denied, Does, Input, Kind, Leaving, Limits, Output, Place, Presence, Program,
    ProgramId, Prompt, Role, Who,
};
use moqrelay_room::{Cause, LegId};

use crate::world::{P1, P2, P3, World, device, name};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_program_is_in_the_roster_past_pin_lock_and_lobby() {
    let mut world = World::furnished();
    world.enter("hall", 1, "olga");
    world.act(1, Action::Lock(true)).unwrap();

    let recorder = bring(&mut world, "hall", 1, Does::Records).unwrap();
    let bot = bring(&mut world, "hall", 2, Does::Speaks).unwrap();

    let people = world.roster("hall").people;
    let seen: Vec<_> = people
        .iter()
        .map(|it| (it.participant, it.kind, it.role, it.presence))
        .collect();
    assert_eq!(
        seen[1..],
        [
            (P2, Kind::Recorder, Role::Recorder, Presence::Here),
            (P3, Kind::Program, Role::Speaker, Presence::Here)
        ]
    );
    assert_eq!((recorder.participant, bot.role), (P2, Role::Speaker));
    // It is what it is.
    for whom in [P2, P3] {
        let role = world.act(1, Action::Role(whom, Role::Host));
        assert_eq!(role, Err(Denied::WrongState));
    }
}

#[test]
fn telephones_are_told_of_it_and_are_still_alone_with_it() {
    let mut world = World::furnished();
    world.dial(1, "8200").unwrap();
    world.press(1, "4711#");
    world.outputs();

    bring(&mut world, "den", 1, Does::Records).unwrap();
    let outputs = world.outputs();

    assert!(outputs.contains(&Output::Prompt(LegId(1), Prompt::Recorded)));
    assert!(!outputs.contains(&Output::Alone(LegId(1), false)));
    world.dial(2, "8200").unwrap();
    world.press(2, "4711#");
    let outputs = world.outputs();
    assert!(outputs.contains(&Output::Alone(LegId(1), false)));
    assert!(outputs.contains(&Output::Prompt(LegId(2), Prompt::Recorded)));
}

#[test]
fn a_program_opens_no_room_and_keeps_none_open() {
    let mut world = World::furnished();

    let early = bring(&mut world, "den", 1, Does::Listens);
    let nowhere = bring(&mut world, "cellar", 1, Does::Listens);
    world.enter("tea", 1, "anna");
    bring(&mut world, "tea", 2, Does::Listens).unwrap();
    bring(&mut world, "tea", 3, Does::Records).unwrap();
    world.outputs();
    world.act(1, Action::Leave).unwrap();

    assert_eq!(early, Err(Denied::Empty));
    assert_eq!(nowhere, Err(Denied::NoSuchRoom));
    let program = |id| Who::Program(ProgramId(id));
    assert_eq!(
        world.left(),
        [
            (device(1), Leaving::Left),
            (program(2), Leaving::Ended),
            (program(3), Leaving::Ended)
        ]
    );
    assert_eq!(world.conferences.counts().rooms, 0);
    assert_eq!(world.conferences.poll_timeout(), None);
}

#[test]
fn it_leaves_when_its_time_is_over_or_an_operator_or_host_says_so() {
    let mut world = World::new(Config::default());
    world.enter("tea", 1, "anna");
    for id in 1..=3 {
        bring(&mut world, "tea", id, Does::Listens).unwrap();
    }
    world.outputs();

    world
        .conferences
        .take_out(&name("tea"), P2, world.now)
        .unwrap();
    world.act(1, Action::Ban(P3)).unwrap();
    world.pass(HOUR);

    let program = |id| Who::Program(ProgramId(id));
    assert_eq!(
        world.left(),
        [
            (program(1), Leaving::Left),
            (program(2), Leaving::Banned),
            (program(3), Leaving::Lost)
        ]
    );
    for not_a_program in [P1, P2, ParticipantId(9)] {
        let taken = world
            .conferences
            .take_out(&name("tea"), not_a_program, world.now);
        assert_eq!(taken, Err(Denied::NoSuchParticipant));
    }
    // A telephone that withholds its number is not meant by that ban.
    let number = world.roster("tea").number.unwrap();
    world.dial(1, &number).unwrap();
    let leg = LegId(1);
    world.handle(Input::LegEnded(leg, Cause::Normal));
}

#[test]
fn there_are_not_more_programs_than_anybody_can_keep_in_mind() {
    let mut world = World::new(Config {
        limits: Limits {
            programs: 2,
            speakers: 2,
            ..Limits::default()
        },
        ..Config::default()
    });
    world.enter("tea", 1, "anna");
    world.enter("tea", 2, "bert");

    assert_eq!(bring(&mut world, "tea", 1, Does::Speaks), Err(Denied::Full));
    bring(&mut world, "tea", 2, Does::Listens).unwrap();
    bring(&mut world, "tea", 3, Does::Listens).unwrap();
    assert_eq!(
        bring(&mut world, "tea", 4, Does::Listens),
        Err(Denied::Full)
    );
}

fn bring(world: &mut World, room: &str, id: u64, does: Does) -> Result<Place, Denied> {
    let program = Program {
        id: ProgramId(id),
        name: format!("program {id}"),
        does,
        until: world.now + HOUR,
    };
    let fresh = world.fresh();
    let place = world
        .conferences
        .bring(&name(room), program, fresh, world.now);
    world.check();
    place
}
