//! Metrics, health and a look into the relay, on a listener of their own.

mod relay;
mod rooms;
mod trunks;

pub use self::relay::{
    Backlog, Cache, NoLog, RelayOps, Session as RelaySession, Sessions as RelaySessions,
    Track as RelayTrack, Tracks as RelayTracks, Traffic,
};
pub use self::rooms::{Operated, ProgramPlace, Room};
pub use self::trunks::Trunk;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::control::Control;
use crate::http::{self, fault};
use crate::listener::{Connections, Limits, Listener, Remote};
use crate::random;

/// A few scrapers and probes; so that a fault of theirs costs little.
const LIMITS: Limits = Limits {
    connections: 64,
    per_address: 64,
    header_timeout: Duration::from_secs(10),
};

/// Where metrics, health and the look into the relay come from.
#[derive(Clone)]
pub struct Ops {
    /// Returns the metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Returns what keeps the daemon from taking new work, if anything.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// The relay, for `/api/v1/relay/*`.
    pub relay: Arc<dyn RelayOps>,
    /// The trunks, for `/api/v1/trunks`.
    pub trunks: Arc<dyn Fn() -> Vec<Trunk> + Send + Sync>,
    /// Who knows of rooms, for `/api/v1/rooms`.
    pub control: Control,
    /// What `/api/v1/relay/*`, `/api/v1/trunks` and `/api/v1/rooms` want as `Authorization: Bearer`. Without it, only this machine's own
    /// programs may use it, and no web page may.
    pub bearer: Option<Arc<str>>,
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ops")
    }
}

/// Serves `/metrics`, `/health/live`, `/health/ready`, `/api/v1/relay/*`, `/api/v1/trunks` and `/api/v1/rooms` until `shutdown` completes.
///
/// # Errors
///
/// When the listener fails for good.
pub async fn serve_ops(
    listener: TcpListener,
    ops: Ops,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let guarded = relay::router()
        .merge(trunks::router())
        .merge(rooms::router())
        .route_layer(from_fn_with_state(ops.clone(), guard));
    let router = Router::new()
        .merge(guarded)
        .route("/metrics", get(metrics))
        .route("/health/live", get(|| async { "ok\n" }))
        .route("/health/ready", get(ready))
        .with_state(ops);
    // Who takes over has a listener of the same port; here the shutdown says so.
    let (_, never) = tokio::sync::watch::channel(false);
    http::run(
        Listener::new(listener, never, None, Arc::<Connections>::default(), LIMITS),
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

/// Lets only those through who may see and end sessions.
async fn guard(
    State(ops): State<Ops>,
    ConnectInfo(remote): ConnectInfo<Remote>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let allowed = match &ops.bearer {
        Some(secret) => bearer(headers).is_some_and(|brought| random::same_secret(brought, secret)),
        None => remote.address.ip().to_canonical().is_loopback() && !may_be_a_page(headers),
    };
    if allowed {
        return next.run(request).await;
    }
    let reason = "only from this machine, or with the bearer of the configuration";
    fault(StatusCode::FORBIDDEN, "forbidden", reason)
}

/// Whether a request may come from a web page that somebody on this machine has open: pages of
/// strangers can send requests to loopback, and read the answers under a name that resolves to it.
fn may_be_a_page(headers: &HeaderMap) -> bool {
    let named = headers.get(HOST).is_some_and(|host| {
        let host = host.to_str().unwrap_or_default();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => name,
            _ => host,
        };
        let literal = name.trim_matches(['[', ']']).parse::<IpAddr>();
        literal.is_err() && !name.eq_ignore_ascii_case("localhost")
    });
    named || headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site")
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}
