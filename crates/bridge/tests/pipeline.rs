//! What happens to sound inside a leg, and what a leg says of itself at its end.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{
    Asterisk, FRAME, Publisher, Scene, decode, noise, object, objects, pass, place, purity,
    timestamp,
};
use moqrelay_audio::{SampleRate, level::dbov, packet, tone::Tone};
use moqrelay_bridge::{
    Event, LegId,
    leg::{Cause, Directions, VoiceMode},
};
use moqrelay_relay::track::Object;
use moqrelay_wire::{
    audio_object::{Kind, Mode, Properties},
    audiosocket::{Message, Rate},
};
use tokio::time::interval;

const RATE: Rate = Rate::Hz16000;

#[tokio::test(start_paused = true)]
async fn saving_sends_40_ms_packets_and_says_when_it_is_silent() {
    let mut scene = saving();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;

    asterisk.say_tone(RATE, 700.0, 100).await;
    say_hum(&mut asterisk, 100).await;
    asterisk.say_tone(RATE, 700.0, 50).await;
    let objects = all(&mut reader).await;

    let kinds: Vec<Kind> = objects.iter().map(kind).collect();
    assert_eq!(kinds[0], Kind::Key);
    let silence = kinds
        .iter()
        .position(|kind| *kind == Kind::Silence)
        .unwrap();
    // 2 s of tone and 280 ms that are held on.
    assert!((54..=58).contains(&silence), "{silence} packets");
    assert!(objects[silence].payload.is_empty());
    let said: Vec<usize> = (0..kinds.len())
        .filter(|at| kinds[*at] == Kind::Silence)
        .collect();
    assert!((2..=3).contains(&said.len()), "{said:?}");
    let key = said.last().unwrap() + 1;
    assert_eq!(kinds[key], Kind::Key);
    for pair in objects[..silence].windows(2) {
        assert_eq!(timestamp(&pair[1]) - timestamp(&pair[0]), 1_920);
        assert_eq!(packet::duration(&pair[0].payload), Ok(2 * FRAME));
    }
    assert!(purity(SampleRate::Hz48000, &decode(&objects[..silence - 8]), 700.0) > 0.9);
    // How it is sent: at once, and with every group.
    let said: Vec<usize> = (0..objects.len())
        .filter(|at| mode(&objects[*at]).is_some())
        .collect();
    assert_eq!(said, (0..objects.len()).step_by(50).collect::<Vec<_>>());
    let saving = Mode {
        length_ms: 40,
        kbps: 32,
        fec: false,
        saving: true,
    };
    assert_eq!(mode(&objects[0]), Some(saving));
    // Half a second into the silence the first word begins without what came before.
    assert!(purity(SampleRate::Hz48000, &decode(&objects[key..]), 700.0) > 0.9);
}

#[tokio::test(start_paused = true)]
async fn a_telephone_hears_a_saving_leg_whole_and_its_background_in_between() {
    let mut scene = saving();
    let mut speaker = scene.call(1).await;
    let mut listener = scene.call(2).await;
    scene
        .bridge
        .listen(LegId(2), place(1).audio().clone())
        .unwrap();
    pass(FRAME).await;

    let talk = async {
        speaker.say_tone(RATE, 700.0, 100).await;
        say_hum(&mut speaker, 150).await;
        speaker.say_tone(RATE, 700.0, 100).await;
    };
    let (heard, ()) = tokio::join!(listener.hear_frames(345), talk);

    let frames: Vec<&[i16]> = heard.samples.chunks(320).collect();
    let tone = |frame: &&[i16]| purity(SampleRate::Hz16000, frame, 700.0) > 0.8;
    let first = frames.iter().position(tone).unwrap();
    let gap = frames[first + 5..]
        .iter()
        .position(|frame| !tone(frame))
        .unwrap()
        + first
        + 5;
    let again = frames[gap + 20..].iter().position(tone).unwrap() + gap + 20;
    assert!(
        (96..=104).contains(&(gap - first)),
        "{} frames of tone",
        gap - first
    );
    assert!(
        (248..=252).contains(&(again - first)),
        "{} frames until it comes again",
        again - first
    );
    assert!(frames[again..again + 80].iter().all(tone));
    // In the middle of the gap: noise as loud as the room it came from.
    let quiet = dbov(&heard.samples[(gap + 60) * 320..(again - 10) * 320]);
    assert!((-66.0..-54.0).contains(&quiet), "{quiet} dBov");
}

#[tokio::test(start_paused = true)]
async fn direct_current_does_not_pass() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;
    let mut tone = Tone::sine(SampleRate::Hz16000, 700.0, -25.0);
    let mut ticks = interval(FRAME);

    for _ in 0..50 {
        ticks.tick().await;
        let mut samples = vec![0_i16; 320];
        tone.fill(&mut samples);
        samples.iter_mut().for_each(|sample| *sample += 4_000);
        asterisk.say(RATE, &samples).await;
    }

    let heard = decode(&objects(&mut reader, 50).await);
    let mean = heard.iter().map(|s| f64::from(*s)).sum::<f64>() / heard.len() as f64;
    assert!(mean.abs() < 50.0, "{mean}");
    assert!(purity(SampleRate::Hz48000, &heard, 700.0) > 0.95);
}

#[tokio::test(start_paused = true)]
async fn digits_in_the_sound_are_told_only_where_they_are_wanted() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;

    dial(&mut asterisk, "17").await;
    pass(5 * FRAME).await;
    assert!(scene.no_event());
    scene.bridge.detect_digits(LegId(1), true).unwrap();
    pass(FRAME).await;
    dial(&mut asterisk, "42#").await;

    for digit in "42#".chars() {
        assert_eq!(
            scene.event().await,
            Event::Digit {
                leg: LegId(1),
                digit
            }
        );
    }
    scene.bridge.hang_up(LegId(1)).unwrap();
    let (_, _, stats) = scene.detached().await;
    assert_eq!(stats.digits, 3);
}

#[tokio::test(start_paused = true)]
async fn a_road_that_brings_keys_itself_is_not_listened_to_for_them() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    scene.bridge.detect_digits(LegId(1), true).unwrap();
    pass(FRAME).await;

    asterisk.send(&Message::Digit('5')).await;
    dial(&mut asterisk, "42#").await;
    scene.bridge.hang_up(LegId(1)).unwrap();

    let (leg, digit) = (LegId(1), '5');
    assert_eq!(scene.event().await, Event::Digit { leg, digit });
    let (_, _, stats) = scene.detached().await;
    assert_eq!(stats.digits, 1);
}

#[tokio::test(start_paused = true)]
async fn a_good_leg_is_summed_up_as_good_both_ways() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    let publisher = Publisher::new(&scene.relay, place(2).audio(), 440.0);
    let task = publisher.run();
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();

    asterisk.say_tone(RATE, 700.0, 600).await;
    scene.bridge.hang_up(LegId(1)).unwrap();
    let (_, _, stats) = scene.detached().await;
    task.abort();

    for side in stats.summary.unwrap() {
        assert!(side.rating.unwrap().mos() > 4.2, "{side:?}");
        assert!(side.worst.unwrap() <= side.rating.unwrap());
        let level = side.level_dbov.unwrap();
        assert!((-23.0..-17.0).contains(&level), "{level}");
        assert_eq!((side.lost, side.clipped, side.cause), (0.0, 0, None));
        assert_eq!(side.silent, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_leg_is_summed_up_with_the_likeliest_cause() {
    let mut scene = Scene::new();
    let _never_sent = scene.call(1).await;
    let mut stopped = scene.call(2).await;
    let mut muted = scene.call(3).await;
    scene
        .bridge
        .listen(LegId(1), place(9).audio().clone())
        .unwrap();

    stopped.say_tone(RATE, 700.0, 50).await;
    for _ in 0..200 {
        muted.say(RATE, &[0; 320]).await;
        pass(FRAME).await;
    }
    pass(Duration::from_secs(2)).await;
    scene.bridge.hang_up_all().unwrap();

    let mut causes = Vec::new();
    for _ in 0..3 {
        let (leg, _, stats) = scene.detached().await;
        let [from, to] = stats.summary.unwrap();
        causes.push((
            leg.0,
            from.cause,
            to.cause,
            from.silent >= Duration::from_secs(3),
        ));
    }
    causes.sort_by_key(|cause| cause.0);
    assert_eq!(
        causes,
        [
            (
                1,
                Some(Cause::TelephoneNeverSent),
                Some(Cause::OthersNeverSent),
                true
            ),
            (2, Some(Cause::TelephoneStopped), None, true),
            (3, Some(Cause::TelephoneMute), None, false),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_loop_is_noticed() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    let mut speaker = scene.call(2).await;
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();

    let echo = async {
        for _ in 0..800 {
            let audio = asterisk.hear().await;
            asterisk.send(&Message::Audio(audio)).await;
        }
    };
    let talk = async {
        let mut ticks = interval(FRAME);
        for frame in 0..800_usize {
            ticks.tick().await;
            // Words of uneven length and loudness.
            let loud =
                [0, 0, 9_000, 3_000, 0, 6_000, 12_000, 800, 0, 4_000, 300][frame / 7 * 5 % 11];
            let samples: Vec<i16> = (0..320)
                .map(|i| if i % 40 < 20 { loud } else { -loud })
                .collect();
            speaker.say(RATE, &samples).await;
        }
    };
    tokio::join!(echo, talk);
    scene.bridge.hang_up(LegId(1)).unwrap();

    let (leg, _, stats) = scene.detached().await;
    assert_eq!((leg, stats.loops), (LegId(1), 1));
}

fn saving() -> Scene {
    Scene::with(|config| config.coding.mode = VoiceMode::Saving)
}

/// A room's background, -60 dBov.
async fn say_hum(asterisk: &mut Asterisk, frames: usize) {
    // Uniform noise of ±57 has a root mean square of 33.
    say_noise(asterisk, frames, 57).await;
}

async fn say_noise(asterisk: &mut Asterisk, frames: usize, peak: i32) {
    let mut ticks = interval(FRAME);
    let bytes = noise(frames * 320, 5);
    for frame in bytes.chunks(320) {
        ticks.tick().await;
        let samples: Vec<i16> = frame
            .iter()
            .map(|byte| (i32::from(*byte as i8) * peak / 128) as i16)
            .collect();
        asterisk.say(RATE, &samples).await;
    }
}

async fn dial(asterisk: &mut Asterisk, digits: &str) {
    let mut ticks = interval(FRAME);
    for digit in digits.chars() {
        let mut tone = Tone::dtmf(SampleRate::Hz16000, digit, 4 * FRAME).unwrap();
        for _ in 0..8 {
            ticks.tick().await;
            let mut samples = vec![0; 320];
            tone.fill(&mut samples);
            asterisk.say(RATE, &samples).await;
        }
    }
}

/// Every object that is there.
async fn all(reader: &mut moqrelay_relay::track::Reader) -> Vec<Object> {
    pass(5 * FRAME).await;
    let mut objects = vec![object(reader).await];
    while let Some(event) = reader.try_next() {
        if let moqrelay_relay::track::Event::Object(object) = event {
            objects.push(object);
        }
    }
    objects
}

fn mode(object: &Object) -> Option<Mode> {
    Properties::decode(&object.properties).unwrap().mode
}

fn kind(object: &Object) -> Kind {
    Properties::decode(&object.properties).unwrap().kind
}

#[tokio::test(start_paused = true)]
async fn soft_speech_is_brought_up_in_the_direction_that_was_chosen() {
    let mut levels = Vec::new();
    for (from_telephone, to_telephone) in [(false, false), (true, false), (false, true)] {
        let mut scene = Scene::with(|config| {
            config.shaping.level_control = Directions {
                from_telephone,
                to_telephone,
            };
        });
        let mut reader = scene.reader(1);
        let mut speaker = scene.call(1).await;
        let mut listener = scene.call(2).await;
        scene
            .bridge
            .listen(LegId(2), place(1).audio().clone())
            .unwrap();
        pass(FRAME).await;
        let (heard, ()) = tokio::join!(listener.hear_frames(500), mumble(&mut speaker, 500));
        let published = objects(&mut reader, 500).await;

        levels.push((
            dbov(&decode(&published[415..455])),
            dbov(&heard.samples[420 * 320..450 * 320]),
        ));
    }

    let [(said, plain), (controlled, follows), (untouched, raised)] = levels[..] else {
        panic!("{levels:?}");
    };
    assert!((-42.0..-38.0).contains(&said), "{levels:?}");
    assert!((plain - said).abs() < 1.5, "{levels:?}");
    for (level, before) in [(controlled, said), (follows, plain), (raised, plain)] {
        assert!((10.0..13.0).contains(&(level - before)), "{levels:?}");
    }
    assert!((untouched - said).abs() < 1.0, "{levels:?}");
}

#[tokio::test(start_paused = true)]
async fn a_noisy_telephone_is_heard_with_less_noise_where_that_is_wanted() {
    let mut levels = Vec::new();
    for wanted in [false, true] {
        let mut scene = Scene::with(|config| {
            config.shaping.noise_suppression.from_telephone = wanted;
        });
        let mut reader = scene.reader(1);
        let mut asterisk = scene.call(1).await;
        // A hum of -60 dBov, ten times as loud.
        say_noise(&mut asterisk, 200, 570).await;
        let published = objects(&mut reader, 200).await;
        levels.push(dbov(&decode(&published[150..])));
    }

    assert!(levels[1] < levels[0] - 9.0, "{levels:?}");
}

/// A soft tone, -40 dBov, for 1.2 s in every 2 s.
async fn mumble(asterisk: &mut Asterisk, frames: usize) {
    let mut tone = Tone::sine(SampleRate::Hz16000, 300.0, -40.0);
    let mut ticks = interval(FRAME);
    for frame in 0..frames {
        ticks.tick().await;
        let mut samples = vec![0; 320];
        if frame % 100 < 60 {
            tone.fill(&mut samples);
        }
        asterisk.say(RATE, &samples).await;
    }
}
