use core::time::Duration;

use super::{Aim, Controller, Gate, Length, Mode, Report, Sending};
use crate::level::AudioLevel;
use crate::{Frame, SampleRate};

/// 20 ms in 1/48000 s.
const FRAME_TICKS: u64 = 960;

/// The most frames of one packet: 60 ms.
const FRAMES_MAX: usize = 3;

/// What is to be published.
#[derive(Debug, PartialEq)]
pub enum Piece<'a> {
    /// Sound, 20 to 60 ms.
    Packet {
        /// When it begins, 1/48000 s.
        timestamp: u64,
        /// Its loudest frame.
        level: AudioLevel,
        /// Whether it is the first after a silence.
        first: bool,
        /// The sound.
        samples: &'a [i16],
    },
    /// Silence from here on, with a background of that level.
    Silence {
        /// Where it begins, 1/48000 s.
        timestamp: u64,
        /// The background's.
        level: AudioLevel,
    },
}

/// From frames to packets: joined as the mode wants, silence left out where bytes are to be saved.
#[derive(Clone, Debug)]
pub struct Packer {
    saving: bool,
    bitrate_bps: u32,
    controller: Controller,
    gate: Gate,
    rate: SampleRate,
    /// What the started packet holds.
    samples: Vec<i16>,
    begins: u64,
    level: AudioLevel,
    first: bool,
    /// The last frame that was not sent: the beginning of a word may be in it.
    before: Vec<i16>,
    before_at: u64,
}

impl Packer {
    /// Makes packets of 20 ms and `bitrate_bps` without a pause, or what a narrow way has room for; error correction
    /// follows the loss.
    #[must_use]
    pub fn steady(bitrate_bps: u32) -> Self {
        Self::new(bitrate_bps, false)
    }

    /// Saves bytes: see [`Aim::Saving`] and [`Gate`].
    #[must_use]
    pub fn saving(bitrate_bps: u32) -> Self {
        Self::new(bitrate_bps, true)
    }

    fn new(bitrate_bps: u32, saving: bool) -> Self {
        let aim = match saving {
            true => Aim::Saving,
            false => Aim::Quality,
        };
        let room = FRAMES_MAX * SampleRate::Hz48000.frame_samples();
        Self {
            saving,
            bitrate_bps,
            controller: Controller::new(aim, bitrate_bps, Length::Ms20),
            gate: Gate::new(),
            rate: SampleRate::Hz16000,
            samples: Vec::with_capacity(room),
            begins: 0,
            level: AudioLevel::SILENCE,
            first: false,
            before: Vec::with_capacity(SampleRate::Hz48000.frame_samples()),
            before_at: 0,
        }
    }

    /// Returns how packets are coded now.
    pub fn mode(&self) -> Mode {
        let mode = self.controller.mode();
        if self.saving || self.controller.is_narrowed() {
            return mode;
        }
        // However wide the way: what was asked for.
        Mode {
            length: Length::Ms20,
            bitrate_bps: self.bitrate_bps,
            ..mode
        }
    }

    /// Tells whether silence is left out.
    pub fn is_saving(&self) -> bool {
        self.saving
    }

    /// Takes what was measured of the network up to `now`.
    pub fn measured(&mut self, report: Report, now: Duration) {
        self.controller.handle(report, now);
    }

    /// Takes what the way carried at `now`, bits per second.
    pub fn carried(&mut self, bandwidth_bps: u32, now: Duration) {
        self.controller.handle_bandwidth(bandwidth_bps, now);
    }

    /// Takes the next frame, which begins at `timestamp` (1/48000 s); `publish` is given each piece that it
    /// completes.
    ///
    /// # Errors
    ///
    /// What `publish` returned.
    pub fn take<E>(
        &mut self,
        frame: &Frame,
        timestamp: u64,
        level: AudioLevel,
        mut publish: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if frame.rate() != self.rate {
            self.rate = frame.rate();
            self.samples.clear();
            self.before.clear();
        }
        if timestamp != self.begins + ticks(self.samples.len(), self.rate) {
            self.finish(&mut publish)?;
        }
        let sending = if self.saving {
            self.gate.handle(level)
        } else {
            Sending::Speech
        };
        match sending {
            Sending::Begin => {
                self.begin(timestamp);
                self.add(frame, timestamp, level);
            }
            Sending::Speech => self.add(frame, timestamp, level),
            Sending::Tell(background) => {
                self.finish(&mut publish)?;
                self.remember(frame, timestamp);
                let level = AudioLevel {
                    level: background,
                    voice: false,
                };
                return publish(Piece::Silence { timestamp, level });
            }
            Sending::Nothing => self.remember(frame, timestamp),
        }
        let wanted = self.rate.samples_in(self.mode().length.duration());
        if self.samples.len() >= wanted {
            self.finish(&mut publish)?;
        }
        Ok(())
    }

    /// Publishes what is started: 20 or 40 ms of a longer packet.
    fn finish<E>(&mut self, publish: &mut impl FnMut(Piece<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.samples.is_empty() {
            return Ok(());
        }
        let result = publish(Piece::Packet {
            timestamp: self.begins,
            level: self.level,
            first: self.first,
            samples: &self.samples,
        });
        self.samples.clear();
        self.first = false;
        result
    }

    /// Begins to speak: with the frame before, where a packet of 40 ms has room for it anyway.
    fn begin(&mut self, timestamp: u64) {
        self.first = true;
        let follows = !self.before.is_empty() && self.before_at + FRAME_TICKS == timestamp;
        if follows && self.mode().length > Length::Ms20 {
            self.samples.extend_from_slice(&self.before);
            self.begins = self.before_at;
            self.level = AudioLevel::SILENCE;
        }
        self.before.clear();
    }

    fn add(&mut self, frame: &Frame, timestamp: u64, level: AudioLevel) {
        if self.samples.is_empty() {
            self.begins = timestamp;
            self.level = AudioLevel::SILENCE;
        }
        self.samples.extend_from_slice(frame.samples());
        self.level = AudioLevel {
            level: self.level.level.min(level.level),
            voice: self.level.voice || level.voice,
        };
    }

    fn remember(&mut self, frame: &Frame, timestamp: u64) {
        self.before.clear();
        self.before.extend_from_slice(frame.samples());
        self.before_at = timestamp;
    }
}

fn ticks(samples: usize, rate: SampleRate) -> u64 {
    (samples / rate.frame_samples()) as u64 * FRAME_TICKS
}
