//! Sessions of every draft: the same calls and events, whatever the control streams look like.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{D14, D16, DRAFTS, namespace, pair::Pair, track};
use moqrelay_moqt::{
    About, CallError, Config, Direction, Draft, EncodeError, Envelope, Event, Fetch, FetchRange,
    Filter, Location, Message, Output, Parameters, PublishDoneCode, PublishOptions, RequestCode,
    RequestError, RequestId, RequestKind, RequestOk, RequestUpdate, ResetCode, Role, Session,
    SessionCode, Setup, StreamId, Subscribe, SubscribeAnswer, SubscribeOptions, SubscribePrefix,
    TrackAlias, TrackProperties, Transport,
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
fn a_subscription_is_answered_updated_and_ended() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let audio = track(&["room"], "audio");
        let params = Parameters {
            filter: Some(Filter::LargestObject),
            subscriber_priority: Some(7),
            forward: Some(true),
            ..Parameters::default()
        };

        let ours = pair
            .client
            .session
            .subscribe(audio.clone(), SubscribeOptions { params })
            .unwrap();
        pair.pump();
        let Event::Subscribe {
            id, track, params, ..
        } = pair.server.one()
        else {
            panic!("{draft:?}");
        };
        assert_eq!(
            (&track, params.filter),
            (&audio, Some(Filter::LargestObject))
        );
        assert_eq!(params.subscriber_priority, Some(7));
        let properties = TrackProperties {
            cache_duration_max: Some(Duration::from_secs(3)),
            ..TrackProperties::default()
        };
        let answer = SubscribeAnswer {
            alias: Some(TrackAlias(9)),
            params: Parameters {
                largest_object: Some(Location::new(4, 2)),
                ..Parameters::default()
            },
            properties: properties.write(draft),
        };
        pair.server.session.accept_subscribe(id, answer).unwrap();
        pair.pump();
        let Event::SubscribeOk {
            id: answered,
            alias,
            params,
            properties: raw,
        } = pair.client.one()
        else {
            panic!("{draft:?}");
        };
        assert_eq!((answered, alias), (ours, TrackAlias(9)));
        assert_eq!(params.largest_object, Some(Location::new(4, 2)));
        assert_eq!(TrackProperties::read(draft, &raw), Ok(properties));

        let pause = Parameters {
            forward: Some(false),
            ..Parameters::default()
        };
        pair.client.session.update(ours, pause).unwrap();
        pair.pump();
        let Event::Update {
            id: updated,
            params,
            ..
        } = pair.server.one()
        else {
            panic!("{draft:?}");
        };
        assert_eq!((updated, params.forward), (id, Some(false)));
        if draft == D14 {
            // It says everything anew.
            let start = Filter::AbsoluteStart(Location::new(4, 3));
            assert_eq!(params.filter, Some(start));
            assert_eq!(params.subscriber_priority, Some(7));
        }
        pair.server
            .session
            .accept_update(id, Parameters::default())
            .unwrap();
        pair.pump();
        assert!(matches!(pair.client.one(), Event::Updated { id, .. } if id == ours));

        pair.server
            .session
            .publish_done(id, PublishDoneCode::TrackEnded, Some(3), "over")
            .unwrap();
        pair.pump();
        let done = Event::PublishDone {
            id: ours,
            status: PublishDoneCode::TrackEnded,
            streams: Some(3),
            reason: "over".to_owned(),
        };
        assert_eq!(pair.client.take(), [done]);
        assert_eq!(pair.client.session.open_requests(), 0);
        assert_eq!(pair.server.session.open_requests(), 0);
        assert!(pair.server.take().is_empty());
    }
}

#[test]
fn a_subscription_ends_when_the_subscriber_wants() {
    for draft in DRAFTS {
        for answered in [false, true] {
            let mut pair = Pair::of(draft);
            let ours = subscribe(&mut pair);
            let id = subscribed(&mut pair);
            if answered {
                accept(&mut pair, id);
            }

            pair.client
                .session
                .cancel(ours, ResetCode::Cancelled)
                .unwrap();
            pair.pump();

            let cancelled = Event::Cancelled {
                id,
                code: Some(ResetCode::Cancelled),
            };
            assert_eq!(pair.server.take(), [cancelled], "{draft:?}");
            assert_eq!(pair.server.session.open_requests(), 0);
            assert!(pair.client.take().is_empty());
        }
    }
}

#[test]
fn answers_that_cross_the_end_of_a_subscription_are_ignored() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let ours = subscribe(&mut pair);
        let id = subscribed(&mut pair);

        pair.server
            .session
            .accept_subscribe(id, SubscribeAnswer::default())
            .unwrap();
        pair.server
            .session
            .publish_done(id, PublishDoneCode::TrackEnded, None, "")
            .unwrap();
        pair.client
            .session
            .cancel(ours, ResetCode::Cancelled)
            .unwrap();
        pair.pump();

        assert!(pair.client.closed.is_none() && pair.server.closed.is_none());
        assert!(pair.client.take().is_empty());
    }
}

#[test]
fn a_request_is_refused_with_a_reason() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let ours = subscribe(&mut pair);
        let id = subscribed(&mut pair);

        let error = RequestError::new(RequestCode::DoesNotExist, "no such track");
        pair.server.session.reject(id, error.clone()).unwrap();
        pair.pump();

        assert_eq!(pair.client.take(), [Event::Rejected { id: ours, error }]);
        assert_eq!(pair.client.session.open_requests(), 0);
    }
}

#[test]
fn a_track_is_published_and_both_may_end_it() {
    for draft in DRAFTS {
        for by_publisher in [false, true] {
            let mut pair = Pair::of(draft);
            let options = PublishOptions {
                params: Parameters {
                    largest_object: Some(Location::new(1, 1)),
                    ..Parameters::default()
                },
                ..PublishOptions::default()
            };
            let (ours, alias) = pair
                .client
                .session
                .publish(track(&["room"], "audio"), options)
                .unwrap();
            pair.pump();
            let Event::Publish {
                id,
                alias: heard,
                params,
                ..
            } = pair.server.one()
            else {
                panic!("{draft:?}");
            };
            assert_eq!(heard, alias);
            assert_eq!(params.largest_object, Some(Location::new(1, 1)));
            let ok = RequestOk {
                params: Parameters {
                    subscriber_priority: Some(3),
                    forward: Some(true),
                    ..Parameters::default()
                },
                ..RequestOk::default()
            };
            pair.server.session.accept(id, ok).unwrap();
            pair.pump();
            let Event::Accepted {
                id: accepted,
                params,
                ..
            } = pair.client.one()
            else {
                panic!("{draft:?}");
            };
            assert_eq!((accepted, params.subscriber_priority), (ours, Some(3)));

            let pause = Parameters {
                forward: Some(false),
                ..Parameters::default()
            };
            pair.server.session.update(id, pause).unwrap();
            pair.pump();
            assert!(matches!(
                pair.client.one(),
                Event::Update { id, params, .. } if id == ours && params.forward == Some(false)
            ));
            pair.client
                .session
                .accept_update(ours, Parameters::default())
                .unwrap();
            pair.pump();
            assert!(matches!(pair.server.one(), Event::Updated { .. }));

            if by_publisher {
                pair.client
                    .session
                    .publish_done(ours, PublishDoneCode::Expired, None, "")
                    .unwrap();
                pair.pump();
                assert!(matches!(
                    pair.server.one(),
                    Event::PublishDone {
                        status: PublishDoneCode::Expired,
                        ..
                    }
                ));
            } else {
                pair.server
                    .session
                    .cancel(id, ResetCode::Cancelled)
                    .unwrap();
                pair.pump();
                assert!(matches!(pair.client.one(), Event::Cancelled { .. }));
            }
            assert_eq!(pair.client.session.open_requests(), 0);
            assert_eq!(pair.server.session.open_requests(), 0);
        }
    }
}

#[test]
fn a_track_may_be_unwanted() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let (ours, _) = pair
            .client
            .session
            .publish(track(&["room"], "audio"), PublishOptions::default())
            .unwrap();
        pair.pump();
        let Event::Publish { id, .. } = pair.server.one() else {
            panic!("{draft:?}");
        };

        let error = RequestError::new(RequestCode::Uninterested, "no");
        pair.server.session.reject(id, error.clone()).unwrap();
        pair.pump();

        assert_eq!(pair.client.take(), [Event::Rejected { id: ours, error }]);
    }
}

#[test]
fn a_tracks_status_is_told_once() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let ours = pair
            .client
            .session
            .track_status(track(&["room"], "audio"), Parameters::default())
            .unwrap();
        pair.pump();
        let Event::TrackStatus { id, .. } = pair.server.one() else {
            panic!("{draft:?}");
        };

        let ok = RequestOk {
            params: Parameters {
                largest_object: Some(Location::new(8, 9)),
                ..Parameters::default()
            },
            ..RequestOk::default()
        };
        pair.server.session.accept(id, ok).unwrap();
        pair.pump();

        let Event::Accepted { id, params, .. } = pair.client.one() else {
            panic!("{draft:?}");
        };
        assert_eq!(
            (id, params.largest_object),
            (ours, Some(Location::new(8, 9)))
        );
        assert_eq!(pair.client.session.open_requests(), 0);
        assert_eq!(pair.server.session.open_requests(), 0);
    }
}

#[test]
fn a_namespace_is_offered_and_taken_back_by_either_side() {
    for draft in DRAFTS {
        for by_publisher in [false, true] {
            let mut pair = Pair::of(draft);
            let ours = pair
                .client
                .session
                .publish_namespace(namespace(&["room"]), Parameters::default())
                .unwrap();
            pair.pump();
            let Event::PublishNamespace {
                id,
                namespace: heard,
                ..
            } = pair.server.one()
            else {
                panic!("{draft:?}");
            };
            assert_eq!(heard, namespace(&["room"]));
            pair.server
                .session
                .accept(id, RequestOk::default())
                .unwrap();
            pair.pump();
            assert!(matches!(pair.client.one(), Event::Accepted { .. }));

            if by_publisher {
                pair.client
                    .session
                    .cancel(ours, ResetCode::Cancelled)
                    .unwrap();
                pair.pump();
                assert!(matches!(pair.server.one(), Event::Cancelled { .. }));
            } else {
                pair.server
                    .session
                    .cancel(id, ResetCode::Cancelled)
                    .unwrap();
                pair.pump();
                assert!(matches!(pair.client.one(), Event::Cancelled { .. }));
            }
            assert_eq!(pair.client.session.open_requests(), 0);
            assert_eq!(pair.server.session.open_requests(), 0);
        }
    }
}

#[test]
fn namespaces_are_told_as_they_come_and_go() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let prefix = namespace(&["room"]);
        let ours = pair
            .client
            .session
            .subscribe_namespace(prefix.clone(), Parameters::default())
            .unwrap();
        pair.pump();
        let mut asked = pair.server.take().into_iter();
        let Some(Event::SubscribeNamespace {
            id, prefix: heard, ..
        }) = asked.next()
        else {
            panic!("{draft:?}");
        };
        assert_eq!(heard, prefix);
        pair.server
            .session
            .accept(id, RequestOk::default())
            .unwrap();
        // Draft 14 always asks for tracks, too.
        if let Some(Event::SubscribeTracks { id, .. }) = asked.next() {
            assert_eq!(draft, D14);
            pair.server
                .session
                .accept(id, RequestOk::default())
                .unwrap();
        }
        pair.pump();
        assert!(matches!(pair.client.one(), Event::Accepted { id, .. } if id == ours));

        let suffix = namespace(&["p1"]);
        for _ in 0..2 {
            pair.server.session.namespace(id, suffix.clone()).unwrap();
        }
        pair.pump();
        let told = Event::Namespace {
            id: ours,
            suffix: suffix.clone(),
        };
        assert_eq!(pair.client.take(), std::slice::from_ref(&told));
        pair.server
            .session
            .namespace_done(id, suffix.clone())
            .unwrap();
        pair.pump();
        let gone = Event::NamespaceDone {
            id: ours,
            suffix: suffix.clone(),
        };
        assert_eq!(pair.client.take(), [gone]);
        pair.server.session.namespace(id, suffix).unwrap();
        pair.pump();
        assert_eq!(pair.client.take(), [told]);

        pair.client
            .session
            .cancel(ours, ResetCode::Cancelled)
            .unwrap();
        pair.pump();
        let ended = pair.server.take();
        assert!(
            ended
                .iter()
                .all(|event| matches!(event, Event::Cancelled { .. })),
            "{draft:?}: {ended:?}"
        );
        assert_eq!(ended.len(), if draft == D14 { 2 } else { 1 });
        assert_eq!(pair.server.session.open_requests(), 0, "{draft:?}");
        assert_eq!(pair.client.session.open_requests(), 0, "{draft:?}");
        assert!(pair.server.closed.is_none() && pair.client.closed.is_none());
    }
}

#[test]
fn tracks_below_a_prefix_are_published_to_who_asked() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        pair.client
            .session
            .subscribe_tracks(namespace(&["room"]), Parameters::default())
            .unwrap();
        pair.pump();
        for event in pair.server.take() {
            match event {
                Event::SubscribeTracks { id, .. } | Event::SubscribeNamespace { id, .. } => {
                    pair.server
                        .session
                        .accept(id, RequestOk::default())
                        .unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        pair.pump();
        assert!(matches!(pair.client.one(), Event::Accepted { .. }));

        pair.server
            .session
            .publish(track(&["room", "p1"], "audio"), PublishOptions::default())
            .unwrap();
        pair.pump();

        assert!(matches!(pair.client.one(), Event::Publish { .. }));
    }
}

#[test]
fn the_halves_of_subscribe_namespace_are_answered_as_one() {
    // Which half is refused, and what the client hears.
    let both = |draft, refuse: [bool; 2]| {
        let mut client = Wire::client(draft);
        let request = SubscribePrefix {
            id: RequestId(0),
            prefix: namespace(&["room"]),
            params: Parameters::default(),
        };
        let mut server = client.server();
        client.request(&mut server, plain(Message::SubscribeBoth(request)));
        let asked: Vec<RequestId> = server
            .events()
            .into_iter()
            .map(|event| match event {
                Event::SubscribeNamespace { id, .. } | Event::SubscribeTracks { id, .. } => id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(asked.len(), 2);
        for (id, refuse) in asked.iter().zip(refuse) {
            if refuse {
                let error = RequestError::new(RequestCode::Unauthorized, "no");
                server.session.reject(*id, error).unwrap();
            } else {
                server.session.accept(*id, RequestOk::default()).unwrap();
            }
        }
        let answers = server.messages(draft);
        (answers, server)
    };
    for draft in OLD {
        for refuse in [[false, false], [true, false], [false, true]] {
            let (answers, server) = both(draft, refuse);
            assert!(
                matches!(
                    answers[..],
                    [Envelope {
                        about: Some(About::Request {
                            id: RequestId(0),
                            ..
                        }),
                        message: Message::RequestOk(_)
                    }]
                ),
                "{draft:?} {refuse:?} {answers:?}"
            );
            let left = refuse.iter().filter(|refused| !**refused).count();
            assert_eq!(server.session.open_requests(), left);
        }
        let (answers, server) = both(draft, [true, true]);
        assert!(
            matches!(
                answers[..],
                [Envelope {
                    message: Message::RequestError(_),
                    ..
                }]
            ),
            "{answers:?}"
        );
        assert_eq!(server.session.open_requests(), 0);
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
fn a_fetch_joins_only_what_begins_after_the_largest_object() {
    for draft in OLD {
        let mut client = Wire::client(draft);
        let mut server = client.server();
        let subscribe = Subscribe {
            id: RequestId(0),
            track: track(&["room"], "audio"),
            params: Parameters {
                filter: Some(Filter::NextGroupStart),
                ..Parameters::default()
            },
        };
        client.say(&mut server, plain(Message::Subscribe(subscribe)));
        let fetch = Fetch {
            id: RequestId(2),
            range: FetchRange::RelativeJoining {
                subscription: RequestId(0),
                groups: 0,
            },
            params: Parameters::default(),
        };
        client.say(&mut server, plain(Message::Fetch(fetch)));

        let closed = server.closed();

        assert_eq!(closed, Some(SessionCode::ProtocolViolation), "{draft:?}");
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
fn subscribe_namespace_may_come_before_setup_in_draft_16() {
    let mut server = End::new(D16, Role::Server);
    let early = server.session.accept_bi();
    let request = SubscribePrefix {
        id: RequestId(0),
        prefix: namespace(&["a"]),
        params: Parameters::default(),
    };
    let request = encode(D16, &plain(Message::SubscribeNamespace(request)));
    server.feed(early, &request);
    assert!(server.events().is_empty());

    let control = server.session.accept_bi();
    let setup = Setup {
        sender: Some(Role::Client),
        ..Setup::default()
    };
    server.feed(control, &encode(D16, &plain(Message::Setup(setup))));

    assert!(matches!(
        server.events()[..],
        [Event::Setup(_), Event::SubscribeNamespace { .. }]
    ));
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

fn subscribe(pair: &mut Pair) -> RequestId {
    let audio = track(&["room"], "audio");
    let id = pair
        .client
        .session
        .subscribe(audio, SubscribeOptions::default());
    pair.pump();
    id.unwrap()
}

fn subscribed(pair: &mut Pair) -> RequestId {
    let Event::Subscribe { id, .. } = pair.server.one() else {
        panic!();
    };
    id
}

fn accept(pair: &mut Pair, id: RequestId) {
    pair.server
        .session
        .accept_subscribe(id, SubscribeAnswer::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.client.one(), Event::SubscribeOk { .. }));
}

fn subscribes(events: Vec<Event>) -> Vec<(RequestId, moqrelay_moqt::FullTrackName)> {
    events
        .into_iter()
        .map(|event| match event {
            Event::Subscribe { id, track, .. } => (id, track),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A client that is nothing but what it writes.
struct Wire {
    draft: Draft,
    control: StreamId,
}

/// A session that is fed by hand.
struct End {
    session: Session,
}

impl Wire {
    fn client(draft: Draft) -> Self {
        Self {
            draft,
            control: StreamId(0),
        }
    }

    /// A server that has got this client's SETUP, which grants nothing.
    fn server(&mut self) -> End {
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

    fn say(&self, server: &mut End, envelope: Envelope) {
        server.feed(self.control, &encode(self.draft, &envelope));
    }

    /// Makes a request about namespaces, on a stream of its own where there is one.
    fn request(&self, server: &mut End, envelope: Envelope) {
        if self.draft == D14 {
            return self.say(server, envelope);
        }
        let stream = server.session.accept_bi();
        server.feed(stream, &encode(self.draft, &envelope));
    }
}

impl End {
    fn new(draft: Draft, role: Role) -> Self {
        Self {
            session: Session::new(config(draft, role), Duration::ZERO),
        }
    }

    fn feed(&mut self, stream: StreamId, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.session
            .handle_stream(stream, bytes, false, Duration::ZERO);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        let outputs = self.outputs().into_iter();
        outputs
            .filter_map(|output| match output {
                Output::Event(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    fn messages(&mut self, draft: Draft) -> Vec<Envelope> {
        messages(draft, &self.outputs())
    }

    fn closed(&mut self) -> Option<SessionCode> {
        self.outputs().into_iter().find_map(|output| match output {
            Output::Close(code, _) => Some(code),
            _ => None,
        })
    }
}

fn messages(draft: Draft, outputs: &[Output]) -> Vec<Envelope> {
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

fn config(draft: Draft, role: Role) -> Config {
    Config::new(draft, role, Transport::WebTransport)
}

fn plain(message: Message) -> Envelope {
    Envelope {
        about: None,
        message,
    }
}

fn about(id: u64, kind: Option<RequestKind>, message: Message) -> Envelope {
    Envelope {
        about: Some(About::Request {
            id: RequestId(id),
            kind,
        }),
        message,
    }
}

fn encode(draft: Draft, envelope: &Envelope) -> Bytes {
    let mut out = BytesMut::new();
    envelope.encode(draft, &mut out).unwrap();
    out.freeze()
}
