//! Whether trunks can be reached: the states of Asterisk's endpoints.

use std::time::{Duration, Instant};

use super::super::request::{Method, Target};
use super::super::trunk::{EndpointState, Trunk};
use super::sync::Link;
use super::{Event, Purpose, Response, Steering};

/// How often endpoints are asked for although nothing was heard of them: Asterisk may have been
/// reconfigured, which no event tells.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What is known of a trunk's endpoint.
#[derive(Debug)]
pub(super) struct Watched {
    trunk: String,
    endpoint: String,
    state: EndpointState,
    /// A question is on its way.
    asking: bool,
    /// Something was heard since.
    again: bool,
}

/// The answer to the question for an endpoint.
#[derive(serde::Deserialize)]
struct Endpoint {
    #[serde(default)]
    state: Option<String>,
}

impl Watched {
    /// Returns those that can be watched.
    pub(super) fn all(trunks: &[Trunk]) -> Vec<Self> {
        let watched = trunks.iter().filter_map(|trunk| {
            Some(Self {
                trunk: trunk.name.clone(),
                endpoint: trunk.endpoint.clone()?,
                state: EndpointState::default(),
                asking: false,
                again: false,
            })
        });
        watched.collect()
    }
}

impl Steering {
    /// Asterisk can be reached again: what it told us before counts no more.
    pub(super) fn watch_trunks(&mut self, now: Instant) {
        if self.trunks.is_empty() {
            return;
        }
        let endpoints = self.trunks.iter();
        let sources: Vec<_> = endpoints
            .map(|watched| format!("endpoint:{}", watched.endpoint))
            .collect();
        // One by one: Asterisk takes none of a list of which it does not know one.
        for source in sources {
            self.subscribe(&[source]);
        }
        for watched in &mut self.trunks {
            (watched.asking, watched.again) = (false, false);
        }
        self.ask_trunks(now);
    }

    /// Asks for every endpoint.
    pub(super) fn ask_trunks(&mut self, now: Instant) {
        self.trunks_due = matches!(self.link, Link::Up).then_some(now + LOOK_AGAIN);
        if self.trunks_due.is_some() {
            (0..self.trunks.len()).for_each(|index| self.ask_trunk(index));
        }
    }

    /// Something has become of an endpoint.
    pub(super) fn endpoint_changed(&mut self, endpoint: &str) {
        let index = self
            .trunks
            .iter()
            .position(|watched| watched.endpoint == endpoint);
        if let Some(index) = index {
            self.ask_trunk(index);
        }
    }

    fn ask_trunk(&mut self, index: usize) {
        let Some(watched) = self.trunks.get_mut(index) else {
            return;
        };
        if watched.asking {
            watched.again = true;
            return;
        }
        watched.asking = true;
        let Some((technology, resource)) = watched.endpoint.split_once('/') else {
            return;
        };
        let target = Target::new("endpoints")
            .segment(technology)
            .segment(resource)
            .finish();
        self.ask(Method::Get, target, None, Purpose::Trunk(index));
    }

    pub(super) fn learn_trunk(&mut self, index: usize, response: Option<Response>) {
        let Some(watched) = self.trunks.get_mut(index) else {
            return;
        };
        watched.asking = false;
        let again = std::mem::take(&mut watched.again);
        let state = match response {
            Some(Response { status: 200, body }) => {
                let endpoint: Option<Endpoint> = serde_json::from_slice(&body).ok();
                match endpoint.and_then(|endpoint| endpoint.state).as_deref() {
                    Some("online") => EndpointState::Online,
                    Some("offline") => EndpointState::Offline,
                    Some(_) | None => EndpointState::Unknown,
                }
            }
            Some(Response { status: 404, .. }) => EndpointState::Missing,
            // What was known stays until Asterisk says something.
            Some(_) | None => watched.state,
        };
        if std::mem::replace(&mut watched.state, state) != state {
            let trunk = watched.trunk.clone();
            self.tell(Event::Trunk { trunk, state });
        }
        if again {
            self.ask_trunk(index);
        }
    }
}
