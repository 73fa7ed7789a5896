//! What the relay lets whom publish: asked by an implementation that is not ours.

use std::net::SocketAddr;

use moq_transport::{
    coding::{KeyValuePairs, TrackNamespace},
    serve::{ServeError, Track, TrackReader, TrackWriter},
    session::{Publisher, Session, Transport, transport},
};
use serde_json::{Value, json};
use web_transport_quinn_0_11 as wt;

use crate::{
    common::{peer::quic, soon},
    page::Page,
    two,
};

#[tokio::test]
async fn a_speaker_publishes_as_itself_and_as_nobody_else() {
    let (_folder, daemon, _anna, bert) = two().await;
    let mut foreign = Foreign::connect(daemon.moq, &token(&bert.joined)).await;

    assert_eq!(foreign.publish(&bert.joined, "p2").await, Ok(()));
    let as_other = foreign.publish(&bert.joined, "p1").await;
    assert_eq!(as_other, Err(ServeError::Closed(UNAUTHORIZED)));
    let own = format!("room/{}", room(&bert.joined));
    let as_room = foreign.publish_at(&own, "roster").await;
    assert_eq!(as_room, Err(ServeError::Closed(UNAUTHORIZED)));
}

#[tokio::test]
async fn a_listener_s_publish_is_refused_by_the_relay() {
    let (_folder, daemon, _anna, _bert) = two().await;
    let mut carl = Page::guest(&daemon, "Carl").await;
    let join = json!({ "room": "board", "listen": true });
    let joined = carl.try_join(join).await.unwrap();
    assert_eq!(joined["role"], "listener");
    let mut foreign = Foreign::connect(daemon.moq, &token(&joined)).await;

    let refused = foreign.publish(&joined, &carl.me()).await;

    assert_eq!(refused, Err(ServeError::Closed(UNAUTHORIZED)));
}

#[tokio::test]
async fn who_is_made_a_listener_publishes_no_more_and_who_may_speak_again_does() {
    let (_folder, daemon, mut anna, mut bert) = two().await;
    let first = bert.joined.clone();
    let mut foreign = Foreign::connect(daemon.moq, &token(&first)).await;
    assert_eq!(foreign.publish(&first, "p2").await, Ok(()));

    let role = |role| json!({ "act": "role", "participant": "p2", "role": role });
    anna.act(role("listener")).await.unwrap();
    let media = bert
        .event("room_media", |it| it["role"] == "listener")
        .await;

    // Neither the token from before nor the new one.
    let refused = Err(ServeError::Closed(UNAUTHORIZED));
    assert_eq!(foreign.publish(&first, "p2").await, refused);
    let mut listener = Foreign::connect(daemon.moq, &token(&media)).await;
    assert_eq!(listener.publish(&first, "p2").await, refused);
    anna.act(role("speaker")).await.unwrap();
    let media = bert.event("room_media", |it| it["role"] == "speaker").await;
    let mut speaker = Foreign::connect(daemon.moq, &token(&media)).await;
    assert_eq!(speaker.publish(&first, "p2").await, Ok(()));
}

#[tokio::test]
async fn who_is_removed_has_no_rights_left_and_who_comes_again_has_new_ones() {
    let (_folder, daemon, mut anna, mut bert) = two().await;
    let first = bert.joined.clone();
    let mut foreign = Foreign::connect(daemon.moq, &token(&first)).await;

    let remove = json!({ "act": "remove", "participant": "p2" });
    anna.act(remove).await.unwrap();
    assert_eq!(bert.event("room_left", |_| true).await["why"], "removed");

    // The token was all that its session had, so that it ends; the request may come before that.
    let refused = foreign.publish(&first, "p2").await;
    assert!(
        matches!(
            refused,
            Err(ServeError::Done | ServeError::Cancel | ServeError::Closed(UNAUTHORIZED))
        ),
        "{refused:?}"
    );
    let again = bert.join("board").await;
    assert_eq!(again["participant"], "p3");
    let mut foreign = Foreign::connect(daemon.moq, &token(&again)).await;
    assert_eq!(foreign.publish(&again, "p3").await, Ok(()));
}

/// Draft-18, section 15.10: what the relay says to who lacks the right.
const UNAUTHORIZED: u64 = 0x1;

fn token(joined: &Value) -> String {
    joined["media"]["token"].as_str().unwrap().to_owned()
}

fn room(joined: &Value) -> &str {
    joined["media"]["room"].as_str().unwrap()
}

/// A publisher of other makers.
struct Foreign {
    publisher: Publisher,
    /// What it publishes goes on until it is dropped.
    tracks: Vec<TrackWriter>,
    serving: tokio::task::JoinSet<()>,
}

impl Foreign {
    async fn connect(addr: SocketAddr, token: &str) -> Self {
        let url: url::Url = format!("https://{addr}/moq?token={token}").parse().unwrap();
        let connection = quic(addr, "h3").await.unwrap();
        let request = wt::proto::ConnectRequest::new(url.clone()).with_protocol("moqt-18");
        let session = wt::Session::connect(connection, request).await.unwrap();
        let session = transport::Session::new(session, url);
        let connected = soon(Session::connect(session, None, Transport::WebTransport)).await;
        let (session, publisher, _) = connected.unwrap();
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move { drop(session.run().await) });
        Self {
            publisher,
            tracks: Vec::new(),
            serving,
        }
    }

    async fn publish(&mut self, joined: &Value, participant: &str) -> Result<(), ServeError> {
        let path = format!("room/{}/{participant}", room(joined));
        let name = format!("audio{}", self.tracks.len());
        self.publish_at(&path, &name).await
    }

    async fn publish_at(&mut self, path: &str, name: &str) -> Result<(), ServeError> {
        let (writer, reader): (TrackWriter, TrackReader) =
            Track::new(TrackNamespace::from_utf8_path(path), name).produce();
        self.tracks.push(writer);
        let published = self.publisher.publish(reader, KeyValuePairs::default());
        let mut published = soon(published).await.map_err(|_| ServeError::Done)?;
        soon(published.ok()).await?;
        self.serving
            .spawn(async move { drop(published.serve().await) });
        Ok(())
    }
}
