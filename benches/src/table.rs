//! Rows of measurements, and how they look.

use std::{
    fmt, fs,
    io::Write as _,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::proc;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What came out, with units.
    pub(crate) figures: String,
    /// What should have come out; empty: the row only informs.
    pub(crate) goal: String,
    /// Whether it did.
    pub(crate) verdict: Verdict,
    /// How it was measured.
    pub(crate) method: String,
    /// The machine's load average over a minute, right after.
    pub(crate) load: f64,
}

/// How a row compares with its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The goal was reached.
    Met,
    /// It was not.
    Missed,
    /// There is none.
    Info,
    /// The measurement could not run: `figures` says why.
    Missing,
}

impl Verdict {
    /// `Met` when `reached`.
    pub(crate) fn of(reached: bool) -> Self {
        if reached { Self::Met } else { Self::Missed }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Info => "-",
            Self::Missing => "NOT RUN",
        }
    }
}

impl Row {
    /// Makes a row with the present load.
    pub(crate) fn new(
        what: impl Into<String>,
        figures: impl Into<String>,
        goal: impl Into<String>,
        verdict: Verdict,
        method: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            figures: figures.into(),
            goal: goal.into(),
            verdict,
            method: method.into(),
            load: proc::load(),
        }
    }

    /// Appends rows to a file.
    pub(crate) fn append(file: &Path, rows: &[Self]) -> Result<()> {
        let mut out = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .with_context(|| file.display().to_string())?;
        for row in rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.figures)?;
        if !self.goal.is_empty() {
            write!(f, "; goal {}: {}", self.goal, self.verdict.text())?;
        }
        write!(f, " [load {:.1}]", self.load)
    }
}

/// Widths of the columns, in characters; together 130 with the gaps.
const WIDTHS: [usize; 5] = [33, 52, 24, 7, 5];

/// Prints a file of rows under a line that names the machine. Fails softly when a row did not run.
pub(crate) fn print(file: &Path) -> Result<ExitCode> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let rows = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not a row: {line}")))
        .collect::<Result<Vec<Row>>>()?;
    println!("{}", machine());
    print!("{}", render(&rows));
    let missing = rows.iter().any(|row| row.verdict == Verdict::Missing);
    Ok(if missing || rows.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn render(rows: &[Row]) -> String {
    let rule = WIDTHS.map(|width| "-".repeat(width)).join("  ") + "\n";
    let mut out = line(["what", "figures", "goal", "verdict", "load"]) + &rule;
    for row in rows {
        let load = format!("{:5.1}", row.load);
        out += &line([
            &row.what,
            &row.figures,
            &row.goal,
            row.verdict.text(),
            &load,
        ]);
    }
    out += &rule;
    let count = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    out += &format!(
        "{} met, {} missed, {} not run; {} without a goal\n\nMethod\n",
        count(Verdict::Met),
        count(Verdict::Missed),
        count(Verdict::Missing),
        count(Verdict::Info)
    );
    for row in rows.iter().filter(|row| !row.method.is_empty()) {
        let text = format!("{}: {}", row.what, row.method);
        for (n, part) in wrap(&text, WIDTHS.iter().sum()).iter().enumerate() {
            out += &format!("{} {part}\n", if n == 0 { "-" } else { " " });
        }
    }
    out
}

/// Lays cells side by side, each broken within its column.
fn line(cells: [&str; 5]) -> String {
    let columns: Vec<_> = cells
        .iter()
        .zip(WIDTHS)
        .map(|(cell, width)| wrap(cell, width))
        .collect();
    let height = columns.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for n in 0..height {
        let parts: Vec<_> = columns
            .iter()
            .zip(WIDTHS)
            .map(|(column, width)| format!("{:width$}", column.get(n).map_or("", String::as_str)))
            .collect();
        out += parts.join("  ").trim_end();
        out.push('\n');
    }
    out
}

/// Breaks a text between words; a word wider than `width` stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a line");
        let len = last.chars().count();
        if len == 0 {
            last.push_str(word);
        } else if len + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Names the machine and the build that the figures are of.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let build = if cfg!(debug_assertions) {
        "DEBUG build: the figures mean nothing"
    } else {
        "release build"
    };
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| {
            format!(
                ", commit {}",
                String::from_utf8_lossy(&output.stdout).trim()
            )
        })
        .unwrap_or_default();
    format!(
        "{cores} cores of {model}, Linux {}, load average {load}, {build}{commit}",
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_file_and_come_out_as_a_table() {
        let rows = [
            Row::new(
                "a",
                "p99 2 ms",
                "p99 ≤ 5 ms",
                Verdict::Met,
                "looked at the clock",
            ),
            Row::new(
                "b",
                "six words that need two lines, and then some more of them",
                "",
                Verdict::Info,
                "",
            ),
        ];
        let json = serde_json::to_string(&rows[0]).unwrap();

        let table = render(&rows);

        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), rows[0]);
        assert!(table.contains("1 met, 0 missed, 0 not run; 1 without a goal"));
        assert!(table.contains("- a: looked at the clock"));
        assert!(
            table.lines().all(|line| line.chars().count() <= 131),
            "{table}"
        );
    }

    #[test]
    fn words_are_not_broken() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
    }
}
