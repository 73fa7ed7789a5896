//! How old objects may become before they are given up (section 8).

use std::time::Duration;

use moqrelay_moqt::TrackProperties;

use crate::track::Subgroup;

/// The delivery timeouts of a subscription.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timeouts {
    /// The subscriber's, and what may be cached for a while only may be sent for that while only (section 12.3).
    own: Pair,
    /// Those and the track's.
    combined: Pair,
}

/// OBJECT_DELIVERY_TIMEOUT and SUBGROUP_DELIVERY_TIMEOUT.
pub(super) type Pair = (Option<Duration>, Option<Duration>);

impl Timeouts {
    /// Combines the subscriber's wishes with the publisher's.
    pub(super) fn new((object, subgroup): Pair, track: &TrackProperties) -> Self {
        let own = (shorter(object, track.cache_duration_max), subgroup);
        Self {
            own,
            combined: (
                shorter(own.0, track.object_delivery_timeout),
                shorter(own.1, track.subgroup_delivery_timeout),
            ),
        }
    }

    /// Returns those of the objects of a subgroup, whose first object may name others than the track (draft-19 section 8).
    pub(super) fn of(&self, subgroup: &Subgroup) -> Pair {
        let (object, end) = subgroup.timeouts;
        (
            object.map_or(self.combined.0, |named| shorter(self.own.0, Some(named))),
            end.map_or(self.combined.1, |named| shorter(self.own.1, Some(named))),
        )
    }

    /// Datagrams have one timeout, whatever it is called (section 8).
    pub(super) fn of_datagrams(&self) -> Option<Duration> {
        shorter(self.combined.0, self.combined.1)
    }
}

/// The shorter of two timeouts; none and zero mean that there is none (section 8).
fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    [a, b]
        .into_iter()
        .flatten()
        .filter(|timeout| !timeout.is_zero())
        .min()
}
