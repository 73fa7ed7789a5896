use std::collections::VecDeque;

use sonora_ns::config::{NS_FRAME_SIZE, NsConfig, OVERLAP_SIZE, SuppressionLevel};
use sonora_ns::noise_suppressor::NoiseSuppressor as Filter;

use crate::SampleRate;
use crate::resample::Resampler;

/// Takes steady noise out of speech: a fan, a car, the hiss of a line.
///
/// A Wiener filter that learns the noise in pauses; it needs about a second and lowers noise by up
/// to 12 dB. What goes on and is not speech, music on hold for example, it takes for noise.
#[derive(Debug)]
pub struct NoiseSuppressor {
    filter: Box<Filter>,
    way: Way,
}

/// How sound gets to the filter.
#[derive(Debug)]
enum Way {
    Direct(Blocks),
    Split(Box<Split>),
}

/// The filter works in blocks of so many samples. They are made for 10 ms at 16 kHz; from 8 to
/// 24 kHz they last 20 to 6.7 ms, which is as good for speech.
const BLOCK: usize = NS_FRAME_SIZE;

/// Above, blocks are too short to tell one harmonic of a voice from the next.
const DIRECT_MAX: SampleRate = SampleRate::Hz24000;

/// More takes parts of words along, and silence that is too clean sounds like a dead line.
const STRENGTH: SuppressionLevel = SuppressionLevel::K12dB;

impl NoiseSuppressor {
    /// Makes a suppressor that has heard nothing, for frames of 20 ms; `None` for a rate that Opus
    /// does not have.
    #[must_use]
    pub fn new(rate: SampleRate) -> Option<Self> {
        let direct = rate <= DIRECT_MAX;
        let config = NsConfig {
            target_level: STRENGTH,
        };
        rate.is_opus().then(|| Self {
            filter: Box::new(Filter::new_with_bands(config, if direct { 1 } else { 2 })),
            way: match direct {
                true => Way::Direct(Blocks::new(rate.frame_samples())),
                false => Way::Split(Box::new(Split::new(rate))),
            },
        })
    }

    /// Filters the next 20 ms in place.
    pub fn process(&mut self, samples: &mut [i16]) {
        match &mut self.way {
            Way::Direct(blocks) => blocks.process(&mut self.filter, samples),
            Way::Split(split) => split.process(&mut self.filter, samples),
        }
    }

    /// Returns by how many samples sound comes out later.
    #[must_use]
    pub fn delay_samples(&self) -> usize {
        match &self.way {
            Way::Direct(blocks) => OVERLAP_SIZE + blocks.waiting.len() + blocks.done.len(),
            Way::Split(split) => split.late.len(),
        }
    }
}

/// Frames cut into blocks and put together again.
#[derive(Debug)]
struct Blocks {
    /// Less than a block.
    waiting: Vec<f32>,
    /// What is filtered and not fetched.
    done: Vec<f32>,
}

impl Blocks {
    fn new(frame: usize) -> Self {
        // What can be missing to whole blocks behind a frame.
        let short = BLOCK - gcd(BLOCK, frame);
        Self {
            waiting: Vec::new(),
            done: vec![0.0; short],
        }
    }

    fn process(&mut self, filter: &mut Filter, samples: &mut [i16]) {
        self.waiting.extend(samples.iter().copied().map(f32::from));
        let (blocks, _) = self.waiting.as_chunks_mut::<BLOCK>();
        let used = blocks.len() * BLOCK;
        for block in blocks {
            filter.analyze(block);
            filter.process(block);
            self.done.extend_from_slice(block);
        }
        self.waiting.drain(..used);
        let ready = samples.len().min(self.done.len());
        for (sample, done) in samples.iter_mut().zip(self.done.drain(..ready)) {
            // A cast saturates.
            *sample = done.round_ties_even() as i16;
        }
    }
}

/// The lower band through the filter, the upper one round it.
///
/// Only the difference that the filter makes is converted back and added to the delayed original:
/// what the filter lets pass stays as it was, bit for bit.
#[derive(Debug)]
struct Split {
    down: Resampler,
    up: Resampler,
    /// The lower band.
    low: Vec<i16>,
    /// The end of what the filter was given, by which its answer is late.
    given: [f32; OVERLAP_SIZE],
    difference: Vec<i16>,
    raised: Vec<i16>,
    /// The original, as late as what comes back.
    late: VecDeque<i16>,
    /// What the upper band is multiplied by, at the end of the last block.
    gain: f32,
    /// The same for each sample of the lower band that is on its way up.
    gains: VecDeque<f32>,
    /// Samples for one of the lower band.
    ratio: usize,
}

/// The rate of the lower band: the one that the filter was made for.
const LOWER: SampleRate = SampleRate::Hz16000;

impl Split {
    fn new(rate: SampleRate) -> Self {
        let ratio = (rate.hz() / LOWER.hz()) as usize;
        let (down, up) = (Resampler::new(rate, LOWER), Resampler::new(LOWER, rate));
        let late = down.delay_samples() + ratio * (OVERLAP_SIZE + up.delay_samples());
        Self {
            gains: VecDeque::from(vec![1.0; up.delay_samples()]),
            down,
            up,
            low: Vec::new(),
            given: [0.0; OVERLAP_SIZE],
            difference: Vec::new(),
            raised: Vec::new(),
            late: VecDeque::from(vec![0; late]),
            gain: 1.0,
            ratio,
        }
    }

    fn process(&mut self, filter: &mut Filter, samples: &mut [i16]) {
        self.low.clear();
        self.difference.clear();
        self.raised.clear();
        self.down.process(samples, &mut self.low);
        let low = std::mem::take(&mut self.low);
        let (blocks, _none) = low.as_chunks::<BLOCK>();
        for block in blocks {
            self.filter(filter, &block.map(f32::from));
        }
        self.low = low;
        self.up.process(&self.difference, &mut self.raised);
        self.late.extend(samples.iter());
        let fetched = samples.len().min(self.raised.len());
        let late = self.late.drain(..fetched);
        for (at, (sample, late)) in samples.iter_mut().zip(late).enumerate() {
            let gain = self.gains.get(at / self.ratio).copied().unwrap_or(1.0);
            let sum = f32::from(late) * gain + f32::from(self.raised[at]);
            *sample = sum.round_ties_even() as i16;
        }
        let used = (fetched / self.ratio).min(self.gains.len());
        self.gains.drain(..used);
    }

    /// Filters a block and appends what that changed.
    fn filter(&mut self, filter: &mut Filter, heard: &[f32; BLOCK]) {
        let mut block = *heard;
        filter.analyze(heard);
        filter.process(&mut block);
        let (from, to) = (self.gain, filter.upper_band_gain());
        self.gain = to;
        let given = self.given.iter().chain(heard);
        for (at, (filtered, given)) in block.iter().zip(given).enumerate() {
            let gain = from + (to - from) * (at + 1) as f32 / BLOCK as f32;
            self.gains.push_back(gain);
            let difference = filtered - gain * given;
            self.difference.push(difference.round_ties_even() as i16);
        }
        self.given.copy_from_slice(&heard[BLOCK - OVERLAP_SIZE..]);
    }
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
