//! Metrics of one service, with handles that are looked up once.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::breaker::State;

/// The handles.
pub(crate) struct Meters {
    /// Legs by the state of their breaker.
    legs: [Gauge; 3],
    changes: [Counter; 3],
    pub(crate) answered: Counter,
    pub(crate) passed: Counter,
    pub(crate) missed: Counter,
    pub(crate) answer_seconds: Histogram,
    pub(crate) streams: Counter,
    pub(crate) streams_failed: Counter,
    pub(crate) texts: Counter,
    pub(crate) events: Counter,
    pub(crate) malformed: Counter,
    pub(crate) crowded: Counter,
}

const STATES: [State; 3] = [State::Closed, State::Open, State::HalfOpen];

impl Meters {
    pub(crate) fn new(name: &str) -> Self {
        let name = name.to_owned();
        let frames = |result: &'static str| counter!("moqrelay_processor_frames_total", "processor" => name.clone(), "result" => result);
        let answers = |fault: &'static str| counter!("moqrelay_processor_answers_dropped_total", "processor" => name.clone(), "cause" => fault);
        Self {
            legs: STATES.map(|state| {
                gauge!("moqrelay_processor_legs", "processor" => name.clone(), "breaker" => state.as_str())
            }),
            changes: STATES.map(|state| {
                counter!("moqrelay_processor_breaker_changes_total", "processor" => name.clone(), "to" => state.as_str())
            }),
            answered: frames("answered"),
            passed: frames("passed"),
            missed: counter!("moqrelay_processor_frames_missed_total", "processor" => name.clone()),
            answer_seconds: histogram!("moqrelay_processor_answer_seconds", "processor" => name.clone()),
            streams: counter!("moqrelay_processor_streams_total", "processor" => name.clone()),
            streams_failed: counter!("moqrelay_processor_streams_failed_total", "processor" => name.clone()),
            texts: counter!("moqrelay_processor_texts_total", "processor" => name.clone()),
            events: counter!("moqrelay_processor_events_total", "processor" => name.clone()),
            malformed: answers("malformed"),
            crowded: answers("too_many"),
        }
    }

    /// Counts a leg whose breaker begins in `state`.
    pub(crate) fn enters(&self, state: State) {
        self.legs[index(state)].increment(1.0);
    }

    /// Counts a leg out.
    pub(crate) fn leaves(&self, state: State) {
        self.legs[index(state)].decrement(1.0);
    }

    /// Moves a leg.
    pub(crate) fn changes(&self, from: State, to: State) {
        self.leaves(from);
        self.enters(to);
        self.changes[index(to)].increment(1);
    }
}

const fn index(state: State) -> usize {
    match state {
        State::Closed => 0,
        State::Open => 1,
        State::HalfOpen => 2,
    }
}
