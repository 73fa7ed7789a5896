use core::fmt::Debug;

/// A PCM sample: `i16` on the server, `f32` (full scale ±1) in the browser.
pub trait Sample: Copy + Default + Debug + PartialEq + sealed::Sealed + 'static {
    /// Returns the sample with full scale ±1.
    fn to_f32(self) -> f32;
    /// Makes a sample of a value with full scale ±1; what is beyond is clipped, NaN is silence.
    fn from_f32(value: f32) -> Self;
    /// Returns the sum of the squares, with full scale ±1.
    fn power(samples: &[Self]) -> f64;
}

impl Sample for i16 {
    fn to_f32(self) -> f32 {
        f32::from(self) / 32_768.0
    }

    fn from_f32(value: f32) -> Self {
        // A float to integer cast saturates and maps NaN to 0.
        (value * 32_768.0).round() as i16
    }

    fn power(samples: &[Self]) -> f64 {
        // In whole numbers, which a processor adds several of at a time; no sum is too long for 64 bits.
        let square = |sample: &i16| u64::from(i32::from(*sample).pow(2).unsigned_abs());
        let sum: u64 = samples.iter().map(square).sum();
        sum as f64 / (32_768.0 * 32_768.0)
    }
}

impl Sample for f32 {
    fn to_f32(self) -> f32 {
        if self.is_nan() { 0.0 } else { self }
    }

    fn from_f32(value: f32) -> Self {
        if value.is_nan() {
            0.0
        } else {
            value.clamp(-1.0, 1.0)
        }
    }

    fn power(samples: &[Self]) -> f64 {
        let square = |sample: &f32| f64::from(sample.to_f32()).powi(2);
        samples.iter().map(square).sum()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i16 {}
    impl Sealed for f32 {}
}
