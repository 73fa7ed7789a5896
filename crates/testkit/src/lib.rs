//! A bad network, for tests and benches only: the kernel's own (netem) is not everywhere.
//!
//! [`Wire`] decides what happens to a packet, without I/O and by a seed; [`Proxy`] carries it out
//! between UDP sockets.

mod proxy;
mod wire;

pub use proxy::Proxy;
pub use wire::{Impairment, Wire};
