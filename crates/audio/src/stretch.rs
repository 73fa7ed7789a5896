//! Changes how long a sound lasts without changing its pitch: takes out or repeats the stretch that
//! repeats itself best, and fades over the joint (overlap-add at the best correlation).

use core::ops::RangeInclusive;

use crate::{Sample, SampleRate};

/// What may be taken out or put in.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// How many samples.
    pub samples: RangeInclusive<usize>,
    /// How alike the two stretches must be that are faded into each other: -1 to 1 (equal shape).
    pub alike_min: f32,
}

impl Limits {
    /// Returns what is usual at `rate`, up to `max` samples: one period of a voice of 400 Hz down to
    /// 100 Hz, where it repeats itself with a correlation of `alike_min`.
    #[must_use]
    pub fn voice(rate: SampleRate, max: usize, alike_min: f32) -> Self {
        let shortest = rate.frame_samples() / 8;
        let longest = rate.frame_samples() / 2;
        Self {
            samples: shortest..=longest.min(max),
            alike_min,
        }
    }
}

/// Takes out as many of `sound`'s samples as fit best and returns how many; 0 when nothing is alike
/// enough or the sound is too short. Its first and last samples stay as they are.
pub fn shorten<S: Sample>(sound: &mut Vec<S>, limits: &Limits) -> usize {
    let Some(joint) = best_joint(sound, limits) else {
        return 0;
    };
    let Joint { start, lag, fade } = joint;
    for i in start..start + fade {
        sound[i + lag] = cross(sound[i], sound[i + lag], i - start, fade);
    }
    sound.drain(start..start + lag);
    lag
}

/// Repeats as many of `sound`'s samples as fit best and returns how many; 0 when nothing is alike
/// enough or the sound is too short. Its first and last samples stay as they are.
pub fn lengthen<S: Sample>(sound: &mut Vec<S>, limits: &Limits) -> usize {
    let Some(joint) = best_joint(sound, limits) else {
        return 0;
    };
    let Joint { start, lag, fade } = joint;
    let tail = sound[start..].to_vec();
    sound.truncate(start + lag);
    sound.extend((0..fade).map(|i| cross(tail[lag + i], tail[i], i, fade)));
    sound.extend_from_slice(&tail[fade..]);
    lag
}

/// Where a sound repeats itself: `fade` samples from `start` are like those `lag` later.
#[derive(Clone, Copy, Debug)]
struct Joint {
    start: usize,
    lag: usize,
    fade: usize,
}

impl Joint {
    /// Returns the joint in the middle of `len` samples.
    fn new(len: usize, lag: usize) -> Option<Self> {
        let fade = len.checked_sub(lag)?.min(lag.max(FADE_MIN));
        (fade >= FADE_MIN).then_some(Self {
            start: (len - lag - fade) / 2,
            lag,
            fade,
        })
    }

    /// Returns how alike the two stretches are: their correlation, -1 to 1; silence is alike.
    fn alike<S: Sample>(self, sound: &[S], stride: usize) -> f32 {
        let (mut product, mut early, mut late) = (0.0, 0.0, 0.0);
        for i in (self.start..self.start + self.fade).step_by(stride) {
            let (a, b) = (sound[i].to_f32(), sound[i + self.lag].to_f32());
            product += a * b;
            early += a * a;
            late += b * b;
        }
        let power = (early * late).sqrt();
        if power < POWER_MIN {
            1.0
        } else {
            product / power
        }
    }
}

/// Searches coarsely, then around the best exactly. Of equals the longest wins.
fn best_joint<S: Sample>(sound: &[S], limits: &Limits) -> Option<Joint> {
    let len = sound.len();
    let shortest = (*limits.samples.start()).max(1);
    let longest = (*limits.samples.end()).min(len / 2);
    let stride = (len / COARSE_SAMPLES).max(1);
    let best = |lags: &mut dyn Iterator<Item = usize>, stride: usize| {
        let mut best: Option<(Joint, f32)> = None;
        for joint in lags.filter_map(|lag| Joint::new(len, lag)) {
            let alike = joint.alike(sound, stride);
            if best.is_none_or(|(_, most)| alike > most) {
                best = Some((joint, alike));
            }
        }
        best
    };
    let (coarse, _) = best(&mut (shortest..=longest).rev().step_by(stride), stride)?;
    let around =
        coarse.lag.saturating_sub(stride).max(shortest)..=(coarse.lag + stride).min(longest);
    let (joint, alike) = best(&mut around.rev(), 1)?;
    (alike >= limits.alike_min).then_some(joint)
}

/// The shortest fade, in samples: below it a joint clicks.
const FADE_MIN: usize = 16;

/// 20 ms at 8 kHz: enough to find a period.
const COARSE_SAMPLES: usize = 160;

/// The power of a few of the least steps of 16 bits.
const POWER_MIN: f32 = 1e-8;

/// Fades from one sample to another: step `i` of `len`.
pub(crate) fn cross<S: Sample>(from: S, to: S, i: usize, len: usize) -> S {
    let part = (i as f32 + 0.5) / len as f32;
    S::from_f32(from.to_f32() + (to.to_f32() - from.to_f32()) * part)
}
