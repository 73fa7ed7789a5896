//! Stalls, garbage and vanished peers: they cost their own leg at most.

mod common;

use std::time::Duration;

use bytes::BytesMut;
use common::{
    Asterisk, FRAME, Publisher, Scene, decode, noise, object, objects, pass, place, purity,
    timestamp, within,
};
use moqrelay_audio::SampleRate;
use moqrelay_bridge::{
    Event, LegId,
    leg::{OutRate, Reason},
};
use moqrelay_relay::track::Object;
use moqrelay_wire::audiosocket::{Message, Rate, encode_audio};
use tokio::time::{Instant, advance};

#[tokio::test(start_paused = true)]
async fn codec_bytes_in_place_of_linear_sound_end_the_call() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;

    // Mu-law as Asterisk sends it without c(slin16): 160 bytes under 0x10 every 20 ms.
    let mut message = BytesMut::from(&b"\x10\x00\xa0"[..]);
    message.extend_from_slice(&noise(160, 5));
    for _ in 0..16 {
        asterisk.write(&message).await;
        pass(FRAME).await;
    }

    asterisk.hear_to_the_end().await;
    assert_eq!(scene.detached().await.1, Reason::Companded);
    let none_of_it = within(async {
        while let Some(event) = reader.next().await {
            match event {
                moqrelay_relay::track::Event::Object(_) => return false,
                moqrelay_relay::track::Event::Ended(_) => return true,
                _ => {}
            }
        }
        false
    });
    assert!(none_of_it.await, "noise was published");
}

#[tokio::test(start_paused = true)]
async fn a_single_message_of_codec_bytes_is_judged_in_time() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;

    asterisk.write(b"\x10\x00\xa0").await;
    asterisk.write(&noise(160, 5)).await;

    asterisk.hear_to_the_end().await;
    assert_eq!(scene.detached().await.1, Reason::Companded);
}

#[tokio::test(start_paused = true)]
async fn a_second_call_id_ends_the_call() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;

    asterisk.identify(uuid::Uuid::from_u128(1)).await;

    asterisk.hear_to_the_end().await;
    assert_eq!(scene.detached().await.1, Reason::Malformed);
}

#[tokio::test(start_paused = true)]
async fn some_messages_without_sense_are_survived_and_many_are_not() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;

    // Odd, empty, an unknown digit, an unknown type.
    let nonsense = b"\x12\x00\x03abc\x12\x00\x00\x03\x00\x01x\x42\x00\x01\xff";
    for _ in 0..16 {
        asterisk.write(nonsense).await;
    }
    asterisk.say_tone(Rate::Hz16000, 700.0, 20).await;
    objects(&mut reader, 20).await;
    asterisk.write(nonsense).await;

    asterisk.hear_to_the_end().await;
    let (_, reason, stats) = scene.detached().await;
    assert_eq!((reason, stats.malformed), (Reason::Malformed, 50));
}

#[tokio::test(start_paused = true)]
async fn garbage_on_one_leg_is_not_noticed_on_another() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut good = scene.call(1).await;
    let mut bad = Vec::new();
    for leg in 2..20 {
        let id = scene.expect(leg, OutRate::Follow);
        let mut asterisk = scene.connect().await;
        asterisk.identify(id).await;
        asterisk.write(&noise(20_000, leg)).await;
        bad.push(asterisk);
    }

    good.say_tone(Rate::Hz16000, 700.0, 100).await;

    let heard = decode(&objects(&mut reader, 100).await);
    assert!(purity(SampleRate::Hz48000, &heard, 700.0) > 0.95);
    let stats = scene.bridge.stats().await.unwrap();
    let (_, stats) = stats.iter().find(|(leg, _)| *leg == LegId(1)).unwrap();
    assert_eq!((stats.malformed, stats.frames_dropped), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn of_a_burst_from_asterisk_three_frames_are_kept() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;
    asterisk.say(Rate::Hz16000, &[1000; 320]).await;
    let first = object(&mut reader).await;
    pass(Duration::from_secs(1)).await;

    let mut burst = BytesMut::new();
    for index in 0..50 {
        encode_audio(Rate::Hz16000, &[100 * index; 320], &mut burst).unwrap();
    }
    asterisk.write(&burst).await;
    pass(FRAME).await;

    let kept = objects(&mut reader, 3).await;
    assert!(reader.try_next().is_none());
    let frames: Vec<u64> = kept
        .iter()
        .map(|object| (timestamp(object) - timestamp(&first)) / 960)
        .collect();
    assert_eq!(frames, [48, 49, 50], "the newest ones, and they end now");
    scene.bridge.hang_up(LegId(1)).unwrap();
    assert_eq!(scene.detached().await.2.frames_dropped, 47);
}

#[tokio::test(start_paused = true)]
async fn the_longest_message_is_taken() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;

    asterisk.say(Rate::Hz16000, &[1000; 32_767]).await;

    objects(&mut reader, 3).await;
    asterisk.hear_frames(50).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_cut_to_real_time_and_our_pace_does_not_suffer() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let asterisk = scene.call(1).await;
    let (mut read, mut write) = asterisk.stream.into_split();

    let flood = tokio::spawn(async move {
        let mut message = BytesMut::new();
        encode_audio(Rate::Hz16000, &[500; 320], &mut message).unwrap();
        let block = message.repeat(100);
        while tokio::io::AsyncWriteExt::write_all(&mut write, &block)
            .await
            .is_ok()
        {}
    });
    let mut bytes = vec![0; 643 * 100];
    let start = Instant::now();
    within(tokio::io::AsyncReadExt::read_exact(&mut read, &mut bytes))
        .await
        .unwrap();

    let elapsed = start.elapsed();
    assert!(
        elapsed.abs_diff(FRAME * 100) < FRAME * 3,
        "{elapsed:?} for 2 s of sound"
    );
    let mut published = 0;
    while let Some(event) = reader.try_next() {
        published += u32::from(matches!(event, moqrelay_relay::track::Event::Object(_)));
    }
    assert!(published <= 110, "{published} objects in 2 s");
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_floods_its_track_does_not_stop_the_telephone() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let mut asterisk = scene.call(1).await;
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();
    let mut publisher = Publisher::new(&scene.relay, place(2).audio(), 1500.0);
    let template = publisher.send();

    let flood = tokio::spawn(async move {
        let mut sent = 1;
        loop {
            // A hundred objects each millisecond, in which nothing but the ids are right.
            for _ in 0..100 {
                sent += 1;
                publisher.send_as(Object {
                    group: 100 + sent / 50,
                    id: sent % 50,
                    ..template.clone()
                });
            }
            pass(Duration::from_millis(1)).await;
        }
    });
    let start = Instant::now();
    asterisk.say_tone(Rate::Hz16000, 700.0, 50).await;

    let heard = decode(&objects(&mut reader, 50).await);
    assert!(purity(SampleRate::Hz48000, &heard, 700.0) > 0.95);
    asterisk.hear_frames(48).await;
    assert!(
        start.elapsed() < Duration::from_millis(1_100),
        "{:?}",
        start.elapsed()
    );
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn after_a_standstill_three_frames_are_made_up_for() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    asterisk.hear_frames(10).await;

    advance(Duration::from_secs(1)).await;
    let start = Instant::now();
    asterisk.hear_frames(2).await;
    assert_eq!(start.elapsed(), Duration::ZERO, "three at once");
    asterisk.hear().await;
    assert!(start.elapsed() > Duration::ZERO, "and no fourth");
    asterisk.hear_frames(50).await;

    scene.bridge.hang_up(LegId(1)).unwrap();
    let (_, _, stats) = scene.detached().await;
    assert!(
        (46..=48).contains(&stats.frames_skipped),
        "{}",
        stats.frames_skipped
    );
    assert_eq!(stats.lateness.later_than(Duration::from_millis(50)), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_standstill_the_sound_has_its_old_delay() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    Publisher::new(&scene.relay, place(2).audio(), 1500.0).run();
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();
    asterisk.hear_frames(100).await;

    advance(Duration::from_millis(600)).await;
    asterisk.hear_frames(100).await;

    let heard = asterisk.hear_frames(50).await;
    assert!(heard.purity(1500.0) > 0.9, "{}", heard.purity(1500.0));
    let stats = scene.bridge.stats().await.unwrap();
    let delay = stats[0].1.sources[0].1.delay;
    assert!(delay < Duration::from_millis(200), "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn an_asterisk_that_does_not_read_loses_sound_and_finds_the_newest_when_it_does() {
    let mut scene = Scene::new();
    let mut asterisk = small_buffers(&scene, 1).await;
    attached(&mut scene).await;

    // More than the buffers of both sides hold, less than what makes a leg give up.
    pass(Duration::from_secs(9)).await;
    while scene.bridge.stats().await.unwrap()[0].1.frames_unsent == 0 {
        pass(Duration::from_millis(500)).await;
    }

    asterisk.hear_frames(300).await;
    assert!(scene.no_event(), "the leg lives on");
}

#[tokio::test(start_paused = true)]
async fn an_asterisk_that_never_reads_again_is_given_up() {
    let mut scene = Scene::new();
    let _asterisk = small_buffers(&scene, 1).await;
    attached(&mut scene).await;
    let mut other = scene.call(2).await;

    pass(Duration::from_secs(25)).await;

    let (leg, reason, stats) = scene.detached().await;
    assert_eq!((leg, reason), (LegId(1), Reason::Stalled));
    assert!(
        (499..=502).contains(&stats.frames_unsent),
        "ten seconds: {}",
        stats.frames_unsent
    );
    other.hear().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_reset_ends_its_leg() {
    let mut scene = Scene::new();
    let asterisk = scene.call(1).await;

    #[expect(deprecated, reason = "zero does not block: it makes the close a reset")]
    asterisk.stream.set_linger(Some(Duration::ZERO)).unwrap();
    drop(asterisk);

    assert_eq!(scene.detached().await.1, Reason::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_quick_calls_leave_nothing_behind() {
    let mut scene = Scene::new();
    let mut ended = std::collections::BTreeSet::new();

    for leg in 1..=100 {
        let id = scene.expect(leg, OutRate::Follow);
        let mut asterisk = scene.connect().await;
        asterisk.identify(id).await;
        match leg % 4 {
            0 => scene.bridge.hang_up(LegId(leg)).unwrap(),
            1 => drop(asterisk),
            2 => asterisk.send(&Message::Hangup).await,
            _ => {
                asterisk.hear().await;
            }
        }
    }
    while ended.len() < 100 {
        match scene.event().await {
            Event::Detached { leg, .. } => assert!(ended.insert(leg), "{leg} ended twice"),
            Event::Attached { leg, .. } => assert!(!ended.contains(&leg)),
            other => panic!("{other:?}"),
        }
    }

    assert_eq!(scene.bridge.stats().await.unwrap(), []);
    assert_eq!(scene.relay.stats().tracks, 0);
    scene.bridge.shut_down().unwrap();
    within(scene.task).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn legs_live_on_when_nobody_takes_their_events() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;

    // More than the queue of events and the leg's own hold.
    for _ in 0..2_000 {
        asterisk.send(&Message::Digit('5')).await;
        asterisk.hear().await;
    }

    let mut events = 0;
    while let Ok(event) = scene.events.try_recv() {
        assert!(matches!(event, Event::Digit { .. } | Event::Quality { .. }));
        events += 1;
    }
    assert!((1_024..2_000).contains(&events), "{events}");
    scene.bridge.hang_up(LegId(1)).unwrap();
    while !matches!(scene.event().await, Event::Detached { .. }) {}
}

/// Connects with a small receive buffer, so that not reading shows soon.
async fn small_buffers(scene: &Scene, leg: u64) -> Asterisk {
    let id = scene.expect(leg, OutRate::Hz48000);
    let mut asterisk = Asterisk::connect_small(scene.bridge.local_addr()).await;
    asterisk.identify(id).await;
    asterisk
}

async fn attached(scene: &mut Scene) {
    assert!(matches!(scene.event().await, Event::Attached { .. }));
}
