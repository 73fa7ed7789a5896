//! Whatever happens in whatever order, the books stay true.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moqrelay_room::{
    Arrival, Attachment, CallId, Caller, Cause, Config, DeviceId, Event, Forward, Input, Lamp,
    LegId, Limits, Number, Output, OwnPresence, Parking, ParticipantId, Request, Rules, Trunk,
};
use proptest::prelude::*;

use crate::world::{World, digits, user};

#[derive(Debug, Clone)]
enum Step {
    Register(u64),
    Resume(u64),
    Drop(u64),
    Ask(u64, Request),
    Arrive(CallId, &'static str, Trunk),
    Ticket(CallId, &'static str),
    Leg(u64, LegStep),
    Trunk(bool),
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum LegStep {
    Attached,
    Ringing,
    Early,
    Answered,
    Ended(Cause),
    Digit,
    Held(bool),
    Transfers(&'static str),
    Connects(u64),
}

const DEVICES: u64 = 6;
const CALLS: u128 = 8;
const LEGS: u64 = 12;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_call_that_began_ends_exactly_once_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..200),
        late_steps in prop::collection::vec(step(), 0..20),
    ) {
        let mut world = World::new(config());
        let mut books = Books::default();
        for step in steps {
            books.take_step(&mut world, step);
        }

        world.tell(Input::Drain);
        books.enter(world.outputs());
        for step in late_steps {
            books.take_step(&mut world, step);
        }
        for device in 0..DEVICES {
            world.drop_socket(DeviceId(device));
        }
        while world.board.poll_timeout().is_some() {
            world.wait();
        }
        books.enter(world.outputs());

        books.check_empty();
        prop_assert_eq!(books.began, books.ended);
        let counts = world.board.counts();
        prop_assert_eq!((counts.calls, counts.legs, counts.devices, counts.tickets), (0, 0, 0, 0));
        prop_assert!(counts.users >= 1, "the configured one stays");
    }
}

/// Returns how many calls that began for certain.
fn apply(world: &mut World, step: Step) -> usize {
    match step {
        Step::Register(device) => {
            // Devices 0 and 3 are one user's, 1 and 4 another's, 2 and 5 the configured one's.
            let id = ["anna", "bert", "carla"][(device % 3) as usize];
            let number = ["7001", "7002", "7003"][(device % 3) as usize];
            let _refused =
                world
                    .board
                    .register(DeviceId(device), user(id, Some(number)), Attachment(1));
        }
        Step::Resume(device) => {
            let _refused = world.board.resume(DeviceId(device), Attachment(1));
        }
        Step::Drop(device) => {
            world.tell(Input::Dropped {
                device: DeviceId(device),
                attachment: Attachment(1),
            });
        }
        Step::Ask(device, request) => {
            let calls = matches!(request, Request::Call { .. });
            return usize::from(world.ask(DeviceId(device), request).is_ok() && calls);
        }
        Step::Arrive(call, to, trunk) => {
            let arrived = world.board.arrive(arrival(call, to, trunk), world.now);
            return usize::from(arrived.is_ok());
        }
        Step::Ticket(call, to) => {
            let _refused = world
                .board
                .ticket(arrival(call, to, Trunk::Answered), world.now);
        }
        Step::Leg(leg, step) => {
            let (tickets, legs) = (world.board.counts().tickets, world.board.counts().legs);
            world.tell(leg_input(LegId(leg), step));
            let counts = world.board.counts();
            // It may have taken the place of a call that existed.
            return usize::from(counts.tickets < tickets && counts.legs > legs);
        }
        Step::Trunk(available) => world.tell(Input::TrunkAvailable(available)),
        Step::Wait(seconds) => {
            let until = world.now + Duration::from_secs(seconds);
            while world.board.poll_timeout().is_some_and(|due| due <= until) {
                world.wait();
            }
            world.now = until;
        }
    }
    0
}

fn leg_input(leg: LegId, step: LegStep) -> Input {
    match step {
        LegStep::Attached => Input::LegAttached(leg),
        LegStep::Ringing => Input::LegRinging(leg),
        LegStep::Early => Input::LegEarly(leg),
        LegStep::Answered => Input::LegAnswered(leg),
        LegStep::Ended(cause) => Input::LegEnded { leg, cause },
        LegStep::Held(held) => Input::LegHeld { leg, held },
        LegStep::Transfers(to) => Input::LegTransfers { leg, to: to.into() },
        LegStep::Connects(with) => Input::LegConnects {
            leg,
            with: LegId(with),
        },
        LegStep::Digit => Input::LegDigit {
            leg,
            digit: digits("5")[0],
        },
    }
}

/// What an honest daemon would have on its books from the outputs alone.
#[derive(Debug, Default)]
struct Books {
    /// The calls each device was told of and not yet told of the end of.
    open: BTreeMap<DeviceId, BTreeSet<CallId>>,
    /// Who listens to what.
    listening: BTreeSet<(LegId, CallId, ParticipantId)>,
    tones: BTreeSet<LegId>,
    music: BTreeSet<LegId>,
    lamps: BTreeMap<String, Lamp>,
    mailboxes: BTreeSet<String>,
    slots: BTreeSet<String>,
    dead_legs: BTreeSet<LegId>,
    began: usize,
    ended: usize,
}

impl Books {
    fn take_step(&mut self, world: &mut World, step: Step) {
        self.began += apply(world, step);
        self.enter(world.outputs());
        let counts = world.board.counts();
        assert_eq!(
            self.began,
            self.ended + counts.calls,
            "each call ends with one record"
        );
        self.check_counts(world);
    }

    fn enter(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Notify { device, event } => self.told(device, event),
                Output::Forget(device) => {
                    let open = self.open.remove(&device).unwrap_or_default();
                    assert!(open.is_empty(), "{device} is forgotten in a call");
                }
                Output::Dial { leg, .. } | Output::StartService { leg, .. } => self.alive(leg),
                Output::Ring(leg) | Output::Answer(leg) => self.alive(leg),
                Output::SendDigits { leg, .. } => self.alive(leg),
                Output::PlayRingback(leg) => {
                    self.alive(leg);
                    assert!(self.tones.insert(leg), "a tone begins twice");
                }
                Output::StopTone(leg) => {
                    self.alive(leg);
                    assert!(self.tones.remove(&leg), "no tone to end");
                }
                Output::PlayMusic(leg) => {
                    self.alive(leg);
                    assert!(self.music.insert(leg), "music begins twice");
                }
                Output::StopMusic(leg) => {
                    self.alive(leg);
                    assert!(self.music.remove(&leg), "no music to end");
                }
                Output::Transfer { leg, .. } => self.alive(leg),
                Output::Lamp { line, lamp } => {
                    assert_ne!(self.lamps.insert(line, lamp), Some(lamp), "said twice");
                }
                Output::Mailbox { line, watched } => {
                    let changed = match watched {
                        true => self.mailboxes.insert(line),
                        false => self.mailboxes.remove(&line),
                    };
                    assert!(changed, "a mailbox is watched twice, or was not");
                }
                Output::Keep { .. } | Output::Left { .. } => {}
                Output::Move { leg, .. } => {
                    self.alive(leg);
                    let listens = self.listening.iter().any(|(other, ..)| *other == leg);
                    assert!(!listens, "moves with an ear in its old room");
                }
                Output::Listen {
                    leg,
                    room,
                    participant,
                } => {
                    self.alive(leg);
                    assert!(!self.tones.contains(&leg), "listens over its ringing tone");
                    assert!(
                        self.listening.insert((leg, room, participant)),
                        "listens twice"
                    );
                }
                Output::Unlisten {
                    leg,
                    room,
                    participant,
                } => {
                    self.alive(leg);
                    assert!(
                        self.listening.remove(&(leg, room, participant)),
                        "did not listen"
                    );
                }
                // Said again when a connection comes for a leg that is over.
                Output::HangUp { leg, .. } => {
                    self.dead_legs.insert(leg);
                }
                Output::Ended(record) => {
                    self.ended += 1;
                    assert!(
                        record
                            .answered
                            .is_none_or(|answered| answered >= record.started)
                    );
                    assert_ne!(record.cause, Cause::AnsweredElsewhere);
                    let open = self.open.values().any(|calls| calls.contains(&record.call));
                    assert!(!open, "a device was not told of the end of {}", record.call);
                }
            }
        }
    }

    fn told(&mut self, device: DeviceId, event: Event) {
        let open = self.open.entry(device).or_default();
        match event {
            Event::Incoming { call, .. } => assert!(open.insert(call), "offered twice"),
            Event::Ringing(call) | Event::Early { call, .. } | Event::Diverted { call, .. } => {
                open.insert(call);
            }
            Event::Up { call, .. } => {
                open.insert(call);
            }
            Event::Changed { call, now, .. } => {
                // Who calls is told nothing of its own call before it rings.
                open.remove(&call);
                assert!(open.insert(now), "two calls of a device become one");
            }
            Event::Held { call, .. }
            | Event::Muted { call, .. }
            | Event::Dtmf { call, .. }
            | Event::Transferring { call, .. }
            | Event::TransferFailed { call, .. } => {
                assert!(open.contains(&call), "an event of a call that is not open");
            }
            Event::Ended { call, .. } => {
                open.remove(&call);
            }
            Event::Parked(parked) => {
                self.slots.insert(parked.slot);
            }
            Event::Unparked { slot } => {
                self.slots.remove(&slot);
            }
            Event::Presence(_) | Event::Rules(_) | Event::Messages(_) | Event::Line(_) => {}
        }
    }

    fn alive(&self, leg: LegId) {
        assert!(
            !self.dead_legs.contains(&leg),
            "{leg} is named after its end"
        );
    }

    fn check_counts(&self, world: &World) {
        let counts = world.board.counts();
        assert!(counts.calls_up <= counts.calls);
        let participants = world.board.config().limits.participants_per_call;
        assert!(counts.legs <= counts.calls * participants);
        if counts.calls > 0 {
            assert!(
                world.board.poll_timeout().is_some(),
                "a call without an end in sight"
            );
        }
    }

    fn check_empty(&self) {
        let open: usize = self.open.values().map(BTreeSet::len).sum();
        assert_eq!(open, 0, "a device still believes in a call");
        let dark = self.lamps.values().all(|lamp| *lamp == Lamp::Unavailable);
        assert!(dark, "a lamp is lit for nobody");
        assert!(self.mailboxes.is_empty(), "a mailbox is watched for nobody");
    }
}

fn config() -> Config {
    let limits = Limits {
        calls: 6,
        tickets: 3,
        users: 3,
        ..Limits::default()
    };
    Config {
        users: vec![user("carla", Some("7003"))],
        limits,
        telephones_dial: true,
        parking: Some(Parking {
            lot: Number::new("700").unwrap(),
            first: 701,
            slots: 2,
            timeout: Duration::from_secs(30),
        }),
        pick_up: Number::new("*8").ok(),
        ..Config::default()
    }
}

fn arrival(call: CallId, to: &str, trunk: Trunk) -> Arrival {
    Arrival {
        call,
        to: to.to_owned(),
        from: Caller::default(),
        via: Some("7009".to_owned()),
        trunk,
    }
}

fn step() -> impl Strategy<Value = Step> {
    let device = || 0..DEVICES;
    let call = || (1..=CALLS).prop_map(CallId);
    let target = || {
        prop::sample::select(vec![
            "anna", "bert", "carla", "7001", "7003", "0301234", "echo", "zoe", "700", "701", "702",
            "*87001", "*8bert", "*8carla",
        ])
    };
    prop_oneof![
        4 => device().prop_map(Step::Register),
        1 => device().prop_map(Step::Resume),
        1 => device().prop_map(Step::Drop),
        16 => (device(), request(call(), target())).prop_map(|(d, r)| Step::Ask(d, r)),
        2 => (call(), target(), trunk()).prop_map(|(c, to, trunk)| Step::Arrive(c, to, trunk)),
        1 => (call(), target()).prop_map(|(c, to)| Step::Ticket(c, to)),
        6 => (0..LEGS, leg_step()).prop_map(|(leg, step)| Step::Leg(leg, step)),
        1 => any::<bool>().prop_map(Step::Trunk),
        2 => (0u64..60).prop_map(Step::Wait),
        1 => Just(Step::Wait(20_000)),
    ]
}

fn request(
    call: impl Strategy<Value = CallId> + Clone + 'static,
    target: impl Strategy<Value = &'static str> + Clone + 'static,
) -> impl Strategy<Value = Request> {
    let own = prop::sample::select(vec![
        OwnPresence::Available,
        OwnPresence::Away,
        OwnPresence::Available,
        OwnPresence::Busy,
    ]);
    let to = target.clone();
    prop_oneof![
        1 => own.prop_map(Request::Presence),
        1 => rules().prop_map(Request::Rules),
        2 => call.clone().prop_map(Request::Park),
        8 => (call.clone(), target).prop_map(|(call, to)| Request::Call { call, to: to.into() }),
        3 => call.clone().prop_map(Request::Ringing),
        8 => call.clone().prop_map(Request::Answer),
        1 => call.clone().prop_map(Request::Reject),
        1 => call.clone().prop_map(Request::Cancel),
        1 => call.clone().prop_map(Request::Hangup),
        3 => (call.clone(), any::<bool>()).prop_map(|(call, held)| Request::Hold(call, held)),
        2 => (call.clone(), any::<bool>()).prop_map(|(call, muted)| Request::Mute(call, muted)),
        2 => call.clone().prop_map(|call| Request::Dtmf(call, digits("12"))),
        4 => (call.clone(), to).prop_map(|(call, to)| Request::Transfer { call, to: to.into() }),
        3 => (call.clone(), call.clone()).prop_map(|(call, with)| Request::Connect { call, with }),
        3 => (call.clone(), call).prop_map(|(call, with)| Request::Merge { call, with }),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let targets = vec!["anna", "bert", "carla", "0301234", "echo", "701", "zoe"];
    let target = || {
        let some = prop::sample::select(targets.clone());
        prop::option::weighted(0.3, some.prop_map(|to| Forward::new(to).unwrap()))
    };
    (target(), target(), target()).prop_map(|(always, busy, no_answer)| Rules {
        always,
        busy,
        no_answer,
        ..Rules::default()
    })
}

fn trunk() -> impl Strategy<Value = Trunk> {
    prop::sample::select(vec![Trunk::Early, Trunk::Answered])
}

fn leg_step() -> impl Strategy<Value = LegStep> {
    prop::sample::select(vec![
        LegStep::Attached,
        LegStep::Ringing,
        LegStep::Early,
        LegStep::Answered,
        LegStep::Answered,
        LegStep::Digit,
        LegStep::Held(true),
        LegStep::Held(false),
        LegStep::Transfers("carla"),
        LegStep::Transfers("0301234"),
        LegStep::Transfers("700"),
        LegStep::Connects(3),
        LegStep::Connects(5),
        LegStep::Ended(Cause::Normal),
        LegStep::Ended(Cause::Busy),
        LegStep::Ended(Cause::Shutdown),
    ])
}
