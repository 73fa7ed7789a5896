//! Coming and going of the connection, and finding out what happened meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use moqrelay_wire::signal::Cause;

use super::super::message::{BridgeEntry, Channel, ChannelState};
use super::super::request::Method;
use super::super::to_q850;
use super::watch::Watch;
use super::{Event, LegId, Output, Part, Phase, Purpose, Response, Steering};

/// Callers in one request, whose line must fit what Asterisk reads of one.
const SUBSCRIBED_AT_ONCE: usize = 20;

/// Whether Asterisk can be reached.
#[derive(Debug)]
pub(super) enum Link {
    /// It cannot.
    Down,
    /// The events come in; what is there is being read.
    Syncing {
        channels: Option<Vec<Channel>>,
        bridges: Option<Vec<BridgeEntry>>,
    },
    /// It can.
    Up,
}

impl Steering {
    /// The events WebSocket is open.
    pub fn handle_connected(&mut self) {
        if self.aside {
            self.hear_callers();
        }
        self.read_lists();
    }

    fn read_lists(&mut self) {
        self.link = Link::Syncing {
            channels: None,
            bridges: None,
        };
        self.ask(Method::Get, "/channels".into(), None, Purpose::Channels);
        self.ask(Method::Get, "/bridges".into(), None, Purpose::Bridges);
        if self.config.is_any_cheapest() && !self.aside {
            self.ask(
                Method::Get,
                "/asterisk/modules".into(),
                None,
                Purpose::Modules,
            );
        }
    }

    /// The events WebSocket is closed. Legs go on: their sound does not depend on it.
    pub fn handle_disconnected(&mut self) {
        if matches!(self.link, Link::Up) {
            self.tell(Event::Down);
        }
        self.link = Link::Down;
        self.trunks_due = None;
        self.settings.clear();
        self.watches.values_mut().for_each(Watch::forget);
        for leg in self.legs.values_mut() {
            leg.stale = true;
        }
        for waiting in self.waiting.values_mut() {
            waiting.stale = true;
        }
        // The lists that were asked for tell nothing any more.
        self.pending
            .retain(|_, purpose| !matches!(purpose, Purpose::Channels | Purpose::Bridges));
    }

    /// Another run takes what comes in from now on.
    pub(super) fn step_aside(&mut self) {
        self.aside = true;
        // Calls that nobody has adopted are offered to the other run.
        self.waiting.clear();
        let ours = |channel: &&String| !channel.starts_with(&self.mark);
        let callers = self.channels.keys().filter(ours);
        let leaving = self.dooms.keys().filter(ours);
        let callers = callers.chain(leaving).chain(&self.config.elders_callers);
        self.outputs
            .push_back(Output::StepAside(callers.cloned().collect()));
    }

    /// No other run has taken over after all.
    pub(super) fn step_back(&mut self) {
        self.aside = false;
        // What came in meanwhile is found by looking.
        self.outputs.push_back(Output::Reconnect);
    }

    /// Lets the application of this run hear what is about the callers, who came in by the other.
    fn hear_callers(&mut self) {
        let callers = self.channels.keys();
        let callers: Vec<_> = callers
            .filter(|channel| !channel.starts_with(&self.mark))
            .map(|channel| format!("channel:{channel}"))
            .collect();
        for some in callers.chunks(SUBSCRIBED_AT_ONCE) {
            self.subscribe(some);
        }
    }

    /// Looks up what has become of the legs while nothing about callers was heard. Those that are
    /// just being set up or taken down are not looked at: what is under way tells itself.
    pub(super) fn look_again(&mut self) {
        for leg in self.legs.values_mut() {
            leg.stale = match leg.phase {
                Phase::Offered { .. }
                | Phase::Early { .. }
                | Phase::Dialling { .. }
                | Phase::Up => true,
                Phase::SettingUp { .. } | Phase::Answering { .. } | Phase::Leaving { .. } => false,
            };
        }
        self.pending
            .retain(|_, purpose| !matches!(purpose, Purpose::Channels | Purpose::Bridges));
        self.hear_callers();
        self.read_lists();
    }

    /// Returns whether something in Asterisk belongs to a run that still has calls.
    pub(super) fn is_of_an_elder(&self, id: &str) -> bool {
        self.config.elders_callers.contains(id)
            || self.elders.iter().any(|prefix| id.starts_with(prefix))
    }

    pub(super) fn list_channels(&mut self, response: Option<Response>, now: Instant) {
        let list = parse(response);
        if let Link::Syncing { channels, .. } = &mut self.link {
            match list {
                Some(list) => *channels = Some(list),
                None => self.outputs.push_back(Output::Reconnect),
            }
        }
        self.reconcile(now);
    }

    pub(super) fn list_bridges(&mut self, response: Option<Response>, now: Instant) {
        let list = parse(response);
        if let Link::Syncing { bridges, .. } = &mut self.link {
            match list {
                Some(list) => *bridges = Some(list),
                None => self.outputs.push_back(Output::Reconnect),
            }
        }
        self.reconcile(now);
    }

    /// Compares what we know with what there is, once both lists are in.
    fn reconcile(&mut self, now: Instant) {
        let Link::Syncing {
            channels: Some(channels),
            bridges: Some(bridges),
        } = &mut self.link
        else {
            return;
        };
        let (channels, bridges) = (std::mem::take(channels), std::mem::take(bridges));
        self.link = Link::Up;
        if !self.aside {
            self.tell(Event::Up);
            self.light_all();
            self.watch_trunks(now);
            self.watch_all();
        }

        let states: BTreeMap<&str, ChannelState> = channels
            .iter()
            .map(|channel| (channel.id.as_str(), channel.state))
            .collect();
        self.waiting
            .retain(|id, waiting| !waiting.stale || states.contains_key(id.as_str()));
        self.waiting
            .values_mut()
            .for_each(|waiting| waiting.stale = false);
        let legs: Vec<LegId> = self
            .legs
            .iter()
            .filter(|(_, leg)| leg.stale)
            .map(|(id, _)| *id)
            .collect();
        for id in legs {
            self.reconcile_leg(id, &states, now);
        }
        self.retry_all_dooms();
        if self.aside {
            return;
        }
        for channel in &channels {
            self.reconcile_channel(channel, now);
        }
        let known: BTreeSet<String> = self.legs.keys().map(|id| self.name(*id, "mix")).collect();
        for bridge in &bridges {
            let ours = bridge.id.starts_with(&self.mark) && !self.is_of_an_elder(&bridge.id);
            if ours && !known.contains(&bridge.id) {
                self.doom_bridge(bridge.id.clone(), None);
            }
        }
    }

    /// A leg from before the connection was lost. The list may be older than what it does not
    /// show: what is not there is removed all the same.
    fn reconcile_leg(&mut self, id: LegId, states: &BTreeMap<&str, ChannelState>, now: Instant) {
        let external = self.name(id, "audio");
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        leg.stale = false;
        let far = states.get(leg.far.as_str()).copied();
        let sound = states.contains_key(external.as_str());
        match (leg.far_part, far) {
            (Part::Made | Part::Ready, None) => {
                let cause = leg.cause_of_absence();
                self.end(id, cause);
                return;
            }
            (Part::Made, Some(_)) => leg.far_part = Part::Ready,
            _ => {}
        }
        match (leg.external, sound) {
            (Part::Ready, false) => {
                self.end(id, Cause::Lost);
                return;
            }
            (Part::Made, true) => leg.external = Part::Ready,
            _ => {}
        }
        match far {
            Some(ChannelState::Ringing) => self.rings(id),
            Some(ChannelState::Up) => self.picked_up(id),
            _ => {}
        }
        self.advance(id, now);
    }

    /// A channel of the list: one of ours that nobody knows any more is removed, a call that came
    /// in while we were away is offered.
    fn reconcile_channel(&mut self, channel: &Channel, now: Instant) {
        let known = self.channels.contains_key(&channel.id)
            || self.waiting.contains_key(&channel.id)
            || self.dooms.contains_key(&channel.id);
        if known || self.is_of_an_elder(&channel.id) {
            return;
        }
        if channel.id.starts_with(&self.mark) {
            self.doom_channel(channel.id.clone(), to_q850(Cause::Lost), None);
            return;
        }
        let mut data = channel.dialplan.app_data.split(',');
        if channel.dialplan.app_name != "Stasis" || data.next() != Some(&self.config.app) {
            return;
        }
        let args = data.map(str::to_owned).collect();
        // With elders whose callers are known, it came in while they handed over.
        if channel.state == ChannelState::Up && self.elders.is_empty() {
            // Answered by an earlier run of the daemon, which has left it without sound.
            self.doom_channel(channel.id.clone(), to_q850(Cause::Lost), None);
        } else {
            self.offer(channel, args, now);
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(response: Option<Response>) -> Option<Vec<T>> {
    let response = response.filter(|response| response.status == 200)?;
    serde_json::from_slice(&response.body)
        .inspect_err(|error| tracing::warn!(%error, "a list of asterisk's could not be read"))
        .ok()
}
