//! A tone sent by Opus through a bad network to a leg's player, with the feedback that a leg has.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by a test and an example, of which each uses a part"
)]

use core::time::Duration;

use moqrelay_audio::jitter::Config;
use moqrelay_audio::level::Meter;
use moqrelay_audio::mode::{Packer, Piece, Report};
use moqrelay_audio::opus::{self, Encoder};
use moqrelay_audio::playout::OpusPlayer;
use moqrelay_audio::tone::Detector;
use moqrelay_audio::{Frame, SampleRate};

use super::common::{Conditions, Network, ms, sine};

const RATE: SampleRate = SampleRate::Hz16000;
const HZ: f64 = 440.0;
const FRAME: Duration = Duration::from_millis(20);

/// The jitter buffer has seen the network by then.
const SETTLED: usize = 5;

/// What was heard.
#[derive(Debug)]
pub struct ToneCall {
    /// Whole seconds after the first five.
    pub seconds: usize,
    /// Those in which most of the power is the tone.
    pub seconds_with_tone: usize,
    /// The longest time in which the sound was 20 dB softer than the tone.
    pub gap_ms: usize,
    pub delay_ms: f64,
    pub delay_max_ms: f64,
    pub concealed_ms: f64,
    /// The sound of each second, whether it is the tone.
    pub tone: Vec<bool>,
}

impl ToneCall {
    /// Lets a call of `seconds` happen in virtual time.
    pub fn run(seconds: usize, saving: bool, conditions: Conditions) -> Self {
        Self::with(seconds, saving, |_| conditions)
    }

    /// The same where the network changes: `conditions` of each second.
    pub fn with(seconds: usize, saving: bool, conditions: impl Fn(usize) -> Conditions) -> Self {
        let mut sender = Sender::new(saving);
        let mut player = OpusPlayer::opus(RATE, Config::default()).expect("a decoder");
        let mut network = Network::new(9, conditions(0));
        let mut inside: Vec<(f64, Option<bytes::Bytes>, u64)> = Vec::new();
        let mut out = vec![0_i16; RATE.frame_samples()];
        let (mut sound, mut delays) = (Vec::new(), Vec::new());
        let (mut sent, mut lost) = (0_u32, 0_u32);
        for number in 0..seconds * 50 {
            if number % 50 == 0 {
                network.change(conditions(number / 50));
            }
            let now = FRAME * (number as u32 + 1);
            sender.say(number as u64, |timestamp, packet| {
                sent += 1;
                match network.carry(ms(now)) {
                    Some(at) => inside.push((at, packet, timestamp)),
                    None => lost += 1,
                }
            });
            let now = now + Duration::from_millis(7);
            let mut here: Vec<_> = inside.extract_if(.., |(at, ..)| *at <= ms(now)).collect();
            here.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (at, packet, timestamp) in here {
                let at = Duration::from_secs_f64(at / 1e3);
                match packet {
                    Some(packet) => drop(player.push(timestamp, packet, at).expect("a packet")),
                    None => player.pause(timestamp),
                }
            }
            player.pull(now, &mut out);
            sound.extend_from_slice(&out);
            if number >= SETTLED * 50 {
                delays.push(ms(player.stats().delay));
            }
            if number % 250 == 249 {
                let loss = f64::from(lost) / f64::from(sent.max(1));
                sender.packer.measured(
                    Report {
                        loss,
                        bandwidth_bps: None,
                    },
                    now,
                );
                (sent, lost) = (0, 0);
            }
        }
        let tone: Vec<bool> = sound
            .chunks(RATE.hz() as usize)
            .map(|second| Detector::new(RATE, HZ as f32).purity(second) > 0.5)
            .collect();
        let settled = &sound[SETTLED * RATE.hz() as usize..];
        Self {
            seconds: seconds - SETTLED,
            seconds_with_tone: tone[SETTLED..].iter().filter(|tone| **tone).count(),
            gap_ms: gap_ms(settled),
            delay_ms: delays.iter().sum::<f64>() / delays.len() as f64,
            delay_max_ms: delays.iter().copied().fold(0.0, f64::max),
            concealed_ms: ms(player.stats().concealed),
            tone,
        }
    }
}

struct Sender {
    packer: Packer,
    encoder: Encoder,
    meter: Meter,
    fec: u8,
}

impl Sender {
    fn new(saving: bool) -> Self {
        let config = opus::Config {
            loss_percent: 0,
            ..opus::Config::new(RATE)
        };
        Self {
            packer: if saving {
                Packer::saving(24_000)
            } else {
                Packer::steady(24_000)
            },
            encoder: Encoder::new(config).expect("an encoder"),
            meter: Meter::new(),
            fec: 0,
        }
    }

    fn say(&mut self, number: u64, mut send: impl FnMut(u64, Option<bytes::Bytes>)) {
        let frame = Frame::new(RATE, &sine(RATE, HZ, 6_000.0, number)).expect("20 ms");
        let level = self.meter.measure(frame.samples());
        let fec = self.packer.mode().fec_percent;
        if fec != core::mem::replace(&mut self.fec, fec) {
            self.encoder.set_loss_percent(fec).expect("a setting");
        }
        let encoder = &mut self.encoder;
        let sent = self.packer.take(&frame, number * 960, level, |piece| {
            match piece {
                Piece::Packet {
                    timestamp, samples, ..
                } => send(timestamp, Some(encoder.encode_samples(samples)?)),
                Piece::Silence { timestamp, .. } => send(timestamp, None),
            }
            Ok::<(), opus::Error>(())
        });
        sent.expect("a packet");
    }
}

/// The longest run of 5 ms pieces that are 20 dB softer than the tone.
fn gap_ms(sound: &[i16]) -> usize {
    let (mut longest, mut run) = (0, 0);
    for piece in sound.chunks(RATE.hz() as usize / 200) {
        let peak = piece.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
        run = if peak < 600 { run + 5 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
