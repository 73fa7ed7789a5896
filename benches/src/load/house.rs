//! What is measured: a relay that runs, a daemon of our own, or the bare sender.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    client::Target,
    daemon::{self, Daemon, Doors},
};

/// Which relay.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// A relay that runs: https://… by WebTransport, moqt://… by raw QUIC; without it a daemon is started.
    #[arg(long, value_name = "URL")]
    url: Option<Target>,
    /// The process of that relay, for its CPU time and memory.
    #[arg(long, value_name = "PID", requires = "url")]
    relay_pid: Option<u32>,
    /// No relay at all: the same objects by a bare quinn sender, the floor.
    #[arg(long, conflicts_with = "url")]
    bare: bool,
    /// The daemon that is started is spoken to by raw QUIC.
    #[arg(long, conflicts_with_all = ["url", "bare"])]
    quic: bool,
    #[command(flatten)]
    daemon: daemon::Args,
}

/// A relay to measure; what was started for it ends with this value.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) target: Target,
    pub(crate) pid: Option<u32>,
    /// Where pages sign in, at a daemon that was started.
    pub(crate) http: Option<SocketAddr>,
    _started: Option<Started>,
}

#[derive(Debug)]
enum Started {
    Daemon(#[expect(dead_code, reason = "ends when it is dropped")] Daemon),
    Bare(Child),
}

impl House {
    /// Starts what the arguments ask for, everything open.
    pub(crate) fn open(args: &Args) -> Result<Self> {
        if let Some(target) = &args.url {
            return Ok(Self {
                target: target.clone(),
                pid: args.relay_pid,
                http: None,
                _started: None,
            });
        }
        if args.bare {
            return Self::bare();
        }
        Self::daemon(args, Doors::Open)
    }

    /// Starts a daemon.
    pub(crate) fn daemon(args: &Args, doors: Doors) -> Result<Self> {
        let daemon = Daemon::start(&args.daemon, doors)?;
        let scheme = if args.quic { "moqt" } else { "https" };
        Ok(Self {
            target: format!("{scheme}://{}/moq", daemon.moq).parse()?,
            pid: Some(daemon.pid()),
            http: Some(daemon.http),
            _started: Some(Started::Daemon(daemon)),
        })
    }

    /// Returns what every session goes to.
    pub(crate) fn targets(&self) -> &[Target] {
        std::slice::from_ref(&self.target)
    }

    fn bare() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bare")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the bare sender")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let pid = child.id();
        let started = Some(Started::Bare(child));
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Some(addr) = line.trim().strip_prefix("bare: ") else {
            bail!("the bare sender did not start");
        };
        Ok(Self {
            target: format!("bare://{addr}").parse()?,
            pid: Some(pid),
            http: None,
            _started: started,
        })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        match self {
            Self::Daemon(_) => {}
            Self::Bare(child) => {
                // It has nothing to say good-bye to. It may have ended by itself.
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}
