//! How a session begins and how it ends.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{
    encode, namespace,
    pair::{Alone, Pair},
    track,
};
use moqrelay_moqt::{
    AuthToken, CallError, Direction, Event, Limits, Message, Output, Parameters, RequestId, Role,
    SessionCode, Setup, StreamId, SubscribeOptions, SubscribePrefix, Token, Transport,
};

#[test]
fn the_first_thing_out_is_setup_on_a_control_stream() {
    let mut alone = Alone::silent(Role::Client, |config| {
        config.implementation = Some("moqrelay".to_owned())
    });

    let outputs = alone.outputs();

    let setup = Setup {
        implementation: Some(Bytes::from_static(b"moqrelay")),
        auth_token_cache_bytes_max: Some(Limits::default().auth_token_cache_bytes_max),
        ..Setup::default()
    };
    let stream = StreamId(0);
    let write = Output::Write(stream, encode(&Message::Setup(setup)));
    assert_eq!(outputs, [Output::Open(stream, Direction::Uni), write]);
    assert!(!alone.session.is_established());
}

#[test]
fn setup_tells_the_other_side_who_we_are_and_brings_tokens() {
    let token = AuthToken {
        token_type: 0,
        value: Bytes::from_static(b"jwt"),
    };
    let mut pair = Pair::unconnected(|config| {
        config.implementation = Some(format!("{:?}", config.role));
        if config.role == Role::Client {
            config.authorization = vec![Token::UseValue(token.clone())];
        }
    });
    pair.pump();

    let Event::Setup(client) = pair.server.one() else {
        panic!()
    };
    assert_eq!(client.tokens, [token]);
    assert_eq!(client.implementation.as_deref(), Some("Client"));
    assert_eq!(
        client.auth_token_cache_bytes_max,
        Limits::default().auth_token_cache_bytes_max
    );
    let Event::Setup(server) = pair.client.one() else {
        panic!()
    };
    assert_eq!(server.implementation.as_deref(), Some("Server"));
}

#[test]
fn path_and_authority_travel_only_from_client_to_server_and_only_without_webtransport() {
    let mut pair = Pair::unconnected(|config| {
        config.transport = Transport::Quic;
        config.path = Some("/moq?token=x".to_owned());
        config.authority = Some("localhost:4443".to_owned());
    });
    pair.pump();
    let Event::Setup(client) = pair.server.one() else {
        panic!()
    };
    assert_eq!(client.path.as_deref(), Some("/moq?token=x"));
    assert_eq!(client.authority.as_deref(), Some("localhost:4443"));
    assert!(
        pair.client.session.is_established(),
        "the server sent neither"
    );

    let fault = |role, transport, key: u8, value: &[u8]| {
        let mut alone = Alone::silent(role, |config| config.transport = transport);
        alone.control(
            &[
                &[
                    0xaf,
                    0x00,
                    0x00,
                    value.len() as u8 + 2,
                    key,
                    value.len() as u8,
                ][..],
                value,
            ]
            .concat(),
        );
        alone.closed()
    };
    use {Role::*, SessionCode::*, Transport::*};
    assert_eq!(fault(Client, Quic, 1, b"/"), Some(InvalidPath));
    assert_eq!(fault(Server, WebTransport, 1, b"/"), Some(InvalidPath));
    assert_eq!(fault(Server, Quic, 1, b"moq"), Some(MalformedPath));
    assert_eq!(fault(Client, Quic, 5, b"a"), Some(InvalidAuthority));
    assert_eq!(fault(Server, WebTransport, 5, b"a"), Some(InvalidAuthority));
    assert_eq!(fault(Server, Quic, 5, b"a/b"), Some(MalformedAuthority));
    assert_eq!(fault(Server, Quic, 5, b"a"), None);
}

#[test]
fn requests_that_come_before_setup_wait_for_it_in_order() {
    let mut pair = Pair::unconnected(|_| {});
    let mut alone = Alone::silent(Role::Server, |_| {});
    let first = pair
        .client
        .session
        .publish_namespace(namespace(&["a"]), Parameters::default())
        .unwrap();
    let second = pair
        .client
        .session
        .publish_namespace(namespace(&["b"]), Parameters::default())
        .unwrap();
    assert_eq!(
        (first, second),
        (RequestId(0), RequestId(2)),
        "no answer is needed to go on"
    );
    let request = |id, name| {
        let prefix = namespace(&[name]);
        encode(&Message::PublishNamespace(SubscribePrefix {
            id,
            prefix,
            params: Parameters::default(),
        }))
    };

    alone.request(&request(first, "a"));
    alone.request(&request(second, "b"));
    assert!(alone.events().is_empty());
    alone.control(&[0xaf, 0x00, 0x00, 0x00]);

    let events = alone.events();
    assert!(matches!(events[0], Event::Setup(_)));
    let named = events[1..].iter().map(|event| match event {
        Event::PublishNamespace { namespace, .. } => namespace.to_string(),
        other => panic!("{other:?}"),
    });
    assert_eq!(named.collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn messages_may_follow_setup_at_once_and_bytes_may_come_one_by_one() {
    let mut alone = Alone::silent(Role::Client, |_| {});

    for byte in b"\xaf\x00\x00\x00\x10\x00\x03\x00\x00\x04" {
        alone.control(&[*byte]);
    }

    let events = alone.events();
    assert!(matches!(events[0], Event::Setup(_)));
    let timeout = Duration::ZERO;
    assert_eq!(
        events[1],
        Event::GoAway {
            uri: String::new(),
            timeout,
            unprocessed: RequestId(4)
        }
    );
}

#[test]
fn a_peer_without_setup_is_given_up() {
    let mut alone = Alone::silent(Role::Server, |config| {
        config.limits.setup_timeout = Duration::from_secs(3)
    });
    assert_eq!(
        alone.session.poll_timeout(),
        Some(alone.now + Duration::from_secs(3))
    );

    alone
        .session
        .handle_timeout(alone.now + Duration::from_millis(2999));
    assert_eq!(alone.closed(), None);
    alone
        .session
        .handle_timeout(alone.now + Duration::from_secs(3));

    assert_eq!(alone.closed(), Some(SessionCode::ControlMessageTimeout));
    assert_eq!(alone.session.poll_timeout(), None);
}

#[test]
fn after_setup_nothing_is_due() {
    assert_eq!(Alone::open(Role::Server).session.poll_timeout(), None);
}

#[test]
fn a_closed_session_does_nothing_any_more() {
    let mut pair = Pair::new();
    let session = &mut pair.client.session;
    session
        .subscribe(track(&["a"], "b"), SubscribeOptions::default())
        .unwrap();
    while session.poll_output().is_some() {}

    session.close(SessionCode::NoError, "bye");
    session.close(SessionCode::InternalError, "again");

    assert_eq!(
        session.poll_output(),
        Some(Output::Close(SessionCode::NoError, "bye".to_owned()))
    );
    let stream = session.accept_bi();
    session.handle_stream(stream, Bytes::from_static(b"\xff\xff"), true, pair.now);
    session.handle_reset(StreamId(0), 0, pair.now);
    session.handle_stop(StreamId(0), 0, pair.now);
    assert_eq!(session.poll_output(), None);
    assert!(session.is_closed() && !session.is_established());
    assert_eq!(session.open_requests(), 0);
    let subscribed = session.subscribe(track(&["a"], "b"), SubscribeOptions::default());
    assert_eq!(subscribed, Err(CallError::Closed));
    assert_eq!(
        session.cancel(RequestId(0), moqrelay_moqt::ResetCode::Cancelled),
        Err(CallError::Closed)
    );
    assert_eq!(
        session.goaway("", Duration::ZERO, pair.now),
        Err(CallError::Closed)
    );
}

#[test]
fn the_control_streams_must_stay_open() {
    let fin = |alone: &mut Alone| alone.feed(alone.control, &[], true);
    let reset = |alone: &mut Alone| alone.session.handle_reset(alone.control, 0, alone.now);
    let stop = |alone: &mut Alone| alone.session.handle_stop(StreamId(0), 0, alone.now);
    let second = |alone: &mut Alone| {
        alone.session.accept_control();
    };
    let endings: [&dyn Fn(&mut Alone); 4] = [&fin, &reset, &stop, &second];
    for end in endings {
        let mut alone = Alone::open(Role::Client);

        end(&mut alone);

        assert_eq!(alone.closed(), Some(SessionCode::ProtocolViolation));
    }
}
