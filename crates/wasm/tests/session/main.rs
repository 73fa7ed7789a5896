//! What a browser's session does, seen from the relay's side and from its owner's.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod hearing;
mod nonsense;
mod past;
mod publishing;
mod requests;

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    AuthToken, Draft, Event, Location, Parameters, RequestId, SubscribeAnswer, TrackAlias,
    data::{
        Datagram, Object, ObjectDatagram, ObjectStatus, SubgroupDecoder, SubgroupEncoder,
        SubgroupHeader, SubgroupId, SubgroupItem,
    },
};
use moqrelay_wasm::session::{Content, Via, Wish};
use moqrelay_wire::audio_object::{self, Level, Properties};

use self::common::{Pair, offer, packet, track};

const DRAFT: Draft = Draft::D18;
const RENDEZVOUS: Duration = Duration::from_secs(10);
const GROUP: u64 = 1_800_000_000;

fn publish(pair: &mut Pair, via: Via) -> (RequestId, TrackAlias) {
    pair.client
        .publish(7, offer("p1"), via, Content::Voice)
        .unwrap();
    pair.settle();
    pair.event(|event| match event {
        Event::Publish { id, alias, .. } => Some((*id, *alias)),
        _ => None,
    })
}

/// Where the n-th packet goes in groups of a second.
fn second(number: u8) -> Location {
    Location::new(GROUP + u64::from(number) / 50, u64::from(number) % 50)
}

fn subscribe(pair: &mut Pair) -> RequestId {
    pair.client
        .subscribe(9, offer("p2"), Wish::Voice, RENDEZVOUS)
        .unwrap();
    pair.settle();
    pair.event(|event| match event {
        Event::Subscribe {
            id, track: name, ..
        } if *name == track("p2") => Some(*id),
        _ => None,
    })
}

fn accept(pair: &mut Pair, id: RequestId) -> TrackAlias {
    let answer = SubscribeAnswer {
        params: Parameters {
            largest_object: Some(Location::new(4, 49)),
            ..Parameters::default()
        },
        properties: audio_object::track_properties(),
        ..SubscribeAnswer::default()
    };
    let alias = pair.relay.accept_subscribe(id, answer).unwrap();
    pair.settle();
    alias
}

fn bare(alias: TrackAlias, group: u64, id: u64) -> ObjectDatagram {
    ObjectDatagram {
        alias,
        group,
        id,
        priority: None,
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: Bytes::new(),
        payload: packet(id as u8),
    }
}

fn properties(at: u64) -> Bytes {
    Properties::of_object(
        at,
        Level {
            below_overload_db: 20,
            voice: true,
        },
    )
    .to_bytes()
}

fn voice(alias: TrackAlias, group: u64, id: u64, at: Option<u64>, number: u8) -> Bytes {
    let properties = at.map(properties).unwrap_or_default();
    let payload = packet(number);
    ObjectDatagram {
        properties,
        payload,
        ..bare(alias, group, id)
    }
    .encode(DRAFT)
    .unwrap()
}

/// A subgroup stream of `count` objects.
fn group(alias: TrackAlias, group: u64, count: u64) -> Bytes {
    let header = SubgroupHeader {
        alias,
        group,
        subgroup: SubgroupId::Explicit(3),
        priority: Some(1),
        properties: true,
        end_of_group: false,
        first_object: true,
    };
    let mut encoder = SubgroupEncoder::new(DRAFT, header);
    let mut out = BytesMut::new();
    encoder.header(&mut out);
    for id in 0..count {
        let object = Object {
            id,
            status: ObjectStatus::Normal,
            properties: properties(id * 960),
            payload: packet(id as u8),
        };
        encoder.object(&object, &mut out).unwrap();
        out.extend_from_slice(&object.payload);
    }
    out.freeze()
}

fn object(bytes: &Bytes) -> ObjectDatagram {
    match Datagram::decode(DRAFT, bytes.clone()).unwrap() {
        Datagram::Object(object) => object,
        Datagram::Padding => panic!("padding"),
    }
}

fn subgroup(bytes: Bytes) -> (SubgroupHeader, Vec<Object>) {
    let limits = moqrelay_moqt::data::Limits {
        payload_bytes_max: 4096,
        properties_bytes_max: 64,
    };
    let mut decoder = SubgroupDecoder::new(DRAFT, limits);
    decoder.push(bytes);
    let mut objects = Vec::new();
    while let Some(item) = decoder.poll().unwrap() {
        if let SubgroupItem::Object(object) = item {
            objects.push(object);
        }
    }
    decoder.finish().unwrap();
    (*decoder.header().unwrap(), objects)
}

fn token(value: &'static [u8]) -> AuthToken {
    AuthToken {
        token_type: 0,
        value: Bytes::from_static(value),
    }
}
