//! What sound is called in Asterisk.

use std::fmt;

use moqrelay_wire::audiosocket::Rate;

/// A codec between Asterisk and us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// 16 bit PCM.
    Slin(Rate),
    /// Opus, passed through.
    Opus,
    /// G.711 µ-law.
    Ulaw,
    /// G.711 A-law.
    Alaw,
    /// G.722, 16 kHz.
    G722,
}

impl Codec {
    /// Telephone sound, 8 kHz.
    pub const SLIN: Self = Self::Slin(Rate::Hz8000);
    /// Wide band, 16 kHz.
    pub const SLIN16: Self = Self::Slin(Rate::Hz16000);

    /// Finds a codec by Asterisk's name of it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let others = [Self::Opus, Self::Ulaw, Self::Alaw, Self::G722];
        Rate::ALL
            .into_iter()
            .map(Self::Slin)
            .chain(others)
            .find(|codec| codec.name() == name)
    }

    /// Returns Asterisk's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slin(Rate::Hz8000) => "slin",
            Self::Slin(Rate::Hz12000) => "slin12",
            Self::Slin(Rate::Hz16000) => "slin16",
            Self::Slin(Rate::Hz24000) => "slin24",
            Self::Slin(Rate::Hz32000) => "slin32",
            Self::Slin(Rate::Hz44100) => "slin44",
            Self::Slin(Rate::Hz48000) => "slin48",
            Self::Slin(Rate::Hz96000) => "slin96",
            Self::Slin(Rate::Hz192000) => "slin192",
            Self::Opus => "opus",
            Self::Ulaw => "ulaw",
            Self::Alaw => "alaw",
            Self::G722 => "g722",
        }
    }

    /// Returns the rate of its PCM; `None` for Opus, which is passed.
    #[must_use]
    pub const fn rate(self) -> Option<Rate> {
        match self {
            Self::Slin(rate) => Some(rate),
            Self::Ulaw | Self::Alaw => Some(Rate::Hz8000),
            Self::G722 => Some(Rate::Hz16000),
            Self::Opus => None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
