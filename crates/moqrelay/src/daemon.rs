//! Puts the parts together, runs them, and ends them in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::SocketAddr,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use moqrelay_audio as audio;
use moqrelay_bridge::{
    self as bridge, Bridge, ari,
    leg::{Coding, OutRate, Shaping, VoiceMode},
};
use moqrelay_control::{
    self as control, Control, Directory, Ops, Web, directory::Entry, token::Keys,
};
use moqrelay_relay::{self as relay, Keep, Namespace, Relay, tls};
use moqrelay_room::{self as room, Counts, Number, User, UserId};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    auth::TokenGrants,
    bind,
    cdr::{self, Cdr},
    config::{self, Config, Loaded, Secrets},
    driver::{Driver, Engines, Shown, Staying},
    inspect::Inspect,
    media, memory,
    reload::{Living, Reloader},
    telemetry::{self, LogFilter},
    transport,
    upgrade::{Door, Gift, Inheritance, Lifeline, Successor},
};

/// The names in a certificate of our own, besides the addresses of loopback.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How long it may take to hang up and to close when clients had time to move before.
const ENDING_TIME: Duration = Duration::from_secs(3);

/// How long MoQ sessions have to leave by themselves when every call has ended.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// Checks what can be checked without opening a port.
///
/// # Errors
///
/// When a file that the configuration names cannot be used, or two users clash.
pub(crate) fn check(config: &Config) -> Result<()> {
    identity(&config.tls)?;
    directory(&config.users)?;
    if let Some(ari) = ari_config(config) {
        ari.check().context("asterisk.ari")?;
    }
    Ok(())
}

/// Runs the daemon until SIGTERM or Ctrl-C.
///
/// # Errors
///
/// When a port cannot be had, or a part fails.
pub(crate) async fn run(
    path: PathBuf,
    loaded: Loaded,
    secrets: Secrets,
    log: LogFilter,
    mut inheritance: Option<Inheritance>,
) -> Result<()> {
    let config = loaded.config.clone();
    let metrics = telemetry::start_metrics()?;
    let identity = identity(&config.tls)?;
    let directory = Arc::new(directory(&config.users)?);
    let own_key = inheritance.as_ref().and_then(|it| it.own_key.clone());
    let keys = Arc::new(Keys::with_own(secrets.keys, own_key)?);
    if config.auth.keys.is_empty() {
        tracing::warn!("no auth.keys: tokens are signed with a key of this run and end with it");
    }

    let http = port(&mut inheritance, HTTP, config.http.listen).await?;
    let ops = port(&mut inheritance, METRICS, config.metrics.listen).await?;
    let audiosocket =
        match inherited(&mut inheritance, AUDIOSOCKET, config.asterisk.audiosocket)? {
            Some(listener) => Ok(listener),
            None => Bridge::open_listener(config.asterisk.audiosocket),
        }
        .with_context(|| bind::occupied(AUDIOSOCKET, "TCP", config.asterisk.audiosocket))?;
    let websocket = match &config.asterisk.websocket {
        None => None,
        Some(ours) => Some(
            match inherited(&mut inheritance, MEDIA, ours.listen)? {
                Some(listener) => Ok(listener),
                None => Bridge::open_listener(ours.listen),
            }
            .with_context(|| bind::occupied(MEDIA, "TCP", ours.listen))?,
        ),
    };
    let rtp = match config.asterisk.rtp {
        None => None,
        Some(addr) => Some(rtp_socket(addr, inheritance.is_some())?),
    };
    let media = config.asterisk.websocket.as_ref().zip(websocket.as_ref());
    let media = media.map(|(ours, listener)| (MEDIA, ours.listen, listener.as_fd()));
    let ports = [
        (HTTP, config.http.listen, http.as_fd()),
        (METRICS, config.metrics.listen, ops.as_fd()),
        (
            AUDIOSOCKET,
            config.asterisk.audiosocket,
            audiosocket.as_fd(),
        ),
    ]
    .into_iter()
    .chain(media)
    .map(|(key, addr, fd)| Ok((key, (addr, fd.try_clone_to_owned()?))))
    .collect::<std::io::Result<BTreeMap<_, _>>>()?;
    let relay = Relay::new(relay_config(&config.moq)?);
    let grants = Arc::new(TokenGrants::new(keys.clone(), &config.auth)?);
    let (server, workers) =
        moq_server(&config, &relay, &identity, grants.clone(), &mut inheritance)?;
    let listeners = bridge::Listeners {
        audiosocket,
        websocket,
        rtp,
    };
    let (bridge, bridge_events, bridge_run) =
        Bridge::with(listeners, bridge_config(&config), relay.clone())?;
    let mut runs = inheritance
        .as_ref()
        .map_or_else(Vec::new, |it| it.runs.clone());
    let mut ari = ari_config(&config);
    if let Some(ari) = &mut ari {
        ari.check().context("asterisk.ari")?;
        ari.elders.clone_from(&runs);
        runs.insert(0, ari.run);
    }

    let living_keys = keys.clone();
    let living = Living {
        identity: identity.clone(),
        keys: keys.clone(),
        grants,
        server: server.clone(),
        log,
    };
    let (reloader, newest) = Reloader::new(path, loaded, living)?;
    let room_config = room_config(&config, &directory);
    let control_config = control_config(
        &config,
        &room_config,
        keys,
        directory.clone(),
        &identity,
        &server,
        newest.clone(),
    )?;
    let (control, requests) = Control::new(control_config);
    let places = Places {
        moq: server.local_addr(),
        http: http.local_addr()?,
        metrics: ops.local_addr()?,
        audiosocket: bridge.local_addr(),
    };
    let standing = expect_standing(&bridge, &directory)?;

    let mut parts = Parts::default();
    let ready = Arc::new(AtomicBool::new(true));
    let (counts_tx, counts) = watch::channel(Counts::default());
    let (stop_tx, stop) = watch::channel(Stage::Running);
    let (retired_tx, retired) = watch::channel(false);
    let (staying_tx, staying) = watch::channel(None);

    if let Some(inheritance) = inheritance {
        let (lifeline, callers) = take_over(inheritance).await?;
        if let Some(ari) = &mut ari {
            ari.elders_callers = callers;
        }
        let (strays_tx, strays) = mpsc::channel(STRAYS_MAX);
        bridge.leave_strays_to(strays_tx)?;
        let stopped = reached(stop.clone(), Stage::Closing);
        parts.spawn("elder", async move {
            tokio::select! {
                () = lifeline.carry(strays) => {}
                () = stopped => {}
            }
        });
    }
    let ari = match ari {
        None => None,
        Some(ari) => {
            let (handle, run, events) = ari::Client::new(ari).context("asterisk.ari")?;
            parts.spawn("ari", run);
            Some((handle, events))
        }
    };
    for worker in workers {
        parts.spawn_worker(worker)?;
    }
    let stopped = reached(stop.clone(), Stage::Closing);
    parts.spawn("memory", memory::give_back(relay.clone(), stopped));
    parts.spawn("bridge", bridge_run);
    let records = config.calls.records.clone().map(|path| {
        Cdr::new(cdr::File {
            path,
            bytes_max: config.calls.records_bytes_max,
            kept: config.calls.records_kept,
        })
    });
    let (cdr, records_run) = records.unzip();
    if let Some(run) = records_run {
        parts.spawn("records", run);
    }
    {
        let (control, stopped) = (control.clone(), reached(stop.clone(), Stage::Closing));
        parts.spawn("http", async move {
            if let Err(error) = control.serve(http, stopped).await {
                tracing::error!(%error, "the web server has failed");
            }
        });
    }
    {
        let mut ops_config = ops_config(
            metrics,
            ready.clone(),
            counts.clone(),
            control.clone(),
            &relay,
        );
        ops_config.bearer = Some(config.metrics.bearer.expose())
            .filter(|bearer| !bearer.is_empty())
            .map(Arc::from);
        let closing = reached(stop.clone(), Stage::Closing);
        let retired = happened(retired.clone());
        let stopped = async move {
            tokio::select! {
                () = closing => {}
                () = retired => {}
            }
        };
        parts.spawn("metrics", async move {
            if let Err(error) = control::serve_ops(ops, ops_config, stopped).await {
                tracing::error!(%error, "the metrics server has failed");
            }
        });
    }
    let steering = ari.as_ref().map(|(handle, _)| handle.clone());
    let engines = Engines {
        control: control.clone(),
        requests,
        bridge: bridge.clone(),
        bridge_events,
        standing,
        ari,
        ari_rate: ari_rate(&config),
        cdr,
    };
    let driver = tokio::spawn(Driver::run(
        room_config,
        engines,
        Shown {
            counts: counts_tx,
            staying: staying_tx,
        },
        happened(retired),
        reached(stop.clone(), Stage::Draining),
    ));

    // Before anybody is told that we are here: who is told may end us at once.
    let mut signals = Signals::new()?;
    let door = config
        .upgrade
        .socket
        .as_deref()
        .map(Door::open)
        .transpose()?;
    let reload = tokio::spawn(reloader.run());
    announce(&config, places);
    let retiring = Retiring {
        server: &server,
        relay: &relay,
        control: &control,
        bridge: &bridge,
        staying,
        retired: retired_tx,
        counts: counts.clone(),
        ready: &ready,
    };
    let gift = || {
        Ok(Gift {
            ports: copies(&ports)?,
            moq: config.moq.listen,
            estate: server.estate()?,
            runs: runs.clone(),
            own_key: living_keys.own().cloned(),
        })
    };
    let successor = tokio::select! {
        () = signals.heard() => None,
        error = parts.broken() => return Err(error),
        successor = taken_over(door, gift, &server, steering.as_ref()) => Some(successor),
    };
    reload.abort();
    let config = newest.borrow().clone();
    if let Some(successor) = successor {
        let time = config.upgrade.drain_timeout;
        retiring.retire(successor, time, &mut signals).await;
    }

    // ARI ends with its last handle.
    drop(steering);

    signals.end_at_once();
    let drain_timeout = config.daemon.drain_timeout;
    tracing::info!(?drain_timeout, "ending: nothing new is taken");
    ready.store(false, Ordering::Relaxed);
    let drained = timeout(drain_timeout, async {
        control.drain();
        if let Some(uri) = &config.moq.goaway_uri {
            send_away(uri, &server, counts, drain_timeout).await;
        }
        tracing::info!("the present calls are hung up");
        stop_tx.send_replace(Stage::Draining);
        if driver.await.is_err() {
            tracing::error!("the driver has failed");
        }
        stop_tx.send_replace(Stage::Closing);
        if let Err(error) = bridge.shut_down() {
            tracing::debug!(%error, "the bridge has ended before");
        }
        drop((control, bridge));
        server.drain("", LEAVE_TIME.min(drain_timeout / 2)).await;
        parts.ended().await;
    });
    if drained.await.is_err() {
        tracing::warn!("not everything ended within the drain time");
    }
    tracing::info!("ended");
    Ok(())
}

/// Tells the clients where to go, and lets their calls go on until they have gone, or the time for
/// it is over.
async fn send_away(
    uri: &url::Url,
    server: &relay::Server,
    mut counts: watch::Receiver<Counts>,
    drain_timeout: Duration,
) {
    let time = drain_timeout.saturating_sub(ENDING_TIME.min(drain_timeout / 2));
    tracing::info!(%uri, ?time, "clients are sent elsewhere; calls go on meanwhile");
    let gone = async {
        server.drain(uri.as_str(), time).await;
        // The sender ends with the driver: then there are no calls, either.
        drop(counts.wait_for(|counts| counts.calls == 0).await);
    };
    if timeout(time, gone).await.is_err() {
        tracing::warn!("not every client has moved");
    }
}

async fn happened(mut flag: watch::Receiver<bool>) {
    // An error: the sender is gone, and with it the daemon.
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Where the daemon can be reached.
#[derive(Debug, Clone, Copy)]
struct Places {
    moq: SocketAddr,
    http: SocketAddr,
    metrics: SocketAddr,
    audiosocket: SocketAddr,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    /// Calls end.
    Draining,
    /// Listeners and sockets close.
    Closing,
}

async fn reached(mut stop: watch::Receiver<Stage>, stage: Stage) {
    // An error: the sender is gone, and with it the daemon.
    if stop.wait_for(|now| *now >= stage).await.is_err() {
        tracing::debug!("stopped without a word");
    }
}

/// The tasks of the daemon; each ends only when the daemon does.
#[derive(Default)]
struct Parts {
    tasks: JoinSet<&'static str>,
}

impl Parts {
    fn spawn(&mut self, name: &'static str, run: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            run.await;
            name
        });
    }

    /// Gives a worker a thread, whose end ends the part.
    fn spawn_worker(&mut self, worker: relay::Worker) -> Result<()> {
        // Dropped at the thread's end, whatever that is.
        let (over_tx, over) = oneshot::channel::<()>();
        let name = worker.name();
        let run = move || {
            let _over_tx = over_tx;
            worker.run_here()
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(run)
            .context("a thread for MoQ sessions")?;
        self.spawn("moq", async move {
            drop(over.await);
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a worker cannot run"),
                Err(_panic) => tracing::error!("a worker has failed"),
            }
        });
        Ok(())
    }

    /// Completes when a part ends, which it should not.
    async fn broken(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(name)) => anyhow::anyhow!("the part {name} has ended by itself"),
            Some(Err(error)) => anyhow::anyhow!("a part has failed: {error}"),
            None => std::future::pending().await,
        }
    }

    /// Completes when all have ended.
    async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(name) => tracing::debug!(name, "ended"),
                Err(error) => tracing::error!(%error, "a part has failed"),
            }
        }
    }
}

/// SIGTERM and Ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The next signal does what it would have done without us.
    fn end_at_once(mut self) {
        tokio::spawn(async move {
            self.heard().await;
            tracing::warn!("ended at once by a second signal");
            std::process::exit(1);
        });
    }
}

/// The keys of the configuration by which ports are handed over.
const HTTP: &str = "http.listen";
const METRICS: &str = "metrics.listen";
const AUDIOSOCKET: &str = "asterisk.audiosocket";
const MEDIA: &str = "asterisk.websocket";

/// How long MoQ sessions without a call have to move to the process that takes over.
const MOVE_TIME: Duration = Duration::from_secs(30);

/// How long the audio of a call may take to be published and heard after the answer.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// Connections on their way to an older process; each is there within a millisecond.
const STRAYS_MAX: usize = 64;

/// How often it is looked whether everybody has gone.
const LOOK: Duration = Duration::from_millis(200);

/// Takes a port over, or opens it.
async fn port(
    inheritance: &mut Option<Inheritance>,
    key: &'static str,
    addr: SocketAddr,
) -> Result<TcpListener> {
    match inherited(inheritance, key, addr)? {
        Some(listener) => Ok(listener),
        None => bind::tcp(key, addr).await,
    }
}

fn inherited(
    inheritance: &mut Option<Inheritance>,
    key: &'static str,
    addr: SocketAddr,
) -> Result<Option<TcpListener>> {
    let listener = inheritance.as_mut().and_then(|it| it.port(key, addr));
    Ok(listener.map(TcpListener::from_std).transpose()?)
}

fn copies(
    ports: &BTreeMap<&'static str, (SocketAddr, OwnedFd)>,
) -> std::io::Result<BTreeMap<&'static str, (SocketAddr, OwnedFd)>> {
    let copy = |(key, (addr, fd)): (&&'static str, &(SocketAddr, OwnedFd))| {
        Ok((*key, (*addr, fd.try_clone()?)))
    };
    ports.iter().map(copy).collect()
}

/// Begins in the place of the running process.
async fn take_over(inheritance: Inheritance) -> Result<(Lifeline, BTreeSet<String>)> {
    let began = Instant::now();
    let begun = tokio::task::spawn_blocking(move || inheritance.begin()).await??;
    tracing::info!(took = ?began.elapsed(), "took over from the running daemon");
    Ok(begun)
}

/// Completes when another process has the ports.
async fn taken_over(
    door: Option<Door>,
    gift: impl Fn() -> std::io::Result<Gift>,
    server: &relay::Server,
    steering: Option<&ari::Handle>,
) -> Successor {
    let Some(door) = door else {
        return std::future::pending().await;
    };
    loop {
        let mut successor = door.successor(&gift).await;
        server.step_aside();
        match begin(&mut successor, steering).await {
            Ok(()) => {
                door.leave();
                return successor;
            }
            Err(error) => {
                server.step_back();
                if let Some(Err(error)) = steering.map(ari::Handle::step_back) {
                    tracing::warn!(%error, "ARI was not told");
                }
                let error = format!("{error:#}");
                tracing::warn!(error, "a take-over has failed: everything goes on");
            }
        }
    }
}

async fn begin(successor: &mut Successor, steering: Option<&ari::Handle>) -> Result<()> {
    let callers = match steering {
        Some(steering) => steering.step_aside().await.context("ARI")?,
        None => BTreeSet::new(),
    };
    successor.begin(&callers)
}

/// What has to know that another process has taken over.
struct Retiring<'a> {
    server: &'a relay::Server,
    relay: &'a Relay,
    control: &'a Control,
    bridge: &'a Bridge,
    staying: watch::Receiver<Option<Staying>>,
    retired: watch::Sender<bool>,
    counts: watch::Receiver<Counts>,
    ready: &'a AtomicBool,
}

impl Retiring<'_> {
    /// Takes nothing new, and returns when calls and sessions have ended, or at a signal, or when
    /// the time is over.
    async fn retire(self, successor: Successor, time: Duration, signals: &mut Signals) {
        tracing::info!(?time, "another process has taken over: calls go on here");
        self.ready.store(false, Ordering::Relaxed);
        self.control.retire();
        if let Err(error) = self.bridge.stop_accepting() {
            tracing::warn!(%error, "the bridge was not told");
        }
        self.retired.send_replace(true);
        let bridge = self.bridge.clone();
        let take_in = move |stray| {
            if let Err(error) = bridge.take_in(stray) {
                tracing::warn!(%error, "the bridge was not told");
            }
        };
        let watched = async {
            successor.attend(take_in).await;
            self.server.step_back();
            tracing::error!("the process that took over is gone: calls go on, nothing new begins");
            std::future::pending::<()>().await;
        };
        let idle = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                if self.counts.borrow().calls == 0 && self.relay.stats().sessions == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            () = watched => {}
            () = idle => {}
            () = let_go(self.server, self.staying) => {}
            () = signals.heard() => {}
            () = tokio::time::sleep(time) => tracing::warn!("calls are ended: the time is over"),
        }
    }
}

/// Asks MoQ sessions to go to the new process, but for those of calls. Whose call rings, or was
/// answered just now, has nothing to do with a room yet. Never ends.
async fn let_go(server: &relay::Server, mut staying: watch::Receiver<Option<Staying>>) {
    let keep = |bearers: &BTreeSet<String>| {
        let (below, bearers) = (Namespace::new(["room"]), bearers.clone());
        let below = below.expect("a word is a namespace");
        server.retire(Keep { below, bearers }, MOVE_TIME);
    };
    let mut kept = match staying.wait_for(Option::is_some).await {
        Ok(staying) => staying.clone().unwrap_or_default().in_calls,
        Err(_) => BTreeSet::new(),
    };
    keep(&kept);
    while !kept.is_empty() {
        let ended = match timeout(SETTLE_TIME, staying.changed()).await {
            Ok(Ok(())) => false,
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => true,
        };
        let now = staying.borrow_and_update().clone().unwrap_or_default();
        match ended {
            // Who has no call any more goes at once.
            false => kept.retain(|user| now.in_calls.contains(user)),
            true => kept = now.unanswered,
        }
        keep(&kept);
    }
    std::future::pending().await
}

#[allow(
    clippy::print_stdout,
    reason = "the line that a person who starts it looks for"
)]
fn announce(config: &Config, places: Places) {
    tracing::info!(
        moq = %places.moq,
        http = %places.http,
        audiosocket = %places.audiosocket,
        metrics = %places.metrics,
        guests = config.auth.guests,
        "moqrelay {} listens",
        env!("CARGO_PKG_VERSION")
    );
    println!("moqrelay: open http://localhost:{}", places.http.port());
}

fn identity(tls: &config::Tls) -> Result<tls::Identity> {
    match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            tls::files(certificate, key).context("tls.certificate and tls.key")
        }
        _ => tls::development(OWN_NAMES.map(str::to_owned).to_vec(), SystemTime::now())
            .context("a certificate of our own"),
    }
}

fn directory(users: &[config::User]) -> Result<Directory> {
    let entry = |user: &config::User| {
        anyhow::Ok(Entry {
            user: User {
                id: UserId::new(&user.id)?,
                name: user.name.clone(),
                number: user.number.as_deref().map(Number::new).transpose()?,
            },
            audiosocket: user.audiosocket,
        })
    };
    let entries = users
        .iter()
        .map(entry)
        .collect::<Result<Vec<_>>>()
        .context("users")?;
    Directory::new(entries).context("users")
}

fn expect_standing(bridge: &Bridge, directory: &Directory) -> Result<BTreeMap<uuid::Uuid, String>> {
    let mut standing = BTreeMap::new();
    for (uuid, user) in directory.audiosocket_uuids() {
        bridge.expect_standing(uuid, OutRate::Follow)?;
        standing.insert(uuid, user.to_string());
    }
    Ok(standing)
}

fn relay_config(moq: &config::Moq) -> Result<relay::Config> {
    let default = relay::CachePolicy {
        age: moq.cache_age_max,
        bytes: moq.cache_track_bytes_max,
        objects: moq.cache_track_objects_max,
    };
    let policies = moq.cache.iter().map(|cached| {
        let prefix = crate::auth::namespace(&cached.prefix).context("moq.cache.prefix")?;
        let policy = relay::CachePolicy {
            age: cached.age.unwrap_or(default.age),
            bytes: cached.bytes.unwrap_or(default.bytes),
            objects: cached.objects.unwrap_or(default.objects),
        };
        Ok((prefix, policy))
    });
    Ok(relay::Config {
        drafts: moq.drafts()?,
        cache: relay::CacheLimits {
            bytes: moq.cache_bytes_max,
            linger: moq.cache_linger,
            policies: policies.collect::<Result<_>>()?,
            default,
            ..relay::CacheLimits::default()
        },
        track: relay::TrackLimits {
            entries: moq.track_objects_max,
            bytes: moq.track_bytes_max,
            age: moq.track_age_max,
        },
        log: logs(moq, &moq.mlog_dir, moq.mlog_sample),
        qlog: logs(moq, &moq.qlog_dir, moq.qlog_sample),
        ..relay::Config::default()
    })
}

/// `None`: no folder is named.
fn logs(moq: &config::Moq, folder: &str, sample: u32) -> Option<relay::mlog::Config> {
    (!folder.is_empty()).then(|| relay::mlog::Config {
        folder: folder.into(),
        sample,
        file_bytes: moq.mlog_file_bytes_max,
        files: moq.mlog_files_max,
        age: moq.mlog_age_max,
    })
}

fn moq_server(
    config: &Config,
    relay: &Relay,
    identity: &tls::Identity,
    grants: Arc<TokenGrants>,
    inheritance: &mut Option<Inheritance>,
) -> Result<(relay::Server, Vec<relay::Worker>)> {
    let moq = &config.moq;
    let server = relay::ServerConfig {
        listen: moq.listen,
        tls: identity.clone(),
        authorize: grants,
        limits: moq_limits(moq),
        workers: workers(moq.workers),
    };
    match inheritance {
        Some(inheritance) => {
            let estate = inheritance.estate(moq.listen)?;
            Ok(relay::successor(relay, server, estate)?)
        }
        None => relay::server(relay, server)
            .with_context(|| bind::occupied("moq.listen", "UDP", moq.listen)),
    }
}

/// How many workers there are; 0: as many as the process has cores.
fn workers(wanted: usize) -> NonZeroUsize {
    NonZeroUsize::new(wanted)
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

/// What peers may use up by the configuration.
pub(crate) fn moq_limits(moq: &config::Moq) -> relay::Limits {
    relay::Limits {
        sessions: moq.sessions_max,
        sessions_per_address: moq.sessions_per_address_max,
        handshakes: moq.handshakes_max,
        handshakes_before_retry: moq.retry_from_handshakes,
        subscriptions: moq.subscriptions_per_session_max,
        tracks: moq.tracks_per_session_max,
        namespaces: moq.namespaces_per_session_max,
        requests_per_second: moq.requests_per_second_max,
        bytes_per_second: moq.bytes_per_second_max,
        namespace_fields: moq.namespace_fields_max,
        namespace_bytes: moq.namespace_bytes_max,
        object_bytes: moq.object_bytes_max,
        rendezvous: moq.rendezvous_max,
        fetches: moq.fetches_per_session_max,
        fill: moq.fetch_wait_max,
        ..relay::Limits::default()
    }
}

/// Opens the port of all RTP. An earlier daemon that still has calls keeps it: Asterisk is told the port with each
/// call, so another one does as well.
fn rtp_socket(addr: SocketAddr, takes_over: bool) -> Result<tokio::net::UdpSocket> {
    match Bridge::open_rtp(addr) {
        Err(error) if takes_over && error.kind() == std::io::ErrorKind::AddrInUse => {
            let socket = Bridge::open_rtp(SocketAddr::new(addr.ip(), 0))?;
            tracing::warn!(wanted = %addr, got = ?socket.local_addr(), "RTP has another port: the earlier daemon's calls need theirs");
            Ok(socket)
        }
        opened => opened.with_context(|| bind::occupied("asterisk.rtp", "UDP", addr)),
    }
}

fn bridge_config(config: &Config) -> bridge::Config {
    bridge::Config {
        listen: config.asterisk.audiosocket,
        media_credentials: config
            .asterisk
            .websocket
            .as_ref()
            .map(|ours| bridge::Credentials {
                user: ours.user.clone(),
                password: ari::Secret::new(ours.password.expose()),
            }),
        legs_max: config.asterisk.legs_max,
        coding: Coding {
            bitrate_bps: config.audio.bitrate,
            complexity: config.audio.complexity,
            mode: match config.audio.voice_mode {
                config::VoiceMode::Steady => VoiceMode::Steady,
                config::VoiceMode::Saving => VoiceMode::Saving,
            },
        },
        shaping: Shaping {
            level_control: config.audio.level_control,
            comfort_noise: config.audio.comfort_noise,
        },
        jitter: audio::jitter::Config {
            delay_min: config.audio.jitter_min,
            delay_max: config.audio.jitter_max,
            ..audio::jitter::Config::default()
        },
        ..bridge::Config::default()
    }
}

pub(crate) fn ari_config(config: &Config) -> Option<ari::Config> {
    let ours = config.asterisk.ari.as_ref()?;
    let own = config.asterisk.audiosocket.to_string();
    let mut ari = ari::Config::new(
        ours.url.as_str(),
        &ours.user,
        ari::Secret::new(ours.password.expose()),
        &ours.dial,
        ours.audiosocket.as_deref().unwrap_or(&own),
    );
    ari.app.clone_from(&ours.app);
    let rtp = config.asterisk.rtp.map(|addr| addr.to_string());
    ari.rtp = ours.rtp.clone().or(rtp);
    ari.choice = road_choice(ours.road, ours.format);
    let rule = |ours: &config::NumberRoad| ari::RoadRule {
        prefix: ours.prefix.clone(),
        calls: match ours.calls {
            config::Side::In => ari::Calls::In,
            config::Side::Out => ari::Calls::Out,
            config::Side::Both => ari::Calls::Both,
        },
        choice: road_choice(ours.road, ours.format),
    };
    ari.road_rules = ours.roads.iter().map(rule).collect();
    ari.legs_max = config.asterisk.legs_max;
    ari.ring_timeout = config.calls.ring_timeout;
    ari.unanswered = ours.unanswered.into();
    Some(ari)
}

fn road_choice(road: config::Road, format: Option<config::Format>) -> ari::Choice {
    let (road, best) = match road {
        config::Road::Auto => return ari::Choice::Cheapest,
        config::Road::AudioSocket => (ari::Road::AudioSocket, bridge::Codec::SLIN16),
        config::Road::WebSocket => (ari::Road::WebSocket, bridge::Codec::SLIN16),
        config::Road::Rtp => (ari::Road::Rtp, bridge::Codec::G722),
    };
    let named = format.map(config::Format::name);
    let codec = named.and_then(bridge::Codec::from_name).unwrap_or(best);
    ari::Choice::Fixed(road, codec)
}

/// What AudioSocket is spoken to at by ARI; on other roads, and where calls have several, what comes decides.
fn ari_rate(config: &Config) -> OutRate {
    let ours = config.asterisk.ari.as_ref();
    let ours = ours.filter(|ours| ours.roads.is_empty());
    match ours.map(|ours| road_choice(ours.road, ours.format)) {
        Some(ari::Choice::Fixed(ari::Road::AudioSocket, codec)) => match codec.name() {
            "slin" => OutRate::Hz8000,
            "slin12" => OutRate::Hz12000,
            "slin24" => OutRate::Hz24000,
            "slin48" => OutRate::Hz48000,
            _ => OutRate::Hz16000,
        },
        Some(ari::Choice::Fixed(..) | ari::Choice::Cheapest) | None => OutRate::Follow,
    }
}

fn room_config(config: &Config, directory: &Directory) -> room::Config {
    let defaults = room::Config::default();
    room::Config {
        users: directory.users().cloned().collect(),
        ring_timeout: config.calls.ring_timeout,
        call_duration_max: config.calls.duration_max,
        telephones_dial: config.asterisk.transfers_dial,
        limits: room::Limits {
            calls: config.calls.calls_max,
            users: config.calls.users_max,
            ..defaults.limits
        },
        ..defaults
    }
}

fn control_config(
    config: &Config,
    room: &room::Config,
    keys: Arc<Keys>,
    directory: Arc<Directory>,
    identity: &tls::Identity,
    server: &relay::Server,
    newest: watch::Receiver<Arc<Config>>,
) -> Result<control::Config> {
    let guests = match config.auth.guests {
        false => None,
        true => Some(control::Guests {
            numbers: config.auth.guest_number_range()?,
            token_ttl: config.auth.guest_lifetime,
            ..control::Guests::default()
        }),
    };
    Ok(control::Config {
        keys,
        directory,
        guests,
        asterisk_secret: config
            .asterisk
            .secret
            .as_ref()
            .map(|s| s.expose().to_owned()),
        transport: transport::source(
            &config.moq,
            identity.clone(),
            server.local_addr().port(),
            newest,
        )?,
        media: config.moq.fallback.then(|| media::door(server.clone())),
        tls: match config.http.tls {
            true => Some(identity.https().context("http.tls")?),
            false => None,
        },
        web: config
            .http
            .folder
            .clone()
            .map_or(Web::Embedded, Web::Folder),
        origins: config.http.origins.clone(),
        calls: control::Calls::from(room),
        limits: control::Limits::default(),
    })
}

fn ops_config(
    metrics: PrometheusHandle,
    ready: Arc<AtomicBool>,
    counts: watch::Receiver<Counts>,
    control: Control,
    relay: &Relay,
) -> Ops {
    let runtime = tokio::runtime::Handle::current();
    let render = move || {
        let now = *counts.borrow();
        let web = control.counts();
        for (name, value) in [
            ("moqrelay_users", now.users),
            ("moqrelay_devices", now.devices),
            ("moqrelay_calls", now.calls),
            ("moqrelay_calls_up", now.calls_up),
            ("moqrelay_legs", now.legs),
            ("moqrelay_tickets", now.tickets),
            ("moqrelay_http_connections", web.connections),
            ("moqrelay_signal_sessions", web.sessions),
            ("moqrelay_signal_sockets", web.attached),
            ("moqrelay_guests", web.guests),
            ("moqrelay_tasks", runtime.metrics().num_alive_tasks()),
        ] {
            #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
            metrics::gauge!(name).set(value as f64);
        }
        metrics.run_upkeep();
        metrics.render()
    };
    let ready = move || match ready.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err("draining".to_owned()),
    };
    Ops {
        metrics: Arc::new(render),
        ready: Arc::new(ready),
        relay: Arc::new(Inspect(relay.clone())),
        bearer: None,
    }
}
