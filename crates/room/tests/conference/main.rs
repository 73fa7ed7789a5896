//! What conferences do, one sentence each.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod coming;
mod dialling;
mod moderation;
mod outgoing;
mod random;
mod talk;
mod world;
