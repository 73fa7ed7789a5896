//! Lamps of telephones, without Asterisk and without sockets.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[expect(unreachable_pub, dead_code, reason = "a module of a test")]
mod desk;

use desk::*;
use moqrelay_bridge::ari::{Command, Failure, Lamp};

#[test]
fn a_lamp_is_a_custom_device_state() {
    let mut desk = Desk::up();

    desk.tells(lamp("7001", Lamp::Ringing));

    assert_eq!(desk.sent(), [request("7001", "RINGING")]);
}

#[test]
fn states_of_a_line_do_not_overtake_each_other_and_old_ones_are_left_out() {
    let mut desk = Desk::up();
    for state in [Lamp::Ringing, Lamp::InUse, Lamp::Idle] {
        desk.tells(lamp("7001", state));
    }
    assert_eq!(desk.sent(), [request("7001", "RINGING")]);

    desk.answers(&request("7001", "RINGING"), 204);
    assert_eq!(desk.sent(), [request("7001", "NOT_INUSE")]);
    desk.answers(&request("7001", "NOT_INUSE"), 204);

    assert_eq!(desk.sent(), NOTHING);
}

#[test]
fn lamps_are_lit_again_when_asterisk_is_back() {
    let mut desk = Desk::new();
    desk.tells(lamp("7001", Lamp::Idle));
    assert_eq!(desk.sent(), NOTHING);
    desk.connects(&[], &[]);
    assert_eq!(desk.sent(), [request("7001", "NOT_INUSE")]);
    desk.answers(&request("7001", "NOT_INUSE"), 204);

    desk.steering.handle_disconnected();
    desk.tells(lamp("7001", Lamp::InUse));
    desk.connects(&[], &[]);

    assert_eq!(desk.sent(), [request("7001", "INUSE")]);
}

#[test]
fn a_state_whose_answer_was_lost_with_the_connection_is_said_again() {
    let mut desk = Desk::up();
    desk.tells(lamp("7001", Lamp::Idle));
    desk.steering.handle_disconnected();
    desk.connects(&[], &[]);
    desk.sent();

    desk.fails(&request("7001", "NOT_INUSE"), Failure::Timeout);

    assert_eq!(desk.sent(), [request("7001", "NOT_INUSE")]);
}

#[test]
fn a_state_that_asterisk_does_not_take_waits_for_the_next() {
    let mut desk = Desk::up();
    desk.tells(lamp("7001", Lamp::Idle));
    desk.answers(&request("7001", "NOT_INUSE"), 500);
    desk.sent();

    desk.tells(lamp("7001", Lamp::InUse));

    assert_eq!(desk.sent(), [request("7001", "INUSE")]);
}

#[test]
fn the_daemon_s_end_leaves_lamps_dark() {
    let mut desk = Desk::up();
    desk.tells(lamp("7001", Lamp::Idle));
    desk.answers(&request("7001", "NOT_INUSE"), 204);
    desk.sent();

    desk.steering.handle_shutdown();
    desk.drain();

    assert_eq!(desk.sent(), [request("7001", "UNAVAILABLE")]);
    assert!(!desk.steering.is_clean());
    desk.answers(&request("7001", "UNAVAILABLE"), 204);
    assert!(desk.steering.is_clean());
}

#[test]
fn who_has_stepped_aside_leaves_the_lamps_to_the_other() {
    let mut desk = Desk::up();
    desk.tells(Command::StepAside);

    desk.tells(lamp("7001", Lamp::Idle));

    assert_eq!(desk.sent(), NOTHING);
}

fn lamp(line: &str, lamp: Lamp) -> Command {
    let line = line.to_owned();
    Command::Lamp { line, lamp }
}

fn request(line: &str, state: &str) -> String {
    format!(
        "POST /asterisk/variable?variable=DEVICE_STATE%28Custom%3Amoqrelay-{line}%29&value={state}"
    )
}
