//! What call steering decides, without Asterisk and without sockets.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[expect(unreachable_pub, reason = "a module of a test")]
mod desk;

use std::time::Duration;

use desk::*;
use moqrelay_bridge::ari::{
    ADOPT_TIMEOUT, Caller, Calls, Choice, Command, Event, Failure, Message, RequestId, Road,
    RoadRule,
};
use moqrelay_bridge::{Codec, Way};
use moqrelay_wire::signal::Cause;
use uuid::Uuid;

#[test]
fn by_websocket_the_bridge_is_told_where_to_go() {
    let mut desk = Desk::by_websocket();
    desk.dials("600");

    desk.gives(
        &websocket_request(),
        200,
        r#"{"id":"x","channelvars":{"MEDIA_WEBSOCKET_CONNECTION_ID":"4f2c"}}"#,
    );

    let way = Way::WebSocket {
        host: "127.0.0.1:8088".into(),
        connection: "4f2c".into(),
    };
    assert_eq!(desk.events(), [Event::Reach { leg: LEG, way }]);
}

#[test]
fn by_rtp_the_bridge_is_told_which_port_asterisk_has() {
    let mut desk = Desk::choosing(Choice::Fixed(Road::Rtp, Codec::Alaw));
    desk.dials("600");

    desk.gives(
        &format!(
            "POST /channels/externalMedia?app=moqrelay-00000007&channelId={AUDIO}\
             &external_host=127.0.0.1%3A9094&encapsulation=rtp&transport=udp&format=alaw"
        ),
        200,
        r#"{"id":"x","channelvars":{"UNICASTRTP_LOCAL_ADDRESS":"10.0.0.7","UNICASTRTP_LOCAL_PORT":"21004"}}"#,
    );

    let peers = ["10.0.0.7:21004", "127.0.0.1:21004"];
    let way = Way::Rtp {
        peers: peers.map(|peer| peer.parse().unwrap()).to_vec(),
        codec: Codec::Alaw,
    };
    assert_eq!(desk.events(), [Event::Reach { leg: LEG, way }]);
}

#[test]
fn the_cheapest_road_is_chosen_by_what_asterisk_has_and_the_telephone_speaks() {
    let modules = r#"[{"name":"chan_audiosocket.so","status":"Running"},
        {"name":"chan_websocket.so","status":"Running"},
        {"name":"codec_opus.so","status":"Running"},{"name":"chan_rtp.so","status":"Not Running"}]"#;
    for (codec, road, format) in [
        ("(opus)", Road::WebSocket, Codec::Opus),
        ("(ulaw|alaw)", Road::AudioSocket, Codec::SLIN),
        ("(g722)", Road::AudioSocket, Codec::SLIN16),
        ("", Road::AudioSocket, Codec::SLIN16),
    ] {
        let mut desk = Desk::choosing(Choice::Cheapest);
        desk.gives("GET /asterisk/modules", 200, modules);
        desk.calls("a1");
        let call = call("a1");
        desk.tells(Command::Adopt { call, leg: LEG });
        desk.gives(
            "GET /channels/a1/variable?variable=CHANNEL%28audionativeformat%29",
            200,
            &format!(r#"{{"value":"{codec}"}}"#),
        );

        desk.tells(Command::Answer {
            leg: LEG,
            uuid: UUID,
        });

        let plan = desk.chosen.unwrap();
        assert_eq!(
            (plan.road, plan.codec),
            (road, format),
            "{codec}: {}",
            plan.why
        );
    }
}

#[test]
fn a_number_may_have_a_road_of_its_own() {
    let rule = |prefix: &str, calls, choice| RoadRule {
        prefix: prefix.into(),
        calls,
        choice,
    };
    let rules = [
        rule("6", Calls::Out, Choice::Fixed(Road::WebSocket, Codec::Opus)),
        rule("7001", Calls::In, Choice::Fixed(Road::Rtp, Codec::Alaw)),
    ];
    let mut desk = Desk::ruled(Choice::default(), &rules);

    desk.dials("600");

    let plan = desk.chosen.take().unwrap();
    assert_eq!((plan.road, plan.codec), (Road::WebSocket, Codec::Opus));
    assert!(plan.why.contains("number"), "{}", plan.why);
    assert!(desk.sent().contains(&websocket_request()));

    let mut desk = Desk::ruled(Choice::default(), &rules);
    desk.dials("700");
    assert_eq!(desk.chosen, None, "what all calls have needs no word");
    assert!(desk.sent().contains(&audio_request()));

    let mut desk = Desk::ruled(Choice::default(), &rules);
    desk.calls("a1");
    let call = call("a1");
    desk.tells(Command::Adopt { call, leg: LEG });
    desk.tells(Command::Answer {
        leg: LEG,
        uuid: UUID,
    });
    let plan = desk.chosen.unwrap();
    assert_eq!((plan.road, plan.codec), (Road::Rtp, Codec::Alaw));
}

#[test]
fn an_asterisk_without_media_websockets_ends_the_leg() {
    let mut desk = Desk::by_websocket();
    desk.dials("600");

    desk.gives(&websocket_request(), 200, r#"{"id":"x"}"#);

    assert_eq!(desk.events(), [ended(Cause::Failed)]);
}

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
fn a_number_is_dialled_when_all_is_joined() {
    let mut desk = Desk::up();

    desk.dials("600");
    let far = far_request("600");
    assert_eq!(desk.sent(), [mix_request(), audio_request(), far.clone()]);
    desk.answers(&far, 200);
    desk.starts(FAR);
    desk.answers(&audio_request(), 200);
    desk.starts(AUDIO);
    assert_eq!(desk.sent(), NOTHING);
    desk.answers(&mix_request(), 200);
    assert_eq!(desk.sent(), [join_request(FAR)]);
    desk.answers(&join_request(FAR), 204);

    assert_eq!(desk.sent(), [dial_request()]);
}

#[test]
fn the_caller_is_shown_without_what_could_break_a_header() {
    let mut desk = Desk::up();
    let mallory = caller("\"Mal\r\nlory\" <666>", "+49 (30) 1;x");

    desk.tells(Command::Dial {
        leg: LEG,
        number: "600".into(),
        trunk: None,
        caller: mallory,
        uuid: UUID,
    });

    let body = desk.body_of(&far_request("600"));
    assert_eq!(body["variables"]["CONNECTEDLINE(name,i)"], "Mallory 666");
    assert_eq!(body["variables"]["CONNECTEDLINE(num,i)"], "+49301");
}

#[test]
fn each_step_of_a_dialled_call_is_told_once() {
    let mut desk = Desk::dialling();

    desk.dial_event("");
    desk.dial_event("RINGING");
    desk.hears(&format!(
        r#"{{"type":"ChannelStateChange","channel":{{"id":"{FAR}","state":"Ringing"}}}}"#
    ));
    desk.dial_event("PROGRESS");
    desk.dial_event("PROGRESS");
    desk.hears(&format!(
        r#"{{"type":"ChannelStateChange","channel":{{"id":"{FAR}","state":"Up"}}}}"#
    ));
    desk.dial_event("ANSWER");

    let told = [Event::Ringing(LEG), Event::Early(LEG), Event::Answered(LEG)];
    assert_eq!(desk.events(), told);
}

#[test]
fn the_cause_of_a_failed_call_is_told() {
    for (rings, q850, cause) in [
        (false, 17, Cause::Busy),
        (true, 19, Cause::NoAnswer),
        (true, 16, Cause::NoAnswer),
        (false, 18, Cause::NoAnswer),
        (true, 21, Cause::Rejected),
        (false, 1, Cause::NotFound),
        (false, 28, Cause::NotFound),
        (false, 3, Cause::Unreachable),
        (false, 20, Cause::Unreachable),
        (false, 34, Cause::Unreachable),
        (false, 127, Cause::Failed),
        (false, 0, Cause::Failed),
    ] {
        let mut desk = Desk::dialling();
        desk.dial_event("");
        if rings {
            desk.dial_event("RINGING");
            assert_eq!(desk.events(), [Event::Ringing(LEG)]);
        }

        desk.leaves(FAR);
        assert_eq!(desk.events(), NO_EVENTS, "the cause is to follow");
        desk.is_destroyed(FAR, q850);

        assert_eq!(desk.events(), [ended(cause)], "{q850}");
        assert_eq!(desk.sent(), [removal(AUDIO, 16), removal_of_mix()]);
    }
}

#[test]
fn a_number_that_the_dialplan_does_not_have_is_not_found() {
    let mut desk = Desk::dialling();

    desk.leaves(FAR);
    desk.is_destroyed(FAR, 16);

    assert_eq!(desk.events(), [ended(Cause::NotFound)]);
}

#[test]
fn a_cause_that_never_comes_is_not_waited_for() {
    let mut desk = Desk::dialling();
    desk.hears(&format!(
        r#"{{"type":"ChannelHangupRequest","cause":17,"channel":{{"id":"{FAR}"}}}}"#
    ));
    desk.leaves(FAR);

    desk.waits();

    assert_eq!(desk.events(), [ended(Cause::Busy)]);
}

#[test]
fn a_busy_tone_in_place_of_a_hangup_ends_the_call() {
    let mut desk = Desk::dialling();

    desk.dial_event("BUSY");

    assert_eq!(desk.events(), [ended(Cause::Busy)]);
    assert_eq!(
        desk.sent(),
        [removal(FAR, 17), removal(AUDIO, 16), removal_of_mix()]
    );
}

#[test]
fn a_hangup_removes_everything_the_far_end_first() {
    let mut desk = Desk::dialling();

    desk.tells(Command::HangUp {
        leg: LEG,
        cause: Cause::Cancelled,
    });
    desk.tells(Command::HangUp {
        leg: LEG,
        cause: Cause::Busy,
    });

    assert_eq!(desk.events(), [ended(Cause::Cancelled)]);
    assert_eq!(
        desk.sent(),
        [removal(FAR, 16), removal(AUDIO, 16), removal_of_mix()]
    );
}

#[test]
fn a_hangup_during_set_up_waits_for_what_is_being_made() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.sent();

    desk.tells(Command::HangUp {
        leg: LEG,
        cause: Cause::Cancelled,
    });
    assert_eq!(desk.events(), [ended(Cause::Cancelled)]);
    assert_eq!(desk.sent(), NOTHING);
    desk.answers(&far_request("600"), 200);

    assert_eq!(desk.sent(), [removal(FAR, 16)]);
    desk.starts(FAR);
    assert_eq!(desk.events(), NO_EVENTS, "it is no incoming call");
}

#[test]
fn what_asterisk_refuses_to_make_ends_the_leg() {
    for (request, cause) in [
        (far_request("600"), Cause::Unreachable),
        (audio_request(), Cause::Failed),
        (mix_request(), Cause::Failed),
    ] {
        let mut desk = Desk::up();
        desk.dials("600");

        desk.answers(&request, 500);

        assert_eq!(desk.events(), [ended(cause)], "{request}");
        for other in [far_request("600"), audio_request(), mix_request()] {
            if other != request {
                desk.answers(&other, 200);
            }
        }
        assert_eq!(
            desk.sent()
                .iter()
                .filter(|sent| sent.starts_with("DELETE"))
                .count(),
            2
        );
    }
}

#[test]
fn a_request_without_an_answer_may_have_been_obeyed() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.sent();

    desk.fails(&far_request("600"), Failure::Timeout);

    assert_eq!(desk.events(), [ended(Cause::Unreachable)]);
    assert_eq!(desk.sent(), [removal(FAR, 20)]);
}

#[test]
fn the_loss_of_the_sound_ends_the_call() {
    let mut desk = Desk::talking();

    desk.leaves(AUDIO);

    assert_eq!(desk.events(), [ended(Cause::Lost)]);
    assert_eq!(desk.sent(), [removal(FAR, 38), removal_of_mix()]);
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
fn a_telephone_does_not_ring_for_ever() {
    let mut desk = Desk::dialling();

    desk.waits();

    assert_eq!(desk.events(), [ended(Cause::NoAnswer)]);
    assert!(desk.now - desk.start > Duration::from_secs(60));
    let mut desk = Desk::with_incoming();
    desk.waits();
    assert_eq!(desk.events(), [ended(Cause::NoAnswer)]);
    assert_eq!(desk.sent(), [removal("a1", 19)]);
}

#[test]
fn a_set_up_that_does_not_end_is_given_up() {
    let mut desk = Desk::up();
    desk.dials("600");

    desk.waits();

    assert_eq!(desk.events(), [ended(Cause::Failed)]);
}

#[test]
fn only_digits_can_be_dialled() {
    for number in [
        "",
        "s",
        "h",
        "600&PJSIP/x",
        "600@other",
        "600/n",
        "0123456789012345678901234567890123",
    ] {
        let mut desk = Desk::up();

        desk.dials(number);

        assert_eq!(desk.events(), [ended(Cause::NotFound)], "{number}");
        assert_eq!(desk.sent(), NOTHING);
    }
}

#[test]
fn nothing_is_dialled_without_asterisk() {
    let mut desk = Desk::new();

    desk.dials("600");

    assert_eq!(desk.events(), [ended(Cause::Unreachable)]);
    assert_eq!(desk.sent(), NOTHING);
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

#[test]
fn digits_go_both_ways_once_there_is_someone() {
    let mut desk = Desk::dialling();
    desk.dial_event("ANSWER");
    desk.events();

    desk.hears(&format!(
        r##"{{"type":"ChannelDtmfReceived","digit":"#","channel":{{"id":"{FAR}"}}}}"##
    ));
    desk.hears(&format!(
        r#"{{"type":"ChannelDtmfReceived","digit":"5","channel":{{"id":"{AUDIO}"}}}}"#
    ));
    desk.tells(Command::Dtmf {
        leg: LEG,
        digits: "42#".into(),
    });
    desk.tells(Command::Dtmf {
        leg: LEG,
        digits: "4x".into(),
    });
    desk.tells(Command::Dtmf {
        leg: LEG,
        digits: "1".repeat(33),
    });

    assert_eq!(
        desk.events(),
        [Event::Digit {
            leg: LEG,
            digit: '#'
        }]
    );
    assert_eq!(
        desk.sent(),
        [format!("POST /channels/{FAR}/dtmf?dtmf=42%23")]
    );
}

#[test]
fn a_string_of_digits_goes_out_with_its_pauses() {
    let mut desk = Desk::talking();
    desk.sent();

    for digits in ["1w2ww3#", "1x", ""] {
        let digits = digits.into();
        desk.tells(Command::Dtmf { leg: LEG, digits });
    }

    let sent = format!("POST /channels/{FAR}/dtmf?dtmf=1w2ww3%23");
    assert_eq!(desk.sent(), [sent]);
}

#[test]
fn hold_goes_both_ways() {
    let mut desk = Desk::talking();

    desk.hears(&format!(
        r#"{{"type":"ChannelHold","channel":{{"id":"{FAR}"}}}}"#
    ));
    desk.hears(&format!(
        r#"{{"type":"ChannelUnhold","channel":{{"id":"{FAR}"}}}}"#
    ));
    desk.tells(Command::Hold(LEG));
    desk.tells(Command::Resume(LEG));

    let told = [true, false].map(|held| Event::Held { leg: LEG, held });
    assert_eq!(desk.events(), told);
    let hold = format!("/channels/{FAR}/hold");
    assert_eq!(
        desk.sent(),
        [format!("POST {hold}"), format!("DELETE {hold}")]
    );
}

#[test]
fn a_transferred_telephone_stays_the_same_leg() {
    let mut desk = Desk::talking();

    desk.hears(&format!(
        r#"{{"type":"StasisStart","args":[],"channel":{{"id":"b1","state":"Up"}},
        "replace_channel":{{"id":"{FAR}"}}}}"#
    ));
    desk.leaves(FAR);
    desk.is_destroyed(FAR, 16);

    assert_eq!(desk.events(), NO_EVENTS);
    desk.sent();
    desk.tells(Command::HangUp {
        leg: LEG,
        cause: Cause::Normal,
    });
    assert_eq!(desk.sent()[0], removal("b1", 16));
}

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
