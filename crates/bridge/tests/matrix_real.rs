//! Every road in both directions: a real telephone calls and is called by ARI through a real Asterisk, and both sides
//! hear each other's tone.
//!
//! Needs root and the trees that `deploy/asterisk/rootfs` and `deploy/asterisk/rootfs bullseye` make:
//! `cargo nextest run -p moqrelay-bridge --test matrix_real --run-ignored only`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[allow(
    unreachable_pub,
    dead_code,
    reason = "a module that several tests share"
)]
mod real;

use std::time::Duration;

use common::{Publisher, Scene, decode, objects, place, purity};
use moqrelay_audio::SampleRate;
use moqrelay_bridge::{
    Codec, Event, LegId,
    ari::{self, Caller, Choice, Client, Handle, Plan, Road, Secret},
    leg::{OutRate, Reason, Spec, Stats},
};
use moqrelay_wire::{audiosocket::Rate, signal::Cause};
use real::{Asterisk, Phone, share, soon, wav_tail};
use tokio::{sync::mpsc, task::JoinHandle};
use uuid::Uuid;

/// Each road with what it carries, cheapest first.
const ROADS: [(Road, Codec); 9] = [
    (Road::AudioSocket, Codec::SLIN),
    (Road::AudioSocket, Codec::SLIN16),
    (Road::AudioSocket, Codec::Slin(Rate::Hz48000)),
    (Road::WebSocket, Codec::SLIN16),
    (Road::WebSocket, Codec::Ulaw),
    (Road::WebSocket, Codec::Opus),
    (Road::Rtp, Codec::Ulaw),
    (Road::Rtp, Codec::Alaw),
    (Road::Rtp, Codec::G722),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_telephone_calls_by_every_road() {
    let mut world = World::of_22();
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;

    for (road, codec) in ROADS {
        let mut line = world.line(Choice::Fixed(road, codec)).await;
        let stats = line.called(&mut phone).await;
        line.judge(&stats, &phone, (road.name(), Some(codec)));
    }
    world.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_telephone_is_called_by_every_road() {
    let mut world = World::of_22();
    let mut phone = Phone::start(&world.asterisk, "bob", 700).await;

    for (road, codec) in ROADS {
        let mut line = world.line(Choice::Fixed(road, codec)).await;
        let stats = line.calls(&mut phone).await;
        line.judge(&stats, &phone, (road.name(), Some(codec)));
    }
    world.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn the_cheapest_road_is_taken_and_says_why() {
    let mut world = World::of_22();
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;
    let mut line = world.line(Choice::Cheapest).await;

    let stats = line.called(&mut phone).await;

    line.judge(&stats, &phone, ("websocket", Some(Codec::Opus)));
    assert_eq!(stats.why, line.plan.map(|plan| plan.why));
    assert!(stats.why.unwrap().contains("Opus"), "{:?}", stats.why);
    assert_eq!(stats.packets_made, 0);
    world.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and deploy/asterisk/rootfs bullseye"]
async fn asterisk_16_is_reached_by_rtp_in_both_directions() {
    let mut world = World::of_16();
    // It has no Opus of its own.
    let mut alice = Phone::speaking(&world.asterisk, "alice", 700, "PCMA/8000/1").await;
    let mut bob = Phone::speaking(&world.asterisk, "bob", 700, "G722/16000/1").await;
    let mut line = world.line(Choice::Cheapest).await;

    let stats = line.called(&mut alice).await;
    line.judge(&stats, &alice, ("rtp", Some(Codec::Alaw)));
    let stats = line.calls(&mut bob).await;
    line.judge(&stats, &bob, ("rtp", Some(Codec::G722)));

    world.is_empty().await;
}

struct World {
    asterisk: Asterisk,
    scene: Option<Scene>,
}

/// A bridge and a client of ARI that choose roads in one way.
struct Line {
    scene: Scene,
    handle: Handle,
    events: mpsc::Receiver<ari::Event>,
    work: JoinHandle<()>,
    choice: Choice,
    plan: Option<Plan>,
    legs: u64,
    uuid: Uuid,
}

impl World {
    fn of_22() -> Self {
        let scene = Scene::new();
        let asterisk = Asterisk::start(scene.bridge.local_addr().port());
        let scene = Some(scene);
        Self { asterisk, scene }
    }

    fn of_16() -> Self {
        let asterisk = Asterisk::start_16();
        Self {
            asterisk,
            scene: None,
        }
    }

    async fn line(&mut self, choice: Choice) -> Line {
        let scene = self.scene.take().unwrap_or_else(Scene::new);
        let mut config = ari::Config::new(
            &format!("http://127.0.0.1:{}/ari", self.asterisk.http),
            "moqrelay",
            Secret::new("moqrelay-test-password"),
            "Local/{number}@internal/n",
            &scene.bridge.local_addr().to_string(),
        );
        config.choice = choice;
        config.rtp = scene.bridge.rtp_addr().map(|addr| addr.to_string());
        let (handle, work, events) = Client::new(config).unwrap();
        let mut line = Line {
            scene,
            handle,
            events,
            work: tokio::spawn(work),
            choice,
            plan: None,
            legs: 0,
            uuid: Uuid::nil(),
        };
        assert_eq!(line.event().await, ari::Event::Up);
        line
    }

    /// Waits until nothing of ours is left in Asterisk.
    async fn is_empty(&self) {
        soon("an empty asterisk", async {
            loop {
                let channels = self.asterisk.cli("core show channels count");
                let bridges = self.asterisk.cli("bridge show all");
                if channels.contains("0 active channels") && bridges.lines().count() <= 1 {
                    return;
                }
                tokio::task::yield_now().await; // The command line itself takes its time.
            }
        })
        .await;
    }
}

impl Line {
    /// The telephone calls, talks, and hangs up.
    async fn called(&mut self, phone: &mut Phone) -> Stats {
        let leg = self.expect();
        phone.dial("7001").await;
        let ari::Event::Incoming(call) = self.event().await else {
            panic!("no call")
        };
        self.handle.adopt(call.call, leg).unwrap();
        self.handle.ring(leg).unwrap();
        phone.expect("CALL_RINGING").await;
        self.handle.answer(leg, self.uuid).unwrap();
        self.during(phone.expect("CALL_ESTABLISHED")).await;
        self.talk(leg).await;
        phone.tell("hangup", "").await;
        self.end(leg, phone).await
    }

    /// The telephone is called, talks, and is hung up.
    async fn calls(&mut self, phone: &mut Phone) -> Stats {
        let leg = self.expect();
        let caller = Caller {
            name: Some("Anna".into()),
            number: Some("7001".into()),
            sent_on: None,
        };
        self.handle
            .dial(leg, "1002", None, caller, self.uuid)
            .unwrap();
        self.during(phone.expect("CALL_INCOMING")).await;
        phone.tell("accept", "").await;
        while self.event().await != ari::Event::Answered(leg) {}
        self.talk(leg).await;
        self.handle.hang_up(leg, Cause::Normal).unwrap();
        self.end(leg, phone).await
    }

    /// Prepares the next leg.
    fn expect(&mut self) -> LegId {
        self.legs += 1;
        self.uuid = Uuid::new_v4();
        let spec = Spec {
            leg: LegId(self.legs),
            place: Some(place(self.legs)),
            rate: OutRate::Follow,
        };
        self.scene
            .bridge
            .expect(self.uuid, spec, Duration::from_secs(30))
            .unwrap();
        LegId(self.legs)
    }

    /// Says 1500 Hz to the telephone and hears its 700 Hz.
    async fn talk(&mut self, leg: LegId) {
        let other = place(1_000 + leg.0);
        let publisher = Publisher::new(&self.scene.relay, other.audio(), 1500.0).run();
        let mut reader = self.scene.reader(leg.0);
        self.scene
            .bridge
            .listen(leg, other.audio().clone())
            .unwrap();
        objects(&mut reader, 50).await;
        let heard = decode(&objects(&mut reader, 75).await);
        let purity = purity(SampleRate::Hz48000, &heard, 700.0);
        assert!(purity > 0.9, "{:?}: {purity}", self.choice);
        publisher.abort();
    }

    async fn end(&mut self, leg: LegId, phone: &mut Phone) -> Stats {
        phone.expect("CALL_CLOSED").await;
        while !matches!(self.event().await, ari::Event::Ended { leg: ended, .. } if ended == leg) {}
        self.scene.bridge.hang_up(leg).unwrap();
        loop {
            if let Event::Detached { reason, stats, .. } = self.scene.event().await {
                assert!(
                    matches!(reason, Reason::HungUp | Reason::Closed),
                    "{reason}"
                );
                return *stats;
            }
        }
    }

    /// Says what was wrong with a call on this road, if anything was.
    fn judge(&self, stats: &Stats, phone: &Phone, (road, codec): (&str, Option<Codec>)) {
        let carried = stats.codec.or(match stats.rate_in {
            8_000 => Some("slin"),
            16_000 => Some("slin16"),
            48_000 => Some("slin48"),
            _ => None,
        });
        assert_eq!((stats.road, carried), (road, codec.map(Codec::name)));
        assert_eq!((stats.malformed, stats.packets_strange), (0, 0), "{road}");
        let heard = share(&wav_tail(&phone.heard(), 72_000), 48_000, 1500.0);
        assert!(
            heard > 0.5,
            "{:?}: the telephone heard {heard}",
            self.choice
        );
    }

    async fn event(&mut self) -> ari::Event {
        loop {
            let event = soon("event", self.events.recv()).await.unwrap();
            if let Some(event) = self.carry_out(event) {
                return event;
            }
        }
    }

    /// Waits for something of the telephone's while call steering goes on.
    async fn during<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                value = &mut what => return value,
                event = self.events.recv() => {
                    self.carry_out(event.unwrap());
                }
            }
        }
    }

    /// Does what the daemon would do; returns what is for the test.
    fn carry_out(&mut self, event: ari::Event) -> Option<ari::Event> {
        match event {
            ari::Event::Chosen { leg, plan } => {
                self.plan = Some(plan);
                self.scene.bridge.explain(leg, plan.why).unwrap();
                None
            }
            ari::Event::Reach { way, .. } => {
                self.scene.bridge.reach(self.uuid, way).unwrap();
                None
            }
            event => Some(event),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.work.abort();
    }
}
