//! A switchboard with people around it.

use std::time::{Duration, Instant};

use moqrelay_room::{
    Arrival, Attachment, CallId, CallRecord, Caller, Cause, Config, DeviceId, Digit, Event, Input,
    LegId, Number, Output, ParticipantId, Reason, Request, Snapshot, Switchboard, Trunk, User,
    UserId,
};

pub(crate) const ANNA: DeviceId = DeviceId(1);
pub(crate) const BERT: DeviceId = DeviceId(2);
pub(crate) const BERT_MOBILE: DeviceId = DeviceId(3);
pub(crate) const CARLA: DeviceId = DeviceId(4);
pub(crate) const CALL: CallId = CallId(0x1111);
pub(crate) const OTHER_CALL: CallId = CallId(0x2222);
pub(crate) const P1: ParticipantId = ParticipantId::CALLER;
pub(crate) const P2: ParticipantId = ParticipantId::CALLEE;

pub(crate) struct World {
    pub(crate) board: Switchboard,
    pub(crate) now: Instant,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            board: Switchboard::new(config),
            now: origin(),
        }
    }

    /// Anna (7001) and Bert (7002), one device each, and nothing left to do.
    pub(crate) fn two_people() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut world = Self::new(config);
        world.register(ANNA, "anna", Some("7001")).unwrap();
        world.register(BERT, "bert", Some("7002")).unwrap();
        world.outputs();
        world
    }

    /// Anna calls Bert; nothing left to do.
    pub(crate) fn calling() -> Self {
        let mut world = Self::two_people();
        world.call(ANNA, CALL, "bert").unwrap();
        world.outputs();
        world
    }

    /// Anna talks with Bert; nothing left to do.
    pub(crate) fn talking() -> Self {
        let mut world = Self::calling();
        world.ask(BERT, Request::Answer(CALL)).unwrap();
        world.outputs();
        world
    }

    pub(crate) fn register(
        &mut self,
        device: DeviceId,
        id: &str,
        number: Option<&str>,
    ) -> Result<Snapshot, Reason> {
        let registered = self.board.register(device, user(id, number), Attachment(1));
        registered.map_err(|refusal| refusal.reason)
    }

    pub(crate) fn ask(&mut self, device: DeviceId, request: Request) -> Result<(), Reason> {
        self.board
            .request(device, request, self.now)
            .map_err(|refusal| refusal.reason)
    }

    pub(crate) fn call(&mut self, device: DeviceId, call: CallId, to: &str) -> Result<(), Reason> {
        self.ask(
            device,
            Request::Call {
                call,
                to: to.to_owned(),
            },
        )
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.board.handle(input, self.now);
    }

    pub(crate) fn drop_socket(&mut self, device: DeviceId) {
        self.tell(Input::Dropped {
            device,
            attachment: Attachment(1),
        });
    }

    /// Lets the time of the next deadline come; returns how long that took.
    pub(crate) fn wait(&mut self) -> Duration {
        let until = self.board.poll_timeout().expect("nothing is due");
        let waited = until - self.now;
        self.now = until;
        self.board.handle_timeout(until);
        waited
    }

    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.board.poll_output()).collect()
    }

    /// What devices were told, without presence; drops the rest.
    pub(crate) fn events(&mut self) -> Vec<(DeviceId, Event)> {
        events(self.outputs())
    }

    /// The causes with which devices were told of the end.
    pub(crate) fn endings(&mut self) -> Vec<(DeviceId, Cause)> {
        let ending = |(device, event)| match event {
            Event::Ended { cause, .. } => Some((device, cause)),
            _ => None,
        };
        self.events().into_iter().filter_map(ending).collect()
    }

    pub(crate) fn record(&mut self) -> CallRecord {
        let record = |output| match output {
            Output::Ended(record) => Some(record),
            _ => None,
        };
        let mut records: Vec<CallRecord> = self.outputs().into_iter().filter_map(record).collect();
        assert_eq!(records.len(), 1, "one call ends, with one record");
        records.remove(0)
    }

    /// A telephone caller for Bert.
    pub(crate) fn arrive(&mut self, trunk: Trunk) -> LegId {
        self.board.arrive(arrival("7002", trunk), self.now).unwrap()
    }

    /// Anna dials a number; returns its leg.
    pub(crate) fn dialling() -> (Self, LegId) {
        let mut world = Self::two_people();
        world.tell(Input::TrunkAvailable(true));
        world.call(ANNA, CALL, "0301234").unwrap();
        let leg = world.outputs().iter().find_map(|output| match output {
            Output::Dial { leg, .. } => Some(*leg),
            _ => None,
        });
        (world, leg.expect("a number was dialled"))
    }
}

pub(crate) fn events(outputs: Vec<Output>) -> Vec<(DeviceId, Event)> {
    let event = |output| match output {
        Output::Notify {
            event: Event::Presence(_),
            ..
        } => None,
        Output::Notify { device, event } => Some((device, event)),
        _ => None,
    };
    outputs.into_iter().filter_map(event).collect()
}

/// What is to be done with legs and media.
pub(crate) fn actions(outputs: Vec<Output>) -> Vec<Output> {
    let other = |output: &Output| {
        !matches!(
            output,
            Output::Notify { .. }
                | Output::Ended(_)
                | Output::Lamp { .. }
                | Output::Mailbox { .. }
                | Output::Keep { .. }
                | Output::Left { .. }
        )
    };
    outputs.into_iter().filter(other).collect()
}

pub(crate) fn user(id: &str, number: Option<&str>) -> User {
    let number = number.map(|number| Number::new(number).unwrap());
    User {
        id: UserId::new(id).unwrap(),
        name: id.to_uppercase(),
        number,
    }
}

pub(crate) fn arrival(to: &str, trunk: Trunk) -> Arrival {
    let from = Caller {
        number: Some("0301234".into()),
        name: Some("Otto".into()),
    };
    Arrival {
        call: CALL,
        to: to.to_owned(),
        from,
        via: None,
        trunk,
    }
}

pub(crate) fn digits(text: &str) -> Vec<Digit> {
    text.chars()
        .map(|digit| Digit::new(digit).unwrap())
        .collect()
}

#[allow(clippy::disallowed_methods)]
fn origin() -> Instant {
    // Only differences count; there is no other way to get one.
    Instant::now()
}
