//! How unevenly items arrive: the transit time (arrival minus media time) of the last seconds.

use std::collections::VecDeque;

/// 10 s: long enough to see the network's habits, short enough that a drifting clock (100 ppm moves
/// 1 ms in that time) and a changed route are forgotten soon.
const WINDOW: i64 = 480_000;

/// 10 s of items of 20 ms and some more.
const SAMPLES_MAX: usize = 512;

/// Shorter items count once in 20 ms, so that the window stays 10 s.
const SLOT: i64 = 960;

/// Transit times, absolute in ticks: only differences mean something.
#[derive(Debug, Default)]
pub(super) struct Spread {
    samples: VecDeque<Sample>,
    /// The transits of `samples` in order: to put one in and take one out costs less than to look for a quantile
    /// among all.
    sorted: Vec<i64>,
    /// The least of them; when there are none, of those that were.
    min: i64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    transit: i64,
    at: i64,
    slot: i64,
}

impl Spread {
    /// Forgets what is older than the window.
    pub(super) fn expire(&mut self, at: i64) {
        while self
            .samples
            .front()
            .is_some_and(|s| at.saturating_sub(s.at) > WINDOW)
        {
            self.forget_oldest();
        }
    }

    /// Takes the transit of an item that arrived at `at`.
    pub(super) fn record(&mut self, transit: i64, at: i64) {
        let slot = at.saturating_sub(transit).div_euclid(SLOT);
        match self.samples.back_mut() {
            Some(last) if last.slot == slot => {
                let before = last.transit;
                if transit > before {
                    last.transit = transit;
                    self.take_out(before);
                    self.put_in(transit);
                }
            }
            _ => {
                if self.samples.len() == SAMPLES_MAX {
                    self.forget_oldest();
                }
                self.samples.push_back(Sample { transit, at, slot });
                self.put_in(transit);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.sorted.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Returns the fastest item's transit.
    pub(super) fn min(&self) -> i64 {
        self.min
    }

    /// Returns how much later than the fastest 95 % of items come.
    pub(super) fn p95(&self) -> i64 {
        let last = self.sorted.len().saturating_sub(1);
        let high = self.sorted.get((last * 95).div_ceil(100));
        high.map_or(0, |high| high - self.min())
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.samples.pop_front() {
            self.take_out(oldest.transit);
        }
    }

    fn put_in(&mut self, transit: i64) {
        let at = self.sorted.partition_point(|other| *other < transit);
        self.sorted.insert(at, transit);
        self.min = self.sorted[0];
    }

    fn take_out(&mut self, transit: i64) {
        if let Ok(at) = self.sorted.binary_search(&transit) {
            self.sorted.remove(at);
        }
        self.min = self.sorted.first().copied().unwrap_or(self.min);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_the_last_ten_seconds() {
        let mut spread = Spread::default();
        for n in 0..1000 {
            let late = if n < 400 {
                (n % 20) * 480
            } else {
                (n % 10) * 48
            };
            spread.expire(n * 960);
            spread.record(7_000 + late, n * 960 + late);
        }

        assert_eq!(spread.min(), 7_000);
        assert_eq!(spread.p95(), 9 * 48);
    }

    #[test]
    fn nothing_is_left_after_a_long_pause() {
        let mut spread = Spread::default();
        spread.record(5, 5);

        spread.expire(WINDOW + 6);

        assert!(spread.is_empty());
    }
}
