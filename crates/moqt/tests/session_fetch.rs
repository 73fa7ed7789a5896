//! FETCH, standalone and joining, from the request to the end of its data stream.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{
    frame,
    pair::{Alone, CANCELLED, Pair},
    track,
};
use moqrelay_moqt::{
    CallError, Event, FetchAnswer, FetchOptions, FetchRange, FullTrackName, GroupOrder,
    KeyValueEncoder, Location, Output, Parameters, PublishOptions, RequestCode, RequestError,
    RequestId, RequestOk, ResetCode, Role, SessionCode, SubscribeAnswer, SubscribeOptions,
    TrackProperties,
};

#[test]
fn a_fetch_lives_until_its_data_stream_has_ended() {
    let mut pair = Pair::new();
    let params = Parameters {
        fill_timeout: Some(Duration::from_secs(1)),
        group_order: Some(GroupOrder::Descending),
        subscriber_priority: Some(7),
        ..Parameters::default()
    };
    let range = standalone(Location::new(3, 0), Location::new(5, 0));
    let options = FetchOptions {
        params: params.clone(),
    };
    let id = pair.client.session.fetch(range.clone(), options).unwrap();
    pair.pump();
    assert_eq!(
        pair.server.one(),
        Event::Fetch {
            id,
            range,
            params,
            tokens: vec![]
        }
    );
    assert_eq!(
        pair.client.session.finish_fetch(id),
        Err(CallError::WrongState)
    );

    let properties = TrackProperties {
        publisher_priority: Some(0x20),
        ..TrackProperties::default()
    }
    .write(common::D18);
    let answer = FetchAnswer {
        end_of_track: true,
        end: Location::new(4, 8),
        properties: properties.clone(),
        ..FetchAnswer::default()
    };
    let server = &mut pair.server.session;
    server.accept_fetch(id, answer.clone()).unwrap();
    assert_eq!(server.accept_fetch(id, answer), Err(CallError::WrongState));
    server.finish_fetch(id).unwrap();
    assert_eq!(server.open_requests(), 0);
    pair.pump();

    // The publisher's FIN on the request's stream may overtake the data stream.
    assert_eq!(
        pair.client.one(),
        Event::FetchOk {
            id,
            end_of_track: true,
            end: Location::new(4, 8),
            params: Parameters::default(),
            properties
        }
    );
    assert_eq!(pair.client.session.open_requests(), 1);
    pair.client.session.finish_fetch(id).unwrap();
    assert_eq!(pair.client.session.open_requests(), 0);
    pair.pump();
    assert!(pair.client.take().is_empty() && pair.server.take().is_empty());
}

#[test]
fn a_refused_fetch_is_over() {
    let mut pair = Pair::new();
    let id = fetch(&mut pair);

    let error = RequestError::new(RequestCode::InvalidRange, "nothing there");
    pair.server.session.reject(id, error.clone()).unwrap();
    pair.pump();

    assert_eq!(pair.client.one(), Event::Rejected { id, error });
    assert_eq!(open(&pair), (0, 0));
}

#[test]
fn a_cancelled_fetch_is_over_on_both_sides() {
    let mut pair = Pair::new();
    let unanswered = fetch(&mut pair);
    let answered = fetch(&mut pair);
    accept(&mut pair, answered);

    for id in [unanswered, answered] {
        pair.client
            .session
            .cancel(id, ResetCode::Cancelled)
            .unwrap();
    }
    pair.pump();

    let cancelled = |id| Event::Cancelled {
        id,
        code: CANCELLED,
    };
    assert_eq!(
        pair.server.take(),
        [cancelled(unanswered), cancelled(answered)]
    );
    assert_eq!(open(&pair), (0, 0));
}

#[test]
fn a_publisher_that_cannot_go_on_resets_the_request() {
    let mut pair = Pair::new();
    let id = fetch(&mut pair);
    accept(&mut pair, id);

    let code = ResetCode::UnknownObjectStatus;
    pair.server.session.cancel(id, code).unwrap();
    pair.pump();

    assert_eq!(
        pair.client.one(),
        Event::Cancelled {
            id,
            code: Some(code)
        }
    );
    assert_eq!(open(&pair), (0, 0));
}

#[test]
fn a_fetch_changes_its_priority() {
    let mut pair = Pair::new();
    let id = fetch(&mut pair);
    accept(&mut pair, id);
    let params = Parameters {
        subscriber_priority: Some(1),
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
    pair.pump();

    assert!(matches!(pair.client.one(), Event::Updated { .. }));
}

#[test]
fn a_subscription_can_be_joined_before_and_after_its_answer() {
    let mut pair = Pair::new();
    let subscription = subscribe(&mut pair);
    let relative = FetchRange::RelativeJoining {
        subscription,
        groups: 2,
    };
    let absolute = FetchRange::AbsoluteJoining {
        subscription,
        group: 40,
    };

    join(&mut pair, &relative).unwrap();
    assert!(matches!(pair.server.one(), Event::Fetch { range, .. } if range == relative));
    pair.server
        .session
        .accept_subscribe(subscription, SubscribeAnswer::default())
        .unwrap();
    pair.pump();
    pair.client.take();
    join(&mut pair, &absolute).unwrap();
    assert!(matches!(pair.server.one(), Event::Fetch { range, .. } if range == absolute));
}

#[test]
fn a_track_that_was_offered_can_be_joined_once_it_is_accepted() {
    let mut pair = Pair::new();
    let (subscription, _) = pair
        .server
        .session
        .publish(audio(), PublishOptions::default())
        .unwrap();
    pair.pump();
    pair.client.take();
    let range = FetchRange::RelativeJoining {
        subscription,
        groups: 0,
    };
    assert_eq!(join(&mut pair, &range), Err(CallError::WrongState));

    pair.client
        .session
        .accept(subscription, RequestOk::default())
        .unwrap();
    pair.pump();
    pair.server.take();
    join(&mut pair, &range).unwrap();
    assert!(matches!(pair.server.one(), Event::Fetch { .. }));
}

#[test]
fn what_is_no_subscription_of_the_requester_cannot_be_joined() {
    let mut pair = Pair::new();
    let fetched = fetch(&mut pair);
    let ended = subscribe(&mut pair);
    pair.client
        .session
        .cancel(ended, ResetCode::Cancelled)
        .unwrap();
    pair.pump();
    let (offer, _) = pair
        .client
        .session
        .publish(track(&["room"], "own"), PublishOptions::default())
        .unwrap();
    for (subscription, error) in [
        (fetched, CallError::WrongState),
        (ended, CallError::UnknownRequest),
        (offer, CallError::WrongState),
    ] {
        let range = FetchRange::RelativeJoining {
            subscription,
            groups: 0,
        };
        assert_eq!(join(&mut pair, &range), Err(error));
    }

    // The same from a peer that does not look before it asks: request 0 never existed, 2 is a TRACK_STATUS.
    let mut alone = Alone::open(Role::Server);
    alone.request(&frame(0xd, b"\x02\x01\x04room\x05audio\x00"));
    for asked in [&b"\x04\x02\x00\x00\x00"[..], b"\x06\x03\x02\x00\x00"] {
        alone.outputs();
        alone.request(&frame(0x16, asked));
        assert_eq!(refusal(&alone.outputs()), Some(0x32));
    }
}

#[test]
fn a_range_that_ends_before_it_starts_is_refused() {
    let mut pair = Pair::new();
    let range = standalone(Location::new(3, 5), Location::new(3, 5));
    assert_eq!(join(&mut pair, &range), Err(CallError::WrongState));
    let range = standalone(Location::new(3, 5), Location::new(3, 6));
    assert!(join(&mut pair, &range).is_ok());

    let mut alone = Alone::open(Role::Server);
    alone.request(&frame(
        0x16,
        b"\x00\x01\x01\x04room\x05audio\x03\x05\x03\x05\x00",
    ));
    assert_eq!(refusal(&alone.outputs()), Some(0x11));
}

#[test]
fn a_fetch_ok_that_ends_before_the_start_ends_the_session() {
    for range in [
        standalone(Location::new(3, 5), Location::new(9, 0)),
        FetchRange::AbsoluteJoining {
            subscription: RequestId(0),
            group: 3,
        },
    ] {
        let mut pair = Pair::new();
        assert_eq!(subscribe(&mut pair), RequestId(0));
        let id = join(&mut pair, &range).unwrap();
        let answer = FetchAnswer {
            end: Location::new(2, 9),
            ..FetchAnswer::default()
        };
        pair.server.session.accept_fetch(id, answer).unwrap();
        pair.pump();

        let (code, _) = pair.client.closed.unwrap();
        assert_eq!(code, SessionCode::ProtocolViolation);
    }
}

#[test]
fn a_second_answer_ends_the_session() {
    let mut alone = Alone::open(Role::Client);
    let range = standalone(Location::new(0, 0), Location::new(1, 0));
    alone.session.fetch(range, FetchOptions::default()).unwrap();
    let stream = opened(&alone.outputs());
    let ok = frame(0x18, b"\x00\x01\x00\x00");

    alone.feed(stream, &ok, false);
    assert!(matches!(alone.events()[..], [Event::FetchOk { .. }]));
    alone.feed(stream, &ok, false);

    assert_eq!(alone.closed(), Some(SessionCode::ProtocolViolation));
}

#[test]
fn an_unanswered_fetch_whose_stream_ends_is_over() {
    let mut alone = Alone::open(Role::Client);
    let range = standalone(Location::new(0, 0), Location::new(1, 0));
    let id = alone.session.fetch(range, FetchOptions::default()).unwrap();
    let stream = opened(&alone.outputs());

    alone.feed(stream, b"", true);

    assert_eq!(alone.events(), [Event::Cancelled { id, code: None }]);
}

#[test]
fn a_fetched_track_with_unknown_mandatory_properties_is_refused() {
    let mut pair = Pair::new();
    let id = fetch(&mut pair);
    let mut properties = KeyValueEncoder::new(common::D18);
    properties.int(0x4002, 1).unwrap();
    let answer = FetchAnswer {
        end: Location::new(3, 0),
        properties: properties.finish(),
        ..FetchAnswer::default()
    };

    pair.server.session.accept_fetch(id, answer).unwrap();
    pair.pump();

    assert!(matches!(
        pair.client.one(),
        Event::Rejected { error, .. } if error.code == RequestCode::UnsupportedExtension
    ));
    assert!(matches!(pair.server.one(), Event::Cancelled { .. }));
}

#[test]
fn after_goaway_nothing_new_is_fetched_and_what_runs_goes_on() {
    let mut pair = Pair::new();
    let running = fetch(&mut pair);
    pair.server
        .session
        .goaway("", Duration::ZERO, pair.now)
        .unwrap();
    let late = standalone(Location::new(0, 0), Location::new(1, 0));
    let options = FetchOptions::default();
    let refused = pair.client.session.fetch(late.clone(), options).unwrap();
    pair.pump();

    let events = pair.client.take();
    assert!(matches!(&events[..], [
        Event::GoAway { .. },
        Event::Rejected { id, error },
    ] if *id == refused && error.code == RequestCode::GoingAway));
    let options = FetchOptions::default();
    assert_eq!(
        pair.client.session.fetch(late, options),
        Err(CallError::GoingAway)
    );
    accept(&mut pair, running);
    pair.client.session.finish_fetch(running).unwrap();
}

fn audio() -> FullTrackName {
    track(&["room"], "audio")
}

fn standalone(start: Location, end: Location) -> FetchRange {
    FetchRange::Standalone {
        track: audio(),
        start,
        end,
    }
}

/// Asks for groups 3 and 4.
fn fetch(pair: &mut Pair) -> RequestId {
    let range = standalone(Location::new(3, 0), Location::new(4, 0));
    let id = join(pair, &range).unwrap();
    assert!(matches!(pair.server.one(), Event::Fetch { .. }));
    id
}

fn join(pair: &mut Pair, range: &FetchRange) -> Result<RequestId, CallError> {
    let id = pair
        .client
        .session
        .fetch(range.clone(), FetchOptions::default())?;
    pair.pump();
    Ok(id)
}

fn accept(pair: &mut Pair, id: RequestId) {
    let answer = FetchAnswer {
        end: Location::new(4, 0),
        ..FetchAnswer::default()
    };
    pair.server.session.accept_fetch(id, answer).unwrap();
    pair.pump();
    assert!(matches!(pair.client.one(), Event::FetchOk { .. }));
}

fn subscribe(pair: &mut Pair) -> RequestId {
    let options = SubscribeOptions::default();
    let id = pair.client.session.subscribe(audio(), options).unwrap();
    pair.pump();
    assert!(matches!(pair.server.one(), Event::Subscribe { .. }));
    id
}

fn open(pair: &Pair) -> (usize, usize) {
    (
        pair.client.session.open_requests(),
        pair.server.session.open_requests(),
    )
}

/// The code of the REQUEST_ERROR that was written.
fn refusal(outputs: &[Output]) -> Option<u8> {
    outputs.iter().find_map(|output| match output {
        Output::Write(_, bytes) if bytes.first() == Some(&0x05) => bytes.get(3).copied(),
        _ => None,
    })
}

fn opened(outputs: &[Output]) -> moqrelay_moqt::StreamId {
    let opened = outputs.iter().find_map(|output| match output {
        Output::Open(stream, _) => Some(*stream),
        _ => None,
    });
    opened.unwrap()
}
