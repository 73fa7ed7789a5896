//! FETCH: what was said a moment ago.

use moqrelay_moqt::data::{FetchCheck, FetchHeader, FetchItem};
use moqrelay_moqt::{
    DecodeError, FetchOptions, FetchRange, GroupOrder, Location, Parameters, RequestId, ResetCode,
};

use super::inbound::Stream;
use super::track::{Past, PastStream};
use super::{CallError, Client, Kind, Record, Track, refused};

/// [`Kind::Ended`]: all that the relay still has was delivered.
const COMPLETE: u64 = 0;

impl Client {
    /// Asks for the objects `from` to `last` of a track that comes in as `of`. They are told as
    /// [`Kind::Packet`] of `key`, the oldest first; then [`Kind::Ended`] with code 0. Otherwise
    /// [`Kind::Refused`], or [`Kind::Ended`] with another code.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; invalid when `last` is before `from`.
    pub fn fetch(
        &mut self,
        key: u32,
        of: u32,
        from: Location,
        last: Location,
    ) -> Result<(), CallError> {
        self.room_for(key)?;
        let Some(Track::In(incoming)) = self.tracks.get(&of) else {
            return Err(CallError::Unknown);
        };
        if last < from {
            return Err(CallError::Invalid);
        }
        let (named, timescale) = (incoming.named.clone(), incoming.timescale);
        let end = last.end_after();
        let params = Parameters {
            authorization: named.authorization(),
            group_order: Some(GroupOrder::Ascending),
            ..Parameters::default()
        };
        let range = FetchRange::Standalone {
            track: named.name.clone(),
            start: from,
            end,
        };
        let request = self
            .session
            .fetch(range, FetchOptions { params })
            .map_err(refused)?;
        let past = Past {
            request,
            named,
            timescale,
            check: FetchCheck::new(GroupOrder::Ascending, Some(from), Some(end)),
            accepted: false,
            stream: PastStream::Awaited,
        };
        self.remember(key, request, Track::Past(past));
        Ok(())
    }

    /// Gives a FETCH up.
    pub(super) fn end_past(&mut self, past: &Past, code: ResetCode) {
        // It may have ended by itself a moment ago.
        self.session.cancel(past.request, code).ok();
        if let PastStream::Open(stream) = past.stream {
            self.stop(stream);
        }
    }

    /// Hands on the objects of a stream that answers a FETCH.
    pub(super) fn deliver_past(&mut self, id: u32) -> Result<(), DecodeError> {
        loop {
            let Some(Stream::Fetch(fetch)) = self.inbound.streams.get_mut(&id) else {
                return Ok(());
            };
            let item = fetch.item()?;
            let finished = item.is_none() && fetch.is_finished();
            let Some(header) = fetch.header() else {
                return Ok(());
            };
            let key = self.requests.get(&header.id).copied();
            let Some((key, Track::Past(past))) =
                key.and_then(|key| Some((key, self.tracks.get_mut(&key)?)))
            else {
                self.stop(id);
                return Ok(());
            };
            past.stream = PastStream::Open(id);
            let Some(item) = item else {
                if finished {
                    past.stream = PastStream::Ended;
                    self.inbound.streams.remove(&id);
                    self.complete(key);
                }
                return Ok(());
            };
            if let Err(fault) = past.check.check(&item) {
                self.malformed(key, &fault.to_string());
                return Ok(());
            }
            if let FetchItem::Object(object) = item {
                let timescale = past.timescale;
                let (place, properties) = (object.location, object.properties);
                self.packet(key, timescale, place, &properties, object.payload);
            }
        }
    }

    /// The relay reset the stream that answers a FETCH.
    pub(super) fn past_reset(&mut self, header: Option<FetchHeader>, code: u32) {
        let key = header.and_then(|header| self.requests.get(&header.id).copied());
        let Some(key) = key.filter(|key| matches!(self.tracks.get(key), Some(Track::Past(_))))
        else {
            return;
        };
        if let Some(Track::Past(past)) = self.forget(key) {
            self.session.cancel(past.request, ResetCode::Cancelled).ok();
            let code = u64::from(code.max(1)); // 0 stands for a whole answer.
            self.records
                .push_back(Record::new(Kind::Ended, key).code(code));
        }
    }

    /// The relay accepted a FETCH.
    pub(super) fn fetch_accepted(&mut self, id: RequestId, end: Location) {
        let Some(&key) = self.requests.get(&id) else {
            return;
        };
        if let Some(Track::Past(past)) = self.tracks.get_mut(&key) {
            past.accepted = true;
            past.check.set_end(end);
            self.complete(key);
        }
    }

    /// Ends a FETCH once both halves of its answer are there.
    fn complete(&mut self, key: u32) {
        let Some(Track::Past(past)) = self.tracks.get(&key) else {
            return;
        };
        if !past.accepted || past.stream != PastStream::Ended {
            return;
        }
        self.session.finish_fetch(past.request).ok();
        self.forget(key);
        self.records
            .push_back(Record::new(Kind::Ended, key).code(COMPLETE));
    }

    /// What the relay answers is not what was asked for.
    fn malformed(&mut self, key: u32, reason: &str) {
        let Some(Track::Past(past)) = self.forget(key) else {
            return;
        };
        self.end_past(&past, ResetCode::MalformedTrack);
        let code = ResetCode::MalformedTrack.to_code(self.draft);
        let record = Record::new(Kind::Ended, key)
            .code(code)
            .bytes(reason.to_owned());
        self.records.push_back(record);
    }
}
