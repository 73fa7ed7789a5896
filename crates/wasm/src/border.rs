//! The buffer through which JavaScript hands bytes in, and how they are read.

#[cfg(feature = "session")]
use core::time::Duration;
use std::cell::RefCell;

use bytes::Bytes;

/// Most bytes of one call: the largest picture, and what belongs to it.
pub const INPUT_BYTES_MAX: usize = 1024 * 1024;

/// A call did what it was asked to; where it answers a question: no.
pub const OK: i32 = 0;
/// The answer to a question: yes.
pub const YES: i32 = 1;
/// There is no instance, or no such track or peer.
pub const UNKNOWN: i32 = -1;
/// The arguments make no sense.
pub const INVALID: i32 = -2;
/// A limit is reached, or the session is closed.
pub const REFUSED: i32 = -3;

thread_local! {
    // Words of 8 bytes, so that numbers of any kind may be written to it.
    static INPUT: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Returns where to write `len_bytes` bytes for the next call, aligned to 8, or null when they are
/// more than [`INPUT_BYTES_MAX`].
#[allow(unsafe_code, reason = "exported by name")]
#[unsafe(no_mangle)]
pub extern "C" fn input(len_bytes: u32) -> *mut u8 {
    let len_bytes = len_bytes as usize;
    if len_bytes > INPUT_BYTES_MAX {
        return core::ptr::null_mut();
    }
    INPUT.with_borrow_mut(|input| {
        let words = len_bytes.div_ceil(8);
        if input.len() < words {
            input.resize(words, 0);
        }
        input.as_mut_ptr().cast()
    })
}

/// Returns a copy of the first `len_bytes` bytes that were written, or `None` when there is no room
/// for so many.
pub fn bytes(len_bytes: u32) -> Option<Bytes> {
    INPUT.with_borrow(|input| {
        let words = input.get(..(len_bytes as usize).div_ceil(8))?;
        let mut bytes = Vec::with_capacity(words.len() * 8);
        for word in words {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.truncate(len_bytes as usize);
        Some(bytes.into())
    })
}

/// Calls `read` with the first `count` numbers that were written; false when there is no room for
/// so many.
pub fn floats(count: u32, read: impl FnOnce(&mut dyn Iterator<Item = f32>)) -> bool {
    INPUT.with_borrow(|input| {
        let count = count as usize;
        let Some(words) = input.get(..count.div_ceil(2)) else {
            return false;
        };
        let mut numbers = words
            .iter()
            .flat_map(|word| {
                let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
                [
                    f32::from_ne_bytes([a, b, c, d]),
                    f32::from_ne_bytes([e, f, g, h]),
                ]
            })
            .take(count);
        read(&mut numbers);
        true
    })
}

/// Ms since any start as a duration; what makes no sense is zero.
#[cfg(feature = "session")]
#[must_use]
pub fn time(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

/// Takes what [`bytes`] returned apart.
#[derive(Debug)]
pub struct Reader(Bytes);

impl Reader {
    /// Begins at the front.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Takes the next field: two bytes of length, little-endian, and that many bytes.
    pub fn field(&mut self) -> Option<Bytes> {
        let &[low, high] = self.0.first_chunk::<2>()?;
        let end = 2 + usize::from(u16::from_le_bytes([low, high]));
        if end > self.0.len() {
            return None;
        }
        Some(self.0.split_to(end).slice(2..))
    }

    /// Takes what is left as it is.
    #[cfg(feature = "session")]
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.0
    }

    /// Takes the fields that are left.
    pub fn rest(mut self) -> Option<Vec<Bytes>> {
        let mut fields = Vec::new();
        while !self.0.is_empty() {
            fields.push(self.field()?);
        }
        Some(fields)
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "does what JavaScript does")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        write(b"\x02\x00hi\x00\x00");

        let mut reader = Reader::new(bytes(6).unwrap());

        assert_eq!(reader.field().unwrap(), "hi");
        assert_eq!(reader.rest().unwrap(), [Bytes::new()]);
    }

    #[test]
    fn a_field_beyond_the_end_is_refused() {
        for broken in [&b"\x03\x00hi"[..], b"\x00", b"\xff\xff"] {
            assert_eq!(Reader::new(Bytes::copy_from_slice(broken)).field(), None);
        }
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        assert!(input(INPUT_BYTES_MAX as u32 + 1).is_null());
        assert!(input(u32::MAX).is_null());
        assert_eq!(bytes(u32::MAX), None);
        assert!(!floats(u32::MAX, |_| unreachable!()));
    }

    #[test]
    fn floats_come_back_in_order() {
        let numbers = [0.5_f32, -1.0, 0.25];
        write(&numbers.map(f32::to_ne_bytes).concat());

        let mut read = Vec::new();
        assert!(floats(3, |numbers| read.extend(numbers)));

        assert_eq!(read, numbers);
    }

    fn write(bytes: &[u8]) {
        let to = input(bytes.len() as u32);
        // SAFETY: `input` made room for that many bytes, and nothing else uses it meanwhile.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}
