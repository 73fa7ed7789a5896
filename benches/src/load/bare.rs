//! The floor: a process that hands on what arrives, on quinn and nothing else.
//!
//! A connection enters a room; what a member sends, each other member gets: a datagram as a datagram, a stream as a
//! stream, bytes as they are. No MoQT, no HTTP/3, no table of tracks, no limits: a relay cannot cost less on quinn.

use std::{cell::RefCell, collections::BTreeMap, net::SocketAddr, rc::Rc, sync::Arc};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::task::{LocalSet, spawn_local};

use crate::client::BARE_ALPN;

/// Where to listen.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The UDP address; the default is a free port, which is printed.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Members by room. One thread: no lock.
type Rooms = Rc<RefCell<BTreeMap<u32, Vec<quinn::Connection>>>>;

/// Bytes of a datagram that quinn may keep to send, of each connection: as a relay has it.
const DATAGRAM_BYTES: usize = 64 << 10;

/// The most read from a stream at once, in bytes.
const CHUNK: usize = 64 << 10;

/// Serves until it is killed, on one thread.
pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, serve(args.listen))
}

async fn serve(listen: SocketAddr) -> Result<()> {
    let endpoint = quinn::Endpoint::server(server_config()?, listen)
        .with_context(|| format!("cannot listen on {listen}"))?;
    // Whoever started this waits for the line.
    println!("bare: {}", endpoint.local_addr()?);
    let rooms = Rooms::default();
    while let Some(incoming) = endpoint.accept().await {
        let rooms = rooms.clone();
        spawn_local(async move {
            // A connection that fails is a member that leaves.
            drop(member(incoming, &rooms).await);
        });
    }
    Ok(())
}

fn server_config() -> Result<quinn::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    tls.alpn_protocols = vec![BARE_ALPN.as_bytes().to_vec()];
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let mut transport = quinn::TransportConfig::default();
    transport.datagram_send_buffer_size(DATAGRAM_BYTES);
    config.transport_config(Arc::new(transport));
    Ok(config)
}

async fn member(incoming: quinn::Incoming, rooms: &Rooms) -> Result<()> {
    let connection = incoming.await?;
    let (mut send, mut recv) = connection.accept_bi().await?;
    let mut room = [0; 4];
    recv.read_exact(&mut room).await?;
    let room = u32::from_be_bytes(room);
    let id = connection.stable_id();
    let enter = connection.clone();
    rooms.borrow_mut().entry(room).or_default().push(enter);
    send.write_all(&[1]).await?;
    send.finish()?;

    let datagrams = spawn_local(hand_on_datagrams(connection.clone(), room, rooms.clone()));
    while let Ok(stream) = connection.accept_uni().await {
        let (connection, rooms) = (connection.clone(), rooms.clone());
        spawn_local(async move {
            // A stream that fails ends with what was handed on of it.
            drop(hand_on_stream(stream, &connection, room, &rooms).await);
        });
    }
    datagrams.abort();
    if let Some(members) = rooms.borrow_mut().get_mut(&room) {
        members.retain(|member| member.stable_id() != id);
    }
    Ok(())
}

async fn hand_on_datagrams(connection: quinn::Connection, room: u32, rooms: Rooms) {
    let id = connection.stable_id();
    while let Ok(datagram) = connection.read_datagram().await {
        for member in rooms.borrow().get(&room).into_iter().flatten() {
            if member.stable_id() != id {
                // One that has gone is removed by its own task.
                drop(member.send_datagram(datagram.clone()));
            }
        }
    }
}

async fn hand_on_stream(
    mut from: quinn::RecvStream,
    connection: &quinn::Connection,
    room: u32,
    rooms: &Rooms,
) -> Result<()> {
    let id = connection.stable_id();
    let others: Vec<quinn::Connection> = rooms
        .borrow()
        .get(&room)
        .into_iter()
        .flatten()
        .filter(|member| member.stable_id() != id)
        .cloned()
        .collect();
    let mut streams = Vec::with_capacity(others.len());
    for other in &others {
        if let Ok(stream) = other.open_uni().await {
            streams.push(stream);
        }
    }
    while let Some(chunk) = from.read_chunk(CHUNK, true).await? {
        for stream in &mut streams {
            let mut bytes: [Bytes; 1] = [chunk.bytes.clone()];
            drop(stream.write_all_chunks(&mut bytes).await);
        }
    }
    for stream in &mut streams {
        drop(stream.finish());
    }
    Ok(())
}
