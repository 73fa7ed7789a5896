//! What the seats of a room add to a voice, and what rooms cost in which nobody speaks.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use moqrelay_bridge::{Bridge, Place};
use moqrelay_relay::{
    FullTrackName, Namespace, Relay,
    track::{Event, Info, Object, Reader, Writer},
};
use moqrelay_wire::audio_object::{Level, Properties, track_properties};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    figures::{percentile, short},
    proc::Cpu,
    table::{Row, Verdict},
};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rooms in which nobody speaks.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    idle: u16,
    /// Rooms in which people speak.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rooms: u16,
    /// People in each; three of them speak.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(3..=100))]
    people: u16,
    /// Seconds for each measurement.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// Half a percent of a core.
const IDLE_MAX: f64 = 0.5;

/// What a seat may add.
const ADDED_MAX: Duration = Duration::from_millis(1);

/// As many as there are by default.
const SEATS: usize = 5;

/// Those who speak in each room.
const SPEAKERS: u16 = 3;

const FRAME: Duration = Duration::from_millis(20);

/// Only a fault takes so long.
const DEADLINE: Duration = Duration::from_secs(30);

/// Measures both.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>> {
    Ok(vec![idle(args)?, speaking(args)?])
}

/// Everybody is there, the seats are subscribed to, and nobody says anything.
fn idle(args: &Args) -> Result<Row> {
    let (runtime, mut house) = House::open()?;
    let _entered = runtime.enter();
    let mut held = Vec::new();
    for room in 0..args.idle {
        held.push(house.room(room, args.people)?);
    }
    let followed = u64::from(args.idle) * u64::from(args.people);
    let own = u64::from(args.idle) * (SEATS as u64 + 1);
    house.wait_for(followed + own)?;
    let before = Cpu::of(std::process::id())?;
    thread::sleep(Duration::from_secs(args.seconds));
    let used = Cpu::of(std::process::id())?.since(before).used;
    let percent = used.as_secs_f64() * 100.0 / args.seconds as f64;
    drop(held);
    Ok(Row::new(
        format!("{} idle rooms, seats", args.idle),
        format!("{percent:.3} % of a core"),
        "≤ 0.5 % of a core",
        Verdict::of(percent <= IDLE_MAX),
        format!(
            "CPU time of this process over {} s: relay and bridge with {} people in each room who publish and are silent, all seats and `speakers` subscribed to.",
            args.seconds, args.people
        ),
    ))
}

/// Three speak in each room: how much later their objects are on a seat than on their own track.
fn speaking(args: &Args) -> Result<Row> {
    let (runtime, mut house) = House::open()?;
    let (latencies, mut latencies_rx) = mpsc::unbounded_channel();
    let start = Instant::now();
    let entered = runtime.enter();
    let mut people = Vec::new();
    for number in 0..args.rooms {
        let room = house.room(number, args.people)?;
        for seat in room.seats {
            house
                .tasks
                .spawn(listen(seat, start, Track::Seat, latencies.clone()));
        }
        for (index, person) in (0..args.people).zip(room.people) {
            if index < SPEAKERS {
                let own = house.relay.subscribe(person.name.clone());
                house
                    .tasks
                    .spawn(listen(own, start, Track::Own, latencies.clone()));
            }
            people.push((index < SPEAKERS, person));
        }
        // Nobody needs to know who speaks.
        drop(room.speakers);
    }
    let seats = u64::from(args.rooms) * (SEATS as u64 + u64::from(args.people + SPEAKERS));
    house.wait_for(seats)?;
    house.tasks.spawn(talk(people, start));
    drop(entered);
    // Everybody has a seat then.
    thread::sleep(Duration::from_secs(1));
    let before = Cpu::of(std::process::id())?;
    while latencies_rx.try_recv().is_ok() {}
    thread::sleep(Duration::from_secs(args.seconds));
    let used = Cpu::of(std::process::id())?.since(before).used;
    let (mut own, mut seat) = (Vec::new(), Vec::new());
    while let Ok((track, late)) = latencies_rx.try_recv() {
        match track {
            Track::Own => own.push(late),
            Track::Seat => seat.push(late),
        }
    }
    let expected = args.seconds * 50 * u64::from(args.rooms) * u64::from(SPEAKERS);
    ensure!(
        seat.len() as u64 >= expected / 2,
        "{} of {expected} objects came on seats",
        seat.len()
    );
    let at = |samples: &mut Vec<Duration>| [0.5, 0.99].map(|part| percentile(samples, part));
    let (own, seat) = (at(&mut own), at(&mut seat));
    let us = |duration: Duration| short(duration.as_secs_f64() * 1e6);
    let added = [0, 1].map(|part: usize| seat[part].saturating_sub(own[part]));
    let published = args.seconds * 50 * u64::from(args.rooms) * u64::from(args.people);
    Ok(Row::new(
        format!("{} rooms of {}: a seat adds", args.rooms, args.people),
        format!(
            "p50 {} µs, p99 {} µs ({} and {} on a seat); {} µs of CPU for each object published",
            us(added[0]),
            us(added[1]),
            us(seat[0]),
            us(seat[1]),
            short(used.as_secs_f64() * 1e6 / published as f64),
        ),
        "p50 ≤ 1 ms",
        Verdict::of(added[0] <= ADDED_MAX),
        format!(
            "{SPEAKERS} speak in each room, all publish in process at one time every 20 ms; from the write to a reader in the process, on the seat less on the own track; {} s. CPU: publishers and readers too.",
            args.seconds
        ),
    ))
}

/// Where an object was heard.
#[derive(Debug, Clone, Copy)]
enum Track {
    Own,
    Seat,
}

/// A relay and a bridge in this process.
struct House {
    relay: Relay,
    bridge: Bridge,
    /// Aborted when it is dropped.
    tasks: JoinSet<()>,
}

/// A room with all that is subscribed to.
struct Room {
    people: Vec<Person>,
    seats: Vec<Reader>,
    speakers: Reader,
}

struct Person {
    name: FullTrackName,
    writer: Writer,
}

impl House {
    fn open() -> Result<(Runtime, Self)> {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let entered = runtime.enter();
        let relay = Relay::new(moqrelay_relay::Config::default());
        let config = moqrelay_bridge::Config {
            listen: ([127, 0, 0, 1], 0).into(),
            seats: SEATS,
            ..moqrelay_bridge::Config::default()
        };
        let (bridge, events, run) = Bridge::bind(config, relay.clone())?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _events = events;
            run.await;
        });
        drop(entered);
        let house = Self {
            relay,
            bridge,
            tasks,
        };
        Ok((runtime, house))
    }

    fn room(&mut self, room: u16, people: u16) -> Result<Room> {
        let room = format!("{room:032x}");
        self.bridge.publish_seats(&room);
        let seat = |number| {
            let place = Place::new(room.clone(), format!("s{number}"))?;
            Ok(self.relay.subscribe(place.audio().clone()))
        };
        let fields = ["room", &room].map(|field| Bytes::copy_from_slice(field.as_bytes()));
        let speakers = FullTrackName::new(Namespace::new(fields)?, "speakers")?;
        let person = |number| {
            let place = Place::new(room.clone(), format!("p{number}"))?;
            let info = Info {
                properties: track_properties(),
            };
            let writer = self.relay.publish(place.audio(), info)?;
            self.bridge.add_voice(place.clone());
            let name = place.audio().clone();
            Ok(Person { name, writer })
        };
        Ok(Room {
            seats: (1..=SEATS).map(seat).collect::<Result<_>>()?,
            speakers: self.relay.subscribe(speakers),
            people: (1..=people).map(person).collect::<Result<_>>()?,
        })
    }

    /// Waits until so many readers are there, those of the seats too.
    fn wait_for(&self, subscriptions: u64) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while self.relay.stats().subscriptions < subscriptions {
            ensure!(Instant::now() < deadline, "the seats follow nobody");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Says something, or nothing, for everyone every 20 ms.
async fn talk(mut people: Vec<(bool, Person)>, start: Instant) {
    let mut ticks = interval(FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for sent in 0_u64.. {
        ticks.tick().await;
        for (speaks, person) in &mut people {
            let level = Level {
                below_overload_db: if *speaks { 30 + (sent % 12) as u8 } else { 90 },
                voice: *speaks,
            };
            let mut payload = BytesMut::from(&[0xf8][..]);
            payload.put_u64(start.elapsed().as_nanos() as u64);
            payload.resize(80, 0);
            let object = Object {
                group: sent / 50,
                id: sent % 50,
                properties: Properties::of_object(960 * sent, level).to_bytes(),
                payload: payload.freeze(),
                ..Object::default()
            };
            if person.writer.write(object).is_err() {
                return;
            }
        }
    }
}

/// Says how late each object is.
async fn listen(
    mut reader: Reader,
    start: Instant,
    track: Track,
    latencies: mpsc::UnboundedSender<(Track, Duration)>,
) {
    while let Ok(Some(event)) = timeout(DEADLINE, reader.next()).await {
        let Event::Object(object) = event else {
            continue;
        };
        let sent = object.payload.get(1..9).and_then(|it| it.try_into().ok());
        let Some(sent) = sent.map(u64::from_be_bytes).map(Duration::from_nanos) else {
            continue;
        };
        if latencies
            .send((track, start.elapsed().saturating_sub(sent)))
            .is_err()
        {
            return;
        }
    }
}
