//! A worker: one UDP socket, one QUIC endpoint, and the sessions that began there, on one thread.

use std::{
    io,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{task::JoinSet, time::MissedTickBehavior};

use crate::{
    admission::{Ticket, Verdict},
    endpoint::{self, Route},
    fallback,
    handshake::{self, Accepted},
    load::{Inflow, Watch},
    server::{Drain, Inner},
    session::{self, Host, Hub},
    takeover::Ends,
};

/// How often old objects are forgotten and the certificate is looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How long sessions may take to close after they were told to, at the end of a drain.
const CLOSING: Duration = Duration::from_secs(1);

/// A part of a [`Server`](crate::Server) that wants a thread, or at least a task, of its own.
///
/// A session stays with the worker that accepted it, even when the client's address changes.
/// Everything of a session happens on its worker's thread, so that none of it waits for another.
pub struct Worker {
    inner: Arc<Inner>,
    /// It has no sessions and takes none.
    shut: AtomicBool,
    socket: UdpSocket,
    config: quinn::ServerConfig,
    route: Route,
    /// Until it runs.
    ends: Option<Ends>,
    /// It has a thread of its own.
    alone: bool,
}

impl Worker {
    pub(crate) fn new(
        inner: Arc<Inner>,
        socket: UdpSocket,
        config: quinn::ServerConfig,
        route: Route,
        ends: Ends,
    ) -> Self {
        inner.workers.fetch_add(1, Ordering::AcqRel);
        inner.open_tx.send_modify(|workers| *workers += 1);
        Self {
            inner,
            shut: AtomicBool::new(false),
            socket,
            config,
            route,
            ends: Some(ends),
            alone: false,
        }
    }

    /// Returns a name for the worker's thread.
    pub fn name(&self) -> String {
        format!("moq-{}", self.route.slot)
    }

    /// Runs the worker on this thread until [`Server::drain`](crate::Server::drain) ends it.
    ///
    /// # Errors
    ///
    /// When the thread cannot have a runtime.
    pub fn run_here(mut self) -> io::Result<()> {
        self.alone = true;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.run());
        Ok(())
    }

    /// Runs the worker in the tokio runtime that polls this. The future owns the worker's sessions;
    /// it ends after [`Server::drain`](crate::Server::drain).
    pub async fn run(mut self) {
        let Some(ends) = self.ends.take() else {
            return;
        };
        let inflow = Arc::new(Inflow::new());
        let started = endpoint::start(&self.socket, &self.config, self.route, ends, inflow.clone());
        let endpoint = match started {
            Ok(endpoint) => endpoint,
            Err(error) => {
                return tracing::error!(%error, worker = self.route.slot, "no QUIC endpoint");
            }
        };
        let load = match self.inner.loads.get(usize::from(self.route.slot)) {
            Some(load) => load.clone(),
            None => Arc::default(),
        };
        let limits = self.inner.limits();
        let meters = self.inner.shared.meters().clone();
        let host = Host::new(meters, load.clone(), inflow, &limits);
        let hub = host.hub();
        // Aborted when it is dropped: with everything else.
        let mut hosting = JoinSet::new();
        hosting.spawn(host);
        let mut door = self.inner.doors.add();
        let mut sessions = JoinSet::new();
        let mut drain = self.inner.drain_tx.subscribe();
        let mut errands = self.inner.errand_tx.subscribe();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch::new(self.route.slot, self.alone);
        let wanted = loop {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(incoming, &hub, &mut sessions),
                    None => break None,
                },
                Some(entrance) = door.recv() => {
                    sessions.spawn(fallback::receive(self.inner.clone(), hub.clone(), entrance));
                }
                Some(ended) = sessions.join_next() => report(ended),
                Ok(()) = errands.changed() => {
                    let errand = errands.borrow_and_update().clone();
                    if let Some(errand) = errand {
                        errand();
                    }
                }
                _ = housekeeping.tick() => {
                    watch.look(&load);
                    // One is enough.
                    if self.route.slot == 0 {
                        self.keep_house();
                    }
                }
                asked = drain.wait_for(Option::is_some) => break asked.ok().and_then(|d| *d),
            }
        };
        drop(door);
        if let Some(wanted) = wanted {
            self.let_go(wanted, &endpoint, &mut sessions).await;
        }
        endpoint.close(0u32.into(), b"the relay is gone");
        // Sends the last packets; a peer that does not answer them is not waited for.
        drop(tokio::time::timeout(CLOSING, endpoint.wait_idle()).await);
    }

    fn admit(&self, incoming: quinn::Incoming, hub: &Arc<Hub>, sessions: &mut JoinSet<()>) {
        let inner = &self.inner;
        let (address, proven) = (incoming.remote_address(), !incoming.may_retry());
        match inner.admission.admit(&inner.limits(), address, proven) {
            Verdict::Welcome(ticket) => match self.accept(incoming) {
                Ok(connecting) => {
                    sessions.spawn(serve(inner.clone(), hub.clone(), connecting, ticket));
                }
                Err(error) => {
                    inner.shared.meters().refused("connection");
                    tracing::info!(peer = %address, %error, "connection refused");
                }
            },
            Verdict::Prove => {
                inner.shared.meters().retried.add(1);
                if let Err(error) = incoming.retry() {
                    tracing::debug!(%error, "cannot ask a client to come again");
                }
            }
            Verdict::Refused(refusal) => {
                inner.shared.meters().refused(refusal.label());
                incoming.refuse();
            }
        }
    }

    /// Begins a handshake, and the log of the connection if there is to be one.
    fn accept(
        &self,
        incoming: quinn::Incoming,
    ) -> Result<quinn::Connecting, quinn::ConnectionError> {
        let (from, id) = (incoming.remote_address().ip(), incoming.orig_dst_cid());
        let log = self
            .inner
            .shared
            .qlogs()
            .and_then(|qlogs| qlogs.begin(from, id));
        let Some(log) = log else {
            return incoming.accept();
        };
        let mut config = self.config.clone();
        match endpoint::transport_config(&self.inner.limits()) {
            Ok(mut transport) => {
                transport.qlog_stream(Some(log));
                config.transport_config(Arc::new(transport));
            }
            Err(error) => tracing::warn!(%error, "cannot log a connection"),
        }
        incoming.accept_with(Arc::new(config))
    }

    fn keep_house(&self) {
        self.inner.shared.trim();
        if let Err(error) = self.inner.identity.renew(SystemTime::now()) {
            tracing::error!(%error, "cannot renew the certificate");
        }
    }

    /// Waits for the sessions to end; [`Server::drain`](crate::Server::drain) has asked them to.
    async fn let_go(&self, drain: Drain, endpoint: &quinn::Endpoint, sessions: &mut JoinSet<()>) {
        let worker = self.route.slot;
        tracing::info!(worker, sessions = sessions.len(), timeout = ?drain.timeout, "draining");
        let mut others = self.inner.open_tx.subscribe();
        let left = async {
            while let Some(ended) = sessions.join_next().await {
                report(ended);
            }
            self.shut();
            // The sender is `inner`'s own.
            drop(others.wait_for(|workers| *workers == 0).await);
        };
        // At once, so that a client tries elsewhere at once.
        let refuse = async {
            while let Some(incoming) = endpoint.accept().await {
                self.inner.shared.meters().refused("draining");
                incoming.refuse();
            }
            std::future::pending::<()>().await;
        };
        let left_or_refused = async {
            tokio::select! {
                () = left => {}
                () = refuse => {}
            }
        };
        if tokio::time::timeout(drain.timeout + CLOSING, left_or_refused)
            .await
            .is_err()
        {
            sessions.shutdown().await;
        }
    }

    /// Notes that it has no sessions and takes none.
    fn shut(&self) {
        if !self.shut.swap(true, Ordering::AcqRel) {
            self.inner.open_tx.send_modify(|workers| *workers -= 1);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shut();
        if self.inner.workers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.inner.done_tx.send_replace(true);
        }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Worker").field(&self.route.slot).finish()
    }
}

async fn serve(
    inner: Arc<Inner>,
    hub: Arc<Hub>,
    connecting: quinn::Connecting,
    mut ticket: Ticket,
) {
    let (peer, limits) = (connecting.remote_address(), inner.limits());
    let accepted = handshake::accept(
        connecting,
        inner.shared.drafts(),
        inner.authorize.clone(),
        limits.setup_timeout,
    )
    .await;
    ticket.arrived();
    let Accepted {
        access,
        draft,
        kind,
        transport,
    } = match accepted {
        Ok(accepted) => accepted,
        Err(refused) => {
            inner.shared.meters().refused(refused.label());
            return tracing::info!(%peer, reason = %refused, "connection refused");
        }
    };
    if inner.drain_tx.borrow().is_some() {
        return transport.close(0, "the relay is going away");
    }
    tracing::debug!(%peer, ?draft, ?kind, "connection accepted");
    let setup = session::Setup {
        shared: inner.shared.clone(),
        limits,
        access,
        draft,
        kind,
        transport,
    };
    if let Some(farewell) = hub.run(setup).await {
        inner.shared.meters().session_ended(farewell.code);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a session's task failed");
    }
}
