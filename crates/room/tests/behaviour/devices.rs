//! Devices that come, go and come back.

use moqrelay_room::{Attachment, Cause, Event, Input, Output, Presence, Reason, Request};

use crate::world::{ANNA, BERT, BERT_MOBILE, CALL, World, user};

#[test]
fn a_call_outlives_its_socket_for_the_grace_period() {
    let mut world = World::talking();
    world.drop_socket(BERT);

    let waited = world.wait();

    assert_eq!(waited, world.board.config().grace);
    let outputs = world.outputs();
    assert!(outputs.contains(&Output::Forget(BERT)));
    let lost = Output::Notify {
        device: ANNA,
        event: Event::Ended {
            call: CALL,
            cause: Cause::Lost,
        },
    };
    assert!(outputs.contains(&lost));
}

#[test]
fn a_device_that_resumes_in_time_keeps_its_calls() {
    let mut world = World::talking();
    world.drop_socket(BERT);

    let snapshot = world.board.resume(BERT, Attachment(2)).unwrap();

    assert_eq!(snapshot.calls.len(), 1);
    assert_eq!(world.board.counts().calls, 1);
    let longest = world.board.config().call_duration_max;
    assert_eq!(world.wait(), longest, "only the call itself is still due");
}

#[test]
fn a_device_cannot_resume_after_its_grace() {
    let mut world = World::two_people();
    world.drop_socket(BERT);
    world.wait();

    let resumed = world.board.resume(BERT, Attachment(2));

    assert_eq!(resumed.unwrap_err().reason, Reason::NotRegistered);
}

#[test]
fn the_loss_of_a_socket_that_was_replaced_is_old_news() {
    let mut world = World::two_people();
    world.board.resume(BERT, Attachment(2)).unwrap();

    world.drop_socket(BERT);

    assert_eq!(world.board.poll_timeout(), None);
}

#[test]
fn a_second_report_of_one_loss_does_not_lengthen_the_grace() {
    let mut world = World::two_people();
    world.drop_socket(BERT);
    let until = world.board.poll_timeout();

    world.now += world.board.config().grace / 2;
    world.drop_socket(BERT);

    assert_eq!(world.board.poll_timeout(), until);
}

#[test]
fn a_device_without_socket_still_rings_and_can_answer_when_back() {
    let mut world = World::two_people();
    world.drop_socket(BERT);
    world.call(ANNA, CALL, "bert").unwrap();
    world.board.resume(BERT, Attachment(2)).unwrap();

    world.ask(BERT, Request::Answer(CALL)).unwrap();

    assert_eq!(world.board.counts().calls_up, 1);
}

#[test]
fn a_ringing_call_ends_as_unreachable_when_the_last_device_is_lost() {
    let mut world = World::calling();
    world.drop_socket(BERT);
    world.wait();

    assert_eq!(world.record().cause, Cause::Unreachable);
}

#[test]
fn a_ringing_call_goes_on_while_another_device_rings() {
    let mut world = World::two_people();
    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.call(ANNA, CALL, "bert").unwrap();
    world.outputs();
    world.drop_socket(BERT);
    world.wait();
    world.outputs();

    world.ask(BERT_MOBILE, Request::Answer(CALL)).unwrap();

    assert_eq!(world.board.counts().calls_up, 1);
}

#[test]
fn a_caller_who_is_lost_ends_the_ringing() {
    let mut world = World::calling();
    world.drop_socket(ANNA);
    world.wait();

    assert!(world.endings().contains(&(BERT, Cause::Lost)));
}

#[test]
fn a_device_that_registers_while_its_user_is_rung_rings_too() {
    let mut world = World::calling();

    let snapshot = world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();

    assert!(snapshot.calls.is_empty(), "the event tells it");
    let events = world.events();
    assert!(matches!(
        events[..],
        [(BERT_MOBILE, Event::Incoming { call: CALL, .. })]
    ));
    world.ask(BERT_MOBILE, Request::Answer(CALL)).unwrap();
    assert_eq!(world.endings(), [(BERT, Cause::AnsweredElsewhere)]);
}

#[test]
fn a_device_registers_once() {
    let mut world = World::two_people();

    assert_eq!(
        world.register(ANNA, "anna", None),
        Err(Reason::AlreadyRegistered)
    );
}

#[test]
fn a_device_must_register_first() {
    let mut world = World::two_people();

    assert_eq!(
        world.call(BERT_MOBILE, CALL, "anna"),
        Err(Reason::NotRegistered)
    );
}

#[test]
fn a_number_belongs_to_one_user() {
    let mut world = World::two_people();

    assert_eq!(
        world.register(BERT_MOBILE, "carla", Some("7001")),
        Err(Reason::Forbidden)
    );
    assert_eq!(world.board.counts().users, 2);
}

#[test]
fn nobody_is_named_as_a_service() {
    let mut world = World::two_people();

    assert_eq!(
        world.register(BERT_MOBILE, "echo", None),
        Err(Reason::Forbidden)
    );
}

#[test]
fn a_user_who_left_frees_the_number() {
    let mut world = World::two_people();
    world.drop_socket(BERT);
    world.wait();

    world.register(BERT_MOBILE, "carla", Some("7002")).unwrap();

    assert_eq!(world.board.counts().users, 2);
}

#[test]
fn a_new_name_is_shown_to_all() {
    let mut world = World::two_people();
    let mut renamed = user("bert", Some("7009"));
    renamed.name = "Robert".into();

    world
        .board
        .register(BERT_MOBILE, renamed, Attachment(1))
        .unwrap();

    let told = world.outputs().into_iter().any(|output| match output {
        Output::Notify {
            device: ANNA,
            event: Event::Presence(presence),
        } => presence.user.name == "Robert" && presence.state == Presence::Available,
        _ => false,
    });
    assert!(told);
    assert_eq!(
        world.call(ANNA, CALL, "7002"),
        Err(Reason::NoRoute),
        "the old number is free"
    );
    world.call(ANNA, CALL, "7009").unwrap();
}

#[test]
fn drain_lets_devices_resume_to_hear_the_end() {
    let mut world = World::two_people();
    world.drop_socket(BERT);
    world.tell(Input::Drain);

    assert!(world.board.resume(BERT, Attachment(2)).is_ok());
}
