//! The routes, and what every answer carries.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN,
    REFERRER_POLICY, SEC_WEBSOCKET_PROTOCOL, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, body::Bytes};
use moqrelay_wire::signal::{MESSAGE_LEN_MAX, SUBPROTOCOL};
use serde::{Deserialize, Serialize};

use crate::control::Shared;
use crate::guest::GuestError;
use crate::listener::{Listener, Remote};
use crate::rate::Verdict;
use crate::token::Claims;
use crate::{files, media, page, socket, ticket};

/// Nothing that is posted here is longer.
const BODY_LEN_MAX: usize = 8 * 1024;

/// A WebSocket message beyond our own limit is still read, to be refused with words, up to this.
const FRAME_LEN_MAX: usize = 4 * MESSAGE_LEN_MAX;

/// How long a request may take, its body included; all that is waited for is the switchboard.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a router on a listener until `shutdown` completes and the connections are done.
pub(crate) async fn run(
    listener: Listener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = router
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(from_fn(watch));
    let service = router.into_make_service_with_connect_info::<Remote>();
    axum::serve(listener, service)
        .with_graceful_shutdown(shutdown)
        .await
}

/// Returns every route of the public port.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/transport", get(transport))
        .route("/api/v1/guest", post(guest))
        .route("/api/v1/signal", get(signal))
        .route("/api/v1/asterisk/tickets", post(ticket::post))
        .merge(files::router())
        .route("/moq", get(file))
        .route("/api/{*rest}", get(no_such).post(no_such))
        .fallback(file)
        .layer(from_fn_with_state(Arc::clone(&shared), harden))
        .with_state(shared)
}

/// A fault, in words.
#[derive(Serialize)]
struct Fault {
    code: &'static str,
    reason: String,
}

pub(crate) fn fault(status: StatusCode, code: &'static str, reason: impl Into<String>) -> Response {
    (
        status,
        Json(Fault {
            code,
            reason: reason.into(),
        }),
    )
        .into_response()
}

async fn no_such() -> Response {
    fault(StatusCode::NOT_FOUND, "not_found", "there is no such path")
}

async fn transport(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let transport = (shared.config.transport.0)(host(&headers));
    ([(CACHE_CONTROL, "no-store")], Json(transport)).into_response()
}

#[derive(Deserialize)]
struct GuestRequest {
    name: String,
}

#[derive(Serialize)]
struct GuestAnswer {
    token: String,
    user: GuestUser,
    expires_in: u64,
}

#[derive(Serialize)]
struct GuestUser {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
}

async fn guest(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(remote): ConnectInfo<Remote>,
    body: Bytes,
) -> Response {
    let Some(guests) = &shared.config.guests else {
        return fault(StatusCode::FORBIDDEN, "forbidden", "guests are not let in");
    };
    if shared.is_draining() {
        let reason = "the server is going down";
        return fault(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", reason);
    }
    let now = Instant::now();
    if shared.guests_rate(remote.address.ip(), guests, now) != Verdict::Granted {
        let reason = "too many sign-ins from this address";
        return fault(StatusCode::TOO_MANY_REQUESTS, "rate_limited", reason);
    }
    let Ok(request) = serde_json::from_slice::<GuestRequest>(&body) else {
        let reason = "a JSON object with a name is expected";
        return fault(StatusCode::BAD_REQUEST, "bad_message", reason);
    };
    let entry = match shared.enter_guest(&request.name, guests, now, SystemTime::now()) {
        Ok(entry) => entry,
        Err(error) => {
            let (status, code) = match error {
                GuestError::Name => (StatusCode::BAD_REQUEST, "bad_message"),
                GuestError::Taken => (StatusCode::CONFLICT, "name_taken"),
                GuestError::Full => (StatusCode::SERVICE_UNAVAILABLE, "too_many"),
            };
            return fault(status, code, error.to_string());
        }
    };
    tracing::info!(user = %entry.user.id, "guest signed in");
    metrics::counter!("moqrelay_control_guests_total").increment(1);
    let user = GuestUser {
        id: entry.user.id.to_string(),
        name: entry.user.name,
        number: entry.user.number.map(|number| number.to_string()),
    };
    let claims = Claims {
        sub: Some(user.id.clone()),
        name: Some(user.name.clone()),
        number: user.number.clone(),
        put: Vec::new(),
        get: Vec::new(),
        participant: None,
        nbf: None,
        exp: entry.exp,
    };
    let token = shared.config.keys.sign(&claims);
    let expires_in = guests.token_ttl.as_secs();
    let answer = Json(GuestAnswer {
        token,
        user,
        expires_in,
    });
    ([(CACHE_CONTROL, "no-store")], answer).into_response()
}

async fn signal(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(remote): ConnectInfo<Remote>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Some(foreign) = foreign(&shared, &remote, &headers) {
        return foreign;
    }
    let offers = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|v| v.to_str().ok());
    let mut offers = offers
        .flat_map(|offers| offers.split(','))
        .map(str::trim)
        .peekable();
    if offers.peek().is_some() && !offers.any(|offer| offer == SUBPROTOCOL) {
        let reason = format!("{SUBPROTOCOL} is spoken here");
        return fault(StatusCode::BAD_REQUEST, "unsupported_version", reason);
    }
    remote.watch.pause();
    upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(FRAME_LEN_MAX)
        .max_frame_size(FRAME_LEN_MAX)
        .on_upgrade(move |socket| socket::run(shared, socket, remote.address))
}

/// The page, and MoQ for who asks for a WebSocket: its clients choose any path, as over WebTransport.
async fn file(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(remote): ConnectInfo<Remote>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if let Ok(upgrade) = upgrade {
        return match foreign(&shared, &remote, &headers) {
            Some(foreign) => foreign,
            None => media::open(&shared, &remote, &headers, &uri, upgrade),
        };
    }
    page::serve(&shared.config.web, &method, uri.path(), &headers).await
}

/// Refuses a page of another origin.
pub(crate) fn foreign(shared: &Shared, remote: &Remote, headers: &HeaderMap) -> Option<Response> {
    if origin_is_allowed(headers, &shared.config.origins) {
        return None;
    }
    tracing::debug!(address = %remote.address, origin = ?headers.get(ORIGIN), "foreign origin");
    let reason = "this origin may not use this server";
    Some(fault(StatusCode::FORBIDDEN, "forbidden", reason))
}

/// Whose turn it is on the connection, and how long ours may last.
async fn watch(
    ConnectInfo(remote): ConnectInfo<Remote>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    remote.watch.pause();
    let timeout = match path.as_ref().map(MatchedPath::as_str) {
        Some(files::PATH) => files::UPLOAD_TIMEOUT,
        _ => REQUEST_TIMEOUT,
    };
    let response = match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    // A WebSocket has a task of its own from here on.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        remote.watch.resume();
    }
    // Not the path itself: a peer could make as many series as it likes.
    let path = path
        .as_ref()
        .map_or("other", MatchedPath::as_str)
        .to_owned();
    let status = response.status().as_str().to_owned();
    metrics::counter!("moqrelay_control_http_requests_total", "path" => path, "status" => status)
        .increment(1);
    response
}

/// What tells a browser to do no more than the page needs.
async fn harden(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let policy = content_security_policy(&shared, request.headers());
    let mut response = next.run(request).await;
    let response_ends = response.status() != StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    let is_page = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page && let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    // The next request is for the process that takes over.
    if shared.is_draining() && response_ends {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in HARDENING {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Isolation gives the page shared memory between its worklets.
const HARDENING: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-embedder-policy"),
        "require-corp",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "microphone=(self), camera=(self), display-capture=(self), geolocation=()",
    ),
];

/// The page runs its own scripts, workers and WebAssembly, and speaks with this server and with MoQ.
fn content_security_policy(shared: &Shared, headers: &HeaderMap) -> String {
    let mut connect = String::from("'self'");
    // Older browsers do not count a WebSocket to the page's own host as 'self'.
    if let Some(authority) = authority(headers) {
        connect += &format!(" ws://{authority} wss://{authority}");
    }
    let url = (shared.config.transport.0)(host(headers)).url;
    if let Some(authority) = url.parse::<Uri>().ok().as_ref().and_then(Uri::authority) {
        connect += &format!(" https://{authority}");
    }
    format!(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
         connect-src {connect}; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// The page's own host, or one of the list; a client that is no browser names none.
fn origin_is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let own = authority(headers).is_some_and(|own| {
        let (_, of_origin) = origin.split_once("://").unwrap_or_default();
        of_origin.eq_ignore_ascii_case(own)
    });
    own || allowed
        .iter()
        .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
}

/// The host and port by which the client came, when they can be nothing else.
fn authority(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    (!host.is_empty() && host.bytes().all(plain)).then_some(host)
}

/// The host by which the client came, without the port.
fn host(headers: &HeaderMap) -> Option<&str> {
    let authority = authority(headers)?;
    let host = match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or_default(),
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loses_its_port_and_nothing_else() {
        for (header, expected) in [
            ("phone.example:8080", Some("phone.example")),
            ("phone.example", Some("phone.example")),
            ("[::1]:8080", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("127.0.0.1:8080", Some("127.0.0.1")),
            (":8080", None),
            ("", None),
            ("a; script-src *", None),
            ("a/b", None),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(header))]);
            assert_eq!(host(&headers), expected, "{header}");
        }
    }

    #[test]
    fn an_origin_is_the_own_host_or_on_the_list() {
        let allowed = ["https://phone.example".to_owned()];
        for (origin, expected) in [
            (None, true),
            (Some("http://here:8080"), true),
            (Some("https://HERE:8080"), true),
            (Some("http://here"), false),
            (Some("http://here:8080.evil.example"), false),
            (Some("https://phone.example"), true),
            (Some("http://phone.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("here:8080"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(
                origin_is_allowed(&headers, &allowed),
                expected,
                "{origin:?}"
            );
        }
        let mut foreign = HeaderMap::new();
        foreign.insert(ORIGIN, HeaderValue::from_static("https://anywhere.example"));
        assert!(!origin_is_allowed(&foreign, &[]));
        assert!(origin_is_allowed(&foreign, &["*".to_owned()]));
    }
}
