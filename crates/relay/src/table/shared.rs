//! What sessions, readers and writers may ask of the table, each for as long as it is locked.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
    time::SystemTime,
};

use bytes::Bytes;
use moqrelay_moqt::{Draft, FullTrackName, Location, Namespace, RequestId};

use super::{
    Config, Found, Inner, Owner, Published, Seat, SessionId, Shared, Subscribed, Table,
    Unavailable, Wish, namespaces::Namespaces, past::Past,
};
use crate::{
    budget::Budget,
    inspect::{Card, TrackView},
    mlog::Logs,
    qlog::Qlogs,
    revocation::{Revocations, Rights},
    session::{Fill, FillEnd, Mail, Signal},
    stats::Meters,
    track::{Cache, Ending, Inlet, Live, ReaderKey, SourceId, Tap, Track},
};

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
