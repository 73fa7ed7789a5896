//! What a leg hears, by way of a media processor.
//!
//! Behind a telephone's line nothing evens out what comes late, so each 20 ms are sent a constant time after they were
//! asked about: as long as an answer may take. Whatever the service does, a frame leaves with every tick.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use moqrelay_audio::{FRAME_DURATION, Frame, SampleRate};
use moqrelay_processor::{About, Output, Processor, Session};

use crate::{LegId, Place};

/// 20 ms in 1/48000 s.
const FRAME_TICKS: u64 = 960;

/// The way through the processor and back.
#[derive(Debug)]
pub(super) struct HeardHook {
    session: Session,
    /// Frames that stay behind: the deadline in whole frames.
    delay_frames: usize,
    /// Frames that were sent into it and not taken out.
    under_way: usize,
    /// What came back of them, the oldest first.
    back: VecDeque<Frame>,
    timestamp: u64,
}

impl HeardHook {
    pub(super) fn open(processor: &Processor, leg: LegId, place: &Place) -> Self {
        let about = About {
            call: place.room().to_owned(),
            participant: place.participant().to_owned(),
            leg: leg.to_string(),
        };
        let deadline = processor.config().deadline;
        let delay_frames = deadline.as_nanos().div_ceil(FRAME_DURATION.as_nanos());
        Self {
            session: processor.open(about),
            delay_frames: delay_frames as usize,
            under_way: 0,
            back: VecDeque::new(),
            timestamp: 0,
        }
    }

    /// Sends the next 20 ms into it and puts the oldest that are under way in their place; silence at the beginning.
    pub(super) fn lead(&mut self, rate: SampleRate, samples: &mut [i16]) {
        let Ok(frame) = Frame::new(rate, samples) else {
            return;
        };
        self.session.send(self.timestamp, frame);
        self.timestamp += FRAME_TICKS;
        self.under_way += 1;
        if self.under_way <= self.delay_frames {
            return samples.fill(0);
        }
        self.under_way -= 1;
        let oldest = self.back.pop_front();
        let oldest = oldest.or_else(|| self.session.take_frame().map(|(_, frame)| frame));
        match oldest {
            Some(frame) if frame.samples().len() == samples.len() => {
                samples.copy_from_slice(frame.samples());
            }
            // The rate has changed since: a moment at the beginning of a call.
            Some(_) | None => samples.fill(0),
        }
    }

    /// Takes what has come back. Texts and events about what is heard are nobody's track.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(output) = self.session.poll(cx) {
            match output {
                Output::Frame { frame, .. } => self.back.push_back(frame),
                Output::Text(_) | Output::Event(_) => {
                    tracing::debug!("a text about what a telephone hears is not published");
                }
            }
        }
    }
}
