//! What devices see.

use super::Switchboard;
use super::call::{Call, Side, Stage, State};
use super::roster::Engaged;
use crate::{
    CallId, CallView, Caller, DeviceId, Direction, Event, Line, LineState, LineView, Media, Number,
    ParticipantId, Party, PartyKind, Peer, Progress, Service, Snapshot, Transferring, User, UserId,
};

impl Switchboard {
    /// Returns what a device must know to begin.
    pub(super) fn snapshot(&self, device: DeviceId) -> Snapshot {
        let view = |id: &CallId| self.calls.get(id).map(|call| call.view(*id, device));
        Snapshot {
            calls: self
                .roster
                .calls_of(device)
                .iter()
                .filter_map(view)
                .collect(),
            presence: self.roster.presence(),
            rules: self.roster.rules_of(device),
            messages: self.roster.has_messages(device),
            lines: self.lines_shown(),
            parked: self.parked_calls(),
        }
    }

    /// Returns the telephones whose state is shown.
    fn lines_shown(&self) -> Vec<LineView> {
        let lines = self.config.lines.iter().cloned();
        lines.map(|line| self.line_view(line)).collect()
    }

    fn line_view(&self, line: Line) -> LineView {
        let state = self.line_states.get(&line.number).copied();
        let state = state.unwrap_or(LineState::Offline);
        LineView { line, state }
    }

    /// A telephone has another state.
    pub(super) fn line_changed(&mut self, number: &Number, state: LineState) {
        let Some(line) = self.config.lines.iter().find(|line| line.number == *number) else {
            return;
        };
        let line = line.clone();
        let before = self.line_states.insert(line.number.clone(), state);
        if before.unwrap_or(LineState::Offline) != state {
            let view = self.line_view(line);
            self.tell_everybody(&Event::Line(view));
        }
    }

    /// Without Asterisk nothing is known of its telephones and mailboxes.
    pub(super) fn lines_lost(&mut self) {
        let numbers: Vec<Number> = self.line_states.keys().cloned().collect();
        for number in numbers {
            self.line_changed(&number, LineState::Offline);
        }
    }

    /// Messages wait for a user, or none does any more.
    pub(super) fn messages_changed(&mut self, line: &str, waiting: bool) {
        let Some(user) = self.roster.set_messages(line, waiting) else {
            return;
        };
        let devices: Vec<DeviceId> = self.roster.devices_of(&user).collect();
        for device in devices {
            self.notify(device, Event::Messages(waiting));
        }
    }

    /// Tells every device but one how a user is, if that has changed or the user has a new name.
    pub(super) fn refresh_presence(
        &mut self,
        user: &UserId,
        except: Option<DeviceId>,
        renamed: bool,
    ) {
        let changed = self.roster.show(user, self.engaged(user));
        let presence = match changed {
            Some(presence) => presence,
            None if renamed => match self.roster.presence_of(user) {
                Some(presence) => presence,
                None => return,
            },
            None => return,
        };
        let devices: Vec<DeviceId> = self.roster.devices().collect();
        for device in devices {
            if Some(device) != except {
                self.notify(device, Event::Presence(presence.clone()));
            }
        }
    }

    /// Returns the user at an end of a call.
    pub(super) fn user_at(&self, side: &Side) -> Option<UserId> {
        match side {
            Side::Device(device) => self
                .roster
                .user_of(*device)
                .ok()
                .map(|user| user.id.clone()),
            Side::Leg(_) => None,
        }
    }

    pub(super) fn engaged(&self, user: &UserId) -> Engaged {
        let engages = |device: DeviceId| {
            let calls = self.roster.calls_of(device);
            let call = |id| self.calls.get(id).and_then(|call| call.participant(device));
            calls.iter().any(|id| call(id).is_some())
        };
        if self.roster.devices_of(user).any(engages) {
            Engaged::Yes
        } else {
            Engaged::No
        }
    }
}

impl Call {
    /// Returns where a participant publishes and whom it hears.
    pub(super) fn media(&self, participant: ParticipantId) -> Media {
        let peer = |(participant, party): (ParticipantId, &Party)| Peer {
            participant,
            name: party.name.clone(),
            kind: party.kind,
        };
        // Before the answer of a transfer's target it is heard in the place of who transfers.
        let leaves = self.state.transfer().map(|transfer| transfer.by);
        let leaves = leaves.filter(|by| self.early().is_some() && *by != participant);
        let others = self
            .others(participant)
            .filter(|(id, _)| Some(*id) != leaves);
        let others = others.map(|(id, end)| (id, &end.party));
        let called = match &self.state {
            State::Offered { invite, .. } => Some(invite),
            State::Transferring { .. } if leaves.is_some() => self.early(),
            State::Transferring { .. } | State::Up { .. } | State::Parked { .. } => None,
        };
        let called = called.map(|invite| (invite.participant, &invite.party));
        Media {
            participant,
            peers: others.chain(called).map(peer).collect(),
        }
    }

    /// Returns who holds the call; a parked one is held by who has left it there.
    fn holders(&self) -> Vec<ParticipantId> {
        let parked = self.state.parked().map(|parked| parked.by);
        self.held_by.iter().copied().chain(parked).collect()
    }

    fn view(&self, call: CallId, device: DeviceId) -> CallView {
        let participant = self.participant(device);
        let direction = match participant {
            Some(ParticipantId::CALLER) => Direction::Out,
            Some(_) | None => Direction::In,
        };
        let by = self.state.transfer().map(|transfer| transfer.by);
        let peer = match (participant, by) {
            (Some(participant), _) => self.peer_of(participant),
            (None, Some(by)) => self.peer_of(by),
            (None, None) => &self.from,
        };
        let (progress, sound) = match (&self.state, participant) {
            (State::Offered { invite, .. }, _) => match invite.stage {
                Stage::Calling => (Progress::Calling, false),
                Stage::Ringing => (Progress::Ringing, false),
                Stage::Early => (Progress::Early, true),
            },
            (State::Transferring { .. }, None) => (Progress::Ringing, false),
            (
                State::Up { since, .. }
                | State::Transferring { since, .. }
                | State::Parked { since, .. },
                _,
            ) => (Progress::Up { since: *since }, true),
        };
        let transferring = self.state.transfer().filter(|_| participant.is_some());
        CallView {
            call,
            direction,
            progress,
            peer: peer.clone(),
            held_by: self.holders(),
            muted: self.muted.iter().copied().collect(),
            media: participant
                .filter(|_| sound)
                .map(|participant| self.media(participant)),
            transferring: transferring.map(|transfer| Transferring {
                by: transfer.by,
                to: transfer.invite.party.clone(),
            }),
            via: self.state.invite().and_then(|invite| invite.via.clone()),
        }
    }
}

impl Party {
    pub(super) fn user(user: &User) -> Self {
        Self {
            id: user.id.as_str().to_owned(),
            name: user.name.clone(),
            number: user
                .number
                .as_ref()
                .map(|number| number.as_str().to_owned()),
            kind: PartyKind::Browser,
        }
    }

    pub(super) fn number(number: &Number) -> Self {
        let text = number.as_str().to_owned();
        let (id, name) = (text.clone(), text.clone());
        Self {
            id,
            name,
            number: Some(text),
            kind: PartyKind::Phone,
        }
    }

    pub(super) fn service(service: Service) -> Self {
        let name = service.name().to_owned();
        Self {
            id: name.clone(),
            name,
            number: None,
            kind: PartyKind::Service,
        }
    }

    /// What the network says about a caller is free text: it is cut, and loses what cannot be shown.
    pub(super) fn phone(caller: &Caller) -> Self {
        const ANONYMOUS: &str = "anonymous";
        let number = caller.number.as_deref().and_then(showable);
        let name = caller.name.as_deref().and_then(showable);
        let id = number.clone().unwrap_or_else(|| ANONYMOUS.to_owned());
        let name = name.unwrap_or_else(|| id.clone());
        Self {
            id,
            name,
            number,
            kind: PartyKind::Phone,
        }
    }
}

/// Returns at most 64 printable characters, or none when nothing is left.
pub(super) fn showable(text: &str) -> Option<String> {
    const CHARS_MAX: usize = 64;
    let text: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(CHARS_MAX)
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
