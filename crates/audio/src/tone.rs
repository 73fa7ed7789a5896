//! Tones: sines without a click, ringback, busy, DTMF, and a detector for tests and tools.

use core::f32::consts::TAU;
use core::time::Duration;

use crate::{Sample, SampleRate};

/// A sound that makes itself: up to two sines, on and off in a fixed cadence.
///
/// The phase runs on through every [`fill`](Self::fill) and every cadence; on and off are faded.
#[derive(Clone, Debug)]
pub struct Tone {
    rate: SampleRate,
    sines: [Sine; 2],
    cadence: Cadence,
    /// Samples since the start.
    at: u64,
}

impl Tone {
    /// One sine of `hz` at `dbov` (RMS; a full-scale sine has -3), for ever.
    #[must_use]
    pub fn sine(rate: SampleRate, hz: f32, dbov: f32) -> Self {
        Self::new(rate, [(hz, dbov), NONE], Cadence::Always)
    }

    /// The test tone of telephony, 1004 Hz, at -10 dBm0 ([`MILLIWATT_DBM0`]), for ever.
    #[must_use]
    pub fn milliwatt(rate: SampleRate) -> Self {
        Self::sine(rate, MILLIWATT_HZ, dbov_of_dbm0(MILLIWATT_DBM0))
    }

    /// Ringback of North America: 440 and 480 Hz at -19 dBm0, 2 s on, 4 s off, for ever.
    #[must_use]
    pub fn ringback(rate: SampleRate) -> Self {
        Self::pair(rate, (440.0, 480.0), -19.0, (2_000, 4_000))
    }

    /// Busy: 480 and 620 Hz at -24 dBm0, 0.5 s on, 0.5 s off, for ever.
    #[must_use]
    pub fn busy(rate: SampleRate) -> Self {
        Self::pair(rate, (480.0, 620.0), -24.0, (500, 500))
    }

    /// Congestion (reorder): 480 and 620 Hz at -24 dBm0, 0.25 s on, 0.25 s off, for ever.
    #[must_use]
    pub fn congestion(rate: SampleRate) -> Self {
        Self::pair(rate, (480.0, 620.0), -24.0, (250, 250))
    }

    /// A DTMF digit of `0-9 * # A-D` (ITU-T Q.23), sounding for `on` and then silent; `None` for
    /// any other character. The high tone is 2 dB louder, as lines dampen it more.
    #[must_use]
    pub fn dtmf(rate: SampleRate, digit: char, on: Duration) -> Option<Self> {
        let (low, high) = dtmf_hz(digit)?;
        let sines = [(low, dbov_of_dbm0(-9.0)), (high, dbov_of_dbm0(-7.0))];
        Some(Self::new(
            rate,
            sines,
            Cadence::Once {
                on: rate.samples_in(on) as u64,
            },
        ))
    }

    /// One sine of `hz` at `dbov`, sounding for `on` and then silent.
    #[must_use]
    pub fn note(rate: SampleRate, hz: f32, dbov: f32, on: Duration) -> Self {
        let on = rate.samples_in(on) as u64;
        Self::new(rate, [(hz, dbov), NONE], Cadence::Once { on })
    }

    /// Writes the next samples.
    pub fn fill<S: Sample>(&mut self, out: &mut [S]) {
        for sample in out {
            let gain = self.cadence.gain(self.at, self.rate);
            self.at += 1;
            let value: f32 = self.sines.iter_mut().map(Sine::next).sum();
            *sample = S::from_f32(value * gain);
        }
    }

    /// Tells whether nothing but silence will come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.cadence, Cadence::Once { on } if self.at >= on)
    }

    fn pair(rate: SampleRate, hz: (f32, f32), dbm0: f32, (on, off): (u64, u64)) -> Self {
        let dbov = dbov_of_dbm0(dbm0);
        let samples = |ms| rate.samples_in(Duration::from_millis(ms)) as u64;
        let cadence = Cadence::Repeat {
            on: samples(on),
            off: samples(off),
        };
        Self::new(rate, [(hz.0, dbov), (hz.1, dbov)], cadence)
    }

    fn new(rate: SampleRate, sines: [(f32, f32); 2], cadence: Cadence) -> Self {
        let sines = sines.map(|(hz, dbov)| Sine::new(rate, hz, dbov));
        Self {
            rate,
            sines,
            cadence,
            at: 0,
        }
    }
}

/// The frequency of the test tone: not a divisor of 8 kHz, so that it visits many codes
/// (ITU-T O.133 advises the like).
pub const MILLIWATT_HZ: f32 = 1004.0;

/// 10 dB below a true milliwatt (0 dBm0): as loud as speech, and no strain on an ear.
pub const MILLIWATT_DBM0: f32 = -10.0;

/// Returns the level in dBov of a sine of `dbm0`. RFC 6464 section 3 puts the overload point of
/// G.711 at +6.18 dBm0 for a square wave.
#[must_use]
pub const fn dbov_of_dbm0(dbm0: f32) -> f32 {
    dbm0 - 6.18
}

/// Returns the low and the high frequency of a digit `0-9 * # A-D` (ITU-T Q.23).
#[must_use]
pub fn dtmf_hz(digit: char) -> Option<(f32, f32)> {
    const ROWS: [(&str, f32); 4] = [
        ("123A", 697.0),
        ("456B", 770.0),
        ("789C", 852.0),
        ("*0#D", 941.0),
    ];
    const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    ROWS.iter()
        .find_map(|(row, low)| Some((*low, COLUMNS[row.find(digit)?])))
}

const NONE: (f32, f32) = (0.0, f32::NEG_INFINITY);

/// One sine; its phase is kept as a turn of 2^64, so that it never drifts.
#[derive(Clone, Copy, Debug)]
struct Sine {
    turn: u64,
    step: u64,
    peak: f32,
}

impl Sine {
    fn new(rate: SampleRate, hz: f32, dbov: f32) -> Self {
        let turns = f64::from(hz.max(0.0)) / f64::from(rate.hz());
        let peak = 10f32.powf(dbov / 20.0) * core::f32::consts::SQRT_2;
        // 2^64 turns; a cast saturates.
        Self {
            turn: 0,
            step: (turns * 18_446_744_073_709_551_616.0) as u64,
            peak,
        }
    }

    fn next(&mut self) -> f32 {
        let turn = (self.turn >> 40) as f32 / (1u32 << 24) as f32;
        self.turn = self.turn.wrapping_add(self.step);
        (turn * TAU).sin() * self.peak
    }
}

/// When a tone sounds, in samples.
#[derive(Clone, Copy, Debug)]
enum Cadence {
    Always,
    Once { on: u64 },
    Repeat { on: u64, off: u64 },
}

impl Cadence {
    fn gain(self, at: u64, rate: SampleRate) -> f32 {
        let (at, on) = match self {
            Self::Always => return 1.0,
            Self::Once { on } => (at, on),
            Self::Repeat { on, off } => (at % (on + off), on),
        };
        let fade = u64::from(rate.hz()) * FADE_MS / 1000;
        let inside = at.saturating_add(1).min(on.saturating_sub(at));
        (inside as f32 / fade as f32).min(1.0)
    }
}

/// 2 ms: on and off without a click.
const FADE_MS: u64 = 2;

/// Measures one frequency in samples (Goertzel's algorithm).
///
/// The window is as selective as it is long: 100 ms tell 440 from 480 Hz.
#[derive(Clone, Copy, Debug)]
pub struct Detector {
    cos: f64,
    sin: f64,
}

impl Detector {
    /// Makes a detector for `hz`.
    #[must_use]
    pub fn new(rate: SampleRate, hz: f32) -> Self {
        let angle = core::f64::consts::TAU * f64::from(hz) / f64::from(rate.hz());
        Self {
            cos: angle.cos(),
            sin: angle.sin(),
        }
    }

    /// Returns the level of the sine in `samples`, dBov (RMS), -127 when there is none.
    #[must_use]
    pub fn dbov<S: Sample>(&self, samples: &[S]) -> f32 {
        ((10.0 * self.power(samples).log10()) as f32).max(-127.0)
    }

    /// Returns the part of the power in `samples` that is the sine: 0 to 1; 0 in silence.
    #[must_use]
    pub fn purity<S: Sample>(&self, samples: &[S]) -> f32 {
        let all = f64::from(crate::level::rms(samples)).powi(2);
        if all <= 0.0 {
            0.0
        } else {
            (self.power(samples) / all).min(1.0) as f32
        }
    }

    /// The mean square of the sine.
    fn power<S: Sample>(&self, samples: &[S]) -> f64 {
        let (mut last, mut before) = (0.0, 0.0);
        for sample in samples {
            let next = f64::from(sample.to_f32()) + 2.0 * self.cos * last - before;
            before = last;
            last = next;
        }
        let (re, im) = (last - before * self.cos, before * self.sin);
        let len = samples.len().max(1) as f64;
        2.0 * (re * re + im * im) / (len * len)
    }
}
