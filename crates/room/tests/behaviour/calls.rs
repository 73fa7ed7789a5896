//! Calls between people, and to services.

use std::time::Duration;

use moqrelay_room::{
    Cause, Direction, Event, Input, Media, Output, Party, PartyKind, Peer, Progress, Reason,
    Request, Service,
};

use crate::world::{
    ANNA, BERT, BERT_MOBILE, CALL, CARLA, OTHER_CALL, P1, P2, World, actions, digits,
};

#[test]
fn a_call_is_offered_to_the_callee() {
    let mut world = World::two_people();

    world.call(ANNA, CALL, "bert").unwrap();

    assert_eq!(
        world.events(),
        [(
            BERT,
            Event::Incoming {
                call: CALL,
                from: anna(),
                via: None,
            }
        )]
    );
}

#[test]
fn a_number_reaches_its_user() {
    let mut world = World::two_people();

    world.call(ANNA, CALL, "7002").unwrap();

    assert_eq!(world.events().len(), 1);
}

#[test]
fn the_caller_hears_once_that_it_rings() {
    let mut world = World::two_people();
    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.call(ANNA, CALL, "bert").unwrap();
    world.outputs();

    world.ask(BERT, Request::Ringing(CALL)).unwrap();
    world.ask(BERT_MOBILE, Request::Ringing(CALL)).unwrap();

    assert_eq!(world.events(), [(ANNA, Event::Ringing(CALL))]);
}

#[test]
fn an_answer_brings_both_sides_up_in_the_calls_room() {
    let mut world = World::calling();

    world.ask(BERT, Request::Answer(CALL)).unwrap();

    let media = |participant, peer, name: &str| Media {
        participant,
        peers: vec![Peer {
            participant: peer,
            name: name.into(),
            kind: PartyKind::Browser,
        }],
    };
    let up = |media| Event::Up { call: CALL, media };
    let expected = [
        (ANNA, up(media(P1, P2, "BERT"))),
        (BERT, up(media(P2, P1, "ANNA"))),
    ];
    assert_eq!(world.events(), expected);
}

#[test]
fn an_answer_repeated_by_the_same_device_is_accepted_and_changes_nothing() {
    let mut world = World::talking();

    world.ask(BERT, Request::Answer(CALL)).unwrap();

    assert_eq!(world.outputs(), []);
}

#[test]
fn the_first_of_several_devices_to_answer_takes_the_call() {
    let mut world = World::two_people();
    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.call(ANNA, CALL, "bert").unwrap();
    world.outputs();

    world.ask(BERT_MOBILE, Request::Answer(CALL)).unwrap();

    assert_eq!(world.endings(), [(BERT, Cause::AnsweredElsewhere)]);
    assert_eq!(
        world.ask(BERT, Request::Answer(CALL)),
        Err(Reason::NoSuchCall)
    );
}

#[test]
fn a_reject_on_one_device_ends_the_call_on_all() {
    let mut world = World::two_people();
    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.call(ANNA, CALL, "bert").unwrap();
    world.outputs();

    world.ask(BERT, Request::Reject(CALL)).unwrap();

    let rejected = |device| (device, Cause::Rejected);
    assert_eq!(
        world.endings(),
        [rejected(ANNA), rejected(BERT), rejected(BERT_MOBILE)]
    );
}

#[test]
fn a_caller_can_give_up() {
    let mut world = World::calling();

    world.ask(ANNA, Request::Cancel(CALL)).unwrap();

    assert_eq!(
        world.endings(),
        [(ANNA, Cause::Cancelled), (BERT, Cause::Cancelled)]
    );
}

#[test]
fn a_cancel_that_crosses_the_answer_hangs_up() {
    let mut world = World::talking();

    world.ask(ANNA, Request::Cancel(CALL)).unwrap();

    assert_eq!(
        world.endings(),
        [(ANNA, Cause::Normal), (BERT, Cause::Normal)]
    );
}

#[test]
fn a_callee_cannot_cancel() {
    let mut world = World::calling();

    assert_eq!(
        world.ask(BERT, Request::Cancel(CALL)),
        Err(Reason::WrongState)
    );
}

#[test]
fn hanging_up_before_the_answer_cancels_or_rejects() {
    let mut world = World::calling();
    world.ask(ANNA, Request::Hangup(CALL)).unwrap();
    let by_caller = world.record();

    world.call(ANNA, OTHER_CALL, "bert").unwrap();
    world.ask(BERT, Request::Hangup(OTHER_CALL)).unwrap();
    let by_callee = world.record();

    assert_eq!(
        (by_caller.cause, by_caller.ended_by),
        (Cause::Cancelled, Some(P1))
    );
    assert_eq!(
        (by_callee.cause, by_callee.ended_by),
        (Cause::Rejected, Some(P2))
    );
}

#[test]
fn either_side_hangs_up() {
    for (device, participant) in [(ANNA, P1), (BERT, P2)] {
        let mut world = World::talking();

        world.ask(device, Request::Hangup(CALL)).unwrap();

        let record = world.record();
        assert_eq!(
            (record.cause, record.ended_by),
            (Cause::Normal, Some(participant))
        );
        assert_eq!(world.board.counts().calls, 0);
    }
}

#[test]
fn an_unanswered_call_ends_after_the_ring_timeout() {
    let mut world = World::calling();

    let waited = world.wait();

    assert_eq!(waited, world.board.config().ring_timeout);
    assert_eq!(
        world.endings(),
        [(ANNA, Cause::NoAnswer), (BERT, Cause::NoAnswer)]
    );
}

#[test]
fn an_answered_call_ends_after_the_longest_duration() {
    let mut world = World::talking();

    let waited = world.wait();

    assert_eq!(waited, world.board.config().call_duration_max);
    let record = world.record();
    assert_eq!((record.cause, record.ended_by), (Cause::TooLong, None));
}

#[test]
fn a_record_tells_when_what_happened() {
    let mut world = World::two_people();
    let started = world.now;
    world.call(ANNA, CALL, "bert").unwrap();
    world.now += Duration::from_secs(1);
    world.ask(BERT, Request::Ringing(CALL)).unwrap();
    world.now += Duration::from_secs(3);
    world.ask(BERT, Request::Answer(CALL)).unwrap();
    world.now += Duration::from_secs(60);
    world.ask(BERT, Request::Hangup(CALL)).unwrap();

    let record = world.record();

    assert_eq!(record.started, started);
    assert_eq!(record.rang, Some(started + Duration::from_secs(1)));
    assert_eq!(record.answered, Some(started + Duration::from_secs(4)));
    assert_eq!(record.talked(), Duration::from_secs(60));
    assert_eq!(
        (record.from.id.as_str(), record.to.id.as_str()),
        ("anna", "bert")
    );
}

#[test]
fn a_call_that_was_never_answered_has_not_talked() {
    let mut world = World::calling();
    world.wait();

    assert_eq!(world.record().talked(), Duration::ZERO);
}

#[test]
fn a_service_answers_at_once_and_hears_the_caller() {
    let mut world = World::two_people();

    world.call(ANNA, CALL, "echo").unwrap();

    let outputs = world.outputs();
    let [
        Output::StartService {
            leg,
            service,
            call,
            participant,
        },
        rest @ ..,
    ] = &outputs[..]
    else {
        panic!("no service began: {outputs:?}");
    };
    assert_eq!((*service, *call, *participant), (Service::Echo, CALL, P2));
    assert!(matches!(
        &rest[0],
        Output::Notify {
            device: ANNA,
            event: Event::Up { .. }
        }
    ));
    assert_eq!(
        rest[1],
        Output::Listen {
            leg: *leg,
            room: CALL,
            participant: P1
        }
    );
}

#[test]
fn hanging_up_ends_the_service() {
    let mut world = World::two_people();
    world.call(ANNA, CALL, "milliwatt").unwrap();
    world.outputs();

    world.ask(ANNA, Request::Hangup(CALL)).unwrap();

    assert!(matches!(
        actions(world.outputs())[..],
        [Output::HangUp {
            cause: Cause::Normal,
            ..
        }]
    ));
    assert_eq!(world.board.counts().legs, 0);
}

#[test]
fn a_service_ignores_digits() {
    let mut world = World::two_people();
    world.call(ANNA, CALL, "echo").unwrap();
    world.outputs();

    world.ask(ANNA, Request::Dtmf(CALL, digits("1"))).unwrap();

    assert_eq!(world.outputs(), []);
}

#[test]
fn nobody_has_an_unknown_name() {
    let mut world = World::two_people();

    assert_eq!(world.call(ANNA, CALL, "zoe"), Err(Reason::NotFound));
    assert_eq!(world.call(ANNA, CALL, "Zoë Ü."), Err(Reason::NotFound));
    assert_eq!(world.board.counts().calls, 0);
}

#[test]
fn calling_oneself_on_the_only_device_is_forbidden() {
    let mut world = World::two_people();

    assert_eq!(world.call(ANNA, CALL, "anna"), Err(Reason::Forbidden));
}

#[test]
fn calling_oneself_rings_the_other_devices() {
    let mut world = World::two_people();
    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.outputs();

    world.call(BERT, CALL, "bert").unwrap();

    let rung: Vec<_> = world
        .events()
        .into_iter()
        .map(|(device, _)| device)
        .collect();
    assert_eq!(rung, [BERT_MOBILE]);
}

#[test]
fn digits_between_browsers_are_events_one_each() {
    let mut world = World::talking();

    world.ask(ANNA, Request::Dtmf(CALL, digits("4#"))).unwrap();

    let dtmf = |digit| {
        (
            BERT,
            Event::Dtmf {
                call: CALL,
                participant: P1,
                digit,
            },
        )
    };
    assert_eq!(
        world.events(),
        digits("4#").into_iter().map(dtmf).collect::<Vec<_>>()
    );
}

#[test]
fn digits_before_the_answer_are_refused() {
    let mut world = World::calling();

    assert_eq!(
        world.ask(ANNA, Request::Dtmf(CALL, digits("1"))),
        Err(Reason::WrongState)
    );
    assert_eq!(
        world.ask(BERT, Request::Dtmf(CALL, digits("1"))),
        Err(Reason::WrongState)
    );
}

#[test]
fn no_digits_and_too_many_are_refused() {
    let mut world = World::talking();

    let none = world.ask(ANNA, Request::Dtmf(CALL, Vec::new()));
    let many = world.ask(ANNA, Request::Dtmf(CALL, digits(&"1".repeat(33))));

    assert_eq!(
        (none, many),
        (Err(Reason::BadRequest), Err(Reason::BadRequest))
    );
}

#[test]
fn strangers_have_no_part_in_a_call() {
    let mut world = World::talking();
    world.register(CARLA, "carla", None).unwrap();
    world.outputs();

    for request in [
        Request::Ringing(CALL),
        Request::Answer(CALL),
        Request::Reject(CALL),
        Request::Cancel(CALL),
        Request::Hangup(CALL),
        Request::Hold(CALL, true),
        Request::Mute(CALL, true),
        Request::Dtmf(CALL, digits("1")),
    ] {
        assert_eq!(world.ask(CARLA, request), Err(Reason::NoSuchCall));
    }
    assert_eq!(world.outputs(), []);
}

#[test]
fn the_caller_can_neither_ring_nor_answer_nor_reject() {
    let mut world = World::calling();

    for request in [
        Request::Ringing(CALL),
        Request::Answer(CALL),
        Request::Reject(CALL),
    ] {
        assert_eq!(world.ask(ANNA, request), Err(Reason::WrongState));
    }
}

#[test]
fn a_callee_who_talks_cannot_reject() {
    let mut world = World::talking();

    assert_eq!(
        world.ask(BERT, Request::Reject(CALL)),
        Err(Reason::WrongState)
    );
}

#[test]
fn one_call_id_is_used_once() {
    let mut world = World::calling();

    assert_eq!(world.call(BERT, CALL, "echo"), Err(Reason::BadRequest));
}

#[test]
fn drain_ends_every_call_and_takes_nothing_new() {
    let mut world = World::talking();
    world.call(BERT, OTHER_CALL, "echo").unwrap();
    world.outputs();

    world.tell(Input::Drain);

    let shutdown = |device| (device, Cause::Shutdown);
    assert_eq!(
        world.endings(),
        [shutdown(ANNA), shutdown(BERT), shutdown(BERT)]
    );
    assert_eq!(world.call(ANNA, CALL, "bert"), Err(Reason::ShuttingDown));
    assert_eq!(
        world.register(CARLA, "carla", None),
        Err(Reason::ShuttingDown)
    );
    assert_eq!(world.board.poll_timeout(), None);
}

#[test]
fn a_snapshot_shows_each_side_its_call() {
    let mut world = World::talking();
    let since = world.now;

    let anna = world
        .board
        .resume(ANNA, moqrelay_room::Attachment(2))
        .unwrap();
    let bert = world
        .board
        .resume(BERT, moqrelay_room::Attachment(2))
        .unwrap();

    let (anna, bert) = (&anna.calls[0], &bert.calls[0]);
    assert_eq!(
        (anna.direction, bert.direction),
        (Direction::Out, Direction::In)
    );
    assert_eq!(
        (anna.peer.id.as_str(), bert.peer.id.as_str()),
        ("bert", "anna")
    );
    assert_eq!(anna.progress, Progress::Up { since });
    assert_eq!(bert.media.as_ref().map(|media| media.participant), Some(P2));
}

fn anna() -> Party {
    let number = Some("7001".to_owned());
    Party {
        id: "anna".into(),
        name: "ANNA".into(),
        number,
        kind: PartyKind::Browser,
    }
}
