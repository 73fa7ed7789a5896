//! Seats for those who speak: quickly given, never flickering.

use moqrelay_audio::level::{AudioLevel, Level};
use moqrelay_audio::speakers::{Config, Selector};
use proptest::prelude::*;

const TICK_MS: usize = 20;

#[test]
fn who_speaks_has_a_free_seat_after_40_ms_and_a_click_gets_none() {
    let mut room = Selector::new(Config::default());

    speak(&mut room, &[(1, 30)], 1);
    assert!(!room.is_seated(1));
    speak(&mut room, &[(1, 30)], 1);

    assert!(room.is_seated(1));
    assert_eq!(room.loudest(), Some(1));
}

#[test]
fn who_begins_while_all_seats_are_held_by_silent_ones_waits_no_longer() {
    let mut room = Selector::new(Config::default());
    speak(
        &mut room,
        &[(1, 30), (2, 30), (3, 30), (4, 30), (5, 30)],
        50,
    );
    speak(&mut room, &[(1, 30), (2, 30), (4, 30), (5, 30)], 10);

    speak(&mut room, &[(1, 30), (2, 30), (4, 30), (5, 30), (9, 50)], 2);

    assert!(room.is_seated(9));
    assert!(!room.is_seated(3), "the silent one has made room");
}

#[test]
fn who_is_clearly_louder_is_heard_within_300_ms_though_all_seats_speak() {
    let mut room = Selector::new(Config::default());
    let crowd = [(1, 40), (2, 40), (3, 46), (4, 40), (5, 40)];
    speak(&mut room, &crowd, 100);

    let mut waited = 0;
    while !room.is_seated(9) && waited < 50 {
        speak(
            &mut room,
            &[(1, 40), (2, 40), (3, 46), (4, 40), (5, 40), (9, 30)],
            1,
        );
        waited += 1;
    }

    assert!(waited * TICK_MS <= 300, "{} ms", waited * TICK_MS);
    assert!(!room.is_seated(3), "the softest has made room");
}

#[test]
fn one_who_is_only_a_little_louder_ousts_nobody() {
    let mut room = Selector::new(Config::default());
    speak(
        &mut room,
        &[(1, 40), (2, 40), (3, 40), (4, 40), (5, 40)],
        100,
    );

    speak(
        &mut room,
        &[(1, 40), (2, 40), (3, 40), (4, 40), (5, 40), (9, 36)],
        500,
    );

    assert!(!room.is_seated(9));
    assert_eq!(room.seated().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn two_who_take_turns_in_a_room_of_one_seat_do_not_flicker() {
    let config = Config {
        seats: 1,
        ..Config::default()
    };
    let mut room = Selector::new(config);
    let mut changes = 0;
    let mut before = None;

    // Both speak in syllables of 100 ms, against each other, for ten seconds.
    for tick in 0..500u16 {
        let who = 1 + u8::from((tick / 5) % 2 == 1);
        speak(&mut room, &[(who, 30)], 1);
        let now = room.seated().next();
        changes += usize::from(before.is_some() && now != before);
        before = now;
    }

    // Nobody is ousted within 300 ms, so it cannot be more than 33.
    assert!(changes <= 34, "{changes} changes in 10 s");
}

#[test]
fn a_pause_between_words_costs_no_seat_and_a_long_silence_does() {
    let mut room = Selector::new(Config::default());
    speak(&mut room, &[(1, 30)], 10);

    speak(&mut room, &[], 149);
    assert!(room.is_seated(1));
    speak(&mut room, &[], 1);

    assert!(!room.is_seated(1));
}

#[test]
fn the_one_in_front_stays_until_another_is_louder_or_it_falls_silent() {
    let mut room = Selector::new(Config::default());
    speak(&mut room, &[(1, 30)], 20);

    speak(&mut room, &[(1, 30), (2, 28)], 50);
    assert_eq!(room.loudest(), Some(1), "2 dB are no reason");
    speak(&mut room, &[(1, 30), (2, 20)], 10);
    assert_eq!(room.loudest(), Some(2));
    speak(&mut room, &[(1, 30)], 1);
    assert_eq!(room.loudest(), Some(1));
    speak(&mut room, &[], 50);
    assert_eq!(room.loudest(), Some(1), "who spoke last");
}

#[test]
fn who_leaves_gives_the_seat_to_the_next() {
    let config = Config {
        seats: 1,
        ..Config::default()
    };
    let mut room = Selector::new(config);
    speak(&mut room, &[(1, 30), (2, 34)], 20);
    assert!(room.is_seated(1));

    room.remove(1);
    assert_eq!(room.loudest(), None);
    speak(&mut room, &[(2, 34)], 1);

    assert!(room.is_seated(2));
    assert_eq!(room.loudest(), Some(2));
}

#[test]
fn noise_without_voice_gets_no_seat() {
    let mut room = Selector::new(Config::default());

    for _ in 0..200 {
        room.hear(
            1,
            AudioLevel {
                level: Level::new(20),
                voice: false,
            },
        );
        room.tick();
    }

    assert!(!room.is_seated(1));
    assert_eq!(room.loudest(), None);
}

proptest! {
    /// Whatever is heard: never more than the seats, and no seat is lost within 300 ms but by leaving or silence.
    #[test]
    fn seats_hold(
        steps in proptest::collection::vec((0u8..12, 0u8..80, any::<bool>(), 1u8..6), 1..300)
    ) {
        let config = Config { seats: 3, ..Config::default() };
        let mut room = Selector::new(config);
        let mut since = std::collections::BTreeMap::new();
        let mut tick = 0u32;
        for (who, level, leaves, ticks) in steps {
            if leaves {
                room.remove(who);
                since.remove(&who);
            }
            for _ in 0..ticks {
                room.hear(who, AudioLevel { level: Level::new(level), voice: true });
                room.tick();
                tick += 1;
                let seated: Vec<u8> = room.seated().collect();
                prop_assert!(seated.len() <= 3);
                for (lost, from) in since.iter().filter(|(who, _)| !seated.contains(who)) {
                    prop_assert!(tick - from >= config.keep_ticks, "{lost} sat for {} ticks", tick - from);
                }
                since.retain(|who, _| seated.contains(who));
                for who in seated {
                    since.entry(who).or_insert(tick);
                }
                if let Some(first) = room.loudest() {
                    prop_assert!(first < 12);
                }
            }
        }
    }
}

/// Lets these speak (name, -dBov) for so many ticks; all others are silent.
fn speak(room: &mut Selector<u8>, who: &[(u8, u8)], ticks: usize) {
    for _ in 0..ticks {
        for &(who, level) in who {
            let level = Level::new(level);
            room.hear(who, AudioLevel { level, voice: true });
        }
        room.tick();
    }
}
