//! Properties of an audio object and of its track, as draft-ietf-moq-loc defines them.
//!
//! They are MoQT key-value pairs of draft-18 (section 1.4.2): types as deltas, integers in its own variable-length
//! encoding (section 1.4.1). Those two are written out here, some forty lines, because this crate stands beside
//! `moqt` on the ground floor and a property block is all it needs of MoQT. The payload is the bare Opus packet and
//! has no codec here.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// The unit of our timestamps: 1/48000 s.
pub const TIMESCALE: u64 = 48_000;

/// Steps of [`TIMESCALE`] in one object of 20 ms.
pub const OBJECT_TICKS: u64 = TIMESCALE / 50;

/// Objects of one group, which is one second.
pub const GROUP_OBJECTS: u64 = 50;

/// Publisher priority of voice: before everything else (lower goes first, 128 is the default).
pub const PRIORITY: u8 = 0x20;

/// After so many milliseconds a voice object is of no use to anyone (OBJECT_DELIVERY_TIMEOUT).
pub const DELIVERY_TIMEOUT_MS: u64 = 500;

/// What a property block says about sound; whatever else it holds is skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties {
    /// Timestamp (0x10) in units of the timescale; an arbitrary start.
    pub timestamp: Option<u64>,
    /// Timescale (0x08), units per second. We give it once, as a property of the track.
    pub timescale: Option<u64>,
    /// Audio Level (0x0C).
    pub level: Option<Level>,
    /// Voice Kind (0x1D52), a property of ours.
    pub kind: Kind,
    /// Voice Mode (0x1D54), a property of ours: how this and what follows is sent.
    pub mode: Option<Mode>,
    /// Participant (0x1D58), a property of ours on seat tracks: whose voice it is, the 3 of `p3`. Inside Immutable
    /// Properties, where a publisher could have put it, it means nothing.
    pub participant: Option<u64>,
}

/// How a voice is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// How long packets are: 10, 20, 40 or 60 ms.
    pub length_ms: u8,
    /// The codec's kbit/s: a multiple of 4, up to 64.
    pub kbps: u8,
    /// Whether packets repeat the ones before them.
    pub fec: bool,
    /// Whether silence is left out.
    pub saving: bool,
}

impl Mode {
    /// Returns the octet: bit 7 saving, bit 6 error correction, bits 4 and 5 the length (10, 20, 40, 60 ms), bits 0 to
    /// 3 the bitrate in steps of 4 kbit/s from 4.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        let length = match self.length_ms {
            0..=10 => 0,
            11..=20 => 1,
            21..=40 => 2,
            41.. => 3,
        };
        let rate = (self.kbps / 4).clamp(1, 16) - 1;
        u8::from(self.saving) << 7 | u8::from(self.fec) << 6 | length << 4 | rate
    }

    /// Reads what [`to_byte`](Self::to_byte) writes.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self {
            length_ms: [10, 20, 40, 60][usize::from(byte >> 4 & 3)],
            kbps: ((byte & 0x0f) + 1) * 4,
            fec: byte & 0x40 != 0,
            saving: byte & 0x80 != 0,
        }
    }
}

/// What an object is to a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// Sound; what objects are that say nothing.
    #[default]
    Speech,
    /// Nothing is sent from here on until the next object of another kind: the object has no
    /// payload, and its level is that of the background.
    Silence,
    /// Sound that can be decoded without what came before: the first after a silence.
    Key,
}

impl Kind {
    fn to_value(self) -> Option<u64> {
        match self {
            Self::Speech => None,
            Self::Silence => Some(1),
            Self::Key => Some(2),
        }
    }

    /// Values that come later are some sort of sound.
    fn from_value(value: u64) -> Self {
        match value {
            1 => Self::Silence,
            2 => Self::Key,
            _ => Self::Speech,
        }
    }
}

impl Properties {
    /// Returns what each of our objects carries.
    #[must_use]
    pub const fn of_object(timestamp: u64, level: Level) -> Self {
        Self {
            timestamp: Some(timestamp),
            timescale: None,
            level: Some(level),
            kind: Kind::Speech,
            mode: None,
            participant: None,
        }
    }

    /// Returns the same of an object of that kind.
    #[must_use]
    pub const fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// Returns the same, saying how it is sent.
    #[must_use]
    pub const fn with_mode(self, mode: Option<Mode>) -> Self {
        Self { mode, ..self }
    }

    /// Returns the timestamp in units of 1/48000 s.
    ///
    /// The object's own timescale counts before `of_track`, that of the track; without either the unit is one
    /// microsecond (draft-ietf-moq-loc, Timestamp). `None` without a timestamp, for a timescale of 0, or past 2^64.
    #[must_use]
    pub fn timestamp_48k(&self, of_track: Option<u64>) -> Option<u64> {
        to_48k(self.timestamp?, self.timescale.or(of_track))
    }

    /// Appends the properties to `out`, in ascending order of their types.
    pub fn encode(&self, out: &mut BytesMut) {
        let level = self.level.map(|level| u64::from(level.to_byte()));
        let pairs = [
            (TYPE_TIMESCALE, self.timescale),
            (TYPE_AUDIO_LEVEL, level),
            (TYPE_TIMESTAMP, self.timestamp),
            (TYPE_KIND, self.kind.to_value()),
            (TYPE_MODE, self.mode.map(|mode| mode.to_byte().into())),
            (TYPE_PARTICIPANT, self.participant),
        ];
        put_pairs(out, &pairs);
    }

    /// Returns the properties as one block of bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(ENCODED_BYTES_MAX);
        self.encode(&mut out);
        out.freeze()
    }

    /// Reads a whole block of properties, those inside Immutable Properties (0x0B) too. Of a type that comes twice
    /// the first one counts.
    ///
    /// # Errors
    ///
    /// When the block is cut short or nested, a type passes 2^64 - 1, or a value is longer than 2^16 - 1 bytes.
    pub fn decode(block: &[u8]) -> Result<Self, DecodeError> {
        let mut properties = Self::default();
        properties.read(block, Immutable::Outside)?;
        Ok(properties)
    }

    fn read(&mut self, mut rest: &[u8], immutable: Immutable) -> Result<(), DecodeError> {
        let mut kind: u64 = 0;
        while !rest.is_empty() {
            let delta = take_varint(&mut rest)?;
            kind = kind.checked_add(delta).ok_or(DecodeError::TypeTooLarge)?;
            if kind % 2 == 1 {
                let value = take_value(&mut rest)?;
                match immutable {
                    _ if kind != TYPE_IMMUTABLE => {}
                    Immutable::Outside => self.read(value, Immutable::Inside)?,
                    Immutable::Inside => return Err(DecodeError::Nested),
                }
                continue;
            }
            let value = take_varint(&mut rest)?;
            match kind {
                TYPE_TIMESCALE => self.timescale = self.timescale.or(Some(value)),
                TYPE_AUDIO_LEVEL => self.level = self.level.or(Some(Level::from_value(value))),
                TYPE_TIMESTAMP => self.timestamp = self.timestamp.or(Some(value)),
                TYPE_MODE => {
                    let byte = (value & 0xff) as u8;
                    self.mode = self.mode.or(Some(Mode::from_byte(byte)));
                }
                TYPE_KIND if self.kind == Kind::Speech => self.kind = Kind::from_value(value),
                TYPE_PARTICIPANT if immutable == Immutable::Outside => {
                    self.participant = self.participant.or(Some(value));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns the properties of our audio tracks: the timescale, [`DELIVERY_TIMEOUT_MS`] and [`PRIORITY`].
#[must_use]
pub fn track_properties() -> Bytes {
    let mut out = BytesMut::with_capacity(ENCODED_BYTES_MAX);
    let pairs = [
        (TYPE_OBJECT_DELIVERY_TIMEOUT, Some(DELIVERY_TIMEOUT_MS)),
        (TYPE_TIMESCALE, Some(TIMESCALE)),
        (TYPE_DEFAULT_PUBLISHER_PRIORITY, Some(u64::from(PRIORITY))),
    ];
    put_pairs(&mut out, &pairs);
    out.freeze()
}

/// Returns the properties of an object for the seat that its publisher, `participant`, has in a room: as they are, but
/// for Participant, which is ours to say, and what draft-18 says of groups and objects before this one, which are others
/// there. `timescale`: that of the publisher's track, where it is not that of the seat and the object has none itself.
///
/// # Errors
///
/// When the block cannot be read, or says something of other objects where it must not be changed.
pub fn of_seat(
    block: &[u8],
    participant: u64,
    timescale: Option<u64>,
) -> Result<Bytes, DecodeError> {
    let mut out = BytesMut::with_capacity(block.len() + SEAT_BYTES_MAX);
    let ours = [
        (TYPE_TIMESCALE, timescale),
        (TYPE_PARTICIPANT, Some(participant)),
    ];
    let ours = ours
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value?)));
    let mut ours = ours.peekable();
    let (mut kind, mut written) = (0_u64, 0);
    let mut rest = block;
    while !rest.is_empty() {
        let delta = take_varint(&mut rest)?;
        kind = kind.checked_add(delta).ok_or(DecodeError::TypeTooLarge)?;
        let from = rest;
        if kind % 2 == 1 {
            let value = take_value(&mut rest)?;
            if kind == TYPE_IMMUTABLE {
                stays_true(value)?;
            }
        } else {
            take_varint(&mut rest)?;
        }
        let value = &from[..from.len() - rest.len()];
        while let Some((kind, value)) = ours.next_if(|(ours, _)| *ours <= kind) {
            put_varint(&mut out, kind - written);
            put_varint(&mut out, value);
            written = kind;
        }
        if kind == TYPE_PARTICIPANT || TYPES_OF_PLACES.contains(&kind) {
            continue;
        }
        put_varint(&mut out, kind - written);
        out.put_slice(value);
        written = kind;
    }
    for (kind, value) in ours {
        put_varint(&mut out, kind - written);
        put_varint(&mut out, value);
        written = kind;
    }
    Ok(out.freeze())
}

/// Fails when a block that must not be changed says something of other objects.
fn stays_true(mut rest: &[u8]) -> Result<(), DecodeError> {
    let mut kind: u64 = 0;
    while !rest.is_empty() {
        let delta = take_varint(&mut rest)?;
        kind = kind.checked_add(delta).ok_or(DecodeError::TypeTooLarge)?;
        if TYPES_OF_PLACES.contains(&kind) {
            return Err(DecodeError::Misplaced(kind));
        }
        if kind % 2 == 1 {
            take_value(&mut rest)?;
        } else {
            take_varint(&mut rest)?;
        }
    }
    Ok(())
}

/// How loud an object is, as in RFC 6464 section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Decibels below overload, 0 (loudest) to 127 (silence).
    pub below_overload_db: u8,
    /// Whether the sender takes it for voice.
    pub voice: bool,
}

impl Level {
    /// Digital silence, no voice.
    pub const SILENCE: Self = Self {
        below_overload_db: 127,
        voice: false,
    };

    /// Returns voice in bit 7 and the level in bits 0 to 6; more than 127 dB becomes 127.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        self.below_overload_db.min(127) | if self.voice { 0x80 } else { 0 }
    }

    /// Reads what [`to_byte`](Self::to_byte) writes.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self {
            below_overload_db: byte & 0x7f,
            voice: byte & 0x80 != 0,
        }
    }

    /// Reads the least significant 8 bits, which are all that the property means.
    fn from_value(value: u64) -> Self {
        Self::from_byte((value & 0xff) as u8)
    }
}

/// A block of properties that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The block ends inside a pair.
    #[error("property block ends inside a pair")]
    Truncated,
    /// The sum of the deltas passes 2^64 - 1.
    #[error("property type above 2^64 - 1")]
    TypeTooLarge,
    /// Immutable Properties inside Immutable Properties, which draft-18 forbids.
    #[error("immutable properties inside immutable properties")]
    Nested,
    /// A value is longer than draft-18 allows.
    #[error("property value of {0} bytes, at most {VALUE_BYTES_MAX}")]
    ValueTooLong(u64),
    /// Immutable Properties say something of other objects, which is not true in another track.
    #[error("property {0:#x} cannot be taken out")]
    Misplaced(u64),
}

/// Which side of the border of Immutable Properties is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Immutable {
    Outside,
    Inside,
}

/// Brings a timestamp to units of 1/48000 s.
pub(crate) fn to_48k(timestamp: u64, timescale: Option<u64>) -> Option<u64> {
    let scale = timescale.unwrap_or(MICROSECONDS);
    let ticks = u128::from(timestamp) * u128::from(TIMESCALE);
    u64::try_from(ticks.checked_div(u128::from(scale))?).ok()
}

pub(crate) fn take_value<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let len = take_varint(rest)?;
    if len > VALUE_BYTES_MAX {
        return Err(DecodeError::ValueTooLong(len));
    }
    let (value, after) = rest
        .split_at_checked(len as usize)
        .ok_or(DecodeError::Truncated)?;
    *rest = after;
    Ok(value)
}

/// Draft-18 section 1.4.1: the leading ones of the first byte count the bytes that follow it.
pub(crate) fn take_varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let (&first, after) = rest.split_first().ok_or(DecodeError::Truncated)?;
    let following = first.leading_ones() as usize;
    let (bytes, after) = after
        .split_at_checked(following)
        .ok_or(DecodeError::Truncated)?;
    let head = if following < 7 {
        u64::from(first & (0x7f >> following))
    } else {
        0
    };
    *rest = after;
    Ok(bytes
        .iter()
        .fold(head, |value, &byte| value << 8 | u64::from(byte)))
}

/// Writes the pairs that have a value; types must ascend and be even.
pub(crate) fn put_pairs(out: &mut BytesMut, pairs: &[(u64, Option<u64>)]) {
    let mut previous = 0;
    for &(kind, value) in pairs {
        let Some(value) = value else { continue };
        put_varint(out, kind - previous);
        put_varint(out, value);
        previous = kind;
    }
}

pub(crate) fn put_varint(out: &mut BytesMut, value: u64) {
    let bits = (u64::BITS - value.leading_zeros()) as usize;
    let bytes = value.to_be_bytes();
    // Seven bits for each byte of the encoding, but for the ninth, which brings eight.
    let following = if bits > 56 {
        8
    } else {
        bits.saturating_sub(1) / 7
    };
    let marks = !(0xff_u16 >> following) as u8;
    let head = if following < 7 {
        bytes[7 - following]
    } else {
        0
    };
    out.put_u8(marks | head);
    out.put_slice(&bytes[8 - following..]);
}

pub(crate) const TYPE_OBJECT_DELIVERY_TIMEOUT: u64 = 0x02;
pub(crate) const TYPE_TIMESCALE: u64 = 0x08;
pub(crate) const TYPE_IMMUTABLE: u64 = 0x0B;
const TYPE_AUDIO_LEVEL: u64 = 0x0C;
pub(crate) const TYPE_DEFAULT_PUBLISHER_PRIORITY: u64 = 0x0E;
pub(crate) const TYPE_TIMESTAMP: u64 = 0x10;
/// Far from what the working group numbers, and even: its value is an integer.
const TYPE_KIND: u64 = 0x1D52;
const TYPE_MODE: u64 = 0x1D54;
const TYPE_PARTICIPANT: u64 = 0x1D58;

/// Prior Group ID Gap and Prior Object ID Gap (draft-18 section 12): what does not exist before an object in its track.
const TYPES_OF_PLACES: [u64; 2] = [0x3C, 0x3E];

/// The timescale where none is given.
const MICROSECONDS: u64 = 1_000_000;

/// Draft-18 section 1.4.2.
const VALUE_BYTES_MAX: u64 = 65_535;

/// Three types of one byte, two values of up to nine bytes, a level of two, a kind of three, a mode of three, and a
/// participant.
pub const ENCODED_BYTES_MAX: usize = 3 + 2 * 9 + 2 + 3 + 3 + 10;

/// A timescale and a participant, with types of two bytes: what a seat adds.
const SEAT_BYTES_MAX: usize = 2 * (2 + 9);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_the_draft() {
        let examples: [(&[u8], u64); 8] = [
            (&[0x25], 37),
            (&[0x80, 0x25], 37),
            (&[0xbb, 0xbd], 15_293),
            (&[0xed, 0x7f, 0x3e, 0x7d], 226_442_877),
            (&[0xfa, 0xa1, 0xa0, 0xe4, 0x03, 0xd8], 2_893_212_287_960),
            (
                &[0xfc, 0x89, 0x98, 0xab, 0xc6, 0x6b, 0xc0],
                151_288_809_941_952,
            ),
            (
                &[0xfe, 0xfa, 0x31, 0x8f, 0xa8, 0xe3, 0xca, 0x11],
                70_423_237_261_249_041,
            ),
            (&[0xff; 9], u64::MAX),
        ];
        for (bytes, value) in examples {
            let mut rest = bytes;

            assert_eq!(take_varint(&mut rest), Ok(value), "{bytes:02x?}");
            assert!(rest.is_empty());
            if bytes != [0x80, 0x25] {
                let mut out = BytesMut::new();
                put_varint(&mut out, value);
                assert_eq!(out, bytes, "the shortest form is the example's");
            }
        }
    }

    #[test]
    fn each_length_ends_where_the_draft_says() {
        for (following, bits) in [7, 14, 21, 28, 35, 42, 49, 56].into_iter().enumerate() {
            let largest = (1_u64 << bits) - 1;
            for (value, len) in [(largest, following + 1), (largest + 1, following + 2)] {
                let mut out = BytesMut::new();
                put_varint(&mut out, value);

                assert_eq!(out.len(), len, "{value}");
                assert_eq!(take_varint(&mut &out[..]), Ok(value));
            }
        }
    }
}
