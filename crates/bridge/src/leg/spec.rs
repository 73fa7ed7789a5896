//! What a leg is told to be, and why it ends.

use std::{fmt, time::Duration};

use moqrelay_audio::{SampleRate, opus, tone};
use moqrelay_wire::{
    audiosocket::Rate,
    catalog::{Catalog, Track},
};

use crate::Place;

/// Names a leg; whoever expects it chooses the name and never uses it twice.
///
/// Connections that nobody expected one by one ([`Bridge::expect_standing`](crate::Bridge::expect_standing)) get
/// names from [`LegId::STANDING_FIRST`] upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub u64);

impl LegId {
    /// The first name that the bridge itself gives; callers use those below.
    pub const STANDING_FIRST: Self = Self(1 << 63);
}

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(Self::STANDING_FIRST.0) {
            None => write!(f, "leg{}", self.0),
            Some(number) => write!(f, "standing{number}"),
        }
    }
}

/// What a leg is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub leg: LegId,
    /// Where it publishes; it may be told later.
    pub place: Option<Place>,
    /// At which rate Asterisk wants to be spoken to.
    pub rate: OutRate,
}

/// The rate of what is sent to Asterisk, which must be what the dialplan's `c(…)` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutRate {
    /// That of what arrives where Opus has it too, else 48 kHz; 16 kHz until something arrives.
    #[default]
    Follow,
    /// 8 kHz, `slin`; the application `AudioSocket()` always has it.
    Hz8000,
    /// 12 kHz, `slin12`.
    Hz12000,
    /// 16 kHz, `slin16`.
    Hz16000,
    /// 24 kHz, `slin24`.
    Hz24000,
    /// 48 kHz, `slin48`.
    Hz48000,
}

impl OutRate {
    pub(super) fn given(self, arriving: Option<Rate>) -> Rate {
        match self {
            Self::Hz8000 => Rate::Hz8000,
            Self::Hz12000 => Rate::Hz12000,
            Self::Hz16000 => Rate::Hz16000,
            Self::Hz24000 => Rate::Hz24000,
            Self::Hz48000 => Rate::Hz48000,
            Self::Follow => match arriving {
                None => Rate::Hz16000,
                Some(rate @ (Rate::Hz8000 | Rate::Hz12000 | Rate::Hz16000 | Rate::Hz24000)) => rate,
                Some(
                    Rate::Hz32000 | Rate::Hz44100 | Rate::Hz48000 | Rate::Hz96000 | Rate::Hz192000,
                ) => Rate::Hz48000,
            },
        }
    }
}

/// A tone that a leg plays to its telephone until told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The far end rings.
    Ringback,
    /// The far end is busy.
    Busy,
    /// The call cannot be completed.
    Congestion,
}

/// A short signal that a leg plays to its telephone once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beep {
    /// Something is to be entered: one high note.
    Ask,
    /// What was entered is wrong: two low notes.
    Wrong,
    /// No way in: three low notes, falling.
    Refused,
    /// Patience: two soft notes.
    Wait,
    /// Something is off now, such as the microphone: falling.
    Off,
    /// Something is on now: rising.
    On,
}

impl Beep {
    /// Returns its notes; a pause is a note without a frequency.
    pub(super) fn start(self, rate: SampleRate) -> impl Iterator<Item = tone::Tone> {
        let notes: &[(f32, u64)] = match self {
            Self::Ask => &[(1000.0, 300)],
            Self::Wrong => &[(300.0, 200), (0.0, 100), (300.0, 400)],
            Self::Refused => &[(480.0, 250), (400.0, 250), (300.0, 500)],
            Self::Wait => &[(600.0, 150), (0.0, 150), (600.0, 150)],
            Self::Off => &[(800.0, 120), (500.0, 160)],
            Self::On => &[(500.0, 120), (800.0, 160)],
        };
        notes.iter().map(move |(hz, ms)| {
            // As loud as a telephone's own tones; a pause is far below what can be heard.
            let dbov = if *hz > 0.0 { -22.0 } else { -127.0 };
            tone::Tone::note(rate, *hz, dbov, Duration::from_millis(*ms))
        })
    }
}

impl Tone {
    pub(super) fn start(self, rate: SampleRate) -> tone::Tone {
        match self {
            Self::Ringback => tone::Tone::ringback(rate),
            Self::Busy => tone::Tone::busy(rate),
            Self::Congestion => tone::Tone::congestion(rate),
        }
    }
}

/// How legs code what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// Opus bits per second, 6000 to 128000. Default 32000.
    pub bitrate_bps: u32,
    /// libopus's complexity, 0 to 10. Default 5: 0.1 ms of CPU for 20 ms of sound.
    pub complexity: u8,
    /// Whether bytes are saved. Default [`VoiceMode::Steady`].
    pub mode: VoiceMode,
}

/// How a leg's voice goes to those who listen by MoQ. Towards Asterisk nothing is ever left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VoiceMode {
    /// A packet of 20 ms every 20 ms.
    #[default]
    Steady,
    /// Packets of 40 ms, shorter ones while packets are lost, and hardly any in silence.
    Saving,
}

/// What is done to a leg's sound besides coding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shaping {
    /// Takes steady noise out of speech. Default none: browsers and telephones do it themselves, and music suffers.
    pub noise_suppression: Directions,
    /// Brings speech to one loudness. Default none: most telephones do it themselves.
    pub level_control: Directions,
    /// Lets the telephone hear soft noise where a voice says that it is silent. Default true.
    pub comfort_noise: bool,
    /// Brings the voices of a room's mix to one loudness. Default true: a room has many microphones.
    pub rooms_level_control: bool,
}

/// Where a stage that can be left out is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directions {
    /// In what the telephone says.
    pub from_telephone: bool,
    /// In what the telephone hears, unless packets of Opus go to it untouched.
    pub to_telephone: bool,
}

impl Default for Shaping {
    fn default() -> Self {
        Self {
            noise_suppression: Directions::default(),
            level_control: Directions::default(),
            comfort_noise: true,
            rooms_level_control: true,
        }
    }
}

impl Default for Coding {
    fn default() -> Self {
        Self {
            bitrate_bps: 32_000,
            complexity: 5,
            mode: VoiceMode::Steady,
        }
    }
}

impl Coding {
    /// Returns the encoder's settings at `rate`, before any loss was measured.
    pub(crate) fn opus(self, rate: SampleRate) -> opus::Config {
        opus::Config {
            rate,
            bitrate_bps: self.bitrate_bps,
            complexity: self.complexity,
            loss_percent: 0,
        }
    }

    /// Returns what the catalog says of a voice coded so. A decoder may take 48 kHz whatever the coder had.
    pub(crate) fn catalog(self) -> Catalog {
        Catalog::audio(Track::opus(48_000, u64::from(self.bitrate_bps)))
    }
}

/// Why a leg is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// We hung up.
    HungUp,
    /// Asterisk closed: the telephone hung up, or the dialplan went on.
    Closed,
    /// It was expected and did not come in time.
    Expired,
    /// It could not be expected, or not be served: a limit was reached, or its UUID was taken.
    Refused,
    /// Asterisk sent another codec than linear sound: `c(slin16)` is missing in the dialplan.
    Companded,
    /// Asterisk, or whoever it was, sent too much that made no sense.
    Malformed,
    /// Asterisk stopped reading.
    Stalled,
    /// The connection broke.
    Broken,
    /// Asterisk named a way that led nowhere.
    Unreached,
    /// A fault of ours.
    Failed,
}

impl Reason {
    /// Returns the name that logs and metrics have for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HungUp => "hung_up",
            Self::Closed => "closed",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Companded => "companded",
            Self::Malformed => "malformed",
            Self::Stalled => "stalled",
            Self::Broken => "broken",
            Self::Unreached => "unreached",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
