//! A daemon of its own for a measurement, on free ports.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// Which daemon.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// The program.
    #[arg(long, value_name = "FILE", default_value = "target/release/moqrelay")]
    daemon: PathBuf,
    /// Its configuration; the ports are replaced by free ones. Without it everything is open (config/open.toml), for a
    /// load that comes with tokens it is as delivered (config/relay.toml).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Who may do what at a daemon whose configuration was not named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doors {
    /// Everyone everything.
    Open,
    /// Whoever brings a token what that grants; guests get one.
    Tokens,
}

/// A daemon that runs; it ends with this value.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pub(crate) moq: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// Where a daemon listens besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    http: SocketAddr,
    metrics: SocketAddr,
}

/// How long a daemon may take until it is ready.
const START: Duration = Duration::from_secs(20);

/// A free port may be taken before it is used.
const ATTEMPTS: usize = 3;

impl Daemon {
    /// Starts a daemon and waits until it is ready.
    pub(crate) fn start(args: &Args, doors: Doors) -> Result<Self> {
        let config = args.config.as_deref().unwrap_or(match doors {
            Doors::Open => Path::new("config/open.toml"),
            Doors::Tokens => Path::new("config/relay.toml"),
        });
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Self::try_start(&args.daemon, config) {
                Ok(daemon) => return Ok(daemon),
                Err(error) => last = Some(error),
            }
        }
        last.map_or_else(|| bail!("no attempt"), Err)
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn try_start(program: &Path, config: &Path) -> Result<Self> {
        let moq = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        // What `env` starts is the daemon itself: the process that is measured.
        let mut command = Command::new("env");
        let ports = on_ports(&mut command, program, config, moq.port())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| {
                format!(
                    "cannot start {}: build it (cargo build --release --package moqrelay) or name it with --daemon",
                    program.display()
                )
            })?;
        let http = ports.http;
        let mut daemon = Self { child, moq, http };
        daemon.wait_until_ready(ports.metrics)?;
        Ok(daemon)
    }

    fn wait_until_ready(&mut self, metrics: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + START;
        while !is_ready(metrics) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended with {status} before it was ready");
            }
            ensure!(
                Instant::now() < deadline,
                "the daemon was not ready after {START:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Adds the daemon to a command that becomes what it starts; returns where else it will listen.
pub(crate) fn on_ports(
    command: &mut Command,
    daemon: &Path,
    config: &Path,
    moq: u16,
) -> Result<Ports> {
    let [http, metrics, audiosocket] = free_ports()?;
    command
        .arg(daemon)
        .arg("--config")
        .arg(config)
        .env("MOQRELAY__MOQ__LISTEN", format!("127.0.0.1:{moq}"))
        .env("MOQRELAY__HTTP__LISTEN", http.to_string())
        .env("MOQRELAY__METRICS__LISTEN", metrics.to_string())
        .env("MOQRELAY__ASTERISK__AUDIOSOCKET", audiosocket.to_string())
        .env("MOQRELAY__LOG__LEVEL", "error");
    Ok(Ports { http, metrics })
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has nothing to say good-bye to. It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn is_ready(metrics: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&metrics, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(
            b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// All are taken before the first is given back, so that they differ.
fn free_ports() -> Result<[SocketAddr; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let taken = [bind()?, bind()?, bind()?];
    Ok([
        taken[0].local_addr()?,
        taken[1].local_addr()?,
        taken[2].local_addr()?,
    ])
}
