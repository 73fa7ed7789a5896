//! `POST /api/v1/asterisk/tickets` (docs/protocol.md, section 5).

use std::sync::Arc;
use std::time::Instant;

use axum::Form;
use axum::body::Bytes;
use axum::extract::{FromRequest, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use moqrelay_room::{Arrival, CallId, Caller, Reason, Refusal, Trunk};
use serde::Deserialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::control::Shared;
use crate::random;
use crate::rate::Verdict;
use crate::request::{Failure, Reply, Request};

/// What the dialplan says. What it says beside `to` is shown or logged, never trusted.
#[derive(Debug, Deserialize)]
struct Ticket {
    to: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    uniqueid: Option<String>,
}

/// Answers with a UUID, or with why not.
pub(crate) async fn post(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !may_ask(&shared, &headers) {
        metrics::counter!("moqrelay_control_tickets_total", "result" => "unauthorized")
            .increment(1);
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")]).into_response();
    }
    let result = issue(&shared, &headers, body).await;
    let label = match &result {
        Ok(_) => "issued",
        Err((_, word)) => word,
    };
    metrics::counter!("moqrelay_control_tickets_total", "result" => label).increment(1);
    match result {
        Ok(uuid) => uuid.hyphenated().to_string().into_response(),
        Err((status, word)) => (status, word).into_response(),
    }
}

type Refused = (StatusCode, &'static str);

async fn issue(shared: &Shared, headers: &HeaderMap, body: Bytes) -> Result<Uuid, Refused> {
    if shared.is_draining() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "shutting_down"));
    }
    if shared.tickets_rate(Instant::now()) != Verdict::Granted {
        return Err((StatusCode::TOO_MANY_REQUESTS, "rate_limited"));
    }
    let ticket = read(headers, body)
        .await
        .ok_or((StatusCode::BAD_REQUEST, "bad_message"))?;
    tracing::debug!(
        to = %ticket.to, from = ticket.from, channel = ticket.channel, uniqueid = ticket.uniqueid,
        "ticket asked for"
    );
    let arrival = Arrival {
        call: CallId(random::id()),
        to: ticket.to,
        from: Caller {
            number: ticket.from,
            name: ticket.name,
        },
        via: None,
        trunk: Trunk::Answered,
    };
    let (answer, answered) = oneshot::channel();
    let reply = Reply::new(move |result| {
        // Without a receiver Asterisk has hung up; the ticket ends by itself.
        let _gone = answer.send(result);
    });
    shared.ask(Request::Ticket { arrival, reply });
    match answered.await {
        Ok(Ok(uuid)) => Ok(uuid),
        Ok(Err(Failure::Refused(refusal))) => Err(refused(&refusal)),
        Ok(Err(Failure::Dropped | Failure::Denied(_))) | Err(_) => {
            Err((StatusCode::SERVICE_UNAVAILABLE, "internal"))
        }
    }
}

fn refused(refusal: &Refusal) -> Refused {
    match refusal.reason {
        // The dialplan goes on, to a voicemail perhaps.
        Reason::NotFound | Reason::BadRequest => (StatusCode::NOT_FOUND, "not_found"),
        Reason::Offline => (StatusCode::NOT_FOUND, "offline"),
        Reason::Busy => (StatusCode::NOT_FOUND, "busy"),
        Reason::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
        Reason::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
        Reason::NotRegistered
        | Reason::AlreadyRegistered
        | Reason::NoSuchCall
        | Reason::WrongState
        | Reason::Forbidden
        | Reason::NoRoute
        | Reason::Blocked
        | Reason::TrunkDown => (StatusCode::SERVICE_UNAVAILABLE, "internal"),
    }
}

fn may_ask(shared: &Shared, headers: &HeaderMap) -> bool {
    let Some(secret) = &shared.config.asterisk_secret else {
        return false;
    };
    let shown = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some((scheme, shown)) = shown.and_then(|value| value.split_once(' ')) else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && random::same_secret(secret, shown.trim())
}

/// `CURL()` sends a form and may not say so.
async fn read(headers: &HeaderMap, body: Bytes) -> Option<Ticket> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if kind.starts_with("application/json") {
        return serde_json::from_slice(&body).ok();
    }
    let form = axum::extract::Request::post("/")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.into())
        .ok()?;
    Form::<Ticket>::from_request(form, &())
        .await
        .ok()
        .map(|form| form.0)
}
