//! What Asterisk says.

use std::time::Instant;

use moqrelay_wire::signal::Cause;

use super::super::message::{Channel, ChannelState, DialStatus, ReferTarget};
use super::super::road::Calls;
use super::super::to_q850;
use super::requests::is_sip;
use super::watch::SETTING;
use super::{
    ADOPT_TIMEOUT, CAUSE_TIMEOUT, Caller, Event, Incoming, IncomingId, Joining, LegId, Link,
    Message, Output, Part, Phase, Piece, Steering, TEXT_LEN_MAX, TransferProgress, Waiting,
};

impl Steering {
    /// Applies a message of the events WebSocket. What is about no channel of ours is ignored.
    pub fn handle_message(&mut self, message: Message, now: Instant) {
        match message {
            Message::Started {
                channel,
                args,
                replaces,
            } => {
                self.started(&channel, args, replaces, now);
            }
            Message::Left { channel } => self.left(&channel, now),
            Message::HangupRequested { channel, cause } => {
                if let (Some(leg), Some(cause)) = (self.far_leg(&channel), cause) {
                    // 32 stands for "asked by ARI": the true cause comes with the end.
                    if cause != 32 {
                        self.legs
                            .entry(leg)
                            .and_modify(|leg| leg.q850 = Some(cause));
                    }
                }
            }
            Message::Destroyed { channel, cause } => self.destroyed(&channel, cause),
            Message::State { channel, state } => self.state(&channel, state),
            Message::Dial { channel, status } => self.dial_status(&channel, status),
            Message::Digit { channel, digit } => {
                if let Some(leg) = self.far_leg(&channel) {
                    self.tell(Event::Digit { leg, digit });
                }
            }
            Message::Hold { channel, held } => {
                if let Some(leg) = self.far_leg(&channel) {
                    self.tell(Event::Held { leg, held });
                }
            }
            Message::Device { name, state } => self.device_changed(&name, &state),
            Message::Refer { channel, to } => self.refer(&channel, to),
            Message::Endpoint { name } => self.endpoint_changed(&name),
            Message::Replaced { app } => self.replaced(&app),
            Message::Other => {}
        }
    }

    /// Another client has an application of ours. When it is the run that takes over, what callers do
    /// is heard by the application of this run from now on.
    fn replaced(&mut self, app: &str) {
        if app != self.config.app {
            return;
        }
        if self.aside {
            self.look_again();
        } else {
            tracing::warn!("another client has taken the place of this application");
            self.outputs.push_back(Output::GiveWay);
        }
    }

    fn far_leg(&self, channel: &str) -> Option<LegId> {
        match self.channels.get(channel) {
            Some((leg, Piece::Far)) => Some(*leg),
            _ => None,
        }
    }

    /// A telephone asks for a transfer. Calls that are not ours cannot be connected with ours.
    fn refer(&mut self, channel: &str, to: ReferTarget) {
        let Some(leg) = self.far_leg(channel) else {
            return;
        };
        let event = match to {
            ReferTarget::Number(number) => text(&number).map(|to| Event::Transfers { leg, to }),
            ReferTarget::Channel(other) => self
                .far_leg(&other)
                .map(|with| Event::Connects { leg, with }),
            ReferTarget::Unknown => None,
        };
        match event {
            Some(event) => self.tell(event),
            None => {
                let progress = TransferProgress::Failed(Cause::Unreachable);
                self.report_transfer(leg, progress);
            }
        }
    }

    fn started(
        &mut self,
        channel: &Channel,
        args: Vec<String>,
        replaces: Option<String>,
        now: Instant,
    ) {
        if let Some((id, piece)) = self.channels.get(&channel.id).copied() {
            if let Some(leg) = self.legs.get_mut(&id) {
                match piece {
                    Piece::Far => leg.far_part = Part::Ready,
                    Piece::External => leg.external = Part::Ready,
                }
            }
            self.advance(id, now);
            return;
        }
        if self.dooms.contains_key(&channel.id) || self.waiting.contains_key(&channel.id) {
            return;
        }
        let elders = |id: &str| self.is_of_an_elder(id);
        if elders(&channel.id) || replaces.as_deref().is_some_and(elders) {
            // It looks after that itself.
        } else if let Some(replaced) = replaces {
            self.replace(&replaced, channel);
        } else if self.aside {
            // It is offered to the run that takes over.
        } else if channel.id.starts_with(&self.mark) {
            self.doom_channel(channel.id.clone(), to_q850(Cause::Failed), None);
        } else {
            self.offer(channel, args, now);
        }
    }

    /// A transfer in Asterisk: another channel is now where the far end was.
    fn replace(&mut self, replaced: &str, channel: &Channel) {
        let Some((id, Piece::Far)) = self.channels.remove(replaced) else {
            self.doom_channel(channel.id.clone(), to_q850(Cause::Failed), None);
            return;
        };
        self.channels.insert(channel.id.clone(), (id, Piece::Far));
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        leg.far.clone_from(&channel.id);
        leg.far_part = Part::Ready;
        // Asterisk puts it into the bridge of the one it replaces, but asking again does no harm.
        if leg.joining == Joining::Done {
            self.join(id);
        }
    }

    /// A call comes in.
    pub(super) fn offer(&mut self, channel: &Channel, args: Vec<String>, now: Instant) {
        if args.first().is_some_and(|what| what.starts_with(SETTING)) {
            return self.ask_setting(channel, args);
        }
        if matches!(self.link, Link::Down) || self.is_full() {
            self.doom_channel(channel.id.clone(), to_q850(Cause::Shutdown), None);
            return;
        }
        let mut args = args.into_iter();
        let to = args.next().filter(|to| !to.is_empty());
        let via = args.next();
        let to = to.unwrap_or_else(|| channel.dialplan.exten.clone());
        self.waiting.insert(
            channel.id.clone(),
            Waiting {
                until: now + ADOPT_TIMEOUT,
                stale: false,
                sip: is_sip(&channel.name),
                choice: self.config.choice_for(Calls::In, &to),
            },
        );
        self.tell(Event::Incoming(Incoming {
            call: IncomingId(channel.id.clone()),
            to: text(&to).unwrap_or_default(),
            from: Caller {
                name: text(&channel.caller.name),
                number: text(&channel.caller.number),
                sent_on: None,
            },
            via: via.as_deref().and_then(text),
            channel: channel.name.clone(),
            sip_call_id: text(&channel.protocol_id),
        }));
    }

    fn left(&mut self, channel: &str, now: Instant) {
        self.settings.remove(channel);
        self.waiting.remove(channel);
        if self.dooms.contains_key(channel) {
            return; // The response to the removal is on its way.
        }
        match self.channels.get(channel).copied() {
            Some((id, Piece::Far)) => {
                let Some(leg) = self.legs.get(&id) else {
                    return;
                };
                if channel.starts_with(&self.mark) {
                    // We made it: its end, with the true cause, follows.
                    let until = now + CAUSE_TIMEOUT;
                    let answered = leg.phase == Phase::Up;
                    self.set_phase(id, Phase::Leaving { until, answered });
                } else {
                    let cause = leg.cause_of_end(leg.q850.unwrap_or(16));
                    self.forget_far(id);
                    self.end(id, cause);
                }
            }
            Some((id, Piece::External)) => self.sound_lost(id),
            None => {}
        }
    }

    fn destroyed(&mut self, channel: &str, q850: u16) {
        self.waiting.remove(channel);
        match self.channels.get(channel).copied() {
            Some((id, Piece::Far)) => {
                let Some(leg) = self.legs.get(&id) else {
                    return;
                };
                let cause = leg.cause_of_end(q850);
                self.forget_far(id);
                self.end(id, cause);
            }
            Some((id, Piece::External)) => self.sound_lost(id),
            None => {}
        }
    }

    /// The AudioSocket's channel is gone while the leg is not.
    fn sound_lost(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.external = Part::Absent;
            // When the far end is leaving too, its cause says more.
            if !matches!(leg.phase, Phase::Leaving { .. }) {
                self.end(id, Cause::Lost);
            }
        }
    }

    /// The far channel does not exist any more: it need not be removed.
    pub(super) fn forget_far(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.far_part = Part::Absent;
        }
    }

    fn state(&mut self, channel: &str, state: ChannelState) {
        let Some(id) = self.far_leg(channel) else {
            return;
        };
        match state {
            ChannelState::Ringing => self.rings(id),
            ChannelState::Up => self.picked_up(id),
            ChannelState::Down | ChannelState::Ring | ChannelState::Unknown => {}
        }
    }

    fn dial_status(&mut self, channel: &str, status: DialStatus) {
        let Some(id) = self.far_leg(channel) else {
            return;
        };
        let Some(Phase::Dialling { .. }) = self.phase(id) else {
            return;
        };
        match status {
            DialStatus::Ringing => self.rings(id),
            DialStatus::Progress => self.speaks(id),
            DialStatus::Answer => self.picked_up(id),
            DialStatus::Busy => self.end(id, Cause::Busy),
            DialStatus::NoAnswer => self.end(id, Cause::NoAnswer),
            DialStatus::Unavailable => self.end(id, Cause::Unreachable),
            DialStatus::Begun => {
                self.legs.entry(id).and_modify(|leg| leg.dialled = true);
            }
            DialStatus::Other => {}
        }
    }

    pub(super) fn rings(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        if matches!(leg.phase, Phase::Dialling { .. }) && !leg.rang {
            leg.rang = true;
            self.tell(Event::Ringing(id));
        }
    }

    fn speaks(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        if !leg.early {
            leg.early = true;
            self.tell(Event::Early(id));
        }
    }

    pub(super) fn picked_up(&mut self, id: LegId) {
        if let Some(Phase::Dialling { .. }) = self.phase(id) {
            self.set_phase(id, Phase::Up);
            self.tell(Event::Answered(id));
        }
    }
}

/// Returns the network's text without control characters, shortened; nothing when empty.
pub(super) fn text(from: &str) -> Option<String> {
    let clean: String = from
        .chars()
        .filter(|c| !c.is_control())
        .take(TEXT_LEN_MAX)
        .collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}
