//! Tells the daemon who of a room speaks.

use std::time::Duration;

use tokio::{sync::mpsc, time::Instant};

use crate::Event;

/// What is told more often than that nobody reads in a list of names.
const INTERVAL: Duration = Duration::from_millis(250);

pub(super) struct Report {
    room: String,
    events: mpsc::Sender<Event>,
    told: Vec<u64>,
    at: Option<Instant>,
}

impl Report {
    pub(super) fn new(room: &str, events: mpsc::Sender<Event>) -> Self {
        Self {
            room: room.to_owned(),
            events,
            told: Vec::new(),
            at: None,
        }
    }

    /// Tells who speaks now, if it is another than before; false when that has to wait.
    pub(super) fn tell(&mut self, speaking: Vec<u64>, now: Instant) -> bool {
        if speaking == self.told {
            return true;
        }
        if self.at.is_some_and(|at| now < at + INTERVAL) {
            return false;
        }
        // What else is told of legs is worth more.
        if self.events.capacity() < self.events.max_capacity() / 2 {
            return false;
        }
        let event = Event::Speaking {
            room: self.room.clone(),
            participants: speaking.clone(),
        };
        self.at = Some(now);
        match self.events.try_send(event) {
            Ok(()) => self.told = speaking,
            // There is more to do than to look who speaks: later.
            Err(mpsc::error::TrySendError::Full(_)) => return false,
            Err(mpsc::error::TrySendError::Closed(_)) => self.told = speaking,
        }
        true
    }
}
