//! WebSocket frames: the standard's examples, both ways, in pieces of any size, and what is refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::{Bytes, BytesMut};
use moqrelay_wire::websocket::{
    CONTROL_BYTES_MAX, DecodeError, Decoder, Message, Opcode, Role, encode,
};
use proptest::prelude::*;

const MAX: usize = 70_000;

/// RFC 6455 section 5.7.
#[test]
fn the_standards_examples_are_read() {
    let hello = Message::Text("Hello".into());
    let masked = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let parts = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    let pong = [
        0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let mut medium = vec![0x82, 0x7e, 0x01, 0x00];
    medium.resize(4 + 256, 7);
    let mut long = vec![0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0];
    long.resize(10 + 65_536, 7);

    assert_eq!(
        read(Role::Client, b"\x81\x05Hello"),
        Ok(vec![hello.clone()])
    );
    assert_eq!(read(Role::Server, &masked), Ok(vec![hello.clone()]));
    assert_eq!(read(Role::Client, &parts), Ok(vec![hello]));
    assert_eq!(
        read(Role::Client, b"\x89\x05Hello"),
        Ok(vec![Message::Ping(Bytes::from_static(b"Hello"))])
    );
    assert_eq!(
        read(Role::Server, &pong),
        Ok(vec![Message::Pong(Bytes::from_static(b"Hello"))])
    );
    assert_eq!(
        read(Role::Client, &medium),
        Ok(vec![Message::Binary(vec![7; 256].into())])
    );
    assert_eq!(
        read(Role::Client, &long),
        Ok(vec![Message::Binary(vec![7; 65_536].into())])
    );
}

#[test]
fn the_standards_examples_are_written() {
    let mut out = BytesMut::new();
    encode(Opcode::Text, b"Hello", None, &mut out);
    encode(
        Opcode::Text,
        b"Hello",
        Some([0x37, 0xfa, 0x21, 0x3d]),
        &mut out,
    );

    assert_eq!(out[..7], *b"\x81\x05Hello");
    assert_eq!(
        out[7..],
        [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58
        ]
    );
}

#[test]
fn control_comes_between_the_parts_of_a_message() {
    let bytes = [0x02, 0x01, 1, 0x89, 0x00, 0x00, 0x01, 2, 0x80, 0x00];

    let messages = read(Role::Client, &bytes).unwrap();

    assert_eq!(
        messages,
        [
            Message::Ping(Bytes::new()),
            Message::Binary(Bytes::from_static(&[1, 2]))
        ]
    );
}

#[test]
fn a_close_has_a_code_or_none() {
    let with_reason = [0x88, 0x05, 0x03, 0xe8, b'b', b'y', b'e'];

    assert_eq!(
        read(Role::Client, &with_reason),
        Ok(vec![Message::Close(Some(1000))])
    );
    assert_eq!(
        read(Role::Client, &[0x88, 0]),
        Ok(vec![Message::Close(None)])
    );
    assert_eq!(read(Role::Client, &[0x88, 1, 3]), Err(DecodeError::Close));
}

#[test]
fn what_the_standard_forbids_is_refused_by_name() {
    let cases: [(&[u8], DecodeError); 10] = [
        (&[0xc2, 0], DecodeError::Reserved),
        (&[0x83, 0], DecodeError::Opcode(3)),
        (&[0x8b, 0], DecodeError::Opcode(11)),
        (&[0x82, 0x80, 0, 0, 0, 0], DecodeError::Mask),
        (&[0x89, 126, 0, 126], DecodeError::Control),
        (&[0x09, 0], DecodeError::Control),
        (&[0x80, 0], DecodeError::Order),
        (&[0x02, 0, 0x82, 0], DecodeError::Order),
        (&[0x81, 1, 0xff], DecodeError::Text),
        (
            &[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            DecodeError::TooLong(u64::MAX, MAX),
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(read(Role::Client, bytes), Err(error), "{bytes:02x?}");
    }
    assert_eq!(read(Role::Server, &[0x82, 0]), Err(DecodeError::Mask));
}

#[test]
fn parts_are_too_long_together_before_the_last_one_is_here() {
    let mut decoder = Decoder::new(Role::Client, 10);
    let mut inbox = BytesMut::from(&[0x02, 6, 1, 2, 3, 4, 5, 6, 0x80, 5][..]);

    assert_eq!(
        decoder.decode(&mut inbox),
        Err(DecodeError::TooLong(11, 10))
    );
}

#[test]
fn control_that_is_too_long_is_cut() {
    let mut out = BytesMut::new();

    encode(Opcode::Ping, &[1; 200], None, &mut out);

    let ping = Message::Ping(vec![1; CONTROL_BYTES_MAX].into());
    assert_eq!(read(Role::Client, &out), Ok(vec![ping]));
}

proptest! {
    #[test]
    fn what_is_written_is_read_whatever_the_pieces(
        payloads in proptest::collection::vec((0_usize..70_000, any::<u8>()), 1..4),
        mask in any::<Option<[u8; 4]>>(),
        piece in 1_usize..5_000,
    ) {
        let role = if mask.is_some() { Role::Server } else { Role::Client };
        let payloads: Vec<_> = payloads
            .into_iter()
            .map(|(len, first)| (0..len).map(|n| first.wrapping_add(n as u8)).collect::<Vec<_>>())
            .collect();
        let mut out = BytesMut::new();
        for payload in &payloads {
            encode(Opcode::Binary, payload, mask, &mut out);
        }

        let mut decoder = Decoder::new(role, MAX);
        let mut inbox = BytesMut::new();
        let mut messages = Vec::new();
        for piece in out.chunks(piece) {
            inbox.extend_from_slice(piece);
            while let Some(message) = decoder.decode(&mut inbox).unwrap() {
                messages.push(message);
            }
        }

        let sent: Vec<_> = payloads.into_iter().map(|payload| Message::Binary(payload.into())).collect();
        prop_assert_eq!(messages, sent);
        prop_assert!(inbox.is_empty());
    }

    #[test]
    fn anything_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        for role in [Role::Server, Role::Client] {
            let messages = read(role, &bytes).unwrap_or_default();
            prop_assert!(messages.len() <= bytes.len() / 2);
        }
    }
}

fn read(role: Role, bytes: &[u8]) -> Result<Vec<Message>, DecodeError> {
    let mut decoder = Decoder::new(role, MAX);
    let mut inbox = BytesMut::from(bytes);
    let mut messages = Vec::new();
    while let Some(message) = decoder.decode(&mut inbox)? {
        messages.push(message);
    }
    Ok(messages)
}
