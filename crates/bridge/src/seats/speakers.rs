//! The track that says who speaks.

use std::time::Duration;

use moqrelay_relay::track::{Object, Writer};
use moqrelay_wire::speakers::{Speakers, VERSION};
use tokio::time::Instant;

/// Four times a second at most: faster nobody looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// How often it is written again while somebody speaks, for those who came since.
const REPEAT: Duration = Duration::from_secs(5);

pub(super) struct SpeakersTrack {
    writer: Writer,
    group: u64,
    written: Option<(State, Instant)>,
}

/// Who speaks, by the numbers of participants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) front: Option<u64>,
    pub(super) speaking: Vec<u64>,
    pub(super) seats: Vec<Option<u64>>,
}

impl SpeakersTrack {
    pub(super) fn new(writer: Writer) -> Self {
        Self {
            writer,
            group: 0,
            written: None,
        }
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Somebody reads it who knows nothing: what holds is written next, whatever was.
    pub(super) fn repeat(&mut self) {
        self.written = None;
    }

    /// Writes the state when it is time; false when it is not written yet.
    pub(super) fn tell(&mut self, state: State, now: Instant) -> bool {
        if let Some((written, at)) = &self.written {
            let same = *written == state;
            let wait = match same {
                true if state.speaking.is_empty() => return true,
                true => REPEAT,
                false => INTERVAL,
            };
            if now < *at + wait {
                return same;
            }
        }
        let object = Object {
            group: self.group,
            subgroup: Some(0),
            end_of_group: true,
            payload: state.to_wire().to_json(),
            ..Object::default()
        };
        self.group += 1;
        if let Err(error) = self.writer.write(object) {
            tracing::debug!(%error, "who speaks was not published");
        }
        self.written = Some((state, now));
        true
    }
}

impl State {
    fn to_wire(&self) -> Speakers {
        let name = |number: &u64| format!("p{number}");
        Speakers {
            version: VERSION,
            front: self.front.as_ref().map(name),
            speaking: self.speaking.iter().map(name).collect(),
            seats: self.seats.iter().map(|it| it.as_ref().map(name)).collect(),
        }
    }
}
