//! What parameters do to a subscription, from its beginning and later on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{
    namespace, open_relay,
    peer::{Arrived, BOTH, D18, Peer, Via},
    relay_with, track, until,
};
use moqrelay_moqt::{
    AuthToken, Event, Filter, FullTrackName, Location, Message, Namespace, Parameters,
    PublishOptions, RequestCode, RequestId, ResetCode, Subscribe, Token, TrackProperties,
    data::{
        ObjectDatagram, ObjectStatus, SubgroupDecoder, SubgroupHeader, SubgroupId,
        padding_datagram, padding_stream_header,
    },
};
use moqrelay_relay::{
    AuthError, Authorize, Grants, Limits,
    track::{self, Info, Writer},
};
use web_transport_quinn as wt;

/// What a test lets pass before it calls something too late.
const TIMEOUT: Duration = Duration::from_millis(50);

/// More than a deaf peer lets in.
const LARGE: usize = 200_000;

#[tokio::test]
async fn a_subgroup_that_is_not_delivered_in_time_after_its_end_is_reset() {
    let publishers = TrackProperties {
        subgroup_delivery_timeout: Some(TIMEOUT),
        ..TrackProperties::default()
    };
    let nothing = Parameters::default();

    assert_eq!(
        code_of_stalled(&publishers, nothing, End::Fin).await,
        ResetCode::DeliveryTimeout
    );
}

#[tokio::test]
async fn the_shorter_subgroup_timeout_counts() {
    let publishers = TrackProperties {
        subgroup_delivery_timeout: Some(common::DEADLINE * 10),
        ..TrackProperties::default()
    };
    let subscribers = Parameters {
        subgroup_delivery_timeout: Some(TIMEOUT),
        ..Parameters::default()
    };

    let code = code_of_stalled(&publishers, subscribers, End::Fin).await;

    assert_eq!(code, ResetCode::DeliveryTimeout);
}

#[tokio::test]
async fn an_object_that_is_not_sent_in_time_resets_its_stream() {
    let publishers = TrackProperties {
        object_delivery_timeout: Some(TIMEOUT),
        ..TrackProperties::default()
    };

    let code = code_of_stalled(&publishers, Parameters::default(), End::Open).await;

    assert_eq!(code, ResetCode::DeliveryTimeout);
}

#[tokio::test]
async fn the_shorter_object_timeout_counts_and_zero_is_none() {
    let publishers = TrackProperties {
        object_delivery_timeout: Some(Duration::ZERO),
        ..TrackProperties::default()
    };
    let subscribers = Parameters {
        object_delivery_timeout: Some(TIMEOUT),
        subgroup_delivery_timeout: Some(Duration::ZERO),
        ..Parameters::default()
    };

    let code = code_of_stalled(&publishers, subscribers, End::Open).await;

    assert_eq!(code, ResetCode::DeliveryTimeout);
}

#[tokio::test]
async fn a_timeout_can_be_set_later() {
    let relay = open_relay();
    let name = track("later", "live");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut deaf = Peer::deaf(relay.addr()).await;
    let (id, ..) = deaf.subscribed(&name, Parameters::default()).await;
    let params = Parameters {
        object_delivery_timeout: Some(TIMEOUT),
        ..Parameters::default()
    };

    deaf.update(id, params).await;
    write(&mut writer, 1, 0, LARGE * 4);
    write(&mut writer, 1, 1, 1);

    until("what was too late was given up", || {
        relay.relay.stats().objects_dropped > 0
    })
    .await;
}

#[tokio::test]
async fn a_filter_can_be_moved_and_its_end_ends_the_subscription() {
    let relay = open_relay();
    let name = track("moved", "voice");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let (id, ..) = peer.subscribed(&name, Parameters::default()).await;
    write(&mut writer, 1, 0, 1);
    assert_eq!(peer.object().await.0, 1);
    let params = |start: u64, end_group: u64| Parameters {
        filter: Some(Filter::AbsoluteRange {
            start: Location::new(start, 0),
            end_group,
        }),
        ..Parameters::default()
    };

    let answer = peer.update(id, params(3, 3)).await;
    for group in 2..5 {
        write(&mut writer, group, 0, 1);
        writer.finish_group(group);
    }

    assert_eq!(answer.largest_object, Some(Location::new(1, 0)));
    assert_eq!(peer.object().await.0, 3);
    let (status, ..) = peer.publish_done().await;
    assert_eq!(status, moqrelay_moqt::PublishDoneCode::SubscriptionEnded);
}

#[tokio::test]
async fn what_a_subscriber_answers_to_an_offer_counts() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("offered", "voice");
        let mut peer = Peer::connect(relay.addr(), via).await;
        let watch = peer
            .machine
            .subscribe_tracks(namespace("offered"), Parameters::default())
            .unwrap();
        peer.flush().await;
        peer.accepted(watch).await;
        let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
        let id = offer(&mut peer, &name).await;
        let params = Parameters {
            forward: Some(true),
            filter: Some(Filter::AbsoluteStart(Location::new(5, 0))),
            subscriber_priority: Some(3),
            ..Parameters::default()
        };

        peer.accept(id, params).await;
        // Its answer comes after what was said before.
        peer.publish_namespace(&namespace("elsewhere")).await;
        for group in [4, 5] {
            write(&mut writer, group, 0, 1);
        }

        assert_eq!(peer.object().await.0, 5, "{via:?}");
    }
}

#[tokio::test]
async fn an_offer_accepted_without_forwarding_sends_nothing_until_it_is_changed() {
    let relay = open_relay();
    let name = track("offered", "voice");
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;
    let quiet = Parameters {
        forward: Some(false),
        ..Parameters::default()
    };
    let watch = peer
        .machine
        .subscribe_tracks(namespace("offered"), quiet.clone())
        .unwrap();
    peer.flush().await;
    peer.accepted(watch).await;
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let id = offer(&mut peer, &name).await;
    peer.accept(id, quiet).await;
    peer.publish_namespace(&namespace("elsewhere")).await;

    write(&mut writer, 1, 0, 1);
    let params = Parameters {
        forward: Some(true),
        ..Parameters::default()
    };
    let answer = peer.update(id, params).await;
    write(&mut writer, 2, 0, 1);

    assert_eq!(answer.largest_object, Some(Location::new(1, 0)));
    assert_eq!(peer.object().await.0, 2);
}

#[tokio::test]
async fn padding_is_read_and_forgotten() {
    for via in BOTH {
        let relay = open_relay();
        let name = track("padded", "voice");
        let mut publisher = Peer::connect(relay.addr(), via).await;
        let mut subscriber = Peer::connect(relay.addr(), via).await;

        publisher
            .session
            .send_datagram(padding_datagram(D18, 100).unwrap())
            .unwrap();
        let mut stream = publisher.session.open_uni().await.unwrap();
        stream
            .write_all(&padding_stream_header(D18).unwrap())
            .await
            .unwrap();
        // The relay may stop the stream at any moment.
        drop(stream.write_all(&[0; 1000]).await);
        let (_, alias) = publisher.publish(&name, PublishOptions::default()).await;
        subscriber.subscribed(&name, Parameters::default()).await;
        publisher.datagram(&ObjectDatagram {
            alias,
            group: 1,
            id: 0,
            priority: None,
            end_of_group: false,
            status: ObjectStatus::Normal,
            properties: Bytes::new(),
            payload: "voice".into(),
        });

        assert_eq!(subscriber.object().await.2, "voice", "{via:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_stopped_ends_its_subgroup_and_nothing_else() {
    let relay = open_relay();
    let name = track("stopped", "voice");
    let mut writer = relay.relay.publish(&name, Info::default()).unwrap();
    let session = common::soon(common::peer::connect(relay.addr(), Via::Quic)).await;
    let mut control = session.open_uni().await.unwrap();
    control.write_all(&[0xaf, 0, 0, 0]).await.unwrap();
    let (mut send, mut answer) = session.open_bi().await.unwrap();
    let subscribe = Message::Subscribe(Subscribe {
        id: RequestId(0),
        track: name,
        params: Parameters::default(),
    });
    let mut bytes = bytes::BytesMut::new();
    subscribe.encode(D18, &mut bytes).unwrap();
    send.write_all(&bytes).await.unwrap();
    common::soon(answer.read_chunk(1, true)).await.unwrap();

    write(&mut writer, 1, 0, 1);
    let mut kept = Vec::new();
    let (group, mut stream) = next_group(&session, &mut kept).await;
    assert_eq!(group, 1);
    stream.stop(1).unwrap();
    for group in 2..6 {
        // Whether the relay knows yet or not: no other stream brings the rest of the subgroup.
        write(&mut writer, 1, group, 1);
        write(&mut writer, group, 0, 1);
        assert_eq!(next_group(&session, &mut kept).await.0, group);
    }
}

#[tokio::test]
async fn late_objects_of_a_track_that_is_over_are_not_wanted() {
    let relay = open_relay();
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    let (id, alias) = publisher
        .publish(&track("over", "voice"), PublishOptions::default())
        .await;
    publisher.done(id, 0).await;
    until("the track is over", || relay.relay.stats().tracks == 0).await;
    let header = SubgroupHeader {
        alias,
        group: 1,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties: false,
        end_of_group: false,
        first_object: true,
    };
    let mut bytes = bytes::BytesMut::new();
    moqrelay_moqt::data::SubgroupEncoder::new(D18, header).header(&mut bytes);

    let mut late = publisher.session.open_uni().await.unwrap();
    late.write_all(&bytes).await.unwrap();

    let stopped = common::soon(late.stopped()).await.unwrap();
    assert_eq!(stopped, Some(1), "CANCELLED");
}

#[tokio::test]
async fn a_registered_token_is_used_by_its_alias_until_it_is_deleted() {
    for via in BOTH {
        let relay = relay_with("127.0.0.1:0", Named, Limits::default());
        let mut peer = Peer::connect(relay.addr(), via).await;
        let mut ask = async |token: Token| {
            let params = Parameters {
                authorization: vec![token],
                ..Parameters::default()
            };
            let id = peer
                .machine
                .publish_namespace(namespace("a"), params)
                .unwrap();
            peer.flush().await;
            let code = peer
                .event_of(|event| match event {
                    Event::Accepted { id: got, .. } if got == id => Some(None),
                    Event::Rejected { id: got, error } if got == id => Some(Some(error.code)),
                    _ => None,
                })
                .await;
            if code.is_none() {
                peer.cancel(id).await;
            }
            code
        };
        let a = AuthToken {
            token_type: 0,
            value: "a".into(),
        };

        let registered = ask(Token::Register {
            alias: 5,
            token: a.clone(),
        });
        assert_eq!(registered.await, None);
        assert_eq!(ask(Token::UseAlias { alias: 5 }).await, None);
        assert_eq!(ask(Token::UseValue(a)).await, None);
        let deleted = ask(Token::Delete { alias: 5 }).await;
        assert_eq!(
            deleted,
            Some(RequestCode::Unauthorized),
            "it says nothing of itself"
        );
    }
}

/// A token grants the namespace that it names.
struct Named;

impl Authorize for Named {
    fn authorize(&self, token: Option<&str>) -> Result<Grants, AuthError> {
        let namespace = token.map(|name| Namespace::new([name.as_bytes().to_vec()]).unwrap());
        Ok(Grants {
            publish: namespace.into_iter().collect(),
            ..Grants::default()
        })
    }
}

/// Whether the stream has ended when it stalls.
#[derive(PartialEq)]
enum End {
    Fin,
    Open,
}

/// Sends more than a peer takes, and returns the code with which its stream is reset.
async fn code_of_stalled(properties: &TrackProperties, params: Parameters, end: End) -> ResetCode {
    let relay = open_relay();
    let name = track("stalled", "video");
    let info = Info {
        properties: properties.write(D18),
    };
    let mut writer = relay.relay.publish(&name, info).unwrap();
    let mut deaf = Peer::deaf(relay.addr()).await;
    deaf.subscribed(&name, params).await;
    let began = Instant::now();

    // What ends fits into the connection's window, so that the relay has handed over all of it.
    let len = if end == End::Fin { LARGE } else { LARGE * 4 };
    write(&mut writer, 1, 0, len);
    if end == End::Fin {
        writer.finish_group(1);
    }
    until("the stream is given up", || {
        relay.relay.stats().streams_reset == 1
    })
    .await;
    assert!(began.elapsed() >= TIMEOUT);
    deaf.listen();

    loop {
        if let Arrived::Reset(_, code) = deaf.arrived().await {
            return code;
        }
    }
}

fn write(writer: &mut Writer, group: u64, id: u64, len: usize) {
    let object = track::Object {
        group,
        subgroup: Some(0),
        id,
        payload: vec![0; len].into(),
        ..track::Object::default()
    };
    writer.write(object).unwrap();
}

/// Waits for the next stream of objects, and returns its group; keeps the control stream.
async fn next_group(
    session: &wt::Session,
    kept: &mut Vec<wt::RecvStream>,
) -> (u64, wt::RecvStream) {
    loop {
        let mut stream = common::soon(session.accept_uni()).await.unwrap();
        let chunk = common::soon(stream.read_chunk(100, true)).await.unwrap();
        let bytes = chunk.unwrap().bytes;
        if bytes[0] == 0xaf {
            kept.push(stream);
            continue;
        }
        let limits = moqrelay_moqt::data::Limits::default();
        let mut decoder = SubgroupDecoder::new(D18, limits);
        decoder.push(bytes);
        decoder.poll().unwrap();
        return (decoder.header().unwrap().group, stream);
    }
}

/// Waits until a track is offered.
async fn offer(peer: &mut Peer, name: &FullTrackName) -> RequestId {
    peer.event_of(|event| match event {
        Event::Publish { id, track, .. } if track == *name => Some(id),
        _ => None,
    })
    .await
}
