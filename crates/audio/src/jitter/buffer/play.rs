//! What is played: items, what stands for them, or silence.

use core::time::Duration;

use super::{Buffer, DELAY_LIMIT, Phase, SPAN_SLACK, Silence};
use crate::jitter::Play;
use crate::jitter::pace::Position;
use crate::ticks::{self, GRAIN};

/// 100 ms: what is missing for longer is no gap in a word.
const CONCEAL_MAX: i64 = 4_800;

/// 100 ms: a longer gap is silence that was not sent, and what follows repeats nothing of it.
const LOSS_MAX: i64 = 4_800;

/// 10 ms: a player with fine steps looks again after this whether what is late has come.
const CONCEAL_PIECE: i64 = 480;

/// 1 % of loss: the next item should be here in time to recover from it.
const LOSS_HIGH: u32 = 655;

impl<T> Buffer<T> {
    /// Returns what to play next, at `now`.
    ///
    /// `ahead` is the sound the player holds already (zero for one that ticks in whole frames): what
    /// is returned will be heard at `now + ahead`.
    pub fn pop(&mut self, now: Duration, ahead: Duration) -> Play<'_, T> {
        let at = ticks::of(now);
        let ahead = ticks::of(ahead).min(ticks::of(DELAY_LIMIT));
        let extra = if self.config.recover && self.loss > LOSS_HIGH {
            self.nominal
        } else {
            0
        };
        self.target.follow(self.spread.p95(), extra, at);
        self.drop_stale(at);
        let front = self.queue.front().map(|slot| slot.media);
        let Some(media) = front else {
            return self.run_dry();
        };
        if self.phase == Phase::Waiting {
            if self.over(media, at) < -self.config.step / 2 {
                return Play::Silence(ticks::duration(self.config.step));
            }
            self.next = media;
            self.phase = Phase::Playing {
                owed: 0,
                concealed: 0,
            };
        }
        let gap = self.fill_owed(media);
        if gap < GRAIN {
            self.take(at, ahead)
        } else {
            self.fill(gap, at, ahead)
        }
    }

    /// By how much the delay of what starts at `media` exceeds the target, if it is played now.
    fn over(&self, media: i64, at: i64) -> i64 {
        at - media - self.spread.min() - self.target.current()
    }

    /// Gives up what is overtaken by what was played, and what was held for too long because nobody
    /// asked for it.
    fn drop_stale(&mut self, at: i64) {
        let limit = self.config.delay_max + self.config.step + SPAN_SLACK / 4;
        while let Some(front) = self.queue.front() {
            let overtaken = front.media + front.duration / 2 <= self.next;
            let delay = at - front.media - self.spread.min();
            if !overtaken && (delay <= limit || self.queue.len() == 1) {
                break;
            }
            self.drop_front();
        }
    }

    /// Nothing is here: conceals for a while, then falls silent. Does not move on: what is expected
    /// may still come.
    fn run_dry(&mut self) -> Play<'_, T> {
        let step = self.config.step;
        let Phase::Playing { owed, concealed } = self.phase else {
            return Play::Silence(ticks::duration(step));
        };
        if concealed >= CONCEAL_MAX || self.is_silent_at(self.next + owed) {
            self.phase = Phase::Waiting;
            return Play::Silence(ticks::duration(step));
        }
        if owed == 0 {
            self.stats.underruns += 1;
        }
        let piece = self.nominal.min(step.max(CONCEAL_PIECE));
        let piece = (piece + GRAIN - 1) / GRAIN * GRAIN;
        self.phase = Phase::Playing {
            owed: owed + piece,
            concealed: concealed + piece,
        };
        self.conceal(piece)
    }

    /// Whether the publisher said that it is silent at `media`, to half an item.
    fn is_silent_at(&self, media: i64) -> bool {
        let here =
            |silence: Silence| media + self.nominal / 2 >= silence.from && media < silence.until;
        self.silence.is_some_and(here)
    }

    fn conceal(&mut self, piece: i64) -> Play<'_, T> {
        let piece = ticks::duration(piece);
        self.stats.concealed += piece;
        Play::Conceal(piece)
    }

    /// Lets what was concealed stand for what is missing before `media`; returns what is missing
    /// still.
    fn fill_owed(&mut self, media: i64) -> i64 {
        let gap = media - self.next;
        let Phase::Playing { owed, concealed } = self.phase else {
            return gap;
        };
        let filled = gap.clamp(0, owed);
        self.next += filled;
        self.count_lost(filled);
        self.phase = Phase::Playing {
            owed: owed - filled,
            concealed,
        };
        gap - filled
    }

    /// Fills what is missing before the front of the queue.
    fn fill(&mut self, gap: i64, at: i64, ahead: i64) -> Play<'_, T> {
        let Phase::Playing { owed, concealed } = self.phase else {
            return self.run_dry();
        };
        if concealed >= CONCEAL_MAX || self.is_silent_at(self.next) {
            return self.fill_silence(gap, at, ahead);
        }
        let lost = gap + concealed <= LOSS_MAX;
        let recover = self.config.recover && lost;
        // Only what is lost directly before the front of the queue is repeated in it.
        let last = gap < self.nominal + GRAIN;
        let piece = match (recover, last) {
            (true, true) => gap,
            (true, false) => (gap - self.nominal).min(self.nominal),
            (false, _) => gap.min(self.nominal),
        };
        self.next += piece;
        self.phase = Phase::Playing {
            owed,
            concealed: concealed + piece,
        };
        if lost {
            self.count_lost(piece);
        }
        if !(recover && last) {
            return self.conceal(piece);
        }
        self.stats.recovered += 1;
        match self.queue.front() {
            Some(front) => Play::Recover {
                next: &front.item,
                missing: ticks::duration(piece),
            },
            None => Play::Conceal(ticks::duration(piece)),
        }
    }

    /// Silence that was not sent takes as long as it did, unless delay can be shed in it.
    fn fill_silence(&mut self, gap: i64, at: i64, ahead: i64) -> Play<'_, T> {
        let over = self.over(self.next, at);
        let excess = Position {
            over,
            ahead,
            step: self.config.step,
        }
        .excess();
        let shed = excess.clamp(0, gap);
        self.next += shed;
        self.stats.shed += ticks::duration(shed);
        let piece = (gap - shed).min(self.config.step.max(GRAIN));
        if piece < GRAIN {
            return self.take(at, ahead);
        }
        self.next += piece;
        Play::Silence(ticks::duration(piece))
    }

    fn take(&mut self, at: i64, ahead: i64) -> Play<'_, T> {
        let over = self.over(self.next, at);
        let Some(slot) = self.queue.pop_front() else {
            return self.run_dry();
        };
        if let Phase::Playing { owed, .. } = self.phase {
            self.stats.gained += ticks::duration(owed);
        }
        self.phase = Phase::Playing {
            owed: 0,
            concealed: 0,
        };
        self.delay = over + self.target.current() + ahead;
        self.next = slot.media + slot.duration;
        self.stats.played += 1;
        self.loss -= self.loss / 256;
        let pace = self.pacer.pace(
            Position {
                over,
                ahead,
                step: self.config.step,
            },
            at,
        );
        Play::Item {
            item: slot.item,
            duration: ticks::duration(slot.duration),
            pace,
        }
    }

    fn count_lost(&mut self, missing: i64) {
        self.missing += missing;
        let items = self.missing / self.nominal;
        self.missing %= self.nominal;
        self.stats.lost += items as u64;
        for _ in 0..items {
            self.loss += (65_536 - self.loss) / 256;
        }
    }
}
