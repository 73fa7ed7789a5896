//! What a delivery asks of the heap: no more than quinn itself does.
//!
//! The relay's worker and a bare quinn sender each have a thread on which allocations are counted.
//! Both send the same to few and to many subscribers; what the additional ones cost is what counts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]
#![expect(unsafe_code, reason = "an allocator that counts")]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use common::{
    Anyone,
    peer::{Peer, Via, quic},
    soon, track,
};
use moqrelay_moqt::Parameters;
use moqrelay_relay::{
    Limits, Relay, ServerConfig, server, tls,
    track::{Info, Object, Writer},
};
use tokio::sync::{mpsc, oneshot};

/// The system's, with a count for threads that want one.
struct Counting;

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count() {
    if COUNTED.get() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is the system's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Objects sent before any is counted: buffers have their size by then.
const WARM_UP: u64 = 10;

/// Objects counted.
const OBJECTS: u64 = 20;

/// Subscribers, and how many more.
const FEW: u64 = 1;
const MORE: u64 = 6;

/// How objects travel.
#[derive(Debug, Clone, Copy)]
enum Way {
    Datagram,
    Subgroup,
}

impl Way {
    /// By how much quinn's own allocations differ from run to run.
    fn noise(self) -> f64 {
        match self {
            // Acknowledgements do not come in the same packets each time.
            Self::Datagram => 0.25,
            // quinn's queue of a stream shrinks when all of it is acknowledged, and grows again.
            Self::Subgroup => 0.75,
        }
    }
}

#[test]
fn a_delivery_allocates_no_more_than_quinn_does() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for way in [Way::Datagram, Way::Subgroup] {
        let floor = each(|subscribers| runtime.block_on(bare(way, subscribers)));
        for via in [Via::Quic, Via::WebTransport] {
            let ours = each(|subscribers| runtime.block_on(relayed(way, via, subscribers)));
            println!("{way:?} by {via:?}: {ours:.2} allocations a delivery, bare quinn {floor:.2}");
            assert!(
                ours <= floor + way.noise(),
                "{way:?} by {via:?}: {ours:.2} allocations a delivery, bare quinn {floor:.2}"
            );
        }
    }
}

/// What a delivery to one of the additional subscribers costs.
#[allow(clippy::cast_precision_loss, reason = "a few thousand")]
fn each(count: impl Fn(u64) -> u64) -> f64 {
    let (few, many) = (count(FEW), count(FEW + MORE));
    (many as f64 - few as f64) / (OBJECTS * MORE) as f64
}

/// Counts what a relay's worker allocates.
async fn relayed(way: Way, via: Via, subscribers: u64) -> u64 {
    let relay = Relay::new(moqrelay_relay::Config::default());
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: tls::development(vec!["localhost".into()], SystemTime::now()).unwrap(),
        authorize: Arc::new(Anyone),
        limits: Limits::default(),
        workers: NonZeroUsize::MIN,
    };
    let (server, workers) = server(&relay, config).unwrap();
    let threads: Vec<_> = workers
        .into_iter()
        .map(|worker| {
            std::thread::spawn(|| {
                COUNTED.set(true);
                worker.run_here().unwrap();
            })
        })
        .collect();
    let name = track("allocations", "voice");
    let mut writer = relay.publish(&name, Info::default()).unwrap();
    let mut peers = Vec::new();
    for _ in 0..subscribers {
        let mut peer = Peer::connect(server.local_addr(), via).await;
        peer.subscribed(&name, Parameters::default()).await;
        peers.push(peer);
    }

    let mut before = 0;
    for id in 0..WARM_UP + OBJECTS {
        if id == WARM_UP {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        write(&mut writer, way, id);
        for peer in &mut peers {
            peer.object().await;
        }
    }
    let counted = ALLOCATIONS.load(Ordering::Relaxed) - before;

    drop(peers);
    soon(server.drain("", Duration::ZERO)).await;
    for thread in threads {
        thread.join().unwrap();
    }
    counted
}

fn write(writer: &mut Writer, way: Way, id: u64) {
    let object = match way {
        Way::Datagram => Object {
            group: id,
            ..Object::default()
        },
        Way::Subgroup => Object {
            subgroup: Some(0),
            id,
            ..Object::default()
        },
    };
    let payload = Bytes::from_static(&[7; 80]);
    writer.write(Object { payload, ..object }).unwrap();
}

/// Counts what a thread allocates that sends the same by quinn alone.
async fn bare(way: Way, subscribers: u64) -> u64 {
    let (addr_tx, addr) = oneshot::channel();
    let (send_tx, send) = mpsc::unbounded_channel();
    let thread = std::thread::spawn(move || {
        COUNTED.set(true);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(bare_sender(way, subscribers, addr_tx, send));
    });
    let addr = addr.await.unwrap();
    let mut hearers = Vec::new();
    for _ in 0..subscribers {
        hearers.push(Hearer::new(quic(addr, "moqt-18").await.unwrap()));
    }

    let mut before = 0;
    for id in 0..WARM_UP + OBJECTS {
        if id == WARM_UP {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        send_tx.send(Bytes::from_static(&[7; 86])).unwrap();
        for hearer in &mut hearers {
            hearer.hear(way).await;
        }
    }
    let counted = ALLOCATIONS.load(Ordering::Relaxed) - before;

    drop((send_tx, hearers));
    thread.join().unwrap();
    counted
}

async fn bare_sender(
    way: Way,
    subscribers: u64,
    addr_tx: oneshot::Sender<SocketAddr>,
    mut send: mpsc::UnboundedReceiver<Bytes>,
) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    tls.alpn_protocols = vec![b"moqt-18".to_vec()];
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    addr_tx.send(endpoint.local_addr().unwrap()).unwrap();
    let mut members = Vec::new();
    for _ in 0..subscribers {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let stream = connection.open_uni().await.unwrap();
        members.push((connection, stream));
    }
    while let Some(bytes) = send.recv().await {
        for (connection, stream) in &mut members {
            match way {
                Way::Datagram => connection.send_datagram(bytes.clone()).unwrap(),
                Way::Subgroup => stream.write_chunk(bytes.clone()).await.unwrap(),
            }
        }
    }
}

/// A connection to the bare sender.
struct Hearer {
    connection: quinn::Connection,
    stream: Option<quinn::RecvStream>,
}

impl Hearer {
    fn new(connection: quinn::Connection) -> Self {
        Self {
            connection,
            stream: None,
        }
    }

    async fn hear(&mut self, way: Way) {
        if let Way::Datagram = way {
            soon(self.connection.read_datagram()).await.unwrap();
            return;
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(soon(self.connection.accept_uni()).await.unwrap()),
        };
        soon(stream.read_chunk(1000, true)).await.unwrap().unwrap();
    }
}
