//! The server over loopback sockets, with a real switchboard behind it.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod guests;
mod hostile;
mod media;
mod ops;
mod page;
mod resume;
mod signaling;
mod tickets;
mod world;
