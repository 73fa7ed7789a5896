//! Opus for voice: libopus behind calls that know only 20 ms frames, errors as values.

use core::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::packet::{self, PacketError};
use crate::{Frame, SampleRate};

/// The largest packet the encoder makes: with its header it fits a datagram on every path.
pub const PACKET_LEN_MAX: usize = 1000;

/// How an [`Encoder`] codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The rate of the frames: 8, 12, 16, 24 or 48 kHz.
    pub rate: SampleRate,
    /// Bits per second, 6000 to 128000.
    pub bitrate_bps: u32,
    /// 0 (cheap) to 10 (best).
    pub complexity: u8,
    /// Expected loss in percent, which decides how much redundancy is spent on the previous frame;
    /// 0 turns in-band error correction off.
    pub loss_percent: u8,
}

impl Config {
    /// Returns the defaults for a rate: 24 kbit/s up to 16 kHz, 32 kbit/s above, complexity 5,
    /// error correction for 10 % of loss.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let bitrate_bps = if rate <= SampleRate::Hz16000 {
            24_000
        } else {
            32_000
        };
        Self {
            rate,
            bitrate_bps,
            complexity: 5,
            loss_percent: 10,
        }
    }
}

/// Codes frames of one rate. Never uses DTX: every frame makes a packet.
#[derive(Debug)]
pub struct Encoder {
    inner: ::opus::Encoder,
    rate: SampleRate,
}

impl Encoder {
    /// Makes an encoder.
    ///
    /// # Errors
    ///
    /// [`Error::Rate`] when Opus has no such rate, [`Error::Setting`] when a setting is out of
    /// range, [`Error::Codec`] when libopus fails (out of memory).
    pub fn new(config: Config) -> Result<Self, Error> {
        if !config.rate.is_opus() {
            return Err(Error::Rate(config.rate));
        }
        let bitrate = i32::try_from(config.bitrate_bps)
            .ok()
            .filter(|bps| BITRATE_BPS.contains(bps))
            .ok_or(Error::Setting("bitrate_bps", config.bitrate_bps))?;
        if config.complexity > 10 {
            return Err(Error::Setting("complexity", config.complexity.into()));
        }
        if config.loss_percent > 100 {
            return Err(Error::Setting("loss_percent", config.loss_percent.into()));
        }
        let mut inner = ::opus::Encoder::new(
            config.rate.hz(),
            ::opus::Channels::Mono,
            ::opus::Application::Voip,
        )?;
        inner.set_bitrate(::opus::Bitrate::Bits(bitrate))?;
        inner.set_complexity(config.complexity.into())?;
        inner.set_inband_fec(config.loss_percent > 0)?;
        inner.set_packet_loss_perc(config.loss_percent.into())?;
        inner.set_dtx(false)?;
        inner.set_lsb_depth(16)?;
        Ok(Self {
            inner,
            rate: config.rate,
        })
    }

    /// Codes one frame into one packet of 20 ms, at most [`PACKET_LEN_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// [`Error::FrameRate`] when the frame has another rate, [`Error::Codec`] when libopus fails.
    pub fn encode(&mut self, frame: &Frame) -> Result<Bytes, Error> {
        if frame.rate() != self.rate {
            return Err(Error::FrameRate {
                got: frame.rate(),
                want: self.rate,
            });
        }
        self.encode_samples(frame.samples())
    }

    /// Codes 10, 20, 40 or 60 ms into one packet, at most [`PACKET_LEN_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] when libopus fails, for any other length too.
    pub fn encode_samples(&mut self, samples: &[i16]) -> Result<Bytes, Error> {
        let mut packet = [0; PACKET_LEN_MAX];
        let len = self.inner.encode(samples, &mut packet)?;
        Ok(Bytes::copy_from_slice(&packet[..len]))
    }

    /// Spends `bps` from the next packet on; put between 6 and 128 kbit/s.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] when libopus fails; so do the other settings.
    pub fn set_bitrate(&mut self, bps: u32) -> Result<(), Error> {
        let bps = i32::try_from(bps).unwrap_or(i32::MAX);
        let bps = bps.clamp(*BITRATE_BPS.start(), *BITRATE_BPS.end());
        Ok(self.inner.set_bitrate(::opus::Bitrate::Bits(bps))?)
    }

    /// Works harder (10) or less hard (0) from the next packet on; more than 10 is 10.
    ///
    /// # Errors
    ///
    /// As [`set_bitrate`](Self::set_bitrate).
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), Error> {
        Ok(self.inner.set_complexity(complexity.min(10).into())?)
    }

    /// Codes speech as on a telephone of old, up to 4 kHz, from the next packet on, or again all that the rate has.
    /// It begins anew for it: left to itself libopus takes five seconds to get there.
    ///
    /// # Errors
    ///
    /// As [`set_bitrate`](Self::set_bitrate).
    pub fn set_narrow(&mut self, narrow: bool) -> Result<(), Error> {
        let widest = match narrow {
            true => ::opus::Bandwidth::Narrowband,
            false => ::opus::Bandwidth::Fullband,
        };
        self.inner.set_max_bandwidth(widest)?;
        self.reset()
    }

    /// Prepares for so much loss from the next packet on; 0 turns in-band error correction off.
    ///
    /// # Errors
    ///
    /// As [`set_bitrate`](Self::set_bitrate).
    pub fn set_loss_percent(&mut self, percent: u8) -> Result<(), Error> {
        self.inner.set_inband_fec(percent > 0)?;
        Ok(self.inner.set_packet_loss_perc(percent.min(100).into())?)
    }

    /// Forgets what came before: the next packet can be decoded without the ones before it.
    ///
    /// # Errors
    ///
    /// As [`set_bitrate`](Self::set_bitrate).
    pub fn reset(&mut self) -> Result<(), Error> {
        Ok(self.inner.reset_state()?)
    }

    /// Returns the rate of the frames.
    #[must_use]
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Returns the delay that coding adds (about 6.5 ms).
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] when libopus does not say.
    pub fn lookahead(&mut self) -> Result<Duration, Error> {
        let samples = self.inner.get_lookahead()?;
        Ok(self.rate.duration_of(usize::try_from(samples).unwrap_or(0)))
    }
}

/// Decodes at one rate whatever was coded at another, to mono whatever was coded in stereo.
#[derive(Debug)]
pub struct Decoder {
    /// Made when the first packet is decoded: who passes packets on never needs it.
    inner: Option<::opus::Decoder>,
    rate: SampleRate,
}

impl Decoder {
    /// Makes a decoder for 8, 12, 16, 24 or 48 kHz.
    ///
    /// # Errors
    ///
    /// [`Error::Rate`] when Opus has no such rate.
    pub fn new(rate: SampleRate) -> Result<Self, Error> {
        if !rate.is_opus() {
            return Err(Error::Rate(rate));
        }
        Ok(Self { inner: None, rate })
    }

    /// Decodes a packet of 2.5 to 60 ms and appends its samples to `out`.
    ///
    /// # Errors
    ///
    /// [`Error::Packet`] or [`Error::Codec`] when the packet is no good; `out` is unchanged and
    /// the decoder goes on: conceal the packet's duration instead.
    pub fn decode(&mut self, packet: &[u8], out: &mut Vec<i16>) -> Result<(), Error> {
        let samples = self.rate.samples_in(packet::duration(packet)?);
        self.run(packet, samples, false, out)
    }

    /// Decodes what `next` repeats of the packet before it, which was lost and `missing` long.
    /// Where `next` repeats nothing, conceals.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn recover(
        &mut self,
        next: &[u8],
        missing: Duration,
        out: &mut Vec<i16>,
    ) -> Result<(), Error> {
        packet::duration(next)?;
        self.run(next, self.whole_grains(missing), true, out)
    }

    /// Appends `missing` of sound that goes on from what was decoded last. libopus fades it only
    /// slowly: do not call this for much longer than 100 ms.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] when libopus fails.
    pub fn conceal(&mut self, missing: Duration, out: &mut Vec<i16>) -> Result<(), Error> {
        self.run(&[], self.whole_grains(missing), false, out)
    }

    /// Returns the rate of the samples.
    #[must_use]
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// libopus conceals in multiples of 2.5 ms, up to what one packet may last.
    fn whole_grains(&self, missing: Duration) -> usize {
        let grain = self.rate.samples_in(Duration::from_micros(2_500));
        let samples = self.rate.samples_in(missing.min(packet::DURATION_MAX));
        samples.div_ceil(grain) * grain
    }

    fn run(
        &mut self,
        packet: &[u8],
        samples: usize,
        fec: bool,
        out: &mut Vec<i16>,
    ) -> Result<(), Error> {
        let inner = match &mut self.inner {
            Some(inner) => inner,
            none => none.insert(::opus::Decoder::new(
                self.rate.hz(),
                ::opus::Channels::Mono,
            )?),
        };
        let start = out.len();
        out.resize(start + samples, 0);
        let result = inner.decode(packet, &mut out[start..], fec);
        out.truncate(start + result.as_ref().map_or(0, |len| (*len).min(samples)));
        result?;
        Ok(())
    }
}

/// What libopus takes for mono voice and a datagram holds.
const BITRATE_BPS: core::ops::RangeInclusive<i32> = 6_000..=128_000;

/// Why coding or decoding failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// Opus does not know the rate.
    #[error("Opus has no rate of {0}")]
    Rate(SampleRate),
    /// A setting of [`Config`] is out of range.
    #[error("{0} = {1} is out of range")]
    Setting(&'static str, u32),
    /// The frame's rate is not the encoder's.
    #[error("frame at {got} given to an encoder at {want}")]
    FrameRate {
        /// The frame's.
        got: SampleRate,
        /// The encoder's.
        want: SampleRate,
    },
    /// The packet is refused by its header.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// libopus refused.
    #[error("libopus: {0}")]
    Codec(&'static str),
}

impl From<::opus::Error> for Error {
    fn from(error: ::opus::Error) -> Self {
        Self::Codec(error.code().description())
    }
}
