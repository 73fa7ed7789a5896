//! Telephones that a host calls into the room, and what telephones are told of those who listen.

use moqrelay_room::conference::{
    Action, Applicant, CallState, Config, Denied, Input, Kind, Output, Prompt, Role, Who,
};
use moqrelay_room::{Cause, DeviceId, LegId};

use crate::world::{P2, World, browser, telephone};

const LEG: LegId = LegId(7);
const NUMBER: &str = "0301234";

#[test]
fn a_telephone_that_a_host_calls_comes_in_when_it_answers_without_pin_or_lobby() {
    let mut world = World::furnished();
    world.enter("hall", 1, "olga");
    world.outputs();

    let calling_as = call(&mut world, 1, NUMBER).unwrap();
    assert_eq!(
        (calling_as.title.as_str(), calling_as.number.as_deref()),
        ("hall", Some("8300"))
    );
    assert_eq!(states(&mut world), [CallState::Calling]);
    world.handle(Input::LegRinging(LEG));
    assert_eq!(states(&mut world), [CallState::Ringing]);
    world.handle(Input::LegAnswered(LEG));

    let outputs = world.outputs();
    assert!(outputs.iter().any(|it| matches!(
        it,
        Output::Enter { who, role: Role::Speaker, .. } if *who == Who::Leg(LEG)
    )));
    assert!(outputs.iter().any(|it| matches!(
        it,
        Output::Calling { number, state: CallState::Up, .. } if number == NUMBER
    )));
    let roster = world.roster("hall");
    assert_eq!(
        (roster.people[1].participant, roster.people[1].name.as_str()),
        (P2, NUMBER)
    );
}

#[test]
fn one_that_does_not_come_is_told_to_the_hosts_with_the_cause() {
    for cause in [Cause::Busy, Cause::Rejected, Cause::NotFound] {
        let mut world = hosted();
        call(&mut world, 1, NUMBER).unwrap();
        world.outputs();

        world.handle(Input::LegEnded(LEG, cause));

        assert_eq!(states(&mut world), [CallState::Ended(cause)]);
        assert!(!world.conferences.has_leg(LEG));
        assert_eq!(world.conferences.poll_timeout(), None);
    }
}

#[test]
fn one_that_nobody_answers_is_hung_up_in_the_end() {
    let mut world = hosted();
    call(&mut world, 1, NUMBER).unwrap();
    world.handle(Input::LegRinging(LEG));
    world.outputs();

    world.pass(Config::default().ring_timeout);

    let outputs = world.outputs();
    let ended = CallState::Ended(Cause::NoAnswer);
    assert!(outputs.contains(&Output::HangUp(LEG, Cause::NoAnswer)));
    assert!(
        outputs
            .iter()
            .any(|it| matches!(it, Output::Calling { state, .. } if *state == ended))
    );
}

#[test]
fn one_that_answers_when_everyone_has_gone_is_hung_up() {
    let mut world = hosted();
    call(&mut world, 1, NUMBER).unwrap();
    world.outputs();

    world.act(1, Action::Leave).unwrap();

    assert!(
        world
            .outputs()
            .contains(&Output::HangUp(LEG, Cause::Cancelled))
    );
    world.handle(Input::LegAnswered(LEG));
    assert_eq!(world.outputs(), []);
}

#[test]
fn only_hosts_call_and_nobody_the_same_number_twice_or_too_many() {
    let mut world = hosted();
    world.enter("team", 2, "bert");
    let room = world.roster("team").room;
    assert_eq!(world.conferences.hosts(room), [DeviceId(1)]);

    assert_eq!(call(&mut world, 2, NUMBER).unwrap_err(), Denied::NotHost);
    assert_eq!(call(&mut world, 3, NUMBER).unwrap_err(), Denied::NotIn);
    call(&mut world, 1, NUMBER).unwrap();
    assert_eq!(call(&mut world, 1, NUMBER).unwrap_err(), Denied::WrongState);
    for n in 1..Config::default().limits.calling as u64 {
        call_leg(&mut world, 1, LegId(100 + n), &format!("030{n}")).unwrap();
    }
    let denied = call_leg(&mut world, 1, LegId(200), "0399");
    assert_eq!(denied.unwrap_err(), Denied::Full);
}

#[test]
fn a_telephone_that_holds_the_line_is_shown_so() {
    let mut world = hosted();
    call(&mut world, 1, NUMBER).unwrap();
    world.handle(Input::LegAnswered(LEG));

    world.handle(Input::LegHeld(LEG, true));
    assert!(world.roster("team").people[1].held);

    world.handle(Input::LegHeld(LEG, false));
    assert!(!world.roster("team").people[1].held);
}

#[test]
fn telephones_are_told_of_a_recording_when_it_begins_and_when_they_come() {
    let mut world = World::furnished();
    world.dial(7, "8200").unwrap();
    world.press(7, "4711#");
    world.outputs();

    world.join("den", machine(9, Kind::Recorder)).unwrap();
    assert_eq!(world.prompts(), [Prompt::Recorded]);
    world.join("den", machine(10, Kind::Program)).unwrap();
    assert_eq!(world.prompts(), [Prompt::Listening]);

    world.dial(8, "8200").unwrap();
    world.press(8, "4711#");
    assert_eq!(
        world.prompts(),
        [Prompt::Pin, Prompt::Recorded, Prompt::Listening]
    );
}

#[test]
fn who_is_alone_is_known_until_somebody_comes_and_again_afterwards() {
    let mut world = World::furnished();
    let alone = |world: &mut World| -> Vec<(LegId, bool)> {
        let alone = |output| match output {
            Output::Alone(leg, alone) => Some((leg, alone)),
            _ => None,
        };
        world.outputs().into_iter().filter_map(alone).collect()
    };
    world.dial(7, "8200").unwrap();
    world.press(7, "4711#");
    assert_eq!(alone(&mut world), [(LEG, true)]);

    let applicant = Applicant {
        pin: Some("4711".into()),
        ..browser(1, "anna")
    };
    world.join("den", applicant).unwrap();
    assert_eq!(alone(&mut world), [(LEG, false)]);

    world.act(1, Action::Leave).unwrap();
    assert_eq!(alone(&mut world), [(LEG, true)]);
    world.handle(Input::LegEnded(LEG, Cause::Normal));
    assert_eq!(alone(&mut world), [], "it is gone");
}

fn hosted() -> World {
    let mut world = World::furnished();
    world.enter("team", 1, "anna");
    world.outputs();
    world
}

fn call(
    world: &mut World,
    device: u64,
    number: &str,
) -> Result<moqrelay_room::conference::CallingAs, Denied> {
    call_leg(world, device, LEG, number)
}

fn call_leg(
    world: &mut World,
    device: u64,
    leg: LegId,
    number: &str,
) -> Result<moqrelay_room::conference::CallingAs, Denied> {
    let (fresh, now) = (world.fresh(), world.now);
    let who = Who::Device(DeviceId(device));
    world.conferences.call_in(who, leg, number, fresh, now)
}

fn states(world: &mut World) -> Vec<CallState> {
    let state = |output| match output {
        Output::Calling { state, .. } => Some(state),
        _ => None,
    };
    world.outputs().into_iter().filter_map(state).collect()
}

fn machine(leg: u64, kind: Kind) -> Applicant {
    Applicant {
        kind,
        role: match kind {
            Kind::Recorder => Role::Recorder,
            _ => Role::Listener,
        },
        who: Who::Device(DeviceId(leg)),
        pin: Some("4711".into()),
        ..telephone(leg)
    }
}
