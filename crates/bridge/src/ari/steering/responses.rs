//! What came of our requests.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use moqrelay_wire::signal::Cause;

use crate::{Codec, Way};

use super::super::road::{Abilities, Road};
use super::messages::text;
use super::{
    Event, Failure, Joining, LegId, Part, Phase, Piece, RequestId, Response, Saying, Steering,
};

/// What the answer to the making of an external channel says beyond the channel.
#[derive(serde::Deserialize)]
struct ExternalChannel {
    #[serde(default)]
    channelvars: BTreeMap<String, String>,
}

/// The answer to the question for a variable.
#[derive(serde::Deserialize)]
pub(super) struct Variable {
    pub(super) value: String,
}

/// A module of Asterisk's.
#[derive(serde::Deserialize)]
struct Module {
    name: String,
    #[serde(default)]
    status: String,
}

/// Where a channel's RTP is: at the address it names, or, if a network lies between, at Asterisk's.
fn rtp_way(variables: &BTreeMap<String, String>, host: &str, codec: Codec) -> Option<Way> {
    let port: u16 = variables.get("UNICASTRTP_LOCAL_PORT")?.parse().ok()?;
    let named = variables
        .get("UNICASTRTP_LOCAL_ADDRESS")
        .map(String::as_str);
    let asterisk = host.rsplit_once(':').map(|(host, _)| host);
    let mut peers = Vec::new();
    for text in [named, asterisk].into_iter().flatten() {
        let text = text.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = text.parse::<IpAddr>()
            && !ip.is_unspecified()
        {
            let addr = SocketAddr::new(ip, port);
            if !peers.contains(&addr) {
                peers.push(addr);
            }
        }
    }
    (!peers.is_empty()).then_some(Way::Rtp { peers, codec })
}

/// What a request is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Make a leg's channel.
    Create(LegId, Piece),
    /// Make a leg's bridge.
    Mix(LegId),
    /// Put a leg's channels into its bridge.
    Join(LegId),
    /// Dial a leg's far end.
    Dial(LegId),
    /// Let a leg's far end ring.
    Ring(LegId),
    /// Answer a leg's far end.
    Answer(LegId),
    /// Send digits, hold, or resume: a failure changes nothing.
    Minor,
    /// Tell a telephone what becomes of its transfer: a removal may wait for it.
    Farewell,
    /// Read what Asterisk's call records know a leg by.
    Link(LegId),
    /// Set a line's lamp.
    Lamp(String),
    /// Tell the dialplan why nobody has answered a caller.
    Why { channel: String, q850: u16 },
    /// Let the dialplan go on with a caller.
    Continue { channel: String, q850: u16 },
    /// Remove what has this id.
    Remove(String),
    /// Read what a leg's far end speaks.
    Codec(LegId),
    /// Read how the endpoint of a trunk is.
    Trunk(usize),
    /// Read what Asterisk has.
    Modules,
    /// Hear the states of these devices.
    Watch(Vec<String>),
    /// Read a device's state.
    Device(String),
    /// Read all channels.
    Channels,
    /// Read all bridges.
    Bridges,
}

impl Purpose {
    /// Returns whether nothing of ours in Asterisk depends on it.
    pub(super) fn is_only_a_question(&self) -> bool {
        matches!(
            self,
            Self::Link(_) | Self::Trunk(_) | Self::Watch(_) | Self::Device(_)
        )
    }
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The channel is not there, or not in our application any more.
    Crossed,
    /// Refused for another reason.
    Refused,
    /// Not known.
    Unknown,
}

impl Steering {
    /// Applies what came of a request.
    pub fn handle_response(
        &mut self,
        request: RequestId,
        result: Result<Response, Failure>,
        now: Instant,
    ) {
        let Some(purpose) = self.pending.remove(&request) else {
            return;
        };
        let outcome = match &result {
            Ok(Response {
                status: 200..=299, ..
            }) => Outcome::Done,
            Ok(Response {
                status: 404 | 409 | 422,
                ..
            }) => Outcome::Crossed,
            Ok(_) => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        if outcome != Outcome::Done {
            log(&purpose, &result);
        }
        if let (Purpose::Create(id, Piece::External), Outcome::Done, Ok(response)) =
            (&purpose, outcome, &result)
        {
            self.show_way(*id, &response.body);
        }
        match purpose {
            Purpose::Create(id, piece) => self.created(request, id, piece, outcome, now),
            Purpose::Mix(id) => self.mixed(request, id, outcome, now),
            Purpose::Join(id) => self.joined(id, outcome, now),
            Purpose::Dial(id) => match outcome {
                Outcome::Done => {}
                // If it has left meanwhile, the cause is on its way.
                Outcome::Crossed if self.is_leaving(id) => {}
                _ => self.end(id, Cause::Unreachable),
            },
            Purpose::Ring(id) => {
                if outcome == Outcome::Crossed {
                    self.end(id, Cause::Cancelled);
                }
            }
            Purpose::Answer(id) => self.said(id, outcome, now),
            Purpose::Minor => {}
            Purpose::Link(leg) => self.linked(leg, result.ok()),
            Purpose::Why { channel, q850 } => self.go_on(channel, q850),
            Purpose::Continue { channel, q850 } => match outcome {
                Outcome::Done | Outcome::Crossed => {}
                Outcome::Refused | Outcome::Unknown => self.doom_channel(channel, q850, None),
            },
            Purpose::Lamp(line) => self.lit(line, outcome == Outcome::Done),
            Purpose::Farewell => self.remove_after(request),
            Purpose::Remove(id) => match outcome {
                // Not there is as good as removed.
                Outcome::Done | Outcome::Crossed => {
                    self.dooms.remove(&id);
                }
                Outcome::Refused | Outcome::Unknown => self.remove_again(&id, now),
            },
            Purpose::Watch(devices) => self.watched(devices, outcome == Outcome::Done),
            Purpose::Device(name) => self.learn_device(&name, result.ok()),
            Purpose::Codec(id) => self.learn_codec(id, result.ok()),
            Purpose::Trunk(index) => self.learn_trunk(index, result.ok()),
            Purpose::Modules => self.learn_modules(result.ok()),
            Purpose::Channels => self.list_channels(result.ok(), now),
            Purpose::Bridges => self.list_bridges(result.ok(), now),
        }
    }

    fn created(
        &mut self,
        request: RequestId,
        id: LegId,
        piece: Piece,
        outcome: Outcome,
        now: Instant,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else {
            self.remove_after(request);
            return;
        };
        let part = match piece {
            Piece::Far => &mut leg.far_part,
            Piece::External => &mut leg.external,
        };
        if *part == Part::Asked(request) {
            *part = match outcome {
                Outcome::Done | Outcome::Unknown => Part::Made,
                Outcome::Crossed | Outcome::Refused => Part::Absent,
            };
        }
        // The far end may have left before we were told that it is there: its cause follows.
        let sound = match (leg.phase, outcome, piece) {
            (Phase::SettingUp { .. }, Outcome::Done, Piece::Far) => leg.sound.take(),
            _ => None,
        };
        if let Some(uuid) = sound {
            self.build_audio(id, uuid);
        }
        match (outcome, piece) {
            (Outcome::Done, _) => self.advance(id, now),
            (_, Piece::Far) => self.end(id, Cause::Unreachable),
            (_, Piece::External) => self.end(id, Cause::Failed),
        }
    }

    /// Says where a leg's sound is to be had, when it is for us to go there.
    fn show_way(&mut self, id: LegId, body: &[u8]) {
        let plan = self.legs.get(&id).and_then(|leg| leg.plan);
        let Some(plan) = plan.filter(|plan| plan.road != Road::AudioSocket) else {
            return;
        };
        let channel: Result<ExternalChannel, _> = serde_json::from_slice(body);
        let variables = channel.map(|channel| channel.channelvars);
        let (Ok(variables), Ok((site, _))) = (variables, self.config.site_and_path()) else {
            tracing::warn!(leg = %id, "asterisk's answer does not say where the sound is");
            return self.end(id, Cause::Failed);
        };
        let way = match plan.road {
            Road::Rtp => rtp_way(&variables, &site.host, plan.codec),
            Road::WebSocket | Road::AudioSocket => variables
                .get("MEDIA_WEBSOCKET_CONNECTION_ID")
                .map(|connection| Way::WebSocket {
                    site,
                    connection: connection.clone(),
                }),
        };
        match way {
            Some(way) => self.tell(Event::Reach { leg: id, way }),
            None => {
                tracing::warn!(
                    leg = %id,
                    road = plan.road.name(),
                    "asterisk's channel does not say where its sound is: is the module loaded?"
                );
                self.end(id, Cause::Failed);
            }
        }
    }

    /// The answer is `(opus)`, `(ulaw|alaw)` or the like; the first is spoken.
    fn learn_codec(&mut self, id: LegId, response: Option<Response>) {
        let body = response.filter(|response| response.status == 200);
        let value: Option<Variable> = body.and_then(|it| serde_json::from_slice(&it.body).ok());
        let name = value.and_then(|variable| {
            let apart = |c: char| !c.is_ascii_alphanumeric();
            let mut names = variable.value.split(apart).filter(|name| !name.is_empty());
            names.next().map(str::to_owned)
        });
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.codec = name;
        }
    }

    fn learn_modules(&mut self, response: Option<Response>) {
        let body = response.filter(|response| response.status == 200);
        let list: Option<Vec<Module>> = body.and_then(|it| serde_json::from_slice(&it.body).ok());
        let Some(list) = list else {
            tracing::warn!("asterisk does not list its modules: is res_ari_asterisk loaded?");
            return;
        };
        self.abilities = Abilities::default();
        for module in list.iter().filter(|module| module.status == "Running") {
            self.abilities.note(&module.name);
        }
        tracing::info!(abilities = ?self.abilities, "roads in asterisk");
    }

    fn mixed(&mut self, request: RequestId, id: LegId, outcome: Outcome, now: Instant) {
        let Some(leg) = self.legs.get_mut(&id) else {
            self.remove_after(request);
            return;
        };
        match outcome {
            Outcome::Done => {
                leg.mix = Part::Ready;
                self.advance(id, now);
            }
            Outcome::Unknown => {
                leg.mix = Part::Made;
                self.end(id, Cause::Failed);
            }
            Outcome::Crossed | Outcome::Refused => {
                leg.mix = Part::Absent;
                self.end(id, Cause::Failed);
            }
        }
    }

    fn joined(&mut self, id: LegId, outcome: Outcome, now: Instant) {
        if self.is_leaving(id) {
            return;
        }
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        match outcome {
            Outcome::Done => {
                leg.joining = Joining::Done;
                self.advance(id, now);
            }
            Outcome::Crossed => {
                let cause = leg.cause_of_absence();
                self.end(id, cause);
            }
            Outcome::Refused | Outcome::Unknown => self.end(id, Cause::Failed),
        }
    }

    fn said(&mut self, id: LegId, outcome: Outcome, now: Instant) {
        let Some(Phase::Answering { until, .. }) = self.phase(id) else {
            return;
        };
        match outcome {
            Outcome::Done => {
                self.set_phase(
                    id,
                    Phase::Answering {
                        until,
                        saying: Saying::Done,
                    },
                );
                self.advance(id, now);
            }
            Outcome::Crossed => self.end(id, Cause::Cancelled),
            Outcome::Refused | Outcome::Unknown => self.end(id, Cause::Failed),
        }
    }

    fn linked(&mut self, leg: LegId, response: Option<Response>) {
        let response = response.filter(|response| response.status == 200);
        let value = response.and_then(|response| serde_json::from_slice(&response.body).ok());
        let Some(Variable { value }) = value else {
            return;
        };
        if let (Some(id), true) = (text(&value), self.legs.contains_key(&leg)) {
            self.tell(Event::Linked { leg, id });
        }
    }

    fn is_leaving(&self, id: LegId) -> bool {
        matches!(self.phase(id), Some(Phase::Leaving { .. }))
    }
}

fn log(purpose: &Purpose, result: &Result<Response, Failure>) {
    match result {
        // What is already gone is the usual case: Asterisk and we end things at the same time.
        Ok(Response { status: 404, .. }) if matches!(purpose, Purpose::Remove(_)) => {}
        Ok(Response { status, body }) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
            tracing::debug!(?purpose, status, %text, "asterisk refused");
        }
        Err(failure) => tracing::debug!(?purpose, %failure, "request failed"),
    }
}
