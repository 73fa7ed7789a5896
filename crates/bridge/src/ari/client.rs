//! The handle of one Asterisk.

use std::collections::BTreeSet;

use base64::Engine;
use moqrelay_wire::signal::Cause;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::driver::{Driver, Order};
use super::{
    Caller, Command, Config, ConfigError, Event, IncomingId, Lamp, LegId, TransferProgress,
};

/// Commands that wait; a call needs about four.
const COMMANDS_MAX: usize = 1024;
/// Events on their way to the daemon.
const EVENTS_MAX: usize = 256;

/// Makes the client of one Asterisk.
#[derive(Debug)]
pub struct Client;

/// Gives commands to the client. Nothing waits: a command is taken or refused.
///
/// The order of calls is told in the [module's documentation](super).
#[derive(Debug, Clone)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
}

/// The command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandRefused {
    /// Too many wait already.
    #[error("too many commands for asterisk wait already")]
    Full,
    /// The client's future has ended.
    #[error("the client of asterisk has ended")]
    Ended,
}

impl Client {
    /// Returns the handle, the future that does the work, and the events.
    ///
    /// The future ends when every handle is dropped: it hangs up every leg, removes what is left
    /// in Asterisk, and gives up on that after five seconds. Nothing is spawned.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be used.
    #[expect(clippy::new_ret_no_self, reason = "an engine is a handle and a future")]
    pub fn new(
        config: Config,
    ) -> Result<
        (
            Handle,
            impl Future<Output = ()> + Send,
            mpsc::Receiver<Event>,
        ),
        ConfigError,
    > {
        config.check()?;
        let (orders, orders_rx) = mpsc::channel(COMMANDS_MAX);
        let (events, events_rx) = mpsc::channel(EVENTS_MAX);
        let (run, seed) = (config.run, (Uuid::new_v4().as_u128() >> 64) as u64);
        let password = format!("{}:{}", config.user, config.password.expose());
        let authorization = format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(password)
        );
        let driver = Driver::new(config, authorization, run, seed, orders_rx, events)?;
        Ok((Handle { orders }, driver.run(), events_rx))
    }
}

impl Handle {
    /// Makes an incoming call a leg. Every event about it names the leg from now on; if the caller
    /// has left already, that is [`Event::Ended`] at once.
    ///
    /// # Errors
    ///
    /// When the command was not taken, as with every other command.
    pub fn adopt(&self, call: IncomingId, leg: LegId) -> Result<(), CommandRefused> {
        self.command(Command::Adopt { call, leg })
    }

    /// Turns an incoming call away.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn refuse(&self, call: IncomingId, cause: Cause) -> Result<(), CommandRefused> {
        self.command(Command::Refuse { call, cause })
    }

    /// Calls `number` (`[0-9*#+]{1,32}`), by a trunk if one is named. The AudioSocket server must expect `uuid` by now.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn dial(
        &self,
        leg: LegId,
        number: &str,
        trunk: Option<&str>,
        caller: Caller,
        uuid: Uuid,
    ) -> Result<(), CommandRefused> {
        self.command(Command::Dial {
            leg,
            number: number.to_owned(),
            trunk: trunk.map(str::to_owned),
            caller,
            uuid,
        })
    }

    /// Lets the caller of an adopted leg hear that it rings.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn ring(&self, leg: LegId) -> Result<(), CommandRefused> {
        self.command(Command::Ring(leg))
    }

    /// Connects the sound of an adopted leg without answering. The AudioSocket server must expect
    /// `uuid` by now.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn early(&self, leg: LegId, uuid: Uuid) -> Result<(), CommandRefused> {
        self.command(Command::Early { leg, uuid })
    }

    /// Answers an adopted leg. The AudioSocket server must expect `uuid` by now; after
    /// [`early`](Self::early) it is not used.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn answer(&self, leg: LegId, uuid: Uuid) -> Result<(), CommandRefused> {
        self.command(Command::Answer { leg, uuid })
    }

    /// Ends a leg in whatever state it is, and tells the far end why. Do this before closing the
    /// leg's AudioSocket, whose loss would end the leg with another cause.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn hang_up(&self, leg: LegId, cause: Cause) -> Result<(), CommandRefused> {
        self.command(Command::HangUp { leg, cause })
    }

    /// Sends digits, 1 to 32 of `0-9A-D*#` and `w` for a pause of half a second, to the far end.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn dtmf(&self, leg: LegId, digits: &str) -> Result<(), CommandRefused> {
        self.command(Command::Dtmf {
            leg,
            digits: digits.to_owned(),
        })
    }

    /// Leaves what comes in to another run of the daemon; legs go on. Returns the channels that the
    /// other run must leave alone ([`Config::elders_callers`]), besides those that bear the name of
    /// this one.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub async fn step_aside(&self) -> Result<BTreeSet<String>, CommandRefused> {
        let (answer, callers) = oneshot::channel();
        self.order(Order::StepAside(answer))?;
        callers.await.map_err(|_| CommandRefused::Ended)
    }

    /// Takes what comes in again: no other run has taken over.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn step_back(&self) -> Result<(), CommandRefused> {
        self.command(Command::StepBack)
    }

    /// Lets the far end hear music instead of us.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn hold(&self, leg: LegId) -> Result<(), CommandRefused> {
        self.command(Command::Hold(leg))
    }

    /// Lets the far end hear us again.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn resume(&self, leg: LegId) -> Result<(), CommandRefused> {
        self.command(Command::Resume(leg))
    }

    /// Tells a telephone that transfers what becomes of it.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn transfer(&self, leg: LegId, progress: TransferProgress) -> Result<(), CommandRefused> {
        self.command(Command::Transfer { leg, progress })
    }

    /// Shows a line's state on the lamps of telephones.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn lamp(&self, line: &str, lamp: Lamp) -> Result<(), CommandRefused> {
        let line = line.to_owned();
        self.command(Command::Lamp { line, lamp })
    }

    /// Tells from now on whether messages wait for a line, or no longer.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn mailbox(&self, line: &str, watched: bool) -> Result<(), CommandRefused> {
        let line = line.to_owned();
        self.command(Command::Mailbox { line, watched })
    }

    /// Tells the dialplan what became of a setting: `ok`, or why not.
    ///
    /// # Errors
    ///
    /// When the command was not taken.
    pub fn answer_setting(
        &self,
        call: IncomingId,
        result: &'static str,
    ) -> Result<(), CommandRefused> {
        self.command(Command::AnswerSetting { call, result })
    }

    fn command(&self, command: Command) -> Result<(), CommandRefused> {
        self.order(Order::Command(command))
    }

    fn order(&self, order: Order) -> Result<(), CommandRefused> {
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommandRefused::Full,
            mpsc::error::TrySendError::Closed(_) => CommandRefused::Ended,
        })
    }
}
