//! What a peer must not do, and with which code the session ends; limits; hostile bytes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use SessionCode::{InternalError, InvalidRequestId, KeyValueFormattingError, ProtocolViolation};
use bytes::Bytes;
use common::{
    encode, frame,
    pair::{Alone, Pair},
    track,
};
use moqrelay_moqt::{
    CallError, Config, Draft, Event, Message, Output, Parameters, PublishOptions, RequestOk,
    ResetCode, Role, Session, SessionCode, StreamId, SubscribeAnswer, SubscribeOptions, Transport,
};
use proptest::{collection::vec, prelude::*};

const SUBSCRIBE: &[u8] = b"\x03\x00\x0d\x00\x01\x04room\x05audio";

#[test]
fn what_must_not_be_on_a_control_stream_ends_the_session() {
    let cases: [(&[u8], SessionCode); 9] = [
        (b"\xaf\x00\x00\x00", ProtocolViolation), // SETUP again
        (b"\x07\x00\x01\x00", ProtocolViolation), // REQUEST_OK
        (b"\x06\x00\x05\x01\x01\x01a\x00", ProtocolViolation), // a request
        (b"\x10\x00\x03\x00\x00\x01", InvalidRequestId), // GOAWAY names a request of the sender's
        (b"\x10\x00\x02\x00\x00", ProtocolViolation), // GOAWAY without a request
        (
            b"\x10\x00\x03\x00\x00\x00\x10\x00\x03\x00\x00\x00",
            ProtocolViolation,
        ), // GOAWAY twice
        (b"\x10\x00\x04\x00\x00\x00\x00", ProtocolViolation), // longer than its fields
        (b"\x3f", ProtocolViolation),             // no such message
        (b"\x10\x7f\xff", InternalError),         // larger than we take
    ];
    for (bytes, code) in cases {
        let mut alone = Alone::open(Role::Client);

        alone.control(bytes);

        assert_eq!(alone.closed(), Some(code), "{bytes:x?}");
    }
}

#[test]
fn a_control_stream_must_begin_with_a_good_setup() {
    let cases: [(&[u8], SessionCode); 6] = [
        (b"\x10\x00\x03\x00\x00\x00", ProtocolViolation),
        (b"\x20\x00\x00", ProtocolViolation),
        (b"\xaf\x00\x00\x01\x04", ProtocolViolation),
        (b"\xaf\x00\x00\x05\x07\x04abc", ProtocolViolation),
        (b"\xaf\x00\x00\x03\x03\x01\x09", KeyValueFormattingError),
        (
            b"\xaf\x00\x00\x0c\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x01\x00",
            ProtocolViolation,
        ),
    ];
    for (bytes, code) in cases {
        let mut alone = Alone::silent(Role::Server, |_| {});

        alone.control(bytes);

        assert_eq!(alone.closed(), Some(code), "{bytes:x?}");
    }
}

#[test]
fn what_must_not_begin_a_stream_ends_the_session() {
    let cases: [(Vec<u8>, SessionCode); 8] = [
        (frame(0x07, b"\x00"), ProtocolViolation),
        (frame(0x02, b"\x00\x00"), ProtocolViolation),
        (frame(0x10, b"\x00\x00\x00"), ProtocolViolation),
        (vec![0xaf, 0x00, 0x00, 0x00], ProtocolViolation),
        (frame(0x06, b"\x01\x01\x01a\x00"), InvalidRequestId), // the server's parity
        (frame(0x06, b"\x00\x01\x01a\x00\x00"), ProtocolViolation), // longer than its fields
        (frame(0x06, b"\x00\x01\x01a"), ProtocolViolation),    // shorter
        (frame(0x06, b"\x00\x01\x01a\x01\x10\x01"), ProtocolViolation), // FORWARD has no place there
    ];
    for (bytes, code) in cases {
        let mut alone = Alone::open(Role::Server);

        alone.request(&bytes);

        assert_eq!(alone.closed(), Some(code), "{bytes:x?}");
    }
}

#[test]
fn what_must_not_follow_a_request_ends_the_session() {
    let cases: [(Vec<u8>, SessionCode); 9] = [
        (frame(0x02, b"\x00\x00"), InvalidRequestId), // the id of the SUBSCRIBE again
        (frame(0x02, b"\x03\x00"), InvalidRequestId),
        (frame(0x02, b"\x02\x01\x08\x00"), ProtocolViolation), // EXPIRES
        (frame(0x02, b"\x02\x01\x34\x00"), ProtocolViolation), // a prefix
        (frame(0x0b, b"\x02\x00\x00"), ProtocolViolation),     // the subscriber publishes nothing
        (frame(0x07, b"\x00"), ProtocolViolation),             // answers nothing
        (frame(0x05, b"\x00\x00\x00"), ProtocolViolation),
        (frame(0x08, b"\x00"), ProtocolViolation),
        (frame(0x10, b"\x01x\x00"), ProtocolViolation), // a client names a URI
    ];
    for (bytes, code) in cases {
        let mut alone = subscribed_to_us();

        alone.feed(StreamId(2), &bytes, false);

        assert_eq!(alone.closed(), Some(code), "{bytes:x?}");
    }
}

#[test]
fn what_must_not_answer_a_request_ends_the_session() {
    let subscribe = |alone: &mut Alone| {
        alone
            .session
            .subscribe(track(&["room"], "audio"), SubscribeOptions::default())
            .unwrap();
    };
    let publish = |alone: &mut Alone| {
        alone
            .session
            .publish(track(&["room"], "audio"), PublishOptions::default())
            .unwrap();
    };
    let namespace = |alone: &mut Alone| {
        alone
            .session
            .publish_namespace("room".parse().unwrap(), Parameters::default())
            .unwrap();
    };
    let status = |alone: &mut Alone| {
        alone
            .session
            .track_status(track(&["room"], "audio"), Parameters::default())
            .unwrap();
    };
    type Call<'a> = &'a dyn Fn(&mut Alone);
    let cases: [(Call<'_>, Vec<u8>); 17] = [
        (&subscribe, frame(0x07, b"\x00")),
        (&subscribe, frame(0x0b, b"\x02\x00\x00")),
        (
            &subscribe,
            [frame(0x04, b"\x01\x00"), frame(0x04, b"\x01\x00")].concat(),
        ),
        (
            &subscribe,
            [frame(0x04, b"\x01\x00"), frame(0x02, b"\x01\x00")].concat(),
        ),
        (&subscribe, frame(0x18, b"\x00\x00\x00\x00")),
        (&subscribe, frame(0x04, b"\x01")),
        (&publish, frame(0x04, b"\x01\x00")),
        (&publish, frame(0x07, b"\x01\x09\x00\x00")),
        (&publish, frame(0x07, b"\x00\x02\x00")),
        (
            &publish,
            [frame(0x07, b"\x00"), frame(0x07, b"\x00")].concat(),
        ),
        (&publish, frame(0x02, b"\x01\x00")),
        (&namespace, frame(0x07, b"\x01\x08\x01")),
        (&namespace, frame(0x05, b"\x34\x00\x00\x00\x01\x01a\x01b")),
        (&subscribe, frame(0x10, b"\x00\x00\x00")),
        (
            &subscribe,
            [frame(0x10, b"\x00\x00"), frame(0x10, b"\x00\x00")].concat(),
        ),
        (&status, frame(0x07, b"\x01\x10\x01")),
        (&status, frame(0x07, b"\x00\x22\x05")),
    ];
    for (call, bytes) in cases {
        let mut alone = Alone::open(Role::Client);
        call(&mut alone);

        alone.feed(StreamId(2), &bytes, false);

        assert_eq!(alone.closed(), Some(ProtocolViolation), "{bytes:x?}");
    }
}

#[test]
fn a_stream_that_ends_within_a_message_ends_the_session() {
    for len in 1..SUBSCRIBE.len() {
        let mut alone = Alone::open(Role::Server);
        let stream = alone.session.accept_bi();

        alone.feed(stream, &SUBSCRIBE[..len], true);

        assert_eq!(alone.closed(), Some(ProtocolViolation), "{len} bytes");
    }
}

#[test]
fn a_stream_that_ends_before_any_message_is_forgotten() {
    let mut alone = Alone::open(Role::Server);
    let stream = alone.session.accept_bi();
    alone.feed(stream, &[], true);
    assert_eq!(alone.outputs(), [Output::Finish(stream)]);

    let stream = alone.session.accept_bi();
    alone.session.handle_reset(stream, 1, alone.now);
    assert_eq!(
        alone.outputs(),
        [Output::Reset(stream, ResetCode::Cancelled)]
    );
    alone.feed(stream, b"\xff\xff", true);
    assert!(alone.outputs().is_empty(), "what comes later is ignored");
}

#[test]
fn too_many_requests_are_refused_one_by_one() {
    let mut alone = Alone::silent(Role::Server, |config| config.limits.peer_requests_max = 2);
    alone.control(&[0xaf, 0x00, 0x00, 0x00]);
    alone.outputs();
    for id in [0, 2, 4_u8] {
        alone.request(&frame(0x06, &[id, 1, 1, b'a' + id, 0]));
    }

    let outputs = alone.outputs();
    let events = outputs
        .iter()
        .filter(|output| matches!(output, Output::Event(_)));
    assert_eq!(events.count(), 2);
    let retry = b"\x05\x00\x1a\x09\x83\xe9\x16too many open requests";
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Write(_, bytes) if bytes.as_ref() == retry))
    );

    alone
        .session
        .cancel(moqrelay_moqt::RequestId(0), ResetCode::Cancelled)
        .unwrap();
    alone.outputs();
    alone.request(&frame(0x06, &[6, 1, 1, b'z', 0]));
    assert_eq!(alone.events().len(), 1, "there is room again");
}

#[test]
fn streams_without_a_request_are_bounded_too() {
    let mut alone = Alone::silent(Role::Server, |config| config.limits.peer_requests_max = 2);
    alone.control(&[0xaf, 0x00, 0x00, 0x00]);
    alone.outputs();
    for _ in 0..5 {
        alone.session.accept_bi();
    }

    let outputs = alone.outputs();

    let code = ResetCode::ExcessiveLoad;
    let refused = |stream| {
        [
            Output::Reset(StreamId(stream), code),
            Output::Stop(StreamId(stream), code),
        ]
    };
    assert_eq!(outputs, [refused(4), refused(5), refused(6)].concat());
}

#[test]
fn our_own_requests_have_a_limit() {
    let mut pair = Pair::with(|config| config.limits.local_requests_max = 1);
    pair.client
        .session
        .subscribe(track(&["a"], "b"), SubscribeOptions::default())
        .unwrap();

    let second = pair
        .client
        .session
        .subscribe(track(&["a"], "c"), SubscribeOptions::default());

    assert_eq!(second, Err(CallError::TooMany));
}

#[test]
fn early_bytes_are_bounded() {
    let mut alone = Alone::silent(Role::Server, |config| {
        config.limits.buffered_bytes_max = 1000
    });
    for _ in 0..10 {
        let stream = alone.session.accept_bi();
        alone.feed(stream, &[0; 100], false);
    }
    assert_eq!(alone.closed(), None);

    let stream = alone.session.accept_bi();
    alone.feed(stream, &[0], false);

    assert_eq!(alone.closed(), Some(InternalError));
}

#[test]
fn many_messages_at_once_are_no_reason_to_complain() {
    let mut alone = Alone::silent(Role::Server, |config| config.limits.buffered_bytes_max = 50);
    alone.control(&[0xaf, 0x00, 0x00, 0x00]);
    let stream = alone.request(&encode_subscribe());
    alone
        .session
        .accept_subscribe(moqrelay_moqt::RequestId(0), SubscribeAnswer::default())
        .unwrap();
    let updates: Vec<u8> = (1..=10)
        .flat_map(|index| frame(0x02, &[index * 2, 1, 0x20, 3]))
        .collect();

    alone.feed(stream, &[updates, vec![0x02]].concat(), false);

    assert_eq!(
        alone
            .events()
            .iter()
            .filter(|event| matches!(event, Event::Update { .. }))
            .count(),
        10
    );
    assert!(alone.session.is_established());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Any bytes in any pieces on any streams: no panic, and after the end silence.
    #[test]
    fn no_peer_makes_a_session_panic(server: bool, setup: bool, steps in vec(step(), 0..40)) {
        let role = if server { Role::Server } else { Role::Client };
        let now = Duration::ZERO;
        let mut session = Session::new(Config::new(Draft::D18, role, Transport::WebTransport), now);
        let mut streams = vec![session.accept_control()];
        if setup {
            session.handle_stream(streams[0], Bytes::from_static(b"\xaf\x00\x00\x00"), false, now);
        }
        let mut closed = false;
        for step in steps {
            match step {
                Step::Open => streams.push(session.accept_bi()),
                Step::Feed(at, bytes, fin) => session.handle_stream(*at.get(&streams), bytes, fin, now),
                Step::Reset(at) => session.handle_reset(*at.get(&streams), 1, now),
                Step::Stop(at) => session.handle_stop(*at.get(&streams), 1, now),
                Step::Subscribe => {
                    let _id = session.subscribe(track(&["room"], "audio"), SubscribeOptions::default());
                }
            }
            while let Some(output) = session.poll_output() {
                prop_assert!(!closed, "{output:?} after the end");
                match output {
                    Output::Open(stream, _) => streams.push(stream),
                    Output::Close(..) => closed = true,
                    Output::Event(event) => answer(&mut session, event),
                    _ => {}
                }
            }
            prop_assert_eq!(session.is_closed(), closed);
        }
    }

    /// A good conversation with one byte changed: the session ends or goes on, but does not panic.
    #[test]
    fn one_changed_byte_does_no_harm(at: prop::sample::Index, mask in 1_u8.., cut: prop::sample::Index) {
        let mut wire = [encode_subscribe(), frame(0x02, b"\x02\x01\x10\x00"), frame(0x02, b"\x04\x00")].concat();
        let at = at.index(wire.len());
        wire[at] ^= mask;
        let mut alone = Alone::open(Role::Server);
        let stream = alone.session.accept_bi();
        let cut = cut.index(wire.len());
        alone.feed(stream, &wire[..cut], false);
        alone.feed(stream, &wire[cut..], true);
        let _outputs = alone.outputs();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Open,
    Feed(prop::sample::Index, Bytes, bool),
    Reset(prop::sample::Index),
    Stop(prop::sample::Index),
    Subscribe,
}

fn step() -> impl Strategy<Value = Step> {
    let good = common::arbitrary::message().prop_map(|message| encode(&message));
    let noise = vec(any::<u8>(), 0..30).prop_map(Bytes::from);
    let bytes = prop_oneof![8 => good, 1 => noise];
    let at = || any::<prop::sample::Index>();
    prop_oneof![
        3 => Just(Step::Open),
        8 => (at(), bytes, prop::bool::weighted(0.1)).prop_map(|(at, bytes, fin)| Step::Feed(at, bytes, fin)),
        1 => at().prop_map(Step::Reset),
        1 => at().prop_map(Step::Stop),
        1 => Just(Step::Subscribe),
    ]
}

fn answer(session: &mut Session, event: Event) {
    let _outcome = match event {
        Event::Subscribe { id, .. } => session
            .accept_subscribe(id, SubscribeAnswer::default())
            .map(|_| ()),
        Event::Publish { id, .. }
        | Event::SubscribeNamespace { id, .. }
        | Event::TrackStatus { id, .. } => session.accept(id, RequestOk::default()),
        Event::Update { id, .. } => session.accept_update(id, Parameters::default()),
        _ => Ok(()),
    };
}

/// A server to which a client has subscribed on stream 2.
fn subscribed_to_us() -> Alone {
    let mut alone = Alone::open(Role::Server);
    let stream = alone.request(&encode_subscribe());
    assert_eq!(stream, StreamId(2));
    alone
        .session
        .accept_subscribe(moqrelay_moqt::RequestId(0), SubscribeAnswer::default())
        .unwrap();
    assert_eq!(alone.events().len(), 1);
    alone
}

fn encode_subscribe() -> Vec<u8> {
    let id = moqrelay_moqt::RequestId(0);
    let subscribe = moqrelay_moqt::Subscribe {
        id,
        track: track(&["room"], "audio"),
        params: Parameters::default(),
    };
    encode(&Message::Subscribe(subscribe)).to_vec()
}
