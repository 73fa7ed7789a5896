//! What a leg counts about itself.

use std::time::Duration;

use moqrelay_audio::{emodel::Rating, jitter, level::AudioLevel};

use moqrelay_wire::audio_object;

use super::{Quality, Summary};

/// Counters of one leg since it began, and its state at the last report (once a second).
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The way to Asterisk: `audiosocket`, `websocket` or `rtp`.
    pub road: &'static str,
    /// Its codec by Asterisk's name; `None` where what arrives decides.
    pub codec: Option<&'static str>,
    /// Why this way was chosen, where somebody chose.
    pub why: Option<&'static str>,
    /// Opus packets of others that went to Asterisk untouched.
    pub packets_passed: u64,
    /// Opus packets that were made for Asterisk, because there was more than one source, or a tone.
    pub packets_made: u64,
    /// RTP packets that never came.
    pub packets_lost: u64,
    /// RTP packets that came after one that follows them.
    pub packets_late: u64,
    /// RTP packets that came twice.
    pub packets_duplicate: u64,
    /// RTP packets of a source that was not believed.
    pub packets_strange: u64,
    /// The part of our RTP packets that Asterisk misses, by its last report; `None`: it has not said.
    pub remote_loss: Option<f64>,
    /// What the last RTP packet with a level said (RFC 6464).
    pub said_level: Option<audio_object::Level>,
    /// What RTP packets said of how they are sent.
    pub said_mode: Option<audio_object::Mode>,
    /// Frames of 20 ms written to Asterisk.
    pub frames_out: u64,
    /// Frames that were never made, because this process stood still for longer than it makes up for.
    pub frames_skipped: u64,
    /// Frames thrown away because Asterisk did not read.
    pub frames_unsent: u64,
    /// How late the 20 ms ticks were served.
    pub lateness: Lateness,
    /// Frames of 20 ms that came from Asterisk and were taken.
    pub frames_in: u64,
    /// Frames that came too many at once and were dropped.
    pub frames_dropped: u64,
    /// The most frames from Asterisk that waited together.
    pub queue_frames_max: usize,
    /// Whether sound from Asterisk came much faster or more slowly than it lasts: 1, or 0.
    pub odd_pace: u64,
    /// Messages that made no sense.
    pub malformed: u64,
    /// Digits that came by AudioSocket.
    pub digits: u64,
    /// Samples from the telephone that were clipped before they came.
    pub clipped: u64,
    /// Times that what we said came back to us.
    pub loops: u64,
    /// Objects published.
    pub objects_out: u64,
    /// Of these, plain speech; not such as were passed untouched, which nobody has looked into.
    pub objects_speech: u64,
    /// Of these, such as say that it is silent.
    pub objects_silence: u64,
    /// Of these, the first after a silence.
    pub objects_key: u64,
    /// libopus's complexity that the load governor allowed lately.
    pub complexity: u8,
    /// Whether it allowed narrow band only.
    pub narrow: bool,
    /// What they take on the wire, about.
    pub voice_bytes: u64,
    /// What 20 ms packets of 24 kbit/s would have taken (`audio::mode::BASELINE`).
    pub baseline_bytes: u64,
    /// Frames that could not be coded or published.
    pub objects_failed: u64,
    /// Objects heard from all sources.
    pub objects_in: u64,
    /// Objects that were no voice: damaged, without a timestamp, not Opus.
    pub objects_malformed: u64,
    /// What the telephone says, RFC 6464 without the voice bit: 127 is silence.
    pub level: u8,
    /// How loud speech is, from the telephone and to it.
    pub speech: [SpeechLevel; 2],
    /// Samples per second that arrive; 0 before the first sound.
    pub rate_in: u32,
    /// Samples per second that are sent.
    pub rate_out: u32,
    /// What is listened to, by printed track name, and how its jitter buffer does.
    pub sources: Vec<(String, jitter::Stats)>,
    /// The last 5 s, from the telephone and to it; `None`: nothing was to be heard.
    pub quality: [Option<Quality>; 2],
    /// The worst rating so far, from the telephone and to it.
    pub worst: [Option<Rating>; 2],
    /// The whole leg, from the telephone and to it; `None` before its end.
    pub summary: Option<[Summary; 2]>,
}

/// The mean level of what is speech.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SpeechLevel {
    power: f64,
    frames: u64,
}

impl SpeechLevel {
    /// Adds a frame, if it is speech.
    pub(super) fn add(&mut self, frame: AudioLevel) {
        if frame.voice {
            self.power += 10f64.powf(-f64::from(frame.level.minus_dbov()) / 10.0);
            self.frames += 1;
        }
    }

    /// Returns the level in dBov; `None`: there was no speech.
    #[must_use]
    pub fn dbov(&self) -> Option<f64> {
        (self.frames > 0).then(|| 10.0 * (self.power / self.frames as f64).log10())
    }
}

/// A histogram of how late ticks were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lateness {
    counts: [u64; BOUNDS_MS.len() + 1],
    max: Duration,
}

/// Upper bounds of the histogram, in milliseconds; the last count is for what is beyond.
const BOUNDS_MS: [u64; 7] = [1, 2, 3, 5, 10, 20, 50];

impl Lateness {
    /// Adds one tick.
    pub(super) fn record(&mut self, late: Duration) {
        let bound = BOUNDS_MS
            .iter()
            .position(|ms| late <= Duration::from_millis(*ms));
        self.counts[bound.unwrap_or(BOUNDS_MS.len())] += 1;
        self.max = self.max.max(late);
    }

    /// Returns the counts with the upper bound of each, `None` for what is beyond all.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = BOUNDS_MS.iter().map(|ms| Some(Duration::from_millis(*ms)));
        bounds.chain([None]).zip(self.counts)
    }

    /// Returns how many ticks there were.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns how many ticks were later than `bound`, which must be one of the histogram's bounds
    /// (1, 2, 3, 5, 10, 20 or 50 ms); between two of them the lower one counts.
    #[must_use]
    pub fn later_than(&self, bound: Duration) -> u64 {
        let later = |upper: Option<Duration>| upper.is_none_or(|upper| upper > bound);
        self.buckets()
            .filter(|(upper, _)| later(*upper))
            .map(|(_, count)| count)
            .sum()
    }

    /// Returns the latest tick.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// Adds the ticks of another leg.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.counts.iter_mut().zip(other.counts) {
            *own += other;
        }
        self.max = self.max.max(other.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_ticks_are_counted_by_bound() {
        let mut lateness = Lateness::default();
        for ms in [0, 1, 4, 10, 11, 300] {
            lateness.record(Duration::from_millis(ms));
        }

        assert_eq!(lateness.ticks(), 6);
        assert_eq!(lateness.later_than(Duration::from_millis(10)), 2);
        assert_eq!(lateness.later_than(Duration::from_millis(50)), 1);
        assert_eq!(lateness.max(), Duration::from_millis(300));
    }
}
