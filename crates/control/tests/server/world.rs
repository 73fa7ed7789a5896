//! A server, the daemon's loop in small, and clients.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use moqrelay_control::token::{Claims, Key, Keys, Material};
use moqrelay_control::{
    Calls, Config, Control, Directory, Limits, Request, Requests, Transport, TransportSource, Web,
};
use moqrelay_room::{self as room, Input, Output, Switchboard, conference::Denied};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

/// Only a fault takes so long.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const SECRET: &str = "the dialplan's secret";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) control: Control,
    pub(crate) keys: Arc<Keys>,
    /// What the daemon's loop has put out beside events to devices.
    pub(crate) outputs: Arc<Mutex<Vec<Output>>>,
    inputs: tokio::sync::mpsc::UnboundedSender<Input>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    /// A server with a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config, &mut room::Config)) -> Self {
        let (server, requests, inputs, room) = Self::without_daemon(change).await;
        tokio::spawn(daemon(
            server.control.clone(),
            room,
            requests,
            inputs,
            server.outputs.clone(),
        ));
        server
    }

    /// A server whose requests nobody answers until the caller does.
    pub(crate) async fn without_daemon(
        change: impl FnOnce(&mut Config, &mut room::Config),
    ) -> (
        Self,
        Requests,
        tokio::sync::mpsc::UnboundedReceiver<Input>,
        room::Config,
    ) {
        let key = Key {
            kid: None,
            material: Material::Hs256(vec![7; 32]),
        };
        let keys = Arc::new(Keys::new([key]).unwrap());
        let mut room = room::Config::default();
        let mut config = config(keys.clone(), &room);
        change(&mut config, &mut room);
        let (control, requests) = Control::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = control.clone();
        let served = tokio::spawn(async move {
            serving
                .serve(listener, async move { _ = stopped.await })
                .await
        });
        let (inputs, inputs_rx) = tokio::sync::mpsc::unbounded_channel();
        let outputs = Arc::default();
        let server = Self {
            address,
            control,
            keys,
            outputs,
            inputs,
            stop: Some(stop),
            served,
        };
        (server, requests, inputs_rx, room)
    }

    pub(crate) fn tell(&self, input: Input) {
        self.inputs.send(input).unwrap();
    }

    /// Shuts down and waits for the end.
    pub(crate) async fn stop(mut self) {
        _ = self.stop.take().unwrap().send(());
        patient(self.served).await.unwrap().unwrap();
    }

    pub(crate) fn begin_stop(&mut self) {
        _ = self.stop.take().unwrap().send(());
    }

    pub(crate) fn token(&self, user: &str) -> String {
        self.token_for(user, Duration::from_secs(600))
    }

    pub(crate) fn token_for(&self, user: &str, ttl: Duration) -> String {
        let end = SystemTime::now() + ttl;
        self.keys.sign(&Claims {
            sub: Some(user.into()),
            name: Some(user.to_uppercase()),
            number: None,
            put: Vec::new(),
            get: Vec::new(),
            participant: None,
            nbf: None,
            exp: end.duration_since(UNIX_EPOCH).unwrap().as_secs(),
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.http("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.http("POST", path, &[("content-type", "application/json")], body)
            .await
    }

    pub(crate) async fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        request += &format!("connection: close\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("\r\n{body}");
        raw_http(self.address, request.as_bytes()).await
    }
}

/// Sends bytes and reads until the server closes.
pub(crate) async fn raw_http(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    patient(stream.read_to_end(&mut bytes)).await.unwrap();
    Answer::read(&bytes)
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a header");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self {
            status,
            headers: lines.map(header).collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// The daemon's loop: the switchboard, its time, and where its decisions go.
async fn daemon(
    control: Control,
    config: room::Config,
    mut requests: Requests,
    mut inputs: tokio::sync::mpsc::UnboundedReceiver<Input>,
    outputs: Arc<Mutex<Vec<Output>>>,
) {
    let mut board = Switchboard::new(config);
    loop {
        let due = board.poll_timeout();
        let alarm = async move {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => handle(&mut board, request),
                None => return,
            },
            input = inputs.recv() => match input {
                Some(input) => board.handle(input, Instant::now()),
                None => return,
            },
            () = alarm => board.handle_timeout(Instant::now()),
        }
        while let Some(output) = board.poll_output() {
            match output {
                Output::Notify { device, event } => control.notify(device, event),
                Output::Forget(device) => control.forget(device),
                other => outputs.lock().unwrap().push(other),
            }
        }
    }
}

pub(crate) fn handle(board: &mut Switchboard, request: Request) {
    let now = Instant::now();
    match request {
        Request::Register {
            device,
            user,
            attachment,
            reply,
        } => {
            reply.send(board.register(device, user, attachment));
        }
        Request::Resume {
            device,
            attachment,
            reply,
        } => {
            reply.send(board.resume(device, attachment));
        }
        Request::Signal {
            device,
            request,
            reply,
        } => {
            reply.send(board.request(device, request, now));
        }
        // This daemon has no rooms.
        Request::Room { reply, .. } => reply.deny(Denied::NoSuchRoom),
        Request::Operate { reply, .. } => reply.deny(Denied::NoSuchRoom),
        Request::File { reply, .. } => reply.deny(Denied::NoSuchRoom),
        Request::Dropped { device, attachment } => {
            board.handle(Input::Dropped { device, attachment }, now);
        }
        Request::Ticket { arrival, reply } => {
            reply.send(
                board
                    .ticket(arrival, now)
                    .map(|leg| Uuid::from_u128(u128::from(leg.0))),
            );
        }
    }
}

/// A client on the signaling socket.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    pub(crate) registered: Value,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::try_connect(server, &[("sec-websocket-protocol", "moqrelay.v1")])
            .await
            .unwrap()
    }

    pub(crate) async fn try_connect(
        server: &Server,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let url = format!("ws://{}/api/v1/signal", server.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match patient(tokio_tungstenite::connect_async(request)).await {
            Ok((socket, _)) => Ok(Self {
                socket,
                last_id: 0,
                registered: Value::Null,
            }),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects and registers.
    pub(crate) async fn register(server: &Server, user: &str) -> Self {
        Self::register_with(server, &server.token(user), None).await
    }

    pub(crate) async fn register_with(server: &Server, token: &str, resume: Option<Value>) -> Self {
        let mut client = Self::connect(server).await;
        client.send_register(token, resume).await;
        let answer = client.next().await;
        assert_eq!(answer["type"], "ok", "{answer}");
        client.registered = answer;
        client
    }

    pub(crate) async fn send_register(&mut self, token: &str, resume: Option<Value>) -> u64 {
        let mut register = json!({"type": "register", "token": token});
        if let Some(resume) = resume {
            register["resume"] = resume;
        }
        self.send(register).await
    }

    /// What a later socket needs to go on.
    pub(crate) fn resume(&self, seq: u64) -> Value {
        json!({"session": self.registered["session"], "key": self.registered["key"], "seq": seq})
    }

    /// Sends a request under the next id.
    pub(crate) async fn send(&mut self, mut request: Value) -> u64 {
        self.last_id += 1;
        request["id"] = json!(self.last_id);
        self.send_text(&request.to_string()).await;
        self.last_id
    }

    pub(crate) fn count_from(&mut self, id: u64) {
        self.last_id = id;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_message(
        &mut self,
        message: Message,
    ) -> Result<(), tungstenite::Error> {
        self.socket.send(message).await
    }

    /// Sends a request and returns its answer; what comes before is dropped.
    pub(crate) async fn ask(&mut self, request: Value) -> Value {
        let id = self.send(request).await;
        loop {
            let message = self.next().await;
            if message["id"] == id {
                return message;
            }
        }
    }

    /// Returns the next message.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match patient(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(frame))) => panic!("closed: {frame:?}"),
                Some(Ok(_)) => {}
                other => panic!("no message: {other:?}"),
            }
        }
    }

    /// Returns the next message of a type; the others are dropped.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Returns the code with which the server closes, and what it said before.
    pub(crate) async fn closed(mut self) -> (u16, Vec<Value>) {
        let mut said = Vec::new();
        loop {
            match patient(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => said.push(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), said),
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}, before it {said:?}"),
            }
        }
    }

    /// Drops the TCP connection without a word.
    pub(crate) fn vanish(self) {
        drop(self.socket);
    }
}

/// Waits, but not for ever.
pub(crate) async fn patient<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("nothing happened")
}

/// Waits until something holds that no message tells of.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(1));
    patient(async {
        while !holds() {
            looks.tick().await;
        }
    })
    .await;
}

fn config(keys: Arc<Keys>, room: &room::Config) -> Config {
    Config {
        keys,
        directory: Arc::new(Directory::default()),
        guests: Some(moqrelay_control::Guests::default()),
        asterisk_secret: Some(SECRET.into()),
        transport: TransportSource(Arc::new(|host| Transport {
            url: format!("https://{}:4443/moq", host.unwrap_or("nowhere")),
            fallback_url: Some("/moq".into()),
            others: vec!["https://other.example:4443/moq".into()],
            drafts: vec!["moqt-18".into()],
            certificate_hashes: vec!["ab".repeat(32)],
            renewed_before: Some("2026-12-01T10:00:00Z".into()),
        })),
        media: None,
        tls: None,
        web: Web::Embedded,
        origins: Vec::new(),
        files: None,
        calls: Calls::from(room),
        services: moqrelay_wire::signal::Services::default(),
        limits: Limits::default(),
    }
}

/// A server of which nobody takes the requests.
pub(crate) fn nobody() -> Control {
    let key = Key {
        kid: None,
        material: Material::Hs256(vec![7; 32]),
    };
    let keys = Arc::new(Keys::new([key]).unwrap());
    Control::new(config(keys, &room::Config::default())).0
}
