//! Tickets for Asterisk.

use moqrelay_room::{Input, LegId, Output};
use serde_json::json;
use uuid::Uuid;

use crate::world::{Answer, Client, SECRET, Server, until};

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_ticket_is_a_uuid_and_its_connection_rings() {
    let server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;

    let form = "to=anna&from=%2B49301234&name=Otto+K.&channel=PJSIP%2Falice-1&uniqueid=1.2&x=y";
    let answer = ask(&server, SECRET, FORM, form).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain"));
    let text = answer.text();
    assert_eq!(text.len(), 36);
    let leg = LegId(u64::try_from(text.parse::<Uuid>().unwrap().as_u128()).unwrap());
    server.tell(Input::LegAttached(leg));

    let from = anna.expect("incoming").await["from"].clone();
    let number = "+49301234";
    assert_eq!(
        from,
        json!({"id": number, "name": "Otto K.", "number": number, "kind": "phone"})
    );
    let ringback = Output::PlayRingback(leg);
    until(|| server.outputs.lock().unwrap().contains(&ringback)).await;
}

#[tokio::test]
async fn form_and_json_and_a_form_that_does_not_say_so_are_read() {
    let server = Server::start().await;
    let _anna = Client::register(&server, "anna").await;
    let json = json!({"to": "anna", "from": "1001", "extra": [1]}).to_string();

    for (kind, body) in [
        (FORM, "to=anna"),
        ("", "to=anna"),
        ("application/json", json.as_str()),
        ("application/json; charset=utf-8", json.as_str()),
    ] {
        assert_eq!(ask(&server, SECRET, kind, body).await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn nobody_there_is_not_found_so_that_the_dialplan_goes_on() {
    let server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;
    anna.ask(json!({"type": "presence", "state": "busy"})).await;

    for (to, word) in [("zoe", "not_found"), ("600", "not_found"), ("anna", "busy")] {
        let answer = ask(&server, SECRET, FORM, &format!("to={to}")).await;
        assert_eq!((answer.status, answer.text().as_str()), (404, word));
        assert_ne!(answer.text().len(), 36);
    }
}

#[tokio::test]
async fn only_the_secret_opens() {
    let server = Server::start().await;
    let _anna = Client::register(&server, "anna").await;
    for secret in [
        "",
        "wrong",
        &SECRET[1..],
        &format!("{SECRET}x"),
        &SECRET.to_uppercase(),
    ] {
        assert_eq!(
            ask(&server, secret, FORM, "to=anna").await.status,
            401,
            "{secret}"
        );
    }
    let basic = format!("Basic {SECRET}");
    let headers = [("authorization", basic.as_str())];
    let answer = server
        .http("POST", "/api/v1/asterisk/tickets", &headers, "to=anna")
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn without_a_configured_secret_nobody_gets_a_ticket() {
    let server = Server::with(|config, _| config.asterisk_secret = None).await;

    assert_eq!(ask(&server, "", FORM, "to=anna").await.status, 401);
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = Server::start().await;
    for (kind, body) in [
        (FORM, ""),
        (FORM, "from=1"),
        (FORM, "to=a&to=b"),
        ("application/json", "to=anna"),
        ("application/json", r#"{"to": 5}"#),
    ] {
        assert_eq!(ask(&server, SECRET, kind, body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn tickets_come_so_fast_and_no_faster() {
    let server = Server::with(|config, _| config.limits.tickets_per_second = 2).await;
    let _anna = Client::register(&server, "anna").await;

    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&server, SECRET, FORM, "to=anna").await.status);
    }

    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_draining_server_issues_none() {
    let server = Server::start().await;
    let _anna = Client::register(&server, "anna").await;
    server.control.drain();

    assert_eq!(ask(&server, SECRET, FORM, "to=anna").await.status, 503);
}

async fn ask(server: &Server, secret: &str, kind: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {secret}");
    let mut headers = vec![("authorization", bearer.as_str())];
    if !kind.is_empty() {
        headers.push(("content-type", kind));
    }
    server
        .http("POST", "/api/v1/asterisk/tickets", &headers, body)
        .await
}
