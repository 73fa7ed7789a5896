//! What comes from Asterisk: read, understood, and published.

use std::{fmt, io, time::Duration};

use moqrelay_wire::audiosocket::{Audio, Rate};
use tokio::time::Instant;

use super::{
    Leg, Reason, broken,
    intake::{Label, Taken, sample_rate},
    road::{Arrival, Carries},
    socket::Read,
};
use crate::Event;

/// Messages without sense after which a leg is given up.
const MALFORMED_MAX: u64 = 50;

/// After such a silence the started frame does not belong to what comes next.
const PAUSE: Duration = Duration::from_millis(100);

impl Leg {
    /// Reads all there is within the budget, and only then looks what is worth keeping: of a backlog the newest.
    pub(super) fn move_bytes(&mut self, ready: io::Result<()>) -> Result<(), Reason> {
        ready.map_err(|error| broken(&error))?;
        loop {
            match self.road.read() {
                Ok(Read::Some) => self.take_arrivals()?,
                Ok(Read::Spent) => return Ok(()),
                Ok(Read::Empty) => break,
                Ok(Read::Ended) => {
                    self.speak();
                    return Err(Reason::Closed);
                }
                Err(error) => return Err(broken(&error)),
            }
        }
        self.speak();
        Ok(())
    }

    pub(super) fn take_arrivals(&mut self) -> Result<(), Reason> {
        while let Some(arrival) = self.road.next() {
            self.take(arrival)?;
        }
        Ok(())
    }

    pub(super) fn take(&mut self, arrival: Arrival) -> Result<(), Reason> {
        match arrival {
            Arrival::Labelled(audio) => self.take_audio(&audio, Label::Doubtful),
            Arrival::Pcm(audio) => self.take_audio(&audio, Label::True),
            Arrival::Lost(length) => {
                self.speak();
                self.intake.break_off();
                self.voice.lose(length);
                Ok(())
            }
            Arrival::Packet(packet) => {
                self.stats.frames_in += 1;
                let now = self.start.elapsed();
                self.voice.pass(packet, now, &mut self.stats);
                Ok(())
            }
            Arrival::Digit(digit) => {
                // What brings keys itself needs no ear for them, which would hear some twice.
                self.voice.detect_digits(false);
                self.digit_pressed(digit);
                Ok(())
            }
            Arrival::Ended => Err(Reason::Closed),
            Arrival::Broken(what) => {
                tracing::warn!("{what}");
                Err(Reason::Malformed)
            }
            Arrival::Nonsense(what) => self.malformed(format_args!("{what}")),
            Arrival::Nothing => Ok(()),
        }
    }

    pub(super) fn take_audio(&mut self, audio: &Audio, label: Label) -> Result<(), Reason> {
        let now = Instant::now();
        if now.duration_since(self.last_audio) > PAUSE {
            self.intake.break_off();
        }
        self.last_audio = now;
        if label == Label::Doubtful
            && let Some(odd) = self.pace.take(audio, now)
        {
            self.stats.odd_pace += 1;
            tracing::warn!("{odd}");
        }
        let before = self.intake.rate();
        match self.intake.take(audio, label, now) {
            Taken::Withheld => {}
            Taken::Companded => return Err(self.refuse_codec()),
            Taken::Queued { dropped } => self.stats.frames_dropped += dropped,
        }
        let arriving = self.intake.rate();
        if arriving != before {
            self.rate_changed(arriving);
        }
        Ok(())
    }

    pub(super) fn rate_changed(&mut self, arriving: Option<Rate>) {
        self.stats.rate_in = arriving.map_or(0, Rate::hz);
        if self.road.carries() != Carries::AnyPcm {
            return;
        }
        self.out_rate = self.rate.given(arriving);
        self.stats.rate_out = self.out_rate.hz();
        self.frame.resize(self.out_rate.frame_samples(), 0);
        self.ear.set_rate(sample_rate(self.out_rate));
        self.polish.set_rate(sample_rate(self.out_rate));
        tracing::info!(
            hz_in = self.stats.rate_in,
            hz_out = self.stats.rate_out,
            "sound from Asterisk"
        );
    }

    /// Publishes what waits.
    pub(super) fn speak(&mut self) {
        let waiting = self.intake.waiting();
        self.stats.queue_frames_max = self.stats.queue_frames_max.max(waiting);
        let now = self.start.elapsed();
        for after in (0..waiting).rev() {
            let Some(frame) = self.intake.next_frame() else {
                break;
            };
            self.stats.frames_in += 1;
            let Self {
                voice,
                stats,
                pressed,
                ..
            } = self;
            voice.say(frame, after, now, stats, |digit| pressed.push(digit.digit));
        }
        for digit in std::mem::take(&mut self.pressed) {
            self.digit_pressed(digit);
        }
    }

    pub(super) fn digit_pressed(&mut self, digit: char) {
        tracing::info!(%digit, "key pressed");
        self.stats.digits += 1;
        self.tell(Event::Digit {
            leg: self.id,
            digit,
        });
    }

    pub(super) fn malformed(&mut self, what: fmt::Arguments<'_>) -> Result<(), Reason> {
        self.stats.malformed += 1;
        tracing::debug!(%what, "message without sense");
        if self.stats.malformed < MALFORMED_MAX {
            return Ok(());
        }
        tracing::warn!(%what, "too many messages without sense: hanging up");
        Err(Reason::Malformed)
    }

    pub(super) fn refuse_codec(&self) -> Reason {
        tracing::warn!(
            "Asterisk sends another codec under type 0x10, not linear sound: the dialplan's \
             Dial(AudioSocket/host:port/uuid) lacks /c(slin16); hanging up"
        );
        Reason::Companded
    }
}
