//! What each part is told of the configuration.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::SystemTime,
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
use moqrelay_relay::{self as relay, Relay, tls};
use moqrelay_room::{self as room, Counts, Number, User, UserId};
use tokio::sync::watch;

use crate::{
    auth::TokenGrants,
    bind,
    config::{self, Config},
    inspect::Inspect,
    media, services, transport, trust,
    upgrade::Inheritance,
};

pub(super) fn identity(tls: &config::Tls) -> Result<tls::Identity> {
    match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            tls::files(certificate, key).context("tls.certificate and tls.key")
        }
        _ => tls::development(OWN_NAMES.map(str::to_owned).to_vec(), SystemTime::now())
            .context("a certificate of our own"),
    }
}

pub(super) fn directory(users: &[config::User]) -> Result<Directory> {
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

pub(super) fn expect_standing(
    bridge: &Bridge,
    directory: &Directory,
) -> Result<BTreeMap<uuid::Uuid, String>> {
    let mut standing = BTreeMap::new();
    for (uuid, user) in directory.audiosocket_uuids() {
        bridge.expect_standing(uuid, OutRate::Follow)?;
        standing.insert(uuid, user.to_string());
    }
    Ok(standing)
}

pub(super) fn relay_config(moq: &config::Moq) -> Result<relay::Config> {
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

pub(super) fn moq_server(
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
        gather: moq.gather,
        ..relay::Limits::default()
    }
}

pub(super) fn bridge_config(config: &Config, identity: &tls::Identity) -> Result<bridge::Config> {
    let media = config.asterisk.websocket.as_ref();
    let media_tls = match media.filter(|ours| ours.tls) {
        Some(_) => Some(media_tls(
            identity.https().context("asterisk.websocket.tls")?,
        )),
        None => None,
    };
    Ok(bridge::Config {
        listen: config.asterisk.audiosocket,
        media_tls,
        media_credentials: config
            .asterisk
            .websocket
            .as_ref()
            .map(|ours| bridge::Credentials {
                user: ours.user.clone(),
                password: ari::Secret::new(ours.password.expose()),
            }),
        legs_max: config.asterisk.legs_max,
        governed: true,
        seats: config.rooms.seats,
        coding: Coding {
            bitrate_bps: config.audio.bitrate,
            complexity: config.audio.complexity,
            mode: match config.audio.voice_mode {
                config::VoiceMode::Steady => VoiceMode::Steady,
                config::VoiceMode::Saving => VoiceMode::Saving,
            },
        },
        shaping: Shaping {
            noise_suppression: config::Direction::all(&config.audio.noise_suppression),
            level_control: config::Direction::all(&config.audio.level_control),
            comfort_noise: config.audio.comfort_noise,
            rooms_level_control: config.rooms.level_control,
        },
        jitter: audio::jitter::Config {
            delay_min: config.audio.jitter_min,
            delay_max: config.audio.jitter_max,
            ..audio::jitter::Config::default()
        },
        ..bridge::Config::default()
    })
}

/// TLS for Asterisk's WebSockets, with the certificate that browsers see.
fn media_tls(config: Arc<rustls::ServerConfig>) -> bridge::TlsAcceptor {
    bridge::TlsAcceptor::new(move |stream| {
        let secured = control::secure(stream, config.clone());
        Box::pin(async move {
            let stream: Box<dyn bridge::leg::Bytestream> = Box::new(secured.await?);
            Ok(stream)
        })
    })
}

/// Returns what the client of ARI is to know, if there is ARI.
///
/// # Errors
///
/// When `ca` cannot be used.
pub(crate) fn ari_config(config: &Config) -> Result<Option<ari::Config>> {
    let Some(ours) = &config.asterisk.ari else {
        return Ok(None);
    };
    let own = config.asterisk.audiosocket.to_string();
    let mut ari = ari::Config::new(
        ours.url.as_str(),
        &ours.user,
        ari::Secret::new(ours.password.expose()),
        &ours.dial,
        ours.audiosocket.as_deref().unwrap_or(&own),
    );
    ari.app.clone_from(&ours.app);
    let trunks = config.asterisk.trunks.iter();
    ari.trunks = trunks.map(config::Trunk::to_ari).collect();
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
    let lines = config.asterisk.lines.iter();
    ari.lines = lines.map(|line| line.device.clone()).collect();
    ari.mailbox.clone_from(&ours.mailbox);
    if ours.url.scheme() == "https" {
        let connector = trust::connector(ours.ca.as_deref()).context("asterisk.ari.ca")?;
        ari.tls = Some(connector);
    }
    Ok(Some(ari))
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
pub(super) fn ari_rate(config: &Config) -> OutRate {
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

pub(super) fn room_config(
    config: &Config,
    directory: &Directory,
    rules: Vec<(User, room::Rules)>,
) -> Result<room::Config> {
    let defaults = room::Config::default();
    Ok(room::Config {
        routing: config::routing(&config.asterisk.numbers, &config.asterisk.trunks)?,
        users: directory.users().cloned().collect(),
        ring_timeout: config.calls.ring_timeout,
        call_duration_max: config.calls.duration_max,
        telephones_dial: config.asterisk.transfers_dial,
        rules,
        parking: services::parking(&config.calls),
        pick_up: Number::new(&config.calls.pick_up).ok(),
        lines: services::lines(&config.asterisk),
        limits: room::Limits {
            calls: config.calls.calls_max,
            users: config.calls.users_max,
            ..defaults.limits
        },
        ..defaults
    })
}

pub(super) fn control_config(
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
        files: config.rooms.files()?,
        calls: control::Calls::from(room),
        services: services::told(config),
        limits: control::Limits::default(),
    })
}

pub(super) fn ops_config(
    metrics: PrometheusHandle,
    ready: Arc<AtomicBool>,
    counts: watch::Receiver<Counts>,
    control: Control,
    relay: &Relay,
    trunks: watch::Receiver<Vec<control::Trunk>>,
) -> Ops {
    let rooms = control.clone();
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
        trunks: Arc::new(move || trunks.borrow().clone()),
        control: rooms,
        bearer: None,
    }
}

/// The names in a certificate of our own, besides the addresses of loopback.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
