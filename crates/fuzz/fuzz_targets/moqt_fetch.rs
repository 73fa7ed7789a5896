//! Fetch streams: cutting them elsewhere changes nothing, and an answer in order can be written again.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use moqrelay_moqt::{
    DecodeError, Draft, GroupOrder,
    data::{FetchCheck, FetchDecoder, FetchEncoder, FetchItem, Limits},
};

const LIMITS: Limits = Limits {
    payload_bytes_max: 1 << 16,
    properties_bytes_max: 1 << 12,
};

fuzz_target!(|data: &[u8]| {
    let Some((cut, wire)) = data.split_first() else {
        return;
    };
    let order = if cut % 2 == 0 {
        GroupOrder::Ascending
    } else {
        GroupOrder::Descending
    };
    let wire = Bytes::copy_from_slice(wire);
    let whole = read(order, &wire, usize::MAX);
    assert_eq!(read(order, &wire, usize::from(*cut / 2).max(1)), whole);

    let mut check = FetchCheck::new(order, None, None);
    if whole.0.iter().any(|item| check.check(item).is_err()) {
        return;
    }
    let mut encoder = FetchEncoder::new(Draft::D18, order);
    let mut out = BytesMut::new();
    for item in &whole.0 {
        match item {
            FetchItem::Header(header) => encoder.header(*header, &mut out),
            FetchItem::Object(object) => {
                encoder
                    .object(object, &mut out)
                    .expect("what was read in order can be written");
                out.extend_from_slice(&object.payload);
            }
            FetchItem::RangeEnd { absence, last } => encoder
                .range_end(*absence, *last, &mut out)
                .expect("what was read in order can be written"),
        }
    }
    assert_eq!(read(order, &out.freeze(), usize::MAX).0, whole.0);
});

fn read(order: GroupOrder, wire: &Bytes, piece: usize) -> (Vec<FetchItem>, Option<DecodeError>) {
    let mut decoder = FetchDecoder::new(Draft::D18, order, LIMITS);
    let mut items = Vec::new();
    let mut rest = wire.clone();
    while !rest.is_empty() {
        decoder.push(rest.split_to(piece.min(rest.len())));
        loop {
            match decoder.poll() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, decoder.finish().err())
}
