//! What a leg costs in memory, as the system counts it.

mod common;

use common::{Asterisk, Scene, place};
use moqrelay_bridge::{LegId, leg::OutRate};
use moqrelay_wire::audiosocket::Rate;

/// A promise to operators: 100 calls in 30 MB, beside what the relay keeps for late comers, which has a limit of its
/// own (`moq.cache_bytes_max`).
const LEG_BYTES_MAX: usize = 300 * 1024;

/// Each leg speaks, is heard by the next one, and hears the one before: a decoder, an encoder, a jitter buffer, two
/// tracks in the relay, and beside it the stand-in for Asterisk.
#[tokio::test(start_paused = true)]
async fn a_leg_takes_less_than_300_kb() {
    let mut scene = Scene::without_cache();
    let mut legs = Vec::new();
    grow(&mut scene, &mut legs, 5).await;
    let before = resident_bytes();

    grow(&mut scene, &mut legs, 20).await;

    let each = (resident_bytes() - before) / 15;
    println!("{} KiB for each leg", each / 1024);
    assert!(each < LEG_BYTES_MAX, "{} KiB for each leg", each / 1024);
}

/// Brings the number of legs up to `count` and lets all of them talk for four seconds, which is what the relay keeps of a track.
async fn grow(scene: &mut Scene, legs: &mut Vec<Asterisk>, count: u64) {
    for leg in legs.len() as u64 + 1..=count {
        legs.push(scene.call_at(leg, OutRate::Hz16000).await);
        scene
            .bridge
            .listen(LegId(leg), place(leg - 1).audio().clone())
            .expect("room for a command");
    }
    for _ in 0..4 {
        let talk = legs.iter_mut().map(|leg| async {
            leg.say_tone(Rate::Hz16000, 700.0, 50).await;
            leg.hear_frames(45).await;
        });
        futures_util::future::join_all(talk).await;
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("Linux says how much memory a process has") * 4096
}
