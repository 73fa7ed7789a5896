//! The driver and ARI: what Asterisk tells.

use std::time::Instant;

use moqrelay_bridge::{ami, ari};
use moqrelay_room::{Arrival, Caller, Digit, Input, LegId, ParticipantId, Trunk, conference};
use uuid::Uuid;

use super::{
    ATTACH_TIMEOUT, Driver, Road,
    rooms::is_room_leg,
    words::{from_wire, new_call, to_ari, to_bridge, to_wire, told, told_ari, word},
};
use crate::services;

impl Driver {
    pub(super) fn ari_event(&mut self, event: ari::Event) {
        match event {
            ari::Event::Up => {
                self.ari_up = true;
                self.handle(Input::TrunkAvailable(true));
            }
            ari::Event::Down => {
                tracing::warn!("calls to telephones are refused until ARI is back");
                self.ari_up = false;
                self.handle(Input::TrunkAvailable(false));
            }
            ari::Event::Incoming(incoming) => self.incoming(incoming),
            ari::Event::Ringing(leg) => match LegId(leg.0) {
                leg if is_room_leg(leg) => self.room_input(conference::Input::LegRinging(leg)),
                leg => self.handle(Input::LegRinging(leg)),
            },
            ari::Event::Early(leg) => self.handle(Input::LegEarly(LegId(leg.0))),
            ari::Event::Answered(leg) => match LegId(leg.0) {
                leg if is_room_leg(leg) => self.room_input(conference::Input::LegAnswered(leg)),
                leg => self.handle(Input::LegAnswered(leg)),
            },
            ari::Event::Digit { leg, digit } => {
                if let Ok(digit) = Digit::new(digit) {
                    self.leg_digit(LegId(leg.0), digit);
                }
            }
            ari::Event::Held { leg, held } => {
                let leg = LegId(leg.0);
                tracing::debug!(%leg, held, "the telephone holds");
                match is_room_leg(leg) {
                    true => self.room_leg_held(leg, held),
                    false => self.handle(Input::LegHeld { leg, held }),
                }
            }
            ari::Event::Linked { leg, id } => {
                self.ledger.linked(LegId(leg.0), id);
            }
            ari::Event::Trunk { trunk, state } => {
                for input in self.trunks.endpoint(&trunk, state) {
                    self.handle(input);
                }
            }
            ari::Event::Transfers { leg, to } => {
                let leg = LegId(leg.0);
                self.handle(Input::LegTransfers { leg, to });
            }
            ari::Event::Connects { leg, with } => {
                let (leg, with) = (LegId(leg.0), LegId(with.0));
                self.handle(Input::LegConnects { leg, with });
            }
            ari::Event::Device { device, state } => {
                if let Some(number) = self.lines.get(&device).cloned() {
                    let state = services::line_state(state);
                    self.handle(Input::Line { number, state });
                }
            }
            ari::Event::Messages { line, waiting } => {
                self.handle(Input::Messages { line, waiting });
            }
            ari::Event::Setting {
                call,
                user,
                what,
                value,
            } => self.setting(call, &user, &what, &value),
            ari::Event::Chosen { leg, plan } => {
                told(self.bridge.explain(to_bridge(LegId(leg.0)), plan.why));
            }
            ari::Event::Reach { leg, way } => {
                if let Some(Road::Ari { uuid }) = self.legs.get(&LegId(leg.0)) {
                    told(self.bridge.reach(*uuid, way));
                }
            }
            ari::Event::Ended { leg, cause } => {
                let leg = LegId(leg.0);
                self.forget_leg(leg);
                self.leg_ended(leg, from_wire(cause));
            }
        }
    }

    pub(super) fn registrations(&mut self, registrations: &ami::Registrations) {
        for input in self.trunks.registrations(registrations) {
            self.handle(input);
        }
    }

    /// A telephone changes what becomes of a user's calls.
    fn setting(&mut self, call: ari::IncomingId, user: &str, what: &str, value: &str) {
        let result = match services::setting(what, value) {
            Some(setting) => match self.board.set(user, setting) {
                Ok(()) => "ok",
                Err(refusal) => {
                    tracing::info!(user, what, %refusal, "a setting is refused");
                    word(refusal.cause())
                }
            },
            None => {
                tracing::info!(user, what, value, "no such setting");
                "failed"
            }
        };
        if let Some(ari) = &self.ari {
            told_ari(ari.answer_setting(call, result));
        }
    }

    /// A telephone calls by ARI.
    pub(super) fn incoming(&mut self, incoming: ari::Incoming) {
        let Some(ari) = self.ari.clone() else { return };
        if self.rooms.board.answers(&incoming.to) {
            return self.room_incoming(&ari, incoming);
        }
        let call = new_call();
        let (number, called) = (incoming.from.number.clone(), incoming.to.clone());
        let from = Caller {
            number: incoming.from.number,
            name: incoming.from.name,
        };
        tracing::info!(%call, channel = incoming.channel, "the telephone's call has an id");
        let arrival = Arrival {
            call,
            to: incoming.to,
            from,
            via: incoming.via,
            trunk: Trunk::Early,
        };
        match self.board.arrive(arrival, Instant::now()) {
            Ok(leg) => {
                let uuid = Uuid::new_v4();
                self.begin(leg, Road::Ari { uuid });
                // The person may take a while to answer; the connection comes after that.
                let ttl = self.board.config().ring_timeout + ATTACH_TIMEOUT;
                self.expect(leg, uuid, call, ParticipantId::CALLER, self.ari_rate, ttl);
                self.process(to_bridge(leg), number.as_deref(), Some(&called));
                told_ari(ari.adopt(incoming.call, to_ari(leg)));
            }
            Err(refusal) => {
                tracing::info!(%call, %refusal, "the telephone is turned away");
                told_ari(ari.refuse(incoming.call, to_wire(refusal.cause())));
            }
        }
    }
}
