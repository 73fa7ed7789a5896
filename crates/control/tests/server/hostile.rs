//! Clients that send what they should not, and those that do not read.

use std::time::Duration;

use moqrelay_room::{DeviceId, Event, Presence, User, UserId, UserPresence};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::world::{Client, Server, patient, raw_http, until};

#[tokio::test]
async fn what_is_no_message_gets_an_error_and_the_socket_lives() {
    let server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;

    for text in [
        "",
        "{",
        "[]",
        "null",
        r#"{"type":"call"}"#,
        "\u{0}",
        r#"{"id":"x","type":"call"}"#,
    ] {
        anna.send_text(text).await;
        let answer = anna.next().await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("error"), &json!("bad_message"))
        );
    }
    anna.send_message(Message::binary(vec![0xff; 100]))
        .await
        .unwrap();
    assert_eq!(anna.next().await["code"], "bad_message");

    assert_eq!(
        anna.ask(json!({"type": "presence", "state": "away"})).await["type"],
        "ok"
    );
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_the_socket() {
    let server = Server::start().await;
    for len in [16 * 1024 + 1, 64 * 1024 + 1, 1 << 20] {
        let mut anna = Client::register(&server, "anna").await;
        // The server may close while the rest is on its way.
        let _sent = anna.send_message(Message::text("x".repeat(len))).await;

        assert_eq!(anna.closed().await.0, 1009, "{len} bytes");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_the_socket_before_register_too() {
    let server = Server::start().await;
    let mut client = Client::connect(&server).await;

    client.send_text(&"x".repeat(16 * 1024 + 1)).await;

    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn too_many_messages_are_refused_and_then_close_the_socket() {
    let server = Server::with(|config, _| {
        config.limits.messages_per_second = 1;
        config.limits.messages_burst = 10;
    })
    .await;
    let mut anna = Client::register(&server, "anna").await;
    let mut bert = Client::register(&server, "bert").await;

    for id in 1..=40 {
        let request = json!({"type": "presence", "state": "away", "id": id}).to_string();
        if anna.send_message(Message::text(request)).await.is_err() {
            break;
        }
    }
    let (code, said) = anna.closed().await;

    assert_eq!(code, 4008);
    let refused = said
        .iter()
        .filter(|message| message["code"] == "rate_limited")
        .count();
    assert!((5..=12).contains(&refused), "{refused} of a burst of 10");
    let ok = bert.ask(json!({"type": "presence", "state": "busy"})).await;
    assert_eq!(ok["type"], "ok", "nobody else notices");
}

#[tokio::test]
async fn a_flood_before_register_closes_the_socket() {
    let server = Server::with(|config, _| config.limits.messages_burst = 5).await;
    let mut client = Client::connect(&server).await;
    for _ in 0..50 {
        if client.send_message(Message::text("{}")).await.is_err() {
            break;
        }
    }

    assert_eq!(client.closed().await.0, 4008);
}

#[tokio::test]
async fn a_device_that_does_not_read_is_cut_off_and_the_others_notice_nothing() {
    let server = Server::with(|_, room| room.grace = Duration::from_millis(1)).await;
    let mut anna = Client::register(&server, "anna").await;
    let sleeper = Client::register(&server, "bert").await;
    let device = sleeper.registered["device"].as_str().unwrap()[1..]
        .parse()
        .unwrap();

    // Socket buffers hold some megabytes.
    let user = User {
        id: UserId::new("x").unwrap(),
        name: "x".repeat(64 * 1024),
        number: None,
    };
    let presence = UserPresence {
        user,
        state: Presence::Away,
    };
    patient(async {
        while server.control.counts().attached == 2 {
            server
                .control
                .notify(DeviceId(device), Event::Presence(presence.clone()));
            tokio::task::yield_now().await;
        }
    })
    .await;

    anna.expect("presence").await;
    let gone = anna.expect("presence").await;
    assert_eq!(
        (&gone["user"], &gone["state"]),
        (&json!("bert"), &json!("offline"))
    );
    assert_eq!(
        anna.ask(json!({"type": "presence", "state": "away"})).await["type"],
        "ok"
    );
    until(|| server.control.counts().connections == 1).await;
    drop(sleeper);
}

#[tokio::test]
async fn a_header_that_does_not_end_closes_the_connection() {
    let server =
        Server::with(|config, _| config.limits.header_timeout = Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
        .await
        .unwrap();

    let mut rest = Vec::new();
    let read = patient(stream.read_to_end(&mut rest)).await;

    assert!(read.is_err() || rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"));
    until(|| server.control.counts().connections == 0).await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = Server::start().await;
    for bytes in [
        &b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"[..],
        b"GET\r\n\r\n",
    ] {
        assert_eq!(raw_http(server.address, bytes).await.status, 400);
    }
}

#[tokio::test]
async fn so_many_connections_and_no_more() {
    let server = Server::with(|config, _| config.limits.connections_per_address = 2).await;
    let one = Client::register(&server, "anna").await;
    let _two = Client::register(&server, "bert").await;

    let mut third = TcpStream::connect(server.address).await.unwrap();
    let mut bytes = Vec::new();
    let read = patient(third.read_to_end(&mut bytes)).await;
    assert!(read.is_err() || bytes.is_empty(), "closed without a word");

    one.vanish();
    until(|| server.control.counts().connections == 1).await;
    assert_eq!(server.get("/api/v1/transport").await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let name = "x".repeat(9 * 1024);

    let answer = server
        .post("/api/v1/guest", &json!({"name": name}).to_string())
        .await;

    assert_eq!(answer.status, 413);
}
