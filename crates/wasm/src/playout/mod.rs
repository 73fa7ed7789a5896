//! What a browser hears: a player with its jitter buffer for each peer, and their sum.

pub mod exports;

use core::time::Duration;

use moqrelay_audio::SampleRate;
use moqrelay_audio::jitter::{Config, Push};
use moqrelay_audio::playout::PcmPlayer;

/// Peers heard at a time: more voices at once are noise, and each costs the audio thread its time.
pub const PEERS_MAX: usize = 64;

/// Most samples of one call of [`Mixer::render`]: browsers ask for 128, some may ask for more.
pub const RENDER_SAMPLES_MAX: usize = 4_096;

/// Most samples of one push: an Opus packet of 120 ms.
pub const PUSH_SAMPLES_MAX: usize = 5_760;

/// What an audio worklet asks for at a time, 128 samples at 48 kHz, rounded up.
const STEP: Duration = Duration::from_micros(2_667);

/// The least a frame waits. A worklet takes samples one by one, so it needs no whole frame in
/// advance; what is left covers the Worker's and the message port's own jitter.
const DELAY_MIN: Duration = Duration::from_millis(10);

/// The first guess. Browsers run their worklets in batches of about 10 ms, so that frames seem to
/// come that unevenly on the quietest network; with less the first syllable has a gap.
const DELAY_START: Duration = Duration::from_millis(30);

/// How fast a peer is made softer or louder: from one end to the other in 10 ms, without a click.
const GAIN_STEP: f32 = 1.0 / 480.0;

/// Above this the sum is bent towards full scale instead of being clipped.
const KNEE: f32 = 0.8;

/// Every peer that is heard.
#[derive(Debug, Default)]
pub struct Mixer {
    /// A list: walked 375 times a second, searched rarely.
    peers: Vec<Peer>,
    one: Vec<f32>,
    sum: Vec<f32>,
}

#[derive(Debug)]
struct Peer {
    id: u32,
    player: PcmPlayer<f32>,
    gain: Gain,
    /// Energy since the level was asked for.
    energy: f64,
    samples: u32,
    heard: bool,
}

/// How loud a peer is: on its way from what it was to what it shall be.
#[derive(Debug, Clone, Copy)]
struct Gain {
    now: f32,
    wanted: f32,
}

impl Gain {
    const FULL: Self = Self {
        now: 1.0,
        wanted: 1.0,
    };

    fn next(&mut self) -> f32 {
        self.now += (self.wanted - self.now).clamp(-GAIN_STEP, GAIN_STEP);
        self.now
    }
}

/// Numbers of one peer, in the order in which `wasm/playout.ts` reads them: the delay aimed at, the
/// delay, the spread of arrivals, concealed sound (ms); late packets; underruns; shed sound (ms).
pub type Numbers = [f64; 7];

impl Mixer {
    /// Adds a peer; false when there are too many, or that one is there already.
    pub fn add(&mut self, id: u32) -> bool {
        if self.peers.len() >= PEERS_MAX || self.peers.iter().any(|peer| peer.id == id) {
            return false;
        }
        let config = Config {
            delay_min: DELAY_MIN,
            delay_start: DELAY_START,
            step: STEP,
            recover: false,
            ..Config::default()
        };
        self.peers.push(Peer {
            id,
            player: PcmPlayer::pcm(SampleRate::Hz48000, config),
            gain: Gain::FULL,
            energy: 0.0,
            samples: 0,
            heard: false,
        });
        true
    }

    /// Makes a peer softer or louder; 1 is as it comes. False for an unknown peer.
    pub fn set_gain(&mut self, id: u32, gain: f32) -> bool {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) else {
            return false;
        };
        peer.gain.wanted = if gain.is_finite() {
            gain.clamp(0.0, 1.0)
        } else {
            1.0
        };
        true
    }

    /// Stops hearing a peer.
    pub fn remove(&mut self, id: u32) {
        self.peers.retain(|peer| peer.id != id);
    }

    /// Takes decoded sound of a peer whose first sample belongs at `at` (1/48000 s, its own clock)
    /// and that arrived at `frame` of ours. `None` for an unknown peer or too much at once.
    pub fn push(&mut self, id: u32, at: u64, samples: &[f32], frame: u64) -> Option<Push> {
        let peer = self.peers.iter_mut().find(|peer| peer.id == id)?;
        if samples.is_empty() || samples.len() > PUSH_SAMPLES_MAX {
            return None;
        }
        Some(peer.player.push(at, samples, time(frame)))
    }

    /// Takes a peer's word that it is silent from `at` (1/48000 s, its own clock) on. False for an unknown peer.
    pub fn pause(&mut self, id: u32, at: u64) -> bool {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) else {
            return false;
        };
        peer.player.pause(at);
        true
    }

    /// Returns the next `count` samples, the first of which is heard at `frame`.
    pub fn render(&mut self, count: usize, frame: u64) -> &[f32] {
        let count = count.min(RENDER_SAMPLES_MAX);
        self.sum.clear();
        self.sum.resize(count, 0.0);
        self.one.resize(count, 0.0);
        for peer in &mut self.peers {
            peer.player.pull(time(frame), &mut self.one);
            let mut energy = 0.0;
            for (sum, &sample) in self.sum.iter_mut().zip(&self.one) {
                let sample = sample * peer.gain.next();
                *sum += sample;
                energy += sample * sample;
            }
            peer.energy += f64::from(energy);
            peer.samples = peer.samples.saturating_add(count as u32);
            peer.heard |= energy > 0.0;
        }
        for sample in &mut self.sum {
            *sample = limit(*sample);
        }
        &self.sum
    }

    /// Returns a peer's level since the last call, in dB below full scale: 0 to -127.
    pub fn level(&mut self, id: u32) -> f64 {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) else {
            return SILENCE_DB;
        };
        let power = peer.energy / f64::from(peer.samples.max(1));
        peer.energy = 0.0;
        peer.samples = 0;
        (10.0 * power.log10()).clamp(SILENCE_DB, 0.0)
    }

    /// Whether anything of a peer was played.
    #[must_use]
    pub fn is_heard(&self, id: u32) -> bool {
        self.peers.iter().any(|peer| peer.id == id && peer.heard)
    }

    /// Returns what a peer's jitter buffer says of itself.
    #[must_use]
    pub fn numbers(&self, id: u32) -> Option<Numbers> {
        let stats = self.peers.iter().find(|peer| peer.id == id)?.player.stats();
        Some([
            millis(stats.target),
            millis(stats.delay),
            millis(stats.spread),
            millis(stats.concealed),
            stats.late as f64,
            stats.underruns as f64,
            millis(stats.shed),
        ])
    }
}

/// Silence, as RFC 6464 counts.
const SILENCE_DB: f64 = -127.0;

/// Leaves what is below the knee alone and bends the rest, so that no sum passes full scale.
fn limit(sample: f32) -> f32 {
    let over = sample.abs() - KNEE;
    if over <= 0.0 {
        return sample;
    }
    let room = 1.0 - KNEE;
    (KNEE + room * (over / (over + room))).copysign(sample)
}

fn time(frame: u64) -> Duration {
    Duration::from_nanos(frame.saturating_mul(62_500) / 3)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
