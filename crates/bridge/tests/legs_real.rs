//! AudioSocket legs with a real Asterisk 22.
//!
//! Needs root and the tree that `deploy/asterisk/rootfs` makes:
//! `cargo nextest run -p moqrelay-bridge --test legs_real --run-ignored only`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[allow(
    unreachable_pub,
    dead_code,
    reason = "a module that several tests share"
)]
mod real;

use std::time::Duration;

use common::{Publisher, Scene, decode, objects, place, purity, within};
use moqrelay_audio::SampleRate;
use moqrelay_bridge::{
    Event, LegId,
    leg::{OutRate, Reason},
};
use moqrelay_relay::track;
use real::Asterisk;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn sound_goes_to_asterisk_and_back_in_every_format() {
    let (mut scene, asterisk) = world();
    for (leg, format, hz_in, hz_out) in [
        (1, "slin", 8_000, 8_000),
        (3, "slin12", 12_000, 12_000),
        (5, "slin16", 16_000, 16_000),
        (7, "slin24", 24_000, 24_000),
        (9, "slin48", 48_000, 48_000),
    ] {
        let publisher = Publisher::new(&scene.relay, place(leg + 1).audio(), 1500.0).run();
        let mut reader = scene.reader(leg);
        let id = scene.expect(leg, OutRate::Follow);
        scene
            .bridge
            .listen(LegId(leg), place(leg + 1).audio().clone())
            .unwrap();

        asterisk.cli(&format!(
            "channel originate AudioSocket/{}/{id}/c({format}) extension 600@internal",
            scene.bridge.local_addr()
        ));

        attached(&mut scene, leg).await;
        objects(&mut reader, 75).await;
        let heard = decode(&objects(&mut reader, 100).await);
        let purity = purity(SampleRate::Hz48000, &heard, 1500.0);
        assert!(purity > 0.9, "{format}: {purity}");
        scene.bridge.hang_up(LegId(leg)).unwrap();
        let (_, reason, stats) = scene.detached().await;
        assert_eq!(reason, Reason::HungUp);
        assert_eq!((stats.rate_in, stats.rate_out), (hz_in, hz_out), "{format}");
        assert_eq!(stats.malformed, 0, "{format}");
        publisher.abort();
    }
    no_channels(&asterisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn the_application_form_is_a_leg_too() {
    let (mut scene, asterisk) = world();
    let mut reader = scene.reader(1);
    let id = scene.expect(1, OutRate::Hz8000);

    asterisk.cli("module load app_audiosocket.so");
    asterisk.cli(&format!(
        "channel originate Local/604@internal/n application AudioSocket {id},{}",
        scene.bridge.local_addr()
    ));

    attached(&mut scene, 1).await;
    objects(&mut reader, 50).await;
    let heard = decode(&objects(&mut reader, 100).await);
    let purity = purity(SampleRate::Hz48000, &heard, 1004.0);
    assert!(purity > 0.9, "{purity}");
    scene.bridge.hang_up(LegId(1)).unwrap();
    let (_, _, stats) = scene.detached().await;
    assert_eq!(stats.rate_in, 8_000);
    no_channels(&asterisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn keys_come_over_the_socket() {
    let (mut scene, asterisk) = world();
    let id = scene.expect(1, OutRate::Hz16000);

    asterisk.cli(&format!(
        "channel originate AudioSocket/{}/{id}/c(slin16) extension 603@internal",
        scene.bridge.local_addr()
    ));

    attached(&mut scene, 1).await;
    for expected in "159#*D".chars() {
        assert_eq!(
            scene.event().await,
            Event::Digit {
                leg: LegId(1),
                digit: expected
            }
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_dialplan_without_a_linear_format_is_found_out() {
    let (mut scene, asterisk) = world();
    for (leg, format) in [(1, "ulaw"), (2, "alaw"), (3, "g722"), (4, "opus")] {
        let mut reader = scene.reader(leg);
        let id = scene.expect(leg, OutRate::Follow);

        asterisk.cli(&format!(
            "channel originate AudioSocket/{}/{id}/c({format}) extension 604@internal",
            scene.bridge.local_addr()
        ));

        attached(&mut scene, leg).await;
        assert_eq!(scene.detached().await.1, Reason::Companded, "{format}");
        while let Some(event) = reader.try_next() {
            assert!(
                !matches!(event, track::Event::Object(_)),
                "{format}: noise was published"
            );
        }
    }
    no_channels(&asterisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_hangup_in_asterisk_ends_the_leg_within_half_a_second() {
    let (mut scene, asterisk) = world();
    let id = scene.expect(1, OutRate::Follow);
    asterisk.cli(&format!(
        "channel originate AudioSocket/{}/{id}/c(slin16) extension 604@internal",
        scene.bridge.local_addr()
    ));
    attached(&mut scene, 1).await;

    asterisk.cli("channel request hangup all");
    let since = Instant::now();

    assert_eq!(scene.detached().await.1, Reason::Closed);
    assert!(
        since.elapsed() < Duration::from_millis(500),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn an_unknown_id_is_refused_and_the_call_ends() {
    let (mut scene, asterisk) = world();

    asterisk.cli(&format!(
        "channel originate AudioSocket/{}/{}/c(slin16) extension 604@internal",
        scene.bridge.local_addr(),
        uuid::Uuid::from_u128(77)
    ));

    no_channels(&asterisk).await;
    assert!(scene.no_event());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn thirty_quick_calls_leave_no_channel_behind() {
    let (mut scene, asterisk) = world();
    for leg in 1..=30 {
        let id = scene.expect(leg, OutRate::Follow);
        asterisk.cli(&format!(
            "channel originate AudioSocket/{}/{id}/c(slin16) extension 600@internal",
            scene.bridge.local_addr()
        ));
        attached(&mut scene, leg).await;
        scene.bridge.hang_up(LegId(leg)).unwrap();
        assert_eq!(scene.detached().await.1, Reason::HungUp);
    }
    no_channels(&asterisk).await;
}

fn world() -> (Scene, Asterisk) {
    let scene = Scene::new();
    let asterisk = Asterisk::start(scene.bridge.local_addr().port());
    (scene, asterisk)
}

async fn attached(scene: &mut Scene, leg: u64) {
    let event = scene.event().await;
    assert!(
        matches!(event, Event::Attached { leg: LegId(attached), .. } if attached == leg),
        "{event:?}"
    );
}

/// Waits until Asterisk has no channel any more.
async fn no_channels(asterisk: &Asterisk) {
    within(async {
        while !asterisk
            .cli("core show channels count")
            .contains("0 active channels")
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
