//! Names of things.

use std::fmt;

/// The name of a call and of its room; the daemon draws it at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u128);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

/// A signaling session. Whoever owns the sessions chooses it and never uses it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u64);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// Which socket of a session: a resume brings the next one, and the loss of an older one is old news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attachment(pub u64);

/// A telephone channel or a service; the switchboard chooses it and never uses it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub u64);

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leg{}", self.0)
    }
}

/// A participant of a room; shown as `p1`, `p2`, ….
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParticipantId(pub u32);

impl ParticipantId {
    /// The caller of a call.
    pub const CALLER: Self = Self(1);
    /// The callee of a call.
    pub const CALLEE: Self = Self(2);
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// The text does not have the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// Not a user's id.
    #[error("a user's id is 1 to 64 of a-z, 0-9, dot, underscore and hyphen")]
    User,
    /// Not a number.
    #[error("a number is 1 to 32 of 0-9, *, # and +")]
    Number,
    /// Not a digit.
    #[error("a digit is one of 0-9, A-D, *, # and w, a pause")]
    Digit,
}

/// A user: `[a-z0-9._-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

impl UserId {
    /// The longest id in bytes.
    pub const LEN_MAX: usize = 64;

    /// Takes a user's id.
    ///
    /// # Errors
    ///
    /// [`InvalidId::User`] when the text is not `[a-z0-9._-]{1,64}`.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let valid = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > Self::LEN_MAX || !text.bytes().all(valid) {
            return Err(InvalidId::User);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What telephones dial: `[0-9*#+]{1,32}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(String);

impl Number {
    /// The longest number in bytes.
    pub const LEN_MAX: usize = 32;

    /// Takes a number.
    ///
    /// # Errors
    ///
    /// [`InvalidId::Number`] when the text is not `[0-9*#+]{1,32}`.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let valid = |byte: u8| matches!(byte, b'0'..=b'9' | b'*' | b'#' | b'+');
        if text.is_empty() || text.len() > Self::LEN_MAX || !text.bytes().all(valid) {
            return Err(InvalidId::Number);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key of a telephone: one of `0-9A-D*#`; or `w`, a pause of half a second between two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(char);

impl Digit {
    /// Takes a digit.
    ///
    /// # Errors
    ///
    /// [`InvalidId::Digit`] when it is not one of `0-9A-D*#w`.
    pub fn new(digit: char) -> Result<Self, InvalidId> {
        match digit {
            '0'..='9' | 'A'..='D' | '*' | '#' | 'w' => Ok(Self(digit)),
            _ => Err(InvalidId::Digit),
        }
    }

    /// Returns whether nothing is pressed for half a second.
    pub fn is_pause(self) -> bool {
        self.0 == 'w'
    }

    /// Returns the digit as a character.
    pub fn as_char(self) -> char {
        self.0
    }
}
