//! Variable-length integers of both flavours.

use bytes::{Buf, BufMut};

use crate::VarIntFlavour;

/// The codec of variable-length integers (section 1.4.1).
#[derive(Debug, Clone, Copy)]
pub struct VarInt;

impl VarInt {
    /// Longest encoding of any flavour, in bytes.
    pub const LEN_BYTES_MAX: usize = 9;

    /// Reads an integer from the front of `bytes` and returns it with its length in bytes; `None`: more bytes needed.
    ///
    /// Encodings longer than necessary are accepted.
    pub fn peek(flavour: VarIntFlavour, bytes: &[u8]) -> Option<(u64, usize)> {
        let first = *bytes.first()?;
        let (len, bits) = match flavour {
            VarIntFlavour::LeadingOnes => leading_ones(first),
            VarIntFlavour::Quic => (1 << (first >> 6), u64::from(first & 0x3f)),
        };
        let rest = bytes.get(1..len)?;
        let value = rest
            .iter()
            .fold(bits, |value, byte| (value << 8) | u64::from(*byte));
        Some((value, len))
    }

    /// Takes an integer from the front of `buf`; `None`, and nothing taken: more bytes needed.
    pub fn decode(flavour: VarIntFlavour, buf: &mut impl Buf) -> Option<u64> {
        let mut head = [0; Self::LEN_BYTES_MAX];
        let head_len = buf.remaining().min(Self::LEN_BYTES_MAX);
        if buf.chunk().len() >= head_len {
            let (value, len) = Self::peek(flavour, buf.chunk())?;
            buf.advance(len);
            return Some(value);
        }
        let first = *buf.chunk().first()?;
        let len = match flavour {
            VarIntFlavour::LeadingOnes => leading_ones(first).0,
            VarIntFlavour::Quic => 1 << (first >> 6),
        };
        if buf.remaining() < len {
            return None;
        }
        buf.copy_to_slice(&mut head[..len]);
        Self::peek(flavour, &head[..len]).map(|(value, _)| value)
    }

    /// Writes `value` in its shortest form.
    ///
    /// The QUIC flavour carries 62 bits; larger values are written as the largest one, `max(flavour)`.
    pub fn encode(flavour: VarIntFlavour, value: u64, out: &mut impl BufMut) {
        let len = Self::len(flavour, value);
        let bytes = value.min(Self::max(flavour)).to_be_bytes();
        match flavour {
            VarIntFlavour::LeadingOnes if len == 9 => {
                out.put_u8(0xff);
                out.put_slice(&bytes);
            }
            VarIntFlavour::LeadingOnes => {
                let prefix = !(0xff_u32 >> (len - 1)) as u8;
                out.put_u8(prefix | bytes[8 - len]);
                out.put_slice(&bytes[9 - len..]);
            }
            VarIntFlavour::Quic => {
                let prefix = (len.trailing_zeros() as u8) << 6;
                out.put_u8(prefix | bytes[8 - len]);
                out.put_slice(&bytes[9 - len..]);
            }
        }
    }

    /// Returns the length of the shortest form, in bytes.
    pub fn len(flavour: VarIntFlavour, value: u64) -> usize {
        let bits = 64 - value.leading_zeros() as usize;
        match flavour {
            VarIntFlavour::LeadingOnes => bits.div_ceil(7).clamp(1, 9),
            VarIntFlavour::Quic => match bits {
                0..=6 => 1,
                7..=14 => 2,
                15..=30 => 4,
                _ => 8,
            },
        }
    }

    /// Returns the largest integer that the flavour carries.
    pub fn max(flavour: VarIntFlavour) -> u64 {
        match flavour {
            VarIntFlavour::LeadingOnes => u64::MAX,
            VarIntFlavour::Quic => (1 << 62) - 1,
        }
    }
}

/// Length in bytes and the value's bits in the first byte.
fn leading_ones(first: u8) -> (usize, u64) {
    let ones = first.leading_ones() as usize;
    let mask = 0x7f_u32.checked_shr(ones as u32).unwrap_or(0);
    (ones + 1, u64::from(u32::from(first) & mask))
}
