//! RTP packets and RTCP reports.

#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::{Bytes, BytesMut};
use moqrelay_wire::{
    audio_object::{Level, Mode},
    rtp::{DecodeError, Packet, ReportBlock, Reports, SenderInfo, is_rtcp},
};
use proptest::prelude::*;

/// The first packet that an Asterisk 22 sent by UnicastRTP: µ-law, then sound.
const FIRST: [u8; 14] = [
    0x80, 0x00, 0x9a, 0x8d, 0, 0, 0, 0, 0x4b, 0xc3, 0x9f, 0x73, 0xff, 0x7f,
];

#[test]
fn a_packet_of_asterisks_is_read() {
    assert_eq!(
        Packet::decode(&Bytes::from_static(&FIRST)),
        Ok(Packet {
            sequence: 0x9a8d,
            ssrc: 0x4bc3_9f73,
            payload: Bytes::from_static(&[0xff, 0x7f]),
            ..Packet::default()
        })
    );
}

#[test]
fn the_level_is_written_as_a_one_byte_extension() {
    let packet = Packet {
        payload_type: 8,
        marker: true,
        sequence: 7,
        timestamp: 160,
        ssrc: 3,
        level: Some(Level {
            below_overload_db: 30,
            voice: true,
        }),
        mode: None,
        payload: Bytes::from_static(&[0xd5]),
    };
    let mut out = BytesMut::new();

    packet.encode(&mut out);

    let written = [
        0x90, 0x88, 0, 7, 0, 0, 0, 160, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x10, 0x9e, 0, 0, 0xd5,
    ];
    assert_eq!(out[..], written);
    assert_eq!(Packet::decode(&out.freeze()), Ok(packet));
}

#[test]
fn the_mode_of_the_voice_goes_beside_the_level_or_alone() {
    let mode = Mode {
        length_ms: 20,
        kbps: 24,
        fec: false,
        saving: false,
    };
    for level in [None, Some(Level::SILENCE)] {
        let packet = Packet {
            level,
            mode: Some(mode),
            ..Packet::default()
        };
        let mut out = BytesMut::new();

        packet.encode(&mut out);

        assert_eq!(out.len(), 20);
        assert_eq!(Packet::decode(&out.freeze()), Ok(packet));
    }
}

#[test]
fn the_level_is_found_among_other_extensions_of_either_kind() {
    let level = Level {
        below_overload_db: 42,
        voice: false,
    };
    for block in [
        &[0xbe, 0xde, 0, 2, 0x51, 1, 2, 0x10, 42, 0, 0, 0][..],
        &[0x10, 0x00, 0, 2, 5, 2, 1, 2, 1, 1, 42, 0],
        &[0x10, 0x07, 0, 1, 1, 1, 42, 0],
    ] {
        assert_eq!(extended(block).level, Some(level), "{block:?}");
    }
}

#[test]
fn a_damaged_block_of_extensions_has_no_level_and_does_no_harm() {
    for block in [
        // Each says it is longer than the block.
        &[0xbe, 0xde, 0, 1, 0x1f, 1, 2, 3][..],
        &[0x10, 0x00, 0, 1, 1, 200, 2, 3],
        &[0x10, 0x00, 0, 1, 0, 0, 0, 1],
        // 15 ends the block; then a profile that is none of RFC 8285.
        &[0xbe, 0xde, 0, 1, 0xf0, 1, 0x10, 3],
        &[0x12, 0x34, 0, 1, 0x10, 42, 0, 0],
    ] {
        assert_eq!(extended(block).level, None, "{block:?}");
    }
}

#[test]
fn contributing_sources_and_padding_are_left_out() {
    let mut datagram = FIRST[..12].to_vec();
    datagram[0] = 0x80 | 0x20 | 2;
    datagram.extend([1; 8]);
    datagram.extend([0xaa, 0xbb, 0, 0, 3]);

    let packet = Packet::decode(&datagram.into()).unwrap();

    assert_eq!(packet.payload[..], [0xaa, 0xbb]);
}

#[test]
fn what_is_no_rtp_is_refused() {
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut datagram = FIRST.to_vec();
        change(&mut datagram);
        Packet::decode(&datagram.into()).unwrap_err()
    };

    assert_eq!(refused(&|it| it.truncate(11)), DecodeError::Truncated);
    assert_eq!(refused(&|it| it[0] = 0x40), DecodeError::Version(1));
    assert_eq!(refused(&|it| it[0] = 0x8f), DecodeError::Truncated);
    assert_eq!(refused(&|it| it[0] = 0x90), DecodeError::Truncated);
    assert_eq!(refused(&|it| it[0] = 0xa0), DecodeError::Padding(0x7f));
}

#[test]
fn a_report_of_ours_is_what_the_standard_draws() {
    let reports = reports();
    let mut out = BytesMut::new();

    reports.encode("moqrelay", &mut out);

    assert!(is_rtcp(&out));
    assert_eq!(out[..4], [0x81, 200, 0, 12]);
    assert_eq!(out[4..8], [0, 0, 0, 9]);
    assert_eq!(out[28..32], [0, 0, 0, 5]);
    // A fraction of a quarter, and one packet more than was sent.
    assert_eq!(out[32..36], [64, 0xff, 0xff, 0xff]);
    assert_eq!(out[52..56], [0x81, 202, 0, 4]);
    assert_eq!(out[60..70], *b"\x01\x08moqrelay");
    assert_eq!(out[72..], [0x81, 203, 0, 1, 0, 0, 0, 9]);
    assert_eq!(Reports::decode(&out), Ok(reports));
}

#[test]
fn a_compound_packet_begins_with_a_report() {
    let mut out = BytesMut::new();
    reports().encode("x", &mut out);

    assert_eq!(Reports::decode(&out[52..]), Err(DecodeError::NoReport(202)));
    assert_eq!(Reports::decode(&[]), Err(DecodeError::Truncated));
    for len in 1..52 {
        assert_eq!(
            Reports::decode(&out[..len]),
            Err(DecodeError::Truncated),
            "{len}"
        );
    }
}

proptest! {
    #[test]
    fn no_datagram_does_harm(datagram: Vec<u8>) {
        let _one = Reports::decode(&datagram);
        let _other = Packet::decode(&datagram.into());
    }

    #[test]
    fn what_is_written_is_read(
        payload_type in 0_u8..128, marker: bool, sequence: u16, timestamp: u32, ssrc: u32,
        level in proptest::option::of(any::<u8>()), mode in proptest::option::of(any::<u8>()), payload: Vec<u8>,
    ) {
        let packet = Packet {
            payload_type, marker, sequence, timestamp, ssrc,
            level: level.map(Level::from_byte),
            mode: mode.map(Mode::from_byte),
            payload: payload.into(),
        };
        let mut out = BytesMut::new();

        packet.encode(&mut out);

        prop_assert_eq!(Packet::decode(&out.freeze()), Ok(packet));
    }
}

fn extended(block: &[u8]) -> Packet {
    let mut datagram = FIRST[..12].to_vec();
    datagram[0] |= 0x10;
    datagram.extend(block);
    datagram.push(0xff);
    let packet = Packet::decode(&datagram.into()).unwrap();
    assert_eq!(packet.payload[..], [0xff]);
    packet
}

fn reports() -> Reports {
    Reports {
        ssrc: 9,
        sender: Some(SenderInfo {
            ntp: 0x1122_3344_5566_7788,
            timestamp: 8_000,
            packets: 50,
            bytes: 8_000,
        }),
        blocks: vec![ReportBlock {
            ssrc: 5,
            fraction_lost: 64,
            lost: -1,
            highest: 0x1_0007,
            jitter: 12,
            last_report: 0x3344_5566,
            delay: 65_536,
        }],
        bye: true,
    }
}
