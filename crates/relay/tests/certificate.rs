//! The certificate: short-lived and renewed, or from files and reloaded.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use common::{Anyone, peer::url, soon};
use moqrelay_relay::{Config, Limits, Relay, Server, ServerConfig, Worker, server, tls};
use web_transport_quinn as wt;

const DAY: Duration = Duration::from_hours(24);

#[test]
fn a_development_certificate_is_announced_before_it_is_changed() {
    let now = SystemTime::now();
    let identity = tls::development(names(), now).unwrap();
    let first = identity.hashes();
    let change = identity.renewed_before().unwrap();
    assert_eq!(first.len(), 1);
    assert!(change > now + 11 * DAY && change < now + 13 * DAY);

    identity.renew(change - 2 * DAY).unwrap();
    assert_eq!(identity.hashes(), first);

    identity.renew(change - DAY / 2).unwrap();
    let both = identity.hashes();
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], first[0]);
    identity.renew(change - DAY / 4).unwrap();
    assert_eq!(identity.hashes(), both, "the next one is made once");

    identity.renew(change).unwrap();
    assert_eq!(identity.hashes(), [both[1]]);
    assert!(identity.renewed_before().unwrap() > change + 10 * DAY);
}

#[tokio::test]
async fn a_client_that_pins_the_hash_connects_before_and_after_a_renewal() {
    let (_relay, server) = start(tls::development(names(), SystemTime::now()).unwrap());
    let before = server.identity().hashes();
    connect_with(&server, &before).await.unwrap();

    let change = server.identity().renewed_before().unwrap();
    server.identity().renew(change - DAY / 2).unwrap();
    let around = server.identity().hashes();
    connect_with(&server, &around).await.unwrap();
    server.identity().renew(change).unwrap();

    connect_with(&server, &around).await.unwrap();
    assert!(connect_with(&server, &before).await.is_err());
}

#[tokio::test]
async fn pem_files_are_read_and_read_again() {
    let files = Files::new("reload");
    let first = files.write();
    let identity = tls::files(&files.certificate, &files.key).unwrap();
    assert!(identity.hashes().is_empty());
    assert_eq!(identity.renewed_before(), None);
    let (_relay, server) = start(identity);
    connect_with(&server, &[first]).await.unwrap();

    let second = files.write();
    server.identity().reload().unwrap();

    connect_with(&server, &[second]).await.unwrap();
    std::fs::write(&files.key, "no key").unwrap();
    assert!(server.identity().reload().is_err());
    connect_with(&server, &[second]).await.unwrap();
}

#[test]
fn files_that_do_not_serve_are_named() {
    let files = Files::new("broken");
    let missing = tls::files(&files.certificate, &files.key).unwrap_err();
    assert!(missing.to_string().contains("broken"), "{missing}");

    files.write();
    std::fs::write(&files.certificate, "nothing").unwrap();
    let empty = tls::files(&files.certificate, &files.key).unwrap_err();
    assert!(matches!(empty, tls::Error::NoCertificate(_)), "{empty}");

    files.write();
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&files.key, other.serialize_pem()).unwrap();
    let foreign = tls::files(&files.certificate, &files.key).unwrap_err();
    assert!(matches!(foreign, tls::Error::Unusable(_)), "{foreign}");
}

fn names() -> Vec<String> {
    vec!["localhost".into(), "127.0.0.1".into()]
}

fn start(tls: tls::Identity) -> (tokio::task::JoinSet<()>, Server) {
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls,
        authorize: Arc::new(Anyone),
        limits: Limits::default(),
        workers: NonZeroUsize::MIN,
    };
    let (server, workers) = server(&Relay::new(Config::default()), config).unwrap();
    (workers.into_iter().map(Worker::run).collect(), server)
}

async fn connect_with(server: &Server, hashes: &[[u8; 32]]) -> Result<(), wt::ClientError> {
    let hashes = hashes.iter().map(|hash| hash.to_vec()).collect();
    let client = wt::ClientBuilder::new()
        .with_server_certificate_hashes(hashes)
        .unwrap();
    let request = wt::proto::ConnectRequest::new(url(server.local_addr(), ""));
    soon(client.connect(request)).await.map(drop)
}

/// A certificate and a key in files that are gone afterwards.
struct Files {
    dir: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("moqrelay-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self {
            certificate: dir.join("certificate.pem"),
            key: dir.join("key.pem"),
            dir,
        }
    }

    /// Writes a new pair and returns the certificate's hash.
    fn write(&self) -> [u8; 32] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(names()).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(&self.certificate, certificate.pem()).unwrap();
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
        digest.as_ref().try_into().unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
