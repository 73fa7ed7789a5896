//! A day of a busy house, in a moment: what came is gone at its end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use moqrelay_room::{
    Arrival, CallId, Caller, Cause, DeviceId, Input, LegId, Output, Request, Trunk,
};

use crate::world::World;

const DAY: Duration = Duration::from_hours(24);

/// How many people there are.
const PEOPLE: u64 = 24;

/// What is to happen.
#[derive(Clone, Copy)]
enum Plan {
    Comes(u64),
    Vanishes(u64),
    Calls(u64),
    Telephones,
    Answers(DeviceId, CallId),
    HangsUp(DeviceId, CallId),
    LegEnds(LegId),
}

struct Day {
    world: World,
    random: u64,
    plans: BTreeMap<(Instant, u64), Plan>,
    next: u64,
    began: u64,
    ended: u64,
}

#[test]
fn a_day_of_calls_leaves_nothing_behind() {
    let mut day = Day::begin();
    let end = day.world.now + DAY;

    day.live_until(end);
    // In the evening they go, one after the other, in the middle of what they do.
    day.plans.clear();
    for person in 0..PEOPLE {
        day.world.drop_socket(DeviceId(person));
    }
    while day.world.board.poll_timeout().is_some() {
        day.world.wait();
    }
    day.carry_out();

    assert!(day.began > 2_000, "only {} calls", day.began);
    assert_eq!(day.began, day.ended);
    let counts = day.world.board.counts();
    let left = (
        counts.users,
        counts.devices,
        counts.calls,
        counts.legs,
        counts.tickets,
    );
    assert_eq!(left, (0, 0, 0, 0, 0));
    assert_eq!(day.world.board.poll_timeout(), None);
}

impl Day {
    fn begin() -> Self {
        let mut day = Self {
            world: World::new(moqrelay_room::Config::default()),
            random: 0x9e37_79b9_7f4a_7c15,
            plans: BTreeMap::new(),
            next: 0,
            began: 0,
            ended: 0,
        };
        day.world.tell(Input::TrunkAvailable(true));
        for person in 0..PEOPLE {
            day.plan(60, Plan::Comes(person));
        }
        day.plan(60, Plan::Telephones);
        day
    }

    fn live_until(&mut self, end: Instant) {
        while let Some(((at, _), plan)) = self.plans.pop_first() {
            // What is due before happens before.
            while let Some(due) = self.world.board.poll_timeout()
                && due <= at
            {
                self.world.wait();
                self.carry_out();
            }
            if at > end {
                return;
            }
            self.world.now = at;
            self.happens(plan);
            self.carry_out();
        }
    }

    fn happens(&mut self, plan: Plan) {
        match plan {
            Plan::Comes(person) => {
                let number = (7000 + person).to_string();
                let (device, id) = (DeviceId(person), format!("p{person}"));
                drop(self.world.register(device, &id, Some(&number)));
                self.plan(4 * 3600, Plan::Vanishes(person));
                self.plan(300, Plan::Calls(person));
            }
            Plan::Vanishes(person) => {
                self.world.drop_socket(DeviceId(person));
                self.plan(600, Plan::Comes(person));
            }
            Plan::Calls(person) => {
                let to = (7000 + self.below(PEOPLE + 3)).to_string();
                let (device, call) = (DeviceId(person), self.call_id());
                if self.world.call(device, call, &to).is_ok() {
                    self.began += 1;
                    self.plan(300, Plan::HangsUp(device, call));
                }
                self.plan(900, Plan::Calls(person));
            }
            Plan::Telephones => {
                let arrival = Arrival {
                    call: self.call_id(),
                    to: (7000 + self.below(PEOPLE)).to_string(),
                    from: Caller::default(),
                    via: None,
                    trunk: Trunk::Early,
                };
                if let Ok(leg) = self.world.board.arrive(arrival, self.world.now) {
                    self.began += 1;
                    self.plan(240, Plan::LegEnds(leg));
                }
                self.plan(60, Plan::Telephones);
            }
            Plan::Answers(device, call) => {
                let asked = self.world.ask(device, Request::Answer(call));
                asked.unwrap_or_default(); // It may be too late.
                self.plan(300, Plan::HangsUp(device, call));
            }
            Plan::HangsUp(device, call) => {
                let asked = self.world.ask(device, Request::Hangup(call));
                asked.unwrap_or_default(); // It may be over.
            }
            Plan::LegEnds(leg) => {
                let cause = Cause::Normal;
                self.world.tell(Input::LegEnded { leg, cause });
            }
        }
    }

    /// People react to what they are told; two of three answer.
    fn carry_out(&mut self) {
        for output in self.world.outputs() {
            match output {
                Output::Notify {
                    device,
                    event: moqrelay_room::Event::Incoming { call, .. },
                } if self.below(3) > 0 => self.plan(20, Plan::Answers(device, call)),
                Output::Ended(_) => self.ended += 1,
                Output::HangUp { leg, cause } => {
                    self.world.tell(Input::LegEnded { leg, cause });
                }
                _ => {}
            }
        }
    }

    /// Plans something for some time within so many seconds.
    fn plan(&mut self, within_s: u64, plan: Plan) {
        let after = Duration::from_millis(1 + self.below(within_s * 1000));
        self.next += 1;
        self.plans.insert((self.world.now + after, self.next), plan);
    }

    fn call_id(&mut self) -> CallId {
        self.next += 1;
        CallId(u128::from(self.next))
    }

    /// The same numbers in every run (xorshift64).
    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 8) % end
    }
}

#[test]
fn devices_are_forgotten_when_another_process_takes_over_but_not_in_a_call() {
    let mut world = World::talking();
    world
        .register(crate::world::CARLA, "carla", Some("7003"))
        .unwrap();
    world.outputs();

    world.tell(Input::Retire);

    let forgotten = |outputs: Vec<Output>| {
        let forget = |output| match output {
            Output::Forget(device) => Some(device),
            _ => None,
        };
        outputs.into_iter().filter_map(forget).collect::<Vec<_>>()
    };
    assert_eq!(forgotten(world.outputs()), [crate::world::CARLA]);
    let (anna, bert) = (crate::world::ANNA, crate::world::BERT);
    world
        .ask(anna, Request::Hangup(crate::world::CALL))
        .unwrap();
    assert_eq!(forgotten(world.outputs()), [anna, bert]);
    assert!(world.call(anna, crate::world::OTHER_CALL, "7002").is_err());
}
