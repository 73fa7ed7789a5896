//! Rooms of many: what a mixed leg costs beside a plain one, what listeners and idle rooms cost, and Janus' AudioBridge
//! with the same load.

mod janus;

use std::path::PathBuf;

use anyhow::Result;
use moqrelay_audio::SampleRate;

use crate::{
    codec,
    figures::{Runs, short},
    legs::{Setting, Taken, take},
    table::{Row, Verdict},
};

/// How large a room, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Telephones in the room; all of them speak.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=128))]
    count: u32,
    /// Seconds that count of each run; five go before them.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(3..=600))]
    seconds: u64,
    /// Runs of each kind, one after the other in turn; medians count.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    rounds: u32,
    /// Opus, bits per second.
    #[arg(long, default_value_t = 24_000, value_parser = clap::value_parser!(u32).range(6_000..=128_000))]
    bitrate: u32,
    /// The one core that the measured program has (by taskset); this program should then be given the others.
    #[arg(long)]
    core: Option<u32>,
    /// Janus, to be started for a while on loopback. Without it that row is left out.
    #[arg(long)]
    janus: Option<PathBuf>,
}

/// What a mixed leg may cost, as a part of a plain one.
const RATIO_MAX: f64 = 1.2;

/// Rooms in which nobody hears anything, and what they may take of a core.
const IDLE_ROOMS: u32 = 500;
const IDLE_MAX: f64 = 0.005;

/// Listeners by MoQ to one mix.
const LISTENERS: [u32; 2] = [10, 100];

/// Telephones that speak in the room they listen to.
const SPEAKERS: u32 = 5;

/// Runs all of it.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>> {
    let plain = Setting {
        count: args.count,
        seconds: args.seconds,
        bitrate: args.bitrate,
        core: args.core,
        ..Setting::default()
    };
    let mixed = Setting {
        room: Some(args.count),
        ..plain
    };
    let (mut plains, mut mixes, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        plains.push(take(plain)?);
        mixes.push(take(mixed)?);
        if let Some(janus) = &args.janus {
            foreign.push(janus::take(janus, args)?);
        }
    }
    let mut rows = vec![mixed_row(args, &plains, &mixes)?];
    if !foreign.is_empty() {
        rows.push(janus_row(args, &mixes, &foreign));
    }
    rows.push(listeners_row(args, plain)?);
    rows.push(idle_row(args, plain)?);
    Ok(rows)
}

/// Returns the median of what each leg took for 20 ms, in microseconds.
fn each_us(runs: &[Taken], count: u32) -> Runs {
    let each = |run: &Taken| run.used / f64::from(count) / 50.0 * 1e6;
    Runs::of(runs.iter().map(each))
}

fn mixed_row(args: &Args, plains: &[Taken], mixes: &[Taken]) -> Result<Row> {
    let codec = codec::pair(SampleRate::Hz16000, args.bitrate)?.as_secs_f64() * 1e6;
    let (plain, mixed) = (each_us(plains, args.count), each_us(mixes, args.count));
    let ratio = mixed.median / plain.median;
    let late = |runs: &[Taken]| {
        let (late, all) = runs
            .iter()
            .fold((0, 0), |sum, run| (sum.0 + run.late.0, sum.1 + run.late.1));
        format!("{late} of {all}")
    };
    let loud = |runs: &[Taken]| {
        let (frames, loud) = runs.iter().fold((0, 0), |sum, run| {
            (sum.0 + run.heard.0, sum.1 + run.heard.1)
        });
        loud as f64 / frames.max(1) as f64
    };
    Ok(Row::new(
        format!("a leg in a room of {} beside a plain one", args.count),
        format!(
            "{} for 20 ms, a plain one {}; ratio {}; ticks later than 10 ms: {}, plain {}; {} % of the frames heard \
             have sound; one Opus encoding and decoding {} µs",
            mixed.text("µs"),
            plain.text("µs"),
            short(ratio),
            late(mixes),
            late(plains),
            short(loud(mixes) * 100.0),
            short(codec),
        ),
        format!("ratio ≤ {RATIO_MAX}"),
        Verdict::of(ratio <= RATIO_MAX && loud(mixes) > 0.9),
        format!(
            "AudioSocket legs with all of relay and bridge in a process of their own, all speaking, Opus of 16 kHz, {} \
             kbit/s and complexity 5; plain: in pairs. CPU time of that process by legs and frames; {} runs of {} s in turn.",
            args.bitrate / 1000,
            args.rounds,
            args.seconds
        ),
    ))
}

fn janus_row(args: &Args, mixes: &[Taken], foreign: &[janus::Taken]) -> Row {
    let ours = each_us(mixes, args.count);
    let per = |run: &janus::Taken| run.used / f64::from(args.count) / 50.0 * 1e6;
    let theirs = Runs::of(foreign.iter().map(per));
    let heard: f64 = foreign.iter().map(|run| run.heard).sum::<f64>() / foreign.len() as f64;
    let version = foreign.first().map_or("", |run| &run.version);
    Row::new(
        format!(
            "mixing for {} participants, beside Janus' AudioBridge",
            args.count
        ),
        format!(
            "ours {} for each participant and 20 ms, Janus {version} {}; ratio {}; of Janus' packets {} % came",
            ours.text("µs"),
            theirs.text("µs"),
            short(ours.median / theirs.median),
            short(heard * 100.0),
        ),
        "at most Janus'",
        Verdict::of(ours.median <= theirs.median),
        format!(
            "Janus with plain RTP participants, the same voice in Opus of 16 kHz, {} kbit/s, complexity 5 both ways, mixed at \
             16 kHz; ours with AudioSocket legs, which code once and are decoded once each, too. CPU time of all threads of \
             either; {} runs of {} s in turn.",
            args.bitrate / 1000,
            args.rounds,
            args.seconds
        ),
    )
}

fn listeners_row(args: &Args, plain: Setting) -> Result<Row> {
    let mut medians = Vec::new();
    let mut objects = Vec::new();
    for listeners in LISTENERS {
        let setting = Setting {
            count: SPEAKERS,
            room: Some(SPEAKERS),
            listeners,
            ..plain
        };
        let runs: Vec<_> = (0..args.rounds)
            .map(|_| take(setting))
            .collect::<Result<_>>()?;
        let all: u64 = runs.iter().map(|run| run.mix_objects).sum();
        objects.push(
            all as f64 / f64::from(listeners) / (args.seconds * u64::from(args.rounds)) as f64,
        );
        medians.push(Runs::of(runs.iter().map(|run| run.used)));
    }
    let [few, many] = &medians[..] else {
        unreachable!("one for each number of listeners");
    };
    let more = f64::from(LISTENERS[1] - LISTENERS[0]);
    let each = (many.median - few.median) / more / 50.0 * 1e6;
    let codec = codec::pair(SampleRate::Hz16000, args.bitrate)?.as_secs_f64() * 1e6;
    Ok(Row::new(
        format!(
            "a mix with {} and {} listeners by MoQ",
            LISTENERS[0], LISTENERS[1]
        ),
        format!(
            "{} and {} % of a core; {} µs for each further listener and 20 ms; objects a second for each: {} and {}",
            short(few.median * 100.0),
            short(many.median * 100.0),
            short(each),
            short(objects[0]),
            short(objects[1]),
        ),
        "coded once: a tenth of the codec for each listener at most",
        Verdict::of(each <= codec / 10.0 && objects.iter().all(|each| *each > 45.0)),
        format!(
            "{SPEAKERS} telephones that speak in one room, and readers of its mix's track in the process; CPU time of the \
             process, medians of {} runs.",
            args.rounds
        ),
    ))
}

fn idle_row(args: &Args, plain: Setting) -> Result<Row> {
    let with = |idle_rooms| {
        let setting = Setting {
            count: 2,
            idle_rooms,
            ..plain
        };
        let runs: Result<Vec<_>> = (0..args.rounds).map(|_| take(setting)).collect();
        runs.map(|runs| Runs::of(runs.iter().map(|run| run.used)).median)
    };
    let (without, idle) = (with(0)?, with(IDLE_ROOMS)?);
    let more = idle - without;
    Ok(Row::new(
        format!("{IDLE_ROOMS} idle rooms"),
        format!(
            "{} % of a core more than without them ({} % with two legs and nothing else)",
            short(more * 100.0),
            short(without * 100.0)
        ),
        "< 0.5 % of a core",
        Verdict::of(more < IDLE_MAX),
        format!(
            "Rooms known to the mixing wheel with one voice each and a published mix that nobody hears, beside two plain legs; \
             medians of {} runs.",
            args.rounds
        ),
    ))
}
