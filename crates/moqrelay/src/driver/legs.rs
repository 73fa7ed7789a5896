//! The driver and the bridge: telephones whose connections come, and what becomes of their sound.

use std::time::{Duration, Instant};

use moqrelay_bridge::{
    self as bridge,
    leg::{self, OutRate, Reason, Spec, Stats},
};
use moqrelay_room::{
    Arrival, CallId, Caller, Cause, Digit, Input, LegId, ParticipantId, Refusal, Trunk,
};
use moqrelay_wire::signal;
use uuid::Uuid;

use super::{
    Driver, Road,
    rooms::is_room_leg,
    words::{
        cause_of, millis, new_call, place, to_ari, to_bridge, to_wire, told, told_ari,
        without_sound,
    },
};
use crate::ledger::{Sound, hundredths};

impl Driver {
    /// Prepares a telephone leg whose caller was promised a connection.
    pub(super) fn ticket(&mut self, arrival: Arrival) -> Result<Uuid, Refusal> {
        let uuid = Uuid::new_v4();
        self.promise(arrival, uuid)?;
        Ok(uuid)
    }

    /// Expects a connection under `uuid` for a telephone's call.
    fn promise(&mut self, arrival: Arrival, uuid: Uuid) -> Result<(), Refusal> {
        let now = Instant::now();
        let call = arrival.call;
        let ttl = self.board.config().ticket_ttl;
        if self.rooms.board.answers(&arrival.to) {
            return self.room_ticket(arrival, uuid, ttl);
        }
        let (to, from) = (arrival.to.clone(), arrival.from.clone());
        let (number, called) = (from.number.clone(), to.clone());
        let leg = self.board.ticket(arrival, now)?;
        self.tickets
            .add(uuid, to, (from.number, from.name), now + ttl);
        self.expect(leg, uuid, call, ParticipantId::CALLER, OutRate::Follow, ttl);
        self.process(to_bridge(leg), number.as_deref(), Some(&called));
        self.begin(leg, Road::AudioSocket(to_bridge(leg)));
        Ok(())
    }

    /// A telephone's call whose media WebSocket says who calls whom: as with a ticket, but that nobody asked for one.
    fn knocked(&mut self, id: Uuid, knock: bridge::Knock) {
        let call = new_call();
        let arrival = Arrival {
            call,
            to: knock.to,
            from: Caller {
                number: knock.from,
                name: knock.name,
            },
            via: None,
            trunk: Trunk::Answered,
        };
        if let Err(refusal) = self.promise(arrival, id) {
            tracing::info!(%call, %refusal, "a caller by WebSocket is turned away");
            told(self.bridge.turn_away(id));
        }
    }

    pub(super) fn expect(
        &mut self,
        leg: LegId,
        uuid: Uuid,
        call: CallId,
        participant: ParticipantId,
        rate: OutRate,
        ttl: Duration,
    ) {
        let spec = Spec {
            leg: to_bridge(leg),
            place: place(call, participant),
            rate,
        };
        if let Err(error) = self.bridge.expect(uuid, spec, ttl) {
            tracing::warn!(%call, %leg, %error, "the bridge does not take the leg");
            self.handle(Input::LegEnded {
                leg,
                cause: Cause::Failed,
            });
        }
    }

    /// Leads what a telephone says, and what it hears, through the services that are configured for its number or whom
    /// it has called.
    pub(super) fn process(&self, leg: bridge::LegId, number: Option<&str>, called: Option<&str>) {
        for processor in self.processors.of(number, called) {
            told(self.bridge.process(leg, processor.clone()));
        }
    }

    pub(super) fn bridge_event(&mut self, event: bridge::Event) {
        match event {
            bridge::Event::Attached {
                leg,
                id,
                standing: true,
            } => self.standing_arrives(leg, id),
            bridge::Event::Attached {
                leg,
                id,
                standing: false,
            } => {
                self.tickets.remove(id);
                self.listen_for_digits(leg);
                match LegId(leg.0) {
                    leg if is_room_leg(leg) => self.room_leg_attached(leg),
                    leg => self.handle(Input::LegAttached(leg)),
                }
            }
            bridge::Event::Knocked { id, call } => self.knocked(id, call),
            bridge::Event::Digit { leg, digit } => self.bridge_digit(leg, digit),
            bridge::Event::Quality {
                leg,
                quality,
                silent,
            } => match LegId(leg.0) {
                id if is_room_leg(id) => self.room_leg_quality(id, quality[0].as_ref()),
                _ => self.quality(leg, quality, silent),
            },
            bridge::Event::Speaking { room, participants } => {
                self.room_speaks(&room, &participants);
            }
            bridge::Event::Detached { leg, reason, stats } => self.detached(leg, reason, &stats),
            _ => {}
        }
    }

    /// A call by a fixed UUID, of which only whom it rings is known, or by a ticket of the process before this one.
    fn standing_arrives(&mut self, leg: bridge::LegId, uuid: Uuid) {
        let inherited = self.inherited.remove(&uuid);
        if inherited.is_some() {
            told(self.bridge.forget(uuid));
        }
        let (to, from) = match (inherited, self.standing.get(&uuid)) {
            (Some((ticket, _)), _) => {
                let (number, name) = (ticket.number, ticket.name);
                (ticket.to, Caller { number, name })
            }
            (None, Some(user)) => (user.clone(), Caller::default()),
            (None, None) => return told(self.bridge.hang_up(leg)),
        };
        let (call, called, number) = (new_call(), to.clone(), from.number.clone());
        let arrival = Arrival {
            call,
            to,
            from,
            via: None,
            trunk: Trunk::Answered,
        };
        match self.board.arrive(arrival, Instant::now()) {
            Ok(id) => {
                self.begin(id, Road::AudioSocket(leg));
                self.by_bridge.insert(leg, id);
                self.listen_for_digits(leg);
                if let Some(place) = place(call, ParticipantId::CALLER) {
                    told(self.bridge.join(leg, place));
                }
                self.process(leg, number.as_deref(), Some(&called));
            }
            Err(refusal) => {
                tracing::info!(%leg, %uuid, %refusal, "a caller by fixed UUID or an earlier ticket is turned away");
                told(self.bridge.hang_up(leg));
            }
        }
    }

    /// Listens for keys in a leg's sound where they may have no other way.
    fn listen_for_digits(&self, leg: bridge::LegId) {
        let id = self.to_room(leg);
        if self.detect_digits && matches!(self.legs.get(&id), Some(Road::AudioSocket(_))) {
            told(self.bridge.detect_digits(leg, true));
        }
    }

    fn bridge_digit(&mut self, leg: bridge::LegId, digit: char) {
        let leg = self.to_room(leg);
        let counts = match self.legs.get(&leg) {
            Some(Road::AudioSocket(_)) => true,
            // ARI reports the same key again, also on Asterisks whose AudioSocket does not. What it
            // has to report while it is away is lost.
            Some(Road::Ari { .. }) => !self.ari_up,
            Some(Road::Service) | None => false,
        };
        if counts && let Ok(digit) = Digit::new(digit) {
            self.leg_digit(leg, digit);
        }
    }

    pub(super) fn leg_digit(&mut self, leg: LegId, digit: Digit) {
        match is_room_leg(leg) {
            true => self.room_leg_digit(leg, digit),
            false => self.handle(Input::LegDigit { leg, digit }),
        }
    }

    pub(super) fn leg_ended(&mut self, leg: LegId, cause: Cause) {
        match is_room_leg(leg) {
            true => self.room_leg_ended(leg, cause),
            false => self.handle(Input::LegEnded { leg, cause }),
        }
    }

    /// Those who are in the call are told how the telephone sounds.
    fn quality(
        &self,
        leg: bridge::LegId,
        quality: [Option<leg::Quality>; 2],
        silent: [Option<leg::Cause>; 2],
    ) {
        let Some((call, participant, devices)) = self.board.audience(self.to_room(leg)) else {
            return;
        };
        let [from, to] = [0, 1].map(|side: usize| heard(quality[side].as_ref(), silent[side]));
        for device in devices {
            let event = signal::Event::Quality {
                call: signal::CallId(call.0),
                participant: participant.to_string(),
                from: Box::new(from),
                to: Box::new(to),
            };
            self.control.tell(device, event);
        }
    }

    fn detached(&mut self, leg: bridge::LegId, reason: Reason, stats: &Stats) {
        let id = self.to_room(leg);
        self.by_bridge.remove(&leg);
        let legs = &self.legs;
        self.ledger
            .sounded(id, Sound::of(stats), &|leg| legs.contains_key(&leg));
        match self.legs.get(&id) {
            Some(Road::AudioSocket(_)) => {
                self.legs.remove(&id);
                self.leg_ended(id, cause_of(reason));
            }
            // By ARI the sound ends after the call, because we say so. If it is lost before, or has
            // never come, the call is of no use any more.
            Some(Road::Ari { .. }) => {
                tracing::info!(leg = %id, %reason, "the sound is lost: the call ends");
                if let Some(ari) = &self.ari {
                    told_ari(ari.hang_up(to_ari(id), to_wire(without_sound(reason))));
                }
            }
            Some(Road::Service) | None => {}
        }
    }
}

/// Returns one direction of a leg in the words of the protocol.
fn heard(quality: Option<&leg::Quality>, silent: Option<leg::Cause>) -> signal::Heard {
    signal::Heard {
        mos: quality.map(|it| hundredths(it.rating.mos())),
        r: quality.map(|it| hundredths(it.rating.r())),
        lost_percent: quality.map(|it| hundredths(it.lost * 100.0)),
        delay_ms: quality.map(|it| millis(it.delay)),
        jitter_ms: quality.map(|it| millis(it.jitter)),
        silent: silent.and_then(silence),
    }
}

fn silence(cause: leg::Cause) -> Option<signal::Silence> {
    Some(match cause {
        leg::Cause::TelephoneNeverSent => signal::Silence::TelephoneNeverSent,
        leg::Cause::TelephoneStopped => signal::Silence::TelephoneStopped,
        leg::Cause::TelephoneMute => signal::Silence::TelephoneMute,
        leg::Cause::OthersNeverSent => signal::Silence::OthersNeverSent,
        leg::Cause::OthersStopped => signal::Silence::OthersStopped,
        _ => return None,
    })
}
