//! How a call to a telephone is set up: the far channel first, then the sound.

use crate::desk::*;
use moqrelay_bridge::ari::{Command, Event, Failure};
use moqrelay_wire::signal::Cause;

#[test]
fn a_number_is_dialled_when_all_is_joined() {
    let mut desk = Desk::up();

    desk.dials("600");
    let far = far_request("600");
    assert_eq!(
        desk.sent(),
        std::slice::from_ref(&far),
        "a record's first channel"
    );
    desk.answers(&far, 200);
    assert_eq!(desk.sent(), [mix_request(), audio_request()]);
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
fn a_far_channel_that_starts_before_the_answer_to_its_making_gets_its_sound_once() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.sent();

    desk.starts(FAR);
    assert_eq!(desk.sent(), NOTHING);
    desk.makes_far();
    assert_eq!(desk.sent(), [mix_request(), audio_request()]);
    desk.starts(FAR);
    assert_eq!(desk.sent(), NOTHING);
    desk.answers(&mix_request(), 200);
    desk.starts(AUDIO);
    desk.answers(&audio_request(), 200);

    assert_eq!(desk.sent(), [join_request(FAR)]);
}

#[test]
fn nothing_is_heard_of_a_telephone_before_it_is_dialled() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.starts(FAR);
    desk.makes_far();

    for status in ["RINGING", "PROGRESS", "ANSWER", "BUSY"] {
        desk.dial_event(status);
    }
    desk.hears(&format!(
        r#"{{"type":"ChannelStateChange","channel":{{"id":"{FAR}","state":"Up"}}}}"#
    ));

    assert_eq!(desk.events(), NO_EVENTS);
}

#[test]
fn a_far_channel_that_leaves_before_its_sound_is_made_gets_none() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.starts(FAR);
    desk.sent();

    desk.leaves(FAR);
    desk.makes_far();
    assert_eq!(desk.sent(), NOTHING);
    assert_eq!(desk.events(), NO_EVENTS, "the cause is to follow");
    desk.is_destroyed(FAR, 3);

    assert_eq!(desk.events(), [ended(Cause::Unreachable)]);
    assert_eq!(desk.sent(), NOTHING);
    assert!(desk.steering.is_clean());
}

#[test]
fn a_far_channel_that_is_gone_before_the_answer_to_its_making_leaves_nothing_behind() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.sent();

    desk.leaves(FAR);
    desk.is_destroyed(FAR, 17);
    assert_eq!(desk.events(), [ended(Cause::Busy)]);
    desk.makes_far();

    assert_eq!(desk.sent(), NOTHING);
    assert!(desk.steering.is_clean());
}

#[test]
fn a_far_channel_that_leaves_while_its_sound_is_made_takes_it_along() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.makes_far();
    desk.starts(FAR);
    desk.sent();

    desk.leaves(FAR);
    desk.is_destroyed(FAR, 3);

    assert_eq!(desk.events(), [ended(Cause::Unreachable)]);
    assert_eq!(desk.sent(), NOTHING);
    desk.answers(&audio_request(), 200);
    desk.answers(&mix_request(), 200);
    assert_eq!(desk.sent(), [removal(AUDIO, 16), removal_of_mix()]);
}

#[test]
fn a_leg_whose_far_channel_did_not_outlive_asterisk_ends_without_sound() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.sent();

    desk.steering.handle_disconnected();
    desk.fails(&far_request("600"), Failure::Unreachable);
    assert_eq!(desk.events(), [Event::Down, ended(Cause::Unreachable)]);
    // It may have been obeyed before the end.
    assert_eq!(desk.sent(), [removal(FAR, 20)]);
    desk.fails(&removal(FAR, 20), Failure::Unreachable);
    desk.connects(&[], &[]);
    desk.answers(&removal(FAR, 20), 404);

    assert!(desk.steering.is_clean());
}

#[test]
fn a_leg_whose_sound_did_not_outlive_asterisk_ends() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.makes_far();
    desk.answers(&mix_request(), 200);
    desk.answers(&audio_request(), 200);
    desk.sent();

    desk.steering.handle_disconnected();
    desk.connects(&[], &[]);

    let told = [Event::Down, Event::Up, ended(Cause::Unreachable)];
    assert_eq!(desk.events(), told);
    let gone = [removal(FAR, 20), removal(AUDIO, 16), removal_of_mix()];
    assert_eq!(desk.sent(), gone);
}

#[test]
fn the_sound_is_made_though_the_connection_is_lost_meanwhile() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.sent();

    desk.steering.handle_disconnected();
    desk.makes_far();
    assert_eq!(desk.sent(), [mix_request(), audio_request()]);
    desk.answers(&mix_request(), 200);
    desk.answers(&audio_request(), 200);
    desk.connects(&[(FAR, "Down", ""), (AUDIO, "Up", "")], &[MIX]);

    assert_eq!(desk.sent(), [join_request(FAR)]);
    assert_eq!(desk.events(), [Event::Down, Event::Up]);
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
    desk.makes_far();

    assert_eq!(desk.sent(), [removal(FAR, 16)]);
    desk.starts(FAR);
    assert_eq!(desk.events(), NO_EVENTS, "it is no incoming call");
}

#[test]
fn a_hangup_while_the_sound_is_made_removes_the_far_channel_at_once() {
    let mut desk = Desk::up();
    desk.dials("600");
    desk.makes_far();
    desk.starts(FAR);
    desk.sent();

    desk.tells(Command::HangUp {
        leg: LEG,
        cause: Cause::Cancelled,
    });

    assert_eq!(desk.events(), [ended(Cause::Cancelled)]);
    assert_eq!(desk.sent(), [removal(FAR, 16)]);
    desk.answers(&mix_request(), 200);
    assert_eq!(desk.sent(), [removal_of_mix()]);
    desk.answers(&audio_request(), 200);
    assert_eq!(desk.sent(), [removal(AUDIO, 16)]);
    for request in [removal(FAR, 16), removal_of_mix(), removal(AUDIO, 16)] {
        desk.answers(&request, 204);
    }
    assert!(desk.steering.is_clean());
}

#[test]
fn a_far_channel_that_asterisk_refuses_to_make_ends_the_leg_and_nothing_else_was_made() {
    for status in [400, 409, 500] {
        let mut desk = Desk::up();
        desk.dials("600");
        desk.sent();

        desk.answers(&far_request("600"), status);

        assert_eq!(desk.events(), [ended(Cause::Unreachable)], "{status}");
        assert_eq!(desk.sent(), NOTHING, "{status}");
        assert!(desk.steering.is_clean(), "{status}");
    }
}

#[test]
fn a_sound_that_asterisk_refuses_to_make_hangs_the_far_channel_up() {
    let (mix, audio) = (mix_request(), audio_request());
    for (refused, made, gone) in [
        (&mix, &audio, removal(AUDIO, 16)),
        (&audio, &mix, removal_of_mix()),
    ] {
        let mut desk = Desk::up();
        desk.dials("600");
        desk.makes_far();
        desk.sent();

        desk.answers(refused, 500);

        assert_eq!(desk.events(), [ended(Cause::Failed)], "{refused}");
        assert_eq!(desk.sent(), [removal(FAR, 38)], "{refused}");
        desk.answers(made, 200);
        assert_eq!(desk.sent(), [gone], "{refused}");
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
fn a_set_up_that_does_not_end_is_given_up() {
    for far_is_made in [false, true] {
        let mut desk = Desk::up();
        desk.dials("600");
        if far_is_made {
            desk.makes_far();
        }
        desk.sent();

        desk.waits();

        assert_eq!(desk.events(), [ended(Cause::Failed)]);
        let gone = far_is_made.then(|| removal(FAR, 38));
        assert_eq!(desk.sent(), Vec::from_iter(gone));
    }
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
