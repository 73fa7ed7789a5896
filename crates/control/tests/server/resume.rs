//! Losing a socket and coming back.

use std::time::Duration;

use moqrelay_room::Output;
use serde_json::json;

use crate::world::{Client, Server, until};

#[tokio::test]
async fn who_comes_back_in_time_keeps_the_call_and_misses_no_event() {
    let server = Server::start().await;
    let (mut anna, mut bert) = talking(&server).await;
    let call = anna.registered["call"].clone();
    let seq = bert.registered["seq"].as_u64().unwrap();
    let resume = bert.resume(seq);
    bert.vanish();
    until(|| server.control.counts().attached == 1).await;
    anna.ask(json!({"type": "dtmf", "call": call, "digits": "12"}))
        .await;

    bert = Client::register_with(&server, &server.token("bert"), Some(resume)).await;

    assert_eq!(bert.registered["resumed"], true);
    let view = &bert.registered["calls"][0];
    assert_eq!((&view["call"], &view["state"]), (&call, &json!("up")));
    assert_eq!(
        (&view["direction"], &view["peer"]["id"]),
        (&json!("in"), &json!("anna"))
    );
    assert_eq!(view["media"]["participant"], "p2");
    let (one, two) = (bert.next().await, bert.next().await);
    assert_eq!((&one["digit"], &two["digit"]), (&json!("1"), &json!("2")));
    assert_eq!(
        (&one["seq"], &two["seq"]),
        (&json!(seq + 1), &json!(seq + 2))
    );
    anna.ask(json!({"type": "hangup", "call": call})).await;
    assert_eq!(bert.expect("ended").await["seq"], seq + 3);
}

#[tokio::test]
async fn who_stays_away_loses_the_call_and_begins_anew() {
    let server = Server::with(|_, room| room.grace = Duration::from_millis(20)).await;
    let (mut anna, bert) = talking(&server).await;
    let resume = bert.resume(0);
    let (old_session, old_device) = (
        bert.registered["session"].clone(),
        bert.registered["device"].clone(),
    );
    bert.vanish();
    assert_eq!(anna.expect("ended").await["cause"], "lost");

    let bert = Client::register_with(&server, &server.token("bert"), Some(resume)).await;

    assert_eq!(
        (&bert.registered["resumed"], &bert.registered["calls"]),
        (&json!(false), &json!([]))
    );
    assert_ne!(bert.registered["session"], old_session);
    assert_ne!(bert.registered["device"], old_device);
}

#[tokio::test]
async fn a_resume_replaces_the_socket_that_is_still_there() {
    let server = Server::start().await;
    let old = Client::register(&server, "anna").await;
    let resume = old.resume(0);

    let mut new = Client::register_with(&server, &server.token("anna"), Some(resume)).await;
    let (code, _) = old.closed().await;

    assert_eq!((code, &new.registered["resumed"]), (4009, &json!(true)));
    assert_eq!(
        new.ask(json!({"type": "presence", "state": "away"})).await["type"],
        "ok"
    );
    assert_eq!(server.control.counts().sessions, 1);
}

#[tokio::test]
async fn the_end_of_a_replaced_socket_does_not_begin_a_grace() {
    let server = Server::with(|_, room| room.grace = Duration::ZERO).await;
    let old = Client::register(&server, "anna").await;
    let resume = old.resume(0);
    let mut new = Client::register_with(&server, &server.token("anna"), Some(resume)).await;
    old.closed().await;

    // A second device that sees the roster after the old socket's end.
    let bert = Client::register(&server, "bert").await;

    assert_eq!(bert.registered["presence"][0]["state"], "available");
    assert_eq!(
        new.ask(json!({"type": "presence", "state": "away"})).await["type"],
        "ok"
    );
}

#[tokio::test]
async fn each_resume_gives_a_new_key_and_the_old_one_ends() {
    let server = Server::start().await;
    let first = Client::register(&server, "anna").await;
    let stale = first.resume(0);
    let second = Client::register_with(&server, &server.token("anna"), Some(stale.clone())).await;
    assert_ne!(second.registered["key"], stale["key"]);

    let thief = Client::register_with(&server, &server.token("anna"), Some(stale)).await;

    assert_eq!(thief.registered["resumed"], false);
    assert_eq!(server.control.counts().attached, 2);
}

#[tokio::test]
async fn another_user_s_session_cannot_be_taken_over() {
    let server = Server::start().await;
    let anna = Client::register(&server, "anna").await;

    let bert = Client::register_with(&server, &server.token("bert"), Some(anna.resume(0))).await;

    assert_eq!(
        (&bert.registered["resumed"], &bert.registered["user"]),
        (&json!(false), &json!("bert"))
    );
}

#[tokio::test]
async fn a_request_repeated_after_a_resume_is_carried_out_once() {
    let server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;
    let first = anna.ask(json!({"type": "call", "to": "echo"})).await;
    let (id, resume) = (first["id"].as_u64().unwrap(), anna.resume(1));
    anna.vanish();
    let mut anna = Client::connect(&server).await;
    anna.count_from(id);
    anna.send_register(&server.token("anna"), Some(resume))
        .await;
    assert_eq!(anna.next().await["resumed"], true);

    let again = json!({"type": "call", "to": "echo", "id": id});
    anna.send_text(&again.to_string()).await;
    let answer = anna.expect("ok").await;

    assert_eq!(answer, first);
    let services = server.outputs.lock().unwrap();
    let begun = services
        .iter()
        .filter(|output| matches!(output, Output::StartService { .. }));
    assert_eq!(begun.count(), 1);
}

#[tokio::test]
async fn a_reloaded_page_that_counts_anew_is_not_taken_for_repeating() {
    let server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;
    let first = anna.ask(json!({"type": "call", "to": "echo"})).await;
    let resume = anna.resume(1);
    anna.vanish();
    let mut anna = Client::register_with(&server, &server.token("anna"), Some(resume)).await;

    let second = anna.ask(json!({"type": "call", "to": "echo"})).await;

    assert_eq!(
        (&second["type"], &second["id"]),
        (&json!("ok"), &first["id"])
    );
    assert_ne!(second["call"], first["call"]);
}

/// Anna has called Bert, who has answered; `registered` carries the call and Bert's last `seq`.
async fn talking(server: &Server) -> (Client, Client) {
    let mut anna = Client::register(server, "anna").await;
    let mut bert = Client::register(server, "bert").await;
    let call = anna.ask(json!({"type": "call", "to": "bert"})).await["call"].clone();
    bert.expect("incoming").await;
    bert.send(json!({"type": "answer", "call": call})).await;
    bert.expect("up").await;
    // Then Bert is shown as busy.
    let last = bert.expect("presence").await;
    anna.expect("up").await;
    anna.registered["call"] = call;
    bert.registered["seq"] = last["seq"].clone();
    (anna, bert)
}
