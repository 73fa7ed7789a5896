//! PCM frames, Opus, jitter buffer, mixing, levels, tones.
//!
//! Nothing here does I/O or reads a clock: time is a [`core::time::Duration`] since a start that
//! the caller chooses, the same for every call on one value. Without the feature `opus` the crate
//! compiles to WebAssembly, where the browser's playout worklet runs [`playout::PcmPlayer`].
//!
//! - To play a track: [`playout::OpusPlayer`] (packets in, PCM out, native) or
//!   [`playout::PcmPlayer`] (decoded PCM in, PCM out, browser). Both hold a [`jitter::Buffer`].
//! - To make one: [`opus::Encoder`], with [`level`] for the Audio Level property.
//! - To combine them: [`mix::Bus`]; a whole room: [`conference::Mixer`], with [`speakers`] for who is heard, and
//!   [`claims`] where levels are somebody's word.
//! - To mend a line's sound on the way: [`dsp`]; to hear digits in it: [`dtmf`].
//! - To choose how a voice is sent: [`mode`].
//! - To keep recorded sounds: `clip` (with the feature `opus`).

pub mod claims;
#[cfg(feature = "opus")]
pub mod clip;
pub mod conceal;
pub mod conference;
pub mod dsp;
pub mod dtmf;
pub mod emodel;
mod frame;
pub mod g711;
pub mod g722;
pub mod jitter;
pub mod level;
pub mod mix;
pub mod mode;
#[cfg(feature = "opus")]
pub mod opus;
pub mod packet;
pub mod playout;
mod rate;
pub mod resample;
mod sample;
pub mod speakers;
pub mod stretch;
mod ticks;
pub mod tone;
#[cfg(feature = "opus")]
mod wav;

pub use frame::{Frame, FrameError};
pub use rate::{FRAME_DURATION, SampleRate};
pub use sample::Sample;
