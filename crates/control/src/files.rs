//! `/api/v1/rooms/{room}/files`: what people in rooms give each other beside words (docs/protocol.md, section 4).
//!
//! Whose word counts is the participant's token for media; whether that one is still in the room, and may have what it
//! asks for, the daemon says at each request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use moqrelay_room::ParticipantId;
use moqrelay_room::conference::{Denied, FileId, RoomId};
use moqrelay_wire::file::{FileType, decode_name, encode_name};
use moqrelay_wire::signal::ChatFile;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::config::Files;
use crate::control::Shared;
use crate::http::{fault, foreign};
use crate::listener::Remote;
use crate::request::{Failure, FileDone, FileOperation, FileRequest, Reply, Request};
use crate::translate::{self, participant};

/// Where files are put.
pub(crate) const PATH: &str = "/api/v1/rooms/{room}/files";

/// How long a file may take to arrive: 8 MiB at 560 kbit/s.
pub(crate) const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// How long nothing of it may arrive.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Files that arrive at a time: 128 MiB with the longest by default.
const UPLOADS_MAX: usize = 16;

/// Of those, from one participant: who drops several at once waits for some.
const UPLOADS_OF_ONE_MAX: usize = 2;

/// What is still read of a file that is refused, so that its sender reads the answer before it notices the end.
const DISCARD_MAX: usize = 256 * 1024;

/// For so long.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route(PATH, post(put))
        .route("/api/v1/rooms/{room}/files/{file}", get(take))
}

/// Files on their way in.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<BTreeMap<(RoomId, ParticipantId), usize>>);

/// One of them.
struct Upload<'a>(&'a Uploads, (RoomId, ParticipantId));

impl Uploads {
    fn begin(&self, room: RoomId, by: ParticipantId) -> Option<Upload<'_>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.get(&(room, by)).copied().unwrap_or_default();
        if own >= UPLOADS_OF_ONE_MAX || counts.values().sum::<usize>() >= UPLOADS_MAX {
            return None;
        }
        counts.insert((room, by), own + 1);
        Some(Upload(self, (room, by)))
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

#[derive(Serialize)]
struct Taken {
    file: ChatFile,
}

async fn put(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(remote): ConnectInfo<Remote>,
    Path(room): Path<String>,
    headers: HeaderMap,
    mut body: Body,
) -> Response {
    if let Some(foreign) = foreign(&shared, &remote, &headers) {
        return foreign;
    }
    let taken = receive(&shared, room, &headers, &mut body).await;
    let (result, answer) = match taken {
        Ok(file) => ("taken", Ok((StatusCode::CREATED, Json(Taken { file })))),
        Err(refused) => {
            discard(body).await;
            (refused.code, Err(refused))
        }
    };
    metrics::counter!("moqrelay_room_files_total", "result" => result).increment(1);
    answer.into_response()
}

async fn receive(
    shared: &Shared,
    room: String,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<ChatFile, Refused> {
    let config = shared.config.files.as_ref().ok_or(Denied::NoFiles)?;
    let (of, by) = bearer(shared, headers)?;
    let ask = |operation| FileRequest {
        path: room.clone(),
        room: of,
        participant: by,
        operation,
    };
    let len = length(config, headers)?;
    let named = declared(config, headers)?;
    let name = name(headers)?;
    shared.file(ask(FileOperation::May)).await?;
    let _upload = shared.uploads.begin(of, by).ok_or(BUSY)?;
    let bytes = read(body, len).await?;
    if FileType::of(&bytes) != Some(named) {
        let reason = format!("its content is not {}", named.as_str());
        return Err(Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            WRONG_TYPE,
            reason,
        ));
    }
    let operation = FileOperation::Keep {
        name,
        media_type: named.as_str(),
        bytes,
    };
    match shared.file(ask(operation)).await? {
        FileDone::Kept(file) => Ok(file),
        FileDone::Granted | FileDone::Read(..) => Err(Failure::Dropped.into()),
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(remote): ConnectInfo<Remote>,
    Path((room, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(foreign) = foreign(&shared, &remote, &headers) {
        return foreign;
    }
    let (result, answer) = match fetch(&shared, room, &file, &headers).await {
        Ok((file, bytes)) => ("given", Ok(attachment(&file, bytes))),
        Err(refused) => (refused.code, Err(refused)),
    };
    metrics::counter!("moqrelay_room_file_reads_total", "result" => result).increment(1);
    answer.into_response()
}

async fn fetch(
    shared: &Shared,
    path: String,
    file: &str,
    headers: &HeaderMap,
) -> Result<(ChatFile, Bytes), Refused> {
    let (room, participant) = bearer(shared, headers)?;
    let request = FileRequest {
        path,
        room,
        participant,
        operation: FileOperation::Read(file_id(file).ok_or(Denied::NoSuchFile)?),
    };
    match shared.file(request).await? {
        FileDone::Read(file, bytes) => Ok((file, bytes)),
        FileDone::Granted | FileDone::Kept(_) => Err(Failure::Dropped.into()),
    }
}

/// Whatever it is, a browser does not run it: neither as a page of its own nor as what it is not.
fn attachment(file: &ChatFile, bytes: Bytes) -> Response {
    let shown = FileType::named(&file.media_type).is_some_and(FileType::is_image);
    let kind = if shown { "inline" } else { "attachment" };
    let name = encode_name(&file.name);
    let media_type = match file.media_type.as_str() {
        "text/plain" => "text/plain; charset=utf-8",
        other => other,
    };
    let headers = [
        (CONTENT_TYPE, media_type.to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("{kind}; filename*=UTF-8''{name}"),
        ),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox".to_owned(),
        ),
        // Whoever is put out has no copy to ask for.
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, bytes).into_response()
}

/// Returns as whom a request comes.
fn bearer(shared: &Shared, headers: &HeaderMap) -> Result<(RoomId, ParticipantId), Refused> {
    let value = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    let (scheme, token) = value.and_then(|it| it.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refused::unauthorized("a room's token is wanted as bearer"));
    }
    let claims = shared
        .config
        .keys
        .verify(token.trim(), SystemTime::now())
        .map_err(|error| Refused::unauthorized(error.to_string()))?;
    let place = claims.participant.as_deref().and_then(place);
    place.ok_or_else(|| Refused::unauthorized("not the token of somebody in a room"))
}

/// Returns which place a token's `as` names.
fn place(path: &str) -> Option<(RoomId, ParticipantId)> {
    let (room, own) = path.strip_prefix("room/")?.split_once('/')?;
    let id = u128::from_str_radix(room, 16).ok().map(RoomId)?;
    // Only the form in which ids are written.
    (id.to_string() == room).then_some(())?;
    Some((id, participant(own)?))
}

/// Returns which file a text names.
pub fn file_id(text: &str) -> Option<FileId> {
    let id = FileId(text.strip_prefix('f')?.parse().ok()?);
    (id.to_string() == text).then_some(id)
}

fn length(config: &Files, headers: &HeaderMap) -> Result<usize, Refused> {
    let len = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
    let Some(len) = len.and_then(|len| len.parse::<u64>().ok()) else {
        let reason = "the length of the file is wanted";
        return Err(Refused::new(StatusCode::LENGTH_REQUIRED, BAD, reason));
    };
    match usize::try_from(len) {
        Ok(0) => Err(Refused::new(
            StatusCode::BAD_REQUEST,
            BAD,
            "the file is empty",
        )),
        Ok(fits) if len <= config.bytes_max => Ok(fits),
        Ok(_) | Err(_) => {
            let reason = format!("a file has at most {} bytes", config.bytes_max);
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Err(Refused::new(status, "too_large", reason))
        }
    }
}

fn declared(config: &Files, headers: &HeaderMap) -> Result<FileType, Refused> {
    let named = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let named = named.and_then(FileType::named);
    named
        .filter(|named| config.types.contains(named))
        .ok_or_else(|| {
            let types: Vec<&str> = config.types.iter().map(|it| it.as_str()).collect();
            let reason = format!("files are taken of these types: {}", types.join(", "));
            Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, WRONG_TYPE, reason)
        })
}

fn name(headers: &HeaderMap) -> Result<String, Refused> {
    let Some(value) = headers.get(NAME) else {
        return Ok(String::new());
    };
    decode_name(value.as_bytes()).map_err(|error| {
        let reason = format!("x-file-name: {error}");
        Refused::new(StatusCode::BAD_REQUEST, BAD, reason)
    })
}

/// The file's name, percent-encoded.
const NAME: HeaderName = HeaderName::from_static("x-file-name");

/// Reads a body of that length.
async fn read(body: &mut Body, len: usize) -> Result<Bytes, Refused> {
    let mut bytes = Vec::new();
    let mut stream = std::mem::take(body).into_data_stream();
    while bytes.len() < len {
        let Ok(next) = tokio::time::timeout(SILENCE_MAX, stream.next()).await else {
            let reason = "the file does not arrive";
            return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, BAD, reason));
        };
        match next {
            // HTTP lets no more through than the length that was announced.
            Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
            Some(Err(_)) | None => {
                let reason = "the file ends early";
                return Err(Refused::new(StatusCode::BAD_REQUEST, BAD, reason));
            }
        }
    }
    Ok(bytes.into())
}

async fn discard(body: Body) {
    let reading = async {
        let mut stream = body.into_data_stream();
        let mut read = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            read += chunk.len();
            if read > DISCARD_MAX {
                break;
            }
        }
    };
    if tokio::time::timeout(DISCARD_TIMEOUT, reading)
        .await
        .is_err()
    {
        tracing::debug!("a file that is refused goes on");
    }
}

impl Shared {
    async fn file(&self, request: FileRequest) -> Result<FileDone, Failure> {
        let (answer, answered) = oneshot::channel();
        let reply = Reply::new(move |result| {
            // Without a receiver the page has gone.
            let _gone = answer.send(result);
        });
        self.ask(Request::File { request, reply });
        answered.await.unwrap_or(Err(Failure::Dropped))
    }
}

/// Why a file is not taken or given.
struct Refused {
    status: StatusCode,
    code: &'static str,
    reason: String,
}

const BAD: &str = "bad_message";
const WRONG_TYPE: &str = "unsupported_type";

/// Too many at once.
const BUSY: Denied = Denied::TooFast;

/// When to try again, in seconds: by then another file may come.
const RETRY_SECONDS: &str = "6";

impl Refused {
    fn new(status: StatusCode, code: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            status,
            code,
            reason,
        }
    }

    fn unauthorized(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", reason)
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let status = match denied {
            // The token is that of somebody who is gone, or of no room.
            Denied::NotIn => {
                return Self::unauthorized("you are in this room no more");
            }
            Denied::NoSuchRoom | Denied::NoSuchFile | Denied::NoFiles => StatusCode::NOT_FOUND,
            Denied::TooFast => StatusCode::TOO_MANY_REQUESTS,
            Denied::FileTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Denied::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        };
        let code = match denied {
            Denied::NoFiles => "not_found",
            Denied::FileTooLong => "too_large",
            denied => translate::denied(denied).as_str(),
        };
        Self::new(status, code, denied.to_string())
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        match failure {
            Failure::Denied(denied) => denied.into(),
            Failure::Refused(refusal) => {
                let code = translate::code(refusal.reason).as_str();
                Self::new(status, code, refusal.text)
            }
            Failure::Dropped => Self::new(status, "internal", "the server did not answer"),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = fault(self.status, self.code, self.reason);
        let more = match self.status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((RETRY_AFTER, RETRY_SECONDS)),
            _ => None,
        };
        if let Some((name, value)) = more {
            let value = axum::http::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_a_file_are_named_in_one_form_only() {
        let room = format!("{:032x}", 7);

        let own = place(&format!("room/{room}/p3"));

        assert_eq!(own, Some((RoomId(7), ParticipantId(3))));
        for wrong in ["room/7/p3", "room/7", "", "call/x/p1"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
        assert_eq!(place(&format!("room/+{}/p3", &room[1..])), None);
        assert_eq!(file_id("f12"), Some(FileId(12)));
        for wrong in ["12", "f", "f-1", "f+1", "f01", "f99999999999", "../f1"] {
            assert_eq!(file_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_participant_does_not_hold_all_the_places_of_files_on_their_way() {
        let uploads = Uploads::default();
        let (room, one) = (RoomId(1), ParticipantId(1));

        let held: Vec<_> = (0..3).map(|_| uploads.begin(room, one)).collect();
        let others: Vec<_> = (2..=20)
            .map(|n| uploads.begin(room, ParticipantId(n)))
            .collect();

        assert_eq!(held.iter().flatten().count(), UPLOADS_OF_ONE_MAX);
        assert_eq!(
            others.iter().flatten().count(),
            UPLOADS_MAX - UPLOADS_OF_ONE_MAX
        );
        drop((held, others));
        assert!(uploads.begin(room, one).is_some());
        assert!(uploads.0.lock().unwrap().is_empty());
    }
}
