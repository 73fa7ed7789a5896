//! PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE, SUBSCRIBE_TRACKS, TRACK_STATUS.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::Bytes;
use common::{
    D18, frame, namespace,
    pair::{Alone, CANCELLED, Pair},
    track,
};
use moqrelay_moqt::{
    CallError, Event, Location, Parameters, RequestCode, RequestError, RequestId, RequestOk,
    ResetCode, Role, SessionCode, TrackProperties,
};

#[test]
fn a_namespace_is_published_until_it_is_withdrawn() {
    let mut pair = Pair::new();
    let id = pair
        .client
        .session
        .publish_namespace(namespace(&["room"]), Parameters::default())
        .unwrap();
    pair.pump();
    assert_eq!(
        pair.server.one(),
        Event::PublishNamespace {
            id,
            namespace: namespace(&["room"]),
            tokens: vec![]
        }
    );
    accept(&mut pair, id);

    pair.client
        .session
        .cancel(id, ResetCode::Cancelled)
        .unwrap();
    pair.pump();

    assert_eq!(
        pair.server.one(),
        Event::Cancelled {
            id,
            code: CANCELLED
        }
    );
    assert_eq!(pair.server.session.open_requests(), 0);
}

#[test]
fn the_subscriber_may_revoke_a_published_namespace() {
    let mut pair = Pair::new();
    let id = pair
        .client
        .session
        .publish_namespace(namespace(&["room"]), Parameters::default())
        .unwrap();
    pair.pump();
    pair.server.take();
    accept(&mut pair, id);

    pair.server
        .session
        .cancel(id, ResetCode::ExpiredAuthToken)
        .unwrap();
    pair.pump();

    let events = pair.client.take();
    assert_eq!(
        events,
        [Event::Cancelled {
            id,
            code: Some(ResetCode::ExpiredAuthToken)
        }]
    );
}

#[test]
fn fin_of_its_publisher_keeps_a_namespace() {
    let mut alone = Alone::open(Role::Server);
    let stream = alone.request(&frame(0x06, b"\x00\x01\x04room\x00"));
    alone
        .session
        .accept(RequestId(0), RequestOk::default())
        .unwrap();
    alone.feed(stream, &[], true);
    assert!(matches!(
        alone.events()[..],
        [Event::PublishNamespace { .. }]
    ));

    alone.session.handle_reset(stream, 1, alone.now);

    assert_eq!(
        alone.events(),
        [Event::Cancelled {
            id: RequestId(0),
            code: CANCELLED
        }]
    );
}

#[test]
fn a_server_may_ask_a_client_for_namespaces_and_offer_some() {
    let mut pair = Pair::new();
    let server = &mut pair.server.session;
    let subscribe = server
        .subscribe_namespace(namespace(&[]), Parameters::default())
        .unwrap();
    let publish = server
        .publish_namespace(namespace(&["room"]), Parameters::default())
        .unwrap();
    assert_eq!((subscribe, publish), (RequestId(1), RequestId(3)));
    pair.pump();

    let events = pair.client.take();
    assert_eq!(
        events[0],
        Event::SubscribeNamespace {
            id: subscribe,
            prefix: namespace(&[]),
            tokens: vec![]
        }
    );
    assert!(matches!(&events[1], Event::PublishNamespace { id, .. } if *id == publish));
    pair.client
        .session
        .accept(subscribe, RequestOk::default())
        .unwrap();
    pair.client
        .session
        .reject(publish, RequestError::new(RequestCode::Uninterested, ""))
        .unwrap();
    pair.pump();
    assert!(matches!(
        pair.server.take()[..],
        [Event::Accepted { .. }, Event::Rejected { .. }]
    ));
}

#[test]
fn namespaces_come_and_go_below_a_prefix() {
    let mut pair = Pair::new();
    let id = subscribe_namespace(&mut pair, &["room"]);
    accept(&mut pair, id);
    let (a, b) = (namespace(&["a"]), namespace(&["b", "c"]));

    for _ in 0..2 {
        pair.server.session.namespace(id, a.clone()).unwrap();
        pair.server.session.namespace(id, b.clone()).unwrap();
    }
    pair.server.session.namespace_done(id, a.clone()).unwrap();
    pair.server.session.namespace_done(id, a.clone()).unwrap();
    pair.pump();
    let expected = [
        Event::Namespace {
            id,
            suffix: a.clone(),
        },
        Event::Namespace {
            id,
            suffix: b.clone(),
        },
        Event::NamespaceDone {
            id,
            suffix: a.clone(),
        },
    ];
    assert_eq!(pair.client.take(), expected, "nothing is told twice");

    pair.server
        .session
        .cancel(id, ResetCode::Cancelled)
        .unwrap();
    pair.pump();
    let expected = [
        Event::NamespaceDone { id, suffix: b },
        Event::Cancelled {
            id,
            code: CANCELLED,
        },
    ];
    assert_eq!(
        pair.client.take(),
        expected,
        "what is left goes with the request"
    );
    assert_eq!(
        pair.server.session.namespace(id, a),
        Err(CallError::UnknownRequest)
    );
}

#[test]
fn namespace_done_without_namespace_ends_the_session() {
    let mut alone = Alone::open(Role::Client);
    alone
        .session
        .subscribe_namespace(namespace(&["room"]), Parameters::default())
        .unwrap();
    let stream = opened(&mut alone);
    alone.feed(
        stream,
        b"\x07\x00\x01\x00\x08\x00\x03\x01\x01a\x0e\x00\x03\x01\x01a",
        false,
    );
    assert_eq!(alone.events().len(), 3);

    alone.feed(stream, b"\x0e\x00\x03\x01\x01a", false);

    assert_eq!(alone.closed(), Some(SessionCode::ProtocolViolation));
}

#[test]
fn a_namespace_before_the_answer_ends_the_session() {
    let mut alone = Alone::open(Role::Client);
    alone
        .session
        .subscribe_namespace(namespace(&["room"]), Parameters::default())
        .unwrap();
    let stream = opened(&mut alone);

    alone.feed(stream, b"\x08\x00\x03\x01\x01a", false);

    assert_eq!(alone.closed(), Some(SessionCode::ProtocolViolation));
}

#[test]
fn too_many_namespaces_cancel_the_request_only() {
    let mut pair = Pair::with(|config| config.limits.namespaces_max = 2);
    let id = subscribe_namespace(&mut pair, &["room"]);
    accept(&mut pair, id);

    for name in ["a", "b", "c"] {
        pair.server
            .session
            .namespace(id, namespace(&[name]))
            .unwrap();
    }
    pair.pump();

    let events = pair.client.take();
    assert_eq!(
        events.last(),
        Some(&Event::Cancelled {
            id,
            code: Some(ResetCode::ExcessiveLoad)
        })
    );
    assert!(pair.client.session.is_established());
    let code = Some(ResetCode::ExcessiveLoad);
    assert_eq!(pair.server.one(), Event::Cancelled { id, code });
}

#[test]
fn prefixes_of_one_kind_must_not_overlap() {
    let mut alone = Alone::open(Role::Server);
    alone.request(&frame(0x50, b"\x00\x01\x04room\x00"));
    alone.request(&frame(0x51, b"\x02\x01\x04room\x00"));
    assert_eq!(alone.events().len(), 2, "the two kinds are independent");

    alone.request(&frame(0x50, b"\x04\x02\x04room\x01a\x00"));
    alone.request(&frame(0x51, b"\x06\x00\x00"));
    alone.request(&frame(0x50, b"\x08\x01\x05rooms\x00"));

    let outputs = alone.outputs();
    let written = outputs.iter().filter_map(|output| match output {
        moqrelay_moqt::Output::Write(_, bytes) => Some(bytes[3]),
        _ => None,
    });
    assert_eq!(written.collect::<Vec<_>>(), [0x30, 0x30]);
    let rooms = Event::SubscribeNamespace {
        id: RequestId(8),
        prefix: namespace(&["rooms"]),
        tokens: vec![],
    };
    assert_eq!(outputs.last(), Some(&moqrelay_moqt::Output::Event(rooms)));
    let mut pair = Pair::new();
    subscribe_namespace(&mut pair, &["room", "a"]);
    let overlapping = pair
        .client
        .session
        .subscribe_namespace(namespace(&["room"]), Parameters::default());
    assert_eq!(overlapping, Err(CallError::Duplicate));
    assert!(
        pair.client
            .session
            .subscribe_tracks(namespace(&["room"]), Parameters::default())
            .is_ok()
    );
}

#[test]
fn a_prefix_can_be_changed() {
    let mut pair = Pair::new();
    let id = subscribe_namespace(&mut pair, &["room"]);
    accept(&mut pair, id);
    pair.server
        .session
        .namespace(id, namespace(&["a", "x"]))
        .unwrap();
    pair.server
        .session
        .namespace(id, namespace(&["b"]))
        .unwrap();
    pair.pump();
    pair.client.take();

    let params = Parameters {
        prefix: Some(namespace(&["room", "a"])),
        ..Parameters::default()
    };
    pair.client.session.update(id, params.clone()).unwrap();
    pair.pump();
    assert_eq!(
        pair.server.one(),
        Event::Update {
            id,
            params,
            tokens: vec![]
        }
    );
    pair.server
        .session
        .accept_update(id, Parameters::default())
        .unwrap();
    pair.server
        .session
        .namespace_done(id, namespace(&["x"]))
        .unwrap();
    pair.server
        .session
        .namespace(id, namespace(&["y"]))
        .unwrap();
    pair.pump();

    let expected = [
        Event::Updated {
            id,
            params: Parameters::default(),
        },
        Event::NamespaceDone {
            id,
            suffix: namespace(&["x"]),
        },
        Event::Namespace {
            id,
            suffix: namespace(&["y"]),
        },
    ];
    assert_eq!(pair.client.take(), expected);
}

#[test]
fn what_a_narrower_prefix_left_out_is_told_again_under_a_wider_one() {
    let mut pair = Pair::new();
    let id = subscribe_namespace(&mut pair, &["room"]);
    accept(&mut pair, id);
    let outside = namespace(&["b"]);
    pair.server.session.namespace(id, outside.clone()).unwrap();
    for prefix in [&["room", "a"][..], &["room"]] {
        let params = Parameters {
            prefix: Some(namespace(prefix)),
            ..Parameters::default()
        };
        pair.client.session.update(id, params).unwrap();
        pair.pump();
        pair.server
            .session
            .accept_update(id, Parameters::default())
            .unwrap();
        pair.pump();
    }
    pair.client.take();

    pair.server.session.namespace(id, outside.clone()).unwrap();
    pair.pump();

    assert_eq!(
        pair.client.one(),
        Event::Namespace {
            id,
            suffix: outside
        }
    );
}

#[test]
fn a_change_to_an_overlapping_prefix_is_refused_and_ends_the_request() {
    let mut alone = Alone::open(Role::Server);
    alone.request(&frame(0x50, b"\x00\x01\x01a\x00"));
    let stream = alone.request(&frame(0x50, b"\x02\x01\x01b\x00"));
    alone
        .session
        .accept(RequestId(2), RequestOk::default())
        .unwrap();
    alone.outputs();

    alone.feed(stream, b"\x02\x00\x07\x04\x01\x34\x02\x01a\x01x", false);
    assert_eq!(
        alone.closed(),
        Some(SessionCode::ProtocolViolation),
        "that one was too short"
    );

    let mut alone = Alone::open(Role::Server);
    alone.request(&frame(0x50, b"\x00\x01\x01a\x00"));
    let stream = alone.request(&frame(0x50, b"\x02\x01\x01b\x00"));
    alone
        .session
        .accept(RequestId(2), RequestOk::default())
        .unwrap();
    alone.outputs();
    alone.feed(stream, b"\x02\x00\x08\x04\x01\x34\x02\x01a\x01x", false);

    let outputs = alone.outputs();
    assert!(matches!(&outputs[0], moqrelay_moqt::Output::Write(_, bytes) if bytes[3] == 0x30));
    assert_eq!(outputs[1], moqrelay_moqt::Output::Finish(stream));
    assert!(matches!(
        outputs[2],
        moqrelay_moqt::Output::Event(Event::Cancelled {
            id: RequestId(2),
            ..
        })
    ));
}

#[test]
fn subscribe_tracks_brings_forward_and_hears_of_blocked_tracks() {
    let mut pair = Pair::new();
    let params = Parameters {
        forward: Some(false),
        ..Parameters::default()
    };
    let id = pair
        .client
        .session
        .subscribe_tracks(namespace(&["room"]), params.clone())
        .unwrap();
    pair.pump();
    assert_eq!(
        pair.server.one(),
        Event::SubscribeTracks {
            id,
            prefix: namespace(&["room"]),
            params,
            tokens: vec![]
        }
    );
    let early =
        pair.server
            .session
            .publish_blocked(id, namespace(&["a"]), Bytes::from_static(b"audio"));
    assert_eq!(early, Err(CallError::WrongState));
    accept(&mut pair, id);

    pair.server
        .session
        .publish_blocked(id, namespace(&["a"]), Bytes::from_static(b"audio"))
        .unwrap();
    pair.pump();

    let name = Bytes::from_static(b"audio");
    assert_eq!(
        pair.client.one(),
        Event::PublishBlocked {
            id,
            suffix: namespace(&["a"]),
            name
        }
    );
}

#[test]
fn fin_ends_a_subscription_to_namespaces() {
    for request in [
        &b"\x50\x00\x03\x00\x00\x00"[..],
        b"\x51\x00\x03\x00\x00\x00",
    ] {
        let mut alone = Alone::open(Role::Server);
        let stream = alone.request(request);
        alone
            .session
            .accept(RequestId(0), RequestOk::default())
            .unwrap();
        alone.outputs();

        alone.feed(stream, &[], true);

        let outputs = alone.outputs();
        assert_eq!(
            outputs[0],
            moqrelay_moqt::Output::Reset(stream, ResetCode::Cancelled)
        );
        let ended = Event::Cancelled {
            id: RequestId(0),
            code: None,
        };
        assert_eq!(outputs[1], moqrelay_moqt::Output::Event(ended));
    }
}

#[test]
fn a_tracks_status_is_asked_and_told_once() {
    let mut pair = Pair::new();
    let id = pair
        .client
        .session
        .track_status(track(&["room"], "audio"), Parameters::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.server.one(), Event::TrackStatus { id: seen, .. } if seen == id));
    assert_eq!(
        pair.client.session.update(id, Parameters::default()),
        Err(CallError::WrongState)
    );

    let params = Parameters {
        largest_object: Some(Location::new(4, 5)),
        ..Parameters::default()
    };
    let properties = TrackProperties {
        publisher_priority: Some(3),
        ..TrackProperties::default()
    }
    .write(D18);
    let ok = RequestOk {
        params: params.clone(),
        properties: properties.clone(),
    };
    pair.server.session.accept(id, ok).unwrap();
    pair.pump();

    assert_eq!(
        pair.client.one(),
        Event::Accepted {
            id,
            params,
            properties
        }
    );
    assert_eq!(
        (
            pair.client.session.open_requests(),
            pair.server.session.open_requests()
        ),
        (0, 0)
    );
}

#[test]
fn reserved_namespaces_do_not_reach_the_application() {
    let mut alone = Alone::open(Role::Server);
    alone.request(&frame(0x03, b"\x00\x01\x08.session\x00\x00"));
    alone.request(&frame(0x06, b"\x02\x01\x01.\x00"));
    alone.request(&frame(0x50, b"\x04\x01\x08.session\x00"));

    let outputs = alone.outputs();

    let refusals = outputs.iter().filter(|output| {
        matches!(output, moqrelay_moqt::Output::Write(_, bytes) if bytes[0] == 5 && bytes[3] == 0x10)
    });
    assert_eq!(refusals.count(), 3);
    assert_eq!(alone.session.open_requests(), 0);
    alone.request(&frame(0x06, b"\x06\x01\x04.foo\x00"));
    assert_eq!(
        alone.events().len(),
        1,
        "other reserved names are the application's"
    );
}

fn subscribe_namespace(pair: &mut Pair, prefix: &[&'static str]) -> RequestId {
    let id = pair
        .client
        .session
        .subscribe_namespace(namespace(prefix), Parameters::default())
        .unwrap();
    pair.pump();
    assert!(matches!(
        pair.server.one(),
        Event::SubscribeNamespace { .. }
    ));
    id
}

fn accept(pair: &mut Pair, id: RequestId) {
    pair.server
        .session
        .accept(id, RequestOk::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.client.one(), Event::Accepted { .. }));
}

fn opened(alone: &mut Alone) -> moqrelay_moqt::StreamId {
    let opened = alone.outputs().into_iter().find_map(|output| match output {
        moqrelay_moqt::Output::Open(stream, _) => Some(stream),
        _ => None,
    });
    opened.unwrap()
}
