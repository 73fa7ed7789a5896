//! Two sessions back to back: what one writes the other gets, at a time of the test's own.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use moqrelay_moqt::{
    Config, Direction, Event, Output, ResetCode, Role, Session, SessionCode, StreamId, Transport,
};

use super::D18;
use moqrelay_moqt::Draft;

/// A client and a server, and what they have told their applications.
pub struct Pair {
    pub client: End,
    pub server: End,
    pub now: Duration,
}

/// One side of a pair.
pub struct End {
    pub session: Session,
    pub events: Vec<Event>,
    pub closed: Option<(SessionCode, String)>,
    /// This side's stream to the other side's.
    streams: BTreeMap<StreamId, StreamId>,
}

impl Pair {
    /// Two sessions that have seen each other's SETUP.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same in another draft.
    pub fn of(draft: Draft) -> Self {
        Self::with(|config| config.draft = draft)
    }

    /// The same after a change of both configurations.
    pub fn with(change: impl Fn(&mut Config)) -> Self {
        let mut pair = Self::unconnected(change);
        pair.pump();
        assert!(pair.client.session.is_established() && pair.server.session.is_established());
        assert!(matches!(pair.client.take()[..], [Event::Setup(_)]));
        assert!(matches!(pair.server.take()[..], [Event::Setup(_)]));
        pair
    }

    /// Two sessions that have not exchanged a byte.
    pub fn unconnected(change: impl Fn(&mut Config)) -> Self {
        let now = Duration::from_secs(1);
        let end = |role| {
            let mut config = Config::new(D18, role, Transport::WebTransport);
            change(&mut config);
            End {
                session: Session::new(config, now),
                events: Vec::new(),
                closed: None,
                streams: BTreeMap::new(),
            }
        };
        Self {
            client: end(Role::Client),
            server: end(Role::Server),
            now,
        }
    }

    /// Carries everything to the other side until nobody has anything to say.
    pub fn pump(&mut self) {
        while carry(&mut self.client, &mut self.server, self.now)
            | carry(&mut self.server, &mut self.client, self.now)
        {}
    }

    /// Carries what one side says and keeps the other quiet.
    pub fn pump_to_server(&mut self) {
        carry(&mut self.client, &mut self.server, self.now);
    }

    /// Lets time pass on both sides and carries what follows.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        self.client.session.handle_timeout(self.now);
        self.server.session.handle_timeout(self.now);
        self.pump();
    }
}

impl End {
    /// Takes the events so far.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Takes the only event there is.
    pub fn one(&mut self) -> Event {
        let mut events = self.take();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }
}

fn carry(from: &mut End, to: &mut End, now: Duration) -> bool {
    let draft = from.session.draft();
    let mut busy = false;
    while let Some(output) = from.session.poll_output() {
        busy = true;
        match output {
            Output::Open(stream, direction) => {
                let accepted = match direction {
                    Direction::Bi => to.session.accept_bi(),
                    Direction::Uni => to.session.accept_control(),
                };
                from.streams.insert(stream, accepted);
                to.streams.insert(accepted, stream);
            }
            Output::Write(stream, bytes) => {
                to.session
                    .handle_stream(from.streams[&stream], bytes, false, now)
            }
            Output::Finish(stream) => {
                to.session
                    .handle_stream(from.streams[&stream], Bytes::new(), true, now)
            }
            Output::Reset(stream, code) => {
                to.session
                    .handle_reset(from.streams[&stream], code.to_code(draft), now)
            }
            Output::Stop(stream, code) => {
                to.session
                    .handle_stop(from.streams[&stream], code.to_code(draft), now)
            }
            Output::Close(code, reason) => from.closed = Some((code, reason)),
            Output::Event(event) => from.events.push(event),
        }
    }
    busy
}

/// One session whose peer is the test itself: it writes bytes.
pub struct Alone {
    pub session: Session,
    pub control: StreamId,
    pub now: Duration,
}

impl Alone {
    /// A session of that role that has not heard of its peer.
    pub fn silent(role: Role, change: impl Fn(&mut Config)) -> Self {
        let now = Duration::from_secs(1);
        let mut config = Config::new(D18, role, Transport::WebTransport);
        change(&mut config);
        let mut session = Session::new(config, now);
        let control = session.accept_control();
        Self {
            session,
            control,
            now,
        }
    }

    /// A session that has got its peer's SETUP.
    pub fn open(role: Role) -> Self {
        let mut alone = Self::silent(role, |_| {});
        alone.control(&[0xaf, 0x00, 0x00, 0x00]);
        assert!(alone.session.is_established());
        alone.outputs();
        alone
    }

    pub fn control(&mut self, bytes: &[u8]) {
        self.feed(self.control, bytes, false);
    }

    pub fn feed(&mut self, stream: StreamId, bytes: &[u8], fin: bool) {
        self.session
            .handle_stream(stream, Bytes::copy_from_slice(bytes), fin, self.now);
    }

    /// Opens a stream with these bytes.
    pub fn request(&mut self, bytes: &[u8]) -> StreamId {
        let stream = self.session.accept_bi();
        self.feed(stream, bytes, false);
        stream
    }

    pub fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    /// Drains the outputs and returns the code with which the session closed.
    pub fn closed(&mut self) -> Option<SessionCode> {
        self.outputs().into_iter().find_map(|output| match output {
            Output::Close(code, _) => Some(code),
            _ => None,
        })
    }

    pub fn events(&mut self) -> Vec<Event> {
        let outputs = self.outputs().into_iter();
        outputs
            .filter_map(|output| {
                if let Output::Event(event) = output {
                    Some(event)
                } else {
                    None
                }
            })
            .collect()
    }
}

pub const CANCELLED: Option<ResetCode> = Some(ResetCode::Cancelled);
