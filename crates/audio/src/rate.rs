use core::fmt;
use core::time::Duration;

/// How long a [`Frame`](crate::Frame) lasts: the tick of every leg.
pub const FRAME_DURATION: Duration = Duration::from_millis(20);

/// A sample rate that a leg can have: those of AudioSocket's types 0x10 to 0x18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleRate {
    /// 8 kHz, the telephone's.
    Hz8000,
    /// 12 kHz.
    Hz12000,
    /// 16 kHz, wideband telephony.
    Hz16000,
    /// 24 kHz.
    Hz24000,
    /// 32 kHz; not a rate of Opus.
    Hz32000,
    /// 44.1 kHz; not a rate of Opus.
    Hz44100,
    /// 48 kHz, the browser's.
    Hz48000,
    /// 96 kHz; not a rate of Opus.
    Hz96000,
    /// 192 kHz; not a rate of Opus.
    Hz192000,
}

impl SampleRate {
    /// Every rate, slowest first.
    pub const ALL: [Self; 9] = [
        Self::Hz8000,
        Self::Hz12000,
        Self::Hz16000,
        Self::Hz24000,
        Self::Hz32000,
        Self::Hz44100,
        Self::Hz48000,
        Self::Hz96000,
        Self::Hz192000,
    ];

    /// Returns the rate of `hz` samples per second, if it is one of these.
    #[must_use]
    pub fn from_hz(hz: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|rate| rate.hz() == hz)
    }

    /// Returns the samples per second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz12000 => 12_000,
            Self::Hz16000 => 16_000,
            Self::Hz24000 => 24_000,
            Self::Hz32000 => 32_000,
            Self::Hz44100 => 44_100,
            Self::Hz48000 => 48_000,
            Self::Hz96000 => 96_000,
            Self::Hz192000 => 192_000,
        }
    }

    /// Returns the samples of one frame of 20 ms (every rate divides evenly).
    #[must_use]
    pub const fn frame_samples(self) -> usize {
        (self.hz() / 50) as usize
    }

    /// Returns the samples in `duration`, rounded to the nearest.
    #[must_use]
    pub const fn samples_in(self, duration: Duration) -> usize {
        ((duration.as_nanos() * self.hz() as u128 + 500_000_000) / 1_000_000_000) as usize
    }

    /// Returns how long `samples` last.
    #[must_use]
    pub const fn duration_of(self, samples: usize) -> Duration {
        Duration::from_nanos((samples as u128 * 1_000_000_000 / self.hz() as u128) as u64)
    }

    /// Tells whether Opus codes and decodes at this rate without a resampler (RFC 6716 section 2).
    #[must_use]
    pub const fn is_opus(self) -> bool {
        matches!(
            self,
            Self::Hz8000 | Self::Hz12000 | Self::Hz16000 | Self::Hz24000 | Self::Hz48000
        )
    }

    /// Returns the rate at which this rate's sound should be coded with Opus: itself if it can be,
    /// else 48 kHz (see [`resample`](crate::resample)).
    #[must_use]
    pub const fn opus_rate(self) -> Self {
        if self.is_opus() { self } else { Self::Hz48000 }
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.hz())
    }
}
