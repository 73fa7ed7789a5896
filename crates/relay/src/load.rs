//! How busy each worker is: which part of the last second it had something to do, and for how many sessions.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use metrics::Gauge;
use tokio::runtime::{Handle, RuntimeMetrics};

/// How busy one worker is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct WorkerView {
    /// Its number.
    pub worker: u8,
    /// Its sessions.
    pub sessions: usize,
    /// The part of the last second in which it had something to do, 0 to 1; always 0 for a worker without a thread of
    /// its own ([`Worker::run_here`](crate::Worker::run_here)). Near 1 it is late, and then drops what is old.
    pub busy: f32,
}

/// What a worker says of itself; whoever looks reads.
#[derive(Debug, Default)]
pub(crate) struct Load {
    sessions: AtomicUsize,
    /// As the bits of an f32.
    busy: AtomicU32,
}

impl Load {
    /// There are so many sessions.
    pub(crate) fn seated(&self, sessions: usize) {
        self.sessions.store(sessions, Relaxed);
    }

    pub(crate) fn view(&self, worker: u8) -> WorkerView {
        WorkerView {
            worker,
            sessions: self.sessions.load(Relaxed),
            busy: f32::from_bits(self.busy.load(Relaxed)),
        }
    }
}

/// How long packets may wait before whoever sends must let others read: a frame of voice.
const UNREAD_MAX: Duration = Duration::from_millis(20);

/// Whether a worker reads its socket as fast as packets come.
///
/// quinn reads for 50 µs, then everything else that is ready has its turn. When that is a thousand connections, what
/// has come waits in the kernel, unseen, and is the oldest when it is read at last.
#[derive(Debug)]
pub(crate) struct Inflow {
    began: Instant,
    /// Since when there was more to be read each time, in microseconds from the beginning; 0: all was read.
    since: AtomicU64,
}

impl Inflow {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            since: AtomicU64::new(0),
        }
    }

    /// There was something to read.
    pub(crate) fn read(&self) {
        if self.since.load(Relaxed) == 0 {
            self.since.store(self.now().max(1), Relaxed);
        }
    }

    /// There was nothing more to read.
    pub(crate) fn drained(&self) {
        self.since.store(0, Relaxed);
    }

    /// Returns whether packets wait too long.
    pub(crate) fn is_late(&self) -> bool {
        let since = self.since.load(Relaxed);
        since > 0 && self.now().saturating_sub(since) > UNREAD_MAX.as_micros() as u64
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Whether a worker has more to do than it can.
///
/// Then it leaves out what is old, for all sessions alike, instead of bringing everything to everyone too late.
#[derive(Debug)]
pub(crate) struct Overload {
    /// How old what a round takes of a track may be ([`Limits::lag`](crate::Limits::lag)).
    lag: Duration,
    /// Since when each round was late.
    late_since: Option<Instant>,
    /// When the last late round was, once something is left out.
    sheds: Option<Instant>,
}

impl Overload {
    pub(crate) fn new(lag: Duration) -> Self {
        Self {
            lag,
            late_since: None,
            sheds: None,
        }
    }

    /// Returns which entries are left out: those from before that time. Half of what is late: else the next round would
    /// be late again.
    pub(crate) fn leave_out(&self, now: Instant) -> Option<Instant> {
        self.sheds?;
        now.checked_sub(self.lag / 2)
    }

    /// Returns whether an entry is so old that those up to [`leave_out`](Self::leave_out) go with it.
    pub(crate) fn is_late(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) > self.lag
    }

    /// Notes a round.
    pub(crate) fn note(&mut self, late: bool, now: Instant) {
        if let Some(last) = self.sheds {
            if late {
                self.sheds = Some(now);
            } else if now.saturating_duration_since(last) > self.lag * CALM {
                tracing::info!("the worker keeps up again: nothing is left out");
                *self = Self::new(self.lag);
            }
            return;
        }
        if !late {
            self.late_since = None;
            return;
        }
        let since = *self.late_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.lag * 5 / 2 {
            tracing::warn!("a worker has too much to do: it leaves out what is old");
            self.sheds = Some(now);
        }
    }
}

/// For so many times the lag no round must have been late until nothing is left out any more.
const CALM: u32 = 10;

/// Looks at a worker once a second, on its thread.
pub(crate) struct Watch {
    /// `None`: others share the runtime.
    runtime: Option<RuntimeMetrics>,
    looked: Instant,
    busy: Duration,
    busy_gauge: Gauge,
    sessions_gauge: Gauge,
}

impl Watch {
    /// For the worker that runs in the runtime of the caller.
    pub(crate) fn new(worker: u8, alone: bool) -> Self {
        let worker = worker.to_string();
        let runtime = alone.then(|| Handle::current().metrics());
        Self {
            busy: busy(runtime.as_ref()),
            runtime,
            looked: Instant::now(),
            busy_gauge: metrics::gauge!("moqrelay_relay_worker_busy_ratio", "worker" => worker.clone()),
            sessions_gauge: metrics::gauge!("moqrelay_relay_worker_sessions", "worker" => worker),
        }
    }

    /// Notes how busy the worker was since the last look.
    pub(crate) fn look(&mut self, load: &Load) {
        let (busy, now) = (busy(self.runtime.as_ref()), Instant::now());
        let (worked, passed) = (busy.saturating_sub(self.busy), now - self.looked);
        (self.busy, self.looked) = (busy, now);
        // A round that began before the last look counts when it is over.
        let ratio = (worked.as_secs_f32() / passed.as_secs_f32().max(f32::EPSILON)).min(1.0);
        load.busy.store(ratio.to_bits(), Relaxed);
        self.busy_gauge.set(ratio);
        #[allow(clippy::cast_precision_loss, reason = "never that many")]
        self.sessions_gauge.set(load.sessions.load(Relaxed) as f64);
    }
}

/// The time that the runtime's one thread has worked.
fn busy(runtime: Option<&RuntimeMetrics>) -> Duration {
    runtime.map_or(Duration::ZERO, |runtime| {
        runtime.worker_total_busy_duration(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_at_work_is_seen_to_be_busy() {
        let load = Load::default();
        let mut watch = Watch::new(3, true);
        load.seated(7);

        // What it does now counts as soon as the runtime has looked at its clock.
        let began = Instant::now();
        while load.view(3).busy == 0.0 && began.elapsed() < Duration::from_secs(10) {
            tokio::task::yield_now().await;
            watch.look(&load);
        }

        let view = load.view(3);
        assert_eq!((view.worker, view.sessions), (3, 7));
        assert!(view.busy > 0.0 && view.busy <= 1.0, "{}", view.busy);
    }

    #[test]
    fn a_stop_is_no_overload_but_being_late_for_long_is() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut overload = Overload::new(Duration::from_millis(200));
        for round in [0, 400] {
            overload.note(true, at(round));
        }
        overload.note(false, at(450));
        overload.note(true, at(600));
        assert_eq!(overload.leave_out(at(600)), None);

        for round in [800, 1000, 1100] {
            overload.note(true, at(round));
        }

        assert_eq!(overload.leave_out(at(1100)), Some(at(1000)));
        overload.note(false, at(2000));
        assert!(overload.leave_out(at(2000)).is_some(), "it may be so again");
        overload.note(false, at(3200));
        assert_eq!(overload.leave_out(at(3200)), None);
    }

    #[test]
    fn packets_that_are_never_all_read_are_late() {
        let mut inflow = Inflow::new();
        inflow.read();
        assert!(!inflow.is_late());
        inflow.began -= UNREAD_MAX * 2;
        assert!(inflow.is_late());

        inflow.drained();
        assert!(!inflow.is_late());
    }

    #[tokio::test]
    async fn a_worker_among_others_does_not_guess() {
        let load = Load::default();

        Watch::new(0, false).look(&load);

        assert_eq!(load.view(0).busy, 0.0);
    }
}
