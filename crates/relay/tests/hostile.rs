//! What a peer sends can end its own session and nothing else.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::{BufMut, Bytes, BytesMut};
use common::{
    Running, open_relay,
    peer::{BOTH, D18, Peer, Via, connect},
    relay_with, soon, track, until,
};
use moqrelay_moqt::{
    KeyValueEncoder, Message, Parameters, PublishDoneCode, PublishOptions, RequestId, ResetCode,
    SessionCode, Subscribe, TrackAlias,
    data::{Object, ObjectDatagram, ObjectStatus, SubgroupEncoder, SubgroupHeader, SubgroupId},
};
use moqrelay_relay::{
    Limits,
    track::{self, Info, Writer},
};
use web_transport_quinn as wt;

const VIOLATION: SessionCode = SessionCode::ProtocolViolation;

#[tokio::test]
async fn an_unknown_stream_type_ends_the_session() {
    ends_only_that_session(VIOLATION, async |peer: &mut Peer| {
        let mut stream = peer.session.open_uni().await.unwrap();
        stream.write_all(&[0x7f, 1, 2, 3]).await.unwrap();
        stream
    })
    .await;
}

#[tokio::test]
async fn an_unknown_datagram_type_ends_the_session() {
    ends_only_that_session(VIOLATION, async |peer: &mut Peer| {
        peer.session
            .send_datagram(Bytes::from_static(&[0x22, 1, 1]))
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_request_stream_with_something_else_ends_the_session() {
    ends_only_that_session(VIOLATION, async |peer: &mut Peer| {
        let (mut send, recv) = peer.session.open_bi().await.unwrap();
        send.write_all(&[0x3f, 0, 1, 0]).await.unwrap();
        (send, recv)
    })
    .await;
}

#[tokio::test]
async fn a_second_request_with_the_same_id_ends_the_session() {
    ends_only_that_session(SessionCode::InvalidRequestId, async |peer: &mut Peer| {
        let mut kept = Vec::new();
        for _ in 0..2 {
            let message = Message::Subscribe(Subscribe {
                id: RequestId(0),
                track: track("none", "such"),
                params: Parameters::default(),
            });
            let mut bytes = BytesMut::new();
            message.encode(D18, &mut bytes).unwrap();
            let (mut send, recv) = peer.session.open_bi().await.unwrap();
            send.write_all(&bytes).await.unwrap();
            kept.push((send, recv));
        }
        kept
    })
    .await;
}

#[tokio::test]
async fn a_control_message_that_is_too_long_ends_the_session() {
    // The draft would allow it; the limit is ours.
    ends_only_that_session(SessionCode::InternalError, async |peer: &mut Peer| {
        let (mut send, recv) = peer.session.open_bi().await.unwrap();
        // SUBSCRIBE of 65,535 bytes, a limit of 16 KiB.
        let mut bytes = BytesMut::from(&[0x03, 0xff, 0xff][..]);
        bytes.put_bytes(0, 0xffff);
        // The relay may end the session before all of it is written.
        drop(send.write_all(&bytes).await);
        (send, recv)
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_ends_within_an_object_ends_the_session() {
    ends_only_that_session(VIOLATION, async |peer: &mut Peer| {
        let alias = publish(peer).await;
        let mut bytes = stream_of(alias, b"a payload that is cut");
        bytes.truncate(bytes.len() - 3);
        let mut stream = peer.session.open_uni().await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.finish().unwrap();
        stream
    })
    .await;
}

#[tokio::test]
async fn an_object_that_is_too_large_ends_the_session() {
    ends_only_that_session(SessionCode::InternalError, async |peer: &mut Peer| {
        let alias = publish(peer).await;
        let header = stream_of(alias, &vec![0; 2_000_000]);
        let mut stream = peer.session.open_uni().await.unwrap();
        // Its announced length is enough; nothing of it need come.
        stream.write_all(&header[..64]).await.unwrap();
        stream
    })
    .await;
}

#[tokio::test]
async fn a_malformed_track_ends_and_its_session_goes_on() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("hostile", "t");
        let mut peer = Peer::connect(relay.addr(), via).await;
        let alias = publish(&mut peer).await;
        let mut subscriber = Peer::connect(relay.addr(), via).await;
        subscriber.subscribed(&name, Parameters::default()).await;
        // A track's mandatory property where only an object's may be.
        let mut properties = KeyValueEncoder::new(D18);
        properties.int(0x4000, 1).unwrap();
        let object = ObjectDatagram {
            alias,
            group: 1,
            id: 0,
            priority: None,
            end_of_group: false,
            status: ObjectStatus::Normal,
            properties: properties.finish(),
            payload: Bytes::new(),
        };

        peer.datagram(&object);

        let (status, _, _) = subscriber.publish_done().await;
        assert_eq!(status, PublishDoneCode::MalformedTrack);
        assert_eq!(subscriber.try_arrived(), None);
        peer.publish_namespace(&common::namespace("still/alive"))
            .await;
    }
}

#[tokio::test]
async fn closing_the_control_stream_ends_the_session() {
    for via in BOTH {
        let relay = open_relay();
        let session = soon(connect(relay.addr(), via)).await;
        let mut control = session.open_uni().await.unwrap();
        control.write_all(&[0xaf, 0x00, 0x00, 0x00]).await.unwrap();
        control.finish().unwrap();

        assert_eq!(code_of(soon(session.closed()).await), Some(VIOLATION));
    }
}

#[tokio::test]
async fn streams_and_datagrams_of_unknown_tracks_are_dropped_after_a_while() {
    for via in BOTH {
        let limits = Limits {
            early_wait: std::time::Duration::from_millis(50),
            early_streams: 4,
            early_datagrams: 4,
            ..Limits::default()
        };
        let relay = relay_with("127.0.0.1:0", common::Anyone, limits);
        let mut peer = Peer::connect(relay.addr(), via).await;
        let mut streams = Vec::new();
        for _ in 0..8 {
            let mut stream = peer.session.open_uni().await.unwrap();
            let bytes = stream_of(TrackAlias(99), b"who knows");
            stream.write_all(&bytes).await.unwrap();
            streams.push(stream);
        }

        for stream in &streams {
            let stopped = soon(stream.stopped()).await.unwrap();
            let code = ResetCode::Cancelled.to_code(D18);
            assert_eq!(stopped.map(u64::from), Some(code));
        }
        peer.publish_namespace(&common::namespace("still/alive"))
            .await;
    }
}

#[tokio::test]
async fn objects_before_their_alias_is_known_wait_for_it() {
    for via in BOTH {
        let relay = open_relay();
        let mut reader = relay.relay.subscribe(track("early", "t"));
        let mut peer = Peer::connect(relay.addr(), via).await;
        let (_, alias) = peer
            .machine
            .publish(track("early", "t"), PublishOptions::default())
            .unwrap();
        let mut stream = peer.session.open_uni().await.unwrap();
        let bytes = stream_of(alias, b"early bird");
        stream.write_all(&bytes).await.unwrap();
        stream.finish().unwrap();
        // Only when the relay has the stream, PUBLISH goes out.
        soon(stream.stopped()).await.unwrap();

        peer.flush().await;

        loop {
            if let Some(track::Event::Object(object)) = soon(reader.next()).await {
                assert_eq!(object.payload, "early bird");
                break;
            }
        }
    }
}

#[tokio::test]
async fn random_bytes_everywhere_harm_nobody_else() {
    for via in BOTH {
        let relay = open_relay();
        let (mut writer, mut witness) = witness(&relay).await;
        let mut random = Random(0x5eed);
        for round in 0..30usize {
            let mut peer = Peer::connect(relay.addr(), via).await;
            let alias = publish(&mut peer).await;
            let mut bytes = match round % 3 {
                0 => BytesMut::new(),
                1 => stream_of(alias, b"begins well"),
                _ => BytesMut::from(&[0x03, 0x00, 0x40][..]),
            };
            for _ in 0..random.below(200) {
                bytes.put_u8(random.byte());
            }
            throw(&peer.session, &bytes, round).await;
            peer.session.close(0, b"");
        }

        still_hears(&mut writer, &mut witness).await;
        until("only the witness is left", || {
            relay.relay.stats().sessions == 1
        })
        .await;
        until("its tracks are gone", || relay.relay.stats().tracks == 1).await;
    }
}

/// A session that does `what` ends with `code`; another one does not notice.
async fn ends_only_that_session<T>(code: SessionCode, what: impl AsyncFn(&mut Peer) -> T) {
    for via in BOTH {
        let limits = Limits {
            object_bytes: 1_000_000,
            ..Limits::default()
        };
        let relay = relay_with("127.0.0.1:0", common::Anyone, limits);
        let (mut writer, mut witness) = witness(&relay).await;
        let mut peer = Peer::connect(relay.addr(), via).await;

        let _kept = what(&mut peer).await;

        let ended = soon(peer.session.closed()).await;
        assert_eq!(code_of(ended), Some(code), "{via:?}");
        until("it was counted", || relay.relay.stats().violations == 1).await;
        still_hears(&mut writer, &mut witness).await;
    }
}

async fn witness(relay: &Running) -> (Writer, Peer) {
    let name = track("witness", "voice");
    let writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut witness = Peer::connect(relay.addr(), Via::WebTransport).await;
    witness.subscribed(&name, Parameters::default()).await;
    (writer, witness)
}

async fn still_hears(writer: &mut Writer, witness: &mut Peer) {
    let object = track::Object {
        group: 77,
        payload: "still here".into(),
        ..track::Object::default()
    };
    writer.write(object).unwrap();
    assert_eq!(witness.object().await.2, "still here");
}

async fn throw(session: &wt::Session, bytes: &[u8], round: usize) {
    // The relay may end the session at any moment.
    drop(session.send_datagram(Bytes::copy_from_slice(bytes)));
    if let Ok(mut uni) = session.open_uni().await {
        drop(uni.write_all(bytes).await);
        if round.is_multiple_of(2) {
            drop(uni.finish());
        }
    }
    if let Ok((mut send, _recv)) = session.open_bi().await {
        drop(send.write_all(bytes).await);
        drop(send.finish());
    }
}

async fn publish(peer: &mut Peer) -> TrackAlias {
    let name = track("hostile", "t");
    peer.publish(&name, PublishOptions::default()).await.1
}

fn stream_of(alias: TrackAlias, payload: &[u8]) -> BytesMut {
    let header = SubgroupHeader {
        alias,
        group: 1,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties: false,
        end_of_group: false,
        first_object: true,
    };
    let mut encoder = SubgroupEncoder::new(D18, header);
    let object = Object {
        payload: Bytes::copy_from_slice(payload),
        ..Object::default()
    };
    let mut bytes = BytesMut::new();
    encoder.header(&mut bytes);
    encoder.object(&object, &mut bytes).unwrap();
    bytes.put_slice(payload);
    bytes
}

fn code_of(error: wt::SessionError) -> Option<SessionCode> {
    match error {
        wt::SessionError::WebTransportError(wt::WebTransportError::Closed(code, _)) => {
            Some(SessionCode::from_code(D18, code.into()))
        }
        _ => None,
    }
}

/// The same numbers in every run (a linear congruential generator).
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 56) as u8
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }
}
