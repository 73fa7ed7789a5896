//! Trunks: ways into the telephone network that have names.

/// A trunk, as far as Asterisk must be told of it or asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// What is dialled for a number, with `{number}` in it.
    pub dial: String,
    /// The number that the called one sees; `{number}` is the caller's.
    pub caller_number: String,
    /// The endpoint whose state says whether the trunk is there, `TECHNOLOGY/RESOURCE`; none: that
    /// is not known.
    pub endpoint: Option<String>,
}

/// Whether Asterisk can reach the endpoint of a trunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EndpointState {
    /// Nobody has said, or nobody looks: SIP endpoints need `qualify_frequency` for it.
    #[default]
    Unknown,
    /// It answers.
    Online,
    /// It does not answer, or nobody is registered there.
    Offline,
    /// Asterisk has no such endpoint.
    Missing,
}

impl EndpointState {
    /// Returns its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Missing => "missing",
        }
    }
}
