//! How a voice is sent: how long its packets are, how many bits they have, whether they prepare for
//! loss, and what silence is.
//!
//! [`Controller`] chooses the [`Mode`] from what is measured; [`Gate`] says of each 20 ms whether it
//! is sent; [`Packer`] has both and joins frames to packets. None knows a codec or a clock: time is an argument.

mod controller;
mod gate;
mod packer;

use core::time::Duration;

pub use controller::{Aim, Controller, PATIENCE, Report};
pub use gate::{Gate, Sending};
pub use packer::{Packer, Piece};

/// How long a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Length {
    /// 10 ms: least delay, most headers.
    Ms10,
    /// 20 ms, what telephony is used to.
    Ms20,
    /// 40 ms.
    Ms40,
    /// 60 ms: a lost one is a lost syllable.
    Ms60,
}

impl Length {
    /// Returns it as a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(match self {
            Self::Ms10 => 10,
            Self::Ms20 => 20,
            Self::Ms40 => 40,
            Self::Ms60 => 60,
        })
    }
}

/// How speech is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// How long packets are.
    pub length: Length,
    /// Opus's bits per second.
    pub bitrate_bps: u32,
    /// Loss in percent that in-band error correction prepares for; 0 is none.
    pub fec_percent: u8,
}

impl Mode {
    /// Returns what it takes on the wire while someone speaks, headers included.
    #[must_use]
    pub const fn wire_bps(self) -> u32 {
        let per_second = 1_000 / self.length.duration().as_millis() as u32;
        self.bitrate_bps + per_second * HEADER_BYTES * 8
    }
}

/// What every object costs besides its Opus packet, bytes: IPv4 and UDP 28, QUIC's short header with
/// an 8-byte connection id and its tag 26, DATAGRAM and WebTransport's session 4, MoQT's object
/// header 7, timestamp and level 9.
pub const HEADER_BYTES: u32 = 74;

/// What savings are counted against: 20 ms packets of 24 kbit/s without a pause, 60 bytes each.
pub const BASELINE: Mode = Mode {
    length: Length::Ms20,
    bitrate_bps: 24_000,
    fec_percent: 0,
};
