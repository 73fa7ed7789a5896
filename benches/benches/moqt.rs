//! Decoding what a relay receives most: voice packets as datagrams and on a subgroup's stream.
#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot run should say so loudly"
)]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use moqrelay_moqt::{
    Draft, TrackAlias,
    data::{
        Datagram, Limits, Object, ObjectDatagram, ObjectStatus, SubgroupDecoder, SubgroupEncoder,
        SubgroupHeader, SubgroupId,
    },
};

const DRAFT: Draft = Draft::D18;

/// 20 ms of Opus at 32 kbit/s.
const PAYLOAD: &[u8] = &[0x5a; 80];

/// A second of voice.
const OBJECTS: u64 = 50;

fn datagram(c: &mut Criterion) {
    let object = ObjectDatagram {
        alias: TrackAlias(7),
        group: 1_700_000_000,
        id: 12,
        priority: Some(0),
        end_of_group: false,
        status: ObjectStatus::Normal,
        properties: Bytes::from_static(&[0x02, 0x80, 0x01, 0x00]),
        payload: Bytes::from_static(PAYLOAD),
    };
    let wire = object.encode(DRAFT).unwrap();
    let mut group = c.benchmark_group("datagram");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode", |b| {
        b.iter(|| Datagram::decode(DRAFT, black_box(wire.clone())).unwrap());
    });
    group.bench_function("encode", |b| {
        b.iter(|| black_box(&object).encode(DRAFT).unwrap())
    });
    group.finish();
}

fn subgroup(c: &mut Criterion) {
    let wire = stream();
    let mut group = c.benchmark_group("subgroup of 50 objects");
    group.throughput(Throughput::Elements(OBJECTS));
    // Whole packets, as most streams arrive; and pieces that cut through the objects.
    for (name, piece) in [
        ("decode, in one piece", wire.len()),
        ("decode, in pieces of 61 B", 61),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut decoder = SubgroupDecoder::new(DRAFT, Limits::default());
                let mut rest = wire.clone();
                while !rest.is_empty() {
                    decoder.push(rest.split_to(piece.min(rest.len())));
                    while let Some(item) = decoder.poll().unwrap() {
                        black_box(item);
                    }
                }
                decoder.finish().unwrap();
            });
        });
    }
    group.finish();
}

fn stream() -> Bytes {
    let mut encoder = SubgroupEncoder::new(
        DRAFT,
        SubgroupHeader {
            alias: TrackAlias(7),
            group: 3,
            subgroup: SubgroupId::Zero,
            priority: None,
            properties: false,
            end_of_group: false,
            first_object: true,
        },
    );
    let mut out = BytesMut::new();
    encoder.header(&mut out);
    for id in 0..OBJECTS {
        let object = Object {
            id,
            payload: Bytes::from_static(PAYLOAD),
            ..Object::default()
        };
        encoder.object(&object, &mut out).unwrap();
        out.extend_from_slice(&object.payload);
    }
    out.freeze()
}

criterion_group!(benches, datagram, subgroup);
criterion_main!(benches);
