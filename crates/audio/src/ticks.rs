//! Time in 1/48000 s as `i64`: media timestamps and the clock in one unit, exact for every
//! duration of Opus.

use core::time::Duration;

/// 2.5 ms, the grain of Opus.
pub(crate) const GRAIN: i64 = 120;

/// Half a million years of clock; leaves room to add and subtract without overflow.
const LIMIT: i64 = i64::MAX / 8;

/// Returns `duration` in ticks, saturating.
pub(crate) fn of(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() * 48 / 1_000_000).map_or(LIMIT, |ticks| ticks.min(LIMIT))
}

/// Returns the duration of `ticks`; negative is zero.
pub(crate) fn duration(ticks: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ticks).unwrap_or(0).saturating_mul(62_500) / 3)
}
