//! How often somebody may come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Denied;
use super::chat::Pace;

/// One coming in two seconds is more than anybody means: each is told to everyone in the room.
const INTERVAL: Duration = Duration::from_secs(2);

/// What may come at once: somebody who reloads the page, mistypes a PIN, looks into some rooms.
const BURST: u32 = 10;

/// Those who came lately. More than a room has, so that a whole room can come back at once.
const COMERS_MAX: usize = 4096;

/// Who came lately.
#[derive(Debug, Default)]
pub(super) struct Flood {
    comers: BTreeMap<String, Pace>,
}

impl Flood {
    /// Counts that somebody comes.
    pub(super) fn take(&mut self, comer: &str, now: Instant) -> Result<(), Denied> {
        if !self.comers.contains_key(comer) && self.comers.len() >= COMERS_MAX {
            self.comers.retain(|_, pace| !pace.is_rested(now));
            if self.comers.len() >= COMERS_MAX {
                return Err(Denied::TooFast);
            }
        }
        let pace = self.comers.entry(comer.to_owned()).or_default();
        pace.take(now, INTERVAL, BURST)
    }
}
