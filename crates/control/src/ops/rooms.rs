//! `/api/v1/rooms`: what operators and their programs see of rooms, and do with them.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use moqrelay_room::conference::{Action, Denied, Pin, RoomName, Spec};
use moqrelay_room::{Number, UserId};
use moqrelay_wire::conference::Roster;
use moqrelay_wire::signal::Act;
use serde::{Deserialize, Serialize};

use super::Ops;
use crate::http::fault;
use crate::request::{Failure, Operation};
use crate::translate;

/// A room, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Its name in links.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What telephones dial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Whether one has to know a PIN.
    pub pin: bool,
    /// Whether a host lets people in one by one, to begin with.
    pub lobby: bool,
    /// Who is host whenever present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How many it takes, when that is less than any room takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people_max: Option<usize>,
    /// The open room's id; absent: nobody is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How many are in it, the waiting ones included.
    pub people: usize,
}

/// What an operation brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Operated {
    /// Every room.
    Rooms(Vec<Room>),
    /// Who is in a room; `None`: nobody.
    Roster(Option<Roster>),
    /// Nothing more.
    Done,
}

/// A room that is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    number: Option<String>,
    #[serde(default)]
    pin: Option<String>,
    #[serde(default)]
    lobby: bool,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    people_max: Option<usize>,
}

/// The longest title in characters; a page shows it in one line.
const TITLE_CHARS_MAX: usize = 100;

#[derive(Serialize)]
struct Rooms {
    rooms: Vec<Room>,
}

pub(super) fn router() -> Router<Ops> {
    Router::new()
        .route("/api/v1/rooms", get(list).post(create))
        .route("/api/v1/rooms/{name}", get(roster).delete(forget))
        .route("/api/v1/rooms/{name}/acts", post(act))
}

async fn list(State(ops): State<Ops>) -> Response {
    operate(&ops, Operation::List).await
}

async fn create(State(ops): State<Ops>, body: Bytes) -> Response {
    let wanted: Wanted = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return bad(error.to_string()),
    };
    match wanted.spec() {
        Ok(spec) => operate(&ops, Operation::Create(spec)).await,
        Err(reason) => bad(reason),
    }
}

async fn roster(State(ops): State<Ops>, Path(name): Path<String>) -> Response {
    match RoomName::new(&name) {
        Ok(name) => operate(&ops, Operation::Roster(name)).await,
        Err(denied) => refused(denied),
    }
}

async fn forget(State(ops): State<Ops>, Path(name): Path<String>) -> Response {
    match RoomName::new(&name) {
        Ok(name) => operate(&ops, Operation::Forget(name)).await,
        Err(denied) => refused(denied),
    }
}

async fn act(State(ops): State<Ops>, Path(name): Path<String>, body: Bytes) -> Response {
    let act: Act = match serde_json::from_slice(&body) {
        Ok(act) => act,
        Err(error) => return bad(error.to_string()),
    };
    match (RoomName::new(&name), action(&act)) {
        (Ok(name), Some(action)) => operate(&ops, Operation::Act(name, action)).await,
        (Err(denied), _) => refused(denied),
        (_, None) => bad("this is for those who are in the room".into()),
    }
}

/// Returns what an operator may do; what people do for themselves is `None`.
fn action(act: &Act) -> Option<Action> {
    Some(match act {
        Act::Say { .. } | Act::React { .. } | Act::Dial { .. } => return None,
        Act::Hold { .. } | Act::Video { .. } => return None,
        act => translate::action(act).ok()??,
    })
}

async fn operate(ops: &Ops, operation: Operation) -> Response {
    match ops.control.operate(operation).await {
        Ok(Operated::Rooms(rooms)) => Json(Rooms { rooms }).into_response(),
        Ok(Operated::Roster(roster)) => Json(roster).into_response(),
        Ok(Operated::Done) => StatusCode::NO_CONTENT.into_response(),
        Err(Failure::Denied(denied)) => refused(denied),
        Err(Failure::Refused(refusal)) => fault(
            StatusCode::SERVICE_UNAVAILABLE,
            translate::code(refusal.reason).as_str(),
            refusal.text,
        ),
        Err(Failure::Dropped) => {
            let reason = "the server did not answer";
            fault(StatusCode::SERVICE_UNAVAILABLE, "internal", reason)
        }
    }
}

fn bad(reason: String) -> Response {
    fault(StatusCode::BAD_REQUEST, "bad_message", reason)
}

fn refused(denied: Denied) -> Response {
    let status = match denied {
        Denied::NoSuchRoom | Denied::NoSuchParticipant | Denied::NotIn => StatusCode::NOT_FOUND,
        Denied::BadName | Denied::BadPin => StatusCode::BAD_REQUEST,
        Denied::TooManyRooms | Denied::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::CONFLICT,
    };
    fault(
        status,
        translate::denied(denied).as_str(),
        denied.to_string(),
    )
}

impl Wanted {
    fn spec(self) -> Result<Spec, String> {
        let name = RoomName::new(&self.name).map_err(|denied| denied.to_string())?;
        let title = self.title.unwrap_or_else(|| name.to_string());
        let shown = !title.trim().is_empty() && !title.chars().any(char::is_control);
        if !shown || title.chars().count() > TITLE_CHARS_MAX {
            return Err(format!(
                "title: 1 to {TITLE_CHARS_MAX} characters that can be shown"
            ));
        }
        let number = self.number.as_deref().map(Number::new).transpose();
        let pin = self.pin.as_deref().map(Pin::new).transpose();
        let owner = self.owner.as_deref().map(UserId::new).transpose();
        Ok(Spec {
            title,
            number: number.map_err(|error| format!("number: {error}"))?,
            pin: pin.map_err(|denied| denied.to_string())?,
            lobby: self.lobby,
            owner: owner.map_err(|error| format!("owner: {error}"))?,
            people_max: self.people_max,
            name,
        })
    }
}
