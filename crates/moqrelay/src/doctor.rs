//! `moqrelay doctor`: looks whether everything round the daemon is as it must be, and says in words
//! what to change.
//!
//! It asks and tries; it changes nothing. A daemon that runs meanwhile is left alone.
#![allow(
    clippy::print_stdout,
    reason = "what is found is what the program is asked for"
)]

mod asterisk;
mod certificate;
mod echo;
mod ports;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args as ClapArgs;
use serde::Serialize;

use crate::{Failure, config::Config};

/// What is looked at.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The configuration.
    #[arg(long, short, value_name = "FILE", env = "MOQRELAY_CONFIG")]
    config: PathBuf,

    /// Prints JSON: {"well", "findings": [{"check", "verdict", "says", "change"}]}.
    #[arg(long)]
    json: bool,

    /// The least that the system must give a UDP socket for each direction, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = ports::UDP_BUFFER_MIN)]
    udp_buffer_min: usize,

    /// How far Asterisk's clock may be from ours.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime_serde::re::humantime::parse_duration)]
    clock_max: Duration,
}

/// What one look has shown.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    verdict: Verdict,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// It works, but not as well as it could.
    Warning,
    /// It does not work.
    Bad,
    /// It could not be looked at.
    Skipped,
}

/// All findings, in the order of the looks.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn good(&mut self, check: impl Into<String>, says: impl Into<String>) {
        self.add(check, Verdict::Good, says, None);
    }

    fn skipped(&mut self, check: impl Into<String>, says: impl Into<String>) {
        self.add(check, Verdict::Skipped, says, None);
    }

    fn warning(
        &mut self,
        check: impl Into<String>,
        says: impl Into<String>,
        change: impl Into<String>,
    ) {
        self.add(check, Verdict::Warning, says, Some(change.into()));
    }

    fn bad(
        &mut self,
        check: impl Into<String>,
        says: impl Into<String>,
        change: impl Into<String>,
    ) {
        self.add(check, Verdict::Bad, says, Some(change.into()));
    }

    fn add(
        &mut self,
        check: impl Into<String>,
        verdict: Verdict,
        says: impl Into<String>,
        change: Option<String>,
    ) {
        self.findings.push(Finding {
            check: check.into(),
            verdict,
            says: says.into(),
            change,
        });
    }

    fn count(&self, verdict: Verdict) -> usize {
        let alike = |finding: &&Finding| finding.verdict == verdict;
        self.findings.iter().filter(alike).count()
    }

    fn is_well(&self) -> bool {
        self.count(Verdict::Bad) == 0
    }

    fn print(&self) {
        for finding in &self.findings {
            let mark = match finding.verdict {
                Verdict::Good => "good   ",
                Verdict::Warning => "WARNING",
                Verdict::Bad => "BAD    ",
                Verdict::Skipped => "skipped",
            };
            println!("{mark}  {}: {}", finding.check, finding.says);
            if let Some(change) = &finding.change {
                println!("         Change: {change}");
            }
        }
        let (bad, warnings) = (self.count(Verdict::Bad), self.count(Verdict::Warning));
        match (bad, warnings) {
            (0, 0) => println!("All is well."),
            (0, warnings) => println!("All is well, with {warnings} warning(s)."),
            (bad, warnings) => println!("{bad} fault(s), {warnings} warning(s)."),
        }
    }

    fn print_json(&self) -> anyhow::Result<()> {
        let report = serde_json::json!({"well": self.is_well(), "findings": self.findings});
        println!("{}", serde_json::to_string_pretty(&report)?);
        Ok(())
    }
}

/// Looks at everything and prints what is found.
///
/// # Errors
///
/// When the configuration cannot be used.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let named = || args.config.display().to_string();
    let config = Config::load(&args.config)
        .with_context(named)
        .map_err(Failure::Usage)?
        .config;
    config
        .secrets()
        .with_context(named)
        .map_err(Failure::Usage)?;
    let report = look(args, &config).map_err(Failure::Run)?;
    match args.json {
        true => report.print_json().map_err(Failure::Run)?,
        false => report.print(),
    }
    Ok(match report.is_well() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn look(args: &Args, config: &Config) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.good(
        "configuration",
        format!("{} can be used", args.config.display()),
    );
    let runs = ports::daemon_runs(config);
    ports::look(&mut report, config, runs);
    ports::udp_buffers(&mut report, args.udp_buffer_min);
    certificate::look(&mut report, config);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(asterisk::look(&mut report, config, runs, args.clock_max));
    Ok(report)
}
