//! FETCH: from the cache, from the publisher, and from both; in each draft.
#![allow(clippy::unwrap_used, clippy::panic)]

mod asking;
#[path = "../common/mod.rs"]
mod common;
mod drafts;
mod keeping;
mod publisher;

use bytes::Bytes;
use common::{
    Running,
    peer::{Fetched, Peer, Via},
    soon, track,
};
use moqrelay_moqt::{
    FetchRange, FullTrackName, GroupOrder, Location, Parameters, PublishOptions, RequestId,
    TrackAlias,
    data::{self, FetchItem, ObjectStatus, SubgroupHeader, SubgroupId},
};
use moqrelay_relay::track::{Event, Info, Object, Reader, Writer};

const WHOLE: u64 = u64::MAX;

fn name() -> FullTrackName {
    track("room", "voice")
}

fn publish(relay: &Running) -> Writer {
    relay.relay.publish(&name(), Info::default()).unwrap()
}

fn write(writer: &mut Writer, group: u64, ids: std::ops::Range<u64>) {
    for id in ids {
        writer
            .write(object(group, id, payload_of(group, id)))
            .unwrap();
    }
}

fn object(group: u64, id: u64, payload: Bytes) -> Object {
    Object {
        group,
        id,
        subgroup: Some(0),
        payload,
        ..Object::default()
    }
}

fn payload_of(group: u64, id: u64) -> Bytes {
    Bytes::from(format!("{group}/{id}"))
}

fn standalone(start: (u64, u64), end: (u64, u64)) -> FetchRange {
    FetchRange::Standalone {
        track: name(),
        start: Location::new(start.0, start.1),
        end: Location::new(end.0, end.1),
    }
}

async fn fetch(
    peer: &mut Peer,
    start: (u64, u64),
    end: (u64, u64),
    order: GroupOrder,
) -> RequestId {
    let params = Parameters {
        group_order: Some(order),
        ..Parameters::default()
    };
    peer.fetch(standalone(start, end), params).await
}

async fn join(peer: &mut Peer, subscription: RequestId, groups: u64) -> RequestId {
    let range = FetchRange::RelativeJoining {
        subscription,
        groups,
    };
    peer.fetch(range, Parameters::default()).await
}

/// A peer that publishes the track, another one, and a reader that hears what arrives.
async fn published(relay: &Running) -> (Peer, Peer, Reader) {
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    let options = PublishOptions {
        alias: Some(TrackAlias(1)),
        ..PublishOptions::default()
    };
    publisher.publish(&name(), options).await;
    let peer = Peer::connect(relay.addr(), Via::Quic).await;
    (publisher, peer, relay.relay.subscribe(name()))
}

/// Sends a group of two objects, and its end, on a stream of its own.
async fn send(publisher: &Peer, group: u64) {
    let header = SubgroupHeader {
        alias: TrackAlias(1),
        group,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties: false,
        end_of_group: false,
        first_object: true,
    };
    let mut stream = publisher.subgroup(header).await;
    stream.payload(0, payload_of(group, 0)).await;
    stream.payload(1, payload_of(group, 1)).await;
    let end = data::Object {
        id: 2,
        status: ObjectStatus::EndOfGroup,
        ..data::Object::default()
    };
    stream.object(end).await;
    stream.finish();
}

/// Waits until the relay has so many objects.
async fn hear(witness: &mut Reader, objects: usize) {
    let mut heard = 0;
    while heard < objects {
        let event = soon(witness.next()).await;
        heard += usize::from(matches!(event, Some(Event::Object(_))));
    }
}

/// Waits for an object of an answer.
async fn has_come(peer: &mut Peer, (group, object): (u64, u64)) {
    loop {
        if let Fetched::Item(_, FetchItem::Object(got)) = peer.fetched().await
            && got.location == Location::new(group, object)
        {
            return;
        }
    }
}
