//! Recorded sounds, such as prompts: Ogg Opus files (RFC 7845) of one mono stream, decoded once, and WAV files of
//! programs that speak.
//!
//! Not here: seeking, chained streams, checksums. Such files come with the program or from its operator.

use std::sync::Arc;

use thiserror::Error;

use crate::{SampleRate, opus::Decoder, resample::Resampler, wav::Wav};

/// A sound in memory, at [`RATE`](Clip::RATE). Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip(Arc<[i16]>);

impl Clip {
    /// The rate of all clips: what telephones have at best.
    pub const RATE: SampleRate = SampleRate::Hz16000;

    /// The longest clip: half a minute is a megabyte, and longer than anybody listens to a prompt.
    pub const SECONDS_MAX: usize = 30;

    /// Decodes an Ogg Opus file.
    ///
    /// # Errors
    ///
    /// When it is none, is not mono, or longer than [`SECONDS_MAX`](Self::SECONDS_MAX).
    pub fn from_ogg(file: &[u8]) -> Result<Self, ClipError> {
        let mut packets = Packets::new(file);
        let head = packets.next().ok_or(ClipError::Cut)??;
        let skip = pre_skip(&head)?;
        let tags = packets.next().ok_or(ClipError::Cut)??;
        if !tags.starts_with(b"OpusTags") {
            return Err(ClipError::NotOpus);
        }
        let mut decoder = Decoder::new(Self::RATE)?;
        let mut samples = Vec::new();
        let len_max = Self::SECONDS_MAX * Self::RATE.hz() as usize;
        for packet in &mut packets {
            decoder.decode(&packet?, &mut samples)?;
            if samples.len() > skip + len_max {
                return Err(ClipError::Long);
            }
        }
        // The last page says where the sound ends, in samples of 48 kHz before the skip.
        let end = usize::try_from(packets.granule / 3).unwrap_or(usize::MAX);
        samples.truncate(end.max(skip));
        Ok(Self(samples.get(skip..).unwrap_or_default().into()))
    }

    /// Takes a WAV file: mono, 16 bits, at a rate that programs speak at.
    ///
    /// # Errors
    ///
    /// When it is none, or longer than [`SECONDS_MAX`](Self::SECONDS_MAX).
    pub fn from_wav(file: &[u8]) -> Result<Self, ClipError> {
        let wav = Wav::read(file)?;
        if wav.channels != 1 {
            return Err(ClipError::Channels(wav.channels.try_into().unwrap_or(0)));
        }
        if !WAV_HZ.contains(&wav.hz) {
            return Err(ClipError::Rate(wav.hz));
        }
        if wav.samples.len() > Self::SECONDS_MAX * wav.hz as usize {
            return Err(ClipError::Long);
        }
        let samples = wav.samples.iter().map(|it| i16::from_le_bytes(*it));
        let samples: Vec<i16> = samples.collect();
        let mut converted = Vec::new();
        Resampler::between(wav.hz, Self::RATE.hz()).process(&samples, &mut converted);
        Ok(Self(converted.into()))
    }

    /// Takes samples of [`RATE`](Self::RATE).
    #[must_use]
    pub fn from_samples(samples: &[i16]) -> Self {
        Self(samples.into())
    }

    /// Returns the samples.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.0
    }
}

/// Why a file is no clip.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClipError {
    /// It does not begin as Ogg does, or another page does not.
    #[error("no Ogg file")]
    NotOgg,
    /// It ends in the middle.
    #[error("the file ends too early")]
    Cut,
    /// Something else than Opus is in it.
    #[error("no Opus in the file")]
    NotOpus,
    /// It is no WAV file.
    #[error("no WAV file")]
    NotWav,
    /// A WAV file of something else.
    #[error("no PCM of 16 bits in the file")]
    NotPcm,
    /// Nobody speaks at that rate.
    #[error("{0} Hz")]
    Rate(u32),
    /// Not mono.
    #[error("{0} channels instead of one")]
    Channels(u8),
    /// Longer than [`Clip::SECONDS_MAX`].
    #[error("longer than {} s", Clip::SECONDS_MAX)]
    Long,
    /// A packet cannot be decoded.
    #[error(transparent)]
    Opus(#[from] crate::opus::Error),
}

/// What programs speak at: the telephone's rates, halves and quarters of a CD's, and what neural voices have.
const WAV_HZ: [u32; 9] = [
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
];

/// Reads the identification header (RFC 7845, section 5.1); returns the samples to leave out, at [`Clip::RATE`].
fn pre_skip(head: &[u8]) -> Result<usize, ClipError> {
    let [
        b'O',
        b'p',
        b'u',
        b's',
        b'H',
        b'e',
        b'a',
        b'd',
        version,
        channels,
        low,
        high,
        ..,
    ] = head
    else {
        return Err(ClipError::NotOpus);
    };
    if version >> 4 != 0 {
        return Err(ClipError::NotOpus);
    }
    if *channels != 1 {
        return Err(ClipError::Channels(*channels));
    }
    Ok(usize::from(u16::from_le_bytes([*low, *high])) / 3)
}

/// The packets of an Ogg file (RFC 3533).
struct Packets<'a> {
    rest: &'a [u8],
    /// What is left of the page: lengths of segments, and their bytes.
    lacing: &'a [u8],
    body: &'a [u8],
    /// The granule position of the page.
    granule: u64,
}

const PAGE_HEADER_LEN: usize = 27;

/// A segment of this length goes on in the next one.
const SEGMENT_LEN_MAX: u8 = 255;

/// An Opus packet is at most 61,440 bytes (RFC 7845, section 6).
const PACKET_LEN_MAX: usize = 61_440;

impl<'a> Packets<'a> {
    fn new(file: &'a [u8]) -> Self {
        Self {
            rest: file,
            lacing: &[],
            body: &[],
            granule: 0,
        }
    }

    fn turn_page(&mut self) -> Result<(), ClipError> {
        if !self.rest.starts_with(b"OggS") {
            return Err(ClipError::NotOgg);
        }
        let (header, rest) = split(self.rest, PAGE_HEADER_LEN)?;
        let granule = header.get(6..14).and_then(|it| it.try_into().ok());
        let granule = granule.map_or(0, u64::from_le_bytes);
        // All ones: no packet ends on this page (RFC 3533, section 6).
        if granule != u64::MAX {
            self.granule = granule;
        }
        let segments = header.last().copied().unwrap_or(0);
        let (lacing, rest) = split(rest, usize::from(segments))?;
        let len = lacing.iter().map(|len| usize::from(*len)).sum();
        let (body, rest) = split(rest, len)?;
        (self.lacing, self.body, self.rest) = (lacing, body, rest);
        Ok(())
    }

    fn packet(&mut self) -> Result<Vec<u8>, ClipError> {
        let mut packet = Vec::new();
        loop {
            let Some((len, lacing)) = self.lacing.split_first() else {
                if self.rest.is_empty() {
                    return Err(ClipError::Cut);
                }
                self.turn_page()?;
                continue;
            };
            let (segment, body) = split(self.body, usize::from(*len))?;
            (self.lacing, self.body) = (lacing, body);
            packet.extend_from_slice(segment);
            if packet.len() > PACKET_LEN_MAX {
                return Err(ClipError::NotOpus);
            }
            if *len < SEGMENT_LEN_MAX {
                return Ok(packet);
            }
        }
    }
}

impl Iterator for Packets<'_> {
    type Item = Result<Vec<u8>, ClipError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Pages without segments are allowed, at the end too.
        while self.lacing.is_empty() {
            if self.rest.is_empty() {
                return None;
            }
            if let Err(error) = self.turn_page() {
                self.rest = &[];
                return Some(Err(error));
            }
        }
        let packet = self.packet();
        if packet.is_err() {
            (self.rest, self.lacing) = (&[], &[]);
        }
        Some(packet)
    }
}

fn split(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), ClipError> {
    bytes.split_at_checked(at).ok_or(ClipError::Cut)
}
