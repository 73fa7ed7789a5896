use core::fmt::Debug;

/// A PCM sample: `i16` on the server, `f32` (full scale ±1) in the browser.
pub trait Sample: Copy + Default + Debug + PartialEq + sealed::Sealed + 'static {
    /// Returns the sample with full scale ±1.
    fn to_f32(self) -> f32;
    /// Makes a sample of a value with full scale ±1; what is beyond is clipped, NaN is silence.
    fn from_f32(value: f32) -> Self;
}

impl Sample for i16 {
    fn to_f32(self) -> f32 {
        f32::from(self) / 32_768.0
    }

    fn from_f32(value: f32) -> Self {
        // A float to integer cast saturates and maps NaN to 0.
        (value * 32_768.0).round() as i16
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
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i16 {}
    impl Sealed for f32 {}
}
