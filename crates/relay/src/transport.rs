//! The connection under a session: WebTransport and raw QUIC look alike from here on.
//!
//! Everything is polled by the session's one task. Futures of quinn forget their wakers when they
//! are dropped, so those that wait for something new are kept.

use std::{
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use web_transport_quinn::{
    ReadError, RecvStream, SendStream, Session, SessionError, WebTransportError, WriteError,
    generic::poll::{SendStream as _, Session as _},
};

/// Datagrams taken from the connection before the session looks at them.
const DATAGRAMS_AT_ONCE: usize = 256;

/// How long a peer may take to hear that its session is over.
const CLOSING: Duration = Duration::from_secs(2);

/// The most read from a stream at once, in bytes: a few packets.
const CHUNK: usize = 16 << 10;

/// A connection that carries one MoQ session.
pub(crate) struct Transport {
    session: Arc<Session>,
    /// Its accept methods want to be polled from one place.
    accepting: Session,
    inbox: Arc<Mutex<Vec<Bytes>>>,
    datagrams: Option<Pin<Box<dyn Future<Output = SessionError> + Send>>>,
    closed: Pin<Box<dyn Future<Output = SessionError> + Send>>,
    bi_max: u32,
    uni_max: u32,
}

/// Tells how a connection does, for as long as someone may ask.
pub(crate) struct Probe(Arc<Session>);

/// How a connection does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) peer: SocketAddr,
    pub(crate) rtt: Duration,
    pub(crate) lost_packets: u64,
}

impl Probe {
    pub(crate) fn path(&self) -> Path {
        Path {
            peer: self.0.remote_address(),
            rtt: self.0.rtt(),
            lost_packets: quinn::Connection::stats(&self.0).path.lost_packets,
        }
    }
}

/// A stream that is being opened.
pub(crate) type Opening<T> = Pin<Box<dyn Future<Output = Result<T, SessionError>> + Send>>;

impl Transport {
    /// `bi_max`, `uni_max`: how many streams the connection's configuration lets the peer open.
    pub(crate) fn new(session: Session, bi_max: u32, uni_max: u32) -> Self {
        let inbox = Arc::default();
        let shared = Arc::new(session.clone());
        let closing = shared.clone();
        Self {
            datagrams: Some(Box::pin(receive_datagrams(
                shared.clone(),
                Arc::clone(&inbox),
            ))),
            closed: Box::pin(async move { closing.closed().await }),
            session: shared,
            accepting: session,
            inbox,
            bi_max,
            uni_max,
        }
    }

    pub(crate) fn probe(&self) -> Probe {
        Probe(self.session.clone())
    }

    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<SessionError> {
        self.closed.as_mut().poll(cx)
    }

    pub(crate) fn poll_accept_uni(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, SessionError>> {
        self.accepting.poll_accept_uni(cx)
    }

    pub(crate) fn poll_accept_bi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(SendStream, RecvStream), SessionError>> {
        self.accepting.poll_accept_bi(cx)
    }

    /// Moves what has arrived to `out`.
    pub(crate) fn receive_datagrams(&mut self, cx: &mut Context<'_>, out: &mut Vec<Bytes>) {
        if let Some(datagrams) = &mut self.datagrams
            && datagrams.as_mut().poll(cx).is_ready()
        {
            // The connection's end, of which `poll_closed` tells.
            self.datagrams = None;
        }
        std::mem::swap(&mut *lock(&self.inbox), out);
    }

    pub(crate) fn open_uni(&self) -> Opening<SendStream> {
        let session = self.session.clone();
        Box::pin(async move { session.open_uni().await })
    }

    pub(crate) fn open_bi(&self) -> Opening<(SendStream, RecvStream)> {
        let session = self.session.clone();
        Box::pin(async move { session.open_bi().await })
    }

    /// Sends a datagram, or drops the oldest waiting ones; false when it can never be sent.
    pub(crate) fn send_datagram(&self, datagram: Bytes) -> bool {
        self.session.send_datagram(datagram).is_ok()
    }

    pub(crate) fn close(&self, code: u32, reason: &str) {
        self.session.close(code, reason.as_bytes());
    }

    /// Waits for a closed connection to be gone. The code reaches a WebTransport peer only while
    /// the session's streams are kept, and only if they are kept for as long as it takes.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + use<> {
        let session = self.session.clone();
        async move {
            drop(tokio::time::timeout(CLOSING, session.closed()).await);
        }
    }

    /// Lets the peer open more streams when it has many open already. The first limit is low
    /// because quinn keeps a place for each stream that may come.
    pub(crate) fn allow_streams(&mut self, bi_open: usize, uni_open: usize, most: u32) {
        if bi_open * 2 > self.bi_max as usize && self.bi_max < most {
            self.bi_max = (self.bi_max * 2).min(most);
            self.session
                .set_max_concurrent_bi_streams(self.bi_max.into());
        }
        if uni_open * 2 > self.uni_max as usize && self.uni_max < most {
            self.uni_max = (self.uni_max * 2).min(most);
            self.session
                .set_max_concurrent_uni_streams(self.uni_max.into());
        }
    }
}

/// Reads what a stream has; `None`: it has ended.
pub(crate) fn poll_read(
    stream: &mut RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, ReadError>> {
    let chunk = pin!(stream.read_chunk(CHUNK, true)).poll(cx);
    chunk.map_ok(|chunk| chunk.map(|chunk| chunk.bytes))
}

/// Writes as much as goes; ready when all is written. What was written is taken out of `chunks`.
pub(crate) fn poll_write(
    stream: &mut SendStream,
    cx: &mut Context<'_>,
    chunks: &mut [Bytes],
) -> Poll<Result<(), WriteError>> {
    while chunks.iter().any(|chunk| !chunk.is_empty()) {
        match pin!(stream.write_chunks(chunks)).poll(cx) {
            Poll::Ready(Ok(_written)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(Ok(()))
}

/// Waits for the peer to acknowledge everything (`Ok`) or to want no more.
pub(crate) fn poll_done(
    stream: &mut SendStream,
    cx: &mut Context<'_>,
) -> Poll<Result<(), WriteError>> {
    stream.poll_closed(cx)
}

async fn receive_datagrams(session: Arc<Session>, inbox: Arc<Mutex<Vec<Bytes>>>) -> SessionError {
    loop {
        match session.read_datagram().await {
            Ok(datagram) => {
                let waiting = {
                    let mut inbox = lock(&inbox);
                    inbox.push(datagram);
                    inbox.len()
                };
                if waiting >= DATAGRAMS_AT_ONCE {
                    tokio::task::yield_now().await;
                }
            }
            // For another WebTransport session of the same connection; there is none.
            Err(SessionError::WebTransportError(WebTransportError::UnknownSession)) => {}
            Err(error) => return error,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
