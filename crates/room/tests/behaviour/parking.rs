//! Calls that wait in a slot, and calls that are taken where they do not ring.

use std::time::Duration;

use moqrelay_room::{
    CallId, Cause, Config, DeviceId, Event, Input, Lamp, Line, LineState, LineView, Number, Output,
    Parking, Reason, Request, TransferProgress, Trunk,
};

use crate::world::{
    ANNA, BERT, BERT_MOBILE, CALL, CARLA, OTHER_CALL, World, actions, arrival, events,
};

const TIMEOUT: Duration = Duration::from_secs(60);
const THIRD_CALL: CallId = CallId(0x3333);

#[test]
fn a_parked_call_waits_in_the_first_slot_and_everybody_sees_it() {
    let mut world = talking();

    world.ask(ANNA, Request::Park(CALL)).unwrap();

    let outputs = world.outputs();
    let lamp = Lamp::InUse;
    let line = "701".to_owned();
    assert!(outputs.contains(&Output::Lamp { line, lamp }));
    let told = events(outputs);
    for device in [ANNA, BERT, CARLA] {
        let slot = told.iter().find_map(|(to, event)| match event {
            Event::Parked(parked) if *to == device => Some(parked.clone()),
            _ => None,
        });
        let parked = slot.expect("everybody is told");
        let (who, by) = (parked.who.id.as_str(), parked.by.id.as_str());
        assert_eq!((parked.slot.as_str(), who, by), ("701", "bert", "anna"));
    }
    let cause = Cause::Transferred;
    assert!(told.contains(&(ANNA, Event::Ended { call: CALL, cause })));
    let snapshot = world.register(BERT_MOBILE, "dora", None).unwrap();
    assert_eq!(snapshot.parked.len(), 1);
}

#[test]
fn who_dials_the_slot_talks_to_the_one_who_waits() {
    let mut world = parked();

    world.call(CARLA, OTHER_CALL, "701").unwrap();

    let outputs = world.outputs();
    let told = events(outputs.clone());
    let up = |(device, event): &(DeviceId, Event)| {
        *device == CARLA && matches!(event, Event::Up { call, .. } if *call == OTHER_CALL)
    };
    assert!(told.iter().any(up), "{told:?}");
    let moved = |(device, event): &(DeviceId, Event)| {
        *device == BERT
            && matches!(event, Event::Changed { call: CALL, now, peer, .. } if *now == OTHER_CALL && peer.id == "carla")
    };
    assert!(told.iter().any(moved), "{told:?}");
    let freed = told
        .iter()
        .any(|(_, event)| matches!(event, Event::Unparked { slot } if slot == "701"));
    assert!(freed);
    assert_eq!(world.board.counts().calls, 1);
    let again = world.call(ANNA, THIRD_CALL, "701");
    assert_eq!(again, Err(Reason::NotFound));
}

#[test]
fn a_telephone_that_waits_hears_music_and_is_taken_by_a_telephone() {
    let mut world = World::with(config());
    let waiting = world.arrive(Trunk::Early);
    world.ask(BERT, Request::Answer(CALL)).unwrap();
    world.outputs();

    world.ask(BERT, Request::Park(CALL)).unwrap();
    let done = actions(world.outputs());
    assert!(done.contains(&Output::PlayMusic(waiting)), "{done:?}");
    let mut other = arrival("701", Trunk::Early);
    other.call = OTHER_CALL;
    let taker = world.board.arrive(other, world.now).unwrap();

    let done = actions(world.outputs());
    assert!(done.contains(&Output::StopMusic(waiting)));
    assert!(done.contains(&Output::Answer(taker)));
    let hears = |leg| {
        done.iter().any(|it| matches!(it, Output::Listen { leg: other, room, .. } if *other == leg && *room == OTHER_CALL))
    };
    assert!(hears(waiting) && hears(taker), "{done:?}");
    world.tell(Input::LegEnded {
        leg: taker,
        cause: Cause::Normal,
    });
    assert!(world.outputs().contains(&Output::HangUp {
        leg: waiting,
        cause: Cause::Normal
    }));
}

#[test]
fn a_telephone_parks_by_a_transfer_and_is_told_that_it_is_done() {
    let mut world = World::with(config());
    let leg = world.arrive(Trunk::Early);
    world.ask(BERT, Request::Answer(CALL)).unwrap();
    world.outputs();

    let to = "700".to_owned();
    world.tell(Input::LegTransfers { leg, to });

    let done = actions(world.outputs());
    let progress = TransferProgress::Answered;
    assert_eq!(done.first(), Some(&Output::Transfer { leg, progress }));
    let cause = Cause::Transferred;
    assert!(done.contains(&Output::HangUp { leg, cause }));
    assert_eq!(world.board.counts().calls, 1, "Bert waits");
}

#[test]
fn after_its_time_it_rings_at_who_has_parked_it_and_waits_again_when_nobody_answers() {
    let mut world = parked();

    assert_eq!(world.wait(), TIMEOUT);
    let told = world.events();
    let rung = told.iter().any(|(device, event)| {
        *device == ANNA && matches!(event, Event::Incoming { from, .. } if from.id == "bert")
    });
    assert!(rung, "{told:?}");
    world.wait();
    let told = world.events();
    let again = told
        .iter()
        .any(|(_, event)| matches!(event, Event::Parked(parked) if parked.slot == "701"));
    assert!(again, "{told:?}");
    world.wait();
    world.outputs();
    world.ask(ANNA, Request::Answer(CALL)).unwrap();

    let told = world.events();
    let up = |device| {
        told.iter().any(|(to, event)| {
            *to == device && matches!(event, Event::Up { .. } | Event::Changed { .. })
        })
    };
    assert!(up(ANNA) && up(BERT), "{told:?}");
}

#[test]
fn who_declines_the_call_that_comes_back_ends_it() {
    let mut world = parked();
    world.wait();
    world.outputs();

    world.ask(ANNA, Request::Reject(CALL)).unwrap();

    assert!(world.endings().contains(&(BERT, Cause::Rejected)));
    assert_eq!(world.board.counts().calls, 0);
}

#[test]
fn one_who_waits_and_hangs_up_frees_the_slot() {
    let mut world = parked();

    world.ask(BERT, Request::Hangup(CALL)).unwrap();

    let told = world.events();
    let freed = Event::Unparked { slot: "701".into() };
    assert!(told.contains(&(CARLA, freed)));
    assert_eq!(world.board.poll_timeout(), None);
}

#[test]
fn slots_are_limited_and_what_cannot_be_parked_stays_as_it_was() {
    let mut world = parked();
    world.call(ANNA, OTHER_CALL, "carla").unwrap();
    assert_eq!(
        world.ask(ANNA, Request::Park(OTHER_CALL)),
        Err(Reason::WrongState)
    );
    world.ask(CARLA, Request::Answer(OTHER_CALL)).unwrap();

    assert_eq!(
        world.ask(ANNA, Request::Park(OTHER_CALL)),
        Err(Reason::TooMany)
    );
    let mut nowhere = World::talking();
    assert_eq!(
        nowhere.ask(ANNA, Request::Park(CALL)),
        Err(Reason::NotFound)
    );

    world.outputs();
    world.ask(ANNA, Request::Hold(OTHER_CALL, true)).unwrap();
}

#[test]
fn a_browser_takes_a_call_that_rings_at_another() {
    let mut world = three();
    world.call(ANNA, CALL, "bert").unwrap();
    world.outputs();

    world.call(CARLA, OTHER_CALL, "*87002").unwrap();

    let told = world.events();
    let cause = Cause::AnsweredElsewhere;
    assert!(told.contains(&(BERT, Event::Ended { call: CALL, cause })));
    let up = |device| {
        told.iter().any(|(to, event)| {
            *to == device && matches!(event, Event::Up { call, .. } if *call == OTHER_CALL)
        })
    };
    assert!(up(ANNA) && up(CARLA), "{told:?}");
    assert_eq!(world.board.counts().calls_up, 1);
}

#[test]
fn a_telephone_takes_a_telephone_s_call_and_both_are_answered() {
    let mut world = World::with(config());
    let caller = world.arrive(Trunk::Early);
    world.outputs();

    let mut other = arrival("*87002", Trunk::Early);
    other.call = OTHER_CALL;
    let taker = world.board.arrive(other, world.now).unwrap();

    let done = actions(world.outputs());
    let at = |output: &Output| done.iter().position(|it| it == output);
    let answered = (at(&Output::Answer(caller)), at(&Output::Answer(taker)));
    assert!(answered.0.is_some() && answered.1.is_some(), "{done:?}");
    let moved = done.iter().position(
        |it| matches!(it, Output::Move { leg, call, .. } if *leg == caller && *call == OTHER_CALL),
    );
    assert!(
        moved < answered.0,
        "it is in the room before it is answered"
    );
}

#[test]
fn nothing_is_taken_where_nothing_rings_or_without_the_configuration() {
    let mut world = three();
    assert_eq!(world.call(ANNA, CALL, "*87002"), Err(Reason::NotFound));
    world.call(ANNA, CALL, "bert").unwrap();
    assert_eq!(
        world.call(ANNA, OTHER_CALL, "*8bert"),
        Err(Reason::WrongState)
    );

    let mut plain = World::calling();
    plain.register(CARLA, "carla", None).unwrap();
    assert_eq!(
        plain.call(CARLA, OTHER_CALL, "*87002"),
        Err(Reason::NoRoute)
    );
}

#[test]
fn telephones_are_shown_with_their_state() {
    let line = Line {
        number: Number::new("1001").unwrap(),
        name: "Alice".into(),
    };
    let number = line.number.clone();
    let mut world = World::with(Config {
        lines: vec![line.clone()],
        ..Config::default()
    });
    let state = LineState::Ringing;

    world.tell(Input::Line {
        number: number.clone(),
        state,
    });
    world.tell(Input::Line { number, state });

    let shown = Event::Line(LineView {
        line: line.clone(),
        state,
    });
    assert_eq!(world.events(), [(ANNA, shown.clone()), (BERT, shown)]);
    world.tell(Input::TrunkAvailable(false));
    let offline = world.events();
    let state = LineState::Offline;
    assert_eq!(offline[0].1, Event::Line(LineView { line, state }));
}

#[test]
fn messages_are_told_to_their_user_alone_and_mailboxes_watched_while_somebody_is_there() {
    let mut world = World::new(config());
    world.register(ANNA, "anna", Some("7001")).unwrap();
    let watch = |line: &str, watched| Output::Mailbox {
        line: line.to_owned(),
        watched,
    };
    assert!(world.outputs().contains(&watch("7001", true)));
    world.register(BERT, "bert", Some("7002")).unwrap();
    world.outputs();

    let messages = |waiting| Input::Messages {
        line: "7001".into(),
        waiting,
    };
    world.tell(messages(true));
    world.tell(messages(true));

    assert_eq!(world.events(), [(ANNA, Event::Messages(true))]);
    let mobile = world.register(CARLA, "anna", Some("7001")).unwrap();
    assert!(mobile.messages);
    world.drop_socket(BERT);
    world.wait();
    assert!(world.outputs().contains(&watch("7002", false)));
}

fn config() -> Config {
    Config {
        parking: Some(Parking {
            lot: Number::new("700").unwrap(),
            first: 701,
            slots: 1,
            timeout: TIMEOUT,
        }),
        pick_up: Number::new("*8").ok(),
        ..Config::default()
    }
}

fn three() -> World {
    let mut world = World::with(config());
    world.register(CARLA, "carla", Some("7003")).unwrap();
    world.outputs();
    world
}

/// Anna talks with Bert; Carla is there.
fn talking() -> World {
    let mut world = three();
    world.call(ANNA, CALL, "bert").unwrap();
    world.ask(BERT, Request::Answer(CALL)).unwrap();
    world.outputs();
    world
}

/// Anna has parked Bert's call.
fn parked() -> World {
    let mut world = talking();
    world.ask(ANNA, Request::Park(CALL)).unwrap();
    world.outputs();
    world
}
