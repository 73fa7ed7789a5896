//! Legs by WebSocket and RTP with a real Asterisk 22, and by RTP with a real Asterisk 16.
//!
//! Needs root and the trees that `deploy/asterisk/rootfs` and `deploy/asterisk/rootfs bullseye` make:
//! `cargo nextest run -p moqrelay-bridge --test roads_real --run-ignored only`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[allow(
    unreachable_pub,
    dead_code,
    reason = "a module that several tests share"
)]
mod real;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use common::{Publisher, Scene, decode, objects, place, purity, within};
use moqrelay_audio::SampleRate;
use moqrelay_bridge::{
    Codec, Credentials, Event, LegId, Site, Way,
    ari::Secret,
    leg::{OutRate, Reason, Spec},
};
use real::{Asterisk, Phone, share, wav_tail};
use uuid::Uuid;

/// What `deploy/asterisk` says of itself.
const PASSWORD: &str = "moqrelay-test-password";
const FIXED: Uuid = Uuid::from_u128(0x4032_5ec2_5efd_4bd3_805f_5357_6e58_1d13);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn asterisk_comes_by_websocket_with_pcm_of_every_rate() {
    let (mut scene, asterisk) = world();
    for (leg, format, form, hz) in [
        (1, "slin", "", 8_000),
        (3, "slin12", "f(json)", 12_000),
        (5, "slin16", "f(plain-text)", 16_000),
        (7, "slin16", "f(json)", 16_000),
        (9, "slin24", "f(json)", 24_000),
        (11, "slin48", "", 48_000),
    ] {
        let id = scene.expect(leg, OutRate::Follow);

        asterisk.cli(&format!(
            "channel originate WebSocket/moqrelay/c({format}){form}v(id={id}) extension 600@internal"
        ));

        let stats = echoed(&mut scene, leg).await;
        assert_eq!((stats.road, stats.codec), ("websocket", Some(format)));
        assert_eq!((stats.rate_in, stats.rate_out), (hz, hz), "{format}");
        assert_eq!(stats.malformed, 0, "{format}");
    }
    no_channels(&asterisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn we_go_to_asterisk_by_websocket() {
    let (mut scene, asterisk) = world();
    for (leg, format) in [(1, "slin16"), (3, "opus")] {
        let id = scene.expect(leg, OutRate::Follow);
        asterisk.cli(&format!(
            "channel originate WebSocket/INCOMING/c({format}) extension 600@internal"
        ));
        let connection = connection_id(&asterisk).await;

        scene.bridge.reach(id, way(&asterisk, &connection)).unwrap();

        let stats = echoed(&mut scene, leg).await;
        assert_eq!((stats.road, stats.codec), ("websocket", Some(format)));
        no_channels(&asterisk).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_way_that_leads_nowhere_ends_the_leg() {
    let (mut scene, asterisk) = world();
    let id = scene.expect(1, OutRate::Follow);

    scene.bridge.reach(id, way(&asterisk, "nobody")).unwrap();

    let (leg, reason, _) = scene.detached().await;
    assert_eq!((leg, reason), (LegId(1), Reason::Unreached));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn opus_packets_reach_asterisk_and_come_back_untouched() {
    let (mut scene, asterisk) = world();
    let publisher = Publisher::new(&scene.relay, place(2).audio(), 1500.0).run();
    let mut said = scene.reader(2);
    let mut heard = scene.reader(1);
    let id = scene.expect(1, OutRate::Follow);
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();

    asterisk.cli(&format!(
        "channel originate WebSocket/moqrelay/c(opus)f(json)v(id={id}) extension 600@internal"
    ));

    attached(&mut scene, 1).await;
    let heard = objects(&mut heard, 200).await;
    let mut sent: BTreeSet<Bytes> = BTreeSet::new();
    while let Some(event) = said.try_next() {
        if let moqrelay_relay::track::Event::Object(object) = event {
            sent.insert(object.payload);
        }
    }
    let same = heard[100..]
        .iter()
        .filter(|object| sent.contains(&object.payload))
        .count();
    assert!(same >= 90, "{same} of 100 packets are the publisher's own");
    assert!(purity(SampleRate::Hz48000, &decode(&heard[100..]), 1500.0) > 0.9);
    scene.bridge.hang_up(LegId(1)).unwrap();
    let (_, reason, stats) = scene.detached().await;
    assert_eq!(reason, Reason::HungUp);
    assert!(stats.packets_passed > 150, "{}", stats.packets_passed);
    assert_eq!(stats.packets_made, 0);
    publisher.abort();
    no_channels(&asterisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_telephone_rings_by_websocket_until_the_answer_and_its_opus_is_passed() {
    let (mut scene, asterisk) = world();
    let mut phone = Phone::start(&asterisk, "alice", 700).await;
    let publisher = Publisher::new(&scene.relay, place(2).audio(), 1500.0).run();
    let mut reader = scene.reader(1);
    let spec = Spec {
        leg: LegId(1),
        place: Some(place(1)),
        rate: OutRate::Follow,
    };
    scene
        .bridge
        .expect(FIXED, spec, Duration::from_secs(30))
        .unwrap();
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();

    phone.dial("7901").await;
    attached(&mut scene, 1).await;
    phone.expect("CALL_RINGING").await;
    scene.bridge.answer(LegId(1)).unwrap();
    phone.expect("CALL_ESTABLISHED").await;
    let heard = objects(&mut reader, 150).await;
    phone.tell("sndcode", "5").await;
    assert_eq!(
        scene.event().await,
        Event::Digit {
            leg: LegId(1),
            digit: '5'
        }
    );
    phone.tell("hangup", "").await;

    let (_, reason, stats) = scene.detached().await;
    assert_eq!(reason, Reason::Closed);
    assert_eq!((stats.codec, stats.packets_made), (Some("opus"), 0));
    assert!(purity(SampleRate::Hz48000, &decode(&heard[50..]), 700.0) > 0.9);
    phone.expect("CALL_CLOSED").await;
    assert!(share(&wav_tail(&phone.heard(), 96_000), 48_000, 1500.0) > 0.5);
    publisher.abort();
    no_channels(&asterisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn sound_goes_by_rtp_in_every_codec() {
    let (mut scene, asterisk) = world();

    by_rtp(&mut scene, &asterisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs bullseye"]
async fn sound_goes_by_rtp_to_asterisk_16() {
    let asterisk = Asterisk::start_16();
    let mut scene = Scene::new();

    by_rtp(&mut scene, &asterisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn keys_come_by_websocket() {
    let (mut scene, asterisk) = world();
    for (leg, form) in [(1, "f(json)"), (3, "f(plain-text)")] {
        let id = scene.expect(leg, OutRate::Follow);

        asterisk.cli(&format!(
            "channel originate WebSocket/moqrelay/c(slin16){form}v(id={id}) extension 603@internal"
        ));

        attached(&mut scene, leg).await;
        for digit in "159#*D".chars() {
            let leg = LegId(leg);
            assert_eq!(scene.event().await, Event::Digit { leg, digit }, "{form}");
        }
        scene.bridge.hang_up(LegId(leg)).unwrap();
        scene.detached().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_wrong_password_or_an_unknown_id_does_not_get_in() {
    let (mut scene, asterisk) = world_with("another-password");
    let id = scene.expect(1, OutRate::Follow);
    let (mut other, open) = world();

    asterisk.cli(&format!(
        "channel originate WebSocket/moqrelay/c(slin16)v(id={id}) extension 600@internal"
    ));
    open.cli(&format!(
        "channel originate WebSocket/moqrelay/c(slin16)v(id={}) extension 600@internal",
        Uuid::from_u128(77)
    ));

    no_channels(&asterisk).await;
    no_channels(&open).await;
    assert!(scene.no_event());
    assert!(other.no_event());
}

fn world() -> (Scene, Asterisk) {
    world_with(PASSWORD)
}

fn world_with(password: &str) -> (Scene, Asterisk) {
    let scene = Scene::with(|config| {
        config.media_credentials = Some(Credentials {
            user: "moqrelay".into(),
            password: Secret::new(password),
        });
    });
    let asterisk = Asterisk::start_with(
        scene.bridge.local_addr().port(),
        scene.bridge.websocket_addr().unwrap().port(),
    );
    (scene, asterisk)
}

fn way(asterisk: &Asterisk, connection: &str) -> Way {
    Way::WebSocket {
        site: Site {
            host: format!("127.0.0.1:{}", asterisk.http),
            tls: None,
        },
        connection: connection.into(),
    }
}

/// Says a tone to the echo at the other end of the leg, hears it, and hangs up.
async fn echoed(scene: &mut Scene, leg: u64) -> moqrelay_bridge::leg::Stats {
    let publisher = Publisher::new(&scene.relay, place(leg + 1).audio(), 1500.0).run();
    let mut reader = scene.reader(leg);
    scene
        .bridge
        .listen(LegId(leg), place(leg + 1).audio().clone())
        .unwrap();
    attached(scene, leg).await;
    objects(&mut reader, 75).await;
    let heard = decode(&objects(&mut reader, 100).await);
    let purity = purity(SampleRate::Hz48000, &heard, 1500.0);
    assert!(purity > 0.9, "{purity}");
    scene.bridge.hang_up(LegId(leg)).unwrap();
    let (_, reason, stats) = scene.detached().await;
    assert_eq!(reason, Reason::HungUp);
    publisher.abort();
    stats
}

async fn attached(scene: &mut Scene, leg: u64) {
    let event = scene.event().await;
    assert!(
        matches!(event, Event::Attached { leg: LegId(attached), .. } if attached == leg),
        "{event:?}"
    );
}

/// Echoes in every codec that Asterisk takes by RTP, all by the one port.
async fn by_rtp(scene: &mut Scene, asterisk: &Asterisk) {
    for (leg, codec, hz) in [
        (1, Codec::Ulaw, 8_000),
        (3, Codec::Alaw, 8_000),
        (5, Codec::G722, 16_000),
    ] {
        let id = scene.expect(leg, OutRate::Follow);
        let ours = scene.bridge.rtp_addr().unwrap();
        asterisk.cli(&format!(
            "channel originate UnicastRTP/{ours}/c({codec}) extension 600@internal"
        ));
        let port = variable(asterisk, "UNICASTRTP_LOCAL_PORT").await;
        let peers = vec![([127, 0, 0, 1], port.parse().unwrap()).into()];

        scene.bridge.reach(id, Way::Rtp { peers, codec }).unwrap();

        let stats = echoed(scene, leg).await;
        assert_eq!((stats.road, stats.codec), ("rtp", Some(codec.name())));
        assert_eq!((stats.rate_in, stats.rate_out), (hz, hz), "{codec}");
        let odd = (
            stats.packets_strange,
            stats.packets_duplicate,
            stats.malformed,
        );
        assert_eq!(odd, (0, 0, 0), "{codec}");
        asterisk.cli("channel request hangup all");
        no_channels(asterisk).await;
    }
}

/// Returns the id under which the only channel waits for a WebSocket.
async fn connection_id(asterisk: &Asterisk) -> String {
    variable(asterisk, "MEDIA_WEBSOCKET_CONNECTION_ID").await
}

/// Returns what the only channel of the media's driver has for a variable.
async fn variable(asterisk: &Asterisk, name: &str) -> String {
    within(async {
        loop {
            let channels = asterisk.cli("core show channels concise");
            let media = |name: &&str| {
                ["WebSocket/", "UnicastRTP/"]
                    .iter()
                    .any(|at| name.starts_with(at))
            };
            let mut names = channels.lines().filter_map(|line| line.split('!').next());
            if let Some(channel) = names.find(media) {
                let shown = asterisk.cli(&format!("core show channel {channel}"));
                let mut lines = shown.lines().filter_map(|line| line.trim().split_once('='));
                if let Some((_, value)) = lines.find(|(key, _)| *key == name) {
                    return value.to_owned();
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
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
