//! The mixing wheel: one task that mixes every room with a telephone in it, on one grid of 20 ms.
//!
//! A voice is buffered and decoded once for its whole room, whoever hears it. A room to which nobody listens, neither a
//! leg nor by MoQ to its mix, has neither readers nor decoders, and without others the wheel stands still.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use metrics::{Counter, counter};
use moqrelay_audio::{
    SampleRate,
    claims::MEASURE_TICKS,
    conference::{self, Chime, Mixer},
    jitter,
    level::{Level as Loudness, SILENCE},
    opus, speakers,
};
use moqrelay_relay::{FullTrackName, Relay, track::WriteError};
use moqrelay_wire::audio_object::{Level, OBJECT_TICKS};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    Place,
    leg::{Arrived, Clock, Coding, Look, Source, Stats, frame_due},
    publication::Publication,
    seats::{Measured, MeasuredVoice, SPEAKING_TICKS, Seats},
};

/// What mixes are made at: telephones have no more, and a decoder at 48 kHz costs twice as much.
pub(crate) const RATE: SampleRate = SampleRate::Hz16000;

/// Voices of one room that are mixed. Each has a decoder and a buffer of some 40 KB.
const VOICES_MAX: usize = 128;

/// Levels of one room that hosts have set, those of people who have left included.
const LEVELS_MAX: usize = 1024;

/// Rooms with telephones in them; each has one at least, and legs have a limit of their own.
const ROOMS_MAX: usize = 1024;

/// A frame that a leg has not taken is behind six others: 120 ms that the room does not get back.
pub(crate) const FRAMES_WAITING_MAX: usize = 6;

/// How long somebody who subscribes to a mix may wait for its beginning: nobody tells us.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Frames of a standstill that are made up for in the buffers; after a longer one they begin anew.
const SKIP_FRAMES_MAX: u64 = 10;

/// 20 ms of a mix; all who are silent are given the same one.
pub(crate) type Mix = Arc<[i16]>;

/// The way to the wheel. Whoever tells it something is limited by the number of legs and participants, and so is what
/// waits here.
#[derive(Debug, Clone)]
pub(crate) struct Wheel {
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
enum Order {
    /// A voice is part of a room.
    Add(Place),
    /// A voice is no longer part of it.
    Remove(Place),
    /// A voice is to be so many decibels louder, now or when it comes.
    Level(Place, i8),
    /// Somebody hears the room it is in.
    Hear(Place, mpsc::Sender<Mix>),
    /// A room's mix is a track at that place.
    Publish(Place),
    /// It is no longer.
    Unpublish(Place),
    Chime {
        room: String,
        chime: Chime,
    },
    End,
}

impl Wheel {
    /// Makes a wheel and the future that must be run.
    pub(crate) fn new(
        relay: Relay,
        coding: Coding,
        jitter: jitter::Config,
        level_control: bool,
        seats: Seats,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (orders, orders_rx) = mpsc::unbounded_channel();
        let now = Instant::now();
        let turning = Turning {
            relay,
            coding,
            jitter,
            level_control,
            seats,
            rooms: BTreeMap::new(),
            clock: Clock::new(now),
            start: now,
            epoch: now,
            arrivals: Look::new(now),
            look: now,
            frames: counter!("moqrelay_mix_frames_total"),
            mixes: counter!("moqrelay_mixes_total"),
        };
        (Self { orders }, turning.run(orders_rx))
    }

    pub(crate) fn add(&self, place: Place) {
        self.tell(Order::Add(place));
    }

    pub(crate) fn remove(&self, place: Place) {
        self.tell(Order::Remove(place));
    }

    pub(crate) fn level(&self, place: Place, db: i8) {
        self.tell(Order::Level(place, db));
    }

    /// Begins to send what is heard at `place`: the room without its voice. It ends when the receiver is dropped.
    pub(crate) fn hear(&self, place: Place) -> mpsc::Receiver<Mix> {
        let (frames, frames_rx) = mpsc::channel(FRAMES_WAITING_MAX);
        self.tell(Order::Hear(place, frames));
        frames_rx
    }

    pub(crate) fn publish(&self, place: Place) {
        self.tell(Order::Publish(place));
    }

    pub(crate) fn unpublish(&self, place: Place) {
        self.tell(Order::Unpublish(place));
    }

    pub(crate) fn chime(&self, room: String, chime: Chime) {
        self.tell(Order::Chime { room, chime });
    }

    pub(crate) fn end(&self) {
        self.tell(Order::End);
    }

    fn tell(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::debug!("the mixing wheel has ended");
        }
    }
}

/// The task's own.
struct Turning {
    relay: Relay,
    coding: Coding,
    jitter: jitter::Config,
    level_control: bool,
    /// They are told how loud voices are.
    seats: Seats,
    rooms: BTreeMap<String, Room>,
    clock: Clock,
    /// The clock's first deadline.
    start: Instant,
    /// From which timestamps count, whenever the wheel stands still.
    epoch: Instant,
    /// What has come of the voices.
    arrivals: Look,
    /// When to look whether somebody has subscribed to a mix.
    look: Instant,
    /// Turns of rooms.
    frames: Counter,
    /// Mixes that were made in them.
    mixes: Counter,
}

/// One room, known from its first voice or listener to its last.
struct Room {
    voices: BTreeMap<String, Voice>,
    /// Decibels of those who are to be louder or softer, whether or not their voices are there.
    levels: BTreeMap<String, i8>,
    listeners: Vec<Listener>,
    track: Option<MixTrack>,
    /// Whether it is mixed.
    turning: bool,
    mixer: Mixer<u32>,
    next: u32,
    frame: Vec<i16>,
    stats: Stats,
    /// Turns since the seats were told how loud voices are.
    measured: u32,
}

struct Voice {
    /// What the mixer calls it.
    name: u32,
    track: FullTrackName,
    /// There while somebody listens.
    source: Option<Source>,
    /// The loudest 20 ms since the seats were told.
    loudest: Loudness,
}

/// The mix as a track.
struct MixTrack {
    publication: Publication,
    encoder: Option<opus::Encoder>,
}

struct Listener {
    participant: String,
    frames: mpsc::Sender<Mix>,
}

impl Turning {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let turns = self.rooms.values().any(|room| room.turning);
            let looks = self.rooms.values().any(|room| room.track.is_some());
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    None | Some(Order::End) => return,
                    Some(order) => self.obey(order),
                },
                () = sleep_until(self.clock.next()), if turns => self.turn(),
                () = sleep_until(self.look), if looks => {
                    self.look = Instant::now() + LOOK_INTERVAL;
                }
            }
            self.update(turns);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Add(place) => self.add(&place),
            Order::Remove(place) => self.remove(&place),
            Order::Level(place, db) => {
                if let Some(room) = self.rooms.get_mut(place.room()) {
                    room.set_level(place.participant(), db);
                }
            }
            Order::Hear(place, frames) => {
                if let Some(room) = self.room(place.room()) {
                    room.listeners.push(Listener {
                        participant: place.participant().to_owned(),
                        frames,
                    });
                }
            }
            Order::Publish(place) => self.publish(&place),
            Order::Unpublish(place) => {
                if let Some(room) = self.rooms.get_mut(place.room()) {
                    room.track = None;
                }
            }
            Order::Chime { room, chime } => {
                if let Some(room) = self.rooms.get_mut(&room).filter(|room| room.turning) {
                    room.mixer.chime(chime);
                }
            }
            Order::End => {}
        }
    }

    fn room(&mut self, name: &str) -> Option<&mut Room> {
        if self.rooms.len() >= ROOMS_MAX && !self.rooms.contains_key(name) {
            tracing::warn!(room = name, "not mixed: {ROOMS_MAX} rooms are already");
            return None;
        }
        let level_control = self.level_control;
        let room = self.rooms.entry(name.to_owned());
        Some(room.or_insert_with(|| Room::new(level_control)))
    }

    fn add(&mut self, place: &Place) {
        let (relay, jitter) = (self.relay.clone(), self.jitter);
        let Some(room) = self.room(place.room()) else {
            return;
        };
        if room.voices.len() >= VOICES_MAX || room.voices.contains_key(place.participant()) {
            tracing::debug!(track = %place.audio(), "not added to the mix: too many, or there already");
            return;
        }
        let mut voice = Voice {
            name: room.next,
            track: place.audio().clone(),
            source: None,
            loudest: SILENCE,
        };
        room.next += 1;
        if room.turning {
            voice.open(&relay, jitter);
        }
        if let Some(db) = room.levels.get(place.participant()) {
            room.mixer.set_level(voice.name, *db);
        }
        room.voices.insert(place.participant().to_owned(), voice);
    }

    fn remove(&mut self, place: &Place) {
        let Some(room) = self.rooms.get_mut(place.room()) else {
            return;
        };
        if let Some(voice) = room.voices.remove(place.participant()) {
            room.mixer.remove(voice.name);
        }
    }

    fn publish(&mut self, place: &Place) {
        let (relay, catalog) = (self.relay.clone(), self.coding.catalog());
        let Some(room) = self.room(place.room()) else {
            return;
        };
        match Publication::open(&relay, place, &catalog, Instant::now()) {
            Ok(publication) => {
                room.track = Some(MixTrack {
                    publication,
                    encoder: None,
                });
            }
            Err(error) => tracing::warn!(room = place.room(), %error, "the mix is not published"),
        }
    }

    /// Begins and ends what has to turn, and forgets what nobody needs. `turned`: whether anything did.
    fn update(&mut self, mut turned: bool) {
        let Self {
            rooms,
            relay,
            jitter,
            clock,
            start,
            arrivals,
            seats,
            ..
        } = self;
        rooms.retain(|name, room| {
            room.listeners.retain(|it| !it.frames.is_closed());
            match (room.turning, room.is_heard()) {
                (false, true) => {
                    if !std::mem::replace(&mut turned, true) {
                        *start = Instant::now();
                        *clock = Clock::new(*start);
                        *arrivals = Look::new(*start);
                    }
                    room.begin(relay, *jitter);
                    tracing::info!(
                        room = name,
                        voices = room.voices.len(),
                        "is mixed from now on"
                    );
                }
                (true, false) => {
                    room.end();
                    seats.measure(name, Measured::default());
                    tracing::info!(room = name, "is mixed no longer");
                }
                (true, true) | (false, false) => {}
            }
            if let Some(track) = &mut room.track {
                track.publication.tick(Instant::now());
            }
            room.turning || !room.voices.is_empty() || room.track.is_some()
        });
    }

    fn turn(&mut self) {
        let now = Instant::now();
        let Some(due) = self.clock.due(now) else {
            return;
        };
        self.arrivals.at(now);
        // Whole objects, so that timestamps stay on one grid.
        let before = (self.start - self.epoch).as_millis() as u64 / 20;
        let (mut turns, mut mixes) = (0, 0);
        for (name, room) in self.rooms.iter_mut().filter(|(_, room)| room.turning) {
            room.take(self.arrivals);
            if due.skipped > 0 {
                room.skip(due.skipped, frame_due(due.first - 1));
            }
            for index in due.first..due.first + due.frames {
                mixes += room.turn(frame_due(index));
                turns += 1;
                room.publish((before + index) * OBJECT_TICKS, self.coding);
            }
            if room.measured >= MEASURE_TICKS {
                self.seats.measure(name, room.measure());
            }
        }
        self.frames.increment(turns);
        self.mixes.increment(mixes);
    }
}

impl Room {
    fn new(level_control: bool) -> Self {
        let config = conference::Config {
            rate: RATE,
            speakers: speakers::Config::default(),
            level_control,
        };
        Self {
            voices: BTreeMap::new(),
            levels: BTreeMap::new(),
            listeners: Vec::new(),
            track: None,
            turning: false,
            mixer: Mixer::new(config),
            next: 0,
            frame: vec![0; RATE.frame_samples()],
            stats: Stats::default(),
            measured: 0,
        }
    }

    fn is_heard(&self) -> bool {
        let read = |track: &MixTrack| track.publication.is_read();
        !self.listeners.is_empty() || self.track.as_ref().is_some_and(read)
    }

    fn begin(&mut self, relay: &Relay, jitter: jitter::Config) {
        self.turning = true;
        for (participant, voice) in &mut self.voices {
            voice.open(relay, jitter);
            if let Some(db) = self.levels.get(participant) {
                self.mixer.set_level(voice.name, *db);
            }
        }
    }

    fn set_level(&mut self, participant: &str, db: i8) {
        if self.levels.len() >= LEVELS_MAX && !self.levels.contains_key(participant) {
            return;
        }
        self.levels.insert(participant.to_owned(), db);
        if let Some(voice) = self.voices.get(participant) {
            self.mixer.set_level(voice.name, db);
        }
    }

    fn end(&mut self) {
        self.turning = false;
        for voice in self.voices.values_mut() {
            voice.source = None;
            self.mixer.remove(voice.name);
        }
        if let Some(track) = &mut self.track {
            track.encoder = None;
        }
    }

    /// Moves what has arrived into the buffers.
    fn take(&mut self, arrivals: Look) {
        let Self { voices, stats, .. } = self;
        for source in voices.values_mut().filter_map(|it| it.source.as_mut()) {
            source.drain(Arrived::Since(arrivals), stats);
        }
    }

    fn skip(&mut self, frames: u64, due: Duration) {
        let Self { voices, frame, .. } = self;
        for source in voices.values_mut().filter_map(|it| it.source.as_mut()) {
            if frames > SKIP_FRAMES_MAX {
                source.reset();
                continue;
            }
            for _ in 0..frames {
                source.hear(due, frame);
            }
        }
    }

    /// Mixes 20 ms and gives every leg its own; returns how many mixes were made.
    fn turn(&mut self, due: Duration) -> u64 {
        let Self {
            voices,
            listeners,
            mixer,
            frame,
            ..
        } = self;
        for voice in voices.values_mut() {
            if let Some(source) = &mut voice.source
                && source.hear(due, frame)
            {
                voice.loudest = voice.loudest.min(Loudness::of(frame));
                mixer.put(voice.name, frame);
            }
        }
        self.measured += 1;
        mixer.mix();
        let mut shared: Option<Mix> = None;
        let mut made = 0;
        for listener in listeners {
            let own = voices.get(&listener.participant);
            let mix = match own.filter(|own| mixer.is_heard(own.name)) {
                Some(own) => {
                    mixer.hear(own.name, frame);
                    made += 1;
                    Mix::from(&frame[..])
                }
                None => {
                    let shared = shared.get_or_insert_with(|| {
                        made += 1;
                        Mix::from(mixer.shared())
                    });
                    Mix::clone(shared)
                }
            };
            // A leg that takes nothing has lost this.
            if listener.frames.try_send(mix).is_err() {
                tracing::trace!(participant = listener.participant, "a frame was not taken");
            }
        }
        made
    }

    /// Returns how loud each voice was at most since the last time, and who speaks.
    fn measure(&mut self) -> Measured {
        self.measured = 0;
        let speaking: BTreeSet<u32> = self.mixer.speaking(SPEAKING_TICKS).collect();
        let voices = self.voices.iter_mut();
        let measure = |(participant, voice): (&String, &mut Voice)| MeasuredVoice {
            participant: participant.clone(),
            loudest: std::mem::replace(&mut voice.loudest, SILENCE),
            speaks: speaking.contains(&voice.name),
        };
        Measured(voices.map(measure).collect())
    }

    /// Codes what all hear once, for however many subscribe.
    fn publish(&mut self, timestamp: u64, coding: Coding) {
        let Some(track) = self.track.as_mut().filter(|it| it.publication.is_read()) else {
            return;
        };
        let samples = self.mixer.shared();
        let level = Level {
            below_overload_db: Loudness::of(samples).minus_dbov(),
            voice: self
                .mixer
                .loudest()
                .is_some_and(|it| self.mixer.is_heard(it)),
        };
        match track.say(timestamp, level, samples, coding) {
            Ok(()) => {}
            Err(Error::Writing(WriteError::Superseded)) => {
                tracing::warn!("another publisher took the mix over: it is silent now");
                self.track = None;
            }
            Err(error) => tracing::debug!(%error, "20 ms of a mix were not published"),
        }
    }
}

impl MixTrack {
    fn say(
        &mut self,
        timestamp: u64,
        level: Level,
        samples: &[i16],
        coding: Coding,
    ) -> Result<(), Error> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => opus::Encoder::new(coding.opus(RATE))?,
        };
        let packet = self.encoder.insert(encoder).encode_samples(samples)?;
        Ok(self.publication.voice(timestamp, Some(level), packet)?)
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Coding(#[from] opus::Error),
    #[error(transparent)]
    Writing(#[from] WriteError),
}

impl Voice {
    fn open(&mut self, relay: &Relay, jitter: jitter::Config) {
        let reader = relay.subscribe(self.track.clone());
        self.source = Some(Source::new(reader, RATE, jitter, self.name));
    }
}
