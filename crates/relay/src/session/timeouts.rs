//! How old objects may become before they are given up (section 8).

use std::{num::NonZeroU32, time::Duration};

use moqrelay_moqt::TrackProperties;

use crate::track::Subgroup;

/// The delivery timeouts of a subscription.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timeouts {
    /// The subscriber's, and what may be cached for a while only may be sent for that while only (section 12.3).
    own: [Timeout; 2],
    /// Those and the track's.
    combined: [Timeout; 2],
}

/// OBJECT_DELIVERY_TIMEOUT and SUBGROUP_DELIVERY_TIMEOUT.
pub(super) type Pair = (Option<Duration>, Option<Duration>);

/// In milliseconds; none and zero mean that there is none (section 8). Seven weeks are as good as more.
type Timeout = Option<NonZeroU32>;

impl Timeouts {
    /// Combines the subscriber's wishes with the publisher's.
    pub(super) fn new((object, subgroup): Pair, track: &TrackProperties) -> Self {
        let object = shorter(timeout(object), timeout(track.cache_duration_max));
        let own = [object, timeout(subgroup)];
        let theirs = [
            track.object_delivery_timeout,
            track.subgroup_delivery_timeout,
        ];
        Self {
            own,
            combined: [
                shorter(own[0], timeout(theirs[0])),
                shorter(own[1], timeout(theirs[1])),
            ],
        }
    }

    /// Returns those of the objects of a subgroup, whose first object may name others than the track (draft-19 section 8).
    pub(super) fn of(&self, subgroup: &Subgroup) -> Pair {
        let (object, end) = subgroup.timeouts;
        let choose = |named: Option<Duration>, index: usize| match named {
            Some(_) => shorter(self.own[index], timeout(named)),
            None => self.combined[index],
        };
        (duration(choose(object, 0)), duration(choose(end, 1)))
    }

    /// Datagrams have one timeout, whatever it is called (section 8).
    pub(super) fn of_datagrams(&self) -> Option<Duration> {
        duration(shorter(self.combined[0], self.combined[1]))
    }
}

fn timeout(duration: Option<Duration>) -> Timeout {
    let milliseconds = duration?.as_millis();
    NonZeroU32::new(u32::try_from(milliseconds).unwrap_or(u32::MAX))
}

fn duration(timeout: Timeout) -> Option<Duration> {
    timeout.map(|milliseconds| Duration::from_millis(milliseconds.get().into()))
}

fn shorter(a: Timeout, b: Timeout) -> Timeout {
    [a, b].into_iter().flatten().min()
}
