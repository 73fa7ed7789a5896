//! What is believed of levels that are somebody's word: of speech everything, of inventions little.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use moqrelay_audio::claims::{Claims, LOUDEST, MEASURE_TICKS, SOFT};
use moqrelay_audio::level::{AudioLevel, Level, SILENCE};
use moqrelay_audio::speakers::{Config, Selector};

/// Audio Level octets of 12 s of a recorded announcement (Asterisk's core sounds, demo-congrats), one for each 20 ms,
/// with 220 ms before its first word.
const SPEECH: &str = include_str!("recorded/speech.hex");

/// Ticks before the first word.
const ONSET: usize = 13;

#[test]
fn recorded_speech_is_believed_but_for_its_loudest_peaks() {
    let mut claims = Claims::new();

    for said in speech() {
        claims.say(Some(said), 1);
        let believed = claims.tick().unwrap();

        assert_eq!(believed.voice, said.voice);
        if said.voice {
            assert_eq!(believed.level, said.level.max(LOUDEST).min(SOFT));
        }
    }
}

#[test]
fn nothing_said_is_silence_and_a_burst_is_no_more_than_it_holds() {
    let mut claims = Claims::new();
    assert_eq!(claims.tick(), None);

    for _ in 0..50 {
        claims.say(Some(voice(30)), 1);
    }
    let ticks = (0..50).take_while(|_| claims.tick().is_some()).count();
    assert_eq!(ticks, 5, "100 ms, however much came at once");

    claims.say(Some(voice(30)), 3);
    assert!(claims.tick().is_some());
    claims.fall_silent();
    assert_eq!(claims.tick(), None);
}

#[test]
fn a_level_that_does_not_move_counts_as_soft_after_two_seconds_until_it_does() {
    let mut claims = Claims::new();

    let loud = (0..200_u8).take_while(|tick| say(&mut claims, voice(20 + tick % 5)) != SOFT);
    assert_eq!(loud.count(), 99);
    assert_eq!(say(&mut claims, voice(22)), SOFT);

    assert_eq!(say(&mut claims, voice(30)), Level::new(30), "it moves");
}

#[test]
fn the_loudest_that_counts_is_the_loudest_that_speech_has() {
    let mut claims = Claims::new();

    assert_eq!(say(&mut claims, voice(0)), LOUDEST);
}

#[test]
fn who_claims_voice_for_ten_seconds_without_a_pause_counts_as_soft_until_there_is_one() {
    let mut claims = Claims::new();
    // It moves by 10 dB, but is never softer than that.
    let claim = |tick: usize| voice(14 + (tick % 11) as u8);

    let believed: Vec<Level> = (0..600).map(|tick| say(&mut claims, claim(tick))).collect();
    assert!(believed[..500].iter().all(|it| *it != SOFT));
    assert!(believed[500..].iter().all(|it| *it == SOFT));

    for _ in 0..5 {
        claims.tick();
    }
    assert_ne!(say(&mut claims, claim(0)), SOFT);
}

#[test]
fn objects_without_level_are_soft_voice() {
    let mut claims = Claims::new();

    claims.say(None, 1);

    let soft = AudioLevel {
        level: SOFT,
        voice: true,
    };
    assert_eq!(claims.tick(), Some(soft));
}

#[test]
fn what_is_measured_counts_where_it_is_softer_than_what_is_said() {
    let mut claims = Claims::new();
    let claim = |tick: u32| voice(20 + (tick % 20) as u8);

    let mut believed = Level::new(0);
    for tick in 0..50 * 5 {
        believed = say(&mut claims, claim(tick));
        if tick % MEASURE_TICKS == 0 {
            claims.measure(voice(50));
        }
    }
    assert_eq!(believed, Level::new(29 + 30), "30 dB too much");

    // Nobody decodes it any more.
    for tick in 0..50 * 3 {
        believed = say(&mut claims, claim(tick));
    }
    assert_eq!(believed, claim(149).level);
}

#[test]
fn who_claims_a_voice_that_nobody_can_measure_is_soft() {
    let mut claims = Claims::new();

    let mut believed = Level::new(0);
    for (tick, said) in speech().into_iter().take(300).enumerate() {
        claims.say(Some(said), 1);
        believed = claims.tick().map_or(SILENCE, |it| it.level);
        if tick % MEASURE_TICKS as usize == 0 {
            claims.measure(AudioLevel::SILENCE);
        }
    }

    assert_eq!(believed, SOFT);
}

#[test]
fn speech_that_is_measured_late_is_believed_all_the_while() {
    for delay in [2, 10, 25] {
        let mut claims = Claims::new();
        let speech = speech();

        // Twice with a minute of silence between, so that there are beginnings and ends.
        for (tick, said) in speech
            .iter()
            .chain(&[AudioLevel::SILENCE; 3000])
            .chain(&speech)
            .enumerate()
        {
            claims.say(Some(*said), 1);
            let believed = claims.tick().unwrap();

            assert_eq!(
                believed.level,
                if said.voice {
                    said.level.max(LOUDEST).min(SOFT)
                } else {
                    said.level
                }
            );
            if tick % MEASURE_TICKS as usize == 0 {
                let until = tick.saturating_sub(delay) % (speech.len() + 3000);
                let from = until.saturating_sub(MEASURE_TICKS as usize);
                let heard = speech
                    .get(from..until.min(speech.len()))
                    .unwrap_or_default();
                let loudest = heard.iter().filter(|it| it.voice).min_by_key(|it| it.level);
                claims.measure(loudest.copied().unwrap_or(AudioLevel::SILENCE));
            }
        }
    }
}

#[test]
fn speech_takes_a_seat_from_liars_within_300_ms() {
    let mut room = Room::new();
    // One is always loudest, one moves, one says nothing of its level, two are as loud as can be believed.
    let lies = |who: u8, tick: usize| match who {
        0 => Some(voice(0)),
        1 => Some(voice((tick % 3) as u8)),
        2 => None,
        _ => Some(voice(12)),
    };
    for tick in 0..150 {
        room.tick((0..5).map(|who| (who, lies(who, tick))));
    }
    assert_eq!(room.selector.seated().count(), 5, "nobody else wants them");

    let mut waited = None;
    for (tick, said) in speech().into_iter().skip(ONSET).enumerate() {
        let liars = (0..5).map(|who| (who, lies(who, 150 + tick)));
        room.tick(liars.chain([(9, Some(said))]));
        if room.selector.is_seated(9) {
            waited.get_or_insert(tick + 1);
        } else {
            assert_eq!(waited, None, "the seat is lost again");
        }
    }

    let waited = waited.unwrap() * 20;
    assert!(waited <= 300, "{waited} ms");
}

#[test]
fn speech_that_begins_has_a_free_seat_within_40_ms() {
    let mut room = Room::new();

    let ticks = speech().into_iter().take_while(|said| {
        room.tick([(9, Some(*said))]);
        !room.selector.is_seated(9)
    });

    assert_eq!(
        ticks.count() - ONSET,
        1,
        "at the second tick of its first word"
    );
}

struct Room {
    claims: Vec<Claims>,
    selector: Selector<u8>,
}

impl Room {
    fn new() -> Self {
        Self {
            claims: vec![Claims::new(); 10],
            selector: Selector::new(Config::default()),
        }
    }

    fn tick(&mut self, said: impl IntoIterator<Item = (u8, Option<AudioLevel>)>) {
        for (who, said) in said {
            let claims = &mut self.claims[usize::from(who)];
            claims.say(said, 1);
            if let Some(believed) = claims.tick() {
                self.selector.hear(who, believed);
            }
        }
        self.selector.tick();
    }
}

/// Says it and returns what is believed.
fn say(claims: &mut Claims, level: AudioLevel) -> Level {
    claims.say(Some(level), 1);
    claims.tick().unwrap().level
}

fn voice(minus_dbov: u8) -> AudioLevel {
    AudioLevel {
        level: Level::new(minus_dbov),
        voice: true,
    }
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
