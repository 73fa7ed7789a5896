//! The load generator, and the keeper of the table that `make bench` prints.
#![allow(clippy::print_stdout, reason = "a program that talks to a person")]

mod client;
mod codec;
mod daemon;
mod figures;
mod idle;
mod legs;
mod load;
mod mixing;
mod peers;
mod proc;
mod saving;
mod seats;
mod stages;
mod table;
mod voice;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::table::Row;

/// Measures moqrelay: what the relay adds, what a telephone leg costs, what an idle daemon takes.
///
/// Every measurement is bounded in time and count, prints its rows, and appends them to a file when
/// told so with --rows; `table` prints such a file as the table of `make bench`. A goal that is missed
/// is said in the row and is no failure of this program; a measurement that cannot run is (status 1).
///
/// A build without --release measures the compiler's laziness.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Appends the rows to this file, one JSON object for each.
    #[arg(long, global = true, value_name = "FILE")]
    rows: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends one voice track to many subscribers through a relay: how late it arrives, what it costs.
    ///
    /// Publisher and subscribers are sessions of this process, the relay is another process, all on
    /// loopback. The latency is from before the publisher's write to after the subscriber's read, so the
    /// generator's own part is in it: what the relay adds is less.
    ///
    /// Example: moqrelay-load fanout --subscribers 100 --mode datagram
    /// Example: moqrelay-load fanout --url https://127.0.0.1:4443/moq --relay-pid $(pidof moqrelay)
    /// Example: moqrelay-load fanout --subscribers 500 --bare
    #[command(verbatim_doc_comment)]
    Fanout(load::FanoutArgs),
    /// The same in many small rooms: everyone talks and hears all others.
    Rooms(load::RoomsArgs),
    /// A room in which a few speak and many listen.
    Listeners(load::ListenersArgs),
    /// Sends one video track to many subscribers: frames, and key frames that begin a stream.
    Video(load::VideoArgs),
    /// A fan-out beside subscribers that do not read: do the others notice?
    Slow(load::SlowArgs),
    /// A fan-out that is more than the relay can do: how stale is what arrives, is everyone served alike?
    ///
    /// Example: moqrelay-load overload --subscribers 1000 --rate 200
    #[command(verbatim_doc_comment)]
    Overload(load::OverloadArgs),
    /// Fetches what was said before: many sessions, the last groups of a track that is live.
    Fetch(load::FetchArgs),
    /// Opens sessions and closes them: how many a second, what each costs.
    Connections(load::ConnectionsArgs),
    /// Opens sessions that do nothing, then runs a load: what each takes, and whether it comes back.
    Memory(load::MemoryArgs),
    /// The floor: hands on what arrives by quinn alone, until it is killed. Load it by --url bare://….
    Bare(load::bare::Args),
    /// Gives every relay every load in turn, each alone on one core, and prints them side by side.
    ///
    /// Example: moqrelay-load peers --foreign /var/cache/moqrelay/interop/bin
    /// Example: moqrelay-load peers --rounds 1 --seconds 3 --only datagrams,subgroup
    #[command(verbatim_doc_comment)]
    Peers(peers::Args),
    /// Prints again what `peers --json` wrote.
    PeersTable {
        /// The file.
        file: PathBuf,
    },
    /// Runs many telephone legs in pairs that hear each other, and says what they cost.
    ///
    /// A child process has the relay and the bridge; this one plays all Asterisks, over loopback.
    ///
    /// Example: moqrelay-load legs --count 100 --seconds 60
    /// Example: taskset -c 1 moqrelay-load legs --count 150 --core 0
    /// Example: taskset -c 1 moqrelay-load legs --road websocket-opus --count 1000 --core 0
    #[command(verbatim_doc_comment)]
    Legs(legs::Args),
    /// Runs a room of telephones: a mixed leg beside a plain one, listeners, idle rooms, and Janus' AudioBridge.
    ///
    /// Example: taskset -c 1 moqrelay-load mixing --core 0 --janus /usr/bin/janus
    #[command(verbatim_doc_comment)]
    Mixing(mixing::Args),
    /// What the voice mode `saving` saves on recorded speech, and what it costs; in virtual time.
    ///
    /// Example: moqrelay-load saving --speech /usr/share/asterisk/sounds/en_US_f_Allison
    #[command(verbatim_doc_comment)]
    Saving(saving::Args),
    /// What the seats of rooms add to a voice, and what 500 rooms cost in which nobody speaks.
    Seats(seats::Args),
    /// What each stage of a leg costs alone, and Opus at each complexity.
    Stages,
    /// The child process of `legs`.
    #[command(hide = true)]
    LegsHouse(legs::house::Args),
    /// Starts a daemon and says how much memory it has when nobody is there.
    Idle(idle::Args),
    /// Prints a file of rows as a table.
    ///
    /// Status 1 when a row says that its measurement did not run.
    Table {
        /// What `--rows` wrote.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("moqrelay-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let rows = match cli.command {
        Command::Fanout(args) => load::fanout(&args)?,
        Command::Rooms(args) => load::rooms(&args)?,
        Command::Listeners(args) => load::listeners(&args)?,
        Command::Video(args) => load::video(&args)?,
        Command::Slow(args) => load::slow(&args)?,
        Command::Overload(args) => load::overload(&args)?,
        Command::Fetch(args) => load::fetch(&args)?,
        Command::Connections(args) => load::connections(&args)?,
        Command::Memory(args) => load::memory(&args)?,
        Command::Bare(args) => {
            load::bare::run(&args)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Peers(args) => {
            peers::measure(&args)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::PeersTable { file } => {
            peers::print(&file)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Legs(args) => legs::measure(&args)?,
        Command::Mixing(args) => mixing::measure(&args)?,
        Command::Saving(args) => saving::measure(&args)?,
        Command::Seats(args) => seats::measure(&args)?,
        Command::Stages => stages::measure()?,
        Command::LegsHouse(args) => {
            legs::house::run(&args)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Idle(args) => idle::measure(&args)?,
        Command::Table { file } => return table::print(&file),
    };
    for row in &rows {
        println!("{row}");
    }
    if let Some(file) = &cli.rows {
        Row::append(file, &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
