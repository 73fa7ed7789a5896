//! What draft 19 does in another way than draft 18: see `docs/adr/0014-draft-19.md`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{D18, D19, arbitrary, frame, namespace, pair::Pair, track};
use moqrelay_moqt::{
    CallError, Candidate, Config, DecodeError, Draft, Event, FetchOptions, FetchRange, GoAway,
    GroupOrder, KeyValueEncoder, Location, Message, Output, Parameters, PublishOptions,
    RangeFilter, RangeKind, RequestCode, RequestId, RequestOk, RequestUpdate, Role, Selector,
    Session, SessionCode, Setup, Subscribe, SubscribeAnswer, SubscribeOptions, SubscribePrefix,
    TrackAlias, Transport,
};
use proptest::prelude::*;

#[test]
fn goaway_names_no_request() {
    let goaway = Message::GoAway(GoAway {
        uri: Bytes::from_static(b"moqt://b"),
        timeout: Duration::from_millis(5),
        request: None,
    });
    let wire = frame(0x10, b"\x08moqt://b\x05");
    both_ways(&goaway, &wire);

    let more = frame(0x10, b"\x08moqt://b\x05\x00");
    assert_eq!(decode(D19, &more), Err(DecodeError::TrailingBytes(1)));
    assert!(decode(D18, &more).is_ok());
}

#[test]
fn publish_ok_has_no_number_of_its_own() {
    let wire = frame(0x1e, b"\x00");
    assert_eq!(decode(D19, &wire), Err(DecodeError::UnknownMessage(0x1e)));
    assert!(decode(D18, &wire).is_ok());
}

#[test]
fn setup_says_how_many_ranges_and_updates_are_taken() {
    let setup = Message::Setup(Setup {
        auth_token_cache_bytes_max: Some(1),
        filter_ranges_max: Some(32),
        request_updates_max: Some(16),
        ..Setup::default()
    });
    let wire = [
        &[0xaf, 0x00, 0, 6][..],
        &[0x04, 1],
        &[0x02, 32],
        &[0x02, 16],
    ]
    .concat();
    both_ways(&setup, &wire);

    // To draft 18 they are options that nobody knows.
    assert_eq!(
        decode(D18, &wire),
        Ok(Some(Message::Setup(Setup {
            auth_token_cache_bytes_max: Some(1),
            ..Setup::default()
        })))
    );
}

#[test]
fn range_filters_stand_as_the_draft_draws_them() {
    let params = Parameters {
        range_filters: vec![
            RangeFilter::new(
                RangeKind::Subgroup,
                0,
                None,
                &[(3, Some(5)), (10, Some(15))],
            ),
            RangeFilter::new(RangeKind::ObjectProperty, 7, Some(0x40), &[(1, None)]),
        ],
        ..Parameters::default()
    };
    let subscribe = Message::Subscribe(Subscribe {
        id: RequestId(0),
        track: track(&["r"], "t"),
        params,
    });
    let wire = frame(
        0x03,
        &[
            &[0, 1, 1, b'r', 1, b't', 2][..],
            // SUBGROUP_FILTER: length, set, 3-5, 10-15; OBJECT_PROPERTY_FILTER: length, set, type, from 1 on.
            &[0x25, 5, 0, 3, 2, 5, 5],
            &[0x03, 3, 7, 0x40, 1],
        ]
        .concat(),
    );

    both_ways(&subscribe, &wire);
    assert_eq!(decode(D18, &wire), Err(DecodeError::UnknownParameter(0x25)));
}

#[test]
fn the_group_order_belongs_to_what_asks_for_tracks() {
    let params = Parameters {
        group_order: Some(GroupOrder::Descending),
        ..Parameters::default()
    };
    let ask = Message::SubscribeTracks(SubscribePrefix {
        id: RequestId(0),
        prefix: namespace(&["r"]),
        params: params.clone(),
    });
    both_ways(&ask, &frame(0x51, &[0, 1, 1, b'r', 1, 0x22, 2])[..]);
    assert!(ask.encode(D18, &mut BytesMut::new()).is_err());

    let ok = Message::RequestOk(RequestOk {
        params,
        ..RequestOk::default()
    });
    assert!(ok.encode(D19, &mut BytesMut::new()).is_err());
    assert!(ok.encode(D18, &mut BytesMut::new()).is_ok());
}

#[test]
fn a_message_cut_short_is_no_message() {
    for message in [
        Message::Subscribe(Subscribe {
            id: RequestId(4),
            track: track(&["room"], "audio"),
            params: filtered(RangeKind::Priority, &[(3, Some(5))]),
        }),
        Message::GoAway(GoAway {
            uri: Bytes::new(),
            timeout: Duration::ZERO,
            request: None,
        }),
    ] {
        let wire = encode(D19, &message);
        for len in 0..wire.len() {
            assert_eq!(decode(D19, &wire[..len]), Ok(None), "{len}");
            // The same with a length that fits.
            let mut cut = wire[..len.max(3)].to_vec();
            cut[2] = u8::try_from(cut.len() - 3).unwrap();
            assert!(decode(D19, &cut).is_err(), "{len}");
        }
    }
}

#[test]
fn sets_are_alternatives_and_filters_of_a_set_must_all_agree() {
    let filters = [
        RangeFilter::new(RangeKind::Subgroup, 0, None, &[(0, Some(0))]),
        RangeFilter::new(RangeKind::Object, 0, None, &[(0, Some(9))]),
        RangeFilter::new(RangeKind::Priority, 1, None, &[(0, Some(3))]),
        RangeFilter::new(RangeKind::ObjectProperty, 2, Some(0x40), &[(5, None)]),
    ];
    let selector = Selector::new(&filters, 4).unwrap().unwrap();
    let level = |value| {
        let mut pairs = KeyValueEncoder::new(D18);
        pairs.int(0x40, value).unwrap();
        pairs.finish()
    };
    let hidden = {
        let mut pairs = KeyValueEncoder::new(D18);
        pairs.bytes(0x0b, &level(8)).unwrap();
        pairs.finish()
    };
    let none = Bytes::new();
    for (subgroup, object, priority, properties, passes) in [
        (Some(0), 9, 128, &none, true),
        (Some(0), 10, 128, &none, false),
        (Some(1), 9, 128, &none, false),
        (None, 9, 128, &none, false),
        (None, 99, 3, &none, true),
        (None, 99, 4, &level(5), true),
        (None, 99, 4, &level(4), false),
        (None, 99, 4, &hidden, true),
    ] {
        let candidate = Candidate {
            subgroup,
            object,
            priority,
            properties,
        };
        assert_eq!(selector.passes(D18, candidate), passes, "{candidate:?}");
    }
}

#[test]
fn a_track_passes_by_its_properties_and_leaves_what_its_objects_must_pass() {
    let filters = [
        RangeFilter::new(RangeKind::TrackProperty, 0, Some(0x40), &[(1, Some(1))]),
        RangeFilter::new(RangeKind::Object, 0, None, &[(0, Some(0))]),
        RangeFilter::new(RangeKind::TrackProperty, 1, Some(0x40), &[(2, Some(2))]),
    ];
    let selector = Selector::new(&filters, 3).unwrap().unwrap();
    let of = |value| {
        let mut pairs = KeyValueEncoder::new(D18);
        pairs.int(0x40, value).unwrap();
        selector.for_track(D18, &pairs.finish())
    };
    let candidate = Candidate {
        subgroup: None,
        object: 7,
        priority: 0,
        properties: &Bytes::new(),
    };

    assert!(!of(1).unwrap().passes(D18, candidate));
    assert!(of(2).unwrap().passes(D18, candidate));
    assert_eq!(of(3), None);
    assert_eq!(selector.for_track(D18, &Bytes::new()), None);
}

#[test]
fn filters_that_cannot_be_are_invalid() {
    let raw = |kind, value: &'static [u8]| RangeFilter {
        kind,
        value: Bytes::from_static(value),
    };
    let whole = RangeFilter::new(RangeKind::Object, 0, None, &[(0, None)]);
    let beyond = [0, 1, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    for filters in [
        vec![raw(RangeKind::Object, &[])],
        vec![raw(RangeKind::Object, &[0])],
        vec![raw(RangeKind::Object, &[0, 0x80])],
        vec![RangeFilter {
            kind: RangeKind::Object,
            value: Bytes::copy_from_slice(&beyond),
        }],
        vec![raw(RangeKind::Priority, &[0, 0x81, 0x00])],
        vec![raw(RangeKind::Priority, &[0, 1, 0x81, 0x00])],
        vec![raw(RangeKind::ObjectProperty, &[0, 0x41, 1])],
        vec![raw(RangeKind::TrackProperty, &[0, 0x40])],
        vec![whole.clone(), whole.clone()],
        vec![RangeFilter::new(
            RangeKind::Object,
            0,
            None,
            &[(0, Some(0)), (2, Some(2)), (4, Some(4))],
        )],
    ] {
        let error = Selector::new(&filters, 2).unwrap_err();
        let error = moqrelay_moqt::RequestError::from(error);
        assert_eq!(error.code, RequestCode::InvalidFilter, "{filters:?}");
    }
    assert_eq!(Selector::new(&[], 0), Ok(None));
    assert!(Selector::new(&[whole], 1).unwrap().is_some());
}

#[test]
fn an_update_replaces_all_filters_of_its_kinds() {
    let object = |set| RangeFilter::new(RangeKind::Object, set, None, &[(1, None)]);
    let priority = RangeFilter::new(RangeKind::Priority, 0, None, &[(1, None)]);
    let none = RangeFilter {
        kind: RangeKind::Priority,
        value: Bytes::new(),
    };
    let mut filters = vec![object(0), object(1), priority.clone()];

    RangeFilter::update(&mut filters, &[object(2)]);
    assert_eq!(filters, [priority, object(2)]);
    RangeFilter::update(&mut filters, &[none]);
    assert_eq!(filters, [object(2)]);
}

#[test]
fn a_filter_that_the_peer_does_not_take_is_not_sent() {
    let mut pair = Pair::of(D19);
    let params = filtered(RangeKind::Object, &[(0, None)]);
    let options = SubscribeOptions { params };
    let asked = pair.client.session.subscribe(audio(), options);
    assert_eq!(asked, Err(CallError::TooManyRanges(0)));
}

#[test]
fn a_filter_beyond_the_limit_refuses_its_request_only() {
    let mut server = Server::open(|config| config.limits.filter_ranges_max = 1);
    let request = |id, ranges: &[(u64, Option<u64>)]| {
        Message::Subscribe(Subscribe {
            id: RequestId(id),
            track: audio(),
            params: filtered(RangeKind::Object, ranges),
        })
    };
    server.request(&request(0, &[(0, Some(1)), (3, Some(4))]));
    let said = server.messages();
    assert!(
        matches!(&said[..], [Message::RequestError(error)] if error.code == RequestCode::InvalidFilter),
        "{said:?}"
    );

    server.request(&request(2, &[(3, Some(4))]));
    let events = server.events();
    assert!(
        matches!(&events[..], [Event::Subscribe { params, .. }] if !params.range_filters.is_empty())
    );
}

#[test]
fn a_filter_of_an_update_beyond_the_limit_ends_the_subscription() {
    let mut pair = filtering();
    let id = subscribe(&mut pair, filtered(RangeKind::Object, &[(0, Some(1))]));
    accept(&mut pair, id, None);
    let replaced = filtered(RangeKind::Object, &[(3, Some(4)), (6, Some(7))]);
    pair.client.session.update(id, replaced).unwrap();
    pair.pump();
    assert!(matches!(pair.server.one(), Event::Update { .. }));
    pair.server
        .session
        .accept_update(id, Parameters::default())
        .unwrap();
    pair.pump();
    pair.client.take();

    // Both kinds together are too many.
    let more = filtered(RangeKind::Priority, &[(3, Some(4))]);
    pair.client.session.update(id, more).unwrap();
    pair.pump();

    let events = pair.client.take();
    assert!(
        matches!(&events[0], Event::UpdateRejected { error, .. } if error.code == RequestCode::InvalidFilter),
        "{events:?}"
    );
    assert!(matches!(&events[1], Event::PublishDone { .. }));
}

#[test]
fn a_fetch_can_be_filtered() {
    let mut pair = filtering();
    let params = filtered(RangeKind::Object, &[(0, Some(0))]);
    let range = FetchRange::Standalone {
        track: audio(),
        start: Location::new(0, 0),
        end: Location::new(5, 0),
    };
    let options = FetchOptions {
        params: params.clone(),
    };
    pair.client.session.fetch(range, options).unwrap();
    pair.pump();
    let Event::Fetch { params: heard, .. } = pair.server.one() else {
        panic!()
    };
    assert_eq!(heard.range_filters, params.range_filters);
}

#[test]
fn subscriptions_to_a_track_stand_beside_each_other() {
    let mut pair = Pair::of(D19);
    let first = subscribe(&mut pair, Parameters::default());
    accept(&mut pair, first, Some(TrackAlias(9)));
    let second = subscribe(&mut pair, Parameters::default());
    accept(&mut pair, second, Some(TrackAlias(9)));

    // One ends, the other keeps the alias.
    pair.client
        .session
        .cancel(first, moqrelay_moqt::ResetCode::Cancelled)
        .unwrap();
    pair.pump();
    pair.server.take();
    let other = track(&["room"], "video");
    let third = pair
        .client
        .session
        .subscribe(other, SubscribeOptions::default())
        .unwrap();
    pair.pump();
    pair.server.take();
    let answer = SubscribeAnswer {
        alias: Some(TrackAlias(9)),
        ..SubscribeAnswer::default()
    };
    assert_eq!(
        pair.server.session.accept_subscribe(third, answer),
        Err(CallError::AliasInUse(TrackAlias(9)))
    );
    assert_eq!(pair.client.session.open_requests(), 2);
}

#[test]
fn a_track_may_be_offered_beside_a_subscription() {
    let mut pair = Pair::of(D19);
    let id = subscribe(&mut pair, Parameters::default());
    accept(&mut pair, id, None);

    let (offer, _) = pair
        .server
        .session
        .publish(audio(), PublishOptions::default())
        .unwrap();
    pair.pump();
    assert!(matches!(pair.client.one(), Event::Publish { .. }));
    let ok = RequestOk::default();
    pair.client.session.accept(offer, ok).unwrap();
    pair.pump();

    assert!(matches!(pair.server.one(), Event::Accepted { .. }));
    assert_eq!(pair.server.session.open_requests(), 2);
}

#[test]
fn more_updates_than_announced_have_a_code_of_their_own() {
    let mut server = Server::open(|config| config.limits.updates_max = 2);
    let subscribe = Message::Subscribe(Subscribe {
        id: RequestId(0),
        track: audio(),
        params: Parameters::default(),
    });
    let stream = server.request(&subscribe);
    for id in [2, 4, 6] {
        let update = Message::RequestUpdate(RequestUpdate {
            id: RequestId(id),
            params: Parameters::default(),
        });
        server.feed(stream, &encode(D19, &update));
    }
    let closed = server
        .outputs()
        .into_iter()
        .find_map(|output| match output {
            Output::Close(code, _) => Some(code),
            _ => None,
        });
    assert_eq!(closed, Some(SessionCode::TooManyRequestUpdates));
    assert_eq!(SessionCode::TooManyRequestUpdates.to_code(D19), 0x1b);
}

#[test]
fn no_more_updates_are_sent_than_the_peer_announced() {
    let mut server = Server::open(|_| {});
    // This peer takes one at a time.
    let mut client = Session::new(config(Role::Client), Duration::ZERO);
    let control = client.accept_control();
    let setup = Message::Setup(Setup {
        request_updates_max: Some(1),
        ..Setup::default()
    });
    client.handle_stream(control, encode(D19, &setup), false, Duration::ZERO);
    let id = client
        .subscribe(audio(), SubscribeOptions::default())
        .unwrap();

    client.update(id, Parameters::default()).unwrap();
    let second = client.update(id, Parameters::default());

    assert_eq!(second, Err(CallError::TooMany));
    assert!(server.outputs().is_empty());
}

#[test]
fn fin_is_no_end_of_a_subscription_to_namespaces() {
    for (draft, ends) in [(D18, true), (D19, false)] {
        let mut pair = Pair::of(draft);
        let stream = pair.server.session.accept_bi();
        let ask = Message::SubscribeNamespace(SubscribePrefix {
            id: RequestId(0),
            prefix: namespace(&["room"]),
            params: Parameters::default(),
        });
        let bytes = encode(draft, &ask);
        pair.server
            .session
            .handle_stream(stream, bytes, true, pair.now);
        let events: Vec<Event> = std::iter::from_fn(|| pair.server.session.poll_output())
            .filter_map(|output| match output {
                Output::Event(event) => Some(event),
                _ => None,
            })
            .collect();
        let cancelled = events
            .iter()
            .any(|event| matches!(event, Event::Cancelled { .. }));
        assert_eq!(cancelled, ends, "{draft:?}: {events:?}");
    }
}

#[test]
fn goaway_leaves_open_what_may_still_be_answered() {
    let mut pair = Pair::of(D19);
    let asked = subscribe(&mut pair, Parameters::default());
    let now = pair.now;
    pair.server
        .session
        .goaway("moqt://b", Duration::ZERO, now)
        .unwrap();
    pair.pump();
    let Event::GoAway { unprocessed, .. } = pair.client.one() else {
        panic!()
    };
    assert!(unprocessed > asked);
}

proptest! {
    #[test]
    fn any_message_is_read_again(message in arbitrary::message()) {
        let message = match message {
            Message::GoAway(goaway) => Message::GoAway(GoAway { request: None, ..goaway }),
            Message::RequestError(error)
                if RequestCode::from_code(D19, error.code.to_code(D19)) != error.code =>
            {
                return Ok(());
            }
            other => other,
        };
        let wire = encode(D19, &message);

        prop_assert_eq!(decode(D19, &wire), Ok(Some(message)));
    }

    #[test]
    fn any_bytes_make_a_selector_or_an_error(
        value in arbitrary::bytes(30),
        kind in proptest::sample::select(&RangeKind::ALL[..]),
        number in arbitrary::number(),
    ) {
        let filter = RangeFilter { kind, value };
        if let Ok(Some(selector)) = Selector::new(&[filter], 8) {
            let candidate = Candidate {
                subgroup: Some(number),
                object: number,
                priority: number as u8,
                properties: &Bytes::new(),
            };
            selector.passes(D18, candidate);
            selector.for_track(D18, &Bytes::new());
        }
    }
}

fn audio() -> moqrelay_moqt::FullTrackName {
    track(&["room"], "audio")
}

fn filtered(kind: RangeKind, ranges: &[(u64, Option<u64>)]) -> Parameters {
    Parameters {
        range_filters: vec![RangeFilter::new(kind, 0, None, ranges)],
        ..Parameters::default()
    }
}

/// Two sessions that take two ranges each.
fn filtering() -> Pair {
    Pair::with(|config| {
        config.draft = D19;
        config.limits.filter_ranges_max = 2;
    })
}

fn subscribe(pair: &mut Pair, params: Parameters) -> RequestId {
    let options = SubscribeOptions { params };
    let id = pair.client.session.subscribe(audio(), options).unwrap();
    pair.pump();
    assert!(matches!(pair.server.one(), Event::Subscribe { .. }));
    id
}

fn accept(pair: &mut Pair, id: RequestId, alias: Option<TrackAlias>) {
    let answer = SubscribeAnswer {
        alias,
        ..SubscribeAnswer::default()
    };
    pair.server.session.accept_subscribe(id, answer).unwrap();
    pair.pump();
    assert!(matches!(pair.client.one(), Event::SubscribeOk { .. }));
}

/// A server whose client is the test itself.
struct Server(Session);

impl Server {
    fn open(change: impl Fn(&mut Config)) -> Self {
        let mut config = config(Role::Server);
        change(&mut config);
        let mut server = Self(Session::new(config, Duration::ZERO));
        let control = server.0.accept_control();
        server.feed(control, &encode(D19, &Message::Setup(Setup::default())));
        assert!(server.0.is_established());
        server.outputs();
        server
    }

    fn feed(&mut self, stream: moqrelay_moqt::StreamId, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.0.handle_stream(stream, bytes, false, Duration::ZERO);
    }

    fn request(&mut self, message: &Message) -> moqrelay_moqt::StreamId {
        let stream = self.0.accept_bi();
        self.feed(stream, &encode(D19, message));
        stream
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.0.poll_output()).collect()
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

    fn messages(&mut self) -> Vec<Message> {
        let mut bytes = BytesMut::new();
        for output in self.outputs() {
            if let Output::Write(_, written) = output {
                bytes.extend_from_slice(&written);
            }
        }
        std::iter::from_fn(|| Message::decode(D19, &mut bytes).unwrap()).collect()
    }
}

fn config(role: Role) -> Config {
    Config::new(D19, role, Transport::WebTransport)
}

fn both_ways(message: &Message, wire: &[u8]) {
    assert_eq!(encode(D19, message), wire, "{message:?}");
    assert_eq!(decode(D19, wire).as_ref(), Ok(&Some(message.clone())));
}

fn encode(draft: Draft, message: &Message) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(draft, &mut out).unwrap();
    out.freeze()
}

fn decode(draft: Draft, wire: &[u8]) -> Result<Option<Message>, DecodeError> {
    Message::decode(draft, &mut BytesMut::from(wire))
}
