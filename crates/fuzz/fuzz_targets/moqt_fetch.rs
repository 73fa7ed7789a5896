//! Fetch streams of every draft: cutting them elsewhere changes nothing, and an answer in order can be written again.
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
    let [how, cut, wire @ ..] = data else {
        return;
    };
    let order = if how % 2 == 0 {
        GroupOrder::Ascending
    } else {
        GroupOrder::Descending
    };
    let draft = Draft::ALL[usize::from(how / 2) % Draft::ALL.len()];
    let wire = Bytes::copy_from_slice(wire);
    let whole = read(draft, order, &wire, usize::MAX);
    assert_eq!(read(draft, order, &wire, usize::from(*cut).max(1)), whole);

    let mut items = whole.0;
    let mut check = FetchCheck::new(order, None, None);
    if items.iter().any(|item| check.check(item).is_err()) {
        return;
    }
    let mut encoder = FetchEncoder::new(draft, order);
    let mut out = BytesMut::new();
    for item in &items {
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
    if draft == Draft::D14 {
        // What does not exist goes without saying.
        items.retain(|item| !matches!(item, FetchItem::RangeEnd { .. }));
    }
    assert_eq!(read(draft, order, &out.freeze(), usize::MAX).0, items);
});

fn read(
    draft: Draft,
    order: GroupOrder,
    wire: &Bytes,
    piece: usize,
) -> (Vec<FetchItem>, Option<DecodeError>) {
    let mut decoder = FetchDecoder::new(draft, order, LIMITS);
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
