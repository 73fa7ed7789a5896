//! What only tests and benches need: a bad network (the kernel's own, netem, is not everywhere), and a client that
//! believes every certificate.
//!
//! [`Wire`] decides what happens to a packet, without I/O and by a seed; [`Proxy`] carries it out
//! between UDP sockets.

mod believer;
mod proxy;
mod wire;

pub use believer::believing;
pub use proxy::Proxy;
pub use wire::{Impairment, Wire};
