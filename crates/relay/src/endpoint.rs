//! UDP sockets that share a port, and QUIC's settings on them.
//!
//! Each worker has a socket of its own (`SO_REUSEPORT`). The kernel would choose among them by the
//! client's address, which changes when a client moves; so it is told to look at the connection id
//! instead, of which the first byte is the worker's number.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::rand::fill;
use moqrelay_moqt::Draft;
use quinn::{Runtime as _, crypto::rustls::QuicServerConfig};
use quinn_proto::InvalidCid;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::{
    limits::Limits,
    load::Inflow,
    reuseport,
    server::Error,
    takeover::{Elder, Ends, SharedSocket},
    tls::Identity,
};

/// What the kernel may hold of packets, in bytes, each way: a burst to 1,000 subscribers.
/// The kernel gives less when its own limit is lower (`net.core.rmem_max`, `wmem_max`).
const SOCKET_BUFFER: usize = 4 << 20;

/// Streams of each kind that a peer may open at first; more are allowed as it uses them. quinn
/// keeps some 40 bytes for each stream that may come, so that 1,000 would cost an idle session
/// more than all else together.
pub(crate) const STREAMS_AT_FIRST: u32 = 64;

/// Bytes of a connection id: the worker, the generation, and six that nobody can guess.
pub(crate) const CID_BYTES: usize = 8;

/// Where a worker's packets go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    /// The worker's number, and its socket's among those of the port.
    pub(crate) slot: u8,
    /// Tells this process's connections from those of others on the same port.
    pub(crate) generation: u8,
}

/// Makes connection ids that lead to one worker.
struct ConnectionIds(Route);

/// Chooses a number for this process, other than those of earlier ones that still have connections.
pub(crate) fn generation(elders: &[Elder]) -> io::Result<u8> {
    let mut drawn = [0];
    fill(&mut drawn).map_err(io::Error::other)?;
    let taken = |number: &u8| elders.iter().any(|elder| elder.generation == *number);
    // There are never as many processes as numbers.
    let mut numbers = (0..=u8::MAX).map(|step| drawn[0].wrapping_add(step));
    numbers
        .find(|number| !taken(number))
        .ok_or_else(|| io::Error::other("too many earlier processes"))
}

/// Opens a socket for each worker; fewer when the kernel cannot tell their packets apart.
pub(crate) fn sockets(addr: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let first = socket(addr)?;
    let addr = first.local_addr()?;
    let mut sockets = vec![first];
    if workers < 2 {
        return Ok(sockets);
    }
    if let Err(error) = share(addr, workers, &mut sockets) {
        tracing::warn!(%error, "one worker: the kernel does not route by connection id");
        sockets.truncate(1);
    }
    Ok(sockets)
}

/// Lets more sockets share the first one's port.
fn share(addr: SocketAddr, workers: usize, sockets: &mut Vec<UdpSocket>) -> io::Result<()> {
    // The first socket was bound alone, so that a port in use is found out; it shares from now on.
    SockRef::from(&sockets[0]).set_reuse_port(true)?;
    // In this order: a socket's place in the group is its worker's number.
    for _ in 1..workers {
        sockets.push(bind(unbound(addr, Sharing::Port)?, addr)?);
    }
    reuseport::route_by_connection_id(&sockets[0], workers)
}

/// Starts QUIC on a worker's socket, in the runtime of the caller.
pub(crate) fn start(
    socket: &UdpSocket,
    config: &quinn::ServerConfig,
    route: Route,
    ends: Ends,
    inflow: Arc<Inflow>,
) -> io::Result<quinn::Endpoint> {
    // Its key for stateless resets is its own: another worker cannot end this one's connections.
    let mut endpoint = quinn::EndpointConfig::default();
    endpoint.cid_generator(move || Box::new(ConnectionIds(route)));
    let runtime = Arc::new(quinn::TokioRuntime);
    let udp = runtime.wrap_udp_socket(socket.try_clone()?)?;
    let shared = SharedSocket::new(udp, route, ends, inflow)?;
    quinn::Endpoint::new_with_abstract_socket(
        endpoint,
        Some(config.clone()),
        Arc::new(shared),
        runtime,
    )
}

impl quinn::ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        let mut id = [0; CID_BYTES];
        // What is left of it when the system has no randomness still names a connection, once.
        fill(&mut id).expect("the system has random numbers: TLS needs them before this");
        id[0] = self.0.slot;
        id[1] = self.0.generation;
        quinn::ConnectionId::new(&id)
    }

    fn validate(&self, id: &quinn::ConnectionId) -> Result<(), InvalidCid> {
        // What is not ours gets no stateless reset.
        match **id {
            [slot, generation, ..] if slot == self.0.slot && generation == self.0.generation => {
                Ok(())
            }
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
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
    bind(unbound(addr, Sharing::Nothing)?, addr)
}

/// Whether a socket shares its port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Nothing,
    Port,
}

fn unbound(addr: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    if sharing == Sharing::Port {
        socket.set_reuse_port(true)?;
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
    Ok(socket)
}

fn bind(socket: Socket, addr: SocketAddr) -> io::Result<UdpSocket> {
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

pub(crate) fn server_config(
    identity: &Identity,
    limits: &Limits,
    drafts: &[Draft],
) -> Result<quinn::ServerConfig, Error> {
    let alpn = std::iter::once(web_transport_quinn::ALPN)
        .chain(drafts.iter().map(|draft| draft.alpn()))
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

pub(crate) fn transport_config(limits: &Limits) -> Result<quinn::TransportConfig, Error> {
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
