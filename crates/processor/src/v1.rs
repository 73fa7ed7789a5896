//! The messages of `proto/moqrelay/processor/v1/processor.proto`, which documents them.
//!
//! Written by hand, so that no build needs a protobuf compiler; `tests/schema.rs` holds them against bytes that
//! another implementation made.

use bytes::Bytes;

/// The one method, as HTTP/2 knows it.
pub const PROCESS: &str = "/moqrelay.processor.v1.Processor/Process";

/// The service, as a server announces it.
pub const SERVICE: &str = "moqrelay.processor.v1.Processor";

/// From the relay.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FromRelay {
    /// One of both; none is a message that this version does not know.
    #[prost(oneof = "Question", tags = "1, 2")]
    pub what: Option<Question>,
}

/// What the relay says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Question {
    /// The first message.
    #[prost(message, tag = "1")]
    Start(Start),
    /// Every other one.
    #[prost(message, tag = "2")]
    Audio(Audio),
}

/// Whose sound it is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Start {
    /// The call's room.
    #[prost(string, tag = "1")]
    pub call: String,
    /// The participant in it.
    #[prost(string, tag = "2")]
    pub participant: String,
    /// The leg's name in the log.
    #[prost(string, tag = "3")]
    pub leg: String,
    /// Whether answers to frames are waited for.
    #[prost(bool, tag = "4")]
    pub wants_audio: bool,
    /// How long.
    #[prost(uint32, tag = "5")]
    pub deadline_ms: u32,
    /// Whether it is what the telephone hears, not what it says.
    #[prost(bool, tag = "6")]
    pub hears: bool,
}

/// 20 ms of sound.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Audio {
    /// The number of the frame in its leg.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// When it was said, 1/48000 s.
    #[prost(uint64, tag = "2")]
    pub timestamp: u64,
    /// Samples in a second.
    #[prost(uint32, tag = "3")]
    pub sample_rate: u32,
    /// 16 bits, little-endian.
    #[prost(bytes = "bytes", tag = "4")]
    pub pcm: Bytes,
}

/// From the service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FromProcessor {
    /// One of them; none is a message that this version does not know.
    #[prost(oneof = "Answer", tags = "1, 2, 3")]
    pub what: Option<Answer>,
}

/// What the service says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Answer {
    /// The answer to a frame.
    #[prost(message, tag = "1")]
    Audio(Audio),
    /// Something that was said.
    #[prost(message, tag = "2")]
    Text(Text),
    /// Something that happened.
    #[prost(message, tag = "3")]
    Event(Event),
}

/// Something that was said.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Text {
    /// Which texts are stages of the same.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The words.
    #[prost(string, tag = "2")]
    pub text: String,
    /// Whether they stay as they are.
    #[prost(bool, tag = "3")]
    pub r#final: bool,
    /// When it began, 1/48000 s.
    #[prost(uint64, tag = "4")]
    pub begin: u64,
    /// When it ended, 1/48000 s.
    #[prost(uint64, tag = "5")]
    pub end: u64,
    /// A language tag, or empty.
    #[prost(string, tag = "6")]
    pub language: String,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Event {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// More about it.
    #[prost(string, tag = "2")]
    pub data: String,
    /// When, 1/48000 s.
    #[prost(uint64, tag = "3")]
    pub timestamp: u64,
}
