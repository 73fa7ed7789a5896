//! Subgroup streams of every draft: cutting them elsewhere changes nothing, and what was read can be written again.
//!
//! The first byte chooses the draft, the second where to cut.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use moqrelay_moqt::{
    DecodeError, Draft,
    data::{Limits, SubgroupDecoder, SubgroupEncoder, SubgroupItem, classify},
};

const LIMITS: Limits = Limits {
    payload_bytes_max: 1 << 16,
    properties_bytes_max: 1 << 12,
};

const DRAFTS: [Draft; 4] = [Draft::D18, Draft::D16, Draft::D14, Draft::D19];

fuzz_target!(|data: &[u8]| {
    let [first, cut, wire @ ..] = data else {
        return;
    };
    let draft = DRAFTS[usize::from(*first) % DRAFTS.len()];
    let wire = Bytes::copy_from_slice(wire);
    let _kind = classify(draft, &wire);
    let whole = read(draft, &wire, usize::MAX);
    assert_eq!(read(draft, &wire, usize::from(*cut).max(1)), whole);
    let mut encoder = None;
    let mut out = BytesMut::new();
    for item in &whole.0 {
        match item {
            SubgroupItem::Header(header) => {
                encoder
                    .insert(SubgroupEncoder::new(draft, *header))
                    .header(&mut out);
            }
            SubgroupItem::Object(object) => {
                let encoder = encoder.as_mut().expect("the header comes first");
                encoder
                    .object(object, &mut out)
                    .expect("what was read can be written");
                out.extend_from_slice(&object.payload);
            }
        }
    }
    assert_eq!(read(draft, &out.freeze(), usize::MAX).0, whole.0);
});

fn read(draft: Draft, wire: &Bytes, piece: usize) -> (Vec<SubgroupItem>, Option<DecodeError>) {
    let mut decoder = SubgroupDecoder::new(draft, LIMITS);
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
