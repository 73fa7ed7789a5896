//! Digits in sound (ITU-T Q.23, Q.24), for legs that have no better way to hear of them.
//!
//! Speech must not be taken for a digit ("talk-off"), so a pair of tones counts only when it is
//! nearly all there is, both are about equally loud, and it lasts.

use core::f32::consts::TAU;
use core::time::Duration;

use crate::SampleRate;
use crate::tone::dtmf_hz;

/// Finds digits, whatever pieces the sound comes in.
#[derive(Clone, Debug)]
pub struct Detector {
    rate: SampleRate,
    /// Samples of one block.
    block: usize,
    filters: [Filter; 8],
    energy: f32,
    filled: usize,
    state: State,
}

/// A digit that was pressed and released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// One of `0-9 * # A-D`.
    pub digit: char,
    /// How long it sounded, to a block.
    pub duration: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Nothing,
    /// Seen in so many blocks, of which so many were the last ones without it.
    Sounding {
        digit: char,
        blocks: u32,
        gap: u32,
    },
}

/// 12.75 ms: short enough that two whole ones fit into the 40 ms that a receiver must accept, long
/// enough to tell 697 from 770 Hz.
const BLOCK: Duration = Duration::from_micros(12_750);

/// Blocks that make a digit: 25 ms; Q.24 lets a receiver ignore what is shorter than 24 ms.
const BLOCKS_MIN: u32 = 2;

/// Blocks without it that end a digit. One may be lost in noise, or in a gap of up to 10 ms.
const GAP_MAX: u32 = 2;

/// Softer pairs are not digits, -36 dBov of both together: Q.24 wants -25 dBm0 (-31 dBov) each.
const POWER_MIN: f32 = 2.5e-4;

/// How much of all power the pair must be. Voices have harmonics, so theirs is less.
const PURITY_MIN: f32 = 0.8;

/// The high tone may be louder by 4 dB and softer by 8 dB.
const HIGH_LOUDER_MAX: f32 = 2.5;
const HIGH_SOFTER_MAX: f32 = 6.3;

/// Every other tone of its group must be softer by 8 dB.
const ALONE: f32 = 6.3;

const LOW: [char; 4] = ['1', '4', '7', '*'];
const KEYS: [&str; 4] = ["123A", "456B", "789C", "*0#D"];

impl Detector {
    /// Makes a detector for sound at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let low = LOW.map(|key| dtmf_hz(key).map_or(0.0, |(low, _)| low));
        let high = ['1', '2', '3', 'A'].map(|key| dtmf_hz(key).map_or(0.0, |(_, high)| high));
        let hz = [
            low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3],
        ];
        Self {
            rate,
            block: rate.samples_in(BLOCK),
            filters: hz.map(|hz| Filter::new(rate, hz)),
            energy: 0.0,
            filled: 0,
            state: State::Nothing,
        }
    }

    /// Takes the next samples; `found` is given each digit that ended in them.
    pub fn process(&mut self, mut samples: &[i16], mut found: impl FnMut(Digit)) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(self.block - self.filled));
            samples = later;
            self.filled += now.len();
            for filter in &mut self.filters {
                filter.process(now);
            }
            self.energy += now
                .iter()
                .map(|sample| {
                    let sample = f32::from(*sample) / 32_768.0;
                    sample * sample
                })
                .sum::<f32>();
            if self.filled == self.block {
                let digit = self.end_block();
                if let Some(ended) = self.follow(digit) {
                    found(ended);
                }
            }
        }
    }

    /// Returns the digit of the block that is full, and begins another one.
    fn end_block(&mut self) -> Option<char> {
        let len = self.block as f32;
        let mut powers = [0.0; 8];
        for (power, filter) in powers.iter_mut().zip(&mut self.filters) {
            *power = filter.take() * 2.0 / (len * len);
        }
        let mean = core::mem::take(&mut self.energy) / len;
        self.filled = 0;
        let (row, low) = loudest(&powers[..4])?;
        let (column, high) = loudest(&powers[4..])?;
        let both = low + high;
        let plausible = both >= POWER_MIN
            && both >= PURITY_MIN * mean
            && high <= low * HIGH_LOUDER_MAX
            && low <= high * HIGH_SOFTER_MAX;
        plausible.then(|| KEYS[row].chars().nth(column)).flatten()
    }

    fn follow(&mut self, seen: Option<char>) -> Option<Digit> {
        match (self.state, seen) {
            (State::Sounding { digit, blocks, .. }, Some(seen)) if seen == digit => {
                self.state = State::Sounding {
                    digit,
                    blocks: blocks + 1,
                    gap: 0,
                };
                None
            }
            (State::Sounding { digit, blocks, gap }, None) if gap + 1 < GAP_MAX => {
                self.state = State::Sounding {
                    digit,
                    blocks,
                    gap: gap + 1,
                };
                None
            }
            (before, seen) => {
                self.state = seen.map_or(State::Nothing, |digit| State::Sounding {
                    digit,
                    blocks: 1,
                    gap: 0,
                });
                match before {
                    State::Sounding { digit, blocks, .. } if blocks >= BLOCKS_MIN => Some(Digit {
                        digit,
                        duration: self.rate.duration_of(self.block) * blocks,
                    }),
                    State::Sounding { .. } | State::Nothing => None,
                }
            }
        }
    }
}

/// Returns the loudest of a group, unless another one is nearly as loud.
fn loudest(powers: &[f32]) -> Option<(usize, f32)> {
    let (index, most) = powers
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let alone = |(other, power): (usize, &f32)| other == index || power * ALONE <= most;
    powers
        .iter()
        .enumerate()
        .all(alone)
        .then_some((index, most))
}

/// Goertzel's recursion, carried on over pieces of a block.
#[derive(Clone, Copy, Debug)]
struct Filter {
    factor: f32,
    last: f32,
    before: f32,
}

impl Filter {
    fn new(rate: SampleRate, hz: f32) -> Self {
        Self {
            factor: 2.0 * (TAU * hz / rate.hz() as f32).cos(),
            last: 0.0,
            before: 0.0,
        }
    }

    fn process(&mut self, samples: &[i16]) {
        let Self {
            factor,
            last,
            before,
        } = self;
        for sample in samples {
            let next = f32::from(*sample) / 32_768.0 + *factor * *last - *before;
            *before = *last;
            *last = next;
        }
    }

    /// Returns the squared magnitude, and begins anew.
    fn take(&mut self) -> f32 {
        let Self {
            factor,
            last,
            before,
        } = *self;
        (self.last, self.before) = (0.0, 0.0);
        last * last + before * before - factor * last * before
    }
}
