//! The delay to aim at: up at once, down slowly.

/// 2 s: a single spike may be the last one.
const HOLD_ONCE: i64 = 96_000;

/// 10 s: spikes that come again are expected to go on.
const HOLD_AGAIN: i64 = 480_000;

/// 300 ms: what comes in one spike is one spike.
const APART: i64 = 14_400;

/// The target sinks by half of what is too much each second, but at least by 20 ms.
const SINK_PART: i64 = 2;
const SINK_MIN: i64 = 960;
const SECOND: i64 = 48_000;

#[derive(Debug)]
pub(super) struct Target {
    min: i64,
    max: i64,
    /// What is added to the spread: by so much the delay may be off without being touched.
    margin: i64,
    /// What is aimed at now.
    current: i64,
    peak: i64,
    peak_until: i64,
    peak_at: Option<i64>,
    again_until: i64,
    updated: i64,
    /// Ticks times [`SECOND`] that are owed to the next step downward.
    rest: i64,
}

impl Target {
    pub(super) fn new(min: i64, start: i64, max: i64, margin: i64) -> Self {
        Self {
            min,
            max,
            margin,
            current: start,
            peak: 0,
            peak_until: 0,
            peak_at: None,
            again_until: 0,
            updated: 0,
            rest: 0,
        }
    }

    /// Returns the delay beyond the fastest item's arrival.
    pub(super) fn current(&self) -> i64 {
        self.current
    }

    /// Something came `delay` after the fastest, and after its time.
    pub(super) fn missed(&mut self, delay: i64, at: i64) {
        let value = delay.saturating_add(self.margin).min(self.max);
        if at >= self.peak_until || value > self.peak {
            self.peak = value;
        }
        self.hold(at);
        self.current = self.current.max(value);
    }

    /// Something came `delay` after the fastest, in time: a peak lasts while others come near it.
    pub(super) fn met(&mut self, delay: i64, at: i64) {
        if at < self.peak_until && delay + self.margin > self.peak / 4 * 3 {
            self.hold(at);
        }
    }

    fn hold(&mut self, at: i64) {
        let again = self.peak_at.is_some_and(|last| {
            let since = at.saturating_sub(last);
            since > APART && since < HOLD_AGAIN
        });
        if again {
            self.again_until = at.saturating_add(HOLD_AGAIN);
        }
        let once = at.saturating_add(HOLD_ONCE);
        self.peak_until = self.peak_until.max(once).max(self.again_until);
        self.peak_at = Some(at);
    }

    /// Follows the usual spread, with `extra` for what recovery needs.
    pub(super) fn follow(&mut self, spread: i64, extra: i64, at: i64) {
        let elapsed = at.saturating_sub(self.updated).clamp(0, SECOND);
        self.updated = at;
        let mut floor = spread.saturating_add(self.margin).saturating_add(extra);
        if at < self.peak_until {
            floor = floor.max(self.peak);
        }
        let floor = floor.clamp(self.min, self.max);
        if floor >= self.current {
            self.current = floor;
            self.rest = 0;
            return;
        }
        let speed = ((self.current - floor) / SINK_PART).max(SINK_MIN);
        let sunk = speed * elapsed + self.rest;
        self.rest = sunk % SECOND;
        self.current = (self.current - sunk / SECOND).max(floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_raises_the_target_at_once_and_is_forgotten_slowly() {
        let mut target = target();

        target.missed(9_600, 0);
        assert_eq!(target.current(), 9_600 + MARGIN);

        follow(&mut target, 0..100);
        assert_eq!(target.current(), 9_600 + MARGIN);

        follow(&mut target, 100..150);
        assert!(
            (5_000..7_500).contains(&target.current()),
            "{}",
            target.current()
        );

        follow(&mut target, 150..500);
        assert_eq!(target.current(), 960);
    }

    #[test]
    fn spikes_that_come_again_are_held_for_longer() {
        let mut target = target();
        target.missed(9_600, 0);
        follow(&mut target, 0..90);
        target.met(9_000, 90 * 960);

        follow(&mut target, 90..580);

        assert_eq!(target.current(), 9_600 + MARGIN);
    }

    const MARGIN: i64 = 480;

    fn target() -> Target {
        Target::new(960, 960, 19_200, MARGIN)
    }

    fn follow(target: &mut Target, frames: core::ops::Range<i64>) {
        for n in frames {
            target.follow(0, 0, n * 960);
        }
    }
}
