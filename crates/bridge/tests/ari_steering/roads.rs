//! By which way the sound of a leg goes.

use crate::desk::*;
use moqrelay_bridge::ari::{Calls, Choice, Command, Event, Road, RoadRule};
use moqrelay_bridge::{Codec, Site, Way};
use moqrelay_wire::signal::Cause;

#[test]
fn by_websocket_the_bridge_is_told_where_to_go() {
    let mut desk = Desk::by_websocket();
    desk.dials("600");
    desk.makes_far();

    desk.gives(
        &websocket_request(),
        200,
        r#"{"id":"x","channelvars":{"MEDIA_WEBSOCKET_CONNECTION_ID":"4f2c"}}"#,
    );

    let way = Way::WebSocket {
        site: Site {
            host: "127.0.0.1:8088".into(),
            tls: None,
        },
        connection: "4f2c".into(),
    };
    assert_eq!(desk.events(), [Event::Reach { leg: LEG, way }]);
}

#[test]
fn by_rtp_the_bridge_is_told_which_port_asterisk_has() {
    let mut desk = Desk::choosing(Choice::Fixed(Road::Rtp, Codec::Alaw));
    desk.dials("600");
    desk.makes_far();

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
    desk.makes_far();

    let plan = desk.chosen.take().unwrap();
    assert_eq!((plan.road, plan.codec), (Road::WebSocket, Codec::Opus));
    assert!(plan.why.contains("number"), "{}", plan.why);
    assert!(desk.sent().contains(&websocket_request()));

    let mut desk = Desk::ruled(Choice::default(), &rules);
    desk.dials("700");
    desk.makes_far();
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
    desk.makes_far();

    desk.gives(&websocket_request(), 200, r#"{"id":"x"}"#);

    assert_eq!(desk.events(), [ended(Cause::Failed)]);
}
