//! Puts the objects of a foreign track into one line of time, whatever they say of themselves.

use super::Counts;

/// Where the first packet of a track is put, 1/48000 s: late ones before it stay positive.
const START: u64 = 1 << 32;

/// A day: timestamps that leap further begin a new line.
const LEAP_MAX: i64 = 48_000 * 86_400;

/// Group ids that leap further say nothing about how much is missing.
const GROUP_LEAP_MAX: u64 = 16;

/// Objects between two that came, a minute of speech: more is no gap but another beginning.
const MISSING_MAX: u64 = 3_000;

/// A clock that falls back further than this while objects count up was started anew: what comes
/// late is late by less.
const FALL_MAX: i64 = 48_000;

/// A packet, as its publisher describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its group.
    pub group: u64,
    /// Its id within the group.
    pub object: u64,
    /// Its timestamp, 1/48000 s, if it has one.
    pub stamp: Option<u64>,
    /// How long it plays, 1/48000 s.
    pub ticks: u32,
}

/// Counts objects and gives each packet its place.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    newest: Option<Newest>,
    /// Which of the objects up to the newest one came: bit 0 is the newest, bit 1 the one before.
    came: u128,
    /// Objects of a group, as far as seen.
    group_len: u64,
    received: u64,
    /// Objects that should have come since the start.
    expected: u64,
}

/// The newest packet.
#[derive(Debug, Clone, Copy)]
struct Newest {
    packet: Packet,
    at: u64,
}

impl Timeline {
    /// Returns the place of a packet, 1/48000 s. `None`: it came before, or is older than anything
    /// that could still be played.
    pub(super) fn place(&mut self, packet: Packet) -> Option<u64> {
        let Some(newest) = self.newest else {
            self.count(Step::Anew);
            return Some(self.keep(packet, START));
        };
        let step = self.step(newest.packet, packet);
        if !self.count(step) {
            return None;
        }
        let at = match (packet.stamp, newest.packet.stamp) {
            (Some(stamp), Some(before)) => leap(newest, step, stamp.wrapping_sub(before) as i64),
            _ => by_count(newest, step, packet.ticks),
        };
        if let Step::Behind(_) = step {
            return at;
        }
        // A clock that leaps begins a new line right after the old one.
        let at = at.unwrap_or(newest.at + u64::from(newest.packet.ticks));
        Some(self.keep(packet, at))
    }

    /// Returns how many objects came and how many are missing.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            received: self.received,
            lost: self.expected.saturating_sub(self.received),
        }
    }

    /// Counts a packet; false when it came before, or too long ago to tell.
    fn count(&mut self, step: Step) -> bool {
        match step {
            Step::Ahead(objects) => {
                self.came = shifted(self.came, objects) | 1;
                self.expected += objects;
            }
            Step::Behind(objects) => {
                let bit = shifted(1, objects);
                if bit == 0 || self.came & bit != 0 {
                    return false;
                }
                self.came |= bit;
            }
            Step::Anew => {
                self.came = 1;
                self.expected += 1;
            }
        }
        self.received += 1;
        true
    }

    fn keep(&mut self, packet: Packet, at: u64) -> u64 {
        self.newest = Some(Newest { packet, at });
        at
    }

    /// How far a packet is from the newest one, in objects.
    fn step(&mut self, newest: Packet, packet: Packet) -> Step {
        match self.distance(newest, packet) {
            Step::Ahead(objects) if objects > MISSING_MAX => Step::Anew,
            step => step,
        }
    }

    fn distance(&mut self, newest: Packet, Packet { group, object, .. }: Packet) -> Step {
        if group == newest.group {
            return match object.checked_sub(newest.object) {
                Some(0) => Step::Behind(0),
                Some(ahead) => Step::Ahead(ahead),
                None => Step::Behind(newest.object - object),
            };
        }
        if group > newest.group && group - newest.group <= GROUP_LEAP_MAX {
            self.group_len = self.group_len.max(newest.object.saturating_add(1));
            let rest = self.group_len - newest.object;
            let between = (group - newest.group - 1).saturating_mul(self.group_len);
            return Step::Ahead(rest.saturating_add(between).saturating_add(object));
        }
        if newest.group.checked_sub(group) == Some(1) && object < self.group_len {
            return Step::Behind((self.group_len - object).saturating_add(newest.object));
        }
        Step::Anew
    }
}

/// Shifts to the left; what is shifted too far is gone.
fn shifted(bits: u128, by: u64) -> u128 {
    u32::try_from(by)
        .ok()
        .and_then(|by| bits.checked_shl(by))
        .unwrap_or(0)
}

/// An object's distance from the newest one before it.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ahead(u64),
    Behind(u64),
    /// Too far for counting: the publisher began anew.
    Anew,
}

/// The place by timestamps; `None` when they leap.
fn leap(newest: Newest, step: Step, difference: i64) -> Option<u64> {
    let restarted = matches!(step, Step::Ahead(_) | Step::Anew) && difference < -FALL_MAX;
    if restarted || difference.saturating_abs() > LEAP_MAX {
        return None;
    }
    newest.at.checked_add_signed(difference)
}

/// The place by the number of objects between; `None` when they are too many.
fn by_count(newest: Newest, step: Step, ticks: u32) -> Option<u64> {
    let ticks = u64::from(ticks);
    let difference = match step {
        Step::Ahead(objects) => i64::try_from(objects.checked_mul(ticks)?).ok()?,
        Step::Behind(objects) => -i64::try_from(objects.checked_mul(ticks)?).ok()?,
        Step::Anew => return None,
    };
    leap(newest, step, difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 960;

    fn packet(group: u64, object: u64, stamp: Option<u64>) -> Packet {
        Packet {
            group,
            object,
            stamp,
            ticks: FRAME as u32,
        }
    }

    fn counts(received: u64, lost: u64) -> Counts {
        Counts { received, lost }
    }

    #[test]
    fn timestamps_count_from_the_first_packet() {
        let mut line = Timeline::default();

        assert_eq!(line.place(packet(9, 0, Some(5_000))), Some(START));
        assert_eq!(line.place(packet(9, 1, Some(5_960))), Some(START + FRAME));
        // Silence that was not sent.
        assert_eq!(line.place(packet(9, 2, Some(53_960))), Some(START + 48_960));
        assert_eq!(line.counts(), counts(3, 0));
    }

    #[test]
    fn without_timestamps_the_objects_are_counted() {
        let mut line = Timeline::default();

        for (index, (group, object)) in [(7, 48), (7, 49), (8, 0), (8, 1)].into_iter().enumerate() {
            let at = START + index as u64 * FRAME;
            assert_eq!(line.place(packet(group, object, None)), Some(at));
        }
        assert_eq!(line.counts(), counts(4, 0));
    }

    #[test]
    fn a_group_for_each_object_is_a_line_too() {
        let mut line = Timeline::default();

        for group in 0..4 {
            let at = START + group * FRAME;
            assert_eq!(line.place(packet(group, 0, None)), Some(at));
        }
        assert_eq!(line.counts(), counts(4, 0));
    }

    #[test]
    fn what_is_missing_is_counted_once() {
        let mut line = Timeline::default();
        line.place(packet(1, 0, None));
        line.place(packet(1, 49, None));

        assert_eq!(line.place(packet(2, 1, None)), Some(START + 51 * FRAME));
        assert_eq!(line.counts(), counts(3, 49));

        // One of them comes late after all.
        assert_eq!(line.place(packet(2, 0, None)), Some(START + 50 * FRAME));
        assert_eq!(line.place(packet(1, 48, None)), Some(START + 48 * FRAME));
        assert_eq!(line.counts(), counts(5, 47));
    }

    #[test]
    fn what_comes_by_two_sessions_is_played_once() {
        let mut line = Timeline::default();
        // The second session begins in mid-group and is sometimes the faster one.
        let came = [
            (7, 47),
            (7, 48),
            (7, 48),
            (7, 49),
            (8, 0),
            (7, 49),
            (8, 0),
            (8, 1),
        ];

        let places: Vec<_> = came
            .into_iter()
            .map(|(group, object)| line.place(packet(group, object, None)))
            .collect();

        let at = |frames: u64| Some(START + frames * FRAME);
        let expected = [at(0), at(1), None, at(2), at(3), None, None, at(4)];
        assert_eq!(places, expected);
        assert_eq!(line.counts(), counts(5, 0));
    }

    #[test]
    fn what_is_older_than_the_memory_is_not_played() {
        let mut line = Timeline::default();
        for object in (0..400).filter(|object| *object != 50) {
            line.place(packet(1, object, None));
        }

        assert_eq!(line.place(packet(1, 50, None)), None);
        assert_eq!(line.counts(), counts(399, 1));
    }

    #[test]
    fn a_clock_that_was_started_anew_goes_on_in_the_line() {
        let mut line = Timeline::default();
        line.place(packet(1_000, 3, Some(48_000 * 60)));

        // Another page of the same person: the wall clock's groups went on, its own clock did not.
        assert_eq!(line.place(packet(1_003, 0, Some(960))), Some(START + FRAME));
        assert_eq!(
            line.place(packet(1_003, 1, Some(1_920))),
            Some(START + 2 * FRAME)
        );
    }

    #[test]
    fn a_publisher_that_begins_anew_goes_on_in_the_line() {
        let mut line = Timeline::default();
        line.place(packet(1_000, 3, Some(900)));

        assert_eq!(
            line.place(packet(2_000, 0, Some(u64::MAX / 2))),
            Some(START + FRAME)
        );
        assert_eq!(
            line.place(packet(2_000, 1, Some(u64::MAX / 2 + FRAME))),
            Some(START + 2 * FRAME)
        );
        assert_eq!(line.counts(), counts(3, 0));
    }

    #[test]
    fn a_clock_that_leaps_does_not_silence_the_track() {
        let mut line = Timeline::default();
        line.place(packet(1, 0, Some(0)));

        let leap = u64::MAX / 2;
        assert_eq!(line.place(packet(1, 1, Some(leap))), Some(START + FRAME));
        assert_eq!(
            line.place(packet(1, 2, Some(leap + FRAME))),
            Some(START + 2 * FRAME)
        );
    }

    #[test]
    fn hostile_numbers_do_no_harm() {
        let mut line = Timeline::default();
        let values = [0, 1, 2, 49, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        for group in values {
            for object in values {
                for stamp in values.map(Some).into_iter().chain([None]) {
                    let packet = Packet {
                        ticks: 5_760,
                        ..packet(group, object, stamp)
                    };
                    let at = line.place(packet);
                    assert!(at.unwrap_or(START) < 1 << 53);
                }
            }
        }
    }
}
