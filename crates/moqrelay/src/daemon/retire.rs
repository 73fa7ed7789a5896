//! One process takes over from another: both sides.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use moqrelay_bridge::{Bridge, ari};
use moqrelay_control::Control;
use moqrelay_relay::{self as relay, Keep, Namespace, Relay};
use moqrelay_room::Counts;
use tokio::{sync::watch, time::timeout};

use super::parts::Signals;
use crate::{
    driver::Staying,
    upgrade::{Door, Farewell, Gift, Inheritance, Lifeline, Successor, Tickets},
};

/// Begins in the place of the running process.
pub(super) async fn take_over(inheritance: Inheritance) -> Result<(Lifeline, Farewell)> {
    let began = Instant::now();
    let begun = tokio::task::spawn_blocking(move || inheritance.begin()).await??;
    tracing::info!(took = ?began.elapsed(), "took over from the running daemon");
    Ok(begun)
}

/// Completes when another process has the ports.
pub(super) async fn taken_over(
    door: Option<Door>,
    gift: impl Fn() -> std::io::Result<Gift>,
    server: &relay::Server,
    steering: Option<&ari::Handle>,
    tickets: &Tickets,
) -> Successor {
    let Some(door) = door else {
        return std::future::pending().await;
    };
    loop {
        let mut successor = door.successor(&gift).await;
        server.step_aside();
        match begin(&mut successor, steering, tickets).await {
            Ok(()) => {
                door.leave();
                return successor;
            }
            Err(error) => {
                server.step_back();
                if let Some(Err(error)) = steering.map(ari::Handle::step_back) {
                    tracing::warn!(%error, "ARI was not told");
                }
                let error = format!("{error:#}");
                tracing::warn!(error, "a take-over has failed: everything goes on");
            }
        }
    }
}

async fn begin(
    successor: &mut Successor,
    steering: Option<&ari::Handle>,
    tickets: &Tickets,
) -> Result<()> {
    let callers = match steering {
        Some(steering) => steering.step_aside().await.context("ARI")?,
        None => BTreeSet::new(),
    };
    let tickets = tickets.good(Instant::now());
    successor.begin(&Farewell { callers, tickets })
}

/// What has to know that another process has taken over.
pub(super) struct Retiring<'a> {
    pub(super) server: &'a relay::Server,
    pub(super) relay: &'a Relay,
    pub(super) control: &'a Control,
    pub(super) bridge: &'a Bridge,
    pub(super) staying: watch::Receiver<Option<Staying>>,
    pub(super) retired: watch::Sender<bool>,
    pub(super) counts: watch::Receiver<Counts>,
    pub(super) ready: &'a AtomicBool,
}

impl Retiring<'_> {
    /// Takes nothing new, and returns when calls and sessions have ended, or at a signal, or when
    /// the time is over.
    pub(super) async fn retire(self, successor: Successor, time: Duration, signals: &mut Signals) {
        tracing::info!(?time, "another process has taken over: calls go on here");
        self.ready.store(false, Ordering::Relaxed);
        self.control.retire();
        if let Err(error) = self.bridge.stop_accepting() {
            tracing::warn!(%error, "the bridge was not told");
        }
        self.retired.send_replace(true);
        let bridge = self.bridge.clone();
        let take_in = move |stray| {
            if let Err(error) = bridge.take_in(stray) {
                tracing::warn!(%error, "the bridge was not told");
            }
        };
        let watched = async {
            successor.attend(take_in).await;
            self.server.step_back();
            tracing::error!("the process that took over is gone: calls go on, nothing new begins");
            std::future::pending::<()>().await;
        };
        let idle = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                if self.counts.borrow().calls == 0 && self.relay.stats().sessions == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            () = watched => {}
            () = idle => {}
            () = let_go(self.server, self.staying) => {}
            () = signals.heard() => {}
            () = tokio::time::sleep(time) => tracing::warn!("calls are ended: the time is over"),
        }
    }
}

/// Asks MoQ sessions to go to the new process, but for those of calls. Whose call rings, or was
/// answered just now, has nothing to do with a room yet. Never ends.
async fn let_go(server: &relay::Server, mut staying: watch::Receiver<Option<Staying>>) {
    let keep = |bearers: &BTreeSet<String>| {
        let (below, bearers) = (Namespace::new(["room"]), bearers.clone());
        let below = below.expect("a word is a namespace");
        server.retire(Keep { below, bearers }, MOVE_TIME);
    };
    let mut kept = match staying.wait_for(Option::is_some).await {
        Ok(staying) => staying.clone().unwrap_or_default().in_calls,
        Err(_) => BTreeSet::new(),
    };
    keep(&kept);
    while !kept.is_empty() {
        let ended = match timeout(SETTLE_TIME, staying.changed()).await {
            Ok(Ok(())) => false,
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => true,
        };
        let now = staying.borrow_and_update().clone().unwrap_or_default();
        match ended {
            // Who has no call any more goes at once.
            false => kept.retain(|user| now.in_calls.contains(user)),
            true => kept = now.unanswered,
        }
        keep(&kept);
    }
    std::future::pending().await
}

/// How long MoQ sessions without a call have to move to the process that takes over.
const MOVE_TIME: Duration = Duration::from_secs(30);

/// How long the audio of a call may take to be published and heard after the answer.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// Connections on their way to an older process; each is there within a millisecond.
pub(super) const STRAYS_MAX: usize = 64;

/// How often it is looked whether everybody has gone.
const LOOK: Duration = Duration::from_millis(200);
