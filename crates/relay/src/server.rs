//! The server: one UDP port for MoQ over WebTransport and over QUIC.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, RwLock, atomic::AtomicUsize},
    time::Duration,
};

use moqrelay_moqt::SessionCode;
use tokio::sync::watch;

use crate::{
    admission::Admission,
    auth::Authorize,
    endpoint::{self, Route},
    fallback::{Doors, Knock, Refused, Visitor},
    limits::Limits,
    load::{Load, WorkerView},
    relay::Relay,
    session::Mail,
    table::Shared,
    takeover::{Bequest, Estate, Keep},
    tls::{self, Identity},
    worker::Worker,
};

/// How a server is set up.
pub struct Config {
    /// Where to listen; `[::]` hears IPv4 too, port 0 chooses one.
    pub listen: SocketAddr,
    /// The certificate.
    pub tls: Identity,
    /// Decides on tokens.
    pub authorize: Arc<dyn Authorize>,
    /// What peers may use up.
    pub limits: Limits,
    /// Workers that share the port, each with its own sessions; at most [`Config::WORKERS_MAX`].
    pub workers: NonZeroUsize,
}

impl Config {
    /// A connection id has one byte for its worker's number.
    pub const WORKERS_MAX: usize = 256;
}

/// Why a server cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is in use, not ours, or not allowed.
    #[error("cannot listen on UDP {addr}: {source}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate does not serve.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The provider of cryptography has no cipher for QUIC's first packets.
    #[error("no cipher suite for QUIC")]
    Cipher,
    /// The idle timeout is beyond 2^62 ms.
    #[error("the idle timeout is too long")]
    Idle,
}

/// A running server; cheap to clone, all clones are one.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

/// What the workers of a server share.
pub(crate) struct Inner {
    pub(crate) shared: Shared,
    addr: SocketAddr,
    pub(crate) identity: Identity,
    pub(crate) authorize: Arc<dyn Authorize>,
    limits: RwLock<Arc<Limits>>,
    bequest: Bequest,
    pub(crate) admission: Arc<Admission>,
    pub(crate) doors: Doors,
    /// By the workers' numbers.
    pub(crate) loads: Box<[Arc<Load>]>,
    pub(crate) drain_tx: watch::Sender<Option<Drain>>,
    pub(crate) errand_tx: watch::Sender<Option<Errand>>,
    /// Workers that have not ended.
    pub(crate) workers: AtomicUsize,
    pub(crate) done_tx: watch::Sender<bool>,
    /// Workers that have sessions or take some. Until there is none, all of those that drain go on refusing: a new
    /// client's packets come to any worker's socket, whoever still has sessions.
    pub(crate) open_tx: watch::Sender<usize>,
}

/// What each worker is to do on its thread.
pub(crate) type Errand = Arc<dyn Fn() + Send + Sync>;

/// The server is to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    /// How long the sessions have.
    pub(crate) timeout: Duration,
}

/// Starts to listen. Nothing is accepted until the workers run, each on a thread of its own
/// ([`Worker::run_here`]) or as a task ([`Worker::run`]).
///
/// There are fewer workers than asked for where the kernel cannot route packets by connection id.
///
/// # Errors
///
/// When the address or the certificate cannot be used.
pub fn server(relay: &Relay, config: Config) -> Result<(Server, Vec<Worker>), Error> {
    let bind = |source| Error::Bind {
        addr: config.listen,
        source,
    };
    let workers = config.workers.get().min(Config::WORKERS_MAX);
    let estate = Estate {
        sockets: endpoint::sockets(config.listen, workers).map_err(bind)?,
        elders: Vec::new(),
    };
    successor(relay, config, estate)
}

/// Starts to listen on what an earlier process hands over, which takes the place of the address and
/// the number of workers. The earlier process must have [stepped aside](Server::step_aside) before
/// the workers run.
///
/// # Errors
///
/// When the sockets or the certificate cannot be used.
pub fn successor(
    relay: &Relay,
    config: Config,
    estate: Estate,
) -> Result<(Server, Vec<Worker>), Error> {
    let quic = endpoint::server_config(&config.tls, &config.limits, relay.shared.drafts())?;
    let bind = |source| Error::Bind {
        addr: config.listen,
        source,
    };
    let Estate { sockets, elders } = estate;
    let addr = match sockets.first() {
        Some(socket) => socket.local_addr().map_err(bind)?,
        None => config.listen,
    };
    let generation = endpoint::generation(&elders).map_err(bind)?;
    let (bequest, ends) = Bequest::new(generation, &sockets, elders).map_err(bind)?;
    let inner = Arc::new(Inner {
        shared: relay.shared.clone(),
        addr,
        identity: config.tls,
        authorize: config.authorize,
        limits: RwLock::new(Arc::new(config.limits)),
        bequest,
        admission: Arc::default(),
        doors: Doors::default(),
        loads: sockets.iter().map(|_| Arc::default()).collect(),
        drain_tx: watch::Sender::new(None),
        errand_tx: watch::Sender::new(None),
        workers: AtomicUsize::new(0),
        done_tx: watch::Sender::new(false),
        open_tx: watch::Sender::new(0),
    });
    let workers = (0..=u8::MAX)
        .zip(sockets.into_iter().zip(ends))
        .map(|(slot, (socket, ends))| {
            let route = Route { slot, generation };
            Worker::new(inner.clone(), socket, quic.clone(), route, ends)
        })
        .collect();
    Ok((Server { inner }, workers))
}

impl Server {
    /// Returns where the server listens, with the port it was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.addr
    }

    /// Returns the certificate, to renew or reload it and to know its hashes.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Returns how busy each worker is, as of the last second.
    pub fn workers(&self) -> Vec<WorkerView> {
        let loads = (0..=u8::MAX).zip(&self.inner.loads);
        loads.map(|(worker, load)| load.view(worker)).collect()
    }

    /// Has each worker call `errand` on its thread, between other things; a worker that drains does not. Of two that come
    /// at once a worker may see the second only. It must be over within microseconds: sessions wait for it.
    pub fn on_each_worker(&self, errand: impl Fn() + Send + Sync + 'static) {
        self.inner.errand_tx.send_replace(Some(Arc::new(errand)));
    }

    /// Changes what peers may use up. It holds for sessions that begin from now on; settings of
    /// QUIC itself (timeouts, windows, buffers) stay as they were.
    pub fn set_limits(&self, limits: Limits) {
        let mut present = self.inner.limits.write().unwrap_or_else(|e| e.into_inner());
        *present = Arc::new(limits);
    }

    /// Returns copies of what a new process needs to take over the port. Nothing changes yet.
    ///
    /// # Errors
    ///
    /// When there are too many open files.
    pub fn estate(&self) -> io::Result<Estate> {
        self.inner.bequest.estate()
    }

    /// Leaves the port to the process that has the [estate](Self::estate): from now on only what it
    /// passes on is heard. Connections that have begun go on.
    pub fn step_aside(&self) {
        self.inner.bequest.set_aside(true);
    }

    /// Asks sessions to leave within `timeout`, but for those that are to be kept: they are asked when
    /// that is over. Again: another keep takes the place of the last one.
    pub fn retire(&self, keep: Keep, timeout: Duration) {
        let keep = Arc::new(keep);
        self.inner.shared.post_all(|| Mail::Retire {
            keep: keep.clone(),
            timeout,
        });
    }

    /// Reads the port again, because the process that took over is gone.
    pub fn step_back(&self) {
        self.inner.bequest.set_aside(false);
    }

    /// Decides on a client that asks for a WebSocket: its network may let no UDP through.
    ///
    /// # Errors
    ///
    /// When it may not come in; [`Refused::status`] is what to answer.
    pub fn knock(&self, knock: Knock) -> Result<Visitor, Refused> {
        Visitor::new(&self.inner, knock)
    }

    /// Asks every session to leave (GOAWAY), accepts no new ones, and closes those that are still
    /// there after `timeout`. Returns when the workers have nothing left to do.
    ///
    /// `uri`: where clients should go instead; empty: the same URI again.
    pub async fn drain(&self, uri: &str, timeout: Duration) {
        let inner = &self.inner;
        inner.drain_tx.send_replace(Some(Drain { timeout }));
        inner.shared.post_all(|| Mail::GoAway {
            uri: uri.to_owned(),
            timeout,
        });
        let mut done = inner.done_tx.subscribe();
        if tokio::time::timeout(timeout, done.wait_for(|done| *done))
            .await
            .is_ok()
        {
            return;
        }
        inner.shared.post_all(|| Mail::Close {
            code: SessionCode::GoawayTimeout,
            reason: "the relay is going away",
        });
        // The sender is `inner`'s own: this waits for the workers.
        drop(done.wait_for(|done| *done).await);
    }
}

impl Inner {
    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.limits
            .read()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.inner.addr).finish()
    }
}
