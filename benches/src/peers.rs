//! All relays in turn under the same loads: the side-by-side table of `make bench-peers`.

mod loads;
mod relays;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub(crate) use self::table::print;
use self::{
    loads::{LOADS, Load},
    relays::{Kind, Running},
};

/// Which relays, which loads, how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Our daemon.
    #[arg(long, value_name = "FILE", default_value = "target/release/moqrelay")]
    pub(crate) daemon: PathBuf,
    /// Its configuration; ports and workers are replaced.
    #[arg(long, value_name = "FILE", default_value = "config/open.toml")]
    pub(crate) config: PathBuf,
    /// The folder with moq-relay-ietf and moq-relay; one that is missing is left out, and the table says so.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) foreign: Option<PathBuf>,
    /// Rounds; in each every relay gets every load once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Seconds of a load that count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Seconds after a load until memory is looked at.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    after: u32,
    /// Only loads of these names.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these relays.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    relays: Vec<Kind>,
    /// The core of the relay; the load gets the other one.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// The core of the load.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Relay and load run before all other programs (SCHED_RR, needs root): for a machine on which other work goes on.
    #[arg(long)]
    realtime: bool,
    /// What was measured, one JSON object for each load, relay and round. `peers-table` prints it again.
    #[arg(long, value_name = "FILE", default_value = "target/bench-peers.json")]
    json: PathBuf,
}

/// Measures everything and prints the table.
pub(crate) fn measure(args: &Args) -> Result<()> {
    let loads: Vec<&Load> = LOADS
        .iter()
        .filter(|load| args.only.is_empty() || args.only.iter().any(|name| name == load.name))
        .collect();
    ensure!(!loads.is_empty(), "no load has such a name");
    let relays: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| args.relays.is_empty() || args.relays.contains(kind))
        .filter(|kind| kind.is_there(args))
        .collect();
    // A table is of one set of runs.
    fs::write(&args.json, "").with_context(|| args.json.display().to_string())?;
    for round in 0..args.rounds {
        for load in &loads {
            for at in 0..relays.len() {
                // Whoever goes first goes second the next time.
                let kind = relays[(at + round as usize) % relays.len()];
                if load.is_for(kind) {
                    let report = once(args, load, kind);
                    note(args, load, kind, round, report)?;
                }
            }
        }
    }
    print(&args.json)
}

/// Starts a relay, loads it, and ends it.
fn once(args: &Args, load: &Load, kind: Kind) -> Result<Value> {
    let relay = Running::start(args, load, kind)?;
    let scratch = args.json.with_extension("run");
    fs::write(&scratch, "")?;
    let mut command = pinned(args, args.load_core);
    command
        .arg(std::env::current_exe()?)
        .args(load.arguments(args.seconds, args.after))
        .args(["--url", &relay.url])
        .args(["--relay-pid", &relay.pid().to_string()])
        .arg("--json")
        .arg(&scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let status = command.status().context("taskset (util-linux)")?;
    ensure!(status.success(), "the load ended with {status}");
    let line = fs::read_to_string(&scratch)?;
    fs::remove_file(&scratch)?;
    serde_json::from_str(line.trim()).context("what the load wrote")
}

/// Writes down what came of a load; one that failed is a result, too.
fn note(args: &Args, load: &Load, kind: Kind, round: u32, report: Result<Value>) -> Result<()> {
    let report = match report {
        Ok(report) => report,
        Err(error) => serde_json::json!({ "error": format!("{error:#}") }),
    };
    let entry = table::Entry {
        load: load.name.to_owned(),
        relay: kind,
        round,
        seconds: args.seconds,
        report,
    };
    eprintln!("{entry}");
    append(&args.json, &entry)
}

fn append(file: &Path, entry: &table::Entry) -> Result<()> {
    use std::io::Write as _;
    let mut out = fs::OpenOptions::new().append(true).open(file)?;
    Ok(writeln!(out, "{}", serde_json::to_string(entry)?)?)
}

/// Begins a command on one core.
fn pinned(args: &Args, core: usize) -> Command {
    on_cores(args, &core.to_string())
}

/// Begins a command on some cores.
fn on_cores(args: &Args, cores: &str) -> Command {
    let mut command;
    if args.realtime {
        command = Command::new("chrt");
        command.args(["--rr", "1", "taskset"]);
    } else {
        command = Command::new("taskset");
    }
    command.args(["--cpu-list", cores]);
    command
}
