//! What an idle session takes of a relay's memory, and whether it comes back after a load.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{
    engine::{self, Plan, Times},
    house::{self, House},
    one_thread,
    source::{Mode, Stuff},
};
use crate::{
    figures::short,
    proc,
    table::{Row, Verdict},
};

/// How many sessions, and how long to wait.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    house: house::Args,
    /// Sessions that do nothing.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sessions: u32,
    /// Subscribers of the load that follows, voice by one long subgroup.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=5000))]
    subscribers: u32,
    /// Seconds that the load lasts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Seconds after the load until memory is looked at.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    after: u64,
    /// Appends the figures to this file as a JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The figures; memory in bytes resident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) what: String,
    pub(crate) carrier: String,
    pub(crate) sessions: u32,
    /// Without sessions.
    pub(crate) empty: u64,
    /// What each idle session adds.
    pub(crate) each: f64,
    /// While the load ran.
    pub(crate) loaded: u64,
    /// Some time after the last session ended.
    pub(crate) after: u64,
}

/// Until memory has its size after sessions were opened.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures it.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>> {
    let house = House::open(&args.house)?;
    let report = one_thread()?.block_on(run(args, &house))?;
    super::report::append(args.json.as_deref(), &report)?;
    let mb = |bytes: u64| short(bytes as f64 / 1e6);
    let figures = format!(
        "{} KB for each idle session; {} MB without, {} MB under load, {} MB {} s after it ({} %)",
        short(report.each / 1e3),
        mb(report.empty),
        mb(report.loaded),
        mb(report.after),
        args.after,
        short((report.after as f64 / report.empty as f64 - 1.0) * 100.0),
    );
    let method = format!(
        "VmRSS of the relay, which has served {FIRST} sessions before; {} sessions over {} without a request; then voice to {} \
         subscribers for {} s, all closed.",
        report.sessions, report.carrier, args.subscribers, args.seconds
    );
    Ok(vec![Row::new(
        report.what,
        figures,
        "",
        Verdict::Info,
        method,
    )])
}

async fn run(args: &Args, house: &House) -> Result<Report> {
    let pid = house
        .pid
        .context("memory is that of a process: name it with --relay-pid")?;
    let plan = |members, talkers| Plan {
        what: String::new(),
        rooms: 1,
        members,
        talkers,
        publishers: 1,
        slow: 0,
        stuff: Stuff {
            mode: Mode::Groups(None),
            rate: 50,
            size: 80,
            first_size: 80,
            levels: false,
        },
        times: Times::of_seconds(args.seconds),
    };
    // What the first sessions need once, the program's own pages too, is not the price of the others.
    engine::run(
        &Plan {
            times: Times::of_seconds(1),
            ..plan(FIRST, 1)
        },
        house,
        0,
    )
    .await?;
    let few = engine::enter(&plan(FIRST, 0), house.targets(), &Arc::default()).await?;
    sleep(SETTLE).await;
    let before = proc::resident_bytes(pid)?;
    let idle = engine::enter(&plan(args.sessions, 0), house.targets(), &Arc::default()).await?;
    sleep(SETTLE).await;
    let each = proc::resident_bytes(pid)?.saturating_sub(before) as f64 / f64::from(args.sessions);
    engine::leave(&few);
    engine::leave(&idle);
    let load = engine::run(&plan(args.subscribers + 1, 1), house, 1).await?;
    sleep(Duration::from_secs(args.after)).await;
    Ok(Report {
        what: "memory".into(),
        carrier: house.target.carrier.name().into(),
        sessions: args.sessions,
        empty: before,
        each,
        loaded: load.resident_after.unwrap_or(0),
        after: proc::resident_bytes(pid)?,
    })
}

/// Sessions that talked, and sessions that are there, before memory is first looked at.
const FIRST: u32 = 8;
