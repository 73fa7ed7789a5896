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
