//! Puts the objects of a foreign track into one line of time, whatever they say of themselves.

/// Where the first packet of a track is put, 1/48000 s: late ones before it stay positive.
pub(super) const START: u64 = 1 << 32;

/// A day: timestamps that leap further begin a new line.
const LEAP_MAX: i64 = 48_000 * 86_400;

/// Group ids that leap further say nothing about how much is missing.
const GROUP_LEAP_MAX: u64 = 16;

/// Objects between two that came, a minute of speech: more is no gap but another beginning.
const MISSING_MAX: u64 = 3_000;

/// Counts objects and gives each packet its place.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    newest: Option<Newest>,
    /// Objects of a group, as far as seen.
    group_len: u64,
    received: u64,
    /// Objects that should have come since the start.
    expected: u64,
}

/// The newest packet.
#[derive(Debug, Clone, Copy)]
struct Newest {
    group: u64,
    object: u64,
    at: u64,
    /// Its own timestamp, if it had one.
    stamp: Option<u64>,
    duration: u64,
}

impl Timeline {
    /// Returns the place of a packet of `duration`, 1/48000 s; `stamp`: its timestamp in the same
    /// unit. `None`: it is older than anything that could still be played.
    pub(super) fn place(
        &mut self,
        group: u64,
        object: u64,
        stamp: Option<u64>,
        duration: u64,
    ) -> Option<u64> {
        self.received += 1;
        let Some(newest) = self.newest else {
            self.expected = 1;
            return Some(self.keep(group, object, START, stamp, duration));
        };
        let step = self.step(newest, group, object);
        let at = match (stamp, newest.stamp) {
            (Some(stamp), Some(before)) => leap(newest, stamp.wrapping_sub(before) as i64),
            _ => by_count(newest, step, duration),
        };
        let objects = match step {
            Step::Ahead(objects) => objects,
            Step::Behind(_) => return at,
            Step::Anew => 1,
        };
        self.expected += objects;
        // A clock that leaps begins a new line right after the old one.
        let at = at.unwrap_or(newest.at + newest.duration);
        Some(self.keep(group, object, at, stamp, duration))
    }

    /// Returns how many objects came and how many are missing.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.received, self.expected.saturating_sub(self.received))
    }

    fn keep(&mut self, group: u64, object: u64, at: u64, stamp: Option<u64>, duration: u64) -> u64 {
        self.newest = Some(Newest {
            group,
            object,
            at,
            stamp,
            duration,
        });
        at
    }

    /// How far an object is from the newest one, in objects.
    fn step(&mut self, newest: Newest, group: u64, object: u64) -> Step {
        match self.distance(newest, group, object) {
            Step::Ahead(objects) if objects > MISSING_MAX => Step::Anew,
            step => step,
        }
    }

    fn distance(&mut self, newest: Newest, group: u64, object: u64) -> Step {
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

/// An object's distance from the newest one before it.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ahead(u64),
    Behind(u64),
    /// Too far for counting: the publisher began anew.
    Anew,
}

/// The place by timestamps; `None` when they leap.
fn leap(newest: Newest, difference: i64) -> Option<u64> {
    if difference.abs() > LEAP_MAX {
        return None;
    }
    newest.at.checked_add_signed(difference)
}

/// The place by the number of objects between; `None` when they are too many.
fn by_count(newest: Newest, step: Step, duration: u64) -> Option<u64> {
    let difference = match step {
        Step::Ahead(objects) => i64::try_from(objects.checked_mul(duration)?).ok()?,
        Step::Behind(objects) => -i64::try_from(objects.checked_mul(duration)?).ok()?,
        Step::Anew => return None,
    };
    leap(newest, difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 960;

    #[test]
    fn timestamps_count_from_the_first_packet() {
        let mut line = Timeline::default();

        assert_eq!(line.place(9, 0, Some(5_000), FRAME), Some(START));
        assert_eq!(line.place(9, 1, Some(5_960), FRAME), Some(START + FRAME));
        // Silence that was not sent.
        assert_eq!(line.place(9, 2, Some(53_960), FRAME), Some(START + 48_960));
        assert_eq!(line.counts(), (3, 0));
    }

    #[test]
    fn without_timestamps_the_objects_are_counted() {
        let mut line = Timeline::default();

        for (index, (group, object)) in [(7, 48), (7, 49), (8, 0), (8, 1)].into_iter().enumerate() {
            let at = START + index as u64 * FRAME;
            assert_eq!(line.place(group, object, None, FRAME), Some(at));
        }
        assert_eq!(line.counts(), (4, 0));
    }

    #[test]
    fn a_group_for_each_object_is_a_line_too() {
        let mut line = Timeline::default();

        for group in 0..4 {
            let at = START + group * FRAME;
            assert_eq!(line.place(group, 0, None, FRAME), Some(at));
        }
        assert_eq!(line.counts(), (4, 0));
    }

    #[test]
    fn what_is_missing_is_counted_once() {
        let mut line = Timeline::default();
        line.place(1, 0, None, FRAME);
        line.place(1, 49, None, FRAME);

        assert_eq!(line.place(2, 1, None, FRAME), Some(START + 51 * FRAME));
        assert_eq!(line.counts(), (3, 49));

        // One of them comes late after all.
        assert_eq!(line.place(2, 0, None, FRAME), Some(START + 50 * FRAME));
        assert_eq!(line.place(1, 48, None, FRAME), Some(START + 48 * FRAME));
        assert_eq!(line.counts(), (5, 47));
    }

    #[test]
    fn a_publisher_that_begins_anew_goes_on_in_the_line() {
        let mut line = Timeline::default();
        line.place(1_000, 3, Some(900), FRAME);

        assert_eq!(
            line.place(2_000, 0, Some(u64::MAX / 2), FRAME),
            Some(START + FRAME)
        );
        assert_eq!(
            line.place(2_000, 1, Some(u64::MAX / 2 + FRAME), FRAME),
            Some(START + 2 * FRAME)
        );
        assert_eq!(line.counts(), (3, 0));
    }

    #[test]
    fn a_clock_that_leaps_does_not_silence_the_track() {
        let mut line = Timeline::default();
        line.place(1, 0, Some(0), FRAME);

        let leap = u64::MAX / 2;
        assert_eq!(line.place(1, 1, Some(leap), FRAME), Some(START + FRAME));
        assert_eq!(
            line.place(1, 2, Some(leap + FRAME), FRAME),
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
                    let at = line.place(group, object, stamp, 5_760);
                    assert!(at.unwrap_or(START) < 1 << 53);
                }
            }
        }
    }
}
