//! A page: what it says and hears on its signaling socket, and nothing of sound.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{common::soon, program::Daemon};

pub struct Page {
    http: SocketAddr,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    token: String,
    id: u64,
    seq: u64,
    /// Events that nobody has looked at yet, in order.
    events: Vec<Value>,
    /// What `ok` to the register said.
    pub registered: Value,
    /// What `ok` to the last join said.
    pub joined: Value,
}

impl Page {
    /// Signs in as a guest and registers.
    pub async fn guest(daemon: &Daemon, name: &str) -> Self {
        let body = json!({ "name": name }).to_string();
        let (_, answer) = request(daemon.http, "POST", "/api/v1/guest", "", body.as_bytes()).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        Self::with(daemon.http, answer["token"].as_str().unwrap(), Value::Null).await
    }

    /// Registers with a token, taking a session over when one is named.
    pub async fn with(http: SocketAddr, token: &str, resume: Value) -> Self {
        let mut request = format!("ws://{http}/api/v1/signal")
            .into_client_request()
            .unwrap();
        let protocol = "moqrelay.v1".parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (stream, _) = soon(connect_async(request)).await.unwrap();
        let mut page = Self {
            http,
            stream,
            token: token.to_owned(),
            id: 0,
            seq: 0,
            events: Vec::new(),
            registered: Value::Null,
            joined: Value::Null,
        };
        let mut register = json!({ "type": "register", "token": token });
        if resume.is_object() {
            register["resume"] = resume;
        }
        page.registered = page.ask(register).await.unwrap();
        page
    }

    /// Loses the socket.
    pub fn lose(self) -> Lost {
        let resume = json!({
            "session": self.registered["session"], "key": self.registered["key"], "seq": self.seq,
        });
        Lost {
            http: self.http,
            token: self.token,
            resume,
            joined: self.joined,
        }
    }

    /// Loads anew: another session of the same user, at a daemon that may be another one.
    pub async fn anew(self, daemon: &Daemon) -> Self {
        let (token, joined) = (self.token.clone(), self.joined.clone());
        drop(self);
        let mut page = Self::with(daemon.http, &token, Value::Null).await;
        page.joined = joined;
        page
    }

    /// Asks; `Err` has the code of the refusal.
    pub async fn ask(&mut self, mut request: Value) -> Result<Value, String> {
        self.id += 1;
        request["id"] = json!(self.id);
        let text = Message::text(request.to_string());
        soon(self.stream.send(text)).await.unwrap();
        loop {
            let message = self.message().await;
            if message["id"] != json!(self.id) {
                continue;
            }
            return match message["type"].as_str() {
                Some("ok") => Ok(message),
                _ => Err(message["code"].as_str().unwrap().to_owned()),
            };
        }
    }

    pub async fn join(&mut self, room: &str) -> Value {
        self.try_join(json!({ "room": room })).await.unwrap()
    }

    pub async fn try_join(&mut self, join: Value) -> Result<Value, String> {
        let mut request = join;
        request["type"] = json!("join");
        let joined = self.ask(request).await?;
        self.joined = joined.clone();
        Ok(joined)
    }

    /// Does something in the room that it came into last.
    pub async fn act(&mut self, act: Value) -> Result<Value, String> {
        let room = self.joined["room"]["id"].clone();
        self.ask(json!({ "type": "room", "room": room, "do": act }))
            .await
    }

    pub fn me(&self) -> String {
        self.joined["participant"].as_str().unwrap().to_owned()
    }

    /// Waits for an event that is wanted; those before it are dropped.
    pub async fn event(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            while !self.events.is_empty() {
                let event = self.events.remove(0);
                if event["type"] == kind && wanted(&event) {
                    return event;
                }
            }
            self.message().await;
        }
    }

    /// Waits until the roster is as wanted, and returns its people.
    pub async fn roster(&mut self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let people = |event: &Value| event["roster"]["people"].as_array().cloned().unwrap();
        let event = self.event("roster", |event| wanted(&people(event))).await;
        people(&event)
    }

    /// Reads a message; events are kept.
    async fn message(&mut self) -> Value {
        loop {
            let message = soon(self.stream.next()).await.unwrap().unwrap();
            let Message::Text(text) = message else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] == "ping" {
                let pong = Message::text(json!({ "type": "pong" }).to_string());
                soon(self.stream.send(pong)).await.unwrap();
            } else if let Some(seq) = message["seq"].as_u64() {
                assert!(seq > self.seq, "events are in order");
                self.seq = seq;
                self.events.push(message.clone());
            }
            return message;
        }
    }
}

/// A page without socket.
pub struct Lost {
    http: SocketAddr,
    token: String,
    resume: Value,
    joined: Value,
}

impl Lost {
    /// Takes the session over with another socket.
    pub async fn back(self) -> Page {
        let mut page = Page::with(self.http, &self.token, self.resume).await;
        page.joined = self.joined;
        page
    }
}

/// Sends an HTTP request; returns the head and the body of the answer.
pub async fn request(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> (String, Vec<u8>) {
    let mut stream = soon(TcpStream::connect(at)).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The answer may come before the end of a body that is too long.
    drop(stream.write_all(body).await);
    let mut answer = Vec::new();
    drop(soon(stream.read_to_end(&mut answer)).await);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.expect("an answer has a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head, answer[end + 4..].to_vec())
}
