//! A call of two hours between two telephones, in virtual time but through real sockets: their clocks are 200 ppm
//! apart, and in the middle one of them is on hold for ten minutes, in which Asterisk sends nothing of it.
//!
//! Prints what each ten minutes were like; status 1 when sound was lost, late, or a queue has grown.
//!
//!   hours [MINUTES]
#![allow(clippy::print_stdout, reason = "a program that talks to a person")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "as in tests")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{Asterisk, Scene, pass, place, purity};
use moqrelay_audio::{SampleRate, tone::Tone};
use moqrelay_bridge::{
    LegId,
    leg::{OutRate, Stats},
};
use moqrelay_wire::audiosocket::Rate;
use tokio::time::interval;

const MINUTES: u64 = 120;
const HOLD: Duration = Duration::from_secs(600);

/// What a telephone's 20 ms are by a good clock.
const FAST: Duration = Duration::from_micros(19_998);
const SLOW: Duration = Duration::from_micros(20_002);

const RATE: Rate = Rate::Hz8000;
const HZ: [f32; 2] = [700.0, 1_500.0];

/// A second in which so much is the tone is a good one; concealment of a drift's odd frame is.
const PURE: f32 = 0.7;

/// What a leg may have waiting, hold or not: the jitter buffer's least, a frame, and the clocks' phases.
const DELAY_MAX: Duration = Duration::from_millis(80);

/// What the relay keeps of a track, voice or catalog: so little that it is full before memory is looked at first. What it
/// keeps by age goes by the real clock, and would be all of two hours that pass in one minute.
const CACHED_OBJECTS: usize = 100;

/// What the process may grow by after the first ten minutes.
const GROWTH_MAX: f64 = 0.05;

/// What one telephone says and hears.
#[derive(Default)]
struct Telephone {
    held: AtomicBool,
    /// Whole seconds heard, and those in which the other one's tone was not.
    seconds: AtomicU64,
    bad: AtomicU64,
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    let minutes = std::env::args()
        .nth(1)
        .map_or(MINUTES, |text| text.parse().unwrap());
    let began = std::time::Instant::now();
    let mut relay = moqrelay_relay::Config::default();
    relay.cache.default.objects = CACHED_OBJECTS;
    let mut scene = Scene::on(relay, |config| config.coding.complexity = 0);
    let mut telephones = Vec::new();
    for leg in 1..=2 {
        let asterisk = scene.call_at(leg, OutRate::Hz8000).await;
        let other = place(3 - leg).audio().clone();
        scene.bridge.listen(LegId(leg), other).unwrap();
        let telephone = Arc::new(Telephone::default());
        let pace = if leg == 1 { FAST } else { SLOW };
        let (own, others) = (HZ[leg as usize - 1], HZ[2 - leg as usize]);
        tokio::spawn(talk(asterisk, telephone.clone(), pace, own, others));
        telephones.push(telephone);
    }
    // The hold ends between two looks.
    let hold = minutes / 2;
    println!("minute  sound for 1 (s, bad)  for 2 (s, bad)  delay to 1, to 2 (ms)  resident (MB)");
    let mut first = None;
    let mut last = resident_mb();
    for minute in 1..=minutes {
        let held = minute > hold && minute <= hold + HOLD.as_secs() / 60;
        telephones[0].held.store(held, Relaxed);
        pass(Duration::from_secs(60)).await;
        // Who uses a bridge takes what it tells; what waits untaken would look like growth.
        while scene.events.try_recv().is_ok() {}
        if minute % 10 == 0 || minute == minutes {
            last = resident_mb();
            first.get_or_insert(last);
            let legs = legs(&scene).await;
            let [one, two] = [0, 1].map(|at| {
                let telephone: &Telephone = &telephones[at];
                format!(
                    "{:7} {:5}",
                    telephone.seconds.load(Relaxed),
                    telephone.bad.load(Relaxed)
                )
            });
            println!(
                "{minute:6}  {one:>20}  {two:>14}  {:10} {:10}  {last:13.1}",
                delay(&legs[0]).as_millis(),
                delay(&legs[1]).as_millis()
            );
        }
    }
    let faults = faults(
        &legs(&scene).await,
        &telephones,
        minutes,
        last / first.unwrap_or(last),
    );
    println!(
        "{} minutes took {:.0} s",
        minutes,
        began.elapsed().as_secs_f64()
    );
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Speaks and hears for as long as the program lives.
async fn talk(
    mut asterisk: Asterisk,
    telephone: Arc<Telephone>,
    pace: Duration,
    own: f32,
    others: f32,
) {
    let rate = SampleRate::Hz8000;
    let mut tone = Tone::sine(rate, own, -20.0);
    let mut samples = vec![0; RATE.frame_samples()];
    let mut ticks = interval(pace);
    let mut second = Vec::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => if !telephone.held.load(Relaxed) {
                tone.fill(&mut samples);
                asterisk.say(RATE, &samples).await;
            },
            audio = asterisk.hear() => {
                second.extend(audio.samples());
                if second.len() >= rate.hz() as usize {
                    telephone.seconds.fetch_add(1, Relaxed);
                    let pure = purity(rate, &second, others) > PURE;
                    telephone.bad.fetch_add(u64::from(!pure), Relaxed);
                    second.clear();
                }
            }
        }
    }
}

fn faults(legs: &[Stats], telephones: &[Arc<Telephone>], minutes: u64, growth: f64) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            faults.push(what);
        }
    };
    for (number, leg) in (1..).zip(legs) {
        let lost = leg.frames_skipped + leg.frames_unsent + leg.frames_dropped;
        expect(lost == 0, format!("leg {number}: {lost} frames lost"));
        expect(
            delay(leg) <= DELAY_MAX,
            format!("leg {number}: {:?} behind", delay(leg)),
        );
        let frames = minutes * 60 * 50;
        let short = frames.abs_diff(leg.frames_out);
        expect(
            short <= 50,
            format!("leg {number}: {} frames sent, not {frames}", leg.frames_out),
        );
    }
    expect(legs.len() == 2, format!("{} legs are left", legs.len()));
    // Who hears the one on hold hears silence, and a second before and after is half of each.
    let held = if minutes >= 30 {
        HOLD.as_secs()
    } else {
        (minutes - minutes / 2) * 60
    };
    let bad = [0, 1].map(|at| telephones[at].bad.load(Relaxed));
    expect(bad[0] <= 5, format!("leg 1: {} bad seconds", bad[0]));
    expect(
        bad[1].abs_diff(held) <= 5,
        format!(
            "leg 2: {} bad seconds, of which {held} were the hold",
            bad[1]
        ),
    );
    expect(
        growth <= 1.0 + GROWTH_MAX,
        format!("memory has grown by {:.1} %", (growth - 1.0) * 100.0),
    );
    faults
}

async fn legs(scene: &Scene) -> Vec<Stats> {
    let legs = scene.bridge.stats().await.unwrap();
    legs.into_iter().map(|(_, stats)| stats).collect()
}

fn delay(leg: &Stats) -> Duration {
    leg.sources
        .first()
        .map_or(Duration::ZERO, |(_, jitter)| jitter.delay)
}

fn resident_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / 1e6
}
