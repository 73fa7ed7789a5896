//! What the lamps of telephones show: device states of Asterisk.

use super::super::event::Lamp;
use super::super::request::{Method, Target};
use super::sync::Link;
use super::{Purpose, Steering};

/// Lines with a lamp: twice the users of a node, for those who change their number.
const LINES_MAX: usize = 2000;

/// A line's lamp.
#[derive(Debug)]
pub(super) struct Shown {
    wanted: Lamp,
    /// What Asterisk was last told; none after a reconnection or a failure.
    told: Option<Lamp>,
    /// A request is on its way: one at a time, or they might overtake each other.
    asking: bool,
    /// The connection was made anew since that request.
    again: bool,
}

impl Steering {
    pub(super) fn light(&mut self, line: String, lamp: Lamp) {
        if self.lamps.len() >= LINES_MAX && !self.lamps.contains_key(&line) {
            tracing::warn!(line, "too many lines: no lamp for this one");
            return;
        }
        let shown = self.lamps.entry(line.clone()).or_insert(Shown {
            wanted: lamp,
            told: None,
            asking: false,
            again: false,
        });
        shown.wanted = lamp;
        self.tell_lamp(&line);
    }

    /// The request has its answer. A state that Asterisk does not take waits for the next change.
    pub(super) fn lit(&mut self, line: String, done: bool) {
        let Some(shown) = self.lamps.get_mut(&line) else {
            return;
        };
        shown.asking = false;
        let again = std::mem::take(&mut shown.again);
        if !done || again {
            shown.told = None;
        }
        if done || again {
            self.tell_lamp(&line);
        }
        self.forget_dark(&line);
    }

    /// Asterisk is there again and may have forgotten everything.
    pub(super) fn light_all(&mut self) {
        let lines: Vec<String> = self.lamps.keys().cloned().collect();
        for line in lines {
            if let Some(shown) = self.lamps.get_mut(&line) {
                shown.told = None;
                shown.again = shown.asking;
            }
            self.tell_lamp(&line);
        }
    }

    /// Nobody is there any more.
    pub(super) fn darken(&mut self) {
        let lines: Vec<String> = self.lamps.keys().cloned().collect();
        for line in lines {
            self.light(line, Lamp::Unavailable);
        }
    }

    fn tell_lamp(&mut self, line: &str) {
        if self.aside || !matches!(self.link, Link::Up) {
            return;
        }
        let Some(shown) = self.lamps.get_mut(line) else {
            return;
        };
        if shown.asking || shown.told == Some(shown.wanted) {
            return;
        }
        shown.asking = true;
        shown.told = Some(shown.wanted);
        let value = word(shown.wanted);
        let variable = format!("DEVICE_STATE(Custom:{}-{line})", self.config.app);
        let target = Target::new("asterisk/variable")
            .query("variable", &variable)
            .query("value", value)
            .finish();
        self.ask(Method::Post, target, None, Purpose::Lamp(line.to_owned()));
    }

    /// A line without a user needs no place once Asterisk knows.
    fn forget_dark(&mut self, line: &str) {
        let dark = |shown: &Shown| {
            !shown.asking
                && shown.wanted == Lamp::Unavailable
                && shown.told == Some(Lamp::Unavailable)
        };
        if self.lamps.get(line).is_some_and(dark) {
            self.lamps.remove(line);
        }
    }
}

/// Returns Asterisk's name of a state.
fn word(lamp: Lamp) -> &'static str {
    match lamp {
        Lamp::Unavailable => "UNAVAILABLE",
        Lamp::Idle => "NOT_INUSE",
        Lamp::Ringing => "RINGING",
        Lamp::InUse => "INUSE",
        Lamp::RingInUse => "RINGINUSE",
        Lamp::Busy => "BUSY",
    }
}
