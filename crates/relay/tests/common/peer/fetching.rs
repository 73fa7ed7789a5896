//! FETCH, asked and answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    Event, FetchAnswer, FetchOptions, FetchRange, GroupOrder, Location, Parameters, RequestId,
    ResetCode,
    data::{Absence, FetchEncoder, FetchHeader, FetchItem, FetchObject},
};
use web_transport_quinn as wt;

use super::{super::soon, D18, Peer};

/// What arrived as the answer to a FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    Item(RequestId, FetchItem),
    Fin(RequestId),
    Reset(RequestId, ResetCode),
}

/// The orders in which a peer's FETCHes want their answers.
pub(super) type Orders = Arc<Mutex<BTreeMap<RequestId, GroupOrder>>>;

impl Peer {
    /// Asks for past objects.
    pub async fn fetch(&mut self, range: FetchRange, params: Parameters) -> RequestId {
        let order = params.group_order.unwrap_or_default();
        let id = self.machine.fetch(range, FetchOptions { params }).unwrap();
        self.orders.lock().unwrap().insert(id, order);
        self.flush().await;
        id
    }

    /// Waits until a FETCH is accepted; the end that FETCH_OK names, and whether it is the track's.
    pub async fn fetch_ok(&mut self, wanted: RequestId) -> (Location, bool) {
        self.event_of(|event| match event {
            Event::FetchOk {
                id,
                end,
                end_of_track,
                ..
            } if id == wanted => Some((end, end_of_track)),
            Event::Rejected { id, error } if id == wanted => panic!("refused: {error:?}"),
            _ => None,
        })
        .await
    }

    /// Waits for the next thing of any answer to a FETCH.
    pub async fn fetched(&mut self) -> Fetched {
        soon(self.fetched.recv()).await.unwrap()
    }

    /// Reads an answer to its end: objects as `group/object`, ranges with `-` where nothing exists and `?` where
    /// nothing is known.
    pub async fn answer(&mut self) -> String {
        let mut texts = Vec::new();
        loop {
            match self.fetched().await {
                Fetched::Item(_, FetchItem::Header(_)) => {}
                Fetched::Item(_, FetchItem::Object(object)) => {
                    texts.push(object.location.to_string());
                }
                Fetched::Item(_, FetchItem::RangeEnd { absence, last }) => {
                    let sign = match absence {
                        Absence::NonExistent => '-',
                        _ => '?',
                    };
                    texts.push(format!("{sign}{last}"));
                }
                Fetched::Fin(id) => {
                    if self.machine.finish_fetch(id).is_err() {
                        self.fetch_ok(id).await; // The stream has overtaken it.
                        self.machine.finish_fetch(id).unwrap();
                    }
                    self.flush().await;
                    return texts.join(" ");
                }
                Fetched::Reset(_, code) => {
                    texts.push(format!("reset {code:?}"));
                    return texts.join(" ");
                }
            }
        }
    }

    /// Waits for a FETCH of the relay.
    pub async fn asked_to_fetch(&mut self) -> (RequestId, FetchRange, Parameters) {
        self.event_of(|event| match event {
            Event::Fetch {
                id, range, params, ..
            } => Some((id, range, params)),
            _ => None,
        })
        .await
    }

    /// Accepts it.
    pub async fn accept_fetch(&mut self, id: RequestId, end: Location) {
        let answer = FetchAnswer {
            end,
            ..FetchAnswer::default()
        };
        self.machine.accept_fetch(id, answer).unwrap();
        self.flush().await;
    }

    /// Opens the stream that answers it.
    pub async fn answering(&self, id: RequestId, order: GroupOrder) -> Answer {
        let mut stream = self.session.open_uni().await.unwrap();
        let encoder = FetchEncoder::new(self.machine.draft(), order);
        let mut bytes = BytesMut::new();
        encoder.header(FetchHeader { id }, &mut bytes);
        stream.write_all(&bytes).await.unwrap();
        Answer { stream, encoder }
    }
}

/// The answer to a FETCH, while it is sent.
pub struct Answer {
    stream: wt::SendStream,
    encoder: FetchEncoder,
}

impl Answer {
    pub async fn object(&mut self, group: u64, object: u64, payload: &'static str) {
        let object = FetchObject {
            location: Location::new(group, object),
            subgroup: Some(0),
            priority: 7,
            properties: Bytes::new(),
            payload: Bytes::from_static(payload.as_bytes()),
        };
        let mut bytes = BytesMut::new();
        self.encoder.object(&object, &mut bytes).unwrap();
        bytes.extend_from_slice(&object.payload);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub async fn described(&mut self, group: u64, object: u64, properties: Bytes) {
        let object = FetchObject {
            location: Location::new(group, object),
            subgroup: Some(3),
            priority: 7,
            properties,
            payload: Bytes::new(),
        };
        let mut bytes = BytesMut::new();
        self.encoder.object(&object, &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub async fn absent(&mut self, absence: Absence, group: u64, object: u64) {
        let mut bytes = BytesMut::new();
        self.encoder
            .range_end(absence, Location::new(group, object), &mut bytes)
            .unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub fn finish(mut self) {
        self.stream.finish().unwrap();
    }

    pub fn reset(mut self, code: ResetCode) {
        let code = u32::try_from(code.to_code(D18)).unwrap();
        self.stream.reset(code).unwrap();
    }

    /// Waits until the relay wants no more of it.
    pub async fn stopped(self) {
        drop(soon(self.stream.stopped()).await);
    }
}
