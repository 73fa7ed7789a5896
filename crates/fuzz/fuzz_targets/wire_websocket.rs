//! WebSocket frames of a media socket: whatever the pieces, the same messages or the same fault.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use moqrelay_wire::websocket::{DecodeError, Decoder, Message, Opcode, Role, encode};

const MAX: usize = 1_000;

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (server, piece, bytes) = input;
    let role = if server { Role::Server } else { Role::Client };
    let whole = read(role, [bytes]);
    let pieces = read(role, bytes.chunks(usize::from(piece) + 1));
    assert_eq!(whole, pieces);

    let mask = server.then_some([1, piece, 0, 0xff]);
    for message in whole.0 {
        let (opcode, payload) = match &message {
            Message::Text(text) => (Opcode::Text, text.as_bytes()),
            Message::Binary(payload) => (Opcode::Binary, &payload[..]),
            Message::Ping(payload) => (Opcode::Ping, &payload[..]),
            Message::Pong(payload) => (Opcode::Pong, &payload[..]),
            Message::Close(_) => continue,
        };
        assert!(payload.len() <= MAX);
        let mut out = BytesMut::new();
        encode(opcode, payload, mask, &mut out);
        assert_eq!(read(role, [&out[..]]), (vec![message], None));
    }
});

fn read<'a>(
    role: Role,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Message>, Option<DecodeError>) {
    let mut decoder = Decoder::new(role, MAX);
    let mut inbox = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        inbox.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut inbox) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}
