//! Loads for a relay: any relay that speaks the draft, ours by default, or the bare sender as the floor.

pub(crate) mod bare;
mod connections;
mod engine;
mod fetch;
mod house;
pub(crate) mod log;
mod memory;
mod report;
mod room;
mod seats;
mod source;

use std::path::PathBuf;

use anyhow::Result;

pub(crate) use self::{
    connections::{Args as ConnectionsArgs, measure as connections},
    fetch::{Args as FetchArgs, measure as fetch},
    memory::{Args as MemoryArgs, measure as memory},
};
use self::{
    engine::{Plan, Times},
    house::House,
    source::{Mode, Stuff},
};
use crate::{daemon::Doors, table::Row};

/// What every load takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    house: house::Args,
    /// Runs, each with new sessions; of their figures the median counts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: u32,
    /// Appends each run's figures to this file, one JSON object for each.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Microseconds of CPU for each delivered object, for the verdict; without it there is none.
    #[arg(long, value_name = "US")]
    goal_cpu: Option<f64>,
    /// Milliseconds that the 99th percentile may have, nothing lost, for the verdict.
    #[arg(long, value_name = "MS")]
    goal_p99: Option<f64>,
    /// Objects a second that must be delivered, nothing lost, for the verdict.
    #[arg(long, value_name = "OBJECTS")]
    goal_rate: Option<f64>,
}

/// How long a load lasts.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Span {
    /// Seconds that count; one goes before them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// How voice travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// Each object is a datagram.
    Datagram,
    /// All objects are on one stream of one subgroup.
    Subgroup,
    /// Each object is a group with a stream of its own.
    Object,
}

/// What a voice track carries.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Voice {
    /// How objects travel.
    #[arg(long, value_enum, default_value = "datagram")]
    mode: Way,
    /// Objects a second on each track.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Bytes of an object's payload; 80 are 20 ms of Opus at 32 kbit/s.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(16..=1000))]
    size: u32,
}

/// One voice track, many subscribers.
#[derive(Debug, clap::Args)]
pub(crate) struct FanoutArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    span: Span,
    #[command(flatten)]
    voice: Voice,
    /// Sessions that subscribe.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5000))]
    subscribers: u32,
    /// Sessions that publish the track together, each every object: a relay that hears them all delivers one of each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    publishers: u32,
}

/// Rooms in which everyone talks and hears all others.
#[derive(Debug, clap::Args)]
pub(crate) struct RoomsArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    span: Span,
    #[command(flatten)]
    voice: Voice,
    /// Rooms.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rooms: u32,
    /// People in each.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=50))]
    people: u32,
}

/// A room in which a few speak and many listen.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenersArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    span: Span,
    #[command(flatten)]
    voice: Voice,
    /// Sessions that listen to everyone who speaks.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=5000))]
    listeners: u32,
    /// Sessions that speak, and hear each other; one after the other, evenly over the time of an object.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    speakers: u32,
    /// In a room of a daemon, as pages do it: everyone comes with the room's token and hears all of its seats, and not each
    /// speaker's track. Who speaks gets the own objects back, too.
    #[arg(long, conflicts_with_all = ["url", "bare"])]
    seats: bool,
}

/// One video track, many subscribers.
#[derive(Debug, clap::Args)]
pub(crate) struct VideoArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    span: Span,
    /// Sessions that subscribe.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2000))]
    subscribers: u32,
    /// Frames a second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    rate: u32,
    /// Bytes of a frame.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    size: u32,
    /// Bytes of a key frame, which begins a group.
    #[arg(long, default_value_t = 61_440, value_parser = clap::value_parser!(u32).range(16..=4_000_000))]
    key_size: u32,
    /// Frames of a group; each group is a stream.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    group: u32,
}

/// Subscribers of which some do not read.
#[derive(Debug, clap::Args)]
pub(crate) struct SlowArgs {
    #[command(flatten)]
    fanout: FanoutArgs,
    /// More sessions that subscribe and then read nothing.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    slow: u32,
}

/// More than the relay can do.
#[derive(Debug, clap::Args)]
pub(crate) struct OverloadArgs {
    #[command(flatten)]
    fanout: FanoutArgs,
}

/// Measures a fan-out.
pub(crate) fn fanout(args: &FanoutArgs) -> Result<Vec<Row>> {
    let plan = fanout_plan(args);
    run(&args.common, plan)
}

/// Measures rooms.
pub(crate) fn rooms(args: &RoomsArgs) -> Result<Vec<Row>> {
    let plan = Plan {
        what: format!(
            "{} rooms x {}, {}",
            args.rooms,
            args.people,
            args.voice.mode.name()
        ),
        rooms: args.rooms,
        members: args.people,
        talkers: args.people,
        publishers: 1,
        slow: 0,
        stuff: args.voice.stuff(),
        times: Times::of_seconds(args.span.seconds),
    };
    run(&args.common, plan)
}

/// Measures a room of few who speak and many who listen.
pub(crate) fn listeners(args: &ListenersArgs) -> Result<Vec<Row>> {
    let plan = listeners_plan(args);
    if !args.seats {
        return run(&args.common, plan);
    }
    let house = House::daemon(&args.common.house, Doors::Tokens)?;
    let reports = one_thread()?.block_on(seats::run(&plan, &house, args.common.runs))?;
    for report in &reports {
        report.append(args.common.json.as_deref())?;
    }
    Ok(vec![report::row(&args.common, &reports)])
}

fn listeners_plan(args: &ListenersArgs) -> Plan {
    Plan {
        what: format!(
            "{} speakers to {} listeners{}, {}",
            args.speakers,
            args.listeners,
            if args.seats { " by seats" } else { "" },
            args.voice.mode.name()
        ),
        rooms: 1,
        members: args.speakers + args.listeners,
        talkers: args.speakers,
        publishers: 1,
        slow: 0,
        stuff: Stuff {
            levels: args.seats,
            ..args.voice.stuff()
        },
        times: Times::of_seconds(args.span.seconds),
    }
}

/// Measures video.
pub(crate) fn video(args: &VideoArgs) -> Result<Vec<Row>> {
    let plan = Plan {
        what: format!("video 1 to {}", args.subscribers),
        rooms: 1,
        members: args.subscribers + 1,
        talkers: 1,
        publishers: 1,
        slow: 0,
        stuff: Stuff {
            mode: Mode::Groups(Some(args.group.into())),
            rate: args.rate,
            size: args.size as usize,
            first_size: args.key_size as usize,
            levels: false,
        },
        times: Times::of_seconds(args.span.seconds),
    };
    run(&args.common, plan)
}

/// Measures a fan-out beside sessions that do not read.
pub(crate) fn slow(args: &SlowArgs) -> Result<Vec<Row>> {
    let mut plan = fanout_plan(&args.fanout);
    plan.what = format!("{} and {} that do not read", plan.what, args.slow);
    plan.members += args.slow;
    plan.slow = args.slow;
    run(&args.fanout.common, plan)
}

/// Measures a fan-out that is too much.
pub(crate) fn overload(args: &OverloadArgs) -> Result<Vec<Row>> {
    let mut plan = fanout_plan(&args.fanout);
    plan.what = format!("overload, {} at {}/s", plan.what, args.fanout.voice.rate);
    run(&args.fanout.common, plan)
}

fn fanout_plan(args: &FanoutArgs) -> Plan {
    Plan {
        what: format!(
            "{} to {}, {}",
            args.publishers,
            args.subscribers,
            args.voice.mode.name()
        ),
        rooms: 1,
        members: args.subscribers + args.publishers,
        talkers: 1,
        publishers: args.publishers,
        slow: 0,
        stuff: args.voice.stuff(),
        times: Times::of_seconds(args.span.seconds),
    }
}

fn run(common: &Common, plan: Plan) -> Result<Vec<Row>> {
    let house = House::open(&common.house)?;
    let runtime = one_thread()?;
    let mut reports = Vec::new();
    for number in 0..common.runs {
        let report = runtime.block_on(engine::run(&plan, &house, number))?;
        report.append(common.json.as_deref())?;
        reports.push(report);
    }
    Ok(vec![report::row(common, &reports)])
}

/// The relay has the other core.
fn one_thread() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

impl Voice {
    fn stuff(&self) -> Stuff {
        Stuff {
            mode: match self.mode {
                Way::Datagram => Mode::Datagrams,
                Way::Subgroup => Mode::Groups(None),
                Way::Object => Mode::Groups(Some(1)),
            },
            rate: self.rate,
            size: self.size as usize,
            first_size: self.size as usize,
            levels: false,
        }
    }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Datagram => "datagrams",
            Self::Subgroup => "one long subgroup",
            Self::Object => "a stream per object",
        }
    }
}
