//! Audio legs to Asterisk, call steering by ARI, and the built-in parties.
//!
//! [`Bridge::bind`] opens the AudioSocket listener and returns a handle, a queue of events and a future that must be
//! run; a connection whose UUID was announced by [`Bridge::expect`] becomes a leg, whether Asterisk makes it or we do
//! by [`Bridge::reach`]. What a telephone says is the track
//! `room/<room>/<participant>` `audio`, and what it hears is the sum of the tracks it listens to.
//!
//! Who hears whom, and when a call ends, is decided elsewhere: the bridge does what it is told and reports.

pub mod ami;
pub mod ari;
mod bridge;
mod codec;
mod dial;
mod exchange;
mod expectation;
mod governor;
mod identify;
pub mod leg;
mod media;
mod meters;
mod place;
mod publication;
mod seats;
mod server;
pub mod service;
mod wheel;

pub use bridge::{Bridge, CommandError, Config, Event, Events, Listeners, Stray, Way};
pub use codec::Codec;
pub use dial::{Site, TlsConnector};
pub use leg::LegId;
pub use media::{Credentials, Knock, Securing, TlsAcceptor};
pub use moqrelay_audio::{
    clip::{Clip, ClipError},
    conference::Chime,
};
pub use place::Place;
pub use service::Service;
