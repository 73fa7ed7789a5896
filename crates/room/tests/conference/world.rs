//! A node with its conferences, and a clock.

use std::time::{Duration, Instant};

use moqrelay_room::conference::{
    Action, Announce, Applicant, Conferences, Config, Denied, Fresh, Input, Key, Kind, Leaving,
    Output, Pin, Place, Presence, Prompt, Role, RoomId, RoomName, Roster, Spec, What, Who,
};
use moqrelay_room::{DeviceId, Digit, LegId, Number, ParticipantId, UserId};

pub const P1: ParticipantId = ParticipantId(1);
pub const P2: ParticipantId = ParticipantId(2);
pub const P3: ParticipantId = ParticipantId(3);

pub struct World {
    pub conferences: Conferences,
    pub now: Instant,
    drawn: u128,
}

impl World {
    pub fn new(config: Config) -> Self {
        Self {
            conferences: Conferences::new(config),
            now: origin(),
            drawn: 0,
        }
    }

    /// A room `den` (8200) behind a PIN, one `hall` (8300) with a lobby whose owner is Olga and where
    /// names are said, and a door 8000.
    pub fn furnished() -> Self {
        let den = Spec {
            number: number("8200"),
            pin: Some(Pin::new("4711").unwrap()),
            ..Spec::open(name("den"))
        };
        let hall = Spec {
            number: number("8300"),
            lobby: true,
            owner: Some(user("olga")),
            announce: Some(Announce::Names),
            ..Spec::open(name("hall"))
        };
        Self::new(Config {
            rooms: vec![den, hall],
            door: number("8000"),
            ..Config::default()
        })
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.conferences.handle_timeout(self.now);
    }

    pub fn fresh(&mut self) -> Fresh {
        self.drawn += 1;
        Fresh {
            room: RoomId(self.drawn),
            key: Key(1_000_000 + self.drawn),
        }
    }

    pub fn join(&mut self, room: &str, applicant: Applicant) -> Result<Place, Denied> {
        let fresh = self.fresh();
        let place = self
            .conferences
            .join(&name(room), applicant, fresh, self.now);
        self.check();
        place
    }

    /// Somebody who is signed in comes by a browser.
    pub fn enter(&mut self, room: &str, device: u64, who: &str) -> Place {
        self.join(room, browser(device, who)).unwrap()
    }

    pub fn dial(&mut self, leg: u64, number: &str) -> Result<(), Denied> {
        let fresh = self.fresh();
        let caller = telephone(leg);
        let dialled = self
            .conferences
            .dial(LegId(leg), number, caller, fresh, self.now);
        self.check();
        dialled
    }

    pub fn press(&mut self, leg: u64, keys: &str) {
        for key in keys.chars() {
            let key = Digit::new(key).unwrap();
            self.conferences
                .handle(Input::LegDigit(LegId(leg), key), self.now);
            self.check();
        }
    }

    pub fn act(&mut self, device: u64, action: Action) -> Result<(), Denied> {
        let done = self
            .conferences
            .act(Who::Device(DeviceId(device)), action, self.now);
        self.check();
        done
    }

    pub fn handle(&mut self, input: Input) {
        self.conferences.handle(input, self.now);
        self.check();
    }

    pub fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.conferences.poll_output()).collect()
    }

    /// What happened since it was asked last.
    pub fn happened(&mut self) -> Vec<(Option<ParticipantId>, What)> {
        let happened = |output| match output {
            Output::Happened(_, it) => Some((it.by, it.what)),
            _ => None,
        };
        self.outputs().into_iter().filter_map(happened).collect()
    }

    pub fn left(&mut self) -> Vec<(Who, Leaving)> {
        let left = |output| match output {
            Output::Leave { who, why, .. } => Some((who, why)),
            _ => None,
        };
        self.outputs().into_iter().filter_map(left).collect()
    }

    pub fn prompts(&mut self) -> Vec<Prompt> {
        let prompt = |output| match output {
            Output::Prompt(_, prompt) => Some(prompt),
            _ => None,
        };
        self.outputs().into_iter().filter_map(prompt).collect()
    }

    pub fn roster(&self, room: &str) -> Roster {
        self.conferences.roster_named(&name(room)).unwrap()
    }

    pub fn role(&self, room: &str, participant: ParticipantId) -> Role {
        let roster = self.roster(room);
        let mut people = roster.people.iter();
        people
            .find(|it| it.participant == participant)
            .unwrap()
            .role
    }

    pub fn presence(&self, room: &str, participant: ParticipantId) -> Option<Presence> {
        let roster = self.conferences.roster_named(&name(room))?;
        let mut people = roster.people.iter();
        people
            .find(|it| it.participant == participant)
            .map(|it| it.presence)
    }

    /// What must hold at any time.
    pub fn check(&self) {
        let rosters = self.conferences.rooms().filter_map(|(_, roster)| roster);
        let (mut rooms, mut people) = (0, 0);
        for roster in rosters {
            assert!(
                !roster.people.is_empty(),
                "{} is open and empty",
                roster.name
            );
            rooms += 1;
            people += roster.people.len();
        }
        let counts = self.conferences.counts();
        assert_eq!((counts.rooms, counts.people), (rooms, people));
    }
}

#[allow(clippy::disallowed_methods)]
fn origin() -> Instant {
    // Only differences count; there is no other way to get one.
    Instant::now()
}

pub fn browser(device: u64, who: &str) -> Applicant {
    Applicant {
        who: Who::Device(DeviceId(device)),
        user: Some(user(who)),
        name: who.to_owned(),
        kind: Kind::Browser,
        role: Role::Speaker,
        caller: who.to_owned(),
        pin: None,
        key: None,
        was: None,
    }
}

pub fn telephone(leg: u64) -> Applicant {
    Applicant {
        who: Who::Leg(LegId(leg)),
        user: None,
        name: format!("0{leg}"),
        kind: Kind::Telephone,
        role: Role::Speaker,
        caller: format!("0{leg}"),
        pin: None,
        key: None,
        was: None,
    }
}

pub fn name(text: &str) -> RoomName {
    RoomName::new(text).unwrap()
}

pub fn user(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

pub fn number(text: &str) -> Option<Number> {
    Some(Number::new(text).unwrap())
}

pub fn device(id: u64) -> Who {
    Who::Device(DeviceId(id))
}
