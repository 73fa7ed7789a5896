//! Subscriptions, published tracks and their status in every draft.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{
    D14, D16, DRAFTS,
    drafts::{Wire, accept, plain, subscribe, subscribed},
    pair::Pair,
    track,
};
use moqrelay_moqt::{
    Draft, Event, Fetch, FetchRange, Filter, Location, Message, Parameters, PublishDoneCode,
    PublishOptions, RequestCode, RequestError, RequestId, RequestOk, ResetCode, SessionCode,
    Subscribe, SubscribeAnswer, SubscribeOptions, TrackAlias, TrackProperties,
};

const OLD: [Draft; 2] = [D16, D14];

#[test]
fn a_subscription_is_answered_updated_and_ended() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let audio = track(&["room"], "audio");
        let params = Parameters {
            filter: Some(Filter::LargestObject),
            subscriber_priority: Some(7),
            forward: Some(true),
            ..Parameters::default()
        };

        let ours = pair
            .client
            .session
            .subscribe(audio.clone(), SubscribeOptions { params })
            .unwrap();
        pair.pump();
        let Event::Subscribe {
            id, track, params, ..
        } = pair.server.one()
        else {
            panic!("{draft:?}");
        };
        assert_eq!(
            (&track, params.filter),
            (&audio, Some(Filter::LargestObject))
        );
        assert_eq!(params.subscriber_priority, Some(7));
        let properties = TrackProperties {
            cache_duration_max: Some(Duration::from_secs(3)),
            ..TrackProperties::default()
        };
        let answer = SubscribeAnswer {
            alias: Some(TrackAlias(9)),
            params: Parameters {
                largest_object: Some(Location::new(4, 2)),
                ..Parameters::default()
            },
            properties: properties.write(draft),
        };
        pair.server.session.accept_subscribe(id, answer).unwrap();
        pair.pump();
        let Event::SubscribeOk {
            id: answered,
            alias,
            params,
            properties: raw,
        } = pair.client.one()
        else {
            panic!("{draft:?}");
        };
        assert_eq!((answered, alias), (ours, TrackAlias(9)));
        assert_eq!(params.largest_object, Some(Location::new(4, 2)));
        assert_eq!(TrackProperties::read(draft, &raw), Ok(properties));

        let pause = Parameters {
            forward: Some(false),
            ..Parameters::default()
        };
        pair.client.session.update(ours, pause).unwrap();
        pair.pump();
        let Event::Update {
            id: updated,
            params,
            ..
        } = pair.server.one()
        else {
            panic!("{draft:?}");
        };
        assert_eq!((updated, params.forward), (id, Some(false)));
        if draft == D14 {
            // It says everything anew.
            let start = Filter::AbsoluteStart(Location::new(4, 3));
            assert_eq!(params.filter, Some(start));
            assert_eq!(params.subscriber_priority, Some(7));
        }
        pair.server
            .session
            .accept_update(id, Parameters::default())
            .unwrap();
        pair.pump();
        assert!(matches!(pair.client.one(), Event::Updated { id, .. } if id == ours));

        pair.server
            .session
            .publish_done(id, PublishDoneCode::TrackEnded, Some(3), "over")
            .unwrap();
        pair.pump();
        let done = Event::PublishDone {
            id: ours,
            status: PublishDoneCode::TrackEnded,
            streams: Some(3),
            reason: "over".to_owned(),
        };
        assert_eq!(pair.client.take(), [done]);
        assert_eq!(pair.client.session.open_requests(), 0);
        assert_eq!(pair.server.session.open_requests(), 0);
        assert!(pair.server.take().is_empty());
    }
}

#[test]
fn a_subscription_ends_when_the_subscriber_wants() {
    for draft in DRAFTS {
        for answered in [false, true] {
            let mut pair = Pair::of(draft);
            let ours = subscribe(&mut pair);
            let id = subscribed(&mut pair);
            if answered {
                accept(&mut pair, id);
            }

            pair.client
                .session
                .cancel(ours, ResetCode::Cancelled)
                .unwrap();
            pair.pump();

            let cancelled = Event::Cancelled {
                id,
                code: Some(ResetCode::Cancelled),
            };
            assert_eq!(pair.server.take(), [cancelled], "{draft:?}");
            assert_eq!(pair.server.session.open_requests(), 0);
            assert!(pair.client.take().is_empty());
        }
    }
}

#[test]
fn answers_that_cross_the_end_of_a_subscription_are_ignored() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let ours = subscribe(&mut pair);
        let id = subscribed(&mut pair);

        pair.server
            .session
            .accept_subscribe(id, SubscribeAnswer::default())
            .unwrap();
        pair.server
            .session
            .publish_done(id, PublishDoneCode::TrackEnded, None, "")
            .unwrap();
        pair.client
            .session
            .cancel(ours, ResetCode::Cancelled)
            .unwrap();
        pair.pump();

        assert!(pair.client.closed.is_none() && pair.server.closed.is_none());
        assert!(pair.client.take().is_empty());
    }
}

#[test]
fn a_request_is_refused_with_a_reason() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let ours = subscribe(&mut pair);
        let id = subscribed(&mut pair);

        let error = RequestError::new(RequestCode::DoesNotExist, "no such track");
        pair.server.session.reject(id, error.clone()).unwrap();
        pair.pump();

        assert_eq!(pair.client.take(), [Event::Rejected { id: ours, error }]);
        assert_eq!(pair.client.session.open_requests(), 0);
    }
}

#[test]
fn a_track_is_published_and_both_may_end_it() {
    for draft in DRAFTS {
        for by_publisher in [false, true] {
            let mut pair = Pair::of(draft);
            let options = PublishOptions {
                params: Parameters {
                    largest_object: Some(Location::new(1, 1)),
                    ..Parameters::default()
                },
                ..PublishOptions::default()
            };
            let (ours, alias) = pair
                .client
                .session
                .publish(track(&["room"], "audio"), options)
                .unwrap();
            pair.pump();
            let Event::Publish {
                id,
                alias: heard,
                params,
                ..
            } = pair.server.one()
            else {
                panic!("{draft:?}");
            };
            assert_eq!(heard, alias);
            assert_eq!(params.largest_object, Some(Location::new(1, 1)));
            let ok = RequestOk {
                params: Parameters {
                    subscriber_priority: Some(3),
                    forward: Some(true),
                    ..Parameters::default()
                },
                ..RequestOk::default()
            };
            pair.server.session.accept(id, ok).unwrap();
            pair.pump();
            let Event::Accepted {
                id: accepted,
                params,
                ..
            } = pair.client.one()
            else {
                panic!("{draft:?}");
            };
            assert_eq!((accepted, params.subscriber_priority), (ours, Some(3)));

            let pause = Parameters {
                forward: Some(false),
                ..Parameters::default()
            };
            pair.server.session.update(id, pause).unwrap();
            pair.pump();
            assert!(matches!(
                pair.client.one(),
                Event::Update { id, params, .. } if id == ours && params.forward == Some(false)
            ));
            pair.client
                .session
                .accept_update(ours, Parameters::default())
                .unwrap();
            pair.pump();
            assert!(matches!(pair.server.one(), Event::Updated { .. }));

            if by_publisher {
                pair.client
                    .session
                    .publish_done(ours, PublishDoneCode::Expired, None, "")
                    .unwrap();
                pair.pump();
                assert!(matches!(
                    pair.server.one(),
                    Event::PublishDone {
                        status: PublishDoneCode::Expired,
                        ..
                    }
                ));
            } else {
                pair.server
                    .session
                    .cancel(id, ResetCode::Cancelled)
                    .unwrap();
                pair.pump();
                assert!(matches!(pair.client.one(), Event::Cancelled { .. }));
            }
            assert_eq!(pair.client.session.open_requests(), 0);
            assert_eq!(pair.server.session.open_requests(), 0);
        }
    }
}

#[test]
fn a_track_may_be_unwanted() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let (ours, _) = pair
            .client
            .session
            .publish(track(&["room"], "audio"), PublishOptions::default())
            .unwrap();
        pair.pump();
        let Event::Publish { id, .. } = pair.server.one() else {
            panic!("{draft:?}");
        };

        let error = RequestError::new(RequestCode::Uninterested, "no");
        pair.server.session.reject(id, error.clone()).unwrap();
        pair.pump();

        assert_eq!(pair.client.take(), [Event::Rejected { id: ours, error }]);
    }
}

#[test]
fn a_tracks_status_is_told_once() {
    for draft in DRAFTS {
        let mut pair = Pair::of(draft);
        let ours = pair
            .client
            .session
            .track_status(track(&["room"], "audio"), Parameters::default())
            .unwrap();
        pair.pump();
        let Event::TrackStatus { id, .. } = pair.server.one() else {
            panic!("{draft:?}");
        };

        let ok = RequestOk {
            params: Parameters {
                largest_object: Some(Location::new(8, 9)),
                ..Parameters::default()
            },
            ..RequestOk::default()
        };
        pair.server.session.accept(id, ok).unwrap();
        pair.pump();

        let Event::Accepted { id, params, .. } = pair.client.one() else {
            panic!("{draft:?}");
        };
        assert_eq!(
            (id, params.largest_object),
            (ours, Some(Location::new(8, 9)))
        );
        assert_eq!(pair.client.session.open_requests(), 0);
        assert_eq!(pair.server.session.open_requests(), 0);
    }
}

#[test]
fn a_fetch_joins_only_what_begins_after_the_largest_object() {
    for draft in OLD {
        let mut client = Wire::client(draft);
        let mut server = client.server();
        let subscribe = Subscribe {
            id: RequestId(0),
            track: track(&["room"], "audio"),
            params: Parameters {
                filter: Some(Filter::NextGroupStart),
                ..Parameters::default()
            },
        };
        client.say(&mut server, plain(Message::Subscribe(subscribe)));
        let fetch = Fetch {
            id: RequestId(2),
            range: FetchRange::RelativeJoining {
                subscription: RequestId(0),
                groups: 0,
            },
            params: Parameters::default(),
        };
        client.say(&mut server, plain(Message::Fetch(fetch)));

        let closed = server.closed();

        assert_eq!(closed, Some(SessionCode::ProtocolViolation), "{draft:?}");
    }
}
