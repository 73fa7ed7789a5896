//! Call steering against a pretended Asterisk in which everything happens in any order: requests
//! overtake each other, answers get lost, callers leave at any moment, the connection breaks.
//! Whatever happens, each leg ends once and nothing is left behind.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use moqrelay_bridge::ari::{
    Caller, Command, Config, Event, Failure, IncomingId, Lamp, LegId, Message, Method, Output,
    Request, RequestId, Response, Secret, Steering, TransferProgress,
};
use moqrelay_wire::signal::Cause;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn no_order_of_things_leaves_anything_behind() {
    let mut ended = 0;
    for seed in 1..=1500 {
        ended += World::new(seed, Faults::No).run();
    }
    assert!(
        ended > 1500,
        "only {ended} legs ended: the test does too little"
    );
}

#[test]
fn no_fault_leaves_anything_behind() {
    let mut ended = 0;
    for seed in 1..=1500 {
        ended += World::new(seed, Faults::Yes).run();
    }
    assert!(
        ended > 1500,
        "only {ended} legs ended: the test does too little"
    );
}

/// Steps of disorder in each run.
const STEPS: u32 = 150;
/// What is enough to come to rest.
const STEPS_TO_REST: u32 = 20_000;

#[derive(Clone, Copy, PartialEq)]
enum Faults {
    No,
    Yes,
}

struct World {
    seed: u64,
    random: u64,
    faults: Faults,
    now: Instant,
    steering: Steering,
    asterisk: Asterisk,
    requests: Vec<Request>,
    responses: Vec<(RequestId, Result<Response, Failure>)>,
    connected: bool,
    offered: Vec<IncomingId>,
    legs: Vec<LegId>,
    ended: BTreeSet<LegId>,
    next: u64,
}

/// What there is in the pretended Asterisk.
#[derive(Default)]
struct Asterisk {
    channels: BTreeMap<String, Channel>,
    bridges: BTreeSet<String>,
    events: VecDeque<Value>,
}

struct Channel {
    /// Made by us: its end is told, with a cause.
    ours: bool,
    up: bool,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut config = Config::new(
            "http://127.0.0.1:1/ari",
            "moqrelay",
            Secret::new("x"),
            "Local/{number}@internal/n",
            "127.0.0.1:2",
        );
        config.legs_max = 5;
        Self {
            seed,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            faults,
            now: Instant::now(),
            steering: Steering::new(config, 7),
            asterisk: Asterisk::default(),
            requests: Vec::new(),
            responses: Vec::new(),
            connected: false,
            offered: Vec::new(),
            legs: Vec::new(),
            ended: BTreeSet::new(),
            next: 0,
        }
    }

    /// Returns how many legs there were.
    fn run(mut self) -> usize {
        for _ in 0..STEPS {
            self.disorder();
            self.drain();
        }
        self.come_to_rest();
        let seed = self.seed;
        assert!(self.steering.is_clean(), "seed {seed}: {:?}", self.steering);
        assert_eq!(self.steering.legs(), 0);
        let channels: Vec<_> = self.asterisk.channels.keys().collect();
        assert!(channels.is_empty(), "seed {seed}: {channels:?} left behind");
        assert!(
            self.asterisk.bridges.is_empty(),
            "seed {seed}: {:?}",
            self.asterisk.bridges
        );
        let legs: BTreeSet<_> = self.legs.iter().copied().collect();
        assert_eq!(self.ended, legs, "seed {seed}");
        self.ended.len()
    }

    fn come_to_rest(&mut self) {
        self.faults = Faults::No;
        if !self.connected {
            self.connect();
        }
        self.steering.handle_shutdown();
        self.drain();
        for _ in 0..STEPS_TO_REST {
            if self.requests.is_empty()
                && self.responses.is_empty()
                && self.asterisk.events.is_empty()
            {
                if self.steering.is_clean() {
                    return;
                }
                self.pass_time();
            }
            self.obey();
            self.deliver_response();
            self.deliver_event();
            self.drain();
        }
    }

    fn disorder(&mut self) {
        match self.draw(20) {
            0 => self.dial(),
            1 => self.telephone_calls(),
            2 => self.take_call(),
            3 | 4 => self.command(),
            5 => self.hang_up(),
            6 => self.far_end_leaves(),
            7 => self.far_end_speaks(),
            8 if self.draw(4) == 0 => self.pass_time(),
            9 if self.faults == Faults::Yes && self.draw(3) == 0 => self.break_or_mend(),
            10 if !self.connected => self.connect(),
            8..=12 => self.obey(),
            13..=16 => self.deliver_response(),
            _ => self.deliver_event(),
        }
    }

    fn dial(&mut self) {
        let leg = self.new_leg();
        let (number, uuid) = ("600".into(), Uuid::from_u128(leg.0.into()));
        self.tell(Command::Dial {
            leg,
            number,
            trunk: None,
            caller: Caller::default(),
            uuid,
        });
    }

    fn telephone_calls(&mut self) {
        self.next += 1;
        let id = format!("17{}", self.next);
        self.asterisk.channels.insert(
            id.clone(),
            Channel {
                ours: false,
                up: false,
            },
        );
        self.asterisk
            .say(json!({"type": "StasisStart", "args": ["7001"], "channel": {"id": id}}));
    }

    fn take_call(&mut self) {
        if self.offered.is_empty() {
            return;
        }
        let at = self.draw(self.offered.len());
        let call = self.offered.remove(at);
        if self.draw(5) == 0 {
            self.tell(Command::Refuse {
                call,
                cause: Cause::Busy,
            });
        } else {
            let leg = self.new_leg();
            self.tell(Command::Adopt { call, leg });
        }
    }

    fn command(&mut self) {
        let Some(leg) = self.some_leg() else { return };
        let uuid = Uuid::from_u128(leg.0.into());
        let command = match self.draw(8) {
            0 => Command::Ring(leg),
            1 => Command::Early { leg, uuid },
            2 | 3 => Command::Answer { leg, uuid },
            4 => Command::Dtmf {
                leg,
                digits: "1".into(),
            },
            5 => Command::Transfer {
                leg,
                progress: TransferProgress::Answered,
            },
            6 => Command::Lamp {
                line: leg.0.to_string(),
                lamp: Lamp::InUse,
            },
            _ => Command::Hold(leg),
        };
        self.tell(command);
    }

    fn hang_up(&mut self) {
        if let Some(leg) = self.some_leg() {
            self.tell(Command::HangUp {
                leg,
                cause: Cause::Normal,
            });
        }
    }

    fn far_end_leaves(&mut self) {
        if let Some(id) = self.some_channel() {
            self.asterisk.end(&id, 16);
        }
    }

    fn far_end_speaks(&mut self) {
        let Some(id) = self.some_channel() else {
            return;
        };
        let status = ["", "RINGING", "PROGRESS", "ANSWER", "BUSY"][self.draw(5)];
        self.asterisk
            .say(json!({"type": "Dial", "dialstatus": status, "peer": {"id": id}}));
    }

    fn pass_time(&mut self) {
        match self.steering.poll_timeout() {
            Some(at) => self.now = self.now.max(at),
            None => self.now += Duration::from_secs(1),
        }
        self.steering.handle_timeout(self.now);
    }

    fn break_or_mend(&mut self) {
        if self.connected {
            self.connected = false;
            // What was on its way is lost.
            self.asterisk.events.clear();
            self.steering.handle_disconnected();
        } else {
            self.connect();
        }
    }

    fn connect(&mut self) {
        self.connected = true;
        self.asterisk.events.clear();
        self.steering.handle_connected();
    }

    /// Asterisk obeys one of the requests that are on their way.
    fn obey(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let at = self.draw(self.requests.len());
        let request = self.requests.remove(at);
        let fault = self.faults == Faults::Yes && self.draw(12) == 0;
        let result = match (fault, self.draw(3)) {
            (true, 0) => Err(Failure::Unreachable),
            (true, 1) => Ok(Response {
                status: 500,
                body: Vec::new(),
            }),
            (true, _) => {
                self.asterisk.obey(&request);
                Err(Failure::Timeout)
            }
            (false, _) => Ok(self.asterisk.obey(&request)),
        };
        self.responses.push((request.id, result));
    }

    fn deliver_response(&mut self) {
        if self.responses.is_empty() {
            return;
        }
        let at = self.draw(self.responses.len());
        let (id, result) = self.responses.remove(at);
        self.steering.handle_response(id, result, self.now);
    }

    fn deliver_event(&mut self) {
        if !self.connected {
            self.asterisk.events.clear();
        }
        if let Some(event) = self.asterisk.events.pop_front() {
            let message = Message::parse(event.to_string().as_bytes()).unwrap();
            self.steering.handle_message(message, self.now);
        }
    }

    fn drain(&mut self) {
        let mut again = false;
        while let Some(output) = self.steering.poll_output() {
            match output {
                Output::Request(request) => self.requests.push(request),
                Output::Event(Event::Incoming(incoming)) => self.offered.push(incoming.call),
                Output::Event(Event::Ended { leg, .. }) => {
                    assert!(
                        self.ended.insert(leg),
                        "seed {}: {leg} ended twice",
                        self.seed
                    );
                }
                Output::Event(
                    Event::Ringing(leg)
                    | Event::Early(leg)
                    | Event::Answered(leg)
                    | Event::Digit { leg, .. }
                    | Event::Held { leg, .. }
                    | Event::Chosen { leg, .. }
                    | Event::Reach { leg, .. }
                    | Event::Linked { leg, .. }
                    | Event::Transfers { leg, .. }
                    | Event::Connects { leg, .. },
                ) => assert!(
                    !self.ended.contains(&leg),
                    "seed {}: {leg} is over",
                    self.seed
                ),
                Output::Event(Event::Up | Event::Down | Event::Trunk { .. }) => {}
                // No device is watched here, and no channel sets anything.
                Output::Event(
                    event @ (Event::Device { .. } | Event::Messages { .. } | Event::Setting { .. }),
                ) => panic!("seed {}: {event:?}", self.seed),
                Output::StepAside(_) => {}
                Output::Reconnect | Output::GiveWay => again = true,
            }
        }
        if again && self.connected {
            self.steering.handle_disconnected();
            self.connect();
            self.drain();
        }
    }

    fn tell(&mut self, command: Command) {
        self.steering.handle_command(command, self.now);
    }

    fn new_leg(&mut self) -> LegId {
        self.next += 1;
        let leg = LegId(self.next);
        self.legs.push(leg);
        leg
    }

    fn some_leg(&mut self) -> Option<LegId> {
        let living: Vec<_> = self
            .legs
            .iter()
            .copied()
            .filter(|leg| !self.ended.contains(leg))
            .collect();
        (!living.is_empty()).then(|| living[self.draw(living.len())])
    }

    fn some_channel(&mut self) -> Option<String> {
        let ids: Vec<_> = self.asterisk.channels.keys().cloned().collect();
        (!ids.is_empty()).then(|| ids[self.draw(ids.len())].clone())
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from((self.random >> 33) % below as u64).unwrap()
    }
}

impl Asterisk {
    fn say(&mut self, event: Value) {
        self.events.push_back(event);
    }

    fn obey(&mut self, request: &Request) -> Response {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let parts: Vec<_> = path.split('/').skip(1).collect();
        let query: BTreeMap<_, _> = query.split('&').filter_map(|p| p.split_once('=')).collect();
        let (status, body) = match (request.method, &parts[..]) {
            (Method::Get, ["channels"]) => (200, self.list_channels()),
            (Method::Get, ["bridges"]) => (
                200,
                self.bridges.iter().map(|id| json!({"id": id})).collect(),
            ),
            (Method::Post, ["channels", "create" | "externalMedia"]) => {
                (self.create(query["channelId"]), Value::Null)
            }
            (Method::Post, ["bridges", id]) => {
                self.bridges.insert((*id).to_owned());
                (200, Value::Null)
            }
            (Method::Post, ["bridges", id, "addChannel"]) => {
                let channels = query["channel"].split("%2C");
                let all = channels
                    .into_iter()
                    .all(|id| self.channels.contains_key(id));
                (
                    if all && self.bridges.contains(*id) {
                        204
                    } else {
                        422
                    },
                    Value::Null,
                )
            }
            (Method::Delete, ["channels", id]) => {
                let status = if self.channels.contains_key(*id) {
                    204
                } else {
                    404
                };
                self.end(id, query["reason_code"].parse().unwrap());
                (status, Value::Null)
            }
            (Method::Delete, ["bridges", id]) => (
                if self.bridges.remove(*id) { 204 } else { 404 },
                Value::Null,
            ),
            (Method::Post, ["asterisk", "variable"]) => (204, Value::Null),
            (_, ["channels", id, verb]) => match self.channels.get_mut(*id) {
                Some(channel) => {
                    channel.up |= *verb == "answer";
                    (204, Value::Null)
                }
                None => (404, Value::Null),
            },
            other => panic!("{other:?} is no request of ours"),
        };
        Response {
            status,
            body: body.to_string().into_bytes(),
        }
    }

    fn create(&mut self, id: &str) -> u16 {
        let before = self.channels.insert(
            id.to_owned(),
            Channel {
                ours: true,
                up: false,
            },
        );
        assert!(before.is_none(), "{id} was made twice");
        self.say(json!({"type": "StasisStart", "args": [], "channel": {"id": id}}));
        200
    }

    fn end(&mut self, id: &str, cause: u16) {
        let Some(channel) = self.channels.remove(id) else {
            return;
        };
        self.say(json!({"type": "StasisEnd", "channel": {"id": id}}));
        if channel.ours {
            self.say(json!({"type": "ChannelDestroyed", "cause": cause, "channel": {"id": id}}));
        }
    }

    fn list_channels(&self) -> Value {
        let entry = |(id, channel): (&String, &Channel)| {
            json!({"id": id, "state": if channel.up { "Up" } else { "Ring" },
                "dialplan": {"app_name": "Stasis", "app_data": "moqrelay,7001"}})
        };
        self.channels.iter().map(entry).collect()
    }
}
