//! Subscribing from within the process.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

use moqrelay_moqt::FullTrackName;

use super::{Ending, Entry, Info, Item, LocalTap, Object, ReaderKey, Tap, Track};
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
    state: Option<Attached>,
    events: VecDeque<Event>,
    batch: Vec<Arc<Entry>>,
}

struct Attached {
    track: Arc<Track>,
    cursor: u64,
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
    pub(crate) fn new(shared: Shared, name: FullTrackName, key: ReaderKey) -> Self {
        let mut reader = Self {
            shared,
            name,
            key,
            tap: Arc::default(),
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
        while self.events.is_empty() && self.fill() {}
        self.events.pop_front()
    }

    /// The poll form of [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.tap.register(cx.waker());
        match self.try_next() {
            Some(event) => Poll::Ready(Some(event)),
            None if self.state.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn attach(&mut self) {
        let subscribed =
            self.shared
                .subscribe_local(&self.name, self.key, Tap::Local(self.tap.clone()));
        self.state = subscribed.map(|(track, cursor, live)| {
            if let Some(live) = live {
                self.events.push_back(Event::Began(live.info()));
            }
            Attached { track, cursor }
        });
    }

    /// Takes what the log has; false when it had nothing.
    fn fill(&mut self) -> bool {
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
            self.events.push_back(Event::Lost { entries: lost });
        }
        let any = lost > 0 || !self.batch.is_empty();
        let mut ended = false;
        for entry in self.batch.drain(..) {
            let event = match &entry.item {
                Item::Began(live) => Event::Began(live.info()),
                Item::Datagram { object, .. } => Event::Object(object.clone()),
                Item::Object(sub) => Event::Object(Object {
                    group: sub.subgroup.group,
                    subgroup: Some(sub.subgroup.id),
                    id: sub.object.id,
                    priority: sub.subgroup.priority,
                    status: sub.object.status,
                    end_of_group: false,
                    properties: sub.object.properties.clone(),
                    payload: sub.object.payload.clone(),
                }),
                Item::Closed { .. } | Item::Refused(_) => continue,
                Item::Ended(ending) => {
                    ended = true;
                    Event::Ended(ending.clone())
                }
            };
            self.events.push_back(event);
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
