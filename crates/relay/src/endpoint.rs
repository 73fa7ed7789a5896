//! The one UDP socket and QUIC's settings on it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use moqrelay_moqt::Draft;
use quinn::crypto::rustls::QuicServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{limits::Limits, server::Error, tls::Identity};

/// What the kernel may hold of packets, in bytes, each way: a burst to 1,000 subscribers.
/// The kernel gives less when its own limit is lower (`net.core.rmem_max`, `wmem_max`).
const SOCKET_BUFFER: usize = 4 << 20;

/// Streams of each kind that a peer may open at first; more are allowed as it uses them. quinn
/// keeps some 40 bytes for each stream that may come, so that 1,000 would cost an idle session
/// more than all else together.
pub(crate) const STREAMS_AT_FIRST: u32 = 64;

/// Opens the socket and starts to listen.
pub(crate) fn listen(
    addr: SocketAddr,
    identity: &Identity,
    limits: &Limits,
) -> Result<quinn::Endpoint, Error> {
    let bind = |source| Error::Bind { addr, source };
    let socket = socket(addr).map_err(bind)?;
    let config = server_config(identity, limits)?;
    quinn::Endpoint::new(
        quinn::EndpointConfig::default(),
        Some(config),
        socket,
        Arc::new(quinn::TokioRuntime),
    )
    .map_err(bind)
}

/// Opens a socket that hears IPv4 too when it is bound to `[::]`.
fn socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    match open(addr) {
        // A kernel without IPv6: all addresses are all IPv4 addresses then.
        Err(error) if addr.is_ipv6() && addr.ip().is_unspecified() && lacks_ipv6(&error) => {
            tracing::warn!(%error, "no IPv6 here: listening on IPv4 only");
            open((Ipv4Addr::UNSPECIFIED, addr.port()).into())
        }
        other => other,
    }
}

fn open(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    for grown in [
        socket.set_recv_buffer_size(SOCKET_BUFFER),
        socket.set_send_buffer_size(SOCKET_BUFFER),
    ] {
        if let Err(error) = grown {
            tracing::debug!(%error, "the socket's buffers stay as they are");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn server_config(identity: &Identity, limits: &Limits) -> Result<quinn::ServerConfig, Error> {
    let alpn = std::iter::once(web_transport_quinn::ALPN)
        .chain(Draft::ALL.iter().map(|draft| draft.alpn()))
        .map(|alpn| alpn.as_bytes().to_vec())
        .collect();
    let tls = identity.server_config(alpn)?;
    let tls = QuicServerConfig::try_from(tls).map_err(|_| Error::Cipher)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport_config(limits)?))
        .max_incoming(limits.handshakes);
    Ok(config)
}

fn transport_config(limits: &Limits) -> Result<quinn::TransportConfig, Error> {
    let idle = limits.idle_timeout.try_into().map_err(|_| Error::Idle)?;
    let mut config = quinn::TransportConfig::default();
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(limits.keep_alive))
        .max_concurrent_bidi_streams(STREAMS_AT_FIRST.into())
        .max_concurrent_uni_streams(STREAMS_AT_FIRST.into())
        .stream_receive_window(limits.stream_receive_window.into())
        .receive_window(limits.receive_window.into())
        .send_window(limits.send_window)
        .datagram_receive_buffer_size(Some(limits.datagram_receive_bytes))
        .datagram_send_buffer_size(limits.datagram_send_bytes);
    Ok(config)
}
