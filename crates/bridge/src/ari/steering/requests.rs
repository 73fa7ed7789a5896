//! The requests, one function each.

use moqrelay_wire::signal::Cause;
use uuid::Uuid;

use crate::Codec;

use super::super::event::{SentOn, SentOnReason};
use super::super::request::{Method, Target};
use super::super::road::{Abilities, Choice, Plan, Road};
use super::{
    Caller, Event, Joining, LegId, Output, Part, Phase, Piece, Purpose, Request, RequestId,
    Steering, TransferProgress,
};

/// Asterisk's function that says who carries out a SIP channel's transfers.
const TRANSFERS: &str = "PJSIP_TRANSFER_HANDLING()";
const TRANSFERS_BY_ARI: &str = "ari-only";
/// The longest name that is shown to a telephone, in characters.
const NAME_LEN_MAX: usize = 64;

impl Steering {
    /// Asks for the bridge and the AudioSocket's channel.
    pub(super) fn build_audio(&mut self, id: LegId, uuid: Uuid) {
        let mix = self.name(id, "mix");
        let bridge = Target::new("bridges")
            .segment(&mix)
            .query("type", "mixing")
            .finish();
        let mix = self.ask(Method::Post, bridge, None, Purpose::Mix(id));

        let external = self.name(id, "audio");
        self.channels
            .insert(external.clone(), (id, Piece::External));
        let channel = Target::new("channels/externalMedia")
            .query("app", &self.own_app)
            .query("channelId", &external);
        let plan = self.choose_way(id);
        let format = plan.codec.name();
        let channel = match plan.road {
            Road::AudioSocket => channel
                .query("external_host", &self.config.audiosocket)
                .query("encapsulation", "audiosocket")
                .query("transport", "tcp")
                .query("format", format)
                .query("data", &uuid.to_string()),
            Road::WebSocket => channel
                .query("external_host", "INCOMING")
                .query("encapsulation", "none")
                .query("transport", "websocket")
                .query("connection_type", "server")
                .query("format", format),
            Road::Rtp => channel
                .query(
                    "external_host",
                    self.config.rtp.as_deref().unwrap_or_default(),
                )
                .query("encapsulation", "rtp")
                .query("transport", "udp")
                .query("format", format),
        };
        let channel = channel.finish();
        let external = self.ask(
            Method::Post,
            channel,
            None,
            Purpose::Create(id, Piece::External),
        );
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.mix = Part::Asked(mix);
            leg.external = Part::Asked(external);
        }
        let choice = self.legs.get(&id).map(|leg| leg.choice);
        if choice == Some(Choice::Cheapest) || choice != Some(self.config.choice) {
            self.tell(Event::Chosen { leg: id, plan });
        }
    }

    /// Chooses the way of a leg's sound, once.
    pub(super) fn choose_way(&mut self, id: LegId) -> Plan {
        let chosen = self.legs.get(&id).and_then(|leg| leg.plan);
        let plan = chosen.unwrap_or_else(|| self.plan(id));
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.plan = Some(plan);
        }
        plan
    }

    fn plan(&self, id: LegId) -> Plan {
        let leg = self.legs.get(&id);
        let choice = leg.map_or(self.config.choice, |leg| leg.choice);
        match choice {
            Choice::Fixed(road, codec) => Plan {
                road,
                codec,
                why: if choice == self.config.choice {
                    "the configuration says so"
                } else {
                    "the configuration says so for this number"
                },
            },
            Choice::Cheapest => {
                let abilities = Abilities {
                    rtp: self.abilities.rtp && self.config.rtp.is_some(),
                    ..self.abilities
                };
                abilities.choose(leg.and_then(|leg| leg.codec.as_deref()))
            }
        }
    }

    /// Asks what the far end speaks.
    pub(super) fn ask_codec(&mut self, id: LegId) {
        let Some(target) = self.at_far(id, "variable") else {
            return;
        };
        let target = target
            .query("variable", "CHANNEL(audionativeformat)")
            .finish();
        self.ask(Method::Get, target, None, Purpose::Codec(id));
    }

    /// Asks for the channel to the called one; it is not dialled yet.
    pub(super) fn create_far(
        &mut self,
        id: LegId,
        number: &str,
        trunk: Option<&str>,
        caller: &Caller,
    ) {
        let mut trunks = self.config.trunks.iter();
        let trunk = trunk.and_then(|name| trunks.find(|trunk| trunk.name == name));
        let (dial, shown) = match trunk {
            Some(trunk) => (&trunk.dial, &trunk.caller_number),
            None => (&self.config.dial, &self.config.caller_number),
        };
        let endpoint = dial.replace("{number}", number);
        let mut variables = self.caller_id(caller, shown);
        if let Some(sent_on) = &caller.sent_on {
            diversion(&mut variables, sent_on);
        }
        let mut target = Target::new("channels/create")
            .query("endpoint", &endpoint)
            .query("app", &self.own_app)
            .query("channelId", &self.name(id, "far"));
        // A Local channel is asked for 8 kHz otherwise. A telephone's codecs are its own affair.
        if endpoint.starts_with("Local/") {
            let plan = self.legs.get(&id).and_then(|leg| leg.plan);
            let codec = plan.map_or(Codec::SLIN16, |plan| plan.codec);
            target = target.query("formats", codec.name());
        }
        if is_sip(&endpoint) {
            variables.insert(TRANSFERS.into(), TRANSFERS_BY_ARI.into());
        }
        let body = (!variables.is_empty())
            .then(|| serde_json::json!({ "variables": variables }).to_string());
        let request = self.ask(
            Method::Post,
            target.finish(),
            body,
            Purpose::Create(id, Piece::Far),
        );
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.far_part = Part::Asked(request);
        }
    }

    /// Returns the variables that show the caller. The called one sees the connected line of a
    /// channel that is dialled; "i" keeps Asterisk from sending an update of its own.
    fn caller_id(
        &self,
        caller: &Caller,
        shown: &str,
    ) -> serde_json::Map<String, serde_json::Value> {
        let name = caller.name.as_deref().unwrap_or_default();
        let number: String = caller
            .number
            .as_deref()
            .unwrap_or_default()
            .chars()
            .filter(|c| c.is_ascii_digit() || matches!(c, '+' | '*' | '#'))
            .collect();
        let shown_number = shown.replace("{number}", &number);
        let shown_name = self.config.caller_name.replace("{number}", &number);
        let shown_name = showable_name(&shown_name.replace("{name}", name));
        let mut variables = serde_json::Map::new();
        if !shown_number.is_empty() {
            variables.insert("CONNECTEDLINE(num,i)".into(), shown_number.into());
        }
        if !shown_name.trim().is_empty() {
            variables.insert("CONNECTEDLINE(name,i)".into(), shown_name.trim().into());
        }
        if !variables.is_empty() {
            variables.insert(
                "CONNECTEDLINE(pres,i)".into(),
                "allowed_not_screened".into(),
            );
        }
        variables
    }

    /// Asks a SIP telephone's channel to leave its transfers to us.
    pub(super) fn take_transfers(&mut self, channel: &str) {
        let target = Target::new("channels")
            .segment(channel)
            .segment("variable")
            .query("variable", TRANSFERS)
            .query("value", TRANSFERS_BY_ARI)
            .finish();
        self.ask(Method::Post, target, None, Purpose::Minor);
    }

    /// Asks what Asterisk's call records know a leg by.
    pub(super) fn ask_link(&mut self, id: LegId) {
        let Some(target) = self.at_far(id, "variable") else {
            return;
        };
        let target = target.query("variable", "CHANNEL(linkedid)").finish();
        self.ask(Method::Get, target, None, Purpose::Link(id));
    }

    /// Tells a telephone what becomes of its transfer.
    pub(super) fn report_transfer(&mut self, id: LegId, progress: TransferProgress) {
        let state = match progress {
            TransferProgress::Ringing => "channel_progress",
            TransferProgress::Answered => "channel_answered",
            TransferProgress::Failed(Cause::Rejected) => "channel_declined",
            TransferProgress::Failed(_) => "channel_unavailable",
        };
        let Some(target) = self.at_far(id, "transfer_progress") else {
            return;
        };
        let target = target.query("states", state).finish();
        let request = self.ask(Method::Post, target, None, Purpose::Farewell);
        self.legs
            .entry(id)
            .and_modify(|leg| leg.farewell = Some(request));
    }

    pub(super) fn join(&mut self, id: LegId) {
        let external = self.name(id, "audio");
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        leg.joining = Joining::Asked;
        let channels = format!("{},{external}", leg.far);
        let target = Target::new("bridges")
            .segment(&self.name(id, "mix"))
            .segment("addChannel")
            .query("channel", &channels)
            // Otherwise the caller shown to the far end becomes that of the AudioSocket: nobody.
            .query("inhibitConnectedLineUpdates", "true")
            .finish();
        self.ask(Method::Post, target, None, Purpose::Join(id));
    }

    pub(super) fn start_dialling(&mut self, id: LegId) {
        let Some(target) = self.at_far(id, "dial") else {
            return;
        };
        let timeout = self.config.ring_timeout.as_secs().to_string();
        let target = target.query("timeout", &timeout).finish();
        self.ask(Method::Post, target, None, Purpose::Dial(id));
    }

    pub(super) fn say_answer(&mut self, id: LegId) {
        let Some(target) = self.at_far(id, "answer") else {
            return;
        };
        self.ask(Method::Post, target.finish(), None, Purpose::Answer(id));
    }

    pub(super) fn ring(&mut self, id: LegId) {
        let Some(Phase::Offered { .. }) = self.phase(id) else {
            return;
        };
        let Some(target) = self.at_far(id, "ring") else {
            return;
        };
        self.ask(Method::Post, target.finish(), None, Purpose::Ring(id));
    }

    pub(super) fn send_digits(&mut self, id: LegId, digits: &str) {
        let Some(target) = self.at_far(id, "dtmf") else {
            return;
        };
        let target = target.query("dtmf", digits).finish();
        self.ask(Method::Post, target, None, Purpose::Minor);
    }

    pub(super) fn hold(&mut self, id: LegId, held: bool) {
        let Some(Phase::Up) = self.phase(id) else {
            return;
        };
        let Some(target) = self.at_far(id, "hold") else {
            return;
        };
        let method = if held { Method::Post } else { Method::Delete };
        self.ask(method, target.finish(), None, Purpose::Minor);
    }

    /// Lets our own application hear of these.
    pub(super) fn subscribe(&mut self, sources: &[String]) {
        let target = Target::new("applications")
            .segment(&self.own_app)
            .segment("subscription")
            .query("eventSource", &sources.join(","))
            .finish();
        self.ask(Method::Post, target, None, Purpose::Minor);
    }

    fn at_far(&self, id: LegId, verb: &str) -> Option<Target> {
        let leg = self.legs.get(&id)?;
        Some(Target::new("channels").segment(&leg.far).segment(verb))
    }

    pub(super) fn ask(
        &mut self,
        method: Method,
        target: String,
        body: Option<String>,
        purpose: Purpose,
    ) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.pending.insert(id, purpose);
        self.outputs.push_back(Output::Request(Request {
            id,
            method,
            target,
            body,
        }));
        id
    }
}

/// Says who has sent a call on. "i" keeps Asterisk from sending an update of its own.
fn diversion(variables: &mut serde_json::Map<String, serde_json::Value>, by: &SentOn) {
    let reason = match by.reason {
        SentOnReason::Always => "cfu",
        SentOnReason::Busy => "cfb",
        SentOnReason::NoAnswer => "cfnr",
        SentOnReason::Unreachable => "unavailable",
    };
    let mut say = |what: &str, value: String| {
        variables.insert(format!("REDIRECTING({what},i)"), value.into());
    };
    if let Some(number) = &by.number {
        say("from-num", number.clone());
    }
    say("from-name", showable_name(&by.name));
    say("reason", reason.into());
    say("count", by.times.to_string());
}

/// Returns what a telephone can show of a name.
fn showable_name(name: &str) -> String {
    let name = name
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '"' | '<' | '>' | '\\'));
    name.take(NAME_LEN_MAX).collect()
}

/// Returns whether a channel, by its name or what is dialled, is a SIP telephone's own.
pub(super) fn is_sip(name: &str) -> bool {
    name.starts_with("PJSIP/")
}
