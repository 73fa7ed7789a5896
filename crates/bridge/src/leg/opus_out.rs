//! What a leg sends where Asterisk takes Opus: others' packets as they are, or, when they must be mixed, its own.

use std::time::Duration;

use bytes::Bytes;
use moqrelay_audio::{FRAME_DURATION, Frame, FrameError, SampleRate, opus, packet, playout::Pass};

use super::{
    Coding, Stats,
    ear::{Ear, Heard},
};

/// The way from the ear to packets.
#[derive(Debug)]
pub(super) struct OpusOut {
    coding: Coding,
    /// Made when something must be mixed for the first time.
    encoder: Option<opus::Encoder>,
    /// How the last packet began: what stands for a lost one is of the same kind.
    toc: u8,
}

impl OpusOut {
    pub(super) fn new(coding: Coding) -> Self {
        Self {
            coding,
            encoder: None,
            toc: packet::SILENCE[0],
        }
    }

    /// Appends what is to be sent for the 20 ms at `due` to `made`: usually one packet, none while a longer one
    /// lasts. `frame` is room for 20 ms at 48 kHz.
    pub(super) fn make(
        &mut self,
        ear: &mut Ear,
        due: Duration,
        frame: &mut [i16],
        made: &mut Vec<Bytes>,
        stats: &mut Stats,
    ) {
        match ear.heard() {
            Heard::Nothing => made.push(Bytes::from_static(&packet::SILENCE)),
            Heard::One(player) => player.pass(due, FRAME_DURATION, |pass| match pass {
                Pass::Item(item) => {
                    stats.packets_passed += 1;
                    self.toc = item.first().copied().unwrap_or(self.toc);
                    made.push(item);
                }
                // The telephone's decoder knows best how to go on.
                Pass::Lost(missing) | Pass::Silence(missing) if missing * 2 >= FRAME_DURATION => {
                    made.push(Bytes::copy_from_slice(&packet::empty_like(self.toc)));
                }
                Pass::Lost(_) | Pass::Silence(_) => {}
            }),
            Heard::Many => {
                ear.hear(due, frame);
                match self.encode(frame) {
                    Ok(packet) => {
                        stats.packets_made += 1;
                        self.toc = packet.first().copied().unwrap_or(self.toc);
                        made.push(packet);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a frame could not be coded");
                        stats.objects_failed += 1;
                    }
                }
            }
        }
    }

    fn encode(&mut self, samples: &[i16]) -> Result<Bytes, Error> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => opus::Encoder::new(self.coding.opus(SampleRate::Hz48000))?,
        };
        let frame = Frame::new(SampleRate::Hz48000, samples)?;
        Ok(self.encoder.insert(encoder).encode(&frame)?)
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Coding(#[from] opus::Error),
}
