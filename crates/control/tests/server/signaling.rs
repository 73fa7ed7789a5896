//! Devices that register, call and hang up.

use std::time::Duration;

use moqrelay_control::Request;
use moqrelay_room::{Input, Reason, Refusal};
use serde_json::{Value, json};

use crate::world::{Client, Server, patient};

#[tokio::test]
async fn who_registers_learns_what_there_is() {
    let server = Server::start().await;
    let _anna = Client::register(&server, "anna").await;

    let bert = Client::register(&server, "bert").await.registered;

    assert_eq!(
        (&bert["user"], &bert["resumed"]),
        (&json!("bert"), &json!(false))
    );
    assert_eq!(bert["calls"], json!([]));
    let person = |id: &str| json!({"user": id, "name": id.to_uppercase(), "state": "available"});
    assert_eq!(bert["presence"], json!([person("anna"), person("bert")]));
    assert_eq!(bert["limits"]["message_bytes"], 16384);
    assert_eq!(bert["limits"]["ring_seconds"], 45);
    for name in ["session", "key"] {
        assert_eq!(bert[name].as_str().unwrap().len(), 32);
    }
}

#[tokio::test]
async fn others_see_who_comes_and_goes() {
    let server = Server::with(|_, room| room.grace = Duration::from_millis(1)).await;
    let mut anna = Client::register(&server, "anna").await;

    let bert = Client::register(&server, "bert").await;
    let came = anna.expect("presence").await;
    bert.vanish();
    let went = anna.expect("presence").await;

    assert_eq!(
        (&came["user"], &came["state"]),
        (&json!("bert"), &json!("available"))
    );
    assert_eq!(
        (&went["user"], &went["state"]),
        (&json!("bert"), &json!("offline"))
    );
    assert_eq!((&came["seq"], &went["seq"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_call_from_dialling_to_hanging_up() {
    let server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;
    let mut bert = Client::register(&server, "bert").await;

    let called = anna.ask(json!({"type": "call", "to": "bert"})).await;
    let call = &called["call"];
    let incoming = bert.expect("incoming").await;
    assert_eq!(&incoming["call"], call);
    assert_eq!(
        incoming["from"],
        json!({"id": "anna", "name": "ANNA", "kind": "browser"})
    );

    assert_eq!(
        bert.ask(json!({"type": "ringing", "call": call})).await["type"],
        "ok"
    );
    assert_eq!(&anna.expect("ringing").await["call"], call);

    assert_eq!(
        bert.ask(json!({"type": "answer", "call": call})).await["type"],
        "ok"
    );
    let (of_anna, of_bert) = (anna.expect("up").await, bert.expect("up").await);
    check_media(&server, &of_anna["media"], call, "p1", "p2");
    check_media(&server, &of_bert["media"], call, "p2", "p1");

    anna.ask(json!({"type": "dtmf", "call": call, "digits": "4#"}))
        .await;
    assert_eq!(bert.expect("dtmf").await["digit"], "4");
    let digit = bert.expect("dtmf").await;
    assert_eq!(
        (&digit["digit"], &digit["participant"]),
        (&json!("#"), &json!("p1"))
    );

    anna.ask(json!({"type": "hangup", "call": call})).await;
    let ended = bert.expect("ended").await;
    assert_eq!(
        (&ended["cause"], &ended["reason"]),
        (&json!("normal"), &json!("hung up"))
    );
}

#[tokio::test]
async fn who_is_forgotten_after_a_call_is_told_first_how_it_ended() {
    let server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;
    let mut bert = Client::register(&server, "bert").await;
    let called = anna.ask(json!({"type": "call", "to": "bert"})).await;
    let call = &called["call"];
    bert.expect("incoming").await;
    bert.ask(json!({"type": "answer", "call": call})).await;
    anna.expect("up").await;
    server.tell(Input::Retire);

    anna.send(json!({"type": "hangup", "call": call})).await;

    let (of_anna, of_bert) = (anna.closed().await, bert.closed().await);
    assert_eq!((of_anna.0, of_bert.0), (1000, 1000));
    assert!(of_anna.1.iter().any(|said| said["type"] == "ok"));
    let ended = |said: &Value| said["type"] == "ended" && said["cause"] == "normal";
    assert!(of_bert.1.iter().any(ended), "{:?}", of_bert.1);
}

fn check_media(server: &Server, media: &Value, call: &Value, own: &str, peer: &str) {
    assert_eq!((&media["room"], &media["participant"]), (call, &json!(own)));
    assert_eq!(media["namespace"], json!(["room", call, own]));
    assert_eq!(media["peers"][0]["namespace"], json!(["room", call, peer]));
    let token = media["token"].as_str().unwrap();
    let claims = server
        .keys
        .verify(token, std::time::SystemTime::now())
        .unwrap();
    let call = call.as_str().unwrap();
    assert_eq!(claims.put, [format!("room/{call}/{own}")]);
    assert_eq!(claims.get, [format!("room/{call}")]);
    assert_eq!(claims.sub, None, "it opens no signaling");
}

#[tokio::test]
async fn ok_comes_before_what_it_causes() {
    let server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;

    anna.send(json!({"type": "call", "to": "echo"})).await;

    assert_eq!(anna.next().await["type"], "ok");
    assert_eq!(anna.next().await["type"], "up");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_code_under_its_id() {
    let server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;

    for (request, code) in [
        (json!({"type": "call", "to": "zoe"}), "not_found"),
        (json!({"type": "call", "to": "600"}), "no_route"),
        (json!({"type": "call", "to": "anna"}), "forbidden"),
        (
            json!({"type": "answer", "call": "0".repeat(32)}),
            "no_such_call",
        ),
        (json!({"type": "answer", "call": "no"}), "bad_message"),
        (json!({"type": "fly"}), "bad_message"),
        (
            json!({"type": "register", "token": "again"}),
            "already_registered",
        ),
    ] {
        let answer = anna.ask(request).await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("refused"), &json!(code))
        );
        assert!(!answer["reason"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_request_before_register_is_refused_and_register_still_works() {
    let server = Server::start().await;
    let mut anna = Client::connect(&server).await;

    let early = anna.ask(json!({"type": "call", "to": "echo"})).await;
    anna.send_register(&server.token("anna"), None).await;

    assert_eq!(early["code"], "not_registered");
    assert_eq!(anna.next().await["type"], "ok");
}

#[tokio::test]
async fn who_does_not_register_in_time_is_sent_away() {
    let server =
        Server::with(|config, _| config.limits.register_timeout = Duration::from_millis(20)).await;

    let (code, said) = Client::connect(&server).await.closed().await;

    assert_eq!((code, said.len()), (4001, 0));
}

#[tokio::test]
async fn a_token_that_does_not_hold_closes_the_socket() {
    let server = Server::start().await;
    let nobody = server.keys.sign(&moqrelay_control::token::Claims {
        sub: None,
        name: None,
        number: None,
        put: vec![String::new()],
        get: vec![String::new()],
        participant: None,
        nbf: None,
        exp: 4_000_000_000,
    });
    let expired = server.keys.sign(&moqrelay_control::token::Claims {
        exp: 1,
        ..server
            .keys
            .verify(&server.token("anna"), std::time::SystemTime::now())
            .unwrap()
    });
    for (token, code) in [
        ("x.y.z", "unauthorized"),
        (nobody.as_str(), "unauthorized"),
        (expired.as_str(), "expired"),
    ] {
        let mut client = Client::connect(&server).await;
        client.send_register(token, None).await;

        let (closed, said) = client.closed().await;

        assert_eq!((closed, &said[0]["code"]), (4003, &json!(code)));
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let server = Server::start().await;
    // The token ended almost a leeway ago: it holds for a moment still.
    let end = std::time::SystemTime::now() - moqrelay_control::token::LEEWAY
        + Duration::from_millis(1500);
    let exp = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = server
        .keys
        .verify(&server.token("anna"), std::time::SystemTime::now())
        .unwrap();
    let token = server
        .keys
        .sign(&moqrelay_control::token::Claims { exp, ..claims });
    let anna = Client::register_with(&server, &token, None).await;

    let (code, said) = anna.closed().await;

    assert_eq!(code, 4003);
    let last = said.last().unwrap();
    assert_eq!(
        (&last["type"], &last["code"]),
        (&json!("error"), &json!("expired"))
    );
}

#[tokio::test]
async fn pings_come_and_a_silent_socket_is_dead() {
    let server = Server::with(|config, room| {
        config.limits.ping_interval = Duration::from_millis(20);
        config.limits.silence_max = Duration::from_millis(300);
        room.grace = Duration::from_millis(1);
    })
    .await;
    let mut anna = Client::register(&server, "anna").await;
    let mut bert = Client::register(&server, "bert").await;

    // Anna answers pings, Bert does not.
    let gone = patient(async {
        loop {
            let message = anna.next().await;
            match message["type"].as_str().unwrap() {
                "ping" => anna.send_text(r#"{"type":"pong"}"#).await,
                "presence" if message["state"] == "offline" => return message,
                _ => {}
            }
        }
    })
    .await;

    assert_eq!(gone["user"], "bert");
    assert_eq!(bert.next().await["type"], "ping");
    assert_eq!(server.control.counts().attached, 1);
}

#[tokio::test]
async fn shutdown_says_what_ended_then_bye() {
    let mut server = Server::start().await;
    let mut anna = Client::register(&server, "anna").await;
    anna.ask(json!({"type": "call", "to": "echo"})).await;
    anna.expect("up").await;

    server.tell(Input::Drain);
    let ended = anna.expect("ended").await;
    server.begin_stop();
    let (code, said) = anna.closed().await;

    assert_eq!(ended["cause"], "shutdown");
    assert_eq!(code, 1001);
    assert_eq!(said.last().unwrap()["type"], "bye");
}

#[tokio::test]
async fn the_server_ends_when_its_sockets_have() {
    let server = Server::start().await;
    let anna = Client::register(&server, "anna").await;
    let reading = tokio::spawn(anna.closed());
    let waiting = tokio::spawn(Client::connect(&server).await.closed());

    server.stop().await;

    assert_eq!(patient(reading).await.unwrap().0, 1001);
    assert_eq!(patient(waiting).await.unwrap().0, 1001);
}

#[tokio::test]
async fn a_draining_server_takes_nobody_new() {
    let server = Server::start().await;
    server.control.drain();
    let mut anna = Client::connect(&server).await;

    anna.send_register(&server.token("anna"), None).await;

    assert_eq!(anna.next().await["code"], "shutting_down");
}

#[tokio::test]
async fn only_the_own_origin_or_one_of_the_list_may_connect() {
    let server =
        Server::with(|config, _| config.origins = vec!["https://phone.example".into()]).await;
    let own = format!("http://{}", server.address);

    for (origin, allowed) in [
        (own.as_str(), true),
        ("https://phone.example", true),
        ("https://evil.example", false),
    ] {
        let connected = Client::try_connect(&server, &[("origin", origin)]).await;
        assert_eq!(
            connected.map(|_| ()),
            if allowed { Ok(()) } else { Err(403) },
            "{origin}"
        );
    }
}

#[tokio::test]
async fn another_version_of_the_protocol_is_refused() {
    let server = Server::start().await;

    let other = Client::try_connect(&server, &[("sec-websocket-protocol", "moqrelay.v9")]).await;

    assert_eq!(other.map(|_| ()), Err(400));
    let both = [("sec-websocket-protocol", "moqrelay.v9, moqrelay.v1")];
    assert!(Client::try_connect(&server, &both).await.is_ok());
}

#[tokio::test]
async fn a_user_has_so_many_devices() {
    let server = Server::with(|_, room| room.limits.devices_per_user = 1).await;
    let _first = Client::register(&server, "anna").await;
    let mut second = Client::connect(&server).await;

    second.send_register(&server.token("anna"), None).await;

    assert_eq!(second.next().await["code"], "too_many");
    assert_eq!(server.control.counts().sessions, 1);
}

#[tokio::test]
async fn a_node_has_so_many_sessions() {
    let server = Server::with(|config, _| config.limits.sessions = 1).await;
    let _first = Client::register(&server, "anna").await;
    let mut second = Client::connect(&server).await;

    second.send_register(&server.token("bert"), None).await;

    assert_eq!(second.next().await["code"], "too_many");
}

#[tokio::test]
async fn a_request_that_the_daemon_drops_is_answered_nevertheless() {
    let (server, mut requests, _inputs, room) = Server::without_daemon(|_, _| {}).await;
    let daemon = tokio::spawn(async move {
        let mut board = moqrelay_room::Switchboard::new(room);
        crate::world::handle(&mut board, requests.recv().await.unwrap());
        drop(requests.recv().await);
        match requests.recv().await.unwrap() {
            Request::Signal { reply, .. } => {
                reply.send(Err(Refusal {
                    reason: Reason::Busy,
                    text: "no".into(),
                }));
            }
            other => panic!("{other:?}"),
        }
    });
    let mut anna = Client::register(&server, "anna").await;

    let dropped = anna.ask(json!({"type": "call", "to": "echo"})).await;
    let refused = anna.ask(json!({"type": "call", "to": "echo"})).await;

    assert_eq!(
        (&dropped["code"], &refused["code"]),
        (&json!("internal"), &json!("busy"))
    );
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let (server, mut requests, _inputs, room) =
        Server::without_daemon(|config, _| config.limits.requests = 1).await;
    let mut board = moqrelay_room::Switchboard::new(room);
    let registering = async {
        crate::world::handle(&mut board, requests.recv().await.unwrap());
    };
    let (mut anna, ()) = tokio::join!(Client::register(&server, "anna"), registering);

    let waits = anna.send(json!({"type": "call", "to": "echo"})).await;
    let refused = anna.ask(json!({"type": "call", "to": "echo"})).await;
    crate::world::handle(&mut board, requests.recv().await.unwrap());

    assert_eq!(refused["code"], "too_many");
    let answer = anna.next().await;
    assert_eq!(
        (&answer["type"], &answer["id"]),
        (&json!("ok"), &json!(waits))
    );
}
