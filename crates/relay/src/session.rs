//! One MoQ session: its state machine, its connection and the track table.
//!
//! A [`Host`] runs the sessions of a worker. It looks at a session when a [`Signal`] says that there
//! is something to look at, and takes it what its subscriptions are to send. No session, stream or
//! subscription has a task of its own.

mod access;
mod backlog;
mod control;
mod deliver;
mod due;
mod fetch;
mod fill;
mod gather;
mod gauge;
mod host;
mod ingest;
mod mail;
mod outgoing;
mod quirks;
mod quota;
mod requests;
mod rights;
mod selection;
mod signal;
mod source;
mod timeouts;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use moqrelay_moqt::{
    self as moqt, Draft, Namespace, Output, RequestId, SessionCode, StreamId, TrackAlias,
};

pub(crate) use self::{
    access::Access,
    deliver::Batch,
    fill::{Fill, FillEnd},
    gather::Habit,
    host::{Host, Hub},
    mail::Mail,
    signal::{Note, Signal},
};
use self::{
    backlog::Backlog,
    control::Pipe,
    deliver::Subscription,
    due::{Due, Timers},
    fetch::{Joining, Serving},
    fill::Filling,
    ingest::{Early, Incoming},
    quirks::Quirks,
    quota::Quota,
    requests::{Offered, Watched},
    rights::Lent,
    source::Source,
};
use crate::{
    inspect::{self, Card},
    limits::Limits,
    mlog::{Logs, Mlog},
    slab::Slab,
    stats::Tally,
    table::{SessionId, Shared},
    takeover::Keep,
    transport::Transport,
};

/// What a session needs to begin.
pub(crate) struct Setup {
    pub(crate) shared: Shared,
    pub(crate) limits: Arc<Limits>,
    pub(crate) access: Access,
    pub(crate) draft: Draft,
    pub(crate) kind: moqt::Transport,
    pub(crate) transport: Transport,
}

/// How a session ended.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) code: SessionCode,
    pub(crate) reason: String,
    /// Our side ended it.
    pub(crate) ours: bool,
}

struct Driver {
    id: SessionId,
    card: Arc<Card>,
    /// Most sessions have none.
    log: Option<Box<Mlog>>,
    shared: Shared,
    limits: Arc<Limits>,
    access: Access,
    signal: Arc<Signal>,
    wakers: Wakers,
    transport: Transport,
    machine: moqt::Session,
    began: Instant,
    timers: Timers,
    sleep: Pin<Box<tokio::time::Sleep>>,
    /// Set when the session is to end.
    farewell: Option<Farewell>,

    /// Everything that has a waker of its own.
    streams: Slab<Stream>,
    pipes: BTreeMap<StreamId, u32>,
    /// Bytes of control messages that wait to be written.
    control_waiting: usize,
    incoming_open: usize,
    bi_open: usize,
    /// Requests of ours for which the peer has no stream to give.
    bi_opening: usize,

    subscriptions: Slab<Box<Subscription>>,
    subscribed: BTreeMap<RequestId, u32>,
    sources: BTreeMap<RequestId, Source>,
    aliases: BTreeMap<TrackAlias, RequestId>,
    offered: BTreeMap<RequestId, Offered>,
    watched: BTreeMap<RequestId, Watched>,
    /// FETCHes of the peer, by their places among the streams.
    fetching: BTreeMap<RequestId, u32>,
    /// FETCHes that wait for the answer to the subscription that they join.
    joins: Vec<Joining>,
    /// FETCHes of ours.
    fills: BTreeMap<RequestId, Filling>,
    /// The peer has refused FETCH as such.
    no_fetch: bool,
    /// Requests that live by tokens of their own.
    lent: BTreeMap<RequestId, Lent>,
    early: Early,
    /// The peer is to be asked to leave when it is not one of those that are kept.
    retiring: Option<(Arc<Keep>, Duration)>,
    quota: Quota,
    quirks: Quirks,

    backlog: Backlog,
    /// What was sent and dropped since the host looked.
    tally: Tally,

    /// Reused so that a look allocates nothing.
    ready: Vec<u32>,
    datagrams: Vec<Bytes>,
}

/// What has a waker of its own.
enum Stream {
    /// A control or request stream.
    Pipe(Pipe),
    /// A stream of objects from the peer.
    Incoming(Incoming),
    /// A stream of objects to the peer: its place in the subscription.
    Outgoing { subscription: u32, serial: u64 },
    /// A stream of past objects to the peer.
    Fetch(Box<Serving>),
}

/// One waker for each kind of thing that can happen.
struct Wakers {
    uni: Waker,
    bi: Waker,
    datagram: Waker,
    closed: Waker,
    timer: Waker,
}

impl Driver {
    fn new(setup: Setup, signal: Arc<Signal>) -> Self {
        let Setup {
            shared,
            limits,
            access,
            draft,
            kind,
            transport,
        } = setup;
        let card = Arc::new(Card::new(transport.probe(), kind, draft));
        let id = shared.enter(signal.clone(), card.clone());
        shared
            .meters()
            .session_began(inspect::transport_name(kind), draft);
        let mut config = moqt::Config::new(draft, moqt::Role::Server, kind);
        config.implementation = Some(format!("moqrelay/{}", env!("CARGO_PKG_VERSION")));
        config.limits.setup_timeout = limits.setup_timeout;
        config.limits.message_bytes_max = limits.message_bytes;
        config.limits.buffered_bytes_max = limits.control_bytes;
        let requests = limits.subscriptions + limits.tracks + limits.namespaces + limits.fetches;
        config.limits.peer_requests_max = requests;
        config.limits.local_requests_max = requests;
        config.limits.filter_ranges_max = selection::FILTER_RANGES_MAX;
        let quota = Quota::new(&limits);
        let wakers = Wakers {
            uni: signal.waker(Note::Uni),
            bi: signal.waker(Note::Bi),
            datagram: signal.waker(Note::Datagram),
            closed: signal.waker(Note::Closed),
            timer: signal.waker(Note::Timer),
        };
        let mut driver = Self {
            id,
            card,
            log: None,
            shared,
            limits,
            access,
            signal,
            wakers,
            transport,
            machine: moqt::Session::new(config, Duration::ZERO),
            began: Instant::now(),
            timers: Timers::default(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            farewell: None,
            streams: Slab::new(),
            pipes: BTreeMap::new(),
            control_waiting: 0,
            incoming_open: 0,
            bi_open: 0,
            bi_opening: 0,
            subscriptions: Slab::new(),
            subscribed: BTreeMap::new(),
            sources: BTreeMap::new(),
            aliases: BTreeMap::new(),
            offered: BTreeMap::new(),
            watched: BTreeMap::new(),
            fetching: BTreeMap::new(),
            joins: Vec::new(),
            fills: BTreeMap::new(),
            no_fetch: false,
            lent: BTreeMap::new(),
            early: Early::default(),
            retiring: None,
            quota,
            quirks: Quirks::default(),
            backlog: Backlog::default(),
            tally: Tally::default(),
            ready: Vec::new(),
            datagrams: Vec::new(),
        };
        if driver.shared.logs().is_some_and(Logs::sampled) {
            driver.begin_log();
        }
        driver
    }

    /// Looks at what the notes say; ready when the session is over.
    fn poll(&mut self) -> Poll<Farewell> {
        let notes = self.signal.take();
        if notes.has(Note::Mail) {
            self.read_mail();
        }
        // Before new requests: what they repeat may have been cancelled in the same packet.
        if notes.has(Note::Streams) {
            self.poll_streams();
        }
        if notes.has(Note::Bi) {
            self.accept_bi();
        }
        if notes.has(Note::Uni) {
            self.accept_uni();
        }
        if notes.has(Note::Datagram) {
            self.read_datagrams();
        }
        if notes.has(Note::Timer) {
            self.poll_timers();
        }
        self.carry_out();
        self.join_waiting();
        // After everything else: what arrived before the end still counts.
        if notes.has(Note::Closed)
            && let Some(farewell) = self.poll_closed()
        {
            return Poll::Ready(farewell);
        }
        self.transport
            .allow_streams(self.bi_open, self.incoming_open, self.streams_max());
        self.update_card();
        self.rest()
    }

    /// Asks the peer to leave when it is time for it.
    fn retire(&mut self) {
        let Some((keep, timeout)) = &self.retiring else {
            return;
        };
        let named = |bearer| keep.bearers.contains(bearer);
        if self.is_busy_below(&keep.below) || self.access.bearer().is_some_and(named) {
            return;
        }
        let (timeout, now) = (*timeout, self.now());
        self.retiring = None;
        if let Err(error) = self.machine.goaway("", timeout, now) {
            tracing::debug!(%error, "cannot send GOAWAY");
        }
        self.carry_out();
    }

    fn is_busy_below(&self, keep: &Namespace) -> bool {
        let heard = self.subscriptions.slots().any(|slot| {
            let subscription = self.subscriptions.get(slot);
            subscription.is_some_and(|it| keep.is_prefix_of(it.track.name.namespace()))
        });
        heard || self.sources.values().any(|source| source.is_below(keep))
    }

    /// Goes back to sleep, or ends the session; ready when it is over.
    fn rest(&mut self) -> Poll<Farewell> {
        self.retire();
        if let Some(farewell) = self.farewell.take() {
            let code = u32::try_from(farewell.code.to_code(self.machine.draft())).unwrap_or(0);
            self.transport.close(code, &farewell.reason);
            return Poll::Ready(farewell);
        }
        self.show_backlog();
        self.arm_timer();
        Poll::Pending
    }

    /// Shows who looks from outside how things stand.
    fn update_card(&self) {
        let small = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let levels = &self.card.levels;
        levels
            .subscriptions
            .store(small(self.subscriptions.len()), Relaxed);
        levels.publishes.store(small(self.sources.len()), Relaxed);
        levels
            .control_waiting
            .store(self.control_waiting as u64, Relaxed);
    }

    /// Logs from now on what is said.
    fn begin_log(&mut self) {
        let Some(logs) = self.shared.logs().filter(|_| self.log.is_none()) else {
            return;
        };
        let (path, since) = (logs.path(self.id, self.card.since()), self.card.since());
        match logs.begin(&path, self.machine.draft(), since) {
            Ok(log) => {
                tracing::info!(path = %path.display(), "the session is logged");
                self.log = Some(Box::new(log));
            }
            Err(error) => tracing::warn!(%error, path = %path.display(), "cannot log a session"),
        }
    }

    fn streams_max(&self) -> u32 {
        u32::try_from(self.limits.streams).unwrap_or(u32::MAX)
    }

    fn poll_closed(&mut self) -> Option<Farewell> {
        let mut cx = Context::from_waker(&self.wakers.closed);
        match self.transport.poll_closed(&mut cx) {
            Poll::Ready(closed) => Some(control::farewell_of(self.machine.draft(), &closed)),
            Poll::Pending => None,
        }
    }

    /// Does what the state machine wants, until it wants nothing more.
    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Open(id, direction) => self.open_pipe(id, direction),
                Output::Write(id, bytes) => self.write_pipe(id, bytes),
                Output::Finish(id) => self.with_pipe(id, Pipe::finish),
                Output::Reset(id, code) => self.with_pipe(id, |pipe| pipe.reset(code)),
                Output::Stop(id, code) => self.with_pipe(id, |pipe| pipe.stop(code)),
                Output::Close(code, reason) => {
                    self.farewell.get_or_insert(Farewell {
                        code,
                        reason,
                        ours: true,
                    });
                }
                Output::Event(event) => self.handle_event(event),
            }
        }
    }

    /// Ends the session because of what the peer did.
    fn violation(&mut self, code: SessionCode, reason: &str) {
        tracing::debug!(?code, reason, "the peer broke the protocol");
        self.machine.close(code, reason);
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn poll_timers(&mut self) {
        let now = Instant::now();
        if self
            .machine
            .poll_timeout()
            .is_some_and(|at| self.began + at <= now)
        {
            let at = self.now();
            self.machine.handle_timeout(at);
        }
        while let Some(due) = self.timers.pop(now) {
            match due {
                Due::SessionExpires => self.session_expired(),
                Due::RequestExpires(request) => self.request_expired(request),
                Due::Rendezvous(slot) => self.rendezvous_over(slot),
                Due::Unanswered(request) => self.unanswered(request),
                Due::Early => self.early_over(now),
                Due::SourceDone(request) => self.source_overdue(request),
                Due::Stalled(slot) => self.check_stalled(slot, now),
                Due::Fill(request) => self.fill_overdue(request),
                Due::Ending(slot) => self.ending_overdue(slot),
                Due::Backlog => self.look_at_backlog(now),
            }
        }
        // The sleep has fired: it must be set again whatever time is next.
        self.timers.forget_armed();
    }

    fn arm_timer(&mut self) {
        let machine = self.machine.poll_timeout().map(|at| self.began + at);
        let next = [machine, self.timers.next()].into_iter().flatten().min();
        if let Some(at) = self.timers.rearm(next) {
            self.sleep.as_mut().reset(at.into());
            let mut cx = Context::from_waker(&self.wakers.timer);
            if self.sleep.as_mut().poll(&mut cx).is_ready() {
                self.signal.raise(Note::Timer);
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // From here on the table asks others; what it asked of us before is refused.
        self.shared.leave(self.id);
        self.peer_leaves();
        for letter in self.signal.take_mail() {
            match letter {
                Mail::Ask { source, .. } => self.refuse_ask(source, "the publisher is gone"),
                Mail::Fetch { fill } => fill.end(FillEnd::Failed),
                _no_answer_awaited => {}
            }
        }
        self.end_fills();
        for slot in std::mem::take(&mut self.fetching).into_values() {
            if let Some(Stream::Fetch(mut serving)) = self.streams.take(slot)
                && let Some((session, fill)) = serving.abandon()
            {
                self.shared.stop_past(session, fill);
            }
        }
        for (request, source) in std::mem::take(&mut self.sources) {
            self.lose_source(request, source);
        }
        for slot in self.subscriptions.slots() {
            if let Some(subscription) = self.subscriptions.release(slot) {
                self.shared
                    .unsubscribe(&subscription.track, subscription.key);
            }
        }
        self.tally.flush(self.shared.meters());
        self.card.count_end(self.shared.meters());
    }
}
