//! What becomes of a call to a telephone once it is dialled.

use std::time::Duration;

use crate::desk::*;
use moqrelay_bridge::ari::{Command, Event};
use moqrelay_wire::signal::Cause;

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
