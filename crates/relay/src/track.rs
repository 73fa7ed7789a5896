//! Tracks: a bounded ring of objects, appended once, read by any number of cursors.
//!
//! An append writes one entry, wakes each worker whose sessions subscribe, once, and each reader in
//! the process that has heard the last one. A reader that is slow finds its place overwritten,
//! learns how much it lost and goes on. No reader holds anything that others wait for.

mod cache;
mod inlet;
mod log;
mod merge;
mod reader;
mod sheet;
mod tap;
mod wire;
mod writer;

use std::sync::{
    Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use moqrelay_moqt::{
    Draft, FullTrackName, Location, ObjectProperties, PublishDoneCode, RequestError, TrackAlias,
    TrackProperties,
    data::{ObjectDatagram, ObjectStatus},
};

pub(crate) use self::{
    cache::{Cache, Piece, Span, before as location_before},
    inlet::{Inlet, InletError, Lane, stream_header},
    log::{Entry, Item, Log, Subgroup, SubgroupEnd, SubgroupObject},
    merge::{Malformed, PUBLISHERS_MAX},
    tap::{LocalTap, Outlet, ReaderKey, SessionTap, Tap},
    wire::{datagram as datagram_wire, object as object_wire, priority_of, track_properties},
};
use self::{merge::Merge, sheet::Sheet};
pub use self::{
    reader::{Event, Reader, Start},
    writer::{WriteError, Writer},
};
use crate::{budget::Budget, inspect::TrackView, limits::TrackLimits, stats::Meters};

/// One object of a track, as its publisher sent it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// The group.
    pub group: u64,
    /// The subgroup whose stream carries it; `None`: it is a datagram.
    pub subgroup: Option<u64>,
    /// The object's id within its group.
    pub id: u64,
    /// Publisher priority, lower goes first; `None`: the track's default.
    pub priority: Option<u8>,
    /// What it says about what exists; other than normal: no properties, no payload.
    pub status: ObjectStatus,
    /// Datagram: no object above this one exists in the group. Subgroup: no object follows on its
    /// stream (a [`Writer`] then ends the stream; a [`Reader`] never sets it).
    pub end_of_group: bool,
    /// Properties, raw as draft 18 writes them, without their length.
    pub properties: Bytes,
    /// Payload, possibly empty.
    pub payload: Bytes,
}

impl Object {
    pub(crate) fn location(&self) -> Location {
        Location::new(self.group, self.id)
    }

    pub(crate) fn into_datagram(self, alias: TrackAlias) -> ObjectDatagram {
        ObjectDatagram {
            alias,
            group: self.group,
            id: self.id,
            priority: self.priority,
            end_of_group: self.end_of_group,
            status: self.status,
            properties: self.properties,
            payload: self.payload,
        }
    }
}

/// What a publisher says about a track as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// Track properties, raw (draft-18 section 2.5); write them with `moqt::KeyValueEncoder`.
    pub properties: Bytes,
}

/// Why a track ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The publisher's code, or ours when the publisher vanished.
    pub status: PublishDoneCode,
    /// For people.
    pub reason: String,
}

/// A publisher of a track, from its beginning on.
#[derive(Debug)]
pub(crate) struct Live {
    /// Raw track properties, as draft 18 writes them.
    pub(crate) properties: Bytes,
    /// What the draft's own properties among them say.
    pub(crate) known: TrackProperties,
    /// The largest location when this publisher began.
    pub(crate) largest: Option<Location>,
    /// It is a writer in this process: what it does not write does not exist.
    pub(crate) is_local: bool,
}

impl Live {
    pub(crate) fn new(properties: Bytes, largest: Option<Location>, is_local: bool) -> Self {
        let known = TrackProperties::read(Draft::D18, &properties).unwrap_or_default();
        Self {
            properties,
            known,
            largest,
            is_local,
        }
    }

    pub(crate) fn info(&self) -> Info {
        Info {
            properties: self.properties.clone(),
        }
    }
}

/// The new group that subscribers want of a writer in this process.
#[derive(Default)]
pub(crate) struct Wishes {
    group: Mutex<Option<u64>>,
    waker: AtomicWaker,
}

/// The least of what was told since somebody asked, bits per second.
pub(crate) struct Narrowest(AtomicU32);

impl Default for Narrowest {
    fn default() -> Self {
        Self(AtomicU32::new(Self::UNKNOWN))
    }
}

impl Narrowest {
    /// More than any connection carries.
    const UNKNOWN: u32 = u32::MAX;

    /// A connection carries so many bytes in a second.
    pub(crate) fn tell(&self, bytes: u64) {
        let bits = u32::try_from(bytes.saturating_mul(8)).unwrap_or(Self::UNKNOWN);
        self.0.fetch_min(bits, Ordering::Relaxed);
    }

    /// Returns the least, and begins anew.
    pub(crate) fn take(&self) -> Option<u32> {
        let least = self.0.swap(Self::UNKNOWN, Ordering::Relaxed);
        (least != Self::UNKNOWN).then_some(least)
    }
}

impl Wishes {
    pub(crate) fn want(&self, group: u64) {
        *self.group.lock().unwrap_or_else(|e| e.into_inner()) = Some(group);
        self.waker.wake();
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<u64> {
        self.waker.register(cx.waker());
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    pub(crate) fn take(&self) -> Option<u64> {
        self.group.lock().unwrap_or_else(|e| e.into_inner()).take()
    }
}

/// Names one publisher of one track, in the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SourceId(pub(crate) u64);

/// A track that someone publishes or waits for.
pub(crate) struct Track {
    pub(crate) name: FullTrackName,
    /// Under which every session sends it: the same number, so that encodings can be shared.
    pub(crate) alias: TrackAlias,
    pub(crate) meters: Arc<Meters>,
    limits: TrackLimits,
    intake: Mutex<Intake>,
    /// For the writer of this process, if there is one.
    wishes: Wishes,
    /// Wakes that writer when the first reader comes and when the last one goes.
    audience: AtomicWaker,
    subgroups: AtomicU64,
    /// What the slowest of its sessions' connections carried lately.
    narrowest: Narrowest,
    traffic: Traffic,
    log: RwLock<Log>,
    /// Locked before the log, where both are.
    cache: Arc<Mutex<Cache>>,
    budget: Arc<Budget>,
    readers: Mutex<Readers>,
}

/// What the publishers of a track share.
#[derive(Default)]
struct Intake {
    /// Whose objects count now, and what they have said; those of others are thrown away.
    merge: Merge,
    sheet: Sheet,
}

/// Who hears a track.
#[derive(Default)]
struct Readers {
    /// One for each worker with sessions that subscribe.
    outlets: Vec<Arc<Outlet>>,
    /// In this process.
    local: Vec<(ReaderKey, Arc<LocalTap>)>,
}

impl Track {
    pub(crate) fn new(
        name: FullTrackName,
        alias: TrackAlias,
        limits: TrackLimits,
        cache: Arc<Mutex<Cache>>,
        budget: Arc<Budget>,
        meters: Arc<Meters>,
    ) -> Self {
        meters.tracks.up();
        Self {
            name,
            alias,
            meters,
            limits,
            intake: Mutex::default(),
            wishes: Wishes::default(),
            audience: AtomicWaker::new(),
            subgroups: AtomicU64::new(0),
            narrowest: Narrowest::default(),
            traffic: Traffic::default(),
            log: RwLock::default(),
            cache,
            budget,
            readers: Mutex::default(),
        }
    }

    /// Lets a publisher begin where there is none. Everything it sends comes after this in the log.
    pub(crate) fn begin(&self, source: SourceId, live: Arc<Live>) {
        let mut intake = self.intake();
        intake.merge.add(source);
        self.push(Item::Began(live));
    }

    /// Lets a publisher begin that alone is heard from now on.
    pub(crate) fn take_over(&self, source: SourceId, live: Arc<Live>) {
        let mut intake = self.intake();
        intake.merge.clear();
        intake.merge.add(source);
        self.push(Item::Began(live));
    }

    /// Lets a publisher join those that are there; returns those that give way.
    pub(crate) fn join(&self, source: SourceId, live: Arc<Live>) -> Vec<SourceId> {
        let gone = self.intake().merge.add(source);
        lock(&self.cache).joined(&live);
        self.log_mut().replace_live(live);
        for gone in &gone {
            self.part(*gone);
        }
        gone
    }

    /// Hears a publisher no more; others go on.
    pub(crate) fn part(&self, source: SourceId) {
        let mut intake = self.intake();
        for ended in intake.merge.remove(source) {
            self.push(Item::ended(ended));
        }
    }

    /// Ends the track for its present readers.
    pub(crate) fn end(&self, ending: Ending) {
        let mut intake = self.intake();
        intake.merge.clear();
        self.push(Item::Ended(ending));
    }

    /// The publisher has lost its memory: what it sends now has nothing to do with what it sent.
    fn push_anew(&self, live: Option<Arc<Live>>) {
        if let Some(live) = live {
            self.push(Item::Began(live));
        }
    }

    /// A publisher knows of an object that the relay has not seen.
    pub(crate) fn raise_largest(&self, largest: Option<Location>) {
        self.log_mut().raise_largest(largest);
    }

    /// What the slowest connection to a subscriber carries.
    pub(crate) fn narrowest(&self) -> &Narrowest {
        &self.narrowest
    }

    /// What subscribers want of the writer of this process.
    pub(crate) fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// Returns whom to wake when the first reader comes or the last one goes.
    pub(crate) fn audience(&self) -> &AtomicWaker {
        &self.audience
    }

    /// Tells those who wait that nobody will publish.
    pub(crate) fn refuse(&self, error: RequestError) {
        self.push(Item::Refused(error));
    }

    /// Returns the publisher of now and the largest location.
    pub(crate) fn status(&self) -> (Option<Arc<Live>>, Option<Location>) {
        let log = self.log();
        (log.live().cloned(), log.largest())
    }

    pub(crate) fn log(&self) -> RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds a reader. Returns the position at which its cursor begins, and the publisher and the largest location
    /// before that position.
    pub(crate) fn attach(
        self: &Arc<Self>,
        key: ReaderKey,
        tap: Tap,
    ) -> (u64, Option<Arc<Live>>, Option<Location>) {
        self.meters.subscriptions.up();
        let mut readers = self.readers_mut();
        if readers.count() == 0 {
            self.audience.wake();
        }
        match tap {
            Tap::Local(tap) => readers.local.push((key, tap)),
            Tap::Session(hub, tap) => {
                let outlets = &mut readers.outlets;
                match outlets.iter().find(|outlet| outlet.leads_to(&hub)) {
                    Some(outlet) => outlet.add(tap),
                    None => {
                        let end = self.log().end();
                        let outlet = Outlet::new(Arc::downgrade(self), hub, end);
                        outlet.add(tap);
                        outlets.push(Arc::new(outlet));
                    }
                }
            }
        }
        // Later than the outlet's, if anything: what comes between is heard by those before.
        let log = self.log();
        (log.end(), log.live().cloned(), log.largest())
    }

    /// Returns what is kept for those who come late.
    pub(crate) fn cache(&self) -> &Arc<Mutex<Cache>> {
        &self.cache
    }

    /// Removes a reader and returns how many are left.
    pub(crate) fn detach(&self, key: ReaderKey) -> usize {
        let mut readers = self.readers_mut();
        let local = readers.local.iter().position(|(other, _)| *other == key);
        let found = match local {
            Some(index) => {
                readers.local.swap_remove(index);
                true
            }
            None => readers.outlets.iter().any(|outlet| outlet.remove(key)),
        };
        if found {
            readers.outlets.retain(|outlet| outlet.len() > 0);
            self.meters.subscriptions.down();
            if readers.count() == 0 {
                self.audience.wake();
            }
        }
        readers.count()
    }

    /// Whether sessions hear it.
    fn has_outlets(&self) -> bool {
        !self.readers_mut().outlets.is_empty()
    }

    pub(crate) fn readers(&self) -> usize {
        self.readers_mut().count()
    }

    /// Counts an object of this many payload bytes.
    pub(crate) fn count(&self, payload_bytes: usize) {
        self.meters.objects_in.add(1);
        self.meters.bytes_in.add(payload_bytes as u64);
        self.traffic.objects.fetch_add(1, Ordering::Relaxed);
        self.traffic
            .bytes
            .fetch_add(payload_bytes as u64, Ordering::Relaxed);
    }

    /// Returns what an operator sees.
    pub(crate) fn view(&self, publishers: usize) -> TrackView {
        let (entries, bytes, groups, largest) = {
            let log = self.log();
            (log.len(), log.bytes(), log.groups(), log.largest())
        };
        let [objects, object_bytes] = self.traffic.total();
        TrackView {
            name: self.name.clone(),
            publishers,
            subscribers: self.readers(),
            groups,
            entries,
            bytes,
            largest,
            objects_total: objects,
            bytes_total: object_bytes,
            objects_per_second: self.traffic.objects_rate.load(Ordering::Relaxed),
            bytes_per_second: self.traffic.bytes_rate.load(Ordering::Relaxed),
        }
    }

    /// Forgets what is too old, for tracks on which nothing happens any more; called every second.
    pub(crate) fn trim(&self) {
        self.traffic.tick();
        let now = std::time::Instant::now();
        lock(&self.cache).trim(now);
        let empty = {
            let mut log = self.log_mut();
            log.trim(&self.limits, now);
            log.len() == 0
        };
        if empty {
            self.intake().sheet = Sheet::default();
        }
    }

    /// Nothing will be added to what the publisher sent.
    pub(crate) fn complete(&self) {
        lock(&self.cache).is_over();
    }

    /// An object says what does not exist before it.
    fn skipped(&self, location: Location, properties: &ObjectProperties) {
        if properties.prior_group_gap.is_some() || properties.prior_object_gap.is_some() {
            lock(&self.cache).skipped(location, properties);
        }
    }

    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn next_subgroup(&self) -> u64 {
        self.subgroups.fetch_add(1, Ordering::Relaxed)
    }

    fn push(&self, item: Item) {
        let mut cache = lock(&self.cache);
        let mut log = self.log_mut();
        cache.keep(&item, log.end(), std::time::Instant::now());
        log.push(item, &self.limits);
        drop(log);
        drop(cache);
        self.budget.enforce();
        let readers = self.readers_mut();
        for outlet in &readers.outlets {
            outlet.ring();
        }
        for (_, tap) in &readers.local {
            tap.ring();
        }
    }

    fn log_mut(&self) -> RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(|e| e.into_inner())
    }

    fn readers_mut(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Readers {
    fn count(&self) -> usize {
        let sessions: usize = self.outlets.iter().map(|outlet| outlet.len()).sum();
        sessions + self.local.len()
    }
}

/// What has come in on a track.
#[derive(Default)]
struct Traffic {
    objects: AtomicU64,
    bytes: AtomicU64,
    /// The two above at the last tick.
    last: Mutex<[u64; 2]>,
    objects_rate: AtomicU64,
    bytes_rate: AtomicU64,
}

impl Traffic {
    fn total(&self) -> [u64; 2] {
        [&self.objects, &self.bytes].map(|count| count.load(Ordering::Relaxed))
    }

    /// A second is over.
    fn tick(&self) {
        let now = self.total();
        let before = std::mem::replace(
            &mut *self.last.lock().unwrap_or_else(|e| e.into_inner()),
            now,
        );
        self.objects_rate
            .store(now[0] - before[0], Ordering::Relaxed);
        self.bytes_rate.store(now[1] - before[1], Ordering::Relaxed);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Drop for Track {
    fn drop(&mut self) {
        self.meters.tracks.down();
    }
}
