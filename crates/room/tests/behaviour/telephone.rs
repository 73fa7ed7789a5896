//! Calls to and from the telephone network.

use moqrelay_room::{
    Arrival, Attachment, Caller, Cause, Config, Event, Input, LegId, Number, NumberForm, Output,
    Party, PartyKind, Prefix, Reason, Region, Request, Route, Routing, Trunk, TrunkName, TrunkPlan,
};

use crate::world::{
    ANNA, BERT, CALL, CARLA, OTHER_CALL, P1, P2, World, actions, arrival, digits, events,
};

#[test]
fn a_number_is_dialled_over_the_trunk() {
    let mut world = World::two_people();
    world.tell(Input::TrunkAvailable(true));

    world.call(ANNA, CALL, "+49301234").unwrap();

    let outputs = actions(world.outputs());
    let [
        Output::Dial {
            call,
            participant,
            route,
            from,
            ..
        },
    ] = &outputs[..]
    else {
        panic!("not one dialling: {outputs:?}");
    };
    assert_eq!(
        (*call, *participant, route.number.as_str()),
        (CALL, P2, "+49301234")
    );
    assert_eq!(from.number.as_deref(), Some("7001"));
}

#[test]
fn a_number_goes_by_its_trunk_and_is_shown_in_full() {
    let mut world = World::with(by_trunks());
    world.tell(Input::TrunkAvailable(true));

    world.call(ANNA, CALL, "03012345").unwrap();

    let outputs = world.outputs();
    let route = outputs.iter().find_map(|output| match output {
        Output::Dial { route, .. } => Some(route.clone()),
        _ => None,
    });
    let shown = Number::new("+493012345").unwrap();
    let route_wanted = Route {
        number: Number::new("493012345").unwrap(),
        shown,
        trunk: TrunkName::new("carrier"),
    };
    assert_eq!(route, Some(route_wanted));
}

#[test]
fn a_blocked_number_and_one_whose_trunk_is_down_are_refused_for_that() {
    let mut world = World::with(by_trunks());
    world.tell(Input::TrunkAvailable(true));
    let (name, up) = (TrunkName::new("carrier").unwrap(), false);
    world.tell(Input::Trunk { name, up });

    let blocked = world.call(ANNA, CALL, "0900123456");
    let down = world.call(ANNA, CALL, "03012345");

    assert_eq!(
        (blocked, down),
        (Err(Reason::Blocked), Err(Reason::TrunkDown))
    );
    let (name, up) = (TrunkName::new("carrier").unwrap(), true);
    world.tell(Input::Trunk { name, up });
    assert_eq!(world.call(ANNA, CALL, "03012345"), Ok(()));
}

#[test]
fn a_call_for_help_goes_out_whatever_else_is_so() {
    let mut config = by_trunks();
    config.limits.calls_per_device = 1;
    let mut world = World::with(config);
    world.tell(Input::TrunkAvailable(true));
    world.register(CARLA, "carla", Some("112")).unwrap();
    world.call(ANNA, CALL, "bert").unwrap();
    let (name, up) = (TrunkName::new("carrier").unwrap(), false);
    world.tell(Input::Trunk { name, up });
    world.outputs();

    world.call(ANNA, OTHER_CALL, "112").unwrap();

    let dialled = world.outputs().into_iter().find_map(|output| match output {
        Output::Dial { route, .. } => Some(route.number),
        _ => None,
    });
    assert_eq!(dialled, Number::new("112").ok());
}

#[test]
fn a_telephone_caller_is_shown_by_a_number_that_can_be_called_back() {
    let mut world = World::with(by_trunks());

    world
        .board
        .arrive(arrival("7002", Trunk::Early), world.now)
        .unwrap();

    assert!(matches!(
        &world.events()[..],
        [(BERT, Event::Incoming { from, .. })] if from.number.as_deref() == Some("+49301234")
    ));
}

#[test]
fn without_a_trunk_a_number_has_no_route() {
    let mut world = World::two_people();
    assert_eq!(world.call(ANNA, CALL, "600"), Err(Reason::NoRoute));

    world.tell(Input::TrunkAvailable(true));
    world.tell(Input::TrunkAvailable(false));

    assert_eq!(world.call(ANNA, CALL, "600"), Err(Reason::NoRoute));
}

#[test]
fn the_trunk_s_loss_leaves_calls_alone() {
    let (mut world, leg) = World::dialling();
    world.tell(Input::LegAnswered(leg));

    world.tell(Input::TrunkAvailable(false));

    assert_eq!(world.board.counts().calls_up, 1);
}

#[test]
fn the_far_telephone_rings_speaks_early_and_answers() {
    let (mut world, leg) = World::dialling();

    world.tell(Input::LegRinging(leg));
    let ringing = world.outputs();
    world.tell(Input::LegEarly(leg));
    let early = world.outputs();
    world.tell(Input::LegAnswered(leg));
    let up = world.outputs();

    assert_eq!(events(ringing), [(ANNA, Event::Ringing(CALL))]);
    assert_eq!(
        actions(early.clone()),
        [Output::Listen {
            leg,
            room: CALL,
            participant: P1
        }]
    );
    assert!(matches!(events(early)[..], [(ANNA, Event::Early { .. })]));
    assert_eq!(actions(up.clone()), [], "it listens already");
    assert!(matches!(events(up)[..], [(ANNA, Event::Up { .. })]));
}

#[test]
fn a_telephone_that_answers_hears_the_caller() {
    let (mut world, leg) = World::dialling();

    world.tell(Input::LegAnswered(leg));

    let listen = Output::Listen {
        leg,
        room: CALL,
        participant: P1,
    };
    assert_eq!(actions(world.outputs()), [listen]);
}

#[test]
fn the_far_telephone_s_cause_reaches_the_caller() {
    for (said, told) in [
        (Cause::Busy, Cause::Busy),
        (Cause::NoAnswer, Cause::NoAnswer),
        (Cause::NotFound, Cause::NotFound),
        (Cause::Unreachable, Cause::Unreachable),
        (Cause::Failed, Cause::Failed),
        (Cause::Normal, Cause::Rejected),
    ] {
        let (mut world, leg) = World::dialling();

        world.tell(Input::LegEnded { leg, cause: said });

        assert_eq!(world.endings(), [(ANNA, told)]);
    }
}

#[test]
fn a_telephone_that_hangs_up_is_not_hung_up_again() {
    let (mut world, leg) = World::dialling();
    world.tell(Input::LegAnswered(leg));
    world.outputs();

    world.tell(Input::LegEnded {
        leg,
        cause: Cause::Normal,
    });

    let outputs = world.outputs();
    assert_eq!(actions(outputs.clone()), []);
    assert_eq!(
        events(outputs),
        [(
            ANNA,
            Event::Ended {
                call: CALL,
                cause: Cause::Normal
            }
        )]
    );
}

#[test]
fn giving_up_ends_the_far_leg() {
    let (mut world, leg) = World::dialling();

    world.ask(ANNA, Request::Cancel(CALL)).unwrap();

    let hang_up = Output::HangUp {
        leg,
        cause: Cause::Cancelled,
    };
    assert_eq!(actions(world.outputs()), [hang_up]);
}

#[test]
fn a_telephone_that_rings_for_too_long_is_hung_up() {
    let (mut world, leg) = World::dialling();

    world.wait();

    assert_eq!(
        actions(world.outputs()),
        [Output::HangUp {
            leg,
            cause: Cause::NoAnswer
        }]
    );
}

#[test]
fn digits_go_both_ways() {
    let (mut world, leg) = World::dialling();
    world.tell(Input::LegAnswered(leg));
    world.outputs();

    world.ask(ANNA, Request::Dtmf(CALL, digits("42#"))).unwrap();
    let out = actions(world.outputs());
    world.tell(Input::LegDigit {
        leg,
        digit: digits("7")[0],
    });
    let back = world.events();

    assert_eq!(
        out,
        [Output::SendDigits {
            leg,
            digits: digits("42#")
        }]
    );
    let digit = digits("7")[0];
    assert_eq!(
        back,
        [(
            ANNA,
            Event::Dtmf {
                call: CALL,
                participant: P2,
                digit
            }
        )]
    );
}

#[test]
fn a_network_that_asks_before_the_answer_gets_its_digits() {
    let (mut world, leg) = World::dialling();
    world.tell(Input::LegEarly(leg));
    world.outputs();

    world.ask(ANNA, Request::Dtmf(CALL, digits("1"))).unwrap();

    assert_eq!(
        actions(world.outputs()),
        [Output::SendDigits {
            leg,
            digits: digits("1")
        }]
    );
}

#[test]
fn a_telephone_caller_is_offered_with_name_and_number() {
    let mut world = World::two_people();

    world.arrive(Trunk::Early);

    let number = Some("0301234".to_owned());
    let kind = PartyKind::Phone;
    let from = Party {
        id: "0301234".into(),
        name: "Otto".into(),
        number,
        kind,
    };
    assert_eq!(
        world.events(),
        [(
            BERT,
            Event::Incoming {
                call: CALL,
                from,
                via: None
            }
        )]
    );
}

#[test]
fn what_the_network_says_of_a_caller_is_cut_and_cleaned() {
    let mut world = World::two_people();
    let name = Some(format!("\u{1b}[2J{}", "x".repeat(1000)));
    let from = Caller {
        number: Some("\0".into()),
        name,
    };

    world
        .board
        .arrive(
            Arrival {
                from,
                ..arrival("bert", Trunk::Early)
            },
            world.now,
        )
        .unwrap();

    let events = world.events();
    let [(_, Event::Incoming { from, .. })] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (from.id.as_str(), from.number.as_deref()),
        ("anonymous", None)
    );
    assert_eq!(from.name.chars().count(), 64);
    assert!(from.name.starts_with("[2Jx"));
}

#[test]
fn the_caller_hears_ringing_when_the_browser_rings_and_is_answered_when_it_answers() {
    let mut world = World::two_people();
    let leg = world.arrive(Trunk::Early);
    assert_eq!(actions(world.outputs()), []);

    world.ask(BERT, Request::Ringing(CALL)).unwrap();
    let ringing = actions(world.outputs());
    world.ask(BERT, Request::Answer(CALL)).unwrap();
    let answered = actions(world.outputs());

    assert_eq!(ringing, [Output::Ring(leg)]);
    let listen = Output::Listen {
        leg,
        room: CALL,
        participant: P2,
    };
    assert_eq!(answered, [Output::Answer(leg), listen]);
}

#[test]
fn a_caller_who_is_answered_already_hears_our_ringing_tone_until_the_browser_answers() {
    let mut world = World::two_people();
    let leg = world.arrive(Trunk::Answered);
    let arrived = actions(world.outputs());

    world.ask(BERT, Request::Ringing(CALL)).unwrap();
    let ringing = actions(world.outputs());
    world.ask(BERT, Request::Answer(CALL)).unwrap();
    let answered = actions(world.outputs());

    assert_eq!(arrived, [Output::PlayRingback(leg)]);
    assert_eq!(ringing, []);
    let listen = Output::Listen {
        leg,
        room: CALL,
        participant: P2,
    };
    assert_eq!(answered, [Output::StopTone(leg), listen]);
}

#[test]
fn a_rejected_telephone_caller_is_told_so() {
    let mut world = World::two_people();
    let leg = world.arrive(Trunk::Early);
    world.outputs();

    world.ask(BERT, Request::Reject(CALL)).unwrap();

    assert_eq!(
        actions(world.outputs()),
        [Output::HangUp {
            leg,
            cause: Cause::Rejected
        }]
    );
}

#[test]
fn a_telephone_caller_who_gives_up_cancels() {
    let mut world = World::two_people();
    let leg = world.arrive(Trunk::Early);
    world.outputs();

    world.tell(Input::LegEnded {
        leg,
        cause: Cause::Normal,
    });

    assert_eq!(world.endings(), [(BERT, Cause::Cancelled)]);
}

#[test]
fn a_telephone_can_call_a_service() {
    let mut world = World::two_people();

    let leg = world
        .board
        .arrive(arrival("echo", Trunk::Early), world.now)
        .unwrap();

    let outputs = actions(world.outputs());
    let Output::StartService { leg: service, .. } = outputs[0] else {
        panic!("{outputs:?}")
    };
    let listen = |leg, participant| Output::Listen {
        leg,
        room: CALL,
        participant,
    };
    assert_eq!(
        outputs[1..],
        [Output::Answer(leg), listen(leg, P2), listen(service, P1)]
    );
}

#[test]
fn a_telephone_cannot_come_back_out_to_the_network() {
    let mut world = World::two_people();
    world.tell(Input::TrunkAvailable(true));

    let refused = world
        .board
        .arrive(arrival("0900123", Trunk::Early), world.now)
        .unwrap_err();

    assert_eq!(
        (refused.reason, refused.cause()),
        (Reason::NotFound, Cause::NotFound)
    );
}

#[test]
fn nobody_there_tells_the_telephone_side_why() {
    let mut world = World::two_people();
    world.call(ANNA, OTHER_CALL, "echo").unwrap();
    world
        .ask(BERT, Request::Presence(moqrelay_room::OwnPresence::Busy))
        .unwrap();

    let busy = world
        .board
        .arrive(arrival("bert", Trunk::Early), world.now)
        .unwrap_err();
    world.tell(Input::Drain);
    let drained = world
        .board
        .arrive(arrival("anna", Trunk::Early), world.now)
        .unwrap_err();

    assert_eq!(
        (busy.cause(), drained.cause()),
        (Cause::Busy, Cause::Shutdown)
    );
}

#[test]
fn a_ticket_rings_nobody_until_its_connection_comes() {
    let mut world = World::two_people();

    let leg = world
        .board
        .ticket(arrival("7002", Trunk::Early), world.now)
        .unwrap();
    let issued = world.outputs();
    world.tell(Input::LegAttached(leg));
    let attached = world.outputs();

    assert_eq!(issued, []);
    assert_eq!(actions(attached.clone()), [Output::PlayRingback(leg)]);
    assert!(matches!(
        events(attached)[..],
        [(BERT, Event::Incoming { .. })]
    ));
}

#[test]
fn a_ticket_is_refused_when_nobody_is_there() {
    let mut world = World::two_people();

    let refused = world
        .board
        .ticket(arrival("7009", Trunk::Answered), world.now);

    assert_eq!(refused.unwrap_err().reason, Reason::NotFound);
}

#[test]
fn a_ticket_ends_unused() {
    let mut world = World::two_people();
    let leg = world
        .board
        .ticket(arrival("7002", Trunk::Answered), world.now)
        .unwrap();

    let waited = world.wait();
    world.tell(Input::LegAttached(leg));

    assert_eq!(waited, world.board.config().ticket_ttl);
    assert_eq!(
        world.outputs(),
        [Output::HangUp {
            leg,
            cause: Cause::Failed
        }]
    );
}

#[test]
fn a_ticket_whose_callee_has_left_is_hung_up() {
    let mut world = World::two_people();
    let leg = world
        .board
        .ticket(arrival("7002", Trunk::Answered), world.now)
        .unwrap();
    world.drop_socket(BERT);
    world.wait();
    world.outputs();

    world.tell(Input::LegAttached(leg));

    assert_eq!(
        world.outputs(),
        [Output::HangUp {
            leg,
            cause: Cause::NotFound
        }]
    );
}

#[test]
fn what_is_said_of_unknown_legs_is_ignored() {
    let mut world = World::talking();
    let leg = LegId(999);

    world.tell(Input::LegRinging(leg));
    world.tell(Input::LegEarly(leg));
    world.tell(Input::LegAnswered(leg));
    world.tell(Input::LegEnded {
        leg,
        cause: Cause::Normal,
    });
    world.tell(Input::LegDigit {
        leg,
        digit: digits("1")[0],
    });

    assert_eq!(world.outputs(), []);
}

#[test]
fn a_caller_leg_that_reports_its_own_answer_changes_nothing() {
    let mut world = World::two_people();
    let leg = world.arrive(Trunk::Early);
    world.outputs();

    world.tell(Input::LegAnswered(leg));

    assert_eq!(world.outputs(), []);
    assert_eq!(world.board.counts().calls_up, 0);
}

#[test]
fn a_call_that_was_sent_on_says_for_whom_it_was() {
    let mut world = World::two_people();
    let sent_on = Arrival {
        via: Some(" 7009\u{7} ".into()),
        ..arrival("7002", Trunk::Early)
    };

    world.board.arrive(sent_on, world.now).unwrap();

    assert!(matches!(
        &world.events()[..],
        [(BERT, Event::Incoming { via: Some(via), .. })] if via == "7009"
    ));
    let snapshot = world.board.resume(BERT, Attachment(2)).unwrap();
    assert_eq!(snapshot.calls[0].via.as_deref(), Some("7009"));
}

/// Numbers of Germany by one trunk; `0900` is blocked, `112` calls for help.
fn by_trunks() -> Config {
    let carrier = TrunkPlan {
        name: TrunkName::new("carrier").unwrap(),
        prefixes: vec![Prefix::new("+").unwrap()],
        form: NumberForm::Digits,
        emergency: true,
    };
    Config {
        routing: Routing {
            region: Region::new("DE"),
            extension_digits: 5,
            emergency: [Number::new("112").unwrap()].into(),
            blocked: vec![Prefix::new("+49900").unwrap()],
            trunks: vec![carrier],
        },
        ..Config::default()
    }
}
