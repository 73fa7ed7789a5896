//! Browsers in rooms: what they ask, and what they are told.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use moqrelay_control::{PlaceKey, Reply, RoomRequest, Visitor, action, file_id, participant};
use moqrelay_relay::Rights;
use moqrelay_room::{
    Attachment, DeviceId, ParticipantId, Refusal,
    conference::{
        Action, Applicant, Denied, Happened, Input, Kind, Leaving, Message, Place, Role, RoomId,
        RoomName, Who,
    },
};
use moqrelay_wire::{conference as wire, signal};

use super::{
    super::Driver, files::to_wire_file, fresh, room_place, to_wire_event, to_wire_leaving,
    to_wire_role, to_wire_roster,
};

/// For so long after its start a server gives places back that one before it gave out: pages come back within seconds.
const RETURN_WINDOW: Duration = Duration::from_secs(60);

/// Why a request is not carried out.
pub(super) enum Fault {
    Denied(Denied),
    Refused(Refusal),
}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// What they ask.
impl Driver {
    pub(in super::super) fn room_request(
        &mut self,
        device: DeviceId,
        attachment: Attachment,
        visitor: Visitor,
        request: RoomRequest,
        reply: Reply<signal::Done>,
    ) {
        let done = match request {
            RoomRequest::Join(join) => self.join_room(device, attachment, visitor, join),
            RoomRequest::Leave(room) => self
                .own_place(device, room)
                .and_then(|_| {
                    Ok(self
                        .rooms
                        .board
                        .act(Who::Device(device), Action::Leave, Instant::now())?)
                })
                .map(|()| signal::Done::Plain {}),
            RoomRequest::Act(room, act) => self
                .own_place(device, room)
                .and_then(|_| self.room_act(device, act))
                .map(|()| signal::Done::Plain {}),
        };
        match done {
            Ok(done) => reply.send(Ok(done)),
            Err(Fault::Denied(denied)) => {
                tracing::debug!(%device, %denied, "denied in a room");
                reply.deny(denied);
            }
            Err(Fault::Refused(refusal)) => reply.send(Err(refusal)),
        }
    }

    fn join_room(
        &mut self,
        device: DeviceId,
        attachment: Attachment,
        visitor: Visitor,
        join: signal::Join,
    ) -> Result<signal::Done, Fault> {
        let name = self.rooms.board.named(&join.room)?;
        let key = join.key.as_deref();
        let shown = key.and_then(|key| self.control.read_place(key));
        let shown = shown.filter(|key| key.room == name.as_str());
        let user = visitor.user;
        let was = shown.as_ref().and_then(|key| {
            let before = key.issued < self.rooms.started && !key.waiting;
            let soon = SystemTime::now()
                .duration_since(self.rooms.started)
                .is_ok_and(|since| since < RETURN_WINDOW);
            (before && soon && key.user == user.id.as_str()).then_some(key.role)
        });
        let applicant = Applicant {
            who: Who::Device(device),
            name: join.name.unwrap_or(user.name),
            user: Some(user.id.clone()),
            kind: Kind::Browser,
            role: match join.listen {
                true => Role::Listener,
                false => Role::Speaker,
            },
            caller: visitor.caller,
            pin: join.pin,
            key: shown.map(|key| key.key),
            was,
        };
        let place = self
            .rooms
            .board
            .join(&name, applicant, fresh(), Instant::now())?;
        tracing::info!(%device, user = %user.id, room = %place.room, participant = %place.participant, role = ?place.role, waiting = place.waiting, "a browser comes into a room");
        self.rooms
            .devices
            .insert(device, (attachment, user.id.to_string()));
        self.restore(&place);
        let joined = self.joined(device, &place, &user.id.to_string());
        let joined = joined.ok_or(Denied::NotIn)?;
        Ok(signal::Done::Joined(Box::new(joined)))
    }

    /// Returns where a device is, if that is in this room.
    fn own_place(&self, device: DeviceId, room: signal::RoomId) -> Result<Place, Fault> {
        let place = self.rooms.board.place_of(Who::Device(device));
        let place = place.filter(|place| place.room == RoomId(room.0));
        Ok(place.ok_or(Denied::NotIn)?)
    }

    fn room_act(&mut self, device: DeviceId, act: signal::Act) -> Result<(), Fault> {
        use signal::Act;
        let (who, now) = (Who::Device(device), Instant::now());
        let action = match act {
            Act::Dial { number } => return self.dial_out(who, &number),
            Act::Say { text, to, file } => {
                let whom = |text: &str| participant(text).ok_or(Denied::NoSuchParticipant);
                let to = to.as_deref().map(whom).transpose()?;
                let which = |text: &str| file_id(text).ok_or(Denied::NoSuchFile);
                let file = file.as_deref().map(which).transpose()?;
                let said = self.rooms.board.say(who, &text, to, file, wall_ms(), now);
                return Ok(said?);
            }
            Act::Quality { mos } => return Ok(self.rooms.board.rate(who, mos.into())?),
            Act::React { emoji } => return Ok(self.rooms.board.react(who, &emoji, now)?),
            other => action(&other)?.ok_or(Denied::WrongState)?,
        };
        Ok(self.rooms.board.act(who, action, Instant::now())?)
    }
}

/// What they are told.
impl Driver {
    /// A device has another socket: what it was told meanwhile comes again, the roster as it is now.
    pub(in super::super) fn room_device_back(&mut self, device: DeviceId, attachment: Attachment) {
        let Some((known, _)) = self.rooms.devices.get_mut(&device) else {
            return;
        };
        *known = attachment;
        self.room_input(Input::DeviceBack(device));
        if let Some(place) = self.rooms.board.place_of(Who::Device(device))
            && let Some(roster) = self.roster_for(&place)
        {
            let (room, roster) = (room_id(place.room), Box::new(roster));
            let event = signal::Event::Roster { room, roster };
            self.control.show_all([device], &event);
        }
    }

    /// A device's socket is gone, or an earlier one.
    pub(in super::super) fn room_device_lost(&mut self, device: DeviceId, attachment: Attachment) {
        let known = self.rooms.devices.get(&device);
        if known.is_some_and(|(known, _)| *known == attachment) {
            self.room_input(Input::DeviceLost(device));
        }
    }

    /// A device's session is over.
    pub(in super::super) fn room_device_gone(&mut self, device: DeviceId) {
        if self.rooms.devices.contains_key(&device) {
            self.room_input(Input::DeviceGone(device));
        }
    }

    /// Users whose pages are in rooms.
    pub(in super::super) fn users_in_rooms(&self) -> impl Iterator<Item = String> + '_ {
        self.rooms.devices.values().map(|(_, user)| user.clone())
    }

    fn joined(&self, device: DeviceId, place: &Place, user: &str) -> Option<signal::Joined> {
        let roster = self.rooms.board.roster(place.room)?;
        let name = roster.name.to_string();
        Some(signal::Joined {
            room: signal::RoomView {
                id: room_id(place.room),
                title: Some(roster.title.clone()).filter(|title| *title != name),
                number: roster.number.clone(),
                name,
            },
            participant: place.participant.to_string(),
            key: self.place_key(place, &roster.name, user),
            role: to_wire_role(place.role),
            state: match place.waiting {
                true => signal::PlaceState::Waiting,
                false => signal::PlaceState::Here,
            },
            media: (!place.waiting).then(|| self.room_media(place)),
            roster: self.roster_for(place)?,
            chat: self.chat_of(Who::Device(device)),
        })
    }

    fn place_key(&self, place: &Place, room: &RoomName, user: &str) -> String {
        self.control.sign_place(&PlaceKey {
            room: room.to_string(),
            key: place.key,
            user: user.to_owned(),
            role: place.role,
            waiting: place.waiting,
            issued: SystemTime::now(),
        })
    }

    fn room_media(&self, place: &Place) -> signal::RoomMedia {
        let Place {
            room,
            participant,
            role,
            ..
        } = *place;
        signal::RoomMedia {
            room: room_id(room),
            participant: participant.to_string(),
            namespace: vec!["room".into(), room.to_string(), participant.to_string()],
            token: self.control.room_token(room, participant, role),
            seats: self.rooms.seats,
            video: true,
            files: self.rooms.files_taken(),
        }
    }

    /// Returns the roster as one in the room sees it: who waits sees nobody else.
    fn roster_for(&self, place: &Place) -> Option<wire::Roster> {
        let mut roster = to_wire_roster(&self.rooms.board.roster(place.room)?);
        if place.waiting {
            let own = place.participant.to_string();
            roster.people.retain(|person| person.participant == own);
            roster.listening.clear();
        }
        Some(roster)
    }

    fn chat_of(&self, who: Who) -> Vec<signal::ChatMessage> {
        let chat = self.rooms.board.chat(who);
        chat.into_iter().map(to_wire_message).collect()
    }

    /// Somebody was let in.
    pub(super) fn tell_admitted(&self, device: DeviceId) {
        let who = Who::Device(device);
        let Some(place) = self.rooms.board.place_of(who) else {
            return;
        };
        let Some((_, user)) = self.rooms.devices.get(&device) else {
            return;
        };
        self.restore(&place);
        let Some(joined) = self.joined(device, &place, user) else {
            return;
        };
        let signal::Joined {
            room,
            key,
            role,
            media: Some(media),
            roster,
            chat,
            ..
        } = joined
        else {
            return;
        };
        let event = signal::Event::RoomAdmitted {
            room: room.id,
            key,
            role,
            media,
            roster: Box::new(roster),
            chat,
        };
        self.control.tell(device, event);
    }

    /// Somebody has another role: its token says so from now on, and the relay whatever an earlier one says.
    pub(super) fn tell_role(&self, room: RoomId, participant: ParticipantId, device: DeviceId) {
        let Some(place) = self.rooms.board.place_of(Who::Device(device)) else {
            return;
        };
        let (Some((_, user)), Some(roster)) = (
            self.rooms.devices.get(&device),
            self.rooms.board.roster(room),
        ) else {
            return;
        };
        if (place.room, place.participant) != (room, participant) || place.waiting {
            return;
        }
        self.restore(&place);
        let event = signal::Event::RoomMedia {
            room: room_id(room),
            key: self.place_key(&place, &roster.name, user),
            role: to_wire_role(place.role),
            media: self.room_media(&place),
        };
        self.control.tell(device, event);
    }

    /// Somebody's page is in the room no more.
    pub(super) fn tell_left(
        &mut self,
        room: RoomId,
        participant: ParticipantId,
        device: DeviceId,
        why: Leaving,
    ) {
        self.rooms.devices.remove(&device);
        // The place goes on when the same participant came by another device.
        if why != Leaving::Elsewhere
            && let Some(place) = room_place(room, participant)
        {
            let until = self.control.room_tokens_end();
            self.rooms.revoke(&place, Rights::Nothing, until);
        }
        let (room, why) = (room_id(room), to_wire_leaving(why));
        let event = signal::Event::RoomLeft { room, why };
        self.control.tell(device, event);
    }

    /// Says at the relay what a place's tokens are good for, whatever they say.
    fn restore(&self, place: &Place) {
        let Some(of) = room_place(place.room, place.participant) else {
            return;
        };
        let left = match place.role.speaks() {
            true => Rights::Everything,
            false => Rights::Subscribe,
        };
        self.rooms.revoke(&of, left, self.control.room_tokens_end());
    }

    /// Tells everyone in a room what happened.
    pub(super) fn tell_happened(&self, room: RoomId, happened: Happened) {
        let event = signal::Event::RoomEvent {
            room: room_id(room),
            event: to_wire_event(happened),
        };
        self.tell_room(room, &event);
    }

    /// Tells those in a room who may read it what somebody said.
    pub(super) fn tell_said(&mut self, room: RoomId, message: Message) {
        let (from, to) = (message.from, message.to);
        let private = to.is_some();
        let kind = if private { "private" } else { "public" };
        metrics::counter!("moqrelay_room_messages_total", "kind" => kind).increment(1);
        let message = to_wire_message(message);
        if !private {
            self.rooms.write_chat(room, &message);
        }
        let event = signal::Event::Chat {
            room: room_id(room),
            message,
        };
        let devices = self.rooms.board.devices(room);
        let readers = devices.filter(|(id, _)| !private || *id == from || Some(*id) == to);
        let readers: Vec<DeviceId> = readers.map(|(_, device)| device).collect();
        self.control.tell_all(readers, &event);
    }

    /// Shows everyone in a room a sign.
    pub(super) fn tell_reacted(&self, room: RoomId, from: ParticipantId, emoji: String) {
        let event = signal::Event::Reaction {
            room: room_id(room),
            from: from.to_string(),
            emoji,
        };
        self.tell_room(room, &event);
    }

    /// Shows everyone in a room who is there.
    pub(super) fn show_roster(&self, room: RoomId, roster: wire::Roster) {
        let devices: Vec<DeviceId> = self
            .rooms
            .board
            .devices(room)
            .map(|(_, device)| device)
            .collect();
        if devices.is_empty() {
            return;
        }
        let (room, roster) = (room_id(room), Box::new(roster));
        let event = signal::Event::Roster { room, roster };
        self.control.show_all(devices, &event);
    }

    fn tell_room(&self, room: RoomId, event: &signal::Event) {
        let devices: Vec<DeviceId> = self
            .rooms
            .board
            .devices(room)
            .map(|(_, device)| device)
            .collect();
        self.control.tell_all(devices, event);
    }
}

pub(super) fn room_id(room: RoomId) -> signal::RoomId {
    signal::CallId(room.0)
}

fn to_wire_message(message: Message) -> signal::ChatMessage {
    signal::ChatMessage {
        n: message.n,
        from: message.from.to_string(),
        name: message.name,
        to: message.to.map(|to| to.to_string()),
        text: message.text,
        file: message.file.map(to_wire_file),
        at_ms: message.at_ms,
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
