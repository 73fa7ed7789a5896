//! `moqrelay token`: a token for a user or a MoQ client.
#![allow(
    clippy::print_stdout,
    reason = "the token is what the program is asked for"
)]

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use clap::Args as ClapArgs;
use moqrelay_control::token::{Claims, Keys};
use moqrelay_room::{Number, UserId};

use crate::{Failure, config::Config};

/// What the token says.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The configuration that names the keys.
    #[arg(long, short, value_name = "FILE", env = "MOQRELAY_CONFIG")]
    config: PathBuf,

    /// The user's id; without it the token opens no signaling.
    #[arg(long)]
    user: Option<String>,

    /// The name others see.
    #[arg(long)]
    name: Option<String>,

    /// The number telephones dial.
    #[arg(long)]
    number: Option<String>,

    /// A path below which the bearer may publish, such as room/a/p1; repeat for several.
    #[arg(long, value_name = "PATH")]
    put: Vec<String>,

    /// A path below which the bearer may subscribe; repeat for several.
    #[arg(long, value_name = "PATH")]
    get: Vec<String>,

    /// How long the token holds.
    #[arg(long, default_value = "12h", value_parser = duration)]
    ttl: std::time::Duration,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// Prints a token.
pub(crate) fn print(args: &Args) -> Result<(), Failure> {
    let token = make(args).map_err(Failure::Usage)?;
    println!("{token}");
    Ok(())
}

fn make(args: &Args) -> anyhow::Result<String> {
    let config = Config::load(&args.config)?.config;
    let keys = config.secrets()?.keys;
    ensure!(
        keys.iter().any(|key| key.material.can_sign()),
        "{} names no key that can sign: a token of a random key would be of no use",
        args.config.display()
    );
    if let Some(user) = &args.user {
        UserId::new(user).with_context(|| format!("--user {user:?}"))?;
    }
    if let Some(number) = &args.number {
        Number::new(number).with_context(|| format!("--number {number:?}"))?;
    }
    let expires_at = SystemTime::now() + args.ttl;
    let claims = Claims {
        sub: args.user.clone(),
        name: args.name.clone(),
        number: args.number.clone(),
        put: args.put.clone(),
        get: args.get.clone(),
        participant: None,
        nbf: None,
        exp: expires_at.duration_since(UNIX_EPOCH)?.as_secs(),
    };
    Ok(Keys::new(keys)?.sign(&claims))
}
