//! Keeps ticks in time when there is more to code than the cores can: all legs' encoders work less hard, step by step.
//!
//! [`Governor`] decides, without a clock; [`Throttle`] carries its decision to the legs, who read one number with each
//! frame; [`BusyTime`] is what it looks at.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

/// How often the load is looked at: ten ticks, long enough to be an average, short enough to be early.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// The part of their time that the runtime's threads may be busy. Above it, the queue of tasks that are ready grows
/// fast: at nine tenths a task waits on average for nine others.
const BUSY_HIGH: f64 = 0.88;

/// So busy, there is no time for steps one by one.
const BUSY_ALARM: f64 = 0.95;

/// A step up makes a leg some 15 % dearer (from complexity 0 to 5 in four steps): from here that ends below
/// [`BUSY_HIGH`].
const BUSY_LOW: f64 = 0.7;

/// A tick that late is halfway to being missed.
const LATE: Duration = Duration::from_millis(8);

/// How long it must be calm before a step up, at first and at most: each step up that had to be taken back doubles it.
const CALM_MIN: Duration = Duration::from_secs(10);
const CALM_MAX: Duration = Duration::from_secs(320);

/// Where libopus changes what it does (its SILK part has one setting for 4 and 5, and one for 2 and 3).
const COMPLEXITIES: [u8; 6] = [7, 5, 3, 2, 1, 0];

/// What the load was since the last look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// The part of their time that threads were busy, 0 to 1.
    pub(crate) busy: f64,
    /// The latest tick of any leg.
    pub(crate) late: Duration,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Encoders work less hard from now on.
    Lower,
    /// They work harder again.
    Raise,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Governor {
    complexity: u8,
    step: usize,
    calm: Duration,
    calm_since: Option<Instant>,
    raised_at: Option<Instant>,
}

impl Governor {
    /// Starts without a restriction; `complexity` is what is configured.
    pub(crate) fn new(complexity: u8) -> Self {
        Self {
            complexity,
            step: 0,
            calm: CALM_MIN,
            calm_since: None,
            raised_at: None,
        }
    }

    /// Returns the complexity that encoders may have now.
    pub(crate) fn complexity(&self) -> u8 {
        match self.step.checked_sub(1) {
            None => self.complexity,
            Some(below) => self.below().nth(below).unwrap_or(0),
        }
    }

    /// Takes what was seen in the last [`INTERVAL`].
    pub(crate) fn handle(&mut self, load: Load, now: Instant) -> Option<Change> {
        let alarm = load.busy >= BUSY_ALARM || load.late >= LATE;
        if alarm || load.busy >= BUSY_HIGH {
            self.calm_since = None;
            return self.lower(if alarm { 2 } else { 1 }, now);
        }
        if load.busy > BUSY_LOW {
            self.calm_since = None;
            return None;
        }
        let since = *self.calm_since.get_or_insert(now);
        if self.step == 0 || now.duration_since(since) < self.calm {
            return None;
        }
        self.step -= 1;
        self.calm_since = None;
        self.raised_at = Some(now);
        Some(Change::Raise)
    }

    fn lower(&mut self, steps: usize, now: Instant) -> Option<Change> {
        let lowest = self.below().count();
        if self.step >= lowest {
            return None;
        }
        self.step = (self.step + steps).min(lowest);
        let soon = |at| now.duration_since(at) < 2 * self.calm;
        self.calm = if self.raised_at.take().is_some_and(soon) {
            (2 * self.calm).min(CALM_MAX)
        } else {
            self.calm
        };
        Some(Change::Lower)
    }

    fn below(&self) -> impl Iterator<Item = u8> + use<> {
        let complexity = self.complexity;
        COMPLEXITIES
            .into_iter()
            .filter(move |step| *step < complexity)
    }
}

/// What legs read of the governor, and what they tell it.
#[derive(Debug, Clone)]
pub(crate) struct Throttle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    complexity: AtomicU8,
    late_us: AtomicU64,
}

impl Throttle {
    pub(crate) fn new(complexity: u8) -> Self {
        Self(Arc::new(Shared {
            complexity: AtomicU8::new(complexity),
            late_us: AtomicU64::new(0),
        }))
    }

    /// Returns the complexity that encoders may have now.
    pub(crate) fn complexity(&self) -> u8 {
        self.0.complexity.load(Relaxed)
    }

    /// Tells how late a tick was.
    pub(crate) fn ticked(&self, late: Duration) {
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        // Nearly all ticks are less late than the latest one: no write to what all legs read.
        if late > self.0.late_us.load(Relaxed) {
            self.0.late_us.fetch_max(late, Relaxed);
        }
    }

    pub(crate) fn allow(&self, complexity: u8) {
        self.0.complexity.store(complexity, Relaxed);
    }

    /// Returns the latest tick since the last call.
    pub(crate) fn take_late(&self) -> Duration {
        Duration::from_micros(self.0.late_us.swap(0, Relaxed))
    }
}

/// How busy the threads of this runtime are. Time in which a thread was ready and another program had the core counts
/// as busy, which is what matters to a tick.
#[derive(Debug)]
pub(crate) struct BusyTime {
    runtime: Handle,
    before: Duration,
    at: Instant,
}

impl BusyTime {
    /// Begins to look, within a runtime.
    pub(crate) fn start() -> Self {
        let runtime = Handle::current();
        Self {
            before: total(&runtime),
            at: Instant::now(),
            runtime,
        }
    }

    /// Returns the busy part of the time since the last call, 0 to 1.
    pub(crate) fn take(&mut self, now: Instant) -> f64 {
        let total = total(&self.runtime);
        let busy = total.saturating_sub(self.before).as_secs_f64();
        let passed = now.duration_since(self.at).as_secs_f64();
        let threads = self.runtime.metrics().num_workers().max(1) as f64;
        self.before = total;
        self.at = now;
        if passed <= 0.0 {
            return 0.0;
        }
        (busy / (passed * threads)).min(1.0)
    }
}

fn total(runtime: &Handle) -> Duration {
    let metrics = runtime.metrics();
    (0..metrics.num_workers())
        .map(|worker| metrics.worker_total_busy_duration(worker))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EASY: Load = Load {
        busy: 0.3,
        late: Duration::ZERO,
    };
    const HARD: Load = Load {
        busy: 0.9,
        late: Duration::from_millis(2),
    };

    #[test]
    fn nothing_changes_while_there_is_time() {
        let (mut governor, start) = (Governor::new(5), Instant::now());

        for look in 0..1_000 {
            let busy = f64::from(look % 85) / 100.0;
            assert_eq!(
                governor.handle(Load { busy, ..EASY }, start + INTERVAL * look),
                None
            );
        }

        assert_eq!(governor.complexity(), 5);
    }

    #[test]
    fn it_goes_down_step_by_step_and_not_below_zero() {
        let (mut governor, start) = (Governor::new(5), Instant::now());

        let steps: Vec<_> = (0..6)
            .map(|look| {
                governor.handle(HARD, start + INTERVAL * look);
                governor.complexity()
            })
            .collect();

        assert_eq!(steps, [3, 2, 1, 0, 0, 0]);
        assert_eq!(governor.handle(HARD, start + INTERVAL * 6), None);
    }

    #[test]
    fn a_tick_that_is_nearly_missed_is_two_steps() {
        let mut governor = Governor::new(10);
        let late = Load {
            late: Duration::from_millis(9),
            ..EASY
        };

        assert_eq!(governor.handle(late, Instant::now()), Some(Change::Lower));

        assert_eq!(governor.complexity(), 5);
    }

    #[test]
    fn it_comes_back_one_step_after_ten_calm_seconds() {
        let (mut governor, start) = (Governor::new(5), Instant::now());
        governor.handle(HARD, start);
        governor.handle(HARD, start);

        let raised: Vec<_> = (0..105)
            .filter(|look| governor.handle(EASY, start + INTERVAL * *look) == Some(Change::Raise))
            .collect();

        assert_eq!(raised, [50, 101]);
        assert_eq!(governor.complexity(), 5);
    }

    #[test]
    fn a_step_that_was_taken_back_is_tried_later_each_time() {
        let mut governor = Governor::new(5);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        governor.handle(HARD, now);
        for _ in 0..4 {
            let began = now;
            while governor.handle(EASY, now).is_none() {
                now += INTERVAL;
            }
            waits.push((now - began).as_secs());
            now += INTERVAL;
            governor.handle(HARD, now);
        }

        assert_eq!(waits, [10, 20, 40, 80]);
    }

    #[test]
    fn complexity_zero_cannot_be_lowered() {
        let mut governor = Governor::new(0);

        assert_eq!(governor.handle(HARD, Instant::now()), None);
        assert_eq!(governor.complexity(), 0);
    }

    #[tokio::test]
    async fn busy_time_is_a_part_of_the_time() {
        let mut busy = BusyTime::start();

        tokio::task::yield_now().await;
        let part = busy.take(Instant::now() + INTERVAL);

        assert!((0.0..=1.0).contains(&part), "{part}");
        assert_eq!(busy.take(Instant::now() - INTERVAL), 0.0);
    }
}
