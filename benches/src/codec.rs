//! What Opus alone costs, to compare a leg with.

use std::time::Duration;

use anyhow::Result;
use moqrelay_audio::{Frame, SampleRate, opus};
use moqrelay_bridge::leg::Coding;

use crate::{figures::Runs, proc::Cpu, voice};

/// Frames of one run: ten seconds of sound.
const FRAMES: usize = 500;

/// Runs, of which the median counts.
const RUNS: usize = 5;

/// CPU time of one encoding and one decoding of 20 ms at `rate`, with the settings that legs have by default but the bitrate.
pub(crate) fn pair(rate: SampleRate, bitrate_bps: u32) -> Result<Duration> {
    let voice = voice::samples(rate.hz());
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(run(rate, bitrate_bps, &voice)?.as_secs_f64() / FRAMES as f64);
    }
    Ok(Duration::from_secs_f64(Runs::of(runs).median))
}

fn run(rate: SampleRate, bitrate_bps: u32, voice: &[i16]) -> Result<Duration> {
    let coding = Coding::default();
    let mut encoder = opus::Encoder::new(opus::Config {
        rate,
        bitrate_bps,
        complexity: coding.complexity,
        loss_percent: 0,
    })?;
    let mut decoder = opus::Decoder::new(rate)?;
    let mut frame = Frame::silence(rate);
    let mut pcm = Vec::new();
    let before = Cpu::of_this_thread()?;
    for samples in voice
        .chunks_exact(frame.samples().len())
        .cycle()
        .take(FRAMES)
    {
        frame.copy_from(samples)?;
        pcm.clear();
        decoder.decode(&encoder.encode(&frame)?, &mut pcm)?;
        std::hint::black_box(&pcm);
    }
    Ok(Cpu::of_this_thread()?.since(before).used)
}
