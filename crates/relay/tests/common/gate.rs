//! A link between a peer and the relay that can be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinSet};

/// Hands packets on until it is dropped; while it is shut those to the peer are lost.
pub struct Gate {
    pub addr: SocketAddr,
    shut: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Gate {
    /// Leads one peer to a relay.
    pub async fn to(relay: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        back.connect(relay).await.unwrap();
        let addr = front.local_addr().unwrap();
        let shut = Arc::new(AtomicBool::new(false));
        let (peer_tx, peer) = tokio::sync::watch::channel(None);
        let mut tasks = JoinSet::new();
        {
            let (front, back) = (front.clone(), back.clone());
            tasks.spawn(async move {
                let mut packet = [0; 2048];
                while let Ok((len, from)) = front.recv_from(&mut packet).await {
                    peer_tx.send_replace(Some(from));
                    drop(back.send(&packet[..len]).await);
                }
            });
        }
        let closed = shut.clone();
        tasks.spawn(async move {
            let mut packet = [0; 2048];
            while let Ok(len) = back.recv(&mut packet).await {
                let to = *peer.borrow();
                if let Some(to) = to.filter(|_| !closed.load(Ordering::Acquire)) {
                    drop(front.send_to(&packet[..len], to).await);
                }
            }
        });
        Self {
            addr,
            shut,
            _tasks: tasks,
        }
    }

    pub fn shut(&self) {
        self.shut.store(true, Ordering::Release);
    }

    pub fn open(&self) {
        self.shut.store(false, Ordering::Release);
    }
}
