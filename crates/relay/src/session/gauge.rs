//! What a connection carries, from what its transport measures.

use std::time::{Duration, Instant};

use crate::transport::Sample;

/// Estimates what a connection carries.
///
/// It never carries more than its congestion window in a round trip. But a window has a least size, which on a short way
/// is more than a narrow line takes; so where packets are lost while a queue stands (the round trip is long), what
/// arrives is what the line carries. That is believed for a minute: when less is sent the queue goes, and nothing tells
/// any more how narrow it is. It takes two looks in a row to say either: a page that is busy at its start acknowledges
/// late and may lose packets, too.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    looked: Option<(Instant, Sample)>,
    rtt_min: Option<Duration>,
    /// What arrived by a full line, as the last look found.
    suspected: Option<u64>,
    narrow: Option<(Instant, u64)>,
    /// What the window allowed at the last look.
    window: Option<u64>,
    estimate: Option<u64>,
}

/// Between two looks: enough packets of one voice to tell loss from chance.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a line that was found narrow is taken for narrow.
const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// One packet in so many lost is a full queue, if there is one.
const LOST_ONE_IN: u64 = 50;

/// A queue stands when the round trip is twice the shortest and this much longer.
const QUEUE: Duration = Duration::from_millis(20);

/// A shorter round trip tells nothing of what a network carries.
const RTT_MIN: Duration = Duration::from_millis(1);

impl Gauge {
    /// Returns whether [`look`](Self::look) wants a new sample at `now`.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.looked
            .is_none_or(|(at, _)| now.saturating_duration_since(at) >= INTERVAL)
    }

    /// Returns the last estimate, bytes in a second; `None` before the second look.
    pub(super) fn estimate(&self) -> Option<u64> {
        self.estimate
    }

    /// Takes how the connection did until `now`.
    pub(super) fn look(&mut self, sample: Sample, now: Instant) {
        let rtt = sample.rtt.max(RTT_MIN);
        let shortest = self.rtt_min.map_or(rtt, |shortest| shortest.min(rtt));
        // The way may have become longer for good: in minutes that is believed.
        self.rtt_min = Some(shortest + shortest / 256);
        if let Some((at, before)) = self.looked {
            let packets = sample.sent_packets.saturating_sub(before.sent_packets);
            let lost = sample.lost_packets.saturating_sub(before.lost_packets);
            let queue = rtt > 2 * shortest + QUEUE;
            let full = queue && lost * LOST_ONE_IN > packets;
            let arrived = full.then(|| {
                let bytes = sample.sent_bytes.saturating_sub(before.sent_bytes);
                let arrived = bytes - bytes * lost.min(packets) / packets.max(1);
                per_second(arrived, now.saturating_duration_since(at))
            });
            let suspected = std::mem::replace(&mut self.suspected, arrived);
            if let (Some(arrived), Some(_)) = (arrived, suspected) {
                self.narrow = Some((now, arrived));
            }
        }
        self.looked = Some((now, sample));
        let believed = |since: Instant| now.saturating_duration_since(since) < BELIEVED_FOR;
        self.narrow = self.narrow.filter(|(since, _)| believed(*since));
        let window = per_second(sample.window_bytes, rtt);
        self.estimate = self.window.replace(window).map(|before| {
            let window = window.max(before);
            self.narrow
                .map_or(window, |(_, carried)| carried.min(window))
        });
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let micros = time.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: u64 = u64::MAX;

    /// A voice of 32 kbit/s in packets of 20 ms, with its headers.
    const VOICE: u64 = 61_600 / 8;

    #[test]
    fn a_connection_carries_its_window_in_each_round_trip() {
        let mut gauge = Gauge::default();

        let estimates = run(&mut gauge, 0..3, ms(100), 0);

        assert_eq!(estimates, [UNKNOWN, 147_200, 147_200]);
    }

    #[test]
    fn a_round_trip_that_is_long_once_makes_no_way_narrow() {
        let mut gauge = Gauge::default();

        let estimates = [900, 10, 900, 10, 900, 900]
            .into_iter()
            .zip(0..)
            .flat_map(|(rtt, at)| run(&mut gauge, at..at + 1, ms(rtt), 0));

        let estimates: Vec<_> = estimates.collect();
        assert_eq!(estimates[0], UNKNOWN);
        assert_eq!(estimates[1..5], [1_472_000; 4]);
        assert_eq!(estimates[5], 14_720 * 1_000 / 900);
    }

    #[test]
    fn what_arrives_by_a_full_line_is_what_it_carries() {
        let mut gauge = Gauge::default();
        run(&mut gauge, 0..3, ms(10), 0);

        let estimates = run(&mut gauge, 3..7, ms(150), 5);

        // The window in a round trip as it was, until it is sure.
        assert_eq!(estimates[0], 1_472_000);
        assert_eq!(estimates[1..], [VOICE - VOICE / 10; 3]);
    }

    #[test]
    fn a_second_of_it_is_chance() {
        let mut gauge = Gauge::default();
        run(&mut gauge, 0..3, ms(10), 0);

        for at in [3, 5, 7] {
            run(&mut gauge, at..at + 1, ms(150), 5);
            let estimates = run(&mut gauge, at + 1..at + 2, ms(10), 0);

            assert_eq!(estimates, [1_472_000]);
        }
    }

    #[test]
    fn loss_without_a_queue_says_nothing_of_the_bandwidth() {
        let mut gauge = Gauge::default();

        let estimates = run(&mut gauge, 0..10, ms(100), 10);

        assert_eq!(estimates[1..], [147_200; 9]);
    }

    #[test]
    fn a_narrow_line_is_believed_in_for_a_minute() {
        let mut gauge = Gauge::default();
        run(&mut gauge, 0..3, ms(10), 0);
        run(&mut gauge, 3..6, ms(150), 5);

        let estimates = run(&mut gauge, 6..70, ms(10), 0);

        let narrow = estimates.iter().take_while(|estimate| **estimate < VOICE);
        assert_eq!(narrow.count(), 59);
        assert_eq!(estimates.last(), Some(&1_472_000));
    }

    #[test]
    fn a_sample_is_wanted_once_a_second() {
        let mut gauge = Gauge::default();
        let start = Instant::now();
        assert!(gauge.is_due(start));

        gauge.look(Sample::default(), start);

        assert!(!gauge.is_due(start + ms(999)));
        assert!(gauge.is_due(start + INTERVAL));
    }

    #[test]
    fn counters_that_stand_still_or_go_back_do_no_harm() {
        let mut gauge = Gauge::default();
        let start = Instant::now();
        for (at, lost_packets) in [(0, 9), (1, 0), (2, 7), (2, 20)] {
            let sample = Sample {
                rtt: ms(300 * at),
                lost_packets,
                ..Sample::default()
            };
            gauge.look(sample, start + ms(at));
        }
        assert_eq!(gauge.estimate(), Some(0));
    }

    /// So many seconds of a voice; `lost` of its fifty packets in each.
    fn run(gauge: &mut Gauge, seconds: std::ops::Range<u64>, rtt: Duration, lost: u64) -> Vec<u64> {
        let start = *START.get_or_init(Instant::now);
        let seconds = seconds.map(|second| {
            let before = gauge
                .looked
                .map_or_else(Sample::default, |(_, sample)| sample);
            let sample = Sample {
                rtt,
                window_bytes: 14_720,
                sent_bytes: before.sent_bytes + VOICE,
                sent_packets: before.sent_packets + 50,
                lost_packets: before.lost_packets + lost,
            };
            gauge.look(sample, start + Duration::from_secs(second));
            gauge.estimate().unwrap_or(UNKNOWN)
        });
        seconds.collect()
    }

    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}
