//! Side by side: medians, spread, ratios, goals.

use std::{fmt, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    loads::{Field, Figure, Goal, LOADS, Load},
    relays::Kind,
};
use crate::{
    figures::{Runs, short},
    proc,
};

/// What one relay made of one load in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) load: String,
    pub(super) relay: Kind,
    pub(super) round: u32,
    pub(super) seconds: u32,
    /// What the load's `--json` wrote, or `error`.
    pub(super) report: Value,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "round {} {:16} {:14}",
            self.round + 1,
            self.load,
            self.relay.to_string()
        )?;
        if let Some(error) = self.report["error"].as_str() {
            return write!(f, " {error}");
        }
        for figure in Load::named(&self.load).map_or(&[][..], |load| load.figures) {
            match figure.field.of(&self.report) {
                Some(value) => write!(f, " {} {};", short(value), figure.unit)?,
                None => write!(f, " ? {};", figure.unit)?,
            }
        }
        if let Some(generator) = self.report["generator_cores"].as_f64() {
            write!(f, " generator {} of a core", short(generator))?;
        }
        Ok(())
    }
}

impl Field {
    /// Takes a figure out of a report.
    fn of(self, report: &Value) -> Option<f64> {
        let number = |name: &str| report[name].as_f64();
        match self {
            Self::CpuEach => number("cpu_us_each"),
            Self::P99 => number("p99_ms"),
            Self::Rate => number("delivered_each_s"),
            Self::Lost => Some(number("lost")? * 100.0),
            Self::Alike => Some(number("least_heard")? / number("most_heard")?.max(1.0) * 100.0),
            Self::IdleSession => Some(number("each")? / 1e3),
            Self::NotGivenBack => Some((number("after")? / number("empty")? - 1.0) * 100.0),
            Self::NewSession => number("cpu_ms_each"),
        }
    }
}

/// Prints what a file of entries says as a Markdown table.
pub(crate) fn print(file: &Path) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let entries = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not an entry: {line}")))
        .collect::<Result<Vec<Entry>>>()?;
    print!("{}", render(&entries));
    println!("\n{}", machine(&entries));
    Ok(())
}

fn render(entries: &[Entry]) -> String {
    let mut out = String::from(
        "| load | figure | moq-relay-ietf | moq-relay | bare quinn | moqrelay | / bare | / ietf | goal | |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for load in LOADS {
        if !entries.iter().any(|entry| entry.load == load.name) {
            continue;
        }
        for (n, figure) in load.figures.iter().enumerate() {
            out += &line(entries, load, figure, n == 0);
        }
    }
    out
}

fn line(entries: &[Entry], load: &Load, figure: &Figure, first: bool) -> String {
    let of = |kind| runs(entries, load.name, kind, figure.field);
    let ours = of(Kind::Ours);
    let ratio = |kind| match (ours, of(kind)) {
        (Some(ours), Some(other))
            if figure.unit.starts_with('µ') || figure.unit.starts_with("ms") =>
        {
            format!("{:.2}", ours.median / other.median)
        }
        _ => String::new(),
    };
    let goals: Vec<String> = figure.goals.iter().map(Goal::text).collect();
    let reached: Vec<Option<bool>> = figure
        .goals
        .iter()
        .map(|goal| goal.is_met(ours?.median, entries, load, figure.field))
        .collect();
    let verdict = if reached.is_empty() {
        ""
    } else if reached.contains(&Some(false)) {
        "**missed**"
    } else if reached.contains(&None) {
        "?"
    } else {
        "met"
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {verdict} |\n",
        if first { load.what } else { "" },
        figure.unit,
        cell(entries, load, of(Kind::Ietf), Kind::Ietf),
        cell(entries, load, of(Kind::MoqDev), Kind::MoqDev),
        cell(entries, load, of(Kind::Bare), Kind::Bare),
        cell(entries, load, ours, Kind::Ours),
        ratio(Kind::Bare),
        ratio(Kind::Ietf),
        goals.join(", "),
    )
}

fn cell(entries: &[Entry], load: &Load, runs: Option<Runs>, kind: Kind) -> String {
    let failed = entries
        .iter()
        .filter(|entry| entry.load == load.name && entry.relay == kind)
        .filter(|entry| entry.report.get("error").is_some())
        .count();
    let failed = match failed {
        0 => String::new(),
        n => format!(", {n} failed"),
    };
    match runs {
        None if failed.is_empty() => "–".to_owned(),
        None => format!("–{failed}"),
        Some(runs) => format!(
            "{} ({}–{}){failed}",
            short(runs.median),
            short(runs.low),
            short(runs.high)
        ),
    }
}

fn runs(entries: &[Entry], load: &str, kind: Kind, field: Field) -> Option<Runs> {
    let values: Vec<f64> = entries
        .iter()
        .filter(|entry| entry.load == load && entry.relay == kind)
        .filter_map(|entry| field.of(&entry.report))
        .collect();
    (!values.is_empty()).then(|| Runs::of(values))
}

impl Goal {
    fn text(&self) -> String {
        match self {
            Self::Times(times, kind) => format!("≤ {times} x {kind}"),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::TimesLoad(times, load) => format!("≤ {times} x {load}"),
        }
    }

    /// Tells whether ours reaches it; `None`: what it is compared with was not measured.
    fn is_met(&self, ours: f64, entries: &[Entry], load: &Load, field: Field) -> Option<bool> {
        let most = match *self {
            Self::AtMost(most) => most,
            Self::AtLeast(least) => return Some(ours >= least),
            Self::Times(times, kind) => times * runs(entries, load.name, kind, field)?.median,
            Self::TimesLoad(times, other) => {
                times * runs(entries, other, Kind::Ours, field)?.median
            }
        };
        Some(ours <= most)
    }
}

fn machine(entries: &[Entry]) -> String {
    let rounds = entries
        .iter()
        .map(|entry| entry.round + 1)
        .max()
        .unwrap_or(0);
    let seconds = entries.first().map_or(0, |entry| entry.seconds);
    let kernel = Command::new("uname").arg("-r").output();
    let kernel = kernel.map_or_else(
        |_| String::new(),
        |out| String::from_utf8_lossy(&out.stdout).trim().to_owned(),
    );
    format!(
        "Medians of {rounds} alternating rounds (lowest–highest), {seconds} s each; every relay fresh for every load, alone \
         on one core, the load on the other, loopback; WebTransport (bare quinn: raw QUIC). Linux {kernel}, load average now {:.1}.",
        proc::load()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_and_goals_are_of_the_medians() {
        let entry = |relay, round, cpu: f64| Entry {
            load: "datagrams".into(),
            relay,
            round,
            seconds: 5,
            report: serde_json::json!({ "cpu_us_each": cpu, "p99_ms": 2.0, "lost": 0.0 }),
        };
        let entries = [
            entry(Kind::Ours, 0, 10.0),
            entry(Kind::Ours, 1, 30.0),
            entry(Kind::Ours, 2, 11.0),
            entry(Kind::Bare, 0, 10.0),
            entry(Kind::Ietf, 0, 14.0),
        ];

        let table = render(&entries);

        let row = table.lines().nth(2).unwrap();
        assert!(row.contains("| 11.0 (10.0–30.0) | 1.10 | 0.79 |"), "{row}");
        assert!(row.ends_with("**missed** |"), "0.79 x ietf: {row}");
        assert_eq!(table.lines().count(), 5, "{table}");
    }

    #[test]
    fn what_failed_is_said() {
        let entries = [Entry {
            load: "rooms".into(),
            relay: Kind::MoqDev,
            round: 0,
            seconds: 5,
            report: serde_json::json!({ "error": "the load ended" }),
        }];

        assert!(render(&entries).contains("–, 1 failed"));
    }
}
