//! What arrives: in order, late, twice, or from another timeline.

use core::time::Duration;
use std::collections::VecDeque;

use super::{Buffer, Phase, SPAN_SLACK, Silence, Slot};
use crate::jitter::Push;
use crate::ticks::{self, GRAIN};

/// 120 ms, the longest Opus packet.
const DURATION_MAX: i64 = 5_760;

/// More than 400 ms of the shortest items.
const ITEMS_MAX: usize = 256;

/// 1 s: no network gets faster by this; the publisher's clock jumped.
const JUMP: i64 = 48_000;

impl<T> Buffer<T> {
    /// Takes what arrived at `now`: an item that starts at media time `timestamp` (1/48000 s) and
    /// lasts `duration` (2.5 to 120 ms).
    pub fn push(&mut self, timestamp: u64, duration: Duration, item: T, now: Duration) -> Push {
        self.stats.received += 1;
        let at = ticks::of(now);
        let duration = ticks::of(duration);
        if !(GRAIN..=DURATION_MAX).contains(&duration) {
            return Push::Refused;
        }
        self.spread.expire(at);
        let anchor = *self.anchor.get_or_insert(timestamp);
        let media = timestamp.wrapping_sub(anchor) as i64;
        let transit = at.saturating_sub(media);
        let slot = Slot {
            media,
            duration,
            item,
        };
        if self.spread.is_empty() {
            // Nothing came for long: whatever this is, it is the new beginning.
            self.begin(timestamp, slot, at);
            return Push::Queued;
        }
        if transit < self.spread.min().saturating_sub(JUMP) {
            return self.restart(timestamp, slot, at);
        }
        if self.recent.contains(media) {
            self.stats.duplicates += 1;
            return Push::Duplicate;
        }
        if self.is_late(&slot, transit) {
            if self.strays.add(at) {
                return self.restart(timestamp, slot, at);
            }
            self.stats.late += 1;
            if !self.is_beyond(transit) {
                self.missed(transit, at);
            }
            return Push::Late;
        }
        self.strays.clear();
        self.spread.record(transit, at);
        if self.is_missed(media, transit) {
            self.missed(transit, at);
        } else {
            self.target.met(transit - self.spread.min(), at);
        }
        self.insert(slot);
        Push::Queued
    }

    /// Takes the publisher's word that it says nothing from media time `timestamp` on, until the next
    /// item: what is missing there is silence, not loss.
    pub fn pause(&mut self, timestamp: u64) {
        let Some(anchor) = self.anchor else {
            return;
        };
        let from = timestamp.wrapping_sub(anchor) as i64;
        if self.queue.back().is_some_and(|last| last.media >= from) {
            return; // It speaks again already.
        }
        if self.silence.is_none_or(|known| known.until != i64::MAX) {
            self.stats.pauses += 1;
            self.silence = Some(Silence {
                from,
                until: i64::MAX,
            });
        }
    }

    fn begin(&mut self, timestamp: u64, slot: Slot<T>, at: i64) {
        self.stats.overflowed += self.queue.len() as u64;
        self.queue.clear();
        self.anchor = Some(timestamp);
        self.next = i64::MIN / 4;
        self.phase = Phase::Waiting;
        self.silence = None;
        self.recent = Recent::default();
        self.strays.clear();
        self.spread.clear();
        self.spread.record(at, at);
        self.insert(Slot { media: 0, ..slot });
    }

    fn restart(&mut self, timestamp: u64, slot: Slot<T>, at: i64) -> Push {
        self.stats.restarts += 1;
        self.begin(timestamp, slot, at);
        Push::Restarted
    }

    /// What begins before the middle of what was played already, or comes later than any delay
    /// allows.
    fn is_late(&self, slot: &Slot<T>, transit: i64) -> bool {
        slot.media + slot.duration / 2 <= self.next || self.is_beyond(transit)
    }

    fn is_beyond(&self, transit: i64) -> bool {
        transit.saturating_sub(self.spread.min()) > self.config.delay_max + self.config.step
    }

    /// What will be played, but after a concealment in its place.
    fn is_missed(&self, media: i64, transit: i64) -> bool {
        match self.phase {
            Phase::Waiting => transit.saturating_sub(self.spread.min()) > self.target.current(),
            Phase::Playing { owed, .. } => owed > media - self.next,
        }
    }

    fn missed(&mut self, transit: i64, at: i64) {
        self.target
            .missed(transit.saturating_sub(self.spread.min()), at);
    }

    fn insert(&mut self, slot: Slot<T>) {
        self.nominal = slot.duration;
        if let Some(silence) = &mut self.silence
            && slot.media >= silence.from
        {
            silence.until = silence.until.min(slot.media);
        }
        self.recent.add(slot.media);
        let place = self.queue.partition_point(|other| other.media < slot.media);
        self.queue.insert(place, slot);
        let span = self.config.delay_max + SPAN_SLACK;
        while self.queue.len() > ITEMS_MAX || self.span() > span && self.queue.len() > 1 {
            self.drop_front();
        }
    }

    fn span(&self) -> i64 {
        match (self.queue.front(), self.queue.back()) {
            (Some(front), Some(back)) => back.media + back.duration - front.media,
            _ => 0,
        }
    }
}

/// The last items, to tell a duplicate from what is late.
#[derive(Debug, Default)]
pub(super) struct Recent {
    media: VecDeque<i64>,
    /// The latest of them and of those before: what comes after it is new without a look at the others.
    top: Option<i64>,
}

impl Recent {
    /// More than a second of items of 20 ms.
    const MAX: usize = 64;

    pub(super) fn contains(&self, media: i64) -> bool {
        self.top.is_some_and(|top| media <= top) && self.media.contains(&media)
    }

    pub(super) fn add(&mut self, media: i64) {
        if self.media.len() == Self::MAX {
            self.media.pop_front();
        }
        self.media.push_back(media);
        self.top = self.top.max(Some(media));
    }
}

/// Items in a row that come too late: after 100 ms of them it is the timeline that is wrong.
#[derive(Debug, Default)]
pub(super) struct Strays {
    count: u32,
    since: i64,
}

impl Strays {
    const COUNT_MIN: u32 = 3;
    const SPAN_MIN: i64 = 4_800;

    /// Returns whether the timeline should start afresh.
    pub(super) fn add(&mut self, at: i64) -> bool {
        if self.count == 0 || at < self.since {
            self.since = at;
        }
        self.count = self.count.saturating_add(1);
        self.count >= Self::COUNT_MIN && at - self.since >= Self::SPAN_MIN
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }
}
