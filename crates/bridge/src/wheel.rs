//! The mixing wheel: one task that mixes every room with a telephone in it, on one grid of 20 ms.
//!
//! A voice is buffered and decoded once for its whole room, whoever hears it. A room to which no leg listens has
//! neither readers nor decoders, and without such rooms the wheel stands still.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use metrics::{Counter, counter};
use moqrelay_audio::{
    SampleRate,
    conference::{self, Chime, Mixer},
    jitter, speakers,
};
use moqrelay_relay::{FullTrackName, Relay};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    Place,
    leg::{Clock, Source, Stats, frame_due},
};

/// What mixes are made at: telephones have no more, and a decoder at 48 kHz costs twice as much.
pub(crate) const RATE: SampleRate = SampleRate::Hz16000;

/// Voices of one room that are mixed. Each has a decoder and a buffer of some 40 KB.
const VOICES_MAX: usize = 128;

/// Rooms with telephones in them; each has one at least, and legs have a limit of their own.
const ROOMS_MAX: usize = 1024;

/// A frame that a leg has not taken is behind six others: 120 ms that the room does not get back.
pub(crate) const FRAMES_WAITING_MAX: usize = 6;

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
    /// Somebody hears the room it is in.
    Hear(Place, mpsc::Sender<Mix>),
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
        jitter: jitter::Config,
        level_control: bool,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (orders, orders_rx) = mpsc::unbounded_channel();
        let turning = Turning {
            relay,
            jitter,
            level_control,
            rooms: BTreeMap::new(),
            clock: Clock::new(Instant::now()),
            start: Instant::now(),
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

    /// Begins to send what is heard at `place`: the room without its voice. It ends when the receiver is dropped.
    pub(crate) fn hear(&self, place: Place) -> mpsc::Receiver<Mix> {
        let (frames, frames_rx) = mpsc::channel(FRAMES_WAITING_MAX);
        self.tell(Order::Hear(place, frames));
        frames_rx
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
    jitter: jitter::Config,
    level_control: bool,
    rooms: BTreeMap<String, Room>,
    clock: Clock,
    /// The clock's first deadline.
    start: Instant,
    /// Turns of rooms.
    frames: Counter,
    /// Mixes that were made in them.
    mixes: Counter,
}

/// One room, known from its first voice or listener to its last.
struct Room {
    voices: BTreeMap<String, Voice>,
    listeners: Vec<Listener>,
    mixer: Mixer<u32>,
    next: u32,
    frame: Vec<i16>,
    stats: Stats,
}

struct Voice {
    /// What the mixer calls it.
    name: u32,
    track: FullTrackName,
    /// There while somebody listens.
    source: Option<Source>,
}

struct Listener {
    participant: String,
    frames: mpsc::Sender<Mix>,
}

impl Turning {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let heard = self.rooms.values().any(|room| !room.listeners.is_empty());
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    None | Some(Order::End) => return,
                    Some(order) => self.obey(order, heard),
                },
                () = sleep_until(self.clock.next()), if heard => self.turn(),
            }
        }
    }

    fn obey(&mut self, order: Order, turning: bool) {
        match order {
            Order::Add(place) => self.add(&place),
            Order::Remove(place) => self.remove(&place),
            Order::Hear(place, frames) => {
                if !turning {
                    self.start = Instant::now();
                    self.clock = Clock::new(self.start);
                }
                self.hear(&place, frames);
            }
            Order::Chime { room, chime } => {
                if let Some(room) = self.rooms.get_mut(&room).filter(|room| room.is_heard()) {
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
        };
        room.next += 1;
        if room.is_heard() {
            voice.open(&relay, jitter);
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
        if room.voices.is_empty() && room.listeners.is_empty() {
            self.rooms.remove(place.room());
        }
    }

    fn hear(&mut self, place: &Place, frames: mpsc::Sender<Mix>) {
        let (relay, jitter) = (self.relay.clone(), self.jitter);
        let Some(room) = self.room(place.room()) else {
            return;
        };
        if !room.is_heard() {
            tracing::info!(
                room = place.room(),
                voices = room.voices.len(),
                "is mixed from now on"
            );
            for voice in room.voices.values_mut() {
                voice.open(&relay, jitter);
            }
        }
        room.listeners.push(Listener {
            participant: place.participant().to_owned(),
            frames,
        });
    }

    fn turn(&mut self) {
        let Some(due) = self.clock.due(Instant::now()) else {
            return;
        };
        let now = self.start.elapsed();
        let mut made = 0;
        let mut turned = 0;
        for room in self.rooms.values_mut().filter(|room| room.is_heard()) {
            room.take(now);
            if due.skipped > 0 {
                room.skip(due.skipped, frame_due(due.first - 1));
            }
            for index in due.first..due.first + due.frames {
                made += room.turn(frame_due(index));
                turned += 1;
            }
        }
        self.frames.increment(turned);
        self.mixes.increment(made);
        self.rooms.retain(|name, room| {
            if room.let_go() {
                tracing::info!(room = name, "is mixed no longer");
            }
            !room.voices.is_empty() || room.is_heard()
        });
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
            listeners: Vec::new(),
            mixer: Mixer::new(config),
            next: 0,
            frame: vec![0; RATE.frame_samples()],
            stats: Stats::default(),
        }
    }

    fn is_heard(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Moves what has arrived into the buffers.
    fn take(&mut self, now: Duration) {
        let Self { voices, stats, .. } = self;
        for source in voices.values_mut().filter_map(|it| it.source.as_mut()) {
            source.drain(now, stats);
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

    /// Mixes 20 ms and gives everyone theirs; returns how many mixes were made.
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
                mixer.put(voice.name, frame);
            }
        }
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
            // A leg that takes nothing has lost this; one that is gone is let go below.
            if listener.frames.try_send(mix).is_err() {
                tracing::trace!(participant = listener.participant, "a frame was not taken");
            }
        }
        made
    }

    /// Forgets listeners that are gone, and stops following the voices behind the last one; true when it did.
    fn let_go(&mut self) -> bool {
        let heard = self.is_heard();
        self.listeners.retain(|it| !it.frames.is_closed());
        let over = heard && !self.is_heard();
        if over {
            for voice in self.voices.values_mut() {
                voice.source = None;
                self.mixer.remove(voice.name);
            }
        }
        over
    }
}

impl Voice {
    fn open(&mut self, relay: &Relay, jitter: jitter::Config) {
        let reader = relay.subscribe(self.track.clone());
        self.source = Some(Source::new(reader, RATE, jitter, self.name));
    }
}
