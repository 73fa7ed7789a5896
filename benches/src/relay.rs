//! One voice track through a relay to many subscribers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use moqrelay_moqt::{
    FullTrackName, Namespace, TrackAlias,
    data::{Object, ObjectDatagram, ObjectStatus, SubgroupEncoder, SubgroupHeader, SubgroupId},
};
use tokio::time::{MissedTickBehavior, interval};
use web_transport_quinn as wt;

use crate::{
    client::{self, Client, DRAFT, Ear, Via},
    daemon::{self, Daemon},
    figures::{Runs, ms, percentile, short},
    proc::{Cpu, Machine},
    table::{Row, Verdict},
};

/// What to send, and to whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address of a relay that runs; without it a daemon is started for the measurement.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "pid")]
    relay: Option<SocketAddr>,
    /// The process of that relay, for its CPU time.
    #[arg(long)]
    pid: Option<u32>,
    #[command(flatten)]
    daemon: daemon::Args,
    /// Sessions that subscribe.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5000))]
    subscribers: u32,
    /// How objects travel.
    #[arg(long, value_enum, default_value = "datagram")]
    mode: Mode,
    /// What carries the sessions.
    #[arg(long, value_enum, default_value = "webtransport")]
    via: Via,
    /// Objects a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Bytes of an object's payload; 80 are 20 ms of Opus at 32 kbit/s.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(16..=1000))]
    size: u32,
    /// Seconds of a run that count; half a second goes before them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Runs, each with new sessions; of their figures the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: u32,
    /// Milliseconds that the 99th percentile may have, for the verdict; without it there is none.
    #[arg(long, value_name = "MS")]
    goal: Option<f64>,
}

/// How objects travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Each object is a datagram.
    Datagram,
    /// All objects are on one stream of one subgroup.
    Subgroup,
}

/// What one run gave.
struct Run {
    p50: Duration,
    p99: Duration,
    max: Duration,
    /// Objects that should have arrived and did not, as a part of all.
    lost: f64,
    /// The relay's CPU time for one delivery.
    cpu_each: Duration,
    /// How long the relay's threads waited for a core, each time.
    wait_each: Duration,
    /// The generator's own CPU time, as a part of one core.
    own: f64,
    /// Cores that other programs had, on average.
    others: f64,
}

/// Sessions that share a UDP socket: some, so that bursts fit its buffer; not all, so that there are not 500 sockets.
const SESSIONS_PER_SOCKET: u32 = 32;

/// Sent first and not counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long the last objects may take.
const SETTLE: Duration = Duration::from_millis(300);

/// Losses of this part of the objects make a run invalid as a latency figure.
const LOST_MAX: f64 = 0.001;

/// Measures what the arguments say.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>> {
    let started;
    let (relay, pid) = match (args.relay, args.pid) {
        (Some(relay), Some(pid)) => (relay, pid),
        _ => {
            started = Daemon::start(&args.daemon)?;
            (started.moq, started.pid())
        }
    };
    // One thread: the relay has the other core.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut runs = Vec::new();
    for number in 0..args.runs {
        runs.push(runtime.block_on(run(args, relay, pid, number))?);
    }
    Ok(vec![row(args, &runs)])
}

fn row(args: &Args, runs: &[Run]) -> Row {
    let over = |part: fn(&Run) -> f64| Runs::of(runs.iter().map(part));
    let p99 = over(|run| ms(run.p99));
    let lost = over(|run| run.lost);
    let mode = match args.mode {
        Mode::Datagram => "datagrams",
        Mode::Subgroup => "one long subgroup",
    };
    let figures = format!(
        "p50 {}, p99 {}, max {}; CPU {}/object; lost {} %; relay waited {} ms for a core each time; generator {} % of a core; \
         other programs had {} cores",
        over(|run| ms(run.p50)).text("ms"),
        p99.text("ms"),
        over(|run| ms(run.max)).text("ms"),
        over(|run| run.cpu_each.as_secs_f64() * 1e6).text("µs"),
        short(lost.median * 100.0),
        short(over(|run| ms(run.wait_each)).median),
        short(over(|run| run.own * 100.0).median),
        short(over(|run| run.others).median),
    );
    let (goal, verdict) = match args.goal {
        None => (String::new(), Verdict::Info),
        Some(goal) => (
            format!("p99 ≤ {goal} ms, none lost"),
            Verdict::of(p99.median <= goal && lost.median <= LOST_MAX),
        ),
    };
    let carrier = match args.via {
        Via::Webtransport => "WebTransport",
        Via::Quic => "raw QUIC",
    };
    let method = format!(
        "{} objects/s of {} B over {carrier}, {} runs of {} s, median (range); publisher's write to subscriber's read \
         in one process on one clock, both QUIC stacks included; relay's CPU time of all threads by objects delivered.",
        args.rate, args.size, args.runs, args.seconds
    );
    Row::new(
        format!("relay, 1 to {}, {mode}", args.subscribers),
        figures,
        goal,
        verdict,
        method,
    )
}

async fn run(args: &Args, relay: SocketAddr, pid: u32, number: u32) -> Result<Run> {
    let track = track(number)?;
    let log = Arc::new(Log::new());
    let silent: Ear = Arc::new(|_: &[u8]| {});
    let mut publisher = Client::connect(&client::endpoint(args.via)?, relay, args.via, silent)
        .await
        .context("publisher")?;
    let alias = publisher.publish(&track).await.context("PUBLISH")?;
    let subscribers = subscribe(args, relay, &track, &log).await?;

    let mut source = Source::open(args, publisher.transport().clone(), alias).await?;
    source.send_for(WARM_UP, &log).await?;
    tokio::time::sleep(SETTLE).await;
    log.clear();
    let (before, own) = (Cpu::of(pid)?, Cpu::of(std::process::id())?);
    let machine = Machine::now()?;
    let began = Instant::now();
    let sent = source
        .send_for(Duration::from_secs(args.seconds), &log)
        .await?;
    tokio::time::sleep(SETTLE).await;
    let (cpu, own) = (
        Cpu::of(pid)?.since(before),
        Cpu::of(std::process::id())?.since(own),
    );
    let took = began.elapsed();
    let ours = (cpu.used + own.used).as_secs_f64() / took.as_secs_f64();
    let others = (Machine::now()?.cores_since(machine) - ours).max(0.0);
    for subscriber in subscribers {
        subscriber.close();
    }
    publisher.close();

    let mut samples = log.take();
    let wanted = sent * u64::from(args.subscribers);
    ensure!(!samples.is_empty(), "no object came through the relay");
    let delivered = u32::try_from(samples.len())?;
    Ok(Run {
        p50: percentile(&mut samples, 0.5),
        p99: percentile(&mut samples, 0.99),
        max: percentile(&mut samples, 1.0),
        lost: 1.0 - f64::from(delivered) / wanted as f64,
        cpu_each: cpu.used / delivered,
        wait_each: cpu.wait_each(),
        own: own.used.as_secs_f64() / took.as_secs_f64(),
        others,
    })
}

/// A new track for each run: nothing of an earlier one is in the relay.
fn track(number: u32) -> Result<FullTrackName> {
    let run = format!("{}-{number}", std::process::id());
    let namespace = Namespace::new([Bytes::from_static(b"load"), Bytes::from(run)])?;
    Ok(FullTrackName::new(namespace, "audio")?)
}

async fn subscribe(
    args: &Args,
    relay: SocketAddr,
    track: &FullTrackName,
    log: &Arc<Log>,
) -> Result<Vec<Client>> {
    let mut endpoint = None;
    let mut subscribers = Vec::new();
    for number in 0..args.subscribers {
        if number % SESSIONS_PER_SOCKET == 0 {
            endpoint = Some(client::endpoint(args.via)?);
        }
        let endpoint = endpoint.as_ref().context("a socket was opened")?;
        let log = log.clone();
        let ear: Ear = Arc::new(move |payload: &[u8]| log.hear(payload));
        let mut subscriber = Client::connect(endpoint, relay, args.via, ear)
            .await
            .with_context(|| format!("subscriber {number}"))?;
        subscriber.subscribe(track).await.context("SUBSCRIBE")?;
        subscribers.push(subscriber);
    }
    Ok(subscribers)
}

/// How late objects arrived. Their payload begins with when they were sent, in nanoseconds since `began`.
struct Log {
    began: Instant,
    samples: Mutex<Vec<Duration>>,
}

impl Log {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            samples: Mutex::default(),
        }
    }

    fn stamp(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn hear(&self, payload: &[u8]) {
        let now = self.began.elapsed();
        let Some((stamp, _)) = payload.split_first_chunk::<8>() else {
            return;
        };
        let sent = Duration::from_nanos(u64::from_be_bytes(*stamp));
        self.samples().push(now.saturating_sub(sent));
    }

    fn clear(&self) {
        self.samples().clear();
    }

    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.samples())
    }

    fn samples(&self) -> std::sync::MutexGuard<'_, Vec<Duration>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What sends the objects.
struct Source {
    transport: wt::Session,
    alias: TrackAlias,
    rate: u32,
    size: usize,
    next: u64,
    subgroup: Option<(SubgroupEncoder, wt::SendStream)>,
}

impl Source {
    async fn open(args: &Args, transport: wt::Session, alias: TrackAlias) -> Result<Self> {
        let subgroup = match args.mode {
            Mode::Datagram => None,
            Mode::Subgroup => Some(open_subgroup(&transport, alias).await?),
        };
        Ok(Self {
            transport,
            alias,
            rate: args.rate,
            size: usize::try_from(args.size)?,
            next: 0,
            subgroup,
        })
    }

    /// Sends for so long, evenly, and returns how many objects that were.
    async fn send_for(&mut self, time: Duration, log: &Log) -> Result<u64> {
        let mut ticks = interval(Duration::from_secs(1) / self.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        let mut sent = 0;
        while began.elapsed() < time {
            ticks.tick().await;
            self.send(log.stamp()).await?;
            sent += 1;
        }
        Ok(sent)
    }

    async fn send(&mut self, stamp: u64) -> Result<()> {
        let mut payload = BytesMut::with_capacity(self.size);
        payload.put_u64(stamp);
        payload.resize(self.size, 0);
        let payload = payload.freeze();
        let number = self.next;
        self.next += 1;
        let Some((encoder, stream)) = &mut self.subgroup else {
            // Each voice packet is a group of its own, as the phones send it.
            let object = ObjectDatagram {
                alias: self.alias,
                group: number,
                id: 0,
                priority: None,
                end_of_group: false,
                status: ObjectStatus::Normal,
                properties: Bytes::new(),
                payload,
            };
            return Ok(self.transport.send_datagram(object.encode(DRAFT)?)?);
        };
        let object = Object {
            id: number,
            payload,
            ..Object::default()
        };
        let mut bytes = BytesMut::new();
        encoder.object(&object, &mut bytes)?;
        bytes.extend_from_slice(&object.payload);
        Ok(stream.write_all(&bytes).await?)
    }
}

async fn open_subgroup(
    transport: &wt::Session,
    alias: TrackAlias,
) -> Result<(SubgroupEncoder, wt::SendStream)> {
    let header = SubgroupHeader {
        alias,
        group: 0,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties: false,
        end_of_group: false,
        first_object: true,
    };
    let encoder = SubgroupEncoder::new(DRAFT, header);
    let mut stream = transport.open_uni().await?;
    let mut bytes = BytesMut::new();
    encoder.header(&mut bytes);
    stream.write_all(&bytes).await?;
    Ok((encoder, stream))
}
