//! Calls and their sound.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use moqrelay_bridge::leg::Directions;
use moqrelay_room::Number;
use serde::Deserialize;

use super::{number, within};

/// Calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Calls {
    #[serde(with = "humantime_serde")]
    pub(crate) ring_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) duration_max: Duration,
    pub(crate) calls_max: usize,
    pub(crate) users_max: usize,
    /// Where call records go; absent: only into the log.
    pub(crate) records: Option<PathBuf>,
    pub(crate) records_bytes_max: u64,
    pub(crate) records_kept: u32,
    /// Where users' rules for their calls are kept; absent: they end with the daemon.
    pub(crate) rules: Option<PathBuf>,
    /// A call that is transferred to this number is parked; empty: none is.
    pub(crate) park: String,
    /// The number of the first slot, and how many there are.
    pub(crate) park_first: u32,
    pub(crate) park_slots: u32,
    #[serde(with = "humantime_serde")]
    pub(crate) park_timeout: Duration,
    /// Before a number it takes the call that rings there; empty: calls stay where they ring.
    pub(crate) pick_up: String,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            ring_timeout: Duration::from_secs(45),
            duration_max: Duration::from_secs(4 * 3600),
            calls_max: 1_000,
            users_max: 1_000,
            records: None,
            records_bytes_max: 16 << 20,
            records_kept: 4,
            rules: None,
            park: String::new(),
            park_first: 701,
            park_slots: 20,
            park_timeout: Duration::from_secs(120),
            pick_up: String::new(),
        }
    }
}

impl Calls {
    pub(super) fn check(&self) -> Result<()> {
        within("calls.ring_timeout", self.ring_timeout, 5, 600)?;
        within("calls.duration_max", self.duration_max, 60, 7 * 86_400)?;
        number("calls.calls_max", self.calls_max, 1, 100_000)?;
        within("calls.park_timeout", self.park_timeout, 5, 3_600)?;
        number("calls.park_slots", self.park_slots as usize, 1, 1_000)?;
        for (key, text) in [("calls.park", &self.park), ("calls.pick_up", &self.pick_up)] {
            if !text.is_empty() {
                Number::new(text).with_context(|| format!("{key} is {text:?}"))?;
            }
        }
        Ok(())
    }
}

/// What the bridge does with sound.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audio {
    pub(crate) bitrate: u32,
    pub(crate) complexity: u8,
    pub(crate) voice_mode: VoiceMode,
    pub(crate) noise_suppression: Vec<Direction>,
    pub(crate) level_control: Vec<Direction>,
    pub(crate) comfort_noise: bool,
    #[serde(with = "humantime_serde")]
    pub(crate) jitter_min: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) jitter_max: Duration,
}

impl Default for Audio {
    fn default() -> Self {
        Self {
            bitrate: 32_000,
            complexity: 5,
            voice_mode: VoiceMode::Steady,
            noise_suppression: Vec::new(),
            level_control: Vec::new(),
            comfort_noise: true,
            jitter_min: Duration::from_millis(20),
            jitter_max: Duration::from_millis(400),
        }
    }
}

impl Audio {
    pub(super) fn check(&self) -> Result<()> {
        number("audio.bitrate", self.bitrate as usize, 6_000, 128_000)?;
        number("audio.complexity", usize::from(self.complexity), 0, 10)?;
        ensure!(
            self.jitter_min <= self.jitter_max,
            "audio.jitter_min is {:?}: it must not be above audio.jitter_max, {:?}",
            self.jitter_min,
            self.jitter_max
        );
        Ok(())
    }
}

/// A direction of a telephone leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    FromTelephone,
    ToTelephone,
}

impl Direction {
    /// Returns what the bridge calls such a list.
    pub(crate) fn all(directions: &[Self]) -> Directions {
        Directions {
            from_telephone: directions.contains(&Self::FromTelephone),
            to_telephone: directions.contains(&Self::ToTelephone),
        }
    }
}

/// How the voice of a telephone leg is sent by MoQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VoiceMode {
    Steady,
    Saving,
}
