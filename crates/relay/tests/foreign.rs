//! An implementation that is not ours publishes and subscribes through the relay.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    cell::Cell,
    future::{Future, pending},
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use common::{
    namespace, open_relay,
    peer::{BOTH, Peer, Via, quic},
    relay_with, soon, track,
};
use moq_transport::{
    coding::{KeyValuePairs, Location, TrackNamespace},
    data::{ExtensionHeaders, FetchRecord, FetchRecordObject, ObjectStatus},
    message::{FetchType, GroupOrder, StandaloneFetch},
    serve::{Datagram, ServeError, Subgroup, Track, TrackReader, TrackReaderMode, TrackWriter},
    session::{Fetch, FetchOkInfo, Publisher, Session, Subscriber, Transport, transport},
};
use moqrelay_moqt::{FetchRange, Parameters};
use moqrelay_relay::{
    AuthError, Authorize, Grants, Limits, Rights,
    track::{Event, Info, Object, Reader},
};
use tokio::sync::oneshot;
use web_transport_quinn_0_11 as wt;

const PATH: &str = "foreign/room";

#[tokio::test]
async fn subgroups_reach_a_foreign_subscriber_whole() {
    for via in BOTH {
        let relay = open_relay();
        let publisher = publish(relay.addr(), via, |track| async move {
            let mut subgroups = track.subgroups().unwrap();
            for group in 0..3 {
                for id in [0, 5] {
                    let mut subgroup = subgroups.create(subgroup(group, id)).unwrap();
                    for object in 0..4 {
                        let payload = payload(group, id, object);
                        let object = 10 * object + id;
                        let mut writer = subgroup
                            .create_with_id(object, payload.len(), Some(extensions(object)))
                            .unwrap();
                        writer.write(payload).unwrap();
                    }
                    subgroup.finish().unwrap();
                }
            }
        });
        let heard = subscribe(relay.addr(), via, |track| async move {
            let TrackReaderMode::Subgroups(mut subgroups) = track.mode().await.unwrap() else {
                panic!("subgroups stay subgroups");
            };
            let mut heard = Vec::new();
            while heard.len() < 24 {
                let mut subgroup = subgroups.next().await.unwrap().unwrap();
                let (group, id) = (subgroup.info.group_id, subgroup.info.subgroup_id);
                assert_eq!(subgroup.info.priority, 77);
                while let Some(mut object) = subgroup.next().await.unwrap() {
                    let number = object.info.object_id;
                    assert_eq!(object.info.extension_headers, extensions(number));
                    let got = object.read_all().await.unwrap();
                    assert_eq!(got, payload(group, id, (number - id) / 10));
                    heard.push((group, id, number));
                }
            }
            heard
        });

        let (_, mut heard) = soon(async { tokio::join!(publisher, heard) }).await;

        heard.sort_unstable();
        heard.dedup();
        assert_eq!(heard.len(), 24);
    }
}

#[tokio::test]
async fn datagrams_reach_a_foreign_subscriber() {
    for via in BOTH {
        let relay = open_relay();
        // Its sender keeps only the latest datagram: each must be on its way before the next.
        let mut witness = relay.relay.subscribe(track(PATH, "track"));
        let (sent_tx, mut sent) = tokio::sync::mpsc::unbounded_channel();
        let publisher = publish(relay.addr(), via, |track| async move {
            let mut datagrams = track.datagrams().unwrap();
            for object in 0..20 {
                datagrams.write(datagram(object)).unwrap();
                sent.recv().await.unwrap();
            }
        });
        let relayed = async {
            let mut relayed = 0;
            while relayed < 20 {
                if let Some(Event::Object(_)) = witness.next().await {
                    relayed += 1;
                    sent_tx.send(()).unwrap();
                }
            }
        };
        let heard = subscribe(relay.addr(), via, |track| async move {
            let TrackReaderMode::Datagrams(mut datagrams) = track.mode().await.unwrap() else {
                panic!("datagrams stay datagrams");
            };
            let mut last = None;
            while last != Some(19) {
                let got = datagrams.read().await.unwrap().unwrap();
                assert_eq!(got.payload, payload(3, 0, got.object_id));
                assert_eq!(got.priority, 9);
                assert_eq!(got.extension_headers, extensions(got.object_id));
                last = Some(got.object_id);
            }
        });

        soon(async { tokio::join!(publisher, relayed, heard) }).await;
    }
}

#[tokio::test]
async fn a_reader_in_the_process_hears_a_foreign_publisher() {
    for via in BOTH {
        let relay = open_relay();
        let mut reader = relay.relay.subscribe(track(PATH, "track"));
        let publisher = publish(relay.addr(), via, |track| async move {
            let mut subgroups = track.subgroups().unwrap();
            let mut subgroup = subgroups.create(subgroup(8, 2)).unwrap();
            let mut object = subgroup.create_with_id(6, 5, Some(extensions(6))).unwrap();
            object.write(Bytes::from("voice")).unwrap();
            subgroup.finish().unwrap();
        });

        let (_, object) = soon(async { tokio::join!(publisher, next_object(&mut reader)) }).await;

        assert_eq!((object.group, object.subgroup, object.id), (8, Some(2), 6));
        assert_eq!(object.priority, Some(77));
        assert_eq!(object.payload, "voice");
        assert!(!object.properties.is_empty());
        loop {
            if let Some(Event::Ended(_)) = soon(reader.next()).await {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_foreign_subscriber_hears_a_writer_in_the_process() {
    for via in BOTH {
        let relay = open_relay();
        let name = track(PATH, "track");
        let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
        let heard = subscribe(relay.addr(), via, |track| async move {
            let TrackReaderMode::Subgroups(mut subgroups) = track.mode().await.unwrap() else {
                panic!("subgroups stay subgroups");
            };
            let mut subgroup = subgroups.next().await.unwrap().unwrap();
            let mut heard = Vec::new();
            while let Some(payload) = subgroup.read_next().await.unwrap() {
                heard.push(payload);
            }
            heard
        });
        let write = async {
            common::until("the subscriber is there", || writer.is_read()).await;
            for id in 0..3 {
                let object = Object {
                    group: 5,
                    subgroup: Some(0),
                    id,
                    payload: payload(5, 0, id),
                    ..Object::default()
                };
                writer.write(object).unwrap();
            }
            writer.finish_group(5);
        };

        let (heard, ()) = soon(async { tokio::join!(heard, write) }).await;

        let expected: Vec<_> = (0..3).map(|id| payload(5, 0, id)).collect();
        assert_eq!(heard, expected);
    }
}

#[tokio::test]
async fn a_foreign_publisher_is_heard_by_who_comes_later() {
    for via in BOTH {
        let relay = open_relay();
        let (accepted_tx, accepted) = oneshot::channel();
        let (listening_tx, listening) = oneshot::channel();
        // Its PUBLISH is accepted while nobody listens.
        let publisher = publish(relay.addr(), via, |track| async move {
            accepted_tx.send(()).unwrap();
            listening.await.unwrap();
            let mut subgroups = track.subgroups().unwrap();
            let mut subgroup = subgroups.create(subgroup(3, 0)).unwrap();
            subgroup.write(payload(3, 0, 0)).unwrap();
        });
        let heard = async {
            accepted.await.unwrap();
            subscribe(relay.addr(), via, |track| async move {
                listening_tx.send(()).unwrap();
                let TrackReaderMode::Subgroups(mut subgroups) = track.mode().await.unwrap() else {
                    panic!("subgroups stay subgroups");
                };
                let mut subgroup = subgroups.next().await.unwrap().unwrap();
                subgroup.read_next().await.unwrap()
            })
            .await
        };

        let ((), heard) = soon(async { tokio::join!(publisher, heard) }).await;

        assert_eq!(heard, Some(payload(3, 0, 0)));
    }
}

#[tokio::test]
async fn a_foreign_subscriber_rewinds_thirty_seconds_of_a_running_call() {
    for via in BOTH {
        let relay = open_relay();
        let name = track(PATH, "track");
        let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
        let mut speak = |second: u64| {
            for id in 0..50 {
                let object = Object {
                    group: second,
                    subgroup: Some(0),
                    id,
                    payload: payload(second, 0, id),
                    ..Object::default()
                };
                writer.write(object).unwrap();
            }
            writer.finish_group(second);
        };
        // A group for each second of voice.
        (0..45).for_each(&mut speak);
        let (session, _, mut subscriber) = connect(relay.addr(), via).await;
        let (writer, reader) = Track::new(TrackNamespace::from_utf8_path(PATH), "track").produce();
        let work = async {
            let subscription = subscriber.subscribe_open(writer).await.unwrap();
            let relative = FetchType::RelativeJoining;
            let params = KeyValuePairs::default();
            let past = subscriber.joining_fetch(relative, subscription.id, 30, params);
            let mut past = past.await.unwrap();
            let end = past.ok().await.unwrap().end_location;
            assert_eq!((end.group_id, end.object_id), (44, 50));
            let mut expected = (14..45).flat_map(|group| (0..50).map(move |id| (group, id)));
            while let Some(record) = past.next().await.unwrap() {
                let FetchRecord::Object(object) = record else {
                    panic!("nothing is missing: {record:?}");
                };
                let at = (object.group_id, object.object_id);
                assert_eq!(Some(at), expected.next());
                assert_eq!(object.subgroup_id, Some(0));
                assert_eq!(payload(at.0, 0, at.1), whole_payload(&mut past).await);
            }
            assert_eq!(expected.next(), None);

            // The call goes on where the past ends.
            speak(45);
            let TrackReaderMode::Subgroups(mut subgroups) = reader.mode().await.unwrap() else {
                panic!("subgroups stay subgroups");
            };
            let mut subgroup = subgroups.next().await.unwrap().unwrap();
            assert_eq!(subgroup.info.group_id, 45);
            let first = subgroup.read_next().await.unwrap();
            assert_eq!(first, Some(payload(45, 0, 0)));
        };
        tokio::select! {
            () = soon(work) => {}
            ended = session.run() => panic!("the subscriber's session ended: {ended:?}"),
        }
    }
}

#[tokio::test]
async fn both_orders_gaps_and_datagrams_of_a_fetch_are_read_by_a_foreign_subscriber() {
    let relay = open_relay();
    let name = track(PATH, "track");
    let config = |subgroup, group, id| Object {
        group,
        subgroup,
        id,
        priority: Some(9),
        payload: payload(group, 0, id),
        ..Object::default()
    };
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    for (subgroup, group, id) in [
        (Some(0), 1, 0),
        (Some(5), 1, 3),
        (Some(6), 1, 4),
        (None, 2, 7),
        (Some(6), 9, 1),
    ] {
        writer.write(config(subgroup, group, id)).unwrap();
    }
    let (session, _, mut subscriber) = connect(relay.addr(), Via::Quic).await;
    let work = async {
        for (order, expected) in [
            (
                GroupOrder::Ascending,
                [
                    (Some(0), 1, 0),
                    (Some(5), 1, 3),
                    (Some(6), 1, 4),
                    (None, 2, 7),
                    (Some(6), 9, 1),
                ],
            ),
            (
                GroupOrder::Descending,
                [
                    (Some(6), 9, 1),
                    (None, 2, 7),
                    (Some(0), 1, 0),
                    (Some(5), 1, 3),
                    (Some(6), 1, 4),
                ],
            ),
        ] {
            let range = StandaloneFetch {
                track_namespace: TrackNamespace::from_utf8_path(PATH),
                track_name: "track".into(),
                start_location: Location::new(0, 0),
                end_location: Location::new(12, 0),
            };
            let mut params = KeyValuePairs::default();
            params.set_group_order(order);
            let mut past = subscriber.fetch(range, params).await.unwrap();
            let mut got = Vec::new();
            while let Some(FetchRecord::Object(object)) = past.next().await.unwrap() {
                let at = (object.group_id, object.object_id);
                assert_eq!(object.publisher_priority, 9);
                assert_eq!(payload(at.0, 0, at.1), whole_payload(&mut past).await);
                got.push((object.subgroup_id, at.0, at.1));
            }
            assert_eq!(got, expected);
        }
    };
    tokio::select! {
        () = soon(work) => {}
        ended = session.run() => panic!("the subscriber's session ended: {ended:?}"),
    }
}

#[tokio::test]
async fn what_the_relay_never_had_comes_from_a_foreign_publisher() {
    let relay = open_relay();
    let (session, mut publisher, _) = connect(relay.addr(), Via::Quic).await;
    publisher.accept_fetch();
    let (writer, reader) = Track::new(TrackNamespace::from_utf8_path(PATH), "track").produce();
    let mut requests = publisher.clone();
    let serve = async {
        let request = requests.fetch_requested().await.unwrap();
        let range = request.resolve().await.unwrap().unwrap();
        let info = FetchOkInfo {
            end_of_track: false,
            end_location: range.end_location,
            params: KeyValuePairs::default(),
            track_extensions: Default::default(),
        };
        let mut answer = request.respond(info).await.unwrap();
        let unknown = FetchRecord::Unknown {
            end: Location::new(5, 1),
        };
        answer.write_record(&unknown).await.unwrap();
        for (group_id, object_id) in [(5, 2), (5, 4), (6, 0)] {
            let payload = payload(group_id, 1, object_id);
            let object = FetchRecordObject {
                group_id,
                subgroup_id: Some(1),
                object_id,
                publisher_priority: 4,
                extension_headers: extensions(object_id),
                payload_length: payload.len() as u64,
            };
            answer
                .write_record(&FetchRecord::Object(object))
                .await
                .unwrap();
            answer.write_payload(&payload).await.unwrap();
        }
        answer.finish().await.unwrap();
        std::future::pending::<()>().await;
    };
    let publish = async {
        let mut published = publisher
            .publish(reader, KeyValuePairs::default())
            .await
            .unwrap();
        published.ok().await.unwrap();
        let mut subgroups = writer.subgroups().unwrap();
        let mut live = subgroups.create(subgroup(7, 0)).unwrap();
        let mut object = live.create_with_id(0, 5, None).unwrap();
        object.write(Bytes::from("voice")).unwrap();
        published.serve().await.unwrap();
    };
    let work = async {
        let mut witness = relay.relay.subscribe(track(PATH, "track"));
        next_object(&mut witness).await;
        let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
        let range = FetchRange::Standalone {
            track: track(PATH, "track"),
            start: moqrelay_moqt::Location::new(5, 0),
            end: moqrelay_moqt::Location::new(7, 1),
        };
        peer.fetch(range, Parameters::default()).await;
        assert_eq!(peer.answer().await, "?5/1 5/2 5/4 6/0 7/0");
    };
    tokio::select! {
        () = soon(work) => {}
        () = serve => {}
        () = publish => panic!("the publisher stopped"),
        ended = session.run() => panic!("the publisher's session ended: {ended:?}"),
    }
}

/// The bearer of any token is that participant, and speaks only as itself.
struct Participant;

impl Authorize for Participant {
    fn authorize(&self, token: Option<&str>) -> Result<Grants, AuthError> {
        let participant = namespace(token.ok_or(AuthError::Denied)?);
        Ok(Grants {
            publish: vec![participant.clone()],
            participant: Some(participant),
            ..Grants::default()
        })
    }
}

#[tokio::test]
async fn a_foreign_publisher_whose_right_is_taken_back_is_heard_no_more() {
    for via in BOTH {
        let relay = relay_with("127.0.0.1:0", Participant, Limits::default());
        let mut witness = relay.relay.subscribe(track(PATH, "track"));
        let path = format!("moq?token={PATH}");
        let (session, mut publisher, _) = connect_to(relay.addr(), via, &path).await;
        let namespace_of = TrackNamespace::from_utf8_path(PATH);
        let (revoked, silent) = (Cell::new(false), Cell::new(false));
        let (writer, reader) = Track::new(namespace_of.clone(), "track").produce();
        let work = async {
            let mut published = publisher
                .publish(reader, KeyValuePairs::default())
                .await
                .unwrap();
            published.ok().await.unwrap();
            let mut subgroups = writer.subgroups().unwrap();
            let mut subgroup = subgroups.create(subgroup(0, 0)).unwrap();
            subgroup.write(payload(0, 0, 0)).unwrap();
            let heard = async {
                assert_eq!(next_object(&mut witness).await.payload, payload(0, 0, 0));
                let until = SystemTime::now() + Duration::from_secs(3600);
                let participant = namespace(PATH);
                relay.relay.revoke(&participant, Rights::Nothing, until);
                revoked.set(true);
                until_ended(&mut witness).await;
                silent.set(true);
            };
            // It learns that it is not wanted: its writer is still there.
            let (served, ()) = tokio::join!(published.serve(), heard);
            let (_again, reader) = Track::new(namespace_of, "again").produce();
            let again = publisher.publish(reader, KeyValuePairs::default());
            let (Ok(()), Ok(mut again)) = (served, again.await) else {
                return pending().await;
            };
            match again.ok().await.unwrap_err() {
                ServeError::Closed(code) => assert_eq!(code, 0x1, "UNAUTHORIZED"),
                _ => pending().await,
            }
        };
        tokio::select! {
            () = soon(work) => {}
            // Where the library sees the reset of its request first, it takes it for the end of the session.
            ended = session.run() => assert!(revoked.get(), "the session ended: {ended:?}"),
        }
        if !silent.get() {
            soon(until_ended(&mut witness)).await;
        }
    }
}

async fn until_ended(reader: &mut Reader) {
    while !matches!(reader.next().await, Some(Event::Ended(_))) {}
}

async fn whole_payload(past: &mut Fetch) -> Bytes {
    let mut payload = BytesMut::new();
    while let Some(chunk) = past.read_payload_chunk(1 << 16).await.unwrap() {
        payload.extend_from_slice(&chunk);
    }
    payload.freeze()
}

/// Publishes one track with PUBLISH and writes it once the relay has agreed.
async fn publish<F>(addr: SocketAddr, via: Via, write: impl FnOnce(TrackWriter) -> F)
where
    F: Future<Output = ()>,
{
    let (session, mut publisher, _) = connect(addr, via).await;
    let (writer, reader) = Track::new(TrackNamespace::from_utf8_path(PATH), "track").produce();
    let work = async {
        let mut published = publisher
            .publish(reader, KeyValuePairs::default())
            .await
            .unwrap();
        published.ok().await.unwrap();
        let (served, ()) = tokio::join!(published.serve(), write(writer));
        served.unwrap();
    };
    tokio::select! {
        () = work => {}
        ended = session.run() => panic!("the publisher's session ended: {ended:?}"),
    }
}

/// Subscribes to it, waiting for the publisher, and hears it.
async fn subscribe<F, T>(addr: SocketAddr, via: Via, hear: impl FnOnce(TrackReader) -> F) -> T
where
    F: Future<Output = T>,
{
    let (session, _, mut subscriber) = connect(addr, via).await;
    let (writer, reader) = Track::new(TrackNamespace::from_utf8_path(PATH), "track").produce();
    let mut params = KeyValuePairs::default();
    params.set_rendezvous_timeout(5000);
    let work = async {
        let subscription = subscriber
            .subscribe_open_with_params(writer, params)
            .await
            .unwrap();
        let heard = hear(reader).await;
        drop(subscription);
        heard
    };
    tokio::select! {
        heard = work => heard,
        ended = session.run() => panic!("the subscriber's session ended: {ended:?}"),
    }
}

async fn connect(addr: SocketAddr, via: Via) -> (Session, Publisher, Subscriber) {
    connect_to(addr, via, "any/path").await
}

async fn connect_to(addr: SocketAddr, via: Via, path: &str) -> (Session, Publisher, Subscriber) {
    let (url, session, kind) = match via {
        Via::WebTransport => {
            let url: url::Url = format!("https://{addr}/{path}").parse().unwrap();
            let connection = quic(addr, "h3").await.unwrap();
            let request = wt::proto::ConnectRequest::new(url.clone()).with_protocol("moqt-18");
            let session = wt::Session::connect(connection, request).await.unwrap();
            (url, session, Transport::WebTransport)
        }
        Via::Quic => {
            let url: url::Url = format!("moqt://{addr}/{path}").parse().unwrap();
            let connection = quic(addr, "moqt-18").await.unwrap();
            let response = wt::proto::ConnectResponse::default();
            let session = wt::Session::raw(connection, url.clone(), response);
            (url, session, Transport::RawQuic)
        }
    };
    let session = transport::Session::new(session, url);
    soon(Session::connect(session, None, kind)).await.unwrap()
}

async fn next_object(reader: &mut Reader) -> Object {
    loop {
        if let Some(Event::Object(object)) = reader.next().await {
            return object;
        }
    }
}

fn subgroup(group_id: u64, subgroup_id: u64) -> Subgroup {
    Subgroup {
        group_id,
        subgroup_id,
        priority: 77,
    }
}

fn datagram(object_id: u64) -> Datagram {
    Datagram {
        group_id: 3,
        object_id,
        priority: 9,
        status: ObjectStatus::NormalObject,
        end_of_group: false,
        payload: payload(3, 0, object_id),
        extension_headers: extensions(object_id),
    }
}

fn extensions(object: u64) -> ExtensionHeaders {
    let mut headers = ExtensionHeaders::new();
    headers.set_intvalue(0x3b00, object);
    headers.set_bytesvalue(0x3b01, b"\0opaque\xff".to_vec());
    headers
}

fn payload(group: u64, subgroup: u64, object: u64) -> Bytes {
    let text = format!("{group}/{subgroup}/{object} ");
    Bytes::from(text.repeat(50))
}
