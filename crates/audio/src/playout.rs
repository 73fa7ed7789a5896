//! Plays a track: jitter buffer, decoder, concealment and pace in one, PCM out in any amounts.

use core::time::Duration;

#[cfg(feature = "opus")]
use bytes::Bytes;

use crate::conceal::Concealer;
use crate::jitter::{Buffer, Config, Pace, Play, Push, Stats, When};
use crate::level::Level;
use crate::stretch::{Limits, cross, lengthen, shorten};
use crate::{Sample, SampleRate, ticks};

/// Turns items into PCM.
pub trait Decode {
    /// What the jitter buffer holds.
    type Item;
    /// What comes out.
    type Sample: Sample;

    /// Returns the rate of what comes out.
    fn rate(&self) -> SampleRate;
    /// Appends the item's sound. False when it is damaged: it is concealed instead.
    fn decode(&mut self, item: Self::Item, out: &mut Vec<Self::Sample>) -> bool;
    /// Appends `missing` of lost sound, rebuilt with what `next` repeats of it. False when it
    /// cannot: it is concealed instead.
    fn recover(
        &mut self,
        next: &Self::Item,
        missing: Duration,
        out: &mut Vec<Self::Sample>,
    ) -> bool;
    /// Appends about `missing` of sound that goes on from what came before.
    fn conceal(&mut self, missing: Duration, out: &mut Vec<Self::Sample>);
}

/// Plays one track: [`push`](Self::push) what arrives, [`pull`](Self::pull) what is due.
#[derive(Debug)]
pub struct Player<D: Decode> {
    buffer: Buffer<D::Item>,
    decoder: D,
    /// Decoded and not yet pulled.
    ready: Vec<D::Sample>,
    /// The item being stretched.
    scratch: Vec<D::Sample>,
    sounding: bool,
    shed: Duration,
    gained: Duration,
    /// How much was passed beyond the last step.
    passed: Duration,
}

/// What [`Player::pass`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass<T> {
    /// The next item.
    Item(T),
    /// So much sound is lost: whoever decodes should go on from what came before.
    Lost(Duration),
    /// Nothing is being said for so long.
    Silence(Duration),
}

/// Below this, -dBov, a frame is quiet: its length can be changed freely.
pub const QUIET: Level = Level::new(45);

/// How alike the parts of speech must be that are faded into each other, and how alike when delay
/// is far off.
const ALIKE: f32 = 0.85;
const ALIKE_URGENT: f32 = 0.3;

/// Speech can only be lengthened by whole periods: better by one too much than not enough.
const PERIOD_MAX: Duration = Duration::from_millis(10);

/// The end of sound fades out within 10 ms, and sound after silence fades in within 2.5 ms.
const FADE_OUT: Duration = Duration::from_millis(10);
const FADE_IN: Duration = Duration::from_micros(2_500);

impl<D: Decode> Player<D> {
    /// Makes a player that holds nothing.
    #[must_use]
    pub fn new(decoder: D, config: Config) -> Self {
        Self {
            buffer: Buffer::new(config),
            decoder,
            ready: Vec::new(),
            scratch: Vec::new(),
            sounding: false,
            shed: Duration::ZERO,
            gained: Duration::ZERO,
            passed: Duration::ZERO,
        }
    }

    /// Takes an item that arrived at `now`; see [`Buffer::push`].
    pub fn push_item(
        &mut self,
        timestamp: u64,
        duration: Duration,
        item: D::Item,
        now: Duration,
    ) -> Push {
        self.buffer.push(timestamp, duration, item, now)
    }

    /// Fills `out` with what is due at `now` and returns its level. Always fills all of it; silence
    /// when there is nothing to play.
    ///
    /// Pull [`Config::step`] at a time. `now` should be the time the tick was due rather than the
    /// time it happened, if they differ.
    pub fn pull(&mut self, now: Duration, out: &mut [D::Sample]) -> Level {
        while self.ready.len() < out.len() {
            self.make(now);
        }
        out.copy_from_slice(&self.ready[..out.len()]);
        self.ready.drain(..out.len());
        Level::of(out)
    }

    /// Takes the publisher's word that it is silent from media time `timestamp` on; see
    /// [`Buffer::pause`].
    pub fn pause(&mut self, timestamp: u64) {
        self.buffer.pause(timestamp);
    }

    /// Tells whether sound is being played or made up, rather than silence.
    #[must_use]
    pub fn is_sounding(&self) -> bool {
        self.sounding
    }

    /// Takes out what is due at `now` as it came, for those who pass items on to another decoder. Call it once
    /// for each [`Config::step`]: `each` is given as much as lasts that long, which is nothing while a longer item
    /// lasts.
    ///
    /// Items cannot be stretched: delay is shed by leaving out a whole one, and gained by what is late.
    pub fn pass(&mut self, now: Duration, step: Duration, mut each: impl FnMut(Pass<D::Item>)) {
        while self.passed < step {
            match self.buffer.pop(now, self.passed) {
                Play::Item {
                    duration,
                    pace: Pace::Shorten(amount, When::Alike | When::Now),
                    ..
                } if amount >= duration => self.shed += duration,
                Play::Item { item, duration, .. } => {
                    each(Pass::Item(item));
                    self.passed += duration;
                }
                Play::Recover { missing, .. } | Play::Conceal(missing) => {
                    each(Pass::Lost(missing));
                    self.passed += missing.max(ticks::duration(ticks::GRAIN));
                }
                Play::Silence(silence) => {
                    each(Pass::Silence(silence));
                    self.passed += silence.max(ticks::duration(ticks::GRAIN));
                }
            }
        }
        self.passed -= step;
    }

    /// Forgets all sound: the track was changed.
    pub fn reset(&mut self) {
        self.buffer.reset();
        self.ready.clear();
        self.sounding = false;
    }

    /// Returns the jitter buffer's counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let stats = self.buffer.stats();
        Stats {
            shed: stats.shed + self.shed,
            gained: stats.gained + self.gained,
            ..stats
        }
    }

    /// Appends one piece of sound, of one sample at least.
    fn make(&mut self, now: Duration) {
        let start = self.ready.len();
        let ahead = self.decoder.rate().duration_of(start);
        match self.buffer.pop(now, ahead) {
            Play::Item {
                item,
                duration,
                pace,
            } => {
                self.scratch.clear();
                if !self.decoder.decode(item, &mut self.scratch) {
                    self.scratch.clear();
                    self.decoder.conceal(duration, &mut self.scratch);
                }
                self.stretch(pace);
                self.ready.append(&mut self.scratch);
                self.fade_in(start);
            }
            Play::Recover { next, missing } => {
                if !self.decoder.recover(next, missing, &mut self.ready) {
                    self.ready.truncate(start);
                    self.decoder.conceal(missing, &mut self.ready);
                }
            }
            Play::Conceal(missing) => self.decoder.conceal(missing, &mut self.ready),
            Play::Silence(silence) => self.fall_silent(silence),
        }
        if self.ready.len() == start {
            self.ready.push(D::Sample::default());
        }
    }

    fn stretch(&mut self, pace: Pace) {
        let rate = self.decoder.rate();
        let (Pace::Shorten(amount, when) | Pace::Lengthen(amount, when)) = pace else {
            return;
        };
        let quiet = Level::of(&self.scratch) > QUIET;
        let alike_min = match when {
            _ if quiet => -1.0,
            When::Quiet => return,
            When::Alike => ALIKE,
            When::Now => ALIKE_URGENT,
        };
        let max = rate.samples_in(amount);
        if matches!(pace, Pace::Shorten(..)) {
            let limits = Limits::voice(rate, max, alike_min);
            self.shed += rate.duration_of(shorten(&mut self.scratch, &limits));
        } else {
            let over = if quiet { Duration::ZERO } else { PERIOD_MAX };
            let limits = Limits::voice(rate, max + rate.samples_in(over), alike_min);
            self.gained += rate.duration_of(lengthen(&mut self.scratch, &limits));
        }
    }

    fn fade_in(&mut self, start: usize) {
        if self.sounding {
            return;
        }
        self.sounding = true;
        let sound = &mut self.ready[start..];
        let len = self.decoder.rate().samples_in(FADE_IN).min(sound.len());
        for (i, sample) in sound[..len].iter_mut().enumerate() {
            *sample = cross(D::Sample::default(), *sample, i, len);
        }
    }

    fn fall_silent(&mut self, silence: Duration) {
        let start = self.ready.len();
        if core::mem::take(&mut self.sounding) {
            self.decoder.conceal(FADE_OUT, &mut self.ready);
            let len = self.ready.len() - start;
            for (i, sample) in self.ready[start..].iter_mut().enumerate() {
                *sample = cross(*sample, D::Sample::default(), i, len);
            }
        }
        let end = start + self.decoder.rate().samples_in(silence);
        if end > self.ready.len() {
            self.ready.resize(end, D::Sample::default());
        }
    }
}

/// Plays Opus packets at a leg's rate.
#[cfg(feature = "opus")]
pub type OpusPlayer = Player<crate::opus::Decoder>;

#[cfg(feature = "opus")]
impl OpusPlayer {
    /// Makes a player for Opus at `rate`.
    ///
    /// # Errors
    ///
    /// As [`opus::Decoder::new`](crate::opus::Decoder::new).
    pub fn opus(rate: SampleRate, config: Config) -> Result<Self, crate::opus::Error> {
        Ok(Self::new(crate::opus::Decoder::new(rate)?, config))
    }

    /// Takes a packet whose sound starts at media time `timestamp` (1/48000 s).
    ///
    /// # Errors
    ///
    /// [`PacketError`](crate::packet::PacketError) when it is no packet of 2.5 to 60 ms.
    pub fn push(
        &mut self,
        timestamp: u64,
        packet: Bytes,
        now: Duration,
    ) -> Result<Push, crate::packet::PacketError> {
        let duration = crate::packet::duration(&packet)?;
        Ok(self.push_item(timestamp, duration, packet, now))
    }
}

#[cfg(feature = "opus")]
impl Decode for crate::opus::Decoder {
    type Item = Bytes;
    type Sample = i16;

    fn rate(&self) -> SampleRate {
        self.rate()
    }

    fn decode(&mut self, item: Bytes, out: &mut Vec<i16>) -> bool {
        self.decode(&item, out).is_ok()
    }

    fn recover(&mut self, next: &Bytes, missing: Duration, out: &mut Vec<i16>) -> bool {
        self.recover(next, missing, out).is_ok()
    }

    fn conceal(&mut self, missing: Duration, out: &mut Vec<i16>) {
        if self.conceal(missing, out).is_err() {
            out.resize(out.len() + self.rate().samples_in(missing), 0);
        }
    }
}

/// Plays PCM that was decoded elsewhere (WebCodecs), at one rate.
pub type PcmPlayer<S> = Player<Pcm<S>>;

impl<S: Sample> PcmPlayer<S> {
    /// Makes a player for PCM at `rate`. `config.recover` has no effect.
    #[must_use]
    pub fn pcm(rate: SampleRate, config: Config) -> Self {
        Self::new(
            Pcm::new(rate),
            Config {
                recover: false,
                ..config
            },
        )
    }

    /// Takes decoded sound that starts at media time `timestamp` (1/48000 s) and arrived at `now`.
    /// It is copied; buffers are reused.
    pub fn push(&mut self, timestamp: u64, samples: &[S], now: Duration) -> Push {
        let duration = self.decoder.rate.duration_of(samples.len());
        let mut item = self.decoder.spare.pop().unwrap_or_default();
        item.clear();
        item.extend_from_slice(samples);
        self.push_item(timestamp, duration, item, now)
    }
}

/// PCM as an item, concealed by waveform substitution.
#[derive(Debug)]
pub struct Pcm<S: Sample> {
    rate: SampleRate,
    concealer: Concealer<S>,
    spare: Vec<Vec<S>>,
}

impl<S: Sample> Pcm<S> {
    /// Makes the pass-through at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            concealer: Concealer::new(rate),
            spare: Vec::new(),
        }
    }
}

impl<S: Sample> Decode for Pcm<S> {
    type Item = Vec<S>;
    type Sample = S;

    fn rate(&self) -> SampleRate {
        self.rate
    }

    fn decode(&mut self, item: Vec<S>, out: &mut Vec<S>) -> bool {
        let start = out.len();
        out.extend_from_slice(&item);
        self.concealer.heard(&mut out[start..]);
        if self.spare.len() < SPARE_MAX {
            self.spare.push(item);
        }
        true
    }

    fn recover(&mut self, _: &Vec<S>, _: Duration, _: &mut Vec<S>) -> bool {
        false
    }

    fn conceal(&mut self, missing: Duration, out: &mut Vec<S>) {
        let start = out.len();
        out.resize(start + self.rate.samples_in(missing), S::default());
        self.concealer.conceal(&mut out[start..]);
    }
}

/// Buffers kept for reuse: what a deep queue holds.
const SPARE_MAX: usize = 32;
