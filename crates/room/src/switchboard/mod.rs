//! The state machine. Who is there: `roster`. How a call begins: `place`. What devices ask of it:
//! `steer`. What the telephone side tells: `phone`. What becomes of it: `progress`. What devices see
//! of it: `view`; what telephones' lamps show: `lamp`. How somebody takes another's place, and two calls become one: `transfer`.
//! Where calls are sent on to: `divert`. Calls that wait in a slot or are taken from where they ring: `park`.

mod call;
mod divert;
mod lamp;
mod park;
mod phone;
mod place;
mod progress;
mod roster;
mod steer;
mod transfer;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use self::call::{Call, State};
use self::roster::Roster;
use self::transfer::{Asker, Then};
use crate::{
    Arrival, Attachment, CallId, Cause, Config, DeviceId, Event, Input, Lamp, LegId, LineState,
    Number, Output, Reason, Refusal, Request, Snapshot, TrunkName, User, UserId,
};

/// Every device and every call of this node.
///
/// Devices ask by [`register`](Self::register), [`resume`](Self::resume) and
/// [`request`](Self::request); telephone callers come by [`arrive`](Self::arrive) and
/// [`ticket`](Self::ticket); these answer at once. Everything else is told to
/// [`handle`](Self::handle), the passing of time to [`handle_timeout`](Self::handle_timeout) at the
/// time that [`poll_timeout`](Self::poll_timeout) gave. After any of them pass on the answer, then
/// drain [`poll_output`](Self::poll_output). Times must not go backwards.
#[derive(Debug)]
pub struct Switchboard {
    config: Config,
    roster: Roster,
    calls: BTreeMap<CallId, Call>,
    /// The call of each leg.
    legs: BTreeMap<LegId, CallId>,
    tickets: BTreeMap<LegId, Ticket>,
    deadlines: BTreeSet<(Instant, Due)>,
    next_leg: u64,
    trunk: bool,
    /// Trunks that are down.
    down: BTreeSet<TrunkName>,
    draining: bool,
    /// Devices are forgotten as soon as they have no call.
    retiring: bool,
    /// What each line's lamp was last said to show.
    lamps: BTreeMap<String, Lamp>,
    /// The states of telephones that are shown, as far as known.
    line_states: BTreeMap<Number, LineState>,
    outputs: VecDeque<Output>,
}

/// A telephone caller who may connect.
#[derive(Debug)]
struct Ticket {
    arrival: Arrival,
    until: Instant,
}

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Grace(DeviceId),
    Call(CallId),
    Transfer(CallId),
    Divert(CallId),
    Park(CallId),
    Ticket(LegId),
}

/// How much is going on, for gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Users known, registered or configured.
    pub users: usize,
    /// Devices registered, those in their grace period included.
    pub devices: usize,
    /// Calls alive.
    pub calls: usize,
    /// Of those, answered.
    pub calls_up: usize,
    /// Legs alive.
    pub legs: usize,
    /// Tickets that wait for their connection.
    pub tickets: usize,
}

impl Switchboard {
    /// The most digits of one request; at four a second this is eight seconds of tones.
    pub const DIGITS_MAX: usize = 32;

    /// Begins with nobody registered and no trunk.
    pub fn new(config: Config) -> Self {
        Self {
            roster: Roster::new(&config.users, &config.rules, config.limits.users),
            config,
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            tickets: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_leg: 1,
            trunk: false,
            down: BTreeSet::new(),
            draining: false,
            retiring: false,
            lamps: BTreeMap::new(),
            line_states: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a new device of a user. It joins the calls that ring for the user now.
    ///
    /// A configured user stays as configured, whatever `user` says beside the id.
    ///
    /// # Errors
    ///
    /// When a limit is reached, the number belongs to someone else, or the daemon goes down.
    pub fn register(
        &mut self,
        device: DeviceId,
        user: User,
        attachment: Attachment,
    ) -> Result<Snapshot, Refusal> {
        self.refuse_when_draining()?;
        let id = user.id.clone();
        let ringing = self.offers_to(&id);
        let renamed = self
            .roster
            .add(device, user, attachment, &self.config.limits)?;
        self.refresh_presence(&id, Some(device), renamed);
        let snapshot = self.snapshot(device);
        for call in ringing {
            self.join_offer(device, call);
        }
        Ok(snapshot)
    }

    /// Takes a new device of somebody who is not here to stay: what such a user wants done with calls
    /// is forgotten with the last device.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn register_guest(
        &mut self,
        device: DeviceId,
        user: User,
        attachment: Attachment,
    ) -> Result<Snapshot, Refusal> {
        let id = user.id.clone();
        let snapshot = self.register(device, user, attachment)?;
        self.roster.is_passing(&id);
        Ok(snapshot)
    }

    /// Takes a device back on a new socket.
    ///
    /// # Errors
    ///
    /// [`Reason::NotRegistered`] when its grace is over: register it anew, under a new id.
    pub fn resume(
        &mut self,
        device: DeviceId,
        attachment: Attachment,
    ) -> Result<Snapshot, Refusal> {
        if let Some(until) = self.roster.attach(device, attachment)? {
            self.deadlines.remove(&(until, Due::Grace(device)));
        }
        Ok(self.snapshot(device))
    }

    /// Carries out what a device wants. What has already come about (an answer to a call that this
    /// device has answered, the state it is in) is accepted again.
    ///
    /// # Errors
    ///
    /// When it cannot be done; nothing has changed then.
    pub fn request(
        &mut self,
        device: DeviceId,
        request: Request,
        now: Instant,
    ) -> Result<(), Refusal> {
        let user = self.roster.user_of(device)?.id.clone();
        match request {
            Request::Presence(own) => {
                self.set_presence(&user, own);
                Ok(())
            }
            Request::Rules(rules) => {
                self.set_rules(&user, rules);
                Ok(())
            }
            Request::Park(call) => self.park(Asker::Device(device), call, now),
            Request::Call { call, to } => self.call(device, call, &to, now),
            Request::Ringing(call) => self.device_rings(device, call, now),
            Request::Answer(call) => self.answer(device, call, now),
            Request::Reject(call) => self.reject(device, call, now),
            Request::Cancel(call) => self.cancel(device, call, now),
            Request::Hangup(call) => self.hang_up(device, call, now),
            Request::Hold(call, held) => self.hold(device, call, held),
            Request::Mute(call, muted) => self.mute(device, call, muted),
            Request::Dtmf(call, digits) => self.dtmf(device, call, digits),
            Request::Transfer { call, to } => self.transfer(Asker::Device(device), call, &to, now),
            Request::Connect { call, with } => {
                let asker = Asker::Device(device);
                self.merge((asker, asker), call, with, Then::Leave, now)
            }
            Request::Merge { call, with } => {
                let asker = Asker::Device(device);
                self.merge((asker, asker), call, with, Then::Stay, now)
            }
        }
    }

    /// Takes a call from the telephone side, over ARI or by a user's fixed UUID. Its leg is
    /// participant `p1` of the call's room from now on.
    ///
    /// # Errors
    ///
    /// When nobody can be rung; hang the channel up with [`Refusal::cause`].
    pub fn arrive(&mut self, arrival: Arrival, now: Instant) -> Result<LegId, Refusal> {
        let goal = self.reachable(&arrival)?;
        let leg = self.new_leg();
        self.place_arrival(leg, arrival, goal, now)?;
        Ok(leg)
    }

    /// Decides whether a telephone caller may connect by AudioSocket, without ringing anyone yet.
    /// [`Input::LegAttached`] with the leg begins the call as [`arrive`](Self::arrive) does;
    /// without it the ticket ends after [`Config::ticket_ttl`]. [`Arrival::trunk`] is ignored: such
    /// a leg is answered.
    ///
    /// # Errors
    ///
    /// When nobody could be rung now.
    pub fn ticket(&mut self, arrival: Arrival, now: Instant) -> Result<LegId, Refusal> {
        self.reachable(&arrival)?;
        if self.tickets.len() >= self.config.limits.tickets {
            return Err(refusal(
                Reason::TooMany,
                "too many tickets wait for their connection",
            ));
        }
        let leg = self.new_leg();
        let until = now + self.config.ticket_ttl;
        self.deadlines.insert((until, Due::Ticket(leg)));
        self.tickets.insert(leg, Ticket { arrival, until });
        Ok(leg)
    }

    /// Applies something that happened outside. What is unknown or too late is ignored.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Dropped { device, attachment } => {
                let until = now + self.config.grace;
                if self.roster.drop_socket(device, attachment, until) {
                    self.deadlines.insert((until, Due::Grace(device)));
                }
            }
            Input::LegAttached(leg) => self.leg_attached(leg, now),
            Input::LegRinging(leg) => self.leg_rings(leg, now),
            Input::LegEarly(leg) => self.leg_early(leg),
            Input::LegAnswered(leg) => self.leg_answered(leg, now),
            Input::LegEnded { leg, cause } => self.leg_ended(leg, cause, now),
            Input::LegDigit { leg, digit } => self.leg_digit(leg, digit),
            Input::LegHeld { leg, held } => self.leg_held(leg, held),
            Input::LegTransfers { leg, to } => self.leg_transfers(leg, &to, now),
            Input::LegConnects { leg, with } => self.leg_connects(leg, with, now),
            Input::Trunk { name, up: true } => drop(self.down.remove(&name)),
            Input::Trunk { name, up: false } => drop(self.down.insert(name)),
            Input::TrunkAvailable(available) => {
                self.trunk = available;
                if !available {
                    self.lines_lost();
                }
            }
            Input::Line { number, state } => self.line_changed(&number, state),
            Input::Messages { line, waiting } => self.messages_changed(&line, waiting),
            Input::Drain => self.drain(now),
            Input::Retire => {
                self.draining = true;
                self.retiring = true;
            }
        }
    }

    /// Applies what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(until, due)) = self.deadlines.first()
            && until <= now
        {
            self.deadlines.pop_first();
            match due {
                Due::Grace(device) => self.remove_device(device, now),
                Due::Call(call) => match self.calls.get(&call).map(|call| &call.state) {
                    Some(State::Offered { .. }) => self.end(call, Cause::NoAnswer, None, now),
                    Some(State::Up { .. } | State::Transferring { .. } | State::Parked { .. }) => {
                        self.end(call, Cause::TooLong, None, now);
                    }
                    None => {}
                },
                Due::Transfer(call) => self.transfer_failed(call, Cause::NoAnswer, None, now),
                Due::Divert(call) => self.divert_due(call, now),
                Due::Park(call) => self.park_due(call, now),
                Due::Ticket(leg) => {
                    self.tickets.remove(&leg);
                }
            }
        }
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Returns the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.retiring && self.outputs.is_empty() {
            self.forget_idle_devices();
        }
        if self.outputs.is_empty() {
            self.refresh_lamps();
        }
        self.outputs.pop_front()
    }

    /// Returns how much is going on.
    pub fn counts(&self) -> Counts {
        let up = |call: &&Call| call.state.since().is_some();
        Counts {
            users: self.roster.users_len(),
            devices: self.roster.devices_len(),
            calls: self.calls.len(),
            calls_up: self.calls.values().filter(up).count(),
            legs: self.legs.len(),
            tickets: self.tickets.len(),
        }
    }

    /// Returns the users with a call, answered or not.
    pub fn users_in_calls(&self) -> BTreeSet<UserId> {
        self.users_of(|_| true)
    }

    /// Returns the users with a call that nobody has answered yet.
    pub fn users_unanswered(&self) -> BTreeSet<UserId> {
        self.users_of(|call| call.state.invite().is_some())
    }

    fn users_of(&self, wanted: impl Fn(&Call) -> bool) -> BTreeSet<UserId> {
        let calls = self.calls.values().filter(|call| wanted(call));
        let devices = calls.flat_map(Call::devices);
        devices
            .filter_map(|device| Some(self.roster.user_of(device).ok()?.id.clone()))
            .collect()
    }

    /// Returns what the switchboard goes by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn remove_device(&mut self, device: DeviceId, now: Instant) {
        for call in self.roster.calls_of(device) {
            self.leave(device, call, now);
        }
        self.forget_device(device);
    }

    fn forget_device(&mut self, device: DeviceId) {
        if let Some(user) = self.roster.remove(device) {
            self.refresh_presence(&user, None, false);
            self.roster.remove_user_if_gone(&user);
        }
        self.outputs.push_back(Output::Forget(device));
    }

    fn forget_idle_devices(&mut self) {
        let roster = &self.roster;
        let idle = |device: &DeviceId| roster.calls_len(*device) == 0;
        let idle: Vec<_> = roster.devices().filter(idle).collect();
        for device in idle {
            self.forget_device(device);
        }
    }

    fn drain(&mut self, now: Instant) {
        self.draining = true;
        for (leg, ticket) in std::mem::take(&mut self.tickets) {
            self.deadlines.remove(&(ticket.until, Due::Ticket(leg)));
        }
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for call in calls {
            self.end(call, Cause::Shutdown, None, now);
        }
    }

    fn refuse_when_draining(&self) -> Result<(), Refusal> {
        if self.draining {
            return Err(refusal(Reason::ShuttingDown, "the server is going down"));
        }
        Ok(())
    }

    fn new_leg(&mut self) -> LegId {
        let leg = LegId(self.next_leg);
        self.next_leg += 1;
        leg
    }

    fn notify(&mut self, device: DeviceId, event: Event) {
        self.outputs.push_back(Output::Notify { device, event });
    }
}

fn refusal(reason: Reason, text: impl Into<String>) -> Refusal {
    Refusal {
        reason,
        text: text.into(),
    }
}
