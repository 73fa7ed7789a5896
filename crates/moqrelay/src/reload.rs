//! Reading the configuration, and the files that it names, again while the daemon runs.
//!
//! All or nothing: what is broken anywhere leaves everything as it was, and the log says what it
//! is. Keys that only a new start can change are named.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use moqrelay_control::token::Keys;
use moqrelay_relay::{self as relay, tls};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    auth::TokenGrants,
    config::{Config, Loaded, Raw},
    daemon::moq_limits,
    telemetry::LogFilter,
};

/// Keys that can change while the daemon runs.
const LIVE: &[&str] = &[
    "auth.anonymous_publish",
    "auth.anonymous_subscribe",
    "auth.keys",
    "daemon.drain_timeout",
    "daemon.watch",
    "log.level",
    "moq.bytes_per_second_max",
    "moq.fetch_wait_max",
    "moq.fetches_per_session_max",
    "moq.goaway_uri",
    "moq.handshakes_max",
    "moq.namespace_bytes_max",
    "moq.namespace_fields_max",
    "moq.namespaces_per_session_max",
    "moq.object_bytes_max",
    "moq.rendezvous_max",
    "moq.requests_per_second_max",
    "moq.retry_from_handshakes",
    "moq.sessions_max",
    "moq.sessions_per_address_max",
    "moq.subscriptions_per_session_max",
    "moq.tracks_per_session_max",
    "tls.certificate",
    "tls.key",
    "upgrade.drain_timeout",
];

/// What a reload changes.
pub(crate) struct Living {
    pub(crate) identity: tls::Identity,
    pub(crate) keys: Arc<Keys>,
    pub(crate) grants: Arc<TokenGrants>,
    pub(crate) server: relay::Server,
    pub(crate) log: LogFilter,
}

/// Reads files again when it is told to, or when they have changed.
pub(crate) struct Reloader {
    path: PathBuf,
    raw: Raw,
    config: watch::Sender<Arc<Config>>,
    living: Living,
    hangup: Signal,
    seen: Vec<Stamp>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl Reloader {
    /// Hears SIGHUP from now on. What is read is told to the receiver.
    ///
    /// # Errors
    ///
    /// When the signal cannot be had.
    pub(crate) fn new(
        path: PathBuf,
        loaded: Loaded,
        living: Living,
    ) -> io::Result<(Self, watch::Receiver<Arc<Config>>)> {
        let (config, receiver) = watch::channel(Arc::new(loaded.config));
        let mut reloader = Self {
            path,
            raw: loaded.raw,
            config,
            living,
            hangup: signal(SignalKind::hangup())?,
            seen: Vec::new(),
        };
        reloader.seen = reloader.stamps();
        Ok((reloader, receiver))
    }

    /// Reloads at each SIGHUP and at each change, for ever.
    pub(crate) async fn run(mut self) {
        let mut every = self.config.borrow().daemon.watch;
        let mut look = ticks(every);
        // A change is taken when it is over: two looks must see the same.
        let mut last = self.seen.clone();
        loop {
            tokio::select! {
                heard = self.hangup.recv() => {
                    if heard.is_none() {
                        std::future::pending::<()>().await;
                    }
                    self.reload("SIGHUP");
                }
                _ = look.tick(), if !every.is_zero() => {
                    let now = self.stamps();
                    if now != self.seen && now == last {
                        self.reload("a file has changed");
                    }
                    last = now;
                }
            }
            let wanted = self.config.borrow().daemon.watch;
            if wanted != every {
                every = wanted;
                look = ticks(every);
            }
        }
    }

    fn reload(&mut self, why: &'static str) {
        // Before the files are read: what changes meanwhile is a change again.
        self.seen = self.stamps();
        match self.apply() {
            Ok(asleep) => {
                metrics::counter!("moqrelay_reloads_total", "outcome" => "done").increment(1);
                tracing::info!(why, "configuration, keys and certificate were read again");
                if !asleep.is_empty() {
                    let keys: Vec<_> = asleep.into_iter().collect();
                    tracing::warn!(keys = keys.join(", "), "these keys need a restart");
                }
            }
            Err(error) => {
                metrics::counter!("moqrelay_reloads_total", "outcome" => "failed").increment(1);
                let error = format!("{error:#}");
                tracing::error!(why, error, "not read again: everything stays as it was");
            }
        }
        // The new configuration may name other files.
        self.seen = self.stamps();
    }

    /// Returns the keys that have changed and need a restart.
    fn apply(&mut self) -> Result<BTreeSet<String>> {
        let Loaded { config, raw } =
            Config::load(&self.path).with_context(|| self.path.display().to_string())?;
        let secrets = config.secrets()?;
        let grants = TokenGrants::anonymous(&config.auth)?;
        let filter = LogFilter::parse(&config.log)?;
        let files = self.certificate(&config)?;
        // Nothing can fail from here on, but for a file that changes in this very moment.
        if let Some((certificate, key)) = files {
            let living = &self.living;
            living.identity.move_to(certificate, key).context("tls")?;
        }
        self.living
            .keys
            .replace(secrets.keys)
            .context("auth.keys")?;
        self.living.grants.replace(grants);
        self.living.log.set(filter)?;
        self.living.server.set_limits(moq_limits(&config.moq));
        let asleep = changed(&self.raw, &raw)
            .filter(|key| !is_live(key))
            .collect();
        self.raw = raw;
        self.config.send_replace(Arc::new(config));
        Ok(asleep)
    }

    /// Returns the certificate's files if they can be used.
    fn certificate<'a>(&self, config: &'a Config) -> Result<Option<(&'a Path, &'a Path)>> {
        let before = self.config.borrow().tls.certificate.is_some();
        let (certificate, key) = match (&config.tls.certificate, &config.tls.key) {
            (Some(certificate), Some(key)) if before => (certificate, key),
            (None, None) if !before => return Ok(None),
            _ => bail!(
                "tls.certificate: a change between files and a certificate of our own needs a restart"
            ),
        };
        tls::files(certificate, key).context("tls.certificate and tls.key")?;
        Ok(Some((certificate, key)))
    }

    fn stamps(&self) -> Vec<Stamp> {
        let config = self.config.borrow();
        let keys = config.auth.keys.iter();
        let named = [&config.tls.certificate, &config.tls.key]
            .into_iter()
            .chain(keys.flat_map(|key| [&key.file, &key.private_file]))
            .flatten();
        std::iter::once(&self.path)
            .chain(named)
            .map(|path| stamp(path))
            .collect()
    }
}

/// Follows links, so that a link that is turned to another file counts as a change.
fn stamp(path: &Path) -> Stamp {
    let seen = fs::metadata(path).and_then(|data| Ok((data.modified()?, data.len(), data.ino())));
    Stamp(seen.ok())
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(if every.is_zero() {
        Duration::MAX / 2
    } else {
        every
    });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn changed<'a>(before: &'a Raw, after: &'a Raw) -> impl Iterator<Item = String> + 'a {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .cloned()
}

fn is_live(key: &str) -> bool {
    LIVE.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(pairs: &[(&str, &str)]) -> Raw {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn keys_that_changed_came_or_went_are_named() {
        let before = raw(&[("a.same", "1"), ("a.other", "1"), ("a.gone", "1")]);
        let after = raw(&[("a.same", "1"), ("a.other", "2"), ("a.new", "1")]);

        let changed: Vec<_> = changed(&before, &after).collect();

        assert_eq!(changed, ["a.gone", "a.new", "a.other"]);
    }

    #[test]
    fn every_live_key_is_a_key() {
        let Loaded { raw, .. } = Config::load(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../config/relay.toml"
        )))
        .unwrap();
        // What the shipped file leaves out because it has no default.
        let optional = ["auth.keys", "moq.goaway_uri", "tls.certificate", "tls.key"];

        for key in LIVE {
            assert!(raw.contains_key(*key) || optional.contains(key), "{key}");
        }
    }
}
