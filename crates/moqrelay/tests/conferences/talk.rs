//! Chat, signs, and what hosts do.

use std::time::Duration;

use bytes::Bytes;
use moqrelay_moqt::{
    AuthToken, Parameters, PublishOptions, Token, TrackAlias,
    data::{ObjectDatagram, ObjectStatus},
};
use moqrelay_wire::audio_object::{Level, Properties, track_properties};
use serde_json::{Value, json};

use crate::{
    common::{
        peer::{Peer, Via},
        track,
    },
    page::Page,
    program::Daemon,
    two,
};

#[tokio::test]
async fn what_is_said_reaches_all_or_the_one_it_is_for_and_who_comes_later() {
    let (_folder, daemon, mut anna, mut bert) = two().await;
    let mut carl = Page::guest(&daemon, "Carl").await;
    carl.join("board").await;

    anna.act(json!({ "act": "say", "text": "to all" }))
        .await
        .unwrap();
    let private = json!({ "act": "say", "text": "to Bert", "to": "p2" });
    anna.act(private).await.unwrap();
    anna.act(json!({ "act": "react", "emoji": "👍🏽" }))
        .await
        .unwrap();

    for page in [&mut anna, &mut bert] {
        assert_eq!(said(page).await, ("to all".into(), Value::Null));
        assert_eq!(said(page).await, ("to Bert".into(), json!("p2")));
    }
    assert_eq!(said(&mut carl).await, ("to all".into(), Value::Null));
    let sign = carl.event("reaction", |_| true).await;
    assert_eq!(
        (&sign["from"], &sign["emoji"]),
        (&json!("p1"), &json!("👍🏽"))
    );
    let mut dora = Page::guest(&daemon, "Dora").await;
    let joined = dora.join("board").await;
    let texts: Vec<&Value> = joined["chat"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["text"])
        .collect();
    assert_eq!(texts, ["to all"]);
}

#[tokio::test]
async fn hostile_text_is_cut_and_talk_that_is_too_fast_refused() {
    let (_folder, _daemon, mut anna, mut bert) = two().await;

    let hostile = "<b>\u{202e}x\u{0}\u{7}\u{feff}</b>".to_owned() + &"y".repeat(5000);
    anna.act(json!({ "act": "say", "text": hostile }))
        .await
        .unwrap();
    let nothing = json!({ "act": "say", "text": "\u{202e}\u{200b}\n" });
    assert_eq!(anna.act(nothing).await.unwrap_err(), "bad_message");
    let letters = json!({ "act": "react", "emoji": "hello" });
    assert_eq!(anna.act(letters).await.unwrap_err(), "bad_message");

    let (text, _) = said(&mut bert).await;
    assert!(text.starts_with("<b>x</b>yyy"), "{text:.20}");
    assert_eq!(text.chars().count(), 2000);
    let mut refused = None;
    for n in 0..20 {
        let said = anna
            .act(json!({ "act": "say", "text": format!("{n}") }))
            .await;
        if let Err(code) = said {
            refused = Some(code);
            break;
        }
    }
    assert_eq!(refused.as_deref(), Some("rate_limited"));
    bert.act(json!({ "act": "say", "text": "I may" }))
        .await
        .unwrap();
}

#[tokio::test]
async fn levels_holds_and_video_are_in_the_roster_and_events_say_who_did_it() {
    let (_folder, _daemon, mut anna, mut bert) = two().await;

    let level = json!({ "act": "level", "participant": "p2", "db": -6 });
    assert_eq!(bert.act(level.clone()).await.unwrap_err(), "not_host");
    anna.act(level).await.unwrap();
    bert.act(json!({ "act": "hold", "held": true }))
        .await
        .unwrap();
    bert.act(json!({ "act": "video", "camera": true, "screen": false }))
        .await
        .unwrap();
    anna.act(json!({ "act": "lobby", "lobby": true }))
        .await
        .unwrap();
    anna.act(json!({ "act": "mute_all" })).await.unwrap();

    let event = bert
        .event("room_event", |it| it["event"]["type"] == "level")
        .await;
    assert_eq!(event["event"]["by"], "p1");
    let people = bert.roster(|people| people[1]["muted"] == true).await;
    assert_eq!(people[1]["level_db"], -6);
    assert_eq!(people[1]["held"], true);
    assert_eq!(people[1]["video"], json!(["camera"]));
    assert_eq!(people[0]["muted"], false);
}

#[tokio::test]
async fn any_moq_client_with_the_token_reads_roster_and_chat() {
    let (_folder, daemon, mut anna, bert) = two().await;
    let room = bert.joined["room"]["id"].as_str().unwrap().to_owned();
    anna.act(json!({ "act": "say", "text": "hello" }))
        .await
        .unwrap();
    let mut peer = by_token(&daemon, &bert).await;

    let roster = track(&format!("room/{room}"), "roster");
    peer.subscribed(&roster, Parameters::default()).await;
    anna.act(json!({ "act": "hand", "participant": "p1", "raised": true }))
        .await
        .unwrap();
    let roster = loop {
        let (_, _, payload) = peer.object().await;
        let roster: Value = serde_json::from_slice(&payload).unwrap();
        if roster["people"][0]["hand"] == 1 {
            break roster;
        }
    };
    assert_eq!(roster["people"][1]["name"], "Bert");
    let chat = track(&format!("room/{room}"), "chat");
    peer.subscribed(&chat, Parameters::default()).await;
    anna.act(json!({ "act": "say", "text": "again" }))
        .await
        .unwrap();
    loop {
        let (_, _, payload) = peer.object().await;
        let object: Value = serde_json::from_slice(&payload).unwrap();
        if let Some(messages) = object["messages"].as_array() {
            let texts: Vec<&Value> = messages.iter().map(|it| &it["text"]).collect();
            assert_eq!(texts, ["hello", "again"]);
            break;
        }
    }
}

async fn said(page: &mut Page) -> (String, Value) {
    let event = page.event("chat", |_| true).await;
    let message = &event["message"];
    assert_eq!(message["from"], "p1");
    assert_eq!(message["name"], "Anna");
    (
        message["text"].as_str().unwrap().to_owned(),
        message["to"].clone(),
    )
}

#[tokio::test]
async fn how_well_a_page_hears_is_in_everyones_roster_in_halves() {
    let (_folder, _daemon, mut anna, mut bert) = two().await;

    let quality = |mos: f64| json!({ "act": "quality", "mos": mos });
    bert.act(quality(3.9)).await.unwrap();
    let people = anna.roster(|people| of(people, 1)["quality"] == 4.0).await;
    assert_eq!(people[0].get("quality"), None);
    assert_eq!(people[0]["speaking"], false);
    bert.act(quality(4.1)).await.unwrap();
    bert.act(quality(1.2)).await.unwrap();
    let people = anna.roster(|people| of(people, 1)["quality"] != 4.0).await;

    assert_eq!(people[1]["quality"], 1.0);
    let nothing = json!({ "act": "quality", "mos": "good" });
    assert_eq!(bert.act(nothing).await.unwrap_err(), "bad_message");
}

#[tokio::test]
async fn who_speaks_is_in_everyones_roster_until_it_is_silent() {
    let (_folder, daemon, mut anna, bert) = two().await;
    let room = bert.joined["room"]["id"].as_str().unwrap().to_owned();
    let mut ear = by_token(&daemon, &anna).await;
    let seat = track(&format!("room/{room}/s1"), "audio");
    ear.subscribed(&seat, Parameters::default()).await;
    let mut mouth = by_token(&daemon, &bert).await;
    let own = track(&format!("room/{room}/p2"), "audio");
    let properties = PublishOptions {
        properties: track_properties(),
        ..PublishOptions::default()
    };
    let (_, alias) = mouth.publish(&own, properties).await;

    let speaks = |people: &[Value]| of(people, 1)["speaking"] == true;
    tokio::select! {
        _ = anna.roster(speaks) => {}
        () = talk(&mouth, alias) => {}
    }
    let people = anna
        .roster(|people| of(people, 1)["speaking"] == false)
        .await;

    assert_eq!(people[0]["speaking"], false);
}

/// Returns one of a roster, which may not be there yet.
fn of(people: &[Value], at: usize) -> &Value {
    people.get(at).unwrap_or(&Value::Null)
}

/// A MoQ client with the token of a page.
async fn by_token(daemon: &Daemon, page: &Page) -> Peer {
    let token = page.joined["media"]["token"].as_str().unwrap().to_owned();
    Peer::connect_with(daemon.moq, Via::WebTransport, |config| {
        config.authorization = vec![Token::UseValue(AuthToken {
            token_type: 0,
            value: token.into(),
        })];
    })
    .await
}

/// Speaks for as long as somebody waits for it: a packet every 20 ms, as loud as speech and no steadier.
async fn talk(mouth: &Peer, alias: TrackAlias) {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for number in 0u64.. {
        pace.tick().await;
        let level = Level {
            below_overload_db: 30 + u8::try_from(number % 12).unwrap(),
            voice: true,
        };
        let properties = Properties {
            timestamp: Some(number * 960),
            level: Some(level),
            ..Properties::default()
        };
        mouth.datagram(&ObjectDatagram {
            alias,
            group: number,
            id: 0,
            priority: None,
            end_of_group: false,
            properties: properties.to_bytes(),
            status: ObjectStatus::Normal,
            payload: Bytes::from_static(&[0xfc; 40]),
        });
    }
}
