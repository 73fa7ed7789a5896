//! How well the two sides of a leg hear each other, every few seconds, from what the leg counts.
//!
//! No I/O and no clock: reports come from differences of [`Stats`].

use std::time::Duration;

use moqrelay_audio::{
    emodel::{Codec, Conditions, Rating},
    jitter,
};

use super::Stats;

/// How often a leg judges its quality: long enough for 1 % of loss to be some packets.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// A side that is not heard for so long is worth a word in the log.
pub(super) const SILENT: Duration = Duration::from_secs(3);

/// What lies outside this process on a good line: coding ahead, the sound devices, the telephone's
/// own buffer. The leg cannot measure it; without it every rating would flatter.
const ELSEWHERE: Duration = Duration::from_millis(60);

/// One direction of a leg over one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Quality {
    /// The part of the sound that was missing, 0 to 1, after error correction.
    pub missing: f64,
    /// From the sender's mouth to the listener's ear, as far as it can be known.
    pub delay: Duration,
    /// How much later than the earliest 95 % of the packets came; zero where there is no buffer.
    pub jitter: Duration,
    /// The E-model's rating of it (ITU-T G.107).
    pub rating: Rating,
}

impl Quality {
    fn new(missing: f64, delay: Duration, jitter: Duration) -> Self {
        let delay = delay + ELSEWHERE;
        let rating = Rating::new(&Conditions {
            delay,
            loss: missing,
            burst_ratio: 1.0,
            codec: Codec::OPUS,
        });
        Self {
            missing,
            delay,
            jitter,
            rating,
        }
    }
}

/// Compares reports of a leg.
#[derive(Debug, Default)]
pub(super) struct Watch {
    before: Stats,
    /// When each direction was last heard, counted in the leg's own time.
    heard: [Option<Duration>; 2],
    frames_in: u64,
    objects_in: u64,
    said: [bool; 2],
}

/// A direction that should be heard and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Asterisk sends nothing.
    FromTelephone,
    /// None of the tracks that are listened to has objects.
    ToTelephone,
}

impl Watch {
    /// Judges the time since the last call; `None` for a direction in which nothing was to be heard.
    pub(super) fn judge(&mut self, now: &Stats) -> [Option<Quality>; 2] {
        let from = from_telephone(&self.before, now);
        let to = to_telephone(&self.before, now);
        self.before = now.clone();
        [from, to]
    }

    /// Says once for each silence which direction has been silent for [`SILENT`]; ask until `None`.
    pub(super) fn missing(&mut self, stats: &Stats, now: Duration) -> Option<Missing> {
        let sides = [
            (stats.frames_in, &mut self.frames_in, true),
            (
                stats.objects_in,
                &mut self.objects_in,
                !stats.sources.is_empty(),
            ),
        ];
        for (side, (count, before, expected)) in sides.into_iter().enumerate() {
            let heard = self.heard[side].get_or_insert(now);
            if *before != count || !expected {
                *before = count;
                *heard = now;
                self.said[side] = false;
            } else if now.saturating_sub(*heard) >= SILENT && !self.said[side] {
                self.said[side] = true;
                return Some([Missing::FromTelephone, Missing::ToTelephone][side]);
            }
        }
        None
    }
}

/// Asterisk's frames come in order and whole; missing are those that never came or were too many.
fn from_telephone(before: &Stats, now: &Stats) -> Option<Quality> {
    let taken = now.frames_in.saturating_sub(before.frames_in);
    let dropped = now.frames_dropped.saturating_sub(before.frames_dropped)
        + now.objects_failed.saturating_sub(before.objects_failed);
    if taken == 0 {
        return None;
    }
    let missing = dropped as f64 / (taken + dropped) as f64;
    Some(Quality::new(missing, Duration::ZERO, Duration::ZERO))
}

/// The worst of what is listened to.
fn to_telephone(before: &Stats, now: &Stats) -> Option<Quality> {
    let unsent = now.frames_unsent.saturating_sub(before.frames_unsent)
        + now.frames_skipped.saturating_sub(before.frames_skipped);
    let sent = now.frames_out.saturating_sub(before.frames_out);
    let unsent = unsent as f64 / (sent + unsent).max(1) as f64;
    let mut worst = None::<Quality>;
    for (name, stats) in &now.sources {
        let past = before.sources.iter().find(|(other, _)| other == name);
        let past = past.map_or_else(jitter::Stats::default, |(_, stats)| *stats);
        let Some(lost) = lost(&past, stats) else {
            continue;
        };
        let quality = Quality::new(lost.max(unsent), stats.delay, stats.spread);
        if worst.is_none_or(|worst| quality.rating < worst.rating) {
            worst = Some(quality);
        }
    }
    worst
}

/// The part of a track's packets that was neither played nor repaired; `None`: none came.
fn lost(before: &jitter::Stats, now: &jitter::Stats) -> Option<f64> {
    let since = |count: fn(&jitter::Stats) -> u64| count(now).saturating_sub(count(before));
    let received = since(|stats| stats.received);
    if received == 0 {
        return None;
    }
    let gaps = since(|stats| stats.lost).saturating_sub(since(|stats| stats.recovered));
    let useless = since(|stats| stats.late) + since(|stats| stats.overflowed);
    let missing = gaps + useless;
    Some(missing as f64 / (received + gaps) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(received: u64, lost: u64, delay_ms: u64) -> Stats {
        let mut source = jitter::Stats::default();
        source.received = received;
        source.lost = lost;
        source.delay = Duration::from_millis(delay_ms);
        Stats {
            frames_in: received,
            frames_out: received,
            objects_in: received,
            sources: vec![("room/a/audio".to_owned(), source)],
            ..Stats::default()
        }
    }

    #[test]
    fn a_clean_leg_is_rated_as_a_good_line_both_ways() {
        let [from, to] = Watch::default().judge(&heard(250, 0, 40));

        assert!(from.unwrap().rating.mos() > 4.3);
        assert!(to.unwrap().rating.mos() > 4.2);
    }

    #[test]
    fn only_what_happened_since_the_last_report_counts() {
        let mut watch = Watch::default();
        let [_, bad] = watch.judge(&heard(200, 50, 40));
        let [_, good] = watch.judge(&heard(450, 50, 40));

        assert_eq!(bad.unwrap().missing, 0.2);
        assert!(bad.unwrap().rating.mos() < 3.0);
        assert_eq!(good.unwrap().missing, 0.0);
    }

    #[test]
    fn a_direction_in_which_nothing_was_said_has_no_rating() {
        let mut watch = Watch::default();
        watch.judge(&heard(250, 0, 40));

        assert_eq!(watch.judge(&heard(250, 0, 40)), [None, None]);
    }

    #[test]
    fn a_silent_direction_is_named_once_until_it_is_heard_again() {
        let mut watch = Watch::default();
        let at = Duration::from_secs;
        let mut stats = heard(50, 0, 40);
        assert_eq!(watch.missing(&stats, at(1)), None);

        stats.objects_in += 50;
        assert_eq!(watch.missing(&stats, at(2)), None);
        stats.objects_in += 100;
        assert_eq!(watch.missing(&stats, at(4)), Some(Missing::FromTelephone));
        stats.objects_in += 50;
        assert_eq!(watch.missing(&stats, at(5)), None);
        stats.frames_in += 50;
        assert_eq!(watch.missing(&stats, at(6)), None);
        assert_eq!(watch.missing(&stats, at(9)), Some(Missing::FromTelephone));
        assert_eq!(watch.missing(&stats, at(9)), Some(Missing::ToTelephone));
    }
}
