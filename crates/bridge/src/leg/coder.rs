//! PCM to and from the bytes of one codec.

use bytes::{Bytes, BytesMut};
use moqrelay_audio::{g711::Law, g722};
use moqrelay_wire::audiosocket::{Audio, Rate};

use crate::codec::Codec;

/// Codes one leg's sound, both ways.
#[derive(Debug)]
pub(super) enum Coder {
    Slin(Rate),
    Law(Law),
    G722(Box<(g722::Encoder, g722::Decoder)>),
    /// Packets that are passed; PCM has no way here.
    Opus,
}

impl Coder {
    pub(super) fn new(codec: Codec) -> Self {
        match codec {
            Codec::Slin(rate) => Self::Slin(rate),
            Codec::Ulaw => Self::Law(Law::Mu),
            Codec::Alaw => Self::Law(Law::A),
            Codec::G722 => Self::G722(Box::default()),
            Codec::Opus => Self::Opus,
        }
    }

    /// Returns the sound of `bytes`; `None` when they are none.
    pub(super) fn decode(&mut self, bytes: Bytes) -> Option<Audio> {
        let mut samples = Vec::with_capacity(bytes.len() * 2);
        let rate = match self {
            Self::Slin(rate) => {
                let whole = !bytes.is_empty() && bytes.len().is_multiple_of(2);
                return whole.then_some(Audio {
                    rate: *rate,
                    pcm: bytes,
                });
            }
            Self::Law(law) => {
                law.decode(&bytes, &mut samples);
                Rate::Hz8000
            }
            Self::G722(both) => {
                both.1.decode(&bytes, &mut samples);
                Rate::Hz16000
            }
            Self::Opus => return None,
        };
        (!samples.is_empty()).then(|| Audio {
            rate,
            pcm: little_endian(&samples),
        })
    }

    /// Returns the bytes of `samples`, which have the codec's rate.
    pub(super) fn encode(&mut self, samples: &[i16]) -> Bytes {
        let mut bytes = Vec::with_capacity(samples.len());
        match self {
            Self::Slin(_) => return little_endian(samples),
            Self::Law(law) => law.encode(samples, &mut bytes),
            Self::G722(both) => both.0.encode(samples, &mut bytes),
            Self::Opus => {}
        }
        bytes.into()
    }
}

fn little_endian(samples: &[i16]) -> Bytes {
    let mut bytes = BytesMut::zeroed(samples.len() * 2);
    for (pair, sample) in bytes.chunks_exact_mut(2).zip(samples) {
        pair.copy_from_slice(&sample.to_le_bytes());
    }
    bytes.freeze()
}
