//! How often is too often.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A bucket of tokens that fills over time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

/// How a bucket fills.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

/// What a bucket says to one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There was a token.
    Granted,
    /// There was none; asking has cost one nevertheless.
    Refused,
    /// The asker has gone on for a whole burst after the first refusal.
    Flood,
}

impl Rate {
    pub(crate) fn per_second(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: f64::from(per_second),
            burst: f64::from(burst.max(1)),
        }
    }

    pub(crate) fn per_minute(per_minute: u32) -> Self {
        Self {
            per_second: f64::from(per_minute) / 60.0,
            burst: f64::from(per_minute.max(1)),
        }
    }
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            tokens: rate.burst,
            filled_at: now,
        }
    }

    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Verdict {
        self.fill(rate, now);
        if self.tokens <= -rate.burst {
            return Verdict::Flood;
        }
        self.tokens -= 1.0;
        if self.tokens >= 0.0 {
            Verdict::Granted
        } else {
            Verdict::Refused
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let gained = now.saturating_duration_since(self.filled_at).as_secs_f64() * rate.per_second;
        self.tokens = (self.tokens + gained).min(rate.burst);
        self.filled_at = now;
    }

    fn is_full(&self, rate: Rate, now: Instant) -> bool {
        let mut later = *self;
        later.fill(rate, now);
        later.tokens >= rate.burst
    }
}

/// A bucket for each address.
#[derive(Debug, Default)]
pub(crate) struct ByAddress {
    buckets: BTreeMap<IpAddr, Bucket>,
    swept_at: Option<Instant>,
}

impl ByAddress {
    /// Beyond so many addresses in their minute, new ones are refused: 1 MiB of memory.
    const ADDRESSES_MAX: usize = 16 * 1024;
    const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

    pub(crate) fn take(&mut self, address: IpAddr, rate: Rate, now: Instant) -> Verdict {
        self.sweep(rate, now);
        let address = household(address);
        if !self.buckets.contains_key(&address) && self.buckets.len() >= Self::ADDRESSES_MAX {
            return Verdict::Refused;
        }
        self.buckets
            .entry(address)
            .or_insert_with(|| Bucket::full(rate, now))
            .take(rate, now)
    }

    fn sweep(&mut self, rate: Rate, now: Instant) {
        if self
            .swept_at
            .is_some_and(|at| now < at + Self::SWEEP_INTERVAL)
        {
            return;
        }
        self.swept_at = Some(now);
        self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
    }
}

/// One customer of a provider has a /64 at least, so that its addresses count as one.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(prefix.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 2.0,
        burst: 3.0,
    };

    #[test]
    fn a_burst_is_granted_then_refused_then_a_flood() {
        let now = Instant::now();
        let mut bucket = Bucket::full(RATE, now);

        let verdicts: Vec<Verdict> = (0..8).map(|_| bucket.take(RATE, now)).collect();

        use Verdict::{Flood, Granted, Refused};
        let expected = [
            Granted, Granted, Granted, Refused, Refused, Refused, Flood, Flood,
        ];
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_bucket_fills_with_time_and_no_further_than_its_burst() {
        let now = Instant::now();
        let mut bucket = Bucket::full(RATE, now);
        (0..3).for_each(|_| _ = bucket.take(RATE, now));

        assert_eq!(
            bucket.take(RATE, now + Duration::from_millis(500)),
            Verdict::Granted
        );
        let later = now + Duration::from_secs(1000);
        let granted = (0..9)
            .filter(|_| bucket.take(RATE, later) == Verdict::Granted)
            .count();
        assert_eq!(granted, 3);
    }

    #[test]
    fn neighbours_do_not_pay_for_each_other() {
        let now = Instant::now();
        let mut rates = ByAddress::default();
        let [one, other] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        (0..3).for_each(|_| _ = rates.take(one, RATE, now));

        assert_eq!(rates.take(one, RATE, now), Verdict::Refused);
        assert_eq!(rates.take(other, RATE, now), Verdict::Granted);
    }

    #[test]
    fn one_household_is_one_address() {
        let same = |one: &str, other: &str| {
            household(one.parse().unwrap()) == household(other.parse().unwrap())
        };

        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    }

    #[test]
    fn addresses_are_forgotten_and_never_too_many() {
        let now = Instant::now();
        let mut rates = ByAddress::default();
        let address = |n: u32| IpAddr::V4((0x0a00_0000 + n).into());
        let count = u32::try_from(ByAddress::ADDRESSES_MAX).unwrap();
        (0..count).for_each(|n| _ = rates.take(address(n), RATE, now));

        assert_eq!(rates.take(address(count), RATE, now), Verdict::Refused);
        let later = now + ByAddress::SWEEP_INTERVAL;
        assert_eq!(rates.take(address(count), RATE, later), Verdict::Granted);
        assert_eq!(rates.buckets.len(), 1);
    }
}
