//! How many new sessions a second, and what each costs.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    engine::SESSIONS_PER_SOCKET,
    house::{self, House},
    one_thread,
};
use crate::{
    client::{self, Carrier, Client, Ear, Reading},
    figures::short,
    proc::Cpu,
    table::{Row, Verdict},
};

/// How many sessions.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    house: house::Args,
    /// Sessions that are opened, each closed as soon as it is set up.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// How many of them are being set up at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    at_once: u32,
    /// Milliseconds of CPU that a session may cost, for the verdict.
    #[arg(long, value_name = "MS")]
    goal: Option<f64>,
    /// Appends the figures to this file as a JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) what: String,
    pub(crate) carrier: String,
    pub(crate) sessions: u32,
    pub(crate) sessions_each_s: f64,
    /// The relay's CPU time for each.
    pub(crate) cpu_ms_each: Option<f64>,
    pub(crate) generator_cores: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// What closing costs is part of a session's price: the relay gets this long for it.
const FAREWELL: Duration = Duration::from_millis(500);

/// Measures it.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>> {
    let house = House::open(&args.house)?;
    let report = one_thread()?.block_on(run(args, &house))?;
    super::report::append(args.json.as_deref(), &report)?;
    let figures = format!(
        "{} sessions/s; CPU {} ms each; set up in p50 {} ms, p99 {} ms; generator {} of a core",
        short(report.sessions_each_s),
        short(report.cpu_ms_each.unwrap_or(f64::NAN)),
        short(report.p50_ms),
        short(report.p99_ms),
        short(report.generator_cores),
    );
    let (goal, verdict) = match args.goal {
        None => (String::new(), Verdict::Info),
        Some(goal) => (
            format!("≤ {goal} ms of CPU each"),
            Verdict::of(report.cpu_ms_each.is_some_and(|cpu| cpu <= goal)),
        ),
    };
    let method = format!(
        "{} sessions over {}, {} at a time: TLS 1.3 handshake without resumption, SETUP both ways, then closed; relay's \
         CPU time of all threads by sessions.",
        report.sessions, report.carrier, args.at_once
    );
    Ok(vec![Row::new(report.what, figures, goal, verdict, method)])
}

async fn run(args: &Args, house: &House) -> Result<Report> {
    // The first one finds everything cold.
    let first = client::endpoint(house.target.carrier, Reading::Eager)?;
    set_up(&house.target, &first).await?;
    let turns = Arc::new(Semaphore::new(args.at_once as usize));
    let cpu = || house.pid.map(Cpu::of).transpose();
    let (before, own, began) = (cpu()?, Cpu::of(std::process::id())?, Instant::now());
    let mut sessions = JoinSet::new();
    let mut times = Vec::new();
    let mut endpoint = client::endpoint(house.target.carrier, Reading::Eager)?;
    for n in 0..args.count {
        if n % SESSIONS_PER_SOCKET == 0 {
            endpoint = client::endpoint(house.target.carrier, Reading::Eager)?;
        }
        let turn = turns.clone().acquire_owned().await?;
        let (house, endpoint) = (house.target.clone(), endpoint.clone());
        sessions.spawn(async move {
            let _turn = turn;
            let began = Instant::now();
            set_up(&house, &endpoint).await?;
            anyhow::Ok(began.elapsed())
        });
        while let Some(done) = sessions.try_join_next() {
            times.push(done?.context("a session")?);
        }
    }
    while let Some(done) = sessions.join_next().await {
        times.push(done?.context("a session")?);
    }
    let took = began.elapsed().as_secs_f64();
    tokio::time::sleep(FAREWELL).await;
    let used = cpu()?
        .zip(before)
        .map(|(after, before)| after.since(before).used);
    let own = Cpu::of(std::process::id())?.since(own).used.as_secs_f64();
    Ok(Report {
        what: "new sessions".into(),
        carrier: house.target.carrier.name().into(),
        sessions: args.count,
        sessions_each_s: f64::from(args.count) / took,
        cpu_ms_each: used.map(|used| used.as_secs_f64() * 1e3 / f64::from(args.count)),
        generator_cores: own / took,
        p50_ms: crate::figures::ms(crate::figures::percentile(&mut times, 0.5)),
        p99_ms: crate::figures::ms(crate::figures::percentile(&mut times, 0.99)),
    })
}

async fn set_up(target: &client::Target, endpoint: &quinn::Endpoint) -> Result<()> {
    if target.carrier == Carrier::Bare {
        let session = client::open_bare(endpoint, target, 0).await?;
        session.close(0, b"measured");
        return Ok(());
    }
    let ear = Ear::new(Arc::default());
    let client = Client::connect(endpoint, target, ear, Reading::Eager).await?;
    client.close();
    Ok(())
}
