//! Telephones that call.

use crate::desk::*;
use moqrelay_bridge::ari::{ADOPT_TIMEOUT, Caller, Command, Event};
use moqrelay_wire::signal::Cause;
use uuid::Uuid;

#[test]
fn a_telephone_that_calls_is_offered_with_all_that_is_known() {
    let mut desk = Desk::up();

    desk.hears(
        r#"{"type":"StasisStart","args":["7001","1002"],"channel":{"id":"a1","name":"PJSIP/alice-1",
        "state":"Ring","protocol_id":"call-id","caller":{"name":"Alice","number":"1001"},
        "dialplan":{"exten":"77","app_name":"Stasis","app_data":"moqrelay,7001"}}}"#,
    );

    let [Event::Incoming(incoming)] = &desk.events()[..] else {
        panic!("no call")
    };
    assert_eq!(incoming.to, "7001");
    assert_eq!(incoming.from, caller("Alice", "1001"));
    assert_eq!(incoming.via.as_deref(), Some("1002"));
    assert_eq!(incoming.channel, "PJSIP/alice-1");
    assert_eq!(incoming.sip_call_id.as_deref(), Some("call-id"));
}

#[test]
fn a_call_without_arguments_is_for_the_extension_dialled() {
    let mut desk = Desk::up();

    desk.hears(
        r#"{"type":"StasisStart","args":[],"channel":{"id":"a1","dialplan":{"exten":"77"}}}"#,
    );

    let [Event::Incoming(incoming)] = &desk.events()[..] else {
        panic!("no call")
    };
    assert_eq!(incoming.to, "77");
    assert_eq!(incoming.from, Caller::default());
}

#[test]
fn a_call_is_answered_only_when_its_sound_is_ready() {
    let mut desk = Desk::with_incoming();

    desk.tells(Command::Ring(LEG));
    assert_eq!(desk.sent(), ["POST /channels/a1/ring"]);
    desk.tells(Command::Answer {
        leg: LEG,
        uuid: UUID,
    });
    assert_eq!(desk.sent(), [mix_request(), audio_request()]);
    desk.answers(&mix_request(), 200);
    desk.answers(&audio_request(), 200);
    assert_eq!(desk.sent(), NOTHING);
    desk.starts(AUDIO);
    assert_eq!(desk.sent(), ["POST /channels/a1/answer"]);
    desk.answers("POST /channels/a1/answer", 204);
    assert_eq!(desk.sent(), [join_request("a1")]);
    desk.answers(&join_request("a1"), 204);
    desk.leaves("a1");

    assert_eq!(desk.events(), [ended(Cause::Normal)]);
    assert_eq!(desk.sent(), [removal(AUDIO, 16), removal_of_mix()]);
}

#[test]
fn a_caller_who_gives_up_while_the_call_is_answered_leaves_nothing_behind() {
    let mut desk = Desk::with_incoming();
    desk.tells(Command::Answer {
        leg: LEG,
        uuid: UUID,
    });
    desk.sent();

    desk.leaves("a1");

    assert_eq!(desk.events(), [ended(Cause::Cancelled)]);
    // A removal now could overtake what it is to remove.
    assert_eq!(desk.sent(), NOTHING);
    desk.answers(&audio_request(), 200);
    assert_eq!(desk.sent(), [removal(AUDIO, 16)]);
    desk.answers(&mix_request(), 200);
    assert_eq!(desk.sent(), [removal_of_mix()]);
    desk.answers(&removal(AUDIO, 16), 204);
    desk.answers(&removal_of_mix(), 404);
    assert!(desk.steering.is_clean());
}

#[test]
fn an_answer_that_crosses_with_the_callers_leaving_is_no_failure() {
    let mut desk = Desk::with_incoming();
    desk.tells(Command::Answer {
        leg: LEG,
        uuid: UUID,
    });
    desk.answers(&mix_request(), 200);
    desk.starts(AUDIO);

    desk.answers("POST /channels/a1/answer", 422);

    assert_eq!(desk.events(), [ended(Cause::Cancelled)]);
}

#[test]
fn sound_before_the_answer_is_kept_at_the_answer() {
    let mut desk = Desk::with_incoming();
    desk.tells(Command::Early {
        leg: LEG,
        uuid: UUID,
    });
    desk.answers(&mix_request(), 200);
    desk.starts(AUDIO);
    desk.answers(&join_request("a1"), 204);
    desk.sent();

    desk.tells(Command::Answer {
        leg: LEG,
        uuid: Uuid::nil(),
    });
    assert_eq!(desk.sent(), ["POST /channels/a1/answer"]);
    desk.answers("POST /channels/a1/answer", 204);
    desk.tells(Command::Dtmf {
        leg: LEG,
        digits: "1".into(),
    });

    assert_eq!(desk.sent(), ["POST /channels/a1/dtmf?dtmf=1"]);
}

#[test]
fn a_call_that_nobody_adopts_is_turned_away() {
    let mut desk = Desk::up();
    desk.calls("a1");
    desk.events();

    desk.waits();
    assert_eq!(desk.now - desk.start, ADOPT_TIMEOUT);

    assert_eq!(desk.sent(), [removal("a1", 38)]);
    desk.tells(Command::Adopt {
        call: call("a1"),
        leg: LEG,
    });
    assert_eq!(desk.events(), [ended(Cause::Cancelled)]);
}

#[test]
fn a_refused_call_is_told_the_cause() {
    for (cause, q850) in [
        (Cause::Busy, 17),
        (Cause::Rejected, 21),
        (Cause::NotFound, 1),
        (Cause::NoAnswer, 19),
        (Cause::Unreachable, 20),
        (Cause::AnsweredElsewhere, 26),
        (Cause::Shutdown, 34),
    ] {
        let mut desk = Desk::up();
        desk.calls("a1");

        desk.tells(Command::Refuse {
            call: call("a1"),
            cause,
        });

        assert_eq!(desk.sent(), [removal("a1", q850)]);
    }
}

#[test]
fn legs_beyond_the_limit_are_refused() {
    let mut desk = Desk::up();
    for n in 0..LEGS_MAX {
        desk.calls(&format!("a{n}"));
    }
    assert_eq!(desk.events().len(), LEGS_MAX);

    desk.calls("one-more");
    desk.dials("600");

    assert_eq!(desk.sent(), [removal("one-more", 34)]);
    assert_eq!(desk.events(), [ended(Cause::Failed)]);
}
