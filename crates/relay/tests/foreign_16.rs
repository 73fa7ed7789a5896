//! An implementation of draft-16 that is not ours publishes, subscribes and fetches through the relay.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use common::{
    Running, open_relay,
    peer::{BOTH, Peer, Via, quic},
    soon, track,
};
use moq_transport_16::{
    coding::{KeyValuePairs, Location, TrackNamespace},
    data::{ExtensionHeaders, FetchRecord, FetchRecordObject},
    message::{GroupOrder, StandaloneFetch, SubscriptionFilter},
    serve::{Datagram, Subgroup, Track, TrackReader, TrackReaderMode, TrackWriter},
    session::{Fetch, FetchOkInfo, JoiningStart, Publisher, Session, Subscriber, Transport},
};
use moqrelay_moqt::{Draft, FetchRange, KeyValueEncoder, Parameters};
use moqrelay_relay::track::{Info, Object, Writer};
use tokio::sync::oneshot;
use web_transport_0_10 as any;
use web_transport_quinn_0_11 as wt;

const PATH: &str = "foreign/sixteen";
const DRAFTS: [Draft; 3] = [Draft::D18, Draft::D16, Draft::D14];

#[tokio::test]
async fn what_it_publishes_is_heard_in_every_draft() {
    for (via, to) in BOTH
        .into_iter()
        .zip([Draft::D18, Draft::D14])
        .chain([(Via::Quic, Draft::D16)])
    {
        let relay = open_relay();
        let (published_tx, published) = oneshot::channel();
        let (heard_tx, heard) = oneshot::channel();
        let publisher = async {
            let (session, mut publisher, _) = connect(relay.addr(), via).await;
            let (writer, reader) = foreign_track();
            let work = async {
                let offer = publisher.publish(reader, KeyValuePairs::default());
                let mut offer = offer.await.unwrap();
                offer.ok().await.unwrap();
                let () = published_tx.send(()).unwrap();
                let write = async {
                    heard.await.unwrap();
                    write_subgroup(writer)
                };
                let (served, writer) = tokio::join!(offer.serve(), write);
                served.unwrap();
                drop(writer);
            };
            tokio::select! {
                () = work => {}
                ended = session.run() => panic!("the publisher's session ended: {ended:?}"),
            }
        };
        let subscriber = async {
            published.await.unwrap();
            let mut peer = Peer::of(to, relay.addr(), Via::Quic).await;
            peer.subscribed(&name(), Parameters::default()).await;
            heard_tx.send(()).unwrap();
            for id in 0..3 {
                let (group, object, got) = peer.object().await;
                assert_eq!((group, object), (4, id), "{to:?}");
                assert_eq!(got, payload(4, id));
            }
        };

        soon(async {
            tokio::select! {
                () = publisher => panic!("it serves for as long as its track lasts"),
                () = subscriber => {}
            }
        })
        .await;
    }
}

#[tokio::test]
async fn it_hears_subgroups_and_datagrams_of_other_drafts() {
    for via in BOTH {
        for datagrams in [false, true] {
            let relay = open_relay();
            let mut writer = publish(&relay);
            let heard = subscribe(relay.addr(), via, async |track| {
                for id in 0..3 {
                    write(&mut writer, 4, id, (!datagrams).then_some(2));
                }
                let mut heard = Vec::new();
                match track.mode().await.unwrap() {
                    TrackReaderMode::Subgroups(mut subgroups) => {
                        assert!(!datagrams);
                        let mut subgroup = subgroups.next().await.unwrap().unwrap();
                        assert_eq!((subgroup.info.group_id, subgroup.info.subgroup_id), (4, 2));
                        for id in 0..3 {
                            let mut object = subgroup.next().await.unwrap().unwrap();
                            assert_eq!(object.info.extension_headers, extensions(id));
                            assert_eq!(object.read_all().await.unwrap(), payload(4, id));
                            heard.push(id);
                        }
                    }
                    TrackReaderMode::Datagrams(mut objects) => {
                        assert!(datagrams);
                        // Its reader keeps the latest only.
                        while heard.last() != Some(&2) {
                            let object = objects.read().await.unwrap().unwrap();
                            assert_eq!(object.payload, payload(4, object.object_id));
                            assert_eq!(object.extension_headers, extensions(object.object_id));
                            heard.push(object.object_id);
                        }
                    }
                    TrackReaderMode::Stream(_) => {
                        panic!("subgroups and datagrams stay what they are")
                    }
                }
                heard
            })
            .await;
            assert_eq!(heard.last(), Some(&2));
        }
    }
}

#[tokio::test]
async fn it_publishes_datagrams() {
    let relay = open_relay();
    let mut reader = relay.relay.subscribe(name());
    let publisher = async {
        let (session, mut publisher, _) = connect(relay.addr(), Via::Quic).await;
        let (writer, track) = foreign_track();
        let work = async {
            let offer = publisher.publish(track, KeyValuePairs::default());
            let mut offer = offer.await.unwrap();
            offer.ok().await.unwrap();
            let mut datagrams = writer.datagrams().unwrap();
            datagrams
                .write(Datagram {
                    group_id: 3,
                    object_id: 7,
                    priority: 9,
                    payload: payload(3, 7),
                    extension_headers: extensions(7),
                })
                .unwrap();
            offer.serve().await.unwrap();
        };
        tokio::select! {
            () = work => {}
            ended = session.run() => panic!("the publisher's session ended: {ended:?}"),
        }
    };
    let heard = async {
        loop {
            if let Some(moqrelay_relay::track::Event::Object(object)) = reader.next().await {
                return object;
            }
        }
    };

    let object = soon(async {
        tokio::select! {
            () = publisher => panic!("it serves for as long as it is heard"),
            object = heard => object,
        }
    })
    .await;

    assert_eq!((object.group, object.subgroup, object.id), (3, None, 7));
    assert_eq!((object.priority, object.payload), (Some(9), payload(3, 7)));
}

#[tokio::test]
async fn it_fetches_in_both_orders_and_joins() {
    for via in BOTH {
        let relay = open_relay();
        let mut writer = publish(&relay);
        for group in 1..4 {
            for id in 0..2 {
                write(&mut writer, group, id, Some(5));
            }
            writer.finish_group(group);
        }
        let (session, _, mut subscriber) = connect(relay.addr(), via).await;
        let work = async {
            for (order, groups) in [
                (GroupOrder::Ascending, [1, 2, 3]),
                (GroupOrder::Descending, [3, 2, 1]),
            ] {
                let range = StandaloneFetch {
                    track_namespace: TrackNamespace::from_utf8_path(PATH),
                    track_name: "track".into(),
                    start_location: Location::new(0, 0),
                    end_location: Location::new(12, 0),
                };
                let mut params = KeyValuePairs::default();
                params.set_group_order(order);
                let past = subscriber.fetch(range, params).unwrap();
                let end = past.ok().await.unwrap().end_location;
                assert_eq!((end.group_id, end.object_id), (3, 2));
                let expected = groups.map(|group| [(group, 0), (group, 1)]).concat();
                assert_eq!(answer(past).await, expected);
            }

            let (writer, _reader) = foreign_track();
            let mut params = KeyValuePairs::default();
            params
                .set_subscription_filter(&SubscriptionFilter::largest_object())
                .unwrap();
            let subscription = subscriber.subscribe_open_with_params(writer, params);
            let subscription = subscription.await.unwrap();
            let past =
                subscription.fetch_joining(JoiningStart::Relative(1), KeyValuePairs::default());
            let expected = [(2, 0), (2, 1), (3, 0), (3, 1)];
            assert_eq!(answer(past.unwrap()).await, expected);
            let past =
                subscription.fetch_joining(JoiningStart::Absolute(3), KeyValuePairs::default());
            assert_eq!(answer(past.unwrap()).await, [(3, 0), (3, 1)]);
        };
        tokio::select! {
            () = soon(work) => {}
            ended = session.run() => panic!("the subscriber's session ended: {ended:?}"),
        }
    }
}

#[tokio::test]
async fn it_is_asked_for_the_past_by_every_draft() {
    for to in DRAFTS {
        let relay = open_relay();
        let (session, mut publisher, _) = connect(relay.addr(), Via::Quic).await;
        let (writer, reader) = foreign_track();
        let mut requests = publisher.clone();
        let answering = async {
            let mut params = KeyValuePairs::default();
            params.set_largest_object(Location::new(2, 2)).unwrap();
            let mut offer = publisher.publish(reader, params).await.unwrap();
            offer.ok().await.unwrap();
            let mut peer = Peer::of(to, relay.addr(), Via::Quic).await;
            let range = FetchRange::Standalone {
                track: name(),
                start: moqrelay_moqt::Location::new(2, 0),
                end: moqrelay_moqt::Location::new(2, 3),
            };
            let id = peer.fetch(range, Parameters::default()).await;
            respond(&mut requests).await;
            peer.fetch_ok(id).await;
            assert_eq!(peer.answer().await, "2/0 2/2", "{to:?}");
            drop(writer);
        };
        tokio::select! {
            () = soon(answering) => {}
            ended = session.run() => panic!("the publisher's session ended: {ended:?}"),
        }
    }
}

/// Answers one FETCH with two objects.
async fn respond(publisher: &mut Publisher) {
    let request = publisher.fetch_requested().await.unwrap();
    let info = FetchOkInfo {
        end_of_track: false,
        end_location: Location::new(2, 3),
        params: KeyValuePairs::default(),
        track_extensions: Default::default(),
    };
    let mut writer = request.prepare_response(info.clone()).await.unwrap();
    for id in [0, 2] {
        let payload = payload(2, id);
        let record = FetchRecord::Object(FetchRecordObject {
            group_id: 2,
            subgroup_id: Some(5),
            object_id: id,
            publisher_priority: 9,
            extension_headers: extensions(id),
            payload_length: payload.len() as u64,
        });
        writer.write_record(&record).await.unwrap();
        writer.write_payload(payload).await.unwrap();
    }
    writer.finish().await.unwrap();
}

/// Reads an answer to its end: the places of the objects.
async fn answer(mut past: Fetch) -> Vec<(u64, u64)> {
    let mut got = Vec::new();
    while let Some(record) = past.next().await.unwrap() {
        let FetchRecord::Object(object) = record else {
            panic!("nothing is missing: {record:?}");
        };
        let at = (object.group_id, object.object_id);
        assert_eq!(
            (object.subgroup_id, object.publisher_priority),
            (Some(5), 77)
        );
        assert_eq!(object.extension_headers, extensions(at.1));
        let mut whole = BytesMut::new();
        while let Some(chunk) = past.read_payload_chunk(64).await.unwrap() {
            whole.extend_from_slice(&chunk);
        }
        assert_eq!(whole.freeze(), payload(at.0, at.1));
        got.push(at);
    }
    got
}

/// Subscribes, and hears what comes once the subscription stands.
async fn subscribe<T>(addr: SocketAddr, via: Via, hear: impl AsyncFnOnce(TrackReader) -> T) -> T {
    let (session, _, mut subscriber) = connect(addr, via).await;
    let (writer, reader) = foreign_track();
    let work = async {
        let subscription = subscriber.subscribe_open(writer).await.unwrap();
        let heard = hear(reader).await;
        drop(subscription);
        heard
    };
    tokio::select! {
        heard = soon(work) => heard,
        ended = session.run() => panic!("the subscriber's session ended: {ended:?}"),
    }
}

async fn connect(addr: SocketAddr, via: Via) -> (Session, Publisher, Subscriber) {
    let (session, kind) = match via {
        Via::WebTransport => {
            let url: url::Url = format!("https://{addr}/any/path").parse().unwrap();
            let connection = quic(addr, "h3").await.unwrap();
            let request = wt::proto::ConnectRequest::new(url).with_protocol("moqt-16");
            let session = wt::Session::connect(connection, request).await.unwrap();
            (session, Transport::WebTransport)
        }
        Via::Quic => {
            let url: url::Url = format!("moqt://{addr}/any/path").parse().unwrap();
            let connection = quic(addr, "moqt-16").await.unwrap();
            let response = wt::proto::ConnectResponse::default();
            (
                wt::Session::raw(connection, url, response),
                Transport::RawQuic,
            )
        }
    };
    let session = any::Session::from(session);
    soon(Session::connect(session, None, kind)).await.unwrap()
}

fn foreign_track() -> (TrackWriter, TrackReader) {
    Track::new(TrackNamespace::from_utf8_path(PATH), "track").produce()
}

fn write_subgroup(writer: TrackWriter) -> impl Sized {
    let mut subgroups = writer.subgroups().unwrap();
    let mut subgroup = subgroups
        .create(Subgroup {
            group_id: 4,
            subgroup_id: 2,
            priority: 77,
        })
        .unwrap();
    for id in 0..3 {
        let payload = payload(4, id);
        let mut object = subgroup
            .create(payload.len(), Some(extensions(id)))
            .unwrap();
        object.write(payload).unwrap();
    }
    (subgroups, subgroup)
}

fn name() -> moqrelay_moqt::FullTrackName {
    track(PATH, "track")
}

fn publish(relay: &Running) -> Writer {
    relay.relay.publish(&name(), Info::default()).unwrap()
}

fn write(writer: &mut Writer, group: u64, id: u64, subgroup: Option<u64>) {
    let mut properties = KeyValueEncoder::new(Draft::D18);
    properties.int(0x3b00, id).unwrap();
    properties.bytes(0x3b01, b"\0opaque\xff").unwrap();
    writer
        .write(Object {
            group,
            subgroup,
            id,
            priority: Some(77),
            properties: properties.finish(),
            payload: payload(group, id),
            ..Object::default()
        })
        .unwrap();
}

fn extensions(object: u64) -> ExtensionHeaders {
    let mut headers = ExtensionHeaders::new();
    headers.set_intvalue(0x3b00, object);
    headers.set_bytesvalue(0x3b01, b"\0opaque\xff".to_vec());
    headers
}

fn payload(group: u64, object: u64) -> Bytes {
    Bytes::from(format!("{group}/{object} ").repeat(50))
}
