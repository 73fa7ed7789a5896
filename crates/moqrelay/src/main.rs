//! One daemon between browsers and Asterisk: a MoQ relay, call signaling and the audio bridge.

mod auth;
mod bind;
mod cdr;
mod config;
mod daemon;
mod doctor;
mod driver;
mod init_asterisk;
mod inspect;
mod kept;
mod ledger;
mod media;
mod memory;
mod processors;
mod reload;
mod room_file;
mod rules;
mod sentences;
mod services;
mod sounds;
mod speech;
mod telemetry;
mod token;
mod transport;
mod trunks;
mod trust;
mod upgrade;
mod version;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use crate::config::Config;

/// A configuration that cannot be used, or a wrong command line (clap's own code too).
const EXIT_USAGE: u8 = 2;

/// Browsers, MoQ and Asterisk in one daemon.
///
/// Runs in the foreground until SIGTERM or Ctrl-C, then ends its calls politely. Logs go to standard
/// error. Exit status: 0 after an orderly end, 1 when something failed, 2 for a configuration or a
/// command line that cannot be used.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct Cli {
    /// The configuration (TOML); MOQRELAY__SECTION__KEY in the environment overrides it.
    #[arg(long, short, value_name = "FILE", env = "MOQRELAY_CONFIG")]
    config: Option<PathBuf>,

    /// Checks the configuration, and the files that it names, and exits.
    #[arg(long)]
    check: bool,

    /// Takes over from the daemon that listens on `[upgrade] socket`: its ports go over without a
    /// loss, its calls go on in it until they end. Starts as usual when there is none.
    #[arg(long)]
    take_over: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints a token, signed with the first key of the configuration that can sign.
    ///
    /// Example: moqrelay token --config relay.toml --user anna --name "Anna Berg" --ttl 8h
    Token(token::Args),

    /// Looks whether ports, certificate, buffers, clock and Asterisk are as they must be, and says what
    /// to change. Exit status: 0 when all is well, 1 when something is not.
    Doctor(doctor::Args),

    /// Prints what Asterisk needs for this configuration, for the version that is found.
    ///
    /// Example: moqrelay init-asterisk --config relay.toml --write /etc/asterisk
    InitAsterisk(init_asterisk::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Token(args)) => token::print(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::InitAsterisk(args)) => init_asterisk::run(&args).map(|()| ExitCode::SUCCESS),
        None => start(cli.config, cli.check, cli.take_over).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure::Usage(error)) => {
            eprintln!("moqrelay: {error:#}");
            ExitCode::from(EXIT_USAGE)
        }
        Err(Failure::Run(error)) => {
            eprintln!("moqrelay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Why the program ends without success.
#[derive(Debug)]
enum Failure {
    /// What it was told cannot be used.
    Usage(anyhow::Error),
    /// Something failed.
    Run(anyhow::Error),
}

fn start(path: Option<PathBuf>, check: bool, take_over: bool) -> Result<(), Failure> {
    let path = path
        .context("--config FILE is missing")
        .map_err(Failure::Usage)?;
    let loaded = Config::load(&path)
        .with_context(|| format!("{}", path.display()))
        .map_err(Failure::Usage)?;
    let secrets = loaded
        .config
        .secrets()
        .with_context(|| format!("{}", path.display()))
        .map_err(Failure::Usage)?;
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return Err(Failure::Run(anyhow::anyhow!(
            "a TLS provider is installed already"
        )));
    }
    if check {
        return daemon::check(&loaded.config)
            .map_err(Failure::Usage)
            .map(|()| {
                eprintln!("moqrelay: {} is good", path.display());
            });
    }
    run(path, loaded, secrets, take_over).map_err(Failure::Run)
}

fn run(
    path: PathBuf,
    loaded: config::Loaded,
    secrets: config::Secrets,
    take_over: bool,
) -> Result<()> {
    let log = telemetry::start_logging(&loaded.config.log)?;
    let config = &loaded.config;
    let inheritance = match &config.upgrade.socket {
        Some(socket) if take_over => upgrade::ask(socket).context("the running daemon")?,
        None if take_over => bail!("--take-over needs upgrade.socket in the configuration"),
        _ => None,
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if config.daemon.workers > 0 {
        builder.worker_threads(config.daemon.workers);
    }
    let runtime = builder.enable_all().thread_name("moqrelay").build()?;
    let outcome = runtime.block_on(daemon::run(path, loaded, secrets, log, inheritance));
    // Whatever did not end by itself within the drain time is not waited for.
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    outcome
}

/// For tasks that are at work in the moment the daemon has drained.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);
