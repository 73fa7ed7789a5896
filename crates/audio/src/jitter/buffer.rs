//! The state of a buffer; what arrives is in `arrive`, what is played in `play`.

mod arrive;
mod play;

use core::time::Duration;
use std::collections::VecDeque;

use self::arrive::{Recent, Strays};
use super::pace::{Pacer, band};
use super::spread::Spread;
use super::target::Target;
use super::{Config, Stats};
use crate::ticks;

/// Holds what arrived and has not been played.
///
/// Call [`push`](Self::push) for each arrival, in any order, and [`pop`](Self::pop) whenever the
/// player needs sound; with items of 20 ms and a player that ticks every 20 ms that is once per
/// tick. `now` of both must come from one clock; steps backward are harmless.
///
/// The delay is measured from the arrival of the fastest item of the last 10 s. It is gained at once
/// by playing what is late nevertheless (the gap before it was concealed), and by [`Pace`]; it is
/// shed by [`Pace`] and in silence that was not sent.
///
/// [`Pace`]: super::Pace
#[derive(Debug)]
pub struct Buffer<T> {
    config: Limits,
    queue: VecDeque<Slot<T>>,
    /// The timestamp that media time counts from.
    anchor: Option<u64>,
    /// The end of what was played or given up, in media time.
    next: i64,
    phase: Phase,
    /// Media time in which the publisher is silent, as it said itself.
    silence: Option<Silence>,
    /// How long items are.
    nominal: i64,
    spread: Spread,
    target: Target,
    pacer: Pacer,
    recent: Recent,
    strays: Strays,
    /// The part of items that are lost, in 1/65536, over the last hundreds.
    loss: u32,
    /// What is lost and does not make a whole item yet.
    missing: i64,
    delay: i64,
    stats: Stats,
}

#[derive(Debug)]
struct Slot<T> {
    media: i64,
    duration: i64,
    item: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Silence, until something is here and its time has come.
    Waiting,
    Playing {
        /// Concealed since the queue ran dry: if what was expected comes after all, this is delay
        /// gained; if it was lost, this has filled its place.
        owed: i64,
        /// Concealed since the last item.
        concealed: i64,
    },
}

/// From where nothing is sent, and where that ends: at the next item.
#[derive(Clone, Copy, Debug)]
struct Silence {
    from: i64,
    until: i64,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    delay_max: i64,
    step: i64,
    recover: bool,
}

/// What is held beyond the largest delay: nothing plays while the player is suspended, and what it
/// finds afterwards should not be older than this.
const SPAN_SLACK: i64 = 9_600;

/// The largest delay that can be asked for: beyond it nobody converses.
const DELAY_LIMIT: Duration = Duration::from_secs(10);

impl<T> Buffer<T> {
    /// Makes an empty buffer. Limits are put in order: `delay_min <= delay_start <= delay_max`, none
    /// above 10 s; `step` is 1 to 100 ms.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let max = ticks::of(config.delay_max.min(DELAY_LIMIT));
        let min = ticks::of(config.delay_min).min(max);
        let start = ticks::of(config.delay_start).clamp(min, max);
        let config = Limits {
            delay_max: max,
            step: ticks::of(config.step).clamp(48, 4_800),
            recover: config.recover,
        };
        Self {
            config,
            queue: VecDeque::new(),
            anchor: None,
            next: i64::MIN / 4,
            phase: Phase::Waiting,
            silence: None,
            nominal: 960,
            spread: Spread::default(),
            target: Target::new(min, start, max, band(config.step)),
            pacer: Pacer::default(),
            recent: Recent::default(),
            strays: Strays::default(),
            loss: 0,
            missing: 0,
            delay: 0,
            stats: Stats::default(),
        }
    }

    /// Forgets everything but the statistics: the track was changed.
    pub fn reset(&mut self) {
        self.queue.clear();
        self.anchor = None;
        self.next = i64::MIN / 4;
        self.phase = Phase::Waiting;
        self.silence = None;
        self.spread.clear();
        self.recent = Recent::default();
        self.strays.clear();
        self.loss = 0;
    }

    /// Returns what happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let depth = self.queue.iter().map(|slot| slot.duration).sum();
        let known = !self.spread.is_empty();
        Stats {
            target: ticks::duration(self.target.current()),
            delay: ticks::duration(self.delay),
            depth: ticks::duration(depth),
            spread: ticks::duration(if known { self.spread.p95() } else { 0 }),
            ..self.stats
        }
    }

    /// Gives the oldest item up and goes on with the one after it.
    fn drop_front(&mut self) {
        self.queue.pop_front();
        self.stats.overflowed += 1;
        if let Some(front) = self.queue.front() {
            self.next = self.next.max(front.media);
        }
    }
}
