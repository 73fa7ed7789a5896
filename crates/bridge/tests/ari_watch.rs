//! Telephones whose state is told, mailboxes, settings and diversion, without Asterisk and without sockets.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[expect(unreachable_pub, dead_code, reason = "a module of a test")]
mod desk;

use desk::*;
use moqrelay_bridge::ari::{Caller, Command, DeviceState, Event, SentOn, SentOnReason};

const LINE: &str = "PJSIP/alice";
const SUBSCRIBE: &str =
    "POST /applications/moqrelay-00000007/subscription?eventSource=deviceState%3APJSIP%2Falice";
const ASK: &str = "GET /asterisk/variable?variable=DEVICE_STATE%28PJSIP%2Falice%29";

#[test]
fn a_line_is_subscribed_to_then_asked_then_heard() {
    let mut desk = watching();

    desk.answers(SUBSCRIBE, 200);
    desk.gives(ASK, 200, r#"{"value":"NOT_INUSE"}"#);
    assert_eq!(desk.events(), [device(DeviceState::Idle)]);
    desk.hears(&changed(LINE, "RINGING"));
    desk.hears(&changed(LINE, "RINGING"));
    desk.hears(&changed("PJSIP/bob", "INUSE"));

    assert_eq!(desk.events(), [device(DeviceState::Ringing)]);
}

#[test]
fn what_was_heard_is_newer_than_what_was_asked() {
    let mut desk = watching();
    desk.answers(SUBSCRIBE, 200);

    desk.hears(&changed(LINE, "INUSE"));
    desk.gives(ASK, 200, r#"{"value":"NOT_INUSE"}"#);

    assert_eq!(desk.events(), [device(DeviceState::Busy)]);
}

#[test]
fn after_a_reconnection_everything_is_asked_again() {
    let mut desk = watching();
    desk.answers(SUBSCRIBE, 200);
    desk.gives(ASK, 200, r#"{"value":"NOT_INUSE"}"#);
    desk.steering.handle_disconnected();
    desk.connects(&[], &[]);
    desk.events();

    desk.answers(SUBSCRIBE, 200);
    desk.gives(ASK, 200, r#"{"value":"NOT_INUSE"}"#);

    assert_eq!(desk.events(), [device(DeviceState::Idle)]);
}

#[test]
fn an_asterisk_that_tells_no_states_is_asked_nothing_more() {
    let mut desk = watching();

    desk.answers(SUBSCRIBE, 422);

    assert!(!desk.sent().iter().any(|request| request == ASK));
}

#[test]
fn a_mailbox_tells_whether_messages_wait_while_it_is_watched() {
    let mut desk = watching();
    let line = || "7001".to_owned();
    let source = "moqrelay-00000007/subscription?eventSource=deviceState%3AMWI%3A7001%40default";
    let mailbox = |watched| Command::Mailbox {
        line: line(),
        watched,
    };
    desk.tells(mailbox(true));
    desk.answers(&format!("POST /applications/{source}"), 200);
    desk.gives(
        "GET /asterisk/variable?variable=DEVICE_STATE%28MWI%3A7001%40default%29",
        200,
        r#"{"value":"NOT_INUSE"}"#,
    );
    desk.hears(&changed("MWI:7001@default", "INUSE"));

    let told = |waiting| Event::Messages {
        line: line(),
        waiting,
    };
    assert_eq!(desk.events(), [told(false), told(true)]);
    desk.tells(mailbox(false));
    let unsubscribe = format!("DELETE /applications/{source}");
    assert!(desk.sent().contains(&unsubscribe));
    desk.hears(&changed("MWI:7001@default", "NOT_INUSE"));
    assert_eq!(desk.events(), NO_EVENTS);
}

#[test]
fn a_setting_is_no_call_and_its_result_is_found_in_the_dialplan() {
    let mut desk = Desk::up();

    desk.hears(&setting("a1", &["set:always", "7001", "1002"]));

    let Some(Event::Setting {
        call,
        user,
        what,
        value,
    }) = desk.events().pop()
    else {
        panic!("no setting")
    };
    assert_eq!((what.as_str(), user.as_str()), ("always", "7001"));
    assert_eq!(value, "1002");
    desk.tells(Command::AnswerSetting { call, result: "ok" });
    desk.answers(
        "POST /channels/a1/variable?variable=MOQRELAY_RESULT&value=ok",
        204,
    );
    assert!(
        desk.sent()
            .contains(&"POST /channels/a1/continue".to_owned())
    );
}

#[test]
fn a_telephone_that_hangs_up_while_it_sets_something_is_forgotten() {
    let mut desk = Desk::up();
    desk.hears(&setting("a1", &["set:undisturbed", "7001", "on"]));
    let Some(Event::Setting { call, .. }) = desk.events().pop() else {
        panic!("no setting")
    };

    desk.leaves("a1");
    desk.tells(Command::AnswerSetting { call, result: "ok" });

    assert_eq!(desk.sent(), NOTHING);
    assert!(desk.steering.is_clean());
}

#[test]
fn a_call_that_was_sent_on_says_by_whom_and_why() {
    let mut desk = Desk::up();

    desk.tells(Command::Dial {
        leg: LEG,
        number: "600".into(),
        trunk: None,
        caller: Caller {
            sent_on: Some(SentOn {
                name: "Bert \"<x>\"".into(),
                number: Some("7002".into()),
                reason: SentOnReason::NoAnswer,
                times: 2,
            }),
            ..caller("Anna", "7001")
        },
        uuid: UUID,
    });

    let body = desk.body_of(&far_request("600"));
    let variables = &body["variables"];
    assert_eq!(variables["REDIRECTING(from-num,i)"], "7002");
    assert_eq!(variables["REDIRECTING(from-name,i)"], "Bert x");
    assert_eq!(variables["REDIRECTING(reason,i)"], "cfnr");
    assert_eq!(variables["REDIRECTING(count,i)"], "2");
}

fn watching() -> Desk {
    let mut desk = Desk::with(|config| {
        config.lines = vec![LINE.into()];
        config.mailbox = Some("{number}@default".into());
    });
    desk.connects(&[], &[]);
    assert_eq!(desk.events(), [Event::Up]);
    desk
}

fn device(state: DeviceState) -> Event {
    let device = LINE.to_owned();
    Event::Device { device, state }
}

fn changed(name: &str, state: &str) -> String {
    format!(
        r#"{{"type":"DeviceStateChanged","device_state":{{"name":"{name}","state":"{state}"}}}}"#
    )
}

fn setting(channel: &str, args: &[&str]) -> String {
    let channel = serde_json::json!({ "id": channel });
    serde_json::json!({"type": "StasisStart", "args": args, "channel": channel}).to_string()
}
