//! One participant's voice, as far as it is needed to give it a seat.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use moqrelay_audio::{
    FRAME_DURATION,
    claims::Claims,
    level::{AudioLevel, Level, QUIET},
    packet,
};
use moqrelay_relay::{
    FullTrackName, Relay,
    track::{Event, Object, Reader},
};
use moqrelay_wire::audio_object::{Kind, Properties, TIMESCALE, of_seat};
use tokio::time::Instant;

/// Objects that are handed on when a voice gets a seat: what it said in the 40 ms until then, and one more, since ticks
/// and objects do not go together.
const BEFORE_MAX: usize = 3;

/// How old they may be: of a click long ago nobody wants to hear.
const BEFORE_AGE: Duration = Duration::from_millis(120);

/// Objects that are handed on at once at most: a network that was blocked for a second brings fifty.
const BURST_MAX: u32 = 64;

/// Objects within 20 ms, in the long run: the shortest packets that anybody sends have 5 ms.
const OBJECTS_PER_TICK: u32 = 4;

/// Objects that are looked at before others have their turn.
const OBJECTS_PER_RING: usize = 64;

/// Packets up to this hold no sound: the encoder says that it has nothing to say (RFC 6716 section 3.1).
const EMPTY_PACKET_BYTES: usize = 2;

pub(super) struct Voice {
    /// The 3 of `p3`.
    number: u64,
    track: FullTrackName,
    bell: Waker,
    /// There while somebody listens.
    reader: Option<Reader>,
    claims: Claims,
    /// The timescale of its track, when it is not that of seats.
    timescale: Option<u64>,
    before: VecDeque<Before>,
    budget: u32,
    /// A publisher has begun, so that its timestamps are new.
    anew: bool,
}

/// An object that came before there was a seat for it.
struct Before {
    at: Instant,
    object: Object,
    properties: Bytes,
}

/// What has become of a voice's objects.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Heard {
    /// It says something.
    pub(super) speaks: bool,
    pub(super) refused: u64,
}

/// Where the objects of a voice with a seat go: properties as they are there, and whether its publisher is a new one.
pub(super) type Hand<'a> = &'a mut dyn FnMut(&Object, Bytes, bool);

impl Voice {
    pub(super) fn new(number: u64, track: FullTrackName, bell: Waker) -> Self {
        Self {
            number,
            track,
            bell,
            reader: None,
            claims: Claims::new(),
            timescale: None,
            before: VecDeque::new(),
            budget: BURST_MAX,
            anew: false,
        }
    }

    /// Follows the track from now on.
    pub(super) fn follow(&mut self, relay: &Relay) {
        self.reader = Some(relay.subscribe(self.track.clone()));
        // The first look, as for all others.
        self.bell.wake_by_ref();
    }

    /// Follows it no longer, and forgets what was said.
    pub(super) fn leave(&mut self) {
        let (track, bell) = (self.track.clone(), self.bell.clone());
        *self = Self::new(self.number, track, bell);
    }

    /// Takes what has come. `hand`: where it goes, when the voice has a seat.
    pub(super) fn take(&mut self, now: Instant, mut hand: Option<Hand<'_>>) -> Heard {
        let mut heard = Heard::default();
        let Some(mut reader) = self.reader.take() else {
            return heard;
        };
        let bell = self.bell.clone();
        for _ in 0..OBJECTS_PER_RING {
            match reader.poll_next(&mut Context::from_waker(&bell)) {
                Poll::Pending => {
                    self.reader = Some(reader);
                    return heard;
                }
                Poll::Ready(Some(event)) => self.take_event(event, now, &mut hand, &mut heard),
                Poll::Ready(None) => {
                    tracing::warn!(track = %self.track, "has no seat: the relay keeps too many tracks");
                    return heard;
                }
            }
        }
        self.reader = Some(reader);
        bell.wake_by_ref();
        heard
    }

    fn take_event(
        &mut self,
        event: Event,
        now: Instant,
        hand: &mut Option<Hand<'_>>,
        heard: &mut Heard,
    ) {
        match event {
            Event::Object(object) => {
                let too_large = object.payload.len() > packet::LEN_MAX;
                if too_large || self.take_object(object, now, hand, heard).is_none() {
                    heard.refused += 1;
                }
            }
            Event::Began(info) => {
                let properties = Properties::decode(&info.properties).unwrap_or_default();
                self.timescale = properties.timescale.filter(|it| *it != TIMESCALE);
                self.before.clear();
                self.anew = true;
            }
            Event::Ended(_) => self.claims.fall_silent(),
            _ => {}
        }
    }

    /// Returns `None` when the object is no voice, or one too many.
    fn take_object(
        &mut self,
        object: Object,
        now: Instant,
        hand: &mut Option<Hand<'_>>,
        heard: &mut Heard,
    ) -> Option<()> {
        let said = Properties::decode(&object.properties).ok()?;
        let silence = said.kind == Kind::Silence;
        if object.payload.is_empty() && !silence {
            // The end of a group or of the track: nothing to hear and nothing wrong.
            return Some(());
        }
        let level = said.level.map(|it| AudioLevel {
            level: Level::new(it.below_overload_db),
            voice: it.voice,
        });
        let speaks = if silence || object.payload.len() <= EMPTY_PACKET_BYTES {
            self.claims.fall_silent();
            false
        } else {
            self.claims.say(level, ticks(&object.payload));
            level.is_none_or(|it| it.voice)
        };
        heard.speaks |= speaks;
        let timescale = self.timescale.filter(|_| said.timescale.is_none());
        let properties = || of_seat(&object.properties, self.number, timescale).ok();
        match hand {
            Some(hand) => {
                let properties = properties()?;
                self.budget = self.budget.checked_sub(1)?;
                hand(&object, properties, std::mem::take(&mut self.anew));
            }
            None if speaks => {
                let properties = properties()?;
                if self.before.len() >= BEFORE_MAX {
                    self.before.pop_front();
                }
                self.before.push_back(Before {
                    at: now,
                    object,
                    properties,
                });
            }
            None => self.before.clear(),
        }
        Some(())
    }

    /// Takes how loud it was at most for a while.
    pub(super) fn measure(&mut self, loudest: Level) {
        self.claims.measure(AudioLevel {
            level: loudest,
            voice: loudest < QUIET,
        });
    }

    /// Ends a tick; returns how loud it was as far as that is believed.
    pub(super) fn tick(&mut self) -> Option<AudioLevel> {
        self.budget = (self.budget + OBJECTS_PER_TICK).min(BURST_MAX);
        self.claims.tick()
    }

    /// Hands on what was said while it waited for its seat.
    pub(super) fn catch_up(&mut self, now: Instant, hand: Hand<'_>) {
        for before in self.before.drain(..) {
            if now.saturating_duration_since(before.at) <= BEFORE_AGE {
                let anew = std::mem::take(&mut self.anew);
                hand(&before.object, before.properties, anew);
            }
        }
    }
}

/// Returns for how many ticks a packet says something; what cannot be read may be of a codec that we do not know.
fn ticks(packet: &[u8]) -> u32 {
    let duration = packet::duration(packet).unwrap_or(FRAME_DURATION);
    let ticks = duration.as_micros().div_ceil(FRAME_DURATION.as_micros());
    ticks as u32
}
