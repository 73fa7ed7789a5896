//! SIGHUP and changed files.

use crate::{
    common::peer::Peer,
    common::voice::{Talk, connect},
    program::{Daemon, Folder, get},
};

const OPEN: &str = "[auth]\nanonymous_publish = [\"\"]\nanonymous_subscribe = [\"\"]\n";

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_sessions_and_the_old_ones_notice_nothing() {
    let folder = Folder::new();
    let first = certificate(&folder);
    let mut daemon = Daemon::start(&with_tls(&folder, ""), &[], &[]).await;
    let (_peer, shown) = connect(daemon.moq).await;
    assert_eq!(shown, first);
    let mut talk = Talk::begin(daemon.moq, "talk/voice").await;

    let second = certificate(&folder);
    let (heard, ()) = talk
        .during(async {
            daemon.signal("HUP");
            daemon.says("were read again").await;
        })
        .await;

    let (_peer, shown) = connect(daemon.moq).await;
    assert_eq!(shown, second);
    assert_eq!(heard.lost, 0);
    println!("certificate change under a session: {heard:?}");
    talk.exchange().await;
}

#[tokio::test]
async fn a_changed_file_is_noticed_without_a_signal() {
    let folder = Folder::new();
    certificate(&folder);
    let config = with_tls(&folder, "[daemon]\nwatch = \"10ms\"\n");
    let mut daemon = Daemon::start(&config, &[], &[]).await;

    let second = certificate(&folder);
    daemon.says("were read again").await;

    // Certificate and key may have been seen one by one.
    crate::common::soon(async { while connect(daemon.moq).await.1 != second {} }).await;
}

#[tokio::test]
async fn a_broken_certificate_leaves_the_old_one_and_is_named() {
    let folder = Folder::new();
    let first = certificate(&folder);
    let mut daemon = Daemon::start(&with_tls(&folder, ""), &[], &[]).await;

    let path = folder.write("cert.pem", "no certificate");
    daemon.signal("HUP");

    let line = daemon.says("everything stays as it was").await;
    assert!(line.contains(&path), "{line}");
    let (_peer, shown) = connect(daemon.moq).await;
    assert_eq!(shown, first);
}

#[tokio::test]
async fn a_broken_configuration_leaves_everything_and_names_key_and_value() {
    let folder = Folder::new();
    let config = folder.write("relay.toml", OPEN);
    let mut daemon = Daemon::start(&config, &[], &[]).await;

    folder.write("relay.toml", "[moq]\nsessions_max = 0\n");
    daemon.signal("HUP");

    let line = daemon.says("everything stays as it was").await;
    assert!(line.contains("moq.sessions_max is 0"), "{line}");
    // Still open to everybody.
    Talk::begin(daemon.moq, "talk/voice").await.exchange().await;
}

#[tokio::test]
async fn limits_and_the_log_level_change_and_other_keys_are_named() {
    let folder = Folder::new();
    let config = folder.write("relay.toml", OPEN);
    let mut daemon = Daemon::start(&config, &[], &[]).await;
    let (_present, _) = connect(daemon.moq).await;

    let changed = format!(
        "{OPEN}[moq]\nsessions_max = 1\n[log]\nlevel = \"debug\"\n[calls]\ncalls_max = 7\n"
    );
    folder.write("relay.toml", &changed);
    daemon.signal("HUP");

    let line = daemon.says("need a restart").await;
    assert!(line.contains("calls.calls_max"), "{line}");
    assert!(!line.contains("sessions_max"), "{line}");
    assert!(
        crate::common::peer::quic(daemon.moq, "moqt-18")
            .await
            .is_err()
    );
    folder.write("relay.toml", OPEN);
    daemon.signal("HUP");
    daemon.says("were read again").await;
    connect(daemon.moq).await;
}

#[tokio::test]
async fn web_pages_are_told_at_once_where_else_the_relay_may_be() {
    let folder = Folder::new();
    let config = folder.write("relay.toml", OPEN);
    let mut daemon = Daemon::start(&config, &[], &[]).await;
    let (_, told) = get(daemon.http, "/api/v1/transport").await;
    assert!(!told.contains("others"), "{told}");

    folder.write(
        "relay.toml",
        &format!("{OPEN}[moq]\ngoaway_uri = \"https://b.example:4443/moq\"\n"),
    );
    daemon.signal("HUP");
    daemon.says("were read again").await;

    let (_, told) = get(daemon.http, "/api/v1/transport").await;
    assert!(
        told.contains("\"others\":[\"https://b.example:4443/moq\"]"),
        "{told}"
    );
}

#[tokio::test]
async fn token_keys_change_and_who_was_let_in_stays() {
    let folder = Folder::new();
    let key = |secret: &str| {
        format!("[[auth.keys]]\nid = \"k\"\nalgorithm = \"HS256\"\nsecret = \"{secret}\"\n")
    };
    let (old, new) = ("a".repeat(32), "b".repeat(32));
    let config = folder.write("relay.toml", &key(&old));
    let mut daemon = Daemon::start(&config, &[], &[]).await;
    let with_old = token(&config);
    let mut present = by_token(daemon.moq, &with_old).await.unwrap();

    folder.write("relay.toml", &key(&new));
    daemon.signal("HUP");
    daemon.says("were read again").await;

    assert!(by_token(daemon.moq, &with_old).await.is_err());
    assert!(by_token(daemon.moq, &token(&config)).await.is_ok());
    present
        .publish_namespace(&crate::common::namespace("room/a"))
        .await;
}

fn token(config: &str) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_moqrelay"))
        .args([
            "token", "--config", config, "--user", "anna", "--put", "room",
        ])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn by_token(
    addr: std::net::SocketAddr,
    token: &str,
) -> Result<Peer, web_transport_quinn::ClientError> {
    use crate::common::peer::{D18, url, web_transport};
    let request =
        web_transport_quinn::proto::ConnectRequest::new(url(addr, &format!("?token={token}")))
            .with_protocol("moqt-18");
    let session = web_transport(addr, request).await?;
    let config = moqrelay_moqt::Config::new(
        D18,
        moqrelay_moqt::Role::Client,
        moqrelay_moqt::Transport::WebTransport,
    );
    Ok(Peer::over(session, config).await)
}

fn with_tls(folder: &Folder, more: &str) -> String {
    let tls = format!(
        "{OPEN}[tls]\ncertificate = {:?}\nkey = {:?}\n{more}",
        folder.path("cert.pem"),
        folder.path("key.pem")
    );
    folder.write("relay.toml", &tls)
}

/// Writes a new certificate and its key; returns the certificate (DER).
fn certificate(folder: &Folder) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    folder.write("key.pem", &made.signing_key.serialize_pem());
    folder.write("cert.pem", &made.cert.pem());
    made.cert.der().to_vec()
}
