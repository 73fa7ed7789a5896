//! What a daemon takes when nobody is there.

use std::{thread, time::Duration};

use anyhow::Result;

use crate::{
    daemon::{self, Daemon, Doors},
    proc,
    table::{Row, Verdict},
};

/// What to start.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    daemon: daemon::Args,
    /// Seconds until memory is looked at again.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// The goal: 30 MB.
const RESIDENT_MAX: f64 = 30e6;

/// Measures the memory right after the start and some seconds later.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>> {
    let daemon = Daemon::start(&args.daemon, Doors::Open)?;
    let first = proc::resident_bytes(daemon.pid())? as f64;
    let cpu = proc::Cpu::of(daemon.pid())?;
    thread::sleep(Duration::from_secs(args.seconds));
    let later = proc::resident_bytes(daemon.pid())? as f64;
    let cpu = proc::Cpu::of(daemon.pid())?.since(cpu);
    Ok(vec![Row::new(
        "idle daemon",
        format!(
            "{:.1} MB resident when ready, {:.1} MB {} s later; {:.2} % of a core",
            first / 1e6,
            later / 1e6,
            args.seconds,
            cpu.used.as_secs_f64() * 100.0 / args.seconds as f64
        ),
        "≤ 30 MB resident",
        Verdict::of(first.max(later) <= RESIDENT_MAX),
        "VmRSS of the daemon's process with config/open.toml, no session, page not asked for.",
    )])
}
