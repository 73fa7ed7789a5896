//! `/api/v1/trunks`: the ways into the telephone network, and whether they can be used.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::Ops;

/// A trunk, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// Whether calls can go by it, as far as anybody knows.
    pub up: bool,
    /// What is wrong, in words.
    pub fault: Option<&'static str>,
    /// Its endpoint in Asterisk.
    pub endpoint: Option<String>,
    /// `online`, `offline`, `missing` or `unknown`.
    pub endpoint_state: &'static str,
    /// Its outbound registration in Asterisk.
    pub registration: Option<String>,
    /// `registered`, `unregistered`, `rejected`, `missing` or `unknown`.
    pub registration_state: &'static str,
    /// Beginnings of the numbers that it takes.
    pub prefixes: Vec<String>,
    /// Whether emergency numbers go by it.
    pub emergency: bool,
}

#[derive(Serialize)]
struct Trunks {
    trunks: Vec<Trunk>,
}

pub(super) fn router() -> Router<Ops> {
    Router::new().route("/api/v1/trunks", get(list))
}

async fn list(State(ops): State<Ops>) -> Json<impl Serialize> {
    let trunks = (ops.trunks)();
    Json(Trunks { trunks })
}
