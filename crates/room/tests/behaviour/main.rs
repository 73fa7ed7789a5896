//! What the switchboard does, one sentence each.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod calls;
mod day;
mod devices;
mod diverting;
mod holding;
mod lamps;
mod limits;
mod parking;
mod presence;
mod random;
mod telephone;
mod transfers;
mod world;
