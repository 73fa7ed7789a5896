//! How long to wait before the next attempt to reach Asterisk.

use std::time::Duration;

/// The wait after the first failure: a restarted Asterisk needs about a second.
const WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest wait: what an operator who has repaired something waits at most.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Doubles the wait with each failure and takes a random part of it, from half to the whole, so
/// that many clients do not come back at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    seed: u64,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            seed: seed | 1,
        }
    }

    /// Forgets all failures.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits the longest next time.
    pub(crate) fn exhaust(&mut self) {
        self.failures = u32::MAX;
    }

    /// Returns how long to wait after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let factor = 1_u32
            .checked_shl(self.failures)
            .filter(|_| self.failures < 16);
        let whole = factor.map_or(WAIT_MAX, |factor| (WAIT_MIN * factor).min(WAIT_MAX));
        self.failures = self.failures.saturating_add(1);
        // xorshift64: good enough to spread waits.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let half = whole / 2;
        half + half.mul_f64((self.seed >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(7);

        let waits: Vec<_> = (0..40).map(|_| backoff.next()).collect();
        backoff.reset();

        assert!(waits[0] >= WAIT_MIN / 2 && waits[0] <= WAIT_MIN);
        assert!(waits[5] > waits[0]);
        assert!(waits.iter().all(|wait| *wait <= WAIT_MAX));
        assert!(waits[20..].iter().all(|wait| *wait >= WAIT_MAX / 2));
        assert!(backoff.next() <= WAIT_MIN);
    }

    #[test]
    fn two_clients_do_not_wait_equally_long() {
        let (mut a, mut b) = (Backoff::new(1), Backoff::new(0xdead_beef));

        let same = (0..10).filter(|_| a.next() == b.next()).count();

        assert_eq!(same, 0);
    }
}
