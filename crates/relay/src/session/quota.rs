//! How much a peer may ask and send: requests and bytes in a second, and how long a namespace is.

use std::time::{Duration, Instant};

use moqrelay_moqt::{Event, Namespace, RequestCode, RequestError, RequestId, SessionCode};

use super::Driver;
use crate::limits::Limits;

/// Requests may come in a burst: what a second brings, so many times. A client that enters a large
/// room asks for all of it at once.
const REQUEST_BURST_S: u64 = 5;

/// Bytes may come in a burst: a key frame, or what waited while the network was away.
const BYTES_BURST_S: u64 = 2;

/// When a request that came too early may be repeated.
const RETRY: Duration = Duration::from_secs(1);

/// What a session has left.
#[derive(Debug)]
pub(super) struct Quota {
    requests: Bucket,
    bytes: Bucket,
}

impl Quota {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            requests: Bucket::full(limits.requests_per_second, REQUEST_BURST_S, now),
            bytes: Bucket::full(limits.bytes_per_second, BYTES_BURST_S, now),
        }
    }
}

impl Driver {
    /// Counts what has arrived; too much ends the session.
    pub(super) fn charge_bytes(&mut self, len: usize) {
        if self.quota.bytes.take(len as u64, Instant::now) == Charge::Covered {
            return;
        }
        if self.farewell.is_none() {
            self.shared.meters().breach("bytes_per_second");
            self.violation(SessionCode::InternalError, "too many bytes in a second");
        }
    }

    /// Refuses a request that comes too soon after others, or whose namespace is too long. Who
    /// does not heed the refusals loses the session.
    pub(super) fn refused_by_quota(&mut self, event: &Event) -> bool {
        let Some((id, namespace)) = request(event) else {
            return false;
        };
        let error = match self.quota.requests.take(1, Instant::now) {
            Charge::Covered => match namespace.and_then(|namespace| self.too_long(namespace)) {
                Some(reason) => {
                    self.shared.meters().breach("namespace");
                    RequestError::new(RequestCode::NotSupported, reason)
                }
                None => return false,
            },
            Charge::Over => {
                self.shared.meters().breach("requests_per_second");
                RequestError::new(RequestCode::ExcessiveLoad, "too many requests in a second")
                    .retry_after(RETRY)
            }
            Charge::Flood => {
                self.shared.meters().breach("requests_per_second");
                self.violation(SessionCode::InternalError, "too many requests in a second");
                return true;
            }
        };
        if matches!(event, Event::Update { .. }) {
            drop(self.machine.reject_update(id, error));
        } else {
            self.reject_with(id, error);
        }
        true
    }

    fn too_long(&self, namespace: &Namespace) -> Option<String> {
        let (fields, bytes) = (namespace.fields().len(), namespace.len_bytes());
        let (fields_max, bytes_max) = (self.limits.namespace_fields, self.limits.namespace_bytes);
        (fields > fields_max || bytes > bytes_max).then(|| {
            format!("namespaces have at most {fields_max} fields and {bytes_max} bytes here")
        })
    }
}

/// The request that an event is, and its namespace.
fn request(event: &Event) -> Option<(RequestId, Option<&Namespace>)> {
    match event {
        Event::Subscribe { id, track, .. }
        | Event::TrackStatus { id, track, .. }
        | Event::Publish { id, track, .. } => Some((*id, Some(track.namespace()))),
        Event::PublishNamespace { id, namespace, .. } => Some((*id, Some(namespace))),
        Event::SubscribeNamespace { id, prefix, .. }
        | Event::SubscribeTracks { id, prefix, .. } => Some((*id, Some(prefix))),
        Event::Update { id, params, .. } => Some((*id, params.prefix.as_ref())),
        Event::Fetch { id, .. } => Some((*id, None)),
        Event::Setup(_)
        | Event::SubscribeOk { .. }
        | Event::FetchOk { .. }
        | Event::Accepted { .. }
        | Event::Rejected { .. }
        | Event::PublishDone { .. }
        | Event::Cancelled { .. }
        | Event::GoAway { .. }
        | Event::Updated { .. }
        | Event::UpdateRejected { .. }
        | Event::Namespace { .. }
        | Event::NamespaceDone { .. }
        | Event::PublishBlocked { .. }
        | Event::RequestGoAway { .. } => None,
    }
}

/// A bucket of tokens that is filled only when it has too little: most of the time nobody asks the
/// clock.
#[derive(Debug)]
struct Bucket {
    left: i64,
    per_second: u64,
    burst: i64,
    filled_at: Instant,
}

/// What a bucket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charge {
    /// There was enough.
    Covered,
    /// There was not.
    Over,
    /// There has not been for a whole burst.
    Flood,
}

impl Bucket {
    fn full(per_second: u64, burst_s: u64, now: Instant) -> Self {
        let burst = i64::try_from(per_second.saturating_mul(burst_s)).unwrap_or(i64::MAX);
        Self {
            left: burst,
            per_second,
            burst,
            filled_at: now,
        }
    }

    /// Takes out what something costs, whether it is there or not.
    fn take(&mut self, cost: u64, now: impl FnOnce() -> Instant) -> Charge {
        let cost = i64::try_from(cost).unwrap_or(i64::MAX);
        if self.left < cost {
            self.fill(now());
        }
        self.left = self.left.saturating_sub(cost).max(-self.burst);
        if self.left >= 0 {
            Charge::Covered
        } else if self.left > -self.burst {
            Charge::Over
        } else {
            Charge::Flood
        }
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.filled_at).as_micros();
        let gained = since.saturating_mul(self.per_second.into()) / 1_000_000;
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(self.burst);
            self.filled_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_covered_then_over_then_a_flood() {
        let now = Instant::now();
        let mut bucket = Bucket::full(3, 1, now);

        let charges: Vec<_> = (0..7).map(|_| bucket.take(1, || now)).collect();

        use Charge::{Covered, Flood, Over};
        assert_eq!(
            charges,
            [Covered, Covered, Covered, Over, Over, Flood, Flood]
        );
    }

    #[test]
    fn a_bucket_fills_with_time_and_no_further_than_its_burst() {
        let now = Instant::now();
        let mut bucket = Bucket::full(2, 2, now);
        assert_eq!(bucket.take(4, || now), Charge::Covered);

        let later = now + Duration::from_secs(1);
        assert_eq!(bucket.take(2, || later), Charge::Covered);
        assert_eq!(bucket.take(1, || later), Charge::Over);
        let much_later = later + Duration::from_secs(1000);
        assert_eq!(bucket.take(4, || much_later), Charge::Covered);
        assert_eq!(bucket.take(1, || much_later), Charge::Over);
    }

    #[test]
    fn a_steady_rate_is_always_covered() {
        let began = Instant::now();
        let mut bucket = Bucket::full(1000, 1, began);

        for n in 0..10_000 {
            let now = began + Duration::from_millis(n);
            assert_eq!(bucket.take(1, || now), Charge::Covered);
        }
    }
}
