//! WebTransport and raw QUIC.
//!
//! Futures of quinn forget their wakers when they are dropped, so those that wait for something new
//! are kept. What does not need to wait is polled once where it stands and allocates nothing.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use quinn::{StoppedError, VarInt};
use web_transport_quinn::{
    self as wt, Session, SessionError, WebTransportError,
    generic::poll::{SendStream as _, Session as _},
    proto::{error_from_http3, error_to_http3},
};

use super::{Closed, Path, ReadError, Sample, WriteError};

/// Datagrams taken from the connection before the session looks at them.
const DATAGRAMS_AT_ONCE: usize = 256;

/// How long a peer may take to hear that its session is over.
const CLOSING: Duration = Duration::from_secs(2);

/// The most read from a stream at once, in bytes: a few packets.
const CHUNK: usize = 16 << 10;

/// What a unidirectional stream of a WebTransport session begins with: the type 0x54 and the
/// session's id (draft-ietf-webtrans-http3 section 4.2). The id is that of the stream with the
/// CONNECT request, which must be the client's first.
const HEADER_UNI: &[u8] = &[0x40, 0x54, 0x00];

/// What a datagram of a WebTransport session begins with: a quarter of the session's id
/// (draft-ietf-webtrans-http3 section 4.4).
const HEADER_DATAGRAM: &[u8] = &[0x00];

/// Chunks that one call writes at most: a stream's header, then a few of the session's.
const CHUNKS: usize = 4;

/// A round trip that is not to be divided by, in seconds.
const SHORTEST_RTT: f64 = 0.000_1;

/// What IPv4 and UDP add to a packet, in bytes.
const HEADER_BYTES: u64 = 28;

/// Bytes of streams that a connection may always hold: a key frame's beginning.
const SMALLEST_WINDOW: u64 = 32 << 10;

/// A connection that carries one MoQ session.
pub(crate) struct Transport {
    session: Arc<Session>,
    /// Its accept methods want to be polled from one place.
    accepting: Session,
    inbox: Arc<Mutex<Vec<Bytes>>>,
    datagrams: Option<Pin<Box<dyn Future<Output = SessionError> + Send>>>,
    closed: Pin<Box<dyn Future<Output = SessionError> + Send>>,
    /// Streams that were accepted before anyone asked for them.
    first_bi: Option<(SendStream, RecvStream)>,
    first_uni: Option<RecvStream>,
    codes: Codes,
    bi_max: u32,
    uni_max: u32,
}

/// Tells how a connection does, for as long as someone may ask.
pub(crate) struct Probe(Arc<Session>);

impl Probe {
    pub(crate) fn path(&self) -> Path {
        Path {
            peer: self.0.remote_address(),
            rtt: self.0.rtt(),
            lost_packets: quinn::Connection::stats(&self.0).path.lost_packets,
        }
    }
}

/// How a connection carries the codes of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codes {
    /// As they are.
    Raw,
    /// Mapped to a range of HTTP/3's.
    Http3,
}

impl Transport {
    /// `bi_max`, `uni_max`: how many streams the connection's configuration lets the peer open.
    pub(crate) fn new(session: Session, bi_max: u32, uni_max: u32) -> Self {
        let inbox = Arc::default();
        let shared = Arc::new(session.clone());
        let closing = shared.clone();
        let codes = match session.request() {
            Some(_) => Codes::Http3,
            None => Codes::Raw,
        };
        Self {
            datagrams: Some(Box::pin(receive_datagrams(
                shared.clone(),
                Arc::clone(&inbox),
            ))),
            closed: Box::pin(async move { closing.closed().await }),
            session: shared,
            accepting: session,
            inbox,
            first_bi: None,
            first_uni: None,
            codes,
            bi_max,
            uni_max,
        }
    }

    /// Waits for the peer's first stream, and tells whether it is a bidirectional one that begins
    /// with this byte. It is accepted and read again later.
    pub(crate) async fn begins_with(&mut self, byte: u8) -> bool {
        let first = poll_fn(|cx| {
            if let Poll::Ready(accepted) = self.poll_accept_bi(cx) {
                return Poll::Ready(accepted);
            }
            self.first_uni = ready!(self.poll_accept_uni(cx));
            Poll::Ready(None)
        });
        let Some((send, mut recv)) = first.await else {
            return false;
        };
        let begins = recv.peek().await == Some(byte);
        self.first_bi = Some((send, recv));
        begins
    }

    pub(crate) fn probe(&self) -> Probe {
        Probe(self.session.clone())
    }

    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        self.closed.as_mut().poll(cx).map(closed)
    }

    /// Fails when the connection is over, of which [`Self::poll_closed`] tells.
    pub(crate) fn poll_accept_uni(&mut self, cx: &mut Context<'_>) -> Poll<Option<RecvStream>> {
        if let Some(first) = self.first_uni.take() {
            return Poll::Ready(Some(first));
        }
        let accepted = ready!(self.accepting.poll_accept_uni(cx));
        Poll::Ready(accepted.ok().map(|recv| RecvStream(recv, None)))
    }

    /// As [`Self::poll_accept_uni`].
    pub(crate) fn poll_accept_bi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(SendStream, RecvStream)>> {
        if let Some(first) = self.first_bi.take() {
            return Poll::Ready(Some(first));
        }
        let accepted = ready!(self.accepting.poll_accept_bi(cx));
        Poll::Ready(accepted.ok().map(both))
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

    /// Opens a stream without asking the heap for anything, unless it has to be waited for.
    pub(crate) fn open_uni(&self) -> Opening<SendStream> {
        Opening(Open::Uni(self.session.clone(), self.codes))
    }

    pub(crate) fn open_bi(&self) -> Opening<(SendStream, RecvStream)> {
        let session = self.session.clone();
        Opening(Open::Waiting(Box::pin(async move {
            session.open_bi().await.ok().map(both)
        })))
    }

    /// Sends a datagram, or drops the oldest waiting ones; false when it can never be sent.
    pub(crate) fn send_datagram(&self, datagram: Bytes) -> bool {
        let datagram = match self.codes {
            Codes::Raw => datagram,
            Codes::Http3 => framed(&datagram),
        };
        quinn::Connection::send_datagram(&self.session, datagram).is_ok()
    }

    /// Returns how many bytes of datagrams the connection takes without dropping any.
    pub(crate) fn datagram_room(&self) -> usize {
        self.session.datagram_send_buffer_space()
    }

    /// Returns how many bytes the connection carries in that time, roughly.
    pub(crate) fn carries_in(&self, time: Duration) -> usize {
        let path = quinn::Connection::stats(&self.session).path;
        let round_trips = time.as_secs_f64() / path.rtt.as_secs_f64().max(SHORTEST_RTT);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate"
        )]
        let bytes = (path.cwnd as f64 * round_trips) as usize;
        bytes
    }

    /// Returns how the connection did until now.
    pub(crate) fn sample(&self) -> Sample {
        let stats = quinn::Connection::stats(&self.session);
        Sample {
            rtt: stats.path.rtt,
            window_bytes: stats.path.cwnd,
            sent_bytes: stats.udp_tx.bytes + HEADER_BYTES * stats.udp_tx.datagrams,
            sent_packets: stats.path.sent_packets,
            lost_packets: stats.path.lost_packets,
        }
    }

    /// Lets the connection hold of its streams what it carries in two round trips, at most `most`
    /// bytes: enough to find out whether it carries more.
    pub(crate) fn fit_window(&self, most: u64) {
        let path = quinn::Connection::stats(&self.session).path;
        let window = (path.cwnd * 2).clamp(SMALLEST_WINDOW.min(most), most);
        self.session.set_send_window(window);
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

/// A stream that is being opened.
pub(crate) struct Opening<T>(Open<T>);

enum Open<T> {
    Uni(Arc<Session>, Codes),
    /// For the peer to allow one more.
    Waiting(Pin<Box<dyn Future<Output = Option<T>> + Send>>),
}

impl Opening<SendStream> {
    /// `None`: the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<SendStream>> {
        let Open::Uni(session, codes) = &self.0 else {
            return self.wait(cx);
        };
        let codes = *codes;
        if let Poll::Ready(opened) = pin!(quinn::Connection::open_uni(session)).poll(cx) {
            return Poll::Ready(opened.ok().map(|stream| SendStream::opened(stream, codes)));
        }
        let session = session.clone();
        self.0 = Open::Waiting(Box::pin(async move {
            let opened = quinn::Connection::open_uni(&session).await;
            opened.ok().map(|stream| SendStream::opened(stream, codes))
        }));
        self.wait(cx)
    }
}

impl Opening<(SendStream, RecvStream)> {
    /// `None`: the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<(SendStream, RecvStream)>> {
        self.wait(cx)
    }
}

impl<T> Opening<T> {
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut self.0 {
            Open::Waiting(opening) => opening.as_mut().poll(cx),
            Open::Uni(..) => Poll::Pending,
        }
    }
}

/// Our direction of a stream. Dropped without an end of its own it is finished.
pub(crate) struct SendStream(Inner);

enum Inner {
    /// Opened by us.
    Own {
        stream: quinn::SendStream,
        codes: Codes,
        /// What must go before the first chunk.
        header: Bytes,
        /// Kept from the first time that someone waits for it.
        done: Option<Pin<Box<dyn Future<Output = Done> + Send>>>,
    },
    /// Accepted, or bidirectional.
    Wrapped(wt::SendStream),
}

type Done = Result<Option<VarInt>, StoppedError>;

impl SendStream {
    fn opened(stream: quinn::SendStream, codes: Codes) -> Self {
        let header = match codes {
            Codes::Raw => Bytes::new(),
            Codes::Http3 => Bytes::from_static(HEADER_UNI),
        };
        Self(Inner::Own {
            stream,
            codes,
            header,
            done: None,
        })
    }

    /// Writes as much as goes; ready when all is written. What was written is taken out of
    /// `chunks`.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        if let Inner::Own { stream, header, .. } = &mut self.0
            && !header.is_empty()
            && chunks.len() < CHUNKS
        {
            // The header goes along with the first chunks: one call into the connection for all.
            let mut all = [const { Bytes::new() }; CHUNKS];
            std::mem::swap(&mut all[0], header);
            all[1..=chunks.len()].swap_with_slice(chunks);
            let written = pin!(stream.write_chunks(&mut all)).poll(cx);
            std::mem::swap(&mut all[0], header);
            all[1..=chunks.len()].swap_with_slice(chunks);
            match written {
                Poll::Ready(Ok(_written)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.cannot_write(&error))),
                Poll::Pending => return Poll::Pending,
            }
        }
        ready!(self.poll_write_header(cx))?;
        while chunks.iter().any(|chunk| !chunk.is_empty()) {
            match ready!(self.poll_write_chunks(cx, chunks)) {
                Ok(()) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_header(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        let Inner::Own { stream, header, .. } = &mut self.0 else {
            return Poll::Ready(Ok(()));
        };
        while !header.is_empty() {
            let written = pin!(stream.write_chunks(std::slice::from_mut(header))).poll(cx);
            if let Err(error) = ready!(written) {
                return Poll::Ready(Err(self.cannot_write(&error)));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        match &mut self.0 {
            Inner::Own { stream, .. } => {
                let written = ready!(pin!(stream.write_chunks(chunks)).poll(cx));
                Poll::Ready(written.map(drop).map_err(|error| self.cannot_write(&error)))
            }
            Inner::Wrapped(stream) => {
                let written = ready!(pin!(stream.write_chunks(chunks)).poll(cx));
                Poll::Ready(written.map(drop).map_err(|error| wrapped(&error)))
            }
        }
    }

    fn cannot_write(&self, error: &quinn::WriteError) -> WriteError {
        match (error, &self.0) {
            (quinn::WriteError::Stopped(code), Inner::Own { codes, .. }) => {
                WriteError::Stopped(codes.read(*code))
            }
            _ => WriteError::Lost,
        }
    }

    /// Waits for the peer to acknowledge everything (`Ok`) or to want no more.
    pub(crate) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        match &mut self.0 {
            Inner::Own {
                stream,
                codes,
                done,
                ..
            } => {
                let done = done.get_or_insert_with(|| Box::pin(stream.stopped()));
                let outcome = ready!(done.as_mut().poll(cx));
                Poll::Ready(codes.done(outcome))
            }
            Inner::Wrapped(stream) => stream.poll_closed(cx).map_err(|error| wrapped(&error)),
        }
    }

    /// Returns whether the peer has acknowledged everything or wants no more, without waiting.
    pub(crate) fn is_done(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match &mut self.0 {
            Inner::Own { stream, .. } => pin!(stream.stopped()).poll(&mut cx).is_ready(),
            Inner::Wrapped(stream) => stream.poll_closed(&mut cx).is_ready(),
        }
    }

    /// Ends the stream. Nothing happens when it has ended, or the peer has stopped it.
    pub(crate) fn finish(&mut self) {
        match &mut self.0 {
            Inner::Own { stream, .. } => drop(stream.finish()),
            Inner::Wrapped(stream) => drop(stream.finish()),
        }
    }

    /// Gives the stream up. Nothing happens when it has ended, or the peer has stopped it.
    pub(crate) fn reset(&mut self, code: u32) {
        match &mut self.0 {
            Inner::Own { stream, codes, .. } => drop(stream.reset(codes.write(code))),
            Inner::Wrapped(stream) => drop(stream.reset(code)),
        }
    }

    /// Sets which streams go before others: the higher first.
    pub(crate) fn set_priority(&self, priority: i32) {
        // Both fail only for a stream that is closed already.
        match &self.0 {
            Inner::Own { stream, .. } => drop(stream.set_priority(priority)),
            Inner::Wrapped(stream) => drop(stream.set_priority(priority)),
        }
    }
}

impl Codes {
    fn write(self, code: u32) -> VarInt {
        match self {
            Self::Raw => code.into(),
            // The range's end is below 2^62.
            Self::Http3 => VarInt::from_u64(error_to_http3(code)).unwrap_or(VarInt::MAX),
        }
    }

    /// Codes that mean nothing to a session become 0.
    fn read(self, code: VarInt) -> u32 {
        match self {
            Self::Raw => u32::try_from(code.into_inner()).unwrap_or(0),
            Self::Http3 => error_from_http3(code.into_inner()).unwrap_or(0),
        }
    }

    fn done(self, outcome: Done) -> Result<(), WriteError> {
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(WriteError::Stopped(self.read(code))),
            Err(_lost) => Err(WriteError::Lost),
        }
    }
}

/// The peer's direction of a stream.
///
/// The second field: what was read before anyone asked for it.
pub(crate) struct RecvStream(wt::RecvStream, Option<Bytes>);

impl RecvStream {
    /// Reads what a stream has; `None`: it has ended.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        if let Some(read) = self.1.take() {
            return Poll::Ready(Ok(Some(read)));
        }
        let chunk = ready!(pin!(self.0.read_chunk(CHUNK, true)).poll(cx));
        Poll::Ready(match chunk {
            Ok(chunk) => Ok(chunk.map(|chunk| chunk.bytes)),
            Err(wt::ReadError::Reset(code)) => Err(ReadError::Reset(code)),
            Err(wt::ReadError::InvalidReset(_)) => Err(ReadError::Reset(0)),
            Err(_closing) => Err(ReadError::Lost),
        })
    }

    /// Waits for the first byte; `None`: there is none.
    async fn peek(&mut self) -> Option<u8> {
        self.1 = poll_fn(|cx| self.poll_read(cx)).await.ok().flatten();
        self.1.as_ref()?.first().copied()
    }

    /// Tells the peer that no more is wanted. Nothing happens when the stream has ended.
    pub(crate) fn stop(&mut self, code: u32) {
        drop(self.0.stop(code));
    }
}

fn both((send, recv): (wt::SendStream, wt::RecvStream)) -> (SendStream, RecvStream) {
    (SendStream(Inner::Wrapped(send)), RecvStream(recv, None))
}

fn wrapped(error: &wt::WriteError) -> WriteError {
    match error {
        wt::WriteError::Stopped(code) => WriteError::Stopped(*code),
        wt::WriteError::InvalidStopped(_) => WriteError::Stopped(0),
        _closing => WriteError::Lost,
    }
}

fn closed(error: SessionError) -> Closed {
    match error {
        SessionError::WebTransportError(WebTransportError::Closed(code, reason)) => {
            Closed::Peer { code, reason }
        }
        SessionError::ConnectionError(quinn::ConnectionError::TimedOut) => Closed::TimedOut,
        other => Closed::Lost(other.to_string()),
    }
}

/// Returns a datagram behind the id of its WebTransport session, which is the same for all sessions:
/// the first one on a worker pays for the copy.
fn framed(datagram: &Bytes) -> Bytes {
    FRAMED.with_borrow_mut(|places| {
        let place = &mut places[(datagram.as_ptr().addr() >> 4) % PLACES];
        if let Some((plain, framed)) = place
            // It is kept, so nothing else can be where it is.
            && (plain.as_ptr(), plain.len()) == (datagram.as_ptr(), datagram.len())
        {
            return framed.clone();
        }
        let mut framed = BytesMut::with_capacity(HEADER_DATAGRAM.len() + datagram.len());
        framed.extend_from_slice(HEADER_DATAGRAM);
        framed.extend_from_slice(datagram);
        let framed = framed.freeze();
        *place = Some((datagram.clone(), framed.clone()));
        framed
    })
}

/// Datagrams that a worker remembers, of those that many sessions are sent one after another: as
/// many as it takes of a track at a time.
const PLACES: usize = 64;

thread_local! {
    /// As they are and framed.
    static FRAMED: RefCell<[Option<(Bytes, Bytes)>; PLACES]> =
        const { RefCell::new([const { None }; PLACES]) };
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
