//! Metrics and health, on a listener of their own.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::http;
use crate::listener::{Connections, Limits, Listener};

/// A few scrapers and probes; so that a fault of theirs costs little.
const LIMITS: Limits = Limits {
    connections: 64,
    per_address: 64,
    header_timeout: Duration::from_secs(10),
};

/// Where metrics and health come from.
#[derive(Clone)]
pub struct Ops {
    /// Returns the metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Returns what keeps the daemon from taking new work, if anything.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ops")
    }
}

/// Serves `/metrics`, `/health/live` and `/health/ready` until `shutdown` completes.
///
/// # Errors
///
/// When the listener fails for good.
pub async fn serve_ops(
    listener: TcpListener,
    ops: Ops,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(|| async { "ok\n" }))
        .route("/health/ready", get(ready))
        .with_state(ops);
    http::run(
        Listener::new(listener, Arc::<Connections>::default(), LIMITS),
        router,
        shutdown,
    )
    .await
}

async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        (ops.metrics)(),
    )
}

async fn ready(State(ops): State<Ops>) -> impl IntoResponse {
    match (ops.ready)() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    }
}
