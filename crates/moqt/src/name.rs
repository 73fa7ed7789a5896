//! Track namespaces and full track names, and their printable form.

use core::{fmt, str::FromStr};

use bytes::{Bytes, BytesMut};

/// An ordered list of 0 to 32 fields of at least one byte each, at most 4,096 bytes together (section 2.4.1).
///
/// Cheap to clone for short names: each field shares its buffer. Prints in the safe form of section 1.4.5.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Namespace {
    fields: Vec<Bytes>,
}

/// A namespace and a track's name in it, at most 4,096 bytes together (section 2.4.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullTrackName {
    namespace: Namespace,
    name: Bytes,
}

/// A namespace or a name breaks its limits, or its printed form is not canonical.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// More than 32 fields.
    #[error("a namespace of {0} fields has more than 32")]
    TooManyFields(u64),
    /// A field without bytes.
    #[error("a namespace field is empty")]
    EmptyField,
    /// More than 4,096 bytes.
    #[error("a name of {0} bytes has more than 4096")]
    TooLong(usize),
    /// The printed form has a byte, or an escape, that must not be there.
    #[error("the printed name is not canonical at byte {0}")]
    NotCanonical(usize),
    /// The printed form of a full track name has no `--`.
    #[error("the printed track name has no double hyphen")]
    NoTrackName,
}

impl Namespace {
    /// Most fields of a namespace.
    pub const FIELDS_MAX: usize = 32;
    /// Most bytes of all fields and the track's name together.
    pub const LEN_BYTES_MAX: usize = 4096;

    /// Makes a namespace of these fields.
    ///
    /// # Errors
    ///
    /// When there are more than 32, one is empty, or they have more than 4,096 bytes together.
    pub fn new<I>(fields: I) -> Result<Self, NameError>
    where
        I: IntoIterator,
        I::Item: Into<Bytes>,
    {
        let mut namespace = Self::default();
        for field in fields {
            namespace.push(field.into())?;
        }
        Ok(namespace)
    }

    /// Returns the namespace without fields: as a prefix it matches everything.
    pub const fn empty() -> Self {
        Self { fields: Vec::new() }
    }

    /// Adds a field at the end.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); the namespace is then unchanged.
    pub fn push(&mut self, field: Bytes) -> Result<(), NameError> {
        if field.is_empty() {
            return Err(NameError::EmptyField);
        }
        if self.fields.len() == Self::FIELDS_MAX {
            return Err(NameError::TooManyFields(Self::FIELDS_MAX as u64 + 1));
        }
        let len = self.len_bytes() + field.len();
        if len > Self::LEN_BYTES_MAX {
            return Err(NameError::TooLong(len));
        }
        self.fields.push(field);
        Ok(())
    }

    /// Returns the fields.
    pub fn fields(&self) -> &[Bytes] {
        &self.fields
    }

    /// Returns true when there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Returns the bytes of all fields together.
    pub fn len_bytes(&self) -> usize {
        self.fields.iter().map(Bytes::len).sum()
    }

    /// Returns true when `other` begins with all of this one's fields; a namespace is a prefix of itself.
    ///
    /// Compared field by field: `room/a` is no prefix of `room/ab`.
    pub fn is_prefix_of(&self, other: &Self) -> bool {
        other.fields.starts_with(&self.fields)
    }

    /// Returns true when one is a prefix of the other (PREFIX_OVERLAP).
    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_prefix_of(other) || other.is_prefix_of(self)
    }

    /// Returns what follows `prefix`, or `None` when this namespace does not begin with it.
    pub fn strip_prefix(&self, prefix: &Self) -> Option<Self> {
        let rest = self.fields.strip_prefix(prefix.fields.as_slice())?;
        Some(Self {
            fields: rest.to_vec(),
        })
    }

    /// Returns this namespace followed by `suffix`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn join(&self, suffix: &Self) -> Result<Self, NameError> {
        Self::new(self.fields.iter().chain(&suffix.fields).cloned())
    }

    /// Returns true when the first field is exactly `.`, which nobody may use (section 3.2.1).
    pub(crate) fn is_forbidden(&self) -> bool {
        self.fields
            .first()
            .is_some_and(|field| field.as_ref() == b".")
    }

    /// Returns true when the first field is `.session` (section 3.2.2).
    pub(crate) fn is_session_level(&self) -> bool {
        self.fields
            .first()
            .is_some_and(|field| field.as_ref() == b".session")
    }
}

impl FullTrackName {
    /// Names a track.
    ///
    /// # Errors
    ///
    /// When both have more than 4,096 bytes together.
    pub fn new(namespace: Namespace, name: impl Into<Bytes>) -> Result<Self, NameError> {
        let name = name.into();
        let len = namespace.len_bytes() + name.len();
        if len > Namespace::LEN_BYTES_MAX {
            return Err(NameError::TooLong(len));
        }
        Ok(Self { namespace, name })
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns the name within the namespace, possibly empty.
    pub fn name(&self) -> &Bytes {
        &self.name
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            write_safe(f, field)?;
        }
        Ok(())
    }
}

impl fmt::Display for FullTrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}--", self.namespace)?;
        write_safe(f, &self.name)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({self})")
    }
}

impl fmt::Debug for FullTrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FullTrackName({self})")
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        parse_fields(text.as_bytes())
    }
}

impl FromStr for FullTrackName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let split = bytes
            .windows(2)
            .position(|pair| pair == b"--")
            .ok_or(NameError::NoTrackName)?;
        let namespace = parse_fields(&bytes[..split])?;
        let name = parse_safe(&bytes[split + 2..], split + 2)?;
        Self::new(namespace, name)
    }
}

fn write_safe(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for byte in bytes {
        if is_literal(*byte) {
            write!(f, "{}", char::from(*byte))?;
        } else {
            write!(f, ".{byte:02x}")?;
        }
    }
    Ok(())
}

fn parse_fields(text: &[u8]) -> Result<Namespace, NameError> {
    let mut namespace = Namespace::default();
    if text.is_empty() {
        return Ok(namespace);
    }
    let mut offset = 0;
    for field in text.split(|byte| *byte == b'-') {
        namespace.push(parse_safe(field, offset)?)?;
        offset += field.len() + 1;
    }
    Ok(namespace)
}

/// `offset` is where `text` begins in the whole, for the error.
fn parse_safe(text: &[u8], offset: usize) -> Result<Bytes, NameError> {
    let mut out = BytesMut::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let bad = NameError::NotCanonical(offset + at);
        if is_literal(*byte) {
            out.extend_from_slice(&[*byte]);
            at += 1;
            continue;
        }
        let (b'.', Some(&[high, low])) = (*byte, text.get(at + 1..at + 3)) else {
            return Err(bad);
        };
        let (Some(high), Some(low)) = (lower_hex(high), lower_hex(low)) else {
            return Err(bad);
        };
        let value = high << 4 | low;
        if is_literal(value) {
            return Err(bad);
        }
        out.extend_from_slice(&[value]);
        at += 3;
    }
    Ok(out.freeze())
}

fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
