//! The sound of a leg through an external service and back: noise suppression, captions, a voice bot.
//!
//! A [`Processor`] is a service of the configuration; a [`Session`] is one leg's stream to it over gRPC
//! (`proto/moqrelay/processor/v1/processor.proto`). Whoever has the leg gives it frames of 20 ms and gets each of them
//! back exactly once, in order: as the service's answer, or as it was when the answer is not there in time. A service
//! that is slow, dead or mad costs the leg at most the deadline of a few frames; then its [breaker](breaker) is open.
//!
//! Who needs which processor is decided elsewhere, and nothing here knows of MoQ.

pub mod aligner;
pub mod breaker;
mod config;
mod meters;
mod session;
pub mod v1;

pub use config::{Config, ConfigError, Direction, Fallback, Processor};
pub use session::{About, Output, Session};
