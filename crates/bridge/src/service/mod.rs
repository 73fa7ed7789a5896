//! Parties that are built in, so that one person alone can check microphone, network and latency.

mod echo;
mod milliwatt;

pub(crate) use self::{echo::echo, milliwatt::Hall};

/// A built-in party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Sends back what it hears, the very packets.
    Echo,
    /// 1004 Hz at -10 dBm0.
    Milliwatt,
}
