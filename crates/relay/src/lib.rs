//! MoQ sessions over WebTransport and QUIC, the track table, fan-out.
//!
//! [`Relay`] holds the tracks; the rest of the process publishes and subscribes through it.
//! [`server`] adds sessions: browsers and other MoQ peers on one UDP port. Objects stay opaque.

mod admission;
mod auth;
mod budget;
mod endpoint;
pub mod fallback;
mod handshake;
pub mod inspect;
mod limits;
mod load;
pub mod mlog;
mod qlog;
mod relay;
mod reuseport;
mod revocation;
mod server;
mod session;
mod slab;
mod stats;
mod table;
mod takeover;
pub mod tls;
pub mod track;
mod transport;
mod worker;

pub use auth::{AuthError, Authorize, Grants};
pub use limits::{CacheLimits, CachePolicy, Limits, TrackLimits};
pub use load::WorkerView;
/// Names of tracks, for crates that know `relay` and not `moqt`.
pub use moqrelay_moqt::{FullTrackName, NameError, Namespace};
pub use relay::{PublishError, Relay};
pub use revocation::Rights;
pub use server::{Config as ServerConfig, Error as ServerError, Server, server, successor};
pub use stats::Stats;
pub use table::Config;
pub use takeover::{Elder, Estate, Keep};
pub use worker::Worker;
