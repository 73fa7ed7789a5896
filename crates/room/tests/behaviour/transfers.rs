//! Somebody takes another's place; two calls become one.

use moqrelay_room::{
    Attachment, CallId, CallRecord, Cause, Config, Event, Input, LegId, Media, Output,
    ParticipantId, Presence, Reason, Request, TransferProgress, Trunk,
};

use crate::world::{ANNA, BERT, CALL, CARLA, OTHER_CALL, P1, P2, World, actions, digits, events};

const P3: ParticipantId = ParticipantId(3);

#[test]
fn who_is_transferred_hears_a_ringing_tone_and_then_the_new_one() {
    let (mut world, leg) = talking_to_a_telephone();

    transfer(&mut world, CALL, "carla").unwrap();
    let asked = world.outputs();
    world.ask(CARLA, Request::Answer(CALL)).unwrap();
    let answered = world.outputs();

    assert_eq!(
        actions(asked.clone()),
        [unlisten(leg, CALL, P1), Output::PlayRingback(leg)]
    );
    assert!(matches!(
        &events(asked)[..],
        [
            (ANNA, Event::Transferring { by: P1, to, .. }),
            (CARLA, Event::Incoming { from, via: Some(via), .. }),
        ] if to.id == "carla" && from.id == "0301234" && via == "ANNA"
    ));
    assert_eq!(
        actions(answered.clone()),
        [Output::StopTone(leg), listen(leg, CALL, P3)]
    );
    assert!(matches!(
        &events(answered)[..],
        [
            (ANNA, Event::Ended { cause: Cause::Transferred, .. }),
            (CARLA, Event::Up { media, .. }),
        ] if media.participant == P3 && media.peers[0].participant == P2
    ));
}

#[test]
fn who_is_transferred_hears_the_new_one_before_the_answer() {
    let (mut world, leg) = talking_to_a_telephone();
    transfer(&mut world, CALL, "0309999").unwrap();
    let dialled = dialled(world.outputs());

    world.tell(Input::LegEarly(dialled));
    let early = world.outputs();
    world.tell(Input::LegAnswered(dialled));
    let answered = actions(world.outputs());

    assert_eq!(
        actions(early.clone()),
        [
            Output::StopTone(leg),
            listen(leg, CALL, P3),
            listen(dialled, CALL, P2)
        ]
    );
    assert_eq!(events(early), [], "who transfers hears nothing of it");
    assert_eq!(answered, [], "they hear each other already");
}

#[test]
fn a_browser_that_is_transferred_hears_the_new_one_before_the_answer_and_then_the_old_one_again() {
    let mut world = with_carla();
    world.tell(Input::TrunkAvailable(true));
    transfer(&mut world, CALL, "0309999").unwrap();
    let dialled = dialled(world.outputs());

    world.tell(Input::LegEarly(dialled));
    let early = world.outputs();
    world.ask(BERT, Request::Dtmf(CALL, digits("5"))).unwrap();
    let pressed = actions(world.outputs());
    world.tell(Input::LegEnded {
        leg: dialled,
        cause: Cause::Busy,
    });

    assert_eq!(actions(early.clone()), [listen(dialled, CALL, P2)]);
    let peers = |media: &Media| -> Vec<_> { media.peers.iter().map(|it| it.participant).collect() };
    assert!(matches!(
        &events(early)[..],
        [(BERT, Event::Early { call: CALL, media })] if peers(media) == [P3]
    ));
    assert!(matches!(pressed[..], [Output::SendDigits { leg, .. }] if leg == dialled));
    let told = world.events();
    let changed = told.iter().find_map(|(device, event)| match event {
        Event::Changed { media, .. } if *device == BERT => Some(peers(media)),
        _ => None,
    });
    assert_eq!(changed, Some(vec![P1]), "{told:?}");
}

#[test]
fn a_browser_that_is_transferred_rings_on_when_the_other_has_left() {
    let mut world = with_carla();
    transfer(&mut world, CALL, "carla").unwrap();
    world.outputs();

    world.ask(ANNA, Request::Hangup(CALL)).unwrap();

    let told = world.events();
    let of_bert: Vec<_> = told.iter().filter(|(device, _)| *device == BERT).collect();
    assert!(
        matches!(
            of_bert.last(),
            Some((_, Event::Transferring { by: P1, .. }))
        ),
        "{told:?}"
    );
}

#[test]
fn a_browser_that_is_transferred_is_told_where_the_new_one_is() {
    let mut world = with_carla();

    transfer(&mut world, CALL, "carla").unwrap();
    world.ask(CARLA, Request::Answer(CALL)).unwrap();

    let told = world.events();
    let changed = told.iter().find_map(|(device, event)| match event {
        Event::Changed {
            call,
            now,
            peer,
            media,
        } if *device == BERT => Some((*call, *now, peer.id.clone(), media.clone())),
        _ => None,
    });
    let (call, now, peer, media) = changed.expect("bert is told");
    assert_eq!((call, now, peer.as_str()), (CALL, CALL, "carla"));
    assert_eq!((media.participant, media.peers[0].participant), (P2, P3));
}

#[test]
fn a_browser_is_out_of_the_room_once_somebody_has_its_place() {
    let (mut world, _) = talking_to_a_telephone();
    transfer(&mut world, CALL, "carla").unwrap();
    let asked = world.outputs();

    world.ask(CARLA, Request::Answer(CALL)).unwrap();

    let left = |outputs: Vec<Output>| {
        let left = |output| match output {
            Output::Left { room, participant } => Some((room, participant)),
            _ => None,
        };
        outputs.into_iter().filter_map(left).collect::<Vec<_>>()
    };
    assert_eq!(left(asked), []);
    assert_eq!(left(world.outputs()), [(CALL, P1)]);
    world.ask(CARLA, Request::Hangup(CALL)).unwrap();
    assert_eq!(left(world.outputs()), [], "the room itself is over");
}

#[test]
fn a_transfer_that_nobody_answers_gives_the_call_back() {
    let (mut world, leg) = talking_to_a_telephone();
    transfer(&mut world, CALL, "carla").unwrap();
    world.outputs();

    let waited = world.wait();

    assert_eq!(waited, Config::default().ring_timeout);
    let outputs = world.outputs();
    assert_eq!(
        actions(outputs.clone()),
        [Output::StopTone(leg), listen(leg, CALL, P1)]
    );
    let cause = Cause::NoAnswer;
    assert_eq!(
        events(outputs),
        [
            (CARLA, Event::Ended { call: CALL, cause }),
            (ANNA, Event::TransferFailed { call: CALL, cause }),
        ]
    );
    assert_eq!(world.board.counts().calls_up, 1);
}

#[test]
fn a_transfer_to_a_busy_number_gives_the_call_back_held_as_it_was() {
    let (mut world, leg) = talking_to_a_telephone();
    world.ask(ANNA, Request::Hold(CALL, true)).unwrap();
    transfer(&mut world, CALL, "0309999").unwrap();
    let dialled = dialled(world.outputs());

    world.tell(Input::LegEnded {
        leg: dialled,
        cause: Cause::Busy,
    });

    let outputs = world.outputs();
    assert_eq!(
        actions(outputs.clone()),
        [Output::StopTone(leg), Output::PlayMusic(leg)]
    );
    let cause = Cause::Busy;
    assert_eq!(
        events(outputs),
        [(ANNA, Event::TransferFailed { call: CALL, cause })]
    );
}

#[test]
fn who_transfers_can_take_the_call_back() {
    let (mut world, leg) = talking_to_a_telephone();
    transfer(&mut world, CALL, "0309999").unwrap();
    let dialled = dialled(world.outputs());

    world.ask(ANNA, Request::Cancel(CALL)).unwrap();

    let cause = Cause::Cancelled;
    assert_eq!(
        actions(world.outputs()),
        [
            Output::HangUp {
                leg: dialled,
                cause
            },
            Output::StopTone(leg),
            listen(leg, CALL, P1)
        ]
    );
}

#[test]
fn who_is_transferred_cannot_take_the_call_back() {
    let mut world = with_carla();
    transfer(&mut world, CALL, "carla").unwrap();

    assert_eq!(
        world.ask(BERT, Request::Cancel(CALL)),
        Err(Reason::WrongState)
    );
}

#[test]
fn a_refused_transfer_changes_nothing() {
    let (mut world, leg) = talking_to_a_telephone();
    for (to, reason) in [("zoe", Reason::NotFound), ("anna", Reason::Forbidden)] {
        assert_eq!(transfer(&mut world, CALL, to), Err(reason), "{to}");
    }
    world.tell(Input::TrunkAvailable(false));
    assert_eq!(transfer(&mut world, CALL, "0309999"), Err(Reason::NoRoute));

    assert_eq!(world.outputs(), []);
    world.ask(ANNA, Request::Hangup(CALL)).unwrap();
    let cause = Cause::Normal;
    assert_eq!(actions(world.outputs()), [Output::HangUp { leg, cause }]);
}

#[test]
fn nobody_is_transferred_to_who_is_in_the_call() {
    let mut world = with_carla();

    assert_eq!(transfer(&mut world, CALL, "bert"), Err(Reason::Busy));
}

#[test]
fn only_an_answered_call_can_be_transferred() {
    let mut world = World::calling();
    world.register(CARLA, "carla", None).unwrap();

    assert_eq!(transfer(&mut world, CALL, "carla"), Err(Reason::WrongState));
}

#[test]
fn who_transfers_may_leave_and_the_other_goes_on_ringing() {
    let (mut world, leg) = talking_to_a_telephone();
    transfer(&mut world, CALL, "carla").unwrap();
    world.ask(ANNA, Request::Hangup(CALL)).unwrap();
    world.outputs();

    world.ask(CARLA, Request::Answer(CALL)).unwrap();

    assert_eq!(
        actions(world.outputs()),
        [Output::StopTone(leg), listen(leg, CALL, P3)]
    );
}

#[test]
fn when_who_transfers_has_left_a_failure_ends_the_call() {
    let (mut world, leg) = talking_to_a_telephone();
    transfer(&mut world, CALL, "carla").unwrap();
    world.ask(ANNA, Request::Hangup(CALL)).unwrap();
    world.outputs();

    world.ask(CARLA, Request::Reject(CALL)).unwrap();

    let outputs = world.outputs();
    let cause = Cause::Rejected;
    assert_eq!(actions(outputs.clone()), [Output::HangUp { leg, cause }]);
    assert_eq!(record(outputs).cause, Cause::Rejected);
}

#[test]
fn who_is_transferred_hangs_up_and_all_is_over() {
    let (mut world, leg) = talking_to_a_telephone();
    transfer(&mut world, CALL, "carla").unwrap();
    world.outputs();

    world.tell(Input::LegEnded {
        leg,
        cause: Cause::Normal,
    });

    let cause = Cause::Normal;
    let ended = |device| (device, Event::Ended { call: CALL, cause });
    assert_eq!(world.events(), [ended(ANNA), ended(CARLA)]);
    assert_eq!(world.board.counts().calls, 0);
}

#[test]
fn a_telephone_that_transfers_is_told_how_it_ends() {
    let (mut world, leg) = telephone_called();

    world.tell(Input::LegTransfers {
        leg,
        to: "carla".into(),
    });
    world.ask(CARLA, Request::Ringing(CALL)).unwrap();
    let rings = actions(world.outputs());
    world.ask(CARLA, Request::Answer(CALL)).unwrap();
    let answered = world.outputs();

    let progress = |progress| Output::Transfer { leg, progress };
    assert_eq!(
        rings,
        [unlisten(leg, CALL, P2), progress(TransferProgress::Ringing)]
    );
    let cause = Cause::Transferred;
    assert_eq!(
        actions(answered.clone()),
        [
            progress(TransferProgress::Answered),
            Output::HangUp { leg, cause }
        ]
    );
    assert!(matches!(
        &events(answered)[..],
        [(CARLA, Event::Up { .. }), (BERT, Event::Changed { peer, .. })] if peer.id == "carla"
    ));
}

#[test]
fn a_telephone_whose_transfer_fails_talks_on() {
    let (mut world, leg) = telephone_called();
    world.tell(Input::LegTransfers {
        leg,
        to: "carla".into(),
    });
    world.outputs();

    world.ask(CARLA, Request::Reject(CALL)).unwrap();

    let progress = TransferProgress::Failed(Cause::Rejected);
    assert_eq!(
        actions(world.outputs()),
        [Output::Transfer { leg, progress }, listen(leg, CALL, P2)]
    );
}

#[test]
fn a_telephone_does_not_transfer_to_numbers_unless_that_is_allowed() {
    for allowed in [false, true] {
        let (mut world, leg) = telephone_called_with(Config {
            telephones_dial: allowed,
            ..Config::default()
        });
        world.tell(Input::TrunkAvailable(true));
        world.tell(Input::LegTransfers {
            leg,
            to: "0309999".into(),
        });

        let outputs = world.outputs();
        let dials = outputs
            .iter()
            .any(|output| matches!(output, Output::Dial { .. }));
        assert_eq!(dials, allowed);
        let progress = TransferProgress::Failed(Cause::Rejected);
        let refused = Output::Transfer { leg, progress };
        assert_eq!(outputs.contains(&refused), !allowed);
    }
}

#[test]
fn two_telephones_are_connected_after_a_consultation() {
    let (mut world, held, asked) = consulting();

    world
        .ask(
            ANNA,
            Request::Connect {
                call: CALL,
                with: OTHER_CALL,
            },
        )
        .unwrap();

    let outputs = world.outputs();
    assert_eq!(
        actions(outputs.clone()),
        [
            unlisten(asked, OTHER_CALL, P1),
            Output::Move {
                leg: asked,
                call: CALL,
                participant: P3
            },
            Output::StopMusic(held),
            listen(held, CALL, P3),
            listen(asked, CALL, P2),
        ]
    );
    let cause = Cause::Transferred;
    assert_eq!(
        events(outputs.clone()),
        [
            (
                ANNA,
                Event::Ended {
                    call: OTHER_CALL,
                    cause
                }
            ),
            (ANNA, Event::Ended { call: CALL, cause }),
        ]
    );
    let record = record(outputs);
    assert_eq!((record.call, record.went_on_in), (OTHER_CALL, Some(CALL)));
}

#[test]
fn a_browser_that_was_asked_moves_into_the_call() {
    let (mut world, leg) = talking_to_a_telephone();
    world.ask(ANNA, Request::Hold(CALL, true)).unwrap();
    world.call(ANNA, OTHER_CALL, "carla").unwrap();
    world.ask(CARLA, Request::Answer(OTHER_CALL)).unwrap();
    world.outputs();

    world
        .ask(
            ANNA,
            Request::Connect {
                call: CALL,
                with: OTHER_CALL,
            },
        )
        .unwrap();
    let told = world.events();
    world.ask(CARLA, Request::Hangup(CALL)).unwrap();

    assert!(told.iter().any(|(device, event)| *device == CARLA
        && matches!(event, Event::Changed { call: OTHER_CALL, now: CALL, peer, media }
            if peer.id == "0301234" && media.participant == P3)));
    let cause = Cause::Normal;
    assert_eq!(actions(world.outputs()), [Output::HangUp { leg, cause }]);
    assert_eq!(world.board.counts().calls, 0);
}

#[test]
fn three_hear_each_other_after_a_merge_and_one_may_leave() {
    let (mut world, first, second) = consulting();

    world
        .ask(
            ANNA,
            Request::Merge {
                call: CALL,
                with: OTHER_CALL,
            },
        )
        .unwrap();
    let merged = world.outputs();
    world.tell(Input::LegEnded {
        leg: second,
        cause: Cause::Normal,
    });
    let left = world.outputs();

    let heard: Vec<Output> = actions(merged.clone())
        .into_iter()
        .filter(|output| matches!(output, Output::Listen { .. }))
        .collect();
    assert_eq!(
        heard,
        [
            listen(first, CALL, P1),
            listen(first, CALL, P3),
            listen(second, CALL, P1),
            listen(second, CALL, P2),
        ]
    );
    assert!(events(merged).iter().any(|(device, event)| *device == ANNA
        && matches!(event, Event::Changed { media, .. } if media.peers.len() == 2)));
    assert_eq!(actions(left.clone()), [unlisten(first, CALL, P3)]);
    assert!(matches!(
        &events(left)[..],
        [(ANNA, Event::Changed { media, .. })] if media.peers.len() == 1
    ));
    assert_eq!(world.board.counts().calls_up, 1);
}

#[test]
fn when_the_host_of_three_leaves_the_others_talk_on() {
    let (mut world, ..) = consulting();
    let request = Request::Merge {
        call: CALL,
        with: OTHER_CALL,
    };
    world.ask(ANNA, request).unwrap();

    world.ask(ANNA, Request::Hangup(CALL)).unwrap();

    assert_eq!(world.board.counts().calls_up, 1);
    let snapshot = world.board.resume(ANNA, Attachment(2)).unwrap();
    assert!(snapshot.calls.is_empty());
    let anna = snapshot
        .presence
        .iter()
        .find(|presence| presence.user.id.as_str() == "anna");
    assert_eq!(anna.unwrap().state, Presence::Available);
}

#[test]
fn a_call_has_so_many_participants() {
    let (mut world, ..) = consulting_with(Config {
        limits: moqrelay_room::Limits {
            participants_per_call: 2,
            ..moqrelay_room::Limits::default()
        },
        ..Config::default()
    });
    let request = Request::Merge {
        call: CALL,
        with: OTHER_CALL,
    };

    assert_eq!(world.ask(ANNA, request), Err(Reason::TooMany));
    assert_eq!(world.outputs(), []);
}

#[test]
fn calls_of_others_cannot_be_put_together() {
    let mut world = with_carla();
    world.call(CARLA, OTHER_CALL, "echo").unwrap();
    let request = Request::Merge {
        call: CALL,
        with: OTHER_CALL,
    };

    assert_eq!(world.ask(ANNA, request), Err(Reason::NoSuchCall));
    let itself = Request::Connect {
        call: CALL,
        with: CALL,
    };
    assert_eq!(world.ask(ANNA, itself), Err(Reason::WrongState));
}

#[test]
fn a_held_telephone_hears_music() {
    let (mut world, leg) = talking_to_a_telephone();

    world.ask(ANNA, Request::Hold(CALL, true)).unwrap();
    let held = actions(world.outputs());
    world.ask(ANNA, Request::Hold(CALL, false)).unwrap();

    assert_eq!(held, [unlisten(leg, CALL, P1), Output::PlayMusic(leg)]);
    assert_eq!(
        actions(world.outputs()),
        [Output::StopMusic(leg), listen(leg, CALL, P1)]
    );
}

#[test]
fn a_telephone_that_holds_is_seen_to() {
    let (mut world, leg) = talking_to_a_telephone();

    world.tell(Input::LegHeld { leg, held: true });

    let outputs = world.outputs();
    assert_eq!(actions(outputs.clone()), [unlisten(leg, CALL, P1)]);
    let (held, by) = (true, P2);
    let event = Event::Held {
        call: CALL,
        held,
        by,
    };
    assert_eq!(events(outputs), [(ANNA, event)]);
}

#[test]
fn a_transferred_call_has_a_record_of_each_part() {
    let mut world = with_carla();
    transfer(&mut world, CALL, "carla").unwrap();
    world.ask(CARLA, Request::Answer(CALL)).unwrap();
    world.outputs();

    world.ask(BERT, Request::Hangup(CALL)).unwrap();

    let record = world.record();
    let parts: Vec<_> = record
        .legs
        .iter()
        .map(|leg| (leg.participant, leg.party.id.as_str(), leg.cause))
        .collect();
    assert_eq!(
        parts,
        [
            (P1, "anna", Cause::Transferred),
            (P2, "bert", Cause::Normal),
            (P3, "carla", Cause::Normal),
        ]
    );
}

fn transfer(world: &mut World, call: CallId, to: &str) -> Result<(), Reason> {
    let to = to.to_owned();
    world.ask(ANNA, Request::Transfer { call, to })
}

/// Anna talks with Bert, and Carla is there.
fn with_carla() -> World {
    let mut world = World::talking();
    world.register(CARLA, "carla", Some("7003")).unwrap();
    world.outputs();
    world
}

/// Anna talks with the telephone that she has called, and Carla is there.
fn talking_to_a_telephone() -> (World, LegId) {
    let (mut world, leg) = World::dialling();
    world.tell(Input::LegAnswered(leg));
    world.register(CARLA, "carla", Some("7003")).unwrap();
    world.outputs();
    (world, leg)
}

/// A telephone talks with Bert, whom it has called; Carla is there.
fn telephone_called() -> (World, LegId) {
    telephone_called_with(Config::default())
}

fn telephone_called_with(config: Config) -> (World, LegId) {
    let mut world = World::with(config);
    world.register(CARLA, "carla", Some("7003")).unwrap();
    let leg = world.arrive(Trunk::Early);
    world.ask(BERT, Request::Answer(CALL)).unwrap();
    world.outputs();
    (world, leg)
}

/// Anna holds one telephone and talks with another.
fn consulting() -> (World, LegId, LegId) {
    consulting_with(Config::default())
}

fn consulting_with(config: Config) -> (World, LegId, LegId) {
    let mut world = World::with(config);
    world.tell(Input::TrunkAvailable(true));
    world.call(ANNA, CALL, "0301234").unwrap();
    let held = dialled(world.outputs());
    world.tell(Input::LegAnswered(held));
    world.ask(ANNA, Request::Hold(CALL, true)).unwrap();
    world.call(ANNA, OTHER_CALL, "0305678").unwrap();
    let asked = dialled(world.outputs());
    world.tell(Input::LegAnswered(asked));
    world.outputs();
    (world, held, asked)
}

fn dialled(outputs: Vec<Output>) -> LegId {
    let leg = outputs.iter().find_map(|output| match output {
        Output::Dial { leg, .. } => Some(*leg),
        _ => None,
    });
    leg.expect("a number is dialled")
}

fn record(outputs: Vec<Output>) -> CallRecord {
    let record = outputs.into_iter().find_map(|output| match output {
        Output::Ended(record) => Some(record),
        _ => None,
    });
    record.expect("a call ends")
}

fn listen(leg: LegId, room: CallId, participant: ParticipantId) -> Output {
    Output::Listen {
        leg,
        room,
        participant,
    }
}

fn unlisten(leg: LegId, room: CallId, participant: ParticipantId) -> Output {
    Output::Unlisten {
        leg,
        room,
        participant,
    }
}
