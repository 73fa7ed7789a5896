//! Repository chores: `cargo xtask coverage`, `cargo xtask floorplan`, `cargo xtask schema [--check]`.
#![allow(clippy::print_stdout, reason = "a program that talks to a person")]

mod coverage;
mod floorplan;
mod schema;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask CHORE

  coverage         check that every test named in docs/moqt-coverage.md exists
  floorplan        check who may use whom, and who owns which outside library
  schema           write webapp/src/core/schema.ts from the signaling types
  schema --check   fail when that file is not what the types say";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["coverage"] => coverage::check(),
        ["floorplan"] => floorplan::check(),
        ["schema"] => schema::write(),
        ["schema", "--check"] => schema::check(),
        _ => bail!(USAGE),
    }
}
