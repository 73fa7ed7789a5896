//! Many telephone legs at once: are they on time, and what do they cost.

mod asterisk;
pub(crate) mod house;
mod road;
mod websocket;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use moqrelay_bridge::leg::Coding;
use tokio::{sync::watch, task::JoinSet};

use self::{
    asterisk::{Heard, Phase, Telephone},
    house::{Ready, Snapshot, spacing},
    road::Road,
};
use crate::{
    codec,
    figures::{ms, percentile, short},
    proc::{self, Cpu, Machine},
    table::{Row, Verdict},
};

/// How many legs, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Legs; neighbours hear each other.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=2000))]
    count: u32,
    /// Seconds that count; five go before them.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..=3600))]
    seconds: u64,
    /// Opus, bits per second.
    #[arg(long, default_value_t = 24_000, value_parser = clap::value_parser!(u32).range(6_000..=128_000))]
    bitrate: u32,
    /// The one core that relay and bridge have (by taskset); this program should then be given the others.
    #[arg(long)]
    core: Option<u32>,
    /// The way between Asterisk and the bridge.
    #[arg(long, value_enum, default_value_t)]
    road: Road,
    /// Never sleep: waking the telephones is then no part of what legs cost, as where Asterisk has a machine of its own.
    #[arg(long)]
    awake: bool,
    /// Encoders work as they are told, whatever the load governor would say.
    #[arg(long)]
    ungoverned: bool,
    /// Legs in rooms of so many, each of which hears its room's mix. Otherwise they are in pairs.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=128))]
    room: Option<u32>,
    /// Listeners by MoQ to each room's mix.
    #[arg(long, default_value_t = 0, requires = "room", value_parser = clap::value_parser!(u32).range(..=1000))]
    listeners: u32,
    /// Rooms beside them in which nobody hears anything.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=5000))]
    idle_rooms: u32,
}

/// What a measurement of the mixer asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setting {
    pub(crate) count: u32,
    pub(crate) seconds: u64,
    pub(crate) bitrate: u32,
    pub(crate) core: Option<u32>,
    pub(crate) room: Option<u32>,
    pub(crate) listeners: u32,
    pub(crate) idle_rooms: u32,
}

/// What legs by AudioSocket took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// The part of a core.
    pub(crate) used: f64,
    /// Ticks later than [`LATE_MS`], of all.
    pub(crate) late: (u64, u64),
    /// Frames that were heard, and how many of them had sound.
    pub(crate) heard: (usize, u64),
    /// Objects that listeners by MoQ had.
    pub(crate) mix_objects: u64,
}

/// Runs legs without a row.
pub(crate) fn take(setting: Setting) -> Result<Taken> {
    let seen = observe(&Args {
        count: setting.count,
        seconds: setting.seconds,
        bitrate: setting.bitrate,
        core: setting.core,
        road: Road::Audiosocket,
        awake: false,
        // What is compared must code alike.
        ungoverned: true,
        room: setting.room,
        listeners: setting.listeners,
        idle_rooms: setting.idle_rooms,
    })?;
    let later = |snapshot: &Snapshot| later_than(&snapshot.ticks, LATE_MS);
    let all = |snapshot: &Snapshot| snapshot.ticks.iter().map(|(_, count)| count).sum::<u64>();
    Ok(Taken {
        used: seen.cpu.used.as_secs_f64() / seen.took.as_secs_f64(),
        late: (
            later(&seen.after) - later(&seen.before),
            all(&seen.after) - all(&seen.before),
        ),
        heard: (
            seen.heard.iter().map(|leg| leg.gaps.len()).sum(),
            seen.heard.iter().map(|leg| leg.loud).sum(),
        ),
        mix_objects: seen.after.mix_objects - seen.before.mix_objects,
    })
}

impl Args {
    /// Returns what rows say before what they measure.
    fn title(&self) -> String {
        let rooms = match self.room {
            Some(size) => format!(" in rooms of {size}"),
            None => String::new(),
        };
        format!("{} {} legs{rooms}", self.count, self.road.title())
    }
}

/// Longer than the relay's logs keep objects, so that memory has its size.
const WARM_UP: Duration = Duration::from_secs(5);

/// Between two looks at memory and queues.
const LOOK: Duration = Duration::from_secs(1);

/// The goal: ticks later than this may be one in a thousand.
const LATE_MS: u64 = 10;

/// Memory that counts as flat: what the last third may have more than the first one.
const GROWTH_MAX: f64 = 0.02;

/// Legs that code, and legs that pass packets on, on one core.
const CODED_LEGS: u32 = 150;
const PASSED_LEGS: u32 = 1000;

/// What a leg may cost more than its codec alone.
const RATIO_MAX: f64 = 1.15;

/// What all legs may take of the one core.
const USED_MAX: f64 = 0.85;

/// What the bridge may add to the jitter buffer's delay: a frame, and something to be late by.
const DELAY_MS_MAX: f64 = 25.0;

/// Sound that jitter buffers may have more, on average: less than a packet.
const DEEPER_MS_MAX: f64 = 20.0;

/// Bytes that a leg may have.
const LEG_BYTES_MAX: f64 = 300e3;

/// What was seen once a second.
struct Look {
    resident: f64,
    depth_ms: f64,
    /// Ticks later than [`LATE_MS`] so far.
    late: u64,
    complexity: u8,
    narrow: bool,
    beyond_ms: Vec<f64>,
}

/// Everything that one measurement gave.
struct Seen {
    before: Snapshot,
    after: Snapshot,
    looks: Vec<Look>,
    empty: f64,
    cpu: Cpu,
    /// Cores that other programs had, on average.
    others: f64,
    took: Duration,
    heard: Vec<Heard>,
}

/// Runs the legs and says what they did.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>> {
    let codec = match args.road.coded() {
        Some(rate) => codec::pair(rate, args.bitrate)?,
        None => Duration::ZERO,
    };
    let seen = observe(args)?;
    Ok(vec![
        ticks_row(args, &seen),
        queues_row(args, &seen),
        delay_row(args, &seen),
        cpu_row(args, &seen, codec),
        memory_row(args, &seen),
    ])
}

/// Runs the legs.
fn observe(args: &Args) -> Result<Seen> {
    let house = House::start(args)?;
    // One thread: the bridge has the other core.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let seen = runtime.block_on(run(args, house))?;
    ensure!(
        seen.after.ended.is_empty(),
        "legs ended: {}",
        seen.after.ended.join(", ")
    );
    Ok(seen)
}

async fn run(args: &Args, mut house: House) -> Result<Seen> {
    let pid = house.child.id();
    let empty = proc::resident_bytes(pid)? as f64;
    let speech = args.road.speech(args.bitrate)?;
    let (phase_tx, phase) = watch::channel(Phase::WarmUp);
    let mut awake = JoinSet::new();
    if args.awake {
        awake.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
    }
    let mut legs = JoinSet::new();
    for leg in 0..args.count {
        let telephone = Telephone::connect(args.road, &house.ready, leg, &speech).await?;
        let offset = leg as usize * 7 % speech.pieces.len();
        legs.spawn(telephone.talk(speech.clone(), offset, phase.clone()));
        tokio::time::sleep(spacing(leg)).await;
    }
    tokio::time::sleep(WARM_UP).await;
    let before;
    (house, before) = look(house).await?;
    let sources = if args.room.is_some() { 0 } else { args.count };
    ensure!(
        before.legs == args.count && before.sources == sources,
        "only {} of {} legs are there, {} hear another one",
        before.legs,
        args.count,
        before.sources
    );
    phase_tx.send_replace(Phase::Count);
    let (cpu, own, began) = (Cpu::of(pid)?, Cpu::of(std::process::id())?, Instant::now());
    let machine = Machine::now()?;
    let mut looks = Vec::new();
    for _ in 0..args.seconds {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            Some(ended) = legs.join_next() => {
                let (_house, seen) = look(house).await?;
                let reasons = seen.ended.join(", ");
                bail!("a leg ended before its time: {:?}; {reasons}", ended?.err());
            }
        }
        let snapshot;
        (house, snapshot) = look(house).await?;
        looks.push(Look {
            resident: proc::resident_bytes(pid)? as f64,
            depth_ms: snapshot.depth_ms,
            late: later_than(&snapshot.ticks, LATE_MS),
            complexity: snapshot.complexity,
            narrow: snapshot.narrow,
            beyond_ms: snapshot.beyond_ms,
        });
    }
    let (cpu, own, took) = (
        Cpu::of(pid)?.since(cpu),
        Cpu::of(std::process::id())?.since(own),
        began.elapsed(),
    );
    let ours = (cpu.used + own.used).as_secs_f64() / took.as_secs_f64();
    let others = (Machine::now()?.cores_since(machine) - ours).max(0.0);
    let (_house, after) = look(house).await?;
    phase_tx.send_replace(Phase::Stop);
    let mut heard = Vec::new();
    while let Some(leg) = legs.join_next().await {
        heard.push(leg??);
    }
    Ok(Seen {
        before,
        after,
        looks,
        empty,
        cpu,
        others,
        took,
        heard,
    })
}

/// Asks the bridge's process, without keeping the legs waiting.
async fn look(mut house: House) -> Result<(House, Snapshot)> {
    tokio::task::spawn_blocking(move || {
        let snapshot = house.look()?;
        Ok((house, snapshot))
    })
    .await?
}

fn ticks_row(args: &Args, seen: &Seen) -> Row {
    let ticks: Vec<(Option<u64>, u64)> = seen
        .after
        .ticks
        .iter()
        .zip(&seen.before.ticks)
        .map(|((bound, after), (_, before))| (*bound, after - before))
        .collect();
    let total: u64 = ticks.iter().map(|(_, count)| count).sum();
    let later = |ms| later_than(&ticks, ms);
    let allowed = total / 1000;
    let bound = ticks
        .iter()
        .find(|(bound, _)| bound.is_some_and(|ms| later(ms) <= allowed))
        .and_then(|(bound, _)| *bound)
        .map_or_else(|| "> 50 ms".to_owned(), |ms| format!("≤ {ms} ms"));
    let mut gaps: Vec<_> = seen.heard.iter().flat_map(|leg| leg.gaps.clone()).collect();
    let before = std::iter::once(later_than(&seen.before.ticks, LATE_MS));
    let steps = before.chain(seen.looks.iter().map(|look| look.late));
    let hit = steps
        .clone()
        .zip(steps.skip(1))
        .filter(|(a, b)| b > a)
        .count();
    let mut own: Vec<_> = seen
        .heard
        .iter()
        .flat_map(|leg| leg.own_late.clone())
        .collect();
    let figures = format!(
        "ticks late: p99.9 {bound}, {} of {total} beyond {LATE_MS} ms, in {hit} of {} s, max {} ms; frames arrive p50 {} ms, p99 {} ms, \
         p99.9 {} ms apart (the receiver's own timer late: p99.9 {} ms); bridge waited {} ms for a core each time; other programs had {} cores",
        later(LATE_MS),
        args.seconds,
        short(seen.after.late_ms_max),
        short(ms(percentile(&mut gaps, 0.5))),
        short(ms(percentile(&mut gaps, 0.99))),
        short(ms(percentile(&mut gaps, 0.999))),
        short(ms(percentile(&mut own, 0.999))),
        short(ms(seen.cpu.wait_each())),
        short(seen.others),
    );
    Row::new(
        format!("{}, time", args.title()),
        figures,
        "no tick > 10 ms late at p99.9",
        Verdict::of(total > 0 && later(LATE_MS) <= allowed),
        format!(
            "{} legs in pairs that hear each other for {} s, {}; relay and bridge in a process of \
             their own; lateness as the bridge counts it (clock at the tick less the time it was due).",
            args.count,
            args.seconds,
            match args.road.coded() {
                Some(rate) => format!("Opus of {rate} both ways"),
                None => "Opus packets of the telephone's passed untouched".to_owned(),
            }
        ),
    )
}

/// Sums up a histogram above a bound.
fn later_than(ticks: &[(Option<u64>, u64)], ms: u64) -> u64 {
    let beyond = |bound: Option<u64>| bound.is_none_or(|bound| bound > ms);
    let counts = ticks.iter().filter(|(bound, _)| beyond(*bound));
    counts.map(|(_, count)| count).sum()
}

fn queues_row(args: &Args, seen: &Seen) -> Row {
    let legs = f64::from(args.count);
    let depth = |look: &Look| look.depth_ms / legs;
    let (first, last) = (
        first_third(&seen.looks, depth),
        last_third(&seen.looks, depth),
    );
    let came = |of: fn(&Snapshot) -> u64| of(&seen.after) - of(&seen.before);
    let unsent = came(|s| s.frames_unsent);
    let dropped = came(|s| s.frames_dropped) + came(|s| s.overflowed);
    let loud: u64 = seen.heard.iter().map(|leg| leg.loud).sum();
    let frames: usize = seen.heard.iter().map(|leg| leg.gaps.len()).sum();
    let heard = loud as f64 / frames.max(1) as f64;
    Row::new(
        format!("{}, queues", args.title()),
        format!(
            "jitter buffers {} ms deep in the first third, {} ms in the last; {} of {} frames unsent, {} skipped, {} \
             dropped on arrival, {} underruns, {} ms concealed a leg; {} % of the frames heard have sound",
            short(first),
            short(last),
            unsent,
            came(|s| s.frames_out),
            came(|s| s.frames_skipped),
            dropped,
            came(|s| s.underruns),
            short((seen.after.concealed_ms - seen.before.concealed_ms) / legs),
            short(heard * 100.0)
        ),
        "none grows, none overflows",
        // Half of the frames have sound when nothing is lost: what is measured is a conversation.
        Verdict::of(last - first <= DEEPER_MS_MAX && unsent + dropped == 0 && heard > 0.5),
        "Same run. Depth: sound that waits in the legs' jitter buffers, once a second, average over the legs.",
    )
}

fn delay_row(args: &Args, seen: &Seen) -> Row {
    let mut beyond: Vec<f64> = seen
        .looks
        .iter()
        .flat_map(|look| look.beyond_ms.iter().copied())
        .collect();
    beyond.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| {
        let rank = (part * beyond.len() as f64) as usize;
        beyond
            .get(rank.min(beyond.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0.0)
    };
    Row::new(
        format!("{}, delay", args.title()),
        format!(
            "sound is sent p50 {} ms, p99 {} ms, max {} ms after the jitter buffer's target",
            short(at(0.5)),
            short(at(0.99)),
            short(at(1.0))
        ),
        "p99 ≤ 25 ms",
        Verdict::of(!beyond.is_empty() && at(0.99) <= DELAY_MS_MAX),
        "Same run. Each leg's delay from the earliest arrival of a packet to the tick that plays it, less its jitter buffer's \
         target, once a second: most of it is the 20 ms of the tick itself.",
    )
}

fn cpu_row(args: &Args, seen: &Seen, codec: Duration) -> Row {
    let legs = f64::from(args.count);
    let used = seen.cpu.used.as_secs_f64() / seen.took.as_secs_f64();
    let each = used / legs;
    let complexity = seen.looks.iter().map(|look| look.complexity);
    let (least, most) = (complexity.clone().min(), complexity.max());
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    let narrow = seen.looks.iter().filter(|look| look.narrow).count();
    if codec.is_zero() {
        return passed_row(args, seen, used, each);
    }
    let pure = codec.as_secs_f64() * 50.0;
    let (goal, verdict) = match args.core {
        Some(_) if args.road == Road::Audiosocket && args.count <= CODED_LEGS => (
            "at complexity 5: ratio ≤ 1.15, core ≥ 15 % idle",
            Verdict::of(
                least == Coding::default().complexity
                    && each / pure <= RATIO_MAX
                    && used <= USED_MAX,
            ),
        ),
        _ => ("", Verdict::Info),
    };
    Row::new(
        format!("{}, CPU", args.title()),
        format!(
            "{} % of a core for each leg, {} % for all; one Opus encoding and decoding: {} ms for each 20 ms, {} %; ratio {}; \
             complexity {least} to {most}, narrow band in {narrow} of {} s",
            short(each * 100.0),
            short(used * 100.0),
            short(ms(codec)),
            short(pure * 100.0),
            short(each / pure),
            seen.looks.len(),
        ),
        goal,
        verdict,
        format!(
            "Same run. CPU time of all threads of the bridge's process{}; the codec alone on one thread of the generator, same \
             settings ({} kbit/s), same sound, median of 5 runs of 10 s of sound. Complexity: what the load governor allowed.",
            on_core(args),
            args.bitrate / 1000,
        ),
    )
}

/// Legs that code nothing: what they cost.
fn passed_row(args: &Args, seen: &Seen, used: f64, each: f64) -> Row {
    let passed = seen.after.passed - seen.before.passed;
    let out = seen.after.frames_out - seen.before.frames_out;
    let goal = match args.core {
        Some(_) if args.count >= PASSED_LEGS => "1,000 on one core",
        _ => "",
    };
    let verdict = if goal.is_empty() {
        Verdict::Info
    } else {
        Verdict::of(used <= 1.0 && seen.after.frames_skipped == seen.before.frames_skipped)
    };
    Row::new(
        format!("{}, CPU", args.title()),
        format!(
            "{} % of a core for each leg, {} % for all; {} µs for 20 ms; {passed} of {out} packets passed untouched",
            short(each * 100.0),
            short(used * 100.0),
            short(each * 1e6 / 50.0),
        ),
        goal,
        verdict,
        format!(
            "Same run. CPU time of all threads of the bridge's process{}.",
            on_core(args)
        ),
    )
}

fn on_core(args: &Args) -> String {
    let core = args.core.map_or(String::new(), |core| {
        format!(", which has core {core} and no other")
    });
    let awake = if args.awake {
        "; the telephones' process never sleeps, so that waking it is no part of it"
    } else {
        ""
    };
    core + awake
}

fn memory_row(args: &Args, seen: &Seen) -> Row {
    let resident = |look: &Look| look.resident;
    let (first, last) = (
        first_third(&seen.looks, resident),
        last_third(&seen.looks, resident),
    );
    let each = (last - seen.empty) / f64::from(args.count);
    let growth = last / first - 1.0;
    Row::new(
        format!("{}, memory", args.title()),
        format!(
            "{} KB for each leg; resident {:.2} MB without legs, {:.2} MB in the first third, {:.2} MB in the last ({}{} %)",
            short(each / 1e3),
            seen.empty / 1e6,
            first / 1e6,
            last / 1e6,
            if growth < 0.0 { "" } else { "+" },
            short(growth * 100.0)
        ),
        "leg ≤ 300 KB; flat (≤ +2 %)",
        Verdict::of(each <= LEG_BYTES_MAX && growth <= GROWTH_MAX),
        "Same run. VmRSS of the bridge's process once a second; a leg: what the last third has more than the process \
         before the first leg, by the number of legs. Without the relay's cache, which keeps the last minute of each \
         track within a limit of its own.",
    )
}

fn first_third(looks: &[Look], of: impl Fn(&Look) -> f64) -> f64 {
    average(&looks[..looks.len() / 3], of)
}

fn last_third(looks: &[Look], of: impl Fn(&Look) -> f64) -> f64 {
    average(&looks[looks.len() - looks.len() / 3..], of)
}

fn average(looks: &[Look], of: impl Fn(&Look) -> f64) -> f64 {
    looks.iter().map(of).sum::<f64>() / looks.len().max(1) as f64
}

/// Until the child has said where it listens.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The child process; it ends with this value.
struct House {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    ready: Ready,
}

impl House {
    fn start(args: &Args) -> Result<Self> {
        let exe = std::env::current_exe()?;
        let mut command = match args.core {
            None => Command::new(exe),
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["--cpu-list", &core.to_string()]).arg(exe);
                pinned
            }
        };
        let mut child = command
            .args(["legs-house", "--count", &args.count.to_string()])
            .args(["--bitrate", &args.bitrate.to_string()])
            .args(["--road", args.road.option()])
            .args(
                args.room
                    .iter()
                    .flat_map(|size| ["--room".to_owned(), size.to_string()]),
            )
            .args(args.ungoverned.then_some("--ungoverned"))
            .args(["--listeners", &args.listeners.to_string()])
            .args(["--idle-rooms", &args.idle_rooms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the bridge's process")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut house = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
            ready: Ready {
                audiosocket: NOWHERE,
                websocket: NOWHERE,
                rtp: NOWHERE,
            },
        };
        house.ready = house.line()?;
        Ok(house)
    }

    /// Asks what the legs did.
    fn look(&mut self) -> Result<Snapshot> {
        let stdin = self.stdin.as_mut().context("standard input is piped")?;
        stdin.write_all(b"\n")?;
        stdin.flush()?;
        self.line()
    }

    fn line<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line)?;
        ensure!(read > 0, "the bridge's process ended");
        serde_json::from_str(&line).with_context(|| format!("the bridge's process said {line:?}"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ends by itself; a hanging one is not waited for.
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
