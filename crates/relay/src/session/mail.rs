//! What the track table tells a session.

use std::{sync::Arc, time::Duration};

use moqrelay_moqt::{Namespace, RequestId, ResetCode, SessionCode};

use super::Fill;
use crate::{
    takeover::Keep,
    track::{SourceId, Track},
};

/// A letter to a session.
pub(crate) enum Mail {
    /// Subscribe to this track at the peer, and answer the table under this source.
    Ask {
        source: SourceId,
        track: Arc<Track>,
        new_group: Option<u64>,
    },
    /// End the subscription that is this source.
    Drop { source: SourceId, code: ResetCode },
    /// Someone wants objects of this source, or nobody any more.
    Forward { source: SourceId, forward: bool },
    /// Ask the peer for a new group of this source's track.
    NewGroup { source: SourceId, group: u64 },
    /// A namespace below a prefix that the peer watches came or went.
    Namespace {
        watch: RequestId,
        suffix: Namespace,
        here: bool,
    },
    /// A track below a prefix whose tracks the peer wants.
    Offer { watch: RequestId, track: Arc<Track> },
    /// Ask the peer to leave unless it is to be kept, or as soon as it is not any more.
    Retire { keep: Arc<Keep>, timeout: Duration },
    /// Log what is said from now on.
    Log,
    /// Ask the peer for past objects.
    Fetch { fill: Arc<Fill> },
    /// They are not wanted any more.
    StopFetch { fill: Arc<Fill> },
    /// Ask the peer to leave.
    GoAway { uri: String, timeout: Duration },
    /// Something was taken back from a participant whose token the peer has brought.
    Revoked,
    /// End the session.
    Close {
        code: SessionCode,
        reason: &'static str,
    },
}
