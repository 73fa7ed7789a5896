//! Properties of a video object and of its track, as draft-ietf-moq-loc defines them.
//!
//! One object is one coded picture, exactly as WebCodecs gives it (`EncodedVideoChunk`); a group begins with a
//! picture that needs none before it. Timestamps are on the time line of the same participant's voice.

use bytes::{Bytes, BytesMut};

use crate::audio_object::{
    DecodeError, TIMESCALE, TYPE_DEFAULT_PUBLISHER_PRIORITY, TYPE_IMMUTABLE,
    TYPE_OBJECT_DELIVERY_TIMEOUT, TYPE_TIMESCALE, TYPE_TIMESTAMP, put_pairs, put_varint,
    take_value, take_varint, to_48k,
};

/// After so many milliseconds a picture is of no use to anyone (OBJECT_DELIVERY_TIMEOUT): what comes is shown as soon as
/// it is there, and the voice is long past.
pub const DELIVERY_TIMEOUT_MS: u64 = 1_000;

/// How long relays may keep pictures (MAX_CACHE_DURATION): nobody rewinds them, and they would push the voices out.
pub const CACHE_MS: u64 = 5_000;

/// Longest decoder configuration that we write or read: those of H.264 and AV1 have some dozens of bytes.
pub const CONFIG_BYTES_MAX: usize = 1_024;

/// What a property block says about a picture; whatever else it holds is skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// Timestamp (0x10) in units of the timescale.
    pub timestamp: Option<u64>,
    /// Timescale (0x08), units per second. We give it once, as a property of the track.
    pub timescale: Option<u64>,
    /// Video Config (0x0D): what the decoder must know first; empty: nothing.
    pub config: Bytes,
    /// Video Frame Marking (0x09).
    pub marking: Option<Marking>,
}

/// The flags of RFC 9626 that matter here: every object is a whole picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marking {
    /// It can be decoded without any other picture.
    pub independent: bool,
    /// No other picture needs it.
    pub discardable: bool,
}

impl Marking {
    /// The octet of a picture without layers: start, end, independent, discardable.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        START
            | END
            | if self.independent { INDEPENDENT } else { 0 }
            | if self.discardable { DISCARDABLE } else { 0 }
    }

    /// Reads the first octet, with or without layers behind it.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self {
            independent: byte & INDEPENDENT != 0,
            discardable: byte & DISCARDABLE != 0,
        }
    }
}

impl Properties {
    /// Returns the timestamp in units of 1/48000 s; see
    /// [`audio_object::Properties::timestamp_48k`](crate::audio_object::Properties::timestamp_48k).
    #[must_use]
    pub fn timestamp_48k(&self, of_track: Option<u64>) -> Option<u64> {
        to_48k(self.timestamp?, self.timescale.or(of_track))
    }

    /// Returns the properties as one block of bytes; a configuration that is too long is left out.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(32 + self.config.len());
        let mut previous = 0;
        if let Some(timescale) = self.timescale {
            put_varint(&mut out, TYPE_TIMESCALE);
            put_varint(&mut out, timescale);
            previous = TYPE_TIMESCALE;
        }
        let mut value = |kind: u64, bytes: &[u8], previous: &mut u64| {
            put_varint(&mut out, kind - *previous);
            put_varint(&mut out, bytes.len() as u64);
            out.extend_from_slice(bytes);
            *previous = kind;
        };
        if let Some(marking) = self.marking {
            value(TYPE_FRAME_MARKING, &[marking.to_byte()], &mut previous);
        }
        if !self.config.is_empty() && self.config.len() <= CONFIG_BYTES_MAX {
            value(TYPE_VIDEO_CONFIG, &self.config, &mut previous);
        }
        if let Some(timestamp) = self.timestamp {
            put_varint(&mut out, TYPE_TIMESTAMP - previous);
            put_varint(&mut out, timestamp);
        }
        out.freeze()
    }

    /// Reads a whole block of properties, those inside Immutable Properties too. Of a type that comes twice the first
    /// one counts; a configuration that is too long does not count.
    ///
    /// # Errors
    ///
    /// As those of sound.
    pub fn decode(block: &[u8]) -> Result<Self, DecodeError> {
        let mut properties = Self::default();
        properties.read(block, true)?;
        Ok(properties)
    }

    fn read(&mut self, mut rest: &[u8], outside: bool) -> Result<(), DecodeError> {
        let mut kind: u64 = 0;
        while !rest.is_empty() {
            let delta = take_varint(&mut rest)?;
            kind = kind.checked_add(delta).ok_or(DecodeError::TypeTooLarge)?;
            if kind.is_multiple_of(2) {
                let value = take_varint(&mut rest)?;
                match kind {
                    TYPE_TIMESCALE => self.timescale = self.timescale.or(Some(value)),
                    TYPE_TIMESTAMP => self.timestamp = self.timestamp.or(Some(value)),
                    _ => {}
                }
                continue;
            }
            let value = take_value(&mut rest)?;
            match kind {
                TYPE_IMMUTABLE if outside => self.read(value, false)?,
                TYPE_IMMUTABLE => return Err(DecodeError::Nested),
                TYPE_FRAME_MARKING => {
                    let marking = value.first().map(|byte| Marking::from_byte(*byte));
                    self.marking = self.marking.or(marking);
                }
                TYPE_VIDEO_CONFIG if self.config.is_empty() && value.len() <= CONFIG_BYTES_MAX => {
                    self.config = Bytes::copy_from_slice(value);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns the properties of our video tracks: `priority`, [`TIMESCALE`], [`DELIVERY_TIMEOUT_MS`], [`CACHE_MS`], and that
/// subscribers may ask for a new group.
#[must_use]
pub fn track_properties(priority: u8) -> Bytes {
    let mut out = BytesMut::new();
    let pairs = [
        (TYPE_OBJECT_DELIVERY_TIMEOUT, Some(DELIVERY_TIMEOUT_MS)),
        (TYPE_MAX_CACHE_DURATION, Some(CACHE_MS)),
        (TYPE_TIMESCALE, Some(TIMESCALE)),
        (TYPE_DEFAULT_PUBLISHER_PRIORITY, Some(priority.into())),
        (TYPE_DYNAMIC_GROUPS, Some(1)),
    ];
    put_pairs(&mut out, &pairs);
    out.freeze()
}

const TYPE_MAX_CACHE_DURATION: u64 = 0x04;
const TYPE_FRAME_MARKING: u64 = 0x09;
const TYPE_VIDEO_CONFIG: u64 = 0x0D;
const TYPE_DYNAMIC_GROUPS: u64 = 0x30;

const START: u8 = 0x80;
const END: u8 = 0x40;
const INDEPENDENT: u8 = 0x20;
const DISCARDABLE: u8 = 0x10;
