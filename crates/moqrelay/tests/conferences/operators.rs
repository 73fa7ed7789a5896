//! Rooms by the operators' port.

use serde_json::{Value, json};

use crate::{
    config,
    page::{Page, request},
    program::{Daemon, Folder},
    two,
};

#[tokio::test]
async fn a_room_is_set_up_entered_seen_and_deleted() {
    let folder = Folder::new();
    let daemon = Daemon::start(&config(&folder), &[], &[]).await;
    let spec = json!({ "name": "plan", "title": "Planning", "number": "7850", "pin": "2468", "people_max": 1, "announce": "off" });
    let loud = json!({ "name": "loud", "announce": "loud" });

    assert_eq!(ask(&daemon, "POST", "/api/v1/rooms", &loud).await.0, 400);
    assert_eq!(ask(&daemon, "POST", "/api/v1/rooms", &spec).await.0, 204);
    assert_eq!(ask(&daemon, "POST", "/api/v1/rooms", &spec).await.0, 409);
    let mut anna = Page::guest(&daemon, "Anna").await;
    let refused = anna.try_join(json!({ "room": "7850" })).await;
    assert_eq!(refused.unwrap_err(), "pin_required");
    let join = json!({ "room": "plan", "pin": "2468" });
    let joined = anna.try_join(join.clone()).await.unwrap();
    let mut bert = Page::guest(&daemon, "Bert").await;
    assert_eq!(bert.try_join(join).await.unwrap_err(), "full");

    let (status, rooms) = ask(&daemon, "GET", "/api/v1/rooms", &Value::Null).await;
    assert_eq!(status, 200);
    let rooms = rooms["rooms"].as_array().unwrap().clone();
    let plan = rooms.iter().find(|it| it["name"] == "plan").unwrap();
    let id = &joined["room"]["id"];
    assert_eq!(
        *plan,
        json!({ "name": "plan", "title": "Planning", "number": "7850", "pin": true, "host_pin": false, "lobby": false,
                "people_max": 1, "announce": "off", "id": id, "people": 1 })
    );
    let (_, roster) = ask(&daemon, "GET", "/api/v1/rooms/plan", &Value::Null).await;
    assert_eq!(roster["people"][0]["name"], "Anna");
    let (_, nobody) = ask(&daemon, "GET", "/api/v1/rooms/den", &Value::Null).await;
    assert_eq!(nobody, Value::Null);
    assert_eq!(
        ask(&daemon, "DELETE", "/api/v1/rooms/plan", &Value::Null)
            .await
            .0,
        204
    );
    assert_eq!(anna.event("room_left", |_| true).await["why"], "ended");
    assert_eq!(
        ask(&daemon, "GET", "/api/v1/rooms/plan", &Value::Null)
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn operators_do_what_hosts_do_and_open_no_microphone() {
    let (_folder, daemon, mut anna, mut bert) = two().await;
    let acts = "/api/v1/rooms/board/acts";

    let mute = |muted| json!({ "act": "mute", "participant": "p2", "muted": muted });
    assert_eq!(ask(&daemon, "POST", acts, &mute(true)).await.0, 204);
    assert_eq!(ask(&daemon, "POST", acts, &mute(false)).await.0, 409);
    let event = anna
        .event("room_event", |it| it["event"]["type"] == "muted")
        .await;
    assert_eq!(event["event"].get("by"), None);
    let say = json!({ "act": "say", "text": "hello" });
    assert_eq!(ask(&daemon, "POST", acts, &say).await.0, 400);
    let nobody = json!({ "act": "remove", "participant": "p9" });
    assert_eq!(ask(&daemon, "POST", acts, &nobody).await.0, 404);
    let remove = json!({ "act": "remove", "participant": "p2" });
    assert_eq!(ask(&daemon, "POST", acts, &remove).await.0, 204);
    assert_eq!(bert.event("room_left", |_| true).await["why"], "removed");
}

#[tokio::test]
async fn rooms_that_operators_set_up_are_there_after_a_restart() {
    let folder = Folder::new();
    let path = config(&folder);
    let text = std::fs::read_to_string(&path).unwrap();
    let file = format!(
        "[rooms]\nfile = \"{}\"\n[[rooms.room]]",
        folder.path("rooms.json")
    );
    let path = folder.write("kept.toml", &text.replacen("[[rooms.room]]", &file, 1));
    let mut daemon = Daemon::start(&path, &[], &[]).await;
    for name in ["plan", "past"] {
        let spec = json!({ "name": name, "pin": "2468", "host_pin": "13579" });
        assert_eq!(ask(&daemon, "POST", "/api/v1/rooms", &spec).await.0, 204);
    }
    let past = "/api/v1/rooms/past";
    assert_eq!(ask(&daemon, "DELETE", past, &Value::Null).await.0, 204);

    daemon.signal("TERM");
    assert_eq!(daemon.end().await, Some(0));
    let daemon = Daemon::start(&path, &[], &[]).await;

    assert_eq!(ask(&daemon, "GET", past, &Value::Null).await.0, 404);
    let mut anna = Page::guest(&daemon, "Anna").await;
    let mut bert = Page::guest(&daemon, "Bert").await;
    let join = |pin: &str| json!({ "room": "plan", "pin": pin });
    assert_eq!(anna.try_join(join("1111")).await.unwrap_err(), "pin_wrong");
    assert_eq!(anna.try_join(join("2468")).await.unwrap()["role"], "host");
    assert_eq!(bert.try_join(join("13579")).await.unwrap()["role"], "host");
    let wrong = json!({ "name": "same", "pin": "2468", "host_pin": "2468" });
    assert_eq!(ask(&daemon, "POST", "/api/v1/rooms", &wrong).await.0, 400);
}

#[tokio::test]
async fn what_is_no_room_is_refused_with_words() {
    let folder = Folder::new();
    let daemon = Daemon::start(&config(&folder), &[], &[]).await;

    for wrong in [
        json!({}),
        json!({ "name": "Plan" }),
        json!({ "name": "plan", "pin": "1" }),
        json!({ "name": "plan", "number": "x" }),
        json!({ "name": "plan", "title": "\u{7}" }),
        json!({ "name": "plan", "colour": "blue" }),
    ] {
        let (status, fault) = ask(&daemon, "POST", "/api/v1/rooms", &wrong).await;
        assert_eq!(status, 400, "{wrong}");
        assert!(fault["reason"].is_string(), "{fault}");
    }
    // Not for the public.
    let (head, _) = request(daemon.http, "GET", "/api/v1/rooms", "", b"").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

pub async fn ask(daemon: &Daemon, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let (head, answer) = request(daemon.metrics, method, path, "", body.as_bytes()).await;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_slice(&answer).unwrap_or_default())
}
