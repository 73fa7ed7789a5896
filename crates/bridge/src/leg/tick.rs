//! What a leg does every 20 ms: it sends a frame.

use std::{io, time::Duration};

use moqrelay_audio::level::{self, AudioLevel, Level};
use tokio::time::Instant;

use super::{
    Leg, REPORT_INTERVAL, Reason, broken,
    clock::Due,
    ear::{Form, Heard},
    intake::sample_rate,
    quality,
    road::{Carries, Sent},
};

impl Leg {
    pub(super) fn tick(&mut self, due: Due, now: Instant) -> Result<(), Reason> {
        self.stats.lateness.record(due.late);
        self.around.throttle.ticked(due.late);
        self.stats.frames_skipped += due.skipped;
        if due.skipped > 0 {
            tracing::debug!(late_ms = due.late.as_millis() as u64, "stood still");
            let form = self.form();
            let last = self.clock.time_of(due.first - 1);
            self.ear.skip(due.skipped, last, form);
            self.road.skip(due.skipped);
        }
        self.ear.take_arrivals(now, &mut self.stats);
        for index in due.first..due.first + due.frames {
            match self.send_next(self.clock.time_of(index), now) {
                Ok(Sent::Yes) => self.stats.frames_out += 1,
                Ok(Sent::Dropped) => self.stats.frames_unsent += 1,
                Ok(Sent::Stalled) => return Err(Reason::Stalled),
                Err(error) => return Err(broken(&error)),
            }
        }
        self.road.refill(now).map_err(|error| broken(&error))?;
        // What is passed on untouched has no level that anyone knows.
        if self.road.carries() != Carries::Opus {
            self.watch_for_loops();
        }
        self.voice.tick(now);
        self.flush_events();
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            self.voice.look_at_way(self.start.elapsed());
            self.publish_report();
            self.look_for_silence();
            if now >= self.judge_due {
                self.judge_due = now + quality::INTERVAL;
                self.judge();
            }
        }
        if self.intake.is_companded(now) {
            return Err(self.refuse_codec());
        }
        Ok(())
    }

    /// Returns what this leg's next frames are made of.
    pub(super) fn form(&mut self) -> Form {
        match self.ear.heard() {
            Heard::One(_) if self.road.carries() == Carries::Opus => Form::Packets,
            Heard::One(_) | Heard::Many | Heard::Nothing => Form::Sound,
        }
    }

    /// Sends what is to be heard at `due`.
    pub(super) fn send_next(&mut self, due: Duration, now: Instant) -> io::Result<Sent> {
        self.ear.step();
        if self.road.carries() != Carries::Opus {
            self.ear.hear(due, &mut self.frame);
            self.polish.process_unmeasured(&mut self.frame);
            if let Some(heard) = &mut self.heard {
                heard.lead(sample_rate(self.out_rate), &mut self.frame);
            }
            return self.road.send(self.out_rate, &self.frame, now);
        }
        let Self {
            opus_out,
            ear,
            frame,
            packets,
            stats,
            road,
            ..
        } = self;
        opus_out.make(ear, due, frame, packets, stats);
        // A packet that lasts longer than 20 ms leaves the next ticks with nothing to send.
        let mut sent = Sent::Yes;
        for packet in packets.drain(..) {
            sent = road.send_packet(packet, now)?;
        }
        Ok(sent)
    }

    /// Looks whether what was sent last is what was said before.
    pub(super) fn watch_for_loops(&mut self) {
        let sent = Level::of(&self.frame);
        let voice = sent < level::QUIET;
        self.stats.speech[1].add(AudioLevel { level: sent, voice });
        let Some(found) = self.loops.handle(sent, self.voice.take_loudest()) else {
            return;
        };
        self.stats.loops += 1;
        tracing::warn!(
            after_ms = found.delay.as_millis() as u64,
            softer_db = f64::from(found.loss_db),
            "what we send comes back: an echo at the telephone, or a loop in the dialplan"
        );
    }
}
