//! The control messages of `chan_websocket` with a real Asterisk 22, in both forms: flow control, marks, flushing.
//!
//! Needs root and the tree that `deploy/asterisk/rootfs` makes:
//! `cargo nextest run -p moqrelay-bridge --test control_real --run-ignored only`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[allow(
    unreachable_pub,
    dead_code,
    reason = "a module that several tests share"
)]
mod real;

use futures_util::{SinkExt as _, StreamExt as _};
use moqrelay_wire::chan_websocket::{Command, Event, Form, SUBPROTOCOL, Status};
use real::{Asterisk, soon};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::header},
};

/// 20 ms of `slin16`.
const FRAME_BYTES: usize = 640;

/// Asterisk says XOFF at 900 frames and XON below 800.
const FLOOD: usize = 950;

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn flow_control_marks_and_flushing_work_in_both_forms() {
    let asterisk = Asterisk::start(0);
    for (form, option) in [(Form::Words, "f(plain-text)"), (Form::Json, "f(json)")] {
        let mut line = Line::open(&asterisk, form, &format!("c(slin16){option}")).await;
        assert_eq!(line.format, "slin16");

        line.tell(Command::StartBuffering).await;
        line.play(FLOOD).await;
        line.wait(Event::Xoff).await;
        let full = line.status().await;
        assert!(full.full && full.queued > 800, "{full:?}");
        line.tell(Command::Flush).await;
        line.wait(Event::Xon).await;
        let empty = line.status().await;
        assert!(!empty.full && empty.queued == 0, "{empty:?}");

        line.tell(Command::StartBuffering).await;
        line.play(10).await;
        line.tell(Command::Mark(Some("ten"))).await;
        line.play(10).await;
        line.tell(Command::StopBuffering(Some("twenty"))).await;
        line.tell(Command::ReportDrained).await;
        line.wait(Event::MarkProcessed(Some("ten".into()))).await;
        let left = line.status().await;
        assert!(left.queued <= 10, "{left:?}");
        line.wait(Event::BufferingCompleted(Some("twenty".into())))
            .await;
        line.wait(Event::QueueDrained).await;

        line.tell(Command::Pause).await;
        line.play(5).await;
        line.tell(Command::Mark(Some("held"))).await;
        let held = line.status().await;
        assert_eq!(held.queued, 5);
        line.tell(Command::Continue).await;
        line.wait(Event::MarkProcessed(Some("held".into()))).await;

        line.tell(Command::HangUp).await;
        line.ends().await;
    }
    assert!(
        asterisk
            .cli("core show channels count")
            .contains("0 active channels")
    );
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn what_is_passed_through_knows_a_status_and_nothing_else() {
    let asterisk = Asterisk::start(0);
    let mut line = Line::open(&asterisk, Form::Json, "c(opus)f(json)").await;
    assert_eq!(line.format, "opus");

    for command in [
        Command::StartBuffering,
        Command::Mark(Some("x")),
        Command::Flush,
    ] {
        line.tell(command).await;
        let Event::Fault(text) = line.next().await else {
            panic!("{command:?} was taken")
        };
        assert!(text.contains("passthrough"), "{text}");
    }
    assert_eq!(line.status().await.queued, 0);

    line.tell(Command::HangUp).await;
    line.ends().await;
}

/// A media WebSocket on Asterisk's HTTP server.
struct Line {
    socket: WebSocketStream<TcpStream>,
    form: Form,
    format: String,
}

impl Line {
    async fn open(asterisk: &Asterisk, form: Form, options: &str) -> Self {
        asterisk.cli(&format!(
            "channel originate WebSocket/INCOMING/{options} extension 612@internal"
        ));
        let id = soon("a channel", async {
            loop {
                let channels = asterisk.cli("core show channels concise");
                let mut names = channels.lines().filter_map(|line| line.split('!').next());
                if let Some(name) = names.find(|name| name.starts_with("WebSocket/")) {
                    let shown = asterisk.cli(&format!("core show channel {name}"));
                    let mut lines = shown.lines().filter_map(|line| line.trim().split_once('='));
                    let id = lines.find(|(key, _)| *key == "MEDIA_WEBSOCKET_CONNECTION_ID");
                    if let Some((_, id)) = id {
                        return id.to_owned();
                    }
                }
                tokio::task::yield_now().await; // The command line itself takes its time.
            }
        })
        .await;
        let address = format!("127.0.0.1:{}", asterisk.http);
        let uri = format!("ws://{address}/media/{id}");
        let mut request = uri.into_client_request().unwrap();
        let protocol = SUBPROTOCOL.parse().unwrap();
        request
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(request, stream).await.unwrap();
        let mut line = Self {
            socket,
            form,
            format: String::new(),
        };
        let Event::Start(start) = line.next().await else {
            panic!("no beginning")
        };
        line.format = start.format;
        line
    }

    async fn tell(&mut self, command: Command<'_>) {
        let text = command.encode(self.form).unwrap();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends silence, all at once.
    async fn play(&mut self, frames: usize) {
        for _ in 0..frames {
            let frame = Message::binary(vec![0; FRAME_BYTES]);
            self.socket.feed(frame).await.unwrap();
        }
        self.socket.flush().await.unwrap();
    }

    /// Returns the next event, whose form must be the channel's.
    async fn next(&mut self) -> Event {
        soon("an event", async {
            loop {
                if let Message::Text(text) = self.socket.next().await.unwrap().unwrap() {
                    let (event, form) = Event::decode(&text).unwrap();
                    assert_eq!(form, self.form, "{text}");
                    return event;
                }
            }
        })
        .await
    }

    async fn wait(&mut self, wanted: Event) {
        assert_eq!(self.next().await, wanted);
    }

    async fn status(&mut self) -> Status {
        self.tell(Command::Status).await;
        match self.next().await {
            Event::Status(status) => status,
            other => panic!("{other:?} instead of a status"),
        }
    }

    async fn ends(&mut self) {
        soon("the end", async {
            while let Some(Ok(message)) = self.socket.next().await {
                if matches!(message, Message::Close(_)) {
                    return;
                }
            }
        })
        .await;
    }
}
