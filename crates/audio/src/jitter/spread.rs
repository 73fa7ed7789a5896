//! How unevenly items arrive: the transit time (arrival minus media time) of the last seconds.

use std::collections::VecDeque;

/// 10 s: long enough to see the network's habits, short enough that a drifting clock (100 ppm moves
/// 1 ms in that time) and a changed route are forgotten soon.
const WINDOW: i64 = 480_000;

/// 10 s of items of 20 ms and some more.
const SAMPLES_MAX: usize = 512;

/// Shorter items count once in 20 ms, so that the window stays 10 s.
const SLOT: i64 = 960;

/// The quantile is found anew after so many samples; a new extreme is seen at once.
const REFRESH_EVERY: u32 = 8;

/// Transit times, absolute in ticks: only differences mean something.
#[derive(Debug, Default)]
pub(super) struct Spread {
    samples: VecDeque<Sample>,
    sorted: Vec<i64>,
    fresh: u32,
    min: i64,
    high: i64,
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
            self.samples.pop_front();
            self.fresh = REFRESH_EVERY;
        }
    }

    /// Takes the transit of an item that arrived at `at`.
    pub(super) fn record(&mut self, transit: i64, at: i64) {
        let slot = at.saturating_sub(transit).div_euclid(SLOT);
        let empty = self.samples.is_empty();
        match self.samples.back_mut() {
            Some(last) if last.slot == slot => last.transit = last.transit.max(transit),
            _ => {
                if self.samples.len() == SAMPLES_MAX {
                    self.samples.pop_front();
                }
                self.samples.push_back(Sample { transit, at, slot });
            }
        }
        self.fresh += 1;
        if empty || self.fresh >= REFRESH_EVERY || transit < self.min {
            self.refresh();
        }
        self.min = self.min.min(transit);
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
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
        self.high - self.min
    }

    fn refresh(&mut self) {
        self.fresh = 0;
        self.sorted.clear();
        self.sorted
            .extend(self.samples.iter().map(|sample| sample.transit));
        let Some(last) = self.sorted.len().checked_sub(1) else {
            return;
        };
        let rank = (last * 95).div_ceil(100);
        let (below, high, _) = self.sorted.select_nth_unstable(rank);
        self.high = *high;
        self.min = below.iter().copied().min().unwrap_or(self.high);
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
