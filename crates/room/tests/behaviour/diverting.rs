//! Where calls go that a user does not take.

use std::time::Duration;

use moqrelay_room::{
    Cause, Config, DivertReason, Event, Forward, Input, Lamp, Output, OwnPresence, Presence,
    Reason, Request, Rules, Setting, Trunk,
};

use crate::world::{
    ANNA, BERT, BERT_MOBILE, CALL, CARLA, OTHER_CALL, World, actions, arrival, user,
};

#[test]
fn every_call_goes_where_the_user_wants_and_both_ends_are_told() {
    let mut world = three();
    rules(&mut world, BERT, |rules| rules.always = to("carla"));

    world.call(ANNA, CALL, "7002").unwrap();

    let events = world.events();
    assert!(events.contains(&(ANNA, diverted("carla"))), "{events:?}");
    assert_eq!(incoming(&events), [(CARLA, Some("BERT".to_owned()))]);
}

#[test]
fn who_is_not_to_be_disturbed_sends_calls_on_or_is_busy() {
    let mut world = three();
    let busy = Request::Presence(OwnPresence::Busy);
    world.ask(BERT, busy).unwrap();
    assert_eq!(world.call(ANNA, CALL, "bert"), Err(Reason::Busy));
    rules(&mut world, BERT, |rules| {
        rules.undisturbed = true;
        rules.busy = to("carla");
    });

    world.call(ANNA, CALL, "bert").unwrap();

    assert_eq!(incoming(&world.events()).len(), 1);
}

#[test]
fn a_call_that_nobody_answers_goes_on_after_the_time_that_was_set() {
    let mut world = three();
    rules(&mut world, BERT, |rules| {
        rules.no_answer = to("carla");
        rules.after = Duration::from_secs(10);
    });
    world.call(ANNA, CALL, "bert").unwrap();
    world.outputs();

    let waited = world.wait();

    assert_eq!(waited, Duration::from_secs(10));
    let events = world.events();
    assert!(events.contains(&(BERT, ended(Cause::NoAnswer))));
    assert!(events.contains(&(ANNA, diverted("carla"))));
    assert_eq!(incoming(&events), [(CARLA, Some("BERT".to_owned()))]);
    world.ask(CARLA, Request::Answer(CALL)).unwrap();
    world.outputs();
    assert_eq!(world.board.counts().calls_up, 1);
    world.ask(ANNA, Request::Hangup(CALL)).unwrap();
    let record = world.record();
    assert_eq!((record.to.id.as_str(), record.legs.len()), ("bert", 3));
}

#[test]
fn an_answer_in_time_stays_where_it_is() {
    let mut world = three();
    rules(&mut world, BERT, |rules| rules.no_answer = to("carla"));
    world.call(ANNA, CALL, "bert").unwrap();

    world.ask(BERT, Request::Answer(CALL)).unwrap();

    let longest = world.board.config().call_duration_max;
    assert_eq!(world.wait(), longest, "nothing else is due");
}

#[test]
fn nobody_there_sends_a_configured_user_s_calls_on() {
    let configured = user("bert", Some("7002"));
    let kept = Rules {
        no_answer: to("carla"),
        ..Rules::default()
    };
    let mut world = World::new(Config {
        rules: vec![(configured.clone(), kept)],
        ..Config::default()
    });
    world.register(ANNA, "anna", None).unwrap();
    world.register(CARLA, "carla", None).unwrap();
    world.outputs();

    world.call(ANNA, CALL, "7002").unwrap();

    assert_eq!(incoming(&world.events()).len(), 1);
}

#[test]
fn a_telephone_s_call_goes_to_a_number_by_the_user_s_wish_and_the_network_hears_of_it() {
    let mut world = World::two_people();
    world.tell(Input::TrunkAvailable(true));
    rules(&mut world, BERT, |rules| rules.always = to("0171555"));

    world.arrive(Trunk::Early);

    let outputs = world.outputs();
    let Some(Output::Dial {
        route,
        from,
        diverted: Some(diverted),
        ..
    }) = dialled(&outputs)
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (route.number.as_str(), from.name.as_str()),
        ("0171555", "Otto")
    );
    assert_eq!(diverted.by.id.as_str(), "bert");
    assert_eq!((diverted.reason, diverted.times), (DivertReason::Always, 1));
}

#[test]
fn without_a_trunk_a_call_that_would_go_there_is_refused() {
    let mut world = World::two_people();
    rules(&mut world, BERT, |rules| rules.always = to("0171555"));

    let refused = world
        .board
        .arrive(arrival("7002", Trunk::Early), world.now)
        .unwrap_err();

    assert_eq!(refused.reason, Reason::NoRoute);
    assert_eq!(world.call(ANNA, CALL, "bert"), Err(Reason::NoRoute));
}

#[test]
fn calls_do_not_go_round_in_a_circle() {
    let mut world = three();
    world.register(BERT_MOBILE, "dora", None).unwrap();
    rules(&mut world, BERT, |rules| rules.always = to("carla"));
    rules(&mut world, CARLA, |rules| rules.always = to("dora"));
    rules(&mut world, BERT_MOBILE, |rules| rules.always = to("7002"));
    world.outputs();

    assert_eq!(world.call(ANNA, CALL, "bert"), Err(Reason::Offline));
    assert_eq!(world.outputs(), []);
}

#[test]
fn a_circle_through_the_network_ends_at_the_limit() {
    let mut world = World::two_people();
    world.tell(Input::TrunkAvailable(true));
    rules(&mut world, BERT, |rules| rules.always = to("0171555"));
    let most = world.board.config().limits.calls_per_user;

    let arrivals = (0..10u128).map(|n| {
        let call = moqrelay_room::CallId(n);
        let arrival = moqrelay_room::Arrival {
            call,
            ..arrival("7002", Trunk::Early)
        };
        world.board.arrive(arrival, world.now)
    });
    let taken = arrivals.filter(Result::is_ok).count();

    assert_eq!(taken, most);
}

#[test]
fn the_one_that_calls_are_sent_to_gets_through() {
    let mut world = three();
    rules(&mut world, BERT, |rules| rules.always = to("anna"));

    world.call(ANNA, CALL, "bert").unwrap();

    assert_eq!(incoming(&world.events()), [(BERT, None)]);
}

#[test]
fn a_call_that_can_go_nowhere_rings_on() {
    let mut world = World::two_people();
    rules(&mut world, BERT, |rules| rules.no_answer = to("zoe"));
    world.call(ANNA, CALL, "bert").unwrap();
    world.outputs();

    world.wait();

    assert_eq!(world.events(), []);
    world.ask(BERT, Request::Answer(CALL)).unwrap();
}

#[test]
fn a_transfer_obeys_the_rules_too() {
    let mut world = World::talking();
    world.register(CARLA, "carla", None).unwrap();
    world.register(BERT_MOBILE, "dora", None).unwrap();
    rules(&mut world, CARLA, |rules| rules.no_answer = to("dora"));
    let transfer = Request::Transfer {
        call: CALL,
        to: "carla".into(),
    };
    world.ask(ANNA, transfer).unwrap();
    world.outputs();

    world.wait();

    let events = world.events();
    assert_eq!(incoming(&events), [(BERT_MOBILE, Some("CARLA".to_owned()))]);
    assert!(events.contains(&(BERT, diverted("dora"))));
    world.ask(BERT_MOBILE, Request::Answer(CALL)).unwrap();
    assert!(world.endings().contains(&(ANNA, Cause::Transferred)));
}

#[test]
fn rules_are_told_to_each_device_and_kept() {
    let mut world = World::two_people();
    world.register(BERT_MOBILE, "bert", Some("7002")).unwrap();
    world.outputs();

    rules_only(&mut world, BERT, |rules| rules.busy = to("anna"));

    let outputs = world.outputs();
    let told = |device| {
        let is = |output: &&Output| matches!(output, Output::Notify { device: other, event: Event::Rules(_) } if *other == device);
        outputs.iter().filter(is).count()
    };
    assert_eq!((told(BERT), told(BERT_MOBILE), told(ANNA)), (1, 1, 0));
    let kept = outputs.iter().find_map(|output| match output {
        Output::Keep { user, rules } => Some((user.id.to_string(), rules.busy.clone())),
        _ => None,
    });
    assert_eq!(kept, Some(("bert".to_owned(), to("anna"))));
}

#[test]
fn a_guest_s_rules_go_along_with_the_guest() {
    let mut world = World::new(Config::default());
    let guest = || user("gert", Some("7050"));
    let attachment = moqrelay_room::Attachment(1);
    let board = &mut world.board;
    board.register_guest(BERT, guest(), attachment).unwrap();
    rules(&mut world, BERT, |rules| rules.always = to("0171555"));
    assert_eq!(keeps(&mut world), 0);
    world.drop_socket(BERT);
    world.wait();

    let again = world
        .board
        .register_guest(CARLA, guest(), attachment)
        .unwrap();

    assert!(again.rules.are_default());
}

#[test]
fn rules_outlive_the_last_device_and_its_number_is_free_for_others() {
    let mut world = World::two_people();
    rules(&mut world, BERT, |rules| rules.undisturbed = true);
    world.drop_socket(BERT);
    world.wait();
    world.outputs();
    assert_eq!(world.call(ANNA, CALL, "bert"), Err(Reason::Offline));

    let taken = world.register(CARLA, "carla", Some("7002"));
    let back = world.register(BERT_MOBILE, "bert", None).unwrap();

    assert!(taken.is_ok());
    assert!(back.rules.undisturbed);
    let shown = back
        .presence
        .iter()
        .find(|it| it.user.id.as_str() == "bert");
    assert_eq!(shown.map(|it| it.state), Some(Presence::Busy));
}

#[test]
fn a_telephone_sets_what_the_page_shows() {
    let mut world = World::two_people();

    world.board.set("7002", Setting::Undisturbed(true)).unwrap();

    let outputs = world.outputs();
    let line = "7002".to_owned();
    let lamp = Lamp::Busy;
    assert!(
        outputs.contains(&Output::Lamp { line, lamp }),
        "{outputs:?}"
    );
    assert_eq!(world.call(ANNA, CALL, "bert"), Err(Reason::Busy));
    world
        .board
        .set("bert", Setting::Undisturbed(false))
        .unwrap();
    world
        .board
        .set("bert", Setting::Always(to("echo")))
        .unwrap();
    world.call(ANNA, OTHER_CALL, "bert").unwrap();
    assert_eq!(world.board.counts().calls_up, 1);
    let unknown = world.board.set("zoe", Setting::Undisturbed(true));
    assert_eq!(unknown.unwrap_err().reason, Reason::NotFound);
}

#[test]
fn the_time_is_kept_within_bounds() {
    let mut world = World::two_people();

    rules_only(&mut world, BERT, |rules| {
        rules.busy = to("anna");
        rules.after = Duration::from_secs(86_400);
    });

    let told = world
        .events()
        .into_iter()
        .find_map(|(_, event)| match event {
            Event::Rules(rules) => Some(rules.after),
            _ => None,
        });
    assert_eq!(told, Some(Rules::AFTER_MAX));
}

/// Anna, Bert and Carla, and nothing left to do.
fn three() -> World {
    let mut world = World::two_people();
    world.register(CARLA, "carla", Some("7003")).unwrap();
    world.outputs();
    world
}

fn rules(world: &mut World, device: moqrelay_room::DeviceId, change: impl FnOnce(&mut Rules)) {
    rules_only(world, device, change);
    world.outputs();
}

fn rules_only(world: &mut World, device: moqrelay_room::DeviceId, change: impl FnOnce(&mut Rules)) {
    let mut rules = Rules::default();
    change(&mut rules);
    world.ask(device, Request::Rules(rules)).unwrap();
}

fn to(target: &str) -> Option<Forward> {
    Forward::new(target)
}

fn keeps(world: &mut World) -> usize {
    let keep = |output: &Output| matches!(output, Output::Keep { .. });
    world.outputs().iter().filter(|output| keep(output)).count()
}

fn dialled(outputs: &[Output]) -> Option<Output> {
    actions(outputs.to_vec())
        .into_iter()
        .find(|output| matches!(output, Output::Dial { .. }))
}

fn incoming(
    events: &[(moqrelay_room::DeviceId, Event)],
) -> Vec<(moqrelay_room::DeviceId, Option<String>)> {
    let rung = |(device, event): &(moqrelay_room::DeviceId, Event)| match event {
        Event::Incoming { via, .. } => Some((*device, via.clone())),
        _ => None,
    };
    events.iter().filter_map(rung).collect()
}

fn diverted(id: &str) -> Event {
    let number = match id {
        "carla" => Some("7003".to_owned()),
        _ => None,
    };
    Event::Diverted {
        call: CALL,
        to: moqrelay_room::Party {
            id: id.to_owned(),
            name: id.to_uppercase(),
            number,
            kind: moqrelay_room::PartyKind::Browser,
        },
    }
}

fn ended(cause: Cause) -> Event {
    Event::Ended { call: CALL, cause }
}
