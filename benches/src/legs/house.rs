//! The child process: a relay and a bridge, nothing else.
//!
//! It says on standard output where it listens, answers each line on standard input with a [`Snapshot`], and ends
//! when standard input does. Each answer is one line of JSON.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use moqrelay_bridge::{
    Bridge, Config, Event, Events, LegId, Listeners, Place, Way,
    leg::{Coding, Lateness, OutRate, Spec, Stats},
};
use moqrelay_relay::{
    self as relay, CacheLimits, CachePolicy, Relay,
    track::{Event as Heard, Reader},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::road::{Road, rtp_addr};

/// How many legs to expect.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    pub(crate) count: u32,
    #[arg(long)]
    pub(crate) bitrate: u32,
    #[arg(long)]
    pub(crate) road: Road,
    #[arg(long)]
    pub(crate) ungoverned: bool,
    #[arg(long)]
    pub(crate) room: Option<u32>,
    #[arg(long)]
    pub(crate) listeners: u32,
    #[arg(long)]
    pub(crate) idle_rooms: u32,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) audiosocket: SocketAddr,
    pub(crate) websocket: SocketAddr,
    pub(crate) rtp: SocketAddr,
}

/// What all legs did so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Legs that are there.
    pub(crate) legs: u32,
    /// Legs that are over; none should be.
    pub(crate) ended: Vec<String>,
    /// Ticks by lateness: upper bound in ms (none for the rest) and how many.
    pub(crate) ticks: Vec<(Option<u64>, u64)>,
    /// The latest tick so far, in ms.
    pub(crate) late_ms_max: f64,
    pub(crate) frames_out: u64,
    pub(crate) frames_skipped: u64,
    pub(crate) frames_unsent: u64,
    pub(crate) frames_in: u64,
    pub(crate) frames_dropped: u64,
    pub(crate) objects_in: u64,
    /// Sources that are listened to; each leg should have one.
    pub(crate) sources: u32,
    /// Sound in all jitter buffers together, in ms.
    pub(crate) depth_ms: f64,
    pub(crate) underruns: u64,
    pub(crate) overflowed: u64,
    /// Concealed sound, in ms.
    pub(crate) concealed_ms: f64,
    /// libopus's complexity that the load governor allows.
    pub(crate) complexity: u8,
    /// Whether it allows narrow band only.
    pub(crate) narrow: bool,
    /// Packets that went to Asterisk untouched.
    pub(crate) passed: u64,
    /// Objects of rooms' mixes that those who listen by MoQ had.
    pub(crate) mix_objects: u64,
    /// By how much each source's delay exceeds its jitter buffer's target, in ms.
    pub(crate) beyond_ms: Vec<f64>,
}

/// Lines of standard input that may wait.
const LINES: usize = 8;

/// Where the names of rooms begin in which nobody hears anything.
const IDLE_ROOMS_FROM: u128 = 1 << 64;

/// How long a leg is expected: until the parent has connected all.
const EXPECTED: Duration = Duration::from_secs(60);

/// Lives until standard input ends.
pub(crate) fn run(args: &Args) -> Result<()> {
    // As the daemon has it: a thread for each core.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(args))
}

/// What the connection of a leg says.
pub(crate) fn uuid(leg: u32) -> Uuid {
    Uuid::from_u128(0x6d6f_7172_656c_6179 << 64 | u128::from(leg))
}

async fn serve(args: &Args) -> Result<()> {
    let (count, road) = (args.count, args.road);
    // What the relay keeps for latecomers is no part of a leg and has a limit of its own (`cache_bytes_max`).
    let relay = Relay::new(relay::Config {
        cache: CacheLimits {
            default: CachePolicy::NONE,
            ..CacheLimits::default()
        },
        ..relay::Config::default()
    });
    let config = Config {
        governed: !args.ungoverned,
        legs_max: usize::try_from(count)?.max(Config::default().legs_max),
        coding: Coding {
            bitrate_bps: args.bitrate,
            ..Coding::default()
        },
        ..Config::default()
    };
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    let listeners = Listeners {
        audiosocket: Bridge::open_listener(any)?,
        websocket: Some(Bridge::open_listener(any)?),
        rtp: Some(Bridge::open_rtp(any)?),
    };
    let (bridge, events, serving) = Bridge::with(listeners, config, relay.clone())?;
    let serving = tokio::spawn(serving);
    for leg in 0..count {
        let spec = Spec {
            leg: LegId(leg.into()),
            place: Some(place(leg, args.room)?),
            rate: OutRate::Hz16000,
        };
        bridge.expect(uuid(leg), spec, EXPECTED)?;
        match args.room {
            None => bridge.listen(LegId(leg.into()), place(leg ^ 1, None)?.audio().clone())?,
            Some(_) => {
                bridge.add_voice(place(leg, args.room)?);
                bridge.hear_room(LegId(leg.into()), place(leg, args.room)?)?;
            }
        }
    }
    let mix_objects = Arc::new(AtomicU64::new(0));
    if let (Some(size), 1..) = (args.room, args.listeners) {
        for room in 0..count.div_ceil(size) {
            let mix = Place::new(format!("{room:032x}"), "mix")?;
            bridge.publish_mix(mix.clone());
            for _ in 0..args.listeners {
                let reader = relay.subscribe(mix.audio().clone());
                tokio::spawn(listen(reader, mix_objects.clone()));
            }
        }
    }
    for room in 0..args.idle_rooms {
        let room = format!("{:032x}", IDLE_ROOMS_FROM + u128::from(room));
        // Somebody is there who could be heard, and a mix for whoever comes.
        bridge.add_voice(Place::new(room.clone(), "p1")?);
        bridge.publish_mix(Place::new(room, "mix")?);
    }
    say(&Ready {
        audiosocket: bridge.local_addr(),
        websocket: bridge.websocket_addr().context("it was opened")?,
        rtp: bridge.rtp_addr().context("it was opened")?,
    })?;
    if let Some((codec, _)) = road.rtp() {
        for leg in 0..count {
            let peers = vec![rtp_addr(leg)?];
            bridge.reach(uuid(leg), Way::Rtp { peers, codec })?;
            tokio::time::sleep(spacing(leg)).await;
        }
    }
    answer(&bridge, events, &mix_objects).await?;
    bridge.shut_down()?;
    serving.await.context("the bridge has failed")
}

/// Calls do not begin all at once: their ticks are spread over the 20 ms.
pub(super) fn spacing(leg: u32) -> Duration {
    Duration::from_micros(200 + u64::from(leg % 20) * 50)
}

/// Two neighbours have a room, or as many as a room has.
fn place(leg: u32, size: Option<u32>) -> Result<Place> {
    let size = size.unwrap_or(2);
    let (room, participant) = (
        format!("{:032x}", leg / size),
        format!("p{}", leg % size + 1),
    );
    Ok(Place::new(room, participant)?)
}

/// Hears a mix.
async fn listen(mut reader: Reader, objects: Arc<AtomicU64>) {
    while let Some(event) = reader.next().await {
        if matches!(event, Heard::Object(_)) {
            objects.fetch_add(1, Relaxed);
        }
    }
}

async fn answer(bridge: &Bridge, mut events: Events, mix_objects: &AtomicU64) -> Result<()> {
    let mut lines = lines();
    let mut ended = BTreeMap::new();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                None => return Ok(()),
                Some(()) => say(&Snapshot {
                    mix_objects: mix_objects.load(Relaxed),
                    ..snapshot(&bridge.stats().await?, &ended)
                })?,
            },
            event = events.recv() => match event {
                None => return Ok(()),
                Some(Event::Detached { leg, reason, .. }) => {
                    ended.insert(leg, reason.as_str());
                }
                Some(_) => {}
            },
        }
    }
}

/// Standard input, read by a thread of its own: tokio's would keep the process from ending.
fn lines() -> mpsc::Receiver<()> {
    let (tx, rx) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || tx.blocking_send(()).is_err() {
                return;
            }
        }
    });
    rx
}

fn say(what: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

fn snapshot(legs: &[(LegId, Stats)], ended: &BTreeMap<LegId, &str>) -> Snapshot {
    let mut lateness = Lateness::default();
    let mut all = Snapshot {
        legs: u32::try_from(legs.len()).unwrap_or(u32::MAX),
        ended: ended
            .iter()
            .map(|(leg, reason)| format!("{leg} {reason}"))
            .collect(),
        ..Snapshot::default()
    };
    for (_, stats) in legs {
        lateness.add(&stats.lateness);
        all.complexity = stats.complexity;
        all.narrow = stats.narrow;
        all.passed += stats.packets_passed;
        all.frames_out += stats.frames_out;
        all.frames_skipped += stats.frames_skipped;
        all.frames_unsent += stats.frames_unsent;
        all.frames_in += stats.frames_in;
        all.frames_dropped += stats.frames_dropped;
        all.objects_in += stats.objects_in;
        for (_, jitter) in &stats.sources {
            all.sources += 1;
            all.depth_ms += jitter.depth.as_secs_f64() * 1e3;
            all.underruns += jitter.underruns;
            all.overflowed += jitter.overflowed;
            all.concealed_ms += jitter.concealed.as_secs_f64() * 1e3;
            let beyond = jitter.delay.saturating_sub(jitter.target);
            all.beyond_ms.push(beyond.as_secs_f64() * 1e3);
        }
    }
    all.ticks = lateness
        .buckets()
        .map(|(bound, count)| (bound.map(|bound| bound.as_millis() as u64), count))
        .collect();
    all.late_ms_max = lateness.max().as_secs_f64() * 1e3;
    all
}
