//! Reads objects as they come, counts them, and notes how late they are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    GroupOrder,
    data::{self, Datagram, FetchDecoder, FetchItem, StreamKind, SubgroupDecoder, SubgroupItem},
};
use tokio::sync::mpsc;
use web_transport_quinn as wt;

use super::{DRAFT, Reading, driver::Heard};
use crate::load::log::Log;

/// Hears the objects of one session.
#[derive(Debug)]
pub(crate) struct Ear {
    log: Arc<Log>,
    heard: AtomicU64,
}

/// The most read from a stream at once, in bytes: a key frame of video in few pieces.
const CHUNK: usize = 64 << 10;

impl Ear {
    /// Makes an ear that has heard nothing.
    pub(crate) fn new(log: Arc<Log>) -> Arc<Self> {
        Arc::new(Self {
            log,
            heard: AtomicU64::new(0),
        })
    }

    /// Returns how many objects that count this session has heard.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    fn hear(&self, payload: &[u8]) {
        if self.log.hear(payload) {
            self.heard.fetch_add(1, Relaxed);
        }
    }
}

/// Reads all that the relay sends, until the session ends.
pub(super) fn listen(
    transport: &wt::Session,
    heard: &mpsc::Sender<Heard>,
    ear: &Arc<Ear>,
    reading: Reading,
) {
    let (session, tx) = (transport.clone(), heard.clone());
    tokio::spawn(async move {
        while let Ok((send, recv)) = session.accept_bi().await {
            if tx.send(Heard::Bi(send, recv)).await.is_err() {
                return;
            }
        }
    });
    accept_streams(transport, Some(heard.clone()), ear, reading);
    if reading == Reading::Eager {
        accept_datagrams(transport, ear);
    }
}

/// Reads all that the bare sender sends: objects, and nothing else.
pub(crate) fn listen_bare(transport: &wt::Session, ear: &Arc<Ear>, reading: Reading) {
    accept_streams(transport, None, ear, reading);
    if reading == Reading::Eager {
        accept_datagrams(transport, ear);
    }
}

fn accept_streams(
    transport: &wt::Session,
    heard: Option<mpsc::Sender<Heard>>,
    ear: &Arc<Ear>,
    reading: Reading,
) {
    let (session, ear) = (transport.clone(), ear.clone());
    tokio::spawn(async move {
        while let Ok(recv) = session.accept_uni().await {
            let (heard, ear) = (heard.clone(), ear.clone());
            tokio::spawn(async move {
                if let Err(error) = read_stream(recv, heard, ear, reading).await {
                    eprintln!("moqrelay-load: a stream of the relay: {error:#}");
                }
            });
        }
    });
}

fn accept_datagrams(transport: &wt::Session, ear: &Arc<Ear>) {
    let (session, ear) = (transport.clone(), ear.clone());
    tokio::spawn(async move {
        while let Ok(bytes) = session.read_datagram().await {
            match Datagram::decode(DRAFT, bytes) {
                Ok(Datagram::Object(object)) => ear.hear(&object.payload),
                Ok(Datagram::Padding) => {}
                Err(error) => eprintln!("moqrelay-load: a datagram of the relay: {error}"),
            }
        }
    });
}

async fn read_stream(
    mut recv: wt::RecvStream,
    heard: Option<mpsc::Sender<Heard>>,
    ear: Arc<Ear>,
    reading: Reading,
) -> Result<()> {
    let mut start = Bytes::new();
    let kind = loop {
        let Ok(Some(chunk)) = recv.read_chunk(CHUNK, true).await else {
            return Ok(()); // The session has ended.
        };
        start = joined(start, chunk.bytes);
        if let Some(kind) = data::classify(DRAFT, &start)? {
            break kind;
        }
    };
    match (kind, heard) {
        // A closed queue: the session is not needed any more.
        (StreamKind::Control, Some(heard)) => {
            drop(heard.send(Heard::Control(start, recv)).await);
        }
        (StreamKind::Subgroup, _) if reading == Reading::Never => {
            // Held without reading until the session ends.
            drop(recv.received_reset().await);
        }
        (StreamKind::Subgroup, _) => read_subgroup(start, recv, &ear).await?,
        (StreamKind::Fetch, Some(heard)) => read_fetch(start, recv, heard).await?,
        (StreamKind::Control | StreamKind::Fetch | StreamKind::Padding, _) => {}
    }
    Ok(())
}

/// Counts the objects of a fetch stream.
async fn read_fetch(
    start: Bytes,
    mut recv: wt::RecvStream,
    heard: mpsc::Sender<Heard>,
) -> Result<()> {
    let order = GroupOrder::Ascending;
    let mut decoder = FetchDecoder::new(DRAFT, order, data::Limits::default());
    decoder.push(start);
    let mut objects = 0;
    let ended = loop {
        while let Some(item) = decoder.poll()? {
            objects += u64::from(matches!(item, FetchItem::Object(_)));
        }
        match recv.read_chunk(CHUNK, true).await {
            Ok(Some(chunk)) => decoder.push(chunk.bytes),
            Ok(None) => break decoder.finish().map_err(Into::into),
            Err(error) => break Err(error.into()),
        }
    };
    if let Some(header) = decoder.header() {
        // A closed queue: the session is not needed any more.
        drop(
            heard
                .send(Heard::Fetched(header.id, ended.map(|()| objects)))
                .await,
        );
    }
    Ok(())
}

/// A first piece that says nothing is rare: only then bytes are copied.
fn joined(start: Bytes, more: Bytes) -> Bytes {
    if start.is_empty() {
        return more;
    }
    let mut both = BytesMut::from(start.as_ref());
    both.extend_from_slice(&more);
    both.freeze()
}

async fn read_subgroup(start: Bytes, mut recv: wt::RecvStream, ear: &Ear) -> Result<()> {
    let mut decoder = SubgroupDecoder::new(DRAFT, data::Limits::default());
    decoder.push(start);
    loop {
        while let Some(item) = decoder.poll()? {
            if let SubgroupItem::Object(object) = item {
                ear.hear(&object.payload);
            }
        }
        match recv.read_chunk(CHUNK, true).await {
            Ok(Some(chunk)) => decoder.push(chunk.bytes),
            Ok(None) => return Ok(decoder.finish()?),
            // What a reset takes away is counted as lost.
            Err(_) => return Ok(()),
        }
    }
}
