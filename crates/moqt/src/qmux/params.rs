//! Transport parameters (RFC 9000 section 18.2, as far as QMux has them).

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{FrameError, block, int, put};
use crate::{VarInt, VarIntFlavour::Quic};

/// What one side allows the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// After so many milliseconds of silence the connection is over; 0: never.
    pub idle_timeout_ms: u64,
    /// Bytes that may be sent on all streams at first.
    pub data: u64,
    /// Bytes on a bidirectional stream that the sender of these parameters opened.
    pub stream_data_bi_local: u64,
    /// Bytes on a bidirectional stream that the receiver of these parameters opened.
    pub stream_data_bi_remote: u64,
    /// Bytes on a unidirectional stream.
    pub stream_data_uni: u64,
    /// Bidirectional streams that may be opened at first.
    pub streams_bi: u64,
    /// Unidirectional streams that may be opened at first.
    pub streams_uni: u64,
    /// The largest DATAGRAM frame, header included; 0: none.
    pub datagram_frame_bytes: u64,
    /// The largest record.
    pub record_bytes: u64,
}

/// The size that every record may have.
pub(super) const RECORD_BYTES_MIN: u64 = 16_382;

const IDLE_TIMEOUT: u64 = 0x01;
const DATA: u64 = 0x04;
const STREAM_DATA_BI_LOCAL: u64 = 0x05;
const STREAM_DATA_BI_REMOTE: u64 = 0x06;
const STREAM_DATA_UNI: u64 = 0x07;
const STREAMS_BI: u64 = 0x08;
const STREAMS_UNI: u64 = 0x09;
const DATAGRAM_FRAME_BYTES: u64 = 0x20;
const RECORD_BYTES: u64 = 0x0571_c594_29cd_0845;

/// More streams than that cannot be numbered (RFC 9000 section 4.6).
const STREAMS_MAX: u64 = 1 << 60;

impl Default for Parameters {
    fn default() -> Self {
        Self {
            idle_timeout_ms: 0,
            data: 0,
            stream_data_bi_local: 0,
            stream_data_bi_remote: 0,
            stream_data_uni: 0,
            streams_bi: 0,
            streams_uni: 0,
            datagram_frame_bytes: 0,
            record_bytes: RECORD_BYTES_MIN,
        }
    }
}

impl Parameters {
    /// Reads the whole block.
    ///
    /// # Errors
    ///
    /// When it is cut short, or holds a parameter twice, with a bad value, or one that belongs to QUIC alone.
    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, FrameError> {
        let mut parameters = Self::default();
        let mut seen = 0_u64;
        while !bytes.is_empty() {
            let id = int(&mut bytes)?;
            let mut value = block(&mut bytes)?;
            let (bit, field) = match id {
                IDLE_TIMEOUT => (0, &mut parameters.idle_timeout_ms),
                DATA => (1, &mut parameters.data),
                STREAM_DATA_BI_LOCAL => (2, &mut parameters.stream_data_bi_local),
                STREAM_DATA_BI_REMOTE => (3, &mut parameters.stream_data_bi_remote),
                STREAM_DATA_UNI => (4, &mut parameters.stream_data_uni),
                STREAMS_BI => (5, &mut parameters.streams_bi),
                STREAMS_UNI => (6, &mut parameters.streams_uni),
                DATAGRAM_FRAME_BYTES => (7, &mut parameters.datagram_frame_bytes),
                RECORD_BYTES => (8, &mut parameters.record_bytes),
                // Connection ids, tokens, migration, acknowledgements: nothing that a WebSocket has.
                0x00 | 0x02 | 0x03 | 0x0a..=0x10 => return Err(FrameError::Parameter(id)),
                _extension => continue,
            };
            *field = int(&mut value).map_err(|_short| FrameError::Parameter(id))?;
            if !value.is_empty() || seen & 1 << bit != 0 {
                return Err(FrameError::Parameter(id));
            }
            seen |= 1 << bit;
        }
        parameters.check()
    }

    fn check(self) -> Result<Self, FrameError> {
        if self.record_bytes < RECORD_BYTES_MIN {
            return Err(FrameError::Parameter(RECORD_BYTES));
        }
        if self.streams_bi > STREAMS_MAX {
            return Err(FrameError::Parameter(STREAMS_BI));
        }
        if self.streams_uni > STREAMS_MAX {
            return Err(FrameError::Parameter(STREAMS_UNI));
        }
        Ok(self)
    }

    /// Appends every parameter that is not 0.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        let all = [
            (IDLE_TIMEOUT, self.idle_timeout_ms),
            (DATA, self.data),
            (STREAM_DATA_BI_LOCAL, self.stream_data_bi_local),
            (STREAM_DATA_BI_REMOTE, self.stream_data_bi_remote),
            (STREAM_DATA_UNI, self.stream_data_uni),
            (STREAMS_BI, self.streams_bi),
            (STREAMS_UNI, self.streams_uni),
            (DATAGRAM_FRAME_BYTES, self.datagram_frame_bytes),
            (RECORD_BYTES, self.record_bytes),
        ];
        for (id, value) in all {
            if value != 0 {
                put(out, &[id]);
                out.put_u8(VarInt::len(Quic, value) as u8);
                put(out, &[value]);
            }
        }
    }
}
