//! The relays: how each is started.

use std::{
    fmt,
    net::UdpSocket,
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{
    Args,
    loads::{Cores, Load},
    on_cores, pinned,
};
use crate::{
    client::{self, Carrier, Client, Ear, Reading, Target},
    daemon,
};

/// A relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Kind {
    #[value(name = "moqrelay")]
    #[serde(rename = "moqrelay")]
    Ours,
    #[value(name = "moq-relay-ietf")]
    #[serde(rename = "moq-relay-ietf")]
    Ietf,
    #[value(name = "moq-relay")]
    #[serde(rename = "moq-relay")]
    MoqDev,
    #[value(name = "bare-quinn")]
    #[serde(rename = "bare-quinn")]
    Bare,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Ours, Self::Ietf, Self::MoqDev, Self::Bare];

    /// Tells whether it can be started, and on standard error when it cannot.
    pub(super) fn is_there(self, args: &Args) -> bool {
        let program = match self {
            Self::Ours => Some(args.daemon.clone()),
            Self::Ietf | Self::MoqDev => foreign(args, self),
            Self::Bare => return true,
        };
        let there = program.as_ref().is_some_and(|program| program.exists());
        if !there {
            eprintln!("{self} is left out: {program:?} is not there");
        }
        there
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "moqrelay",
            Self::Ietf => "moq-relay-ietf",
            Self::MoqDev => "moq-relay",
            Self::Bare => "bare quinn",
        })
    }
}

/// A relay that runs; it ends with this value.
pub(super) struct Running {
    child: Child,
    pub(super) url: String,
}

/// How long a relay may take until it answers.
const START: Duration = Duration::from_secs(20);

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);

impl Running {
    /// Starts a relay on its core and waits until it sets a session up.
    pub(super) fn start(args: &Args, load: &Load, kind: Kind) -> Result<Self> {
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = match load.cores {
            Cores::Own => pinned(args, args.core),
            Cores::WithLoads => on_cores(args, &format!("{},{}", args.core, args.load_core)),
        };
        let url = match kind {
            Kind::Ours => {
                daemon::on_ports(&mut command, &args.daemon, &args.config, port)?;
                command.env("MOQRELAY__MOQ__WORKERS", load.workers.to_string());
                format!("https://127.0.0.1:{port}/moq")
            }
            Kind::Ietf => {
                let (cert, key) = certificate(args)?;
                command
                    .arg(foreign(args, kind).context("--foreign is needed")?)
                    .args(["--bind", &format!("127.0.0.1:{port}")])
                    .arg("--tls-cert")
                    .arg(cert)
                    .arg("--tls-key")
                    .arg(key)
                    .arg("--coordinator-file")
                    .arg(args.json.with_extension("coordinator"))
                    .env("RUST_LOG", "error");
                format!("https://127.0.0.1:{port}/")
            }
            Kind::MoqDev => {
                let (cert, key) = certificate(args)?;
                command
                    .arg(foreign(args, kind).context("--foreign is needed")?)
                    .args(["--listen", &format!("127.0.0.1:{port}")])
                    .arg("--listen-tls-cert")
                    .arg(cert)
                    .arg("--listen-tls-key")
                    .arg(key)
                    .args(["--auth-public", "**"])
                    .env("RUST_LOG", "error");
                format!("https://127.0.0.1:{port}/")
            }
            Kind::Bare => {
                command.arg(std::env::current_exe()?);
                command.args(["bare", "--listen", &format!("127.0.0.1:{port}")]);
                format!("bare://127.0.0.1:{port}")
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("taskset (util-linux)")?;
        let mut running = Self { child, url };
        running.wait_until_ready(kind)?;
        Ok(running)
    }

    /// Returns its process: taskset and chrt become what they start.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, kind: Kind) -> Result<()> {
        let target: Target = self.url.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{kind} ended with {status} before it was ready");
            }
            let Err(error) = runtime.block_on(knock(&target)) else {
                return Ok(());
            };
            ensure!(
                Instant::now() < deadline,
                "{kind} was not ready after {START:?}: {error:#}"
            );
            std::thread::sleep(AGAIN);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing to say good-bye to. It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Opens a session and closes it.
async fn knock(target: &Target) -> Result<()> {
    let endpoint = client::endpoint(target.carrier, Reading::Eager)?;
    let open = async {
        if target.carrier == Carrier::Bare {
            client::open_bare(&endpoint, target, u32::MAX)
                .await?
                .close(0, b"ready");
        } else {
            let ear = Ear::new(std::sync::Arc::default());
            Client::connect(&endpoint, target, ear, Reading::Eager)
                .await?
                .close();
        }
        anyhow::Ok(())
    };
    // What is not listening yet says nothing.
    tokio::time::timeout(Duration::from_millis(500), open).await??;
    endpoint.wait_idle().await;
    Ok(())
}

fn foreign(args: &Args, kind: Kind) -> Option<PathBuf> {
    Some(args.foreign.as_ref()?.join(kind.to_string()))
}

/// Makes a certificate once; relays that cannot do so themselves want files.
fn certificate(args: &Args) -> Result<(PathBuf, PathBuf)> {
    let (cert, key) = (
        args.json.with_extension("cert.pem"),
        args.json.with_extension("key.pem"),
    );
    if !cert.exists() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        std::fs::write(&cert, made.cert.pem())?;
    }
    Ok((cert, key))
}
