//! Strategies for messages and their parts.

use std::time::Duration;

use super::D18;
use bytes::Bytes;
use moqrelay_moqt::{
    AuthToken, Fetch, FetchOk, FetchRange, Filter, FullTrackName, GoAway, GroupOrder, Location,
    Message, Namespace, Parameters, Publish, PublishBlocked, PublishDone, PublishDoneCode,
    Redirect, RequestCode, RequestError, RequestId, RequestOk, RequestUpdate, Setup, Subscribe,
    SubscribeOk, SubscribePrefix, Token, TrackAlias,
};
use proptest::{collection::vec, option, prelude::*};

/// Any control message, with any content that may be written.
pub fn message() -> BoxedStrategy<Message> {
    prop_oneof![requests(), answers(), others()].boxed()
}

/// Numbers of every length, not only long ones.
pub fn number() -> impl Strategy<Value = u64> + Clone {
    (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
}

pub fn bytes(len_max: usize) -> impl Strategy<Value = Bytes> + Clone {
    vec(any::<u8>(), 0..len_max).prop_map(Bytes::from)
}

pub fn namespace() -> impl Strategy<Value = Namespace> + Clone {
    vec(vec(any::<u8>(), 1..8), 0..5).prop_map(|fields| Namespace::new(fields).unwrap())
}

pub fn track() -> impl Strategy<Value = FullTrackName> + Clone {
    (namespace(), bytes(8))
        .prop_map(|(namespace, name)| FullTrackName::new(namespace, name).unwrap())
}

pub fn token() -> impl Strategy<Value = Token> + Clone {
    let token =
        (number(), bytes(12)).prop_map(|(token_type, value)| AuthToken { token_type, value });
    prop_oneof![
        number().prop_map(|alias| Token::Delete { alias }),
        (number(), token.clone()).prop_map(|(alias, token)| Token::Register { alias, token }),
        number().prop_map(|alias| Token::UseAlias { alias }),
        token.prop_map(Token::UseValue),
    ]
}

fn requests() -> impl Strategy<Value = Message> {
    let id = number().prop_map(RequestId);
    let subscribe = (id.clone(), track(), subscribe_params());
    let subscribe = subscribe.prop_map(|(id, track, params)| Subscribe { id, track, params });
    let status = (id.clone(), track(), tokens());
    let status = status.prop_map(|(id, track, params)| Subscribe { id, track, params });
    let publish = (
        id.clone(),
        track(),
        number(),
        publish_params(),
        properties(),
    );
    let publish = publish.prop_map(|(id, track, alias, params, properties)| Publish {
        id,
        track,
        alias: TrackAlias(alias),
        params,
        properties,
    });
    let prefix = (id.clone(), namespace(), tokens(), option::of(any::<bool>()));
    let prefix = prefix.prop_map(|(id, prefix, params, forward)| {
        (SubscribePrefix { id, prefix, params }, forward)
    });
    let update =
        (id.clone(), update_params()).prop_map(|(id, params)| RequestUpdate { id, params });
    let fetch = (id, fetch_range(), fetch_params()).prop_map(|(id, range, params)| Fetch {
        id,
        range,
        params,
    });
    prop_oneof![
        subscribe.prop_map(Message::Subscribe),
        status.prop_map(Message::TrackStatus),
        publish.prop_map(Message::Publish),
        fetch.prop_map(Message::Fetch),
        prefix
            .clone()
            .prop_map(|(request, _)| Message::PublishNamespace(request)),
        prefix
            .clone()
            .prop_map(|(request, _)| Message::SubscribeNamespace(request)),
        prefix.prop_map(|(mut request, forward)| {
            request.params.forward = forward;
            Message::SubscribeTracks(request)
        }),
        update.prop_map(Message::RequestUpdate),
    ]
}

fn answers() -> impl Strategy<Value = Message> {
    let subscribe_ok =
        (number(), ok_params(), properties()).prop_map(|(alias, params, properties)| SubscribeOk {
            alias: TrackAlias(alias),
            params,
            properties,
        });
    let fetch_ok = (any::<bool>(), location(), properties());
    let fetch_ok = fetch_ok.prop_map(|(end_of_track, end, properties)| FetchOk {
        end_of_track,
        end,
        params: Parameters::default(),
        properties,
    });
    let ok = (ok_params(), properties())
        .prop_map(|(params, properties)| RequestOk { params, properties });
    let done = (
        code(PublishDoneCode::ALL),
        option::of(0..(1_u64 << 62) - 1),
        ".{0,40}",
    );
    let done = done.prop_map(|(status, streams, reason)| PublishDone {
        status,
        streams,
        reason,
    });
    prop_oneof![
        subscribe_ok.prop_map(Message::SubscribeOk),
        fetch_ok.prop_map(Message::FetchOk),
        ok.prop_map(Message::RequestOk),
        request_error().prop_map(Message::RequestError),
        done.prop_map(Message::PublishDone),
    ]
}

fn others() -> impl Strategy<Value = Message> {
    let setup = (
        option::of(bytes(20)),
        option::of(bytes(20)),
        vec(token(), 0..3),
        option::of(number()),
        option::of(bytes(20)),
    );
    let setup = setup.prop_map(
        |(path, authority, authorization, cache, implementation)| Setup {
            path,
            authority,
            authorization,
            auth_token_cache_bytes_max: cache,
            implementation,
            ..Setup::default()
        },
    );
    let goaway = (bytes(40), time(), option::of(number()));
    let goaway = goaway.prop_map(|(uri, timeout, request)| GoAway {
        uri,
        timeout,
        request: request.map(RequestId),
    });
    let blocked =
        (namespace(), bytes(8)).prop_map(|(suffix, name)| PublishBlocked { suffix, name });
    prop_oneof![
        setup.prop_map(Message::Setup),
        goaway.prop_map(Message::GoAway),
        namespace().prop_map(Message::Namespace),
        namespace().prop_map(Message::NamespaceDone),
        blocked.prop_map(Message::PublishBlocked),
    ]
}

fn request_error() -> impl Strategy<Value = RequestError> {
    let redirect = (bytes(20), option::of(track()));
    (
        code(RequestCode::ALL).prop_filter("codes that draft 18 has", |code| {
            RequestCode::from_code(D18, code.to_code(D18)) == *code
        }),
        option::of(0..u64::MAX),
        ".{0,40}",
        redirect,
    )
        .prop_map(|(code, retry, reason, (uri, track))| {
            // Two empty names mean "the same track".
            let track =
                track.filter(|track| !track.namespace().is_empty() || !track.name().is_empty());
            let redirect = (code == RequestCode::Redirect).then_some(Redirect { uri, track });
            RequestError {
                code,
                retry: retry.map(Duration::from_millis),
                reason,
                redirect,
            }
        })
}

fn fetch_range() -> impl Strategy<Value = FetchRange> {
    prop_oneof![
        (track(), location(), location()).prop_map(|(track, start, end)| FetchRange::Standalone {
            track,
            start,
            end
        }),
        (number(), number()).prop_map(|(id, groups)| FetchRange::RelativeJoining {
            subscription: RequestId(id),
            groups
        }),
        (number(), number()).prop_map(|(id, group)| FetchRange::AbsoluteJoining {
            subscription: RequestId(id),
            group
        }),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        Just(Filter::NextGroupStart),
        Just(Filter::LargestObject),
        location().prop_map(Filter::AbsoluteStart),
        (location(), number()).prop_map(|(start, groups)| Filter::AbsoluteRange {
            start,
            end_group: start.group.saturating_add(groups),
        }),
    ]
}

fn tokens() -> impl Strategy<Value = Parameters> + Clone {
    vec(token(), 0..3).prop_map(|authorization| Parameters {
        authorization,
        ..Parameters::default()
    })
}

fn subscribe_params() -> impl Strategy<Value = Parameters> {
    (update_params(), option::of(time()), option::of(order())).prop_map(
        |(params, rendezvous_timeout, group_order)| Parameters {
            prefix: None,
            rendezvous_timeout,
            group_order,
            ..params
        },
    )
}

fn publish_params() -> impl Strategy<Value = Parameters> {
    (ok_params(), tokens(), option::of(any::<bool>())).prop_map(|(params, tokens, forward)| {
        Parameters {
            authorization: tokens.authorization,
            forward,
            ..params
        }
    })
}

fn fetch_params() -> impl Strategy<Value = Parameters> {
    (
        tokens(),
        option::of(time()),
        option::of(any::<u8>()),
        option::of(order()),
    )
        .prop_map(
            |(params, fill_timeout, subscriber_priority, group_order)| Parameters {
                fill_timeout,
                subscriber_priority,
                group_order,
                ..params
            },
        )
}

fn ok_params() -> impl Strategy<Value = Parameters> {
    (option::of(time()), option::of(location())).prop_map(|(expires, largest_object)| Parameters {
        expires,
        largest_object,
        ..Parameters::default()
    })
}

fn update_params() -> impl Strategy<Value = Parameters> {
    let times = (option::of(time()), option::of(time()));
    let numbers = (
        option::of(any::<bool>()),
        option::of(any::<u8>()),
        option::of(number()),
    );
    (
        tokens(),
        times,
        numbers,
        option::of(filter()),
        option::of(namespace()),
    )
        .prop_map(
            |(params, (object, subgroup), (forward, priority, group), filter, prefix)| Parameters {
                object_delivery_timeout: object,
                subgroup_delivery_timeout: subgroup,
                forward,
                subscriber_priority: priority,
                new_group_request: group,
                filter,
                prefix,
                ..params
            },
        )
}

fn location() -> impl Strategy<Value = Location> + Clone {
    (number(), number()).prop_map(|(group, object)| Location { group, object })
}

fn time() -> impl Strategy<Value = Duration> + Clone {
    number().prop_map(Duration::from_millis)
}

fn order() -> impl Strategy<Value = GroupOrder> + Clone {
    prop_oneof![Just(GroupOrder::Ascending), Just(GroupOrder::Descending)]
}

fn properties() -> impl Strategy<Value = Bytes> + Clone {
    bytes(20)
}

fn code<T: Copy + std::fmt::Debug + 'static>(
    all: &'static [T],
) -> impl Strategy<Value = T> + Clone {
    proptest::sample::select(all)
}
