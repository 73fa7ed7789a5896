//! AudioSocket: byte for byte what a real Asterisk 22 sent, and what it must never be sent.

use bytes::{Bytes, BytesMut};
use moqrelay_wire::audiosocket::{
    Audio, DecodeError, EncodeError, HANGUP, HEADER_BYTES, Message, PAYLOAD_BYTES_MAX, Rate,
    encode_audio,
};
use proptest::prelude::*;
use uuid::Uuid;

#[test]
fn the_first_message_of_a_real_call_is_its_id() {
    let mut buffer = bytes_of("01 0010 40325ec25efd4bd3805f53576e581d13");

    let message = Message::decode(&mut buffer);

    let id = Uuid::from_u128(0x4032_5ec2_5efd_4bd3_805f_5357_6e58_1d13);
    assert_eq!(message, Ok(Some(Message::Id(id))));
    assert!(buffer.is_empty());
}

#[test]
fn digits_are_characters() {
    let mut buffer = bytes_of("03 0001 31 03 0001 23 03 0001 2a 03 0001 44");

    let digits: Vec<_> = all(&mut buffer);

    assert_eq!(
        digits,
        ['1', '#', '*', 'D'].map(|digit| Ok(Message::Digit(digit)))
    );
}

#[test]
fn the_type_of_audio_names_its_rate() {
    let lengths = [320, 480, 640, 960, 1280, 1764, 1920, 3840, 7680];
    for ((kind, rate), len) in (0x10..).zip(Rate::ALL).zip(lengths) {
        let mut buffer = BytesMut::from(&[kind, (len >> 8) as u8, len as u8][..]);
        buffer.resize(HEADER_BYTES + usize::from(len as u16), 0x5a);

        let message = Message::decode(&mut buffer).unwrap().unwrap();

        let Message::Audio(audio) = message else {
            panic!("{message:?}")
        };
        assert_eq!(audio.rate, rate);
        assert_eq!(audio.pcm.len(), rate.frame_bytes());
        assert_eq!(audio.samples().len(), rate.frame_samples());
    }
}

#[test]
fn samples_are_little_endian() {
    let mut buffer = bytes_of("10 0006 8e00 8c14 feff");

    let message = Message::decode(&mut buffer).unwrap().unwrap();

    let Message::Audio(audio) = message else {
        panic!("{message:?}")
    };
    assert_eq!(audio.samples().collect::<Vec<_>>(), [0x008e, 0x148c, -2]);
}

#[test]
fn a_hangup_with_or_without_a_payload_is_a_hangup() {
    let mut buffer = bytes_of("00 0000 00 0002 aabb");

    assert_eq!(all(&mut buffer), [Ok(Message::Hangup), Ok(Message::Hangup)]);
}

#[test]
fn a_fault_carries_its_code_if_there_is_one() {
    let mut buffer = bytes_of("ff 0001 04 ff 0000");

    assert_eq!(
        all(&mut buffer),
        [Ok(Message::Fault(Some(4))), Ok(Message::Fault(None))]
    );
}

#[test]
fn unknown_types_are_skipped() {
    let mut buffer = bytes_of("02 0003 010203 19 0002 0000 fe 0000 03 0001 35");

    assert_eq!(Message::decode(&mut buffer), Ok(Some(Message::Digit('5'))));
    assert!(buffer.is_empty());
}

#[test]
fn a_message_that_makes_no_sense_is_taken_out_and_the_next_one_is_read() {
    let mut buffer = bytes_of(
        "01 0003 010203 10 0000 12 0003 aabbcc 03 0000 03 0002 3132 03 0001 61 03 0001 37",
    );

    let expected = [
        Err(DecodeError::IdLength(3)),
        Err(DecodeError::AudioEmpty),
        Err(DecodeError::AudioOdd(3)),
        Err(DecodeError::DigitLength(0)),
        Err(DecodeError::DigitLength(2)),
        Err(DecodeError::Digit(0x61)),
        Ok(Message::Digit('7')),
    ];
    assert_eq!(all(&mut buffer), expected);
}

#[test]
fn only_a_broken_id_is_fatal() {
    assert!(DecodeError::IdLength(3).is_fatal());
    assert!(!DecodeError::AudioOdd(3).is_fatal());
    assert!(!DecodeError::AudioEmpty.is_fatal());
    assert!(!DecodeError::Digit(0).is_fatal());
}

#[test]
fn every_truncation_waits_for_more() {
    let whole = bytes_of("10 0004 8e00 8c14");
    for len in 0..whole.len() {
        let mut buffer = BytesMut::from(&whole[..len]);

        assert_eq!(Message::decode(&mut buffer), Ok(None), "{len} bytes");
        assert_eq!(
            buffer.len(),
            len,
            "nothing is taken before the message is whole"
        );
    }
}

#[test]
fn the_longest_message_can_be_read() {
    let mut buffer = BytesMut::from(&[0xfe, 0xff, 0xff][..]);
    buffer.resize(HEADER_BYTES + PAYLOAD_BYTES_MAX, 1);
    buffer.extend_from_slice(&HANGUP);

    assert_eq!(Message::decode(&mut buffer), Ok(Some(Message::Hangup)));
}

#[test]
fn what_we_send_is_header_and_payload_in_one_buffer() {
    let mut out = BytesMut::new();

    encode_audio(Rate::Hz48000, &[-1, 0x1234], &mut out).unwrap();
    out.extend_from_slice(&HANGUP);

    assert_eq!(out, bytes_of("16 0004 ffff 3412 00 0000"));
}

#[test]
fn what_would_end_the_call_is_not_encoded() {
    let mut out = BytesMut::new();

    assert_eq!(
        encode_audio(Rate::Hz8000, &[], &mut out),
        Err(EncodeError::AudioEmpty)
    );
    let long = vec![0; 32768];
    assert_eq!(
        encode_audio(Rate::Hz8000, &long, &mut out),
        Err(EncodeError::AudioTooLong(65536))
    );
    assert_eq!(
        Message::Digit('x').encode(&mut out),
        Err(EncodeError::Digit('x'))
    );
    assert_eq!(
        Message::Digit('ż').encode(&mut out),
        Err(EncodeError::Digit('ż'))
    );
    assert!(out.is_empty());
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(messages in prop::collection::vec(message(), 0..8)) {
        let mut wire = BytesMut::new();
        for message in &messages {
            message.encode(&mut wire).unwrap();
        }

        let decoded: Vec<_> = all(&mut wire).into_iter().map(Result::unwrap).collect();

        prop_assert_eq!(decoded, messages);
    }

    #[test]
    fn the_way_bytes_are_cut_does_not_matter(
        messages in prop::collection::vec(message(), 1..5),
        cut in 1usize..64,
    ) {
        let mut wire = BytesMut::new();
        for message in &messages {
            message.encode(&mut wire).unwrap();
        }

        let mut buffer = BytesMut::new();
        let mut decoded = Vec::new();
        for piece in wire.chunks(cut) {
            buffer.extend_from_slice(piece);
            decoded.extend(all(&mut buffer).into_iter().map(Result::unwrap));
        }

        prop_assert_eq!(decoded, messages);
    }

    #[test]
    fn random_bytes_never_panic_and_always_come_to_an_end(
        bytes in prop::collection::vec(any::<u8>(), 0..4096),
    ) {
        let mut buffer = BytesMut::from(&bytes[..]);

        let results = all(&mut buffer);

        prop_assert!(results.len() <= bytes.len() / HEADER_BYTES);
    }
}

fn message() -> impl Strategy<Value = Message> {
    let audio = (
        0..Rate::ALL.len(),
        prop::collection::vec(any::<[u8; 2]>(), 1..2000),
    )
        .prop_map(|(rate, pcm)| {
            Message::Audio(Audio {
                rate: Rate::ALL[rate],
                pcm: Bytes::from(pcm.concat()),
            })
        });
    prop_oneof![
        Just(Message::Hangup),
        any::<[u8; 16]>().prop_map(|id| Message::Id(Uuid::from_bytes(id))),
        prop::sample::select("0123456789ABCD*#".chars().collect::<Vec<_>>())
            .prop_map(Message::Digit),
        any::<Option<u8>>().prop_map(Message::Fault),
        audio,
    ]
}

/// Decodes until the buffer holds no whole message.
fn all(buffer: &mut BytesMut) -> Vec<Result<Message, DecodeError>> {
    std::iter::from_fn(|| Message::decode(buffer).transpose()).collect()
}

fn bytes_of(hex: &str) -> BytesMut {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
