//! When objects were sent, as they say it themselves, and when they arrived.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What all sessions of a load heard. A payload begins as a packet of Opus does, with one byte, and then says in seven when
/// it was sent, in nanoseconds since the log began.
#[derive(Debug)]
pub(crate) struct Log {
    began: Instant,
    /// The window that counts, in nanoseconds of sending: its begin and its end.
    from: AtomicU64,
    until: AtomicU64,
    arrived: AtomicU64,
    arrived_bytes: AtomicU64,
    /// How late those that count were, in microseconds.
    samples: Mutex<Vec<u32>>,
}

/// A packet of 20 ms in full band.
const TOC: u8 = 0xf8;

/// What of the first eight bytes is the time: enough for two years.
const STAMP: u64 = u64::MAX >> 8;

impl Default for Log {
    /// Begins a log in which nothing counts.
    fn default() -> Self {
        Self {
            began: Instant::now(),
            from: AtomicU64::new(u64::MAX),
            until: AtomicU64::new(u64::MAX),
            arrived: AtomicU64::new(0),
            arrived_bytes: AtomicU64::new(0),
            samples: Mutex::default(),
        }
    }
}

impl Log {
    /// Returns what time it is, in nanoseconds since the log began.
    pub(crate) fn stamp(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts what is sent from now on.
    pub(crate) fn open(&self) {
        self.from.store(self.stamp(), Relaxed);
    }

    /// Counts what is sent from now on no longer; what is under way still counts.
    pub(crate) fn shut(&self) {
        self.until.store(self.stamp(), Relaxed);
    }

    /// Tells whether something sent then counts.
    pub(crate) fn counts(&self, stamp: u64) -> bool {
        (self.from.load(Relaxed)..self.until.load(Relaxed)).contains(&stamp)
    }

    /// Returns how to begin a payload that is sent then.
    pub(crate) fn head(stamp: u64) -> [u8; 8] {
        ((u64::from(TOC) << 56) | (stamp & STAMP)).to_be_bytes()
    }

    /// Notes a payload that has just arrived; tells whether it counts.
    pub(crate) fn hear(&self, payload: &[u8]) -> bool {
        self.arrived.fetch_add(1, Relaxed);
        self.arrived_bytes.fetch_add(payload.len() as u64, Relaxed);
        let now = self.stamp();
        let Some((stamp, _)) = payload.split_first_chunk::<8>() else {
            return false;
        };
        let sent = u64::from_be_bytes(*stamp) & STAMP;
        if !self.counts(sent) {
            return false;
        }
        let late = now.saturating_sub(sent) / 1000;
        self.samples().push(u32::try_from(late).unwrap_or(u32::MAX));
        true
    }

    /// Returns how many objects have arrived, whether they count or not.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Relaxed)
    }

    /// Returns how many bytes of payload have arrived.
    pub(crate) fn arrived_bytes(&self) -> u64 {
        self.arrived_bytes.load(Relaxed)
    }

    /// Returns how many of those that count have arrived.
    pub(crate) fn heard(&self) -> u64 {
        self.samples().len() as u64
    }

    /// Takes out how late they were, sorted.
    pub(crate) fn take(&self) -> Lateness {
        let mut samples = std::mem::take(&mut *self.samples());
        samples.sort_unstable();
        Lateness(samples)
    }

    fn samples(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sorted latencies in microseconds.
pub(crate) struct Lateness(Vec<u32>);

impl Lateness {
    /// Returns the latency that `part` (0 to 1) of the objects did not exceed; zero without objects.
    pub(crate) fn percentile(&self, part: f64) -> Duration {
        let Some(last) = self.0.len().checked_sub(1) else {
            return Duration::ZERO;
        };
        let rank = (part * self.0.len() as f64).ceil() as usize;
        Duration::from_micros(self.0[rank.saturating_sub(1).min(last)].into())
    }

    /// Returns how many objects there were.
    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_sent_within_the_window_counts() {
        let log = Log::default();
        let early = Log::head(log.stamp());
        log.open();
        let within = Log::head(log.stamp());
        log.shut();
        let late = Log::head(log.stamp());

        assert!(!log.hear(&early));
        assert!(log.hear(&within));
        assert!(!log.hear(&late));
        assert!(!log.hear(b"short"));
        assert_eq!(log.arrived(), 4);
        assert_eq!(log.take().count(), 1);
    }

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let lateness = Lateness((1..=1000).collect());

        assert_eq!(lateness.percentile(0.5), Duration::from_micros(500));
        assert_eq!(lateness.percentile(0.999), Duration::from_micros(999));
        assert_eq!(lateness.percentile(1.0), Duration::from_millis(1));
        assert_eq!(lateness.percentile(0.0), Duration::from_micros(1));
        assert_eq!(Lateness(Vec::new()).percentile(0.5), Duration::ZERO);
    }
}
