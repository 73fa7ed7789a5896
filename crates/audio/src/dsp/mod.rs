//! What is done to PCM between socket and codec: each stage takes 20 ms in place, without allocating.
//!
//! Which stages a leg has, in which order and at what cost: `docs/adr/0018-audio-pipeline.md`.

mod clip;
mod comfort;
mod dc;
mod fade;
mod gain;
mod loopback;
#[cfg(feature = "noise")]
mod noise;

pub use clip::clipped;
pub use comfort::{ComfortNoise, LOUDEST, SOFTEST};
pub use dc::DcBlocker;
pub use fade::{fade_in, fade_out};
pub use gain::{GAIN_MAX_DB, LevelControl, TARGET_DBOV, TOLERANCE_DB};
pub use loopback::{Loop, LoopWatch};
#[cfg(feature = "noise")]
pub use noise::NoiseSuppressor;
