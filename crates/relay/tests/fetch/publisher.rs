//! What the cache lacks, and what the publisher says to it.

use std::time::Duration;

use bytes::Bytes;
use moqrelay_moqt::{
    GroupOrder, Location, Parameters, RequestCode, RequestError, ResetCode, TrackAlias,
    data::{Absence, ObjectDatagram, ObjectStatus},
};

use super::{
    WHOLE,
    common::{
        namespace, open_relay,
        peer::{Peer, Via},
    },
    fetch, has_come, hear, payload_of, published, send, standalone,
};

#[tokio::test]
async fn what_the_cache_lacks_is_asked_of_the_publisher_once() {
    for order in [GroupOrder::Ascending, GroupOrder::Descending] {
        let relay = open_relay();
        let (mut publisher, mut peer, mut witness) = published(&relay).await;
        for group in [1, 4] {
            send(&publisher, group).await;
        }
        hear(&mut witness, 6).await;

        fetch(&mut peer, (1, 0), (4, 2), order).await;
        let (id, range, params) = publisher.asked_to_fetch().await;
        let descending = order == GroupOrder::Descending;
        assert_eq!(params.group_order, descending.then_some(order));
        assert_eq!(range, standalone((2, 0), (3, 0)));
        publisher.accept_fetch(id, Location::new(3, 0)).await;
        let mut answer = publisher.answering(id, order).await;
        if descending {
            answer.absent(Absence::Unknown, 3, 5).await;
            answer.object(3, 7, "late").await;
            answer.object(2, 1, "fetched").await;
        } else {
            answer.object(2, 1, "fetched").await;
            answer.absent(Absence::Unknown, 3, 5).await;
            answer.object(3, 7, "late").await;
        }
        answer.finish();

        let expected = if descending {
            "4/0 4/1 ?3/5 3/7 2/1 1/0 1/1"
        } else {
            "1/0 1/1 2/1 ?3/5 3/7 4/0 4/1"
        };
        assert_eq!(peer.answer().await, expected);

        // Objects and what does not exist are known from now on; what is unknown is asked for again, and only that.
        fetch(&mut peer, (1, 0), (2, 2), GroupOrder::Ascending).await;
        if descending {
            let (id, range, _) = publisher.asked_to_fetch().await;
            assert_eq!(range, standalone((2, 0), (2, 1)));
            publisher.accept_fetch(id, Location::new(2, 1)).await;
            let answer = publisher.answering(id, GroupOrder::Ascending).await;
            answer.finish();
        }
        assert_eq!(peer.answer().await, "1/0 1/1 2/1");
    }
}

#[tokio::test]
async fn what_the_publisher_has_forgotten_comes_from_the_cache() {
    for order in [GroupOrder::Ascending, GroupOrder::Descending] {
        let relay = open_relay();
        let (mut publisher, mut peer, mut witness) = published(&relay).await;
        for group in [1, 3, 5] {
            send(&publisher, group).await;
        }
        hear(&mut witness, 9).await;

        // It says so.
        fetch(&mut peer, (1, 0), (5, 2), order).await;
        let (id, range, _) = publisher.asked_to_fetch().await;
        assert_eq!(range, standalone((2, 0), (4, 0)));
        publisher.accept_fetch(id, Location::new(4, 0)).await;
        let mut answer = publisher.answering(id, order).await;
        let last = if order == GroupOrder::Ascending { 4 } else { 2 };
        answer.absent(Absence::Unknown, last, WHOLE).await;
        answer.finish();
        let expected = if order == GroupOrder::Ascending {
            format!("1/0 1/1 -1/{WHOLE} ?2/{WHOLE} 3/0 3/1 -3/{WHOLE} ?4/{WHOLE} 5/0 5/1")
        } else {
            format!("5/0 5/1 ?4/{WHOLE} 3/0 3/1 -3/{WHOLE} ?2/{WHOLE} 1/0 1/1")
        };
        assert_eq!(peer.answer().await, expected);
    }
}

#[tokio::test]
async fn where_the_publishers_answer_ends_early_the_cache_goes_on() {
    let relay = open_relay();
    let (mut publisher, mut peer, mut witness) = published(&relay).await;
    for group in [1, 3, 5] {
        send(&publisher, group).await;
    }
    hear(&mut witness, 9).await;

    fetch(&mut peer, (1, 0), (5, 2), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    publisher.accept_fetch(id, Location::new(2, 0)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    answer.object(2, 0, "two").await;
    answer.finish();

    assert_eq!(
        peer.answer().await,
        format!("1/0 1/1 2/0 3/0 3/1 -3/{WHOLE} ?4/{WHOLE} 5/0 5/1")
    );
}

#[tokio::test]
async fn what_nobody_knows_is_said_to_be_unknown() {
    let relay = open_relay();
    let (mut publisher, mut peer, mut witness) = published(&relay).await;
    for group in [1, 3] {
        send(&publisher, group).await;
    }
    hear(&mut witness, 6).await;

    // At once, when the requester does not want to wait.
    let params = Parameters {
        fill_timeout: Some(Duration::ZERO),
        ..Parameters::default()
    };
    peer.fetch(standalone((1, 0), (3, 2)), params).await;
    assert_eq!(
        peer.answer().await,
        format!("1/0 1/1 -1/{WHOLE} ?2/{WHOLE} 3/0 3/1")
    );

    // When the publisher does not answer in time.
    let params = Parameters {
        fill_timeout: Some(Duration::from_millis(50)),
        ..Parameters::default()
    };
    peer.fetch(standalone((1, 1), (3, 1)), params).await;
    let (answer, _) = tokio::join!(peer.answer(), publisher.asked_to_fetch());
    assert_eq!(answer, format!("1/1 -1/{WHOLE} ?2/{WHOLE} 3/0"));

    // When it breaks off.
    fetch(&mut peer, (1, 1), (3, 1), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    publisher.accept_fetch(id, Location::new(2, 0)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    answer.object(2, 0, "two").await;
    // The reset must not overtake the object.
    has_come(&mut peer, (2, 0)).await;
    answer.reset(ResetCode::InternalError);
    assert_eq!(peer.answer().await, format!("?2/{WHOLE} 3/0"));

    // When it has no FETCH at all, it is not asked again.
    fetch(&mut peer, (1, 1), (3, 1), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    let error = RequestError::new(RequestCode::NotSupported, "no");
    publisher.machine.reject(id, error).unwrap();
    publisher.flush().await;
    assert_eq!(peer.answer().await, format!("1/1 2/0 ?2/{WHOLE} 3/0"));
    fetch(&mut peer, (2, 0), (3, 1), GroupOrder::Ascending).await;
    assert_eq!(peer.answer().await, format!("2/0 ?2/{WHOLE} 3/0"));
}

#[tokio::test]
async fn datagrams_of_a_publisher_without_fetch_come_from_the_cache() {
    for order in [GroupOrder::Ascending, GroupOrder::Descending] {
        let relay = open_relay();
        let (mut publisher, mut peer, mut witness) = published(&relay).await;
        for group in 1..=3 {
            let object = ObjectDatagram {
                alias: TrackAlias(1),
                group,
                id: 0,
                priority: None,
                end_of_group: false,
                status: ObjectStatus::Normal,
                properties: Bytes::new(),
                payload: payload_of(group, 0),
            };
            publisher.datagram(&object);
            // They must not pass each other.
            hear(&mut witness, 1).await;
        }
        let expected = if order == GroupOrder::Ascending {
            format!("1/0 ?1/{WHOLE} 2/0 ?2/{WHOLE} 3/0")
        } else {
            format!("3/0 2/0 ?2/{WHOLE} 1/0 ?1/{WHOLE}")
        };

        // What may have been lost between them is asked for; whatever the publisher says, they come.
        fetch(&mut peer, (1, 0), (3, 1), order).await;
        let (id, ..) = publisher.asked_to_fetch().await;
        let error = RequestError::new(RequestCode::NotSupported, "no");
        publisher.machine.reject(id, error).unwrap();
        publisher.flush().await;
        assert_eq!(peer.answer().await, expected);
    }
}

#[tokio::test]
async fn a_track_without_subscribers_is_fetched_from_whoever_offers_its_namespace() {
    let relay = open_relay();
    let mut publisher = Peer::connect(relay.addr(), Via::Quic).await;
    publisher.publish_namespace(&namespace("room")).await;
    let mut peer = Peer::connect(relay.addr(), Via::Quic).await;

    let id = fetch(&mut peer, (0, 0), (9, 0), GroupOrder::Ascending).await;
    let (asked, range, _) = publisher.asked_to_fetch().await;
    assert_eq!(range, standalone((0, 0), (9, 0)));
    publisher.accept_fetch(asked, Location::new(2, 2)).await;
    let mut answer = publisher.answering(asked, GroupOrder::Ascending).await;
    answer.object(1, 0, "one").await;
    answer.object(2, 1, "two").await;
    answer.finish();
    assert_eq!(peer.fetch_ok(id).await, (Location::new(2, 2), false));
    assert_eq!(peer.answer().await, "1/0 2/1");

    // Once more, now from the cache.
    fetch(&mut peer, (1, 0), (2, 2), GroupOrder::Ascending).await;
    assert_eq!(peer.answer().await, "1/0 2/1");

    let id = fetch(&mut peer, (5, 0), (9, 0), GroupOrder::Ascending).await;
    let (asked, ..) = publisher.asked_to_fetch().await;
    let error = RequestError::new(RequestCode::InvalidRange, "beyond the end");
    publisher.machine.reject(asked, error).unwrap();
    publisher.flush().await;
    assert_eq!(peer.rejected(id).await, RequestCode::InvalidRange);
}

#[tokio::test]
async fn a_malformed_answer_of_a_publisher_is_not_passed_on() {
    let relay = open_relay();
    let (mut publisher, mut peer, mut witness) = published(&relay).await;
    for group in [1, 3] {
        send(&publisher, group).await;
    }
    hear(&mut witness, 6).await;

    fetch(&mut peer, (1, 1), (3, 1), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    publisher.accept_fetch(id, Location::new(2, 0)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    has_come(&mut peer, (1, 1)).await;
    answer.object(9, 0, "outside of what was asked for").await;
    assert_eq!(peer.answer().await, "reset MalformedTrack");
    answer.stopped().await;

    // The session goes on, until it breaks the protocol.
    fetch(&mut peer, (1, 1), (3, 1), GroupOrder::Ascending).await;
    let (id, ..) = publisher.asked_to_fetch().await;
    publisher.accept_fetch(id, Location::new(2, 0)).await;
    let mut answer = publisher.answering(id, GroupOrder::Ascending).await;
    answer.raw(&[0x80, 0x80, 1]).await;
    let (code, _) = publisher.end().await;
    assert_eq!(code, 0x3);
    assert_eq!(
        peer.answer().await,
        format!("1/1 -1/{WHOLE} ?2/{WHOLE} 3/0")
    );
}
