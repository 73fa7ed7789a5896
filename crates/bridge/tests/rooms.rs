//! Rooms of many telephones: each hears all others and not itself.

mod common;

use std::time::Duration;

use common::{
    Asterisk, Heard, Publisher, Scene, decode, ended, objects, pass, place, timestamp, within,
};
use futures_util::future::join_all;
use moqrelay_audio::{
    SampleRate,
    clip::Clip,
    tone::{Detector, Tone},
};
use moqrelay_bridge::{
    Chime, Event, LegId,
    leg::{Beep, OutRate},
};
use moqrelay_wire::audiosocket::Rate;

/// What telephones say, by leg from 1 on.
/// Whole periods in 20 ms, so that frames join without a click.
const HZ: [f32; 3] = [400.0, 700.0, 1100.0];

const NOBODY: Vec<u64> = Vec::new();

#[tokio::test(start_paused = true)]
async fn three_telephones_hear_each_other_and_not_themselves() {
    let (mut scene, mut phones) = room(&[OutRate::Hz16000; 3]).await;
    scene.enter_all(3);

    let heard = talk(&mut phones, Rate::Hz16000, 120).await;

    matrix(&heard, &[0, 1, 2]);
    drop(scene);
}

#[tokio::test(start_paused = true)]
async fn a_telephone_of_another_rate_hears_the_room_at_its_own() {
    let rates = [OutRate::Hz8000, OutRate::Hz16000, OutRate::Hz48000];
    let (mut scene, mut phones) = room(&rates).await;
    scene.enter_all(3);

    let heard = talk(&mut phones, Rate::Hz16000, 120).await;

    let hz: Vec<u32> = heard.iter().map(|it| it.rate.hz()).collect();
    assert_eq!(hz, [8_000, 16_000, 48_000]);
    matrix(&heard, &[0, 1, 2]);
    drop(scene);
}

#[tokio::test(start_paused = true)]
async fn a_browser_s_voice_is_heard_in_the_mix_and_a_silent_leg_hears_all() {
    let (mut scene, mut phones) = room(&[OutRate::Hz16000; 2]).await;
    Publisher::new(&scene.relay, place(9).audio(), HZ[2]).run();
    scene.bridge.add_voice(place(9));
    scene.enter_all(2);

    let (first, second) = phones.split_at_mut(1);
    let silent = async { second[0].hear_frames(100).await };
    let (_, heard) = tokio::join!(first[0].say_tone(Rate::Hz16000, HZ[0], 100), silent);

    let heard = last(&heard, 40);
    assert!(
        level(&heard, HZ[0]) > -30.0,
        "the talker: {}",
        level(&heard, HZ[0])
    );
    assert!(
        level(&heard, HZ[2]) > -30.0,
        "the browser: {}",
        level(&heard, HZ[2])
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_taken_out_of_the_mix_is_heard_no_more_and_hears_on() {
    let (mut scene, mut phones) = room(&[OutRate::Hz16000; 3]).await;
    scene.enter_all(3);
    talk(&mut phones, Rate::Hz16000, 60).await;

    scene.bridge.remove_voice(place(2));
    let heard = talk(&mut phones, Rate::Hz16000, 120).await;

    assert!(
        level(&heard[0], HZ[1]) < -60.0,
        "is heard yet: {}",
        level(&heard[0], HZ[1])
    );
    assert!(level(&heard[0], HZ[2]) > -30.0);
    assert!(level(&heard[1], HZ[0]) > -30.0, "hears no more");
    assert!(level(&heard[1], HZ[2]) > -30.0, "hears no more");
}

#[tokio::test(start_paused = true)]
async fn who_has_left_the_room_hears_silence() {
    let (mut scene, mut phones) = room(&[OutRate::Hz16000; 3]).await;
    scene.enter_all(3);
    talk(&mut phones, Rate::Hz16000, 60).await;

    scene.bridge.leave_room(LegId(1)).unwrap();
    let heard = talk(&mut phones, Rate::Hz16000, 60).await;

    assert!(heard[0].is_silent());
    assert!(!heard[1].is_silent());
}

#[tokio::test(start_paused = true)]
async fn rooms_do_not_hear_each_other_and_a_leg_that_ends_harms_nobody() {
    let (scene, mut phones) = room(&[OutRate::Hz16000; 3]).await;
    let other =
        |participant: u64| moqrelay_bridge::Place::new("other", format!("p{participant}")).unwrap();
    for leg in [1, 2] {
        scene.bridge.add_voice(place(leg));
        scene.bridge.hear_room(LegId(leg), place(leg)).unwrap();
    }
    scene.bridge.hear_room(LegId(3), other(3)).unwrap();

    let heard = talk(&mut phones, Rate::Hz16000, 100).await;
    assert!(heard[2].is_silent(), "the other room");
    assert!(level(&heard[0], HZ[1]) > -30.0);
    drop(phones.remove(0));
    let heard = talk(&mut phones, Rate::Hz16000, 100).await;

    assert!(heard.iter().all(Heard::is_silent), "each is alone now");
}

#[tokio::test(start_paused = true)]
async fn who_speaks_among_telephones_alone_is_told_and_that_nobody_does_any_more() {
    for seats in [5, 0] {
        let mut scene = Scene::with(|config| config.seats = seats);
        let mut first = scene.call_at(1, OutRate::Hz16000).await;
        let mut second = scene.call_at(2, OutRate::Hz16000).await;
        scene.bridge.publish_seats("r");
        scene.enter_all(2);

        let (_, heard) = tokio::join!(
            first.say_tone(Rate::Hz16000, HZ[0], 50),
            second.hear_frames(50)
        );
        assert!(level(&heard, HZ[0]) > -30.0, "it is mixed");
        assert_eq!(scene.speaking(), [vec![1]], "{seats} seats");
        second.hear_frames(50).await;
        assert_eq!(scene.speaking(), [NOBODY]);

        // Who is muted while speaking speaks no more; nor does anybody whom nobody hears.
        tokio::join!(
            second.say_tone(Rate::Hz16000, HZ[1], 50),
            first.hear_frames(50)
        );
        assert_eq!(scene.speaking(), [vec![2]]);
        scene.bridge.remove_voice(place(2));
        pass(Duration::from_millis(500)).await;
        assert_eq!(scene.speaking(), [NOBODY]);
        first.say_tone(Rate::Hz16000, HZ[0], 50).await;
        assert_eq!(scene.speaking(), [vec![1]]);
        drop((first, second));
        pass(Duration::from_millis(500)).await;
        assert_eq!(scene.speaking(), [NOBODY]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chime_is_heard_by_the_whole_room() {
    let (mut scene, mut phones) = room(&[OutRate::Hz16000; 2]).await;
    scene.enter_all(2);
    for phone in &mut phones {
        phone.hear_frames(10).await;
    }

    scene.bridge.chime("r", Chime::Joined);

    for phone in &mut phones {
        let heard = phone.hear_frames(30).await;
        assert!(heard.peak() > 500, "{}", heard.peak());
        assert!(level(&heard, 880.0) > -60.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_beep_is_played_once_and_to_one_leg_alone() {
    let (scene, mut phones) = room(&[OutRate::Hz16000; 2]).await;

    scene.bridge.beep(LegId(1), Beep::Ask).unwrap();

    let heard = phones[0].hear_frames(50).await;
    assert!(heard.peak() > 2_000, "{}", heard.peak());
    // 300 ms of the second.
    let sounding = heard.samples.iter().filter(|sample| **sample != 0).count();
    assert!((4_000..=4_850).contains(&sounding), "{sounding} samples");
    assert!(phones[1].hear_frames(50).await.is_silent());
    assert!(phones[0].hear_frames(50).await.is_silent());
}

#[tokio::test(start_paused = true)]
async fn recorded_sounds_are_played_once_one_after_the_other_at_any_rate() {
    for (rate, samples) in [(OutRate::Hz16000, 16_000), (OutRate::Hz8000, 8_000)] {
        let (scene, mut phones) = room(&[rate; 2]).await;

        scene
            .bridge
            .say(LegId(1), vec![clip(1_010.0), clip(2_030.0)])
            .unwrap();

        let heard = phones[0].hear_frames(50).await;
        // 300 ms of each; where samples are made anew, some begin or end later.
        let sounding = heard.samples.iter().filter(|sample| **sample != 0).count();
        let expected = samples * 6 / 10;
        assert!(
            sounding.abs_diff(expected) < expected / 10,
            "{sounding} samples"
        );
        let first = part(&heard, 100, 250);
        let second = part(&heard, 400, 550);
        assert!(level(&first, 1_010.0) > -25.0 && level(&first, 2_030.0) < -45.0);
        assert!(level(&second, 2_030.0) > -25.0 && level(&second, 1_010.0) < -45.0);
        assert!(phones[1].hear_frames(50).await.is_silent());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_to_say_ends_what_is_being_said() {
    let (scene, mut phones) = room(&[OutRate::Hz16000]).await;
    scene.bridge.say(LegId(1), vec![clip(1_000.0)]).unwrap();
    assert!(phones[0].hear_frames(5).await.peak() > 2_000);

    scene.bridge.say(LegId(1), Vec::new()).unwrap();

    phones[0].hear_frames(2).await;
    assert!(phones[0].hear_frames(20).await.is_silent());
}

/// 300 ms of a tone.
fn clip(hz: f32) -> Clip {
    let mut samples = [0i16; 4_800];
    Tone::sine(Clip::RATE, hz, -20.0).fill(&mut samples[..]);
    Clip::from_samples(&samples)
}

#[tokio::test(start_paused = true)]
async fn a_room_of_twenty_has_one_mix_for_all_who_are_silent() {
    let (mut scene, mut phones) = room(&[OutRate::Hz16000; 20]).await;
    scene.enter_all(20);

    let (first, others) = phones.split_at_mut(1);
    let listening = join_all(others.iter_mut().map(|phone| phone.hear_frames(100)));
    let (_, heard) = tokio::join!(first[0].say_tone(Rate::Hz16000, HZ[0], 100), listening);

    for heard in &heard {
        let heard = last(heard, 20);
        assert!(level(&heard, HZ[0]) > -30.0, "{}", level(&heard, HZ[0]));
    }
}

#[tokio::test(start_paused = true)]
async fn the_mix_is_a_track_for_who_subscribes() {
    let scene = Scene::new();
    for (participant, hz) in [(1, HZ[0]), (2, HZ[1])] {
        Publisher::new(&scene.relay, place(participant).audio(), hz).run();
        scene.bridge.add_voice(place(participant));
    }
    let mix = moqrelay_bridge::Place::new("r", "mix").unwrap();
    scene.bridge.publish_mix(mix.clone());
    let mut reader = scene.relay.subscribe(mix.audio().clone());

    let objects = objects(&mut reader, 100).await;

    let heard = decode(&objects);
    for hz in &HZ[..2] {
        let level = Detector::new(SampleRate::Hz48000, *hz).dbov(&heard[heard.len() / 2..]);
        assert!(level > -30.0, "{hz} Hz at {level}");
    }
    let stamps: Vec<u64> = objects.iter().map(timestamp).collect();
    assert!(
        stamps.windows(2).all(|pair| pair[1] - pair[0] == 960),
        "{stamps:?}"
    );
    assert!(common::level(&objects[99]).voice);
}

#[tokio::test(start_paused = true)]
async fn a_mix_that_nobody_hears_is_not_made_and_goes_on_when_somebody_does() {
    let scene = Scene::new();
    Publisher::new(&scene.relay, place(1).audio(), HZ[0]).run();
    scene.bridge.add_voice(place(1));
    let mix = moqrelay_bridge::Place::new("r", "mix").unwrap();
    scene.bridge.publish_mix(mix.clone());
    let mut first = scene.relay.subscribe(mix.audio().clone());
    let before = objects(&mut first, 10).await;
    drop(first);

    pass(Duration::from_secs(10)).await;
    let mut second = scene.relay.subscribe(mix.audio().clone());
    let after = objects(&mut second, 10).await;

    let (last, next) = (timestamp(&before[9]), timestamp(&after[0]));
    assert!(
        next - last > 9 * 48_000,
        "timestamps go with the time: {last}, {next}"
    );
    // A group has 50 objects: had it been made all the while, ten would lie between.
    assert!(
        after[0].group - before[9].group <= 1,
        "it was made for nobody"
    );
    scene.bridge.end_mix(mix);
    ended(&mut second).await;
}

#[tokio::test(start_paused = true)]
async fn the_bridge_ends_with_rooms_in_use() {
    let (mut scene, phones) = room(&[OutRate::Hz16000; 2]).await;
    scene.enter_all(2);

    scene.bridge.shut_down().unwrap();
    drop(phones);
    for _ in 0..2 {
        scene.detached().await;
    }

    within(scene.task).await.unwrap();
}

impl Scene {
    /// Returns what the daemon was told of who speaks since it was asked last.
    fn speaking(&mut self) -> Vec<Vec<u64>> {
        let events = std::iter::from_fn(|| self.events.try_recv().ok());
        let told = events.filter_map(|event| match event {
            Event::Speaking { room, participants } => {
                assert_eq!(room, "r");
                Some(participants)
            }
            _ => None,
        });
        told.collect()
    }

    /// Lets the legs from 1 on speak and hear in the room `r`.
    fn enter_all(&mut self, legs: u64) {
        for leg in 1..=legs {
            self.bridge.add_voice(place(leg));
            self.bridge
                .hear_room(LegId(leg), place(leg))
                .expect("the bridge runs");
        }
    }
}

async fn room(rates: &[OutRate]) -> (Scene, Vec<Asterisk>) {
    let mut scene = Scene::new();
    let mut phones = Vec::new();
    for (leg, rate) in (1..).zip(rates) {
        phones.push(scene.call_at(leg, *rate).await);
    }
    (scene, phones)
}

/// Lets every telephone say its tone for so many frames; returns the last 400 ms that each heard.
async fn talk(phones: &mut [Asterisk], rate: Rate, frames: usize) -> Vec<Heard> {
    let talking = phones.iter_mut().zip(HZ).map(async |(phone, hz)| {
        let mut all = Heard {
            rate,
            samples: Vec::new(),
        };
        for _ in 0..frames {
            phone.say_tone(rate, hz, 1).await;
            let heard = phone.hear().await;
            all.rate = heard.rate;
            all.samples.extend(heard.samples());
        }
        last(&all, 20)
    });
    join_all(talking).await
}

fn matrix(heard: &[Heard], legs: &[usize]) {
    for own in legs {
        for other in legs {
            let level = level(&heard[*own], HZ[*other]);
            if own == other {
                assert!(level < -60.0, "{own} hears itself at {level}");
            } else {
                assert!(level > -32.0, "{own} hears {other} at {level} only");
            }
        }
    }
}

fn level(heard: &Heard, hz: f32) -> f32 {
    let rate = SampleRate::from_hz(heard.rate.hz()).expect("a rate of Asterisk");
    Detector::new(rate, hz).dbov(&heard.samples)
}

/// What was heard between two times in milliseconds.
fn part(heard: &Heard, from: usize, to: usize) -> Heard {
    let at = |ms: usize| ms * heard.rate.frame_samples() / 20;
    Heard {
        rate: heard.rate,
        samples: heard.samples[at(from)..at(to)].to_vec(),
    }
}

fn last(heard: &Heard, frames: usize) -> Heard {
    let samples = frames * heard.rate.frame_samples();
    let from = heard.samples.len().saturating_sub(samples);
    Heard {
        rate: heard.rate,
        samples: heard.samples[from..].to_vec(),
    }
}
