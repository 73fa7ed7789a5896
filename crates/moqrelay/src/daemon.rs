//! Puts the parts together, runs them, and ends them in order.

mod end;
mod parts;
mod ports;
mod retire;
mod settings;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context, Result};
use moqrelay_bridge::{Bridge, ami, ari};
use moqrelay_control::{self as control, Control, token::Keys};
use moqrelay_relay::Relay;
use moqrelay_room::{Counts, conference};
use tokio::sync::{mpsc, watch};

pub(crate) use self::settings::{ari_config, moq_limits};
use self::{
    end::Ending,
    parts::{Parts, Signals, Stage, happened, reached},
    ports::{Places, Ports, announce},
    retire::{Retiring, STRAYS_MAX, take_over, taken_over},
    settings::{
        ari_rate, bridge_config, control_config, directory, expect_standing, identity, moq_server,
        ops_config, relay_config, room_config,
    },
};
use crate::{
    auth::TokenGrants,
    cdr::{self, Cdr},
    config::{self, Config, Loaded, Secrets},
    driver::{Driver, Engines, RoomNames, Shown},
    memory,
    processors::Processors,
    reload::{Living, Reloader},
    room_file,
    rules::Keeper,
    services,
    speech::Speech,
    telemetry::{self, LogFilter},
    trunks::Trunks,
    upgrade::{Door, Gift, Inheritance, Tickets},
};

/// Checks what can be checked without opening a port.
///
/// # Errors
///
/// When a file that the configuration names cannot be used, or two users clash.
pub(crate) fn check(config: &Config) -> Result<()> {
    identity(&config.tls)?;
    directory(&config.users)?;
    if let Some(ari) = ari_config(config)? {
        ari.check().context("asterisk.ari")?;
    }
    Processors::new(&config.processor)?;
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
    let processors = Processors::new(&config.processor)?;
    let own_key = inheritance.as_ref().and_then(|it| it.own_key.clone());
    let keys = Arc::new(Keys::with_own(secrets.keys, own_key)?);
    if config.auth.keys.is_empty() {
        tracing::warn!("no auth.keys: tokens are signed with a key of this run and end with it");
    }

    let Ports {
        http,
        ops,
        bridge: listeners,
        copies,
    } = Ports::open(&config, &mut inheritance).await?;
    let relay = Relay::new(relay_config(&config.moq)?);
    let grants = Arc::new(TokenGrants::new(keys.clone(), &config.auth)?);
    let (server, workers) =
        moq_server(&config, &relay, &identity, grants.clone(), &mut inheritance)?;
    let (bridge, bridge_events, bridge_run) =
        Bridge::with(listeners, bridge_config(&config, &identity)?, relay.clone())?;
    let mut runs = inheritance
        .as_ref()
        .map_or_else(Vec::new, |it| it.runs.clone());
    let mut ari = ari_config(&config)?;
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
    let rules = config.calls.rules.clone().map(Keeper::open).transpose()?;
    let (rules, rules_run) = rules.unzip();
    let rooms = config.rooms.file.clone().map(room_file::Keeper::open);
    let (room_keeper, rooms_run) = rooms.transpose()?.unzip();
    let kept = rules.as_ref().map(Keeper::all).unwrap_or_default();
    let room_config = room_config(&config, &directory, kept)?;
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

    let tickets = Tickets::default();
    let mut inherited = Vec::new();
    if let Some(inheritance) = inheritance {
        let (lifeline, farewell) = take_over(inheritance).await?;
        inherited = farewell.tickets;
        if let Some(ari) = &mut ari {
            ari.elders_callers = farewell.callers;
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
    parts.spawn(
        "memory",
        memory::give_back(relay.clone(), server.clone(), stopped),
    );
    let stopped = reached(stop.clone(), Stage::Closing);
    let upkeep = telemetry::keep_up(metrics.clone(), telemetry::UPKEEP);
    parts.spawn("upkeep", async move {
        tokio::select! {
            () = upkeep => {}
            () = stopped => {}
        }
    });
    parts.spawn("bridge", bridge_run);
    let records = config.calls.records.clone().map(|path| {
        Cdr::new(cdr::File {
            path,
            bytes_max: config.calls.records_bytes_max,
            kept: config.calls.records_kept,
        })
    });
    let asked = config::registrations(config.asterisk.ami.as_ref(), &config.asterisk.trunks)?;
    let (registrations, ami_run) = asked.map(ami::watch).unzip();
    if let Some(run) = ami_run {
        parts.spawn("ami", run);
    }
    let (trunks_tx, trunks_shown) = watch::channel(Vec::new());
    let trunks = Trunks::new(&config.asterisk.trunks, trunks_tx);
    let (cdr, records_run) = records.unzip();
    if let Some(run) = records_run {
        parts.spawn("records", run);
    }
    let names = config.rooms.speech()?.map(|(sentences, program)| {
        let (speech, run, spoken) = Speech::new(program);
        parts.spawn("speech", run);
        (RoomNames { sentences, speech }, spoken)
    });
    if let Some(run) = rooms_run {
        parts.spawn("rooms", run);
    }
    if let Some(run) = rules_run {
        parts.spawn("rules", run);
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
            trunks_shown,
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
        detect_digits: config.asterisk.detect_digits,
        tickets: tickets.clone(),
        inherited,
        cdr,
        rooms: conference::Config {
            ring_timeout: config.calls.ring_timeout,
            ..config.rooms.conferences()?
        },
        seats: config.rooms.seats,
        room_voice: config.rooms.voice()?,
        names,
        room_files: config.rooms.files_taken()?,
        room_keeper,
        relay: relay.clone(),
        processors,
        trunks,
        registrations,
        rules,
        lines: services::devices(&config.asterisk),
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
            ports: ports::copied(&copies)?,
            moq: config.moq.listen,
            estate: server.estate()?,
            runs: runs.clone(),
            own_key: living_keys.own().cloned(),
        })
    };
    let successor = tokio::select! {
        () = signals.heard() => None,
        error = parts.broken() => return Err(error),
        successor = taken_over(door, gift, &server, steering.as_ref(), &tickets) => Some(successor),
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
    let ending = Ending {
        server,
        control,
        bridge,
        driver,
        parts,
        stop_tx,
        ready,
        counts,
    };
    ending.end(&config).await;
    Ok(())
}
