//! Concealment of lost PCM by repeating what was heard last, for decoders that have none.
//!
//! The idea of ITU-T G.711 Appendix I: find the pitch, repeat the last period, after 10 ms more than
//! one of them so that it does not buzz, and fade out.

use crate::stretch::cross;
use crate::{Sample, SampleRate};

/// Remembers what was heard and makes up what is missing.
#[derive(Clone, Debug)]
pub struct Concealer<S> {
    rate: SampleRate,
    /// The last [`HISTORY_MS`], oldest first.
    history: Vec<S>,
    loss: Option<Loss<S>>,
}

impl<S: Sample> Concealer<S> {
    /// Makes a concealer that has heard silence.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            history: vec![S::default(); ms(rate, HISTORY_MS)],
            loss: None,
        }
    }

    /// Takes sound that is good. After a concealment its start is cross-faded in place with the
    /// concealment going on, so that the joint does not click.
    pub fn heard(&mut self, samples: &mut [S]) {
        if let Some(mut loss) = self.loss.take() {
            // The longer the loss, the further the repetition has gone astray.
            let lost_ms = loss.made * 1000 / self.rate.hz() as usize;
            let fade = ms(self.rate, (4 + lost_ms / 10 * 4).min(10)).min(samples.len());
            for (i, sample) in samples[..fade].iter_mut().enumerate() {
                *sample = cross(loss.next(self.rate), *sample, i, fade);
            }
        }
        self.remember(samples);
    }

    /// Writes sound that goes on from what was heard. Called again and again it fades out, to
    /// silence after 60 ms.
    pub fn conceal(&mut self, out: &mut [S]) {
        let loss = self
            .loss
            .get_or_insert_with(|| Loss::new(self.rate, &self.history));
        for sample in &mut *out {
            *sample = loss.next(self.rate);
        }
        self.remember(out);
    }

    fn remember(&mut self, samples: &[S]) {
        let len = self.history.len();
        let new = &samples[samples.len().saturating_sub(len)..];
        self.history.copy_within(new.len().., 0);
        self.history[len - new.len()..].copy_from_slice(new);
    }
}

/// Three of the longest periods and a window to compare them in.
const HISTORY_MS: usize = 60;

/// 400 Hz to 66 Hz.
const PERIOD_MIN_US: usize = 2_500;
const PERIOD_MAX_MS: usize = 15;

/// What is compared to find the period.
const WINDOW_MS: usize = 20;

/// After each of these one more period is repeated, up to three, and the sound is a fifth quieter.
const STAGE_MS: usize = 10;
const PERIODS_MAX: usize = 3;

/// One gap being filled.
#[derive(Clone, Debug)]
struct Loss<S> {
    /// The last three periods heard.
    source: Vec<S>,
    period: usize,
    /// What the first sample is off by from going on evenly; it decays over a quarter period.
    step: f32,
    /// Samples made so far.
    made: usize,
    /// How many periods are repeated, where in them, and the same of the stage before.
    stage: usize,
    at: usize,
    before: Option<usize>,
}

impl<S: Sample> Loss<S> {
    fn new(rate: SampleRate, history: &[S]) -> Self {
        let period = period(rate, history);
        let source = history[history.len() - PERIODS_MAX * period - period / 4..].to_vec();
        let mut loss = Self {
            source,
            period,
            step: 0.0,
            made: 0,
            stage: 1,
            at: 0,
            before: None,
        };
        let last = loss.source.len() - 1;
        let heard = loss.source[last].to_f32();
        loss.step = heard - loss.source[last - period].to_f32();
        loss
    }

    fn next(&mut self, rate: SampleRate) -> S {
        let stage_len = ms(rate, STAGE_MS);
        let elapsed = self.made;
        self.made += 1;
        if elapsed >= stage_len * 6 {
            return S::default();
        }
        if elapsed > 0 && elapsed.is_multiple_of(stage_len) && self.stage < PERIODS_MAX {
            // Goes on at the same phase, but one period earlier.
            self.before = Some(self.at);
            self.stage += 1;
            self.at %= self.period;
        }
        let fade = self.period / 4;
        let mut value = self.repeated(self.stage, self.at);
        self.at = (self.at + 1) % (self.stage * self.period);
        if let Some(before) = self.before {
            let i = elapsed % stage_len;
            value = cross(
                self.repeated(self.stage - 1, before),
                value,
                i.min(fade),
                fade,
            );
            let next = (before + 1) % ((self.stage - 1) * self.period);
            self.before = (i + 1 < fade).then_some(next);
        }
        let mut value = value.to_f32();
        if elapsed < fade {
            value += self.step * (1.0 - (elapsed as f32 + 0.5) / fade as f32);
        }
        let faded = elapsed.saturating_sub(stage_len) as f32 / (stage_len * 5) as f32;
        S::from_f32(value * (1.0 - faded))
    }

    /// Returns sample `at` of the last `periods` periods, whose end is faded into their beginning.
    fn repeated(&self, periods: usize, at: usize) -> S {
        let len = periods * self.period;
        let start = self.source.len() - len;
        let fade = self.period / 4;
        let Some(i) = (at + fade).checked_sub(len) else {
            return self.source[start + at];
        };
        cross(
            self.source[start + at],
            self.source[start - fade + i],
            i,
            fade,
        )
    }
}

/// Returns the pitch period in samples: the lag at which the last 20 ms resemble what came before
/// most. Sound without pitch gets the longest of equals, which buzzes least.
fn period<S: Sample>(rate: SampleRate, history: &[S]) -> usize {
    let shortest = rate.hz() as usize * PERIOD_MIN_US / 1_000_000;
    let longest = ms(rate, PERIOD_MAX_MS);
    let window = ms(rate, WINDOW_MS);
    // About 8 kHz is enough to find the neighbourhood.
    let stride = (rate.hz() / 8_000).max(1) as usize;
    let coarse = best_lag(
        history,
        window,
        stride,
        (shortest..=longest).rev().step_by(stride),
    );
    let low = coarse.saturating_sub(stride).max(shortest);
    best_lag(
        history,
        window,
        1,
        (low..=(coarse + stride).min(longest)).rev(),
    )
}

fn best_lag<S: Sample>(
    history: &[S],
    window: usize,
    stride: usize,
    lags: impl Iterator<Item = usize>,
) -> usize {
    let start = history.len() - window;
    let mut best = (0, f32::NEG_INFINITY);
    for lag in lags {
        let (mut product, mut power) = (0.0, 1e-9);
        for i in (start..history.len()).step_by(stride) {
            let (now, then) = (history[i].to_f32(), history[i - lag].to_f32());
            product += now * then;
            power += then * then;
        }
        let alike = product / power.sqrt();
        if best.0 == 0 || alike > best.1 {
            best = (lag, alike);
        }
    }
    best.0
}

fn ms(rate: SampleRate, ms: usize) -> usize {
    rate.hz() as usize * ms / 1000
}
