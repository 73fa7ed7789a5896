//! The track table: who publishes what, who wants it, and how the two meet.
//!
//! No I/O: it decides and posts letters to sessions. Objects never pass through it.

mod namespaces;
mod past;
mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
    time::SystemTime,
};

use bytes::Bytes;
use moqrelay_moqt::{Draft, FullTrackName, Location, Namespace, RequestId, ResetCode, TrackAlias};

use self::{namespaces::Namespaces, past::Past};
use crate::{
    budget::Budget,
    inspect::{Card, TrackView},
    limits::{CacheLimits, TrackLimits},
    mlog::{self, Logs},
    qlog::Qlogs,
    revocation::{Revocations, Rights},
    session::{Fill, FillEnd, Mail, Signal},
    stats::Meters,
    track::{Cache, Ending, Inlet, Live, ReaderKey, SourceId, Tap, Track},
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

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let meters = Arc::new(Meters::new());
        let logs = config.log.clone().map(Logs::new);
        let qlogs = config.qlog.clone().map(Qlogs::new);
        let drafts = config.drafts.clone().into();
        let table = Table {
            budget: Budget::new(config.cache.bytes, meters.clone()),
            past: Past::default(),
            config,
            meters: meters.clone(),
            tracks: BTreeMap::new(),
            sources: BTreeMap::new(),
            namespaces: Namespaces::default(),
            sessions: BTreeMap::new(),
            bearers: BTreeSet::new(),
            next_id: 0,
        };
        Self(Arc::new(Inner {
            table: Mutex::new(table),
            meters,
            revocations: Revocations::default(),
            logs,
            qlogs,
            drafts,
        }))
    }

    /// Returns the drafts that peers may speak, the preferred one first.
    pub(crate) fn drafts(&self) -> &[Draft] {
        &self.0.drafts
    }

    pub(crate) fn meters(&self) -> &Arc<Meters> {
        &self.0.meters
    }

    /// Returns what makes logs of sessions.
    pub(crate) fn logs(&self) -> Option<&Logs> {
        self.0.logs.as_ref()
    }

    /// Logs of connections, if there are to be any.
    pub(crate) fn qlogs(&self) -> Option<&Qlogs> {
        self.0.qlogs.as_ref()
    }

    /// Returns a session's card.
    pub(crate) fn card(&self, session: SessionId) -> Option<Arc<Card>> {
        let table = self.table();
        table.sessions.get(&session).map(|seat| seat.card.clone())
    }

    /// Adds a session, which gets letters from now on.
    pub(crate) fn enter(&self, signal: Arc<Signal>, card: Arc<Card>) -> SessionId {
        let mut table = self.table();
        let id = SessionId(table.new_id());
        let seat = Seat {
            signal,
            card,
            participants: BTreeSet::new(),
        };
        table.sessions.insert(id, seat);
        id
    }

    /// Returns how many sessions there are, and the first `limit` of those above `after`.
    pub(crate) fn seats(
        &self,
        after: Option<SessionId>,
        limit: usize,
    ) -> (usize, Vec<(SessionId, Arc<Card>)>) {
        let table = self.table();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let some = table.sessions.range((from, Bound::Unbounded)).take(limit);
        let some = some.map(|(id, seat)| (*id, seat.card.clone())).collect();
        (table.sessions.len(), some)
    }

    /// Returns how many tracks there are, and the first `limit` of those after `after`.
    pub(crate) fn track_views(
        &self,
        after: Option<&FullTrackName>,
        limit: usize,
    ) -> (usize, Vec<TrackView>) {
        let table = self.table();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let some = table
            .tracks
            .range::<FullTrackName, _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, known)| {
                let live = known.publishers.len();
                (known.track.clone(), live + known.asking.len())
            });
        let some: Vec<_> = some.collect();
        let total = table.tracks.len();
        drop(table);
        let views = some
            .iter()
            .map(|(track, publishers)| track.view(*publishers));
        (total, views.collect())
    }

    /// Posts a letter to one session; false: it is not there.
    pub(crate) fn post_to(&self, session: SessionId, letter: Mail) -> bool {
        let signal = self
            .table()
            .sessions
            .get(&session)
            .map(|seat| seat.signal.clone());
        match signal {
            Some(signal) => {
                signal.post(letter);
                true
            }
            None => false,
        }
    }

    /// Removes a session and its watches; it gets no letters any more. Its sources and offers are
    /// to be ended next.
    pub(crate) fn leave(&self, id: SessionId) {
        let mut table = self.table();
        if let Some(seat) = table.sessions.remove(&id) {
            for participant in seat.participants {
                table.bearers.remove(&(participant, id));
            }
        }
        table.namespaces.forget(id);
    }

    /// Returns what was taken back.
    pub(crate) fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// Tells a session from now on when something is taken back from a participant; false: it has too many already.
    pub(crate) fn stand_for(&self, id: SessionId, participant: &Namespace, max: usize) -> bool {
        let mut table = self.table();
        let Some(seat) = table.sessions.get_mut(&id) else {
            return true; // It has left.
        };
        if seat.participants.contains(participant) {
            return true;
        }
        if seat.participants.len() >= max {
            return false;
        }
        seat.participants.insert(participant.clone());
        table.bearers.insert((participant.clone(), id));
        true
    }

    /// Says what is left to everyone below a namespace, and tells their sessions.
    pub(crate) fn revoke(&self, below: &Namespace, left: Rights, until: SystemTime) {
        // The list first: whoever brings a token after the letters were posted finds it there.
        if !self.0.revocations.set(below.clone(), left, until) {
            tracing::warn!("too many revocations: the one whose tokens end first is forgotten");
            self.meters().breach("revocations");
        }
        self.meters()
            .revocations
            .set(self.0.revocations.len() as u64);
        if left == Rights::Everything {
            return;
        }
        let table = self.table();
        let bearers = table.bearers.range((below.clone(), SessionId(0))..);
        let told: BTreeSet<_> = bearers
            .take_while(|(participant, _)| below.is_prefix_of(participant))
            .map(|(_, session)| *session)
            .collect();
        for session in told {
            table.post(session, Mail::Revoked);
        }
    }

    /// Returns a name for a new reader.
    pub(crate) fn reader_key(&self) -> ReaderKey {
        ReaderKey(self.table().new_id())
    }

    /// Lets a session's subscription follow a track. With `wait` it may wait for a publisher.
    pub(crate) fn subscribe(
        &self,
        name: &FullTrackName,
        key: ReaderKey,
        tap: Tap,
        wish: Wish,
    ) -> Result<Subscribed, Unavailable> {
        self.table().subscribe(name, key, tap, wish)
    }

    /// Lets a reader in this process follow a track, waiting for a publisher if need be.
    pub(crate) fn subscribe_local(
        &self,
        name: &FullTrackName,
        key: ReaderKey,
        tap: Tap,
    ) -> Option<(Arc<Track>, u64, Option<Arc<Live>>)> {
        let wish = Wish {
            wait: true,
            forward: true,
            new_group: None,
        };
        let subscribed = self.table().subscribe(name, key, tap, wish).ok()?;
        let live = subscribed.live.map(|(live, _)| live);
        Some((subscribed.track, subscribed.cursor, live))
    }

    /// Finds what a FETCH of a track can be answered from; `asker`: the session that wants to know.
    pub(crate) fn find_past(&self, name: &FullTrackName, asker: SessionId) -> Found {
        self.table().find_past(name, asker)
    }

    /// Makes a cache for a track that nobody knows.
    pub(crate) fn new_cache(&self, name: &FullTrackName) -> Arc<Mutex<Cache>> {
        self.table().new_cache(name)
    }

    /// Keeps such a cache for others.
    pub(crate) fn keep_past(&self, name: &FullTrackName, cache: &Arc<Mutex<Cache>>) {
        self.table().keep_past(name, cache);
    }

    /// Asks a session for past objects.
    pub(crate) fn ask_past(&self, session: SessionId, fill: Arc<Fill>) {
        let table = self.table();
        if table.sessions.contains_key(&session) {
            table.post(session, Mail::Fetch { fill });
        } else {
            fill.end(FillEnd::Failed);
        }
    }

    /// Wants no more of what `ask_past` asked for.
    pub(crate) fn stop_past(&self, session: SessionId, fill: Arc<Fill>) {
        self.table().post(session, Mail::StopFetch { fill });
    }

    /// Follows a track that is known already; for tracks offered to a session.
    pub(crate) fn follow(
        &self,
        track: &Arc<Track>,
        key: ReaderKey,
        tap: Tap,
        forward: bool,
    ) -> Option<Subscribed> {
        let mut table = self.table();
        let known = table.tracks.get(&track.name)?;
        if !Arc::ptr_eq(&known.track, track) {
            return None;
        }
        let (cursor, live, largest) = track.attach(key, tap);
        table.set_forward(track, key, forward);
        Some(Subscribed {
            track: track.clone(),
            cursor,
            live: live.map(|live| (live, largest)),
        })
    }

    /// A reader wants objects from now on, or none any more.
    pub(crate) fn set_forward(&self, track: &Arc<Track>, key: ReaderKey, forward: bool) {
        self.table().set_forward(track, key, forward);
    }

    /// Ends what `subscribe` or `follow` began. The last reader's leaving ends the subscription
    /// upstream.
    pub(crate) fn unsubscribe(&self, track: &Arc<Track>, key: ReaderKey) {
        self.table().unsubscribe(track, key);
    }

    /// Lets a session publish a track (PUBLISH).
    pub(crate) fn publish(
        &self,
        name: &FullTrackName,
        session: SessionId,
        properties: Bytes,
        largest: Option<Location>,
    ) -> Result<Published, Unavailable> {
        self.table()
            .publish(name, Owner::Published(session), properties, largest)
    }

    /// Lets this process publish a track.
    pub(crate) fn publish_local(
        &self,
        name: &FullTrackName,
        properties: Bytes,
    ) -> Result<Inlet, Unavailable> {
        let published = self
            .table()
            .publish(name, Owner::Writer, properties, None)?;
        Ok(published.inlet)
    }

    /// The publisher that was asked agreed. `None`: it is not needed any more.
    pub(crate) fn answered(
        &self,
        source: SourceId,
        properties: Bytes,
        largest: Option<Location>,
    ) -> Option<Inlet> {
        self.table().answered(source, properties, largest)
    }

    /// The publisher that was asked refused, or is gone.
    pub(crate) fn refused(&self, source: SourceId, error: moqrelay_moqt::RequestError) {
        self.table().refused(source, error);
    }

    /// A publisher said that its track is over.
    pub(crate) fn ended(&self, source: SourceId, ending: Ending) {
        self.table().ended(source, ending, false);
    }

    /// A publisher is gone without having ended its track: another one may go on.
    pub(crate) fn vanished(&self, source: SourceId, ending: Ending) {
        self.table().ended(source, ending, true);
    }

    /// A writer of this process was dropped.
    pub(crate) fn writer_gone(&self, source: SourceId) {
        self.ended(source, Ending::over("the track is over"));
    }

    /// A subscriber wants a new group.
    pub(crate) fn new_group(&self, track: &Arc<Track>, group: u64) {
        self.table().new_group(track, group);
    }

    /// A publisher knows of an object that the relay has not seen.
    pub(crate) fn raise_largest(&self, source: SourceId, largest: Option<Location>) {
        let table = self.table();
        let name = table.sources.get(&source);
        if let Some(known) = name.and_then(|name| table.tracks.get(name)) {
            known.track.raise_largest(largest);
        }
    }

    /// Adds a namespace that a session publishes; returns the offer's name.
    pub(crate) fn offer(&self, namespace: &Namespace, session: SessionId) -> u64 {
        self.table().offer(namespace, session)
    }

    /// Takes back an offer. Tracks that were subscribed to because of it go on.
    pub(crate) fn withdraw(&self, namespace: &Namespace, offer: u64) {
        self.table().withdraw(namespace, offer);
    }

    /// Tells a session of namespaces below a prefix; returns those that exist.
    pub(crate) fn watch_namespaces(
        &self,
        prefix: &Namespace,
        session: SessionId,
        watch: RequestId,
    ) -> Vec<Namespace> {
        self.table()
            .namespaces
            .watch_namespaces(prefix, session, watch)
    }

    /// Offers a session every track below a prefix; returns those that exist.
    pub(crate) fn watch_tracks(
        &self,
        prefix: &Namespace,
        session: SessionId,
        watch: RequestId,
    ) -> Vec<Arc<Track>> {
        self.table().watch_tracks(prefix, session, watch)
    }

    /// Ends one of the two above.
    pub(crate) fn unwatch(&self, session: SessionId, watch: RequestId) {
        self.table().namespaces.unwatch(session, watch);
    }

    /// Posts the same letter to every session.
    pub(crate) fn post_all(&self, letter: impl Fn() -> Mail) {
        for seat in self.table().sessions.values() {
            seat.signal.post(letter());
        }
    }

    /// Forgets old objects of tracks on which nothing happens any more.
    pub(crate) fn trim(&self) {
        let tracks: Vec<_> = self
            .table()
            .tracks
            .values()
            .map(|known| known.track.clone())
            .collect();
        for track in tracks {
            track.trim();
        }
        self.0.revocations.trim(SystemTime::now());
        self.meters()
            .revocations
            .set(self.0.revocations.len() as u64);
        let forgotten = self.table().trim_past(std::time::Instant::now());
        drop(forgotten); // Not while the table is locked: it may take a while.
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Ending {
    pub(crate) fn over(reason: &str) -> Self {
        Self {
            status: moqrelay_moqt::PublishDoneCode::TrackEnded,
            reason: reason.to_owned(),
        }
    }
}

impl Table {
    fn subscribe(
        &mut self,
        name: &FullTrackName,
        key: ReaderKey,
        tap: Tap,
        wish: Wish,
    ) -> Result<Subscribed, Unavailable> {
        let track = self.know(name)?;
        let known = self.tracks.get_mut(name).ok_or(Unavailable::NotFound)?;
        if known.publishers.is_empty() && known.asking.is_empty() {
            known.tried.clear();
            let asked = self.ask(name, wish.new_group);
            if !asked && !wish.wait {
                self.forget_unused(name);
                return Err(Unavailable::NotFound);
            }
        } else if let Some(group) = wish.new_group {
            self.new_group(&track, group);
        }
        let (cursor, live, largest) = track.attach(key, tap);
        let live = live.map(|live| (live, largest));
        self.set_forward(&track, key, wish.forward);
        Ok(Subscribed {
            track,
            cursor,
            live,
        })
    }

    fn set_forward(&mut self, track: &Arc<Track>, key: ReaderKey, forward: bool) {
        let Some(known) = self.tracks.get_mut(&track.name) else {
            return;
        };
        if !Arc::ptr_eq(&known.track, track) {
            return; // The name stands for a later track by now.
        }
        let before = !known.listeners.is_empty();
        if forward {
            known.listeners.insert(key);
        } else {
            known.listeners.remove(&key);
        }
        let now = !known.listeners.is_empty();
        if before == now {
            return;
        }
        // Those that were asked forward for as long as they are asked.
        let told: Vec<_> = known
            .publishers
            .iter()
            .filter_map(|publisher| match publisher.owner {
                Owner::Published(session) => Some((publisher.id, session)),
                Owner::Writer | Owner::Asked(..) => None,
            })
            .collect();
        for (source, session) in told {
            let forward = now;
            self.post(session, Mail::Forward { source, forward });
        }
    }

    fn unsubscribe(&mut self, track: &Arc<Track>, key: ReaderKey) {
        self.set_forward(track, key, false);
        if track.detach(key) > 0 {
            return;
        }
        let Some(known) = self.tracks.get_mut(&track.name) else {
            return;
        };
        if !Arc::ptr_eq(&known.track, track) {
            return; // The name stands for a later track by now.
        }
        let asking = std::mem::take(&mut known.asking)
            .into_iter()
            .map(|asking| (asking.id, asking.session));
        let asked: Vec<_> = known
            .publishers
            .extract_if(.., |publisher| matches!(publisher.owner, Owner::Asked(..)))
            .filter_map(|publisher| Some((publisher.id, publisher.owner.session()?)))
            .collect();
        for (source, _) in &asked {
            track.part(*source);
        }
        for (source, session) in asking.chain(asked) {
            self.drop_source(source, session);
        }
        self.forget_unused(&track.name);
    }

    fn watch_tracks(
        &mut self,
        prefix: &Namespace,
        session: SessionId,
        watch: RequestId,
    ) -> Vec<Arc<Track>> {
        self.namespaces.watch_tracks(prefix, session, watch);
        self.below(prefix)
            .filter(|known| {
                let own = Owner::Published(session);
                let mut publishers = known.publishers.iter();
                publishers.any(|publisher| publisher.owner != own)
            })
            .map(|known| known.track.clone())
            .collect()
    }

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
