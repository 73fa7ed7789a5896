//! Sessions of every draft from SETUP to GOAWAY: the same calls and events, whatever the control streams look like.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{
    D14, D16, DRAFTS,
    drafts::{
        End, Wire, about, config, encode, messages, plain, subscribe, subscribed, subscribes,
    },
    pair::Pair,
    track,
};
use moqrelay_moqt::{
    CallError, Direction, Draft, EncodeError, Envelope, Event, Filter, Location, Message, Output,
    Parameters, PublishOptions, RequestCode, RequestError, RequestId, RequestKind, RequestOk,
    RequestUpdate, ResetCode, Role, Session, SessionCode, Setup, Subscribe, SubscribeOptions,
};

const OLD: [Draft; 2] = [D16, D14];

#[test]
fn both_sides_learn_of_each_other() {
    for draft in DRAFTS {
        let mut pair = Pair::unconnected(|config| {
            config.draft = draft;
            config.implementation = Some("ours".to_owned());
        });

        pair.pump();

        for end in [&mut pair.client, &mut pair.server] {
            let Event::Setup(setup) = end.one() else {
                panic!("{draft:?}");
            };
            assert_eq!(setup.implementation.as_deref(), Some("ours"));
            assert!(end.session.is_established());
        }
    }
}

#[test]
fn requests_wait_for_setup_and_for_leave() {
    for draft in OLD {
        let mut pair = Pair::unconnected(|config| {
            config.draft = draft;
            config.limits.peer_requests_max = 2;
        });
        let tracks: Vec<_> = ["a", "b", "c"].map(|name| track(&["room"], name)).into();
        for track in &tracks {
            pair.client
                .session
                .subscribe(track.clone(), SubscribeOptions::default())
                .unwrap();
        }
        // The last one is given up before it could be made; its id is used all the same.
        pair.client
            .session
            .cancel(RequestId(4), ResetCode::Cancelled)
            .unwrap();
        let later = pair
            .client
            .session
            .subscribe(track(&["room"], "d"), SubscribeOptions::default())
            .unwrap();

        pair.pump();
        assert!(matches!(pair.server.events.remove(0), Event::Setup(_)));
        let heard = subscribes(pair.server.take());
        assert_eq!(heard.len(), 2);
        assert!(pair.server.closed.is_none() && pair.client.closed.is_none());
        for (id, _) in &heard {
            let error = RequestError::new(RequestCode::DoesNotExist, "");
            pair.server.session.reject(*id, error).unwrap();
        }
        pair.pump();

        let mut events = pair.server.take();
        let cancelled = events
            .iter()
            .position(|event| matches!(event, Event::Cancelled { .. }));
        events.remove(cancelled.unwrap());
        let heard = subscribes(events);
        assert_eq!(heard.last().unwrap().0, later);
        assert_eq!(heard.last().unwrap().1.name().as_ref(), b"d");
        assert!(pair.server.closed.is_none() && pair.client.closed.is_none());
    }
}

#[test]
fn a_peer_that_grants_nothing_gets_no_requests_and_hears_why() {
    for draft in OLD {
        let mut client = Wire::client(draft);
        let mut server = client.server();

        server
            .session
            .publish(track(&["room"], "a"), PublishOptions::default())
            .unwrap();
        let said = server.messages(draft);
        assert_eq!(said, [plain(Message::RequestsBlocked(0))]);
        for _ in 0..2 {
            let update = server
                .session
                .publish(track(&["room"], "b"), PublishOptions::default());
            assert!(matches!(update, Ok(_) | Err(CallError::Duplicate)));
        }
        assert!(server.messages(draft).is_empty());

        client.say(&mut server, plain(Message::MaxRequestId(2)));
        let said = server.messages(draft);
        assert!(
            matches!(&said[..], [Envelope { message: Message::Publish(publish), .. }, Envelope {
                message: Message::RequestsBlocked(2), ..
            }] if publish.id == RequestId(1)),
            "{said:?}"
        );
    }
}

#[test]
fn one_control_stream_is_opened_by_the_client() {
    for draft in OLD {
        let mut session = Session::new(config(draft, Role::Client), Duration::ZERO);
        let open = session.poll_output();
        assert!(matches!(open, Some(Output::Open(_, Direction::Bi))));
        let mut session = Session::new(config(draft, Role::Server), Duration::ZERO);
        assert_eq!(session.poll_output(), None);
    }
}

#[test]
fn what_breaks_the_old_drafts_ends_the_session_with_their_code() {
    let subscribe = |id, name| {
        plain(Message::Subscribe(Subscribe {
            id: RequestId(id),
            track: track(&["room"], name),
            params: Parameters::default(),
        }))
    };
    let update = |id, of| {
        about(
            of,
            None,
            Message::RequestUpdate(RequestUpdate {
                id: RequestId(id),
                params: Parameters {
                    filter: Some(Filter::AbsoluteStart(Location::default())),
                    ..Parameters::default()
                },
            }),
        )
    };
    let setup = Message::Setup(Setup {
        sender: Some(Role::Client),
        ..Setup::default()
    });
    type Faults = Vec<(Vec<Envelope>, SessionCode)>;
    let faults: Faults = vec![
        (vec![plain(setup)], SessionCode::ProtocolViolation),
        (vec![subscribe(1, "a")], SessionCode::InvalidRequestId),
        (
            vec![subscribe(0, "a"), subscribe(0, "b")],
            SessionCode::InvalidRequestId,
        ),
        (vec![subscribe(4096, "a")], SessionCode::TooManyRequests),
        (
            vec![plain(Message::MaxRequestId(0))],
            SessionCode::ProtocolViolation,
        ),
        (
            vec![about(7, None, Message::Unsubscribe)],
            SessionCode::ProtocolViolation,
        ),
        (vec![update(0, 8)], SessionCode::ProtocolViolation),
        (
            vec![
                subscribe(0, "a"),
                about(0, None, Message::RequestOk(RequestOk::default())),
            ],
            SessionCode::ProtocolViolation,
        ),
    ];
    for draft in OLD {
        for (messages, code) in &faults {
            let mut client = Wire::client(draft);
            let mut server = client.server();
            for message in messages {
                // Draft 14 wants to know what is accepted.
                let message = match (&message.message, draft) {
                    (Message::RequestOk(_), D14) => {
                        about(0, Some(RequestKind::Publish), message.message.clone())
                    }
                    _ => message.clone(),
                };
                client.say(&mut server, message);
            }
            assert_eq!(server.closed(), Some(*code), "{draft:?} {messages:?}");
        }
    }
}

#[test]
fn request_ids_of_draft_14_leave_no_gap() {
    let mut client = Wire::client(D14);
    let mut server = client.server();
    client.say(
        &mut server,
        plain(Message::Subscribe(Subscribe {
            id: RequestId(2),
            track: track(&["a"], "b"),
            params: Parameters::default(),
        })),
    );
    assert_eq!(server.closed(), Some(SessionCode::InvalidRequestId));
}

#[test]
fn the_first_message_must_be_client_setup() {
    for draft in OLD {
        let mut server = End::new(draft, Role::Server);
        let stream = server.session.accept_bi();
        server.feed(stream, &encode(draft, &plain(Message::MaxRequestId(9))));
        assert_eq!(server.closed(), Some(SessionCode::ProtocolViolation));
    }
}

#[test]
fn draft_14_wants_its_version_among_those_offered() {
    for (versions, code) in [
        (
            vec![0xff00_000d],
            Some(SessionCode::VersionNegotiationFailed),
        ),
        (vec![0xff00_000d, 0xff00_000e], None),
    ] {
        let mut server = End::new(D14, Role::Server);
        let stream = server.session.accept_bi();
        let setup = Setup {
            sender: Some(Role::Client),
            versions,
            ..Setup::default()
        };
        server.feed(stream, &encode(D14, &plain(Message::Setup(setup))));
        let outputs = server.outputs();
        let closed = outputs.iter().find_map(|output| match output {
            Output::Close(code, _) => Some(*code),
            _ => None,
        });
        assert_eq!(closed, code);
        if closed.is_none() {
            let said = messages(D14, &outputs);
            let Message::Setup(setup) = &said[0].message else {
                panic!("{said:?}");
            };
            assert_eq!(setup.versions, [0xff00_000e]);
        }
    }
}

#[test]
fn draft_14_may_call_its_implementation_by_the_number_of_authority() {
    let mut server = End::new(D14, Role::Server);
    let stream = server.session.accept_bi();
    let setup = Setup {
        sender: Some(Role::Client),
        versions: vec![0xff00_000e],
        authority: Some(Bytes::from_static(b"someone 0.1")),
        ..Setup::default()
    };
    server.feed(stream, &encode(D14, &plain(Message::Setup(setup))));
    let [Event::Setup(setup)] = &server.events()[..] else {
        panic!();
    };
    assert_eq!(setup.implementation.as_deref(), Some("someone 0.1"));
    assert_eq!(setup.authority, None);
}

#[test]
fn going_away_is_said_and_heard() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let now = pair.now;
        pair.server
            .session
            .goaway("https://other/", Duration::from_secs(5), now)
            .unwrap();
        pair.pump();
        let Event::GoAway { uri, .. } = pair.client.one() else {
            panic!("{draft:?}");
        };
        assert_eq!(uri, "https://other/");
        assert_eq!(
            pair.client
                .session
                .subscribe(track(&["a"], "b"), SubscribeOptions::default()),
            Err(CallError::GoingAway)
        );
    }
    let mut pair = Pair::of(D16);
    subscribe(&mut pair);
    let id = subscribed(&mut pair);
    let now = pair.now;
    assert_eq!(
        pair.server
            .session
            .goaway_request(id, "", Duration::ZERO, now),
        Err(EncodeError::NotInDraft("GOAWAY of one request").into())
    );
}
