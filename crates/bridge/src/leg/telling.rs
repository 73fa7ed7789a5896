//! What a leg tells others: events, reports, and how good it sounds.

use moqrelay_audio::{emodel::Rating, mode::Report};
use tokio::sync::mpsc;

use super::{Cause, Leg, quality};
use crate::Event;

/// Events of one leg that wait for room in the queue; then further digits are dropped.
const UNSENT_EVENTS_MAX: usize = 32;

impl Leg {
    /// Says how good the leg was, once and for all.
    pub(super) fn sum_up(&mut self) {
        let summary = self.watch.summary(&self.stats, self.start.elapsed());
        for (direction, side) in ["from_telephone", "to_telephone"].into_iter().zip(&summary) {
            tracing::info!(
                direction,
                r = side.rating.map(Rating::r),
                mos = side.rating.map(Rating::mos),
                lost_percent = side.lost * 100.0,
                late = side.late,
                concealed_ms = side.concealed.as_millis() as u64,
                jitter_ms = side.jitter.as_millis() as u64,
                delay_ms = side.delay.as_millis() as u64,
                level_dbov = side.level_dbov,
                clipped_samples = side.clipped,
                silent_s = side.silent.as_secs(),
                cause = side.cause.map(Cause::explanation),
                "quality of the leg"
            );
        }
        self.stats.summary = Some(summary);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.flush_events();
        if self.unsent.len() < UNSENT_EVENTS_MAX {
            self.unsent.push_back(event);
            self.flush_events();
        } else {
            tracing::warn!("a digit was dropped: nobody takes the bridge's events");
        }
    }

    pub(super) fn flush_events(&mut self) {
        while let Some(event) = self.unsent.pop_front() {
            match self.around.events.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    return self.unsent.push_front(event);
                }
            }
        }
    }

    /// Rates both directions.
    pub(super) fn judge(&mut self) {
        self.stats.quality = self.watch.judge(&self.stats);
        // The others' way to us is most likely ours to them: they have one access line.
        if let Some(heard) = self.stats.quality[1] {
            let report = Report {
                loss: heard.lost,
                bandwidth_bps: None,
            };
            self.voice.measured(report, self.start.elapsed());
        }
        for (side, direction) in ["from_telephone", "to_telephone"].into_iter().enumerate() {
            let Some(quality) = self.stats.quality[side] else {
                continue;
            };
            let worst = &mut self.stats.worst[side];
            if worst.is_none_or(|worst| quality.rating < worst) {
                *worst = Some(quality.rating);
            }
            self.around.meters.quality(side, &quality);
            tracing::debug!(
                direction,
                mos = quality.rating.mos(),
                missing = quality.missing,
                delay_ms = quality.delay.as_millis() as u64,
                jitter_ms = quality.jitter.as_millis() as u64,
                "quality"
            );
        }
        self.tell_quality();
    }

    /// A report that finds no room is not worth a digit's place: the next one follows.
    pub(super) fn tell_quality(&mut self) {
        let event = Event::Quality {
            leg: self.id,
            quality: self.stats.quality,
            silent: self.watch.silent(),
        };
        if self.unsent.is_empty() && self.around.events.try_send(event).is_err() {
            tracing::trace!("nobody takes the bridge's events");
        }
    }

    pub(super) fn look_for_silence(&mut self) {
        let now = self.start.elapsed();
        let before = self.watch.silent();
        while let Some(missing) = self.watch.missing(&self.stats, now) {
            self.around.meters.silent(missing as usize);
            match missing {
                quality::Missing::FromTelephone => tracing::warn!(
                    cause = missing.cause(self.stats.frames_in).explanation(),
                    "no sound from Asterisk for 3 s"
                ),
                // Whoever is muted may send nothing at all.
                quality::Missing::ToTelephone => tracing::info!(
                    cause = missing.cause(self.stats.objects_in).explanation(),
                    "nothing to say to Asterisk for 3 s"
                ),
            }
        }
        if self.watch.silent() != before {
            self.tell_quality();
        }
    }

    pub(super) fn publish_report(&mut self) {
        let effort = self.around.throttle.effort();
        (self.stats.complexity, self.stats.narrow) = (effort.complexity, effort.narrow);
        self.stats.sources = self.ear.stats();
        let counts = self.road.counts();
        self.stats.packets_lost = counts.lost;
        self.stats.packets_late = counts.late;
        self.stats.packets_duplicate = counts.duplicate;
        self.stats.packets_strange = counts.strange;
        self.stats.said_level = counts.said_level;
        self.stats.said_mode = counts.said_mode;
        self.stats.remote_loss = counts.remote_loss.map(|part| f64::from(part) / 256.0);
        self.around.meters.leg_progress(&self.reported, &self.stats);
        self.reported = self.stats.clone();
        self.report.send_replace(self.stats.clone());
    }
}
