//! Prints what a leg makes of lost and late packets, a line for each network: gaps, delay, whether a tone is heard.
//!
//! `deploy/dev/faults` runs it, in virtual time. Status 1 when a goal is missed.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    unreachable_pub,
    reason = "a program that measures, with what the tests share"
)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/tone_call.rs"]
mod tone_call;

use std::process::ExitCode;

use common::Conditions;
use tone_call::ToneCall;

/// Seconds of each call.
const SECONDS: usize = 65;

fn main() -> ExitCode {
    println!(
        "A tone by Opus to a leg, a minute; FEC and packet length follow the loss that is measured."
    );
    println!(
        "{:<26} {:>7} {:>8} {:>8} {:>12} {:>14} {:>7}",
        "network", "mode", "delay", "most", "longest gap", "made up", "tone"
    );
    let mut met = true;
    let networks = [
        (0.0, 0.0),
        (0.01, 10.0),
        (0.05, 30.0),
        (0.10, 30.0),
        (0.20, 30.0),
    ];
    for (loss, jitter_ms) in networks {
        for saving in [false, true] {
            let conditions = Conditions {
                loss,
                jitter_ms,
                ..Conditions::default()
            };
            let call = ToneCall::run(SECONDS, saving, conditions);
            println!(
                "{:<26} {:>7} {:>5.0} ms {:>5.0} ms {:>9} ms {:>9.1} ms/s {:>4}/{}",
                format!("loss {:.0} %, jitter {jitter_ms:.0} ms", loss * 100.0),
                if saving { "saving" } else { "steady" },
                call.delay_ms,
                call.delay_max_ms,
                call.gap_ms,
                call.concealed_ms / SECONDS as f64,
                call.seconds_with_tone,
                call.seconds,
            );
            if loss <= 0.05 {
                met &= call.gap_ms <= 60
                    && call.delay_max_ms <= 120.0
                    && call.seconds_with_tone == call.seconds;
            }
        }
    }
    if met {
        ExitCode::SUCCESS
    } else {
        println!(
            "goal missed: gaps to 60 ms, delay to 120 ms, the tone in every second, up to 5 % of loss"
        );
        ExitCode::FAILURE
    }
}
