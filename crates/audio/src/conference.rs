//! The mixes of one room: the same sum for all who are silent, and for each who is heard the sum without the own
//! voice.
//!
//! Not here: where the voices come from and go to, and what time it is.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use crate::SampleRate;
use crate::dsp::LevelControl;
use crate::level::{Level, Meter};
use crate::mix::soften;
use crate::speakers::{self, Selector};
use crate::tone::Tone;

/// How a room is mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The rate of all voices and mixes.
    pub rate: SampleRate,
    /// Who is heard.
    pub speakers: speakers::Config,
    /// Whether voices are brought to one loudness.
    pub level_control: bool,
}

/// A sign that everyone hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chime {
    /// Somebody came: two notes up.
    Joined,
    /// Somebody went: two notes down.
    Left,
}

/// Signs that wait; when a crowd comes at once, so many are enough.
pub const CHIMES_MAX: usize = 3;

/// The loudest sample that a limiter lets through; above it sums would be bent.
pub const CEILING: i32 = 24_575;

/// Who comes into the mix rises, and who leaves it falls, within 5 ms.
pub const FADE: Duration = Duration::from_millis(5);

/// A limiter's gain goes down within 2 ms: what is louder meanwhile is bent, and nobody hears that.
pub const ATTACK: Duration = Duration::from_millis(2);

/// It goes up by a seventeenth each 20 ms, half a dB: faster would pump.
const RELEASE: u32 = 17;

/// Gains are parts of this.
pub const UNITY: u32 = 1 << 15;

/// One room's mixes, 20 ms at a time.
///
/// In each tick call [`put`](Self::put) for every voice that there is, then [`mix`](Self::mix), then
/// [`hear`](Self::hear) for everyone who listens. All arithmetic of sums and gains is in integers.
#[derive(Clone, Debug)]
pub struct Mixer<K> {
    config: Config,
    selector: Selector<K>,
    voices: BTreeMap<K, Voice>,
    /// Gains of those that are to be louder or softer, in [`UNITY`]s.
    gains: BTreeMap<K, u32>,
    sum: Vec<i32>,
    limiter: Limiter,
    shared: Vec<i16>,
    chimes: VecDeque<Chime>,
    notes: VecDeque<Tone>,
    note: Vec<i16>,
}

#[derive(Clone, Debug)]
struct Voice {
    meter: Meter,
    control: LevelControl,
    frame: Vec<i16>,
    fresh: bool,
    part: Part,
    /// The gain at its last sample.
    gain: u32,
    limiter: Limiter,
}

/// Whether a voice is in the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Out,
    In,
}

impl<K: Copy + Ord> Mixer<K> {
    /// Makes the mixer of a room that is silent.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let samples = config.rate.frame_samples();
        Self {
            config,
            selector: Selector::new(config.speakers),
            voices: BTreeMap::new(),
            gains: BTreeMap::new(),
            sum: vec![0; samples],
            limiter: Limiter::new(config.rate),
            shared: vec![0; samples],
            chimes: VecDeque::new(),
            notes: VecDeque::new(),
            note: vec![0; samples],
        }
    }

    /// Returns the samples of a frame.
    #[must_use]
    pub fn frame_samples(&self) -> usize {
        self.sum.len()
    }

    /// Takes the next 20 ms of a voice; what is shorter ends in silence. Who puts nothing is silent.
    pub fn put(&mut self, who: K, samples: &[i16]) {
        let config = self.config;
        let voice = self
            .voices
            .entry(who)
            .or_insert_with(|| Voice::new(config.rate));
        voice.frame.fill(0);
        for (to, from) in voice.frame.iter_mut().zip(samples) {
            *to = *from;
        }
        voice.fresh = true;
        let mut level = voice.meter.measure(&voice.frame);
        if config.level_control {
            voice.control.process(&mut voice.frame, level);
            level.level = Level::of(&voice.frame);
        }
        self.selector.hear(who, level);
        let gain = self.gains.get(&who).copied().unwrap_or(UNITY);
        voice.amplify(gain);
    }

    /// Makes somebody so many decibels louder from its next 20 ms on, -20 to 10. Who is heard does not depend on it.
    pub fn set_level(&mut self, who: K, db: i8) {
        let db = f64::from(db.clamp(-20, 10));
        // At most 3.2 times the unit.
        let gain = (f64::from(UNITY) * 10_f64.powf(db / 20.0)).round() as u32;
        match gain == UNITY {
            true => self.gains.remove(&who),
            false => self.gains.insert(who, gain),
        };
    }

    /// Forgets somebody who left.
    pub fn remove(&mut self, who: K) {
        self.voices.remove(&who);
        self.gains.remove(&who);
        self.selector.remove(who);
    }

    /// Lets everyone hear a sign, after those that wait.
    pub fn chime(&mut self, chime: Chime) {
        if self.chimes.len() < CHIMES_MAX {
            self.chimes.push_back(chime);
        }
    }

    /// Ends the tick's input: decides who is heard and adds them up.
    pub fn mix(&mut self) {
        self.selector.tick();
        self.sum.fill(0);
        let fade = self.config.rate.samples_in(FADE);
        for (who, voice) in &mut self.voices {
            if !core::mem::take(&mut voice.fresh) {
                voice.frame.fill(0);
            }
            let part = match self.selector.is_seated(*who) {
                true => Part::In,
                false => Part::Out,
            };
            match (core::mem::replace(&mut voice.part, part), part) {
                (Part::Out, Part::Out) => {
                    voice.frame.fill(0);
                    continue;
                }
                (Part::In, Part::In) => {}
                (Part::Out, Part::In) => {
                    voice.limiter = self.limiter;
                    rise(&mut voice.frame, fade);
                }
                (Part::In, Part::Out) => fall(&mut voice.frame, fade),
            }
            for (sum, sample) in self.sum.iter_mut().zip(&voice.frame) {
                *sum += i32::from(*sample);
            }
        }
        self.sound();
        self.limiter
            .limit(&self.sum, core::iter::repeat(&0), &mut self.shared);
    }

    /// Writes what somebody hears, whether or not it ever put a voice. Call it once for each in a tick.
    pub fn hear(&mut self, who: K, out: &mut [i16]) {
        match self.voices.get_mut(&who) {
            Some(voice) if voice.part == Part::In => {
                voice.limiter.limit(&self.sum, &voice.frame, out);
            }
            Some(_) | None => {
                for (to, from) in out.iter_mut().zip(&self.shared) {
                    *to = *from;
                }
            }
        }
    }

    /// Returns what all hear who are not in it.
    #[must_use]
    pub fn shared(&self) -> &[i16] {
        &self.shared
    }

    /// Tells whether somebody's voice is in the mix, so that it hears a mix of its own.
    #[must_use]
    pub fn is_heard(&self, who: K) -> bool {
        self.voices
            .get(&who)
            .is_some_and(|voice| voice.part == Part::In)
    }

    /// Returns who is in the mix and has spoken within so many ticks, in order of their names.
    pub fn speaking(&self, ticks: u32) -> impl Iterator<Item = K> + '_ {
        self.selector.speaking(ticks)
    }

    /// Returns the one in front: the loudest who speaks, or who spoke last.
    #[must_use]
    pub fn loudest(&self) -> Option<K> {
        self.selector.loudest()
    }

    /// Adds what sounds of the signs.
    fn sound(&mut self) {
        while self.notes.front().is_some_and(Tone::is_over) {
            self.notes.pop_front();
        }
        if self.notes.is_empty()
            && let Some(chime) = self.chimes.pop_front()
        {
            self.notes.extend(chime.notes(self.config.rate));
        }
        let Some(note) = self.notes.front_mut() else {
            return;
        };
        note.fill(&mut self.note);
        for (sum, sample) in self.sum.iter_mut().zip(&self.note) {
            *sum += i32::from(*sample);
        }
    }
}

impl Chime {
    fn notes(self, rate: SampleRate) -> [Tone; 2] {
        // A fifth, softer than speech; 100 ms are whole frames.
        let note = |hz| Tone::note(rate, hz, -30.0, Duration::from_millis(100));
        match self {
            Self::Joined => [note(587.3), note(880.0)],
            Self::Left => [note(880.0), note(587.3)],
        }
    }
}

impl Voice {
    fn new(rate: SampleRate) -> Self {
        Self {
            meter: Meter::new(),
            control: LevelControl::new(),
            frame: vec![0; rate.frame_samples()],
            fresh: false,
            part: Part::Out,
            gain: UNITY,
            limiter: Limiter::new(rate),
        }
    }

    /// Brings the frame to a gain; another one than before comes within the frame, without a click.
    fn amplify(&mut self, gain: u32) {
        let from = std::mem::replace(&mut self.gain, gain);
        if (from, gain) == (UNITY, UNITY) {
            return;
        }
        let steps = self.frame.len();
        for (i, sample) in self.frame.iter_mut().enumerate() {
            let gain = between(from, gain, i + 1, steps);
            *sample = soften(((i64::from(*sample) * gain) >> 15) as i32);
        }
    }
}

/// Keeps one mix below [`CEILING`].
#[derive(Clone, Copy, Debug)]
struct Limiter {
    gain: u32,
    attack: usize,
}

impl Limiter {
    fn new(rate: SampleRate) -> Self {
        Self {
            gain: UNITY,
            attack: rate.samples_in(ATTACK),
        }
    }

    /// Writes `sum` without `own`.
    fn limit<'a>(
        &mut self,
        sum: &[i32],
        own: impl IntoIterator<Item = &'a i16> + Clone,
        out: &mut [i16],
    ) {
        let samples = || {
            sum.iter()
                .zip(own.clone())
                .map(|(s, own)| s - i32::from(*own))
        };
        let peak = samples().map(i32::unsigned_abs).max().unwrap_or(0);
        let fits = match peak > CEILING.unsigned_abs() {
            true => CEILING.unsigned_abs() * UNITY / peak,
            false => UNITY,
        };
        let from = self.gain;
        // At unity there is nothing to do, sample for sample.
        self.gain = fits.min(from + from.div_ceil(RELEASE)).min(UNITY);
        let length = match self.gain < from {
            true => self.attack,
            false => sum.len(),
        };
        for (i, (out, sample)) in out.iter_mut().zip(samples()).enumerate() {
            let gain = between(from, self.gain, i + 1, length);
            *out = soften(((i64::from(sample) * gain) >> 15) as i32);
        }
    }
}

/// Returns the gain at `step` of `steps` on the way from one to the other.
fn between(from: u32, to: u32, step: usize, steps: usize) -> i64 {
    let (from, to) = (i64::from(from), i64::from(to));
    match step < steps {
        true => from + (to - from) * step as i64 / steps as i64,
        false => to,
    }
}

fn rise(frame: &mut [i16], len: usize) {
    for (i, sample) in frame.iter_mut().take(len).enumerate() {
        *sample = (i64::from(*sample) * (i as i64 + 1) / (len as i64 + 1)) as i16;
    }
}

fn fall(frame: &mut [i16], len: usize) {
    let len = len.min(frame.len());
    let (falling, silent) = frame.split_at_mut(len);
    for (i, sample) in falling.iter_mut().enumerate() {
        *sample = (i64::from(*sample) * (len - i) as i64 / (len as i64 + 1)) as i16;
    }
    silent.fill(0);
}
