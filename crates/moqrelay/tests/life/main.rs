//! The daemon's life as its operator and its clients meet it: reload, upgrade, an end that loses nothing.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

#[path = "../../../relay/tests/common/mod.rs"]
mod common;
mod end;
mod program;
mod reload;
mod upgrade;
