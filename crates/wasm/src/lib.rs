//! The MoQT session and the jitter buffer for the browser, behind a plain C interface.
//!
//! Two halves, each a WebAssembly module of its own (features of the same names): the Worker loads
//! `session`, the playout worklet `playout`. Neither does I/O: JavaScript owns the transport, the
//! codecs and the clock, hands bytes and the time in, and carries out what comes back.
//!
//! There is no generated glue: `AudioWorkletGlobalScope` lacks what such glue needs, and numbers in
//! linear memory are enough. The rules of the border:
//!
//! - Bytes come in through one buffer: [`border::input`] returns where to write them, and the very
//!   next call reads them.
//! - What goes out is a pointer into memory that stays valid until the next call of that module.
//! - Times are milliseconds (session) or frames of 1/48000 s (playout) as `f64`, from any start.
//! - Nothing that comes in can make a call panic; results are numbers, negative ones errors.
//! - A module has one instance of its half: making a new one drops the old one. A Worker that has
//!   two sessions for a while has two instances of the module; a third one keeps their
//!   [`lines`], since a track goes on when its session changes.

pub mod border;
#[cfg(feature = "session")]
pub mod fallback;
#[cfg(feature = "session")]
pub mod lines;
#[cfg(feature = "session")]
mod map;
#[cfg(feature = "playout")]
pub mod playout;
#[cfg(feature = "session")]
pub mod session;
