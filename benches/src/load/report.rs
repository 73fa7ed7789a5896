//! What a run gave, as JSON and as a row.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Common;
use crate::{
    figures::{Runs, short},
    table::{Row, Verdict},
};

/// The figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The load.
    pub(crate) what: String,
    /// What carried the sessions.
    pub(crate) carrier: String,
    pub(crate) sessions: u32,
    /// All sessions, tracks and subscriptions together.
    pub(crate) set_up_ms: f64,
    /// How long it was looked at.
    pub(crate) seconds: f64,
    /// Objects that publishers sent.
    pub(crate) sent: u64,
    /// Objects that should have been heard, all subscribers together, …
    pub(crate) wanted: u64,
    /// … and those that were.
    pub(crate) heard: u64,
    /// What is missing, as a part of all.
    pub(crate) lost: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// Objects a second, all subscribers together.
    pub(crate) delivered_each_s: f64,
    /// Payload.
    pub(crate) mbit_each_s: f64,
    /// The relay's CPU time by the objects delivered meanwhile.
    pub(crate) cpu_us_each: Option<f64>,
    /// Cores that the relay had, on average.
    pub(crate) relay_cores: Option<f64>,
    /// How long the relay's threads waited for a core, each time.
    pub(crate) relay_waited_ms: Option<f64>,
    pub(crate) generator_cores: f64,
    pub(crate) other_cores: f64,
    /// Bytes of memory that the relay had when the load began to count, and when it ended.
    pub(crate) resident_before: Option<u64>,
    pub(crate) resident_after: Option<u64>,
    /// Of the sessions that read: what the one heard that heard least, and the one that heard most.
    pub(crate) least_heard: u64,
    pub(crate) most_heard: u64,
    /// Sessions that ended before the load did.
    pub(crate) lost_sessions: usize,
}

/// Losses of this part of the objects make a run invalid as a latency figure.
const LOST_MAX: f64 = 0.001;

impl Report {
    /// Appends it to a file, if there is one.
    pub(crate) fn append(&self, file: Option<&Path>) -> Result<()> {
        append(file, self)
    }
}

/// Appends a line of JSON to a file, if there is one.
pub(super) fn append(file: Option<&Path>, what: &impl Serialize) -> Result<()> {
    let Some(file) = file else {
        return Ok(());
    };
    let mut out = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .with_context(|| file.display().to_string())?;
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(())
}

/// Sums up the runs of one load.
pub(super) fn row(common: &Common, reports: &[Report]) -> Row {
    let over = |part: fn(&Report) -> f64| Runs::of(reports.iter().map(part));
    let (p99, lost) = (over(|run| run.p99_ms), over(|run| run.lost));
    let cpu = over(|run| run.cpu_us_each.unwrap_or(f64::NAN));
    let grown = over(|run| {
        let grown = run.resident_after.zip(run.resident_before);
        grown.map_or(0.0, |(after, before)| (after as f64 - before as f64) / 1e6)
    });
    let rate = over(|run| run.delivered_each_s);
    let figures = format!(
        "p50 {}, p99 {}, max {}; CPU {}/object; {} objects/s; lost {} %; relay {} of a core, waited {} ms for it each \
         time, grew by {} MB; generator {} of a core; other programs had {} cores; sessions heard {} to {} objects{}",
        over(|run| run.p50_ms).text("ms"),
        p99.text("ms"),
        over(|run| run.max_ms).text("ms"),
        cpu.text("µs"),
        short(rate.median),
        short(lost.median * 100.0),
        short(over(|run| run.relay_cores.unwrap_or(f64::NAN)).median),
        short(over(|run| run.relay_waited_ms.unwrap_or(f64::NAN)).median),
        short(grown.median),
        short(over(|run| run.generator_cores).median),
        short(over(|run| run.other_cores).median),
        reports.iter().map(|run| run.least_heard).min().unwrap_or(0),
        reports.iter().map(|run| run.most_heard).max().unwrap_or(0),
        match reports.iter().map(|run| run.lost_sessions).sum::<usize>() {
            0 => String::new(),
            lost => format!("; {lost} sessions were lost"),
        },
    );
    let (goal, verdict) = verdict(common, p99.median, cpu.median, lost.median, rate.median);
    let first = &reports[0];
    let method = format!(
        "{} sessions over {}, {} objects sent in {} runs of {} s, median (range); publisher's write to subscriber's read \
         in one process on one clock, both QUIC stacks included; relay's CPU time of all threads by objects delivered.",
        first.sessions,
        first.carrier,
        reports.iter().map(|run| run.sent).sum::<u64>(),
        reports.len(),
        short(first.seconds),
    );
    Row::new(
        format!("relay, {}", first.what),
        figures,
        goal,
        verdict,
        method,
    )
}

fn verdict(common: &Common, p99: f64, cpu: f64, lost: f64, rate: f64) -> (String, Verdict) {
    let mut goals = Vec::new();
    let mut met = true;
    if let Some(goal) = common.goal_p99 {
        goals.push(format!("p99 ≤ {goal} ms, none lost"));
        met &= p99 <= goal && lost <= LOST_MAX;
    }
    if let Some(goal) = common.goal_cpu {
        goals.push(format!("CPU ≤ {goal} µs/object"));
        met &= cpu <= goal;
    }
    if let Some(goal) = common.goal_rate {
        goals.push(format!("{goal} objects/s, none lost"));
        met &= rate >= goal && lost <= LOST_MAX;
    }
    if goals.is_empty() {
        return (String::new(), Verdict::Info);
    }
    (goals.join("; "), Verdict::of(met))
}
