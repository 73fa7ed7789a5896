//! G.711: µ-law and A-law, a byte for each sample of 8 kHz.

/// Which of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// North America and Japan; RTP payload type 0.
    Mu,
    /// Everywhere else; RTP payload type 8.
    A,
}

impl Law {
    /// Appends the samples that `bytes` stand for.
    pub fn decode(self, bytes: &[u8], out: &mut Vec<i16>) {
        let table = match self {
            Self::Mu => &MU,
            Self::A => &A,
        };
        out.extend(bytes.iter().map(|byte| table[usize::from(*byte)]));
    }

    /// Appends a byte for each sample.
    pub fn encode(self, samples: &[i16], out: &mut Vec<u8>) {
        match self {
            Self::Mu => out.extend(samples.iter().map(|sample| to_mu(*sample))),
            Self::A => out.extend(samples.iter().map(|sample| to_a(*sample))),
        }
    }
}

/// Added before the segment is looked for, so that every segment begins at a power of two (table 2 of G.711, scaled
/// from 14 to 16 bits).
const MU_BIAS: i32 = 0x84;
/// The largest value that has a code.
const MU_MAX: i32 = 32_635;

static MU: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = from_mu(byte as u8);
        byte += 1;
    }
    table
};

static A: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = from_a(byte as u8);
        byte += 1;
    }
    table
};

const fn from_mu(byte: u8) -> i16 {
    let byte = !byte;
    let step = ((byte & 0x0f) as i32) << 3;
    let value = ((step + MU_BIAS) << ((byte >> 4) & 0b111)) - MU_BIAS;
    if byte & 0x80 == 0 {
        value as i16
    } else {
        -value as i16
    }
}

fn to_mu(sample: i16) -> u8 {
    let value = i32::from(mirrored(sample)).min(MU_MAX) + MU_BIAS;
    let segment = 24 - value.leading_zeros() as i32;
    let step = (value >> (segment + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !((sign | segment << 4 | step) as u8)
}

/// Negative values are mirrored by their complement, so that -1 and 0 are alike but for the sign.
fn mirrored(sample: i16) -> i16 {
    if sample < 0 { !sample } else { sample }
}

const fn from_a(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let step = ((byte & 0x0f) as i32) << 4;
    let value = match (byte >> 4) & 0b111 {
        0 => step + 8,
        segment => (step + 0x108) << (segment - 1),
    };
    if byte & 0x80 == 0 {
        -value as i16
    } else {
        value as i16
    }
}

fn to_a(sample: i16) -> u8 {
    let value = i32::from(mirrored(sample));
    let code = match 24 - (value | 0xff).leading_zeros() as i32 {
        0 => value >> 4,
        segment => segment << 4 | (value >> (segment + 3)) & 0x0f,
    };
    let sign = if sample < 0 { 0 } else { 0x80 };
    (sign | code) as u8 ^ 0x55
}
