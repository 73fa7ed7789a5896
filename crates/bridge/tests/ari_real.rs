//! Call steering with a real Asterisk 22 and a real SIP telephone.
//!
//! Needs root and the tree that `deploy/asterisk/rootfs` makes:
//! `cargo nextest run -p moqrelay-bridge --test ari_real --run-ignored only`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[expect(unreachable_pub, reason = "a module of a test")]
mod real;

use moqrelay_bridge::ari::{
    Caller, Client, Config, Event, Handle, Incoming, Lamp, LegId, Secret, TransferProgress,
};
use moqrelay_wire::signal::Cause;
use real::{Asterisk, Phone, Proxy, Stub, share, soon, strength, wav_tail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

const LEG: LegId = LegId(1);

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_telephone_rings_until_the_answer_and_both_sides_hear_each_other() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;

    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, LEG).unwrap();
    world.handle.ring(LEG).unwrap();
    phone.expect("CALL_RINGING").await;
    let uuid = Uuid::new_v4();
    world.handle.answer(LEG, uuid).unwrap();
    phone.expect("CALL_ESTABLISHED").await;
    let heard = world.stub.second(uuid).await;
    phone.tell("sndcode", "5").await;
    let digit = world.event().await;
    world.stub.wait(uuid, |sound| sound.digits == "5").await;
    world.handle.dtmf(LEG, "7#").unwrap();
    let first = phone.expect("CALL_DTMF_START").await;
    let second = phone.expect("CALL_DTMF_START").await;
    phone.tell("hangup", "").await;
    let end = world.event().await;

    assert_eq!(call.to, "7001");
    assert_eq!(
        call.from,
        Caller {
            name: Some("Alice".into()),
            number: Some("1001".into()),
            sent_on: None,
        }
    );
    assert!(call.sip_call_id.is_some());
    assert!(strength(&heard, 16_000, 700.0) > 0.9);
    assert_eq!(
        digit,
        Event::Digit {
            leg: LEG,
            digit: '5'
        }
    );
    assert_eq!(
        (&first["param"], &second["param"]),
        (&"7".into(), &"#".into())
    );
    assert_eq!(end, ended(LEG, Cause::Normal));
    world.stub.wait(uuid, |sound| sound.closed).await;
    phone.expect("CALL_CLOSED").await;
    assert!(share(&wav_tail(&phone.heard(), 96_000), 48_000, Stub::HZ) > 0.5);
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_refused_telephone_learns_why() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;

    for (cause, heard) in [
        (Cause::Busy, "486 Busy Here"),
        (Cause::NotFound, "404 Not Found"),
        (Cause::Rejected, "403 Forbidden"),
        (Cause::NoAnswer, "480 Temporarily Unavailable"),
        (Cause::Unreachable, "480 Temporarily Unavailable"),
        (Cause::Failed, "500 Server Internal Error"),
        (Cause::Shutdown, "503 Service Unavailable"),
    ] {
        phone.dial("7001").await;
        let call = world.incoming().await;
        world.handle.refuse(call.call, cause).unwrap();
        assert_eq!(
            phone.expect("CALL_CLOSED").await["param"],
            heard,
            "{cause:?}"
        );
    }
    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, LEG).unwrap();
    world.handle.ring(LEG).unwrap();
    phone.expect("CALL_RINGING").await;
    world.handle.hang_up(LEG, Cause::Busy).unwrap();
    assert_eq!(phone.expect("CALL_CLOSED").await["param"], "486 Busy Here");
    assert_eq!(world.event().await, ended(LEG, Cause::Busy));
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn either_side_can_end_a_call_and_a_caller_can_give_up() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;

    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, LEG).unwrap();
    world.handle.ring(LEG).unwrap();
    phone.expect("CALL_RINGING").await;
    phone.tell("hangup", "").await;
    assert_eq!(world.event().await, ended(LEG, Cause::Cancelled));

    let (leg, uuid) = (LegId(2), Uuid::new_v4());
    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, leg).unwrap();
    world.handle.answer(leg, uuid).unwrap();
    phone.expect("CALL_ESTABLISHED").await;
    world.stub.second(uuid).await;
    world.handle.hang_up(leg, Cause::Normal).unwrap();
    phone.expect("CALL_CLOSED").await;
    assert_eq!(world.event().await, ended(leg, Cause::Normal));
    world.stub.wait(uuid, |sound| sound.closed).await;
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_browser_dials_and_hears_the_other_side() {
    let mut world = World::start().await;

    let (leg, uuid) = world.dial(1, "600");
    assert_eq!(world.event().await, Event::Answered(leg));
    let heard = world.stub.second(uuid).await;
    world.handle.hang_up(leg, Cause::Normal).unwrap();

    assert!(strength(&heard, 16_000, Stub::HZ) > 0.9);
    assert_eq!(world.event().await, ended(leg, Cause::Normal));
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_browser_hears_what_is_said_before_the_answer() {
    let mut world = World::start().await;

    let (leg, uuid) = world.dial(1, "610");
    assert_eq!(world.event().await, Event::Early(leg));
    assert!(strength(&world.stub.second(uuid).await, 16_000, 660.0) > 0.9);
    assert_eq!(world.event().await, Event::Answered(leg));
    assert!(strength(&world.stub.second(uuid).await, 16_000, 880.0) > 0.9);
    world.handle.hang_up(leg, Cause::Normal).unwrap();
    assert_eq!(world.event().await, ended(leg, Cause::Normal));
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_dialled_telephone_rings_answers_and_hangs_up() {
    let mut world = World::start().await;

    let (leg, uuid) = world.dial(1, "611");

    assert_eq!(world.event().await, Event::Ringing(leg));
    assert_eq!(world.event().await, Event::Answered(leg));
    assert_eq!(world.event().await, ended(leg, Cause::Normal));
    world.stub.wait(uuid, |sound| sound.closed).await;
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_browser_that_dials_learns_why_it_failed() {
    let mut world = World::start().await;

    for (n, number, rings, cause) in [
        (1, "605", false, Cause::Busy),
        (2, "607", false, Cause::NotFound),
        (3, "608", true, Cause::Rejected),
        (4, "609", false, Cause::Unreachable),
        (5, "555", false, Cause::NotFound),
        (6, "1002", false, Cause::Unreachable),
        (7, "606", true, Cause::NoAnswer),
    ] {
        let (leg, uuid) = world.dial(n, number);
        if rings {
            assert_eq!(world.event().await, Event::Ringing(leg), "{number}");
        }
        assert_eq!(world.event().await, ended(leg, cause), "{number}");
        world.stub.wait(uuid, |sound| sound.closed).await;
    }
    let (leg, _) = world.dial(8, "606");
    assert_eq!(world.event().await, Event::Ringing(leg));
    world.handle.hang_up(leg, Cause::Cancelled).unwrap();
    assert_eq!(world.event().await, ended(leg, Cause::Cancelled));
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_dialled_telephone_shows_the_caller_and_speaks_in_wide_band() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "bob", 5000).await;

    let (leg, uuid) = world.dial(1, "1002");
    let shown = phone.expect("CALL_INCOMING").await;
    assert_eq!(world.event().await, Event::Ringing(leg));
    phone.tell("accept", "").await;
    assert_eq!(world.event().await, Event::Answered(leg));
    // A tone that 8 kHz could not carry.
    assert!(strength(&world.stub.second(uuid).await, 16_000, 5000.0) > 0.9);
    phone.tell("hangup", "").await;
    assert_eq!(world.event().await, ended(leg, Cause::Normal));

    assert_eq!(shown["peeruri"], "sip:7001@127.0.0.1");
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_telephone_can_hold() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;
    let uuid = Uuid::new_v4();
    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, LEG).unwrap();
    world.handle.answer(LEG, uuid).unwrap();
    phone.expect("CALL_ESTABLISHED").await;
    world.stub.second(uuid).await;

    phone.tell("hold", "").await;
    assert_eq!(
        world.event().await,
        Event::Held {
            leg: LEG,
            held: true
        }
    );
    // The phone is not asked for more: baresip 1.1 sometimes calls a null pointer once its sound begins anew.
    world.handle.hang_up(LEG, Cause::Normal).unwrap();

    assert_eq!(world.event().await, ended(LEG, Cause::Normal));
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_telephone_can_be_held_and_hears_music() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;
    let uuid = Uuid::new_v4();
    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, LEG).unwrap();
    world.handle.answer(LEG, uuid).unwrap();
    phone.expect("CALL_ESTABLISHED").await;
    world.stub.second(uuid).await;

    world.handle.hold(LEG).unwrap();
    world.stub.second(uuid).await;
    world.handle.hang_up(LEG, Cause::Normal).unwrap();
    phone.expect("CALL_CLOSED").await;

    assert_eq!(world.event().await, ended(LEG, Cause::Normal));
    // Music, not us.
    let heard = wav_tail(&phone.heard(), 24_000);
    assert!(share(&heard, 48_000, Stub::HZ) < 0.5);
    assert!(heard.iter().any(|sample| sample.abs() > 500));
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_telephone_that_transfers_asks_us_and_is_told_the_result() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;
    for (progress, heard) in [
        (TransferProgress::Failed(Cause::Busy), "TRANSFER_FAILED"),
        (TransferProgress::Answered, "CALL_CLOSED"),
    ] {
        let uuid = Uuid::new_v4();
        phone.dial("7001").await;
        let call = world.incoming().await;
        world.handle.adopt(call.call, LEG).unwrap();
        world.handle.answer(LEG, uuid).unwrap();
        phone.expect("CALL_ESTABLISHED").await;
        world.stub.second(uuid).await;

        phone.tell("transfer", "sip:7002@127.0.0.1").await;
        let to = "7002".into();
        assert_eq!(world.event().await, Event::Transfers { leg: LEG, to });
        world
            .handle
            .transfer(LEG, TransferProgress::Ringing)
            .unwrap();
        world.handle.transfer(LEG, progress).unwrap();
        phone.expect(heard).await;
        world.handle.hang_up(LEG, Cause::Transferred).unwrap();
        // baresip holds the call that it transfers, and hangs up whatever comes of it.
        let end = loop {
            match world.event().await {
                Event::Held { .. } => {}
                other => break other,
            }
        };
        assert!(matches!(end, Event::Ended { leg: LEG, .. }), "{end:?}");
        world.assert_clean().await;
    }
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_lamp_shows_a_line_s_state_also_after_a_reconnection() {
    let mut world = World::start().await;
    let shows = async |world: &World, state: &str| {
        soon(state, async {
            let line = format!("State: '{state}'");
            while !world.asterisk.cli("devstate list").contains(&line) {
                tokio::task::yield_now().await; // The command line itself takes its time.
            }
        })
        .await;
    };

    world.handle.lamp("7001", Lamp::Idle).unwrap();
    world.handle.lamp("7001", Lamp::InUse).unwrap();
    shows(&world, "INUSE").await;
    world
        .asterisk
        .cli("devstate change Custom:moqrelay-7001 NOT_INUSE");
    world.proxy.cut();
    assert_eq!(world.event().await, Event::Down);
    world.proxy.mend();
    assert_eq!(world.event().await, Event::Up);
    shows(&world, "INUSE").await;
    world.handle.lamp("7001", Lamp::Unavailable).unwrap();

    shows(&world, "UNAVAILABLE").await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_lost_connection_leaves_the_sound_alone_and_is_made_again() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;
    let uuid = Uuid::new_v4();
    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, LEG).unwrap();
    world.handle.answer(LEG, uuid).unwrap();
    phone.expect("CALL_ESTABLISHED").await;
    world.stub.second(uuid).await;

    world.proxy.cut();
    assert_eq!(world.event().await, Event::Down);
    let heard = world.stub.second(uuid).await;
    let (refused, _) = world.dial(2, "600");
    assert_eq!(world.event().await, ended(refused, Cause::Unreachable));
    world.proxy.mend();
    assert_eq!(world.event().await, Event::Up);

    assert!(strength(&heard, 16_000, 700.0) > 0.9);
    assert!(strength(&world.stub.second(uuid).await, 16_000, 700.0) > 0.9);
    phone.tell("sndcode", "3").await;
    assert_eq!(
        world.event().await,
        Event::Digit {
            leg: LEG,
            digit: '3'
        }
    );
    world.handle.hang_up(LEG, Cause::Normal).unwrap();
    phone.expect("CALL_CLOSED").await;
    assert_eq!(world.event().await, ended(LEG, Cause::Normal));
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_telephone_that_gave_up_meanwhile_is_noticed() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;
    let uuid = Uuid::new_v4();
    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, LEG).unwrap();
    world.handle.answer(LEG, uuid).unwrap();
    phone.expect("CALL_ESTABLISHED").await;
    world.stub.second(uuid).await;

    world.proxy.cut();
    assert_eq!(world.event().await, Event::Down);
    phone.tell("hangup", "").await;
    phone.expect("CALL_CLOSED").await;
    world.proxy.mend();

    assert_eq!(world.event().await, Event::Up);
    assert_eq!(world.event().await, ended(LEG, Cause::Lost));
    world.stub.wait(uuid, |sound| sound.closed).await;
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn a_restarted_asterisk_ends_its_calls_and_takes_new_ones() {
    let mut world = World::start().await;
    let (leg, uuid) = world.dial(1, "600");
    assert_eq!(world.event().await, Event::Answered(leg));
    world.stub.second(uuid).await;

    world.asterisk.kill();
    assert_eq!(world.event().await, Event::Down);
    world.stub.wait(uuid, |sound| sound.closed).await;
    world.asterisk.start_again();

    assert_eq!(world.event().await, Event::Up);
    assert_eq!(world.event().await, ended(leg, Cause::Lost));
    let (leg, uuid) = world.dial(2, "600");
    assert_eq!(world.event().await, Event::Answered(leg));
    assert!(strength(&world.stub.second(uuid).await, 16_000, Stub::HZ) > 0.9);
    world.handle.hang_up(leg, Cause::Normal).unwrap();
    assert_eq!(world.event().await, ended(leg, Cause::Normal));
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn what_a_crashed_daemon_left_behind_is_removed_by_the_next() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;
    let (leg, uuid) = world.dial(1, "600");
    assert_eq!(world.event().await, Event::Answered(leg));
    world.stub.second(uuid).await;
    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, LegId(2)).unwrap();
    world.handle.ring(LegId(2)).unwrap();
    phone.expect("CALL_RINGING").await;

    world.work.abort();
    world.connect().await;

    // The call that still rings is offered again.
    let call = world.incoming().await;
    assert_eq!(call.to, "7001");
    world.stub.wait(uuid, |sound| sound.closed).await;
    world.handle.refuse(call.call, Cause::Busy).unwrap();
    assert_eq!(phone.expect("CALL_CLOSED").await["param"], "486 Busy Here");
    world.assert_clean().await;
}

#[tokio::test]
#[ignore = "needs root and deploy/asterisk/rootfs"]
async fn the_end_of_the_daemon_ends_its_legs() {
    let mut world = World::start().await;
    let mut phone = Phone::start(&world.asterisk, "alice", 700).await;
    phone.dial("7001").await;
    let call = world.incoming().await;
    world.handle.adopt(call.call, LEG).unwrap();
    world.handle.answer(LEG, Uuid::new_v4()).unwrap();
    phone.expect("CALL_ESTABLISHED").await;

    let World {
        handle,
        work,
        asterisk,
        events,
        stub,
        proxy,
    } = world;
    drop(handle);
    soon("the end of the future", work).await.unwrap();

    phone.expect("CALL_CLOSED").await;
    assert!(
        asterisk
            .cli("core show channels")
            .contains("0 active channels")
    );
    assert!(asterisk.cli("bridge show all").lines().count() <= 1);
    drop((events, stub, proxy));
}

struct World {
    asterisk: Asterisk,
    stub: Stub,
    proxy: Proxy,
    handle: Handle,
    work: JoinHandle<()>,
    events: mpsc::Receiver<Event>,
}

impl World {
    async fn start() -> Self {
        let stub = Stub::start().await;
        let asterisk = Asterisk::start(stub.port);
        let proxy = Proxy::start(asterisk.http).await;
        let (handle, work, events) = client(&proxy, &stub);
        let mut world = Self {
            asterisk,
            stub,
            proxy,
            handle,
            work,
            events,
        };
        assert_eq!(world.event().await, Event::Up);
        world
    }

    /// Replaces the client by a new one.
    async fn connect(&mut self) {
        (self.handle, self.work, self.events) = client(&self.proxy, &self.stub);
        assert_eq!(self.event().await, Event::Up);
    }

    fn dial(&self, leg: u64, number: &str) -> (LegId, Uuid) {
        let (leg, uuid) = (LegId(leg), Uuid::new_v4());
        let caller = Caller {
            name: Some("Anna".into()),
            number: Some("7001".into()),
            sent_on: None,
        };
        self.handle.dial(leg, number, None, caller, uuid).unwrap();
        (leg, uuid)
    }

    async fn event(&mut self) -> Event {
        loop {
            let event = soon("event", self.events.recv()).await.unwrap();
            if !matches!(event, Event::Linked { .. }) {
                return event;
            }
        }
    }

    async fn incoming(&mut self) -> Incoming {
        match self.event().await {
            Event::Incoming(incoming) => incoming,
            other => panic!("{other:?} instead of a call"),
        }
    }

    /// Nothing of ours is left in Asterisk.
    async fn assert_clean(&mut self) {
        soon("a clean asterisk", async {
            loop {
                let channels = self.asterisk.cli("core show channels");
                let bridges = self.asterisk.cli("bridge show all");
                if channels.contains("0 active channels") && bridges.lines().count() <= 1 {
                    return;
                }
                tokio::task::yield_now().await; // The command line itself takes its time.
            }
        })
        .await;
        while let Ok(event) = self.events.try_recv() {
            assert!(matches!(event, Event::Linked { .. }), "{event:?}");
        }
    }
}

fn ended(leg: LegId, cause: Cause) -> Event {
    Event::Ended { leg, cause }
}

fn client(proxy: &Proxy, stub: &Stub) -> (Handle, JoinHandle<()>, mpsc::Receiver<Event>) {
    let mut config = Config::new(
        &format!("http://127.0.0.1:{}/ari", proxy.port),
        "moqrelay",
        Secret::new("moqrelay-test-password"),
        "Local/{number}@internal/n",
        &format!("127.0.0.1:{}", stub.port),
    );
    config.ring_timeout = std::time::Duration::from_secs(4);
    let (handle, work, events) = Client::new(config).unwrap();
    (handle, tokio::spawn(work), events)
}
