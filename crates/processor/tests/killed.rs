//! The example service as a program of its own, killed in mid-call and started again.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{env, path::PathBuf, process::Stdio, time::Duration};

use common::Leg;
use moqrelay_processor::breaker::{Limits, State};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Frames within which something must have happened, a minute: only a fault needs them all.
const PATIENCE: u64 = 3_000;

#[tokio::test]
async fn a_call_outlives_its_service() {
    let (mut service, addr) = started("127.0.0.1:0").await;
    let mut leg = Leg::heard(addr.parse().unwrap(), |config| {
        // A busy machine is no dead service.
        config.deadline = Duration::from_millis(400);
        config.breaker = Limits {
            failures: 2,
            pause: Duration::from_millis(200),
        };
    });
    leg.say_until(PATIENCE, |leg| leg.answered(0..leg.said) > 5)
        .await;

    service.kill().await.unwrap();
    leg.say_until(PATIENCE, |leg| leg.session.breaker() == State::Open)
        .await;
    let opened = leg.said;
    let (_again, _) = started(&addr).await;
    leg.say_until(PATIENCE, |leg| leg.answered(opened..leg.said) > 5)
        .await;

    assert_eq!(leg.session.breaker(), State::Closed);
    let missing = leg.said - leg.frames.len() as u64;
    assert!(missing <= 2, "{missing} frames are still on their way");
}

/// Starts the example; it dies with what is returned.
async fn started(listen: &str) -> (Child, String) {
    let mut child = Command::new(program())
        .arg(listen)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    // Nobody reads what else it says.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let addr = line.strip_prefix("listens on ").unwrap().to_owned();
    (child, addr)
}

/// `cargo test` and `cargo nextest run` build examples beside the tests.
fn program() -> PathBuf {
    let mut path = env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/gate");
    assert!(
        path.exists(),
        "{} is missing: cargo build --examples",
        path.display()
    );
    path
}
