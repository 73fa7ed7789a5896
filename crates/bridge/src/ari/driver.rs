//! The one loop that carries out what [`Steering`] decides.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::backoff::Backoff;
use super::rest::Rest;
use super::socket::{Socket, SocketError};
use super::{Command, Config, ConfigError, Event, Failure, Incoming, Message, Output};
use super::{RequestId, Response, Steering};
use crate::dial::Site;

/// Events that wait for room there. Beyond that Asterisk is not listened to until the daemon has
/// caught up.
const BACKLOG_MAX: usize = 4096;
/// How long the end may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Steering, and all that it needs.
pub(super) struct Driver {
    /// The application that calls come in by.
    app: String,
    /// The one of this run.
    own_app: String,
    site: Site,
    path: String,
    authorization: String,
    steering: Steering,
    rest: Rest,
    backoff: Backoff,
    link: Link,
    /// A failure to connect was logged since the last success.
    complained: bool,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
    backlog: VecDeque<Event>,
    /// Every handle is dropped.
    commands_ended: bool,
    /// Another run takes what comes in.
    aside: bool,
    /// Who waits for what that run must leave alone.
    asked: Option<oneshot::Sender<BTreeSet<String>>>,
}

/// What the handle wants.
#[derive(Debug)]
pub(super) enum Order {
    Command(Command),
    StepAside(oneshot::Sender<BTreeSet<String>>),
}

enum Happened {
    Order(Option<Order>),
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
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, ConfigError> {
        let (site, path) = config.site_and_path()?;
        Ok(Self {
            app: config.app.clone(),
            own_app: config.own_app(run),
            steering: Steering::new(config, run),
            rest: Rest::new(site.clone(), path.clone(), authorization.clone()),
            backoff: Backoff::new(seed),
            site,
            path,
            authorization,
            orders,
            events,
            backlog: VecDeque::new(),
            link: Link::Waiting(tokio::time::Instant::now()),
            complained: false,
            commands_ended: false,
            aside: false,
            asked: None,
        })
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.wait_for_one().await {
                Happened::Order(None) => break,
                Happened::Order(Some(order)) => self.obey(order),
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
                    Happened::Order(_) => self.commands_ended = true,
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
            order = self.orders.recv(), if !self.commands_ended => Happened::Order(order),
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
            Happened::Order(_) | Happened::Nothing => {}
        }
    }

    fn obey(&mut self, order: Order) {
        let command = match order {
            Order::Command(command) => command,
            Order::StepAside(answer) => {
                self.asked = Some(answer);
                Command::StepAside
            }
        };
        tracing::debug!(?command, "command");
        if command == Command::StepBack {
            self.aside = false;
        }
        self.steering.handle_command(command, Instant::now());
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
                Output::StepAside(callers) => {
                    self.aside = true;
                    if let Some(asked) = self.asked.take() {
                        // Whoever asked may have gone.
                        asked.send(callers).unwrap_or_default();
                    }
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
            Step::Open => {
                let (site, path) = (self.site.clone(), self.path.clone());
                let apps = match self.aside {
                    true => self.own_app.clone(),
                    false => format!("{},{}", self.app, self.own_app),
                };
                let authorization = self.authorization.clone();
                self.link = Link::Opening(Box::pin(async move {
                    Socket::open(&site, &path, &apps, &authorization)
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
                    tracing::debug!(%error, host = self.site.host, "asterisk cannot be reached");
                } else {
                    tracing::warn!(%error, host = self.site.host, "asterisk cannot be reached");
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
                tracing::warn!(%error, host = self.site.host, "the connection to asterisk is lost");
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
        let pause = self.backoff.next();
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
        Event::Setting {
            call,
            user,
            what,
            value,
        } => tracing::info!(%call, user, what, value, "a telephone changes a setting"),
        Event::Ended { leg, cause } => tracing::info!(%leg, ?cause, "leg ended"),
        Event::Answered(leg) => tracing::info!(%leg, "leg answered"),
        Event::Transfers { leg, to } => tracing::info!(%leg, to, "the telephone transfers"),
        Event::Connects { leg, with } => tracing::info!(%leg, %with, "the telephone connects two"),
        Event::Chosen { leg, plan } => {
            tracing::info!(%leg, road = plan.road.name(), codec = %plan.codec, why = plan.why, "way of the sound");
        }
        Event::Trunk { trunk, state } => {
            tracing::info!(trunk, endpoint = state.as_str(), "a trunk's endpoint");
        }
        Event::Ringing(_)
        | Event::Early(_)
        | Event::Digit { .. }
        | Event::Held { .. }
        | Event::Reach { .. }
        | Event::Device { .. }
        | Event::Messages { .. }
        | Event::Linked { .. } => {
            tracing::debug!(?event, "event for the daemon");
        }
    }
}
