//! What the tests share: a relay on loopback, and a peer that says exactly what it is told to.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, unreachable_pub)]

pub mod gate;
pub mod peer;
pub mod voice;

use std::{
    future::Future,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use moqrelay_moqt::{FullTrackName, Namespace};
use moqrelay_relay::{
    AuthError, Authorize, Config, Grants, Limits, Relay, Server, ServerConfig, Worker, server, tls,
};

/// Only a fault takes this long.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A relay that listens on loopback until it is dropped.
pub struct Running {
    pub relay: Relay,
    pub server: Server,
    /// Aborted when it is dropped.
    _workers: tokio::task::JoinSet<()>,
}

impl Running {
    pub fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }
}

/// Everyone may do everything.
pub struct Anyone;

impl Authorize for Anyone {
    fn authorize(&self, _token: Option<&str>) -> Result<Grants, AuthError> {
        Ok(Grants::everything())
    }
}

pub fn open_relay() -> Running {
    relay_with("127.0.0.1:0", Anyone, Limits::default())
}

/// A relay that speaks what is not offered by default, too.
pub fn relay_of_every_draft() -> Running {
    let config = Config {
        drafts: moqrelay_moqt::Draft::ALL.to_vec(),
        ..Config::default()
    };
    relay_from(config, "127.0.0.1:0", Anyone, Limits::default())
}

pub fn relay_with(listen: &str, authorize: impl Authorize, limits: Limits) -> Running {
    relay_from(Config::default(), listen, authorize, limits)
}

pub fn relay_from(
    config: Config,
    listen: &str,
    authorize: impl Authorize,
    limits: Limits,
) -> Running {
    let relay = Relay::new(config);
    let config = ServerConfig {
        listen: listen.parse().unwrap(),
        tls: tls::development(vec!["localhost".into()], SystemTime::now()).unwrap(),
        authorize: Arc::new(authorize),
        limits,
        workers: NonZeroUsize::MIN,
    };
    let (server, workers) = server(&relay, config).unwrap();
    Running {
        relay,
        server,
        _workers: workers.into_iter().map(Worker::run).collect(),
    }
}

pub fn namespace(path: &str) -> Namespace {
    Namespace::new(
        path.split('/')
            .map(|field| field.as_bytes().to_vec())
            .filter(|field| !field.is_empty()),
    )
    .unwrap()
}

pub fn track(path: &str, name: &str) -> FullTrackName {
    FullTrackName::new(namespace(path), name.as_bytes().to_vec()).unwrap()
}

/// Fails when something takes as long as only a fault does.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what)
        .await
        .expect("it never happened")
}

/// Waits until a condition that something else brings about holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
