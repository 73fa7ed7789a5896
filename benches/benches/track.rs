//! A track in the process: one append, and as many reads as there are readers. No network.
#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench that cannot run should say so loudly"
)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moqrelay_relay::{
    Config, FullTrackName, Namespace, Relay,
    track::{Event, Info, Object, Reader, Writer},
};

const READERS: [u64; 3] = [1, 100, 1000];

/// Nobody looks: what the publisher's side pays.
fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append to readers that are behind");
    for readers in READERS {
        let (mut writer, kept) = track(readers);
        let mut next = 0;
        group.bench_function(BenchmarkId::from_parameter(readers), |b| {
            b.iter(|| write(&mut writer, &mut next));
        });
        drop(kept);
    }
    group.finish();
}

/// Everybody looks at once: a delivery is one element.
fn append_and_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("append, and all read");
    for count in READERS {
        let (mut writer, mut readers) = track(count);
        let mut next = 0;
        for reader in &mut readers {
            while reader.try_next().is_some() {}
        }
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                write(&mut writer, &mut next);
                for reader in &mut readers {
                    let Some(Event::Object(object)) = reader.try_next() else {
                        panic!("the object is there");
                    };
                    black_box(object);
                }
            });
        });
    }
    group.finish();
}

fn track(readers: u64) -> (Writer, Vec<Reader>) {
    let relay = Relay::new(Config::default());
    let namespace = Namespace::new([Bytes::from_static(b"bench")]).unwrap();
    let name = FullTrackName::new(namespace, "audio").unwrap();
    let writer = relay.publish(&name, Info::default()).unwrap();
    let readers = (0..readers)
        .map(|_| relay.subscribe(name.clone()))
        .collect();
    (writer, readers)
}

fn write(writer: &mut Writer, next: &mut u64) {
    let object = Object {
        group: *next,
        payload: Bytes::from_static(&[0x5a; 80]),
        ..Object::default()
    };
    *next += 1;
    writer.write(object).unwrap();
}

criterion_group!(benches, append, append_and_read);
criterion_main!(benches);
