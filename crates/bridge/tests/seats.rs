//! Seats: those who speak are heard on a few tracks, whoever they are and however many listen.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use common::{Scene, ended, objects, pass, place};
use moqrelay_audio::{
    FRAME_DURATION, Frame, SampleRate, level::AudioLevel, opus, packet::SILENCE, tone::Tone,
};
use moqrelay_bridge::{self as bridge, Bridge, LegId, Place};
use moqrelay_relay::{
    FullTrackName, Namespace,
    track::{Event, Info, Object, Reader, Writer},
};
use moqrelay_wire::{
    audio_object::{Kind, Level, Properties, track_properties},
    audiosocket::Rate,
    speakers::Speakers,
};
use tokio::time::Instant;

/// Audio Level octets of 12 s of recorded speech, one for each 20 ms; the first word begins at [`ONSET`].
const SPEECH: &str = include_str!("../../audio/tests/recorded/speech.hex");
const ONSET: usize = 13;

#[tokio::test(start_paused = true)]
async fn who_speaks_is_heard_on_a_seat_untouched_and_from_the_first_word() {
    let mut room = Room::new();
    let mut seats = room.seats().await;
    room.enter(3).await;
    let mut sent = Vec::new();
    for tick in 0..20 {
        let level = (tick >= 5).then_some(30);
        sent.push(room.say(3, level));
        pass(FRAME_DURATION).await;
    }

    let heard = objects(&mut seats[0], 15).await;

    assert_eq!(
        heard.iter().map(|it| &it.payload).collect::<Vec<_>>(),
        sent[5..].iter().map(|it| &it.payload).collect::<Vec<_>>()
    );
    for (id, (heard, sent)) in heard.iter().zip(&sent[5..]).enumerate() {
        let said = Properties::decode(&sent.properties).unwrap();
        let expected = Properties {
            participant: Some(3),
            ..said
        };
        assert_eq!(Properties::decode(&heard.properties), Ok(expected));
        assert_eq!((heard.group, heard.id), (heard.group, id as u64));
        assert_eq!(heard.subgroup, None, "a datagram stays one");
    }
    assert!(is_quiet(&mut seats[1]), "one voice has one seat");
}

#[tokio::test(start_paused = true)]
async fn of_twelve_those_three_who_speak_have_seats() {
    let mut room = Room::new();
    let mut seats = room.seats().await;
    for participant in 1..=12 {
        room.enter(participant).await;
    }
    for _ in 0..50 {
        for participant in 1..=12 {
            let speaks = [2, 7, 11].contains(&participant);
            room.say(participant, speaks.then_some(30));
        }
        pass(FRAME_DURATION).await;
    }

    let mut holders = Vec::new();
    for seat in &mut seats {
        let heard = taken(seat);
        let numbers: Vec<u64> = heard.iter().map(participant).collect();
        assert!(numbers.iter().all(|it| *it == numbers[0]), "{numbers:?}");
        assert!(heard.is_empty() || heard.len() == 50);
        holders.extend(numbers.first().copied());
    }

    holders.sort_unstable();
    assert_eq!(holders, [2, 7, 11]);
}

#[tokio::test(start_paused = true)]
async fn a_new_holder_begins_a_new_group_and_so_does_a_new_publisher() {
    let mut room = Room::of(1);
    let mut seats = room.seats().await;
    room.enter(1).await;
    room.enter(2).await;

    room.talk(&[1], 60).await;
    room.talk(&[2], 20).await;
    room.publish(2);
    room.talk(&[2], 10).await;

    let heard = taken(&mut seats[0]);
    let mut groups: Vec<(u64, u64, usize)> = Vec::new();
    for object in &heard {
        let (group, who) = (object.group - heard[0].group, participant(object));
        match groups.last_mut() {
            Some(last) if last.0 == group => {
                assert_eq!(last.1, who, "one holder in a group");
                assert_eq!(last.2 as u64, object.id, "ids count up");
                last.2 += 1;
            }
            _ => groups.push((group, who, 1)),
        }
    }
    // Three objects of silence come until the other one has the seat.
    assert_eq!(groups, [(0, 1, 50), (1, 1, 13), (2, 2, 20), (3, 2, 10)]);
}

#[tokio::test(start_paused = true)]
async fn who_is_muted_has_no_seat_at_that_moment_and_has_one_again_at_once() {
    let mut room = Room::new();
    let mut seats = room.seats().await;
    room.enter(1).await;
    room.talk(&[1], 20).await;
    assert_eq!(taken(&mut seats[0]).len(), 20);

    room.bridge().remove_voice(place(1));
    settle().await;
    room.talk(&[1], 100).await;
    assert!(is_quiet(&mut seats[0]), "is heard though muted");
    room.bridge().add_voice(place(1));
    settle().await;
    room.talk(&[1], 5).await;

    let heard = taken(&mut seats[0]);
    assert_eq!(heard.len(), 5);
    assert!(heard.iter().all(|it| participant(it) == 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_followed_while_nobody_listens() {
    let mut room = Room::new();
    for participant in 1..=5 {
        room.enter(participant).await;
    }
    room.talk(&[1, 2], 50).await;
    assert_eq!(room.scene.relay.stats().subscriptions, 0);

    let mut seats = room.seats().await;
    room.talk(&[1, 2], 50).await;
    assert_eq!(room.scene.relay.stats().subscriptions, 5 + 5);
    assert_eq!(taken(&mut seats[0]).len(), 50, "from the first moment");
    drop(seats);
    settle().await;

    assert_eq!(room.scene.relay.stats().subscriptions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_seat_is_lost_after_three_seconds_of_silence_and_found_again() {
    let mut room = Room::new();
    let mut seats = room.seats().await;
    let mut speakers = room.speakers();
    room.enter(1).await;
    room.enter(2).await;
    room.talk(&[1, 2], 20).await;

    room.talk(&[], 200).await;
    let last = states(&mut speakers).pop().unwrap();
    assert_eq!(last.seats, [None, None, None, None, None]);
    assert!(taken(&mut seats[0]).len() <= 20 + 152);
    taken(&mut seats[1]);
    room.talk(&[2], 10).await;

    let heard = taken(&mut seats[1]);
    assert_eq!(heard.len(), 10, "the same seat again");
    assert!(heard.iter().all(|it| participant(it) == 2));
}

#[tokio::test(start_paused = true)]
async fn who_speaks_is_told_and_four_times_a_second_at_most() {
    let mut room = Room::new();
    let mut speakers = room.speakers();
    for participant in 1..=10 {
        room.enter(participant).await;
    }
    pass(Duration::from_millis(100)).await;
    let first = states(&mut speakers);
    assert_eq!(first.len(), 1);
    assert_eq!((&first[0].front, first[0].speaking.len()), (&None, 0));

    room.talk(&[10, 9], 10).await;
    let now = states(&mut speakers).pop().unwrap();
    assert_eq!(now.speaking, ["p9", "p10"]);
    assert_eq!(
        now.front.as_deref(),
        Some("p9"),
        "the first of two who are as loud"
    );
    // Somebody else begins every 40 ms for ten seconds.
    for turn in 0..250 {
        room.talk(&[turn % 10 + 1], 2).await;
    }
    let states = states(&mut speakers);

    assert!(
        (20..=41).contains(&states.len()),
        "{} in 10 s",
        states.len()
    );
}

#[tokio::test(start_paused = true)]
async fn the_daemon_is_told_who_speaks_and_that_nobody_does_any_more() {
    let mut room = Room::new();
    let seats = room.seats().await;
    for participant in 1..=3 {
        room.enter(participant).await;
    }

    room.talk(&[2], 25).await;
    assert_eq!(room.told(), [vec![2]]);
    room.talk(&[2, 3], 25).await;
    assert_eq!(room.told(), [vec![2, 3]]);
    room.talk(&[], 50).await;
    assert_eq!(room.told().last(), Some(&vec![]));
    // Somebody else begins every 40 ms for ten seconds.
    for turn in 0..250 {
        room.talk(&[turn % 3 + 1], 2).await;
    }
    let told = room.told().len();
    assert!(told <= 41, "{told} in 10 s");
    // Who goes while speaking speaks no more; without listeners nobody does.
    room.talk(&[1], 30).await;
    room.bridge().remove_voice(place(1));
    pass(Duration::from_millis(500)).await;
    assert_eq!(room.told().last(), Some(&vec![]));
    room.talk(&[2], 30).await;
    assert_eq!(room.told().last(), Some(&vec![2]));
    drop(seats);
    pass(Duration::from_millis(500)).await;
    assert_eq!(room.told().last(), Some(&vec![]));
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_knows_who_speaks_within_five_seconds() {
    let mut room = Room::new();
    let _first = room.speakers();
    room.enter(1).await;
    room.talk(&[1], 100).await;

    let mut late = room.speakers();
    room.talk(&[1], 255).await;

    assert!(states(&mut late).iter().any(|it| it.speaking == ["p1"]));
}

#[tokio::test(start_paused = true)]
async fn liars_keep_speech_from_a_seat_for_300_ms_at_most() {
    let mut room = Room::new();
    let mut seats = room.seats().await;
    for participant in [1, 2, 3, 4, 5, 9] {
        room.enter(participant).await;
    }
    let lies = |room: &mut Room, tick: usize| {
        room.claim(1, Some((0, true)));
        room.claim(2, Some(((tick % 3) as u8, true)));
        room.claim(3, None);
        room.claim(4, Some((12, true)));
        room.claim(5, Some((10 + (tick % 5) as u8, true)));
    };
    for tick in 0..150 {
        lies(&mut room, tick);
        pass(FRAME_DURATION).await;
    }
    for seat in &mut seats {
        taken(seat);
    }

    let start = Instant::now();
    let mut heard = None;
    let mut count = 0;
    for (tick, said) in speech().into_iter().skip(ONSET).enumerate() {
        lies(&mut room, tick);
        room.claim(9, Some((said.level.minus_dbov(), said.voice)));
        pass(FRAME_DURATION).await;
        for seat in &mut seats {
            let mine = taken(seat).iter().filter(|it| participant(it) == 9).count();
            count += mine;
            if mine > 0 {
                heard.get_or_insert(start.elapsed());
            }
        }
    }

    let heard = heard.unwrap();
    assert!(heard <= Duration::from_millis(300), "{heard:?}");
    assert!(
        count >= 587 - 15 + 3,
        "{count} objects of 587: it has lost the seat again"
    );
}

#[tokio::test(start_paused = true)]
async fn speech_that_begins_is_heard_within_60_ms() {
    let mut room = Room::new();
    let mut seats = room.seats().await;
    for participant in 1..=6 {
        room.enter(participant).await;
    }
    // Five have seats and have fallen silent.
    room.talk(&[1, 2, 3, 4, 5], 50).await;
    room.talk(&[], 30).await;

    let start = Instant::now();
    'speaks: for said in speech().into_iter().skip(ONSET) {
        room.claim(6, Some((said.level.minus_dbov(), said.voice)));
        for _ in 0..20 {
            settle().await;
            if seats
                .iter_mut()
                .any(|seat| taken(seat).iter().any(|it| participant(it) == 6))
            {
                break 'speaks;
            }
        }
    }

    assert!(
        start.elapsed() <= Duration::from_millis(60),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn objects_on_streams_stay_on_streams_and_a_foreign_timescale_goes_with_them() {
    let room = Room::new();
    let mut seats = room.seats().await;
    room.bridge().add_voice(place(1));
    settle().await;
    // Timescale 1000.
    let info = Info {
        properties: Bytes::from_static(&[0x08, 0x83, 0xe8]),
    };
    let mut writer = room.scene.relay.publish(place(1).audio(), info).unwrap();
    for index in 0..10_u64 {
        let properties = Properties {
            timestamp: Some(20 * index),
            level: Some(LOUD),
            ..Properties::default()
        };
        let object = Object {
            group: 7 + index / 5,
            subgroup: Some(3),
            id: 4 * (index % 5),
            properties: properties.to_bytes(),
            payload: packet(index),
            ..Object::default()
        };
        writer.write(object).unwrap();
        pass(FRAME_DURATION).await;
    }

    let heard = taken(&mut seats[0]);

    assert_eq!(heard.len(), 10);
    for (index, object) in (0..).zip(&heard) {
        let properties = Properties::decode(&object.properties).unwrap();
        assert_eq!(properties.timestamp_48k(Some(48_000)), Some(960 * index));
        assert_eq!((object.subgroup, object.id), (Some(0), index));
        assert_eq!(object.payload, packet(index));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_voice_and_what_is_too_much_is_not_handed_on() {
    let mut room = Room::new();
    let mut seats = room.seats().await;
    room.enter(1).await;
    room.talk(&[1], 10).await;
    taken(&mut seats[0]);

    // A property block that ends inside a pair; a packet larger than Opus has; silence is handed on.
    room.send(1, Bytes::from_static(&[0x0c]), packet(1));
    let properties = Properties::of_object(0, LOUD);
    room.send(1, properties.to_bytes(), Bytes::from(vec![0; 5_000]));
    room.send(
        1,
        properties.with_kind(Kind::Silence).to_bytes(),
        Bytes::new(),
    );
    settle().await;
    assert_eq!(taken(&mut seats[0]).len(), 1);
    for index in 0..1_000 {
        room.send(1, properties.to_bytes(), packet(index));
        if index % 50 == 0 {
            pass(Duration::from_micros(10)).await;
        }
    }
    settle().await;

    let heard = taken(&mut seats[0]).len();
    assert!((30..=72).contains(&heard), "{heard} of a flood");
}

#[tokio::test(start_paused = true)]
async fn packets_without_sound_are_no_speech_whatever_they_say() {
    let mut room = Room::new();
    let mut seats = room.seats().await;
    room.enter(1).await;

    for _ in 0..50 {
        let properties = Properties::of_object(0, LOUD).to_bytes();
        room.send(1, properties, Bytes::from_static(&[0xf8, 0]));
        pass(FRAME_DURATION).await;
    }

    assert!(is_quiet(&mut seats[0]));
}

#[tokio::test(start_paused = true)]
async fn a_telephone_s_voice_has_a_seat_like_any_other() {
    let mut room = Room::new();
    let mut phone = room.scene.call(4).await;
    let mut seats = room.seats().await;
    room.bridge().add_voice(place(4));

    phone.say_tone(Rate::Hz16000, 440.0, 50).await;

    let heard = taken(&mut seats[0]);
    assert!(heard.len() >= 40, "{} objects", heard.len());
    assert!(heard.iter().all(|it| participant(it) == 4));
}

#[tokio::test(start_paused = true)]
async fn where_a_telephone_hears_the_room_a_claim_counts_as_what_is_measured() {
    for (telephone, holder) in [(false, 1), (true, 2)] {
        let mut room = Room::of(1);
        let mut seats = room.seats().await;
        room.enter(1).await;
        room.enter(2).await;
        let phone = match telephone {
            true => Some(room.scene.call(3).await),
            false => None,
        };
        if telephone {
            room.bridge().hear_room(LegId(3), place(3)).unwrap();
        }
        let rate = SampleRate::Hz16000;
        let mut encoder = opus::Encoder::new(opus::Config::new(rate)).unwrap();
        let mut frame = Frame::silence(rate);
        let mut levels = [-30.0, -44.0].map(|dbov| Tone::sine(rate, 440.0, dbov));

        // The first speaks most credibly and says nothing; the second is softer, and is there.
        let speech = speech();
        let claims = speech.iter().chain(&speech).filter(|it| it.voice);
        for (tick, claim) in claims.take(300).enumerate() {
            let lie = Properties::of_object(960 * tick as u64, to_wire(*claim));
            room.send(1, lie.to_bytes(), Bytes::from_static(&SILENCE));
            levels[tick / 10 % 2].fill(frame.samples_mut());
            let truth = AudioLevel {
                level: moqrelay_audio::level::Level::of(frame.samples()),
                voice: true,
            };
            let truth = Properties::of_object(960 * tick as u64, to_wire(truth));
            let said = encoder.encode(&frame).unwrap();
            room.send(2, truth.to_bytes(), said);
            pass(FRAME_DURATION).await;
        }

        let heard = taken(&mut seats[0]);
        let last = &heard[heard.len() - 50..];
        assert!(
            last.iter().all(|it| participant(it) == holder),
            "telephone: {telephone}"
        );
        drop(phone);
    }
}

#[tokio::test(start_paused = true)]
async fn the_seats_of_a_room_end_with_it_and_rooms_are_apart() {
    let mut room = Room::new();
    let mut seats = room.seats().await;
    room.bridge().publish_seats("other");
    let other = Place::new("other", "s1").unwrap();
    let mut other = room.scene.relay.subscribe(other.audio().clone());
    room.enter(1).await;
    room.talk(&[1], 10).await;
    assert!(is_quiet(&mut other));

    room.bridge().end_seats("r");
    ended(&mut seats[0]).await;
    room.bridge().publish_seats("r");
    settle().await;
    room.talk(&[1], 10).await;

    let heard = taken(&mut seats[0]);
    assert_eq!(heard.len(), 10, "a room that opens again has seats again");
}

#[tokio::test(start_paused = true)]
async fn without_seats_there_are_none() {
    let scene = Scene::with(|config| config.seats = 0);
    scene.bridge.publish_seats("r");
    scene.bridge.add_voice(place(1));

    settle().await;

    assert_eq!(scene.relay.stats().tracks, 0);
}

const LOUD: Level = Level {
    below_overload_db: 30,
    voice: true,
};

/// The room `r` with seats, and people who publish.
struct Room {
    scene: Scene,
    people: Vec<(u64, Writer)>,
    sent: u64,
}

impl Room {
    fn new() -> Self {
        Self::of(5)
    }

    fn of(seats: usize) -> Self {
        let scene = Scene::with(|config| config.seats = seats);
        scene.bridge.publish_seats("r");
        Self {
            scene,
            people: Vec::new(),
            sent: 0,
        }
    }

    fn bridge(&self) -> &Bridge {
        &self.scene.bridge
    }

    /// Returns what the daemon was told of who speaks since it was asked last.
    fn told(&mut self) -> Vec<Vec<u64>> {
        let events = std::iter::from_fn(|| self.scene.events.try_recv().ok());
        let told = events.filter_map(|event| match event {
            bridge::Event::Speaking { room, participants } => {
                assert_eq!(room, "r");
                Some(participants)
            }
            _ => None,
        });
        told.collect()
    }

    async fn enter(&mut self, participant: u64) {
        self.scene.bridge.add_voice(place(participant));
        self.publish(participant);
        settle().await;
    }

    /// Lets a participant publish, anew if it does already.
    fn publish(&mut self, participant: u64) {
        let info = Info {
            properties: track_properties(),
        };
        let writer = self
            .scene
            .relay
            .publish(place(participant).audio(), info)
            .unwrap();
        self.people.retain(|(who, _)| *who != participant);
        self.people.push((participant, writer));
    }

    async fn seats(&self) -> Vec<Reader> {
        let seat = |number| Place::new("r", format!("s{number}")).unwrap();
        let seat = |number| self.scene.relay.subscribe(seat(number).audio().clone());
        let seats = (1..=5).map(seat).collect();
        settle().await;
        seats
    }

    fn speakers(&self) -> Reader {
        let fields = ["room", "r"].map(|it| Bytes::from_static(it.as_bytes()));
        let name = FullTrackName::new(Namespace::new(fields).unwrap(), "speakers").unwrap();
        self.scene.relay.subscribe(name)
    }

    /// Lets these speak and the others publish silence for so many ticks.
    async fn talk(&mut self, speaking: &[u64], ticks: usize) {
        let people: Vec<u64> = self.people.iter().map(|(who, _)| *who).collect();
        for _ in 0..ticks {
            for who in &people {
                self.say(*who, speaking.contains(who).then_some(30));
            }
            pass(FRAME_DURATION).await;
        }
    }

    /// Says 20 ms of speech of a level, or of silence.
    fn say(&mut self, participant: u64, minus_dbov: Option<u8>) -> Object {
        // Speech moves.
        let moves = (self.sent % 12) as u8;
        let level = minus_dbov.map_or((80, false), |level| (level + moves, true));
        self.claim(participant, Some(level))
    }

    /// Says 20 ms and how loud they are.
    fn claim(&mut self, participant: u64, level: Option<(u8, bool)>) -> Object {
        let level = level.map(|(below_overload_db, voice)| Level {
            below_overload_db,
            voice,
        });
        let properties = Properties {
            timestamp: Some(self.sent * 960),
            level,
            ..Properties::default()
        };
        self.send(participant, properties.to_bytes(), packet(self.sent))
    }

    fn send(&mut self, participant: u64, properties: Bytes, payload: Bytes) -> Object {
        let object = Object {
            group: 100 + self.sent,
            properties,
            payload,
            ..Object::default()
        };
        self.sent += 1;
        let (_, writer) = self
            .people
            .iter_mut()
            .find(|(who, _)| *who == participant)
            .unwrap();
        writer.write(object.clone()).unwrap();
        object
    }
}

/// On this clock everybody has done what is to be done when a moment is over.
async fn settle() {
    pass(Duration::from_millis(1)).await;
}

/// An Opus packet of 20 ms that is none of the others.
fn packet(number: u64) -> Bytes {
    let mut packet = BytesMut::from(&[0xf8][..]);
    packet.put_u64(number);
    packet.freeze()
}

fn participant(object: &Object) -> u64 {
    Properties::decode(&object.properties)
        .unwrap()
        .participant
        .unwrap()
}

/// Returns the objects that have come.
fn taken(reader: &mut Reader) -> Vec<Object> {
    let mut taken = Vec::new();
    while let Some(event) = reader.try_next() {
        if let Event::Object(object) = event {
            taken.push(object);
        }
    }
    taken
}

fn to_wire(level: AudioLevel) -> Level {
    Level::from_byte(level.to_byte())
}

fn is_quiet(reader: &mut Reader) -> bool {
    taken(reader).is_empty()
}

fn states(reader: &mut Reader) -> Vec<Speakers> {
    let objects = taken(reader);
    objects
        .iter()
        .map(|it| Speakers::decode(&it.payload).unwrap())
        .collect()
}

fn speech() -> Vec<AudioLevel> {
    let digits: Vec<u8> = SPEECH
        .chars()
        .filter_map(|it| it.to_digit(16))
        .map(|it| it as u8)
        .collect();
    digits
        .chunks(2)
        .map(|octet| AudioLevel::from_byte(octet[0] << 4 | octet[1]))
        .collect()
}
