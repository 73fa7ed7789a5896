//! The way in for clients whose network lets no UDP through: MoQ over a WebSocket.
//!
//! Whoever owns the HTTP port asks [`Server::knock`](crate::Server::knock) before it upgrades a
//! request, and gives the [`Socket`] to [`Visitor::enter`]. From there on a session is one like any
//! other: a worker's.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use moqrelay_moqt::{
    self as moqt, Draft,
    qmux::{Closed, Config, Subprotocol, Version},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    admission::{Ticket, Verdict},
    auth::{AuthError, Authorize},
    handshake::{self, Choice},
    limits::Limits,
    server::Inner,
    session::{self, Access, Hub},
    transport::{Transport, qmux},
};

/// A WebSocket, message by message.
pub trait Socket: Send {
    /// Returns the next binary message; `None`: the WebSocket has ended, or sent another kind.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;

    /// Ready when everything that was sent before has left the process; false: the WebSocket has
    /// ended. What is sent too early waits where nothing can overtake it.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<bool>;

    /// Sends a binary message. Called after [`Self::poll_ready`] has said true.
    fn send(&mut self, message: Bytes);

    /// Ends the WebSocket; ready when it has ended.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A client's request for a WebSocket.
#[derive(Debug, Clone)]
pub struct Knock {
    /// Its address.
    pub peer: SocketAddr,
    /// The subprotocols it offers.
    pub offered: Vec<String>,
    /// The query of its URL, without the question mark.
    pub query: Option<String>,
    /// Its Authorization header.
    pub authorization: Option<String>,
}

/// Why a client gets no WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A limit is reached: this one.
    #[error("too many sessions ({0})")]
    Full(&'static str),
    /// The relay is going away.
    #[error("the relay is going away")]
    Draining,
    /// No common version.
    #[error("no common version among {0:?}")]
    Version(Vec<String>),
    /// Its token is of no use.
    #[error(transparent)]
    Token(#[from] AuthError),
}

impl Refused {
    /// Returns HTTP's status code for it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Full(_) | Self::Draining => 503,
            Self::Version(_) => 400,
            Self::Token(_) => 401,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Full(limit) => limit,
            Self::Draining => "draining",
            Self::Version(_) => "version",
            Self::Token(_) => "token",
        }
    }
}

/// A client that may come in.
pub struct Visitor {
    inner: Arc<Inner>,
    arrival: Arrival,
    subprotocol: String,
}

/// What a worker needs of a visitor.
struct Arrival {
    ticket: Ticket,
    peer: SocketAddr,
    access: Access,
    draft: Draft,
    version: Version,
}

/// A visitor whose WebSocket is open, on its way to a worker.
pub(crate) struct Entrance {
    arrival: Arrival,
    socket: Box<dyn Socket>,
    /// Dropped when the session is over.
    over_tx: oneshot::Sender<()>,
}

impl Visitor {
    pub(crate) fn new(inner: &Arc<Inner>, knock: Knock) -> Result<Self, Refused> {
        let peer = knock.peer;
        Self::decide(inner, knock).inspect_err(|refused| {
            inner.shared.meters().refused(refused.label());
            tracing::info!(%peer, reason = %refused, "WebSocket refused");
        })
    }

    fn decide(inner: &Arc<Inner>, knock: Knock) -> Result<Self, Refused> {
        if inner.drain_tx.borrow().is_some() {
            return Err(Refused::Draining);
        }
        let Some(agreed) = agree(&knock, inner.shared.drafts()) else {
            return Err(Refused::Version(knock.offered));
        };
        let access = access(&knock, inner.authorize.clone())?;
        // TCP has shown that the address is its own.
        let ticket = match inner.admission.admit(&inner.limits(), knock.peer, true) {
            Verdict::Welcome(ticket) => ticket,
            Verdict::Refused(refusal) => return Err(Refused::Full(refusal.label())),
            Verdict::Prove => return Err(Refused::Full("handshakes")),
        };
        Ok(Self {
            inner: inner.clone(),
            arrival: Arrival {
                ticket,
                peer: knock.peer,
                access,
                draft: agreed.draft,
                version: agreed.version,
            },
            subprotocol: agreed.subprotocol,
        })
    }

    /// Returns the subprotocol with which the request is to be answered.
    pub fn subprotocol(&self) -> &str {
        &self.subprotocol
    }

    /// Brings the open WebSocket to a worker, and waits until the session is over; draining the
    /// server ends it, too.
    pub async fn enter(self, socket: impl Socket + 'static) {
        let (over_tx, over) = oneshot::channel();
        let entrance = Entrance {
            arrival: self.arrival,
            socket: Box::new(socket),
            over_tx,
        };
        // Without a worker the relay is going away: the socket is dropped.
        if let Some(door) = self.inner.doors.next()
            && door.send(entrance).await.is_ok()
        {
            drop(over.await);
        }
    }
}

impl std::fmt::Debug for Visitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Visitor").field(&self.subprotocol).finish()
    }
}

/// The workers' doors, which are opened in turn.
#[derive(Default)]
pub(crate) struct Doors {
    all: Mutex<Vec<mpsc::Sender<Entrance>>>,
    turn: AtomicUsize,
}

impl Doors {
    /// Adds a worker's.
    pub(crate) fn add(&self) -> mpsc::Receiver<Entrance> {
        let (door, entrances) = mpsc::channel(ENTRANCES);
        self.all().push(door);
        entrances
    }

    fn next(&self) -> Option<mpsc::Sender<Entrance>> {
        let all = self.all();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        all.get(turn.checked_rem(all.len())?).cloned()
    }

    fn all(&self) -> MutexGuard<'_, Vec<mpsc::Sender<Entrance>>> {
        self.all.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Visitors that wait for a worker to look at its door; more wait in their own tasks.
const ENTRANCES: usize = 16;

/// Runs a session on a worker, to its end.
pub(crate) async fn receive(inner: Arc<Inner>, hub: Arc<Hub>, entrance: Entrance) {
    let Entrance {
        arrival,
        socket,
        over_tx: _over_tx,
    } = entrance;
    let Arrival {
        mut ticket,
        peer,
        access,
        draft,
        version,
    } = arrival;
    ticket.arrived();
    tracing::debug!(%peer, ?draft, version = version.name(), "WebSocket accepted");
    let config = config(&inner.limits());
    let (transport, drive) = qmux::start(version, config, peer, socket);
    let setup = session::Setup {
        shared: inner.shared.clone(),
        limits: inner.limits(),
        access,
        draft,
        kind: moqt::Transport::WebSocket,
        transport: Transport::Qmux(transport),
    };
    let (farewell, closed) = tokio::join!(hub.run(setup), drive);
    if let Some(farewell) = farewell {
        inner.shared.meters().session_ended(farewell.code);
    }
    if let Some(Closed::Violation(_)) = closed {
        inner.shared.meters().violations.add(1);
    }
}

/// What is spoken on a WebSocket.
struct Agreed {
    draft: Draft,
    version: Version,
    subprotocol: String,
}

/// Chooses the draft first, then the version of QMux. A client that names no draft gets what its
/// URL's query asks for, or the newest.
fn agree(knock: &Knock, drafts: &[Draft]) -> Option<Agreed> {
    let offered: Vec<Subprotocol<'_>> = knock
        .offered
        .iter()
        .filter_map(|name| Subprotocol::parse(name))
        .collect();
    let inner = |of: &Subprotocol<'_>| of.inner.to_owned();
    let named: Vec<String> = offered
        .iter()
        .map(inner)
        .filter(|inner| !inner.is_empty())
        .collect();
    let asked = knock.parameter("moqt");
    let (draft, inner) = match handshake::version(drafts, &named, None) {
        Ok(Choice::Named(draft)) => (draft, draft.alpn()),
        _ => match handshake::version(drafts, &[], asked.as_deref()).ok()? {
            Choice::Named(draft) | Choice::Implied(draft) => (draft, ""),
            // No client of draft 14 is known here; one that is must ask.
            Choice::ByFirstStream { new, .. } => (new, ""),
        },
    };
    let version = *Version::ALL.iter().find(|version| {
        offered
            .iter()
            .any(|offer| offer.version == **version && offer.inner == inner)
    })?;
    let subprotocol = Subprotocol { version, inner }.to_string();
    Some(Agreed {
        draft,
        version,
        subprotocol,
    })
}

fn access(knock: &Knock, authorize: Arc<dyn Authorize>) -> Result<Access, AuthError> {
    let mut access = Access::new(authorize);
    let bearer = knock.authorization.as_deref().and_then(handshake::bearer);
    let token = bearer.map(Cow::from).or_else(|| knock.parameter("token"));
    if let Some(token) = token {
        access.present(&token)?;
    }
    Ok(access)
}

impl Knock {
    fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.query.as_deref()?.as_bytes();
        let mut pairs = url::form_urlencoded::parse(query);
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

fn config(limits: &Limits) -> Config {
    Config {
        idle_timeout: limits.idle_timeout,
        keep_alive: limits.keep_alive,
        streams_bi: limits.streams as u64,
        streams_uni: limits.streams as u64,
        stream_window: limits.stream_receive_window.into(),
        window: limits.receive_window.into(),
        datagram_receive_bytes: limits.datagram_receive_bytes,
        send_bytes: limits.fallback_send_bytes,
        send_time: limits.fallback_send_time,
        datagram_send_bytes: limits.datagram_send_bytes,
        datagram_send_time: limits.fallback_datagram_time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knock(offered: &[&str], query: &str) -> Knock {
        Knock {
            peer: ([127, 0, 0, 1], 1).into(),
            offered: offered.iter().map(|name| (*name).to_owned()).collect(),
            query: Some(query.to_owned()),
            authorization: None,
        }
    }

    fn agreed(offered: &[&str], query: &str) -> Option<String> {
        agree(&knock(offered, query), Draft::ALL).map(|agreed| agreed.subprotocol)
    }

    #[test]
    fn the_best_draft_counts_before_the_best_version() {
        let offered = [
            "qmux-02.moql",
            "qmux-01.moqt-18",
            "qmux-02",
            "qmux-02.nothing",
        ];

        assert_eq!(agreed(&offered, "").unwrap(), "qmux-01.moqt-18");
    }

    #[test]
    fn a_client_that_names_no_draft_is_answered_without_one() {
        assert_eq!(agreed(&["webtransport", "qmux-01"], "").unwrap(), "qmux-01");
        assert_eq!(agreed(&["qmux-02"], "moqt=18").unwrap(), "qmux-02");
        assert_eq!(agreed(&["qmux-02"], "moqt=7"), None);
    }

    #[test]
    fn other_protocols_and_none_at_all_are_refused() {
        assert_eq!(agreed(&["webtransport"], ""), None);
        assert_eq!(agreed(&["qmux-00.moqt-18"], ""), None);
        assert_eq!(agreed(&["qmux-02.moql"], ""), None);
        assert_eq!(agreed(&[], ""), None);
    }
}
