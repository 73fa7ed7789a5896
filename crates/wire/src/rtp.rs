//! RTP packets (RFC 3550) with header extensions (RFC 8285), and the reports of RTCP.
//!
//! Nothing that a peer sends makes a decoder read past what it was given: what does not fit is refused.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::audio_object::{Level, Mode};

/// Bytes of a packet's header without contributing sources and extensions.
pub const HEADER_BYTES: usize = 12;

/// Payload type of G.711 µ-law (RFC 3551).
pub const PCMU: u8 = 0;
/// Payload type of G.711 A-law.
pub const PCMA: u8 = 8;
/// Payload type of G.722, whose clock is 8000 although it is 16 kHz (RFC 3551 section 4.5.2).
pub const G722: u8 = 9;

/// The id under which we write the audio level (RFC 6464), and read it.
pub const LEVEL_EXTENSION: u8 = 1;

/// The id under which we write how the voice is sent ([`Mode`]), and read it.
pub const MODE_EXTENSION: u8 = 2;

/// One-byte extensions (RFC 8285 section 4.2).
const PROFILE_ONE_BYTE: u16 = 0xbede;
/// Two-byte extensions (section 4.3); the last four bits may be anything.
const PROFILE_TWO_BYTES: u16 = 0x1000;

/// One RTP packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet {
    /// The codec.
    pub payload_type: u8,
    /// First of a talk spurt.
    pub marker: bool,
    /// One more with each packet.
    pub sequence: u16,
    /// When the first sample was taken, by the codec's clock.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// How loud the payload is, by the extension [`LEVEL_EXTENSION`].
    pub level: Option<Level>,
    /// How the voice is sent, by the extension [`MODE_EXTENSION`].
    pub mode: Option<Mode>,
    /// The sound.
    pub payload: Bytes,
}

/// What is no RTP or RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than it says it has.
    #[error("packet is cut short")]
    Truncated,
    /// Neither RTP nor RTCP.
    #[error("version {0} instead of 2")]
    Version(u8),
    /// The padding is longer than the packet.
    #[error("padding of {0} bytes")]
    Padding(u8),
    /// A compound packet must begin with a report (RFC 3550 section 6.1).
    #[error("RTCP that begins with type {0}")]
    NoReport(u8),
}

/// Returns whether a datagram is RTCP where both come on one port (RFC 5761 section 4).
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

impl Packet {
    /// Reads a datagram.
    ///
    /// # Errors
    ///
    /// When it is no RTP packet.
    pub fn decode(datagram: &Bytes) -> Result<Self, DecodeError> {
        let header = datagram
            .first_chunk::<HEADER_BYTES>()
            .ok_or(DecodeError::Truncated)?;
        let &[b0, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = header;
        if b0 >> 6 != 2 {
            return Err(DecodeError::Version(b0 >> 6));
        }
        let mut start = HEADER_BYTES + usize::from(b0 & 0x0f) * 4;
        let mut said = Extensions::default();
        if b0 & 0x10 != 0 {
            let rest = datagram.get(start..).ok_or(DecodeError::Truncated)?;
            let &[p0, p1, l0, l1] = rest.first_chunk::<4>().ok_or(DecodeError::Truncated)?;
            let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
            let block = rest.get(4..4 + len).ok_or(DecodeError::Truncated)?;
            said = Extensions::find(u16::from_be_bytes([p0, p1]), block);
            start += 4 + len;
        }
        let end = datagram.len() - padding(datagram, b0)?;
        if start > end {
            return Err(DecodeError::Truncated);
        }
        Ok(Self {
            payload_type: b1 & 0x7f,
            marker: b1 & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            level: said.level,
            mode: said.mode,
            payload: datagram.slice(start..end),
        })
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(HEADER_BYTES + 8 + self.payload.len());
        let said = self.level.is_some() || self.mode.is_some();
        out.put_u8(0x80 | if said { 0x10 } else { 0 });
        out.put_u8(self.payload_type & 0x7f | if self.marker { 0x80 } else { 0 });
        out.put_u16(self.sequence);
        out.put_u32(self.timestamp);
        out.put_u32(self.ssrc);
        if said {
            let level = self.level.map(|level| (LEVEL_EXTENSION, level.to_byte()));
            let mode = self.mode.map(|mode| (MODE_EXTENSION, mode.to_byte()));
            // Zeros are padding. The length of a one-byte extension is one less than it is.
            let mut block = [0; 4];
            for (pair, (id, value)) in block.chunks_exact_mut(2).zip(level.into_iter().chain(mode))
            {
                pair.copy_from_slice(&[id << 4, value]);
            }
            out.put_u16(PROFILE_ONE_BYTE);
            out.put_u16(1);
            out.put_slice(&block);
        }
        out.put_slice(&self.payload);
    }
}

fn padding(datagram: &[u8], first: u8) -> Result<usize, DecodeError> {
    if first & 0x20 == 0 {
        return Ok(0);
    }
    match datagram.last() {
        Some(&len) if len > 0 && usize::from(len) <= datagram.len() => Ok(usize::from(len)),
        Some(&len) => Err(DecodeError::Padding(len)),
        None => Err(DecodeError::Truncated),
    }
}

/// What header extensions say.
#[derive(Debug, Clone, Copy, Default)]
struct Extensions {
    level: Option<Level>,
    mode: Option<Mode>,
}

impl Extensions {
    /// Looks through a block; what comes behind damage is not said.
    fn find(profile: u16, mut block: &[u8]) -> Self {
        let mut said = Self::default();
        let two_bytes = match profile {
            PROFILE_ONE_BYTE => false,
            profile if profile & 0xfff0 == PROFILE_TWO_BYTES => true,
            _ => return said,
        };
        while let Some((id, value, rest)) = next_extension(two_bytes, block) {
            match (id, value.first()) {
                (LEVEL_EXTENSION, Some(&byte)) => {
                    said.level = said.level.or(Some(Level::from_byte(byte)));
                }
                (MODE_EXTENSION, Some(&byte)) => {
                    said.mode = said.mode.or(Some(Mode::from_byte(byte)));
                }
                _ => {}
            }
            block = rest;
        }
        said
    }
}

/// Returns the next extension's id and value, and what is behind it.
fn next_extension(two_bytes: bool, mut block: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    // Padding.
    while let Some((0, rest)) = block.split_first() {
        block = rest;
    }
    let (&first, rest) = block.split_first()?;
    let (id, len, rest) = if two_bytes {
        let (&len, rest) = rest.split_first()?;
        (first, usize::from(len), rest)
    } else {
        (first >> 4, usize::from(first & 0x0f) + 1, rest)
    };
    // 15 ends a block of one-byte extensions.
    if !two_bytes && id == 15 {
        return None;
    }
    let (value, rest) = rest.split_at_checked(len)?;
    Some((id, value, rest))
}

/// What a participant says of what it has sent; RFC 3550 section 6.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// Seconds since 1900 and their fraction.
    pub ntp: u64,
    /// The same moment by the codec's clock.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Bytes of payload sent.
    pub bytes: u32,
}

/// What a participant says of what it has received from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// The part of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all; fewer than none when there are duplicates.
    pub lost: i32,
    /// The highest sequence number, with how often it began anew in the upper half.
    pub highest: u32,
    /// The variation of arrival, in the codec's clock.
    pub jitter: u32,
    /// The middle of the [`SenderInfo::ntp`] that came last; 0: none.
    pub last_report: u32,
    /// How long ago that was, in 1/65536 s.
    pub delay: u32,
}

/// A compound RTCP packet, as far as we care: a report, our name, a farewell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reports {
    /// Who reports.
    pub ssrc: u32,
    /// What it sent; `None` when it has sent nothing (a receiver report).
    pub sender: Option<SenderInfo>,
    /// What it received; we send at most one.
    pub blocks: Vec<ReportBlock>,
    /// It leaves.
    pub bye: bool,
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// The item of a source description that every compound packet must hold.
const CNAME: u8 = 1;

const BLOCK_BYTES: usize = 24;

impl Reports {
    /// Reads a datagram for which [`is_rtcp`]; of several reports the first sender's counts.
    ///
    /// # Errors
    ///
    /// When it is no compound packet.
    pub fn decode(mut datagram: &[u8]) -> Result<Self, DecodeError> {
        let mut reports = Self::default();
        let mut first = true;
        while !datagram.is_empty() {
            let &[b0, kind, l0, l1] = datagram.first_chunk::<4>().ok_or(DecodeError::Truncated)?;
            if b0 >> 6 != 2 {
                return Err(DecodeError::Version(b0 >> 6));
            }
            let len = 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
            let (packet, rest) = datagram
                .split_at_checked(len)
                .ok_or(DecodeError::Truncated)?;
            let end = len - padding(packet, b0)?;
            let body = packet.get(4..end).ok_or(DecodeError::Truncated)?;
            match kind {
                SENDER_REPORT | RECEIVER_REPORT if first => {
                    reports.read_report(kind, usize::from(b0 & 0x1f), body)?;
                }
                _ if first => return Err(DecodeError::NoReport(kind)),
                GOODBYE => reports.bye = true,
                _ => {}
            }
            first = false;
            datagram = rest;
        }
        if first {
            return Err(DecodeError::Truncated);
        }
        Ok(reports)
    }

    fn read_report(&mut self, kind: u8, count: usize, body: &[u8]) -> Result<(), DecodeError> {
        let word = |at: usize| {
            let word = body.get(at..).and_then(|rest| rest.first_chunk::<4>());
            word.map(|bytes| u32::from_be_bytes(*bytes))
                .ok_or(DecodeError::Truncated)
        };
        self.ssrc = word(0)?;
        let mut at = 4;
        if kind == SENDER_REPORT {
            self.sender = Some(SenderInfo {
                ntp: u64::from(word(4)?) << 32 | u64::from(word(8)?),
                timestamp: word(12)?,
                packets: word(16)?,
                bytes: word(20)?,
            });
            at = 24;
        }
        for block in 0..count {
            let at = at + block * BLOCK_BYTES;
            let lost = word(at + 4)?;
            self.blocks.push(ReportBlock {
                ssrc: word(at)?,
                fraction_lost: (lost >> 24) as u8,
                // 24 bits with a sign.
                lost: (lost << 8) as i32 >> 8,
                highest: word(at + 8)?,
                jitter: word(at + 12)?,
                last_report: word(at + 16)?,
                delay: word(at + 20)?,
            });
        }
        Ok(())
    }

    /// Appends the compound packet to `out`, with `name` (at most 255 bytes) as our canonical name.
    pub fn encode(&self, name: &str, out: &mut BytesMut) {
        let blocks = &self.blocks[..self.blocks.len().min(31)];
        let sender_words = if self.sender.is_some() { 5 } else { 0 };
        let kind = if self.sender.is_some() {
            SENDER_REPORT
        } else {
            RECEIVER_REPORT
        };
        put_header(
            out,
            blocks.len() as u8,
            kind,
            1 + sender_words + 6 * blocks.len(),
        );
        out.put_u32(self.ssrc);
        if let Some(sender) = self.sender {
            out.put_u64(sender.ntp);
            out.put_u32(sender.timestamp);
            out.put_u32(sender.packets);
            out.put_u32(sender.bytes);
        }
        for block in blocks {
            out.put_u32(block.ssrc);
            let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
            out.put_u32(u32::from(block.fraction_lost) << 24 | lost);
            out.put_u32(block.highest);
            out.put_u32(block.jitter);
            out.put_u32(block.last_report);
            out.put_u32(block.delay);
        }
        let name = &name.as_bytes()[..name.len().min(255)];
        // The items end with a zero byte and are filled up to whole words.
        let items = (2 + name.len() + 1).next_multiple_of(4);
        put_header(out, 1, SOURCE_DESCRIPTION, 1 + items / 4);
        out.put_u32(self.ssrc);
        out.put_u8(CNAME);
        out.put_u8(name.len() as u8);
        out.put_slice(name);
        out.put_bytes(0, items - 2 - name.len());
        if self.bye {
            put_header(out, 1, GOODBYE, 1);
            out.put_u32(self.ssrc);
        }
    }
}

fn put_header(out: &mut BytesMut, count: u8, kind: u8, words: usize) {
    out.put_u8(0x80 | count);
    out.put_u8(kind);
    out.put_u16(words as u16);
}
