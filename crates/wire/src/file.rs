//! Files that people in a room give each other: what one is by its content, and how its name is written in HTTP.
//!
//! A file's type is looked for in its first bytes. Whether the rest is sound is left to those who open it.

use std::fmt::Write as _;

/// The longest name that is read, in bytes as written: 255 characters of four bytes, three signs each.
pub const NAME_LEN_MAX: usize = 3 * 4 * 255;

/// A type of files that can be told from others by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileType {
    /// `image/png`.
    Png,
    /// `image/jpeg`.
    Jpeg,
    /// `image/gif`.
    Gif,
    /// `image/webp`.
    Webp,
    /// `application/pdf`.
    Pdf,
    /// `text/plain`: UTF-8 without control characters.
    Text,
}

impl FileType {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Png,
        Self::Jpeg,
        Self::Gif,
        Self::Webp,
        Self::Pdf,
        Self::Text,
    ];

    /// Returns its media type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
            Self::Text => "text/plain",
        }
    }

    /// Tells whether a browser shows it as a picture.
    #[must_use]
    pub fn is_image(self) -> bool {
        match self {
            Self::Png | Self::Jpeg | Self::Gif | Self::Webp => true,
            Self::Pdf | Self::Text => false,
        }
    }

    /// Returns which one a `Content-Type` names; its parameters do not count.
    #[must_use]
    pub fn named(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.as_str().eq_ignore_ascii_case(essence))
    }

    /// Returns which one a file is; `None`: none of them.
    #[must_use]
    pub fn of(content: &[u8]) -> Option<Self> {
        // RFC 2083, section 3.1, and the chunk that must come first.
        if content.starts_with(b"\x89PNG\r\n\x1a\n") && content.get(12..16) == Some(b"IHDR") {
            return Some(Self::Png);
        }
        // SOI and the beginning of a marker.
        if content.starts_with(b"\xff\xd8\xff") {
            return Some(Self::Jpeg);
        }
        if content.starts_with(b"GIF87a") || content.starts_with(b"GIF89a") {
            return Some(Self::Gif);
        }
        if content.starts_with(b"RIFF") && content.get(8..15) == Some(b"WEBPVP8") {
            return Some(Self::Webp);
        }
        if content.starts_with(b"%PDF-") {
            return Some(Self::Pdf);
        }
        is_text(content).then_some(Self::Text)
    }
}

/// Text has lines and tabs; other controls belong to programs, terminals and binary formats.
fn is_text(content: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(content) else {
        return false;
    };
    let plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    !text.is_empty() && text.chars().all(plain)
}

/// Why a name cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Longer than [`NAME_LEN_MAX`].
    #[error("{0} bytes, at most {NAME_LEN_MAX}")]
    TooLong(usize),
    /// Not two hexadecimal digits after a `%`.
    #[error("no two hexadecimal digits after the % at byte {0}")]
    Escape(usize),
    /// Not UTF-8 when it is decoded.
    #[error("not UTF-8")]
    Utf8,
}

/// Reads a name that is percent-encoded UTF-8 (RFC 3986, section 2.1).
///
/// It is somebody's word: what it is to be used for decides what of it can stay.
///
/// # Errors
///
/// When it is not that.
pub fn decode_name(text: &[u8]) -> Result<String, NameError> {
    if text.len() > NAME_LEN_MAX {
        return Err(NameError::TooLong(text.len()));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte != b'%' {
            bytes.push(*byte);
            at += 1;
            continue;
        }
        let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
        let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
            return Err(NameError::Escape(at));
        };
        // Two digits are at most 255.
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(u8::MAX));
        at += 3;
    }
    String::from_utf8(bytes).map_err(|_| NameError::Utf8)
}

/// Writes a name as a `filename*` of `Content-Disposition` has it (RFC 8187, section 3.2.1), without its charset.
#[must_use]
pub fn encode_name(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
    }
    text
}
