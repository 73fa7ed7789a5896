//! TCP connections with limits, which the HTTP server above does not have.
//!
//! A connection that waits for a request, or whose peer does not read, ends after a while; one that
//! became a WebSocket is watched by its own task instead.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor, TlsConnector};

use crate::rate::household;

/// How long a peer may leave a connection idle between requests, or leave an answer unread.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What the kernel holds of a connection before it sends it, in bytes: media go by priority only until they are there.
const UNSENT_MAX: u32 = 16 << 10;

/// After an error of accept, such as no free descriptors: one try in this time.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Counts connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    by_address: Mutex<BTreeMap<IpAddr, usize>>,
}

/// How many connections are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) per_address: usize,
    pub(crate) header_timeout: Duration,
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.lock().values().sum()
    }

    fn take(self: &Arc<Self>, address: IpAddr, limits: Limits) -> Option<Slot> {
        let address = household(address);
        let mut counts = self.lock();
        let of_address = counts.get(&address).copied().unwrap_or_default();
        let all: usize = counts.values().sum();
        if all >= limits.connections || of_address >= limits.per_address {
            return None;
        }
        *counts.entry(address).or_default() += 1;
        Some(Slot {
            connections: Arc::clone(self),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One counted connection.
#[derive(Debug)]
struct Slot {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.connections.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Makes a connection that somebody else has accepted secure, as this server's own are.
///
/// # Errors
///
/// When the peer breaks off, or speaks no TLS that this side knows.
pub async fn secure(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    TlsAcceptor::from(config).accept(stream).await
}

/// Makes a connection that was made to a server secure. `name` is the server's name or address.
///
/// # Errors
///
/// When the server speaks no TLS that this side knows; [`io::ErrorKind::InvalidData`] when it is not trusted.
pub async fn secure_client(
    name: String,
    stream: TcpStream,
    config: Arc<rustls::ClientConfig>,
) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

/// A listener that counts.
pub(crate) struct Listener {
    tcp: TcpListener,
    /// True: another process accepts from now on.
    retired: watch::Receiver<bool>,
    tls: Option<TlsAcceptor>,
    connections: Arc<Connections>,
    limits: Limits,
}

impl Listener {
    pub(crate) fn new(
        tcp: TcpListener,
        retired: watch::Receiver<bool>,
        tls: Option<Arc<rustls::ServerConfig>>,
        connections: Arc<Connections>,
        limits: Limits,
    ) -> Self {
        Self {
            tcp,
            retired,
            tls: tls.map(TlsAcceptor::from),
            connections,
            limits,
        }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = retired(&mut self.retired) => std::future::pending().await,
                accepted = self.tcp.accept() => accepted,
            };
            let (tcp, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // One connection that broke in the queue is common; the others are the node's.
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        tracing::warn!(%error, "accepting a TCP connection failed");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                    continue;
                }
            };
            let Some(slot) = self.connections.take(address.ip(), self.limits) else {
                metrics::counter!("moqrelay_control_connections_refused_total").increment(1);
                tracing::debug!(%address, "too many connections");
                continue;
            };
            // Signaling messages are small and answers are awaited.
            if let Err(error) = tcp.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
            if let Err(error) = SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT_MAX) {
                tracing::debug!(%error, "TCP_NOTSENT_LOWAT");
            }
            let watch = Watch::new(Instant::now() + self.limits.header_timeout);
            let io = match &self.tls {
                None => Io::Plain(tcp),
                Some(tls) => Io::Greeting(Box::new(tls.accept(tcp))),
            };
            return (Stream::new(io, slot, watch), address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Waits until another process accepts; for ever when that cannot happen any more.
async fn retired(retired: &mut watch::Receiver<bool>) {
    if retired.wait_for(|retired| *retired).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Until when a peer must do something; `None` while it is our turn, and for WebSockets.
#[derive(Debug, Clone)]
pub(crate) struct Watch(Arc<Mutex<Option<Instant>>>);

impl Watch {
    fn new(until: Instant) -> Self {
        Self(Arc::new(Mutex::new(Some(until))))
    }

    /// It is our turn.
    pub(crate) fn pause(&self) {
        *self.lock() = None;
    }

    /// The answer is on its way: it is the peer's turn to read it and to ask again.
    pub(crate) fn resume(&self) {
        *self.lock() = Some(Instant::now() + IDLE_MAX);
    }

    fn until(&self) -> Option<Instant> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is at the other end of a request's connection.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) address: SocketAddr,
    pub(crate) watch: Watch,
}

impl Connected<IncomingStream<'_, Listener>> for Remote {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self {
            address: *stream.remote_addr(),
            watch: stream.io().watch.clone(),
        }
    }
}

/// A connection that ends when its peer lets a deadline pass.
pub(crate) struct Stream {
    io: Io,
    watch: Watch,
    alarm: Pin<Box<Sleep>>,
    _slot: Slot,
}

impl Stream {
    fn new(io: Io, slot: Slot, watch: Watch) -> Self {
        let until = watch.until().unwrap_or_else(Instant::now);
        Self {
            io,
            watch,
            alarm: Box::pin(sleep_until(until)),
            _slot: slot,
        }
    }

    /// Returns an error when the peer is late.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let Some(until) = self.watch.until() else {
                return Ok(());
            };
            if self.alarm.deadline() != until {
                self.alarm.as_mut().reset(until);
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            // The deadline may have moved between the two looks at it.
            if self.watch.until() == Some(until) {
                metrics::counter!("moqrelay_control_connections_timed_out_total").increment(1);
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// What carries the bytes.
enum Io {
    Plain(TcpStream),
    /// TLS whose handshake is under way: whoever reads or writes first takes it on.
    Greeting(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake has failed.
    Failed,
}

impl Io {
    /// Ready when bytes can be read and written.
    fn poll_greeting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Tls(_) => return Poll::Ready(Ok(())),
            Self::Failed => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Self::Greeting(accept) => match ready!(Pin::new(accept.as_mut()).poll(cx)) {
                Ok(tls) => *self = Self::Tls(Box::new(tls)),
                Err(error) => {
                    *self = Self::Failed;
                    metrics::counter!("moqrelay_control_tls_failed_total").increment(1);
                    tracing::debug!(%error, "no TLS");
                    return Poll::Ready(Err(error));
                }
            },
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_greeting(cx))?;
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
            Self::Greeting(_) | Self::Failed => Poll::Pending,
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_greeting(cx))?;
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
            Self::Greeting(_) | Self::Failed => Poll::Pending,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_greeting(cx))?;
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
            Self::Greeting(_) | Self::Failed => Poll::Pending,
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            // Nothing was written yet.
            Self::Greeting(_) | Self::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Greeting(_) | Self::Failed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.extend(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.extend(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Stream {
    /// A peer that reads has time.
    fn extend(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(_))) && self.watch.until().is_some() {
            self.watch.resume();
        }
    }
}
