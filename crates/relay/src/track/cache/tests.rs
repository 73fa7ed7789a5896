//! What a cache answers, at times of the tests' own.

use bytes::Bytes;
use moqrelay_moqt::{
    GroupOrder::{self, Ascending, Descending},
    data::Absence,
};

use super::*;
use crate::stats::Meters;

const EVERYTHING: Span = Span {
    order: Ascending,
    first: Location::new(0, 0),
    last: Location::new(9, 9),
};

#[test]
fn a_group_that_ended_has_no_unknown_gaps() {
    let mut test = Test::new(POLICY);
    for group in [4, 5] {
        test.stream(group, &[0, 1, 5]);
    }

    let pieces = test.collect(span(Ascending, (4, 0), (4, u64::MAX)));

    // The newest group may go on.
    assert_eq!(pieces, "4/0 4/1 -4/4 4/5 -4/18446744073709551615");
    let pieces = test.collect(span(Ascending, (5, 1), (5, 9)));
    assert_eq!(pieces, "5/1 ?5/4 5/5 ?5/9");
}

#[test]
fn what_a_local_writer_did_not_write_does_not_exist() {
    let mut test = Test::new(POLICY);
    test.began(None, true);
    test.object(2, 1);
    test.object(7, 0);

    assert_eq!(
        test.collect(EVERYTHING),
        "-2/0 2/1 -6/18446744073709551615 7/0 -9/9"
    );
}

#[test]
fn what_was_before_a_local_writer_is_unknown() {
    let mut test = Test::new(POLICY);
    test.began(Some(Location::new(1, 4)), true);
    test.object(2, 0);

    assert_eq!(
        test.collect(EVERYTHING),
        "?1/4 -1/18446744073709551615 2/0 -9/9"
    );
}

#[test]
fn an_end_makes_what_follows_absent() {
    let mut test = Test::new(POLICY);
    test.object(1, 0);
    test.cache.group_ends(Location::new(1, 1));
    test.object(2, 0);
    test.cache.track_ends(Location::new(2, 1));

    assert_eq!(
        test.collect(EVERYTHING),
        "?0/18446744073709551615 1/0 -1/18446744073709551615 2/0 -9/9"
    );
}

#[test]
fn what_a_publisher_said_does_not_exist_is_remembered() {
    let mut test = Test::new(POLICY);
    test.stream(1, &[0]);
    test.stream(5, &[0]);
    test.cache
        .learn_absent(Location::new(2, 0), Location::new(3, 4));
    test.cache
        .learn_absent(Location::new(3, 5), Location::new(4, u64::MAX));

    assert_eq!(
        test.collect(span(Ascending, (1, 0), (5, 0))),
        "1/0 -1/18446744073709551615 -4/18446744073709551615 5/0"
    );
    assert_eq!(
        test.collect(span(Descending, (1, 0), (5, 0))),
        "5/0 -2/18446744073709551615 1/0 -1/18446744073709551615"
    );
}

#[test]
fn descending_groups_have_ascending_objects() {
    let mut test = Test::new(POLICY);
    test.began(None, true);
    for group in [1, 3] {
        test.stream(group, &[0, 1]);
    }

    let last = u64::MAX;
    assert_eq!(
        test.collect(span(Descending, (1, 1), (3, 0))),
        format!("3/0 -2/{last} 1/1 -1/{last}")
    );
    assert_eq!(
        test.collect(span(Descending, (0, 5), (4, 2))),
        format!("-4/2 3/0 3/1 -3/{last} -2/{last} 1/0 1/1 -1/{last} -0/{last}")
    );
}

#[test]
fn unknown_groups_are_one_gap_in_either_order() {
    let mut test = Test::new(POLICY);
    test.stream(2, &[0]);
    test.stream(8, &[0]);
    test.stream(9, &[0]);

    let last = u64::MAX;
    assert_eq!(
        test.collect(span(Ascending, (0, 0), (8, 0))),
        format!("?1/{last} 2/0 -2/{last} ?7/{last} 8/0")
    );
    assert_eq!(
        test.collect(span(Descending, (0, 0), (8, 0))),
        format!("8/0 ?3/{last} 2/0 -2/{last} ?0/{last}")
    );
    let descending = span(Descending, (0, 0), (8, 0));
    assert_eq!(
        test.cache.last_unknown(&descending, descending.begin()),
        Some(Location::new(0, last))
    );
    let ascending = span(Ascending, (2, 0), (8, 0));
    assert_eq!(
        test.cache.last_unknown(&ascending, ascending.begin()),
        Some(Location::new(7, last))
    );
}

#[test]
fn a_stream_that_was_reset_leaves_its_group_in_doubt() {
    let mut test = Test::new(POLICY);
    test.object(1, 0);
    test.cache.opened(1, true);
    test.cache.closed(1, false, false);
    test.stream(2, &[0]);

    assert_eq!(test.collect(span(Ascending, (1, 0), (1, 3))), "1/0 ?1/3");
}

#[test]
fn a_stream_that_began_in_the_middle_leaves_its_head_in_doubt() {
    let mut test = Test::new(POLICY);
    test.object(1, 4);
    test.cache.opened(1, false);
    test.cache.closed(1, true, true);

    assert_eq!(
        test.collect(span(Ascending, (1, 0), (1, 9))),
        "?1/3 1/4 -1/9"
    );
}

#[test]
fn datagrams_may_be_lost() {
    let mut test = Test::new(POLICY);
    for object in [0, 2] {
        test.object(1, object);
        test.cache.doubt(1);
    }
    test.stream(2, &[0]);

    assert_eq!(
        test.collect(span(Ascending, (1, 0), (2, 0))),
        format!("1/0 ?1/1 1/2 ?1/{} 2/0", u64::MAX)
    );
}

#[test]
fn the_same_object_twice_is_kept_once() {
    let mut test = Test::new(POLICY);
    test.began(None, false);

    test.object(1, 1);
    test.object(1, 1);
    test.cache.insert(&object(1, 2), None, test.now);
    test.object(1, 2);

    assert_eq!(test.meters.snapshot().cache_objects, 2);
}

#[test]
fn another_publishers_object_replaces_the_old_one() {
    let mut test = Test::new(POLICY);
    test.began(None, false);
    test.object(1, 1);
    test.began(None, false);

    test.object(1, 1);

    let stats = test.meters.snapshot();
    assert_eq!((stats.cache_objects, stats.cache_evictions), (1, 1));
}

#[test]
fn what_an_object_says_was_skipped_does_not_exist() {
    let mut test = Test::new(POLICY);
    test.stream(2, &[0]);
    test.object(7, 3);
    let skipped = ObjectProperties {
        prior_group_gap: Some(4),
        prior_object_gap: Some(2),
    };
    test.cache.skipped(Location::new(7, 3), &skipped);

    let last = u64::MAX;
    assert_eq!(
        test.collect(span(Ascending, (2, 0), (7, 3))),
        format!("2/0 -2/{last} -6/{last} ?7/0 -7/2 7/3")
    );
    let impossible = ObjectProperties {
        prior_group_gap: Some(9),
        prior_object_gap: Some(9),
    };
    test.cache.skipped(Location::new(7, 3), &impossible);
}

#[test]
fn old_objects_go_and_become_unknown() {
    let mut test = Test::new(POLICY);
    test.began(None, true);
    test.stream(1, &[0, 1]);
    test.now += POLICY.age;
    test.stream(2, &[0]);
    assert_eq!(
        test.collect(span(Ascending, (1, 0), (2, 0))),
        format!("1/0 1/1 -1/{} 2/0", u64::MAX)
    );

    test.now += Duration::from_millis(1);

    assert_eq!(
        test.collect(span(Ascending, (1, 0), (2, 0))),
        format!("?1/1 -1/{} 2/0", u64::MAX)
    );
    test.now += POLICY.age;
    test.cache.trim(test.now);
    assert!(test.cache.is_empty());
    let stats = test.meters.snapshot();
    assert_eq!((stats.cache_objects, stats.cache_bytes), (0, 0));
}

#[test]
fn the_publisher_can_shorten_the_age() {
    let mut test = Test::new(POLICY);
    let known = TrackProperties {
        cache_duration_max: Some(Duration::from_secs(1)),
        ..TrackProperties::default()
    };
    let properties = known.write(moqrelay_moqt::Draft::D18);
    test.cache
        .began(&Arc::new(Live::new(properties, None, false)));
    test.object(1, 0);

    test.now += Duration::from_millis(1001);

    assert_eq!(test.collect(span(Ascending, (1, 0), (1, 0))), "?1/0");
}

#[test]
fn the_oldest_go_when_there_are_too_many_or_they_are_too_large() {
    for policy in [
        CachePolicy {
            objects: 3,
            ..POLICY
        },
        CachePolicy {
            // Their payloads fit the smallest page, and of the groups there is one.
            bytes: 4 * OBJECT + GROUP + 256 - 1,
            ..POLICY
        },
    ] {
        let mut test = Test::new(policy);
        test.began(None, true);
        for object in 0..5 {
            test.object(1, object);
        }

        assert_eq!(
            test.collect(span(Ascending, (1, 0), (1, 4))),
            "?1/1 1/2 1/3 1/4"
        );
        assert!(test.cache.bytes() <= policy.bytes);
    }
}

#[test]
fn nothing_is_kept_where_nothing_shall_be() {
    let mut test = Test::new(CachePolicy::NONE);
    test.began(None, false);
    test.object(1, 0);
    test.object(1, 0);

    assert!(test.cache.is_empty());
    assert_eq!(test.collect(span(Ascending, (1, 0), (1, 0))), "?1/0");
}

#[test]
fn all_caches_together_keep_to_the_limit_and_the_largest_pays() {
    let meters = Arc::new(Meters::new());
    let budget = Budget::new(TOTAL, meters.clone());
    let small = budget.cache(POLICY);
    let large = budget.cache(POLICY);
    let now = Instant::now();
    for id in 0..10 {
        super::super::lock(&small).insert(&object(1, id), Some(id), now);
    }

    for id in 0..1000 {
        super::super::lock(&large).insert(&object(1, id), Some(id), now);
        budget.enforce();
        assert!(meters.snapshot().cache_bytes <= TOTAL as u64);
    }

    assert_eq!(super::super::lock(&small).objects.len(), 10);
    let last = super::super::lock(&large)
        .next_object(Location::new(1, 999))
        .is_some();
    assert!(last, "the newest are kept");
    drop((small, large));
    assert_eq!(meters.snapshot().cache_bytes, 0);
}

#[test]
fn objects_come_out_as_they_went_in() {
    let mut test = Test::new(POLICY);
    let large = Bytes::from(vec![7; COPIED_MAX]);
    let mut objects: Vec<Object> = (0..300_u16)
        .map(|n| Object {
            group: 1,
            id: u64::from(n),
            subgroup: (n % 3 > 0).then_some(u64::from(n)),
            priority: (n % 5 > 0).then_some(9),
            end_of_group: n % 7 == 0,
            properties: Bytes::from(vec![2; usize::from(n % 11)]),
            payload: Bytes::from(vec![1; usize::from(n)]),
            ..Object::default()
        })
        .collect();
    objects[77].properties = Bytes::from_static(b"beside it");
    objects[77].payload = large.clone();
    for object in &objects {
        test.cache.insert(object, None, test.now);
    }

    let mut out = Vec::new();
    let span = span(Ascending, (1, 0), (1, 299));
    let max = usize::MAX;
    test.cache
        .collect(&span, span.begin(), max, max, test.now, &mut out);

    let wanted: Vec<_> = objects.into_iter().map(Piece::Object).collect();
    assert_eq!(out, wanted);
    let Piece::Object(shared) = &out[77] else {
        panic!("they are objects");
    };
    assert_eq!(shared.payload.as_ptr(), large.as_ptr(), "it is not copied");
}

#[test]
fn what_is_counted_is_what_is_there() {
    let mut test = Test::new(CachePolicy {
        objects: 500,
        ..POLICY
    });
    test.began(None, false);
    let mut seed = 3_u64;
    for n in 0..4000_u64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let len = match seed >> 60 {
            0 => COPIED_MAX + 1,
            some => usize::try_from(some).unwrap() * 40,
        };
        let object = Object {
            payload: Bytes::from(vec![1; len]),
            ..object((seed >> 33) % 300, n % 3)
        };
        test.cache.insert(&object, Some(n), test.now);
        if n % 1000 == 0 {
            test.began(None, false);
        }

        let stats = test.meters.snapshot();
        assert_eq!(stats.cache_objects, test.cache.objects.len() as u64);
        assert_eq!(stats.cache_bytes, test.cache.bytes() as u64);
        assert_eq!(test.cache.order.len(), test.cache.objects.len());
        let payloads = test.cache.objects.iter().map(|(at, cached)| {
            let object = cached.to_object(*at);
            object.payload.len()
        });
        let least = payloads.sum::<usize>() + test.cache.objects.len() * OBJECT;
        let most = 3 * least + 2 * 16_384 + 6 * 4096;
        assert!((least..most).contains(&test.cache.bytes()));
    }
    test.cache.shrink_to(0);

    let stats = test.meters.snapshot();
    assert_eq!((stats.cache_objects, stats.cache_bytes), (0, 0));
    assert!(test.cache.groups.is_empty() && test.cache.order.is_empty());
}

#[test]
fn a_long_answer_is_taken_in_parts() {
    let mut test = Test::new(POLICY);
    test.began(None, true);
    for object in 0..10 {
        test.object(1, object);
    }
    let span = span(Ascending, (1, 0), (1, 9));

    let mut next = Some(span.begin());
    let mut parts = Vec::new();
    while let Some(from) = next {
        let mut out = Vec::new();
        next = test.cache.collect(&span, from, 100, 25, test.now, &mut out);
        parts.push(out.len());
    }

    assert_eq!(parts, [3, 3, 3, 1]);
}

#[test]
fn a_reader_can_begin_groups_or_time_back() {
    let mut test = Test::new(POLICY);
    for group in [3, 4, 7] {
        test.now += Duration::from_secs(1);
        test.stream(group, &[0, 1]);
    }

    let group = |location: Option<Location>| location.map(|location| location.group);
    assert_eq!(group(test.cache.groups_back(0)), Some(7));
    assert_eq!(group(test.cache.groups_back(1)), Some(4));
    assert_eq!(group(test.cache.groups_back(9)), Some(3));
    assert_eq!(group(test.cache.since(test.now)), Some(7));
    assert_eq!(
        group(test.cache.since(test.now - Duration::from_millis(1500))),
        Some(4)
    );
    assert_eq!(
        group(test.cache.since(test.now + Duration::from_secs(1))),
        None
    );

    // What the log will bring is left to it.
    let mut objects = Vec::new();
    let next = test.cache.replay(Location::new(4, 0), 5, 10, &mut objects);
    let got: Vec<_> = objects.iter().map(Object::location).collect();
    assert_eq!(next, None);
    assert_eq!(
        got,
        [
            Location::new(4, 0),
            Location::new(4, 1),
            Location::new(7, 0)
        ]
    );
}

/// What an object takes beside its bytes, as long as there are few, and what a group takes.
const OBJECT: usize = size_of::<(Location, Cached)>() + size_of::<(u64, Location)>();
const GROUP: usize = size_of::<(u64, Group)>();

/// For about 100 objects.
const TOTAL: usize = 24 << 10;

const POLICY: CachePolicy = CachePolicy {
    age: Duration::from_secs(60),
    bytes: 1 << 20,
    objects: 10_000,
};

struct Test {
    cache: Cache,
    meters: Arc<Meters>,
    now: Instant,
    position: u64,
}

impl Test {
    fn new(policy: CachePolicy) -> Self {
        let meters = Arc::new(Meters::new());
        let budget = Budget::new(usize::MAX, meters.clone());
        let cache = budget.cache(policy);
        let cache = Arc::into_inner(cache).map(std::sync::Mutex::into_inner);
        let Some(Ok(cache)) = cache else {
            panic!("nobody else has it");
        };
        Self {
            cache,
            meters,
            now: Instant::now() + Duration::from_secs(1000),
            position: 0,
        }
    }

    fn began(&mut self, largest: Option<Location>, is_local: bool) {
        let live = Live::new(Bytes::new(), largest, is_local);
        self.cache.began(&Arc::new(live));
    }

    fn object(&mut self, group: u64, id: u64) {
        self.position += 1;
        self.cache
            .insert(&object(group, id), Some(self.position - 1), self.now)
    }

    /// A whole stream, from its beginning to FIN.
    fn stream(&mut self, group: u64, ids: &[u64]) {
        for (index, id) in ids.iter().enumerate() {
            self.object(group, *id);
            if index == 0 {
                self.cache.opened(group, true);
            }
        }
        self.cache.closed(group, true, false);
    }

    /// The answer: `group/object` for objects, with `-` for what does not exist up to there, `?` for what is unknown.
    fn collect(&mut self, span: Span) -> String {
        let mut next = Some(span.begin());
        let mut out = Vec::new();
        while let Some(from) = next {
            let max = usize::MAX;
            next = self
                .cache
                .collect(&span, from, max, max, self.now, &mut out);
        }
        let texts = out.iter().map(|piece| match piece {
            Piece::Object(object) => object.location().to_string(),
            Piece::Gap {
                absence: Absence::NonExistent,
                last,
            } => format!("-{last}"),
            Piece::Gap {
                absence: Absence::Unknown,
                last,
            } => format!("?{last}"),
        });
        texts.collect::<Vec<_>>().join(" ")
    }
}

fn span(order: GroupOrder, first: (u64, u64), last: (u64, u64)) -> Span {
    Span {
        order,
        first: Location::new(first.0, first.1),
        last: Location::new(last.0, last.1),
    }
}

fn object(group: u64, id: u64) -> Object {
    Object {
        group,
        id,
        subgroup: Some(0),
        payload: Bytes::from_static(b"0123456789"),
        ..Object::default()
    }
}
