//! States of telephones and mailboxes in Asterisk, and settings that telephones change.

use std::collections::BTreeMap;

use super::super::event::DeviceState;
use super::super::message::Channel;
use super::super::request::{Method, Target};
use super::messages::text;
use super::responses::Variable;
use super::sync::Link;
use super::{Config, Event, IncomingId, Purpose, Response, Steering};

/// Devices that are watched: the lines of a configuration, and a mailbox for each user of a node.
const WATCHES_MAX: usize = 2000;
/// Devices in one request, whose line must fit what Asterisk reads of one.
const WATCHED_AT_ONCE: usize = 20;
/// Telephones that change a setting at the same time; one takes milliseconds.
const SETTINGS_MAX: usize = 100;
/// Begins the first argument of `Stasis()` when it is no call. No user's id and no number has a colon.
pub(super) const SETTING: &str = "set:";
/// The variable in which the dialplan finds what became of it.
const RESULT: &str = "MOQRELAY_RESULT";
/// What a caller hears who is turned away without a word of ours: normal clearing.
const Q850_NORMAL: u16 = 16;

/// A device whose state is heard.
#[derive(Debug)]
pub(super) struct Watch {
    of: Of,
    /// What the daemon was last told.
    told: Option<DeviceState>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Line,
    /// The mailbox of this line.
    Mailbox(String),
}

impl Watch {
    /// Asterisk is away: what is true then is not known.
    pub(super) fn forget(&mut self) {
        self.told = None;
    }
}

/// Returns what the configuration names.
pub(super) fn of_lines(config: &Config) -> BTreeMap<String, Watch> {
    let watch = |device: &String| {
        let (of, told) = (Of::Line, None);
        (device.clone(), Watch { of, told })
    };
    config.lines.iter().take(WATCHES_MAX).map(watch).collect()
}

impl Steering {
    pub(super) fn watch_mailbox(&mut self, line: &str, watched: bool) {
        let Some(mailbox) = &self.config.mailbox else {
            return;
        };
        // A name of Asterisk's for the state of a mailbox.
        let device = format!("MWI:{}", mailbox.replace("{number}", line));
        if !watched {
            if self.watches.remove(&device).is_some() {
                self.subscribe_to(Method::Delete, &[device]);
            }
            return;
        }
        if self.watches.len() >= WATCHES_MAX {
            tracing::warn!(
                line,
                "too many devices are watched: nothing is told of messages"
            );
            return;
        }
        let (of, told) = (Of::Mailbox(line.to_owned()), None);
        self.watches.insert(device.clone(), Watch { of, told });
        self.subscribe_to(Method::Post, &[device]);
    }

    /// Asterisk is there again, and has forgotten who listens.
    pub(super) fn watch_all(&mut self) {
        let devices: Vec<String> = self.watches.keys().cloned().collect();
        for some in devices.chunks(WATCHED_AT_ONCE) {
            self.subscribe_to(Method::Post, some);
        }
    }

    fn subscribe_to(&mut self, method: Method, devices: &[String]) {
        if self.aside || !matches!(self.link, Link::Up) {
            return;
        }
        let sources: Vec<String> = devices
            .iter()
            .map(|device| format!("deviceState:{device}"))
            .collect();
        let target = Target::new("applications")
            .segment(&self.own_app)
            .segment("subscription")
            .query("eventSource", &sources.join(","))
            .finish();
        let purpose = match method {
            Method::Delete => Purpose::Minor,
            Method::Get | Method::Post => Purpose::Watch(devices.to_vec()),
        };
        self.ask(method, target, None, purpose);
    }

    /// From now on changes are heard; what holds already must be asked.
    pub(super) fn watched(&mut self, devices: Vec<String>, done: bool) {
        if !done {
            tracing::warn!(
                ?devices,
                "asterisk does not tell states of devices: is res_stasis_device_state loaded?"
            );
            return;
        }
        for device in devices {
            let target = Target::new("asterisk/variable")
                .query("variable", &format!("DEVICE_STATE({device})"))
                .finish();
            self.ask(Method::Get, target, None, Purpose::Device(device));
        }
    }

    pub(super) fn learn_device(&mut self, name: &str, response: Option<Response>) {
        let body = response.filter(|response| response.status == 200);
        let value: Option<Variable> = body.and_then(|it| serde_json::from_slice(&it.body).ok());
        // What an event has said meanwhile is newer.
        let heard = |watch: &Watch| watch.told.is_some();
        if let Some(Variable { value }) = value
            && !self.watches.get(name).is_some_and(heard)
        {
            self.device_changed(name, &value);
        }
    }

    pub(super) fn device_changed(&mut self, name: &str, word: &str) {
        let Some(watch) = self.watches.get_mut(name) else {
            return;
        };
        let state = DeviceState::from_word(word);
        if watch.told.replace(state) == Some(state) {
            return;
        }
        let event = match watch.of.clone() {
            Of::Line => Event::Device {
                device: name.to_owned(),
                state,
            },
            // In use: messages wait.
            Of::Mailbox(line) => Event::Messages {
                line,
                waiting: state == DeviceState::Busy,
            },
        };
        self.tell(event);
    }

    /// A telephone wants a setting changed. Nothing else is to be done with its call.
    pub(super) fn ask_setting(&mut self, channel: &Channel, args: Vec<String>) {
        let mut args = args.into_iter().map(|arg| text(&arg).unwrap_or_default());
        let (what, user, value) = (args.next(), args.next(), args.next());
        let id = channel.id.clone();
        let free = matches!(self.link, Link::Up) && self.settings.len() < SETTINGS_MAX;
        let (Some(what), true) = (what, free) else {
            return self.go_back(id, (RESULT, "failed"), Q850_NORMAL);
        };
        self.settings.insert(id.clone());
        self.tell(Event::Setting {
            call: IncomingId(id),
            user: user.unwrap_or_default(),
            what: what.trim_start_matches(SETTING).to_owned(),
            value: value.unwrap_or_default(),
        });
    }

    pub(super) fn answer_setting(&mut self, channel: String, result: &str) {
        if self.settings.remove(&channel) {
            self.go_back(channel, (RESULT, result), Q850_NORMAL);
        }
    }
}
