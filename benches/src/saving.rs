//! What the voice mode `saving` saves on recorded speech, and what it costs: faster than real time, without a network.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use moqrelay_audio::{
    Frame, SampleRate,
    dsp::ComfortNoise,
    dtmf,
    emodel::{Codec, Conditions, Rating},
    jitter,
    level::{Level, Meter, dbov},
    mode::{BASELINE, HEADER_BYTES, Packer, Piece, Report},
    opus,
    playout::OpusPlayer,
    resample::Resampler,
};

use crate::{
    figures::short,
    table::{Row, Verdict},
    voice,
};

/// Where speech comes from, and how much of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder of WAV files (16 bit, mono, 8 kHz), such as Asterisk's en_US_f_Allison; without it a pretended voice.
    #[arg(long)]
    speech: Option<PathBuf>,
    /// Minutes of one party's side of a conversation.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    minutes: u64,
}

/// The part of the time in which this party talks, pauses within its sentences included.
const ACTIVITY: f64 = 0.54;

const RATE: SampleRate = SampleRate::Hz16000;
const FRAME: Duration = Duration::from_millis(20);
const FRAME_TICKS: u64 = 960;

/// The room behind the speech: a quiet office.
const BACKGROUND: Level = Level::new(62);

/// Frames this much louder than the background are speech for the count of what is cut.
const SPEECH_ABOVE_DB: f32 = 12.0;

/// On the way: at least, and at most more.
const NETWORK: Duration = Duration::from_millis(20);
const JITTER_US: u64 = 10_000;

/// What the E-model is told besides what is seen here: sound devices, the telephone's own buffer, as a leg counts.
const ELSEWHERE: Duration = Duration::from_millis(60);

/// The goals of issue and docs.
const SAVED_MIN: f64 = 0.4;
const MOS_LOWER_MAX: f64 = 0.1;

/// How often a leg hears of loss.
const REPORT_FRAMES: u64 = 250;

/// Runs both modes over the same sound, without and with loss.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>> {
    let sound = conversation(args)?;
    let from = args.speech.as_ref().map_or_else(
        || "a pretended voice".to_owned(),
        |folder| {
            format!(
                "recordings of {}",
                folder.file_name().unwrap_or_default().display()
            )
        },
    );
    let mut rows = Vec::new();
    for loss in [0.0, 0.05] {
        let before = run(Packer::steady(BASELINE.bitrate_bps), &sound, loss)?;
        let after = run(Packer::saving(BASELINE.bitrate_bps), &sound, loss)?;
        rows.push(row(args, &from, loss, &before, &after));
    }
    rows.push(talk_off(&from, &sound));
    Ok(rows)
}

/// What one mode did.
#[derive(Debug, Default)]
struct Outcome {
    bytes: u64,
    speech: u64,
    keys: u64,
    silences: u64,
    /// Frames of speech, and those of them that were not sent.
    loud: u64,
    cut: u64,
    /// Sound that was made up because a packet was lost, and all that was played.
    concealed: Duration,
    lost: u64,
    recovered: u64,
    packets: u64,
    delay: Duration,
    length: Duration,
}

impl Outcome {
    /// The E-model's rating: delay with the packet's length beyond 20 ms; loss is what was cut or not repaired.
    fn mos(&self) -> f64 {
        let missing = self.lost.saturating_sub(self.recovered) as f64 / self.packets.max(1) as f64;
        let cut = self.cut as f64 / self.loud.max(1) as f64;
        let conditions = Conditions {
            delay: self.delay + NETWORK + ELSEWHERE + self.length.saturating_sub(FRAME),
            loss: missing + cut,
            burst_ratio: 1.0,
            codec: Codec::OPUS,
        };
        Rating::new(&conditions).mos()
    }
}

fn run(mut packer: Packer, sound: &[Frame], loss: f64) -> Result<Outcome> {
    let mut way = Way::new(loss);
    let mut player = OpusPlayer::opus(RATE, jitter::Config::default())?;
    let mut coder = Coder::new()?;
    let mut meter = Meter::new();
    let mut out = Frame::silence(RATE);
    let mut outcome = Outcome::default();
    let (mut sent_until, mut delays, mut lengths) = (0, Duration::ZERO, Duration::ZERO);
    let speech_level = -f32::from(BACKGROUND.minus_dbov()) + SPEECH_ABOVE_DB;
    let mut loud_at = Vec::new();
    for (number, frame) in (0..).zip(sound) {
        let timestamp = number * FRAME_TICKS;
        let now = FRAME * u32::try_from(number + 1)?;
        if dbov(frame.samples()) > speech_level {
            loud_at.push(number);
        }
        let level = meter.measure(frame.samples());
        let mode = packer.mode();
        packer.take(frame, timestamp, level, |piece| {
            outcome.bytes += u64::from(HEADER_BYTES);
            match piece {
                Piece::Packet {
                    timestamp,
                    first,
                    samples,
                    ..
                } => {
                    let packet = coder.code(mode.fec_percent, mode.bitrate_bps, first, samples)?;
                    outcome.bytes += packet.len() as u64 + if first { KIND_BYTES } else { 0 };
                    outcome.speech += 1;
                    outcome.keys += u64::from(first);
                    let frames = (samples.len() / RATE.frame_samples()) as u64;
                    lengths += FRAME * u32::try_from(frames).unwrap_or(1);
                    let begins = timestamp / FRAME_TICKS;
                    outcome.loud += count(&loud_at, begins..begins + frames);
                    outcome.cut += count(&loud_at, sent_until..begins);
                    sent_until = begins + frames;
                    way.send(now, Some(packet), timestamp);
                }
                Piece::Silence { timestamp, .. } => {
                    outcome.bytes += KIND_BYTES;
                    outcome.silences += 1;
                    way.send(now, None, timestamp);
                }
            }
            anyhow::Ok(())
        })?;
        for (at, packet, timestamp) in way.arrived(now) {
            match packet {
                Some(packet) => drop(player.push(timestamp, packet, at)?),
                None => player.pause(timestamp),
            }
        }
        player.pull(now, out.samples_mut());
        delays += player.stats().delay;
        if (number + 1) % REPORT_FRAMES == 0 {
            packer.measured(
                Report {
                    loss: way.take_loss(),
                    bandwidth_bps: None,
                },
                now,
            );
        }
    }
    let stats = player.stats();
    outcome.cut += count(&loud_at, sent_until..u64::MAX);
    outcome.loud += outcome.cut;
    outcome.concealed = stats.concealed;
    (outcome.lost, outcome.recovered) = (stats.lost, stats.recovered);
    outcome.packets = outcome.speech;
    outcome.delay = delays / u32::try_from(sound.len())?;
    outcome.length = lengths / u32::try_from(outcome.speech.max(1))?;
    Ok(outcome)
}

/// What the kind of an object adds to its header.
const KIND_BYTES: u64 = 3;

fn count(sorted: &[u64], range: std::ops::Range<u64>) -> u64 {
    let from = sorted.partition_point(|at| *at < range.start);
    let to = sorted.partition_point(|at| *at < range.end);
    to.saturating_sub(from) as u64
}

/// An encoder that is told only what changed.
struct Coder {
    encoder: opus::Encoder,
    fec_percent: u8,
    bitrate_bps: u32,
}

impl Coder {
    fn new() -> Result<Self> {
        let config = opus::Config {
            bitrate_bps: BASELINE.bitrate_bps,
            loss_percent: 0,
            ..opus::Config::new(RATE)
        };
        Ok(Self {
            encoder: opus::Encoder::new(config)?,
            fec_percent: 0,
            bitrate_bps: BASELINE.bitrate_bps,
        })
    }

    fn code(&mut self, fec: u8, bps: u32, first: bool, samples: &[i16]) -> Result<bytes::Bytes> {
        if fec != self.fec_percent {
            self.encoder.set_loss_percent(fec)?;
        }
        if bps != self.bitrate_bps {
            self.encoder.set_bitrate(bps)?;
        }
        if first {
            self.encoder.reset()?;
        }
        (self.fec_percent, self.bitrate_bps) = (fec, bps);
        Ok(self.encoder.encode_samples(samples)?)
    }
}

/// A network with jitter and random loss; the same for both modes.
struct Way {
    random: u64,
    loss: f64,
    inside: Vec<(Duration, Option<bytes::Bytes>, u64)>,
    sent: u64,
    lost: u64,
}

impl Way {
    fn new(loss: f64) -> Self {
        Self {
            random: 0x9e37_79b9_7f4a_7c15,
            loss,
            inside: Vec::new(),
            sent: 0,
            lost: 0,
        }
    }

    fn send(&mut self, now: Duration, packet: Option<bytes::Bytes>, timestamp: u64) {
        self.sent += 1;
        if (self.next() % 1_000_000) as f64 / 1e6 < self.loss {
            self.lost += 1;
            return;
        }
        let late = Duration::from_micros(self.next() % JITTER_US);
        self.inside.push((now + NETWORK + late, packet, timestamp));
    }

    fn arrived(&mut self, now: Duration) -> Vec<(Duration, Option<bytes::Bytes>, u64)> {
        let (mut here, inside) = std::mem::take(&mut self.inside)
            .into_iter()
            .partition::<Vec<_>, _>(|(at, ..)| *at <= now);
        self.inside = inside;
        here.sort_by_key(|(at, ..)| *at);
        here
    }

    fn take_loss(&mut self) -> f64 {
        let loss = self.lost as f64 / self.sent.max(1) as f64;
        (self.sent, self.lost) = (0, 0);
        loss
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// One party's side: utterances with pauses, in front of a room's noise.
fn conversation(args: &Args) -> Result<Vec<Frame>> {
    let utterances = match &args.speech {
        Some(folder) => recordings(folder)?,
        None => vec![voice::samples(RATE.hz())],
    };
    let total = args.minutes as usize * 60 * 50;
    let mut noise = ComfortNoise::new(1);
    let mut frames: Vec<Frame> = Vec::with_capacity(total);
    let mut talked = 0;
    for utterance in utterances.iter().cycle() {
        for samples in utterance.chunks_exact(RATE.frame_samples()) {
            frames.push(Frame::new(RATE, samples)?);
            talked += 1;
        }
        // Listening lasts until the talk so far is the wanted part.
        while (talked as f64) > ACTIVITY * frames.len() as f64 {
            frames.push(Frame::silence(RATE));
        }
        if frames.len() >= total {
            break;
        }
    }
    frames.truncate(total);
    for frame in &mut frames {
        noise.add(BACKGROUND, frame.samples_mut());
    }
    Ok(frames)
}

/// Every recording of a second and more, at our rate, in the order of their names.
fn recordings(folder: &PathBuf) -> Result<Vec<Vec<i16>>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|end| end == "wav"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        let Some(samples) = wav(&bytes) else { continue };
        let mut out = Vec::new();
        Resampler::new(SampleRate::Hz8000, RATE).process(&samples, &mut out);
        let spoken = trimmed(&out);
        if spoken.len() >= RATE.hz() as usize {
            all.push(spoken.to_vec());
        }
    }
    ensure!(
        !all.is_empty(),
        "no recordings of 8 kHz in {}",
        folder.display()
    );
    Ok(all)
}

/// The samples of a WAV file, if they are 16 bit, mono, 8 kHz.
fn wav(bytes: &[u8]) -> Option<Vec<i16>> {
    let mut rest = bytes
        .strip_prefix(b"RIFF")?
        .get(4..)?
        .strip_prefix(b"WAVE")?;
    let mut known = false;
    while let Some((head, after)) = rest.split_at_checked(8) {
        let len = u32::from_le_bytes(head[4..].try_into().ok()?) as usize;
        let body = &after[..len.min(after.len())];
        match &head[..4] {
            b"fmt " => {
                known = body.get(..16)?[..8] == [1, 0, 1, 0, 0x40, 0x1f, 0, 0]
                    && body[14..16] == [16, 0]
            }
            b"data" if known => {
                let pairs = body.chunks_exact(2);
                return Some(
                    pairs
                        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                        .collect(),
                );
            }
            _ => {}
        }
        rest = after.get(len + len % 2..)?;
    }
    None
}

/// Without the silence before and after.
fn trimmed(samples: &[i16]) -> &[i16] {
    let loud = |frame: &[i16]| dbov(frame) > -45.0;
    let frames: Vec<&[i16]> = samples.chunks(RATE.frame_samples()).collect();
    let from = frames.iter().position(|frame| loud(frame)).unwrap_or(0);
    let to = frames
        .iter()
        .rposition(|frame| loud(frame))
        .map_or(0, |last| last + 1);
    let len = RATE.frame_samples();
    &samples[(from * len).min(samples.len())..(to.max(from) * len).min(samples.len())]
}

fn row(args: &Args, from: &str, loss: f64, before: &Outcome, after: &Outcome) -> Row {
    let seconds = args.minutes as f64 * 60.0;
    let kbits = |outcome: &Outcome| outcome.bytes as f64 * 8.0 / seconds / 1e3;
    let saved = 1.0 - after.bytes as f64 / before.bytes as f64;
    let lower = before.mos() - after.mos();
    let percent = |part: f64| short(part * 100.0);
    Row::new(
        format!("bytes saved, loss {} %", percent(loss)),
        format!(
            "{} kbit/s on the wire become {}: {} % fewer; MOS {:.2} becomes {:.2}; packets of {} ms, {} of speech ({} keys), {} of \
             silence; {} % of the speech cut",
            short(kbits(before)),
            short(kbits(after)),
            percent(saved),
            before.mos(),
            after.mos(),
            short(after.length.as_secs_f64() * 1e3),
            after.speech,
            after.keys,
            after.silences,
            percent(after.cut as f64 / after.loud.max(1) as f64),
        ),
        if loss == 0.0 {
            "≥ 40 % fewer, MOS ≤ 0.1 lower"
        } else {
            ""
        },
        if loss == 0.0 {
            Verdict::of(saved >= SAVED_MIN && lower <= MOS_LOWER_MAX)
        } else {
            Verdict::Info
        },
        format!(
            "{} min of {from}, {} % talk, background -{} dBov; 20 ms packets of 24 kbit/s against the voice mode saving, the \
             same packer, encoder and jitter buffer as in a leg, in virtual time; {HEADER_BYTES} bytes of headers for each object \
             (IPv4, UDP, QUIC, MoQT, properties); MOS by the E-model from delay, unrepaired loss and speech that was not sent.",
            args.minutes,
            percent(ACTIVITY),
            BACKGROUND.minus_dbov(),
        ),
    )
}

fn talk_off(from: &str, sound: &[Frame]) -> Row {
    let mut detector = dtmf::Detector::new(RATE);
    let mut found = Vec::new();
    for frame in sound {
        detector.process(frame.samples(), |digit| found.push(digit.digit));
    }
    let minutes = sound.len() as f64 / 50.0 / 60.0;
    Row::new(
        "digits found in speech",
        format!("{} in {} min", found.len(), short(minutes)),
        "none",
        Verdict::of(found.is_empty()),
        format!("The detector for in-band digits over the same sound ({from})."),
    )
}
