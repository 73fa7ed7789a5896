//! Whether a service is trusted: opened by failures in a row, tried again after a pause.

use std::time::{Duration, Instant};

/// When a service is no longer asked, and when again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Failures in a row that open the breaker. Default 5.
    pub failures: u32,
    /// How long it stays open. Default 10 s.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(10),
        }
    }
}

/// What a breaker says of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is asked.
    Closed,
    /// It is left alone.
    Open,
    /// It is tried: one failure opens the breaker again, one success closes it.
    HalfOpen,
}

impl State {
    /// Returns the name that logs and metrics have for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A circuit breaker. Call [`handle_timeout`](Self::handle_timeout) at the time
/// [`poll_timeout`](Self::poll_timeout) gave; times must not go backwards.
#[derive(Debug)]
pub struct Breaker {
    limits: Limits,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

impl Breaker {
    /// Makes a breaker that is closed.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Closed { failures: 0 },
        }
    }

    /// Returns its state.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen => State::HalfOpen,
        }
    }

    /// The service did what it should.
    pub fn handle_success(&mut self) {
        match self.phase {
            Phase::Closed { .. } | Phase::HalfOpen => self.phase = Phase::Closed { failures: 0 },
            // What still comes from before proves nothing.
            Phase::Open { .. } => {}
        }
    }

    /// The service did not.
    pub fn handle_failure(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Closed { failures } => {
                *failures += 1;
                if *failures >= self.limits.failures {
                    self.open(now);
                }
            }
            Phase::HalfOpen => self.open(now),
            Phase::Open { .. } => {}
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Open { until } if now >= until => self.phase = Phase::HalfOpen,
            Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen => {}
        }
    }

    /// Returns when time changes something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::Closed { .. } | Phase::HalfOpen => None,
        }
    }

    fn open(&mut self, now: Instant) {
        self.phase = Phase::Open {
            until: now + self.limits.pause,
        };
    }
}
