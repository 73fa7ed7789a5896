//! Puts answers in the places of their questions: every frame goes on once, in order, in time.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Frames that wait for their answers, in the order in which they were said.
///
/// [`ask`](Self::ask) or [`pass`](Self::pass) each frame; give what comes to [`answer`](Self::answer), call
/// [`handle_timeout`](Self::handle_timeout) at the time [`poll_timeout`](Self::poll_timeout) gave and
/// [`give_up`](Self::give_up) when no more answers will come. After each of them drain
/// [`poll_output`](Self::poll_output). Times must not go backwards.
#[derive(Debug)]
pub struct Aligner<F> {
    deadline: Duration,
    waiting: VecDeque<Waiting<F>>,
    missed: u64,
}

#[derive(Debug)]
struct Waiting<F> {
    sequence: u64,
    frame: F,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asked { at: Instant },
    Answered,
    Passed,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is the answer.
    Answered,
    /// It is as it was said.
    Passed,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It takes its question's place; it was so long under way.
    Taken(Duration),
    /// Nobody waits for it: it is late, or was never asked for.
    Unwanted,
    /// It does not fit.
    Unfit,
}

/// Frames that wait at the most, half a second: whatever the deadline, a leg that sends faster than real time must
/// not fill the memory. The oldest goes on as it is then.
pub const WAITING_MAX: usize = 25;

impl<F> Aligner<F> {
    /// Makes an aligner that waits so long for each answer.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            waiting: VecDeque::new(),
            missed: 0,
        }
    }

    /// Lets a frame wait for its answer from `now` on.
    pub fn ask(&mut self, sequence: u64, frame: F, now: Instant) {
        self.push(sequence, frame, State::Asked { at: now });
    }

    /// Lets a frame go on as it is, behind those that wait.
    pub fn pass(&mut self, sequence: u64, frame: F) {
        self.push(sequence, frame, State::Passed);
    }

    /// Takes the answer to `sequence` as it came at `now`. `replace` is given the frame and returns whether it has put
    /// the answer in its place.
    pub fn answer(
        &mut self,
        sequence: u64,
        now: Instant,
        replace: impl FnOnce(&mut F) -> bool,
    ) -> Verdict {
        let asked = self.waiting.iter_mut().find_map(|waiting| {
            match (waiting.sequence == sequence, waiting.state) {
                (true, State::Asked { at }) => Some((waiting, at)),
                _ => None,
            }
        });
        let Some((waiting, at)) = asked else {
            return Verdict::Unwanted;
        };
        if !replace(&mut waiting.frame) {
            self.missed += 1;
            waiting.state = State::Passed;
            return Verdict::Unfit;
        }
        waiting.state = State::Answered;
        Verdict::Taken(now.saturating_duration_since(at))
    }

    /// Lets frames whose time is over go on.
    pub fn handle_timeout(&mut self, now: Instant) {
        for waiting in &mut self.waiting {
            if let State::Asked { at } = waiting.state
                && now >= at + self.deadline
            {
                waiting.state = State::Passed;
                self.missed += 1;
            }
        }
    }

    /// Lets every frame go on; no more answers will come. None of them counts as missed.
    pub fn give_up(&mut self) {
        for waiting in &mut self.waiting {
            if let State::Asked { .. } = waiting.state {
                waiting.state = State::Passed;
            }
        }
    }

    /// Lets the oldest frame go on, whether its answer is there or not. That its time was not over counts for nothing.
    pub fn hurry(&mut self) {
        if let Some(oldest) = self.waiting.front_mut()
            && let State::Asked { .. } = oldest.state
        {
            oldest.state = State::Passed;
        }
    }

    /// Returns when the next frame's time is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |waiting: &Waiting<F>| match waiting.state {
            State::Asked { at } => Some(at + self.deadline),
            State::Answered | State::Passed => None,
        };
        self.waiting.iter().find_map(due)
    }

    /// Returns the next frame that goes on.
    pub fn poll_output(&mut self) -> Option<(F, Fate)> {
        let crowded = self.waiting.len() > WAITING_MAX;
        let fate = match self.waiting.front()?.state {
            State::Answered => Fate::Answered,
            State::Passed => Fate::Passed,
            State::Asked { .. } if crowded => {
                self.missed += 1;
                Fate::Passed
            }
            State::Asked { .. } => return None,
        };
        self.waiting
            .pop_front()
            .map(|waiting| (waiting.frame, fate))
    }

    /// Returns how many frames had no answer in time since the last call.
    pub fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    fn push(&mut self, sequence: u64, frame: F, state: State) {
        self.waiting.push_back(Waiting {
            sequence,
            frame,
            state,
        });
    }
}
