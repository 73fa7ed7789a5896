//! Variable-length integers: the draft's examples, every length, every truncation.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::{Buf, Bytes, BytesMut};
use moqrelay_moqt::{VarInt, VarIntFlavour};
use proptest::prelude::*;

const FLAVOURS: [VarIntFlavour; 2] = [VarIntFlavour::LeadingOnes, VarIntFlavour::Quic];

/// Section 1.4.1 of draft-18.
const EXAMPLES: [(&[u8], u64); 8] = [
    (&[0x25], 37),
    (&[0x80, 0x25], 37),
    (&[0xbb, 0xbd], 15_293),
    (&[0xed, 0x7f, 0x3e, 0x7d], 226_442_877),
    (&[0xfa, 0xa1, 0xa0, 0xe4, 0x03, 0xd8], 2_893_212_287_960),
    (
        &[0xfc, 0x89, 0x98, 0xab, 0xc6, 0x6b, 0xc0],
        151_288_809_941_952,
    ),
    (
        &[0xfe, 0xfa, 0x31, 0x8f, 0xa8, 0xe3, 0xca, 0x11],
        70_423_237_261_249_041,
    ),
    (&[0xff; 9], u64::MAX),
];

/// RFC 9000, appendix A.1.
const QUIC_EXAMPLES: [(&[u8], u64); 5] = [
    (&[0x25], 37),
    (&[0x40, 0x25], 37),
    (&[0x7b, 0xbd], 15_293),
    (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
    (
        &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
        151_288_809_941_952_652,
    ),
];

#[test]
fn the_examples_of_both_standards_are_read() {
    for (bytes, value) in EXAMPLES {
        assert_eq!(
            VarInt::peek(VarIntFlavour::LeadingOnes, bytes),
            Some((value, bytes.len()))
        );
    }
    for (bytes, value) in QUIC_EXAMPLES {
        assert_eq!(
            VarInt::peek(VarIntFlavour::Quic, bytes),
            Some((value, bytes.len()))
        );
    }
}

#[test]
fn the_examples_are_written_in_their_shortest_form() {
    for (bytes, value) in EXAMPLES
        .into_iter()
        .filter(|(bytes, _)| *bytes != [0x80, 0x25])
    {
        assert_eq!(encoded(VarIntFlavour::LeadingOnes, value), bytes);
    }
    for (bytes, value) in QUIC_EXAMPLES
        .into_iter()
        .filter(|(bytes, _)| *bytes != [0x40, 0x25])
    {
        assert_eq!(encoded(VarIntFlavour::Quic, value), bytes);
    }
}

#[test]
fn each_length_begins_where_the_table_says() {
    for len in 1..=8_usize {
        let last = (1_u64 << (7 * len)) - 1;

        assert_eq!(VarInt::len(VarIntFlavour::LeadingOnes, last), len);
        assert_eq!(VarInt::len(VarIntFlavour::LeadingOnes, last + 1), len + 1);
    }
    assert_eq!(VarInt::len(VarIntFlavour::LeadingOnes, u64::MAX), 9);
    for (last, len) in [(63, 1), (16_383, 2), ((1 << 30) - 1, 4), ((1 << 62) - 1, 8)] {
        assert_eq!(VarInt::len(VarIntFlavour::Quic, last), len);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_and_no_less_will_do(value: u64, tail: Vec<u8>) {
        for flavour in FLAVOURS {
            let value = value.min(VarInt::max(flavour));
            let bytes = encoded(flavour, value);
            prop_assert_eq!(bytes.len(), VarInt::len(flavour, value));

            for len in 0..bytes.len() {
                prop_assert_eq!(VarInt::peek(flavour, &bytes[..len]), None);
            }
            let mut buf = Bytes::from([bytes, tail.clone()].concat());
            prop_assert_eq!(VarInt::decode(flavour, &mut buf), Some(value));
            prop_assert_eq!(buf, Bytes::from(tail.clone()));
        }
    }

    #[test]
    fn every_longer_form_is_accepted(value: u64, shift in 0_u32..64, longer in 0_usize..9) {
        let value = value >> shift;
        let len = (VarInt::len(VarIntFlavour::LeadingOnes, value) + longer).min(9);
        let mut bytes = vec![0; len];
        for (index, byte) in value.to_be_bytes().iter().rev().enumerate().take(len) {
            bytes[len - 1 - index] = *byte;
        }
        bytes[0] |= !(0xff_u16 >> (len - 1)) as u8;

        prop_assert_eq!(VarInt::peek(VarIntFlavour::LeadingOnes, &bytes), Some((value, len)));
    }

    #[test]
    fn a_buffer_in_pieces_reads_the_same(value: u64, cut in 0_usize..9) {
        let bytes = encoded(VarIntFlavour::LeadingOnes, value);
        let cut = cut.min(bytes.len());
        let (front, back) = (Bytes::copy_from_slice(&bytes[..cut]), Bytes::copy_from_slice(&bytes[cut..]));

        let mut chain = front.chain(back);

        prop_assert_eq!(VarInt::decode(VarIntFlavour::LeadingOnes, &mut chain), Some(value));
        prop_assert_eq!(chain.remaining(), 0);
    }
}

fn encoded(flavour: VarIntFlavour, value: u64) -> Vec<u8> {
    let mut out = BytesMut::new();
    VarInt::encode(flavour, value, &mut out);
    out.to_vec()
}
