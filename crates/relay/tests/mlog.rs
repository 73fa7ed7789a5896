//! The log of a session: what is in it, what is not, and how much of it there is.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{
    Anyone, Running,
    peer::{BOTH, Peer, Via},
    relay_from, track, until,
};
use moqrelay_moqt::{AuthToken, Parameters, Token};
use moqrelay_relay::{
    Config, Limits,
    mlog::{self, LogError},
    track::{Info, Object},
};

#[tokio::test]
async fn a_sampled_session_is_logged_without_secrets_and_payloads() {
    for via in BOTH {
        let folder = Folder::new(&format!("sampled-{via:?}"));
        let relay = relay(folder.config(1));
        let name = track("room/1", "voice");
        let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
        let mut peer = Peer::connect_with(relay.addr(), via, |config| {
            config.implementation = Some("tester/1".into());
            config.authorization = vec![Token::UseValue(AuthToken {
                token_type: 0,
                value: "of setup: secret".into(),
            })];
            config.path = Some("/moq?token=of-path-secret".into());
        })
        .await;
        let params = Parameters {
            authorization: vec![Token::UseValue(AuthToken {
                token_type: 0,
                value: "of a request: secret".into(),
            })],
            ..Parameters::default()
        };
        peer.subscribed(&name, params).await;
        for subgroup in [None, Some(0)] {
            let object = Object {
                group: 7,
                subgroup,
                id: u64::from(subgroup.is_some()),
                payload: "secret sound".into(),
                ..Object::default()
            };
            writer.write(object).unwrap();
            peer.object().await;
        }
        peer.session.close(0, b"bye");
        until("it is gone", || relay.relay.stats().sessions == 0).await;

        let text = folder.only_log();

        for wanted in [
            "\u{1e}{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\"",
            "\"name\":\"moqt:control_message_parsed\"",
            "\"name\":\"moqt:control_message_created\"",
            "\"type\":\"setup\"",
            "{\"name\":\"implementation\",\"value\":\"tester/1\"}",
            "\"type\":\"subscribe\",\"request_id\":0,\"track_namespace\":[{\"value\":\"room\"},{\"value\":\"1\"}]",
            "\"alias_type\":\"use_value\",\"token_type\":0,\"token_value\":{\"length\":20}",
            "\"type\":\"subscribe_ok\"",
            "\"name\":\"moqt:object_datagram_created\"",
            "\"name\":\"moqt:subgroup_header_created\"",
            "\"name\":\"moqt:subgroup_object_created\"",
            "\"object_payload_length\":12",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        assert!(!text.contains("secret"), "{text}");
        assert!(
            text.lines()
                .all(|line| line.starts_with("\u{1e}{") && line.ends_with('}'))
        );
    }
}

#[tokio::test]
async fn a_session_that_an_operator_names_is_logged_from_then_on() {
    let folder = Folder::new("named");
    let relay = relay(folder.config(0));
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let id = relay.relay.sessions(None, 1).items[0].id;

    let path = relay.relay.log_session(id).unwrap();
    until("the log is there", || path.exists()).await;
    let refused = peer
        .subscribe(&track("no", "such"), Parameters::default())
        .await;
    peer.rejected(refused).await;
    peer.session.close(0, b"bye");
    until("it is gone", || relay.relay.stats().sessions == 0).await;

    let text = fs::read_to_string(path).unwrap();
    assert!(!text.contains("\"type\":\"setup\""), "{text}");
    assert!(text.contains("\"type\":\"subscribe\""), "{text}");
    assert!(
        text.contains("\"type\":\"request_error\",\"error_code\":16"),
        "{text}"
    );
    assert_eq!(relay.relay.log_session(id), Err(LogError::NoSession));
}

#[tokio::test]
async fn without_a_folder_nothing_is_logged() {
    let relay = common::open_relay();
    let _peer = Peer::connect(relay.addr(), Via::Quic).await;
    let id = relay.relay.sessions(None, 1).items[0].id;

    assert_eq!(relay.relay.log_session(id), Err(LogError::Off));
}

#[tokio::test]
async fn logs_are_bounded_in_size_and_number() {
    let folder = Folder::new("bounded");
    let config = mlog::Config {
        file_bytes: 2000,
        files: 3,
        ..folder.config(1)
    };
    let relay = relay(config);
    for round in 0..5 {
        let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
        for id in 0..20 {
            let name = track("room", &format!("{round}-{id}"));
            let refused = peer.subscribe(&name, Parameters::default()).await;
            peer.rejected(refused).await;
        }
        peer.session.close(0, b"bye");
        until("it is gone", || relay.relay.stats().sessions == 0).await;
    }

    let logs = folder.logs();
    assert_eq!(logs.len(), 3);
    for log in logs {
        let size = fs::metadata(log).unwrap().len();
        assert!(size > 1000 && size <= 2000, "{size}");
    }
}

#[tokio::test]
async fn connections_are_logged_by_sampling_from_their_beginning() {
    let folder = Folder::new("qlog");
    let relay = relay_with_qlog(folder.config(2));
    for via in [Via::WebTransport, Via::Quic, Via::Quic] {
        let peer = Peer::connect(relay.addr(), via).await;
        peer.session.close(0, b"bye");
        until("it is gone", || relay.relay.stats().sessions == 0).await;
    }

    until("two of three are complete", || {
        let logs = folder.files("sqlog");
        let complete = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            text.starts_with("\u{1e}{")
                && text.contains("transport:packet_sent")
                && text.contains("transport:packet_received")
                && text.contains("recovery:metrics_updated")
        };
        logs.len() == 2 && logs.iter().all(complete)
    })
    .await;
}

#[tokio::test]
async fn an_operator_asks_for_the_next_connection_from_an_address() {
    let folder = Folder::new("next");
    let config = mlog::Config {
        file_bytes: 3000,
        ..folder.config(0)
    };
    let relay = relay_with_qlog(config);
    let _before = Peer::connect(relay.addr(), Via::Quic).await;
    let elsewhere = "192.0.2.1".parse().unwrap();
    assert_eq!(
        relay.relay.log_next_connection(elsewhere),
        Ok(folder.0.clone())
    );
    let _unasked = Peer::connect(relay.addr(), Via::Quic).await;
    assert!(!folder.0.exists(), "nobody asked for these");

    let asked = relay.relay.log_next_connection(relay.addr().ip());
    assert_eq!(asked, Ok(folder.0.clone()));
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let _after = Peer::connect(relay.addr(), Via::Quic).await;
    for id in 0..20 {
        let name = track("room", &id.to_string());
        let refused = peer.subscribe(&name, Parameters::default()).await;
        peer.rejected(refused).await;
    }
    peer.session.close(0, b"bye");

    let logs = folder.files("sqlog");
    assert_eq!(logs.len(), 1, "only the first one");
    until("it is written as far as it may be", || {
        let size = fs::metadata(&logs[0]).unwrap().len();
        assert!(size <= 3000, "{size}");
        size > 2000
    })
    .await;
}

#[tokio::test]
async fn without_a_folder_no_connection_is_logged() {
    let relay = common::open_relay();

    let asked = relay.relay.log_next_connection(relay.addr().ip());

    assert_eq!(asked, Err(LogError::Off));
}

fn relay_with_qlog(qlog: mlog::Config) -> Running {
    let config = Config {
        qlog: Some(qlog),
        ..Config::default()
    };
    relay_from(config, "127.0.0.1:0", Anyone, Limits::default())
}

fn relay(log: mlog::Config) -> Running {
    let config = Config {
        log: Some(log),
        ..Config::default()
    };
    relay_from(config, "127.0.0.1:0", Anyone, Limits::default())
}

/// A folder for logs that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("moqrelay-mlog-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn config(&self, sample: u32) -> mlog::Config {
        mlog::Config {
            folder: self.0.clone(),
            sample,
            file_bytes: 1 << 20,
            files: 8,
            age: Duration::from_hours(1),
        }
    }

    fn logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Logs whose names end so.
    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let mut logs = self.logs();
        logs.retain(|path| path.extension().is_some_and(|it| it == extension));
        logs
    }

    fn only_log(&self) -> String {
        let logs = self.logs();
        assert_eq!(logs.len(), 1);
        read(&logs[0])
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
