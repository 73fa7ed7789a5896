//! What Asterisk's own call records know our legs by, without Asterisk and without sockets.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[expect(unreachable_pub, dead_code, reason = "a module of a test")]
mod desk;

use desk::*;
use moqrelay_bridge::ari::{Command, Event};

#[test]
fn a_leg_s_link_to_asterisk_s_records_is_told() {
    for (mut desk, far) in [(Desk::with_incoming(), "a1"), (Desk::dialling(), FAR)] {
        desk.gives(&question(far), 200, r#"{"value":"ast-17.4"}"#);

        let (leg, id) = (LEG, "ast-17.4".into());
        assert_eq!(desk.events(), [Event::Linked { leg, id }]);
    }
}

#[test]
fn a_call_goes_on_without_a_link() {
    for (status, body) in [(404, ""), (200, "{}"), (200, r#"{"value":""}"#), (200, "x")] {
        let mut desk = Desk::with_incoming();

        desk.gives(&question("a1"), status, body);

        assert_eq!(desk.events(), NO_EVENTS);
        assert_eq!(desk.steering.legs(), 1);
    }
}

#[test]
fn nobody_waits_for_a_link_at_the_end() {
    let mut desk = Desk::with_incoming();
    let cause = moqrelay_wire::signal::Cause::Busy;
    desk.tells(Command::HangUp { leg: LEG, cause });
    desk.answers(&removal("a1", 17), 204);
    desk.events();

    assert!(desk.steering.is_clean());
    desk.gives(&question("a1"), 200, r#"{"value":"ast-17.4"}"#);

    assert_eq!(desk.events(), NO_EVENTS);
}

fn question(far: &str) -> String {
    format!("GET /channels/{far}/variable?variable=CHANNEL%28linkedid%29")
}
