//! What the relay sends, read by tasks of their own.

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    Draft, ResetCode, StreamId,
    data::{self, Datagram, FetchDecoder, FetchHeader, StreamKind, SubgroupDecoder, SubgroupItem},
};
use tokio::sync::mpsc;
use web_transport_quinn as wt;

use super::{Arrived, D18, Fetched, Orders};

pub(super) enum Heard {
    Bi(wt::SendStream, wt::RecvStream),
    Control(Bytes, wt::RecvStream),
    Bytes(StreamId, Bytes),
    Fin(StreamId),
    Reset(StreamId, u64),
    Closed(wt::SessionError),
}

/// Where what is read goes.
#[derive(Clone)]
pub(super) struct Sinks {
    pub(super) heard: mpsc::UnboundedSender<Heard>,
    pub(super) arrived: mpsc::UnboundedSender<Arrived>,
    pub(super) fetched: mpsc::UnboundedSender<Fetched>,
    pub(super) orders: Orders,
}

pub(super) fn spawn_receivers(
    session: &wt::Session,
    draft: Draft,
    sinks: &Sinks,
    listens: &tokio::sync::watch::Sender<bool>,
) {
    let (heard, arrived) = (&sinks.heard, &sinks.arrived);
    let listens = listens.subscribe();
    let (streams, tx) = (session.clone(), heard.clone());
    tokio::spawn(async move {
        while let Ok((send, recv)) = streams.accept_bi().await {
            drop(tx.send(Heard::Bi(send, recv)));
        }
    });
    let (streams, sinks) = (session.clone(), sinks.clone());
    tokio::spawn(async move {
        while let Ok(recv) = streams.accept_uni().await {
            tokio::spawn(read_uni(draft, recv, sinks.clone(), listens.clone()));
        }
    });
    let (datagrams, objects) = (session.clone(), arrived.clone());
    tokio::spawn(async move {
        while let Ok(bytes) = datagrams.read_datagram().await {
            if let Datagram::Object(object) = Datagram::decode(draft, bytes).unwrap() {
                drop(objects.send(Arrived::Datagram(object)));
            }
        }
    });
    let (closed, tx) = (session.clone(), heard.clone());
    tokio::spawn(async move {
        drop(tx.send(Heard::Closed(closed.closed().await)));
    });
}

async fn read_uni(
    draft: Draft,
    mut recv: wt::RecvStream,
    sinks: Sinks,
    mut listens: tokio::sync::watch::Receiver<bool>,
) {
    let mut start = BytesMut::new();
    let kind = loop {
        match recv.read_chunk(4096, true).await {
            Ok(Some(chunk)) => start.extend_from_slice(&chunk.bytes),
            Ok(None) | Err(_) => return,
        }
        if let Some(kind) = data::classify(draft, &start).unwrap() {
            break kind;
        }
    };
    match kind {
        StreamKind::Control => drop(sinks.heard.send(Heard::Control(start.freeze(), recv))),
        StreamKind::Subgroup => {
            drop(listens.wait_for(|listens| *listens).await);
            read_subgroup(draft, start.freeze(), recv, sinks.arrived).await;
        }
        StreamKind::Fetch => {
            drop(listens.wait_for(|listens| *listens).await);
            read_answer(draft, start, recv, sinks).await;
        }
        StreamKind::Padding => {}
    }
}

async fn read_answer(draft: Draft, mut start: BytesMut, mut recv: wt::RecvStream, sinks: Sinks) {
    let header = loop {
        if let Some((header, _)) = FetchHeader::peek(draft, &start).unwrap() {
            break header;
        }
        match recv.read_chunk(4096, true).await {
            Ok(Some(chunk)) => start.extend_from_slice(&chunk.bytes),
            Ok(None) | Err(_) => return,
        }
    };
    let id = header.id;
    let order = sinks.orders.lock().unwrap()[&id];
    let mut decoder = FetchDecoder::new(draft, order, LIMITS);
    decoder.push(start.freeze());
    loop {
        while let Some(item) = decoder.poll().unwrap() {
            drop(sinks.fetched.send(Fetched::Item(id, item)));
        }
        match recv.read_chunk(1 << 16, true).await {
            Ok(Some(chunk)) => decoder.push(chunk.bytes),
            Ok(None) => {
                decoder.finish().unwrap();
                return drop(sinks.fetched.send(Fetched::Fin(id)));
            }
            Err(wt::ReadError::Reset(code)) => {
                let code = ResetCode::from_code(D18, code.into());
                return drop(sinks.fetched.send(Fetched::Reset(id, code)));
            }
            Err(_) => return,
        }
    }
}

const LIMITS: data::Limits = data::Limits {
    payload_bytes_max: 64 << 20,
    properties_bytes_max: 1 << 20,
};

async fn read_subgroup(
    draft: Draft,
    start: Bytes,
    mut recv: wt::RecvStream,
    arrived: mpsc::UnboundedSender<Arrived>,
) {
    let mut decoder = SubgroupDecoder::new(draft, LIMITS);
    decoder.push(start);
    loop {
        while let Some(item) = decoder.poll().unwrap() {
            let header = *decoder.header().unwrap();
            drop(arrived.send(match item {
                SubgroupItem::Header(header) => Arrived::Header(header),
                SubgroupItem::Object(object) => Arrived::Object(header, object),
            }));
        }
        match recv.read_chunk(1 << 20, true).await {
            Ok(Some(chunk)) => decoder.push(chunk.bytes),
            Ok(None) => {
                decoder.finish().unwrap();
                let header = *decoder.header().unwrap();
                return drop(arrived.send(Arrived::Fin(header)));
            }
            Err(wt::ReadError::Reset(code)) => {
                if let Some(header) = decoder.header() {
                    let code = ResetCode::from_code(draft, code.into());
                    drop(arrived.send(Arrived::Reset(*header, code)));
                }
                return;
            }
            Err(_) => return,
        }
    }
}

pub(super) fn spawn_reader(
    id: StreamId,
    mut recv: wt::RecvStream,
    heard: mpsc::UnboundedSender<Heard>,
) {
    tokio::spawn(async move {
        loop {
            let next = match recv.read_chunk(1 << 16, true).await {
                Ok(Some(chunk)) => Heard::Bytes(id, chunk.bytes),
                Ok(None) => Heard::Fin(id),
                Err(wt::ReadError::Reset(code)) => Heard::Reset(id, code.into()),
                Err(_) => return,
            };
            let over = !matches!(next, Heard::Bytes(..));
            if heard.send(next).is_err() || over {
                return;
            }
        }
    });
}
