//! A room of a daemon into which pages come: guests with a signaling socket each, who get the room's tokens there.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use moqrelay_wire::signal::RoomMedia;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::client::ANSWER;

/// People in a room, for as long as this value lives.
pub(crate) struct Room {
    pub(crate) speakers: Vec<RoomMedia>,
    /// Those who came to listen.
    pub(crate) listeners: Vec<RoomMedia>,
    /// Their sockets; aborted when it is dropped.
    present: JoinSet<()>,
}

/// Its name: a room on demand.
const NAME: &str = "bench";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a guest gets.
#[derive(Deserialize)]
struct SignedIn {
    token: String,
}

impl Room {
    /// Lets so many people come into it, at the daemon whose pages are there.
    pub(crate) async fn open(http: SocketAddr, speakers: u32, listeners: u32) -> Result<Self> {
        let mut room = Self {
            speakers: Vec::new(),
            listeners: Vec::new(),
            present: JoinSet::new(),
        };
        for n in 0..speakers + listeners {
            let listens = n >= speakers;
            let (media, socket) = come(http, &format!("Guest {n}"), listens)
                .await
                .with_context(|| format!("guest {n}"))?;
            room.present.spawn(stay(socket));
            if listens {
                room.listeners.push(media);
            } else {
                room.speakers.push(media);
            }
        }
        Ok(room)
    }
}

/// Signs a guest in and joins the room.
async fn come(http: SocketAddr, name: &str, listen: bool) -> Result<(RoomMedia, Socket)> {
    let body = json!({ "name": name }).to_string();
    let answer = timeout(ANSWER, post(http, "/api/v1/guest", &body)).await;
    let guest: SignedIn = serde_json::from_slice(&answer.context("no answer to a guest")??)?;
    let mut request = format!("ws://{http}/api/v1/signal").into_client_request()?;
    let protocol = "moqrelay.v1".parse()?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = timeout(ANSWER, connect_async(request))
        .await
        .context("no signaling")??;
    ask(
        &mut socket,
        json!({ "type": "register", "id": 1, "token": guest.token }),
    )
    .await?;
    let join = json!({ "type": "join", "id": 2, "room": NAME, "listen": listen });
    let mut joined = ask(&mut socket, join).await?;
    let media = serde_json::from_value(joined["media"].take()).context("no place in the room")?;
    Ok((media, socket))
}

/// Sends a request and waits for what is said to it; events before that are of no interest.
async fn ask(socket: &mut Socket, request: Value) -> Result<Value> {
    socket.send(Message::text(request.to_string())).await?;
    let answered = async {
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else {
                continue;
            };
            let said: Value = serde_json::from_str(&text)?;
            if said["id"] == request["id"] {
                ensure!(said["type"] == "ok", "refused: {said}");
                return Ok(said);
            }
        }
        anyhow::bail!("the signaling socket has ended")
    };
    timeout(ANSWER, answered)
        .await
        .context("the signaling does not answer")?
}

/// Takes part in silence, as long as the daemon wants to hear that somebody is there.
async fn stay(mut socket: Socket) {
    let pong = json!({ "type": "pong" }).to_string();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let said = serde_json::from_str::<Value>(&text).unwrap_or_default();
        if said["type"] == "ping" && socket.send(Message::text(pong.as_str())).await.is_err() {
            return;
        }
    }
}

/// Returns the body of the answer to a request that succeeds.
async fn post(http: SocketAddr, path: &str, body: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(http).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.context("no answer")? + 4);
    let head = String::from_utf8_lossy(&answer);
    ensure!(
        head.starts_with("HTTP/1.1 200"),
        "{path}: {}",
        head.lines().next().unwrap_or_default()
    );
    Ok(body)
}
