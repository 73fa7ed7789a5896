//! What may be done to one direction of a leg beside what lines need: noise suppression, level control.

use moqrelay_audio::{
    SampleRate,
    dsp::{LevelControl, NoiseSuppressor},
    level::{AudioLevel, Level, Meter},
};

use super::{Shaping, spec::Directions};

/// The stages of one direction, those that are off left out.
#[derive(Debug)]
pub(super) struct Polish {
    suppress: bool,
    noise: Option<NoiseSuppressor>,
    control: Option<LevelControl>,
    meter: Meter,
}

impl Polish {
    /// Returns the stages for what the telephone says.
    pub(super) fn from_telephone(shaping: Shaping, rate: SampleRate) -> Self {
        Self::new(shaping, rate, |stage| stage.from_telephone)
    }

    /// Returns the stages for what the telephone hears.
    pub(super) fn to_telephone(shaping: Shaping, rate: SampleRate) -> Self {
        Self::new(shaping, rate, |stage| stage.to_telephone)
    }

    fn new(shaping: Shaping, rate: SampleRate, wanted: impl Fn(Directions) -> bool) -> Self {
        let mut polish = Self {
            suppress: wanted(shaping.noise_suppression),
            noise: None,
            control: wanted(shaping.level_control).then(LevelControl::new),
            meter: Meter::new(),
        };
        polish.set_rate(rate);
        polish
    }

    /// Takes frames of another rate from now on. The noise has to be learnt again.
    pub(super) fn set_rate(&mut self, rate: SampleRate) {
        self.noise = match self.suppress {
            true => NoiseSuppressor::new(rate),
            false => None,
        };
    }

    /// Changes the next 20 ms in place; returns how loud they are then, and whether they are voice.
    pub(super) fn process(&mut self, samples: &mut [i16]) -> AudioLevel {
        if let Some(noise) = &mut self.noise {
            noise.process(samples);
        }
        let mut level = self.meter.measure(samples);
        if let Some(control) = &mut self.control {
            control.process(samples, level);
            level.level = Level::of(samples);
        }
        level
    }

    /// The same where nobody asks for the level: without any stage nothing is done at all.
    pub(super) fn process_unmeasured(&mut self, samples: &mut [i16]) {
        if self.noise.is_some() || self.control.is_some() {
            self.process(samples);
        }
    }
}
