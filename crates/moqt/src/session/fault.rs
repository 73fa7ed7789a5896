//! Why a session must end.

use crate::{DecodeError, NameError, SessionCode, TokenError};

/// The session ends with this.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: SessionCode,
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn new(code: SessionCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// The peer did what the draft forbids.
    pub(super) fn violation(reason: impl Into<String>) -> Self {
        Self::new(SessionCode::ProtocolViolation, reason)
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::new(error.session_code(), error.to_string())
    }
}

impl From<NameError> for Fault {
    fn from(error: NameError) -> Self {
        Self::violation(error.to_string())
    }
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Session(code, _) => code,
            TokenError::Request(..) => SessionCode::MalformedAuthToken,
        };
        Self::new(code, error.to_string())
    }
}
