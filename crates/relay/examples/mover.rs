//! Two clients in a network namespace talk through a relay elsewhere, and then the address of their
//! machine changes. Prints how long they were silent; status 1 when it was too long.
//!
//! `deploy/dev/netns` makes the namespaces: `mover RELAY LINK ADDRESS`, where LINK is the link whose
//! only address is to become ADDRESS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program that measures, with what the tests share"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use common::voice::Call;

/// What a call may be silent for when an address changes.
const SILENCE_MAX: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().expect("usage: mover RELAY LINK ADDRESS");
    let (relay, link, address) = (next().parse().unwrap(), next(), next());
    let mut call = Call::begin(relay, relay).await;
    call.talk(50).await;

    let began = Instant::now();
    let changed = tokio::task::spawn_blocking(move || {
        for args in [
            vec!["addr", "flush", "dev", &link],
            vec!["addr", "add", &address, "dev", &link],
        ] {
            assert!(Command::new("ip").args(args).status().unwrap().success());
        }
        began.elapsed()
    });
    let heard = call.talk(100).await;

    println!(
        "the address was changed within {:.1?}",
        changed.await.unwrap()
    );
    let mut quick = true;
    for (who, heard) in ["one", "the other"].into_iter().zip(heard) {
        println!("{who} heard {heard:?}");
        quick &= heard.gap < SILENCE_MAX && heard.objects > 60;
    }
    call.is_alive().await;
    match quick {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
