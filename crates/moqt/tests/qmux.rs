//! QMux over a WebSocket: two state machines that talk to each other, and peers that misbehave.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    Direction, Role,
    qmux::{
        Closed, Config, Event, Frame, FrameError, Mux, Parameters, ReadError, Received, StreamKey,
        Subprotocol, Version, WriteError,
    },
};
use proptest::prelude::*;

const NOW: Duration = Duration::from_secs(1);

#[test]
fn subprotocols_name_a_version_and_what_is_inside() {
    let full = Subprotocol::parse("qmux-01.moqt-18").unwrap();
    let bare = Subprotocol::parse("qmux-02").unwrap();

    assert_eq!((full.version, full.inner), (Version::V01, "moqt-18"));
    assert_eq!((bare.version, bare.inner), (Version::V02, ""));
    assert_eq!(full.to_string(), "qmux-01.moqt-18");
    for unknown in [
        "qmux-00.moqt-18",
        "webtransport",
        "qmux-012",
        "qmux-01.",
        "",
    ] {
        assert_eq!(Subprotocol::parse(unknown), None);
    }
}

#[test]
fn frames_look_as_quic_writes_them() {
    let frames: [(Frame, &[u8]); 6] = [
        (stream(4, Some(5), false, b"hi"), b"\x0e\x04\x05\x02hi"),
        (stream(8, Some(0), true, b"bye"), b"\x0f\x08\x00\x03bye"),
        (Frame::MaxData(1024), b"\x10\x44\x00"),
        (close(true, 42, "bye"), b"\x1d\x2a\x03bye"),
        (close(false, 42, "bye"), b"\x1c\x2a\x00\x03bye"),
        (Frame::Datagram(Bytes::from_static(b"hi")), b"\x31\x02hi"),
    ];

    for (frame, bytes) in frames {
        assert_eq!(encoded(&frame), bytes);
        assert_eq!(decoded(bytes), Ok(vec![frame]));
    }
}

#[test]
fn parameters_look_as_quic_writes_them() {
    let bytes = b"\xff\x51\x53\x30\x0d\x0a\x0d\x0a\x04\x04\x02\x44\x00";
    let parameters = Parameters {
        data: 1024,
        ..Parameters::default()
    };

    assert_eq!(decoded(bytes), Ok(vec![Frame::Parameters(parameters)]));
}

#[test]
fn a_stream_frame_without_offset_or_length_and_padding_are_understood() {
    assert_eq!(
        decoded(b"\x00\x40\x00\x0a\x04\x02hi\x00\x08\x04rest"),
        Ok(vec![
            stream(4, None, false, b"hi"),
            stream(4, None, false, b"rest")
        ])
    );
}

#[test]
fn parameters_that_are_forbidden_doubled_or_too_small_are_refused() {
    let parameters = |block: &[u8]| {
        let mut bytes = b"\xff\x51\x53\x30\x0d\x0a\x0d\x0a".to_vec();
        bytes.push(block.len() as u8);
        bytes.extend_from_slice(block);
        decoded(&bytes)
    };

    assert_eq!(
        parameters(b"\x0e\x01\x02"),
        Err(FrameError::Parameter(0x0e))
    );
    assert_eq!(
        parameters(b"\x04\x01\x02\x04\x01\x02"),
        Err(FrameError::Parameter(4))
    );
    assert_eq!(
        parameters(b"\xc5\x71\xc5\x94\x29\xcd\x08\x45\x01\x3f"),
        Err(FrameError::Parameter(0x0571_c594_29cd_0845))
    );
    assert!(parameters(b"\x3e\x01\x02").is_ok());
}

#[test]
fn a_frame_cut_short_is_an_error_at_every_length() {
    let mut whole = BytesMut::new();
    stream(400, Some(70_000), true, &[7; 100]).encode(&mut whole);

    for len in 1..whole.len() {
        assert_eq!(decoded(&whole[..len]), Err(FrameError::Truncated), "{len}");
    }
}

#[test]
fn bytes_cross_in_both_directions_and_streams_end() {
    let mut pair = Pair::open();
    let ours = pair.client.open(Direction::Bi).unwrap();
    write(&mut pair.client, ours, b"question");
    pair.client.finish(ours);
    pair.run();

    let theirs = pair.server.accept(Direction::Bi).unwrap();
    assert_eq!(read_all(&mut pair.server, theirs), b"question");
    assert_eq!(pair.server.read(theirs), Ok(Received::Finished));
    write(&mut pair.server, theirs, b"answer");
    pair.server.finish(theirs);
    pair.run();

    assert_eq!(read_all(&mut pair.client, ours), b"answer");
    assert_eq!(pair.client.done(ours), Ok(true));
    for (mux, key) in [(&mut pair.client, ours), (&mut pair.server, theirs)] {
        mux.release_send(key);
        mux.release_recv(key);
        assert_eq!(mux.stream_count(), 0);
    }
}

#[test]
fn more_bytes_than_any_window_get_through_while_they_are_read() {
    let mut pair = Pair::open();
    let ours = pair.client.open(Direction::Uni).unwrap();
    let mut rest = [Bytes::from(vec![9; 5 << 20])];
    let mut theirs = None;
    let mut received = 0;

    for _ in 0..10_000 {
        let all = pair.client.write(ours, &mut rest).unwrap();
        pair.run();
        theirs = theirs.or_else(|| pair.server.accept(Direction::Uni));
        received += read_all(&mut pair.server, theirs.unwrap()).len();
        if all && received == 5 << 20 {
            return;
        }
    }
    panic!("only {received} bytes arrived");
}

#[test]
fn a_reader_who_does_not_read_holds_back_its_stream_and_no_other() {
    let mut pair = Pair::open();
    let [stuck, other] = [(); 2].map(|()| pair.client.open(Direction::Uni).unwrap());
    let mut rest = [Bytes::from(vec![0; 1 << 20])];
    while !pair.client.write(stuck, &mut rest).unwrap() && pair.run() > 0 {}
    write(&mut pair.client, other, b"voice");
    pair.run();

    assert!(rest[0].len() >= 512 << 10);
    let keys = [(); 2].map(|()| pair.server.accept(Direction::Uni).unwrap());
    assert_eq!(read_all(&mut pair.server, keys[1]), b"voice");
}

#[test]
fn the_socket_gets_the_most_urgent_stream_first_and_equals_in_turn() {
    let mut pair = Pair::open();
    let [low, high, twin] = [(1, b"l"), (2, b"h"), (2, b"t")].map(|(priority, byte)| {
        let key = pair.client.open(Direction::Uni).unwrap();
        pair.client.set_priority(key, priority);
        write(&mut pair.client, key, &byte.repeat(6000));
        key
    });
    let order: Vec<u8> = std::iter::from_fn(|| pair.client.poll_transmit(NOW))
        .flat_map(|record| decoded(&record).unwrap())
        .filter_map(|frame| match frame {
            Frame::Stream { payload, .. } => Some(payload[0]),
            _ => None,
        })
        .collect();

    assert_eq!(order.first(), Some(&b'h'));
    assert_eq!(order[1], b't');
    assert!(order.iter().rposition(|b| *b == b'h') < order.iter().position(|b| *b == b'l'));
    assert!(low < high && high < twin);
}

#[test]
fn an_urgent_stream_gets_room_although_others_have_filled_it() {
    let mut pair = Pair::open();
    let video = pair.client.open(Direction::Uni).unwrap();
    let voice = pair.client.open(Direction::Uni).unwrap();
    pair.client.set_priority(voice, 1);
    let mut rest = [Bytes::from(vec![0; 1 << 20])];
    assert!(!pair.client.write(video, &mut rest).unwrap());

    write(&mut pair.client, voice, b"voice");

    let first = decoded(&pair.client.poll_transmit(NOW).unwrap()).unwrap();
    assert!(matches!(&first[0], Frame::Stream { payload, .. } if payload == "voice"));
}

#[test]
fn a_slow_socket_is_given_less_to_hold() {
    let mut pair = Pair::open();
    let video = pair.client.open(Direction::Uni).unwrap();
    let mut rest = [Bytes::from(vec![0; 400 << 10])];
    assert!(!pair.client.write(video, &mut rest).unwrap());
    assert_eq!(pair.client.queued_bytes(), Config::default().send_bytes);

    // One record of 4 KiB in 200 ms: 20 KiB/s, of which 250 ms are less than what may always wait.
    for step in 1..=60 {
        let now = NOW + Duration::from_millis(200) * step;
        pair.client.poll_transmit(now).unwrap();
        pair.client.write(video, &mut rest).unwrap();
    }

    assert!(pair.client.queued_bytes() <= 8 << 10);
}

#[test]
fn a_stream_given_up_before_it_was_sent_costs_the_peer_nothing() {
    let mut pair = Pair::open();
    for _ in 0..5000 {
        let key = pair.client.open(Direction::Uni).unwrap();
        write(&mut pair.client, key, b"too late");
        pair.client.reset(key, 5);
        pair.client.release_send(key);
    }

    assert_eq!(pair.run(), 0);
    assert_eq!(pair.client.stream_count(), 0);
    assert_eq!(pair.server.accept(Direction::Uni), None);
}

#[test]
fn reset_and_stop_carry_their_codes() {
    let mut pair = Pair::open();
    let [reset, stopped] = [(); 2].map(|()| {
        let key = pair.client.open(Direction::Uni).unwrap();
        write(&mut pair.client, key, b"begun");
        key
    });
    pair.run();
    let [reset_there, stopped_there] =
        [(); 2].map(|()| pair.server.accept(Direction::Uni).unwrap());
    pair.client.reset(reset, 7);
    pair.server.stop(stopped_there, 9);
    pair.run();

    assert_eq!(pair.server.read(reset_there), Err(ReadError::Reset(7)));
    let written = pair.client.write(stopped, &mut [Bytes::from_static(b"x")]);
    assert_eq!(written, Err(WriteError::Stopped(9)));
    assert_eq!(pair.client.done(stopped), Err(WriteError::Stopped(9)));
    pair.client.release_send(reset);
    pair.client.release_send(stopped);
    pair.server.release_recv(reset_there);
    pair.server.release_recv(stopped_there);
    pair.run();
    assert_eq!(
        (pair.client.stream_count(), pair.server.stream_count()),
        (0, 0)
    );
}

#[test]
fn streams_beyond_the_limit_wait_until_others_are_over() {
    let limit = Config::default().streams_bi;
    let mut pair = Pair::open();
    let keys: Vec<_> = std::iter::from_fn(|| pair.client.open(Direction::Bi)).collect();
    assert_eq!(keys.len() as u64, limit);
    for key in &keys {
        write(&mut pair.client, *key, b"x");
        pair.client.release_send(*key);
        pair.client.release_recv(*key);
    }
    pair.run();
    while let Some(key) = pair.server.accept(Direction::Bi) {
        assert_eq!(read_all(&mut pair.server, key), b"x");
        pair.server.release_send(key);
        pair.server.release_recv(key);
    }
    drain(&mut pair.client);
    pair.run();

    assert!(events(&mut pair.client).contains(&Event::Openable(Direction::Bi)));
    assert!(pair.client.open(Direction::Bi).is_some());
}

#[test]
fn datagrams_go_before_streams_and_old_ones_are_dropped() {
    let mut pair = Pair::open();
    let key = pair.client.open(Direction::Uni).unwrap();
    pair.client.set_priority(key, i32::MAX);
    write(&mut pair.client, key, b"stream");
    assert!(pair.client.send_datagram(Bytes::from_static(b"old"), NOW));
    let later = NOW + Config::default().datagram_send_time + Duration::from_millis(1);
    assert!(pair.client.send_datagram(Bytes::from_static(b"new"), later));

    let record = pair.client.poll_transmit(later).unwrap();
    pair.server.handle_message(record, later);

    assert_eq!(pair.server.receive_datagram().unwrap(), "new");
    assert_eq!(pair.server.receive_datagram(), None);
    assert_eq!(pair.client.take_dropped(), 1);
    assert!(
        !pair
            .client
            .send_datagram(Bytes::from(vec![0; 17 << 10]), later)
    );
}

#[test]
fn datagrams_that_nobody_takes_stay_within_their_bounds() {
    let mut pair = Pair::open();
    for number in 0..1000_u16 {
        let payload = Bytes::from(number.to_be_bytes().repeat(50));
        assert!(pair.client.send_datagram(payload, NOW));
    }
    pair.run();

    let first = pair.server.receive_datagram().unwrap();
    let number = u16::from_be_bytes([first[0], first[1]]);
    assert_eq!(
        usize::from(number),
        1000 - Config::default().datagram_send_bytes / 100
    );
}

#[test]
fn an_application_ends_with_its_code_and_a_reason() {
    let mut pair = Pair::open();
    let key = pair.client.open(Direction::Uni).unwrap();
    pair.client.close(3, "done");
    pair.run();

    let reason = "done".to_owned();
    assert_eq!(
        pair.server.closed(),
        Some(&Closed::Peer { code: 3, reason })
    );
    assert_eq!(pair.client.closed(), Some(&Closed::Ours));
    assert_eq!(pair.client.done(key), Err(WriteError::Lost));
    assert_eq!(pair.client.open(Direction::Uni), None);
}

#[test]
fn each_violation_ends_the_connection_with_quics_code() {
    let uni = 2; // The client's first unidirectional stream.
    let cases: [(&str, u64, Vec<Frame>); 9] = [
        (
            "flow control",
            0x03,
            vec![stream(uni, Some(0), false, &[0; 9000]); 1],
        ),
        (
            "stream limit",
            0x04,
            vec![stream(uni | 3000 << 2, Some(0), false, b"")],
        ),
        ("our own stream", 0x05, vec![stream(3, Some(0), false, b"")]),
        (
            "a stream of ours that is not there",
            0x05,
            vec![Frame::Stop { id: 3, code: 0 }],
        ),
        (
            "stop for the peer's direction",
            0x05,
            vec![Frame::Stop { id: uni, code: 0 }],
        ),
        ("gap", 0x06, vec![stream(uni, Some(1), false, b"x")]),
        (
            "after the end",
            0x06,
            vec![
                stream(uni, Some(0), true, b""),
                stream(uni, Some(0), false, b"x"),
            ],
        ),
        (
            "reset short of what came",
            0x06,
            vec![
                stream(uni, Some(0), false, b"xx"),
                Frame::Reset {
                    id: uni,
                    code: 0,
                    final_size: 1,
                },
            ],
        ),
        (
            "parameters twice",
            0x0a,
            vec![Frame::Parameters(Parameters::default())],
        ),
    ];

    for (name, code, frames) in cases {
        let config = Config {
            stream_window: 8 << 10,
            ..Config::default()
        };
        let mut server = introduced(config);
        for frame in frames {
            server.handle_message(encoded(&frame), NOW);
        }

        assert!(
            matches!(server.closed(), Some(Closed::Violation(_))),
            "{name}"
        );
        let farewell = decoded(&server.poll_transmit(NOW).unwrap()).unwrap();
        assert!(
            matches!(&farewell[..], [Frame::Close { application: false, code: said, .. }] if *said == code),
            "{name}: {farewell:?}"
        );
        assert_eq!(server.poll_transmit(NOW), None);
    }
}

#[test]
fn frames_before_the_parameters_and_records_too_large_are_violations() {
    for record in [encoded(&Frame::MaxData(1)), Bytes::from(vec![0; 16_383])] {
        let mut server = Mux::new(Role::Server, Version::V01, Config::default(), NOW);
        server.handle_message(record, NOW);

        assert!(matches!(server.closed(), Some(Closed::Violation(_))));
    }
}

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let mut pair = Pair::open();
    let config = Config::default();

    let ping_at = pair.client.poll_timeout().unwrap();
    assert_eq!(ping_at, NOW + config.keep_alive);
    pair.client.handle_timeout(ping_at);
    let ping = decoded(&pair.client.poll_transmit(ping_at).unwrap()).unwrap();
    assert!(matches!(
        ping[..],
        [Frame::Ping {
            response: false,
            ..
        }]
    ));
    pair.server.handle_message(encoded(&ping[0]), ping_at);
    let pong = decoded(&pair.server.poll_transmit(ping_at).unwrap()).unwrap();
    assert!(matches!(pong[..], [Frame::Ping { response: true, .. }]));

    pair.client.handle_timeout(NOW + config.idle_timeout);
    assert_eq!(pair.client.closed(), Some(&Closed::TimedOut));
    assert!(events(&mut pair.client).contains(&Event::Closed));
}

#[test]
fn a_peer_that_talks_but_takes_nothing_is_given_up() {
    let mut pair = Pair::open();
    let key = pair.server.open(Direction::Uni).unwrap();
    write(&mut pair.server, key, b"never taken");

    for second in 0..=31 {
        let ping = Frame::Ping {
            sequence: second,
            response: false,
        };
        let now = NOW + Duration::from_secs(second);
        pair.server.handle_message(encoded(&ping), now);
    }

    assert_eq!(pair.server.closed(), Some(&Closed::TimedOut));
}

#[test]
fn pings_of_a_stuck_peer_cost_one_answer() {
    let mut server = introduced(Config::default());
    for sequence in 0..1000 {
        let response = false;
        server.handle_message(encoded(&Frame::Ping { sequence, response }), NOW);
    }

    let answer = decoded(&server.poll_transmit(NOW).unwrap()).unwrap();
    let expected = Frame::Ping {
        sequence: 999,
        response: true,
    };
    assert_eq!(answer, [expected]);
    assert_eq!(server.poll_transmit(NOW), None);
}

#[test]
fn a_forgotten_stream_is_not_opened_anew_and_a_skipped_one_still_can_be() {
    let mut server = introduced(Config::default());
    server.handle_message(encoded(&stream(6, Some(0), true, b"b")), NOW);
    let second = server.accept(Direction::Uni).unwrap();
    assert_eq!(read_all(&mut server, second), b"b");
    server.release_recv(second);
    server.handle_message(encoded(&stream(6, Some(1), false, b"late")), NOW);
    assert_eq!(server.accept(Direction::Uni), None);

    server.handle_message(encoded(&stream(2, Some(0), true, b"a")), NOW);

    let first = server.accept(Direction::Uni).unwrap();
    assert_eq!(read_all(&mut server, first), b"a");
    assert_eq!(server.closed(), None);
}

proptest! {
    #[test]
    fn every_frame_survives_its_encoding(frame in any_frame()) {
        prop_assert_eq!(decoded(&encoded(&frame)), Ok(vec![frame]));
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(record in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut server = introduced(Config::default());
        server.handle_message(record.into(), NOW);
        drain(&mut server);
    }
}

/// Two ends of one WebSocket.
struct Pair {
    client: Mux,
    server: Mux,
}

impl Pair {
    fn open() -> Self {
        let mux = |role| Mux::new(role, Version::V02, Config::default(), NOW);
        let mut pair = Self {
            client: mux(Role::Client),
            server: mux(Role::Server),
        };
        pair.run();
        drain(&mut pair.client);
        drain(&mut pair.server);
        pair
    }

    /// Carries messages until there are none, and returns how many there were.
    fn run(&mut self) -> usize {
        let mut carried = 0;
        loop {
            let before = carried;
            while let Some(record) = self.client.poll_transmit(NOW) {
                self.server.handle_message(record, NOW);
                carried += 1;
            }
            while let Some(record) = self.server.poll_transmit(NOW) {
                self.client.handle_message(record, NOW);
                carried += 1;
            }
            if before == carried {
                return carried;
            }
        }
    }
}

/// A server whose client has said what it allows.
fn introduced(config: Config) -> Mux {
    let mut server = Mux::new(Role::Server, Version::V02, config, NOW);
    assert!(server.poll_transmit(NOW).is_some());
    let parameters = Parameters {
        data: 1 << 20,
        streams_uni: 10,
        streams_bi: 10,
        stream_data_uni: 1 << 20,
        ..Parameters::default()
    };
    server.handle_message(encoded(&Frame::Parameters(parameters)), NOW);
    drain(&mut server);
    server
}

fn events(mux: &mut Mux) -> Vec<Event> {
    std::iter::from_fn(|| mux.poll_event()).collect()
}

fn drain(mux: &mut Mux) {
    drop(events(mux));
}

fn write(mux: &mut Mux, key: StreamKey, bytes: &[u8]) {
    let all = mux.write(key, &mut [Bytes::copy_from_slice(bytes)]);
    assert_eq!(all, Ok(true));
}

fn read_all(mux: &mut Mux, key: StreamKey) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Received::Bytes(bytes)) = mux.read(key) {
        all.extend_from_slice(&bytes);
    }
    all
}

fn encoded(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    out.freeze()
}

fn decoded(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut record = Bytes::copy_from_slice(bytes);
    std::iter::from_fn(|| Frame::decode(&mut record).transpose()).collect()
}

fn stream(id: u64, offset: Option<u64>, fin: bool, payload: &[u8]) -> Frame {
    Frame::Stream {
        id,
        offset,
        fin,
        payload: Bytes::copy_from_slice(payload),
    }
}

fn close(application: bool, code: u64, reason: &str) -> Frame {
    Frame::Close {
        application,
        code,
        reason: reason.to_owned(),
    }
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let int = || 0..1_u64 << 62;
    let bytes = || prop::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from);
    prop_oneof![
        (int(), int(), any::<bool>(), bytes()).prop_map(|(id, offset, fin, payload)| {
            Frame::Stream {
                id,
                offset: Some(offset),
                fin,
                payload,
            }
        }),
        (int(), int(), int()).prop_map(|(id, code, final_size)| Frame::Reset {
            id,
            code,
            final_size
        }),
        (int(), int()).prop_map(|(id, code)| Frame::Stop { id, code }),
        (int(), int()).prop_map(|(id, max)| Frame::MaxStreamData { id, max }),
        int().prop_map(|max| Frame::MaxStreams(Direction::Bi, max)),
        int().prop_map(|max| Frame::MaxStreams(Direction::Uni, max)),
        (int(), any::<bool>()).prop_map(|(sequence, response)| Frame::Ping { sequence, response }),
        bytes().prop_map(Frame::Datagram),
        (int(), int(), int()).prop_map(|(data, streams_uni, datagram_frame_bytes)| {
            Frame::Parameters(Parameters {
                data,
                streams_uni: streams_uni >> 2,
                datagram_frame_bytes,
                ..Parameters::default()
            })
        }),
        (any::<bool>(), int(), ".{0,20}").prop_map(|(application, code, reason)| Frame::Close {
            application,
            code,
            reason
        }),
    ]
}
