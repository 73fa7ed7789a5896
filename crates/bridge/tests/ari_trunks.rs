//! Trunks: which of them a number goes by, and whether they can be reached.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[expect(unreachable_pub, dead_code, reason = "a module of a test")]
mod desk;

use desk::*;
use moqrelay_bridge::ari::{Command, ConfigError, EndpointState, Event, Failure, Trunk};

const QUESTION: &str = "GET /endpoints/PJSIP/carrier";
const SUBSCRIPTION: &str =
    "POST /applications/moqrelay-00000007/subscription?eventSource=endpoint%3APJSIP%2Fcarrier";
const CHANGED: &str = r#"{"type":"ContactStatusChange","endpoint":{"technology":"PJSIP",
    "resource":"carrier","state":"online"},"contact_info":{"contact_status":"Unreachable"}}"#;

#[test]
fn a_number_goes_by_the_trunk_that_is_named() {
    let mut desk = watching();

    desk.tells(Command::Dial {
        leg: LEG,
        number: "+493012345".into(),
        trunk: Some("carrier".into()),
        caller: caller("Anna", "7001"),
        uuid: UUID,
    });

    let far = format!(
        "POST /channels/create?endpoint=PJSIP%2F%2B493012345%40carrier&app=moqrelay-00000007&channelId={FAR}"
    );
    let variables = &desk.body_of(&far)["variables"];
    assert_eq!(variables["CONNECTEDLINE(num,i)"], "+4930990");
}

#[test]
fn the_state_of_an_endpoint_is_told_first_and_when_it_changes() {
    let mut desk = watching();
    // What is asked for meanwhile is left out by the desk.
    assert!(desk.sent().contains(&SUBSCRIPTION.into()));

    desk.gives(QUESTION, 200, r#"{"state":"online"}"#);
    assert_eq!(desk.events(), [told(EndpointState::Online)]);

    desk.hears(CHANGED);
    desk.gives(QUESTION, 200, r#"{"state":"online"}"#);
    assert_eq!(desk.events(), NO_EVENTS);

    desk.hears(CHANGED);
    desk.gives(QUESTION, 200, r#"{"state":"offline"}"#);
    assert_eq!(desk.events(), [told(EndpointState::Offline)]);
}

#[test]
fn what_changes_while_it_is_asked_for_is_asked_for_again() {
    let mut desk = watching();
    desk.sent();

    desk.hears(CHANGED);
    assert_eq!(desk.sent(), NOTHING);
    desk.gives(QUESTION, 200, r#"{"state":"online"}"#);

    assert_eq!(desk.sent(), [QUESTION]);
}

#[test]
fn an_endpoint_that_asterisk_does_not_have_is_missing_until_it_has() {
    let mut desk = watching();
    desk.gives(QUESTION, 404, "");
    assert_eq!(desk.events(), [told(EndpointState::Missing)]);
    desk.sent();

    desk.waits();

    assert_eq!(desk.sent(), [QUESTION]);
    desk.gives(QUESTION, 200, r#"{"state":"online"}"#);
    assert_eq!(desk.events(), [told(EndpointState::Online)]);
}

#[test]
fn a_question_without_an_answer_changes_nothing() {
    let mut desk = watching();
    desk.gives(QUESTION, 200, r#"{"state":"online"}"#);
    desk.events();
    desk.hears(CHANGED);

    desk.fails(QUESTION, Failure::Timeout);

    assert_eq!(desk.events(), NO_EVENTS);
}

#[test]
fn after_a_reconnection_everything_is_asked_for_anew() {
    let mut desk = watching();
    desk.gives(QUESTION, 200, r#"{"state":"online"}"#);
    desk.sent();
    desk.events();

    desk.steering.handle_disconnected();
    desk.drain();
    desk.connects(&[], &[]);

    // What is asked for meanwhile is left out by the desk.
    assert!(desk.sent().contains(&SUBSCRIPTION.into()));
    desk.gives(QUESTION, 200, r#"{"state":"offline"}"#);
    assert_eq!(
        desk.events(),
        [Event::Down, Event::Up, told(EndpointState::Offline)]
    );
}

#[test]
fn an_endpoint_without_a_technology_is_refused() {
    let mut config = moqrelay_bridge::ari::Config::new(
        "http://127.0.0.1:8088/ari",
        "moqrelay",
        moqrelay_bridge::ari::Secret::new("x"),
        "Local/{number}@internal/n",
        "127.0.0.1:9092",
    );
    config.trunks = vec![Trunk {
        endpoint: Some("carrier".into()),
        ..carrier()
    }];

    assert_eq!(config.check(), Err(ConfigError::Endpoint("carrier".into())));
}

/// Connected; nothing is known of the trunk yet.
fn watching() -> Desk {
    let mut desk = Desk::with(|config| config.trunks = vec![carrier()]);
    desk.connects(&[], &[]);
    assert_eq!(desk.events(), [Event::Up]);
    desk
}

fn carrier() -> Trunk {
    Trunk {
        name: "carrier".into(),
        dial: "PJSIP/{number}@carrier".into(),
        caller_number: "+4930990".into(),
        endpoint: Some("PJSIP/carrier".into()),
    }
}

fn told(state: EndpointState) -> Event {
    Event::Trunk {
        trunk: "carrier".into(),
        state,
    }
}
