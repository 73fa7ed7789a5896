//! What a rewind costs: many sessions fetch the last groups of a track that goes on meanwhile.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::{
    Voice,
    engine::{self, Link, Names, Plan, Times},
    house::{self, House},
    log::Log,
    one_thread,
    source::Source,
};
use crate::{
    figures::{ms, percentile, short},
    proc::Cpu,
    table::{Row, Verdict},
};

/// How many fetch how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    house: house::Args,
    #[command(flatten)]
    voice: Voice,
    /// Sessions that fetch; they subscribe, too.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=2000))]
    sessions: u32,
    /// Groups of each FETCH, the newest ones; of one object each, unless the mode is a long subgroup.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    groups: u32,
    /// FETCHes of each session, one after the other.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: u32,
    /// Appends the figures to this file as a JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    what: String,
    carrier: String,
    fetches: u64,
    objects: u64,
    /// Objects that were asked for and did not come, as a part of all.
    missing: f64,
    objects_each_s: f64,
    /// From the FETCH to the end of its stream.
    p50_ms: f64,
    p99_ms: f64,
    /// The relay's CPU time by the objects fetched; the live track is in it.
    cpu_us_each: Option<f64>,
    generator_cores: f64,
}

/// Between two looks whether the track has become long enough.
const LOOK: Duration = Duration::from_millis(20);

/// Groups that may still be under way to the relay when they are asked for.
const NEWEST: u64 = 5;

/// Measures it.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>> {
    let house = House::open(&args.house)?;
    ensure!(
        house.target.carrier != crate::client::Carrier::Bare,
        "the bare sender keeps nothing"
    );
    let report = one_thread()?.block_on(run(args, &house))?;
    super::report::append(args.json.as_deref(), &report)?;
    let figures = format!(
        "{} objects/s; a FETCH of {} groups p50 {} ms, p99 {} ms; CPU {} µs/object; {} % missing; generator {} of a core",
        short(report.objects_each_s),
        args.groups,
        short(report.p50_ms),
        short(report.p99_ms),
        short(report.cpu_us_each.unwrap_or(f64::NAN)),
        short(report.missing * 100.0),
        short(report.generator_cores),
    );
    let method = format!(
        "{} sessions over {}, each {} times one after the other, the newest {} groups of a live track; relay's CPU time \
         by the objects fetched, the live track's {} objects/s included.",
        args.sessions,
        report.carrier,
        args.times,
        args.groups,
        args.voice.rate * args.sessions
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
    let log = Arc::<Log>::default();
    let stuff = args.voice.stuff();
    let plan = Plan {
        what: String::new(),
        rooms: 1,
        members: args.sessions + 1,
        talkers: 1,
        publishers: 1,
        slow: 0,
        stuff,
        times: Times::of_seconds(0),
    };
    let mut members = engine::enter(&plan, house.targets(), &log).await?;
    let names = Names::new(0);
    let mut aliases = engine::offer(&plan, &mut members, &names).await?;
    let publisher = aliases.pop().context("there is one publisher")?;
    let source = Source::new([publisher], stuff, log);
    let published = source.counter();
    let (stop_tx, stop) = watch::channel(false);
    let publisher = tokio::spawn(source.run(Duration::ZERO, stop));
    while published.load(Relaxed) < u64::from(args.groups) + NEWEST {
        ensure!(!publisher.is_finished(), "the publisher has ended");
        sleep(LOOK).await;
    }

    let track = names.track(0, 0)?;
    let cpu = || house.pid.map(Cpu::of).transpose();
    let (before, own, began) = (cpu()?, Cpu::of(std::process::id())?, Instant::now());
    let mut fetching = JoinSet::new();
    for member in members.split_off(1) {
        let (track, published) = (track.clone(), published.clone());
        let (groups, times) = (u64::from(args.groups), args.times);
        fetching.spawn(async move {
            let Link::Moq(client) = &member.link else {
                bail!("the bare sender keeps nothing");
            };
            let (mut took, mut objects) = (Vec::new(), 0);
            for _ in 0..times {
                let last = published.load(Relaxed).saturating_sub(NEWEST);
                let asked = Instant::now();
                let range = [(last + 1).saturating_sub(groups), last];
                objects += client.fetch(track.clone(), range).await.context("FETCH")?;
                took.push(asked.elapsed());
            }
            Ok((took, objects, member))
        });
    }
    let (mut took, mut objects) = (Vec::new(), 0);
    while let Some(done) = fetching.join_next().await {
        let (each, count, member) = done??;
        took.extend(each);
        objects += count;
        members.push(member);
    }
    let seconds = began.elapsed().as_secs_f64();
    let used = cpu()?
        .zip(before)
        .map(|(after, before)| after.since(before).used);
    let own = Cpu::of(std::process::id())?.since(own).used;
    stop_tx.send_replace(true);
    publisher.await?.context("the publisher")?;
    engine::leave(&members);
    ensure!(objects > 0, "no object was fetched");
    let wanted = u64::from(args.sessions) * u64::from(args.times) * u64::from(args.groups);
    Ok(Report {
        what: format!("FETCH by {}", args.sessions),
        carrier: house.target.carrier.name().into(),
        fetches: took.len() as u64,
        objects,
        missing: 1.0 - objects as f64 / wanted as f64,
        objects_each_s: objects as f64 / seconds,
        p50_ms: ms(percentile(&mut took, 0.5)),
        p99_ms: ms(percentile(&mut took, 0.99)),
        cpu_us_each: used.map(|used| used.as_secs_f64() * 1e6 / objects as f64),
        generator_cores: own.as_secs_f64() / seconds,
    })
}
