//! Control messages of `chan_websocket`, in both forms.

#![allow(clippy::unwrap_used, reason = "tests")]

use moqrelay_wire::chan_websocket::{
    Command, DecodeError, EVENT_BYTES_MAX, EncodeError, Event, Form, Start, Status,
};
use proptest::prelude::*;

#[test]
fn a_channel_says_what_its_sound_is_in_both_forms() {
    let start = Event::Start(Start {
        channel_id: "moqtest-1795195271.16".into(),
        format: "slin16".into(),
        frame_bytes: 640,
        frame_ms: 20,
    });
    let json = r#"{"event":"MEDIA_START","connection_id":"moqrelay","channel":"WebSocket/moqrelay/0x7f9a",
        "channel_id":"moqtest-1795195271.16","format":"slin16","optimal_frame_size":640,"ptime":20,
        "channel_variables":{"MEDIA_WEBSOCKET_CONNECTION_ID":"moqrelay"}}"#;
    let words = "MEDIA_START connection_id:moqrelay channel:WebSocket/moqrelay/0x7f9a \
        channel_id:moqtest-1795195271.16 format:slin16 optimal_frame_size:640 ptime:20";

    assert_eq!(Event::decode(json), Ok((start.clone(), Form::Json)));
    assert_eq!(Event::decode(words), Ok((start, Form::Words)));
}

#[test]
fn every_event_is_read_in_both_forms() {
    let status = Event::Status(Status {
        queued: 17,
        full: true,
    });
    for (event, json, words) in [
        (
            Event::Xoff,
            r#"{"event":"MEDIA_XOFF","channel_id":"a"}"#,
            "MEDIA_XOFF",
        ),
        (
            Event::Xon,
            r#"{"event":"MEDIA_XON","channel_id":"a"}"#,
            "MEDIA_XON",
        ),
        (
            status,
            r#"{"event":"STATUS","channel_id":"a","queue_length":17,"xon_level":800,"xoff_level":900,"queue_full":true,"bulk_media":false,"media_paused":false}"#,
            "STATUS channel_id:a queue_length:17 xon_level:800 xoff_level:900 queue_full:true bulk_media:false media_paused:false",
        ),
        (
            Event::BufferingCompleted(Some("b7".into())),
            r#"{"event":"MEDIA_BUFFERING_COMPLETED","channel_id":"a","correlation_id":"b7"}"#,
            "MEDIA_BUFFERING_COMPLETED b7",
        ),
        (
            Event::MarkProcessed(None),
            r#"{"event":"MEDIA_MARK_PROCESSED","channel_id":"a","correlation_id":""}"#,
            "MEDIA_MARK_PROCESSED",
        ),
        (
            Event::QueueDrained,
            r#"{"event":"QUEUE_DRAINED","channel_id":"a"}"#,
            "QUEUE_DRAINED",
        ),
        (
            Event::Digit('#'),
            r##"{"event":"DTMF_END","channel_id":"a","digit":"#"}"##,
            "DTMF_END digit:# channel_id:a",
        ),
        (
            Event::Fault("FLUSH_MEDIA not supported in passthrough mode".into()),
            r#"{"event":"ERROR","channel_id":"a","error_text":"FLUSH_MEDIA not supported in passthrough mode"}"#,
            "ERROR channel_id:a error_text:FLUSH_MEDIA not supported in passthrough mode",
        ),
        (
            Event::Other,
            r#"{"event":"SOMETHING_NEW"}"#,
            "SOMETHING_NEW a:b",
        ),
    ] {
        assert_eq!(
            Event::decode(json),
            Ok((event.clone(), Form::Json)),
            "{json}"
        );
        assert_eq!(Event::decode(words), Ok((event, Form::Words)), "{words}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let too_long = "x".repeat(EVENT_BYTES_MAX + 1);

    assert_eq!(Event::decode(" "), Err(DecodeError::Empty));
    assert_eq!(
        Event::decode(&too_long),
        Err(DecodeError::TooLong(EVENT_BYTES_MAX + 1))
    );
    assert!(matches!(Event::decode("{"), Err(DecodeError::Json(_))));
    assert!(matches!(Event::decode("{}"), Err(DecodeError::Json(_))));
    assert_eq!(
        Event::decode("MEDIA_START ptime:20"),
        Err(DecodeError::NoFormat)
    );
    assert_eq!(
        Event::decode("DTMF_END digit:12"),
        Err(DecodeError::Digit("12".into()))
    );
}

#[test]
fn commands_are_written_as_asterisk_reads_them() {
    for (command, words, json) in [
        (Command::Answer, "ANSWER", r#"{"command":"ANSWER"}"#),
        (Command::HangUp, "HANGUP", r#"{"command":"HANGUP"}"#),
        (
            Command::StartBuffering,
            "START_MEDIA_BUFFERING",
            r#"{"command":"START_MEDIA_BUFFERING"}"#,
        ),
        (
            Command::StopBuffering(Some("b7")),
            "STOP_MEDIA_BUFFERING b7",
            r#"{"command":"STOP_MEDIA_BUFFERING","correlation_id":"b7"}"#,
        ),
        (
            Command::Mark(None),
            "MARK_MEDIA",
            r#"{"command":"MARK_MEDIA"}"#,
        ),
        (
            Command::Flush,
            "FLUSH_MEDIA",
            r#"{"command":"FLUSH_MEDIA"}"#,
        ),
        (Command::Status, "GET_STATUS", r#"{"command":"GET_STATUS"}"#),
        (
            Command::ReportDrained,
            "REPORT_QUEUE_DRAINED",
            r#"{"command":"REPORT_QUEUE_DRAINED"}"#,
        ),
        (
            Command::Pause,
            "PAUSE_MEDIA",
            r#"{"command":"PAUSE_MEDIA"}"#,
        ),
        (
            Command::Continue,
            "CONTINUE_MEDIA",
            r#"{"command":"CONTINUE_MEDIA"}"#,
        ),
    ] {
        assert_eq!(command.encode(Form::Words).unwrap(), words);
        assert_eq!(command.encode(Form::Json).unwrap(), json);
    }
}

#[test]
fn a_command_that_asterisk_would_ignore_is_not_written() {
    let long = "n".repeat(120);

    assert_eq!(
        Command::Mark(Some(&long)).encode(Form::Words),
        Err(EncodeError::TooLong(131))
    );
    for name in ["", "two words", "quo\"te", "back\\slash", "ümlaut"] {
        assert_eq!(
            Command::Mark(Some(name)).encode(Form::Json),
            Err(EncodeError::Name),
            "{name:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_decoder_fail_otherwise(text in ".{0,200}") {
        let _either = Event::decode(&text);
    }

    #[test]
    fn a_name_comes_back_as_it_was(name in "[!#-&(-\\[\\]-~]{1,60}") {
        let json = format!(r#"{{"event":"MEDIA_MARK_PROCESSED","correlation_id":"{name}"}}"#);
        let mark = Event::MarkProcessed(Some(name.clone()));

        prop_assert!(Command::Mark(Some(&name)).encode(Form::Json).is_ok());
        prop_assert_eq!(Event::decode(&json), Ok((mark.clone(), Form::Json)));
        prop_assert_eq!(
            Event::decode(&format!("MEDIA_MARK_PROCESSED {name}")),
            Ok((mark, Form::Words))
        );
    }
}
