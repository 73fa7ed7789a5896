//! The test tone of telephony: one task codes it once, however many hear it.

use std::{collections::BTreeMap, future::Future};

use bytes::Bytes;
use moqrelay_audio::{Frame, SampleRate, level::Level as Loudness, opus, tone::Tone};
use moqrelay_relay::track::WriteError;
use moqrelay_wire::audio_object::{Level, OBJECT_TICKS};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    LegId,
    leg::{Clock, Coding},
    publication::Publication,
};

/// The way to the task that makes the tone; it sleeps while nobody is there and ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Hall {
    members: mpsc::UnboundedSender<Member>,
}

/// Whoever starts and ends services is limited by the number of legs, and so is what waits here.
#[derive(Debug)]
enum Member {
    Enters(LegId, Box<Publication>),
    Leaves(LegId),
}

impl Hall {
    /// Makes the hall and the future that must be run.
    pub(crate) fn new(coding: Coding) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (members, members_rx) = mpsc::unbounded_channel();
        (Self { members }, run(coding, members_rx))
    }

    /// Lets a publication have the tone.
    pub(crate) fn enter(&self, leg: LegId, publication: Publication) {
        self.tell(Member::Enters(leg, Box::new(publication)));
    }

    /// Ends a publication.
    pub(crate) fn leave(&self, leg: LegId) {
        self.tell(Member::Leaves(leg));
    }

    /// Returns whether the task has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.members.is_closed()
    }

    fn tell(&self, member: Member) {
        if self.members.send(member).is_err() {
            tracing::debug!("the milliwatt's task is gone");
        }
    }
}

async fn run(coding: Coding, mut members: mpsc::UnboundedReceiver<Member>) {
    let mut present: BTreeMap<LegId, Publication> = BTreeMap::new();
    let mut source = match Source::new(coding) {
        Ok(source) => source,
        Err(error) => return tracing::error!(%error, "the milliwatt cannot be coded"),
    };
    let mut clock = Clock::new(Instant::now());
    loop {
        tokio::select! {
            member = members.recv() => match member {
                None => return,
                Some(Member::Leaves(leg)) => drop(present.remove(&leg)),
                Some(Member::Enters(leg, publication)) => {
                    if present.is_empty() {
                        clock = Clock::new(Instant::now());
                    }
                    present.insert(leg, *publication);
                }
            },
            () = sleep_until(clock.next()), if !present.is_empty() => {
                let Some(due) = clock.due(Instant::now()) else { continue };
                source.skip(due.skipped);
                for _ in 0..due.frames {
                    source.next(&mut present);
                }
            }
        }
    }
}

/// The tone in packets.
struct Source {
    tone: Tone,
    frame: Frame,
    encoder: opus::Encoder,
    timestamp: u64,
}

impl Source {
    fn new(coding: Coding) -> Result<Self, opus::Error> {
        let rate = SampleRate::Hz48000;
        Ok(Self {
            tone: Tone::milliwatt(rate),
            frame: Frame::silence(rate),
            encoder: opus::Encoder::new(coding.opus(rate))?,
            timestamp: 0,
        })
    }

    fn skip(&mut self, frames: u64) {
        self.timestamp += frames * OBJECT_TICKS;
    }

    /// Codes the next 20 ms and gives them to everyone.
    fn next(&mut self, present: &mut BTreeMap<LegId, Publication>) {
        self.tone.fill(self.frame.samples_mut());
        let timestamp = self.timestamp;
        self.timestamp += OBJECT_TICKS;
        match self.encoder.encode(&self.frame) {
            Ok(packet) => {
                let loudness = Loudness::of(self.frame.samples());
                let level = Level {
                    below_overload_db: loudness.minus_dbov(),
                    voice: true,
                };
                let now = Instant::now();
                present.retain(|leg, publication| {
                    publication.tick(now);
                    give(*leg, publication, timestamp, level, packet.clone())
                });
            }
            Err(error) => tracing::debug!(%error, "a frame could not be coded"),
        }
    }
}

/// Returns false when the publication is of no more use.
fn give(
    leg: LegId,
    publication: &mut Publication,
    timestamp: u64,
    level: Level,
    packet: Bytes,
) -> bool {
    let Err(error) = publication.voice(timestamp, Some(level), packet) else {
        return true;
    };
    tracing::debug!(%leg, %error, "an object was not published");
    error != WriteError::Superseded
}
