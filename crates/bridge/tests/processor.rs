//! A leg by way of a media processor: a real gRPC service and a network that is cut in mid-call.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[path = "../../processor/tests/common/mod.rs"]
mod gateway;

use std::net::SocketAddr;

use common::{
    Asterisk, FRAME, Scene, decode, object, objects, pass, place, purity, timestamp, within,
};
use gateway::{Network, start};
use moqrelay_audio::{Frame, SampleRate, level::dbov, tone::Tone};
use moqrelay_bridge::{Event, LegId, Service};
use moqrelay_processor::{
    Config, Direction, Fallback, Processor,
    v1::{self, Answer, Audio, Question, Text},
};
use moqrelay_relay::track::{self, Object, Reader};
use moqrelay_wire::{audiosocket::Rate, catalog::Catalog};
use serde_json::{Value, json};
use tokio::time::interval;

const RATE: Rate = Rate::Hz16000;

/// The test tone of telephone networks.
const MILLIWATT_HZ: f32 = 1_004.0;

#[tokio::test(start_paused = true)]
async fn a_telephone_is_heard_as_the_service_made_it() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;
    led(&scene, start(sing).await, |_| {});
    pass(FRAME).await;

    asterisk.say_tone(RATE, 700.0, 100).await;
    let heard = objects(&mut reader, 100).await;

    assert!(continuous(&heard));
    assert!(is_tone(&heard[20..], 440.0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_killed_in_mid_call_is_not_missed() {
    let mut network = Network::before(start(sing).await).await;
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;
    led(&scene, network.addr, |_| {});
    pass(FRAME).await;

    asterisk.say_tone(RATE, 700.0, 100).await;
    let mut heard = objects(&mut reader, 100).await;
    network.cut().await;
    asterisk.say_tone(RATE, 700.0, 200).await;
    heard.extend(objects(&mut reader, 200).await);
    network.mend().await;
    // The breaker opens a second after the cut and is half-open after another ten.
    asterisk.say_tone(RATE, 700.0, 500).await;
    heard.extend(objects(&mut reader, 500).await);

    // Not one frame is lost, and none comes twice.
    assert!(continuous(&heard));
    assert!(is_tone(&heard[20..95], 440.0));
    assert!(is_tone(&heard[105..300], 700.0));
    assert!(is_tone(&heard[750..], 440.0));
    assert!(scene.no_event());
    let mut listener = scene.call(2).await;
    listener.hear_frames(5).await;
    scene.bridge.hang_up(LegId(1)).unwrap();
    let (_, _, stats) = scene.detached().await;
    assert_eq!((stats.objects_out, stats.frames_dropped), (800, 0));
}

#[tokio::test(start_paused = true)]
async fn texts_are_a_track_beside_the_voice_and_the_catalog_has_it() {
    let mut scene = Scene::new();
    let mut texts = scene.relay.subscribe(place(1).text().clone());
    let mut catalogs = scene.relay.subscribe(place(1).catalog().clone());
    let mut asterisk = scene.call(1).await;
    led(&scene, start(speak).await, |config| config.audio = false);
    pass(FRAME).await;

    asterisk.say_tone(RATE, 700.0, 100).await;

    let mut records: Vec<(u64, u64, Value)> = Vec::new();
    for _ in 0..4 {
        let object = object(&mut texts).await;
        let value = serde_json::from_slice(&object.payload).unwrap();
        records.push((object.group, object.id, value));
    }
    let text = |id: u64, text: &str, last: bool| {
        json!({"M": 20, "data": {
            "type": "text", "id": id, "text": text, "final": last, "until": 40, "language": "en"}})
    };
    let began = json!({"M": 1000, "data": {"type": "event", "name": "began"}});
    let first = records[0].0;
    assert_eq!(
        records,
        [
            (first, 0, json!([text(1, "he", false)])),
            (first, 1, json!([began])),
            (first + 1, 0, json!([text(1, "hello", true)])),
            (
                first + 2,
                0,
                json!([text(1, "hello", true), text(2, "you", true)])
            ),
        ]
    );
    let catalog = last_catalog(&mut catalogs).await;
    let names: Vec<&str> = catalog
        .tracks
        .iter()
        .map(|track| track.name.as_str())
        .collect();
    assert_eq!(names, ["audio", "text"]);
}

#[tokio::test(start_paused = true)]
async fn a_telephone_hears_what_the_service_made_of_it() {
    let mut scene = Scene::new();
    let mut asterisk = hearing(&mut scene, start(sing).await).await;

    let heard = listen(&mut asterisk, 100).await;

    assert!(purity(SampleRate::Hz16000, &heard[20 * 320..], 440.0) > 0.9);
}

#[tokio::test(start_paused = true)]
async fn of_what_a_telephone_hears_a_service_that_is_killed_costs_no_frame() {
    let mut network = Network::before(start(sing).await).await;
    let mut scene = Scene::new();
    let mut asterisk = hearing(&mut scene, network.addr).await;

    let answered = listen(&mut asterisk, 100).await;
    network.cut().await;
    let alone = listen(&mut asterisk, 200).await;
    network.mend().await;
    // The breaker opens a second after the cut and is half-open after another ten.
    let again = listen(&mut asterisk, 600).await;

    let rate = SampleRate::Hz16000;
    assert!(purity(rate, &answered[50 * 320..], 440.0) > 0.9);
    // From the sixth frame after the cut on it is what was sent, and at most one frame of all is silent.
    assert!(purity(rate, &alone[6 * 320..], MILLIWATT_HZ) > 0.9);
    assert!(purity(rate, &again[550 * 320..], 440.0) > 0.9);
    let frames = [&answered[20 * 320..], &alone, &again].concat();
    let silent = frames.chunks(320).filter(|frame| dbov(frame) < -50.0);
    assert!(silent.count() <= 1);
    scene.bridge.hang_up(LegId(1)).unwrap();
    let (_, _, stats) = scene.detached().await;
    assert_eq!((stats.frames_unsent, stats.frames_skipped), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_calls_the_echo_by_way_of_a_service_talks_to_the_service() {
    let mut network = Network::before(start(sing).await).await;
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    led(&scene, network.addr, |config| {
        config.fallback = Fallback::Silence;
    });
    let source = Some(place(1).audio().clone());
    let echo = scene
        .bridge
        .start_service(LegId(2), Service::Echo, place(2), source);
    echo.unwrap();
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();
    pass(FRAME).await;

    let answered = talk(&mut asterisk, 100).await;
    network.cut().await;
    let alone = talk(&mut asterisk, 100).await;

    assert!(purity(SampleRate::Hz16000, &answered[50 * 320..], 440.0) > 0.9);
    // Nobody hears himself because the service is gone.
    assert!(dbov(&alone[50 * 320..]) < -70.0);
}

#[tokio::test(start_paused = true)]
async fn keys_are_heard_before_the_service_has_the_sound() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    led(&scene, start(sing).await, |_| {});
    scene.bridge.detect_digits(LegId(1), true).unwrap();
    pass(FRAME).await;
    asterisk.say_tone(RATE, 700.0, 20).await;

    let mut tone = Tone::dtmf(SampleRate::Hz16000, '5', 5 * FRAME).unwrap();
    let mut ticks = interval(FRAME);
    for _ in 0..10 {
        ticks.tick().await;
        let mut samples = vec![0; 320];
        tone.fill(&mut samples);
        asterisk.say(RATE, &samples).await;
    }

    let digit = Event::Digit {
        leg: LegId(1),
        digit: '5',
    };
    assert_eq!(scene.event().await, digit);
}

#[tokio::test(start_paused = true)]
async fn a_leg_at_another_rate_is_led_through_at_its_own() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;
    led(&scene, start(sing).await, |_| {});
    pass(FRAME).await;

    asterisk.say_tone(Rate::Hz8000, 700.0, 50).await;
    asterisk.say_tone(Rate::Hz48000, 700.0, 50).await;
    let heard = everything(&mut reader).await;

    // Around the change some frames are held back until the new rate is certain.
    assert!(heard.len() > 90, "{} objects", heard.len());
    assert!(is_tone(&heard[20..45], 440.0));
    assert!(is_tone(&heard[60..], 440.0));
}

/// A telephone that is connected with the test tone, and hears it by way of a service.
async fn hearing(scene: &mut Scene, service: SocketAddr) -> Asterisk {
    let asterisk = scene.call(1).await;
    led(scene, service, |config| config.direction = Direction::Hears);
    let tone = scene
        .bridge
        .start_service(LegId(2), Service::Milliwatt, place(2), None);
    tone.unwrap();
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();
    asterisk
}

/// Returns what is heard in so many frames.
async fn listen(asterisk: &mut Asterisk, frames: usize) -> Vec<i16> {
    let mut heard = Vec::new();
    for _ in 0..frames {
        heard.extend(asterisk.hear().await.samples());
    }
    heard
}

/// Says 700 Hz for so many frames; returns what is heard meanwhile.
async fn talk(asterisk: &mut Asterisk, frames: usize) -> Vec<i16> {
    let mut tone = Tone::sine(SampleRate::Hz16000, 700.0, -20.0);
    let mut heard = Vec::new();
    let mut samples = vec![0; 320];
    let mut ticks = interval(FRAME);
    for _ in 0..frames {
        ticks.tick().await;
        tone.fill(&mut samples);
        asterisk.say(RATE, &samples).await;
        heard.extend(asterisk.hear().await.samples());
    }
    heard
}

/// Answers each frame with 20 ms of 440 Hz.
fn sing(question: Question) -> Vec<Answer> {
    let Question::Audio(audio) = question else {
        return Vec::new();
    };
    let rate = SampleRate::from_hz(audio.sample_rate).unwrap();
    let mut frame = Frame::silence(rate);
    let mut tone = Tone::sine(rate, 440.0, -20.0);
    // The tone goes on from frame to frame: 440 Hz has 8.8 periods in 20 ms, so five frames make it whole.
    for _ in 0..=audio.sequence % 5 {
        tone.fill(frame.samples_mut());
    }
    let pcm = frame
        .samples()
        .iter()
        .flat_map(|sample| sample.to_le_bytes());
    vec![Answer::Audio(Audio {
        sequence: audio.sequence,
        pcm: pcm.collect(),
        ..Audio::default()
    })]
}

/// Says something about frames 10, 20, 30 and 40.
fn speak(question: Question) -> Vec<Answer> {
    let Question::Audio(audio) = question else {
        return Vec::new();
    };
    let text = |id: u64, text: &str, last: bool| {
        vec![Answer::Text(Text {
            id,
            text: text.into(),
            r#final: last,
            begin: 960,
            end: 1_920,
            language: "en".into(),
        })]
    };
    match audio.sequence {
        10 => text(1, "he", false),
        20 => vec![Answer::Event(v1::Event {
            name: "began".into(),
            data: String::new(),
            timestamp: 48_000,
        })],
        30 => text(1, "hello", true),
        40 => text(2, "you", true),
        _ => Vec::new(),
    }
}

fn led(scene: &Scene, addr: SocketAddr, change: impl FnOnce(&mut Config)) {
    let mut config = Config::new("test", format!("http://{addr}"));
    change(&mut config);
    let processor = Processor::new(config).unwrap();
    scene.bridge.process(LegId(1), processor).unwrap();
}

fn continuous(heard: &[Object]) -> bool {
    heard
        .windows(2)
        .all(|pair| timestamp(&pair[1]) == timestamp(&pair[0]) + 960)
}

fn is_tone(heard: &[Object], hz: f32) -> bool {
    purity(SampleRate::Hz48000, &decode(heard), hz) > 0.9
}

/// Every object that is there.
async fn everything(reader: &mut Reader) -> Vec<Object> {
    pass(5 * FRAME).await;
    let mut objects = vec![object(reader).await];
    while let Some(event) = reader.try_next() {
        if let track::Event::Object(object) = event {
            objects.push(object);
        }
    }
    objects
}

async fn last_catalog(reader: &mut Reader) -> Catalog {
    within(async {
        let mut last = object(reader).await;
        while let Some(event) = reader.try_next() {
            if let track::Event::Object(object) = event {
                last = object;
            }
        }
        Catalog::decode(&last.payload).unwrap()
    })
    .await
}
