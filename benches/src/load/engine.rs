//! One run: sessions, tracks, objects, and what came of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use moqrelay_moqt::{FullTrackName, Namespace, TrackAlias};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, sleep_until},
};
use web_transport_quinn as wt;

use super::{
    house::House,
    log::Log,
    report::Report,
    source::{Source, Stuff},
};
use crate::{
    client::{self, Carrier, Client, Ear, Reading, Target},
    figures::ms,
    proc::{self, Cpu, Machine},
};

/// A load.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// For people.
    pub(crate) what: String,
    pub(crate) rooms: u32,
    /// Sessions in each room.
    pub(crate) members: u32,
    /// The first so many of them have a track, which all others of the room hear.
    pub(crate) talkers: u32,
    /// Sessions that publish the first of these tracks together: each sends every object. 1: as usual; with more there
    /// is one talker.
    pub(crate) publishers: u32,
    /// The last so many of them do not read.
    pub(crate) slow: u32,
    pub(crate) stuff: Stuff,
    pub(crate) times: Times,
}

/// How long a load lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Sent first and not counted.
    pub(crate) warm_up: Duration,
    pub(crate) counted: Duration,
}

impl Times {
    /// So many seconds count; one goes before them.
    pub(crate) fn of_seconds(counted: u64) -> Self {
        Self {
            warm_up: Duration::from_secs(1),
            counted: Duration::from_secs(counted),
        }
    }
}

/// Sessions that share a UDP socket: some, so that bursts fit its buffer; not all, so that there are not 500 sockets.
pub(crate) const SESSIONS_PER_SOCKET: u32 = 32;

/// Sessions that are set up at a time: a relay may refuse more at once.
pub(crate) const AT_ONCE: usize = 32;

/// How long the last objects may take: longer than any relay's queue that is of use.
const SETTLE: Duration = Duration::from_secs(3);

/// Between two looks whether all have come.
const LOOK: Duration = Duration::from_millis(10);

/// Runs of one process differ in their names.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// One session of the load.
pub(crate) struct Member {
    room: u32,
    number: u32,
    pub(crate) link: Link,
    ear: Arc<Ear>,
    reading: Reading,
}

/// What a member sends with.
pub(crate) enum Link {
    Moq(Client),
    Bare(wt::Session),
}

/// The alias of every track where there is no MoQT.
const BARE_ALIAS: TrackAlias = TrackAlias(1);

/// Runs a load once.
pub(crate) async fn run(plan: &Plan, house: &House, number: u32) -> Result<Report> {
    let log = Arc::<Log>::default();
    let began = Instant::now();
    let mut members = enter(plan, house.targets(), &log).await?;
    let names = Names::new(number);
    let aliases = offer(plan, &mut members, &names).await?;
    let ready = Ready {
        members,
        aliases,
        took: began.elapsed(),
    };
    let hearers = plan.members - plan.slow - plan.publishers;
    send(plan, house, &log, ready, hearers).await
}

/// Sessions that have subscribed to all they are to hear.
pub(crate) struct Ready {
    pub(crate) members: Vec<Member>,
    /// What to send with, a track after the other.
    pub(crate) aliases: Vec<(wt::Session, TrackAlias)>,
    /// How long all of that took.
    pub(crate) took: Duration,
}

/// Sends on every track, each object for so many sessions, and looks what comes of it.
pub(crate) async fn send(
    plan: &Plan,
    house: &House,
    log: &Arc<Log>,
    ready: Ready,
    hearers: u32,
) -> Result<Report> {
    let Ready {
        members,
        aliases,
        took,
    } = ready;
    let (stop_tx, stop) = watch::channel(false);
    let mut sources = JoinSet::new();
    let period = Duration::from_secs(1) / plan.stuff.rate;
    let talkers = plan.rooms * plan.talkers;
    let per_source = plan.publishers as usize;
    for (at, publishers) in (0_u32..).zip(aliases.chunks(per_source)) {
        let source = Source::new(publishers.to_vec(), plan.stuff, log.clone());
        // People do not speak in step.
        sources.spawn(source.run(period * at / talkers, stop.clone()));
    }
    let seen = watch_load(plan, house, log).await?;
    log.shut();
    stop_tx.send_replace(true);
    let mut sent = 0;
    while let Some(source) = sources.join_next().await {
        sent += source?.context("a publisher")?;
    }
    let wanted = sent * u64::from(hearers);
    settle(log, wanted).await;
    let lost_sessions = members
        .iter()
        .filter(|member| member.link.has_ended())
        .count();
    let heard: Vec<u64> = members
        .iter()
        .filter(|member| member.hears(plan))
        .map(|member| member.ear.heard())
        .collect();
    leave(&members);
    let late = log.take();
    ensure!(late.count() > 0, "no object came through the relay");
    Ok(Report {
        what: plan.what.clone(),
        carrier: house.target.carrier.name().to_owned(),
        sessions: plan.rooms * plan.members,
        set_up_ms: took.as_secs_f64() * 1e3,
        seconds: seen.seconds,
        sent,
        wanted,
        heard: late.count(),
        lost: 1.0 - late.count() as f64 / wanted as f64,
        p50_ms: ms(late.percentile(0.5)),
        p99_ms: ms(late.percentile(0.99)),
        max_ms: ms(late.percentile(1.0)),
        delivered_each_s: seen.delivered as f64 / seen.seconds,
        mbit_each_s: seen.bytes as f64 * 8e-6 / seen.seconds,
        cpu_us_each: seen
            .relay
            .map(|cpu| cpu.used.as_secs_f64() * 1e6 / seen.delivered.max(1) as f64),
        relay_cores: seen.relay.map(|cpu| cpu.used.as_secs_f64() / seen.seconds),
        relay_waited_ms: seen.relay.map(|cpu| ms(cpu.wait_each())),
        generator_cores: seen.own.used.as_secs_f64() / seen.seconds,
        other_cores: seen.others,
        resident_before: seen.resident_before,
        resident_after: seen.resident_after,
        least_heard: heard.iter().copied().min().unwrap_or(0),
        most_heard: heard.iter().copied().max().unwrap_or(0),
        lost_sessions,
    })
}

/// What was seen while the load ran.
struct Seen {
    seconds: f64,
    delivered: u64,
    bytes: u64,
    relay: Option<Cpu>,
    own: Cpu,
    others: f64,
    resident_before: Option<u64>,
    resident_after: Option<u64>,
}

/// Lets the load warm up, then looks at both processes before and after.
async fn watch_load(plan: &Plan, house: &House, log: &Log) -> Result<Seen> {
    sleep(plan.times.warm_up).await;
    let relay_cpu = || house.pid.map(Cpu::of).transpose();
    let resident = || house.pid.map(proc::resident_bytes).transpose();
    let resident_before = resident()?;
    let (relay, own, machine) = (relay_cpu()?, Cpu::of(std::process::id())?, Machine::now()?);
    let (arrived, bytes, began) = (log.arrived(), log.arrived_bytes(), Instant::now());
    log.open();
    sleep_until((began + plan.times.counted).into()).await;
    let (delivered, bytes) = (log.arrived() - arrived, log.arrived_bytes() - bytes);
    let seconds = began.elapsed().as_secs_f64();
    let relay = relay_cpu()?
        .zip(relay)
        .map(|(after, before)| after.since(before));
    let own = Cpu::of(std::process::id())?.since(own);
    let ours = relay.unwrap_or_default().used + own.used;
    let others = Machine::now()?.cores_since(machine) - ours.as_secs_f64() / seconds;
    Ok(Seen {
        seconds,
        delivered,
        bytes,
        relay,
        own,
        others: others.max(0.0),
        resident_before,
        resident_after: resident()?,
    })
}

/// Waits until all have come that were sent, or no longer come.
async fn settle(log: &Log, wanted: u64) {
    let deadline = Instant::now() + SETTLE;
    while log.heard() < wanted && Instant::now() < deadline {
        sleep(LOOK).await;
    }
}

/// Opens every session, each to the next of the targets in turn.
pub(crate) async fn enter(plan: &Plan, targets: &[Target], log: &Arc<Log>) -> Result<Vec<Member>> {
    let all = plan.rooms * plan.members;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    let mut sockets = [None, None];
    for (n, target) in (0..all).zip(targets.iter().cycle()) {
        let (room, number) = (n / plan.members, n % plan.members);
        let reading = if number >= plan.members - plan.slow {
            Reading::Never
        } else {
            Reading::Eager
        };
        let socket = &mut sockets[usize::from(reading == Reading::Never)];
        if n % SESSIONS_PER_SOCKET == 0 || socket.is_none() {
            *socket = Some(client::endpoint(target.carrier, reading)?);
        }
        let endpoint = socket.clone().context("there is a socket")?;
        let (target, ear, turns) = (target.clone(), Ear::new(log.clone()), turns.clone());
        opening.spawn(async move {
            let _turn = turns.acquire_owned().await?;
            let link = Link::open(&endpoint, &target, room, &ear, reading).await;
            let link = link.with_context(|| format!("session {n} of {all}"))?;
            anyhow::Ok(Member {
                room,
                number,
                link,
                ear,
                reading,
            })
        });
    }
    let mut members = Vec::with_capacity(all as usize);
    while let Some(member) = opening.join_next().await {
        members.push(member??);
    }
    members.sort_unstable_by_key(|member| (member.room, member.number));
    Ok(members)
}

/// Closes every session.
pub(crate) fn leave(members: &[Member]) {
    for member in members {
        member.link.close();
    }
}

/// Offers every track, subscribes to it where it is heard, and returns what to send with.
pub(crate) async fn offer(
    plan: &Plan,
    members: &mut [Member],
    names: &Names,
) -> Result<Vec<(wt::Session, TrackAlias)>> {
    for member in members.iter().filter(|member| plan.speaks(member)) {
        if let Link::Moq(client) = &member.link {
            let talker = member.number.min(plan.talkers - 1);
            let namespace = names.namespace(member.room, talker)?;
            client
                .announce(namespace)
                .await
                .context("PUBLISH_NAMESPACE")?;
        }
    }
    let turns = Semaphore::new(AT_ONCE);
    let subscribing = members.iter().map(|member| async {
        let Link::Moq(client) = &member.link else {
            return Ok(());
        };
        let _turn = turns.acquire().await?;
        let together = plan.publishers > 1 && plan.speaks(member);
        let others = (0..plan.talkers).filter(|talker| *talker != member.number && !together);
        for talker in others {
            let track = names.track(member.room, talker)?;
            let subscribed = client.subscribe(track).await;
            subscribed.with_context(|| format!("SUBSCRIBE of session {}", member.number))?;
        }
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(subscribing).await?;
    let mut aliases = Vec::new();
    for member in members.iter_mut().filter(|member| plan.speaks(member)) {
        aliases.push(match &mut member.link {
            Link::Moq(client) => {
                let (_, alias) = client.wanted().await?;
                (client.transport().clone(), alias)
            }
            Link::Bare(session) => (session.clone(), BARE_ALIAS),
        });
    }
    Ok(aliases)
}

impl Link {
    async fn open(
        endpoint: &quinn::Endpoint,
        target: &Target,
        room: u32,
        ear: &Arc<Ear>,
        reading: Reading,
    ) -> Result<Self> {
        if target.carrier == Carrier::Bare {
            let session = client::open_bare(endpoint, target, room).await?;
            client::listen_bare(&session, ear, reading);
            return Ok(Self::Bare(session));
        }
        let client = Client::connect(endpoint, target, ear.clone(), reading).await?;
        Ok(Self::Moq(client))
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Moq(client) => client.transport().close_reason().is_some(),
            Self::Bare(session) => session.close_reason().is_some(),
        }
    }

    fn close(&self) {
        match self {
            Self::Moq(client) => client.close(),
            Self::Bare(session) => session.close(0, b"measured"),
        }
    }
}

impl Member {
    /// Returns its MoQ session; the bare sender has none.
    pub(crate) fn client(&mut self) -> Result<&mut Client> {
        match &mut self.link {
            Link::Moq(client) => Ok(client),
            Link::Bare(_) => bail!("the bare sender has no tracks"),
        }
    }

    /// Tells whether it should hear something.
    fn hears(&self, plan: &Plan) -> bool {
        self.reading == Reading::Eager && (!plan.speaks(self) || plan.talkers > 1)
    }
}

impl Plan {
    /// Tells whether a member publishes.
    fn speaks(&self, member: &Member) -> bool {
        member.number < self.talkers.max(self.publishers)
    }
}

/// Names that no other run has: relays keep old ones for a while.
pub(crate) struct Names(String);

impl Names {
    pub(crate) fn new(number: u32) -> Self {
        let run = RUNS.fetch_add(1, Relaxed);
        Self(format!("{}-{number}-{run}", std::process::id()))
    }

    fn namespace(&self, room: u32, member: u32) -> Result<Namespace> {
        let person = format!("{room}-{member}");
        Ok(Namespace::new([
            "bench".to_owned(),
            self.0.clone(),
            person,
        ])?)
    }

    pub(crate) fn track(&self, room: u32, member: u32) -> Result<FullTrackName> {
        Ok(FullTrackName::new(self.namespace(room, member)?, "voice")?)
    }
}
