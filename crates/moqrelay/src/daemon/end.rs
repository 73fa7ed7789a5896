//! The daemon ends, in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moqrelay_bridge::Bridge;
use moqrelay_control::Control;
use moqrelay_relay as relay;
use moqrelay_room::Counts;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::parts::{Parts, Stage};
use crate::config::Config;

/// What ends.
pub(super) struct Ending {
    pub(super) server: relay::Server,
    pub(super) control: Control,
    pub(super) bridge: Bridge,
    pub(super) driver: JoinHandle<()>,
    pub(super) parts: Parts,
    pub(super) stop_tx: watch::Sender<Stage>,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) counts: watch::Receiver<Counts>,
}

impl Ending {
    /// Takes nothing new, lets clients move, hangs up and closes; all within the drain time.
    pub(super) async fn end(self, config: &Config) {
        let drain_timeout = config.daemon.drain_timeout;
        tracing::info!(?drain_timeout, "ending: nothing new is taken");
        self.ready.store(false, Ordering::Relaxed);
        if timeout(drain_timeout, self.drain(config)).await.is_err() {
            tracing::warn!("not everything ended within the drain time");
        }
        tracing::info!("ended");
    }

    async fn drain(mut self, config: &Config) {
        let drain_timeout = config.daemon.drain_timeout;
        self.control.drain();
        if let Some(uri) = &config.moq.goaway_uri {
            send_away(uri, &self.server, self.counts, drain_timeout).await;
        }
        tracing::info!("the present calls are hung up");
        self.stop_tx.send_replace(Stage::Draining);
        if self.driver.await.is_err() {
            tracing::error!("the driver has failed");
        }
        self.stop_tx.send_replace(Stage::Closing);
        if let Err(error) = self.bridge.shut_down() {
            tracing::debug!(%error, "the bridge has ended before");
        }
        drop((self.control, self.bridge));
        let leave_time = LEAVE_TIME.min(drain_timeout / 2);
        self.server.drain("", leave_time).await;
        self.parts.ended().await;
    }
}

/// Tells the clients where to go, and lets their calls go on until they have gone, or the time for
/// it is over.
async fn send_away(
    uri: &url::Url,
    server: &relay::Server,
    mut counts: watch::Receiver<Counts>,
    drain_timeout: Duration,
) {
    let time = drain_timeout.saturating_sub(ENDING_TIME.min(drain_timeout / 2));
    tracing::info!(%uri, ?time, "clients are sent elsewhere; calls go on meanwhile");
    let gone = async {
        server.drain(uri.as_str(), time).await;
        // The sender ends with the driver: then there are no calls, either.
        drop(counts.wait_for(|counts| counts.calls == 0).await);
    };
    if timeout(time, gone).await.is_err() {
        tracing::warn!("not every client has moved");
    }
}

/// How long it may take to hang up and to close when clients had time to move before.
const ENDING_TIME: Duration = Duration::from_secs(3);

/// How long MoQ sessions have to leave by themselves when every call has ended.
const LEAVE_TIME: Duration = Duration::from_secs(2);
