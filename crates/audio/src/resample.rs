//! Sample-rate conversion of a stream by a polyphase windowed sinc.
//!
//! For the rates that Opus does not know (32, 44.1, 96, 192 kHz). Between its own rates let the
//! decoder convert: it does so for nothing.

use core::f64::consts::PI;
use std::sync::Arc;

use crate::SampleRate;

/// Converts one stream from one rate to another; adds at most 2 ms of delay.
///
/// Stop band below -80 dB from half the lower rate on; at 32 kHz and above the pass band reaches
/// 40 % of the lower rate within 0.1 dB.
#[derive(Clone, Debug)]
pub struct Resampler {
    filter: Arc<Filter>,
    /// The input that the next output needs, oldest first.
    history: Vec<f32>,
    /// Where the next output lies: samples into `history` and the phase after it.
    position: usize,
    phase: usize,
}

impl Resampler {
    /// Makes a converter that has heard silence.
    #[must_use]
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        Self::between(from.hz(), to.hz())
    }

    /// Makes one between other rates than a leg can have; the smaller their common divisor, the more memory.
    pub(crate) fn between(from_hz: u32, to_hz: u32) -> Self {
        let filter = Arc::new(Filter::new(from_hz, to_hz));
        let history = vec![0.0; filter.taps - 1];
        Self {
            filter,
            history,
            position: 0,
            phase: 0,
        }
    }

    /// Converts the next samples and appends the result to `out`. Whole frames of 20 ms give whole
    /// frames of 20 ms.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        let Filter { taps, up, down, .. } = *self.filter;
        if up == down {
            out.extend_from_slice(input);
            return;
        }
        self.history
            .extend(input.iter().map(|sample| f32::from(*sample)));
        while let Some(window) = self.history.get(self.position..self.position + taps) {
            let coefficients = self.filter.phase(self.phase);
            let sum = dot(window, coefficients);
            out.push(sum.round() as i16);
            self.phase += down;
            self.position += self.phase / up;
            self.phase %= up;
        }
        // With large steps the next window may begin beyond what is here.
        let used = self.position.min(self.history.len());
        self.history.drain(..used);
        self.position -= used;
    }

    /// Returns the delay in samples of the input.
    #[must_use]
    pub fn delay_samples(&self) -> usize {
        self.filter.taps / 2
    }
}

/// The coefficients: `taps` for each of `up` phases.
#[derive(Debug)]
struct Filter {
    taps: usize,
    up: usize,
    down: usize,
    coefficients: Vec<f32>,
}

impl Filter {
    fn new(from_hz: u32, to_hz: u32) -> Self {
        let common = gcd(from_hz, to_hz);
        let (up, down) = ((to_hz / common) as usize, (from_hz / common) as usize);
        let lower = from_hz.min(to_hz);
        // Half the length of the impulse response, in samples of the lower rate.
        let half = f64::from(HALF_MAX.min(lower / 1000 * 2));
        // In samples of the input, what one sample of the lower rate is.
        let scale = f64::from(from_hz) / f64::from(lower);
        let taps = 2 * (half * scale).floor() as usize;
        // The stop band begins at half the lower rate: the middle of the slope lies below it.
        let slope = (STOP_DB - 7.95) / (2.285 * 2.0 * PI * 2.0 * half);
        let cutoff = (0.5 - slope / 2.0) / scale;
        let beta = 0.1102 * (STOP_DB - 8.7);
        let centre = (taps / 2) as f64;
        let mut coefficients = Vec::with_capacity(up * taps);
        for phase in 0..up {
            let offset = phase as f64 / up as f64;
            let row = (0..taps).map(|tap| {
                let t = tap as f64 - (centre - 1.0) - offset;
                sinc(2.0 * cutoff * t) * kaiser(t / centre, beta)
            });
            let row: Vec<f64> = row.collect();
            // Each phase passes a constant unchanged.
            let sum: f64 = row.iter().sum();
            coefficients.extend(row.iter().map(|c| (c / sum) as f32));
        }
        Self {
            taps,
            up,
            down,
            coefficients,
        }
    }

    fn phase(&self, phase: usize) -> &[f32] {
        &self.coefficients[phase * self.taps..][..self.taps]
    }
}

/// 1.3 to 2 ms at 48 and 32 kHz.
const HALF_MAX: u32 = 64;

/// What the window is designed for; coefficients of 32 bits and the edge itself take some of it.
const STOP_DB: f64 = 92.0;

/// Sums products in eight lanes, which the compiler keeps in one register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// Kaiser's window at `x` from -1 to 1, but for a factor.
fn kaiser(x: f64, beta: f64) -> f64 {
    let inside = (1.0 - x * x).max(0.0);
    bessel(beta * inside.sqrt())
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
