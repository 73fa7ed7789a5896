//! Error codes: why a session, a request, a subscription or a stream ended.

use crate::Draft;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $d18:literal,)* }) => {
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
            /// Returns the number that stands for it on the wire.
            pub fn to_code(self, draft: Draft) -> u64 {
                match draft {
                    Draft::D18 => match self {
                        $(Self::$variant => $d18,)*
                        Self::Other(code) => code,
                    },
                }
            }

            /// Reads the number from the wire.
            pub fn from_code(draft: Draft, code: u64) -> Self {
                match draft {
                    Draft::D18 => match code {
                        $($d18 => Self::$variant,)*
                        other => Self::Other(other),
                    },
                }
            }

            /// Every code with a name, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}

codes! {
    /// Why a session ended (section 3.5).
    SessionCode {
        /// Nothing went wrong.
        NoError = 0x0,
        /// Our own fault, or a limit of this implementation.
        InternalError = 0x1,
        /// The session's credentials are missing, wrong or used up.
        Unauthorized = 0x2,
        /// The peer did what the draft forbids.
        ProtocolViolation = 0x3,
        /// Request id of the wrong parity, or used twice.
        InvalidRequestId = 0x4,
        /// One alias for two tracks.
        DuplicateTrackAlias = 0x5,
        /// A key-value pair does not have the form its key demands.
        KeyValueFormattingError = 0x6,
        /// PATH where it must not be, or a path that is not served.
        InvalidPath = 0x8,
        /// PATH is not a path.
        MalformedPath = 0x9,
        /// The peer did not leave in time after GOAWAY.
        GoawayTimeout = 0x10,
        /// The peer did not answer in time.
        ControlMessageTimeout = 0x11,
        /// The peer stopped in the middle of a data stream.
        DataStreamTimeout = 0x12,
        /// More registered tokens than MAX_AUTH_TOKEN_CACHE_SIZE allows.
        AuthTokenCacheOverflow = 0x13,
        /// A token alias was registered twice.
        DuplicateAuthTokenAlias = 0x14,
        /// No common version.
        VersionNegotiationFailed = 0x15,
        /// A token that cannot be read.
        MalformedAuthToken = 0x16,
        /// A token alias that was never registered.
        UnknownAuthTokenAlias = 0x17,
        /// The token's time is over.
        ExpiredAuthToken = 0x18,
        /// AUTHORITY where it must not be, or one that is not served.
        InvalidAuthority = 0x19,
        /// AUTHORITY is not an authority.
        MalformedAuthority = 0x1A,
    }
}

codes! {
    /// Why a request was refused: REQUEST_ERROR (section 10.6).
    RequestCode {
        /// Our own fault.
        InternalError = 0x0,
        /// The requester may not do that.
        Unauthorized = 0x1,
        /// It took too long, for example the wait for a publisher.
        Timeout = 0x2,
        /// This kind of request is not supported.
        NotSupported = 0x3,
        /// A token that cannot be read.
        MalformedAuthToken = 0x4,
        /// The token's time is over.
        ExpiredAuthToken = 0x5,
        /// After GOAWAY.
        GoingAway = 0x6,
        /// Too much to do; see the retry interval.
        ExcessiveLoad = 0x9,
        /// No such track or namespace.
        DoesNotExist = 0x10,
        /// The filter or range cannot be served.
        InvalidRange = 0x11,
        /// A relay found the track malformed.
        MalformedTrack = 0x12,
        /// Second subscription to a track in the same role.
        DuplicateSubscription = 0x19,
        /// The subscriber does not want this track.
        Uninterested = 0x20,
        /// The prefix overlaps with another one of the same kind.
        PrefixOverlap = 0x30,
        /// Too many namespaces below that prefix.
        NamespaceTooLarge = 0x31,
        /// A joining FETCH names a request that is no subscription.
        InvalidJoiningRequestId = 0x32,
        /// The track has a mandatory property that is not understood.
        UnsupportedExtension = 0x33,
        /// Try elsewhere: see the redirect.
        Redirect = 0x34,
    }
}

codes! {
    /// Why a subscription ended: PUBLISH_DONE (section 10.12).
    PublishDoneCode {
        /// Our own fault.
        InternalError = 0x0,
        /// The subscriber may no longer see the track.
        Unauthorized = 0x1,
        /// The track is over.
        TrackEnded = 0x2,
        /// The filter's end was reached.
        SubscriptionEnded = 0x3,
        /// GOAWAY.
        GoingAway = 0x4,
        /// The subscriber did not keep up.
        TooFarBehind = 0x5,
        /// The time given in EXPIRES is over.
        Expired = 0x6,
        /// A REQUEST_UPDATE failed.
        UpdateFailed = 0x8,
        /// Too much to do.
        ExcessiveLoad = 0x9,
        /// A relay found the track malformed.
        MalformedTrack = 0x12,
    }
}

codes! {
    /// Why a stream was reset or is no longer wanted (section 3.3.3).
    ResetCode {
        /// Our own fault.
        InternalError = 0x0,
        /// Either side does not want it any more.
        Cancelled = 0x1,
        /// Too old to be useful.
        DeliveryTimeout = 0x2,
        /// The session ends.
        SessionClosed = 0x3,
        /// GOAWAY.
        GoingAway = 0x4,
        /// The subscription is over its limits.
        TooFarBehind = 0x5,
        /// FETCH: the next object's status is not known.
        UnknownObjectStatus = 0x6,
        /// The request's token is over.
        ExpiredAuthToken = 0x7,
        /// Too much to do.
        ExcessiveLoad = 0x9,
        /// A relay found the track malformed.
        MalformedTrack = 0x12,
    }
}
