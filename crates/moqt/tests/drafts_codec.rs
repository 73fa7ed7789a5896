//! Drafts 16 and 14 on the wire: vectors from their texts, and what holds for every draft.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{D14, D16, D18, DRAFTS, arbitrary, namespace, track};
use moqrelay_moqt::{
    About, AuthToken, DecodeError, EncodeError, Envelope, Filter, GoAway, GroupOrder,
    KeyValueEncoder, Location, Message, Parameters, Publish, PublishDone, PublishDoneCode,
    RequestCode, RequestError, RequestId, RequestKind, RequestOk, RequestUpdate, ResetCode, Role,
    SessionCode, Setup, Subscribe, SubscribeOk, SubscribePrefix, Token, TrackAlias,
    TrackProperties,
    data::{
        Datagram, Limits, Object, ObjectDatagram, ObjectStatus, StreamKind, SubgroupDecoder,
        SubgroupEncoder, SubgroupHeader, SubgroupId, SubgroupItem, classify,
    },
    translate_properties,
};
use proptest::prelude::*;

#[test]
fn draft_16_messages_look_on_the_wire_as_it_draws_them() {
    let setup = Setup {
        sender: Some(Role::Client),
        path: Some(Bytes::from_static(b"/a")),
        max_request_id: Some(200),
        implementation: Some(Bytes::from_static(b"x")),
        ..Setup::default()
    };
    // Three parameters; keys as differences: 1, 2, 7.
    both_ways(
        D16,
        plain(Message::Setup(setup)),
        b"\x20\x00\x0b\x03\x01\x02/a\x01\x40\xc8\x05\x01x",
    );
    let setup = Setup {
        sender: Some(Role::Server),
        max_request_id: Some(5),
        ..Setup::default()
    };
    both_ways(
        D16,
        plain(Message::Setup(setup)),
        b"\x21\x00\x03\x01\x02\x05",
    );

    let params = Parameters {
        object_delivery_timeout: Some(Duration::from_millis(500)),
        forward: Some(true),
        subscriber_priority: Some(128),
        filter: Some(Filter::AbsoluteRange {
            start: Location::new(7, 1),
            end_group: 9,
        }),
        group_order: Some(GroupOrder::Descending),
        ..Parameters::default()
    };
    let subscribe = Message::Subscribe(Subscribe {
        id: RequestId(2),
        track: track(&["room", "p1"], "audio"),
        params,
    });
    both_ways(
        D16,
        plain(subscribe),
        b"\x03\x00\x21\x02\x02\x04room\x02p1\x05audio\x05\
          \x02\x41\xf4\x0e\x01\x10\x40\x80\x01\x04\x04\x07\x01\x09\x01\x02",
    );

    let ok = Message::SubscribeOk(SubscribeOk {
        alias: TrackAlias(5),
        params: Parameters {
            largest_object: Some(Location::new(300, 7)),
            ..Parameters::default()
        },
        properties: Bytes::from_static(b"\x02\x64"),
    });
    both_ways(
        D16,
        about(2, RequestKind::Subscribe, ok),
        b"\x04\x00\x0a\x02\x05\x01\x09\x03\x41\x2c\x07\x02\x64",
    );

    let done = Message::PublishDone(PublishDone {
        status: PublishDoneCode::TooFarBehind,
        streams: None,
        reason: "bye".to_owned(),
    });
    both_ways(
        D16,
        about_unknown(4, done),
        b"\x0b\x00\x0e\x04\x06\xff\xff\xff\xff\xff\xff\xff\xff\x03bye",
    );

    let error = RequestError::new(RequestCode::DoesNotExist, "no").retry_after(Duration::ZERO);
    both_ways(
        D16,
        about_unknown(4, Message::RequestError(error)),
        b"\x05\x00\x06\x04\x10\x01\x02no",
    );
    both_ways(
        D16,
        about(
            6,
            RequestKind::Publish,
            Message::RequestOk(RequestOk::default()),
        ),
        b"\x1e\x00\x02\x06\x00",
    );
    both_ways(
        D16,
        about_unknown(6, Message::RequestOk(RequestOk::default())),
        b"\x07\x00\x02\x06\x00",
    );
    let update = Message::RequestUpdate(RequestUpdate {
        id: RequestId(8),
        params: Parameters {
            forward: Some(false),
            ..Parameters::default()
        },
    });
    both_ways(
        D16,
        about_unknown(6, update),
        b"\x02\x00\x05\x08\x06\x01\x10\x00",
    );
}

#[test]
fn draft_16_ends_and_grants_have_messages_of_their_own() {
    both_ways(
        D16,
        about_unknown(3, Message::Unsubscribe),
        b"\x0a\x00\x01\x03",
    );
    both_ways(
        D16,
        about(3, RequestKind::Fetch, Message::FetchCancel),
        b"\x17\x00\x01\x03",
    );
    both_ways(
        D16,
        about(
            3,
            RequestKind::PublishNamespace,
            Message::PublishNamespaceDone,
        ),
        b"\x09\x00\x01\x03",
    );
    let cancel = RequestError::new(RequestCode::Uninterested, "no");
    both_ways(
        D16,
        about(
            3,
            RequestKind::PublishNamespace,
            Message::PublishNamespaceCancel(cancel),
        ),
        b"\x0c\x00\x05\x03\x20\x02no",
    );
    both_ways(
        D16,
        plain(Message::MaxRequestId(100)),
        b"\x15\x00\x02\x40\x64",
    );
    both_ways(D16, plain(Message::RequestsBlocked(6)), b"\x1a\x00\x01\x06");
    let goaway = GoAway {
        uri: Bytes::from_static(b"https://b/"),
        timeout: Duration::ZERO,
        request: None,
    };
    both_ways(
        D16,
        plain(Message::GoAway(goaway)),
        b"\x10\x00\x0b\x0ahttps://b/",
    );
}

#[test]
fn draft_16_subscribes_to_namespaces_tracks_or_both() {
    let request = SubscribePrefix {
        id: RequestId(1),
        prefix: namespace(&["a"]),
        params: Parameters::default(),
    };
    for (message, wants) in [
        (Message::SubscribeTracks(request.clone()), 0),
        (Message::SubscribeNamespace(request.clone()), 1),
        (Message::SubscribeBoth(request.clone()), 2),
    ] {
        both_ways(D16, plain(message), &[0x11, 0, 6, 1, 1, 1, b'a', wants, 0]);
    }
    assert_eq!(
        decode(D16, b"\x11\x00\x06\x01\x01\x01a\x03\x00"),
        Err(DecodeError::Forbidden("subscribe options", 3))
    );
}

#[test]
fn draft_14_messages_look_on_the_wire_as_it_draws_them() {
    let setup = Setup {
        sender: Some(Role::Client),
        versions: vec![0xff00_000d, 0xff00_000e],
        max_request_id: Some(8),
        implementation: Some(Bytes::from_static(b"x")),
        ..Setup::default()
    };
    both_ways(
        D14,
        plain(Message::Setup(setup)),
        b"\x20\x00\x17\x02\xc0\x00\x00\x00\xff\x00\x00\x0d\xc0\x00\x00\x00\xff\x00\x00\x0e\
          \x02\x02\x08\x07\x01x",
    );
    let setup = Setup {
        sender: Some(Role::Server),
        versions: vec![0xff00_000e],
        ..Setup::default()
    };
    both_ways(
        D14,
        plain(Message::Setup(setup)),
        b"\x21\x00\x09\xc0\x00\x00\x00\xff\x00\x00\x0e\x00",
    );

    let params = Parameters {
        object_delivery_timeout: Some(Duration::from_millis(500)),
        authorization: vec![Token::UseValue(AuthToken {
            token_type: 0,
            value: Bytes::from_static(b"t"),
        })],
        forward: Some(true),
        subscriber_priority: Some(128),
        filter: Some(Filter::AbsoluteRange {
            start: Location::new(7, 1),
            end_group: 9,
        }),
        group_order: Some(GroupOrder::Descending),
        ..Parameters::default()
    };
    let subscribe = Message::Subscribe(Subscribe {
        id: RequestId(2),
        track: track(&["room"], "audio"),
        params,
    });
    both_ways(
        D14,
        plain(subscribe),
        b"\x03\x00\x1d\x02\x01\x04room\x05audio\x80\x02\x01\x04\x07\x01\x09\
          \x02\x02\x41\xf4\x03\x03\x03\x00t",
    );

    let properties = TrackProperties {
        cache_duration_max: Some(Duration::from_millis(9)),
        group_order: GroupOrder::Descending,
        ..TrackProperties::default()
    };
    let ok = Message::SubscribeOk(SubscribeOk {
        alias: TrackAlias(5),
        params: Parameters {
            expires: Some(Duration::from_millis(60)),
            largest_object: Some(Location::new(300, 7)),
            ..Parameters::default()
        },
        properties: properties.write(D14),
    });
    both_ways(
        D14,
        about(2, RequestKind::Subscribe, ok),
        b"\x04\x00\x0b\x02\x05\x3c\x02\x01\x41\x2c\x07\x01\x04\x09",
    );

    let publish = Message::Publish(Publish {
        id: RequestId(3),
        track: track(&["a"], "b"),
        alias: TrackAlias(1),
        params: Parameters {
            forward: Some(false),
            ..Parameters::default()
        },
        properties: Bytes::new(),
    });
    both_ways(
        D14,
        plain(publish),
        b"\x1d\x00\x0b\x03\x01\x01a\x01b\x01\x01\x00\x00\x00",
    );
    let ok = RequestOk {
        params: Parameters {
            forward: Some(true),
            subscriber_priority: Some(1),
            group_order: Some(GroupOrder::Ascending),
            filter: Some(Filter::LargestObject),
            ..Parameters::default()
        },
        ..RequestOk::default()
    };
    both_ways(
        D14,
        about(3, RequestKind::Publish, Message::RequestOk(ok)),
        b"\x1e\x00\x06\x03\x01\x01\x01\x02\x00",
    );
    let update = Message::RequestUpdate(RequestUpdate {
        id: RequestId(8),
        params: Parameters {
            forward: Some(false),
            subscriber_priority: Some(2),
            filter: Some(Filter::AbsoluteStart(Location::new(4, 0))),
            ..Parameters::default()
        },
    });
    both_ways(
        D14,
        about_unknown(2, update),
        b"\x02\x00\x08\x08\x02\x04\x00\x00\x02\x00\x00",
    );
}

#[test]
fn draft_14_answers_each_kind_of_request_in_its_own_way() {
    let kinds = [
        (RequestKind::Subscribe, 0x05, RequestCode::DoesNotExist, 0x4),
        (RequestKind::Subscribe, 0x05, RequestCode::InvalidRange, 0x5),
        (RequestKind::Publish, 0x1f, RequestCode::Uninterested, 0x4),
        (RequestKind::Fetch, 0x19, RequestCode::MalformedTrack, 0x9),
        (
            RequestKind::TrackStatus,
            0x0f,
            RequestCode::ExpiredAuthToken,
            0x12,
        ),
        (
            RequestKind::PublishNamespace,
            0x08,
            RequestCode::Uninterested,
            0x4,
        ),
        (
            RequestKind::SubscribeNamespace,
            0x13,
            RequestCode::PrefixOverlap,
            0x5,
        ),
    ];
    for (kind, number, code, written) in kinds {
        let error = Message::RequestError(RequestError::new(code, "no"));
        both_ways(
            D14,
            about(6, kind, error),
            &[number, 0, 5, 6, written, 2, b'n', b'o'],
        );
    }
    for (kind, number) in [
        (RequestKind::PublishNamespace, 0x07),
        (RequestKind::SubscribeNamespace, 0x12),
    ] {
        let ok = Message::RequestOk(RequestOk::default());
        both_ways(D14, about(6, kind, ok), &[number, 0, 1, 6]);
    }
    let named = About::Namespace(namespace(&["a"]));
    for (message, number) in [
        (Message::PublishNamespaceDone, 0x09),
        (Message::UnsubscribeNamespace, 0x14),
    ] {
        let envelope = Envelope {
            about: Some(named.clone()),
            message,
        };
        both_ways(D14, envelope, &[number, 0, 3, 1, 1, b'a']);
    }
}

#[test]
fn what_a_draft_cannot_say_is_left_out_or_refused() {
    let params = Parameters {
        rendezvous_timeout: Some(Duration::from_secs(1)),
        subgroup_delivery_timeout: Some(Duration::from_secs(1)),
        object_delivery_timeout: Some(Duration::ZERO),
        ..Parameters::default()
    };
    let subscribe = plain(Message::Subscribe(Subscribe {
        id: RequestId(0),
        track: track(&["a"], "b"),
        params,
    }));
    assert_eq!(
        encode(D16, &subscribe).unwrap().as_ref(),
        b"\x03\x00\x07\x00\x01\x01a\x01b\x00"
    );
    let busy = RequestError::new(RequestCode::ExcessiveLoad, "");
    for draft in [D16, D14] {
        let error = Message::RequestError(busy.clone());
        let bytes = encode(draft, &about(0, RequestKind::Subscribe, error)).unwrap();
        let Message::RequestError(error) = decode(draft, &bytes).unwrap().unwrap().message else {
            panic!("{bytes:?}");
        };
        assert_eq!(error.code, RequestCode::InternalError);
    }
    let suffix = plain(Message::Namespace(namespace(&["a"])));
    assert_eq!(
        encode(D14, &suffix),
        Err(EncodeError::NotInDraft("NAMESPACE"))
    );
    assert_eq!(
        encode(D18, &plain(Message::Unsubscribe)),
        Err(EncodeError::NotInDraft("UNSUBSCRIBE"))
    );
}

#[test]
fn old_parameters_that_do_not_belong_there_are_ignored() {
    // GROUP_ORDER in PUBLISH_NAMESPACE, then FORWARD twice, then an unknown parameter.
    let offer = b"\x06\x00\x07\x00\x01\x01a\x01\x22\x01";
    assert!(matches!(decode(D16, offer), Ok(Some(_))));
    assert_eq!(
        decode(D16, b"\x02\x00\x07\x02\x00\x02\x10\x01\x00\x01"),
        Err(DecodeError::DuplicateParameter(0x10))
    );
    let unknown = b"\x06\x00\x07\x00\x01\x01a\x01\x3a\x01";
    assert_eq!(
        decode(D16, unknown),
        Err(DecodeError::UnknownParameter(0x3a))
    );
    assert!(matches!(decode(D14, unknown), Ok(Some(_))));
    // DELIVERY_TIMEOUT of zero.
    assert_eq!(
        decode(D16, b"\x02\x00\x05\x02\x00\x01\x02\x00"),
        Err(DecodeError::Forbidden("DELIVERY_TIMEOUT", 0))
    );
    // LARGEST_OBJECT longer than a location.
    let long = decode(D16, b"\x07\x00\x07\x00\x01\x09\x03\x01\x01\x01").unwrap_err();
    assert_eq!(long.session_code(), SessionCode::KeyValueFormattingError);
    // No namespace at all.
    assert!(decode(D16, b"\x03\x00\x05\x00\x00\x01b\x00\x00").is_err());
}

#[test]
fn each_draft_has_its_own_numbers_for_errors() {
    for draft in DRAFTS {
        for code in SessionCode::ALL {
            let read = SessionCode::from_code(draft, code.to_code(draft));
            assert!(read == *code || read == SessionCode::InternalError);
        }
        for code in ResetCode::ALL {
            let read = ResetCode::from_code(draft, code.to_code(draft));
            assert!(read == *code || read == ResetCode::InternalError);
        }
    }
    assert_eq!(PublishDoneCode::Expired.to_code(D18), 0x6);
    assert_eq!(PublishDoneCode::Expired.to_code(D16), 0x5);
    assert_eq!(PublishDoneCode::MalformedTrack.to_code(D14), 0x7);
    assert_eq!(ResetCode::UnknownObjectStatus.to_code(D16), 0x4);
    assert_eq!(SessionCode::TooManyRequests.to_code(D16), 0x7);
    assert_eq!(SessionCode::from_code(D18, 0x7), SessionCode::Other(7));
}

#[test]
fn stream_types_belong_to_their_draft() {
    let subgroup = Ok(Some(StreamKind::Subgroup));
    // With the flag of the first object, with the default priority, plain.
    assert_eq!(classify(D18, b"\x50"), subgroup);
    assert!(classify(D16, b"\x40\x50").is_err());
    assert_eq!(classify(D16, b"\x30"), subgroup);
    assert!(classify(D14, b"\x30").is_err());
    for draft in DRAFTS {
        assert_eq!(classify(draft, b"\x1d"), subgroup);
        assert!(classify(draft, b"\x16").is_err());
        assert_eq!(classify(draft, b"\x05"), Ok(Some(StreamKind::Fetch)));
    }
}

#[test]
fn headers_say_what_their_draft_can_say() {
    let header = SubgroupHeader {
        alias: TrackAlias(2),
        group: 300,
        subgroup: SubgroupId::Explicit(1),
        priority: None,
        properties: false,
        end_of_group: true,
        first_object: true,
    };
    let bytes = |draft| {
        let mut out = BytesMut::new();
        header.encode(draft, &mut out);
        out.freeze()
    };
    assert_eq!(bytes(D18).as_ref(), b"\x7c\x02\x81\x2c\x01");
    assert_eq!(bytes(D16).as_ref(), b"\x3c\x02\x41\x2c\x01");
    // Without a default the priority is written out.
    assert_eq!(bytes(D14).as_ref(), b"\x1c\x02\x41\x2c\x01\x80");

    let datagram = ObjectDatagram {
        alias: TrackAlias(2),
        group: 1,
        id: 0,
        priority: None,
        end_of_group: false,
        status: ObjectStatus::EndOfTrack,
        properties: Bytes::new(),
        payload: Bytes::new(),
    };
    assert_eq!(datagram.encode(D16).unwrap().as_ref(), b"\x2c\x02\x01\x04");
    assert_eq!(
        datagram.encode(D14).unwrap().as_ref(),
        b"\x20\x02\x01\x00\x80\x04"
    );
    assert!(Datagram::decode(D14, Bytes::from_static(b"\x24\x02\x01\x80\x04")).is_err());
}

#[test]
fn objects_of_draft_14_that_do_not_exist_are_passed_over() {
    let mut decoder = SubgroupDecoder::new(D14, Limits::default());
    // Object 0, then 1 that does not exist, then 2, then the end of the group with a property of its own.
    decoder.push(Bytes::from_static(
        b"\x11\x02\x00\x80\x00\x00\x01a\x00\x00\x00\x01\x00\x00\x01b\x00\x02\x3c\x01\x00\x03",
    ));
    let mut ids = Vec::new();
    while let Some(item) = decoder.poll().unwrap() {
        if let SubgroupItem::Object(object) = item {
            assert!(object.properties.is_empty());
            ids.push((object.id, object.status));
        }
    }
    assert_eq!(
        ids,
        [
            (0, ObjectStatus::Normal),
            (2, ObjectStatus::Normal),
            (3, ObjectStatus::EndOfGroup)
        ]
    );
    let gone = Datagram::decode(D14, Bytes::from_static(b"\x20\x02\x01\x05\x80\x01"));
    assert_eq!(gone, Ok(Datagram::Padding));
    assert!(Datagram::decode(D16, Bytes::from_static(b"\x20\x02\x01\x05\x80\x01")).is_err());
}

#[test]
fn ids_that_do_not_fit_are_refused() {
    let header = SubgroupHeader {
        alias: TrackAlias(0),
        group: 0,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties: false,
        end_of_group: false,
        first_object: false,
    };
    let object = Object {
        id: 1 << 62,
        ..Object::default()
    };
    let mut out = BytesMut::new();
    assert!(
        SubgroupEncoder::new(D18, header)
            .object(&object, &mut out)
            .is_ok()
    );
    assert_eq!(
        SubgroupEncoder::new(D16, header).object(&object, &mut out),
        Err(EncodeError::Value("group or object id"))
    );
}

#[test]
fn properties_keep_keys_and_values_in_every_form() {
    let mut inner = KeyValueEncoder::new(D18);
    inner.int(0x40, 300).unwrap();
    let inner = inner.finish();
    let mut outer = KeyValueEncoder::new(D18);
    outer.int(0x06, 200).unwrap();
    outer.bytes(0x0b, &inner).unwrap();
    outer.bytes(0x21, b"hi").unwrap();
    outer.int(0x40, u64::MAX).unwrap();
    let ours = outer.finish();

    let old = translate_properties(D18, D14, &ours).unwrap();
    let newer = translate_properties(D14, D16, &old).unwrap();
    let back = translate_properties(D16, D18, &newer).unwrap();

    assert_eq!(
        old.as_ref(),
        b"\x06\x40\xc8\x0b\x04\x40\x40\x41\x2c\x21\x02hi"
    );
    assert_eq!(
        newer.as_ref(),
        b"\x06\x40\xc8\x05\x04\x40\x40\x41\x2c\x16\x02hi"
    );
    // The last one needs 64 bits, which older drafts do not have.
    assert_eq!(back, ours.slice(..back.len()));
    assert_eq!(ours.len() - back.len(), 10);

    let timeout = TrackProperties {
        object_delivery_timeout: Some(Duration::ZERO),
        publisher_priority: Some(3),
        ..TrackProperties::default()
    };
    let raw = TrackProperties::translate(D18, D16, &timeout.write(D18)).unwrap();
    assert_eq!(raw.as_ref(), b"\x0e\x03");
}

proptest! {
    #[test]
    fn what_is_read_is_written_the_same_and_cut_short_it_is_not_read(
        message in arbitrary::message(),
        id in 0_u64..1 << 60,
        kind in proptest::sample::select(vec![
            RequestKind::Subscribe,
            RequestKind::Publish,
            RequestKind::Fetch,
            RequestKind::TrackStatus,
            RequestKind::PublishNamespace,
            RequestKind::SubscribeNamespace,
        ]),
    ) {
        for draft in DRAFTS {
            let envelope = about(id, kind, message.clone());
            let Ok(bytes) = encode(draft, &envelope) else {
                continue;
            };
            // Reading it may say less than what was written, but from then on nothing is lost.
            let Ok(Some(read)) = decode(draft, &bytes) else {
                // Raw track properties may be no key-value pairs, and names may be empty.
                prop_assert!(draft != D18 || decode(draft, &bytes).is_err());
                continue;
            };
            let again = encode(draft, &writable(&read, kind)).unwrap();
            prop_assert_eq!(decode(draft, &again).unwrap().unwrap(), read.clone());
            for len in 0..bytes.len() {
                prop_assert_eq!(decode(draft, &bytes[..len]), Ok(None));
            }
        }
    }

    #[test]
    fn hostile_bytes_break_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for draft in DRAFTS {
            let mut buf = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = Envelope::decode(draft, &mut buf) {}
            drop(Datagram::decode(draft, Bytes::copy_from_slice(&bytes)));
            let mut decoder = SubgroupDecoder::new(draft, Limits::default());
            decoder.push(Bytes::copy_from_slice(&bytes));
            while let Ok(Some(_)) = decoder.poll() {}
            for to in DRAFTS {
                drop(translate_properties(draft, to, &Bytes::copy_from_slice(&bytes)));
            }
        }
    }
}

/// An envelope as it must be to be written: the kind is not in every message, but always known to who writes.
fn writable(read: &Envelope, kind: RequestKind) -> Envelope {
    let about = match &read.about {
        Some(About::Request { id, kind: None }) => {
            // The kind is what tells an answer to PUBLISH from others.
            let known = (kind != RequestKind::Publish).then_some(kind);
            Some(About::Request {
                id: *id,
                kind: known,
            })
        }
        other => other.clone(),
    };
    Envelope {
        about,
        message: read.message.clone(),
    }
}

fn both_ways(draft: moqrelay_moqt::Draft, envelope: Envelope, bytes: &[u8]) {
    let written = encode(draft, &envelope).unwrap();
    assert_eq!(written.as_ref(), bytes, "{envelope:?}: {written:02x?}");
    assert_eq!(decode(draft, bytes), Ok(Some(envelope)));
}

fn plain(message: Message) -> Envelope {
    Envelope {
        about: None,
        message,
    }
}

fn about(id: u64, kind: RequestKind, message: Message) -> Envelope {
    Envelope {
        about: Some(About::Request {
            id: RequestId(id),
            kind: Some(kind),
        }),
        message,
    }
}

fn about_unknown(id: u64, message: Message) -> Envelope {
    Envelope {
        about: Some(About::Request {
            id: RequestId(id),
            kind: None,
        }),
        message,
    }
}

fn encode(draft: moqrelay_moqt::Draft, envelope: &Envelope) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    envelope.encode(draft, &mut out)?;
    Ok(out.freeze())
}

fn decode(draft: moqrelay_moqt::Draft, bytes: &[u8]) -> Result<Option<Envelope>, DecodeError> {
    Envelope::decode(draft, &mut BytesMut::from(bytes))
}
