//! Our codec and an independent one of the same draft (`moq-transport`, draft-18) agree: what one writes the other reads,
//! in both directions, field by field.
//!
//! Values are generated from a fixed seed. Left out: GOAWAY, which the other codec writes as draft-16 does; and fetch
//! streams, whose codec it keeps to itself: there `tests/foreign.rs` has its sessions write and read them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use moq_transport::{
    coding::{
        Decode, Encode, KeyValuePair, KeyValuePairs, Location as TheirLocation, ReasonPhrase,
        TrackNamespace, TrackNamespacePrefix, TupleField,
    },
    data as their_data,
    message::{self as theirs, FetchType, FilterType, SubscriptionFilter, TrackExtensions},
    setup::Setup as TheirSetup,
};
use moqrelay_moqt::{
    AuthToken, Draft, Fetch, FetchOk, FetchRange, Filter, FullTrackName, GroupOrder,
    KeyValueEncoder, KeyValues, Location, Message, Namespace, Parameters, Publish, PublishBlocked,
    PublishDone, PublishDoneCode, RequestCode, RequestError, RequestId, RequestOk, RequestUpdate,
    Setup, Subscribe, SubscribeOk, SubscribePrefix, Token, TrackAlias, Value,
    data::{
        Datagram, Object, ObjectDatagram, ObjectStatus, SubgroupEncoder, SubgroupHeader, SubgroupId,
    },
};

const DRAFT: Draft = Draft::D18;
const ROUNDS: usize = 2000;

#[test]
fn every_message_is_the_same_to_both() {
    let mut random = Random(18);
    for round in 0..ROUNDS {
        let ours = message(&mut random);
        let expected = translated(&ours);

        let mut wire = BytesMut::new();
        ours.encode(DRAFT, &mut wire).unwrap();
        let mut written = BytesMut::new();
        expected.encode(&mut written).unwrap();
        let answers = expected.response_target_id() == Some(0) && !is_update(&ours);
        if answers {
            written = without_id(written);
        }
        assert_eq!(wire, written, "round {round}: {ours:?} is written alike");

        let mut theirs = if answers { with_id(&wire) } else { wire };
        let read = theirs::Message::decode(&mut theirs).unwrap();
        // Their messages have no equality as a whole; what they show of themselves is every field.
        assert_eq!(
            format!("{read:?}"),
            format!("{expected:?}"),
            "round {round}"
        );
        assert_eq!(
            Message::decode(DRAFT, &mut written),
            Ok(Some(ours)),
            "round {round}"
        );
    }
}

/// Its number is not what it changes.
fn is_update(message: &Message) -> bool {
    matches!(message, Message::RequestUpdate(_))
}

/// The other codec has a request id in answers, which its sessions take out: in draft-18 the stream says it.
fn without_id(mut wire: BytesMut) -> BytesMut {
    let rest = wire.split_off(4);
    assert_eq!(wire[3], 0, "our ids in answers are all zero");
    wire.truncate(3);
    let len = u16::try_from(rest.len()).unwrap();
    wire[1..3].copy_from_slice(&len.to_be_bytes());
    wire.unsplit(rest);
    wire
}

fn with_id(wire: &BytesMut) -> BytesMut {
    let len = u16::try_from(wire.len() - 2).unwrap();
    let mut with = BytesMut::from(&wire[..1]);
    with.extend_from_slice(&len.to_be_bytes());
    with.extend_from_slice(&[0]);
    with.extend_from_slice(&wire[3..]);
    with
}

#[test]
fn setup_is_the_same_to_both() {
    let mut random = Random(3);
    for round in 0..ROUNDS {
        let ours = Setup {
            path: random.maybe(|r| r.bytes(20)),
            authority: random.maybe(|r| r.bytes(20)),
            authorization: random.maybe(token).into_iter().collect(),
            auth_token_cache_bytes_max: random.maybe(Random::number),
            implementation: random.maybe(|r| r.bytes(20)),
            ..Setup::default()
        };
        let mut params = KeyValuePairs::new();
        for (key, value) in [
            (0x01, &ours.path),
            (0x05, &ours.authority),
            (0x07, &ours.implementation),
        ] {
            if let Some(value) = value {
                params.set_bytesvalue(key, value.to_vec());
            }
        }
        if let Some(token) = ours.authorization.first() {
            params.set_bytesvalue(0x03, token.encode(DRAFT).to_vec());
        }
        if let Some(size) = ours.auth_token_cache_bytes_max {
            params.set_intvalue(0x04, size);
        }
        let expected = TheirSetup { params };

        let mut wire = BytesMut::new();
        Message::Setup(ours.clone())
            .encode(DRAFT, &mut wire)
            .unwrap();
        let mut written = BytesMut::new();
        expected.encode_full(&mut written).unwrap();
        assert_eq!(wire, written, "round {round}: {ours:?}");
        assert_eq!(
            Message::decode(DRAFT, &mut written),
            Ok(Some(Message::Setup(ours)))
        );
    }
}

#[test]
fn datagrams_are_the_same_to_both() {
    let mut random = Random(7);
    for round in 0..ROUNDS {
        let is_end = random.below(4) == 0;
        let ours = ObjectDatagram {
            alias: TrackAlias(random.number()),
            group: random.number(),
            id: random.number() * random.below(2),
            priority: random.maybe(|r| r.below(256) as u8),
            end_of_group: !is_end && random.below(2) == 0,
            status: if is_end {
                [ObjectStatus::EndOfGroup, ObjectStatus::EndOfTrack][random.below(2) as usize]
            } else {
                ObjectStatus::Normal
            },
            properties: if is_end {
                Bytes::new()
            } else {
                random.properties()
            },
            payload: if is_end {
                Bytes::new()
            } else {
                Bytes::from([b"x", &random.bytes(40)[..]].concat())
            },
        };
        let wire = ours.encode(DRAFT).unwrap();

        let read = their_data::Datagram::decode(&mut wire.clone()).unwrap();
        assert_eq!(
            (read.track_alias, read.group_id, read.object_id.unwrap_or(0)),
            (ours.alias.0, ours.group, ours.id)
        );
        assert_eq!(read.publisher_priority, ours.priority);
        assert_eq!(read.datagram_type.end_of_group(), ours.end_of_group);
        assert_eq!(read.payload.clone().unwrap_or_default(), ours.payload);
        let status = read.status.map_or(0, |status| status as u64);
        assert_eq!(status, code_of(ours.status));
        let pairs = read
            .extension_headers
            .clone()
            .map_or(Vec::new(), |headers| headers.0);
        assert_eq!(pairs, pairs_of(&ours.properties));

        let mut written = BytesMut::new();
        read.encode(&mut written).unwrap();
        let again = Datagram::decode(DRAFT, written.freeze());
        assert_eq!(again, Ok(Datagram::Object(ours)), "round {round}");
    }
}

#[test]
fn subgroup_headers_and_objects_are_the_same_to_both() {
    let mut random = Random(11);
    for round in 0..ROUNDS {
        let id = random.number();
        let header = SubgroupHeader {
            alias: TrackAlias(random.number()),
            group: random.number(),
            subgroup: [
                SubgroupId::Zero,
                SubgroupId::FirstObject,
                SubgroupId::Explicit(id),
            ][random.below(3) as usize],
            priority: random.maybe(|r| r.below(256) as u8),
            properties: random.below(2) == 0,
            end_of_group: random.below(2) == 0,
            first_object: random.below(2) == 0,
        };
        let mut encoder = SubgroupEncoder::new(DRAFT, header);
        let mut wire = BytesMut::new();
        encoder.header(&mut wire);

        let mut rest = wire.clone();
        let read = their_data::StreamHeader::decode(&mut rest).unwrap();
        assert!(rest.is_empty(), "round {round}");
        let subgroup = read.subgroup_header.clone().unwrap();
        let kind = subgroup.header_type;
        assert_eq!(
            (subgroup.track_alias, subgroup.group_id),
            (header.alias.0, header.group)
        );
        let named = match header.subgroup {
            SubgroupId::Explicit(id) => Some(id),
            SubgroupId::Zero | SubgroupId::FirstObject => None,
        };
        assert_eq!(subgroup.subgroup_id, named);
        assert_eq!(
            kind.uses_first_object_id_as_subgroup_id(),
            header.subgroup == SubgroupId::FirstObject
        );
        assert_eq!(
            (!kind.uses_default_priority()).then_some(subgroup.publisher_priority),
            header.priority
        );
        assert_eq!(kind.has_properties(), header.properties);
        assert_eq!(kind.end_of_group(), header.end_of_group);
        assert_eq!(kind.begins_with_first_object(), header.first_object);
        let mut written = BytesMut::new();
        read.encode(&mut written).unwrap();
        assert_eq!(written, wire);

        let mut before = None;
        for _ in 0..random.below(4) {
            let object = Object {
                id: before.map_or(0, |id: u64| id + 1) + (random.number() >> 8),
                properties: if header.properties {
                    random.properties()
                } else {
                    Bytes::new()
                },
                payload: random.bytes(20),
                ..Object::default()
            };
            let mut wire = BytesMut::new();
            encoder.object(&object, &mut wire).unwrap();
            let (delta, len, pairs, written) = their_object(&mut wire.clone(), header.properties);
            assert_eq!(delta, object.id - before.map_or(0, |id| id + 1));
            assert_eq!(len, object.payload.len());
            assert_eq!(pairs, pairs_of(&object.properties));
            assert_eq!(written, wire, "round {round}");
            before = Some(object.id);
        }
    }
}

/// What the other codec reads before a payload: difference of ids, length, properties; and how it writes the same.
fn their_object(
    wire: &mut BytesMut,
    properties: bool,
) -> (u64, usize, Vec<KeyValuePair>, BytesMut) {
    let mut written = BytesMut::new();
    let read = if properties {
        let read = their_data::SubgroupObjectExt::decode(wire).unwrap();
        read.encode(&mut written).unwrap();
        let pairs = read.extension_headers.0;
        (read.object_id_delta, read.payload_length, pairs)
    } else {
        let read = their_data::SubgroupObject::decode(wire).unwrap();
        read.encode(&mut written).unwrap();
        (read.object_id_delta, read.payload_length, Vec::new())
    };
    assert!(wire.is_empty());
    (read.0, read.1, read.2, written)
}

/// A message that both codecs know, with parameters that both know.
fn message(random: &mut Random) -> Message {
    let id = RequestId(random.number());
    match random.below(15) {
        0 => Message::Subscribe(Subscribe {
            id,
            track: random.track(),
            params: Parameters {
                rendezvous_timeout: random.maybe(Random::time),
                group_order: random.maybe(Random::order),
                ..update(random)
            },
        }),
        1 => Message::TrackStatus(Subscribe {
            id,
            track: random.track(),
            params: tokens(random),
        }),
        2 => Message::SubscribeOk(SubscribeOk {
            alias: TrackAlias(random.number()),
            params: known(random),
            properties: random.properties(),
        }),
        3 => Message::Publish(Publish {
            id,
            track: random.track(),
            alias: TrackAlias(random.number()),
            params: Parameters {
                forward: random.maybe(|r| r.below(2) == 0),
                authorization: tokens(random).authorization,
                ..known(random)
            },
            properties: random.properties(),
        }),
        4 => Message::PublishDone(PublishDone {
            status: PublishDoneCode::ALL[random.below(PublishDoneCode::ALL.len() as u64) as usize],
            streams: random.maybe(|r| r.number() >> 3),
            reason: random.text(),
        }),
        5 => Message::Fetch(Fetch {
            id,
            range: FetchRange::Standalone {
                track: random.track(),
                start: random.location(),
                end: random.location(),
            },
            params: fetch(random),
        }),
        6 => Message::Fetch(Fetch {
            id,
            range: FetchRange::RelativeJoining {
                subscription: RequestId(random.number()),
                groups: random.number(),
            },
            params: fetch(random),
        }),
        7 => Message::Fetch(Fetch {
            id,
            range: FetchRange::AbsoluteJoining {
                subscription: RequestId(random.number()),
                group: random.number(),
            },
            params: fetch(random),
        }),
        8 => Message::FetchOk(FetchOk {
            end_of_track: random.below(2) == 0,
            end: random.location(),
            params: Parameters::default(),
            properties: random.properties(),
        }),
        9 => Message::PublishNamespace(random.prefix(id)),
        10 => Message::SubscribeNamespace(random.prefix(id)),
        11 => {
            let mut ask = random.prefix(id);
            ask.params.forward = random.maybe(|r| r.below(2) == 0);
            Message::SubscribeTracks(ask)
        }
        12 => match random.below(3) {
            0 => Message::Namespace(random.namespace(0)),
            1 => Message::NamespaceDone(random.namespace(0)),
            _ => Message::PublishBlocked(PublishBlocked {
                suffix: random.namespace(0),
                name: random.bytes(9),
            }),
        },
        13 => Message::RequestUpdate(RequestUpdate {
            id,
            params: update(random),
        }),
        _ if random.below(2) == 0 => Message::RequestOk(RequestOk {
            params: known(random),
            properties: Bytes::new(),
        }),
        _ => Message::RequestError(RequestError {
            code: refusal(random),
            retry: random.maybe(|r| Duration::from_millis(r.number() >> 1)),
            reason: random.text(),
            redirect: None,
        }),
    }
}

/// A code with a number of its own, but for REDIRECT: the other codec cannot write what belongs to it.
fn refusal(random: &mut Random) -> RequestCode {
    loop {
        let code = RequestCode::ALL[random.below(RequestCode::ALL.len() as u64) as usize];
        let own = RequestCode::from_code(DRAFT, code.to_code(DRAFT)) == code;
        if own && code != RequestCode::Redirect {
            return code;
        }
    }
}

fn token(random: &mut Random) -> Token {
    let token = AuthToken {
        token_type: random.number(),
        value: random.bytes(9),
    };
    match random.below(4) {
        0 => Token::Delete {
            alias: random.number(),
        },
        1 => Token::Register {
            alias: random.number(),
            token,
        },
        2 => Token::UseAlias {
            alias: random.number(),
        },
        _ => Token::UseValue(token),
    }
}

fn tokens(random: &mut Random) -> Parameters {
    Parameters {
        authorization: random.maybe(token).into_iter().collect(),
        ..Parameters::default()
    }
}

fn known(random: &mut Random) -> Parameters {
    Parameters {
        expires: random.maybe(Random::time),
        largest_object: random.maybe(Random::location),
        ..Parameters::default()
    }
}

fn fetch(random: &mut Random) -> Parameters {
    Parameters {
        subscriber_priority: random.maybe(|r| r.below(256) as u8),
        group_order: random.maybe(Random::order),
        ..tokens(random)
    }
}

fn update(random: &mut Random) -> Parameters {
    let start = random.location();
    let filters = [
        Filter::NextGroupStart,
        Filter::LargestObject,
        Filter::AbsoluteStart(start),
        Filter::AbsoluteRange {
            start,
            end_group: start.group.saturating_add(random.number()),
        },
    ];
    Parameters {
        object_delivery_timeout: random.maybe(Random::time),
        forward: random.maybe(|r| r.below(2) == 0),
        subscriber_priority: random.maybe(|r| r.below(256) as u8),
        filter: random.maybe(|r| filters[r.below(4) as usize]),
        new_group_request: random.maybe(Random::number),
        ..tokens(random)
    }
}

/// What one of our messages is to the other codec; what its stream says is zero in theirs.
fn translated(ours: &Message) -> theirs::Message {
    match ours {
        Message::Subscribe(Subscribe { id, track, params }) => theirs::Subscribe {
            id: id.0,
            track_namespace: namespace(track.namespace()),
            track_name: name(track),
            params: parameters(params),
        }
        .into(),
        Message::TrackStatus(Subscribe { id, track, params }) => theirs::TrackStatus {
            id: id.0,
            track_namespace: namespace(track.namespace()),
            track_name: name(track),
            params: parameters(params),
        }
        .into(),
        Message::SubscribeOk(ok) => theirs::SubscribeOk {
            id: 0,
            track_alias: ok.alias.0,
            params: parameters(&ok.params),
            track_extensions: TrackExtensions(pairs_of(&ok.properties)),
        }
        .into(),
        Message::Publish(publish) => theirs::Publish {
            id: publish.id.0,
            track_namespace: namespace(publish.track.namespace()),
            track_name: name(&publish.track),
            track_alias: publish.alias.0,
            params: parameters(&publish.params),
            track_extensions: TrackExtensions(pairs_of(&publish.properties)),
        }
        .into(),
        Message::PublishDone(done) => theirs::PublishDone {
            id: 0,
            status_code: done.status.to_code(DRAFT),
            stream_count: done.streams.unwrap_or((1 << 62) - 1),
            reason: ReasonPhrase(done.reason.clone()),
        }
        .into(),
        Message::Fetch(fetch) => fetched(fetch).into(),
        Message::FetchOk(ok) => theirs::FetchOk {
            id: 0,
            end_of_track: ok.end_of_track,
            end_location: location(ok.end),
            params: parameters(&ok.params),
            track_extensions: TrackExtensions(pairs_of(&ok.properties)),
        }
        .into(),
        Message::PublishNamespace(request) => theirs::PublishNamespace {
            id: request.id.0,
            track_namespace: namespace(&request.prefix),
            params: parameters(&request.params),
        }
        .into(),
        Message::SubscribeNamespace(request) => theirs::SubscribeNamespace {
            id: request.id.0,
            track_namespace_prefix: prefix(&request.prefix),
            params: parameters(&request.params),
        }
        .into(),
        Message::SubscribeTracks(request) => theirs::SubscribeTracks {
            id: request.id.0,
            track_namespace_prefix: prefix(&request.prefix),
            params: parameters(&request.params),
        }
        .into(),
        Message::Namespace(suffix) => theirs::Namespace {
            track_namespace_suffix: prefix(suffix),
        }
        .into(),
        Message::NamespaceDone(suffix) => theirs::NamespaceDone {
            track_namespace_suffix: prefix(suffix),
        }
        .into(),
        Message::PublishBlocked(blocked) => theirs::PublishBlocked {
            track_namespace_suffix: prefix(&blocked.suffix),
            track_name: blocked.name.to_vec().into(),
        }
        .into(),
        Message::RequestUpdate(update) => theirs::RequestUpdate {
            id: update.id.0,
            // Their sessions know better from the stream.
            existing_request_id: update.id.0,
            params: parameters(&update.params),
        }
        .into(),
        Message::RequestOk(ok) => theirs::RequestOk {
            id: 0,
            params: parameters(&ok.params),
        }
        .into(),
        Message::RequestError(error) => theirs::RequestError {
            id: 0,
            error_code: error.code.to_code(DRAFT),
            retry_interval: error
                .retry
                .map_or(0, |after| u64::try_from(after.as_millis()).unwrap() + 1),
            reason: ReasonPhrase(error.reason.clone()),
        }
        .into(),
        other => panic!("not generated: {other:?}"),
    }
}

fn fetched(fetch: &Fetch) -> theirs::Fetch {
    let joining = |subscription: RequestId, start| theirs::JoiningFetch {
        joining_request_id: subscription.0,
        joining_start: start,
    };
    let (fetch_type, standalone_fetch, joining_fetch) = match &fetch.range {
        FetchRange::Standalone { track, start, end } => {
            let standalone = theirs::StandaloneFetch {
                track_namespace: namespace(track.namespace()),
                track_name: name(track),
                start_location: location(*start),
                end_location: location(*end),
            };
            (FetchType::Standalone, Some(standalone), None)
        }
        FetchRange::RelativeJoining {
            subscription,
            groups,
        } => {
            let joining = joining(*subscription, *groups);
            (FetchType::RelativeJoining, None, Some(joining))
        }
        FetchRange::AbsoluteJoining {
            subscription,
            group,
        } => {
            let joining = joining(*subscription, *group);
            (FetchType::AbsoluteJoining, None, Some(joining))
        }
    };
    theirs::Fetch {
        id: fetch.id.0,
        fetch_type,
        standalone_fetch,
        joining_fetch,
        params: parameters(&fetch.params),
    }
}

fn parameters(ours: &Parameters) -> KeyValuePairs {
    let mut params = KeyValuePairs::new();
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap();
    // In ascending order: it is that in which they are read.
    if let Some(time) = ours.object_delivery_timeout {
        params.set_delivery_timeout(milliseconds(time));
    }
    if let Some(token) = ours.authorization.first() {
        params.set_bytesvalue(0x03, token.encode(DRAFT).to_vec());
    }
    if let Some(time) = ours.rendezvous_timeout {
        params.set_rendezvous_timeout(milliseconds(time));
    }
    if let Some(time) = ours.expires {
        params.set_expires(milliseconds(time));
    }
    if let Some(largest) = ours.largest_object {
        params.set_largest_object(location(largest)).unwrap();
    }
    if let Some(forward) = ours.forward {
        params.set_forward(forward);
    }
    if let Some(priority) = ours.subscriber_priority {
        params.set_subscriber_priority(priority);
    }
    if let Some(filter) = ours.filter {
        params
            .set_subscription_filter(&their_filter(filter))
            .unwrap();
    }
    if let Some(order) = ours.group_order {
        params.set_group_order(match order {
            GroupOrder::Ascending => theirs::GroupOrder::Ascending,
            GroupOrder::Descending => theirs::GroupOrder::Descending,
        });
    }
    if let Some(group) = ours.new_group_request {
        params.set_new_group_request(group);
    }
    params
}

fn their_filter(filter: Filter) -> SubscriptionFilter {
    let (filter_type, start, groups) = match filter {
        Filter::NextGroupStart => (FilterType::NextGroupStart, None, None),
        Filter::LargestObject => (FilterType::LargestObject, None, None),
        Filter::AbsoluteStart(start) => (FilterType::AbsoluteStart, Some(start), None),
        Filter::AbsoluteRange { start, end_group } => {
            let groups = end_group - start.group;
            (FilterType::AbsoluteRange, Some(start), Some(groups))
        }
    };
    SubscriptionFilter {
        filter_type,
        start_location: start.map(location),
        // As it stands on the wire: the difference.
        end_group_id: groups,
    }
}

fn location(ours: Location) -> TheirLocation {
    TheirLocation::new(ours.group, ours.object)
}

fn namespace(ours: &Namespace) -> TrackNamespace {
    let mut theirs = TrackNamespace::new();
    for field in ours.fields() {
        theirs.add(TupleField {
            value: field.to_vec(),
        });
    }
    theirs
}

fn prefix(ours: &Namespace) -> TrackNamespacePrefix {
    let mut theirs = TrackNamespacePrefix::new();
    theirs.fields = namespace(ours).fields;
    theirs
}

fn name(track: &FullTrackName) -> moq_transport::coding::TrackName {
    track.name().to_vec().into()
}

fn pairs_of(properties: &Bytes) -> Vec<KeyValuePair> {
    KeyValues::new(DRAFT, properties.clone())
        .map(|pair| {
            let pair = pair.unwrap();
            match pair.value {
                Value::Int(value) => KeyValuePair::new_int(pair.key, value),
                Value::Bytes(value) => KeyValuePair::new_bytes(pair.key, value.to_vec()),
            }
        })
        .collect()
}

fn code_of(status: ObjectStatus) -> u64 {
    match status {
        ObjectStatus::Normal => 0,
        ObjectStatus::EndOfGroup => 3,
        ObjectStatus::EndOfTrack => 4,
    }
}

/// Marsaglia's xorshift: the same values in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    /// Numbers of every length.
    fn number(&mut self) -> u64 {
        let shift = self.below(63);
        self.next() >> (shift + 1)
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    fn bytes(&mut self, end: u64) -> Bytes {
        (0..self.below(end)).map(|_| self.next() as u8).collect()
    }

    fn text(&mut self) -> String {
        (0..self.below(20))
            .map(|_| char::from(b'a' + self.below(26) as u8))
            .collect()
    }

    fn time(&mut self) -> Duration {
        Duration::from_millis(self.number())
    }

    fn location(&mut self) -> Location {
        Location::new(self.number(), self.number())
    }

    fn order(&mut self) -> GroupOrder {
        [GroupOrder::Ascending, GroupOrder::Descending][self.below(2) as usize]
    }

    fn namespace(&mut self, least: u64) -> Namespace {
        let fields = (0..least + self.below(4)).map(|_| {
            let more = self.bytes(8);
            [b"f", &more[..]].concat()
        });
        Namespace::new(fields).unwrap()
    }

    fn track(&mut self) -> FullTrackName {
        FullTrackName::new(self.namespace(1), self.bytes(9)).unwrap()
    }

    fn prefix(&mut self, id: RequestId) -> SubscribePrefix {
        SubscribePrefix {
            id,
            prefix: self.namespace(1),
            params: tokens(self),
        }
    }

    /// Application properties of both kinds, in order.
    fn properties(&mut self) -> Bytes {
        let mut pairs = KeyValueEncoder::new(DRAFT);
        let mut key = 0x3800;
        for _ in 0..self.below(4) {
            key += 1 + self.below(5);
            if key % 2 == 0 {
                pairs.int(key, self.number()).unwrap();
            } else {
                pairs.bytes(key, &self.bytes(9)).unwrap();
            }
        }
        pairs.finish()
    }
}
