//! A new process takes over the port of an old one whose sessions go on.
//!
//! The UDP sockets themselves are handed over, so that no packet is lost and the kernel's choice
//! among them stays as it is. From then on only the new process reads them. What belongs to a
//! connection of the old process (the generation in the connection id tells) it passes on by a
//! datagram socket, one for each worker; the old process sends by itself.

use std::{
    collections::BTreeSet,
    fmt, io,
    io::IoSliceMut,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::unix::net::UnixDatagram,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use moqrelay_moqt::Namespace;
use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};
use socket2::SockRef;

use crate::{
    endpoint::{CID_BYTES, Route},
    load::Inflow,
};

/// What may wait between two processes, in bytes: a burst of 1,000 voice packets. The kernel gives
/// less when its own limit is lower (`net.core.wmem_max`).
const LINK_BUFFER: usize = 1 << 20;

/// What goes from an old process to a new one. Everything is a copy: the old one goes on until
/// [`Server::step_aside`](crate::Server::step_aside).
#[derive(Debug)]
pub struct Estate {
    /// The sockets of the port, in the order of the workers.
    pub sockets: Vec<UdpSocket>,
    /// The processes whose connections still live, the giver itself first.
    pub elders: Vec<Elder>,
}

/// Which sessions stay in a process that has handed over.
#[derive(Debug)]
pub struct Keep {
    /// Those that have to do with namespaces below this one.
    pub below: Namespace,
    /// Those whose tokens say that they are these.
    pub bearers: BTreeSet<String>,
}

/// An earlier process that still has connections.
#[derive(Debug)]
pub struct Elder {
    /// The number in its connection ids.
    pub generation: u8,
    /// Where packets for its workers go, in their order.
    pub links: Vec<UnixDatagram>,
}

impl Elder {
    fn try_clone(&self) -> io::Result<Self> {
        let links = self.links.iter().map(UnixDatagram::try_clone);
        Ok(Self {
            generation: self.generation,
            links: links.collect::<io::Result<_>>()?,
        })
    }
}

/// What a server needs to hand its port over.
pub(crate) struct Bequest {
    generation: u8,
    sockets: Vec<UdpSocket>,
    elders: Vec<Elder>,
    links: Vec<UnixDatagram>,
    aside: Arc<AtomicBool>,
}

impl Bequest {
    /// Takes copies of the workers' sockets; returns the workers' ends of the links as well.
    pub(crate) fn new(
        generation: u8,
        sockets: &[UdpSocket],
        elders: Vec<Elder>,
    ) -> io::Result<(Self, Vec<Ends>)> {
        let aside = Arc::<AtomicBool>::default();
        let mut bequest = Self {
            generation,
            sockets: Vec::new(),
            elders: Vec::new(),
            links: Vec::new(),
            aside,
        };
        let mut ends = Vec::new();
        for (slot, socket) in sockets.iter().enumerate() {
            let (link, incoming) = UnixDatagram::pair()?;
            for end in [&link, &incoming] {
                end.set_nonblocking(true)?;
                if let Err(error) = SockRef::from(end).set_send_buffer_size(LINK_BUFFER) {
                    tracing::debug!(%error, "the link's buffer stays as it is");
                }
            }
            bequest.sockets.push(socket.try_clone()?);
            bequest.links.push(link);
            let older = elders.iter().filter_map(|elder| {
                let link = elder.links.get(slot)?.try_clone();
                Some(link.map(|link| Old::new(elder.generation, link)))
            });
            ends.push(Ends {
                incoming,
                older: older.collect::<io::Result<_>>()?,
                aside: bequest.aside.clone(),
            });
        }
        bequest.elders = elders;
        Ok((bequest, ends))
    }

    pub(crate) fn estate(&self) -> io::Result<Estate> {
        let sockets = self.sockets.iter().map(UdpSocket::try_clone);
        let own = Elder {
            generation: self.generation,
            links: Vec::new(),
        };
        let links = self.links.iter().map(UnixDatagram::try_clone);
        let own = Elder {
            links: links.collect::<io::Result<_>>()?,
            ..own
        };
        let elders = std::iter::once(Ok(own)).chain(self.elders.iter().map(Elder::try_clone));
        Ok(Estate {
            sockets: sockets.collect::<io::Result<_>>()?,
            elders: elders.collect::<io::Result<_>>()?,
        })
    }

    /// Lets the workers read the port, or only what the new process passes on.
    pub(crate) fn set_aside(&self, aside: bool) {
        self.aside.store(aside, Relaxed);
        for link in &self.links {
            // Wakes the worker. A full link does so, too.
            drop(link.send(&[]));
        }
    }
}

/// A worker's part of it.
pub(crate) struct Ends {
    incoming: UnixDatagram,
    older: Vec<Old>,
    aside: Arc<AtomicBool>,
}

/// The way to a worker of an earlier process.
struct Old {
    generation: u8,
    link: UnixDatagram,
    gone: AtomicBool,
}

impl Old {
    fn new(generation: u8, link: UnixDatagram) -> Self {
        Self {
            generation,
            link,
            gone: AtomicBool::new(false),
        }
    }

    /// Passes a packet on; false when nobody is there any more.
    fn pass(&self, message: &[u8]) -> bool {
        if self.gone.load(Relaxed) {
            return false;
        }
        match self.link.send(message) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                metrics::counter!("moqrelay_relay_handover_dropped_total").increment(1);
                true
            }
            Err(_) => {
                self.gone.store(true, Relaxed);
                false
            }
        }
    }
}

/// A worker's socket: reads the port and sorts out what belongs to earlier processes, or reads what
/// a later process passes on.
pub(crate) struct SharedSocket {
    udp: Arc<dyn AsyncUdpSocket>,
    slot: u8,
    older: Vec<Old>,
    incoming: tokio::net::UnixDatagram,
    aside: Arc<AtomicBool>,
    passed_on: AtomicU64,
    inflow: Arc<Inflow>,
}

impl fmt::Debug for SharedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSocket")
            .field("udp", &self.udp)
            .field("passed_on", &self.passed_on)
            .finish_non_exhaustive()
    }
}

impl SharedSocket {
    /// Must be made in the worker's runtime.
    pub(crate) fn new(
        udp: Arc<dyn AsyncUdpSocket>,
        route: Route,
        ends: Ends,
        inflow: Arc<Inflow>,
    ) -> io::Result<Self> {
        Ok(Self {
            udp,
            slot: route.slot,
            older: ends.older,
            incoming: tokio::net::UnixDatagram::from_std(ends.incoming)?,
            aside: ends.aside,
            passed_on: AtomicU64::new(0),
            inflow,
        })
    }

    /// Passes on what is not ours, and leaves a hole of no bytes where all of a buffer was not.
    fn sort(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) {
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let (mut from, mut kept) = (0, 0);
            while from < meta.len {
                let len = meta.stride.clamp(1, meta.len - from);
                let packet = &buf[from..from + len];
                let old = connection_id(packet).and_then(|id| self.owner(id));
                if !old.is_some_and(|old| self.pass(old, meta, packet)) {
                    buf.copy_within(from..from + len, kept);
                    kept += len;
                }
                from += len;
            }
            meta.len = kept;
        }
    }

    fn owner(&self, id: &[u8]) -> Option<&Old> {
        let [slot, generation, ..] = id else {
            return None;
        };
        let mut older = self.older.iter();
        older.find(|old| *slot == self.slot && *generation == old.generation)
    }

    fn pass(&self, old: &Old, meta: &RecvMeta, packet: &[u8]) -> bool {
        let mut message = Vec::with_capacity(ENVELOPE_BYTES + packet.len());
        message.extend_from_slice(&envelope(meta));
        message.extend_from_slice(packet);
        self.passed_on.fetch_add(1, Relaxed);
        old.pass(&message)
    }

    /// Reads what a later process passes on.
    fn poll_link(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta.iter_mut()) {
            let len = loop {
                match self.incoming.try_recv(buf) {
                    Ok(len) => break len,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if count > 0 {
                            return Poll::Ready(Ok(count));
                        }
                        ready!(self.incoming.poll_recv_ready(cx))?;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            };
            let Some(opened) = open(&buf[..len]) else {
                // Only a wake.
                *meta = RecvMeta::default();
                return Poll::Ready(Ok(count));
            };
            *meta = opened;
            buf.copy_within(ENVELOPE_BYTES..len, 0);
            count += 1;
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncUdpSocket for SharedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.udp.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.udp.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if !self.aside.load(Relaxed)
            && let Poll::Ready(count) = self.udp.poll_recv(cx, bufs, meta)
        {
            self.inflow.read();
            let count = count?;
            if !self.older.is_empty() {
                self.sort(&mut bufs[..count], &mut meta[..count]);
            }
            return Poll::Ready(Ok(count));
        }
        self.inflow.drained();
        self.poll_link(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.udp.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.udp.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.udp.may_fragment()
    }
}

/// Returns the destination connection id of a packet if it can be one of ours.
fn connection_id(packet: &[u8]) -> Option<&[u8]> {
    const LONG_HEADER: u8 = 0x80;
    match packet.first()? & LONG_HEADER {
        0 => packet.get(1..1 + CID_BYTES),
        // RFC 9000 section 17.2: flags, version, the id's length, the id.
        _ if usize::from(*packet.get(5)?) == CID_BYTES => packet.get(6..6 + CID_BYTES),
        _ => None,
    }
}

/// Flags, congestion bits, port, scope, source and destination address.
const ENVELOPE_BYTES: usize = 40;

const SOURCE_IS_V6: u8 = 1;
const HAS_DESTINATION: u8 = 2;
const DESTINATION_IS_V6: u8 = 4;

/// Writes down where a packet came from.
fn envelope(meta: &RecvMeta) -> [u8; ENVELOPE_BYTES] {
    let (source_v6, source) = bits(meta.addr.ip());
    let (destination_v6, destination) = meta.dst_ip.map_or((false, 0), bits);
    let scope = match meta.addr {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(addr) => addr.scope_id(),
    };
    let mut envelope = [0; ENVELOPE_BYTES];
    for (set, flag) in [
        (source_v6, SOURCE_IS_V6),
        (meta.dst_ip.is_some(), HAS_DESTINATION),
        (destination_v6, DESTINATION_IS_V6),
    ] {
        if set {
            envelope[0] |= flag;
        }
    }
    envelope[1] = meta.ecn.map_or(0, |ecn| ecn as u8);
    envelope[2..4].copy_from_slice(&meta.addr.port().to_be_bytes());
    envelope[4..8].copy_from_slice(&scope.to_be_bytes());
    envelope[8..24].copy_from_slice(&source.to_be_bytes());
    envelope[24..40].copy_from_slice(&destination.to_be_bytes());
    envelope
}

/// Reads where a packet came from; `None` for what is no packet.
fn open(message: &[u8]) -> Option<RecvMeta> {
    let (envelope, packet) = message.split_first_chunk::<ENVELOPE_BYTES>()?;
    let flags = envelope[0];
    let port = u16::from_be_bytes([envelope[2], envelope[3]]);
    let scope = u32::from_be_bytes(envelope[4..8].try_into().ok()?);
    let source = u128::from_be_bytes(envelope[8..24].try_into().ok()?);
    let destination = u128::from_be_bytes(envelope[24..40].try_into().ok()?);
    let addr = match address(flags & SOURCE_IS_V6 != 0, source) {
        IpAddr::V4(ip) => SocketAddr::from((ip, port)),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    };
    Some(RecvMeta {
        addr,
        len: packet.len(),
        stride: packet.len(),
        ecn: EcnCodepoint::from_bits(envelope[1]),
        dst_ip: (flags & HAS_DESTINATION != 0)
            .then(|| address(flags & DESTINATION_IS_V6 != 0, destination)),
    })
}

fn bits(ip: IpAddr) -> (bool, u128) {
    match ip {
        IpAddr::V4(ip) => (false, ip.to_ipv6_mapped().to_bits()),
        IpAddr::V6(ip) => (true, ip.to_bits()),
    }
}

fn address(v6: bool, bits: u128) -> IpAddr {
    let ip = Ipv6Addr::from_bits(bits);
    match ip.to_ipv4_mapped() {
        Some(ip) if !v6 => ip.into(),
        _ => ip.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_tells_where_its_packet_came_from() {
        let addresses = [
            ("192.0.2.1:5", Some("192.0.2.9")),
            ("[::ffff:192.0.2.1]:5", Some("::ffff:192.0.2.9")),
            ("[2001:db8::1]:65535", None),
        ];
        for (addr, dst_ip) in addresses {
            for ecn in [None, Some(EcnCodepoint::Ect0), Some(EcnCodepoint::Ce)] {
                let meta = RecvMeta {
                    addr: addr.parse().unwrap(),
                    dst_ip: dst_ip.map(|ip| ip.parse().unwrap()),
                    ecn,
                    ..RecvMeta::default()
                };
                let mut message = envelope(&meta).to_vec();
                message.extend_from_slice(b"packet");

                let opened = open(&message).unwrap();

                assert_eq!((opened.addr, opened.dst_ip), (meta.addr, meta.dst_ip));
                assert_eq!(opened.ecn, ecn);
                assert_eq!((opened.len, opened.stride), (6, 6));
            }
        }
    }

    #[test]
    fn what_is_shorter_than_an_envelope_is_no_packet() {
        assert!(open(&[]).is_none());
        assert!(open(&[0; ENVELOPE_BYTES - 1]).is_none());
    }

    #[test]
    fn the_connection_id_is_found_behind_both_headers() {
        let id = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut short = vec![0x40];
        short.extend_from_slice(&id);
        let mut long = vec![0xc0, 0, 0, 0, 1, 8];
        long.extend_from_slice(&id);

        assert_eq!(connection_id(&short), Some(&id[..]));
        assert_eq!(connection_id(&long), Some(&id[..]));
        long[5] = 20;
        assert_eq!(connection_id(&long), None);
        for cut in 0..short.len() {
            assert_eq!(connection_id(&short[..cut]), None);
        }
    }
}
