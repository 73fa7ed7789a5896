//! Subscriptions, begun by either side, from the request to PUBLISH_DONE.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{
    D18, frame,
    pair::{CANCELLED, Pair},
    track,
};
use moqrelay_moqt::{
    CallError, Event, Filter, GroupOrder, KeyValueEncoder, Location, Parameters, PublishDoneCode,
    PublishOptions, RequestCode, RequestError, RequestId, RequestOk, ResetCode, SubscribeAnswer,
    SubscribeOptions, TrackAlias, TrackProperties,
};

#[test]
fn a_subscription_lives_from_subscribe_to_publish_done() {
    let mut pair = Pair::new();
    let params = Parameters {
        rendezvous_timeout: Some(Duration::from_secs(5)),
        filter: Some(Filter::NextGroupStart),
        group_order: Some(GroupOrder::Descending),
        ..Parameters::default()
    };
    let id = pair
        .client
        .session
        .subscribe(
            audio(),
            SubscribeOptions {
                params: params.clone(),
            },
        )
        .unwrap();
    pair.pump();
    assert_eq!(
        pair.server.one(),
        Event::Subscribe {
            id,
            track: audio(),
            params,
            tokens: vec![]
        }
    );

    let params = Parameters {
        largest_object: Some(Location::new(7, 3)),
        ..Parameters::default()
    };
    let properties = TrackProperties {
        publisher_priority: Some(0x20),
        ..TrackProperties::default()
    }
    .write(D18);
    let answer = SubscribeAnswer {
        alias: None,
        params: params.clone(),
        properties: properties.clone(),
    };
    let alias = pair.server.session.accept_subscribe(id, answer).unwrap();
    pair.pump();
    assert_eq!(
        pair.client.one(),
        Event::SubscribeOk {
            id,
            alias,
            params,
            properties
        }
    );

    pair.server
        .session
        .publish_done(id, PublishDoneCode::TrackEnded, Some(4), "over")
        .unwrap();
    pair.pump();
    let done = Event::PublishDone {
        id,
        status: PublishDoneCode::TrackEnded,
        streams: Some(4),
        reason: "over".into(),
    };
    assert_eq!(pair.client.one(), done);
    assert_nothing_left(&mut pair);
}

#[test]
fn a_refused_subscription_is_over() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    let error = RequestError::new(RequestCode::DoesNotExist, "no such track")
        .retry_after(Duration::from_secs(1));

    pair.server.session.reject(id, error.clone()).unwrap();
    pair.pump();

    assert_eq!(pair.client.one(), Event::Rejected { id, error });
    assert_nothing_left(&mut pair);
    subscribe(&mut pair);
}

#[test]
fn either_side_may_cancel_at_any_time() {
    for established in [false, true] {
        let mut pair = Pair::new();
        let id = subscribe(&mut pair);
        if established {
            accept_subscribe(&mut pair, id);
        }

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
        assert_nothing_left(&mut pair);

        let id = subscribe(&mut pair);
        if established {
            accept_subscribe(&mut pair, id);
        }
        pair.server
            .session
            .cancel(id, ResetCode::ExpiredAuthToken)
            .unwrap();
        pair.pump();

        let code = Some(ResetCode::ExpiredAuthToken);
        assert_eq!(pair.client.one(), Event::Cancelled { id, code });
        assert_nothing_left(&mut pair);
    }
}

#[test]
fn a_published_track_is_accepted_changed_and_done() {
    let mut pair = Pair::new();
    let params = Parameters {
        forward: Some(false),
        ..Parameters::default()
    };
    let properties = TrackProperties {
        dynamic_groups: true,
        ..TrackProperties::default()
    }
    .write(D18);
    let options = PublishOptions {
        alias: None,
        params: params.clone(),
        properties: properties.clone(),
    };
    let (id, alias) = pair.client.session.publish(audio(), options).unwrap();
    pair.pump();
    assert_eq!(
        pair.server.one(),
        Event::Publish {
            id,
            track: audio(),
            alias,
            params,
            properties,
            tokens: vec![]
        }
    );

    let params = Parameters {
        forward: Some(true),
        subscriber_priority: Some(9),
        ..Parameters::default()
    };
    let ok = RequestOk {
        params: params.clone(),
        ..RequestOk::default()
    };
    pair.server.session.accept(id, ok).unwrap();
    pair.pump();
    assert_eq!(
        pair.client.one(),
        Event::Accepted {
            id,
            params,
            properties: Bytes::new()
        }
    );

    let params = Parameters {
        forward: Some(false),
        ..Parameters::default()
    };
    pair.server.session.update(id, params.clone()).unwrap();
    pair.pump();
    assert_eq!(
        pair.client.one(),
        Event::Update {
            id,
            params,
            tokens: vec![]
        }
    );
    let params = Parameters {
        largest_object: Some(Location::new(1, 2)),
        ..Parameters::default()
    };
    pair.client
        .session
        .accept_update(id, params.clone())
        .unwrap();
    pair.pump();
    assert_eq!(pair.server.one(), Event::Updated { id, params });

    pair.client
        .session
        .publish_done(id, PublishDoneCode::TrackEnded, None, "")
        .unwrap();
    pair.pump();
    let done = Event::PublishDone {
        id,
        status: PublishDoneCode::TrackEnded,
        streams: None,
        reason: String::new(),
    };
    assert_eq!(pair.server.one(), done);
    assert_nothing_left(&mut pair);
}

#[test]
fn a_publisher_may_be_done_before_it_is_answered() {
    let mut pair = Pair::new();
    let (id, _) = pair
        .client
        .session
        .publish(audio(), PublishOptions::default())
        .unwrap();
    pair.client
        .session
        .publish_done(id, PublishDoneCode::TrackEnded, Some(0), "")
        .unwrap();
    pair.pump();

    assert!(matches!(
        pair.server.take()[..],
        [Event::Publish { .. }, Event::PublishDone { .. }]
    ));
    assert_eq!(
        pair.server.session.accept(id, RequestOk::default()),
        Err(CallError::UnknownRequest)
    );
    assert_nothing_left(&mut pair);
}

#[test]
fn a_subscriber_ends_a_published_track() {
    let mut pair = Pair::new();
    let id = publish(&mut pair);
    pair.server
        .session
        .accept(id, RequestOk::default())
        .unwrap();
    pair.pump();
    pair.client.take();

    pair.server
        .session
        .cancel(id, ResetCode::Cancelled)
        .unwrap();
    pair.pump();

    assert_eq!(
        pair.client.one(),
        Event::Cancelled {
            id,
            code: CANCELLED
        }
    );
    assert_nothing_left(&mut pair);
}

#[test]
fn an_unwanted_track_is_refused() {
    let mut pair = Pair::new();
    let id = publish(&mut pair);
    let error = RequestError::new(RequestCode::Uninterested, "no");

    pair.server.session.reject(id, error.clone()).unwrap();
    pair.pump();

    assert_eq!(pair.client.one(), Event::Rejected { id, error });
    assert_nothing_left(&mut pair);
}

#[test]
fn a_second_subscription_in_the_same_role_is_refused() {
    let mut pair = Pair::new();
    subscribe(&mut pair);
    let again = pair
        .client
        .session
        .subscribe(audio(), SubscribeOptions::default());
    assert_eq!(again, Err(CallError::Duplicate));
    let publish = pair
        .server
        .session
        .publish(audio(), PublishOptions::default());
    assert_eq!(
        publish,
        Err(CallError::Duplicate),
        "the peer subscribes already"
    );

    // The other direction is another role.
    let id = pair
        .server
        .session
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.client.one(), Event::Subscribe { id: seen, .. } if seen == id));
}

#[test]
fn subscribe_and_publish_that_cross_end_in_one_subscription() {
    let mut pair = Pair::new();
    let subscribe = pair
        .client
        .session
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();
    let (publish, _) = pair
        .server
        .session
        .publish(audio(), PublishOptions::default())
        .unwrap();
    pair.pump();

    // The publisher refuses the SUBSCRIBE: its PUBLISH is pending. The subscriber may take the PUBLISH.
    let events = pair.client.take();
    let refused = |event: &Event| {
        matches!(event, Event::Rejected { id, error }
            if *id == subscribe && error.code == RequestCode::DuplicateSubscription)
    };
    assert!(events.iter().any(refused), "{events:?}");
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Publish { id, .. } if *id == publish))
    );
    pair.client
        .session
        .accept(publish, RequestOk::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.server.one(), Event::Accepted { id, .. } if id == publish));
}

#[test]
fn accepting_a_publish_ends_an_unanswered_subscribe() {
    // The publisher here does not know the rule: two sessions are played by hand against one.
    let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Client);
    let subscribe = alone
        .session
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();
    alone.request(&frame(0x1d, b"\x01\x01\x04room\x05audio\x05\x00"));
    let events = alone.outputs();
    assert!(
        events
            .iter()
            .any(|output| matches!(output, moqrelay_moqt::Output::Event(Event::Publish { .. })))
    );

    alone
        .session
        .accept(RequestId(1), RequestOk::default())
        .unwrap();

    assert_eq!(
        alone.events(),
        [Event::Cancelled {
            id: subscribe,
            code: CANCELLED
        }]
    );
    assert_eq!(alone.session.open_requests(), 1);
}

#[test]
fn aliases_are_chosen_by_the_application_or_else_by_the_session() {
    let mut pair = Pair::new();
    let alias = Some(TrackAlias(0));
    let options = PublishOptions {
        alias,
        ..PublishOptions::default()
    };
    let (first, _) = pair
        .client
        .session
        .publish(track(&["room"], "a"), options.clone())
        .unwrap();
    let taken = pair
        .client
        .session
        .publish(track(&["room"], "b"), options.clone());
    assert_eq!(taken, Err(CallError::AliasInUse(TrackAlias(0))));
    let (_, chosen) = pair
        .client
        .session
        .publish(track(&["room"], "b"), PublishOptions::default())
        .unwrap();
    assert_eq!(chosen, TrackAlias(1));

    pair.client
        .session
        .publish_done(first, PublishDoneCode::TrackEnded, Some(0), "")
        .unwrap();
    assert!(
        pair.client
            .session
            .publish(track(&["room"], "c"), options)
            .is_ok(),
        "it is free again"
    );
    pair.pump();
    assert_eq!(pair.client.closed, None);
}

#[test]
fn tracks_with_mandatory_properties_are_refused_unless_understood() {
    let mut properties = KeyValueEncoder::new(D18);
    properties.int(0x4002, 1).unwrap();
    let properties = properties.finish();
    let options = PublishOptions {
        properties: properties.clone(),
        ..PublishOptions::default()
    };

    let mut pair = Pair::new();
    let (id, _) = pair
        .client
        .session
        .publish(audio(), options.clone())
        .unwrap();
    pair.pump();
    let unsupported = |event: Event| {
        matches!(event, Event::Rejected { id: seen, error }
            if seen == id && error.code == RequestCode::UnsupportedExtension)
    };
    assert!(unsupported(pair.client.one()));
    assert!(
        pair.server.take().is_empty(),
        "the application never sees it"
    );

    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    let answer = SubscribeAnswer {
        properties,
        ..SubscribeAnswer::default()
    };
    pair.server.session.accept_subscribe(id, answer).unwrap();
    pair.pump();
    assert!(unsupported(pair.client.one()));
    assert_eq!(
        pair.server.one(),
        Event::Cancelled {
            id,
            code: CANCELLED
        }
    );

    let mut pair = Pair::with(|config| config.mandatory_properties = vec![0x4002]);
    pair.client.session.publish(audio(), options).unwrap();
    pair.pump();
    assert!(matches!(pair.server.one(), Event::Publish { .. }));
}

#[test]
fn fetch_reaches_the_application_and_can_be_refused() {
    let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Server);
    alone.request(&frame(
        0x16,
        b"\x00\x01\x01\x04room\x05audio\x01\x00\x02\x00\x00",
    ));
    let [Event::Fetch { id, .. }] = alone.events()[..] else {
        panic!()
    };

    assert_eq!(
        alone.session.accept(id, RequestOk::default()),
        Err(CallError::WrongState)
    );
    alone
        .session
        .reject(id, RequestError::new(RequestCode::NotSupported, ""))
        .unwrap();

    let outputs = alone.outputs();
    let refusal = Bytes::from_static(b"\x05\x00\x03\x03\x00\x00");
    assert!(
        matches!(&outputs[..], [moqrelay_moqt::Output::Write(_, bytes), moqrelay_moqt::Output::Finish(_)]
        if *bytes == refusal)
    );
}

#[test]
fn answers_in_the_wrong_state_do_nothing() {
    let mut pair = Pair::new();
    let id = subscribe(&mut pair);
    let server = &mut pair.server.session;

    assert_eq!(
        server.accept(id, RequestOk::default()),
        Err(CallError::WrongState),
        "SUBSCRIBE_OK is what it wants"
    );
    let done = server.publish_done(id, PublishDoneCode::TrackEnded, None, "");
    assert_eq!(done, Err(CallError::WrongState), "not before SUBSCRIBE_OK");
    server
        .accept_subscribe(id, SubscribeAnswer::default())
        .unwrap();
    assert!(
        server
            .accept_subscribe(id, SubscribeAnswer::default())
            .is_err(),
        "answered already"
    );
    let error = RequestError::new(RequestCode::InternalError, "");
    assert_eq!(server.reject(id, error), Err(CallError::WrongState));
    assert_eq!(
        server.cancel(RequestId(77), ResetCode::Cancelled),
        Err(CallError::UnknownRequest)
    );
    pair.pump();
    assert_eq!(pair.client.take().len(), 1);
    let done = pair
        .client
        .session
        .publish_done(id, PublishDoneCode::TrackEnded, None, "");
    assert_eq!(
        done,
        Err(CallError::WrongState),
        "the subscriber publishes nothing"
    );
}

#[test]
fn a_requester_that_sends_fin_stays_subscribed() {
    let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Server);
    let stream = alone.request(&frame(0x03, b"\x00\x01\x04room\x05audio\x00"));
    alone.feed(stream, &[], true);
    assert!(matches!(alone.events()[..], [Event::Subscribe { .. }]));

    alone
        .session
        .accept_subscribe(RequestId(0), SubscribeAnswer::default())
        .unwrap();
    assert!(alone.events().is_empty());

    alone.session.handle_stop(stream, 1, alone.now);
    assert_eq!(
        alone.events(),
        [Event::Cancelled {
            id: RequestId(0),
            code: CANCELLED
        }]
    );
}

#[test]
fn a_stop_that_overtakes_an_answer_does_not_hide_it() {
    let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Client);
    let id = alone
        .session
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();
    let stream = opened(&mut alone);

    alone.session.handle_stop(stream, 0, alone.now);
    assert!(alone.events().is_empty());
    alone.feed(stream, b"\x05\x00\x03\x10\x00\x00", true);

    assert!(
        matches!(&alone.events()[..], [Event::Rejected { id: seen, error }]
        if *seen == id && error.code == RequestCode::DoesNotExist)
    );
}

#[test]
fn a_stop_that_overtakes_publish_done_does_not_hide_it() {
    let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Server);
    let stream = alone.request(&frame(0x1d, b"\x00\x01\x04room\x05audio\x05\x00"));
    alone
        .session
        .accept(RequestId(0), RequestOk::default())
        .unwrap();
    alone.outputs();

    alone.session.handle_stop(stream, 0, alone.now);
    assert_eq!(
        alone.session.update(RequestId(0), Parameters::default()),
        Err(CallError::WrongState)
    );
    alone.feed(stream, &frame(0x0b, b"\x02\x01\x00"), true);

    let [
        Event::PublishDone {
            streams: Some(1), ..
        },
    ] = alone.events()[..]
    else {
        panic!()
    };
}

#[test]
fn a_track_published_twice_is_refused_the_second_time() {
    let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Server);
    alone.request(&frame(0x1d, b"\x00\x01\x04room\x05audio\x05\x00"));
    alone.request(&frame(0x1d, b"\x02\x01\x04room\x05audio\x06\x00"));

    let outputs = alone.outputs();

    let told = |output: &&moqrelay_moqt::Output| matches!(output, moqrelay_moqt::Output::Event(_));
    assert_eq!(outputs.iter().filter(told).count(), 1);
    let refused = |output: &moqrelay_moqt::Output| matches!(output, moqrelay_moqt::Output::Write(_, bytes) if (bytes[0], bytes[3]) == (0x05, 0x19));
    assert!(outputs.iter().any(refused), "{outputs:?}");
    assert_eq!(alone.session.open_requests(), 1);
}

#[test]
fn a_publish_of_a_track_that_is_subscribed_already_is_refused() {
    let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Client);
    alone
        .session
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();
    let stream = opened(&mut alone);
    alone.feed(stream, &frame(0x04, b"\x05\x00"), false);
    alone.outputs();

    alone.request(&frame(0x1d, b"\x01\x01\x04room\x05audio\x05\x00"));

    let outputs = alone.outputs();
    assert!(
        matches!(&outputs[..], [moqrelay_moqt::Output::Write(_, bytes), moqrelay_moqt::Output::Finish(_)]
        if (bytes[0], bytes[3]) == (0x05, 0x19))
    );
}

#[test]
fn a_publisher_that_vanishes_without_publish_done_cancels() {
    let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Client);
    let id = alone
        .session
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();
    let stream = opened(&mut alone);
    alone.feed(stream, b"\x04\x00\x02\x09\x00", true);

    let events = alone.events();

    assert!(matches!(
        events[0],
        Event::SubscribeOk {
            alias: TrackAlias(9),
            ..
        }
    ));
    assert_eq!(events[1], Event::Cancelled { id, code: None });
}

#[test]
fn one_alias_for_two_tracks_ends_the_session() {
    let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Server);
    alone.request(&frame(0x1d, b"\x00\x01\x04room\x01a\x05\x00"));
    assert!(matches!(alone.events()[..], [Event::Publish { .. }]));

    alone.request(&frame(0x1d, b"\x02\x01\x04room\x01b\x05\x00"));

    assert_eq!(
        alone.closed(),
        Some(moqrelay_moqt::SessionCode::DuplicateTrackAlias)
    );
}

#[test]
fn track_properties_outside_their_range_end_the_session() {
    for properties in [
        &b"\x22\x03"[..],
        b"\x30\x02",
        b"\x0e\x81\x00",
        b"\x01\x05ab",
    ] {
        let mut alone = common::pair::Alone::open(moqrelay_moqt::Role::Server);
        let payload = [b"\x00\x01\x04room\x01a\x05\x00", properties].concat();

        alone.request(&frame(0x1d, &payload));

        assert_eq!(
            alone.closed(),
            Some(moqrelay_moqt::SessionCode::ProtocolViolation),
            "{properties:x?}"
        );
    }
}

fn audio() -> moqrelay_moqt::FullTrackName {
    track(&["room"], "audio")
}

/// The client subscribes; the server has the event.
fn subscribe(pair: &mut Pair) -> RequestId {
    let id = pair
        .client
        .session
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.server.one(), Event::Subscribe { .. }));
    id
}

fn accept_subscribe(pair: &mut Pair, id: RequestId) {
    pair.server
        .session
        .accept_subscribe(id, SubscribeAnswer::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.client.one(), Event::SubscribeOk { .. }));
}

/// The client publishes; the server has the event.
fn publish(pair: &mut Pair) -> RequestId {
    let (id, _) = pair
        .client
        .session
        .publish(audio(), PublishOptions::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.server.one(), Event::Publish { .. }));
    id
}

/// The stream of the request that was just made.
fn opened(alone: &mut common::pair::Alone) -> moqrelay_moqt::StreamId {
    let opened = alone.outputs().into_iter().find_map(|output| match output {
        moqrelay_moqt::Output::Open(stream, _) => Some(stream),
        _ => None,
    });
    opened.unwrap()
}

fn assert_nothing_left(pair: &mut Pair) {
    pair.pump();
    assert_eq!(
        (
            pair.client.session.open_requests(),
            pair.server.session.open_requests()
        ),
        (0, 0)
    );
    assert!(pair.client.take().is_empty() && pair.server.take().is_empty());
    assert_eq!((&pair.client.closed, &pair.server.closed), (&None, &None));
}
