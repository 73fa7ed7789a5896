//! The frames of a record.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::Parameters;
use crate::{Direction, VarInt, VarIntFlavour::Quic};

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// QX_TRANSPORT_PARAMETERS: the first frame of each side.
    Parameters(Parameters),
    /// STREAM.
    Stream {
        /// The stream.
        id: u64,
        /// Where the payload begins; `None`: not said, which means where the last one ended.
        offset: Option<u64>,
        /// Nothing comes after it.
        fin: bool,
        /// The bytes.
        payload: Bytes,
    },
    /// RESET_STREAM.
    Reset {
        /// The stream.
        id: u64,
        /// The application's code.
        code: u64,
        /// Bytes that were sent on it.
        final_size: u64,
    },
    /// STOP_SENDING.
    Stop {
        /// The stream.
        id: u64,
        /// The application's code.
        code: u64,
    },
    /// MAX_DATA.
    MaxData(u64),
    /// MAX_STREAM_DATA.
    MaxStreamData {
        /// The stream.
        id: u64,
        /// Bytes that may be sent on it.
        max: u64,
    },
    /// MAX_STREAMS.
    MaxStreams(Direction, u64),
    /// DATA_BLOCKED, STREAM_DATA_BLOCKED or STREAMS_BLOCKED, which ask for nothing.
    Blocked,
    /// QX_PING.
    Ping {
        /// Its number.
        sequence: u64,
        /// An answer.
        response: bool,
    },
    /// DATAGRAM.
    Datagram(Bytes),
    /// CONNECTION_CLOSE.
    Close {
        /// The application ended the session; else the connection failed.
        application: bool,
        /// The code.
        code: u64,
        /// The reason, in the peer's words.
        reason: String,
    },
}

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The record ends within a frame.
    #[error("the record ends within a frame")]
    Truncated,
    /// A frame that QMux does not have.
    #[error("unknown frame type {0:#x}")]
    UnknownType(u64),
    /// A transport parameter that may not be there, twice, or out of range.
    #[error("bad transport parameter {0:#x}")]
    Parameter(u64),
}

const PADDING: u64 = 0x00;
const RESET_STREAM: u64 = 0x04;
const STOP_SENDING: u64 = 0x05;
const STREAM: u64 = 0x08;
const STREAM_OFF: u64 = 0x04;
const STREAM_LEN: u64 = 0x02;
const STREAM_FIN: u64 = 0x01;
const MAX_DATA: u64 = 0x10;
const MAX_STREAM_DATA: u64 = 0x11;
const MAX_STREAMS_BI: u64 = 0x12;
const MAX_STREAMS_UNI: u64 = 0x13;
const DATA_BLOCKED: u64 = 0x14;
const STREAM_DATA_BLOCKED: u64 = 0x15;
const STREAMS_BLOCKED_BI: u64 = 0x16;
const STREAMS_BLOCKED_UNI: u64 = 0x17;
const CONNECTION_CLOSE: u64 = 0x1c;
const APPLICATION_CLOSE: u64 = 0x1d;
const DATAGRAM: u64 = 0x30;
const DATAGRAM_LEN: u64 = 0x31;
const TRANSPORT_PARAMETERS: u64 = 0x3f51_5330_0d0a_0d0a;
const PING_REQUEST: u64 = 0x348c_6752_9ef8_c7bd;
const PING_RESPONSE: u64 = 0x348c_6752_9ef8_c7be;

/// The longest header of a STREAM frame: its type, three integers.
pub(super) const STREAM_HEADER_MAX: usize = 1 + 8 + 8 + 4;

/// The longest header of a DATAGRAM frame: its type and its length.
pub(super) const DATAGRAM_HEADER_MAX: usize = 1 + 4;

impl Frame {
    /// Takes the next frame from the front of a record; `None`: there is no more.
    ///
    /// # Errors
    ///
    /// When the bytes are no frame: the connection must end.
    pub fn decode(record: &mut Bytes) -> Result<Option<Self>, FrameError> {
        let kind = loop {
            if record.is_empty() {
                return Ok(None);
            }
            match int(record)? {
                PADDING => {}
                kind => break kind,
            }
        };
        let frame = match kind {
            RESET_STREAM => Self::Reset {
                id: int(record)?,
                code: int(record)?,
                final_size: int(record)?,
            },
            STOP_SENDING => Self::Stop {
                id: int(record)?,
                code: int(record)?,
            },
            STREAM..=0x0f => Self::decode_stream(kind, record)?,
            MAX_DATA => Self::MaxData(int(record)?),
            MAX_STREAM_DATA => Self::MaxStreamData {
                id: int(record)?,
                max: int(record)?,
            },
            MAX_STREAMS_BI => Self::MaxStreams(Direction::Bi, int(record)?),
            MAX_STREAMS_UNI => Self::MaxStreams(Direction::Uni, int(record)?),
            DATA_BLOCKED | STREAMS_BLOCKED_BI | STREAMS_BLOCKED_UNI => {
                int(record)?;
                Self::Blocked
            }
            STREAM_DATA_BLOCKED => {
                int(record)?;
                int(record)?;
                Self::Blocked
            }
            CONNECTION_CLOSE | APPLICATION_CLOSE => Self::decode_close(kind, record)?,
            DATAGRAM => Self::Datagram(std::mem::take(record)),
            DATAGRAM_LEN => Self::Datagram(block(record)?),
            TRANSPORT_PARAMETERS => Self::Parameters(Parameters::decode(block(record)?)?),
            PING_REQUEST | PING_RESPONSE => Self::Ping {
                sequence: int(record)?,
                response: kind == PING_RESPONSE,
            },
            other => return Err(FrameError::UnknownType(other)),
        };
        Ok(Some(frame))
    }

    fn decode_stream(kind: u64, record: &mut Bytes) -> Result<Self, FrameError> {
        let id = int(record)?;
        let offset = (kind & STREAM_OFF != 0).then(|| int(record)).transpose()?;
        let payload = match kind & STREAM_LEN {
            0 => std::mem::take(record),
            _ => block(record)?,
        };
        Ok(Self::Stream {
            id,
            offset,
            fin: kind & STREAM_FIN != 0,
            payload,
        })
    }

    fn decode_close(kind: u64, record: &mut Bytes) -> Result<Self, FrameError> {
        let application = kind == APPLICATION_CLOSE;
        let code = int(record)?;
        if !application {
            int(record)?; // The type of the frame that was at fault.
        }
        let reason = String::from_utf8_lossy(&block(record)?).into_owned();
        Ok(Self::Close {
            application,
            code,
            reason,
        })
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Parameters(parameters) => {
                let mut block = BytesMut::new();
                parameters.encode(&mut block);
                put(out, &[TRANSPORT_PARAMETERS, block.len() as u64]);
                out.put_slice(&block);
            }
            Self::Stream {
                id,
                offset,
                fin,
                payload,
            } => {
                let offset = offset.unwrap_or_default();
                Self::encode_stream_header(*id, offset, payload.len(), *fin, out);
                out.put_slice(payload);
            }
            Self::Reset {
                id,
                code,
                final_size,
            } => put(out, &[RESET_STREAM, *id, *code, *final_size]),
            Self::Stop { id, code } => put(out, &[STOP_SENDING, *id, *code]),
            Self::MaxData(max) => put(out, &[MAX_DATA, *max]),
            Self::MaxStreamData { id, max } => put(out, &[MAX_STREAM_DATA, *id, *max]),
            Self::MaxStreams(Direction::Bi, max) => put(out, &[MAX_STREAMS_BI, *max]),
            Self::MaxStreams(Direction::Uni, max) => put(out, &[MAX_STREAMS_UNI, *max]),
            Self::Blocked => put(out, &[DATA_BLOCKED, 0]),
            Self::Ping { sequence, response } => {
                let kind = match response {
                    true => PING_RESPONSE,
                    false => PING_REQUEST,
                };
                put(out, &[kind, *sequence]);
            }
            Self::Datagram(payload) => {
                put(out, &[DATAGRAM_LEN, payload.len() as u64]);
                out.put_slice(payload);
            }
            Self::Close {
                application,
                code,
                reason,
            } => {
                match application {
                    true => put(out, &[APPLICATION_CLOSE, *code]),
                    false => put(out, &[CONNECTION_CLOSE, *code, 0]),
                }
                put(out, &[reason.len() as u64]);
                out.put_slice(reason.as_bytes());
            }
        }
    }

    /// Appends a STREAM frame up to its payload, which must follow.
    pub(super) fn encode_stream_header(
        id: u64,
        offset: u64,
        len: usize,
        fin: bool,
        out: &mut BytesMut,
    ) {
        let kind = STREAM | STREAM_OFF | STREAM_LEN | if fin { STREAM_FIN } else { 0 };
        put(out, &[kind, id, offset, len as u64]);
    }
}

pub(super) fn int(record: &mut Bytes) -> Result<u64, FrameError> {
    VarInt::decode(Quic, record).ok_or(FrameError::Truncated)
}

/// Takes a length and that many bytes.
pub(super) fn block(record: &mut Bytes) -> Result<Bytes, FrameError> {
    let len = usize::try_from(int(record)?).unwrap_or(usize::MAX);
    if record.len() < len {
        return Err(FrameError::Truncated);
    }
    Ok(record.split_to(len))
}

pub(super) fn put(out: &mut BytesMut, values: &[u64]) {
    for value in values {
        VarInt::encode(Quic, *value, out);
    }
}
