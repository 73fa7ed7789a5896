//! What a leg hears from Asterisk: which PCM it is, cut into frames of 20 ms, never more than three of them.

use std::time::Duration;

use moqrelay_audio::{Frame, SampleRate, resample::Resampler};
use moqrelay_wire::audiosocket::{Audio, Rate};
use tokio::time::Instant;

/// What may wait: more is delay the call never gets back (we read late, or Asterisk sent late).
const QUEUE_FRAMES: usize = 3;

/// Messages after which another rate is believed; until then they are dropped.
const RATE_CHANGE_MESSAGES: u32 = 3;

/// PCM from Asterisk, message by message in and frame by frame out.
#[derive(Debug, Default)]
pub(super) struct Intake {
    stream: Option<Stream>,
    /// Messages in a row that had another rate than the stream.
    strange: u32,
    suspicion: Suspicion,
}

/// Whether what a message says of its rate can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// It is what was agreed on.
    True,
    /// AudioSocket's type: older Asterisks name 8 kHz for everything, and a dialplan without `c(slin…)` sends other
    /// codecs under it.
    Doubtful,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits to be taken out, and so many frames before it were dropped for it.
    Queued { dropped: u64 },
    /// It may be no PCM, or of a new rate: it waits for others like it, and is dropped.
    Withheld,
    /// It is no PCM but the bytes of another codec.
    Companded,
}

impl Intake {
    /// Returns the rate that arrives, once something did.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.stream.as_ref().map(|stream| stream.rate)
    }

    /// Takes one message that was read at `now`.
    pub(super) fn take(&mut self, audio: &Audio, label: Label, now: Instant) -> Taken {
        let rate = match label {
            Label::True => audio.rate,
            Label::Doubtful => match self.suspicion.look(audio, now) {
                Verdict::Pcm => actual_rate(audio),
                Verdict::Open => return Taken::Withheld,
                Verdict::Companded => return Taken::Companded,
            },
        };
        let stream = match &mut self.stream {
            Some(stream) if stream.rate == rate => stream,
            Some(_) if self.strange + 1 < RATE_CHANGE_MESSAGES => {
                self.strange += 1;
                return Taken::Withheld;
            }
            other => other.insert(Stream::new(rate)),
        };
        self.strange = 0;
        Taken::Queued {
            dropped: stream.push(audio),
        }
    }

    /// Returns whether a judgement is due although no further message came.
    pub(super) fn is_companded(&self, now: Instant) -> bool {
        self.suspicion.is_ripe(now)
    }

    /// Returns how many whole frames wait.
    pub(super) fn waiting(&self) -> usize {
        self.stream.as_ref().map_or(0, Stream::waiting)
    }

    /// Takes the oldest whole frame out, at a rate that Opus knows.
    pub(super) fn next_frame(&mut self) -> Option<Frame> {
        self.stream.as_mut()?.next_frame()
    }

    /// Forgets a started frame: what follows does not belong to it.
    pub(super) fn break_off(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.samples.clear();
        }
    }
}

/// Sound of one rate.
#[derive(Debug)]
struct Stream {
    rate: Rate,
    coded: SampleRate,
    resampler: Option<Resampler>,
    samples: Vec<i16>,
    converted: Vec<i16>,
}

impl Stream {
    fn new(rate: Rate) -> Self {
        let arriving = sample_rate(rate);
        let coded = arriving.opus_rate();
        Self {
            rate,
            coded,
            resampler: (coded != arriving).then(|| Resampler::new(arriving, coded)),
            samples: Vec::new(),
            converted: Vec::new(),
        }
    }

    /// Returns how many old frames made room for the message.
    fn push(&mut self, audio: &Audio) -> u64 {
        let frame = self.rate.frame_samples();
        // What is left over of whole frames stays, whatever is dropped, so that cuts fall between frames.
        let room = QUEUE_FRAMES * frame;
        let total = self.samples.len() + audio.samples().len();
        let excess = total.saturating_sub(room + total % frame) / frame;
        let cut = excess * frame;
        let old = cut.min(self.samples.len());
        self.samples.drain(..old);
        let kept = audio.pcm.get((cut - old) * 2..).unwrap_or_default();
        let pairs = kept.chunks_exact(2);
        // Not `samples().skip()`: of that length nobody is sure, and it would be one sample at a time.
        self.samples
            .extend(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        excess as u64
    }

    fn waiting(&self) -> usize {
        self.samples.len() / self.rate.frame_samples()
    }

    fn next_frame(&mut self) -> Option<Frame> {
        let len = self.rate.frame_samples();
        let frame = match &mut self.resampler {
            None => Frame::new(self.coded, self.samples.get(..len)?),
            Some(resampler) => {
                self.converted.clear();
                resampler.process(self.samples.get(..len)?, &mut self.converted);
                Frame::new(self.coded, &self.converted)
            }
        };
        self.samples.drain(..len);
        frame.ok()
    }
}

/// Finds out codecs under type 0x10, which Asterisk sends when the dialplan names no `c(slin…)`.
///
/// Mu-law, A-law and G.722 have 160 bytes for 20 ms, others fewer; linear 8 kHz has 320. But 160 bytes are also 10 ms
/// of linear sound from a telephone that packs so, and a last piece of a recording may have any length. So the pace
/// decides, and only an unbroken row counts.
#[derive(Debug, Default)]
struct Suspicion {
    row: Option<Row>,
    /// Linear sound was heard on this leg.
    innocent: bool,
}

/// Suspicious messages, one after the other.
#[derive(Debug)]
struct Row {
    since: Instant,
    last: Instant,
    messages: u32,
    /// Messages that came 5 to 15 ms after the one before: linear sound in pieces of 10 ms.
    ten_ms: u32,
}

enum Verdict {
    Pcm,
    Open,
    Companded,
}

/// A third of a second at 50 a second.
const ROW_MESSAGES: u32 = 16;

/// When fewer came by then, they are judged all the same.
const ROW_TIME: Duration = Duration::from_millis(400);

/// 8 kHz: bytes of 10 ms.
const TEN_MS_BYTES: usize = 160;

const TEN_MS_PACE: std::ops::Range<Duration> = Duration::from_millis(5)..Duration::from_millis(15);

impl Suspicion {
    fn look(&mut self, audio: &Audio, now: Instant) -> Verdict {
        if !is_suspicious(audio) {
            *self = Self {
                row: None,
                innocent: true,
            };
            return Verdict::Pcm;
        }
        let row = self.row.get_or_insert(Row {
            since: now,
            last: now,
            messages: 0,
            ten_ms: 0,
        });
        let pace = now.duration_since(row.last);
        row.last = now;
        row.messages += 1;
        if audio.pcm.len() == TEN_MS_BYTES && TEN_MS_PACE.contains(&pace) {
            row.ten_ms += 1;
        }
        if row.messages >= ROW_MESSAGES {
            if row.ten_ms * 2 <= row.messages {
                return Verdict::Companded;
            }
            *self = Self {
                row: None,
                innocent: true,
            };
            return Verdict::Pcm;
        }
        if self.innocent {
            Verdict::Pcm
        } else {
            Verdict::Open
        }
    }

    fn is_ripe(&self, now: Instant) -> bool {
        !self.innocent
            && self.row.as_ref().is_some_and(|row| {
                now.duration_since(row.since) >= ROW_TIME && row.ten_ms * 2 <= row.messages
            })
    }
}

fn is_suspicious(audio: &Audio) -> bool {
    let len = audio.pcm.len();
    audio.rate == Rate::Hz8000 && (len <= TEN_MS_BYTES || !len.is_multiple_of(TEN_MS_BYTES))
}

/// Asterisk before 20.17 and 22.7 sends every rate under 0x10: then the length tells.
///
/// 640 bytes are 20 ms of 16 kHz and 1920 are 20 ms of 48 kHz; as 8 kHz they would be 40 and 120 ms, which no
/// telephone of today sends. The other rates cannot be told from 8 kHz in pieces of 30 or 60 ms.
fn actual_rate(audio: &Audio) -> Rate {
    match (audio.rate, audio.pcm.len()) {
        (Rate::Hz8000, 640) => Rate::Hz16000,
        (Rate::Hz8000, 1920) => Rate::Hz48000,
        (rate, _) => rate,
    }
}

/// Returns the rate of AudioSocket as a rate of sound.
pub(super) fn sample_rate(rate: Rate) -> SampleRate {
    match rate {
        Rate::Hz8000 => SampleRate::Hz8000,
        Rate::Hz12000 => SampleRate::Hz12000,
        Rate::Hz16000 => SampleRate::Hz16000,
        Rate::Hz24000 => SampleRate::Hz24000,
        Rate::Hz32000 => SampleRate::Hz32000,
        Rate::Hz44100 => SampleRate::Hz44100,
        Rate::Hz48000 => SampleRate::Hz48000,
        Rate::Hz96000 => SampleRate::Hz96000,
        Rate::Hz192000 => SampleRate::Hz192000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS_20: Duration = Duration::from_millis(20);

    #[test]
    fn every_rate_comes_out_in_frames_that_opus_takes() {
        for rate in Rate::ALL {
            let mut intake = Intake::default();

            let taken = intake.take(
                &pcm(rate, rate.frame_samples()),
                Label::Doubtful,
                Instant::now(),
            );

            assert_eq!(taken, Taken::Queued { dropped: 0 });
            let frame = intake.next_frame().unwrap();
            assert_eq!(frame.rate(), sample_rate(rate).opus_rate());
            assert_eq!(intake.next_frame(), None);
        }
    }

    #[test]
    fn pieces_of_any_length_are_joined_to_frames() {
        let mut intake = Intake::default();
        let now = Instant::now();
        let mut next = 0;
        let mut out = Vec::new();

        for len in [240, 240, 1, 159, 320, 320] {
            intake.take(&counting(Rate::Hz16000, next, len), Label::Doubtful, now);
            next += len;
            out.extend(std::iter::from_fn(|| intake.next_frame()));
        }

        let samples: Vec<i16> = out
            .iter()
            .flat_map(|frame| frame.samples().to_vec())
            .collect();
        assert_eq!(samples, (0..1280).collect::<Vec<i16>>());
    }

    #[test]
    fn past_three_frames_the_oldest_are_dropped() {
        let mut intake = Intake::default();
        let now = Instant::now();

        let dropped: u64 = (0..10)
            .map(|index| {
                intake.take(
                    &counting(Rate::Hz16000, index * 320, 320),
                    Label::Doubtful,
                    now,
                )
            })
            .map(|taken| match taken {
                Taken::Queued { dropped } => dropped,
                other => panic!("{other:?}"),
            })
            .sum();

        assert_eq!(dropped, 7);
        assert_eq!(intake.waiting(), 3);
        assert_eq!(intake.next_frame().unwrap().samples()[0], 7 * 320);
    }

    #[test]
    fn of_an_oversized_message_the_end_is_kept() {
        let mut intake = Intake::default();

        let taken = intake.take(
            &counting(Rate::Hz16000, 0, 32_000),
            Label::Doubtful,
            Instant::now(),
        );

        assert_eq!(taken, Taken::Queued { dropped: 97 });
        assert_eq!(intake.next_frame().unwrap().samples()[0], 31_040);
    }

    #[test]
    fn what_is_16_khz_under_the_type_of_8_khz_is_told_by_its_length() {
        let mut intake = Intake::default();

        intake.take(&pcm(Rate::Hz8000, 320), Label::Doubtful, Instant::now());

        assert_eq!(intake.rate(), Some(Rate::Hz16000));
        assert_eq!(intake.next_frame().unwrap().samples().len(), 320);
    }

    #[test]
    fn codec_bytes_in_place_of_linear_sound_are_found_out() {
        for len in [160, 33, 80, 240] {
            let mut intake = Intake::default();
            let start = Instant::now();

            let taken: Vec<_> = (0..16)
                .map(|index| {
                    intake.take(
                        &bytes(Rate::Hz8000, len),
                        Label::Doubtful,
                        start + MS_20 * index,
                    )
                })
                .collect();

            assert_eq!(taken[14], Taken::Withheld, "{len} bytes");
            assert_eq!(taken[15], Taken::Companded, "{len} bytes");
        }
    }

    #[test]
    fn a_few_codec_bytes_and_then_nothing_are_found_out_by_time() {
        let mut intake = Intake::default();
        let start = Instant::now();

        intake.take(&bytes(Rate::Hz8000, 160), Label::Doubtful, start);

        assert!(!intake.is_companded(start + Duration::from_millis(399)));
        assert!(intake.is_companded(start + Duration::from_millis(400)));
    }

    #[test]
    fn a_telephone_that_sends_10_ms_is_believed() {
        let mut intake = Intake::default();
        let start = Instant::now();

        let taken: Vec<_> = (0..40)
            .map(|index| {
                intake.take(
                    &pcm(Rate::Hz8000, 80),
                    Label::Doubtful,
                    start + MS_20 / 2 * index,
                )
            })
            .collect();

        assert!(taken[..15].iter().all(|taken| *taken == Taken::Withheld));
        assert!(
            taken[15..]
                .iter()
                .all(|taken| matches!(taken, Taken::Queued { .. }))
        );
        assert!(!intake.is_companded(start + Duration::from_secs(9)));
    }

    #[test]
    fn a_short_last_piece_of_a_recording_does_no_harm() {
        let mut intake = Intake::default();
        let start = Instant::now();
        intake.take(&pcm(Rate::Hz8000, 160), Label::Doubtful, start);

        let taken = intake.take(&pcm(Rate::Hz8000, 37), Label::Doubtful, start + MS_20);

        assert_eq!(taken, Taken::Queued { dropped: 0 });
        assert!(!intake.is_companded(start + Duration::from_secs(9)));
    }

    #[test]
    fn another_rate_is_believed_when_it_stays() {
        let mut intake = Intake::default();
        let now = Instant::now();
        intake.take(&pcm(Rate::Hz16000, 320), Label::Doubtful, now);

        let strange = pcm(Rate::Hz48000, 960);
        let taken = [0; 3].map(|_| intake.take(&strange, Label::Doubtful, now));

        assert_eq!(
            taken,
            [
                Taken::Withheld,
                Taken::Withheld,
                Taken::Queued { dropped: 0 }
            ]
        );
        assert_eq!(intake.rate(), Some(Rate::Hz48000));
    }

    fn pcm(rate: Rate, samples: usize) -> Audio {
        bytes(rate, samples * 2)
    }

    fn bytes(rate: Rate, len: usize) -> Audio {
        Audio {
            rate,
            pcm: vec![0x11; len].into(),
        }
    }

    fn counting(rate: Rate, from: usize, samples: usize) -> Audio {
        let pcm: Vec<u8> = (from..from + samples)
            .flat_map(|index| (index as i16).to_le_bytes())
            .collect();
        Audio {
            rate,
            pcm: pcm.into(),
        }
    }
}
