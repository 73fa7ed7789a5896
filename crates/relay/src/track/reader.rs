//! Subscribing from within the process.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use moqrelay_moqt::{FullTrackName, Location};

use super::{Ending, Entry, Info, Item, LocalTap, Object, ReaderKey, Tap, Track, lock};
use crate::table::Shared;

/// Entries taken from the log at a time: a second of voice, so that the lock is held briefly.
const BATCH: usize = 64;

/// Hears one track, through all publishers that come and go.
///
/// It may be made before anyone publishes the track; when only its namespace is published, the
/// publisher is asked for the track. Dropping it ends that.
pub struct Reader {
    shared: Shared,
    name: FullTrackName,
    key: ReaderKey,
    tap: Arc<LocalTap>,
    start: Start,
    state: Option<Attached>,
    /// When the relay had each, and what it was.
    events: VecDeque<(Instant, Event)>,
    batch: Vec<Arc<Entry>>,
}

struct Attached {
    track: Arc<Track>,
    cursor: u64,
    past: Option<Past>,
}

/// What is still to be taken from the cache.
struct Past {
    from: Location,
    /// Where the log goes on.
    until: u64,
}

/// Where a reader of a track that is being published begins, as far as the cache has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With what comes next.
    #[default]
    Now,
    /// At the beginning of the group so many groups before the newest one; 0: at the beginning of that.
    Groups(usize),
    /// At the beginning of the group that was being published so long ago.
    Ago(Duration),
}

/// What a reader hears.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A publisher began, or another one took over.
    Began(Info),
    /// An object, in the order in which the relay received them.
    Object(Object),
    /// The reader fell behind: so many entries of the track, objects mostly, are gone.
    Lost {
        /// How many.
        entries: u64,
    },
    /// The publisher ended the track or vanished. Another one may begin later.
    Ended(Ending),
}

impl Reader {
    pub(crate) fn new(shared: Shared, name: FullTrackName, key: ReaderKey, start: Start) -> Self {
        let mut reader = Self {
            shared,
            name,
            key,
            tap: Arc::default(),
            start,
            state: None,
            events: VecDeque::new(),
            batch: Vec::new(),
        };
        reader.attach();
        reader
    }

    /// Returns the track's name.
    pub fn name(&self) -> &FullTrackName {
        &self.name
    }

    /// Waits for what happens next. `None`: the relay keeps too many tracks to follow this one.
    ///
    /// Cancel safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Returns what has happened already, without waiting.
    pub fn try_next(&mut self) -> Option<Event> {
        self.try_next_at().map(|(_, event)| event)
    }

    /// Returns what has happened already and when the relay had it, without waiting: for those who look at a pace of
    /// their own and need not be woken.
    pub fn try_next_at(&mut self) -> Option<(Instant, Event)> {
        while self.events.is_empty() && self.fill() {}
        self.events.pop_front()
    }

    /// Returns whether the track is followed; if not, the relay keeps too many tracks.
    pub fn is_attached(&self) -> bool {
        self.state.is_some()
    }

    /// The poll form of [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.tap.register(cx.waker());
        match self.try_next() {
            Some(event) => Poll::Ready(Some(event)),
            None if !self.is_attached() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn attach(&mut self) {
        let subscribed =
            self.shared
                .subscribe_local(&self.name, self.key, Tap::Local(self.tap.clone()));
        // Only what the reader was made for has a past: who publishes the track later begins anew.
        let start = std::mem::take(&mut self.start);
        self.state = subscribed.map(|(track, cursor, live)| {
            let mut past = None;
            if let Some(live) = live {
                let began = Event::Began(live.info());
                self.events.push_back((Instant::now(), began));
                let from = beginning(&track, start);
                past = from.map(|from| Past {
                    from,
                    until: cursor,
                });
            }
            Attached {
                track,
                cursor,
                past,
            }
        });
    }

    /// Takes what the cache has; false when it has nothing more.
    fn fill_from_past(&mut self) -> bool {
        let Some(attached) = &mut self.state else {
            return false;
        };
        let Some(Past { from, until }) = attached.past.take() else {
            return false;
        };
        let mut objects = Vec::new();
        let next = lock(attached.track.cache()).replay(from, until, BATCH, &mut objects);
        attached.past = next.map(|from| Past { from, until });
        let now = Instant::now();
        let events = objects
            .into_iter()
            .map(|object| (now, Event::Object(object)));
        self.events.extend(events);
        true
    }

    /// Takes what the log has; false when it had nothing.
    fn fill(&mut self) -> bool {
        if self.fill_from_past() {
            return true;
        }
        let Some(attached) = &mut self.state else {
            self.attach();
            return self.state.is_some();
        };
        self.tap.silence();
        let lost = attached
            .track
            .log()
            .read(&mut attached.cursor, BATCH, &mut self.batch);
        if lost > 0 {
            let now = Instant::now();
            self.events.push_back((now, Event::Lost { entries: lost }));
        }
        let any = lost > 0 || !self.batch.is_empty();
        let mut ended = false;
        for entry in self.batch.drain(..) {
            let event = match &entry.item {
                Item::Began(live) => Event::Began(live.info()),
                Item::Datagram { object, .. } => Event::Object(object.clone()),
                Item::Object(sub) => Event::Object(sub.to_object()),
                Item::Closed { .. } | Item::Refused(_) => continue,
                Item::Ended(ending) => {
                    ended = true;
                    Event::Ended(ending.clone())
                }
            };
            self.events.push_back((entry.at, event));
        }
        if ended {
            self.detach();
            self.attach();
        }
        any
    }

    fn detach(&mut self) {
        if let Some(attached) = self.state.take() {
            self.shared.unsubscribe(&attached.track, self.key);
        }
    }
}

/// Returns where the past of a reader begins, if it has any.
fn beginning(track: &Track, start: Start) -> Option<Location> {
    match start {
        Start::Now => None,
        Start::Groups(count) => lock(track.cache()).groups_back(count),
        Start::Ago(time) => {
            let now = Instant::now();
            // Longer ago than the clock knows: everything.
            let then = now.checked_sub(time);
            let cache = lock(track.cache());
            then.map_or_else(|| cache.groups_back(usize::MAX), |then| cache.since(then))
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.detach();
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reader").field(&self.name).finish()
    }
}
