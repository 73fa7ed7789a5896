//! `/api/v1/relay/*`: what the relay does now, and asking a session to leave.
//!
//! The relay itself is behind [`RelayOps`]: this crate knows how to speak about it, not how to ask.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};

use super::Ops;
use crate::http::fault;

/// Sessions or tracks on a page when the request does not say.
const PAGE: usize = 100;

/// How long a session may take to leave when the request does not say.
const LEAVE: Duration = Duration::from_secs(10);

/// The longest that a session may take to leave.
const LEAVE_MAX: Duration = Duration::from_secs(3600);

/// The longest URI of GOAWAY, in bytes (draft-18 section 10.4).
const URI_LEN_MAX: usize = 8192;

/// The relay, as operators see it.
pub trait RelayOps: Send + Sync {
    /// Returns sessions with ids above `after`, at most `limit`.
    fn sessions(&self, after: Option<u64>, limit: usize) -> Sessions;
    /// Returns tracks after the one whose printed name is `after`, at most `limit`. `None`: it is no
    /// name.
    fn tracks(&self, after: Option<&str>, limit: usize) -> Option<Tracks>;
    /// Asks a session to leave; false: there is none of that id.
    fn goaway(&self, session: u64, uri: &str, timeout: Duration) -> bool;
    /// Logs what a session says from now on, and returns the log's file.
    ///
    /// # Errors
    ///
    /// See [`NoLog`].
    fn log(&self, session: u64) -> Result<String, NoLog>;
    /// Logs the next connection from an address, and returns the logs' folder; `None`: the configuration names none.
    fn log_next(&self, address: IpAddr) -> Option<String>;
    /// Ends a session; false: there is none of that id.
    fn end(&self, session: u64) -> bool;
}

/// Why a session is not logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLog {
    /// The configuration names no folder.
    Off,
    /// There is none of that id.
    NoSession,
}

/// A page of sessions.
#[derive(Debug, Clone, Serialize)]
pub struct Sessions {
    /// How many there are in all.
    pub total: usize,
    /// The page.
    pub sessions: Vec<Session>,
    /// `after` of the next page; null: this is the last one.
    pub next: Option<u64>,
}

/// One MoQ session.
#[derive(Debug, Clone, Serialize)]
pub struct Session {
    /// Its name in this process, in logs too.
    pub id: u64,
    /// Address and port.
    pub peer: String,
    /// `webtransport`, `quic`, ….
    pub transport: String,
    /// The draft's number.
    pub draft: u32,
    /// What the peer calls itself.
    pub implementation: Option<String>,
    /// Seconds since 1970.
    pub since: u64,
    /// Tracks that it subscribes to, waits for, or is offered.
    pub subscriptions: u32,
    /// Tracks that it publishes.
    pub publishes: u32,
    /// Round trip of its connection, in milliseconds.
    pub rtt_ms: f64,
    /// Packets lost on the way to it.
    pub lost_packets: u64,
    /// What waits for it.
    pub backlog: Backlog,
}

/// What waits for a session.
#[derive(Debug, Clone, Serialize)]
pub struct Backlog {
    /// Control messages, in bytes.
    pub control_bytes: u64,
    /// Objects of its subscriptions that its connection has not taken.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A page of tracks.
#[derive(Debug, Clone, Serialize)]
pub struct Tracks {
    /// How many there are in all.
    pub total: usize,
    /// The page.
    pub tracks: Vec<Track>,
    /// `after` of the next page; null: this is the last one.
    pub next: Option<String>,
}

/// One track.
#[derive(Debug, Clone, Serialize)]
pub struct Track {
    /// Namespace and name as draft-18 section 1.5 prints them.
    pub track: String,
    /// The fields of its namespace; what is not UTF-8 is replaced.
    pub namespace: Vec<String>,
    /// Its name; what is not UTF-8 is replaced.
    pub name: String,
    /// Publishers that are there or were asked.
    pub publishers: usize,
    /// Sessions and parts of this process that follow it.
    pub subscribers: usize,
    /// Groups of which something is kept.
    pub groups: usize,
    /// What is kept.
    pub cache: Cache,
    /// The largest group and object.
    pub largest: Option<(u64, u64)>,
    /// What came in since the track is known.
    pub total: Traffic,
    /// What came in during the last whole second.
    pub per_second: Traffic,
}

/// What is kept of a track.
#[derive(Debug, Clone, Serialize)]
pub struct Cache {
    /// Objects, and the beginnings and ends between them.
    pub entries: usize,
    /// What they take.
    pub bytes: usize,
}

/// What came in on a track.
#[derive(Debug, Clone, Serialize)]
pub struct Traffic {
    /// Objects.
    pub objects: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// Returns the routes.
pub(super) fn router() -> Router<Ops> {
    Router::new()
        .route("/api/v1/relay/sessions", get(sessions))
        .route("/api/v1/relay/sessions/{id}", delete(end))
        .route("/api/v1/relay/sessions/{id}/goaway", post(goaway))
        .route("/api/v1/relay/sessions/{id}/log", post(log))
        .route("/api/v1/relay/qlog", post(log_next))
        .route("/api/v1/relay/tracks", get(tracks))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paging {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GoAway {
    uri: String,
    timeout_ms: Option<u64>,
}

async fn sessions(State(ops): State<Ops>, Query(paging): Query<Paging>) -> Response {
    let after = paging.after.map(|after| after.parse()).transpose();
    match after {
        Ok(after) => Json(ops.relay.sessions(after, paging.limit.unwrap_or(PAGE))).into_response(),
        Err(_) => fault(
            StatusCode::BAD_REQUEST,
            "bad_after",
            "after is a session's id",
        ),
    }
}

async fn tracks(State(ops): State<Ops>, Query(paging): Query<Paging>) -> Response {
    let limit = paging.limit.unwrap_or(PAGE);
    match ops.relay.tracks(paging.after.as_deref(), limit) {
        Some(tracks) => Json(tracks).into_response(),
        None => fault(
            StatusCode::BAD_REQUEST,
            "bad_after",
            "after is a track as a page printed it",
        ),
    }
}

async fn goaway(State(ops): State<Ops>, Path(id): Path<u64>, body: axum::body::Bytes) -> Response {
    let wish = if body.is_empty() {
        Ok(GoAway::default())
    } else {
        serde_json::from_slice(&body)
    };
    let GoAway { uri, timeout_ms } = match wish {
        Ok(wish) => wish,
        Err(error) => {
            return fault(StatusCode::BAD_REQUEST, "bad_body", error.to_string());
        }
    };
    if uri.len() > URI_LEN_MAX {
        return fault(StatusCode::BAD_REQUEST, "bad_uri", "the URI is too long");
    }
    let timeout = timeout_ms.map_or(LEAVE, Duration::from_millis);
    if timeout > LEAVE_MAX {
        let reason = format!("timeout_ms is at most {}", LEAVE_MAX.as_millis());
        return fault(StatusCode::BAD_REQUEST, "bad_timeout", reason);
    }
    done(ops.relay.goaway(id, &uri, timeout))
}

async fn log(State(ops): State<Ops>, Path(id): Path<u64>) -> Response {
    match ops.relay.log(id) {
        Ok(file) => {
            let answer = BTreeMap::from([("file", file)]);
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        }
        Err(NoLog::NoSession) => done(false),
        Err(NoLog::Off) => fault(
            StatusCode::CONFLICT,
            "off",
            "the configuration names no folder for logs ([moq] mlog_dir)",
        ),
    }
}

/// Whose next connection is to be logged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Next {
    address: IpAddr,
}

async fn log_next(State(ops): State<Ops>, body: axum::body::Bytes) -> Response {
    let Next { address } = match serde_json::from_slice(&body) {
        Ok(next) => next,
        Err(error) => {
            return fault(StatusCode::BAD_REQUEST, "bad_body", error.to_string());
        }
    };
    match ops.relay.log_next(address) {
        Some(folder) => {
            let answer = BTreeMap::from([("folder", folder)]);
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        }
        None => fault(
            StatusCode::CONFLICT,
            "off",
            "the configuration names no folder for logs ([moq] qlog_dir)",
        ),
    }
}

async fn end(State(ops): State<Ops>, Path(id): Path<u64>) -> Response {
    done(ops.relay.end(id))
}

fn done(there: bool) -> Response {
    if there {
        (StatusCode::ACCEPTED, Json(BTreeMap::<&str, &str>::new())).into_response()
    } else {
        fault(
            StatusCode::NOT_FOUND,
            "no_such_session",
            "there is no such session",
        )
    }
}
