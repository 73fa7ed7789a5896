//! Metrics of the bridge, with handles that are looked up once.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::{
    governor::{Change, Effort},
    leg::{Quality, Reason, Stats},
};

/// The handles; clones count into the same metrics.
#[derive(Clone)]
pub(crate) struct Meters {
    legs: Gauge,
    unidentified: Gauge,
    attached: Counter,
    frames_in: Counter,
    frames_out: Counter,
    frames_dropped: Counter,
    frames_skipped: Counter,
    frames_unsent: Counter,
    late_10: Counter,
    malformed: Counter,
    digits: Counter,
    objects_in: Counter,
    objects_out: Counter,
    objects_failed: Counter,
    objects_malformed: Counter,
    objects_speech: Counter,
    objects_silence: Counter,
    objects_key: Counter,
    voice_bytes: Counter,
    baseline_bytes: Counter,
    clipped: Counter,
    loops: Counter,
    odd_pace: Counter,
    complexity: Gauge,
    narrow: Gauge,
    packets_passed: Counter,
    packets_made: Counter,
    rtp_lost: Counter,
    rtp_late: Counter,
    rtp_duplicate: Counter,
    rtp_source: Counter,
    mos: [Histogram; 2],
    missing: [Histogram; 2],
    delay: [Histogram; 2],
    silent: [Counter; 2],
}

/// In the order in which a leg keeps its two sides.
const DIRECTIONS: [&str; 2] = ["from_telephone", "to_telephone"];

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            legs: gauge!("moqrelay_bridge_legs"),
            unidentified: gauge!("moqrelay_bridge_connections_unidentified"),
            attached: counter!("moqrelay_bridge_legs_attached_total"),
            frames_in: counter!("moqrelay_bridge_frames_in_total"),
            frames_out: counter!("moqrelay_bridge_frames_out_total"),
            frames_dropped: counter!("moqrelay_bridge_frames_dropped_total", "cause" => "backlog"),
            frames_skipped: counter!("moqrelay_bridge_frames_dropped_total", "cause" => "late"),
            frames_unsent: counter!("moqrelay_bridge_frames_dropped_total", "cause" => "peer"),
            late_10: counter!("moqrelay_bridge_ticks_later_than_10ms_total"),
            malformed: counter!("moqrelay_bridge_messages_malformed_total"),
            digits: counter!("moqrelay_bridge_digits_total"),
            objects_in: counter!("moqrelay_bridge_objects_in_total"),
            objects_out: counter!("moqrelay_bridge_objects_out_total"),
            objects_failed: counter!("moqrelay_bridge_objects_failed_total"),
            objects_malformed: counter!("moqrelay_bridge_objects_malformed_total"),
            objects_speech: counter!("moqrelay_bridge_objects_kind_total", "kind" => "speech"),
            objects_silence: counter!("moqrelay_bridge_objects_kind_total", "kind" => "silence"),
            objects_key: counter!("moqrelay_bridge_objects_kind_total", "kind" => "key"),
            voice_bytes: counter!("moqrelay_bridge_voice_bytes_total"),
            baseline_bytes: counter!("moqrelay_bridge_voice_baseline_bytes_total"),
            clipped: counter!("moqrelay_bridge_samples_clipped_total"),
            loops: counter!("moqrelay_bridge_loops_total"),
            odd_pace: counter!("moqrelay_bridge_odd_pace_total"),
            complexity: gauge!("moqrelay_bridge_opus_complexity"),
            narrow: gauge!("moqrelay_bridge_opus_narrow_band"),
            packets_passed: counter!("moqrelay_bridge_packets_passed_total"),
            packets_made: counter!("moqrelay_bridge_packets_made_total"),
            rtp_lost: counter!("moqrelay_bridge_rtp_lost_total"),
            rtp_late: counter!("moqrelay_bridge_rtp_dropped_total", "cause" => "late"),
            rtp_duplicate: counter!("moqrelay_bridge_rtp_dropped_total", "cause" => "duplicate"),
            rtp_source: counter!("moqrelay_bridge_rtp_dropped_total", "cause" => "source"),
            mos: DIRECTIONS.map(|side| histogram!("moqrelay_bridge_mos", "direction" => side)),
            missing: DIRECTIONS
                .map(|side| histogram!("moqrelay_bridge_missing_ratio", "direction" => side)),
            delay: DIRECTIONS
                .map(|side| histogram!("moqrelay_bridge_delay_seconds", "direction" => side)),
            silent: DIRECTIONS
                .map(|side| counter!("moqrelay_bridge_silent_total", "direction" => side)),
        }
    }

    /// Counts what a leg did between two reports.
    pub(crate) fn leg_progress(&self, before: &Stats, now: &Stats) {
        let late = |stats: &Stats| stats.lateness.later_than(Duration::from_millis(10));
        for (counter, before, now) in [
            (&self.frames_in, before.frames_in, now.frames_in),
            (&self.frames_out, before.frames_out, now.frames_out),
            (
                &self.frames_dropped,
                before.frames_dropped,
                now.frames_dropped,
            ),
            (
                &self.frames_skipped,
                before.frames_skipped,
                now.frames_skipped,
            ),
            (&self.frames_unsent, before.frames_unsent, now.frames_unsent),
            (&self.late_10, late(before), late(now)),
            (&self.malformed, before.malformed, now.malformed),
            (&self.digits, before.digits, now.digits),
            (&self.objects_in, before.objects_in, now.objects_in),
            (&self.objects_out, before.objects_out, now.objects_out),
            (
                &self.packets_passed,
                before.packets_passed,
                now.packets_passed,
            ),
            (&self.packets_made, before.packets_made, now.packets_made),
            (&self.rtp_lost, before.packets_lost, now.packets_lost),
            (&self.rtp_late, before.packets_late, now.packets_late),
            (
                &self.rtp_duplicate,
                before.packets_duplicate,
                now.packets_duplicate,
            ),
            (
                &self.rtp_source,
                before.packets_strange,
                now.packets_strange,
            ),
            (
                &self.objects_failed,
                before.objects_failed,
                now.objects_failed,
            ),
            (
                &self.objects_malformed,
                before.objects_malformed,
                now.objects_malformed,
            ),
            (
                &self.objects_speech,
                before.objects_speech,
                now.objects_speech,
            ),
            (
                &self.objects_silence,
                before.objects_silence,
                now.objects_silence,
            ),
            (&self.objects_key, before.objects_key, now.objects_key),
            (&self.voice_bytes, before.voice_bytes, now.voice_bytes),
            (
                &self.baseline_bytes,
                before.baseline_bytes,
                now.baseline_bytes,
            ),
            (&self.clipped, before.clipped, now.clipped),
            (&self.loops, before.loops, now.loops),
            (&self.odd_pace, before.odd_pace, now.odd_pace),
        ] {
            counter.increment(now.saturating_sub(before));
        }
    }

    /// Records the quality of one direction over one interval.
    pub(crate) fn quality(&self, side: usize, quality: &Quality) {
        self.mos[side].record(quality.rating.mos());
        self.missing[side].record(quality.missing);
        self.delay[side].record(quality.delay.as_secs_f64());
    }

    /// Tells how hard encoders may work, and that it changed. Rare enough to look the counter up.
    pub(crate) fn effort(&self, effort: Effort, change: Change) {
        let direction = match change {
            Change::Lower => "lower",
            Change::Raise => "raise",
        };
        counter!("moqrelay_bridge_opus_complexity_changes_total", "direction" => direction)
            .increment(1);
        self.complexity.set(f64::from(effort.complexity));
        self.narrow.set(f64::from(u8::from(effort.narrow)));
    }

    /// Counts a silence of one direction.
    pub(crate) fn silent(&self, side: usize) {
        self.silent[side].increment(1);
    }

    pub(crate) fn attached(&self) {
        self.attached.increment(1);
    }

    pub(crate) fn legs(&self, now: usize) {
        self.legs.set(now as f64);
    }

    pub(crate) fn unidentified(&self, now: usize) {
        self.unidentified.set(now as f64);
    }

    /// Rare enough to look the counter up.
    pub(crate) fn ended(&self, reason: Reason) {
        counter!("moqrelay_bridge_legs_ended_total", "reason" => reason.as_str()).increment(1);
    }

    /// Rare enough to look the counter up.
    pub(crate) fn refused(&self, reason: &'static str) {
        counter!("moqrelay_bridge_connections_refused_total", "reason" => reason).increment(1);
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}
