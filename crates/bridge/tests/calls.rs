//! The way of a call's sound, from Asterisk's socket to a MoQ track and back.

mod common;

use std::time::Duration;

use common::{
    FRAME, Publisher, Scene, decode, ended, level, object, objects, pass, place, purity, timestamp,
    within,
};
use moqrelay_audio::SampleRate;
use moqrelay_bridge::{
    Event, LegId,
    leg::{OutRate, Reason, Tone},
};
use moqrelay_relay::track;
use moqrelay_wire::{
    audio_object::{Properties, TIMESCALE},
    audiosocket::{Message, Rate},
    catalog::Catalog,
};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn what_a_telephone_says_is_its_track_at_every_rate() {
    for rate in Rate::ALL {
        let mut scene = Scene::new();
        let mut reader = scene.reader(1);
        let mut asterisk = scene.call(1).await;

        asterisk.say_tone(rate, 700.0, 50).await;

        let heard = decode(&objects(&mut reader, 50).await);
        let purity = purity(SampleRate::Hz48000, &heard, 700.0);
        assert!(purity > 0.95, "{rate:?}: {purity}");
    }
}

#[tokio::test(start_paused = true)]
async fn objects_are_as_the_protocol_says() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;
    let Some(track::Event::Began(info)) = within(reader.next()).await else {
        panic!()
    };

    asterisk.say_tone(Rate::Hz16000, 700.0, 120).await;

    assert_eq!(
        Properties::decode(&info.properties).unwrap().timescale,
        Some(TIMESCALE)
    );
    let objects = objects(&mut reader, 120).await;
    let first_group = objects[0].group;
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!(
        wall.as_secs().abs_diff(first_group) < 60,
        "a group is named after its second"
    );
    for (index, object) in objects.iter().enumerate() {
        let index = index as u64;
        assert_eq!(
            (object.group, object.id),
            (first_group + index / 50, index % 50)
        );
        assert_eq!(object.subgroup, None, "a datagram");
        assert_eq!(timestamp(object), index * 960);
        assert!(
            level(object).below_overload_db.abs_diff(20) <= 1,
            "{:?}",
            level(object)
        );
        assert!(object.payload.len() < 400);
    }
    assert!(level(&objects[119]).voice);
}

#[tokio::test(start_paused = true)]
async fn the_catalog_is_there_at_once_and_again_after_five_seconds() {
    let mut scene = Scene::new();
    let mut reader = scene.relay.subscribe(place(1).catalog().clone());
    let _asterisk = scene.call(1).await;

    let first = object(&mut reader).await;
    let since = Instant::now();
    let second = object(&mut reader).await;

    assert!(
        since.elapsed() > Duration::from_millis(4_900),
        "{:?}",
        since.elapsed()
    );
    assert_eq!((first.subgroup, first.id), (Some(0), 0));
    assert_eq!((second.group, second.id), (first.group + 1, 0));
    assert_eq!(first.payload, second.payload);
    let catalog = Catalog::decode(&first.payload).unwrap();
    assert_eq!(catalog.opus().unwrap().name, "audio");
}

#[tokio::test(start_paused = true)]
async fn a_telephone_hears_a_track_at_its_own_rate() {
    for (rate, expected) in [
        (OutRate::Hz8000, Rate::Hz8000),
        (OutRate::Hz16000, Rate::Hz16000),
        (OutRate::Hz48000, Rate::Hz48000),
    ] {
        let mut scene = Scene::new();
        let mut asterisk = scene.call_at(1, rate).await;
        Publisher::new(&scene.relay, place(2).audio(), 1500.0).run();
        scene
            .bridge
            .listen(LegId(1), place(2).audio().clone())
            .unwrap();

        asterisk.hear_frames(25).await;
        let heard = asterisk.hear_frames(50).await;

        assert_eq!(heard.rate, expected);
        assert!(
            heard.purity(1500.0) > 0.95,
            "{rate:?}: {}",
            heard.purity(1500.0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_telephone_hears_everyone_it_listens_to_and_nobody_else() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    for (participant, hz) in [(2, 500.0), (3, 1100.0), (4, 2000.0)] {
        Publisher::new(&scene.relay, place(participant).audio(), hz).run();
    }

    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();
    scene
        .bridge
        .listen(LegId(1), place(3).audio().clone())
        .unwrap();
    asterisk.hear_frames(25).await;
    let both = asterisk.hear_frames(50).await;
    scene
        .bridge
        .unlisten(LegId(1), place(2).audio().clone())
        .unwrap();
    asterisk.hear_frames(25).await;
    let one = asterisk.hear_frames(50).await;
    scene
        .bridge
        .unlisten(LegId(1), place(3).audio().clone())
        .unwrap();
    asterisk.hear_frames(25).await;
    let none = asterisk.hear_frames(50).await;

    for hz in [500.0, 1100.0] {
        assert!(
            (0.4..0.6).contains(&both.purity(hz)),
            "{hz}: {}",
            both.purity(hz)
        );
    }
    assert!(one.purity(1100.0) > 0.95, "{}", one.purity(1100.0));
    assert!(none.is_silent());
}

#[tokio::test(start_paused = true)]
async fn a_track_may_begin_end_and_begin_again() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();
    assert!(asterisk.hear_frames(10).await.is_silent());

    for hz in [600.0, 900.0] {
        let publisher = Publisher::new(&scene.relay, place(2).audio(), hz).run();
        asterisk.hear_frames(25).await;
        let heard = asterisk.hear_frames(25).await;
        assert!(heard.purity(hz) > 0.9, "{hz}: {}", heard.purity(hz));
        publisher.abort();
        asterisk.hear_frames(50).await;
        assert!(
            asterisk.hear_frames(10).await.peak() < 4,
            "silence after {hz}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn silence_comes_from_the_first_moment_without_waiting_to_hear_anything() {
    let scene = Scene::new();
    let id = scene.expect(1, OutRate::Follow);
    let mut asterisk = scene.connect().await;
    let start = Instant::now();
    asterisk.identify(id).await;

    let first = asterisk.hear().await;

    assert!(start.elapsed() < FRAME, "{:?}", start.elapsed());
    assert_eq!(first.rate, Rate::Hz16000);
    assert!(first.samples().all(|sample| sample == 0));
}

#[tokio::test(start_paused = true)]
async fn twenty_milliseconds_leave_every_twenty_milliseconds() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    asterisk.hear().await;
    let start = Instant::now();

    for index in 1..=3_000_u32 {
        asterisk.hear().await;
        let late = start.elapsed().saturating_sub(FRAME * index);
        assert!(
            late <= Duration::from_millis(2),
            "frame {index} is {late:?} late"
        );
    }

    let minute = start.elapsed();
    assert!(
        minute.abs_diff(Duration::from_secs(60)) <= FRAME,
        "{minute:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_rate_out_follows_the_rate_in() {
    for (arriving, expected) in [
        (Rate::Hz8000, Rate::Hz8000),
        (Rate::Hz12000, Rate::Hz12000),
        (Rate::Hz16000, Rate::Hz16000),
        (Rate::Hz24000, Rate::Hz24000),
        (Rate::Hz48000, Rate::Hz48000),
    ] {
        let mut scene = Scene::new();
        let mut asterisk = scene.call_at(1, OutRate::Follow).await;
        Publisher::new(&scene.relay, place(2).audio(), 1000.0).run();
        scene
            .bridge
            .listen(LegId(1), place(2).audio().clone())
            .unwrap();

        asterisk.say_tone(arriving, 500.0, 3).await;
        while asterisk.hear().await.rate != expected {}
        asterisk.hear_frames(25).await;
        let heard = asterisk.hear_frames(25).await;

        assert_eq!(heard.rate, expected);
        assert!(
            heard.purity(1000.0) > 0.9,
            "{arriving:?}: {}",
            heard.purity(1000.0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sixteen_khz_of_an_older_asterisk_keep_their_pitch() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;

    let mut tone = moqrelay_audio::tone::Tone::sine(SampleRate::Hz16000, 700.0, -20.0);
    let mut samples = [0_i16; 320];
    for _ in 0..50 {
        tone.fill(&mut samples);
        asterisk.say(Rate::Hz8000, &samples).await;
        pass(FRAME).await;
    }

    let heard = decode(&objects(&mut reader, 50).await);
    assert!(purity(SampleRate::Hz48000, &heard, 700.0) > 0.95);
}

#[tokio::test(start_paused = true)]
async fn frames_of_other_lengths_are_put_together() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;

    let mut tone = moqrelay_audio::tone::Tone::sine(SampleRate::Hz16000, 700.0, -20.0);
    // 30 ms and 10 ms by turns: one and a half frames of 20 ms and half of one.
    for _ in 0..25 {
        for len in [480, 160] {
            let mut samples = vec![0_i16; len];
            tone.fill(&mut samples);
            asterisk.say(Rate::Hz16000, &samples).await;
            pass(Duration::from_millis(len as u64 / 16)).await;
        }
    }

    let heard = decode(&objects(&mut reader, 50).await);
    assert!(purity(SampleRate::Hz48000, &heard, 700.0) > 0.95);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_asterisk_sends_nothing_and_timestamps_jump() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;

    asterisk.say_tone(Rate::Hz16000, 700.0, 10).await;
    let before = objects(&mut reader, 10).await;
    pass(Duration::from_secs(3)).await;
    assert!(reader.try_next().is_none());
    asterisk.say_tone(Rate::Hz16000, 700.0, 10).await;
    let after = objects(&mut reader, 10).await;

    let (last, first) = (before.last().unwrap(), after.first().unwrap());
    assert_eq!(first.id, last.id + 1, "ids go on without a gap");
    let gap_ms = (timestamp(first) - timestamp(last)) / 48;
    assert!((2_980..=3_060).contains(&gap_ms), "{gap_ms} ms");
    assert_eq!((timestamp(first) - timestamp(last)) % 960, 0);
}

#[tokio::test(start_paused = true)]
async fn a_muted_leg_publishes_nothing() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;
    asterisk.say_tone(Rate::Hz16000, 700.0, 10).await;
    objects(&mut reader, 10).await;

    scene.bridge.mute(LegId(1), true).unwrap();
    pass(FRAME).await;
    asterisk.say_tone(Rate::Hz16000, 700.0, 50).await;
    pass(FRAME).await;
    // In the first frame the sound fades out.
    object(&mut reader).await;
    assert!(reader.try_next().is_none());
    scene.bridge.mute(LegId(1), false).unwrap();
    pass(FRAME).await;
    asterisk.say_tone(Rate::Hz16000, 700.0, 1).await;

    assert!(
        timestamp(&object(&mut reader).await) / 960 >= 58,
        "the time of the silence counts"
    );
}

#[tokio::test(start_paused = true)]
async fn tones_are_played_to_the_telephone_until_they_are_stopped() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;

    scene.bridge.play(LegId(1), Tone::Ringback).unwrap();
    asterisk.hear_frames(3).await;
    let ringing = asterisk.hear_frames(50).await;
    scene.bridge.play(LegId(1), Tone::Busy).unwrap();
    asterisk.hear_frames(3).await;
    let busy = asterisk.hear_frames(20).await;
    scene.bridge.stop_tone(LegId(1)).unwrap();
    asterisk.hear_frames(3).await;

    assert!(ringing.purity(440.0) > 0.4 && ringing.purity(480.0) > 0.4);
    assert!(busy.purity(480.0) > 0.4 && busy.purity(620.0) > 0.4);
    assert!(asterisk.hear_frames(20).await.is_silent());
}

#[tokio::test(start_paused = true)]
async fn digits_are_played_as_tones_one_after_the_other() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    asterisk.hear_frames(3).await;

    scene.bridge.send_digits(LegId(1), vec!['1', '#']).unwrap();
    let mut frame = asterisk.hear_frames(0).await;
    while frame.is_silent() {
        frame.samples = asterisk.hear().await.samples().collect();
    }
    // The frame above is the first of five that sound; five of silence follow.
    let one = asterisk.hear_frames(3).await;
    asterisk.hear_frames(4).await;
    let hash = asterisk.hear_frames(3).await;

    assert!(one.purity(697.0) > 0.2 && one.purity(1209.0) > 0.4, "1");
    assert!(hash.purity(941.0) > 0.2 && hash.purity(1477.0) > 0.4, "#");
    asterisk.hear_frames(10).await;
    assert!(asterisk.hear_frames(10).await.is_silent());
}

#[tokio::test(start_paused = true)]
async fn keys_of_the_telephone_are_reported_in_their_order() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;

    for digit in "159#*D".chars() {
        asterisk.send(&Message::Digit(digit)).await;
    }

    for expected in "159#*D".chars() {
        let event = scene.event().await;
        assert_eq!(
            event,
            Event::Digit {
                leg: LegId(1),
                digit: expected
            }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn when_we_hang_up_the_last_message_says_so_and_the_track_ends() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;
    asterisk.say_tone(Rate::Hz16000, 700.0, 10).await;
    objects(&mut reader, 10).await;

    let start = Instant::now();
    scene.bridge.hang_up(LegId(1)).unwrap();
    asterisk.hear_to_the_end().await;

    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
    let (leg, reason, stats) = scene.detached().await;
    assert_eq!((leg, reason), (LegId(1), Reason::HungUp));
    assert_eq!((stats.frames_in, stats.objects_out), (10, 10));
    ended(&mut reader).await;
}

#[tokio::test(start_paused = true)]
async fn when_the_telephone_hangs_up_the_leg_ends_at_once() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let asterisk = scene.call(1).await;

    let start = Instant::now();
    drop(asterisk);

    let (leg, reason, _) = scene.detached().await;
    assert_eq!(leg, LegId(1));
    // Our silence lay unread in its socket, which makes the close a reset.
    assert_eq!(reason, Reason::Closed);
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
    ended(&mut reader).await;
}

#[tokio::test(start_paused = true)]
async fn a_plain_close_of_asterisk_is_a_plain_end() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    asterisk.hear_frames(5).await;

    tokio::io::AsyncWriteExt::shutdown(&mut asterisk.stream)
        .await
        .unwrap();

    asterisk.hear_to_the_end().await;
    assert_eq!(scene.detached().await.1, Reason::Closed);
}

#[tokio::test(start_paused = true)]
async fn two_telephones_talk_to_each_other() {
    let mut scene = Scene::new();
    let mut anna = scene.call(1).await;
    let mut bert = scene.call_at(2, OutRate::Hz8000).await;
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();
    scene
        .bridge
        .listen(LegId(2), place(1).audio().clone())
        .unwrap();

    tokio::join!(
        anna.say_tone(Rate::Hz16000, 600.0, 100),
        bert.say_tone(Rate::Hz8000, 900.0, 100)
    );
    anna.hear_frames(40).await;
    bert.hear_frames(40).await;

    let (anna, bert) = (anna.hear_frames(50).await, bert.hear_frames(50).await);
    assert!(anna.purity(900.0) > 0.95, "{}", anna.purity(900.0));
    assert!(bert.purity(600.0) > 0.95, "{}", bert.purity(600.0));
}
