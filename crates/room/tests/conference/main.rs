//! What conferences do, one sentence each.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod activity;
mod coming;
mod comings;
mod dialling;
mod files;
mod moderation;
mod outgoing;
mod programs;
mod random;
mod talk;
mod world;
