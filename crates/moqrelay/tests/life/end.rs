//! SIGTERM: nothing new, clients are sent elsewhere, and what runs goes on meanwhile.

use moqrelay_moqt::Event;

use crate::{
    common::peer::{Peer, quic},
    common::voice::Talk,
    program::{Daemon, Folder, get},
};

const MOVING: &str = "[auth]\nguests = true\nanonymous_publish = [\"\"]\nanonymous_subscribe = [\"\"]\n\
    [moq]\ngoaway_uri = \"https://other.example:4443/moq\"\n";

#[tokio::test]
async fn clients_are_sent_elsewhere_and_objects_flow_until_they_have_gone() {
    let folder = Folder::new();
    let config = folder.write("relay.toml", MOVING);
    let mut daemon = Daemon::start(&config, &[], &[]).await;
    let mut talk = Talk::begin(daemon.moq, "talk/voice").await;

    daemon.signal("TERM");
    for peer in [&mut talk.publisher, &mut talk.subscriber] {
        assert_eq!(sent_to(peer).await, "https://other.example:4443/moq");
    }

    // As long as the clients prepare their move, nothing of it is heard.
    let (heard, ()) = talk.during(async {}).await;
    assert_eq!(heard.lost, 0);
    let (status, _) = daemon.ops("/health/ready").await;
    assert!(status.contains("503"), "{status}");
    let (status, _) = get(daemon.http, "/api/v1/guest").await;
    assert!(!status.contains("200"), "{status}");
    assert!(quic(daemon.moq, "moqt-18").await.is_err());
    // They have moved.
    talk.publisher.session.close(0, b"");
    talk.subscriber.session.close(0, b"");
    assert_eq!(daemon.end().await, Some(0));
}

#[tokio::test]
async fn who_does_not_move_is_let_go_at_the_end_of_the_time() {
    let folder = Folder::new();
    let config = folder.write("relay.toml", MOVING);
    let env = [("MOQRELAY__DAEMON__DRAIN_TIMEOUT", "1s")];
    let mut daemon = Daemon::start(&config, &[], &env).await;
    let mut talk = Talk::begin(daemon.moq, "talk/voice").await;

    daemon.signal("TERM");

    let (code, _) = talk.subscriber.end().await;
    assert_eq!(code, 0x10, "GOAWAY_TIMEOUT");
    assert_eq!(daemon.end().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let folder = Folder::new();
    let config = folder.write("relay.toml", MOVING);
    let env = [("MOQRELAY__DAEMON__DRAIN_TIMEOUT", "600s")];
    let mut daemon = Daemon::start(&config, &[], &env).await;
    let mut talk = Talk::begin(daemon.moq, "talk/voice").await;

    daemon.signal("TERM");
    sent_to(&mut talk.publisher).await;
    daemon.signal("TERM");

    assert_eq!(daemon.end().await, Some(1));
}

async fn sent_to(peer: &mut Peer) -> String {
    peer.event_of(|event| match event {
        Event::GoAway { uri, .. } => Some(uri),
        _ => None,
    })
    .await
}
