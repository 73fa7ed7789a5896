//! `/api/v1/rooms`: what operators and their programs see of rooms, and do with them.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use moqrelay_room::conference::{Action, Announce, Denied, Does, Pin, RoomName, Spec};
use moqrelay_room::{Number, UserId};
use moqrelay_wire::conference::Roster;
use moqrelay_wire::signal::Act;
use serde::{Deserialize, Serialize};

use super::Ops;
use crate::http::fault;
use crate::request::{Bidden, Failure, Operation};
use crate::{token, translate};

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
    /// Whether there is one for hosts.
    pub host_pin: bool,
    /// Whether a host lets people in one by one, to begin with.
    pub lobby: bool,
    /// Who is host whenever present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How many it takes, when that is less than any room takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people_max: Option<usize>,
    /// How telephones in it hear that somebody comes or goes, when that is another way than elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announce: Option<String>,
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
    /// A program may take part.
    Brought(ProgramPlace),
    /// Nothing more.
    Done,
}

/// Where a program takes part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramPlace {
    /// The room's id.
    pub room: String,
    /// Its place, as in the roster.
    pub participant: String,
    /// What it publishes goes here, if it speaks.
    pub namespace: Vec<String>,
    /// Goes with each request to the relay.
    pub token: String,
    /// How long both hold.
    pub lifetime_s: u64,
}

/// A program that is to take part.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invited {
    kind: Machine,
    name: String,
    #[serde(default)]
    speaks: bool,
    #[serde(default)]
    lifetime_s: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Machine {
    Recorder,
    Program,
}

/// How long a program takes part when nothing is said: most meetings.
const LIFETIME: Duration = Duration::from_secs(4 * 3600);

/// At most: as long as anybody's token.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);

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
    host_pin: Option<String>,
    #[serde(default)]
    lobby: bool,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    people_max: Option<usize>,
    #[serde(default)]
    announce: Option<String>,
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
        .route("/api/v1/rooms/{name}/programs", post(bring))
        .route(
            "/api/v1/rooms/{name}/programs/{participant}",
            delete(take_out),
        )
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

async fn bring(State(ops): State<Ops>, Path(name): Path<String>, body: Bytes) -> Response {
    let invited: Invited = match serde_json::from_slice(&body) {
        Ok(invited) => invited,
        Err(error) => return bad(error.to_string()),
    };
    match (RoomName::new(&name), invited.bidden()) {
        (Ok(name), Ok(bidden)) => operate(&ops, Operation::Bring(name, bidden)).await,
        (Err(denied), _) => refused(denied),
        (_, Err(reason)) => bad(reason),
    }
}

async fn take_out(
    State(ops): State<Ops>,
    Path((name, participant)): Path<(String, String)>,
) -> Response {
    match (RoomName::new(&name), translate::participant(&participant)) {
        (Ok(name), Some(whom)) => operate(&ops, Operation::TakeOut(name, whom)).await,
        (Err(denied), _) => refused(denied),
        (_, None) => refused(Denied::NoSuchParticipant),
    }
}

/// Returns what an operator may do; what people do for themselves is `None`.
fn action(act: &Act) -> Option<Action> {
    Some(match act {
        Act::Say { .. } | Act::React { .. } | Act::Dial { .. } => return None,
        Act::Hold { .. } | Act::Video { .. } | Act::Quality { .. } => return None,
        act => translate::action(act).ok()??,
    })
}

async fn operate(ops: &Ops, operation: Operation) -> Response {
    match ops.control.operate(operation).await {
        Ok(Operated::Rooms(rooms)) => Json(Rooms { rooms }).into_response(),
        Ok(Operated::Roster(roster)) => Json(roster).into_response(),
        Ok(Operated::Brought(place)) => (StatusCode::CREATED, Json(place)).into_response(),
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

impl Invited {
    fn bidden(self) -> Result<Bidden, String> {
        let does = match (self.kind, self.speaks) {
            (Machine::Recorder, false) => Does::Records,
            (Machine::Program, false) => Does::Listens,
            (Machine::Program, true) => Does::Speaks,
            (Machine::Recorder, true) => return Err("speaks: a recorder does not".into()),
        };
        let lifetime = self.lifetime_s.map_or(LIFETIME, Duration::from_secs);
        if lifetime.is_zero() || lifetime > LIFETIME_MAX {
            return Err(format!("lifetime_s: 1 to {}", LIFETIME_MAX.as_secs()));
        }
        // People are to see who hears them.
        if !token::is_name(&self.name) {
            let max = token::NAME_CHARS_MAX;
            return Err(format!("name: 1 to {max} characters that can be shown"));
        }
        let name = self.name;
        Ok(Bidden {
            name,
            does,
            lifetime,
        })
    }
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
        let host_pin = self.host_pin.as_deref().map(Pin::new).transpose();
        let owner = self.owner.as_deref().map(UserId::new).transpose();
        let announce = self.announce.map(|text| {
            let known = Announce::named(&text);
            known.ok_or_else(|| format!("announce: {text:?} is none of names, tone, off"))
        });
        let announce = announce.transpose()?;
        Ok(Spec {
            title,
            number: number.map_err(|error| format!("number: {error}"))?,
            pin: pin.map_err(|denied| denied.to_string())?,
            host_pin: host_pin.map_err(|denied| denied.to_string())?,
            lobby: self.lobby,
            owner: owner.map_err(|error| format!("owner: {error}"))?,
            people_max: self.people_max,
            announce,
            name,
        })
    }
}
