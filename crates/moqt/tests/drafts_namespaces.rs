//! Namespaces and prefixes in every draft.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{
    D14, D16, DRAFTS,
    drafts::{End, Wire, encode, plain},
    namespace,
    pair::Pair,
    track,
};
use moqrelay_moqt::{
    About, Draft, Envelope, Event, Message, Parameters, PublishOptions, RequestCode, RequestError,
    RequestId, RequestOk, ResetCode, Role, Setup, SubscribePrefix,
};

const OLD: [Draft; 2] = [D16, D14];

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
