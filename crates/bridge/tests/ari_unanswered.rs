//! Callers whom nobody has answered go back to the dialplan, without Asterisk and without sockets.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[expect(unreachable_pub, dead_code, reason = "a module of a test")]
mod desk;

use desk::*;
use moqrelay_bridge::ari::{Command, Failure, Unanswered};
use moqrelay_wire::signal::Cause;

#[test]
fn a_caller_who_rang_goes_on_in_the_dialplan_and_it_knows_why() {
    let mut desk = with_caller();
    let call = call("a1");
    desk.tells(Command::Adopt { call, leg: LEG });
    desk.tells(Command::Ring(LEG));
    desk.sent();

    let cause = Cause::NoAnswer;
    desk.tells(Command::HangUp { leg: LEG, cause });
    assert_eq!(desk.sent(), [why("no_answer")]);
    desk.answers(&why("no_answer"), 204);
    assert_eq!(desk.sent(), [CONTINUE]);
    desk.answers(CONTINUE, 204);
    desk.leaves("a1");

    assert_eq!(desk.sent(), NOTHING);
    assert_eq!(desk.events(), [ended(cause)]);
}

#[test]
fn a_caller_whom_nobody_can_be_rung_for_goes_on_too() {
    let mut desk = with_caller();
    let (call, cause) = (call("a1"), Cause::Unreachable);

    desk.tells(Command::Refuse { call, cause });
    desk.answers(&why("unreachable"), 204);

    assert_eq!(desk.sent(), [why("unreachable"), CONTINUE.into()]);
}

#[test]
fn a_dialplan_that_cannot_be_told_why_goes_on_all_the_same() {
    let mut desk = with_caller();
    let (call, cause) = (call("a1"), Cause::Busy);
    desk.tells(Command::Refuse { call, cause });

    desk.fails(&why("busy"), Failure::Timeout);
    desk.sent();
    desk.answers(CONTINUE, 500);

    assert_eq!(desk.sent(), [removal("a1", 17)]);
}

#[test]
fn a_caller_who_was_answered_is_hung_up() {
    let mut desk = with_caller();
    let call = call("a1");
    desk.tells(Command::Adopt { call, leg: LEG });
    desk.tells(Command::Answer {
        leg: LEG,
        uuid: UUID,
    });
    desk.answers(&mix_request(), 200);
    desk.answers(&audio_request(), 200);
    desk.starts(AUDIO);
    desk.answers("POST /channels/a1/answer", 204);
    desk.answers(&join_request("a1"), 204);
    desk.sent();

    let cause = Cause::Normal;
    desk.tells(Command::HangUp { leg: LEG, cause });

    assert_eq!(
        desk.sent(),
        [removal("a1", 16), removal(AUDIO, 16), removal_of_mix()]
    );
}

const CONTINUE: &str = "POST /channels/a1/continue";

fn with_caller() -> Desk {
    let mut desk = Desk::with(|config| config.unanswered = Unanswered::Dialplan);
    desk.connects(&[], &[]);
    desk.calls("a1");
    desk.events();
    desk
}

fn why(cause: &str) -> String {
    format!("POST /channels/a1/variable?variable=MOQRELAY_CAUSE&value={cause}")
}
