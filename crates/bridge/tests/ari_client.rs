//! The client of ARI against a scripted Asterisk on loopback.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::SinkExt;
use moqrelay_bridge::TlsConnector;
use moqrelay_bridge::ari::{
    Caller, Client, CommandRefused, Config, Event, Failure, Handle, LegId, Method, Probe, Secret,
};
use moqrelay_bridge::leg::Bytestream;
use moqrelay_wire::signal::Cause;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use uuid::Uuid;

#[tokio::test]
async fn it_asks_for_its_events_by_name_and_password() {
    let mut asterisk = Fake::start().await;
    let _client = asterisk.client();

    let socket = asterisk.socket().await;

    assert_eq!(
        socket.request,
        "GET /ari/events?app=moqrelay,moqrelay-00000007&subscribeAll=false HTTP/1.1"
    );
    // moqrelay:secret
    assert!(
        socket
            .head
            .contains("authorization: Basic bW9xcmVsYXk6c2VjcmV0"),
        "{}",
        socket.head
    );
}

#[tokio::test]
async fn it_is_up_when_it_knows_what_there_is() {
    let mut asterisk = Fake::start().await;
    let mut client = asterisk.client();

    let _socket = asterisk.socket().await;
    asterisk.gives_lists().await;

    assert_eq!(client.event().await, Event::Up);
}

#[tokio::test]
async fn by_https_each_connection_is_made_secure_before_anything_is_sent() {
    let mut asterisk = Fake::start().await;
    let (names_tx, mut names) = mpsc::unbounded_channel();
    let mut config = asterisk.config();
    config.url = config.url.replace("http://", "https://");
    // The shaking of hands is the daemon's; it is seen here where it is asked for.
    config.tls = Some(TlsConnector::new(move |name, stream| {
        names_tx.send(name).unwrap();
        Box::pin(async move {
            let secured: Box<dyn Bytestream> = Box::new(stream);
            Ok(secured)
        })
    }));
    let mut client = run(config);

    let _socket = asterisk.socket().await;
    assert_eq!(soon(names.recv()).await.unwrap(), "127.0.0.1");
    asterisk.gives_lists().await;
    assert_eq!(client.event().await, Event::Up);

    assert_eq!(soon(names.recv()).await.unwrap(), "127.0.0.1");
}

#[tokio::test]
async fn an_asterisk_that_is_not_trusted_is_sent_nothing() {
    let mut asterisk = Fake::start().await;
    let mut config = asterisk.config();
    config.url = config.url.replace("http://", "https://");
    config.tls = Some(TlsConnector::new(|_, _| {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, "who is that?");
        Box::pin(async { Err(error) })
    }));

    let probe = Probe::new(&config).unwrap();
    let reply = probe.ask(Method::Get, "asterisk/info", &[], &[]).await;

    assert_eq!(reply.unwrap_err(), Failure::Untrusted);
    assert!(asterisk.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_request_reaches_asterisk_and_its_refusal_the_daemon() {
    let mut asterisk = Fake::start().await;
    let (mut client, _socket) = asterisk.up().await;

    client
        .handle
        .dial(LegId(1), "600", None, Caller::default(), Uuid::nil())
        .unwrap();
    let far = asterisk.request().await;
    let dialled = "POST /ari/channels/create?endpoint=Local%2F600%40";
    assert!(far.line.starts_with(dialled), "{}", far.line);
    far.answer(200, "{}");
    let mut lines = Vec::new();
    for _ in 0..2 {
        let request = asterisk.request().await;
        lines.push(request.line.clone());
        let refused = request.line.contains("/externalMedia");
        request.answer(if refused { 400 } else { 200 }, "{}");
    }

    lines.sort();
    let bridge = "POST /ari/bridges/moqrelay-leg-";
    let external = "POST /ari/channels/externalMedia?app=moqrelay-00000007&";
    assert!(lines[0].starts_with(bridge), "{lines:?}");
    assert!(lines[1].starts_with(external), "{lines:?}");
    let ended = Event::Ended {
        leg: LegId(1),
        cause: Cause::Failed,
    };
    assert_eq!(client.event().await, ended);
    for _ in 0..2 {
        let request = asterisk.request().await;
        assert!(request.line.starts_with("DELETE /ari/"), "{}", request.line);
        request.answer(204, "");
    }
}

#[tokio::test]
async fn an_event_reaches_the_daemon_and_nonsense_does_not() {
    let mut asterisk = Fake::start().await;
    let (mut client, mut socket) = asterisk.up().await;

    socket.say("not json").await;
    socket.say(r#"{"type":"SomethingNew","x":[1,2,3]}"#).await;
    socket
        .say(r#"{"type":"StasisStart","args":["7001"],"channel":{"id":"a1"}}"#)
        .await;

    let Event::Incoming(incoming) = client.event().await else {
        panic!("no call")
    };
    assert_eq!(incoming.to, "7001");
}

#[tokio::test]
async fn connections_that_asterisk_closes_are_opened_anew() {
    let mut asterisk = Fake::start().await;
    let (mut client, mut socket) = asterisk.up().await;

    for n in 0..3 {
        socket
            .say(&format!(
                r#"{{"type":"StasisStart","args":["7"],"channel":{{"id":"a{n}"}}}}"#
            ))
            .await;
        let Event::Incoming(incoming) = client.event().await else {
            panic!("no call")
        };
        client.handle.refuse(incoming.call, Cause::Busy).unwrap();
        let request = asterisk.request().await;
        assert_eq!(
            request.line,
            format!("DELETE /ari/channels/a{n}?reason_code=17 HTTP/1.1")
        );
        request.answer_and_close(204);
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_and_made_again() {
    let mut asterisk = Fake::start().await;
    let (mut client, socket) = asterisk.up().await;

    drop(socket);
    assert_eq!(client.event().await, Event::Down);
    let _socket = asterisk.socket().await;
    asterisk.gives_lists().await;

    assert_eq!(client.event().await, Event::Up);
}

#[tokio::test]
async fn a_refused_password_is_tried_again_later() {
    let mut asterisk = Fake::start().await;
    asterisk.refusals.store(2, Ordering::Relaxed);
    let mut client = asterisk.client();

    let _socket = asterisk.socket().await;
    asterisk.gives_lists().await;

    assert_eq!(client.event().await, Event::Up);
    assert_eq!(asterisk.refusals.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_event_without_end_costs_only_the_connection() {
    let mut asterisk = Fake::start().await;
    let (mut client, mut socket) = asterisk.up().await;

    // The client may close before all of it is sent.
    socket
        .stream
        .send(Frame::text("x".repeat(300 << 10)))
        .await
        .ok();

    assert_eq!(client.event().await, Event::Down);
    let _socket = asterisk.socket().await;
    asterisk.gives_lists().await;
    assert_eq!(client.event().await, Event::Up);
}

#[tokio::test]
async fn an_answer_without_end_costs_only_the_connection() {
    let mut asterisk = Fake::start().await;
    let mut client = asterisk.client();
    let _first = asterisk.socket().await;

    let mut answered = 0;
    while answered < 2 {
        let request = asterisk.request().await;
        let body = if request.line.contains("channels") {
            " ".repeat(9 << 20)
        } else {
            "[]".into()
        };
        request.answer(200, &body);
        answered += 1;
    }
    let _second = asterisk.socket().await;
    asterisk.gives_lists().await;

    assert_eq!(client.event().await, Event::Up);
}

#[tokio::test]
async fn a_silent_connection_is_found_dead() {
    let mut asterisk = Fake::start().await;
    let (mut client, socket) = asterisk.up().await;

    // From here on time passes when nothing else happens; nobody answers the ping.
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    assert_eq!(client.events.recv().await, Some(Event::Down));

    let passed = begin.elapsed();
    assert!(
        passed >= Duration::from_secs(25) && passed < Duration::from_secs(35),
        "{passed:?}"
    );
    drop(socket);
}

#[tokio::test]
async fn a_request_without_an_answer_is_given_up() {
    let mut asterisk = Fake::start().await;
    let (mut client, _socket) = asterisk.up().await;
    client
        .handle
        .dial(LegId(1), "600", None, Caller::default(), Uuid::nil())
        .unwrap();
    let silent = [
        asterisk.request().await,
        asterisk.request().await,
        asterisk.request().await,
    ];

    tokio::time::pause();
    let event = client.events.recv().await;

    assert!(
        matches!(event, Some(Event::Ended { leg: LegId(1), .. })),
        "{event:?}"
    );
    drop(silent);
}

#[tokio::test]
async fn commands_beyond_the_limit_are_refused() {
    let asterisk = Fake::start().await;
    let (handle, work, events) = Client::new(asterisk.config()).unwrap();

    let mut taken = 0;
    while handle.ring(LegId(1)).is_ok() {
        taken += 1;
    }
    let full = handle.ring(LegId(1));
    drop(work);

    assert_eq!(taken, 1024);
    assert_eq!(full, Err(CommandRefused::Full));
    assert_eq!(handle.ring(LegId(1)), Err(CommandRefused::Ended));
    drop(events);
}

#[tokio::test]
async fn it_ends_when_nobody_can_give_commands_any_more() {
    let mut asterisk = Fake::start().await;
    let (client, mut socket) = asterisk.up().await;
    socket
        .say(r#"{"type":"StasisStart","args":["7"],"channel":{"id":"a1"}}"#)
        .await;
    let Running {
        handle,
        work,
        mut events,
    } = client;
    let Some(Event::Incoming(_)) = events.recv().await else {
        panic!("no call")
    };

    drop(handle);
    let request = asterisk.request().await;
    assert_eq!(
        request.line,
        "DELETE /ari/channels/a1?reason_code=34 HTTP/1.1"
    );
    request.answer(204, "");

    soon(work).await.unwrap();
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let good = || {
        Config::new(
            "http://h:1/ari",
            "u",
            Secret::new("p"),
            "PJSIP/{number}@trunk",
            "1.2.3.4:9092",
        )
    };
    let with = |change: fn(&mut Config)| {
        let mut config = good();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };

    assert_eq!(good().check(), Ok(()));
    assert!(with(|c| c.url = "https://h/ari".into()).contains("https://h/ari"));
    assert!(with(|c| c.url = "http://u:p@h/ari".into()).contains("http://HOST:PORT/ari"));
    assert!(with(|c| c.dial = "PJSIP/trunk".into()).contains("{number}"));
    assert!(with(|c| c.app = "a b".into()).contains("\"a b\""));
    assert!(with(|c| c.audiosocket = "9092".into()).contains("HOST:PORT"));
    assert!(with(|c| c.audiosocket = "h:0".into()).contains("HOST:PORT"));
    assert!(with(|c| c.ring_timeout = Duration::ZERO).contains("1 s"));
    assert!(with(|c| c.legs_max = 0).contains("legs_max"));
}

#[test]
fn a_password_is_never_printed() {
    let config = Config::new(
        "http://h/ari",
        "u",
        Secret::new("hush"),
        "a/{number}",
        "h:1",
    );

    assert!(!format!("{config:?}").contains("hush"));
}

/// A client that runs.
struct Running {
    handle: Handle,
    work: JoinHandle<()>,
    events: mpsc::Receiver<Event>,
}

impl Running {
    async fn event(&mut self) -> Event {
        loop {
            let event = soon(self.events.recv()).await.unwrap();
            if !matches!(event, Event::Linked { .. }) {
                return event;
            }
        }
    }
}

/// An Asterisk that does what the test says.
struct Fake {
    port: u16,
    /// How many more WebSockets are refused.
    refusals: Arc<AtomicU32>,
    sockets: mpsc::Receiver<Socket>,
    requests: mpsc::Receiver<HttpRequest>,
}

struct Socket {
    request: String,
    head: String,
    stream: WebSocketStream<TcpStream>,
}

struct HttpRequest {
    line: String,
    answer: mpsc::Sender<String>,
}

impl Fake {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sockets_tx, sockets) = mpsc::channel(8);
        let (requests_tx, requests) = mpsc::channel(8);
        let refusals = Arc::new(AtomicU32::new(0));
        let left = refusals.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(
                    stream,
                    left.clone(),
                    sockets_tx.clone(),
                    requests_tx.clone(),
                ));
            }
        });
        Self {
            port,
            refusals,
            sockets,
            requests,
        }
    }

    fn config(&self) -> Config {
        let url = format!("http://127.0.0.1:{}/ari", self.port);
        let dial = "Local/{number}@internal/n";
        let mut config = Config::new(
            &url,
            "moqrelay",
            Secret::new("secret"),
            dial,
            "127.0.0.1:9092",
        );
        config.run = 7;
        config
    }

    fn client(&self) -> Running {
        run(self.config())
    }

    async fn up(&mut self) -> (Running, Socket) {
        let mut client = self.client();
        let socket = self.socket().await;
        self.gives_lists().await;
        assert_eq!(client.event().await, Event::Up);
        (client, socket)
    }

    /// Waits for the next events WebSocket.
    async fn socket(&mut self) -> Socket {
        soon(self.sockets.recv()).await.unwrap()
    }

    async fn request(&mut self) -> HttpRequest {
        soon(self.requests.recv()).await.unwrap()
    }

    async fn gives_lists(&mut self) {
        for _ in 0..2 {
            let request = self.request().await;
            assert!(request.line.starts_with("GET /ari/"), "{}", request.line);
            request.answer(200, "[]");
        }
    }
}

impl Socket {
    async fn say(&mut self, text: &str) {
        self.stream
            .send(Frame::text(text.to_owned()))
            .await
            .unwrap();
    }
}

impl HttpRequest {
    fn answer(self, status: u16, body: &str) {
        let length = body.len();
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
        self.answer.try_send(text).unwrap();
    }

    fn answer_and_close(self, status: u16) {
        let text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        self.answer.try_send(text).unwrap();
    }
}

/// One connection. The first request says whether it becomes a WebSocket.
async fn serve(
    mut stream: TcpStream,
    refusals: Arc<AtomicU32>,
    sockets: mpsc::Sender<Socket>,
    requests: mpsc::Sender<HttpRequest>,
) {
    let mut start = vec![0; 4096];
    let mut length = 0;
    while !start[..length].windows(4).any(|w| w == b"\r\n\r\n") {
        stream.readable().await.unwrap();
        let seen = stream.peek(&mut start).await.unwrap_or(0);
        if seen == length {
            return;
        }
        length = seen;
    }
    let head = String::from_utf8_lossy(&start[..length]).into_owned();
    let request = head.lines().next().unwrap_or_default().to_owned();
    if request.contains("/events") {
        let refuse = |left: u32| left.checked_sub(1);
        if refusals
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse)
            .is_ok()
        {
            let refusal = b"HTTP/1.1 401 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).await.unwrap();
            return;
        }
        let stream = tokio_tungstenite::accept_async(stream).await.unwrap();
        sockets
            .send(Socket {
                request,
                head,
                stream,
            })
            .await
            .ok();
        return;
    }
    let mut stream = BufReader::new(stream);
    while let Some(line) = read_request(&mut stream).await {
        let (answer_tx, mut answer) = mpsc::channel(1);
        if requests
            .send(HttpRequest {
                line,
                answer: answer_tx,
            })
            .await
            .is_err()
        {
            return;
        }
        let Some(text) = answer.recv().await else {
            return;
        };
        if stream.write_all(text.as_bytes()).await.is_err() || text.contains("Connection: close") {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut first = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        if first.is_empty() {
            first = line.trim_end().to_owned();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(first)
}

fn run(config: Config) -> Running {
    let (handle, work, events) = Client::new(config).unwrap();
    Running {
        handle,
        work: tokio::spawn(work),
        events,
    }
}

/// Waits for what must come; only a fault reaches the deadline.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it comes")
}
