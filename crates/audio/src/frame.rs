use thiserror::Error;

use crate::SampleRate;

/// 20 ms of mono PCM, 16 bits, at a known rate.
///
/// Always holds exactly [`SampleRate::frame_samples`] samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    rate: SampleRate,
    samples: Box<[i16]>,
}

impl Frame {
    /// Makes a frame of zeros.
    #[must_use]
    pub fn silence(rate: SampleRate) -> Self {
        Self {
            rate,
            samples: vec![0; rate.frame_samples()].into_boxed_slice(),
        }
    }

    /// Makes a frame of `samples`.
    ///
    /// # Errors
    ///
    /// [`FrameError::Len`] unless they are exactly 20 ms.
    pub fn new(rate: SampleRate, samples: &[i16]) -> Result<Self, FrameError> {
        let mut frame = Self::silence(rate);
        frame.copy_from(samples)?;
        Ok(frame)
    }

    /// Makes a frame of 16-bit little-endian samples, as AudioSocket carries them.
    ///
    /// # Errors
    ///
    /// [`FrameError::Len`] unless they are exactly 20 ms.
    pub fn from_le_bytes(rate: SampleRate, bytes: &[u8]) -> Result<Self, FrameError> {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if pairs.len() != rate.frame_samples() || !rest.is_empty() {
            return Err(FrameError::Len {
                rate,
                samples: bytes.len() / 2,
            });
        }
        let samples = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        Ok(Self { rate, samples })
    }

    /// Returns the rate.
    #[must_use]
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Returns the samples.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Returns the samples to write to.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.samples
    }

    /// Replaces the samples without allocating.
    ///
    /// # Errors
    ///
    /// [`FrameError::Len`] unless they are exactly 20 ms; the frame is unchanged.
    pub fn copy_from(&mut self, samples: &[i16]) -> Result<(), FrameError> {
        if samples.len() != self.samples.len() {
            return Err(FrameError::Len {
                rate: self.rate,
                samples: samples.len(),
            });
        }
        self.samples.copy_from_slice(samples);
        Ok(())
    }

    /// Appends the samples to `out`, 16 bits little-endian, as AudioSocket carries them.
    pub fn write_le(&self, out: &mut impl Extend<u8>) {
        out.extend(self.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    }
}

/// Why samples are no [`Frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// They are not 20 ms long.
    #[error("{samples} samples are not 20 ms at {rate}")]
    Len {
        /// The rate they should have.
        rate: SampleRate,
        /// How many there are.
        samples: usize,
    },
}
