//! The ports of the daemon: opened, or taken over from the process before.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
};

use anyhow::{Context, Result};
use moqrelay_bridge::{self as bridge, Bridge};
use tokio::net::TcpListener;

use crate::{bind, config::Config, upgrade::Inheritance};

/// All ports but that of MoQ.
pub(super) struct Ports {
    pub(super) http: TcpListener,
    pub(super) ops: TcpListener,
    pub(super) bridge: bridge::Listeners,
    /// Copies of what another process may take over, by the keys of the configuration.
    pub(super) copies: Copies,
}

pub(super) type Copies = BTreeMap<&'static str, (SocketAddr, OwnedFd)>;

impl Ports {
    /// Takes over what is inherited and opens the others.
    pub(super) async fn open(
        config: &Config,
        inheritance: &mut Option<Inheritance>,
    ) -> Result<Self> {
        let http = port(inheritance, HTTP, config.http.listen).await?;
        let ops = port(inheritance, METRICS, config.metrics.listen).await?;
        let audiosocket = match inherited(inheritance, AUDIOSOCKET, config.asterisk.audiosocket)? {
            Some(listener) => Ok(listener),
            None => Bridge::open_listener(config.asterisk.audiosocket),
        }
        .with_context(|| bind::occupied(AUDIOSOCKET, "TCP", config.asterisk.audiosocket))?;
        let websocket = match &config.asterisk.websocket {
            None => None,
            Some(ours) => Some(
                match inherited(inheritance, MEDIA, ours.listen)? {
                    Some(listener) => Ok(listener),
                    None => Bridge::open_listener(ours.listen),
                }
                .with_context(|| bind::occupied(MEDIA, "TCP", ours.listen))?,
            ),
        };
        let rtp = match config.asterisk.rtp {
            None => None,
            Some(addr) => Some(rtp_socket(addr, inheritance.is_some())?),
        };
        let media = config.asterisk.websocket.as_ref().zip(websocket.as_ref());
        let media = media.map(|(ours, listener)| (MEDIA, ours.listen, listener.as_fd()));
        let copies = [
            (HTTP, config.http.listen, http.as_fd()),
            (METRICS, config.metrics.listen, ops.as_fd()),
            (
                AUDIOSOCKET,
                config.asterisk.audiosocket,
                audiosocket.as_fd(),
            ),
        ]
        .into_iter()
        .chain(media)
        .map(|(key, addr, fd)| Ok((key, (addr, fd.try_clone_to_owned()?))))
        .collect::<std::io::Result<_>>()?;
        Ok(Self {
            http,
            ops,
            bridge: bridge::Listeners {
                audiosocket,
                websocket,
                rtp,
            },
            copies,
        })
    }
}

/// Where the daemon can be reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) moq: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) audiosocket: SocketAddr,
}

#[allow(
    clippy::print_stdout,
    reason = "the line that a person who starts it looks for"
)]
pub(super) fn announce(config: &Config, places: Places) {
    tracing::info!(
        moq = %places.moq,
        http = %places.http,
        audiosocket = %places.audiosocket,
        metrics = %places.metrics,
        guests = config.auth.guests,
        "moqrelay {} listens",
        env!("CARGO_PKG_VERSION")
    );
    println!("moqrelay: open http://localhost:{}", places.http.port());
}

/// Takes a port over, or opens it.
async fn port(
    inheritance: &mut Option<Inheritance>,
    key: &'static str,
    addr: SocketAddr,
) -> Result<TcpListener> {
    match inherited(inheritance, key, addr)? {
        Some(listener) => Ok(listener),
        None => bind::tcp(key, addr).await,
    }
}

fn inherited(
    inheritance: &mut Option<Inheritance>,
    key: &'static str,
    addr: SocketAddr,
) -> Result<Option<TcpListener>> {
    let listener = inheritance.as_mut().and_then(|it| it.port(key, addr));
    Ok(listener.map(TcpListener::from_std).transpose()?)
}

pub(super) fn copied(ports: &Copies) -> std::io::Result<Copies> {
    let copy = |(key, (addr, fd)): (&&'static str, &(SocketAddr, OwnedFd))| {
        Ok((*key, (*addr, fd.try_clone()?)))
    };
    ports.iter().map(copy).collect()
}

/// Opens the port of all RTP. An earlier daemon that still has calls keeps it: Asterisk is told the port with each
/// call, so another one does as well.
fn rtp_socket(addr: SocketAddr, takes_over: bool) -> Result<tokio::net::UdpSocket> {
    match Bridge::open_rtp(addr) {
        Err(error) if takes_over && error.kind() == std::io::ErrorKind::AddrInUse => {
            let socket = Bridge::open_rtp(SocketAddr::new(addr.ip(), 0))?;
            tracing::warn!(wanted = %addr, got = ?socket.local_addr(), "RTP has another port: the earlier daemon's calls need theirs");
            Ok(socket)
        }
        opened => opened.with_context(|| bind::occupied("asterisk.rtp", "UDP", addr)),
    }
}

/// The keys of the configuration by which ports are handed over.
const HTTP: &str = "http.listen";
const METRICS: &str = "metrics.listen";
const AUDIOSOCKET: &str = "asterisk.audiosocket";
const MEDIA: &str = "asterisk.websocket";
