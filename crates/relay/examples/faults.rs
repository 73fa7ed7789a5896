//! Lets two clients talk through a bad network and prints what arrived, one line for each fault.
//!
//! `deploy/dev/faults` runs it. Status 1 when a session has ended.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program that measures, with what the tests share"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{process::ExitCode, time::Duration};

use common::{
    open_relay,
    voice::{Call, Heard},
};
use moqrelay_testkit::{Impairment, Proxy};

/// Voice objects in each line: 5 s.
const OBJECTS: u64 = 250;

const MS: Duration = Duration::from_millis(1);

const GOOD: Impairment = Impairment {
    lost_of_1000: 0,
    delay: Duration::ZERO,
    jitter: Duration::ZERO,
    early_of_1000: 0,
    bytes_per_second: None,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let lost = |lost_of_1000| Impairment {
        lost_of_1000,
        delay: 20 * MS,
        ..GOOD
    };
    let lines = [
        ("nothing", GOOD),
        (
            "delay 100 ms",
            Impairment {
                delay: 100 * MS,
                ..GOOD
            },
        ),
        (
            "delay 20 ms, jitter 50 ms",
            Impairment {
                delay: 20 * MS,
                jitter: 50 * MS,
                ..GOOD
            },
        ),
        (
            "delay 20 ms, 5 % overtake",
            Impairment {
                delay: 20 * MS,
                early_of_1000: 50,
                ..GOOD
            },
        ),
        ("loss 1 %", lost(10)),
        ("loss 5 %", lost(50)),
        ("loss 10 %", lost(100)),
        ("loss 20 %", lost(200)),
        (
            "20 kB/s",
            Impairment {
                bytes_per_second: Some(20_000),
                ..GOOD
            },
        ),
        (
            "5 kB/s (voice needs 7)",
            Impairment {
                bytes_per_second: Some(5_000),
                ..GOOD
            },
        ),
        (
            "loss 20 %, jitter 50 ms, 5 % overtake, 20 kB/s",
            Impairment {
                jitter: 50 * MS,
                early_of_1000: 50,
                bytes_per_second: Some(20_000),
                ..lost(200)
            },
        ),
    ];
    println!("Two clients, voice as datagrams both ways, 5 s; one is behind the network named.");
    println!(
        "{:<58} {:>9} {:>8} {:>8} {:>8}  alive",
        "network", "delivered", "p50", "p99", "gap"
    );
    let mut alive = true;
    for (name, impairment) in lines {
        alive &= line(name, impairment, false).await;
    }
    alive &= line("a NAT gives the client another address", GOOD, true).await;
    alive &= line("the same with loss 10 %", lost(100), true).await;
    match alive {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

async fn line(name: &str, impairment: Impairment, moves: bool) -> bool {
    let relay = open_relay();
    let proxy = Proxy::start(relay.addr(), GOOD, 42).await.unwrap();
    let mut call = Call::begin(proxy.addr(), relay.addr()).await;
    proxy.change(impairment).await;
    if moves {
        call.talk(OBJECTS / 2).await;
        proxy.rebind().await;
    }
    let [behind, elsewhere] = call.talk(OBJECTS).await;
    // The question is whether the sessions have outlived it, not whether an answer gets through.
    proxy.change(GOOD).await;
    let sessions = relay.relay.stats().sessions;
    for (side, heard) in [("to it", behind), ("from it", elsewhere)] {
        print(&format!("{name}, {side}"), &heard, sessions == 2);
    }
    if sessions == 2 {
        call.is_alive().await;
    }
    sessions == 2
}

fn print(name: &str, heard: &Heard, alive: bool) {
    let at = |per_cent: usize| {
        let latency = heard.latencies.get(heard.latencies.len() * per_cent / 100);
        latency.map_or_else(|| "-".to_owned(), |latency| ms(*latency))
    };
    println!(
        "{name:<58} {:>7.1} % {:>8} {:>8} {:>8}  {}",
        heard.objects as f64 * 100.0 / OBJECTS as f64,
        at(50),
        at(99),
        ms(heard.gap),
        if alive { "yes" } else { "NO" },
    );
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
