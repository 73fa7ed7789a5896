//! Timestamps for what a telephone says: continuous while it sends, jumping forward over what it did not send.

use std::time::Duration;

use moqrelay_audio::FRAME_DURATION;
use moqrelay_wire::audio_object::{OBJECT_TICKS, TIMESCALE};

/// Asterisk passes the telephone's jitter on, up to about 25 ms and rarely 100 ms; a longer gap is silence that was
/// not sent.
const GAP: i64 = TIMESCALE as i64 / 10;

/// Three frames: what comes faster than real time by more is a backlog, and delay the call would never get back.
const AHEAD_MAX: i64 = 3 * OBJECT_TICKS as i64;

/// How much of the difference the wall clock is moved by with each frame, so that a telephone's clock may be some
/// 100 ppm off without ever adding up to a gap or a backlog: its time constant is ten seconds.
const FOLLOW: i64 = 512;

/// The media time of one leg, in 1/48000 s from 0.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// The timestamp of the next frame.
    next: i64,
    /// What the wall clock shows when media time is 0; `None` before the first frame.
    zero: Option<i64>,
}

impl Timeline {
    /// Returns the timestamp of a frame that came at `now` (since any start), together with `after` frames that
    /// follow it; `None` when it is part of a backlog and must be dropped.
    pub(super) fn stamp(&mut self, now: Duration, after: usize) -> Option<u64> {
        self.stamp_piece(now, after, FRAME_DURATION)
    }

    /// Leaves room for sound that is known to be lost; nothing before the first frame.
    pub(super) fn lose(&mut self, length: Duration) {
        if self.zero.is_some() {
            self.next += ticks(length);
        }
    }

    /// The same for a piece of another length.
    pub(super) fn stamp_piece(
        &mut self,
        now: Duration,
        after: usize,
        length: Duration,
    ) -> Option<u64> {
        let wall = ticks(now) - after as i64 * OBJECT_TICKS as i64;
        let zero = *self.zero.get_or_insert(wall);
        let mut ahead = self.next - (wall - zero);
        if ahead < -GAP {
            let step = OBJECT_TICKS as i64;
            let jump = -ahead / step * step;
            self.next += jump;
            ahead += jump;
        }
        if ahead > AHEAD_MAX {
            return None;
        }
        self.zero = Some(zero - ahead / FOLLOW);
        let stamp = self.next;
        self.next += ticks(length);
        u64::try_from(stamp).ok()
    }
}

fn ticks(time: Duration) -> i64 {
    i64::try_from(time.as_nanos() * u128::from(TIMESCALE) / 1_000_000_000).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_frames_are_960_apart_whatever_their_jitter() {
        let mut timeline = Timeline::default();

        for index in 0..5_000_u64 {
            let jitter = [0, 9, 3, 22, 1][index as usize % 5];
            let now = Duration::from_millis(500 + index * 20 + jitter);
            assert_eq!(timeline.stamp(now, 0), Some(index * 960));
        }
    }

    #[test]
    fn a_telephone_s_clock_may_be_off_by_200_ppm_for_an_hour() {
        for interval_ns in [19_996_000, 20_004_000] {
            let mut timeline = Timeline::default();
            for index in 0..180_000_u64 {
                let now = Duration::from_nanos(index * interval_ns);
                assert_eq!(
                    timeline.stamp(now, 0),
                    Some(index * 960),
                    "{interval_ns} ns"
                );
            }
        }
    }

    #[test]
    fn silence_that_was_not_sent_is_jumped_over_in_whole_frames() {
        let mut timeline = Timeline::default();
        timeline.stamp(Duration::ZERO, 0);

        let after = timeline.stamp(Duration::from_millis(2_027), 0).unwrap();

        assert_eq!(after, 101 * 960);
        assert_eq!(
            timeline.stamp(Duration::from_millis(2_047), 0),
            Some(102 * 960)
        );
    }

    #[test]
    fn what_is_lost_is_a_gap_at_once() {
        let mut timeline = Timeline::default();
        timeline.stamp(Duration::ZERO, 0);

        timeline.lose(Duration::from_millis(40));

        let after = timeline.stamp(Duration::from_millis(60), 0);
        assert_eq!(after, Some(3 * 960));
    }

    #[test]
    fn frames_that_come_together_end_now() {
        let mut timeline = Timeline::default();
        timeline.stamp(Duration::ZERO, 0);

        let now = Duration::from_secs(1);
        let stamps = [2, 1, 0].map(|after| timeline.stamp(now, after).unwrap() / 960);

        assert_eq!(stamps, [48, 49, 50]);
    }

    #[test]
    fn a_flood_is_cut_to_real_time() {
        let mut timeline = Timeline::default();

        let taken = (0..1_000)
            .filter(|index| timeline.stamp(Duration::from_millis(*index), 0).is_some())
            .count();

        assert!((50..=56).contains(&taken), "{taken} frames of one second");
    }
}
