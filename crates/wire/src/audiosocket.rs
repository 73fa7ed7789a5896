//! AudioSocket, the protocol by which Asterisk hands us a call's audio.
//!
//! A message is `type (1) · length (2, big endian) · payload`; PCM is signed 16 bit mono, little endian.
//! Asterisk is always the TCP client and one connection is one call. What may be sent to Asterisk is only
//! [`encode_audio`] and [`HANGUP`]: any other message makes it end the call. [`Message::encode`] is for the
//! other end, that is for stand-ins of Asterisk in tests and benches.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;
use uuid::Uuid;

/// Bytes of type and length.
pub const HEADER_BYTES: usize = 3;

/// The longest payload its 16 bit length can name, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = u16::MAX as usize;

/// "Hang up", whole: send it before closing, since a bare close can go out as a reset and stop the dialplan.
pub const HANGUP: [u8; HEADER_BYTES] = [TYPE_HANGUP, 0, 0];

/// One message, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// The call is over (0x00).
    Hangup,
    /// Which call this is (0x01): the first message, and only once.
    Id(Uuid),
    /// A key of the telephone (0x03), told once when it is released: one of `0-9A-D*#`.
    Digit(char),
    /// Sound (0x10 to 0x18).
    Audio(Audio),
    /// The peer reports a fault (0xff), with its code if there was one. No Asterisk 22 sends it.
    Fault(Option<u8>),
}

/// The sound of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    /// The rate that the message's type names; older Asterisks name 8 kHz for everything.
    pub rate: Rate,
    /// The samples as they came: 16 bit little endian, an even number of bytes, at least one sample.
    pub pcm: Bytes,
}

impl Audio {
    /// Returns the samples in order.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = i16> + '_ {
        self.pcm
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
    }
}

/// A sample rate that AudioSocket has a message type for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rate {
    /// 8 kHz, type 0x10.
    Hz8000,
    /// 12 kHz, type 0x11.
    Hz12000,
    /// 16 kHz, type 0x12.
    Hz16000,
    /// 24 kHz, type 0x13.
    Hz24000,
    /// 32 kHz, type 0x14.
    Hz32000,
    /// 44.1 kHz, type 0x15.
    Hz44100,
    /// 48 kHz, type 0x16.
    Hz48000,
    /// 96 kHz, type 0x17.
    Hz96000,
    /// 192 kHz, type 0x18.
    Hz192000,
}

impl Rate {
    /// Every rate, in the order of their types.
    pub const ALL: [Self; 9] = [
        Self::Hz8000,
        Self::Hz12000,
        Self::Hz16000,
        Self::Hz24000,
        Self::Hz32000,
        Self::Hz44100,
        Self::Hz48000,
        Self::Hz96000,
        Self::Hz192000,
    ];

    /// Returns the samples of one second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz12000 => 12_000,
            Self::Hz16000 => 16_000,
            Self::Hz24000 => 24_000,
            Self::Hz32000 => 32_000,
            Self::Hz44100 => 44_100,
            Self::Hz48000 => 48_000,
            Self::Hz96000 => 96_000,
            Self::Hz192000 => 192_000,
        }
    }

    /// Returns the samples of 20 ms.
    #[must_use]
    pub const fn frame_samples(self) -> usize {
        self.hz() as usize / 50
    }

    /// Returns the bytes of 20 ms.
    #[must_use]
    pub const fn frame_bytes(self) -> usize {
        self.frame_samples() * 2
    }

    const fn message_type(self) -> u8 {
        TYPE_AUDIO_FIRST
            + match self {
                Self::Hz8000 => 0,
                Self::Hz12000 => 1,
                Self::Hz16000 => 2,
                Self::Hz24000 => 3,
                Self::Hz32000 => 4,
                Self::Hz44100 => 5,
                Self::Hz48000 => 6,
                Self::Hz96000 => 7,
                Self::Hz192000 => 8,
            }
    }

    fn from_type(kind: u8) -> Option<Self> {
        Self::ALL
            .get(usize::from(kind.checked_sub(TYPE_AUDIO_FIRST)?))
            .copied()
    }
}

/// A message whose content cannot be used.
///
/// The message has been taken from the buffer in every case, so the framing is intact and decoding can go on;
/// [`DecodeError::is_fatal`] says whether it makes sense to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The call's id does not have 16 bytes.
    #[error("call id of {0} bytes instead of 16")]
    IdLength(usize),
    /// A digit message does not hold exactly one character.
    #[error("digit of {0} bytes instead of 1")]
    DigitLength(usize),
    /// The character is on no telephone.
    #[error("digit {0:#04x} is none of 0-9A-D*#")]
    Digit(u8),
    /// A sound message without sound.
    #[error("audio message without audio")]
    AudioEmpty,
    /// Half a sample: not 16 bit PCM.
    #[error("audio of {0} bytes is not 16 bit PCM")]
    AudioOdd(usize),
}

impl DecodeError {
    /// Returns whether nothing after this message can be trusted.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        matches!(self, Self::IdLength(_))
    }
}

/// A message that does not fit the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Asterisk ends the call on a sound message without sound.
    #[error("audio message without audio")]
    AudioEmpty,
    /// More than the length field can name.
    #[error("audio of {0} bytes, at most {PAYLOAD_BYTES_MAX}")]
    AudioTooLong(usize),
    /// The character is on no telephone.
    #[error("digit {0:?} is none of 0-9A-D*#")]
    Digit(char),
}

impl Message {
    /// Takes the next message from the front of `buffer`; `None` when it is not complete yet.
    ///
    /// Messages of unknown types are skipped. A buffer never needs to hold more than
    /// [`HEADER_BYTES`] + [`PAYLOAD_BYTES_MAX`] for one message.
    ///
    /// # Errors
    ///
    /// When the content of the message makes no sense; it has been taken from the buffer nevertheless.
    pub fn decode(buffer: &mut BytesMut) -> Result<Option<Self>, DecodeError> {
        while let Some((kind, payload)) = take(buffer) {
            if let Some(message) = Self::from_payload(kind, payload)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn from_payload(kind: u8, payload: Bytes) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match kind {
            TYPE_HANGUP => Self::Hangup,
            TYPE_ID => {
                let id = <[u8; 16]>::try_from(&payload[..]);
                Self::Id(Uuid::from_bytes(
                    id.map_err(|_| DecodeError::IdLength(payload.len()))?,
                ))
            }
            TYPE_DIGIT => {
                let &[digit] = &payload[..] else {
                    return Err(DecodeError::DigitLength(payload.len()));
                };
                if !is_digit(char::from(digit)) {
                    return Err(DecodeError::Digit(digit));
                }
                Self::Digit(char::from(digit))
            }
            TYPE_FAULT => Self::Fault(payload.first().copied()),
            _ => match Rate::from_type(kind) {
                None => return Ok(None),
                Some(_) if payload.is_empty() => return Err(DecodeError::AudioEmpty),
                Some(_) if !payload.len().is_multiple_of(2) => {
                    return Err(DecodeError::AudioOdd(payload.len()));
                }
                Some(rate) => Self::Audio(Audio { rate, pcm: payload }),
            },
        }))
    }

    /// Appends the message, as Asterisk would send it, to `out`; on an error nothing is appended.
    ///
    /// # Errors
    ///
    /// When a digit or the amount of sound does not fit.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        match self {
            Self::Hangup => out.put_slice(&HANGUP),
            Self::Id(id) => put(out, TYPE_ID, id.as_bytes()),
            Self::Digit(digit) => {
                let byte = u8::try_from(*digit).map_err(|_| EncodeError::Digit(*digit))?;
                if !is_digit(*digit) {
                    return Err(EncodeError::Digit(*digit));
                }
                put(out, TYPE_DIGIT, &[byte]);
            }
            Self::Audio(audio) => {
                check_audio(audio.pcm.len())?;
                put(out, audio.rate.message_type(), &audio.pcm);
            }
            Self::Fault(code) => put(out, TYPE_FAULT, code.as_slice()),
        }
        Ok(())
    }
}

/// Appends one message of sound to `out`, header and payload together, so that one write can carry both.
///
/// Asterisk ends the call when a payload comes more than about 5 ms behind its header.
///
/// # Errors
///
/// When there are no samples, or more than a message can hold; nothing is appended then.
pub fn encode_audio(rate: Rate, samples: &[i16], out: &mut BytesMut) -> Result<(), EncodeError> {
    let len = check_audio(samples.len().saturating_mul(2))?;
    out.reserve(HEADER_BYTES + samples.len() * 2);
    out.put_u8(rate.message_type());
    out.put_u16(len);
    let start = out.len();
    out.resize(start + samples.len() * 2, 0);
    // One copy, which sample by sample would not become.
    for (pair, sample) in out[start..].chunks_exact_mut(2).zip(samples) {
        pair.copy_from_slice(&sample.to_le_bytes());
    }
    Ok(())
}

fn check_audio(len_bytes: usize) -> Result<u16, EncodeError> {
    match u16::try_from(len_bytes) {
        Ok(0) => Err(EncodeError::AudioEmpty),
        Ok(len) => Ok(len),
        Err(_) => Err(EncodeError::AudioTooLong(len_bytes)),
    }
}

/// Takes type and payload of the first message; `None` when it is not complete.
fn take(buffer: &mut BytesMut) -> Option<(u8, Bytes)> {
    let &[kind, high, low] = buffer.first_chunk::<HEADER_BYTES>()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    if buffer.len() - HEADER_BYTES < len {
        return None;
    }
    buffer.advance(HEADER_BYTES);
    Some((kind, buffer.split_to(len).freeze()))
}

/// Callers pass payloads that `check_audio` has seen, or of at most 16 bytes.
fn put(out: &mut BytesMut, kind: u8, payload: &[u8]) {
    out.reserve(HEADER_BYTES + payload.len());
    out.put_u8(kind);
    out.put_u16(payload.len() as u16);
    out.put_slice(payload);
}

fn is_digit(character: char) -> bool {
    matches!(character, '0'..='9' | 'A'..='D' | '*' | '#')
}

const TYPE_HANGUP: u8 = 0x00;
const TYPE_ID: u8 = 0x01;
const TYPE_DIGIT: u8 = 0x03;
/// 8 kHz; the types of the other rates follow in the order of [`Rate::ALL`].
const TYPE_AUDIO_FIRST: u8 = 0x10;
const TYPE_FAULT: u8 = 0xff;
