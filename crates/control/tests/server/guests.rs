//! People who type a name.

use serde_json::json;

use crate::world::{Answer, Client, Server};

#[tokio::test]
async fn a_guest_signs_in_and_can_be_called_by_number() {
    let server = Server::start().await;
    let anna = enter(&server, "Anna").await.json();
    let bert = enter(&server, "Bert").await.json();
    assert_eq!(
        anna["user"],
        json!({"id": "anna", "name": "Anna", "number": "7001"})
    );
    assert_eq!(anna["expires_in"], 43200);
    let token = |guest: &serde_json::Value| guest["token"].as_str().unwrap().to_owned();
    let mut anna = Client::register_with(&server, &token(&anna), None).await;
    let mut bert = Client::register_with(&server, &token(&bert), None).await;

    anna.ask(json!({"type": "call", "to": "7002"})).await;

    let from = bert.expect("incoming").await["from"].clone();
    let expected = json!({"id": "anna", "name": "Anna", "number": "7001", "kind": "browser"});
    assert_eq!(from, expected);
}

#[tokio::test]
async fn a_name_in_use_is_taken() {
    let server = Server::start().await;
    enter(&server, "Anna").await;

    let second = enter(&server, "ANNA").await;

    assert_eq!(
        (second.status, &second.json()["code"]),
        (409, &json!("name_taken"))
    );
}

#[tokio::test]
async fn a_name_used_by_someone_with_a_token_of_another_kind_is_taken() {
    let server = Server::start().await;
    let _anna = Client::register(&server, "anna").await;

    assert_eq!(enter(&server, "Anna").await.status, 409);
}

#[tokio::test]
async fn a_bad_name_is_refused() {
    let server = Server::start().await;
    for body in [
        "",
        "{}",
        "[]",
        r#"{"name": 5}"#,
        r#"{"name": "  "}"#,
        r#"{"name": "a\u0007b"}"#,
    ] {
        let answer = server.post("/api/v1/guest", body).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("bad_message")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn guests_are_let_in_only_where_configured() {
    let server = Server::with(|config, _| config.guests = None).await;

    assert_eq!(enter(&server, "Anna").await.status, 403);
}

#[tokio::test]
async fn numbers_end() {
    let server =
        Server::with(|config, _| config.guests.as_mut().unwrap().numbers = 7001..=7001).await;
    enter(&server, "Anna").await;

    assert_eq!(enter(&server, "Bert").await.status, 503);
}

#[tokio::test]
async fn one_address_signs_in_so_often() {
    let server = Server::with(|config, _| config.guests.as_mut().unwrap().per_minute = 2).await;
    enter(&server, "Anna").await;
    enter(&server, "Bert").await;

    let third = enter(&server, "Carla").await;

    assert_eq!(
        (third.status, &third.json()["code"]),
        (429, &json!("rate_limited"))
    );
}

#[tokio::test]
async fn a_draining_server_takes_no_guests() {
    let server = Server::start().await;
    server.control.drain();

    assert_eq!(enter(&server, "Anna").await.status, 503);
}

async fn enter(server: &Server, name: &str) -> Answer {
    server
        .post("/api/v1/guest", &json!({"name": name}).to_string())
        .await
}

#[tokio::test]
async fn a_guest_from_before_a_restart_whose_number_is_given_again_must_sign_in_again() {
    let (before, after) = (Server::start().await, Server::start().await);
    let anna = enter(&before, "Anna").await.json();
    enter(&after, "Bert").await;
    let mut client = Client::connect(&after).await;

    client
        .send_register(anna["token"].as_str().unwrap(), None)
        .await;

    let (code, said) = client.closed().await;
    assert_eq!((code, &said[0]["code"]), (4003, &json!("unauthorized")));
}
