//! WAV files as programs that speak write them: uncompressed, 16 bits.

use crate::clip::ClipError;

/// The sound of a file.
#[derive(Debug)]
pub(crate) struct Wav<'a> {
    pub(crate) hz: u32,
    pub(crate) channels: u16,
    /// Little-endian, 16 bits each.
    pub(crate) samples: &'a [[u8; 2]],
}

impl<'a> Wav<'a> {
    /// Reads a file; one that was written to a pipe says nothing true of its length, and ends where it ends.
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, ClipError> {
        let (head, mut rest) = file.split_at_checked(12).ok_or(ClipError::Cut)?;
        let [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E'] = head else {
            return Err(ClipError::NotWav);
        };
        let mut form = None;
        loop {
            let (id, after) = rest.split_first_chunk::<4>().ok_or(ClipError::Cut)?;
            let (len, after) = after.split_first_chunk::<4>().ok_or(ClipError::Cut)?;
            let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
            if id == b"data" {
                let (hz, channels) = form.ok_or(ClipError::NotWav)?;
                let (data, _) = after.split_at_checked(len).unwrap_or((after, &[]));
                let (samples, _) = data.as_chunks();
                return Ok(Self {
                    hz,
                    channels,
                    samples,
                });
            }
            let (chunk, after) = after.split_at_checked(len).ok_or(ClipError::Cut)?;
            if id == b"fmt " {
                form = Some(form_of(chunk)?);
            }
            // Chunks begin at even places.
            rest = after.get(len % 2..).unwrap_or_default();
        }
    }
}

/// Returns the samples in a second and the channels.
fn form_of(chunk: &[u8]) -> Result<(u32, u16), ClipError> {
    let [
        tag_low,
        tag_high,
        channels_low,
        channels_high,
        hz_0,
        hz_1,
        hz_2,
        hz_3,
        _,
        _,
        _,
        _,
        _,
        _,
        bits_low,
        bits_high,
        ..,
    ] = chunk
    else {
        return Err(ClipError::Cut);
    };
    let tag = u16::from_le_bytes([*tag_low, *tag_high]);
    let bits = u16::from_le_bytes([*bits_low, *bits_high]);
    if !matches!(tag, PCM | EXTENSIBLE) || bits != 16 {
        return Err(ClipError::NotPcm);
    }
    let hz = u32::from_le_bytes([*hz_0, *hz_1, *hz_2, *hz_3]);
    Ok((hz, u16::from_le_bytes([*channels_low, *channels_high])))
}

/// Samples as numbers.
const PCM: u16 = 1;
/// A longer form of the same; other codings of 16 bits are not in use.
const EXTENSIBLE: u16 = 0xfffe;
