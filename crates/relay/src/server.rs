//! The server: one UDP port for MoQ over WebTransport and over QUIC.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use moqrelay_moqt::SessionCode;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    auth::Authorize,
    endpoint,
    handshake::{self, Accepted},
    limits::Limits,
    relay::Relay,
    session::{self, Mail},
    table::Shared,
    tls::{self, Identity},
};

/// How often old objects are forgotten and the certificate is looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How long sessions may take to close after they were told to, at the end of a drain.
const CLOSING: Duration = Duration::from_secs(1);

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

struct Inner {
    shared: Shared,
    endpoint: quinn::Endpoint,
    addr: SocketAddr,
    identity: Identity,
    authorize: Arc<dyn Authorize>,
    limits: Arc<Limits>,
    handshakes: AtomicUsize,
    draining: AtomicBool,
    drain_tx: watch::Sender<Option<Drain>>,
    done_tx: watch::Sender<bool>,
}

#[derive(Clone)]
struct Drain {
    uri: String,
    timeout: Duration,
}

/// Starts to listen. Nothing is accepted until the returned future runs; it owns every session,
/// and ends after [`Server::drain`]. Must be called in a tokio runtime.
///
/// # Errors
///
/// When the address or the certificate cannot be used.
pub fn server(
    relay: &Relay,
    config: Config,
) -> Result<(Server, impl Future<Output = ()> + Send + use<>), Error> {
    let endpoint = endpoint::listen(config.listen, &config.tls, &config.limits)?;
    let addr = endpoint.local_addr().map_err(|source| Error::Bind {
        addr: config.listen,
        source,
    })?;
    let inner = Arc::new(Inner {
        shared: relay.shared.clone(),
        endpoint,
        addr,
        identity: config.tls,
        authorize: config.authorize,
        limits: Arc::new(config.limits),
        handshakes: AtomicUsize::new(0),
        draining: AtomicBool::new(false),
        drain_tx: watch::Sender::new(None),
        done_tx: watch::Sender::new(false),
    });
    let server = Server {
        inner: inner.clone(),
    };
    Ok((server, inner.run()))
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

    /// Asks every session to leave (GOAWAY), accepts no new ones, and closes those that are still
    /// there after `timeout`. Returns when the server's future has nothing left to do.
    ///
    /// `uri`: where clients should go instead; empty: the same URI again.
    pub async fn drain(&self, uri: &str, timeout: Duration) {
        let drain = Drain {
            uri: uri.to_owned(),
            timeout,
        };
        self.inner.draining.store(true, Ordering::Release);
        self.inner.drain_tx.send_replace(Some(drain));
        let mut done = self.inner.done_tx.subscribe();
        // Fails only when the future was dropped: then nothing is left, either.
        drop(done.wait_for(|done| *done).await);
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.inner.addr).finish()
    }
}

impl Inner {
    async fn run(self: Arc<Self>) {
        let _done = Done(self.clone());
        let mut sessions = JoinSet::new();
        let mut drain = self.drain_tx.subscribe();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wanted = loop {
            tokio::select! {
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(incoming, &mut sessions),
                    None => break None,
                },
                Some(ended) = sessions.join_next() => report(ended),
                _ = housekeeping.tick() => self.keep_house(),
                asked = drain.wait_for(Option::is_some) => break asked.ok().and_then(|d| d.clone()),
            }
        };
        if let Some(wanted) = wanted {
            self.let_go(wanted, &mut sessions).await;
        }
        self.endpoint.close(0u32.into(), b"the relay is gone");
        // Sends the last packets; a peer that does not answer them is not waited for.
        drop(tokio::time::timeout(CLOSING, self.endpoint.wait_idle()).await);
    }

    fn admit(self: &Arc<Self>, incoming: quinn::Incoming, sessions: &mut JoinSet<()>) {
        let handshakes = self.handshakes.load(Ordering::Relaxed);
        let full = sessions.len() >= self.limits.sessions || handshakes >= self.limits.handshakes;
        if full {
            self.shared.meters().refused.add(1);
            return incoming.refuse();
        }
        // Under load a client must show first that its address is its own.
        if handshakes * 2 >= self.limits.handshakes && incoming.may_retry() {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "cannot ask a client to come again");
            }
            return;
        }
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        sessions.spawn(self.clone().serve(incoming));
    }

    async fn serve(self: Arc<Self>, incoming: quinn::Incoming) {
        let peer = incoming.remote_address();
        let accepted =
            handshake::accept(incoming, self.authorize.clone(), self.limits.setup_timeout).await;
        self.handshakes.fetch_sub(1, Ordering::Relaxed);
        let Accepted {
            access,
            draft,
            kind,
            transport,
        } = match accepted {
            Ok(accepted) => accepted,
            Err(refused) => {
                self.shared.meters().refused.add(1);
                return tracing::info!(%peer, reason = %refused, "connection refused");
            }
        };
        if self.draining.load(Ordering::Acquire) {
            return transport.close(0, "the relay is going away");
        }
        tracing::debug!(%peer, ?draft, ?kind, "connection accepted");
        let setup = session::Setup {
            shared: self.shared.clone(),
            limits: self.limits.clone(),
            access,
            draft,
            kind,
            transport,
        };
        let farewell = session::run(setup).await;
        self.shared.meters().session_ended(farewell.code);
    }

    fn keep_house(&self) {
        self.shared.trim();
        if let Err(error) = self.identity.renew(SystemTime::now()) {
            tracing::error!(%error, "cannot renew the certificate");
        }
    }

    async fn let_go(&self, drain: Drain, sessions: &mut JoinSet<()>) {
        let Drain { uri, timeout } = drain;
        tracing::info!(sessions = sessions.len(), ?timeout, "draining");
        self.shared.post_all(|| Mail::GoAway {
            uri: uri.clone(),
            timeout,
        });
        let deadline = Instant::now() + timeout;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, sessions.join_next()).await {
            report(ended);
        }
        self.shared.post_all(|| Mail::Close {
            code: SessionCode::GoawayTimeout,
            reason: "the relay is going away",
        });
        let deadline = Instant::now() + CLOSING;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, sessions.join_next()).await {
            report(ended);
        }
        sessions.shutdown().await;
    }
}

/// Tells those who wait that the future is over, however it ended.
struct Done(Arc<Inner>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.done_tx.send_replace(true);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a session's task failed");
    }
}
