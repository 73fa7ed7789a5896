//! As much of a WebSocket client as `chan_websocket` needs: cheap enough for a thousand of them.
//!
//! Its masks are zero, which the standard allows and leaves payloads as they are.

use anyhow::{Result, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Sound.
    Binary(Bytes),
    /// A command, which nobody here obeys.
    Text,
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// The longest answer to a handshake.
const ANSWER_BYTES_MAX: usize = 4096;

/// Opens a WebSocket as Asterisk does, and says what its sound is. Returns what came behind the answer, too.
pub(super) async fn open(stream: &mut TcpStream, id: Uuid, format: &str) -> Result<BytesMut> {
    let request = format!(
        "GET /media?id={id} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: media\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = BytesMut::new();
    let end = loop {
        if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        ensure!(answer.len() < ANSWER_BYTES_MAX, "an answer without an end");
        let read = stream.read_buf(&mut answer).await?;
        ensure!(read > 0, "the bridge closed during the handshake");
    };
    let head = answer.split_to(end);
    ensure!(
        head.starts_with(b"HTTP/1.1 101"),
        "refused: {}",
        String::from_utf8_lossy(&head)
    );
    let start = format!(
        r#"{{"event":"MEDIA_START","connection_id":"bench","channel":"WebSocket/bench/0","channel_id":"bench-{id}","format":"{format}","optimal_frame_size":640,"ptime":20}}"#
    );
    stream.write_all(&message(TEXT, start.as_bytes())).await?;
    Ok(answer)
}

/// Returns a message of sound.
pub(super) fn binary(sound: &[u8]) -> Bytes {
    message(BINARY, sound)
}

fn message(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + payload.len());
    out.put_u8(0x80 | opcode);
    match u8::try_from(payload.len()) {
        Ok(len @ 0..126) => out.put_u8(0x80 | len),
        _ => {
            out.put_u8(0x80 | 126);
            out.put_u16(payload.len() as u16);
        }
    }
    out.put_u32(0);
    out.put_slice(payload);
    out.freeze()
}

/// Takes the next whole message of the bridge's.
pub(super) fn take(inbox: &mut BytesMut) -> Result<Option<Message>> {
    let &[first, second, ..] = &inbox[..] else {
        return Ok(None);
    };
    let (head, len) = match (second, inbox.get(2..4)) {
        (0..126, _) => (2, usize::from(second)),
        (126, Some(len)) => (4, usize::from(u16::from_be_bytes([len[0], len[1]]))),
        (126, None) => return Ok(None),
        _ => bail!("a message that is masked or too long"),
    };
    if inbox.len() < head + len {
        return Ok(None);
    }
    inbox.advance(head);
    let payload = inbox.split_to(len).freeze();
    Ok(Some(match first & 0x0f {
        BINARY => Message::Binary(payload),
        TEXT => Message::Text,
        CLOSE => bail!("the bridge hung up"),
        opcode => bail!("a WebSocket message of type {opcode}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_whole_and_in_order() {
        let mut inbox = BytesMut::new();
        inbox.extend_from_slice(&[0x81, 1, b'x', 0x82, 126, 0, 200]);
        inbox.extend_from_slice(&[7; 199]);

        let first = take(&mut inbox).unwrap();
        let short = take(&mut inbox).unwrap();
        inbox.extend_from_slice(&[8]);
        let second = take(&mut inbox).unwrap();

        assert_eq!((first, short), (Some(Message::Text), None));
        let Some(Message::Binary(sound)) = second else {
            panic!("{second:?}");
        };
        assert_eq!((sound.len(), sound[199]), (200, 8));
        assert!(inbox.is_empty());
    }

    #[test]
    fn what_we_send_is_masked_with_zeros() {
        assert_eq!(&binary(&[1, 2])[..], [0x82, 0x82, 0, 0, 0, 0, 1, 2]);
        assert_eq!(&binary(&[9; 300])[..5], [0x82, 0xfe, 1, 44, 0]);
    }
}
