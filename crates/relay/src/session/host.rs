//! The sessions of one worker, run by one task.
//!
//! A track that gets objects wakes each worker once, however many of its sessions subscribe. The
//! host then takes the new entries out of the track's log once, and gives them to the sessions one
//! after another. A session that has several tracks to hear gets them all in one go, so that they
//! can share a packet.

use std::{
    any::Any,
    collections::VecDeque,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use futures_util::task::AtomicWaker;
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep_until},
};

use super::{Driver, Farewell, Setup, deliver::Batch, gather::Gather, signal::Signal};
use crate::{
    limits::Limits,
    load::{Inflow, Load, Overload},
    slab::Slab,
    stats::{Meters, Tally},
    track::{Outlet, ReaderKey},
};

/// One round of so many is timed: enough for a histogram, too few to be felt.
const LAG_EVERY: u32 = 16;

/// Sessions that are served before packets are read that have waited too long. What quinn reads at a time, about 50
/// packets, is more than they answer.
const AT_ONCE: usize = 32;

/// How the world reaches a host: lists of what there is to look at, and one waker.
pub(crate) struct Hub {
    inbox: Mutex<Inbox>,
    /// The host will look at the inbox without being woken.
    awake: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Inbox {
    newcomers: Vec<Newcomer>,
    /// Seats of sessions with notes.
    sessions: Vec<u32>,
    /// Tracks with new entries.
    outlets: Vec<Arc<Outlet>>,
}

/// A session that is to begin.
struct Newcomer {
    setup: Setup,
    ended_tx: oneshot::Sender<Ended>,
}

/// A session that has ended, and what waits until its connection is gone too.
type Ended = (Farewell, Pin<Box<dyn Future<Output = ()> + Send>>);

/// Runs sessions. A future that never completes; dropping it drops the sessions.
pub(crate) struct Host {
    hub: Arc<Hub>,
    seats: Slab<Box<Seat>>,
    meters: Arc<Meters>,
    load: Arc<Load>,
    inflow: Arc<Inflow>,
    overload: Overload,
    gather: Gather,
    /// For what is gathered; set once something was.
    clock: Option<Pin<Box<Sleep>>>,
    tally: Tally,
    rounds: u32,

    /// Reused so that a round allocates nothing.
    newcomers: Vec<Newcomer>,
    ready: Vec<u32>,
    outlets: Vec<Arc<Outlet>>,
    batches: Vec<Batch>,
    /// Sessions with something due that have not had their turn in this round.
    touched: VecDeque<u32>,
    /// When this round took what is new.
    taken: Instant,
}

struct Seat {
    driver: Driver,
    span: tracing::Span,
    /// Subscriptions that have something to send in this round.
    due: Vec<Delivery>,
    /// When it got something, from the time of its round.
    served: Instant,
    ended_tx: oneshot::Sender<Ended>,
}

/// A subscription has something to send.
pub(super) struct Delivery {
    pub(super) slot: u32,
    pub(super) key: ReaderKey,
    /// What it is, among the round's batches.
    pub(super) batch: usize,
}

impl Hub {
    /// Runs a session to its end; `None`: it failed, or the host is gone.
    pub(crate) async fn run(&self, setup: Setup) -> Option<Farewell> {
        let (ended_tx, ended) = oneshot::channel();
        self.inbox().newcomers.push(Newcomer { setup, ended_tx });
        self.wake();
        let (farewell, gone) = ended.await.ok()?;
        gone.await;
        Some(farewell)
    }

    /// A session has notes.
    pub(super) fn session_ready(&self, seat: u32) {
        self.inbox().sessions.push(seat);
        self.wake();
    }

    /// A track has new entries.
    pub(crate) fn outlet_ready(&self, outlet: Arc<Outlet>) {
        self.inbox().outlets.push(outlet);
        self.wake();
    }

    fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Host {
    pub(crate) fn new(
        meters: Arc<Meters>,
        load: Arc<Load>,
        inflow: Arc<Inflow>,
        limits: &Limits,
    ) -> Self {
        let hub = Hub {
            inbox: Mutex::default(),
            awake: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        };
        Self {
            hub: Arc::new(hub),
            seats: Slab::new(),
            meters,
            load,
            inflow,
            overload: Overload::new(limits.lag),
            gather: Gather::new(limits),
            clock: None,
            tally: Tally::default(),
            rounds: 0,
            newcomers: Vec::new(),
            ready: Vec::new(),
            outlets: Vec::new(),
            batches: Vec::new(),
            touched: VecDeque::new(),
            taken: Instant::now(),
        }
    }

    pub(crate) fn hub(&self) -> Arc<Hub> {
        self.hub.clone()
    }

    /// Looks at everything once.
    fn round(&mut self) {
        {
            let mut inbox = self.hub.inbox();
            mem::swap(&mut inbox.newcomers, &mut self.newcomers);
            mem::swap(&mut inbox.sessions, &mut self.ready);
        }
        let mut newcomers = mem::take(&mut self.newcomers);
        for newcomer in newcomers.drain(..) {
            self.seat(newcomer);
        }
        self.newcomers = newcomers;
        let mut ready = mem::take(&mut self.ready);
        for seat in ready.drain(..) {
            self.poll_session(seat);
        }
        self.ready = ready;
        // Last: what the sessions have just received goes out at once.
        self.fan_out();
        self.tally.flush(&self.meters);
    }

    fn seat(&mut self, newcomer: Newcomer) {
        let Newcomer { setup, ended_tx } = newcomer;
        let number = self.seats.reserve();
        let driver = Driver::new(setup, Signal::new(self.hub.clone(), number));
        let span = tracing::info_span!("moq_session", id = driver.id.0);
        let seat = Seat {
            driver,
            span,
            due: Vec::new(),
            // Long enough ago for what it gets first.
            served: self.taken,
            ended_tx,
        };
        self.seats.put(number, Box::new(seat));
        self.load.seated(self.seats.len());
        self.poll_session(number);
    }

    fn poll_session(&mut self, number: u32) {
        let Some(seat) = self.seats.get_mut(number) else {
            return; // A note from before the seat was used again.
        };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _entered = seat.span.enter();
            seat.driver.poll()
        }));
        self.tally.add(&mut seat.driver.tally);
        self.settle(number, polled);
    }

    /// Takes new entries to the sessions that subscribe. When the worker does not read what comes, it does so for some
    /// sessions only, and goes on in the next round.
    fn fan_out(&mut self) {
        if self.touched.is_empty() {
            self.collect();
        }
        let most = if self.inflow.is_late() {
            AT_ONCE
        } else {
            usize::MAX
        };
        for _ in 0..most {
            let Some(number) = self.touched.pop_front() else {
                break;
            };
            self.deliver(number);
        }
        if self.touched.is_empty() {
            self.note_lag();
            for batch in &mut self.batches {
                batch.clear();
            }
        }
    }

    /// Finds out what is new, and for whom.
    fn collect(&mut self) {
        mem::swap(&mut self.hub.inbox().outlets, &mut self.outlets);
        let now = Instant::now();
        self.gather.hold(&mut self.outlets, now);
        if self.outlets.is_empty() {
            return;
        }
        self.taken = now;
        let mut late = false;
        for (index, outlet) in self.outlets.iter().enumerate() {
            if self.batches.len() == index {
                self.batches.push(Batch::default());
            }
            let batch = &mut self.batches[index];
            late |= outlet.read(batch, now, &self.overload);
            outlet.for_each(|tap| {
                let Some(seat) = self.seats.get_mut(tap.seat) else {
                    return;
                };
                if seat.due.is_empty() {
                    self.touched.push_back(tap.seat);
                }
                seat.due.push(Delivery {
                    slot: tap.slot,
                    key: tap.key,
                    batch: index,
                });
            });
        }
        self.overload.note(late, now);
        let seats = &self.seats;
        self.gather.learn(&self.outlets, now, |seat| {
            let seat = seats.get(seat)?;
            Some((seat.due.len(), seat.served))
        });
        self.outlets.clear();
    }

    /// Sees to it that what is gathered goes out in time.
    fn set_clock(&mut self, cx: &mut Context<'_>) {
        let Some(until) = self.gather.until() else {
            return;
        };
        let until = until.into();
        let clock = self
            .clock
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if clock.deadline() != until {
            clock.as_mut().reset(until);
        }
        if clock.as_mut().poll(cx).is_ready() {
            self.hub.wake();
        }
    }

    /// Notes, now and then, how long the oldest object of a round took through the relay.
    fn note_lag(&mut self) {
        self.rounds = self.rounds.wrapping_add(1);
        if !self.rounds.is_multiple_of(LAG_EVERY) {
            return;
        }
        let entries = self.batches.iter().flat_map(|batch| &batch.entries);
        if let Some(oldest) = entries.map(|entry| entry.at).min() {
            self.meters.lagged(oldest.elapsed());
        }
    }

    fn deliver(&mut self, number: u32) {
        let Some(seat) = self.seats.get_mut(number) else {
            return;
        };
        seat.served = self.taken;
        let batches = &self.batches;
        let delivered = catch_unwind(AssertUnwindSafe(|| {
            // A span costs more than a delivery.
            let _entered = tracing::enabled!(tracing::Level::DEBUG).then(|| seat.span.enter());
            seat.driver.deliver_due(&mut seat.due, batches)
        }));
        self.tally.add(&mut seat.driver.tally);
        self.settle(number, delivered);
    }

    /// Ends a session that is over, or has failed: no other one hears of it.
    fn settle(&mut self, number: u32, polled: Result<Poll<Farewell>, Box<dyn Any + Send>>) {
        let farewell = match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(farewell)) => Some(farewell),
            Err(_panic) => None,
        };
        let Some(seat) = self.seats.release(number) else {
            return;
        };
        self.load.seated(self.seats.len());
        let Seat {
            driver,
            span,
            ended_tx,
            ..
        } = *seat;
        let Some(farewell) = farewell else {
            tracing::error!(parent: &span, "a session has failed");
            driver.transport.close(0, "internal error");
            // What it holds of the table must be given back, as far as that goes.
            drop(catch_unwind(AssertUnwindSafe(|| drop(driver))));
            return;
        };
        tracing::info!(
            parent: &span,
            code = ?farewell.code,
            reason = %farewell.reason,
            ours = farewell.ours,
            seconds = driver.began.elapsed().as_secs(),
            "session ended"
        );
        let gone = driver.transport.gone();
        drop(driver);
        // Nobody waits when the worker ends.
        drop(ended_tx.send((farewell, Box::pin(gone))));
    }
}

impl Future for Host {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.hub.waker.register(cx.waker());
        self.round();
        self.hub.awake.store(false, Ordering::Release);
        let more = {
            let inbox = self.hub.inbox();
            !(inbox.newcomers.is_empty() && inbox.sessions.is_empty() && inbox.outlets.is_empty())
        };
        if more || !self.touched.is_empty() {
            // Connections have their turn first.
            self.hub.wake();
        }
        self.set_clock(cx);
        Poll::Pending
    }
}
