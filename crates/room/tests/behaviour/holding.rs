//! Hold and mute.

use moqrelay_room::{Attachment, Event, Reason, Request};

use crate::world::{ANNA, BERT, CALL, P1, P2, World};

#[test]
fn both_sides_are_told_who_holds() {
    let mut world = World::talking();

    world.ask(BERT, Request::Hold(CALL, true)).unwrap();

    let held = |device| {
        (
            device,
            Event::Held {
                call: CALL,
                held: true,
                by: P2,
            },
        )
    };
    assert_eq!(world.events(), [held(ANNA), held(BERT)]);
}

#[test]
fn holding_twice_says_nothing_new() {
    let mut world = World::talking();
    world.ask(BERT, Request::Hold(CALL, true)).unwrap();
    world.outputs();

    world.ask(BERT, Request::Hold(CALL, true)).unwrap();

    assert_eq!(world.outputs(), []);
}

#[test]
fn an_unanswered_call_cannot_be_held() {
    let mut world = World::calling();

    assert_eq!(
        world.ask(ANNA, Request::Hold(CALL, true)),
        Err(Reason::WrongState)
    );
    assert_eq!(
        world.ask(BERT, Request::Hold(CALL, true)),
        Err(Reason::WrongState)
    );
}

#[test]
fn a_held_call_still_ends() {
    let mut world = World::talking();
    world.ask(ANNA, Request::Hold(CALL, true)).unwrap();
    world.outputs();

    world.ask(BERT, Request::Hangup(CALL)).unwrap();

    assert_eq!(world.endings().len(), 2);
}

#[test]
fn both_sides_are_told_who_is_muted() {
    let mut world = World::talking();

    world.ask(ANNA, Request::Mute(CALL, true)).unwrap();

    let muted = |device| {
        (
            device,
            Event::Muted {
                call: CALL,
                participant: P1,
                muted: true,
            },
        )
    };
    assert_eq!(world.events(), [muted(ANNA), muted(BERT)]);
}

#[test]
fn who_answers_is_told_that_the_caller_is_muted_already() {
    let mut world = World::calling();
    world.ask(ANNA, Request::Mute(CALL, true)).unwrap();
    assert_eq!(world.events(), []);

    world.ask(BERT, Request::Answer(CALL)).unwrap();

    let muted = (
        BERT,
        Event::Muted {
            call: CALL,
            participant: P1,
            muted: true,
        },
    );
    assert_eq!(world.events().last(), Some(&muted));
}

#[test]
fn a_device_that_only_rings_has_no_microphone_to_mute() {
    let mut world = World::calling();

    assert_eq!(
        world.ask(BERT, Request::Mute(CALL, true)),
        Err(Reason::WrongState)
    );
}

#[test]
fn a_snapshot_tells_who_holds_and_who_is_muted() {
    let mut world = World::talking();
    world.ask(ANNA, Request::Mute(CALL, true)).unwrap();
    world.ask(BERT, Request::Hold(CALL, true)).unwrap();

    let snapshot = world.board.resume(ANNA, Attachment(2)).unwrap();

    assert_eq!(
        (&snapshot.calls[0].muted[..], &snapshot.calls[0].held_by[..]),
        (&[P1][..], &[P2][..])
    );
}
