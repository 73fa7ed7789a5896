//! What a leg says: PCM from Asterisk, mended, coded once, published as objects for however many listen.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use moqrelay_audio::{
    Frame, SampleRate,
    dsp::{DcBlocker, clipped, fade_in, fade_out},
    dtmf,
    level::{AudioLevel, Level, SILENCE},
    mode::{BASELINE, HEADER_BYTES, Mode, Packer, Piece, Report},
    opus, packet,
};
use moqrelay_relay::track::WriteError;
use moqrelay_wire::{
    audio_object::{self, GROUP_OBJECTS, Kind, Properties},
    catalog::Catalog,
};
use tokio::time::Instant;

use super::{
    Coding, Shaping, Stats, VoiceMode,
    hook::{Hook, Processed},
    polish::Polish,
    timeline::Timeline,
};
use crate::{
    governor::{Effort, Throttle},
    publication::Publication,
};

/// Sound that begins or ends in its middle does so within 5 ms: shorter clicks, longer cuts words.
const FADE: Duration = Duration::from_millis(5);

/// What 20 ms cost when nothing is saved, bytes on the wire.
const BASELINE_BYTES: u64 = (BASELINE.wire_bps() / 8 / 50) as u64;

/// What a telephone most likely speaks, until it does.
const RATE: SampleRate = SampleRate::Hz16000;

/// The way from frames to objects.
#[derive(Debug)]
pub(super) struct Voice {
    rate: SampleRate,
    dc: DcBlocker,
    polish: Polish,
    /// The loudest frame since it was asked for.
    loudest: Level,
    digits: Option<dtmf::Detector>,
    timeline: Timeline,
    packer: Packer,
    coder: Coder,
    publication: Option<Publication>,
    /// In a box: few legs have one.
    hook: Option<Box<Hook>>,
    /// What listeners were told of the mode, and how many objects ago.
    told: Option<(audio_object::Mode, u64)>,
    mute: Mute,
}

/// Whether a leg is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mute {
    Open,
    /// The next frame is the last one.
    Closing,
    Closed,
    /// The next frame is the first one.
    Opening,
}

impl Voice {
    pub(super) fn new(coding: Coding, shaping: Shaping, throttle: Throttle) -> Self {
        Self {
            rate: RATE,
            dc: DcBlocker::new(RATE),
            polish: Polish::from_telephone(shaping, RATE),
            loudest: SILENCE,
            digits: None,
            timeline: Timeline::default(),
            packer: match coding.mode {
                VoiceMode::Steady => Packer::steady(coding.bitrate_bps),
                VoiceMode::Saving => Packer::saving(coding.bitrate_bps),
            },
            coder: Coder::new(coding, throttle),
            publication: None,
            hook: None,
            told: None,
            mute: Mute::Open,
        }
    }

    /// Publishes from now on.
    pub(super) fn publish(&mut self, publication: Publication) {
        self.publication = Some(publication);
        self.told = None;
    }

    /// Leads what is said through a media processor from now on; `catalog` has the track of its texts.
    pub(super) fn hook(&mut self, hook: Hook, catalog: &Catalog, now: Instant) {
        self.hook = Some(Box::new(hook));
        if let Some(publication) = &mut self.publication {
            publication.describe(catalog, now);
        }
    }

    /// Stops or resumes publishing; silence is what others hear meanwhile.
    pub(super) fn mute(&mut self, muted: bool) {
        self.mute = match (muted, self.mute) {
            (true, Mute::Open) => Mute::Closing,
            (true, Mute::Opening) => Mute::Closed,
            (false, Mute::Closed) => Mute::Opening,
            (false, Mute::Closing) => Mute::Open,
            (_, already) => already,
        };
    }

    /// Listens for digits in the sound, or no longer.
    pub(super) fn detect_digits(&mut self, wanted: bool) {
        self.digits = wanted.then(|| dtmf::Detector::new(self.rate));
    }

    /// Takes what was measured of the network up to `now`.
    pub(super) fn measured(&mut self, report: Report, now: Duration) {
        self.packer.measured(report, now);
    }

    /// Looks what the listeners' connections carry.
    pub(super) fn look_at_way(&mut self, now: Duration) {
        let publication = self.publication.as_ref();
        if let Some(bandwidth_bps) = publication.and_then(Publication::take_bandwidth) {
            let before = self.packer.mode();
            self.packer.carried(bandwidth_bps, now);
            let mode = self.packer.mode();
            if mode != before {
                tracing::debug!(
                    bandwidth_bps,
                    ?mode,
                    "what the listeners' lines carry changes how the voice is sent"
                );
            }
        }
    }

    /// Returns the loudest frame since the last call.
    pub(super) fn take_loudest(&mut self) -> Level {
        std::mem::replace(&mut self.loudest, SILENCE)
    }

    /// Takes a frame that came at `now` (since the leg's start), together with `after` frames that follow it. `digit`
    /// is given what was found in it.
    pub(super) fn say(
        &mut self,
        mut frame: Frame,
        after: usize,
        now: Duration,
        stats: &mut Stats,
        digit: impl FnMut(dtmf::Digit),
    ) {
        let level = self.mend(&mut frame, stats, digit);
        let muting = self.fade(&mut frame);
        if self.publication.is_none() || muting == Mute::Closed {
            return;
        }
        let Some(timestamp) = self.timeline.stamp(now, after) else {
            stats.frames_dropped += 1;
            return;
        };
        stats.baseline_bytes += BASELINE_BYTES;
        match &mut self.hook {
            Some(hook) => hook.send(timestamp, frame),
            None => self.finish(&frame, timestamp, level, stats),
        }
    }

    /// Publishes what has come back from the media processor; ready when there was something.
    pub(super) fn poll_processed(&mut self, cx: &mut Context<'_>, stats: &mut Stats) -> Poll<()> {
        let Some(hook) = &mut self.hook else {
            return Poll::Pending;
        };
        let Processed {
            timestamp,
            frame,
            level,
        } = std::task::ready!(hook.poll(cx));
        self.finish(&frame, timestamp, level, stats);
        Poll::Ready(())
    }

    /// So much before the next frame was lost: listeners conceal it.
    pub(super) fn lose(&mut self, length: Duration) {
        self.timeline.lose(length);
    }

    /// Takes an Opus packet that came at `now` and publishes it untouched, without a level: nobody has decoded it.
    pub(super) fn pass(&mut self, packet: Bytes, now: Duration, stats: &mut Stats) {
        let Ok(length) = packet::duration(&packet) else {
            stats.malformed += 1;
            return;
        };
        let open = matches!(self.mute, Mute::Open | Mute::Opening);
        let Some(publication) = self.publication.as_mut().filter(|_| open) else {
            return;
        };
        let Some(timestamp) = self.timeline.stamp_piece(now, 0, length) else {
            stats.frames_dropped += 1;
            return;
        };
        match publication.voice(timestamp, None, packet) {
            Ok(()) => stats.objects_out += 1,
            Err(error) => {
                stats.objects_failed += 1;
                self.give_up(&error.into());
            }
        }
    }

    /// Keeps the catalog fresh.
    pub(super) fn tick(&mut self, now: Instant) {
        if let Some(publication) = &mut self.publication {
            publication.tick(now);
        }
    }

    /// Does to a frame what lines need; returns how loud it is.
    fn mend(
        &mut self,
        frame: &mut Frame,
        stats: &mut Stats,
        digit: impl FnMut(dtmf::Digit),
    ) -> AudioLevel {
        if frame.rate() != self.rate {
            self.rate = frame.rate();
            self.dc = DcBlocker::new(self.rate);
            self.polish.set_rate(self.rate);
            self.detect_digits(self.digits.is_some());
        }
        if let Some(detector) = &mut self.digits {
            detector.process(frame.samples(), digit);
        }
        stats.clipped += u64::from(clipped(frame.samples()));
        self.dc.process(frame.samples_mut());
        let level = self.polish.process(frame.samples_mut());
        stats.level = level.level.minus_dbov();
        stats.speech[0].add(level);
        self.loudest = self.loudest.min(level.level);
        level
    }

    /// Returns what holds for this frame.
    fn fade(&mut self, frame: &mut Frame) -> Mute {
        let len = frame.rate().samples_in(FADE);
        let now = self.mute;
        self.mute = match now {
            Mute::Open => Mute::Open,
            Mute::Closed => Mute::Closed,
            Mute::Closing => {
                fade_out(frame.samples_mut(), len);
                Mute::Closed
            }
            Mute::Opening => {
                fade_in(frame.samples_mut(), len);
                Mute::Open
            }
        };
        now
    }

    fn finish(&mut self, frame: &Frame, timestamp: u64, level: AudioLevel, stats: &mut Stats) {
        if let Err(error) = self.send(frame, timestamp, level, stats) {
            stats.objects_failed += 1;
            self.give_up(&error);
        }
    }

    fn send(
        &mut self,
        frame: &Frame,
        timestamp: u64,
        level: AudioLevel,
        stats: &mut Stats,
    ) -> Result<(), Error> {
        let Self {
            packer,
            coder,
            publication,
            told,
            ..
        } = self;
        let Some(publication) = publication else {
            return Ok(());
        };
        let mode = packer.mode();
        let saving = packer.is_saving();
        let mut publish = |timestamp, level: AudioLevel, kind, packet: Bytes| {
            stats.voice_bytes += u64::from(HEADER_BYTES) + packet.len() as u64;
            stats.objects_silence += u64::from(kind == Kind::Silence);
            stats.objects_key += u64::from(kind == Kind::Key);
            stats.objects_speech += u64::from(kind == Kind::Speech);
            stats.objects_out += 1;
            let level = audio_object::Level {
                below_overload_db: level.level.minus_dbov(),
                voice: level.voice,
            };
            let properties = Properties::of_object(timestamp, level)
                .with_kind(kind)
                .with_mode(tell(told, mode, saving));
            publication.say(properties, packet)
        };
        packer.take(frame, timestamp, level, |piece| match piece {
            Piece::Packet {
                timestamp,
                level,
                first,
                samples,
            } => {
                let kind = if first { Kind::Key } else { Kind::Speech };
                let packet = coder.code(frame.rate(), mode, kind, samples)?;
                Ok(publish(timestamp, level, kind, packet)?)
            }
            Piece::Silence { timestamp, level } => {
                Ok(publish(timestamp, level, Kind::Silence, Bytes::new())?)
            }
        })
    }

    /// Logs the fault, and ends the publication when another publisher has taken its name.
    fn give_up(&mut self, error: &Error) {
        match error {
            Error::Coding(error) => tracing::debug!(%error, "a frame could not be coded"),
            Error::Writing(WriteError::Superseded) => {
                tracing::warn!("another publisher took the leg's track over: it is silent now");
                self.publication = None;
            }
            Error::Writing(error) => tracing::debug!(%error, "an object was not published"),
        }
    }
}

/// Returns the mode where it is to be said: when it is new, and once in as many objects as a group has.
fn tell(
    told: &mut Option<(audio_object::Mode, u64)>,
    mode: Mode,
    saving: bool,
) -> Option<audio_object::Mode> {
    let now = audio_object::Mode {
        length_ms: u8::try_from(mode.length.duration().as_millis()).unwrap_or(u8::MAX),
        kbps: u8::try_from(mode.bitrate_bps / 1000).unwrap_or(u8::MAX),
        fec: mode.fec_percent > 0,
        saving,
    };
    let since = match told {
        Some((before, since)) if *before == now && *since + 1 < GROUP_OBJECTS => *since + 1,
        _ => 0,
    };
    *told = Some((now, since));
    (since == 0).then_some(now)
}

/// The encoder, and what it was told last.
#[derive(Debug)]
struct Coder {
    coding: Coding,
    throttle: Throttle,
    encoder: Option<opus::Encoder>,
    effort: Effort,
    mode: Mode,
}

impl Coder {
    fn new(coding: Coding, throttle: Throttle) -> Self {
        Self {
            coding,
            throttle,
            encoder: None,
            effort: Effort::wide(coding.complexity),
            mode: BASELINE,
        }
    }

    fn code(
        &mut self,
        rate: SampleRate,
        mode: Mode,
        kind: Kind,
        samples: &[i16],
    ) -> Result<Bytes, opus::Error> {
        let allowed = self.throttle.effort();
        let effort = Effort {
            complexity: allowed.complexity.min(self.coding.complexity),
            ..allowed
        };
        let mut encoder = match self.encoder.take() {
            Some(encoder) if encoder.rate() == rate => encoder,
            _ => {
                self.mode = Mode {
                    bitrate_bps: self.coding.bitrate_bps,
                    fec_percent: 0,
                    ..mode
                };
                self.effort = Effort::wide(self.coding.complexity);
                opus::Encoder::new(self.coding.opus(rate))?
            }
        };
        if effort.complexity != self.effort.complexity {
            encoder.set_complexity(effort.complexity)?;
        }
        // Not by another encoder at 8 kHz: all legs would make theirs anew within one frame.
        if effort.narrow != self.effort.narrow {
            encoder.set_narrow(effort.narrow)?;
        }
        if mode.bitrate_bps != self.mode.bitrate_bps {
            encoder.set_bitrate(mode.bitrate_bps)?;
        }
        if mode.fec_percent != self.mode.fec_percent {
            encoder.set_loss_percent(mode.fec_percent)?;
        }
        if kind == Kind::Key {
            encoder.reset()?;
        }
        (self.effort, self.mode) = (effort, mode);
        self.encoder.insert(encoder).encode_samples(samples)
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Coding(#[from] opus::Error),
    #[error(transparent)]
    Writing(#[from] WriteError),
}
