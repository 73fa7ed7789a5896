//! Callers whom nobody has answered.

use moqrelay_wire::signal::Cause;

use super::super::config::Unanswered;
use super::super::request::{Method, Target};
use super::super::to_q850;
use super::{Purpose, Steering};

/// The variable in which the dialplan finds why.
const CAUSE: &str = "MOQRELAY_CAUSE";

impl Steering {
    /// Ends our part in a caller's call that was not answered.
    pub(super) fn turn_away(&mut self, channel: String, cause: Cause) {
        let q850 = to_q850(cause);
        match self.config.unanswered {
            Unanswered::HangUp => self.doom_channel(channel, q850, None),
            Unanswered::Dialplan => {
                self.go_back(channel, (CAUSE, cause.as_str()), q850);
            }
        }
    }

    /// Lets the dialplan go on with a channel and find something in a variable.
    pub(super) fn go_back(&mut self, channel: String, (name, value): (&str, &str), q850: u16) {
        let target = Target::new("channels")
            .segment(&channel)
            .segment("variable")
            .query("variable", name)
            .query("value", value)
            .finish();
        self.ask(Method::Post, target, None, Purpose::Why { channel, q850 });
    }

    /// The dialplan knows why, or cannot be told: it goes on.
    pub(super) fn go_on(&mut self, channel: String, q850: u16) {
        let target = Target::new("channels")
            .segment(&channel)
            .segment("continue")
            .finish();
        let purpose = Purpose::Continue { channel, q850 };
        self.ask(Method::Post, target, None, purpose);
    }
}
