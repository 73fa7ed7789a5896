//! The time lines of what is heard. They outlive sessions: what comes twice because two sessions
//! carry a track for a moment is played once, and what comes after is where it belongs.

pub mod exports;
mod timeline;

pub use timeline::Packet;
use timeline::Timeline;

use crate::map::Map;

/// As many as tracks of a session.
const LINES_MAX: usize = 256;

/// A line of time for each track that is heard, by numbers that the caller chooses.
#[derive(Debug, Default)]
pub struct Lines {
    lines: Map<u32, Timeline>,
}

/// How many objects of a line came, and how many are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Those that came, each counted once.
    pub received: u64,
    /// Those that should have come.
    pub lost: u64,
}

impl Lines {
    /// Returns the place of a packet on a line, 1/48000 s. `None`: it was there already, or is
    /// older than anything that could still be played, or there are too many lines.
    pub fn place(&mut self, line: u32, packet: Packet) -> Option<u64> {
        if self.lines.len() >= LINES_MAX && !self.lines.contains_key(&line) {
            return None;
        }
        self.lines
            .get_or_insert(line, Timeline::default)
            .place(packet)
    }

    /// Counts the objects of a line.
    #[must_use]
    pub fn counts(&self, line: u32) -> Counts {
        self.lines
            .get(&line)
            .map(Timeline::counts)
            .unwrap_or_default()
    }

    /// Forgets a line.
    pub fn end(&mut self, line: u32) {
        self.lines.remove(&line);
    }
}
