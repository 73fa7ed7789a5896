//! The tasks of the daemon, how far its end has come, and the signals that bring it.

use std::{future::Future, thread};

use anyhow::{Context, Result};
use moqrelay_relay as relay;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinSet,
};

/// The tasks of the daemon; each ends only when the daemon does.
#[derive(Default)]
pub(super) struct Parts {
    tasks: JoinSet<&'static str>,
}

impl Parts {
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        run: impl Future<Output = ()> + Send + 'static,
    ) {
        self.tasks.spawn(async move {
            run.await;
            name
        });
    }

    /// Gives a worker a thread, whose end ends the part.
    pub(super) fn spawn_worker(&mut self, worker: relay::Worker) -> Result<()> {
        // Dropped at the thread's end, whatever that is.
        let (over_tx, over) = oneshot::channel::<()>();
        let name = worker.name();
        let run = move || {
            let _over_tx = over_tx;
            worker.run_here()
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(run)
            .context("a thread for MoQ sessions")?;
        self.spawn("moq", async move {
            drop(over.await);
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a worker cannot run"),
                Err(_panic) => tracing::error!("a worker has failed"),
            }
        });
        Ok(())
    }

    /// Completes when a part ends, which it should not.
    pub(super) async fn broken(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(name)) => anyhow::anyhow!("the part {name} has ended by itself"),
            Some(Err(error)) => anyhow::anyhow!("a part has failed: {error}"),
            None => std::future::pending().await,
        }
    }

    /// Completes when all have ended.
    pub(super) async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(name) => tracing::debug!(name, "ended"),
                Err(error) => tracing::error!(%error, "a part has failed"),
            }
        }
    }
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Running,
    /// Calls end.
    Draining,
    /// Listeners and sockets close.
    Closing,
}

pub(super) async fn reached(mut stop: watch::Receiver<Stage>, stage: Stage) {
    // An error: the sender is gone, and with it the daemon.
    if stop.wait_for(|now| *now >= stage).await.is_err() {
        tracing::debug!("stopped without a word");
    }
}

pub(super) async fn happened(mut flag: watch::Receiver<bool>) {
    // An error: the sender is gone, and with it the daemon.
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// SIGTERM and Ctrl-C.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn heard(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The next signal does what it would have done without us.
    pub(super) fn end_at_once(mut self) {
        tokio::spawn(async move {
            self.heard().await;
            tracing::warn!("ended at once by a second signal");
            std::process::exit(1);
        });
    }
}
