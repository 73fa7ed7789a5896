//! A UDP proxy that is a bad network.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use crate::{Impairment, Wire};

/// The largest UDP payload.
const PACKET_MAX: usize = 65_536;

/// Orders that wait.
const ORDERS_MAX: usize = 16;

/// A network between clients and a server, both IPv4; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Order {
    Change(Impairment),
    Rebind(tokio::sync::oneshot::Sender<()>),
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Begins on a free port of loopback, in the runtime of the caller. Both directions do the same
    /// to packets, each by a seed of its own.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub async fn start(server: SocketAddr, impairment: Impairment, seed: u64) -> io::Result<Self> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = front.local_addr()?;
        let (orders, orders_rx) = mpsc::channel(ORDERS_MAX);
        let (arrived_tx, arrived) = mpsc::unbounded_channel();
        let run = Run {
            server,
            front: Arc::new(front),
            wires: [
                Wire::new(impairment, seed),
                Wire::new(impairment, seed ^ 0xffff),
            ],
            clients: BTreeMap::new(),
            readers: JoinSet::new(),
            arrived_tx,
            under_way: BTreeMap::new(),
            next: 0,
        };
        Ok(Self {
            addr,
            orders,
            task: tokio::spawn(run.run(orders_rx, arrived)),
        })
    }

    /// Returns where clients reach the server.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Does otherwise to packets from now on.
    pub async fn change(&self, impairment: Impairment) {
        drop(self.orders.send(Order::Change(impairment)).await);
    }

    /// Gives every client another address in the server's eyes, as a NAT that was restarted does.
    /// What the server sends to the old ones is lost from the moment this returns.
    pub async fn rebind(&self) {
        let (done_tx, done) = tokio::sync::oneshot::channel();
        drop(self.orders.send(Order::Rebind(done_tx)).await);
        drop(done.await);
    }
}

/// A packet of the server's, and the client it is for.
struct Arrived(SocketAddr, Vec<u8>);

/// A packet, who sends it, and where to.
type Packet = (Arc<UdpSocket>, SocketAddr, Vec<u8>);

struct Run {
    server: SocketAddr,
    front: Arc<UdpSocket>,
    wires: [Wire; 2],
    /// The socket of each client towards the server.
    clients: BTreeMap<SocketAddr, Arc<UdpSocket>>,
    readers: JoinSet<()>,
    arrived_tx: mpsc::UnboundedSender<Arrived>,
    /// By time and order.
    under_way: BTreeMap<(Instant, u64), Packet>,
    next: u64,
}

impl Run {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut arrived: mpsc::UnboundedReceiver<Arrived>,
    ) {
        let front = self.front.clone();
        let mut packet = vec![0; PACKET_MAX];
        loop {
            self.deliver().await;
            let next = self.under_way.keys().next().map(|(at, _)| *at);
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                received = front.recv_from(&mut packet) => {
                    if let Ok((len, client)) = received
                        && let Some(back) = self.back(client).await
                    {
                        let server = self.server;
                        self.carry(0, back, server, packet[..len].to_vec());
                    }
                }
                Some(Arrived(client, packet)) = arrived.recv() => {
                    let front = self.front.clone();
                    self.carry(1, front, client, packet);
                }
                order = orders.recv() => match order {
                    Some(Order::Change(impairment)) => {
                        self.wires.iter_mut().for_each(|wire| wire.change(impairment));
                    }
                    Some(Order::Rebind(done)) => {
                        self.readers.shutdown().await;
                        self.clients.clear();
                        done.send(()).unwrap_or_default();
                    }
                    None => return,
                },
            }
        }
    }

    /// Returns a client's socket towards the server.
    async fn back(&mut self, client: SocketAddr) -> Option<Arc<UdpSocket>> {
        if let Some(back) = self.clients.get(&client) {
            return Some(back.clone());
        }
        let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.ok()?);
        self.clients.insert(client, back.clone());
        let (reader, tx) = (back.clone(), self.arrived_tx.clone());
        self.readers.spawn(async move {
            let mut packet = vec![0; PACKET_MAX];
            while let Ok((len, _)) = reader.recv_from(&mut packet).await {
                drop(tx.send(Arrived(client, packet[..len].to_vec())));
            }
        });
        Some(back)
    }

    fn carry(&mut self, wire: usize, by: Arc<UdpSocket>, to: SocketAddr, packet: Vec<u8>) {
        if let Some(at) = self.wires[wire].carry(packet.len(), Instant::now()) {
            self.next += 1;
            self.under_way.insert((at, self.next), (by, to, packet));
        }
    }

    async fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.under_way.first_entry()
            && first.key().0 <= now
        {
            let (by, to, packet) = first.remove();
            // A port that is closed is a loss.
            drop(by.send_to(&packet, to).await);
        }
    }
}
