//! When a leg owes the next 20 ms: absolute deadlines, a short catching up, no debt.

use std::time::Duration;

use moqrelay_audio::FRAME_DURATION;
use tokio::time::Instant;

/// What a leg that was stopped makes up for: about 60 ms. Asterisk neither buffers nor paces, so whatever more
/// is sent at once would only be thrown away there.
pub(super) const CATCH_UP_FRAMES: u64 = 3;

/// The deadlines of one leg, every 20 ms from its first moment, however late they are served.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
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
        Self { start, served: 0 }
    }

    /// Returns the next deadline.
    pub(crate) fn next(&self) -> Instant {
        self.start + offset(self.served)
    }

    /// Returns what is owed at `now`, and counts it as served; `None` before the next deadline.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        let late = now.checked_duration_since(self.next())?;
        let owed = u64::try_from(late.as_nanos() / FRAME_DURATION.as_nanos()).unwrap_or(0) + 1;
        let frames = owed.min(CATCH_UP_FRAMES);
        let skipped = owed - frames;
        let first = self.served + skipped;
        self.served += owed;
        Some(Due {
            frames,
            skipped,
            first,
            late,
        })
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
