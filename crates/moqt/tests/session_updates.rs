//! REQUEST_UPDATE, GOAWAY and authorization tokens.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{
    encode, namespace,
    pair::{Alone, CANCELLED, Pair},
    track,
};
use moqrelay_moqt::{
    AuthToken, CallError, Event, Message, Output, Parameters, PublishDoneCode, PublishOptions,
    RequestCode, RequestError, RequestId, RequestOk, RequestUpdate, ResetCode, Role, SessionCode,
    Subscribe, SubscribeAnswer, SubscribeOptions, Token, TokenCache, TokenError,
};

#[test]
fn updates_are_answered_in_their_order() {
    let (mut pair, id) = subscribed();
    for forward in [false, true] {
        pair.client
            .session
            .update(id, forward_params(forward))
            .unwrap();
    }
    pair.pump();
    let expected = [false, true].map(|forward| Event::Update {
        id,
        params: forward_params(forward),
        tokens: vec![],
    });
    assert_eq!(pair.server.take(), expected);

    pair.server
        .session
        .accept_update(id, Parameters::default())
        .unwrap();
    pair.server.session.reject_update(id, error()).unwrap();
    assert_eq!(
        pair.server.session.accept_update(id, Parameters::default()),
        Err(CallError::WrongState)
    );
    pair.server
        .session
        .publish_done(id, PublishDoneCode::UpdateFailed, Some(0), "")
        .unwrap();
    pair.pump();

    let events = pair.client.take();
    assert_eq!(
        events[0],
        Event::Updated {
            id,
            params: Parameters::default()
        }
    );
    assert_eq!(events[1], Event::UpdateRejected { id, error: error() });
    assert!(matches!(
        events[2],
        Event::PublishDone {
            status: PublishDoneCode::UpdateFailed,
            ..
        }
    ));
    assert_eq!(pair.client.session.open_requests(), 0);
}

#[test]
fn an_update_may_follow_its_request_at_once_but_its_answer_waits() {
    let mut pair = Pair::new();
    let id = pair
        .client
        .session
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();
    pair.client
        .session
        .update(id, forward_params(false))
        .unwrap();
    pair.pump();
    assert_eq!(pair.server.take().len(), 2);
    let server = &mut pair.server.session;

    assert_eq!(
        server.accept_update(id, Parameters::default()),
        Err(CallError::WrongState)
    );
    server
        .accept_subscribe(id, SubscribeAnswer::default())
        .unwrap();
    server.accept_update(id, Parameters::default()).unwrap();
    pair.pump();

    assert!(matches!(
        pair.client.take()[..],
        [Event::SubscribeOk { .. }, Event::Updated { .. }]
    ));
}

#[test]
fn an_update_takes_a_request_id_of_its_own() {
    let (mut pair, id) = subscribed();
    pair.client
        .session
        .update(id, Parameters::default())
        .unwrap();

    let next = pair
        .client
        .session
        .publish_namespace(namespace(&["a"]), Parameters::default());

    assert_eq!(next, Ok(RequestId(id.0 + 4)));
    pair.pump();
    assert_eq!(pair.server.closed, None);
}

#[test]
fn only_the_right_side_updates_and_only_what_belongs_there() {
    let (mut pair, id) = subscribed();
    assert_eq!(
        pair.server.session.update(id, Parameters::default()),
        Err(CallError::WrongState)
    );
    let params = Parameters {
        expires: Some(Duration::ZERO),
        ..Parameters::default()
    };
    assert!(matches!(
        pair.client.session.update(id, params),
        Err(CallError::Encode(_))
    ));

    let (id, _) = pair
        .client
        .session
        .publish(track(&["x"], "y"), PublishOptions::default())
        .unwrap();
    pair.pump();
    let early = pair.server.session.update(id, Parameters::default());
    assert_eq!(early, Err(CallError::WrongState), "not before PUBLISH_OK");
}

#[test]
fn updates_have_a_limit() {
    let (mut pair, id) = subscribed();
    for _ in 0..16 {
        pair.client
            .session
            .update(id, Parameters::default())
            .unwrap();
    }
    assert_eq!(
        pair.client.session.update(id, Parameters::default()),
        Err(CallError::TooMany)
    );

    let mut alone = Alone::open(Role::Server);
    let stream = alone.request(&subscribe(RequestId(0), vec![]));
    alone
        .session
        .accept_subscribe(RequestId(0), SubscribeAnswer::default())
        .unwrap();
    for index in 1..=17 {
        let update = RequestUpdate {
            id: RequestId(index * 2),
            params: Parameters::default(),
        };
        alone.feed(stream, &encode(&Message::RequestUpdate(update)), false);
    }
    assert_eq!(alone.closed(), Some(SessionCode::InternalError));
}

#[test]
fn goaway_refuses_what_is_new_and_closes_what_stays() {
    let (mut pair, id) = subscribed();
    pair.client
        .session
        .publish_namespace(namespace(&["late"]), Parameters::default())
        .unwrap();

    let server = &mut pair.server.session;
    server
        .goaway("https://b.example/moq", Duration::from_secs(5), pair.now)
        .unwrap();
    assert_eq!(
        server.goaway("", Duration::ZERO, pair.now),
        Err(CallError::WrongState)
    );
    pair.pump();

    let goaway = Event::GoAway {
        uri: "https://b.example/moq".to_owned(),
        timeout: Duration::from_secs(5),
        unprocessed: RequestId(id.0 + 2),
    };
    let events = pair.client.take();
    assert!(events.contains(&goaway), "{events:?}");
    assert!(events.iter().any(|event| {
        matches!(event, Event::Rejected { error, .. } if error.code == RequestCode::GoingAway)
    }));
    assert!(
        pair.server.take().is_empty(),
        "the application does not see the late one"
    );
    let new = pair
        .client
        .session
        .subscribe(track(&["x"], "y"), SubscribeOptions::default());
    assert_eq!(new, Err(CallError::GoingAway));

    assert_eq!(
        pair.server.session.poll_timeout(),
        Some(pair.now + Duration::from_secs(5))
    );
    pair.advance(Duration::from_secs(5));
    assert_eq!(
        pair.server.closed.as_ref().map(|(code, _)| *code),
        Some(SessionCode::GoawayTimeout)
    );
}

#[test]
fn goaway_lets_a_session_without_requests_live() {
    let mut pair = Pair::new();
    pair.client
        .session
        .goaway("", Duration::from_secs(1), pair.now)
        .unwrap();
    pair.advance(Duration::from_secs(2));

    assert_eq!(pair.client.closed, None);
    assert_eq!(pair.client.session.poll_timeout(), None);
    assert!(matches!(
        pair.server.one(),
        Event::GoAway {
            unprocessed: RequestId(1),
            ..
        }
    ));
    let uri =
        pair.client
            .session
            .goaway_request(RequestId(0), "https://x/", Duration::ZERO, pair.now);
    assert_eq!(uri, Err(CallError::UriFromClient));
}

#[test]
fn one_request_can_be_asked_to_move() {
    let (mut pair, id) = subscribed();
    let timeout = Duration::from_secs(2);
    pair.server
        .session
        .goaway_request(id, "https://b/", timeout, pair.now)
        .unwrap();
    let again = pair
        .server
        .session
        .goaway_request(id, "", timeout, pair.now);
    assert_eq!(again, Err(CallError::WrongState));
    pair.pump();
    assert_eq!(
        pair.client.one(),
        Event::RequestGoAway {
            id,
            uri: "https://b/".to_owned(),
            timeout
        }
    );

    pair.advance(timeout);

    let code = Some(ResetCode::GoingAway);
    assert_eq!(pair.client.one(), Event::Cancelled { id, code });
    assert_eq!(pair.server.one(), Event::Cancelled { id, code });
    assert_eq!(pair.server.session.poll_timeout(), None);
}

#[test]
fn a_request_that_ends_takes_its_deadline_along() {
    let (mut pair, id) = subscribed();
    pair.server
        .session
        .goaway_request(id, "", Duration::from_secs(2), pair.now)
        .unwrap();

    pair.client
        .session
        .cancel(id, ResetCode::Cancelled)
        .unwrap();
    pair.pump();

    assert_eq!(pair.server.session.poll_timeout(), None);
}

#[test]
fn tokens_of_a_request_come_resolved_in_its_event() {
    let mut pair = Pair::new();
    let mut subscribe = |name: &'static str, authorization: Vec<Token>| {
        let params = Parameters {
            authorization,
            ..Parameters::default()
        };
        pair.client
            .session
            .subscribe(track(&["room"], name), SubscribeOptions { params })
            .unwrap();
        pair.pump();
        let Event::Subscribe { tokens, params, .. } = pair.server.one() else {
            panic!()
        };
        assert!(params.authorization.is_empty());
        tokens
    };

    assert_eq!(
        subscribe(
            "a",
            vec![Token::Register {
                alias: 1,
                token: jwt("one")
            }]
        ),
        [jwt("one")]
    );
    assert_eq!(
        subscribe("b", vec![Token::UseAlias { alias: 1 }]),
        [jwt("one")]
    );
    let both = vec![Token::UseValue(jwt("two")), Token::UseAlias { alias: 1 }];
    assert_eq!(subscribe("c", both), [jwt("two"), jwt("one")]);
    assert_eq!(subscribe("d", vec![Token::Delete { alias: 1 }]), []);
    assert_eq!(
        subscribe(
            "e",
            vec![Token::Register {
                alias: 1,
                token: jwt("new")
            }]
        ),
        [jwt("new")]
    );
}

#[test]
fn unusable_tokens_refuse_the_request_but_registrations_count() {
    let mut alone = Alone::open(Role::Server);
    let tokens = vec![
        Token::UseAlias { alias: 9 },
        Token::Register {
            alias: 1,
            token: jwt("one"),
        },
    ];
    alone.request(&subscribe(RequestId(0), tokens));
    let outputs = alone.outputs();
    assert!(
        matches!(&outputs[..], [Output::Write(_, bytes), Output::Finish(_)] if bytes[3] == 0x4)
    );

    alone.request(&subscribe(RequestId(2), vec![Token::UseAlias { alias: 1 }]));
    assert!(
        matches!(&alone.events()[..], [Event::Subscribe { tokens, .. }] if *tokens == [jwt("one")])
    );

    alone
        .session
        .cancel(RequestId(2), ResetCode::Cancelled)
        .unwrap();
    alone.outputs();
    alone.request(&subscribe(
        RequestId(4),
        vec![Token::UseAlias { alias: 1 }, Token::UseValue(jwt("one"))],
    ));
    let outputs = alone.outputs();
    assert!(
        matches!(&outputs[..], [Output::Write(_, bytes), Output::Finish(_)] if bytes[3] == 0x4),
        "twice the same"
    );
}

#[test]
fn an_update_with_an_unusable_token_ends_the_subscription() {
    let mut alone = Alone::open(Role::Server);
    let stream = alone.request(&subscribe(RequestId(0), vec![]));
    alone
        .session
        .accept_subscribe(RequestId(0), SubscribeAnswer::default())
        .unwrap();
    alone.outputs();
    let params = Parameters {
        authorization: vec![Token::UseAlias { alias: 9 }],
        ..Parameters::default()
    };
    let update = RequestUpdate {
        id: RequestId(2),
        params,
    };

    alone.feed(stream, &encode(&Message::RequestUpdate(update)), false);

    let outputs = alone.outputs();
    assert!(matches!(&outputs[0], Output::Write(_, bytes) if bytes[..1] == [0x5]));
    assert!(
        matches!(&outputs[1], Output::Write(_, bytes) if bytes[..4] == [0xb, 0, 0x18, 0x8]),
        "{outputs:?}"
    );
    assert_eq!(outputs[2], Output::Finish(stream));
    assert_eq!(
        outputs[3],
        Output::Event(Event::Cancelled {
            id: RequestId(0),
            code: CANCELLED
        })
    );
}

#[test]
fn the_token_cache_counts_as_the_draft_says() {
    let mut cache = TokenCache::new(40);
    let register = |alias, value| Token::Register {
        alias,
        token: jwt(value),
    };

    assert_eq!(cache.resolve(register(1, "1234")), Ok(Some(jwt("1234"))));
    assert_eq!(
        cache.resolve(register(2, "1234")),
        Ok(Some(jwt("1234"))),
        "twice 16 + 4 is 40"
    );
    let overflow = cache.resolve(register(3, ""));
    assert!(matches!(
        overflow,
        Err(TokenError::Session(SessionCode::AuthTokenCacheOverflow, _))
    ));
    assert_eq!(cache.resolve(Token::Delete { alias: 1 }), Ok(None));
    assert_eq!(cache.resolve(register(3, "")), Ok(Some(jwt(""))));
    let twice = cache.resolve(register(3, ""));
    assert!(matches!(
        twice,
        Err(TokenError::Session(SessionCode::DuplicateAuthTokenAlias, _))
    ));
    let gone = cache.resolve(Token::UseAlias { alias: 1 });
    assert!(matches!(
        gone,
        Err(TokenError::Request(RequestCode::MalformedAuthToken, _))
    ));
}

#[test]
fn in_setup_a_registration_that_does_not_fit_is_a_use() {
    let mut cache = TokenCache::new(0);

    assert_eq!(
        cache.resolve_setup(Token::Register {
            alias: 1,
            token: jwt("one")
        }),
        Ok(jwt("one"))
    );
    assert!(
        cache.resolve(Token::UseAlias { alias: 1 }).is_err(),
        "but it is not kept"
    );

    for token in [&b"\x03\x02\x00\x01"[..], b"\x03\x02\x02\x01"] {
        let mut alone = Alone::silent(Role::Server, |_| {});
        alone.control(&[b"\xaf\x00\x00\x04", token].concat());
        assert_eq!(
            alone.closed(),
            Some(SessionCode::ProtocolViolation),
            "aliases in SETUP"
        );
    }
}

fn audio() -> moqrelay_moqt::FullTrackName {
    track(&["room"], "audio")
}

fn jwt(value: &'static str) -> AuthToken {
    AuthToken {
        token_type: 0,
        value: Bytes::from_static(value.as_bytes()),
    }
}

fn error() -> RequestError {
    RequestError::new(RequestCode::InvalidRange, "no")
}

fn forward_params(forward: bool) -> Parameters {
    Parameters {
        forward: Some(forward),
        ..Parameters::default()
    }
}

fn subscribe(id: RequestId, authorization: Vec<Token>) -> Bytes {
    let params = Parameters {
        authorization,
        ..Parameters::default()
    };
    encode(&Message::Subscribe(Subscribe {
        id,
        track: audio(),
        params,
    }))
}

/// The client is subscribed at the server.
fn subscribed() -> (Pair, RequestId) {
    let mut pair = Pair::new();
    let id = pair
        .client
        .session
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();
    pair.pump();
    pair.server.take();
    pair.server
        .session
        .accept_subscribe(id, SubscribeAnswer::default())
        .unwrap();
    pair.pump();
    pair.client.take();
    (pair, id)
}

#[test]
fn an_accepted_update_of_a_namespace_needs_no_prefix() {
    let mut pair = Pair::new();
    let id = pair
        .client
        .session
        .publish_namespace(namespace(&["a"]), Parameters::default())
        .unwrap();
    pair.pump();
    pair.server
        .session
        .accept(id, RequestOk::default())
        .unwrap();
    pair.client
        .session
        .update(id, Parameters::default())
        .unwrap();
    pair.pump();
    pair.server.session.reject_update(id, error()).unwrap();
    pair.pump();

    let events = pair.client.take();
    assert!(
        matches!(
            events[..],
            [Event::Accepted { .. }, Event::UpdateRejected { .. }]
        ),
        "{events:?}"
    );
    assert_eq!(
        pair.server.session.open_requests(),
        0,
        "the responder closes the stream"
    );
}
