//! What of an RTP stream is taken: order, loss, duplicates, a sender that is exchanged; and what is said of it in
//! reports. No I/O and no clock.

use std::time::Duration;

use moqrelay_wire::rtp::{Packet, ReportBlock};

/// A packet that is ahead by more has begun anew (RFC 3550 appendix A.1): a minute of loss.
const AHEAD_MAX: u16 = 3_000;

/// What is missing for longer is no gap to be concealed: the arrival of what follows tells its time.
const LOST_MAX: Duration = Duration::from_millis(500);

/// Packets in order after which another source is believed.
const PROBATION: u16 = 2;

/// The clock of all codecs here: 8000 a second.
const CLOCK_HZ: u64 = 8_000;

/// One stream that is received.
#[derive(Debug, Default)]
pub(super) struct Reception {
    source: Option<Source>,
    /// Another source, not believed yet: who, the sequence number that must come next, how many came.
    candidate: Option<(u32, u16, u16)>,
}

/// The source that is believed.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    /// With how often it began anew in the upper half.
    highest: u32,
    first: u32,
    /// One bit for each of the 64 numbers below `highest`.
    window: u64,
    received: u32,
    /// Of the last report.
    expected_before: u32,
    received_before: u32,
    /// The difference of arrival and timestamp of the last packet, in the codec's clock.
    transit: u32,
    /// Scaled by 16 (appendix A.8).
    jitter: u32,
    /// The timestamp after the newest packet.
    next_timestamp: u32,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next one to be played, after so much that never came.
    Next(Duration),
    /// It came after one that follows it: what it holds has been concealed already.
    Late,
    /// It came before.
    Duplicate,
    /// It is of another source, which is not believed yet.
    Strange,
}

impl Reception {
    /// Judges a packet that came at `now` (since any start) and holds `samples` by the codec's clock.
    pub(super) fn take(&mut self, packet: &Packet, samples: u32, now: Duration) -> Verdict {
        let Some(source) = self
            .source
            .as_mut()
            .filter(|source| source.ssrc == packet.ssrc)
        else {
            return self.introduce(packet, samples, now);
        };
        let ahead = packet.sequence.wrapping_sub(source.highest as u16);
        match ahead {
            0 => Verdict::Duplicate,
            1..AHEAD_MAX => {
                let lost = source.advance(packet, ahead, samples, now);
                self.candidate = None;
                Verdict::Next(lost)
            }
            behind if behind.wrapping_neg() <= 64 => source.behind(behind.wrapping_neg()),
            // Far off: a source that began anew proves itself like another one.
            _ => self.introduce(packet, samples, now),
        }
    }

    fn introduce(&mut self, packet: &Packet, samples: u32, now: Duration) -> Verdict {
        let came = match self.candidate {
            Some((ssrc, next, came)) if (ssrc, next) == (packet.ssrc, packet.sequence) => came + 1,
            _ => 1,
        };
        // The first source is believed at once: its address was announced.
        if self.source.is_none() || came >= PROBATION {
            self.source = Some(Source::new(packet, samples, now));
            self.candidate = None;
            return Verdict::Next(Duration::ZERO);
        }
        self.candidate = Some((packet.ssrc, packet.sequence.wrapping_add(1), came));
        Verdict::Strange
    }

    /// Returns what the next report says, but for what it says of the sender's own reports.
    pub(super) fn report(&mut self) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        let expected = source.highest.wrapping_sub(source.first).wrapping_add(1);
        let lost = i64::from(expected) - i64::from(source.received);
        let expected_now = expected.wrapping_sub(source.expected_before);
        let received_now = source.received.wrapping_sub(source.received_before);
        source.expected_before = expected;
        source.received_before = source.received;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now << 8).checked_div(expected_now).unwrap_or(0);
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: fraction.min(255) as u8,
            lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: source.highest,
            jitter: source.jitter >> 4,
            ..ReportBlock::default()
        })
    }
}

impl Source {
    fn new(packet: &Packet, samples: u32, now: Duration) -> Self {
        let first = u32::from(packet.sequence);
        Self {
            ssrc: packet.ssrc,
            highest: first,
            first,
            window: 0,
            received: 1,
            expected_before: 0,
            received_before: 0,
            transit: clock(now).wrapping_sub(packet.timestamp),
            jitter: 0,
            next_timestamp: packet.timestamp.wrapping_add(samples),
        }
    }

    /// Returns how much was lost before the packet.
    fn advance(&mut self, packet: &Packet, ahead: u16, samples: u32, now: Duration) -> Duration {
        self.highest = self.highest.wrapping_add(u32::from(ahead));
        self.window = match ahead {
            64.. => 0,
            ahead => self.window << ahead | 1 << (ahead - 1),
        };
        self.received += 1;
        let transit = clock(now).wrapping_sub(packet.timestamp);
        let change = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        let faded = (self.jitter + 8) >> 4;
        self.jitter = self.jitter + change.min(CLOCK_HZ as u32) - faded;
        // A timestamp that jumps without a missing number is silence that was not sent.
        let gap = packet.timestamp.wrapping_sub(self.next_timestamp);
        self.next_timestamp = packet.timestamp.wrapping_add(samples);
        let missing = u32::from(ahead - 1) * samples;
        let lost = Duration::from_micros(u64::from(gap.min(missing)) * 1_000_000 / CLOCK_HZ);
        if lost <= LOST_MAX {
            lost
        } else {
            Duration::ZERO
        }
    }

    fn behind(&mut self, by: u16) -> Verdict {
        let bit = 1_u64 << (by - 1);
        if self.window & bit != 0 {
            return Verdict::Duplicate;
        }
        self.window |= bit;
        self.received += 1;
        Verdict::Late
    }
}

fn clock(now: Duration) -> u32 {
    (now.as_micros() * u128::from(CLOCK_HZ) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Duration = Duration::from_millis(20);

    #[test]
    fn packets_in_order_are_taken_over_the_turn_of_the_numbers() {
        let mut reception = Reception::default();

        for index in 0..5_u16 {
            assert_eq!(
                take(&mut reception, 1, 65_533_u16.wrapping_add(index)),
                Verdict::Next(Duration::ZERO)
            );
        }

        let report = reception.report().unwrap();
        assert_eq!((report.highest, report.lost), (0x1_0001, 0));
    }

    #[test]
    fn what_is_lost_late_or_twice_is_told_apart() {
        let mut reception = Reception::default();

        let verdicts = [10, 11, 11, 14, 12, 12, 15, 13].map(|n| take(&mut reception, 1, n));

        assert_eq!(
            verdicts,
            [
                Verdict::Next(Duration::ZERO),
                Verdict::Next(Duration::ZERO),
                Verdict::Duplicate,
                Verdict::Next(LOST * 2),
                Verdict::Late,
                Verdict::Duplicate,
                Verdict::Next(Duration::ZERO),
                Verdict::Late,
            ]
        );
    }

    #[test]
    fn loss_is_reported_as_a_part_of_256_since_the_last_report() {
        let mut reception = Reception::default();
        for number in [0, 1, 2, 4] {
            take(&mut reception, 1, number);
        }

        let first = reception.report().unwrap();
        for number in 5..9 {
            take(&mut reception, 1, number);
        }
        let second = reception.report().unwrap();

        assert_eq!((first.fraction_lost, first.lost), (51, 1));
        assert_eq!((second.fraction_lost, second.lost), (0, 1));
    }

    #[test]
    fn another_source_proves_itself_by_two_packets_in_order() {
        let mut reception = Reception::default();
        take(&mut reception, 1, 100);

        let verdicts = [(2, 7), (1, 101), (2, 9), (3, 40), (2, 10), (2, 11), (2, 12)]
            .map(|(ssrc, number)| take(&mut reception, ssrc, number));

        assert_eq!(
            verdicts,
            [
                Verdict::Strange,
                Verdict::Next(Duration::ZERO),
                Verdict::Strange,
                Verdict::Strange,
                Verdict::Strange,
                Verdict::Next(Duration::ZERO),
                Verdict::Next(Duration::ZERO),
            ]
        );
        assert_eq!(reception.report().unwrap().ssrc, 2);
    }

    #[test]
    fn a_source_that_begins_anew_far_off_is_followed() {
        let mut reception = Reception::default();
        take(&mut reception, 1, 100);

        let verdicts = [40_000, 40_001, 40_002].map(|number| take(&mut reception, 1, number));

        assert_eq!(
            verdicts,
            [
                Verdict::Strange,
                Verdict::Next(Duration::ZERO),
                Verdict::Next(Duration::ZERO)
            ]
        );
    }

    #[test]
    fn silence_that_was_not_sent_is_no_loss() {
        let mut reception = Reception::default();
        take(&mut reception, 1, 1);

        let mut packet = packet(1, 2);
        packet.timestamp += 8_000;
        let verdict = reception.take(&packet, 160, Duration::from_secs(1));

        assert_eq!(verdict, Verdict::Next(Duration::ZERO));
    }

    #[test]
    fn jitter_follows_the_arrival() {
        let mut steady = Reception::default();
        let mut shaky = Reception::default();
        for index in 0..500_u16 {
            let due = Duration::from_millis(u64::from(index) * 20);
            steady.take(&packet(1, index), 160, due);
            let late = Duration::from_millis(u64::from(index % 2) * 10);
            shaky.take(&packet(1, index), 160, due + late);
        }

        assert_eq!(steady.report().unwrap().jitter, 0);
        // 10 ms are 80 by the clock.
        assert!((75..=80).contains(&shaky.report().unwrap().jitter));
    }

    fn take(reception: &mut Reception, ssrc: u32, sequence: u16) -> Verdict {
        let now = Duration::from_millis(u64::from(sequence) * 20);
        reception.take(&packet(ssrc, sequence), 160, now)
    }

    fn packet(ssrc: u32, sequence: u16) -> Packet {
        Packet {
            ssrc,
            sequence,
            timestamp: u32::from(sequence) * 160,
            ..Packet::default()
        }
    }
}
