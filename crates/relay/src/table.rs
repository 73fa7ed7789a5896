//! The track table: who publishes what, who wants it, and how the two meet.
//!
//! No I/O: it decides and posts letters to sessions. Objects never pass through it.

mod namespaces;
mod past;
mod readers;
mod shared;
mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use moqrelay_moqt::{Draft, FullTrackName, Location, Namespace, ResetCode, TrackAlias};

use self::{namespaces::Namespaces, past::Past};
use crate::{
    budget::Budget,
    inspect::Card,
    limits::{CacheLimits, TrackLimits},
    mlog::{self, Logs},
    qlog::Qlogs,
    revocation::Revocations,
    session::{Mail, Signal},
    stats::Meters,
    track::{Cache, Ending, Inlet, Live, ReaderKey, SourceId, Track},
};

/// Names one MoQ session in the process, in logs too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// How a relay is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// What each track keeps for readers that are behind.
    pub track: TrackLimits,
    /// Logs of sessions; `None`: there are none.
    pub log: Option<mlog::Config>,
    /// Logs of connections (qlog); `None`: there are none.
    pub qlog: Option<mlog::Config>,
    /// What is kept for those who come late.
    pub cache: CacheLimits,
    /// Tracks that may be known at a time; requests for more are refused.
    /// Default 100,000: at least 100 MB when all are alive.
    pub tracks: usize,
    /// Drafts that peers may speak, the preferred one first. Default: [`Draft::OFFERED`].
    pub drafts: Vec<Draft>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            track: TrackLimits::default(),
            log: None,
            qlog: None,
            cache: CacheLimits::default(),
            tracks: 100_000,
            drafts: Draft::OFFERED.to_vec(),
        }
    }
}

/// What all sessions, readers and writers of a relay share.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    table: Mutex<Table>,
    meters: Arc<Meters>,
    revocations: Revocations,
    logs: Option<Logs>,
    qlogs: Option<Qlogs>,
    drafts: Box<[Draft]>,
}

/// A reader's place on a track.
pub(crate) struct Subscribed {
    pub(crate) track: Arc<Track>,
    pub(crate) cursor: u64,
    /// The publisher and the largest location, when there is one already.
    pub(crate) live: Option<(Arc<Live>, Option<Location>)>,
}

/// How a reader wants a track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// It waits for a publisher.
    pub(crate) wait: bool,
    /// It wants objects, not only to know of the track.
    pub(crate) forward: bool,
    /// It wants a new group.
    pub(crate) new_group: Option<u64>,
}

/// A publisher's way into a track.
pub(crate) struct Published {
    pub(crate) inlet: Inlet,
    /// Someone wants objects now.
    pub(crate) forward: bool,
}

/// What a FETCH can be answered from.
pub(crate) struct Found {
    /// What is kept of the track; `None`: nothing.
    pub(crate) cache: Option<Arc<Mutex<Cache>>>,
    /// The publisher and the largest location, when the track is being published.
    pub(crate) live: Option<(Arc<Live>, Option<Location>)>,
    /// Who can be asked for what is not there.
    pub(crate) upstream: Option<SessionId>,
}

/// Why a track cannot be subscribed to or published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// Nobody publishes it, and the subscriber does not wait.
    NotFound,
    /// The session publishes it already.
    Duplicate,
    /// A limit is reached.
    TooMany,
}

struct Table {
    config: Config,
    meters: Arc<Meters>,
    budget: Arc<Budget>,
    tracks: BTreeMap<FullTrackName, Known>,
    /// Caches of tracks that nobody publishes or waits for any more.
    past: Past,
    /// Where each publisher, alive or asked, belongs.
    sources: BTreeMap<SourceId, FullTrackName>,
    namespaces: Namespaces,
    sessions: BTreeMap<SessionId, Seat>,
    /// Sessions that have brought a participant's token.
    bearers: BTreeSet<(Namespace, SessionId)>,
    /// For sources, readers, offers and aliases alike; never 0.
    next_id: u64,
}

/// A session.
struct Seat {
    signal: Arc<Signal>,
    card: Arc<Card>,
    /// Participants whose tokens it has brought.
    participants: BTreeSet<Namespace>,
}

/// A track that is published or waited for.
struct Known {
    track: Arc<Track>,
    /// Who publishes it, the newest last.
    publishers: Vec<Source>,
    /// Readers that want objects now.
    listeners: BTreeSet<ReaderKey>,
    /// Who was asked and has not answered.
    asking: Vec<Asking>,
    /// Offers of namespaces that were asked since somebody wants the track.
    tried: BTreeSet<u64>,
    /// The publisher is gone and another one is asked: how the track ends when it refuses.
    orphaned: Option<Ending>,
    /// The last new group asked for, and the largest group when it was.
    new_group: Option<(u64, u64)>,
}

/// The publisher of a track.
struct Source {
    id: SourceId,
    owner: Owner,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A writer in this process.
    Writer,
    /// A session that sent PUBLISH.
    Published(SessionId),
    /// A session that was asked because of a namespace.
    Asked(SessionId),
}

/// A SUBSCRIBE that is on its way to a publisher.
struct Asking {
    id: SourceId,
    session: SessionId,
}

impl Table {
    /// Returns the track of that name, which from now on is known.
    fn know(&mut self, name: &FullTrackName) -> Result<Arc<Track>, Unavailable> {
        if let Some(known) = self.tracks.get(name) {
            return Ok(known.track.clone());
        }
        if self.tracks.len() >= self.config.tracks {
            return Err(Unavailable::TooMany);
        }
        let alias = TrackAlias(self.new_id());
        let cache = self.cache_of(name);
        let track = Track::new(
            name.clone(),
            alias,
            self.config.track,
            cache,
            self.budget.clone(),
            self.meters.clone(),
        );
        let known = Known {
            track: Arc::new(track),
            publishers: Vec::new(),
            listeners: BTreeSet::new(),
            asking: Vec::new(),
            tried: BTreeSet::new(),
            orphaned: None,
            new_group: None,
        };
        let track = known.track.clone();
        self.tracks.insert(name.clone(), known);
        Ok(track)
    }

    /// Forgets a track that nobody publishes, is asked for, or waits for.
    fn forget_unused(&mut self, name: &FullTrackName) {
        let used = self.tracks.get(name).is_none_or(|known| {
            !known.publishers.is_empty() || !known.asking.is_empty() || known.track.readers() > 0
        });
        if !used && let Some(known) = self.tracks.remove(name) {
            self.retire(name, &known.track);
        }
    }

    fn below(&self, prefix: &Namespace) -> impl Iterator<Item = &Known> {
        self.tracks
            .range(first_below(prefix)..)
            .take_while(move |(name, _)| prefix.is_prefix_of(name.namespace()))
            .map(|(_, known)| known)
    }

    fn drop_source(&mut self, source: SourceId, session: SessionId) {
        self.sources.remove(&source);
        let code = ResetCode::Cancelled;
        self.post(session, Mail::Drop { source, code });
    }

    fn post(&self, session: SessionId, letter: Mail) {
        if let Some(seat) = self.sessions.get(&session) {
            seat.signal.post(letter);
        }
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl Known {
    /// Takes out whoever was asked under this id.
    fn answered(&mut self, source: SourceId) -> Option<Asking> {
        let index = self.asking.iter().position(|asking| asking.id == source)?;
        Some(self.asking.swap_remove(index))
    }

    /// Returns whether a session publishes the track, or was asked for it.
    fn is_from(&self, session: SessionId) -> bool {
        let mut publishers = self.publishers.iter();
        publishers.any(|publisher| publisher.owner.session() == Some(session))
            || self.asking.iter().any(|asking| asking.session == session)
    }
}

impl Owner {
    fn session(self) -> Option<SessionId> {
        match self {
            Self::Writer => None,
            Self::Published(session) | Self::Asked(session) => Some(session),
        }
    }
}

/// The smallest name below a prefix: tracks are ordered by namespace, field by field, then name.
fn first_below(prefix: &Namespace) -> FullTrackName {
    FullTrackName::new(prefix.clone(), Bytes::new())
        .expect("a namespace alone is within the limit of a full name")
}
