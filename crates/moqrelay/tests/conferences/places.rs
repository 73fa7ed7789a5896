//! Coming in, being lost, coming back.

use serde_json::{Value, json};

use crate::{
    config,
    page::Page,
    program::{Daemon, Folder},
    two,
};

fn names(people: &[Value]) -> Vec<&str> {
    people
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn who_joins_is_in_everyone_s_roster_and_who_leaves_is_told_once() {
    let (_folder, _daemon, mut anna, mut bert) = two().await;
    let room = anna.joined["room"]["id"].clone();

    assert_eq!(anna.joined["role"], "host");
    assert_eq!(bert.joined["role"], "speaker");
    assert_eq!(bert.joined["state"], "here");
    let namespace = json!(["room", room, "p2"]);
    assert_eq!(bert.joined["media"]["namespace"], namespace);
    let people = anna.roster(|people| people.len() == 2).await;
    assert_eq!(names(&people), ["Anna", "Bert"]);
    let leave = json!({ "type": "leave", "room": room });
    bert.ask(leave.clone()).await.unwrap();

    let left = bert.event("room_left", |_| true).await;
    assert_eq!(left["why"], "left");
    assert_eq!(bert.ask(leave).await.unwrap_err(), "no_such_room");
    let event = anna.event("room_event", |event| event["event"]["type"] == "left");
    assert_eq!(event.await["event"]["by"], "p2");
    let people = anna.roster(|people| people.len() == 1).await;
    assert_eq!(names(&people), ["Anna"]);
}

#[tokio::test]
async fn refusals_say_what_is_missing() {
    let folder = Folder::new();
    let daemon = Daemon::start(&config(&folder), &[], &[]).await;
    let mut anna = Page::guest(&daemon, "Anna").await;
    let mut bert = Page::guest(&daemon, "Bert").await;

    let refused = bert.try_join(json!({ "room": "den" })).await;
    assert_eq!(refused.unwrap_err(), "pin_required");
    let wrong = json!({ "room": "7820", "pin": "4712" });
    assert_eq!(bert.try_join(wrong).await.unwrap_err(), "pin_wrong");
    let refused = bert.try_join(json!({ "room": "No such_room" })).await;
    assert_eq!(refused.unwrap_err(), "no_such_room");
    // By its number, and with the PIN.
    let joined = bert
        .try_join(json!({ "room": "7820", "pin": "4711" }))
        .await;
    assert_eq!(joined.unwrap()["room"]["title"], "The den");
    // Of a room without an owner who comes first is host.
    let lock = json!({ "act": "lock", "locked": true });
    bert.act(lock.clone()).await.unwrap();
    let locked = json!({ "room": "den", "pin": "4711" });
    assert_eq!(anna.try_join(locked.clone()).await.unwrap_err(), "locked");
    bert.act(json!({ "act": "lock", "locked": false }))
        .await
        .unwrap();
    anna.try_join(locked.clone()).await.unwrap();
    assert_eq!(anna.act(lock).await.unwrap_err(), "not_host");
    let ban = json!({ "act": "ban", "participant": anna.me() });
    bert.act(ban).await.unwrap();
    assert_eq!(anna.event("room_left", |_| true).await["why"], "banned");
    assert_eq!(anna.try_join(locked).await.unwrap_err(), "banned");
}

#[tokio::test]
async fn who_waits_sees_nobody_until_a_host_lets_it_in() {
    let folder = Folder::new();
    let daemon = Daemon::start(&config(&folder), &[], &[]).await;
    let mut anna = Page::guest(&daemon, "Anna").await;
    let mut bert = Page::guest(&daemon, "Bert").await;
    anna.join("hall").await;
    anna.act(json!({ "act": "say", "text": "among ourselves" }))
        .await
        .unwrap();

    let waiting = bert.join("hall").await;

    assert_eq!(waiting["state"], "waiting");
    assert_eq!(waiting["media"], Value::Null);
    assert_eq!(waiting["chat"], json!([]));
    assert_eq!(
        names(waiting["roster"]["people"].as_array().unwrap()),
        ["Bert"]
    );
    let say = json!({ "act": "say", "text": "let me in" });
    assert_eq!(bert.act(say).await.unwrap_err(), "wrong_state");
    let admit = json!({ "act": "admit", "participant": bert.me() });
    anna.act(admit).await.unwrap();
    let admitted = bert.event("room_admitted", |_| true).await;
    assert_eq!(admitted["role"], "speaker");
    assert_eq!(admitted["media"]["participant"], json!(bert.me()));
    assert_eq!(admitted["chat"][0]["text"], "among ourselves");
    assert_eq!(admitted["roster"]["people"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_page_that_lost_its_socket_keeps_its_place() {
    let (_folder, _daemon, mut anna, bert) = two().await;
    let me = bert.me();

    let lost = bert.lose();
    anna.event("room_event", |it| it["event"]["type"] == "away")
        .await;
    let mut bert = lost.back().await;

    assert_eq!(bert.registered["resumed"], true);
    anna.event("room_event", |it| it["event"]["type"] == "back")
        .await;
    let people = bert.roster(|_| true).await;
    assert_eq!(people[1]["participant"], json!(me));
    assert_eq!(people[1]["presence"], "here");
    assert_eq!(bert.join("board").await["participant"], json!(me));
}

#[tokio::test]
async fn a_page_that_is_loaded_anew_has_its_place_by_its_key() {
    let (_folder, daemon, mut anna, bert) = two().await;
    let me = bert.me();
    let key = bert.joined["key"].clone();

    let mut bert = bert.anew(&daemon).await;
    let join = json!({ "room": "board", "key": key });
    let joined = bert.try_join(join).await.unwrap();

    assert_eq!(joined["participant"], json!(me));
    let people = anna
        .roster(|people| people.len() == 2 && people[1]["presence"] == "here")
        .await;
    assert_eq!(names(&people), ["Anna", "Bert"]);
}

#[tokio::test]
async fn after_a_restart_people_are_back_with_what_they_were() {
    let (folder, mut daemon, mut anna, mut bert) = two().await;
    let listener = json!({ "act": "role", "participant": "p2", "role": "listener" });
    anna.act(listener).await.unwrap();
    let key = bert.event("room_media", |_| true).await["key"].clone();
    let room = anna.joined["room"]["id"].clone();

    daemon.signal("KILL");
    daemon.end().await;
    let daemon = Daemon::start(&config(&folder), &[], &[]).await;
    // The one who is no host comes first.
    let mut bert = bert.anew(&daemon).await;
    let back = json!({ "room": "board", "key": key });
    let bert_is = bert.try_join(back).await.unwrap();
    let mut anna = anna.anew(&daemon).await;
    let back = json!({ "room": "board", "key": anna.joined["key"] });
    let anna_is = anna.try_join(back).await.unwrap();

    assert_eq!(bert_is["role"], "listener");
    assert_eq!(anna_is["role"], "host");
    assert_ne!(anna_is["room"]["id"], room);
    assert_eq!(anna_is["room"]["id"], bert_is["room"]["id"]);
    // Nobody else is host by a key that is another's, or none.
    let mut carl = Page::guest(&daemon, "Carl").await;
    let stolen =
        json!({ "room": "board", "key": anna.joined["key"].as_str().unwrap().to_owned() + "x" });
    assert_eq!(carl.try_join(stolen).await.unwrap()["role"], "speaker");
}

#[tokio::test]
async fn at_the_end_of_the_daemon_everyone_is_told() {
    let (_folder, mut daemon, mut anna, mut bert) = two().await;

    daemon.signal("TERM");

    for page in [&mut anna, &mut bert] {
        let left = page.event("room_left", |_| true).await;
        assert_eq!(left["why"], "shutdown");
    }
    drop((anna, bert));
    assert_eq!(daemon.end().await, Some(0));
}
