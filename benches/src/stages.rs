//! What each stage of a leg costs: 20 ms through one stage at a time, in CPU time of this thread.

use std::{hint::black_box, time::Duration};

use anyhow::Result;
use moqrelay_audio::{
    Frame, SampleRate,
    dsp::{ComfortNoise, DcBlocker, LevelControl, LoopWatch, clipped},
    dtmf, g711, g722, jitter,
    level::{Level, Meter},
    mix::Bus,
    opus,
    playout::OpusPlayer,
    resample::Resampler,
};
use moqrelay_wire::audio_object::{self, Properties};

use crate::{
    figures::short,
    proc::Cpu,
    table::{Row, Verdict},
    voice,
};

/// Frames of one run: 200 seconds of sound, fifty times round the voice. The cheapest stages take a tenth of a
/// microsecond.
const FRAMES: usize = 10_000;

/// Runs of a stage, of which the lowest counts: whatever else the machine does only adds to them. Dear stages have
/// fewer.
const RUNS: usize = 9;
const DEAR_RUNS: usize = 3;

/// 20 ms of a dear stage, in microseconds.
const DEAR: f64 = 5.0;

/// The rate of legs in the dialplan that we ship.
const RATE: SampleRate = SampleRate::Hz16000;

/// What legs are measured with elsewhere.
const BITRATE_BPS: u32 = 24_000;

/// A name, and what 20 ms cost in microseconds.
type Cost = (String, f64);

/// Runs all stages.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let mut voice = Voice::new(RATE)?;
    Ok(vec![
        row(
            "codec, 20 ms at 16 kHz",
            &codec(&mut voice)?,
            "Opus at 24 kbit/s by complexity, and what else legs code.",
        ),
        row(
            "stages from a telephone, 20 ms at 16 kHz",
            &from_telephone(&mut voice)?,
            "Each stage alone, on the same pretended voice.",
        ),
        row(
            "stages to a telephone, 20 ms at 16 kHz",
            &to_telephone(&mut voice)?,
            "As before. The player is jitter buffer, decoder and pace together.",
        ),
    ])
}

fn row(what: &str, costs: &[Cost], method: &str) -> Row {
    let figures = costs
        .iter()
        .map(|(name, us)| format!("{name} {}", short(*us)))
        .collect::<Vec<_>>()
        .join("; ");
    let method = format!(
        "{method} CPU time of one thread, µs for 20 ms; the lowest of {RUNS} runs of {FRAMES} frames (dear stages \
         {DEAR_RUNS}), less what copying a frame takes."
    );
    Row::new(what, format!("{figures} µs"), "", Verdict::Info, method)
}

/// The pretended voice in frames, round and round.
struct Voice {
    frames: Vec<Frame>,
}

impl Voice {
    fn new(rate: SampleRate) -> Result<Self> {
        let voice = voice::samples(rate.hz());
        let frames = voice.chunks_exact(rate.frame_samples());
        let frames = frames.map(|samples| Frame::new(rate, samples));
        Ok(Self {
            frames: frames.collect::<Result<_, _>>()?,
        })
    }

    /// Returns what 20 ms through `stage` cost, in microseconds. It gets a copy of each frame, whose own cost is
    /// taken away.
    fn cost(&mut self, mut stage: impl FnMut(&mut Frame) -> Result<()>) -> Result<f64> {
        let copying = self.lowest(&mut |_| Ok(()))?;
        Ok((self.lowest(&mut stage)? - copying).max(0.0))
    }

    fn lowest(&mut self, stage: &mut dyn FnMut(&mut Frame) -> Result<()>) -> Result<f64> {
        let mut lowest = self.run(stage)?;
        let runs = if lowest > DEAR { DEAR_RUNS } else { RUNS };
        for _ in 1..runs {
            lowest = lowest.min(self.run(stage)?);
        }
        Ok(lowest)
    }

    fn run(&mut self, stage: &mut dyn FnMut(&mut Frame) -> Result<()>) -> Result<f64> {
        let mut work = Frame::silence(self.frames[0].rate());
        let before = Cpu::of_this_thread()?;
        for frame in self.frames.iter().cycle().take(FRAMES) {
            work.copy_from(frame.samples())?;
            stage(black_box(&mut work))?;
        }
        let used = Cpu::of_this_thread()?.since(before).used;
        Ok(used.as_secs_f64() * 1e6 / FRAMES as f64)
    }
}

fn codec(voice: &mut Voice) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for complexity in [0, 1, 2, 3, 5, 7, 10] {
        let mut encoder = encoder(RATE, complexity, 0)?;
        let us = voice.cost(|frame| {
            black_box(encoder.encode(frame)?);
            Ok(())
        })?;
        costs.push((format!("encoding at complexity {complexity}"), us));
    }
    let mut prepared = encoder(RATE, 5, 10)?;
    let us = voice.cost(|frame| {
        black_box(prepared.encode(frame)?);
        Ok(())
    })?;
    costs.push(("at 5 with error correction".into(), us));
    let mut narrow = encoder(SampleRate::Hz8000, 0, 0)?;
    let mut down = Resampler::new(RATE, SampleRate::Hz8000);
    let mut samples = Vec::new();
    let us = voice.cost(|frame| {
        samples.clear();
        down.process(frame.samples(), &mut samples);
        black_box(narrow.encode_samples(&samples)?);
        Ok(())
    })?;
    costs.push(("at 0 in narrow band".into(), us));
    let mut encoder = encoder(RATE, 5, 0)?;
    let packets: Vec<_> = voice
        .frames
        .iter()
        .map(|frame| encoder.encode(frame))
        .collect::<Result<_, _>>()?;
    let mut packets = packets.iter().cycle();
    let mut decoder = opus::Decoder::new(RATE)?;
    let mut pcm = Vec::new();
    let us = voice.cost(|_| {
        pcm.clear();
        if let Some(packet) = packets.next() {
            decoder.decode(packet, &mut pcm)?;
        }
        Ok(())
    })?;
    costs.push(("decoding".into(), us));
    let mut bytes = Vec::new();
    let (mut g722_encoder, mut g722_decoder) = (g722::Encoder::default(), g722::Decoder::default());
    let us = voice.cost(|frame| {
        bytes.clear();
        pcm.clear();
        g722_encoder.encode(frame.samples(), &mut bytes);
        g722_decoder.decode(&bytes, &mut pcm);
        Ok(())
    })?;
    costs.push(("G.722 both ways".into(), us));
    let us = voice.cost(|frame| {
        bytes.clear();
        pcm.clear();
        // Half of the samples: G.711 has 8 kHz.
        let half = frame.samples().len() / 2;
        g711::Law::Mu.encode(&frame.samples()[..half], &mut bytes);
        g711::Law::Mu.decode(&bytes, &mut pcm);
        Ok(())
    })?;
    costs.push(("G.711 both ways".into(), us));
    Ok(costs)
}

fn from_telephone(voice: &mut Voice) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    let mut add = |name: &str, us| costs.push((name.to_owned(), us));
    let mut dc = DcBlocker::new(RATE);
    add(
        "direct current out",
        voice.cost(|frame| {
            dc.process(frame.samples_mut());
            Ok(())
        })?,
    );
    add(
        "clipping counted",
        voice.cost(|frame| {
            black_box(clipped(frame.samples()));
            Ok(())
        })?,
    );
    let mut meter = Meter::new();
    add(
        "level and voice activity",
        voice.cost(|frame| {
            black_box(meter.measure(frame.samples()));
            Ok(())
        })?,
    );
    let (mut meter, mut control) = (Meter::new(), LevelControl::new());
    add(
        "the same with level control",
        voice.cost(|frame| {
            let level = meter.measure(frame.samples());
            control.process(frame.samples_mut(), level);
            Ok(())
        })?,
    );
    let mut detector = dtmf::Detector::new(RATE);
    add(
        "in-band digits",
        voice.cost(|frame| {
            detector.process(frame.samples(), |digit| {
                black_box(digit);
            });
            Ok(())
        })?,
    );
    let mut resampler = Resampler::new(SampleRate::Hz44100, SampleRate::Hz48000);
    let mut other = Voice::new(SampleRate::Hz44100)?;
    let mut samples = Vec::new();
    add(
        "resampling 44.1 to 48 kHz",
        other.cost(|frame| {
            samples.clear();
            resampler.process(frame.samples(), &mut samples);
            Ok(())
        })?,
    );
    let mut timestamp = 0;
    add(
        "object properties written and read",
        voice.cost(|_| {
            timestamp += audio_object::OBJECT_TICKS;
            let level = audio_object::Level::SILENCE;
            let block = Properties::of_object(timestamp, level).to_bytes();
            black_box(Properties::decode(&block)?);
            Ok(())
        })?,
    );
    Ok(costs)
}

fn to_telephone(voice: &mut Voice) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    let mut add = |name: &str, us| costs.push((name.to_owned(), us));
    let mut encoder = encoder(RATE, 5, 0)?;
    let packets: Vec<_> = voice
        .frames
        .iter()
        .map(|frame| encoder.encode(frame))
        .collect::<Result<_, _>>()?;
    let mut packets = packets.iter().cycle();
    let mut player = OpusPlayer::opus(RATE, jitter::Config::default())?;
    let (mut timestamp, mut now) = (0, Duration::ZERO);
    add(
        "player",
        voice.cost(|frame| {
            if let Some(packet) = packets.next() {
                player.push(timestamp, packet.clone(), now)?;
            }
            timestamp += audio_object::OBJECT_TICKS;
            now += moqrelay_audio::FRAME_DURATION;
            player.pull(now, frame.samples_mut());
            Ok(())
        })?,
    );
    let mut noise = ComfortNoise::new(1);
    add(
        "comfort noise",
        voice.cost(|frame| {
            noise.add(Level::new(60), frame.samples_mut());
            Ok(())
        })?,
    );
    let mut bus = Bus::new(RATE.frame_samples());
    add(
        "sum of one source",
        voice.cost(|frame| {
            bus.clear();
            bus.add(frame.samples());
            bus.total(frame.samples_mut());
            Ok(())
        })?,
    );
    let mut watch = LoopWatch::new();
    add(
        "loop watch",
        voice.cost(|frame| {
            let level = Level::of(frame.samples());
            black_box(watch.handle(level, level));
            Ok(())
        })?,
    );
    Ok(costs)
}

fn encoder(rate: SampleRate, complexity: u8, loss_percent: u8) -> Result<opus::Encoder> {
    Ok(opus::Encoder::new(opus::Config {
        rate,
        bitrate_bps: BITRATE_BPS,
        complexity,
        loss_percent,
    })?)
}
