//! A session against a hostile peer: any bytes on any stream, any resets, an application that answers everything.
//!
//! The input is a list of steps: one byte says what happens, the next ones how.
#![no_main]

use core::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use moqrelay_moqt::{
    Config, Draft, Event, Output, Parameters, PublishDoneCode, PublishOptions, RequestCode,
    RequestError, RequestOk, Role, Session, StreamId, SubscribeAnswer, SubscribeOptions, Transport,
};

fuzz_target!(|data: &[u8]| {
    let Some((first, mut rest)) = data.split_first() else {
        return;
    };
    let role = if first & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let transport = if first & 2 == 0 {
        Transport::WebTransport
    } else {
        Transport::Quic
    };
    let (draft, setup): (_, &[u8]) = match (first >> 3 & 3, role) {
        (1, Role::Server) => (Draft::D16, b"\x20\x00\x03\x01\x02\x20"),
        (1, Role::Client) => (Draft::D16, b"\x21\x00\x03\x01\x02\x20"),
        (2, Role::Server) => (
            Draft::D14,
            b"\x20\x00\x0c\x01\xc0\x00\x00\x00\xff\x00\x00\x0e\x01\x02\x20",
        ),
        (2, Role::Client) => (
            Draft::D14,
            b"\x21\x00\x0b\xc0\x00\x00\x00\xff\x00\x00\x0e\x01\x02\x20",
        ),
        // It takes four ranges of filters, and two updates at a time.
        (3, _) => (Draft::D19, b"\xaf\x00\x00\x06\x04\x20\x02\x04\x02\x02"),
        _ => (Draft::D18, b"\xaf\x00\x00\x02\x04\x20"),
    };
    let mut now = Duration::ZERO;
    let mut config = Config::new(draft, role, transport);
    config.limits.filter_ranges_max = 4;
    let mut session = Session::new(config, now);
    let mut streams = vec![match (draft, role) {
        (Draft::D18 | Draft::D19, _) => session.accept_control(),
        (_, Role::Server) => session.accept_bi(),
        // Our own, which is opened first.
        (_, Role::Client) => StreamId(0),
    }];
    if first & 4 == 0 {
        session.handle_stream(streams[0], Bytes::copy_from_slice(setup), false, now);
    }
    drain(&mut session, &mut streams);
    while let [step, next @ ..] = rest {
        let (argument, next) = next
            .split_first()
            .map_or((0, next), |(byte, next)| (*byte, next));
        rest = next;
        let stream = streams
            .get(usize::from(argument) % streams.len())
            .copied()
            .unwrap_or(StreamId(0));
        match step % 8 {
            0 => streams.push(session.accept_bi()),
            1 | 2 => {
                let (len, after) = rest
                    .split_first()
                    .map_or((0, rest), |(byte, after)| (usize::from(*byte), after));
                let (bytes, after) = after.split_at(len.min(after.len()));
                rest = after;
                session.handle_stream(stream, Bytes::copy_from_slice(bytes), step % 8 == 2, now);
            }
            3 => session.handle_reset(stream, argument.into(), now),
            4 => session.handle_stop(stream, argument.into(), now),
            5 => {
                now += Duration::from_millis(u64::from(argument) * 50);
                session.handle_timeout(now);
            }
            6 => call(&mut session, argument),
            _ => streams.push(StreamId(argument.into())),
        }
        drain(&mut session, &mut streams);
    }
    let now = now + Duration::from_secs(3600);
    session.handle_timeout(now);
    assert!(session.poll_timeout().is_none_or(|due| due > now));
});

/// The application's own requests.
fn call(session: &mut Session, argument: u8) {
    let track = || "room--audio".parse().expect("a track's name");
    let prefix = || "room".parse().expect("a namespace");
    let _outcome = match argument % 6 {
        0 => session
            .subscribe(track(), SubscribeOptions::default())
            .err(),
        1 => session.publish(track(), PublishOptions::default()).err(),
        2 => session.track_status(track(), Parameters::default()).err(),
        3 => session
            .publish_namespace(prefix(), Parameters::default())
            .err(),
        4 => session
            .subscribe_namespace(prefix(), Parameters::default())
            .err(),
        _ => session
            .subscribe_tracks(prefix(), Parameters::default())
            .err(),
    };
}

/// An application that takes every second request and then does something with it.
fn drain(session: &mut Session, streams: &mut Vec<StreamId>) {
    while let Some(output) = session.poll_output() {
        let event = match output {
            Output::Open(stream, _) => {
                streams.push(stream);
                continue;
            }
            Output::Event(event) => event,
            _ => continue,
        };
        let refusal = || RequestError::new(RequestCode::NotSupported, "");
        let _outcome = match event {
            Event::Subscribe { id, .. } if id.0 % 4 < 2 => {
                let accepted = session.accept_subscribe(id, SubscribeAnswer::default());
                accepted
                    .and_then(|_| session.publish_done(id, PublishDoneCode::TrackEnded, None, ""))
            }
            Event::SubscribeNamespace { id, .. } => {
                session.accept(id, RequestOk::default()).and_then(|()| {
                    let suffix = "a".parse().expect("a namespace");
                    session.namespace(id, suffix)
                })
            }
            Event::Publish { id, .. }
            | Event::TrackStatus { id, .. }
            | Event::SubscribeTracks { id, .. } => session.accept(id, RequestOk::default()),
            Event::Fetch { id, .. }
            | Event::PublishNamespace { id, .. }
            | Event::Subscribe { id, .. } => session.reject(id, refusal()),
            Event::Update { id, .. } => session.accept_update(id, Parameters::default()),
            _ => Ok(()),
        };
    }
}
