//! One direction of a bad network.

use std::time::{Duration, Instant};

/// What a direction does to packets.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Impairment {
    /// How many of 1,000 packets are lost.
    pub lost_of_1000: u32,
    /// How long each takes at least.
    pub delay: Duration,
    /// How much longer some take, at most; order is kept.
    pub jitter: Duration,
    /// How many of 1,000 overtake those before them, by not being delayed.
    pub early_of_1000: u32,
    /// Bytes in a second; packets that would wait longer than [`Wire::QUEUE`] are lost.
    pub bytes_per_second: Option<u64>,
}

/// Decides when packets arrive. Times must not go backwards.
#[derive(Debug)]
pub struct Wire {
    impairment: Impairment,
    random: u64,
    /// When the line is free again.
    free: Option<Instant>,
    /// When the last packet in order arrives.
    last: Option<Instant>,
}

impl Wire {
    /// How long a packet may wait for the line: what a home router's buffer holds.
    pub const QUEUE: Duration = Duration::from_millis(200);

    /// Makes a direction; the same seed decides alike.
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            // An odd multiple never is 0, where the generator would stay.
            random: seed.wrapping_mul(2).wrapping_add(1),
            free: None,
            last: None,
        }
    }

    /// Does otherwise from now on.
    pub fn change(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// Returns when a packet of so many bytes arrives; `None`: never.
    pub fn carry(&mut self, len: usize, now: Instant) -> Option<Instant> {
        let Impairment {
            lost_of_1000,
            delay,
            jitter,
            early_of_1000,
            bytes_per_second,
        } = self.impairment;
        if self.below(1000) < u64::from(lost_of_1000) {
            return None;
        }
        let mut sent = now;
        if let Some(rate) = bytes_per_second {
            let begins = self.free.map_or(now, |free| free.max(now));
            if begins - now > Self::QUEUE {
                return None;
            }
            let takes = Duration::from_secs_f64(len as f64 / rate.max(1) as f64);
            sent = begins + takes;
            self.free = Some(sent);
        }
        if self.below(1000) < u64::from(early_of_1000) {
            return Some(sent);
        }
        let spread = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
        let late = Duration::from_micros(self.below(spread.saturating_add(1)));
        let arrives = sent + delay + late;
        let arrives = self.last.map_or(arrives, |last| last.max(arrives));
        self.last = Some(arrives);
        Some(arrives)
    }

    /// Returns a number below `end` (xorshift64*).
    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_wire_carries_at_once_and_in_order() {
        let now = Instant::now();
        let mut wire = Wire::new(Impairment::default(), 1);

        assert!((0..1000).all(|_| wire.carry(1200, now) == Some(now)));
    }

    #[test]
    fn as_many_are_lost_as_was_said_and_the_same_ones_for_a_seed() {
        let now = Instant::now();
        let impairment = Impairment {
            lost_of_1000: 200,
            ..Impairment::default()
        };
        let lost = |seed| {
            let mut wire = Wire::new(impairment, seed);
            let carry = |_| wire.carry(100, now).is_none();
            (0..10_000).map(carry).collect::<Vec<bool>>()
        };

        let count = lost(7).iter().filter(|lost| **lost).count();

        assert!((1900..2100).contains(&count), "{count}");
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(8));
    }

    #[test]
    fn jitter_keeps_the_order_and_its_bounds() {
        let now = Instant::now();
        let (delay, jitter) = (Duration::from_millis(50), Duration::from_millis(30));
        let impairment = Impairment {
            delay,
            jitter,
            ..Impairment::default()
        };
        let mut wire = Wire::new(impairment, 3);

        let mut last = now;
        for step in 0..1000 {
            let sent = now + Duration::from_millis(20 * step);
            let arrives = wire.carry(100, sent).unwrap();
            assert!(arrives >= last && arrives >= sent + delay);
            assert!(arrives <= sent + delay + jitter);
            last = arrives;
        }
    }

    #[test]
    fn some_overtake_others() {
        let now = Instant::now();
        let impairment = Impairment {
            delay: Duration::from_millis(50),
            early_of_1000: 100,
            ..Impairment::default()
        };
        let mut wire = Wire::new(impairment, 3);

        let mut carry = |n: &u64| wire.carry(100, now + Duration::from_millis(*n)).unwrap();
        let early = (0..1000).map(|n| carry(&n) == now + Duration::from_millis(n));

        let count = early.filter(|early| *early).count();
        assert!((60..140).contains(&count), "{count}");
    }

    #[test]
    fn a_slow_line_delays_and_then_drops() {
        let now = Instant::now();
        let impairment = Impairment {
            bytes_per_second: Some(10_000),
            ..Impairment::default()
        };
        let mut wire = Wire::new(impairment, 3);

        let arrivals: Vec<_> = (0..10).map(|_| wire.carry(1000, now)).collect();

        assert_eq!(arrivals[0], Some(now + Duration::from_millis(100)));
        assert_eq!(arrivals[2], Some(now + Duration::from_millis(300)));
        assert_eq!(arrivals[3], None);
    }
}
