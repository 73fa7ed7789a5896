//! A room's mix on its way into a leg: from the wheel's clock to the leg's.

use std::sync::Arc;

use moqrelay_audio::{
    SampleRate,
    dsp::{fade_in, fade_out},
    resample::Resampler,
};
use tokio::sync::mpsc;

use super::ear::FADE;
use crate::wheel::{self, Mix};

/// 10 s: so long a frame must have been one too many before it is left out. The two clocks are one and the same, so it
/// can only be there because one of the two was late once.
const SPARE_TICKS: u32 = 500;

/// More than this did not wait for us because of the clocks.
const WAITING_MAX: usize = 3;

/// What a leg hears of a room.
///
/// Both sides tick every 20 ms, at different moments of them: a frame waits 10 ms on average.
#[derive(Debug)]
pub(super) struct Feed {
    frames: mpsc::Receiver<Mix>,
    rate: SampleRate,
    resampler: Resampler,
    resampled: Vec<i16>,
    last: Mix,
    missing: bool,
    spare_ticks: u32,
}

impl Feed {
    pub(super) fn new(frames: mpsc::Receiver<Mix>, rate: SampleRate) -> Self {
        Self {
            frames,
            rate,
            resampler: Resampler::new(wheel::RATE, rate),
            resampled: Vec::new(),
            last: Arc::from(vec![0; wheel::RATE.frame_samples()]),
            // The first frame rises.
            missing: true,
            spare_ticks: 0,
        }
    }

    pub(super) fn set_rate(&mut self, rate: SampleRate) {
        self.rate = rate;
        self.resampler = Resampler::new(wheel::RATE, rate);
        self.resampled.clear();
        self.missing = true;
    }

    /// Leaves so many frames out.
    pub(super) fn skip(&mut self, frames: u64) {
        for _ in 0..frames {
            if self.frames.try_recv().is_err() {
                return;
            }
        }
    }

    /// Fills `out`, 20 ms at the leg's rate, with what comes next.
    pub(super) fn fill(&mut self, out: &mut [i16]) {
        self.shed();
        let next = self.frames.try_recv().ok();
        let was_missing = std::mem::replace(&mut self.missing, next.is_none());
        match next {
            Some(mix) => self.last = mix,
            // Once the sound goes on for a moment; then there is silence.
            None if was_missing => return out.fill(0),
            None => {}
        }
        self.resampled.clear();
        let Self {
            resampler,
            resampled,
            last,
            ..
        } = self;
        resampler.process(last, resampled);
        out.fill(0);
        for (to, from) in out.iter_mut().zip(resampled.iter()) {
            *to = *from;
        }
        let len = self.rate.samples_in(FADE);
        match (was_missing, self.missing) {
            (true, false) => fade_in(out, len),
            (false, true) => fade_out(out, len),
            _ => {}
        }
    }

    /// Leaves a frame out when there always was one too many.
    fn shed(&mut self) {
        if self.frames.len() < 2 {
            self.spare_ticks = 0;
            return;
        }
        self.spare_ticks += 1;
        if self.spare_ticks >= SPARE_TICKS {
            self.spare_ticks = 0;
            self.skip(1);
        } else if self.frames.len() > WAITING_MAX {
            // The leg stood still.
            self.skip((self.frames.len() - 1) as u64);
        }
    }
}
