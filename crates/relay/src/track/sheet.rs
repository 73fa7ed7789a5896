//! Where objects are written as they stand on the wire.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};

/// The largest sheet, in bytes: some 40 voice objects, and two datagrams of the largest size.
const SHEET_MAX: usize = 4 << 10;

/// The smallest one.
const SHEET_MIN: usize = 128;

/// A piece of memory with the bytes of several objects, one behind the other.
///
/// The log keeps them for some seconds, between what sessions keep for as long as they live: an allocation for each of
/// them would leave holes of all sizes there, and costs more than writing into a sheet. A sheet is gone when the last
/// object in it is; whoever holds one of them keeps all of it. Each one of a track is twice as large as that before it:
/// a catalog of one object takes a small one.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// What is not written on yet.
    free: BytesMut,
    /// The length of all of it.
    len: usize,
}

impl Sheet {
    /// Lets `write` write some `need` bytes. They are [taken](Self::take) next, or forgotten.
    pub(super) fn write<E>(
        &mut self,
        need: usize,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        self.free.clear();
        if self.free.capacity() < need {
            self.len = (self.len * 2).clamp(SHEET_MIN, SHEET_MAX).max(need);
            self.free = BytesMut::with_capacity(self.len);
        }
        write(&mut self.free)
    }

    /// Returns what was written.
    pub(super) fn take(&mut self) -> Bytes {
        self.free.split().freeze()
    }

    /// Copies something that is kept elsewhere, so that it need not be kept there.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        let written = self.write(bytes.len(), |out| {
            out.extend_from_slice(bytes);
            Ok::<_, Infallible>(())
        });
        match written {
            Ok(()) => self.take(),
            Err(never) => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_one_after_the_other_shares_memory() {
        let mut sheet = Sheet::default();
        let texts: Vec<String> = (0..500).map(|n| format!("object {n}")).collect();

        let written: Vec<Bytes> = texts.iter().map(|t| sheet.copy(t.as_bytes())).collect();

        assert!(written.iter().zip(&texts).all(|(w, t)| w == t.as_bytes()));
        let follows = |pair: &&[Bytes]| pair[0].as_ptr_range().end == pair[1].as_ptr();
        let together = written.windows(2).filter(follows).count();
        assert!(together > 490, "{together}");
    }

    #[test]
    fn a_single_object_takes_no_more_than_a_small_sheet() {
        let mut sheet = Sheet::default();

        sheet.copy(b"a catalog");

        assert_eq!(sheet.len, SHEET_MIN);
        sheet.copy(&[7; 3 * SHEET_MAX]);
        assert_eq!(sheet.len, 3 * SHEET_MAX, "as large as it must be");
        sheet.copy(&[7; 100]);
        assert_eq!(sheet.len, SHEET_MAX, "never larger otherwise");
    }

    #[test]
    fn what_was_not_taken_leaves_nothing_behind() {
        let mut sheet = Sheet::default();

        let failed = sheet.write(8, |out| {
            out.extend_from_slice(b"half");
            Err("no")
        });

        assert_eq!(failed, Err("no"));
        assert_eq!(sheet.copy(b"whole"), "whole");
        assert_eq!(sheet.take(), "", "only once");
    }
}
