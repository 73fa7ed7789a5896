//! Keeps ticks in time when there is more to code than the cores can: all legs' encoders work less hard, step by step.
//!
//! [`Governor`] decides, without a clock; [`Throttle`] carries its decision to the legs, who read one number with each
//! frame; [`BusyTime`] is what it looks at.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use moqrelay_audio::FRAME_DURATION;
use tokio::runtime::Handle;

/// How often the load is looked at: ten ticks, long enough to be an average, short enough to be early.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// The part of their time that the runtime's threads may be busy. Above it, the queue of tasks that are ready grows
/// fast: at nine tenths a task waits on average for nine others.
const BUSY_HIGH: f64 = 0.88;

/// So busy, there is no time for steps one by one.
const BUSY_ALARM: f64 = 0.95;

/// What threads may be busy after a step up, by what is known of the steps' costs.
const BUSY_AIM: f64 = 0.85;

/// A tick that late is halfway to being missed.
const LATE: Duration = Duration::from_millis(8);

/// The weight of one look in the average: it follows within a second.
const WEIGHT: f64 = 0.2;

/// Looks in a row with late ticks that are no hiccup of the machine.
const LATE_LOOKS: u32 = 2;

/// Looks in a row that are more than legs beginning, or encoders that are made anew after a step: what that takes is
/// made up for within a second.
const UNSETTLED_LOOKS: u32 = 5;

/// How long after it that holds.
const SETTLED: Duration = Duration::from_secs(1);

/// A step up that is taken back within this was wrong.
const SOON: Duration = Duration::from_secs(10);

/// How long it must be calm before a step up, at first and at most: each step up that had to be taken back doubles it.
const CALM_MIN: Duration = Duration::from_secs(3);
const CALM_MAX: Duration = Duration::from_secs(320);

/// How encoders can work, and what 20 ms of a leg cost then in microseconds (16 kHz, 24 kbit/s; docs/adr/0020). Where
/// the load is measured, only their ratios count; for legs that begin they are all that is known. These are the complexities at which libopus does something else; in narrow band it codes half
/// of the band.
const STEPS: [(Effort, f64); 6] = [
    (Effort::wide(10), 195.0),
    (Effort::wide(7), 147.0),
    (Effort::wide(5), 132.0),
    (Effort::wide(3), 105.0),
    (Effort::wide(1), 75.0),
    (Effort::NARROW, 58.0),
];

/// How hard encoders may work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// libopus's complexity.
    pub(crate) complexity: u8,
    /// Whether speech is coded as on a telephone of old, up to 4 kHz.
    pub(crate) narrow: bool,
}

impl Effort {
    /// The least there is.
    const NARROW: Self = Self {
        complexity: 0,
        narrow: true,
    };

    /// All of the band.
    pub(crate) const fn wide(complexity: u8) -> Self {
        Self {
            complexity,
            narrow: false,
        }
    }
}

/// What the load was since the last look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// The part of their time that threads were busy, 0 to 1.
    pub(crate) busy: f64,
    /// The latest tick of any leg.
    pub(crate) late: Duration,
    /// Whether legs have begun.
    pub(crate) beginning: bool,
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
    /// From what is configured downwards.
    steps: Vec<(Effort, f64)>,
    step: usize,
    /// How busy it is, averaged over a second; as it should be, after a step.
    busy: f64,
    /// Looks in a row that were strained.
    strained: u32,
    calm: Duration,
    calm_since: Option<Instant>,
    raised_at: Option<Instant>,
    /// When legs began last, or a step was taken.
    unsettled_at: Option<Instant>,
}

impl Governor {
    /// Starts without a restriction; `complexity` is what is configured.
    pub(crate) fn new(complexity: u8) -> Self {
        let below = STEPS
            .into_iter()
            .filter(|(effort, _)| effort.complexity < complexity || effort.narrow);
        Self {
            steps: std::iter::once((Effort::wide(complexity), cost(complexity)))
                .chain(below)
                .collect(),
            step: 0,
            busy: 0.0,
            strained: 0,
            calm: CALM_MIN,
            calm_since: None,
            raised_at: None,
            unsettled_at: None,
        }
    }

    /// Returns how hard encoders may work now.
    pub(crate) fn effort(&self) -> Effort {
        self.steps[self.step].0
    }

    /// Takes that a leg begins, the `coders`th that codes, on so many threads. What it costs is known, so that legs that
    /// begin together need not be late first.
    pub(crate) fn begin(&mut self, coders: usize, threads: usize, now: Instant) -> Option<Change> {
        let available = FRAME_DURATION.as_micros() as f64 * threads.max(1) as f64;
        let fits = |cost: f64| coders as f64 * cost <= available * BUSY_AIM;
        let lowest = self.steps.len() - 1;
        let fitting = (self.step..lowest).find(|step| fits(self.steps[*step].1));
        let step = fitting.unwrap_or(lowest);
        if step == self.step {
            return None;
        }
        self.step = step;
        self.strained = 0;
        self.calm_since = None;
        self.unsettled_at = Some(now);
        Some(Change::Lower)
    }

    /// Takes what was seen in the last [`INTERVAL`].
    pub(crate) fn handle(&mut self, load: Load, now: Instant) -> Option<Change> {
        self.busy += (load.busy - self.busy) * WEIGHT;
        let alarm = load.busy >= BUSY_ALARM;
        let late = load.late >= LATE;
        if load.beginning {
            self.unsettled_at = Some(now);
        }
        if alarm || late || self.busy >= BUSY_HIGH {
            self.calm_since = None;
            self.strained += 1;
            let soon = |at| now.duration_since(at) < SETTLED;
            let patience = match (self.unsettled_at.is_some_and(soon), alarm) {
                (true, _) => UNSETTLED_LOOKS,
                (false, true) => 1,
                (false, false) => LATE_LOOKS,
            };
            if self.strained < patience {
                return None;
            }
            return self.lower(if alarm || late { 2 } else { 1 }, now);
        }
        self.strained = 0;
        let highest = self.affordable();
        if highest == self.step {
            self.calm_since = None;
            return None;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now.duration_since(since) < self.calm {
            return None;
        }
        self.go_to(highest, now);
        self.raised_at = Some(now);
        Some(Change::Raise)
    }

    fn lower(&mut self, steps: usize, now: Instant) -> Option<Change> {
        let lowest = self.steps.len() - 1;
        if self.step >= lowest {
            return None;
        }
        self.go_to((self.step + steps).min(lowest), now);
        let soon = |at| now.duration_since(at) < 2 * self.calm.max(SOON);
        if self.raised_at.take().is_some_and(soon) {
            self.calm = (2 * self.calm).min(CALM_MAX);
        }
        Some(Change::Lower)
    }

    /// Returns the highest step that leaves time enough.
    fn affordable(&self) -> usize {
        (0..self.step)
            .find(|step| self.busy_at(*step) <= BUSY_AIM)
            .unwrap_or(self.step)
    }

    /// Returns how busy it would be. All of the work is taken for legs': what else there is makes the step smaller.
    fn busy_at(&self, step: usize) -> f64 {
        self.busy * self.steps[step].1 / self.steps[self.step].1
    }

    fn go_to(&mut self, step: usize, now: Instant) {
        self.busy = self.busy_at(step);
        self.step = step;
        self.strained = 0;
        self.calm_since = None;
        self.unsettled_at = Some(now);
    }
}

/// What a leg costs at a complexity that may be none of the steps.
fn cost(complexity: u8) -> f64 {
    let at = |(effort, _): &&(Effort, f64)| effort.complexity <= complexity;
    STEPS.iter().find(at).map_or(1.0, |(_, cost)| *cost)
}

/// What legs read of the governor, and what they tell it.
#[derive(Debug, Clone)]
pub(crate) struct Throttle(Arc<Shared>);

/// Above every complexity.
const NARROW: u8 = 0x80;

#[derive(Debug)]
struct Shared {
    /// The complexity, and [`NARROW`].
    effort: AtomicU8,
    late_us: AtomicU64,
    coders: AtomicUsize,
}

/// A leg that codes, as long as it lives.
#[derive(Debug)]
pub(crate) struct CoderSeat(Arc<Shared>);

impl Drop for CoderSeat {
    fn drop(&mut self) {
        self.0.coders.fetch_sub(1, Relaxed);
    }
}

impl Throttle {
    pub(crate) fn new(complexity: u8) -> Self {
        Self(Arc::new(Shared {
            effort: AtomicU8::new(complexity),
            late_us: AtomicU64::new(0),
            coders: AtomicUsize::new(0),
        }))
    }

    /// Counts a leg that codes; returns how many there are with it, too.
    pub(crate) fn enter(&self) -> (CoderSeat, usize) {
        let before = self.0.coders.fetch_add(1, Relaxed);
        (CoderSeat(self.0.clone()), before + 1)
    }

    /// Returns how hard encoders may work now.
    pub(crate) fn effort(&self) -> Effort {
        let effort = self.0.effort.load(Relaxed);
        Effort {
            complexity: effort & !NARROW,
            narrow: effort & NARROW != 0,
        }
    }

    /// Tells how late a tick was.
    pub(crate) fn ticked(&self, late: Duration) {
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        // Nearly all ticks are less late than the latest one: no write to what all legs read.
        if late > self.0.late_us.load(Relaxed) {
            self.0.late_us.fetch_max(late, Relaxed);
        }
    }

    pub(crate) fn allow(&self, effort: Effort) {
        let narrow = if effort.narrow { NARROW } else { 0 };
        self.0.effort.store(effort.complexity | narrow, Relaxed);
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
        beginning: false,
    };
    const HARD: Load = Load {
        busy: 0.9,
        late: Duration::from_millis(2),
        beginning: false,
    };
    const FULL: Load = Load { busy: 1.0, ..HARD };

    #[test]
    fn nothing_changes_while_there_is_time() {
        let mut look = looks(5);

        for n in 0..1_000 {
            let busy = f64::from(n % 85) / 100.0;
            assert_eq!(look(Load { busy, ..EASY }).0, None);
        }
    }

    #[test]
    fn it_goes_down_before_the_time_is_used_up() {
        let mut look = looks(5);

        let efforts: Vec<_> = (0..300).map(|_| look(HARD).1).collect();

        // What a step saves is believed until the average says otherwise.
        let mut steps = efforts.clone();
        steps.dedup();
        assert_eq!(
            steps,
            [5, 3, 1]
                .map(Effort::wide)
                .into_iter()
                .chain([Effort::NARROW])
                .collect::<Vec<_>>()
        );
        assert!(
            efforts
                .iter()
                .take_while(|effort| **effort == Effort::wide(5))
                .count()
                < 30
        );
    }

    #[test]
    fn without_any_time_left_it_goes_two_steps_at_once() {
        let mut look = looks(5);

        let changes: Vec<_> = (0..20).map(|_| look(FULL)).collect();

        assert_eq!(changes[0], (Some(Change::Lower), Effort::wide(1)));
        // What a step brings is waited for.
        assert_eq!(changes[4], (None, Effort::wide(1)));
        assert_eq!(changes[5], (Some(Change::Lower), Effort::NARROW));
        assert!(
            changes[6..]
                .iter()
                .all(|change| *change == (None, Effort::NARROW))
        );
    }

    #[test]
    fn a_tick_that_is_nearly_missed_counts_when_there_is_another() {
        let mut look = looks(10);
        let late = Load {
            late: Duration::from_millis(9),
            ..EASY
        };

        let hiccup = [look(late).0, look(EASY).0, look(late).0];
        let lasting = look(late);

        assert_eq!(hiccup, [None; 3]);
        assert_eq!(lasting, (Some(Change::Lower), Effort::wide(5)));
    }

    #[test]
    fn legs_that_begin_together_are_no_load_that_lasts() {
        let mut look = looks(5);
        let late = Load {
            late: Duration::from_millis(40),
            ..FULL
        };
        let beginning = Load {
            beginning: true,
            ..late
        };

        let burst = [beginning, late, late, late].map(|load| look(load).0);
        let after: Vec<_> = (0..50)
            .map(|_| look(Load { busy: 0.8, ..EASY }).0)
            .collect();
        let lasting = [beginning, beginning, late, late, late].map(|load| look(load).0);

        assert!(burst.iter().chain(&after).all(Option::is_none));
        assert_eq!(lasting, [None, None, None, None, Some(Change::Lower)]);
    }

    #[test]
    fn it_comes_back_as_far_as_there_is_time_after_three_calm_seconds() {
        let mut look = looks(5);
        for _ in 0..6 {
            look(FULL);
        }

        let raised: Vec<_> = (0..100)
            .filter_map(|n| {
                Some((n, look(EASY)).1)
                    .filter(|(change, _)| change.is_some())
                    .map(|(_, effort)| (n, effort))
            })
            .collect();

        // The average needs a moment to see that it is calm.
        let [(when, effort)] = raised[..] else {
            panic!("{raised:?}");
        };
        assert_eq!(effort, Effort::wide(5));
        assert!((15..=25).contains(&when), "{when}");
    }

    #[test]
    fn it_does_not_go_where_there_is_no_time() {
        let mut look = looks(5);
        look(FULL);
        // Complexity 3 takes 0.84, complexity 5 more than there is.
        let mut busy = 0.6;

        let efforts: Vec<_> = (0..200)
            .map(|_| {
                let effort = look(Load { busy, ..EASY }).1;
                busy = if effort == Effort::wide(1) { 0.6 } else { 0.84 };
                effort
            })
            .collect();

        assert_eq!(efforts[199], Effort::wide(3));
        assert!(!efforts.contains(&Effort::wide(5)));
    }

    #[test]
    fn a_step_that_was_taken_back_is_tried_later_each_time() {
        let mut governor = Governor::new(5);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        governor.handle(FULL, now);
        for _ in 0..4 {
            let began = now;
            while governor.handle(EASY, now).is_none() {
                now += INTERVAL;
            }
            waits.push((now - began).as_secs());
            while governor.handle(FULL, now) != Some(Change::Lower) {
                now += INTERVAL;
            }
        }

        assert!(
            waits.windows(2).all(|pair| pair[1] >= 2 * pair[0] - 1),
            "{waits:?}"
        );
    }

    #[test]
    fn from_complexity_zero_there_is_only_narrow_band() {
        let mut look = looks(0);

        assert_eq!(look(FULL), (Some(Change::Lower), Effort::NARROW));
        assert!((0..20).all(|_| look(FULL).0.is_none()));
    }

    #[test]
    fn legs_that_begin_together_are_coded_as_there_is_time_from_the_first_frame() {
        let mut governor = Governor::new(5);
        let now = Instant::now();

        let efforts: Vec<_> = (1..=250)
            .map(|coders| {
                governor.begin(coders, 1, now);
                governor.effort()
            })
            .collect();

        assert_eq!(efforts[127], Effort::wide(5));
        assert_eq!(efforts[149], Effort::wide(3));
        assert_eq!(efforts[199], Effort::wide(1));
        assert_eq!(efforts[249], Effort::NARROW);
        let mut two_threads = Governor::new(5);
        assert_eq!(two_threads.begin(250, 2, now), None);
    }

    #[test]
    fn a_leg_that_ends_gives_its_seat_back() {
        let throttle = Throttle::new(5);
        let (first, _) = throttle.enter();

        let (_second, both) = throttle.enter();
        drop(first);
        let (_third, again) = throttle.enter();

        assert_eq!((both, again), (2, 2));
    }

    #[test]
    fn legs_are_told_all_of_it() {
        let throttle = Throttle::new(7);
        let before = throttle.effort();

        throttle.allow(Effort::NARROW);

        assert_eq!(
            (before, throttle.effort()),
            (Effort::wide(7), Effort::NARROW)
        );
    }

    /// Gives a governor one look after the other.
    fn looks(complexity: u8) -> impl FnMut(Load) -> (Option<Change>, Effort) {
        let mut governor = Governor::new(complexity);
        let mut now = Instant::now();
        move |load| {
            now += INTERVAL;
            (governor.handle(load, now), governor.effort())
        }
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
