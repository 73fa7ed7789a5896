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
    /// The part of the packets that did not come in time, 0 to 1.
    pub lost: f64,
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
    fn new(lost: f64, missing: f64, delay: Duration, jitter: Duration) -> Self {
        let delay = delay + ELSEWHERE;
        let rating = Rating::new(&Conditions {
            delay,
            loss: missing,
            burst_ratio: 1.0,
            codec: Codec::OPUS,
        });
        Self {
            lost,
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
    tallies: [Tally; 2],
}

/// What all intervals of a direction add up to.
#[derive(Debug, Default)]
struct Tally {
    intervals: u32,
    r: f64,
    delay: Duration,
    jitter: Duration,
    silent: Duration,
    cause: Option<Cause>,
}

/// One direction of a whole leg.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The mean of the ratings of all intervals; `None`: nothing was to be heard.
    pub rating: Option<Rating>,
    /// The worst of them.
    pub worst: Option<Rating>,
    /// The part of the packets, or frames, that did not come in time, 0 to 1.
    pub lost: f64,
    /// Packets that came after their time.
    pub late: u64,
    /// Sound that was made up.
    pub concealed: Duration,
    /// The largest jitter of an interval.
    pub jitter: Duration,
    /// The mean delay, mouth to ear, as far as it can be known.
    pub delay: Duration,
    /// The level of speech, dBov.
    pub level_dbov: Option<f64>,
    /// Samples that were clipped before they came.
    pub clipped: u64,
    /// How long nothing was heard in silences of 3 s and more, to a second.
    pub silent: Duration,
    /// The likeliest cause of the last of them, or of a leg without any speech.
    pub cause: Option<Cause>,
}

/// Why nothing is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Asterisk sent nothing since the leg began.
    TelephoneNeverSent,
    /// Asterisk sent sound and stopped.
    TelephoneStopped,
    /// What Asterisk sends is silence, digital or nearly.
    TelephoneMute,
    /// Of those who are listened to nobody ever sent anything.
    OthersNeverSent,
    /// Those who are listened to stopped sending.
    OthersStopped,
}

impl Cause {
    /// Returns its name in logs and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TelephoneNeverSent => "telephone_never_sent",
            Self::TelephoneStopped => "telephone_stopped",
            Self::TelephoneMute => "telephone_mute",
            Self::OthersNeverSent => "others_never_sent",
            Self::OthersStopped => "others_stopped",
        }
    }

    /// Returns what it most likely is, for the log.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::TelephoneNeverSent => {
                "Asterisk never sent sound: the channel is not bridged, or a firewall, NAT or an unknown codec \
                 keeps the telephone's sound from Asterisk"
            }
            Self::TelephoneStopped => {
                "sound from Asterisk stopped: on hold without music, or the telephone lost its network"
            }
            Self::TelephoneMute => {
                "Asterisk sends silence: the telephone is muted, or its microphone is dead"
            }
            Self::OthersNeverSent => {
                "the others never sent anything: muted from the start, or their network lets nothing through"
            }
            Self::OthersStopped => {
                "the others stopped sending: muted, on hold, or their network is gone"
            }
        }
    }
}

/// A direction that should be heard and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Asterisk sends nothing.
    FromTelephone,
    /// None of the tracks that are listened to has objects.
    ToTelephone,
}

impl Missing {
    /// The likeliest cause, when so many frames or objects came before.
    pub(super) fn cause(self, came: u64) -> Cause {
        match (self, came) {
            (Self::FromTelephone, 0) => Cause::TelephoneNeverSent,
            (Self::FromTelephone, _) => Cause::TelephoneStopped,
            (Self::ToTelephone, 0) => Cause::OthersNeverSent,
            (Self::ToTelephone, _) => Cause::OthersStopped,
        }
    }
}

impl Tally {
    fn add(&mut self, quality: &Quality) {
        self.intervals += 1;
        self.r += quality.rating.r();
        self.delay += quality.delay;
        self.jitter = self.jitter.max(quality.jitter);
    }
}

impl Watch {
    /// Judges the time since the last call; `None` for a direction in which nothing was to be heard.
    pub(super) fn judge(&mut self, now: &Stats) -> [Option<Quality>; 2] {
        let from = from_telephone(&self.before, now);
        let to = to_telephone(&self.before, now);
        self.before = now.clone();
        for (tally, quality) in self.tallies.iter_mut().zip([from, to]) {
            if let Some(quality) = quality {
                tally.add(&quality);
            }
        }
        [from, to]
    }

    /// Sums the whole leg up, after the last [`judge`](Self::judge).
    pub(super) fn summary(&self, stats: &Stats, now: Duration) -> [Summary; 2] {
        let taken = stats.frames_in + stats.frames_dropped;
        let all = |count: fn(&jitter::Stats) -> u64| {
            stats
                .sources
                .iter()
                .map(|(_, source)| count(source))
                .sum::<u64>()
        };
        let (lost, came) = (all(unplayed), all(|source| source.received));
        let gaps = all(|source| source.lost);
        // Of packets that are passed on nobody knows how loud they are: then there is no rate.
        let silent = stats.rate_in > 0 && stats.speech[0].dbov().is_none();
        let from = Summary {
            lost: part(stats.frames_dropped, taken),
            clipped: stats.clipped,
            cause: self.tallies[0]
                .cause
                .or(silent.then_some(Cause::TelephoneMute)),
            ..self.side(0, stats, now)
        };
        let to = Summary {
            lost: part(lost, came + gaps),
            late: all(|source| source.late),
            concealed: stats
                .sources
                .iter()
                .map(|(_, source)| source.concealed)
                .sum(),
            ..self.side(1, stats, now)
        };
        [from, to]
    }

    /// Returns why each direction is silent now, if it is.
    pub(super) fn silent(&self) -> [Option<Cause>; 2] {
        [0, 1].map(|side| self.tallies[side].cause.filter(|_| self.said[side]))
    }

    fn side(&self, side: usize, stats: &Stats, now: Duration) -> Summary {
        let tally = &self.tallies[side];
        // A silence may last until the end.
        let heard = self.heard[side].filter(|_| self.said[side]);
        let lasting = heard.map_or(Duration::ZERO, |heard| now.saturating_sub(heard));
        let count = tally.intervals.max(1);
        Summary {
            rating: (tally.intervals > 0).then(|| Rating::from_r(tally.r / f64::from(count))),
            worst: stats.worst[side],
            jitter: tally.jitter,
            delay: tally.delay / count,
            level_dbov: stats.speech[side].dbov(),
            silent: tally.silent + lasting,
            cause: tally.cause,
            ..Summary::default()
        }
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
            let tally = &mut self.tallies[side];
            if *before != count || !expected {
                *before = count;
                if self.said[side] {
                    tally.silent += now.saturating_sub(*heard);
                }
                *heard = now;
                self.said[side] = false;
            } else if now.saturating_sub(*heard) >= SILENT && !self.said[side] {
                self.said[side] = true;
                let missing = [Missing::FromTelephone, Missing::ToTelephone][side];
                tally.cause = Some(missing.cause(count));
                return Some(missing);
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
    let missing = part(dropped, taken + dropped);
    Some(Quality::new(
        missing,
        missing,
        Duration::ZERO,
        Duration::ZERO,
    ))
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
        let Some((lost, missing)) = lost(&past, stats) else {
            continue;
        };
        let missing = missing.max(unsent);
        let quality = Quality::new(lost, missing, stats.delay, stats.spread);
        if worst.is_none_or(|worst| quality.rating < worst.rating) {
            worst = Some(quality);
        }
    }
    worst
}

/// The part of a track's packets that did not come in time, and the part that was neither played nor repaired;
/// `None`: none came.
fn lost(before: &jitter::Stats, now: &jitter::Stats) -> Option<(f64, f64)> {
    let since = |count: fn(&jitter::Stats) -> u64| count(now).saturating_sub(count(before));
    let received = since(|stats| stats.received);
    if received == 0 {
        return None;
    }
    let (gaps, recovered) = (since(|stats| stats.lost), since(|stats| stats.recovered));
    let useless = since(|stats| stats.late) + since(|stats| stats.overflowed);
    let unrepaired = gaps.saturating_sub(recovered);
    Some((
        part(gaps + useless, received + gaps),
        part(unrepaired + useless, received + unrepaired),
    ))
}

/// Packets of a track that were not played.
fn unplayed(stats: &jitter::Stats) -> u64 {
    stats.lost + stats.late + stats.overflowed
}

fn part(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
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
