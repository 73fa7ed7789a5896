//! The task that carries a session on: what the peer's control streams bring, what the load wants, what the machine does.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use moqrelay_moqt::{
    Config, Direction, Event, FetchOptions, FetchRange, FullTrackName, Location, Namespace, Output,
    Parameters, RequestCode, RequestError, RequestId, RequestOk, Role, Session, StreamId,
    SubscribeAnswer, SubscribeOptions, TrackAlias, Transport,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use web_transport_quinn as wt;

use super::{ANSWER, Carrier, DRAFT, Target};

/// What a session is told: by the peer's streams, or by the load.
pub(super) enum Heard {
    Bi(wt::SendStream, wt::RecvStream),
    Control(Bytes, wt::RecvStream),
    Bytes(StreamId, Bytes, bool),
    Reset(StreamId, u64),
    /// A fetch stream has ended, after so many objects.
    Fetched(RequestId, Result<u64>),
    Order(Order),
}

/// What the load wants, and whom to tell how it went.
pub(super) enum Order {
    Announce(Namespace, oneshot::Sender<Result<()>>),
    Subscribe(FullTrackName, oneshot::Sender<Result<()>>),
    /// Groups from one to another, that one included.
    Fetch(FullTrackName, [u64; 2], oneshot::Sender<Result<u64>>),
}

/// A FETCH that is under way.
struct Fetching {
    answer: oneshot::Sender<Result<u64>>,
    accepted: bool,
    objects: Option<u64>,
}

/// The most read from a stream at once, in bytes.
const CHUNK: usize = 16 << 10;

struct Driver {
    transport: wt::Session,
    machine: Session,
    began: Instant,
    heard: mpsc::Receiver<Heard>,
    heard_tx: mpsc::Sender<Heard>,
    wanted: mpsc::Sender<(FullTrackName, TrackAlias)>,
    sends: BTreeMap<StreamId, wt::SendStream>,
    waiting: BTreeMap<RequestId, oneshot::Sender<Result<()>>>,
    fetching: BTreeMap<RequestId, Fetching>,
    set_up: bool,
}

/// Exchanges SETUP, then goes on in a task until the session ends.
pub(super) async fn start(
    target: &Target,
    transport: wt::Session,
    heard: mpsc::Receiver<Heard>,
    heard_tx: mpsc::Sender<Heard>,
    wanted: mpsc::Sender<(FullTrackName, TrackAlias)>,
) -> Result<()> {
    let mut driver = Driver {
        transport,
        machine: Session::new(config(target), Duration::ZERO),
        began: Instant::now(),
        heard,
        heard_tx,
        wanted,
        sends: BTreeMap::new(),
        waiting: BTreeMap::new(),
        fetching: BTreeMap::new(),
        set_up: false,
    };
    driver.flush().await?;
    while !driver.set_up {
        let heard = timeout(ANSWER, driver.heard.recv()).await;
        let heard = heard.context("no SETUP from the relay")?;
        driver.hear(heard.context("the session has ended")?).await?;
    }
    tokio::spawn(async move {
        if let Err(error) = driver.run().await {
            // A session that was closed on purpose ends with an error of the transport, too.
            if driver.transport.close_reason().is_none() {
                eprintln!("moqrelay-load: a session: {error:#}");
            }
        }
    });
    Ok(())
}

fn config(target: &Target) -> Config {
    let carrier = match target.carrier {
        Carrier::WebTransport => Transport::WebTransport,
        Carrier::Quic | Carrier::Bare => Transport::Quic,
    };
    let mut config = Config::new(DRAFT, Role::Client, carrier);
    if carrier == Transport::Quic {
        let url = &target.url;
        let path = if url.path().is_empty() {
            "/"
        } else {
            url.path()
        };
        config.path = Some(match url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        });
        config.authority = Some(target.addr.to_string());
    }
    config
}

impl Driver {
    async fn run(&mut self) -> Result<()> {
        loop {
            let heard = tokio::select! {
                heard = self.heard.recv() => heard,
                // The queue never closes: this task has one of its ends.
                _ = self.transport.closed() => return Ok(()),
            };
            if let Some(heard) = heard {
                self.hear(heard).await?;
            }
        }
    }

    async fn hear(&mut self, heard: Heard) -> Result<()> {
        let now = self.began.elapsed();
        match heard {
            Heard::Bi(send, recv) => {
                let id = self.machine.accept_bi();
                self.sends.insert(id, send);
                tokio::spawn(read(id, recv, self.heard_tx.clone()));
            }
            Heard::Control(first, recv) => {
                let id = self.machine.accept_control();
                self.machine.handle_stream(id, first, false, now);
                tokio::spawn(read(id, recv, self.heard_tx.clone()));
            }
            Heard::Bytes(id, bytes, fin) => self.machine.handle_stream(id, bytes, fin, now),
            Heard::Reset(id, code) => self.machine.handle_reset(id, code, now),
            Heard::Fetched(id, Ok(objects)) => {
                if let Some(fetching) = self.fetching.get_mut(&id) {
                    fetching.objects = Some(objects);
                }
                self.finish_fetch(id)?;
            }
            Heard::Fetched(id, Err(error)) => self.tell(id, Err(error)),
            Heard::Order(order) => self.order(order),
        }
        self.flush().await
    }

    fn order(&mut self, order: Order) {
        let (asked, answer) = match order {
            Order::Announce(namespace, answer) => {
                let asked = self
                    .machine
                    .publish_namespace(namespace, Parameters::default());
                (asked, answer)
            }
            Order::Subscribe(track, answer) => {
                let asked = self.machine.subscribe(track, SubscribeOptions::default());
                (asked, answer)
            }
            Order::Fetch(track, groups, answer) => return self.fetch(track, groups, answer),
        };
        match asked {
            Ok(id) => drop(self.waiting.insert(id, answer)),
            Err(error) => drop(answer.send(Err(error.into()))),
        }
    }

    fn fetch(
        &mut self,
        track: FullTrackName,
        [first, last]: [u64; 2],
        answer: oneshot::Sender<Result<u64>>,
    ) {
        let range = FetchRange::Standalone {
            track,
            start: Location::new(first, 0),
            // Object 0: the whole group.
            end: Location::new(last, 0),
        };
        match self.machine.fetch(range, FetchOptions::default()) {
            Ok(id) => {
                let fetching = Fetching {
                    answer,
                    accepted: false,
                    objects: None,
                };
                self.fetching.insert(id, fetching);
            }
            Err(error) => drop(answer.send(Err(error.into()))),
        }
    }

    /// Answers when both the word and the objects are there.
    fn finish_fetch(&mut self, id: RequestId) -> Result<()> {
        let Some(&Fetching {
            accepted: true,
            objects: Some(objects),
            ..
        }) = self.fetching.get(&id)
        else {
            return Ok(());
        };
        self.machine.finish_fetch(id)?;
        if let Some(fetching) = self.fetching.remove(&id) {
            // Whoever asked may have given up.
            drop(fetching.answer.send(Ok(objects)));
        }
        Ok(())
    }

    /// Does what the machine wants done.
    async fn flush(&mut self) -> Result<()> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Open(id, Direction::Uni) => {
                    let send = self.transport.open_uni().await?;
                    self.sends.insert(id, send);
                }
                Output::Open(id, Direction::Bi) => {
                    let (send, recv) = self.transport.open_bi().await?;
                    self.sends.insert(id, send);
                    tokio::spawn(read(id, recv, self.heard_tx.clone()));
                }
                Output::Write(id, bytes) => {
                    let send = self
                        .sends
                        .get_mut(&id)
                        .context("a stream that is not open")?;
                    send.write_all(&bytes).await?;
                }
                Output::Finish(id) => {
                    if let Some(mut send) = self.sends.remove(&id) {
                        send.finish()?;
                    }
                }
                // Dropping a stream resets it; this program ends no request before its session.
                Output::Reset(id, _) => drop(self.sends.remove(&id)),
                Output::Stop(..) => {}
                Output::Close(code, reason) => {
                    bail!("the relay broke the protocol: {code:?} {reason}")
                }
                Output::Event(event) => self.event(event)?,
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Setup(_) => self.set_up = true,
            Event::Accepted { id, .. } | Event::SubscribeOk { id, .. } => self.tell(id, Ok(())),
            Event::FetchOk { id, .. } => {
                if let Some(fetching) = self.fetching.get_mut(&id) {
                    fetching.accepted = true;
                }
                self.finish_fetch(id)?;
            }
            Event::Rejected { id, error } => {
                self.tell(id, Err(anyhow::anyhow!("refused: {error:?}")));
            }
            Event::Subscribe { id, track, .. } => {
                let answer = SubscribeAnswer::default();
                let alias = self.machine.accept_subscribe(id, answer)?;
                // A load that does not look is told nothing.
                drop(self.wanted.try_send((track, alias)));
            }
            // Some relays ask every session for everything, and tell it of everything.
            Event::SubscribeNamespace { id, .. }
            | Event::SubscribeTracks { id, .. }
            | Event::PublishNamespace { id, .. }
            | Event::Publish { id, .. } => self.machine.accept(id, RequestOk::default())?,
            // It keeps nothing.
            Event::Fetch { id, .. } => {
                let error = RequestError::new(RequestCode::NotSupported, "nothing is kept");
                self.machine.reject(id, error)?;
            }
            Event::Update { id, .. } => self.machine.accept_update(id, Parameters::default())?,
            Event::GoAway { .. } => bail!("the relay is going away"),
            _ => {}
        }
        Ok(())
    }

    fn tell(&mut self, id: RequestId, answer: Result<()>) {
        if let Some(fetching) = self.fetching.remove(&id) {
            // Only what failed comes this way; whoever asked may have given up.
            drop(fetching.answer.send(answer.map(|()| 0)));
        } else if let Some(waiting) = self.waiting.remove(&id) {
            // Whoever asked may have given up.
            drop(waiting.send(answer));
        }
    }
}

async fn read(id: StreamId, mut recv: wt::RecvStream, heard: mpsc::Sender<Heard>) {
    loop {
        let next = match recv.read_chunk(CHUNK, true).await {
            Ok(Some(chunk)) => Heard::Bytes(id, chunk.bytes, false),
            Ok(None) => Heard::Bytes(id, Bytes::new(), true),
            Err(wt::ReadError::Reset(code)) => Heard::Reset(id, code.into()),
            Err(_) => return,
        };
        let over = matches!(next, Heard::Reset(..) | Heard::Bytes(_, _, true));
        if heard.send(next).await.is_err() || over {
            return;
        }
    }
}
