//! What a leg says, by way of a media processor, and the track of what that says in words.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use moqrelay_audio::{
    Frame,
    level::{AudioLevel, Meter},
};
use moqrelay_processor::{About, Direction, Output, Processor, Session};
use moqrelay_relay::{
    PublishError, Relay,
    track::{Info, Object, WriteError, Writer},
};
use moqrelay_wire::{
    catalog::Track,
    text_track::{self, Record, Text},
};
use tokio::time::Instant;

use super::{Leg, heard::HeardHook, road::Carries};
use crate::{LegId, Place, publication::unix_seconds};

impl Leg {
    /// Leads one direction's sound through its processor, once that and the place are known.
    pub(super) fn hook_up(&mut self, direction: Direction) {
        let processor = match direction {
            Direction::Says => &self.processor,
            Direction::Hears => &self.heard_by,
        };
        let (Some(processor), Some(place)) = (processor, &self.place) else {
            return;
        };
        let name = &processor.config().name;
        if self.road.carries() == Carries::Opus {
            tracing::warn!(processor = name, "not used: packets of Opus pass untouched");
            return;
        }
        tracing::info!(
            processor = name,
            ?direction,
            "sound goes through a media processor"
        );
        match direction {
            Direction::Says => {
                let hook = Hook::open(processor, &self.around.relay, self.id, place);
                let mut catalog = self.around.coding.catalog();
                catalog.tracks.push(Track::text());
                self.voice.hook(hook, &catalog, Instant::now());
            }
            Direction::Hears => {
                self.heard = Some(Box::new(HeardHook::open(processor, self.id, place)));
            }
        }
    }
}

/// The way through the processor.
#[derive(Debug)]
pub(super) struct Hook {
    session: Session,
    /// Of what comes back: somebody else may speak than who was heard.
    meter: Meter,
    texts: Option<TextTrack>,
}

/// A frame that is to be published.
#[derive(Debug)]
pub(super) struct Processed {
    pub(super) timestamp: u64,
    pub(super) frame: Frame,
    pub(super) level: AudioLevel,
}

impl Hook {
    /// Begins the way of a leg that speaks at `place`.
    pub(super) fn open(processor: &Processor, relay: &Relay, leg: LegId, place: &Place) -> Self {
        let about = About {
            call: place.room().to_owned(),
            participant: place.participant().to_owned(),
            leg: leg.to_string(),
        };
        let texts = TextTrack::open(relay, place)
            .inspect_err(|error| tracing::warn!(%error, "the processor's texts are not published"));
        Self {
            session: processor.open(about),
            meter: Meter::new(),
            texts: texts.ok(),
        }
    }

    /// Takes the next frame; [`poll`](Self::poll) gives it back.
    pub(super) fn send(&mut self, timestamp: u64, frame: Frame) {
        self.session.send(timestamp, frame);
    }

    /// Returns the next frame that is to be published.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Processed> {
        loop {
            let record = match std::task::ready!(self.session.poll(cx)) {
                Output::Frame {
                    timestamp, frame, ..
                } => {
                    let level = self.meter.measure(frame.samples());
                    return Poll::Ready(Processed {
                        timestamp,
                        frame,
                        level,
                    });
                }
                Output::Text(text) => Record::text(Text {
                    id: text.id,
                    text: text.text,
                    r#final: text.r#final,
                    begin: text.begin,
                    end: text.end,
                    language: text.language,
                }),
                Output::Event(event) => Record::event(event.timestamp, event.name, event.data),
            };
            if let Some(texts) = &mut self.texts
                && let Err(error) = texts.write(record)
            {
                tracing::debug!(%error, "a text was not published");
                if error == WriteError::Superseded {
                    self.texts = None;
                }
            }
        }
    }
}

/// Texts that are repeated for those who come late; a page shows no more.
const KEPT_MAX: usize = 20;

/// The track `text`. A group begins with each text that stays, and holds the last ones.
#[derive(Debug)]
struct TextTrack {
    writer: Writer,
    kept: VecDeque<Record>,
    group: u64,
    /// Objects of the group; 0: it has not begun.
    objects: u64,
}

impl TextTrack {
    fn open(relay: &Relay, place: &Place) -> Result<Self, PublishError> {
        Ok(Self {
            writer: relay.publish(place.text(), Info::default())?,
            kept: VecDeque::new(),
            group: unix_seconds(),
            objects: 0,
        })
    }

    fn write(&mut self, record: Record) -> Result<(), WriteError> {
        if record.is_final() {
            if self.objects > 0 {
                self.writer.finish_group(self.group);
                self.group += 1;
                self.objects = 0;
            }
            self.kept.push_back(record);
            if self.kept.len() > KEPT_MAX {
                self.kept.pop_front();
            }
            let payload = text_track::to_json(&self.kept);
            return self.object(payload);
        }
        let payload = match self.objects {
            0 => text_track::to_json(self.kept.iter().chain([&record])),
            _ => text_track::to_json([&record]),
        };
        self.object(payload)
    }

    fn object(&mut self, payload: bytes::Bytes) -> Result<(), WriteError> {
        let id = self.objects;
        self.objects += 1;
        self.writer.write(Object {
            group: self.group,
            subgroup: Some(0),
            id,
            payload,
            ..Object::default()
        })
    }
}
