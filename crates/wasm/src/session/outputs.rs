//! What the machine wants and what it tells, as records.

use core::time::Duration;

use bytes::Bytes;
use moqrelay_moqt::{
    Direction, Event, Output, Parameters, RequestCode, RequestError, RequestId, RequestOk,
    ResetCode, TrackAlias,
};
use moqrelay_wire::audio_object::Properties;

use super::{Client, Kind, Record, Track, control_number};

impl Client {
    pub(super) fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Open(id, Direction::Bi) => {
                    self.push(Record::new(Kind::OpenBi, control_number(id)))
                }
                Output::Open(id, Direction::Uni) => {
                    self.push(Record::new(Kind::OpenUni, control_number(id)))
                }
                Output::Write(id, bytes) => {
                    self.push(Record::new(Kind::Write, control_number(id)).bytes(bytes));
                }
                Output::Finish(id) => self.push(Record::new(Kind::Finish, control_number(id))),
                Output::Reset(id, code) => {
                    let code = code.to_code(self.draft);
                    self.push(Record::new(Kind::Reset, control_number(id)).code(code));
                }
                Output::Stop(id, code) => {
                    let code = code.to_code(self.draft);
                    self.push(Record::new(Kind::Stop, control_number(id)).code(code));
                }
                Output::Close(code, reason) => {
                    let code = code.to_code(self.draft);
                    self.push(Record::new(Kind::Close, 0).code(code).bytes(reason));
                }
                Output::Event(event) => self.event(event),
            }
        }
    }

    fn push(&mut self, record: Record) {
        self.records.push_back(record);
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Setup(setup) => {
                let name = setup.implementation.unwrap_or_default();
                self.push(Record::new(Kind::Ready, 0).bytes(name));
            }
            Event::SubscribeOk {
                id,
                alias,
                properties,
                ..
            } => self.subscribed(id, alias, &properties),
            Event::Accepted { id, params, .. } => {
                if !self.pong(id) {
                    self.accepted(id, &params);
                }
            }
            Event::FetchOk { id, end, .. } => self.fetch_accepted(id, end),
            Event::Rejected { id, error } => {
                if !self.pong(id) {
                    self.rejected(id, error);
                }
            }
            Event::PublishDone {
                id, status, reason, ..
            } => {
                self.ended(id, status.to_code(self.draft), reason);
            }
            Event::Cancelled { id, code } => {
                let code = code.unwrap_or(ResetCode::Cancelled).to_code(self.draft);
                self.ended(id, code, "cancelled".into());
            }
            Event::Update { id, params, .. } => self.updated(id, &params),
            Event::GoAway { uri, timeout, .. } => {
                let record = Record::new(Kind::GoAway, 0).at(millis(timeout)).bytes(uri);
                self.push(record);
            }
            // What we have goes to the relay by PUBLISH; the machine refuses a second way itself.
            Event::Subscribe { id, .. } | Event::TrackStatus { id, .. } => {
                self.reject(id, RequestCode::DoesNotExist);
            }
            Event::Publish { id, .. } | Event::PublishNamespace { id, .. } => {
                self.reject(id, RequestCode::Uninterested);
            }
            Event::SubscribeNamespace { id, .. } => {
                // Some relays ask every client; accepting and naming nothing keeps them content.
                self.session.accept(id, RequestOk::default()).ok();
            }
            Event::Fetch { id, .. } | Event::SubscribeTracks { id, .. } => {
                self.reject(id, RequestCode::NotSupported);
            }
            Event::Updated { .. }
            | Event::UpdateRejected { .. }
            | Event::Namespace { .. }
            | Event::NamespaceDone { .. }
            | Event::PublishBlocked { .. }
            | Event::RequestGoAway { .. } => {}
        }
    }

    fn subscribed(&mut self, id: RequestId, alias: TrackAlias, properties: &Bytes) {
        let Some(&key) = self.requests.get(&id) else {
            return;
        };
        let Some(Track::In(incoming)) = self.tracks.get_mut(&key) else {
            return;
        };
        incoming.alias = Some(alias);
        incoming.timescale = Properties::decode(properties)
            .ok()
            .and_then(|read| read.timescale);
        self.retired.retain(|old| *old != alias);
        self.aliases.insert(alias, key);
        self.push(Record::new(Kind::Live, key));
        self.deliver_all();
    }

    fn accepted(&mut self, id: RequestId, params: &Parameters) {
        let Some(&key) = self.requests.get(&id) else {
            return;
        };
        if let Some(Track::Out(outgoing)) = self.tracks.get_mut(&key) {
            outgoing.forward = params.forward.unwrap_or(true);
            let idle = !outgoing.forward;
            self.push(Record::new(Kind::Live, key));
            if idle {
                self.push(Record::new(Kind::Idle, key));
            }
            self.new_group(key, params);
        }
    }

    /// Subscribers of a track of ours want a new group.
    fn new_group(&mut self, key: u32, params: &Parameters) {
        if let Some(group) = params.new_group_request {
            self.push(Record {
                group,
                ..Record::new(Kind::NewGroup, key)
            });
        }
    }

    /// The relay changes the subscription to a track of ours.
    fn updated(&mut self, id: RequestId, params: &Parameters) {
        if let Some(&key) = self.requests.get(&id)
            && let Some(Track::Out(outgoing)) = self.tracks.get_mut(&key)
        {
            let before = outgoing.forward;
            outgoing.forward = params.forward.unwrap_or(before);
            match (before, outgoing.forward) {
                // Someone listens now: what is sent only now and then is wanted.
                (false, true) => self.push(Record::new(Kind::Live, key)),
                (true, false) => self.push(Record::new(Kind::Idle, key)),
                (true, true) | (false, false) => {}
            }
            self.new_group(key, params);
        }
        self.session.accept_update(id, Parameters::default()).ok();
    }

    fn rejected(&mut self, id: RequestId, error: RequestError) {
        let Some(&key) = self.requests.get(&id) else {
            return;
        };
        self.lost(key);
        let record = Record::new(Kind::Refused, key)
            .code(error.code.to_code(self.draft))
            .at(error.retry.map_or(-1.0, millis))
            .bytes(error.reason);
        self.push(record);
    }

    fn ended(&mut self, id: RequestId, code: u64, reason: String) {
        self.pings.remove(&id);
        let Some(&key) = self.requests.get(&id) else {
            return;
        };
        self.lost(key);
        self.push(Record::new(Kind::Ended, key).code(code).bytes(reason));
    }

    /// Forgets a track that the relay ended.
    fn lost(&mut self, key: u32) {
        if let Some(Track::Out(mut outgoing)) = self.forget(key) {
            let last = outgoing.end_stream();
            self.carry_out(last);
        }
    }

    fn pong(&mut self, id: RequestId) -> bool {
        let Some(sent) = self.pings.remove(&id) else {
            return false;
        };
        let round_trip = millis(self.now.saturating_sub(sent));
        self.push(Record::new(Kind::Pong, 0).at(round_trip));
        true
    }

    fn reject(&mut self, id: RequestId, code: RequestCode) {
        // It fails only when the request is over already.
        self.session.reject(id, RequestError::new(code, "")).ok();
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
