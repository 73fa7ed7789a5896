//! Control messages: vectors, round trips, truncation, hostile bytes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{D18, arbitrary, encode, namespace, track};
use moqrelay_moqt::{
    AuthToken, DecodeError, EncodeError, Filter, GoAway, GroupOrder, KeyValueEncoder, Location,
    Message, NameError, Parameters, Publish, PublishDone, PublishDoneCode, Redirect, RequestCode,
    RequestError, RequestId, RequestOk, RequestUpdate, SessionCode, Setup, Subscribe, SubscribeOk,
    SubscribePrefix, Token, TrackAlias,
};
use proptest::prelude::*;

#[test]
fn messages_look_on_the_wire_as_the_draft_draws_them() {
    let params = Parameters {
        object_delivery_timeout: Some(Duration::from_millis(500)),
        rendezvous_timeout: Some(Duration::from_secs(5)),
        forward: Some(true),
        subscriber_priority: Some(128),
        filter: Some(Filter::NextGroupStart),
        group_order: Some(GroupOrder::Descending),
        ..Parameters::default()
    };
    let subscribe = Subscribe {
        id: RequestId(2),
        track: track(&["room", "p1"], "audio"),
        params,
    };
    let expected = b"\x03\x00\x20\x02\x02\x04room\x02p1\x05audio\x06\
        \x02\x81\xf4\x02\x93\x88\x0c\x01\x10\x80\x01\x01\x01\x01\x02";
    assert_eq!(encode(&Message::Subscribe(subscribe)).as_ref(), expected);

    let params = Parameters {
        largest_object: Some(Location::new(300, 7)),
        ..Parameters::default()
    };
    let ok = SubscribeOk {
        alias: TrackAlias(5),
        params,
        properties: Bytes::from_static(b"\x02\x64"),
    };
    assert_eq!(
        encode(&Message::SubscribeOk(ok)).as_ref(),
        b"\x04\x00\x08\x05\x01\x09\x81\x2c\x07\x02\x64"
    );

    let setup = Setup {
        implementation: Some(Bytes::from_static(b"x")),
        auth_token_cache_bytes_max: Some(64),
        ..Setup::default()
    };
    assert_eq!(
        encode(&Message::Setup(setup)).as_ref(),
        b"\xaf\x00\x00\x05\x04\x40\x03\x01x"
    );

    let done = PublishDone {
        status: PublishDoneCode::TrackEnded,
        streams: None,
        reason: "bye".to_owned(),
    };
    let expected = b"\x0b\x00\x0e\x02\xff\x3f\xff\xff\xff\xff\xff\xff\xff\x03bye";
    assert_eq!(encode(&Message::PublishDone(done)).as_ref(), expected);

    let goaway = GoAway {
        uri: Bytes::from_static(b"https://b/"),
        timeout: Duration::from_secs(2),
        request: Some(RequestId(4)),
    };
    assert_eq!(
        encode(&Message::GoAway(goaway)).as_ref(),
        b"\x10\x00\x0e\x0ahttps://b/\x87\xd0\x04"
    );

    let error = RequestError::new(RequestCode::DoesNotExist, "no").retry_after(Duration::ZERO);
    assert_eq!(
        encode(&Message::RequestError(error)).as_ref(),
        b"\x05\x00\x05\x10\x01\x02no"
    );
}

#[test]
fn publish_ok_is_read_under_its_old_number_too() {
    let ok = Message::RequestOk(RequestOk::default());

    assert_eq!(encode(&ok).as_ref(), b"\x07\x00\x01\x00");
    assert_eq!(decode(b"\x1e\x00\x01\x00"), Ok(Some(ok)));
}

#[test]
fn redirects_go_with_their_code_and_only_with_it() {
    let redirect = Redirect {
        uri: Bytes::from_static(b"u"),
        track: Some(track(&["a"], "b")),
    };
    let mut error = RequestError::new(RequestCode::Redirect, "");
    error.redirect = Some(redirect);
    assert_eq!(
        encode(&Message::RequestError(error.clone())).as_ref(),
        b"\x05\x00\x0a\x34\x00\x00\x01u\x01\x01a\x01b"
    );

    error.code = RequestCode::Timeout;
    let without = RequestError::new(RequestCode::Redirect, "");
    for error in [error, without] {
        let written = Message::RequestError(error).encode(D18, &mut BytesMut::new());
        assert_eq!(written, Err(EncodeError::Value("redirect")));
    }
    let same = RequestError {
        redirect: Some(Redirect {
            uri: Bytes::new(),
            track: None,
        }),
        ..RequestError::new(RequestCode::Redirect, "")
    };
    assert_eq!(
        encode(&Message::RequestError(same)).as_ref(),
        b"\x05\x00\x06\x34\x00\x00\x00\x00\x00"
    );
}

#[test]
fn a_parameter_in_the_wrong_message_is_neither_written_nor_read() {
    let params = Parameters {
        largest_object: Some(Location::default()),
        ..Parameters::default()
    };
    let message = Message::Subscribe(Subscribe {
        id: RequestId(0),
        track: track(&["a"], "b"),
        params,
    });
    let written = message.encode(D18, &mut BytesMut::new());
    assert_eq!(
        written,
        Err(EncodeError::MisplacedParameter(0x09, "SUBSCRIBE"))
    );

    let read = decode(b"\x03\x00\x0a\x00\x01\x01a\x01b\x01\x09\x00\x00");
    assert_eq!(
        read,
        Err(DecodeError::MisplacedParameter(0x09, "SUBSCRIBE"))
    );
}

#[test]
fn parameters_that_break_the_rules_end_the_session() {
    let subscribe = |params: &[u8]| {
        let payload = [b"\x00\x01\x01a\x01b", params].concat();
        let mut frame = vec![0x03, 0, payload.len() as u8];
        frame.extend(payload);
        decode(&frame).unwrap_err()
    };

    assert_eq!(
        subscribe(b"\x02\x10\x01\x00\x01"),
        DecodeError::DuplicateParameter(0x10)
    );
    assert_eq!(
        subscribe(b"\x01\x3b\x01"),
        DecodeError::UnknownParameter(0x3b)
    );
    assert_eq!(
        subscribe(b"\x01\x10\x02"),
        DecodeError::Forbidden("FORWARD", 2)
    );
    assert_eq!(
        subscribe(b"\x01\x22\x00"),
        DecodeError::Forbidden("GROUP_ORDER", 0)
    );
    assert_eq!(
        subscribe(b"\x01\x21\x01\x05"),
        DecodeError::Forbidden("filter type", 5)
    );
    let overflow = b"\x02\x10\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(subscribe(overflow), DecodeError::Overflow("parameter type"));
    let range = b"\x01\x21\x0c\x04\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(subscribe(range), DecodeError::Overflow("end group"));
    assert_eq!(
        subscribe(b"\x01\x21\x02\x01\x00").session_code(),
        SessionCode::KeyValueFormattingError
    );
    assert_eq!(
        subscribe(b"\x01\x03\x01\x04").session_code(),
        SessionCode::KeyValueFormattingError
    );
    assert_eq!(
        subscribe(b"\x05\x10\x01").session_code(),
        SessionCode::ProtocolViolation
    );
}

#[test]
fn tokens_may_repeat_in_a_message() {
    let token = |value| {
        Token::UseValue(AuthToken {
            token_type: 0,
            value: Bytes::from_static(value),
        })
    };
    let params = Parameters {
        authorization: vec![token(b"one"), token(b"two")],
        ..Parameters::default()
    };
    let request = SubscribePrefix {
        id: RequestId(0),
        prefix: namespace(&["a"]),
        params,
    };
    let message = Message::SubscribeNamespace(request);

    let bytes = encode(&message);

    assert_eq!(
        bytes.as_ref(),
        b"\x50\x00\x13\x00\x01\x01a\x02\x03\x05\x03\x00one\x00\x05\x03\x00two"
    );
    assert_eq!(decode(&bytes), Ok(Some(message)));
}

#[test]
fn names_beyond_the_limits_end_the_session() {
    let many = [
        &[0x50, 0x00, 0x45, 0x00, 33][..],
        &[1, b'x'].repeat(33),
        &[0],
    ]
    .concat();
    assert_eq!(
        decode(&many),
        Err(DecodeError::Name(NameError::TooManyFields(33)))
    );
    assert_eq!(
        decode(b"\x50\x00\x04\x00\x01\x00\x00"),
        Err(DecodeError::Name(NameError::EmptyField))
    );

    let long = [
        b"\x08\x10\x08\x02\x8f\xa0".as_slice(),
        &[b'x'; 4000],
        b"\x80\x61",
        &[b'x'; 97],
    ]
    .concat();
    let long = with_length(&long);
    assert_eq!(
        decode(&long),
        Err(DecodeError::Name(NameError::TooLong(4097)))
    );
}

#[test]
fn reasons_and_uris_have_their_limits() {
    let long = PublishDone {
        status: PublishDoneCode::Expired,
        streams: Some(0),
        reason: "\u{e4}x".repeat(1000),
    };
    let Ok(Some(Message::PublishDone(read))) = decode(&encode(&Message::PublishDone(long))) else {
        panic!()
    };
    assert_eq!(read.reason.len(), 1023, "a character is not cut in two");

    let broken = with_length(&[b"\x0b\x00\x00\x06\x00\x84\x00".as_slice(), &[0xff; 1024]].concat());
    let Ok(Some(read)) = decode(&broken) else {
        panic!()
    };
    assert_eq!(
        decode(&encode(&read)),
        Ok(Some(read)),
        "replaced characters take no more room"
    );
    let reason = with_length(&[b"\x0b\x00\x00\x06\x00\x84\x01".as_slice(), &[b'x'; 1025]].concat());
    assert!(matches!(
        decode(&reason),
        Err(DecodeError::TooLong {
            len: 1025,
            max: 1024,
            ..
        })
    ));
    let uri = with_length(&[b"\x10\x00\x00\xa0\x01".as_slice(), &[b'x'; 8193], b"\x00"].concat());
    assert!(matches!(
        decode(&uri),
        Err(DecodeError::TooLong {
            len: 8193,
            max: 8192,
            ..
        })
    ));
}

#[test]
fn setup_ignores_what_it_does_not_know() {
    // 0x9d is reserved for this; 0x3f00 twice; 0x40 is even.
    let options = b"\x04\x07\x3c\x2a\x80\x5d\x02zz\xbe\x63\x01a\x00\x01b";
    let setup = [&[0xaf, 0x00, 0x00, options.len() as u8][..], options].concat();

    let expected = Setup {
        auth_token_cache_bytes_max: Some(7),
        ..Setup::default()
    };
    assert_eq!(decode(&setup), Ok(Some(Message::Setup(expected))));
    assert_eq!(
        decode(b"\xaf\x00\x00\x04\x04\x07\x00\x07"),
        Err(DecodeError::DuplicateParameter(4))
    );
}

#[test]
fn an_unknown_type_is_refused_before_its_payload_arrives() {
    for code in [0x00, 0x01, 0x20, 0x21, 0x40, 0x41, 0x09] {
        assert_eq!(
            decode(&[code]),
            Err(DecodeError::UnknownMessage(code.into()))
        );
    }
}

#[test]
fn a_message_that_is_too_long_is_not_written() {
    let publish = Publish {
        id: RequestId(0),
        track: track(&["a"], "b"),
        alias: TrackAlias(0),
        params: Parameters::default(),
        properties: Bytes::from(vec![0; 0x1_0000]),
    };
    let mut out = BytesMut::new();

    assert!(matches!(
        Message::Publish(publish).encode(D18, &mut out),
        Err(EncodeError::MessageTooLong(_))
    ));
    assert!(out.is_empty());
}

#[test]
fn key_value_pairs_refuse_the_wrong_kind_and_order() {
    let mut pairs = KeyValueEncoder::new(D18);

    assert_eq!(pairs.int(3, 0).err(), Some(EncodeError::KeyKind(3)));
    assert_eq!(pairs.bytes(2, b"").err(), Some(EncodeError::KeyKind(2)));
    assert!(pairs.int(4, 1).is_ok());
    assert_eq!(pairs.int(2, 0).err(), Some(EncodeError::KeyOrder(2, 4)));
    assert!(matches!(
        pairs.bytes(5, &[0; 0x1_0000]),
        Err(EncodeError::TooLong(_, 0x1_0000))
    ));
    assert_eq!(pairs.finish().as_ref(), [4, 1]);
}

proptest! {
    #[test]
    fn every_message_is_read_back_as_written(message in arbitrary::message()) {
        let bytes = encode(&message);

        let mut buf = BytesMut::from([bytes.as_ref(), b"tail"].concat().as_slice());
        prop_assert_eq!(Message::decode(D18, &mut buf), Ok(Some(message)));
        prop_assert_eq!(buf.as_ref(), b"tail");
    }

    #[test]
    fn a_frame_cut_anywhere_needs_more_bytes(message in arbitrary::message()) {
        let bytes = encode(&message);

        for len in 0..bytes.len() {
            let mut buf = BytesMut::from(&bytes[..len]);
            prop_assert_eq!(Message::decode(D18, &mut buf), Ok(None));
            prop_assert_eq!(buf.len(), len, "nothing is taken");
        }
    }

    #[test]
    fn a_payload_cut_anywhere_never_yields_the_message(message in arbitrary::message()) {
        let bytes = encode(&message);
        let head = if bytes[0] < 0x80 { 3 } else { 4 };

        for len in head..bytes.len() {
            let cut = with_length(&bytes[..len]);
            // Trailing options and properties have no length of their own: what is left may be a shorter list.
            prop_assert_ne!(decode(&cut), Ok(Some(message.clone())));
        }
    }

    #[test]
    fn a_byte_too_many_is_noticed(message in arbitrary::message()) {
        let open_ended = matches!(
            message,
            Message::Setup(_) | Message::Publish(_) | Message::SubscribeOk(_) | Message::RequestOk(_)
                | Message::FetchOk(_) | Message::GoAway(GoAway { request: None, .. })
        );
        prop_assume!(!open_ended);

        let longer = with_length(&[encode(&message).as_ref(), b"\0"].concat());

        prop_assert_eq!(decode(&longer), Err(DecodeError::TrailingBytes(1)));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let mut buf = BytesMut::from(bytes.as_slice());
        while let Ok(Some(_)) = Message::decode(D18, &mut buf) {}
    }

    #[test]
    fn no_payload_makes_it_panic(
        code in proptest::sample::select(&[3_u8, 4, 5, 6, 7, 8, 0xb, 0xd, 0xe, 0xf, 0x10, 0x16, 0x18, 0x1d, 2, 0x50, 0x51][..]),
        payload in prop::collection::vec(prop_oneof![0_u8..6, any::<u8>()], 0..60),
    ) {
        let frame = [&[code, 0, payload.len() as u8][..], &payload].concat();
        if let Ok(Some(message)) = decode(&frame) {
            // What can be read can be written, and reads the same.
            prop_assert_eq!(decode(&encode(&message)), Ok(Some(message)));
        }
    }

    #[test]
    fn one_flipped_byte_does_no_harm(message in arbitrary::message(), at: prop::sample::Index, mask in 1_u8..) {
        let mut bytes = encode(&message).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        let _outcome = decode(&bytes);
    }
}

#[test]
fn an_update_carries_its_own_id() {
    let params = Parameters {
        forward: Some(false),
        ..Parameters::default()
    };
    let update = Message::RequestUpdate(RequestUpdate {
        id: RequestId(6),
        params,
    });

    assert_eq!(encode(&update).as_ref(), b"\x02\x00\x04\x06\x01\x10\x00");
}

fn decode(bytes: &[u8]) -> Result<Option<Message>, DecodeError> {
    Message::decode(D18, &mut BytesMut::from(bytes))
}

/// Puts the right length into a frame.
fn with_length(frame: &[u8]) -> Bytes {
    let head = if frame[0] < 0x80 { 1 } else { 2 };
    let mut frame = frame.to_vec();
    let len = (frame.len() - head - 2) as u16;
    frame[head..head + 2].copy_from_slice(&len.to_be_bytes());
    Bytes::from(frame)
}
