//! Seats: the few voices of a room that are heard, as tracks that a listener subscribes to once.
//!
//! One task follows the voices of every room to whose seats somebody listens, reads how loud they say they are, and
//! hands the chosen ones' objects on, untouched. Nothing is decoded here; a room to whose seats nobody listens has no
//! readers and no clock, and without others the task sleeps.

mod bell;
mod report;
mod room;
mod seat;
mod speakers;
mod voice;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use metrics::{Counter, counter};
use moqrelay_audio::{FRAME_DURATION, level::Level};
use moqrelay_relay::Relay;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use self::{
    bell::{Bells, Ring, What},
    room::Room,
};
use crate::{Event, Place};

/// Seats of a room: what is more costs every listener and is heard by nobody.
pub(crate) const SEATS_MAX: usize = 16;

/// How long one who is silent still speaks, 400 ms: pauses between words are shorter.
pub(crate) const SPEAKING_TICKS: u32 = 20;

/// Rooms with seats, as many as the wheel mixes.
const ROOMS_MAX: usize = 1024;

/// Tracks that are looked at before orders and the clock have their turn.
const RINGS_PER_TURN: usize = 256;

/// The first tick after a sleep is half a frame after the first object, so that the clock ticks between objects.
const FIRST_TICK: Duration = Duration::from_millis(10);

/// The way to the seats. Whoever tells them something is limited by the number of participants, and so is what waits
/// here.
#[derive(Debug, Clone)]
pub(crate) struct Seats {
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
enum Order {
    /// A room has seats.
    Open(String),
    /// It has none any more.
    Close(String),
    /// A voice may have a seat.
    Add(Place),
    /// It may not any more.
    Remove(Place),
    /// What was heard of a room's voices since the last time, where they are decoded.
    Measure(String, Measured),
    End,
}

/// What the wheel has heard of a room's voices; nothing of any, once it has stopped.
#[derive(Debug, Default)]
pub(crate) struct Measured(pub(crate) Vec<MeasuredVoice>);

/// What it has heard of one.
#[derive(Debug)]
pub(crate) struct MeasuredVoice {
    pub(crate) participant: String,
    /// How loud it was at most.
    pub(crate) loudest: Level,
    /// Whether it is in the mix and speaks.
    pub(crate) speaks: bool,
}

impl Seats {
    /// Makes the seats of all rooms, `seats` in each (at most [`SEATS_MAX`]), and the future that must be run.
    pub(crate) fn new(
        relay: Relay,
        seats: usize,
        events: mpsc::Sender<Event>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (orders, orders_rx) = mpsc::unbounded_channel();
        let (bells, rings) = Bells::new();
        let seating = Seating {
            relay,
            events,
            seats: seats.min(SEATS_MAX),
            bells,
            names: BTreeMap::new(),
            rooms: BTreeMap::new(),
            next: 0,
            awake: BTreeSet::new(),
            tick: Instant::now(),
            meters: Meters {
                objects: counter!("moqrelay_seat_objects_total"),
                refused: counter!("moqrelay_seat_objects_refused_total"),
                changes: counter!("moqrelay_seat_changes_total"),
            },
        };
        (Self { orders }, seating.run(orders_rx, rings))
    }

    pub(crate) fn open(&self, room: &str) {
        self.tell(Order::Open(room.to_owned()));
    }

    pub(crate) fn close(&self, room: &str) {
        self.tell(Order::Close(room.to_owned()));
    }

    pub(crate) fn add(&self, place: Place) {
        self.tell(Order::Add(place));
    }

    pub(crate) fn remove(&self, place: Place) {
        self.tell(Order::Remove(place));
    }

    pub(crate) fn measure(&self, room: &str, measured: Measured) {
        self.tell(Order::Measure(room.to_owned(), measured));
    }

    pub(crate) fn end(&self) {
        self.tell(Order::End);
    }

    fn tell(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::debug!("the seats have ended");
        }
    }
}

/// What is counted.
#[derive(Clone)]
struct Meters {
    /// Objects that were handed on.
    objects: Counter,
    /// Objects that were not: unreadable, too large, or more than a voice has.
    refused: Counter,
    /// Seats that have got another holder.
    changes: Counter,
}

/// The task's own.
struct Seating {
    relay: Relay,
    /// Takes who speaks.
    events: mpsc::Sender<Event>,
    seats: usize,
    bells: Bells,
    names: BTreeMap<String, u32>,
    rooms: BTreeMap<u32, Room>,
    next: u32,
    /// Rooms in which somebody speaks or has a seat.
    awake: BTreeSet<u32>,
    /// The next tick, when one is awake.
    tick: Instant,
    meters: Meters,
}

impl Seating {
    async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut rings: mpsc::UnboundedReceiver<Ring>,
    ) {
        let mut rung = Vec::with_capacity(RINGS_PER_TURN);
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    None | Some(Order::End) => return,
                    Some(order) => self.obey(order),
                },
                () = sleep_until(self.tick), if !self.awake.is_empty() => self.tick(),
                _ = rings.recv_many(&mut rung, RINGS_PER_TURN) => {
                    for ring in rung.drain(..) {
                        self.hear(ring);
                    }
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            // Without seats there is nothing to open, but who speaks is told.
            Order::Open(_) if self.seats == 0 => {}
            Order::Open(name) => {
                let Some(id) = self.room(&name) else { return };
                let (bells, seats) = (self.bells.of(id), self.seats);
                if let Some(room) = self.rooms.get_mut(&id)
                    && let Err(error) = room.open(&self.relay, seats, &bells)
                {
                    tracing::warn!(room = name, %error, "the room has no seats");
                }
            }
            Order::Close(name) => self.with(&name, |room, _| room.close()),
            Order::Add(place) => {
                let Some(id) = self.room(place.room()) else {
                    return;
                };
                let bells = self.bells.of(id);
                if let Some(room) = self.rooms.get_mut(&id) {
                    room.add(&place, &self.relay, &bells);
                }
            }
            Order::Remove(place) => self.with(place.room(), |room, meters| {
                room.remove(place.participant(), Instant::now(), meters);
            }),
            Order::Measure(name, measured) => self.measure(&name, &measured),
            Order::End => {}
        }
    }

    /// Returns a room, which is made when there is none.
    fn room(&mut self, name: &str) -> Option<u32> {
        if let Some(id) = self.names.get(name) {
            return Some(*id);
        }
        if self.rooms.len() >= ROOMS_MAX {
            tracing::warn!(room = name, "no seats: {ROOMS_MAX} rooms have some");
            return None;
        }
        let id = self.next;
        // Rings of a room that was, four thousand million rooms ago, harm nobody.
        self.next = self.next.wrapping_add(1);
        self.names.insert(name.to_owned(), id);
        let room = Room::new(name, self.seats, self.events.clone());
        self.rooms.insert(id, room);
        Some(id)
    }

    /// Changes a room, and forgets it when nothing is left of it.
    fn with(&mut self, name: &str, change: impl FnOnce(&mut Room, &Meters)) {
        let Some(&id) = self.names.get(name) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(&id) else {
            return;
        };
        change(room, &self.meters);
        if room.is_empty() {
            self.rooms.remove(&id);
            self.names.remove(name);
            self.awake.remove(&id);
        }
    }

    fn hear(&mut self, ring: Ring) {
        let Some(room) = self.rooms.get_mut(&ring.room) else {
            return; // It was closed since.
        };
        let now = Instant::now();
        let wakes = match ring.what {
            What::Voice(number) => room.hear(number, now, &self.meters),
            What::Track(index) => room.look(index, &self.relay),
        };
        if wakes {
            self.wake(ring.room, now);
        }
    }

    fn measure(&mut self, name: &str, measured: &Measured) {
        let now = Instant::now();
        let id = self.names.get(name).copied();
        let room = id.and_then(|id| Some((id, self.rooms.get_mut(&id)?)));
        if let Some((id, room)) = room
            && room.measure(measured, now)
        {
            self.wake(id, now);
        }
    }

    /// Lets a room tick.
    fn wake(&mut self, room: u32, now: Instant) {
        if self.awake.insert(room) && self.awake.len() == 1 {
            self.tick = now + FIRST_TICK;
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        // Late ticks are not made up for: what has arrived meanwhile is heard within this one.
        self.tick = (self.tick + FRAME_DURATION).max(now + FIRST_TICK);
        let Self {
            rooms,
            awake,
            meters,
            ..
        } = self;
        awake.retain(|id| rooms.get_mut(id).is_some_and(|room| room.tick(now, meters)));
    }
}
