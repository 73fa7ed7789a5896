//! One room: who may have a seat, who has which.

use std::{
    collections::{BTreeMap, BTreeSet},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use moqrelay_audio::speakers::{Config, Selector};
use moqrelay_relay::{
    FullTrackName, NameError, Namespace, PublishError, Relay,
    track::{Info, Object, WriteError, Writer},
};
use moqrelay_wire::audio_object::track_properties;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Measured, Meters, SPEAKING_TICKS,
    bell::{RoomBells, What},
    report::Report,
    seat::Seat,
    speakers::{SpeakersTrack, State},
    voice::{Heard, Voice},
};
use crate::{Event, Place};

/// Voices of one room that are followed, as many as are mixed.
const VOICES_MAX: usize = 128;

pub(super) struct Room {
    name: String,
    selecting: Config,
    voices: BTreeMap<u64, Voice>,
    selector: Selector<u64>,
    tracks: Option<Tracks>,
    ticks: u64,
    /// Who speaks as the wheel hears it, which turns while a telephone is there or somebody hears the mix.
    mixed: BTreeSet<u64>,
    report: Report,
}

/// What is published of a room.
struct Tracks {
    seats: Vec<Seat>,
    speakers: SpeakersTrack,
    audiences: Vec<Audience>,
}

/// Whether a track is read.
struct Audience {
    bell: Waker,
    is_there: bool,
}

/// Why a room has no seats.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Room {
    pub(super) fn new(name: &str, seats: usize, events: mpsc::Sender<Event>) -> Self {
        let selecting = Config {
            seats,
            ..Config::default()
        };
        Self {
            name: name.to_owned(),
            selecting,
            voices: BTreeMap::new(),
            selector: Selector::new(selecting),
            tracks: None,
            ticks: 0,
            mixed: BTreeSet::new(),
            report: Report::new(name, events),
        }
    }

    /// Publishes the room's tracks; the first look at each is by its bell.
    pub(super) fn open(
        &mut self,
        relay: &Relay,
        seats: usize,
        bells: &RoomBells,
    ) -> Result<(), Error> {
        let info = Info {
            properties: track_properties(),
        };
        let seat = |number: usize| {
            let place = Place::new(&self.name, format!("s{number}"))?;
            Ok::<_, Error>(Seat::new(relay.publish(place.audio(), info.clone())?))
        };
        let fields = ["room", &self.name].map(|it| Bytes::copy_from_slice(it.as_bytes()));
        let speakers = FullTrackName::new(Namespace::new(fields)?, "speakers")?;
        let audience = |index| Audience {
            bell: bells.bell(What::Track(index)),
            is_there: false,
        };
        let tracks = Tracks {
            seats: (1..=seats).map(seat).collect::<Result<_, _>>()?,
            speakers: SpeakersTrack::new(relay.publish(&speakers, Info::default())?),
            audiences: (0..=seats).map(audience).collect(),
        };
        for audience in &tracks.audiences {
            audience.bell.wake_by_ref();
        }
        self.leave();
        self.tracks = Some(tracks);
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.leave();
        self.tracks = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.voices.is_empty() && self.tracks.is_none()
    }

    pub(super) fn add(&mut self, place: &Place, relay: &Relay, bells: &RoomBells) {
        let Some(number) = number_of(place.participant()) else {
            tracing::debug!(track = %place.audio(), "no participant's voice: it gets no seat");
            return;
        };
        if self.voices.len() >= VOICES_MAX || self.voices.contains_key(&number) {
            tracing::debug!(track = %place.audio(), "gets no seat: too many voices, or there already");
            return;
        }
        let bell = bells.bell(What::Voice(number));
        let mut voice = Voice::new(number, place.audio().clone(), bell);
        if self.is_heard() {
            voice.follow(relay);
        }
        self.voices.insert(number, voice);
    }

    pub(super) fn remove(&mut self, participant: &str, now: Instant, meters: &Meters) {
        let Some(number) = number_of(participant) else {
            return;
        };
        self.mixed.remove(&number);
        if self.voices.remove(&number).is_some() {
            self.selector.remove(number);
            self.seat(meters, now);
        }
    }

    /// Looks whether one of the room's own tracks is read; true when the room has to tick.
    pub(super) fn look(&mut self, index: usize, relay: &Relay) -> bool {
        let before = self.is_heard();
        let Some(tracks) = &mut self.tracks else {
            return false;
        };
        let Some(comes) = tracks.look(index) else {
            return false;
        };
        let speakers = index == tracks.seats.len();
        if comes && speakers {
            tracks.speakers.repeat();
        }
        let mut wakes = comes && speakers;
        match (before, self.is_heard()) {
            (false, true) => {
                for voice in self.voices.values_mut() {
                    voice.follow(relay);
                }
                tracing::debug!(
                    room = self.name,
                    voices = self.voices.len(),
                    "seats are given out"
                );
            }
            (true, false) => {
                self.leave();
                // From here on the wheel knows who speaks, if it turns: that must arrive.
                wakes = true;
                tracing::debug!(room = self.name, "seats are given out no longer");
            }
            (true, true) | (false, false) => {}
        }
        wakes
    }

    /// Takes what a voice has said and hands it on when it has a seat; true when somebody speaks.
    pub(super) fn hear(&mut self, number: u64, now: Instant, meters: &Meters) -> bool {
        let Some(voice) = self.voices.get_mut(&number) else {
            return false;
        };
        let tracks = self.tracks.as_mut();
        let seated = tracks.and_then(|tracks| tracks.seat_of(number));
        let Heard { speaks, refused } = match seated {
            Some((seat, audience)) => voice.take(
                now,
                Some(&mut |object, properties, anew| {
                    pass(seat, audience, number, object, properties, anew, meters);
                }),
            ),
            None => voice.take(now, None),
        };
        if refused > 0 {
            meters.refused.increment(refused);
        }
        speaks
    }

    /// Takes how loud voices are in truth; true when what they say about who speaks has to wait.
    pub(super) fn measure(&mut self, measured: &Measured, now: Instant) -> bool {
        self.mixed.clear();
        for it in &measured.0 {
            let Some(number) = number_of(&it.participant) else {
                continue;
            };
            if let Some(voice) = self.voices.get_mut(&number) {
                voice.measure(it.loudest);
                if it.speaks {
                    self.mixed.insert(number);
                }
            }
        }
        !self.is_heard() && !self.report(now)
    }

    /// Gives out the seats anew; false when nobody speaks and everything was said.
    pub(super) fn tick(&mut self, now: Instant, meters: &Meters) -> bool {
        self.ticks += 1;
        for (number, voice) in &mut self.voices {
            if let Some(level) = voice.tick() {
                self.selector.hear(*number, level);
            }
        }
        self.selector.tick();
        self.seat(meters, now);
        let told = self.tell(now);
        let reported = self.report(now);
        !(told && reported && self.selector.is_idle())
    }

    /// Lets the seats be held by those whom the selector has chosen.
    fn seat(&mut self, meters: &Meters, now: Instant) {
        let Some(tracks) = &mut self.tracks else {
            return;
        };
        for seat in &mut tracks.seats {
            if seat.holder.is_some_and(|it| !self.selector.is_seated(it)) {
                seat.holder = None;
                seat.empty_since = self.ticks;
            }
        }
        for number in self.selector.seated() {
            if tracks.seats.iter().any(|it| it.holder == Some(number)) {
                continue;
            }
            let Some((seat, audience)) = tracks.free_seat(number) else {
                continue; // Never: there are as many seats as the selector gives out.
            };
            seat.holder = Some(number);
            meters.changes.increment(1);
            if let Some(voice) = self.voices.get_mut(&number) {
                voice.catch_up(now, &mut |object, properties, anew| {
                    pass(seat, audience, number, object, properties, anew, meters);
                });
            }
        }
    }

    /// Tells the daemon who speaks: as the seats know it, or the wheel in a room to whose seats nobody listens. False
    /// when that has to wait.
    fn report(&mut self, now: Instant) -> bool {
        let speaking = match self.is_heard() {
            true => self.selector.speaking(SPEAKING_TICKS).collect(),
            false => self.mixed.iter().copied().collect(),
        };
        self.report.tell(speaking, now)
    }

    fn tell(&mut self, now: Instant) -> bool {
        let Some(tracks) = &mut self.tracks else {
            return true;
        };
        if !tracks.audiences.last().is_some_and(|it| it.is_there) {
            return true;
        }
        let state = State {
            front: self.selector.loudest(),
            speaking: self.selector.speaking(SPEAKING_TICKS).collect(),
            seats: tracks.seats.iter().map(|it| it.holder).collect(),
        };
        tracks.speakers.tell(state, now)
    }

    fn is_heard(&self) -> bool {
        let tracks = self.tracks.as_ref();
        tracks.is_some_and(|tracks| tracks.audiences.iter().any(|it| it.is_there))
    }

    /// Follows nobody any more.
    fn leave(&mut self) {
        for voice in self.voices.values_mut() {
            voice.leave();
        }
        self.selector = Selector::new(self.selecting);
        if let Some(tracks) = &mut self.tracks {
            for seat in &mut tracks.seats {
                seat.holder = None;
            }
        }
    }
}

impl Tracks {
    /// Looks whether a track is read now, and waits for the next change; returns it when it is another than before.
    fn look(&mut self, index: usize) -> Option<bool> {
        let audience = self.audiences.get_mut(index)?;
        let writer: &Writer = match self.seats.get(index) {
            Some(seat) => seat.writer(),
            None => self.speakers.writer(),
        };
        let before = audience.is_there;
        let mut context = Context::from_waker(&audience.bell);
        // It may change while it is looked at, but not for ever: who does that is a subscriber, with limits.
        while let Poll::Ready(now) = writer.poll_read(audience.is_there, &mut context) {
            audience.is_there = now;
        }
        (audience.is_there != before).then_some(audience.is_there)
    }

    fn seat_of(&mut self, number: u64) -> Option<(&mut Seat, &Audience)> {
        let mut seats = self.seats.iter_mut().zip(&self.audiences);
        seats.find(|(seat, _)| seat.holder == Some(number))
    }

    /// Returns the seat for a new holder: the one that it had, or the one that has been empty for longest, so that
    /// others find theirs.
    fn free_seat(&mut self, number: u64) -> Option<(&mut Seat, &Audience)> {
        let seats = self.seats.iter_mut().zip(&self.audiences);
        let free = seats.filter(|(seat, _)| seat.holder.is_none());
        free.min_by_key(|(seat, _)| (seat.last() != Some(number), seat.empty_since))
    }
}

/// Hands an object on, when anybody reads the seat.
fn pass(
    seat: &mut Seat,
    audience: &Audience,
    from: u64,
    object: &Object,
    properties: Bytes,
    anew: bool,
    meters: &Meters,
) {
    if !audience.is_there {
        return;
    }
    match seat.pass(from, object, properties, anew) {
        Ok(()) => meters.objects.increment(1),
        Err(WriteError::Superseded) => tracing::debug!("another publisher has taken a seat over"),
        Err(error) => {
            meters.refused.increment(1);
            tracing::debug!(%error, from, "an object was not handed on");
        }
    }
}

/// Returns the 3 of `p3`.
fn number_of(participant: &str) -> Option<u64> {
    participant.strip_prefix('p')?.parse().ok()
}
