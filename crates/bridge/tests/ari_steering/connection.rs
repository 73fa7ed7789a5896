//! The connection to Asterisk: lost, back, and what is found then.

use crate::desk::*;
use moqrelay_bridge::ari::{Command, Event, Failure, Message, RequestId};
use moqrelay_wire::signal::Cause;

#[test]
fn a_removal_is_tried_again_but_not_for_ever() {
    let mut desk = Desk::with_incoming();
    desk.tells(Command::HangUp {
        leg: LEG,
        cause: Cause::Busy,
    });
    let mut attempts = 0;

    while !desk.steering.is_clean() {
        assert_eq!(desk.sent(), [removal("a1", 17)]);
        desk.fails(&removal("a1", 17), Failure::Unreachable);
        attempts += 1;
        if !desk.steering.is_clean() {
            desk.waits();
        }
    }

    assert_eq!(attempts, 6);
}

#[test]
fn calls_outlive_a_lost_connection() {
    let mut desk = Desk::talking();

    desk.steering.handle_disconnected();
    desk.connects(&[(FAR, "Up", ""), (AUDIO, "Up", "")], &[MIX]);

    assert_eq!(desk.events(), [Event::Down, Event::Up]);
    assert_eq!(desk.sent(), NOTHING);
}

#[test]
fn what_happened_while_the_connection_was_lost_is_found_out() {
    let mut desk = Desk::dialling();
    desk.steering.handle_disconnected();
    desk.connects(&[(FAR, "Up", ""), (AUDIO, "Up", "")], &[MIX]);
    assert_eq!(
        desk.events(),
        [Event::Down, Event::Up, Event::Answered(LEG)]
    );

    desk.steering.handle_disconnected();
    desk.connects(&[(AUDIO, "Up", "")], &[MIX]);

    assert_eq!(desk.events(), [Event::Down, Event::Up, ended(Cause::Lost)]);
    let gone = "what is not there is removed all the same";
    assert_eq!(
        desk.sent(),
        [removal(FAR, 38), removal(AUDIO, 16), removal_of_mix()],
        "{gone}"
    );
}

#[test]
fn what_an_earlier_run_left_is_removed_and_other_things_are_not() {
    let mut desk = Desk::new();

    desk.connects(
        &[
            ("moqrelay-leg-00000001-9-far", "Up", ""),
            ("1700000000.1", "Up", "moqrelay,7001"),
            ("1700000000.2", "Ring", "moqrelay,7002"),
            ("1700000000.3", "Up", "another,7002"),
            ("1700000000.4", "Up", ""),
        ],
        &["moqrelay-leg-00000001-9-mix", "conference"],
    );

    let [Event::Up, Event::Incoming(incoming)] = &desk.events()[..] else {
        panic!("no call")
    };
    assert_eq!(incoming.to, "7002");
    assert_eq!(
        desk.sent(),
        [
            removal("moqrelay-leg-00000001-9-far", 38),
            removal("1700000000.1", 38),
            "DELETE /bridges/moqrelay-leg-00000001-9-mix".to_owned(),
        ]
    );
}

#[test]
fn a_list_that_cannot_be_read_makes_a_new_connection() {
    for (status, body) in [(503, "[]"), (200, "<html>"), (200, "{}")] {
        let mut desk = Desk::new();
        desk.steering.handle_connected();
        desk.drain();

        desk.gives("GET /channels", status, body);

        assert!(desk.reconnect, "{status} {body}");
        assert_eq!(desk.events(), NO_EVENTS);
    }
}

#[test]
fn nonsense_is_ignored() {
    let mut desk = Desk::talking();

    for text in [
        r#"{"type":"StasisStart"}"#,
        r#"{"type":"StasisEnd","channel":{"id":"unknown"}}"#,
        r#"{"type":"ChannelDtmfReceived","digit":"12","channel":{"id":"moqrelay-leg-00000007-1-far"}}"#,
        r#"{"type":"ChannelDestroyed","cause":-1,"channel":{"id":"unknown"}}"#,
        r#"{"type":"Dial","dialstatus":"ANSWER"}"#,
        r#"{"type":"NewThing","channel":{"id":"x","state":"Sideways"}}"#,
    ] {
        desk.hears(text);
    }
    desk.steering
        .handle_response(RequestId(9999), Err(Failure::Timeout), desk.now);

    assert_eq!(desk.events(), NO_EVENTS);
    assert_eq!(desk.sent(), NOTHING);
    for text in [
        "",
        "{",
        "[]",
        "null",
        r#"{"type":5}"#,
        r#"{"type":"StasisEnd","channel":{}}"#,
    ] {
        assert!(Message::parse(text.as_bytes()).is_err(), "{text}");
    }
}
