//! What can be wrong with bytes from the peer, and with what we are asked to send.

use crate::SessionCode;

/// Bytes from the peer break the draft; the session ends with [`session_code`](Self::session_code).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A field goes past the end of what holds it.
    #[error("{0} goes past the end")]
    Truncated(&'static str),
    /// A message has bytes left after its last field.
    #[error("{0} bytes left after the last field")]
    TrailingBytes(usize),
    /// No message has that type.
    #[error("unknown message type {0:#x}")]
    UnknownMessage(u64),
    /// No stream has that type.
    #[error("unknown stream type {0:#x}")]
    UnknownStream(u64),
    /// No datagram has that type.
    #[error("unknown datagram type {0:#x}")]
    UnknownDatagram(u64),
    /// No message parameter has that type.
    #[error("unknown message parameter {0:#x}")]
    UnknownParameter(u64),
    /// A parameter that may appear once appears twice.
    #[error("message parameter {0:#x} appears twice")]
    DuplicateParameter(u64),
    /// A parameter in a message where it must not be.
    #[error("message parameter {0:#x} does not belong in {1}")]
    MisplacedParameter(u64, &'static str),
    /// A delta leads beyond 64 bits.
    #[error("{0} goes beyond 64 bits")]
    Overflow(&'static str),
    /// A field is longer than the draft allows.
    #[error("{field} has {len} bytes, more than {max}")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// Its length as announced, in bytes.
        len: u64,
        /// What is allowed, in bytes.
        max: u64,
    },
    /// A namespace or a name breaks its limits.
    #[error("{0}")]
    Name(#[from] crate::NameError),
    /// A field has a value that the draft forbids.
    #[error("{0} has the forbidden value {1:#x}")]
    Forbidden(&'static str, u64),
    /// A key-value pair does not have the form its key demands.
    #[error("{0} is malformed")]
    KeyValueFormat(&'static str),
    /// An object or its properties exceed the receiver's own limit; not the peer's fault by the draft.
    #[error("{field} of {len} bytes exceeds the local limit of {max}")]
    Limit {
        /// What is too large.
        field: &'static str,
        /// Its length as announced, in bytes.
        len: u64,
        /// The limit, in bytes.
        max: u64,
    },
}

impl DecodeError {
    /// Returns the code with which the session must end.
    pub fn session_code(&self) -> SessionCode {
        match self {
            Self::KeyValueFormat(_) => SessionCode::KeyValueFormattingError,
            Self::Limit { .. } => SessionCode::InternalError,
            Self::Truncated(_)
            | Self::TrailingBytes(_)
            | Self::UnknownMessage(_)
            | Self::UnknownStream(_)
            | Self::UnknownDatagram(_)
            | Self::UnknownParameter(_)
            | Self::DuplicateParameter(_)
            | Self::MisplacedParameter(..)
            | Self::Overflow(_)
            | Self::TooLong { .. }
            | Self::Name(_)
            | Self::Forbidden(..) => SessionCode::ProtocolViolation,
        }
    }
}

/// What we are asked to send cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A control message is longer than 65,535 bytes.
    #[error("a control message of {0} bytes does not fit in 65535")]
    MessageTooLong(usize),
    /// A field is longer than the draft allows.
    #[error("{0} of {1} bytes is too long")]
    TooLong(&'static str, usize),
    /// A parameter in a message where it must not be.
    #[error("message parameter {0:#x} does not belong in {1}")]
    MisplacedParameter(u64, &'static str),
    /// Object ids in a subgroup must ascend.
    #[error("object {0} does not come after {1}")]
    NotAscending(u64, u64),
    /// Groups must go the way that a FETCH asked for.
    #[error("group {0} does not come after {1} in the order asked for")]
    GroupOrder(u64, u64),
    /// Key-value pairs must ascend.
    #[error("key {0:#x} does not come after {1:#x}")]
    KeyOrder(u64, u64),
    /// Even keys carry integers, odd keys bytes.
    #[error("key {0:#x} does not carry that kind of value")]
    KeyKind(u64),
    /// The draft has no such message.
    #[error("the draft has no {0}")]
    NotInDraft(&'static str),
    /// A value cannot be written in this draft.
    #[error("{0} cannot have that value")]
    Value(&'static str),
    /// An object has properties or a payload that its status or its stream's header forbids.
    #[error("{0}")]
    Object(&'static str),
}
