//! A seeded network, a sender and a player that ticks: whole calls in milliseconds.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use core::ops::Range;
use core::time::Duration;

use moqrelay_audio::SampleRate;
use moqrelay_audio::jitter::Stats;
use moqrelay_audio::playout::{Decode, Player};

/// Splitmix64: small, seeded, good enough to make traffic.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, part: f64) -> bool {
        self.unit() < part
    }

    /// About normal, mean 0, deviation 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// What happens to packets on the way. Times in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// Uniform extra delay, up to this.
    pub jitter_ms: f64,
    /// Half-normal extra delay of this deviation.
    pub normal_ms: f64,
    /// The part of packets lost one by one.
    pub loss: f64,
    /// The chance that a burst of loss begins, and how many packets it takes on average.
    pub burst: Option<(f64, f64)>,
    /// Every so many ms everything is held back for so many ms.
    pub stall: Option<(f64, f64)>,
    /// The part of packets that are 30 ms later and so come behind their successor; otherwise order
    /// is kept.
    pub reorder: f64,
}

/// A seeded network.
#[derive(Clone, Debug)]
pub struct Network {
    conditions: Conditions,
    rng: Rng,
    bursting: bool,
    last: f64,
}

impl Network {
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            conditions,
            rng: Rng::new(seed),
            bursting: false,
            last: 0.0,
        }
    }

    /// Does otherwise from now on.
    pub fn change(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Returns when what is sent at `at_ms` arrives, if it does.
    pub fn carry(&mut self, at_ms: f64) -> Option<f64> {
        let Conditions {
            jitter_ms,
            normal_ms,
            loss,
            burst,
            stall,
            reorder,
        } = self.conditions;
        let (begin, length) = burst.unwrap_or((0.0, 1.0));
        self.bursting = self.rng.chance(if self.bursting {
            1.0 - 1.0 / length
        } else {
            begin
        });
        if self.bursting || self.rng.chance(loss) {
            return None;
        }
        let extra = self.rng.unit() * jitter_ms + self.rng.normal().abs() * normal_ms;
        let mut arrival = at_ms + 20.0 + extra;
        if let Some((every, held)) = stall {
            let phase = arrival % every;
            if phase < held && arrival > every {
                arrival += held - phase;
            }
        }
        if self.rng.chance(reorder) {
            return Some(arrival + 30.0);
        }
        self.last = self.last.max(arrival);
        Some(self.last)
    }
}

/// One packet on its way.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub number: u64,
    pub at_ms: f64,
}

/// Sends `count` packets of 20 ms by a clock that runs `ppm` fast, in order of arrival.
pub fn arrivals(count: u64, ppm: f64, network: &mut Network) -> Vec<Arrival> {
    let period = 20.0 / (1.0 + ppm / 1e6);
    let mut all: Vec<_> = (0..count)
        .filter_map(|number| {
            let at_ms = network.carry(number as f64 * period)?;
            Some(Arrival { number, at_ms })
        })
        .collect();
    all.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    all
}

/// What a run gave.
#[derive(Debug)]
pub struct Report<S> {
    /// All that was played.
    pub sound: Vec<S>,
    /// The state every 20 ms.
    pub ticks: Vec<Stats>,
    ticks_per_second: f64,
}

impl<S> Report<S> {
    pub fn stats(&self) -> Stats {
        *self.ticks.last().expect("at least one tick")
    }

    fn during(&self, seconds: Range<usize>) -> &[Stats] {
        let at = |second: usize| {
            ((second as f64 * self.ticks_per_second) as usize).min(self.ticks.len() - 1)
        };
        &self.ticks[at(seconds.start)..=at(seconds.end)]
    }

    /// The mean delay in ms during `seconds`.
    pub fn delay_ms(&self, seconds: Range<usize>) -> f64 {
        let ticks = self.during(seconds);
        ticks.iter().map(|t| ms(t.delay)).sum::<f64>() / ticks.len() as f64
    }

    /// The largest delay in ms during `seconds`.
    pub fn delay_max_ms(&self, seconds: Range<usize>) -> f64 {
        self.during(seconds)
            .iter()
            .map(|t| ms(t.delay))
            .fold(0.0, f64::max)
    }

    /// Concealed ms during `seconds`.
    pub fn concealed_ms(&self, seconds: Range<usize>) -> f64 {
        let ticks = self.during(seconds);
        ms(ticks[ticks.len() - 1].concealed) - ms(ticks[0].concealed)
    }
}

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Lets a player tick for `seconds`, every `step_samples` from `phase_ms`, while `arrivals` come in.
/// `push` gives it one of them.
pub fn run<D: Decode>(
    player: &mut Player<D>,
    arrivals: &[Arrival],
    seconds: usize,
    (step_samples, phase_ms): (usize, f64),
    mut push: impl FnMut(&mut Player<D>, u64, Duration),
    rate: SampleRate,
) -> Report<D::Sample> {
    let count = seconds * rate.hz() as usize / step_samples;
    let every = (rate.frame_samples() / step_samples).max(1);
    let mut report = Report {
        sound: Vec::with_capacity(count * step_samples),
        ticks: Vec::with_capacity(count / every + 1),
        ticks_per_second: f64::from(rate.hz()) / (step_samples * every) as f64,
    };
    let mut arrivals = arrivals.iter().peekable();
    let mut out = vec![D::Sample::default(); step_samples];
    for tick in 0..count {
        let now = rate.duration_of(tick * step_samples) + Duration::from_secs_f64(phase_ms / 1e3);
        while let Some(arrival) = arrivals.next_if(|a| a.at_ms <= ms(now)) {
            push(
                player,
                arrival.number,
                Duration::from_secs_f64(arrival.at_ms / 1e3),
            );
        }
        player.pull(now, &mut out);
        report.sound.extend_from_slice(&out);
        if tick % every == 0 || tick + 1 == count {
            report.ticks.push(player.stats());
        }
    }
    report
}

/// Speech-like sound: bursts of a buzz of 120 Hz for 1.2 s, then faint noise for 0.8 s.
pub fn speech(rate: SampleRate, number: u64) -> Vec<i16> {
    let n = rate.frame_samples();
    let mut rng = Rng::new(number);
    let talking = number % 100 < 60;
    (0..n as u64)
        .map(|i| {
            let t = (number * n as u64 + i) as f64 / f64::from(rate.hz());
            let buzz: f64 = (1..12)
                .map(|h| (t * 120.0 * f64::from(h) * core::f64::consts::TAU).sin() / f64::from(h))
                .sum();
            let noise = (rng.unit() - 0.5) * 30.0;
            if talking {
                (buzz * 5_000.0 + noise) as i16
            } else {
                noise as i16
            }
        })
        .collect()
}

/// A sine that goes on from frame to frame.
pub fn sine(rate: SampleRate, hz: f64, peak: f64, number: u64) -> Vec<i16> {
    let n = rate.frame_samples();
    (0..n)
        .map(|i| {
            let t = (number as usize * n + i) as f64 / f64::from(rate.hz());
            ((t * hz * core::f64::consts::TAU).sin() * peak) as i16
        })
        .collect()
}
