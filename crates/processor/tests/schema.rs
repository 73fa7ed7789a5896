//! The messages against bytes that Google's protobuf library made of `processor.proto`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::Bytes;
use moqrelay_processor::v1::{
    Answer, Audio, Event, FromProcessor, FromRelay, Question, Start, Text,
};
use prost::Message;

#[test]
fn questions_are_as_the_schema_has_them() {
    let start = Question::Start(Start {
        call: "4f".repeat(16),
        participant: "p1".into(),
        leg: "leg7".into(),
        wants_audio: true,
        deadline_ms: 40,
        hears: false,
    });
    let audio = Question::Audio(Audio {
        sequence: 300,
        timestamp: 288_000,
        sample_rate: 16_000,
        pcm: Bytes::from_static(&[0x01, 0x02, 0xff, 0x7f]),
    });
    for (question, bytes) in [
        (
            start,
            "0a300a203466346634663466346634663466346634663466346634663466346634663466120270311a046c65673720012828",
        ),
        (audio, "121008ac021080ca1118807d22040102ff7f"),
    ] {
        let message = FromRelay {
            what: Some(question),
        };
        assert_eq!(hex(&message.encode_to_vec()), bytes);
        assert_eq!(FromRelay::decode(unhex(bytes)), Ok(message));
    }
}

#[test]
fn answers_are_as_the_schema_has_them() {
    let audio = Answer::Audio(Audio {
        sequence: 300,
        pcm: Bytes::from_static(&[0, 0, 0, 0x80]),
        ..Audio::default()
    });
    let text = Answer::Text(Text {
        id: 2,
        text: "Grüß Gott".into(),
        r#final: true,
        begin: 960,
        end: 48_000,
        language: "de-AT".into(),
    });
    let event = Answer::Event(Event {
        name: "speech_began".into(),
        data: "x".into(),
        timestamp: 1_920,
    });
    for (answer, bytes) in [
        (audio, "0a0908ac02220400000080"),
        (
            text,
            "121f0802120b4772c3bcc39f20476f7474180120c0072880f702320564652d4154",
        ),
        (event, "1a140a0c7370656563685f626567616e12017818800f"),
    ] {
        let message = FromProcessor { what: Some(answer) };
        assert_eq!(hex(&message.encode_to_vec()), bytes);
        assert_eq!(FromProcessor::decode(unhex(bytes)), Ok(message));
    }
}

#[test]
fn what_a_later_version_says_is_passed_over() {
    // Field 9 of FromProcessor, and field 12 within a text.
    let unknown = FromProcessor::decode(unhex("4a03616263")).unwrap();
    let text = FromProcessor::decode(unhex("120712016162026263")).unwrap();

    assert_eq!(unknown.what, None);
    assert!(matches!(text.what, Some(Answer::Text(text)) if text.text == "a"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
