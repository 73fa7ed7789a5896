//! Who is let in: AudioSocket has no password but the call id.

mod common;

use std::time::Duration;

use common::{Asterisk, Scene, pass, place, within};
use moqrelay_bridge::{
    Bridge, Config, Event, LegId,
    leg::{OutRate, Reason, Spec, Tone},
};
use moqrelay_wire::audiosocket::{Message, Rate};
use tokio::{net::TcpStream, time::Instant};
use uuid::Uuid;

#[tokio::test(start_paused = true)]
async fn an_expected_connection_becomes_a_leg() {
    let mut scene = Scene::new();

    let mut asterisk = scene.call(1).await;

    asterisk.hear().await;
    assert_eq!(scene.bridge.stats().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_call_id_is_told_to_hang_up() {
    let mut scene = Scene::new();
    scene.expect(1, OutRate::Follow);
    let mut asterisk = scene.connect().await;

    asterisk.identify(Uuid::from_u128(99)).await;

    assert_eq!(asterisk.hear_to_the_end().await, 0);
    assert!(scene.no_event());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_to_the_successor_finds_the_bridge_that_expects_it() {
    let (mut old, new) = (Scene::new(), Scene::new());
    let id = old.expect(1, OutRate::Follow);
    old.bridge.stop_accepting().unwrap();
    let (strays_tx, mut strays) = tokio::sync::mpsc::channel(1);
    new.bridge.leave_strays_to(strays_tx).unwrap();

    let mut asterisk = new.connect().await;
    asterisk.identify(id).await;
    old.bridge
        .take_in(strays.recv().await.expect("it is left to others"))
        .unwrap();

    asterisk.hear().await;
    assert!(
        matches!(
            old.events.recv().await,
            Some(Event::Attached { leg: LegId(1), .. })
        ),
        "it is the leg"
    );
    assert!(new.bridge.stats().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stray_that_nobody_takes_is_told_to_hang_up() {
    let scene = Scene::new();
    let (strays_tx, strays) = tokio::sync::mpsc::channel(1);
    scene.bridge.leave_strays_to(strays_tx).unwrap();
    drop(strays);
    let mut asterisk = scene.connect().await;

    asterisk.identify(Uuid::from_u128(99)).await;

    assert_eq!(asterisk.hear_to_the_end().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_id_is_good_for_one_connection() {
    let mut scene = Scene::new();
    let mut first = scene.call(1).await;
    let mut second = scene.connect().await;

    second.identify(Uuid::from_u128(0xfeed_0001)).await;

    assert_eq!(second.hear_to_the_end().await, 0);
    first.hear().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_come_expires_and_its_id_with_it() {
    let mut scene = Scene::new();
    let id = scene.expect(1, OutRate::Follow);

    pass(Duration::from_secs(31)).await;

    let (leg, reason, _) = scene.detached().await;
    assert_eq!((leg, reason), (LegId(1), Reason::Expired));
    let mut asterisk = scene.connect().await;
    asterisk.identify(id).await;
    assert_eq!(asterisk.hear_to_the_end().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_after_ten_seconds() {
    let scene = Scene::new();
    let start = Instant::now();
    let mut asterisk = scene.connect().await;

    assert_eq!(asterisk.hear_to_the_end().await, 0);

    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_secs(10) && waited < Duration::from_secs(11),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_it_too_slowly_is_closed_too() {
    let scene = Scene::new();
    scene.expect(1, OutRate::Follow);
    let asterisk = scene.connect().await;
    let (mut read, mut write) = asterisk.stream.into_split();

    let drip = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        // An unknown message of 200 bytes, one byte a second.
        for byte in [0x7f, 0, 200].into_iter().chain([0; 200]) {
            pass(Duration::from_secs(1)).await;
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });

    let start = Instant::now();
    let mut rest = Vec::new();
    within(tokio::io::AsyncReadExt::read_to_end(&mut read, &mut rest))
        .await
        .ok();
    assert_eq!(rest, [0, 0, 0]);
    assert!(start.elapsed() < Duration::from_secs(12));
    drip.abort();
}

#[tokio::test(start_paused = true)]
async fn whatever_else_comes_first_is_refused() {
    let scene = Scene::new();
    for first in [
        &b"\x03\x00\x011"[..],
        b"\x10\x00\x02\0\0",
        b"\x00\x00\x00",
        b"\x01\x00\x02ab",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0x7f; 600],
    ] {
        let mut asterisk = scene.connect().await;

        asterisk.write(first).await;

        assert_eq!(asterisk.hear_to_the_end().await, 0, "{first:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_in_pieces_and_behind_unknown_messages_is_understood() {
    let mut scene = Scene::new();
    let id = scene.expect(1, OutRate::Follow);
    let mut asterisk = scene.connect().await;

    asterisk.write(b"\x7f\x00\x02ab\x01").await;
    pass(Duration::from_secs(2)).await;
    asterisk.write(b"\x00").await;
    pass(Duration::from_secs(2)).await;
    asterisk.write(b"\x10").await;
    asterisk.write(&id.as_bytes()[..7]).await;
    pass(Duration::from_secs(1)).await;
    asterisk.write(&id.as_bytes()[7..]).await;

    assert!(matches!(scene.event().await, Event::Attached { .. }));
    asterisk.hear().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_one_write_with_the_id_is_heard() {
    let mut scene = Scene::new();
    let id = scene.expect(1, OutRate::Follow);
    let mut asterisk = scene.connect().await;

    let mut bytes = bytes::BytesMut::new();
    Message::Id(id).encode(&mut bytes).unwrap();
    Message::Digit('7').encode(&mut bytes).unwrap();
    asterisk.write(&bytes).await;

    assert!(matches!(scene.event().await, Event::Attached { .. }));
    assert_eq!(
        scene.event().await,
        Event::Digit {
            leg: LegId(1),
            digit: '7'
        }
    );
}

#[tokio::test(start_paused = true)]
async fn connections_that_do_not_say_who_they_are_cannot_fill_the_place() {
    let mut scene = Scene::with(|config| config.unidentified_max = 4);
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(scene.connect().await);
    }
    pass(Duration::from_millis(100)).await;

    let mut fifth = scene.connect().await;
    assert_eq!(fifth.hear_to_the_end().await, 0);

    for mut connection in idle {
        assert_eq!(connection.hear_to_the_end().await, 0);
    }
    pass(Duration::from_secs(1)).await;
    scene.call(1).await.hear().await;
}

#[tokio::test(start_paused = true)]
async fn past_the_limit_of_legs_a_call_is_refused_and_reported() {
    let mut scene = Scene::with(|config| config.legs_max = 2);
    let mut first = scene.call(1).await;
    let _second = scene.call(2).await;
    let id = scene.expect(3, OutRate::Follow);
    let mut third = scene.connect().await;

    third.identify(id).await;

    assert_eq!(third.hear_to_the_end().await, 0);
    let (leg, reason, _) = scene.detached().await;
    assert_eq!((leg, reason), (LegId(3), Reason::Refused));
    first.hear().await;
}

#[tokio::test(start_paused = true)]
async fn a_standing_id_takes_one_call_after_the_other() {
    let mut scene = Scene::new();
    let id = Uuid::from_u128(0xa11a);
    scene.bridge.expect_standing(id, OutRate::Hz8000).unwrap();

    let mut first = scene.connect().await;
    first.identify(id).await;
    let Event::Attached {
        leg,
        standing: true,
        ..
    } = scene.event().await
    else {
        panic!()
    };
    assert!(leg >= LegId::STANDING_FIRST);
    assert_eq!(first.hear().await.rate, Rate::Hz8000);

    let mut meanwhile = scene.connect().await;
    meanwhile.identify(id).await;
    assert_eq!(meanwhile.hear_to_the_end().await, 0);

    scene.bridge.hang_up(leg).unwrap();
    first.hear_to_the_end().await;
    assert_eq!(scene.detached().await.0, leg);
    let mut second = scene.connect().await;
    second.identify(id).await;
    let Event::Attached {
        leg: next,
        standing: true,
        ..
    } = scene.event().await
    else {
        panic!()
    };
    assert_ne!(next, leg);
}

#[tokio::test(start_paused = true)]
async fn a_standing_leg_is_given_its_place_when_it_is_there() {
    let mut scene = Scene::new();
    let id = Uuid::from_u128(0xa11a);
    scene.bridge.expect_standing(id, OutRate::Follow).unwrap();
    let mut asterisk = scene.connect().await;
    asterisk.identify(id).await;
    let Event::Attached { leg, .. } = scene.event().await else {
        panic!()
    };
    let mut reader = scene.reader(5);

    scene.bridge.join(leg, place(5)).unwrap();
    asterisk.say_tone(Rate::Hz16000, 700.0, 5).await;

    common::object(&mut reader).await;
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_forgotten_is_unknown() {
    let mut scene = Scene::new();
    let id = Uuid::from_u128(0xa11a);
    scene.bridge.expect_standing(id, OutRate::Follow).unwrap();

    scene.bridge.forget(id).unwrap();

    let mut asterisk = scene.connect().await;
    asterisk.identify(id).await;
    assert_eq!(asterisk.hear_to_the_end().await, 0);
    assert!(scene.no_event());
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_is_hung_up_before_it_came_is_over() {
    let mut scene = Scene::new();
    let id = scene.expect(1, OutRate::Follow);

    scene.bridge.hang_up(LegId(1)).unwrap();

    let (leg, reason, _) = scene.detached().await;
    assert_eq!((leg, reason), (LegId(1), Reason::HungUp));
    let mut asterisk = scene.connect().await;
    asterisk.identify(id).await;
    assert_eq!(asterisk.hear_to_the_end().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_leg_is_told_before_it_comes_holds_from_its_first_frame() {
    let mut scene = Scene::new();
    let id = scene.expect(1, OutRate::Hz16000);
    scene.bridge.play(LegId(1), Tone::Busy).unwrap();

    let mut asterisk = scene.connect().await;
    asterisk.identify(id).await;

    assert!(matches!(scene.event().await, Event::Attached { .. }));
    let heard = asterisk.hear_frames(20).await;
    assert!(heard.purity(480.0) + heard.purity(620.0) > 0.9);
}

#[tokio::test(start_paused = true)]
async fn neither_an_id_nor_a_leg_can_be_expected_twice() {
    let mut scene = Scene::new();
    let id = scene.expect(1, OutRate::Follow);
    let spec = Spec {
        leg: LegId(2),
        place: None,
        rate: OutRate::Follow,
    };

    scene
        .bridge
        .expect(id, spec, Duration::from_secs(5))
        .unwrap();

    let (leg, reason, _) = scene.detached().await;
    assert_eq!((leg, reason), (LegId(2), Reason::Refused));
}

#[tokio::test]
async fn an_occupied_port_is_an_error() {
    let scene = Scene::new();
    let config = Config {
        listen: scene.bridge.local_addr(),
        ..Config::default()
    };

    let error = Bridge::bind(config, scene.relay.clone()).err().unwrap();

    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_every_leg_politely_and_then_the_bridge() {
    let mut scene = Scene::new();
    let mut legs = Vec::new();
    for leg in 1..=5 {
        legs.push(scene.call(leg).await);
    }
    scene.expect(9, OutRate::Follow);
    let addr = scene.bridge.local_addr();

    scene.bridge.shut_down().unwrap();

    for asterisk in &mut legs {
        asterisk.hear_to_the_end().await;
    }
    drop(legs);
    for _ in 1..=6 {
        assert_eq!(scene.detached().await.1, Reason::HungUp);
    }
    within(scene.task).await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_bridge_without_handles_ends() {
    let Scene { bridge, task, .. } = Scene::new();
    let idle = Asterisk::new(TcpStream::connect(bridge.local_addr()).await.unwrap());

    drop(bridge);

    let start = Instant::now();
    within(task).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "whoever is at the door does not hold it up"
    );
    drop(idle);
}
