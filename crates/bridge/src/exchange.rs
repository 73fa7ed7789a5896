//! The one UDP port for the RTP of all legs: gives each datagram to the leg that expects its sender.
//!
//! Asterisk gives every external media channel a port of its own and says which, so the sender's address is the key
//! and is known before the first packet. Whoever else sends is counted and heard by nobody.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use metrics::{Counter, counter};
use tokio::{net::UdpSocket, sync::mpsc};

/// Datagrams of one leg that wait to be read, about a second; who does not read for longer loses the newest.
const DATAGRAMS_WAITING_MAX: usize = 64;

/// Legs that are about to join; each does within microseconds.
const JOINS_WAITING_MAX: usize = 256;

/// The longest datagram that a network without fragments carries.
const DATAGRAM_BYTES_MAX: usize = 1500;

/// Room for datagrams is taken in pieces of this, so that a packet costs no allocation of its own.
const ROOM_BYTES: usize = 64 * 1024;

/// Between two looks for legs that have left.
const JOINS_PER_SWEEP: u32 = 64;

/// A datagram and its sender.
pub(crate) type Datagram = (SocketAddr, Bytes);

/// The way for legs into the exchange; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    socket: Arc<UdpSocket>,
    joins: mpsc::Sender<Join>,
}

#[derive(Debug)]
struct Join {
    from: Vec<SocketAddr>,
    inbox: mpsc::Sender<Datagram>,
}

impl Exchange {
    /// Returns the exchange of a socket, and its work, which ends when every clone is dropped.
    pub(crate) fn new(socket: UdpSocket) -> (Self, impl Future<Output = ()> + Send) {
        let socket = Arc::new(socket);
        let (joins, joins_rx) = mpsc::channel(JOINS_WAITING_MAX);
        let work = run(socket.clone(), joins_rx);
        (Self { socket, joins }, work)
    }

    /// Begins to hear what these addresses send; it ends when the receiver is dropped.
    pub(crate) async fn join(&self, from: Vec<SocketAddr>) -> io::Result<mpsc::Receiver<Datagram>> {
        let (inbox, datagrams) = mpsc::channel(DATAGRAMS_WAITING_MAX);
        let joined = self.joins.send(Join { from, inbox }).await;
        joined.map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
        Ok(datagrams)
    }

    /// Sends a datagram, or drops it when the kernel has no room.
    pub(crate) fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<bool> {
        match self.socket.try_send_to(datagram, to) {
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(false),
                // What is said of an earlier datagram by ICMP says nothing of this one.
                io::ErrorKind::ConnectionRefused => Ok(false),
                _ => Err(error),
            },
        }
    }
}

async fn run(socket: Arc<UdpSocket>, mut joins: mpsc::Receiver<Join>) {
    let mut legs: HashMap<SocketAddr, mpsc::Sender<Datagram>> = HashMap::new();
    let mut room = BytesMut::new();
    let mut until_sweep = JOINS_PER_SWEEP;
    let strangers = counter!("moqrelay_bridge_rtp_dropped_total", "cause" => "stranger");
    let full = counter!("moqrelay_bridge_rtp_dropped_total", "cause" => "full");
    loop {
        room.clear();
        if room.capacity() < DATAGRAM_BYTES_MAX {
            room.reserve(ROOM_BYTES);
        }
        tokio::select! {
            biased;
            joined = joins.recv() => {
                let Some(Join { from, inbox }) = joined else { return };
                until_sweep -= 1;
                if until_sweep == 0 {
                    until_sweep = JOINS_PER_SWEEP;
                    legs.retain(|_, inbox| !inbox.is_closed());
                }
                for addr in from {
                    legs.insert(addr, inbox.clone());
                }
            }
            received = socket.recv_buf_from(&mut room) => match received {
                Ok((_, from)) => deliver(&mut legs, from, room.split().freeze(), &strangers, &full),
                Err(error) => tracing::debug!(%error, "no datagram could be read"),
            },
        }
    }
}

fn deliver(
    legs: &mut HashMap<SocketAddr, mpsc::Sender<Datagram>>,
    from: SocketAddr,
    datagram: Bytes,
    strangers: &Counter,
    full: &Counter,
) {
    let Some(inbox) = legs.get(&from) else {
        tracing::trace!(%from, "a datagram of a stranger");
        return strangers.increment(1);
    };
    match inbox.try_send((from, datagram)) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => full.increment(1),
        Err(mpsc::error::TrySendError::Closed(_)) => {
            legs.remove(&from);
        }
    }
}
