//! Frames of a WebSocket whose handshake is over (RFC 6455, section 5): bytes to messages and back.
//!
//! Without extensions. It is for sockets of which there are a thousand with a short message every 20 ms: a message is
//! a slice of what was read, and what is sent is written behind its head. Handshakes are elsewhere.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use thiserror::Error;

/// Who we are on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Took the connection: what comes is masked.
    Server,
    /// Opened it: what comes is not masked, and what goes is.
    Client,
}

/// One message, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// Wants a [`Pong`](Self::Pong) with the same bytes.
    Ping(Bytes),
    /// The answer.
    Pong(Bytes),
    /// The other side sends nothing after this; with its reason, if it has one.
    Close(Option<u16>),
}

/// Kinds of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a message.
    Continuation,
    /// Begins a text.
    Text,
    /// Begins bytes.
    Binary,
    /// Ends the connection.
    Close,
    /// Asks for an answer.
    Ping,
    /// Is the answer.
    Pong,
}

/// What came is no WebSocket, or too much: the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A bit for an extension, of which there is none.
    #[error("a frame with reserved bits")]
    Reserved,
    /// A kind of frame that the standard does not have.
    #[error("a frame of kind {0}")]
    Opcode(u8),
    /// From a client, or masked from a server.
    #[error("a frame that is not masked as its sender must do it")]
    Mask,
    /// Longer than allowed, all its parts together.
    #[error("a message of {0} bytes, at most {1}")]
    TooLong(u64, usize),
    /// A frame of control has at most [`CONTROL_BYTES_MAX`] bytes and is one piece.
    #[error("a frame of control that is too long or in pieces")]
    Control,
    /// A part without a beginning, or a beginning within a message.
    #[error("parts of messages out of order")]
    Order,
    /// No UTF-8.
    #[error("a text that is no UTF-8")]
    Text,
    /// One byte of a code of two.
    #[error("a close with half a code")]
    Close,
}

/// The longest payload of a frame of control.
pub const CONTROL_BYTES_MAX: usize = 125;

/// Nothing stands before a payload that is longer: two bytes, a length of eight, and a mask.
pub const HEAD_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LENGTH_OF_TWO: u8 = 126;
const LENGTH_OF_EIGHT: u8 = 127;

/// Takes messages out of what was read.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    message_bytes_max: usize,
    /// What a message has so far whose end has not come.
    begun: Option<(Opcode, BytesMut)>,
}

impl Decoder {
    /// Makes one for the side that we are; longer messages end the connection.
    #[must_use]
    pub fn new(role: Role, message_bytes_max: usize) -> Self {
        Self {
            role,
            message_bytes_max,
            begun: None,
        }
    }

    /// Takes the next message; `None`: more bytes are needed. Frames of control may come between the parts of one.
    ///
    /// # Errors
    ///
    /// See [`DecodeError`]; nothing that follows means anything.
    pub fn decode(&mut self, inbox: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
        while let Some(head) = self.head(inbox)? {
            if inbox.len() - head.len < head.payload_len {
                return Ok(None);
            }
            inbox.advance(head.len);
            let mut payload = inbox.split_to(head.payload_len);
            if let Some(mask) = head.mask {
                apply(mask, &mut payload);
            }
            if let Some(message) = self.take(head.opcode, head.fin, payload)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Reads what stands before a payload, which may not be here yet.
    fn head(&self, inbox: &[u8]) -> Result<Option<Head>, DecodeError> {
        let &[first, second, ref rest @ ..] = inbox else {
            return Ok(None);
        };
        if first & RESERVED != 0 {
            return Err(DecodeError::Reserved);
        }
        let opcode = Opcode::from_bits(first & 0x0f)?;
        let fin = first & FIN != 0;
        let masked = second & MASKED != 0;
        if masked != (self.role == Role::Server) {
            return Err(DecodeError::Mask);
        }
        let (length, rest) = match second & !MASKED {
            LENGTH_OF_TWO => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u16::from_be_bytes(*length).into(), rest),
                None => return Ok(None),
            },
            LENGTH_OF_EIGHT => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (length.into(), rest),
        };
        if opcode.is_control() && (length > CONTROL_BYTES_MAX as u64 || !fin) {
            return Err(DecodeError::Control);
        }
        let before = match &self.begun {
            Some((_, begun)) if !opcode.is_control() => begun.len(),
            _ => 0,
        };
        let room = self.message_bytes_max.saturating_sub(before);
        let payload_len = usize::try_from(length).ok();
        let payload_len = payload_len.filter(|length| opcode.is_control() || *length <= room);
        let Some(payload_len) = payload_len else {
            let whole = length.saturating_add(before as u64);
            return Err(DecodeError::TooLong(whole, self.message_bytes_max));
        };
        let (mask, rest) = match (masked, rest.split_first_chunk::<4>()) {
            (false, _) => (None, rest),
            (true, Some((mask, rest))) => (Some(*mask), rest),
            (true, None) => return Ok(None),
        };
        Ok(Some(Head {
            opcode,
            fin,
            mask,
            len: inbox.len() - rest.len(),
            payload_len,
        }))
    }

    /// Takes a frame's payload; returns the message that is whole with it.
    fn take(
        &mut self,
        opcode: Opcode,
        fin: bool,
        payload: BytesMut,
    ) -> Result<Option<Message>, DecodeError> {
        let (opcode, payload) = match opcode {
            Opcode::Ping => return Ok(Some(Message::Ping(payload.freeze()))),
            Opcode::Pong => return Ok(Some(Message::Pong(payload.freeze()))),
            Opcode::Close => return close(&payload).map(Some),
            Opcode::Continuation => {
                let (opcode, mut begun) = self.begun.take().ok_or(DecodeError::Order)?;
                begun.extend_from_slice(&payload);
                (opcode, begun)
            }
            Opcode::Text | Opcode::Binary if self.begun.is_some() => {
                return Err(DecodeError::Order);
            }
            Opcode::Text | Opcode::Binary => (opcode, payload),
        };
        if !fin {
            self.begun = Some((opcode, payload));
            return Ok(None);
        }
        if opcode == Opcode::Text {
            let text = str::from_utf8(&payload).map_err(|_| DecodeError::Text)?;
            return Ok(Some(Message::Text(text.to_owned())));
        }
        Ok(Some(Message::Binary(payload.freeze())))
    }
}

/// Appends a whole message to `out`; `mask`: of a client, a new one for each that nobody can foresee.
///
/// A frame of control takes [`CONTROL_BYTES_MAX`] bytes of payload at most: what is beyond is left out.
pub fn encode(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>, out: &mut BytesMut) {
    let payload = match payload.get(..CONTROL_BYTES_MAX) {
        Some(start) if opcode.is_control() => start,
        _ => payload,
    };
    out.reserve(HEAD_BYTES_MAX + payload.len());
    out.put_u8(FIN | opcode.to_bits());
    let masked = if mask.is_some() { MASKED } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..LENGTH_OF_TWO), _) => out.put_u8(masked | length),
        (_, Ok(length)) => {
            out.put_u8(masked | LENGTH_OF_TWO);
            out.put_u16(length);
        }
        _ => {
            out.put_u8(masked | LENGTH_OF_EIGHT);
            out.put_u64(payload.len() as u64);
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[][..], |mask| mask));
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply(mask, &mut out[start..]);
    }
}

struct Head {
    opcode: Opcode,
    fin: bool,
    mask: Option<[u8; 4]>,
    len: usize,
    payload_len: usize,
}

impl Opcode {
    fn from_bits(bits: u8) -> Result<Self, DecodeError> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => return Err(DecodeError::Opcode(other)),
        })
    }

    fn to_bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn is_control(self) -> bool {
        match self {
            Self::Continuation | Self::Text | Self::Binary => false,
            Self::Close | Self::Ping | Self::Pong => true,
        }
    }
}

/// What follows the code is for people.
fn close(payload: &[u8]) -> Result<Message, DecodeError> {
    match payload {
        [] => Ok(Message::Close(None)),
        [_] => Err(DecodeError::Close),
        [high, low, ..] => Ok(Message::Close(Some(u16::from_be_bytes([*high, *low])))),
    }
}

/// Puts a mask on, or takes it off.
fn apply(mask: [u8; 4], bytes: &mut [u8]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
