//! Transfers that telephones ask for (SIP's REFER), without Asterisk and without sockets.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[expect(unreachable_pub, dead_code, reason = "a module of a test")]
mod desk;

use desk::*;
use moqrelay_bridge::ari::{Command, Event, LegId, TransferProgress};
use moqrelay_wire::signal::Cause;

const OTHER_LEG: LegId = LegId(2);

#[test]
fn only_a_sip_telephone_is_asked_to_leave_its_transfers_to_us() {
    for (name, asked) in [("PJSIP/alice-1", true), ("Local/7@x-1;2", false)] {
        let mut desk = Desk::up();
        arrives(&mut desk, "a1", name);

        let call = call("a1");
        desk.tells(Command::Adopt { call, leg: LEG });

        let expected = "POST /channels/a1/variable\
            ?variable=PJSIP_TRANSFER_HANDLING%28%29&value=ari-only";
        assert_eq!(desk.sent() == [expected], asked, "{name}");
    }
}

#[test]
fn a_telephone_that_transfers_to_a_number_is_told_how_it_goes() {
    let mut desk = with_telephone();

    desk.hears(&refer(
        "a1",
        r#"{"requested_destination":{"destination":"7002"}}"#,
    ));

    let to = "7002".into();
    assert_eq!(desk.events(), [Event::Transfers { leg: LEG, to }]);
    for (progress, state) in [
        (TransferProgress::Ringing, "channel_progress"),
        (TransferProgress::Failed(Cause::Busy), "channel_unavailable"),
        (
            TransferProgress::Failed(Cause::Rejected),
            "channel_declined",
        ),
        (TransferProgress::Answered, "channel_answered"),
    ] {
        desk.tells(Command::Transfer { leg: LEG, progress });
        assert_eq!(desk.sent(), [report(state)]);
    }
}

#[test]
fn a_telephone_hears_that_its_transfer_is_done_before_it_is_hung_up() {
    let mut desk = with_telephone();
    let progress = TransferProgress::Answered;
    desk.tells(Command::Transfer { leg: LEG, progress });
    desk.sent();

    let cause = Cause::Transferred;
    desk.tells(Command::HangUp { leg: LEG, cause });
    assert_eq!(desk.sent(), NOTHING);
    desk.answers(&report("channel_answered"), 204);

    assert_eq!(desk.sent(), [removal("a1", 16)]);
    assert_eq!(desk.events(), [ended(cause)]);
}

#[test]
fn a_telephone_connects_two_of_its_calls() {
    let mut desk = with_telephone();
    arrives(&mut desk, "a2", "PJSIP/alice-2");
    let Some(Event::Incoming(second)) = desk.events().pop() else {
        panic!("no second call")
    };
    desk.tells(Command::Adopt {
        call: second.call,
        leg: OTHER_LEG,
    });

    let other =
        r#"{"requested_destination":{"protocol_id":"x"},"destination_channel":{"id":"a2"}}"#;
    desk.hears(&refer("a1", other));

    let (leg, with) = (LEG, OTHER_LEG);
    assert_eq!(desk.events(), [Event::Connects { leg, with }]);
}

#[test]
fn a_call_that_is_not_ours_cannot_be_connected() {
    for to in [
        r#"{"requested_destination":{"protocol_id":"x"},"destination_channel":{"id":"z9"}}"#,
        r#"{"requested_destination":{"protocol_id":"x"}}"#,
        r#"{"requested_destination":{}}"#,
    ] {
        let mut desk = with_telephone();

        desk.hears(&refer("a1", to));

        assert_eq!(desk.events(), NO_EVENTS);
        assert_eq!(desk.sent(), [report("channel_unavailable")]);
    }
}

#[test]
fn transfers_of_strangers_are_none_of_our_business() {
    let mut desk = with_telephone();

    desk.hears(&refer(
        "z9",
        r#"{"requested_destination":{"destination":"7002"}}"#,
    ));
    desk.hears(r#"{"type":"ChannelTransfer"}"#);
    // What we have told comes back.
    desk.hears(
        r#"{"type":"ChannelTransfer","state":"channel_progress",
        "refer_to":{"requested_destination":{"destination":"7002"}},
        "referred_by":{"source_channel":{"id":"a1"}}}"#,
    );

    assert_eq!(desk.events(), NO_EVENTS);
    assert_eq!(desk.sent(), NOTHING);
}

/// An adopted call of a SIP telephone.
fn with_telephone() -> Desk {
    let mut desk = Desk::up();
    arrives(&mut desk, "a1", "PJSIP/alice-1");
    let call = call("a1");
    desk.tells(Command::Adopt { call, leg: LEG });
    desk.events();
    desk.sent();
    desk
}

fn arrives(desk: &mut Desk, channel: &str, name: &str) {
    desk.hears(&format!(
        r#"{{"type":"StasisStart","args":["7001"],"channel":{{"id":"{channel}","name":"{name}"}}}}"#
    ));
}

fn refer(channel: &str, to: &str) -> String {
    format!(
        r#"{{"type":"ChannelTransfer","refer_to":{to},
        "referred_by":{{"source_channel":{{"id":"{channel}"}}}}}}"#
    )
}

fn report(state: &str) -> String {
    format!("POST /channels/a1/transfer_progress?states={state}")
}
