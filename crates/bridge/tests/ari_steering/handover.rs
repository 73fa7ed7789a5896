//! Stepping aside for another run, and back.

use crate::desk::*;
use moqrelay_bridge::ari::{Command, Event};
use moqrelay_wire::signal::Cause;

#[test]
fn a_leg_goes_on_after_stepping_aside() {
    let mut desk = Desk::talking();
    desk.tells(Command::StepAside);
    desk.is_replaced();

    desk.lists(&[(FAR, "Up", ""), (AUDIO, "Up", "")], &[MIX]);

    assert_eq!(desk.events(), NO_EVENTS);
    assert_eq!(desk.sent(), NOTHING);
    assert_eq!(desk.callers, NOTHING);
    desk.hears(&format!(
        r#"{{"type":"ChannelDtmfReceived","digit":"5","channel":{{"id":"{FAR}"}}}}"#
    ));
    let digit = Event::Digit {
        leg: LEG,
        digit: '5',
    };
    assert_eq!(desk.events(), [digit]);
}

#[test]
fn a_leg_whose_channel_is_gone_ends_after_stepping_aside() {
    let mut desk = Desk::talking();
    desk.tells(Command::StepAside);
    desk.is_replaced();

    desk.lists(&[], &[]);

    let events = desk.events();
    assert!(
        matches!(events[..], [Event::Ended { leg: LEG, .. }]),
        "{events:?}"
    );
}

#[test]
fn a_caller_is_heard_by_the_application_of_the_run_after_stepping_aside() {
    let mut desk = Desk::with_incoming();
    desk.tells(Command::StepAside);
    assert_eq!(desk.callers, ["a1"]);

    desk.is_replaced();

    let subscription = "POST /applications/moqrelay-00000007/subscription?eventSource=channel%3Aa1";
    assert_eq!(desk.sent()[0], subscription);
    desk.lists(&[("a1", "Ring", "moqrelay,7001")], &[]);
    desk.is_destroyed("a1", 16);
    assert_eq!(desk.events(), [ended(Cause::Cancelled)]);
}

#[test]
fn calls_that_come_in_are_not_taken_after_stepping_aside() {
    let mut desk = Desk::up();
    desk.tells(Command::StepAside);

    desk.calls("a1");
    desk.is_replaced();
    desk.lists(&[("a1", "Ring", "moqrelay,7001")], &[]);

    assert_eq!(desk.events(), NO_EVENTS);
    assert_eq!(desk.sent(), NOTHING);
}

#[test]
fn a_call_that_came_in_meanwhile_is_offered_after_stepping_back() {
    let mut desk = Desk::up();
    desk.tells(Command::StepAside);
    desk.calls("a1");

    desk.tells(Command::StepBack);

    assert!(desk.reconnect);
    desk.steering.handle_disconnected();
    desk.connects(&[("a1", "Ring", "moqrelay,7001")], &[]);
    let events = desk.events();
    assert!(
        matches!(events[..], [Event::Down, Event::Up, Event::Incoming(_)]),
        "{events:?}"
    );
}

#[test]
fn what_belongs_to_a_run_that_still_has_calls_is_left_alone() {
    let mut desk = Desk::after(&[9], &["a1", "a2"]);

    desk.connects(
        &[
            ("moqrelay-leg-00000009-1-far", "Up", "moqrelay"),
            ("a1", "Up", "moqrelay,7001"),
            ("a2", "Ring", "moqrelay,7001"),
            ("moqrelay-leg-00000008-1-far", "Up", "moqrelay"),
        ],
        &["moqrelay-leg-00000009-1-mix"],
    );

    // Only what nobody looks after any more.
    let sent = desk.sent();
    assert!(
        sent.iter().all(|request| request.contains("00000008")) && sent.len() == 1,
        "{sent:?}"
    );
}
