//! Error codes: why a session, a request, a subscription or a stream ended.
//!
//! The numbers stand as `draft 19 | 18 | 16 | 14`; `_`: that draft has no such code, and its nearest one is written.

use crate::{Draft, RequestKind};

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident, else $other:ident {
        $($(#[$vdoc:meta])* $variant:ident = $d19:tt | $d18:tt | $d16:tt | $d14:tt,)*
    }) => {
        $(#[$doc])*
        ///
        /// A code that the draft does not define is kept as `Other`; treat it as `InternalError` (section 15).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A code that this implementation does not know.
            Other(u64),
        }

        impl $name {
            /// Returns the number that stands for it on the wire; where the draft has none, that of an internal error.
            pub fn to_code(self, draft: Draft) -> u64 {
                self.code_in(draft)
                    .or_else(|| Self::$other.code_in(draft))
                    .unwrap_or_default()
            }

            /// Returns the number by which people know it: that of draft 18, or else of a draft that has the code.
            pub fn number(self) -> u64 {
                let drafts = [Draft::D18, Draft::D19, Draft::D16, Draft::D14];
                let known = drafts.into_iter().find_map(|draft| self.code_in(draft));
                known.unwrap_or_else(|| self.to_code(Draft::D18))
            }

            /// Reads the number from the wire.
            pub fn from_code(draft: Draft, code: u64) -> Self {
                let found = Self::ALL.iter().find(|known| known.code_in(draft) == Some(code));
                found.copied().unwrap_or(Self::Other(code))
            }

            /// Every code with a name, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// `None`: the draft has no such code.
            fn code_in(self, draft: Draft) -> Option<u64> {
                match (draft, self) {
                    $((Draft::D19, Self::$variant) => code!($d19),)*
                    $((Draft::D18, Self::$variant) => code!($d18),)*
                    $((Draft::D16, Self::$variant) => code!($d16),)*
                    $((Draft::D14, Self::$variant) => code!($d14),)*
                    (_, Self::Other(code)) => Some(code),
                }
            }
        }
    };
}

macro_rules! code {
    (_) => {
        None
    };
    ($code:tt) => {
        Some($code)
    };
}

codes! {
    /// Why a session ended (section 3.5).
    SessionCode, else InternalError {
        /// Nothing went wrong.
        NoError = 0x0 | 0x0 | 0x0 | 0x0,
        /// Our own fault, or a limit of this implementation.
        InternalError = 0x1 | 0x1 | 0x1 | 0x1,
        /// The session's credentials are missing, wrong or used up.
        Unauthorized = 0x2 | 0x2 | 0x2 | 0x2,
        /// The peer did what the draft forbids.
        ProtocolViolation = 0x3 | 0x3 | 0x3 | 0x3,
        /// Request id of the wrong parity, or used twice.
        InvalidRequestId = 0x4 | 0x4 | 0x4 | 0x4,
        /// One alias for two tracks.
        DuplicateTrackAlias = 0x5 | 0x5 | 0x5 | 0x5,
        /// A key-value pair does not have the form its key demands.
        KeyValueFormattingError = 0x6 | 0x6 | 0x6 | 0x6,
        /// A request id beyond MAX_REQUEST_ID.
        TooManyRequests = _ | _ | 0x7 | 0x7,
        /// PATH where it must not be, or a path that is not served.
        InvalidPath = 0x8 | 0x8 | 0x8 | 0x8,
        /// PATH is not a path.
        MalformedPath = 0x9 | 0x9 | 0x9 | 0x9,
        /// The peer did not leave in time after GOAWAY.
        GoawayTimeout = 0x10 | 0x10 | 0x10 | 0x10,
        /// The peer did not answer in time.
        ControlMessageTimeout = 0x11 | 0x11 | 0x11 | 0x11,
        /// The peer stopped in the middle of a data stream.
        DataStreamTimeout = 0x12 | 0x12 | 0x12 | 0x12,
        /// More registered tokens than MAX_AUTH_TOKEN_CACHE_SIZE allows.
        AuthTokenCacheOverflow = 0x13 | 0x13 | 0x13 | 0x13,
        /// A token alias was registered twice.
        DuplicateAuthTokenAlias = 0x14 | 0x14 | 0x14 | 0x14,
        /// No common version.
        VersionNegotiationFailed = 0x15 | 0x15 | 0x15 | 0x15,
        /// A token that cannot be read.
        MalformedAuthToken = 0x16 | 0x16 | 0x16 | 0x16,
        /// A token alias that was never registered.
        UnknownAuthTokenAlias = 0x17 | 0x17 | 0x17 | 0x17,
        /// The token's time is over.
        ExpiredAuthToken = 0x18 | 0x18 | 0x18 | 0x18,
        /// AUTHORITY where it must not be, or one that is not served.
        InvalidAuthority = 0x19 | 0x19 | 0x19 | 0x19,
        /// AUTHORITY is not an authority.
        MalformedAuthority = 0x1A | 0x1A | 0x1A | 0x1A,
        /// More unanswered updates of a request than MAX_REQUEST_UPDATES allows.
        TooManyRequestUpdates = 0x1B | _ | _ | _,
    }
}

codes! {
    /// Why a request was refused: REQUEST_ERROR (section 10.6).
    RequestCode, else InternalError {
        /// Our own fault.
        InternalError = 0x0 | 0x0 | 0x0 | 0x0,
        /// The requester may not do that.
        Unauthorized = 0x1 | 0x1 | 0x1 | 0x1,
        /// It took too long, for example the wait for a publisher.
        Timeout = 0x2 | 0x2 | 0x2 | 0x2,
        /// This kind of request is not supported.
        NotSupported = 0x3 | 0x3 | 0x3 | 0x3,
        /// A token that cannot be read.
        MalformedAuthToken = 0x4 | 0x4 | 0x4 | 0x10,
        /// The token's time is over.
        ExpiredAuthToken = 0x5 | 0x5 | 0x5 | 0x12,
        /// After GOAWAY.
        GoingAway = 0x6 | 0x6 | _ | _,
        /// Too much to do; see the retry interval.
        ExcessiveLoad = 0x9 | 0x9 | _ | _,
        /// No such track or namespace.
        DoesNotExist = 0x10 | 0x10 | 0x10 | _,
        /// The filter or range cannot be served.
        InvalidRange = 0x11 | 0x11 | 0x11 | _,
        /// FETCH: no object exists in the range (draft 14; later drafts answer with an empty stream).
        NoObjects = 0x11 | 0x11 | 0x11 | _,
        /// FETCH: whether objects exist in the range is not known (draft 14; later drafts mark such ranges).
        UnknownStatus = _ | _ | _ | _,
        /// A relay found the track malformed.
        MalformedTrack = 0x12 | 0x12 | 0x12 | _,
        /// Second subscription to a track in the same role.
        DuplicateSubscription = _ | 0x19 | 0x19 | _,
        /// The subscriber does not want this track.
        Uninterested = 0x20 | 0x20 | 0x20 | _,
        /// The prefix overlaps with another one of the same kind.
        PrefixOverlap = 0x30 | 0x30 | 0x30 | _,
        /// Too many namespaces below that prefix.
        NamespaceTooLarge = 0x31 | 0x31 | _ | _,
        /// A joining FETCH names a request that is no subscription.
        InvalidJoiningRequestId = 0x32 | 0x32 | 0x32 | _,
        /// The track has a mandatory property that is not understood.
        UnsupportedExtension = 0x33 | 0x33 | _ | _,
        /// Try elsewhere: see the redirect.
        Redirect = 0x34 | 0x34 | _ | _,
        /// The filters of too many subscribers contradict each other.
        ConflictingFilters = 0x35 | _ | _ | _,
        /// A filter that cannot be, or more ranges than MAX_FILTER_RANGES allows.
        InvalidFilter = 0x36 | _ | _ | _,
    }
}

codes! {
    /// Why a subscription ended: PUBLISH_DONE (section 10.12).
    PublishDoneCode, else InternalError {
        /// Our own fault.
        InternalError = 0x0 | 0x0 | 0x0 | 0x0,
        /// The subscriber may no longer see the track.
        Unauthorized = 0x1 | 0x1 | 0x1 | 0x1,
        /// The track is over.
        TrackEnded = 0x2 | 0x2 | 0x2 | 0x2,
        /// The filter's end was reached.
        SubscriptionEnded = 0x3 | 0x3 | 0x3 | 0x3,
        /// GOAWAY.
        GoingAway = 0x4 | 0x4 | 0x4 | 0x4,
        /// The subscriber did not keep up.
        TooFarBehind = 0x5 | 0x5 | 0x6 | 0x6,
        /// The time given in EXPIRES is over.
        Expired = 0x6 | 0x6 | 0x5 | 0x5,
        /// A REQUEST_UPDATE failed.
        UpdateFailed = 0x8 | 0x8 | 0x8 | _,
        /// Too much to do.
        ExcessiveLoad = 0x9 | 0x9 | _ | _,
        /// A relay found the track malformed.
        MalformedTrack = 0x12 | 0x12 | 0x12 | 0x7,
    }
}

codes! {
    /// Why a stream was reset or is no longer wanted (section 3.3.3).
    ResetCode, else InternalError {
        /// Our own fault.
        InternalError = 0x0 | 0x0 | 0x0 | 0x0,
        /// Either side does not want it any more.
        Cancelled = 0x1 | 0x1 | 0x1 | 0x1,
        /// Too old to be useful.
        DeliveryTimeout = 0x2 | 0x2 | 0x2 | 0x2,
        /// The session ends.
        SessionClosed = 0x3 | 0x3 | 0x3 | 0x3,
        /// GOAWAY.
        GoingAway = 0x4 | 0x4 | _ | _,
        /// The subscription is over its limits.
        TooFarBehind = 0x5 | 0x5 | _ | _,
        /// FETCH: the next object's status is not known.
        UnknownObjectStatus = 0x6 | 0x6 | 0x4 | _,
        /// The request's token is over.
        ExpiredAuthToken = 0x7 | 0x7 | _ | _,
        /// Too much to do.
        ExcessiveLoad = 0x9 | 0x9 | _ | _,
        /// A relay found the track malformed.
        MalformedTrack = 0x12 | 0x12 | 0x12 | _,
    }
}

impl RequestCode {
    /// Returns the number in the answer to a request of that kind: draft 14 has a table for each.
    pub(crate) fn to_code_for(self, draft: Draft, kind: RequestKind) -> u64 {
        let special = of_kind(draft, kind)
            .iter()
            .find(|(_, known)| *known == self);
        special.map_or_else(|| self.to_code(draft), |(code, _)| *code)
    }

    /// Reads the number from the answer to a request of that kind.
    pub(crate) fn from_code_for(draft: Draft, kind: RequestKind, code: u64) -> Self {
        let special = of_kind(draft, kind)
            .iter()
            .find(|(known, _)| *known == code);
        special.map_or_else(|| Self::from_code(draft, code), |(_, known)| *known)
    }
}

/// Sections 13.1.2 to 13.1.7 of draft-ietf-moq-transport-14, without what they have in common.
fn of_kind(draft: Draft, kind: RequestKind) -> &'static [(u64, RequestCode)] {
    if draft != Draft::D14 {
        return &[];
    }
    match kind {
        RequestKind::Subscribe | RequestKind::TrackStatus => &[
            (0x4, RequestCode::DoesNotExist),
            (0x5, RequestCode::InvalidRange),
        ],
        RequestKind::Publish | RequestKind::PublishNamespace => &[(0x4, RequestCode::Uninterested)],
        RequestKind::Fetch => &[
            (0x4, RequestCode::DoesNotExist),
            (0x5, RequestCode::InvalidRange),
            (0x6, RequestCode::NoObjects),
            (0x7, RequestCode::InvalidJoiningRequestId),
            (0x8, RequestCode::UnknownStatus),
            (0x9, RequestCode::MalformedTrack),
        ],
        RequestKind::SubscribeNamespace => &[
            (0x4, RequestCode::DoesNotExist),
            (0x5, RequestCode::PrefixOverlap),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Draft;

    #[test]
    fn a_code_is_known_by_one_number_whatever_the_draft() {
        assert_eq!(RequestCode::DuplicateSubscription.number(), 0x19);
        assert_eq!(RequestCode::InvalidFilter.number(), 0x36);
        assert_eq!(SessionCode::TooManyRequests.number(), 0x7);
        assert_eq!(PublishDoneCode::TooFarBehind.number(), 0x5);
    }

    #[test]
    fn unknown_codes_are_kept() {
        for number in [0x9d, 0x11c, 0x3fff_ffff] {
            let session = SessionCode::from_code(Draft::D18, number);
            let request = RequestCode::from_code(Draft::D18, number);
            let done = PublishDoneCode::from_code(Draft::D18, number);
            let reset = ResetCode::from_code(Draft::D18, number);

            assert_eq!(session.to_code(Draft::D18), number);
            assert_eq!(request.to_code(Draft::D18), number);
            assert_eq!(done.to_code(Draft::D18), number);
            assert_eq!(reset.to_code(Draft::D18), number);
        }
    }
}
