//! Control and request streams: bytes between the connection and the state machine.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use moqrelay_moqt::{Direction, Draft, ResetCode, SessionCode, StreamId};

use super::{Driver, Farewell, Note, Stream, signal::StreamBell};
use crate::{
    mlog::Way,
    transport::{Closed, OpeningBi, OpeningUni, ReadError, RecvStream, SendStream, WriteError},
};

/// Control goes before every object (draft-18 section 7.2).
const CONTROL_PRIORITY: i32 = i32::MAX;

/// Requests and their answers go after control and before every object.
const REQUEST_PRIORITY: i32 = i32::MAX - 1;

/// Pieces read from one stream before others have their turn.
const CHUNKS_AT_ONCE: usize = 16;

/// Streams accepted before others have their turn.
const STREAMS_AT_ONCE: usize = 64;

/// A control or request stream.
pub(super) struct Pipe {
    id: StreamId,
    draft: Draft,
    bell: Arc<StreamBell>,
    send: Sending,
    recv: Option<RecvStream>,
    queue: VecDeque<Bytes>,
    finish: bool,
    reset: Option<ResetCode>,
    bidirectional: bool,
    /// The peer's STOP_SENDING was passed on.
    stopped: bool,
    /// Ended before it was opened: the peer need not hear of it at all.
    unwanted: bool,
}

/// Our direction of a stream.
enum Sending {
    OpeningUni(OpeningUni),
    OpeningBi(OpeningBi),
    Open(SendStream),
    /// Finished, reset, or not ours.
    Over,
}

/// What a stream wants the state machine to know.
enum Heard {
    Bytes(Bytes),
    Fin,
    Reset(u64),
    Stop(u64),
}

impl Driver {
    /// Names the peer's requests.
    pub(super) fn accept_bi(&mut self) {
        let waker = self.wakers.bi.clone();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..STREAMS_AT_ONCE {
            match self.transport.poll_accept_bi(&mut cx) {
                Poll::Ready(Some((send, recv))) => {
                    let id = self.machine.accept_bi();
                    let pipe = Sending::Open(send);
                    self.add_pipe(id, pipe, Some(recv), true);
                }
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
        self.signal.raise(Note::Bi);
    }

    /// Makes the peer's control stream known; `first` is what was read of it already.
    pub(super) fn add_control(&mut self, recv: RecvStream, first: Bytes) {
        let id = self.machine.accept_control();
        let now = self.now();
        if let Some(log) = &mut self.log {
            log.control(Way::Parsed, id, &first);
        }
        self.machine.handle_stream(id, first, false, now);
        self.add_pipe(id, Sending::Over, Some(recv), false);
    }

    pub(super) fn open_pipe(&mut self, id: StreamId, direction: Direction) {
        let (send, bidirectional) = match direction {
            Direction::Uni => (Sending::OpeningUni(self.transport.open_uni()), false),
            Direction::Bi => (Sending::OpeningBi(self.transport.open_bi()), true),
        };
        self.add_pipe(id, send, None, bidirectional);
    }

    fn add_pipe(
        &mut self,
        id: StreamId,
        send: Sending,
        recv: Option<RecvStream>,
        bidirectional: bool,
    ) {
        let slot = self.streams.reserve();
        let pipe = Pipe {
            id,
            draft: self.machine.draft(),
            bell: StreamBell::new(self.signal.clone(), slot),
            send,
            recv,
            queue: VecDeque::new(),
            finish: false,
            reset: None,
            bidirectional,
            stopped: false,
            unwanted: false,
        };
        pipe.prioritise();
        self.bi_open += usize::from(bidirectional);
        self.bi_opening += usize::from(pipe.is_opening_bi());
        self.pipes.insert(id, slot);
        self.streams.put(slot, Stream::Pipe(pipe));
        self.poll_stream(slot);
    }

    pub(super) fn write_pipe(&mut self, id: StreamId, bytes: Bytes) {
        if let Some(log) = &mut self.log {
            log.control(Way::Created, id, &bytes);
        }
        self.control_waiting += bytes.len();
        if self.control_waiting > self.limits.control_bytes {
            self.farewell.get_or_insert(Farewell {
                code: SessionCode::InternalError,
                reason: "the peer does not read its control messages".to_owned(),
                ours: true,
            });
            return;
        }
        self.with_pipe(id, |pipe| pipe.queue.push_back(bytes));
    }

    /// Changes a stream and lets it go on.
    pub(super) fn with_pipe(&mut self, id: StreamId, change: impl FnOnce(&mut Pipe)) {
        let Some(slot) = self.pipes.get(&id).copied() else {
            return; // The peer ended it meanwhile.
        };
        if let Some(Stream::Pipe(pipe)) = self.streams.get_mut(slot) {
            change(pipe);
            self.flush_pipe(slot);
        }
    }

    fn flush_pipe(&mut self, slot: u32) {
        let Some(Stream::Pipe(mut pipe)) = self.streams.take(slot) else {
            return;
        };
        let heard = self.write_waiting(&mut pipe);
        self.streams.put(slot, Stream::Pipe(pipe));
        if let Some(heard) = heard {
            self.hear(slot, heard);
        }
        self.drop_pipe_if_over(slot);
    }

    /// Reads and writes what a control or request stream has.
    pub(super) fn poll_pipe(&mut self, slot: u32, mut pipe: Pipe) {
        pipe.bell.silence();
        let mut heard = Vec::new();
        heard.extend(self.write_waiting(&mut pipe));
        pipe.read(&mut heard);
        heard.extend(pipe.poll_stopped());
        self.streams.put(slot, Stream::Pipe(pipe));
        for heard in heard {
            self.hear(slot, heard);
        }
        self.drop_pipe_if_over(slot);
    }

    fn write_waiting(&mut self, pipe: &mut Pipe) -> Option<Heard> {
        let (waiting, opening) = (pipe.waiting(), pipe.is_opening_bi());
        let heard = pipe.write();
        self.control_waiting = self
            .control_waiting
            .saturating_sub(waiting - pipe.waiting());
        self.bi_opening -= usize::from(opening && !pipe.is_opening_bi());
        heard
    }

    fn hear(&mut self, slot: u32, heard: Heard) {
        let Some(Stream::Pipe(pipe)) = self.streams.get(slot) else {
            return;
        };
        let id = pipe.id;
        let now = self.now();
        match heard {
            Heard::Bytes(bytes) => {
                self.charge_bytes(bytes.len());
                if let Some(log) = &mut self.log {
                    log.control(Way::Parsed, id, &bytes);
                }
                self.machine.handle_stream(id, bytes, false, now);
            }
            Heard::Fin => self.machine.handle_stream(id, Bytes::new(), true, now),
            Heard::Reset(code) => self.machine.handle_reset(id, code, now),
            Heard::Stop(code) => self.machine.handle_stop(id, code, now),
        }
    }

    fn drop_pipe_if_over(&mut self, slot: u32) {
        let Some(Stream::Pipe(pipe)) = self.streams.get(slot) else {
            return;
        };
        let over = matches!(pipe.send, Sending::Over) && pipe.recv.is_none();
        if !over {
            return;
        }
        let (id, bidirectional, waiting) = (pipe.id, pipe.bidirectional, pipe.waiting());
        self.control_waiting = self.control_waiting.saturating_sub(waiting);
        self.bi_open -= usize::from(bidirectional);
        self.pipes.remove(&id);
        if let Some(log) = &mut self.log {
            log.forget(id);
        }
        self.streams.release(slot);
    }
}

impl Pipe {
    pub(super) fn finish(&mut self) {
        self.finish = true;
    }

    pub(super) fn reset(&mut self, code: ResetCode) {
        self.reset = Some(code);
    }

    pub(super) fn stop(&mut self, code: ResetCode) {
        if let Some(mut recv) = self.recv.take() {
            recv.stop(wire_code(self.draft, code));
        } else if self.is_opening_bi() {
            self.unwanted = true;
        }
    }

    fn is_opening_bi(&self) -> bool {
        matches!(self.send, Sending::OpeningBi(_))
    }

    fn waiting(&self) -> usize {
        self.queue.iter().map(Bytes::len).sum()
    }

    fn prioritise(&self) {
        if let Sending::Open(send) = &self.send {
            let priority = if self.bidirectional {
                REQUEST_PRIORITY
            } else {
                CONTROL_PRIORITY
            };
            send.set_priority(priority);
        }
    }

    /// Writes what is queued, as far as the connection takes it.
    fn write(&mut self) -> Option<Heard> {
        let waker = Waker::from(self.bell.clone());
        let mut cx = Context::from_waker(&waker);
        self.poll_open(&mut cx);
        let Sending::Open(send) = &mut self.send else {
            return None;
        };
        if let Some(code) = self.reset {
            self.queue.clear();
            send.reset(wire_code(self.draft, code));
            self.send = Sending::Over;
            return None;
        }
        match send.poll_write(&mut cx, self.queue.make_contiguous()) {
            Poll::Ready(Ok(())) => self.queue.clear(),
            Poll::Ready(Err(error)) => return self.cannot_write(error),
            Poll::Pending => self.queue.retain(|bytes| !bytes.is_empty()),
        }
        if self.finish && self.queue.is_empty() {
            send.finish();
            self.send = Sending::Over;
        }
        None
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) {
        if self.unwanted {
            self.send = Sending::Over;
        }
        match &mut self.send {
            Sending::OpeningUni(opening) => match opening.poll(cx) {
                Poll::Ready(Some(send)) => self.send = Sending::Open(send),
                Poll::Ready(None) => self.send = Sending::Over,
                Poll::Pending => return,
            },
            Sending::OpeningBi(opening) => match opening.poll(cx) {
                Poll::Ready(Some((send, recv))) => {
                    self.send = Sending::Open(send);
                    self.recv = Some(recv);
                    // Its first read registers the waker.
                    self.bell_again();
                }
                Poll::Ready(None) => self.send = Sending::Over,
                Poll::Pending => return,
            },
            Sending::Open(_) | Sending::Over => return,
        }
        self.prioritise();
    }

    fn bell_again(&self) {
        use std::task::Wake;
        self.bell.wake_by_ref();
    }

    fn cannot_write(&mut self, error: WriteError) -> Option<Heard> {
        self.queue.clear();
        self.send = Sending::Over;
        if std::mem::replace(&mut self.stopped, true) {
            return None;
        }
        match error {
            WriteError::Stopped(code) => Some(Heard::Stop(code.into())),
            WriteError::Lost => None,
        }
    }

    fn read(&mut self, heard: &mut Vec<Heard>) {
        let waker = Waker::from(self.bell.clone());
        let mut cx = Context::from_waker(&waker);
        for _ in 0..CHUNKS_AT_ONCE {
            let Some(recv) = &mut self.recv else {
                return;
            };
            match recv.poll_read(&mut cx) {
                Poll::Ready(Ok(Some(bytes))) => heard.push(Heard::Bytes(bytes)),
                Poll::Ready(Ok(None)) => {
                    heard.push(Heard::Fin);
                    self.recv = None;
                }
                Poll::Ready(Err(error)) => {
                    self.recv = None;
                    match error {
                        ReadError::Reset(code) => heard.push(Heard::Reset(code.into())),
                        ReadError::Lost => {}
                    }
                }
                Poll::Pending => return,
            }
        }
        self.bell_again();
    }

    /// Learns whether the peer wants no more of our direction; writes tell it too late.
    fn poll_stopped(&mut self) -> Option<Heard> {
        let Sending::Open(send) = &mut self.send else {
            return None;
        };
        let waker = Waker::from(self.bell.clone());
        let mut cx = Context::from_waker(&waker);
        match send.poll_done(&mut cx) {
            Poll::Ready(Err(error)) => self.cannot_write(error),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        }
    }
}

/// What a closed connection says about the end of its session.
pub(super) fn farewell_of(draft: Draft, closed: &Closed) -> Farewell {
    let (code, reason) = match closed {
        Closed::Peer { code, reason } => (
            SessionCode::from_code(draft, (*code).into()),
            printable(reason),
        ),
        Closed::TimedOut => (
            SessionCode::NoError,
            "nothing was heard for too long".to_owned(),
        ),
        Closed::Lost(why) => (SessionCode::NoError, why.clone()),
    };
    Farewell {
        code,
        reason,
        ours: false,
    }
}

/// A peer's text for the log: short, without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The number of a code, as streams of either transport carry it.
pub(super) fn wire_code(draft: Draft, code: ResetCode) -> u32 {
    u32::try_from(code.to_code(draft)).unwrap_or(0)
}
