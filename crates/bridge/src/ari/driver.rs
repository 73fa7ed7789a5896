//! The one loop that carries out what [`Steering`] decides.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::backoff::Backoff;
use super::rest::Rest;
use super::socket::{Socket, SocketError};
use super::{Command, Config, ConfigError, Event, Failure, Incoming, Message, Output};
use super::{RequestId, Response, Steering};

/// Events that wait for room there. Beyond that Asterisk is not listened to until the daemon has
/// caught up.
const BACKLOG_MAX: usize = 4096;
/// How often it is looked up what became of the legs when another run has the events.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the end may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Steering, and all that it needs.
pub(super) struct Driver {
    app: String,
    host: String,
    path: String,
    authorization: String,
    steering: Steering,
    rest: Rest,
    backoff: Backoff,
    link: Link,
    /// A failure to connect was logged since the last success.
    complained: bool,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    backlog: VecDeque<Event>,
    /// Every handle is dropped.
    commands_ended: bool,
    /// Another run has the events.
    aside: bool,
}

enum Happened {
    Command(Option<Command>),
    Response(RequestId, Result<Response, Failure>),
    Step(Step),
    Timeout,
    Nothing,
}

/// The way to the events WebSocket.
enum Link {
    Waiting(tokio::time::Instant),
    Opening(Pin<Box<dyn Future<Output = Result<Box<Socket>, SocketError>> + Send>>),
    Open(Box<Socket>),
}

/// What came of it.
enum Step {
    Open,
    Opened(Result<Box<Socket>, SocketError>),
    Text(Result<Utf8Bytes, SocketError>),
}

impl Link {
    /// Waits for the next step. Can be dropped at any time.
    async fn next(&mut self) -> Step {
        match self {
            Self::Waiting(until) => {
                tokio::time::sleep_until(*until).await;
                Step::Open
            }
            Self::Opening(opening) => Step::Opened(opening.await),
            Self::Open(socket) => Step::Text(socket.next().await),
        }
    }
}

impl Driver {
    pub(super) fn new(
        config: Config,
        authorization: String,
        run: u32,
        seed: u64,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, ConfigError> {
        let (host, path) = config.host_and_path()?;
        Ok(Self {
            app: config.app.clone(),
            steering: Steering::new(config, run),
            rest: Rest::new(host.clone(), path.clone(), authorization.clone()),
            backoff: Backoff::new(seed),
            host,
            path,
            authorization,
            commands,
            events,
            backlog: VecDeque::new(),
            link: Link::Waiting(tokio::time::Instant::now()),
            complained: false,
            commands_ended: false,
            aside: false,
        })
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.wait_for_one().await {
                Happened::Command(None) => break,
                Happened::Command(Some(command)) => {
                    tracing::debug!(?command, "command");
                    self.steering.handle_command(command, Instant::now());
                }
                other => self.handle(other),
            }
        }
        self.steering.handle_shutdown();
        let rest = async {
            self.carry_out();
            while !self.steering.is_clean() {
                self.backlog.clear();
                // Nobody is left to give commands.
                match self.wait_for_one().await {
                    Happened::Command(_) => self.commands_ended = true,
                    other => self.handle(other),
                }
                self.carry_out();
            }
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, rest).await.is_err() {
            tracing::warn!("not everything could be removed from asterisk");
        }
    }

    /// Carries out what was decided, then waits for one thing to happen.
    async fn wait_for_one(&mut self) -> Happened {
        self.carry_out();
        let deadline = self.steering.poll_timeout();
        let timeout = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = self.commands.recv(), if !self.commands_ended => Happened::Command(command),
            (request, result) = self.rest.next() => Happened::Response(request, result),
            step = self.link.next(), if self.backlog.len() < BACKLOG_MAX => Happened::Step(step),
            permit = self.events.reserve(), if !self.backlog.is_empty() => {
                match (permit, self.backlog.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    (Ok(_), None) => {}
                    // Nobody listens to events any more.
                    (Err(_), _) => self.backlog.clear(),
                }
                Happened::Nothing
            }
            () = timeout => Happened::Timeout,
        }
    }

    fn handle(&mut self, happened: Happened) {
        match happened {
            Happened::Response(request, result) => {
                let outcome = if result.is_ok() { "answered" } else { "failed" };
                metrics::counter!("moqrelay_ari_requests_total", "outcome" => outcome).increment(1);
                self.steering
                    .handle_response(request, result, Instant::now());
            }
            Happened::Step(step) => self.step(step),
            Happened::Timeout => self.steering.handle_timeout(Instant::now()),
            Happened::Command(_) | Happened::Nothing => {}
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.steering.poll_output() {
            match output {
                Output::Request(request) => {
                    tracing::trace!(?request, "request");
                    self.rest.send(request);
                }
                Output::Event(event) => {
                    log(&event);
                    if event == Event::Up {
                        self.backoff.reset();
                    }
                    self.backlog.push_back(event);
                }
                Output::Reconnect => self.disconnect(),
                Output::StepAside => {
                    self.aside = true;
                    self.wait();
                }
                Output::GiveWay => {
                    self.backoff.exhaust();
                    self.disconnect();
                }
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open if self.aside => {
                self.steering.handle_look();
                self.wait();
            }
            Step::Open => {
                let (host, path) = (self.host.clone(), self.path.clone());
                let (app, authorization) = (self.app.clone(), self.authorization.clone());
                self.link = Link::Opening(Box::pin(async move {
                    Socket::open(&host, &path, &app, &authorization)
                        .await
                        .map(Box::new)
                }));
            }
            Step::Opened(Ok(socket)) => {
                self.complained = false;
                self.link = Link::Open(socket);
                self.rest.forget_lines();
                self.steering.handle_connected();
            }
            Step::Opened(Err(error)) => {
                if self.complained {
                    tracing::debug!(%error, host = self.host, "asterisk cannot be reached");
                } else {
                    tracing::warn!(%error, host = self.host, "asterisk cannot be reached");
                    self.complained = true;
                }
                self.wait();
            }
            Step::Text(Ok(text)) => match Message::parse(text.as_bytes()) {
                Ok(message) => {
                    tracing::trace!(?message, "event");
                    self.steering.handle_message(message, Instant::now());
                }
                Err(error) => {
                    metrics::counter!("moqrelay_ari_unreadable_total").increment(1);
                    tracing::warn!(%error, "an event of asterisk's could not be read");
                }
            },
            Step::Text(Err(error)) => {
                tracing::warn!(%error, host = self.host, "the connection to asterisk is lost");
                self.disconnect();
            }
        }
    }

    fn disconnect(&mut self) {
        self.rest.forget_lines();
        self.steering.handle_disconnected();
        self.wait();
    }

    fn wait(&mut self) {
        let pause = match self.aside {
            true => LOOK_EVERY,
            false => self.backoff.next(),
        };
        self.link = Link::Waiting(tokio::time::Instant::now() + pause);
    }
}

fn log(event: &Event) {
    match event {
        Event::Up => {
            metrics::gauge!("moqrelay_ari_up").set(1.0);
            tracing::info!("asterisk is reachable by ARI");
        }
        Event::Down => metrics::gauge!("moqrelay_ari_up").set(0.0),
        Event::Incoming(Incoming {
            call,
            to,
            channel,
            sip_call_id,
            ..
        }) => {
            tracing::info!(%call, to, channel, sip_call_id, "a telephone calls");
        }
        Event::Ended { leg, cause } => tracing::info!(%leg, ?cause, "leg ended"),
        Event::Answered(leg) => tracing::info!(%leg, "leg answered"),
        Event::Ringing(_) | Event::Early(_) | Event::Digit { .. } | Event::Held { .. } => {
            tracing::debug!(?event, "event for the daemon");
        }
    }
}
