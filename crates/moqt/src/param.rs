//! Message parameters (section 10.2).

mod codec;
mod ranges;

pub use ranges::{Candidate, InvalidFilter, RangeFilter, RangeKind, Selector};

use core::time::Duration;

use crate::{Location, Namespace, Token};

/// Every message parameter; which message may carry which is checked when it is written and read.
///
/// Times have a resolution of one millisecond.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    /// OBJECT_DELIVERY_TIMEOUT: SUBSCRIBE, PUBLISH_OK, REQUEST_UPDATE. Zero: none.
    ///
    /// In draft 19 whatever SUBSCRIBE may carry SUBSCRIBE_TRACKS may, too.
    pub object_delivery_timeout: Option<Duration>,
    /// AUTHORIZATION_TOKEN, may repeat. In events of [`Session`](crate::Session) it is empty: they carry resolved tokens.
    pub authorization: Vec<Token>,
    /// RENDEZVOUS_TIMEOUT: SUBSCRIBE. How long a relay waits for a publisher.
    pub rendezvous_timeout: Option<Duration>,
    /// SUBGROUP_DELIVERY_TIMEOUT: SUBSCRIBE, PUBLISH_OK, REQUEST_UPDATE. Zero: none.
    pub subgroup_delivery_timeout: Option<Duration>,
    /// EXPIRES: SUBSCRIBE_OK, PUBLISH, PUBLISH_OK, REQUEST_UPDATE_OK. Zero: never or unknown.
    pub expires: Option<Duration>,
    /// LARGEST_OBJECT: SUBSCRIBE_OK, PUBLISH, REQUEST_UPDATE_OK, TRACK_STATUS_OK.
    pub largest_object: Option<Location>,
    /// FILL_TIMEOUT: FETCH.
    pub fill_timeout: Option<Duration>,
    /// FORWARD: SUBSCRIBE, REQUEST_UPDATE, PUBLISH, PUBLISH_OK, SUBSCRIBE_TRACKS. Absent: true, in REQUEST_UPDATE unchanged.
    pub forward: Option<bool>,
    /// SUBSCRIBER_PRIORITY: SUBSCRIBE, FETCH, REQUEST_UPDATE, PUBLISH_OK. Lower goes first; absent: 128.
    pub subscriber_priority: Option<u8>,
    /// SUBSCRIPTION_FILTER: SUBSCRIBE, PUBLISH_OK, REQUEST_UPDATE. Absent: everything.
    pub filter: Option<Filter>,
    /// GROUP_ORDER: SUBSCRIBE, PUBLISH_OK, FETCH. Absent: the publisher's preference, but ascending in a FETCH of draft
    /// 15 or later.
    pub group_order: Option<GroupOrder>,
    /// NEW_GROUP_REQUEST: PUBLISH_OK, SUBSCRIBE, REQUEST_UPDATE. Largest known group plus one; zero: none known.
    pub new_group_request: Option<u64>,
    /// SUBGROUP_FILTER and its like: SUBSCRIBE, SUBSCRIBE_TRACKS, PUBLISH_OK, FETCH, REQUEST_UPDATE. Draft 19.
    pub range_filters: Vec<RangeFilter>,
    /// TRACK_NAMESPACE_PREFIX: REQUEST_UPDATE of SUBSCRIBE_NAMESPACE and SUBSCRIBE_TRACKS.
    pub prefix: Option<Namespace>,
}

/// Which objects of a track a subscriber wants (section 5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// From the group after the largest object's on.
    NextGroupStart,
    /// From the object after the largest one on.
    LargestObject,
    /// From a location on.
    AbsoluteStart(Location),
    /// From a location to the end of a group.
    AbsoluteRange {
        /// First object.
        start: Location,
        /// Last group, not below the first.
        end_group: u64,
    },
}

impl Filter {
    /// Returns what a relative filter means once the largest object is known (section 5.1.2).
    pub(crate) fn after(self, largest: Option<Location>) -> Self {
        let start = match (self, largest) {
            (Self::AbsoluteStart(_) | Self::AbsoluteRange { .. }, _) => return self,
            (_, None) => Location::default(),
            (Self::NextGroupStart, Some(largest)) => {
                Location::new(largest.group.saturating_add(1), 0)
            }
            (Self::LargestObject, Some(largest)) => {
                Location::new(largest.group, largest.object.saturating_add(1))
            }
        };
        Self::AbsoluteStart(start)
    }
}

/// Which group goes first when several are ready (section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum GroupOrder {
    /// Lower ids first.
    #[default]
    Ascending,
    /// Higher ids first.
    Descending,
}

/// Where parameters stand: the message, and for REQUEST_OK and REQUEST_UPDATE what it answers or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// SUBSCRIBE.
    Subscribe,
    /// SUBSCRIBE_OK.
    SubscribeOk,
    /// PUBLISH.
    Publish,
    /// REQUEST_OK to a PUBLISH.
    PublishOk,
    /// FETCH.
    Fetch,
    /// FETCH_OK.
    FetchOk,
    /// TRACK_STATUS.
    TrackStatus,
    /// REQUEST_OK to a TRACK_STATUS.
    TrackStatusOk,
    /// PUBLISH_NAMESPACE.
    PublishNamespace,
    /// SUBSCRIBE_NAMESPACE.
    SubscribeNamespace,
    /// SUBSCRIBE_TRACKS.
    SubscribeTracks,
    /// REQUEST_OK to one of the three above.
    NamespaceOk,
    /// REQUEST_UPDATE of a subscription.
    UpdateSubscription,
    /// REQUEST_UPDATE of a FETCH.
    UpdateFetch,
    /// REQUEST_UPDATE of a PUBLISH_NAMESPACE.
    UpdatePublishNamespace,
    /// REQUEST_UPDATE of a SUBSCRIBE_NAMESPACE or SUBSCRIBE_TRACKS.
    UpdatePrefix,
    /// REQUEST_OK to a REQUEST_UPDATE.
    UpdateOk,
    /// REQUEST_OK, not yet known to what: everything that any REQUEST_OK may carry.
    AnyOk,
    /// REQUEST_UPDATE, not yet known of what.
    AnyUpdate,
}
