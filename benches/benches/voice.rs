//! What a telephone leg does every 20 ms apart from its sockets: encode what was said, play what was heard.
#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot run should say so loudly"
)]

#[path = "../src/voice.rs"]
mod voice;

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use moqrelay_audio::{
    Frame, SampleRate,
    conference::{Config, Mixer},
    dsp::NoiseSuppressor,
    jitter, opus,
    playout::OpusPlayer,
    speakers,
};

const FRAME: Duration = Duration::from_millis(20);
const RATES: [SampleRate; 3] = [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz48000];

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode 20 ms");
    for rate in RATES {
        let frames = frames(rate);
        let mut frames = frames.iter().cycle();
        let mut encoder = opus::Encoder::new(opus::Config::new(rate)).unwrap();
        group.bench_function(BenchmarkId::from_parameter(rate), |b| {
            b.iter(|| encoder.encode(black_box(frames.next().unwrap())).unwrap());
        });
    }
    group.finish();
}

/// Jitter buffer, decoder and pace, as a leg hears one source.
fn play(c: &mut Criterion) {
    let mut group = c.benchmark_group("play 20 ms");
    for rate in RATES {
        let mut encoder = opus::Encoder::new(opus::Config::new(rate)).unwrap();
        let packets: Vec<_> = frames(rate)
            .iter()
            .map(|frame| encoder.encode(frame).unwrap())
            .collect();
        let mut packets = packets.iter().cycle();
        let mut player = OpusPlayer::opus(rate, jitter::Config::default()).unwrap();
        let mut out = Frame::silence(rate);
        let mut now = Duration::ZERO;
        let mut timestamp = 0;
        group.bench_function(BenchmarkId::from_parameter(rate), |b| {
            b.iter(|| {
                let packet = packets.next().unwrap().clone();
                black_box(player.push(timestamp, packet, now).unwrap());
                timestamp += 960;
                now += FRAME;
                player.pull(now, out.samples_mut())
            });
        });
    }
    group.finish();
}

fn suppress(c: &mut Criterion) {
    let mut group = c.benchmark_group("suppress noise 20 ms");
    for rate in RATES {
        let frames = frames(rate);
        let mut frames = frames.iter().cycle();
        let mut suppressor = NoiseSuppressor::new(rate).unwrap();
        group.bench_function(BenchmarkId::from_parameter(rate), |b| {
            b.iter_batched(
                || frames.next().unwrap().clone(),
                |mut frame| {
                    suppressor.process(frame.samples_mut());
                    frame
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// A turn of a room of 50 voices, buffers and decoders included, for so many who hear it.
fn room(c: &mut Criterion) {
    const RATE: SampleRate = SampleRate::Hz16000;
    const VOICES: usize = 50;
    let mut encoder = opus::Encoder::new(opus::Config::new(RATE)).unwrap();
    let packets: Vec<_> = frames(RATE)
        .iter()
        .map(|frame| encoder.encode(frame).unwrap())
        .collect();
    let mut group = c.benchmark_group("turn of a room of 50");
    for listeners in [10, 50, 100] {
        let player = || OpusPlayer::opus(RATE, jitter::Config::default()).unwrap();
        let mut players: Vec<_> = (0..VOICES).map(|_| player()).collect();
        let mut mixer = Mixer::new(Config {
            rate: RATE,
            speakers: speakers::Config::default(),
            level_control: true,
        });
        let mut packets = packets.iter().cycle();
        let mut out = Frame::silence(RATE);
        let mut now = Duration::ZERO;
        let mut timestamp = 0;
        group.bench_function(BenchmarkId::from_parameter(listeners), |b| {
            b.iter(|| {
                let packet = packets.next().unwrap();
                for (name, player) in players.iter_mut().enumerate() {
                    player.push(timestamp, packet.clone(), now).unwrap();
                    player.pull(now, out.samples_mut());
                    mixer.put(name, out.samples());
                }
                timestamp += 960;
                now += FRAME;
                mixer.mix();
                let shared: Arc<[i16]> = mixer.shared().into();
                for name in 0..listeners {
                    if mixer.is_heard(name) {
                        mixer.hear(name, out.samples_mut());
                        black_box(Arc::<[i16]>::from(out.samples()));
                    } else {
                        black_box(Arc::clone(&shared));
                    }
                }
            });
        });
    }
    group.finish();
}

fn frames(rate: SampleRate) -> Vec<Frame> {
    let voice = voice::samples(rate.hz());
    let len = Frame::silence(rate).samples().len();
    voice
        .chunks_exact(len)
        .map(|samples| Frame::new(rate, samples).unwrap())
        .collect()
}

criterion_group!(benches, encode, play, suppress, room);
criterion_main!(benches);
