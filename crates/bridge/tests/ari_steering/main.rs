//! What call steering decides, without Asterisk and without sockets.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[expect(unreachable_pub, reason = "a module of a test")]
#[path = "../desk/mod.rs"]
mod desk;

mod connection;
mod handover;
mod incoming;
mod outgoing;
mod roads;
mod set_up;
mod talking;
