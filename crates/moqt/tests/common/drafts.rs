//! What tests of several drafts share: a subscription as two sessions make it, and a peer that writes by hand.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    About, Config, Draft, Envelope, Event, FullTrackName, Message, Output, RequestId, RequestKind,
    Role, Session, SessionCode, Setup, StreamId, SubscribeAnswer, SubscribeOptions, Transport,
};

use super::{D14, pair::Pair, track};

pub fn subscribe(pair: &mut Pair) -> RequestId {
    let audio = track(&["room"], "audio");
    let id = pair
        .client
        .session
        .subscribe(audio, SubscribeOptions::default());
    pair.pump();
    id.unwrap()
}

pub fn subscribed(pair: &mut Pair) -> RequestId {
    let Event::Subscribe { id, .. } = pair.server.one() else {
        panic!();
    };
    id
}

pub fn accept(pair: &mut Pair, id: RequestId) {
    pair.server
        .session
        .accept_subscribe(id, SubscribeAnswer::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.client.one(), Event::SubscribeOk { .. }));
}

pub fn subscribes(events: Vec<Event>) -> Vec<(RequestId, FullTrackName)> {
    events
        .into_iter()
        .map(|event| match event {
            Event::Subscribe { id, track, .. } => (id, track),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A client that is nothing but what it writes.
pub struct Wire {
    pub draft: Draft,
    pub control: StreamId,
}

impl Wire {
    pub fn client(draft: Draft) -> Self {
        Self {
            draft,
            control: StreamId(0),
        }
    }

    /// A server that has got this client's SETUP, which grants nothing.
    pub fn server(&mut self) -> End {
        let mut server = End::new(self.draft, Role::Server);
        self.control = server.session.accept_bi();
        let setup = Setup {
            sender: Some(Role::Client),
            versions: match self.draft {
                D14 => vec![0xff00_000e],
                _ => Vec::new(),
            },
            ..Setup::default()
        };
        self.say(&mut server, plain(Message::Setup(setup)));
        assert!(matches!(server.events()[..], [Event::Setup(_)]));
        server
    }

    pub fn say(&self, server: &mut End, envelope: Envelope) {
        server.feed(self.control, &encode(self.draft, &envelope));
    }

    /// Makes a request about namespaces, on a stream of its own where there is one.
    pub fn request(&self, server: &mut End, envelope: Envelope) {
        if self.draft == D14 {
            return self.say(server, envelope);
        }
        let stream = server.session.accept_bi();
        server.feed(stream, &encode(self.draft, &envelope));
    }
}

/// A session that is fed by hand.
pub struct End {
    pub session: Session,
}

impl End {
    pub fn new(draft: Draft, role: Role) -> Self {
        Self {
            session: Session::new(config(draft, role), Duration::ZERO),
        }
    }

    pub fn feed(&mut self, stream: StreamId, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.session
            .handle_stream(stream, bytes, false, Duration::ZERO);
    }

    pub fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    pub fn events(&mut self) -> Vec<Event> {
        let outputs = self.outputs().into_iter();
        outputs
            .filter_map(|output| match output {
                Output::Event(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    pub fn messages(&mut self, draft: Draft) -> Vec<Envelope> {
        messages(draft, &self.outputs())
    }

    pub fn closed(&mut self) -> Option<SessionCode> {
        self.outputs().into_iter().find_map(|output| match output {
            Output::Close(code, _) => Some(code),
            _ => None,
        })
    }
}

pub fn messages(draft: Draft, outputs: &[Output]) -> Vec<Envelope> {
    let mut bytes = BytesMut::new();
    for output in outputs {
        if let Output::Write(_, written) = output {
            bytes.extend_from_slice(written);
        }
    }
    let mut messages = Vec::new();
    while let Some(message) = Envelope::decode(draft, &mut bytes).unwrap() {
        messages.push(message);
    }
    messages
}

pub fn config(draft: Draft, role: Role) -> Config {
    Config::new(draft, role, Transport::WebTransport)
}

pub fn plain(message: Message) -> Envelope {
    Envelope {
        about: None,
        message,
    }
}

pub fn about(id: u64, kind: Option<RequestKind>, message: Message) -> Envelope {
    Envelope {
        about: Some(About::Request {
            id: RequestId(id),
            kind,
        }),
        message,
    }
}

pub fn encode(draft: Draft, envelope: &Envelope) -> Bytes {
    let mut out = BytesMut::new();
    envelope.encode(draft, &mut out).unwrap();
    out.freeze()
}
