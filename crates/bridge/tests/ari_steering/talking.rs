//! Calls that were answered.

use crate::desk::*;
use moqrelay_bridge::ari::{Command, Event};
use moqrelay_wire::signal::Cause;

#[test]
fn the_loss_of_the_sound_ends_the_call() {
    let mut desk = Desk::talking();

    desk.leaves(AUDIO);

    assert_eq!(desk.events(), [ended(Cause::Lost)]);
    assert_eq!(desk.sent(), [removal(FAR, 38), removal_of_mix()]);
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
