//! Carries out what the switchboard has decided.

use std::{collections::BTreeSet, time::Instant};

use moqrelay_bridge::{self as bridge, ari, leg::Tone};
use moqrelay_relay::Rights;
use moqrelay_room::{
    CallId, CallRecord, Cause, Digit, Input, LegId, Output, ParticipantId, Route, Service,
    TransferProgress, TrunkName, UserId,
};
use uuid::Uuid;

use super::{
    ATTACH_TIMEOUT, Driver, Road, Staying,
    words::{millis, place, to_ari, to_bridge, to_lamp, to_wire, told, told_ari, word},
};
use crate::services;

impl Driver {
    /// Carries out everything the switchboard has decided.
    pub(super) fn carry_out(&mut self) {
        let mut ended = Vec::new();
        while let Some(output) = self.board.poll_output() {
            match output {
                Output::Ended(record) => ended.push(record),
                other => self.output(other),
            }
        }
        // Now it is known which of their legs go on in other calls.
        for record in ended {
            log_ended(&record);
            let legs = &self.legs;
            self.ledger
                .ended(record, &|leg| legs.contains_key(&leg), Instant::now());
        }
        self.carry_out_rooms();
        let counts = self.board.counts();
        self.shown
            .counts
            .send_if_modified(|old| std::mem::replace(old, counts) != counts);
        if self.retired {
            let names = |users: BTreeSet<UserId>| users.iter().map(ToString::to_string).collect();
            let mut in_calls: BTreeSet<String> = names(self.board.users_in_calls());
            in_calls.extend(self.users_in_rooms());
            let staying = Some(Staying {
                in_calls,
                unanswered: names(self.board.users_unanswered()),
            });
            self.shown
                .staying
                .send_if_modified(|old| match *old == staying {
                    true => false,
                    false => {
                        *old = staying;
                        true
                    }
                });
        }
    }

    pub(super) fn output(&mut self, output: Output) {
        match output {
            Output::Notify { device, event } => self.control.notify(device, event),
            Output::Forget(device) => {
                self.room_device_gone(device);
                self.control.forget(device);
            }
            Output::Dial {
                leg,
                call,
                participant,
                route,
                from,
                diverted,
            } => {
                let caller = ari::Caller {
                    name: Some(from.name),
                    number: from.number,
                    sent_on: diverted.map(services::sent_on),
                };
                self.dial(leg, call, participant, &route, caller);
            }
            Output::StartService {
                leg,
                service,
                call,
                participant,
            } => {
                self.start_service(leg, service, call, participant);
            }
            Output::Ring(leg) => self.with_ari(leg, |ari, _| ari.ring(to_ari(leg))),
            Output::Answer(leg) => self.with_ari(leg, |ari, uuid| ari.answer(to_ari(leg), uuid)),
            Output::PlayRingback(leg) => {
                told(self.bridge.play(self.to_bridge(leg), Tone::Ringback));
            }
            Output::StopTone(leg) => told(self.bridge.stop_tone(self.to_bridge(leg))),
            // A telephone without ARI hears silence.
            Output::PlayMusic(leg) => self.with_ari(leg, |ari, _| ari.hold(to_ari(leg))),
            Output::StopMusic(leg) => self.with_ari(leg, |ari, _| ari.resume(to_ari(leg))),
            Output::Move {
                leg,
                call,
                participant,
            } => self.move_leg(leg, call, participant),
            Output::Transfer { leg, progress } => {
                let progress = match progress {
                    TransferProgress::Ringing => ari::TransferProgress::Ringing,
                    TransferProgress::Answered => ari::TransferProgress::Answered,
                    TransferProgress::Failed(cause) => {
                        ari::TransferProgress::Failed(to_wire(cause))
                    }
                };
                self.with_ari(leg, |ari, _| ari.transfer(to_ari(leg), progress));
            }
            Output::Left { room, participant } => {
                if let Some(place) = place(room, participant) {
                    let until = self.control.tokens_end();
                    self.rooms.revoke(&place, Rights::Nothing, until);
                }
            }
            Output::Listen {
                leg,
                room,
                participant,
            } => {
                if let Some(place) = place(room, participant) {
                    told(
                        self.bridge
                            .listen(self.to_bridge(leg), place.audio().clone()),
                    );
                }
                // A media WebSocket without ARI rings until we say this; AudioSocket takes no notice.
                if let Some(Road::AudioSocket(named)) = self.legs.get(&leg) {
                    told(self.bridge.answer(*named));
                }
            }
            Output::Unlisten {
                leg,
                room,
                participant,
            } => {
                if let Some(place) = place(room, participant) {
                    told(
                        self.bridge
                            .unlisten(self.to_bridge(leg), place.audio().clone()),
                    );
                }
            }
            Output::SendDigits { leg, digits } => self.send_digits(leg, &digits),
            Output::Lamp { line, lamp } => {
                if let Some(ari) = &self.ari {
                    told_ari(ari.lamp(&line, to_lamp(lamp)));
                }
            }
            Output::Mailbox { line, watched } => {
                if let Some(ari) = &self.ari {
                    told_ari(ari.mailbox(&line, watched));
                }
            }
            Output::Keep { user, rules } => {
                if let Some(keeper) = &mut self.rules {
                    keeper.keep(user, rules);
                }
            }
            Output::HangUp { leg, cause } => self.hang_up(leg, cause),
            // Kept back by the caller.
            Output::Ended(_) => {}
        }
    }

    fn move_leg(&self, leg: LegId, call: CallId, participant: ParticipantId) {
        let Some(place) = place(call, participant) else {
            return;
        };
        tracing::info!(%leg, %call, %participant, "the leg goes on in another call");
        told(self.bridge.join(self.to_bridge(leg), place));
    }

    /// ARI sends digits as they should be; a leg without it gets them as tones in its sound.
    fn send_digits(&self, leg: LegId, digits: &[Digit]) {
        let digits = digits.iter().copied().map(Digit::as_char);
        match self.legs.get(&leg) {
            Some(Road::Ari { .. }) => {
                self.with_ari(leg, |ari, _| {
                    ari.dtmf(to_ari(leg), &digits.collect::<String>())
                });
            }
            Some(Road::AudioSocket(named)) => {
                told(self.bridge.send_digits(*named, digits.collect()));
            }
            Some(Road::Service) | None => {}
        }
    }

    pub(super) fn begin(&mut self, leg: LegId, road: Road) {
        self.ledger.begin(leg);
        self.legs.insert(leg, road);
    }

    pub(super) fn dial(
        &mut self,
        leg: LegId,
        call: CallId,
        participant: ParticipantId,
        route: &Route,
        caller: ari::Caller,
    ) {
        let Some(ari) = self.ari.clone() else {
            return self.handle(Input::LegEnded {
                leg,
                cause: Cause::Unreachable,
            });
        };
        let (number, trunk) = (&route.number, route.trunk.as_ref());
        let trunk = trunk.map(TrunkName::as_str);
        let from = caller.number.as_deref();
        tracing::info!(%call, %leg, %number, trunk, from, "a telephone is dialled");
        let uuid = Uuid::new_v4();
        self.begin(leg, Road::Ari { uuid });
        if let Some(trunk) = trunk {
            self.ledger.goes_by(leg, trunk);
            metrics::counter!("moqrelay_trunk_calls_total", "trunk" => trunk.to_owned())
                .increment(1);
        }
        self.expect(leg, uuid, call, participant, self.ari_rate, ATTACH_TIMEOUT);
        self.process(to_bridge(leg), Some(number.as_str()), None);
        if let Err(error) = ari.dial(to_ari(leg), number.as_str(), trunk, caller, uuid) {
            tracing::warn!(%call, %leg, %error, "the telephone is not dialled");
            self.forget_leg(leg);
            self.handle(Input::LegEnded {
                leg,
                cause: Cause::Failed,
            });
        }
    }

    fn start_service(
        &mut self,
        leg: LegId,
        service: Service,
        call: CallId,
        participant: ParticipantId,
    ) {
        let service = match service {
            Service::Echo => bridge::Service::Echo,
            Service::Milliwatt => bridge::Service::Milliwatt,
        };
        let Some(place) = place(call, participant) else {
            return;
        };
        self.begin(leg, Road::Service);
        told(
            self.bridge
                .start_service(to_bridge(leg), service, place, None),
        );
    }

    pub(super) fn hang_up(&mut self, leg: LegId, cause: Cause) {
        match self.legs.get(&leg) {
            Some(Road::Ari { .. }) => {
                if let Some(ari) = &self.ari {
                    told_ari(ari.hang_up(to_ari(leg), to_wire(cause)));
                }
                told(self.bridge.hang_up(to_bridge(leg)));
            }
            Some(Road::AudioSocket(named)) => {
                told(self.bridge.hang_up(*named));
            }
            Some(Road::Service) => told(self.bridge.hang_up(to_bridge(leg))),
            None => {}
        }
        self.legs.remove(&leg);
    }

    pub(super) fn forget_leg(&mut self, leg: LegId) {
        if let Some(Road::Ari { .. }) = self.legs.remove(&leg) {
            told(self.bridge.hang_up(to_bridge(leg)));
        }
    }

    pub(super) fn with_ari(
        &self,
        leg: LegId,
        act: impl FnOnce(&ari::Handle, Uuid) -> Result<(), ari::CommandRefused>,
    ) {
        if let (Some(Road::Ari { uuid }), Some(ari)) = (self.legs.get(&leg), &self.ari) {
            told_ari(act(ari, *uuid));
        }
    }

    pub(super) fn to_bridge(&self, leg: LegId) -> bridge::LegId {
        match self.legs.get(&leg) {
            Some(Road::AudioSocket(named)) => *named,
            _ => to_bridge(leg),
        }
    }

    pub(super) fn to_room(&self, leg: bridge::LegId) -> LegId {
        self.by_bridge.get(&leg).copied().unwrap_or(LegId(leg.0))
    }
}

/// The story of a call ends with this line.
fn log_ended(record: &CallRecord) {
    tracing::info!(
        call = %record.call,
        from = record.from.id,
        to = record.to.id,
        cause = ?record.cause,
        ended_by = record.ended_by.map(|by| by.to_string()),
        went_on_in = record.went_on_in.map(|call| call.to_string()),
        rang_ms = record.rang.map(|at| millis(at - record.started)),
        answered_ms = record.answered.map(|at| millis(at - record.started)),
        talked_s = record.talked().as_secs_f32(),
        "the call has ended"
    );
    for leg in &record.legs {
        tracing::info!(
            call = %record.call,
            participant = %leg.participant,
            party = leg.party.id,
            leg = leg.leg.map(|leg| leg.to_string()),
            began_ms = millis(leg.began - record.started),
            talked_s = leg.talked().as_secs_f32(),
            cause = ?leg.cause,
            "a leg's part has ended"
        );
    }
    metrics::counter!("moqrelay_calls_ended_total", "cause" => word(record.cause)).increment(1);
    if let Some(answered) = record.answered {
        metrics::histogram!("moqrelay_call_answer_seconds")
            .record((answered - record.started).as_secs_f64());
    }
}
