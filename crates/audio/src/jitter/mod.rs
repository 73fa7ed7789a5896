//! An adaptive jitter buffer without I/O: items in by the network's clock, out by the player's.
//!
//! It decides *what* to play and when; turning items into sound is the player's part
//! ([`playout`](crate::playout) has both). Times are [`Duration`]s since any start, timestamps are
//! media time in 1/48000 s.

mod buffer;
mod pace;
mod spread;
mod target;

use core::time::Duration;

pub use buffer::Buffer;

/// How a [`Buffer`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The least delay beyond the frame that is playing. Default 20 ms.
    pub delay_min: Duration,
    /// The most delay; what is later than this is lost. Default 400 ms.
    pub delay_max: Duration,
    /// The delay before anything is known about the network. Default 40 ms.
    pub delay_start: Duration,
    /// How much the player takes at a time: 20 ms for a leg, 128 samples for a worklet. The buffer
    /// cannot steer finer than this. Default 20 ms.
    pub step: Duration,
    /// Whether the player can use [`Play::Recover`] (Opus in-band error correction). Default true.
    pub recover: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_millis(20),
            delay_max: Duration::from_millis(400),
            delay_start: Duration::from_millis(40),
            step: Duration::from_millis(20),
            recover: true,
        }
    }
}

/// What became of a pushed item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It will be played.
    Queued,
    /// It came after its time and was dropped.
    Late,
    /// It is here already and was dropped.
    Duplicate,
    /// Its duration is out of range and it was dropped.
    Refused,
    /// It does not belong to the timeline so far (the publisher restarted or its clock jumped): the
    /// buffer starts afresh with it.
    Restarted,
}

/// What to play.
#[derive(Debug, PartialEq, Eq)]
pub enum Play<'a, T> {
    /// This item.
    Item {
        /// The item, next in media time.
        item: T,
        /// How long it lasts.
        duration: Duration,
        /// Whether to change its length.
        pace: Pace,
    },
    /// `missing` of sound is lost, and the item that follows it is here: use its error correction.
    /// The item itself comes with a later [`Buffer::pop`].
    Recover {
        /// What follows the loss.
        next: &'a T,
        /// How long the loss is.
        missing: Duration,
    },
    /// Sound is missing: go on from what was played last for this long.
    Conceal(Duration),
    /// Nothing is being sent, or too much is missing: silence for this long.
    Silence(Duration),
}

/// A wish to play an item in less or more time than it lasts, so that the delay changes. The player
/// does what it can unheard ([`stretch`](crate::stretch)); the next wish takes the result into
/// account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As it is.
    Keep,
    /// Shorter by up to this, to shed delay.
    Shorten(Duration, When),
    /// Longer by up to this, to gain delay.
    Lengthen(Duration, When),
}

/// How urgent a change of [`Pace`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Only if the item is quiet.
    Quiet,
    /// Also in speech, where one period repeats another closely.
    Alike,
    /// In any case: delay is far off.
    Now,
}

/// Counters since the start, and the state as of the last call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The delay aimed at: from an item's earliest arrival to its playing.
    pub target: Duration,
    /// The delay as it is.
    pub delay: Duration,
    /// Sound that waits in the buffer.
    pub depth: Duration,
    /// How much later than the earliest 95 % of items come.
    pub spread: Duration,
    /// Items that came.
    pub received: u64,
    /// Items played.
    pub played: u64,
    /// Items dropped because they came after their time.
    pub late: u64,
    /// Items dropped because they were here already.
    pub duplicates: u64,
    /// Items dropped to stay within bounds.
    pub overflowed: u64,
    /// Gaps between items (not sent or lost on the way), counted in items.
    pub lost: u64,
    /// Of these, recovered by the error correction of the next.
    pub recovered: u64,
    /// Times that nothing was there to play in mid-speech.
    pub underruns: u64,
    /// Concealed sound.
    pub concealed: Duration,
    /// Delay given back.
    pub shed: Duration,
    /// Delay gained.
    pub gained: Duration,
    /// Times that the timeline started afresh.
    pub restarts: u64,
    /// Times that the publisher said it would be silent.
    pub pauses: u64,
}
