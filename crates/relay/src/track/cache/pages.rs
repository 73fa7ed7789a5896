//! The bytes of a cache's small objects.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The largest page: some 150 voice objects, 3 s. Four fifths of it are used at least, with objects of
/// [`COPIED_MAX`](super::COPIED_MAX) bytes, and what a slow reader of one object keeps alive is small.
const PAGE_MAX: usize = 16 << 10;

/// The smallest page: a track with a catalog of one object needs no more.
const PAGE_MIN: usize = 256;

/// A page takes no more than this part of what there is already: the parts of the first and the last page that are not
/// used are small beside the rest.
const PART: usize = 8;

/// Bytes in the order in which they came, in pages that are forgotten as a whole when the last object in them is.
///
/// Beside an allocation for each object this takes less room, and leaves no holes of all sizes behind among what lives
/// longer. Of a page that is over the memory serves the next one.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// The last one is being filled.
    pages: VecDeque<Page>,
    /// The number of the first one.
    first: u32,
    /// What all of them take.
    bytes: usize,
    spare: Option<BytesMut>,
}

/// The number of a page. They may come round again: so many pages do not live at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageId(u32);

#[derive(Debug)]
struct Page {
    /// The rest of it that is free; it knows the memory of all of it.
    free: BytesMut,
    /// Its length; 0: it is over.
    len: usize,
    /// Objects in it.
    objects: usize,
}

impl Pages {
    /// Copies something; tell [`release`](Self::release) when it is forgotten.
    pub(super) fn keep(&mut self, parts: [&[u8]; 2]) -> (PageId, Bytes) {
        let need = parts[0].len() + parts[1].len();
        let room = self.pages.back().map(|page| page.free.capacity());
        if room.is_none_or(|room| room < need) {
            self.turn(need);
        }
        let last = self.pages.len() - 1;
        let page = &mut self.pages[last];
        page.objects += 1;
        for part in parts {
            page.free.extend_from_slice(part);
        }
        let number = u32::try_from(last).expect("pages of one cache are fewer than its bytes");
        let id = PageId(self.first.wrapping_add(number));
        (id, page.free.split().freeze())
    }

    /// An object of this page is forgotten.
    pub(super) fn release(&mut self, id: PageId) {
        let at = id.0.wrapping_sub(self.first) as usize;
        let Some(page) = self.pages.get_mut(at) else {
            return;
        };
        page.objects -= 1;
        if page.objects == 0 && at + 1 < self.pages.len() {
            self.retire(at);
        }
    }

    /// Returns what the pages take, in bytes, used or not.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        let gone = u32::try_from(self.pages.len()).unwrap_or(u32::MAX);
        self.first = self.first.wrapping_add(gone);
        self.pages = VecDeque::new();
        self.spare = None;
        self.bytes = 0;
    }

    /// Begins a page.
    fn turn(&mut self, need: usize) {
        let share = (self.bytes / PART).next_power_of_two();
        let len = share.clamp(PAGE_MIN, PAGE_MAX).max(need);
        let spare = self.spare.take();
        if spare.is_some() {
            self.bytes -= PAGE_MAX;
        }
        // While someone reads what was in it, it cannot be had.
        let spare = spare.filter(|_| len == PAGE_MAX);
        let spare = spare.and_then(|mut free| free.try_reclaim(PAGE_MAX).then_some(free));
        self.pages.push_back(Page {
            free: spare.unwrap_or_else(|| BytesMut::with_capacity(len)),
            len,
            objects: 0,
        });
        self.bytes += len;
        if let Some(before) = self.pages.len().checked_sub(2)
            && self.pages[before].objects == 0
        {
            self.retire(before);
        }
    }

    /// A page is over.
    fn retire(&mut self, at: usize) {
        let page = &mut self.pages[at];
        let len = std::mem::take(&mut page.len);
        let free = std::mem::take(&mut page.free);
        if len == PAGE_MAX && self.spare.is_none() && self.pages.len() > PART {
            self.spare = Some(free);
        } else {
            self.bytes -= len;
        }
        while self.pages.front().is_some_and(|page| page.len == 0) {
            self.pages.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_forgotten_with_its_last_object() {
        let mut pages = Pages::default();
        let kept: Vec<_> = (0..10_u8).map(|n| pages.keep([&[n], &[n; 99]])).collect();
        assert_eq!(pages.bytes(), 5 * 256);
        for (n, (_, bytes)) in (0_u8..).zip(&kept) {
            assert_eq!(bytes, &vec![n; 100]);
        }

        // The second and third page, then the first.
        for n in [2, 3, 4, 5, 0] {
            pages.release(kept[n].0);
        }
        assert_eq!(pages.bytes(), 3 * 256);
        pages.release(kept[1].0);

        assert_eq!((pages.bytes(), pages.pages.len()), (2 * 256, 2));
        pages.clear();
        assert_eq!(pages.bytes(), 0);
    }

    #[test]
    fn pages_grow_with_what_is_kept() {
        let mut pages = Pages::default();
        for _ in 0..3000 {
            pages.keep([&[], &[7; 90]]);
        }

        let lens: Vec<_> = pages.pages.iter().map(|page| page.len).collect();
        assert!(lens.is_sorted() && lens[0] == PAGE_MIN && lens[lens.len() - 1] == PAGE_MAX);
        assert!(pages.bytes() < 270_000 * 9 / 8, "{}", pages.bytes());
    }

    #[test]
    fn a_track_that_goes_on_uses_the_same_pages() {
        let mut pages = Pages::default();
        let mut kept = VecDeque::new();
        let mut most = 0;
        let mut places = std::collections::BTreeSet::new();
        for n in 0..30_000_usize {
            let (id, bytes) = pages.keep([&[], &[7; 90]]);
            if n > 10_000 {
                places.insert(bytes.as_ptr() as usize);
                most = most.max(pages.bytes());
            }
            kept.push_back((id, bytes));
            if kept.len() > 3000 {
                let (id, bytes) = kept.pop_front().unwrap();
                drop(bytes);
                pages.release(id);
            }
        }

        // 20 times round: each place has been used again and again.
        assert!(places.len() < 3000 * 9 / 8 + 2 * 182, "{}", places.len());
        assert!(most < 270_000 * 9 / 8 + 2 * PAGE_MAX, "{most}");
    }

    #[test]
    fn what_is_being_read_is_not_written_over() {
        let mut pages = Pages::default();
        let mut kept = VecDeque::new();
        let mut read = None;
        for n in 0..20_000_u32 {
            kept.push_back(pages.keep([&n.to_be_bytes(), &[7; 90]]));
            if kept.len() > 3000 {
                let (id, bytes) = kept.pop_front().unwrap();
                pages.release(id);
                if n == 8000 {
                    read = Some(bytes);
                }
            }
        }

        assert_eq!(&read.unwrap()[..4], &5000_u32.to_be_bytes());
    }
}
