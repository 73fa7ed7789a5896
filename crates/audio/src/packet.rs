//! What an Opus packet says about itself, read without a decoder (RFC 6716 section 3).

use core::time::Duration;

use thiserror::Error;

/// The longest packet accepted. Publishers of ours send 20 ms; beyond 60 ms the codec only joins
/// frames, and a lost packet is a lost syllable.
pub const DURATION_MAX: Duration = Duration::from_millis(60);

/// The most bytes of a packet accepted: three frames of 1275 bytes with their lengths.
pub const LEN_MAX: usize = 3 * 1277 + 2;

/// Returns how long the packet plays: 2.5 to 60 ms.
///
/// Looks at the first two bytes only; the frames may still be damaged.
///
/// # Errors
///
/// [`PacketError`] when the packet is empty, too large, truncated or longer than
/// [`DURATION_MAX`].
pub fn duration(packet: &[u8]) -> Result<Duration, PacketError> {
    let (&toc, rest) = packet.split_first().ok_or(PacketError::Empty)?;
    if packet.len() > LEN_MAX {
        return Err(PacketError::TooLarge {
            len_bytes: packet.len(),
        });
    }
    let frames = match toc & 0b11 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first().ok_or(PacketError::Truncated)? & 0b11_1111),
    };
    let total = frame_duration(toc) * frames;
    if total.is_zero() || total > DURATION_MAX {
        return Err(PacketError::Duration(total));
    }
    Ok(total)
}

/// 20 ms of full-band silence, mono.
pub const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// Returns a packet of 20 ms without content, coded like the packet that began with `toc`: its decoder conceals, as
/// it does for lost packets and for silence that was not sent (RFC 6716 section 3.2.1: a frame of no bytes).
#[must_use]
pub const fn empty_like(toc: u8) -> [u8; 1] {
    let config = match toc >> 3 {
        silk @ 0..=11 => (silk & !0b11) | 0b01,
        hybrid @ 12..=15 => hybrid | 0b01,
        celt => celt | 0b11,
    };
    [(config << 3) | (toc & 0b100)]
}

/// The length of one frame by the configuration number (RFC 6716 table 2).
fn frame_duration(toc: u8) -> Duration {
    let config = toc >> 3;
    let size = usize::from(config & 0b11);
    Duration::from_micros(match config {
        0..=11 => [10_000, 20_000, 40_000, 60_000][size],
        12..=15 => [10_000, 20_000][size & 1],
        _ => [2_500, 5_000, 10_000, 20_000][size],
    })
}

/// Why bytes are refused as an Opus packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketError {
    /// There are no bytes.
    #[error("empty packet")]
    Empty,
    /// The frame count is missing.
    #[error("packet ends before its frame count")]
    Truncated,
    /// More than [`LEN_MAX`] bytes.
    #[error("packet of {len_bytes} bytes is larger than {LEN_MAX}")]
    TooLarge {
        /// Its length.
        len_bytes: usize,
    },
    /// No frame at all, or longer than [`DURATION_MAX`].
    #[error("packet of {0:?} is not within 2.5 to 60 ms")]
    Duration(Duration),
}
