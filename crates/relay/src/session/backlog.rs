//! What a connection does not carry as fast as it comes: the newest voice is kept.
//!
//! Datagrams that the connection holds cannot be taken back, so it is given no more than it carries
//! in a moment. The rest waits here, where the oldest can be dropped: voice that is late is worth
//! nothing, and whoever plays it plays it late from then on.

use std::{
    collections::VecDeque,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Driver, Due, gauge::Gauge};
use crate::{stats::Dropped, track::Track};

/// Bytes that may wait in the connection, whatever it carries: two packets.
const ALWAYS: usize = 2_500;

/// What a connection carries in this time may wait in it: less than the jitter buffer of whoever
/// listens can bridge.
const AHEAD: Duration = Duration::from_millis(50);

/// How often a backlog is looked at: half a frame of voice.
const TICK: Duration = Duration::from_millis(10);

/// How often the send window is fitted to what the connection carries.
const FITTED_FOR: Duration = Duration::from_millis(200);

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) objects: usize,
    pub(super) bytes: usize,
}

/// Datagrams that wait for their connection, the oldest first.
#[derive(Default)]
pub(super) struct Backlog {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// What waits for streams.
    streams: Amount,
    /// What who looks from outside was told.
    shown: Amount,
    /// When the send window was fitted.
    fitted: Option<Instant>,
    gauge: Gauge,
}

/// An object that waits.
struct Waiting {
    /// Since when the relay has it.
    at: Instant,
    datagram: Bytes,
    payload: usize,
}

impl Driver {
    /// Sends an object that the relay has had since `at`, now or when the connection has room.
    pub(super) fn send_voice(&mut self, at: Instant, datagram: Bytes, payload: usize) {
        if self.backlog.waiting.is_empty() {
            if self.has_room(datagram.len()) {
                return self.hand_over(datagram, payload);
            }
            self.timers.set(Instant::now() + TICK, Due::Backlog);
        }
        self.backlog.bytes += datagram.len();
        self.backlog.waiting.push_back(Waiting {
            at,
            datagram,
            payload,
        });
        while self.backlog.bytes > self.limits.datagram_backlog_bytes {
            self.drop_oldest();
        }
    }

    /// Sends what there is room for now, and drops what has become too old.
    pub(super) fn look_at_backlog(&mut self, now: Instant) {
        while let Some(Waiting { at, datagram, .. }) = self.backlog.waiting.front() {
            if now.saturating_duration_since(*at) > self.limits.datagram_age {
                self.drop_oldest();
                continue;
            }
            if !self.has_room(datagram.len()) {
                self.timers.set(now + TICK, Due::Backlog);
                return;
            }
            if let Some(first) = self.backlog.waiting.pop_front() {
                self.backlog.bytes -= first.datagram.len();
                self.hand_over(first.datagram, first.payload);
            }
        }
    }

    /// Streams are blocked: what the connection holds of them is not to grow beyond what it
    /// carries, for it would go out before anything newer.
    pub(super) fn fit_window(&mut self) {
        let now = Instant::now();
        let fits = |fitted: Instant| now.saturating_duration_since(fitted) < FITTED_FOR;
        if !self.backlog.fitted.is_some_and(fits) {
            self.backlog.fitted = Some(now);
            self.transport.fit_window(self.limits.send_window);
        }
    }

    /// Tells the publisher of a track what the connection carries, where that is known.
    pub(super) fn tell_bandwidth(&mut self, track: &Track) {
        let now = Instant::now();
        if self.backlog.gauge.is_due(now)
            && let Some(sample) = self.transport.sample()
        {
            self.backlog.gauge.look(sample, now);
        }
        if let Some(bytes) = self.backlog.gauge.estimate() {
            track.narrowest().tell(bytes);
        }
    }

    /// What waits for a stream has changed.
    pub(super) fn count_stream(&mut self, before: Amount, now: Amount) {
        let streams = &mut self.backlog.streams;
        streams.objects = (streams.objects + now.objects).saturating_sub(before.objects);
        streams.bytes = (streams.bytes + now.bytes).saturating_sub(before.bytes);
    }

    /// Shows who looks from outside what waits.
    pub(super) fn show_backlog(&mut self) {
        let Backlog {
            waiting,
            bytes,
            streams,
            shown,
            ..
        } = &mut self.backlog;
        let now = Amount {
            objects: waiting.len() + streams.objects,
            bytes: *bytes + streams.bytes,
        };
        if *shown != now {
            *shown = now;
            let levels = &self.card.levels;
            levels.waiting_objects.store(now.objects as u64, Relaxed);
            levels.waiting_bytes.store(now.bytes as u64, Relaxed);
        }
    }

    fn hand_over(&mut self, datagram: Bytes, payload: usize) {
        if self.transport.send_datagram(datagram) {
            self.tally.sent += 1;
            self.tally.sent_bytes += payload as u64;
        } else {
            self.tally.drop(Dropped::Unsendable, 1);
        }
    }

    fn has_room(&self, len: usize) -> bool {
        let most = self.limits.datagram_send_bytes;
        let waiting = most.saturating_sub(self.transport.datagram_room());
        waiting + len <= ALWAYS || waiting + len <= self.transport.carries_in(AHEAD).min(most)
    }

    fn drop_oldest(&mut self) {
        if let Some(first) = self.backlog.waiting.pop_front() {
            self.backlog.bytes -= first.datagram.len();
            self.tally.drop(Dropped::Slow, 1);
        }
    }
}
