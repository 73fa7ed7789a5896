//! When a leg owes the next 20 ms: absolute deadlines, a short catching up, no debt.

use std::time::Duration;

use moqrelay_audio::FRAME_DURATION;
use tokio::time::Instant;

/// What a leg that was stopped makes up for: about 60 ms. Asterisk neither buffers nor paces, so whatever more
/// is sent at once would only be thrown away there.
pub(super) const CATCH_UP_FRAMES: u64 = 3;

/// A deadline that near may be served with what has just come: a leg that has turned once for both has turned half as
/// often.
const NEAR: Duration = Duration::from_millis(3);

/// How long before its deadline a leg's sound should come. The runtime's timers have milliseconds, and some jitter is
/// the telephone's.
const LEAD: Duration = Duration::from_micros(1_500);

/// By how much one arrival moves the deadlines at most: 0.5 % faster or more slowly nobody hears, and two seconds bring
/// any phase there.
const STEP_MAX: Duration = Duration::from_micros(100);

/// The part of the way that one arrival moves them, beyond that: the jitter of arrivals averages out.
const STEP_PART: u32 = 16;

/// The deadlines of one leg, every 20 ms from its first moment, however late they are served.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The first deadline; it moves when the clock [follows](Self::follow) somebody.
    start: Instant,
    /// What frames' times are counted from.
    zero: Instant,
    served: u64,
}

/// What is owed at one look at the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Frames to send now, 1 to [`CATCH_UP_FRAMES`].
    pub(crate) frames: u64,
    /// Frames before them that will never be sent.
    pub(crate) skipped: u64,
    /// Which deadline the first of `frames` has, counted from 0.
    pub(crate) first: u64,
    /// How late the oldest deadline is.
    pub(crate) late: Duration,
}

impl Clock {
    /// Starts the clock; the first frame is due at once.
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            zero: start,
            served: 0,
        }
    }

    /// Moves the deadlines a little towards shortly after `arrival`: what comes every 20 ms and what goes every 20 ms
    /// are then one turn, and the two ends have one clock.
    pub(crate) fn follow(&mut self, arrival: Instant) {
        let period = FRAME_DURATION.as_nanos() as i64;
        let next = self.next();
        let ahead = |later: Instant, earlier| later.duration_since(earlier).as_nanos() as i64;
        let lead = if next >= arrival {
            ahead(next, arrival)
        } else {
            -ahead(arrival, next)
        };
        // Between half a period too early and half a period too late.
        let off = (lead - LEAD.as_nanos() as i64 + period / 2).rem_euclid(period) - period / 2;
        let step = Duration::from_nanos(off.unsigned_abs() / u64::from(STEP_PART)).min(STEP_MAX);
        if off > 0 {
            self.start -= step;
        } else {
            self.start += step;
        }
    }

    /// Returns when the frame `index` is due, counted from the beginning.
    pub(crate) fn time_of(&self, index: u64) -> Duration {
        (self.start + offset(index)).saturating_duration_since(self.zero)
    }

    /// Returns the next deadline.
    pub(crate) fn next(&self) -> Instant {
        self.start + offset(self.served)
    }

    /// Returns what is owed at `now`, and counts it as served; `None` before the next deadline.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        let late = now.checked_duration_since(self.next())?;
        Some(self.serve(late))
    }

    /// The same, but a deadline that is [`NEAR`] has come already.
    pub(crate) fn due_soon(&mut self, now: Instant) -> Option<Due> {
        (now + NEAR).checked_duration_since(self.next())?;
        Some(self.serve(now.saturating_duration_since(self.next())))
    }

    fn serve(&mut self, late: Duration) -> Due {
        let owed = u64::try_from(late.as_nanos() / FRAME_DURATION.as_nanos()).unwrap_or(0) + 1;
        let frames = owed.min(CATCH_UP_FRAMES);
        let skipped = owed - frames;
        let first = self.served + skipped;
        self.served += owed;
        Due {
            frames,
            skipped,
            first,
            late,
        }
    }
}

/// Returns how long after the start the frame `index` is due.
pub(crate) fn offset(index: u64) -> Duration {
    // 20 ms times 2^32 is two years and a half; a leg never lives that long.
    FRAME_DURATION.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_is_due_at_once_and_the_others_every_20_ms() {
        let start = Instant::now();
        let mut clock = Clock::new(start);

        let first = clock.due(start).unwrap();

        assert_eq!(
            first,
            Due {
                frames: 1,
                skipped: 0,
                first: 0,
                late: Duration::ZERO
            }
        );
        assert_eq!(clock.due(start + Duration::from_millis(19)), None);
        assert_eq!(clock.next(), start + Duration::from_millis(20));
    }

    #[test]
    fn being_late_does_not_move_the_following_deadlines() {
        let start = Instant::now();
        let mut clock = Clock::new(start);

        for index in 0..1_000 {
            let due = clock
                .due(start + offset(index) + Duration::from_millis(7))
                .unwrap();
            assert_eq!((due.frames, due.skipped), (1, 0));
            assert_eq!(due.late, Duration::from_millis(7));
        }

        assert_eq!(clock.next(), start + Duration::from_secs(20));
    }

    #[test]
    fn deadlines_move_to_shortly_after_what_comes_every_20_ms() {
        for phase_ms in [0, 3, 9, 11, 19] {
            let start = Instant::now();
            let mut clock = Clock::new(start);
            let mut before = clock.time_of(0);

            for index in 0..200 {
                let arrival = start + Duration::from_millis(phase_ms) + offset(index);
                while clock.due(arrival).is_some() {}
                clock.follow(arrival);
                let time = clock.time_of(index + 1);
                let pace = time - before;
                assert!(pace.abs_diff(FRAME_DURATION) <= STEP_MAX, "{pace:?}");
                before = time;
            }

            let arrival = start + Duration::from_millis(phase_ms) + offset(200);
            while clock.due(arrival).is_some() {}
            let lead = clock.next() - arrival;
            assert!(lead.abs_diff(LEAD) < LEAD / 2, "{phase_ms} {lead:?}");
            assert_eq!(clock.due_soon(arrival).unwrap().late, Duration::ZERO);
            assert_eq!(clock.due_soon(arrival), None);
        }
    }

    #[test]
    fn arrivals_at_random_do_not_move_them() {
        let start = Instant::now();
        let mut clock = Clock::new(start);

        for index in 0..1_000 {
            // Numbers without a common divisor: every phase comes equally often.
            let arrival = start + offset(index) + Duration::from_micros(index * 7_001 % 20_000);
            while clock.due(arrival).is_some() {}
            clock.follow(arrival);
        }

        let moved = clock.time_of(0).max(start.duration_since(clock.start));
        assert!(moved < Duration::from_millis(2), "{moved:?}");
    }

    #[test]
    fn a_short_stop_is_made_up_for() {
        let start = Instant::now();
        let mut clock = Clock::new(start);

        let due = clock.due(start + Duration::from_millis(59)).unwrap();

        assert_eq!((due.frames, due.skipped, due.first), (3, 0, 0));
    }

    #[test]
    fn of_a_long_stop_only_three_frames_are_made_up_for() {
        let start = Instant::now();
        let mut clock = Clock::new(start);

        let due = clock.due(start + Duration::from_secs(1)).unwrap();

        assert_eq!((due.frames, due.skipped, due.first), (3, 48, 48));
        assert_eq!(clock.next(), start + Duration::from_millis(1_020));
    }
}
