//! Recorders and other programs, let in by operators: clients of other makers, by QUIC.

use std::{net::SocketAddr, time::Duration};

use moq_transport::{
    coding::TrackNamespace,
    serve::{Track, TrackReaderMode},
    session::{Session, Subscriber, Transport, transport},
};
use serde_json::{Value, json};
use web_transport_quinn_0_11 as wt;

use crate::{
    common::{peer::quic, soon},
    operators::ask,
    page::Page,
    two,
};

#[tokio::test]
async fn a_recorder_is_seen_by_all_and_reads_the_roster_that_it_is_in() {
    let (_folder, daemon, mut anna, _bert) = two().await;
    let programs = "/api/v1/rooms/board/programs";

    let recorder = json!({ "kind": "recorder", "name": "Minutes", "lifetime_s": 600 });
    let (status, place) = ask(&daemon, "POST", programs, &recorder).await;

    assert_eq!((status, place["participant"].as_str()), (201, Some("p3")));
    let event = anna
        .event("roster", |it| it["roster"]["recording"] == true)
        .await;
    assert_eq!(event["roster"]["people"][2]["name"], "Minutes");
    let mut foreign = Foreign::connect(daemon.moq, place["token"].as_str().unwrap()).await;
    let roster = tokio::select! {
        roster = foreign.read(&place, "roster") => roster,
        never = stir(&mut anna) => never,
    };
    assert_eq!(roster["recording"], true);
    assert_eq!(roster["people"].as_array().unwrap().len(), 3);

    let at = format!("{programs}/p3");
    assert_eq!(ask(&daemon, "DELETE", &at, &Value::Null).await.0, 204);
    anna.event("roster", |it| it["roster"]["recording"] == false)
        .await;
    assert!(foreign.is_refused(&place, "roster").await);
    assert_eq!(ask(&daemon, "DELETE", &at, &Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_program_that_nobody_can_let_in_is_refused_with_words() {
    let (_folder, daemon, _anna, _bert) = two().await;
    let bot = json!({ "kind": "program", "name": "Bot", "speaks": true });

    for (room, wanted, status) in [
        ("board", json!({ "kind": "program" }), 400),
        ("board", json!({ "kind": "host", "name": "x" }), 400),
        ("board", json!({ "kind": "program", "name": " " }), 400),
        (
            "board",
            json!({ "kind": "recorder", "name": "x", "speaks": true }),
            400,
        ),
        (
            "board",
            json!({ "kind": "program", "name": "x", "lifetime_s": 0 }),
            400,
        ),
        ("cellar", bot.clone(), 404),
        // Nobody is there who could see it.
        ("den", bot.clone(), 409),
        ("board", bot, 201),
    ] {
        let at = format!("/api/v1/rooms/{room}/programs");
        let (is, answer) = ask(&daemon, "POST", &at, &wanted).await;
        assert_eq!(is, status, "{wanted}: {answer}");
    }
    let people = "/api/v1/rooms/board/programs/p1";
    assert_eq!(ask(&daemon, "DELETE", people, &Value::Null).await.0, 404);
}

/// Changes the roster again and again: who subscribes reads what comes then.
async fn stir(page: &mut Page) -> Value {
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    for n in 0u32.. {
        pause.tick().await;
        let me = page.me();
        page.act(json!({ "act": "hand", "participant": me, "raised": n % 2 == 0 }))
            .await
            .unwrap();
    }
    Value::Null
}

/// A subscriber of other makers, by QUIC without WebTransport.
struct Foreign {
    subscriber: Subscriber,
    session: tokio::task::JoinHandle<()>,
}

impl Foreign {
    async fn connect(addr: SocketAddr, token: &str) -> Self {
        let url: url::Url = format!("moqt://{addr}/moq?token={token}").parse().unwrap();
        let connection = quic(addr, "moqt-18").await.unwrap();
        let response = wt::proto::ConnectResponse::default();
        let session = wt::Session::raw(connection, url.clone(), response);
        let session = transport::Session::new(session, url);
        let connected = soon(Session::connect(session, None, Transport::RawQuic)).await;
        let (session, _, subscriber) = connected.unwrap();
        let session = tokio::spawn(async move { drop(session.run().await) });
        Self {
            subscriber,
            session,
        }
    }

    /// Returns the next object of one of the room's own tracks.
    async fn read(&mut self, place: &Value, track: &str) -> Value {
        let path = format!("room/{}", place["room"].as_str().unwrap());
        let (writer, reader) = Track::new(TrackNamespace::from_utf8_path(&path), track).produce();
        let reading = async {
            let _subscription = self.subscriber.subscribe_open(writer).await.unwrap();
            let TrackReaderMode::Subgroups(mut groups) = reader.mode().await.unwrap() else {
                panic!("an object of a room's own track is a group");
            };
            let mut group = groups.next().await.unwrap().unwrap();
            group.read_next().await.unwrap().unwrap()
        };
        serde_json::from_slice(&soon(reading).await).unwrap()
    }

    /// Tells whether the relay gives it nothing of that track.
    async fn is_refused(&mut self, place: &Value, track: &str) -> bool {
        let path = format!("room/{}", place["room"].as_str().unwrap());
        let (writer, _reader) = Track::new(TrackNamespace::from_utf8_path(&path), track).produce();
        soon(self.subscriber.subscribe_open(writer)).await.is_err()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.session.abort();
    }
}
