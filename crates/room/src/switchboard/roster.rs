//! Users, their devices and what others see of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::lamp::line_of;
use super::refusal;
use crate::{
    Attachment, CallId, DeviceId, Limits, Number, OwnPresence, Presence, Reason, Refusal, Rules,
    Service, User, UserId, UserPresence,
};

#[derive(Debug, Default)]
pub(super) struct Roster {
    users: BTreeMap<UserId, Entry>,
    numbers: BTreeMap<Number, UserId>,
    devices: BTreeMap<DeviceId, Device>,
    /// Users to whom something has happened since the last look, and their lines.
    touched: BTreeSet<(UserId, String)>,
}

#[derive(Debug)]
struct Entry {
    user: User,
    kept: Kept,
    own: OwnPresence,
    shown: Presence,
    devices: BTreeSet<DeviceId>,
    rules: Rules,
    /// Messages wait in the mailbox.
    messages: bool,
}

/// How long a user is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Always,
    /// Or while there are rules for the user's calls.
    WhileRegistered,
    /// A guest, whose rules go along.
    Passing,
}

#[derive(Debug)]
struct Device {
    user: UserId,
    attachment: Attachment,
    socket: Socket,
    calls: BTreeSet<CallId>,
}

#[derive(Debug, Clone, Copy)]
enum Socket {
    Open,
    Gone { until: Instant },
}

impl Roster {
    pub(super) fn new(configured: &[User], rules: &[(User, Rules)], limit: usize) -> Self {
        let mut roster = Self::default();
        for user in configured {
            if let Some(number) = &user.number {
                roster.numbers.insert(number.clone(), user.id.clone());
            }
            roster
                .users
                .insert(user.id.clone(), Entry::new(user.clone(), Kept::Always));
        }
        for (user, rules) in rules {
            roster.recall(user, rules, limit);
        }
        roster
    }

    /// Takes rules that were kept. Who is not configured is known because of them.
    fn recall(&mut self, user: &User, rules: &Rules, limit: usize) {
        if !self.users.contains_key(&user.id) {
            let mut user = user.clone();
            if self.users.len() >= limit {
                return;
            }
            if self.take_number(&user).is_err() {
                user.number = None;
            }
            let id = user.id.clone();
            self.users
                .insert(id, Entry::new(user, Kept::WhileRegistered));
        }
        self.set_rules(&user.id, rules.clone().within_bounds());
    }

    /// Adds a device and, where new, its user. Returns whether a known user has a new name or number.
    pub(super) fn add(
        &mut self,
        device: DeviceId,
        user: User,
        attachment: Attachment,
        limits: &Limits,
    ) -> Result<bool, Refusal> {
        if self.devices.contains_key(&device) {
            return Err(refusal(
                Reason::AlreadyRegistered,
                format!("{device} is registered"),
            ));
        }
        let id = user.id.clone();
        if Service::ALL
            .iter()
            .any(|service| service.name() == id.as_str())
        {
            return Err(refusal(
                Reason::Forbidden,
                format!("{id} is the name of a service"),
            ));
        }
        let renamed = match self.users.get(&id) {
            Some(entry) if entry.devices.len() >= limits.devices_per_user => {
                let text = format!("{id} has {} devices already", entry.devices.len());
                return Err(refusal(Reason::TooMany, text));
            }
            Some(entry) if entry.kept == Kept::Always || entry.user == user => false,
            Some(_) => {
                self.rename(user)?;
                true
            }
            None if self.users.len() >= limits.users => {
                return Err(refusal(Reason::TooMany, "too many users"));
            }
            None => {
                self.take_number(&user)?;
                self.users
                    .insert(id.clone(), Entry::new(user, Kept::WhileRegistered));
                false
            }
        };
        let entry = self.users.get_mut(&id).expect("found or inserted above");
        entry.devices.insert(device);
        let new = Device {
            user: id,
            attachment,
            socket: Socket::Open,
            calls: BTreeSet::new(),
        };
        let user = new.user.clone();
        self.devices.insert(device, new);
        self.touch(&user);
        Ok(renamed)
    }

    /// Notes that something has happened to a user.
    pub(super) fn touch(&mut self, user: &UserId) {
        if let Some(entry) = self.users.get(user) {
            self.touched.insert((user.clone(), line_of(&entry.user)));
        }
    }

    /// Returns the users to whom something has happened, and their lines.
    pub(super) fn take_touched(&mut self) -> BTreeSet<(UserId, String)> {
        std::mem::take(&mut self.touched)
    }

    fn rename(&mut self, user: User) -> Result<(), Refusal> {
        self.take_number(&user)?;
        self.touch(&user.id);
        let entry = self
            .users
            .get_mut(&user.id)
            .expect("the caller has found it");
        let old = std::mem::replace(&mut entry.user, user);
        if old.number != entry.user.number
            && let Some(number) = old.number
        {
            self.numbers.remove(&number);
        }
        Ok(())
    }

    fn take_number(&mut self, user: &User) -> Result<(), Refusal> {
        let Some(number) = &user.number else {
            return Ok(());
        };
        match self.numbers.get(number) {
            Some(owner) if *owner != user.id => {
                // Somebody who is known only because of rules must not keep a number from others.
                if let Some(entry) = self.users.get_mut(owner)
                    && entry.kept == Kept::WhileRegistered
                    && entry.devices.is_empty()
                {
                    entry.user.number = None;
                    self.numbers.insert(number.clone(), user.id.clone());
                    return Ok(());
                }
                let text = format!("number {number} belongs to someone else");
                Err(refusal(Reason::Forbidden, text))
            }
            Some(_) => Ok(()),
            None => {
                self.numbers.insert(number.clone(), user.id.clone());
                Ok(())
            }
        }
    }

    /// Returns until when the device's grace would have lasted, if it was without a socket.
    pub(super) fn attach(
        &mut self,
        device: DeviceId,
        attachment: Attachment,
    ) -> Result<Option<Instant>, Refusal> {
        let Some(entry) = self.devices.get_mut(&device) else {
            return Err(refusal(
                Reason::NotRegistered,
                format!("{device} is not registered"),
            ));
        };
        if attachment > entry.attachment {
            entry.attachment = attachment;
        }
        match std::mem::replace(&mut entry.socket, Socket::Open) {
            Socket::Open => Ok(None),
            Socket::Gone { until } => Ok(Some(until)),
        }
    }

    /// Returns whether the device is now without a socket and was not before.
    pub(super) fn drop_socket(
        &mut self,
        device: DeviceId,
        attachment: Attachment,
        until: Instant,
    ) -> bool {
        match self.devices.get_mut(&device) {
            Some(entry)
                if entry.attachment == attachment && matches!(entry.socket, Socket::Open) =>
            {
                entry.socket = Socket::Gone { until };
                true
            }
            Some(_) | None => false,
        }
    }

    /// Removes a device. Its user stays until [`remove_user_if_gone`](Self::remove_user_if_gone).
    pub(super) fn remove(&mut self, device: DeviceId) -> Option<UserId> {
        let user = self.devices.remove(&device)?.user;
        self.touch(&user);
        let entry = self.users.get_mut(&user)?;
        entry.devices.remove(&device);
        if entry.devices.is_empty() && entry.own == OwnPresence::Away {
            entry.own = OwnPresence::Available;
        }
        Some(user)
    }

    pub(super) fn remove_user_if_gone(&mut self, user: &UserId) {
        let Some(entry) = self.users.get(user) else {
            return;
        };
        let wanted = match entry.kept {
            Kept::Always => true,
            Kept::WhileRegistered => !entry.rules.are_default(),
            Kept::Passing => false,
        };
        if wanted || !entry.devices.is_empty() {
            return;
        }
        if let Some(number) = &entry.user.number {
            self.numbers.remove(number);
        }
        self.users.remove(user);
    }

    pub(super) fn user_of(&self, device: DeviceId) -> Result<&User, Refusal> {
        self.devices
            .get(&device)
            .and_then(|entry| self.user(&entry.user))
            .ok_or_else(|| refusal(Reason::NotRegistered, format!("{device} is not registered")))
    }

    pub(super) fn user(&self, id: &UserId) -> Option<&User> {
        self.users.get(id).map(|entry| &entry.user)
    }

    /// Returns the user with this id or number.
    pub(super) fn find(&self, dialled: &str) -> Option<&User> {
        let by_id = UserId::new(dialled).ok().and_then(|id| self.user(&id));
        by_id.or_else(|| self.user(self.numbers.get(&Number::new(dialled).ok()?)?))
    }

    pub(super) fn devices_of(&self, user: &UserId) -> impl Iterator<Item = DeviceId> {
        self.users
            .get(user)
            .into_iter()
            .flat_map(|entry| entry.devices.iter().copied())
    }

    pub(super) fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.devices.keys().copied()
    }

    pub(super) fn calls_of(&self, device: DeviceId) -> BTreeSet<CallId> {
        self.devices
            .get(&device)
            .map(|entry| entry.calls.clone())
            .unwrap_or_default()
    }

    pub(super) fn calls_of_user(&self, user: &UserId) -> BTreeSet<CallId> {
        self.devices_of(user)
            .flat_map(|device| self.calls_of(device))
            .collect()
    }

    pub(super) fn calls_len(&self, device: DeviceId) -> usize {
        self.devices
            .get(&device)
            .map_or(0, |entry| entry.calls.len())
    }

    pub(super) fn add_call(&mut self, device: DeviceId, call: CallId) {
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.calls.insert(call);
            let user = entry.user.clone();
            self.touch(&user);
        }
    }

    /// Returns the device's user.
    pub(super) fn remove_call(&mut self, device: DeviceId, call: CallId) -> Option<UserId> {
        let entry = self.devices.get_mut(&device)?;
        entry.calls.remove(&call);
        let user = entry.user.clone();
        self.touch(&user);
        Some(user)
    }

    pub(super) fn set_presence(&mut self, user: &UserId, own: OwnPresence) {
        if let Some(entry) = self.users.get_mut(user) {
            entry.own = own;
        }
        self.touch(user);
    }

    /// Returns whether they are others than before.
    pub(super) fn set_rules(&mut self, user: &UserId, rules: Rules) -> bool {
        let Some(entry) = self.users.get_mut(user) else {
            return false;
        };
        entry.own = match (rules.undisturbed, entry.own) {
            (true, _) => OwnPresence::Busy,
            (false, OwnPresence::Busy) => OwnPresence::Available,
            (false, own) => own,
        };
        let changed = entry.rules != rules;
        entry.rules = rules;
        self.touch(user);
        changed
    }

    pub(super) fn rules(&self, user: &UserId) -> Rules {
        let entry = self.users.get(user);
        entry.map(|entry| entry.rules.clone()).unwrap_or_default()
    }

    pub(super) fn rules_of(&self, device: DeviceId) -> Rules {
        let device = self.devices.get(&device);
        device
            .map(|device| self.rules(&device.user))
            .unwrap_or_default()
    }

    /// Returns the user unless it is a guest.
    pub(super) fn lasting(&self, user: &UserId) -> Option<&User> {
        let entry = self.users.get(user)?;
        (entry.kept != Kept::Passing).then_some(&entry.user)
    }

    /// The user is a guest.
    pub(super) fn is_passing(&mut self, user: &UserId) {
        if let Some(entry) = self.users.get_mut(user)
            && entry.kept == Kept::WhileRegistered
        {
            entry.kept = Kept::Passing;
        }
    }

    /// Returns the user of a line whose messages have come or gone.
    pub(super) fn set_messages(&mut self, line: &str, waiting: bool) -> Option<UserId> {
        let user = self.find(line).map(|user| user.id.clone())?;
        let entry = self.users.get_mut(&user)?;
        let changed = std::mem::replace(&mut entry.messages, waiting) != waiting;
        changed.then_some(user)
    }

    pub(super) fn has_messages(&self, device: DeviceId) -> bool {
        let user = self.devices.get(&device).map(|device| &device.user);
        let entry = user.and_then(|user| self.users.get(user));
        entry.is_some_and(|entry| entry.messages)
    }

    pub(super) fn own_presence(&self, user: &UserId) -> Option<OwnPresence> {
        self.users.get(user).map(|entry| entry.own)
    }

    /// Works out what others see; returns it when it has changed.
    pub(super) fn show(&mut self, user: &UserId, engaged: Engaged) -> Option<UserPresence> {
        self.touch(user);
        let entry = self.users.get_mut(user)?;
        let shown = match (entry.devices.is_empty(), engaged, entry.own) {
            (true, _, _) => Presence::Offline,
            (false, Engaged::Yes, _) | (false, Engaged::No, OwnPresence::Busy) => Presence::Busy,
            (false, Engaged::No, OwnPresence::Available) => Presence::Available,
            (false, Engaged::No, OwnPresence::Away) => Presence::Away,
        };
        let changed = shown != entry.shown;
        entry.shown = shown;
        changed.then(|| entry.presence())
    }

    pub(super) fn presence_of(&self, user: &UserId) -> Option<UserPresence> {
        self.users.get(user).map(Entry::presence)
    }

    pub(super) fn presence(&self) -> Vec<UserPresence> {
        self.users.values().map(Entry::presence).collect()
    }

    pub(super) fn users_len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn devices_len(&self) -> usize {
        self.devices.len()
    }
}

/// Whether a user has called or has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engaged {
    Yes,
    No,
}

impl Entry {
    fn new(user: User, kept: Kept) -> Self {
        let own = OwnPresence::Available;
        Self {
            user,
            kept,
            own,
            shown: Presence::Offline,
            devices: BTreeSet::new(),
            rules: Rules::default(),
            messages: false,
        }
    }

    fn presence(&self) -> UserPresence {
        UserPresence {
            user: self.user.clone(),
            state: self.shown,
        }
    }
}
