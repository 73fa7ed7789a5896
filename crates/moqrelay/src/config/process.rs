//! The process, its log, and the process that takes its place.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::within;

/// The process.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Daemon {
    /// Worker threads; 0: one for each core.
    pub(crate) workers: usize,
    /// From SIGTERM to the end of the process at the latest.
    #[serde(with = "humantime_serde")]
    pub(crate) drain_timeout: Duration,
    /// How often the files are looked at for a change; 0: never.
    #[serde(with = "humantime_serde")]
    pub(crate) watch: Duration,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            workers: 0,
            drain_timeout: Duration::from_secs(10),
            watch: Duration::from_secs(2),
        }
    }
}

impl Daemon {
    pub(super) fn check(&self) -> Result<()> {
        within("daemon.drain_timeout", self.drain_timeout, 1, 600)?;
        let watch = self.watch;
        ensure!(
            watch.is_zero() || (WATCH_MIN..=WATCH_MAX).contains(&watch),
            "daemon.watch is {watch:?}: allowed are 0s and {WATCH_MIN:?} to {WATCH_MAX:?}"
        );
        Ok(())
    }
}

/// Logging, to standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// A new process takes over from a running one.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Upgrade {
    /// Where the running process listens for the new one; absent: it does not.
    pub(crate) socket: Option<PathBuf>,
    /// How long calls may go on in a process from which another has taken over.
    #[serde(with = "humantime_serde")]
    pub(crate) drain_timeout: Duration,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self {
            socket: None,
            drain_timeout: Duration::from_secs(4 * 3600),
        }
    }
}

impl Upgrade {
    pub(super) fn check(&self) -> Result<()> {
        within("upgrade.drain_timeout", self.drain_timeout, 1, 7 * 86_400)
    }
}

/// How often files may be looked at: a look is a system call for each.
const WATCH_MIN: Duration = Duration::from_millis(10);
const WATCH_MAX: Duration = Duration::from_secs(3600);
