//! QMux over a WebSocket: the fallback where no UDP goes through.
//!
//! The state machine is `moqt`'s; here its events become wakers, and [`drive`] carries its messages. What waits for
//! the socket is bounded there, in bytes and in time: a session whose peer reads slowly is blocked as it would be by
//! QUIC, falls behind the log, and loses what is old.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use moqrelay_moqt::{
    Direction, Role,
    qmux::{self, Config, Event, Mux, Received, StreamKey, Version},
};
use tokio::time::{Sleep, sleep_until, timeout};

use super::{Closed, Path, ReadError, WriteError};
use crate::fallback::Socket;

/// Messages taken from the socket before others have their turn.
const MESSAGES_AT_ONCE: usize = 32;

/// How long a peer may take to hear that its session is over, and to close the WebSocket in turn.
const CLOSING: Duration = Duration::from_secs(2);

/// A connection that carries one MoQ session. Dropped, it ends.
pub(crate) struct Transport {
    link: Arc<Link>,
}

/// What the session's handles and the socket share.
struct Link {
    began: Instant,
    peer: SocketAddr,
    state: Mutex<State>,
}

struct State {
    mux: Mux,
    wakers: Wakers,
}

/// Who waits for what.
#[derive(Default)]
struct Wakers {
    socket: Option<Waker>,
    closed: Option<Waker>,
    datagram: Option<Waker>,
    accept: [Option<Waker>; 2],
    open: [Vec<Waker>; 2],
    streams: BTreeMap<StreamKey, StreamWakers>,
}

#[derive(Default)]
struct StreamWakers {
    read: Option<Waker>,
    write: Option<Waker>,
    done: Option<Waker>,
}

/// Begins a connection, and returns it with what carries its messages. That future must run for as long as the
/// connection is to live; it ends after the connection.
pub(crate) fn start(
    version: Version,
    config: Config,
    peer: SocketAddr,
    socket: Box<dyn Socket>,
) -> (Transport, impl Future<Output = Option<qmux::Closed>> + Send) {
    let link = Arc::new(Link {
        began: Instant::now(),
        peer,
        state: Mutex::new(State {
            mux: Mux::new(Role::Server, version, config, Duration::ZERO),
            wakers: Wakers::default(),
        }),
    });
    let transport = Transport { link: link.clone() };
    (transport, drive(link, socket))
}

impl Transport {
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        self.link.with(|mux, wakers, _now| match mux.closed() {
            Some(closed) => Poll::Ready(ended(closed)),
            None => {
                wakers.closed = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    pub(crate) fn poll_accept_uni(&mut self, cx: &mut Context<'_>) -> Poll<Option<RecvStream>> {
        let key = ready!(self.poll_accept(cx, Direction::Uni));
        Poll::Ready(key.map(|key| RecvStream(self.handle(key))))
    }

    pub(crate) fn poll_accept_bi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(SendStream, RecvStream)>> {
        let key = ready!(self.poll_accept(cx, Direction::Bi));
        Poll::Ready(key.map(|key| self.handle(key).both()))
    }

    fn poll_accept(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<Option<StreamKey>> {
        self.link
            .with(|mux, wakers, _now| match mux.accept(direction) {
                Some(key) => Poll::Ready(Some(key)),
                None if mux.closed().is_some() => Poll::Ready(None),
                None => {
                    wakers.accept[index(direction)] = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
    }

    fn handle(&self, key: StreamKey) -> Handle {
        Handle {
            link: self.link.clone(),
            key,
        }
    }

    pub(crate) fn receive_datagrams(&mut self, cx: &mut Context<'_>, out: &mut Vec<Bytes>) {
        self.link.with(|mux, wakers, _now| {
            out.extend(std::iter::from_fn(|| mux.receive_datagram()));
            wakers.datagram = Some(cx.waker().clone());
        });
    }

    pub(crate) fn open(&self, direction: Direction) -> Opening {
        Opening {
            link: self.link.clone(),
            direction,
        }
    }

    pub(crate) fn send_datagram(&self, datagram: Bytes) -> bool {
        self.link
            .with(|mux, _wakers, now| mux.send_datagram(datagram, now))
    }

    pub(crate) fn close(&self, code: u32, reason: &str) {
        self.link.with(|mux, _wakers, _now| mux.close(code, reason));
    }

    pub(crate) fn probe(&self) -> Probe {
        Probe(self.link.clone())
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.close(0, "");
    }
}

/// Tells how a connection does, for as long as someone may ask.
pub(crate) struct Probe(Arc<Link>);

impl Probe {
    pub(crate) fn path(&self) -> Path {
        let rtt = self.0.with(|mux, _wakers, _now| mux.rtt());
        Path {
            peer: self.0.peer,
            rtt: rtt.unwrap_or_default(),
            // TCP sends them again and says nothing.
            lost_packets: 0,
        }
    }
}

/// A stream that is being opened.
pub(crate) struct Opening {
    link: Arc<Link>,
    direction: Direction,
}

impl Opening {
    pub(crate) fn poll_uni(&self, cx: &mut Context<'_>) -> Poll<Option<SendStream>> {
        let handle = ready!(self.poll(cx));
        Poll::Ready(handle.map(SendStream))
    }

    pub(crate) fn poll_bi(&self, cx: &mut Context<'_>) -> Poll<Option<(SendStream, RecvStream)>> {
        let handle = ready!(self.poll(cx));
        Poll::Ready(handle.map(Handle::both))
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Handle>> {
        let opened = self
            .link
            .with(|mux, wakers, _now| match mux.open(self.direction) {
                Some(key) => Poll::Ready(Some(key)),
                None if mux.closed().is_some() => Poll::Ready(None),
                None => {
                    let waiting = &mut wakers.open[index(self.direction)];
                    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                        waiting.push(cx.waker().clone());
                    }
                    Poll::Pending
                }
            });
        let link = &self.link;
        opened.map(|key| {
            key.map(|key| Handle {
                link: link.clone(),
                key,
            })
        })
    }
}

struct Handle {
    link: Arc<Link>,
    key: StreamKey,
}

impl Handle {
    fn both(self) -> (SendStream, RecvStream) {
        let other = Self {
            link: self.link.clone(),
            key: self.key,
        };
        (SendStream(self), RecvStream(other))
    }

    fn with<R>(&self, act: impl FnOnce(&mut Mux, &mut StreamWakers) -> R) -> R {
        self.link
            .with(|mux, wakers, _now| act(mux, wakers.streams.entry(self.key).or_default()))
    }

    /// Lets a direction go; its wakers go with it.
    fn release(&self, act: impl FnOnce(&mut Mux, &mut StreamWakers)) {
        self.link.with(|mux, wakers, _now| {
            let mut of_stream = wakers.streams.remove(&self.key).unwrap_or_default();
            act(mux, &mut of_stream);
            if !of_stream.is_empty() {
                wakers.streams.insert(self.key, of_stream);
            }
        });
    }
}

/// Our direction of a stream.
pub(crate) struct SendStream(Handle);

impl SendStream {
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        let key = self.0.key;
        self.0.with(|mux, wakers| match mux.write(key, chunks) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                wakers.write = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(cannot_write(error))),
        })
    }

    pub(crate) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        let key = self.0.key;
        self.0.with(|mux, wakers| match mux.done(key) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                wakers.done = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(cannot_write(error))),
        })
    }

    pub(crate) fn is_done(&self) -> bool {
        let key = self.0.key;
        let done = self.0.link.with(|mux, _wakers, _now| mux.done(key));
        !matches!(done, Ok(false))
    }

    pub(crate) fn finish(&mut self) {
        let key = self.0.key;
        self.0.link.with(|mux, _wakers, _now| mux.finish(key));
    }

    pub(crate) fn reset(&mut self, code: u32) {
        let key = self.0.key;
        self.0.link.with(|mux, _wakers, _now| mux.reset(key, code));
    }

    pub(crate) fn set_priority(&self, priority: i32) {
        let key = self.0.key;
        self.0
            .link
            .with(|mux, _wakers, _now| mux.set_priority(key, priority));
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        let key = self.0.key;
        self.0.release(|mux, wakers| {
            (wakers.write, wakers.done) = (None, None);
            mux.release_send(key);
        });
    }
}

/// The peer's direction of a stream.
pub(crate) struct RecvStream(Handle);

impl RecvStream {
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        let key = self.0.key;
        self.0.with(|mux, wakers| match mux.read(key) {
            Ok(Received::Bytes(bytes)) => Poll::Ready(Ok(Some(bytes))),
            Ok(Received::Finished) => Poll::Ready(Ok(None)),
            Ok(Received::Blocked) => {
                wakers.read = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(qmux::ReadError::Reset(code)) => Poll::Ready(Err(ReadError::Reset(code))),
            Err(qmux::ReadError::Lost) => Poll::Ready(Err(ReadError::Lost)),
        })
    }

    pub(crate) fn stop(&mut self, code: u32) {
        let key = self.0.key;
        self.0.link.with(|mux, _wakers, _now| mux.stop(key, code));
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        let key = self.0.key;
        self.0.release(|mux, wakers| {
            wakers.read = None;
            mux.release_recv(key);
        });
    }
}

impl Link {
    /// Does something to the state machine and wakes whom it concerns.
    fn with<R>(&self, act: impl FnOnce(&mut Mux, &mut Wakers, Duration) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let State { mux, wakers } = &mut *state;
        let result = act(mux, wakers, self.began.elapsed());
        while let Some(event) = mux.poll_event() {
            wakers.tell(event);
        }
        if mux.has_output()
            && let Some(waker) = wakers.socket.take()
        {
            waker.wake();
        }
        result
    }
}

impl Wakers {
    fn tell(&mut self, event: Event) {
        let waker = match event {
            Event::Incoming(direction) => self.accept[index(direction)].take(),
            Event::Openable(direction) => {
                return self.open[index(direction)].drain(..).for_each(Waker::wake);
            }
            Event::Readable(key) => self.of_stream(key).and_then(|stream| stream.read.take()),
            Event::Writable(key) => self.of_stream(key).and_then(|stream| stream.write.take()),
            Event::Done(key) => self.of_stream(key).and_then(|stream| stream.done.take()),
            Event::Datagram => self.datagram.take(),
            Event::Closed => {
                // The socket's own future waits for the time otherwise.
                if let Some(socket) = self.socket.take() {
                    socket.wake();
                }
                self.closed.take()
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn of_stream(&mut self, key: StreamKey) -> Option<&mut StreamWakers> {
        self.streams.get_mut(&key)
    }
}

impl StreamWakers {
    fn is_empty(&self) -> bool {
        self.read.is_none() && self.write.is_none() && self.done.is_none()
    }
}

/// Carries messages until the connection is over, and returns how it ended.
async fn drive(link: Arc<Link>, mut socket: Box<dyn Socket>) -> Option<qmux::Closed> {
    let mut alarm = Box::pin(sleep_until(tokio::time::Instant::now()));
    let mut alive = poll_fn(|cx| poll_drive(&link, &mut *socket, alarm.as_mut(), cx)).await;
    if alive {
        // The last word has to leave first, and the peer may have something to say about it.
        let end = timeout(CLOSING, async {
            alive = poll_fn(|cx| poll_send(&link, &mut *socket, cx)).await;
            if alive {
                poll_fn(|cx| socket.poll_close(cx)).await;
            }
        });
        drop(end.await);
    }
    link.with(|mux, _wakers, _now| mux.closed().cloned())
}

/// Ready when the connection is over; false: so is the socket.
fn poll_drive(
    link: &Link,
    socket: &mut dyn Socket,
    mut alarm: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    let mut again = true;
    for _ in 0..MESSAGES_AT_ONCE {
        match socket.poll_receive(cx) {
            Poll::Ready(Some(message)) => {
                link.with(|mux, _wakers, now| mux.handle_message(message, now));
            }
            Poll::Ready(None) => {
                link.with(|mux, _wakers, _now| mux.handle_lost());
                return Poll::Ready(false);
            }
            Poll::Pending => {
                again = false;
                break;
            }
        }
    }
    if again {
        cx.waker().wake_by_ref();
    }
    link.with(|_mux, wakers, _now| wakers.socket = Some(cx.waker().clone()));
    if let Poll::Ready(false) = poll_send(link, socket, cx) {
        link.with(|mux, _wakers, _now| mux.handle_lost());
        return Poll::Ready(false);
    }
    loop {
        let next = link.with(|mux, _wakers, _now| mux.poll_timeout());
        let Some(next) = next else {
            return Poll::Ready(true);
        };
        // Mostly it has moved on because something was heard; that is looked at when the alarm goes.
        let next = (link.began + next).into();
        if alarm.is_elapsed() || next < alarm.deadline() {
            alarm.as_mut().reset(next);
        }
        ready!(alarm.as_mut().poll(cx));
        link.with(|mux, _wakers, now| mux.handle_timeout(now));
    }
}

/// Sends what there is; ready when all has left, or with false when the socket is over.
///
/// A message is asked for only when the one before has left, because nothing can overtake it any more.
fn poll_send(link: &Link, socket: &mut dyn Socket, cx: &mut Context<'_>) -> Poll<bool> {
    loop {
        if !ready!(socket.poll_ready(cx)) {
            return Poll::Ready(false);
        }
        match link.with(|mux, _wakers, now| mux.poll_transmit(now)) {
            Some(message) => socket.send(message),
            None => return Poll::Ready(true),
        }
    }
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Bi => 0,
        Direction::Uni => 1,
    }
}

fn cannot_write(error: qmux::WriteError) -> WriteError {
    match error {
        qmux::WriteError::Stopped(code) => WriteError::Stopped(code),
        qmux::WriteError::Lost => WriteError::Lost,
    }
}

fn ended(closed: &qmux::Closed) -> Closed {
    match closed {
        qmux::Closed::Peer { code, reason } => Closed::Peer {
            code: *code,
            reason: reason.clone(),
        },
        qmux::Closed::TimedOut => Closed::TimedOut,
        qmux::Closed::Ours => Closed::Lost("closed".to_owned()),
        qmux::Closed::Failed { code, .. } => {
            Closed::Lost(format!("the peer's QMux failed with code {code:#x}"))
        }
        qmux::Closed::Violation(violation) => Closed::Lost(violation.to_string()),
        qmux::Closed::Lost => Closed::Lost("the WebSocket ended".to_owned()),
    }
}
